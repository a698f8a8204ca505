"""What a formula would give if the doubles in it were other doubles.

The same recursion at two working precisions agrees to all digits also where a double stands in a formula for a number
that is none, 0.1 or numpy.pi: both see the same one. In `shaken` they move by about one rounding, so that what depends
on them no longer agrees; numbers out of long texts, and those of a lower precision, likewise. What ought not to matter,
a threshold or the step of a quadrature, may be any double.
"""
import re
from contextlib import ExitStack, contextmanager
from math import frexp, isfinite
from random import Random
from threading import get_ident

import numpy

from .precision import mpmath, replaced

__all__ = ['shaken']

SHORT = 26              # bits: numbers such as 0.5, 3.25 and 1e6 are meant
FEW = 12                # decimals: texts such as '0.1' are meant
LOST = 6                # bits, of a precision below that of the computation
OPERATORS = [f'__{side}{name}__' for name in 'add sub mul truediv pow mod'.split() for side in ('', 'r')]
COMPARISONS = [f'__{name}__' for name in 'eq ne lt le gt ge'.split()]


@contextmanager
def shaken():
    """Doubles of more than SHORT bits that meet an `mpmath.mpf` in arithmetic, become one, or go into a function of
    mpmath, are a rounding off; so are texts of more than FEW decimals, and a precision that is set to less than that
    of the computation has LOST bits less.

    `mpmath.mpmathify(0.1)` is meant; it is how `ntref.arrays.exact` takes arguments of layers. Other threads compute
    as ever.

    Yields
    ------
    set of float and str : those that were met.
    """
    mp = mpmath()
    met = set()
    thread = get_ident()
    mpf, convert = mp.mpf, mp.convert

    def moved(x):
        """x, or if it is a long double or text an mpf next to it: the same one each time, so that x / x is 1."""
        unit = _rounding(x)
        if not unit or get_ident() != thread:
            return x
        x = float(x) if _is_double(x) else x
        met.add(x)
        random, x = Random(x), convert(x)
        share = random.choice((-1, 1)) * random.uniform(1, 2)
        return mp.fadd(x, mp.fmul(x, convert(share) * unit, exact=True), exact=True)

    def around(method, f):
        return lambda first, *others, **options: method(first, *map(f, others), **options)
    changes = {name: around(getattr(mpf, name), moved) for name in OPERATORS}
    changes |= {name: around(getattr(mpf, name), lambda x: convert(x) if _is_double(x) else x) for name in COMPARISONS}
    changes['__new__'] = staticmethod(around(mpf.__new__, moved))
    with ExitStack() as stack:
        stack.enter_context(replaced(mpf, changes))
        stack.enter_context(replaced(mp, {'convert': lambda x, *others, **given: convert(moved(x), *others, **given)}))
        stack.enter_context(replaced(type(mp), {name: _lowered(mp, name) for name in ('prec', 'dps')}))
        yield met


def _rounding(x):
    """How far a number that x stands for may be off, relative to it; 0, if x is meant."""
    if _is_double(x):
        return 0 if (2. ** SHORT * frexp(x)[0]).is_integer() else mpmath().mpf(2) ** -53
    if not isinstance(x, str) or not re.fullmatch(r'\s*[+-]?[\d._]+([eE][+-]?\d+)?\s*', x):
        return 0
    decimals = re.sub('[eE].*|[^0-9]', '', x).strip('0')
    return 0 if len(decimals) <= FEW else .5 / mpmath().mpf(int(decimals))


def _lowered(mp, name):
    """The property `name` of mp, with less effect than asked for where that is below the precision now."""
    thread = get_ident()
    plain = getattr(type(mp), name)
    bits = mp.prec

    def put(context, n):
        plain.fset(context, n)
        if context is mp and get_ident() == thread and plain_bits(context) < bits:
            context._prec_rounding[0] = max(1, plain_bits(context) - LOST)
    plain_bits = type(mp).prec.fget
    return property(plain.fget, put)


def _is_double(x):
    return isinstance(x, (float, numpy.floating)) and isfinite(x)
