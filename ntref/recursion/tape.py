"""Numbers of each input, such as its variance after every step: written by a first pass, and read by the tiles."""
from collections.abc import Callable
from typing import Any

from ..arrays import namespace
from ..duals.geometry import Reach
from ..windows import packed, taken

__all__ = ['copied', 'joined', 'no_tape', 'of_rows', 'recording', 'replaying']


def recording(steps: list, kept: Callable) -> Callable:
    """Return the tape of a first pass, which computes variances and appends what `kept` makes of them to `steps`."""
    def tape(compute):
        steps.append(kept(compute()))
        return steps[-1], steps[-1]
    return tape


def copied(entry: Any) -> Any:
    """Return a copy of variances, which may be overwritten, laid out as those of a tile; what is no array stays."""
    return packed(entry, 1).copy(order='K') if hasattr(entry, 'shape') else entry


def joined(parts: list) -> Any:
    """Return one entry for all inputs from those of some inputs each: variances, their `Reach`, or a bound."""
    first = parts[0]
    if isinstance(first, Reach):
        return Reach.merged(parts)
    return packed(namespace(first).concatenate(parts), 1) if hasattr(first, 'shape') else max(parts)


def of_rows(entry: Any, rows: Any) -> Any:
    """Return the variances of some inputs; what is known of all inputs together stays."""
    return taken(entry, rows) if hasattr(entry, 'shape') else entry


def replaying(steps1: list, steps2: list) -> Callable:
    """Return the tape for x1 against x2, which reads the variances of both after each step."""
    steps = zip(steps1, steps2, strict=True)
    return lambda compute: next(steps)


def no_tape(compute: Callable) -> tuple[None, None]:
    """Return no variances: the tape of a part of a tile, since the whole tile has the real tape."""
    return None, None
