"""Kernels of finite networks that autograd follows in inputs, parameters or keywords: their definition, traced.

K = f(x1) f(x2)^T and Theta = J(x1) J(x2)^T take one backward pass for each entry of the output, which autograd records.
Derivatives of any order follow.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy

from ..arrays import namespace, untraced
from ..no_arrays import is_followed
from ..trees import leaves, rebuilt, tree_map
from ..types import Tree
from .pairing import Pairing, paired
from .side import Side

__all__ = ['FollowedSide', 'followed_ntk', 'is_any_followed', 'opened', 'plain']


def is_any_followed(*trees: Tree) -> bool:
    """True if autograd follows a leaf of these `opened` trees."""
    return any(is_followed(leaf) for tree in trees for leaf in leaves(tree))


def opened(tree: Tree) -> Tree:
    """Return the tree with boxes at its leaves alone, also where autograd follows whole tuples, lists or dicts."""
    value = untraced(tree) if is_followed(tree) else tree
    if isinstance(value, dict):
        return type(value)((key, opened(tree[key])) for key in value)
    if isinstance(value, (tuple, list)):
        parts = [opened(tree[i]) for i in range(len(value))]
        return type(value)(*parts) if hasattr(value, '_fields') else type(value)(parts)
    return tree


def plain(tree: Tree) -> Tree:
    """Return an `opened` tree with the numbers that autograd follows as plain numbers."""
    return tree_map(untraced, tree)


@dataclass(frozen=True)
class FollowedSide:
    """f(params, x, **kwargs) for arguments that autograd follows, beside the `Side` of their plain numbers."""
    f: Callable
    params: Tree
    x: Tree
    kwargs: dict[str, Any]
    side: Side

    @property
    def outputs(self) -> list[Any]:
        return leaves(self.f(self.params, self.x, **self.kwargs))

    def jacobian(self, k: int) -> Any:
        """Return the Jacobian of output k, (*shape, parameters); each example is taken alone where `vmap_axes` allow.
        """
        if self.side.inputs is None:
            return self._rows(k, self.x, self.kwargs)
        examples = (self.side.arguments(i, self.x, self.kwargs) for i in range(self.side.n))
        parts = [self._rows(k, *given) for given in examples]
        return namespace(*parts).concatenate(parts, self.side.outputs[k])

    def _rows(self, k, x, kwargs):
        def output(*values):
            return leaves(self.f(rebuilt(self.params, values), x, **kwargs))[k]
        values = leaves(self.params)
        pull, out = import_module('autograd').make_vjp(output, tuple(range(len(values))))(*values)
        shape = numpy.shape(untraced(out))
        units = namespace(untraced(out)).eye(out.size).astype(out.dtype).reshape(out.size, *shape)
        xp = namespace(out)
        rows = [xp.concatenate([xp.reshape(g, -1) for g in pull(unit)]) for unit in units]
        return xp.stack(rows).reshape(*shape, -1)


def followed_ntk(first: FollowedSide, second: FollowedSide, pairings: Sequence[Pairing]) -> list[Any]:
    """Return the tangent kernel of each output, summed over all parameters, as arrays that autograd follows."""
    kernels = []
    for k, pairing in enumerate(pairings):
        J1 = first.jacobian(k)
        J2 = J1 if second is first else second.jacobian(k)
        kernels.append(paired(J1, J2, pairing.trace, pairing.diagonal) / pairing.traced)
    return kernels
