"""Kernels of many inputs tile by tile, so that what is carried from layer to layer stays in the cache.

A tile is a block of rows and columns. With x2 = x1 only those on and above the diagonal are computed. Tiles run on as
many threads as there are cores (NumPy lets go of the interpreter's lock), each with BLAS held to one thread; without
threadpoolctl, which holds it, they run one after the other.
"""
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec

__all__ = ['ENTRIES', 'SIDE', 'in_threads', 'in_tiles', 'pair_tiles', 'tiles']

SIDE = 256             # rows and columns of a tile: measured, validation/bench.py
ENTRIES = 2 ** 18      # of a tile of pairs of inputs with positions, or those of one pair


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


def pair_tiles(n1, n2, symmetric, size):
    """Blocks (rows, columns), as ranges, of at most `size` pairs that cover (n1, n2), or its part above the diagonal.

    >>> pair_tiles(3, 3, True, 2)
    [(range(0, 1), range(1, 3)), (range(1, 2), range(2, 3))]
    """
    columns = max(1, min(n2, size))
    rows = max(1, size // columns)
    return [(range(i, min(i + rows, n1)), range(j, min(j + columns, n2))) for i in range(0, n1, rows)
            for j in range(i + 1 if symmetric else 0, n2, columns)]


def in_threads(work, jobs):
    """work(job) for all jobs, in order; [results]."""
    one_thread = find_spec('threadpoolctl') is not None
    limits = import_module('threadpoolctl').threadpool_limits(1) if one_thread else nullcontext()
    with limits, ThreadPoolExecutor(os.cpu_count() if one_thread else 1) as pool:
        return list(pool.map(work, jobs))
