"""Perturbation of the doubles in formulas, which shows results that depend on their rounding.

If a formula has a double that stands for another number, such as 0.1 or numpy.pi, the recursion at two working
precisions agrees to all digits nevertheless, since both use the same double. In `shaken` such doubles move by about one
rounding, so that results which depend on them no longer agree. Numbers from long texts, and numbers of a lower
precision, are moved likewise. Numbers that ought not to matter, a threshold or a quadrature step, may be any double.
"""
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import frexp, isfinite
from random import Random
from threading import get_ident

import numpy

from .precision import mpmath, replaced

__all__ = ['shaken']

EXACT_BITS = 26         # bits: numbers such as 0.5, 3.25 and 1e6 are taken as exact
EXACT_DECIMALS = 12     # decimals: texts such as '0.1' are taken as exact
LOST_BITS = 6           # bits by which a precision below that of the computation is lowered further
OPERATORS = [f'__{side}{name}__' for name in 'add sub mul truediv pow mod'.split() for side in ('', 'r')]
COMPARISONS = [f'__{name}__' for name in 'eq ne lt le gt ge'.split()]


@contextmanager
def shaken() -> Iterator[set]:
    """Move doubles and long texts that enter computations with mpmath in this thread by about one rounding.

    Doubles of more than EXACT_BITS bits are moved where they meet an `mpmath.mpf` in arithmetic, become one, or go into
    a function of mpmath, and texts of more than EXACT_DECIMALS decimals likewise. A precision that is set to less than
    that of the computation has LOST_BITS bits less.

    `mpmath.mpmathify(0.1)` is taken as exact; `ntref.arrays.exact` converts arguments of layers that way. Other threads
    are not affected.

    Yields
    ------
    set of float and str : the numbers and texts that were moved.
    """
    mp = mpmath()
    met = set()
    thread = get_ident()
    mpf = mp.mpf
    convert = mp.convert

    def moved(x):
        """Return x, or for a long double or text an mpf next to it, always the same one, so that x / x is 1."""
        unit = _rounding(x)
        if not unit or get_ident() != thread:
            return x
        x = float(x) if _is_double(x) else x
        met.add(x)
        random = Random(x)
        x = convert(x)
        share = random.choice((-1, 1)) * random.uniform(1, 2)
        return mp.fadd(x, mp.fmul(x, convert(share) * unit, exact=True), exact=True)

    def around(method, f):
        return lambda first, *others, **options: method(first, *map(f, others), **options)

    def exactly(x):
        return convert(x) if _is_double(x) else x

    def convert_moved(x, *others, **given):
        return convert(moved(x), *others, **given)
    changes = {name: around(getattr(mpf, name), moved) for name in OPERATORS}
    changes |= {name: around(getattr(mpf, name), exactly) for name in COMPARISONS}
    changes['__new__'] = staticmethod(around(mpf.__new__, moved))
    with ExitStack() as stack:
        stack.enter_context(replaced(mpf, changes))
        stack.enter_context(replaced(mp, {'convert': convert_moved}))
        precisions = {name: _lowered(mp, name) for name in ('prec', 'dps')}
        stack.enter_context(replaced(type(mp), precisions))
        yield met


def _rounding(x):
    """Return the relative rounding error of a number that x may stand for; 0 if x is taken as exact."""
    if _is_double(x):
        return 0 if (2. ** EXACT_BITS * frexp(x)[0]).is_integer() else mpmath().mpf(2) ** -53
    if not isinstance(x, str) or not re.fullmatch(r'\s*[+-]?[\d._]+([eE][+-]?\d+)?\s*', x):
        return 0
    decimals = re.sub('[eE].*|[^0-9]', '', x).strip('0')
    return 0 if len(decimals) <= EXACT_DECIMALS else .5 / mpmath().mpf(int(decimals))


def _lowered(mp, name):
    """Return the property `name` of mp; a precision set below the current one is lowered by LOST_BITS bits more."""
    thread = get_ident()
    plain = getattr(type(mp), name)
    bits = mp.prec

    def put(context, n):
        plain.fset(context, n)
        if context is mp and get_ident() == thread and plain_bits(context) < bits:
            context._prec_rounding[0] = max(1, plain_bits(context) - LOST_BITS)
    plain_bits = type(mp).prec.fget
    return property(plain.fget, put)


def _is_double(x):
    return isinstance(x, (float, numpy.floating)) and isfinite(x)
