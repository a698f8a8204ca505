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


@contextmanager
def shaken():
    """Doubles of more than SHORT bits that meet an `mpmath.mpf` in arithmetic, or become one, are a rounding off.

    Arguments of layers are made `mpf` by `ntref.arrays.exact` and stay.

    Yields
    ------
    set of float : those that were met.
    """
    mpf, met = import_module('mpmath').mp.mpf, set()
    inherited = {name: getattr(mpf, name) for name in (*OPERATORS, '__new__')}

    def around(method):
        def moved(first, *others, **options):
            return method(first, *(_moved(x, met) for x in others), **options)
        return moved
    for name, method in inherited.items():
        setattr(mpf, name, staticmethod(around(method)) if name == '__new__' else around(method))
    try:
        yield met
    finally:
        for name in inherited:
            delattr(mpf, name)


def _moved(x, met):
    """x, or if it is a long double an mpf next to it: the same one each time, so that x / x is 1."""
    if not isinstance(x, (float, numpy.floating)) or not isfinite(x) or (2. ** SHORT * frexp(x)[0]).is_integer():
        return x
    x, mp = float(x), import_module('mpmath').mp
    met.add(x)
    random = Random(x)
    share = random.choice((-1, 1)) * random.uniform(.5, 1) * 2. ** -53
    return mp.fadd(x, mp.fmul(x, share, exact=True), exact=True)
