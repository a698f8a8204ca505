"""The base class of linear layers without weights that combine positions: pools, resampling, attention, graphs."""
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...recursion.signal import Axes, Demand, Signal
from ...recursion.steps import Steps
from ...types import Array, Seed, Tree
from ..layer import Layer
from ..masking import in_layout, share

__all__ = ['Mixing', 'check_positions']


def check_positions(signal: Signal) -> None:
    """Raise ValueError if there are no positions to average over."""
    if 0 in signal.positions:
        raise ValueError(
            f'expected at least one position to average over, got shape {signal.shape}.')


class Mixing(Layer, abstract=True):
    """Base of linear layers without weights that combine several positions, by `mixed(c, groups)`.

    `groups` has, for each spatial axis, the axes of the array that are positions along it; each of them is treated the
    same.
    """
    batch_axis: int
    channel_axis: int
    picks = False            # True if every output is one of the inputs
    averages = False         # True if every output is an average of the unmasked inputs

    def mixed(self, c: Array, groups: Sequence[tuple[int, ...]]) -> Array:
        """Return the combinations of the entries of c along the axes in `groups`."""
        raise NotImplementedError

    @property
    def axes(self):
        return Axes(self.batch_axis, self.channel_axis)

    def demand(self, demand: Demand) -> Demand:
        demand = super().demand(demand)
        if self.picks:
            return demand
        if demand.diagonal:
            raise ValueError(
                'expected diagonal_spatial=None or False: it mixes positions, and covariances '
                'between different ones are needed; got diagonal_spatial=True.')
        return replace(demand, paired=True, area=False)

    def check(self, signal: Signal) -> None:
        self.check_axes(signal, self.axes.of(len(signal.shape)))

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, *, mask: Array | None = None,
              **given: Any) -> Array:
        signal = Signal(tuple(x.shape), self.axes.of(x.ndim))
        z = self.mixed(x, [(axis,) for axis in signal.layout[1:]])
        if mask is None or not self.averages:
            return z
        return z / in_layout(self._share(mask, x), self.out(signal).axes)

    def _share(self, mask, like):
        """Return, for each output, the fraction of the averaged inputs that is not masked."""
        return share(mask, like, lambda u: self.mixed(u, [(axis,) for axis in range(1, u.ndim)]))

    def _check_layout(self, k):
        """Raise ValueError if covariances between positions are needed and k has none."""
        if not self.picks:
            k.check_paired()

    def kernel(self, k: Steps) -> Steps:
        self._check_layout(k)

        def mixed(c):
            return self.mixed(c, k.spatial)
        met = None if self.picks else k.meetings()
        return self._renormalized(k.linear(mixed, gap=self.picks), k).meeting(met)

    def _renormalized(self, new, k):
        """Turn `new`, averages over all inputs, into averages over those that are not masked in k."""
        if not self.averages or k.mask1 is None:
            return new
        like = k.variances(1)
        return new.divide(*(self._share(mask, like) ** 2 for mask in (k.mask1, k.mask2)))
