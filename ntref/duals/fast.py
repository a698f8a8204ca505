"""The dual of ReLU and its like in few passes over memory, for NumPy arrays that fit in the cache, for all pairs.

It has the value of its plain form in `ntref.duals`, and leaves the pairs that need care to that form.
"""
from math import ceil, log, pi

import numpy

from .. import duals
from ..arrays import is_on_device
from ..in_place import scaled
from ..types import Array, Number
from . import on_device
from .angle import ZETA, angle_to_axis
from .generic import Fused, are_opposite, has_squares, have_zeros, right_angle_less
from .geometry import MAX_LENGTH_RATIO, Cov
from .pair import Pair
from .written import in_one_pass

__all__ = ['abrelu']

OBTUSE_ANGLE = 2.5     # above, lack' of a function that is nearly even is left to the plain form
SERIES_ANGLE = .05     # below, j_delta = A - theta K would be less accurate than about 1e-14
OBTUSE_SERIES_ANGLE = .5   # where K < 0, K' may be as small as j: below, A - t |K| would lose its digits
EPS = 2e-16                # of the first term, where the series ends
FEW = 16               # if one of FEW pairs, or more, is below, the series is summed for all


def abrelu(p: Pair, ntk: Array | None, a: Number, b: Number) -> Fused:
    """`duals.abrelu` and Theta' = slope Theta; with lack' if area or lack are carried along, else with gap'.

    What is nearly opposite stays so behind a function that is no kink, a b > 0, and leaves gap' and area'.
    """
    c = (a * a + b * b) / 2
    if p.is_generic:
        return _abrelu_generic(p, ntk, a, b)
    stays_opposite = p.has_area and a * b > 0 and are_opposite(p)
    is_easy = c and has_squares(p) and not stays_opposite and (p.has_area or _alike(p))
    if is_on_device(p.k):
        if is_easy and a * b >= 0:
            there, tangent = on_device.abrelu(p, ntk, a, b)
            return Cov(**there), tangent
        is_kept = stays_opposite or p.cov.lack is None
        return in_one_pass(_with_tangent, (duals.abrelu if is_kept else _plain, a, b), p, ntk, {})
    if is_easy:
        return _abrelu(p, ntk, a, b)
    return _with_tangent((duals.abrelu if stays_opposite else _plain, a, b), p, ntk)


def _with_tangent(of, p, ntk):
    dual, *slopes = of
    cov, slope = dual(p, *slopes)
    return cov, None if ntk is None else slope * ntk


def _plain(p, a, b):
    """Return what `duals.abrelu` does, with lack' if area or lack are carried along, else with gap' alone."""
    cov, slope = duals.abrelu(p, a, b)
    if p.has_area:
        c = (a * a + b * b) / 2
        return Cov(cov.k, lack=Pair(c * p.q1, c * p.q2, cov).minus), slope
    return Cov(cov.k, cov.gap), slope


def _abrelu_generic(p, ntk, a, b):
    """K' = slope K + e A,  slope = c - e (pi / 2 - alpha),  Theta' = slope Theta,  A^2 = q q' - K^2."""
    c, e = _shares(a, b)
    slope, area = right_angle_less(p, p.q1, p.q2, p.k)                       # alpha
    slope *= e
    slope += c - e * pi / 2
    k = scaled(p.k, slope, p.is_spare)
    area *= e
    k += area
    return Cov(k), None if ntk is None else scaled(ntk, slope, p.is_spare)


def _shares(a, b):
    """Return c = (a^2 + b^2) / 2 of the linear part and e = (a - b)^2 / (2 pi) of the kink."""
    return (a * a + b * b) / 2, (a - b) ** 2 / (2 * pi)


def _abrelu(p, ntk, a, b):
    """With the angle t = min(theta, pi - theta) to the axis, and j = A - t |K|:

    K' = c K + e j,    lack' = c lack - e j,           gap' = c gap - 2 e j,           slope = c - e t    where K >= 0,
    K' = a b K + e j,  lack' = c lack - e (j - pi K),  gap' = c gap - 2 e (j - pi K),  slope = a b + e t  where K < 0.
    """
    c, e = _shares(a, b)
    lack = _lack(p)
    area = _area(p, lack)
    is_obtuse = p.k < 0
    some_are_obtuse = is_obtuse.any()
    t = angle_to_axis(area, p.k)
    if have_zeros(p):
        numpy.copyto(t, pi / 2, where=(p.q1 == 0) | (p.q2 == 0))
    rare = exact = None
    if some_are_obtuse and a * b < 0:                                        # lack' is a small difference there
        rare = numpy.nonzero(is_obtuse & (t < pi - OBTUSE_ANGLE))
        exact, _ = _plain(p.at(rare), a, b)
    j = _j(area, t, abs(p.k), is_obtuse) if some_are_obtuse else _j(area, t, p.k, None)
    j *= e
    turn = e * pi * p.k if some_are_obtuse else None
    k = scaled(p.k, c, p.is_spare)
    if some_are_obtuse:
        numpy.multiply(k, a * b / c, out=k, where=is_obtuse)
    k += j
    if not p.has_area:
        j *= 2
    less = lack if p.has_area else p.gap
    less = scaled(less, c, p.is_spare or less is not p.cov.lack and less is not p.cov.gap)
    less -= j
    if some_are_obtuse:
        numpy.add(less, turn if p.has_area else 2 * turn, out=less, where=is_obtuse)
    cov = Cov(k, lack=less) if p.has_area else Cov(k, less)
    if rare is not None:
        k[rare] = exact.k
        less[rare] = exact.lack if p.has_area else exact.gap
    t *= -e
    t += c
    if some_are_obtuse:
        numpy.subtract(a * b + c, t, out=t, where=is_obtuse)
    return cov, None if ntk is None else scaled(ntk, t, p.is_spare)


def _alike(p):
    """True if no lengths other than 0 are so different that the angle cannot be taken from the gap."""
    return p.reach.largest <= MAX_LENGTH_RATIO ** 2 * p.reach.least


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


def _j(area, t, k, is_obtuse):
    """Return A - t K, written into A, by the series of A (1 - t cot t) where the angle t is small."""
    j = area
    limit = SERIES_ANGLE if is_obtuse is None else OBTUSE_SERIES_ANGLE
    if not t.size or t.min() >= limit:
        j -= t * k
        return j
    is_small = t < SERIES_ANGLE
    if is_obtuse is not None:
        is_small |= is_obtuse & (t < limit)
    if FEW * numpy.count_nonzero(is_small) >= t.size:
        series = one_minus_t_cot(t, limit)
        series *= area
        j -= t * k
        numpy.copyto(j, series, where=is_small)
        return j
    i = numpy.nonzero(is_small)
    series = one_minus_t_cot(t[i], limit)
    series *= area[i]
    j -= t * k
    j[i] = series
    return j


def one_minus_t_cot(t: Array, limit: float) -> Array:
    """Return 1 - t cot t = 2 sum_n zeta(2 n) (t / pi)^(2 n) = t^2/3 + t^4/45 + 2 t^6/945 + ..., for t below a limit."""
    terms = ceil(log(EPS) / log((limit / pi) ** 2))
    tt = t * t
    total = 0 * tt
    for n in range(terms, 0, -1):
        total += 2 * ZETA[n - 1] / pi ** (2 * n)
        total *= tt
    return total
