"""Masks: inputs of different lengths, padded to one length with a constant that says where there is nothing.

A mask (n, *positions) is True where an input ends before: at such positions everything is 0, after every layer. What
averages over positions averages over the others:

    z = P (u h) / P u        P the average over all positions, u = 1 where there is something, 0 where there is nothing

`Signal.mask` says how each layer moves masks; they are applied by `Kernel.masked` to kernels and by `zeroed` to arrays.
docs/masks.md
"""
import warnings
from dataclasses import dataclass
from functools import wraps
from math import inf, prod
from typing import Any

from ..arguments import as_function, as_number
from ..arrays import as_floats, as_like, is_array, namespace
from ..no_arrays import no_array
from ..windows import Window, window_sum
from .trees import each_branch

__all__ = ['Masked', 'MaskedArray', 'average', 'check_found', 'everywhere', 'in_layout', 'is_masked', 'masked_inputs',
           'published', 'share', 'slid', 'spread', 'state', 'unmask_fn', 'zeroed']


@dataclass(frozen=True, eq=False)
class MaskedArray:
    """Outputs of a finite network with `mask_constant`, and where they are masked.

    Attributes
    ----------
    masked_value : array      the outputs, 0 where they are masked.
    mask : array of bool      True where there is nothing; shaped like the outputs, with one channel.

    As input of `apply_fn` or `kernel_fn` it says where there is nothing without a constant; its mask may then have any
    shape that broadcasts against its values.

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


def unmask_fn(fn):
    """`fn` with plain arrays in the place of each `MaskedArray` it returns, 0 where they are masked.

    Parameters
    ----------
    fn : callable       that returns arrays, MaskedArrays, or lists or tuples of them.

    Returns
    -------
    callable : with the same arguments.

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

def masked_inputs(x, mask_constant):
    """Tree of inputs as arrays that are 0 where they are masked, and the tree of where; None for the latter: nowhere.

    Raises
    ------
    TypeError : a constant that is no number.
    """
    if mask_constant is None and not _any_leaf(lambda x: isinstance(x, MaskedArray), x):
        return x, None
    constant = None if mask_constant is None else _as_constant(mask_constant)
    masks = each_branch(lambda x: _where_masked(x, constant), x)

    def cleared(x, mask):
        x, = (x,) if x is None else as_floats(_value(x))
        return x if x is None else namespace(x).where(mask, 0, x)
    return each_branch(cleared, x, masks), masks


def check_found(mask_constant, *masks):
    """Warns where the constant is in none of the inputs: what was padded with another one is taken at face value."""
    if mask_constant is not None and not _any_leaf(lambda mask: mask is not None and bool(mask.any()), list(masks)):
        warnings.warn(f'expected mask_constant={mask_constant} in the inputs, found it in none of them: nothing is '
                      'masked. Pad with this constant, or leave it out where nothing is padded.', stacklevel=3)


def _as_constant(value):
    """A Python number; NaN and infinity are."""
    try:
        return as_number(value, 'mask_constant')
    except ValueError:
        if abs(value) == inf or value != value:
            return float(value)
        raise


def _value(x):
    return x.masked_value if isinstance(x, MaskedArray) else x


def _where_masked(x, constant):
    """Which entries of the array x, or None."""
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
    """Between layers: an array, and the `Signal` that describes it."""
    value: Any
    signal: Any


def is_masked(tree):
    return _any_leaf(lambda leaf: isinstance(leaf, Masked), tree)


def state(x, entries, signal):
    """The array x of a `signal`, masked where all channels of these entries are."""
    return Masked(x, signal.masked_where(entries))


def zeroed(x, signal):
    """x, and 0 where the signal is masked."""
    if signal.mask is None:
        raise ValueError('expected `out` to say where outputs are masked, got a Signal without a mask. Make it of the '
                         'one given, by dataclasses.replace.')
    return Masked(namespace(x).where(in_layout(signal.mask, signal.axes), 0, x), signal)


def published(masked):
    return MaskedArray(masked.value, in_layout(masked.signal.mask, masked.signal.axes))


def in_layout(a, axes):
    """a (n, *positions) as activations with these axes, of one channel."""
    return namespace(a).moveaxis(a[..., None], (0, -1), (axes.batch, axes.channel))


# ------------------------------------------------------------------ averages over what is there

def share(mask, like, mean):
    """mean(u) for u = 0 where masked and 1 elsewhere; 1 where there is nothing to average."""
    u = mean(as_like(~mask, like))
    return namespace(u).where(u == 0, 1, u)


def average(a, axis, mask=None):
    """The mean of a over some axes, which stay with length one; of what is not masked."""
    def mean(a):
        return namespace(a).mean(a, axis, keepdims=True)
    return mean(a) if mask is None else mean(namespace(a).where(mask, 0, a)) / share(mask, a, mean)


# ------------------------------------------------------------------ how masks move

def everywhere(mask):
    """(n, *positions) to (n,): is there nothing at all?"""
    return namespace(mask).all(mask.reshape(len(mask), prod(mask.shape[1:])), axis=1)


def slid(mask, windows, padding):
    """Under a `Window` along each axis: masked where any tap is ('VALID'), else where the middle one is."""
    for axis, window in enumerate(windows, 1):
        if padding != 'VALID':
            window = window.only(((len(window.taps) - 1) // 2,))
        mask = window_sum(mask, [(axis, window)])                    # of bools: any
    return mask


def spread(mask, sizes, strides, padding):
    """Under windows of these sizes, transposed: an input owns `stride` outputs, under 'VALID' all that it reaches."""
    there = ~mask
    for axis, (size, stride) in enumerate(zip(sizes, strides), 1):
        size = max(size, stride) if padding == 'VALID' else stride
        there = window_sum(there, [(axis, Window.transposed(mask.shape[axis], size, stride, padding))])
    return ~there
