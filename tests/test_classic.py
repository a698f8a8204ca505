"""The first release's predictors against matrix exponentials written out, and each other."""
import autograd.numpy as anp
import numpy as np
import pytest
from problems import assert_close, cross_entropy, mse, problem, soft
from scipy.linalg import expm

from ntref import classic
from ntref.predict import ODEState, gradient_descent

N, M, OUT = 5, 3, 2
FORMS = 'one', 'flat', 'zipped'


def kernels(p, form):
    """g_dd and g_td; outputs that influence each other, unless there is one kernel for all of them."""
    if form == 'one':
        return p.tt.ntk, p.st.ntk
    mix = np.array([[1., .3], [.3, 2.]])
    flat = np.kron(p.tt.ntk, mix), np.kron(p.st.ntk, mix)
    return flat if form == 'flat' else [np.einsum('ij,ab->ijab', k, mix) for k in (p.tt.ntk, p.st.ntk)]


def whole(p, form):
    return kernels(p, 'flat') if form != 'one' else [np.kron(k, np.eye(OUT)) for k in (p.tt.ntk, p.st.ntk)]


def exact(p, form, t):
    """exp of the flow of training and test residuals, all outputs in a row."""
    k, k_test = whole(p, form)
    flow = np.zeros((OUT * (N + M),) * 2)
    flow[:, :OUT * N] = -np.vstack([k, k_test]) / p.y.size
    end = expm(flow * t) @ np.concatenate([(p.f0 - p.y).ravel(), p.f0_test.ravel()])
    return end[:OUT * N].reshape(N, OUT) + p.y, end[OUT * N:].reshape(M, OUT)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('t', (0., .7, 20.))
def test_mse_two_ways(rng, form, t):
    p = problem(rng)
    g_dd, g_td = kernels(p, form)
    expected = exact(p, form, t)
    for predictor, tol in ((lambda *g: classic.analytic_mse_predictor(g_dd, p.y, *g), 1e-12),
                           (lambda *g: classic.gradient_descent_predictor(g_dd, p.y, mse, *g), 2e-7)):
        train, test = predictor(g_td)(p.f0, p.f0_test, t)
        assert_close(train, expected[0], tol)
        assert_close(test, expected[1], tol)
        assert_close(predictor()(p.f0, t), expected[0], tol)


@pytest.mark.parametrize('form', FORMS)
def test_momentum(rng, form):
    """Times are sqrt(learning_rate) steps; states can be gone on from, and have the first release's layout."""
    p, lr, t = problem(rng), .04, 3.
    (g_dd, g_td), (k, k_test) = kernels(p, form), whole(p, form)
    size, n = OUT * (N + M), OUT * N
    flow = np.zeros((2 * size, 2 * size))
    flow[:size, size:], flow[size:, size:] = np.eye(size), -.1 / lr ** .5 * np.eye(size)
    flow[size:, :n] = -np.vstack([k, k_test]) / p.y.size
    start = np.concatenate([(p.f0 - p.y).ravel(), p.f0_test.ravel(), np.zeros(size)])
    end = expm(flow * t) @ start
    f_train, f_test, q_train, q_test = np.split(end, np.cumsum([n, OUT * M, n]))
    init_fn, predict_fn, get_fn = classic.momentum_predictor(g_dd, p.y, mse, lr, g_td)
    state = predict_fn(predict_fn(init_fn(p.f0, p.f0_test), 1.), 2.)
    assert state[:2] == (2 * n, OUT) and state[2].shape == (2 * size,)
    assert_close(state[2], np.concatenate([f_train + p.y.ravel(), q_train, f_test, q_test]), 3e-7)
    assert_close(get_fn(state)[0], f_train.reshape(N, OUT) + p.y, 3e-7)
    assert_close(get_fn(state)[1], f_test.reshape(M, OUT), 3e-7)
    init_fn, predict_fn, get_fn = classic.momentum_predictor(g_dd, p.y, mse, lr, momentum=.9)
    alone = predict_fn(init_fn(p.f0), t)
    assert alone[0] == OUT and alone[1].shape == (2 * n,)
    assert_close(get_fn(alone), f_train.reshape(N, OUT) + p.y, 3e-7)


def test_cross_entropy_is_that_of_predict(rng):
    p = problem(rng)
    y = soft(p)
    train, test = classic.gradient_descent_predictor(p.tt.ntk, y, cross_entropy, p.st.ntk)(p.f0, p.f0_test, 4.)
    state = gradient_descent(cross_entropy, p.tt.ntk, y)(4., ODEState(p.f0, p.f0_test), None, p.st.ntk)
    assert (train == state.fx_train).all() and (test == state.fx_test).all()
    init_fn, predict_fn, get_fn = classic.momentum_predictor(p.tt.ntk, y, cross_entropy, .25, p.st.ntk, .5)
    train, test = get_fn(predict_fn(init_fn(p.f0, p.f0_test), 4.))
    state = gradient_descent(cross_entropy, p.tt.ntk, y, .25, .5)(8., ODEState(p.f0, p.f0_test), None, p.st.ntk)
    assert_close(train, state.fx_train, 1e-12)
    assert_close(test, state.fx_test, 1e-12)


@pytest.mark.parametrize('call, message', (
    (lambda y: classic.analytic_mse_predictor(np.eye(7), y), 'g_dd of shape'),
    (lambda y: classic.analytic_mse_predictor(np.eye(4), y), 'k_train_train has shape'),
    (lambda y: classic.analytic_mse_predictor(np.eye(6), y[:, :, None]), r'y_train of shape \(n, o\)'),
    (lambda y: classic.analytic_mse_predictor(np.eye(6), y, np.ones((3, 6)))(y, y[:1], 1.), 'g_td of shape'),
    (lambda y: classic.gradient_descent_predictor(np.eye(3), y, lambda f, y: f - y)(y, 1.), 'returns a number'),
    (lambda y: classic.momentum_predictor(np.eye(3), y, mse, .1)[0](y, y), 'expected outputs of shapes'),
    (lambda y: classic.momentum_predictor(np.eye(3), y, mse, .1, np.ones((1, 3)))[0](y), 'expected outputs of shapes'),
    (lambda y: classic.momentum_predictor(np.eye(3), y, mse, -.1), 'learning_rate'),
    (lambda y: classic.momentum_predictor(np.eye(3), y, mse, .1)[1]((2, np.ones(12)), -1.), 't >= 0'),
))
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((3, 2)))


def test_as_the_first_release_was_used(rng):
    """(params, x1, x2), parameters a tuple of arrays, matrices (n o, n o); the linear network's kernel by hand."""
    def f(params, x):
        W, b = params
        return anp.dot(x, W) + b
    X, X_test, Y = rng.standard_normal((5, 3)), rng.standard_normal((2, 3)), rng.standard_normal((5, 2))
    many, one = (rng.standard_normal((3, 2)), np.ones(2)), (rng.standard_normal(3), np.array(.5))
    for params, y in ((many, Y), (one, Y[:, 0])):
        G, o = classic.ntk(f), len(y.ravel()) // 5
        G_dd, G_td = G(params, X, X), G(params, X_test, X)
        assert_close(G_dd, np.kron(X @ X.T + 1, np.eye(o)), 1e-14)
        fX, fX_test = f(params, X), f(params, X_test)
        expected = y + expm(-(X @ X.T + 1) * 7. / y.size) @ (fX - y)
        assert_close(classic.analytic_mse_predictor(G_dd, y)(fX, 7.), expected, 1e-12)
        assert_close(classic.gradient_descent_predictor(G_dd, y, mse, G_td)(fX, fX_test, 7.)[0], expected, 6e-7)
        init_fn, predict_fn, get_fn = classic.momentum_predictor(G_dd, y, mse, .01, G_td, .9)
        train, test = get_fn(predict_fn(init_fn(fX, fX_test), 2.))
        assert train.shape == y.shape and test.shape == fX_test.shape


def test_names_are_there():
    import ntref
    assert ntref.classic is classic


def test_a_state_is_of_one_time():
    init_fn, predict_fn, _ = classic.momentum_predictor(np.eye(3), np.ones((3, 2)), mse, .1)
    with pytest.raises(TypeError, match='t is expected to be a number'):
        predict_fn(init_fn(np.zeros((3, 2))), np.array([1., 2.]))
