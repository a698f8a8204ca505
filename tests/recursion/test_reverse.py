"""Gradients of kernels in blocks: those that autograd traces over whole arrays, for all layers and geometries.

The traced ones are checked against differences in test_gradients.py. Both sum different numbers in another order, and
differ by rounding; near coincidence that is amplified by one over the angle, in both.
"""
import gc
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import autograd
import autograd.numpy as anp
import numpy
import pytest
from autograd import tracer
from autograd.core import make_jvp, make_vjp, primitive_vjps

from ntref import batch
from ntref.duals.watched import MIN_ANGLE, Watched
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.recursion import reverse, tiled
from ntref.stax import (
    ABRelu, AvgPool, Conv, ConvLocal, ConvTranspose, Cos, Dense, Dropout, Elu, Erf, Exp, ExpNormalized, FanInSum,
    FanOut, Flatten, Gabor, Gaussian, Gelu, GlobalAvgPool, GlobalSumPool, Hermite, Identity, LayerNorm, LeakyRelu,
    Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, RMSNorm, Sigmoid_like, Sign, Sin, SumPool, Tanh, parallel,
    plan, serial)

TOLERANCE = 1e-12            # of the largest entry of the gradient; measured 2e-14
NEAR = 1e-10                 # where pairs have angles from 0.01 on, after three layers; measured 1e-12
D1, D2 = Dense(8, 1.3, .4), Dense(8, .9, .2)

LAYERS = [Relu(), ABRelu(-.5, 1.2), Sign(), RectifiedMonomial(2), Erf(.7, 1.4, -.3), Sigmoid_like(), Gelu(),
          Sin(.8, 1.3, .4), Cos(), Rbf(.3), Gaussian(), Exp(.5, .4), ExpNormalized(.7, .2), Gabor(),
          Polynomial((.3, -.5, .2, .1)), Tanh(), Elu()]
DENSE = [serial(D1, layer, D2, Relu(), D2) for layer in LAYERS] + [
    serial(D1, LayerNorm(), Relu(), D2), serial(D1, RMSNorm(), Gelu(), D2), serial(D1, Relu(), Dropout(.7), D2),
    serial(D1, FanOut(2), parallel(Identity(), serial(Relu(), D2)), FanInSum(), Erf(), D2),
    serial(Dense(8, 1.3, .4, parameterization='standard'), Relu(), Dense(8, .9, parameterization='standard'))]


def conv(size=(3,), padding='SAME', kind=Conv, **options):
    return kind(8, size, padding=padding, W_std=1.3, b_std=.4, **options)


IMAGES = [
    serial(conv(), Relu(), Flatten(), D2), serial(conv(), Erf(), conv(padding='CIRCULAR'), Gelu(), GlobalAvgPool(), D2),
    serial(conv(), Relu(), AvgPool((2,), (2,)), conv((2,), 'VALID'), Relu(), GlobalSumPool()),
    serial(conv(), Gelu(), SumPool((2,)), FanOut(2), parallel(conv((1,)), serial(conv(), LayerNorm((1, 2)), Erf(), D2)),
           FanInSum(), GlobalAvgPool()),
    serial(conv(), Relu(), Dropout(.7), conv()), serial(conv((2,), kind=ConvLocal), Relu(), Flatten(), D2),
    serial(conv(strides=(2,), kind=ConvTranspose), Relu(), Flatten(), D2), serial(D1, Sin(), D2)]


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    """All calls in blocks, which are small."""
    monkeypatch.setattr(tiled, 'WORTH_TILES', 0)
    monkeypatch.setattr(reverse, 'ENTRIES', 2 ** 9)


@pytest.fixture
def counted(monkeypatch):
    """How many pairs of inputs went which way: 'generic', 'near' in blocks, 'one by one'."""
    found = dict.fromkeys(('generic', 'near', 'one by one'), 0)
    block, pairs = reverse._Passes._pulled_block, reverse._Passes._pulled_pairs

    def counted_block(self, i, j, g, is_generic):
        near = block(self, i, j, g, is_generic)
        found['generic' if is_generic else 'near'] += g[0].shape[0] * g[0].shape[1]
        return near

    def counted_pairs(self, i, j, g):
        found['one by one'] += len(i)
        pairs(self, i, j, g)
    monkeypatch.setattr(reverse._Passes, '_pulled_block', counted_block)
    monkeypatch.setattr(reverse._Passes, '_pulled_pairs', counted_pairs)
    return found


def weighted(kernels):
    """A number made of kernels, with other weights for each entry."""
    rng = numpy.random.default_rng(1)
    return sum(anp.sum(rng.standard_normal(k.shape) * k) for k in kernels)


def gradients(f, *x):
    """The gradients of f in all x: in blocks, and traced."""
    def both():
        return autograd.grad(f, tuple(range(len(x))))(*x)
    found = both()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, '_is_followed', lambda *call: False)
        return found, both()


def assert_agree(found, traced, tolerance=TOLERANCE):
    for a, b in zip(found, traced, strict=True):
        a, b = numpy.asarray(a), numpy.asarray(b)
        assert a.shape == b.shape and a.dtype == b.dtype and abs(b).max() > 0
        worst = abs(a - b).max() / abs(b).max()
        assert worst < tolerance, worst


def check(net, names, *x, tolerance=TOLERANCE):
    assert_agree(*gradients(lambda *x: weighted(net.kernel_fn(*x, get=names)), *x), tolerance)


NAMES = ('nngp',), ('ntk',), ('ntk', 'nngp')


# ------------------------------------------------------------------ in inputs

@pytest.mark.parametrize('net', DENSE, ids=repr)
@pytest.mark.parametrize('names', NAMES)
def test_in_inputs(net, names, rng, counted):
    x, y = rng.standard_normal((45, 12)), rng.standard_normal((30, 12))
    check(net, names, x, y)
    assert counted['generic'] == 45 * 30 and counted['one by one'] < 45 * 30 / 4
    check(net, names, x)
    assert counted['near'] == 0, 'inputs with themselves are no pairs'


CHAINS = [Relu(), ABRelu(-.5, 1.2), Erf(.7, 1.4, -.3), Sigmoid_like(), Gelu(), Sin(.8, 1.3, .4), Cos(), Rbf(.3),
          Gaussian(), Exp(.5, .4), ExpNormalized(.7, .2), Polynomial((.3, -.5, .2, .1)), Hermite(3)]


@pytest.mark.parametrize('layer', CHAINS, ids=repr)
@pytest.mark.parametrize('parameterization', ['ntk', 'standard'])
def test_chains_need_no_trace(layer, parameterization, rng, monkeypatch):
    """Weights and nonlinearities with an adjoint go back without autograd, in inputs and in numbers of the weights."""
    def never(*a):
        raise AssertionError('expected a chain')
    monkeypatch.setattr(reverse, 'input_of_block', never)
    x, y = rng.standard_normal((45, 12)), rng.standard_normal((30, 12))

    def loss(x, y, w, b):
        net = serial(D1, D2, layer, Dense(8, w, b, parameterization=parameterization), layer, Dense(8, w, b))
        return weighted(net.kernel_fn(x, y, get=('ntk', 'nngp')))
    assert_agree(*gradients(loss, x, y, .9, .2))
    assert_agree(*gradients(lambda x, w: loss(x, None, w, .2), x, .9))


@pytest.mark.parametrize('net', IMAGES, ids=repr)
@pytest.mark.parametrize('names', NAMES)
def test_in_images(net, names, rng):
    x, y = rng.standard_normal((7, 5, 4)), rng.standard_normal((6, 5, 4))
    check(net, names, x, y)
    check(net, names, x)


@pytest.mark.parametrize('net', [DENSE[0], IMAGES[0], IMAGES[1]], ids=repr)
@pytest.mark.parametrize('entries', [2 ** 9, 2 ** 18])
def test_in_one_of_the_inputs(net, entries, rng, monkeypatch):
    """What is not asked for is left out, and changes nothing; inputs with themselves are kept or computed again."""
    monkeypatch.setattr(reverse, 'ENTRIES', entries)
    shape = (12,) if net is DENSE[0] else (5, 4)
    x, y = rng.standard_normal((9, *shape)), rng.standard_normal((7, *shape))

    def f(x, y):
        return weighted(net.kernel_fn(x, y, get=('ntk',)))
    both = autograd.grad(f, (0, 1))(x, y)
    assert_agree(both, gradients(f, x, y)[1])
    for argnum in (0, 1):
        assert_agree([autograd.grad(f, argnum)(x, y)], both[argnum:argnum + 1])


@pytest.mark.parametrize('name', ['nngp', 'ntk'])
@pytest.mark.parametrize('n', [1, 2, 40])
def test_small_calls_go_in_blocks(name, n, rng, monkeypatch, counted):
    """Calls that are too small for tiles have the values of plain ones, in one piece, and gradients in blocks."""
    monkeypatch.setattr(tiled, 'WORTH_TILES', 2 ** 16)
    x, y = rng.standard_normal((n, 12)), rng.standard_normal((3, 12))
    seen = []

    def f(x):
        seen.append(DENSE[0].kernel_fn(x, y, name))
        return anp.sum(anp.sin(seen[-1]))
    found, traced = gradients(f, x)
    assert_agree(found, traced)
    assert (seen[0]._value == DENSE[0].kernel_fn(x, y, name)).all()
    assert counted['generic'] == 3 * n


def test_on_other_axes(rng):
    net = serial(Dense(8, 1.3, .2, batch_axis=1, channel_axis=0), Relu(), Dense(8, batch_axis=1, channel_axis=0))
    check(net, ('ntk',), rng.standard_normal((5, 21)), rng.standard_normal((5, 9)))


def test_at_equal_positions(rng):
    net = serial(conv(), Relu(), conv())
    x = rng.standard_normal((6, 5, 4))

    def f(x):
        return weighted(net.kernel_fn(x, get=('ntk',), diagonal_spatial=True))
    assert_agree(*gradients(f, x))


# ------------------------------------------------------------------ geometries

def special(rng, n, c=12):
    """n inputs of no relation, and equal, opposite, parallel, zero, and nearly equal ones."""
    x = rng.standard_normal((n, c))
    row = x[:1]
    return numpy.concatenate([x, x[:2], -row, 2 * row, 0 * row, 0 * row, row + 1e-4])


@pytest.mark.parametrize('layer', [Relu(), LeakyRelu(.2), Sign(), Erf(), Gelu(), Sin(), Rbf(), RectifiedMonomial(2)],
                         ids=repr)
@pytest.mark.parametrize('names', NAMES[:2])
def test_few_special_pairs_among_many(layer, names, rng, counted):
    net = serial(D1, layer, D2, Relu(), D2)
    x = special(rng, 60)
    check(net, names, x, tolerance=NEAR)
    assert 0 < counted['one by one'] < len(x) ** 2 / 8
    check(net, names, x, x[:30] + 0, tolerance=NEAR)


@pytest.mark.parametrize('net', [serial(RMSNorm(eps=.2), D1, Relu(), RMSNorm(eps=.1), D2, Erf()),
                                 serial(Dense(8), Relu(), Dense(8), Relu(), Dense(8), Gelu())], ids=repr)
def test_layers_behind_special_pairs(net, rng, counted):
    """What is left out goes on to later layers as the covariance that it is."""
    check(net, ('ntk',), special(rng, 60), tolerance=NEAR)
    assert counted['one by one']


def test_a_block_that_fails_without_gaps_is_tried_with_them(rng, counted, monkeypatch):
    recorded = reverse._Passes._recorded

    def failing(self, start, i, j, is_generic):
        if is_generic:
            raise ValueError('expected numbers, got NaN')
        return recorded(self, start, i, j, is_generic)
    monkeypatch.setattr(reverse._Passes, '_recorded', failing)
    net = serial(D1, LayerNorm(), Relu(), D2)
    check(net, ('ntk',), rng.standard_normal((20, 12)), rng.standard_normal((10, 12)))
    assert counted['near'] == 200 and not counted['one by one']


@pytest.mark.parametrize('names', NAMES[:2])
def test_only_special_pairs(names, rng, counted):
    x = numpy.repeat(rng.standard_normal((3, 12)), 4, 0) + numpy.array([0, 0, 1e-4, 0] * 3)[:, None]
    check(serial(D1, Relu(), D2), names, x, x[:8] + 0, tolerance=NEAR)
    assert counted['near'] and not counted['one by one']


@pytest.mark.parametrize('net', IMAGES[:4], ids=repr)
def test_special_images(net, rng):
    x = special(rng, 4, 20).reshape(-1, 5, 4)
    x[0, 2] = x[0, 1]                                       # equal positions of an image
    check(net, ('ntk',), x, tolerance=NEAR)
    check(net, ('ntk',), x, x[:3] + 0, tolerance=NEAR)


@pytest.mark.parametrize('layer', [Relu(), Sign(), RectifiedMonomial(2), Erf(), Gelu(), Polynomial((.3, -.5, .2, .1))],
                         ids=repr)
@pytest.mark.parametrize('angle', [.011, .03, .1, 1., 3., 3.13])
def test_angles(layer, angle, rng):
    """The smallest angles that need no gap: the error is eps over their square."""
    net = serial(*(part for _ in range(3) for part in (Dense(8, 1.3, .1), layer)), D2)
    x, y = rng.standard_normal((2, 12))
    y -= x * (x @ y) / (x @ x)
    y *= (x @ x) ** .5 / (y @ y) ** .5
    check(net, ('ntk',), x[None], (numpy.cos(angle) * x + numpy.sin(angle) * y)[None], tolerance=NEAR)


def test_watched_pairs():
    for dtype in (numpy.float32, numpy.float64):
        theta = numpy.array([.5, .9, 1.1, 2.], dtype) * MIN_ANGLE[numpy.dtype(dtype).itemsize]
        one = numpy.ones(4, dtype)
        pairs = Watched(one, one, Cov(one / 2), True)
        alpha = dtype(numpy.pi / 2) - theta
        assert list(pairs.watch(alpha)) == [True, True, False, False]
        assert pairs.watch(alpha[2:]) is None
        assert pairs.watch(-alpha)[0] and len(pairs.near) == 3


# ------------------------------------------------------------------ in numbers of layers

PARAMETERS = {
    'Dense': (lambda w, b, v: serial(Dense(8, w, b), Relu(), Dense(8, v, b), Gelu(), Dense(8, w)), (1.3, .4, 1.1)),
    'standard': (lambda w, b: serial(Dense(8, w, b, parameterization='standard'), Relu(), D2), (1.3, .4)),
    'Conv': (lambda w, b: serial(Conv(8, (2,), None, 'SAME', w, b), Relu(), GlobalAvgPool(), D2), (1.3, .4)),
    'ABRelu': (lambda a, b: serial(D1, ABRelu(a, b), D2), (-.5, 1.2)),
    'Erf': (lambda a, b, c: serial(D1, Erf(a, b, c), D2), (.7, 1.4, -.3)),
    'Polynomial': (lambda *coef: serial(D1, Polynomial(coef), D2), (.3, -.5, .2, .1)),
    'LayerNorm': (lambda eps: serial(D1, LayerNorm(eps=eps), Relu(), D2), (.3,)),
    'branches': (lambda w: serial(D1, FanOut(2), parallel(Identity(), serial(Relu(), Dense(8, w))), FanInSum()), (.8,)),
}


@pytest.mark.parametrize('name', PARAMETERS)
@pytest.mark.parametrize('names', NAMES)
def test_in_numbers(name, names, rng):
    build, values = PARAMETERS[name]
    x = special(rng, 40)
    x = x[:12].reshape(12, 3, 4) if name == 'Conv' else x
    values = numpy.array(values)

    def f(values, *x):
        return weighted(build(*values).kernel_fn(*x, get=names))
    assert_agree(*gradients(lambda values: f(values, x, x[:9]), values), NEAR)
    assert_agree(*gradients(f, values, x), NEAR)


# ------------------------------------------------------------------ as autograd sees it

def test_values_are_those_of_plain_calls(rng):
    net, x, y = DENSE[0], rng.standard_normal((30, 12)), rng.standard_normal((20, 12))
    for names in NAMES:
        plain = net.kernel_fn(x, y, names)
        seen = []

        def f(x):
            kernels = net.kernel_fn(x, y, names)
            seen.extend(k._value for k in kernels)
            return weighted(kernels)
        autograd.grad(f)(x)
        assert all((a == b).all() for a, b in zip(seen, plain, strict=True))


def test_float32(rng):
    x = rng.standard_normal((40, 12))
    net = serial(D1, Relu(), D2, Erf(), D2)

    def f(x):
        return weighted(net.kernel_fn(x, get=('ntk',)))
    found = autograd.grad(f)(x.astype('float32'))
    assert found.dtype == 'float32'
    assert_agree([found.astype('float64')], [autograd.grad(f)(x.astype('float32').astype('float64'))], 3e-5)


def test_through_a_batch_in_memory(rng, tmp_path):
    """A batch in memory is the same kernel; a store has no derivatives."""
    x, y = rng.standard_normal((9, 12)), rng.standard_normal((7, 12))
    net = DENSE[0]

    def f(kernel_fn):
        return lambda *x: weighted([kernel_fn(*x, get='ntk')])
    for given in ((x, y), (x,)):
        argnums = tuple(range(len(given)))
        found = autograd.grad(f(batch(net, 4)), argnums)(*given)
        assert_agree(found, autograd.grad(f(net.kernel_fn), argnums)(*given))
        with pytest.raises(TypeError, match='no derivatives go through this function'):
            autograd.grad(f(batch(net, 4, out=tmp_path / 'store')))(*given)
    pair = parallel(DENSE[0], DENSE[1])

    def total(x, kernel_fn):
        return sum(anp.sum(anp.sin(k)) for k in kernel_fn([x, 2 * x], get='ntk'))
    found, expected = (autograd.grad(total)(x, kernel_fn) for kernel_fn in (batch(pair, 4), pair.kernel_fn))
    assert_agree([found], [expected])
    with pytest.raises(TypeError, match='no derivatives go through this function'):
        autograd.grad(lambda w: weighted([batch(serial(Dense(8, w), Relu()), 4)(x, get='ntk')]))(1.3)


def test_the_same_array_on_both_sides(rng):
    x = rng.standard_normal((20, 12))
    assert_agree(*gradients(lambda x: weighted(DENSE[0].kernel_fn(x, x, get=('ntk',))), x), NEAR)


@pytest.mark.parametrize('net', [DENSE[0], IMAGES[1]], ids=repr)
@pytest.mark.parametrize('names', NAMES[1:])
def test_forward_mode_and_second_derivatives(net, names, rng):
    shape = (3, 5, 4) if net is IMAGES[1] else (3, 12)
    x, y, v = rng.standard_normal((3, *shape))

    def f(x):
        return weighted(anp.sin(k) for k in net.kernel_fn(x, y, get=names))
    slope = numpy.sum(autograd.grad(f)(x) * v)
    assert abs(make_jvp(f, x)(v)[1] / slope - 1) < 1e-12

    def curvature(x):
        return anp.sum(autograd.grad(f)(x) * v)

    def along(t):
        return numpy.sum(autograd.grad(f)(x + t * v) * v)
    h = 1e-4
    expected = (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
    assert abs(numpy.sum(autograd.grad(curvature)(x) * v) / expected - 1) < 1e-7


def test_a_jacobian(rng):
    x, y = rng.standard_normal((3, 5)), rng.standard_normal((2, 5))
    net = DENSE[0]
    jacobian = autograd.jacobian(lambda x: net.kernel_fn(x, y, 'ntk'))(x)
    for i, j in numpy.ndindex(3, 2):
        row = autograd.grad(lambda x: net.kernel_fn(x, y, 'ntk')[i, j])(x)
        assert_agree([jacobian[i, j]], [row])


def test_on_several_threads(rng):
    """Ways back on threads of the user's do not disturb each other, nor autograd's count of open traces."""
    x = rng.standard_normal((60, 12))
    back, value = make_vjp(lambda x: DENSE[0].kernel_fn(x, get='ntk'), x)
    expected = back(value)
    top = tracer.trace_stack.top
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(back, [value] * 8))
    assert_agree(found, [expected] * 8)
    assert tracer.trace_stack.top == top


def test_nothing_stays_in_tables_of_autograd(rng):
    x = rng.standard_normal((20, 12))
    check(DENSE[0], ('ntk',), x)
    before = len(primitive_vjps)
    check(DENSE[0], ('ntk',), x)
    gc.collect()
    assert len(primitive_vjps) == before


# ------------------------------------------------------------------ closed forms

CLOSED = [Relu(), LeakyRelu(.2), ABRelu(-.5, 1.2), Erf(), Erf(.7, 1.4, -.3), Gelu(), Sin(), Sin(.8, 1.3, .4),
          Cos(.8, .7), Rbf(.3), Exp(.5, .4), ExpNormalized(.7, .2), ExpNormalized(.7, -.2, True), Gaussian(.8, -.4),
          Gaussian(.8, .01), Monomial(0), Monomial(1), Monomial(4), Hermite(3), Polynomial((.3, -.5, .2, .1))]


def gradients_of_dual(layer, c1, c2, *x, make):
    """Gradients in x of c1 K' + c2 slope, for the pairs make(*x)."""
    def total(*x):
        cov, slope = layer.dual(make(*x))
        return anp.sum(c1 * cov.k + c2 * slope)
    return autograd.grad(total, tuple(range(len(x))))(*x)


def assert_of_dual(layer, c1, c2, *x, make):
    """Values and pullbacks of watched pairs are those of the plain dual of the same pairs."""
    for a, b in zip(*(layer.dual(make(kind, *x)) for kind in (Watched, Pair)), strict=True):
        a, b = (c.k if isinstance(c, Cov) else c for c in (a, b))
        assert abs(a - b).max() <= 4e-15 * abs(b).max()
    found, expected = (gradients_of_dual(layer, c1, c2, *x, make=partial(make, kind)) for kind in (Watched, Pair))
    scale = max(abs(numpy.asarray(b)).max() for b in expected)
    for a, b in zip(found, expected, strict=True):
        assert numpy.shape(a) == numpy.shape(b)
        assert abs(a - b).max() <= TOLERANCE * scale


def generic(kind, q1, q2, k):
    return kind(q1, q2, Cov(k), True)


@pytest.mark.parametrize('layer', CLOSED, ids=repr)
@pytest.mark.parametrize('parts', [(1, 1), (1, 0), (0, 1)])
def test_closed_forms_are_those_of_the_dual(layer, parts, rng):
    u, v = rng.standard_normal((2, 6, 4))
    q1, q2, k = (u * u).sum(-1)[:, None], (v * v).sum(-1)[None], u @ v.T
    c1, c2 = rng.standard_normal((2, 6, 6)) * numpy.reshape(parts, (2, 1, 1))
    assert_of_dual(layer, c1, c2, q1, q2, k, make=generic)
    c1, c2 = (c1, c2) if all(parts) else (1 + c1, c2)
    assert_of_dual(layer, c1[0], c2[0], q1[:, 0], make=lambda kind, q: kind.same(q))


@pytest.mark.parametrize('layer', [layer for layer in CLOSED if not isinstance(layer, (Relu, LeakyRelu, ABRelu))],
                         ids=repr)
def test_smooth_closed_forms_where_inputs_are_special(layer, rng):
    """Equal, opposite, parallel, zero and nearly equal variables, which smooth functions take from K alone."""
    u = numpy.array([1., 1., 1., 1., 0., 0., 1., 1.])
    v = numpy.array([1., -1., 2., -2., 1., 0., 1.01, -.99])
    c1, c2 = rng.standard_normal((2, 8))
    assert_of_dual(layer, c1, c2, u * u, v * v, u * v, make=generic)


@pytest.mark.parametrize('layer', CLOSED, ids=repr)
def test_closed_forms_of_variables_with_themselves(layer, rng):
    largest = {'Exp': 10., 'Gaussian': 10.}.get(type(layer).__name__, 1e4)
    q = numpy.array([0., .01, .3, 2., largest])
    c1, c2 = rng.standard_normal((2, len(q)))
    assert_of_dual(layer, c1, c2, q, make=lambda kind, q: kind.same(q))


@pytest.mark.parametrize('layer', CLOSED, ids=repr)
def test_closed_forms_are_taken(layer):
    """Duals that are traced leave it to `Watched.watched` to note whether pairs are near."""
    seen = []

    def total(q1):
        pairs = Watched(q1, 1 + 0 * q1, Cov(q1 / 2), True)
        layer.dual(pairs)
        seen.extend(pairs.near)
        return anp.sum(q1)
    autograd.grad(total)(numpy.array([.5, .7]))
    assert seen == [None]


@pytest.mark.parametrize('layer', CLOSED, ids=repr)
def test_closed_forms_keep_single_precision(layer):
    q1, q2, k = (numpy.array(c, 'float32') for c in ([[1.], [2.]], [[.5, .7]], [[.1, -.2], [.3, .6]]))
    for x, make in ((q1, q2, k), generic), ((q1,), lambda kind, q: kind.same(q)):
        cov, slope = layer.dual(make(Watched, *x))
        found = gradients_of_dual(layer, 1, 1, *x, make=partial(make, Watched))
        wide = gradients_of_dual(layer, 1, 1, *(c.astype('float64') for c in x), make=partial(make, Watched))
        assert {a.dtype.name for a in (cov.k, slope, *found)} == {'float32'}
        assert max(abs(a - b).max() / max(1, abs(b).max()) for a, b in zip(found, wide)) < 3e-6


def test_exact_closed_forms(mp50):
    """Values and pullbacks of one pair, and of a variable with itself, against differences at 50 digits."""
    q, other, k, step = 1.3, .7, -.4, mp50.mpf(10) ** -15

    def exact(layer, q1, q2, k):
        cov, slope = layer.dual(Pair(*(numpy.array([mp50.mpf(c)]) for c in (q1, q2)), Cov(numpy.array([mp50.mpf(k)]))))
        return cov.k[0] + 2 * slope[0]
    for layer in CLOSED:
        point = [mp50.mpf(c) for c in (q, other, k)]
        slopes = []
        for i in range(3):
            up, down = ([c + s * step * (i == j) for j, c in enumerate(point)] for s in (1, -1))
            slopes.append(float((exact(layer, *up) - exact(layer, *down)) / (2 * step)))
        x = [numpy.array([c]) for c in (q, other, k)]
        found = gradients_of_dual(layer, 1., 2., *x, make=partial(generic, Watched))
        assert abs(numpy.concatenate(found) - slopes).max() <= 1e-14 * abs(numpy.array(slopes)).max(initial=1.)
