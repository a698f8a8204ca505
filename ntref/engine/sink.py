"""Where tiles go: memory (`batch._Memory`) or a store on disk (`store._Store`)."""
from typing import Any, Protocol, TypeAlias

import numpy

__all__ = ['Entries', 'Sink', 'Tile']

Tile: TypeAlias = tuple[int, int]           # its place, in tiles from the corner
Entry: TypeAlias = tuple[numpy.dtype, tuple[int, ...]]          # its dtype and its shape
Entries: TypeAlias = dict[str, Entry]       # those of each kernel, by name


class Sink(Protocol):
    """A receiver of the tiles of one call of `batch`."""

    side: int
    """Inputs on either side of a tile."""

    path: Any
    """What another process passes to `store.put` to write a tile; None: it returns the tile."""

    entries: Entries | None
    """What the entries of each kernel are; None before `create`."""

    form: Any
    """The form of the result, as `forms.apart` gives it; known after `create`."""

    symmetric: bool
    """Whether tiles below the diagonal are mirror images of those above it; known after `create`."""

    def create(self, shape: tuple[int, int], form: Any, kernels: dict[str, numpy.ndarray],
               symmetric: bool) -> None:
        """Make room for kernels of `shape` inputs whose entries are like those of the first tile, `kernels`."""

    def has(self, tile: Tile) -> bool:
        """True if the tile need not be computed again."""

    def write(self, tile: Tile, kernels: dict[str, numpy.ndarray]) -> None:
        """Keep a tile of each kernel, {name: array}."""

    def kernels(self) -> dict[str, Any]:
        """Return {name: the whole kernel}, once all tiles were written."""
