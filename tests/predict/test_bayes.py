"""Evidence, leaving one out, ridges and samples against definitions, scikit-learn, refits, and 50 digits.

The definitions: densities of scipy.stats, conditional distributions by inverses written out, scipy.linalg.sqrtm.
"""
from collections import namedtuple

import autograd
import mpmath
import numpy as np
import pytest
from kinds import to_kind, to_numpy
from problems import GOLDEN, GOLDEN_TOL, K_ST, K_TT, Y
from scipy.linalg import sqrtm
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from ntref.arrays import namespace
from ntref.predict import (
    Gaussian, LeaveOneOut, NotPSDError, RidgeSweep, gp_inference, leave_one_out, log_marginal_likelihood, ridge_sweep,
    sample)
from ntref.predict.sampling import root

Kernels = namedtuple('Kernels', 'nngp ntk')


def assert_close(actual, expected, tol):
    """Same shape, and no entry further off than `tol` times the largest (or `tol`, if that is below 1)."""
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tol * max(1, np.abs(expected).max(initial=0.)))


def positive(rng, n, condition=1e3):
    """A positive definite matrix."""
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    k = q * np.geomspace(3., 3. / condition, n) @ q.T
    return (k + k.T) / 2


def in_pairs(matrix, rows, columns=None):
    """(n c, m c) -> (n, m, c, c)."""
    columns = columns or rows
    a = matrix.reshape(rows + columns)
    r = len(rows)
    return a.transpose([axis for i in range(r) for axis in (i, r + i)])


SHAPES = (((4,), (-1,)), ((4, 3), (-1,)), ((4, 3), ()), ((4, 2, 3), (-1,)), ((4, 2, 3), (1,)), ((4, 2, 3), ()),
          ((4, 2, 3), (1, -1)), ((4, 1), ()))
shapes = pytest.mark.parametrize('shape, trace_axes', SHAPES, ids=str)


def shaped(rng, shape, trace_axes):
    """(kernel, its matrix, targets, columns of the targets (n c, o), rows (n, c)) for targets of one shape."""
    traced = [] if len(shape) == 1 else [a % len(shape) for a in trace_axes]
    kept = [a for a in range(len(shape)) if a not in traced]
    rows, y = tuple(shape[a] for a in kept), rng.standard_normal(shape)
    matrix = positive(rng, int(np.prod(rows)))
    return in_pairs(matrix, rows), matrix, y, y.transpose(kept + traced).reshape(len(matrix), -1), rows


def density(y, cov, mean=None):
    """log N(y; mean, cov) of columns, by SciPy."""
    mean = np.zeros(len(y)) if mean is None else mean
    return multivariate_normal(mean, cov).logpdf(y.T).sum()


# ------------------------------------------------------------------ marginal likelihood

@shapes
@pytest.mark.parametrize('reg, absolute', ((0., False), (.3, False), (.3, True)))
def test_evidence_is_the_density_of_the_targets(rng, shape, trace_axes, reg, absolute):
    k, matrix, y, columns, _ = shaped(rng, shape, trace_axes)
    a = matrix + reg * (1 if absolute else np.trace(matrix) / len(matrix)) * np.eye(len(matrix))
    got = log_marginal_likelihood(k, y, reg, absolute, trace_axes)
    assert_close(got, sum(density(column[:, None], a) for column in columns.T), 1e-12)


def test_traced_axes_are_independent_outputs(rng):
    """The kernel that is the identity on them, written out."""
    k, y = positive(rng, 4), rng.standard_normal((4, 3))
    full = np.einsum('nm,cd->nmcd', k, np.eye(3))
    assert_close(log_marginal_likelihood(k, y, .2), log_marginal_likelihood(full, y, .2, trace_axes=()), 1e-13)
    both = log_marginal_likelihood(np.array(2.), y, trace_axes=(0, 1))
    assert_close(both, sum(density(np.array([[v]]), np.array([[2.]])) for v in y.ravel()), 1e-14)


def test_which_kernel(rng):
    k, y = Kernels(positive(rng, 4), positive(rng, 4)), rng.standard_normal((4, 2))
    for get, name in (('nngp', 'nngp'), ('NNGP', 'nngp'), ('ntkgp', 'ntk'), ('NTKGP', 'ntk')):
        one = getattr(k, name)
        assert log_marginal_likelihood(k, y, .1, get=get) == log_marginal_likelihood(one, y, .1, get=get)
        assert np.array_equal(leave_one_out(k, y, .1, get=get).mean, leave_one_out(one, y, .1).mean)
        sweep = ridge_sweep(k, y, [.1], k, get=get)
        assert np.array_equal(sweep.mean, ridge_sweep(one, y, [.1], one).mean)
    assert log_marginal_likelihood(k, y) != log_marginal_likelihood(k, y, get='ntkgp')


class Given(kernels.Kernel):
    """scikit-learn's kernel on the numbers of the inputs, out of a matrix."""

    def __init__(self, k=None):
        self.k = k

    def __call__(self, X, Y=None, eval_gradient=False):
        rows, columns = (a[:, 0].astype(int) for a in (X, X if Y is None else Y))
        k = self.k[np.ix_(rows, columns)]
        return (k, np.zeros((*k.shape, 0))) if eval_gradient else k

    def diag(self, X):
        return np.diagonal(self(X))

    def is_stationary(self):
        return False


@pytest.mark.parametrize('o', (1, 3))
def test_against_scikit_learn(rng, o):
    n, noise = 30, .05
    x = rng.standard_normal((n, 3))
    k, y = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2), rng.standard_normal((n, o))
    gp = GaussianProcessRegressor(Given(k), alpha=noise, optimizer=None).fit(np.arange(n)[:, None], y)
    got = log_marginal_likelihood(k, y, noise, diag_reg_absolute_scale=True)
    assert_close(got, gp.log_marginal_likelihood_value_, 1e-12)
    mean, cov = gp_inference(k, y, noise, True)('nngp', k[:4], k[:4, :4])
    theirs, their_cov = gp.predict(np.arange(4)[:, None], return_cov=True)
    assert_close(mean, theirs.reshape(4, o), 1e-12)
    assert_close(cov, their_cov.reshape(4, 4, -1)[..., 0], 1e-12)
    sweep = ridge_sweep(k, y, [noise, 1.], k[:4], diag_reg_absolute_scale=True)
    assert_close(sweep.log_marginal_likelihood[0], gp.log_marginal_likelihood_value_, 1e-12)


def test_by_hand():
    # A = diag(1, 4) + 1 * 5/2: 3.5 and 6.5
    k, y = np.diag([1., 4.]), np.array([[1.], [2.]])
    wanted = -(1 / 3.5 + 4 / 6.5 + np.log(3.5 * 6.5)) / 2 - np.log(2 * np.pi)
    assert_close(log_marginal_likelihood(k, y, 1.), wanted, 1e-15)
    loo = leave_one_out(k, y, 1.)
    assert np.abs(loo.mean).max() < 1e-15
    assert_close(loo.variance, [3.5, 6.5], 1e-15)
    assert_close(loo.log_density.sum(), wanted, 1e-15)
    # y_1 given y_2: 1/2 y_2, variance 2 - 1/2
    loo = leave_one_out(np.array([[2., 1.], [1., 2.]]), np.array([1., 3.]))
    assert_close(loo.mean, [1.5, .5], 1e-15)
    assert_close(loo.log_density[1], -(3 - .5) ** 2 / 3 - np.log(2 * np.pi * 1.5) / 2, 1e-15)


def test_chain_rule(rng):
    """log p(y) is the sum of log p(y_i | y_1 ... y_i-1), the last of which leaving one out has."""
    k, y = positive(rng, 6), rng.standard_normal((6, 2))
    parts = [leave_one_out(k[:n, :n], y[:n]).log_density[-1] for n in range(1, 7)]
    assert_close(log_marginal_likelihood(k, y), sum(parts), 1e-12)


# ------------------------------------------------------------------ leaving one out

def conditional(a, y, i):
    """Mean, covariance and log density of the rows i of y given the others."""
    i, rest = np.flatnonzero(i), np.flatnonzero(~i)
    weights = a[np.ix_(i, rest)] @ np.linalg.inv(a[np.ix_(rest, rest)])
    mean, cov = weights @ y[rest], a[np.ix_(i, i)] - weights @ a[np.ix_(rest, i)]
    return mean, cov, sum(density(y[i, o:o + 1], cov, mean[:, o]) for o in range(y.shape[1]))


@shapes
@pytest.mark.parametrize('reg, absolute', ((0., False), (.3, False), (.3, True)))
def test_leaving_one_out_is_refitting(rng, shape, trace_axes, reg, absolute):
    k, matrix, y, columns, rows = shaped(rng, shape, trace_axes)
    a = matrix + reg * (1 if absolute else np.trace(matrix) / len(matrix)) * np.eye(len(matrix))
    loo = leave_one_out(k, y, reg, absolute, trace_axes)
    n, c = rows[0], len(matrix) // rows[0]
    assert loo.mean.shape == shape and loo.log_density.shape == (n,)
    means, refits = np.empty_like(columns), []
    for m in range(n):
        i = np.repeat(np.arange(n) == m, c)
        means[i], cov, one = conditional(a, columns, i)
        refits.append((in_pairs(cov, rows[1:]) if c > 1 or len(rows) > 1 else cov[0, 0], one))
    traced = [] if len(shape) == 1 else sorted(a % len(shape) for a in trace_axes)
    kept = [a for a in range(len(shape)) if a not in traced]
    assert_close(loo.mean.transpose(kept + traced).reshape(means.shape), means, 1e-12)
    assert_close(loo.variance, np.array([cov for cov, _ in refits]), 1e-12)
    assert_close(loo.log_density, np.array([one for _, one in refits]), 1e-11)


def test_leaving_one_out_is_inference_from_the_others(rng):
    """By gp_inference: the kernel of the others, the same noise, and the noise of the one left out."""
    k, y, noise = positive(rng, 7), rng.standard_normal((7, 2)), .2
    loo = leave_one_out(k, y, noise, True)
    for i in range(7):
        rest = np.arange(7) != i
        predict_fn = gp_inference(k[np.ix_(rest, rest)], y[rest], noise, True)
        mean, cov = predict_fn('nngp', k[i:i + 1, rest], k[i:i + 1, i:i + 1])
        assert_close(loo.mean[i], mean[0], 1e-12)
        assert_close(loo.variance[i], cov[0, 0] + noise, 1e-12)


def test_outputs_that_depend_on_each_other_are_left_out_together(rng):
    """With the other output of an input at hand the prediction would be another, and better."""
    k = in_pairs(np.kron(np.eye(3), np.array([[1., .99], [.99, 1.]])), (3, 2))
    y = np.array([[1., 1.], [2., 2.], [3., 3.]])
    loo = leave_one_out(k, y, trace_axes=())
    assert_close(loo.mean, np.zeros((3, 2)), 1e-13)                 # inputs know nothing of each other
    assert_close(loo.variance, np.array([[[1., .99], [.99, 1.]]] * 3), 1e-13)


def test_one_input_alone_is_predicted_by_the_prior():
    loo = leave_one_out(np.array([[2.]]), np.array([[3., 1.]]), .5)
    assert_close(loo.mean, np.zeros((1, 2)), 1e-15)
    assert_close(loo.variance, [3.], 1e-15)
    assert_close(loo.log_density, [log_marginal_likelihood(np.array([[2.]]), np.array([[3., 1.]]), .5)], 1e-15)


# ------------------------------------------------------------------ many ridges

@shapes
@pytest.mark.parametrize('absolute', (False, True))
def test_a_sweep_is_the_single_functions(rng, shape, trace_axes, absolute):
    k, matrix, y, columns, rows = shaped(rng, shape, trace_axes)
    test = in_pairs(rng.standard_normal((2 * len(matrix) // rows[0], len(matrix))), (2, *rows[1:]), rows)
    regs = [0., .01, 1., np.float64(30.)]
    sweep = ridge_sweep(k, y, regs, test, absolute, trace_axes)
    assert isinstance(sweep, RidgeSweep) and sweep.diag_reg == regs
    for i, reg in enumerate(regs):
        options = reg, absolute, trace_axes
        assert_close(sweep.mean[i], gp_inference(k, y, *options)('nngp', test), 1e-11)
        loo = leave_one_out(k, y, *options)
        for got, one in zip(sweep.leave_one_out, loo, strict=True):
            assert_close(got[i], one, 1e-11)
        assert_close(sweep.log_marginal_likelihood[i], log_marginal_likelihood(k, y, *options), 1e-11)
    assert ridge_sweep(k, y, regs, None, absolute, trace_axes).mean is None


def test_a_sweep_factors_once(rng, monkeypatch):
    made, xp = [], namespace(np.eye(1))
    for name in ('cholesky', 'eigh'):
        def counting(a, name=name, original=getattr(xp, name)):
            made.append(name)
            return original(a)
        monkeypatch.setattr(xp, name, counting)
    k, y = positive(rng, 6), rng.standard_normal(6)
    ridge_sweep(k, y, np.geomspace(1e-3, 10, 20), k)
    assert made == ['eigh']
    leave_one_out(k, y)
    assert made == ['eigh', 'cholesky']


def test_a_sweep_takes_ridges_that_mend(rng):
    """What is not positive without a ridge is refused without, and taken with one that mends it."""
    k = positive(rng, 5)
    w, v = np.linalg.eigh(k)
    k = k - v[:, :1] * (w[0] + .25) @ v[:, :1].T
    y = rng.standard_normal(5)
    with pytest.raises(NotPSDError):
        ridge_sweep(k, y, [1., .1], None, True)
    sweep = ridge_sweep(k, y, [1., .5], None, True)
    assert_close(sweep.log_marginal_likelihood, [density(y[:, None], k + r * np.eye(5)) for r in (1., .5)], 1e-12)


def test_a_sweep_against_nt():
    for get, theirs in ('nngp', 'nngp'), ('ntkgp', 'ntk'):
        mean = ridge_sweep(K_TT, Y, [1., 1e-3], K_ST, get=get).mean[1]
        assert_close(mean, GOLDEN[f'gp/{theirs}/mean'], GOLDEN_TOL)


# ------------------------------------------------------------------ singular, nearly singular

def twice(rng):
    """A kernel whose first input is there twice."""
    k = positive(rng, 4)
    order = [0, 0, 1, 2, 3]
    return k[np.ix_(order, order)]


@pytest.mark.parametrize('function', (
    log_marginal_likelihood, leave_one_out, lambda k, y, reg=0., absolute=False: ridge_sweep(
        k, y, [1., reg], None, absolute)), ids=('evidence', 'leave one out', 'sweep'))
def test_an_input_twice_without_noise_has_no_density(rng, function):
    k, y = twice(rng), rng.standard_normal(5)
    with pytest.raises(ValueError, match=r'1 of 5 eigenvalues that are zero .* log\|A\| is minus infinity') as error:
        function(k, y)
    assert not isinstance(error.value, NotPSDError) and 'absolute_scale' not in str(error.value)
    advised = float(str(error.value).partition('diag_reg=')[2].partition('Pass diag_reg=')[2].split()[0])
    for absolute in (False, True):
        function(k, y, advised, absolute)
        function(k, y, .1, absolute)
    with pytest.raises(ValueError, match='4 of 4 eigenvalues .* diag_reg_absolute_scale=True'):
        function(np.zeros((4, 4)), np.ones(4), 0., False)
    with pytest.raises(ValueError, match='4 of 4 eigenvalues .* with diag_reg='):
        function(np.zeros((4, 4)), np.ones(4), .1, False)
    with pytest.raises(NotPSDError):
        function(-np.eye(4), np.ones(4))


@pytest.mark.parametrize('scale', [2. ** -1000, 2. ** -600, 2. ** 600, 2. ** 1000])
def test_numbers_whose_squares_are_out_of_range(rng, scale):
    """As of deep networks far from criticality: targets c y with a kernel c^2 K are y with K, in other units."""
    k, y, c = positive(rng, 5, 10.), rng.standard_normal((5, 2)), scale ** .5
    value = log_marginal_likelihood(k * scale, y * c, .1)
    assert value + y.size * np.log(c) == pytest.approx(log_marginal_likelihood(k, y, .1), abs=2e-12)
    assert_close(leave_one_out(k * scale, y * c).mean / c, leave_one_out(k, y).mean, 1e-13)
    sweep = ridge_sweep(k * scale, y * c, [0., .1], k * scale)
    assert_close(sweep.mean / c, ridge_sweep(k, y, [0., .1], k).mean, 1e-13)
    assert_close(sample(Gaussian(y * c, k * scale), 3, 0) / c, sample(Gaussian(y, k), 3, 0), 1e-13)
    with pytest.raises(ValueError, match='expected a symmetric kernel'):
        log_marginal_likelihood((k + np.triu(k)) * scale, y * c)
    with pytest.raises(ValueError, match='zero to rounding'):
        log_marginal_likelihood(np.ones((5, 5)) * scale, y * c)


def test_a_density_out_of_range():
    y = np.array([0., 1e155, 0.])
    with np.errstate(over='ignore'), pytest.raises(ValueError, match='got -inf: y.T A.-1 y is out of range'):
        log_marginal_likelihood(np.eye(3), np.full(3, 1e200))
    for call in (lambda: leave_one_out(np.eye(3), y), lambda: ridge_sweep(np.eye(3), y, [.1])):
        with np.errstate(over='ignore'), pytest.raises(ValueError, match='finite log density, got -inf'):
            call()


def test_no_covariance_at_all_is_noise():
    y = np.array([1., 2., -1.])
    assert_close(log_marginal_likelihood(np.zeros((3, 3)), y, .5, True), density(y[:, None], .5 * np.eye(3)), 1e-15)
    loo = leave_one_out(np.zeros((3, 3)), y, .5, True)
    assert_close(loo.mean, 0 * y, 1e-15)
    assert_close(loo.variance, np.full(3, .5), 1e-15)


def test_an_input_twice_with_noise(rng):
    k, y = twice(rng), rng.standard_normal((5, 2))
    for noise in (1e-2, 1e-6):
        with mpmath.workdps(50):
            a = mpmath.matrix(k.tolist()) + noise * mpmath.eye(5)
            q = mpmath.matrix(y.tolist()).T * a ** -1 * mpmath.matrix(y.tolist())
            wanted = -(q[0, 0] + q[1, 1]) / 2 - mpmath.log(mpmath.det(a)) - 5 * mpmath.log(2 * mpmath.pi)
        assert abs(log_marginal_likelihood(k, y, noise, True) / wanted - 1) < 40 * 2.2e-16 * 3 / noise
        assert abs(ridge_sweep(k, y, [noise], None, True).log_marginal_likelihood[0] / wanted - 1) < 1e-15 * 40 / noise


@pytest.mark.parametrize('condition', (1e2, 1e5, 1e9))
def test_accuracy_stated(rng, condition):
    """Docstrings, against 50 digits: eps cond(A)."""
    n, eps = 12, 2. ** -52
    k, y = positive(rng, n, condition), rng.standard_normal((n, 2))
    with mpmath.workdps(50):
        a, targets = mpmath.matrix(k.tolist()), mpmath.matrix(y.tolist())
        inverse = a ** -1
        alpha = inverse * targets
        fit = float(sum((targets.T * alpha)[o, o] for o in (0, 1)) / 2)
        wanted = -fit - mpmath.log(mpmath.det(a)) - n * mpmath.log(2 * mpmath.pi)
        mean = [[float(y[i, o] - alpha[i, o] / inverse[i, i]) for o in (0, 1)] for i in range(n)]
        variance = [float(1 / inverse[i, i]) for i in range(n)]
    for got in log_marginal_likelihood(k, y), ridge_sweep(k, y, [0.]).log_marginal_likelihood[0]:
        assert abs(got - wanted) < eps * condition * (fit + 2)
    loo = leave_one_out(k, y)
    assert np.abs(loo.mean - mean).max() < eps * condition * max(np.abs(y).max(), np.abs(mean).max())
    assert np.abs(loo.variance / variance - 1).max() < eps * condition
    c = root(k, 1e-12)
    assert np.abs(c @ c - k).max() < 10 * eps * 3


# ------------------------------------------------------------------ kinds, precisions

def test_kinds_agree(rng, kind):
    def run(to, shape, trace_axes):
        k, _, y, *_ = shaped(np.random.default_rng(3), shape, trace_axes)
        k, y = to(k), to(y)
        sweep = ridge_sweep(k, y, [.1, 2.], k, trace_axes=trace_axes)
        c = gp_inference(k, y, .3, trace_axes=trace_axes)('nngp', k, k)
        return [log_marginal_likelihood(k, y, .1, trace_axes=trace_axes), *leave_one_out(k, y, trace_axes=trace_axes),
                sweep.mean, *sweep.leave_one_out, sweep.log_marginal_likelihood, sample(c, 3, 1, trace_axes)]
    tol = 3e-3 if kind == 'float32' else 1e-11
    for case in SHAPES:
        for a, b in zip(run(lambda a: to_kind(kind, a), *case), run(np.asarray, *case), strict=True):
            a = to_numpy(a)
            assert a.dtype == ('float32' if kind == 'float32' else 'float64')
            assert_close(a, b, tol)


def test_single_precision_is_computed_in_double(rng):
    k, y = positive(rng, 6).astype('float32'), rng.standard_normal((6, 2)).astype('float32')
    double = k.astype(float), y.astype(float)
    assert log_marginal_likelihood(k, y) == np.float32(log_marginal_likelihood(*double))
    for one, two in zip(leave_one_out(k, y, .1), leave_one_out(*double, .1)):
        assert np.array_equal(one, two.astype('float32'))
    assert log_marginal_likelihood(k, double[1]).dtype == 'float64'
    sweep = ridge_sweep(k, y, [.1], k)
    assert all(a.dtype == 'float32' for a in (sweep.mean, *sweep.leave_one_out, sweep.log_marginal_likelihood))
    with pytest.raises(ValueError, match='zero to rounding'):                     # of float32, not of float64
        log_marginal_likelihood(positive(rng, 6, 1e8).astype('float32'), y)


def test_thirty_digits(rng):
    k, y = positive(rng, 3), rng.standard_normal((3, 2))
    with mpmath.workdps(40):
        exact = to_kind('mpmath', k), to_kind('mpmath', y)
        reg = mpmath.mpf(1) / 3
        trace = exact[0][0, 0] + exact[0][1, 1] + exact[0][2, 2]
        a = mpmath.matrix(exact[0].tolist()) + reg * trace / 3 * mpmath.eye(3)
        inverse, targets = a ** -1, mpmath.matrix(exact[1].tolist())
        q = targets.T * inverse * targets
        wanted = -(q[0, 0] + q[1, 1]) / 2 - mpmath.log(mpmath.det(a)) - 3 * mpmath.log(2 * mpmath.pi)
        alpha = inverse * targets
        for got in log_marginal_likelihood(*exact, reg), ridge_sweep(*exact, [reg]).log_marginal_likelihood[0]:
            assert 0 <= abs(got - wanted) < 1e-36
        for loo in leave_one_out(*exact, reg), LeaveOneOut(*(f[0] for f in ridge_sweep(*exact, [reg]).leave_one_out)):
            for i in range(3):
                v = 1 / inverse[i, i]
                assert abs(loo.variance[i] - v) < 1e-36
                assert max(abs(loo.mean[i, o] - targets[i, o] + v * alpha[i, o]) for o in (0, 1)) < 1e-36
                fit = (alpha[i, 0] ** 2 + alpha[i, 1] ** 2) * v / 2
                assert abs(loo.log_density[i] + fit + mpmath.log(2 * mpmath.pi * v)) < 1e-36


def test_derivatives(rng):
    """By autograd, of all that is given: dL/dK = (alpha alpha^T - o A^-1)/2."""
    k, y = positive(rng, 5), rng.standard_normal((5, 2))
    inverse = np.linalg.inv(k + .2 * np.eye(5))
    alpha = inverse @ y

    def f(k, y, reg):
        return log_marginal_likelihood(k, y, reg, True)
    assert_close(autograd.grad(f, 1)(k, y, .2), -alpha, 1e-12)
    by_k, by_reg = autograd.grad(f)(k, y, .2), autograd.grad(f, 2)(k, y, .2)
    assert_close(by_k, (alpha @ alpha.T - 2 * inverse) / 2, 1e-11)
    assert_close(by_reg, np.trace(by_k), 1e-12)
    h = 1e-4
    for g in (lambda reg: leave_one_out(k, y, reg).log_density.sum(),
              lambda reg: ridge_sweep(k, y, [reg]).log_marginal_likelihood[0]):
        difference = (8 * (g(.2 + h) - g(.2 - h)) - g(.2 + 2 * h) + g(.2 - 2 * h)) / (12 * h)
        assert_close(autograd.grad(g)(.2), difference, 1e-9)


# ------------------------------------------------------------------ samples

@shapes
def test_a_sample_is_the_mean_and_the_root_times_normal_numbers(rng, shape, trace_axes):
    k, matrix, mean, columns, rows = shaped(rng, shape, trace_axes)
    draws = sample(Gaussian(mean, k), 3, 7, trace_axes)
    z = np.random.default_rng(7).standard_normal((3, *columns.shape))
    traced = [] if len(shape) == 1 else sorted(a % len(shape) for a in trace_axes)
    kept = [a for a in range(len(shape)) if a not in traced]
    wanted = columns + np.real(sqrtm(matrix)) @ z
    assert_close(draws.transpose(0, *(1 + a for a in kept + traced)).reshape(wanted.shape), wanted, 1e-12)
    assert np.array_equal(draws[:2], sample((mean, k), 2, np.random.default_rng(7), trace_axes))
    assert sample(Gaussian(mean, k), 0, 7, trace_axes).shape == (0, *shape)


def test_moments_of_samples(rng):
    n, m = 20000, 4
    c, mean = positive(rng, m, 30.), rng.standard_normal((m, 2))
    d = sample(Gaussian(mean, c), n, 5) - mean
    assert (np.abs(d.mean(0)) < 4.5 * np.sqrt(np.diagonal(c) / n)[:, None]).all()
    found = np.einsum('nio,njp->ijop', d, d) / n
    expected = np.einsum('ij,op->ijop', c, np.eye(2))
    error = np.sqrt((np.einsum('ii,jj->ij', c, c)[..., None, None] + expected ** 2) / n)
    assert (np.abs(found - expected) < 4.5 * error).all()
    assert np.abs(found - expected).max() > 1e-4


def test_a_covariance_of_low_rank(rng):
    """Exactly: a draw lies in the range of C, without noise beyond the root of rounding."""
    a = rng.standard_normal((6, 2))
    draws = sample(Gaussian(np.zeros(6), a @ a.T), 50, 0)
    q, _ = np.linalg.qr(a)
    assert np.abs(draws - draws @ q @ q.T).max() < 1e-6 * np.abs(draws).max()
    assert np.linalg.matrix_rank(draws, 1e-5) == 2
    zero = sample(Gaussian(np.arange(3.), np.zeros((3, 3))), 2, 0)
    assert np.array_equal(zero, [[0., 1., 2.]] * 2)
    assert_close(sample(Gaussian(np.zeros(1), np.array([[4.]])), 1, 3),
                 2 * np.random.default_rng(3).standard_normal((1, 1)), 1e-15)


def test_posterior_on_training_points_needs_the_prior(rng):
    x = np.concatenate([rng.standard_normal((8, 2)), rng.standard_normal((2, 2))])
    k = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2) + .1
    y = rng.standard_normal(8)
    known, both = slice(8), slice(10)
    predict_fn = gp_inference(k[known, known], y, 0.)
    posterior = predict_fn('nngp', k[both, known], k)
    draws = sample(posterior, 20, 0, prior=k)
    assert np.abs(draws[:, :8] - y).max() < 1e-4 < 1e-2 < draws[:, 8:].std(0).min()
    rounding = Gaussian(np.zeros(2), np.diag([1e-17, -3e-17]))
    with pytest.raises(NotPSDError, match='-3e-17 as its smallest eigenvalue.*pass prior=k_test_test') as error:
        sample(rounding, 1, 0)
    assert error.value.smallest == -3e-17 and error.value.diag_reg is None
    assert np.abs(sample(rounding, 9, 0, prior=np.eye(2))).max() < 1e-7
    with pytest.raises(NotPSDError):
        sample(Gaussian(np.zeros(2), np.diag([1., -1e-9])), 1, 0, prior=np.eye(2))


def test_prior_and_posterior_of_a_network(rng):
    """Posterior = prior draws of train and test together, those whose training part comes near the targets."""
    k, y = np.array([[1., .6, .2], [.6, 1., .5], [.2, .5, 1.]]), np.array([.8, -.3])
    prior = sample(Gaussian(np.zeros(3), k), 400000, 1)
    near = prior[np.abs(prior[:, :2] - y).max(1) < .1, 2]
    mean, cov = gp_inference(k[:2, :2], y)('nngp', k[2:, :2], k[2:, 2:])
    draws = sample(Gaussian(mean, cov), 20000, 2)[:, 0]
    for a in near, draws:
        assert abs(a.mean() - mean[0]) < 4.5 * (cov[0, 0] / len(a)) ** .5 + .002
        assert abs(a.var() / cov[0, 0] - 1) < 4.5 * (2 / len(a)) ** .5 + .005
    assert len(near) > 1000


# ------------------------------------------------------------------ errors

K3, Y3 = np.eye(3) + .1, np.ones((3, 2))
evidence, loo = log_marginal_likelihood, leave_one_out


@pytest.mark.parametrize('call, error, message', (
    (lambda: evidence(K3, Y3, -1.), ValueError, 'expected diag_reg >= 0, got -1.0'),
    (lambda: evidence(K3, Y3, get='ntk'), ValueError, "expected get to be 'nngp', or 'ntkgp' .* got 'ntk'"),
    (lambda: loo(K3, Y3, get=None), ValueError, 'got None'),
    (lambda: evidence(K3, Y3, get=['nngp']), ValueError, r"got \['nngp'\]"),
    (lambda: evidence(K3, Y3, .1, (-1,)), TypeError, r'absolute_scale is expected to be True or False, got \(-1,\)'),
    (lambda: ridge_sweep(K3, Y3, [.1], None, K3), TypeError, 'absolute_scale is expected to be True or False'),
    (lambda: ridge_sweep(K3, Y3, .1), TypeError, r'several numbers as diag_regs, got 0.1. For one write \[0.1\]'),
    (lambda: sample(Gaussian(Y3[:, 0], K3), 1, 0, K3), TypeError, 'trace_axes to be a whole number or a tuple'),
    (lambda: loo(Kernels(K3, None), Y3, get='ntkgp'), ValueError, 'k_train_train to be an array or .* attribute ntk'),
    (lambda: evidence(K3, np.ones((4, 2))), ValueError, r'has shape \(3, 3\), expected \(4, 4\)'),
    (lambda: evidence(K3, Y3, trace_axes=()), ValueError, r'expected \(3, 3, 2, 2\)'),
    (lambda: evidence(K3 * np.nan, Y3), ValueError, 'got k_train_train .* 9 NaN'),
    (lambda: evidence(K3, Y3 * np.nan), ValueError, 'got y_train .* 6 NaN'),
    (lambda: evidence(K3, np.ones((3, 0))), ValueError, 'at least one target'),
    (lambda: evidence(np.triu(K3), Y3), ValueError, 'expected a symmetric kernel'),
    (lambda: evidence(K3.tolist(), Y3), ValueError, 'expected k_train_train to be an array .* got list'),
    (lambda: evidence(K3, Y3.tolist()), TypeError, 'expected an array'),
    (lambda: loo(np.eye(2), Y3, trace_axes=(0,)), ValueError, 'expected the inputs on axis 0 of y_train'),
    (lambda: ridge_sweep(K3, Y3, []), ValueError, 'at least one number in diag_regs'),
    (lambda: ridge_sweep(K3, Y3, [.1, -.1]), ValueError, 'expected diag_regs >= 0, got -0.1'),
    (lambda: ridge_sweep(K3, Y3, [.1], np.ones((2, 4))), ValueError, r'k_test_train has shape \(2, 4\)'),
    (lambda: ridge_sweep(K3, Y3, [np.nan]), ValueError, 'diag_regs is expected to be finite'),
    (lambda: sample(Gaussian(Y3, K3), -1, 0), ValueError, 'number is expected to be a whole number >= 0'),
    (lambda: sample(Gaussian(Y3, np.eye(2)), 1, 0), ValueError,
     r'covariance has shape \(2, 2\), expected \(3, 3\) to match mean of shape \(3, 2\)'),
    (lambda: sample(Gaussian(np.stack([Y3, Y3]), np.stack([K3, K3])), 1, 0), ValueError, 'covariance has shape'),
    (lambda: sample(Gaussian(Y3, K3 * np.inf), 1, 0), ValueError, 'got covariance .* 9 NaN or infinite'),
    (lambda: sample(Gaussian(Y3, np.triu(K3)), 1, 0), ValueError, 'expected a symmetric covariance, got one of shape'),
    (lambda: sample(Gaussian(Y3, -K3), 1, 0), NotPSDError, 'expected a positive semi-definite covariance, got -1.3'),
    (lambda: sample(Gaussian(Y3, K3), 1, 0, prior=np.eye(2)), ValueError, r'prior has shape \(2, 2\), expected \(3, 3'),
    (lambda: sample(Gaussian(Y3, K3), 1, 0, (5,)), ValueError, 'trace_axes between -2 and 1 for mean'),
    (lambda: sample(Gaussian(0., K3), 1, 0), TypeError, 'expected an array'),
))
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_inputs_are_left_alone(rng):
    k, y = positive(rng, 4), rng.standard_normal((4, 2))
    before = k.copy(), y.copy()
    log_marginal_likelihood(k, y, .1)
    leave_one_out(k, y, .1)
    ridge_sweep(k, y, [0., .1], k)
    sample((y, k), 2, 0, prior=k)
    assert np.array_equal(k, before[0]) and np.array_equal(y, before[1])
