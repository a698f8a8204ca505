"""Steps that write into an array which nobody else holds, where autograd does not trace it."""
from importlib import import_module
from typing import Any

import numpy

from .arrays import TRACED, is_on_device, kind, namespace
from .types import Array, Number

__all__ = ['add_at', 'blanked', 'divided', 'increased', 'scaled']


def _takes(a, b):
    """True if a is an array of NumPy's into which a result with b can be written."""
    return kind(a) == 'numpy' and kind(b) not in TRACED


def scaled(a: Array, w: Number, is_spare: bool) -> Array:
    """Return w a, written into the array a if `is_spare`."""
    if not is_spare or not _takes(a, w):
        return w * a
    a *= w
    return a


def divided(a: Any, b: Any, is_spare: bool) -> Any:
    """Return a / b, written into the array a if `is_spare`."""
    if not is_spare or not _takes(a, b):
        return a / b
    a /= b
    return a


def blanked(a: Any, where: Any, is_spare: bool) -> Any:
    """Return a with 0 where `where` is True, written into the array a if `is_spare`."""
    if not is_spare or not _takes(a, where):
        return namespace(a).where(where, 0, a)
    a[where] = 0
    return a


def add_at(a: Any, where: Any, b: Any) -> None:
    """Add b to a[where] in place; an entry may be there more than once."""
    if is_on_device(a):
        import_module('cupyx').scatter_add(a, where, b)
    else:
        numpy.add.at(a, where, b)


def increased(a: Any, b: Any, where: Any = None) -> Any:
    """Add b to a, or to a[where], in place; return a, or a new array if autograd traces a or b."""
    if kind(a) in TRACED or kind(b) in TRACED:
        return a + b if where is None else namespace(a, b).patch(a, where, a[where] + b)
    if where is None:
        a += b
    else:
        a[where] += b
    return a
