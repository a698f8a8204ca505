"""Families of networks on vectors: dense layers, nonlinearities, branches."""
from functools import partial

from ...stax import (
    ABRelu, Abs, Cos, Dense, Dropout, Elu, Erf, Exp, ExpNormalized, FanInConcat, FanInProd, FanInSum, FanOut, Gabor,
    Gaussian, Gelu, HardTanh, Hermite, Identity, LayerNorm, LeakyRelu, Mish, Monomial, Polynomial, Rbf,
    RectifiedMonomial, Relu, Relu6, RMSNorm, Selu, Sigmoid, Sigmoid_like, Sign, Sin, Softplus, Swish, Tanh, parallel,
    repeat, serial)
from .family import Family

__all__ = ['VECTORS']

D, LAST = Dense(16, 1.3, .4), Dense(1, .9, .1)
FLIPPED = dict(batch_axis=1, channel_axis=0)
RANGE = 'zeros, duplicates, antipodal, near, orthogonal, one feature, mixed scales, row'
EDGE = 'pair, edge'
standard = partial(Dense, parameterization='standard')


def deep(n, phi, w=1.3, b=.4, last=LAST):
    return serial(*[Dense(16, w, b), phi] * n, last)


def residual(phi, n):
    block = serial(FanOut(2), parallel(serial(phi, Dense(16, 1.1, .2)), Identity()), FanInSum())
    return serial(Dense(16, 1.5, .1), *[block] * n, phi, LAST)


def branches(fan_in, *more, **axes):
    return serial(FanOut(3), parallel(Dense(8, 1.3, .4, **axes), Dense(8, .7, **axes), serial(
        Dense(16, 1.2, **axes), Relu(), Dense(8, 1.1, .3, **axes))), fan_in, *more)


VECTORS = [
    Family('dense', 'vectors', ('Dense',), 'pair', {
        'relu-1': (deep(1, Relu()), 'Dense, Relu', 'pair, same'),
        'linear': D,
        'no bias': serial(Dense(16, 1.3), Dense(4, .7)),
        'bias of zero': serial(Dense(16, -1.3, 0.), Relu(), Dense(4, .7, 0.)),
        'weights of zero': (serial(Dense(16, 0., .4), Relu(), Dense(4, .7, .2)), 'Dense', EDGE),
        'relu-2': (deep(2, Relu()), 'Dense, Relu', 'pair, same'),
        'relu-10': (deep(10, Relu(), 2 ** .5, None), 'Dense, Relu', EDGE),
        'erf-10': (deep(10, Erf(), 1.3, .2), 'Dense, Erf', EDGE),
        'gelu-10': (deep(10, Gelu(), 1.4, .1), 'Dense, Gelu', EDGE),
        'flipped axes': (serial(Dense(16, 1.3, .4, **FLIPPED), Relu(), Dense(4, .9, **FLIPPED)), 'Dense', 'flipped'),
        'standard': (serial(standard(32, 1.3, .4), Relu(), standard(16, 1.1), Erf(), standard(4, .9, .2)), 'Dense',
                     EDGE),
        'standard, bias of zero': serial(standard(32, 1.3, 0.), Relu(), standard(16, 1.1, 0.)),
        'standard, s': serial(standard(32, 1.3, .4, s=(1, 2)), Relu(), standard(16, 1.1, .2, s=(2, 3)), Relu(),
                              standard(4, .9, .1, s=(3, 1))),
        'repeat': (serial(D, repeat(serial(Relu(), Dense(16, 1.2, .1)), 4), Erf(), LAST), 'repeat, serial', EDGE),
        'repeat, never': (serial(D, repeat(Dense(3), 0), LAST), 'repeat'),
        'nested': (serial(serial(D, Relu()), serial(Dense(8, 1.1, .2), serial(Erf())), LAST), 'serial'),
        'positions': (serial(D, Relu(), LAST), 'Dense', 'pair'),
    }),
    Family('range', 'vectors', (), RANGE, {
        'relu-3': (deep(3, Relu()), 'Relu, Dense'),
        'relu-3, no bias': (deep(3, Relu(), 2 ** .5, None, Dense(1)), 'Relu, Dense', RANGE + ', huge, tiny'),
        'linear': (serial(Dense(16, 1.3), Dense(1)), 'Dense', 'zeros, antipodal, mixed scales, huge, tiny'),
        'abs, no bias': (serial(Dense(16, 1.3), Abs(), Dense(1)), 'Abs', 'antipodal, near, mixed scales, huge, tiny'),
        'leaky, no bias': (serial(Dense(16, 1.3), LeakyRelu(.3), Dense(1)), 'LeakyRelu', 'mixed scales, huge, tiny'),
        'sign, no bias': (serial(Dense(16, 1.3), Sign(), Dense(1)), 'Sign',
                          'antipodal, near, mixed scales, huge, tiny'),
        'erf-3': (deep(3, Erf(), 1.3, .3), 'Erf, Dense', RANGE),
        'gelu-3': (deep(3, Gelu()), 'Gelu, Dense', RANGE),
        'sin-2': (deep(2, Sin(), 1.1, .2), 'Sin, Dense', 'zeros, duplicates, antipodal, near, one feature'),
        'norm-2': (serial(*[D, LayerNorm(), Relu()] * 2, LAST), 'LayerNorm, Relu', RANGE),
        'norm, no bias': (serial(Dense(16, 1.3), LayerNorm(), Relu(), Dense(1)), 'LayerNorm', 'zeros, mixed scales'),
        'residual-2': (residual(Relu(), 2), 'FanInSum, FanOut, parallel', RANGE),
        'standard': (serial(standard(32, 1.3), Relu(), standard(16, 1.1)), 'Dense', 'zeros, near, mixed scales, row'),
    }),
    Family('nonlinearity', 'vectors', (), EDGE, {
        'Relu': serial(D, Relu()), 'Relu, stabilized': (serial(D, Relu(do_stabilize=True), LAST), 'Relu'),
        'LeakyRelu': serial(D, LeakyRelu(.3), LAST), 'LeakyRelu -0.2': serial(D, LeakyRelu(-.2), LAST),
        'ABRelu': serial(D, ABRelu(-.5, 1.7), LAST), 'ABRelu, one side': (serial(D, ABRelu(.6, 0.), LAST), 'ABRelu'),
        'Abs, stabilized': (serial(D, Abs(True), LAST), 'Abs', 'pair'),
        'LeakyRelu, stabilized': (serial(D, LeakyRelu(.3, True), LAST), 'LeakyRelu', 'pair'),
        'ABRelu, stabilized': (serial(D, ABRelu(-.5, 1.7, True), LAST), 'ABRelu', 'pair'),
        'Abs': serial(D, Abs(), LAST), 'Sign': serial(D, Sign(), LAST),
        'Erf': serial(D, Erf(), LAST), 'Erf 0.7 1.4 -0.3': serial(D, Erf(.7, 1.4, -.3), LAST),
        'Sigmoid_like': serial(D, Sigmoid_like(), LAST),
        'Gelu': serial(D, Gelu(), LAST), 'Gelu, approximate': (serial(D, Gelu(True), LAST), 'Gelu', 'pair'),
        'Sin': serial(D, Sin(), LAST), 'Sin 0.8 1.3 0.4': serial(D, Sin(.8, 1.3, .4), LAST),
        'Cos': serial(D, Cos(), LAST), 'Cos 1.1 0.9 -0.2': serial(D, Cos(1.1, .9, -.2), LAST),
        'Rbf': serial(D, Rbf(), LAST), 'Rbf 0.3': serial(D, Rbf(.3), LAST),
        'Gaussian': serial(D, Gaussian(), LAST), 'Gaussian 0.8 -0.4': serial(D, Gaussian(.8, -.4), LAST),
        'Gaussian, growing': (serial(Dense(16, .3, .1), Gaussian(1.2, .2), LAST), 'Gaussian'),
        'Exp': serial(D, Exp(), LAST), 'Exp 0.9 -0.4': serial(D, Exp(.9, -.4), LAST),
        'ExpNormalized': (serial(D, ExpNormalized(), LAST), 'ExpNormalized'),
        'ExpNormalized 0.8 0.1': serial(D, ExpNormalized(.8, .1, True), LAST),
        'Gabor': serial(D, Gabor(), LAST),
        'Hermite 0': (serial(D, Hermite(0), LAST), 'Hermite', 'pair'), 'Hermite 1': serial(D, Hermite(1), LAST),
        'Hermite 3': serial(D, Hermite(3), LAST),
        'Hermite 2, unit variance': (serial(Dense(16), LayerNorm(), Hermite(2), LAST), 'Hermite'),
        'Monomial 0': (serial(D, Monomial(0), LAST), 'Monomial', 'pair'), 'Monomial 2': serial(D, Monomial(2), LAST),
        'Monomial 3': serial(D, Monomial(3), LAST), 'Monomial 5': (serial(D, Monomial(5), LAST), 'Monomial', 'pair'),
        'RectifiedMonomial 0': serial(D, RectifiedMonomial(0), LAST),
        'RectifiedMonomial 1': serial(D, RectifiedMonomial(1), LAST),
        'RectifiedMonomial 2': serial(D, RectifiedMonomial(2), LAST),
        'RectifiedMonomial 3': serial(D, RectifiedMonomial(3), LAST),
        'RectifiedMonomial 2, no bias': (serial(Dense(16), RectifiedMonomial(2), LAST), 'RectifiedMonomial', 'edge'),
        'Polynomial': serial(D, Polynomial((.3, -.5, .2, .1)), LAST),
        'Polynomial, constant': (serial(D, Polynomial((.7,)), LAST), 'Polynomial', 'pair'),
        'HardTanh': serial(D, HardTanh(), LAST), 'Relu6': (serial(Dense(16, 8., 1.), Relu6(), LAST), 'Relu6'),
        'Elu': serial(D, Elu(), LAST), 'Elu 0.3': (serial(D, Elu(.3), LAST), 'Elu', 'pair'),
        'Selu': (serial(D, Selu(), LAST), 'Selu', 'pair'),
    }),
    Family('nonlinearity', 'vectors', (), 'few', {
        phi.name: serial(Dense(16, .3, .1), phi, LAST) for phi in (Tanh(), Sigmoid(), Softplus(), Swish(), Mish())
    }, digits=20),
    Family('branches', 'vectors', (), EDGE, {
        'FanInSum': branches(FanInSum(), Relu(), LAST),
        'FanInProd': branches(FanInProd(), LAST),
        'FanInProd, of two nonlinear': (serial(FanOut(2), parallel(serial(D, Relu()), serial(D, Erf())), FanInProd(),
                                               LAST), 'FanInProd'),
        'FanInConcat': branches(FanInConcat(), LAST),
        'FanInConcat, other widths': (serial(D, FanOut(2), parallel(
            serial(Relu(), Dense(48, 1.1, .2)), serial(Erf(), Dense(16, .8, .1))), FanInConcat(-1), D, Relu(), LAST),
            'FanInConcat', EDGE),
        'FanOut, one': (serial(FanOut(1), FanInSum(), D), 'FanOut, FanInSum', 'pair'),
        'parallel': (serial(FanOut(2), parallel(D, serial(Dense(16, .8), Erf(), Dense(16))), FanInSum()), 'parallel'),
        'residual, erf': (residual(Erf(), 3), 'FanInSum, FanOut, parallel, Identity'),
        'Identity': (serial(Identity(), D, Identity(), Relu(), LAST), 'Identity', 'pair'),
    }),
    Family('branches', 'vectors', ('FanInConcat',), 'flipped', {
        'FanInConcat, flipped axes': branches(FanInConcat(0), Dense(4, .9, **FLIPPED), **FLIPPED)}),
    Family('norm', 'vectors', (), EDGE, {
        'LayerNorm': serial(D, LayerNorm(), Relu(), LAST), 'LayerNorm 0.3': serial(D, LayerNorm(eps=.3), Erf(), LAST),
        'RMSNorm': serial(D, RMSNorm(), Relu(), LAST), 'RMSNorm 0.3': serial(D, RMSNorm(eps=.3), Erf(), LAST),
        'Dropout': (serial(D, Relu(), Dropout(.7), LAST), 'Dropout', 'pair, same, edge, duplicates'),
        'Dropout, test': (serial(D, Relu(), Dropout(.7, 'test'), LAST), 'Dropout', 'same'),
        'Dropout, of inputs': (serial(Dropout(.5), D, Relu(), Dropout(.6), LAST), 'Dropout', 'same'),
    }),
    Family('norm', 'vectors', ('RMSNorm',), 'flipped', {
        'RMSNorm, flipped axes': serial(Dense(16, 1.3, .4, **FLIPPED), RMSNorm(0, .3, **FLIPPED), Relu(),
                                        Dense(4, .9, **FLIPPED))}),
]
