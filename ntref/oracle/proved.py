"""Kernels by ball arithmetic: the recursion with balls in place of numbers, each of which contains the exact value.

Layers without nonlinearity run as they are, on `ntref.balls`: sums, products, quotients and roots of balls. Of a pair
only q, q' and K are carried; nonlinearities have the formulas of `ntref.oracle.ball_duals`. docs/oracle.md says what is
proved, and what is not.
"""
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib.util import find_spec
from typing import Any

import numpy

from ..arrays import is_array, load
from ..balls import Undecided, flint, to_mpmath
from ..duals.geometry import Cov
from ..recursion.kernel import Kernel
from ..recursion.state import State
from ..stax import Identity, Layer, MaskedArray, serial
from ..trees import leaves, tree_map
from ..types import Tree
from .ball_duals import BALL_DUALS, ball_dual
from .precision import mpmath
from .variants import changed, variant

__all__ = ['bits', 'can_prove', 'exact_balls', 'in_balls', 'midpoints', 'unproved']

LINEAR = frozenset("""
    serial parallel Identity Dense Conv ConvTranspose ConvLocal Flatten AvgPool SumPool GlobalAvgPool GlobalSumPool
    LayerNorm RMSNorm FanOut FanInSum FanInConcat FanInProd repeat Dropout
    GlobalSelfAttention DotGeneral Aggregate Index ImageResize
""".split())
"""Layers that compute on balls with sums, products, quotients and roots alone, and take no function of the user."""


def unproved(net: Layer) -> list[str]:
    """Return the names of layers whose kernels are not proved, in order; [] if all are."""
    missing: list[str] = []

    def look(part):
        if isinstance(part, Layer) and not _is_known(part):
            missing.append(part.name)
        return part
    changed(net, look)
    return list(dict.fromkeys(missing))


def _is_known(layer):
    """True if a layer is one of those that are proved, not another class of that name, and takes no function."""
    is_named = layer.name in LINEAR | BALL_DUALS.keys() and type(layer) is type(layer).registry[layer.name]
    given = [getattr(layer, f.name) for f in fields(layer)]
    return is_named and not any(callable(value) and not isinstance(value, Layer) for value in given)


def can_prove(net: Layer, inputs: tuple, proof: bool | None) -> bool:
    """Return whether kernels are proved: all that can be if proof is None; TypeError if it is True and they cannot be.

    Raises
    ------
    ImportError : proof is True, and python-flint is not there.
    """
    if proof is False:
        return False
    missing = [f'layer {name}' for name in unproved(net)]
    arrays = (x.masked_value if isinstance(x, MaskedArray) else x for x in leaves(inputs) if x is not None)
    missing += [f'{type(x).__name__} of inputs' for x in arrays if not (is_array(x) and x.size)]
    if proof is None:
        return not missing and find_spec('flint') is not None
    flint()
    if missing:
        raise TypeError(
            f'certify: expected a network whose kernel can be proved, got {", ".join(missing)}. Take '
            'proof=None for an estimate of such kernels.')
    return True


def in_balls(net: Layer) -> Layer:
    """Return a network like `net` whose kernel_fn takes arrays of balls, for the working precision of the moment."""
    first = variant(Identity(), demand=_without_gaps, kernel=_entered, several=net.several)
    return serial(first, changed(net, _proved))


def _without_gaps(self: Layer, demand: Tree) -> Tree:
    return tree_map(lambda one: replace(one, gap=False, area=False), demand)


def _entered(self: Layer, k: Any) -> Any:
    """Return the first state, or states, as such that carry covariances alone."""
    if isinstance(k, (list, tuple)):
        return [_entered(self, one) for one in k]
    covs = {name: Cov(cov.k) if isinstance(cov := getattr(k, name), Cov) else cov for name in _FIELDS}
    return _Covariances.of(**covs)


_FIELDS = [field.name for field in fields(State)]


class _Covariances(Kernel):
    """A state without gaps and areas, also where pairs nearly coincide."""

    def pairs(self):
        return [replace(pair, is_generic=True) for pair in super().pairs()]


def _proved(part: Any) -> Any:
    """Return a nonlinearity with its dual in balls; other parts of a network are unchanged."""
    if not isinstance(part, Layer) or part.name not in BALL_DUALS:
        return part
    dual = numpy.frompyfunc(ball_dual(part), 3, 2)

    def kernel(self, k: Kernel) -> Any:
        k = k.with_own()                                    # an input with itself is the same ball three times
        values, slopes = zip(*(dual(p.q1, p.q2, p.k) for p in k.pairs()))
        new = k.with_covs([Cov(value) for value in values])
        return new.but(ntk=k.tangent(lambda ntk: slopes[0] * ntk)).with_own()
    return variant(part, kernel=kernel)


def exact_balls(inputs: Tree) -> Tree:
    """Return arrays of `mpmath.mpf` in a tree as arrays of balls of radius 0; all else is unchanged."""
    def converted(a):
        if isinstance(a, MaskedArray):
            return replace(a, masked_value=converted(a.masked_value))
        return load('flint').asarray(a) if is_array(a) and a.dtype.hasobject else a
    return tree_map(converted, inputs)


def midpoints(kernel: Any) -> tuple[Any, Any]:
    """Return an array of balls as two of `mpmath.mpf`: values, rounded to the working precision, and bounds of errors.

    Raises
    ------
    Undecided : a ball is infinite.
    """
    mp = mpmath()

    def rounded(x):
        if not x.arb.is_finite():
            raise Undecided(f'expected finite kernels, got {x}.')
        mid, rad = to_mpmath(x.arb)
        value = +mid
        return value, mp.fadd(rad, abs(mp.fsub(mid, value, exact=True)), rounding='u')
    values, bounds = numpy.frompyfunc(rounded, 1, 2)(kernel)
    return numpy.asarray(values, dtype=object), numpy.asarray(bounds, dtype=object)


@contextmanager
def bits(n: int) -> Iterator[None]:
    """Set the working precision of flint to n bits, and restore the former one at the end.

    It is one for all threads. If another thread changes it meanwhile, balls are wider or narrower, and still right.
    """
    context = flint().ctx
    before = context.prec
    context.prec = n
    try:
        yield
    finally:
        context.prec = before
