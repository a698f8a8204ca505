"""Layers as text: the expression that builds one, and plain JSON. `ntref.stax.spec` reads the JSON."""
import sys
import typing
from dataclasses import MISSING, fields
from types import SimpleNamespace
from typing import Any, ClassVar, Self

from ..arguments import as_typed
from .located import located

__all__ = ['Written', 'as_text']


class Written:
    """Base of layers as text and JSON: frozen dataclasses whose fields are their arguments.

    Attributes
    ----------
    name : str          the name in `repr` and `to_spec`.
    registry : dict     name -> class, of all layers that there are.
    """
    name: ClassVar[str] = ''
    _types: ClassVar[dict[str, Any]]
    __dataclass_fields__: ClassVar[dict[str, Any]]
    registry: ClassVar[dict[str, type['Written']]] = {}

    def __init_subclass__(cls, abstract=False):
        cls.name = cls.__dict__.get('name') or cls.__name__
        taken = Written.registry.get(cls.name)
        if not abstract and not (taken and taken.is_ours() and not cls.is_ours()):
            Written.registry[cls.name] = cls

    def __post_init__(self):
        for argument, hint in self.types().items():
            value = as_typed(getattr(self, argument), hint, f'{self.name}: {argument}')
            object.__setattr__(self, argument, value)

    @classmethod
    def is_ours(cls) -> bool:
        """True if the layer belongs to this library, whose names are not given to other layers."""
        return cls.__module__.startswith('ntref.')

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Return {argument: default, or MISSING}."""
        return {f.name: f.default for f in fields(cls)}

    @classmethod
    def types(cls) -> dict[str, Any]:
        """Return {argument: type}, also if annotations are text, as under `from __future__ import annotations`."""
        if '_types' not in vars(cls):
            cls._types = {f.name: _resolved(cls, f) for f in fields(cls)}
        return cls._types

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Return the layer with the arguments in the dict `given`."""
        return cls(**given)

    def arguments(self) -> dict[str, Any]:
        """Return {argument: value} for values that differ from the default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f.name: values[f.name] for f in fields(self)
                if f.default is MISSING or hasattr(values[f.name], 'shape') or values[f.name] != f.default}

    def __repr__(self):
        given = self.arguments()
        parts = []
        positional = True
        for f in fields(self):
            positional = positional and f.name in given and not f.kw_only
            if f.name in given:
                text = as_text(given[f.name])
                parts.append(text if positional else f'{f.name}={text}')
        return f'{self.name}({", ".join(parts)})'

    def to_spec(self) -> dict[str, Any]:
        """Return the layer as plain JSON: {'layer': name, argument: value, ...}, without defaults.

        Raises
        ------
        ValueError : an argument that JSON cannot hold (a Python function, a traced number); a user-defined layer that
            has the name of another one.

        Examples
        --------
        >>> from ntref import stax
        >>> stax.Dense(512, 1.5, 0.1).to_spec()
        {'layer': 'Dense', 'out_dim': 512, 'W_std': 1.5, 'b_std': 0.1}
        """
        with located(self):
            if Written.registry.get(self.name) is not type(self):
                raise ValueError(f'expected a name of its own to write it as JSON, got {self.name}, which is that of '
                                 'another layer too. Rename it.')
            return {'layer': self.name} | {name: _to_json(name, value) for name, value in self.arguments().items()}


def _resolved(cls, field):
    """Return the type of a field, evaluated if its annotation is text; return the text if a name in it is unknown."""
    origin = next(base for base in cls.__mro__ if field.name in vars(base).get('__annotations__', ()))
    known = vars(typing) | vars(sys.modules.get(origin.__module__, typing))
    annotated = SimpleNamespace(__annotations__={field.name: field.type})
    try:
        return typing.get_type_hints(annotated, known)[field.name]
    except (AttributeError, NameError, SyntaxError, TypeError):
        return field.type


def as_text(value: Any) -> str:
    """Return an argument as `repr` of a layer writes it: functions by their names."""
    return value.__name__ if callable(value) and hasattr(value, '__name__') else repr(value)


def _to_json(name, value):
    if isinstance(value, Written):
        return value.to_spec()
    if isinstance(value, (tuple, list)):
        return [_to_json(name, v) for v in value]
    if isinstance(value, slice):
        return {'slice': [value.start, value.stop, value.step]}
    if value is Ellipsis:
        return {'slice': '...'}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f'expected {name} to be a number, text or layer to write it as JSON, got {value!r:.100}.')
