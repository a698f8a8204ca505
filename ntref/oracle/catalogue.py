"""What the cases of the conformance suite are: families of networks, and the inputs each of them gets.

    'relu-3': 'pair same edge'          the network relu-3 of its family, on three inputs: three cases

Here are definitions alone; `ntref.oracle.generate` computes what is expected.
"""
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import numpy

from ..stax import (
    ABRelu, Abs, Aggregate, AvgPool, Conv, ConvLocal, ConvTranspose, Cos, Dense, DotGeneral, Dropout, Elu, Erf, Exp,
    ExpNormalized, FanInConcat, FanInProd, FanInSum, FanOut, Flatten, Gabor, Gaussian, Gelu, GlobalAvgPool,
    GlobalSelfAttention, GlobalSumPool, HardTanh, Hermite, Identity, ImageResize, Index, LayerNorm, LeakyRelu, Mish,
    Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, Relu6, Selu, Sigmoid, Sigmoid_like, Sign, Sin, Slice, Softplus,
    SumPool, Swish, Tanh, parallel, repeat, serial)

__all__ = ['Definition', 'INPUTS', 'catalogue']

DIGITS = 30


@dataclass(frozen=True, eq=False)
class Definition:
    """A case before its values are known; the fields are those of `cases.Case`, and digits to certify."""
    name: str
    kind: str
    layers: tuple
    net: Any
    inputs: dict                     # name -> (name of the input set, its key), or an array of this case alone
    options: dict
    tolerance: str = 'exact'
    note: str = ''
    digits: int = DIGITS


# ------------------------------------------------------------------ inputs

def numbers(name, *shape):
    """Doubles between -1 and 1, the same ones for a name on every machine."""
    random = Random(name)
    return numpy.array([random.uniform(-1, 1) for _ in range(int(numpy.prod(shape)))]).reshape(shape)


def singles(name, *shape):
    """Such as float32 has, too."""
    return numbers(name, *shape).astype('float32').astype('float64')


def edge(shape, name='edge'):
    """An input, again, opposite, zero, twice as long, and nearly the same."""
    a = numbers(name, *shape)
    return numpy.stack([a, a, -a, 0 * a, 2 * a, a + 2. ** -33 * numbers(f'{name}, near', *shape)])


def _vectors():
    a = numbers('vectors', 4, 3)
    unit, steps = numpy.eye(3), 10. ** -numpy.array([1, 3, 5, 7, 9, 11, 13, 15])
    near = a[0] + steps[:, None] * numbers('near', 8, 3)
    return {
        'pair': (a, numbers('others', 3, 3)),
        'same': (a, None),
        'few': (a[:2], None),
        'edge': (edge((3,)), None),
        'row': (a[:1], None),
        'zeros': (numpy.stack([0 * a[0], a[0], 0 * a[0]]), 0 * a[:2]),
        'duplicates': (a[[0, 1, 0, 0]], a[[0, 1]]),
        'antipodal': (numpy.stack([a[0], -a[0], -2 * a[0], 3 * a[0], a[1]]), -a[:2]),
        'near': (a[:1], numpy.concatenate([near, -near])),
        'orthogonal': (unit, None),
        'one feature': (numpy.array([[.5], [-.25], [0.], [3.], [-7.]]), numpy.array([[1.], [-1.]])),
        'mixed scales': (a * 10. ** numpy.array([[-8], [-3], [2], [7]]), None),
        'huge': (1e150 * edge((3,), 'huge'), None),
        'tiny': (1e-150 * edge((3,), 'tiny'), None),
        'flipped': (a.T, numbers('others', 3, 3).T),
    }


def _images():
    small = numbers('small', 3, 3, 2, 2)
    return {
        'images': (numbers('images', 2, 4, 4, 2), numbers('other images', 3, 4, 4, 2)),
        'own images': (numbers('images', 2, 4, 4, 2), None),
        'small': (small[:2], small[2:]),
        'edge': (edge((3, 2, 2), 'edge image'), None),
        'black': (numpy.stack([0 * small[0], small[0]]), 0 * small[:1]),
        'pixel': (numbers('pixel', 3, 1, 1, 2), numbers('other pixel', 2, 1, 1, 2)),
        'one image': (numbers('images', 2, 4, 4, 2)[:1], None),
        'flat image': (numpy.ones((2, 3, 2, 2)) * [[[[.5, 1.]]], [[[1., -.5]]]], None),
        'NCHW': (numbers('images', 2, 4, 4, 2).transpose(0, 3, 1, 2),
                 numbers('other images', 3, 4, 4, 2).transpose(0, 3, 1, 2)),
        'CHWN': (numbers('images', 2, 4, 4, 2).transpose(3, 1, 2, 0),
                 numbers('other images', 3, 4, 4, 2).transpose(3, 1, 2, 0)),
        'sequences': (numbers('sequences', 2, 4, 3), numbers('other sequences', 3, 4, 3)),
        'own sequences': (numbers('sequences', 2, 4, 3), None),
        'edge sequences': (edge((3, 2), 'edge sequence'), None),
        'volumes': (numbers('volumes', 1, 2, 3, 2, 2), numbers('other volumes', 2, 2, 3, 2, 2)),
    }


def padded(name, *lengths):
    """Sequences of these lengths, and 9 after them."""
    x = numbers(name, len(lengths), 5, 2)
    for sequence, n in zip(x, lengths):
        sequence[n:] = 9.
    return x


def weights(name, n):
    """Of edges between 4 nodes, half of which there are."""
    P = singles(name, n, 4, 4)
    return numpy.where(P > 0, P, 0)


def _with_more():
    graphs = dict(x1=numbers('graphs', 2, 4, 3), x2=numbers('other graphs', 3, 4, 3))
    lists = (numpy.array([[[0, 1], [1, 2], [3, 0], [0, 1], [-1, -1]], [[2, 2], [1, 0], [0, 3], [3, 1], [1, 3]]]),
             numpy.array([[[3, 2], [2, 1], [-1, -1], [-1, -1], [0, 0]]] * 3))
    return {
        'padded': dict(x1=padded('padded', 5, 3), x2=padded('others padded', 2, 5, 4)),
        'own padded': dict(x1=padded('padded', 5, 3, 1), x2=None),
        'all padding': dict(x1=padded('padded', 5, 0), x2=padded('others padded', 3)),
        'graphs': dict(graphs, pattern1=weights('edges', 2), pattern2=weights('other edges', 3)),
        'own graphs': dict(x1=graphs['x1'], x2=None, pattern1=weights('edges', 2), pattern2=weights('edges', 2)),
        'no edges': dict(graphs, pattern1=weights('edges', 2), pattern2=0 * weights('other edges', 3)),
        'lists of edges': dict(graphs, pattern1=lists[0], pattern2=lists[1]),
        'without patterns': graphs,
    }


def _sets():
    pairs = {f'vectors/{name}': both for name, both in _vectors().items()}
    pairs |= {f'images/{name}': both for name, both in _images().items()}
    return {name: dict(zip(('x1', 'x2'), both)) for name, both in pairs.items()} | {
        f'more/{name}': given for name, given in _with_more().items()}


INPUTS = _sets()
"""Name -> {'x1': array, 'x2': array or None, ...}."""


# ------------------------------------------------------------------ networks

D = Dense(16, 1.3, .4)
LAST = Dense(1, .9, .1)
FLIPPED = dict(batch_axis=1, channel_axis=0)
FIRST = dict(dimension_numbers=('NCHW', 'OIHW', 'NCHW'))
standard = partial(Dense, parameterization='standard')
conv = partial(Conv, 8, W_std=1.2, b_std=.3)
READ = {'flat': (Flatten(), LAST), 'mean': (GlobalAvgPool(), LAST)}


def deep(n, phi, w=1.3, b=.4, last=LAST):
    return serial(*[Dense(16, w, b), phi] * n, last)


def after(*layers):
    """Behind a convolution and a nonlinearity."""
    return serial(Conv(8, (2, 2), None, 'SAME', 1.2, .3), Relu(), *layers)


def residual(phi, n):
    block = serial(FanOut(2), parallel(serial(phi, Dense(16, 1.1, .2)), Identity()), FanInSum())
    return serial(Dense(16, 1.5, .1), *[block] * n, phi, LAST)


def branches(fan_in, *more, **axes):
    return serial(FanOut(3), parallel(Dense(8, 1.3, .4, **axes), Dense(8, .7, **axes), serial(
        Dense(16, 1.2, **axes), Relu(), Dense(8, 1.1, .3, **axes))), fan_in, *more)


def attention(*more, **options):
    return serial(Conv(8, (2,), None, 'SAME', 1.2, .3), Relu(), GlobalSelfAttention(8, 4, 4, 2, **options), *more)


def images(*layers, **options):
    return serial(GlobalSelfAttention(8, 4, 4, 2, **options), *layers)


# ------------------------------------------------------------------ the families

@dataclass(frozen=True)
class Family:
    """{network: (what it is, about which layers, on which inputs)}."""
    name: str
    folder: str
    about: tuple
    inputs: str
    networks: dict
    options: dict = field(default_factory=dict)
    tolerance: str = 'exact'
    note: str = ''
    digits: int = DIGITS

    def definitions(self):
        for network, net in self.networks.items():
            net, about, names = (*net, None, None)[:3] if isinstance(net, tuple) else (net, None, None)
            for given in split(names or self.inputs):
                yield Definition(
                    f'{self.name}/{network}/{given}', 'kernel', split(about) or self.about or (network.split()[0],), net,
                    {key: (f'{self.folder}/{given}', key) for key in INPUTS[f'{self.folder}/{given}']},
                    {'get': ['nngp', 'ntk']} | self.options, 'double' if given in BEYOND else self.tolerance,
                    self.note, self.digits)


def split(text):
    return tuple(part.strip() for part in text.split(',')) if text else ()


BEYOND = 'huge', 'tiny'            # the range of float32
RANGE = 'zeros, duplicates, antipodal, near, orthogonal, one feature, mixed scales, row'
EDGE = 'pair, edge'

FAMILIES = [
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
        'standard': (serial(standard(32, 1.3, .4), Relu(), standard(16, 1.1), Erf(), standard(4, .9, .2)), 'Dense', EDGE),
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
        'sign, no bias': (serial(Dense(16, 1.3), Sign(), Dense(1)), 'Sign', 'antipodal, near, mixed scales, huge, tiny'),
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
    Family('nonlinearity', 'images', (), 'small', {
        'Relu, positions': (serial(D, Relu(), LAST), 'Relu, Dense'),
        'Erf, positions': (serial(D, Erf(), LAST), 'Erf, Dense'),
    }),
    Family('branches', 'vectors', (), EDGE, {
        'FanInSum': branches(FanInSum(), Relu(), LAST),
        'FanInProd': branches(FanInProd(), LAST),
        'FanInProd, of two nonlinear': (serial(FanOut(2), parallel(serial(D, Relu()), serial(D, Erf())), FanInProd(), LAST),
                                        'FanInProd'),
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
    Family('branches', 'images', (), 'small', {
        'FanInConcat, positions': (serial(FanOut(2), parallel(conv((2, 1)), conv((1, 1))), FanInConcat(1), Relu(), *READ['mean']),
                                   'FanInConcat'),
        'residual, conv': (serial(conv((2, 2), padding='SAME'), FanOut(2), parallel(
            serial(Relu(), conv((2, 2), padding='SAME')), Identity()), FanInSum(), Relu(), *READ['mean']),
            'FanInSum, FanOut, parallel', 'small, edge'),
    }),
    Family('norm', 'vectors', (), EDGE, {
        'LayerNorm': serial(D, LayerNorm(), Relu(), LAST), 'LayerNorm 0.3': serial(D, LayerNorm(eps=.3), Erf(), LAST),
        'Dropout': (serial(D, Relu(), Dropout(.7), LAST), 'Dropout', 'pair, same, edge, duplicates'),
        'Dropout, test': (serial(D, Relu(), Dropout(.7, 'test'), LAST), 'Dropout', 'same'),
        'Dropout, of inputs': (serial(Dropout(.5), D, Relu(), Dropout(.6), LAST), 'Dropout', 'same'),
    }),
    Family('norm', 'images', (), 'small', {
        'LayerNorm, positions': (after(conv((1, 1)), LayerNorm((1, 2, 3), .1), Erf(), *READ['mean']), 'LayerNorm', 'small, edge'),
        'LayerNorm, channels alone': (after(conv((1, 1)), LayerNorm(-1, .1), Relu(), *READ['flat']), 'LayerNorm'),
        'Dropout, positions': (after(Dropout(.7), *READ['mean']), 'Dropout', 'edge'),
    }),
    Family('conv', 'images', ('Conv',), 'images', {
        f'{padding.lower()}, {last}': serial(conv((3, 2), padding=padding), Relu(), conv((2, 2), (2, 1), padding), Erf(),
                                             *READ[last])
        for padding in ('SAME', 'VALID', 'CIRCULAR') for last in READ}),
    Family('conv', 'images', ('Conv',), 'small', {
        'relu, flat': (serial(conv((2, 2), padding='SAME'), Relu(), conv((2, 2), padding='SAME'), Relu(), *READ['flat']),
                       'Conv', 'small, edge, black, pixel, flat image'),
        'relu, mean': (serial(conv((2, 2), padding='SAME'), Relu(), conv((2, 2), padding='SAME'), Relu(), *READ['mean']),
                       'Conv, GlobalAvgPool', 'small, edge, black, pixel, flat image'),
        'relu, no bias': (serial(Conv(8, (2, 2), None, 'SAME', 1.4), Relu(), *READ['mean']), 'Conv', 'small, black'),
        'one image': (serial(conv((3, 3), padding='SAME'), Relu(), *READ['flat']), 'Conv', 'one image, own images'),
        'positions': conv((2, 1), padding='SAME'),
        'positions, relu': serial(conv((2, 1), padding='SAME'), Relu(), conv((1, 2))),
        '1x1': serial(conv((1, 1)), Relu(), conv((1, 1)), *READ['mean']),
        'strides': (serial(conv((3, 3), (2, 1), 'SAME'), Relu(), conv((2, 2), (1, 2), 'CIRCULAR'), *READ['flat']), 'Conv',
                    'images'),
        'standard': serial(conv((2, 2), padding='SAME', parameterization='standard'), Relu(),
                           conv((2, 1), parameterization='standard'), *READ['flat']),
        'standard, s': serial(conv((2, 2), padding='SAME', parameterization='standard', s=(1, 2)), Relu(),
                              conv((2, 1), parameterization='standard', s=(2, 1))),
        'NCHW': (serial(conv((3, 2), padding='SAME', **FIRST), Relu(), conv((2, 2), **FIRST), Erf(), Flatten(), LAST), 'Conv',
                 'NCHW'),
        'CHWN': (serial(conv((2, 2), dimension_numbers=('CHWN', 'HWOI', 'NHWC')), Relu(), *READ['mean']), 'Conv', 'CHWN'),
        'letters': (serial(conv((2, 1), dimension_numbers=('NHWC', 'WHIO', 'NWHC')), Relu(), *READ['flat']), 'Conv',
                    'images'),
        'sequences': (serial(conv((3,), padding='SAME'), Relu(), conv((2,)), Gelu(), *READ['mean']), 'Conv',
                      'sequences, edge sequences'),
        'volumes': (serial(conv((2, 2, 1), padding='SAME'), Relu(), *READ['mean']), 'Conv', 'volumes'),
    }),
    Family('conv', 'images', (), 'small', {
        'ConvLocal': (serial(ConvLocal(8, (2, 2), None, 'SAME', 1.2, .3), Relu(), ConvLocal(8, (2, 1), W_std=1.1), *READ['flat']),
                      'ConvLocal', 'small, edge, images'),
        'ConvLocal, mean': (serial(ConvLocal(8, (2, 2), (1, 2), 'CIRCULAR', 1.2, .3), Relu(), *READ['mean']), 'ConvLocal'),
        'ConvLocal, after Conv': (after(ConvLocal(8, (2, 1), None, 'SAME', 1.2, .3), Erf(), *READ['mean']), 'ConvLocal'),
        'ConvTranspose': (serial(ConvTranspose(8, (2, 2), (2, 1), 'SAME', 1.2, .3), Relu(), *READ['mean']), 'ConvTranspose',
                          'small, edge'),
        'ConvTranspose, valid': (serial(ConvTranspose(8, (3, 2), (2, 1), 'VALID', 1.2, .3), Relu(), *READ['flat']),
                                 'ConvTranspose'),
        'ConvTranspose, circular': (serial(ConvTranspose(8, (2, 3), (1, 2), 'CIRCULAR', 1.2, .3), Relu(), *READ['flat']),
                                    'ConvTranspose'),
        'ConvTranspose, standard': (ConvTranspose(8, (2, 1), None, 'SAME', 1.2, .3, parameterization='standard'),
                                    'ConvTranspose'),
    }),
    Family('conv', 'images', ('Conv',), 'small, edge', {
        'equal positions alone': serial(conv((2, 2), padding='SAME'), Relu(), conv((2, 1)))}, {'diagonal_spatial': True}),
    Family('pool', 'images', (), 'small', {
        'AvgPool': (after(AvgPool((2, 1)), Dense(4, 1.1, .2), Erf(), *READ['mean']), 'AvgPool', 'small, edge'),
        'AvgPool, strides': after(AvgPool((2, 2), (2, 1), 'SAME'), *READ['flat']),
        'AvgPool, edges': after(AvgPool((2, 2), None, 'SAME', True), *READ['flat']),
        'AvgPool, circular': after(AvgPool((2, 2), None, 'CIRCULAR'), *READ['flat']),
        'AvgPool, of inputs': AvgPool((2, 1)),
        'SumPool': after(SumPool((2, 1)), *READ['flat']),
        'SumPool, strides': after(SumPool((2, 2), (2, 2), 'SAME'), Dense(4, 1.1, .2), Relu(), *READ['mean']),
        'GlobalAvgPool': (after(GlobalAvgPool(), D, Relu(), LAST), 'GlobalAvgPool', 'small, edge, images'),
        'GlobalSumPool': (after(GlobalSumPool(), LAST), 'GlobalSumPool', 'small, edge'),
        'GlobalAvgPool, of Sign': (serial(conv((2, 2), padding='SAME'), Sign(), GlobalAvgPool()), 'GlobalAvgPool, Sign',
                                   'small, edge'),
        'AvgPool, twice': (serial(conv((3, 3), padding='SAME'), Relu(), AvgPool((2, 2), (2, 2)), conv((2, 2), padding='SAME'),
                                  Relu(), AvgPool((2, 2)), *READ['mean']), 'AvgPool', 'images'),
    }),
    Family('reshape', 'images', (), 'small', {
        'Flatten': (after(Flatten(), D, Relu(), LAST), 'Flatten', 'small, edge, pixel'),
        'Flatten, inputs': (serial(Flatten(), LAST), 'Flatten', 'images'),
        'Flatten, transposed': (serial(after(Flatten(0, 1)), Dense(4, .9, **FLIPPED)), 'Flatten'),
        'Index': (after(Index(Slice[:, 1:, ::-1]), *READ['mean']), 'Index, Slice'),
        'Index, one row': (after(Index(Slice[..., 0, :]), Dense(4, .9), Relu(), *READ['flat']), 'Index, Slice'),
        'Index, one pixel': (after(Index(Slice[:, 1, 0]), D, Relu(), LAST), 'Index, Slice', 'small, edge'),
        'ImageResize, nearest': after(ImageResize((-1, 2, 4, -1), 'nearest'), *READ['mean']),
        'ImageResize, linear': after(ImageResize((-1, 4, 3, -1), 'linear'), *READ['flat']),
        'ImageResize, cubic': after(ImageResize((-1, 5, 3, -1), 'cubic'), *READ['flat']),
        'ImageResize, lanczos3': after(ImageResize((-1, 2, 3, -1), 'lanczos3'), *READ['flat']),
        'ImageResize, lanczos5': after(ImageResize((-1, 4, 3, -1), 'lanczos5'), *READ['flat']),
        'ImageResize, smaller': (after(ImageResize((-1, 2, 3, -1), 'linear'), *READ['flat']), 'ImageResize', 'images'),
        'ImageResize, aliased': (after(ImageResize((-1, 2, 3, -1), 'linear', False), *READ['flat']), 'ImageResize', 'images'),
        'ImageResize, nearest, positions': ImageResize((-1, 2, 3, -1), 'nearest'),
    }),
    Family('attention', 'images', ('GlobalSelfAttention',), 'sequences', {
        'softmax': (attention(*READ['flat']), None, 'sequences, own sequences, edge sequences'),
        'identity': attention(*READ['flat'], attention_mechanism='IDENTITY'),
        'abs': attention(*READ['flat'], attention_mechanism='ABS'),
        'relu': attention(*READ['mean'], attention_mechanism='RELU'),
        'all weights': attention(Relu(), *READ['mean'], W_key_std=1.1, W_value_std=1.2, W_query_std=.9, W_out_std=1.3, b_std=.4),
        'square root': attention(*READ['flat'], linear_scaling=False, attention_mechanism='IDENTITY', b_std=.3, W_out_std=.7),
        'square root, added positions': attention(*READ['flat'], linear_scaling=False, attention_mechanism='IDENTITY',
                                                  pos_emb_type='SUM', W_pos_emb_std=.7, val_pos_emb=True),
        'added positions': attention(*READ['mean'], pos_emb_type='SUM', W_pos_emb_std=.8),
        'added positions, values too': attention(*READ['mean'], pos_emb_type='SUM', W_pos_emb_std=.8, val_pos_emb=True),
        'joined positions': attention(Erf(), *READ['flat'], pos_emb_type='CONCAT', n_chan_pos_emb=3),
        'joined positions, values too': attention(*READ['flat'], pos_emb_type='CONCAT', val_pos_emb=True),
        'images': (images(Relu(), *READ['mean'], pos_emb_type='CONCAT', b_std=.2), None, 'small, edge'),
        'twice': (serial(*[GlobalSelfAttention(8, 4, 4, 2, b_std=.2), Relu()] * 2, *READ['flat']), None, 'sequences'),
        'positions': (images(), None, 'own sequences'),
    }),
    Family('graph', 'more', ('Aggregate',), 'graphs', {
        'aggregate': (serial(D, Relu(), Aggregate(), Dense(8, 1.1, .2), Relu(), *READ['mean']), None,
                      'graphs, own graphs, no edges, without patterns'),
        'twice': serial(Aggregate(), D, Relu(), Aggregate(), Dense(8, 1.1, .2), Erf(), *READ['flat']),
        'positions': serial(D, Aggregate(1)),
        'sparse': (serial(D, Relu(), Aggregate(implementation='SPARSE'), Dense(8, 1.1, .2), Relu(), *READ['mean']), None,
                   'lists of edges'),
    }),
    Family('product', 'images', ('DotGeneral',), 'small', {
        'number': (serial(D, DotGeneral(rhs=-1.5), Relu(), *READ['mean'])),
        'sum': after(DotGeneral(rhs=((.5, -1., 2., 1.), (.3, .2, 0., 1.), (-.7, .4, .1, 2.)),
                                dimension_numbers=(((1,), (0,)), ((), ()))),),
        'along rows': serial(DotGeneral(rhs=(.5, -1., 2.), dimension_numbers=(((), ()), ((1,), (0,))), batch_axis=0), Identity()),
        'from the left': (serial(DotGeneral(lhs=((.5, -1., 2.), (.3, .2, 0.)), dimension_numbers=(((1,), (1,)), ((), ())))),
                          None, 'small'),
    }),
    Family('mask', 'more', (), 'padded', {
        'conv, same': (serial(conv((2,), padding='SAME'), Relu(), *READ['mean']), 'GlobalAvgPool, Conv',
                       'padded, own padded, all padding'),
        'conv, valid': (serial(conv((2,)), Relu(), conv((2,), padding='CIRCULAR'), Erf(), *READ['flat']), 'Conv, Flatten'),
        'pool': (serial(conv((2,), padding='SAME'), Relu(), AvgPool((2,), None, 'SAME', True), *READ['mean']), 'AvgPool'),
        'sums': (serial(conv((2,), padding='SAME'), Relu(), SumPool((2,), (2,), 'SAME'), GlobalSumPool(), LAST),
                 'SumPool, GlobalSumPool'),
        'norm': (serial(conv((2,), padding='SAME'), LayerNorm((1, 2), .1), Relu(), *READ['mean']), 'LayerNorm'),
        'attention': (serial(conv((2,), padding='SAME'), Relu(), GlobalSelfAttention(8, 4, 4, 2, b_std=.3), *READ['mean']),
                      'GlobalSelfAttention'),
        'transposed': (serial(ConvTranspose(8, (2,), (2,), 'SAME', 1.2, .3), Relu(), *READ['mean']), 'ConvTranspose'),
        'residual': (serial(conv((2,), padding='SAME'), FanOut(2), parallel(serial(Relu(), conv((1,))), Identity()), FanInSum(),
                            Relu(), *READ['mean']), 'FanInSum', 'padded'),
        'dense': (serial(D, Relu(), Dense(8, 1.1, .2), *READ['mean']), 'Dense, GlobalAvgPool'),
    }, {'mask_constant': 9.}),
]


def catalogue():
    """All definitions, in the order of the suite."""
    return [definition for family in FAMILIES for definition in family.definitions()]
