"""`batch`: any kernel function tile by tile, in memory or on disk."""
from contextlib import nullcontext
from itertools import product
from operator import index

import numpy

from .run import in_threads, shown
from .store import apart, digest, opened, together, told

__all__ = ['batch']

SIDE = 1024                    # of a tile, if not asked for


def batch(kernel_fn, batch_size=0, device_count=-1, store_on_device=True, *, out=None, progress=None):
    """`kernel_fn` tile by tile: a function with the same arguments.

    Parameters
    ----------
    kernel_fn : callable        (x1, x2=None, ...) -> array (n1, n2, ...), a named tuple of such, or {name: array}.
        Inputs are on the first axis, and a block of the result is what a block of the inputs gives: not so where a
        layer mixes the batch, as LayerNorm over the batch axis does.
    batch_size : int            inputs on either side of a tile; those at the ends may be smaller. 0: 1024.
    device_count : int          threads; -1: NTREF_NUM_THREADS, or as many as there are cores; 0: one.
    store_on_device : bool      accepted for old scripts: results are in the memory of the host.
    out : str or path, optional a directory for a Zarr store: tiles are written as they are done, and `StoredKernel`s
        returned. The same call again, after it was killed at any moment, computes what is missing. With x2=None the
        lower half is not stored, unless there are positions. A function of the user is known by its code, defaults and
        what it encloses; not by the functions and global names that it uses.
    progress : bool, optional   show tiles done, rate and time left (tqdm). None: on a terminal.

    Returns
    -------
    callable : (x1, x2=None, *args, **kwargs) -> what kernel_fn returns. Inputs may be lists of arrays of equal lengths.

    Raises
    ------
    TypeError       : inputs that are not arrays, such as a `Kernel`; a kernel function that returns something else.
    ValueError      : batch_size < 0; a kernel that has not the shape of its tile; a store of another network, other
        inputs or tiles.
    BlockingIOError : another process writes into the store.
    OSError         : the store cannot be written. After the cause is gone, the same call goes on.
    ImportError     : out without zarr.

    Accuracy
    --------
    That of kernel_fn. Where x2=None the lower half of a kernel (n, n) mirrors the upper one.

    Examples
    --------
    >>> import numpy
    >>> from ntref import batch, stax
    >>> net, x = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1)), numpy.eye(5)
    >>> k = batch(net.kernel_fn, batch_size=2)(x, None, 'ntk')
    >>> k.shape, bool(abs(k - net.kernel_fn(x, None, 'ntk')).max() < 1e-15)
    ((5, 5), True)
    """
    side, threads = _whole(batch_size, 'batch_size', 0) or SIDE, _whole(device_count, 'device_count', -1)
    threads = {-1: None, 0: 1}.get(threads, threads)

    def batched(x1, x2=None, *args, **kwargs):
        n1, n2 = shape = _length(x1, 'x1'), _length(x1 if x2 is None else x2, 'x2')
        tiles = list(product(range(-(-n1 // side)), range(-(-n2 // side))))

        def tile(at):
            rows, columns = _ranges(at, side, shape)
            right = x2 if x2 is not None else None if at[0] == at[1] else x1
            form, kernels = apart(kernel_fn(_taken(x1, rows), _taken(right, columns), *args, **kwargs))
            _check(kernels, (rows.stop - rows.start, columns.stop - columns.start), sink.entries)
            return form, kernels
        with nullcontext(_Memory(side)) if out is None else opened(out, {
                'network': told(kernel_fn), 'arguments': told([args, kwargs]), 'x1': digest(x1), 'x2': digest(x2),
                'batch_size': side}) as sink:
            if sink.entries is None:
                form, first = tile((0, 0))
                symmetric = x2 is None and all(k.ndim == 2 for k in first.values())
                sink.create(shape, form, first, symmetric)
                if tiles:
                    sink.write((0, 0), first)
            missing = [at for at in tiles if (at[0] <= at[1] or not sink.symmetric) and not sink.has(at)]
            in_threads(lambda at: sink.write(at, tile(at)[1]), missing, threads, shown(progress, 'kernel'))
        return together(sink.form, sink.kernels())
    return batched


class _Memory:
    """Kernels in memory; the same methods as those of a store."""

    def __init__(self, side):
        self.side, self.entries = side, None

    def create(self, shape, form, kernels, symmetric):
        self.shape, self.form, self.symmetric = shape, form, symmetric
        self.entries = {name: (k.dtype, k.shape[2:]) for name, k in kernels.items()}
        self.outs = {name: numpy.empty((*shape, *rest), dtype) for name, (dtype, rest) in self.entries.items()}

    def has(self, tile):
        return tile == (0, 0)

    def write(self, tile, kernels):
        rows, columns = _ranges(tile, self.side, self.shape)
        for name, k in kernels.items():
            self.outs[name][rows, columns] = k
            if self.symmetric and rows != columns:
                self.outs[name][columns, rows] = k.T

    def kernels(self):
        return self.outs


def _ranges(tile, side, shape):
    return tuple(slice(i * side, min((i + 1) * side, n)) for i, n in zip(tile, shape))


def _whole(n, name, least):
    """n as an int, or an error that names it."""
    if not hasattr(n, '__index__') or isinstance(n, bool):
        raise TypeError(f'expected {name} to be a whole number, got {n!r}.')
    if index(n) < least:
        raise ValueError(f'expected {name} >= {least}, got {n}.')
    return index(n)


def _taken(x, rows):
    """Some rows of an array, or of each in a list."""
    if isinstance(x, (list, tuple)):
        return type(x)(_taken(a, rows) for a in x)
    return None if x is None else x[rows]


def _length(x, name):
    """How many inputs an array has, or each in a list."""
    if isinstance(x, (list, tuple)) and x:
        lengths = {_length(a, name) for a in x}
        if len(lengths) > 1:
            raise ValueError(f'expected the arrays in {name} to have as many inputs each, got {sorted(lengths)}.')
        return lengths.pop()
    if not getattr(x, 'shape', ()):
        raise TypeError(f'expected {name} to be an array of inputs, or a list of arrays, got {type(x).__name__}.')
    return x.shape[0]


def _check(kernels, shape, entries):
    """Raises ValueError for kernels of another shape than that of their tile, or of other entries than the first."""
    for name, k in kernels.items():
        if k.shape[:2] != shape:
            raise ValueError(f'expected kernels {(*shape, ...)} of {shape[0]} inputs with {shape[1]}, got {name} of '
                             f'shape {k.shape}. Inputs are on axis 0; `nngp` and `ntk` have two axes of inputs.')
    found = {name: (k.dtype, k.shape[2:]) for name, k in kernels.items()}
    if entries not in (None, found):
        raise ValueError(f'expected all tiles alike, got {found} after {entries}.')
