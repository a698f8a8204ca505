"""Pooling: averages and sums over windows, or over all positions.

Both members of a pair of positions move independently, so that covariances between positions are needed:

    K'(i, j) = sum_a sum_b K(i + a, j + b) / (v_i v_j),    Theta' likewise,

where v is 1 (sum) or the number of taps (average). Derivation: docs/theory/conv.md#pooling.
"""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ...arguments import as_wholes
from ...arrays import namespace
from ...recursion.signal import Axes, Signal
from ...recursion.steps import Steps
from ...types import Array
from ...windows import Window, window_sum
from ..masking import everywhere, slid
from .mixing import Mixing, check_positions
from .sliding import gap_sum, named_padding, strides_of

__all__ = ['AvgPool', 'GlobalAvgPool', 'GlobalSumPool', 'SumPool']


# ------------------------------------------------------------------ windows

class _Pool(Mixing, abstract=True):
    """Base of sums over a window, divided as `_divided` says."""
    row_by_row = True
    window_shape: tuple
    strides: tuple | None
    padding: str

    def __post_init__(self):
        super().__post_init__()
        shape = as_wholes(self.window_shape, f'{self.name}: window_shape', 1)
        values = {
            'window_shape': shape,
            'strides': strides_of(self.name, self.strides, shape),
            'padding': named_padding(self.name, self.padding),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _windows(self, sizes):
        """Return the `Window` of each spatial axis, for inputs of these sizes."""
        strides = self.strides or (1,) * len(self.window_shape)
        axes = zip(sizes, self.window_shape, strides, strict=True)
        return [Window.of(n, size, stride, self.padding) for n, size, stride in axes]

    def out(self, signal: Signal) -> Signal:
        spatial = signal.layout[1:]
        if len(spatial) != len(self.window_shape):
            raise ValueError(
                f'expected {len(self.window_shape)} spatial axes, as window_shape has, got '
                f'{len(spatial)} in shape {signal.shape}.')
        shape = list(signal.shape)
        windows = self._windows(signal.positions)
        for axis, window in zip(spatial, windows):
            shape[axis] = window.out
        new = replace(signal, shape=tuple(shape))
        return new.remasked(lambda mask: slid(mask, windows, self.padding))

    def mixed(self, c: Array, groups: Sequence[tuple[int, ...]]) -> Array:
        windows = self._windows([c.shape[axes[0]] for axes in groups])
        slides = [[(axis, window) for axis in axes] for axes, window in zip(groups, windows)]
        return self._pooled(c, slides)

    def kernel(self, k: Steps) -> Steps:
        self._check_layout(k)
        windows = self._windows(k.signals[0].positions)
        if not self.averages:
            return k.in_rows(windows, self._pooled_kernel, is_local=False).bounded()
        k = k if k.is_generic else k.computed()
        met = k.meetings()
        new = k.in_rows(windows, self._pooled_kernel, is_local=False)
        return self._renormalized(new, k).meeting(met)

    def _pooled_kernel(self, k, slides):
        """Return the pooled kernel, with a bound of its gap.

        By Jensen's inequality E(sum_a (h_a - h'_a))^2 <= T sum_a E(h_a - h'_a)^2, for T taps.
        """
        both = [one for pair in slides for one in pair]

        def bound(p):
            return self._divided(prod(self.window_shape) * gap_sum(p, slides), both)
        return k.linear(lambda c: self._pooled(c, slides), bound=None if self.averages else bound)

    def _pooled(self, c, slides):
        """Return the sums of c over the windows of all positions, divided."""
        each = [one for pair in slides for one in pair]
        for one in each:
            c = window_sum(c, [one])
        return self._divided(c, each)

    def _divided(self, c, slides):
        """Return sums over windows as the pool gives them."""
        return c


@dataclass(frozen=True, repr=False)
class AvgPool(_Pool):
    """Average over a window.

    Parameters
    ----------
    window_shape : tuple of int         one length for each spatial axis.
    strides : tuple of int, optional    None: 1.
    padding : str                       'VALID', 'SAME' (zeros) or 'CIRCULAR', as in `Conv`.
    normalize_edges : bool              True: divide by the number of unmasked inputs under the window instead of by
                                        its size.
    batch_axis, channel_axis : int

    Raises
    ------
    ValueError : as for `Conv`; diagonal_spatial=True.

    Accuracy
    --------
    K and Theta are accurate to rounding. The gap is recovered by subtraction, but is no larger than the gap of the
    inputs allows: equal inputs and equal patches stay equal to the last bit; docs/theory/conv.md#gap, docs/accuracy.md.

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148) section 3.2; docs/theory/conv.md#pooling.

    Examples
    --------
    >>> import numpy
    >>> AvgPool((2,), (2,)).apply_fn((), numpy.array([[[1.], [3.], [5.], [7.]]])).ravel()
    array([2., 6.])
    """
    formula = (
        r'K_+(i, j) = \frac{1}{k^2} \sum_{a b} K(i + a, j + b),\quad '
        r'\Theta_+(i, j) = \frac{1}{k^2} \sum_{a b} \Theta(i + a, j + b)')
    window_shape: tuple
    strides: tuple | None = None
    padding: str = 'VALID'
    normalize_edges: bool = False
    batch_axis: int = 0
    channel_axis: int = -1

    @property
    def averages(self):
        return self.normalize_edges

    def _divided(self, c, slides):
        if not self.normalize_edges:
            return c / prod(len(window.taps) for _, window in slides)
        for axis, window in slides:
            counts = [float(sum(tap[o] for tap in window.reached)) for o in range(window.out)]
            counts = namespace(c).asarray(counts).astype(c.dtype, copy=False)
            c = c / counts.reshape(-1, *[1] * (c.ndim - axis % c.ndim - 1))
        return c


@dataclass(frozen=True, repr=False)
class SumPool(_Pool):
    """Sum over a window.

    Parameters
    ----------
    window_shape, strides, padding, batch_axis, channel_axis      as for `AvgPool`.

    Raises
    ------
    ValueError : as for `AvgPool`.

    Accuracy
    --------
    As for `AvgPool`.

    Source
    ------
    docs/theory/conv.md#pooling.
    """
    formula = r'K_+(i, j) = \sum_{a b} K(i + a, j + b),\quad \Theta_+(i, j) = \sum_{a b} \Theta(i + a, j + b)'
    window_shape: tuple
    strides: tuple | None = None
    padding: str = 'VALID'
    batch_axis: int = 0
    channel_axis: int = -1


# ------------------------------------------------------------------ all positions

@dataclass(frozen=True, repr=False)
class _GlobalPool(Mixing, abstract=True):
    """Base of pools over all positions; the output has none."""
    batch_axis: int = 0
    channel_axis: int = -1

    def out(self, signal: Signal) -> Signal:
        n = signal.inputs
        channels = signal.channels
        new = signal.remasked(everywhere)
        if signal.axes.batch < signal.axes.channel:
            return replace(new, shape=(n, channels), axes=Axes(0, 1))
        return replace(new, shape=(channels, n), axes=Axes(1, 0))

    def mixed(self, c: Array, groups: Sequence[tuple[int, ...]]) -> Array:
        axes = sorted((axis % c.ndim for group in groups for axis in group), reverse=True)
        n = prod(c.shape[axis] for axis in axes)
        for axis in axes:                        # one by one: partial sums lose fewer digits
            c = namespace(c).sum(c, axis)
        return c / self._divisor(n)

    def _divisor(self, n):
        """Return what a sum over n positions is divided by."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class GlobalAvgPool(_GlobalPool):
    """Average over all positions that are not masked:  K' = mean_ij K(i, j),  Theta' = mean_ij Theta(i, j).

    Parameters
    ----------
    batch_axis, channel_axis : int      these axes keep their order, the others disappear.

    Raises
    ------
    ValueError : diagonal_spatial=True; axes that differ from those of the input.

    Accuracy
    --------
    As for `AvgPool`.

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148) section 3.2; docs/theory/conv.md#pooling.
    """
    formula = r'K_+ = \frac{1}{p^2} \sum_{i j} K(i, j),\quad \Theta_+ = \frac{1}{p^2} \sum_{i j} \Theta(i, j)'
    averages = True

    def out(self, signal: Signal) -> Signal:
        check_positions(signal)
        return super().out(signal)

    def _divisor(self, n):
        return n


@dataclass(frozen=True, repr=False)
class GlobalSumPool(_GlobalPool):
    """Sum over all positions:  K' = sum_ij K(i, j),  Theta' = sum_ij Theta(i, j).

    Parameters
    ----------
    batch_axis, channel_axis : int      as for `GlobalAvgPool`.

    Raises
    ------
    ValueError : as for `GlobalAvgPool`.

    Accuracy
    --------
    As for `AvgPool`.

    Source
    ------
    docs/theory/conv.md#pooling.
    """
    formula = r'K_+ = \sum_{i j} K(i, j),\quad \Theta_+ = \sum_{i j} \Theta(i, j)'

    def _divisor(self, n):
        return 1
