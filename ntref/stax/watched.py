"""Networks whose layers tell what goes through them: states, signals and demands. The computation is the same."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ['Seen', 'watched']


@dataclass
class Seen:
    """What went through a layer.

    Attributes
    ----------
    path : tuple of int         place of the layer, indices of the networks around it.
    layer : Layer
    signals                     (before, after) of the signal that was traced last.
    demand                      the demand on its output that it was given last.
    """
    path: tuple[int, ...]
    layer: Any
    signals: Any = None
    demand: Any = None

    @property
    def place(self) -> str:
        """The place as error messages write it, such as 2.1."""
        return '.'.join(map(str, self.path))


def watched(net: Any, look: Callable[[Seen, Any, Any], None] | None = None) -> tuple[Any, list[Seen]]:
    """Return a copy of the network, and what goes through each of its layers, in the order of computation.

    `look(seen, before, after)` is called with each state that goes through a layer; states are not kept, since they may
    be large.
    """
    found: list[Seen] = []

    def copy(layer, path):
        seen = Seen(path, layer)
        found.append(seen)
        new = object.__new__(type(layer))
        new.__dict__.update(layer.__dict__, **_instead(layer, seen, look))
        return new
    return net.mapped(copy), found


def _instead(layer, seen, look):
    """Return the methods of the copy by name: those of the layer, which tell what they are given."""
    def propagate(k):
        new = layer.propagate(k)
        if look is not None:
            look(seen, k, new)
        return new

    def trace(signal):
        new = layer.trace(signal)
        seen.signals = signal, new
        return new

    def to_meet(demand):
        seen.demand = demand
        return layer._to_meet(demand)
    return dict(propagate=propagate, trace=trace, _to_meet=to_meet)
