"""Arrays of every kind for the tests: `to_kind('cupy', a)` and back, `to_numpy`."""
import sys
from importlib import import_module

import numpy

from ntref.arrays import load

KINDS = ('numpy', 'float32', 'readonly', 'cupy', 'autograd', 'mpmath')
"""What `to_kind` makes: the kinds of `ntref.arrays`, and NumPy in single precision and write-protected."""
ALL_KINDS = *KINDS, 'flint', 'autograd.cupy'
"""Balls refuse doubles in formulas, so that finite networks and predictors, which have some, do not take them. What
autograd follows on a GPU has tests of its own (test_derivatives_on_device.py)."""


def to_kind(kind, a):
    """The NumPy array `a` as an array of `kind`. Boolean and integer arrays keep their dtype (NumPy for mpmath, flint).

    'cupy' needs the fixture `cupy` (or `kind`, which brings it).
    """
    a = numpy.asarray(a)
    real = a.dtype.kind == 'f'
    if kind == 'cupy':
        return sys.modules['cupy'].asarray(a)
    if kind == 'mpmath':
        mpf = numpy.frompyfunc(import_module('mpmath').mpf, 1, 1)
        with numpy.errstate(invalid='ignore'):
            return numpy.asarray(mpf(a.astype(object)), dtype=object) if real else a.copy()
    if kind == 'flint':
        ball = numpy.frompyfunc(import_module('ntref.balls').ball, 1, 1)
        return numpy.asarray(ball(a.astype(object)), dtype=object) if real else a.copy()
    if kind in ('autograd', 'autograd.cupy'):
        a = a.copy() if kind == 'autograd' else to_kind('cupy', a)
        load(kind)
        new_box, node = import_module('autograd.tracer').new_box, import_module('autograd.core').VJPNode.new_root()
        return new_box(a, 0, node) if real else a
    a = a.astype('float32') if kind == 'float32' and real else a.copy()
    a.flags.writeable = kind != 'readonly'
    return a


def to_numpy(a):
    """`a`, of any kind, as a NumPy array: float64 from mpmath and flint, otherwise the dtype is kept."""
    while hasattr(a, '_value'):
        a = a._value
    if hasattr(a, 'get') and type(a).__module__.startswith('cupy'):
        return a.get()
    a = numpy.asarray(a)
    return a.astype('float64') if a.dtype == object else a
