"""ntref's own answers to the cases, in the precision of their inputs."""
from collections.abc import Callable
from typing import Any

import ntref

from ..stax import Layer, from_spec
from ..trees import rebuilt
from . import predictions

__all__ = ['empirical', 'kernel', 'predict']


def kernel(net: Layer, x1: Any, x2: Any, get: list[str], pattern1: Any = None, pattern2: Any = None,
           **options: Any) -> dict[str, Any]:
    """Return kernels of an infinite network."""
    pattern = None if pattern1 is None else (pattern1, pattern2)
    return net.kernel_fn(x1, x2, tuple(get), pattern=pattern, **options)._asdict()


def empirical(net: Layer, params: list, x1: Any, x2: Any, get: list[str], **options: Any) -> dict[str, Any]:
    """Return kernels of a finite network; `params` are in the order of the leaves of what `init_fn` gives."""
    _, like = net.init_fn(0, x1.shape)
    axes: dict[str, Any] = {name: tuple(given) for name, given in options.items()}
    return ntref.empirical_kernel_fn(net.apply_fn, **axes)(x1, x2, tuple(get), rebuilt(like, params))._asdict()


def predict(function: str, inputs: dict, options: dict, network: Callable[[dict], Layer] = from_spec) -> dict[str, Any]:
    """Return what training does, and posteriors; `network` makes networks of their specs."""
    return predictions.predict(ntref, network, function, inputs, options)
