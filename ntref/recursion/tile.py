"""Kernels computed a tile at a time and, if there are positions, row by row.

A `Tile` is the state of the recursion for some of x1 against some of x2, or for inputs each with itself. Three things
make it fast.

Of the covariances within an input it needs the variances alone. They come from a first pass over the pairs
(x[i], x[i]), on a tape that `recording` writes and `replaying` reads layer by layer, in the order in which the network
asks for them. This order is the same for every tile.

A convolution and the steps that follow it are `pending` until a layer asks for all positions (`computed`). They are
then done together for some rows of positions at a time, which stay in the cache, and their results overwrite their
inputs. Gaps are carried only where there are pairs that are not generic (`is_generic`, `NotGeneric`).

`rows` are two slices, for the rows of the left and of the right members. For inputs with themselves only right rows
from the first left row on are computed; the rest is mirrored.
"""
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ..duals.fast import BLOCK, by_dual
from ..duals.pair import Pair, check_kept, check_variances
from ..windows import packed, taken, zeros_like
from .kernel import Kernel
from .positions import diagonal, swapped
from .start import across, at_pairs, one_by_one, own_variances

__all__ = ['Tile', 'input_tile', 'recording', 'replaying']

ALL = slice(None)
WHOLE = ALL, ALL


def recording(steps):
    """Return the tape of a first pass, which computes variances and appends them to `steps`."""
    def tape(compute):
        steps.append(packed(compute(), 1).copy(order='K'))       # a copy: the original may be overwritten
        return steps[-1], steps[-1]
    return tape


def replaying(steps1, steps2):
    """Return the tape for x1 against x2, which reads the variances of both after each step."""
    steps = zip(steps1, steps2, strict=True)
    return lambda compute: next(steps)


def no_tape(compute):
    """Return no variances: the tape of a part of a tile, since the whole tile has the real tape."""
    return None, None


@dataclass(frozen=True)
class Tile(Kernel):
    """`Kernel` without cov1 and cov2: nngp, ntk, gap and area are (n1, n2, *S), or (n, *S) one by one.

    Attributes
    ----------
    q1, q2 : array (n, *positions)     variances of the left and right members.
    tape : callable                    compute -> the next q1, q2; compute() gives q of inputs with themselves.
    batch_axes : int                   2, or 1 for inputs x1[i] with x2[i].
    is_own : bool                      True for inputs with themselves.
    is_generic : bool                  True for generic pairs, see `Pair`: gap and area are None.
    is_shared : bool                   True if others hold the same arrays; otherwise a step may write into them.
    pending : callable                 rows -> Tile of these rows, or None. While steps are pending the arrays are None.
    sizes : tuple                      numbers of positions after the pending steps.
    source : (Tile, Window)            tile whose rows under the window this one is computed from; None: the inputs.
    widest : int                       entries for a pair of inputs at the largest of the pending steps.
    rows : tuple                       which of x1 and x2 the tile has: two slices, or two arrays for x1[i] with x2[i].
    """
    q1: Any = None
    q2: Any = None
    tape: Any = None
    batch_axes: int = 2
    is_own: bool = False
    is_generic: bool = False
    is_shared: bool = False
    pending: Any = None
    sizes: tuple = ()
    source: Any = None
    widest: int = 0
    rows: tuple = WHOLE

    def __post_init__(self, *defaults):
        """Skip the checks of `Kernel`: the arrays are None while steps are pending."""

    # -------------------------------------------------------------- steps

    def nonlinear(self, dual, fused=None, fused_generic=None):
        def step(part, new, _):
            old, = part._pairs()
            if part.is_generic:
                return fused_generic(old, part.ntk) if fused_generic else by_dual(old, part.ntk, dual)
            if fused and part.area is None and not part._is_same:
                return fused(old, part.ntk)
            cov, slope = dual(old)
            k, gap, area = Pair(*new._spreads(new.q1, new.q2)[0], cov).settled(old)
            return k, gap, None if part.area is None else area, None if part.ntk is None else slope * part.ntk

        def exactly(part, new, _):
            k, gap, *others = step(part, new, _)
            if part.is_own and not part.diagonal_spatial:                    # positions paired with themselves
                diagonal(k, 1)[...] = new.q1
                if gap is not None:
                    diagonal(gap, 1)[...] = 0
            return k, gap, *others

        def own():
            q = dual(Pair.same(self.q1))[0].k
            check_kept(dual, self.q1, q)
            return q
        return self._then(exactly, self.tape(own))

    def in_rows(self, windows, f, is_local=True):
        """Add the step f(part, slides) for windows along the spatial axes.

        `is_local` means that q' follows from q: equal positions stay equal.
        """
        tall = windows[0] if windows else None
        base = self.computed() if tall is not None and tall.overlaps else self     # once, not for each row that uses it
        slides = base.slides(windows)

        def own():
            q = base._holding((base.q1, 0 * base.q1, None, None))
            q = q.but(diagonal_spatial=True, batch_axes=1, tape=no_tape)
            return Kernel.in_rows(q, windows, f).nngp

        def step(part, new, tall):
            first = [[(axis, window) for (axis, _), window in zip(slides[0], tall)]] if tall else []
            return f(part, first + slides[len(first):])._arrays
        if is_local:
            return base._then(step, base.tape(own), windows)
        new = base._then(step, (base.q1, base.q2), windows).computed()
        return new._next(new._arrays)

    def _then(self, step, variances, windows=()):
        """Return the next tile, with step(part of this tile, part of the next, windows of its rows or None) pending."""
        tall = windows[0] if windows else None
        q1, q2 = variances

        def rows_of(rows):
            inputs, seen = (rows, None) if tall is None else zip(*(_under(tall, r) for r in rows))
            part = self._part(inputs)
            new = part._with_variances(q1, q2, rows)
            return new._holding(step(part, new, seen))
        return self._holding((None,) * 4).but(
            q1=q1, q2=q2, pending=rows_of, sizes=tuple(w.out for w in windows) or self._sizes,
            widest=max(self.widest, prod(self._shape[self.batch_axes:])),
            source=self.source if self.pending else (self, tall))

    # -------------------------------------------------------------- computing what is pending

    def computed(self):
        if self.pending is None:
            return self
        outs = None
        waiting = None
        shape = self._shape
        first, *more = self._row_blocks()
        if not more:
            return self._holding(self.pending(first)._arrays)
        for rows in (first, *more):
            arrays = self.pending(rows)._arrays
            outs = outs or [_output(a, shape, old) for a, old in zip(arrays, self._spare)]
            if waiting:                  # only now: the next rows may need what is overwritten
                self._write(outs, *waiting)
            waiting = rows, arrays
        self._write(outs, *waiting)
        return self._holding(outs)

    def _write(self, outs, rows, arrays):
        left, right = rows
        for out, a in zip(outs, arrays, strict=True):
            if out is None or isinstance(out, int):
                continue
            out[self._index(rows)] = a
            if self.is_own and right != left:
                below = self._index((slice(left.stop, right.stop), left))
                out[below] = swapped(a, 1)[:, left.stop - left.start:]

    def _row_blocks(self):
        """Return blocks of rows that are small enough for each pending step to fit in the cache."""
        shape, n = self._shape, self.batch_axes
        height, *rest = shape[n:] or [1]
        block = 8 * BLOCK // self.q1.dtype.itemsize
        step = max(1, block * height // max(prod(shape[:n]) * max(self.widest, height * prod(rest)), 1))
        if step >= height or not shape[n:]:
            return [WHOLE]
        left = [slice(lo, min(lo + step, height)) for lo in range(0, height, step)]
        if self.diagonal_spatial:
            return [(rows, rows) for rows in left]
        return [(rows, slice(rows.start, height) if self.is_own else ALL) for rows in left]

    @property
    def _spare(self):
        """Arrays of the source if each block of rows may be overwritten once the next is computed, else Nones."""
        tile, tall = self.source or (self, None)
        if tile.pending or tile.is_shared or tile.nngp.shape != self._shape:
            return (None,) * 4
        rows = [] if tall is None else [left for left, _ in self._row_blocks()]
        done = all(_under(tall, after)[0].start >= first.stop for first, after in zip(rows, rows[2:]))
        return tile._arrays if done else (None,) * 4

    @property
    def _sizes(self):
        return self.sizes if self.pending else self.nngp.shape[self.batch_axes::1 if self.diagonal_spatial else 2]

    @property
    def _shape(self):
        """Shape of nngp, also while it is pending."""
        members = 1 if self.diagonal_spatial else 2
        q = (self.q1, self.q2)[:self.batch_axes]
        return *map(len, q), *(n for n in self._sizes for _ in range(members))

    def _part(self, rows):
        """Return the part of the tile in these rows, computed if it is pending."""
        if self.pending:
            return self.pending(rows).described(*self.signals)
        part = self._holding(a if a is None or isinstance(a, int) else a[self._index(rows)] for a in self._arrays)
        return part._with_variances(self.q1, self.q2, rows).but(tape=no_tape, is_shared=self.is_shared)

    def _index(self, rows):
        """Return the index of rows in nngp, gap, area and ntk."""
        return (*(ALL,) * self.batch_axes, *rows[:1 if self.diagonal_spatial else 2]) if self._sizes else ALL

    def _with_variances(self, q1, q2, rows):
        return self.but(q1=q1, q2=q2) if rows == WHOLE else self.but(q1=q1[:, rows[0]], q2=q2[:, rows[1]])

    @property
    def _arrays(self):
        return self.nngp, self.gap, self.area, self.ntk

    def _holding(self, arrays):
        named = dict(zip(('nngp', 'gap', 'area', 'ntk'), arrays))
        return self.but(**named, is_shared=False, pending=None, source=None, widest=0)

    # -------------------------------------------------------------- methods of Kernel that differ

    def in_range(self):
        """Check the variances of inputs with themselves; those of other tiles were checked there."""
        if self.is_own:
            check_variances(self.q1)
        return self

    def shared(self):
        return self.but(is_shared=True)

    def variances(self, i):
        return (self.q1, self.q2)[i - 1]

    @property
    def _is_same(self):
        """True if every variable is paired with itself."""
        return self.is_own and self.diagonal_spatial

    def _pairs(self):
        if self._is_same:
            return [Pair.same(self.q1.copy(order='K'))]          # a copy: the array on the tape must not change
        return [Pair(p.q1, p.q2, p.cov, self.is_generic, not self.is_shared) for p in super()._pairs()]

    def within(self, f):
        return self.tape(lambda: f(self.nngp, None))

    def sides(self, a1, a2):
        return [(a1[:, None], a2[None]) if self.batch_axes == 2 else (a1, a2)]

    @property
    def patterns(self):
        return tuple(None if p is None else p[rows] for p, rows in zip((self.pattern1, self.pattern2), self.rows))

    def _with(self, covs):
        """Return the next tile; an unknown area stays unknown, since only layers like `Dense` check for it."""
        cov, = covs
        gap = None if self.is_generic else cov.gap
        area = None if self.area is None else cov.area
        new = self._next((cov.k, gap, area, self.ntk))
        return new.but(is_shared=self.is_shared)

    def _next(self, arrays):
        new = self._holding(arrays)
        q1, q2 = self.tape(lambda: new.nngp if self.diagonal_spatial else diagonal(new.nngp, 1))
        return new.but(q1=q1, q2=q2)


def _output(a, shape, spare):
    if a is None or isinstance(a, int):
        return a
    return zeros_like(a, shape) if spare is None or isinstance(spare, int) else spare


def _under(window, outputs):
    """Return the slice of inputs that a slice of outputs needs, and the Window between them."""
    return (ALL, window) if outputs == ALL else window.part(outputs.start, outputs.stop)


def input_tile(a, b, tape, signals, demand, ntk, rows=WHOLE, is_generic=False):
    """Return the state at the input for rows i, j of a (n1, *positions, channels) and b.

    If b is None, each a[i] is paired with itself. `signals` describe the network's inputs. With slices i, j each a[i]
    is paired with each b[j]; with arrays the pairs are taken element by element.
    """
    listed = not isinstance(rows[0], slice)
    sizes = a.shape[1:-1]
    if not listed or sizes:
        a, b = (None if x is None else taken(x, r) for x, r in zip((a, b), rows))
    q1, q2 = tape(lambda: own_variances(a))
    signal, other = signals
    pattern1, pattern2 = (s.patterns[0] for s in signals)
    new = Tile(None, diagonal_spatial=not demand.paired, shape1=signal.shape, shape2=other.shape,
               batch_axis=signal.axes.batch, channel_axis=signal.axes.channel, pattern1=pattern1, pattern2=pattern2,
               q1=q1, q2=q2, batch_axes=1 if b is None or listed else 2, is_own=b is None, is_generic=is_generic,
               rows=rows)
    demand = replace(demand, gap=not is_generic, area=demand.area and not is_generic)

    def rows_of(part):
        left, right = (x if part == WHOLE else x[:, r] for x, r in zip((a, a if b is None else b), part))
        there = new._with_variances(q1, q2, part).but(tape=no_tape)
        if b is None and not (demand.paired and sizes):
            cov = Pair.same(there.q1.copy(order='K')).cov._replace(area=0 * there.q1 if demand.area else None)
        else:
            cov = at_pairs(left, right, *rows, demand) if listed and not sizes else \
                (across if new.batch_axes == 2 else one_by_one)(left, right, demand)
        return there._holding((*(None if c is None else packed(c, new.batch_axes) for c in cov), 0 if ntk else None))
    return new.but(tape=tape, pending=rows_of, sizes=sizes)
