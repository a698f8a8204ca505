"""Jumps of one function, and its expected value about given points."""
from collections.abc import Sequence

import numpy
from numpy.typing import ArrayLike

from .expectation import conditional, kinks_of
from .panels import EPS, Function, call, reach_of, resolve

__all__ = ['around', 'is_constant_in_parts', 'jumps']

BESIDE = 64 * EPS        # distance from a kink found by bisection, which lies within 8 EPS
JUMP = 1e-9              # least jump, in units of the function's size: less is its slope


def jumps(f: Function, q: ArrayLike, *, kinks: Sequence[float] | None = None,
          rtol: float = 1e-12) -> list[tuple[float, float]]:
    """Return where f jumps and by how much, [(c, f(c+) - f(c-))], within reach of Gaussians of the variances q."""
    std = numpy.unique(numpy.sqrt(q))
    std = std[std > 0]
    if not std.size:
        return []
    kinks = kinks_of(f, kinks)
    found = numpy.unique([0., *kinks, *resolve(f, kinks, std, reach_of(f, std), rtol).rough])
    beside = BESIDE * numpy.maximum(numpy.abs(found), std[0])
    is_apart = numpy.diff(found) > 2 * numpy.maximum(beside[1:], beside[:-1])
    first = numpy.flatnonzero(numpy.concatenate([[True], is_apart]))      # of a cluster of points
    last = numpy.append(first[1:], found.size) - 1
    below = call(f, found[first] - beside[first])
    above = call(f, found[last] + beside[last])
    typical = call(f, numpy.concatenate([-std, std]))
    size = max(numpy.abs(values).max() for values in (typical, below, above))
    at = _named(found[first], found[last], kinks)
    return [(float(c), float(jump)) for c, jump in zip(at, above - below)
            if abs(jump) > JUMP * size]


def _named(first, last, kinks):
    """Return the point between first and last that is named, or 0, else the middle."""
    named = numpy.array([0., *kinks])
    inside = (named >= first[:, None]) & (named <= last[:, None])
    return numpy.where(inside.any(axis=1), named[inside.argmax(axis=1)], (first + last) / 2)


def around(f: Function, centre: numpy.ndarray, spread: numpy.ndarray, q: numpy.ndarray, *,
           kinks: Sequence[float] | None = None, rtol: float = 1e-12) -> numpy.ndarray:
    """Return E[f(centre + spread y)], y standard normal; without spread the mean of both sides of f.

    All arrays have equal shape. q : the variances about 0 of all centre + spread y.
    """
    std = numpy.unique(numpy.sqrt(q))
    if not numpy.any(std > 0):
        std = numpy.ones(1)
    side = resolve(f, kinks_of(f, kinks), std, reach_of(f, std), rtol)
    value = numpy.empty(centre.size)
    spreads = spread.ravel() > 0
    at = centre.ravel()[~spreads]
    beside = BESIDE * numpy.maximum(numpy.abs(at), std.max())
    value[~spreads] = (call(f, at - beside) + call(f, at + beside)) / 2
    value[spreads] = conditional(side, centre.ravel()[spreads], spread.ravel()[spreads])
    return value.reshape(centre.shape)


def is_constant_in_parts(f: Function) -> bool:
    """True if f steps from value to value about 0; autograd then sees no derivative, and is right."""
    z = numpy.linspace(-3.1, 2.9, 61)
    return bool((call(f, z) != call(f, z + 1e-7)).sum() <= 3)
