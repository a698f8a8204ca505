"""Duals in few passes over memory, for NumPy arrays that fit in the cache.

Each says the same as its plain form in `ntref.duals`, and hands the pairs that need care back to it.
"""
from . import duals
from .duals import Cov, Pair

__all__ = ['BLOCK', 'Near', 'abrelu']

BLOCK = 2 ** 18        # float64 entries of a block: threads with smaller ones wait for each other; validation/bench.py


class Near(Exception):
    """Pairs were said to be far from coincidence and opposition, and some are not."""


# ------------------------------------------------------------------ the forms

FAR = .1                      # angles of far pairs are beyond, where K alone gives them to 1e-14 or so
SMALL, LARGE = .05, 2.7       # angles beyond: near = A - theta K, or K', would lose more digits than 1e-14 or so


def abrelu(p, ntk, a, b):
    """`duals.abrelu` and Theta':  K' = c K + e near,  gap' = c gap - 2 e near,  Theta' = (c - e theta) Theta."""
    c, e = (a * a + b * b) / 2, (a - b) ** 2 / (2 * p.xp.pi)
    return _abrelu_far(p, ntk, c, e) if p.is_far else _abrelu(p, ntk, c, e, lambda p: duals.abrelu(p, a, b)[0])


def _abrelu_far(p, ntk, c, e):
    """K' = (c - e theta) K + e A,  A^2 = (s - K) (s + K)."""
    xp, s = p.xp, p.xp.multiply(p.n1, p.n2, out=p.xp.empty_like(p.k))        # in memory in the order of K
    area = s - p.k
    s += p.k
    area *= s
    xp.sqrt(xp.maximum(area, 0, out=area), out=area)
    theta = xp.arctan2(area, p.k, out=s)                                     # 0 where a variance is
    if theta.size and not FAR < theta.min() <= theta.max() < LARGE:
        raise Near
    theta *= -e
    theta += c
    k = theta * p.k
    area *= e
    k += area
    if ntk is not None:
        theta *= ntk
    return k, None, None, theta if ntk is not None else None


def _abrelu(p, ntk, c, e, plain):
    xp = p.xp
    t = xp.multiply(p.n1, p.n2, out=xp.empty_like(p.k))
    t += p.k
    near = xp.subtract(p.n1, p.n2, out=xp.empty_like(p.k))
    near *= near
    xp.subtract(p.gap, near, out=near)
    near *= t
    near *= .5
    xp.sqrt(xp.maximum(near, 0, out=near), out=near)                         # the area
    theta = xp.arctan2(near, p.k)
    if not (xp.all(p.q1 > 0) and xp.all(p.q2 > 0)):
        theta[...] = xp.where(p.s > 0, theta, xp.pi / 2)                     # in the same order in memory
    small = xp.nonzero(theta.ravel('K') < SMALL)[0] if theta.min() < SMALL else []
    near_small = near.ravel('K')[small] * one_minus_t_cot(theta.ravel('K')[small]) if len(small) else None
    near -= xp.multiply(theta, p.k, out=t)
    if len(small):
        near.ravel('K')[small] = near_small                                  # of a view: near is without gaps
    near *= e
    k, gap = c * p.k, c * p.gap
    k += near
    near *= 2
    gap -= near
    if theta.max() > LARGE:
        i = xp.nonzero(theta > LARGE)
        q1, q2 = (xp.broadcast_to(q, k.shape)[i] for q in (p.q1, p.q2))
        rare = plain(Pair(q1, q2, Cov(p.k[i], p.gap[i])))
        k[i], gap[i] = rare.k, rare.gap
    theta *= -e
    theta += c
    if ntk is not None:
        theta *= ntk
    return k, gap, None, theta if ntk is not None else None


def one_minus_t_cot(t):
    """1 - t cot t = t^2/3 + t^4/45 + 2 t^6/945 + t^8/4725 + ..., for t < SMALL."""
    tt = t * t
    return tt / 3 * (1 + tt * (1 / 15 + tt * (2 / 315 + tt / 1575)))
