"""Prediction of the memory and time that a kernel will take, from a trial with a few inputs."""
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ['CallCost', 'predicted']

Sizes = tuple[int, int | None]      # numbers of inputs (n1, n2); n2 = None for x2=None


class CallCost(NamedTuple):
    """Memory and time that a call takes."""
    bytes: int           # at the peak, beyond the inputs
    seconds: float       # on this machine, on its threads


def predicted(call: Callable[[], Any], trial: Sizes, asked: Sizes, is_whole: bool) -> CallCost:
    """Predict the `CallCost` of a kernel function for `asked` inputs, from `call()`, which computes it for `trial`.

    Both are numbers of inputs (n1, n2), with n2 = None for x2=None. Results grow with the number of pairs of inputs.
    Other memory does so too if `is_whole`; else it is that of the tiles in progress, which is constant. Time grows with
    the number of pairs that are computed.
    """
    kernel, peak = _traced(call)
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    kept = _bytes(kernel)
    growth = _pairs(*asked) / _pairs(*trial)
    beside = (peak - kept) * (growth if is_whole else 1)
    later = _computed(*asked) / _computed(*trial)
    return CallCost(round(kept * growth + beside), seconds * later)


def _traced(call):
    """Return the result of call(), and the peak of the memory that was allocated within it."""
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
    """Return the bytes of all arrays in a kernel or a nested dict, list or tuple."""
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
