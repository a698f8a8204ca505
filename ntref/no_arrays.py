"""Errors for objects mistaken for arrays, with advice: masked arrays, matrices, tables, tensors, a `Kernel`, lists."""
from functools import lru_cache
from typing import Any

import numpy

__all__ = ['PLAIN', 'check_entries', 'check_on_host', 'check_unfollowed', 'is_followed', 'is_of_cupy', 'is_traced',
           'no_array']

PLAIN = numpy.ndarray, numpy.memmap
"""NumPy's arrays whose entries are what they seem. A subclass may mean something of its own by them."""


def is_followed(a: Any) -> bool:
    """True if `a` is one of autograd's boxes; autograd is not imported for the check."""
    of_type: Any = type(a)
    return _is_box(of_type)


@lru_cache(maxsize=256)
def _is_box(of_type):
    return any(base.__module__.partition('.')[0] == 'autograd' for base in of_type.__mro__)


def _library(a):
    return type(a).__module__.partition('.')[0]


def _is_jax(a):
    return _library(a) in ('jax', 'jaxlib')


def is_of_cupy(a: Any) -> bool:
    """True if `a` is an array of CuPy."""
    return _library(a) == 'cupy'


def is_traced(a: Any) -> bool:
    """True if `a` has no numbers yet, because grad, jit or vmap of JAX trace it."""
    return _is_jax(a) and 'Tracer' in type(a).__name__


INSTEAD = (
    (is_followed,
     'autograd follows it, but no derivatives go through this function. Differentiate kernel_fn '
     'itself, or what docs/coming-from-neural-tangents.md#what-can-be-differentiated says '
     'instead.'),
    (lambda a: isinstance(a, numpy.ma.MaskedArray),
     'Its mask would be lost: fill it, a.filled(value). Inputs of different lengths are told by '
     'mask_constant or stax.MaskedArray, see docs/masks.md.'),
    (lambda a: isinstance(a, numpy.ndarray),
     'Its operators and axes may have meanings of their own: take numpy.asarray of it.'),
    (is_of_cupy,
     'It is of CuPy, on a GPU: take its get().'),
    (is_traced,
     'JAX traces it, but grad, jit and vmap of JAX do not go through ntref. Differentiate by '
     'autograd, see docs/coming-from-neural-tangents.md#what-can-be-differentiated.'),
    (_is_jax,
     'It is of JAX: take numpy.asarray of it.'),
    (lambda a: hasattr(a, 'detach'),
     'It is a tensor: take its detach().cpu().numpy(). No gradients of its framework go through '
     'ntref.'),
    (lambda a: hasattr(a, 'to_numpy'),
     'It is a table or a column: take its to_numpy().'),
    (lambda a: hasattr(a, 'kernel_fn'),
     'That is a network: what its kernel_fn or its apply_fn returns is an array.'),
    (lambda a: hasattr(a, 'nngp') or hasattr(a, 'ntk'),
     "Take its `.ntk` or its `.nngp`, or ask for one of them, kernel_fn(x1, x2, 'ntk')."),
    (lambda a: hasattr(a, 'masked_value'),
     'Take its masked_value, or stax.unmask_fn of what gave it.'),
    (lambda a: hasattr(a, 'toarray'),
     'It is sparse: take its toarray().'),
    (callable,
     'Call it, and give what it returns.'),
    (lambda a: True,
     'Convert it with numpy.asarray; lists and tuples of arrays are for `parallel`.'),
)
"""Does it fit, and the advice; the first that fits."""


def no_array(a: Any, expected: str) -> TypeError:
    """Return the TypeError for `a` where `expected` was expected; it says what to use instead."""
    instead = next(text for fits, text in INSTEAD if fits(a))
    return TypeError(f'expected {expected}, got {type(a).__name__}. {instead}')


def check_entries(a: Any, name: str) -> None:
    """Raise TypeError if `a` is like an array, but its entries are not what they seem.

    This checks values that are handed on to user-defined functions; numbers and arrays of any library pass.
    """
    if isinstance(a, numpy.ndarray) and type(a) not in PLAIN or hasattr(a, 'toarray'):
        raise no_array(a, f'{name} to be an array')


def check_unfollowed(a: Any, name: str) -> None:
    """Raise TypeError if autograd follows `a`, for functions that no derivatives go through."""
    if is_followed(a):
        raise no_array(a, f'{name} to be numbers')


def check_on_host(a: Any, name: str) -> None:
    """Raise TypeError if `a` is on a GPU, for functions that compute on the host alone."""
    if is_of_cupy(a):
        raise no_array(a, f'{name} to be an array of NumPy')
