"""Duals in few passes over memory, for NumPy arrays that fit in the cache.

Each function has the value of its plain form in `ntref.duals`, and leaves the pairs that need care to that form.
"""
from collections.abc import Callable
from typing import Any, TypeAlias

from ..in_place import scaled
from .. import duals
from ..types import Array, Number
from .pair import MAX_LENGTH_RATIO, Dual, Pair

__all__ = ['BLOCK', 'NotGeneric', 'abrelu', 'by_dual', 'erf', 'gelu']

BLOCK = 2 ** 18        # float64 entries of a block: with fewer threads wait for each other

Fused: TypeAlias = tuple[Any, Any, Any, Any]     # K', gap', area', Theta'; None: is not carried


class NotGeneric(Exception):
    """Raised if some pairs nearly coincide or are nearly opposite, though they were said to be generic."""


# ------------------------------------------------------------------ generic pairs

VARIANCE_RANGE = {4: (1e-12, 1e12), 8: (1e-138, 1e138)}        # by the bytes of a number
MIN_ANGLE = .2         # smallest angle of generic pairs: K alone gives larger ones to about 1e-14
MAX_ANGLE = 2.7        # largest angle of generic pairs: beyond, K' of a ReLU has fewer digits


def by_dual(p: Pair, ntk: Array | None, dual: Callable[[Pair], Dual]) -> Fused:
    """Return K' and Theta' of generic pairs by any dual; raise NotGeneric if a pair is not."""
    _check(p.theta, MIN_ANGLE, MAX_ANGLE)
    cov, slope = dual(p)
    return cov.k, None, None, None if ntk is None else slope * ntk


def _squares(p):
    """True if products of variances and of their differences stay within the range of the numbers."""
    tiny, huge = VARIANCE_RANGE[p.k.dtype.itemsize]
    variances = [q for q in (p.q1, p.q2) if q.size]
    return all(q.max() < huge and p.xp.where(q > 0, q, 1).min() > tiny for q in variances)


def _alike(p):
    """True if no lengths other than 0 are so different that the angle cannot be taken from the gap."""
    variances = [q for q in (p.q1, p.q2) if q.size]
    least = min((p.xp.where(q > 0, q, q.max()).min() for q in variances), default=1)
    return all(q.max() <= MAX_LENGTH_RATIO ** 2 * least for q in variances)


def _check(angle, least, most):
    if angle.size and not least < angle.min() <= angle.max() < most:
        raise NotGeneric


def erf(p: Pair, ntk: Array | None, a: Number, b: Number, c: Number) -> Fused:
    """`duals.erf`:  K' = m atan2(2 b^2 K, sqrt D) + c^2,  slope = 2 m b^2 / sqrt D,  m = 2 a^2 / pi,

    D = (1 + 2 b^2 q) (1 + 2 b^2 q') - 4 b^4 K^2.
    """
    m = 2 * a * a / p.xp.pi
    bb = b * b
    k = 2 * bb * p.k
    root = _root(p, 1 + 2 * bb * p.q1, 1 + 2 * bb * p.q2, k)
    k = p.xp.arctan2(k, root, out=k)
    _check(k, MIN_ANGLE - p.xp.pi / 2, p.xp.pi / 2 - MIN_ANGLE)
    k *= m
    k += c * c
    return k, None, None, None if ntk is None else 2 * m * bb / root * ntk


def gelu(p: Pair, ntk: Array | None) -> Fused:
    """`duals.gelu`:  K' = K/4 + [(K^2 x x' + y y' D) / sqrt D + K alpha] / (2 pi),  alpha = atan2(K, sqrt D),

    slope = 1/4 + [alpha + K / sqrt D (1 / D + x + x')] / (2 pi),
    x = 1 / (1 + q),  y = q / (1 + q),  D = (1 + q) (1 + q') - K^2.
    """
    xp = p.xp
    x1 = 1 / (1 + p.q1)
    x2 = 1 / (1 + p.q2)
    root = _root(p, 1 + p.q1, 1 + p.q2, p.k)
    alpha = xp.arctan2(p.k, root)
    _check(alpha, MIN_ANGLE - xp.pi / 2, xp.pi / 2 - MIN_ANGLE)
    xx = x1 * x2
    yy = (p.q1 * x1) * (p.q2 * x2)
    ratio = p.k / root
    k = ratio * xx
    k += alpha
    k *= p.k
    k += xp.multiply(yy, root, out=xp.empty_like(root))
    k /= 2 * xp.pi
    k += p.k / 4
    if ntk is None:
        return k, None, None, None
    root *= root
    slope = 1 / root
    slope += x1
    slope += x2
    slope *= ratio
    slope += alpha
    slope /= 2 * xp.pi
    slope += 1 / 4
    slope *= ntk
    return k, None, None, slope


def _root(p, r1, r2, k):
    """Return sqrt(r1 r2 - k^2), with the memory order of k."""
    xp = p.xp
    if not _squares(p):
        raise NotGeneric
    root = xp.multiply(r1, r2, out=xp.empty_like(k))
    root -= k * k
    return xp.sqrt(xp.maximum(root, 0, out=root), out=root)


# ------------------------------------------------------------------ all pairs

SERIES_ANGLE = .05     # below, j_delta = A - theta K would be less accurate than about 1e-14


def abrelu(p: Pair, ntk: Array | None, a: Number, b: Number) -> Fused:
    """`duals.abrelu` and Theta':  K' = c K + e j_delta,  gap' = c gap - 2 e j_delta,  Theta' = (c - e theta) Theta."""
    c = (a * a + b * b) / 2
    e = (a - b) ** 2 / (2 * p.xp.pi)
    if p.is_generic:
        if not _squares(p):
            raise NotGeneric
        return _abrelu_generic(p, ntk, c, e)
    if _squares(p) and _alike(p):
        return _abrelu(p, ntk, c, e, lambda p: duals.abrelu(p, a, b)[0])
    cov, slope = duals.abrelu(p, a, b)
    return cov.k, cov.gap, None, None if ntk is None else slope * ntk


def _abrelu_generic(p, ntk, c, e):
    """K' = (c - e theta) K + e A,  A^2 = q q' - K^2,  Theta' = (c - e theta) Theta."""
    xp = p.xp
    area = xp.multiply(p.q1, p.q2, out=xp.empty_like(p.k))                   # memory order of K
    theta = p.k * p.k
    area -= theta
    xp.sqrt(xp.maximum(area, 0, out=area), out=area)
    theta = xp.arctan2(area, p.k, out=theta)                                 # 0 where a variance is
    _check(theta, MIN_ANGLE, MAX_ANGLE)
    theta *= -e
    theta += c
    k = scaled(p.k, theta, p.is_spare)
    area *= e
    k += area
    return k, None, None, None if ntk is None else scaled(ntk, theta, p.is_spare)


def _abrelu(p, ntk, c, e, plain):
    xp = p.xp
    t = xp.multiply(p.n1, p.n2, out=xp.empty_like(p.k))
    t += p.k
    j = xp.subtract(p.n1, p.n2, out=xp.empty_like(p.k))
    j *= j
    xp.subtract(p.gap, j, out=j)
    j *= t
    j *= .5
    xp.sqrt(xp.maximum(j, 0, out=j), out=j)                                  # the area
    theta = xp.arctan2(j, p.k)
    if not (xp.all(p.q1 > 0) and xp.all(p.q2 > 0)):
        theta[...] = xp.where(p.s > 0, theta, xp.pi / 2)                    # the memory order stays
    small = []
    if theta.size and theta.min() < SERIES_ANGLE:
        small = xp.nonzero(theta.ravel('K') < SERIES_ANGLE)[0]
        j_small = j.ravel('K')[small] * one_minus_t_cot(theta.ravel('K')[small])
    j -= xp.multiply(theta, p.k, out=t)
    if len(small):
        j.ravel('K')[small] = j_small                       # writes through a view: j is contiguous
    j *= e
    k = c * p.k
    gap = c * p.gap
    k += j
    j *= 2
    gap -= j
    if theta.size and theta.max() > MAX_ANGLE:
        i = xp.nonzero(theta > MAX_ANGLE)
        rare = plain(p.at(i))
        k[i] = rare.k
        gap[i] = rare.gap
    theta *= -e
    theta += c
    if ntk is None:
        return k, gap, None, None
    theta *= ntk
    return k, gap, None, theta


def one_minus_t_cot(t):
    """Return 1 - t cot t = t^2/3 + t^4/45 + 2 t^6/945 + t^8/4725 + ..., for t < SERIES_ANGLE."""
    tt = t * t
    return tt / 3 * (1 + tt * (1 / 15 + tt * (2 / 315 + tt / 1575)))
