"""What commands say on stderr: what a long computation will take, before it begins; warnings."""
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from ..stax import Layer
from ..types import Get

__all__ = ['say_cost', 'warnings_said']

MANY = 10 ** 6          # pairs of inputs or of their positions, below which there is no trial
LONG = 5                # seconds, below which nothing is said
GIB = 2 ** 30


def say_cost(command: str, net: Layer, x1: Any, x2: Any, get: Get) -> None:
    """Say on stderr what `kernel_fn.cost` predicts for kernels of x1 and x2 (None: x1), if they will take long."""
    other = x1 if x2 is None else x2
    if prod(x1.shape[:-1]) * prod(other.shape[:-1]) < MANY:
        return
    dtype = 'float32' if x1.dtype == other.dtype == 'float32' else 'float64'
    cost = net.kernel_fn.cost(x1.shape, None if x2 is None else x2.shape, get, dtype)
    if cost.seconds >= LONG:
        print(f'ntref {command}: kernels of {len(x1)} with {len(other)} inputs, about {_duration(cost.seconds)} and '
              f'{cost.bytes / GIB:.2g} GiB in memory or on disk', file=sys.stderr)


def _duration(seconds):
    """
    >>> _duration(42.3), _duration(600), _duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


@contextmanager
def warnings_said(command: str) -> Iterator[None]:
    """Say at the end, each in a line, what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        yield
    for warning in caught:
        print(f'ntref {command}: {warning.message}', file=sys.stderr)
