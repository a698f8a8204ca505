"""Averages over finite networks: against the infinite one and brute force, and what seeds, threads, tiles promise."""
import threading
import time
import tracemalloc
import warnings
from fractions import Fraction
from itertools import pairwise

import autograd.numpy as np
import numpy
import pytest
from autograd import grad
from scipy import stats

import ntref
from ntref import empirical_kernel_fn, monte_carlo_kernel_fn
from ntref.engine import run
from ntref.stax import (
    Aggregate, Conv, Dense, Dropout, Erf, FanInSum, FanOut, Flatten, GlobalAvgPool, Relu, parallel, serial)
from ntref.testing import LEVEL

THREADS = 0, 1, 2, 4
MLP = serial(Dense(8, 1.3, .2), Relu(), Dense(3, 1.1, .4))
RANDOM = serial(Dense(8, 1.3, .2), Relu(), Dropout(.6), Dense(2, 1.1))


def given(net):
    """init_fn and apply_fn."""
    return net.init_fn, net.apply_fn


def recorded(net):
    """The same, and the parameters and seeds that they are given, in order."""
    params, seeds = [], []

    def init_fn(rng, shape):
        found = net.init_fn(rng, shape)
        params.append(found[1])
        return found

    def apply_fn(p, x, rng):
        seeds.append(rng)
        return net.apply_fn(p, x, rng=rng)
    return init_fn, apply_fn, params, seeds


def brute_force(kernels):
    """Mean and standard error of the mean, in exact fractions."""
    n, kernels = len(kernels), numpy.array(kernels)
    flat = [[Fraction(float(v)) for v in entry] for entry in kernels.reshape(n, -1).T]
    means = [sum(entry) / n for entry in flat]
    errors = [float(sum((v - mean) ** 2 for v in entry) / (n * (n - 1))) ** .5 for entry, mean in zip(flat, means)]
    return [numpy.reshape([float(v) for v in found], kernels.shape[1:]) for found in (means, errors)]


def assert_equal(actual, expected, rtol=1e-12):
    expected = numpy.asarray(expected)
    assert actual.shape == expected.shape and numpy.isfinite(actual).all()
    assert abs(actual - expected).max(initial=0) <= rtol * abs(expected).max(initial=0)


def chance(estimate, kernel):
    """Bound on the probability of a mean as far from the kernel in any entry: Student's t, times the entries."""
    floor = 1e-12 * abs(kernel).max()
    worst = (abs(estimate.mean - kernel) / (estimate.error + floor)).max()
    return 2 * kernel.size * stats.t.sf(worst, estimate.n - 1)


# ------------------------------------------------------------------ against the infinite network

images, rows = (2, 4, 3, 2), (3, 4)
NETWORKS = {                    # with one hidden layer: no bias at any width
    'relu': (serial(Dense(32, 1.3, .2), Relu(), Dense(3, 1.1, .4)), rows),
    'erf': (serial(Dense(32, 1.3, .2), Erf(), Dense(3, 1.1, .4)), rows),
    'standard': (serial(Dense(32, 1.3, .2, parameterization='standard'), Relu(),
                        Dense(3, 1.1, .4, parameterization='standard')), rows),
    'dropout': (serial(Dense(32, 1.3, .2), Relu(), Dropout(.6), Dense(3, 1.1, .4)), rows),
    'conv': (serial(Conv(24, (3, 2), padding='SAME', b_std=.1), Relu(), GlobalAvgPool(), Dense(4)), images),
    'conv, flat': (serial(Conv(24, (3, 2), (2, 1), b_std=.1), Erf(), Flatten(), Dense(4)), images),
    'conv, dropout': (serial(Conv(24, (3, 2), padding='SAME', b_std=.1), Relu(), Dropout(.7), GlobalAvgPool(),
                             Dense(4)), images),
    'branches': (serial(FanOut(2), parallel(Dense(3, .7), serial(Dense(32), Relu(), Dense(3))), FanInSum()), rows),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_mean_is_the_infinite_network(name, rng):
    """At a level of 1e-4 divided by the number of entries; an error of 30 percent would be seen at the same level."""
    net, shape = NETWORKS[name]
    x = rng.standard_normal(shape)
    x[1] = x[0] + .1 * x[1]
    found = monte_carlo_kernel_fn(*given(net), 7, 400, return_error=True, implementation=0 if shape == images else 1)(x)
    for get in 'nngp', 'ntk':
        kernel, estimate = net.kernel_fn(x, get=get), getattr(found, get)
        assert chance(estimate, kernel) > LEVEL > chance(estimate, 1.3 * kernel)


@pytest.mark.slow
def test_other_inputs_have_other_masks(rng):
    """With x2 the diagonal is not one of coincident inputs, unless they are equal."""
    net, x = serial(Dense(32), Dropout(.5), Dense(8)), rng.standard_normal((3, 5))
    y = x + 1e-9
    for other, is_same in ((y, False), (x.copy(), True), (x[:2], False)):
        estimate = monte_carlo_kernel_fn(*given(net), 1, 600, return_error=True)(x, other, 'nngp')
        plain, same = net.kernel_fn(x, y[:len(other)], 'nngp'), net.kernel_fn(x, get='nngp')[:, :len(other)]
        right, wrong = (same, plain) if is_same else (plain, same)
        assert chance(estimate, right) > LEVEL > chance(estimate, wrong)


@pytest.mark.slow
def test_bias_falls_with_the_width(rng):
    """E f^4 of one hidden layer of n rectified units is 3 K^2 (1 + 5 / n), by hand: E relu(u)^4 = 6 (E relu(u)^2)^2."""
    x = rng.standard_normal((1, 4))
    for width in 4, 16:
        net = serial(Dense(width), Relu(), Dense(60))
        limit = 3 * net.kernel_fn(x, get='nngp') ** 2
        estimate = monte_carlo_kernel_fn(net.init_fn, lambda params, x: net.apply_fn(params, x) ** 2, 3, 1500,
                                         device_count=0, return_error=True)(x, None, 'nngp')
        assert chance(estimate, limit * (1 + 5 / width)) > LEVEL > chance(estimate, limit)


# ------------------------------------------------------------------ against brute force

@pytest.mark.parametrize('n', [2, 3, 40])
@pytest.mark.parametrize('is_one', [True, False])
def test_brute_force(n, is_one, rng):
    """Kernels of the same networks, one by one."""
    x1 = rng.standard_normal((4, 5))
    x2 = None if is_one else rng.standard_normal((3, 5))
    init_fn, apply_fn, params, seeds = recorded(RANDOM)
    found = monte_carlo_kernel_fn(init_fn, apply_fn, 5, n, device_count=0, trace_axes=(), return_error=True)(x1, x2)
    seeds = seeds[::len(seeds) // n] if is_one else list(zip(seeds[::2], seeds[1::2]))
    assert len(params) == n == len(set(seeds))
    kernel_fn = empirical_kernel_fn(RANDOM.apply_fn, ())
    kernels = [kernel_fn(x1, x2, None, p, rng=seed) for p, seed in zip(params, seeds)]
    for get in 'nngp', 'ntk':
        mean, error = brute_force([getattr(k, get) for k in kernels])
        estimate = getattr(found, get)
        assert estimate.n == n
        assert_equal(estimate.mean, mean)
        assert_equal(estimate.error, error)


def test_scatter_far_below_the_mean(rng):
    """K = p^2 of about 1e8 +- 2: the mean of squares less the square of the mean would have no digit."""
    draws = 1e4 + 1e-4 * rng.standard_normal(50)
    given = iter(draws)
    mean, error, n = monte_carlo_kernel_fn(lambda rng, shape: (shape, next(given)), lambda p, x: x * p, 0, 50,
                                           device_count=0, return_error=True)(numpy.ones((1, 1)), None, 'nngp')
    expected = brute_force([numpy.array([[p * p]]) for p in draws])
    assert n == 50 and abs(mean - expected[0]).max() < 1e-15 * 1e8
    assert abs(error / expected[1] - 1).max() < 1e-7
    squares = (draws ** 2) ** 2
    assert abs((squares.mean() - (draws ** 2).mean() ** 2) / 49 / expected[1].item() ** 2 - 1) > .01


@pytest.mark.slow
def test_error_is_that_of_the_mean():
    """K normal: the distance from its mean in standard errors is Student's t with n - 1 degrees of freedom."""
    def kernel_fn(seed):
        return monte_carlo_kernel_fn(lambda rng, shape: (shape, (3 + .3 * rng.standard_normal()) ** .5),
                                     lambda p, x: x * p, seed, 6, device_count=0, return_error=True)
    x = numpy.ones((1, 1))
    with run.alone():                                               # no threads to start
        found = [kernel_fn(seed)(x, None, 'nngp') for seed in range(600)]
    distances = numpy.array([((k.mean - 3) / k.error).item() for k in found])
    assert stats.kstest(distances, stats.t(5).cdf).pvalue > LEVEL > stats.kstest(distances * 1.4, stats.t(5).cdf).pvalue
    inside = (abs(distances) < stats.t(5).ppf(.975)).mean()
    assert abs(inside - .95) < 4 * (.95 * .05 / 600) ** .5


def test_by_hand():
    """p = 1, 2, 6 on x = 2: K = 4, 16, 144, Theta = 4."""
    def kernel_fn(n, **keywords):
        given = iter([1., 2., 6.])
        return monte_carlo_kernel_fn(lambda rng, shape: (shape, next(given)), lambda p, x: x * p, 0, n, device_count=0,
                                     **keywords)(numpy.array([[2.]]))
    assert kernel_fn(3).nngp == 164 / 3 and kernel_fn(3).ntk == 4
    found = [k.nngp for k in kernel_fn([1, 2, 3])]
    assert found == [4, 10, 164 / 3]
    estimate = kernel_fn(3, return_error=True)
    assert type(estimate).__name__ == 'EmpiricalKernel' and estimate.nngp._fields == ('mean', 'error', 'n')
    squares = (4 - 164 / 3) ** 2 + (16 - 164 / 3) ** 2 + (144 - 164 / 3) ** 2
    assert abs(estimate.nngp.error - (squares / 6) ** .5) < 1e-14
    assert estimate.ntk.mean == 4 and estimate.ntk.error == 0 and estimate.ntk.n == 3


# ------------------------------------------------------------------ seeds, threads, tiles

def same(a, b):
    """To the last bit."""
    return all(numpy.array_equal(u, v) for u, v in zip(a, b, strict=True))


@pytest.mark.parametrize('name, way', [('relu', (0, 3)), ('conv', (0, 3)), ('conv, dropout', (None, 1)),
                                       ('erf', (None, 2))], ids=str)
def test_any_number_of_threads(name, way, rng):
    net, shape = NETWORKS[name]
    x1, x2 = rng.standard_normal(shape), rng.standard_normal(shape)
    found = [monte_carlo_kernel_fn(*given(net), 1, 9, 0, threads, True, (-1,), (), *way, return_error=True)(x1, x2)
             for threads in (*THREADS, -1)]
    assert all(same(k.nngp, found[0].nngp) and same(k.ntk, found[0].ntk) for k in found)
    other = monte_carlo_kernel_fn(*given(net), 2, 9)(x1, x2)
    assert abs(other.nngp - found[0].nngp.mean).max() > 1e-3


def test_threads_are_used(rng):
    x, seen = rng.standard_normal((2, 5)), set()

    def init_fn(rng, shape):
        seen.add(threading.get_ident())
        time.sleep(.01)
        return MLP.init_fn(rng, shape)
    monte_carlo_kernel_fn(init_fn, MLP.apply_fn, 0, 12, device_count=3)(x)
    assert len(seen) > 1


@pytest.mark.parametrize('threads', [0, 2])
def test_estimates_are_prefixes(threads, rng):
    """In growing order, each once, and nothing is drawn ahead of what is asked for."""
    x, drawn = rng.standard_normal((3, 5)), []

    def init_fn(rng, shape):
        drawn.append(0)
        return MLP.init_fn(rng, shape)
    growing = monte_carlo_kernel_fn(init_fn, MLP.apply_fn, 4, iter([7, 1, 20, 7]), device_count=threads)(x)
    assert not drawn
    for n in 1, 7, 20:
        kernels = next(growing)
        assert len(drawn) == n
        assert same(kernels, monte_carlo_kernel_fn(*given(MLP), 4, n)(x))
    assert next(growing, None) is None and len(drawn) == 20


def test_estimates_do_not_change_later(rng):
    x = rng.standard_normal((3, 5))
    growing = monte_carlo_kernel_fn(*given(MLP), 4, [3, 30], return_error=True)(x, None, 'nngp')
    first = next(growing)
    before = first.mean.copy(), first.error.copy()
    second = next(growing)
    assert same(first[:2], before) and not numpy.array_equal(first.mean, second.mean)


def test_samples_are_independent(rng):
    """Of one seed, and of neighbouring ones: a shared stream would give equal kernels."""
    x, seen = rng.standard_normal((1, 5)), []
    for seed in 0, 1, 2 ** 70:
        growing = monte_carlo_kernel_fn(*given(MLP), seed, range(1, 6))(x, None, 'ntk')
        means = [k.item() * n for n, k in enumerate(growing, 1)]
        seen += [round(b - a, 9) for a, b in pairwise([0., *means])]
    assert len(set(seen)) == 15


@pytest.mark.parametrize('is_one', [True, False])
@pytest.mark.parametrize('axes', [((-1,), ()), ((), ()), ((), (-1,))], ids=str)
def test_tiles(axes, is_one, rng):
    x1 = rng.standard_normal((5, 5))
    x2 = None if is_one else rng.standard_normal((4, 5))

    def kernels(batch_size, threads=0):
        return monte_carlo_kernel_fn(*given(MLP), 1, 3, batch_size, threads, True, *axes)(x1, x2)
    whole = kernels(0)
    for batch_size in 1, 2, 3, 100:
        found = kernels(batch_size)
        assert type(found).__name__ == 'EmpiricalKernel'
        for name in 'nngp', 'ntk':
            assert_equal(getattr(found, name), getattr(whole, name), 1e-14)
        assert same(kernels(batch_size, 2), found)
    assert same(kernels(100), whole)


def test_tiles_are_small(rng):
    """No more inputs than asked for go into the network at a time."""
    seen = []

    def apply_fn(params, x):
        seen.append(len(x))
        return MLP.apply_fn(params, x)
    monte_carlo_kernel_fn(MLP.init_fn, apply_fn, 1, 2, 2)(rng.standard_normal((5, 5)))
    assert set(seen) == {1, 2}


@pytest.mark.parametrize('batch_size', [0, 1, 2, 3])
def test_tiles_of_random_layers(batch_size, rng):
    """One draw is one network with one mask for each input, in all tiles: of one output, K has rank 1."""
    net, x = serial(Dense(40, 1.3, .2), Relu(), Dropout(.5), Dense(1)), rng.standard_normal((5, 4))
    x[2] = x[0]
    for other in None, x.copy():
        k = monte_carlo_kernel_fn(*given(net), 3, 1, batch_size)(x, other, 'nngp')
        assert_equal(k, k.T, 1e-15)
        assert_equal(k ** 2, numpy.outer(numpy.diag(k), numpy.diag(k)))
        assert abs(k[0] - k[2]).max() > 1e-3 * abs(k).max()             # another mask, as it is another input
    k = monte_carlo_kernel_fn(*given(net), 3, 1, batch_size)(x, x[::-1], 'nngp')
    assert abs(k[:, ::-1] - monte_carlo_kernel_fn(*given(net), 3, 1, batch_size)(x, None, 'nngp')).max() > 1e-3


@pytest.mark.slow
def test_tiles_of_random_layers_have_the_right_mean(rng):
    """Also of duplicates in different blocks."""
    net, x = serial(Dense(32, 1.3, .2), Relu(), Dropout(.5), Dense(3)), rng.standard_normal((3, 4))
    x[1] = x[0]
    estimate = monte_carlo_kernel_fn(*given(net), 3, 400, 1, return_error=True)(x, None, 'nngp')
    kernel = net.kernel_fn(x, get='nngp')
    wrong = numpy.where(numpy.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), kernel[0, 0], kernel)
    assert chance(estimate, kernel) > LEVEL > chance(estimate, wrong)


@pytest.mark.parametrize('threads', [0, 2])
def test_derivatives_inside_on_threads(threads, rng):
    """A trace within one that began while another thread was in its own, which has ended since.

    autograd tells traces apart by how many are open; counted for all threads together, both would have one number.
    """
    calls, begun = iter(range(100)), threading.Event()

    def apply_fn(params, x):
        W, V = params
        if threads and (call := next(calls)) < 2:
            if call == 0:
                begun.wait(10)                                          # the other has begun
            else:
                begun.set()
                time.sleep(.2)                                          # the other has ended
        return grad(lambda x: np.sum(np.tanh(x @ W) @ V))(x) @ V[:5]

    def init_fn(rng, shape):
        return shape, (rng.standard_normal((5, 6)), rng.standard_normal((6, 2)))

    def apply_by_hand(params, x):
        W, V = params
        return ((1 - np.tanh(x @ W) ** 2) * np.sum(V, 1)) @ W.T @ V[:5]
    x = rng.standard_normal((3, 5))
    found = monte_carlo_kernel_fn(init_fn, apply_fn, 0, 4, device_count=threads)(x)
    expected = monte_carlo_kernel_fn(init_fn, apply_by_hand, 0, 4, device_count=0)(x)
    assert_equal(found.ntk, expected.ntk)
    assert_equal(found.nngp, expected.nngp)


def test_memory_is_that_of_a_few_kernels():
    """However many samples there are."""
    x = numpy.ones((300, 1))

    def peak(n):
        kernel_fn = monte_carlo_kernel_fn(lambda rng, shape: (shape, rng.standard_normal()), lambda p, x: x * p, 0, n,
                                          device_count=2, return_error=True)
        tracemalloc.start()
        kernel_fn(x, None, 'nngp')
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found / (8 * len(x) ** 2)
    peak(2)
    assert peak(150) < 1.2 * peak(30) < 25


# ------------------------------------------------------------------ tolerance

def reached(estimate, tol):
    return estimate.error.max() <= tol * abs(estimate.mean).max()


@pytest.mark.parametrize('threads', [0, 3])
def test_stops_at_the_first_that_reaches_tol(threads, rng):
    x, tol = rng.standard_normal((3, 5)), .12
    path = monte_carlo_kernel_fn(*given(MLP), 2, range(2, 500), return_error=True)(x)
    expected = next(k for k in path if k.ntk.n >= 10 and reached(k.ntk, tol) and reached(k.nngp, tol))
    assert 10 < expected.ntk.n < 499
    found = monte_carlo_kernel_fn(*given(MLP), 2, 500, device_count=threads, tol=tol)(x)
    assert found.ntk.n == found.nngp.n == expected.nngp.n
    assert same(found.ntk, expected.ntk) and same(found.nngp, expected.nngp)
    assert monte_carlo_kernel_fn(*given(MLP), 2, 500, tol=tol)(x, None, 'ntk').n < found.ntk.n      # that one alone
    assert monte_carlo_kernel_fn(*given(MLP), 2, 500, tol=100.)(x).ntk.n == 10
    assert monte_carlo_kernel_fn(*given(MLP), 2, 6, tol=100.)(x).ntk.n == 6


def test_tol_ends_a_generator(rng):
    x = rng.standard_normal((3, 5))
    n = monte_carlo_kernel_fn(*given(MLP), 2, 500, tol=.12)(x).ntk.n
    found = monte_carlo_kernel_fn(*given(MLP), 2, [5, n - 1, n + 1, 500], tol=.12)(x)
    assert [k.ntk.n for k in found] == [5, n - 1, n]


def test_tol_that_is_not_reached(rng):
    x = rng.standard_normal((3, 5))
    with pytest.warns(UserWarning, match='at most tol=0.05 times the largest entry, got 0.*after 40 samples') as caught:
        estimate = monte_carlo_kernel_fn(*given(MLP), 2, 40, tol=.05)(x, None, 'ntk')
    assert estimate.n == 40 and caught[0].filename == __file__
    about = float(str(caught[0].message).partition('n_samples=')[2].split()[0])
    assert abs(about / (40 * (estimate.error.max() / abs(estimate.mean).max() / .05) ** 2) - 1) < .06
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert monte_carlo_kernel_fn(*given(MLP), 2, int(1.5 * about), tol=.05)(x, None, 'ntk').n > 40


def test_tol_of_kernels_that_are_not_finite():
    """Outputs of 1e200, whose square overflows; parameters that are not finite are refused by name."""
    def kernel_fn(w):
        return monte_carlo_kernel_fn(lambda rng, shape: (shape, w), lambda w, x: x * w, 2, 12, device_count=0, tol=.1)
    with numpy.errstate(all='ignore'), pytest.warns(UserWarning, match='got inf after 12 samples.$'):
        kernel_fn(1e200)(numpy.ones((1, 1)), None, 'nngp')
    for w in numpy.inf, numpy.nan:
        for get in 'nngp', 'ntk':
            with pytest.raises(ValueError, match='expected params to be finite'):
                kernel_fn(w)(numpy.ones((1, 1)), None, get)


# ------------------------------------------------------------------ inputs, outputs, keywords

def test_get_and_axes(rng):
    x = rng.standard_normal((4, 5))
    every = monte_carlo_kernel_fn(*given(MLP), 1, 5)(x)
    kernel_fn = monte_carlo_kernel_fn(*given(MLP), 1, 5)
    assert same([kernel_fn(x, None, 'nngp'), kernel_fn(x, get='ntk')], every)
    assert kernel_fn(x, None, ('ntk', 'nngp'))._fields == ('ntk', 'nngp')
    assert kernel_fn(x, None, ('ntk',)).ntk.shape == (4, 4)
    for trace, diagonal, shape in [((), (), (4, 4, 3, 3)), ((-1,), (0,), (4,)), ((), (0, 1), (4, 3)), ((0, 1), (), ())]:
        k = monte_carlo_kernel_fn(*given(MLP), 1, 5, trace_axes=trace, diagonal_axes=diagonal)(x)
        full = monte_carlo_kernel_fn(*given(MLP), 1, 5, trace_axes=())(x)
        spec = {(): 'nnoo->', (4,): 'nnoo->n', (4, 3): 'nnoo->no'}.get(shape, 'nmoq->nmoq')
        for name in 'nngp', 'ntk':
            assert numpy.shape(getattr(k, name)) == shape
            expected = numpy.einsum(spec, getattr(full, name)) / {(): 12, (4,): 3}.get(shape, 1)
            assert_equal(numpy.asarray(getattr(k, name)), expected)


@pytest.mark.parametrize('implementation', [0, 1, 2, 3])
def test_implementations(implementation, rng):
    x1, x2 = rng.standard_normal((2, 3, 5))
    expected = monte_carlo_kernel_fn(*given(MLP), 1, 4, trace_axes=())(x1, x2, 'ntk')
    found = monte_carlo_kernel_fn(*given(MLP), 1, 4, 0, -1, True, (), (), 0, implementation)(x1, x2, 'ntk')
    assert_equal(found, expected)


@pytest.mark.parametrize('batch_size', [0, 2])
def test_keywords(batch_size, rng):
    """Pairs for x1 and x2; with x2=None one."""
    net = serial(Aggregate(1, 0, 2, implementation='SPARSE'), Dense(16), Relu(), Dense(2))
    x1, x2 = rng.standard_normal((3, 4, 5)), rng.standard_normal((2, 4, 5))
    p1, p2 = rng.integers(0, 4, (3, 6, 2)), rng.integers(0, 4, (2, 6, 2))
    kernel_fn = monte_carlo_kernel_fn(*given(net), 1, 3, batch_size)
    init_fn, apply_fn, params, _ = recorded(net)
    with run.alone():
        monte_carlo_kernel_fn(init_fn, net.apply_fn, 1, 3)(x1, x2, 'nngp', pattern=(p1, p2))
    for other, pattern in ((x2, (p1, p2)), (None, p1)):
        one_by_one = [empirical_kernel_fn(net.apply_fn)(x1, other, None, p, pattern=pattern) for p in params]
        k = kernel_fn(x1, other, pattern=pattern)
        assert_equal(k.ntk, sum(one.ntk for one in one_by_one) / 3)
        assert_equal(k.nngp, sum(one.nngp for one in one_by_one) / 3)


def two_outputs(params, x):
    W, (V,) = params['W'], params['V']
    return {'sum': (np.tanh(x[0] @ W) + x[1] @ V, [x[0] @ W * 2])}


def two_params(rng, shape):
    (_, n), (_, m) = shape
    return None, {'W': rng.standard_normal((n, 2)), 'V': (rng.standard_normal((m, 2)),)}


@pytest.mark.parametrize('batch_size', [0, 2])
def test_trees(batch_size, rng):
    x1, x2 = ([rng.standard_normal((n, 5)), rng.standard_normal((n, 3))] for n in (4, 3))
    kept = []

    def init_fn(rng, shape):
        kept.append(two_params(rng, shape))
        return kept[-1]
    kernel_fn = monte_carlo_kernel_fn(init_fn, two_outputs, 1, 3, batch_size, 0, trace_axes=(), return_error=True)
    k = kernel_fn(x1, x2)
    one_by_one = [empirical_kernel_fn(two_outputs, ())(x1, x2, None, params) for _, params in kept]
    assert type(k['sum']) is tuple and type(k['sum'][1]) is list and len(kept) == 3
    for pick in (lambda k: k['sum'][0]), (lambda k: k['sum'][1][0]):
        for name in 'nngp', 'ntk':
            mean, error = brute_force([getattr(pick(one), name) for one in one_by_one])
            assert_equal(getattr(pick(k), name).mean, mean)
            assert_equal(getattr(pick(k), name).error, error)
    assert same(kernel_fn(x1, x2, 'ntk')['sum'][0], k['sum'][0].ntk)
    assert same(kernel_fn(x1, [None, None], 'ntk')['sum'][0], kernel_fn(x1, None, 'ntk')['sum'][0])


def test_inputs_in_a_dict(rng):
    x = {'a': rng.standard_normal((4, 5)), 'b': rng.standard_normal((4, 3))}
    functions = (lambda rng, shape: two_params(rng, (shape['a'], shape['b'])),
                 lambda params, x: two_outputs(params, [x['a'], x['b']]))
    kernel_fn = monte_carlo_kernel_fn(*functions, 1, 2)
    listed = monte_carlo_kernel_fn(two_params, two_outputs, 1, 2)([x['a'], x['b']])
    assert same(kernel_fn(x)['sum'][0], listed['sum'][0])
    with pytest.raises(TypeError, match='expected x1 to be an array of inputs, or a list of arrays, got dict'):
        monte_carlo_kernel_fn(*functions, 1, 2, 3)(x)


def test_float32(rng):
    x = rng.standard_normal((4, 5))

    def init_fn(rng, shape):
        _, params = MLP.init_fn(rng, shape)
        return None, ntref.trees.tree_map(numpy.float32, params)
    found = monte_carlo_kernel_fn(init_fn, MLP.apply_fn, 1, 50, return_error=True)(numpy.float32(x))
    exact = monte_carlo_kernel_fn(*given(MLP), 1, 50, return_error=True)(x)
    for name in 'nngp', 'ntk':
        for a, b in zip(getattr(found, name)[:2], getattr(exact, name)[:2]):
            assert a.dtype == 'float32' and b.dtype == 'float64'
            assert abs(a - b).max() < 1e-5 * abs(b).max()


def test_zeros_one_row_and_none(rng):
    """An input of zeros has no kernel and no error without biases; tol is met where all is zero."""
    net = serial(Dense(8), Relu(), Dense(1))
    x = rng.standard_normal((2, 5)) * [[0], [1]]
    k = monte_carlo_kernel_fn(*given(net), 1, 4, return_error=True)(x, None, 'nngp')
    assert not k.mean[0].any() and not k.error[0].any() and k.mean[1, 1] > 0 < k.error[1, 1]
    assert monte_carlo_kernel_fn(*given(net), 1, 40, tol=1e-9)(x[:1], None, 'nngp').n == 10
    assert_equal(monte_carlo_kernel_fn(*given(net), 1, 4)(x[1:], None, 'nngp'), k.mean[1:, 1:], 1e-15)
    for batch_size in 0, 2:
        assert monte_carlo_kernel_fn(*given(net), 1, 4, batch_size)(x[:0], x, 'ntk').shape == (0, 2)


# ------------------------------------------------------------------ errors, interruption, progress

@pytest.mark.parametrize('arguments, keywords, error, text', [
    ((0, 0), {}, ValueError, 'n_samples is expected to be a whole number >= 1, got 0'),
    ((0, [3, -1]), {}, ValueError, 'n_samples is expected to be a whole number >= 1, got -1'),
    ((0, [3, 2.5]), {}, ValueError, 'n_samples is expected to be a whole number >= 1, got 2.5'),
    ((0, [3, True]), {}, ValueError, 'n_samples is expected to be a whole number >= 1, got True'),
    ((0, 2.5), {}, TypeError, 'n_samples is expected to be a whole number or several of them, got 2.5'),
    ((0, None), {}, TypeError, 'n_samples is expected to be a whole number or several of them, got None'),
    ((0, True), {}, TypeError, 'n_samples is expected to be a whole number or several of them, got True'),
    ((0, []), {}, ValueError, 'n_samples is expected to have numbers in it'),
    ((0, 1), {'return_error': True}, ValueError, 'Draw at least 2 samples'),
    ((0, [1, 5]), {'return_error': True}, ValueError, 'Draw at least 2 samples'),
    ((0, 1), {'tol': .1}, ValueError, 'Draw at least 2 samples'),
    ((0, 5), {'tol': 0}, ValueError, 'tol is expected to be > 0, got 0'),
    ((0, 5), {'tol': float('nan')}, ValueError, 'tol is expected to be finite'),
    ((0, 5), {'tol': 'small'}, TypeError, 'tol is expected to be a number'),
    ((-1, 5), {}, ValueError, 'seed is expected to be a whole number >= 0, got -1'),
    ((None, 5), {}, ValueError, 'seed is expected to be a whole number >= 0, got None'),
    ((0, 5, -1), {}, ValueError, 'batch_size is expected to be a whole number >= 0, got -1'),
    ((0, 5, 0, -2), {}, ValueError, 'device_count is expected to be a whole number >= -1, got -2'),
    ((0, 5), {'implementation': 7}, ValueError, 'expected implementation to be one of'),
    ((0, 5), {'trace_axes': (.5,)}, TypeError, 'expected trace_axes to be a whole number'),
    ((0, 5), {'trace_axes': None}, TypeError, 'expected trace_axes to be a whole number .* got None'),
    ((0, 5), {'return_error': .1}, TypeError, 'return_error is expected to be True or False, got 0.1'),
])
def test_arguments(arguments, keywords, error, text):
    with pytest.raises(error, match=text):
        monte_carlo_kernel_fn(*given(MLP), *arguments, **keywords)


def test_functions():
    with pytest.raises(TypeError, match='expected init_fn to be a function'):
        monte_carlo_kernel_fn(3, MLP.apply_fn, 0, 5)
    with pytest.raises(TypeError, match='expected f to be a function'):
        monte_carlo_kernel_fn(MLP.init_fn, 3, 0, 5)
    with pytest.raises(TypeError, match=r'init_fn\(rng, shape\) to return \(output shape, params\), got array'):
        monte_carlo_kernel_fn(lambda rng, shape: numpy.zeros(3), MLP.apply_fn, 0, 5)(numpy.ones((2, 5)))


@pytest.mark.parametrize('n', [5, [5]])
def test_call(n):
    """Before anything is drawn."""
    x, kernel_fn = numpy.ones((2, 5)), monte_carlo_kernel_fn(*given(RANDOM), 0, n)
    with pytest.raises(TypeError, match='expected no keyword rng'):
        kernel_fn(x, rng=3)
    for x1, x2, name in ([[1., 2.]], None, 'x1'), (None, x, 'x1'), (3., None, 'x1'), (x, [x, 'x'], 'x2'):
        with pytest.raises(TypeError, match=f'expected {name} to be an array, or a tree of arrays, got'):
            kernel_fn(x1, x2)
    with pytest.raises(ValueError, match='expected get to be None'):
        list(kernel_fn(x, None, 'cov1'))


def test_keywords_of_other_lengths(rng):
    """Cut into tiles, a vector that all inputs share would be broadcast in silence."""
    def apply_fn(params, x, scale):
        return MLP.apply_fn(params, x * scale)
    x, scale = rng.standard_normal((4, 5)), rng.standard_normal(5)
    assert monte_carlo_kernel_fn(MLP.init_fn, apply_fn, 0, 2)(x, None, 'nngp', scale=scale).shape == (4, 4)
    for other, value in ((None, scale), (x, (scale, scale)), (x[:2], (scale[:4], scale))):
        with pytest.raises(ValueError, match='expected arrays in scale with . entries, one for each input'):
            monte_carlo_kernel_fn(MLP.init_fn, apply_fn, 0, 2, 1)(x, other, 'nngp', scale=value)


@pytest.mark.parametrize('axes', [{'diagonal_axes': 0}, {'diagonal_axes': (-2,)}, {'trace_axes': (0, 1)}])
def test_tiles_need_pairs_of_inputs(axes):
    """Three inputs with three outputs: shapes would not tell."""
    with pytest.raises(ValueError, match='expected batch_size=0 with the axis of the inputs in'):
        monte_carlo_kernel_fn(*given(MLP), 0, 2, 3, **axes)(numpy.ones((3, 5)))


@pytest.mark.parametrize('threads', [0, 2])
@pytest.mark.parametrize('error', [KeyboardInterrupt, ZeroDivisionError])
def test_stops_after_an_error(error, threads, rng):
    x, begun = rng.standard_normal((2, 5)), []

    def init_fn(rng, shape):
        begun.append(0)
        if len(begun) == 8:
            raise error
        time.sleep(.002)
        return MLP.init_fn(rng, shape)
    with pytest.raises(error):
        monte_carlo_kernel_fn(init_fn, MLP.apply_fn, 0, 1000, device_count=threads)(x)
    assert len(begun) < 30


def test_progress(capsys, monkeypatch, rng):
    """On a terminal, for what takes longer than a moment."""
    monkeypatch.setattr(run, 'PATIENCE', 0)
    x = rng.standard_normal((2, 5))
    monte_carlo_kernel_fn(*given(MLP), 0, 5)(x)
    assert capsys.readouterr().err == ''
    monkeypatch.setattr('sys.stderr.isatty', lambda: True)
    monte_carlo_kernel_fn(*given(MLP), 0, 5)(x)
    err = capsys.readouterr().err
    assert 'Monte Carlo' in err and '5/5' in err and 'sample' in err and 'kernel' not in err


def test_a_function_without_rng_is_given_none(rng):
    """It would be an unknown keyword; what takes any keyword is given it."""
    x, seen = rng.standard_normal((2, 5)), []

    def plain(params, x):
        return MLP.apply_fn(params, x)

    def forwards(params, x, **kwargs):
        seen.append(kwargs)
        return MLP.apply_fn(params, x, **kwargs)
    expected = monte_carlo_kernel_fn(*given(MLP), 0, 3)(x)
    assert same(monte_carlo_kernel_fn(MLP.init_fn, plain, 0, 3)(x), expected)
    assert same(monte_carlo_kernel_fn(MLP.init_fn, forwards, 0, 3)(x), expected)
    assert all(list(kwargs) == ['rng'] and 0 <= kwargs['rng'] < 2 ** 32 for kwargs in seen)
