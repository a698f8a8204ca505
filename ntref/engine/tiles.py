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

__all__ = ['ENTRIES', 'above', 'in_threads', 'rectangles']

ENTRIES = 2 ** 18      # float64, of a tile, or those of one pair of inputs: measured, validation/bench.py


def rectangles(n1, n2, size):
    """Blocks (rows, columns), as slices, of about `size` pairs that cover (n1, n2).

    >>> [(i.start, j.start) for i, j in rectangles(2, 3, 2)]
    [(0, 0), (0, 2), (1, 0), (1, 2)]
    """
    rows = max(1, size // max(n2, 1))
    columns = max(1, size // rows)
    return [(slice(i, i + rows), slice(j, j + columns)) for i in range(0, n1, rows) for j in range(0, n2, columns)]


def above(n, size):
    """All i < j < n: blocks (rows, columns) of about `size` pairs; and the rows of these, as lists of ranges.

    The pairs within a range are what is left, about `size` in a list.

    >>> above(3, 6)
    [(slice(0, 1, None), slice(1, 3, None)), (slice(1, 2, None), slice(2, 3, None))]
    >>> above(32, 64)[-1]
    [range(0, 2), range(2, 4), range(4, 6), range(6, 8), range(8, 10), range(10, 12), range(12, 14), range(14, 16), ...]
    """
    rows = max(1, min(size // max(n, 1), n // 16))
    blocks = [range(i, min(i + rows, n)) for i in range(0, n, rows)]
    others = [(slice(i.start, i.stop), slice(j, min(j + size // rows, n)))
              for i in blocks for j in range(i.stop, n, size // rows)]
    within, many = [i for i in blocks if len(i) > 1], max(1, 2 * size // rows ** 2)
    return others + [within[lo:lo + many] for lo in range(0, len(within), many)]


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
