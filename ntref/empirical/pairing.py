"""Which axes of two outputs a kernel keeps, and sums of products in that layout."""
from math import prod
from typing import NamedTuple

import numpy

from ..arguments import is_whole

__all__ = ['Pairing', 'axes_tuple', 'interleaved', 'kept', 'paired', 'sums']


def sums(a, b, trace=(), diagonal=()):
    """sum_p a[..., p] b[..., p] for pairs of entries: axes of `trace` equal and summed, of `diagonal` equal, else free.

    Axes of the result: the diagonal ones, the free ones of a, the free ones of b.
    """
    once, free = kept(a.ndim - 1, trace, diagonal)
    order = once + free + [*trace, a.ndim - 1]

    def matrices(c):
        shape = [c.shape[axis] for axis in order]
        n, m = len(once), len(once) + len(free)
        return c.transpose(order).reshape(prod(shape[:n]), prod(shape[n:m]), prod(shape[m:]))
    left = matrices(a)
    right = left if b is a else matrices(b)
    if len(left) == 1:
        k = left[0] @ right[0].T
    elif left.shape[1] == right.shape[1] == 1:
        k = numpy.einsum('dip,djp->dij', left, right)
    else:
        k = left @ right.swapaxes(1, 2)
    return k.reshape([a.shape[axis] for axis in once + free] + [b.shape[axis] for axis in free])


def kept(ndim, trace, diagonal):
    """Axes that a kernel has once, and those it has twice."""
    rest = [axis for axis in range(ndim) if axis not in trace]
    return [axis for axis in rest if axis in diagonal], [axis for axis in rest if axis not in diagonal]


def interleaved(k, ndim, trace=(), diagonal=()):
    """What `sums` gives, for outputs of `ndim` axes, with these in their order: free ones as pairs (i, i')."""
    once, free = kept(ndim, trace, diagonal)
    place = {axis: [i] for i, axis in enumerate(once)}
    place |= {axis: [len(once) + i, len(once) + len(free) + i] for i, axis in enumerate(free)}
    return k.transpose([i for axis in sorted(place) for i in place[axis]])


def paired(a, b, trace=(), diagonal=()):
    """`sums`, interleaved."""
    return interleaved(sums(a, b, trace, diagonal), a.ndim - 1, trace, diagonal)


def axes_tuple(axes, name):
    """One axis or several as a tuple."""
    several = axes if isinstance(axes, (tuple, list)) else (axes,)
    if not all(map(is_whole, several)):
        raise TypeError(f'expected {name} to be a whole number or a tuple of them, got {axes!r}.')
    return tuple(map(int, several))


class Pairing(NamedTuple):
    """`trace` axes (equal, and the mean is taken) and `diagonal` axes (equal) of outputs of some shape."""
    trace: tuple
    diagonal: tuple
    shape1: tuple
    shape2: tuple

    @classmethod
    def of(cls, shape1, shape2, trace_axes, diagonal_axes):
        """For outputs of these shapes.

        Raises
        ------
        ValueError : no such axes, axes in both, another number of axes, or another length on a trace or diagonal axis.
        """
        ndim = len(shape1)
        if len(shape2) != ndim:
            raise ValueError(f'expected outputs with as many axes for x1 and x2, got shapes {shape1} and {shape2}.')
        for axis in (*trace_axes, *diagonal_axes):
            if not -ndim <= axis < ndim:
                raise ValueError(f'expected trace_axes and diagonal_axes between {-ndim} and {ndim - 1}, got {axis} '
                                 f'for outputs of shape {shape1}.')
        trace, diagonal = (tuple(sorted({axis % ndim for axis in axes})) for axes in (trace_axes, diagonal_axes))
        if set(trace) & set(diagonal):
            raise ValueError(f'expected trace_axes and diagonal_axes to differ, got {tuple(trace_axes)} and '
                             f'{tuple(diagonal_axes)} for outputs of shape {shape1}.')
        for axis in trace + diagonal:
            if shape1[axis] != shape2[axis]:
                raise ValueError(f'expected outputs of equal length on axis {axis}, of trace_axes or diagonal_axes, '
                                 f'got shapes {shape1} for x1 and {shape2} for x2. Leave this axis free.')
        return cls(trace, diagonal, tuple(shape1), tuple(shape2))

    @property
    def traced(self):
        """How many entries the mean is taken of."""
        return prod(self.shape1[axis] for axis in self.trace)

    @property
    def is_empty(self):
        return not (prod(self.shape1) and prod(self.shape2))

    @property
    def pairs(self):
        """How many products there are."""
        once = self.trace + self.diagonal
        return prod(n if axis in once else n * m for axis, (n, m) in enumerate(zip(self.shape1, self.shape2)))

    @property
    def shape(self):
        """Of the kernel."""
        return tuple(n for axis, pair in enumerate(zip(self.shape1, self.shape2)) if axis not in self.trace
                     for n in pair[:1 if axis in self.diagonal else 2])

    def nngp(self, f1, f2):
        """f1 f2', the mean over trace axes."""
        left = f1[..., None]
        return paired(left, left if f2 is f1 else f2[..., None], self.trace, self.diagonal) / max(self.traced, 1)
