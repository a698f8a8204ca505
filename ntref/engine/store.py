"""Kernels on disk: a Zarr group with an array for each kind of kernel and a chunk for each tile.

The attributes of the group are the manifest: what the kernels are of, which arrays there are, and a checksum. One
process at a time may write. Nothing is ever unpickled.
"""
import errno
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import DTypeLike

from .chunks import About, arrays_of, zarr
from .places import DESCRIBED, Directory, masked, place
from .sink import Sink, Tile

__all__ = [
    'FORMAT', 'StoredKernel', 'check_format', 'created', 'opened', 'put', 'sealed', 'stored']

FORMAT = 2         # 1 has no checksums of places and of the manifest: it is read, but not continued


# ------------------------------------------------------------------ the manifest

def sealed(about: About) -> About:
    """Return attributes, as they come back from JSON, with their checksum."""
    attributes = {name: value for name, value in about.items() if name != 'checksum'}
    attributes = json.loads(json.dumps(attributes))
    text = json.dumps(attributes, sort_keys=True)
    return attributes | {'checksum': hashlib.sha256(text.encode()).hexdigest()}


def check_format(about: About) -> None:
    """Raise ValueError unless the format is one that this version reads."""
    if about.get('format') not in (1, FORMAT):
        raise ValueError(f'expected format 1 or {FORMAT}, got {about.get("format")!r}: not a store '
                         'of kernels, or of a later ntref.')


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
        is_group = (described.get('node_type') == 'group' and described.get('zarr_format') == 3
                    and isinstance(about, dict))
    except (ValueError, AttributeError, RecursionError):
        is_group = False
    if not is_group:
        raise ValueError(f'expected a store of kernels, got {where.shown} with a {DESCRIBED} that '
                         'describes no Zarr group, or is damaged. Nothing was changed. Take '
                         'another path, or delete it.')
    is_sealed = about.get('format') == FORMAT or 'checksum' in about
    if is_sealed and about.get('checksum') != sealed(about)['checksum']:
        raise ValueError(f'expected the store {where.shown} as it was written, got a {DESCRIBED} '
                         'that is damaged or was changed: its checksum differs. Nothing was '
                         'changed now. Take another path, or delete it.')
    return about


# ------------------------------------------------------------------ writing

@contextmanager
def opened(path: str | PathLike, manifest: About) -> Iterator[Sink]:
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
    parts = []
    for key, here in manifest.items():
        there = found.get(key)
        if there != here:
            parts.append(f'{key} ({_excerpt(there, here)} there, {_excerpt(here, there)} here)')
    if parts:
        raise ValueError(f'expected the store {where.shown} to be of the same call, got one that '
                         f'differs in {", ".join(parts)}. Take another path, or delete it.')
    return found


class Address(NamedTuple):
    """Address of a store for other processes: its path, and the checksum of its manifest."""

    path: str | Path
    checksum: str

    def __repr__(self):
        return f'Address({masked(self.path)})'


class _Store:
    """The `Sink` on disk, which one process at a time has open."""

    def __init__(self, where, manifest):
        self.where = where
        self.side = manifest['batch_size']
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
        entries = {name: (a.dtype, a.shape[2:]) for name, a in self.arrays.items()}
        self.entries = entries or None                     # none before `create`

    def has(self, tile: Tile):
        """True if the tile (i, j) is in the store, with a right checksum."""
        try:
            return all(a.block(tile) is not None for a in self.arrays.values())
        except ValueError:                                 # the checksum
            return False

    def create(self, shape, form, kernels, symmetric):
        about = self.about | {'form': form, 'symmetric': symmetric}
        sides = [max(1, min(n, self.side)) for n in shape]
        arrays = {}
        for name, k in kernels.items():
            entry = k.shape[2:]
            arrays[name] = (*shape, *entry), [*sides, *entry], k.dtype
        with self.where.writing():
            self._open(created(self.where, about, arrays))

    def write(self, tile, kernels):
        _put(self.where, self.arrays, tile, kernels)

    def kernels(self):
        return stored(self.where.root)[1]


def created(where: Directory, about: About, arrays: dict[str, tuple]) -> About:
    """Create arrays {name: (shape, chunks, dtype)} in a group; return its attributes, which describe them."""
    group = zarr().open_group(where.root, mode='a')
    zstd = zarr().codecs.ZstdCodec(level=1, checksum=True)
    described = {}
    for name, (shape, chunks, dtype) in arrays.items():
        where.own(f'{name}/{DESCRIBED}')
        group.create_array(
            name, shape=shape, chunks=[max(1, n) for n in chunks], dtype=dtype.newbyteorder('<'),
            fill_value=float('nan') if numpy.issubdtype(dtype, numpy.inexact) else 0,
            filters=None, compressors=[zstd], overwrite=True)
        document = json.loads(where.read(f'{name}/{DESCRIBED}') or 'null')
        described[name] = {'dtype': dtype.str, 'document': document}
    about = sealed(about | {'names': list(arrays), 'arrays': described})
    group.update_attributes(about)                         # in one write
    return about


def put(address: Address, tile: Tile, kernels: dict[str, numpy.ndarray]) -> None:
    """Write a tile into the store that another process has `opened`.

    Raises
    ------
    ValueError : another store, or none, is at this place by now.
    """
    where = place(address.path)
    about = _about(where)
    if about is None or about.get('checksum') != address.checksum:
        raise ValueError(f'expected the store {where.shown} that the tile {tile} is of, got '
                         f'{about and "another"}. It was deleted meanwhile: call `batch` again.')
    _put(where, arrays_of(where, about), tile, kernels)


def _put(where, arrays, tile, kernels):
    with where.writing():
        for name, k in kernels.items():
            arrays[name].write(tile, k)


def _excerpt(text, other):
    """Return an excerpt of a text from where it differs from another one."""
    if not isinstance(text, (str, list)):
        return repr(text)
    start = max(0, len(commonprefix([str(text), str(other)])) - 12)
    return repr(str(text)[start:start + 40])


# ------------------------------------------------------------------ reading

class StoredKernel:
    """A kernel in a store, indexed like an array: `k[rows, columns]` and `numpy.asarray(k)` read what they need.

    Indices are whole numbers, slices and, for either rows or columns, a list of numbers or truth values.

    Attributes
    ----------
    shape, dtype, ndim : shape, dtype and number of axes of the kernel.
    chunks : tuple, the shape of its tiles.
    """

    def __init__(self, where: Directory, array: Any, symmetric: bool):
        self._where = where
        self._array = array
        self._symmetric = symmetric
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.chunks = array.chunks

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self):
        high, wide = self.chunks[:2]
        return f'<StoredKernel {self.shape} {self.dtype} in tiles of {high} x {wide}>'

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> numpy.ndarray:
        if copy is False:
            raise ValueError('expected copy=None or True, got False: a kernel on disk is read into '
                             'memory.')
        return self[:].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: Any) -> numpy.ndarray:
        rows, columns, *others = _in_full(index, self.ndim)
        i = numpy.atleast_1d(numpy.arange(self.shape[0])[rows])
        j = numpy.atleast_1d(numpy.arange(self.shape[1])[columns])
        high, wide = self.chunks[:2]
        out = numpy.empty((len(i), len(j), *self.shape[2:]), self.dtype)
        for a in numpy.unique(i // high):
            left = numpy.nonzero(i // high == a)[0]
            for b in numpy.unique(j // wide):
                right = numpy.nonzero(j // wide == b)[0]
                there = numpy.ix_(i[left] - a * high, j[right] - b * wide)
                out[numpy.ix_(left, right)] = self._tile(a, b)[there]
        asked = [0 if _is_number(r) else slice(None) for r in (rows, columns)]
        return out[*asked, *others]

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
    is_given = dots[0] < len(index)
    index[dots[0]:dots[0] + 1] = [slice(None)] * (ndim - len(index) + is_given)
    lists = [n for n, r in enumerate(index) if not isinstance(r, slice) and not _is_number(r)]
    if len(index) != ndim or len(lists) > 1 or lists and (
            numpy.ndim(index[lists[0]]) != 1 or lists[0] > 1 or any(map(_is_number, index[2:]))):
        raise IndexError(f'expected at most {ndim} indices: numbers, slices, and for rows or '
                         f'columns one list, got {index!r:.200}. Take rows first, k[rows][:, '
                         'columns].')
    return index


def stored(path: str | PathLike) -> tuple[About, dict[str, Any]]:
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
        raise ValueError(f'expected a store of kernels, got {where.shown} without any. Call '
                         '`batch` again, with this path.')
    check_format(about)
    found = {}
    for name, a in arrays_of(where, about).items():
        found[name] = StoredKernel(where, a, about['symmetric']) if a.ndim > 1 else a.whole()
    return about, found
