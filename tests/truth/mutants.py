"""Would the tests notice? Deliberately wrong recursions, each of which `check_suite` must refuse.

`check_suite` is the suite in small: kernels against 120 digits (`reference`, `reference_conv`), which know nothing of
the code, and a few numbers worked out by hand. It passes on the code as it is. MUTANTS changes one formula at a time,
and says by which check (at least) that must be seen.
"""
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from math import prod
from unittest import mock

import autograd.numpy
import brute
import chains
import finite_functions
import numpy
import posteriors
import ragged
import reference
import reference_conv
import training
from autograd import elementwise_grad
from autograd.scipy.special import erf
from scipy.linalg import sqrtm
from scipy.stats import multivariate_normal

from ntref import (
    duals, empirical_ntk_fn, empirical_ntk_vp_fn, monte_carlo_kernel_fn, predict, taylor_expand, windows)
from ntref.arrays import namespace
from ntref.duals import angle, exponential_unit, fast, gaps, generic, geometry, pair, series, smooth_gaps, truncated
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.empirical import jacobian, monte_carlo, pairing, plan, products, record, rules, structured, taylor, weights
from ntref.recursion.tile import BLOCK
from ntref.predict import bayes, discrete, factor, network_evidence, preconditioner, sampling
from ntref.quadrature import expectation
from ntref.recursion import start, tile, tiled
from ntref.recursion.kernel import Kernel
from ntref.recursion.steps import Steps
from ntref.recursion.tile import Tile
from ntref.stax import (
    Aggregate, AvgPool, Conv, ConvLocal, ConvTranspose, Dense, DotGeneral, Dropout, Elu, Erf, ExpNormalized,
    FanInConcat, FanInProd, FanInSum, FanOut, Flatten, Gabor, Gaussian, Gelu, GlobalAvgPool, GlobalSelfAttention,
    HardTanh, Hermite, Identity, ImageResize, Index, LayerNorm, LeakyRelu, Polynomial, RectifiedMonomial, Relu, Relu6,
    Sign, Sin, Slice, SumPool, Tanh, combinators, masking, parallel, repeat, serial)
from ntref.stax.layer import Layer
from ntref.stax.layers import (
    attention, branching, conv, graph, mixing, normalization, pooling, reshaping, sliding, smooth)
from ntref.stax.layers.weighted import Weighted
from ntref.stax.network import KernelFunction
from ntref.windows import Window

kernel_gradient = import_module('ntref.predict.kernel_gradient')       # its function bears the same name
TOLERANCE = 2e-13           # relative to sqrt(q q'); the code stays below 3e-14 everywhere here

# ------------------------------------------------------------------ the suite in small

BASE = numpy.array([[.3, -1.2, .8], [1.1, .4, -.7], [-.6, .9, 1.5]])
STEP = 1e-8 * numpy.array([.4, .3, -.5])
X1 = numpy.array([*BASE, BASE[0], 0 * BASE[0]])
X2 = numpy.array([BASE[1], BASE[0] + STEP, -BASE[2], -BASE[0] - STEP, BASE[2] / 2])
standard = dict(parameterization='standard')

NETWORKS = {
    'dense': serial(Dense(8, 1.3, .4), Dense(8, .9, .7)),
    'relu': serial(Dense(8, 1.3, .4), Relu(), Dense(8, 1.2, .3), Relu(), Dense(8, 1.1)),
    'relu without bias': serial(Dense(8, 1.5), Relu(), Dense(8, 1.4), Relu(), Dense(8)),
    'leaky relu': serial(Dense(8, 1.3, .4), LeakyRelu(.2), Dense(8, 1.1)),
    'erf': serial(Dense(8, 1.3, .4), Erf(.7, 1.4, -.3), Dense(8, 1.1), Erf(), Dense(8)),
    'sin': serial(Dense(8, 1.3, .4), Sin(.8, 1.3, .4), Dense(8, 1.1, .2), Relu()),
    'gelu': serial(Dense(8, 1.3, .4), Gelu(), Dense(8, 1.1, .2)),
    'hermite': serial(Dense(8, .9, .2), Hermite(3), Dense(8, 1.1, .2)),
    'rectified monomial': serial(Dense(8, 1.1), RectifiedMonomial(2), Dense(8, 1.1, .2)),
    'standard': serial(Dense(8, 1.3, .4, **standard), Relu(), Dense(6, 1.2, **standard), Relu(),
                       Dense(5, 1.1, .3, **standard)),
    'standard, zero bias': serial(Dense(8, 1.3, 0., **standard), Relu(), Dense(6, 1.2, 0., **standard)),
    'standard, s': serial(Dense(8, 1.3, .4, s=(1, 2), **standard), Relu(), Dense(6, 1.2, .1, s=(2, 1), **standard)),
    'layer norm': serial(Dense(8, 1.3, .4), LayerNorm(eps=.1), Relu(), Dense(8, 1.1, .2)),
    'sum': serial(FanOut(2), parallel(Dense(8, 1.3, .4), serial(Dense(8, .7), Relu(), Dense(8))), FanInSum(), Relu()),
    'repeat': serial(Dense(8, 1.3), repeat(serial(Relu(), Dense(8, 1.3, .2)), 3)),
}
BEHIND = {                  # what a kink sees of the gap and of the area of the layer before
    'erf_area': Erf(.75, 1.25, .25), 'exp_normalized': ExpNormalized(.75, .125), 'gabor': Gabor(),
    'gaussian_lack': Gaussian(), 'gelu': Gelu(), 'polynomial': Polynomial((.25, -.5, .125, .0625)),
    'rectified_monomial': RectifiedMonomial(3), 'sin_area': Sin(.75, 1.25, .5)}
NETWORKS |= {f'kink behind {name}': serial(Dense(8, .9), layer, Dense(8, 1.1, .2), Relu(), Dense(8))
             for name, layer in BEHIND.items()}


@cache
def truth(name):
    """K and Theta, and the scales of both, each for X1 against X2 and for X1 against itself."""
    spec, tables = NETWORKS[name].to_spec(), []
    for a, b in ((X1, X2), (X1, X1)):
        states = [[reference.kernel(spec, x, y) for y in b] for x in a]
        tables.append(numpy.array([[(float(s.k), float(s.t), *map(float, s.scales)) for s in row] for row in states]))
    return [numpy.moveaxis(table, -1, 0) for table in tables]


def near(actual, expected, scale=1.):
    expected = numpy.asarray(expected)
    assert actual.shape == expected.shape and numpy.isfinite(actual).all()
    worst = (abs(actual - expected) / numpy.maximum(scale, 1e-3)).max()
    assert worst < TOLERANCE, f'off by {worst:.2g}'


def check_network(name):
    net, (mutual, own) = NETWORKS[name], truth(name)
    for k, (nngp, ntk, size, ntk_size) in ((net.kernel_fn(X1, X2), mutual), (net.kernel_fn(X1), own),
                                           (net.kernel_fn(X1, X1.copy()), own)):
        near(k.nngp, nngp, size)
        near(k.ntk, ntk, ntk_size)
        near(k.cov1, own[0].diagonal(), own[0].diagonal())


X, K = numpy.array([[1., 2.], [3., -1.]]), numpy.array([[2.5, .5], [.5, 5.]])


def check_product():
    net = serial(FanOut(3), parallel(Dense(4), serial(Dense(4, 2.), Dense(4)), Dense(4, 3.)), FanInProd())
    k = net.kernel_fn(X)
    near(k.nngp, 36 * K ** 3, 1e3)
    near(k.ntk, 4 * 36 * K ** 3, 1e3)


def check_concatenation():
    k = serial(FanOut(2), parallel(Dense(10), Dense(30, 2., 1.)), FanInConcat(), Dense(4)).kernel_fn(X)
    near(k.nngp, (10 * K + 30 * (4 * K + 1)) / 40, 10.)
    near(k.ntk, (10 * K + 30 * (4 * K + 1)) / 20, 10.)
    assert k.shape1 == (2, 4)


def check_dropout():
    k = serial(Dense(4), Dropout(.8), Dense(4)).kernel_fn(X)
    near(k.nngp, K * (1 + numpy.eye(2) / 4), 10.)
    near(k.ntk, 2 * K * (1 + numpy.eye(2) / 4), 10.)
    near(k.cov1, K.diagonal() * 1.25, 10.)


def check_positions():
    """Two positions an input: as four samples."""
    net = serial(Dense(8, 1.3, .4), Erf(), Dense(8, 1.1), Relu())
    x = numpy.array([[[1., 2.], [3., -1.]], [[.5, .5], [-2., 1.]]])
    rows = x.reshape(4, 2)
    states = [[reference.kernel(net.to_spec(), a, b) for b in rows] for a in rows]
    for i, name in enumerate(('k', 't')):
        expected = numpy.array([[float(getattr(s, name)) for s in row] for row in states]).reshape(2, 2, 2, 2)
        near(net.kernel_fn(x, get=('nngp', 'ntk'))[i], expected.transpose(0, 2, 1, 3), 10.)


def check_areas():
    """sqrt(q q' - K^2), of a short input beside a long one and of nearly equal ones."""
    q1, q2, k = numpy.array([[1e6, 1.], [1e-16, 1.], [5e-6, numpy.cos(1e-9)]])
    gap = numpy.array([1e6 + 1e-16 - 1e-5, 4 * numpy.sin(5e-10) ** 2])
    near(Pair(q1, q2, Cov(k, gap)).area / [75 ** .5 * 1e-6, numpy.sin(1e-9)], numpy.ones(2))


def check_finite():
    """Outputs of given weights."""
    W, b = numpy.array([[1., 0., -1.], [2., 1., 0.]]), numpy.array([[1., 2., 3.]])
    near(Dense(3, 3., .5).apply_fn((W, b), X[:1]), 3 / 2 ** .5 * numpy.array([[5., 2., -1.]]) + b / 2, 10.)
    near(Dense(3, 3., .5, s=(4, 1), **standard).apply_fn((W, b), X[:1]), numpy.array([[5., 2., -1.]]) / 2 + b, 10.)


# ------------------------------------------------------------------ images

def filters(size=(2, 2), padding='SAME', W_std=1.3, b_std=.4, **others):
    return Conv(8, size, padding=padding, W_std=W_std, b_std=b_std, **others)


def attends(**others):
    return GlobalSelfAttention(8, 8, 8, 2, W_key_std=.9, W_value_std=1.2, W_query_std=.8, W_out_std=1.1, **others)


IMAGES = {
    'conv': serial(filters(), Relu(), filters((2, 1), 'VALID', 1.1, .2), Relu(), Flatten(), Dense(8, 1.2, .1)),
    'conv without bias': serial(filters(b_std=None), Relu(), filters((3, 3), b_std=None), Relu()),
    'conv, standard': serial(filters(**standard), Relu(), filters((1, 2), 'CIRCULAR', **standard), GlobalAvgPool()),
    'strided conv': serial(filters((2, 3), strides=(2, 1)), Erf(), filters((2, 2)), LeakyRelu(.2)),
    'transposed conv': serial(ConvTranspose(8, (2, 3), (1, 2), 'SAME', 1.3, .4), Relu(), filters()),
    'local': serial(filters(), Relu(), ConvLocal(8, (2, 2), None, 'SAME', 1.2, .3), Relu(), filters(), GlobalAvgPool()),
    'pool': serial(filters(), Relu(), AvgPool((2, 2), (1, 2), 'SAME', True), filters((2, 1)), Relu()),
    'pool by its size': serial(filters(), Erf(), AvgPool((2, 2), None, 'SAME')),
    'sum pool': serial(filters(), Erf(), SumPool((2, 1)), filters(), Relu(), GlobalAvgPool()),
    'attention': serial(filters(), Relu(), attends(b_std=.3), Relu(), filters((2, 1)), GlobalAvgPool()),
    'attention, sum': serial(Dense(8, 1.3, .4), Erf(), attends(b_std=.3, pos_emb_type='SUM', W_pos_emb_std=.7)),
    'attention, concat': serial(Dense(8, 1.3, .4), Erf(), attends(
        attention_mechanism='IDENTITY', pos_emb_type='CONCAT', n_chan_pos_emb=4, W_pos_emb_std=.7, val_pos_emb=True)),
    'attention, square root': serial(Dense(8, 1.3, .4), Erf(), attends(
        linear_scaling=False, attention_mechanism='IDENTITY', b_std=.3, pos_emb_type='SUM', W_pos_emb_std=.7)),
    'residual images': serial(filters(), FanOut(2), parallel(serial(Relu(), Dense(8, 1.2)), Identity()), FanInSum()),
}
"""Ended by Flatten or a global pool, or by nothing: then K and Theta of every pair of positions."""
SHAPE = 3, 2, 2


@cache
def images():
    """Two images, and three: one close to the first, one away from the second, one of which one row is not zero."""
    rng = numpy.random.default_rng(5)
    a, step = rng.standard_normal((2, *SHAPE)), rng.standard_normal(SHAPE)
    return a, numpy.stack([a[0] + 1e-8 * step, .3 * step - a[1], step * (numpy.arange(3) < 1)[:, None, None]])


@cache
def image_truth(name):
    """K and Theta of the images, and of the two alone."""
    spec, (a, b), tables = IMAGES[name].to_spec(), images(), []
    for other in (b, a):
        fields = [[reference_conv.kernel(spec, x, y) for y in other] for x in a]
        places = reference_conv.positions(fields[0][0].shape)
        values = [list(map(float, z.at(i, j))) for row in fields for z in row for i in places for j in places]
        table = numpy.array(values).reshape(2, len(other), *fields[0][0].shape, *fields[0][0].shape, 2)
        m = len(fields[0][0].shape)
        order = [0, 1, *(2 + i + side * m for i in range(m) for side in (0, 1))]
        tables.append([table[..., i].transpose(order) for i in (0, 1)])
    return tables


def check_image(name):
    """Whole, in tiles, and row by row."""
    net, (a, b), (mutual, own) = IMAGES[name], images(), image_truth(name)
    for get, block in (None, BLOCK), (('nngp', 'ntk'), BLOCK), (('nngp', 'ntk'), 1):
        with mock.patch.object(tile, 'BLOCK', block):
            for k, (nngp, ntk) in ((net.kernel_fn(a, b, get), mutual), (net.kernel_fn(a, get=get), own)):
                near(k.nngp, nngp, abs(nngp).max())
                near(k.ntk, ntk, abs(ntk).max() * (GAP_LOST if name in BEHIND_A_POOL else 1))


GAP_LOST, BEHIND_A_POOL = 2e5, ('pool', 'sum pool', 'attention')
"""4e-8: what Theta keeps where images nearly coincide."""


def check_pictures():
    """Of one channel, (1, 3) or (1, 2, 3, 4), where K is a product."""
    def picture(net, x):
        k = net.kernel_fn(numpy.asarray(x)[None, :, None])
        return numpy.diagonal(k.nngp[0, 0])
    near(picture(ImageResize((-1, 4, -1), 'linear'), [1., 3.]), numpy.array([1., 1.5, 2.5, 3.]) ** 2, 10.)
    near(picture(ImageResize((-1, 2, -1), 'linear'), [1., 2., 3., 4.]), numpy.array([12., 23.]) ** 2 / 49, 10.)
    near(picture(ImageResize((-1, 2, -1), 'linear', False), [1., 2., 3., 4.]), numpy.array([1.5, 3.5]) ** 2, 10.)
    near(picture(ImageResize((-1, 3, -1), 'nearest'), [1., 2., 3., 4.]), [1., 9., 16.], 10.)
    near(picture(Index(Slice[:, 1::2]), [1., 2., 3., 4.]), numpy.array([4., 16.]), 10.)
    near(serial(Dense(8), Flatten()).kernel_fn(numpy.array([[[1.], [3.]]]), get='ntk'), [[5.]], 10.)


def check_finite_images():
    """Outputs of given weights, taps (1, 10), for the picture (1, 2, 3)."""
    x, taps, bias = numpy.array([[[1.], [2.], [3.]]]), numpy.array([[[1.]], [[10.]]]), numpy.array([[[4.]]])

    def outputs(layer, W=taps):
        return layer.apply_fn((W, bias), x)[0, :, 0]
    near(outputs(Conv(1, (2,), W_std=2., b_std=.5)), 2 ** .5 * numpy.array([21., 32.]) + 2, 10.)
    near(outputs(Conv(1, (2,), None, 'SAME', b_std=1., **standard)), numpy.array([21., 32., 3.]) + 4, 10.)
    near(outputs(Conv(1, (2,), None, 'CIRCULAR', b_std=1., **standard)), numpy.array([21., 32., 13.]) + 4, 10.)
    near(outputs(ConvTranspose(1, (2,), b_std=1., **standard)), numpy.array([10., 21., 32., 3.]) + 4, 10.)
    local = numpy.array([[[1.], [10.]], [[2.], [20.]]])
    near(outputs(ConvLocal(1, (2,), b_std=1., **standard), local), [21. + 4, 64. + 4], 10.)
    near(AvgPool((2,), None, 'SAME').apply_fn((), x)[0, :, 0], [1.5, 2.5, 1.5], 10.)
    near(AvgPool((2,), None, 'SAME', True).apply_fn((), x)[0, :, 0], [1.5, 2.5, 3.], 10.)


# ------------------------------------------------------------------ graphs, and products with a constant

HEAD, TAIL = (Dense(8, 1.3, .4), Erf()), (Dense(8, 1.2, .3), Erf())
CONTRACTED = DotGeneral(rhs=((.5, -1.), (.3, .2), (-.7, .4)), dimension_numbers=(((1,), (0,)), ((), ())))
FIRST = dict(batch_axis=2, channel_axis=4)


def check_against_sums(net, *pattern):
    """Sums written literally, whole and in tiles."""
    a, b = numpy.random.default_rng(6).standard_normal((2, 2, 3, 4))
    given = dict(pattern=pattern) if pattern else {}
    expected = brute.kernel(net, a, b, **given)
    for get in None, ('nngp', 'ntk'):
        with mock.patch.object(tiled, 'ENTRIES', 9):                               # a tile a pair of graphs
            k = net.kernel_fn(a, b, get, **given)
        near(k.nngp, expected.nngp, abs(expected.nngp).max())
        near(k.ntk, expected.ntk, abs(expected.ntk).max())


def check_graphs():
    P, Q = numpy.random.default_rng(7).standard_normal((2, 2, 3, 3))
    check_against_sums(serial(*HEAD, Aggregate(), *TAIL), P, Q)
    near(Aggregate().apply_fn((), BASE[None, :, :2], pattern=P[:1]), (P[0].T @ BASE[:, :2])[None], 10.)


EDGES = numpy.array([[[0, 1], [0, 1], [2, 0], [-1, 2]], [[1, 1], [2, 1], [0, -1], [1, 2]]])


def check_edges():
    check_against_sums(serial(*HEAD, Aggregate(implementation='SPARSE'), *TAIL), EDGES, EDGES[::-1])


def check_products():
    axes = dict(channel_axis=1)
    check_against_sums(serial(*HEAD, CONTRACTED, Dense(8, 1.2, .3, **axes), Erf()))
    check_against_sums(serial(*HEAD, DotGeneral(lhs=((.5, -1.), (.3, .2))), Dense(8, 1.2, .3, **FIRST), Erf()))
    check_against_sums(serial(*HEAD, DotGeneral(rhs=-1.5), *TAIL))


# ------------------------------------------------------------------ masks

SAME = Conv(6, (3,), None, 'SAME', 1.3, .4)
MASKED = {
    'masked conv': serial(SAME, Relu(), GlobalAvgPool(), Dense(1, 1.1, .2)),
    'masked VALID': serial(SAME, Erf(), Conv(6, (3,), None, 'VALID', 1.2, .3), Erf()),
    'masked transposed': serial(ConvTranspose(6, (3,), (2,), 'VALID', 1.2, .3), Erf()),
    'masked pool': serial(SAME, Erf(), AvgPool((3,), None, 'SAME', True), SAME, Relu()),
    'masked norm': serial(SAME, LayerNorm((1, 2), eps=.1), Erf(), SAME, Relu()),
    'masked attention': serial(Dense(6, 1.3, .4), Erf(), attends(b_std=.3), Erf()),
    'masked attention, positions': serial(Dense(6, 1.3, .4), Erf(), attends(
        linear_scaling=False, attention_mechanism='IDENTITY', pos_emb_type='SUM', val_pos_emb=True)),
    'masked resize': serial(SAME, Erf(), ImageResize((-1, 12, -1), 'linear'), SAME, Erf()),
}
LENGTHS = 3, 5, 4


def check_masked(name):
    """Inputs of three lengths, padded to six with a constant, against themselves as they are."""
    net, rng = MASKED[name], numpy.random.default_rng(8)
    inputs = [rng.standard_normal((length, 4)) for length in LENGTHS]
    x = numpy.full((3, 6, 4), 9.)
    for row, a in zip(x, inputs):
        row[:len(a)] = a
    k, truth = net.kernel_fn(x, mask_constant=9.), ragged.kernel(net, inputs, (6,))
    for at in numpy.ndindex(3, 3):
        for ours, expected in (k.nngp[at], truth.k[at]), (k.ntk[at], truth.t[at]):
            n, m = expected.shape if ours.ndim else (1, 1)
            ours = ours.reshape(ours.shape or (1, 1))
            near(ours[:n, :m], expected, abs(expected).max())
            assert not ours[n:].any() and not ours[:, m:].any()


def check_finite_masks():
    """A layer with a bias, and an average; positions that are not there stay 0."""
    x = numpy.array([[[1.], [3.], [9.]]])
    z = serial(Dense(1, 2., 1.), AvgPool((2,), None, 'SAME', True)).apply_fn(
        [(numpy.ones((1, 1)), numpy.ones((1, 1, 1))), ()], x, mask_constant=9.)
    near(z.masked_value[0, :, 0], [5., 7., 0.], 10.)
    assert z.mask.ravel().tolist() == [False, False, True]


def check_activation(layer, *kinks):
    """K', slope and gap' against quadrature of phi and of its derivative, by autograd."""
    q1, q2, angles = 1.5 + 0 * ANGLES, numpy.array([1.5, 1.5, .5, 2., 3., 1., .01]), ANGLES
    s = (q1 * q2) ** .5
    k, area, gap = s * numpy.cos(angles), s * numpy.sin(angles), (q1 ** .5 - q2 ** .5) ** 2 + 4 * s * numpy.sin(
        angles / 2) ** 2
    cov, slope = layer.dual(Pair(q1, q2, Cov(k, gap, area)))

    def phi(z):
        return layer.phi(namespace(z), z)

    def expected(f, q1, q2, k, area):
        return expectation(f, f, q1, q2, k, area=area, kinks_f=kinks, kinks_g=kinks).value
    near(cov.k, expected(phi, q1, q2, k, area), 5.)
    near(slope, expected(elementwise_grad(phi), q1, q2, k, area), 5.)
    near(cov.gap, sum(expected(phi, q, q, q, 0 * q) for q in (q1, q2)) - 2 * expected(phi, q1, q2, k, area), 10.)


ANGLES = numpy.array([0., 1e-4, .1, .7, 1.6, 2.8, 1.])


def check_kernel_gradient():
    f, y, k, k_test = *(numpy.array(a) for a in ([[1.], [3.]], [[2.], [-1.]], [[2., .5], [.5, 1.]], [[.3, .4]])),
    got = kernel_gradient.kernel_gradient(lambda f: ((f - y) ** 2).sum() / 4, f, k, k_test)
    near(got.d, f - y)
    near(got.train, [[0.], [1.75]])                     # (2 (-1) + .5 4)/2, (.5 (-1) + 4)/2
    near(got.test, [[.65]])
    near(numpy.array(got.decrease), 3.5)                # (2 - 2 2 + 16)/4


def check_steps():
    """Training and test outputs of gradient descent with momentum against the loops; the largest rate by roots."""
    k, k_test, y = numpy.array([[2., .5], [.5, 1.]]), numpy.array([[.3, .4]]), numpy.array([1., -2.])
    both, m = numpy.vstack([k, k_test]), .6
    for nesterov in False, True:
        f, v = numpy.array([.5, 0., 3.]), 0.
        predict_fn = discrete.gradient_descent_mse_steps(k, y, .7, m, nesterov)
        for steps in range(9):
            train, test = predict_fn(steps, numpy.array([.5, 0.]), 3., k_test)
            near(numpy.concatenate([train, test]), f)
            g = .7 / 2 * both @ (f[:2] - y)
            v = m * v - g
            f = f + (m * v - g if nesterov else v)
        x = discrete.max_learning_rate(numpy.eye(1), 1, m, 0., nesterov)
        trace, last = ((1 + m) * (1 - x), m * (1 - x)) if nesterov else (1 + m - x, m)
        near(abs(numpy.roots([1, -trace, last])).max(), 1.)


def check_preconditioner():
    """Nystrom of a kernel of rank 2 is the kernel; P^-1 by eigenvectors that are written out."""
    among = numpy.array([[2., 1.], [2., -2.], [1., 2.]])
    k = among @ among.T                                 # eigenvalues 9, 9, 0; the third vector is (2, -1, -2) / 3
    lower = preconditioner.nystrom(k.diagonal(), k.__matmul__, 2)
    near(lower.T @ lower / 100, k / 100)
    last = numpy.array([[2., -1., -2.]]) / 3
    for name, outside in ('cholesky', .5), ('nystrom', 9.5):
        inverse = preconditioner.Preconditioner(name, lower, .5)(numpy.eye(3))
        near(inverse, (numpy.eye(3) - last.T @ last) / 9.5 + last.T @ last / outside)


# ------------------------------------------------------------------ finite networks

@cache
def finite_truth(name, trace=(), diagonal=()):
    """f, parameters, four inputs and three (four where axes of the batch are equal), and the NTK by the definition."""
    f, make = finite_functions.FUNCTIONS[name]
    rng = numpy.random.default_rng(8)
    params, x1, x2 = make(rng), rng.standard_normal((4, 5)), rng.standard_normal((4 if 0 in trace + diagonal else 3, 5))
    return f, params, x1, x2, finite_functions.definition(f, params, x1, x2, trace, diagonal)


def check_empirical(name, implementation, vmap_axes=0):
    for axes in ((), ()), ((-1,), ()), ((0,), (1,)):
        f, params, x1, x2, expected = finite_truth(name, *axes)
        ntk = empirical_ntk_fn(f, *axes, vmap_axes, implementation)(x1, x2, params)
        near(ntk / abs(expected).max(), expected / abs(expected).max())


def check_empirical_product():
    f, params, x1, x2, full = finite_truth('recurrent')
    v = numpy.arange(9.).reshape(3, 3)
    near(empirical_ntk_vp_fn(f, x1, x2, params)(v) / 1e3, numpy.einsum('nmoq,mq->no', full, v) / 1e3)


def check_monte_carlo():
    """Mean and standard error of the kernels of three networks, the masks of x1 and x2 among them."""
    params, seeds, net = [], [], serial(Dense(9), Relu(), Dropout(.5), Dense(2))

    def init_fn(rng, shape):
        params.append(net.init_fn(rng, shape)[1])
        return shape, params[-1]

    def apply_fn(p, x, rng):
        seeds.append(rng)
        return net.apply_fn(p, x, rng=rng)
    mean, error, _ = monte_carlo_kernel_fn(init_fn, apply_fn, 1, 3, 0, 0, return_error=True)(X1, X2, 'ntk')
    ks = [empirical_ntk_fn(net.apply_fn)(X1, X2, p, rng=rng) for p, rng in zip(params, zip(seeds[::2], seeds[1::2]))]
    near(mean, sum(ks) / 3)
    near(error, numpy.std(ks, 0, ddof=1) / 3 ** .5)
    assert len(set(seeds)) == 6 and len({p[0][0][0, 0] for p in params}) == 3


def check_taylor():
    """exp about 0 and erf about 0: 1 + x + x^2/2 + x^3/6, and 2 (x - x^3/3) / sqrt(pi)."""
    near(taylor_expand(autograd.numpy.exp, 0., 3)(numpy.array(.5)), 1 + .5 + .125 + .125 / 6)
    near(taylor_expand(erf, 0., 3)(numpy.array(.5)), 2 * (.5 - .125 / 3) / numpy.pi ** .5)


FINITE = {'taylor': check_taylor} | {f'structured: {name}': (lambda name=name: check_empirical(name, 3)) for name in (
    'mlp', 'recurrent', 'steps', 'multiplied', 'mixed', 'low rank', 'normed', 'filtered', 'blocks', 'positions',
    'interleaved', 'embedding')} | {
    'structured: memory': lambda: check_empirical('memory', 3, None),
    'structured: all at once': lambda: check_empirical('multiplied', 3, None),
    'definition': lambda: check_empirical('mlp', 1), 'by products': lambda: check_empirical('mlp', 2),
    'product': check_product, 'empirical product': check_empirical_product, 'Monte Carlo': check_monte_carlo}


# ------------------------------------------------------------------ Gaussian processes

Y = numpy.array([[[.3, -1.], [.8, .4]], [[-.5, 1.1], [.2, -.9]], [[.7, .6], [-1.2, .1]]])
"""Three inputs with two outputs that depend on each other, two that do not."""
ROOT = numpy.random.default_rng(9).standard_normal((6, 6))
AMONG = ROOT @ ROOT.T
PAIRED = AMONG.reshape(3, 2, 3, 2).transpose(0, 2, 1, 3)
NOISE = .2


def log_density(y, a):
    return sum(multivariate_normal(numpy.zeros(len(a)), a).logpdf(column) for column in y.T)


def check_evidence():
    a, y = AMONG + NOISE * numpy.trace(AMONG) / 6 * numpy.eye(6), Y.reshape(6, 2)
    for value in (predict.log_marginal_likelihood(PAIRED, Y, NOISE),
                  predict.ridge_sweep(PAIRED, Y, [NOISE]).log_marginal_likelihood[0]):
        near(value, log_density(y, a), 100.)


def check_left_out(sweep):
    a, y = AMONG + NOISE * numpy.eye(6), Y.reshape(6, 2)
    loo = predict.leave_one_out(PAIRED, Y, NOISE, True)
    if sweep:
        loo = predict.ridge_sweep(PAIRED, Y, [3., NOISE], None, True).leave_one_out
        loo = predict.LeaveOneOut(*(a[1] for a in loo))
    for i in range(3):
        rest = numpy.arange(6) // 2 != i
        weights = a[~rest][:, rest] @ numpy.linalg.inv(a[rest][:, rest])
        mean, cov = weights @ y[rest], a[~rest][:, ~rest] - weights @ a[rest][:, ~rest]
        near(loo.mean[i], mean, 10.)
        near(loo.variance[i], cov, 10.)
        near(loo.log_density[i], log_density(y[~rest] - mean, cov), 100.)


def check_evidence_gradient():
    """K = w^2 x x' + r s, of w and r, in blocks of two inputs."""
    x, y, w, r = BASE, Y[:, 0], 1.3, .7

    def evidence(w, r):
        k = w ** 2 * x @ x.T
        return log_density(y, k + r * numpy.trace(k) / 3 * numpy.eye(3))
    recorded = mock.patch.object(KernelFunction, 'gradient_in_tiles', lambda *a, **k: False)
    with recorded, mock.patch.object(network_evidence, 'ENTRIES', 16):
        value, gradient = predict.log_marginal_likelihood_gradient(
            lambda w: Dense(1, 3 ** .5 * w), x, y, {'w': w, 'diag_reg': r})
    near(numpy.array(value), evidence(w, r), 100.)
    h = 1e-3
    for name, f, v in (('w', lambda w: evidence(w, r), w), ('diag_reg', lambda r: evidence(w, r), r)):
        slope = (8 * (f(v + h) - f(v - h)) - f(v + 2 * h) + f(v - 2 * h)) / (12 * h)
        assert abs(gradient[name] - slope) < 1e-9 * abs(slope)


def check_samples():
    z = numpy.random.default_rng(4).standard_normal((2, 6, 2))
    draws = predict.sample(predict.Gaussian(Y, PAIRED), 2, 4)
    near(draws.reshape(2, 6, 2), Y.reshape(6, 2) + numpy.real(sqrtm(AMONG)) @ z, 100.)


def check_rows(name):
    """The pairs of `check_network`, and no others, many times, so that they are computed in tiles."""
    (nngp, ntk, size, ntk_size), _ = truth(name)
    right = [0, 1, 4] if name in ('sum', 'layer norm') else range(len(X2))              # none is opposite
    left, right = (numpy.tile(rows, 90) for rows in (range(len(X1)), right))
    with mock.patch.object(angle, 'has_fast_arctan2', lambda: False):
        k = NETWORKS[name].kernel_fn(X1[left], X2[right], ('nngp', 'ntk'))
    for found, wanted, scale in (k.nngp, nngp, size), (k.ntk, ntk, ntk_size):
        near(found, wanted[left][:, right], scale[left][:, right])


def check_odd():
    """tanh(-u) = -tanh(u): what Sign makes of the angle changes its sign with an input, and of opposite ones is -1."""
    net = serial(Dense(8), Tanh(), Dense(8), Sign())
    length = .43237417429325614
    near(net.kernel_fn(numpy.array([[length]]), numpy.array([[-length]]), 'nngp'), [[-1.]])
    x, y = numpy.array([[.7, .2]]), numpy.array([[1.5, .3], [.8, .2]])
    near(net.kernel_fn(x, -y, 'nngp'), -net.kernel_fn(x, y, 'nngp'))


PROCESSES = {'evidence': check_evidence, 'evidence, gradient': check_evidence_gradient, 'samples': check_samples,
             'left out': lambda: check_left_out(False), 'left out, sweep': lambda: check_left_out(True)}


CHECKS = {name: (lambda name=name: check_network(name)) for name in NETWORKS} | FINITE | {
    f'rows, {name}': lambda name=name: check_rows(name) for name in (
        'relu', 'leaky relu', 'sum', 'layer norm')} | {
    'tanh': lambda: check_activation(Tanh()), 'odd': check_odd, 'elu': lambda: check_activation(Elu(.25), 0.),
    'hard tanh': lambda: check_activation(HardTanh(), -1., 1.), 'relu6': lambda: check_activation(Relu6(), 0., 6.)} | {
    'product': check_product, 'concatenation': check_concatenation, 'dropout': check_dropout,
    'positions': check_positions, 'areas': check_areas, 'finite': check_finite} | {
    name: (lambda name=name: check_image(name)) for name in IMAGES} | {
    'pictures': check_pictures, 'finite images': check_finite_images, 'graphs': check_graphs, 'edges': check_edges,
    'products': check_products} | {name: (lambda name=name: check_masked(name)) for name in MASKED} | {
    'finite masks': check_finite_masks, 'steps': check_steps, 'preconditioner': check_preconditioner,
    'kernel gradient': check_kernel_gradient} | PROCESSES | posteriors.CHECKS | training.CHECKS | \
    chains.CHECKS


NOTICED = 'got NaN: '             # by the code itself: what it is given are no covariances


def caught_by(checks=CHECKS):
    """The names of the checks that fail; and of those that break down, which proves nothing."""
    caught, broken = [], []
    for name in checks:
        try:
            with numpy.errstate(all='ignore'):
                CHECKS[name]()
        except AssertionError:
            caught.append(name)
        except (ValueError, TypeError) as error:
            (caught if NOTICED in str(error) else broken).append(name)
    return caught, broken


def check_suite():
    """Raises where the code is wrong."""
    caught, broken = caught_by()
    assert not caught and not broken, (caught, broken)


# ------------------------------------------------------------------ the mutants

def affine(change):
    """A mutant of Dense's step on covariances, change(original, pair, w, b) -> Cov."""
    original = Pair.affine
    return mock.patch.object(Pair, 'affine', lambda p, w, b: change(original, p, w, b))


def dual(name, change):
    """A mutant of one dual, change(original, pair, *parameters) -> (Cov, slope)."""
    original = getattr(duals, name)
    return mock.patch.object(duals, name, lambda p, *a: change(original, p, *a))


def scaled_dual(name, k=1., slope=1.):
    """The covariance (and its gap and area), or the slope, times a factor."""
    def change(original, p, *a):
        cov, rise = original(p, *a)
        return each(lambda c: k * c, cov), slope * rise
    return dual(name, change)


def each(f, cov):
    """What f makes of the arrays of a Cov."""
    return Cov(*(None if c is None else f(c) for c in cov))


def beside(name, change):
    """A mutant of one formula of gap and area, change of what it returns."""
    home = gaps if hasattr(gaps, name) else smooth_gaps
    original = getattr(home, name)
    return mock.patch.object(home, name, lambda *a: change(original(*a)))


def method(cls, name, change):
    original = getattr(cls, name)
    return mock.patch.object(cls, name, lambda self, *a, **k: change(original, self, *a, **k))


def exchanged(original, self, f, *others):
    def swapped(pair):
        cov, slope = f(pair)
        return Cov(slope), cov.k
    return original(self, swapped)


def transposed(original, self, *others):
    k = original(self, *others)
    return k.replace(nngp=k.nngp.swapaxes(0, 1), gap=k.gap, area=k.area) if k.nngp.shape[0] == k.nngp.shape[1] else k


def not_halved(original, p, a, b):
    cov, slope = original(p, a, b)
    return (Cov(2 * cov.k, cov.gap, cov.area) if p.q1 is p.q2 else cov), slope


def gram(change):
    """A mutant of K, gap and area of the inputs, change(original, x, y) -> Cov."""
    original = start.gram
    return mock.patch.object(start, 'gram', lambda x, y, *carried: change(lambda x, y: original(x, y), x, y))


def subtracted(original, x, y):
    k, q1, q2 = x @ y.swapaxes(-1, -2) / x.shape[-1], (x * x).mean(-1)[..., :, None], (y * y).mean(-1)[..., None, :]
    return Cov(k, q1 + q2 - 2 * k, numpy.sqrt(numpy.maximum(q1 * q2 - k * k, 0)))


def dense_ntk(formula):
    """A mutant of Theta', formula(old Kernel, new Kernel, w, n, has a bias)."""
    def change(original, self, k):
        new, n = original(self, k), k.signals[0].channels / self.s[0]
        if k.ntk is None:
            return new
        is_standard = self.parameterization == 'standard'
        return new.but(ntk=formula(k, new, self.W_std ** 2, n, self.b_std is not None, is_standard))
    return method(Dense, 'kernel', change)


def standard_ntk(formula):
    return dense_ntk(lambda k, new, w, n, b, is_standard: formula(k, new, w, n, b) if is_standard else new.ntk)


def weighted(change):
    """A mutant of the layers with weights, change(original, layer, state, sums, total, taps)."""
    original = Weighted._affine
    return mock.patch.object(Weighted, '_affine', lambda self, k, sums=lambda pair: pair, total=lambda c: c, taps=1:
                             change(lambda layer, *a: original(layer, k, *a), self, k, sums, total, taps))


def conv_bias(b):
    """A mutant of the bias of convolutions, b(layer, taps)."""
    return weighted(lambda f, layer, k, sums, total, taps: f(replace(layer, b_std=b(layer, taps)), sums, total, taps))


def conv_ntk(formula):
    """A mutant of Theta', formula(new state, w / taps, sum over the taps of the old K, of the old Theta)."""
    def change(original, self, k, sums, total, taps):
        new = original(self, sums, total, taps)
        if k.ntk is None or taps == 1 or self.parameterization == 'standard':
            return new
        return new.but(ntk=formula(new, self.W_std ** 2 / taps, total(k.nngp), k.tangent(total)))
    return weighted(change)


def shifted(layer, original):
    """Windows of a layer: each output sees what the one before it should see."""
    def window(n, size, stride, padding):
        w, steps = original(n, size, stride, padding), (stride, 1) if layer is ConvTranspose else (1, stride)
        hits = [[(o + 1, i) for run in tap for o, i in zip(range(w.out)[run[0]], range(n)[run[1]]) if o + 1 < w.out]
                for tap in w.taps]
        return Window(n, w.out, tuple(windows._runs(tap, *steps) for tap in hits))
    return mock.patch.object(layer, '_window', staticmethod(window))


def relu_in_tiles(k=1., gap=1., slope=1.):
    original = fast.abrelu

    def changed(*a):
        cov, ntk = original(*a)
        cov = Cov(*(None if c is None else c * f for c, f in zip(cov, (k, gap, 1., gap))))
        return cov, None if ntk is None else ntk * slope
    return mock.patch.object(fast, 'abrelu', changed)


def generic_relu(area):
    """A mutant of the ReLU of generic pairs, by area(pair)."""
    def changed(p, ntk, a, b):
        c, e = fast._shares(a, b)
        theta = numpy.arctan2(area(p), p.k)
        return Cov((c - e * theta) * p.k + e * area(p)), None if ntk is None else (c - e * theta) * ntk
    return mock.patch.object(fast, '_abrelu_generic', changed)


@contextmanager
def slab_left_out():
    """What is not written is 0 here, and what was in memory elsewhere."""
    def shifts(ndim, slides, original=windows._shifts):
        whole, slabs, others = original(ndim, slides)
        return whole, slabs[1:], others
    with mock.patch.object(windows, '_shifts', shifts), \
            mock.patch.object(namespace(BASE), 'empty_like', numpy.zeros_like):
        yield


def gap_of_pool(original, self, k, slides):
    """The mean of the gaps, for the gap of the means."""
    new = original(self, k, slides)
    return new.but(mutual=new.mutual._replace(gap=self._pooled(k.mutual.gap, slides)))


def resizing(change):
    return mock.patch.object(reshaping, 'resize_matrix', lambda *a, f=windows.resize_matrix: change(f, *a))


def corner_aligned(original, xp, n, out, filter, antialias):
    d = abs(numpy.arange(out)[:, None] * (n - 1) / (out - 1) - numpy.arange(n))
    return numpy.maximum(1 - d, 0)


def first_positions(original, self, shape):
    """As many as picked."""
    return [slice(len(range(n)[i])) if isinstance(i, slice) and i != slice(None) else i
            for n, i in zip(shape, original(self, shape))]


def beginnings(n, out):
    return [o * n // out for o in range(out)]


def attending(change):
    """A mutant of what is an average over positions, change(original, layer, K, *functions, b)."""
    return method(GlobalSelfAttention, '_averaged', change)


def attention_ntk(formula):
    """A mutant of Theta', formula(old Kernel, new Kernel, b)."""
    def change(original, self, k, *a):
        new = original(self, k, *a)
        return new if k.ntk is None else new.but(ntk=formula(k, new, a[-1]))
    return attending(change)


def over_the_first_axis(c):
    return numpy.moveaxis(attention.softmax(numpy.moveaxis(c, -1, -2)), -1, -2)


ATTENTION = {
    'attention: softmax over the first position': (lambda: mock.patch.dict(
        attention.MECHANISMS, SOFTMAX=over_the_first_axis), 'attention'),
    'attention: softmax of the hyperbolic tangent': (lambda: mock.patch.dict(
        attention.MECHANISMS, SOFTMAX=lambda c, f=attention.softmax: f(numpy.tanh(c))), 'attention'),
    'attention: weights of x1 on both sides': (lambda: mock.patch.object(
        Kernel, 'sides', lambda k, a, b, f=Kernel.sides: f(k, a, 0 * b + a[:1] if a.shape[1:] == (6, 6) else b)),
        'attention, sum'),
    'attention: no weights': (lambda: method(
        Kernel, 'within', lambda f, k, g: [numpy.broadcast_to(numpy.eye(a.shape[-1]), a.shape) for a in f(k, g)]),
        'attention, sum'),
    'attention, tiles: weights of x1 on both sides': (lambda: mock.patch.object(
        Tile, 'sides', lambda k, a, b, f=Tile.sides: f(k, a, 0 * b + a[:1]) if a.shape[1:] == (6, 6) else f(k, a, b)),
        'attention'),
    'attention: no bias': (lambda: attending(lambda f, self, k, *a: f(self, k, *a[:-2], lambda c, g=a[-2]: g(c), 0)),
                           'attention'),
    'attention: Theta of values alone': (lambda: attention_ntk(
        lambda k, new, b: new.ntk - new.nngp + b), 'attention'),
    'attention: the bias twice in Theta': (lambda: attention_ntk(lambda k, new, b: new.ntk + b), 'attention, sum'),
    'attention: Theta without the embeddings': (lambda: method(
        GlobalSelfAttention, '_multiplied', lambda f, self, k, seen, *a: f(self, k, seen, *a).but(
            ntk=f(self, k, lambda c: seen(c) - (seen(0 * c) if c is k.ntk else 0), *a).ntk)), 'attention, square root'),
    'attention: queries and keys not trained': (lambda: method(
        GlobalSelfAttention, '_multiplied', lambda f, self, k, *a: (lambda new: new.but(
            ntk=new.ntk - 2 * (new.nngp - a[-1])))(f(self, k, *a))), 'attention, square root'),
    'attention: embeddings of equal weight': (lambda: method(
        GlobalSelfAttention, '_embedding_channels', lambda f, self, n: n), 'attention, concat'),
    'attention: values do not see positions': (lambda: method(
        GlobalSelfAttention, 'kernel', lambda f, self, k: f(replace(self, val_pos_emb=False), k)), 'attention, concat'),
    'attention: values see positions': (lambda: method(
        GlobalSelfAttention, 'kernel', lambda f, self, k: f(replace(self, val_pos_emb=True), k)), 'attention, sum'),
    'attention: r for r^2': (lambda: method(GlobalSelfAttention, '_joined', lambda f, self, K, R, n: f(
        replace(self, W_pos_emb_std=self.W_pos_emb_std ** .5), K, R, n)), 'attention, sum'),
}

CONVOLUTIONS = {
    'Conv: not divided by the taps': (lambda: weighted(
        lambda f, layer, k, sums, total, taps: f(layer, sums, total, 1)), 'conv'),
    'Conv: no bias': (lambda: conv_bias(lambda layer, taps: layer.b_std if taps == 1 else None), 'conv'),
    'Conv: bias divided by the taps': (lambda: conv_bias(
        lambda layer, taps: None if layer.b_std is None else layer.b_std / taps ** .5), 'conv'),
    'Conv: gap without the border': (lambda: mock.patch.object(
        sliding, 'bordered', lambda c, *a: c), 'conv without bias'),
    'Conv: border of one member alone': (lambda: mock.patch.object(
        sliding, 'bordered', lambda c, q, left, right, f=sliding.bordered: f(
            c, q, left, right) if left[0] < right[0] else c), 'conv without bias'),
    'Conv: gap (1 + 1e-6)': (lambda: mock.patch.object(
        conv, 'gap_sum', lambda p, slides, f=conv.gap_sum: f(p, slides) * (1 + 1e-6)), 'conv'),
    'Conv: the gap by subtraction': (lambda: mock.patch.object(
        conv, 'gap_sum', lambda p, slides, f=conv.gap_sum: f(Pair(p.q1, p.q2, Cov(p.k)), slides)), 'conv'),
    'Conv: Theta without K': (lambda: conv_ntk(lambda new, w, k, t: w * t + 0 * new.nngp), 'conv'),
    'Conv: Theta without w': (lambda: conv_ntk(lambda new, w, k, t: new.nngp + (w and 1 / 4) * t), 'conv'),
    'Conv: Theta of the incoming K': (lambda: conv_ntk(lambda new, w, k, t: w * k + w * t), 'conv'),
    'Conv, standard: the mean of K over the taps': (lambda: weighted(
        lambda f, layer, k, sums, total, taps: f(layer, sums, lambda c: total(c) / (taps if c is k.nngp else 1), taps)),
        'conv, standard'),
    'Conv: padding at the other end': (lambda: shifted(Conv, Window.of), 'conv'),
    'Conv: strides start late': (lambda: shifted(Conv, Window.of), 'strided conv'),
    'ConvTranspose: padding at the other end': (lambda: shifted(ConvTranspose, Window.transposed), 'transposed conv'),
    'ConvTranspose: padding at the other end, finite': (
        lambda: shifted(ConvTranspose, Window.transposed), 'finite images'),
    'ConvLocal: weights are shared': (lambda: method(
        ConvLocal, 'kernel', lambda f, self, k: conv._Convolution.kernel(self, k)), 'local'),
    'ConvLocal: no gap between positions': (lambda: method(
        Kernel, 'uncorrelated', lambda f, k: f(k).replace(nngp=f(k).nngp, gap=0 * f(k).gap)), 'local'),
    'AvgPool: not divided': (lambda: method(AvgPool, '_divided', lambda f, self, c, *a: c), 'pool'),
    'AvgPool: divided by the size at the edges': (lambda: method(
        AvgPool, '_divided', lambda f, self, *a: f(replace(self, normalize_edges=False), *a)), 'pool'),
    'AvgPool: divided by what is there': (lambda: method(
        AvgPool, '_divided', lambda f, self, *a: f(replace(self, normalize_edges=True), *a)), 'pool by its size'),
    'AvgPool: one member alone': (lambda: method(
        AvgPool, '_divided', lambda f, self, c, slides: f(self, c, slides[::2])), 'pool by its size'),
    'SumPool: an average': (lambda: method(
        SumPool, '_divided', lambda f, self, *a: AvgPool(self.window_shape)._divided(*a)), 'sum pool'),
    'pools: the mean of the gaps': (lambda: method(pooling._Pool, '_pooled_kernel', gap_of_pool), 'pool'),
    'GlobalAvgPool: divided once': (lambda: mock.patch.object(
        GlobalAvgPool, '_divisor', lambda self, n: n ** .5), 'conv, standard'),
    'Flatten: a sum': (lambda: method(Flatten, 'kernel', lambda f, self, k: branching.scaled(
        f(self, k), prod(k.shape1[1:-1]))), 'conv'),
    'Flatten: Theta of a sum': (lambda: method(Flatten, 'kernel', lambda f, self, k: f(self, k).but(
        ntk=f(self, k).tangent(lambda t: t * prod(k.shape1[1:-1])))), 'pictures'),
    'Index: the first positions': (lambda: method(Index, '_for', first_positions), 'pictures'),
    'ImageResize: corners aligned': (lambda: resizing(corner_aligned), 'pictures'),
    'ImageResize: not normalized': (lambda: resizing(
        lambda f, xp, n, out, *a: f(xp, n, out, *a) * max(n / out, 1)), 'pictures'),
    'ImageResize: never antialiased': (lambda: resizing(lambda f, *a: f(*a[:-1], False)), 'pictures'),
    'ImageResize: always antialiased': (lambda: resizing(lambda f, *a: f(*a[:-1], True)), 'pictures'),
    'nearest: not the centres': (lambda: mock.patch.multiple(
        reshaping, nearest=beginnings, RESIZERS=windows.RESIZERS | {'nearest': beginnings}), 'pictures'),
    'tiles, relu: K (1 + 1e-9)': (lambda: relu_in_tiles(k=1 + 1e-9), 'conv'),
    'tiles, relu: slope (1 + 1e-9)': (lambda: relu_in_tiles(slope=1 + 1e-9), 'conv'),
    'tiles, relu: gap (1 + 1e-3)': (lambda: relu_in_tiles(gap=1 + 1e-3), 'conv'),
    'tiles, relu: without the tangent kernel': (lambda: relu_in_tiles(slope=0), 'conv, standard'),
    'tiles: variances of x1 for both': (lambda: mock.patch.object(
        tiled, 'replaying', lambda a, b, f=tiled.replaying: f(a, [
            q[:1] + 0 * p if hasattr(q, 'shape') else q for p, q in zip(b, a)])),
        'strided conv'),
    'tiles: the lower half not mirrored': (lambda: mock.patch.object(
        tiled, 'swapped', lambda values, batch: values), 'strided conv'),
    'tiles: all pairs are generic': (
        lambda: mock.patch.object(generic, 'check_complement', lambda *a: None), 'conv'),
    'tiles: of an input with itself one axis is mirrored': (lambda: mock.patch.object(
        tile, 'swapped', lambda values, batch: numpy.moveaxis(values, batch, batch + 1)), 'strided conv'),
    'tiles, generic erf: K (1 + 1e-9)': (lambda: mock.patch.object(
        generic, 'erf', lambda *a, f=generic.erf: (Cov(f(*a)[0].k * (1 + 1e-9)), f(*a)[1])), 'pool by its size'),
    'tiles, generic erf: slope (1 + 1e-9)': (lambda: mock.patch.object(
        generic, 'erf', lambda *a, f=generic.erf: (f(*a)[0], f(*a)[1] * (1 + 1e-9))), 'pool by its size'),
    'tiles, generic relu: s + K for s - K': (lambda: generic_relu(lambda p: p.s + p.k), 'conv'),
    'tiles, generic relu: the area without s + K': (
        lambda: generic_relu(lambda p: (p.s * abs(p.s - p.k)) ** .5), 'conv'),
    'windows: a slab left out': (slab_left_out, 'conv'),
    'windows: the first tap alone is outside': (lambda: mock.patch.object(
        Window, 'only', lambda w, taps, f=Window.only: f(w, taps[:1])), 'transposed conv'),
    'windows: all borders are alike': (lambda: method(Window, 'only', lambda f, w, taps: w), 'conv without bias'),
    'tiles: branches are not shared': (lambda: mock.patch.object(Tile, 'shared', lambda self: self), 'residual images'),
}


def aggregating(change):
    """A mutant of sums over neighbours, change(P, Q) -> those that are used."""
    original = graph.aggregated
    return mock.patch.object(graph, 'aggregated', lambda c, nodes, P, Q: original(c, nodes, *change(P, Q)))


def patterns_of(rows):
    """A mutant of which graphs a tile has."""
    def patterns(k):
        whole = k.signal1.patterns[0], k.signal2.patterns[0]
        return tuple(None if p is None else p[rows(r)] for p, r in zip(whole, k.block.rows))
    return mock.patch.object(Tile, 'patterns', property(patterns))


GRAPHS = {
    'Aggregate: edges the other way': (lambda: aggregating(
        lambda P, Q: (P.swapaxes(-1, -2), Q.swapaxes(-1, -2))), 'graphs'),
    'Aggregate: one member alone': (lambda: aggregating(lambda P, Q: (P, 0 * Q + numpy.eye(3))), 'graphs'),
    'Aggregate: the patterns of x1 for both': (lambda: method(
        Kernel, 'sides', lambda f, k, a, b: f(k, a, a) if a.ndim == 3 else f(k, a, b)), 'graphs'),
    'Aggregate: Theta stays': (lambda: method(
        Aggregate, 'kernel', lambda f, self, k: f(self, k).but(ntk=k.ntk)), 'graphs'),
    'Aggregate: edges the other way, finite': (lambda: method(
        Aggregate, 'apply', lambda f, self, p, x, rng, pattern: f(self, p, x, pattern=pattern.swapaxes(1, 2))),
        'graphs'),
    'tiles: the first graphs': (lambda: patterns_of(lambda r: slice(r.stop - r.start)), 'graphs'),
    'sparse: edges count once': (lambda: method(
        Aggregate, '_weights', lambda f, self, *a: numpy.minimum(f(self, *a), 1)), 'edges'),
    'sparse: edges to -1 end at the last node': (lambda: method(
        Aggregate, '_weights', lambda f, self, P, sizes, like: f(self, P % sizes[0], sizes, like)), 'edges'),
    'DotGeneral: the absolute value': (lambda: method(
        DotGeneral, '_like', lambda f, self, a: abs(f(self, a))), 'products'),
    'DotGeneral: c for c^2': (lambda: method(
        DotGeneral, 'kernel', lambda f, self, k: f(
            replace(self, rhs=abs(self.rhs) ** .5) if isinstance(self.rhs, float) else self, k)), 'products'),
    'DotGeneral: the constant the other way': (lambda: method(
        DotGeneral, '_like', lambda f, self, a: f(self, a)[..., ::-1]), 'products'),
}


def used(**changes):
    """A mutant of the uses of parameters: changes of fields of Use, f(value)."""
    original = plan.use_of

    def changed(*a):
        use = original(*a)
        return use and use._replace(**{name: change(getattr(use, name)) for name, change in changes.items()})
    return mock.patch.object(plan, 'use_of', changed)


def rule_of(f, rule):
    return mock.patch.dict(rules.RULES, {f: rule})


def first_alone(original, parts, gs):
    return original(parts[:1], gs[:1])


BAYES = {
    'evidence: one output': (lambda: mock.patch.object(
        bayes, 'evidence', lambda a, y, f=bayes.evidence: f(a, y) + a.log_determinant() / 2), 'evidence'),
    'evidence: log 2 pi once': (lambda: mock.patch.object(
        bayes, 'log_2pi', lambda like, f=bayes.log_2pi: f(like) / len(like)), 'evidence'),
    'determinant: not squared': (lambda: method(
        factor.Factor, 'log_determinant', lambda f, a: f(a) / 2), 'evidence'),
    'sweep: the absolute scale': (lambda: method(
        factor.Shifted, 'shift_by', lambda f, a, reg: f(a, reg / float(a.scale))), 'evidence'),
    'sweep: the first ridge for all': (lambda: mock.patch.object(
        bayes, 'with_ridges', lambda a, regs, f=bayes.with_ridges: f(a, regs[:1] * len(regs))), 'left out, sweep'),
    'gradient: without the ridge in K': (lambda: mock.patch.object(
        network_evidence, 'evidence_gradient', lambda a, y, f=bayes.evidence_gradient: (
            f(a, y)[0] - f(a, y)[1] / a.scale * a.diag_reg / a.n * numpy.eye(a.n), f(a, y)[1])), 'evidence, gradient'),
    'gradient: of one output': (lambda: mock.patch.object(
        network_evidence, 'evidence_gradient', lambda a, y, f=bayes.evidence_gradient: f(a, y[:, :1])),
        'evidence, gradient'),
    'gradient: of a ridge that is absolute': (lambda: mock.patch.object(
        network_evidence, 'evidence_gradient', lambda a, y, f=bayes.evidence_gradient: (
            f(a, y)[0], f(a, y)[1] / a.scale)), 'evidence, gradient'),
    'gradient: blocks below the diagonal forgotten': (lambda: method(
        network_evidence.Problem, 'pullback', lambda f, p, hyper, k, parts, G: f(
            p, hyper, k, parts, (G + G * (numpy.arange(3)[:, None] // 2 == numpy.arange(3) // 2)) / 2)),
        'evidence, gradient'),
    'left out: one output of an input': (lambda: mock.patch.object(
        bayes, 'inverted', lambda b, f=bayes.inverted: f(b * numpy.eye(b.shape[-1]))), 'left out'),
    'left out: without the determinant': (lambda: mock.patch.object(
        bayes, 'inverted', lambda b, f=bayes.inverted: (f(b)[0], 0 * f(b)[1])), 'left out'),
    'left out: blocks of another matrix': (lambda: method(
        factor.Factor, 'inverse_blocks', lambda f, a, size: f(a, size)[::-1]), 'left out'),
    'samples: the covariance for its root': (lambda: mock.patch.object(
        sampling, 'root', lambda c, *others: c), 'samples'),
    'samples: Cholesky, whose draws differ': (lambda: mock.patch.object(
        sampling, 'root', lambda c, *others: numpy.linalg.cholesky(c)), 'samples'),
}


EMPIRICAL = {
    'taylor: without factorials': (lambda: mock.patch.object(taylor, 'factorial', lambda k: 1), 'taylor'),
    'taylor: one degree less': (lambda: mock.patch.object(
        taylor, 'as_whole', lambda degree, *a: degree - 1), 'taylor'),
    'trace axes: a sum': (lambda: mock.patch.object(
        pairing.Pairing, 'traced', property(lambda self: 1)), 'definition'),
    'axes: first those of x1': (lambda: mock.patch.object(
        jacobian, 'paired', lambda *a: pairing.sums(*a)), 'definition'),
    'definition: an entry is left out': (lambda: mock.patch.object(
        jacobian, 'unit', lambda record, k, i, f=jacobian.unit: [
            None if g is None else g * (sum(i) > 0) for g in f(record, k, i)]), 'definition'),
    'products: columns for rows': (lambda: mock.patch.object(
        products, 'unit', lambda record, k, i, f=products.unit: f(record, k, (*i[:-1], -1 - i[-1]))), 'by products'),
    'products: J of x2 on both sides': (lambda: mock.patch.object(
        products, 'sides', lambda f, x1, x2, *a, g=products.sides: (g(f, x2, None, *a)[0],) * 2
        if len(x1) != 3 else g(f, x1, x2, *a)), 'empirical product'),
    'uses: the first alone': (lambda: mock.patch.object(
        structured, 'joined', lambda *a, f=structured.joined: first_alone(f, *a)), 'structured: steps'),
    'uses: no cross terms': (lambda: mock.patch.object(
        structured, 'groups', lambda parts: [
            (part.weight.roots, [i, i + len(parts) // 2]) for i, part in enumerate(parts[:len(parts) // 2])]),
        'structured: recurrent'),
    'weights: not transposed': (lambda: mock.patch.object(
        weights, '_placed', lambda node, given, f=weights._placed: given[0]
        if weights.raw(node) is numpy.transpose else f(node, given)), 'structured: recurrent'),
    'weights: factors forgotten': (lambda: mock.patch.object(
        plan, 'weight_of', lambda *a, f=plan.weight_of: (w := f(*a)) and w._replace(factor=1.)),
        'structured: blocks'),
    'weights: an entry that is there twice, once': (lambda: mock.patch.object(
        weights, '_is_apart', lambda ids: True), 'structured: blocks'),
    'made: the first factor alone': (lambda: mock.patch.object(
        weights.Weight, 'made', lambda shape, steps, f=weights.Weight.made: f(shape, steps[:1])),
        'structured: low rank'),
    'made: entries stay where they were': (lambda: mock.patch.object(
        weights.Moved, 'pulled', lambda self, g, shape: g.reshape(len(g), *shape)), 'structured: normed'),
    'slope: one': (lambda: mock.patch.object(rules, '_slope', lambda node, i: rules._elementwise(
        node, i, numpy.ones_like(node.value))), 'structured: normed'),
    'reduction: twice': (lambda: rule_of(numpy.sum, lambda node, i: (
        use := rules._reduction(1)(node, i)) and use._replace(h=2 * use.h)), 'structured: normed'),
    'signal: windows the other way': (lambda: mock.patch.object(
        rules, 'sliding_window_view', lambda *a, f=rules.sliding_window_view: f(*a)[..., ::-1]),
        'structured: filtered'),
    'outer: twice': (lambda: rule_of(numpy.outer, lambda node, i: (
        use := rules._outer(node, i)) and use._replace(h=2 * use.h)), 'structured: filtered'),
    'cotangents: numbers between forgotten': (lambda: mock.patch.object(
        record, 'scale', lambda node, i, f=record.scale: f(node, i) and 1.), 'structured: mlp'),
    'difference: a sum': (lambda: rule_of(numpy.subtract, rules._sum(1)), 'structured: multiplied'),
    'product: by one': (lambda: rule_of(numpy.multiply, rules._sum(1)), 'structured: multiplied'),
    'where: the other one': (lambda: rule_of(numpy.where, lambda node, i: (
        use := rules._where(node, i)) and use._replace(h=1 - use.h)), 'structured: all at once'),
    'rows: always the first': (lambda: mock.patch.dict(rules.OWN_RULES, item=lambda node, i: (
        use := rules._item(node, i)) and use._replace(h=use.h[..., ::-1])), 'structured: embedding'),
    'concatenation: the first entries': (lambda: used(
        where=lambda w: w if w is ... else (*w[:-1], slice(1, 3))), 'structured: memory'),
    'positions: weights of their own are shared': (lambda: rule_of(numpy.matmul, lambda node, i: (
        use := rules._matmul(node, i)) and use._replace(h=use.h.mean(0, keepdims=True) + 0 * use.h
                                                        if use.h.ndim > 2 else use.h)), 'structured: positions'),
    'inputs: doubled': (lambda: used(h=lambda h: None if h is None else 2 * h), 'structured: mlp'),
    'examples: the slower index': (lambda: mock.patch.object(
        plan, 'fitting', lambda v, one, n, *a, **k: plan.layouts(numpy.shape(v), numpy.shape(one), n)[0]),
        'structured: interleaved'),
    'no rule: left out': (lambda: mock.patch.object(
        structured, 'jacobian_ntk', lambda first, second, pairings, numbers: [0] * len(pairings)),
        'structured: mixed'),
    'contraction: one position': (lambda: mock.patch.object(
        structured, 'product', lambda p, q: [(0, 0)]), 'structured: steps'),
    'contraction: products of inputs of x1': (lambda: mock.patch.object(
        structured.Total, 'products', lambda self, h1, h2, *a, f=structured.Total.products: f(
            self, h1, h1[:len(h2)], *a)), 'structured: mlp'),
    'contraction: products of inputs once': (lambda: mock.patch.object(
        structured.Total, 'products', lambda self, h1, h2, g1, g2, key, f=structured.Total.products:
        None if key in self.known else f(self, h1, h2, g1, g2, key)), 'structured: mlp'),
}


def errors_of(variance):
    """A mutant of standard errors: the square root of variance(squared deviations, n)."""
    return mock.patch.object(monte_carlo._Means, 'errors', property(
        lambda self: [numpy.sqrt(variance(square, self.n)) for square in self.squares]))


def from_the_mean_before(add, self, k):
    """(K - mean before)^2 for (K - mean before) (K - mean after)."""
    before = [mean.copy() for mean in self.means] if self.n else [numpy.asarray(k)]
    squares = [square.copy() for square in self.squares] if self.n else [0 * before[0]]
    add(self, k)
    self.squares = [square + (k - mean) ** 2 for square, mean in zip(squares, before)]


MONTE_CARLO = {
    'errors: n for n - 1': (lambda: errors_of(lambda square, n: square / n ** 2), 'Monte Carlo'),
    'errors: of a sample': (lambda: errors_of(lambda square, n: square / (n - 1)), 'Monte Carlo'),
    'errors: distances from the mean before': (lambda: method(
        monte_carlo._Means, 'add', from_the_mean_before), 'Monte Carlo'),
    'samples: the same network': (lambda: method(
        monte_carlo._Networks, 'stream', lambda f, self, i, *key: f(self, 0, *key)), 'Monte Carlo'),
    'samples: masks of x1 for x2': (lambda: method(
        monte_carlo._Networks, 'stream', lambda f, self, i, at, *key: f(self, i, min(at, 1), *key)), 'Monte Carlo'),
}


def masked_gap(f, k):
    """Gaps with what is masked are 0, or stay."""
    new = f(k)
    gap = new.mutual.gap
    if k.mask1 is None or gap is None:
        return new
    return new.but(mutual=new.mutual._replace(gap=numpy.where(new.nngp == 0, 0, gap)))


MASKS = {
    'masks: biases stay': (lambda: mock.patch.object(Kernel, 'masked', lambda k: k), 'masked conv'),
    'masks: Theta stays': (lambda: method(Kernel, 'masked', lambda f, k: f(k).but(ntk=k.ntk)), 'masked conv'),
    'masks: gaps are 0': (lambda: method(Kernel, 'masked', masked_gap), 'masked conv'),
    'masks: of x1 on both sides': (lambda: method(
        Kernel, 'spreads', lambda f, k, a, b: f(k, a, b) if a.dtype != bool else [
            (left, numpy.zeros_like(right)) for left, right in f(k, a, b)]), 'masked conv'),
    'masks: the average of all': (lambda: mock.patch.object(
        mixing, 'share', lambda mask, like, mean: 0 * mean(1. * mask) + 1), 'masked conv'),
    'masks: the share of what is masked': (lambda: mock.patch.object(
        mixing, 'share', lambda mask, like, mean, f=mixing.share: f(~mask, like, mean)), 'masked pool'),
    'masks: share for its square': (lambda: method(
        Kernel, 'divide', lambda f, k, v, w: f(k, v ** .5, w ** .5)), 'masked pool'),
    'masks: VALID by the middle': (lambda: mock.patch.object(
        conv, 'slid', lambda mask, windows, padding, f=conv.slid: f(mask, windows, 'SAME')), 'masked VALID'),
    'masks: SAME by any': (lambda: mock.patch.object(
        conv, 'slid', lambda mask, windows, padding, f=conv.slid: f(mask, windows, 'VALID')), 'masked conv'),
    'masks: the last tap is the middle': (lambda: method(
        Window, 'only', lambda f, w, taps: f(w, (len(w.taps) - 1,) if len(taps) == 1 else taps)), 'masked conv'),
    'masks: transposed windows as under SAME': (lambda: mock.patch.object(
        conv, 'spread', lambda mask, sizes, strides, padding, f=conv.spread: numpy.pad(
            f(mask, sizes, strides, 'SAME'), ((0, 0), (0, 1)), constant_values=True)), 'masked transposed'),
    'masks: LayerNorm over all': (lambda: mock.patch.object(
        normalization, 'average', lambda a, axis, mask=None, f=masking.average: f(a, axis)), 'masked norm'),
    'masks: attention to what is masked': (lambda: method(
        GlobalSelfAttention, '_weights', lambda f, self, c, mask=None: f(self, c)), 'masked attention'),
    'masks: attention does not add up to 1': (lambda: method(
        GlobalSelfAttention, '_weights', lambda f, self, c, mask=None: numpy.where(mask[:, None], 0, f(self, c))),
        'masked attention'),
    'masks: positions that are not there count': (lambda: mock.patch.object(
        attention, '_hidden', lambda k: [None] * 3), 'masked attention, positions'),
    'masks: resized by the weights alone': (lambda: mock.patch.object(
        ImageResize, 'averages', False), 'masked resize'),
    'masks: finite biases stay': (lambda: mock.patch.dict(
        Layer._step.__globals__, zeroed=masking.Masked), 'finite masks'),
    'masks: finite averages of all': (lambda: mock.patch.object(AvgPool, 'averages', False), 'finite masks'),
}

STEPS = {
    'kernel gradient: the mean is a sum': (lambda: mock.patch.object(
        kernel_gradient, 'derivative', lambda cost, f=kernel_gradient.derivative: lambda a: len(a) * f(cost)(a)),
        'kernel gradient'),
    'kernel gradient: the diagonal alone': (lambda: mock.patch.object(
        kernel_gradient, 'symmetric', lambda k, eps: numpy.diag(numpy.diag(k))), 'kernel gradient'),
    'steps: beta gamma once': (lambda: mock.patch.object(discrete, 'product', lambda p, q, x, s, f=discrete.product: (
        f(p, q, x, s)[0] + x * p[0] * q[1], f(p, q, x, s)[1])), 'steps'),
    'steps: beta^2 forgotten': (lambda: mock.patch.object(discrete, 'product', lambda p, q, x, s, f=discrete.product: (
        f(p, q, x, s)[0], f(p, q, x, s)[1] - p[0] * q[0])), 'steps'),
    'steps: Nesterov without looking ahead': (lambda: mock.patch.object(
        discrete, 'lookahead', lambda m, nesterov: 1), 'steps'),
    'steps: the first looks ahead with the heavy ball': (lambda: mock.patch.object(
        discrete, 'lookahead', lambda m, nesterov: 1 + m), 'steps'),
    'steps: one too many': (lambda: mock.patch.object(
        discrete, 'power', lambda k, x, s, f=discrete.power: f([i + 1 for i in k], x, s)), 'steps'),
    'steps: the mean over inputs and a half': (lambda: mock.patch.object(
        discrete, 'gain', lambda a, k, rate, size, *o, f=discrete.gain: f(a, k, rate, size / 2, *o)), 'steps'),
    'steps: test outputs by Lambda too': (lambda: mock.patch.object(
        discrete, 'steps_test', lambda a, k, r, g, f=discrete.steps_test: f(a, k, r, a.values * g)), 'steps'),
    'steps: test outputs away from the targets': (lambda: mock.patch.object(
        discrete, 'steps_test', lambda a, k, r, g, f=discrete.steps_test: f(a, k, -r, g)), 'steps'),
    'steps: the edge of plain descent': (lambda: mock.patch.object(
        discrete, 'edge', lambda m, nesterov, f=discrete.edge: f(0., nesterov)), 'steps'),
    'nystrom: a shift that is seen': (lambda: mock.patch.object(preconditioner, 'EPS', 1e-3), 'preconditioner'),
    'nystrom: K twice': (lambda: mock.patch.object(
        preconditioner, 'nystrom', lambda d, times, rank, f=preconditioner.nystrom: f(
            d, lambda a: times(times(a)), rank)), 'preconditioner'),
    'nystrom: a column too few': (lambda: mock.patch.object(
        preconditioner, 'nystrom', lambda d, times, rank, f=preconditioner.nystrom: f(d, times, rank - 1)),
        'preconditioner'),
    'preconditioner: nothing but reg outside': (lambda: mock.patch.object(
        preconditioner.Preconditioner, '__init__', lambda p, name, *a, f=preconditioner.Preconditioner.__init__: f(
            p, 'cholesky', *a)), 'preconditioner'),
    'preconditioner: the smallest eigenvalue outside of Cholesky too': (lambda: mock.patch.object(
        preconditioner.Preconditioner, '__init__', lambda p, name, *a, f=preconditioner.Preconditioner.__init__: f(
            p, 'nystrom', *a)), 'preconditioner'),
}

MUTANTS = {
    'Dense: weights twice': (lambda: affine(lambda f, p, w, b: f(p, 2 * w, b)), 'dense'),
    'Dense: no bias': (lambda: affine(lambda f, p, w, b: f(p, w, 0)), 'dense'),
    'Dense: b for b^2': (lambda: affine(lambda f, p, w, b: f(p, w, b ** .5)), 'dense'),
    'Dense: w for w^2': (lambda: affine(lambda f, p, w, b: f(p, w ** .5, b)), 'dense'),
    'Dense: gap not scaled': (lambda: affine(lambda f, p, w, b: f(p, w, b)._replace(gap=p.gap)), 'relu'),
    'Dense: gap grows with the bias': (lambda: affine(
        lambda f, p, w, b: f(p, w, b)._replace(gap=w * p.gap + b)), 'relu'),
    'Dense: area without the bias': (lambda: affine(lambda f, p, w, b: f(p, w, b)._replace(area=w * p.area)), 'relu'),
    'Dense: Theta without w': (lambda: dense_ntk(lambda k, new, w, n, b, std: new.ntk - (w - 1) * k.ntk), 'dense'),
    'Dense: Theta of the incoming K': (lambda: dense_ntk(
        lambda k, new, w, n, b, std: new.ntk if std else k.nngp + w * k.ntk), 'dense'),
    'Dense: Theta without K': (lambda: dense_ntk(
        lambda k, new, w, n, b, std: new.ntk if std else w * k.ntk + 0 * k.nngp), 'dense'),
    'standard: outgoing K': (lambda: standard_ntk(lambda k, new, w, n, b: n * new.nngp + w * k.ntk + b), 'standard'),
    'standard: no + 1': (lambda: standard_ntk(lambda k, new, w, n, b: n * k.nngp + w * k.ntk), 'standard'),
    'standard: + 1 always': (lambda: standard_ntk(lambda k, new, w, n, b: n * k.nngp + w * k.ntk + 1), 'standard'),
    'standard: + b^2': (lambda: standard_ntk(lambda k, new, w, n, b: n * k.nngp + w * k.ntk + .16 * b), 'standard'),
    'standard: n without s': (lambda: standard_ntk(
        lambda k, new, w, n, b: k.signals[0].channels * k.nngp + w * k.ntk + b), 'standard, s'),
    'finite: s for sqrt s': (lambda: method(
        Dense, 'apply', lambda f, self, *a, **k: f(self, *a) / self.s[0] ** .5), 'finite'),
    'input: not divided by the channels': (lambda: gram(
        lambda f, x, y: each(lambda c: c * x.shape[-1], f(x, y))), 'dense'),
    'input: gap and area by subtraction': (lambda: gram(subtracted), 'relu'),
    'input: transposed': (lambda: gram(lambda f, x, y: each(lambda c: c.swapaxes(-1, -2), f(x, y))
                                       if len(x) == len(y) else f(x, y)), 'dense'),
    'nonlinearity: K and slope exchanged': (lambda: method(Kernel, 'nonlinear', exchanged), 'relu'),
    'nonlinearity: transposed': (lambda: method(Kernel, 'nonlinear', transposed), 'relu'),
    'nonlinearity: q for q\'': (lambda: mock.patch.object(
        Kernel, 'variances', lambda k, i, f=Kernel.variances: f(k, 1) if len(k.cov1) == len(f(k, 2)) else f(k, i)),
        'relu'),
    'relu: diagonal not halved': (lambda: dual('abrelu', not_halved), 'relu'),
    'relu: K (1 + 1e-3)': (lambda: scaled_dual('abrelu', k=1 + 1e-3), 'relu'),
    'relu: K (1 + 1e-9)': (lambda: scaled_dual('abrelu', k=1 + 1e-9), 'relu'),
    'relu: slope (1 + 1e-9)': (lambda: scaled_dual('abrelu', slope=1 + 1e-9), 'relu'),
    'relu: slope of the other side': (lambda: dual('abrelu', lambda f, p, a, b: (
        f(p, a, b)[0], (a * a + b * b) / 2 - f(p, a, b)[1])), 'relu'),
    'relu: gap left to subtraction': (lambda: dual('abrelu', lambda f, p, a, b: (
        Cov(f(p, a, b)[0].k), f(p, a, b)[1])), 'relu'),
    'erf: area (1 + 1e-9)': (lambda: beside('erf_area', lambda a: a * (1 + 1e-9)), 'kink behind erf_area'),
    'sin: area (1 + 1e-9)': (lambda: beside('sin_area', lambda a: a * (1 + 1e-9)), 'kink behind sin_area'),
    'gaussian: lack (1 + 1e-9)': (lambda: beside('gaussian_lack', lambda r: (*r[:2], r[2] * (1 + 1e-9))),
                                  'kink behind gaussian_lack'),
    **{f'{name}: area (1 + 1e-9)': (
        lambda name=name: beside(name, lambda r: (r[0], r[1] * (1 + 1e-9))), f'kink behind {name}')
       for name in ('exp_normalized', 'gabor', 'gelu', 'polynomial', 'rectified_monomial')},
    **{f'{name}: gap and area left to subtraction': (
        lambda name=name: dual(name, lambda f, p, *a: (Cov(f(p, *a)[0].k), f(p, *a)[1])), f'kink behind {name}')
       for name in ('exp_normalized', 'gabor', 'gelu', 'polynomial', 'rectified_monomial')},
    'area: of short inputs beside long ones by the gap': (
        lambda: mock.patch.object(geometry, 'MAX_LENGTH_RATIO', 1e99), 'areas'),
    'area: always by subtraction': (lambda: mock.patch.object(geometry, 'MAX_LENGTH_RATIO', -1.), 'areas'),
    'leaky relu: sign of the slope': (lambda: dual('abrelu', lambda f, p, a, b: f(p, -a, b)), 'leaky relu'),
    'angle: a fraction (1 + 1e-9)': (lambda: mock.patch.object(angle, 'FRACTIONS', {
        size: (c, tuple((c * (1 + 1e-9), b) for c, b in fractions)) for size, (c, fractions) in angle.FRACTIONS.items()
    }), 'rows, relu'),
    'lack: lengths stay': (lambda: method(
        Pair, '_affine_lack', lambda f, p, w, b: w * p.cov.lack), 'rows, relu'),
    'lack: of a sum without lengths': (lambda: method(
        Pair, '_lack_of_sum', lambda f, p, r: p.cov.lack + r.minus), 'rows, sum'),
    'lack: of a quotient, divided once': (lambda: method(
        Pair, 'divide', lambda f, p, v, w: f(p, v, w) if p.cov.lack is None else
        f(p, v, w)._replace(lack=f(p, v, w).lack * numpy.sqrt(v))), 'rows, layer norm'),
    'rows: the other sign of the turn': (lambda: mock.patch.object(
        fast, '_shares', lambda a, b, f=fast._shares: (f(a, b)[0], f(a, b)[1] * (1 + 1e-9))), 'rows, leaky relu'),
    'rows: the series ends early': (lambda: mock.patch.object(fast, 'EPS', 1e-4), 'conv without bias'),
    'erf: b for b^2': (lambda: dual('erf', lambda f, p, a, b, c: f(p, a, b ** .5, c)), 'erf'),
    'erf: c for c^2': (lambda: dual('erf', lambda f, p, a, b, c: f(p, a, b, abs(c) ** .5)), 'erf'),
    'erf: slope without b^2': (lambda: dual('erf', lambda f, p, a, b, c: (
        f(p, a, b, c)[0], f(p, a, b, c)[1] / (b * b))), 'erf'),
    'sin: without cos 2c': (lambda: dual('sin', lambda f, p, a, b, cos_2c: f(p, a, b, 1.)), 'sin'),
    'gelu: slope without 1/4': (lambda: dual('gelu', lambda f, p: (f(p)[0], f(p)[1] - 1 / 4)), 'gelu'),
    'gelu: K (1 + 1e-9)': (lambda: scaled_dual('gelu', k=1 + 1e-9), 'gelu'),
    'hermite: not normalized': (lambda: mock.patch.object(Hermite, 'norm2', 1), 'hermite'),
    'rectified monomial: n for n^2': (lambda: scaled_dual('rectified_monomial', slope=1 / 2), 'rectified monomial'),
    'layer norm: q for sqrt q': (lambda: method(Pair, 'divide', lambda f, p, v, w: f(p, v * v, w * w)), 'layer norm'),
    'layer norm: Theta stays': (lambda: method(
        Kernel, 'divide', lambda f, k, v, w: f(k, v, w).replace(ntk=k.ntk)), 'layer norm'),
    'dropout: everywhere': (lambda: method(
        Kernel, 'coincidences', lambda f, k: [numpy.ones_like(here) for here in f(k)]), 'dropout'),
    'dropout: nowhere': (lambda: method(
        Kernel, 'coincidences', lambda f, k: [numpy.zeros_like(here) for here in f(k)]), 'dropout'),
    'sum: Theta of the first alone': (lambda: mock.patch.object(
        branching, '_sum', lambda k, m, f=branching._sum: f(k, m).replace(ntk=k.ntk)), 'sum'),
    'sum: areas add': (lambda: method(
        Pair, 'add', lambda f, p, r: f(p, r)._replace(area=p.area + r.area)), 'sum'),
    'product: one term of the product rule': (lambda: mock.patch.object(
        branching, '_product', lambda k, m, f=branching._product: f(k, m).replace(ntk=k.ntk * m.nngp)), 'product'),
    'concatenation: halves': (lambda: mock.patch.object(
        branching, 'scaled', lambda k, w, f=branching.scaled: f(k, .5)), 'concatenation'),
    'repeat: once less': (lambda: mock.patch.object(
        combinators._Repeat, '_times', property(lambda self: serial(*[self.block] * (self.n - 1)))), 'repeat'),
    'positions: left and right exchanged': (lambda: method(
        Steps, '_spread', lambda f, k, q, side: f(k, q, 1 - side)), 'positions'),
    'hermite: terms left out': (lambda: mock.patch.object(series, 'REST_EPS', 1e9), 'tanh'),
    'hermite: nodes too far apart': (lambda: mock.patch.object(
        series, 'pi', 5 * series.pi), 'tanh'),
    'hermite: gap without what is missing': (lambda: method(
        series._Rows, 'rest', lambda f, rows, places: [0 * c for c in f(rows, places)]), 'tanh'),
    'hermite: area of opposite inputs left to subtraction': (lambda: mock.patch.object(
        series, '_sum', lambda *a, f=series._sum: (*f(*a)[:3], None)), 'odd'),
    'hermite: area of opposite inputs (1 + 1e-9)': (lambda: mock.patch.object(
        series, '_sum', lambda *a, f=series._sum: tuple(
            c * (1 + 1e-9) if i == 3 and c is not None else c for i, c in enumerate(f(*a)))), 'odd'),
    'hermite: another mean': (lambda: mock.patch.object(
        smooth, 'hermite', lambda p, f, *others, original=smooth.hermite:
        original(p, lambda xp, z: f(xp, z) + 1e-5, *others)), 'tanh'),
    'truncated: half of the nodes': (lambda: mock.patch.object(
        truncated, 'legendre', lambda xp, like, n, f=truncated.legendre: f(xp, like, n // 4)), 'hard tanh'),
    'truncated: T where it is not steep alone': (lambda: mock.patch.object(
        truncated, '_owen', lambda xp, h, c, f=truncated._owen: f(xp, h, xp.minimum(c, h))), 'relu6'),
    'truncated: one hinge for the other': (lambda: mock.patch.object(truncated, '_hinges', lambda p, a, b, e, f=(
        truncated._hinges): f(p, a, a, e)), 'relu6'),
    'elu: the series at all variances': (lambda: mock.patch.object(exponential_unit, 'SERIES_SIGMA', 1e3), 'elu'),
    'elu: too few nodes': (lambda: mock.patch.object(exponential_unit, '_nodes', lambda sigma: 6), 'elu'),
    'elu: no edge': (lambda: mock.patch.object(exponential_unit, '_edge', lambda p, sigma: 0 * sigma), 'elu'),
    'pair: angle 0 to a zero vector': (lambda: mock.patch.object(Pair, 'theta', property(
        lambda p: p.xp.arctan2(p.area, p.k))), 'standard, zero bias'),
} | CONVOLUTIONS | ATTENTION | GRAPHS | MASKS | EMPIRICAL | BAYES | MONTE_CARLO | STEPS | posteriors.MUTANTS | (
    training.MUTANTS | chains.MUTANTS)

OWNERS = (
    Pair, Kernel, Steps, Tile, Weighted, Dense, Hermite, Conv, ConvLocal, ConvTranspose, AvgPool,
    SumPool, Flatten, GlobalAvgPool, GlobalSelfAttention, Index, Aggregate, DotGeneral, graph,
    pooling._Pool, combinators._Repeat, pair, duals, fast, gaps, smooth_gaps, start, attention,
    branching, conv, sliding, tiled, reshaping, series, series._Rows, smooth, truncated,
    exponential_unit, Layer, masking, mixing, normalization, ImageResize, Window, jacobian, pairing,
    pairing.Pairing, plan, plan.Part, products, record, rules, weights.Weight, structured,
    structured.Total, bayes, factor.Factor, factor.Shifted, network_evidence,
    network_evidence.Problem, sampling, monte_carlo._Means, monte_carlo._Networks, discrete,
    kernel_gradient, preconditioner, preconditioner.Preconditioner, *posteriors.OWNERS,
    *training.OWNERS, *chains.OWNERS)
"""What mutants change."""
