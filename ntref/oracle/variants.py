"""Networks with other layers in place of some of theirs."""
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from ..stax import Layer

__all__ = ['changed', 'variant']


def changed(part: Any, f: Callable[[Any], Any]) -> Any:
    """Return a network with f applied to its layers and to their arguments, to those inside first."""
    if isinstance(part, tuple):
        parts = tuple(changed(one, f) for one in part)
        return parts if any(new is not old for new, old in zip(parts, part)) else part
    changes = {}
    for field in fields(part) if isinstance(part, Layer) else ():
        value = getattr(part, field.name)
        new = changed(value, f)
        if new is not value:
            changes[field.name] = new
    return f(replace(part, **changes) if changes else part)


def variant(layer: Layer, **members: Any) -> Any:
    """Return a layer like `layer` of a class of its own, in which `members` are others; its name stays."""
    cls = type(layer)
    members = {'name': cls.name, '__module__': cls.__module__} | members
    new: Any = object.__new__(type(cls.__name__, (cls,), members, abstract=True))
    new.__dict__.update(layer.__dict__)
    return new
