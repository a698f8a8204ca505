"""The namespace of arrays of mpmath: object arrays of `mpmath.mpf`, at the working precision of the moment."""
from importlib import import_module
from typing import Any

import numpy

from .arrays import Namespace, patched

__all__ = ['mpmath_namespace', 'solve_triangular']


def mpmath_namespace() -> Namespace:
    """Return NumPy's shape functions for object arrays and mpmath's functions by entry, at the working precision."""
    mp = import_module('mpmath')

    def each(f, nin=1):
        return numpy.frompyfunc(f, nin, 1)

    def asarray(a):
        with numpy.errstate(invalid='ignore'):      # mpf(inf) sets the flag
            return numpy.asarray(each(mp.mpf)(numpy.asarray(a, dtype=object)), dtype=object)

    def exact(f):
        """Return `f` with a result of mpf alone: a Python float left in an object array would compute in double."""
        return lambda *a: asarray(f(*a))

    def array(m):
        return numpy.array(m.tolist(), dtype=object).reshape(m.rows, m.cols)

    def distinct(a):
        places = {x: i for i, x in enumerate(dict.fromkeys(a.tolist()))}
        return asarray(list(places)), numpy.array([places[x] for x in a], dtype=int)

    def cholesky(a):
        return array(mp.cholesky(mp.matrix(a.tolist())))

    def eigh(a):
        w, v = mp.eigsy(mp.matrix(a.tolist()))
        return numpy.array(list(w), dtype=object), array(v)

    elementwise = 'sqrt exp expm1 log log1p sin cos sinh tanh erf sign'
    return Namespace(
        'mpmath', numpy, pi=mp.mp.pi, eps=lambda a: mp.mp.eps, asarray=asarray, patch=exact(patched),
        distinct=distinct,
        cholesky=cholesky, eigh=eigh, solve_triangular=solve_triangular,
        zeros=lambda shape: asarray(numpy.zeros(shape)), eye=lambda n: asarray(numpy.eye(n)),
        erfcx=each(lambda x: mp.exp(x * x) * mp.erfc(x)),
        arctan2=each(mp.atan2, 2), hypot=each(mp.hypot, 2),
        isfinite=lambda a: numpy.asarray(each(mp.isfinite)(a), dtype=bool),
        maximum=exact(numpy.maximum), minimum=exact(numpy.minimum), where=exact(numpy.where),
        **{name: each(getattr(mp, name)) for name in elementwise.split()})


def solve_triangular(a: Any, b: Any, trans: int = 0, lower: bool = False) -> Any:
    """Return x with a x = b, or with a^T x = b, for a triangular matrix of objects."""
    a, lower = (a.T, not lower) if trans else (a, lower)
    x = numpy.zeros_like(b)
    for i in range(len(a)) if lower else reversed(range(len(a))):
        x[i] = (b[i] - a[i] @ x) / a[i, i]
    return x
