"""Networks that use each layer in its various ways: all contracts are tried on all of them (test_contracts.py).

Each name of `stax.__all__` needs networks in `examples` or `spatial_examples`: for inputs (n, channels) and inputs with
two spatial axes, or for the latter alone.
"""
from autograd import numpy as anp

from ntref.stax import (
    ABRelu, Abs, Aggregate, AvgPool, Conv, ConvLocal, ConvTranspose, Cos, Dense, DotGeneral, Dropout, Elementwise,
    ElementwiseNumerical, Elu, Erf, Exp, ExpNormalized, FanInConcat, FanInProd, FanInSum, FanOut, Flatten, Gabor,
    Gaussian, Gelu, GlobalAvgPool, GlobalSelfAttention, GlobalSumPool, HardTanh, Hermite, Identity, ImageResize, Index,
    LayerNorm, LeakyRelu, Mish, Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, Relu6, RMSNorm, Selu, Sigmoid,
    Sigmoid_like, Sign, Sin, Slice, Softplus, SumPool, Swish, Tanh, parallel, repeat, serial)
from ntref.testing import laid_out

NOT_LAYERS = {'AggregateImplementation', 'AttentionMechanism', 'Bool', 'Diagonal', 'Layer', 'LayerError', 'MaskedArray',
              'Padding', 'PositionalEmbedding', 'Slice', 'from_spec', 'layer', 'requires', 'supports_masking',
              'unmask_fn'}
FEATURES, POSITIONS = 5, (3, 2)


def cube(z):
    return z * z * z


def d_cube(z):
    return 3 * z * z


def cube_nngp(k, q1, q2):
    return 6 * k ** 3 + 9 * k * q1 * q2


def cube_d_nngp(k, q1, q2):
    return 18 * k ** 2 + 9 * q1 * q2


def decay(d):
    return 1 / (1 + d)


def smooth(z):
    return anp.tanh(z)


def examples(n):
    """{name: networks of width n that use the layer in its various ways}."""
    d, flipped = Dense(n, 1.3, .4), dict(batch_axis=1, channel_axis=0)

    def standard(*a, **k):
        return Dense(*a, parameterization='standard', **k)

    def after(*layers):
        return [serial(d, layer) for layer in layers]

    def branches(fan_in, m=n, **axes):
        return serial(FanOut(3), parallel(Dense(n, 1.3, .4, **axes), Dense(m, .7, **axes),
                                          serial(Dense(n, 1.2, **axes), Relu(), Dense(n, 1.1, .3, **axes))), fan_in)
    return {
        'serial': [serial(d), serial(serial(d, Relu()), serial(Dense(n, 1.1, .2), serial(Erf())))],
        'parallel': [serial(FanOut(2), parallel(d, serial(Dense(n, .8), Erf(), Dense(n))), FanInSum())],
        'repeat': [serial(d, repeat(serial(Relu(), Dense(n, 1.3, .1)), 2)), serial(d, repeat(Dense(3), 0))],
        'FanOut': [serial(FanOut(1), FanInSum(), d), serial(d, FanOut(2), parallel(Relu(), Erf()), FanInConcat())],
        'FanInSum': [branches(FanInSum()), branches(FanInSum(), **flipped)],
        'FanInProd': [branches(FanInProd()), serial(d, FanOut(1), FanInProd()),
                      serial(FanOut(2), parallel(serial(d, Relu()), serial(d, Erf())), FanInProd())],
        'FanInConcat': [branches(FanInConcat(), n // 2), branches(FanInConcat(0), 2 * n, **flipped)],
        'Dense': [d, Dense(n), Dense(n, -1.5, 0.), Dense(n, 0., .5), serial(Dense(n, 1.3, -.4, **flipped), Relu(),
                                                                            Dense(n, 1.2, .3, **flipped)),
                  serial(standard(n, 1.5, .3), Relu(), standard(n, 1.2)),
                  serial(standard(n), Erf(), standard(n, 1.2, 0.)),
                  serial(standard(n, 1.5, .3, s=(1, 2)), Relu(), standard(n, 1.2, .1, s=(2, 1)))],
        'Identity': [serial(Identity(), d, Identity())],
        'LayerNorm': after(LayerNorm(), LayerNorm(-1, eps=.3)) + [
            serial(Dense(n, 1.3, .4, **flipped), LayerNorm(0, **flipped), Relu())],
        'RMSNorm': after(RMSNorm(), RMSNorm(-1, eps=.3)) + [
            serial(RMSNorm(eps=.2), d, Relu(), RMSNorm(eps=.1), Dense(n, 1.1, .2), Erf()),
            serial(Dense(n, 1.3, .4, **flipped), RMSNorm(0, **flipped), Relu())],
        'Dropout': after(Dropout(.7), Dropout(.3, 'test')) + [serial(Dropout(.5), d, Relu(), Dropout(.6))],
        'Relu': after(Relu()),
        'LeakyRelu': after(LeakyRelu(.2), LeakyRelu(-.3)),
        'ABRelu': after(ABRelu(-.5, 1.2), ABRelu(.3, .9, do_stabilize=True)),
        'Abs': after(Abs()),
        'Erf': after(Erf(), Erf(.7, 1.4, -.3)),
        'Sigmoid_like': after(Sigmoid_like()),
        'Gelu': after(Gelu()) + [serial(d, Gelu(approximate=True))],
        'Sin': after(Sin(), Sin(.8, 1.3, .4)),
        'Cos': after(Cos(), Cos(.8, 1.3, .4)),
        'Rbf': after(Rbf(), Rbf(.3)),
        'Gaussian': after(Gaussian(), Gaussian(.8, -.4)) + [serial(Dense(n, .3), Gaussian(1.2, .2))],
        'Exp': after(Exp(.5, .4), Exp(1., -.3)),
        'ExpNormalized': after(ExpNormalized(), ExpNormalized(.7, .2, True)),
        'Gabor': after(Gabor()),
        'Tanh': after(Tanh()),
        'Sigmoid': after(Sigmoid()),
        'Softplus': after(Softplus()),
        'Swish': after(Swish()),
        'Mish': after(Mish()),
        'Elu': after(Elu(), Elu(.3)),
        'Selu': after(Selu()),
        'HardTanh': after(HardTanh()),
        'Relu6': after(Relu6()),
        'Sign': after(Sign()),
        'Hermite': after(*map(Hermite, (0, 1, 2, 3))),
        'Monomial': after(*map(Monomial, (0, 1, 2, 3))),
        'RectifiedMonomial': after(*map(RectifiedMonomial, (0, 1, 2))),
        'Polynomial': after(Polynomial((.3, -.5, .2, .1)), Polynomial((1.,)), Polynomial(())),
        'Elementwise': after(Elementwise(cube, cube_nngp, cube_d_nngp), Elementwise(cube, cube_nngp)),
        'ElementwiseNumerical': after(ElementwiseNumerical(cube, 6, d_cube), ElementwiseNumerical(smooth)),
    }


def spatial_examples(n):
    """The same for layers that know positions: for inputs with two spatial axes alone."""
    conv, first = Conv(n, (2, 2), None, 'SAME', 1.3, .4), dict(dimension_numbers=('NCHW', 'OIHW', 'NCHW'))
    weights = ((.5, -1., 2., 1.), (.3, .2, 0., 1.), (-.7, .4, .1, 2.))

    def attention(*a, **k):
        return GlobalSelfAttention(n, n, 2, 3, *a, **k)
    return {
        'Conv': [Conv(n, (2, 2)),
                 serial(Conv(n, (3, 2), (2, 1), 'SAME', 1.3, .4), Relu(), Conv(n, (1, 2), None, 'CIRCULAR')),
                 serial(Conv(n, (2, 2), None, 'SAME', 1.3, .4, **first), Erf(), Conv(n, (2, 1), **first)),
                 Conv(n, (2, 1), b_std=.3, dimension_numbers=('NHWC', 'WHIO', 'CWHN')),
                 Conv(n, (2, 2), None, 'SAME', 1.2, .3, None, 'standard'),
                 serial(Conv(n, (2, 2), None, 'SAME', 1.2, parameterization='standard', s=(1, 2)), Relu(),
                        Conv(n, (2, 1), b_std=.3, parameterization='standard', s=(2, 1)))],
        'ConvLocal': [ConvLocal(n, (2, 2), W_std=1.3, b_std=.4),
                      serial(ConvLocal(n, (2, 1), (2, 1), 'SAME', 1.3, .4), Relu(),
                             ConvLocal(n, (1, 2), None, 'CIRCULAR'))],
        'ConvTranspose': [ConvTranspose(n, (2, 2), (2, 1), 'SAME', 1.3, .4),
                          serial(ConvTranspose(n, (2, 1), None, 'VALID', 1.3), Relu(),
                                 ConvTranspose(n, (2, 2), (1, 2), 'CIRCULAR'))],
        'AvgPool': [AvgPool((2, 2)), serial(conv, Relu(), AvgPool((2, 2), (2, 1), 'SAME')),
                    serial(conv, Relu(), AvgPool((2, 1), None, 'SAME', True)), AvgPool((1, 2), None, 'CIRCULAR')],
        'SumPool': [SumPool((2, 1), (2, 1)), serial(conv, Relu(), SumPool((2, 2), None, 'SAME'))],
        'GlobalAvgPool': [GlobalAvgPool(), serial(conv, Relu(), GlobalAvgPool(), Dense(n, 1.2, .3))],
        'GlobalSumPool': [GlobalSumPool(), serial(conv, Relu(), GlobalSumPool())],
        'Flatten': [Flatten(), serial(conv, Relu(), Flatten(), Dense(n, 1.2, .3)), serial(conv, Flatten(0, 1)),
                    serial(Conv(n, (2, 2), **first), Flatten())],
        'GlobalSelfAttention': [
            attention(True, 1.1, 1.2, .9, 1.3, .4), serial(conv, Relu(), attention(), Relu(), Flatten(), Dense(n)),
            attention(False, attention_mechanism='IDENTITY', pos_emb_type='SUM', b_std=.3, W_out_std=.7),
            serial(conv, Erf(), attention(attention_mechanism='RELU', pos_emb_type='CONCAT', n_chan_pos_emb=3), Erf()),
            attention(pos_emb_type='CONCAT', pos_emb_decay_fn=decay, val_pos_emb=True, W_pos_emb_std=.7),
            serial(Conv(n, (2, 2), **first), attention(attention_mechanism='ABS', channel_axis=1))],
        'Index': [Index(Slice[:, 1:, ::-1]), serial(conv, Index(Slice[..., 0, :]), Relu()), Index(Slice[:, 1, 0])],
        'ImageResize': [ImageResize((-1, 4, 3, -1), 'linear'),
                        serial(conv, ImageResize((-1, 2, -1, -1), 'nearest'), Relu()),
                        ImageResize((-1, 2, 4, -1), 'lanczos3', False), ImageResize((-1, 2, 3, -1), 'cubic')],
        'Aggregate': [Aggregate(), serial(conv, Relu(), Aggregate(2, implementation='SPARSE'))],     # without a pattern
        'DotGeneral': [DotGeneral(), serial(conv, DotGeneral(rhs=-1.5), Relu()),
                       serial(conv, Relu(), DotGeneral(rhs=weights, dimension_numbers=(((1,), (0,)), ((), ())))),
                       serial(DotGeneral(lhs=weights, dimension_numbers=(((), ()), ((0,), (1,)))),
                              DotGeneral(rhs=weights[0], batch_axis=2))],
    }


WITHOUT_FINITE_NETWORK = {'ExpNormalized'}
NUMPY_ONLY = {'Elementwise(cube, cube_nngp)', 'ElementwiseNumerical(smooth)'}     # autograd, and SciPy, inside
FUNCTIONS = [cube, d_cube, cube_nngp, cube_d_nngp, decay, smooth]
ANYWHERE = [(name, net) for name, nets in examples(6).items() for net in nets]
NETWORKS = ANYWHERE + [(name, net) for name, nets in spatial_examples(6).items() for net in nets]


def draw(rng, net, n, positions=()):
    """n inputs of float32 numbers, so that each kind gets the same."""
    return laid_out(net, rng.standard_normal((n, *positions, FEATURES)).astype('float32').astype('float64'))


def has_finite_network(net):
    return not any(name in repr(net) for name in WITHOUT_FINITE_NETWORK)
