"""Ranges of floating-point precisions: variances and kernels too large or too small for their dtype are refused."""
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy

from .arrays import namespace, untraced

__all__ = ['are_in_range', 'beyond_range', 'check_range', 'check_small']

WIDER = {'float32': 'Convert the inputs to float64, which reaches from 2.2e-308 to 1.8e308',
         'float64': 'Give object arrays of mpmath.mpf, which have no limit'}


def check_range(a: Any) -> None:
    """Raise ValueError if `a`, computed from finite numbers, is not finite: it went out of the range of its dtype."""
    a = untraced(a)
    xp = namespace(a)
    with beyond_range():
        if bool(xp.isfinite(xp.sum(a))) or bool(xp.all(xp.isfinite(a))):
            return
    largest = numpy.finfo(a.dtype).max
    wider = WIDER[str(a.dtype)]
    if bool(xp.any(a != a)) and not bool(xp.any(abs(a) > largest)):
        raise ValueError(
            'expected variances and kernels that are numbers, got NaN: the covariances they come '
            f'from are none (some |K| is above sqrt(q q\')), or products beyond {a.dtype}. '
            f'{wider}.')
    raise ValueError(
        f'expected variances and kernels that {a.dtype} holds, up to {largest:.2g}; got larger '
        f'ones. {wider}, or scale the inputs or W_std down.')


def are_in_range(q: Any) -> bool:
    """True if all of the variances have all their digits; False if that takes a closer look."""
    q = untraced(q)
    if q.dtype.kind != 'f' or not q.size:
        return False
    limits = numpy.finfo(q.dtype)
    return bool(limits.tiny <= float(q.min()) and float(q.max()) <= limits.max)


def check_small(q: Any, is_lost: Callable[[Any], Any]) -> None:
    """Raise ValueError if variances q are too small for all their digits where `is_lost(q)` says that it matters."""
    q = untraced(q)
    if q.dtype.kind != 'f' or not q.size:
        return
    tiny = numpy.finfo(q.dtype).tiny / 64                               # there six bits are lost
    if float(q.min()) < tiny and bool(namespace(q).any((q < tiny) & is_lost(q))):
        raise ValueError(
            f'expected variances that {q.dtype} holds, down to {tiny:.2g}; got smaller ones, which '
            f'would be taken for 0. {WIDER[str(q.dtype)]}, or scale the inputs or W_std up.')


def beyond_range() -> AbstractContextManager:
    """Return a context in which numbers may go out of range without a warning, since `check_range` follows."""
    return numpy.errstate(over='ignore', invalid='ignore')
