"""Arrays of other frameworks at the doors of estimators, by stand-ins: what torch.Tensor and jax.Array show of theirs.

`validation/frameworks.py estimators` has the same with the frameworks themselves.
"""
import autograd
import numpy
import pandas
import pytest

from ntref.estimators import NetworkKernel, NNGPClassifier, NNGPRegressor, NTKClassifier, NTKRegressor

ESTIMATORS = [NNGPRegressor, NTKRegressor, NNGPClassifier, NTKClassifier]


class Tensor:
    """As torch.Tensor on the CPU: NumPy reads it, unless it needs gradients or is of a type that NumPy lacks."""

    def __init__(self, a, requires_grad=False, dtype=None):
        self.a = numpy.asarray(a)
        self.shape = self.a.shape
        self.requires_grad = requires_grad
        self.dtype = dtype or self.a.dtype

    def __len__(self):
        return len(self.a)

    def __dlpack__(self):
        raise AssertionError('expected __array__ to be called')

    def detach(self):
        return Tensor(self.a, dtype=self.dtype)

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.dtype == 'bfloat16':
            raise TypeError('Got unsupported ScalarType BFloat16')
        return self.a if dtype is None else self.a.astype(dtype)


class Array:
    """As jax.Array: NumPy reads it; its bfloat16 is a type of ml_dtypes, which NumPy takes for bytes."""

    def __init__(self, a, dtype=None):
        self.a = numpy.asarray(a)
        self.shape = self.a.shape
        self.dtype = dtype or self.a.dtype

    def __len__(self):
        return len(self.a)

    def __dlpack__(self):
        raise AssertionError('expected __array__ to be called')

    def __array__(self, dtype=None, copy=None):
        return numpy.zeros(self.shape, 'V2') if self.dtype == 'bfloat16' else self.a


class Tracer(Array):
    __module__ = 'jax._src.interpreters.partial_eval'


def problem(rng, estimator):
    """Inputs, targets or labels, and test inputs."""
    x = rng.standard_normal((12, 3))
    x[1] = x[0]
    y = x[:, 0] > 0 if estimator in ESTIMATORS[2:] else x @ [1., 2., 3.]
    return x, y, rng.standard_normal((4, 3))


def predicted(estimator, x, y, x_test):
    model = estimator().fit(x, y)
    return model.predict_proba(x_test) if hasattr(model, 'predict_proba') else model.predict(x_test)


@pytest.mark.parametrize('estimator', ESTIMATORS)
@pytest.mark.parametrize('kind', [Tensor, Array])
def test_as_arrays_of_numpy(rng, estimator, kind):
    x, y, x_test = problem(rng, estimator)
    expected = predicted(estimator, x, y, x_test)
    found = predicted(estimator, kind(x), kind(y), kind(x_test))
    mixed = predicted(estimator, kind(x), y.tolist(), x_test)
    assert numpy.array_equal(found, expected) and numpy.array_equal(mixed, expected)


@pytest.mark.parametrize('estimator', ESTIMATORS)
def test_tensors_that_need_gradients_are_detached_with_a_word(rng, estimator):
    x, y, x_test = problem(rng, estimator)
    model = estimator().fit(x, y)
    expected = model.predict(x_test)
    for name, given in (('X', (Tensor(x, True), y)), ('y', (x, Tensor(y, True)))):
        with pytest.warns(UserWarning, match=f'{name} needs gradients, .* Give {name}.detach'):
            again = estimator().fit(*given)
        assert numpy.array_equal(again.predict(x_test), expected)
    with pytest.warns(UserWarning, match='X needs gradients'):
        assert numpy.array_equal(model.predict(Tensor(x_test, True)), expected)
    with pytest.warns(UserWarning, match='X needs gradients'):
        assert numpy.array_equal(NetworkKernel()(Tensor(x, True)), NetworkKernel()(x))


@pytest.mark.parametrize('given, said', [
    (lambda x: Tensor(x, dtype='bfloat16'), r'Tensor of bfloat16 \(Got unsupported .* X.cpu\(\).to_dense\(\).double'),
    (lambda x: Array(x, 'bfloat16'), r"Array of \|V2. Take X.astype\('float32'\)"),
    (Tracer, 'expected X to be numbers, got Tracer. JAX traces it')])
@pytest.mark.parametrize('call', [
    lambda x, y, given: NNGPRegressor().fit(given, y), lambda x, y, given: NNGPRegressor().fit(x, y).predict(given),
    lambda x, y, given: NetworkKernel()(given), lambda x, y, given: NetworkKernel().diag(given)])
def test_without_numbers_that_numpy_reads(rng, given, said, call):
    x, y, _ = problem(rng, NNGPRegressor)
    with pytest.raises(TypeError, match=said):
        call(x, y, given(x))


def test_what_autograd_follows_is_told_so(rng):
    x, y, x_test = problem(rng, NNGPRegressor)
    with pytest.raises(TypeError, match='expected X to be numbers, got ArrayBox. autograd follows it'):
        autograd.grad(lambda x: NNGPRegressor().fit(x, y).predict(x_test).sum())(x)


# ------------------------------------------------------------------ labels and targets

@pytest.mark.parametrize('labels', [
    [0, 1], [False, True], [-7, 300], ['no', 'yes'], [numpy.uint8(3), numpy.uint8(200)], [.5, 2.]])
@pytest.mark.parametrize('form', [numpy.array, list, pandas.Series, pandas.Categorical])
def test_labels_of_any_kind(rng, labels, form):
    """Probabilities are the same, whatever classes are called; predictions are their names."""
    x, y, x_test = problem(rng, NNGPClassifier)
    expected = NNGPClassifier().fit(x, y)
    named = form([labels[int(label)] for label in y])
    if labels == [.5, 2.]:
        with pytest.raises(ValueError, match='Unknown label type: continuous'):
            NNGPClassifier().fit(x, named)
        return
    model = NNGPClassifier().fit(x, named)
    assert numpy.array_equal(model.predict_proba(x_test), expected.predict_proba(x_test))
    assert [labels[int(label)] for label in expected.predict(x_test)] == list(model.predict(x_test))
    assert list(model.classes_) == labels


@pytest.mark.parametrize('y', [[0, 3, -1, 2], [True, False, True, True], numpy.uint8([200, 3, 255, 0])])
@pytest.mark.parametrize('form', [numpy.array, list, pandas.Series])
@pytest.mark.parametrize('estimator', ESTIMATORS[:2])
def test_targets_that_are_whole_numbers_or_flags(rng, y, form, estimator):
    x = rng.standard_normal((4, 2))
    expected = estimator().fit(x, numpy.array(y, float)).predict(x)
    assert numpy.array_equal(estimator().fit(x, form(y)).predict(x), expected)
