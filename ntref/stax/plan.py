"""How the kernels of a call are computed: whole, or in tiles. What is wrong is said before anything is computed."""
from dataclasses import dataclass
from math import prod
from typing import Any

from ..arrays import free_on_device
from ..engine.memory import check_memory
from ..recursion.signal import Signal
from ..recursion.start import input_kernel
from ..recursion.tiled import in_parts, is_large
from ..types import Array, Tree
from .given import Given, first_leaf
from .trees import each_branch

__all__ = ['Tiles', 'Whole', 'entries', 'planned']

KEPT = 'nngp', 'gap', 'area'      # the arrays of n1 x n2 entries that a `Kernel` always has
WHOLE_ARRAYS = 24                 # measured peak, in arrays as large as a kernel, of a `Kernel` computed in one piece


@dataclass(frozen=True)
class Whole:
    """All of the kernel in one piece, with everything a `Kernel` has."""
    layer: Any
    given: Given
    names: tuple
    is_part: bool

    def run(self) -> Tree:
        """Return the state, or the list of states, after the network."""
        given, ntk = self.given, not self.names or 'ntk' in self.names
        are_same = not self.is_part and given.are_same

        def start(x1, x2, signal1, signal2, demand):
            return input_kernel(x1, x2, (signal1, signal2), demand, ntk, are_same)
        return self.layer.propagate(each_branch(start, given.x1, given.x2, *given.signals, given.demand))


@dataclass(frozen=True)
class Tiles:
    """Only the kernels that are asked for, tile by tile."""
    layer: Any
    given: Given
    names: tuple
    is_part: bool

    def run(self) -> dict[str, Array]:
        """Return {name: kernel}."""
        given = self.given
        x2 = None if not self.is_part and given.are_same else given.x2
        return in_parts(self.layer, given.x1, x2, given.signals, given.demand, self.names)


def planned(layer: Any, given: Given, names: tuple[str, ...], is_part: bool) -> Whole | Tiles:
    """Return the plan for the kernels `names` of a network (all if there are none), once it is known to succeed.

    Raises
    ------
    LayerError  : the network does not take such inputs.
    MemoryError : the kernels, or the intermediate results, would not fit.
    """
    outputs = [layer.trace(signal) for signal in given.signals]
    in_tiles = is_large(layer, given.x1, given.x2, given.signals, names)
    _check_memory(given, outputs, names, in_tiles)
    return Tiles(layer, given, names, is_part) if in_tiles else Whole(layer, given, names, is_part)


def _check_memory(given, outputs, names, in_tiles):
    x, paired = first_leaf(given.x1), first_leaf(given.demand).paired
    signals = [first_leaf(signal) for signal in given.signals]
    size = x.dtype.itemsize
    out = max(entries(first_leaf(signal), paired) for signal in outputs)
    widest = max(out, *(entries(signal, paired) for signal in signals))
    pairs = prod(signal.inputs for signal in signals)
    kept = size * len(names or KEPT) * out * pairs
    needed = kept if in_tiles else max(kept, size * WHOLE_ARRAYS * widest * pairs)
    what = f'kernels of {signals[0].inputs} with {signals[1].inputs} inputs' + ('' if in_tiles else ' in one piece')
    check_memory(needed, what, kept, size * WHOLE_ARRAYS * widest, on_device=free_on_device(x))


def entries(signal: Signal, paired: bool) -> int:
    """Return the number of entries of a kernel for one pair of inputs."""
    return prod(signal.shape[axis] for axis in signal.layout[1:]) ** (2 if paired else 1)
