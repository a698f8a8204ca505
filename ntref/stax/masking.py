"""Masks: inputs of different lengths are padded to one length with a constant, which marks positions as empty.

A mask (n, *positions) is True at positions beyond the end of an input; there everything is 0, after every layer. Layers
that average over positions average over the other ones:

    z = P (u h) / P u        P the average over all positions, u = 0 at masked positions, u = 1 at the others

Each layer says in the `Signal.mask` of its output how masks move; `Kernel.masked` applies them to kernels and `zeroed`
to arrays. docs/masks.md
"""
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from math import inf, prod
from typing import Any

from ..arguments import as_function, as_number
from ..arrays import as_floats, as_like, is_array, namespace
from ..no_arrays import no_array
from ..recursion.signal import Axes, Signal
from ..types import Array, Shape, Tree
from ..windows import Window, window_sum
from .trees import each_branch

__all__ = ['Masked', 'MaskedArray', 'average', 'check_found', 'everywhere', 'in_layout', 'is_masked', 'masked_inputs',
           'published', 'share', 'slid', 'spread', 'state', 'unmask_fn', 'zeroed']


@dataclass(frozen=True, eq=False)
class MaskedArray:
    """Outputs of a finite network that was called with `mask_constant`, and their mask.

    Attributes
    ----------
    masked_value : array      the outputs, 0 where they are masked.
    mask : array of bool      True where outputs are masked; shaped like the outputs, with one channel.

    As an input of `apply_fn` or `kernel_fn` it says which entries are masked without a constant; its mask may then have
    any shape that broadcasts against its values.

    Examples
    --------
    >>> import numpy
    >>> from ntref import stax
    >>> x = numpy.array([[[3.], [5.], [-1.]]])
    >>> net = stax.AvgPool((2,), padding='SAME', normalize_edges=True)
    >>> net.apply_fn((), x, mask_constant=-1)
    MaskedArray(masked_value=array([[[4.],
            [5.],
            [0.]]]), mask=array([[[False],
            [False],
            [ True]]]))
    """
    masked_value: Any
    mask: Any

    def __post_init__(self):
        for name in 'masked_value', 'mask':
            value = getattr(self, name)
            if not is_array(value):
                raise no_array(value, f'MaskedArray: {name} to be an array')
        if self.mask.dtype != bool:
            raise TypeError(f'expected MaskedArray: mask to be an array of bool, got {self.mask.dtype}. Give '
                            'mask.astype(bool), True where there is nothing.')
        shapes = self.mask.shape, self.masked_value.shape
        if len(shapes[0]) > len(shapes[1]) or not all(
                m in (1, n) for m, n in zip(shapes[0][::-1], shapes[1][::-1])):
            raise ValueError(f'expected MaskedArray: mask to broadcast against values of shape {shapes[1]}, got one of '
                             f'shape {shapes[0]}.')


def unmask_fn(fn: Callable) -> Callable:
    """Return `fn` with each `MaskedArray` in its result replaced by a plain array, 0 where it is masked.

    Parameters
    ----------
    fn : callable       a function that returns arrays, MaskedArrays, or lists or tuples of them.

    Returns
    -------
    callable : a function of the same arguments.

    Examples
    --------
    >>> import numpy
    >>> from ntref import stax
    >>> apply_fn = stax.unmask_fn(stax.GlobalAvgPool().apply_fn)
    >>> apply_fn((), numpy.array([[[3.], [5.], [-1.]]]), mask_constant=-1)
    array([[4.]])
    """
    def unmasked(out):
        if isinstance(out, MaskedArray):
            return namespace(out.masked_value).where(out.mask, 0, out.masked_value)
        if isinstance(out, (list, tuple)) and not hasattr(out, '_fields'):
            return type(out)(map(unmasked, out))
        return out

    fn = as_function(getattr(fn, 'apply_fn', fn), 'fn')

    @wraps(fn)
    def function(*args, **kwargs):
        return unmasked(fn(*args, **kwargs))
    return function


# ------------------------------------------------------------------ inputs

def masked_inputs(x: Tree, mask_constant: Any) -> tuple[Tree, Tree]:
    """Return the tree of inputs as arrays that are 0 where masked, and the tree of masks, or None without masks.

    Raises
    ------
    TypeError : the constant is not a number.
    """
    if mask_constant is None and not _any_leaf(lambda x: isinstance(x, MaskedArray), x):
        return x, None
    constant = None if mask_constant is None else _as_constant(mask_constant)
    masks = each_branch(lambda x: _where_masked(x, constant), x)

    def cleared(x, mask):
        x, = (x,) if x is None else as_floats(_value(x))
        return x if x is None else namespace(x).where(mask, 0, x)
    return each_branch(cleared, x, masks), masks


def check_found(mask_constant: Any, *masks: Tree, stacklevel: int = 3) -> None:
    """Warn if the constant is in none of the inputs.

    Inputs that were padded with another constant would be taken at face value.
    """
    if mask_constant is not None and not _any_leaf(lambda mask: mask is not None and bool(mask.any()), list(masks)):
        warnings.warn(f'expected mask_constant={mask_constant} in the inputs, found it in none of them: nothing is '
                      'masked. Pad with this constant, or leave it out where nothing is padded.', stacklevel=stacklevel)


def _as_constant(value):
    """Return the constant as a Python number; NaN and infinity are allowed."""
    try:
        return as_number(value, 'mask_constant')
    except ValueError:
        if abs(value) == inf or value != value:
            return float(value)
        raise


def _value(x):
    return x.masked_value if isinstance(x, MaskedArray) else x


def _where_masked(x, constant):
    """Return which entries of the array x are masked, or None if x is None."""
    if x is None:
        return None
    value, = as_floats(_value(x))
    mask = value != value if constant != constant else value == constant         # only NaN differs from itself
    if isinstance(x, MaskedArray):
        given = namespace(value).broadcast_to(x.mask, value.shape)
        mask = given | mask if constant is not None else given
    return mask


def _any_leaf(f, tree):
    return any(_any_leaf(f, leaf) for leaf in tree) if isinstance(tree, (list, tuple)) else f(tree)


# ------------------------------------------------------------------ finite networks

@dataclass(frozen=True, eq=False)
class Masked:
    """An array between two layers, with the `Signal` that describes it."""
    value: Any
    signal: Any


def is_masked(tree: Tree) -> bool:
    return _any_leaf(lambda leaf: isinstance(leaf, Masked), tree)


def state(x: Array, entries: Array, signal: Signal) -> Masked:
    """Return the array x of a `signal` as a `Masked`, masked at positions where all channels of `entries` are True."""
    return Masked(x, signal.masked_where(entries))


def zeroed(x: Array, signal: Signal) -> Masked:
    """Return x as a `Masked` that is 0 where the signal is masked."""
    if signal.mask is None:
        raise ValueError('expected `out` to say where outputs are masked, got a Signal without a mask. Make it of the '
                         'one given, by dataclasses.replace.')
    return Masked(namespace(x).where(in_layout(signal.mask, signal.axes), 0, x), signal)


def published(masked: Masked) -> MaskedArray:
    return MaskedArray(masked.value, in_layout(masked.signal.mask, masked.signal.axes))


def in_layout(a: Array, axes: Axes) -> Array:
    """Return the array a (n, *positions) in the layout of activations with these axes and one channel."""
    return namespace(a).moveaxis(a[..., None], (0, -1), (axes.batch, axes.channel))


# ------------------------------------------------------------------ averages over what is there

def share(mask: Array, like: Array, mean: Callable[[Array], Array]) -> Array:
    """Return mean(u) for u = 0 where masked and 1 elsewhere, and 1 where there is nothing to average."""
    u = mean(as_like(~mask, like))
    return namespace(u).where(u == 0, 1, u)


def average(a: Array, axis: Any, mask: Array | None = None) -> Array:
    """Return the mean of a over some axes, which stay with length one; entries that are masked do not count."""
    def mean(a):
        return namespace(a).mean(a, axis, keepdims=True)
    return mean(a) if mask is None else mean(namespace(a).where(mask, 0, a)) / share(mask, a, mean)


# ------------------------------------------------------------------ how masks move

def everywhere(mask: Array) -> Array:
    """Reduce a mask (n, *positions) to (n,), True where all positions of an input are masked."""
    return namespace(mask).all(mask.reshape(len(mask), prod(mask.shape[1:])), axis=1)


def slid(mask: Array, windows: list[Window], padding: str) -> Array:
    """Return the mask after a `Window` has moved along each axis.

    An output is masked where any tap is masked ('VALID'), and otherwise where the middle tap is.
    """
    for axis, window in enumerate(windows, 1):
        if padding != 'VALID':
            window = window.only(((len(window.taps) - 1) // 2,))
        mask = window_sum(mask, [(axis, window)])                    # of bools: True if any is
    return mask


def spread(mask: Array, sizes: Shape, strides: Shape, padding: str) -> Array:
    """Return the mask after transposed windows of these sizes.

    An output is not masked if an input that owns it is not. An input owns `stride` outputs, under 'VALID' all that it
    reaches.
    """
    there = ~mask
    for axis, (size, stride) in enumerate(zip(sizes, strides), 1):
        size = max(size, stride) if padding == 'VALID' else stride
        there = window_sum(there, [(axis, Window.transposed(mask.shape[axis], size, stride, padding))])
    return ~there
