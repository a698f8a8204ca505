"""Leaves of trees of parameters, which need derivatives, and an axis for each leaf."""
from typing import Any

import numpy

from ..arguments import check_finite, is_whole
from ..arrays import is_on_device
from ..no_arrays import check_entries, check_unfollowed
from ..on_either import as_array
from ..trees import check_each, leaves, named
from ..types import Tree

__all__ = ['check_leaves', 'float_leaves', 'spread']

FLOATS = 'float32', 'float64'


def float_leaves(tree: Tree, name: str) -> list[tuple[str, numpy.ndarray]]:
    """Return [(name, array)] for the leaves of a tree of floats.

    Raises
    ------
    TypeError : a leaf is not a float or an array of float32 or float64, and so has no derivative.
    ValueError : NaN or infinity.
    """
    pairs = named(tree, name)
    for where, leaf in pairs:
        check_entries(leaf, where)
        check_unfollowed(leaf, where)
        dtype: Any = getattr(leaf, 'dtype', None)
        is_array = isinstance(leaf, (numpy.ndarray, numpy.generic)) or is_on_device(leaf)
        is_array = is_array and dtype.newbyteorder('=') in FLOATS
        if not isinstance(leaf, float) and not is_array:
            raise TypeError(
                f'expected {where} to be an array of float32 or float64, of NumPy or CuPy, or a float, got '
                f'{type(leaf).__name__}{f" of dtype {dtype}" if dtype is not None else ""}. Others '
                'have no derivative: make it a float, or a constant of the function.')
        check_finite(leaf, where)
    return [(where, _native(leaf)) for where, leaf in pairs]


def _native(leaf):
    leaf = as_array(leaf)
    return leaf.astype(leaf.dtype.newbyteorder('='), copy=False)


def check_leaves(**trees: Tree) -> None:
    """Raise TypeError if a leaf is a masked array, a matrix, a sparse array, or an array that autograd follows."""
    for name, tree in trees.items():
        check_each(check_entries, tree, name)
        check_each(check_unfollowed, tree, name)


def spread(value: Any, tree: Tree, name: str) -> list[int] | None:
    """Return a whole number for each leaf of `tree`, from one number or a tree of them; None if any of them is None.

    Raises
    ------
    ValueError : the trees differ.
    """
    count = len(leaves(tree))
    if value is None or is_whole(value):
        return None if value is None else [value] * count

    def walk(value, tree):
        if value is None or is_whole(value) and not isinstance(tree, (dict, tuple, list)):
            return [value]
        if isinstance(value, dict) and isinstance(tree, dict) and value.keys() == tree.keys():
            return [axis for key in tree for axis in walk(value[key], tree[key])]
        is_sequence = isinstance(value, (tuple, list)) and isinstance(tree, (tuple, list))
        if is_sequence and len(value) == len(tree):
            return [axis for pair in zip(value, tree) for axis in walk(*pair)]
        raise ValueError(
            f'expected vmap_axes for {name} to be a whole number, None or a tree like it, got '
            f'{value!r}.')
    axes = walk(value, tree)
    return None if None in axes else axes
