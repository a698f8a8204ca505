"""The arrays of a store in chunks: each is written under another name and renamed, and exists whole or not at all.

A chunk ends in a checksum of its bytes, its place and its store, which other readers of Zarr skip.
"""
import hashlib
import json
from importlib import import_module
from math import prod
from typing import Any, TypeAlias

import numpy

from .places import DESCRIBED, Directory

__all__ = ['About', 'arrays_of', 'zarr']

About: TypeAlias = dict[str, Any]        # attributes of a group, as JSON has them

HASH = 32          # bytes of a checksum
# starts a frame of that many bytes, which Zstandard skips
SKIPPED = (0x184d2a50).to_bytes(4, 'little') + HASH.to_bytes(4, 'little')
LENGTH = len(SKIPPED) + HASH


def zarr() -> Any:
    """Return the module zarr.

    Raises
    ------
    ImportError : zarr is not installed.
    """
    try:
        return import_module('zarr')
    except ImportError:
        raise ImportError('expected zarr for kernels on disk, got none. In a checkout of ntref: '
                          "pip install '.[dask]'") from None


class _Array:
    """An array that is cut into chunks along its first two axes; their checksums include their place."""

    def __init__(self, where, name, described, checksum):
        self._where = where
        self._name = name
        self._document = described['document']
        self._checksum = checksum
        self.shape = tuple(self._document['shape'])
        self.chunks = tuple(self._document['chunk_grid']['configuration']['chunk_shape'])
        self.dtype = numpy.dtype(described['dtype'])
        self.ndim = len(self.shape)
        self._zstd = import_module('numcodecs').Zstd(level=1, checksum=True)

    def mend(self):
        """Write the Zarr metadata of the array again, if they are damaged."""
        key = f'{self._name}/{DESCRIBED}'
        text = json.dumps(self._document)
        try:
            is_right = json.loads(self._where.read(key) or 'null') == self._document
        except (ValueError, RecursionError):
            is_right = False
        if not is_right:
            self._where.write(key, text.encode())

    def _key(self, tile):
        place = [str(int(i)) for i in tile] + ['0'] * (self.ndim - len(tile))
        return '/'.join([self._name, 'c', *place])

    def _end(self, key, content):
        of = hashlib.sha256(f'{self._checksum}/{key}\n'.encode())
        of.update(content)
        return SKIPPED + of.digest()

    def _extent(self, tile):
        """Return the part of a chunk that lies within the array, as slices."""
        starts = [int(i) * n for i, n in zip(tile, self.chunks)] + [0] * (self.ndim - len(tile))
        return tuple(slice(min(n, size - start))
                     for n, size, start in zip(self.chunks, self.shape, starts))

    def write(self, tile, block):
        key = self._key(tile)
        whole = numpy.zeros(self.chunks, self.dtype.newbyteorder('<'))
        whole[self._extent(tile)] = block
        content = self._zstd.encode(whole)
        self._where.write(key, content + self._end(key, content))

    def block(self, tile):
        """Return the chunk (i, j), or None if it is not in the store.

        Raises
        ------
        ValueError : the chunk is damaged, or belongs to another place.
        """
        key = self._key(tile)
        found = self._where.read(key)
        if found is None:
            return None
        content = memoryview(found)[:-LENGTH]
        if found[-LENGTH:] != self._end(key, content):
            raise ValueError(f'expected {key} in {self._where.shown} as it was written, got one '
                             'whose checksum differs: damaged, or moved from another place. Call '
                             '`batch` again, with this path.')
        flat = numpy.frombuffer(self._zstd.decode(content), self.dtype.newbyteorder('<'))
        return flat.reshape(self.chunks)[self._extent(tile)].astype(self.dtype)

    def whole(self):
        """Return the whole array, if it has no axes along which it is cut."""
        if not prod(self.shape):
            return numpy.empty(self.shape, self.dtype)
        return self.block((0,) * self.ndim)


class _Former:
    """An array of format 1, with the methods of `_Array` for reading."""

    def __init__(self, where, array):
        self._where = where
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.chunks = array.chunks

    def block(self, tile):
        place = (*map(int, tile), *[0] * (self.ndim - len(tile)))
        key = self._array.metadata.encode_chunk_key(place)
        is_there = self._where.read(f'{self._array.path}/{key}') is not None
        return self._array.blocks[tile] if is_there else None

    def whole(self):
        return self._array[...]


def arrays_of(where: Directory, about: About) -> dict[str, Any]:
    """Return {name: array} of a store with these attributes."""
    if about['format'] == 1:
        group = zarr().open_group(where.root, mode='r')
        return {name: _Former(where, group[name]) for name in about['names']}
    return {name: _Array(where, name, about['arrays'][name], about['checksum'])
            for name in about.get('names', ())}
