"""Run a Python adapter in any interpreter: read one request on each line, and write one answer on each line.

    python worker.py ADAPTER.py [ARGUMENT]

It needs Python 3.9 and numpy, but not ntref, so that the adapter can run in the environment of its library. What the
adapter prints goes to stderr. The protocol is described in docs/oracle.md#the-protocol.
"""
import importlib.util
import inspect
import json
import os
import platform
import sys
import traceback
import typing

import numpy

__all__ = ['answer', 'decoded', 'encoded', 'loaded', 'main', 'prepared']

NUMBERS = 'float', 'int', 'uint', 'bool'
SPECIAL = {'nan': float('nan'), 'inf': float('inf'), '-inf': -float('inf')}


# ------------------------------------------------------------------ arrays as JSON

def encoded(value: typing.Any) -> typing.Any:
    """Return arrays, also those in lists and dicts, as {'shape', 'dtype', 'data'}, with NaN and infinities as text.

    >>> encoded({'x1': numpy.array([[1., numpy.inf]])})
    {'x1': {'shape': [1, 2], 'dtype': 'float64', 'data': [1.0, 'inf']}}
    """
    if isinstance(value, dict):
        return {name: encoded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [encoded(part) for part in value]
    if isinstance(value, numpy.ndarray):
        data = value.ravel().tolist() if value.dtype.kind in 'biuf' else []
        return {'shape': list(value.shape), 'dtype': value.dtype.name, 'data': encoded(data)}
    if isinstance(value, float) and not abs(value) < float('inf'):
        return str(value)
    return value.item() if isinstance(value, numpy.generic) else value


def decoded(value: typing.Any) -> typing.Any:
    """Return the value that `encoded` took; for an array that is not of real numbers its dtype, as text.

    Raises
    ------
    ValueError : the data of an array are not numbers, or not as many as its shape says.
    """
    if isinstance(value, dict) and set(value) == {'shape', 'dtype', 'data'}:
        return _array(**value)
    if isinstance(value, dict):
        return {name: decoded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [decoded(part) for part in value]
    return SPECIAL.get(value.lower(), value) if isinstance(value, str) else value


def _array(shape, dtype, data):
    sizes = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not sizes or not isinstance(data, list) or not isinstance(dtype, str):
        raise ValueError('expected an array as {"shape": [whole numbers], "dtype": name, "data": [numbers]}, got shape '
                         '%.60r, dtype %.60r.' % (shape, dtype))
    if not any(dtype.startswith(kind) for kind in NUMBERS):
        return ascii(dtype[:60])[1:-1]
    size = 1
    for n in shape:
        size *= n
    if size != len(data):
        raise ValueError('expected %d numbers for shape %s, got %d.' % (size, shape, len(data)))
    try:
        return numpy.array(decoded(data), dtype).reshape(shape)
    except (TypeError, ValueError, OverflowError) as e:
        raise ValueError('expected %s as data of an array: %.200s' % (dtype, e)) from e


# ------------------------------------------------------------------ the adapter's functions

def loaded(path: str) -> typing.Any:
    """Load the adapter as a module, and call its `prepare()` if it has one."""
    spec: typing.Any = importlib.util.spec_from_file_location('adapter', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules['adapter'] = module
    spec.loader.exec_module(module)
    getattr(module, 'prepare', lambda: None)()
    return module


def answer(module: typing.Any, request: dict) -> dict:
    """Return the answer to a request, without its id: {'result': ...}, {'unsupported': why} or {'error': text}."""
    try:
        return {'result': encoded(_called(module, request))}
    except NotImplementedError as e:
        return {'unsupported': str(e) or 'NotImplementedError'}
    except Exception as e:
        place = traceback.extract_tb(e.__traceback__)[-1]
        file = os.path.basename(place.filename)
        return {'error': '%s: %s (%s, line %s)' % (type(e).__name__, e, file, place.lineno)}


def _called(module, request):
    call = request['call']
    if call == 'about':
        versions = {'Python': platform.python_version(), 'NumPy': numpy.__version__}
        return dict(versions, **getattr(module, 'about', dict)())
    if not hasattr(module, call):
        raise NotImplementedError('the adapter has no function ' + call)
    inputs = decoded(request['inputs'])
    result = prepared(getattr(module, call), call, request['spec'], inputs, request['options'])()
    if not isinstance(result, dict):
        names = request['options'].get('get', [])
        if len(names) != 1:
            got = type(result).__name__
            raise TypeError('expected a dict of arrays from %s, got %s' % (call, got))
        result = {names[0]: result}
    return {name: None if a is None else numpy.asarray(a) for name, a in result.items()}


def prepared(f: typing.Any, call: str, spec: typing.Any, inputs: dict, options: dict) -> typing.Any:
    """Return a call of f with the arguments of a case; raise NotImplementedError if f does not accept them."""
    if call == 'predict':
        given = [options['function'], inputs, {k: v for k, v in options.items() if k != 'function'}]
        keywords = {}
    else:
        network = [spec, inputs.pop('params')] if call == 'empirical' else [spec]
        given = network + [inputs.pop('x1'), inputs.pop('x2', None), list(options['get'])]
        keywords = dict(inputs, **{k: v for k, v in options.items() if k != 'get'})
    try:
        inspect.signature(f).bind(*given, **keywords)
    except TypeError as e:
        raise NotImplementedError('%s: %s' % (call, e)) from None
    return lambda: f(*given, **keywords)


# ------------------------------------------------------------------ the process

def main(path: str, *arguments: str) -> int:
    """Answer each line of stdin, and return the exit status."""
    with os.fdopen(os.dup(1), 'w', encoding='utf-8') as out:
        os.dup2(2, 1)                             # what the adapter prints, also from compiled code
        sys.argv = [path] + list(arguments)
        sys.path[0] = os.path.dirname(os.path.abspath(path))
        module = loaded(path)
        for line in sys.stdin.buffer:
            request = json.loads(line.decode('utf-8'))
            text = json.dumps(dict(id=request['id'], **answer(module, request)), allow_nan=False)
            out.write(text + '\n')
            out.flush()
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
