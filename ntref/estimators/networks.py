"""The network of an estimator: one that is given, as JSON too, or layers of one activation by its name."""
import json
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

from .. import stax
from ..arguments import as_part, as_whole, suggestion
from ..stax.layers.nonlinearity import Nonlinearity
from ..types import Number

__all__ = ['ACTIVATIONS', 'kernel_fn_of', 'network_of']


def _by_name(name):
    """True for a class of nonlinearities that needs no argument."""
    layer = getattr(stax, name)
    is_one = isinstance(layer, type) and issubclass(layer, Nonlinearity) and not name.startswith('Elementwise')
    return is_one and MISSING not in layer.parameters().values()


ACTIVATIONS = {name.lower(): getattr(stax, name) for name in stax.__all__ if _by_name(name)}
"""Name in lower case -> nonlinearity of `stax`."""


def network_of(depth: int, activation: Any, W_std: Number, b_std: Number, is_flat: bool) -> stax.Layer:
    """Return `depth` hidden layers with an activation, and a linear output; inputs with positions are made flat first.

    Raises
    ------
    ValueError : an unknown activation; a depth that is no whole number >= 0. TypeError : another kind of activation.

    Examples
    --------
    >>> network_of(1, 'erf', 1.5, .1, True)
    serial(Dense(512, 1.5, 0.1), Erf(), Dense(1, 1.5, 0.1))
    """
    if isinstance(activation, str):
        if activation.lower() not in ACTIVATIONS:
            raise ValueError(f'expected activation to be one of {", ".join(ACTIVATIONS)}, got {activation!r:.100}.'
                             f'{suggestion(activation, ACTIVATIONS)}')
        activation = ACTIVATIONS[activation.lower()]()
    if not isinstance(activation, stax.Layer):
        raise TypeError(f"expected activation to be a name such as 'relu', or a layer such as stax.LeakyRelu(.1), got "
                        f'{activation!r:.100}.')
    hidden = [stax.Dense(512, W_std, b_std), activation] * as_whole(depth, 'depth', 0)
    first = [] if is_flat else [stax.Flatten()]
    return stax.serial(*first, *hidden, stax.Dense(1, W_std, b_std))


def kernel_fn_of(net: Any, depth: int, activation: Any, W_std: Number, b_std: Number,
                 is_flat: bool) -> Callable[..., Any]:
    """Return the kernel function of `net`: a network, its JSON (a dict or text), or None for `network_of` the others.

    Raises
    ------
    TypeError, ValueError : something else; as `network_of` and `stax.from_spec`.
    """
    if net is None:
        net = network_of(depth, activation, W_std, b_std, is_flat)
    if isinstance(net, str):
        try:
            net = json.loads(net)
        except json.JSONDecodeError as e:
            raise ValueError(f'expected a text as net to be the JSON of a network, got {net!r:.100} ({e}). The name of '
                             'a nonlinearity is activation=.') from None
    if isinstance(net, dict):
        net = stax.from_spec(net)
    return as_part(net, 'kernel_fn', 'net')
