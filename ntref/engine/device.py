"""The GPU that holds an array: what is free there, how large its tiles are, its streams, and copies to the host.

Host and device compute with the same recursion; here is all that differs around it. A `stream` is a queue of the
device: kernels and copies of one stream follow each other, those of two may overlap.
"""
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy

from ..arrays import is_on_device
from .cover import ENTRIES

__all__ = ['entries_of_tile', 'free_on_device', 'least_work', 'own_stream', 'there', 'tiles_at_once', 'to_host']

ENTRIES_ON_DEVICE = 2 ** 24      # float64 numbers of a tile there: 128 MiB an array, far longer than a launch
ALIVE = 64                       # arrays like a tile that are alive at once, at most, and some to spare
TILES = 2                        # one is copied to the host while the next is computed

_streams: deque[Any] = deque()   # those that no thread uses: CuPy keeps memory for each one that ever was


def free_on_device(a: Any) -> int | None:
    """Return the bytes free on the GPU of a, with CuPy's own pool and within its limit; None for arrays on the host."""
    if not is_on_device(a):
        return None
    cupy = import_module('cupy')
    pool = cupy.get_default_memory_pool()
    with a.device:
        free = cupy.cuda.Device().mem_info[0] + pool.free_bytes()
        limit = pool.get_limit()
    return min(free, limit - pool.used_bytes()) if limit else free


def entries_of_tile(a: Any, on_host: int = ENTRIES) -> int:
    """Return how many float64 numbers a tile of a kernel of `a` has: on a device as many as fit there ALIVE times."""
    free = free_on_device(a)
    return on_host if free is None else max(1, min(ENTRIES_ON_DEVICE, free // (8 * ALIVE)))


def least_work(a: Any, entries: int) -> int:
    """Return the bytes beside a kernel of `entries` numbers that its tiles take at least on the device of `a`."""
    return a.dtype.itemsize * ALIVE * min(entries, ENTRIES) if is_on_device(a) else 0


def tiles_at_once(a: Any, threads: int) -> int:
    """Return on how many threads tiles of inputs like `a` are computed, of those asked for."""
    return min(threads, TILES) if is_on_device(a) else threads


@contextmanager
def own_stream(a: Any) -> Iterator[None]:
    """Compute with `a` on a stream that no other thread uses meanwhile; on the host this does nothing."""
    if not is_on_device(a):
        yield
        return
    with a.device:
        stream = _streams.pop() if _streams else import_module('cupy').cuda.Stream()
        try:
            with stream:
                yield
            stream.synchronize()
        finally:
            _streams.append(stream)


def there(a: Any, is_there: bool = True) -> Any:
    """Return an array of NumPy's on the device, if `is_there`; all else, and on the host, as it is."""
    return import_module('cupy').asarray(a) if is_there and isinstance(a, numpy.ndarray) else a


def to_host(a: Any) -> Any:
    """Return an array of a device as one of NumPy, in memory that the device reaches by itself; others as they are."""
    if not is_on_device(a):
        return a
    host = import_module('cupyx').empty_pinned(a.shape, a.dtype)
    a.get(out=host)
    return numpy.asarray(host)
