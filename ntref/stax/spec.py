"""Networks read from JSON: {'layer': name, argument: value, ...}, alone or as {'ntref': 1, 'network': {...}}.

Nothing is evaluated: names are looked up, numbers are numbers. `Layer.to_spec` writes them; `network.schema.json`
describes them to other programs, see `ntref.stax.schema`.
"""
from dataclasses import MISSING
from numbers import Real
from typing import get_args

from ..arguments import is_whole, suggestion
from .layer import Layer

__all__ = ['VERSION', 'from_spec']

VERSION = 1
DEPTH = 200             # how deep layers and lists may be nested
LAYERS = 10_000         # how many layers there may be; those of a `repeat` count each time
MOST = {
    'num': 1000,
    'degree': 100,
    **dict.fromkeys(('filter_shape', 'window_shape', 'strides'), 10_000),
    **dict.fromkeys(('out_dim', 'out_chan', 'n_chan_out', 'n_chan_key', 'n_chan_val'), 10 ** 6),
    **dict.fromkeys(('n_heads', 'n_chan_pos_emb'), 10 ** 6),
}
"""Argument -> the largest whole number: a line of text shall not take all time or memory."""
TOO_DEEP = f'expected at most {DEPTH} layers and lists in one another.'
FITS = {
    float: ('a number', lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    int: ('a whole number', is_whole),
    bool: ('true or false', lambda value: isinstance(value, bool)),
    str: ('text', lambda value: isinstance(value, str)),
    tuple: ('a list', lambda value: isinstance(value, tuple)),
    Layer: ('a layer', lambda value: isinstance(value, Layer)),
    type(None): ('null', lambda value: value is None),
}
"""Type of an argument -> in words, and does a value fit? Others (of Python's functions, of anything) are not here."""


def from_spec(spec: dict) -> Layer:
    """Return the layer or network that `to_spec` wrote. Nothing is evaluated: names are looked up, numbers are numbers.

    Parameters
    ----------
    spec : dict         {'layer': name, argument: value, ...}, or {'ntref': 1, 'network': {...}}, as JSON is loaded.

    Returns
    -------
    Layer

    Raises
    ------
    ValueError : another form, another version, an unknown layer or argument, a value that does not fit, more layers or
        larger numbers than docs/oracle.md#networks-as-json allows. The message names the place, such as
        layers[2].layers[0].

    Examples
    --------
    >>> from ntref import stax
    >>> stax.from_spec({'layer': 'serial', 'layers': [{'layer': 'Dense', 'out_dim': 8}, {'layer': 'Relu'}]})
    serial(Dense(8), Relu())
    >>> stax.from_spec({'layer': 'serial', 'layers': [{'layer': 'Dense', 'out_dim': 8}, {'layer': 'Relu6', 'cut': 6}]})
    Traceback (most recent call last):
    ValueError: layers[1]: Relu6: expected arguments out of [], got ['cut'].
    """
    if not isinstance(spec, dict) or 'ntref' not in spec:
        return _network(spec, '')
    version = spec['ntref']
    if not (is_whole(version) and version == VERSION) or set(spec) != {'ntref', 'network'}:
        raise ValueError(
            f"expected a network {{'ntref': {VERSION}, 'network': {{'layer': name, ...}}}}, got "
            f"{_text(spec)}. Other versions are read by other versions of ntref.")
    return _network(spec['network'], 'network')


def _network(spec, place):
    _count(spec, place, DEPTH)
    return _layer(spec, place, DEPTH)


def _count(spec, place, depth):
    """Return the number of layers in `spec`; raise ValueError if there are too many."""
    if not depth or not isinstance(spec, (dict, list, tuple)):
        return 0                                       # too deep: refused later, with its place
    if isinstance(spec, dict):
        children = [(_inside(place, key), value) for key, value in spec.items()]
    else:
        children = [(f'{place}[{i}]', value) for i, value in enumerate(spec)]
    n = sum(_count(value, inside, depth - 1) for inside, value in children)
    if isinstance(spec, dict):
        is_repeat = spec.get('layer') == 'repeat' and is_whole(spec.get('n'))
        n = 1 + n * (spec['n'] if is_repeat else 1)
    if n > LAYERS:
        raise _misfit(place, f'expected at most {LAYERS} layers in all, got {n}.')
    return n


def _inside(place, key):
    """Return the place of the value of `key` in a dict at `place`."""
    return f'{place}.{key}' if place else f'{key}'


def _layer(spec, place, depth):
    if not isinstance(spec, dict) or 'layer' not in spec:
        raise _misfit(place, f"expected a layer {{'layer': name, ...}}, got {_text(spec)}.")
    if not depth:
        raise _misfit(place, TOO_DEEP)
    name = spec['layer']
    if not isinstance(name, str) or name not in Layer.registry:
        known_layers = ', '.join(sorted(Layer.registry))
        raise _misfit(place, f'expected a layer out of {known_layers}; got {_text(name)}.'
                             f'{suggestion(name, Layer.registry)}')
    given = {}
    for key, value in spec.items():
        if key != 'layer':
            given[key] = _value(value, _inside(place, key), depth - 1)
    cls = Layer.registry[name]
    known = cls.parameters()
    required = (argument for argument, default in known.items() if default is MISSING)
    missing = [argument for argument in required if argument not in given]
    if not set(given) <= set(known) or missing:
        got = sorted(map(str, given))
        also = f'; missing {missing}' if missing else ''
        raise _misfit(place, f'{name}: expected arguments out of {list(known)}, got {got}{also}.')
    if cls.is_ours():
        for key, value in given.items():
            _check_size(name, key, value, place)
    types = cls.types()
    for key, value in given.items():
        _check_type(name, key, value, types.get(key), place)
    try:
        return cls.of(given)
    except Exception as e:                              # raised for arguments that do not go together
        text = str(e)
        raise _misfit(place, text if text.startswith(name) else f'{name}: {type(e).__name__}: {e}') from e


def _value(value, place, depth):
    if isinstance(value, dict) and set(value) == {'slice'}:
        return _slice(value, place)
    if isinstance(value, dict):
        return _layer(value, place, depth)
    if isinstance(value, (list, tuple)):
        if not depth:
            raise _misfit(place, TOO_DEEP)
        return tuple(_value(v, f'{place}[{i}]', depth - 1) for i, v in enumerate(value))
    return value


def _slice(value, place):
    parts = value['slice']
    if parts == '...':
        return Ellipsis
    is_triple = isinstance(parts, (list, tuple)) and len(parts) == 3
    if not is_triple or not all(n is None or is_whole(n) for n in parts):
        raise _misfit(
            place, "expected {'slice': [start, stop, step]}, whole numbers or null, or {'slice': '...'}, "
            f"got {_text(value)}.")
    return slice(*parts)


def _check_type(name, key, value, expected, place):
    """Raise ValueError if a value is not of the type of its argument."""
    types = get_args(expected) or (expected,)
    if all(t in FITS for t in types) and not any(FITS[t][1](value) for t in types):
        words = ' or '.join(FITS[t][0] for t in types)
        raise _misfit(place, f'{name}: expected {key} to be {words}, got {_text(value)}.')


def _check_size(name, key, value, place):
    """Raise ValueError if a whole number is larger than `MOST` allows for its argument."""
    for n in value if isinstance(value, tuple) else (value,):
        if key in MOST and is_whole(n) and n > MOST[key]:
            raise _misfit(place, f'{name}: expected {key} of at most {MOST[key]}, got {_text(n)}.')


def _text(value):
    """Return the value as Python shows it, shortened."""
    try:
        return f'{value!r:.200}'
    except (RecursionError, ValueError):               # ValueError: a whole number with thousands of digits
        return f'{type(value).__name__} that is too long to be shown'


def _misfit(place, text):
    return ValueError(f'{place}: {text}' if place else text)
