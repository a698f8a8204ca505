"""The dual of ReLU and its like in few passes over memory, for NumPy arrays that fit in the cache, for all pairs.

It has the value of its plain form in `ntref.duals`, and leaves the pairs that need care to that form.
"""
from math import pi

import numpy

from .. import duals
from ..in_place import scaled
from ..types import Array, Number
from .angle import angle_of
from .generic import Fused, are_opposite, has_squares, right_angle_less
from .geometry import MAX_LENGTH_RATIO, Cov
from .pair import Pair

__all__ = ['BLOCK', 'abrelu']

BLOCK = 2 ** 18        # float64 entries of a block: with fewer threads wait for each other

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
    if has_squares(p) and not stays_opposite and (p.has_area or _alike(p)):
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
    slope, area = right_angle_less(p, p.q1, p.q2, p.k)                       # alpha
    slope *= e
    slope += c - e * pi / 2
    k = scaled(p.k, slope, p.is_spare)
    area *= e
    k += area
    return Cov(k), None if ntk is None else scaled(ntk, slope, p.is_spare)


def _alike(p):
    """True if no lengths other than 0 are so different that the angle cannot be taken from the gap."""
    variances = [q for q in (p.q1, p.q2) if q.size]
    least = min((numpy.where(q > 0, q, q.max()).min() for q in variances), default=1)
    return all(q.max() <= MAX_LENGTH_RATIO ** 2 * least for q in variances)


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
