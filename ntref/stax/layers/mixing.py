"""The base class of linear layers without weights that combine positions: pools, resampling, attention, graphs."""
from dataclasses import replace

from ...recursion.signal import Axes, Signal
from ..layer import Layer
from ..masking import in_layout, share

__all__ = ['Mixing', 'check_positions']


def check_positions(signal):
    """Raise ValueError if there are no positions to average over."""
    if 0 in signal.positions:
        raise ValueError(f'expected at least one position to average over, got shape {signal.shape}.')


class Mixing(Layer, abstract=True):
    """Base of linear layers without weights that combine several positions, by `mixed(c, groups)`.

    `groups` has, for each spatial axis, the axes of the array that are positions along it; each of them is treated the
    same.
    """
    picks = False            # True if every output is one of the inputs
    averages = False         # True if every output is an average of the unmasked inputs

    @property
    def axes(self):
        return Axes(self.batch_axis, self.channel_axis)

    def demand(self, demand):
        demand = super().demand(demand)
        if self.picks:
            return demand
        if demand.diagonal:
            raise ValueError('expected diagonal_spatial=None or False: it mixes positions, and covariances between '
                             'different ones are needed; got diagonal_spatial=True.')
        return replace(demand, paired=True, area=False)

    def check(self, signal):
        self.check_axes(signal, self.axes.of(len(signal.shape)))

    def apply(self, params, x, rng=None, mask=None, **given):
        signal = Signal(tuple(x.shape), self.axes.of(x.ndim))
        z = self.mixed(x, [(axis,) for axis in signal.layout[1:]])
        return z / in_layout(self.share(mask, x), self.out(signal).axes) if self.averages and mask is not None else z

    def share(self, mask, like):
        """Return, for each output, the fraction of the averaged inputs that is not masked."""
        return share(mask, like, lambda u: self.mixed(u, [(axis,) for axis in range(1, u.ndim)]))

    def check_layout(self, k):
        if k.diagonal_spatial and len(k.shape1) > 2 and not self.picks:
            raise ValueError('expected a Kernel with covariances between positions, got one with '
                             'diagonal_spatial=True. Compute it with diagonal_spatial=False.')

    def kernel(self, k):
        self.check_layout(k)

        def mixed(c):
            return self.mixed(c, k.spatial)
        met = None if self.picks else k.meetings()
        return self.renormalized(k.linear(mixed, gap=self.picks), k).meeting(met)

    def renormalized(self, new, k):
        """Turn `new`, averages over all inputs, into averages over those that are not masked in k."""
        if not self.averages or k.mask1 is None:
            return new
        like = k.variances(1)
        return new.divide(*(self.share(mask, like) ** 2 for mask in (k.mask1, k.mask2)))
