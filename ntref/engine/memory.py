"""How much memory is free, before it is asked for."""
from math import isqrt
from pathlib import Path

__all__ = ['available', 'check_memory']

GIB = 2 ** 30
LITTLE = 2 ** 20                # not worth looking


def available():
    """Bytes that are free on this machine, and in this control group if it has a limit; None where Linux is not."""
    try:
        lines = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
    except OSError:
        return None
    free = 1024 * int(lines['MemAvailable'].split()[0])
    group = Path('/sys/fs/cgroup')
    try:
        limit, used, stat = ((group / f'memory.{name}').read_text().strip() for name in ('max', 'current', 'stat'))
    except OSError:
        return free
    files = dict(line.split() for line in stat.splitlines())['inactive_file']          # given up when asked for
    return free if limit == 'max' else min(free, int(limit) - int(used) + int(files))


def check_memory(needed, what, kept, pair, limit=None):
    """Raises MemoryError before anything is computed, if `needed` bytes are more than `limit`, or than are free.

    Says which call of `batch` would fit: in memory if the `kept` bytes of the result do, else on disk, in tiles of a
    size at which `pair` bytes for each pair of inputs do.
    """
    if limit is None and needed < LITTLE:
        return
    free = available() if limit is None else limit
    if free is None or needed <= free:
        return
    side, out = max(1, min(1024, isqrt(int(free / 4 / pair)))), '' if kept <= free / 2 else ", out='kernel.zarr'"
    raise MemoryError(f'expected at most the {free / GIB:.3g} GiB of memory that '
                      f'{"are free" if limit is None else "memory_limit allows"}, got {what}, which take '
                      f'{needed / GIB:.3g} GiB. ntref.batch(kernel_fn, batch_size={side}{out}), called with one of '
                      "'nngp' and 'ntk' or both, would fit" + (': it writes to disk, tile by tile.' if out else '.'))
