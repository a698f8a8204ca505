"""What layers mean and what they refuse: numbers worked out by hand, semantics of Neural Tangents 0.6.5, bad input."""
import json
from math import asin, atan2, cos, exp, pi, sin, sqrt

import numpy
import pytest
import reference
from autograd import numpy as anp
from examples import ANYWHERE, NOT_LAYERS
from kinds import to_kind
from refusals import no_input_kernel, refusal
from tolerances import assert_close

from ntref import Kernel, batch, stax
from ntref.stax import (
    ABRelu, Abs, Cos, Dense, Dropout, Elementwise, ElementwiseNumerical, Erf, Exp, ExpNormalized, FanInConcat,
    FanInProd, FanInSum, FanOut, Gabor, Gaussian, Gelu, Hermite, Identity, LayerError, LayerNorm, LeakyRelu, Monomial,
    Polynomial, Rbf, RectifiedMonomial, Relu, RMSNorm, Sigmoid_like, Sign, Sin, from_spec, parallel, repeat, serial)

D = Dense
NET = serial(D(8, 1.3, .2), Relu(), D(4))


@pytest.fixture
def x(rng):
    return rng.standard_normal((4, 3))


# ------------------------------------------------------------------ zero, equal and opposite inputs, by hand

def erf_kernel(k, q1, q2, b=1.):
    return 2 / pi * asin(2 * b * b * k / sqrt((1 + 2 * b * b * q1) * (1 + 2 * b * b * q2)))


def gelu_diagonal(q):
    return q * (1 / 4 + (q / ((q + 1) * sqrt(1 + 2 * q)) + atan2(q, sqrt(1 + 2 * q)) / 2) / pi)


def gabor_diagonal(q):
    return (1 - exp(-2 * q / (1 + 4 * q))) / (2 * sqrt(1 + 4 * q))


# layer, and functions of q: E phi(u)^2, E phi(u) phi(-u), E phi(u) phi(0), phi(0)^2
SPECIAL = [
    (Relu(), lambda q: q / 2, lambda q: 0, lambda q: 0, 0),
    (LeakyRelu(.25), lambda q: q * 1.0625 / 2, lambda q: -q / 4, lambda q: 0, 0),
    (ABRelu(-.5, 1.5), lambda q: q * 1.25, lambda q: .75 * q, lambda q: 0, 0),
    (Abs(), lambda q: q, lambda q: q, lambda q: 0, 0),
    (Sign(), lambda q: 1, lambda q: -1, lambda q: 0, 0),
    (RectifiedMonomial(0), lambda q: .5, lambda q: 0, lambda q: .5, 1),
    (RectifiedMonomial(1), lambda q: q / 2, lambda q: 0, lambda q: 0, 0),
    (RectifiedMonomial(2), lambda q: 3 * q * q / 2, lambda q: 0, lambda q: 0, 0),
    (RectifiedMonomial(3), lambda q: 15 * q ** 3 / 2, lambda q: 0, lambda q: 0, 0),
    (Erf(), lambda q: erf_kernel(q, q, q), lambda q: erf_kernel(-q, q, q), lambda q: 0, 0),
    (Erf(2., .5, -.3), lambda q: 4 * erf_kernel(q, q, q, .5) + .09, lambda q: 4 * erf_kernel(-q, q, q, .5) + .09,
     lambda q: .09, .09),
    (Sigmoid_like(), lambda q: .25 + erf_kernel(q, q, q, 1 / 2.4020563531719796) / 4,
     lambda q: .25 - erf_kernel(q, q, q, 1 / 2.4020563531719796) / 4, lambda q: .25, .25),
    (Gelu(), gelu_diagonal, lambda q: gelu_diagonal(q) - q / 2, lambda q: 0, 0),
    (Sin(), lambda q: (1 - exp(-2 * q)) / 2, lambda q: (exp(-2 * q) - 1) / 2, lambda q: 0, 0),
    (Sin(2., .5, .3), lambda q: 2 * (1 - cos(.6) * exp(-q / 2)), lambda q: 2 * (exp(-q / 2) - cos(.6)),
     lambda q: 4 * sin(.3) ** 2 * exp(-q / 8), 4 * sin(.3) ** 2),
    (Cos(), lambda q: (1 + exp(-2 * q)) / 2, lambda q: (1 + exp(-2 * q)) / 2, lambda q: exp(-q / 2), 1),
    (Rbf(.75), lambda q: 1, lambda q: exp(-3 * q), lambda q: exp(-.75 * q), 1),
    (Gaussian(), lambda q: 1 / sqrt(1 + 4 * q), lambda q: 1 / sqrt(1 + 4 * q), lambda q: 1 / sqrt(1 + 2 * q), 1),
    (Exp(2., .5), lambda q: 4 * exp(q / 2), lambda q: 4, lambda q: 4 * exp(q / 8), 4),
    (ExpNormalized(2., .5), lambda q: q * exp(3), lambda q: q * exp(-1), lambda q: 0, 0),
    (Gabor(), gabor_diagonal, lambda q: -gabor_diagonal(q), lambda q: 0, 0),
    (Hermite(2), lambda q: (3 * q * q - 2 * q + 1) / 2, lambda q: (3 * q * q - 2 * q + 1) / 2, lambda q: (1 - q) / 2,
     .5),
    (Monomial(2), lambda q: 3 * q * q, lambda q: 3 * q * q, lambda q: 0, 0),
    (Monomial(3), lambda q: 15 * q ** 3, lambda q: -15 * q ** 3, lambda q: 0, 0),
    (Polynomial((1., 2., 3.)), lambda q: 1 + 10 * q + 27 * q * q, lambda q: 1 + 2 * q + 27 * q * q,
     lambda q: 1 + 3 * q, 1),
    (Polynomial(()), lambda q: 0, lambda q: 0, lambda q: 0, 0),
    (ElementwiseNumerical(numpy.sin, df=numpy.cos), lambda q: (1 - exp(-2 * q)) / 2, lambda q: (exp(-2 * q) - 1) / 2,
     lambda q: 0, 0),
]


@pytest.mark.parametrize('q', [.25, 1., 4.])
@pytest.mark.parametrize('layer, same, opposite, with_zero, zero', SPECIAL, ids=[repr(s[0]) for s in SPECIAL])
def test_zero_equal_and_opposite_inputs(layer, same, opposite, with_zero, zero, q):
    u = numpy.array([[1., 1.], [1., 1.], [-1., -1.], [0., 0.], [0., 0.]])
    a, b, c = same(q), opposite(q), with_zero(q)
    expected = numpy.array([[a, a, b, c, c], [a, a, b, c, c], [b, b, a, c, c], [c, c, c, zero, zero],
                            [c, c, c, zero, zero]], dtype='float64')
    net = serial(D(8, q ** .5), layer)
    for k in (net.kernel_fn(u), net.kernel_fn(u, u.copy())):
        assert_close(k.nngp, expected, 'value', max(a, abs(b), 1e-300))
        assert_close(k.cov1, expected.diagonal(), 'value', max(a, 1e-300))
        assert numpy.isfinite(k.ntk).all()


# layer, E phi'(u)^2 and E phi'(u) phi'(-u) as functions of q
SLOPES = [
    (Relu(), lambda q: .5, lambda q: 0), (Abs(), lambda q: 1, lambda q: -1),
    (LeakyRelu(.25), lambda q: 1.0625 / 2, lambda q: .25), (Sign(), lambda q: 0, lambda q: 0),
    (Erf(), lambda q: 4 / pi / sqrt(1 + 4 * q), lambda q: 4 / pi / sqrt(1 + 4 * q)),
    (Sin(1., 1., .3), lambda q: (1 + cos(.6) * exp(-2 * q)) / 2, lambda q: (exp(-2 * q) + cos(.6)) / 2),
    (Rbf(.75), lambda q: 1.5, lambda q: 1.5 * exp(-3 * q)), (Exp(2., .5), lambda q: exp(q / 2), lambda q: 1),
    (Monomial(2), lambda q: 4 * q, lambda q: -4 * q), (Monomial(3), lambda q: 27 * q * q, lambda q: 27 * q * q),
    (RectifiedMonomial(2), lambda q: 2 * q, lambda q: 0), (RectifiedMonomial(0), lambda q: 0, lambda q: 0),
    (Hermite(3), lambda q: (27 * q * q - 18 * q + 9) / 6, lambda q: (27 * q * q - 18 * q + 9) / 6),
    (Gaussian(), lambda q: 4 * q / (1 + 4 * q) ** 1.5, lambda q: -4 * q / (1 + 4 * q) ** 1.5),
]


@pytest.mark.parametrize('q', [.25, 1., 4.])
@pytest.mark.parametrize('layer, same, opposite', SLOPES, ids=[repr(s[0]) for s in SLOPES])
def test_slopes_at_equal_and_opposite_inputs(layer, same, opposite, q):
    """Theta = slope q, since Theta is K after one Dense layer."""
    u = numpy.array([[1., 1.], [-1., -1.]])
    ntk = serial(D(8, q ** .5), layer).kernel_fn(u, get='ntk')
    expected = numpy.array([[same(q) * q, -opposite(q) * q]] * 2)
    assert_close(ntk, numpy.array([expected[0], expected[1][::-1]]), 'value', max(expected.max(), q))


# ------------------------------------------------------------------ scales

HOMOGENEOUS = [Relu(), LeakyRelu(.2), ABRelu(-.5, 1.), Abs(), Identity(), ExpNormalized(), RectifiedMonomial(1)]
BOUNDED = [Sign(), RectifiedMonomial(0)]
SCALED = [(layer, dtype, power) for layer in HOMOGENEOUS + BOUNDED for dtype, powers in (
    ('float64', (-500, -300, -100, 100, 300, 500)), ('float32', (-60, -40, -20, 20, 40, 60))) for power in powers]


@pytest.mark.parametrize('layer, dtype, power', SCALED, ids=[f'{layer!r} {t} 2^{p}' for layer, t, p in SCALED])
def test_scale_of_the_inputs(layer, dtype, power, x):
    """Inputs times 2^m: the kernel times 4^m, digit for digit, wherever that is a normal number."""
    x = numpy.concatenate([x, x[:1] + 1e-3, -x[:1]]).astype(dtype)
    net, factor = serial(D(8, 1.3), layer), numpy.float64(2) ** (2 * power)
    expected, scaled = net.kernel_fn(x), net.kernel_fn(x * numpy.asarray(2., dtype) ** power)
    for name in ('nngp', 'ntk'):
        f = factor if name == 'ntk' or layer not in BOUNDED else 1
        wanted, actual = getattr(expected, name).astype('float64'), getattr(scaled, name).astype('float64') / f
        assert_close(actual, wanted, 'value', abs(wanted).max(), dtype)


LIMITS = [(Erf(), Sign(), 0), (Gelu(), Relu(), 2), (Sigmoid_like(), RectifiedMonomial(0), 0),
          (Erf(2., .5, -.3), None, 0)]


@pytest.mark.parametrize('layer, limit, degree', LIMITS, ids=[repr(case[0]) for case in LIMITS])
@pytest.mark.parametrize('dtype, power', [('float64', 70), ('float64', 130), ('float64', 300), ('float32', 40)])
def test_far_out_a_sigmoid_is_a_step(layer, limit, degree, dtype, power, x):
    """Inputs so large that only the limit of the function is seen: erf is the sign, gelu the ReLU."""
    x = x.astype(dtype) * numpy.asarray(2., dtype) ** power
    k = serial(D(8), layer).kernel_fn(x, get='nngp')
    if limit is None:
        expected = 4 * serial(D(8), Sign()).kernel_fn(x, get='nngp') + numpy.asarray(.09, dtype)
    else:
        expected = serial(D(8), limit).kernel_fn(x, get='nngp')
    size = abs(expected).max()
    assert_close(k / size, expected / size, 'value')


@pytest.mark.parametrize('dtype, power', [('float64', 300), ('float64', 500), ('float32', 40), ('float32', 60)])
def test_a_small_bias_does_not_matter(dtype, power, x):
    x = x.astype(dtype) * numpy.asarray(2., dtype) ** power
    k, expected = (serial(D(8, 1.3, b), Relu()).kernel_fn(x, get='ntk') for b in (.1, None))
    size = abs(expected).max()
    assert_close(k / size, expected / size, 'value')


@pytest.mark.parametrize('dtype, power', [('float64', -400), ('float64', 400), ('float32', -55), ('float32', 55)])
def test_layer_norm_at_all_scales(dtype, power, x):
    x, factor = x.astype(dtype), numpy.asarray(2., dtype) ** power
    net, scaled = (serial(D(8), LayerNorm(eps=1e-3 * f), Relu()) for f in (1., 2. ** (2 * power)))
    k, expected = scaled.kernel_fn(x * factor), net.kernel_fn(x)
    assert_close(k.nngp, expected.nngp, 'value')
    assert_close(k.ntk, expected.ntk, 'value')


# ------------------------------------------------------------------ positions

def test_states_with_and_without_pairs_of_positions(x):
    """What a state does not hold cannot be asked of it; what it holds beyond need be dropped."""
    x = numpy.stack([x, x + 1], 1)
    paired, aligned = D(3).kernel_fn(x), D(3).kernel_fn(x, diagonal_spatial=True)
    assert paired.nngp.shape == (4, 4, 2, 2) and aligned.nngp.shape == (4, 4, 2) and aligned.diagonal_spatial
    assert Relu().kernel_fn(aligned, get='nngp').shape == (4, 4, 2)
    assert_close(Relu().kernel_fn(aligned, get='ntk'),
                 numpy.einsum('ijhh->ijh', serial(D(3), Relu()).kernel_fn(x, get='ntk')), 'value')
    message = refusal(ValueError, Relu().kernel_fn, aligned, diagonal_spatial=False)
    assert 'diagonal_spatial' in message
    dropped = Relu().kernel_fn(paired, diagonal_spatial=True)
    assert dropped.diagonal_spatial and dropped.nngp.shape == (4, 4, 2)


# ------------------------------------------------------------------ Dense

def test_dense_by_hand():
    x = numpy.array([[1., 2.], [3., -1.]])
    assert (D(3, 2., 3.).kernel_fn(x, get='nngp') == [[19., 11.], [11., 29.]]).all()
    assert (D(3, 2., 3.).kernel_fn(x, get='ntk') == [[19., 11.], [11., 29.]]).all()
    deep = serial(D(3, 2., 3.), D(5, .5)).kernel_fn(x, get=('nngp', 'ntk'))
    assert (deep.nngp == [[4.75, 2.75], [2.75, 7.25]]).all() and (deep.ntk == 2 * deep.nngp).all()


def test_standard_parameterization_by_hand():
    """Theta' = n K + w Theta (+ 1 with a bias), n the width before the layer without the factor s[0]."""
    x = numpy.array([[1., 2.], [3., -1.]])
    k = numpy.array([[2.5, .5], [.5, 5.]])
    standard = dict(parameterization='standard')
    assert (D(7, 2., **standard).kernel_fn(x, get='ntk') == 2 * k).all()
    assert (D(7, 2., 3., **standard).kernel_fn(x, get='ntk') == 2 * k + 1).all()
    assert (D(7, 2., 0., **standard).kernel_fn(x, get='ntk') == 2 * k + 1).all()
    for s in ((1, 1), (1, 4)):
        net = serial(D(7, 2., 3., s=s, **standard), D(5, .5, s=(s[1], 1), **standard))
        k1 = 4 * k + 9
        both = net.kernel_fn(x, get=('nngp', 'ntk', 'shape1'))
        assert (both.ntk == 7 * k1 + (2 * k + 1) / 4).all() and (both.nngp == k1 / 4).all() and both.shape1 == (2, 5)


def test_only_squares_of_the_standard_deviations_enter(x):
    for name in ('nngp', 'ntk'):
        signs = [D(3, w, b).kernel_fn(x, get=name) for w in (1.5, -1.5) for b in (.4, -.4)]
        assert all((k == signs[0]).all() for k in signs)


def test_no_weights_leave_the_bias(x):
    k = D(3, 0., .5).kernel_fn(x)
    assert (k.nngp == .25).all() and (k.ntk == .25).all() and (k.gap == 0).all() and (k.area == 0).all()
    k = serial(D(3, 0.), Relu(), D(3, 1.5)).kernel_fn(x)
    assert (k.nngp == 0).all() and (k.ntk == 0).all()
    k = serial(D(3), Relu(), D(3, 0., .5)).kernel_fn(x)
    assert (k.nngp == .25).all() and (k.ntk == .25).all()


def test_a_bias_of_zero_is_a_parameter(x):
    without, none = D(3).init_fn(1, x.shape)[1]
    W, b = D(3, b_std=0.).init_fn(1, x.shape)[1]
    assert not isinstance(none, numpy.ndarray) and b.shape == (1, 3) and abs(b).max() > 0
    assert (W == without).all() and W.shape == (3, 3)
    assert (D(3, b_std=0.).apply_fn((W, b), x) == D(3).apply_fn((without, none), x)).all()


@pytest.mark.parametrize('shape, axes, bias', [
    ((4, 9), {}, (1, 200)), ((4, 2, 3, 9), {}, (1, 1, 1, 200)),
    ((9, 4), dict(batch_axis=1, channel_axis=0), (200, 1)), ((4, 9, 2), dict(channel_axis=1), (1, 200, 1))])
def test_parameters_of_dense(shape, axes, bias):
    """Shapes, and standard deviations to 5 standard errors: unit in 'ntk', sigma in 'standard'."""
    out, (W, b) = D(200, 1.5, .5, **axes).init_fn(3, shape)
    assert W.shape == (9, 200) and b.shape == bias
    assert out == tuple(200 if n == 9 else n for n in shape)
    assert abs(W.std() - 1) < 5 / sqrt(2 * W.size) and abs(b.std() - 1) < 5 / sqrt(2 * b.size)
    out, (W, b) = D(100, 1.5, .5, parameterization='standard', s=(3, 2), **axes).init_fn(3, shape)
    assert W.shape == (9, 200) and b.shape == bias and out == tuple(200 if n == 9 else n for n in shape)
    assert abs(W.std() / (1.5 / sqrt(3)) - 1) < 5 / sqrt(2 * W.size) and abs(b.std() / .5 - 1) < 5 / sqrt(2 * b.size)
    assert abs(W.mean()) < 5 * 1.5 / sqrt(3) / sqrt(W.size)


def test_apply_by_hand():
    x, W, b = numpy.array([[1., 2.]]), numpy.array([[1., 0., -1.], [2., 1., 0.]]), numpy.array([[1., 2., 3.]])
    assert_close(D(3, 3., .5).apply_fn((W, b), x), 3 / sqrt(2) * numpy.array([[5., 2., -1.]]) + b / 2, 'value', 10.)
    net = D(3, 3., .5, parameterization='standard', s=(4, 1))
    assert_close(net.apply_fn((W, b), x), numpy.array([[5., 2., -1.]]) / 2 + b, 'value', 10.)


def test_seeds(x):
    net = serial(D(6, b_std=1.), Relu(), D(6, b_std=1.), Relu(), D(6, b_std=1.))

    def weights(rng):
        return [p[0] for p in net.init_fn(rng, x.shape)[1] if len(p)]
    first, again, other = weights(3), weights(numpy.random.default_rng(3)), weights(4)
    assert all((a == b).all() for a, b in zip(first, again)) and all((a != b).all() for a, b in zip(first, other))
    shared = D(3)
    (w1, _), (w2, _) = serial(shared, shared).init_fn(1, (2, 3))[1]
    assert (w1 != w2).all(), 'one object used twice has weights of its own each time'


# ------------------------------------------------------------------ the other layers

def test_layer_norm_by_hand():
    x = numpy.array([[1., 1.], [0., 0.], [3., -1.]])
    k = serial(D(8, 2.), LayerNorm(eps=.5)).kernel_fn(x)
    q = 4 * numpy.array([1., 0., 5.]) + .5
    expected = 4 * (x @ x.T / 2) / numpy.sqrt(numpy.outer(q, q))
    assert_close(k.nngp, expected, 'value')
    assert_close(k.ntk, expected, 'value')
    assert k.is_gaussian and (k.nngp[1] == 0).all()
    k = serial(D(8, 2.), LayerNorm()).kernel_fn(x)
    assert_close(k.nngp, numpy.array([[1., 0., 1 / sqrt(5)], [0., 0., 0.], [1 / sqrt(5), 0., 1.]]), 'value', 1e4)


def test_layer_norm_of_a_finite_network(x):
    z = LayerNorm().apply_fn((), x)
    assert_close(z.mean(1), numpy.zeros(4), 'value')
    assert_close(z.var(1), numpy.ones(4), 'value', 1e4)
    assert (LayerNorm().apply_fn((), numpy.ones((2, 3))) == 0).all()
    assert_close(LayerNorm(eps=2.).apply_fn((), numpy.array([[1., -1.]])), numpy.array([[1., -1.]]) / sqrt(3), 'value')


def test_rms_norm_by_hand(mp50):
    """K' = K / sqrt((q + eps)(q' + eps)) for K = 2^2 x.x' / 2, in 50 digits; the first and the last nearly coincide."""
    x = numpy.array([[1., 1.], [0., 0.], [3., -1.], [1., 1. + 2. ** -40]])
    exact = to_kind('mpmath', x)
    K, eps = 2 * exact @ exact.T, mp50.mpf(.3)
    root = [mp50.sqrt(q + eps) for q in K.diagonal()]
    expected = K / numpy.outer(root, root)
    net = serial(D(8, 2.), RMSNorm(eps=.3))
    assert abs(net.kernel_fn(exact, get='nngp') - expected).max() < 1e-48
    k = net.kernel_fn(x)
    assert_close(k.nngp, expected.astype(float), 'value')
    assert_close(k.ntk, expected.astype(float), 'value')
    assert k.is_gaussian and (k.nngp[1] == 0).all()
    assert_close(RMSNorm(eps=.3 / 4).kernel_fn(x, get='nngp'), k.nngp, 'value')           # of the input itself
    area = float(mp50.sqrt(expected[0, 0] * expected[3, 3] - expected[0, 3] ** 2))
    assert 0 < area < 1e-11 and abs(k.area[0, 3] - area) < 1e-14 * area


def test_rms_norm_of_a_finite_network(x):
    """The mean stays."""
    z = RMSNorm(eps=.2).apply_fn((), x)
    assert_close(z, x / numpy.sqrt((x * x).mean(1, keepdims=True) + .2), 'value')
    assert_close(RMSNorm(eps=3.).apply_fn((), numpy.ones((1, 2))), numpy.full((1, 2), .5), 'value')
    assert (RMSNorm().apply_fn((), numpy.zeros((2, 3))) == 0).all()


def test_dropout_scales_an_input_with_itself(x):
    plain, net = D(4, 1.3, .2).kernel_fn(x), serial(D(4, 1.3, .2), Dropout(.8))
    diagonal = 1 + .25 * numpy.eye(4)
    for k in (net.kernel_fn(x), net.kernel_fn(x, x.copy())):
        assert_close(k.nngp, plain.nngp * diagonal, 'value', 10.)
        assert_close(k.ntk, plain.ntk * diagonal, 'value', 10.)
        assert_close(k.cov1, plain.cov1 / .8, 'value', 10.)
        assert not k.is_gaussian
    k = net.kernel_fn(x, x[:3])
    assert_close(k.nngp, plain.nngp[:, :3], 'value', 10.)
    assert_close(k.cov2, plain.cov1[:3] / .8, 'value', 10.)
    k = net.kernel_fn(x, x[::-1])
    assert_close(k.nngp, plain.nngp[:, ::-1], 'value', 10.)


def test_dropout_of_positions(x):
    """Only equal positions of the same input share their mask."""
    x = numpy.stack([x, x], 1)                       # two equal positions
    k = serial(D(4), Dropout(.5)).kernel_fn(x)
    plain = D(4).kernel_fn(x)
    factor = numpy.ones((4, 4, 2, 2))
    factor[range(4), range(4)] += numpy.eye(2)
    assert_close(k.nngp, plain.nngp * factor, 'value', 10.)
    assert_close(k.cov1, plain.cov1 * (1 + numpy.eye(2)), 'value', 10.)
    assert_close(k.ntk, plain.ntk * factor, 'value', 10.)
    aligned = serial(D(4), Dropout(.5)).kernel_fn(x, diagonal_spatial=True)
    assert_close(aligned.nngp, numpy.einsum('ijhh->ijh', plain.nngp * factor), 'value', 10.)
    assert_close(aligned.cov1, numpy.einsum('ihh->ih', plain.cov1) * 2, 'value', 10.)


def test_dropout_of_a_finite_network(x):
    x = 1. + numpy.arange(20000.).reshape(2, -1) / 20000
    z = Dropout(.25).apply_fn((), x, rng=3)
    kept = z != 0
    assert_close(z[kept], x[kept] * 4, 'value', 8.)
    assert abs(kept.mean() - .25) < 5 * sqrt(.25 * .75 / x.size)
    assert (z == Dropout(.25).apply_fn((), x, rng=numpy.random.default_rng(3))).all()
    assert (kept != (Dropout(.25).apply_fn((), x, rng=4) != 0)).any()
    assert Dropout(.25, 'test').apply_fn((), x) is x and (Dropout(1.).apply_fn((), x, rng=1) == x).all()


def test_dropout_draws_anew_in_each_layer():
    x = numpy.ones((1, 1000))
    z = serial(Dropout(.5), Dropout(.5)).apply_fn([(), ()], x, rng=1)
    assert set(z.ravel()) == {0., 4.} and 180 < (z == 4).sum() < 320


def test_branches_of_the_sum_are_independent(x):
    """Two Identities after one Dense give twice its kernel, not four times."""
    plain = D(4, 1.3, .2).kernel_fn(x)
    k = serial(D(4, 1.3, .2), FanOut(2), parallel(Identity(), Identity()), FanInSum()).kernel_fn(x)
    assert_close(k.nngp, 2 * plain.nngp, 'value', 10.)
    assert_close(k.ntk, 2 * plain.ntk, 'value', 10.)
    assert_close(k.cov1, 2 * plain.cov1, 'value', 10.)
    assert k.is_gaussian


def test_sum_product_and_concatenation_by_hand():
    x = numpy.array([[1., 2.], [3., -1.]])
    k = numpy.array([[2.5, .5], [.5, 5.]])
    a, b = D(10, 1.), D(30, 2., 1.)
    ka, kb = k, 4 * k + 1
    branches = FanOut(2), parallel(a, D(10, 2., 1.))
    total = serial(*branches, FanInSum()).kernel_fn(x)
    assert (total.nngp == ka + kb).all() and (total.ntk == ka + kb).all() and total.is_gaussian
    product = serial(*branches, FanInProd()).kernel_fn(x)
    assert (product.nngp == ka * kb).all() and (product.ntk == 2 * ka * kb).all() and not product.is_gaussian
    joined = serial(FanOut(2), parallel(a, b), FanInConcat()).kernel_fn(x)
    assert_close(joined.nngp, (10 * ka + 30 * kb) / 40, 'value', 20.)
    assert_close(joined.ntk, (10 * ka + 30 * kb) / 40, 'value', 20.)
    assert joined.shape1 == (2, 40) and not joined.is_gaussian
    assert serial(FanOut(2), parallel(D(10), D(30, 2.)), FanInConcat(-1)).kernel_fn(x[:1], get='nngp') == 3.25 * 2.5


def test_product_of_three_by_hand():
    x = numpy.array([[1., 2.], [3., -1.]])
    k = numpy.array([[2.5, .5], [.5, 5.]])
    net = serial(FanOut(3), parallel(D(4), serial(D(4, 2.), D(4)), D(4, 3.)), FanInProd()).kernel_fn(x)
    assert (net.nngp == 36 * k ** 3).all()
    assert (net.ntk == (1 + 2 + 1) * 36 * k ** 3).all()


def test_repeat_is_serial(x):
    block = serial(Relu(), D(3, 1.3, .1))
    k, expected = (serial(D(3), n).kernel_fn(x) for n in (repeat(block, 3), serial(block, block, block)))
    assert (k.nngp == expected.nngp).all() and (k.ntk == expected.ntk).all() and k.shape1 == expected.shape1 == (4, 3)
    params = serial(D(3), repeat(block, 3)).init_fn(1, (4, 3))[1]
    assert len(params[1]) == 3
    assert (serial(D(3), repeat(block, 3)).apply_fn(params, x)
            == serial(D(3), serial(block, block, block)).apply_fn(params, x)).all()


def test_repeat_zero_times_is_the_identity(x):
    for block in (D(3), D(5)):
        k, expected = repeat(block, 0).kernel_fn(x), Identity().kernel_fn(x)
        assert (k.nngp == expected.nngp).all() and (k.ntk == 0).all() and k.shape1 == (4, 3) and not k.is_gaussian
        assert repeat(block, 0).init_fn(1, (4, 3)) == ((4, 3), []) and repeat(block, 0).apply_fn([], x) is x


def test_trees_of_inputs(x):
    y = x[:, :2]
    net = parallel(parallel(D(3), serial(D(4), Relu())), D(2, 2.))
    k = net.kernel_fn([[x, y], x], get=('ntk', 'nngp'))
    assert type(k) is type(k[0]) is list and k[1]._fields == ('ntk', 'nngp')
    for got, (layer, a) in zip([*k[0], k[1]], [(D(3), x), (serial(D(4), Relu()), y), (D(2, 2.), x)]):
        assert (got.nngp == layer.kernel_fn(a, get='nngp')).all() and (got.ntk == layer.kernel_fn(a, get='ntk')).all()
    assert net.init_fn(1, [[(4, 3), (4, 2)], (4, 3)])[0] == [[(4, 3), (4, 4)], (4, 2)]
    params = net.init_fn(1, [[(4, 3), (4, 2)], (4, 3)])[1]
    z = net.apply_fn(params, [[x, y], x])
    assert z[0][1].shape == (4, 4) and z[1].shape == (4, 2)


def test_containers_keep_their_type(x):
    net = parallel(D(3), D(4))
    for container in (list, tuple):
        k = net.kernel_fn(container([x, x]))
        assert type(k) is container and all(type(part) is Kernel for part in k)
        again = parallel(Relu(), Erf()).kernel_fn(k, get='nngp')
        assert type(again) is container and (again[0] == serial(D(3), Relu()).kernel_fn(x, get='nngp')).all()
        assert type(net.apply_fn(net.init_fn(1, [(4, 3)] * 2)[1], container([x, x]))) is container


def test_second_arguments_of_trees(x):
    net = parallel(D(3), D(4))
    k = net.kernel_fn([x, x], [x[:2], None], get='nngp')
    assert k[0].shape == (4, 2) and k[1].shape == (4, 4)
    assert (k[0] == D(3).kernel_fn(x, x[:2], get='nngp')).all()


def test_x1_is_x2_by_value(x):
    assert NET.kernel_fn(x, x.copy()).x1_is_x2 and NET.kernel_fn(x).x1_is_x2
    assert not NET.kernel_fn(x, x[::-1]).x1_is_x2 and not NET.kernel_fn(x, x[:3]).x1_is_x2


def test_gelu_approximate_changes_the_finite_network_alone(x):
    exact, tanh = serial(D(3), Gelu()), serial(D(3), Gelu(approximate=True))
    assert (exact.kernel_fn(x, get='ntk') == tanh.kernel_fn(x, get='ntk')).all()
    params = exact.init_fn(1, x.shape)[1]
    difference = abs(exact.apply_fn(params, x) - tanh.apply_fn(params, x)).max()
    assert 1e-7 < difference < 1e-3


def test_stabilizing_has_no_effect(x):
    for layer in (Relu, Abs):
        a, b = (serial(D(3), layer(do_stabilize=flag)).kernel_fn(x, get='ntk') for flag in (False, True))
        assert (a == b).all()


def test_elementwise_without_one_of_its_functions(x):
    def phi(z):
        return z * z

    def dual(k, q1, q2):
        return 2 * k * k + q1 * q2
    net = serial(D(3), Elementwise(phi))
    assert net.apply_fn(net.init_fn(1, x.shape)[1], x).shape == (4, 3)
    assert 'no kernel: give nngp_fn' in refusal(NotImplementedError, net.kernel_fn, x)
    net = serial(D(3), Elementwise(nngp_fn=dual))
    assert (net.kernel_fn(x, get='nngp') == serial(D(3), Elementwise(phi, dual)).kernel_fn(x, get='nngp')).all()
    assert_close(net.kernel_fn(x, get='ntk'), serial(D(3), Monomial(2)).kernel_fn(x, get='ntk'), 'value', 10.)
    assert 'no finite network: give fn' in refusal(NotImplementedError, net.apply_fn, net.init_fn(1, x.shape)[1], x)
    assert 'expected fn or nngp_fn or both, got neither' in refusal(ValueError, Elementwise)


def parts(net):
    """The layers that a network is made of."""
    below = getattr(net, 'layers', None) or ([net.block] if hasattr(net, 'block') else [])
    return [part for layer in below for part in parts(layer)] or [net]


ENTRY_BY_ENTRY = {repr(layer): layer for _, net in ANYWHERE for layer in parts(net)
                  if isinstance(layer, (stax.layers.nonlinearity.Nonlinearity, Identity, Dropout))
                  and not isinstance(layer, ExpNormalized)}


@pytest.mark.parametrize('name', ENTRY_BY_ENTRY)
def test_elementwise_layers_take_arrays_of_any_shape(name, rng):
    """As functions of numbers: the same as on one row, which has a batch axis and a channel axis."""
    layer, z = ENTRY_BY_ENTRY[name], rng.standard_normal(24)
    whole = layer.apply_fn((), z[None], rng=3)[0]
    for net, params in (layer, ()), (serial(layer, repeat(Identity(), 2)), [(), [(), ()]]):
        for shape in (24,), (2, 3, 4), (6, 4):
            out = net.apply_fn(params, z.reshape(shape), rng=3)
            if not isinstance(layer, Dropout) or net is layer:
                assert out.shape == shape and (out.ravel() == whole).all()
        for a in z[0], z[:1].reshape(()), z[:0]:
            assert net.apply_fn(params, a, rng=3).shape == a.shape


def test_other_layers_ask_for_a_batch_and_channels(x):
    for net in D(3), LayerNorm(), serial(Relu(), D(3)), FanOut(2):
        assert 'batch and channels on different axes' in refusal(LayerError, net.apply_fn, (), x[0])
    assert 'expected an array' in refusal(TypeError, Erf().apply_fn, (), 1.)


@pytest.mark.parametrize('deg', [60, None])
@pytest.mark.parametrize('layer', [Erf(), Gelu(), Sin(1., 1., .3)], ids=repr)
def test_the_kernel_of_a_layer_from_its_finite_network(layer, deg, x):
    def phi(z):
        return layer.apply_fn((), z)
    net = serial(D(3, .6), ElementwiseNumerical(phi, deg))
    k, wanted = net.kernel_fn(x, x[::-1]), serial(D(3, .6), layer).kernel_fn(x, x[::-1])
    assert abs(k.nngp - wanted.nngp).max() < 1e-12 and abs(k.ntk - wanted.ntk).max() < 1e-11


def relu_nngp(k, q1, q2):
    """Cho & Saul 2009, by arccos: its derivative by autograd is NaN where u = v, and it is NaN at q = 0."""
    s = anp.sqrt(q1 * q2)
    angle = anp.arccos(anp.clip(k / s, -1, 1))
    return s / (2 * pi) * (anp.sin(angle) + (pi - angle) * anp.cos(angle))


NO_COVARIANCES = {                                              # and inputs for which it shows
    'tanh(K), of different lengths': (lambda k, q1, q2: numpy.tanh(k), [[1.], [.2]]),
    'negative': (lambda k, q1, q2: -k, [[1.], [2.]]), 'shifted': (lambda k, q1, q2: k - .5 * q1, [[1., 0.], [.9, .1]]),
    'q alone': (lambda k, q1, q2: q1 + 0 * k, [[1.], [.5]]), 'NaN': (lambda k, q1, q2: k / (q1 - q1), [[1.], [.5]]),
    'NaN at q = 0': (relu_nngp, [[1.], [0.]])}


@pytest.mark.parametrize('get', ['nngp', None])
@pytest.mark.parametrize('name', NO_COVARIANCES)
def test_what_is_no_covariance_is_refused(name, get):
    """|K'| <= sqrt(Q Q'): Cauchy and Schwarz."""
    nngp_fn, x = NO_COVARIANCES[name]
    net = serial(D(3), Elementwise(nngp_fn=nngp_fn, d_nngp_fn=lambda k, q1, q2: 0 * k))
    with numpy.errstate(all='ignore'):
        message = refusal(LayerError, net.kernel_fn, numpy.array(x), get=get)
    assert message.startswith('layer 1, Elementwise(') and "expected nngp_fn to give covariances, |K'| <= " in message
    assert 'at K = ' in message and ', q = ' in message


def test_the_value_that_is_refused():
    x = numpy.array([[.3], [1.]])
    message = refusal(LayerError, serial(D(3), Elementwise(nngp_fn=lambda k, q1, q2: numpy.tanh(k))).kernel_fn, x)
    assert "got K' = 0.291313, Q = 0.0897578, Q' = 0.761594 at K = 0.3, q = 0.09, q' = 1." in message


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_functions_that_are_not_symmetric(dtype):
    """Refused on every path, where |K'| <= sqrt(Q Q') does not show it; what rounding alone makes differ is taken."""
    x = numpy.array([[.3, .1], [.2, -.5], [1, 2]], dtype)
    net = serial(D(1), Elementwise(nngp_fn=lambda k, q1, q2: k * q1, d_nngp_fn=lambda k, q1, q2: q1))
    for call in (lambda: batch(net, 2)(x, None, 'nngp'), lambda: net.kernel_fn(x[:1], x[1:], 'nngp'),
                 lambda: net.kernel_fn(x[:2], get='ntk')):
        message = refusal(LayerError, call)
        assert "to be the same where q and q' change places" in message
        assert 'got 0.00025 and 0.000725 at K = 0.005, q = 0.05, q\' = 0.145.' in message
    net = serial(D(1), Elementwise(nngp_fn=lambda k, q1, q2: k * (q1 ** .3 * q2) / q1 ** .3 / q2))
    close = dict(rtol=1e-6 if dtype == 'float32' else 1e-14)
    numpy.testing.assert_allclose(net.kernel_fn(x, x[1:], 'nngp'), x @ x[1:].T / 2, **close)


@pytest.mark.parametrize('net, shape, what', [
    (serial(stax.Conv(1, (2, 2)), Relu(), stax.Index((slice(None), slice(2, 2))), stax.Flatten(), D(1)), (3, 4, 4, 2),
     'position'), (serial(stax.Flatten(), D(1)), (3, 4, 0), 'channel'),
    (D(1), (3, 0), 'channel'), (stax.Conv(1, (2,)), (3, 4, 0), 'channel'),
    (serial(stax.Index((slice(None), slice(0, 0))), D(1)), (3, 4), 'channel')])
def test_nothing_to_weigh(net, shape, what):
    """Refused by the finite network as by the infinite one."""
    for call in (lambda: net.init_fn(0, shape), lambda: net.apply_fn((((), ()),) * 5, numpy.ones(shape))):
        assert f'expected at least one {what}' in refusal(LayerError, call)


def test_relu_by_its_own_nngp_fn(x):
    """Its kernel wherever the slope is a number; a slope that is none asks for d_nngp_fn."""
    def slope(k, q1, q2):
        return (pi - numpy.arccos(numpy.clip(k / numpy.sqrt(q1 * q2), -1, 1))) / (2 * pi)
    nets = [serial(D(3), layer, D(3)) for layer in (
        Elementwise(nngp_fn=relu_nngp), Elementwise(nngp_fn=relu_nngp, d_nngp_fn=slope), Relu())]
    away = numpy.concatenate([x[1:] + .1, -x[:1]])
    given, wanted = (net.kernel_fn(x, away, 'ntk') for net in nets[1:])
    assert_close(nets[0].kernel_fn(x, away[:-1], 'ntk'), wanted[:, :-1], 'value', wanted.max())
    assert abs(given - wanted).max() < 1e-7                             # arccos has half the digits where u = -v
    assert_close(nets[0].kernel_fn(x, get='nngp'), nets[2].kernel_fn(x, get='nngp'), 'value', 10.)
    assert abs(nets[1].kernel_fn(x, get='ntk') - nets[2].kernel_fn(x, get='ntk')).max() < 1e-7
    with numpy.errstate(all='ignore'):
        for arguments in (x, None, 'ntk'), (x, x, 'ntk'), (x,), (x, -x, 'ntk'):
            message = refusal(LayerError, nets[0].kernel_fn, *arguments)
            assert 'the derivative of nngp_fn by autograd to be finite, got nan at K = ' in message
            assert 'Give d_nngp_fn' in message


def test_masked_positions_of_an_nngp_fn_may_be_anything(rng):
    """They are set to 0 after the layer."""
    x = rng.standard_normal((3, 4, 2))
    x[0, 2:], x[1, 3:] = 9, 9
    conv = stax.Conv(3, (2,), padding='SAME', W_std=1.2)
    nets = [serial(conv, layer, stax.GlobalAvgPool()) for layer in (Elementwise(nngp_fn=relu_nngp), Relu())]
    with numpy.errstate(all='ignore'):
        k, wanted = (net.kernel_fn(x, get='nngp', mask_constant=9) for net in nets)
    assert_close(k, wanted, 'value', wanted.max())


def test_names_are_not_case_sensitive(x):
    assert (NET.kernel_fn(x, get='NTK') == NET.kernel_fn(x, get='ntk')).all()
    assert NET.kernel_fn(x, get=('NNGP', 'Cov1'))._fields == ('nngp', 'cov1')
    assert D(3, parameterization='Standard') == D(3, parameterization='standard')


def test_networks_unpack(x):
    init_fn, apply_fn, kernel_fn = NET
    assert len(NET) == 3 and (init_fn, apply_fn, kernel_fn) == (NET[0], NET[1], NET[2])
    shape, params = init_fn(0, (-1, 3))
    assert shape == (-1, 4) and apply_fn(params, x).shape == (4, 4) and kernel_fn(x, get='ntk').shape == (4, 4)


def test_kernels_replace(x):
    k = NET.kernel_fn(x)
    changed = k.replace(nngp=2 * k.nngp)
    assert (changed.nngp == 2 * k.nngp).all() and changed.gap is None is changed.area
    assert k.replace(ntk=None).gap is k.gap and k.asdict()['nngp'] is k.nngp and set(k.asdict()) > {'cov1', 'shape2'}
    assert_close(Relu().kernel_fn(k.replace(nngp=k.nngp), get='nngp'), Relu().kernel_fn(k, get='nngp'), 'value', 10.)
    without = D(3).kernel_fn(k.replace(ntk=None))
    assert without.ntk is None
    assert Kernel(k.nngp, k.ntk, k.cov1, None, True, True).is_gaussian is True
    for flag in (dict(is_reversed=True), dict(diagonal_batch=False)):
        assert 'natural order' in refusal(ValueError, Kernel, k.nngp, **flag)


def test_kernels_of_inputs(x):
    """`is_input` says nothing here: scripts give it, and Dropout alone reads it in Neural Tangents."""
    given = dict(nngp=x @ x.T / 3, ntk=None, cov1=(x * x).mean(1), x1_is_x2=True, shape1=x.shape, shape2=x.shape)
    for layer in D(3, 1.2, .1), Dropout(.5):
        k, expected = layer.kernel_fn(Kernel(**given, is_input=True)), layer.kernel_fn(x)
        assert_close(k.nngp, expected.nngp, 'value', 10.)
        assert (layer.kernel_fn(Kernel(**given)).replace(is_input=True).nngp == k.nngp).all()


@pytest.mark.parametrize('given, message', [
    *((dict([(field, value)]), f'{field} to be an array, got {type(value).__name__}. Convert it with numpy.asarray')
      for field, value in [('nngp', 'garbage'), ('nngp', None), ('nngp', [[1.]]), ('nngp', 1.), ('ntk', 'no'),
                           ('ntk', 3), ('cov1', [1.]), ('cov2', {}), ('gap', 0), ('mask1', True)]),
    *((dict([(flag, value)]), f'{flag} is expected to be True or False, got {value!r}')
      for flag in ('x1_is_x2', 'is_gaussian', 'is_reversed', 'is_input', 'diagonal_batch', 'diagonal_spatial')
      for value in ('False', 1, 0, None, 1.))])
def test_kernels_of_anything(given, message):
    with pytest.raises(TypeError, match=f'Kernel: {message}'):
        Kernel(**dict(nngp=numpy.eye(2)) | given)
    with pytest.raises(TypeError, match=f'Kernel: {message}'):
        Kernel(numpy.eye(2)).replace(**given)
    assert Kernel(numpy.eye(2), 0, x1_is_x2=numpy.True_, is_gaussian=numpy.array(False)).x1_is_x2 is True


# ------------------------------------------------------------------ inputs that are refused

@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf, -numpy.inf])
def test_inputs_that_are_not_finite(bad, x):
    y = x.copy()
    y[1, 0] = y[3, 2] = bad
    for arguments, name in [((y,), 'x1'), ((y, x), 'x1'), ((x, y), 'x2')]:
        message = refusal(ValueError, NET.kernel_fn, *arguments)
        assert f'2 of the 4 rows of {name}: 1, 3.' in message and 'Remove or impute them' in message
    many = numpy.full((30, 3), bad)
    assert 'in 30 of the 30 rows of x1: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ....' in refusal(ValueError, NET.kernel_fn, many)
    across = D(3, batch_axis=1, channel_axis=0)
    assert '2 of the 4 rows of x1: 1, 3.' in refusal(ValueError, across.kernel_fn, y.T)
    spatial = numpy.zeros((3, 2, 2, 5))
    spatial[2, 1, 0, 3] = bad
    assert '1 of the 3 rows of x1: 2.' in refusal(ValueError, NET.kernel_fn, spatial)
    assert '2 of the 4 rows of x1' in refusal(ValueError, parallel(D(3), D(3)).kernel_fn, [x, y])


def test_features_that_differ(x):
    message = refusal(ValueError, NET.kernel_fn, x, x[:, :2])
    assert 'equal shapes but for the batch axis 0, got (4, 3) and (4, 2)' in message
    message = refusal(ValueError, NET.kernel_fn, x, x[:, None])
    assert 'got (4, 3) and (4, 1, 3)' in message
    assert 'at least one channel on axis 1 of x1, got shape (4, 0)' in refusal(ValueError, NET.kernel_fn, x[:, :0])
    message = refusal(ValueError, NET.kernel_fn, x[0])
    assert 'expected x1 with a batch axis and a channel axis, got shape (3,)' in message and 'x[:, None]' in message


@pytest.mark.parametrize('given, parts', [
    ('abc', ['got str', 'numpy.asarray']),
    (3., ['got float', 'numpy.asarray']),
    ({'x': 1}, ['got dict', 'numpy.asarray']),
    (None, ['no']),
    (numpy.array([[1 + 2j, 0]]), ['real numbers', 'complex128', '(1, 2)']),
    (numpy.array([['1', '2']]), ['real numbers', '<U1']),
    (numpy.array([['2020-01-01']], dtype='datetime64[D]'), ['real numbers', 'datetime64']),
    (numpy.array([[None, 1.]], dtype=object), ['mpf', 'None']),
    (numpy.array([['a', 1.]], dtype=object), ["'a'"]),
    (numpy.array([[object(), 1.]], dtype=object), ['mpf', 'object']),
    (numpy.array([[1j, 1.]], dtype=object), ['mpf', '1j'])])
def test_inputs_that_are_no_numbers(given, parts):
    message = refusal(TypeError, NET.kernel_fn, given)
    assert all(part in message for part in parts), message


def test_kinds_that_do_not_mix(x, cupy):
    for a, b in [(cupy.asarray(x), x), (x, cupy.asarray(x))]:
        message = refusal(TypeError, NET.kernel_fn, a, b)
        assert 'cupy and numpy' in message and 'Convert them to one kind' in message


@pytest.mark.parametrize('get', ['bogus', '', (), ('nngp', 'nngp'), ('nngp', 'NNGP'), ('nngp', 5), 5, b'nngp'])
def test_what_cannot_be_got(get, x, monkeypatch):
    monkeypatch.setattr(stax.plan, 'input_kernel', None)                   # nothing is computed
    names = get if isinstance(get, tuple) else (get,)
    error = ValueError if all(isinstance(name, str) for name in names) else TypeError
    message = refusal(error, NET.kernel_fn, x, get=get)
    assert "'nngp', 'ntk', 'cov1', 'cov2'" in message and f'got {get!r}' in message


def test_lists_of_inputs_that_do_not_fit(x):
    """A list where one input is expected, one input where a list is, and another number of them."""
    for call, tree in ((NET.kernel_fn, [x, x]), (NET.init_fn, [(4, 3), (4, 3)])):
        message = refusal(ValueError, *((call, tree) if call == NET.kernel_fn else (call, 1, tree)))
        assert 'expected one input, got a list of 2' in message and 'numpy.asarray' in message
    for call in (parallel(D(3), D(4)).kernel_fn, serial(parallel(D(3), D(4)), FanInConcat()).kernel_fn):
        message = refusal(ValueError, call, x)
        assert 'expected a list of 2 inputs, one a branch, got a single one' in message and 'FanOut(2)' in message
    message = refusal(ValueError, parallel(D(3), D(4)).init_fn, 1, (4, 3))
    assert 'expected a list of 2 inputs' in message and 'got a single one' in message
    for given in ([x, x, x], [x], []):
        message = refusal(ValueError, parallel(D(3), D(4)).kernel_fn, given)
        assert f'2, got {len(given)}' in message
    message = refusal(ValueError, parallel(D(3), D(4)).kernel_fn, [x, x], [x])
    assert '2, got 2 in x1 and 1 in x2' in message
    message = refusal(ValueError, parallel(D(3), D(4)).kernel_fn, [x, x], x)
    assert '2, got 2 in x1 and ndarray in x2' in message


def test_too_many_or_too_few_branches(x):
    message = refusal(LayerError, serial(D(3), FanOut(3), parallel(Relu(), Erf()), FanInConcat()).kernel_fn, x)
    assert 'layer 2, parallel(Relu(), Erf()): expected a list of 2 inputs, one a branch, got 3 of them' in message
    message = refusal(LayerError, serial(D(3), parallel(Relu(), Erf()), FanInConcat()).kernel_fn, x)
    assert message.startswith('layer 0, Dense(3): expected to be followed by a layer with one input, got one with 2.')
    assert 'FanOut(2)' in message


def test_kernels_as_first_argument_stand_for_both(x):
    message = refusal(ValueError, D(3).kernel_fn, D(3).kernel_fn(x), x)
    assert 'expected x2=None with a Kernel as x1' in message


# ------------------------------------------------------------------ networks that are refused, nothing being computed

@pytest.mark.parametrize('net, place', [
    (Relu(), 'Relu(): '),
    (LayerNorm(), 'LayerNorm(): '),
    (serial(Relu(), D(3)), 'layer 0, Relu(): '),
    (serial(D(3), Relu(), Erf()), 'layer 2, Erf(): '),
    (serial(D(3), Relu(), LayerNorm()), 'layer 2, LayerNorm(): '),
    (serial(D(3), Dropout(.5), Relu()), 'layer 2, Relu(): '),
    (serial(D(8), Relu(), serial(D(3), Relu(), Abs()), D(1)), 'layer 2.2, Abs(): '),
    (serial(D(8), Relu(), serial(D(3), serial(Relu(), LeakyRelu(.1))), D(1)), 'layer 2.1.1, LeakyRelu(0.1): '),
    (serial(FanOut(2), parallel(D(4), serial(Relu())), FanInSum()), 'layer 1.1.0, Relu(): '),
    (serial(D(4), repeat(Relu(), 2)), 'layer 1.1, Relu(): '),
    (serial(FanOut(2), parallel(D(3), D(4)), FanInConcat(), Gelu()), 'layer 3, Gelu(): '),
    (serial(FanOut(2), parallel(D(3), D(3)), FanInProd(), Gelu()), 'layer 3, Gelu(): ')])
def test_inputs_that_are_not_gaussian(net, place, x, monkeypatch):
    monkeypatch.setattr(stax.plan, 'input_kernel', no_input_kernel)
    message = refusal(LayerError, net.kernel_fn, x)
    assert message.startswith(place + 'expected a Gaussian input'), message
    assert 'Insert Dense before it' in message
    if place.startswith('layer'):
        with pytest.raises(LayerError) as caught:
            net.kernel_fn(x)
        assert '.'.join(map(str, caught.value.path)) == place.split(',')[0].removeprefix('layer ')
        assert repr(caught.value.layer) in place


FLIPPED = dict(batch_axis=1, channel_axis=0)


@pytest.mark.parametrize('net, parts', [
    (serial(D(3), D(3, **FLIPPED)), ['layer 1, Dense(3, batch_axis=1, channel_axis=0): ', 'axes 1 and 0', '0 and 1',
                                     '(4, 3)']),
    (serial(D(3), LayerNorm(axis=0)), ['layer 1, LayerNorm(0): ', 'channel axis 1', '(4, 3)', 'axis=0']),
    (serial(FanOut(2), parallel(D(3), D(4)), FanInSum()), ['layer 2, FanInSum(): ', '(4, 3), (4, 4)', 'same shape']),
    (serial(FanOut(2), parallel(D(3), D(4)), FanInProd()), ['layer 2, FanInProd(): ', '(4, 3), (4, 4)', 'same shape']),
    (serial(FanOut(2), FanInSum()), ['layer 1, FanInSum(): ', 'Gaussian branches', '[False, False]', 'Dense']),
    (serial(D(3), FanOut(2), parallel(Relu(), Identity()), FanInSum()), ['layer 3, FanInSum(): ', '[False, True]']),
    (serial(FanOut(2), parallel(D(3), D(4)), FanInConcat(0)), ['layer 2, FanInConcat(0): ', 'but for axis 0',
                                                               '(4, 3), (4, 4)']),
    (serial(D(3), FanInSum()), ['layer 1, FanInSum(): ', 'expected a list of inputs', 'FanOut and parallel']),
    (repeat(D(5), 2), ['repeat(Dense(5), 2): ', 'keeps the shape', '(4, 3) to (4, 5)']),
    (serial(D(3), repeat(serial(Relu(), D(4)), 2)), ['layer 1, repeat(', '(4, 3) to (4, 4)'])])
def test_shapes_that_do_not_fit(net, parts, x, monkeypatch):
    monkeypatch.setattr(stax.plan, 'input_kernel', no_input_kernel)
    message = refusal(LayerError, net.kernel_fn, x)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize('net', [
    D(3, channel_axis=0), D(3, batch_axis=1), D(3, channel_axis=2), D(3, batch_axis=-3),
    serial(D(3), LayerNorm(axis=7)), serial(FanOut(2), parallel(D(3), D(4)), FanInConcat(3))], ids=repr)
def test_axes_that_do_not_exist_or_coincide(net, x):
    """Of a two-dimensional input; not taken modulo its number of axes, which would be another axis in silence."""
    message = refusal(ValueError, net.kernel_fn, x)
    assert 'expected' in message and 'got' in message and ('axis' in message or 'axes' in message), message


def test_random_layers_need_a_seed(x):
    net = serial(D(3), Dropout(.5))
    message = refusal(LayerError, net.apply_fn, net.init_fn(1, x.shape)[1], x)
    assert message.startswith('layer 1, Dropout(0.5): expected rng, a seed or numpy Generator')


def test_finite_networks_that_do_not_exist(x):
    net = serial(D(3), ExpNormalized(2.))
    message = refusal(NotImplementedError, net.apply_fn, net.init_fn(1, x.shape)[1], x)
    assert 'ExpNormalized(2.0) is a kernel without a finite network; use kernel_fn' in message


def test_infinite_second_moments(x):
    net = serial(D(3), Gaussian(1., .5), D(1))
    message = refusal(LayerError, net.kernel_fn, 10 * x)
    assert message.startswith('layer 1, Gaussian(b=0.5): expected variances q with 4 b q < 1')
    q = D(3).kernel_fn(10 * x, get='cov1').max()
    assert f'q = {q:.3g} at b = 0.5' in message and 'Scale the weights down' in message


# ------------------------------------------------------------------ arguments that are refused

@pytest.mark.parametrize('error, build, parts', [
    (ValueError, lambda: D(0), ['Dense', 'out_dim', '>= 1', 'got 0']),
    (ValueError, lambda: D(3.), ['Dense', 'out_dim', 'whole number', 'got 3.0']),
    (ValueError, lambda: D(True), ['Dense', 'out_dim', 'got True']),
    (TypeError, lambda: D(3, '1'), ['Dense: W_std', "got '1' of type str"]),
    (TypeError, lambda: D(3, None), ['Dense: W_std', 'got None']),
    (ValueError, lambda: D(3, numpy.nan), ['Dense: W_std', 'finite', 'nan']),
    (TypeError, lambda: D(3, 1., numpy.ones(2)), ['Dense: b_std', 'array of shape (2,)', 'phase-diagrams']),
    (ValueError, lambda: D(3, parameterization='mup'), ["'ntk' or 'standard'", "got 'mup'"]),
    (ValueError, lambda: D(3, s=(1, 0)), ['Dense', 's ', '> 0', '(1, 0)']),
    (ValueError, lambda: D(3, s=(1,)), ['Dense', 'two numbers', '(1,)']),
    (ValueError, lambda: Dropout(0.), ['Dropout', '0 < rate <= 1', 'probability to keep', 'got 0.0']),
    (ValueError, lambda: Dropout(1.5), ['Dropout', 'got 1.5']),
    (ValueError, lambda: Dropout(-.5), ['Dropout', 'got -0.5']),
    (ValueError, lambda: Dropout(.5, 'TRAIN'), ['Dropout', "'train' or 'test'", "'TRAIN'"]),
    (ValueError, lambda: LayerNorm(eps=0.), ['LayerNorm', 'eps > 0', 'got 0.0']),
    (ValueError, lambda: RMSNorm(eps=-1.), ['RMSNorm', 'eps > 0', 'got -1.0']),
    (ValueError, lambda: Hermite(-1), ['Hermite: degree', 'whole number >= 0', 'got -1']),
    (ValueError, lambda: Monomial(-1), ['Monomial', 'got -1']),
    (ValueError, lambda: Monomial(1.5), ['Monomial', 'got 1.5']),
    (ValueError, lambda: RectifiedMonomial(-2), ['RectifiedMonomial', 'got -2']),
    (ValueError, lambda: Rbf(-1.), ['Rbf', 'gamma', 'got -1.0']),
    (TypeError, lambda: Polynomial((1., 'a')), ['Polynomial: coef', "'a'"]),
    (TypeError, lambda: Polynomial(3.), ['Polynomial', 'coef', '3.0']),
    (ValueError, lambda: FanOut(0), ['FanOut', '>= 1', 'got 0']),
    (ValueError, lambda: repeat(D(3), -1), ['repeat', '>= 0', '-1']),
    (ValueError, lambda: repeat(Relu, 2), ['repeat', 'Relu']),
    (ValueError, lambda: serial(), ['serial', 'at least one layer']),
    (ValueError, lambda: parallel(), ['parallel', 'at least one layer']),
    (TypeError, lambda: serial(D(3), Relu), ['serial', 'such as Relu()', 'number 1']),
    (TypeError, lambda: serial([D(3)]), ['serial', 'got [Dense(3)]', 'number 0'])])
def test_arguments_that_are_refused(error, build, parts):
    message = refusal(error, build)
    assert all(part in message for part in parts), message


def test_whole_numbers_of_numpy_are_whole_numbers(x):
    assert D(numpy.int64(3)).kernel_fn(x).shape1 == (4, 3)
    assert D(3).init_fn(1, tuple(numpy.array([4, 3])))[0] == (4, 3)
    assert json.loads(json.dumps(D(numpy.int64(3), numpy.float64(2.)).to_spec())) == {
        'layer': 'Dense', 'out_dim': 3, 'W_std': 2.}


# ------------------------------------------------------------------ networks as text

@pytest.mark.parametrize('spec, parts', [
    ({'layer': 'Densest'}, ['Dense', 'Relu', "got 'Densest'"]),
    ({'layer': 'Dense', 'out_dim': 3, 'width': 1}, ['Dense', "'W_std'", "'width'"]),
    ({'layer': 'Dense'}, ['Dense', "missing ['out_dim']"]),
    ({'layer': 'serial', 'layers': [{'layer': 'Dense', 'out_dim': 3}, {'layer': 'Dense'}]}, ["missing ['out_dim']"]),
    ({'layer': 'serial', 'layers': [{'layer': 'parallel', 'layers': [{'layer': 'Foo'}]}]}, ["got 'Foo'"]),
    ({'layer': 'serial', 'layers': []}, ['at least one layer']),
    ({'layer': 'serial'}, ["missing ['layers']"]),
    ({'layers': []}, ["'layer': name"]), ({}, ["'layer': name"]), ([], ["'layer': name", '[]']),
    ('Dense(3)', ["'layer': name", 'Dense(3)']), (None, ["'layer': name", 'None']),
    ({'layer': 'Layer'}, ["got 'Layer'"]), ({'layer': '_Nonlinearity'}, ["got '_Nonlinearity'"]),
    ({'layer': '_FanIn'}, ["got '_FanIn'"]), ({'layer': ['Dense']}, ["['Dense']"]), ({'layer': None}, ['None']),
    ({'layer': '__import__'}, ["got '__import__'"])])
def test_specs_that_are_refused(spec, parts):
    message = refusal(ValueError, from_spec, spec)
    assert all(part in message for part in parts), message


def test_unknown_layers_are_told_the_public_names():
    message = refusal(ValueError, from_spec, {'layer': 'Foo'})
    listed = set(message.partition('out of ')[2].partition(';')[0].split(', '))
    ours = {name for name in listed if stax.Layer.registry[name].is_ours()}
    assert ours == set(stax.__all__) - NOT_LAYERS


@pytest.mark.parametrize('net', [stax.DotGeneral(rhs=2.), serial(FanOut(2), FanInConcat())], ids=repr)
def test_tangent_kernels_without_weights_are_arrays(net, x):
    """Of layers that multiply: 0 times a float is no array."""
    ntk = net.kernel_fn(x, get='ntk')
    assert ntk.shape == (4, 4) and not ntk.any() and (net.kernel_fn(x).ntk == ntk).all()


def test_specs_do_not_name_functions():
    """Text where a function is expected is refused at once, not when it is called."""
    with pytest.raises((TypeError, ValueError), match='Elementwise'):
        from_spec({'layer': 'Elementwise', 'fn': 'os.system', 'nngp_fn': 'f'})


def test_specs_of_functions_are_refused():
    net = serial(D(3), serial(Identity(), Elementwise(numpy.sin)))
    message = refusal(LayerError, net.to_spec)
    assert 'Elementwise(sin): expected fn to be a number, text or layer to write it as JSON' in message


def test_repr_by_hand():
    assert repr(D(512, 1.5, .1)) == 'Dense(512, 1.5, 0.1)' and repr(D(8, b_std=.5)) == 'Dense(8, b_std=0.5)'
    assert repr(serial(D(8), repeat(serial(Relu(), D(8)), 2), parallel(LeakyRelu(.5)), FanInConcat(-1))) == (
        'serial(Dense(8), repeat(serial(Relu(), Dense(8)), 2), parallel(LeakyRelu(0.5)), FanInConcat())')
    assert repr(Polynomial((1, 2.5))) == 'Polynomial((1, 2.5))'
    assert repr(Dropout(.5, mode='test')) == "Dropout(0.5, 'test')"


def test_spec_by_hand():
    assert serial(D(8, 2.), Relu(), repeat(Identity(), 2)).to_spec() == {'layer': 'serial', 'layers': [
        {'layer': 'Dense', 'out_dim': 8, 'W_std': 2.}, {'layer': 'Relu'},
        {'layer': 'repeat', 'block': {'layer': 'Identity'}, 'n': 2}]}


# ------------------------------------------------------------------ any number of digits

@pytest.mark.parametrize('build', [
    lambda n: serial(D(3, n(1.3), n(.2)), Erf(n(1.2), n(.7), n(.3)), D(1, n(.9))),
    lambda n: serial(D(3, n(1.3), s=(1, n(1.5)), parameterization='standard'), Polynomial((n(.1), n(.2), n(.3))), D(1)),
    lambda n: serial(D(3, n(1.3)), LayerNorm(eps=n(.1)), ABRelu(n(.1), n(.7)), Dropout(n(.7)), D(1, b_std=n(.3)))])
def test_numbers_are_exact_beside_mpmath(build, x, mp50):
    """A Python float among the arguments is taken for what it is, not squared in double precision."""
    exact = numpy.array([[mp50.mpf(float(v)) for v in row] for row in x], dtype=object)
    given, expected = (build(number).kernel_fn(exact) for number in (float, lambda v: mp50.mpf(float(v))))
    assert (given.nngp == expected.nngp).all() and (given.ntk == expected.ntk).all()


@pytest.mark.parametrize('tail', [(stax.GlobalAvgPool(),), (stax.Conv(3, (3,)), Relu(), stax.Flatten())])
def test_a_kink_asks_for_areas_whatever_follows(tail, rng):
    """Positions of one channel are parallel: from the gap alone their angle, 0 or pi, has half its digits."""
    net, x = serial(D(3, 1.06), Relu(), *tail), rng.standard_normal((3, 8, 1))
    exact = net.kernel_fn(to_kind('mpmath', x), get='ntk').astype(float)
    assert abs(net.kernel_fn(x, get='ntk') / exact - 1).max() < 1e-14


@pytest.mark.parametrize('activation', [Relu(), stax.Gelu(), Erf()], ids=repr)
@pytest.mark.parametrize('n', [1, 3, 20])
def test_inputs_of_very_different_lengths(activation, n, rng):
    """Areas beside long inputs are those of the short ones, parallel and opposite ones included."""
    a, b = rng.standard_normal((2, n))
    near = 1e-5 * rng.standard_normal(n)
    x = numpy.stack([a, 1e-12 * a, 1e12 * (a + near), -1e-7 * (a - near), 1e7 * b, 1e-12 * b])
    for net in serial(Dense(8, 1.3), activation, Dense(1)), serial(Dense(8, 1.3, .2), activation, Dense(1)):
        k = net.kernel_fn(x, get=('nngp', 'ntk'))
        for i, j in numpy.ndindex(6, 6):
            state = reference.kernel(net.to_spec(), x[i], x[j])
            for actual, expected, scale in zip((k.nngp, k.ntk), (state.k, state.t), state.scales):
                assert abs(actual[i, j] - expected) <= 1e-14 * scale, (i, j)
