"""What numbers of a precision hold: variances and kernels too large or too small for it are refused by name."""
import numpy

from .arrays import namespace, untraced

__all__ = ['beyond_range', 'check_range', 'check_small']

WIDER = {'float32': 'Convert the inputs to float64, which reaches from 2.2e-308 to 1.8e308',
         'float64': 'Give object arrays of mpmath.mpf, which have no limit'}


def check_range(a):
    """Raises ValueError if a number computed from finite ones is not: it went out of the range of its dtype."""
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
    """Raises ValueError if variances q are below what holds all their digits, though they should not: `is_lost(q)`."""
    q = untraced(q)
    tiny = numpy.finfo(q.dtype).tiny / 64 if q.dtype.kind == 'f' and q.size else 0         # six of its bits are lost
    if tiny and float(q.min()) < tiny and bool(namespace(q).any((q < tiny) & is_lost(q))):
        raise ValueError(f'expected variances that {q.dtype} holds, down to {tiny:.2g}; got smaller ones, which would '
                         f'be taken for 0. {WIDER[str(q.dtype)]}, or scale the inputs or W_std up.')


def beyond_range():
    """Where numbers may go out of range without a warning, since `check_range` follows."""
    return numpy.errstate(over='ignore', invalid='ignore')
