"""Duals in few passes over memory, for NumPy arrays that fit in the cache.

Each says the same as its plain form in `ntref.duals`, and hands the pairs that need care back to it.
"""
from . import duals
from .duals import Cov, Pair

__all__ = ['BLOCK', 'abrelu']

BLOCK = 2 ** 18          # entries of a block: on two threads smaller ones wait for the interpreter; validation/bench.py


# ------------------------------------------------------------------ the forms

SMALL, LARGE = .05, 2.7       # angles beyond: near = A - theta K, or K', would lose more digits than 1e-14 or so


def abrelu(p, ntk, a, b):
    """`duals.abrelu` and Theta':  K' = c K + e near,  gap' = c gap - 2 e near,  Theta' = (c - e theta) Theta."""
    xp, c, e = p.xp, (a * a + b * b) / 2, (a - b) ** 2 / (2 * p.xp.pi)
    t = xp.multiply(p.n1, p.n2, out=xp.empty_like(p.k))                      # in memory in the order of K
    t += p.k
    near = xp.subtract(p.n1, p.n2, out=xp.empty_like(p.k))
    near *= near
    xp.subtract(p.gap, near, out=near)
    near *= t
    near *= .5
    xp.sqrt(xp.maximum(near, 0, out=near), out=near)                         # the area
    theta = xp.arctan2(near, p.k)
    if not (xp.all(p.q1 > 0) and xp.all(p.q2 > 0)):
        theta = xp.where(p.s > 0, theta, xp.pi / 2)
    small = xp.nonzero(theta < SMALL) if theta.min() < SMALL else None
    near_small = None if small is None else near[small] * one_minus_t_cot(theta[small])
    near -= xp.multiply(theta, p.k, out=t)
    if small is not None:
        near[small] = near_small
    near *= e
    k, gap = c * p.k, c * p.gap
    k += near
    near *= 2
    gap -= near
    if theta.max() > LARGE:
        i = xp.nonzero(theta > LARGE)
        q1, q2 = (xp.broadcast_to(q, k.shape)[i] for q in (p.q1, p.q2))
        rare, _ = duals.abrelu(Pair(q1, q2, Cov(p.k[i], p.gap[i])), a, b)
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
