"""What layers with windows share: the arguments `padding` and `strides`, and the sum of gaps over a window."""
from collections.abc import Sequence
from enum import Enum
from typing import Any

from ...arguments import as_wholes, suggestion
from ...duals.pair import Pair
from ...types import Array, Shape
from ...windows import PADDINGS, Window, bordered, window_sum

__all__ = ['Padding', 'gap_sum', 'named_padding', 'strides_of']


class Padding(Enum):
    """What windows see outside of the input: they stay inside (VALID), zeros (SAME) or the other end (CIRCULAR).

    Arguments take the names as text, too.
    """
    VALID = 'VALID'
    SAME = 'SAME'
    CIRCULAR = 'CIRCULAR'


def named_padding(name: str, padding: str | Padding) -> str:
    """Return one of PADDINGS for its name in any case or for a `Padding`; raise ValueError for others."""
    padding = padding.value if isinstance(padding, Padding) else padding
    if not isinstance(padding, str) or padding.upper() not in PADDINGS:
        raise ValueError(
            f'{name}: expected padding to be one of {", ".join(PADDINGS)}, got {padding!r:.100}.'
            f'{suggestion(padding, PADDINGS)}')
    return padding.upper()


def strides_of(name: str, strides: Any, shape: Shape) -> Shape | None:
    """Return the strides as whole numbers >= 1, one for each axis of the window; None stays None."""
    if strides is None:
        return None
    strides = as_wholes(strides, f'{name}: strides', 1)
    if len(strides) != len(shape):
        raise ValueError(
            f'{name}: expected {len(shape)} strides for a window of shape {shape}, got {strides}.')
    return strides


def gap_sum(p: Pair, slides: Sequence[Sequence[tuple[int, Window]]]) -> Array:
    """Return the gap summed over the window.

    A position outside is zero, and the gap to it is the variance of the other position.
    """
    gap = p.gap
    q1 = p.q1
    q2 = p.q2
    for pair in slides:
        gap = window_sum(gap, pair)
        if len(pair) == 2:
            left, right = pair
            gap = bordered(bordered(gap, q1, left, right), q2, right, left)
            q1 = window_sum(q1, [left])
            q2 = window_sum(q2, [right])
    return gap
