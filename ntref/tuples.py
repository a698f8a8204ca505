"""Named tuples of results, which can be pickled although their classes are made while the program runs."""
from collections import namedtuple
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ['named_tuple']


def named_tuple(name: str, values: Mapping[str, Any]) -> Any:
    """Return a named tuple of `values`; its class is made once for each name and fields.

    >>> import pickle
    >>> k = named_tuple('Kernels', {'nngp': 1., 'ntk': 2.})
    >>> k, pickle.loads(pickle.dumps(k)) == k
    (Kernels(nngp=1.0, ntk=2.0), True)
    """
    return _again(name, tuple(values), values.values())


def _again(name: str, fields: tuple[str, ...], values: Iterable) -> Any:
    return _class(name, fields)(*values)


@lru_cache(256)
def _class(name, fields):
    """Return the class, whose instances are pickled as name, fields and values: pickle does not find it by name."""
    made: Any = namedtuple(name, fields)
    made.__reduce__ = lambda k: (_again, (name, fields, tuple(k)))
    return made
