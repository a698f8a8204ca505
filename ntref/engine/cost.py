"""What a kernel will take, from a trial with a few inputs."""
import time
import tracemalloc
from typing import NamedTuple

__all__ = ['Cost', 'predicted']


class Cost(NamedTuple):
    """Memory and time of a call."""
    bytes: int           # at the peak, beyond the inputs
    seconds: float       # on this machine, on its threads


def predicted(call, trial, asked, is_whole):
    """`Cost` of a kernel function for inputs as many as in `asked`, from `call()`, which takes as many as in `trial`.

    Both are (n1, n2), with n2 = None for x2=None. Results grow with the pairs of inputs; what is allocated beside them
    too if `is_whole`, else it is that of the tiles in work. Time grows with the pairs that are computed.
    """
    kernel, peak = _traced(call)
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    kept = _bytes(kernel)
    growth = _pairs(*asked) / _pairs(*trial)
    beside = (peak - kept) * (growth if is_whole else 1)
    return Cost(round(kept * growth + beside), seconds * _computed(*asked) / _computed(*trial))


def _traced(call):
    """(what it returns, the most memory that was allocated within it)."""
    mine = not tracemalloc.is_tracing()
    if mine:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        return call(), tracemalloc.get_traced_memory()[1] - before
    finally:
        if mine:
            tracemalloc.stop()


def _bytes(value):
    """Of the arrays in it."""
    if hasattr(value, 'nbytes'):
        return value.nbytes
    value = value.asdict() if hasattr(value, 'asdict') else value
    if isinstance(value, (dict, list, tuple)):
        return sum(map(_bytes, value.values() if isinstance(value, dict) else value))
    return 0


def _pairs(n1, n2):
    return n1 * (n1 if n2 is None else n2)


def _computed(n1, n2):
    return n1 * (n1 + 1) / 2 if n2 is None else n1 * n2
