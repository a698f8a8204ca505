"""Inputs and targets of estimators: rows of a table as inputs of a network, and numbers shifted and scaled."""
import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from ..arguments import as_flag, as_wholes
from ..types import Shape

__all__ = ['Scale', 'shape_of']


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
        """Return the scale of `a`, or mean 0 and deviation 1 unless it `is_wanted`, the argument `name`."""
        if not as_flag(is_wanted, name):
            return cls(numpy.zeros(a.shape[-1]), numpy.ones(a.shape[-1]))
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Mean of empty slice|Degrees of freedom', RuntimeWarning)
            rows = a.reshape(-1, a.shape[-1])
            mean = numpy.nan_to_num(numpy.nanmean(rows, 0))
            std = numpy.nan_to_num(numpy.nanstd(rows, 0))
        is_constant = std <= 10 * numpy.finfo(float).eps * abs(mean)
        return cls(mean, numpy.where(is_constant, 1., std))

    def apply(self, a: numpy.ndarray) -> numpy.ndarray:
        """Return (a - mean) / std."""
        return (a - self.mean) / self.std

    def undo(self, a: Any) -> numpy.ndarray:
        """Return mean + std a."""
        return self.mean + self.std * a
