"""Empirical tangent kernels by PyTorch (`torch.func`), as an adapter of the conformance suite:

    ntref conform validation/adapters/torch_adapter.py --select 'empirical/*' --python /path/to/its/python

A network of the suite is written out as a PyTorch function of its parameters, Theta = J(x1) J(x2)^T by `jacrev` and
`vmap` as in PyTorch's tutorial on neural tangent kernels. No kernels of infinite width: unsupported.
"""
import torch
from torch.func import jacrev, vmap

ELEMENTWISE = {
    'Relu': torch.relu, 'Abs': torch.abs, 'Sign': torch.sign, 'Sin': torch.sin, 'Cos': torch.cos, 'Tanh': torch.tanh,
    'Sigmoid': torch.sigmoid, 'Softplus': torch.nn.functional.softplus, 'Swish': torch.nn.functional.silu,
    'Mish': torch.nn.functional.mish, 'Erf': torch.erf, 'Gelu': torch.nn.functional.gelu, 'Identity': lambda x: x}


def about():
    return {'torch': torch.__version__}


def empirical(spec, params, x1, x2, get, trace_axes=(-1,), diagonal_axes=()):
    params = [torch.from_numpy(p.copy()) for p in params]
    axes = _kept(trace_axes), _kept(diagonal_axes)

    def f(x, params):
        left = iter(params)
        return layer(spec, x[None], left)[0]

    def jacobian(x):                                        # (n, *outputs, parameters)
        parts = vmap(jacrev(f, argnums=1), (0, None))(x, params)
        outputs = vmap(f, (0, None))(x, params).ndim
        return torch.cat([part.flatten(outputs) for part in parts], -1)
    sides = [torch.from_numpy(x.copy()) for x in (x1, x1 if x2 is None else x2)]
    values = {'nngp': lambda x: vmap(f, (0, None))(x, params)[..., None], 'ntk': jacobian}
    return {name: contracted(*(values[name](x) for x in sides), *axes).detach().numpy() for name in get}


def _kept(axes):
    if not set(axes) <= {-1}:
        raise NotImplementedError(f'axes other than the last, {list(axes)}')
    return bool(axes)


def contracted(a, b, is_traced, is_diagonal):
    """sum over the last axis; mean over the outputs, equal outputs only, or all pairs: (n1, n2, c, c')."""
    if a.ndim != 3:
        raise NotImplementedError('outputs with positions')
    if is_traced:
        return torch.einsum('acp,bcp->ab', a, b) / a.shape[1]
    return torch.einsum('acp,bcp->abc' if is_diagonal else 'acp,bdp->abcd', a, b)


# ------------------------------------------------------------------ networks

def layer(spec, x, params):
    """The output of a layer, which takes its parameters off `params`."""
    given, name = {key: value for key, value in spec.items() if key != 'layer'}, spec['layer']
    if name == 'serial':
        for part in given['layers']:
            x = layer(part, x, params)
        return x
    if name == 'parallel':
        return [layer(part, branch, params) for part, branch in zip(given['layers'], x)]
    if name in ELEMENTWISE and not given:
        return ELEMENTWISE[name](x)
    if name not in LAYERS:
        raise NotImplementedError(f'{name} with {given}')
    try:
        return LAYERS[name](x, params, **given)
    except TypeError as e:
        raise NotImplementedError(f'{name}: {e}') from e


def dense(x, params, out_dim, W_std=1., b_std=None, parameterization='ntk'):
    z = x @ next(params)
    if parameterization == 'standard':
        return z if b_std is None else z + next(params)
    z = W_std / x.shape[-1] ** .5 * z
    return z if b_std is None else z + b_std * next(params)


def conv(x, params, out_chan, filter_shape, strides=None, padding='VALID', W_std=1., b_std=None):
    if len(filter_shape) != 2 or padding == 'CIRCULAR' or padding == 'SAME' and strides not in (None, [1, 1]):
        raise NotImplementedError(f'Conv: padding {padding}, strides {strides}, {len(filter_shape)} axes')
    W = next(params)                                        # (h, w, in, out); x is (n, h, w, channels)
    z = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), W.permute(3, 2, 0, 1), stride=strides or 1,
                                   padding=padding.lower()).permute(0, 2, 3, 1)
    z = W_std / W[..., 0].numel() ** .5 * z
    return z if b_std is None else z + b_std * next(params)


def layer_norm(x, params, eps=1e-12):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps)


def dropout(x, params, rate, mode='train'):
    if mode != 'test':
        raise NotImplementedError('Dropout in training: other random numbers')
    return x


def pool(x, params, window_shape, strides=None):
    windows = torch.nn.functional.avg_pool2d(x.permute(0, 3, 1, 2), tuple(window_shape), strides or 1)
    return windows.permute(0, 2, 3, 1)


LAYERS = {
    'Dense': dense, 'Conv': conv, 'AvgPool': pool, 'LayerNorm': layer_norm, 'Dropout': dropout,
    'Flatten': lambda x, params: x.flatten(1),
    'GlobalAvgPool': lambda x, params: x.flatten(1, -2).mean(1),
    'GlobalSumPool': lambda x, params: x.flatten(1, -2).sum(1),
    'LeakyRelu': lambda x, params, alpha: torch.nn.functional.leaky_relu(x, alpha),
    'FanOut': lambda x, params, num: [x] * num,
    'FanInSum': lambda x, params: sum(x)}
