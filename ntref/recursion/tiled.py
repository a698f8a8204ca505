"""Kernels of inputs in memory, computed in blocks of inputs against blocks of inputs, with or without positions."""
from contextlib import suppress
from dataclasses import fields, is_dataclass
from math import prod
from typing import Any

from ..arrays import TRACED, is_on_device, kind, namespace
from ..duals.generic import NotGeneric
from ..engine.cover import ENTRIES, above, rectangles, strips
from ..engine.device import entries_of_tile
from ..engine.run import in_threads, shown
from ..types import Array
from ..windows import packed
from .positions import swapped
from .signal import Demand, Signal
from .start import channels_last
from .tape import copied, joined, of_rows, recording, replaying
from .tile import input_tile

__all__ = ['in_parts', 'is_large', 'on_threads']


WORTH_TILES = 2 ** 10    # pairs without positions up to which tiles are slower than one pass: measured
ONE_SQUARE = 2 ** 17     # pairs of inputs with each other up to which they are one tile: measured
HIGH = 64                # least rows of a tile without positions: mirrored, they are written in one run
SHARE = 8                # of the rows, in a strip: of its square half is computed for nothing
WORTH_A_TRY = 32         # tiles beyond which the first one tells whether to try the others without gaps


def is_large(layer: Any, x1: Any, x2: Any, signals: tuple, names: tuple[str, ...]) -> bool:
    """True if tiles pay off and blocks of the kernel are independent of each other."""
    if not isinstance(signals[0], Signal) or not names or not set(names) <= {'nngp', 'ntk'}:
        return False
    if {kind(a) for a in (x1, x2, *signals[0].patterns)} - {None} not in ({'numpy'}, {'cupy'}):
        return False
    pairs = prod(s.shape[s.axes.batch] for s in signals)
    least = min(WORTH_TILES, ENTRIES) if x1.ndim == 2 else 1
    return pairs > least and isinstance(layer.after(signals[0]), Signal) and layer.tileable(signals[0]) and \
        _in_tiles(layer)


def _in_tiles(layer):
    """True if all layers within allow tiles and autograd follows none of their numbers."""
    return _all(layer, lambda part: kind(part) not in TRACED and getattr(part, 'in_tiles', True))


def on_threads(layer: Any) -> bool:
    """True if no layer within calls functions of the user, which may not be safe in threads."""
    return _all(layer, lambda part: getattr(part, 'on_threads', True))


def _all(value, holds):
    """True if `holds` of a layer, of the layers in its fields and of all else there."""
    parts = [getattr(value, f.name) for f in fields(value)] if is_dataclass(value) else value
    return holds(value) and (not isinstance(parts, (list, tuple)) or all(_all(part, holds) for part in parts))


def in_parts(layer: Any, x1: Array, x2: Array | None, signals: tuple[Signal, Signal], demand: Demand,
             names: tuple[str, ...]) -> dict[str, Array]:
    """Return {name: kernel} of a network, for 'nngp' and 'ntk': first inputs with themselves, then the other pairs."""
    xp = namespace(x1)
    symmetric = x2 is None
    is_ours = on_threads(layer)                        # functions of the user may have no slope, either
    threads = None if is_ours and not is_on_device(x1) else 1
    a = _laid_out(x1, demand)
    b = a if x2 is None else _laid_out(x2, demand)

    def tile(a, b, tape, signals, names, rows, ntk=False, **part):
        k = input_tile(a, b, tape, signals, demand, ntk or 'ntk' in names, rows, **part)
        k = layer.propagate(k).computed().finished()
        k = k.aligned() if demand.diagonal else k
        return k, [getattr(k, name) for name in names]

    def own(x, signal, names):
        """Return kernels of each x with itself, variances after every step, and numbers of positions at the end."""
        def part(lo):
            steps, rows = [], (slice(lo, lo + at_once),) * 2
            k, values = tile(x, None, recording(steps, copied), (signal, signal), names, rows, ntk=is_ours)
            return values, steps, k.nngp.shape[1:]
        at_once = _pairs_at_once(x, demand)
        parts, steps, positions = zip(*in_threads(part, range(0, len(x), at_once), threads, shown(None, 'variances')))
        return [xp.concatenate(p) for p in zip(*parts)], [joined(entries) for entries in zip(*steps)], positions[0]

    def block(job, is_generic=True):
        """Compute one block, with gaps unless its pairs are generic; return True if it was computed without gaps."""
        rows, crosses = _places(xp, job, symmetric)
        q1, q2 = ([of_rows(entry, r) for entry in steps] for steps, r in zip((steps1, steps2), rows))
        for is_generic in (True, False) if is_generic else (False,):
            with suppress(NotGeneric):
                k, values = tile(a, b, replaying(q1, q2), signals, names, rows, is_generic=is_generic, crosses=crosses)
                break
        for out, v in zip(outs, values, strict=True):
            _write(out, *rows, v, k, symmetric, crosses)
        return is_generic
    diagonal, steps1, positions = own(a, signals[0], names if symmetric else ())
    steps2 = steps1 if symmetric else own(b, signals[1], ())[1]
    outs = [xp.empty_like(a, shape=(len(a), len(b), *positions)) for _ in names]
    jobs = _blocks(a, b, _pairs_at_once(a, demand), symmetric)
    is_generic = not is_on_device(a) and (len(jobs) <= WORTH_A_TRY or in_threads(block, [jobs.pop(0)])[0])
    in_threads(lambda job: block(job, is_generic), jobs, threads, shown(None, 'kernel'))
    for out, values in zip(outs, diagonal):
        _write_own(out, values)
    return dict(zip(names, outs))


def _laid_out(x, demand):
    """Return x as (n, *positions, channels), contiguous input by input or, if there are positions, `packed`."""
    return packed(channels_last(x, demand.axes.of(x.ndim)), 1 if x.ndim > 2 else 0)


def _pairs_at_once(a, demand):
    """Return how many pairs a tile has; on a device it depends on what is free there now."""
    of_pair = prod(a.shape[1:-1]) ** (2 if demand.paired else 1)
    return max(1, 8 * entries_of_tile(a, ENTRIES) // a.dtype.itemsize // of_pair)


def _blocks(a, b, size, symmetric):
    """Return the blocks of inputs a against b, of about `size` pairs: all of them, or those above the diagonal.

    Of vectors they include the diagonal, since lists of pairs cost more than pairs computed twice.
    """
    if not symmetric:
        return rectangles(len(a), len(b), size)
    n = max(len(a), 1)
    if a.ndim == 2 and n * n <= min(ONE_SQUARE, size):
        return strips(len(a), size, n)
    if a.ndim == 2:
        return strips(len(a), size, max(min(max(size // n, HIGH), n // SHARE), 1))
    most = max(n // 8, min(size // n, n) // 2)                           # of few small images the tiles are few, too
    return above(len(a), size, max(min(size // n, most), 1))


def _places(xp, job, symmetric):
    """Return rows and columns of a block, and whether the diagonal goes through it."""
    if isinstance(job, list):
        return _pairs_within(xp, job), False
    i, j = job
    return job, symmetric and i.start == j.start


def _pairs_within(xp, ranges):
    """Return all i < j within the same range, as two arrays."""
    members = [xp.asarray(r) for r in ranges]
    places = [(r[0], xp.nonzero(r[:, None] < r)) for r in members]
    return [xp.concatenate([start + at[side] for start, at in places]) for side in (0, 1)]


def _mirrored(values, k):
    """Return the values of a tile k, x1 against x2, as those of x2 against x1."""
    values = swapped(values, k.batch_axes) if k.paired else values
    return values if k.batch_axes == 1 else namespace(values).moveaxis(values, 0, 1)


def _write_own(out, values):
    """Write the kernels of inputs with themselves to `out`."""
    every = namespace(out).asarray(range(len(out)))
    out[every, every] = values


def _write(out, i, j, values, k, symmetric, crosses):
    """Write the values of a tile k to `out`; if symmetric, also mirrored, for x2 against x1.

    If the tile crosses the diagonal, the lower half of its square there is the mirror image of the upper one.
    """
    out[i, j] = values
    if symmetric:
        out[j, i] = _mirrored(values, k)
    if crosses:
        square = out[i, i]
        at = namespace(out).asarray(range(len(square)))
        below = (at[:, None] > at).reshape(len(at), len(at), *(1,) * (square.ndim - 2))
        out[i, i] = namespace(out).where(below, _mirrored(square, k), square)
