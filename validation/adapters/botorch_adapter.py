"""BoTorch's kernel of infinitely wide ReLU networks, as an adapter of the conformance suite:

    ntref conform validation/adapters/botorch_adapter.py --python /path/to/its/python

InfiniteWidthBNNKernel(depth) is the NNGP kernel of Dense, then depth times Relu and Dense, all with the same variances
of weights and biases; those of the last are put in their place: (K - b) / w is E phi phi. It has no tangent kernel.
"""
from importlib.metadata import version

import torch
from botorch.models.kernels import InfiniteWidthBNNKernel


def about():
    return {name: version(name) for name in ('botorch', 'gpytorch', 'torch')}


def kernel(spec, x1, x2, get):
    if 'nngp' not in get:
        raise NotImplementedError('there are NNGP kernels only')
    layers = spec['layers'] if spec['layer'] == 'serial' else [spec]
    names = [layer['layer'] for layer in layers]
    dense = layers[::2]
    if len(layers) % 2 == 0 or len(layers) < 3 or set(names[::2]) != {'Dense'} or set(names[1::2]) != {'Relu'}:
        raise NotImplementedError('there are Dense, then Relu and Dense, any number of times')
    if any(not set(layer) <= {'layer', 'out_dim', 'W_std', 'b_std'} for layer in dense) or x1.ndim != 2:
        raise NotImplementedError("there is no 'standard' parameterization, and no positions")
    variances = [(layer.get('W_std', 1.) ** 2, (layer.get('b_std') or 0.) ** 2) for layer in dense]
    if len({*variances[:-1]}) > 1:
        raise NotImplementedError('all layers but the last have the same variances')
    weight, bias = variances[0]
    if not weight:
        raise NotImplementedError('weights have a variance')
    last_weight, last_bias = variances[-1]
    a = torch.from_numpy(x1.copy())
    b = a if x2 is None else torch.from_numpy(x2.copy())
    k = InfiniteWidthBNNKernel(len(dense) - 1).to(a)
    k.weight_var = torch.tensor(weight, dtype=a.dtype)
    k.bias_var = torch.tensor(bias, dtype=a.dtype)
    with torch.no_grad():
        found = last_weight * (k.k(a, b) - bias) / weight + last_bias
    return {'nngp': found.numpy(), 'ntk': None}
