"""Kernels with positions, a list of pairs of inputs at a time.

A `Tile` is the state of the recursion for the pairs (x1[i], x2[j]) of a list: one batch axis in place of two, and of
each input with itself only the variances at every position. These come from a first pass over the pairs (x[i], x[i]),
on a `Tape` that `recording` starts and `replaying` reads: layer by layer, in the order in which the network
asks for them, which is the same for every tile.
"""
from dataclasses import dataclass, replace
from typing import Any

from .arrays import namespace
from .duals import Pair
from .fused import in_blocks
from .inputs import positions_gram, same_positions_gram
from .kernel import Kernel, diagonal

__all__ = ['Tile', 'input_tile', 'recording', 'replaying']


def recording(steps):
    """Tape of a first pass: variances are computed, and appended to `steps`."""
    def tape(compute):
        steps.append(compute())
        return steps[-1], steps[-1]
    return tape


def replaying(steps1, i, steps2, j):
    """Tape of the pairs i, j: the variances of x1[i] and x2[j] after each step."""
    steps = zip(steps1, steps2, strict=True)

    def tape(compute):
        q1, q2 = next(steps)
        return q1[i], q2[j]
    return tape


@dataclass(frozen=True)
class Tile(Kernel):
    """`Kernel` for a list of n pairs of inputs: nngp, ntk, gap, area are (n, *S), cov1 and cov2 None.

    Attributes
    ----------
    q1, q2 : array (n, *positions)     variances of the left and right members.
    tape : callable                    compute -> the next q1, q2; compute() is q of an input with itself.
    """
    q1: Any = None
    q2: Any = None
    tape: Any = None
    _batch = 1

    def variances(self, i):
        return (self.q1, self.q2)[i - 1]

    def nonlinear(self, dual, fused=None):
        q1, q2 = self.tape(lambda: dual(Pair.same(self.q1))[0].k)
        spreads = *self._spreads(self.q1, self.q2)[0], *self._spreads(q1, q2)[0]
        k, gap, area, ntk = in_blocks(dual, fused, *spreads, self.nngp, self.gap, self.area, self.ntk)
        return replace(self, nngp=k, gap=gap, area=area, ntk=ntk, q1=q1, q2=q2)

    def _spreads(self, a1, a2):
        return [(self._spread(a1, 0), self._spread(a2, 1))]

    def _with(self, covs):
        """An area that is not known stays so: only `Dense` and its like know one from the other."""
        cov, = covs
        new = replace(self, nngp=cov.k, gap=cov.gap, area=None if self.area is None else cov.area)
        q1, q2 = self.tape(lambda: cov.k if self.diagonal_spatial else diagonal(cov.k, 1))
        return replace(new, q1=q1, q2=q2)


def input_tile(a, b, tape, signal, demand, ntk):
    """The state at the input for the pairs (a[t], b[t]), arrays (n, *positions, channels) of inputs like `signal`."""
    xp = namespace(a, b)
    cov = (positions_gram if demand.paired else same_positions_gram)(a, b, demand.area)
    q1, q2 = tape(lambda: xp.mean(a * a, -1))
    return Tile(*cov[:1], 0 if ntk else None, diagonal_spatial=not demand.paired, shape1=signal.shape, shape2=signal.shape,
                batch_axis=signal.axes.batch, channel_axis=signal.axes.channel, gap=cov.gap, area=cov.area,
                q1=q1, q2=q2, tape=tape)
