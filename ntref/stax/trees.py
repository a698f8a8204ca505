"""Trees: the inputs, states and shapes of `parallel` are lists with one member for each branch."""
from collections.abc import Callable, Sequence
from operator import index
from typing import Any

from ..recursion.signal import Axes, Demand, Signal
from ..types import Tree

__all__ = ['each_branch', 'input_signal', 'tree_signal']

AXES = 64               # number of axes that an array can have


def each_branch(f: Callable, tree: Tree, *others: Tree) -> Any:
    """Apply f to the leaves of lists and tuples of equal form; the types of the first tree are kept."""
    if isinstance(tree, (list, tuple)):
        return type(tree)(each_branch(f, *leaves) for leaves in zip(tree, *others, strict=True))
    return f(tree, *others)


def input_signal(shape: Sequence[int], demand: Demand, patterns: tuple = (None, None)) -> Signal:
    """Return the signal of inputs of this shape.

    `patterns` are those of the inputs and of the inputs they are paired with.
    """
    if not 1 <= len(shape) <= AXES:
        raise ValueError(f'expected a shape with a batch axis and a channel axis, at most {AXES} in all, got '
                         f'{len(shape)} of them: {shape!r:.100}.')
    signal = Signal(tuple(map(index, shape)), (demand.axes or Axes()).of(len(shape)), patterns=patterns)
    if 0 in signal.positions:
        raise ValueError(f'expected at least one position on each spatial axis, got shape {signal.shape}. Crop less; '
                         'inputs without positions have a batch and a channel axis alone.')
    return signal


def tree_signal(shape: Tree, demand: Tree, patterns: tuple = (None, None)) -> Tree:
    """Return the input signal for a shape, or a list of them for a list of shapes."""
    if not isinstance(shape, (list, tuple)):
        raise TypeError(f'expected a shape, a tuple of whole numbers such as x.shape, or a list of shapes, got '
                        f'{shape!r:.100} of type {type(shape).__name__}.')
    if all(hasattr(n, '__index__') for n in shape):
        return input_signal(shape, demand[0] if isinstance(demand, list) else demand, patterns)
    if not all(isinstance(s, (list, tuple)) for s in shape):
        raise ValueError(f'expected a shape (whole numbers) or a list of shapes, got {shape!r}.')
    if not isinstance(demand, list) or len(demand) != len(shape):
        demand = [demand] * len(shape)                                  # `parallel` refuses another number of them
    return [tree_signal(s, d, patterns) for s, d in zip(shape, demand)]
