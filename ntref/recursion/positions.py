"""Layouts of the positions of a covariance: paired (*batch, h, h', w, w', ...), at equal positions, as matrices."""
from math import prod

from ..arrays import namespace
from ..types import Array, Shape

__all__ = ['diagonal', 'diagonal_sum', 'matrices', 'swapped', 'zipped']


def diagonal(k: Array, batch: int) -> Array:
    """Return equal positions (*batch, h, w, ...) of paired ones (*batch, h, h', w, w', ...), with `batch` batch axes.

    The result is a view where h and h', w and w', ... are adjacent in memory; there may be fewer h than h'.
    """
    for axis in range(batch, batch + (k.ndim - batch) // 2):
        shape = k.shape
        size, other = shape[axis:axis + 2]
        k = k.reshape(*shape[:axis], size * other, *shape[axis + 2:])
        k = k[(slice(None),) * axis + (slice(None, None, other + 1),)]
    return k


def diagonal_sum(k: Array, batch: int) -> Array:
    """Sum over equal positions of paired k (*batch, h, h', w, w', ...), without the copy that `diagonal` may make."""
    outer = 'yz'[:batch]
    inner = ''.join(2 * letter for letter in 'abcdefghijklm'[:(k.ndim - batch) // 2])
    return namespace(k).einsum(f'{outer}{inner}->{outer}', k)


def swapped(k: Array, batch: int) -> Array:
    """Swap the members of paired positions: (*batch, h, h', w, w', ...) becomes (*batch, h', h, w', w, ...)."""
    first = range(batch, k.ndim, 2)
    second = range(batch + 1, k.ndim, 2)
    return namespace(k).moveaxis(k, (*first, *second), (*second, *first))


def matrices(k: Array, positions: int) -> Array:
    """Return k (*batch, h, h', w, w', ...) as matrices (*batch, h w ..., h' w' ...), contiguous in memory."""
    shape = k.shape
    batch = k.ndim - 2 * positions
    rows = prod(shape[batch::2])
    columns = prod(shape[batch + 1::2])
    k = namespace(k).moveaxis(k, range(batch, k.ndim, 2), range(batch, batch + positions))
    return k.reshape(prod(shape)).reshape(*shape[:batch], rows, columns)


def zipped(k: Array, left: Shape, right: Shape) -> Array:
    """Return matrices k (*batch, h w ..., h' w' ...) as paired positions (*batch, h, h', w, w', ...).

    left = (h, w, ...),  right = (h', w', ...).
    """
    m = len(left)
    batch = k.ndim - 2
    k = k.reshape(*k.shape[:batch], *left, *right)
    order = [batch + i + side * m for i in range(m) for side in (0, 1)]
    return namespace(k).moveaxis(k, order, range(batch, k.ndim))
