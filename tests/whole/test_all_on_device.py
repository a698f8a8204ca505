"""Every public function is given arrays of CuPy, on its stand-in: it gives the numbers of NumPy, or says what to do."""
import importlib
import warnings

import numpy
import pytest
from kinds import to_numpy
from numpy.testing import assert_allclose

import ntref
from ntref import classic, estimators, oracle, plot, predict, stax, testing
from ntref.autograd_on_device import follow_on_device
from ntref.trees import leaves, tree_map

RNG = numpy.random.default_rng(0)
X, TEST, Y, T = RNG.standard_normal((6, 4)), RNG.standard_normal((3, 4)), RNG.standard_normal((6, 2)), numpy.arange(2.)
LABELS = numpy.array([0, 1, 1, 0, 1, 0])
NET = stax.serial(stax.Dense(3, 1.3, .2), stax.Erf(), stax.Dense(2))
PARAMS = NET.init_fn(0, X.shape)[1]
BOTH = 'nngp', 'ntk'
K, K_TEST, K_OWN = (NET.kernel_fn(*pair, BOTH) for pair in ((X, None), (TEST, X), (TEST, None)))


def make(W_std, b_std=.2):
    return stax.serial(stax.Dense(1, W_std, b_std), stax.Erf(), stax.Dense(1))


def ensemble(a):
    return predict.gradient_descent_mse_ensemble(NET, a(X), a(Y), diag_reg=1e-2)


def half_square(f, y):
    return ((f - y) ** 2).sum() / 2


def momentum(a):
    start, predict_fn, of = classic.momentum_predictor(a(K.ntk), a(Y), half_square, .1, a(K_TEST.ntk))
    return of(predict_fn(start(a(Y), a(Y[:3])), 1.))


def vector_products(a):
    return ntref.empirical_ntk_vp_fn(NET.apply_fn, a(X), a(TEST), tree_map(a, PARAMS))(a(numpy.ones((3, 2))))


def fitted(estimator):
    """Of a call: fit, then predict."""
    return lambda a, tmp_path: estimator.fit(a(X), a(LABELS)).predict(a(TEST))


def kept_kernel(a, path):
    ntref.save_kernel(path / 'k.npz', a(K.ntk))
    return ntref.load_kernel(path / 'k.npz')


def kept_predictor(a, path):
    ntref.save_predictor(path / 'p.npz', ensemble(a))
    return ntref.load_predictor(path / 'p.npz')(x_test=TEST, get='ntk')                 # of files: on the host


def shown(figure):
    """What a picture shows: the heights of its lines and the numbers of its images."""
    return lambda a, path: [line.get_ydata() for line in figure(a).lines]


THERE, BY_HOST, HOST, REFUSED = 'there', 'by host', 'host', 'refused'
"""What comes back: arrays of CuPy, computed there without any that goes to the host, or by way of the host; arrays of
NumPy or Python's numbers; an error that names the cure."""

CALLS = {
    'ntref.Differentiable': (REFUSED, lambda a, path: ntref.empirical_ntk_fn(ntref.Differentiable(
        lambda W, x: x @ W, lambda W, x: (x @ W, lambda g: x.T @ g)))(a(X), None, a(numpy.ones((4, 1))))),
    'ntref.batch': (HOST, lambda a, path: ntref.batch(NET, 2)(a(X), None, 'ntk')),
    'ntref.empirical_kernel_fn': (THERE, lambda a, path: ntref.empirical_kernel_fn(NET.apply_fn)(
        a(X), a(TEST), None, tree_map(a, PARAMS))),
    'ntref.empirical_nngp_fn': (THERE, lambda a, path: ntref.empirical_nngp_fn(NET.apply_fn)(
        a(X), None, tree_map(a, PARAMS))),
    'ntref.empirical_ntk_fn': (THERE, lambda a, path: ntref.empirical_ntk_fn(NET.apply_fn, implementation=3)(
        a(X), None, tree_map(a, PARAMS))),
    'ntref.empirical_ntk_vp_fn': (THERE, lambda a, path: vector_products(a)),
    'ntref.linearize': (THERE, lambda a, path: ntref.linearize(NET.apply_fn, tree_map(a, PARAMS))(
        tree_map(lambda p: a(2 * p), PARAMS), a(X))),
    'ntref.monte_carlo_kernel_fn': (THERE, lambda a, path: ntref.monte_carlo_kernel_fn(
        NET.init_fn, NET.apply_fn, 0, 2)(a(X))),
    'ntref.save_kernel': (HOST, kept_kernel),
    'ntref.load_kernel': (HOST, kept_kernel),
    'ntref.save_predictor': (HOST, kept_predictor),
    'ntref.load_predictor': (HOST, kept_predictor),
    'ntref.taylor_expand': (THERE, lambda a, path: ntref.taylor_expand(NET.apply_fn, tree_map(a, PARAMS), 2)(
        tree_map(lambda p: a(2 * p), PARAMS), a(X))),
    'predict.ComputedKernel': (THERE, lambda a, path: predict.ComputedKernel(NET, a(X), get='ntk')[[0, 2], 1:]),
    'predict.cg': (THERE, lambda a, path: predict.cg(a(K.nngp), a(Y), diag_reg=.1).a),
    'predict.fit_hyperparameters': (HOST, lambda a, path: sorted(predict.fit_hyperparameters(
        make, a(X), a(Y), {'W_std': 1.3, 'diag_reg': .1}).hyperparameters.values())),
    'predict.gp_inference': (THERE, lambda a, path: predict.gp_inference(tree_map(a, K), a(Y), diag_reg=.1)(
        None, tree_map(a, K_TEST), tree_map(a, K_OWN))),
    'predict.gp_inference_iterative': (THERE, lambda a, path: predict.gp_inference_iterative(
        tree_map(a, K), a(Y), diag_reg=.1, tol=1e-12)(None, tree_map(a, K_TEST), tree_map(a, K_OWN))),
    'predict.gradient_descent': (BY_HOST, lambda a, path: predict.gradient_descent(
        half_square, a(K.ntk), a(Y), grad=lambda f, y: f - y)(T, 0., 0., a(K_TEST.ntk))),
    'predict.gradient_descent_mse': (THERE, lambda a, path: predict.gradient_descent_mse(a(K.ntk), a(Y))(
        a(T), 0., 0., a(K_TEST.ntk))),
    'predict.gradient_descent_mse_ensemble': (THERE, lambda a, path: ensemble(a)(a(T), a(TEST), BOTH, True)),
    'predict.gradient_descent_mse_steps': (THERE, lambda a, path: predict.gradient_descent_mse_steps(
        a(K.ntk), a(Y), .1)([1, 3], 0., 0., a(K_TEST.ntk))),
    'predict.kernel_gradient': (THERE, lambda a, path: predict.kernel_gradient(
        lambda f: (f * f * f).sum(), a(Y), a(K.ntk), a(K_TEST.ntk))),
    'predict.laplace_inference': (REFUSED, lambda a, path: predict.laplace_inference(a(K.nngp), a(LABELS))),
    'predict.leave_one_out': (THERE, lambda a, path: predict.leave_one_out(a(K.nngp), a(Y), diag_reg=.1)),
    'predict.log_marginal_likelihood': (THERE, lambda a, path: predict.log_marginal_likelihood(
        a(K.nngp), a(Y), diag_reg=.1)),
    'predict.log_marginal_likelihood_gradient': (HOST, lambda a, path: predict.log_marginal_likelihood_gradient(
        make, a(X), a(Y), {'W_std': 1.3, 'b_std': .2, 'diag_reg': .1})),
    'predict.max_learning_rate': (HOST, lambda a, path: predict.max_learning_rate(a(K.ntk))),
    'predict.ridge_sweep': (THERE, lambda a, path: predict.ridge_sweep(a(K.nngp), a(Y), [.1, 1.])),
    'predict.sample': (THERE, lambda a, path: predict.sample((a(Y[:3]), a(K_OWN.nngp)), 2, 0)),
    'classic.analytic_mse_predictor': (THERE, lambda a, path: classic.analytic_mse_predictor(
        a(K.ntk), a(Y), a(K_TEST.ntk))(a(Y), a(Y[:3]), 1.)),
    'classic.gradient_descent_predictor': (BY_HOST, lambda a, path: classic.gradient_descent_predictor(
        a(K.ntk), a(Y), half_square, a(K_TEST.ntk))(a(Y), a(Y[:3]), 1.)),
    'classic.momentum_predictor': (BY_HOST, lambda a, path: momentum(a)),
    'classic.ntk': (THERE, lambda a, path: classic.ntk(NET.apply_fn)(tree_map(a, PARAMS), a(X))),
    'oracle.certify_predict': (REFUSED, lambda a, path: oracle.certify_predict(
        'gp_inference', a(Y), k_train_train=a(K.nngp), get='nngp')),
    'oracle.certify': (REFUSED, lambda a, path: oracle.certify(NET, a(X[:2]), None, 'nngp').mid),
    'oracle.layer_values': (THERE, lambda a, path: [v.kernels for v in oracle.layer_values(NET, a(X))]),
    'plot.heatmap': (REFUSED, lambda a, path: plot.heatmap(a(K.ntk)).images[0].get_array()),
    'plot.posterior': (REFUSED, shown(lambda a: plot.posterior(ensemble(a), a(TEST)))),
    'plot.prior': (REFUSED, shown(lambda a: plot.prior(NET, a(TEST)))),
    'plot.spectrum': (REFUSED, shown(lambda a: plot.spectrum(a(K.ntk)))),
    'plot.training': (REFUSED, shown(lambda a: plot.training(ensemble(a), a(T), a(TEST)))),
    'plot.training_movie': (REFUSED, lambda a, path: plot.training_movie(ensemble(a), a(T), a(TEST))),
    'plot.width_convergence': (REFUSED, shown(lambda a: plot.width_convergence(NET, a(X), (2, 4)))),
    'estimators.NNGPClassifier': (REFUSED, fitted(estimators.NNGPClassifier())),
    'estimators.NNGPRegressor': (REFUSED, fitted(estimators.NNGPRegressor())),
    'estimators.NTKClassifier': (REFUSED, fitted(estimators.NTKClassifier())),
    'estimators.NTKRegressor': (REFUSED, fitted(estimators.NTKRegressor())),
    'estimators.NetworkKernel': (REFUSED, lambda a, path: estimators.NetworkKernel(stax.Erf())(a(X))),
}
WITHOUT_ARRAYS = {
    'ntref': {'Kernel', 'NtkImplementation', 'classic', 'predict', 'stax'},
    'predict': {'Fit', 'FitError', 'Gaussian', 'KernelGradient', 'LeaveOneOut', 'NegativeVarianceError',
                'NotConvergedError', 'NotPSDError', 'NotReachedError', 'ODEState', 'RidgeSweep',
                'SingularKernelWarning', 'Solution', 'State', 'Stats'},
    'classic': set(),
    'oracle': {'Case', 'Certified', 'Conformance', 'LayerValues', 'Outcome', 'conform', 'conformance_cases', 'report'},
    'plot': {'depth', 'kernel_against_angle', 'phase_diagram'},
    'estimators': {'load_estimator', 'save_estimator'},
    'testing': {*testing.__all__},                                       # check_layer draws its own
}


def module_of(name):
    return importlib.import_module('ntref' if name == 'ntref' else f'ntref.{name}')


def test_every_public_function_is_called():
    assert {*CALLS} == {f'{name}.{public}' for name, others in WITHOUT_ARRAYS.items()
                        for public in {*module_of(name).__all__} - others}


@pytest.mark.parametrize('name', CALLS)
def test_arrays_of_cupy_work_or_are_refused_with_the_cure(name, cupy, tmp_path, pyplot, monkeypatch):
    outcome, call = CALLS[name]
    follow_on_device()
    gone = []
    get = cupy.ndarray.get
    monkeypatch.setattr(cupy.ndarray, 'get', lambda self, **options: gone.append(self.shape) or get(self, **options))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if outcome == REFUSED:
            with pytest.raises(TypeError, match=r'CuPy.* get\(\)'):
                call(lambda a: cupy.asarray(a), tmp_path)
            return
        (tmp_path / 'there').mkdir()
        found = leaves(call(lambda a: cupy.asarray(a), tmp_path / 'there'))
        assert (gone != []) == (outcome == BY_HOST) or outcome == HOST
        wanted = leaves(call(lambda a: a, tmp_path))
    arrays = [a for a in found if getattr(a, 'ndim', 0)]
    assert {*map(type, arrays)} <= {numpy.ndarray if outcome == HOST else cupy.ndarray} and found
    for a, b in zip(found, wanted, strict=True):
        assert_allclose(to_numpy(a), b, rtol=1e-7, atol=1e-9)
