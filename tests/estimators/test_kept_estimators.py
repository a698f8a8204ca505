"""Fitted estimators in files: they predict the same bits, and files that were changed are refused."""
import numpy
import pandas
import pytest
from refusals import refusal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from ntref import stax
from ntref.engine.archive import read_archive, write_archive
from ntref.estimators import (
    NNGPClassifier, NNGPRegressor, NTKClassifier, NTKRegressor, load_estimator, save_estimator)

NET = stax.serial(stax.Dense(1, 1.3, .2), stax.Erf(), stax.Dense(1, 1.1))
CONV = stax.serial(stax.Conv(1, (2,), padding='SAME'), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
MODELS = {
    'defaults': NNGPRegressor(),
    'a network, its kernel': NNGPRegressor(NET.kernel_fn, normalize_y=False),
    'JSON': NTKRegressor(NET.to_spec()),
    'a layer, a ridge for each input': NTKRegressor(activation=stax.LeakyRelu(.1), diag_reg=[.1] * 9 + [.2] * 3),
    'evidence, a time': NTKRegressor(diag_reg='evidence', t=3.),
    'sequences': NNGPRegressor(CONV, input_shape=(3, 2)),
    'Laplace': NNGPClassifier(),
    'one-hot': NNGPClassifier(method='regression', diag_reg='loo'),
    'flow': NTKClassifier(t=30.),
    'one-hot of an ensemble': NTKClassifier(NET, method='regression')}


def fitted(name, rng):
    """The model, fitted, and test inputs."""
    x = rng.standard_normal((12, 6))
    if name == 'sequences':
        x[0, 4:] = numpy.nan
    x_test = rng.standard_normal((5, 6))
    model = MODELS[name]
    is_classifier = isinstance(model, (NNGPClassifier, NTKClassifier))
    y = numpy.array(['no', 'perhaps', 'yes'])[numpy.arange(12) % 3] if is_classifier else rng.standard_normal(12)
    return model.fit(x, y), x_test


def answers(model, x):
    if hasattr(model, 'predict_proba'):
        return model.predict_proba(x), model.predict(x)
    return *model.predict(x, return_std=True), model.sample_y(x, 2, 3), model.log_marginal_likelihood_value_


@pytest.mark.parametrize('name', MODELS)
def test_the_same_bits(name, rng, tmp_path):
    model, x = fitted(name, rng)
    save_estimator(tmp_path / 'model.npz', model)
    again = load_estimator(tmp_path / 'model.npz')
    assert type(again) is type(model) and set(vars(again)) == set(vars(model))
    for a, b in zip(answers(model, x), answers(again, x), strict=True):
        assert numpy.array_equal(a, b)
    assert again.fit(model.X_fit_.reshape(12, -1), numpy.arange(12) % 2).predict(x).shape == (5,)


def test_names_of_features_and_labels(rng, tmp_path):
    table = pandas.DataFrame(rng.standard_normal((9, 2)), columns=['width', 'height'])
    model = NTKClassifier(t=10.).fit(table, pandas.Series(list('abc') * 3, dtype=object))
    save_estimator(tmp_path / 'model.npz', model)
    again = load_estimator(tmp_path / 'model.npz')
    assert list(again.feature_names_in_) == ['width', 'height']
    assert list(again.predict(table)) == list(model.predict(table)) and again.classes_.dtype == model.classes_.dtype
    with pytest.raises(ValueError, match='feature names'):
        again.predict(table.rename(columns={'width': 'depth'}))


def changed(path, change):
    tree = read_archive(path, 'estimator')
    change(tree)
    write_archive(path, 'estimator', tree)


@pytest.mark.parametrize('change, told', [
    (lambda tree: tree['networks'].update(net=stax.serial(stax.Dense(1), stax.Erf(), stax.Dense(1)).to_spec()),
     'of the first inputs its nngp is another'),
    (lambda tree: tree['solved']['solved_']['train']['nngp']['factor'].update(lower=numpy.eye(12)), 'factorizations'),
    (lambda tree: tree['solved']['solved_'].update(alpha=numpy.ones((3, 1))), r'shape of the targets, \(12, 1\)'),
    (lambda tree: tree.update({'class': 'Pipeline'}), 'Pipeline'),
    (lambda tree: tree['params'].update(W_sdt=1.), 'W_sdt'),
    (lambda tree: tree.pop('first'), 'first')])
def test_changed_files_are_refused(change, told, rng, tmp_path):
    model = NNGPRegressor(NET).fit(rng.standard_normal((12, 2)), rng.standard_normal(12))
    path = tmp_path / 'model.npz'
    save_estimator(path, model)
    changed(path, lambda tree: None)
    load_estimator(path)
    changed(path, change)
    with pytest.raises(ValueError, match=told) as e:
        load_estimator(path)
    assert str(e.value).startswith(f'expected a file of save_estimator, got {path}: ')


def test_what_no_file_can_have(rng, tmp_path):
    path = tmp_path / 'model.npz'
    x, y = rng.standard_normal((12, 2)), rng.standard_normal(12)
    assert 'is not fitted' in refusal(NotFittedError, save_estimator, path, NNGPRegressor())
    assert "got Ridge() of type Ridge" in refusal(TypeError, save_estimator, path, Ridge())
    function = NNGPRegressor(lambda x1, x2, get: NET.kernel_fn(x1, x2, get)).fit(x, y)
    assert 'estimator.params.net to be made of numbers' in refusal(TypeError, save_estimator, path, function)
    on_disk = NNGPRegressor(out=tmp_path / 'kernel.zarr').fit(x, y)
    assert 'Fit it without out.' in refusal(TypeError, save_estimator, path, on_disk)
    assert not path.exists()
