"""How the kernels of a call are computed: whole, or in tiles. What is wrong is said before anything is computed."""
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ..arrays import namespace, untraced
from ..derivatives import adjoint_pair, is_traced
from ..engine.device import free_on_device, least_work
from ..engine.memory import check_memory
from ..recursion.forward import kernels_along
from ..recursion.primitive import differentiable_kernels
from ..recursion.reverse import Backward
from ..recursion.signal import Signal
from ..recursion.start import input_kernel
from ..recursion.tiled import in_parts, is_large, on_threads
from ..types import Array, Tree
from .given import Given, first_leaf
from .numbers import with_numbers
from .trees import each_branch

__all__ = ['Followed', 'Tiles', 'Whole', 'entries', 'gradient_in_tiles', 'planned']

KEPT = 'nngp', 'gap', 'area'      # the arrays of n1 x n2 entries that a `Kernel` always has
MANY = 2 ** 20                    # inputs of a kernel that is large, whatever the others are
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
        return self.layer.propagate(self.start())

    def start(self) -> Tree:
        """Return the state, or the list of states, of the inputs."""
        given, ntk = self.given, not self.names or 'ntk' in self.names
        are_same = not self.is_part and given.are_same

        def start(x1, x2, signal1, signal2, demand):
            return input_kernel(x1, x2, (signal1, signal2), demand, ntk, are_same)
        return each_branch(start, given.x1, given.x2, *given.signals, given.demand)


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


@dataclass(frozen=True)
class Followed:
    """The kernels that are asked for, as plain calls compute them, as a function that autograd differentiates."""
    layer: Any
    given: Given
    names: tuple
    is_part: bool

    def run(self) -> dict[str, Array]:
        """Return {name: kernel}."""
        kernels = differentiable_kernels(self, self.given.x1, self.given.x2, *self.layer.followed_numbers)
        if len(self.names) == 1:
            return {self.names[0]: kernels}
        return {name: _picked(kernels, i, len(self.names)) for i, name in enumerate(self.names)}

    def values(self, x1: Array, x2: Array | None, *numbers: Any) -> Array:
        """Return the kernel; if several are asked for, all of them side by side."""
        layer = self._layer(numbers)
        if not is_large(layer, x1, x2, self.given.signals, self.names):
            return self.whole(x1, x2, *numbers)
        given = replace(self.given, x1=x1, x2=x2)
        return self._together(Tiles(layer, given, self.names, self.is_part).run())

    def whole(self, x1: Array, x2: Array | None, *numbers: Any) -> Array:
        """Return the same as `values`, computed in one piece, which autograd can trace."""
        given = replace(self.given, x1=x1, x2=x2)
        k = Whole(self._layer(numbers), given, self.names, self.is_part).run().finished()
        k = k.aligned() if given.demand.diagonal else k
        return self._together({name: getattr(k, name) for name in self.names})

    def backward(self, x1: Array, x2: Array | None, *numbers: Any) -> Backward:
        """Return what gives first derivatives."""
        return Backward(self._layer, list(numbers), x1, x2, self.given.signals, self.given.demand, self.names)

    def along(self, x1: Array, x2: Array | None, *numbers: Any) -> Array | None:
        """Return the derivative along those of the arguments, {argument: derivative} in the end; None: trace it."""
        *values, slopes = numbers
        along = [slopes.get(2 + i, 0.) for i in range(len(values))]
        return kernels_along(
            self._layer, list(zip(values, along)), (x1, x2), (slopes.get(0), slopes.get(1)), self.given.signals,
            self.given.demand, self.names)

    def _layer(self, numbers):
        return with_numbers(self.layer, numbers)

    def _together(self, kernels):
        first, *others = kernels.values()
        return namespace(first).stack([first, *others]) if others else first


def _pick(kernels, i, n):
    return kernels[i]


def _place(kernel, i, n):
    """Return n kernels side by side that are 0 except for the i-th."""
    xp = namespace(kernel)
    return xp.stack([kernel if j == i else 0 * kernel for j in range(n)])


_picked, _ = adjoint_pair(_pick, _place)


def planned(layer: Any, given: Given, names: tuple[str, ...], is_part: bool) -> Whole | Tiles | Followed:
    """Return the plan for the kernels `names` of a network (all if there are none), once it is known to succeed.

    Raises
    ------
    LayerError  : the network does not take such inputs.
    MemoryError : the kernels, or the intermediate results, would not fit.
    """
    outputs = [layer.traced(signal) for signal in given.signals]
    is_followed = _is_followed(layer, given, names)
    in_tiles = is_followed or is_large(layer, given.x1, given.x2, given.signals, names)
    _check_memory(given, outputs, names, in_tiles)
    if is_followed:
        return Followed(layer, given, names, is_part)
    return Tiles(layer, given, names, is_part) if in_tiles else Whole(layer, given, names, is_part)


def gradient_in_tiles(layer: Any, given: Given, names: tuple[str, ...]) -> bool:
    """True if a call whose inputs or numbers autograd follows is `Followed`: blocks of its pairs are independent.

    The same inputs given twice are traced over whole arrays; x2=None says that they are the same.
    """
    signals = given.signals
    if not isinstance(signals[0], Signal) or any(s.mask is not None for s in signals):
        return False
    if any(pattern is not None for s in signals for pattern in s.patterns):
        return False
    x1 = untraced(given.x1)
    x2 = untraced(given.x2)
    if not on_threads(layer):
        return False                             # functions of the user may open traces themselves
    if x2 is not None and replace(given, x1=x1, x2=x2).are_same:
        return False                             # a block does not know which of its inputs are the same
    plain = with_numbers(layer, map(untraced, layer.followed_numbers))
    return is_large(plain, x1, x2, (signals[0], signals[1].with_inputs(MANY)), names)


def _is_followed(layer, given, names):
    """True if autograd follows inputs or numbers of layers, and blocks of pairs are independent."""
    if not any(map(is_traced, (given.x1, given.x2, *layer.followed_numbers))):
        return False
    return gradient_in_tiles(layer, given, names)


def _check_memory(given, outputs, names, in_tiles):
    x, paired = first_leaf(given.x1), first_leaf(given.demand).paired
    signals = [first_leaf(signal) for signal in given.signals]
    size = x.dtype.itemsize
    out = max(entries(first_leaf(signal), paired) for signal in outputs)
    widest = max(out, *(entries(signal, paired) for signal in signals))
    pairs = prod(signal.inputs for signal in signals)
    kept = size * len(names or KEPT) * out * pairs
    whole = size * WHOLE_ARRAYS * widest * pairs
    needed = kept + least_work(x, widest * pairs) if in_tiles else max(kept, whole)
    what = f'kernels of {signals[0].inputs} with {signals[1].inputs} inputs' + ('' if in_tiles else ' in one piece')
    check_memory(needed, what, kept, size * WHOLE_ARRAYS * widest, on_device=free_on_device(x))


def entries(signal: Signal, paired: bool) -> int:
    """Return the number of entries of a kernel for one pair of inputs."""
    return prod(signal.shape[axis] for axis in signal.layout[1:]) ** (2 if paired else 1)
