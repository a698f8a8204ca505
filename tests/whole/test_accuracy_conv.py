"""Kernels of networks with positions against 120 digits (`reference_conv`): how many of their own are right.

Images x and sign * x + separation * direction, from far apart down to the same; NNGP and NTK, in tiles and whole, in
both precisions. What is kept where the gap is carried, and what is lost where it is not: behind a pool, and (the area)
between images that are multiples of each other.
"""
from functools import cache

import mpmath as mp
import numpy
import pytest
import reference
import reference_conv
from tolerances import DTYPES

from ntref.stax import (
    Abs, AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Erf, FanInSum, FanOut, Flatten, GlobalAvgPool, Identity,
    LeakyRelu, Relu, SumPool, parallel, serial)

SEPARATIONS = {'float64': (1., 1e-1, 1e-2, 1e-4, 1e-8, 1e-12, 0.), 'float32': (1., 1e-2, 0.)}
FEW = {'float64': (1., 1e-4, 1e-8, 0.), 'float32': (1e-2, 0.)}
EPS = {dtype: float(numpy.finfo(dtype).eps) for dtype in DTYPES}
BAR, DEEP = 8, 64            # eps; the worst seen are 2 and, 20 layers deep, 10
HE = 2 ** .5


def conv(size=(3, 3), padding='SAME', W_std=HE, b_std=.1, **others):
    return Conv(8, size, padding=padding, W_std=W_std, b_std=b_std, **others)


def stack(*layers, depth=2, end=(Flatten(),)):
    return serial(*layers * depth, *end, Dense(1, 1.1, .2))


no_bias, pooled = conv(b_std=None), (GlobalAvgPool(),)
IMAGE, SMALL, ROW, CUBE = (4, 4, 2), (3, 3, 2), (7, 2), (2, 3, 2, 2)

NETWORKS = {
    'same': (stack(conv(), Relu(), depth=3), IMAGE),
    'same, no bias': (stack(no_bias, Relu(), depth=3), IMAGE),
    'valid': (stack(conv((2, 2), 'VALID'), Relu()), IMAGE),
    'circular': (stack(conv(padding='CIRCULAR'), Relu()), IMAGE),
    'strided': (serial(conv(strides=(2, 2)), Relu(), conv((2, 2), 'CIRCULAR', b_std=None), Relu(), Flatten()), IMAGE),
    'standard': (stack(conv(parameterization='standard'), Relu()), IMAGE),
    'row': (stack(conv((3,)), Relu(), depth=3), ROW),
    'cube': (stack(conv((2, 2, 1)), Relu()), CUBE),
    'parallel pixels': (stack(conv((1, 1), b_std=None), Relu(), conv(), Relu(), depth=1), (3, 3, 1)),
    'leaky': (stack(conv(), LeakyRelu(.2)), IMAGE),
    'abs': (stack(conv(W_std=1., b_std=None), Abs()), IMAGE),
    'erf': (stack(conv(W_std=1.5, b_std=.2), Erf()), IMAGE),
    'erf, relu': (serial(conv(W_std=1.5), Erf(), conv(), Relu(), Flatten(), Dense(1)), IMAGE),
    'residual': (serial(conv(), FanOut(2), parallel(serial(Relu(), conv()), Identity()), FanInSum(), Relu(), Flatten(),
                        Dense(1)), IMAGE),
    'transposed': (serial(ConvTranspose(8, (3, 3), (2, 2), 'SAME', HE, .1), Relu(), conv(), Relu(), Flatten()), SMALL),
    'local': (serial(conv(), Relu(), ConvLocal(8, (2, 2), W_std=HE, b_std=.1), Relu(), conv(), Relu(), *pooled), IMAGE),
    'global pool': (stack(conv(), Relu(), end=pooled), SMALL),
    'circular, global pool': (stack(conv(padding='CIRCULAR', b_std=None), Relu(), end=pooled), SMALL),
    'strided, global pool': (serial(conv(strides=(2, 2)), Relu(), conv((2, 2)), Relu(), *pooled, Dense(1)), IMAGE),
    'erf, global pool': (stack(conv(W_std=1.5), Erf(), end=pooled), SMALL),
    'pool': (stack(conv(), Relu(), end=(AvgPool((2, 2), (2, 2)), Flatten())), IMAGE),
    'pool at the borders': (stack(conv(), Relu(), end=(AvgPool((3, 3), (2, 2), 'SAME', True), Flatten())), SMALL),
    'sum pool': (stack(conv(), Relu(), end=(SumPool((2, 2)), Flatten())), SMALL),
}

DEEP_NETWORKS = {
    'relu': (stack(conv(), Relu(), depth=20), IMAGE),
    'relu, no bias': (stack(no_bias, Relu(), depth=20), SMALL),
    'relu, circular': (stack(conv(padding='CIRCULAR', b_std=None), Relu(), depth=20), SMALL),
    'leaky': (stack(conv(), LeakyRelu(.3), depth=20), SMALL),
    'abs': (stack(conv(W_std=1.), Abs(), depth=20), SMALL),
    'erf': (stack(conv(W_std=1.5), Erf(), depth=20), SMALL),
    'global pool': (stack(conv((2, 2)), Relu(), depth=20, end=pooled), (2, 2, 2)),
}


# ------------------------------------------------------------------ what is measured

def images(shape, dtype, separations, sign=1, seed=7):
    """x, and sign * x + separation * direction for each separation."""
    x, d = numpy.random.default_rng(seed).standard_normal((2, *shape)).astype(dtype)
    return x, numpy.stack([sign * x + numpy.dtype(dtype).type(h) * d for h in separations])


@cache
def truth(net, one, other, shape, dtype):
    """`Field` of two images, given as bytes."""
    one, other = (numpy.frombuffer(x, dtype).reshape(shape) for x in (one, other))
    return reference_conv.kernel(net.to_spec(), one, other)


def errors(values, fields, itself=True):
    """Of numbers (or arrays over pairs of positions) of the kernels `fields`: the worst (K, Theta) of each.

    Relative to the value itself, or to the largest it could be.
    """
    table = []
    for k, t, z in zip(*values, fields, strict=True):
        worst = [0., 0.]
        for i in reference_conv.positions(z.shape):
            for j in reference_conv.positions(z.shape):
                place, exact = tuple(n for pair in zip(i, j) for n in pair), z.at(i, j)
                sizes = map(abs, exact) if itself else z.scales(i, j)
                with mp.workdps(60):
                    found = (float(abs(mp.mpf(float(v[place])) - e) / size) for v, e, size in zip((k, t), exact, sizes))
                    worst = list(map(max, worst, found))
        table.append(worst)
    return numpy.array(table)


def measure(net, x, others, itself=True):
    """Errors (K, Theta) at each of `others`: {'tiles', 'whole'}; and {'alone'}: of x with itself, within one batch."""
    fields = [truth(net, x.tobytes(), y.tobytes(), x.shape, str(x.dtype)) for y in others]
    own = [truth(net, y.tobytes(), y.tobytes(), x.shape, str(x.dtype)) for y in others[-1:]]
    found = {}
    for path, get in ('tiles', ('nngp', 'ntk')), ('whole', None):
        k = net.kernel_fn(x[None], others, get)
        assert k.nngp.dtype == k.ntk.dtype == x.dtype
        found[path] = errors((k.nngp[0], k.ntk[0]), fields, itself)
        k, last = net.kernel_fn(others, get=get), len(others) - 1
        found[f'{path}, alone'] = errors(([k.nngp[last, last]], [k.ntk[last, last]]), own, itself)
    return found


def assert_within(found, bound, dtype):
    for path, error in found.items():
        assert (error <= bound * EPS[dtype]).all(), (path, error / EPS[dtype])


# ------------------------------------------------------------------ the reference itself

def test_one_position_is_a_vector():
    """Windows of one tap: `reference` at each position, and Flatten is the mean."""
    x, (y, ) = images((2, 3, 2), 'float64', (1.,))
    layers = [Conv(8, (1, 1), W_std=1.3, b_std=.2), Relu(), Conv(8, (1, 1), parameterization='standard'), Erf()]
    dense = [Dense(8, 1.3, .2), Relu(), Dense(8, parameterization='standard'), Erf()]
    z = reference_conv.kernel(serial(*layers).to_spec(), x, y)
    flat = reference_conv.kernel(serial(*layers, Flatten()).to_spec(), x, y)
    places = reference_conv.positions((2, 3))
    for name, letter in ('k', 'k'), ('t', 't'):
        expected = {(i, j): getattr(reference.kernel(serial(*dense).to_spec(), x[i], y[j]), letter)
                    for i in places for j in places}
        with mp.workdps(60):
            assert all(abs(getattr(z, name)(0, i, 1, j) - e) < 1e-60 for (i, j), e in expected.items())
            assert abs(getattr(flat, name)(0, (), 1, ()) - sum(expected[i, i] for i in places) / 6) < 1e-60


def test_a_row_worked_out_by_hand():
    """Taps 2, 'SAME', stride 2 over (1, 2, 3): windows (1, 2), (3, 0); K = (1*1 + 2*2)/2 * 4 + 1 = 11, and so on."""
    x = numpy.array([[1.], [2.], [3.]])
    layer = Conv(8, (2,), (2,), 'SAME', 2., 1.)
    z = reference_conv.kernel(layer.to_spec(), x, x)
    assert [z.k(0, (i,), 1, (j,)) for i in (0, 1) for j in (0, 1)] == [11, 7, 7, 19]
    twice = reference_conv.kernel(serial(layer, Dense(8, 3., 2.)).to_spec(), x, x)
    assert [twice.t(0, (0,), 1, (j,)) for j in (0, 1)] == [9 * 11 + 4 + 9 * 11, 9 * 7 + 4 + 9 * 7]
    pooled = reference_conv.kernel(serial(layer, AvgPool((2,))).to_spec(), x, x)
    assert pooled.k(0, (0,), 1, (0,)) == pooled.t(0, (0,), 1, (0,)) == 11


@pytest.mark.parametrize('wrong', [conv(W_std=HE * (1 + 1e-13)), conv(b_std=.1 + 1e-13), conv((3, 2))], ids=repr)
def test_another_network_is_not_within_the_bar(wrong):
    x, others = images(SMALL, 'float64', (1e-2, 0.))
    right = stack(conv(), Relu())
    assert_within(measure(right, x, others), BAR, 'float64')
    fields = [truth(right, x.tobytes(), y.tobytes(), SMALL, 'float64') for y in others]
    k = stack(wrong, Relu()).kernel_fn(x[None], others)
    assert (errors((k.nngp[0], k.ntk[0]), fields) > BAR * EPS['float64']).all()


# ------------------------------------------------------------------ where gaps are carried: to rounding

@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', NETWORKS)
def test_every_separation(name, dtype):
    net, shape = NETWORKS[name]
    assert_within(measure(net, *images(shape, dtype, SEPARATIONS[dtype])), BAR, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', DEEP_NETWORKS)
def test_twenty_layers(name, dtype):
    net, shape = DEEP_NETWORKS[name]
    assert repr(net).count('Conv(') == 20
    assert_within(measure(net, *images(shape, dtype, FEW[dtype])), DEEP, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('layer', [conv(), no_bias, conv(padding='CIRCULAR')], ids=repr)
def test_every_pair_of_positions(layer, dtype):
    """Also those that see different parts of the two images, relative to the largest that K could be."""
    net = serial(layer, Relu(), layer, Relu())
    assert_within(measure(net, *images(SMALL, dtype, FEW[dtype]), itself=False), BAR, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('end', [(Flatten(),), pooled], ids=repr)
def test_a_background_of_zeros(end, dtype):
    """Patches that are zero in both images, and (in the first of the others) in one of them."""
    shape = (5, 5, 2) if end != pooled else (5, 2, 2)
    corner, other = numpy.zeros((2, *shape[:2], 1), dtype)
    corner[:2, :2], other[3:] = 1, 1
    x, others = images(shape, dtype, (1e-4, 1., 1e-8, 0.))
    x, others = corner * x, numpy.concatenate([other * others[:1], corner * others[1:]])
    net = serial(no_bias, Relu(), conv((2, 2), b_std=None), Relu(), *end, Dense(1))
    assert (net.kernel_fn(others, get='nngp') > 0).all() and (no_bias.kernel_fn(others).nngp == 0).any()
    assert_within(measure(net, x, others), BAR, dtype)


# ------------------------------------------------------------------ multiples: the area is not carried

@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('factor', [2., 3., 1 / 3, -1., -2.])
def test_multiples_of_each_other(factor, dtype):
    """K to rounding; Theta to half the digits where patches are exactly parallel: without a bias."""
    x, others = images(IMAGE, dtype, (0.,), factor)
    assert_within(measure(stack(conv(), Relu()), x, others), BAR, dtype)
    found = measure(stack(no_bias, Relu()), x, others)
    assert (found['tiles'][:, 0] <= BAR * EPS[dtype]).all() and (found['whole'][:, 0] <= BAR * EPS[dtype]).all()
    assert EPS[dtype] ** .75 <= max(found['tiles'][0, 1], found['whole'][0, 1]) <= EPS[dtype] ** .5


# ------------------------------------------------------------------ behind a pool: the gap is not carried

POOLS = AvgPool((2, 2)), AvgPool((2, 2), (2, 2)), SumPool((2, 2), (2, 2)), AvgPool((2, 2), (2, 1), 'CIRCULAR')


def around(pool, layer=conv(), end=(Flatten(),)):
    return serial(layer, Relu(), pool, layer, Relu(), *end, Dense(1))


BEHIND_A_POOL = {
    **{repr(pool): (around(pool), IMAGE) for pool in POOLS},
    'no bias': (around(AvgPool((2, 2), (2, 2)), no_bias), IMAGE),
    'global pool': (around(AvgPool((2, 2)), end=pooled), SMALL),
    'dense': (serial(conv(), Relu(), *pooled, Dense(8, HE, .1), Relu(), Dense(1)), SMALL),
    'deep': (serial(conv(), Relu(), AvgPool((2, 2)), *[conv(), Relu()] * 10, Flatten(), Dense(1)), SMALL),
}


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', BEHIND_A_POOL)
def test_behind_a_pool(name, dtype):
    """K to rounding; Theta loses eps / separation, up to sqrt eps, and nothing at separation 0."""
    net, shape = BEHIND_A_POOL[name]
    eps, root = EPS[dtype], EPS[dtype] ** .5
    separations = 1., 30 * root, 3 * root, root, 0.
    found = measure(net, *images(shape, dtype, separations))
    for path, error in found.items():
        loss = numpy.array([min(eps / h, root) if h else 0. for h in separations])[-len(error):]
        assert (error[:, 0] <= DEEP * eps).all(), (path, error[:, 0] / eps)
        assert (error[:, 1] <= DEEP * eps + loss).all(), (path, error[:, 1] / (DEEP * eps + loss))
    assert min(found[path][:, 1].max() for path in ('tiles', 'whole')) > root / 1000, 'better than stated'
