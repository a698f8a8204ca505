"""Finite networks drawn at random have, on average, the covariances and tangent kernels of the infinite ones.

Up to one nonlinearity, and one more layer with weights behind it, the average is exact at any width: what enters the
nonlinearity is Gaussian. The networks here are such, and wide for the sake of the noise only (but for LayerNorm, whose
variance is that of WIDTH channels: right up to 1 / WIDTH). One that is deeper is extrapolated to infinite width.

Agreement is meant in standard errors, which come from the scatter of the draws (`finite.chance`). Each test also says
by how much the kernel would have to be off for it to fail. Where a window or a pixel sits is a convention, which finite
and infinite networks share here: that is held by test_golden_conv.py, test_where_nt_errs.py and test_windows.py.
"""
import pytest
from finite import LEVEL, chance, check_mean, draws, empirical_ntk, second_moment

from ntref.stax import (
    AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Dropout, Erf, FanInConcat, FanInSum, FanOut, Flatten, GlobalAvgPool,
    GlobalSumPool, ImageResize, Index, LayerNorm, Relu, Slice, SumPool, parallel, serial)

DRAWS = 100
WIDTH = 1000
NARROW = 192                            # of layers in front of others with weights

IMAGE = 2, 4, 3, 2                      # inputs: batch, height, width, channels
STANDARD = dict(parameterization='standard')


def check_covariance(net, x, rng, notices):
    check_mean(draws(second_moment, net, x, rng, DRAWS), net.kernel_fn(x, get='nngp'), notices)


def images(net, rng):
    """Inputs with as many positions as `net` has."""
    batch, height, width, channels = IMAGE
    spatial = {1: (height,), 2: (height, width), 3: (height, width, 2)}[len(net.filter_shape)]
    return rng.standard_normal((batch, *spatial, channels))


# ------------------------------------------------------------------ layers with weights, on the input: exactly Gaussian

def conv(layer, *arguments, **keywords):
    return layer(WIDTH, *arguments, W_std=1.2, b_std=.3, **keywords)


WEIGHTED = [conv(layer, (3, 2), strides, padding) for layer in (Conv, ConvLocal, ConvTranspose)
            for padding in ('SAME', 'VALID', 'CIRCULAR') for strides in (None, (2, 1), (1, 2))] + [
    conv(Conv, (3,), (2,), 'CIRCULAR'),
    conv(ConvTranspose, (2,), (3,), 'VALID'),               # between the taps nothing but the bias
    conv(Conv, (2, 1, 2), (1, 2, 1), 'SAME'),
    conv(ConvLocal, (2, 2, 1), (1, 1, 2), 'VALID'),
    conv(ConvTranspose, (2, 1, 3), (1, 2, 1), 'CIRCULAR'),
    conv(Conv, (3, 2), (2, 1), 'SAME', dimension_numbers=('NHWC', 'WOHI', 'CWNH')),
    conv(ConvTranspose, (3, 2), (2, 1), 'SAME', dimension_numbers=('NHWC', 'IWHO', 'WNHC')),
    conv(ConvLocal, (3, 2), (2, 1), 'VALID', dimension_numbers=('NHWC', 'OWIH', 'NCWH')),
    conv(Conv, (2, 1, 2), padding='SAME', dimension_numbers=('NDHWC', 'WOHDI', 'NHCDW')),
    conv(ConvLocal, (2, 1, 2), padding='SAME', dimension_numbers=('NDHWC', 'HOWDI', 'WNHDC')),
    conv(Conv, (2, 2), padding='SAME', s=(1, 1.5), **STANDARD),
    conv(ConvLocal, (2, 2), padding='SAME', s=(1, 1.5), **STANDARD),
    conv(ConvTranspose, (2, 2), padding='SAME', s=(1, 1.5), **STANDARD),
]


@pytest.mark.parametrize('net', WEIGHTED, ids=repr)
def test_layers_with_weights(net, rng):
    check_covariance(net, images(net, rng), rng, .05)


# ------------------------------------------------------------------ layers without weights, behind Conv and Relu

GAUSSIAN = conv(Conv, (2, 2), padding='SAME')
HIDDEN = serial(GAUSSIAN, Relu())

MIXING = [
    *[layer((3, 2), strides, padding) for layer in (AvgPool, SumPool) for padding in ('SAME', 'VALID', 'CIRCULAR')
      for strides in (None, (2, 1))],
    AvgPool((3, 2), (1, 2), 'SAME', True),
    AvgPool((2, 3), None, 'CIRCULAR', True),
    GlobalAvgPool(), GlobalSumPool(), Flatten(), Flatten(batch_axis_out=1),
    Index(Slice[:, ::-1, 1:]), Index(Slice[:, -1]), Index(Slice[..., ::2, :]),
    *[ImageResize((-1, 6, 2, -1), method, antialias)
      for method in ('nearest', 'linear', 'cubic', 'lanczos3', 'lanczos5') for antialias in (True, False)],
    Dropout(.7),
]


@pytest.mark.parametrize('layer', MIXING, ids=repr)
def test_layers_without_weights(layer, rng):
    check_covariance(serial(HIDDEN, layer), rng.standard_normal(IMAGE), rng, .05)


@pytest.mark.parametrize('axis', [-1, (1, 3), (2, 3), (1, 2, 3), (0, 1, 2, 3)])
def test_layer_norm_over_positions(axis, rng):
    check_covariance(serial(GAUSSIAN, LayerNorm(axis)), rng.standard_normal(IMAGE), rng, .05)


# ------------------------------------------------------------------ branches, of which one has a hidden layer

def branches(join, n=NARROW, between=()):
    hidden = Conv(NARROW, (3, 1), None, 'SAME', 1.5, .2), Relu(), Conv(n, (1, 2), None, 'CIRCULAR', 1.6)
    return serial(*between, FanOut(2), parallel(Conv(n, (2, 2), None, 'SAME', 1.2, .3), serial(*hidden)), join)


@pytest.mark.parametrize('join', [FanInSum(), *map(FanInConcat, range(4))], ids=repr)
def test_branches(join, rng):
    check_covariance(branches(join), rng.standard_normal(IMAGE), rng, .15)


# ------------------------------------------------------------------ kernels of other layers do not pass

CONFUSED = [
    (conv(Conv, (3, 2), None, 'SAME'), conv(Conv, (3, 2), None, 'CIRCULAR')),
    (conv(Conv, (3, 2), (2, 1), 'SAME'), conv(Conv, (2, 2), (2, 1), 'SAME')),
    (conv(ConvLocal, (3, 2), None, 'SAME'), conv(Conv, (3, 2), None, 'SAME')),
    (conv(ConvTranspose, (3, 2), (2, 1), 'SAME'), conv(ConvTranspose, (3, 2), (2, 1), 'CIRCULAR')),
    (conv(ConvTranspose, (2, 2), None, 'SAME'), conv(Conv, (2, 2), None, 'SAME')),
    *[(serial(HIDDEN, a), serial(HIDDEN, b)) for a, b in [
        (AvgPool((3, 2), padding='SAME'), AvgPool((3, 2), padding='SAME', normalize_edges=True)),
        (SumPool((3, 2), padding='SAME'), SumPool((3, 2), padding='CIRCULAR')),
        (GlobalAvgPool(), Flatten()),
        (Index(Slice[:, ::2]), Index(Slice[:, 1::2])),
        (ImageResize((-1, 6, 2, -1), 'linear'), ImageResize((-1, 6, 2, -1), 'linear', False)),
        (ImageResize((-1, 6, 2, -1), 'linear'), ImageResize((-1, 6, 2, -1), 'cubic')),
        (ImageResize((-1, 6, 2, -1), 'lanczos3'), ImageResize((-1, 6, 2, -1), 'lanczos5')),
        (Dropout(.7), Dropout(.73))]],
    (serial(GAUSSIAN, LayerNorm((1, 3))), serial(GAUSSIAN, LayerNorm((2, 3)))),
]


@pytest.mark.parametrize('drawn, other', CONFUSED, ids=[f'{a} {b}' for a, b in CONFUSED])
def test_kernels_of_other_layers_do_not_pass(drawn, other, rng):
    x = rng.standard_normal(IMAGE)
    assert chance(draws(second_moment, drawn, x, rng, DRAWS), other.kernel_fn(x, get='nngp')) < LEVEL


# ------------------------------------------------------------------ two hidden layers, extrapolated in the width

def two_hidden_layers(n):
    return serial(Conv(n, (2, 2), None, 'SAME', 1.4, .2), Relu(), AvgPool((2, 2), padding='CIRCULAR'),
                  Conv(n, (3, 2), (2, 1), 'CIRCULAR', 1.4, .1), Erf(), GlobalAvgPool())


def test_two_hidden_layers(rng):
    """Corrections to the infinite width go with its inverse: 2 C(2 n) - C(n) has none."""
    x, n = rng.standard_normal(IMAGE), 32
    narrow, wide = (draws(second_moment, two_hidden_layers(m), x, rng, 600) for m in (n, 2 * n))
    check_mean(2 * wide - narrow, two_hidden_layers(1).kernel_fn(x, get='nngp'), .15)


# ------------------------------------------------------------------ tangent kernels

def before(readout, *between, s=(1, 1), **keywords):
    """A hidden layer, layers without weights, and the layer in question with one channel."""
    first = Conv(NARROW, (2, 2), None, 'SAME', 1.3, .4, s=(1, s[0]), **keywords)
    return serial(first, Relu(), *between, readout)


def last(layer, *arguments, **keywords):
    return layer(1, *arguments, W_std=1.2, b_std=.3, **keywords)


WIDER = dict(s=(1.5, 1), **STANDARD)

TANGENT = {
    'Conv': before(last(Conv, (3, 2), (2, 2), 'SAME')),
    'Conv, circular': before(last(Conv, (3, 2), (2, 2), 'CIRCULAR')),
    'Conv, standard': before(last(Conv, (3, 2), (2, 1), 'VALID', **WIDER), **WIDER),
    'ConvLocal': before(last(ConvLocal, (2, 1), (2, 1), 'SAME')),
    'ConvLocal, standard': before(last(ConvLocal, (2, 1), (2, 1), 'SAME', **WIDER), **WIDER),
    'ConvTranspose': before(last(ConvTranspose, (3, 2), (2, 1), 'SAME'), AvgPool((2, 2), (2, 2), 'SAME')),
    'ConvTranspose, standard': before(last(ConvTranspose, (3, 2), (2, 1), 'CIRCULAR', **WIDER),
                                      AvgPool((2, 2), (2, 2), 'SAME'), **WIDER),
    'AvgPool': before(last(Dense), AvgPool((3, 2), (2, 2), 'SAME', True)),
    'SumPool': before(last(Dense), SumPool((3, 2), (2, 2), 'CIRCULAR')),
    'GlobalAvgPool': before(last(Dense), GlobalAvgPool()),
    'GlobalSumPool': before(last(Dense), GlobalSumPool()),
    'Flatten': before(last(Dense), Flatten()),
    'Flatten, standard': before(last(Dense, **WIDER), Flatten(), **WIDER),
    'Index': before(last(Dense), Index(Slice[:, ::2, 1])),
    'ImageResize': before(last(Dense), ImageResize((-1, 3, 2, -1), 'cubic')),
    'LayerNorm': serial(Conv(NARROW, (2, 2), None, 'SAME', 1.3, .4), LayerNorm((1, 3)), last(Conv, (3, 2), (2, 2))),
    'Dropout': before(last(Dense), Dropout(.6), GlobalAvgPool()),
    **{repr(join): branches(join, 1, [Index(Slice[:, :2, :2])]) for join in (FanInSum(), FanInConcat(1))},
}


@pytest.mark.parametrize('name', TANGENT)
def test_tangent_kernel(name, rng):
    net, x = TANGENT[name], rng.standard_normal(IMAGE)
    check_mean(draws(empirical_ntk, net, x, rng, 50), net.kernel_fn(x, get='ntk'), .15)
