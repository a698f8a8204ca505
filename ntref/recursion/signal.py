"""What is known of a layer's input or output before anything is computed, and what a layer needs of its input.

`Axes` say which axes are batch and channels, `Signal` has the shape of the activations and what comes with them; both
go forward through a network. `Demand` goes backward: which covariances a layer needs.
"""
from dataclasses import dataclass, field, replace
from typing import Any

from ..arguments import is_whole
from ..arrays import namespace

__all__ = ['Axes', 'Demand', 'Signal', 'axis_of']


def axis_of(axis, ndim):
    """A non-negative axis; TypeError if it is no whole number, ValueError if there is none such."""
    if not is_whole(axis):
        raise TypeError(f'expected an axis to be a whole number, got {axis!r:.100} of type {type(axis).__name__}.')
    if not -ndim <= axis < ndim:
        raise ValueError(f'expected an axis between {-ndim} and {ndim - 1}, got axis {axis}.')
    return axis % ndim


@dataclass(frozen=True)
class Axes:
    """Which axes of inputs and activations are batch and channels."""
    batch: int = 0
    channel: int = -1

    def __post_init__(self):
        if not is_whole(self.batch) or not is_whole(self.channel):
            raise TypeError(f'expected the axes of batch and channels to be whole numbers, got {self.batch!r:.100} and '
                            f'{self.channel!r:.100}.')

    def of(self, ndim):
        """The same with non-negative numbers, for arrays of `ndim` axes; ValueError if there are no such two."""
        axes = Axes(axis_of(self.batch, ndim), axis_of(self.channel, ndim))
        if axes.batch == axes.channel:
            raise ValueError(f'expected batch and channels on different axes, got batch axis {self.batch} and channel '
                             f'axis {self.channel} of {ndim} axes.')
        return axes


@dataclass(frozen=True)
class Signal:
    """What is known of a layer's input or output before anything is computed."""
    shape: tuple                  # of the activations of the finite network
    axes: Axes                    # non-negative
    is_gaussian: bool = False     # are the activations Gaussian in the infinite limit?
    patterns: tuple = field(default=(None, None), compare=False)     # of these inputs, and of those paired with them
    mask: Any = field(default=None, compare=False)                   # (n, *positions), True: nothing there; or None

    @property
    def channels(self):
        return self.shape[self.axes.channel]

    @property
    def inputs(self):
        """How many there are."""
        return self.shape[self.axes.batch]

    @property
    def positions(self):
        """How many there are along each spatial axis."""
        return tuple(self.shape[axis] for axis in self.layout[1:])

    @property
    def layout(self):
        """The batch axis, then the spatial ones."""
        others = (axis for axis in range(len(self.shape)) if axis not in (self.axes.batch, self.axes.channel))
        return [self.axes.batch, *others]

    def with_channels(self, n):
        return self._with_size(self.axes.channel, n)

    def with_inputs(self, n):
        return self._with_size(self.axes.batch, n)

    def masked_where(self, entries):
        """Masked at the positions where all channels of `entries` are, bools shaped like the activations."""
        xp = namespace(entries)
        entries = xp.moveaxis(entries, (self.axes.batch, self.axes.channel), (0, -1))
        return replace(self, mask=xp.all(entries, axis=-1))

    def remasked(self, f):
        """With f(mask), if there is one."""
        return self if self.mask is None else replace(self, mask=f(self.mask))

    def _with_size(self, axis, n):
        return replace(self, shape=(*self.shape[:axis], n, *self.shape[axis + 1:]))


@dataclass(frozen=True)
class Demand:
    """What a layer needs of its input."""
    paired: bool = True           # covariances between positions; else at equal ones only
    axes: Axes = None             # which are batch and channels. None: any; Axes() at the input
    area: bool = True             # areas beside the gaps
    diagonal: bool = False        # the user asked for equal positions only
    gap: bool = True              # gaps beside the covariances
    flat: bool = False            # the mean of those at equal positions is enough: inputs may come flattened
