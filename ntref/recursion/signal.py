"""Descriptions of a layer's input and output that exist before anything is computed, and demands on the input.

`Axes` say which axes are batch and channels. `Signal` has the shape of the activations with their masks and patterns.
Both go forward through a network. `Demand` goes backward: it says which covariances a layer needs.
"""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from ..arguments import is_whole
from ..arrays import namespace
from ..types import Array, Shape

__all__ = ['Axes', 'Demand', 'Signal', 'axis_of', 'shared_signal']


def axis_of(axis: int, ndim: int) -> int:
    """Return the axis as a non-negative number; TypeError if it is no whole number, ValueError if it does not exist."""
    if not is_whole(axis):
        raise TypeError(f'expected an axis to be a whole number, got {axis!r:.100} of type {type(axis).__name__}.')
    if not -ndim <= axis < ndim:
        raise ValueError(f'expected an axis between {-ndim} and {ndim - 1}, got axis {axis}.')
    return axis % ndim


@dataclass(frozen=True)
class Axes:
    """The batch axis and the channel axis of inputs and activations."""
    batch: int = 0
    channel: int = -1

    def __post_init__(self):
        if not is_whole(self.batch) or not is_whole(self.channel):
            raise TypeError(f'expected the axes of batch and channels to be whole numbers, got {self.batch!r:.100} and '
                            f'{self.channel!r:.100}.')

    @lru_cache                                                          # asked for by every layer of every tile
    def of(self, ndim: int) -> 'Axes':
        """Return both as non-negative axes of arrays with `ndim` axes; ValueError if they do not exist or coincide."""
        axes = Axes(axis_of(self.batch, ndim), axis_of(self.channel, ndim))
        if axes.batch == axes.channel:
            raise ValueError(f'expected batch and channels on different axes, got batch axis {self.batch} and channel '
                             f'axis {self.channel} of {ndim} axes.')
        return axes


@dataclass(frozen=True)
class Signal:
    """Description of a layer's input or output before anything is computed: shape, axes, masks and patterns."""
    shape: Any                    # shape of the activations of the finite network
    axes: Axes                    # non-negative
    is_gaussian: bool = False     # True if the activations are Gaussian in the infinite limit
    patterns: tuple = field(default=(None, None), compare=False)     # for these inputs, for those paired with them
    mask: Any = field(default=None, compare=False)                   # (n, *positions), True where masked; or None
    behind: dict = field(default_factory=dict, init=False, repr=False, compare=False)   # of layers, see `Network.after`

    def __reduce__(self):
        return Signal, (self.shape, self.axes, self.is_gaussian, self.patterns, self.mask)

    @property
    def channels(self) -> int:
        return self.shape[self.axes.channel]

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.shape[self.axes.batch]

    @property
    def positions(self) -> Shape:
        """Numbers of positions along each spatial axis."""
        return tuple(self.shape[axis] for axis in self.layout[1:])

    @property
    def layout(self) -> list[int]:
        """List of the batch axis, followed by the spatial axes."""
        others = (axis for axis in range(len(self.shape)) if axis not in (self.axes.batch, self.axes.channel))
        return [self.axes.batch, *others]

    def with_channels(self, n: int) -> 'Signal':
        return self._with_size(self.axes.channel, n)

    def with_inputs(self, n: int) -> 'Signal':
        return self._with_size(self.axes.batch, n)

    def masked_where(self, entries: Array) -> 'Signal':
        """Return the signal masked where all channels of `entries`, bools shaped like the activations, are True."""
        xp = namespace(entries)
        entries = xp.moveaxis(entries, (self.axes.batch, self.axes.channel), (0, -1))
        return replace(self, mask=xp.all(entries, axis=-1))

    def remasked(self, f: Callable[[Array], Array]) -> 'Signal':
        """Return the signal with f(mask) as its mask, if it has one."""
        return self if self.mask is None else replace(self, mask=f(self.mask))

    def _with_size(self, axis, n):
        return replace(self, shape=(*self.shape[:axis], n, *self.shape[axis + 1:]))


def shared_signal(first: Signal, second: Signal) -> tuple[Signal, Signal]:
    """Return both signals, as one and the same if they say the same, so that layers are asked once."""
    if first is second:
        return first, second
    beside = zip((first.mask, *first.patterns), (second.mask, *second.patterns))
    is_one = first == second and all(a is b for a, b in beside)
    return first, first if is_one else second


@dataclass(frozen=True)
class Demand:
    """Covariances, gaps and areas that a layer needs of its input."""
    paired: bool = True           # True: covariances between any two positions; False: at equal ones only
    axes: Any = None              # batch and channel axes. None: any; Axes() at the input
    area: bool = True             # areas are needed beside the gaps
    diagonal: bool = False        # the user asked for equal positions only
    gap: bool = True              # gaps are needed beside the covariances
    flat: bool = False            # the mean over equal positions is enough: inputs may come flattened
