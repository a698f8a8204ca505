"""Results of kernel functions, taken apart into arrays, and arguments of calls as text that tells calls apart."""
import hashlib
import json
import re
from typing import Any

import numpy

from ..no_arrays import check_entries, check_unfollowed
from ..once import without_memory
from ..tuples import named_tuple
from .device import to_host

__all__ = ['apart', 'digest', 'on_host', 'together', 'told']


def on_host(a: Any) -> numpy.ndarray:
    """Return an array as a NumPy array.

    Raises
    ------
    TypeError : an array of Python objects, or one that autograd follows.
    """
    check_entries(a, 'a kernel')
    check_unfollowed(a, 'a kernel')
    found = numpy.asarray(to_host(a))
    if found.dtype.hasobject:
        raise TypeError(f'expected an array of numbers, got {type(a).__name__} of Python objects.')
    return found


def apart(kernel: Any) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """Return (form, {name: array}) of an array, or of nested named tuples, dicts, lists and tuples of arrays.

    Names are those in named tuples and dicts, and numbers of outputs: 'ntk', 'output_1', 'output_1_ntk'. The name of
    an array alone is 'kernel'.

    Raises
    ------
    TypeError : the kernel is something else.
    """
    form: dict[str, Any] = {'form': 'array'}
    parts = None
    if hasattr(kernel, '_fields'):
        form = {'form': 'tuple', 'type': type(kernel).__name__}
        parts = kernel._asdict()
    elif isinstance(kernel, dict):
        form = {'form': 'dict'}
        parts = kernel
    elif isinstance(kernel, (list, tuple)):
        form = {'form': type(kernel).__name__ + ' of outputs'}
        parts = {f'output_{i}': k for i, k in enumerate(kernel)}
    if parts is None and hasattr(kernel, 'shape'):
        return form, {'kernel': on_host(kernel)}
    if not parts or not all(map(_is_part, parts.values())):
        raise TypeError('expected an array, a named tuple, a dict or a list of arrays, got '
                        f"{type(kernel).__name__}. Of a network ask for arrays: get='ntk' or "
                        "get=('nngp', 'ntk').")
    form['parts'] = {}
    arrays = {}
    for name, part in parts.items():
        form['parts'][name], inner = apart(part)
        is_array = form['parts'][name]['form'] == 'array'
        for below, a in inner.items():
            arrays[name if is_array else f'{name}_{below}'] = a
    return form, arrays


def _is_part(k):
    """True for an array, and for what may have arrays in it."""
    return hasattr(k, 'shape') or isinstance(k, (dict, list, tuple))


def together(form: dict[str, Any], values: dict[str, Any]) -> Any:
    """Return the kernel that `apart` took apart; forms in older stores have no `parts` of arrays."""
    left = iter(values.items())

    def whole(form):
        container = form['form']
        if container == 'array':
            return next(left)[1]
        if 'parts' in form:
            parts = {name: whole(of) for name, of in form['parts'].items()}
        else:
            parts = dict(left)
        if container == 'tuple':
            return named_tuple(form['type'], parts)
        if container == 'dict':
            return parts
        return list(parts.values()) if container.startswith('list') else tuple(parts.values())
    return whole(form)


def digest(x: Any) -> str | list | None:
    """Return the SHA-256 of shape, dtype and numbers of an array; a list of them for a list; None for None."""
    if x is None:
        return None
    if isinstance(x, (list, tuple)):
        return [digest(a) for a in x]
    a = on_host(x)
    return hashlib.sha256(repr((a.shape, a.dtype.str)).encode() + a.tobytes()).hexdigest()


def told(value: Any, within: tuple = ()) -> str:
    """Return a text that identifies a value in any process; for functions it has code, defaults and enclosed values.

    >>> told(len), told([1, {'get': 'ntk'}])
    ('<built-in function len>', "[1, {'get': 'ntk'}]")
    """
    if any(value is outer for outer in within):
        return '...'

    def tell(*parts):
        return ', '.join(told(part, (*within, value)) for part in parts)
    if isinstance(value, (list, tuple)):
        return f'[{tell(*value)}]'
    if isinstance(value, dict):
        items = sorted(f'{key!r}: {tell(v)}' for key, v in value.items())
        return f'{{{", ".join(items)}}}'
    if hasattr(value, 'shape'):
        return str(digest(value))
    if hasattr(value, 'to_spec') and not isinstance(value, type):
        try:
            return json.dumps(value.to_spec())
        except ValueError:                                             # it holds a function
            return f'{type(value).__qualname__}({tell(without_memory(value))})'
    if hasattr(value, '__func__'):
        return tell(value.__self__, value.__func__)
    if hasattr(value, 'func') and hasattr(value, 'keywords'):          # functools.partial
        return f'partial({tell(value.func, value.args, value.keywords)})'
    if hasattr(value, '__code__'):
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
        given = tell(value.__defaults__, value.__kwdefaults__, enclosed)
        return f'{value.__qualname__}({_code(value.__code__)}, {given})'
    is_bare = type(value).__repr__ is object.__repr__ and hasattr(value, '__dict__')
    if is_bare or hasattr(value, 'of_blocks'):                         # that of a network names its functions alone
        shown, state = object.__repr__(value), tell(vars(value))
    else:
        shown, state = repr(value), ''
    return re.sub(' at 0x[0-9a-fA-F]+', '', shown) + state


def _code(code):
    """Return a digest of what a function does, with the functions inside of it."""
    inner = [_constant(c) for c in code.co_consts]
    return hashlib.sha256(code.co_code + f'{code.co_names}{inner}'.encode()).hexdigest()[:16]


def _constant(c):
    """Return a constant of a function's code as something with the same text in every process."""
    if hasattr(c, 'co_code'):
        return _code(c)
    return sorted(map(repr, c)) if isinstance(c, frozenset) else c
