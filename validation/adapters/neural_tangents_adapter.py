"""Neural Tangents as an adapter of the conformance suite; it runs in an interpreter that has it:

    ntref conform validation/adapters/neural_tangents_adapter.py --python /path/to/its/python

Arrays are computed in the precision of the inputs (`jax_enable_x64`). What is a convention and no number is adapted:
covariances of positions are brought into their natural order (`Kernel.reverse`), the scalar 0 that is the tangent
kernel without weights gets the shape of the other kernel, no pattern is a pair of None. Names that Neural Tangents
lacks are unsupported; what it raises otherwise is a crash.
"""
import sys
from pathlib import Path

import jax
import neural_tangents as nt
import numpy
from neural_tangents import stax

sys.path.append(str(Path(__file__).resolve().parents[2] / 'ntref' / 'oracle'))      # ntref itself is not needed

import predictions                                          # noqa: E402


def about():
    from importlib.metadata import version
    return {name: version(name) for name in ('neural-tangents', 'jax', 'jaxlib')}


def kernel(spec, x1, x2, get, pattern1=None, pattern2=None, **options):
    _precision(x1)
    k = from_spec(spec)[2](x1, x2, pattern=(pattern1, pattern2), **options)
    if not isinstance(k, nt.Kernel):
        raise NotImplementedError('a network with several outputs')
    k = k.reverse() if k.is_reversed and not k.diagonal_spatial else k
    return {name: numpy.broadcast_to(getattr(k, name), k.nngp.shape) for name in get}


def empirical(spec, params, x1, x2, get, **options):
    _precision(x1)
    init_fn, apply_fn, _ = from_spec(spec)
    options, key = {name: tuple(axes) for name, axes in options.items()}, jax.random.PRNGKey(0)
    _, like = init_fn(key, x1.shape)
    params = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), params)
    return nt.empirical_kernel_fn(apply_fn, **options)(x1, x2, tuple(get), params, rng=key)._asdict()


def predict(function, inputs, options):
    _precision(next(iter(inputs.values())))
    return predictions.predict(nt, from_spec, function, inputs, options)


def _precision(x):
    jax.config.update('jax_enable_x64', (x[0] if isinstance(x, list) else x).dtype == 'float64')


def from_spec(value):
    """The network of a spec: names and arguments are those of Neural Tangents."""
    if isinstance(value, list):
        return tuple(map(from_spec, value))
    if not isinstance(value, dict):
        return value
    if 'slice' in value:
        return Ellipsis if value['slice'] == '...' else slice(*value['slice'])
    value = dict(value)
    name = value.pop('layer')
    if not hasattr(stax, name):
        raise NotImplementedError(f'Neural Tangents has no {name}')
    arguments = {key: from_spec(part) for key, part in value.items()}
    layer, layers = getattr(stax, name), arguments.pop('layers', ())
    if name == 'repeat':
        return layer(arguments['block'], arguments['n'])
    return layer(*layers, **arguments)
