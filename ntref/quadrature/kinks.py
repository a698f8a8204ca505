"""Jumps of one function, and its expected value about given points."""
import numpy as np

from .expectation import conditional, kinks_of
from .panels import EPS, call, reach_of, resolve

__all__ = ["around", "is_constant_in_parts", "jumps"]

BESIDE = 64 * EPS                           # distance from a kink found by bisection, which lies within 8 EPS
JUMP = 1e-9                                 # least jump, in units of the function's size: less is its slope


def jumps(f, q, *, kinks=None, rtol=1e-12):
    """Return where f jumps and by how much, [(c, f(c+) - f(c-))], within reach of Gaussians of the variances q."""
    std = np.unique(np.sqrt(q))
    std = std[std > 0]
    if not std.size:
        return []
    kinks = kinks_of(f, kinks)
    found = np.unique([0., *kinks, *resolve(f, kinks, std, reach_of(f, std), rtol).rough])
    beside = BESIDE * np.maximum(np.abs(found), std[0])
    new = np.flatnonzero(np.concatenate([[True], np.diff(found) > 2 * np.maximum(beside[1:], beside[:-1])]))
    last = np.append(new[1:], found.size) - 1
    below = call(f, found[new] - beside[new])
    above = call(f, found[last] + beside[last])
    size = max(np.abs(call(f, np.concatenate([-std, std]))).max(), np.abs(below).max(), np.abs(above).max())
    return [(float(c), float(jump)) for c, jump in zip(_named(found[new], found[last], kinks), above - below)
            if abs(jump) > JUMP * size]


def _named(first, last, kinks):
    """Return the point between first and last that is named, or 0, else the middle."""
    named = np.array([0., *kinks])
    inside = (named >= first[:, None]) & (named <= last[:, None])
    return np.where(inside.any(axis=1), named[inside.argmax(axis=1)], (first + last) / 2)


def around(f, centre, spread, q, *, kinks=None, rtol=1e-12):
    """Return E[f(centre + spread y)], y standard normal; without spread the mean of both sides of f.

    All arrays have equal shape. q : the variances about 0 of all centre + spread y.
    """
    std = np.unique(np.sqrt(q))
    if not np.any(std > 0):
        std = np.ones(1)
    side = resolve(f, kinks_of(f, kinks), std, reach_of(f, std), rtol)
    value = np.empty(centre.size)
    there = spread.ravel() > 0
    at = centre.ravel()[~there]
    beside = BESIDE * np.maximum(np.abs(centre.ravel()[~there]), std.max())
    value[~there] = (call(f, at - beside) + call(f, at + beside)) / 2
    value[there] = conditional(side, centre.ravel()[there], spread.ravel()[there])
    return value.reshape(centre.shape)


def is_constant_in_parts(f):
    """True if f steps from value to value about 0; autograd then sees no derivative, and is right."""
    z = np.linspace(-3.1, 2.9, 61)
    return np.count_nonzero(call(f, z) != call(f, z + 1e-7)) <= 3
