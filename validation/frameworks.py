"""Kernels of networks of other frameworks, as docs/other-frameworks.md has them: PyTorch, JAX, Flax, Equinox.

    python validation/frameworks.py torch          # needs torch
    python validation/frameworks.py jax            # needs jax, flax and equinox
    python validation/frameworks.py resnet         # needs torch: a ResNet's kernel beside that by torch alone
    python validation/frameworks.py estimators     # needs scikit-learn, and torch or jax: their arrays in estimators

Each recipe is a function that returns a `Differentiable` and parameters; it is compared with the contraction of whole
Jacobians by the framework alone, and the largest relative difference is printed.
"""
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from ntref import Differentiable, empirical_ntk_fn, empirical_ntk_vp_fn                              # noqa: E402

REPEATS = 5             # by turns, for times


# ------------------------------------------------------------------ recipes

def of_torch(module, by_parameter=False):
    """Return (Differentiable, parameters) of a torch.nn.Module, in evaluation mode: inputs are treated one by one."""
    torch = import_module('torch')
    module.eval()
    state = {name: a.detach() for name, a in module.named_buffers()}

    def tensors(params):
        return {name: torch.as_tensor(a) for name, a in params.items()}

    def call(params, x):
        return torch.func.functional_call(module, (params, state), (x,))

    def f(params, x):
        with torch.no_grad():
            return call(tensors(params), torch.as_tensor(x))

    def vjp(params, x):
        y, pull = torch.func.vjp(lambda p: call(p, torch.as_tensor(x)), tensors(params))
        return y.detach(), lambda g: pull(torch.as_tensor(g))[0]

    def jvp(params, x, u):
        def of_params(p):
            return call(p, torch.as_tensor(x))
        return torch.func.jvp(of_params, (tensors(params),), (tensors(u),))[1]

    def of_one(params, x):
        """The Jacobian of one input, whose output has no batch axis."""
        return call(params, x[None])[0]

    def jacobian(params, x):
        p = tensors(params)
        each = torch.func.vmap(torch.func.jacrev(of_one), (None, 0))
        return {name: J.detach() for name, J in each(p, torch.as_tensor(x)).items()}

    def jacobians(params, x):
        """The same for one parameter after the other: one backward pass for each, and less memory."""
        p = tensors(params)
        for name in p:
            def of_its(a, one, name=name):
                return of_one(p | {name: a}, one)
            each = torch.func.vmap(torch.func.jacrev(of_its), (None, 0))
            yield each(p[name], torch.as_tensor(x)).detach()
    params = {name: a.detach().numpy() for name, a in module.named_parameters()}
    return Differentiable(f, vjp, jvp, jacobians if by_parameter else jacobian), params


def of_jax(f, params):
    """Return (Differentiable, parameters) of a function f(params, x) of JAX; parameters are dicts, lists, tuples."""
    jax = import_module('jax')

    def vjp(params, x):
        y, pull = jax.vjp(lambda p: f(p, x), params)
        return y, lambda g: pull(g)[0]

    def jvp(params, x, u):
        return jax.jvp(lambda p: f(p, x), (params,), (u,))[1]
    jacobian = jax.jit(jax.jacrev(f))
    return Differentiable(jax.jit(f), vjp, jvp, jacobian), jax.device_get(params)


def of_flax(module, x):
    """Return (Differentiable, parameters) of a flax.linen module."""
    jax = import_module('jax')
    params = module.init(jax.random.PRNGKey(0), x)
    return of_jax(module.apply, params)


def of_equinox(module):
    """Return (Differentiable, parameters) of an Equinox module for one input: its arrays as a list, in their order."""
    jax = import_module('jax')
    equinox = import_module('equinox')
    arrays, rest = equinox.partition(module, equinox.is_array)
    params, form = jax.tree_util.tree_flatten(arrays)

    def f(params, x):
        whole = equinox.combine(jax.tree_util.tree_unflatten(form, params), rest)
        return jax.vmap(whole)(x)
    return of_jax(f, params)


# ------------------------------------------------------------------ comparisons

def contracted(jacobians, n):
    """The kernel from whole Jacobians (n, outputs, ...), all pairs of outputs, summed over parameters in NumPy."""
    J = [numpy.asarray(a) for a in jacobians]
    J = numpy.concatenate([a.reshape(n, a.shape[1], -1) for a in J], -1)
    return numpy.einsum('nop,mqp->nmoq', J, J)


def compared(name, given, params, x):
    """Print the largest relative difference of every way from the contraction of whole Jacobians."""
    right = contracted(flat(given.jacobian(params, x)), len(x))
    v = numpy.random.default_rng(1).standard_normal(given(params, x).shape).astype(right.dtype)
    ways = {
        'jacobian': lambda: empirical_ntk_fn(given, ())(x, None, params),
        'vjp': lambda: empirical_ntk_fn(Differentiable(given.f, given.vjp), (), vmap_axes=0)(x, None, params),
        'vjp and jvp': lambda: empirical_ntk_fn(given, (), implementation=2)(x, None, params)}
    for way, kernel in ways.items():
        print(f'{name}, {way}: {abs(kernel() - right).max() / abs(right).max():.1e}')
    products = empirical_ntk_vp_fn(given, x, None, params)(v)
    expected = numpy.einsum('nmoq,mq->no', right, v)
    print(f'{name}, products: {abs(products - expected).max() / abs(expected).max():.1e}')


def flat(tree):
    """The leaves of a tree, in order."""
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in flat(branch)]
    if isinstance(tree, (list, tuple)):
        return [leaf for branch in tree for leaf in flat(branch)]
    return [tree]


def images(n, dtype='float64'):
    """CIFAR-shaped inputs, channels first."""
    return numpy.random.default_rng(0).standard_normal((n, 3, 32, 32)).astype(dtype)


def by_torch():
    torch = import_module('torch')
    nn = torch.nn
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    dense = nn.Sequential(nn.Linear(3, 64), nn.GELU(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    x = numpy.random.default_rng(0).standard_normal((6, 3))
    compared('torch, dense', *of_torch(dense), x)
    conv = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(),
                         nn.Linear(8 * 7 * 7, 10))
    compared('torch, conv with batch norm', *of_torch(conv), images(4))


def by_jax():
    jax = import_module('jax')
    jax.config.update('jax_enable_x64', True)
    linen = import_module('flax.linen')
    equinox = import_module('equinox')
    x = numpy.random.default_rng(0).standard_normal((6, 3))

    def plain(params, x):
        w, v = params
        return jax.numpy.tanh(x @ w) @ v
    rng = numpy.random.default_rng(1)
    compared('jax, function', *of_jax(plain, (rng.standard_normal((3, 64)), rng.standard_normal((64, 2)))), x)
    first, last = (linen.Dense(width, param_dtype='float64') for width in (64, 2))
    module = linen.Sequential([first, linen.gelu, last])
    compared('flax, dense', *of_flax(module, x), x)
    mlp = equinox.nn.MLP(3, 2, 64, 2, key=jax.random.PRNGKey(0), dtype='float64')
    compared('equinox, MLP', *of_equinox(mlp), x)


# ------------------------------------------------------------------ a ResNet

def resnet(width=16, blocks=2):
    """A ResNet for 32 x 32 images: three stages of residual blocks with batch norm, 10 classes."""
    torch = import_module('torch')
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inside, out, stride):
            super().__init__()
            self.branch = nn.Sequential(
                nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
                nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
            is_same = inside == out and stride == 1
            self.shortcut = nn.Identity() if is_same else nn.Conv2d(inside, out, 1, stride, bias=False)

        def forward(self, x):
            return torch.relu(self.shortcut(x) + self.branch(x))
    stages = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    channels = width
    for stage in range(3):
        out = width * 2 ** stage
        for block in range(blocks):
            stages.append(Block(channels, out, 2 if stage and not block else 1))
            channels = out
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def timed(calls):
    """Return {name: (seconds, the least of some repeats by turns; the result)}."""
    best = dict.fromkeys(calls, numpy.inf)
    found = {}
    for _ in range(REPEATS):
        for name, call in calls.items():
            start = perf_counter()
            found[name] = call()
            best[name] = min(best[name], perf_counter() - start)
    return {name: (best[name], found[name]) for name in calls}


def of_a_resnet():
    torch = import_module('torch')
    torch.manual_seed(0)
    n = 4
    for dtype in ('float64', 'float32'):
        net = resnet().to(getattr(torch, dtype))
        x = images(n, dtype)
        given, params = of_torch(net)
        one_by_one, _ = of_torch(net, by_parameter=True)
        print(f'ResNet, {sum(a.size for a in params.values())} parameters, {n} images, 10 outputs, {dtype}')

        def alone():
            """By torch alone: whole Jacobians, contracted parameter by parameter."""
            kernel = 0.
            for J in given.jacobian(params, x).values():
                J = J.reshape(n, 10, -1)
                kernel = kernel + torch.einsum('nop,mqp->nmoq', J, J)
            return kernel.numpy()
        by_vjp = empirical_ntk_fn(Differentiable(given.f, given.vjp), (), vmap_axes=0)
        calls = {
            'torch alone': alone,
            'ntref, jacobian': partial(empirical_ntk_fn(given, ()), x, None, params),
            'ntref, vjp': partial(by_vjp, x, None, params),
            'ntref, jacobian by parameter': partial(empirical_ntk_fn(one_by_one, ()), x, None, params)}
        found = timed(calls)
        _, right = found['torch alone']
        for name, (seconds, kernel) in found.items():
            print(f'{name}: {seconds:.2f} s, {abs(kernel - right).max() / abs(right).max():.1e}')


# ------------------------------------------------------------------ estimators

def in_estimators():
    """Print the largest differences of predictions for arrays of each framework that is here from those for NumPy's."""
    from ntref import estimators
    x = numpy.random.default_rng(0).standard_normal((40, 3))
    x_test = x[:5] / 2
    targets = {estimators.NNGPRegressor: x[:, 0], estimators.NTKRegressor: x[:, 0],
               estimators.NNGPClassifier: x[:, 0] > 0, estimators.NTKClassifier: x[:, 0] > 0}
    for kind, convert in kinds_of_arrays().items():
        for estimator, y in targets.items():
            expected = estimator().fit(x, y).predict(x_test)
            found = estimator().fit(convert(x), convert(y)).predict(convert(x_test))
            print(f'{kind}, {estimator.__name__}: {abs(found * 1. - expected * 1.).max():.1e}')


def kinds_of_arrays():
    """Return {name: conversion} for the frameworks that are installed."""
    kinds = {}
    if find_spec('torch'):
        torch = import_module('torch')
        kinds['torch'] = torch.as_tensor
        kinds['torch, with gradients'] = lambda a: torch.as_tensor(a).double().requires_grad_()
    if find_spec('jax'):
        jax = import_module('jax')
        jax.config.update('jax_enable_x64', True)
        kinds['jax'] = jax.numpy.asarray
    return kinds


if __name__ == '__main__':
    {'torch': by_torch, 'jax': by_jax, 'resnet': of_a_resnet, 'estimators': in_estimators}[sys.argv[1]]()
