"""Gradients of the evidence in hyper-parameters, and fits: differences, 40 digits, scikit-learn, data from the prior.
"""
import autograd
import mpmath
import numpy as np
import pytest
from autograd import numpy as anp
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from ntref import stax
from ntref.predict import (
    Fit, FitError, Gaussian, NotPSDError, fit_hyperparameters, log_marginal_likelihood,
    log_marginal_likelihood_gradient, network_evidence, sample)
from ntref.stax import plan


def relu(W_std, b_std):
    return stax.serial(stax.Dense(1, W_std, b_std), stax.Relu(), stax.Dense(1, W_std, b_std), stax.Relu(),
                       stax.Dense(1, W_std, b_std))


def linear(W_std, b_std):
    return stax.Dense(1, W_std, b_std)


def images(W_std, b_std, W_out):
    return stax.serial(stax.Conv(1, (2, 2), None, 'SAME', W_std, b_std), stax.Erf(), stax.GlobalAvgPool(),
                       stax.Dense(1, W_out))


def with_positions(W_std, b_std):
    return stax.serial(stax.Conv(1, (2,), None, 'SAME', W_std, b_std), stax.Relu(), stax.Conv(1, (2,), None, 'SAME'))


def standardized(W_std, b_std):
    """Mixes the batch: no blocks."""
    return stax.serial(stax.Dense(1, W_std, b_std), stax.LayerNorm((0, 1)), stax.Relu(), stax.Dense(1, W_std, b_std))


def function(scale, amplitude):
    """A kernel function of one's own."""
    def kernel_fn(x1, x2, get):
        x2 = x1 if x2 is None else x2
        return amplitude * anp.exp(-anp.sum((x1[:, None] - x2[None]) ** 2, -1) / scale)
    return kernel_fn


def derivative(f, v):
    """Of order h^4."""
    h = 1e-3 * v
    return (8 * (f(v + h) - f(v - h)) - (f(v + 2 * h) - f(v - 2 * h))) / (12 * h)


CASES = {
    'relu': (relu, dict(W_std=1.4, b_std=.4, diag_reg=.1), (7, 3), (7, 2), {}),
    'relu, no noise fitted': (relu, dict(W_std=1.4, b_std=.4), (7, 3), (7, 2), dict(diag_reg=.2)),
    'relu, absolute': (relu, dict(W_std=1.4, diag_reg=.1, b_std=.4), (7, 3), (7,), dict(diag_reg_absolute_scale=True)),
    'relu, ntk': (relu, dict(W_std=1.4, b_std=.4, diag_reg=.1), (7, 3), (7, 2), dict(get='ntkgp')),
    'images': (images, dict(W_std=1.4, b_std=.4, W_out=.7, diag_reg=.1), (5, 3, 3, 2), (5, 2), {}),
    'positions': (with_positions, dict(W_std=1.4, b_std=.4, diag_reg=.1), (4, 3, 2), (4, 3, 2), {}),
    'whole': (standardized, dict(W_std=1.4, b_std=.4, diag_reg=.1), (6, 3), (6, 1), {}),
    'function': (function, dict(scale=2., amplitude=.5, diag_reg=.1), (6, 3), (6, 2), {}),
    'noise': (lambda: relu(1.4, .4), dict(diag_reg=.1), (6, 3), (6, 2), {}),
}


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('entries', (4 * 9, None))
def test_gradient_against_differences(rng, monkeypatch, name, entries):
    """In blocks of nine pairs, and in one."""
    if entries:
        monkeypatch.setattr(network_evidence, 'ENTRIES', entries)
    net_fn, hyper, shape, targets, options = CASES[name]
    x, y = rng.standard_normal(shape), rng.standard_normal(targets)
    value, gradient = log_marginal_likelihood_gradient(net_fn, x, y, hyper, **options)
    assert type(value) is float and list(gradient) == list(hyper)

    def evidence(**changed):
        given = {**hyper, **changed}
        reg = given.pop('diag_reg', options.get('diag_reg'))
        get = options.get('get', 'nngp')
        net = net_fn(**given)
        k = getattr(net, 'kernel_fn', net)(x, None, 'nngp' if get == 'nngp' else 'ntk')
        return log_marginal_likelihood(k, y, reg, options.get('diag_reg_absolute_scale', False))
    assert abs(value - evidence()) < 1e-12 * max(1, abs(value))
    for parameter, v in hyper.items():
        difference = derivative(lambda v, parameter=parameter: evidence(**{parameter: v}), v)
        assert abs(gradient[parameter] - difference) < 2e-9 * max(1, abs(difference), *map(abs, gradient.values()))
        assert abs(difference) > 1e-3


def test_blocks_are_the_whole(rng, monkeypatch):
    """And tracing all of it at once, evidence too."""
    x, y, hyper = rng.standard_normal((12, 3)), rng.standard_normal((12, 2)), dict(W_std=1.4, b_std=.4, diag_reg=.1)

    def traced(v):
        return log_marginal_likelihood(relu(v[0], v[1]).kernel_fn(x, get='nngp'), y, v[2])
    truth, calls = autograd.grad(traced)(np.array(list(hyper.values()))), []
    problem = network_evidence.Problem

    def counting(self, rows, columns, hyper, f=problem.block):
        if hyper is not self.initial:                        # autograd follows the numbers
            calls.append((rows, columns))
        return f(self, rows, columns, hyper)
    monkeypatch.setattr(problem, 'block', counting)
    monkeypatch.setattr(type(relu(1.4, .4).kernel_fn), 'gradient_in_tiles', lambda *a, **k: False)
    for side, n in ((1, 78), (3, 10), (5, 6), (11, 3), (12, 1), (1000, 1)):
        calls.clear()
        monkeypatch.setattr(network_evidence, 'ENTRIES', 4 * side * side)
        _, gradient = log_marginal_likelihood_gradient(relu, x, y, hyper)
        assert len(calls) == n and max(len(range(12)[rows]) for rows, _ in calls) <= side
        np.testing.assert_allclose(list(gradient.values()), truth, rtol=1e-12)
    calls.clear()
    log_marginal_likelihood_gradient(standardized, x, y, hyper)
    assert calls == [(slice(None), slice(None))]


@pytest.mark.parametrize('features', (1, 4))
@pytest.mark.parametrize('nonlinearity', (stax.Relu, stax.Erf))
def test_tiles_are_the_blocks_that_autograd_records(rng, monkeypatch, nonlinearity, features):
    """With rows that are repeated, parallel, opposite and zero."""
    x, y = rng.standard_normal((300, features)), rng.standard_normal((300, 2))
    x[100:120], x[120:140], x[140:160], x[160:162] = x[:20], 3 * x[:20], -x[:20], 0
    hyper = dict(W_std=1.4, b_std=.4, diag_reg=.1)

    def net_fn(W_std, b_std):
        dense = stax.Dense(1, W_std, b_std)
        return stax.serial(dense, nonlinearity(), dense, nonlinearity(), dense)
    calls, block = [], network_evidence.Problem.block

    def counting(self, rows, columns, hyper):
        calls.append((rows, columns))
        return block(self, rows, columns, hyper)
    monkeypatch.setattr(network_evidence.Problem, 'block', counting)
    problem = network_evidence.Problem(net_fn, x, y, hyper, ('nngp', 0., False, (-1,)), {})
    value, gradient = problem.value_and_gradient(hyper)
    again = problem.value_and_gradient(hyper)                # threads add up in any order
    assert again[0] == value and again[1] == pytest.approx(gradient, rel=1e-13)
    assert calls == [(slice(0, 2), slice(0, 2)), *[(slice(None), slice(None))] * 2]
    monkeypatch.setattr(type(net_fn(1., 1.).kernel_fn), 'gradient_in_tiles', lambda *a, **k: False)
    recorded, slopes = log_marginal_likelihood_gradient(net_fn, x, y, hyper)
    assert len(calls) == 3 + 3
    assert value == pytest.approx(recorded, rel=1e-12)
    largest = max(map(abs, slopes.values()))
    assert all(abs(gradient[name] - slopes[name]) < 1e-11 * largest for name in hyper)


IN_TILES = {
    'few inputs': (relu, (20, 3), {}, True),
    'many inputs': (relu, (260, 3), {}, True),
    'images': (images, (4, 3, 3, 2), {}, True),
    'a mask': (images, (4, 3, 3, 2), dict(mask_constant=7.), False),
    'mixed inputs': (standardized, (260, 3), {}, False),
}


@pytest.mark.parametrize('name', IN_TILES)
def test_what_is_said_of_tiles_is_done(rng, monkeypatch, name):
    """`gradient_in_tiles` tells whether autograd sees the kernel as one function."""
    net_fn, shape, given, expected = IN_TILES[name]
    x, seen = rng.standard_normal(shape), []
    x[0] = given.get('mask_constant', x[0])
    backward = plan.Followed.backward
    monkeypatch.setattr(plan.Followed, 'backward', lambda self, *x: seen.append(self) or backward(self, *x))
    hyper = dict(W_std=1.4, b_std=.4, **(dict(W_out=.7) if net_fn is images else {}))
    said = net_fn(**hyper).kernel_fn.gradient_in_tiles(x, None, 'nngp', **given)
    log_marginal_likelihood_gradient(net_fn, x, rng.standard_normal(len(x)), hyper, diag_reg=.1, **given)
    assert said == bool(seen) == expected


def test_keywords_in_blocks(rng, monkeypatch):
    """A mask and a pattern go to the kernel function, those of a block with it."""
    x, y = rng.standard_normal((5, 4, 2)), rng.standard_normal((5, 1))
    x[1, 2:], x[3, 1:] = 9., 9.
    hyper, pattern = dict(W_std=1.2, b_std=.3, diag_reg=.1), rng.standard_normal((5, 4, 4))

    def masked(W_std, b_std):
        return stax.serial(stax.Dense(1, W_std, b_std), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1, W_std))

    def graph(W_std, b_std):
        return stax.serial(stax.Dense(1, W_std, b_std), stax.Relu(), stax.Aggregate(), stax.GlobalAvgPool(),
                           stax.Dense(1, W_std))
    for net_fn, given in ((masked, dict(mask_constant=9.)), (graph, dict(pattern=pattern))):
        found = []
        for entries in (2 ** 20, 4 * 4 * 4 * 2 * 2):
            monkeypatch.setattr(network_evidence, 'ENTRIES', entries)
            found.append(log_marginal_likelihood_gradient(net_fn, x, y, hyper, **given))
        assert found[0][1] == pytest.approx(found[1][1], rel=1e-11)

        def evidence(w, net_fn=net_fn, given=given):
            return log_marginal_likelihood(net_fn(w, .3).kernel_fn(x, get='nngp', **given), y, .1)
        assert found[0][1]['W_std'] == pytest.approx(derivative(evidence, 1.2), rel=1e-8)


@pytest.mark.parametrize('noise', (.3, 1e-3, 1e-6))
def test_accuracy_stated(rng, noise):
    """Of a linear network, to 40 digits: K = W^2 x x'/d + b^2, dK/dW = 2 W x x'/d, dK/db = 2 b."""
    x, y, hyper = rng.standard_normal((6, 3)), rng.standard_normal((6, 2)), dict(W_std=1.3, b_std=.4, diag_reg=noise)
    value, gradient = log_marginal_likelihood_gradient(linear, x, y, hyper, diag_reg_absolute_scale=True)
    with mpmath.workdps(40):
        m, (w, b, r) = mpmath.matrix, (mpmath.mpf(v) for v in hyper.values())
        xx, one, targets = m(x.tolist()) * m(x.tolist()).T / 3, mpmath.ones(6, 6), m(y.tolist())
        a = w ** 2 * xx + b ** 2 * one + r * mpmath.eye(6)
        inverse = a ** -1
        alpha = inverse * targets

        def slope(dk):
            return sum((alpha.T * dk * alpha)[o, o] for o in (0, 1)) / 2 - sum((inverse * dk)[i, i] for i in range(6))
        truth = [float(v) for v in (w * slope(2 * w * xx), b * slope(2 * b * one), r * slope(mpmath.eye(6)))]
        fit = float(sum((targets.T * alpha)[o, o] for o in (0, 1)) / 2)
        exact = -fit - mpmath.log(mpmath.det(a)) - 6 * mpmath.log(2 * mpmath.pi)
    rounding = 2. ** -52 * np.linalg.cond(np.array(a.tolist(), float))
    assert abs(value - exact) < rounding * (fit + 2)
    for name, wanted in zip(hyper, truth):
        assert abs(gradient[name] * hyper[name] - wanted) < 2 * rounding * max(map(abs, truth))


def test_against_scikit_learn(rng):
    """c (x x' + s^2) + noise, with c = W^2/d and s^2 = b^2 d / W^2: values, gradients, and the maximum."""
    n, d = 25, 3
    x, y = rng.standard_normal((n, d)), rng.standard_normal((n, 2))
    y += x @ np.array([[1., .5], [-.7, .2], [.1, .9]]) + .6
    W, b, noise = 1.3, .4, .3
    theirs = (kernels.ConstantKernel(W ** 2 / d, (1e-9, 1e9)) * kernels.DotProduct(b * d ** .5 / W, (1e-9, 1e9))
              + kernels.WhiteKernel(noise, (1e-9, 1e9)))
    gp = GaussianProcessRegressor(theirs, alpha=0.).fit(x, y)
    value, (by_c, by_s, by_noise) = gp.log_marginal_likelihood(theirs.theta, eval_gradient=True)
    hyper = dict(W_std=W, b_std=b, diag_reg=noise)
    ours, gradient = log_marginal_likelihood_gradient(linear, x, y, hyper, diag_reg_absolute_scale=True)
    assert ours == pytest.approx(value, rel=1e-12)
    logs = [gradient[name] * hyper[name] for name in hyper]
    np.testing.assert_allclose(logs, [2 * by_c - by_s, by_s, by_noise], rtol=1e-9)
    fit = fit_hyperparameters(linear, x, y, hyper, diag_reg_absolute_scale=True)
    assert fit.log_marginal_likelihood >= gp.log_marginal_likelihood_value_ - 1e-6
    c, s, r = np.exp(gp.kernel_.theta)
    found = fit.hyperparameters
    np.testing.assert_allclose([found['W_std'], found['b_std'], found['diag_reg']],
                               [(c * d) ** .5, s * c ** .5, r], rtol=1e-3)


@pytest.mark.parametrize('n, entries', ((6, 2 ** 18), (6, 4 * 9), (300, 2 ** 18)))
def test_single_precision(rng, monkeypatch, n, entries):
    """Recorded in one block, in four, and in tiles."""
    monkeypatch.setattr(network_evidence, 'ENTRIES', entries)
    x, y = rng.standard_normal((n, 3)), rng.standard_normal((n, 2))
    hyper = dict(W_std=1.4, b_std=.4, diag_reg=.1)
    value, gradient = log_marginal_likelihood_gradient(relu, x, y, hyper)
    rough, slopes = log_marginal_likelihood_gradient(relu, x.astype('float32'), y.astype('float32'), hyper)
    assert 1e-12 < abs(rough / value - 1) < 1e-5
    assert list(slopes.values()) == pytest.approx(list(gradient.values()), rel=1e-4)
    assert all(type(v) is float for v in slopes.values())


# ------------------------------------------------------------------ fits

def drawn(n, true, noise, seed=0, o=1):
    """Inputs, and targets drawn from the prior of `relu` and noise."""
    x = np.random.default_rng(seed).standard_normal((n, 3))
    k = relu(**true).kernel_fn(x, get='nngp') + noise * np.eye(n)
    return x, sample(Gaussian(np.zeros((n, o)), k), 1, seed + 1)[0]


def test_hyper_parameters_are_found_again():
    """Within four widths of the posterior in the logarithms, from the curvature of log p at its maximum."""
    true, noise = dict(W_std=1.6, b_std=.7), .05
    x, y = drawn(80, true, noise, o=3)
    start, seen = dict(W_std=1., b_std=.2, diag_reg=.5), []
    fit = fit_hyperparameters(relu, x, y, start, diag_reg_absolute_scale=True,
                              progress=lambda hyper, value: seen.append((hyper, value)))
    assert isinstance(fit, Fit) and fit.at_bounds == () and fit.scipy.success
    names, found = list(start), np.log(list(fit.hyperparameters.values()))

    def slopes(u):
        hyper = dict(zip(names, map(float, np.exp(u))))
        _, gradient = log_marginal_likelihood_gradient(relu, x, y, hyper, diag_reg_absolute_scale=True)
        return np.array([gradient[name] * hyper[name] for name in names])
    curvature = -np.array([(slopes(found + e) - slopes(found - e)) / 2e-4 for e in 1e-4 * np.eye(3)])
    widths = np.sqrt(np.diagonal(np.linalg.inv(curvature)))
    off = (found - np.log([true['W_std'], true['b_std'], noise])) / widths
    assert (np.abs(off) < 4).all() and (widths < .5).all()
    assert np.abs(slopes(found)).max() < 1e-2
    assert np.allclose(list(fit.gradient.values()), slopes(found), atol=1e-9)
    assert fit.trace == seen and fit.trace[0][0] == start
    assert fit.log_marginal_likelihood == max(value for _, value in seen) > seen[0][1] + 50
    assert dict(fit.trace[int(np.argmax([v for _, v in seen]))][0]) == fit.hyperparameters
    assert repr(fit.network) == repr(relu(fit.hyperparameters['W_std'], fit.hyperparameters['b_std']))
    at_truth = log_marginal_likelihood(relu(**true).kernel_fn(x, get='nngp'), y, noise, True)
    assert 0 < fit.log_marginal_likelihood - at_truth < 10


def test_never_below_the_start():
    x, y = drawn(15, dict(W_std=1.6, b_std=.7), .05)
    best = fit_hyperparameters(relu, x, y, dict(W_std=1.3, b_std=.5, diag_reg=.1))
    again = fit_hyperparameters(relu, x, y, best.hyperparameters)
    assert again.log_marginal_likelihood >= best.log_marginal_likelihood
    assert again.trace[0] == (best.hyperparameters, best.log_marginal_likelihood)
    assert len(again.trace) < len(best.trace)


def test_a_start_at_the_maximum():
    """W_std^2 = y^2: the derivative is exactly 0 there, which does not say that the kernel does not depend on it."""
    found = fit_hyperparameters(lambda W_std: stax.Dense(1, W_std), np.eye(1), np.array([2.]), dict(W_std=2.))
    assert found.hyperparameters == dict(W_std=2.) and found.gradient == dict(W_std=0.) and found.scipy.success


def test_what_autograd_does_not_see(rng):
    """Its derivative would be 0, silently; that of what does not matter is."""
    x, y = rng.standard_normal((4, 3)), rng.standard_normal(4)
    hyper = dict(W_std=1.3, b_std=.5)
    with pytest.raises(ValueError, match='can follow from b_std, got one that changes with it'):
        log_marginal_likelihood_gradient(
            lambda W_std, b_std: relu(W_std, getattr(b_std, '_value', b_std)), x, y, hyper, diag_reg=.1)
    slopes = log_marginal_likelihood_gradient(lambda W_std, b_std: relu(W_std, .5), x, y, hyper, diag_reg=.1)[1]
    assert slopes['b_std'] == 0 != slopes['W_std']


def test_whole_numbers(rng):
    x, y = rng.standard_normal((4, 3)), rng.standard_normal(4)
    whole, floats = (log_marginal_likelihood_gradient(relu, x, y, start) for start in (
        dict(W_std=2, b_std=1, diag_reg=1), dict(W_std=2., b_std=1., diag_reg=1.)))
    assert whole == floats


def test_bounds_without_room(rng):
    x, y, start = rng.standard_normal((4, 3)), rng.standard_normal(4), dict(W_std=1.3, b_std=.5)
    found = fit_hyperparameters(relu, x, y, start, diag_reg=.1, bounds={name: (v, v) for name, v in start.items()})
    assert found.hyperparameters == start and found.at_bounds == ('W_std', 'b_std')
    assert found.log_marginal_likelihood == log_marginal_likelihood_gradient(relu, x, y, start, diag_reg=.1)[0]


def test_bounds(rng):
    x, y = drawn(15, dict(W_std=1.6, b_std=.7), .05)
    fit = fit_hyperparameters(relu, x, y, dict(W_std=.9, b_std=.5, diag_reg=.1), bounds=dict(W_std=(.5, 1.)))
    assert fit.at_bounds == ('W_std',) and fit.hyperparameters['W_std'] == pytest.approx(1., rel=1e-14)
    assert fit.gradient['W_std'] > 0 and all(.5 <= hyper['W_std'] <= 1 + 1e-14 for hyper, _ in fit.trace)
    loose = fit_hyperparameters(relu, x, y, dict(W_std=.9, b_std=.5, diag_reg=.1))
    assert loose.log_marginal_likelihood > fit.log_marginal_likelihood and loose.at_bounds == ()
    fixed = fit_hyperparameters(relu, x, y, dict(W_std=.9, b_std=.5), diag_reg=.1)
    assert list(fixed.hyperparameters) == ['W_std', 'b_std']
    assert fixed.log_marginal_likelihood < loose.log_marginal_likelihood


def test_too_few_steps_end_in_an_error_that_holds_the_best():
    x, y = drawn(15, dict(W_std=1.6, b_std=.7), .05)
    start = dict(W_std=1.3, b_std=.5, diag_reg=.1)
    with pytest.raises(FitError, match='got .* at W_std=.*, b_std=.* its largest slope .* ITERATIONS') as error:
        fit_hyperparameters(relu, x, y, start, max_steps=1)
    best = error.value.fit
    assert best.log_marginal_likelihood == max(value for _, value in best.trace) > best.trace[0][1]
    assert best.log_marginal_likelihood == log_marginal_likelihood_gradient(relu, x, y, best.hyperparameters)[0]
    done = fit_hyperparameters(relu, x, y, best.hyperparameters)
    whole = fit_hyperparameters(relu, x, y, start)
    assert done.log_marginal_likelihood == pytest.approx(whole.log_marginal_likelihood, abs=1e-5)


def test_a_search_that_leaves_what_can_be_computed():
    """Without noise in targets of a smooth function log p grows until A is singular: it goes near, and says so."""
    x = np.linspace(-1, 1, 12)[:, None]
    with pytest.raises(FitError, match='zero to rounding.* Fit diag_reg, too, or give bounds') as error:
        fit_hyperparameters(function, x, np.sin(x), dict(scale=.5, amplitude=1.), bounds=dict(scale=(.1, 1e6)))
    fit = error.value.fit
    assert isinstance(error.value.__cause__, ValueError) and fit.scipy is None
    assert fit.log_marginal_likelihood > fit.trace[0][1] + 30


def overflowing(W_std):
    """K = W_std^2 up to 3, too large beyond."""
    scale = float(getattr(W_std, '_value', W_std))
    return lambda x1, x2, get: np.full((1, 1), 1e200) ** 2 if scale > 3 else W_std ** 2 * np.ones((1, 1))


def test_a_step_too_far_is_taken_back():
    """The maximum is at W_std = 2; from 3 on the kernel overflows. Steps from afar would land there."""
    for start in (.01, .4, 2.9):
        fit = fit_hyperparameters(overflowing, np.eye(1), np.array([2.]), dict(W_std=start))
        assert fit.hyperparameters['W_std'] == pytest.approx(2., rel=1e-5) and fit.scipy.success
        assert fit.at_bounds == ()
    below = fit_hyperparameters(overflowing, np.eye(1), np.array([2.]), dict(W_std=1.), bounds=dict(W_std=(.5, 1.5)))
    assert below.at_bounds == ('W_std',)
    with pytest.raises(FitError, match='NaN') as error:
        fit_hyperparameters(overflowing, np.eye(1), np.array([5.]), dict(W_std=.1))
    assert 2.9 < error.value.fit.hyperparameters['W_std'] <= 3

    with pytest.raises(ValueError, match='zero to rounding') as error:                       # at the start
        fit_hyperparameters(function, np.ones((3, 1)), np.ones(3), dict(scale=1., amplitude=1.))
    assert not isinstance(error.value, FitError)


# ------------------------------------------------------------------ several starts

def wave(W_std, b_std, W_out):
    return stax.serial(stax.Dense(1, W_std, b_std), stax.Sin(), stax.Dense(1, W_out))


def noisy_wave(n=40):
    """Inputs, and targets for which noise alone is a local maximum of the evidence of `wave`."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, 2))
    f = np.sin(6 * x[:, 0]) * x[:, 1]
    return x, f - f.mean() + .1 * rng.standard_normal(n)


def test_the_best_of_several_starts():
    x, y = noisy_wave()
    initial = dict(W_std=1., b_std=.5, W_out=1., diag_reg=.5)
    once = fit_hyperparameters(wave, x, y, initial, diag_reg_absolute_scale=True)
    fit = fit_hyperparameters(wave, x, y, initial, diag_reg_absolute_scale=True, starts=3)
    assert len(once.starts) == 1 and once.starts[0].trace == once.trace == fit.starts[0].trace
    assert len(fit.starts) == 3 and all(isinstance(each, Fit) and not each.starts for each in fit.starts)
    assert fit.log_marginal_likelihood == max(each.log_marginal_likelihood for each in fit.starts)
    assert fit.log_marginal_likelihood > once.log_marginal_likelihood + 10 and fit.scipy.success
    first, *others = (each.trace[0][0] for each in fit.starts)
    assert first == initial and others[0] != others[1]
    assert all(.1 <= start[name] / initial[name] <= 10 for start in others for name in initial)
    assert fit.log_marginal_likelihood == pytest.approx(log_marginal_likelihood_gradient(
        wave, x, y, fit.hyperparameters, diag_reg_absolute_scale=True)[0], abs=1e-9)


def test_starts_are_drawn_between_bounds():
    x, y = noisy_wave(6)
    initial, bounds = dict(W_std=1., b_std=.5, W_out=1.), dict(W_std=(.9, 1.1), b_std=(.5, .5))

    def drawn_from(rng):
        fit = fit_hyperparameters(wave, x, y, initial, diag_reg=.5, bounds=bounds, starts=5, rng=rng)
        for each in fit.starts:
            assert all(low * (1 - 1e-14) <= hyper[name] <= high * (1 + 1e-14) for hyper, _ in each.trace
                       for name, (low, high) in bounds.items())
        return [each.trace[0][0] for each in fit.starts]
    starts = drawn_from(7)
    widths = [start['W_std'] for start in starts[1:]]
    assert starts[0] == initial and .9 < min(widths) < 1 < max(widths) < 1.1 and len(set(widths)) == 4
    assert all(start['b_std'] == .5 for start in starts)
    assert drawn_from(np.random.default_rng(7)) == starts != drawn_from(8)


def test_an_error_of_one_start_does_not_lose_the_others():
    given = overflowing, np.eye(1), np.array([2.]), dict(W_std=10.)
    with pytest.raises(ValueError, match='NaN') as error:
        fit_hyperparameters(*given)
    assert not isinstance(error.value, FitError)
    fit = fit_hyperparameters(*given, starts=8)
    assert fit.hyperparameters['W_std'] == pytest.approx(2., rel=1e-5)
    kinds = [type(each) for each in fit.starts]
    assert kinds[0] is ValueError and 'NaN' in str(fit.starts[0]) and Fit in kinds and len(kinds) == 8
    with pytest.raises(ValueError, match='NaN'):
        fit_hyperparameters(*given, starts=3, bounds=dict(W_std=(5., 20.)))


def test_no_start_reaches_a_maximum():
    x, y = noisy_wave()
    initial = dict(W_std=1., b_std=.5, W_out=1., diag_reg=.5)
    with pytest.raises(FitError, match='ITERATIONS') as error:
        fit_hyperparameters(wave, x, y, initial, max_steps=2, starts=4)
    found = error.value.fit.starts
    assert len(found) == 4 and all(isinstance(each, FitError) for each in found)
    values = [each.fit.log_marginal_likelihood for each in found]
    assert error.value.fit.log_marginal_likelihood == max(values) > values[0]


def test_a_gradient_that_points_downhill():
    """As rounding may make it: here W_std is 2 W_std - W_std, of which autograd sees the second term alone."""
    def net_fn(W_std):
        return linear(2 * getattr(W_std, '_value', W_std) - W_std, 1.)
    with pytest.raises(FitError, match='no step along the gradient found more.* A larger diag_reg') as error:
        fit_hyperparameters(net_fn, np.eye(3), np.array([1., 2., -1.]), dict(W_std=1.), diag_reg=.1)
    fit = error.value.fit
    assert fit.hyperparameters == dict(W_std=1.) and len(fit.trace) > 2 and fit.scipy.status == 2


def test_targets_that_overflow():
    with pytest.raises(ValueError, match='a finite log marginal likelihood, got -inf'):
        log_marginal_likelihood_gradient(relu, np.eye(3), np.full(3, 1e200), dict(W_std=1., b_std=1.))


def test_progress(capsys):
    x, y = drawn(6, dict(W_std=1.6, b_std=.7), .05)
    fit = fit_hyperparameters(relu, x, y, dict(W_std=1.3, b_std=.5), diag_reg=.1, progress=True)
    shown = capsys.readouterr().err
    assert f'{len(fit.trace)}step' in shown and f'{fit.trace[-1][1]:.6g}' in shown


def test_several_inputs(rng):
    """A list of them: the kernel in one piece."""
    def net_fn(W_std, b_std):
        return stax.serial(stax.parallel(stax.Dense(1, W_std), stax.serial(stax.Dense(1, b_std), stax.Erf(), stax.Dense(
            1))), stax.FanInSum())
    x, y, hyper = list(rng.standard_normal((2, 5, 3))), rng.standard_normal((5, 2)), dict(W_std=1.2, b_std=.7)
    _, slopes = log_marginal_likelihood_gradient(net_fn, x, y, hyper, diag_reg=.1)

    def evidence(w):
        return log_marginal_likelihood(net_fn(w, .7).kernel_fn(x, get='nngp'), y, .1)
    assert slopes['W_std'] == pytest.approx(derivative(evidence, 1.2), rel=1e-8)


X3, Y3 = np.eye(3), np.ones((3, 1))
WB = dict(W_std=1., b_std=1.)
gradient, fit = log_marginal_likelihood_gradient, fit_hyperparameters


def fickle():
    calls = []

    def net_fn(W_std):
        calls.append(W_std)
        return linear(W_std * len(calls), 1.)
    return net_fn


@pytest.mark.parametrize('call, error, message', (
    (lambda: gradient(relu, X3, Y3, {}), ValueError, r'hyper-parameters as a dict .* got \{\}'),
    (lambda: gradient(relu, X3, Y3, [1., 2.]), ValueError, 'as a dict'),
    (lambda: gradient(relu, X3, Y3, dict(W_std=1., b_std=0.)), ValueError, 'expected b_std > 0, got 0.0'),
    (lambda: gradient(relu, X3, Y3, dict(W_std=-1., b_std=1.)), ValueError, 'expected W_std > 0, got -1.0'),
    (lambda: gradient(relu, X3, Y3, dict(W_std='1', b_std=1.)), TypeError, 'W_std is expected to be a number'),
    (lambda: gradient(relu, X3, Y3, dict(w=1.)), TypeError, "unexpected keyword argument 'w'"),
    (lambda: gradient(relu, X3, np.ones((4, 1)), WB), ValueError, 'as many targets as inputs'),
    (lambda: gradient(relu, X3, Y3 * np.nan, WB), ValueError, 'got y_train'),
    (lambda: gradient(relu, X3, Y3, WB, diag_reg=-1.), ValueError, 'expected diag_reg >= 0'),
    (lambda: gradient(relu, X3, Y3, WB, get='ntk'), ValueError, "expected get to be 'nngp'"),
    (lambda: gradient(relu, np.ones((3, 2)), Y3, WB), ValueError, 'zero to rounding'),
    (lambda: gradient(lambda W_std: lambda x1, x2, get: -W_std * X3, X3, Y3, dict(W_std=1.)), NotPSDError, 'smallest'),
    (lambda: gradient(lambda W_std: lambda x1, x2, get: [W_std], X3, Y3, dict(W_std=1.)), TypeError, 'NumPy.*got list'),
    (lambda: gradient(relu, np.vectorize(mpmath.mpf, otypes=[object])(X3), Y3, WB), TypeError, 'CuPy, got object'),
    (lambda: gradient(fickle(), X3, Y3, dict(W_std=1.)), ValueError, 'to give the same kernel each'),
    (lambda: fit(relu, X3, Y3, WB, bounds=dict(c=(1., 2.))), ValueError, r"some for \['c'\]"),
    (lambda: fit(relu, X3, Y3, WB, bounds=dict(W_std=(2., 3.))), ValueError, 'W_std between its bounds 2 and 3, got 1'),
    (lambda: fit(relu, X3, Y3, WB, bounds=dict(W_std=(0., 3.))), ValueError, 'bounds of W_std > 0, got 0'),
    (lambda: fit(relu, X3, Y3, WB, bounds=[(1., 2.)]), TypeError, r'bounds as a dict .* got \[\(1.0, 2.0\)\]'),
    (lambda: fit(relu, X3, Y3, WB, bounds=dict(W_std=1.)), ValueError, r'W_std as \(least, largest\), got 1.0'),
    (lambda: fit(relu(1., 1.), X3, Y3, WB), TypeError, 'net_fn to be a function, got _Serial'),
    (lambda: gradient(lambda **h: tuple(relu(**h)), X3, Y3, WB), TypeError, 'return a network, .* got tuple: '),
    (lambda: gradient(lambda **h: None, X3, Y3, WB), TypeError, 'return a network, or its kernel_fn, got NoneType'),
    (lambda: fit(relu, X3, Y3, WB, starts=0), ValueError, 'starts is expected to be a whole number >= 1'),
    (lambda: fit(relu, X3, Y3, WB, starts=2, rng='0'), TypeError, 'expected rng to be a seed'),
    (lambda: fit(relu, X3, Y3, WB, max_steps=0), ValueError, 'max_steps is expected to be a whole number >= 1'),
    (lambda: fit(relu, X3, Y3, WB, tol=0.), ValueError, 'expected tol > 0'),
    (lambda: fit(lambda W_std, b_std: linear(W_std, 1.), X3, Y3, WB), ValueError,
     'expected the kernel to depend on b_std, got a derivative that is exactly 0'),
    (lambda: fit(lambda W_std, b_std: linear(W_std, float(b_std)), X3, Y3, WB), TypeError, 'float'),
))
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
