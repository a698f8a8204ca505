"""What rounding of a kernel does to predictions, one rule for all of them: docs/theory/dynamics.md#rounding."""
import warnings

import mpmath
import numpy as np
import pytest

from ntref import stax
from ntref.predict import (
    Gaussian, NegativeVarianceError, NotPSDError, SingularKernelWarning, gp_inference, gp_inference_iterative,
    gradient_descent, gradient_descent_mse, gradient_descent_mse_ensemble, gradient_descent_mse_steps, leave_one_out,
    log_marginal_likelihood, ridge_sweep, sample)

NET = stax.serial(stax.Dense(1, 1.5, .05), stax.Erf(), stax.Dense(1, 1.5, .05))
X, X_TEST = np.linspace(-3, 3, 60)[:, None], np.linspace(-3.5, 3.5, 41)[:, None]
Y, BOTH = np.sin(X[:, 0]), ('nngp', 'ntk')


def kernels(dtype):
    x, x_test = X.astype(dtype), X_TEST.astype(dtype)
    return [NET.kernel_fn(*pair, BOTH) for pair in ((x, None), (x_test, x), (x_test, None))]


SINGLE, DOUBLE = kernels('float32'), kernels('float64')


def posteriors(k, reg, dtype):
    """All predictions at infinite time, as (name, Gaussian)."""
    y = Y.astype(dtype)
    found = gp_inference(k[0], y, reg)(('nngp', 'ntk', 'ntkgp'), *k[1:])
    yield from zip(found._fields, found)
    ensemble = gradient_descent_mse_ensemble(NET, X.astype(dtype), y, diag_reg=reg)
    for t in (None, np.inf):
        found = ensemble(t, X_TEST.astype(dtype), BOTH, True)
        yield from zip(found._fields, found)


def densities(k, reg, dtype):
    y = Y.astype(dtype)
    yield lambda: log_marginal_likelihood(k[0], y, reg)
    yield lambda: leave_one_out(k[0], y, reg)
    yield lambda: ridge_sweep(k[0], y, [.1, reg])


@pytest.mark.parametrize('reg', [1e-10, 1e-8, 1e-7, 1e-6])
def test_a_ridge_below_the_rounding_of_float32_is_refused_by_all(reg):
    """At 1e-6 of the mean variance, 14 of 41 variances came out negative, at 1e-8 40."""
    for get in ('nngp', 'ntk', 'ntkgp'):
        with pytest.raises(ValueError, match='diag_reg above the rounding .* or compute the kernel in float64'):
            gp_inference(SINGLE[0], Y.astype('f4'), reg)(get, *SINGLE[1:])
    for call in (lambda: gradient_descent_mse_ensemble(NET, X.astype('f4'), Y, diag_reg=reg)(1e9, None, 'ntk'),
                 lambda: gradient_descent_mse(SINGLE[0].ntk, Y, diag_reg=reg)(1.),
                 lambda: gradient_descent_mse_steps(SINGLE[0].ntk, Y, .1, diag_reg=reg)(5), *densities(
                     SINGLE, reg, 'f4')):
        with pytest.raises(ValueError, match='diag_reg above the rounding .* or compute the kernel in float64') as e:
            call()
    advised = float(str(e.value).partition('Pass diag_reg=')[2].split()[0])
    assert 1e-6 < advised < 1e-4
    for _, found in posteriors(SINGLE, advised, 'f4'):
        assert (np.diagonal(found.covariance) >= 0).all()


@pytest.mark.parametrize('reg', [3e-5, 1e-4, 1e-3, 1e-2])
def test_a_ridge_above_it_gives_what_float64_gives(reg):
    """To first order in the rounding E of entries: variances off by |E| (1 + |b|)^2, means by |E| (1 + |b|) |alpha|."""
    single, double = (list(posteriors(k, reg, dtype)) for k, dtype in ((SINGLE, 'f4'), (DOUBLE, 'f8')))
    bounds = {}
    for kernel in BOTH:
        k, k_test = (getattr(part, kernel) for part in DOUBLE[:2])
        a = k + reg * np.trace(k) / 60 * np.eye(60)
        b, alpha = np.linalg.norm(np.linalg.solve(a, k_test.T), axis=0).max(), np.linalg.solve(a, Y)
        rounding = 4 * np.finfo('f4').eps * np.linalg.norm(k) / 60 ** .5
        bounds[kernel] = rounding * (1 + b) * np.linalg.norm(alpha), rounding * (1 + b) ** 2
        if kernel == 'nngp':
            slope = np.linalg.norm(np.linalg.inv(a) - np.outer(alpha, alpha), 'nuc') / 2
            off = log_marginal_likelihood(SINGLE[0], Y, reg) - log_marginal_likelihood(k, Y, reg)
            assert abs(off) < rounding * slope
    for (name, a), (_, b) in zip(single, double, strict=True):
        mean, variance = bounds['ntk' if name == 'ntkgp' else name]
        v, w = np.diagonal(a.covariance), np.diagonal(b.covariance)
        assert (v >= 0).all() and abs(v - w).max() < variance
        assert abs(a.mean - b.mean).max() < mean


def test_without_a_ridge_what_is_rounding_is_left_out_and_that_is_said():
    """And variances are not below those of the kernel's exact posterior, nor below 0; evidence is not to be had."""
    for k, dtype in ((SINGLE, 'f4'), (DOUBLE, 'f8')):
        with pytest.warns(SingularKernelWarning, match='of 60 eigenvalues of the N') as caught:
            found = list(posteriors(k, 0., dtype))
        assert len(caught) == 6
        for (name, g), prior in zip(found, [DOUBLE[2].nngp] * 2 + [DOUBLE[2].ntk] + [DOUBLE[2].nngp] * 4):
            v = np.diagonal(g.covariance)
            assert (v >= 0).all() and (v < 1e-3).all()
            assert np.isfinite(sample(g, 3, 0, prior=prior.astype(dtype))).all()
        for call in densities(k, 0., dtype):
            with pytest.raises(ValueError, match='eigenvalues that are zero to rounding') as error:
                call()
            assert ('float64' in str(error.value)) == (dtype == 'f4')


def test_the_warning_counts():
    """Eigenvalues 1, 1e-3, 1e-18, 0 and targets (1, 1, 2, 2) in their basis: the part cut off is 8/10 of its square."""
    q = np.linalg.qr(np.cos(np.arange(16.) ** 2).reshape(4, 4))[0]
    k, y = (q * [1., 1e-3, 1e-18, 0.]) @ q.T, q @ np.array([1., 1., 2., 2.])
    k = (k + k.T) / 2
    for predict_fn in (lambda: gradient_descent_mse(k, y)(), lambda: gradient_descent_mse_steps(k, y, 1.)(None),
                       lambda: gp_inference(k, y)('nngp', k), lambda: gradient_descent(
                           lambda f, y: ((f - y) ** 2).mean(), k, y)(1e12)):
        with pytest.warns(SingularKernelWarning, match='2 of 4 eigenvalues') as caught:
            predict_fn()
        found = caught[0].message
        assert (found.zeros, found.n, found.absolute) == (2, 4, False) and 1e-18 < found.rounding < 1e-14
        assert found.part == pytest.approx(.8 ** .5, rel=1e-9) and f'diag_reg={found.diag_reg:.2g}' in str(found)
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        gradient_descent_mse(k, y, diag_reg=found.diag_reg)()
        gradient_descent_mse(k, y)(1e5)                       # of the order of 1e-6 / rounding: nothing has ended


def test_nearly_singular_kernels_do_not_pass_in_silence():
    """-4110 +- 2.9e-4 at -4 came without a word; the posterior to 200 digits is -4864.47 +- 6.5e-8."""
    x = np.random.default_rng(0).uniform(-3, 3, (60, 1))
    y = 20000 * np.sin(x[:, 0]) + 5000 * x[:, 0]
    net = stax.serial(*[stax.Dense(511, 1.5, .05), stax.Erf()] * 2, stax.Dense(1, 1.5, .05))
    far = np.array([[-4.]])
    k, k_test, k_ss = (net.kernel_fn(*pair, 'nngp') for pair in ((x, None), (far, x), (far, None)))
    with pytest.warns(SingularKernelWarning, match='of 60 eigenvalues') as caught:
        gp_inference(k, y)('nngp', k_test, k_ss)
    assert caught[0].message.zeros > 20
    reg = 1e-10 * np.trace(k) / 60
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        mean, covariance = gp_inference(k, y, reg, True)('nngp', k_test, k_ss)
    with mpmath.workdps(40):
        a = mpmath.matrix(k.tolist()) + mpmath.mpf(reg) * mpmath.eye(60)
        row, column = mpmath.matrix(k_test.tolist()), mpmath.matrix(y.tolist())
        solved = mpmath.lu_solve(a, row.T)
        truth, variance = (solved.T * column)[0], k_ss[0, 0] - (row * solved)[0]
    eps_cond = np.finfo(float).eps * np.linalg.cond(k + reg * np.eye(60))
    assert abs(mean[0] - float(truth)) < eps_cond * abs(y).max() * 10
    assert abs(covariance[0, 0] - float(variance)) < eps_cond * k_ss[0, 0]


def test_negative_variances():
    """k_** - k_*t k_tt^-1 k_t* = 1 - c^2: to rounding below 0 it counts as 0, beyond it is refused."""
    one, y = np.eye(1), np.ones(1)
    for dtype, eps in (('f8', 2. ** -52), ('f4', 2. ** -23)):
        for below, is_rounding in ((10 * eps, True), (30 * eps, True), (60 * eps, False), (1e-2, False)):
            k, k_test, k_ss = (a.astype(dtype) for a in (one, np.array([[1.]]), np.array([[1 - below]])))
            for predict_fn in (gp_inference(k, y), gp_inference_iterative(k, y)):
                for test in (k_ss, k_ss[0]) if predict_fn.__module__.endswith('iterative_gaussian') else (k_ss,):
                    if is_rounding:
                        assert predict_fn('nngp', k_test, test).covariance.ravel() == [0.]
                    else:
                        with pytest.raises(NegativeVarianceError, match='expected variances >= 0, got -') as e:
                            predict_fn('nngp', k_test, test)
                        assert isinstance(e.value, NotPSDError) and ('float64' in str(e.value)) == (dtype == 'f4')
    assert np.isfinite(sample(Gaussian(np.zeros(1), np.zeros((1, 1))), 2, 0)).all()
