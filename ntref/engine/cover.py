"""Tiles that cover a kernel; with x2 = x1 they cover the part above the diagonal only."""
from collections.abc import Sequence
from itertools import combinations_with_replacement, product
from typing import Any, TypeVar

__all__ = ['ENTRIES', 'above', 'blocks', 'cuts', 'put_block', 'rectangles', 'strips']

Part = TypeVar('Part')

# float64 numbers in a tile (at least those of one pair): measured, validation/bench.py
ENTRIES = 2 ** 18


def cuts(n: int, side: int) -> list[slice]:
    """Return slices of `side` entries that cover n; the last may have fewer.

    >>> cuts(3, 2)
    [slice(0, 2, None), slice(2, 3, None)]
    """
    return [slice(start, min(start + side, n)) for start in range(0, n, side)]


def blocks(rows: Sequence[Part], columns: Sequence[Part] | None = None) -> list[tuple[Part, Part]]:
    """Return all pairs of a part of the rows and one of the columns.

    Without `columns` these are the blocks on and above the diagonal, for columns that are cut like the rows.

    >>> blocks('ab', 'xy'), blocks('ab')
    ([('a', 'x'), ('a', 'y'), ('b', 'x'), ('b', 'y')], [('a', 'a'), ('a', 'b'), ('b', 'b')])
    """
    if columns is None:
        return list(combinations_with_replacement(rows, 2))
    return list(product(rows, columns))


def put_block(out: Any, rows: slice, columns: slice, block: Any, symmetric: bool) -> None:
    """Write a block into the kernel `out`, and its mirror image too if the kernel is `symmetric`."""
    out[rows, columns] = block
    if symmetric and rows != columns:
        out[columns, rows] = block.T


def rectangles(n1: int, n2: int, size: int) -> list[tuple[slice, slice]]:
    """Return blocks (rows, columns), as slices, of about `size` pairs that cover (n1, n2).

    >>> [(i.start, j.start) for i, j in rectangles(2, 3, 2)]
    [(0, 0), (0, 2), (1, 0), (1, 2)]
    """
    height = max(1, size // max(n2, 1))
    width = max(1, size // height)
    return blocks(cuts(n1, height), cuts(n2, width))


def strips(n: int, size: int, rows: int) -> list[tuple[slice, slice]]:
    """Return blocks (rows, columns) of about `size` pairs that cover all i <= j < n; strips begin with a square.

    >>> [(i.start, j.start, j.stop) for i, j in strips(5, 6, 2)]
    [(0, 0, 3), (0, 3, 5), (2, 2, 5), (4, 4, 5)]
    """
    width = max(rows, size // rows)
    return [(here, slice(j, min(j + width, n)))
            for here in cuts(n, rows) for j in range(here.start, n, width)]


def above(n: int, size: int, rows: int) -> list[tuple[slice, slice] | list[range]]:
    """Return blocks (rows, columns) of about `size` pairs and lists of ranges of rows, which cover all i < j < n.

    The lists have the pairs within each range, about `size` in a list. They come second, because they take long.

    >>> above(3, 6, 1)
    [(slice(0, 1, None), slice(1, 3, None)), (slice(1, 2, None), slice(2, 3, None))]
    >>> above(32, 64, 2)[1]
    [range(0, 2), range(2, 4), range(4, 6), range(6, 8), range(8, 10), range(10, 12), range(12, 14), range(14, 16), ...]
    """
    width = size // rows
    others = []
    within = []
    for here in cuts(n, rows):
        others += [(here, slice(j, min(j + width, n))) for j in range(here.stop, n, width)]
        if here.stop - here.start > 1:
            within.append(range(here.start, here.stop))
    many = max(1, 2 * size // rows ** 2)
    lists = [within[part] for part in cuts(len(within), many)]
    return [*others[:1], *lists, *others[1:]]
