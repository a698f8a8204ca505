"""ntref.predict against Neural Tangents, matrix exponentials, ODE integration, 30 digits, and numbers by hand.

`golden/dynamics.npz` holds numbers computed by Neural Tangents 0.6.5 in float64 (jax 0.4.25, CPU): `gd_mse/*`,
`ensemble/*`, `gp/*`, `max_lr/*` for the network of `network_kernel` on `data/*`, and `traced/*`, which is `traced()`
below run with neural_tangents.predict.
"""
import warnings
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from autograd import numpy as anp
from autograd.test_util import check_grads
from kinds import to_kind, to_numpy
from problems import (
    F0, F0_TEST, GOLDEN, GOLDEN_TOL, K_SS, K_ST, K_TT, X_TEST, Kernels, X, Y, assert_close, gaussian_kernel,
    network_kernel, problem)
from scipy.integrate import solve_ivp
from scipy.linalg import eigvalsh, expm

from ntref.arrays import namespace
from ntref.predict import (
    Gaussian, NotPSDError, SingularKernelWarning, factor, gp_inference, gradient_descent_mse,
    gradient_descent_mse_ensemble, gradient_descent_mse_steps, max_learning_rate)
from ntref.predict.factor import Factor, largest_eigenvalue

TIMES = {'inf': None, '0': 0., 'half': .5, 'one': 1., 'ts': np.array([0., .3, 2., 50.])}


def kernel_fn_of(p, log=None):
    """A kernel_fn on the names 'train' and 'test', which writes down how it is called."""
    table = {('train', 'train'): p.tt, ('test', 'train'): p.st, ('test', 'test'): p.ss}

    def kernel_fn(x1, x2, get):
        if log is not None:
            log.append((x1, x2, get))
        k = table[x1, x2 or x1]
        return getattr(k, get) if isinstance(get, str) else k
    return kernel_fn


# ------------------------------------------------------------------ Neural Tangents

@pytest.mark.parametrize('t', ('inf', '0', 'half', 'ts'))
@pytest.mark.parametrize('lr, reg, absolute', ((1., 0., False), (.2, 1e-2, False), (.5, 1e-2, True)))
def test_gradient_descent_mse_against_nt(lr, reg, absolute, t):
    predict = gradient_descent_mse(K_TT.ntk, Y, lr, reg, absolute)
    train, test = predict(TIMES[t], F0, F0_TEST, K_ST.ntk)
    name = f'gd_mse/{lr}-{reg}-{absolute}/{t}'
    assert_close(train, GOLDEN[f'{name}/train'], GOLDEN_TOL)
    assert_close(test, GOLDEN[f'{name}/test'], GOLDEN_TOL)
    assert_close(predict(TIMES[t], F0), GOLDEN[f'{name}/train_only'], GOLDEN_TOL)


@pytest.mark.parametrize('get', ('nngp', 'ntk'))
@pytest.mark.parametrize('t', ('inf', 'one', 'ts'))
@pytest.mark.parametrize('lr, reg', ((1., 1e-6), (.3, 1e-2)))
def test_ensemble_against_nt(lr, reg, t, get):
    predict = gradient_descent_mse_ensemble(network_kernel, X, Y, learning_rate=lr, diag_reg=reg)
    name = f'ensemble/{lr}-{reg}/{t}/{get}'
    for x_test, prefix in ((X_TEST, ''), (None, 'train_')):
        mean, covariance = predict(t=TIMES[t], x_test=x_test, get=get, compute_cov=True)
        assert_close(mean, GOLDEN[f'{name}/{prefix}mean'], GOLDEN_TOL)
        assert_close(covariance, GOLDEN[f'{name}/{prefix}cov'], GOLDEN_TOL)


@pytest.mark.parametrize('get', ('nngp', 'ntk'))
def test_gp_inference_against_nt(get):
    mean, covariance = gp_inference(K_TT, Y, diag_reg=1e-3)(get, K_ST, K_SS if get == 'ntk' else K_SS.nngp)
    assert_close(mean, GOLDEN[f'gp/{get}/mean'], GOLDEN_TOL)
    assert_close(covariance, GOLDEN[f'gp/{get}/cov'], GOLDEN_TOL)


@pytest.mark.parametrize('momentum', (0., .9))
def test_max_learning_rate_against_nt(momentum):
    np.testing.assert_allclose(max_learning_rate(K_TT.ntk, Y.size, momentum), GOLDEN[f'max_lr/{momentum}'], rtol=1e-14)


def numbers(shape, seed):
    """Numbers between -2 and 2 in general position, the same bits with every version of NumPy."""
    i = np.arange(int(np.prod(shape)))
    return ((i * i * (seed + 3) + i * i * i * 11 + 29 * i) % 257 - 128).reshape(shape) / 64


def traced(gradient_descent_mse, gradient_descent_mse_ensemble, gp_inference, shape, trace_axes):
    """All predictions for targets of one shape, some axes of which the kernels lack; dictionary of arrays."""
    kept = [a for a in range(len(shape)) if a not in {a % len(shape) for a in trace_axes}]
    m, batch = 2, 0 in kept

    def kernel(seed):
        dims = [shape[a] + m * (a == 0) for a in kept]
        n = int(np.prod(dims))
        a = numbers((n, n + 3), seed)
        return np.moveaxis((a @ a.T / n).reshape(dims * 2), range(len(dims), 2 * len(dims)), range(1, 2 * len(dims), 2))

    def kernel_fn(x1, x2, get):
        cut = {'train': slice(m, None), 'test': slice(m)}
        found = [kernel(seed)[cut[x1], cut[x2 or x1]] if batch else kernel(seed) for seed in (1, 2)]
        return found[get == 'ntk'] if isinstance(get, str) else Kernels(*found)

    y, f0, f0_test = numbers(shape, 5), numbers(shape, 6), numbers(((m,) if batch else shape[:1]) + shape[1:], 7)
    options = dict(diag_reg=.1, trace_axes=trace_axes)
    k_tt, k_st, k_ss = (kernel_fn(*x, ('nngp', 'ntk')) for x in (('train', None), ('test', 'train'), ('test', None)))
    out = {}
    for name, t in (('inf', None), ('t', np.array([[.1, 2.], [30., 0.]]))):
        flow = gradient_descent_mse(k_tt.ntk, y, 1.3, **options)
        out[f'{name}/train'], out[f'{name}/test'] = flow(t, f0, f0_test, k_st.ntk)
        ensemble = gradient_descent_mse_ensemble(kernel_fn, 'train', y, 1.3, **options)
        for get in ('nngp', 'ntk'):
            for x in ('test', None):
                out[f'{name}/{get}/{x}/mean'], out[f'{name}/{get}/{x}/cov'] = ensemble(t, x, get, True)
    for get in ('nngp', 'ntk', 'ntkgp'):
        out[f'gp/{get}/mean'], out[f'gp/{get}/cov'] = gp_inference(k_tt, y, **options)(get, k_st, k_ss)
    return out


TRACED = (((4, 3), (-1,)), ((4, 3), ()), ((4, 2, 3), (-1,)), ((4, 2, 3), (1,)), ((4, 2, 3), ()),
          ((4, 2, 3), (0, 0, -3)), ((4, 2, 3), (0, 1, 2)), ((4, 2, 3), (-1, 1)), ((4,), ()))


@pytest.mark.parametrize('case', range(len(TRACED)))
def test_trace_axes_against_nt(case):
    ours = traced(gradient_descent_mse, gradient_descent_mse_ensemble, gp_inference, *TRACED[case])
    values, shapes = GOLDEN[f'traced/{case}'], GOLDEN[f'traced/{case}/shapes']
    assert [' '.join(map(str, a.shape)) for a in ours.values()] == list(shapes)
    assert_close(np.concatenate([a.ravel() for a in ours.values()]), values, 1e-12)


# ------------------------------------------------------------------ definitions: matrix exponentials, ODEs, steps

def propagator(p, kernel, tau, reg=0.):
    """exp of the linear flow of (training, test) outputs with targets zero: d(f_t, f_*)/dtau = -(A f_t, K_*t f_t)."""
    n = p.n
    flow = np.zeros((n + p.m,) * 2)
    flow[:n, :n] = getattr(p.tt, kernel) + reg * np.eye(n)
    flow[n:, :n] = getattr(p.st, kernel)
    return expm(-flow * tau)


@pytest.mark.parametrize('reg', (0., .3))
@pytest.mark.parametrize('t', (0., .7, 20.))
def test_ensemble_is_the_flow_of_a_gaussian(rng, t, reg):
    p = problem(rng)
    n, tau = p.n, 1.5 * t / p.y.size
    predict = gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', p.y, 1.5, reg, True)
    for get in ('nngp', 'ntk'):
        u, start = propagator(p, get, tau, reg), p.joint.nngp.copy()
        if get == 'nngp':
            start[:n, :n] += reg * np.eye(n)
        mean = np.vstack([p.y, np.zeros((p.m, 2))]) - u @ np.vstack([p.y, np.zeros((p.m, 2))])
        for x_test, rows in (('test', slice(n, None)), (None, slice(n))):
            got = predict(t, x_test, get, True)
            assert_close(got.mean, mean[rows], 1e-12)
            assert_close(got.covariance, (u @ start @ u.T)[rows, rows], 1e-12)


def test_flow_against_ode(rng):
    p = problem(rng)
    lr, ts = 1.7, np.array([0., .5, 4., 30.])

    def slope(t, f):
        r = f.reshape(-1, 2)[:p.n] - p.y
        return -lr * np.concatenate([p.tt.ntk @ r, p.st.ntk @ r]).ravel() / p.y.size
    truth = solve_ivp(slope, (0, 30), np.vstack([p.f0, p.f0_test]).ravel(), 'DOP853', ts, rtol=1e-13, atol=1e-13)
    train, test = gradient_descent_mse(p.tt.ntk, p.y, lr)(ts, p.f0, p.f0_test, p.st.ntk)
    assert_close(np.concatenate([train, test], axis=1), truth.y.T.reshape(4, -1, 2), 1e-11)


def test_ntkgp_is_the_gaussian_process_of_the_ntk(rng):
    p = problem(rng)
    a = p.tt.ntk + .2 * np.trace(p.tt.ntk) / p.n * np.eye(p.n)
    b = np.linalg.solve(a, p.st.ntk.T).T
    for got in (gp_inference(p.tt, p.y, .2)('ntkgp', p.st, p.ss),
                gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', p.y, diag_reg=.2)(None, 'test', 'ntkgp', True)):
        assert_close(got.mean, b @ p.y, 1e-13)
        assert_close(got.covariance, p.ss.ntk - b @ p.st.ntk.T, 1e-13)


@pytest.mark.parametrize('momentum', (0., .9))
def test_max_learning_rate_separates_convergence_from_divergence(rng, momentum):
    k = problem(rng).tt.ntk
    y = rng.standard_normal((5, 3))

    def residual(factor, steps=400):
        f, v = np.zeros_like(y), np.zeros_like(y)
        for _ in range(steps):
            v = momentum * v + k @ (f - y) / y.size
            f = f - factor * max_learning_rate(k, y.size, momentum) * v
        top = np.linalg.eigh(k)[1][:, -1]
        return np.abs(top @ (f - y)).max() / np.abs(top @ y).max()
    assert residual(.99) < .2
    assert residual(1.01) > 5


# ------------------------------------------------------------------ by hand

def test_one_point_by_hand():
    # K = 4, y = 3, lr = .5, t = 2 ln 2: tau lambda = .5 * 2 ln 2 * 4 = 4 ln 2, decay 1/16
    # K_* = 2, f_* = 1 + 2/4 * 15/16 * (3 - 1)
    train, test = gradient_descent_mse(np.array([[4.]]), np.array([[3.]]), .5)(2 * np.log(2), 1., 1., np.array([[2.]]))
    assert_close(train, [[3 - 2 / 16]], 1e-15)
    assert_close(test, [[1 + 15 / 16]], 1e-15)


def test_two_points_by_hand():
    # eigenvalues 3 along (1, 1), 1 along (1, -1); y.size = 2; t = 2 ln 2: decays 1/8 and 1/2
    # y = (3, 1) = 2 (1, 1) + 1 (1, -1)
    k, y = np.array([[2., 1.], [1., 2.]]), np.array([[3.], [1.]])
    assert_close(gradient_descent_mse(k, y)(2 * np.log(2)), [[2 * 7 / 8 + 1 / 2], [2 * 7 / 8 - 1 / 2]], 1e-15)
    # the relative scale is trace/n = 2: A = diag(2) + k has eigenvalues 5 and 3; K_* = (1, 0): 2/5 + 1/3
    predict = gp_inference(k, y, diag_reg=1.)
    mean, covariance = predict('nngp', np.array([[1., 0.]]), np.array([[1.]]))
    assert_close(mean, [[2 / 5 + 1 / 3]], 1e-15)
    assert_close(covariance, [[1 - (1 / 5 + 1 / 3) / 2]], 1e-15)
    # the absolute scale: eigenvalues 4 and 2
    assert_close(gp_inference(k, y, 1., True)('ntk', np.array([[1., 0.]])), [[2 / 4 + 1 / 2]], 1e-15)
    assert max_learning_rate(k, 2, eps=0.) == pytest.approx(4 / 3, rel=1e-15)
    assert max_learning_rate(k, 2, .5, eps=1.) == pytest.approx(6 / 4, rel=1e-15)
    assert max_learning_rate(np.array([[[[2., 0.], [0., 5.]]]])) == pytest.approx(4 / 5, rel=1e-11)


# ------------------------------------------------------------------ time

@pytest.mark.parametrize('t', (1.5, 3, [0., 1.], (.5,), [[.1, 1., 10.], [0., 2., 1e3]], np.float64(2), np.array(3)))
def test_t_of_every_shape(rng, t):
    p = problem(rng)
    flow = gradient_descent_mse(p.tt.ntk, p.y, .8)
    ensemble = gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', p.y, .8)
    train, test = flow(t, p.f0, p.f0_test, p.st.ntk)
    both = ensemble(t, 'test', None, True)
    assert train.shape == np.shape(t) + (5, 2) and test.shape == np.shape(t) + (3, 2)
    for i in np.ndindex(np.shape(t)):
        e, ti = expm(-.8 * np.asarray(t)[i] * p.tt.ntk / p.y.size), float(np.asarray(t)[i])
        assert_close(train[i], p.y + e @ (p.f0 - p.y), 1e-12)
        assert_close(test[i], p.f0_test + p.st.ntk @ np.linalg.solve(p.tt.ntk, (np.eye(5) - e) @ (p.y - p.f0)), 1e-11)
        one = ensemble(ti, 'test', None, True)
        for get in ('nngp', 'ntk'):
            assert_close(getattr(both, get).mean[i], getattr(one, get).mean, 1e-14)
            assert_close(getattr(both, get).covariance[i], getattr(one, get).covariance, 1e-14)


def test_the_beginning_and_the_end_of_time(rng):
    p = problem(rng)
    flow = gradient_descent_mse(p.tt.ntk, p.y)
    train, test = flow(0, p.f0, p.f0_test, p.st.ntk)
    assert np.array_equal(train, p.f0) and np.array_equal(test, p.f0_test)
    (train, test), (late, late_test) = (flow(t, p.f0, p.f0_test, p.st.ntk) for t in (None, [np.inf, 1e300]))
    assert np.array_equal(train, p.y)
    for i in (0, 1):
        assert_close(late[i], train, 1e-13)
        assert_close(late_test[i], test, 1e-12)
    assert_close(test, p.f0_test + p.st.ntk @ np.linalg.solve(p.tt.ntk, p.y - p.f0), 1e-12)
    ensemble = gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', p.y)
    for x in ('test', None):
        for get in ('nngp', 'ntk'):
            for a, b in zip(ensemble(None, x, get, True), ensemble(np.inf, x, get, True)):
                assert_close(b, a, 1e-12)
            start = ensemble(0., x, get, True)
            assert np.array_equal(start.mean, 0 * start.mean)
            assert_close(start.covariance, (p.tt if x is None else p.ss).nngp, 1e-14)


def test_short_times_keep_all_digits():
    flow = gradient_descent_mse(np.diag([2., 1e-9]), np.array([1., 1.]))
    train, test = flow(1e-10, 0., 0., np.eye(2))
    np.testing.assert_allclose(train, [1e-10 - .5e-20, 5e-20], rtol=1e-15)
    np.testing.assert_allclose(test, [.5e-10 - .25e-20, .5e-10], rtol=1e-15)


def test_only_the_product_of_time_and_rate_matters(rng):
    p = problem(rng)
    assert_close(gradient_descent_mse(p.tt.ntk, p.y, .25)(8.), gradient_descent_mse(p.tt.ntk, p.y, 2.)(1.), 1e-15)


# ------------------------------------------------------------------ zero eigenvalues, nearly zero ones, negative ones

def test_two_copies_of_an_input_settle_on_the_average(rng):
    x = rng.standard_normal((5, 3))
    x[3], x_test = x[1], rng.standard_normal((2, 3))
    k, k_test = gaussian_kernel(x, x), gaussian_kernel(x_test, x)
    y, f0 = rng.standard_normal((2, 5))
    flow = gradient_descent_mse(k, y)
    once = np.array([0, 1, 2, 4])
    merged, limit = y - f0, y.copy()
    merged[1] = (merged[1] + merged[3]) / 2
    limit[[1, 3]] = f0[[1, 3]] + merged[1]
    limit_test = k_test[:, once] @ np.linalg.solve(k[np.ix_(once, once)], merged[once])
    for t in (None, np.inf, 1e9, 1e14, 1e18, 1e300):
        with nullcontext() if t == 1e9 else pytest.warns(SingularKernelWarning, match='1 of 5 eigenvalues'):
            train, test = flow(t, f0, 0., k_test)
        assert_close(train, limit, 1e-13)
        assert_close(test, limit_test, 1e-12)
    both = np.vstack([k, k_test])
    truth = solve_ivp(lambda t, f: both @ (y - f[:5]) / 5, (0, 40), [*f0, 0., 0.], 'DOP853', rtol=1e-13, atol=1e-13)
    assert_close(np.concatenate(flow(40., f0, 0., k_test)), truth.y[:, -1], 1e-12)


def test_ensemble_with_two_copies_of_an_input(rng):
    x = rng.standard_normal((7, 3))
    x[3] = x[1]
    s, t = gaussian_kernel(x, x, 2.), 2 * gaussian_kernel(x, x)
    p = problem(rng)
    p.tt, p.st, p.ss = (Kernels(s[i, j], t[i, j]) for i, j in ((slice(5), slice(5)), (slice(5, 7), slice(5)),
                                                               (slice(5, 7), slice(5, 7))))
    p.joint, p.m = Kernels(s, t), 2
    predict = gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', p.y)
    late = 1e4
    for get in ('nngp', 'ntk'):
        u = propagator(p, get, late / p.y.size)
        for x_test, rows in (('test', slice(5, None)), (None, slice(5))):
            for time in (late, None, np.inf):
                with nullcontext() if time == late else pytest.warns(SingularKernelWarning):
                    got = predict(time, x_test, get, True)
                assert_close(got.mean, ((np.eye(7) - u) @ np.vstack([p.y, np.zeros((2, 2))]))[rows], 1e-10)
                assert_close(got.covariance, (u @ s @ u.T)[rows, rows], 1e-10)
    v = np.array([0, 1, 0, -1, 0]) / 2 ** .5
    with pytest.warns(SingularKernelWarning, match='the NTK of the training set'):
        assert_close(predict(None, None, 'ntk'), p.y - np.outer(v, v @ p.y), 1e-13)


def test_zero_eigenvalues_grow_linearly_where_the_test_kernel_sees_them():
    flow = gradient_descent_mse(np.array([[1., 0.], [0., 0.]]), np.array([2., 3.]))
    ts = np.array([0., .5, 7., 1e3])
    train, test = flow(ts, 1., 0., np.array([[1., 1.]]))
    assert_close(train, np.stack([2 - np.exp(-ts / 2), 0 * ts + 1], -1), 1e-15)
    assert_close(test, (1 - np.exp(-ts / 2) + 2 * ts / 2)[:, None], 1e-15)
    for t in (None, np.inf, 1e300):                             # times that cannot be told from infinity
        with pytest.warns(SingularKernelWarning):
            assert_close(flow(t, 1., 0., np.array([[1., 1.]]))[1], [1.], 1e-15)
    train, test = gradient_descent_mse(np.zeros((2, 2)), np.ones(2))([0., 3., np.inf], 0., 0., np.zeros((1, 2)))
    assert not train.any() and not test.any()


def test_more_points_than_features_solves_least_squares(rng):
    x, y, x_test = rng.standard_normal((8, 3)), rng.standard_normal((8, 2)), rng.standard_normal((4, 3))
    w = np.linalg.lstsq(x, y, rcond=None)[0]
    for dtype, tol in (('float64', 1e-13), ('float32', 1e-5)):
        k, k_test = (x @ x.T).astype(dtype), (x_test @ x.T).astype(dtype)
        for t in (None, np.inf):
            with pytest.warns(SingularKernelWarning, match='5 of 8'):
                train, test = gradient_descent_mse(k, y.astype(dtype))(t, 0., 0., k_test)
            assert_close(train, x @ w, tol)
            assert_close(test, x_test @ w, tol)


def test_small_eigenvalues_are_not_zero(rng):
    q, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    k = q * 10. ** -np.arange(0, 12, 2) @ q.T
    k, r = (k + k.T) / 2, q[:, -1] + q[:, 0]
    flow = gradient_descent_mse(k, r, learning_rate=6.)
    for t in (None, np.inf):                                    # 1/lambda = 1e10: six digits are left
        assert_close(flow(t, 0., 0., 1e-10 * q[:, -1:].T)[1], [1.], 1e-4)
    assert_close(flow(1e10), q[:, 0] + q[:, -1] * (1 - np.exp(-1)), 1e-5)


@pytest.mark.parametrize('absolute', (False, True))
@pytest.mark.parametrize('reg', (0., .05))
def test_not_positive_names_the_eigenvalue_and_the_cure(rng, reg, absolute):
    k = problem(rng).tt.ntk
    w, v = np.linalg.eigh(k)
    k = k - v[:, :1] * (w[0] + .25) @ v[:, :1].T
    y = rng.standard_normal((5, 2))
    shift = reg * (1 if absolute else np.trace(k) / 5)
    for t in (None, 1., np.inf):
        with pytest.raises(NotPSDError) as error:
            gradient_descent_mse(k, y, diag_reg=reg, diag_reg_absolute_scale=absolute)(t)
        assert error.value.smallest == pytest.approx(shift - .25, abs=1e-12)
        assert f'{error.value.smallest:.3g}' in str(error.value)
        assert f'diag_reg={error.value.diag_reg:.3g}' in str(error.value)
        assert error.value.absolute == absolute
        mended = gradient_descent_mse(k, y, diag_reg=error.value.diag_reg, diag_reg_absolute_scale=absolute)
        assert np.isfinite(mended(t, 0., 0., k)).all()
        with pytest.raises(NotPSDError):
            gradient_descent_mse(k, y, diag_reg=error.value.diag_reg / 3, diag_reg_absolute_scale=absolute)(t)


def test_negative_trace_is_mended_on_the_absolute_scale():
    with pytest.raises(NotPSDError) as error:
        gradient_descent_mse(-np.eye(3), np.ones(3))()
    assert error.value.absolute
    assert_close(gradient_descent_mse(-np.eye(3), np.ones(3), 1., error.value.diag_reg, True)(), np.ones(3), 0)


def test_rounding_is_told_from_a_negative_eigenvalue():
    n, level = 4, 4 * np.finfo(float).eps
    for smallest, positive in ((-5 * level, True), (-20 * level, False)):
        flow = gradient_descent_mse(np.diag([1., 1., 1., smallest]), np.arange(1., n + 1))
        if positive:
            for t in (np.inf, None):
                with pytest.warns(SingularKernelWarning):
                    assert_close(flow(t), [1., 2., 3., 0.], 1e-15)
        else:
            with pytest.raises(NotPSDError):
                flow()


def test_cholesky_that_fails_silently_is_noticed(rng, monkeypatch):
    p = problem(rng)
    right = gradient_descent_mse(p.tt.ntk, p.y)(None, 0., 0., p.st.ntk)[1]
    for wrong in (np.full((5, 5), np.nan), np.tril(p.tt.ntk), np.eye(5)):        # as CuPy does: no error
        monkeypatch.setattr(namespace(p.y), 'cholesky', lambda a, wrong=wrong: wrong)
        assert_close(gradient_descent_mse(p.tt.ntk, p.y)(None, 0., 0., p.st.ntk)[1], right, 1e-12)


# ------------------------------------------------------------------ covariances

def test_covariances_are_symmetric_and_positive_on_training_points(rng):
    p = problem(rng, n=30)
    p.st = Kernels(np.vstack([p.st.nngp, p.tt.nngp]), np.vstack([p.st.ntk, p.tt.ntk]))
    order = np.r_[30:33, 0:30]
    p.ss = Kernels(*(k[np.ix_(order, order)] for k in p.joint))
    predict = gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', p.y, diag_reg=1e-8)
    for t in (None, 3., np.array([.1, 1e5])):
        for get in ('nngp', 'ntk'):
            c = predict(t, 'test', get, True).covariance
            assert np.array_equal(c, np.swapaxes(c, -1, -2))
            assert eigvalsh(c.reshape(-1, 33, 33)[-1])[0] > -1e-9
            assert np.diagonal(c, axis1=-2, axis2=-1)[..., :3].min() > 1e-5


def test_train_set_at_infinite_time_is_the_targets_and_certain(rng):
    p = problem(rng)
    for reg in (0., .5):
        for get in ('nngp', 'ntk', 'ntkgp'):
            got = gp_inference(p.tt, p.y, reg)(get, None, True)
            assert np.array_equal(got.mean, p.y) and np.array_equal(got.covariance, np.zeros((5, 5)))
    a = p.tt.ntk + .5 * np.trace(p.tt.ntk) / 5 * np.eye(5)
    assert_close(gp_inference(p.tt, p.y, .5)('ntk', p.tt), p.tt.ntk @ np.linalg.solve(a, p.y), 1e-13)


# ------------------------------------------------------------------ kinds, precisions, shapes

def test_kinds_agree(rng, kind):
    p = problem(rng)

    def run(to, t):
        k = [Kernels(*map(to, k)) for k in (p.tt, p.st, p.ss)]
        flow = gradient_descent_mse(k[0].ntk, to(p.y), .5, .01)
        ensemble = gp_inference(k[0], to(p.y), .01)(('nngp', 'ntk', 'ntkgp'), *k[1:])
        kernel_fn = kernel_fn_of(SimpleNamespace(tt=k[0], st=k[1], ss=k[2]))
        running = gradient_descent_mse_ensemble(kernel_fn, 'train', to(p.y))(t, 'test', None, True)
        return [*flow(t, to(p.f0), to(p.f0_test), k[1].ntk), *flow(None, to(p.f0), 0., k[1].ntk),
                *(a for g in (*ensemble, *running) for a in g)]
    tol = 1e-4 if kind == 'float32' else 1e-12
    for a, b in zip(run(lambda a: to_kind(kind, a), [.5, 20.]), run(np.asarray, [.5, 20.]), strict=True):
        assert to_numpy(a).dtype == ('float32' if kind == 'float32' else 'float64')
        assert_close(to_numpy(a), b, tol)
    rate = float(to_numpy(max_learning_rate(to_kind(kind, p.tt.ntk))))
    assert rate == pytest.approx(max_learning_rate(p.tt.ntk), rel=tol)


def test_single_precision_is_computed_in_double(rng):
    p = problem(rng)
    k, y, k_test = (a.astype('float32') for a in (p.tt.ntk, p.y, p.st.ntk))
    single = gradient_descent_mse(k, y)([1., 50.], 0., 0., k_test)
    double = gradient_descent_mse(k.astype(float), y.astype(float))([1., 50.], 0., 0., k_test.astype(float))
    for a, b in zip(single, double):
        assert a.dtype == 'float32' and np.array_equal(a, b.astype('float32'))
    assert gradient_descent_mse(k, p.y)().dtype == 'float64'
    assert gradient_descent_mse(np.array([[4, 1], [1, 4]]), np.array([1, 2]))(1).dtype == 'float64'


def test_thirty_digits(rng):
    p = problem(rng, n=4)
    with mpmath.workdps(30):
        tt, st, y, f0 = (to_kind('mpmath', a) for a in (p.tt.ntk, p.st.ntk, p.y, p.f0))
        mend = gradient_descent_mse(tt, y, mpmath.mpf(1) / 3)
        got = mend(mpmath.mpf('2.5'), f0, 0, st)
        end = mend(None, f0, 0, st)[1]
        a, r = mpmath.matrix(tt.tolist()), mpmath.matrix((f0 - y).tolist())
        e = mpmath.expm(-a * mpmath.mpf('2.5') / 3 / 8, method='taylor')
        train, test = mpmath.matrix(y.tolist()) + e * r, mpmath.matrix(st.tolist()) * a ** -1 * (e * r - r)
        for x, truth in ((got[0], train), (got[1], test), (end, -mpmath.matrix(st.tolist()) * a ** -1 * r)):
            error = np.abs(x - np.array(truth.tolist(), dtype=object).reshape(x.shape)).max()
            assert 0 < error < 1e-26                    # 1e-30 times the condition number; with one double in it 1e-17
        top = max(mpmath.eigsy(a, eigvals_only=True))
        assert abs(largest_eigenvalue(tt) / top - 1) < 1e-28
    for a, b in zip(got, gradient_descent_mse(p.tt.ntk, p.y, 1 / 3)(2.5, p.f0, 0., p.st.ntk)):
        assert_close(b, to_numpy(a), 1e-13)


@pytest.mark.parametrize('scale, bound', ((1., 1e2), (30., 1e6)))
def test_accuracy_stated(rng, scale, bound):
    """Docstrings: 4 eps cond(A) for test outputs at infinite time, against 50 digits."""
    x = rng.standard_normal((16, 3))
    k = gaussian_kernel(x, x, scale) + .01 / scale * np.eye(16)
    k, k_test, y = k[:12, :12], k[12:, :12], rng.standard_normal((12, 1))
    with mpmath.workdps(50):
        truth = mpmath.matrix(k_test.tolist()) * mpmath.lu_solve(mpmath.matrix(k.tolist()), mpmath.matrix(y.tolist()))
    truth = np.array(truth.tolist(), dtype=float)
    condition = np.linalg.cond(k)
    assert bound / 100 < condition < bound * 100
    for t in (None, np.inf):
        got = gradient_descent_mse(k, y)(t, 0., 0., k_test)[1]
        assert np.abs(got - truth).max() <= 4 * np.finfo(float).eps * condition * np.abs(truth).max()


def test_one_axis_of_targets(rng):
    p = problem(rng, o=1)
    y, column = p.y[:, 0], p.y
    for t in (None, .5, [[1., 2., 3.]]):
        thin, thick = (gradient_descent_mse(p.tt.ntk, a)(t, 0., 0., p.st.ntk) for a in (y, column))
        for a, b in zip(thin, thick):
            assert_close(a, b[..., 0], 1e-15)
        thin, thick = (gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', a)(t, 'test', 'ntk', True)
                       for a in (y, column))
        assert_close(thin.mean, thick.mean[..., 0], 1e-15)
        assert_close(thin.covariance, thick.covariance, 1e-15)
    assert_close(gradient_descent_mse(np.array(2.), y, trace_axes=(0,))(.7), y * (1 - np.exp(-2 * .7 / 5)), 1e-15)


def test_a_kernel_without_an_axis_is_the_identity_there(rng):
    p = problem(rng, o=3)
    full, full_test = (np.einsum('nm,cd->nmcd', k, np.eye(3)) for k in (p.tt.ntk, p.st.ntk))
    for t in (None, [.1, 3.]):
        a, b = (gradient_descent_mse(k, p.y, diag_reg=.1, trace_axes=axes)(t, p.f0, p.f0_test, k_test)
                for k, k_test, axes in ((p.tt.ntk, p.st.ntk, (-1,)), (full, full_test, ())))
        assert_close(a[0], b[0], 1e-13)
        assert_close(a[1], b[1], 1e-13)


def test_which_outputs(rng):
    p = problem(rng)
    flow = gradient_descent_mse(p.tt.ntk, p.y)
    train, test = flow(2., 0., p.f0_test, p.st.ntk)
    assert np.array_equal(flow(2.), train) and np.array_equal(flow(2., 0., k_test_train=p.st.ntk), train)
    assert np.array_equal(flow(2., None, p.f0_test, p.st.ntk), test)
    assert np.array_equal(flow(), p.y)
    assert_close(flow(2., 3., 0., p.st.ntk)[1], flow(2., np.full((5, 2), 3.), np.zeros((3, 2)), p.st.ntk)[1], 1e-15)


def test_what_get_returns(rng):
    p = problem(rng)
    gp = gp_inference(p.tt, p.y)
    ensemble = gradient_descent_mse_ensemble(kernel_fn_of(p), 'train', p.y)
    for call in (lambda get, cov: gp(get, p.st, p.ss if cov else None),
                 lambda get, cov: ensemble(None, 'test', get, cov)):
        assert isinstance(call('ntk', False), np.ndarray) and isinstance(call('NTK', True), Gaussian)
        assert call(None, False)._fields == ('nngp', 'ntk') and call(('ntk',), True)._fields == ('ntk',)
        both = call(('ntk', 'nngp'), True)
        assert both._fields == ('ntk', 'nngp') and type(both).__name__ == 'Gaussians'
        assert np.array_equal(both.nngp.mean, call('nngp', False))
        assert np.array_equal(both.ntk.covariance, call('ntk', True).covariance)
    bare = gp_inference(p.tt.nngp, p.y)
    assert np.array_equal(bare('nngp', p.st.nngp, p.ss.nngp).covariance, gp('nngp', p.st, p.ss.nngp).covariance)
    assert np.array_equal(bare('ntk', p.st.nngp), gp('nngp', p.st))


def test_inputs_are_left_alone(rng):
    p = problem(rng)
    before = [a.copy() for a in (*p.tt, *p.st, *p.ss, p.y, p.f0)]
    gp_inference(p.tt, p.y, .1)(None, p.st, p.ss)
    gradient_descent_mse(p.tt.ntk, p.y, .1, .1)([0., np.inf], p.f0, 0., p.st.ntk)
    assert all(np.array_equal(a, b) for a, b in zip(before, (*p.tt, *p.st, *p.ss, p.y, p.f0)))


# ------------------------------------------------------------------ work done once

def test_each_factorization_is_made_once(rng, monkeypatch):
    p, made = problem(rng), []
    xp = namespace(p.y)
    for name in ('cholesky', 'eigh'):
        def counting(a, name=name, original=getattr(xp, name)):
            made.append(name)
            return original(a)
        monkeypatch.setattr(xp, name, counting)
    flow = gradient_descent_mse(p.tt.ntk, p.y)
    assert made == []
    for _ in range(3):
        flow(None, 0., 0., p.st.ntk)
    assert made == ['cholesky']
    for t in (1., [2., 3.], np.inf):
        flow(t, 0., 0., p.st.ntk)
    assert made == ['cholesky', 'eigh']
    gp = gp_inference(p.tt, p.y)
    for get in ('ntk', 'ntkgp', None, 'nngp'):
        gp(get, p.st, p.ss)
    assert made[2:] == ['cholesky', 'cholesky']


def test_kernels_are_computed_once_and_only_when_needed(rng):
    log, both = [], ('nngp', 'ntk')
    p = problem(rng)
    ensemble = gradient_descent_mse_ensemble(kernel_fn_of(p, log), 'train', p.y)
    assert log == []

    def calls(*args):
        log.clear()
        ensemble(*args)
        return log
    assert calls(1., 'test', 'ntk') == [('train', None, 'ntk'), ('test', 'train', 'ntk')]
    assert calls(2., None, 'ntk') == []
    assert calls(None, 'test', 'ntk') == [('test', 'train', 'ntk')]
    assert calls(1., 'test', 'ntk', True) == [('train', None, 'nngp'), ('test', 'train', both), ('test', None, 'nngp')]
    assert calls(None, 'test', None, True) == [('test', 'train', both), ('test', None, 'nngp')]
    assert calls(None, 'test', 'ntkgp', True) == [('test', 'train', 'ntk'), ('test', None, 'ntk')]
    assert calls(None, 'test', ('ntkgp', 'nngp'), True)[1] == ('test', None, ('ntk', 'nngp'))
    ensemble = gradient_descent_mse_ensemble(kernel_fn_of(p, log), 'train', p.y)
    assert calls(1., None, None) == [('train', None, both)]


def test_keywords_of_the_kernel_function(rng):
    p, log = problem(rng), []
    train, test = np.ones(5), np.ones(3)

    def kernel_fn(x1, x2, get, **kwargs):
        log.append((x1, x2, kwargs))
        return getattr({('train', None): p.tt, ('test', 'train'): p.st, ('test', None): p.ss}[x1, x2], get)
    nan = float('nan')
    ensemble = gradient_descent_mse_ensemble(kernel_fn, 'train', p.y, pattern=(train, train), c=nan, only=3)
    ensemble(None, 'test', 'nngp', True, pattern=(test, test), c=float('nan'))
    (_, _, tt), (_, _, st), (_, _, ss) = log
    assert tt['pattern'][0] is train and tt['only'] == 3
    assert st['pattern'][0] is test and st['pattern'][1] is train and st['only'] == 3
    assert ss['pattern'][0] is test and ss['pattern'][1] is test and set(ss) == {'pattern', 'c', 'only'}
    with pytest.raises(KeyError, match="'other' was given for the test set, not for the training set"):
        ensemble(None, 'test', 'nngp', other=1)
    with pytest.raises(ValueError, match='expected the same only for training and test set, got 3 and 4'):
        ensemble(None, 'test', 'nngp', only=4)
    with pytest.raises(ValueError, match='expected the same only'):
        ensemble(None, 'test', 'nngp', only=[test])
    with pytest.raises(ValueError, match='expected pattern for the test set, too'):
        ensemble(None, 'test', 'nngp', c=nan)
    for given in test, (test, test):                    # arrays belong to the inputs, also where they are the same
        log.clear()
        predict_fn = gradient_descent_mse_ensemble(kernel_fn, 'train', p.y, pattern=given)
        predict_fn(None, 'test', 'nngp', pattern=given)
        assert log[0][2]['pattern'] is given and log[1][2]['pattern'] == (test, test)


# ------------------------------------------------------------------ derivatives

def test_derivatives(rng):
    x, x_test, y = rng.standard_normal((5, 2)), rng.standard_normal((3, 2)), rng.standard_normal((5, 2))

    def kernels(scale):
        def k(a, b):
            return anp.exp(-((a[:, None] - b[None]) ** 2).sum(-1) * scale)
        return [Kernels(k(*pair), 2 * k(*pair) ** 2) for pair in ((x, x), (x_test, x), (x_test, x_test))]

    def mean(scale, t=None):
        tt, st, _ = kernels(scale)
        return gradient_descent_mse(tt.ntk, y, diag_reg=.01)(t, 0., 0., st.ntk)[1]

    def covariance(scale, get):
        tt, st, ss = kernels(scale)
        return gp_inference(tt, y, .01)(get, st, ss).covariance
    tt, st, _ = kernels(.5)
    h = 1e-5
    difference = (mean(.5 + h) - mean(.5 - h)) / (2 * h)
    from autograd import jacobian
    assert_close(jacobian(mean)(.5), difference, 1e-8)
    check_grads(lambda s: mean(s, 3.), modes=['rev'])(.5)
    for get in ('nngp', 'ntk', 'ntkgp'):
        check_grads(lambda s, get=get: covariance(s, get), modes=['rev'])(.5)
    check_grads(lambda reg: gradient_descent_mse(tt.ntk, y, diag_reg=reg)(None, 0., 0., st.ntk)[1], modes=['rev'])(.1)
    check_grads(lambda a: gradient_descent_mse(tt.ntk, a)([1., 2.], 0., 0., st.ntk)[1], modes=['rev'])(y)
    slope = jacobian(lambda t: gradient_descent_mse(tt.ntk, y, 2.)(t))(np.array(1.5))
    assert_close(slope, -2. * tt.ntk @ (gradient_descent_mse(tt.ntk, y, 2.)(1.5) - y) / y.size, 1e-13)


# ------------------------------------------------------------------ the largest eigenvalue

@pytest.mark.parametrize('n', (1, 2, 7, 30))
def test_largest_eigenvalue(rng, n):
    a = rng.standard_normal((n, n))
    cluster = np.diag(1 - 1e-9 * np.arange(n))
    for k in (a @ a.T, a + a.T, np.eye(n), np.ones((n, n)), cluster, -a @ a.T, np.zeros((n, n))):
        k = (k + k.T) / 2
        w = eigvalsh(k)
        assert abs(largest_eigenvalue(k) - w[-1]) <= 1e-14 * np.abs(w).max()


def test_largest_eigenvalue_without_convergence(monkeypatch):
    monkeypatch.setattr(factor, 'STEPS', 3)
    k = np.diag(1 - .01 * np.arange(20.))
    assert largest_eigenvalue(k) == pytest.approx(1, rel=1e-15)


# ------------------------------------------------------------------ errors

K3, Y3 = np.eye(3), np.ones((3, 2))
NAN = np.where(np.eye(3) > 0, 1., np.nan)


flow, ensemble, gp = gradient_descent_mse, gradient_descent_mse_ensemble, gp_inference


def refuse(*args, **kwargs):
    raise AssertionError('the kernel was computed')


@pytest.mark.parametrize('call, error, message', (
    (lambda: flow(K3, Y3, diag_reg=-1.), ValueError, 'expected diag_reg >= 0, got -1.0'),
    (lambda: gp(K3, Y3, diag_reg=-1.), ValueError, 'expected diag_reg >= 0, got -1.0'),
    (lambda: ensemble(refuse, K3, Y3, diag_reg=-1.), ValueError, 'expected diag_reg >= 0, got -1.0'),
    (lambda: flow(K3, Y3, diag_reg=np.nan), ValueError, 'diag_reg is expected to be finite, got nan'),
    (lambda: flow(K3, Y3, learning_rate=0.), ValueError, 'expected learning_rate > 0, got 0.0'),
    (lambda: ensemble(refuse, K3, Y3, -2.), ValueError, 'expected learning_rate > 0, got -2.0'),
    (lambda: flow(K3, np.ones((4, 2))), ValueError,
     r'k_train_train has shape \(3, 3\), expected \(4, 4\) to match y_train of shape \(4, 2\) with trace_axes=\(-1,\)'),
    (lambda: flow(K3, np.ones(4)), ValueError, r'has shape \(3, 3\), expected \(4, 4\)'),
    (lambda: flow(K3, Y3, trace_axes=()), ValueError, r'expected \(3, 3, 2, 2\)'),
    (lambda: flow(K3, Y3, trace_axes=(2,)), ValueError, 'expected trace_axes between -2 and 1 .* got'),
    (lambda: ensemble(refuse, np.ones((4, 1)), Y3), ValueError,
     r'as many targets as inputs, got y_train of shape \(3, 2\) and x_train of shape \(4, 1\)'),
    (lambda: flow(NAN, Y3), ValueError, r'got k_train_train of shape \(3, 3\) with 6 NaN or infinite'),
    (lambda: flow(K3, Y3 * np.inf), ValueError, r'got y_train of shape \(3, 2\) with 6 NaN or infinite'),
    (lambda: ensemble(refuse, K3, Y3 * np.nan), ValueError, 'got y_train .* 6 NaN'),
    (lambda: ensemble(lambda *a: NAN, K3, Y3)(get='ntk'), ValueError, 'got k_train_train .* 6 NaN'),
    (lambda: gp(Kernels(NAN, K3), Y3), ValueError, 'got k_train_train .* 6 NaN'),
    (lambda: flow(K3, Y3)(None, 0., 0., NAN), ValueError, 'got k_test_train .* 6 NaN'),
    (lambda: flow(K3, Y3)(None, Y3 * np.nan), ValueError, 'got fx_train_0 .* 6 NaN'),
    (lambda: flow(K3, Y3)(-1.), ValueError, r'expected times t >= 0 .* got -1 \(1 such in t of shape \(\)\)'),
    (lambda: flow(K3, Y3)([1., -2., np.nan]), ValueError, r'got -2 \(2 such in t of shape \(3,\)\)'),
    (lambda: ensemble(refuse, K3, Y3)(-1.), ValueError, 'expected times t >= 0'),
    (lambda: flow(K3, Y3)('1'), TypeError, 'expected real numbers'),
    (lambda: flow(K3, Y3)(None, None), ValueError, 'expected fx_train_0 or fx_test_0, got None for both'),
    (lambda: flow(K3, Y3)(None, 0., 0.), ValueError, 'expected k_test_train along with fx_test_0, got None'),
    (lambda: flow(K3, Y3)(None, 0., 0., np.ones((1, 4))), ValueError,
     r'k_test_train has shape \(1, 4\), expected \(any, 3\)'),
    (lambda: flow(K3, Y3)(None, np.ones(3)), ValueError,
     r'fx_train_0 to be a number or an array of shape \(3, 2\), got shape \(3,\)'),
    (lambda: flow(np.triu(np.ones((3, 3))), Y3), ValueError, r'symmetric kernel .* \|k - k.T\| = 2.45'),
    (lambda: flow(K3.tolist(), Y3), TypeError, 'expected an array .* got list'),
    (lambda: flow(K3, np.ones((0, 2))), ValueError, 'at least one target'),
    (lambda: flow(K3 * 1j, Y3), TypeError, 'expected real numbers'),
    (lambda: gp(K3, Y3)('cov', K3), ValueError, "different names out of .'nngp', 'ntk', 'ntkgp'.; got 'cov'"),
    (lambda: gp(K3, Y3)((), K3), ValueError, r'got \(\)'),
    (lambda: gp(K3, Y3)(('ntk', 'NTK'), K3), ValueError, 'one or more different names out of'),
    (lambda: ensemble(refuse, K3, Y3)(get='ntkpg'), ValueError, "got 'ntkpg'"),
    (lambda: gp(K3, Y3)('ntk', K3, K3), ValueError, "the covariance for get='ntk' needs both; got an array"),
    (lambda: gp(Kernels(K3, K3), Y3)('ntk', K3, K3), ValueError, "needs both; got an array"),
    (lambda: gp(Kernels(K3, None), Y3)('ntk', K3), ValueError, 'k_train_train with an attribute ntk, got nngp'),
    (lambda: gp(Kernels(K3, K3), Y3)('ntk', Kernels(K3, None)), ValueError, 'expected k_test_train to be an arr'),
    (lambda: gp(Kernels(K3, K3), Y3)('ntkgp', Kernels(K3, K3), K3), ValueError,
     "k_test_test with an attribute ntk for get='ntkgp', got an array, which may be the NNGP"),
    (lambda: gp(K3, Y3)('nngp', K3, np.eye(2)), ValueError, r'k_test_test has shape \(2, 2\), expected \(3, 3\)'),
    (lambda: ensemble(refuse, K3, Y3)(1., get='ntkgp'), NotImplementedError, 'expected t=None with'),
    (lambda: max_learning_rate(NAN), ValueError, 'got ntk_train_train .* 6 NaN'),
    (lambda: max_learning_rate(K3, momentum=1.), ValueError, 'expected 0 <= momentum < 1, got 1.0'),
    (lambda: max_learning_rate(K3, y_train_size=0), ValueError, 'expected y_train_size > 0, got 0'),
    (lambda: max_learning_rate(np.ones((2, 3))), ValueError, 'one that is 2 x 3'),
    (lambda: max_learning_rate(np.ones((2, 2, 2))), ValueError, r'axes in pairs .* got shape \(2, 2, 2\)'),
    (lambda: max_learning_rate(-K3), ValueError, 'expected a kernel with a positive eigenvalue, got -1'),
))
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize('train', [
    gradient_descent_mse, partial(gradient_descent_mse_steps, learning_rate=1.), gp_inference])
def test_arrays_may_be_used_again(train):
    """A predict_fn knows the numbers that it was given, not what is written into these arrays later."""
    k, y = K3.copy(), np.array([1., 2., 3.])
    asked = ('nngp', K3) if train is gp_inference else (2, 0.)
    before, predict_fn = train(k, y)(*asked), train(k, y)
    k[:], y[:] = 0., 0.
    assert np.array_equal(predict_fn(*asked), before)


def test_no_silent_jitter(rng):
    """What is factored is the kernel that was given: its inverse comes back to rounding, however small the numbers."""
    k = problem(rng).tt.ntk * 1e-9
    assert_close(Factor(k, 0., False, 2.2e-16).solve(k), np.eye(5), 1e-13)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        gradient_descent_mse(k, np.ones(5))([0., np.inf])
