"""Checks that enough memory is free, before it is allocated."""
from importlib import import_module
from math import inf, isqrt
from os import PathLike
from pathlib import Path
from typing import Any

__all__ = ['available', 'check_memory', 'check_workers']

GIB = 2 ** 30
LITTLE = 2 ** 20        # less than this is not checked
GROUPS = {              # files of control groups by version: limit, use, and reclaimable part of it
    '': ('memory.max', 'memory.current', 'inactive_file'),
    'memory': ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')}


def available(root: str | PathLike = '/') -> int | float | None:
    """Return the bytes that are free, or None if the system does not say, as in a browser.

    This is the least of what is free on this machine and in those control groups of this process that have a limit;
    `root` is where Linux shows these.
    """
    try:
        psutil = import_module('psutil')
    except ImportError:
        return None
    return min([psutil.virtual_memory().available, *_left_in_groups(Path(root))])


def _left_in_groups(root):
    """Yield the bytes left in each control group, of version 2 and of the controller `memory` of version 1."""
    ours = [line.split(':', 2)[1:] for line in _lines(root / 'proc/self/cgroup')]
    for controller, names in GROUPS.items():
        mount = root / 'sys/fs/cgroup' / controller
        groups = {mount}
        for controllers, path in ours:
            if controller in controllers.split(','):
                below = Path(path.lstrip('/'))
                groups |= {mount / above for above in (below, *below.parents)}
        for group in groups:
            yield _left(group, *names)


def _left(group, limit, used, spare):
    """Return the bytes left in a group.

    They are infinite if it has no limit, or is not there (a container does not see the groups above it)."""
    try:
        limit, used = ((group / name).read_text().strip() for name in (limit, used))
    except OSError:
        return inf
    if limit == 'max':
        return inf
    spared = dict(line.split(None, 1) for line in _lines(group / 'memory.stat'))
    return int(limit) - int(used) + int(spared.get(spare, 0))


def _lines(path):
    """Return the lines of a file; there are none if there is no file."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def check_memory(needed: float, what: str, kept: float, pair: float, limit: float | None = None,
                 on_device: float | None = None) -> None:
    """Raise MemoryError, before anything is computed, if `needed` bytes are more than `limit`, or than are free.

    The message says which call of `batch` would fit: in memory if the `kept` bytes of the result fit, else on disk,
    with tiles for which `pair` bytes for each pair of inputs fit. `on_device`: bytes that are free on the device that
    computes; results of `batch` are on the host.
    """
    if limit is None and needed < LITTLE:
        return
    host = available() if limit is None else limit
    free = host if on_device is None else on_device
    if free is None or needed <= free:
        return
    there = inf if host is None else host
    side = _side(min(free, there) / 4, pair)
    fits = kept <= there / 2
    out = '' if fits else ", out='kernel.zarr'"
    where = 'memory_limit allows' if limit is not None else 'are free'
    if limit is None and on_device is not None:
        where += ' on the device'
    raise MemoryError(f'expected at most the {free / GIB:.3g} GiB of memory that {where}, got '
                      f'{what}, which take {needed / GIB:.3g} GiB. ntref.batch(kernel_fn, '
                      f"batch_size={side}{out}), called with one of 'nngp' and 'ntk' or both, "
                      'would fit' + (': it writes to disk, tile by tile.' if out else '.'))


def check_workers(client: Any, needed: float, pair: float) -> None:
    """Raise MemoryError if a Dask worker does not have `needed` bytes for a tile on each of its threads.

    Such a worker would be killed, or wait for ever. `pair`: bytes for each pair of inputs.
    """
    for address, worker in client.scheduler_info()['workers'].items():
        limit = worker['memory_limit']
        threads = worker['nthreads']
        free = (limit or inf) - worker['metrics'].get('memory', 0)
        if threads * needed > free:
            raise MemoryError(
                f'expected workers with {needed / GIB:.3g} GiB for a tile on each of their '
                f'threads, got {address} with {free / GIB:.3g} GiB left of {limit / GIB:.3g} GiB '
                f'for {threads} threads. Start workers with more --memory-limit or fewer threads, '
                f'or take tiles of batch_size={_side(free / threads, pair)}.')


def _side(free, pair):
    return max(1, min(1024, isqrt(max(0, int(free / pair)))))
