"""Gradient descent in steps against loops written out, in function space and in parameters; mpmath; the flow."""
from itertools import product
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from autograd import grad
from autograd import numpy as anp
from autograd.test_util import check_grads
from kinds import to_kind, to_numpy
from problems import GOLDEN, K_TT, Y, assert_close, gaussian_kernel, problem
from scipy.linalg import expm

from ntref.predict import (
    NotPSDError, SingularKernelWarning, gradient_descent_mse, gradient_descent_mse_steps, max_learning_rate)
from ntref.predict.discrete import edge, lookahead, power

METHODS = {'plain': dict(), 'heavy ball': dict(momentum=.9), 'light ball': dict(momentum=.3),
           'nesterov': dict(momentum=.9, nesterov=True), 'light nesterov': dict(momentum=.3, nesterov=True)}
EPS = np.finfo(float).eps


def descent(gradient, theta, rate, steps, momentum=0., nesterov=False):
    """Parameters after 0, 1, ... steps, as torch.optim.SGD moves them."""
    v, path = 0 * theta, [theta]
    for _ in range(steps):
        g = gradient(theta)
        v = momentum * v + g
        theta = theta - rate * (g + momentum * v if nesterov else v)
        path.append(theta)
    return np.array(path)


def loop(p, rate, steps, reg=0., **method):
    """Training and test outputs after 0, 1, ... steps in function space: parameters are the outputs."""
    def gradient(f):
        r = (f[:p.n] - p.y) / p.y.size
        return np.concatenate([p.tt.ntk @ r + reg * r, p.st.ntk @ r])
    path = descent(gradient, np.concatenate([p.f0, p.f0_test]), rate, steps, **method)
    return path[:, :p.n], path[:, p.n:]


# ------------------------------------------------------------------ loops

@pytest.mark.parametrize('reg', (0., .3))
@pytest.mark.parametrize('speed', (1e-3, .4, .999, 1.02))
@pytest.mark.parametrize('method', METHODS)
def test_against_a_loop_in_function_space(rng, method, speed, reg):
    p, method = problem(rng), METHODS[method]
    rate = speed * max_learning_rate(p.tt.ntk + reg * np.eye(p.n), p.y.size, **method)
    predict = gradient_descent_mse_steps(p.tt.ntk, p.y, rate, **method, diag_reg=reg, diag_reg_absolute_scale=True)
    moved = loop(p, rate * (1 + 1e-8), 300, reg, **method)
    for got, expected, other in zip(predict(range(301), p.f0, p.f0_test, p.st.ntk), loop(p, rate, 300, reg, **method),
                                    moved):
        assert np.abs(expected[300]).max() > 20 if speed > 1 else np.abs(expected).max() < 20
        for i in 0, 1, 2, 3, 10, 100, 300:
            condition = abs(other[i] - expected[i]).max() / 1e-8 / abs(expected[i]).max()     # of z^i, beyond the edge
            assert_close(got[i], expected[i], max(1e-12, p.n * 2.3e-16 * condition))


@pytest.mark.parametrize('reg', (0., .3))
@pytest.mark.parametrize('method', METHODS)
def test_against_a_loop_in_parameters(rng, method, reg):
    """A linear model; diag_reg is a weight for each training output alone, as noise is."""
    method, n, m = METHODS[method], 5, 3
    phi, theta, y = rng.standard_normal((n + m, 9)), rng.standard_normal((9, 2)), rng.standard_normal((n, 2))
    own = np.vstack([reg ** .5 * np.eye(n), np.zeros((m, n))])
    phi, theta = np.hstack([phi, own]), np.vstack([theta, rng.standard_normal((n, 2))])
    k = (phi @ phi.T)[:, :n] - np.vstack([reg * np.eye(n), np.zeros((m, n))])
    rate = .7 * max_learning_rate(k[:n] + reg * np.eye(n), y.size, **method)
    path = phi @ descent(lambda w: phi[:n].T @ (phi[:n] @ w - y) / y.size, theta, rate, 60, **method)
    predict = gradient_descent_mse_steps(k[:n], y, rate, **method, diag_reg=reg, diag_reg_absolute_scale=True)
    train, test = predict([[0, 1], [7, 60]], path[0, :n], path[0, n:], k[n:])
    assert_close(train.reshape(4, n, 2), path[[0, 1, 7, 60], :n], 1e-12)
    assert_close(test.reshape(4, m, 2), path[[0, 1, 7, 60], n:], 1e-12)


def test_nesterov_is_where_sutskever_takes_the_gradient(rng):
    p, m, rate = problem(rng), .8, .4
    theta, v = p.f0, 0 * p.f0
    predict = gradient_descent_mse_steps(p.tt.ntk, p.y, rate, m, True)
    for k in range(30):
        ahead = theta + m * v
        assert_close(predict(k, p.f0), ahead, 1e-13)
        v = m * v - rate * p.tt.ntk @ (ahead - p.y) / p.y.size
        theta = theta + v
    assert np.abs(theta + m * v - theta).max() > 1e-3


def test_by_hand():
    # K = 2, y = 1, x = 1/2, f_0 = 0: r = 1, 1/2, 1/4; with m = 1/2: r_2 = (3/2 - 1/2)/2 - 1/2 = 0
    # Nesterov: r_1 = 1 - 3/4, r_2 = 3/4 r_1 - 1/4 = -1/16; K_* = 1: half of what the training output has moved
    k, y, k_test = np.array([[2.]]), np.array([1.]), np.array([[1.]])
    for method, r in ((), (1, .5, .25)), ((.5,), (1, .5, 0)), ((.5, True), (1, .25, -1 / 16)):
        train, test = gradient_descent_mse_steps(k, y, .25, *method)([0, 1, 2], 0., 3., k_test)
        assert_close(train, 1 - np.array(r)[:, None], 1e-16)
        assert_close(test, 3 + (1 - np.array(r)[:, None]) / 2, 1e-16)


# ------------------------------------------------------------------ digits

def mode(x, m, nesterov, k):
    """r_k / r_0 of one mode, by powers of the companion matrix in mpmath."""
    x, m = mpmath.mpf(x), mpmath.mpf(m)
    trace, determinant = ((1 + m) * (1 - x), m * (1 - x)) if nesterov else (1 + m - x, m)
    first = 1 - (1 + m) * x if nesterov else 1 - x
    p = mpmath.matrix([[trace, -determinant], [1, 0]]) ** (k - 1)
    return p[0, 0] * first + p[0, 1]


def places(m, nesterov):
    """Values of x: small, with a double root, where plain descent ends in one step, and at both sides of the edge."""
    most, double = float(edge(m, nesterov)), ((1 - m) / (1 + m)) ** 2 if nesterov else (1 - m ** .5) ** 2
    return 1.7e-12, 3e-5, double, 1., .7 * most, most * (1 - 1e-5), most * (1 + 1e-7)


@pytest.mark.parametrize('nesterov', (False, True))
@pytest.mark.parametrize('m', (0., .5, .9, .999, 1 - 1e-6))
def test_a_mode_against_60_digits(m, nesterov):
    """As exact as x and m: off by what a rounding of x, of m and of 1 - m may change, and 3 eps."""
    c, eps, worst = lookahead(m, nesterov), mpmath.mpf(EPS), []
    with mpmath.workdps(60):
        for x, k in product(places(m, nesterov), (1, 2, 37, 1000, 10 ** 6, 10 ** 9)):
            r = mode(x, m, nesterov, k)
            if abs(r) > 1e250:
                continue
            nearby = (x * (1 + eps), m), (x, m * (1 + eps)), (x, 1 - (1 - mpmath.mpf(m)) * (1 + eps))
            condition = sum(abs(mode(*changed, nesterov, k) - r) / eps for changed in nearby)
            beta, gamma = power([k], np.array([x]), 1 - m + c * x)
            g, truth = (gamma + c * beta)[0, 0], (1 - r) / x
            assert abs(g - truth) * x < eps * (3 * max(1, abs(r)) + condition)
            if condition < 10 and abs(1 - r) > 1e-20 and x < edge(m, nesterov) / 2:
                worst.append(float(abs(g / truth - 1) / eps))
    assert len(worst) > 10 and max(worst) < 5


@pytest.mark.parametrize('method', METHODS)
def test_thirty_digits(rng, method):
    p, method = problem(rng, n=3), METHODS[method]
    k = 1000
    with mpmath.workdps(40):
        q, rate = problem(rng, n=3), mpmath.mpf(1) / 3
        q.tt, q.st = (SimpleNamespace(ntk=to_kind('mpmath', a.ntk)) for a in (p.tt, p.st))
        q.y, q.f0, q.f0_test = (to_kind('mpmath', a) for a in (p.y, p.f0, p.f0_test))
        exact = dict(method, momentum=mpmath.mpf(method.get('momentum', 0.)))
        predict = gradient_descent_mse_steps(q.tt.ntk, q.y, rate, **exact)
        for a, b in zip(predict([0, 1, 60], q.f0, q.f0_test, q.st.ntk), loop(q, rate, 60, **exact)):
            assert abs(a - b[[0, 1, 60]]).max() < 1e-36
        late = predict(k, q.f0, q.f0_test, q.st.ntk)
    plain = gradient_descent_mse_steps(p.tt.ntk, p.y, 1 / 3, **method)(k, p.f0, p.f0_test, p.st.ntk)
    for a, b in zip(plain, late):
        assert_close(a, to_numpy(b), 1e-13)


def test_python_numbers_keep_the_digits_of_mpmath():
    with mpmath.workdps(40):
        one = to_kind('mpmath', np.ones((1, 1)))
        got = gradient_descent_mse_steps(one, one[0], .1, .3, True)(2)[0]
        x, m = mpmath.mpf(.1), mpmath.mpf(.3)
        first = 1 - (1 + m) * x
        assert abs(1 - got - ((1 + m) * (1 - x) * first - m * (1 - x))) < 1e-38


@pytest.mark.parametrize('scale', (1., 30.))
@pytest.mark.parametrize('method', ('plain', 'heavy ball', 'nesterov'))
def test_accuracy_stated(method, scale):
    """Docstring: 4 eps cond(A) up to .95 of the largest rate, against 40 digits."""
    x, y, method = np.cos(np.arange(36.) ** 2).reshape(12, 3), np.sin(np.arange(8.))[:, None], METHODS[method]
    k = gaussian_kernel(x, x, scale) + .01 / scale * np.eye(12)
    rate = .95 * max_learning_rate(k[:8, :8], 8, **method)

    def outputs(to):
        predict = gradient_descent_mse_steps(to(k[:8, :8]), to(y), rate, **method)
        return predict([10, 1000, 10 ** 5, 10 ** 7], 0., 0., to(k[8:, :8]))
    with mpmath.workdps(40):
        truth = [to_numpy(a) for a in outputs(lambda a: to_kind('mpmath', a))]
    condition = np.linalg.cond(k[:8, :8])
    assert condition > (10 if scale == 1 else 1e4)
    for a, b in zip(outputs(np.asarray), truth):
        assert (abs(a - b).max((1, 2)) <= 4 * EPS * condition * abs(b).max((1, 2))).all()


# ------------------------------------------------------------------ the flow

@pytest.mark.parametrize('method', METHODS)
def test_small_steps_are_the_flow(rng, method):
    """k eta / (1 - m) = t fixed: off by O(eta), half of it at half the rate, and by about eta t/2 K^2/N^2 if plain."""
    p, method, t = problem(rng), METHODS[method], 3.
    flow = gradient_descent_mse(p.tt.ntk, p.y)(t, p.f0, p.f0_test, p.st.ntk)
    off = []
    for k in 2 ** 14, 2 ** 15, 2 ** 30:
        rate = t * (1 - method.get('momentum', 0.)) / k
        steps = gradient_descent_mse_steps(p.tt.ntk, p.y, rate, **method)(k, p.f0, p.f0_test, p.st.ntk)
        off.append([a - b for a, b in zip(steps, flow)])
    for i in 0, 1:
        assert_close(off[0][i], 2 * off[1][i], 1e-3 * abs(off[0][i]).max())
        assert abs(off[0][i]).max() > 1e-6 and abs(off[2][i]).max() < 1e-8
    if method == {}:
        first = -t ** 2 / 2 ** 15 * p.tt.ntk @ p.tt.ntk @ (flow[0] - p.y) / p.y.size ** 2
        assert_close(off[0][0], first, 1e-3 * abs(first).max())


def test_momentum_near_one_is_newton_with_friction(rng):
    """m = 1 - a sqrt(eta), k sqrt(eta) = s fixed: f'' = -a f' - K (f - y)/N, by expm of the joint system."""
    p, a, s, n = problem(rng), .7, 5., 5
    system = np.block([[np.zeros((n, n)), np.eye(n)], [-p.tt.ntk / p.y.size, -a * np.eye(n)]])
    limit = p.y + expm(s * system)[:n, :n] @ (p.f0 - p.y)
    off = []
    for k in 1000, 2000, 10 ** 7:
        root = s / k
        off.append(gradient_descent_mse_steps(p.tt.ntk, p.y, root ** 2, 1 - a * root)(k, p.f0) - limit)
    assert_close(off[0], 2 * off[1], 1e-2 * abs(off[0]).max())
    assert abs(off[0]).max() > 1e-5 and abs(off[2]).max() < 1e-6


# ------------------------------------------------------------------ the limit, the edge and beyond

@pytest.mark.parametrize('method', METHODS)
def test_the_limit(rng, method):
    p, method = problem(rng), METHODS[method]
    predict = gradient_descent_mse_steps(p.tt.ntk, p.y, .9 * max_learning_rate(p.tt.ntk, p.y.size, **method), **method)
    limit, late = (predict(k, p.f0, p.f0_test, p.st.ntk) for k in (None, [10 ** 15, 10 ** 30]))
    flow = gradient_descent_mse(p.tt.ntk, p.y)(None, p.f0, p.f0_test, p.st.ntk)
    for a, b, c in zip(limit, late, flow):
        assert np.array_equal(a, c)
        for i in 0, 1:
            assert_close(b[i], a, 1e-11)


@pytest.mark.parametrize('method', METHODS)
def test_max_learning_rate_is_the_edge(rng, method):
    p, method = problem(rng), METHODS[method]
    top = np.linalg.eigh(p.tt.ntk)[1][:, -1]
    rate = max_learning_rate(p.tt.ntk, p.y.size, **method, eps=0.)

    def left(factor, k=2000):
        """Of the residual along the first eigenvector, after k and k + 1 steps."""
        f = gradient_descent_mse_steps(p.tt.ntk, p.y, factor * rate, **method)([k, k + 1], p.f0)
        return (top @ (f - p.y) / (top @ (p.f0 - p.y)))[:, 0]
    assert abs(left(.99)).max() < 1e-3 and abs(left(1.01)).min() > 1e3
    even, odd = left(1)
    assert even * odd < 0 and even == pytest.approx(-odd, rel=1e-9)
    with pytest.raises(ValueError, match='expected a number of steps with a learning_rate 1.01 times max_learning_rate'
                                         ', got steps=None.*multiplied by -1'):
        gradient_descent_mse_steps(p.tt.ntk, p.y, 1.01 * rate, **method)(None)


@pytest.mark.parametrize('n', [1, 6, 60])
def test_derivative_of_the_largest_rate(rng, n):
    """By the inputs and, in closed form, by the kernel: d lambda = v^T dK v."""
    x = rng.standard_normal((n, 3))
    check_grads(lambda x: max_learning_rate(gaussian_kernel(x, x), 7, .9, nesterov=True), modes=['rev'], order=1)(x)
    k = gaussian_kernel(x, x)
    values, vectors = np.linalg.eigh(k)
    by_kernel = grad(lambda k: max_learning_rate(k, eps=0.))(k)
    expected = -2 * n / values[-1] ** 2 * np.outer(vectors[:, -1], vectors[:, -1])
    assert_close((by_kernel + by_kernel.T) / 2, expected, 1e-10)


@pytest.mark.parametrize('momentum', (0., .9))
def test_the_edge_of_nt(momentum):
    rate = float(GOLDEN[f'max_lr/{momentum}'])
    size, top = Y.size, np.linalg.eigvalsh(K_TT.ntk)[-1]
    norms = [np.linalg.norm(gradient_descent_mse_steps(K_TT.ntk, Y, factor * rate, momentum)([0, 1000, 1001]) - Y,
                            axis=(1, 2)) for factor in (.98, 1, 1.02)]
    assert norms[0][1] < norms[0][0] and norms[2][1] > 1e3 * norms[2][0]
    assert norms[1][2] == pytest.approx(norms[1][1], rel=1e-2)
    assert rate * top / size == pytest.approx(2 * (1 + momentum), rel=1e-11)


@pytest.mark.parametrize('scale', [2. ** -1000, 2. ** -600, 2. ** 600, 2. ** 1000])
def test_numbers_whose_squares_are_out_of_range(rng, scale):
    """learning_rate K / N is what counts."""
    k, y = np.diag([3., 2., 1.]) + .5, rng.standard_normal((3, 2))
    for steps in [1, 5], None:
        got = gradient_descent_mse_steps(k * scale, y, .1 / scale)(steps)
        assert_close(got, gradient_descent_mse_steps(k, y, .1)(steps), 1e-13)
    assert max_learning_rate(k * scale, eps=0.) * scale == pytest.approx(max_learning_rate(k, eps=0.), rel=1e-14)


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('steps', [0, 1, None])
def test_rates_out_of_range(steps, nesterov):
    predict_fn = gradient_descent_mse_steps(np.eye(2) * 1e200, np.ones(2), 1e200, .5, nesterov)
    with pytest.raises(ValueError, match='in the range of floating-point numbers, got one beyond it'):
        predict_fn(steps)
    assert (gradient_descent_mse_steps(np.eye(2), np.ones(2), 1e300, .5, nesterov)(0) == 0).all()


def test_divergence_is_shown_and_ends_in_an_error():
    k, y = np.diag([2., 1.]), np.array([1., 1.])
    predict = gradient_descent_mse_steps(k, y, 3.)                        # 1 - 3 = -2, 1 - 3/2 = -1/2
    assert_close(predict([10, 800]), [[1 - 2. ** 10, 1 - .5 ** 10], [1 - 2. ** 800, 1]], 1e-13)
    assert_close(predict(800)[1:], [1], 1e-15)
    with pytest.raises(ValueError, match='expected steps <= 865 with a learning_rate 1.5 times max_learning_rate, got '
                                         'steps=900: .* multiplied by -2 a step'):
        predict([1, 900])
    assert np.isfinite(predict(865)).all()
    single = gradient_descent_mse_steps(k.astype('float32'), y.astype('float32'), 3.)
    assert single(86).dtype == 'float32' and np.isfinite(single(86)).all()
    with pytest.raises(ValueError, match='expected steps <= 86 '):
        single(87)
    with pytest.raises(ValueError, match='expected steps <= 1 '):
        gradient_descent_mse_steps(k, y, 1e200)(2)


# ------------------------------------------------------------------ zero eigenvalues

@pytest.mark.parametrize('method', METHODS)
def test_two_copies_of_an_input(rng, method):
    x, method = rng.standard_normal((5, 3)), METHODS[method]
    x[3], x_test = x[1], rng.standard_normal((2, 3))
    k, k_test = gaussian_kernel(x, x), gaussian_kernel(x_test, x)
    y, f0 = rng.standard_normal((2, 5))
    rate = .8 * max_learning_rate(k, 5, **method)
    predict = gradient_descent_mse_steps(k, y, rate, **method)
    path = descent(lambda f: np.vstack([k, k_test]) @ (f[:5] - y) / 5, np.r_[f0, 0., 0.], rate, 200, **method)
    for i in 1, 50, 200:
        train, test = predict(i, f0, 0., k_test)
        assert_close(train, path[i, :5], 1e-12)
        assert_close(test, path[i, 5:], 1e-12)
    for i in 10 ** 12, 10 ** 20, None:
        with pytest.warns(SingularKernelWarning, match='1 of 5 eigenvalues'):
            late, limit = predict(i, f0, 0., k_test), gradient_descent_mse(k, y)(None, f0, 0., k_test)
        for a, b in zip(late, limit):
            assert_close(a, b, 1e-11)


@pytest.mark.parametrize('k', (1, 2, 50, 10 ** 9, 10 ** 18))
@pytest.mark.parametrize('method', METHODS)
def test_a_mode_that_does_not_move_drives_the_test_outputs_evenly(method, k):
    """x = 0: the velocity goes to eta/N/(1 - m); the sums of its geometric series by mpmath."""
    m, nesterov = METHODS[method].get('momentum', 0.), 'nesterov' in METHODS[method]
    train, test = gradient_descent_mse_steps(np.zeros((2, 2)), np.ones(2), .4, **METHODS[method])(
        k, 0., 0., np.array([[1., 0.]]))
    with mpmath.workdps(50):
        m = mpmath.mpf(m)
        beta = (1 - m ** k) / (1 - m)
        g = (k - m * beta) / (1 - m) + (m * beta if nesterov else 0)
    assert not train.any()
    np.testing.assert_allclose(test, [float(.2 * g)], rtol=4 * EPS)


def test_small_rates_keep_all_digits():
    k = np.diag([2., 1e-9])
    train, test = gradient_descent_mse_steps(k, np.ones(2), 1e-10)(1, 0., 0., np.eye(2))
    np.testing.assert_allclose(train, [1e-10, 5e-20], rtol=1e-15)
    np.testing.assert_allclose(test, [.5e-10, .5e-10], rtol=1e-15)


# ------------------------------------------------------------------ shapes, kinds, derivatives, errors

def test_training_points_as_test_points(rng):
    p = problem(rng)
    for method in METHODS.values():
        train, test = gradient_descent_mse_steps(p.tt.ntk, p.y, .3, **method)(range(40), p.f0, p.f0, p.tt.ntk)
        assert_close(test, train, 1e-13)


@pytest.mark.parametrize('steps', (3, [0, 4], (7,), [[1, 10, 100], [0, 2, 10 ** 9]], np.int64(2), np.array(3),
                                   np.array([[5, 6]], dtype='int32')))
def test_steps_of_every_shape(rng, steps):
    p = problem(rng)
    predict = gradient_descent_mse_steps(p.tt.ntk, p.y, .8, .5)
    train, test = predict(steps, p.f0, p.f0_test, p.st.ntk)
    assert train.shape == np.shape(steps) + (5, 2) and test.shape == np.shape(steps) + (3, 2)
    for i in np.ndindex(np.shape(steps)):
        one = predict(int(np.asarray(steps)[i]), p.f0, p.f0_test, p.st.ntk)
        assert_close(train[i], one[0], 1e-15)
        assert_close(test[i], one[1], 1e-15)


def test_no_steps(rng):
    p = problem(rng)
    train, test = gradient_descent_mse_steps(p.tt.ntk, p.y, 1e9)(0, p.f0, p.f0_test, p.st.ntk)
    assert np.array_equal(train, p.f0) and np.array_equal(test, p.f0_test)


@pytest.mark.parametrize('shape, trace_axes', (((4, 3), ()), ((4, 2, 3), (-1,)), ((4, 2, 3), (1,)), ((4,), ())))
def test_trace_axes(rng, shape, trace_axes):
    """As a loop over einsums that know no matrices; kernels of test points have no batch of their own here."""
    kept = [a for a in range(len(shape)) if a not in {a % len(shape) for a in trace_axes}]
    rows = [shape[a] for a in kept]
    b = rng.standard_normal((*rows, 40))
    k = np.tensordot(b, b, (-1, -1)) / 40
    y, f0 = rng.standard_normal((2, *shape))
    zipped = np.moveaxis(k, range(len(rows)), range(0, 2 * len(rows), 2))
    left, right = ''.join('abc'[a] for a in kept), ''.join('xyz'[a] for a in kept)
    out = ''.join('abc'[a] for a in range(len(shape)))
    seen = ''.join('xyz'[a] if a in kept else 'abc'[a] for a in range(len(shape)))
    path = descent(lambda f: np.einsum(f'{left}{right},{seen}->{out}', k, f - y) / y.size, f0, .5, 9, .6)
    train, test = gradient_descent_mse_steps(zipped, y, .5, .6, trace_axes=trace_axes)([2, 9], f0, f0, zipped)
    assert_close(train, path[[2, 9]], 1e-13)
    assert_close(test, path[[2, 9]], 1e-13)


def test_which_outputs(rng):
    p = problem(rng)
    predict = gradient_descent_mse_steps(p.tt.ntk, p.y, .4)
    train, test = predict(3, 0., p.f0_test, p.st.ntk)
    assert np.array_equal(predict(3), train) and np.array_equal(predict(3, 0., k_test_train=p.st.ntk), train)
    assert np.array_equal(predict(3, None, p.f0_test, p.st.ntk), test)


def test_kinds_agree(rng, kind):
    p = problem(rng)

    def run(to):
        return [a for method in METHODS.values() for steps in ([3, 40], None) for a in gradient_descent_mse_steps(
            to(p.tt.ntk), to(p.y), .2, **method, diag_reg=.01)(steps, to(p.f0), to(p.f0_test), to(p.st.ntk))]
    for a, b in zip(run(lambda a: to_kind(kind, a)), run(np.asarray), strict=True):
        assert to_numpy(a).dtype == ('float32' if kind == 'float32' else 'float64')
        assert_close(to_numpy(a), b, 1e-4 if kind == 'float32' else 1e-12)


def test_derivatives(rng):
    p, x = problem(rng), rng.standard_normal((5, 2))

    def train(rate=.5, m=.6, reg=.1, scale=.5, y=p.y, nesterov=False):
        k = anp.exp(-((x[:, None] - x[None]) ** 2).sum(-1) * scale)
        return gradient_descent_mse_steps(k, y, rate, m, nesterov, reg)([3, 20], p.f0, 0., 2 * k)[1]
    for nesterov in (False, True):
        for name, at in dict(rate=.5, m=.6, reg=.1, scale=.5, y=p.y).items():
            check_grads(lambda a, name=name: train(**{name: a, 'nesterov': nesterov}), modes=['rev'])(at)


K3, Y3 = np.eye(3), np.ones((3, 2))


@pytest.mark.parametrize('call, error, message', (
    (lambda f: f(K3, Y3, 0.), ValueError, 'expected learning_rate > 0, got 0.0'),
    (lambda f: f(K3, Y3, 1., 1.), ValueError, 'expected 0 <= momentum < 1, got 1.0'),
    (lambda f: f(K3, Y3, 1., -.1, True), ValueError, 'expected momentum >= 0, got -0.1'),
    (lambda f: f(K3, Y3, 1., diag_reg=-1.), ValueError, 'expected diag_reg >= 0, got -1.0'),
    (lambda f: f(K3, np.ones((4, 2)), 1.), ValueError, r'k_train_train has shape \(3, 3\), expected \(4, 4\)'),
    (lambda f: f(np.triu(np.ones((3, 3))), Y3, 1.), ValueError, r'symmetric kernel .* \|k - k.T\| = 2.45'),
    (lambda f: f(K3, Y3, 1.)(-1), ValueError, 'steps is expected to be a whole number >= 0, got -1'),
    (lambda f: f(K3, Y3, 1.)([1, 2.5]), ValueError, 'steps is expected to be a whole number >= 0, got 1.0'),
    (lambda f: f(K3, Y3, 1.)(True), TypeError, 'steps is expected to be a number, got True'),
    (lambda f: f(K3, Y3, 1.)([[1], [2, 3]]), TypeError, 'steps is expected to be a number or an array'),
    (lambda f: f(K3, Y3, 1.)([]), ValueError, 'steps is expected to have entries'),
    (lambda f: f(K3, Y3, 1.)(np.inf), ValueError, 'steps is expected to be finite'),
    (lambda f: f(K3, Y3, 1.)('3'), TypeError, 'steps is expected to be a number'),
    (lambda f: f(K3, Y3, 1.)(3, None), ValueError, 'expected fx_train_0 or fx_test_0, got None for both'),
    (lambda f: f(K3, Y3, 1.)(3, 0., 0.), ValueError, 'expected k_test_train along with fx_test_0, got None'),
    (lambda f: f(K3, Y3, 1.)(3, 0., 0., np.ones((1, 4))), ValueError, r'k_test_train has shape \(1, 4\)'),
    (lambda f: f(K3, Y3, 1.)(3, np.ones(3)), ValueError, r'fx_train_0 to be a number or an array of shape \(3, 2\)'),
    (lambda f: f(K3, Y3, 12.)(None), ValueError, 'a learning_rate 1 times max_learning_rate, got steps=None'),
    (lambda f: f(K3, Y3, 1., .9, 1e-3), TypeError, 'nesterov is expected to be True or False, got 0.001'),
    (lambda f: f(K3, Y3, 1., 0., False, 0., (-1,)), TypeError, r'absolute_scale is expected .* got \(-1,\)'),
    (lambda f: f(K3, Y3, 1., trace_axes=1.), TypeError, 'trace_axes to be a whole number or a tuple of them, got 1.0'),
    (lambda f: f(K3, Y3, 1., trace_axes=(True,)), TypeError, r'trace_axes to be .* got \(True,\)'),
    (lambda f: f(K3, Y3[:, 0], 1., trace_axes=K3), TypeError, 'trace_axes to be a whole number'),
    (lambda f: f(K3, Y3[0, 0], 1.), ValueError, r'at least one target, got y_train of shape \(\)'),
    (lambda f: f(K3, Y3, 1.)(3, np.nan), ValueError, 'fx_train_0 is expected to be finite, got nan'),
    (lambda f: f(K3, Y3, 1.)(3, 0., np.inf, K3), ValueError, 'fx_test_0 is expected to be finite'),
    (lambda f: f(K3, Y3, 1.)(3, '0'), TypeError, 'fx_train_0 is expected to be a number'),
    (lambda f: f(K3, Y3, 1.)(3, Y3.tolist()), TypeError, 'fx_train_0 is expected to be a number, got .* type list'),
    (lambda f: f(-K3, Y3, 1.)(3), NotPSDError, 'its smallest eigenvalue is -1'),
    (lambda f: f(-K3, Y3, 1.)(None), NotPSDError, 'its smallest eigenvalue is -1'),
    (lambda f: max_learning_rate(0 * K3), ValueError, 'expected a kernel with a positive eigenvalue, got 0'),
    (lambda f: max_learning_rate(K3[:0, :0]), ValueError, 'a set with itself, got one that is 0 x 0'),
    (lambda f: max_learning_rate(K3, None, .9, 1e-12, 1), TypeError, 'nesterov is expected to be True or False'),
    (lambda f: max_learning_rate(K3, momentum=1., nesterov=True), ValueError, 'expected 0 <= momentum < 1, got 1.0'),
))
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(gradient_descent_mse_steps)
