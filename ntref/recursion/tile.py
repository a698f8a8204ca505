"""Kernels computed a tile at a time and, if there are positions, row by row.

A `Tile` is the state of the recursion for some of x1 against some of x2, or for inputs each with itself. Three things
make it fast.

Of the covariances within an input it needs the variances alone. They come from a first pass over the pairs
(x[i], x[i]), on a tape (`ntref.recursion.tape`) that is read layer by layer, in the order in which the network asks for
them. This order is the same for every tile.

A convolution and the steps that follow it are `pending` until a layer asks for all positions (`computed`). They are
then done together for some rows of positions at a time, which stay in the cache, and their results overwrite their
inputs. Gaps, or the lack s - K, are carried only where there are pairs that are not generic (`is_generic`,
`NotGeneric`).

`rows` are two slices, for the rows of the left and of the right members. For inputs with themselves only right rows
from the first left row on are computed; the rest is mirrored.
"""
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any, Self

from ..arrays import namespace
from ..duals.generic import NotGeneric, are_opposite, by_dual, with_lack
from ..duals.geometry import Cov, Reach, over
from ..duals.pair import Pair, check_kept, check_variances
from ..duals.written import by_formula
from ..engine.device import entries_of_tile
from ..types import Array
from ..windows import Window, packed, taken, zeros_like
from .part import ALL, WHOLE, Block, Part, Pending, under
from .positions import diagonal, swapped
from .signal import Demand, Signal, shared_signal
from .start import across, at_pairs, one_by_one, orthogonal, own_variances
from .state import finished_tangent
from .steps import Steps
from .tape import no_tape

__all__ = ['Tile', 'input_tile']

BLOCK = 2 ** 18       # float64 entries of a block of rows: with fewer threads wait for each other
ARRAYS = 5            # K, gap, area, lack and Theta
MAX_NOISE = 32        # eps: error of K up to which smooth functions take nearly coincident pairs from K alone


@dataclass(frozen=True)
class Tile(Part):
    """A part of the kernel whose arrays are NumPy's and may be written over.

    Attributes
    ----------
    mutual, ntk, signal1, signal2, paired, q1, q2, tape    as in `Part`. While steps are pending there are no arrays.
    block : Block                            which pairs these are.
    pending : Pending, or None               steps that wait.
    is_shared : bool                         True if others hold the same arrays; else a step may write into them.
    noise : float, or None                   bound of the error of K, in eps of sqrt(q q'); None: unknown.
    reach : Reach, or None                   range that has all variances; None: not known.
    """
    block: Block
    pending: Pending | None = None
    is_shared: bool = False
    noise: float | None = None
    reach: Reach | None = None

    def __getattr__(self, name):
        raise AttributeError(f'expected what a part of x1 against x2 has, got the name {name!r}. A layer that needs '
                             'it, such as the covariances of inputs with themselves, says in_tiles = False.', name=name)

    @property
    def batch_axes(self) -> int:  # type: ignore[override]
        return self.block.batch_axes

    @property
    def is_generic(self) -> bool:  # type: ignore[override]
        return self.block.is_generic

    @property
    def is_own(self) -> bool:  # type: ignore[override]
        return self.block.is_own

    @property
    def has_tangent(self) -> bool:
        return self.block.has_tangent

    @property
    def patterns(self) -> tuple:
        return tuple(None if p is None else p[rows] for p, rows in zip(super().patterns, self.block.rows))

    @property
    def mask1(self) -> Any:
        return None if self.signal1.mask is None else self.signal1.mask[self.block.rows[0]]

    @property
    def mask2(self) -> Any:
        return None if self.signal2.mask is None else self.signal2.mask[self.block.rows[1]]

    # -------------------------------------------------------------- pairings

    def map(self, f: Callable[..., Cov], *others: Steps) -> Self:
        """Map as `Steps` does; raise NotGeneric if pairs are generic in some of the branches only."""
        if others and not self._is_same and any(k.is_generic != self.is_generic for k in others):
            raise NotGeneric
        return super().map(f, *others)

    def pairs(self) -> list[Pair]:
        """Return the pairing of the left with the right members, as a list of one `Pair`."""
        if self._is_same:
            return [Pair.same(self.q1.copy(order='K'), is_generic=True)]     # that on the tape must not change
        (q1, q2), = self.spreads(self.q1, self.q2) if self._sizes else self.sides(self.q1, self.q2)
        has_digits = None if self.noise is None else self.noise <= MAX_NOISE
        return [Pair(q1, q2, self.mutual, self.is_generic, not self.is_shared, has_digits, self.reach)]

    def within(self, f: Callable) -> tuple[Array, Array]:
        return self.tape(lambda: f(self.nngp, self.mask1))

    @property
    def _is_same(self):
        """True if every variable is paired with itself."""
        return self.is_own and not (self.paired and self._sizes)

    def with_covs(self, covs: list[Cov]) -> Self:
        """Return the tile with another Cov, of the same variances."""
        return self._holding((*covs[0], self.ntk)).but(is_shared=self.is_shared)

    def _stepped(self, covs):
        """Return the next tile; an unknown area stays unknown, since only layers like `Dense` check for it."""
        cov, = covs
        gap = None if self.is_generic else cov.gap
        area = cov.area if self.mutual.area is not None or self.mutual.lack is not None else None
        return self._next((cov.k, gap, area, cov.lack, self.ntk), is_shared=self.is_shared)

    def _next(self, arrays, **changes):
        """Return the tile with these arrays, of other variances.

        Each layer adds rounding errors to K, and all later ones amplify them as they do Theta: Theta / K of an input
        with itself, and one for this layer, is the error in eps. Behind a pool it is not known.
        """
        def own(a):
            return diagonal(a, 1) if self.paired else a

        def noise():
            if isinstance(new.ntk, int):
                return 1.
            if not new.has_tangent or new.ntk.shape != new.nngp.shape:
                return inf
            return 1 + _largest(over(own(new.ntk), own(new.nngp)))
        new = self._holding(arrays)
        q1, q2 = self.tape(lambda: own(new.nngp))
        noises = self.tape(noise)
        reaches = (None, None) if new._sizes else self.tape(lambda: Reach.of(new.nngp))
        return new.but(
            q1=q1,
            q2=q2,
            noise=_of_both(max, noises),
            reach=_of_both(Reach.merged, reaches),
            **changes)

    # -------------------------------------------------------------- steps

    def nonlinear(self, dual: Callable, fused: Callable | None = None, fused_generic: Callable | None = None) -> Self:
        def step(part, new):
            old, = part.but(noise=noise).pairs()
            if part.is_generic:
                try:
                    return fused_generic(old, part.ntk) if fused_generic else by_dual(old, part.ntk, dual)
                except NotGeneric:
                    old = with_lack(old)
            if fused:
                return fused(old, part.ntk)
            (q1, q2), = new.spreads(new.q1, new.q2)
            return by_formula(dual, old, part.ntk, q1, q2)

        def exactly(part, new, rows, seen):
            if part._is_same:
                _, slope = own
                slope = slope if rows == WHOLE else slope[:, rows[0]]
                return *Cov(new.q1.copy(order='K')), None if part.ntk is None else slope * part.ntk
            cov, ntk = step(part, new)
            if part.is_own:                            # positions paired with themselves
                diagonal(cov.k, 1)[...] = new.q1
                for none in (cov.gap, cov.area, cov.lack):
                    if none is not None:
                        diagonal(none, 1)[...] = 0
            return *cov, ntk

        def variances():
            cov, _ = own
            check_kept(dual, self.q1, cov.k)
            return cov.k

        def amplification():
            cov, slope = own
            return inf if not self.has_tangent else _largest(over(slope * self.q1, cov.k))
        own = dual(Pair.same(self.q1, is_generic=True)) if self.is_own else None
        q = self.tape(variances)
        growth = _of_both(max, self.tape(amplification))          # of relative errors of K
        noise = None if self.noise is None or growth is None else self.noise * growth
        return self._then(exactly, q)

    def in_rows(self, windows: list[Window], f: Callable, is_local: bool = True) -> Self:
        tall = windows[0] if windows else None
        base = self.computed() if tall is not None and tall.overlaps else self     # once, not for each row that uses it
        slides = base.slides(windows)

        def own():
            q = base._holding((base.q1, 0 * base.q1, None, None, None))
            q = q.but(paired=False, block=replace(base.block, batch_axes=1), tape=no_tape)
            return f(q, q.slides(windows)).nngp

        def step(part, new, rows, seen):
            first = [[(axis, window) for (axis, _), window in zip(slides[0], seen)]] if seen else []
            return f(part, first + slides[len(first):])._arrays
        if is_local:
            return base._then(step, base.tape(own), windows)
        new = base._then(step, (base.q1, base.q2), windows).computed()
        return new._next(new._arrays)

    def masked(self) -> Self:
        """Add the step that sets z = 0 where it is masked."""
        if self.signal1.mask is None:
            return self
        masks = self.tape(lambda: self.mask1)
        variances = self.tape(lambda: namespace(self.q1).where(self.mask1, 0, self.q1))

        def step(part, new, rows, seen):
            left, right = masks if rows == WHOLE else (mask[:, r] for mask, r in zip(masks, rows))
            return part.masked_at(left, right)._arrays
        return self._then(step, variances)

    def _then(self, step, variances, windows=()):
        """Return the next tile, with a step pending; without positions it is done at once.

        It is step(part of this tile, part of the next, its rows, the windows of its rows or None).
        """
        q1, q2 = variances
        if not self._sizes and not windows:
            part = self.computed()
            new = part.but(q1=q1, q2=q2, noise=None, reach=None)
            return new._holding(step(part, new, WHOLE, None))
        tall = windows[0] if windows else None
        before = self.pending

        def rows_of(rows):
            inputs, seen = (rows, None) if tall is None else zip(*(under(tall, r) for r in rows))
            part = self._part(inputs)
            new = part._with_variances(q1, q2, rows)
            return new._holding(step(part, new, rows, seen))
        pending = Pending(
            rows_of,
            sizes=tuple(w.out for w in windows) or self._sizes,
            source=before.source if before else (self, tall),
            widest=max(before.widest if before else 0, prod(self._shape[self.batch_axes:])))
        return self._holding((None,) * ARRAYS).but(q1=q1, q2=q2, pending=pending, noise=None, reach=None)

    # -------------------------------------------------------------- computing what is pending

    def computed(self) -> Self:
        if self.pending is None:
            return self
        outs = None
        waiting = None
        shape = self._shape
        first, *more = self._row_blocks()
        if not more:
            return self._holding(self.pending.rows_of(first)._arrays)
        for rows in (first, *more):
            arrays = self.pending.rows_of(rows)._arrays
            outs = outs or [_output(a, shape, old) for a, old in zip(arrays, self._spare)]
            if [a is None for a in arrays] != [out is None for out in outs]:
                raise NotGeneric                               # some rows are generic and others not
            if waiting:                  # only now: the next rows may need what is overwritten
                self._write(outs, *waiting)
            waiting = rows, arrays
        self._write(outs, rows, arrays)
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
        block = 8 * entries_of_tile(self.q1, BLOCK) // self.q1.dtype.itemsize
        step = max(1, block * height // max(prod(shape[:n]) * max(self.pending.widest, height * prod(rest)), 1))
        if step >= height or not shape[n:]:
            return [WHOLE]
        left = [slice(lo, min(lo + step, height)) for lo in range(0, height, step)]
        if not self.paired:
            return [(rows, rows) for rows in left]
        return [(rows, slice(rows.start, height) if self.is_own else ALL) for rows in left]

    @property
    def _spare(self):
        """Arrays of the source if each block of rows may be overwritten once the next is computed, else Nones."""
        tile, tall = self.pending.source or (self, None)
        if tile.pending or tile.is_shared or tile.nngp.shape != self._shape:
            return (None,) * ARRAYS
        rows = [] if tall is None else [left for left, _ in self._row_blocks()]
        done = all(under(tall, after)[0].start >= first.stop for first, after in zip(rows, rows[2:]))
        return tile._arrays if done else (None,) * ARRAYS

    @property
    def _sizes(self):
        return self.pending.sizes if self.pending else self.nngp.shape[self.batch_axes::2 if self.paired else 1]

    @property
    def _shape(self):
        """Shape of nngp, also while it is pending."""
        members = 2 if self.paired else 1
        q = (self.q1, self.q2)[:self.batch_axes]
        return *(len(variances) for variances in q), *(n for n in self._sizes for _ in range(members))

    def _part(self, rows):
        """Return the part of the tile in these rows, computed if it is pending."""
        if self.pending:
            return self.pending.rows_of(rows).described(self.signal1, self.signal2)
        part = self._holding(a if a is None or isinstance(a, int) else a[self._index(rows)] for a in self._arrays)
        return part._with_variances(self.q1, self.q2, rows).but(tape=no_tape, is_shared=self.is_shared)

    def _lacking(self):
        """Return the tile with lack = s - K in place of the area or, where pairs are nearly opposite, with the gap."""
        pair, = self.pairs()
        if are_opposite(pair):
            return self.but(mutual=Cov(pair.k, pair.dn2 + 2 * pair.minus, pair.area))
        return self.but(mutual=Cov(pair.k, lack=pair.minus))

    def _index(self, rows):
        """Return the index of rows in nngp, gap, area and ntk."""
        return (*(ALL,) * self.batch_axes, *rows[:2 if self.paired else 1]) if self._sizes else ALL

    def _with_variances(self, q1, q2, rows):
        return self.but(q1=q1, q2=q2) if rows == WHOLE else self.but(q1=q1[:, rows[0]], q2=q2[:, rows[1]])

    @property
    def _arrays(self):
        return *self.mutual, self.ntk

    def _holding(self, arrays):
        """Return the tile with these arrays; it is not generic any more if there are others than K and Theta."""
        k, gap, area, lack, ntk = arrays
        block = self.block
        if block.is_generic and not (gap is None and area is None and lack is None):
            block = replace(block, is_generic=False)
        return self.but(mutual=Cov(k, gap, area, lack), ntk=ntk, block=block, is_shared=False, pending=None)

    # -------------------------------------------------------------- what a layer leaves, put right

    def in_range(self) -> Self:
        """Check the variances of inputs with themselves; those of other tiles were checked there."""
        if self.is_own:
            check_variances(self.q1)
        return self

    def finished(self) -> Self:
        return self.but(ntk=finished_tangent(self))

    def shared(self) -> Self:
        return self.but(is_shared=True)


def _largest(a):
    """Return the largest number in the array, 0 if there is none."""
    return float(a.max()) if a.size else 0.


def _of_both(f, sides):
    """Return f of what is known of x1 and of x2, or None if it is not known."""
    return None if None in sides else f(sides)


def _output(a, shape, spare):
    if a is None or isinstance(a, int):
        return a
    return zeros_like(a, shape) if spare is None or isinstance(spare, int) else spare


def input_tile(a: Any, b: Any, tape: Callable, signals: tuple[Signal, Signal], demand: Demand, ntk: bool,
               rows: tuple = WHOLE, is_generic: bool = False, crosses: bool = False) -> Tile:
    """Return the state at the input for rows i, j of a (n1, *positions, channels) and b.

    If b is None, each a[i] is paired with itself. `signals` describe the network's inputs. With slices i, j each a[i]
    is paired with each b[j]; with arrays the pairs are taken element by element. Where i and j begin with the same
    inputs, `crosses` takes these as orthogonal to themselves: nobody reads such pairs, and they need no gap.
    """
    listed = not isinstance(rows[0], slice)
    sizes = a.shape[1:-1]
    paired = demand.paired and sizes
    if not listed or paired:
        a, b = (None if x is None else taken(x, r) for x, r in zip((a, b), rows))
    q1, q2 = tape(lambda: own_variances(a))
    is_generic = is_generic or (b is None and not paired)               # variances alone
    block = Block(rows, 1 if b is None or listed else 2, is_own=b is None, is_generic=is_generic, has_tangent=ntk)
    new = Tile(Cov(None), None, *shared_signal(*signals), demand.paired, q1, q2, no_tape, block)
    area = demand.area and not is_generic
    demand = replace(demand, gap=not is_generic and not (area and not sizes), area=area)

    def rows_of(part):
        left, right = (x if part == WHOLE else x[:, r] for x, r in zip((a, a if b is None else b), part))
        there = new._with_variances(q1, q2, part)
        if b is None and not paired:
            cov = Cov(there.q1.copy(order='K'))
        else:
            cov = at_pairs(left, right, *rows, demand) if listed and not paired else \
                (across if new.batch_axes == 2 else one_by_one)(left, right, demand)
        cov = orthogonal(cov, q1) if crosses else cov
        tile = there._holding((*(None if c is None else packed(c, new.batch_axes) for c in cov), 0 if ntk else None))
        return tile._lacking() if area and not sizes else tile
    return new.but(tape=tape, pending=Pending(rows_of, sizes), noise=1.).masked()
