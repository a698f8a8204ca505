"""Empirical kernels against autograd's jacobian, tables of Neural Tangents, finite differences, and each other."""
import logging
import tracemalloc

import autograd.numpy as np
import finite_functions
import numpy
import pytest
from finite_functions import FUNCTIONS, MIXING, definition, mlp, picked
from places import golden
from scipy.sparse.linalg import LinearOperator, cg, eigsh

import ntref
from ntref import (
    NtkImplementation, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn, stax, trees)
from ntref.stax import (
    AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Dropout, Erf, FanInSum, FanOut, Flatten, Gelu, GlobalAvgPool,
    GlobalSelfAttention, Index, LayerNorm, Relu, Slice, parallel, serial)

TABLES = golden('empirical')
RTOL = 1e-12                # what is promised; seen are 3e-16
WAYS = [*map(int, NtkImplementation)]
VMAP = [None, 0]


def assert_equal(actual, expected, rtol=RTOL):
    expected = numpy.asarray(expected)
    assert actual.shape == expected.shape and numpy.isfinite(actual).all()
    assert abs(actual - expected).max(initial=0) <= rtol * abs(expected).max(initial=0)


def drawn(name, rng):
    f, make = FUNCTIONS[name]
    return f, make(rng), rng.standard_normal((4, 5)), rng.standard_normal((3, 5))


# ------------------------------------------------------------------ values of others

AXES = ((-1,), ()), ((), ()), ((0, -1), ()), ((), (-1,)), ((), (0,)), ((-1,), (0,))


def two_layers(params, x):
    (W1, b1), (W2, b2) = params
    return np.dot(np.tanh(np.dot(x, W1) + b1), W2) + b2


PARAMS = (TABLES['W1'], TABLES['b1']), (TABLES['W2'], TABLES['b2'])


@pytest.mark.parametrize('vmap_axes', VMAP)
@pytest.mark.parametrize('implementation', WAYS)
@pytest.mark.parametrize('axes', AXES, ids=str)
def test_table(axes, implementation, vmap_axes):
    trace, diagonal = axes
    x2 = None if 0 in trace + diagonal else TABLES['xt']
    kernel_fn = empirical_kernel_fn(two_layers, trace, diagonal, vmap_axes, implementation)
    k = kernel_fn(TABLES['x'], x2, None, PARAMS)
    for get in 'nngp', 'ntk':
        assert_equal(getattr(k, get), TABLES[f'emp/{trace}-{diagonal}/{get}'])
        assert numpy.array_equal(kernel_fn(TABLES['x'], x2, get, PARAMS), getattr(k, get))
    assert_equal(empirical_nngp_fn(two_layers, trace, diagonal)(TABLES['x'], x2, PARAMS), k.nngp)
    assert_equal(empirical_ntk_fn(two_layers, trace, diagonal, vmap_axes, implementation)(TABLES['x'], x2, PARAMS),
                 k.ntk)


def test_table_of_a_product():
    vp = empirical_ntk_vp_fn(two_layers, TABLES['x'], None, PARAMS)
    assert_equal(vp(TABLES['f0']), TABLES['ntk_vp'])


@pytest.mark.parametrize('implementation', WAYS)
def test_finite_differences(implementation, rng):
    """J by differences of f in each parameter; smooth f, central differences: 1e-9."""
    f, params, x, _ = drawn('recurrent', rng)
    rows, step = [], 1e-5
    for i, leaf in enumerate(params):
        for j in range(leaf.size):
            moved = [numpy.array(leaf), numpy.array(leaf)]
            for sign, there in zip((1, -1), moved):
                there.flat[j] += sign * step
            up, down = (f([there if i == k else other for k, other in enumerate(params)], x) for there in moved)
            rows.append((up - down) / (2 * step))
    J = numpy.stack(rows, -1)
    ntk = empirical_ntk_fn(f, (), (), 0, implementation)(x, None, params)
    assert_equal(ntk, numpy.einsum('nop,mqp->nmoq', J, J), 1e-8)


# ------------------------------------------------------------------ all ways, all functions

@pytest.mark.parametrize('name', FUNCTIONS)
def test_function(name, rng):
    f, params, x1, x2 = drawn(name, rng)
    for other in x2, None:
        expected = definition(f, params, x1, x1 if other is None else other)
        for vmap_axes in VMAP[:1] if name in MIXING else VMAP:
            for implementation in WAYS:
                ntk = empirical_ntk_fn(f, (), (), vmap_axes, implementation, check=True)(x1, other, params)
                assert_equal(ntk, expected)


@pytest.mark.parametrize('axes', AXES, ids=str)
@pytest.mark.parametrize('name', ['mlp', 'recurrent', 'multiplied', 'blocks', 'columns', 'looped', 'mixed'])
def test_axes(name, axes, rng):
    f, params, x1, _ = drawn(name, rng)
    trace, diagonal = axes
    x2 = rng.standard_normal((4, 5))
    expected = definition(f, params, x1, x2, trace, diagonal)
    for vmap_axes in VMAP:
        for implementation in WAYS[1:]:
            assert_equal(empirical_ntk_fn(f, trace, diagonal, vmap_axes, implementation)(x1, x2, params), expected)


IMAGES = 3, 5, 4, 2


def conv(layer=Conv, **keywords):
    return layer(3, (3, 2), padding='SAME', b_std=.1, **keywords)


NETWORKS = {
    'dense': (serial(Dense(6, 1., .1), Relu(), Dense(4, parameterization='standard', b_std=.1), Erf(), Dense(2)),
              (3, 4)),
    'conv': (serial(conv(), Relu(), conv(strides=(2, 1)), Erf(), GlobalAvgPool(), Dense(2)), IMAGES),
    'local': (serial(conv(ConvLocal), Relu(), Flatten(), Dense(2)), IMAGES),
    'transpose': (serial(conv(ConvTranspose, strides=(2, 1)), Relu(), AvgPool((2, 2)), Flatten(), Dense(2)), IMAGES),
    'circular': (serial(Conv(3, (3, 2), padding='CIRCULAR'), Gelu(), LayerNorm(), Flatten(), Dense(2)), IMAGES),
    'attention': (serial(GlobalSelfAttention(4, 4, 4, 2, linear_scaling=False), Flatten(), Dense(2)), IMAGES),
    'branches': (serial(FanOut(2), parallel(Dense(4), serial(Dense(4), Relu(), Dense(4))), FanInSum(),
                        Index(Slice[:, 1:3]), Flatten(), Dense(2)), IMAGES),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_network(name, rng, caplog):
    """Without falling back: no parameter of a layer is without a rule."""
    caplog.set_level(logging.INFO, 'ntref.empirical')
    (init_fn, f, _), shape = NETWORKS[name]
    _, params = init_fn(rng, shape)
    x1, x2 = rng.standard_normal(shape), rng.standard_normal(shape)
    expected = definition(f, params, x1, x2)
    for vmap_axes in VMAP:
        for implementation in WAYS[1:]:
            assert_equal(empirical_ntk_fn(f, (), (), vmap_axes, implementation)(x1, x2, params), expected)
    assert not caplog.records


def test_images_out(rng):
    """Outputs with positions: one of their axes traced, one kept once."""
    init_fn, f, _ = serial(conv(), Relu(), conv())
    x1, x2 = rng.standard_normal(IMAGES), rng.standard_normal((2, *IMAGES[1:]))
    _, params = init_fn(rng, IMAGES)
    expected = definition(f, params, x1, x2, (-1,), (1,))
    assert expected.shape == (3, 2, 5, 4, 4)
    for implementation in WAYS[1:]:
        for vmap_axes in VMAP:
            assert_equal(empirical_ntk_fn(f, -1, 1, vmap_axes, implementation)(x1, x2, params), expected)


@pytest.mark.parametrize('others', ['as one', 'differing', 'constant'])
def test_examples_with_steps_of_their_own(others, rng):
    """Python that decides by the numbers of an example: each is as it is alone."""
    def f(params, x):
        W, V = params
        return np.stack([np.dot(np.tanh(np.dot(row, W)), V) if row[0] < 1 else np.dot(row, W)[:3] if row[0] < 2
                         else row[:3] for row in x])
    params = rng.standard_normal((5, 4)), rng.standard_normal((4, 3))
    x1, x2 = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    x1[:, 0], x2[:, 0] = {'as one': (0, 0), 'differing': ([0, 1.5, 0, 0], [1.5, 1.5, 0]),
                          'constant': ([0, 0, 2.5, 0], [2.5, 0, 0])}[others]
    expected = definition(f, params, x1, x2) if others != 'constant' else None
    found = [empirical_ntk_fn(f, (), (), vmap_axes, implementation)(x1, x2, params)
             for vmap_axes in VMAP for implementation in WAYS[1:]]
    for ntk in found:
        if others == 'constant':
            assert not ntk[2].any() and not ntk[:, 0].any()
            assert_equal(ntk[numpy.ix_([0, 1, 3], [1, 2])], definition(f, params, x1[[0, 1, 3]], x2[1:]))
        else:
            assert_equal(ntk, expected)


def test_fallback_is_logged(rng, caplog):
    caplog.set_level(logging.INFO, 'ntref.empirical')
    for name, text in [('mixed', 'Jacobian of params[0], there is no rule for argument 0 of cumsum'),
                       ('looped', 'axis of the examples of x1 cannot be found; they are processed one by one')]:
        f, params, x, _ = drawn(name, rng)
        empirical_ntk_fn(f, vmap_axes=0, implementation=3)(x, None, params)
        assert text in caplog.text
    assert 'params[1]' not in caplog.text
    f, params, x, _ = drawn('mlp', rng)
    empirical_ntk_fn(f, vmap_axes=0, implementation=0)(x, None, params)
    assert 'empirical NTK by STRUCTURED_DERIVATIVES; JACOBIAN_CONTRACTION 1.3e+08 operations, ' in caplog.text


def test_one_pass_serves_the_batch(rng, monkeypatch):
    """Three passes for three outputs, however many examples there are."""
    f, params, x, _ = drawn('mlp', rng)
    passes, pull = [], ntref.empirical.record.Record.pull
    monkeypatch.setattr(ntref.empirical.record.Record, 'pull', lambda *a: passes.append(0) or pull(*a))
    empirical_ntk_fn(f, (), (), 0, 3)(x, None, params)
    assert len(passes) == 3
    empirical_ntk_fn(f, (), (), None, 3)(x, None, params)
    assert len(passes) == 3 + 3 * len(x)


# ------------------------------------------------------------------ by hand

def test_by_hand():
    """f = a x^2 + b: K = f f', Theta = x^2 x'^2 + 1."""
    def f(params, x):
        return params['a'] * x ** 2 + params['b']
    x1, x2, params = numpy.array([[1.], [2.], [0.]]), numpy.array([[3.], [2.]]), {'a': 2., 'b': -1.}
    for implementation in WAYS:
        for vmap_axes in VMAP:
            k = empirical_kernel_fn(f, vmap_axes=vmap_axes, implementation=implementation)(x1, x2, None, params)
            assert numpy.array_equal(k.nngp, [[17, 7], [119, 49], [-17, -7]])
            assert numpy.array_equal(k.ntk, [[10, 5], [37, 17], [1, 1]])


@pytest.mark.parametrize('vmap_axes', VMAP)
@pytest.mark.parametrize('implementation', WAYS)
def test_constant_outputs(implementation, vmap_axes, rng):
    """Beside one that depends on the parameters: their kernels are zero, and of their shape."""
    x1, x2, W = rng.standard_normal((3, 2)), rng.standard_normal((4, 2)), rng.standard_normal((2, 2))
    ntk = empirical_ntk_fn(lambda params, x: (x, x @ params, np.ones((len(x), 1))), (), (), vmap_axes, implementation)(
        x1, x2, W)
    assert [k.shape for k in ntk] == [(3, 4, 2, 2), (3, 4, 2, 2), (3, 4, 1, 1)]
    assert not ntk[0].any() and not ntk[2].any()
    assert_equal(ntk[1], numpy.einsum('nm,oq->nmoq', x1 @ x2.T, numpy.eye(2)))


def test_exact_zeros():
    """Features that are zero: the kernel of the weights vanishes, exactly."""
    def f(params, x):
        return np.maximum(x @ params, 0) @ params.T
    x, W = numpy.array([[0., 0.], [-1., -1.], [1., 2.]]), numpy.array([[1., 2.], [3., 1.]])
    for implementation in WAYS:
        for vmap_axes in VMAP:
            ntk = empirical_ntk_fn(f, vmap_axes=vmap_axes, implementation=implementation)(x, None, W)
            assert not ntk[:2].any() and not ntk[:, :2].any() and ntk[2, 2] > 0


@pytest.mark.parametrize('vmap_axes', VMAP)
@pytest.mark.parametrize('implementation', WAYS)
def test_duplicates_one_row_and_none(implementation, vmap_axes, rng):
    f, params, x, _ = drawn('mlp', rng)
    ntk_fn = empirical_ntk_fn(f, vmap_axes=vmap_axes, implementation=implementation)
    full = ntk_fn(x, None, params)
    assert_equal(full, full.T)
    assert numpy.linalg.eigvalsh(full).min() > 0
    assert_equal(ntk_fn(x[[0, 0, 1]], None, params), full[numpy.ix_([0, 0, 1], [0, 0, 1])])
    assert_equal(ntk_fn(x[:1], x, params), full[:1])
    assert ntk_fn(x[:0], x, params).shape == (0, 4) and ntk_fn(x[:0], None, params).shape == (0, 0)


@pytest.mark.parametrize('vmap_axes', VMAP)
@pytest.mark.parametrize('implementation', WAYS)
@pytest.mark.parametrize('name', ['mlp', 'multiplied', 'blocks', 'mixed', 'recurrent'])
def test_float32(name, implementation, vmap_axes, rng):
    f, params, x, _ = drawn(name, rng)
    single = [tuple(map(numpy.float32, p)) if isinstance(p, tuple) else numpy.float32(p) for p in params]
    k = empirical_kernel_fn(f, (), (), vmap_axes, implementation)(numpy.float32(x), None, None, single)
    exact = definition(f, params, x, x)
    assert name == 'blocks' or k.ntk.dtype == k.nngp.dtype == 'float32'     # that one multiplies by a float64 constant
    assert abs(k.ntk - exact).max() < 1e-5 * abs(exact).max()


# ------------------------------------------------------------------ trees, keywords, axes

def two_outputs(params, x, scale=1., shift=0.):
    left, right = x['left'], x['right'][0]
    W, (V,) = params['W'], params['V']
    return {'sum': (scale * np.tanh(left @ W) + right @ V + shift, [left @ W])}


@pytest.mark.parametrize('implementation', WAYS)
def test_trees(implementation, rng):
    params = {'W': rng.standard_normal((5, 2)), 'V': (rng.standard_normal((3, 2)),)}
    x1, x2 = ({'left': rng.standard_normal((n, 5)), 'right': [rng.standard_normal((3, n)).T]} for n in (4, 3))
    axes = {'left': 0, 'right': [0]}
    for vmap_axes in None, 0, (axes, 0, {}), (axes, {'sum': (0, [-2])}, {}), (axes, {'sum': (0, [None])}, {}):
        kernel_fn = empirical_kernel_fn(two_outputs, (), (), vmap_axes, implementation)
        k = kernel_fn(x1, x2, None, params)
        assert type(k['sum']) is tuple and type(k['sum'][1]) is list and k['sum'][0]._fields == ('nngp', 'ntk')
        for pick, found in [(lambda out: out['sum'][0], k['sum'][0]), (lambda out: out['sum'][1][0], k['sum'][1][0])]:
            def f(params, x):
                return pick(two_outputs(params, x))
            f1, f2 = f(params, x1), f(params, x2)
            assert_equal(found.nngp, numpy.einsum('no,mq->nmoq', f1, f2))
            assert_equal(found.ntk, sum_over(f, params, x1, x2))
        assert_equal(kernel_fn(x1, x2, 'ntk', params)['sum'][0], k['sum'][0].ntk)
        alone = kernel_fn(x1, {'left': None, 'right': [None]}, ('ntk',), params)
        assert alone['sum'][0]._fields == ('ntk',) and alone['sum'][0].ntk.shape == (4, 4, 2, 2)


def sum_over(f, params, x1, x2):
    """The definition for {'W': W, 'V': (V,)}, of which f may leave V out."""
    from autograd import jacobian
    total = 0
    for name, change in (('W', lambda v: {**params, 'W': v}), ('V', lambda v: {**params, 'V': (v,)})):
        value = params['W'] if name == 'W' else params['V'][0]
        if name == 'V' and numpy.array_equal(f(change(value), x1), f(change(value + 1), x1)):
            continue
        J1, J2 = (jacobian(lambda v: f(change(v), x))(value) for x in (x1, x2))
        total = total + numpy.einsum('noij,mqij->nmoq', J1, J2)
    return total


@pytest.mark.parametrize('implementation', WAYS)
def test_keywords(implementation, rng):
    """A pair is split, all else is shared; along its axis a keyword belongs to the examples."""
    def f(params, x, weight, power=1):
        return np.tanh(x @ params) ** power * weight
    x1, x2, W = rng.standard_normal((4, 5)), rng.standard_normal((3, 5)), rng.standard_normal((5, 2))
    w1, w2 = rng.standard_normal((1, 4)).T, rng.standard_normal((3, 1))
    for vmap_axes in None, (0, 0, {'weight': 0}):
        ntk = empirical_ntk_fn(f, (), (), vmap_axes, implementation)(x1, x2, W, weight=(w1, w2), power=2)
        full = definition(lambda p, x: np.tanh(x @ p) ** 2, W, x1, x2)
        assert_equal(ntk, full * w1[:, None, None] * w2[None, :, None])


@pytest.mark.parametrize('implementation', WAYS)
def test_examples_on_other_axes(implementation, rng):
    def f(params, x):
        W, V = params
        return np.einsum('jn,ajk->ank', np.tanh(W @ x), V)
    params = rng.standard_normal((4, 5)), rng.standard_normal((2, 4, 3))
    x1, x2 = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    full = definition(f, params, x1, x2)
    assert full.shape == (2, 2, 4, 3, 3, 3)
    for vmap_axes in None, (1, 1, {}), (-1, -2, {}):
        for trace, diagonal in ((), ()), ((2,), ()), ((), (0,)), ((0,), (2,)):
            ntk = empirical_ntk_fn(f, trace, diagonal, vmap_axes, implementation)(x1, x2, params)
            assert_equal(ntk, definition(f, params, x1, x2, trace, diagonal))
        for trace, diagonal in ((1,), ()), ((), (1,)), ((1, 2), (0,)), ((0, 2), (1,)):
            ntk = empirical_ntk_fn(f, trace, diagonal, vmap_axes, implementation)(x1, None, params)
            assert_equal(ntk, definition(f, params, x1, x1, trace, diagonal))


def test_shapes_of_kernels(rng):
    """Of outputs (4, 3, 2, 3), as Neural Tangents has them."""
    f1 = rng.standard_normal((4, 3, 2, 3))
    for trace, diagonal, shape in [((-1,), (0,), (4, 3, 3, 2, 2)), ((3,), (2, 1), (4, 4, 3, 2)),
                                   ((0, 1, 2, 3), (), ()), ((), (0, 1, 2, 3), (4, 3, 2, 3))]:
        k = empirical_nngp_fn(lambda params, x: x * params, trace, diagonal)(f1, None, 1.)
        assert k.shape == shape
        assert_equal(k, picked(numpy.multiply.outer(f1, f1), trace, diagonal))


def test_seeds(rng):
    """One seed: the same masks for x1 alone, others for other inputs; a pair is taken as it is."""
    init_fn, f, _ = serial(Dense(50), Dropout(.5), Dense(3))
    x1, x2 = rng.standard_normal((2, 4, 5))
    _, params = init_fn(rng, x1.shape)
    nngp_fn = empirical_nngp_fn(f, ())
    one, two, three = f(params, x1, rng=3), f(params, x2, rng=4), f(params, x2, rng=3)
    assert_equal(nngp_fn(x1, None, params, rng=3), numpy.einsum('no,mq->nmoq', one, one))
    assert_equal(nngp_fn(x1, x1.copy(), params, rng=3), numpy.einsum('no,mq->nmoq', one, one))
    assert_equal(nngp_fn(x1, x2, params, rng=(3, 4)), numpy.einsum('no,mq->nmoq', one, two))
    same = numpy.einsum('no,mq->nmoq', one, three)
    assert abs(nngp_fn(x1, x2, params, rng=3) - same).max() > .1 * abs(same).max()


# ------------------------------------------------------------------ products

@pytest.mark.parametrize('name', FUNCTIONS)
def test_products(name, rng):
    f, params, x1, x2 = drawn(name, rng)
    full, v = definition(f, params, x1, x2), rng.standard_normal(f(params, x2).shape)
    vp = empirical_ntk_vp_fn(f, x1, x2, params)
    assert_equal(vp(v), numpy.einsum('nmoq,mq->no', full, v))
    assert_equal(vp(-2 * v), -2 * vp(v))


def test_products_of_trees(rng):
    params = {'W': rng.standard_normal((5, 2)), 'V': (rng.standard_normal((3, 2)),)}
    x = {'left': rng.standard_normal((4, 5)), 'right': [rng.standard_normal((4, 3))]}
    v = {'sum': (rng.standard_normal((4, 2)), [rng.standard_normal((4, 2))])}

    def together(params, x):
        a, (b,) = two_outputs(params, x)['sum']
        return np.concatenate([a, b], 1)
    out = empirical_ntk_vp_fn(two_outputs, x, None, params)(v)
    both = empirical_ntk_vp_fn(together, x, None, params)(numpy.concatenate([v['sum'][0], v['sum'][1][0]], 1))
    assert_equal(numpy.concatenate([out['sum'][0], out['sum'][1][0]], 1), both)


def test_largest_eigenvalues(rng):
    f, params, x, _ = drawn('mlp', rng)
    vp = empirical_ntk_vp_fn(f, x, None, params)
    ntk = LinearOperator((12, 12), matvec=lambda v: vp(v.reshape(4, 3)).ravel(), dtype=float)
    full = definition(f, params, x, x).transpose(0, 2, 1, 3).reshape(12, 12)
    found = numpy.sort(eigsh(ntk, k=3, v0=numpy.ones(12), return_eigenvectors=False))
    assert_equal(found, numpy.linalg.eigvalsh(full)[-3:], 1e-10)


def test_a_kernel_that_does_not_fit(rng):
    """6000 x 6000, 288 MB, in 50 of them: largest eigenvalues and a system, against rows of the kernel."""
    init_fn, f, _ = serial(Dense(64), Relu(), Dense(2))
    x, ridge = rng.standard_normal((3000, 5)), 100.
    _, params = init_fn(rng, x.shape)
    y = numpy.sin(x[:, :2])
    tracemalloc.start()
    try:
        vp = empirical_ntk_vp_fn(f, x, None, params)
        ntk = LinearOperator((6000, 6000), matvec=lambda v: vp(v.reshape(3000, 2)).ravel() + ridge * v, dtype=float)
        values, vectors = eigsh(ntk, k=2, v0=numpy.ones(6000))
        solution, info = cg(ntk, y.ravel(), rtol=1e-10)
        assert tracemalloc.get_traced_memory()[1] < 5e7 and info == 0
    finally:
        tracemalloc.stop()
    rows = empirical_ntk_fn(f, (), (), 0, 3)(x[:20], x, params).transpose(0, 2, 1, 3).reshape(40, 6000)
    assert abs(rows @ solution + ridge * solution[:40] - y.ravel()[:40]).max() < 1e-8
    assert abs(rows @ vectors + ridge * vectors[:40] - values * vectors[:40]).max() < 1e-10 * values.max()


# ------------------------------------------------------------------ the infinite limit

def test_mean_of_networks_is_the_infinite_one(rng):
    """The mean over 60 networks of width 256 is within four standard errors (the bias of 1/width is below)."""
    init_fn, f, kernel_fn = serial(Dense(256, 1.3, .2), Relu(), Dense(1, 1.1))
    x = rng.standard_normal((3, 4))
    ntk_fn = empirical_ntk_fn(f, vmap_axes=0, implementation=3)
    draws = numpy.array([ntk_fn(x, None, init_fn(seed, x.shape)[1]) for seed in rng.integers(2 ** 31, size=60)])
    error = abs(draws.mean(0) - kernel_fn(x, get='ntk')) / (draws.std(0, ddof=1) / 60 ** .5)
    assert error.max() < 4


# ------------------------------------------------------------------ bad input

def batch_norm(params, x):
    h = x @ params
    return (h - np.mean(h, 0)) / np.std(h, 0)


def test_mixed_examples_are_noticed(rng):
    x, W = rng.standard_normal((6, 5)), rng.standard_normal((5, 3))
    for implementation in WAYS:
        with pytest.raises(ValueError, match='one by one, as vmap_axes claims'):
            empirical_ntk_fn(batch_norm, vmap_axes=0, implementation=implementation, check=True)(x, None, W)
        with pytest.raises(ValueError, match='one by one, as vmap_axes claims'):
            empirical_ntk_fn(batch_norm, vmap_axes=0, implementation=3)(x, None, W)
        expected = definition(batch_norm, W, x, x, (-1,))
        assert_equal(empirical_ntk_fn(batch_norm, implementation=implementation, check=True)(x, None, W), expected,
                     1e-10)
    init_fn, f, _ = serial(Dense(8), Dropout(.5), Dense(3))
    _, params = init_fn(rng, x.shape)
    expected = empirical_ntk_fn(f)(x, None, params, rng=0)            # a seed is drawn from for all of them at once
    for implementation in WAYS:
        ntk_fn = empirical_ntk_fn(f, vmap_axes=0, implementation=implementation, check=True)
        assert_equal(ntk_fn(x, None, params, rng=0), expected, 1e-10)


def hidden(params, x):
    """The first parameter's derivative is lost in plain numbers."""
    W, V = params
    h = getattr(W, '_value', W)
    return numpy.tanh(x @ h) @ V


def rounded(params, x):
    return np.floor(x @ params['W']) + params['b']


@pytest.mark.parametrize('implementation', WAYS)
def test_lost_derivatives_are_noticed(implementation, rng):
    x = rng.standard_normal((4, 5))
    for f, params, name in [(hidden, [rng.standard_normal((5, 4)), rng.standard_normal((4, 3))], r'params\[0\]'),
                            (rounded, {'W': rng.standard_normal((5, 3)), 'b': rng.standard_normal(3)},
                             r"params\['W'\]"),
                            (lambda params, x: x, (rng.standard_normal(3),), r'params\[0\]')]:
        with pytest.raises(ValueError, match=f'depend on {name}, but autograd saw no'):
            empirical_ntk_fn(f, implementation=implementation)(x, None, params)
        with pytest.raises(ValueError, match='leave unused parameters out'):
            empirical_ntk_vp_fn(f, x, None, params)


def normalized(h, axes):
    return (h - np.mean(h, axes, keepdims=True)) / np.sqrt(np.var(h, axis=axes, keepdims=True) + 1e-3)


def image(x):
    """(N, 5) as (N, 3, 3, 1)."""
    return np.reshape(np.concatenate([x, x[:, :4] ** 2], 1), (-1, 3, 3, 1))


def conv_batch_norm(params, x):
    """As of a network of images: the mean is over examples and positions."""
    h = np.stack([image(x)[:, i:i + 2, j:j + 2, 0] for i in range(2) for j in range(2)], -1) @ params
    return np.mean(np.maximum(normalized(h, (0, 1, 2)), 0), (1, 2))


MIXED = {                   # functions that mix their examples, and the axes they claim
    'conv': (conv_batch_norm, (4, 3), 0),
    'tree': (lambda W, x: {'out': [x['a'] @ W, np.tanh(normalized(x['a'] @ W, 0))]}, (5, 3), ({'a': 0}, 0, {})),
    'one leaf': (lambda W, x: (x @ W - np.max(x @ W, 0), x @ W), (5, 3), 0),
    'columns': (lambda W, x: normalized(W.T @ x.T, 1), (5, 3), (0, 1, {})),
    'attention': (lambda W, x: x @ x.T @ x @ W / 5, (5, 3), 0),
    'order': (lambda W, x: np.cumsum(x @ W, 0), (5, 3), 0),
    'number': (lambda W, x: x @ W / len(x), (5, 3), 0),
}


@pytest.mark.parametrize('implementation', WAYS)
@pytest.mark.parametrize('name', MIXED)
def test_mixing_is_noticed(name, implementation, rng):
    """Among those of x1; and where x1 is one example, which cannot be mixed, among those of x2."""
    f, shape, vmap_axes = MIXED[name]
    x, W = rng.standard_normal((6, 5)), rng.standard_normal(shape)
    ntk_fn = empirical_ntk_fn(f, vmap_axes=vmap_axes, implementation=implementation, check=True)
    for n in 6, 1:
        x1, x2 = ({'a': a} if name == 'tree' else a for a in (x[:n], x))
        with pytest.raises(ValueError, match=f'example . of x{1 if n == 6 else 2} alone gives other numbers'):
            ntk_fn(x1, x2, W)


def branch(params, x):
    """What it hides goes into a second use of W; the first is recorded."""
    W, V = params
    return np.tanh(x @ W) @ V + x[:, :3] * np.sum(numpy.cos(getattr(W, '_value', W)))


LOST = {                    # parts of derivatives that autograd does not see, with `check` alone
    'another way round': (branch, [(5, 4), (4, 3)], r'params\[0\]'),
    'the last': (lambda p, x: x @ p['a'] + 1e-1 * numpy.exp(getattr(p['b'], '_value', p['b'])) + p['b'],
                 {'a': (5, 3), 'b': (3,)}, r"params\['b'\]"),
    'one of two outputs': (lambda p, x: (x @ p[0], x @ getattr(p[0], '_value', p[0]) + np.sum(p[1])), [(5, 3), ()],
                           r'params\[0\]'),
}


@pytest.mark.parametrize('dtype', ['float64', 'float32'])
@pytest.mark.parametrize('name', LOST)
def test_lost_parts_are_noticed(name, dtype, rng):
    f, shapes, message = LOST[name]
    params = {key: rng.standard_normal(s).astype(dtype) for key, s in shapes.items()} if isinstance(shapes, dict) else \
        [numpy.asarray(rng.standard_normal(s), dtype) for s in shapes]
    x = rng.standard_normal((4, 5)).astype(dtype)
    for implementation in WAYS:
        with pytest.raises(ValueError, match=f'autograd to see all that {message} does to the outputs for x1'):
            empirical_ntk_fn(f, vmap_axes=0, implementation=implementation, check=True)(x, None, params)


@pytest.mark.parametrize('dtype', ['float64', 'float32'])
@pytest.mark.parametrize('name', ['mlp', 'dictionary', 'mixed', 'embedding', 'kinks', 'flat', 'large'])
def test_check_passes(name, dtype, rng):
    """What is right, at kinks, where f is constant, and for large numbers; the kernel is the same."""
    x = rng.standard_normal((6, 5)).astype(dtype)
    if name in FUNCTIONS:
        f, params = FUNCTIONS[name][0], FUNCTIONS[name][1](rng)
    else:
        f, params = {'kinks': lambda p, x: np.abs(np.maximum(x @ p[0], 0) - 0 * p[1]),
                     'flat': lambda p, x: np.maximum(x @ p[0] - 1e3, 0) + 0 * p[1],
                     'large': lambda p, x: 1e8 + x @ p[0] * p[1]}[name], [numpy.zeros((5, 3)), numpy.ones(3)]
        x[0] = 0
    params = trees.tree_map(lambda a: numpy.asarray(a, dtype), params)
    checked, plain = (empirical_ntk_fn(f, vmap_axes=0, check=check)(x, x[::-1], params) for check in (True, False))
    assert numpy.array_equal(checked, plain)


@pytest.mark.parametrize('f', [
    lambda p, x: x @ p[0] + numpy.dot(x, p[0]), lambda p, x: x @ p[0] * numpy.where(p[1] > 0, p[1], 0.),
    lambda p, x: np.tanh(x @ p[0]) + np.array(numpy.einsum('ni,io->no', x, p[0])),
    lambda p, x: x @ numpy.stack([p[0], p[0]])[0], lambda p, x: x @ numpy.array(p[0])],
    ids=['dot', 'where', 'einsum', 'stack', 'array'])
def test_arrays_of_objects(f, rng):
    """Plain NumPy takes an array that is traced apart, into one of objects: half the derivatives would be lost."""
    params = [rng.standard_normal((5, 3)), numpy.arange(3.)]
    for implementation in WAYS:
        with pytest.raises(TypeError, match=r'plain NumPy made an array of objects of params\[[01]\] for x1'):
            empirical_ntk_fn(f, implementation=implementation)(rng.standard_normal((4, 5)), None, params)


def test_objects_out(rng):
    """No box among them, as all are from the other branch of `where`; still no kernel of objects."""
    with pytest.raises(TypeError, match='made an array of objects of a parameter for x1'):
        x = rng.standard_normal((4, 3))
        empirical_ntk_fn(lambda p, x: x * p + numpy.where(p < 0, p, 0.))(x, None, numpy.ones(3))


def filled(params, x):
    out = numpy.zeros((len(x), 3))
    out[:] = x @ params
    return out


def test_what_autograd_cannot_follow(rng):
    x, W = rng.standard_normal((4, 5)), rng.standard_normal((5, 3))
    for f in filled, lambda p, x: x * float(np.sum(p)), lambda p, x: x * p.item(0):
        with pytest.raises(TypeError, match='a function that autograd can follow, got .* for x1. Write it with autogr'):
            empirical_ntk_fn(f)(x, None, W)
    with pytest.raises(ValueError, match='mine'):
        empirical_ntk_fn(lambda p, x: raised(ValueError('mine')))(x, None, W)
    for f in lambda p, x: x @ p * 1j, lambda p, x: np.abs(x) @ p + 0j:
        with pytest.raises(TypeError, match='expected outputs to be real, got complex'):
            empirical_ntk_fn(f)(x, None, W)
    W[1, 2] = numpy.nan
    with pytest.raises(ValueError, match=r'expected params\[0\] to be finite, got NaN or infinity in 1 of its 15'):
        empirical_ntk_fn(lambda p, x: x @ p[0])(x, None, [W])


def raised(error):
    raise error


def test_lists_of_floats(rng):
    """Python's floats, and None, are parameters; whole numbers are not."""
    x = rng.standard_normal((4, 3))
    for implementation in WAYS:
        for vmap_axes in VMAP:
            ntk = empirical_ntk_fn(lambda p, x: x * np.array(p['a']) + p['b'][1], (), (), vmap_axes, implementation)(
                x, None, {'a': [1., 2., 3.], 'b': (None, 4.)})
            assert_equal(ntk, numpy.einsum('no,mo,oq->nmoq', x, x, numpy.eye(3)) + 1)
    for bad in 2, True, 'text', 2j:
        with pytest.raises(TypeError, match=r"expected params\['a'\]\[1\] to be an array of float32 or float64"):
            empirical_ntk_fn(lambda p, x: x * np.array(p['a']))(x, None, {'a': [1., bad, 3.]})


def test_refused(rng):
    f, params, x, y = drawn('mlp', rng)
    bad = [(W.astype(int), b) for W, b in params], [(1, params[0][1])], ('text',), {'W': 1j * x}
    for tree, name in zip(bad, (r'params\[0\]\[0\]', r'params\[0\]\[0\]', r'params\[0\]', r"params\['W'\]")):
        with pytest.raises(TypeError, match=f'expected {name} to be an array of float32 or float64'):
            empirical_ntk_fn(f)(x, None, tree)
    for axes in dict(trace_axes=(0,)), dict(diagonal_axes=(0,)):
        with pytest.raises(ValueError, match=r'equal length on axis 0.*\(4, 3\) for x1 and \(3, 3\) for x2'):
            empirical_ntk_fn(f, **axes)(x, y, params)
    with pytest.raises(ValueError, match='between -2 and 1, got 2'):
        empirical_nngp_fn(f, trace_axes=2)(x, None, params)
    with pytest.raises(ValueError, match='trace_axes and diagonal_axes to differ'):
        empirical_ntk_fn(f, trace_axes=1, diagonal_axes=-1)(x, None, params)
    with pytest.raises(TypeError, match='trace_axes to be a whole number or a tuple'):
        empirical_ntk_fn(f, trace_axes=(1.,))
    with pytest.raises(ValueError, match='implementation to be one of'):
        empirical_ntk_fn(f, implementation=4)
    with pytest.raises(ValueError, match="different names out of .'nngp', 'ntk'.; got"):
        empirical_kernel_fn(f)(x, None, 'cov1', params)
    with pytest.raises(ValueError, match="different names out of .'nngp', 'ntk'.; got"):
        empirical_kernel_fn(f)(x, None, ('ntk', 'ntk'), params)
    for seeds in rng, (rng, rng), numpy.random.SeedSequence(0), (0, numpy.random.SeedSequence(0)):
        with pytest.raises(TypeError, match='rng to be a seed'):
            empirical_ntk_fn(f)(x, None, params, rng=seeds)
    with pytest.raises(TypeError, match='trace_axes to be a whole number or a tuple of them, got None'):
        empirical_ntk_fn(f, trace_axes=None)
    with pytest.raises(TypeError, match='expected f to be a function'):
        empirical_ntk_fn(params)
    with pytest.raises(ValueError, match='expected cotangents like the outputs for x2'):
        empirical_ntk_vp_fn(f, x, None, params)(x)
    with pytest.raises(TypeError, match=r'outputs to be arrays, got str.*unmask_fn\(apply_fn\)'):
        empirical_ntk_fn(lambda params, x: 'text')(x, None, params)


def test_keywords_refused(rng):
    x, y, W = rng.standard_normal((4, 5)), rng.standard_normal((3, 5)), rng.standard_normal((5, 2))

    def f(params, x, shift=0.):
        return x @ params + shift
    shifts = numpy.ones((4, 1)), numpy.ones((4, 1)) * 2
    with pytest.raises(ValueError, match='expected shift for x1 alone, as x2 is None'):
        empirical_nngp_fn(f)(x, None, W, shift=shifts)
    assert_equal(empirical_nngp_fn(f)(x, None, W, shift=(shifts[1], None)),
                 empirical_nngp_fn(f)(x, x, W, shift=(shifts[1], shifts[1])))
    with pytest.raises(ValueError, match=r"keywords that are passed, out of \['shift'\], got \['shfit'\]"):
        empirical_ntk_fn(f, vmap_axes=(0, 0, {'shfit': 0}))(x, y, W, shift=2.)


def test_outputs_in_other_trees(rng):
    x, y, W = rng.standard_normal((4, 5)), rng.standard_normal((3, 5)), rng.standard_normal((5, 2))

    def f(params, x):
        parts = {'a': x @ params, 'b': 2 * x @ params}
        return parts if len(x) == 4 else dict(reversed(parts.items()))
    with pytest.raises(ValueError, match=r"in the same order, got \[.*'a'.*'b'.*\] and \[.*'b'.*'a'.*\]"):
        empirical_nngp_fn(f)(x, y, W)


def test_axes_of_numpy(rng):
    f, params, x, y = drawn('mlp', rng)
    assert_equal(empirical_ntk_fn(f, numpy.int64(-1), vmap_axes=numpy.int64(0))(x, y, params),
                 empirical_ntk_fn(f)(x, y, params))


def test_shapes_that_differ(rng):
    """On trace and diagonal axes outputs have the same length for x1 and x2; the leaf of a tree, too."""
    x1, x2, W = rng.standard_normal((4, 5)), rng.standard_normal((4, 6)), rng.standard_normal(())
    for f in lambda p, x: p * x, lambda p, x: {'same': np.sum(p * x, 1, keepdims=True), 'other': [p * x]}:
        for axes in ((-1,), ()), ((), (-1,)), ((0, 1), ()), ((0,), (1,)):
            for function in empirical_ntk_fn(f, *axes), empirical_nngp_fn(f, *axes):
                with pytest.raises(ValueError, match=r'equal length on axis 1, .* \(4, 5\) for x1 and \(4, 6\) for x2'):
                    function(x1, x2, W)
        assert empirical_ntk_fn(lambda p, x: p * x, ())(x1, x2, W).shape == (4, 4, 5, 6)
    with pytest.raises(ValueError, match=r'as many axes for x1 and x2, got shapes \(4, 5\) and \(4,\)'):
        empirical_ntk_fn(lambda p, x: p * x)(x1, x1[:, 0], W)
    with pytest.raises(ValueError, match=r'in trees alike for x1 and x2, .* got .*0.* and .*0.*1'):
        empirical_ntk_fn(lambda p, x: [p * x] * (len(x) - 3))(x1, numpy.ones((5, 5)), W)


def test_refused_vmap_axes(rng):
    f, params, x, _ = drawn('mlp', rng)
    for vmap_axes, text in [(2, r'to be axes of shape \(4, 3\), got 2'), ((1, 0, {}), 'as many examples'),
                            ((0, 1, {}), 'as many examples'), (([0], 0, {}), 'or a tree like it')]:
        with pytest.raises(ValueError, match=text):
            empirical_ntk_fn(f, vmap_axes=vmap_axes, implementation=3)(x, None, params)
    with pytest.raises(TypeError, match='expected vmap_axes as an axis'):
        empirical_ntk_fn(f, vmap_axes=(0, 0, 0))(x, None, params)


def test_all_functions_are_tested():
    public = {f for f in vars(finite_functions).values() if callable(f) and getattr(f, '__code__', None)
              and f.__code__.co_varnames[:2] == ('params', 'x')}
    assert public == {f for f, _ in FUNCTIONS.values()} and mlp in public
    assert stax is ntref.stax
