"""Laplace's approximation against dense linear algebra, scikit-learn, integrals, and brute force over the posterior."""
import numpy
import pytest
from posteriors import dense
from scipy.integrate import quad
from scipy.special import expit
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF

from ntref.predict import NotConvergedError, NotPSDError, laplace_inference
from ntref.predict.laplace import mean_logistic, mean_softmax

KERNEL = 4 * RBF(1.)


def problem(rng, n=12, m=5):
    """Inputs, and test inputs, of which one is far away, one is an input, and two inputs are the same."""
    x = rng.standard_normal((n, 2))
    x[1] = x[0]
    x_test = rng.standard_normal((m, 2))
    x_test[0] = x[2]
    x_test[1] = 100.
    return KERNEL(x), KERNEL(x_test, x), KERNEL.diag(x_test), (x, x_test)


def test_two_classes_against_scikit_learn(rng):
    k, k_test, own, (x, x_test) = problem(rng, 40)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    theirs = GaussianProcessClassifier(KERNEL, optimizer=None).fit(x, y)
    predict_fn = laplace_inference(k, y)
    assert abs(predict_fn.log_marginal_likelihood - theirs.log_marginal_likelihood_value_) < 1e-9
    mean, _ = predict_fn.latent(k_test, own)
    base = theirs.base_estimator_
    assert abs(mean - k_test @ (base.y_train_ - base.pi_)).max() < 1e-5       # theirs ends at 1e-10 of log p
    assert abs(predict_fn(k_test, own) - theirs.predict_proba(x_test)[:, 1]).max() < 2e-4         # five error functions


@pytest.mark.parametrize('classes', [2, 3, 5])
def test_several_classes_against_dense_matrices(rng, classes):
    k, k_test, own, _ = problem(rng)
    y = numpy.eye(classes)[rng.integers(0, classes, len(k))]
    value, mean, covariance = dense(k, y, k_test, own)
    predict_fn = laplace_inference(k, y)
    got = predict_fn.latent(k_test, own)
    assert abs(predict_fn.log_marginal_likelihood - value) < 1e-12 * abs(value)
    assert abs(got.mean - mean).max() < 1e-12
    assert abs(got.covariance - covariance).max() < 1e-12


def test_two_classes_are_softmax_of_two_halves(rng):
    """f_1 - f_0 of two independent functions with half the kernel has that kernel."""
    k, k_test, own, _ = problem(rng)
    y = rng.integers(0, 2, len(k))
    one = laplace_inference(k, y)
    two = laplace_inference(k / 2, numpy.eye(2)[y])
    assert abs(one.log_marginal_likelihood - two.log_marginal_likelihood) < 1e-11
    assert abs(one(k_test, own) - two(k_test / 2, own / 2)[:, 1]).max() < 1e-3
    mean, covariance = two.latent(k_test / 2, own / 2)
    spread = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    assert abs(mean[:, 1] - mean[:, 0] - one.latent(k_test, own).mean).max() < 1e-11
    assert abs(spread - one.latent(k_test, own).covariance).max() < 1e-11


def test_errors_of_the_approximation_are_of_high_order():
    """Against integrals over the exact posterior of two inputs, kernels s K: s^2 in log p(y), s^3 in probabilities."""
    shape = numpy.array([[1., .6], [.6, 1.]])
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(60)
    z = numpy.stack(numpy.meshgrid(nodes, nodes, indexing='ij'), -1).reshape(-1, 2)
    w = numpy.outer(weights, weights).ravel() / weights.sum() ** 2

    def errors(scale):
        k = scale * shape
        predict_fn = laplace_inference(k, numpy.array([1, 0]))
        f = z @ numpy.linalg.cholesky(k).T
        likelihood = expit(f[:, 0]) * expit(-f[:, 1])
        exact = w @ likelihood
        probability = w @ (likelihood * expit(f[:, 0])) / exact            # of a new label at the first input
        got = predict_fn(k[:1], k.diagonal()[:1])[0]
        assert .04 * scale < got - .5 < .06 * scale                       # (k_11 - k_12) / 2 / 4
        return predict_fn.log_marginal_likelihood - numpy.log(exact), got - probability
    large, small = errors(.02), errors(.01)
    assert 3.5 < large[0] / small[0] < 4.5
    assert 7 < large[1] / small[1] < 9


@pytest.mark.parametrize('mean, variance', [(.3, 0.), (.3, 1e-6), (1., .5), (2., .999), (2., 1.001), (-3., 1.5),
                                            (5., 30.), (-1., 400.), (-40., .5), (0., 1e6)])
def test_mean_of_the_logistic_function(mean, variance):
    s = variance ** .5

    def density(z):
        return expit(mean + s * z) * numpy.exp(-z * z / 2) / (2 * numpy.pi) ** .5
    step = numpy.clip(-mean / s, -12, 12) if s else 0.
    exact = quad(density, -12, 12, epsabs=0, epsrel=1e-13, limit=1000, points=[step, step - 10 / (s + 1), step + 10 / (
        s + 1)])[0]
    got = mean_logistic(numpy.array([mean]), numpy.array([variance]))
    assert abs(got[0] - exact) < 1e-13


def test_mean_of_softmax_against_the_logistic_function(rng):
    mean = 2 * rng.standard_normal((6, 2))
    half = rng.standard_normal((6, 2, 2))
    covariance = half @ half.swapaxes(1, 2)
    exact = mean_logistic(mean[:, 1] - mean[:, 0], covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1])
    errors = [abs(mean_softmax(mean, covariance, seed, 4096)[:, 1] - exact).max() for seed in range(5)]
    assert max(errors) < 5e-4
    assert max(errors) > 1e-7                                                      # it is an average over points
    together = mean_softmax(mean, covariance, 0, 4096)
    alone = mean_softmax(mean[3:4], covariance[3:4], 0, 4096)
    assert abs(together[3] - alone).max() < 1e-14 and abs(together.sum(1) - 1).max() < 1e-14


def test_scales_of_kernels(rng):
    """No information from a kernel of zero; a large one is fitted, without overflow."""
    k, k_test, own, _ = problem(rng)
    y = numpy.eye(3)[numpy.arange(len(k)) % 3]
    y[1] = y[0]
    nothing = laplace_inference(0 * k, y)
    assert nothing.log_marginal_likelihood == pytest.approx(-len(k) * numpy.log(3), rel=1e-14)
    assert abs(nothing(0 * k_test, 0 * own) - 1 / 3).max() < 1e-14
    large = laplace_inference(1e6 * k, y)
    assert numpy.isfinite(large.log_marginal_likelihood)
    assert (large.latent(1e6 * k, 1e6 * k.diagonal()).mean.argmax(1) == y.argmax(1)).all()


@pytest.mark.parametrize('k, y, error, message', [
    (numpy.eye(2), [1, 2], ValueError, 'labels 0 and 1'),
    (numpy.eye(2), [[1, 1], [0, 1]], ValueError, 'one 1 and zeros'),
    (numpy.eye(3), [1, 0], ValueError, 'got shapes'),
    (numpy.array([[1., 3.], [3., 1.]]), [1, 0], NotPSDError, 'positive semi-definite'),
    (numpy.array([[numpy.nan, 0.], [0., 1.]]), [1, 0], ValueError, 'finite'),
])
def test_refusals(k, y, error, message):
    if message.startswith('positive'):
        k = 10 * k
    with pytest.raises(error, match=message):
        laplace_inference(k, numpy.array(y))


def test_steps_that_are_not_enough(rng):
    k, _, _, _ = problem(rng)
    with pytest.raises(NotConvergedError, match='more max_steps'):
        laplace_inference(100 * k, numpy.arange(len(k)) % 2, max_steps=2)


def test_shapes_of_test_kernels(rng):
    k, k_test, own, _ = problem(rng)
    predict_fn = laplace_inference(k, numpy.arange(len(k)) % 2)
    with pytest.raises(ValueError, match='variances'):
        predict_fn(k_test, k_test)
    with pytest.raises(ValueError, match='variances'):
        predict_fn(k_test[:, :-1], own)
