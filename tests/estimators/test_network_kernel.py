"""`NetworkKernel`: entries of `kernel_fn`, gradients by homogeneity, reverse mode and differences, what takes it."""
import pickle

import numpy
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC

from ntref import predict, stax
from ntref.estimators import NetworkKernel
from ntref.estimators.kernel import with_numbers

NET = stax.serial(stax.Dense(8, 1.3, .2), stax.Erf(), stax.Dense(1, 1.1))
CONV = stax.serial(stax.Conv(1, (2, 2), W_std=1.2, b_std=.3), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
SERIES = stax.serial(stax.Conv(1, (2,), W_std=1.2, b_std=.3), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))


def inputs(rng, n=9, features=3):
    x = rng.standard_normal((n, features))
    x[1], x[2], x[3] = x[0], -x[0], 2 * x[0]
    return x


@pytest.mark.parametrize('get', ['nngp', 'ntk'])
def test_entries(rng, get):
    x, y = inputs(rng), rng.standard_normal((4, 3))
    kernel = NetworkKernel(NET, get)
    assert (kernel(x) == NET.kernel_fn(x, None, get)).all()
    assert (kernel(x, y) == NET.kernel_fn(x, y, get)).all()
    assert abs(kernel.diag(x) - kernel(x).diagonal()).max() < 1e-14
    changed = stax.serial(stax.Dense(8, 2., .5), stax.Erf(), stax.Dense(1, 2.))
    assert (NetworkKernel(NET, get, W_std=2., b_std=.5)(x) == changed.kernel_fn(x, None, get)).all()
    short = stax.serial(*[stax.Dense(1, 2 ** .5, .1), stax.Tanh()] * 2, stax.Dense(1, 2 ** .5, .1))
    assert (NetworkKernel(depth=2, activation='tanh', get=get)(x) == short.kernel_fn(x, None, get)).all()
    images = rng.standard_normal((4, 3, 3, 2))
    flat = NetworkKernel(CONV, get, input_shape=(3, 3, 2))(images.reshape(4, -1))
    assert (flat == CONV.kernel_fn(images, None, get)).all()


def test_numbers_are_put_into_all_layers():
    branch = stax.parallel(stax.serial(stax.Dense(3, 1., .5)), stax.repeat(stax.Dense(3, 1.), 2))
    net = stax.serial(stax.FanOut(2), branch, stax.FanInSum(), CONV)
    text = repr(with_numbers(net, {'W_std': 4., 'b_std': 5.}))
    assert text.count('4.0') == 4 and text.count('5.0') == 2
    assert with_numbers(net, {}) == net


@pytest.mark.parametrize('get', ['nngp', 'ntk'])
def test_gradient_of_a_homogeneous_network(rng, get):
    """Without biases kernels of Relu go with W_std to the power 2 (depth + 1)."""
    net = stax.serial(*[stax.Dense(1), stax.Relu()] * 3, stax.Dense(1))
    x = inputs(rng)
    k, gradient = NetworkKernel(net, get, W_std=1.4)(x, eval_gradient=True)
    assert gradient.shape == (9, 9, 1)
    assert abs(gradient[..., 0] - 8 * k).max() < 1e-13 * abs(k).max()


@pytest.mark.parametrize('get', ['nngp', 'ntk'])
@pytest.mark.parametrize('features', [1, 3])
@pytest.mark.parametrize('activation', ['relu', 'erf', 'gelu'])
def test_gradient_against_reverse_mode(rng, get, features, activation):
    """sum G dK/d log theta, by the pass back through the recursion that evidence takes."""
    x, y = inputs(rng, features=features), rng.standard_normal(9)
    layer = {'relu': stax.Relu, 'erf': stax.Erf, 'gelu': stax.Gelu}[activation]

    def net_fn(W_std, b_std):
        dense = stax.Dense(1, W_std, b_std)
        return stax.serial(dense, layer(), dense, layer(), dense)
    numbers = {'W_std': 1.4, 'b_std': .3, 'diag_reg': .1}
    name = {'nngp': 'nngp', 'ntk': 'ntkgp'}[get]
    value, slopes = predict.log_marginal_likelihood_gradient(net_fn, x, y, numbers, name, diag_reg_absolute_scale=True)
    kernel = NetworkKernel(get=get, W_std=1.4, b_std=.3, depth=2, activation=activation) + WhiteKernel(.1)
    process = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.).fit(x, y)
    got, gradient = process.log_marginal_likelihood(kernel.theta, eval_gradient=True)
    expected = [slopes[key] * numbers[key] for key in ('W_std', 'b_std', 'diag_reg')]
    assert abs(got - value) < 1e-11 * abs(value)
    assert abs(gradient - expected).max() < 1e-9 * numpy.abs(expected).max()


@pytest.mark.parametrize('net, shape', [(NET, None), (SERIES, (3, 1))])
def test_gradient_against_differences_in_blocks(rng, monkeypatch, net, shape):
    x = inputs(rng, features=3)
    kernel = NetworkKernel(net, 'ntk', W_std=1.4, b_std=.3, input_shape=shape)
    _, gradient = kernel(x, eval_gradient=True)
    monkeypatch.setattr('ntref.estimators.kernel.SIDE', 4)
    _, in_blocks = kernel(x, eval_gradient=True)
    assert abs(gradient - in_blocks).max() < 1e-13 * abs(gradient).max()
    step = 1e-4
    for i, one in enumerate(numpy.eye(2)):
        up, down = (kernel.clone_with_theta(kernel.theta + sign * step * one)(x) for sign in (1, -1))
        assert abs((up - down) / (2 * step) - gradient[..., i]).max() < 1e-7 * abs(gradient).max()


def test_layers_that_mix_the_batch(rng):
    net = stax.serial(stax.Dense(1), stax.LayerNorm(axis=(0, 1)), stax.Erf(), stax.Dense(1))
    kernel = NetworkKernel(net, W_std=1.4)
    x = rng.standard_normal((5, 3))
    _, gradient = kernel(x, eval_gradient=True)
    up, down = (kernel.clone_with_theta(kernel.theta + step)(x) for step in (1e-4, -1e-4))
    assert abs((up - down) / 2e-4 - gradient[..., 0]).max() < 1e-6 * abs(gradient).max()


def test_hyper_parameters():
    kernel = NetworkKernel(NET, W_std=1.5, b_std=.2, b_std_bounds='fixed')
    assert kernel.theta == pytest.approx(numpy.log([1.5]))
    assert kernel.bounds == pytest.approx(numpy.log([[1e-2, 1e2]]))
    assert NetworkKernel(NET).theta.size == 0
    other = kernel.clone_with_theta(numpy.log([2.]))
    assert other.W_std == pytest.approx(2.) and other != kernel and clone(kernel) == kernel
    assert pickle.loads(pickle.dumps(kernel)) == kernel
    assert not kernel.is_stationary() and not (kernel + WhiteKernel(.1)).is_stationary()
    assert repr(kernel) == 'NetworkKernel(nngp, W_std=1.5, b_std=0.2)'


def test_sums_and_products(rng):
    x = inputs(rng)
    kernel = NetworkKernel(NET, W_std=1.5, b_std=.2)
    both = ConstantKernel(3.) * kernel + kernel ** 2
    k, gradient = both(x, eval_gradient=True)
    one, slope = kernel(x, eval_gradient=True)
    assert abs(k - 3 * one - one ** 2).max() < 1e-13
    assert abs(gradient[..., 1:3] - 3 * slope).max() < 1e-13
    assert abs(gradient[..., 3:] - 2 * one[..., None] * slope).max() < 1e-13


def test_fits_are_those_of_fit_hyperparameters(rng):
    x = rng.uniform(-1, 1, (30, 1))
    y = numpy.sin(3 * x[:, 0]) + .1 * rng.standard_normal(30)

    def net_fn(W_std):
        dense = stax.Dense(1, W_std, .5)
        return stax.serial(dense, stax.Erf(), dense)
    start = {'W_std': 1.5, 'diag_reg': .1}
    fit = predict.fit_hyperparameters(net_fn, x, y, start, diag_reg_absolute_scale=True, progress=False)
    kernel = NetworkKernel(depth=1, activation='erf', W_std=1.5, b_std=.5, b_std_bounds='fixed') + WhiteKernel(.1)
    process = GaussianProcessRegressor(kernel, alpha=0.).fit(x, y)
    assert process.log_marginal_likelihood_value_ == pytest.approx(fit.log_marginal_likelihood, abs=1e-3)
    mean, std = process.predict(x[:3] + .1, return_std=True)
    assert abs(mean - numpy.sin(3 * x[:3, 0] + .3)).max() < .3 and (std > 0).all()


def test_machines_that_take_kernels(rng):
    x, x_test = rng.standard_normal((30, 3)), rng.standard_normal((8, 3))
    y = x[:, 0] * x[:, 1]
    kernel = NetworkKernel(NET, 'ntk')
    given = [NET.kernel_fn(*pair, 'ntk') for pair in ((x, None), (x_test, x))]
    for machine, targets in (SVC(), y > 0), (KernelRidge(alpha=.1), y):
        got = clone(machine).set_params(kernel=kernel).fit(x, targets).predict(x_test)
        expected = clone(machine).set_params(kernel='precomputed').fit(given[0], targets).predict(given[1])
        assert abs(got * 1. - expected).max() < 1e-10
    process = GaussianProcessClassifier(NetworkKernel(depth=1, W_std=1.5, b_std=.1)).fit(x, y > 0)
    assert process.log_marginal_likelihood_value_ > process.log_marginal_likelihood(numpy.log([1.5, .1]))
    ours = predict.laplace_inference(process.kernel_(x), (y > 0) * 1)
    assert ours.log_marginal_likelihood == pytest.approx(process.log_marginal_likelihood_value_, abs=1e-8)


@pytest.mark.parametrize('options, error, message', [
    ({'W_std': 0.}, ValueError, 'W_std > 0'),
    ({'net': NET.kernel_fn.__call__, 'W_std': 1.}, TypeError, 'network of stax'),
    ({'input_shape': (2, 2)}, ValueError, 'rows of 4 numbers'),
])
def test_refusals(rng, options, error, message):
    with pytest.raises(error, match=message):
        NetworkKernel(**options)(inputs(rng))
    with pytest.raises(ValueError, match='Y=None'):
        NetworkKernel()(inputs(rng), inputs(rng), eval_gradient=True)


@pytest.mark.parametrize('get', ['cov1', 'NTK', None, ('nngp', 'ntk')])
def test_one_of_two_kernels(get):
    with pytest.raises(ValueError, match="expected get to be 'nngp' or 'ntk', got"):
        NetworkKernel(get=get)(numpy.eye(2))
