"""Duals in few passes over memory, for NumPy arrays that fit in the cache.

Each function has the value of its plain form in `ntref.duals`, and leaves the pairs that need care to that form.
"""
from collections.abc import Callable
from math import cos, pi
from typing import Any, TypeAlias

import numpy

from .. import duals
from ..in_place import scaled
from ..ranges import beyond_range
from ..types import Array, Number
from .angle import angle_of, complement_of
from .geometry import MAX_LENGTH_RATIO, Cov
from .pair import Dual, Pair

__all__ = ['BLOCK', 'NotGeneric', 'abrelu', 'are_opposite', 'by_dual', 'erf', 'gelu', 'with_lack']

BLOCK = 2 ** 18        # float64 entries of a block: with fewer threads wait for each other

Fused: TypeAlias = tuple[Cov, Any]     # the Cov of the outputs, and Theta'


class NotGeneric(Exception):
    """Raised if some pairs nearly coincide or are nearly opposite, though they were said to be generic."""


# ------------------------------------------------------------------ generic pairs

VARIANCE_RANGE = {4: (1e-12, 1e12), 8: (1e-138, 1e138)}        # by the bytes of a number
MIN_ANGLE = .2         # smallest angle of generic pairs: K alone gives larger ones to about 1e-14
MAX_ANGLE = 2.7        # largest angle of generic pairs: beyond, K' of a ReLU has fewer digits
MIN_LACK = .005        # smallest lack of pairs whose gap may still be taken from K, over s: an angle of .1


def by_dual(p: Pair, ntk: Array | None, dual: Callable[[Pair], Dual]) -> Fused:
    """Return K' and Theta' of generic pairs by any dual; raise NotGeneric if a pair is not."""
    _check(pi / 2 - p.theta)
    cov, slope = dual(p)
    return Cov(cov.k), None if ntk is None else slope * ntk


def with_lack(p: Pair) -> Pair:
    """Return pairs that were generic up to here with lack = s - K; raise NotGeneric if that has too few digits.

    The gap of pairs that come near each other little by little may be taken from K where they begin to.
    """
    lack = numpy.multiply(p.n1, p.n2, out=numpy.empty_like(p.k))
    least = lack * MIN_LACK
    lack -= p.k
    if not numpy.all(lack >= least) or are_opposite(p):
        raise NotGeneric
    return Pair(p.q1, p.q2, Cov(p.k, lack=lack), False, p.is_spare)


def are_opposite(p: Pair) -> bool:
    """True if some pairs are nearly opposite: there the lack alone does not know the angle."""
    least = numpy.multiply(p.n1, p.n2, out=numpy.empty_like(p.k))
    least *= cos(MAX_ANGLE)
    return bool(numpy.any(p.k < least))


def _squares(p):
    """True if products of variances and of their differences stay within the range of the numbers."""
    tiny, huge = VARIANCE_RANGE[p.k.dtype.itemsize]
    variances = [q for q in (p.q1, p.q2) if q.size]
    return all(q.max() < huge and numpy.where(q > 0, q, 1).min() > tiny for q in variances)


def _alike(p):
    """True if no lengths other than 0 are so different that the angle cannot be taken from the gap."""
    variances = [q for q in (p.q1, p.q2) if q.size]
    least = min((numpy.where(q > 0, q, q.max()).min() for q in variances), default=1)
    return all(q.max() <= MAX_LENGTH_RATIO ** 2 * least for q in variances)


def _check(alpha):
    """Raise NotGeneric unless all alpha = pi / 2 - theta are those of generic pairs, and numbers."""
    if alpha.size and not pi / 2 - MAX_ANGLE < alpha.min() <= alpha.max() < pi / 2 - MIN_ANGLE:
        raise NotGeneric


def erf(p: Pair, ntk: Array | None, a: Number, b: Number, c: Number) -> Fused:
    """`duals.erf`:  K' = m alpha + c^2,  slope = 2 m b^2 / sqrt D,  m = 2 a^2 / pi,  alpha = atan2(2 b^2 K, sqrt D),

    D = (1 + 2 b^2 q) (1 + 2 b^2 q') - 4 b^4 K^2.
    """
    m = 2 * a * a / pi
    bb = b * b
    r1 = 1 + 2 * bb * p.q1
    r2 = 1 + 2 * bb * p.q2
    k = 2 * bb * p.k
    root = _root(p, r1, r2, k)
    alpha = complement_of(k, root, numpy.sqrt(r1), numpy.sqrt(r2))
    _check(alpha)
    alpha *= m
    alpha += c * c
    if ntk is None:
        return Cov(alpha), None
    slope = numpy.divide(2 * m * bb, root, out=root)
    return Cov(alpha), scaled(ntk, slope, p.is_spare)


def gelu(p: Pair, ntk: Array | None) -> Fused:
    """`duals.gelu`:  K' = K/4 + [(K^2 x x' + y y' D) / sqrt D + K alpha] / (2 pi),  alpha = atan2(K, sqrt D),

    slope = 1/4 + [alpha + K / sqrt D (1 / D + x + x')] / (2 pi),
    x = 1 / (1 + q),  y = q / (1 + q),  D = (1 + q) (1 + q') - K^2.
    """
    r1 = 1 + p.q1
    r2 = 1 + p.q2
    x1 = 1 / r1
    x2 = 1 / r2
    root = _root(p, r1, r2, p.k)
    alpha = complement_of(p.k, root, numpy.sqrt(r1), numpy.sqrt(r2))
    _check(alpha)
    xx = x1 * x2
    yy = (p.q1 * x1) * (p.q2 * x2)
    ratio = p.k / root
    k = ratio * xx
    k += alpha
    k *= p.k
    k += numpy.multiply(yy, root, out=numpy.empty_like(root))
    k /= 2 * pi
    k += p.k / 4
    if ntk is None:
        return Cov(k), None
    root *= root
    slope = 1 / root
    slope += x1
    slope += x2
    slope *= ratio
    slope += alpha
    slope /= 2 * pi
    slope += 1 / 4
    slope *= ntk
    return Cov(k), slope


def _root(p, r1, r2, k):
    """Return sqrt(r1 r2 - k^2), with the memory order of k; NaN where that is negative."""
    if not _squares(p):
        raise NotGeneric
    root = numpy.multiply(r1, r2, out=numpy.empty_like(k))
    root -= k * k
    with beyond_range():
        return numpy.sqrt(root, out=root)


# ------------------------------------------------------------------ all pairs

OBTUSE_ANGLE = 2.5     # above, K' = c K + e j_delta of a ReLU is left to its plain form
SERIES_ANGLE = .05     # below, j_delta = A - theta K would be less accurate than about 1e-14
FEW = 16               # if one of FEW pairs, or more, is below, the series is summed for all


def abrelu(p: Pair, ntk: Array | None, a: Number, b: Number) -> Fused:
    """`duals.abrelu` and Theta':  K' = c K + e j_delta,  lack' = c lack - e j_delta,  Theta' = (c - e theta) Theta.

    If neither area nor lack is carried along:  gap' = c gap - 2 e j_delta. What is nearly opposite is so behind a
    function that is no kink, a b > 0, and leaves gap' and area'.
    """
    c = (a * a + b * b) / 2
    e = (a - b) ** 2 / (2 * pi)
    if p.is_generic:
        return _abrelu_generic(p, ntk, c, e)
    stays_opposite = p.has_area and a * b > 0 and are_opposite(p)
    if _squares(p) and not stays_opposite and (p.has_area or _alike(p)):
        return _abrelu(p, ntk, c, e, lambda p: _plain(p, a, b, c)[0])
    cov, slope = duals.abrelu(p, a, b) if stays_opposite else _plain(p, a, b, c)
    return cov, None if ntk is None else slope * ntk


def _plain(p, a, b, c):
    """Return what `duals.abrelu` does, with lack' if area or lack are carried along, else with gap' alone."""
    cov, slope = duals.abrelu(p, a, b)
    if p.has_area:
        return Cov(cov.k, lack=Pair(c * p.q1, c * p.q2, cov).minus), slope
    return Cov(cov.k, cov.gap), slope


def _abrelu_generic(p, ntk, c, e):
    """K' = slope K + e A,  slope = c - e (pi / 2 - alpha),  Theta' = slope Theta,  A^2 = q q' - K^2."""
    area = _root(p, p.q1, p.q2, p.k)
    slope = complement_of(p.k, area, p.n1, p.n2)
    _check(slope)
    slope *= e
    slope += c - e * pi / 2
    k = scaled(p.k, slope, p.is_spare)
    area *= e
    k += area
    return Cov(k), None if ntk is None else scaled(ntk, slope, p.is_spare)


def _abrelu(p, ntk, c, e, plain):
    lack = _lack(p)
    area = _area(p, lack)
    theta = angle_of(area, p.k)
    if not (numpy.all(p.q1 > 0) and numpy.all(p.q2 > 0)):
        numpy.copyto(theta, pi / 2, where=(p.q1 == 0) | (p.q2 == 0))
    least, most = (theta.min(), theta.max()) if theta.size else (1, 1)
    rare = numpy.nonzero(theta > OBTUSE_ANGLE) if most > OBTUSE_ANGLE else None
    exact = None if rare is None else plain(p.at(rare))                      # before anything is overwritten
    j = _j_delta(area, theta, p.k, least)
    j *= e
    k = scaled(p.k, c, p.is_spare)
    k += j
    if p.has_area:
        lack = scaled(lack, c, p.is_spare or lack is not p.cov.lack)
        lack -= j
        cov = Cov(k, lack=lack)
    else:
        gap = scaled(p.gap, c, p.is_spare)
        j *= 2
        gap -= j
        cov = Cov(k, gap)
    if exact is not None:
        for new, value in zip(cov, exact):
            if new is not None:
                new[rare] = value
    theta *= -e
    theta += c
    return cov, None if ntk is None else scaled(ntk, theta, p.is_spare)


def _lack(p):
    """Return s - K = (gap - (sqrt q - sqrt q')^2) / 2, or what is carried along."""
    if p.has_area:
        return p.minus
    lack = numpy.subtract(p.n1, p.n2, out=numpy.empty_like(p.k))
    lack *= lack
    numpy.subtract(p.gap, lack, out=lack)
    lack *= .5
    return lack


def _area(p, lack):
    """Return A = sqrt((s - K) (s + K)), or a copy of what is carried along."""
    if p.cov.area is not None:
        return p.cov.area.copy(order='K')
    area = numpy.multiply(p.n1, p.n2, out=numpy.empty_like(p.k))
    area += p.k
    area *= lack
    numpy.maximum(area, 0, out=area)
    return numpy.sqrt(area, out=area)


def _j_delta(area, theta, k, least):
    """Return A - theta K, written into A, by the series of A (1 - theta cot theta) where theta is small."""
    j = area
    if least >= SERIES_ANGLE:
        j -= theta * k
        return j
    is_small = theta < SERIES_ANGLE
    if FEW * numpy.count_nonzero(is_small) >= theta.size:
        series = one_minus_t_cot(theta)
        series *= area
        j -= theta * k
        numpy.copyto(j, series, where=is_small)
        return j
    i = numpy.nonzero(is_small)
    series = one_minus_t_cot(theta[i])
    series *= area[i]
    j -= theta * k
    j[i] = series
    return j


def one_minus_t_cot(t: Array) -> Array:
    """Return 1 - t cot t = t^2/3 + t^4/45 + 2 t^6/945 + t^8/4725 + ..., for t < SERIES_ANGLE."""
    tt = t * t
    total = tt / 1575
    for c in (2 / 315, 1 / 15, 1):
        total += c
        total *= tt
    total /= 3
    return total
