"""Ranges of floating-point precisions: variances and kernels too large or too small for their dtype are refused."""
import numpy

from .arrays import namespace, untraced

__all__ = ['beyond_range', 'check_range', 'check_small']

WIDER = {'float32': 'Convert the inputs to float64, which reaches from 2.2e-308 to 1.8e308',
         'float64': 'Give object arrays of mpmath.mpf, which have no limit'}


def check_range(a):
    """Raise ValueError if `a`, computed from finite numbers, is not finite: it went out of the range of its dtype."""
    a, xp = untraced(a), namespace(untraced(a))
    with beyond_range():
        if bool(xp.isfinite(xp.sum(a))) or bool(xp.all(xp.isfinite(a))):
            return
    if bool(xp.any(a != a)) and not bool(xp.any(abs(a) > numpy.finfo(a.dtype).max)):
        raise ValueError('expected variances and kernels that are numbers, got NaN: the covariances they come from are '
                         f'none (some |K| is above sqrt(q q\')), or products beyond {a.dtype}. {WIDER[str(a.dtype)]}.')
    raise ValueError(f'expected variances and kernels that {a.dtype} holds, up to {numpy.finfo(a.dtype).max:.2g}; got '
                     f'larger ones. {WIDER[str(a.dtype)]}, or scale the inputs or W_std down.')


def check_small(q, is_lost):
    """Raise ValueError if variances q are too small for all their digits where `is_lost(q)` says that it matters."""
    q = untraced(q)
    tiny = numpy.finfo(q.dtype).tiny / 64 if q.dtype.kind == 'f' and q.size else 0         # there six bits are lost
    if tiny and float(q.min()) < tiny and bool(namespace(q).any((q < tiny) & is_lost(q))):
        raise ValueError(f'expected variances that {q.dtype} holds, down to {tiny:.2g}; got smaller ones, which would '
                         f'be taken for 0. {WIDER[str(q.dtype)]}, or scale the inputs or W_std up.')


def beyond_range():
    """Return a context in which numbers may go out of range without a warning, since `check_range` follows."""
    return numpy.errstate(over='ignore', invalid='ignore')
