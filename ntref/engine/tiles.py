"""Kernels of many inputs tile by tile, so that what is carried from layer to layer stays in the cache.

A tile is a block of rows and columns. With x2 = x1 only those on and above the diagonal are computed. Tiles run on as
many threads as there are cores (NumPy lets go of the interpreter's lock), each with BLAS held to one thread; without
threadpoolctl, which holds it, they run one after the other.
"""
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec

__all__ = ['ENTRIES', 'SIDE', 'in_threads', 'in_tiles', 'pairs', 'rectangles', 'tiles']

SIDE = 256             # rows and columns of a tile: measured, validation/bench.py
ENTRIES = 2 ** 18      # float64, of a tile of pairs of inputs with positions, or those of one pair


def tiles(n1, n2, symmetric):
    """Pairs of slices that cover (n1, n2), or its part on and above the diagonal.

    >>> [(i.start, j.start) for i, j in tiles(300, 600, False)]
    [(0, 0), (0, 256), (0, 512), (256, 0), (256, 256), (256, 512)]
    """
    return [(slice(i, i + SIDE), slice(j, j + SIDE))
            for i in range(0, n1, SIDE) for j in range(i if symmetric else 0, n2, SIDE)]


def in_tiles(kernel, n1, n2, symmetric, outs):
    """Fills the arrays `outs` (n1, n2) with what kernel(rows, columns) gives for them, tile by tile.

    kernel(rows, None) is the tile of rows with themselves. With `symmetric`, the lower half mirrors the upper one.
    """
    def work(tile):
        rows, columns = tile
        blocks = kernel(rows, None if symmetric and rows == columns else columns)
        for out, block in zip(outs, blocks, strict=True):
            out[rows, columns] = block
            if symmetric and rows != columns:
                out[columns, rows] = block.T
    in_threads(work, tiles(n1, n2, symmetric))


def rectangles(n1, n2, size, above=False):
    """Blocks (rows, columns), as slices, of about `size` pairs that cover (n1, n2), or what is above the diagonal ones.

    >>> [(i.start, j.start) for i, j in rectangles(2, 3, 2)]
    [(0, 0), (0, 2), (1, 0), (1, 2)]
    """
    rows = max(1, size // max(n2, 1))
    columns = max(1, size // rows)
    return [(slice(i, i + rows), slice(j, j + columns)) for i in range(0, n1, rows)
            for j in range(i + rows if above else 0, n2, columns)]


def pairs(n, size):
    """All i < j < n: `rectangles` above the diagonal, and lists of rows and their columns from its blocks.

    >>> pairs(4, 8)
    [(slice(0, 2, None), slice(2, 6, None)), ([0, 2], [1, 3])]
    """
    rows = max(1, size // max(n, 1))
    near = [(i, j) for i in range(n) for j in range(i + 1, min(n, i // rows * rows + rows))]
    lists = [near[lo:lo + size] for lo in range(0, len(near), size)]
    return rectangles(n, n, size, above=True) + [tuple(map(list, zip(*pairs))) for pairs in lists]


def in_threads(work, jobs):
    """work(job) for all jobs, in order; [results]."""
    _keep_freed()
    one_thread = find_spec('threadpoolctl') is not None
    limits = import_module('threadpoolctl').threadpool_limits(1) if one_thread else nullcontext()
    with limits, ThreadPoolExecutor(os.cpu_count() if one_thread else 1) as pool:
        return list(pool.map(work, jobs))


@cache
def _keep_freed():
    """glibc keeps arrays that are freed up to the longest one so far, at most 32 MiB, which it allocated and freed.

    Got anew from the system, those of a tile would cost a page fault for every 512 numbers: a third of the time.
    """
    bytes(2 ** 25 - 2 ** 13)
