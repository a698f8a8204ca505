"""Functions of the user evaluated by interpolation from nearby points, which shows where they leave mpmath.

They are evaluated so in the computation at the lower precision. The formula

    f(a) = sum_j c_j (f(a (1 + j h)) + f(a (1 - j h))),   c_j = (-1)^(j+1) n!^2 / ((n - j)! (n + j)!),   j = 1, ..., n

is an interpolation. Its error is (n! (h / R)^n)^2 for a function that is smooth as far as a (1 +- R). A function that
rounds on the way, to a double, through text, a fraction or a precision of its own, has another rounding error at each
point. The sum then differs from the value at `a` by about these errors, whatever the working precision. As both may be
close by chance, FACTOR times their difference is added to the value.
"""
from dataclasses import fields, replace
from math import factorial
from typing import Any

from ..arrays import kind
from ..duals.geometry import Cov
from ..stax import ElementwiseNumerical, Layer
from ..trees import leaves, tree_map
from .precision import mpmath
from .variants import variant

__all__ = ['by_values_around']

INVERSE_H2 = 10 ** 8 + 7        # 1 / h^2: h is irrational, so that no a (1 + j h) is a short number
FACTOR = 32
R = .5                            # assumed distance to a singularity, relative to the arguments


def by_values_around(layer: Any) -> Any:
    """Return a layer whose user functions are evaluated by their values around; other layers are unchanged.

    Functions of `ElementwiseNumerical` are unchanged: they are evaluated at other nodes of the quadrature instead.
    """
    is_layer = isinstance(layer, Layer)
    if not is_layer or isinstance(layer, ElementwiseNumerical):
        return layer
    if not layer.is_ours():
        return _layer_around(layer)
    arguments = {f.name: getattr(layer, f.name) for f in fields(layer)}
    functions = {name: _function_around(value) for name, value in arguments.items()
                 if callable(value) and not isinstance(value, Layer)}
    return replace(layer, **functions) if functions else layer


def _points():
    """Yield (weight, factor of the arguments), with as many points as the working precision asks for."""
    mp = mpmath()
    n = 1
    h = 1 / mp.sqrt(INVERSE_H2)
    while (factorial(n) * (h / R) ** n) ** 2 > mp.eps:
        n += 1
    yield mp.mpf(1 - FACTOR), mp.mpf(1)
    for j in range(1, n + 1):
        top = mp.mpf(FACTOR * factorial(n) ** 2)
        c = (-1) ** (j + 1) * top / (factorial(n - j) * factorial(n + j))
        yield from ((c, 1 + j * h), (c, 1 - j * h))


def _function_around(f):
    """Return f, a function of arrays, evaluated by its values around."""
    def around(*arrays):
        return sum(f(*(a * s for a in arrays)) * c for c, s in _points())
    return around


def _layer_around(layer):
    """Return a layer of the user's own class whose whole `kernel` step is evaluated by its values around."""
    cls = type(layer)

    def kernel(self, k):
        if kind(leaves(k)[0].nngp) != 'mpmath':    # a trial run that finds out what becomes of axes
            return cls.kernel(self, k)
        total = None
        for c, s in _points():
            moved = cls.kernel(self, tree_map(lambda k: _times(s, k), k))
            new = tree_map(lambda k: _times(c, k), moved)
            total = new if total is None else tree_map(_plus, total, new)
        return total
    return variant(layer, kernel=kernel)


def _times(c, k):
    """Return a Kernel whose covariances, gaps and areas are c times those of k."""
    return _each(lambda a: a * c, k)


def _plus(k, other):
    arrays = iter(_arrays(other))
    return _each(lambda a: a + next(arrays), k)


def _arrays(k):
    found = []
    _each(lambda a: found.append(a) or a, k)
    return found


def _each(f, k):
    covs = [Cov(*(None if a is None else f(a) for a in cov)) for cov in k.covs]
    return k.with_covs(covs).but(ntk=k.tangent(f))
