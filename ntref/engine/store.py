"""Kernels on disk: a Zarr group with an array for each kind of kernel and a chunk for each tile.

A chunk is written under another name and renamed, so that it exists whole or not at all. It ends in a checksum of its
bytes, its place and its store, which other readers of Zarr skip. The attributes of the group are the manifest: what
the kernels are of, which arrays there are, and a checksum. One process at a time may write. Nothing is ever unpickled.
"""
import errno
import hashlib
import json
import sys
from contextlib import contextmanager
from importlib import import_module
from math import prod
from os.path import commonprefix
from pathlib import Path
from typing import NamedTuple

import numpy

from .places import DESCRIBED, masked, place

__all__ = [
    'FORMAT', 'StoredKernel', 'arrays_of', 'check_format', 'created', 'opened', 'put', 'sealed', 'stored', 'zarr']

FORMAT = 2                     # 1 has no checksums of places and of the manifest: it is read, but not continued
SKIPPED = (0x184d2a50).to_bytes(4, 'little') + (32).to_bytes(4, 'little')      # starts a frame that Zstandard skips
LENGTH = len(SKIPPED) + 32


def zarr():
    """Return the module zarr.

    Raises
    ------
    ImportError : zarr is not installed.
    """
    try:
        return import_module('zarr')
    except ImportError:
        raise ImportError("expected zarr for kernels on disk, got none. In a checkout of ntref: pip install '.[dask]'"
                          ) from None


# ------------------------------------------------------------------ the manifest

def sealed(about):
    """Return attributes, as they come back from JSON, with their checksum."""
    about = json.loads(json.dumps({name: value for name, value in about.items() if name != 'checksum'}))
    return about | {'checksum': hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}


def check_format(about):
    """Raise ValueError unless the format is one that this version reads."""
    if about.get('format') not in (1, FORMAT):
        raise ValueError(f'expected format 1 or {FORMAT}, got {about.get("format")!r}: not a store of kernels, or of a '
                         'later ntref.')


def _about(where):
    """Return the attributes of a store, as they were written, or None if there is no group.

    Raises
    ------
    ValueError : the attributes are damaged or were changed, or something else is there.
    """
    text = where.read(DESCRIBED)
    if text is None:
        return None
    try:
        described = json.loads(text)
        about = described.get('attributes', {})
        is_group = (described.get('node_type'), described.get('zarr_format'), type(about)) == ('group', 3, dict)
    except (ValueError, AttributeError, RecursionError):
        is_group = False
    if not is_group:
        raise ValueError(f'expected a store of kernels, got {where.shown} with a {DESCRIBED} that describes no Zarr '
                         'group, or is damaged. Nothing was changed. Take another path, or delete it.')
    is_sealed = about.get('format') == FORMAT or 'checksum' in about
    if is_sealed and about.get('checksum') != sealed(about)['checksum']:
        raise ValueError(f'expected the store {where.shown} as it was written, got a {DESCRIBED} that is damaged or '
                         'was changed: its checksum differs. Nothing was changed now. Take another path, or delete '
                         'it.')
    return about


# ------------------------------------------------------------------ writing

@contextmanager
def opened(path, manifest):
    """Open the store at a path for writing, and create it if there is none.

    Raises
    ------
    ValueError      : the store is of another call (the message says what differs), or is damaged.
    BlockingIOError : another process writes into the store.
    OSError         : the store cannot be written, or other files are there.
    """
    zarr()
    where = place(path)
    version = sys.modules[__name__.partition('.')[0]].__version__
    manifest = json.loads(json.dumps(manifest | {'format': FORMAT, 'ntref': version}))
    _found(where, manifest)                                # before anything is touched
    with where.held():
        yield _Store(where, manifest)


def _found(where, manifest):
    """Return the attributes of the store at a place, or None if nothing is there.

    Raises
    ------
    ValueError : the store is of another call, or is damaged.
    OSError    : other files are there.
    """
    with where.writing():
        found = _about(where)
        if found is None:
            if others := where.others():
                raise OSError(errno.ENOTEMPTY, f'other files there, such as {others[0]}')
            return None
    if wrong := {key: found.get(key) for key in manifest if found.get(key) != manifest[key]}:
        parts = (f'{key} ({_excerpt(there, manifest[key])} there, {_excerpt(manifest[key], there)} here)'
                 for key, there in wrong.items())
        raise ValueError(f'expected the store {where.shown} to be of the same call, got one that differs in '
                         f'{", ".join(parts)}. Take another path, or delete it.')
    return found


class Address(NamedTuple):
    """Address of a store for other processes: its path, and the checksum of its manifest."""

    path: str | Path
    checksum: str

    def __repr__(self):
        return f'Address({masked(self.path)})'


class _Store:
    def __init__(self, where, manifest):
        self.where, self.side = where, manifest['batch_size']
        about = _found(where, manifest)
        where.tidy((about or {}).get('names', ()))
        with where.writing():
            if about is None:
                about = sealed(manifest)
                zarr().create_group(where.root, attributes=about)
            self._open(about)
            for a in self.arrays.values():
                a.mend()

    def _open(self, about):
        self.about = about
        self.arrays = arrays_of(self.where, about)
        self.path = Address(self.where.root, about['checksum'])
        self.form = about.get('form')
        self.symmetric = about.get('symmetric')
        self.entries = {name: (a.dtype, a.shape[2:]) for name, a in self.arrays.items()} or None     # before `create`

    def has(self, tile):
        """True if the tile (i, j) is in the store, with a right checksum."""
        try:
            return all(a.block(tile) is not None for a in self.arrays.values())
        except ValueError:                                 # the checksum
            return False

    def create(self, shape, form, kernels, symmetric):
        """Create the arrays for kernels like those of the first tile, {name: kernel of a tile}."""
        about = self.about | {'form': form, 'symmetric': symmetric}
        sides = [max(1, n) for n in numpy.minimum(shape, self.side).tolist()]
        with self.where.writing():
            self._open(created(self.where, about, {
                name: ((*shape, *k.shape[2:]), [*sides, *k.shape[2:]], k.dtype) for name, k in kernels.items()}))

    def write(self, tile, kernels):
        _put(self.where, self.arrays, tile, kernels)

    def kernels(self):
        return stored(self.where.root)[1]


def created(where, about, arrays):
    """Create arrays {name: (shape, chunks, dtype)} in a group; return its attributes, which describe them."""
    group = zarr().open_group(where.root, mode='a')
    described = {}
    for name, (shape, chunks, dtype) in arrays.items():
        where.own(f'{name}/{DESCRIBED}')
        group.create_array(name, shape=shape, chunks=[max(1, n) for n in chunks], dtype=dtype.newbyteorder('<'),
                           fill_value=float('nan') if numpy.issubdtype(dtype, numpy.inexact) else 0, filters=None,
                           compressors=[zarr().codecs.ZstdCodec(level=1, checksum=True)], overwrite=True)
        document = json.loads(where.read(f'{name}/{DESCRIBED}'))
        described[name] = {'dtype': dtype.str, 'document': document}
    about = sealed(about | {'names': list(arrays), 'arrays': described})
    group.update_attributes(about)                         # in one write
    return about


def put(address, tile, kernels):
    """Write a tile into the store that another process has `opened`.

    Raises
    ------
    ValueError : another store, or none, is at this place by now.
    """
    where = place(address.path)
    about = _about(where)
    if about is None or about.get('checksum') != address.checksum:
        raise ValueError(f'expected the store {where.shown} that the tile {tile} is of, got {about and "another"}. It '
                         'was deleted meanwhile: call `batch` again.')
    _put(where, arrays_of(where, about), tile, kernels)


def _put(where, arrays, tile, kernels):
    with where.writing():
        for name, k in kernels.items():
            arrays[name].write(tile, k)


def _excerpt(text, other):
    """Return an excerpt of a text from where it differs from another one."""
    start = max(0, len(commonprefix([str(text), str(other)])) - 12)
    return f'{str(text)[start:start + 40]!r}' if isinstance(text, (str, list)) else repr(text)


# ------------------------------------------------------------------ chunks

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
        return '/'.join([self._name, 'c', *(str(int(i)) for i in tile), *['0'] * (self.ndim - len(tile))])

    def _end(self, key, content):
        of = hashlib.sha256(f'{self._checksum}/{key}\n'.encode())
        of.update(content)
        return SKIPPED + of.digest()

    def _extent(self, tile):
        """Return the part of a chunk that lies within the array, as slices."""
        starts = [int(i) * n for i, n in zip(tile, self.chunks)] + [0] * (self.ndim - len(tile))
        return tuple(slice(min(n, size - start)) for n, size, start in zip(self.chunks, self.shape, starts))

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
            raise ValueError(f'expected {key} in {self._where.shown} as it was written, got one whose checksum '
                             'differs: damaged, or moved from another place. Call `batch` again, with this path.')
        whole = numpy.frombuffer(self._zstd.decode(content), self.dtype.newbyteorder('<')).reshape(self.chunks)
        return whole[self._extent(tile)].astype(self.dtype)

    def whole(self):
        """Return the whole array, if it has no axes along which it is cut."""
        return self.block((0,) * self.ndim) if prod(self.shape) else numpy.empty(self.shape, self.dtype)


class _Former:
    """An array of format 1, with the methods of `_Array` for reading."""

    def __init__(self, where, array):
        self._where, self._array = where, array
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.chunks = array.chunks

    def block(self, tile):
        key = self._array.metadata.encode_chunk_key((*map(int, tile), *[0] * (self.ndim - len(tile))))
        is_there = self._where.read(f'{self._array.path}/{key}') is not None
        return self._array.blocks[tile] if is_there else None

    def whole(self):
        return self._array[...]


def arrays_of(where, about):
    """Return {name: array} of a store with these attributes."""
    if about['format'] == 1:
        group = zarr().open_group(where.root, mode='r')
        return {name: _Former(where, group[name]) for name in about['names']}
    return {name: _Array(where, name, about['arrays'][name], about['checksum']) for name in about.get('names', ())}


# ------------------------------------------------------------------ reading

class StoredKernel:
    """A kernel in a store, indexed like an array: `k[rows, columns]` and `numpy.asarray(k)` read what they need.

    Indices are whole numbers, slices and, for either rows or columns, a list of numbers or truth values.

    Attributes
    ----------
    shape, dtype, ndim : shape, dtype and number of axes of the kernel.
    chunks : tuple, the shape of its tiles.
    """

    def __init__(self, where, array, symmetric):
        self._where = where
        self._array = array
        self._symmetric = symmetric
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.chunks = array.chunks

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f'<StoredKernel {self.shape} {self.dtype} in tiles of {self.chunks[0]} x {self.chunks[1]}>'

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError('expected copy=None or True, got False: a kernel on disk is read into memory.')
        return self[:].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index):
        index = _in_full(index, self.ndim)
        i, j = (numpy.atleast_1d(numpy.arange(n)[r]) for n, r in zip(self.shape, index[:2]))
        out = numpy.empty((len(i), len(j), *self.shape[2:]), self.dtype)
        for a in numpy.unique(i // self.chunks[0]):
            for b in numpy.unique(j // self.chunks[1]):
                left, right = (numpy.nonzero(rows // size == n)[0]
                               for rows, size, n in zip((i, j), self.chunks, (a, b)))
                there = i[left] - a * self.chunks[0], j[right] - b * self.chunks[1]
                out[numpy.ix_(left, right)] = self._tile(a, b)[numpy.ix_(*there)]
        return out[tuple(0 if _is_number(r) else slice(None) for r in index[:2]) + tuple(index[2:])]

    def _tile(self, a, b):
        mirrored = self._symmetric and a > b
        block = self._array.block((b, a) if mirrored else (a, b))
        if block is None:
            raise ValueError(f'expected a whole kernel, got {self._where.shown} without the tile '
                             f'{int(a), int(b)}. Call `batch` again, with this path.')
        return block.swapaxes(0, 1) if mirrored else block


def _is_number(r):
    return hasattr(r, '__index__') and numpy.ndim(r) == 0 and not isinstance(r, (bool, numpy.bool_))


def _in_full(index, ndim):
    """Return an index for each axis.

    Raises
    ------
    IndexError : there are too many indices, or one of a kind that would have another meaning here than in NumPy.
    """
    index = list(index) if isinstance(index, tuple) else [index]
    dots = [n for n, r in enumerate(index) if r is Ellipsis] or [len(index)]
    index[dots[0]:dots[0] + 1] = [slice(None)] * (ndim - len(index) + (dots[0] < len(index)))
    lists = [n for n, r in enumerate(index) if not isinstance(r, slice) and not _is_number(r)]
    if len(index) != ndim or len(lists) > 1 or lists and (
            numpy.ndim(index[lists[0]]) != 1 or lists[0] > 1 or any(map(_is_number, index[2:]))):
        raise IndexError(f'expected at most {ndim} indices: numbers, slices, and for rows or columns one list, got '
                         f'{index!r:.200}. Take rows first, k[rows][:, columns].')
    return index


def stored(path):
    """Return (attributes, {name: StoredKernel}) of a store; arrays of less than two axes are read as arrays.

    Raises
    ------
    FileNotFoundError : there is no store.
    ValueError        : something else is there, or the store is damaged, or no kernel was begun in it.
    """
    where = place(path)
    zarr()
    about = _about(where)
    if about is None:
        raise FileNotFoundError(f'expected a store of kernels, got none at {where.shown}.')
    if 'names' not in about:
        raise ValueError(f'expected a store of kernels, got {where.shown} without any. Call `batch` again, with this '
                         'path.')
    check_format(about)
    return about, {name: StoredKernel(where, a, about['symmetric']) if a.ndim > 1 else a.whole()
                   for name, a in arrays_of(where, about).items()}
