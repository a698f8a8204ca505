"""Kernels on disk: a Zarr group with an array for each kind of kernel, a chunk for each tile.

A chunk is written aside and renamed, so that it is there whole or not at all, and carries a checksum. The group's
attributes say what it is of (the manifest); a store is for one process at a time. Nothing is ever unpickled.
"""
import json
import sys
from contextlib import contextmanager
from importlib import import_module
from os.path import commonprefix

import numpy

from .places import DESCRIBED, place

__all__ = ['StoredKernel', 'compressors', 'opened', 'put', 'stored', 'zarr']

FORMAT = 1


def zarr():
    """The module.

    Raises
    ------
    ImportError : it is not installed.
    """
    try:
        return import_module('zarr')
    except ImportError:
        raise ImportError("expected zarr for kernels on disk, got none. In a checkout of ntref: pip install '.[dask]'"
                          ) from None


def compressors():
    """Zstandard, with a checksum of what it gives."""
    return [zarr().codecs.ZstdCodec(level=1), zarr().codecs.Crc32cCodec()]


# ------------------------------------------------------------------ writing

@contextmanager
def opened(path, manifest):
    """The store at a path for writing, made if there is none.

    Raises
    ------
    ValueError      : it holds kernels of something else; says what differs.
    BlockingIOError : another process writes into it.
    OSError         : it cannot be written, or other files are there.
    """
    zarr()
    where = place(path)
    with where.held():
        version = sys.modules[__name__.partition('.')[0]].__version__
        yield _Store(where, json.loads(json.dumps(manifest | {'format': FORMAT, 'ntref': version})))


class _Store:
    def __init__(self, where, manifest):
        self.where, self.path, self.side = where, where.root, manifest['batch_size']
        with where.writing():
            if not where.has(DESCRIBED):
                zarr().create_group(where.root, attributes=manifest)
        self.group = zarr().open_group(where.root, mode='r+')
        self._open()
        found = self.group.attrs.asdict()
        if wrong := {key: found.get(key) for key in manifest if found.get(key) != manifest[key]}:
            parts = (f'{key} ({_excerpt(there, manifest[key])} there, {_excerpt(manifest[key], there)} here)'
                     for key, there in wrong.items())
            raise ValueError(f'expected the store {where.root} to be of the same call, got one that differs in '
                             f'{", ".join(parts)}. Take another path, or delete it.')

    def _open(self):
        about, self.arrays = self.group.attrs.asdict(), _arrays(self.group)
        self.form, self.symmetric = about.get('form'), about.get('symmetric')
        self.entries = {name: (a.dtype, a.shape[2:]) for name, a in self.arrays.items()} or None     # before `create`

    def has(self, tile):
        """Is the tile (i, j) there, with all its digits?"""
        try:
            return all(_block(self.where, a, tile) is not None for a in self.arrays.values())
        except (ValueError, RuntimeError):                 # the checksum, or what cannot be decompressed
            return False

    def create(self, shape, form, kernels, symmetric):
        """Arrays for {name: kernel of a tile}."""
        with self.where.writing():
            for name, k in kernels.items():
                rest = k.shape[2:]
                self.group.create_array(
                    name, shape=(*shape, *rest), chunks=[max(1, n) for n in (*numpy.minimum(shape, self.side), *rest)],
                    dtype=k.dtype, fill_value=float('nan') if k.dtype.kind in 'fc' else 0, compressors=compressors(),
                    overwrite=True)
            about = {'names': list(kernels), 'form': form, 'symmetric': symmetric}
            self.group = self.group.update_attributes(self.group.attrs.asdict() | about)       # in one write
        self._open()

    def write(self, tile, kernels):
        _put(self.where, self.arrays, tile, kernels)

    def kernels(self):
        return stored(self.path)[1]


def put(path, tile, kernels):
    """Writes a tile into the store that another process has `opened`."""
    _put(place(path), _arrays(zarr().open_group(path, mode='r+')), tile, kernels)


def _put(where, arrays, tile, kernels):
    with where.writing():
        for name, k in kernels.items():
            arrays[name].set_block_selection(tile, k)


def _arrays(group):
    with zarr().config.set({'array.write_empty_chunks': True}):
        return {name: group[name] for name in group.attrs.get('names', ())}


def _excerpt(text, other):
    """Where a text differs from another one."""
    start = max(0, len(commonprefix([str(text), str(other)])) - 12)
    return f'{str(text)[start:start + 40]!r}' if isinstance(text, (str, list)) else repr(text)


# ------------------------------------------------------------------ reading

def _block(where, array, tile):
    """The chunk (i, j) of an array; None if it is not there."""
    key = array.metadata.encode_chunk_key((*map(int, tile), *[0] * (array.ndim - 2)))
    return array.blocks[tile] if where.has(f'{array.path}/{key}') else None


class StoredKernel:
    """A kernel in a store, like an array: `k[rows, columns]` and `numpy.asarray(k)` read what they need.

    Indices are whole numbers, slices and, for rows or columns, one list of numbers or truth values.

    Attributes
    ----------
    shape, dtype, ndim : of the kernel.
    chunks : tuple of its tiles.
    """

    def __init__(self, where, array, symmetric):
        self._where, self._array, self._symmetric = where, array, symmetric
        self.shape, self.dtype, self.ndim, self.chunks = array.shape, array.dtype, array.ndim, array.chunks

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
        block = _block(self._where, self._array, (b, a) if mirrored else (a, b))
        if block is None:
            raise ValueError(f'expected a whole kernel, got {self._where.root} without the tile '
                             f'{int(a), int(b)}. Call `batch` again, with this path.')
        return block.swapaxes(0, 1) if mirrored else block


def _is_number(r):
    return hasattr(r, '__index__') and numpy.ndim(r) == 0 and not isinstance(r, (bool, numpy.bool_))


def _in_full(index, ndim):
    """An index for each axis.

    Raises
    ------
    IndexError : too many, or of a kind that would mean something else here than it does in NumPy.
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
    """(attributes, {name: StoredKernel}) of a store; arrays of less than two axes as such."""
    where = place(path)
    group = zarr().open_group(where.root, mode='r')
    about = group.attrs.asdict()
    if 'names' not in about:
        raise ValueError(f'expected a store of kernels, got {path} without any. Call `batch` again, with this path.')
    arrays = {name: group[name] for name in about['names']}
    return about, {name: StoredKernel(where, a, about['symmetric']) if a.ndim > 1 else a[...]
                   for name, a in arrays.items()}
