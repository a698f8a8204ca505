"""What a formula would give if the doubles in it were other doubles.

The same recursion at two working precisions agrees to all digits also where a double stands in a formula for a number
that is none, 0.1 or numpy.pi: both see the same one. In `shaken` they move by about one rounding, so that what depends
on them no longer agrees. What ought not to matter, a threshold or the step of a quadrature, may be any double.
"""
from contextlib import contextmanager
from importlib import import_module
from math import frexp, isfinite
from random import Random

import numpy

__all__ = ['shaken']

SHORT = 26              # bits: numbers such as 0.5, 3.25 and 1e6 are meant
OPERATORS = [f'__{side}{name}__' for name in 'add sub mul truediv pow mod'.split() for side in ('', 'r')]
COMPARISONS = [f'__{name}__' for name in 'eq ne lt le gt ge'.split()]


@contextmanager
def shaken():
    """Doubles of more than SHORT bits that meet an `mpmath.mpf` in arithmetic, become one, or go into a function of
    mpmath, are a rounding off.

    `mpmath.mpmathify(0.1)` is meant; it is how `ntref.arrays.exact` takes arguments of layers. Other threads that
    compute with mpmath meanwhile meet the same.

    Yields
    ------
    set of float : those that were met.
    """
    mp, met = import_module('mpmath').mp, set()
    mpf, convert = mp.mpf, mp.convert

    def moved(x):
        """x, or if it is a long double an mpf next to it: the same one each time, so that x / x is 1."""
        if not _is_double(x) or (2. ** SHORT * frexp(x)[0]).is_integer():
            return x
        met.add(float(x))
        random, x = Random(float(x)), convert(float(x))
        share = random.choice((-1, 1)) * random.uniform(.5, 1) * 2. ** -53
        return mp.fadd(x, mp.fmul(x, convert(share), exact=True), exact=True)

    def around(method, f):
        return lambda first, *others, **options: method(first, *map(f, others), **options)
    changes = {name: around(getattr(mpf, name), moved) for name in OPERATORS}
    changes |= {name: around(getattr(mpf, name), lambda x: convert(x) if _is_double(x) else x) for name in COMPARISONS}
    changes['__new__'] = staticmethod(around(mpf.__new__, moved))
    for name, change in changes.items():
        setattr(mpf, name, change)
    mp.convert = lambda x, *others, **options: convert(moved(x), *others, **options)
    try:
        yield met
    finally:
        del mp.convert
        for name in changes:
            delattr(mpf, name)


def _is_double(x):
    return isinstance(x, (float, numpy.floating)) and isfinite(x)
