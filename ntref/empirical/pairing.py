"""The layout of a kernel: which axes of two outputs it keeps, and sums of products in that layout."""
from math import prod
from typing import NamedTuple

import numpy

from ..arrays import namespace
from ..types import Shape

__all__ = ['Pairing', 'interleaved', 'kept', 'paired', 'sums']


def sums(
        a: numpy.ndarray, b: numpy.ndarray, trace: tuple[int, ...] = (),
        diagonal: tuple[int, ...] = ()) -> numpy.ndarray:
    """Return sum_p a[..., p] b[..., p] for pairs of entries.

    On axes of `trace` a and b have the same index, which is summed; on axes of `diagonal` they have the same index; on
    all other axes their indices are free. The result has the diagonal axes, the free axes of a, the free axes of b.
    """
    once, free = kept(a.ndim - 1, trace, diagonal)
    order = once + free + [*trace, a.ndim - 1]

    def matrices(c):
        shape = [c.shape[axis] for axis in order]
        n = len(once)
        m = n + len(free)
        return c.transpose(order).reshape(prod(shape[:n]), prod(shape[n:m]), prod(shape[m:]))
    left = matrices(a)
    right = left if b is a else matrices(b)
    if len(left) == 1:
        k = left[0] @ right[0].T
    elif left.shape[1] == right.shape[1] == 1:
        k = namespace(left, right).einsum('dip,djp->dij', left, right)
    else:
        k = left @ right.swapaxes(1, 2)
    return k.reshape([a.shape[axis] for axis in once + free] + [b.shape[axis] for axis in free])


def kept(
        ndim: int, trace: tuple[int, ...],
        diagonal: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the axes that a kernel has once, and those that it has twice."""
    rest = [axis for axis in range(ndim) if axis not in trace]
    once = [axis for axis in rest if axis in diagonal]
    twice = [axis for axis in rest if axis not in diagonal]
    return once, twice


def interleaved(
        k: numpy.ndarray, ndim: int, trace: tuple[int, ...] = (),
        diagonal: tuple[int, ...] = ()) -> numpy.ndarray:
    """Return a result of `sums` with the `ndim` axes of the outputs in their order, free axes as pairs (i, i')."""
    once, free = kept(ndim, trace, diagonal)
    place = {axis: [i] for i, axis in enumerate(once)}
    place |= {axis: [len(once) + i, len(once) + len(free) + i] for i, axis in enumerate(free)}
    return k.transpose([i for axis in sorted(place) for i in place[axis]])


def paired(
        a: numpy.ndarray, b: numpy.ndarray, trace: tuple[int, ...] = (),
        diagonal: tuple[int, ...] = ()) -> numpy.ndarray:
    """Return `sums` with the axes in the order of `interleaved`."""
    return interleaved(sums(a, b, trace, diagonal), a.ndim - 1, trace, diagonal)


class Pairing(NamedTuple):
    """The axes of outputs on which pairs have equal indices: `trace` (the mean is taken) and `diagonal` (kept once)."""
    trace: tuple
    diagonal: tuple
    shape1: tuple
    shape2: tuple

    @classmethod
    def of(
            cls, shape1: Shape, shape2: Shape, trace_axes: tuple[int, ...],
            diagonal_axes: tuple[int, ...]) -> 'Pairing':
        """Return the Pairing for outputs of these shapes.

        Raises
        ------
        ValueError : an axis does not exist or is in both; the shapes differ in their number of axes, or in length on a
            trace or diagonal axis.
        """
        ndim = len(shape1)
        if len(shape2) != ndim:
            raise ValueError(
                f'expected outputs with as many axes for x1 and x2, got shapes {shape1} and '
                f'{shape2}.')
        for axis in (*trace_axes, *diagonal_axes):
            if not -ndim <= axis < ndim:
                raise ValueError(
                    f'expected trace_axes and diagonal_axes between {-ndim} and {ndim - 1}, got '
                    f'{axis} for outputs of shape {shape1}.')
        trace = tuple(sorted({axis % ndim for axis in trace_axes}))
        diagonal = tuple(sorted({axis % ndim for axis in diagonal_axes}))
        if set(trace) & set(diagonal):
            raise ValueError(
                f'expected trace_axes and diagonal_axes to differ, got {tuple(trace_axes)} and '
                f'{tuple(diagonal_axes)} for outputs of shape {shape1}.')
        for axis in trace + diagonal:
            if shape1[axis] != shape2[axis]:
                raise ValueError(
                    f'expected outputs of equal length on axis {axis}, of trace_axes or '
                    f'diagonal_axes, got shapes {shape1} for x1 and {shape2} for x2. Leave this '
                    'axis free.')
        return cls(trace, diagonal, tuple(shape1), tuple(shape2))

    @property
    def traced(self) -> int:
        """Number of entries of which the mean over trace axes is taken."""
        return prod(self.shape1[axis] for axis in self.trace)

    @property
    def is_empty(self) -> bool:
        return not (prod(self.shape1) and prod(self.shape2))

    @property
    def pairs(self) -> int:
        """Number of products of two entries that the kernel takes."""
        once = self.trace + self.diagonal
        lengths = enumerate(zip(self.shape1, self.shape2))
        return prod(n if axis in once else n * m for axis, (n, m) in lengths)

    @property
    def shape(self) -> Shape:
        """Shape of the kernel."""
        shape: Shape = ()
        for axis, pair in enumerate(zip(self.shape1, self.shape2)):
            if axis in self.diagonal:
                shape += pair[:1]
            elif axis not in self.trace:
                shape += pair
        return shape

    def nngp(self, f1: numpy.ndarray, f2: numpy.ndarray) -> numpy.ndarray:
        """Return f1 f2', with the mean over trace axes."""
        left = f1[..., None]
        right = left if f2 is f1 else f2[..., None]
        return paired(left, right, self.trace, self.diagonal) / max(self.traced, 1)
