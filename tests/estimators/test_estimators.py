"""Estimators: scikit-learn's checks, the tools that take estimators, and values beside `ntref.predict`."""
import json
import pickle
import subprocess
import sys

import numpy
import pandas
import polars
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntref import predict, stax
from ntref.estimators import NNGPClassifier, NNGPRegressor, NTKClassifier, NTKRegressor
from ntref.predict import SingularKernelWarning

REGRESSORS = [NNGPRegressor, NTKRegressor]
CLASSIFIERS = [NNGPClassifier, NTKClassifier]
NET = stax.serial(stax.Dense(1, 1.3, .2), stax.Erf(), stax.Dense(1, 1.1))
PLAIN = {'net': NET, 'normalize_X': False}


@parametrize_with_checks([
    NNGPRegressor(), NTKRegressor(), NTKRegressor(t=1000.), NNGPRegressor(diag_reg='evidence'), NNGPClassifier(),
    NNGPClassifier(method='regression'), NTKClassifier(), NTKClassifier(method='regression')])
def test_scikit_learn(estimator, check):
    check(estimator)


def data(rng, n=30, m=7, features=3, outputs=None):
    """Inputs, targets and test inputs; rows that are repeated, opposite, zero, and test inputs that are inputs."""
    x = rng.standard_normal((n, features))
    x[1], x[2], x[3] = x[0], -x[0], 0.
    y = rng.standard_normal((n,) if outputs is None else (n, outputs))
    x_test = rng.standard_normal((m, features))
    x_test[0], x_test[1] = x[4], 2 * x[5]
    return x, y, x_test


# ------------------------------------------------------------------ values

@pytest.mark.parametrize('features', [1, 3])
@pytest.mark.parametrize('outputs', [None, 2])
def test_nngp_is_gp_inference(rng, features, outputs):
    x, y, x_test = data(rng, features=features, outputs=outputs)
    k, k_test, k_own = (NET.kernel_fn(*pair, 'nngp') for pair in ((x, None), (x_test, x), (x_test, None)))
    mean, covariance = predict.gp_inference(k, y, 1e-2)('nngp', k_test, k_own)
    model = NNGPRegressor(**PLAIN, normalize_y=False, diag_reg=1e-2).fit(x, y)
    got, std = model.predict(x_test, return_std=True)
    variance = covariance.diagonal()
    assert abs(got - mean).max() < 1e-12
    assert abs(std ** 2 - (variance if outputs is None else variance[:, None])).max() < 1e-12
    _, cov = model.predict(x_test, return_cov=True)
    assert abs(cov - (covariance if outputs is None else covariance[..., None])).max() < 1e-12
    noise = 1e-2 * k.trace() / len(k)
    _, noisy = model.predict(x_test, return_std=True, noise=True)
    assert abs(noisy ** 2 - std ** 2 - noise).max() < 1e-12
    assert abs(model.log_marginal_likelihood_value_ - predict.log_marginal_likelihood(k, y, 1e-2)) < 1e-12 * len(x)


@pytest.mark.parametrize('t', [None, 50.])
def test_ntk_is_the_ensemble(rng, t):
    x, y, x_test = data(rng)
    predict_fn = predict.gradient_descent_mse_ensemble(NET, x, y, diag_reg=1e-2)
    mean, covariance = predict_fn(t, x_test, 'ntk', compute_cov=True)
    model = NTKRegressor(**PLAIN, normalize_y=False, diag_reg=1e-2, t=t).fit(x, y)
    got, cov = model.predict(x_test, return_cov=True)
    _, std = model.predict(x_test, return_std=True)
    assert abs(got - mean).max() < 1e-12 and abs(model.predict(x_test) - mean).max() < 1e-12
    assert abs(cov - covariance).max() < 1e-12 and abs(std ** 2 - covariance.diagonal()).max() < 1e-12


def test_blocks_of_test_inputs(rng, monkeypatch):
    x, y, x_test = data(rng)
    model = NTKRegressor(diag_reg=1e-2).fit(x, y)
    mean, std = model.predict(x_test, return_std=True)
    for name in 'MANY', 'FEW':
        monkeypatch.setattr(f'ntref.estimators.base.{name}', 2)
    again, std_again = model.predict(x_test, return_std=True)
    assert abs(mean - again).max() < 1e-12 and abs(std - std_again).max() < 1e-12


def test_normalization_is_undone(rng):
    """Shifted and scaled targets, and features, change nothing but the units of predictions."""
    x, y, x_test = data(rng)
    model = NNGPRegressor().fit(x, y)
    moved = NNGPRegressor().fit(7 + x * [1., 100., .01], 5 + 3 * y)
    mean, std = model.predict(x_test, return_std=True)
    got, got_std = moved.predict(7 + x_test * [1., 100., .01], return_std=True)
    assert abs(got - 5 - 3 * mean).max() < 1e-10 and abs(got_std - 3 * std).max() < 1e-10
    assert abs(moved.log_marginal_likelihood_value_ - model.log_marginal_likelihood_value_) < 1e-9
    assert abs(moved.X_fit_.mean(0)).max() < 1e-12 and abs(moved.X_fit_.std(0) - 1).max() < 1e-12
    drawn, other = (each.sample_y(at, 3, 0) for each, at in ((model, x_test), (moved, 7 + x_test * [1., 100., .01])))
    assert abs(other - 5 - 3 * drawn).max() < 1e-6                                  # roots of small eigenvalues


def test_constant_features_and_targets(rng):
    x, _, x_test = data(rng)
    x[:, 1] = x_test[:, 1] = .1
    model = NNGPRegressor().fit(x, numpy.full(len(x), 3.))
    assert abs(model.predict(x_test) - 3).max() == 0
    assert (model.x_scale_.std[1], model.y_scale_.std[0]) == (1., 1.)


def test_noise_for_each_input(rng):
    """The same for all is the number; very much noise leaves an input out."""
    x, y, x_test = data(rng)
    same = NNGPRegressor(diag_reg=numpy.full(len(x), 1e-2)).fit(x, y)
    for got, expected in zip(same.predict(x_test, return_std=True),
                             NNGPRegressor(diag_reg=1e-2).fit(x, y).predict(x_test, return_std=True)):
        assert abs(got - expected).max() < 1e-12
    noisy = numpy.full(len(x), 1e-2)
    noisy[5:10] = 1e9
    left = numpy.delete(numpy.arange(len(x)), slice(5, 10))
    options = {'normalize_X': False, 'normalize_y': False, 'net': NET}
    for estimator in NNGPRegressor, NTKRegressor:
        get = estimator.get
        scale = [NET.kernel_fn(rows, None, get).trace() / len(rows) for rows in (x, x[left])]
        got = estimator(**options, diag_reg=noisy).fit(x, y).predict(x_test, return_std=True)
        few = estimator(**options, diag_reg=1e-2 * scale[0] / scale[1]).fit(x[left], y[left])
        for a, b in zip(got, few.predict(x_test, return_std=True)):
            assert abs(a - b).max() < 1e-6
    with pytest.raises(ValueError, match='noise=False'):
        same.predict(x_test, return_std=True, noise=True)
    with pytest.raises(ValueError, match='one for each of the 29 inputs'):
        same.fit(x[1:], y[1:])


@pytest.mark.parametrize('way', ['evidence', 'loo'])
def test_ridges_are_the_best_of_all(rng, way):
    x, y, _ = data(rng)
    y = y + 5 * x[:, 0]
    model = NNGPRegressor(diag_reg=way).fit(x, y)

    def value(ridge):
        fitted = NNGPRegressor(diag_reg=ridge).fit(x, y)
        if way == 'evidence':
            return fitted.log_marginal_likelihood_value_
        k = fitted.kernels_(('nngp',), fitted.X_fit_)['nngp']
        return predict.leave_one_out(k, (y - y.mean()) / y.std(), ridge).log_density.sum()
    here = model.diag_reg_
    assert 1e-6 < here < 100
    assert value(here) > max(value(here * 10 ** .25), value(here / 10 ** .25))


def test_samples(rng):
    x, y, x_test = data(rng)
    model = NNGPRegressor(random_state=3).fit(x, y)
    draws = model.sample_y(x_test, 20000)
    mean, covariance = model.predict(x_test, return_cov=True)
    assert draws.shape == (7, 20000)
    assert abs(draws.mean(1) - mean).max() < 5 * covariance.diagonal().max() ** .5 / 20000 ** .5
    assert abs(numpy.cov(draws) - covariance).max() < 5 * covariance.diagonal().max() * (2 / 20000) ** .5
    assert abs(model.sample_y(x_test, 2) - draws[:, :2]).max() < 1e-12
    two = NNGPRegressor().fit(x, numpy.stack([y, -y], 1))
    assert two.sample_y(x_test, 5, 0).shape == (7, 2, 5)


def test_kernels_on_disk(rng, tmp_path):
    x, y, x_test = data(rng)
    for estimator in REGRESSORS:
        model = estimator(diag_reg=1e-2, out=tmp_path / estimator.__name__).fit(x, y)
        expected = estimator(diag_reg=1e-2).fit(x, y)
        for got, wanted in zip(model.predict(x_test, return_std=True), expected.predict(x_test, return_std=True)):
            assert abs(got - wanted).max() < 1e-6
        covariances = (each.predict(x_test, return_cov=True)[1] for each in (model, expected))
        assert abs(numpy.subtract(*covariances)).max() < 1e-6
        with pytest.raises(ValueError, match='iterations solve for one ridge'):
            clone(model).set_params(diag_reg='loo').fit(x, y)
        assert not hasattr(model, 'log_marginal_likelihood_value_')


def test_threads_and_memory(rng):
    x, y, x_test = data(rng)
    expected = NNGPRegressor().fit(x, y).predict(x_test)
    assert abs(NNGPRegressor(n_jobs=2).fit(x, y).predict(x_test) - expected).max() < 1e-12
    with pytest.raises(MemoryError):
        NNGPRegressor(memory_limit=100).fit(x, y)
    for none in (0, -2, 1.5):
        with pytest.raises(ValueError, match='n_jobs'):
            NNGPRegressor(n_jobs=none).fit(x, y)


def test_advice_about_singular_kernels_can_be_followed(rng):
    x, y, _ = data(rng)
    x, y = numpy.concatenate([x, x]), numpy.concatenate([y, y + 1])
    with pytest.warns(SingularKernelWarning) as caught:
        NTKRegressor(diag_reg=0.).fit(x, y)
    advice = str(caught[0].message).partition('Pass ')[2].split()[0]
    assert advice.startswith('diag_reg=') and 'absolute' not in str(caught[0].message)
    NTKRegressor(diag_reg=float(advice.partition('=')[2])).fit(x, y)


# ------------------------------------------------------------------ probabilities

def labels(rng, x, classes=3):
    return numpy.array(['a', 'b', 'c'])[:classes][(x[:, 0] > 0) + (x[:, 1] > 0) * (classes - 2) * 1]


@pytest.mark.parametrize('classes', [2, 3])
def test_laplace(rng, classes):
    x, _, x_test = data(rng)
    y = labels(rng, x, classes)
    k, k_test, own = (2. * NET.kernel_fn(*pair, 'nngp') for pair in ((x, None), (x_test, x), (x_test, None)))
    noise = 1e-3 * k.trace() / len(k)
    _, index = numpy.unique(y, return_inverse=True)
    predict_fn = predict.laplace_inference(k + noise * numpy.eye(len(k)), index if classes == 2 else
                                           numpy.eye(3)[index])
    model = NNGPClassifier(**PLAIN, scale=2., random_state=1).fit(x, y)
    p = predict_fn(k_test, own.diagonal() + noise, model._seed)
    got = model.predict_proba(x_test)
    assert abs((got[:, 1] if classes == 2 else got) - p).max() < 1e-12
    assert got.shape == (7, classes) and abs(got.sum(1) - 1).max() < 1e-14
    assert model.log_marginal_likelihood_value_ == pytest.approx(predict_fn.log_marginal_likelihood, rel=1e-12)
    assert (model.predict(x_test) == numpy.array(['a', 'b', 'c'])[got.argmax(1)]).all()


def test_laplace_by_evidence(rng):
    x, _, _ = data(rng)
    y = rng.integers(0, 2, len(x))                         # labels of noise alone
    model = NNGPClassifier(diag_reg='evidence').fit(x, y)
    ridges = 1e-6, 1e-4, 1e-2, 1., 100.
    others = [NNGPClassifier(diag_reg=ridge).fit(x, y).log_marginal_likelihood_value_ for ridge in ridges]
    assert model.log_marginal_likelihood_value_ == max(others)
    for diag_reg in 'loo', numpy.ones(len(x)):
        with pytest.raises(ValueError, match="with method='laplace'"):
            NNGPClassifier(diag_reg=diag_reg).fit(x, y)


@pytest.mark.parametrize('t', [0., 3., 100.])
def test_cross_entropy_is_gradient_descent(rng, t):
    x, _, x_test = data(rng)
    y = labels(rng, x)
    k, k_test = NET.kernel_fn(x, None, 'ntk'), NET.kernel_fn(x_test, x, 'ntk')
    _, index = numpy.unique(y, return_inverse=True)

    def loss(f, y):
        from autograd import numpy as np
        return -np.mean(np.sum(y * (f - np.log(np.sum(np.exp(f), 1, keepdims=True))), 1))
    f = predict.gradient_descent(loss, k, numpy.eye(3)[index], progress=False)(t, None, 0., k_test)
    expected = numpy.exp(f) / numpy.exp(f).sum(1, keepdims=True)
    got = NTKClassifier(**PLAIN, t=t).fit(x, y).predict_proba(x_test)
    assert abs(got - expected).max() < 1e-7                 # two runs of a solver with tolerances of 1.4e-8
    with pytest.raises(ValueError, match='no minimum'):
        NTKClassifier(t=None).fit(x, y)


@pytest.mark.parametrize('estimator', CLASSIFIERS)
def test_regression_with_a_temperature(rng, estimator):
    """Softmax of the regression, whose temperature cannot be bettered on predictions that leave one out by fitting."""
    x, _, x_test = data(rng, 20)
    y = labels(rng, x)
    model = estimator(**PLAIN, method='regression', diag_reg=1e-2).fit(x, y)
    _, index = numpy.unique(y, return_inverse=True)
    targets = numpy.eye(3)[index]
    mean = targets.mean(0)
    regressor = REGRESSORS[CLASSIFIERS.index(estimator)]
    fitted = regressor(**PLAIN, diag_reg=1e-2, normalize_y=False).fit(x, targets - mean)
    f = (mean + fitted.predict(x_test)) / model.temperature_
    assert abs(model.predict_proba(x_test) - numpy.exp(f) / numpy.exp(f).sum(1, keepdims=True)).max() < 1e-12
    k = NET.kernel_fn(x, None, model.get)
    ridge = 1e-2 * k.trace() / len(k)
    left = []
    for i in range(len(x)):
        rest = numpy.delete(numpy.arange(len(x)), i)
        fit = predict.gp_inference(k[numpy.ix_(rest, rest)], (targets - mean)[rest], ridge, True)
        left.append(mean + fit(model.get, k[i:i + 1, rest])[0])
    q = (len(x) * targets + 1) / (len(x) + 3)

    def loss(T):
        f = numpy.array(left) / T
        return (numpy.log(numpy.exp(f).sum(1)) - (q * f).sum(1)).sum()
    T = model.temperature_
    assert loss(T) < min(loss(1.01 * T), loss(T / 1.01))


def test_one_class_is_refused(rng):
    x, _, _ = data(rng)
    for estimator in CLASSIFIERS:
        with pytest.raises(ValueError, match='one class'):
            estimator().fit(x, ['same'] * len(x))
        with pytest.raises(ValueError, match='expected method to be one of'):
            estimator(method='laplas').fit(x, labels(rng, x))


# ------------------------------------------------------------------ networks and inputs

def test_what_net_may_be(rng):
    x, y, x_test = data(rng)
    expected = NNGPRegressor(NET).fit(x, y).predict(x_test)
    short = NNGPRegressor(depth=1, activation='Erf', W_std=1.3, b_std=.2)
    assert repr(short.fit(x, y).kernels_.kernel_fn.layer) == 'serial(Dense(512, 1.3, 0.2), Erf(), Dense(1, 1.3, 0.2))'
    spec = NET.to_spec()
    for net in spec, {'ntref': 1, 'network': spec}, json.dumps(spec), NET.kernel_fn:
        assert abs(NNGPRegressor(net).fit(x, y).predict(x_test) - expected).max() == 0
    leaky = NNGPRegressor(depth=1, activation=stax.LeakyRelu(.1)).fit(x, y)
    assert 'LeakyRelu(0.1)' in repr(leaky.kernels_.kernel_fn.layer)


@pytest.mark.parametrize('options, error, message', [
    ({'net': 'relu'}, ValueError, 'JSON of a network'),
    ({'net': 3}, TypeError, 'expected net to be a function'),
    ({'activation': 'rellu'}, ValueError, "Did you mean 'relu'"),
    ({'activation': max}, TypeError, 'a name such as'),
    ({'diag_reg': 'evidense'}, ValueError, "Did you mean 'evidence'"),
    ({'diag_reg': -1.}, ValueError, 'diag_reg >= 0'),
    ({'input_shape': (2, 2)}, ValueError, 'rows of 4 numbers, got rows of 3'),
    ({'depth': 1.5}, ValueError, 'depth'),
    ({'net': stax.serial(stax.Conv(1, (1,)), stax.Relu()), 'input_shape': (3, 1)}, ValueError, 'one kernel entry'),
    ({'normalize_X': 'no'}, TypeError, 'normalize_X is expected to be True or False'),
    ({'diag_reg': ['a'] * 30}, TypeError, 'expected real numbers, got an array of dtype <U1'),
])
def test_refusals(rng, options, error, message):
    x, y, _ = data(rng)
    with pytest.raises(error, match=message):
        NNGPRegressor(**options).fit(x, y)
    with pytest.raises(ValueError, match='return_std or return_cov'):
        NNGPRegressor().fit(x, y).predict(x, return_std=True, return_cov=True)


@pytest.mark.parametrize('t, error, message', [('a', TypeError, 't is expected to be a number'), (
    numpy.inf, ValueError, 't is expected to be finite'), (-1., ValueError, 'time >= 0'), ([1.], TypeError, 'number')])
def test_times_of_cross_entropy(rng, t, error, message):
    x, _, _ = data(rng)
    with pytest.raises(error, match=message):
        NTKClassifier(t=t).fit(x, labels(rng, x))


@pytest.mark.parametrize('scale', [1e160, 1e300])
def test_numbers_whose_squares_overflow(rng, scale):
    """Their deviation would be infinite, and all inputs 0."""
    x, y, _ = data(rng)
    x[:, 1] *= scale
    with pytest.raises(ValueError, match='squares are below 1e308 with normalize_X=True, got some up to'):
        NNGPRegressor().fit(x, y)
    with pytest.raises(ValueError, match='with normalize_y=True'):
        NNGPRegressor().fit(x[:, :1], y * scale)


def test_images(rng):
    """Rows of pixels are images; each channel has one mean and one deviation."""
    net = stax.serial(stax.Conv(1, (3, 3)), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
    images = 5 + 3 * rng.standard_normal((12, 4, 4, 2))
    y = images.mean((1, 2, 3))
    model = NNGPRegressor(net, input_shape=(4, 4, 2)).fit(images[:9].reshape(9, -1), y[:9])
    mean, std = images[:9].mean((0, 1, 2)), images[:9].std((0, 1, 2))
    plain = NNGPRegressor(net, input_shape=(4, 4, 2), normalize_X=False)
    plain.fit(((images[:9] - mean) / std).reshape(9, -1), y[:9])
    rest = images[9:].reshape(3, -1), ((images[9:] - mean) / std).reshape(3, -1)
    assert abs(model.predict(rest[0]) - plain.predict(rest[1])).max() < 1e-12
    assert NNGPRegressor(depth=1, input_shape=(4, 4, 2)).fit(images.reshape(12, -1), y).predict(rest[0]).shape == (3,)


def test_sequences_that_end_in_nan(rng):
    """Padding is masked: predictions are those of sequences without padding."""
    net = stax.serial(stax.Conv(1, (2,)), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
    x = rng.standard_normal((10, 6, 2))
    x[5:, 4:] = numpy.nan
    y = rng.standard_normal(10)
    model = NTKRegressor(net, input_shape=(6, 2), diag_reg=1e-2).fit(x.reshape(10, -1), y)
    longer = NTKRegressor(net, input_shape=(8, 2), diag_reg=1e-2)
    padded = numpy.concatenate([x, numpy.full((10, 2, 2), numpy.nan)], 1)
    longer.fit(padded.reshape(10, -1), y)
    for got, expected in zip(longer.predict(padded.reshape(10, -1), return_std=True),
                             model.predict(x.reshape(10, -1), return_std=True)):
        assert abs(got - expected).max() < 1e-9
    whole = x[:3].reshape(3, -1)
    assert abs(model.predict(whole) - model.predict(x.reshape(10, -1))[:3]).max() < 1e-9
    assert model.__sklearn_tags__().input_tags.allow_nan and not NTKRegressor().__sklearn_tags__().input_tags.allow_nan


# ------------------------------------------------------------------ the tools of scikit-learn

@pytest.mark.parametrize('estimator', REGRESSORS + CLASSIFIERS)
def test_pickles_and_clones(rng, estimator):
    x, y, x_test = data(rng)
    model = estimator(NET).fit(x, y if estimator in REGRESSORS else labels(rng, x))
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(x_test) == model.predict(x_test)).all()
    assert clone(model).get_params() == model.get_params() and not hasattr(clone(model), 'dual_coef_')


def test_searches_and_pipelines():
    x, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler().set_output(transform='pandas'), NNGPClassifier(method='regression'))
    search = GridSearchCV(pipeline, {'nngpclassifier__depth': [0, 1], 'nngpclassifier__diag_reg': [1e-2, 'loo'],
                                     'nngpclassifier__activation': ['relu', stax.Erf()]}, cv=3)
    search.fit(x, y)
    assert search.best_score_ > .95
    assert list(search.best_estimator_[-1].feature_names_in_) == list(x.columns)
    assert cross_val_score(NTKClassifier(t=10.), x, y, cv=3).mean() > .85


def test_data_frames(rng):
    x, y, x_test = data(rng)
    expected = NNGPRegressor().fit(x, y).predict(x_test)
    names = ['a', 'b', 'c']
    model = NNGPRegressor().fit(pandas.DataFrame(x, columns=names), pandas.Series(y))
    assert list(model.feature_names_in_) == names and model.n_features_in_ == 3
    assert abs(model.predict(pandas.DataFrame(x_test, columns=names)) - expected).max() < 1e-12
    with pytest.raises(ValueError, match='feature names'):
        model.predict(pandas.DataFrame(x_test, columns=['c', 'b', 'a']))
    model = NNGPRegressor().fit(polars.DataFrame(x, schema=names), polars.Series(y))
    theirs = Ridge().fit(polars.DataFrame(x, schema=names), y)         # older versions know no names of polars
    assert list(getattr(model, 'feature_names_in_', ())) == list(getattr(theirs, 'feature_names_in_', ()))
    assert abs(model.predict(polars.DataFrame(x_test, schema=names)) - expected).max() < 1e-12
    assert (NNGPRegressor().fit(x.tolist(), y.tolist()).predict(x_test.tolist()) == expected).all()


def test_weights_are_not_taken(rng):
    x, y, _ = data(rng)
    with pytest.raises(TypeError, match='sample_weight'):
        NNGPRegressor().fit(x, y, sample_weight=numpy.ones(len(x)))
    assert 'sample_weight' not in NNGPRegressor().get_metadata_routing().fit.requests


def test_what_predict_takes_can_be_routed():
    with config_context(enable_metadata_routing=True):
        model = NNGPRegressor().set_predict_request(return_std=True)
        assert model.get_metadata_routing().predict.requests == {'return_std': True, 'return_cov': None, 'noise': None}


def test_a_notebook_shows_them_without_warnings():
    program = ('from sklearn.pipeline import make_pipeline as p; from ntref import estimators as e\n'
               'for name in e.__all__[:4]: print(len(p(getattr(e, name)())._repr_html_()))')
    run = subprocess.run([sys.executable, '-W', 'error::UserWarning', '-c', program], capture_output=True, text=True)
    assert run.stderr == '' and len(run.stdout.split()) == 4


def test_without_scikit_learn():
    program = 'import sys; sys.modules["sklearn"] = None; import ntref.estimators'
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert run.returncode == 1 and 'expected scikit-learn for ntref.estimators' in run.stderr
