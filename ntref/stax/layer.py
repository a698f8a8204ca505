"""The base class of layers: a finite network and a step of the kernel recursion, side by side."""
from dataclasses import replace
from typing import Any

from ..arrays import untraced
from ..recursion.signal import Axes, Signal
from ..types import Generator, Seed, Shape, Tree
from .network import Network

__all__ = ['Layer']


class Layer(Network, abstract=True):
    """Base of all layers; subclasses are frozen dataclasses whose fields are the arguments of the layer.

    A layer defines `out` (shapes), `init` and `apply` (the finite network) and `kernel` (the infinite one). From these
    come the triple `init_fn, apply_fn, kernel_fn`, into which a layer unpacks, its text and its JSON.
    """

    formula = ''             # K_+ and Theta_+ in LaTeX, for `explain`; see `formulas`
    axes = None              # the Axes that the layer requires of its input; None: any
    several = False          # True if the layer takes a list of inputs
    in_tiles = True          # True if large kernels may be computed by `in_parts`
    on_threads = True        # True if tiles may be computed on threads: functions of the user may not be safe there
    row_by_row = False       # True if `kernel` accepts tiles with pending steps
    elementwise = False      # True if each output entry depends on its input entry alone; then any shape will do
    knows_flat = False       # True if `flat` in its demands is meant; other layers may just hand it on

    def out(self, signal: Any) -> Any:
        """Return the `Signal` after the layer; raise ValueError if the shapes do not fit."""
        return signal

    def init(self, rng: Generator, signal: Any) -> Tree:
        """Return random parameters for inputs like `signal`."""
        return ()

    def apply(self, params: Tree, x: Any, rng: Seed | None = None, **given: Any) -> Any:
        """Return the outputs of the finite network; `given` is what was given to `apply_fn` beside the inputs."""
        raise NotImplementedError(f'{self!r} has no finite network.')

    def kernel(self, k: Any) -> Any:
        """Return the next `Kernel` of the infinite network.

        What describes it (shapes, is_gaussian) is taken from `out`.
        """
        raise NotImplementedError(f'{self!r} has no kernel.')

    def check(self, signal: Any) -> None:
        """Raise ValueError if the infinite limit does not exist."""

    def tileable(self, signal: Any) -> bool:
        """True if a block of the kernel after the layer depends only on the same block of the inputs."""
        return True

    def demand(self, demand: Any) -> Any:
        """Return what the layer needs of its input to meet `demand` on its output."""
        if isinstance(demand, list):
            raise ValueError(f'expected to be followed by a layer with one input, got one with {len(demand)}. If its '
                             f'output goes to all of them, put FanOut({len(demand)}) between them; if it has as many '
                             'outputs, it has to meet their demands, a list, in `demand`, as FanOut does.')
        return demand if self.axes is None else replace(demand, axes=self.axes)

    # -------------------------------------------------------------- checks for `out` and `apply`

    def check_axes(self, signal: Signal, axes: Axes) -> None:
        """Raise ValueError if `axes` are not those of the signal."""
        if axes != signal.axes:
            raise ValueError(f'expected batch and channels on axes {axes.batch} and {axes.channel}, got them on '
                             f'{signal.axes.batch} and {signal.axes.channel} of shape {signal.shape}: the infinite '
                             'limit is one of many channels.')

    def parts(self, params: Tree, n: int) -> Tree:
        """Return `params` if they have n parts; raise ValueError otherwise."""
        tree = untraced(params)                                         # autograd wraps tuples and lists
        if not isinstance(tree, (tuple, list)) or len(tree) != n:
            got = f'{len(tree)} of them' if isinstance(tree, (tuple, list)) else type(tree).__name__
            raise ValueError(f'expected params as init_fn gives them for this layer, {n} in a tuple or list, got '
                             f'{got}.')
        return params

    def check_weights(self, W: Any, shape: Shape, signal: Signal) -> None:
        """Raise ValueError if W does not have the `shape` that inputs like `signal` ask for."""
        if not hasattr(W, 'shape'):
            raise ValueError(f'expected weights of shape {tuple(shape)}, got {W!r:.100}.')
        if tuple(W.shape) != tuple(shape):
            raise ValueError(f'expected weights of shape {tuple(shape)} for inputs of shape {signal.shape}, got '
                             f'{tuple(W.shape)}. Take those of init_fn for inputs of this shape.')
