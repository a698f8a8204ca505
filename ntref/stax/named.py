"""Networks by a short name: layers of one activation. Estimators and the command have them in common."""
from dataclasses import MISSING
from typing import Any

from .. import stax
from ..arguments import as_whole, suggestion
from ..types import Number
from .layer import Layer
from .layers.nonlinearity import Nonlinearity

__all__ = ['ACTIVATIONS', 'B_STD', 'W_STD', 'activation_of', 'network_of']

W_STD, B_STD = 2 ** .5, .1           # He's weights, and small biases


def _by_name(name):
    """True for a class of nonlinearities that needs no argument."""
    layer = getattr(stax, name)
    is_one = isinstance(layer, type) and issubclass(layer, Nonlinearity) and not name.startswith('Elementwise')
    return is_one and MISSING not in layer.parameters().values()


ACTIVATIONS = {name.lower(): getattr(stax, name) for name in stax.__all__ if _by_name(name)}
"""Name in lower case -> nonlinearity of `stax`."""


def activation_of(name: str) -> Layer:
    """Return the nonlinearity of a name, such as 'relu'.

    Raises
    ------
    ValueError : there is none of this name, or it needs arguments.
    """
    if name.lower() not in ACTIVATIONS:
        raise ValueError(f'expected activation to be one of {", ".join(ACTIVATIONS)}, got {name!r:.100}.'
                         f'{suggestion(name, ACTIVATIONS)}')
    return ACTIVATIONS[name.lower()]()


def network_of(depth: int = 3, activation: Any = 'relu', W_std: Number = W_STD, b_std: Number = B_STD,
               is_flat: bool = True) -> Layer:
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
        activation = activation_of(activation)
    if not isinstance(activation, Layer):
        raise TypeError(f"expected activation to be a name such as 'relu', or a layer such as stax.LeakyRelu(.1), got "
                        f'{activation!r:.100}.')
    hidden = [stax.Dense(512, W_std, b_std), activation] * as_whole(depth, 'depth', 0)
    first = [] if is_flat else [stax.Flatten()]
    return stax.serial(*first, *hidden, stax.Dense(1, W_std, b_std))
