"""Trees: tuples, lists and dicts of arrays, nested, as parameters and outputs of networks are; None holds nothing."""

__all__ = ['check_each', 'leaves', 'named', 'rebuilt', 'tree_map']


def tree_map(f, tree, *others):
    """f on the leaves of trees of equal form; the type of the first is kept.

    Raises
    ------
    ValueError : trees of different forms.

    Examples
    --------
    >>> tree_map(lambda a, b: a + b, (1, [2, None], {'b': 3}), (10, [20, None], {'b': 30}))
    (11, [22, None], {'b': 33})
    """
    for other in others:
        if _form(tree) != _form(other):
            raise ValueError(f'expected a tree of the same form as {_shown(tree)}, got {_shown(other)}.')
    if isinstance(tree, dict):
        return type(tree)((key, tree_map(f, value, *(other[key] for other in others))) for key, value in tree.items())
    if isinstance(tree, (tuple, list)):
        parts = [tree_map(f, part, *(other[i] for other in others)) for i, part in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, '_fields') else type(tree)(parts)
    return None if tree is None else f(tree, *others)


def leaves(tree):
    """The arrays of a tree, in order.

    >>> leaves(({'b': 3, 'a': 2}, [], 5))
    [3, 2, 5]
    """
    found = []
    tree_map(found.append, tree)
    return found


def named(tree, name):
    """[(name, leaf)] in the order of the tree, named as Python would reach them: params[0]['W']."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [pair for key, branch in tree.items() for pair in named(branch, f'{name}[{key!r}]')]
    if isinstance(tree, (tuple, list)):
        return [pair for i, branch in enumerate(tree) for pair in named(branch, f'{name}[{i}]')]
    return [(name, tree)]


def check_each(check, tree, name):
    """check(leaf, its name) of every leaf of a tree."""
    for where, leaf in named(tree, name):
        check(leaf, where)


def rebuilt(tree, arrays):
    """A tree like `tree` with these arrays, in the order of `leaves`."""
    arrays = iter(arrays)
    return tree_map(lambda leaf: next(arrays), tree)


def _form(tree):
    """What has to agree at this level."""
    tree = _unboxed(tree)
    if isinstance(tree, dict):
        return set(tree)
    return len(tree) if isinstance(tree, (tuple, list)) else tree is None


def _unboxed(tree):
    """autograd has boxes of tuples, lists and dicts, too, and boxes of these for derivatives of derivatives."""
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
