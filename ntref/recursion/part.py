"""Parts of a kernel: what both states of one have in common; which part a tile is, and which steps of it wait."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..duals.geometry import Cov
from ..types import Array
from .signal import Signal
from .steps import Steps

__all__ = ['ALL', 'WHOLE', 'Block', 'Part', 'Pending', 'under']

ALL = slice(None)
WHOLE = ALL, ALL


@dataclass(frozen=True)
class Block:
    """Which pairs of inputs a tile has.

    Attributes
    ----------
    rows : tuple            of x1 and of x2: two slices, or two arrays for x1[i] with x2[i].
    batch_axes : int        2, or 1 for inputs x1[i] with x2[i].
    is_own : bool           True for inputs with themselves.
    is_generic : bool       True for generic pairs, see `Pair`: gap and area are None.
    has_tangent : bool      True if Theta is asked for.
    """
    rows: tuple = WHOLE
    batch_axes: int = 2
    is_own: bool = False
    is_generic: bool = False
    has_tangent: bool = True


@dataclass(frozen=True)
class Pending:
    """Steps that are done only when all positions are asked for, for some rows of them at a time.

    Attributes
    ----------
    rows_of : callable            rows -> Tile of these rows.
    sizes : tuple                 numbers of positions after the steps.
    source : (Tile, Window)       tile whose rows under the window this one is computed from; None: the inputs.
    widest : int                  entries for a pair of inputs at the largest of the steps.
    """
    rows_of: Callable
    sizes: tuple
    source: Any = None
    widest: int = 0


@dataclass(frozen=True)
class Part(Steps):
    """K, gap and area of some of x1 against some of x2, (n1, n2, *S), or (n, *S) one by one, and Theta.

    Attributes
    ----------
    mutual, ntk, signal1, signal2, paired    as in `State`.
    q1, q2 : array (n, *positions)           variances of the left and right members.
    tape : callable                          compute -> the next q1, q2; compute() gives q of inputs with themselves.
    is_own : bool                            True for inputs with themselves.
    """
    mutual: Cov
    ntk: Any
    signal1: Signal
    signal2: Signal
    paired: bool
    q1: Any
    q2: Any
    tape: Callable
    is_own = False

    @property
    def covs(self) -> list[Cov]:
        return [self.mutual]

    def sides(self, a1: Array, a2: Array) -> list[tuple[Array, Array]]:
        """Return left and right members of the pairing from a1 of x1, a2 of x2; batch axes broadcast."""
        return [(a1[:, None], a2[None]) if self.batch_axes == 2 else (a1, a2)]

    def variances(self, i: int) -> Array:
        """Return the variances q of the left (i = 1) or the right members (i = 2), an array (n, *positions)."""
        return (self.q1, self.q2)[i - 1]

    def all_variances(self) -> list[Array]:
        """Return the variances of the left members and, if others are on the right, of these."""
        return [self.q1] if self.is_own else [self.q1, self.q2]

    def coincidences(self) -> list[Array | None]:
        if not self.is_own:
            return [None]
        return [self.here(self.nngp.shape[1::2] if self.paired else ())]


def under(window: Any, outputs: slice) -> tuple[slice, Any]:
    """Return the slice of inputs that a slice of outputs needs, and the Window between them."""
    return (ALL, window) if outputs == ALL else window.part(outputs.start, outputs.stop)
