"""The arc-cosine kernels of GPflow or of GPJax, whichever the interpreter has, as an adapter of the conformance suite:

    ntref conform validation/adapters/arc_cosine_adapter.py --python /path/to/its/python

variance / pi |u|^n |v|^n J_n(theta) is the NNGP kernel of Dense and the n-th power of max(z, 0), with variance 1 / 2; a
Dense behind is a factor and a number. Neither has nonlinearities behind that, nor tangent kernels.
"""
from importlib.metadata import version
from importlib.util import find_spec

import numpy

LIBRARY = 'gpflow' if find_spec('gpflow') else 'gpjax'


def about():
    backend = {'gpflow': 'tensorflow', 'gpjax': 'jax'}[LIBRARY]
    return {name: version(name) for name in (LIBRARY, backend)}


def kernel(spec, x1, x2, get):
    if 'nngp' not in get:
        raise NotImplementedError('there are NNGP kernels only')
    layers = spec['layers'] if spec['layer'] == 'serial' else [spec]
    names = [layer['layer'] for layer in layers]
    if not 2 <= len(layers) <= 3 or names[0] != 'Dense' or names[2:] not in ([], ['Dense']) or x1.ndim != 2:
        raise NotImplementedError('there is one layer of weights, and a power of max(z, 0)')
    if names[1] not in ('Relu', 'RectifiedMonomial'):
        raise NotImplementedError('there are powers of max(z, 0) alone')
    order = 1 if names[1] == 'Relu' else layers[1]['degree']
    if order > 2:
        raise NotImplementedError('the orders are 0, 1 and 2')
    dense = layers[::2]
    if any(not set(layer) <= {'layer', 'out_dim', 'W_std', 'b_std'} for layer in dense):
        raise NotImplementedError("there is no 'standard' parameterization, and no other axes")
    if LIBRARY == 'gpflow' and not dense[0].get('W_std', 1.):
        raise NotImplementedError('weights have a variance')
    factor = dense[1].get('W_std', 1.) ** 2 if len(dense) == 2 else 1.
    behind = (dense[1].get('b_std') or 0.) ** 2 if len(dense) == 2 else 0.
    weight = dense[0].get('W_std', 1.) ** 2 / x1.shape[1]
    bias = (dense[0].get('b_std') or 0.) ** 2
    k = MAKERS[LIBRARY](order, factor / 2, weight, bias, x1, x1 if x2 is None else x2)
    return {'nngp': (numpy.asarray(k) + behind).astype(x1.dtype), 'ntk': None}


def _of_gpflow(order, variance, weight, bias, x1, x2):
    import gpflow
    gpflow.config.set_default_float(x1.dtype.type)
    gpflow.config.set_default_positive_minimum(0.)
    k = gpflow.kernels.ArcCosine(order, variance, weight, max(bias, numpy.finfo(x1.dtype).tiny))
    return k(x1, x2).numpy()


def _of_gpjax(order, variance, weight, bias, x1, x2):
    import jax
    jax.config.update('jax_enable_x64', True)
    import gpjax
    k = gpjax.kernels.ArcCosine(order=order, variance=variance, weight_variance=weight, bias_variance=bias)
    return k.cross_covariance(jax.numpy.asarray(x1), jax.numpy.asarray(x2))


MAKERS = {'gpflow': _of_gpflow, 'gpjax': _of_gpjax}
