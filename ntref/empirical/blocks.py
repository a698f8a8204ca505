"""Blocks of an empirical kernel, as `batch` asks for them, after a check that f does not mix its batch."""
from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import is_array
from ..engine.blocks import of_block
from ..on_either import as_array
from ..trees import leaves, tree_map
from ..types import Tree
from .side import same

__all__ = ['in_blocks']

PROBE_INPUTS = 4        # inputs on which f is compared: of all of them, and of each half


def in_blocks(
        kernel_fn: Callable, f: Callable, place: int, x1: Tree,
        kwargs: Mapping[str, Any]) -> Callable:
    """Return the `of_blocks` of a kernel function whose positional argument number `place` is params."""
    few = tree_map(lambda a: a[:PROBE_INPUTS], x1)
    checked: list[bool] = []
    given = {name: tree_map(lambda a: a[:PROBE_INPUTS] if is_array(a) else a, value)
             for name, value in kwargs.items()}

    def block(*args, **keywords):
        if not checked:
            check_blocks(f, keywords['params'] if 'params' in keywords else args[place], few, given)
            checked.append(True)
        return kernel_fn(*args, **keywords)
    return block


def check_blocks(f, params, x, kwargs):
    """Raise ValueError if f gives other outputs for some inputs alone than for the same inputs among others."""
    n = min((len(a) for a in leaves(x)), default=0)
    halves = [slice(0, n // 2), slice(n // 2, n)]
    if n < 2:
        return
    whole = leaves(f(params, x, **_first(kwargs, slice(0, n))))

    def outputs(rows):
        return leaves(f(params, tree_map(lambda a: a[rows], x), **_first(kwargs, rows)))
    parts = list(map(outputs, halves))
    for k, out in enumerate(whole):
        for part, rows in zip(parts, halves):
            if not same(as_array(out)[rows], part[k]):
                raise ValueError(
                    'expected a function that treats its inputs one by one, as tiles need, but the '
                    f'first {n} inputs have other outputs together than in halves. Batch '
                    'normalization and random layers do that: compute the kernel in one piece, '
                    'without batch.')


def _first(kwargs, rows):
    """Return the keyword arguments for the inputs in `rows`; of a pair the first entry is taken, which is for x1."""
    return {name: value[0] if isinstance(value, tuple) and len(value) == 2 else value
            for name, value in of_block(kwargs, rows, rows, True).items()}
