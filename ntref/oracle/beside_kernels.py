"""What `ntref gpu-check` checks beside kernels: their gradients, finite networks, predictions.

Each function takes `a`, which makes arrays of the device of those of the host, and returns a tree of arrays; on the
host, in float64, `a` does nothing.
"""
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy

from .. import predict, stax
from ..arrays import is_array
from ..autograd_on_device import follow_on_device
from ..empirical import empirical_ntk_fn, empirical_ntk_vp_fn
from ..empirical.monte_carlo import monte_carlo_kernel_fn
from ..empirical.taylor import linearize
from ..engine.device import there, to_host
from ..trees import leaves, tree_map

__all__ = ['FUNCTIONS', 'error']

RIDGE = .1
DENSE = stax.serial(stax.Dense(6, 1.3, .2), stax.Erf(), stax.Dense(5, 1.2), stax.Relu(), stax.Dense(2))
CONV = stax.serial(stax.Conv(4, (2, 2), padding='SAME', W_std=1.3, b_std=.1), stax.Gelu(), stax.Flatten(),
                   stax.Dense(2))


def _drawn(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(sum(shape)).standard_normal(shape)


def _gradient(net, shape, a):
    """Return the gradient of a sum over entries of Theta in x1, and that of K in its only inputs, forward."""
    autograd = import_module('autograd')
    x, y, g = a(_drawn(12, *shape)), a(_drawn(5, *shape)), a(_drawn(12, 5))
    back = autograd.grad(lambda x: (g * net.kernel_fn(x, y, 'ntk')).sum())(x)
    make_jvp = autograd.core.make_jvp
    return back, make_jvp(lambda x: net.kernel_fn(x, None, 'nngp'), x)(x)[1]


def _finite(net, shape, implementation, a):
    """Return the tangent kernel of a finite network, by one of the implementations."""
    params = tree_map(a, net.init_fn(0, (1, *shape))[1])
    kernel_fn = empirical_ntk_fn(net.apply_fn, (), (), 0, implementation)
    return kernel_fn(a(_drawn(4, *shape)), a(_drawn(3, *shape)), params)


def _products(a):
    params = tree_map(a, DENSE.init_fn(0, (1, 3))[1])
    return empirical_ntk_vp_fn(DENSE.apply_fn, a(_drawn(4, 3)), None, params)(a(_drawn(4, 2)))


def _line(a):
    params = DENSE.init_fn(0, (1, 3))[1]
    return linearize(DENSE.apply_fn, tree_map(a, params))(tree_map(lambda p: a(1.1 * p), params), a(_drawn(4, 3)))


def _mean(a):
    return monte_carlo_kernel_fn(DENSE.init_fn, DENSE.apply_fn, 0, 3)(a(_drawn(4, 3)))


def _trained(a):
    """Return mean and covariance of the ensemble, at a time and at the end, by both kernels."""
    predict_fn = predict.gradient_descent_mse_ensemble(DENSE, a(_drawn(20, 3)), a(_drawn(20, 2)), diag_reg=RIDGE)
    return [predict_fn(t, a(_drawn(6, 3)), ('nngp', 'ntk'), True) for t in (5., None)]


def _of_evidence(a):
    k = DENSE.kernel_fn(a(_drawn(20, 3)), None, 'nngp')
    y = a(_drawn(20, 2))
    left_out = predict.leave_one_out(k, y, diag_reg=RIDGE)
    return predict.log_marginal_likelihood(k, y, diag_reg=RIDGE), [*left_out]


def _slopes(a):
    """Return the derivatives of the evidence in hyper-parameters."""
    def net_fn(W_std, b_std):
        return stax.serial(stax.Dense(1, W_std, b_std), stax.Erf(), stax.Dense(1))
    value, slopes = predict.log_marginal_likelihood_gradient(
        net_fn, a(_drawn(20, 3)), a(_drawn(20, 1)), {'W_std': 1.3, 'b_std': .4}, diag_reg=RIDGE)
    return value, [*slopes.values()]


def _by_steps(preconditioner, a):
    """Return the solution by conjugate gradients, of a kernel that is computed in tiles."""
    k = predict.ComputedKernel(DENSE, a(_drawn(20, 3)), get='ntk')
    return predict.cg(k, a(_drawn(20, 2)), RIDGE, tol=1e-12, rank=5, preconditioner=preconditioner).a


FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    **{('gradients', name): partial(_gradient, net, shape) for name, net, shape in (
        ('dense', DENSE, (3,)), ('convolution', CONV, (3, 3, 2)))},
    **{('finite networks', f'{name}, implementation {i}'): partial(_finite, net, shape, i)
       for name, net, shape in (('dense', DENSE, (3,)), ('convolution', CONV, (3, 3, 2))) for i in (1, 2, 3)},
    ('finite networks', 'products'): _products,
    ('finite networks', 'linear model'): _line,
    ('finite networks', 'mean of several'): _mean,
    ('predictions', 'ensemble'): _trained,
    ('predictions', 'evidence, leave-one-out'): _of_evidence,
    ('predictions', 'gradient of the evidence'): _slopes,
    **{('predictions', f'conjugate gradients, {name}'): partial(_by_steps, name) for name in ('cholesky', 'nystrom')},
}
"""(group, name) -> the function."""


def error(f: Callable[..., Any], dtype: str) -> tuple[float, float]:
    """Return the largest error of f on the device, over the largest entry, against the host; and its bound."""
    wanted = leaves(f(lambda a: a))
    follow_on_device()
    found = leaves(f(lambda a: there(a.astype(dtype))))
    errors = [abs(numpy.asarray(to_host(k)) - w).max() / abs(numpy.asarray(w)).max()
              for k, w in zip(found, wanted, strict=True) if is_array(w) or isinstance(w, float)]
    return float(max(errors)), {'float64': 1e-10, 'float32': 1e-4}[dtype]
