"""Angles of pairs in few passes over memory, for NumPy arrays that fit in the cache.

NumPy has an arctangent that computes several numbers at a time on some processors only; elsewhere it takes as long as
sixty sums. There angles come from a sum of fractions,

    arctan t = t (c_0 + sum_i c_i / (t^2 + b_i)),   0 <= t <= 1,

which interpolates arctan t / t at Chebyshev's nodes in t^2 (docs/theory/duals.md#angle).
"""
import platform
from functools import cache

import numpy

from ..types import Array

__all__ = ['ZETA', 'angle_to_axis', 'arctan', 'complement_of', 'has_fast_arctan2']

FRACTIONS = {                       # by the bytes of a number: c_0, (c_i, b_i); relative errors 2.8e-9 and 5.0e-17
    4: (.17392311216413678, (
        (2.8628644737427122, 8.283543906551024),
        (.6672214257558798, 2.1613627235330104),
        (.19829598594683365, 1.1544664688421182))),
    8: (.09625528803179341, (
        (5.19389582950056, 26.974183550525023),
        (1.2913299587301534, 6.759970546399258),
        (.5586012404683851, 3.0512510372541675),
        (.2899158208341164, 1.7959509523403958),
        (.15124519216022536, 1.2668141596754925),
        (.058859698895863136, 1.0458816246936995))),
}

ZETA = 1.6449340668482264, 1.0823232337111382, 1.0173430619844491, 1.0040773561979443, 1.0009945751278181, \
    1.000246086553308, 1.0000612481350587, 1.0000152822594087, 1.000003817293265, 1.0000009539620339
"""zeta(2), zeta(4), ..."""


@cache
def has_fast_arctan2() -> bool:
    """True if NumPy's arctan2 computes several numbers at a time on this processor."""
    found = numpy.show_config(mode='dicts')['SIMD Extensions']['found']
    return platform.system() == 'Linux' and not {'X86_V4', 'AVX512_SKX'}.isdisjoint(found)


def complement_of(k: Array, area: Array, n1: Array, n2: Array) -> Array:
    """Return alpha = pi / 2 - theta = atan2(K, A), accurate to eps, for n1 n2 = sqrt(K^2 + A^2).

    The tangent of alpha / 2 is K / (n1 n2 + A).
    """
    if has_fast_arctan2():
        return numpy.arctan2(k, area)
    t = numpy.multiply(n1, n2, out=numpy.empty_like(k))
    t += area
    if not t.all():
        t[t == 0] = 1                                      # of a variable that is constantly 0: alpha = 0
    numpy.divide(k, t, out=t)
    alpha = arctan(t)
    alpha *= 2
    return alpha


def angle_to_axis(area: Array, k: Array) -> Array:
    """Return atan2(A, |K|), theta or pi - theta, accurate to eps of itself, for A >= 0.

    Half of it has the tangent A / (sqrt(K^2 + A^2) + |K|).
    """
    size = abs(k)
    if has_fast_arctan2():
        return numpy.arctan2(area, size, out=size)
    t = k * k
    t += area * area
    numpy.sqrt(t, out=t)
    t += size
    if not t.all():
        t[t == 0] = 1                                      # A = K = 0
    numpy.divide(area, t, out=t)
    angle = arctan(t)
    angle *= 2
    return angle


def arctan(t: Array) -> Array:
    """Return arctan t for |t| <= 1, written into t, by FRACTIONS."""
    c_0, ((c_1, b_1), *fractions) = FRACTIONS[t.dtype.itemsize]
    tt = t * t
    total = tt + b_1
    numpy.divide(c_1, total, out=total)
    part = numpy.empty_like(t)
    for c, b in fractions:
        numpy.add(tt, b, out=part)
        numpy.divide(c, part, out=part)
        total += part
    total += c_0
    t *= total
    return t
