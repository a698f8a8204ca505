"""Stand-in: three cases by hand, until the data are there."""
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import pi
from typing import Any

import numpy

__all__ = ['Case', 'conformance_cases', 'digits']


@dataclass(frozen=True, eq=False)
class Case:
    """A network, inputs, and what its kernels are."""
    name: str
    kind: str
    layers: tuple
    spec: Any
    inputs: dict
    options: dict
    expected: dict
    tolerance: dict
    scale: Any = None

    def __str__(self):
        return self.name


def digits(actual, case, name):
    """Digits agreed, of each entry."""
    e = case.expected[name]
    with numpy.errstate(all='ignore'):
        error = abs(numpy.asarray(actual, dtype='float64') - e) / numpy.maximum(abs(e), abs(e).max(initial=0))
        return numpy.clip(-numpy.log10(error), 0, 17)


def _dense(n, **options):
    return {'layer': 'Dense', 'out_dim': n} | options


def conformance_cases(select='*', kind=None):
    """The cases whose names match."""
    x = numpy.array([[1., 1.], [1., 1.], [2., 0.]])
    net = {'layer': 'serial', 'layers': [_dense(8, W_std=2. ** .5), {'layer': 'Relu'}, _dense(1)]}
    k = 2 * numpy.array([[1., 1., 1.], [1., 1., 1.], [1., 1., 2.]])
    angle = numpy.array([[0., 0., pi / 4], [0., 0., pi / 4], [pi / 4, pi / 4, 0.]])
    q = numpy.sqrt(numpy.outer(k.diagonal(), k.diagonal()))
    cos = numpy.array([[1., 1., .5 ** .5], [1., 1., .5 ** .5], [.5 ** .5, .5 ** .5, 1.]])
    nngp = q * (numpy.sin(angle) + (pi - angle) * cos) / (2 * pi)
    ntk = nngp + q * cos * (pi - angle) / (2 * pi)
    linear = {'layer': 'serial', 'layers': [_dense(3, b_std=.5)]}
    y = numpy.array([[1.], [2.]])
    cases = [
        Case('dense/relu-1/duplicates', 'kernel', ('Relu', 'Dense'), net, {'x1': x, 'x2': None}, {'get': ['nngp', 'ntk']},
             {'nngp': nngp, 'ntk': ntk}, {'float64': 1e-13, 'float32': 1e-5}),
        Case('dense/linear/pair', 'kernel', ('Dense',), linear, {'x1': x, 'x2': x[:1]}, {'get': ['ntk']},
             {'ntk': x @ x[:1].T / 2 + .25}, {'float64': 1e-13, 'float32': 1e-5}),
        Case('dynamics/mse/diagonal', 'predict', ('gradient_descent_mse',), None,
             {'k_train_train': numpy.eye(2), 'y_train': y}, {'function': 'gradient_descent_mse', 't': [1.]},
             {'fx_train': y[None] * (1 - numpy.exp(-.5))}, {'float64': 1e-13, 'float32': 1e-5})]
    return [c for c in cases if fnmatchcase(c.name, select) and kind in (None, c.kind)]
