"""Duals on large arrays: block by block, so that temporaries stay in the cache, and in place.

    in_blocks(dual, fused, (q1, q2), (q1', q2'), (K, gap, area, Theta), in_place)  ->  K', gap', area', Theta'

`dual` is the plain form of `ntref.duals`, `fused` (or None) one of the forms below, which say the same in the fewest
passes over memory and hand the pairs that need care back to the plain one.
"""
from itertools import product
from math import prod

from . import duals
from .arrays import namespace
from .duals import Cov, Pair

__all__ = ['BLOCK', 'abrelu', 'blocks', 'in_blocks', 'outputs', 'written']

BLOCK = 2 ** 17          # entries of a block: smaller ones lose to the interpreter, larger ones leave the cache


def in_blocks(dual, fused, old, new, arrays, in_place):
    """The dual of the variances `old` and the arrays K, gap, area, with Theta' = slope Theta.

    `new` are the variances after it. An area is stated if one is given; `fused` is for pairs without.
    """
    def step(q1, q2, new1, new2, k, gap, area, ntk):
        pair = Pair(q1, q2, Cov(k, gap, area))
        if fused is not None and area is None:
            return fused(pair, ntk)
        cov, slope = dual(pair)
        k, gap, stated = Pair(new1, new2, cov).settled()
        return k, gap, None if area is None else stated, None if ntk is None else slope * ntk
    outs, shape = None, arrays[0].shape
    for block in blocks(shape):
        results = step(*(_part(a, block) for a in (*old, *new, *arrays)))
        outs = outs or outputs(results, shape, arrays if in_place else None)
        written(outs, block, results)
    return outs


def outputs(results, shape, arrays=None):
    """Arrays for parts like `results` (None: none): those of `arrays` if given, else new ones."""
    def output(r, a):
        return None if r is None else namespace(r).zeros(shape).astype(r.dtype, copy=False) if a is None else a
    return [output(r, a) for r, a in zip(results, arrays or [None] * len(results))]


def written(outs, block, results):
    for out, r in zip(outs, results, strict=True):
        if out is not None:
            out[block] = r


def blocks(shape):
    """Indices of contiguous parts of at most BLOCK entries (or of one row)."""
    if prod(shape) == 0:
        return [(slice(None),) * len(shape)]
    axis = next(i for i in range(len(shape)) if prod(shape[i + 1:]) <= BLOCK)
    step = BLOCK // prod(shape[axis + 1:])
    slices = [[slice(i, i + 1) for i in range(n)] for n in shape[:axis]]
    slices.append([slice(i, i + step) for i in range(0, shape[axis], step)])
    return [(*block, *[slice(None)] * (len(shape) - axis - 1)) for block in product(*slices)]


def _part(a, block):
    """The block of what broadcasts to the whole."""
    if a is None or isinstance(a, int):
        return a
    return a[tuple(slice(None) if n == 1 else s for n, s in zip(a.shape, block, strict=True))]


# ------------------------------------------------------------------ the forms

SMALL, LARGE = .05, 2.4       # angles outside lose digits of gap' or K' below: a few eps / SMALL of them


def abrelu(p, ntk, a, b):
    """`duals.abrelu` with Theta' for K' and gap':  K' = c K + e near,  gap' = c gap - 2 e near,  slope = c - e theta."""
    xp, c, e = p.xp, (a * a + b * b) / 2, (a - b) ** 2 / (2 * p.xp.pi)
    near = p.n1 - p.n2
    near *= near
    near = p.gap - near
    t = p.n1 * p.n2
    t += p.k
    near *= t
    near *= .5
    xp.sqrt(xp.maximum(near, 0, out=near), out=near)                         # the area
    theta = xp.arctan2(near, p.k)
    if not (xp.all(p.q1 > 0) and xp.all(p.q2 > 0)):
        theta = xp.where(p.s > 0, theta, xp.pi / 2)
    near -= theta * p.k
    i = xp.nonzero((theta < SMALL) | (theta > LARGE))
    near *= e
    k, gap = c * p.k, c * p.gap
    k += near
    near *= 2
    gap -= near
    theta *= -e
    theta += c
    if len(i[0]):
        q1, q2 = (xp.broadcast_to(q, k.shape)[i] for q in (p.q1, p.q2))
        rare, theta[i] = duals.abrelu(Pair(q1, q2, Cov(p.k[i], p.gap[i])), a, b)
        k[i], gap[i] = rare.k, rare.gap
    if ntk is not None:
        theta *= ntk
    return k, gap, None, theta if ntk is not None else None
