"""Layers without weights that move, pick or resample positions: Flatten, Index, ImageResize."""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from operator import index
from typing import Any

from ...arguments import as_wholes, is_whole, suggestion
from ...arrays import namespace
from ...recursion.signal import Axes, Demand, Signal, axis_of
from ...recursion.steps import Steps
from ...types import Array, Seed, Tree
from ...windows import RESIZERS, nearest, resize_matrix
from ..layer import Layer
from ..masking import everywhere
from .mixing import Mixing, check_positions

__all__ = ['Flatten', 'ImageResize', 'Index', 'Slice']


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Positions become channels: (N, h, w, C) to (N, h w C).

    K' = mean_i K(i, i),  Theta' = mean_i Theta(i, i): only covariances at equal positions matter, and no others are
    computed if no layer before mixes positions. If nothing but Identity, Dropout and FanOut comes before, the input
    itself is flattened, and not even those are needed. Masked positions count, since there are weights for them.

    Parameters
    ----------
    batch_axis : int            batch axis of the input.
    batch_axis_out : int        0: (N, h w C); 1 or -1: (h w C, N).

    Raises
    ------
    ValueError : another batch_axis_out; a batch axis that differs from that of the input.

    Accuracy
    --------
    Accurate to rounding; the gap is carried.

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148) section 3.1; docs/theory/conv.md#flatten.
    """
    formula = r'K_+ = \frac{1}{p} \sum_i K(i, i),\quad \Theta_+ = \frac{1}{p} \sum_i \Theta(i, i)'
    knows_flat = True

    batch_axis: int = 0
    batch_axis_out: int = 0

    def __post_init__(self):
        super().__post_init__()
        if self.batch_axis_out not in (0, 1, -1):
            raise ValueError(
                f'Flatten: expected batch_axis_out 0, 1 or -1, got {self.batch_axis_out!r}.')

    def demand(self, demand: Demand) -> Demand:
        demand = super().demand(demand)
        axes = None if self.batch_axis == 0 else Axes(self.batch_axis, 0)
        return replace(demand, paired=False, axes=axes, flat=self.batch_axis == 0)

    def check(self, signal: Signal) -> None:
        if axis_of(self.batch_axis, len(signal.shape)) != signal.axes.batch:
            raise ValueError(
                f'expected the batch on axis {self.batch_axis}, got it on {signal.axes.batch} of '
                f'shape {signal.shape}.')

    def out(self, signal: Signal) -> Signal:
        check_positions(signal)
        n = signal.inputs
        size = prod(signal.positions) * signal.channels
        new = replace(signal, is_gaussian=False).remasked(everywhere)
        if self.batch_axis_out == 0:
            return replace(new, shape=(n, size), axes=Axes(0, 1))
        return replace(new, shape=(size, n), axes=Axes(1, 0))

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        inputs = namespace(x).moveaxis(x, self.batch_axis, 0)
        flat = inputs.reshape(inputs.shape[0], prod(inputs.shape[1:]))
        return flat if self.batch_axis_out == 0 else flat.T

    def kernel(self, k: Steps) -> Steps:
        k = k.aligned()
        axes = tuple(axis for group in k.spatial for axis in group)
        if not axes:
            return k.but(paired=True)

        def mean(c):
            return namespace(c).mean(c, axes)
        return k.linear(mean, gap=True).but(paired=True)


# ------------------------------------------------------------------ picking

class _Slice:
    """Slice[1:3, ::2] is the index (slice(1, 3), slice(None, None, 2))."""

    def __getitem__(self, idx):
        return idx


Slice = _Slice()


@dataclass(frozen=True, repr=False)
class Index(Layer):
    """Some inputs and positions, as NumPy's basic indexing picks them: x[idx].

    K'(i, j) = K(idx[i], idx[j]),  Theta' likewise.

    Parameters
    ----------
    idx : int, slice, Ellipsis or tuple of them
        Indices of all axes, written as `Slice[:, 1:4, ::2]`. A number on an axis removes it. A kernel needs a slice of
        the batch and all of the channels. Slices may pick nothing.
    batch_axis, channel_axis : int
        Axes of the input. If one of them is removed, batch and channels are the first and the last of the other axes.

    Raises
    ------
    ValueError : an index out of range, or of another kind; masks, where the batch or the channels are removed.
    NotImplementedError : `kernel_fn` with a number for the batch, or anything but all of the channels.

    Accuracy
    --------
    Exact.

    Source
    ------
    By definition.

    Examples
    --------
    >>> import numpy
    >>> Index(Slice[:, 1:, 0]).apply_fn((), numpy.zeros((2, 3, 4, 5))).shape
    (2, 2, 5)
    """
    formula = r'K_+(i, j) = K(x_i, x_j),\quad \Theta_+(i, j) = \Theta(x_i, x_j),\quad x = \mathrm{idx}'
    idx: object
    batch_axis: int = 0
    channel_axis: int = -1

    def __post_init__(self):
        super().__post_init__()
        idx = self.idx if isinstance(self.idx, tuple) else (self.idx,)
        ellipses = [i for i in idx if i is Ellipsis]
        if len(ellipses) > 1 or not all(is_whole(n) for i in idx for n in _numbers(i)):
            raise ValueError(
                'Index: expected whole numbers, slices between such and at most one Ellipsis, got '
                f'{self.idx!r}.')
        object.__setattr__(self, 'idx', tuple(map(_plain, idx)))

    def __hash__(self):
        return hash(repr(self))              # slices have no hash before Python 3.12

    @property
    def axes(self):
        return Axes(self.batch_axis, self.channel_axis)

    def tileable(self, signal: Signal) -> bool:
        return self._for(signal.shape)[signal.axes.batch] == slice(None)

    def __repr__(self):
        others = self.arguments()
        del others['idx']
        axes = ''.join(f', {name}={value!r}' for name, value in others.items())
        idx = ', '.join(map(_as_text, self.idx)) or '()'
        return f'Index(Slice[{idx}]{axes})'

    def _for(self, shape):
        """Return one index for each axis of an array of this shape."""
        idx = list(self.idx) if Ellipsis in self.idx else [*self.idx, Ellipsis]
        i = idx.index(Ellipsis)
        missing = len(shape) - len(idx) + 1
        if missing < 0:
            raise ValueError(
                f'expected at most {len(shape)} indices for shape {shape}, got {self.idx}.')
        return [*idx[:i], *[slice(None)] * missing, *idx[i + 1:]]

    def check(self, signal: Signal) -> None:
        idx = self._for(signal.shape)
        axes = signal.axes
        if not isinstance(idx[axes.batch], slice) or idx[axes.channel] != slice(None):
            raise NotImplementedError(
                f'{self!r} has no kernel: expected a slice of the batch (axis {axes.batch}) and '
                f'all of the channels (axis {axes.channel}), got {self.idx} for shape '
                f'{signal.shape}.')

    def out(self, signal: Signal) -> Signal:
        idx = self._for(signal.shape)
        shape = tuple(self._picked_shape(signal.shape, idx))
        kept = [axis for axis, i in enumerate(idx) if isinstance(i, slice)]
        batch = signal.axes.batch
        channel = signal.axes.channel
        if batch in kept and channel in kept:
            new = replace(signal, shape=shape, axes=Axes(kept.index(batch), kept.index(channel)))
            return new.remasked(lambda mask: mask[tuple(idx[axis] for axis in signal.layout)])
        if signal.mask is not None:
            raise ValueError(
                'expected slices of the batch and the channels where inputs have masks, got '
                f'{self.idx}.')
        axes = Axes().of(len(shape)) if len(shape) > 1 else Axes(0, 0)
        return replace(signal, shape=shape, axes=axes)

    def _picked_shape(self, shape, idx):
        """Yield the lengths of the axes that stay; raise ValueError for a number out of range."""
        for n, i in zip(shape, idx):
            if isinstance(i, slice):
                yield n if n == -1 else len(range(n)[i])                  # -1, any size, stays -1
            elif n != -1 and not -n <= i < n:
                raise ValueError(f'expected indices within shape {shape}, got {self.idx}.')

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        return x[tuple(self._for(x.shape))]

    def kernel(self, k: Steps) -> Steps:
        idx = self._for(k.shape1)
        batch, *spatial = (idx[axis] for axis in k.signals[0].layout)
        positions = [i for i, axes in zip(spatial, k.spatial) for _ in axes]

        def picked(c):
            return c[(*[batch] * (c.ndim - len(positions)), *positions)]
        return k.linear(picked, gap=True, area=True)


def _parts(i):
    return i.start, i.stop, i.step


def _numbers(i):
    """Return the numbers in an index."""
    if isinstance(i, slice):
        return [n for n in _parts(i) if n is not None]
    return [] if i is Ellipsis else [i]


def _plain(i):
    """Return the index with Python's numbers."""
    if isinstance(i, slice):
        return slice(*(None if n is None else index(n) for n in _parts(i)))
    return i if i is Ellipsis else index(i)


def _as_text(i):
    if not isinstance(i, slice):
        return '...' if i is Ellipsis else str(i)
    start, stop, step = ('' if n is None else str(n) for n in _parts(i))
    return f'{start}:{stop}:{step}' if step else f'{start}:{stop}'


# ------------------------------------------------------------------ resampling

@dataclass(frozen=True, repr=False)
class ImageResize(Mixing):
    """Resampling of images: h' = R h along every spatial axis whose length changes.

    K' = R K R^T,  Theta' = R Theta R^T. R has half-pixel centres, rows that sum to one, and, with `antialias`, a filter
    as wide as an output pixel where the image shrinks.

    Parameters
    ----------
    shape : tuple of int        lengths of all axes of the output; -1 keeps a length. Batch and channels keep theirs.
                                A length that happens to stay counts as resized: write -1 to need no covariances
                                between positions there.
    method : str                'nearest', 'linear' ('bilinear', 'trilinear', 'triangle'), 'cubic' ('bicubic',
                                'tricubic'; Keys, a = -1/2), 'lanczos3', 'lanczos5'.
    antialias : bool            see above; it has no effect on 'nearest'.
    precision                   accepted for old scripts, without effect.
    batch_axis, channel_axis : int

    Raises
    ------
    ValueError : an unknown method; another number of axes; another length of batch or channels; diagonal_spatial=True
        where positions are mixed, which 'nearest', or -1 for all of them, does not do.

    Accuracy
    --------
    K and Theta are accurate to rounding. The gap is carried by 'nearest', and otherwise recovered by subtraction:
    docs/accuracy.md.

    Source
    ------
    Keys 1981 (doi:10.1109/TASSP.1981.1163711) eq. 15 for 'cubic'; docs/theory/conv.md#imageresize.
    """
    formula = r'K_+ = R K R^T,\quad \Theta_+ = R \Theta R^T'
    shape: tuple
    method: str
    antialias: bool = True
    precision: object = None
    batch_axis: int = 0
    channel_axis: int = -1

    def __post_init__(self):
        super().__post_init__()
        method = str(getattr(self.method, 'name', self.method)).lower()
        if method not in RESIZERS:
            raise ValueError(
                f'ImageResize: expected method to be one of {", ".join(RESIZERS)}, got '
                f'{self.method!r:.100}.{suggestion(method, RESIZERS)}')
        shape = as_wholes(self.shape, 'ImageResize: shape', -1)
        if 0 in shape:
            raise ValueError(
                f'ImageResize: expected lengths >= 1, or -1 to keep one, got shape {shape}.')
        object.__setattr__(self, 'method', method)
        object.__setattr__(self, 'shape', shape)

    def out(self, signal: Signal) -> Signal:
        if len(self.shape) != len(signal.shape):
            raise ValueError(
                f'expected {len(self.shape)} axes, as `shape` has, got shape {signal.shape}.')
        shape = tuple(old if new == -1 else new for old, new in zip(signal.shape, self.shape))
        for name, axis in ('batch', signal.axes.batch), ('channels', signal.axes.channel):
            if shape[axis] != signal.shape[axis]:
                raise ValueError(
                    f'expected the {name} to keep their length {signal.shape[axis]}, got '
                    f'shape={self.shape} with {shape[axis]} on axis {axis}. Use -1 there.')
        if any(old == 0 < new for old, new in zip(signal.shape, shape)):
            raise ValueError(f'expected positions to resample, got none in shape {signal.shape}.')
        return replace(signal, shape=shape).remasked(self._picked)

    @property
    def _sizes(self):
        """Numbers of positions of the output along the spatial axes."""
        axes = self.axes.of(len(self.shape))
        return [n for axis, n in enumerate(self.shape) if axis not in (axes.batch, axes.channel)]

    def _picked(self, mask):
        """Return the mask, which takes at each output the value at the nearest input position."""
        for axis, size in enumerate(self._sizes, 1):
            if size != -1:
                mask = self._nearest(mask, axis, size)
        return mask

    def mixed(self, c: Array, groups: Sequence[tuple[int, ...]]) -> Array:
        for group, size in zip(groups, self._sizes):
            for axis in group:
                if size not in (-1, c.shape[axis]):
                    c = self._resized(c, axis % c.ndim, size)
        return c

    @property
    def picks(self):
        return RESIZERS[self.method] is nearest or not set(self._sizes) - {-1}

    @property
    def averages(self):
        return not self.picks

    def _nearest(self, c, axis, size):
        return c[(*[slice(None)] * axis, nearest(c.shape[axis], size))]

    def _resized(self, c, axis, size):
        if self.picks:
            return self._nearest(c, axis, size)
        xp = namespace(c)
        n = c.shape[axis]
        R = resize_matrix(xp, n, size, RESIZERS[self.method], self.antialias)
        R = R.astype(c.dtype, copy=False)
        return xp.moveaxis(xp.tensordot(R, c, ([1], [axis])), 0, axis)
