"""The numbers of a network that autograd follows: deviations of weights, parameters of activations."""
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from operator import is_
from typing import Any

from ..derivatives import is_traced

__all__ = ['followed', 'with_numbers']


def followed(value: Any) -> list[Any]:
    """Return the numbers in a network, or in a field of a layer, that autograd follows, in order."""
    if is_traced(value):
        return [value]
    parts: Iterable = value if isinstance(value, tuple) else ()
    if is_dataclass(value):
        parts = (getattr(value, field.name) for field in fields(value))
    return [number for part in parts for number in followed(part)]


def with_numbers(value: Any, numbers: Iterable) -> Any:
    """Return the network with these numbers, one for each that `followed` finds, in their places."""
    numbers = tuple(numbers)
    return _replaced(value, iter(numbers)) if numbers else value


def _replaced(value: Any, numbers: Iterator) -> Any:
    if is_traced(value):
        return next(numbers)
    if isinstance(value, tuple):
        parts = tuple(_replaced(part, numbers) for part in value)
        return value if all(map(is_, parts, value)) else parts
    if not is_dataclass(value) or isinstance(value, type):
        return value
    old = {field.name: getattr(value, field.name) for field in fields(value)}
    new = {name: _replaced(part, numbers) for name, part in old.items()}
    changed = {name: part for name, part in new.items() if part is not old[name]}
    return replace(value, **changed) if changed else value
