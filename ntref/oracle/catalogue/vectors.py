"""Families of networks on vectors: dense layers, nonlinearities, branches."""
from dataclasses import MISSING
from functools import partial
from typing import Any

from ...stax import (
    ABRelu, Abs, Cos, Dense, Dropout, Elu, Erf, Exp, ExpNormalized, FanInConcat, FanInProd, FanInSum, FanOut, Gabor,
    Gaussian, Gelu, HardTanh, Hermite, Identity, Layer, LayerNorm, LeakyRelu, Monomial, Polynomial, Rbf,
    RectifiedMonomial, Relu, Relu6, RMSNorm, Selu, Sigmoid_like, Sign, Sin, parallel, repeat, serial)
from ...stax.layers.nonlinearity import Nonlinearity
from ...stax.schema import OF_FUNCTIONS
from .family import Family

__all__ = ['VECTORS']

D = Dense(16, 1.3, .4)
LAST = Dense(1, .9, .1)
FLIPPED: dict[str, Any] = dict(batch_axis=1, channel_axis=0)
RANGE = 'zeros, duplicates, antipodal, near, orthogonal, one feature, mixed scales, row'
EDGE = 'pair, edge'
standard = partial(Dense, parameterization='standard')


def deep(n, phi, w=1.3, b=.4, last=LAST):
    return serial(*[Dense(16, w, b), phi] * n, last)


def residual(phi, n):
    block = serial(FanOut(2), parallel(serial(phi, Dense(16, 1.1, .2)), Identity()), FanInSum())
    return serial(Dense(16, 1.5, .1), *[block] * n, phi, LAST)


def between(phi):
    """Return the layer between two dense ones."""
    return serial(D, phi, LAST)


def branches(fan_in, *more, **axes):
    one = Dense(8, 1.3, .4, **axes)
    two = Dense(8, .7, **axes)
    three = serial(Dense(16, 1.2, **axes), Relu(), Dense(8, 1.1, .3, **axes))
    return serial(FanOut(3), parallel(one, two, three), fan_in, *more)


NONLINEARITIES = {
    'Relu': serial(D, Relu()),
    'Relu, stabilized': between(Relu(do_stabilize=True)),
    'LeakyRelu': between(LeakyRelu(.3)),
    'LeakyRelu -0.2': between(LeakyRelu(-.2)),
    'ABRelu': between(ABRelu(-.5, 1.7)),
    'ABRelu, one side': between(ABRelu(.6, 0.)),
    'Abs, stabilized': (between(Abs(True)), 'Abs', 'pair'),
    'LeakyRelu, stabilized': (between(LeakyRelu(.3, True)), 'LeakyRelu', 'pair'),
    'ABRelu, stabilized': (between(ABRelu(-.5, 1.7, True)), 'ABRelu', 'pair'),
    'Abs': between(Abs()),
    'Sign': between(Sign()),
    'Erf': between(Erf()),
    'Erf 0.7 1.4 -0.3': between(Erf(.7, 1.4, -.3)),
    'Sigmoid_like': between(Sigmoid_like()),
    'Gelu': between(Gelu()),
    'Gelu, approximate': (between(Gelu(True)), 'Gelu', 'pair'),
    'Sin': between(Sin()),
    'Sin 0.8 1.3 0.4': between(Sin(.8, 1.3, .4)),
    'Cos': between(Cos()),
    'Cos 1.1 0.9 -0.2': between(Cos(1.1, .9, -.2)),
    'Rbf': between(Rbf()),
    'Rbf 0.3': between(Rbf(.3)),
    'Gaussian': between(Gaussian()),
    'Gaussian 0.8 -0.4': between(Gaussian(.8, -.4)),
    'Gaussian, growing': (serial(Dense(16, .3, .1), Gaussian(1.2, .2), LAST), 'Gaussian'),
    'Exp': between(Exp()),
    'Exp 0.9 -0.4': between(Exp(.9, -.4)),
    'ExpNormalized': between(ExpNormalized()),
    'ExpNormalized 0.8 0.1': between(ExpNormalized(.8, .1, True)),
    'Gabor': between(Gabor()),
    'Hermite 0': (between(Hermite(0)), 'Hermite', 'pair'),
    'Hermite 1': between(Hermite(1)),
    'Hermite 3': between(Hermite(3)),
    'Hermite 2, unit variance': (serial(Dense(16), LayerNorm(), Hermite(2), LAST), 'Hermite'),
    'Monomial 0': (between(Monomial(0)), 'Monomial', 'pair'),
    'Monomial 2': between(Monomial(2)),
    'Monomial 3': between(Monomial(3)),
    'Monomial 5': (between(Monomial(5)), 'Monomial', 'pair'),
    'RectifiedMonomial 0': between(RectifiedMonomial(0)),
    'RectifiedMonomial 1': between(RectifiedMonomial(1)),
    'RectifiedMonomial 2': between(RectifiedMonomial(2)),
    'RectifiedMonomial 3': between(RectifiedMonomial(3)),
    'RectifiedMonomial 2, no bias': (serial(Dense(16), RectifiedMonomial(2), LAST), 'RectifiedMonomial', 'edge'),
    'Polynomial': between(Polynomial((.3, -.5, .2, .1))),
    'Polynomial, constant': (between(Polynomial((.7,))), 'Polynomial', 'pair'),
    'HardTanh': between(HardTanh()),
    'Relu6': (serial(Dense(16, 8., 1.), Relu6(), LAST), 'Relu6'),
    'Elu': between(Elu()),
    'Elu 0.3': (between(Elu(.3)), 'Elu', 'pair'),
    'Selu': (between(Selu()), 'Selu', 'pair'),
}
NAMED = Family('nonlinearity', 'vectors', (), EDGE, NONLINEARITIES)


def others():
    """Return the nonlinearities of the registry that have no network in NONLINEARITIES, in its order.

    Those that need arguments are left out: what they are is not known here.
    """
    named = {name for d in NAMED.definitions() for name in d.layers}
    found = []
    for name, cls in Layer.registry.items():
        is_plain = issubclass(cls, Nonlinearity) and cls.is_ours() and name not in OF_FUNCTIONS
        if is_plain and name not in named and MISSING not in cls.parameters().values():
            found.append(cls)
    return found


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
    NAMED,
    Family('nonlinearity', 'vectors', (), 'few', {
        cls.name: serial(Dense(16, .3, .1), cls(), LAST) for cls in others()}, digits=20),
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
