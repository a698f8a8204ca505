"""What is timed: tasks, written once for ntref and Neural Tangents (NT), and the two libraries.

A task takes a library, a network, what `Case.arrays` gives and `get`, and returns a function without arguments.
"""
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy

OUTPUTS = 10                                    # of networks that are trained


class Library(NamedTuple):
    """The same things of both."""
    np: Any                                     # of functions that are differentiated
    stax: Any
    predict: Any
    empirical_ntk_fn: Callable
    value_and_grad: Callable
    jit: Callable
    done: Callable                              # waits for a result
    seed: Any
    use: Callable                               # of a dtype, before all else


def ours():
    import autograd

    from ntref import empirical_ntk_fn, predict, stax
    return Library(
        np=autograd.numpy,
        stax=stax,
        predict=predict,
        empirical_ntk_fn=empirical_ntk_fn,
        value_and_grad=autograd.value_and_grad,
        jit=lambda f: f,
        done=lambda result: result,
        seed=0,
        use=lambda dtype: None,
    )


def neural_tangents():
    import jax
    import neural_tangents as nt
    return Library(
        np=jax.numpy,
        stax=nt.stax,
        predict=nt.predict,
        empirical_ntk_fn=nt.empirical_ntk_fn,
        value_and_grad=jax.value_and_grad,
        jit=jax.jit,
        done=lambda result: jax.tree_util.tree_map(numpy.asarray, result),
        seed=jax.random.PRNGKey(0),
        use=lambda dtype: jax.config.update('jax_enable_x64', dtype == 'float64'),
    )


# ------------------------------------------------------------------ infinite networks

def kernel(library, network, x1, x2, given, get):
    constants = {name: a for name, a in given.items() if isinstance(a, float)}
    arrays = {name: a for name, a in given.items() if name not in constants}
    kernel_fn = library.jit(partial(network[2], get=get, **constants))
    return lambda: library.done(kernel_fn(x1, x2, **arrays))


def gradient(library, network, x1, x2, given, get):
    """The sum of squares of the kernel, and its gradient in x1."""
    def total(x1, x2):
        return library.np.sum(network[2](x1, x2, get) ** 2)
    f = library.jit(library.value_and_grad(total))
    return lambda: library.done(f(x1, x2))


# ------------------------------------------------------------------ finite networks

def finite(library, network, x1, x2, given, get, implementation=3):
    """NTK of all outputs: implementation 3 has structured derivatives, 1 the definition."""
    init_fn, f, _ = network
    _, params = init_fn(library.seed, x1.shape)
    ntk_fn = library.jit(library.empirical_ntk_fn(
        f, trace_axes=(), vmap_axes=0, implementation=implementation))
    return lambda: library.done(ntk_fn(x1, x2, params))


# ------------------------------------------------------------------ training

def cross_entropy(library, network, x1, x2, given, get, momentum=None, t=1000.):
    """Of labels without a pattern, to the time t; NT is not compiled."""
    np = library.np
    n = len(x1)
    y = numpy.eye(OUTPUTS)[numpy.arange(n) * 7 % 11 % OUTPUTS]
    f0 = numpy.random.default_rng(0).standard_normal((n, OUTPUTS))

    def loss(f, y):
        f = f - np.max(f, axis=-1, keepdims=True)
        log_total = np.log(np.sum(np.exp(f), axis=-1, keepdims=True))
        return -np.mean(np.sum(y * (f - log_total), axis=-1))
    predict_fn = library.predict.gradient_descent(loss, network[2](x1, x2, get), y, 1., momentum)
    return lambda: library.done(predict_fn(t, f0))


def ensemble(library, network, x1, x2, given, get, t=None):
    """Means and covariances of both kinds at x2, from inputs to the end; NT is not compiled."""
    y = numpy.random.default_rng(0).standard_normal((len(x1), OUTPUTS))
    times = t and library.np.array(t)
    ensemble_of = library.predict.gradient_descent_mse_ensemble

    def run():
        predict_fn = ensemble_of(network[2], x1, y, diag_reg=1e-3)
        return library.done(predict_fn(times, x2, get, True))
    return run
