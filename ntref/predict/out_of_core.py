"""Kernels that need not be in memory, as matrices: tiles are read or computed when they are used."""
from collections.abc import Iterator
from math import isqrt, prod
from typing import Any

import numpy
from numpy.typing import DTypeLike

from ..arguments import as_part, is_whole
from ..arrays import is_on_device
from ..engine.blocks import function_of_blocks, of_block
from ..engine.cover import blocks, cuts
from ..engine.device import entries_of_tile, to_host
from ..engine.run import in_threads, number_of_threads
from ..no_arrays import check_entries, check_unfollowed, no_array
from ..on_either import array_like, as_array, zeros
from ..types import KernelFn, HasKernel
from .factor import symmetric
from .layout import checked, kernel_matrix, refuse_function

__all__ = ['ComputedKernel', 'Tiles']

SIDE = 1024            # least side of a tile; sides are multiples of the side of a chunk
CORNER = 64
READERS = 8            # tiles on disk that are read at a time, each by a thread of its own
EPS = 2. ** -52


class ComputedKernel:
    """Kernel that is computed when it is read and indexed like an array: k[rows, columns] calls `kernel_fn`.

    The result has each of the rows with each of the columns, which are slices or lists of indices of inputs; k[rows]
    has all columns.

    Parameters
    ----------
    kernel_fn : (x1, x2, **kwargs) -> array, or (x1, x2, get, **kwargs) with `get`; x2 None: x1 with itself. Or a
        network, whose kernel function is used.
    x1, x2 : arrays (n1, ...), (n2, ...); x2 None: x1 with itself.
    get : 'nngp' or 'ntk', passed to kernel_fn; None: not passed.
    **kwargs : passed to kernel_fn. Of arrays (n1, ...), or with x2 pairs of arrays (n1, ...), (n2, ...), such as the
        `pattern` of graphs, each call gets the entries that belong to its inputs.

    Attributes
    ----------
    shape, dtype, ndim : those of the kernel, known from the kernel of the first inputs.

    Raises
    ------
    ValueError : no inputs; a network with a layer that mixes the batch, whose kernel has no blocks.
    TypeError  : a keyword that is a single array, with x2; kernel_fn returns no array; k[3], which is not a block.

    Examples
    --------
    >>> import numpy as np
    >>> k = ComputedKernel(lambda x1, x2: x1 @ (x1 if x2 is None else x2).T, np.eye(3))
    >>> k.shape, k[1:2, :]
    ((3, 3), array([[0., 1., 0.]]))
    """

    def __init__(self, kernel_fn: KernelFn | HasKernel, x1: Any, x2: Any = None,
                 get: str | None = None, **kwargs: Any):
        check_entries(x1, 'x1')
        check_entries(x2, 'x2')
        other = x1 if x2 is None else x2
        for name, x in ('x1', x1), ('x2', other):
            is_row = hasattr(x, '__len__') and hasattr(x, '__getitem__')
            if not is_row or getattr(x, 'shape', (0,)) == ():
                raise TypeError(f'expected {name} to be an array of inputs, got {x!r:.100} of type '
                                f'{type(x).__name__}.')
        sizes = (len(x1), len(other))
        if not all(sizes):
            raise ValueError(f'expected at least one input on either side, got {sizes[0]} and '
                             f'{sizes[1]}.')
        whole = as_part(kernel_fn, 'kernel_fn', 'kernel_fn')
        self._f = function_of_blocks(whole, x1, x2, kwargs)
        self._x1 = x1
        self._x2 = x2
        self._is_one = x2 is None or getattr(self._f, 'is_one', False)
        self._get = () if get is None else (get,)
        self._kwargs = kwargs
        one = self[:1, :1]
        self.shape = sizes + one.shape[2:]
        self.dtype = one.dtype
        self.ndim = one.ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> numpy.ndarray:
        return to_host(self[:]).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: Any) -> Any:
        given = index if isinstance(index, tuple) else (index, slice(None))
        if len(given) != 2 or not all(_is_index(i) for i in given):
            raise TypeError('expected k[rows, columns], slices or lists of numbers of inputs, got '
                            f'{index!r:.100}. For one input write slice(i, i + 1).')
        rows, columns = given
        if not self._is_one:
            return self._block(rows, columns)
        if isinstance(rows, slice) and rows == columns:
            return self._block(rows)
        return self._with_own(rows, columns)

    def _with_own(self, rows, columns):
        """Return the block, with each input that meets itself computed as such: equal values do not tell this."""
        k = as_array(self._block(rows, columns)).copy()
        inputs = numpy.arange(self.shape[0])
        here = inputs[rows]
        there = inputs[columns]
        i, j = numpy.nonzero(here[:, None] == there)
        for some in cuts(len(i), CORNER):
            own = self._block(here[i[some]])
            at = numpy.arange(len(own))
            k[i[some], j[some]] = own[at, at]
        return k

    def _block(self, rows, columns=None):
        """Return the kernel of some inputs with others, or with themselves."""
        is_own = columns is None
        itself = self._x2 is None
        columns = rows if is_own else columns
        kwargs = of_block(self._kwargs, rows, columns, itself)
        right = None if is_own else (self._x1 if itself else self._x2)[columns]
        k = self._f(self._x1[rows], right, *self._get, **kwargs)
        check_entries(k, 'what kernel_fn returns')
        if not hasattr(k, 'dtype') or k.ndim < 2:
            raise TypeError("expected a kernel function that returns an array (n1, n2, ...), got "
                            f"{type(k).__name__}. Ask for one kernel: get='nngp' or get='ntk'.")
        return k


def _is_index(i):
    """True for a slice, or a one-dimensional sequence of whole numbers."""
    if isinstance(i, slice):
        return True
    return isinstance(i, (list, range)) and all(map(is_whole, i)) or \
        type(i) is numpy.ndarray and i.ndim == 1 and i.dtype.kind in 'iub'


class Tiles:
    """An object with a shape and k[rows, columns] as a matrix of float64 that is never in memory as a whole.

    Vectors and tiles are where `like` is: on the host, or on a GPU, to which tiles of a kernel on disk are copied.
    """

    def __init__(self, name: str, k: Any, like: Any = None):
        refuse_function(k, name)
        check_unfollowed(k, name)
        if not (hasattr(k, 'shape') and hasattr(k, 'dtype') and hasattr(k, '__getitem__')):
            raise no_array(k, f'{name} to be an array, in memory or on disk, or a ComputedKernel')
        if k.dtype.kind not in 'biuf' or len(k.shape) < 2 or len(k.shape) % 2:
            raise TypeError(f'expected {name} of real numbers with axes in pairs (n1, n2, ...), '
                            f'got dtype {k.dtype} and shape {k.shape}.')
        self.name = name
        self.k = k
        self.each = prod(k.shape[2::2])
        self.eps = float(numpy.finfo(k.dtype).eps) if k.dtype.kind == 'f' else EPS
        self.n = k.shape[0] * self.each
        self.zero = array_like(0., like)
        chunks = getattr(k, 'chunks', None) or (SIDE, SIDE)
        least = max(SIDE, isqrt(entries_of_tile(self.zero))) if is_on_device(self.zero) else SIDE
        self.rows = _slices(k.shape[0], chunks[0], least)
        self.columns = _slices(k.shape[1], chunks[1], least)

    def tile(self, rows: slice, columns: slice = slice(None)) -> numpy.ndarray:
        """Return the kernel of some inputs with others as a matrix of float64."""
        k = array_like(self.k[rows, columns], self.zero)
        if is_on_device(k) and not is_on_device(self.zero):
            raise TypeError(f'expected all arrays on one device, got {self.name} of CuPy and targets of NumPy. Take '
                            'cupy.asarray of these, or the get() of the kernel.')
        return kernel_matrix(k.astype('float64', copy=False))

    def read(self, places: list[tuple[slice, slice]]
             ) -> Iterator[tuple[slice, slice, numpy.ndarray]]:
        """Yield (rows, columns, tile) in this order; threads read the next few of an array on disk."""
        if not hasattr(self.k, 'chunks'):
            for rows, columns in places:
                yield rows, columns, self.tile(rows, columns)
            return
        for some in cuts(len(places), min(READERS, number_of_threads())):
            tiles = in_threads(lambda place: self.tile(*place), places[some])
            for (rows, columns), tile in zip(places[some], tiles):
                yield rows, columns, tile

    def entries(self, inputs: slice) -> slice:
        """Return the rows, or columns, of the matrix that belong to some inputs."""
        return slice(inputs.start * self.each, inputs.stop * self.each)

    def band(self, rows: slice) -> numpy.ndarray:
        """Return the entries (all columns, rows), as right-hand sides."""
        return checked(self.name, self.tile(rows)).T

    def row(self, i: int) -> numpy.ndarray:
        """Return row i of the matrix."""
        point, here = divmod(i, self.each)
        return checked(self.name, self.tile(slice(point, point + 1))[here])

    def __matmul__(self, a: numpy.ndarray) -> numpy.ndarray:
        """Return K a, for any K."""
        out = zeros(self.zero, (self.n, a.shape[1]))
        for rows, columns, tile in self.read(blocks(self.rows, self.columns)):
            out[self.entries(rows)] += tile @ a[self.entries(columns)]
        return self.finite(out)

    def times(self, a: numpy.ndarray) -> numpy.ndarray:
        """Return K a for a symmetric K, from its upper half."""
        out = zeros(self.zero, (self.n, a.shape[1]))
        for rows, columns, tile in self.read(blocks(self.rows)):
            here = self.entries(rows)
            there = self.entries(columns)
            out[here] += tile @ a[there]
            if rows != columns:
                out[there] += tile.T @ a[here]
        return self.finite(out)

    def finite(self, out: numpy.ndarray) -> numpy.ndarray:
        """Return a product with the kernel; raise ValueError if entries of the kernel are not finite."""
        bad = numpy.nonzero(~numpy.isfinite(out).all(1))[0]
        if len(bad):
            raise ValueError(f'expected finite numbers, got {self.name} with NaN or infinite in '
                             f'{len(bad)} rows, the first {int(bad[0]) // self.each}: look for overflow '
                             'or missing values in what it was computed from.')
        return out

    def diagonal(self) -> numpy.ndarray:
        """Return the diagonal; raise ValueError if tiles on it, or the corners, show that K is not symmetric."""
        parts = []
        for rows in self.rows:
            tile = symmetric(checked(self.name, self.tile(rows, rows)), self.eps)
            parts.append(numpy.diagonal(tile).copy())
        n = self.k.shape[0]
        if n > SIDE:
            first = slice(0, CORNER)
            last = slice(n - CORNER, n)
            above = self.tile(first, last)
            below = self.tile(last, first)
            zero = 0 * above
            rows = [numpy.concatenate(row, 1) for row in ([zero, above], [below, zero])]
            symmetric(numpy.concatenate(rows), self.eps)
        return numpy.concatenate(parts)


def _slices(n, chunk, least):
    """Return slices that cover n: whole chunks, of at least so many; Dask has a tuple of chunks."""
    chunk = max(chunk) if isinstance(chunk, tuple) else chunk
    return cuts(n, -(-least // chunk) * chunk)
