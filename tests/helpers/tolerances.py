"""Comparisons to so many eps: those of `ntref.testing`."""
import numpy

from ntref.testing import EPS_MULTIPLES, assert_close

__all__ = ['DTYPES', 'EPS_MULTIPLES', 'assert_close', 'tolerance']

DTYPES = ('float32', 'float64')


def tolerance(quantity, dtype='float64'):
    """The tolerance relative to the scale of what is compared."""
    return EPS_MULTIPLES[quantity] * float(numpy.finfo(dtype).eps)
