"""Finite networks on arrays of CuPy, on its stand-in: the numbers of NumPy, where they are, what goes to the host."""
from itertools import product
import warnings

from examples import FEATURES, NETWORKS, POSITIONS, draw, has_finite_network
import numpy
import pytest
from kinds import to_numpy
from numpy.testing import assert_allclose

from ntref import (
    Differentiable, batch, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn, linearize,
    monte_carlo_kernel_fn, stax, taylor_expand)
from ntref.autograd_on_device import follow_on_device
from ntref.trees import leaves, tree_map

autograd = pytest.importorskip('autograd')
anp = pytest.importorskip('autograd.numpy')
make_jvp = autograd.core.make_jvp

FINITE = [pytest.param(net, id=f'{name}: {net!r}') for name, net in NETWORKS if has_finite_network(net)]
FEW = [stax.serial(stax.Dense(4, 1.3, .4), stax.Erf(), stax.Dense(2)),
       stax.serial(stax.Conv(3, (2, 2), None, 'SAME'), stax.Relu(), stax.Flatten(), stax.Dense(2, 1.1, .3))]
networks = pytest.mark.parametrize('net', FEW, ids=['dense', 'conv'])


@pytest.fixture
def alone(cupy, monkeypatch):
    """CuPy's stand-in; no array with axes comes to the host."""
    def get(self, **keywords):
        raise AssertionError(f'an array of shape {self.shape} goes to the host')
    monkeypatch.setattr(cupy.ndarray, 'get', get)
    follow_on_device()
    return cupy


def on_device(cupy, tree):
    return tree_map(lambda a: cupy.asarray(a) if isinstance(a, numpy.ndarray) else a, tree)


def given(net, cupy, rng, *numbers):
    """Parameters and inputs, as many as said, of NumPy and of CuPy."""
    positions = () if 'Conv' not in repr(net) else POSITIONS
    xs = [draw(rng, net, n, positions) for n in numbers]
    _, params = net.init_fn(0, xs[0].shape)
    return params, xs, on_device(cupy, params), [cupy.asarray(x) for x in xs]


def assert_same(found, wanted, cupy):
    """Arrays of CuPy with the numbers of NumPy's."""
    pairs = list(zip(leaves(found), leaves(wanted), strict=True))
    assert pairs and all(type(a) is cupy.ndarray for a, _ in pairs)
    for a, b in pairs:
        assert_allclose(a._host, b, rtol=1e-12, atol=1e-12 * abs(b).max(initial=1.))


# ------------------------------------------------------------------ derivatives of all layers

@pytest.mark.parametrize('net', FINITE)
def test_derivatives_of_layers(net, alone, rng):
    """In parameters and inputs, backward; in parameters, forward."""
    x = draw(rng, net, 3, POSITIONS)
    _, params = net.init_fn(0, tree_map(numpy.shape, x))

    def out(both):
        return sum((a * a).sum() for a in leaves(net.apply_fn(*both, rng=3)))

    def along(t, params, direction, x):
        return 0 * t + out((tree_map(lambda p, d: p + t * d, params, direction), x))
    there = on_device(alone, (params, x))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Output seems independent')                   # of steps, and of constants
        assert_same(autograd.grad(out)(there), autograd.grad(out)((params, x)), alone)
    direction = tree_map(lambda p: p / 2 + .1, params)
    found, wanted = (make_jvp(lambda t: along(t, p, d, x), 0.)(1.)[1] for p, d, x in (
        (there[0], on_device(alone, direction), there[1]), (params, direction, x)))
    assert_allclose(float(found), wanted, rtol=1e-11)


# ------------------------------------------------------------------ kernels

@networks
@pytest.mark.parametrize('implementation, vmap, second', [*product((0, 1, 2, 3), (0, None), (True, False))])
def test_kernels(net, implementation, vmap, second, alone, rng):
    params, (x, y), there, (a, b) = given(net, alone, rng, 3, 2)
    kernel_fn = empirical_kernel_fn(net.apply_fn, (), (), vmap, implementation)
    wanted = kernel_fn(x, y if second else None, None, params)
    assert_same(kernel_fn(a, b if second else None, None, there), wanted, alone)


@networks
def test_kernels_are_checked(net, alone, rng):
    params, (x,), there, (a,) = given(net, alone, rng, 3)
    kernel_fn = empirical_ntk_fn(net.apply_fn, vmap_axes=0, implementation=3, check=True)
    assert_same(kernel_fn(a, None, there), kernel_fn(x, None, params), alone)
    with pytest.raises(ValueError, match='treats its examples one by one'):
        empirical_ntk_fn(lambda p, x: net.apply_fn(p, x - x.mean(0)), vmap_axes=0, check=True)(a, None, there)


@networks
def test_products(net, alone, rng):
    params, (x, y), there, (a, b) = given(net, alone, rng, 3, 2)
    v = rng.standard_normal((2, 2))
    wanted = empirical_ntk_vp_fn(net.apply_fn, x, y, params)(v)
    assert_same(empirical_ntk_vp_fn(net.apply_fn, a, b, there)(alone.asarray(v)), wanted, alone)


def test_functions_of_the_user(alone, rng):
    """Weights that are moved, scaled, joined and looked up; operations that make arrays of NumPy in autograd."""
    def f(params, x):
        W, v, c = params['W'], params['v'], params['c']
        h = anp.tanh(x @ W.T * 2. + v) * anp.where(x[:, :1] > 0, 1., c)
        h = h - anp.mean(h, axis=1, keepdims=True) + anp.max(h, axis=1, keepdims=True)
        return anp.einsum('ni,ji->nj', h, W[:2, :4]) + anp.sum(anp.exp(c * h), axis=1, keepdims=True) + v[[0, 0]] ** 2
    x = rng.standard_normal((3, 5))
    params = {'W': rng.standard_normal((4, 5)), 'v': rng.standard_normal(4), 'c': numpy.array(.3)}
    for implementation, vmap in product((1, 2, 3), (0, None)):
        ntk_fn = empirical_ntk_fn(f, (), (), vmap, implementation)
        assert_same(ntk_fn(alone.asarray(x), None, on_device(alone, params)), ntk_fn(x, None, params), alone)


def test_kernels_are_differentiated(alone, rng):
    net = FEW[0]
    params, (x, y), there, (a, b) = given(net, alone, rng, 3, 2)
    ntk_fn = empirical_ntk_fn(net.apply_fn)

    def total(params, x, y):
        return (ntk_fn(x, y, params) ** 2).sum()
    for i in 0, 1:
        assert_same(autograd.grad(total, i)(there, a, b), autograd.grad(total, i)(params, x, y), alone)


def test_tiles_of_empirical_kernels_come_to_the_host(cupy, rng):
    net = FEW[0]
    params, (x,), there, (a,) = given(net, cupy, rng, 5)
    ntk_fn = empirical_ntk_fn(net.apply_fn)
    k = batch(ntk_fn, 2)(a, None, there)
    assert type(k) is numpy.ndarray
    assert_allclose(k, ntk_fn(x, None, params), rtol=1e-12)


# ------------------------------------------------------------------ many networks, and lines through one

@pytest.mark.parametrize('batch_size', [0, 2])
def test_monte_carlo_draws_the_networks_of_the_host(batch_size, cupy, rng):
    net = FEW[0]
    _, (x, y), _, (a, b) = given(net, cupy, rng, 4, 2)
    kernel_fn = monte_carlo_kernel_fn(net.init_fn, net.apply_fn, 0, 3, batch_size, return_error=True)
    for second, there in (y, b), (None, None):
        found, wanted = kernel_fn(a, there), kernel_fn(x, second)
        for name in 'nngp', 'ntk':
            for part in 'mean', 'error':
                left, right = (getattr(getattr(k, name), part) for k in (found, wanted))
                assert type(left) is (numpy.ndarray if batch_size else cupy.ndarray), 'tiles are on the host'
                assert_allclose(to_numpy(left), right, rtol=1e-12, atol=1e-14)


def test_monte_carlo_stops_at_a_tolerance(alone, rng):
    net = FEW[0]
    _, (x,), _, (a,) = given(net, alone, rng, 3)
    found, wanted = (monte_carlo_kernel_fn(net.init_fn, net.apply_fn, 0, 400, tol=.3)(z, None, 'nngp') for z in (a, x))
    assert found.n == wanted.n < 400
    assert_same((found.mean, found.error), (wanted.mean, wanted.error), alone)


@networks
@pytest.mark.parametrize('degree', [1, 3])
def test_taylor(net, degree, alone, rng):
    params, (x,), there, (a,) = given(net, alone, rng, 3)
    new = tree_map(lambda p: 1.1 * p + .1, params)
    wanted = taylor_expand(net.apply_fn, params, degree)(new, x)
    assert_same(taylor_expand(net.apply_fn, there, degree)(on_device(alone, new), a), wanted, alone)


def test_linear_models_are_differentiated(alone, rng):
    net = FEW[0]
    params, (x,), there, (a,) = given(net, alone, rng, 3)
    found, wanted = (autograd.grad(lambda p: (linearize(net.apply_fn, at)(p, z) ** 2).sum())(at)
                     for at, z in ((there, a), (params, x)))
    assert_same(found, wanted, alone)


# ------------------------------------------------------------------ refused

def test_arrays_on_two_sides_are_refused(cupy, rng):
    net = FEW[0]
    params, (x,), there, (a,) = given(net, cupy, rng, 3)
    cases = [
        (lambda: empirical_ntk_fn(net.apply_fn)(a, None, params), 'x1 of CuPy and params of NumPy'),
        (lambda: empirical_ntk_fn(net.apply_fn)(x, a, params), 'x2 of CuPy and params of NumPy'),
        (lambda: empirical_nngp_fn(net.apply_fn)(x, None, there), 'params of CuPy and x1 of NumPy'),
        (lambda: empirical_ntk_vp_fn(net.apply_fn, a, None, there)(numpy.ones((3, 2))),
         'params of CuPy and cotangents of NumPy'),
        (lambda: linearize(net.apply_fn, there)(params, a), 'inputs of CuPy and the parameters of NumPy'),
        (lambda: monte_carlo_kernel_fn(net.init_fn, net.apply_fn, 0, 2)(a, x), 'x1 of CuPy and x2 of NumPy')]
    for call, text in cases:
        with pytest.raises(TypeError, match=text):
            call()


def test_derivatives_that_are_given_are_of_the_host(cupy, rng):
    f = Differentiable(lambda params, x: x @ params, lambda params, x: (x @ params, lambda g: x.T @ g))
    x = cupy.asarray(rng.standard_normal((3, FEATURES)))
    with pytest.raises(TypeError, match=r'x1 of a Differentiable to be .* of NumPy, got .* take its get\(\)'):
        empirical_ntk_fn(f)(x, None, cupy.asarray(rng.standard_normal((FEATURES, 1))))


def test_not_finite_parameters_are_refused_there_too(cupy, rng):
    net = FEW[0]
    params, _, there, (a,) = given(net, cupy, rng, 3)
    there[0][0][0, 0] = numpy.nan
    with pytest.raises(ValueError, match='to be finite, got NaN'):
        empirical_ntk_fn(net.apply_fn)(a, None, there)
