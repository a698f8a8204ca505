"""Predictions and empirical kernels in mpmath, by definition: what `ntref.predict` and `ntref.empirical` must give.

    trained     exp(-A tau), and A^-1 (1 - exp(-A tau)) = integral of exp(-A s), both from one exponential of a matrix
    finite      derivatives of f by central differences, with a step of 10^-(digits / 3)

Neither eigenvectors, stored factorizations nor autograd are used. Each value is computed at two precisions, with
doubles in formulas moved at the lower one (`settled`).
"""
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from importlib import import_module
from math import prod
from typing import Any

import numpy

from ..trees import leaves, rebuilt
from .certify import certify
from .precision import mpmath, working
from .shaken import shaken

__all__ = ['EMPIRICAL', 'PREDICTIONS', 'empirical', 'settled']

LOW_DIGITS = 60             # working digits of the two computations
HIGH_DIGITS = 100


def settled(
        compute: Callable[[], Mapping[str, Any]],
        asked: int) -> tuple[dict[str, numpy.ndarray], int]:
    """Return {name: array of mpf} from compute(), and the digits to which two precisions agree.

    Digits are relative to the largest entry of each array.

    Raises
    ------
    ArithmeticError : fewer digits agree than are asked for.
    """
    mp = mpmath()
    found = []
    for digits in LOW_DIGITS, HIGH_DIGITS:
        with working(digits), shaken() if digits == LOW_DIGITS else nullcontext():
            found.append({name: numpy.asarray(a, dtype=object) for name, a in compute().items()})
    low, high = found
    with working(HIGH_DIGITS):
        errors = [_largest(low[name] - k) / (_largest(k) or 1) for name, k in high.items()]
        sure = min(LOW_DIGITS, *(int(-mp.log10(e)) if e else LOW_DIGITS for e in errors))
    if sure < asked:
        raise ArithmeticError(
            f'expected {asked} digits, got {sure}: the problem is conditioned too badly.')
    return high, sure


def _largest(a):
    return max(map(abs, numpy.ravel(a)), default=0)


# ------------------------------------------------------------------ matrices

def exact(a):
    """Return an array of mpf with the same numbers."""
    convert = numpy.frompyfunc(import_module('mpmath').mpmathify, 1, 1)          # which `shaken` does not change
    return numpy.asarray(convert(numpy.asarray(a).astype(object)), dtype=object)


def _matrix(a):
    return mpmath().matrix(a.tolist())


def _array(m):
    return numpy.array(m.tolist(), dtype=object).reshape(m.rows, m.cols)


def _exp(a):
    return _array(mpmath().expm(_matrix(a), method='taylor'))


def decay_and_growth(A, tau):
    """Return exp(-A tau), and the integral of exp(-A s) for s from 0 to tau; tau = None is infinite time, A regular."""
    n = len(A)
    if tau is None:
        return exact(numpy.zeros((n, n))), _array(_matrix(A) ** -1)
    zero = exact(numpy.zeros((n, n)))
    one = exact(numpy.eye(n))
    both = _exp(numpy.block([[-A * tau, one * tau], [zero, zero]]))
    return both[:n, :n], both[:n, n:]


def regularized(K, diag_reg=0., diag_reg_absolute_scale=False):
    """Return A = K + diag_reg s I, where s is the mean of the diagonal, or 1 with an absolute scale."""
    n = len(K)
    scale = 1 if diag_reg_absolute_scale else sum(K.diagonal()) / n
    return K + exact(numpy.eye(n)) * (exact(diag_reg).item() * scale)


def as_matrix(k):
    """Return an array (n1, n2, c1, c2, ...) as a matrix (n1 c1 ..., n2 c2 ...)."""
    order = [*range(0, k.ndim, 2), *range(1, k.ndim, 2)]
    return k.transpose(order).reshape(prod(k.shape[::2]), prod(k.shape[1::2]))


def _times(options, y):
    """Return tau = learning_rate t / y.size for each t; for one t alone, a list with one entry."""
    t = options.get('t')
    rate = exact(options.get('learning_rate', 1.)).item()
    times = t if isinstance(t, list) else [t]
    return [None if one is None else rate * exact(one).item() / y.size for one in times]


def _stacked(results, options):
    """Return {name: array} with the results of all times stacked, or the only result if there is one time alone."""
    if not isinstance(options.get('t'), list):
        return results[0]
    return {name: numpy.stack([one[name] for one in results]) for name in results[0]}


def _regularization(options):
    names = 'diag_reg', 'diag_reg_absolute_scale'
    return {name: options[name] for name in names if name in options}


# ------------------------------------------------------------------ predictions

def gradient_descent_mse(inputs, options):
    """f_t = y + exp(-A tau) (f_t(0) - y),  f_* = f_*(0) + K_*t A^-1 (1 - exp(-A tau)) (y - f_t(0))."""
    given = {name: None if a is None else exact(a) for name, a in inputs.items()}
    shape = given['y_train'].shape
    is_one_column = options.get('trace_axes', [-1]) == []

    def columns(a):
        return a.reshape(-1, 1 if is_one_column else a.shape[-1])
    y = columns(given['y_train'])
    f0 = columns(given['fx_train_0']) if 'fx_train_0' in given else 0 * y
    A = regularized(as_matrix(given['k_train_train']), **_regularization(options))

    def at(tau):
        E, G = decay_and_growth(A, tau)
        found = {'fx_train': (y + E @ (f0 - y)).reshape(shape)}
        if 'k_test_train' in given:
            start = columns(given['fx_test_0'])
            k = as_matrix(given['k_test_train'])
            found['fx_test'] = (start + k @ (G @ (y - f0))).reshape(-1, *shape[1:])
        return found
    return _stacked([at(tau) for tau in _times(options, y)], options)


def gradient_descent(inputs, options):
    """df/dtau = -K (f - y) / N, or d2f/dtau2 = -c df/dtau - K (f - y) / N with momentum: linear, so an exponential.

    c = (1 - momentum) / sqrt(learning_rate); tau = learning_rate t, or sqrt(learning_rate) t.
    """
    y, f0, start, K = _moving(inputs)
    n = len(y)
    rate = exact(options.get('learning_rate', 1.)).item()
    momentum = options.get('momentum')
    zero = exact(numpy.zeros((len(K), len(K))))
    one = exact(numpy.eye(len(K)))
    M = -K / y.size                                                  # of residuals; 0 for the tests
    if momentum is not None:
        rate = mpmath().sqrt(rate)
        M = numpy.block([[zero, one], [M, -one * ((1 - exact(momentum).item()) / rate)]])
    r = numpy.concatenate([f0 - y, start, *[0 * f0, 0 * start] * (momentum is not None)])

    def at(t):
        moved = _exp(M * (rate * exact(t).item())) @ r
        return {'fx_train': y + moved[:n], 'fx_test': moved[n:len(K)]}
    return _stacked([at(t) for t in options['t']], options)


def gradient_descent_mse_steps(inputs, options):
    """v <- m v - learning_rate / N K (f - y), f <- f + v, one by one; with Nesterov's f + m v in place of f."""
    y, f, start, K = _moving(inputs)
    n = len(y)
    rate = exact(options['learning_rate']).item() / y.size
    m = exact(options.get('momentum', 0.)).item()
    r = numpy.concatenate([f - y, start])
    v = 0
    found = []
    for step in range(max(options['steps']) + 1):
        found.append({'fx_train': y + r[:n], 'fx_test': r[n:]})
        g = rate * (K @ r)
        v = m * v - g
        r = r + (m * v - g if options.get('nesterov') else v)
    asked = [found[step] for step in options['steps']]
    return {name: numpy.stack([outputs[name] for outputs in asked]) for name in found[0]}


def _moving(inputs):
    """Return y, initial training and test outputs, and K as a square matrix of all inputs.

    Its last rows are of the test inputs, whose outputs move; their columns are 0, since they act on no output."""
    y = exact(inputs['y_train'])
    f0 = exact(inputs['fx_train_0'])
    start = exact(inputs['fx_test_0'])
    k = exact(inputs['k_train_train'])
    cross = exact(inputs['k_test_train'])
    nothing = exact(numpy.zeros((len(k) + len(cross), len(cross))))
    return y, f0, start, numpy.concatenate([numpy.concatenate([k, cross]), nothing], 1)


def _gaussians(S, T, y, options, tau):
    """Return {'mean_nngp', 'covariance_nngp', ...} of test outputs.

    S and T are the NNGP and tangent kernels (train train, test train, test test)."""
    found = {}
    reg = _regularization(options)
    for get in options['get']:
        (tt, st, ss) = S if get == 'nngp' else T
        A = regularized(tt, **reg)
        G = decay_and_growth(A, tau)[1]
        found[f'mean_{get}'] = st @ (G @ y)
        B = st @ G
        if get == 'ntk':
            cross = B @ S[1].T
            covariance = S[2] - cross - cross.T + B @ S[0] @ B.T
        else:
            twice = G if tau is None else decay_and_growth(A, 2 * tau)[1]
            covariance = ss - st @ twice @ st.T
        if options.get('compute_cov'):
            found[f'covariance_{get}'] = covariance
    return found


def gp_inference(inputs, options):
    """Return S_*t A^-1 y and S_** - S_*t A^-1 S_t*; for 'ntk' those of the ensemble of networks after infinite time."""
    pairs = 'train_train', 'test_train', 'test_test'
    S = [exact(inputs[f'nngp_{pair}']) for pair in pairs]
    T = [exact(inputs[f'ntk_{pair}']) for pair in pairs]
    return _gaussians(S, T, exact(inputs['y_train']), options, None)


def gradient_descent_mse_ensemble(inputs, options):
    """Return mean and covariance of test outputs after a finite time, from the kernels of a network."""
    from ..stax import from_spec
    train = inputs['x_train']
    test = inputs['x_test']
    names = ('nngp', 'ntk')
    digits = mpmath().dps - 20
    net = from_spec(options['spec'])
    pairs = (train, None), (test, train), (test, None)
    S = []
    T = []
    for pair in pairs:
        nngp, ntk = certify(net, *pair, names, digits, progress=False)
        S.append(nngp.values)
        T.append(ntk.values)
    y = exact(inputs['y_train'])
    return _stacked([_gaussians(S, T, y, options, tau) for tau in _times(options, y)], options)


def max_learning_rate(inputs, options):
    """Return 2 (1 + momentum) size / (largest eigenvalue + eps)."""
    K = as_matrix(exact(inputs['ntk_train_train']))
    largest = max(mpmath().eigsy(_matrix(K), eigvals_only=True))
    momentum = exact(options.get('momentum', 0.)).item()
    eps = exact(options.get('eps', 1e-12)).item()
    size = options.get('y_train_size') or len(K)
    return {'max_learning_rate': 2 * (1 + momentum) * size / (largest + eps)}


PREDICTIONS = {f.__name__: f for f in (
    gradient_descent_mse, gradient_descent, gradient_descent_mse_steps, gp_inference, gradient_descent_mse_ensemble,
    max_learning_rate)}


# ------------------------------------------------------------------ kernels of finite networks

def empirical(
        net: Any, inputs: Mapping[str, Any],
        options: Mapping[str, Any]) -> dict[str, numpy.ndarray]:
    """Return f f^T and J J^T, with J by central differences: f(p + h) - f(p - h) over 2 h."""
    mp = mpmath()
    h = mpmath().mpf(10) ** -(mpmath().dps // 3)
    x1 = exact(inputs['x1'])
    x2 = None if inputs['x2'] is None else exact(inputs['x2'])
    _, like = net.init_fn(0, x1.shape)
    params = [exact(p) for p in inputs['params']]

    def f(x, i=None, j=None, step=0):
        moved = [p.copy() for p in params]
        if i is not None:
            moved[i].flat[j] += step
        return net.apply_fn(rebuilt(like, moved), x)

    def jacobian(x):
        entries = [(i, j) for i, p in enumerate(params) for j in range(p.size)]
        return numpy.stack([(f(x, i, j, h) - f(x, i, j, -h)) / (2 * h) for i, j in entries], -1)
    assert len(params) == len(leaves(like)) and mp.dps >= LOW_DIGITS
    found = {}
    for name in options['get']:
        values = (lambda x: f(x)[..., None]) if name == 'nngp' else jacobian
        first = values(x1)
        second = first if x2 is None else values(x2)
        k = numpy.tensordot(first, second, (-1, -1))                    # (n1, outputs, n2, outputs)
        found[name] = EMPIRICAL[_pairing(options)](k.transpose(0, 2, 1, 3))
    return found


def _pairing(options):
    return tuple(options.get('trace_axes', [-1])), tuple(options.get('diagonal_axes', []))


EMPIRICAL = {
    ((-1,), ()): lambda k: numpy.trace(k, axis1=2, axis2=3) / k.shape[2],
    ((), ()): lambda k: k,
    ((), (-1,)): lambda k: numpy.diagonal(k, axis1=2, axis2=3),
}
"""(trace_axes, diagonal_axes) -> from all pairs of outputs to those asked for."""
