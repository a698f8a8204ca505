"""Kernels with positions, a tile at a time.

A `Tile` is the state of the recursion for a block of x1 against a block of x2, or for inputs each with itself. Of the
covariances within an input it needs only the variances: these come from a first pass over the pairs (x[i], x[i]), on a
tape that `recording` writes and `replaying` reads: layer by layer, in the order in which the network asks for them,
which is the same for every tile.
"""
from dataclasses import dataclass, replace
from typing import Any

from .arrays import namespace
from .duals import Pair
from .fused import blocks, in_blocks, outputs, written
from .inputs import across, with_itself
from .kernel import Kernel, diagonal

__all__ = ['Tile', 'input_tile', 'recording', 'replaying']


def recording(steps):
    """Tape of a first pass: variances are computed, and appended to `steps`."""
    def tape(compute):
        steps.append(compute().copy())               # of arrays that later steps write into
        return steps[-1], steps[-1]
    return tape


def replaying(steps1, steps2):
    """Tape for x1 against x2: the variances of both after each step."""
    steps = zip(steps1, steps2, strict=True)
    return lambda compute: next(steps)


@dataclass(frozen=True)
class Tile(Kernel):
    """`Kernel` without cov1 and cov2: nngp, ntk, gap and area are (n1, n2, *S), or (n, *S) for inputs with themselves.

    Attributes
    ----------
    q1, q2 : array (n, *positions)     variances.
    tape : callable                    compute -> the next q1, q2; compute() is q of inputs with themselves.
    batch_axes : int                   2, or 1 for inputs with themselves.
    is_shared : bool                   do others hold the same arrays? Else a step may write its results into them.
    """
    q1: Any = None
    q2: Any = None
    tape: Any = None
    batch_axes: int = 2
    is_shared: bool = False

    def shared(self):
        return replace(self, is_shared=True)

    def variances(self, i):
        return (self.q1, self.q2)[i - 1]

    def nonlinear(self, dual, fused=None):
        q1, q2 = self.tape(lambda: dual(Pair.same(self.q1))[0].k)
        old, new = self._spreads(self.q1, self.q2)[0], self._spreads(q1, q2)[0]
        arrays = in_blocks(dual, fused, old, new, self._arrays, not self.is_shared)
        return replace(self._holding(arrays), q1=q1, q2=q2)

    def in_rows(self, windows, f):
        """As for `Kernel`, some pairs of inputs, or some rows of one pair, at a time."""
        outs, waiting, shape = None, None, self.nngp.shape[:self.batch_axes]
        for index, inputs, tall in self._row_blocks(windows):
            slides = super().in_rows(windows, lambda k, slides: slides)
            if tall is not None:
                slides[0][0] = slides[0][0][0], tall
            results = f(self._part(index[:self.batch_axes], inputs), slides)._arrays
            if outs is None:
                shape = *shape, *[window.out for window in windows[:1]], *results[0].shape[self.batch_axes + 1:]
                outs = outputs(results, shape, self._arrays if self._is_done_with(shape, windows) else None)
            if waiting:
                written(outs, *waiting)
            waiting = index, results
        written(outs, *waiting)
        return self._next(outs)

    def _row_blocks(self, windows):
        """(index of the output, rows of the input, window of the first axis or None for the whole of it)."""
        batch, (height, *rest) = self.nngp.shape[:self.batch_axes], self.nngp.shape[self.batch_axes:] or [1]
        out = windows[0].out if windows else 1
        for index in blocks((*batch, out, *rest)):
            rows = range(out)[index[self.batch_axes]]
            if len(rows) == out:
                yield index[:self.batch_axes], slice(None), None
            else:
                inputs, tall = windows[0].part(rows)
                yield (*index[:self.batch_axes], slice(rows.start, rows.stop)), inputs, tall

    def _is_done_with(self, shape, windows):
        """May rows be overwritten once those after them are computed?"""
        order = list(self._row_blocks(windows))
        return not self.is_shared and shape == self.nngp.shape and all(
            after[1].start >= first[0][-1].stop for first, after in zip(order, order[2:])
            if after[2] is not None and after[0][:-1] == first[0][:-1])

    def _part(self, batch, rows):
        """Some of the pairs, and of the rows of their left members."""
        def part(a, *index):
            return a if a is None or isinstance(a, int) else a[index[:a.ndim]]
        arrays = (part(a, *batch, rows) for a in self._arrays)
        return replace(self._holding(arrays), q1=part(self.q1, batch[0], rows), q2=self.q2[batch[-1]], tape=_no_tape)

    @property
    def _arrays(self):
        return self.nngp, self.gap, self.area, self.ntk

    def _holding(self, arrays):
        return replace(self, **dict(zip(('nngp', 'gap', 'area', 'ntk'), arrays)), is_shared=False)

    def _next(self, arrays):
        new = self._holding(arrays)
        q1, q2 = self.tape(lambda: new.nngp if self.diagonal_spatial else diagonal(new.nngp, 1))
        return replace(new, q1=q1, q2=q2)

    def _spreads(self, a1, a2):
        if self.batch_axes == 2:
            a1, a2 = a1[:, None], a2[None]
        return [(self._spread(a1, 0), self._spread(a2, 1))]

    def _with(self, covs):
        """An area that is not known stays so: only `Dense` and its like know one from the other."""
        cov, = covs
        new = self._next((cov.k, cov.gap, None if self.area is None else cov.area, self.ntk))
        return replace(new, is_shared=self.is_shared)


def _no_tape(compute):
    """Of part of a tile: the whole has it."""
    return None, None


def input_tile(a, b, tape, signal, demand, ntk):
    """The state at the input for a (n1, *positions, channels) against b, or with itself if b is None.

    `signal` describes the network's inputs.
    """
    xp = namespace(a)
    cov = with_itself(a, demand) if b is None else across(a, b, demand)
    q1, q2 = tape(lambda: xp.mean(a * a, -1))
    return Tile(cov.k, 0 if ntk else None, diagonal_spatial=not demand.paired, shape1=signal.shape, shape2=signal.shape,
                batch_axis=signal.axes.batch, channel_axis=signal.axes.channel, gap=cov.gap, area=cov.area,
                q1=q1, q2=q2, tape=tape, batch_axes=1 if b is None else 2, is_shared=True)
