"""Errors that say which layer they concern, and its place in the network."""
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


class located:
    """Context that makes errors inside say that they concern `layer`, at `index` of the network around it."""

    def __init__(self, layer: Any, index: int | None = None):
        self.layer = layer
        self.index = index

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        path = () if self.index is None else (self.index,)
        if isinstance(error, LayerError):
            error.path = (*path, *error.path)
        elif isinstance(error, ValueError):
            new = LayerError(str(error), self.layer)
            new.path = path
            raise new from error
