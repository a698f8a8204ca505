"""Predictions and kernels of finite networks: numbers that float32 has too, kernels that are positive definite."""
from typing import Any

import numpy

from ...stax import (
    Conv, Dense, Dropout, Erf, FanInSum, FanOut, Flatten, Gelu, GlobalAvgPool, Identity, LayerNorm,
    Relu, Sin, parallel, serial)
from ...trees import leaves
from .family import Definition, plain
from .given import singles

__all__ = ['EMPIRICAL', 'PREDICTIONS']


# ------------------------------------------------------------------ training

def positive(name, n):
    """A kernel of n inputs, exact in float32: in 256ths, and well conditioned."""
    a = numpy.round(8 * singles(name, n, n + 2)) / 8
    return numpy.round(256 * (a @ a.T) / (n + 2)) / 256 + numpy.eye(n) / 4


def pieces(name, train, test):
    """Return the blocks of the kernel of training and test inputs together."""
    k = positive(name, train + test)
    return {f'{name}_train_train': k[:train, :train], f'{name}_test_train': k[train:, :train],
            f'{name}_test_test': k[train:, train:]}


S = pieces('nngp', 4, 3)
T = pieces('ntk', 4, 3)
Y = singles('targets', 4, 2)
TRAIN = {'k_train_train': T['ntk_train_train'], 'y_train': Y}
TEST = TRAIN | {'k_test_train': T['ntk_test_train'], 'fx_test_0': numpy.zeros((3, 2))}
STARTED = TEST | {'fx_train_0': singles('start', 4, 2), 'fx_test_0': singles('start of tests', 3, 2)}
SEVERAL = {'k_train_train': positive('outputs', 6).reshape(3, 2, 3, 2).transpose(0, 2, 1, 3),
           'y_train': singles('targets of several', 3, 2)}
TWINS = {'k_train_train': TRAIN['k_train_train'][:, [0, 1, 2, 0]][[0, 1, 2, 0]], 'y_train': Y}
TIMES = [0., .5, 10., 300.]
STEPS = [0, 1, 2, 7, 40]
NETS = {'relu': serial(Dense(16, 1.3, .4), Relu(), Dense(1, .9)), 'erf': serial(Dense(16, 1.5, .2), Erf(), Dense(1))}
DATA = {'x_train': singles('train', 4, 3), 'y_train': Y, 'x_test': singles('test', 3, 3)}


def trained(function, inputs, cases, tolerance='exact', note=''):
    """{name: (inputs, options)}; inputs None: those of all."""
    for name, (given, options) in cases.items():
        yield Definition(plain(f'dynamics/{function}/{name}'), 'predict', (function,), None,
                         inputs if given is None else given, {'function': function} | options, tolerance, note)


ENSEMBLES: dict[str, dict[str, Any]] = {
    'times': {'t': TIMES},
    'infinite time': {'t': None},
    'diag_reg': {'t': [5.], 'learning_rate': 2., 'diag_reg': .125},
}
ALL: dict[str, Any] = {'get': ['nngp', 'ntk', 'ntkgp'], 'compute_cov': True}
PREDICTIONS = [
    *trained('gradient_descent_mse', TEST, {
        'times': (None, {'t': TIMES}),
        'one time': (None, {'t': 2.5}),
        'infinite time': (None, {'t': None}),
        'training outputs alone': (TRAIN, {'t': TIMES}),
        'started': (STARTED, {'t': TIMES}),
        'started, infinite time': (STARTED, {'t': None}),
        'learning rate': (None, {'t': TIMES, 'learning_rate': 3.5}),
        'diag_reg': (STARTED, {'t': TIMES, 'diag_reg': .5}),
        'diag_reg, absolute': (STARTED, {'t': [1., 20.], 'diag_reg': .5, 'diag_reg_absolute_scale': True}),
        'diag_reg, infinite time': (None, {'t': None, 'diag_reg': .125}),
        'several outputs': (SEVERAL, {'t': TIMES, 'trace_axes': []}),
        'one target': (TRAIN | {'y_train': Y[:, :1]}, {'t': TIMES}),
        'twins': (TWINS, {'t': TIMES}),
    }),
    *trained('gradient_descent', STARTED, {
        'times': (None, {'loss': 'mse', 't': TIMES}),
        'learning rate': (None, {'loss': 'mse', 't': TIMES, 'learning_rate': 3.5}),
        'momentum': (None, {'loss': 'mse', 't': TIMES, 'learning_rate': 2., 'momentum': .75}),
        'momentum of 0': (None, {'loss': 'mse', 't': TIMES, 'learning_rate': .5, 'momentum': 0.}),
    }, 'integrated', 'A differential equation, solved to a tolerance.'),
    *trained('gradient_descent_mse_steps', STARTED, {
        'plain': (None, {'steps': STEPS, 'learning_rate': 4.}),
        'momentum': (None, {'steps': STEPS, 'learning_rate': 4., 'momentum': .75}),
        'Nesterov': (None, {'steps': STEPS, 'learning_rate': 4., 'momentum': .75, 'nesterov': True}),
        'beyond the largest learning rate': (None, {'steps': [0, 1, 5, 20], 'learning_rate': 24.}),
    }),
    *trained('gp_inference', S | T | {'y_train': Y}, {
        'means': (None, {'get': ['nngp', 'ntk']}),
        'all': (None, ALL),
        'diag_reg': (None, ALL | {'diag_reg': .25}),
        'diag_reg, absolute': (None, ALL | {'diag_reg': .25, 'diag_reg_absolute_scale': True}),
    }),
    *trained('gradient_descent_mse_ensemble', DATA, {
        f'{name}, {when}': (None, {'spec': net.to_spec(), 'get': ['nngp', 'ntk'], 'compute_cov': True} | options)
        for name, net in NETS.items() for when, options in ENSEMBLES.items()}),
    *trained('max_learning_rate', {'ntk_train_train': T['ntk_train_train']}, {
        'plain': (None, {}),
        'size': (None, {'y_train_size': 12}),
        'momentum': (None, {'momentum': .75, 'eps': .5}),
        'several outputs': ({'ntk_train_train': SEVERAL['k_train_train']}, {'y_train_size': 6}),
    }),
]


# ------------------------------------------------------------------ finite networks

def parameters(net, shape, name):
    """Return parameters of the shapes that the network has, of another distribution than `init_fn` draws."""
    return [singles(f'{name}, weights {i}', *p.shape) * 2 for i, p in enumerate(leaves(net.init_fn(0, shape)[1]))]


STANDARD: dict[str, Any] = dict(parameterization='standard')
MLP = serial(Dense(4, 1.3, .4), Relu(), Dense(3, 1.1, .2), Erf(), Dense(2, .9, .1))
CNN = serial(Conv(2, (2, 2), None, 'SAME', 1.2, .3), Relu(), Conv(2, (2, 1), b_std=.2), Erf())
VECTORS = singles('vectors', 3, 2), singles('others', 2, 2)
IMAGES = singles('images', 2, 3, 2, 2), singles('other images', 1, 3, 2, 2)
FINITE = {
    'relu erf': (MLP, 'Dense, Relu, Erf', VECTORS),
    'standard': (serial(Dense(8, 1.3, .4, **STANDARD), Relu(), Dense(2, 1.1, **STANDARD)), 'Dense, Relu', VECTORS),
    'gelu sin': (serial(Dense(3, 1.3, .4), Gelu(), Dense(3), Sin(), Dense(2)), 'Gelu, Sin', VECTORS),
    'residual': (serial(Dense(3, 1.3, .4), FanOut(2), parallel(serial(Relu(), Dense(3, 1.1, .2)), Identity()),
                        FanInSum(), Relu(), Dense(2)), 'FanInSum, FanOut, parallel', VECTORS),
    'norm': (serial(Dense(4, 1.3, .4), LayerNorm(eps=.1), Relu(), Dense(2)), 'LayerNorm', VECTORS),
    'dropout, test': (serial(Dense(8, 1.3, .4), Relu(), Dropout(.5, 'test'), Dense(2)), 'Dropout', VECTORS),
    'conv, flat': (serial(CNN, Flatten(), Dense(2, 1.1, .2)), 'Conv, Flatten', IMAGES),
    'conv, mean': (serial(CNN, GlobalAvgPool(), Dense(2, 1.1, .2)), 'Conv, GlobalAvgPool', IMAGES),
}


def finite(name, given, axes=None, get=('nngp', 'ntk'), x2=True):
    net, about, (one, other) = FINITE[name]
    inputs = {'x1': one, 'x2': other if x2 else None, 'params': parameters(net, one.shape, name)}
    return Definition(plain(f'empirical/{name}/{given}'), 'empirical', tuple(about.split(', ')), net, inputs,
                      {'get': list(get)} | (axes or {}))


EMPIRICAL = [
    *(finite(name, 'pair') for name in FINITE),
    *(finite(name, 'same', x2=False) for name in ('relu erf', 'conv, mean')),
    *(finite(name, what, axes) for name in ('relu erf', 'conv, flat') for what, axes in {
        'all outputs': {'trace_axes': [], 'diagonal_axes': []},
        'each output': {'trace_axes': [], 'diagonal_axes': [-1]}}.items()),
    finite('standard', 'ntk', get=('ntk',)),
]
