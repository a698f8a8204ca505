"""Laplace's approximation in small, for truth/mutants.py: what `laplace_inference` owes, and ways to get it wrong."""
import copy
from functools import partial
from unittest import mock

import numpy
from numpy.linalg import slogdet, solve
from scipy.special import expit
from training import changed, near

from ntref.predict import laplace, laplace_inference

rng = numpy.random.default_rng(5)
BASE = 2 * rng.standard_normal((6, 3))
BASE[1] = BASE[0]                                                    # the same input twice
JOINT = BASE @ BASE.T + numpy.diag([0, 0, 1., 1., 1., 1.])           # of 4 training and 2 test points
K, K_TEST, OWN = JOINT[:4, :4], JOINT[4:, :4], JOINT.diagonal()[4:]
LABELS = numpy.array([1., 1., 0., 1.])
CLASSES = numpy.eye(3)[[0, 0, 1, 2]]
STEPS = 200                                  # of Newton's method by plain formulas


def check_two_classes():
    """f = K (y - p), by Newton's method on that equation; K + W^-1 is inverted as it stands."""
    f = 0 * LABELS
    for _ in range(STEPS):
        p = expit(f)
        W = numpy.diag(p * (1 - p))
        f = f - solve(numpy.eye(4) + K @ W, f - K @ (LABELS - p))
    sign = 2 * LABELS - 1
    evidence = numpy.log(expit(sign * f)).sum() - (LABELS - p) @ f / 2 - slogdet(numpy.eye(4) + K @ W)[1] / 2
    predict_fn = laplace_inference(K, LABELS)
    mean, variance = predict_fn.latent(K_TEST, OWN)
    near(numpy.array([predict_fn.log_marginal_likelihood]), numpy.array([evidence]), 1e-11)
    near(mean, K_TEST @ (LABELS - p), 1e-11)
    near(variance, OWN - numpy.diag(K_TEST @ solve(K + numpy.linalg.inv(W), K_TEST.T)), 1e-11)


def dense(k, y, k_test, own):
    """Evidence, latent mean and covariance by matrices (n c, n c), with Newton's method as it is written."""
    n, c = y.shape
    K = numpy.kron(numpy.eye(c), k)
    t = y.T.ravel()
    f = 0 * t
    for _ in range(60):
        e = numpy.exp(f.reshape(c, n))
        p = (e / e.sum(0)).ravel()
        rows = numpy.concatenate([numpy.diag(q) for q in p.reshape(c, n)])
        W = numpy.diag(p) - rows @ rows.T
        f = K @ solve(numpy.eye(n * c) + W @ K, W @ f + t - p)
    log_p = t @ f - numpy.log(numpy.exp(f).reshape(c, n).sum(0)).sum()
    value = log_p - (t - p) @ f / 2 - slogdet(numpy.eye(n * c) + K @ W)[1] / 2
    S = numpy.kron(numpy.eye(c), k_test)
    m = len(own)
    covariance = numpy.kron(numpy.eye(c), numpy.diag(own)) - S @ solve(numpy.eye(n * c) + W @ K, W) @ S.T
    covariance = covariance.reshape(c, m, c, m)[:, range(m), :, range(m)]
    return value, (S @ (t - p)).reshape(c, m).T, covariance


def check_classes():
    value, mean, covariance = dense(K, CLASSES, K_TEST, OWN)
    predict_fn = laplace_inference(K, CLASSES)
    got = predict_fn.latent(K_TEST, OWN)
    near(numpy.array([predict_fn.log_marginal_likelihood]), numpy.array([value]), 1e-11)
    near(got.mean, mean, 1e-11)
    near(got.covariance, covariance, 1e-11)


def check_logistic_mean():
    """E 1/(1 + exp(-f)) by the trapezoidal rule, whose errors are those of rounding."""
    z = numpy.linspace(-12, 12, 100001)
    weights = numpy.exp(-z * z / 2)
    for mean, variance in ((.3, 0.), (1., .5), (2., .999), (2., 1.001), (-3., 1.5), (5., 30.), (0., 400.), (30., 4.)):
        exact = expit(mean + variance ** .5 * z) @ (weights / weights.sum())
        near(laplace.mean_logistic(numpy.array([mean]), numpy.array([variance])), numpy.array([exact]), 1e-13)


def check_softmax_mean():
    """Of two classes it is the logistic function of their difference; of three that are alike it is 1/3."""
    mean = numpy.array([[.5, -1.], [2., 1.]])
    covariance = numpy.array([[[2., 1.5], [1.5, 2.]], [[1., -.5], [-.5, 3.]]])
    spread = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    exact = laplace.mean_logistic(mean[:, 0] - mean[:, 1], spread)
    near(laplace.mean_softmax(mean, covariance, 0, 4096)[:, 0], exact, 5e-4)
    alike = numpy.array([2 * numpy.eye(3) + 1.])
    near(laplace.mean_softmax(numpy.ones((1, 3)), alike, 0, 4096), numpy.full((1, 3), 1 / 3), 5e-4)


CHECKS = {'two classes': check_two_classes, 'classes': check_classes, 'mean of the logistic function':
          check_logistic_mean, 'mean of softmax': check_softmax_mean}


# ------------------------------------------------------------------ the mutants

def at_the_mode(cls, name, change):
    """A mutant of a method of a posterior, change(posterior); its attributes are changed in a copy."""
    def with_others(f, self, *a):
        other = copy.copy(self)
        change(other)
        return f(other, *a)
    return changed(cls, name, with_others)


def curvature(w):
    """A mutant of W for two classes, w(p)."""
    def change(f, self, k, y, values):
        f(self, k, y, values)
        self.w = w(self.p)
        self.root = numpy.sqrt(self.w)
        self.lower = laplace._lower(self.root[:, None] * k * self.root)
    return changed(laplace._logistic, '__init__', change)


def determinant(cls, change):
    """A mutant of half the logarithm of |B|, change(posterior)."""
    def half(f, self, *a):
        f(self, *a)
        self.half_log_determinant = change(self)
    if cls is laplace._softmax:
        return changed(cls, '__init__', half)
    return mock.patch.object(cls, 'half_log_determinant', property(change))


MUTANTS = {
    'laplace: W = p': (partial(curvature, lambda p: p), 'two classes'),
    'laplace: W = p / 4': (partial(curvature, lambda p: p / 4), 'two classes'),
    'laplace: log |B| for its half': (partial(
        determinant, laplace._logistic, lambda of: 2 * numpy.log(of.lower.diagonal()).sum()), 'two classes'),
    'laplace: one step': (partial(mock.patch.object, laplace, 'EPS', 1e3), 'two classes'),
    'laplace: labels exchanged in the likelihood': (partial(
        mock.patch.object, laplace._logistic, 'log_likelihood', staticmethod(
            lambda y, f: -numpy.logaddexp(0., (2 * y - 1) * f).sum())), 'two classes'),
    'laplace: the mean from labels less a half': (partial(at_the_mode, laplace._Laplace, 'latent', lambda of: (
        object.__setattr__(of, 'y', of.y + of.posterior.p - .5))), 'two classes'),
    'laplace: variances of the prior': (partial(
        changed, laplace._logistic, 'covariance', lambda f, self, k, prior: prior + 0 * f(self, k, prior)),
        'two classes'),
    'laplace: variances by W^1/2 B^-1 W': (partial(at_the_mode, laplace._logistic, 'covariance', lambda of: (
        setattr(of, 'root', of.root ** 1.5))), 'two classes'),
    'softmax: evidence without log |M|': (partial(determinant, laplace._softmax, lambda of: (
        of.half_log_determinant - numpy.log(of.m.diagonal()).sum())), 'classes'),
    'softmax: classes against the rest': (partial(at_the_mode, laplace._softmax, 'covariance', lambda of: (
        setattr(of, 'm', 1e9 * of.m))), 'classes'),
    'softmax: E of the first class for all': (partial(at_the_mode, laplace._softmax, 'covariance', lambda of: (
        setattr(of, 'e', of.e[[0, 0, 0]]))), 'classes'),
    'softmax: a temperature of 2': (partial(changed, laplace, 'softmax', lambda f, a: f(a / 2)), 'classes'),
    'softmax: likelihood without the sum': (partial(mock.patch.object, laplace._softmax, 'log_likelihood', staticmethod(
        lambda y, f: (y * f).sum() - f.max(1).sum())), 'classes'),
    'mean: the logistic function of the mean': (partial(
        changed, laplace, 'mean_logistic', lambda f, mean, variance: f(mean, 0 * variance)),
        'mean of the logistic function'),
    'mean: nodes of the normal variable too far apart': (partial(
        mock.patch.object, laplace, 'NORMAL', 4 * laplace.NORMAL), 'mean of the logistic function'),
    'mean: nodes of the normal variable end early': (partial(
        mock.patch.object, laplace, 'NORMAL', laplace.NORMAL[16:-16]), 'mean of the logistic function'),
    'mean: nodes of the logistic variable end early': (partial(
        mock.patch.object, laplace, 'LOGISTIC', laplace.LOGISTIC[40:-40]), 'mean of the logistic function'),
    'mean: nodes of the logistic variable too far apart': (partial(
        mock.patch.object, laplace, 'LOGISTIC', 4 * laplace.LOGISTIC), 'mean of the logistic function'),
    'mean of softmax: classes taken as independent': (partial(
        changed, laplace, 'mean_softmax', lambda f, mean, covariance, *a: f(
            mean, covariance * numpy.eye(mean.shape[1]), *a)), 'mean of softmax'),
    'mean of softmax: covariance for its root': (partial(
        changed, laplace, 'mean_softmax', lambda f, mean, covariance, *a: f(mean, covariance @ covariance, *a)),
        'mean of softmax'),
    'mean of softmax: one point for all classes': (partial(changed, laplace, '_normal_points', lambda f, *a: (
        numpy.repeat(f(*a)[:, :1], f(*a).shape[1], 1))), 'mean of softmax'),
    'mean of softmax: no mirror': (partial(changed, laplace, '_normal_points', lambda f, *a: (
        numpy.concatenate([f(*a)[:len(f(*a)) // 2]] * 2) + .01)), 'mean of softmax'),
}
OWNERS = laplace, laplace._logistic, laplace._softmax, laplace._Laplace
