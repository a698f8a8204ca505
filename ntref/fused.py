"""Duals in few passes over memory, for NumPy arrays that fit in the cache: the forms of `ntref.duals` that are used most.

Each says the same as the plain form, and hands the pairs that need care back to it.
"""
from itertools import product
from math import prod

from . import duals
from .duals import Cov, Pair

__all__ = ['BLOCK', 'abrelu', 'blocks']

BLOCK = 2 ** 16          # entries of a block: smaller ones lose to the interpreter, larger ones leave the cache


def blocks(shape, limit):
    """Indices of contiguous parts of at most `limit` entries (or of one)."""
    limit = max(1, limit)
    if prod(shape) == 0:
        return [(slice(None),) * len(shape)]
    axis = next(i for i in range(len(shape)) if prod(shape[i + 1:]) <= limit)
    step = limit // prod(shape[axis + 1:])
    slices = [[slice(i, i + 1) for i in range(n)] for n in shape[:axis]]
    slices.append([slice(i, i + step) for i in range(0, shape[axis], step)])
    return [(*block, *[slice(None)] * (len(shape) - axis - 1)) for block in product(*slices)]


# ------------------------------------------------------------------ the forms

SMALL, LARGE = .05, 2.4       # angles outside lose digits of gap' or K' below: a few eps / SMALL of them


def abrelu(p, ntk, a, b):
    """`duals.abrelu` with Theta' for K' and gap':  K' = c K + e near,  gap' = c gap - 2 e near,  slope = c - e theta."""
    xp, c, e = p.xp, (a * a + b * b) / 2, (a - b) ** 2 / (2 * p.xp.pi)
    t = xp.multiply(p.n1, p.n2, out=p.k.copy(order='K'))                     # in memory in the order of K
    t += p.k
    near = xp.subtract(p.n1, p.n2, out=p.k.copy(order='K'))
    near *= near
    xp.subtract(p.gap, near, out=near)
    near *= t
    near *= .5
    xp.sqrt(xp.maximum(near, 0, out=near), out=near)                         # the area
    theta = xp.arctan2(near, p.k)
    if not (xp.all(p.q1 > 0) and xp.all(p.q2 > 0)):
        theta = xp.where(p.s > 0, theta, xp.pi / 2)
    near -= xp.multiply(theta, p.k, out=t)
    near *= e
    k, gap = c * p.k, c * p.gap
    k += near
    near *= 2
    gap -= near
    rare = None
    if theta.min() < SMALL or theta.max() > LARGE:
        i = xp.nonzero((theta < SMALL) | (theta > LARGE))
        q1, q2 = (xp.broadcast_to(q, k.shape)[i] for q in (p.q1, p.q2))
        rare, slope = duals.abrelu(Pair(q1, q2, Cov(p.k[i], p.gap[i])), a, b)
        k[i], gap[i] = rare.k, rare.gap
    theta *= -e
    theta += c
    if rare is not None:
        theta[i] = slope
    if ntk is not None:
        theta *= ntk
    return k, gap, None, theta if ntk is not None else None
