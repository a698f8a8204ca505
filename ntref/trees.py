"""Trees of parameters and outputs: nested tuples, lists and dicts of arrays, in which None is an empty tree."""
from collections.abc import Callable, Iterable
from typing import Any

from .types import Tree

__all__ = ['check_each', 'leaves', 'named', 'rebuilt', 'tree_map']


def tree_map(f: Callable, tree: Tree, *others: Tree) -> Tree:
    """Apply f to the leaves of trees of equal form; the result has the types of the first tree.

    Raises
    ------
    ValueError : the trees have different forms.

    Examples
    --------
    >>> tree_map(lambda a, b: a + b, (1, [2, None], {'b': 3}), (10, [20, None], {'b': 30}))
    (11, [22, None], {'b': 33})
    """
    for other in others:
        if _form(tree) != _form(other):
            raise ValueError(
                f'expected a tree of the same form as {_shown(tree)}, got {_shown(other)}.')
    if isinstance(tree, dict):
        items = ((key, tree_map(f, value, *(other[key] for other in others)))
                 for key, value in tree.items())
        return type(tree)(items)
    if isinstance(tree, (tuple, list)):
        parts = [tree_map(f, part, *(other[i] for other in others)) for i, part in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, '_fields') else type(tree)(parts)
    return None if tree is None else f(tree, *others)


def leaves(tree: Tree) -> list[Any]:
    """Return the arrays of a tree, in order.

    >>> leaves(({'b': 3, 'a': 2}, [], 5))
    [3, 2, 5]
    """
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


def named(tree: Tree, name: str) -> list[tuple[str, Any]]:
    """Return [(name, leaf)] in the order of the tree, with names as in Python code, such as params[0]['W']."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [pair for key, branch in tree.items() for pair in named(branch, f'{name}[{key!r}]')]
    if isinstance(tree, (tuple, list)):
        return [pair for i, branch in enumerate(tree) for pair in named(branch, f'{name}[{i}]')]
    return [(name, tree)]


def check_each(check: Callable[[Any, str], Any], tree: Tree, name: str) -> None:
    """Call check(leaf, its name) for every leaf of a tree."""
    for where, leaf in named(tree, name):
        check(leaf, where)


def rebuilt(tree: Tree, arrays: Iterable) -> Tree:
    """Return a tree like `tree` that holds these arrays, given in the order of `leaves`."""
    arrays = iter(arrays)
    return tree_map(lambda leaf: next(arrays), tree)


def _form(tree):
    """Return the part of the form that has to agree at the top level: keys, length, or whether there is a tree."""
    tree = _unboxed(tree)
    if isinstance(tree, dict):
        return set(tree)
    return len(tree) if isinstance(tree, (tuple, list)) else tree is None


def _unboxed(tree):
    """Return the tree without autograd's boxes, which exist for containers, too, and nest for higher derivatives."""
    while hasattr(tree, '_value'):
        tree = tree._value
    return tree


def _shown(tree):
    tree = _unboxed(tree)
    if isinstance(tree, dict):
        return f'a dict with {sorted(map(str, tree))}'
    if isinstance(tree, (tuple, list)):
        return f'a {type(tree).__name__} of {len(tree)}'
    return 'None' if tree is None else f'a {type(tree).__name__}'
