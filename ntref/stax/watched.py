"""Networks whose layers tell what goes through them: states, signals and demands. The computation is the same."""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ['Seen', 'watched']


@dataclass
class Seen:
    """What went through a layer.

    Attributes
    ----------
    path : tuple of int         place of the layer, indices of the networks around it.
    layer : Layer
    signals : list              (before, after) of each signal that was traced.
    states : list               (before, after) of each state that was propagated.
    demand                      the demand on its output, that was asked for last.
    """
    path: tuple[int, ...]
    layer: Any
    signals: list = field(default_factory=list)
    states: list = field(default_factory=list)
    demand: Any = None

    @property
    def place(self) -> str:
        """The place as error messages write it, such as 2.1."""
        return '.'.join(map(str, self.path))


def watched(net: Any) -> tuple[Any, list[Seen]]:
    """Return a copy of the network, and what goes through each of its layers, in the order of computation."""
    found: list[Seen] = []

    def copy(layer, path):
        seen = Seen(path, layer)
        found.append(seen)
        new = object.__new__(type(layer))
        new.__dict__.update(
            layer.__dict__,
            propagate=_kept(layer.propagate, seen.states),
            trace=_kept(layer.trace, seen.signals),
            _to_meet=_told(layer._to_meet, seen))
        return new
    return net.mapped(copy), found


def _kept(f: Callable, values: list) -> Callable:
    """Return f, whose arguments and values are appended to `values`."""
    def g(value):
        new = f(value)
        values.append((value, new))
        return new
    return g


def _told(to_meet, seen):
    """Return `to_meet`, which tells what demand it was given."""
    def g(demand):
        seen.demand = demand
        return to_meet(demand)
    return g
