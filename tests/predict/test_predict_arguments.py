"""What goes in and comes out of the functions of ntref.predict: arguments in the wrong place, networks, pickles."""
import pickle

import autograd.numpy as anp
import numpy as np
import pytest

from ntref import batch, classic, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, predict, stax

rng = np.random.default_rng(0)
X, X_TEST, Y = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)), rng.standard_normal((7, 2))
NET = stax.serial(stax.Dense(16, 1.4, .2), stax.Relu(), stax.Dense(2, 1., .1))
TRAIN, CROSS, TEST = (NET.kernel_fn(*pair) for pair in ((X, None), (X_TEST, X), (X_TEST, None)))
K, K_TEST = TRAIN.ntk, CROSS.ntk


def mse(f, y):
    return anp.mean((f - y) ** 2) / 2


# ------------------------------------------------------------------ pickles

PREDICTORS = {
    'gradient_descent_mse': (lambda: predict.gradient_descent_mse(K, Y, .5, .1), (([1., np.inf], 0., 1., K_TEST), (
        None, 0., 0., K_TEST))),
    'steps': (lambda: predict.gradient_descent_mse_steps(K, Y, .1, .9, True), (([3, 50], 0., 0., K_TEST), (None,))),
    'gp_inference': (lambda: predict.gp_inference(TRAIN, Y, .1), ((None, CROSS, TEST), ('ntkgp',))),
    'ensemble': (lambda: predict.gradient_descent_mse_ensemble(NET.kernel_fn, X, Y, diag_reg=.1), (
        (None, X_TEST, None, True), (3., X_TEST, 'ntk', True))),
    'ensemble of a network': (lambda: predict.gradient_descent_mse_ensemble(NET, X, Y), ((3., X_TEST),)),
    'gradient_descent': (lambda: predict.gradient_descent(mse, K, Y, .5), (([1., .1], 0., 0., K_TEST),)),
    'momentum': (lambda: predict.gradient_descent(mse, K, Y, .5, .5), ((.3, predict.ODEState(0., 1.), None, K_TEST),)),
    'iterative': (lambda: predict.gp_inference_iterative(TRAIN, Y, .1), ((('nngp', 'ntk'), CROSS, TEST),)),
    'computed': (lambda: predict.gp_inference_iterative(predict.ComputedKernel(NET, X, None, 'ntk'), Y, .1), (
        ('ntk', K_TEST),)),
    'first release': (lambda: classic.analytic_mse_predictor(K, Y), ((Y, 2.),)),
    'first release, test': (lambda: classic.gradient_descent_predictor(K, Y, mse, K_TEST), ((Y, Y[:5], 2.),)),
}


def parts(result):
    return [a for part in result for a in parts(part)] if isinstance(result, tuple) else [result]


@pytest.mark.parametrize('name', PREDICTORS)
@pytest.mark.parametrize('used', (False, True))
def test_predictors_can_be_pickled(name, used):
    """Before and after their first use, to the bit."""
    make, calls = PREDICTORS[name]
    predict_fn = make()
    expected = [make()(*call) for call in calls]
    if used:
        for call in calls:
            predict_fn(*call)
    again = pickle.loads(pickle.dumps(predict_fn))
    for call, right in zip(calls, expected):
        for a, b in zip(parts(again(*call)), parts(right), strict=True):
            assert (a is None and b is None) or np.array_equal(a, b)


def test_the_first_releases_momentum_can_be_pickled():
    functions = classic.momentum_predictor(K, Y, mse, .1)
    init_fn, predict_fn, get_fn = pickle.loads(pickle.dumps(functions))
    assert np.array_equal(get_fn(predict_fn(init_fn(Y), 1.)), functions[2](functions[1](functions[0](Y), 1.)))


@pytest.mark.parametrize('kernel_fn, arguments', [
    (batch(NET, 4), (X_TEST, X, 'ntk')), (batch(NET.kernel_fn, 4, 0, memory_limit=10 ** 6), (X, None, 'ntk')),
    (predict.gradient_descent_mse_ensemble(batch(NET.kernel_fn, 4), X, Y), (1., X_TEST, 'ntk'))])
def test_kernel_functions_in_tiles_can_be_pickled(kernel_fn, arguments):
    again = pickle.loads(pickle.dumps(kernel_fn))
    assert np.array_equal(again(*arguments), kernel_fn(*arguments))
    assert not hasattr(batch(NET, 4), 'kernel_fn')        # which would stand for it without its tiles


@pytest.mark.parametrize('kernel_fn, get', [
    (empirical_nngp_fn(NET), ()), (empirical_ntk_fn(NET, vmap_axes=0, implementation=3), ()),
    (empirical_kernel_fn(NET.apply_fn), (None,)), (batch(empirical_kernel_fn(NET), 4), ('ntk',))])
def test_empirical_kernel_functions_can_be_pickled(kernel_fn, get):
    _, params = NET.init_fn(0, X.shape)
    again, arguments = pickle.loads(pickle.dumps(kernel_fn)), (X_TEST, X, *get, params)
    assert np.array_equal(again(*arguments), kernel_fn(*arguments))


def test_networks_can_be_pickled():
    for again in (pickle.loads(pickle.dumps(NET)).kernel_fn, pickle.loads(pickle.dumps(NET.kernel_fn))):
        assert np.array_equal(again(X_TEST, X, 'ntk'), K_TEST)


# ------------------------------------------------------------------ arrays in the wrong place

@pytest.mark.parametrize('predict_fn', (
    predict.gradient_descent_mse(K, Y), predict.gradient_descent_mse_steps(K, Y, .1),
    predict.gradient_descent(mse, K, Y), predict.gradient_descent(mse, K, Y, 1., .5)))
@pytest.mark.parametrize('given, meant', ((K_TEST, 'k_test_train'), (K, 'k_test_train'), (Y, 'fx_train_0')))
def test_arrays_that_are_no_times(predict_fn, given, meant):
    with pytest.raises(TypeError, match=f'is expected to be times, got an array of shape .* pass {meant}='):
        predict_fn(given)


def test_inputs_that_are_no_times():
    ensemble = predict.gradient_descent_mse_ensemble(NET, X, Y)
    for given in (X_TEST, abs(X_TEST), X, np.zeros((2, 3))):
        with pytest.raises(TypeError, match=r'got an array of shape .* looks like x_test: pass x_test=.*ravel'):
            ensemble(given)
    times = np.array([[.5, 1., 2.], [4., 2., 1.]])
    assert ensemble(times, X_TEST, 'ntk').shape == (2, 3, 5, 2)
    assert ensemble(times.ravel(), None, 'ntk').shape == (6, 7, 2) and ensemble(times[:, :2]).ntk.shape == (2, 2, 7, 2)
    times = np.arange(14.).reshape(2, 7)                  # in order, so times, though of the shape of a kernel
    assert predict.gradient_descent_mse(K, Y)(times).shape == (2, 7, 7, 2)
    with pytest.raises(TypeError, match='expected get to be names .* Is it k_test_train'):
        predict.gp_inference(K, Y)(K_TEST)


@pytest.mark.parametrize('function', (NET, NET.kernel_fn, lambda x1, x2, get: x1 @ x2.T))
@pytest.mark.parametrize('call', (
    lambda f: predict.gradient_descent_mse(f, X, Y), lambda f: predict.gradient_descent_mse_steps(f, X, Y),
    lambda f: predict.gp_inference(f, X, Y), lambda f: predict.gp_inference_iterative(f, X, Y),
    lambda f: predict.gradient_descent(mse, f, X, Y), lambda f: predict.max_learning_rate(f, X),
    lambda f: predict.log_marginal_likelihood(f, Y), lambda f: predict.leave_one_out(f, Y),
    lambda f: predict.ridge_sweep(f, Y, [1.]), lambda f: predict.kernel_gradient(lambda g: (g ** 2).sum(), Y, f),
    lambda f: predict.cg(f, Y)))
def test_a_kernel_function_for_a_kernel(call, function):
    with pytest.raises(TypeError, match='to be a kernel, .* which computes kernels. Call it; .*ensemble.kernel_fn'):
        call(function)


@pytest.mark.parametrize('call', (
    lambda k: predict.gradient_descent_mse(k, Y), lambda k: predict.gradient_descent_mse_steps(k, Y, .1),
    lambda k: predict.gradient_descent(mse, k, Y), lambda k: predict.max_learning_rate(k),
    lambda k: predict.kernel_gradient(lambda g: (g ** 2).sum(), Y, k)))
def test_several_kernels_for_one(call):
    with pytest.raises(TypeError, match=r'to be an array, got .*, which has several. Pass its .ntk'):
        call(TRAIN)


def test_a_network_for_its_kernel_function():
    a, b = (predict.gradient_descent_mse_ensemble(f, X, Y)(2., X_TEST, 'ntk') for f in (NET, NET.kernel_fn))
    assert np.array_equal(a, b)
    assert np.array_equal(predict.ComputedKernel(NET, X_TEST, X, 'ntk')[:], K_TEST)
    with pytest.raises(TypeError, match='expected kernel_fn to be a function, got ndarray'):
        predict.gradient_descent_mse_ensemble(K, X, Y)


# ------------------------------------------------------------------ keywords of the kernel function

def test_parameters_may_be_given_as_equal_trees():
    for net in (NET, stax.Dense(2, 1., .1)):              # whose parameters are a pair of arrays
        _, params = net.init_fn(0, X.shape)
        copy = pickle.loads(pickle.dumps(params))
        kernel_fn = empirical_kernel_fn(net.apply_fn)
        ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, X, Y, diag_reg=.1, params=params)
        k, k_test = (kernel_fn(*pair, 'ntk', params) for pair in ((X, None), (X_TEST, X)))
        right = predict.gp_inference(k, Y, .1)('ntk', k_test)
        for given in (params, copy):
            assert np.allclose(ensemble(None, X_TEST, 'ntk', params=given), right, rtol=1e-12, atol=1e-12)
        other = stax.serial(net).init_fn(1, X.shape)[1] if net is NET else tuple(2 * a for a in params)
        with pytest.raises(ValueError, match='expected the same params'):
            ensemble(None, X_TEST, 'ntk', params=other)


def test_a_seed_of_each_set():
    """(a, None) belongs to the training set, (b, None) to the test set: (b, a) to both."""
    seen = []

    def kernel_fn(x1, x2, get, rng):
        seen.append(rng)
        return NET.kernel_fn(x1, x2, get)
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, X, Y, rng=(1, None))
    ensemble(None, X_TEST, 'nngp', True, rng=(2, None))
    assert seen == [(1, None), (2, 1), (2, None)]
    with pytest.raises(ValueError, match='expected rng for the test set, too'):
        ensemble(None, X_TEST, 'nngp')
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, X, Y, rng=(5, 1))
    with pytest.raises(ValueError, match=r'got \(5, 1\) and \(2, 1\)\. One of its own .* \(its own, None\), for both'):
        ensemble(None, X_TEST, 'nngp', rng=(2, 1))
