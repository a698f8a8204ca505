"""The kernels inside a network: after every layer, in the order of the recursion."""
from typing import Any, NamedTuple

from ..stax import Layer
from ..stax.watched import watched
from ..types import Array, Tree

__all__ = ['LayerValues', 'layer_values']

NAMES = 'nngp', 'ntk', 'cov1', 'cov2'


class LayerValues(NamedTuple):
    """Kernels after a layer.

    Attributes
    ----------
    place : str                 indices of the networks around the layer, such as '2.1'; '' for a layer alone.
    layer : str                 its name.
    kernels : dict              {'nngp': array, 'ntk': array, 'cov1': array, 'cov2': array}; without cov2 if x2 is x1.
    diagonal_spatial : bool     True if they are those at equal positions, (n1, n2, h, w), and not those between any
                                two, (n1, n2, h, h', w, w').
    """
    place: str
    layer: str
    kernels: dict[str, Array]
    diagonal_spatial: bool


def layer_values(net: Layer, x1: Tree, x2: Tree = None, **options: Any) -> list[LayerValues]:
    r"""Return the kernels after every layer of an infinitely wide network.

    .. math:: (K_l, \Theta_l) = \text{layer}_l(K_{l-1}, \Theta_{l-1})

    Layers of a `repeat` come once for each time, with its number as an index. A layer with several outputs, such as
    `FanOut`, is left out: each of its outputs is its input.

    Parameters
    ----------
    net : Layer                     the network.
    x1 : array (n1, ..., channels)  inputs.
    x2 : the same, optional         None: x2 is x1.
    options                         `pattern`, `mask_constant`, `diagonal_spatial`, as for `kernel_fn`.

    Returns
    -------
    list of LayerValues; the kernels of the last are those of the network, unless that has several outputs.

    Raises
    ------
    As `kernel_fn`.

    Accuracy
    --------
    That of `kernel_fn`, docs/accuracy.md: the same computation, in one piece.

    Source
    ------
    docs/theory/dense.md

    Examples
    --------
    >>> import numpy
    >>> from ntref import stax
    >>> net = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1))
    >>> for place, layer, kernels, _ in layer_values(net, numpy.array([[1., 0.], [1., 1.]])):
    ...     print(f"{place} {layer:<5} {kernels['nngp'][0, 1]:.6f} {kernels['ntk'][0, 1]:.6f}")
    0 Dense 0.500000 0.500000
    1 Relu  0.267077 0.187500
    2 Dense 0.267077 0.454577
    """
    values = []

    def look(seen, before, after):
        if hasattr(after, 'nngp'):
            values.append(LayerValues(seen.place, seen.layer.name, _kernels(after), after.diagonal_spatial))
    copy, _ = watched(net.mapped(_with_positions), look)
    copy.kernel_fn(x1, x2, **options)
    return values


def _with_positions(layer, path):
    """Return a copy of a layer that is not asked for averages over positions, which commute with it."""
    new = object.__new__(type(layer))
    new.__dict__.update(layer.__dict__, knows_flat=False)
    return new


def _kernels(state):
    finished = state.finished()
    return {name: a for name in NAMES if (a := getattr(finished, name)) is not None}
