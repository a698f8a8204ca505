"""predict.gradient_descent against Neural Tangents, closed forms, matrix exponentials, mpmath's ODEs and itself.

`golden/training.npz` holds `gd/LOSS/MOMENTUM/train`, `/test`, computed by Neural Tangents 0.6.5 in float64 (jax 0.4.25,
CPU) for the network of test_predict.py, at learning_rate 0.5 and `NT_TIMES`, and `data/onehot`, targets.
"""
import warnings

import autograd.numpy as anp
import mpmath
import numpy as np
import pytest
from autograd import grad as gradient_of
from places import golden
from problems import F0, F0_TEST, K_ST, K_TT, Y, assert_close, cross_entropy, gaussian_kernel, mse, problem, soft
from scipy.linalg import expm
from scipy.optimize import brentq

from ntref.predict import (
    NotConvergedError, NotReachedError, ODEState, SingularKernelWarning, gradient_descent, gradient_descent_mse)

GOLDEN = golden('training')
NT_TIMES = np.array([0., 1., 5., 20.])
NT_TOL = 2e-7                               # its own tolerance is 1.4e-8 for each step
TIGHT = dict(rtol=1e-12, atol=1e-12)


def coupled(f, y):
    """Examples meet in it; convex, with its minimum at y."""
    r = f - y
    return anp.sum(r ** 2) / 4 + anp.sum(r) ** 2 / 8 + anp.sum(anp.cosh(r)) / 8


LOSSES = {'mse': mse, 'xent': cross_entropy, 'coupled': coupled}


# ------------------------------------------------------------------ others

@pytest.mark.parametrize('momentum', (None, .9))
@pytest.mark.parametrize('loss', ('mse', 'xent'))
def test_against_nt(loss, momentum):
    y = {'mse': Y, 'xent': GOLDEN['data/onehot']}[loss]
    train, test = gradient_descent(LOSSES[loss], K_TT.ntk, y, .5, momentum)(NT_TIMES, F0, F0_TEST, K_ST.ntk)
    assert_close(train, GOLDEN[f'gd/{loss}/{momentum}/train'], NT_TOL)
    assert_close(test, GOLDEN[f'gd/{loss}/{momentum}/test'], NT_TOL)


@pytest.mark.parametrize('method', ('DOP853', 'RK45', 'Radau', 'BDF', 'LSODA'))
def test_closed_form(rng, method):
    p, t = problem(rng), np.array([[3., 0., .2], [40., 3., 1e-3]])
    expected = gradient_descent_mse(p.tt.ntk, p.y, 1.5)(t, p.f0, p.f0_test, p.st.ntk)
    actual = gradient_descent(mse, p.tt.ntk, p.y, 1.5, method=method)(t, p.f0, p.f0_test, p.st.ntk)
    for a, b in zip(actual, expected):
        assert_close(a, b, 3e-6 if method == 'BDF' else 2e-7)
    if method == 'DOP853':
        actual = gradient_descent(mse, p.tt.ntk, p.y, 1.5, method=method, **TIGHT)(t, p.f0, p.f0_test, p.st.ntk)
        for a, b in zip(actual, expected):
            assert_close(a, b, 1e-11)


@pytest.mark.parametrize('momentum', (0., .5, .95))
def test_momentum_of_a_square_is_a_matrix_exponential(rng, momentum):
    """d(f, q)/dtau for training and test outputs together, literally; from any state, and a kernel of lower rank."""
    p, lr, t = problem(rng), .3, np.array([0., 1., 20.])
    lift = np.repeat(np.eye(p.n), 2, 0)                                  # every training point twice
    k, k_test, y = lift @ p.tt.ntk @ lift.T, p.st.ntk @ lift.T, rng.standard_normal((2 * p.n, 2))
    f, q = rng.standard_normal((2, 2 * p.n + p.m, 2))
    n, size = 2 * p.n, 2 * p.n + p.m
    flow = np.zeros((2 * size, 2 * size))
    flow[:size, size:] = np.eye(size)
    flow[size:, size:] = -(1 - momentum) / lr ** .5 * np.eye(size)
    flow[size:, :n] = -np.vstack([k, k_test]) / y.size
    start = np.vstack([f[:n] - y, f[n:], q])
    expected = np.stack([expm(flow * lr ** .5 * s) @ start for s in t])
    state = gradient_descent(mse, k, y, lr, momentum, **TIGHT)(t, ODEState(f[:n], f[n:], q[:n], q[n:]), None, k_test)
    assert isinstance(state, ODEState)
    assert_close(state.fx_train, expected[:, :n] + y, 1e-10)
    assert_close(state.fx_test, expected[:, n:size], 1e-10)
    assert_close(state.qx_train, expected[:, size:size + n], 1e-10)
    assert_close(state.qx_test, expected[:, size + n:], 1e-10)


@pytest.mark.parametrize('momentum', (None, .8))
def test_cross_entropy_by_taylor_series(momentum):
    """Three inputs, three classes, one test point, by mpmath to 16 digits."""
    k = np.array([[2., .5, .1], [.5, 1., -.3], [.1, -.3, 1.5]])
    k_test, y, f0 = np.array([[.4, .2, .7]]), np.array([[1., 0., 0.], [0., .5, .5], [0., 0., 1.]]), np.eye(3) - .3
    lr, t = .7, 2.
    kernel = mpmath.matrix(np.vstack([k, k_test]).tolist())

    def force(f):
        g = mpmath.matrix(3, 3)
        for i in range(3):
            e = [mpmath.exp(f[i, j]) for j in range(3)]
            for j in range(3):
                g[i, j] = (e[j] / sum(e) - y[i, j]) / 3
        return -kernel * g

    def rhs(tau, s):
        f = mpmath.matrix(4, 3)
        for i in range(12):
            f[i // 3, i % 3] = s[i]
        if momentum is None:
            return list(force(f))
        c = (1 - momentum) / mpmath.sqrt(lr)
        return list(s[12:]) + [a - c * q for a, q in zip(force(f), s[12:])]
    with mpmath.workdps(18):
        start = [*map(mpmath.mpf, f0.ravel()), *[mpmath.mpf(0)] * (3 if momentum is None else 15)]
        end = mpmath.odefun(rhs, 0, start, tol=mpmath.mpf('1e-16'))(lr * t if momentum is None else mpmath.sqrt(lr) * t)
        expected = np.array([float(v) for v in end[:12]]).reshape(4, 3)
    for tolerances, tol in (({}, 1e-7), (TIGHT, 1e-11)):
        train, test = gradient_descent(cross_entropy, k, y, lr, momentum, **tolerances)(t, f0, 0., k_test)
        assert_close(train, expected[:3], tol)
        assert_close(test, expected[3:], tol)


# ------------------------------------------------------------------ limits and invariants

def test_much_damping_is_gradient_descent(rng):
    """Heavy ball at a small rate moves like gradient descent at learning_rate/(1 - momentum); the rest is O(rate)."""
    p, errors = problem(rng), []
    for lr in (2e-2, 2e-3):
        slow, flow = (gradient_descent(cross_entropy, p.tt.ntk, soft(p), *given, rtol=1e-9, atol=1e-9)(1 / lr, p.f0)
                      for given in ((lr, .5), (2 * lr, None)))
        errors.append(np.abs(slow - flow).max())
    assert 8 < errors[0] / errors[1] < 12 and errors[0] < .1


@pytest.mark.parametrize('momentum', (None, .9))
@pytest.mark.parametrize('loss', ('xent', 'coupled'))
def test_a_run_can_be_continued(rng, loss, momentum):
    p = problem(rng)
    predict = gradient_descent(LOSSES[loss], p.tt.ntk, soft(p), .8, momentum, **TIGHT)
    whole = predict(np.array([2., 5.]), ODEState(p.f0, p.f0_test), None, p.st.ntk)
    half = predict(2., ODEState(p.f0, p.f0_test), None, p.st.ntk)
    rest = predict(3., half, None, p.st.ntk)
    assert (half.qx_train is None) == (half.qx_test is None) == (momentum is None)
    for name in ODEState._fields if momentum else ODEState._fields[:2]:
        assert_close(getattr(half, name), getattr(whole, name)[0], 1e-10)
        assert_close(getattr(rest, name), getattr(whole, name)[1], 1e-10)
    assert_close(predict(5., p.f0), whole.fx_train[1], 1e-10)


def test_times_of_any_shape_and_order(rng):
    p = problem(rng)
    predict = gradient_descent(cross_entropy, p.tt.ntk, soft(p))
    t = [[3., 0.], [.5, 3.], [7., .1]]
    train, test = predict(t, p.f0, p.f0_test, p.st.ntk)
    assert train.shape == (3, 2, *p.y.shape) and test.shape == (3, 2, *p.f0_test.shape)
    for i, row in enumerate(t):
        for j, one in enumerate(row):
            a, b = predict(one, p.f0, p.f0_test, p.st.ntk)
            assert_close(train[i, j], a, 1e-7)
            assert_close(test[i, j], b, 1e-7)
    assert (train[0, 1] == p.f0).all() and (train[0, 0] == train[1, 1]).all()
    assert predict(np.zeros((0, 2)), p.f0).shape == (0, 2, *p.y.shape)
    assert predict(np.zeros(3), p.f0).shape == (3, *p.y.shape)


def test_which_outputs(rng):
    p = problem(rng)
    predict = gradient_descent(mse, p.tt.ntk, p.y)
    both = predict(1., 0., 0., p.st.ntk)
    assert (predict(1., None, 0., p.st.ntk) == both[1]).all() and (predict(1.) == both[0]).all()
    state = predict(1., ODEState(None, p.f0_test), None, p.st.ntk)
    assert state.fx_train is None and state.qx_test is None and state.fx_test.shape == p.f0_test.shape


@pytest.mark.parametrize('shape, trace_axes', (((4, 3), ()), ((4, 2, 3), (-1,)), ((4, 2, 3), (1,)), ((4, 2, 3), ()),
                                               ((4, 2, 3), (0,)), ((4, 2), (0, 1)), ((4,), ()), ((4,), (-1,))))
@pytest.mark.parametrize('loss', ('mse', 'coupled'))
@pytest.mark.parametrize('method', ('DOP853', 'Radau'))
def test_axes(rng, loss, shape, trace_axes, method):
    """The same with the whole kernel, identities and all, on targets in a row."""
    kept = [i for i in range(len(shape)) if i not in [a % len(shape) for a in trace_axes]] or []
    kept = [0] if shape == (4,) else kept
    sizes = [shape[i] for i in kept]
    a = rng.standard_normal((int(np.prod(sizes)), 12))
    k = np.moveaxis((a @ a.T / 12).reshape(sizes * 2), range(len(sizes), 2 * len(sizes)), range(1, 2 * len(sizes), 2))
    index = np.indices(shape).reshape(len(shape), -1)
    whole = np.ones((index.shape[1],) * 2)
    if sizes:
        whole = k[tuple(part for i in kept for part in (index[i][:, None], index[i][None]))]
    else:
        whole = whole * k
    for i in set(range(len(shape))) - set(kept):
        whole = whole * (index[i][:, None] == index[i])
    y, f0, t = rng.standard_normal(shape), rng.standard_normal(shape), np.array([.5, 4.])
    actual = gradient_descent(LOSSES[loss], k, y, 1., None, trace_axes, method=method)(t, f0)
    expected = gradient_descent(LOSSES[loss], whole, y.ravel(), 1., None, (), **TIGHT)(t, f0.ravel())
    assert_close(actual, expected.reshape(2, *shape), 2e-7)


# ------------------------------------------------------------------ infinite time

@pytest.mark.parametrize('loss, momentum', (('mse', None), ('mse', .5), ('coupled', None)))
def test_infinite_time_is_the_minimum(rng, loss, momentum):
    p = problem(rng)
    predict = gradient_descent(LOSSES[loss], p.tt.ntk, p.y, 1., momentum)
    expected = gradient_descent_mse(p.tt.ntk, p.y)(None, p.f0, p.f0_test, p.st.ntk)
    for t in (None, np.inf):
        (train, test), stats = predict(t, p.f0, p.f0_test, p.st.ntk, stats=True)
        assert_close(train, expected[0], 1e-6)
        assert_close(test, expected[1], 3e-6)
        assert 0 <= stats.distance < 1e-6 and stats.t > 1
    mixed = predict([np.inf, 1., 0.], p.f0)
    assert_close(mixed[0], train, 1e-6)
    assert_close(mixed[1], predict(1., p.f0), 1e-6)


def test_infinite_time_with_two_targets_for_one_input():
    k, y = np.ones((2, 2)), np.array([1., 3.])
    with pytest.warns(SingularKernelWarning, match='1 of 2'):
        train, test = gradient_descent(mse, k, y)(None, 0., 0., np.ones((1, 2)))
    assert_close(train, np.array([2., 2.]), 1e-6)
    assert_close(test, np.array([2.]), 1e-6)
    assert (gradient_descent(mse, 0 * k, y)([1., np.inf], 5.) == 5.).all()


def test_infinite_time_of_cross_entropy(rng):
    """Probabilities are the targets; differences of a row move, its sum does not."""
    p = problem(rng)
    y = soft(p)
    f = gradient_descent(cross_entropy, p.tt.ntk, y)(None, p.f0)
    assert_close(np.exp(f) / np.exp(f).sum(1, keepdims=True), y, 1e-6)
    assert_close(f.sum(1), p.f0.sum(1), 1e-6)


@pytest.mark.parametrize('momentum', (None, .9))
def test_no_minimum_is_said(rng, momentum):
    p = problem(rng)
    y = np.eye(2)[[0, 1, 0, 1, 0]]
    with pytest.raises(NotReachedError, match='as if there were none') as e:
        gradient_descent(cross_entropy, p.tt.ntk, y, 1., momentum, rtol=1e-5, atol=1e-5)([1., None or np.inf], p.f0)
    assert e.value.times == [1.] and e.value.residual > .1 and e.value.t > 1e5
    assert (np.argmax(e.value.state.fx_train, 1) == np.argmax(y, 1)).all()


# ------------------------------------------------------------------ how it is done

def test_stiff_problems_change_to_an_implicit_method(rng):
    """Eigenvalues over 8 decades: an explicit method would take some 1e6 steps."""
    q, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    k, y = (q * np.logspace(4, -4, 6)) @ q.T, rng.standard_normal((6, 2))
    t = np.array([1e-3, 1., 1e3, 1e5])
    actual, stats = gradient_descent(mse, k, y)(t, 0., stats=True)
    assert stats.method == 'DOP853, Radau' and stats.steps < 1000 and stats.njev > 0 and stats.nlu > 0
    assert_close(actual, gradient_descent_mse(k, y)(t, 0.), 1e-6)
    y = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    a, stats = gradient_descent(cross_entropy, k, y)(t, 0., stats=True)
    assert stats.method == 'DOP853, Radau' and stats.steps < 1000
    assert_close(a, gradient_descent(cross_entropy, k, y, method='LSODA', rtol=1e-9, atol=1e-9)(t, 0.), 1e-6)


@pytest.mark.parametrize('rtol, tol', ((1e-6, 4e-5), (1.4e-8, 6e-7), (1e-10, 4e-9)))
def test_accuracy_stated(rtol, tol):
    """40 rtol, where steps are held back by stability and beyond, to when nothing moves any more."""
    x, t = np.random.default_rng(3).standard_normal((10, 5)), np.array([.1, 10., 1e3, 1e4])
    k = 3 * gaussian_kernel(x, x) + .5
    k, k_test, y, f0 = k[:6, :6], k[6:, :6], np.sin(np.arange(12.)).reshape(6, 2), np.cos(np.arange(12.)).reshape(6, 2)
    expected = gradient_descent_mse(k, y)(t, f0, 0., k_test)
    for a, b in zip(gradient_descent(mse, k, y, rtol=rtol, atol=rtol)(t, f0, 0., k_test), expected):
        assert_close(a, b, tol)


def test_what_has_come_to_rest_is_not_followed_step_by_step(rng):
    p = problem(rng)
    f, stats = gradient_descent(mse, p.tt.ntk, p.y, 1., .9)(1e6, p.f0, stats=True)
    assert_close(f, p.y, 1e-7)
    assert stats.method == 'DOP853, Radau' and stats.steps < 2000


def test_easy_problems_do_not(rng):
    p = problem(rng)
    _, stats = gradient_descent(cross_entropy, p.tt.ntk, soft(p))(100., p.f0, stats=True)
    assert stats.method == 'DOP853' and stats.nlu == stats.njev == 0 and stats.t == 100. and stats.distance is None
    assert 12 * stats.steps <= stats.nfev < 20 * stats.steps + 20


@pytest.mark.parametrize('momentum', (None, .9))
def test_step_limit_leaves_what_was_reached(rng, momentum):
    p, t = problem(rng), np.array([30., 1e-3, 1e-4, 10.])
    options = dict(rtol=1e-10, atol=1e-10, method='DOP853')
    whole = gradient_descent(cross_entropy, p.tt.ntk, soft(p), 1., momentum, **options)
    expected = whole(np.sort(t), ODEState(p.f0, p.f0_test), None, p.st.ntk)
    with pytest.raises(NotReachedError, match='max_steps=3 are taken') as e:
        gradient_descent(cross_entropy, p.tt.ntk, soft(p), 1., momentum, max_steps=3, **options)(
            t, p.f0, p.f0_test, p.st.ntk)
    error = e.value
    k = len(error.times)
    assert 0 < k < 4 and isinstance(error, NotConvergedError) and error.steps == error.stats.steps == 3
    assert list(error.times) == list(np.sort(t)[:k]) and error.times[-1] <= error.t < 30
    assert_close(error.result[0], expected.fx_train[:k], 1e-8)
    assert_close(error.result[1], expected.fx_test[:k], 1e-8)
    assert_close(whole(30. - error.t, error.state, None, p.st.ntk).fx_test, expected.fx_test[-1], 1e-8)


def test_nan_on_the_way_ends_with_what_was_reached():
    """sqrt(1 - f) has a gradient that grows to infinity at f = 1, reached at a finite time."""
    with np.errstate(invalid='ignore', divide='ignore'), pytest.raises(NotReachedError) as e:
        gradient_descent(lambda f, y: anp.sum(anp.sqrt(1 - f)), np.eye(1), np.zeros((1, 1)))([.1, 5.])
    assert e.value.times == [.1] and .1 < e.value.t < 5 and np.isfinite(e.value.state.fx_train).all()


def test_given_derivatives_are_those_of_autograd(rng):
    p = problem(rng)
    y, t, called = soft(p), np.array([.5, 8.]), []

    def probabilities(f):
        e = np.exp(f - f.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def grad(f, y):
        called.append('grad')
        return (probabilities(f) - y) / len(f)

    def hvp(f, y, v):
        called.append('hvp')
        s = probabilities(f)
        return (s * v - s * (s * v).sum(1, keepdims=True)) / len(f)
    for method in ('DOP853', 'Radau'):
        expected = gradient_descent(cross_entropy, p.tt.ntk, y, method=method)(t, p.f0)
        actual = gradient_descent(None, p.tt.ntk, y, method=method, grad=grad, hvp=hvp)(t, p.f0)
        assert_close(actual, expected, 1e-9)
    assert {'grad', 'hvp'} == set(called)
    traced = gradient_descent(None, p.tt.ntk, y, grad=gradient_of(cross_entropy), method='Radau')(t, p.f0)
    assert_close(traced, expected, 1e-9)


def test_single_precision(rng):
    p = problem(rng)
    single = [a.astype('float32') for a in (p.tt.ntk, p.y, p.f0, p.f0_test, p.st.ntk)]
    k, y, f0, f0_test, k_test = single
    out = gradient_descent(mse, k, y)(2., f0, f0_test, k_test)
    expected = gradient_descent(mse, *(a.astype('float64') for a in (k, y)))(2., *(
        a.astype('float64') for a in (f0, f0_test, k_test)))
    for a, b in zip(out, expected):
        assert a.dtype == 'float32' and b.dtype == 'float64'
        assert_close(a, b, 1e-7)


def test_progress_is_shown(rng, capfd):
    p = problem(rng)
    gradient_descent(mse, p.tt.ntk, p.y, progress=True)(3.)
    assert 'gradient descent' in capfd.readouterr().err
    gradient_descent(mse, p.tt.ntk, p.y)(3.)
    assert capfd.readouterr().err == ''


def test_inputs_are_left_alone(rng):
    p = problem(rng)
    arrays = p.tt.ntk, p.y, p.f0, p.f0_test, p.st.ntk
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    gradient_descent(mse, p.tt.ntk, p.y, 1., .9, method='Radau')([2., 1.], p.f0, p.f0_test, p.st.ntk)
    assert all((a == b).all() for a, b in zip(arrays, copies))


# ------------------------------------------------------------------ momentum, and times within steps

SQUARES = dict(grad=lambda f, y: (f - y) / y.size, hvp=lambda f, y, v: v / y.size)


def heavy_ball(momentum, rate, times):
    """A kernel, targets, outputs at t = 0 and, by a matrix exponential, at all times, of training and test points."""
    x = np.random.default_rng(3).standard_normal((10, 5))
    k = 3 * gaussian_kernel(x, x) + .5
    y, f0 = np.sin(np.arange(12.)).reshape(6, 2), np.cos(np.arange(12.)).reshape(6, 2)
    flow = np.zeros((20, 20))
    flow[:10, 10:], flow[10:, 10:] = np.eye(10), -(1 - momentum) / rate ** .5 * np.eye(10)
    flow[10:, :6] = -k[:, :6] / y.size
    start = np.vstack([f0 - y, np.zeros((14, 2))])
    end = np.stack([expm(flow * rate ** .5 * t) @ start for t in times])
    return k[:6, :6], k[6:, :6], y, f0, end[:, :6] + y, end[:, 6:10]


@pytest.mark.parametrize('rate', (.04, 1.))
@pytest.mark.parametrize('momentum', (0., .5, .9, .99, pytest.param(.999, marks=pytest.mark.slow)))
def test_accuracy_stated_with_momentum(momentum, rate):
    """40 rtol, however long oscillations last: 2/(1 - momentum) steps of the heavy ball."""
    times = np.array([.1, 10., 100., 1000.])
    k, k_test, y, f0, train, test = heavy_ball(momentum, rate, times)
    found = gradient_descent(None, k, y, rate, momentum, **SQUARES)(times, f0, 0., k_test)
    for a, b in zip(found, (train, test)):
        assert_close(a, b, 40 * 1.4e-8)


@pytest.mark.parametrize('method, tol', (('DOP853', 1e-8), ('RK45', 1e-6), ('RK23', 1e-5), ('Radau', 1e-8)))
def test_times_within_a_step_are_as_exact_as_steps(method, tol):
    """Interpolation by DOP853 was off by 80 rtol at t = 100, in a step to 150; a step that ends there by 0.04."""
    times = np.array([70., 100., 130., 1000.])
    k, k_test, y, f0, train, test = heavy_ball(.5, .04, times)
    options = dict(method=method, **SQUARES) if tol < 1e-7 else dict(method=method, rtol=1e-6, atol=1e-6, **SQUARES)
    found = gradient_descent(None, k, y, .04, .5, **options)(times, f0, 0., k_test)
    for a, b in zip(found, (train, test)):
        assert_close(a, b, tol)


# ------------------------------------------------------------------ kinks

KINKS = {'absolute': (lambda f, y: np.sign(f - y), lambda f, y: anp.sum(anp.abs(f - y))),
         'pinball': (lambda f, y: np.where(f > y, .2, -.8),
                     lambda f, y: anp.sum(anp.maximum(.2 * (f - y), .8 * (y - f)))),
         'hinge': (lambda f, y: np.where(y * f < 1, -y, 0.), lambda f, y: anp.sum(anp.maximum(0., 1. - y * f)))}


@pytest.mark.parametrize('name, t', (('absolute', 5.), ('absolute', None), ('pinball', 1000.), ('hinge', 1000.)))
def test_where_outputs_would_stay_on_a_kink_that_is_said(name, t):
    """One output from 0 to 1 at its speed, there at 1/speed; it would go back from beyond."""
    grad, loss = KINKS[name]
    speed, meet = {'absolute': (1., .5), 'pinball': (.8, .5), 'hinge': (1., -.5)}[name]
    k, y = np.array([[1., meet], [meet, 1.]]), np.array([[1.], [1.]])
    with pytest.raises(NotReachedError, match='gradient of the loss jumps by .* kink') as error:
        gradient_descent(None, k, y, grad=lambda f, y: grad(f, y) * [[1.], [.1]], method='DOP853')(
            [.5, 100. if t is None else t, np.inf if t is None else t], 0.)
    slopes = speed * (k @ [1., .1])                           # it goes on for a moment, in steps that shrink
    assert list(error.value.times) == [.5] and error.value.t == pytest.approx(1 / slopes[0], rel=.01)
    assert_close(error.value.result, .5 * slopes[None, :, None], 1e-7)
    assert error.value.state.fx_train[0, 0] == pytest.approx(1., abs=1e-6) and error.value.steps < 2000
    if t == 5.:                                               # by autograd, all solvers
        with pytest.raises(NotReachedError, match='kink'):
            gradient_descent(loss, k, y * [[1.], [2.]])(t, 0.)


@pytest.mark.parametrize('name, t, momentum', (
    ('absolute', 1000., .9), ('absolute', None, .9), ('pinball', 1000., None), ('pinball', 1000., .9),
    ('hinge', 1000., None), ('hinge', None, None), ('hinge', None, .9), ('insensitive', None, .9)))
def test_many_outputs_on_kinks_end_soon(name, t, momentum):
    """They come to their kinks one after the other, and with momentum go to and fro."""
    x = np.linspace(-1, 1, 8)[:, None]
    grad = {**KINKS, 'insensitive': (lambda f, y: np.sign(f - y) * (abs(f - y) > .1), None)}[name][0]
    predict = gradient_descent(None, 2 * gaussian_kernel(x, x) + 1., np.sign(np.sin(6 * x)), 1., momentum, rtol=1e-5,
                               atol=1e-5, grad=lambda f, y: grad(f, y) / y.size, hvp=lambda f, y, v: 0 * v)
    with pytest.raises(NotReachedError, match='gradient of the loss jumps by .* kink') as error:
        predict([.1, np.inf if t is None else t])
    assert list(error.value.times) == [.1] and error.value.steps < 1500 and error.value.stats.nfev < 30000
    assert_close(error.value.result[0], predict(.1), 1e-12)


@pytest.mark.parametrize('end, width', ((5., 2.), (1e4, .1)))
def test_kinks_that_are_crossed_are_followed_through(end, width):
    """df/dt = 2 up to f = y, then 1: f = t + y/2 from t = y/2 on; twenty such inputs, each at a time of its own."""
    y = np.linspace(1., 1. + width, 20)[:, None]
    found, stats = gradient_descent(None, np.eye(20), y, grad=lambda f, y: np.where(f < y, -2., -1.))(
        [.2, end], 0., stats=True)
    assert_close(found, np.stack([.4 + 0 * y, end + y / 2]), 1e-6)
    assert stats.steps < 2000


def test_kinks_crossed_to_and_fro_are_followed_while_that_ends():
    """f'' = -c f' - sign(f - 1), by the formula between kinks, at ten crossings."""
    c, t = .1, 20.
    found, stats = gradient_descent(None, np.eye(1), np.ones((1, 1)), 1., .9, grad=lambda f, y: np.sign(f - y))(
        t, stats=True)
    f, q, left, side, crossings = -1., 0., t, 1., 0
    while True:                                               # f(s) = f + side s/c + (q - side/c) (1 - exp(-c s))/c
        def course(s):
            return f + side * s / c + (q - side / c) * -np.expm1(-c * s) / c
        steps = np.linspace(1e-9, left, 4000)
        beyond = np.flatnonzero(side * course(steps) > 0)
        if not len(beyond):
            break
        meet = brentq(course, steps[max(beyond[0] - 1, 0)], steps[beyond[0]], xtol=1e-14)
        q, f = side / c + (q - side / c) * np.exp(-c * meet), 0.
        left, side, crossings = left - meet, -side, crossings + 1
    assert crossings >= 10 and abs(found - 1. - course(left)) < 1e-5


def test_hinge_comes_to_rest_beyond_its_kinks():
    """With momentum all outputs cross, and coast: there is a minimum."""
    y = np.sign(np.sin(3 * np.linspace(-2, 2, 8)))[:, None]
    f, stats = gradient_descent(KINKS['hinge'][1], np.eye(8) + .1, y, 1., .9)(None, stats=True)
    assert (y * f > 1).all() and stats.distance <= 10 * 1.4e-8 * (1 + abs(f).max())


@pytest.mark.parametrize('scale', (1e-300, 1e-155, 1., 1e155, 1e300))
@pytest.mark.parametrize('method', ('auto', 'RK45', 'Radau', 'BDF', 'LSODA'))
def test_numbers_of_all_sizes_end(scale, method):
    """In time, with an error that has a name, or right: outputs in other units, to the tolerance times those."""
    k, y = np.array([[1., .5], [.5, 1.]]), np.array([[1.], [2.]]) * scale
    with np.errstate(all='ignore'), warnings.catch_warnings():
        warnings.simplefilter('ignore')                   # LSODA's own
        try:
            found = gradient_descent(None, k, y, method=method, max_steps=500, **SQUARES)([1., 10.], 0.)
        except (NotReachedError, ValueError):
            return
    assert_close(found, gradient_descent_mse(k, y)([1., 10.]), 1e-5)


# ------------------------------------------------------------------ what is refused

ONES, EYE = np.ones((2, 1)), np.eye(2)


@pytest.mark.parametrize('call, error, message', (
    (lambda: gradient_descent(lambda f, y: (f - y) ** 2, EYE, ONES)(1.), ValueError, 'returns a number'),
    (lambda: gradient_descent(lambda f, y: anp.sum(f) * np.nan, EYE, ONES)(1.), ValueError, 'finite loss'),
    (lambda: gradient_descent(lambda f, y: anp.sum(anp.sqrt(f ** 2)), EYE, ONES)(1.), ValueError, 'gradient'),
    (lambda: gradient_descent(lambda f, y: 'x', EYE, ONES)(1.), ValueError, 'returns a number'),
    (lambda: gradient_descent(lambda f, y: float(np.sum(y)), EYE, ONES)(1.), ValueError, 'autograd.numpy'),
    (lambda: gradient_descent(lambda f, y: float(np.sum(np.asarray(f) - y)), EYE, ONES)(1.), ValueError, 'autograd'),
    (lambda: gradient_descent(lambda f, y: np.array([f.sum()], float)[0], EYE, ONES)(1.), ValueError, 'autograd.numpy'),
    (lambda: gradient_descent('mse', EYE, ONES), TypeError, 'loss to be a function'),
    (lambda: gradient_descent(None, EYE, ONES), TypeError, 'got None without grad'),
    (lambda: gradient_descent(mse, EYE, ONES, grad=1.), TypeError, 'grad to be a function'),
    (lambda: gradient_descent(mse, EYE, ONES, grad=lambda f, y: f[:1])(1.), ValueError, r'shape \(2, 1\) of y_train'),
    (lambda: gradient_descent(mse, EYE, ONES, hvp=lambda f, y, v: v[:1], method='BDF')(1.), ValueError, 'hvp'),
    (lambda: gradient_descent(mse, EYE, np.ones((3, 1))), ValueError, 'k_train_train has shape'),
    (lambda: gradient_descent(mse, np.array([[1., .5], [.1, 1.]]), ONES), ValueError, 'symmetric'),
    (lambda: gradient_descent(mse, -EYE, ONES), ValueError, 'positive semi-definite'),
    (lambda: gradient_descent(mse, EYE * np.nan, ONES), ValueError, 'NaN'),
    (lambda: gradient_descent(mse, EYE, ONES * np.nan), ValueError, 'y_train'),
    (lambda: gradient_descent(mse, EYE.astype(object), ONES.astype(object)), TypeError, 'NumPy'),
    (lambda: gradient_descent(mse, EYE, ONES, 0.), ValueError, 'learning_rate'),
    (lambda: gradient_descent(mse, EYE, ONES, 1., 1.), ValueError, '0 <= momentum < 1'),
    (lambda: gradient_descent(mse, EYE, ONES, 1., -.1), ValueError, 'momentum'),
    (lambda: gradient_descent(mse, EYE, ONES, rtol=0.), ValueError, 'rtol'),
    (lambda: gradient_descent(mse, EYE, ONES, rtol=1e-15), ValueError, 'rounding'),
    (lambda: gradient_descent(mse, EYE, ONES, hvp=lambda f, y, v: v * np.nan, method='BDF')(1.), ValueError, 'Hessian'),
    (lambda: gradient_descent(mse, EYE, ONES, atol=-1.), ValueError, 'atol'),
    (lambda: gradient_descent(mse, EYE, ONES, method='Euler'), ValueError, 'DOP853'),
    (lambda: gradient_descent(mse, EYE, ONES, max_steps=0), ValueError, 'max_steps'),
    (lambda: gradient_descent(mse, EYE, ONES)(-1.), ValueError, 't >= 0'),
    (lambda: gradient_descent(mse, EYE, ONES)([1., np.nan]), ValueError, 't >= 0'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., None), ValueError, 'None for both'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., ODEState()), ValueError, 'None for both'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., 0., 0.), ValueError, 'k_test_train'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., ODEState(0.), 0., EYE), ValueError, 'fx_test of its own'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., ODEState(0., qx_train=0.)), ValueError, 'without momentum'),
    (lambda: gradient_descent(mse, EYE, ONES, 1., .9)(1., ODEState(0., qx_test=0.)), ValueError, 'without fx_test'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., np.ones((3, 1))), ValueError, 'fx_train'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., ONES * np.inf), ValueError, 'fx_train'),
    (lambda: gradient_descent(mse, EYE, ONES)(1., 0., 0., np.ones((1, 3))), ValueError, 'k_test_train has shape'),
))
def test_errors(call, error, message):
    with pytest.raises(error, match=message), np.errstate(all='ignore'):
        call()
