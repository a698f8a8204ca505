"""Inputs and targets of estimators: rows of a table as inputs of a network, and numbers shifted and scaled."""
import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from ..arguments import as_flag, as_wholes
from ..no_arrays import check_on_host, is_followed, is_traced, no_array
from ..types import Shape

__all__ = ['Scale', 'numbers_of', 'shape_of']


def numbers_of(a: Any, name: str) -> Any:
    """Return `a`, the argument `name`, as scikit-learn reads it: tensors and arrays of JAX as arrays of NumPy.

    Warns
    -----
    UserWarning : a tensor that needs gradients, which is taken without them.

    Raises
    ------
    TypeError : NumPy cannot read it: it is on a GPU, sparse, or of a type such as bfloat16. Autograd or JAX follows it.
    """
    if is_followed(a) or is_traced(a):
        raise no_array(a, f'{name} to be numbers')
    check_on_host(a, name)
    if isinstance(a, numpy.ndarray) or not hasattr(a, '__dlpack__'):
        return a
    if getattr(a, 'requires_grad', False):
        warnings.warn(f'{name} needs gradients, which do not go through ntref: its numbers alone are taken. Give '
                      f'{name}.detach() in its place.', stacklevel=4)
        a = a.detach()
    try:
        numbers = numpy.asarray(a)
    except (RuntimeError, TypeError) as e:
        raise TypeError(f'expected {name} to have numbers that NumPy reads, got {type(a).__name__} of '
                        f'{getattr(a, "dtype", None)} ({str(e).rstrip(".")}). Of a tensor of PyTorch take '
                        f'{name}.cpu().to_dense().double().') from e
    if numbers.dtype.kind == 'V':
        raise TypeError(f'expected {name} to have numbers that NumPy reads, got {type(a).__name__} of {numbers.dtype}. '
                        f"Take {name}.astype('float32').")
    return numbers


def shape_of(input_shape: Any, features: int) -> Shape:
    """Return the shape of one input: `input_shape`, or (features,) for None.

    Raises
    ------
    ValueError : its product is not the number of features.
    """
    if input_shape is None:
        return (features,)
    shape = as_wholes(input_shape, 'input_shape', 1)
    if prod(shape) != features:
        raise ValueError(f'expected inputs of input_shape={shape} as rows of {prod(shape)} numbers, got rows of '
                         f'{features} features. Give X.reshape(len(X), -1).')
    return shape


@dataclass(frozen=True)
class Scale:
    """Numbers made to have mean 0 and deviation 1, each index of the last axis alone; NaN does not count.

    Attributes
    ----------
    mean, std : arrays of the size of the last axis; a deviation that is 0 to rounding is taken as 1.
    """

    mean: numpy.ndarray
    std: numpy.ndarray

    @classmethod
    def of(cls, a: numpy.ndarray, is_wanted: Any, name: str) -> 'Scale':
        """Return the scale of `a`, or mean 0 and deviation 1 unless it `is_wanted`, the argument `name`.

        Raises
        ------
        TypeError : `is_wanted` is no flag. ValueError : numbers whose squares overflow.
        """
        if not as_flag(is_wanted, name):
            return cls(numpy.zeros(a.shape[-1]), numpy.ones(a.shape[-1]))
        with warnings.catch_warnings(), numpy.errstate(over='ignore', invalid='ignore'):
            warnings.filterwarnings('ignore', 'Mean of empty slice|Degrees of freedom', RuntimeWarning)
            rows = a.reshape(-1, a.shape[-1])
            mean = numpy.nan_to_num(numpy.nanmean(rows, 0))
            std = numpy.nan_to_num(numpy.nanstd(rows, 0), posinf=numpy.inf)
        if not numpy.isfinite(std).all():
            raise ValueError(f'expected numbers whose squares are below 1e308 with {name}=True, got some up to '
                             f'{numpy.nanmax(abs(rows)):.3g}. Scale them down.')
        is_constant = std <= 10 * numpy.finfo(float).eps * abs(mean)
        return cls(mean, numpy.where(is_constant, 1., std))

    def apply(self, a: numpy.ndarray) -> numpy.ndarray:
        """Return (a - mean) / std."""
        return (a - self.mean) / self.std

    def undo(self, a: Any) -> numpy.ndarray:
        """Return mean + std a."""
        return self.mean + self.std * a
