"""Empirical kernels where there is no derivative to take, where inputs are no numbers, and where memory ends."""
import autograd.numpy as np
import numpy
import pytest
from finite_functions import definition

import ntref.empirical.kernels
from ntref import (
    batch, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn, linearize,
    monte_carlo_kernel_fn, stax, taylor_expand)

WAYS = 0, 1, 2, 3
X = numpy.random.default_rng(0).standard_normal((5, 4))


def outer(out):
    return out @ out.T / out.shape[1]


def close(actual, expected):
    assert actual.shape == expected.shape
    assert abs(actual - expected).max(initial=0) <= 1e-13 * abs(expected).max(initial=0)


# ------------------------------------------------------------------ an NNGP needs no derivative

def network(*layers):
    init_fn, f, _ = stax.serial(*layers)
    return f, init_fn(0, X.shape)[1]


WITHOUT_DERIVATIVES = {
    'unused': (lambda p, x: x @ p['W'], {'W': X.T @ X, 'unused': numpy.ones(3), 'steps': numpy.arange(3)}),
    'sign': network(stax.Dense(6), stax.Sign(), stax.Dense(3)),
    'plain NumPy': (lambda p, x: numpy.tanh(x @ numpy.array(p)), X.T @ X),
    'whole numbers': (lambda p, x: x * p, numpy.arange(4)),
}


@pytest.mark.parametrize('name', WITHOUT_DERIVATIVES)
def test_nngp_without_derivatives(name):
    f, params = WITHOUT_DERIVATIVES[name]
    close(empirical_nngp_fn(f)(X, None, params), outer(f(params, X)))
    for vmap_axes in None, 0:
        kernel_fn = empirical_kernel_fn(f, vmap_axes=vmap_axes, implementation=3, check=True)
        close(kernel_fn(X, None, 'nngp', params), outer(f(params, X)))
        with pytest.raises((TypeError, ValueError), match='expected'):
            kernel_fn(X, None, None, params)


def test_monte_carlo_nngp_without_derivatives():
    init_fn, f, _ = stax.serial(stax.Dense(6), stax.Sign(), stax.Dense(3))
    drawn = []

    def init(rng, shape):
        drawn.append(init_fn(rng, shape))
        return drawn[-1]
    mean = monte_carlo_kernel_fn(init, f, 0, 3, device_count=0)(X, None, 'nngp')
    close(mean, sum(outer(f(params, X)) for _, params in drawn) / 3)


# ------------------------------------------------------------------ networks without parameters: Theta = 0

BARE = {'Relu': stax.serial(stax.Relu()), 'Flatten': stax.serial(stax.Flatten()), 'Identity': stax.Identity()}


@pytest.mark.parametrize('vmap_axes', [None, 0])
@pytest.mark.parametrize('name', BARE)
def test_without_parameters(name, vmap_axes):
    init_fn, f, _ = BARE[name]
    _, params = init_fn(0, X.shape)
    nngp, out = outer(f(params, X)), f(params, X)
    for implementation in WAYS:
        given = dict(vmap_axes=vmap_axes, implementation=implementation)
        k = empirical_kernel_fn(f, check=True, **given)(X, None, None, params)
        close(k.nngp, nngp)
        close(k.ntk, numpy.zeros((5, 5)))
        close(empirical_ntk_fn(f, (), (1,), **given)(X, X[:2], params), numpy.zeros((5, 2, 4)))
        assert not any(cost.operations for cost in empirical_ntk_fn(f, **given).cost(X, None, params).values())
        mean = monte_carlo_kernel_fn(init_fn, f, 0, 3, batch_size=2, return_error=True, **given)(X, X[:2])
        close(mean.nngp.mean, nngp[:, :2])
        assert not mean.nngp.error.any() and not mean.ntk.mean.any() and mean.ntk.n == 3
    close(empirical_nngp_fn(f)(X, None, params), nngp)
    close(empirical_ntk_vp_fn(f, X, None, params)(out), numpy.zeros_like(out))
    for degree in 1, 2:
        assert numpy.array_equal(taylor_expand(f, params, degree)(params, X), out)


# ------------------------------------------------------------------ NaN and infinity

def with_one(bad):
    x = X.copy()
    x[1, 2] = bad
    return x


def dense(params, x):
    return x @ params


CALLS = {
    'nngp': lambda W, x1, x2: empirical_nngp_fn(dense)(x1, x2, W),
    'kernel, nngp': lambda W, x1, x2: empirical_kernel_fn(dense)(x1, x2, 'nngp', W),
    'kernel': lambda W, x1, x2: empirical_kernel_fn(dense, vmap_axes=0, implementation=3)(x1, x2, None, W),
    'ntk': lambda W, x1, x2: empirical_ntk_fn(dense)(x1, x2, W),
    'cost': lambda W, x1, x2: empirical_ntk_fn(dense).cost(x1, x2, W),
    'products': lambda W, x1, x2: empirical_ntk_vp_fn(dense, x1, x2, W),
    'Monte Carlo': lambda W, x1, x2: monte_carlo_kernel_fn(lambda rng, shape: ((), W), dense, 0, 2)(x1, x2),
}


@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf])
@pytest.mark.parametrize('name', CALLS)
def test_no_numbers(name, bad):
    call, W = CALLS[name], numpy.eye(4)
    for given, where in (((W, with_one(bad), None), 'x1'), ((W, X, with_one(bad)), 'x2'),
                         ((with_one(bad)[:4], X, None), 'params')):
        with pytest.raises(ValueError, match=f'expected {where} to be finite, got NaN or infinity in 1 of its'):
            call(*given)


@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf])
@pytest.mark.parametrize('expand', [linearize, lambda f, params: taylor_expand(f, params, 2)])
def test_no_numbers_in_expansions(expand, bad):
    W, broken = (numpy.eye(4),), (with_one(bad)[:4],)
    f = lambda params, x: dense(params[0], x)       # noqa: E731
    with pytest.raises(ValueError, match=r'expected params\[0\] to be finite'):
        expand(f, broken)
    with pytest.raises(ValueError, match=r'expected the parameters\[0\] to be finite'):
        expand(f, W)(broken, X)
    with pytest.raises(ValueError, match='expected argument 1 to be finite'):
        expand(f, W)(W, with_one(bad))
    assert numpy.array_equal(expand(f, W)(W, X), X)


@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf])
def test_no_numbers_in_finite_networks(bad):
    init_fn, f, _ = stax.serial(stax.Dense(3), stax.Relu(), stax.Dense(2))
    _, params = init_fn(0, X.shape)
    with pytest.raises(ValueError, match='expected the inputs to be finite, got NaN or infinity in 1 of its 20'):
        f(params, with_one(bad))
    both = stax.parallel(stax.Dense(3), stax.Dense(2))
    with pytest.raises(ValueError, match='expected the inputs to be finite'):
        both[1](both[0](0, [X.shape, X.shape])[1], [X, with_one(bad)])


@pytest.mark.parametrize('constant', [numpy.nan, numpy.inf])
def test_masks_are_no_numbers(constant):
    """Where inputs are padded with NaN, it is what was asked for."""
    init_fn, f, _ = stax.serial(stax.Dense(3), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(2))
    x = numpy.stack([X, X, 2 * X])
    _, params = init_fn(0, x.shape)
    x[0, 3:] = constant
    plain = stax.unmask_fn(f)
    alone = f(params, x[:1, :3])
    for kernel_fn in (empirical_kernel_fn(plain), empirical_kernel_fn(plain, implementation=3)):
        k = kernel_fn(x, None, None, params, mask_constant=constant)
        close(k.nngp[:1, :1], outer(alone))
        close(k.ntk[:1, :1], empirical_ntk_fn(f)(x[:1, :3], None, params))
    close(linearize(plain, params)(params, x, mask_constant=constant)[:1], alone)


# ------------------------------------------------------------------ memory

def two(params, x):
    return np.dot(np.dot(x, params[0]), params[1])


@pytest.mark.parametrize('implementation', WAYS)
def test_too_large(implementation, monkeypatch):
    """Refused before it is computed; the tiles that the message names fit, and are right."""
    rng = numpy.random.default_rng(0)
    x, params = rng.standard_normal((12, 4)), (rng.standard_normal((4, 500)), rng.standard_normal((500, 2)))
    ntk_fn, expected = empirical_ntk_fn(two, implementation=implementation), definition(two, params, x, x, (1,))
    free = min(cost.bytes for cost in ntk_fn.cost(x, None, params).values()) - 1
    monkeypatch.setattr(ntref.empirical.kernels, 'free_beside', lambda a: free)
    with pytest.raises(MemoryError, match='tangent kernel of 12 with 12 inputs by .* Tiles fit') as error:
        ntk_fn(x, None, params)
    text = str(error.value)
    assert ('vmap_axes=0, implementation=3' in text) == ('STRUCTURED' not in text)
    side = int(text.partition('batch_size=')[2].partition(',')[0])
    assert 1 <= side < 12
    ntk = batch(ntk_fn, side, 0)(x, None, params)
    assert abs(ntk - expected).max() <= 1e-12 * abs(expected).max()


@pytest.mark.parametrize('get, what', [
    ('nngp', 'the NNGP of'), (('ntk', 'nngp'), 'the tangent kernel and the NNGP of 60 with 60 inputs by STRUCTURED')])
def test_too_large_together(get, what, monkeypatch):
    """Neither kernel is computed where both do not fit; the NNGP is there twice, as it is divided."""
    x, params = numpy.arange(120.).reshape(60, 2), (numpy.eye(2), numpy.eye(2))
    kernel_fn = empirical_kernel_fn(two, vmap_axes=0, implementation=3)
    needed = 2 * 8 * 60 ** 2 + (kernel_fn.cost(x, None, params)[3].bytes if 'ntk' in get else 0)
    monkeypatch.setattr(ntref.empirical.kernels, 'free_beside', lambda a: needed)
    expected = kernel_fn(x, None, get, params)
    monkeypatch.setattr(ntref.empirical.kernels, 'free_beside', lambda a: needed - 1)
    with monkeypatch.context() as inside:
        inside.setattr(ntref.empirical.kernels.Pairing, 'nngp', None)
        with pytest.raises(MemoryError, match=f'got {what}.*, .* of them for the result. Tiles fit') as error:
            kernel_fn(x, None, get, params)
    side = int(str(error.value).partition('batch_size=')[2].partition(',')[0])
    for found, of_all in zip(batch(kernel_fn, side, 0)(x, None, get, params), expected, strict=True):
        close(found, of_all)


# ------------------------------------------------------------------ tiles of functions that mix their inputs

def centred(params, x):
    h = x @ params
    return h - np.mean(h, 0)


@pytest.mark.parametrize('size', [1, 2, 100])
def test_batch_of_functions_that_mix(size):
    W = numpy.arange(8.).reshape(4, 2)
    for f, is_mixing in (centred, True), (lambda p, x: np.tanh(x @ p), False):
        for kernel_fn, args in ((empirical_ntk_fn(f), (W,)), (empirical_nngp_fn(f), (W,)),
                                (empirical_kernel_fn(f), ('ntk', W)), (empirical_ntk_fn(f, vmap_axes=0), (W,))):
            for other in None, X[:3]:
                if is_mixing:
                    with pytest.raises(ValueError, match='treats its inputs one by one, as tiles need'):
                        batch(kernel_fn, size, 0)(X, other, *args)
                else:
                    close(batch(kernel_fn, size, 0)(X, other, *args), kernel_fn(X, other, *args))


def test_batch_of_random_layers():
    init_fn, f, _ = stax.serial(stax.Dense(30), stax.Dropout(.5), stax.Dense(2))
    _, params = init_fn(0, X.shape)
    with pytest.raises(ValueError, match='random layers do that'):
        batch(empirical_ntk_fn(f), 2, 0)(X, None, params, rng=1)


def test_batch_with_keywords_of_the_inputs():
    def weighted(params, x, weights):
        return x @ params * weights[:, None]
    W, w1, w2 = numpy.arange(8.).reshape(4, 2), numpy.arange(1., 6.), numpy.arange(3.) + .5
    ntk_fn = empirical_ntk_fn(weighted)
    close(batch(ntk_fn, 2, 0)(X, None, W, weights=w1), ntk_fn(X, None, W, weights=w1))
    close(batch(ntk_fn, 2, 0)(X, X[:3], W, weights=(w1, w2)), ntk_fn(X, X[:3], W, weights=(w1, w2)))


# ------------------------------------------------------------------ seeds

def without_children():
    """A Generator whose bits come from a seed of old, which does not spawn."""
    return numpy.random.Generator(numpy.random.RandomState(7)._bit_generator)


def test_seeds_of_all_kinds():
    init_fn, _, _ = stax.serial(stax.Dense(3), stax.Dense(2))
    for make in (lambda: 7, lambda: numpy.int64(7), lambda: numpy.random.SeedSequence(7), lambda: [7, 1],
                 lambda: numpy.random.default_rng(7), lambda: numpy.random.RandomState(7), without_children):
        (_, first), (_, again) = init_fn(make(), X.shape), init_fn(make(), X.shape)
        assert numpy.array_equal(first[0][0], again[0][0]) and not numpy.array_equal(first[0][0][:3, :2], first[1][0])
    for state in numpy.random.RandomState(7), without_children():
        assert not numpy.array_equal(init_fn(state, X.shape)[1][0][0], init_fn(state, X.shape)[1][0][0])
    for bad in 'text', -1, 1.5, {}:
        with pytest.raises((TypeError, ValueError), match='expected rng to be a seed'):
            init_fn(bad, X.shape)


def test_key_is_seed():
    init_fn, f, _ = stax.serial(stax.Dense(3), stax.Dense(2))
    given = dict(init_fn=init_fn, apply_fn=f, n_samples=3, device_count=0)
    expected = monte_carlo_kernel_fn(seed=5, **given)(X, None, 'ntk')
    assert numpy.array_equal(monte_carlo_kernel_fn(key=5, **given)(X, None, 'ntk'), expected)
    with pytest.raises(TypeError, match='expected one of seed and key, got 5 and 5'):
        monte_carlo_kernel_fn(seed=5, key=5, **given)
    with pytest.raises(ValueError, match='seed is expected to be a whole number >= 0, got None'):
        monte_carlo_kernel_fn(**given)


# ------------------------------------------------------------------ float32 stays

def kinked(params, x):
    W, V = params
    return np.mean(np.maximum(x @ W, 0)[:, :, None] * np.minimum(x[:, :1, None] * V, 1), 1)


@pytest.mark.parametrize('f', [kinked, lambda p, x: np.tanh(x @ p[0]) @ p[1]], ids=['kinked', 'smooth'])
def test_float32_stays(f, rng):
    """autograd's rules for maximum, minimum and mean make float64 of it."""
    x, *params = (rng.standard_normal(shape).astype('float32') for shape in ((3, 4), (4, 5), (5, 2)))
    out = f(params, x)
    assert out.dtype == 'float32'
    assert empirical_ntk_vp_fn(f, x, None, params)(out).dtype == 'float32'
    for implementation in WAYS:
        k = empirical_kernel_fn(f, vmap_axes=0, implementation=implementation)(x, None, None, params)
        assert k.ntk.dtype == k.nngp.dtype == 'float32'
    moved = [w + numpy.float32(.1) for w in params]
    for degree in range(4):
        assert taylor_expand(f, params, degree)(moved, x).dtype == 'float32'
