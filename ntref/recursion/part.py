"""Which part of the kernel a tile is, and which steps of it wait."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ['ALL', 'WHOLE', 'Block', 'Pending', 'under']

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
    is_generic : bool           True for generic pairs, see `Pair`: gap and area are None.
    """
    rows: tuple = WHOLE
    batch_axes: int = 2
    is_own: bool = False
    is_generic: bool = False


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


def under(window: Any, outputs: slice) -> tuple[slice, Any]:
    """Return the slice of inputs that a slice of outputs needs, and the Window between them."""
    return (ALL, window) if outputs == ALL else window.part(outputs.start, outputs.stop)
