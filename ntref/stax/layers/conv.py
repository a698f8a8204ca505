"""Convolutions: `Dense` on patches. Conv and ConvTranspose share weights between positions, ConvLocal does not.

On kernels a convolution is a sum over the taps of the window, one spatial axis after the other, in which both members
of a pair of positions move together. Derivation: docs/theory/conv.md.
"""
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ...arguments import as_whole, as_wholes
from ...arrays import namespace
from ...duals.geometry import Cov
from ...duals.pair import Pair
from ...recursion.signal import Axes, Demand, Signal
from ...recursion.steps import Steps
from ...types import Array, Generator, Seed, Tree
from ...windows import Window, window_sum, windows
from ..masking import slid, spread
from .sliding import gap_sum, named_padding, strides_of
from .weighted import Weighted

__all__ = ['Conv', 'ConvLocal', 'ConvTranspose']


def _are_letters(numbers, positions):
    """True if `numbers` name the axes of inputs, filter and outputs, with `positions` spatial letters each."""
    if not isinstance(numbers, (tuple, list)) or len(numbers) != 3:
        return False
    if not all(isinstance(letters, str) for letters in numbers):
        return False
    spatial = set(numbers[0]) - set('NCIO')
    expected = [sorted({*spatial, *others}) for others in ('NC', 'IO', 'NC')]
    return len(spatial) == positions and list(map(sorted, numbers)) == expected


@dataclass(frozen=True, repr=False)
class _Convolution(Weighted, abstract=True):
    """Base of the convolutions; `_window` makes the `Window` of an axis."""
    weights_formula, inputs_formula, at_formula = r'\frac{\sigma_w^2}{k}', r'\sum_a {}(i + a, j + a)', '(i, j)'
    out_chan: int
    filter_shape: tuple
    strides: tuple | None = None
    padding: str = 'VALID'
    W_std: float = 1.
    b_std: float | None = None
    dimension_numbers: tuple | None = None
    parameterization: str = 'ntk'
    s: tuple = (1, 1)
    _window = staticmethod(Window.of)
    row_by_row = True

    def __post_init__(self):
        super().__post_init__()
        shape = as_wholes(self.filter_shape, f'{self.name}: filter_shape', 1)
        values = {
            'out_chan': as_whole(self.out_chan, f'{self.name}: out_chan', 1),
            'filter_shape': shape,
            'strides': strides_of(self.name, self.strides, shape),
            'padding': named_padding(self.name, self.padding),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if not _are_letters(self._letters, len(shape)):
            raise ValueError(
                f'{self.name}: expected dimension_numbers like ("NHWC", "HWIO", "NHWC"), N and C '
                'for inputs and outputs, I and O for the filter, and as many spatial letters as '
                f'filter_shape {shape} is long, got {self.dimension_numbers!r}.')
        if self.dimension_numbers is not None:
            object.__setattr__(self, 'dimension_numbers', tuple(self.dimension_numbers))

    # -------------------------------------------------------------- which axis is which

    @property
    def _letters(self):
        """The letters of the axes of input, filter and output."""
        if self.dimension_numbers is not None:
            return self.dimension_numbers
        spatial = 'ABDEFGHJKLM'[:len(self.filter_shape)]
        return f'N{spatial}C', f'{spatial}IO', f'N{spatial}C'

    @property
    def _spatial(self):
        """The spatial letters of input, filter and output."""
        return [[c for c in letters if c not in 'NCIO'] for letters in self._letters]

    @property
    def axes(self):
        """Batch and channel axes of the input, counted from the nearer end.

        With an input of another number of axes, `out` is then reached and refuses it.
        """
        lhs, _, _ = self._letters
        axes = (lhs.index(letter) for letter in 'NC')
        return Axes(*(axis if 2 * axis < len(lhs) else axis - len(lhs) for axis in axes))

    @property
    def _taps(self):
        return prod(self.filter_shape)

    def _windows(self, shape):
        """Return the `Window` of each spatial axis, for inputs of this shape."""
        lhs, _, _ = self._letters
        inputs, sizes, _ = self._spatial
        strides = self.strides or (1,) * len(self.filter_shape)
        found = []
        for c in inputs:
            i = sizes.index(c)
            n = shape[lhs.index(c)]
            found.append(self._window(n, self.filter_shape[i], strides[i], self.padding))
        return found

    def demand(self, demand: Demand) -> Demand:
        demand = super().demand(demand)
        return demand if self._taps == 1 else replace(demand, area=False)

    # -------------------------------------------------------------- the finite network

    def out(self, signal: Signal) -> Signal:
        lhs, _, out = self._letters
        if len(signal.shape) != len(lhs):
            raise ValueError(
                f'expected {len(lhs) - 2} spatial axes ({lhs}), got {len(signal.shape) - 2} in '
                f'shape {signal.shape}.')
        self.check_axes(signal, self.axes.of(len(lhs)))
        self._check_channels(signal)
        sizes = {'N': signal.shape[self.axes.batch], 'C': self._widened(self.out_chan)}
        for c, window in zip(self._spatial[0], self._windows(signal.shape)):
            sizes[c] = window.out
        shape = tuple(sizes[c] for c in out)
        axes = Axes(out.index('N'), out.index('C'))
        new = replace(signal, shape=shape, axes=axes, is_gaussian=True)
        return new.remasked(lambda mask: self._in_order(self._moved(mask, signal.shape)))

    def _moved(self, mask, shape):
        """Return the mask of the outputs for inputs of this shape, with axes in the order of the input."""
        return slid(mask, self._windows(shape), self.padding)

    def _in_order(self, mask):
        """Return the mask with its positions in the order of the output."""
        inputs, _, outputs = self._spatial
        source = [1 + inputs.index(c) for c in outputs]
        return namespace(mask).moveaxis(mask, source, range(1, mask.ndim))

    def init(self, rng: Generator, signal: Signal) -> Tree:
        shape, bias_shape = self._shapes(signal)
        return self._drawn(rng, shape, signal.channels * self._taps, bias_shape)

    def _shapes(self, signal):
        """Return the shapes of W and b."""
        _, rhs, out = self._letters
        sizes = dict(zip(self._spatial[1], self.filter_shape))
        sizes['I'] = signal.channels
        sizes['O'] = self._widened(self.out_chan)
        return [sizes[c] for c in rhs], [sizes['O'] if c == 'C' else 1 for c in out]

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        W, b = self.parts(params, 2)
        signal = Signal(tuple(x.shape), self.axes.of(x.ndim))
        self.check_weights(W, self._shapes(signal)[0], signal)
        patches = self._patches(x)
        size, *positions, n = patches.shape
        Wh = self._product(patches.reshape(size, prod(positions), n), self._matrices(W))
        Wh = Wh.reshape(size, *positions, Wh.shape[-1])
        target = [self._letters[2].index(c) for c in ('N', *self._spatial[0], 'C')]
        Wh = namespace(Wh).moveaxis(Wh, range(Wh.ndim), target)
        return self._scaled(Wh, b, n)

    def _patches(self, x):
        """Return the inputs under the window, zero outside, as (N, *output positions, taps x channels)."""
        xp = namespace(x)
        lhs, _, _ = self._letters
        m = len(self.filter_shape)
        slides = self._windows(x.shape)
        source = [lhs.index(c) for c in ('N', *self._spatial[0], 'C')]
        x = xp.moveaxis(x, source, range(m + 2))
        for i, window in enumerate(slides):
            x = windows(x, 1 + 2 * i, window)
        x = xp.moveaxis(x, range(2, 2 + 2 * m, 2), range(1 + m, 1 + 2 * m))
        return x.reshape(*x.shape[:1 + m], prod(x.shape[1 + m:]))

    def _matrices(self, W):
        """Return W as (taps x channels, outputs)."""
        return self._channels_last(W).reshape(-1, W.shape[self._letters[1].index('O')])

    def _channels_last(self, W):
        """Return W with the axes (*spatial axes in the order of the input, I, O)."""
        source = [self._letters[1].index(c) for c in (*self._spatial[0], 'I', 'O')]
        return namespace(W).moveaxis(W, source, range(W.ndim))

    def _product(self, patches, W):
        """Return W h, computed by one matrix product for all positions."""
        n, positions, m = patches.shape
        return (patches.reshape(n * positions, m) @ W).reshape(n, positions, W.shape[-1])

    # -------------------------------------------------------------- the infinite network

    def kernel(self, k: Steps) -> Steps:
        return self._reordered(k.in_rows(self._windows(k.shape1), self._convolved))

    def _convolved(self, k, slides):
        """Return the convolution of k along `slides`.

        For each spatial axis, `slides` has the (axis, Window) of both members of a pair.
        """
        def total(c):
            for pair in slides:
                c = window_sum(c, pair)
            return c

        def sums(p):
            area = total(p.area) if self._taps == 1 and p.has_area else None
            gap = None if p.is_generic else gap_sum(p, slides)
            return Pair(p.q1, p.q2, Cov(total(p.k), gap, area), p.is_generic,
                        p.is_spare)
        return self._affine(k, sums, total, self._taps)

    def _reordered(self, k):
        """Return k with its spatial axes in the order of the output."""
        inputs, _, outputs = self._spatial
        if inputs == outputs:
            return k
        k = k.computed()
        source = [axis for axes in k.spatial for axis in axes]
        target = [axis for c in inputs for axis in k.spatial[outputs.index(c)]]

        def moved(c):
            return namespace(c).moveaxis(c, source, target)
        return k.linear(moved, gap=True)


@dataclass(frozen=True, repr=False)
class Conv(_Convolution):
    r"""Convolution: weights shared between positions, on any number of spatial axes.

    With n channels, a window of k taps and N = n k, at position i (strides and padding are implied)

    .. math::
        z_i = \frac{\sigma_w}{\sqrt N} \sum_a W_a h_{i+a} + \sigma_b b, \qquad
        K'(i, j) = \frac{\sigma_w^2}{k} \sum_a K(i + a, j + a) + \sigma_b^2, \qquad
        \Theta'(i, j) = K'(i, j) + \frac{\sigma_w^2}{k} \sum_a \Theta(i + a, j + a) .

    Inputs outside and masked inputs (docs/masks.md) are zero, and k counts them. With 'standard',
    Theta' = n / s[0] sum_a K + sigma_w^2 / k sum_a Theta (+ 1 with a bias).

    Parameters
    ----------
    out_chan : int                      channels of the output (without effect on the kernel in 'ntk').
    filter_shape : tuple of int         lengths of the window, in the order of the spatial letters of the filter.
    strides : tuple of int, optional    steps of the window, in the same order; None: 1.
    padding : str                       'VALID': none; 'SAME': zeros, so that out = ceil(n / stride); 'CIRCULAR': as
                                        many entries from the other end. Upper or lower case.
    W_std, b_std : float                sigma_w and sigma_b; b_std=None: no bias. Only their squares enter the kernel.
    dimension_numbers : (str, str, str), optional
        Letters of the axes of input (N batch, C channels), filter (I, O: channels) and output, such as
        ('NCHW', 'OIHW', 'NCHW'). None: channels last.
    parameterization : str              'ntk' or 'standard'.
    s : (float, float)                  as in `Dense`.

    Raises
    ------
    TypeError  : a number where a tuple is expected.
    ValueError : unknown padding, parameterization or letters; strides or lengths below 1; a window longer than the
        input under 'VALID'; another number of spatial axes; axes that differ from those of the input.

    Accuracy
    --------
    K and Theta are accurate to rounding, also at nearly equal inputs: the gap goes through the window as K does. The
    area does not: where patches are multiples of each other and there is no bias, Theta is accurate to 1e-8
    (docs/accuracy.md).

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148); Arora et al. 2019 (arXiv:1904.11955) section 4; docs/theory/conv.md#conv.

    Examples
    --------
    >>> import numpy
    >>> Conv(8, (2,), padding='SAME').kernel_fn(numpy.ones((1, 3, 1)), get='nngp', diagonal_spatial=True)
    array([[[1. , 1. , 0.5]]])
    """


@dataclass(frozen=True, repr=False)
class ConvTranspose(_Convolution):
    """Transposed (fractionally strided) convolution: `Conv` whose output is `strides` times longer than its input.

    Tap a of output o sees input i where o = i stride - a + low. K' and Theta' are as for `Conv`, summed over
    those taps; the divisor k counts all taps, so that q' differs between positions.

    Parameters
    ----------
    padding : str       'SAME': out = n stride; 'VALID': max(k - stride, 0) more; 'CIRCULAR': as 'SAME', with
                        positions counted modulo their number.
    others              as for `Conv`.

    Raises
    ------
    ValueError : as for `Conv`.

    Accuracy
    --------
    As for `Conv`.

    Source
    ------
    Dumoulin & Visin 2016 (arXiv:1603.07285) chapter 4; docs/theory/conv.md#convtranspose.
    """
    inputs_formula = r'\sum_a {}(i_a, j_a)'
    _window = staticmethod(Window.transposed)

    def _moved(self, mask, shape):
        inputs, sizes, _ = self._spatial
        order = [sizes.index(c) for c in inputs]
        strides = self.strides or (1,) * len(sizes)
        shape = [self.filter_shape[i] for i in order]
        return spread(mask, shape, [strides[i] for i in order], self.padding)


@dataclass(frozen=True, repr=False)
class ConvLocal(_Convolution):
    """Convolution without weight sharing: every output position has weights and a bias of its own.

    K'(i, i) and Theta'(i, i) are as for `Conv`; K'(i, j) = Theta'(i, j) = 0 at different positions.

    Parameters
    ----------
    As for `Conv`.

    Raises
    ------
    ValueError : as for `Conv`.

    Accuracy
    --------
    As for `Conv`.

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148); docs/theory/conv.md#convlocal.
    """
    inputs_formula, at_formula = r'\sum_a {}(i + a, i + a)', '(i, i)'
    more_formula = r',\quad K_+(i, j) = \Theta_+(i, j) = 0\text{ at different positions}'
    row_by_row = False

    def _shapes(self, signal):
        _, rhs, out = self._letters
        new = self.out(signal)
        sizes = dict(zip(out, new.shape))
        sizes['I'] = signal.channels * self._taps
        sizes['O'] = new.channels
        return [sizes[c] for c in rhs], [1 if c == 'N' else sizes[c] for c in out]

    def _matrices(self, W):
        """Return W as (positions, taps x channels, outputs)."""
        W = self._channels_last(W)
        return W.reshape(-1, *W.shape[-2:])

    def _product(self, patches, W):
        """Return W h, computed by one matrix product for each position."""
        xp = namespace(patches, W)
        return xp.moveaxis(xp.moveaxis(patches, 1, 0) @ W, 0, 1)

    def kernel(self, k: Steps) -> Steps:
        new = super().kernel(k.aligned()).computed()
        return new if k.diagonal_spatial else new.uncorrelated()
