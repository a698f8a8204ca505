"""Predictions on balls, by definition: no eigenvectors, no Cholesky factors, no formula of `ntref.predict`.

    trained           E = exp(-A tau) and G = the integral of exp(-A s) for s from 0 to tau, from one exponential
    infinite time     E = 0 and G = A^-1; A is proved to be positive definite
    steps             powers of the matrix of one step
    leaving one out   the posterior from the others, input by input

Capitals are `flint.arb_mat`. Shapes, and which axes the kernel has, are those of `ntref.predict.layout`.
"""
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from ..arrays import load
from ..balls import Ball, ball, flint
from ..predict.layout import Layout, kernel_matrix
from .ball_matrices import array, decay_and_growth, largest_eigenvalue, log_determinant, matrix, pivots, power, solved

__all__ = ['PROVED', 'Kernels']


class Kernels(NamedTuple):
    """Kernels of training inputs, of test and training inputs, of test inputs: {name: array}, or None."""

    train: Any
    cross: Any
    test: Any


class Fit:
    """Targets y, and A = K + diag_reg s of the training inputs, with s the mean of the diagonal, or 1."""

    def __init__(self, kernel: Any, y: Any, options: Mapping[str, Any]):
        self.layout = Layout(y, options['trace_axes'], kernel)
        self.y = self.layout.columns(y)
        self.Y = matrix(self.y)
        k = symmetric(kernel_matrix(kernel))
        scale = 1 if options['diag_reg_absolute_scale'] else sum(k.diagonal()) / len(k)
        self.a = k + options['diag_reg'] * scale * load('flint').eye(len(k))
        self.A = matrix(self.a)

    def flow(self, tau: Any) -> tuple[Any, Any]:
        """Return E and G."""
        if tau is not None:
            return decay_and_growth(self.A, tau.arb)
        check_positive(self.a)
        n = len(self.a)
        return flint().arb_mat(n, n), self.inverse()

    def inverse(self) -> Any:
        return solved(self.A, matrix(load('flint').eye(len(self.a))))

    def start(self, name: str, f0: Any, rows: Any) -> Any:
        return matrix(self.layout.initial(name, f0, rows, self.y))

    def outputs(self, found: Sequence, rows: Any, shape: tuple) -> Any:
        """Return matrices, one a time, as outputs of shape (times, outputs)."""
        return _at_times(found, shape, lambda m: self.layout.outputs(m, rows))

    def covariances(self, found: Sequence, rows: Any, shape: tuple) -> Any:
        return _at_times(found, shape, lambda m: self.layout.covariance(m, rows))


def _at_times(found, shape, arranged):
    a = arranged(numpy.stack([array(m) for m in found]))
    return a.reshape(shape + a.shape[1:])


def symmetric(k):
    """Return (k + k^T) / 2."""
    return (k + k.T) / 2


def check_positive(a, expected='a positive definite k_train_train + diag_reg'):
    """Raise ValueError if a matrix is proved not to be positive definite, Undecided if that is open."""
    for pivot in pivots(a):
        if not pivot > 0:
            raise ValueError(
                f'certify_predict: expected {expected}, got one that is not. Pass another, a larger diag_reg, or '
                'a finite time where there is one.')


def times(options, y):
    """Return tau = learning_rate t / y.size for each t, None for infinite time; and the shape of t."""
    t = numpy.asarray(options.get('t'), dtype=object)
    return [None if one is None else options['learning_rate'] * one / y.size for one in t.ravel()], t.shape


# ------------------------------------------------------------------ outputs, and their means and covariances

def gradient_descent_mse(kernels: Kernels, y: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return y + E (f_t(0) - y) and f_*(0) + K_*t G (y - f_t(0))."""
    fit = Fit(kernels.train['ntk'], y, options)
    taus, shape = times(options, y)
    return moved(kernels, fit, options, [fit.flow(tau) for tau in taus], shape)


def gradient_descent_mse_steps(kernels: Kernels, y: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same with E = 1 + A U and G = -U after steps of U: see `after_steps`."""
    fit = Fit(kernels.train['ntk'], y, options)
    m = options['momentum']
    s = options['learning_rate'] / y.size
    steps = numpy.asarray(options['steps'], dtype=object)
    if options['steps'] is None:
        one = load('flint').eye(len(fit.a))
        check_positive(one - fit.a * (s / edge(m, options['nesterov'])), 'a learning_rate below max_learning_rate')
        flows = [fit.flow(None)]
    else:
        flows = [after_steps(fit.a, s, m, options['nesterov'], int(k)) for k in steps.ravel()]
    return moved(kernels, fit, options, flows, steps.shape)


def after_steps(a, s, m, nesterov, k):
    """Return E and G after k steps C <- m C - s (1 + A U), U <- U + C; with Nesterov U + m C - s (1 + A U).

    A step is linear in (U, C, 1)."""
    n = len(a)
    one = load('flint').eye(n)
    none = 0 * one
    ahead = 1 + m if nesterov else 1
    kept = m * m if nesterov else m
    step = numpy.block([[one - ahead * s * a, kept * one, -ahead * s * one],
                        [-s * a, m * one, -s * one],
                        [none, none, one]])
    U = array(power(matrix(step), k))[:n, 2 * n:]
    return matrix(one) + matrix(a) * matrix(U), matrix(-U)


def edge(m, nesterov):
    """Return learning_rate lambda / N at the largest learning rate: 2 (1 + m), over 1 + 2 m with Nesterov."""
    return 2 * (1 + m) / (1 + 2 * m if nesterov else ball(1))


def moved(kernels, fit, options, flows, shape):
    """Return outputs for each of the `flows` (E, G), those that are asked for."""
    f0 = options['fx_train_0']
    R = fit.start('fx_train_0', 0. if f0 is None else f0, fit.layout.rows) - fit.Y
    found = {}
    if f0 is not None:
        found['fx_train'] = fit.outputs([fit.Y + E * R for E, _ in flows], fit.layout.rows, shape)
    if options['fx_test_0'] is not None:
        k, rows = fit.layout.test_matrix(kernels.cross['ntk'])
        F = fit.start('fx_test_0', options['fx_test_0'], rows)
        found['fx_test'] = fit.outputs([F - matrix(k) * (G * R) for _, G in flows], rows, shape)
    return found


def gaussians(kernels: Kernels, y: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return {'mean_ntk': ..., 'covariance_ntk': ...} for each of `get`, of test inputs, or of training inputs."""
    taus, shape = times(options, y)
    found = {}
    for get in options['get']:
        fit = Fit(kernels.train[kernel_of(get)], y, options)
        predicted = on_train if kernels.cross is None else on_test
        parts, rows = predicted(get, kernels, fit, taus, options['compute_cov'])
        means, covariances = zip(*parts)
        found[f'mean_{get}'] = fit.outputs(means, rows, shape)
        if options['compute_cov']:
            found[f'covariance_{get}'] = fit.covariances(covariances, rows, shape)
    return found


def kernel_of(get):
    """Return the name of the kernel by which the mean is predicted."""
    return 'nngp' if get == 'nngp' else 'ntk'


def on_train(get, kernels, fit, taus, has_covariance):
    """Return pairs of y - E y and E S E ('ntk') or A E E."""
    S = fit.A
    if has_covariance and get == 'ntk':
        S = matrix(symmetric(kernel_matrix(kernels.train['nngp'])))
    return [(fit.Y - E * fit.Y, E * S * E) for E, _ in map(fit.flow, taus)], fit.layout.rows


def on_test(get, kernels, fit, taus, has_covariance):
    """Return pairs of B y, B = K_*t G, and the covariance, or None."""
    k, rows = fit.layout.test_matrix(kernels.cross[kernel_of(get)])
    K = matrix(k)
    covariance = (of_ensemble if get == 'ntk' else of_process)(get, kernels, K) if has_covariance else _none
    return [(K * (G * fit.Y), covariance(E, G)) for E, G in map(fit.flow, taus)], rows


def _none(E, G):
    return None


def of_ensemble(get, kernels, K):
    """Return the function S_** - B S_t* - S_*t B^T + B S_tt B^T of E and G."""
    S_tt, S_st, S_ss = (matrix(kernel_matrix(k['nngp'])) for k in kernels)

    def covariance(E, G):
        B = K * G
        X = B * S_st.transpose()
        return S_ss - X - X.transpose() + B * S_tt * B.transpose()
    return covariance


def of_process(get, kernels, K):
    """Return the function K_** - K_*t (G + E G) K_t*; G + E G is the integral to 2 tau."""
    K_ss = matrix(kernel_matrix(kernels.test[kernel_of(get)]))
    return lambda E, G: K_ss - K * (G + E * G) * K.transpose()


# ------------------------------------------------------------------ densities, and the learning rate

def log_density(a, r):
    """Return log of the normal density of r, independent columns with covariance a: arrays of balls."""
    check_positive(a)
    n, o = r.shape
    R = matrix(r)
    fit = Ball((R.transpose() * solved(matrix(a), R)).trace())
    return -fit / 2 - o * log_determinant(a) / 2 - n * o * Ball((2 * flint().arb.pi()).log()) / 2


def log_marginal_likelihood(kernels: Kernels, y: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return log N(y; 0, A)."""
    fit = Fit(kernels.train[kernel_of(options['get'])], y, options)
    return {'log_marginal_likelihood': numpy.asarray(log_density(fit.a, fit.y), dtype=object)}


def leave_one_out(kernels: Kernels, y: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return mean A_ij A_jj^-1 y_j, variance A_ii - A_ij A_jj^-1 A_ji and log density of each y_i; j: all others."""
    fit = Fit(kernels.train[kernel_of(options['get'])], y, options)
    layout = fit.layout
    check_positive(fit.a)
    means = []
    variances = []
    densities = []
    for i in numpy.arange(len(fit.a)).reshape(layout.inputs(), -1):
        j = numpy.delete(numpy.arange(len(fit.a)), i)
        A = matrix(fit.a[numpy.ix_(i, j)])
        B = solved(matrix(fit.a[numpy.ix_(j, j)]), A.transpose()).transpose()
        mean = array(B * matrix(fit.y[j]))
        variance = fit.a[numpy.ix_(i, i)] - array(B * A.transpose())
        means.append(mean)
        variances.append(variance)
        densities.append(log_density(symmetric(variance), fit.y[i] - mean))
    mean = layout.outputs(numpy.concatenate(means), layout.rows)
    variance = layout.covariance(numpy.stack(variances), layout.rows[1:])
    return {'mean': mean, 'variance': variance, 'log_density': numpy.array(densities, dtype=object)}


def max_learning_rate(kernels: Kernels, y: None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return 2 (1 + m) N / (largest eigenvalue + eps), over 1 + 2 m with Nesterov's momentum."""
    k = symmetric(kernel_matrix(kernels.train['ntk']))
    size = len(k) if options['y_train_size'] is None else options['y_train_size']
    rate = edge(options['momentum'], options['nesterov']) * size / (largest_eigenvalue(k) + options['eps'])
    return {'max_learning_rate': numpy.asarray(rate, dtype=object)}


PROVED = {f.__name__: f for f in (
    gradient_descent_mse, gradient_descent_mse_steps, log_marginal_likelihood, leave_one_out, max_learning_rate)} | {
    'gradient_descent_mse_ensemble': gaussians, 'gp_inference': gaussians}
"""Name in `ntref.predict`: the same on balls."""
