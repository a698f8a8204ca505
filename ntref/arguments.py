"""Checks of arguments: they return numbers, arrays of numbers or whole numbers, or raise an error that names them."""
import importlib
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from numbers import Real
from operator import index
from sys import float_info, maxsize
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy

from .arrays import EXACT, TRACED, is_on_device, kind
from .no_arrays import check_entries
from .types import Number

__all__ = ['as_axes', 'as_flag', 'as_function', 'as_nested', 'as_number', 'as_part', 'as_typed',
           'as_whole', 'as_wholes', 'check_finite', 'is_whole', 'requested', 'suggestion', 'unknown_name']

MAX_NUMBER = float_info.max


def as_number(value: Any, name: str) -> Number:
    """Return `value` as a Python number, which leaves float32 arrays in float32; traced ones and `mpmath.mpf` stay.

    Raises
    ------
    TypeError  : `value` is not a real number. ValueError : it is NaN or infinite. Both messages say `name`.
    """
    check_entries(value, name)
    is_numpys = isinstance(value, (numpy.generic, numpy.ndarray))
    if is_numpys and value.ndim == 0 and value.dtype != object:
        value = value.item()
    if not _is_number(value):
        raise TypeError(
            f'{name} is expected to be a number, got {value!r:.200} of type '
            f'{type(value).__name__}.')
    if value != value or not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise ValueError(f'{name} is expected to be finite, got {value!s:.100}.')
    return value


def _is_number(value):
    """True for a real number of Python's or mpmath's, and for one that autograd follows."""
    if value is None or isinstance(value, bool) or kind(value) not in (None, *TRACED, *EXACT):
        return False
    return getattr(value, 'shape', ()) == () and (kind(value) not in EXACT or isinstance(value, Real))


def as_nested(value: Any, name: str) -> Any:
    """Return `value`, a number or an array, as nested tuples of Python numbers; traced arrays stay.

    Raises
    ------
    TypeError  : not real numbers, or rows of different lengths. ValueError : NaN, infinite or empty.
        Both messages say `name`.
    """
    def tuples(v):
        return tuple(map(tuples, v)) if isinstance(v, list) else as_number(v, name)
    check_entries(value, name)
    if kind(value) in TRACED:
        return value
    try:
        array = value if hasattr(value, 'tolist') else numpy.asarray(value)
    except ValueError as e:
        raise TypeError(
            f'{name} is expected to be a number or an array, got {value!r:.200}.') from e
    if not array.size:
        raise ValueError(f'{name} is expected to have entries, got shape {array.shape}.')
    return tuples(array.tolist())


def as_flag(value: Any, name: str) -> bool:
    """Return `value`, True or False (also NumPy's), as a Python bool; misplaced arguments are not taken for True.

    Raises
    ------
    TypeError : `value` is anything else. The message says `name`.
    """
    check_entries(value, name)
    if isinstance(value, numpy.ndarray) and value.shape == ():
        value = value[()]
    if not isinstance(value, (bool, numpy.bool_)):
        raise TypeError(f'{name} is expected to be True or False, got {value!r:.200}.')
    return bool(value)


def is_whole(value: Any) -> bool:
    """True if `value` is a whole number; True, False and numbers that may be masked are not."""
    if type(value) is int:                              # asked of axes by every layer of every tile
        return True
    try:
        check_entries(value, 'a whole number')
        index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def as_whole(value: Any, name: str, least: int | None = None, most: float = maxsize) -> int:
    """Return `value` as a Python int.

    Raises
    ------
    TypeError  : `value` is like an array, such as a masked one.
    ValueError : it is not a whole number, or below `least`, or above `most`, by default the largest possible size.
        Both messages say `name`.
    """
    check_entries(value, name)
    if not is_whole(value) or least is not None and index(value) < least:
        bound = '' if least is None else f' >= {least}'
        raise ValueError(f'{name} is expected to be a whole number{bound}, got {value!r:.200}.')
    if index(value) > most:
        raise ValueError(f'{name} is expected to be a whole number <= {most}, got one of '
                         f'{index(value).bit_length()} bits.')
    return index(value)


def as_typed(value: Any, hint: Any, name: str) -> Any:
    """Return `value` converted by the type hint float, int or bool, or one of these or None; unchanged for other hints.

    Raises
    ------
    TypeError, ValueError : as for `as_number`, `as_whole` and `as_flag`.
    """
    types = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
    if value is None and type(None) in types:
        return None
    types.discard(type(None))
    if types in ({float}, {float, int}):
        return as_number(value, name)
    if types == {int}:
        return as_whole(value, name)
    if types == {bool}:
        return as_flag(value, name)
    return value


def as_wholes(values: Any, name: str, least: int) -> tuple[int, ...]:
    """Return `values`, one for each axis, as a tuple of Python ints.

    Raises
    ------
    TypeError : `values` is no sequence, or a masked one. ValueError : as for `as_whole`. Both messages say `name`.
    """
    check_entries(values, name)
    try:
        values = tuple(values)
    except TypeError:
        raise TypeError(
            f'{name} is expected to be a tuple of whole numbers >= {least}, one for each axis, got '
            f'{values!r}. For one axis write {name.split()[-1]}=(2,), for two (2, 2).') from None
    return tuple(as_whole(n, name, least) for n in values)


def check_finite(value: Any, name: str) -> None:
    """Refuse an array of NumPy or CuPy, or a number, that has NaN or infinity in it; other objects pass.

    Raises
    ------
    TypeError : `value` is like an array, such as a masked one or a matrix. ValueError : it has NaN or infinity.
        Both messages say `name`.
    """
    check_entries(value, name)
    is_known = isinstance(value, (float, numpy.ndarray, numpy.generic)) or is_on_device(value)
    if not is_known or hasattr(value, 'dtype') and value.dtype.kind not in 'fc':
        return
    finite = numpy.isfinite(value)
    if not numpy.all(finite):
        count = numpy.size(value) - numpy.sum(finite)
        raise ValueError(
            f'expected {name} to be finite, got NaN or infinity in {count} of its '
            f'{numpy.size(value)} entries. Remove or impute them.')


def as_axes(axes: Any, name: str) -> tuple[int, ...]:
    """Return one axis or several as a tuple of Python ints.

    Raises
    ------
    TypeError : `axes` is anything else. The message says `name`.
    """
    check_entries(axes, name)
    is_one = is_whole(axes)
    is_several = isinstance(axes, (tuple, list, range)) or getattr(axes, 'ndim', 0) == 1
    given = (axes,) if is_one else tuple(axes) if is_several else (None,)
    if not all(map(is_whole, given)):
        raise TypeError(
            f'expected {name} to be a whole number or a tuple of them, got {axes!r:.200}.')
    return tuple(map(index, given))


def as_function(f: Any, name: str) -> Callable:
    """Return `f` itself if it is a function.

    Raises
    ------
    TypeError : `f` is not a function, or it is a network. The message says `name`.
    """
    if not callable(f) or hasattr(f, 'kernel_fn'):
        hint = ''
        if isinstance(f, tuple):
            hint = ' Of (init_fn, apply_fn, kernel_fn) give the one that is meant.'
        if isinstance(f, property):
            hint = ' It belongs to a class: call that, Dense(1).kernel_fn.'
        raise TypeError(
            f'expected {name} to be a function, got {type(f).__name__}: {f!r:.100}.{hint}')
    return f


def as_part(f: Any, part: str, name: str) -> Callable:
    """Return `f` or, if it is a network, its function `part` ('init_fn', 'apply_fn' or 'kernel_fn').

    Raises
    ------
    TypeError : `f` is not a function, or another function of a network. The message says `name`.
    """
    if isinstance(f, type) and hasattr(f, 'kernel_fn'):
        raise TypeError(
            f'expected {name} to be a function, got the class {f.__name__}. Call it: '
            f'{f.__name__}(...) is a layer, and can be given.')
    owner = getattr(f, '__self__', f)
    other = 'kernel_fn' if hasattr(owner, 'of_blocks') else f.__name__ if owner is not f else part
    if other != part and (hasattr(owner, 'of_blocks') or hasattr(owner, 'kernel_fn')):
        raise TypeError(f'expected {name} to be the {part} of a network, got its {other}.')
    return as_function(getattr(f, part, f), name)


def suggestion(name: Any, names: Iterable) -> str:
    """Return " Did you mean 'x'?" for the one of `names` most like an unknown `name`, or '' if none is similar."""
    if not isinstance(name, str):
        return ''
    known = {str(one).lower(): str(one) for one in names}
    found = get_close_matches(name.lower(), known, 1)
    return f' Did you mean {known[found[0]]!r}?' if found else ''


def requested(get: Any, known: Collection[str], order: str) -> tuple[str, ...]:
    """Return the names of kernels in `get`, in lower case; the tuple is empty for None, which means all.

    Raises
    ------
    TypeError  : something else than names; `order` is a sentence on what comes where.
    ValueError : a name that is not `known`, one given twice, or none at all.
    """
    names = () if get is None else tuple(get) if isinstance(get, (tuple, list)) else (get,)
    expected = f'expected get to be None, or one or more different names out of {list(known)}; got'
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f'{expected} {get!r:.100} of type {type(get).__name__}. {order}')
    names = tuple(name.lower() for name in names)
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names) or get is not None and not names:
        raise ValueError(f'{expected} {get!r:.200}.' + ''.join(suggestion(name, known) for name in unknown))
    return names


def unknown_name(module: str, instead: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__`: its AttributeError says what to use `instead`, or which name is similar."""
    def __getattr__(name):
        public = importlib.import_module(module).__all__
        hint = f' {instead[name]}' if name in instead else suggestion(name, public)
        raise AttributeError(f'module {module!r} has no {name!r}.{hint}', name=name)
    return __getattr__
