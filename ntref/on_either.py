"""Arrays of NumPy and of CuPy in one function: each is made, drawn and compared where it is."""
from collections.abc import Iterable
from typing import Any

import numpy

from .arrays import is_array, is_on_device, namespace
from .engine.device import free_on_device, there
from .engine.memory import available
from .trees import leaves
from .types import Tree

__all__ = ['array_like', 'as_array', 'check_together', 'drawn', 'equal', 'free_beside', 'largest', 'zeros']


def as_array(a: Any) -> Any:
    """Return a number or an array as an array, which stays on its device."""
    return a if is_on_device(a) else numpy.asarray(a)


def array_like(a: Any, like: Any) -> Any:
    """Return a number or an array as an array where `like` is."""
    return there(as_array(a), is_on_device(like))


def free_beside(a: Any) -> float | None:
    """Return the bytes free where `a` is, on the host or on a device; None if the system does not say."""
    on_device = free_on_device(a)
    return available() if on_device is None else on_device


def zeros(like: Any, shape: Iterable[int]) -> Any:
    """Return zeros in the precision of `like`, where it is."""
    if is_on_device(like):
        return namespace(like).zeros(tuple(shape)).astype(like.dtype, copy=False)
    return numpy.zeros(tuple(shape), like.dtype)


def drawn(rng: numpy.random.Generator, like: Any) -> Any:
    """Return normal numbers, drawn on the host, in the shape and precision of `like` and where it is."""
    return array_like(numpy.asarray(rng.standard_normal(like.shape), like.dtype), like)


def largest(a: Any) -> float:
    """Return the largest absolute entry, 0 if there is none."""
    return float(abs(a).max()) if a.size else 0.


def equal(a: Any, b: Any) -> bool:
    """True if both numbers or arrays have the same shape and entries."""
    return numpy.shape(a) == numpy.shape(b) and bool(numpy.all(a == b))


def check_together(**trees: Tree) -> None:
    """Raise TypeError if some arrays in the trees are on a GPU and others on the host."""
    places = {is_on_device(a): name for name, tree in trees.items() for a in leaves(tree)
              if is_array(a) and a.shape}
    if len(places) == 2:
        raise TypeError(f'expected all arrays on one device, got {places[True]} of CuPy and {places[False]} of NumPy. '
                        'Take cupy.asarray of these, or the get() of the others.')
