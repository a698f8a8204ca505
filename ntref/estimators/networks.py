"""The network of an estimator: one that is given, as JSON too, or one by a short name."""
import json
from collections.abc import Callable
from typing import Any

from .. import stax
from ..arguments import as_part
from ..stax.named import network_of
from ..types import Number

__all__ = ['kernel_fn_of']


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
