"""Tiles that cover a kernel; with x2 = x1 they cover the part above the diagonal only."""

__all__ = ['ENTRIES', 'above', 'rectangles']

ENTRIES = 2 ** 18      # float64 numbers in a tile (at least those of one pair): measured, validation/bench.py


def rectangles(n1, n2, size):
    """Return blocks (rows, columns), as slices, of about `size` pairs that cover (n1, n2).

    >>> [(i.start, j.start) for i, j in rectangles(2, 3, 2)]
    [(0, 0), (0, 2), (1, 0), (1, 2)]
    """
    rows = max(1, size // max(n2, 1))
    columns = max(1, size // rows)
    return [(slice(i, i + rows), slice(j, j + columns)) for i in range(0, n1, rows) for j in range(0, n2, columns)]


def above(n, size, rows):
    """Return blocks (rows, columns) of about `size` pairs and lists of ranges of rows, which cover all i < j < n.

    Blocks have `rows` rows, but at most n / 16, so that little is left for the lists.

    The lists have the pairs within each range, about `size` in a list. They come second, because they take long.

    >>> above(3, 6, 2)
    [(slice(0, 1, None), slice(1, 3, None)), (slice(1, 2, None), slice(2, 3, None))]
    >>> above(32, 64, 2)[1]
    [range(0, 2), range(2, 4), range(4, 6), range(6, 8), range(8, 10), range(10, 12), range(12, 14), range(14, 16), ...]
    """
    rows = max(1, min(rows, n // 16))
    blocks = [range(i, min(i + rows, n)) for i in range(0, n, rows)]
    others = [(slice(i.start, i.stop), slice(j, min(j + size // rows, n)))
              for i in blocks for j in range(i.stop, n, size // rows)]
    within = [i for i in blocks if len(i) > 1]
    many = max(1, 2 * size // rows ** 2)
    return others[:1] + [within[lo:lo + many] for lo in range(0, len(within), many)] + others[1:]
