"""Backward passes over a part of a computation that begins at leaves made here, on any number of threads at once."""
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from ..derivatives import is_traced

__all__ = ['Leaves']


class Leaves:
    """Values that autograd follows from here, each with what is done with its cotangent.

    Autograd's count of open traces is one for all threads; leaves do not use it. Functions that open traces themselves,
    such as those of the user, must not be computed from them.
    """

    def __init__(self, others: 'Leaves | None' = None) -> None:
        """Begin with the leaves of `others`, which several threads may share, or with none."""
        self.made: list[tuple[Any, Callable]] = list(others.made) if others else []

    def leaf(self, value: Any, add: Callable[[Any], Any]) -> Any:
        """Return `value` as a leaf; `pull` gives its cotangent to `add`, unless nothing depends on the leaf."""
        tracer = import_module('autograd.tracer')
        core = import_module('autograd.core')
        import_module('autograd.numpy')                      # which registers what arrays are boxed in
        box = tracer.new_box(value, 0, core.VJPNode.new_root())
        self.made.append((box, add))
        return box

    def pull(self, ends: Sequence[tuple[Any, Any]]) -> None:
        """Go back from the ends, pairs (value, its cotangent), once: the arrays of the way are freed."""
        core = import_module('autograd.core')
        tracer = import_module('autograd.tracer')
        followed = [(end._node, g) for end, g in ends if is_traced(end)]
        last = _End([node for node, _ in followed])
        adds = {box._node: add for box, add in self.made}
        cotangents: dict[Any, Any] = {last: ([g for _, g in followed], False)}
        for node in tracer.toposort(last):
            g, _ = cotangents.pop(node)
            if node in adds:
                adds[node](g)
                continue
            for parent, part in zip(node.parents, node.vjp(g)):
                cotangents[parent] = core.add_outgrads(cotangents.get(parent), part)
            node.vjp = None


class _End:
    """The node behind all ends, whose cotangent is the list of theirs."""

    def __init__(self, parents):
        self.parents = parents
        self.vjp = iter
