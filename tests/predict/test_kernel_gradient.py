"""Kernel gradients against sums written out; trained ensembles of random features against the closed form."""
import mpmath
import numpy as np
import pytest
from autograd import numpy as anp
from problems import assert_close, problem

from ntref import stax
from ntref.predict import (
    gradient_descent_mse, gradient_descent_mse_ensemble, gradient_descent_mse_steps, kernel_gradient)

LABELS = np.array([0, 2, 1, 1, 0])


def squares(f, y):
    return ((f - y) ** 2).sum() / 2 / len(f)


def entropy(f):
    return -anp.mean((f - anp.log(anp.exp(f).sum(1, keepdims=True)))[np.arange(5), LABELS])


def softmax(f):
    e = np.exp(f)
    return e / e.sum(1, keepdims=True)


# ------------------------------------------------------------------ definitions

def test_functional_derivatives_by_hand(rng):
    f, y, k = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), np.eye(5)
    two = np.zeros((5, 3))
    two[0, 1], two[2, 0] = 5 * f[2, 0], 5 * f[0, 1]
    for cost, d in ((lambda f: squares(f, y), f - y), (entropy, softmax(f) - np.eye(3)[LABELS]),
                    (lambda f: f[0, 1] * f[2, 0], two), (lambda f: 3. * f.sum(), np.full((5, 3), 15.))):
        assert_close(kernel_gradient(cost, f, k).d, d, 1e-14)


def test_a_functional_derivative_is_a_linear_form(rng):
    """C(f + h g) - C(f - h g) = 2 h <d, g>."""
    f, g, h = *rng.standard_normal((2, 5, 3)), 1e-5
    d = kernel_gradient(entropy, f, np.eye(5)).d
    assert (entropy(f + h * g) - entropy(f - h * g)) / (2 * h) == pytest.approx((d * g).sum() / 5, rel=1e-8)


def test_sums_written_out(rng):
    """All outputs of all points are coupled: kernels (n, n, o, o)."""
    n, m, o = 5, 2, 3
    b = rng.standard_normal((n + m, o, 30))
    k = np.einsum('ncp,mdp->nmcd', b, b)
    f = rng.standard_normal((n, o))
    got = kernel_gradient(entropy, f, k[:n, :n], k[n:, :n], trace_axes=())
    d = softmax(f) - np.eye(o)[LABELS]
    gradient = [[sum(k[i, j, c, e] * d[j, e] for j in range(n) for e in range(o)) / n for c in range(o)]
                for i in range(n + m)]
    assert_close(np.concatenate([got.train, got.test]), gradient, 1e-14)
    decrease = sum(d[i, c] * k[i, j, c, e] * d[j, e] for i in range(n) for j in range(n)
                   for c in range(o) for e in range(o)) / n ** 2
    assert isinstance(got.decrease, float) and got.decrease == pytest.approx(decrease, rel=1e-14)


def test_a_kernel_without_the_outputs_is_the_identity_there(rng):
    p = problem(rng, o=3)
    once = kernel_gradient(entropy, p.f0, p.tt.ntk, p.st.ntk)
    full, full_test = (np.einsum('nm,cd->nmcd', k, np.eye(3)) for k in (p.tt.ntk, p.st.ntk))
    for a, b in zip(once, kernel_gradient(entropy, p.f0, full, full_test, ())):
        np.testing.assert_allclose(a, b, rtol=1e-13)
    line = kernel_gradient(lambda f: squares(f, p.y[:, 0]), p.f0[:, 0], p.tt.ntk)
    assert_close(line.train, p.tt.ntk @ (p.f0 - p.y)[:, 0] / 5, 1e-14)


def test_costs_fall_as_stated(rng):
    p, h = problem(rng, o=3), 1e-5
    got = kernel_gradient(entropy, p.f0, p.tt.ntk)
    assert got.test is None
    fall = (entropy(p.f0 + h * got.train) - entropy(p.f0 - h * got.train)) / (2 * h)
    assert got.decrease > .01 and fall == pytest.approx(got.decrease, rel=1e-8)


def test_gradient_flow_follows_it(rng):
    """L = 1/2 mean over all N o entries: d = r/o, and df/dt = -K r/(N o)."""
    p, t, h = problem(rng), 1.3, 1e-5
    flow = gradient_descent_mse(p.tt.ntk, p.y)
    before, now, after = (flow(t + i * h, p.f0, p.f0_test, p.st.ntk) for i in (-1, 0, 1))

    def loss(f):
        return ((f - p.y) ** 2).mean() / 2
    got = kernel_gradient(loss, now[0], p.tt.ntk, p.st.ntk)
    for a, b, gradient in zip(before, after, (got.train, got.test)):
        assert_close((b - a) / (2 * h), -gradient, 1e-9)
    assert (loss(after[0]) - loss(before[0])) / (2 * h) == pytest.approx(-got.decrease, rel=1e-7)
    step = gradient_descent_mse_steps(p.tt.ntk, p.y, .7)(1, now[0], now[1], p.st.ntk)
    assert_close(step[0], now[0] - .7 * got.train, 1e-14)
    assert_close(step[1], now[1] - .7 * got.test, 1e-14)


def test_single_precision(rng):
    p = problem(rng)
    got, double = (kernel_gradient(lambda f: squares(f, p.y), *(a.astype(t) for a in (p.f0, p.tt.ntk, p.st.ntk)))
                   for t in ('float32', 'float64'))
    for a, b in zip(got[:3], double):
        assert a.dtype == 'float32' and b.dtype == 'float64'
        assert_close(a, b, 1e-6)


F, K = np.ones((3, 2)), np.eye(3)


@pytest.mark.parametrize('cost, f, k, error, message', (
    (lambda f: f.sum(1), F, K, TypeError, r'cost\(fx_train\) is expected to be a number, got array'),
    (lambda f: f.sum() * np.nan, F, K, ValueError, r'cost\(fx_train\) is expected to be finite, got nan'),
    (lambda f: 3., F, K, ValueError, 'to be differentiable by autograd .* its output does not depend on it'),
    (lambda f: (f ** .5).sum(), 0 * F, K, ValueError, 'got the derivative of cost of shape .* 6 NaN or infinite'),
    (squares, F.tolist(), K, TypeError, 'expected an array .* got list'),
    (squares, F * np.nan, K, ValueError, 'got fx_train .* 6 NaN'),
    (squares, F, np.eye(4), ValueError, r'k_train_train has shape \(4, 4\), expected \(3, 3\) to match fx_train of'),
    (squares, F, np.triu(np.ones((3, 3))), ValueError, 'expected a symmetric kernel'),
    (lambda f: (f ** 2).sum(), F, -K, ValueError, r'positive semi-definite k_train_train, got .* / N\^2 = -'),
    (lambda f: (f ** 2).sum(), *map(np.vectorize(mpmath.mpf, otypes=[object]), (F, K)), TypeError, 'ferentiate.*mpf'),
    (squares, F[:0], K[:0, :0], ValueError, 'expected at least one target, got fx_train of shape'),
))
@pytest.mark.filterwarnings('ignore:divide by zero')
def test_errors(cost, f, k, error, message):
    with pytest.raises(error, match=message):
        kernel_gradient(cost, f, k)


def test_points_are_on_axis_0():
    """d has a factor N, which would be the number of outputs."""
    with pytest.raises(ValueError, match=r'inputs on axis 0 of fx_train, got trace_axes=\(0, 2\)'):
        kernel_gradient(lambda f: (f ** 2).sum(), np.ones((2, 3, 4)), K, trace_axes=(0, 2))


def test_rounding_of_single_precision_is_no_rise():
    """v^T K v = 0 but for the rounding of the entries of K = u u^T, u . v = 0: below 0 for some."""
    seen = []
    for seed in range(20):
        u, v = np.linalg.qr(np.random.default_rng(seed).standard_normal((5, 2)))[0].T
        k = np.outer(u, u).astype('f')
        seen.append(kernel_gradient(lambda f: f @ v, v.astype('f'), k, k).decrease)
    assert min(seen) < -1e-12 and max(map(abs, seen)) < 1e-7


def test_nothing_moves_where_the_kernel_is_zero():
    for k in 0 * K, np.diag([0., 1., 0.]):
        gradient = kernel_gradient(lambda f: (f[::2] ** 2).sum(), F, k)
        assert gradient.decrease == 0 and not gradient.train.any()


def test_the_test_kernel_must_fit():
    with pytest.raises(ValueError, match=r'k_test_train has shape \(2, 4\), expected \(any, 3\) to match fx_train'):
        kernel_gradient(lambda f: f.sum(), F, K, np.ones((2, 4)))


# ------------------------------------------------------------------ sample, then optimize

def deviation(f, mean, covariance):
    """How far mean and covariance of the columns of f are from those given, in standard errors, at the most."""
    n, v = f.shape[1], np.diagonal(covariance)
    far = abs(f.mean(1) - mean) / np.sqrt(v / n)
    wide = abs(np.cov(f) - covariance) / np.sqrt((np.outer(v, v) + covariance ** 2) / n)
    return max(far.max(), wide.max())


def gram(a, b, get):
    return a @ (a if b is None else b).T


@pytest.mark.parametrize('t', (.5, 4., None))
def test_an_ensemble_with_the_same_features(rng, t):
    """5000 linear models trained in their parameters; the closed form of another kernel or time would be noticed."""
    phi, y, models = rng.standard_normal((8, 20)) / 20 ** .5, rng.standard_normal(5), 5000
    theta = rng.standard_normal((20, models))
    start, steps = theta.copy(), 300
    for _ in range(steps if t else 0):
        theta -= t / steps * phi[:5].T @ (phi[:5] @ theta - y[:, None]) / 5
    if t is None:
        theta -= np.linalg.pinv(phi[:5]) @ (phi[:5] @ theta - y[:, None])

    def closed(scale=1., t=t):
        phi1 = phi * scale ** .5
        return gradient_descent_mse_ensemble(gram, phi1[:5], y)(t, phi1, 'nngp', True)
    mean, covariance = closed()
    rows = slice(5, 8) if t is None else slice(8)
    mean, covariance = mean[rows], covariance[rows, rows]
    assert deviation((phi @ theta)[rows], mean, covariance) < 4
    assert deviation((phi @ start)[rows], mean, covariance) > 10
    wrong = closed(1.3) if t is None else closed(t=1.5 * t)
    assert deviation((phi @ theta)[rows], wrong.mean[rows], wrong.covariance[rows, rows]) > 6


def hidden(seed, x, width):
    """Features of a network that trains its last layer."""
    net = stax.serial(stax.Dense(width, 1.5, .1), stax.Relu())
    return net.apply_fn(net.init_fn(seed, x.shape)[1], x) / width ** .5


def test_an_ensemble_of_networks_with_features_of_their_own():
    """Each network with 2000 features of its own, trained to the end: the posterior of the NNGP."""
    x = np.cos(np.arange(16.)).reshape(8, 2)
    y, f = np.sin(3 * x[:5, 0]), []
    net = stax.serial(stax.Dense(1, 1.5, .1), stax.Relu(), stax.Dense(1))
    for seed in range(400):
        phi, theta = hidden(seed, x, 2000), np.random.default_rng(10 ** 6 + seed).standard_normal(2000)
        r = y - phi[:5] @ theta
        f.append(phi[5:] @ (theta + phi[:5].T @ np.linalg.solve(phi[:5] @ phi[:5].T, r)))
    predict_fn = gradient_descent_mse_ensemble(net.kernel_fn, x[:5], y)
    mean, covariance = predict_fn(None, x[5:], 'nngp', True)
    assert deviation(np.array(f).T, mean, covariance) < 4
    mean, covariance = predict_fn(None, x[5:], 'ntk', True)
    assert deviation(np.array(f).T, mean, covariance) > 10


def test_random_kernels_approach_the_kernel(rng):
    """Off by 1/sqrt(P): the root mean square over 50 draws falls by 4 when P grows by 16, to 20 %."""
    x = rng.standard_normal((4, 2))
    k = stax.serial(stax.Dense(1, 1.5, .1), stax.Relu(), stax.Dense(1)).kernel_fn(x, None, 'nngp')

    def off(width):
        return np.mean([((phi @ phi.T - k) ** 2).mean() for phi in (hidden(s, x, width) for s in range(50))]) ** .5
    assert off(40) / off(640) == pytest.approx(4, rel=.2)
