"""What the page shows of finite networks, each trained by gradient descent."""
from importlib import import_module
from math import ceil
from typing import Any

from ..engine.run import alone
from ..predict import max_learning_rate
from ..trees import tree_map
from ..types import Array

__all__ = ['STEPS', 'trained']

STEPS = 200         # of gradient descent, at most


def trained(net: Any, x: Array, y: Array, x_test: Array, t: float, get: str = 'ntk',
            diag_reg: float = 0., rng: Any = 0, most: int = STEPS) -> tuple[float, Array]:
    """Return the training time, which is t or what `most` steps reach, and a finite network's outputs on x_test then.

    The loss is L = 1/2 mean (f - y)^2, as for `predict.gradient_descent_mse_ensemble`; diag_reg is a penalty on the
    distance from the weights at the start, and get='nngp' trains the last layer alone.
    """
    grad = import_module('autograd').grad
    init_fn, apply_fn, kernel_fn = net
    k = kernel_fn(x, None, get)
    reg = diag_reg * k.trace() / len(k)
    rate = max_learning_rate(k, y.size) / (2 * (1 + diag_reg))
    steps = ceil(min(t / rate, most))
    rate = min(rate, t / max(steps, 1))
    _, params = init_fn(rng, x.shape)
    kept, start = ([], params) if get == 'ntk' else (params[:-1], params[-1:])

    def f(w, x):
        return apply_fn([*kept, *w], x)

    def loss(w):
        return ((f(w, x) - y) ** 2).mean() / 2

    def descend(w, slope, w0):
        return w - rate * (slope + reg / y.size * (w - w0))
    w = start
    with alone():
        for _ in range(steps):
            w = tree_map(descend, w, grad(loss)(w), start)
    return steps * rate, f(w, x_test)
