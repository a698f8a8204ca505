"""Errors that say which layer they concern, and its place in the network."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ['LayerError', 'located']


class LayerError(ValueError):
    """The error in a layer or its input, with the layer and its place in the network (indices of `serial`s)."""

    def __init__(self, message: str, layer: Any):
        super().__init__(message)
        self.layer = layer
        self.path: tuple[int, ...] = ()

    def __str__(self):
        place = f'layer {".".join(map(str, self.path))}, ' if self.path else ''
        return f'{place}{self.layer!r:.500}: {self.args[0]}'


@contextmanager
def located(layer: Any, index: int | None = None) -> Iterator[None]:
    """Make errors inside say that they concern `layer`, at `index` of the network around it."""
    try:
        yield
    except LayerError as e:
        e.path = e.path if index is None else (index, *e.path)
        raise
    except ValueError as e:
        error = LayerError(str(e), layer)
        error.path = error.path if index is None else (index,)
        raise error from e
