"""`batch`: compute any kernel function tile by tile, in memory or on disk, on threads or on other machines."""
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy

from ..arguments import as_flag, as_part, as_whole
from ..no_arrays import check_entries, check_unfollowed, is_followed
from ..trees import leaves
from ..types import HasKernel, KernelFn
from .blocks import check_per_input, function_of_blocks, of_block
from .cover import blocks, put_block
from .device import own_stream, tiles_at_once
from .forms import apart, digest, together, told
from .memory import check_memory, check_workers
from .places import as_path
from .run import alone, by_executor, in_threads, is_client, number_of_threads, shown
from .sink import Entries, Sink, Tile
from .store import opened, put

__all__ = ['batch', 'mirrored', 'number_of_inputs', 'threads_of']

SIDE = 1024              # inputs on either side of a tile, by default
WORK = 4                 # a guess: peak memory of the computation of a tile, in units of its result


def batch(kernel_fn: KernelFn | HasKernel, batch_size: int = 0, device_count: int = -1,
          store_on_device: bool = True, *, out: str | PathLike | None = None,
          progress: bool | None = None, executor: Any = None,
          memory_limit: int | None = None) -> KernelFn:
    """Return a function with the arguments of `kernel_fn` that computes it tile by tile.

    Parameters
    ----------
    kernel_fn : callable        (x1, x2=None, ...) -> array (n1, n2, ...), a named tuple of such, or {name: array}.
        Inputs are on the first axis, and a block of the inputs must give that block of the result. A layer that mixes
        the batch, such as LayerNorm over the batch axis, breaks this.
    batch_size : int            inputs on either side of a tile; those at the ends may be smaller. 0: 1024.
    device_count : int          threads; -1: NTREF_NUM_THREADS, or as many as there are cores; 0: one.
    store_on_device : bool      accepted for old scripts; results are always in the memory of the host.
    out : str or path, optional a directory, or the URL of an object store (s3://..., by fsspec), for a Zarr store:
        tiles are written as they are done, and `StoredKernel`s are returned. If the call is killed at any moment, the
        same call again computes what is missing. With x2=None the lower half is not stored, unless there are positions.
        A function of the user is identified by its code, its defaults and what it encloses; not by the functions and
        global names that it uses.
    progress : bool, optional   show tiles done, rate and time left (tqdm). None: on a terminal only.
    executor : optional         a `dask.distributed.Client`, or any `concurrent.futures.Executor` of processes. Tiles
        are computed there, one on each of its threads, and tiles of lost workers are computed again. With `out` the
        workers write into the store themselves, which must have the same path there.
    memory_limit : int, optional        bytes that results and tiles in progress may take. None: what is free.

    Returns
    -------
    callable : (x1, x2=None, *args, **kwargs) -> what kernel_fn returns. Inputs may be lists of arrays of equal lengths.
        Keyword arguments that are pairs of arrays, for x1 and for x2 (with x2=None one array), are cut like the inputs.
        Inputs that autograd follows go to kernel_fn in one call, and so do their derivatives; with `out` they are
        refused, since a store has no derivatives.

    Raises
    ------
    TypeError       : kernel_fn is not a function, or returns no arrays; inputs are not arrays, such as a `Kernel`;
        autograd follows numbers of the network, or inputs while there is an `out`.
    ValueError      : batch_size < 0; arrays in keyword arguments do not have one entry for each input; a kernel does
        not have the shape of its tile; a layer of the network mixes the batch; the store is of another network, other
        inputs or other tiles, or its manifest is damaged.
    MemoryError     : the result would not fit, or a tile at a worker. It is raised after the first tile, and names what
        would fit.
    RuntimeError    : workers were lost with the same tile again and again; the tile is named.
    UserWarning     : no worker of a cluster works: there are none, or their memory is used up.
    BlockingIOError : another process writes into the store.
    OSError         : the store cannot be written, or other files are there. After the cause is gone, the same call
        continues.
    ImportError     : out without zarr.

    Accuracy
    --------
    That of kernel_fn. With x2=None the lower half of a kernel (n, n) mirrors the upper one, to the last bit. Whether
    two inputs are the same input is decided by their places, whatever their values: with x2=None, or, if kernel_fn is
    that of a network, with an x2 that equals x1 as a whole, as in kernel_fn(x1, x2). If kernel_fn is a function of the
    user that calls the kernel_fn of a network, this is decided anew in every tile.

    Examples
    --------
    >>> import numpy
    >>> from ntref import batch, stax
    >>> net, x = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1)), numpy.eye(5)
    >>> k = batch(net.kernel_fn, batch_size=2)(x, None, 'ntk')
    >>> k.shape, bool(abs(k - net.kernel_fn(x, None, 'ntk')).max() < 1e-15)
    ((5, 5), True)
    """
    out = None if out is None else as_path(out, 'batch: out')
    of = as_part(kernel_fn, 'kernel_fn', 'kernel_fn')
    side = as_whole(batch_size, 'batch: batch_size', 0) or SIDE
    as_flag(store_on_device, 'batch: store_on_device')
    threads = threads_of(device_count, 'batch')
    limit = None if memory_limit is None else as_whole(memory_limit, 'batch: memory_limit', 1)
    return _Batched(of, side, threads, out, progress, executor, limit)


@dataclass(frozen=True, eq=False, repr=False)
class _Batched:
    """A kernel function that is computed tile by tile, with the same arguments as the original; see `batch`."""

    of: Callable               # not named kernel_fn, which networks have
    side: int
    threads: int
    out: Any
    progress: bool | None
    executor: Any
    limit: int | None

    def __call__(self, x1: Any, x2: Any = None, *args: Any, **kwargs: Any) -> Any:
        if self.out is None and any(map(is_followed, leaves((x1, x2)))):
            return self.of(x1, x2, *args, **kwargs)
        other = x1 if x2 is None else x2
        shape = (number_of_inputs(x1, 'x1'), number_of_inputs(other, 'x2'))
        check_per_input(kwargs, shape)
        tile_fn = function_of_blocks(self.of, x1, x2, kwargs)
        is_one = x2 is None or getattr(tile_fn, 'is_one', False)

        threads = tiles_at_once(leaves(x1)[0], self.threads)

        def job(at):
            """Return the arguments of `_tile`, after the entries, for the tile `at`."""
            rows, columns = _ranges(at, self.side, shape)
            is_own = is_one and rows == columns
            size = (rows.stop - rows.start, columns.stop - columns.start)
            inputs = (_taken(x1, rows), None if is_own else _taken(other, columns))
            options = of_block(kwargs, rows, columns, x2 is None)
            return size, tile_fn, (*inputs, *args), options, is_own
        with self._sink(x1, x2, args, kwargs) as sink:
            if sink.entries is None:
                form, first = _tile(None, *job((0, 0)))
                _check_fits(first, shape, threads, self.out is None, self.limit, self.executor)
                is_matrix = all(k.ndim == 2 for k in first.values())
                sink.create(shape, form, first, is_one and is_matrix)
                if all(shape):
                    sink.write((0, 0), first)
            self._fill(sink, shape, job, threads)
        return together(sink.form, sink.kernels())

    def _sink(self, x1, x2, args, kwargs) -> AbstractContextManager[Sink]:
        """Return where the tiles go: memory, or the store at `out`, held for this process."""
        if self.out is None:
            return nullcontext(_Memory(self.side))
        return opened(self.out, {
            'network': told(self.of), 'arguments': told([args, kwargs]),
            'x1': digest(x1), 'x2': digest(x2), 'batch_size': self.side})

    def _fill(self, sink: Sink, shape, job, threads):
        """Compute all tiles that the sink does not have."""
        down, across = (range(-(-n // self.side)) for n in shape)
        tiles = blocks(down) if sink.symmetric else blocks(down, across)
        missing = [at for at in tiles if not sink.has(at)]
        progress_of = shown(self.progress, 'kernel')
        if self.executor is None:
            in_threads(lambda at: sink.write(at, _tile(sink.entries, *job(at))[1]),
                       missing, threads, progress_of)
            return
        jobs = ((at, _elsewhere, sink.path, at, sink.entries, *job(at)) for at in missing)
        for at, kernels in by_executor(self.executor, jobs, len(missing), progress_of):
            if kernels is not None:
                sink.write(at, kernels)


def threads_of(device_count: int, name: str) -> int:
    """Return the number of threads that the argument `device_count` of the function `name` asks for."""
    threads = as_whole(device_count, f'{name}: device_count', -1)
    return number_of_threads({-1: None, 0: 1}.get(threads, threads))


def _tile(entries, shape, kernel_fn, args, options, is_own):
    """Return the form and the arrays that kernel_fn gives for a tile of this shape, after checks.

    `entries`: the expected dtypes and shapes of entries, None for any. `is_own`: the tile is of inputs with themselves;
    one half of it mirrors the other, unless there are positions.
    """
    with own_stream(leaves(args[0])[0]):
        form, kernels = apart(kernel_fn(*args, **options))
    for name, k in kernels.items():
        if k.shape[:2] != shape:
            raise ValueError(f'expected kernels {(*shape, ...)} of {shape[0]} inputs with '
                             f'{shape[1]}, got {name} of shape {k.shape}. Inputs are on axis 0; '
                             '`nngp` and `ntk` have two axes of inputs.')
    found = {name: (k.dtype, k.shape[2:]) for name, k in kernels.items()}
    if entries not in (None, found):
        raise ValueError(f'expected all tiles alike, got {found} after {entries}.')
    if is_own and all(k.ndim == 2 for k in kernels.values()):
        kernels = {name: mirrored(k) for name, k in kernels.items()}
    return form, kernels


def mirrored(k: numpy.ndarray) -> numpy.ndarray:
    """Return a matrix with the upper half of k, whose lower half is the mirror image of the upper one."""
    return numpy.where(numpy.tri(len(k), k=-1, dtype=bool), k.T, k)


def _elsewhere(path, at, *job):
    """Compute a tile on one thread of a worker; write it into the store at `path`, or return it if that is None."""
    with alone():
        kernels = _tile(*job)[1]
    return kernels if path is None else put(path, at, kernels)


class _Memory:
    """The `Sink` in memory."""

    entries: Entries | None = None
    path = None

    def __init__(self, side):
        self.side = side

    def create(self, shape, form, kernels, symmetric):
        self.shape = shape
        self.form = form
        self.symmetric = symmetric
        self.entries = {name: (k.dtype, k.shape[2:]) for name, k in kernels.items()}
        self.outs = {name: numpy.empty((*shape, *k.shape[2:]), k.dtype)
                     for name, k in kernels.items()}

    def has(self, tile: Tile):
        return tile == (0, 0)                              # written right after `create`

    def write(self, tile, kernels):
        rows, columns = _ranges(tile, self.side, self.shape)
        for name, k in kernels.items():
            put_block(self.outs[name], rows, columns, k, self.symmetric)

    def kernels(self):
        return self.outs


def _ranges(tile, side, shape):
    """Return the rows and columns of a tile, as slices."""
    return tuple(slice(i * side, min((i + 1) * side, n)) for i, n in zip(tile, shape))


def _check_fits(first, shape, threads, in_memory, limit, executor):
    """Raise MemoryError if results like the `first` tile and tiles in progress do not fit, or a tile at a worker."""
    threads = threads if executor is None else 1
    tile = WORK * sum(k.nbytes for k in first.values())
    pair = sum(k[:1, :1].nbytes for k in first.values())
    kept = pair * shape[0] * shape[1] if in_memory else 0
    check_memory(kept + threads * tile, f'kernels of {shape[0]} with {shape[1]} inputs, '
                 f'{threads} tiles at a time', kept, WORK * threads * pair, limit)
    if is_client(executor):
        check_workers(executor, tile, WORK * pair)


def _taken(x, rows):
    """Return some rows of an array, or of each array in a list."""
    if isinstance(x, (list, tuple)):
        return type(x)(_taken(a, rows) for a in x)
    return None if x is None else x[rows]


def number_of_inputs(x: Any, name: str) -> int:
    """Return the number of inputs in an array, or in each array of a list."""
    if isinstance(x, (list, tuple)) and x:
        lengths = {number_of_inputs(a, name) for a in x}
        if len(lengths) > 1:
            raise ValueError(f'expected the arrays in {name} to have as many inputs each, got '
                             f'{sorted(lengths)}.')
        return lengths.pop()
    check_entries(x, name)
    check_unfollowed(x, name)
    if not getattr(x, 'shape', ()):
        raise TypeError(f'expected {name} to be an array of inputs, or a list of arrays, got '
                        f'{type(x).__name__}.')
    return x.shape[0]
