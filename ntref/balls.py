"""Arrays of balls: numbers known to lie within a radius of a midpoint, by python-flint (Arb).

    x = [m - r, m + r]      every operation gives a ball that contains the exact result for all numbers in its arguments

A comparison is answered where all numbers of the balls give the same answer; otherwise it raises `Undecided`, so that
no branch of a formula is ever taken by a guess. `flint.ctx.prec` bits are worked with; fewer give wider balls, which
are still right.

Source: Johansson 2017 (IEEE Trans. Comput. 66), Arb: efficient arbitrary-precision midpoint-radius interval arithmetic.
"""
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from math import frexp, isfinite
from numbers import Real
from typing import Any

import numpy

from .arrays import Namespace, patched
from .of_mpmath import solve_triangular

__all__ = ['Ball', 'Inexact', 'Undecided', 'ball', 'flint', 'flint_namespace', 'root', 'to_mpmath']

EXACT_BITS = 26         # as for doubles that `ntref.oracle.shaken` moves


class Undecided(ArithmeticError):
    """Balls are too wide for the answer to a comparison: a higher precision may decide it."""


class Inexact(ArithmeticError):
    """A double that may stand for another number, such as 1 / 3, met a ball: its rounding error would be missed."""


def flint() -> Any:
    """Return the module `flint`; ImportError that says how to install it."""
    try:
        return import_module('flint')
    except ImportError:
        raise ImportError(
            'expected python-flint for proved digits, got none. Install it: pip install '
            'python-flint') from None


class Ball:
    """A real number that lies in a ball `arb`; operators take other balls, whole numbers and `mpmath.mpf`.

    A float may be the rounded result of a computation. Those of at most EXACT_BITS bits, 0.5 or 2.25, are taken as
    exact, others raise `Inexact`; `ball(0.1)` says that the double is meant.
    """
    __slots__ = ('arb',)

    def __init__(self, arb: Any):
        self.arb = arb

    def __add__(self, other: Any) -> Any:
        return _both(self, other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Any:
        return _both(self, other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return _both(self, other, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Any:
        return _both(self, other, lambda a, b: a * b)

    def __truediv__(self, other: Any) -> Any:
        return _both(self, other, lambda a, b: a / b)

    def __rtruediv__(self, other: Any) -> Any:
        return _both(self, other, lambda a, b: b / a)

    __radd__ = __add__
    __rmul__ = __mul__

    def __pow__(self, n: Any) -> 'Ball':
        if n == .5:
            return Ball(root(self.arb))
        if int(n) != n:
            raise TypeError(f'expected a whole power of a ball, or a half, got {n!r}.')
        power = reduce(lambda a, b: a * b, [self.arb] * abs(int(n)), flint().arb(1))
        return Ball(power if n >= 0 else 1 / power)

    def __neg__(self) -> 'Ball':
        return Ball(-self.arb)

    def __pos__(self) -> 'Ball':
        return self

    def __abs__(self) -> 'Ball':
        return Ball(abs(self.arb))

    def __lt__(self, other: Any) -> Any:
        return _decided(self, other, lambda a, b: a < b, lambda a, b: a >= b)

    def __le__(self, other: Any) -> Any:
        return _decided(self, other, lambda a, b: a <= b, lambda a, b: a > b)

    def __gt__(self, other: Any) -> Any:
        return _decided(self, other, lambda a, b: a > b, lambda a, b: a <= b)

    def __ge__(self, other: Any) -> Any:
        return _decided(self, other, lambda a, b: a >= b, lambda a, b: a < b)

    def __eq__(self, other: Any) -> Any:
        return _decided(self, other, lambda a, b: a == b, lambda a, b: a != b)

    def __ne__(self, other: Any) -> Any:
        return _decided(self, other, lambda a, b: a != b, lambda a, b: a == b)

    def __bool__(self) -> bool:
        return self != 0

    def __hash__(self) -> int:
        return hash(self.ends())

    def __float__(self) -> float:
        return float(self.arb.mid())

    def __repr__(self) -> str:
        return f'Ball({self.arb})'

    def ends(self) -> tuple[Any, Any]:
        """Return midpoint and radius, each as (mantissa, exponent); of what is not finite their text."""
        if not self.arb.is_finite():
            return str(self.arb), ''
        return self.arb.mid().man_exp(), self.arb.rad().man_exp()


Real.register(Ball)                  # it may stand for a number of a layer


def _both(x, y, f):
    b = _arb(_checked(y))
    return NotImplemented if b is NotImplemented else Ball(f(x.arb, b))


def _checked(y):
    """Return y, unless it is a float of many bits."""
    if isinstance(y, (float, numpy.floating)) and isfinite(y) and not (2. ** EXACT_BITS * frexp(y)[0]).is_integer():
        raise Inexact(f'expected numbers that are exact, got the double {y!r}. Take ball({y!r}) if it is meant.')
    return y


def _decided(x, y, holds, fails):
    """Return True or False where that is certain; the relations of Arb are True only where they are certain."""
    b = _arb(y)
    if b is NotImplemented:
        return NotImplemented
    if holds(x.arb, b):
        return True
    if fails(x.arb, b):
        return False
    raise Undecided(f'expected balls that can be compared, got {x.arb} and {b}.')


def _arb(x):
    """Return the exact ball of a number, or NotImplemented; float, int and mpf are taken as they are."""
    if isinstance(x, Ball):
        return x.arb
    if isinstance(x, (int, float, numpy.integer, numpy.floating)):
        return flint().arb(int(x) if isinstance(x, (int, numpy.integer)) else float(x))
    return _of_mpmath(x) if hasattr(x, '_mpf_') else NotImplemented


def _of_mpmath(x):
    sign, mantissa, exponent, _ = x._mpf_
    if not mantissa and exponent:                         # infinity and NaN
        return flint().arb(float(x))
    return flint().arb((-int(mantissa) if sign else int(mantissa), exponent))


def ball(x: Any) -> Ball:
    """Return a number as a ball that contains nothing else; a ball stays."""
    arb = _arb(x)
    if arb is NotImplemented:
        raise TypeError(f'expected a real number, got {x!r:.100} of type {type(x).__name__}.')
    return x if isinstance(x, Ball) else Ball(arb)


def to_mpmath(x: Any) -> tuple[Any, Any]:
    """Return midpoint and radius of a finite `arb` as `mpmath.mpf`, both exact."""
    make = import_module('mpmath').mp.make_mpf
    from_man_exp = import_module('mpmath.libmp').from_man_exp
    parts = (part.man_exp() for part in (x.mid(), x.rad()))
    mid, rad = (make(from_man_exp(int(mantissa), int(exponent))) for mantissa, exponent in parts)
    return mid, rad


def root(x: Any) -> Any:
    """Return the root of an `arb` that holds a number >= 0: of a ball about 0, the ball from 0 to the root of its end.

    The root of a ball below 0 is NaN.
    """
    if x > 0 or x == 0 or x < 0 or not x.is_finite():
        return x.sqrt()
    return flint().arb(0).union(x.upper().sqrt())


# ------------------------------------------------------------------ the alphabet

def _each(f, nin=1):
    """Return f of balls, entry by entry, for f of `arb`."""
    ufunc = numpy.frompyfunc(lambda *x: Ball(f(*(_arb(_checked(a)) for a in x))), nin, 1)
    return lambda *a: ufunc(*a)


def _asarray(a):
    """Return an array of balls; `Inexact` is raised as by operators."""
    convert = numpy.frompyfunc(lambda x: ball(_checked(x)), 1, 1)
    return numpy.asarray(convert(numpy.asarray(a, dtype=object)), dtype=object)


def _arctan2(y, x):
    """Return the angle; 0 of two zeros, as NumPy has it."""
    zero = flint().arb(0)
    return zero if x == 0 and y == 0 else flint().arb.atan2(y, x)


def _sign(x):
    return flint().arb(1) if x > 0 else flint().arb(-1) if x < 0 else x.sgn()


def _erfcx(x):
    """Return exp(x^2) erfc(x)."""
    return (x * x).exp() * x.erfc()


def _eps(a):
    return 2. ** (1 - flint().ctx.prec)


def _distinct(a):
    """Return the balls that differ, and their places: what encloses a function of one encloses that of its equals."""
    places: dict = {}
    first = [places.setdefault(x.ends(), (len(places), x)) for x in a.tolist()]
    return _asarray([x for _, x in places.values()]), numpy.array([i for i, _ in first], dtype=int)


def _cholesky(a):
    factor = _asarray(numpy.zeros(a.shape))
    for j in range(len(a)):
        rest = a[j, j] - _inner(factor[j, :j], factor[j, :j])
        if not rest > 0:
            raise Undecided(f'expected a positive definite matrix, got the pivot {rest}.')
        factor[j, j] = rest ** .5
        for i in range(j + 1, len(a)):
            factor[i, j] = (a[i, j] - _inner(factor[i, :j], factor[j, :j])) / factor[j, j]
    return factor


def _inner(x, y):
    return sum((a * b for a, b in zip(x, y)), ball(0))


def _eigh(a):
    """Return eigenvalues and eigenvectors of length one of a symmetric matrix whose eigenvalues are distinct."""
    f = flint()
    size = len(a)
    symmetric = [[a[max(i, j), min(i, j)].arb for j in range(size)] for i in range(size)]
    try:
        w, v = f.acb_mat(symmetric).eig(right=True)
    except ValueError as e:
        raise Undecided(f'expected eigenvalues that can be told apart, got {e}.') from None
    columns = [[v[i, j].real for i in range(size)] for j in range(size)]
    pairs = [(Ball(x.real), [Ball(c) for c in column]) for x, column in zip(w, columns)]
    pairs.sort(key=lambda pair: float(pair[0]))
    vectors = [[c / _inner(column, column) ** .5 for c in column] for _, column in pairs]
    return _asarray([x for x, _ in pairs]), _asarray(vectors).T


def flint_namespace() -> Namespace:
    """Return NumPy's shape functions for object arrays and Arb's functions by entry, at the working precision."""
    arb = flint().arb

    def exactly(f: Callable) -> Callable:
        """Return f with a result of balls alone: a float left in an object array would compute in double."""
        return lambda *a, **options: _asarray(f(*a, **options))

    elementwise = 'exp expm1 log log1p sin cos sinh tanh erf'
    return Namespace(
        'flint', numpy, pi=_Pi(), eps=_eps, asarray=_asarray, patch=exactly(patched), distinct=_distinct,
        cholesky=_cholesky, eigh=_eigh, solve_triangular=exactly(solve_triangular),
        zeros=lambda shape: _asarray(numpy.zeros(shape)), eye=lambda n: _asarray(numpy.eye(n)),
        sqrt=_each(root), sign=_each(_sign), erfcx=_each(_erfcx), arctan2=_each(_arctan2, 2),
        hypot=_each(lambda x, y: root(x * x + y * y), 2), where=exactly(numpy.where),
        maximum=_each(lambda x, y: x.max(y), 2), minimum=_each(lambda x, y: x.min(y), 2),
        isfinite=lambda a: numpy.asarray(numpy.frompyfunc(lambda x: _arb(x).is_finite(), 1, 1)(a), dtype=bool),
        **{name: _each(getattr(arb, name)) for name in elementwise.split()})


class _Pi(Ball):
    """pi at the working precision of the moment."""
    __slots__ = ()

    def __init__(self):
        pass

    @property
    def arb(self):
        return flint().arb.pi()
