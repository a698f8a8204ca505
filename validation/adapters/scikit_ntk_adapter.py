"""scikit-ntk (the tangent kernel of a ReLU network for scikit-learn), as an adapter of the conformance suite:

    ntref conform validation/adapters/scikit_ntk_adapter.py --python /path/to/its/python

It has one network: Dense, then depth times Relu and Dense, weights of variance 2 over the width, the first not divided
by the width, the whole by depth + 1. ReLU is homogeneous, so without biases any W_std is a factor. Its bias is in the
tangent kernel alone, b_std is not the same. It has no NNGP.
"""
from math import prod

import skntk


def about():
    from importlib.metadata import version
    return {name: version(name) for name in ('scikit-ntk', 'scikit-learn')}


def kernel(spec, x1, x2, get):
    if 'ntk' not in get:
        raise NotImplementedError('scikit-ntk has tangent kernels only')
    layers = spec['layers'] if spec['layer'] == 'serial' else [spec]
    names, dense = [layer['layer'] for layer in layers], layers[::2]
    if len(layers) % 2 == 0 or len(layers) < 3 or set(names[::2]) != {'Dense'} or set(names[1::2]) != {'Relu'}:
        raise NotImplementedError('scikit-ntk is Dense, then Relu and Dense, any number of times')
    if any(not set(layer) <= {'layer', 'out_dim', 'W_std'} for layer in dense) or x1.ndim != 2:
        raise NotImplementedError("scikit-ntk has no biases, no 'standard' parameterization, no positions")
    depth = len(dense) - 1
    k = skntk.NeuralTangentKernel(depth, bias=0.)(x1, x2)
    scale = prod(layer.get('W_std', 1.) ** 2 for layer in dense) / 2 ** depth / x1.shape[1] * (depth + 1)
    return {'nngp': None, 'ntk': (scale * k).astype(x1.dtype)}
