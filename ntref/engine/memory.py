"""How much memory is free, before it is asked for."""
from pathlib import Path

__all__ = ['available', 'check_memory']

GIB = 2 ** 30


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


def check_memory(needed, what):
    """Raises MemoryError before anything is computed, if `needed` bytes are more than there are."""
    free = available()
    if free is not None and needed > free:
        raise MemoryError(f'expected at most the {free / GIB:.3g} GiB of memory that are free, got {what}, which take '
                          f"{needed / GIB:.3g} GiB. ntref.batch(kernel_fn, out='kernel.zarr') writes them to disk, "
                          'tile by tile.')
