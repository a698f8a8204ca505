"""What the page shows of finite networks, each trained by gradient descent."""
from math import ceil
from typing import Any

import autograd.numpy
from autograd import grad
from autograd.misc import flatten

from ..predict import max_learning_rate
from ..types import Array

__all__ = ['STEPS', 'trained']

STEPS = 300         # of gradient descent, at most


def trained(net: Any, x: Array, y: Array, x_test: Array, t: float, get: str = 'ntk',
            diag_reg: float = 0., rng: Any = 0, most: int = STEPS) -> tuple[float, Array]:
    """Return the training time, t or what `most` steps reach, and the outputs there of a finite network on x_test.

    It follows the ensemble of `predict.gradient_descent_mse_ensemble`: the loss is L = 1/2 mean (f - y)^2, and
    diag_reg is a penalty on the distance from the weights at the start.
    """
    init_fn, apply_fn, kernel_fn = net
    k = kernel_fn(x, None, get)
    reg = diag_reg * k.trace() / len(k)
    rate = max_learning_rate(k, y.size) / (4 * (1 + diag_reg))
    steps = ceil(min(t / rate, most))
    rate = min(rate, t / max(steps, 1))
    _, params = init_fn(rng, x.shape)
    start, tree = flatten(params)
    size = len(start) if get == 'ntk' else len(flatten(params[-1])[0])
    kept, start = start[:-size], start[-size:]      # what is not trained, and what is

    def f(w, x):
        return apply_fn(tree(autograd.numpy.concatenate([kept, w])), x)

    def loss(w):
        return ((f(w, x) - y) ** 2).mean() / 2 + reg * ((w - start) ** 2).sum() / (2 * y.size)
    w = start
    for _ in range(steps):
        w = w - rate * grad(loss)(w)
    return steps * rate, f(w, x_test)
