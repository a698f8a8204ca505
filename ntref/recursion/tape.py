"""Numbers of each input, such as its variance after every step: written by a first pass, and read by the tiles."""
from collections.abc import Callable

from ..types import Array
from ..windows import packed

__all__ = ['copied', 'no_tape', 'recording', 'replaying']


def recording(steps: list, kept: Callable) -> Callable:
    """Return the tape of a first pass, which computes variances and appends what `kept` makes of them to `steps`."""
    def tape(compute):
        steps.append(kept(compute()))
        return steps[-1], steps[-1]
    return tape


def copied(q: Array) -> Array:
    """Return a copy of variances, which may be overwritten, laid out as those of a tile."""
    return packed(q, 1).copy(order='K')


def replaying(steps1: list, steps2: list) -> Callable:
    """Return the tape for x1 against x2, which reads the variances of both after each step."""
    steps = zip(steps1, steps2, strict=True)
    return lambda compute: next(steps)


def no_tape(compute: Callable) -> tuple[None, None]:
    """Return no variances: the tape of a part of a tile, since the whole tile has the real tape."""
    return None, None
