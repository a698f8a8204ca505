"""What tests of predictions share: kernels, targets and losses.

`golden/dynamics.npz` holds numbers computed by Neural Tangents 0.6.5 in float64 (jax 0.4.25, CPU): `gd_mse/*`,
`ensemble/*`, `gp/*`, `max_lr/*` for the network of `network_kernel` on `data/*`, and `traced/*`, which is `traced()`
of test_predict.py run with neural_tangents.predict.
"""
from collections import namedtuple
from types import SimpleNamespace

import autograd.numpy as anp
import numpy as np
from places import golden

GOLDEN = golden('dynamics')
X, X_TEST, Y, F0, F0_TEST = (GOLDEN[f'data/{name}'] for name in ('x', 'xt', 'y', 'f0', 'f0t'))
Kernels = namedtuple('Kernels', 'nngp ntk')
PI = np.pi


def assert_close(actual, expected, tol):
    """Same shape, and no entry further off than `tol` times the largest (or `tol`, if that is below 1)."""
    assert isinstance(actual, (np.ndarray, np.generic))
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tol * max(1, np.abs(expected).max()))


def dense(k, t, w, b):
    k = w * w * k + b * b
    return k, (k if t is None else w * w * t + k)


def network_kernel(x1, x2, get):
    """Dense(16, 1.4, .2), Erf, Dense(16, 1.2, .1), Relu, Dense(3, 1, .1): arcsine and arc-cosine kernels."""
    x2 = x1 if x2 is None else x2
    k, t = dense(x1 @ x2.T / x1.shape[1], None, 1.4, .2)
    q1, q2 = ((dense((x * x).sum(1) / x.shape[1], None, 1.4, .2)[0]) for x in (x1, x2))
    m = np.sqrt(np.outer(1 + 2 * q1, 1 + 2 * q2))
    k, t = dense(2 / PI * np.arcsin(2 * k / m), t * 4 / PI / np.sqrt(m * m - 4 * k * k), 1.2, .1)
    q1, q2 = (dense(2 / PI * np.arcsin(2 * q / (1 + 2 * q)), None, 1.2, .1)[0] for q in (q1, q2))
    s = np.sqrt(np.outer(q1, q2))
    angle = np.where(k / s > 1 - 1e-14, 0., np.arccos(np.clip(k / s, -1, 1)))
    k, t = dense(s * (np.sin(angle) + (PI - angle) * np.cos(angle)) / (2 * PI), t * (PI - angle) / (2 * PI), 1., .1)
    return {'nngp': k, 'ntk': t}[get] if isinstance(get, str) else Kernels(k, t)


K_TT, K_ST, K_SS = (network_kernel(*pair, ('nngp', 'ntk')) for pair in ((X, None), (X_TEST, X), (X_TEST, None)))
# NT's NTK of a ReLU is elsewhere wrong by up to 1e-8 on the diagonal (its angle is not exactly 0 there); on these
# inputs it is right: the difference to the kernel above, whose angle is 0, is 4e-15 at most.
GOLDEN_TOL = 1e-13


def gaussian_kernel(a, b, scale=1.):
    return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 2 / scale)


def problem(rng, n=5, m=3, o=2):
    """Kernels of n training and m test points (nngp and ntk differ), targets, and outputs at t = 0."""
    x = rng.standard_normal((n + m, 3))
    s, t = gaussian_kernel(x, x, 2.), 3 * gaussian_kernel(x, x) + .5
    tt, st, ss = (Kernels(s[i, j], t[i, j]) for i, j in np.array([[slice(n), slice(n)], [slice(n, None), slice(n)],
                                                                  [slice(n, None), slice(n, None)]]))
    return SimpleNamespace(tt=tt, st=st, ss=ss, y=rng.standard_normal((n, o)), f0=rng.standard_normal((n, o)),
                           f0_test=rng.standard_normal((m, o)), joint=Kernels(s, t), n=n, m=m)


def mse(f, y):
    return .5 * anp.mean((f - y) ** 2)


def cross_entropy(f, y):
    f = f - anp.max(f, axis=-1, keepdims=True)
    return -anp.mean(anp.sum(y * (f - anp.log(anp.sum(anp.exp(f), axis=-1, keepdims=True))), axis=-1))


def soft(p):
    """Targets between classes, so that the cross-entropy has a minimum."""
    e = np.exp(p.y)
    return e / e.sum(-1, keepdims=True)
