"""DotGeneral: the product with a constant array, which is not trained, along any axes except the channels."""
from dataclasses import dataclass, replace
from typing import Any

from ...arguments import as_nested, as_wholes
from ...arrays import as_like, is_array, namespace
from ...duals.geometry import Cov
from ...recursion.signal import Axes, Signal
from ...recursion.steps import Steps
from ...types import Array, Seed, Tree
from .mixing import Mixing

__all__ = ['DotGeneral']

LETTERS = 'abcdefghijklmnopqrstuvwx'
"""Names of axes; in upper case those of the other member of a pair; y and z are the batch."""


@dataclass(frozen=True, repr=False, kw_only=True)
class DotGeneral(Mixing):
    """Product with a constant:  z = sum h c over the contracted axes, entry by entry along those in common.

    K' = sum sum c K c',  Theta' = sum sum c Theta c', one sum for each member of a pair of positions. The axes of z are
    those in common (`batch` in `dimension_numbers`), then the other axes of the left operand, then those of the right
    one; the other axes of the constant are new positions. Without a constant the layer is the identity.

    Parameters
    ----------
    lhs, rhs : number or array, optional
        The constant, to the left or to the right of the input. Give at most one of them.
    dimension_numbers : ((axes of lhs, axes of rhs), (axes of lhs, axes of rhs))
        The axes that are contracted, and those that are in common; axes count from 0.
    precision       accepted for old scripts, without effect.
    batch_axis, channel_axis : int
        Axes of the input.

    Raises
    ------
    TypeError  : the constant does not consist of real numbers.
    ValueError : two constants; axes without a constant; axes that do not exist, come twice or differ in length; a
        product over the channels, or a sum over the batch; diagonal_spatial=True where positions are contracted.

    Accuracy
    --------
    K and Theta are accurate to rounding; the constant is converted to the precision of the inputs. Gap and area are
    carried where nothing is contracted, and otherwise recovered by subtraction, as after a pool:
    docs/theory/graphs.md#gap.

    Source
    ------
    docs/theory/graphs.md#dotgeneral.

    Examples
    --------
    Differences of neighbours, of three positions:

    >>> import numpy
    >>> layer = DotGeneral(rhs=[[-1., 0.], [1., -1.], [0., 1.]], dimension_numbers=(((1,), (0,)), ((), ())))
    >>> layer.apply_fn((), numpy.array([[[1.], [3.], [7.]]]))
    array([[[2., 4.]]])
    """
    formula = r'K_+ = c K c^T,\quad \Theta_+ = c \Theta c^T'
    lhs: object = None
    rhs: object = None
    dimension_numbers: tuple = (((), ()), ((), ()))
    precision: object = None
    batch_axis: int = 0
    channel_axis: int = -1

    def __post_init__(self):
        super().__post_init__()
        if self.lhs is not None and self.rhs is not None:
            raise ValueError(
                'DotGeneral: expected one constant, lhs or rhs, got both. The other operand is the '
                'input.')
        for name in ('lhs', 'rhs'):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, as_nested(given, f'DotGeneral: {name}'))
        object.__setattr__(self, 'dimension_numbers', _as_dimension_numbers(self.dimension_numbers))
        _, fixed = self._axes
        if any(fixed) and self._constant is None:
            raise ValueError(
                'DotGeneral: expected lhs or rhs to go with dimension_numbers, got neither.')
        _check_axes('DotGeneral: ', 'the constant', sum(fixed, ()), len(_shape(self._constant)))

    @property
    def _constant(self):
        return self.rhs if self.lhs is None else self.lhs

    @property
    def _axes(self):
        """The axes (contracted, in common) of the input, and the same of the constant."""
        left, right = zip(*self.dimension_numbers)
        return (left, right) if self.lhs is None else (right, left)

    @property
    def picks(self):
        """True if nothing is summed over."""
        return not self._axes[0][0]

    def tileable(self, signal: Signal) -> bool:
        return signal.axes.batch not in sum(self._axes[0], ())

    # -------------------------------------------------------------- which axis is which

    def _letters(self, ndim):
        """Return the letters of the axes of the input, the constant and the output."""
        (summed, common), fixed = self._axes
        x = LETTERS[:ndim]
        c = list(LETTERS[ndim:ndim + len(_shape(self._constant))])
        for axis, other in zip(summed + common, sum(fixed, ())):
            c[other] = x[axis]
        shared = [x[axis] for axis in common]
        of_input = [letter for axis, letter in enumerate(x) if axis not in summed + common]
        of_constant = [letter for letter in c if letter not in x]
        free = of_input + of_constant if self.lhs is None else of_constant + of_input
        return x, ''.join(c), ''.join(shared + free)

    def out(self, signal: Signal) -> Signal:
        if self._constant is None:
            return signal
        self._check_input(signal)
        shape = _shape(self._constant)
        x, c, out = self._letters(len(signal.shape))
        sizes = dict(zip(c, shape)) | dict(zip(x, signal.shape))
        for letter, n in zip(c, shape):
            if sizes[letter] not in (n, -1):
                raise ValueError(
                    f'expected axes of equal lengths, got {n} in the constant of shape {shape} and '
                    f'{sizes[letter]} in the input of shape {signal.shape} with '
                    f'dimension_numbers={self.dimension_numbers}.')
        axes = Axes(out.index(x[signal.axes.batch]), out.index(x[signal.axes.channel]))
        new = replace(signal, shape=tuple(sizes[letter] for letter in out), axes=axes)
        return new.remasked(lambda mask: self._moved(mask, signal, new))

    def _check_input(self, signal):
        """Raise ValueError if the axes do not exist, or if batch or channels are summed."""
        summed, common = self._axes[0]
        _check_axes('', f'the input of shape {signal.shape}', summed + common, len(signal.shape))
        batch = signal.axes.batch
        channel = signal.axes.channel
        if channel in summed + common or batch in summed:
            raise ValueError(
                f'expected a product along axes other than the channels, {channel}, and sums along '
                f'axes other than the batch, {batch}; got '
                f'dimension_numbers={self.dimension_numbers}. For products over channels there is '
                'Dense.')

    def _moved(self, mask, signal, new):
        """Return the mask of the outputs, True where all inputs with a weight are masked, or where all inputs are."""
        x, c, out = self._letters(len(signal.shape))
        old_layout = ''.join(x[axis] for axis in signal.layout)
        new_layout = ''.join(out[axis] for axis in new.layout)
        weights = 1. * (self._like(1. * mask) != 0)

        def any_of(inputs, weights):
            if not c:
                return inputs
            subscripts = f'{old_layout},{c}->{new_layout}'
            return namespace(mask).einsum(subscripts, 1. * inputs, weights) > 0
        return ~any_of(~mask, weights) & (any_of(mask, weights) | ~any_of(~mask, 1 + 0 * weights))

    # -------------------------------------------------------------- products

    def _like(self, a):
        """Return the constant in the kind and precision of the array `a`."""
        constant = self._constant if is_array(self._constant) else namespace(a).asarray(self._constant)
        return as_like(constant, a)

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        if self._constant is None:
            return x
        C = self._like(x)
        letters, c, out = self._letters(x.ndim)
        return namespace(x, C).einsum(f'{letters},{c}->{out}', x, C) if c else x * C

    def kernel(self, k: Steps) -> Steps:
        self._check_layout(k)
        if self._constant is None:
            return k
        if not _shape(self._constant):
            return k.linear(lambda c: self._constant ** 2 * c, gap=True, area=True)
        C = self._like(k.nngp)
        signal, _ = k.signals
        x, c, out = self._letters(len(signal.shape))
        n = x[signal.axes.batch]
        spatial = ''.join(x[axis] for axis in signal.layout[1:])
        new = ''.join(a for a in out if a not in (n, x[signal.axes.channel]))
        there = str if k.diagonal_spatial else str.upper    # the letter of the other member of a pair
        others = '' if k.diagonal_spatial else there(spatial)

        def pairs(positions):
            return positions if k.diagonal_spatial else _zipped(positions, there(positions))

        def product(K, C=C):
            xp = namespace(K, C)
            batch = 'yz'[:K.ndim - len(spatial + others)]
            left = c.replace(n, batch[0])
            right = ''.join(batch[-1] if a == n else there(a) for a in c)
            K = xp.einsum(f'{batch}{pairs(spatial)},{left}->{batch}{new}{others}', K, C)
            return xp.einsum(f'{batch}{new}{others},{right}->{batch}{pairs(new)}', K, C)
        if not self.picks:
            return k.linear(product)
        z = k.map(lambda p: Cov(product(p.k), None, None if p.is_generic else product(p.area, abs(C))))
        z = z.map(lambda p: Cov(p.k, None if p.is_generic else p.numbers.dn2 + 2 * p.numbers.minus, p.cov.area))
        return z.but(ntk=k.tangent(product))


def _zipped(first, second):
    """Interleave two strings: 'ab' and 'AB' give 'aAbB'."""
    return ''.join(a + b for a, b in zip(first, second))


def _shape(nested):
    if hasattr(nested, 'shape'):
        return tuple(nested.shape)
    return (len(nested), *_shape(nested[0])) if isinstance(nested, tuple) else ()


def _as_dimension_numbers(numbers):
    """Return ((lhs, rhs), (lhs, rhs)) as tuples of whole numbers, equally many in lhs and rhs."""
    try:
        summed, common = (
            tuple(as_wholes(axes, 'DotGeneral: axes', 0) for axes in pair) for pair in numbers)
    except (TypeError, ValueError) as e:
        raise ValueError(
            'DotGeneral: expected dimension_numbers like (((1,), (0,)), ((), ())): the contracted '
            f'axes of lhs and of rhs, and those in common; got {numbers!r}.') from e
    if not all(len(pair) == 2 and len(pair[0]) == len(pair[1]) for pair in (summed, common)):
        raise ValueError(
            'DotGeneral: expected as many axes of lhs as of rhs in dimension_numbers, got '
            f'{numbers!r}.')
    return summed, common


def _check_axes(who, name, axes, ndim):
    if len(set(axes)) < len(axes) or not all(axis < ndim for axis in axes):
        raise ValueError(
            f'{who}expected different axes from 0 to {ndim - 1} of {name}, got {axes} in '
            'dimension_numbers.')
