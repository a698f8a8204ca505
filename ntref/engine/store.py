"""Kernels on disk: a Zarr group with an array for each kind of kernel, a chunk for each tile.

A chunk is written aside and renamed, so that it is there whole or not at all, and carries a checksum. The group's
attributes say what it is of (the manifest); a store is for one process at a time. Nothing is ever unpickled.
"""
import errno
import hashlib
import json
import re
import sys
from collections import namedtuple
from contextlib import contextmanager
from importlib import import_module
from os.path import commonprefix
from pathlib import Path

import numpy

__all__ = ['StoredKernel', 'apart', 'compressors', 'digest', 'on_host', 'opened', 'put', 'stored', 'together', 'told',
           'zarr']

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
        raise ImportError('expected zarr for kernels on disk, got none. Install it: pip install ntref[dask]') from None


def compressors():
    """Zstandard, with a checksum of what it gives."""
    return [zarr().codecs.ZstdCodec(level=1), zarr().codecs.Crc32cCodec()]


# ------------------------------------------------------------------ what is stored

def on_host(a):
    """An array of NumPy's.

    Raises
    ------
    TypeError : of Python objects.
    """
    found = numpy.asarray(a.get() if hasattr(a, 'get') else a)
    if found.dtype.hasobject:
        raise TypeError(f'expected an array of numbers, got {type(a).__name__} of Python objects.')
    return found


def apart(kernel):
    """An array, named tuple or dict of arrays as (what it is, {name: array}).

    Raises
    ------
    TypeError : something else.
    """
    form, values = {'form': 'array'}, {'kernel': kernel}
    if hasattr(kernel, '_fields'):
        form, values = {'form': 'tuple', 'type': type(kernel).__name__}, kernel._asdict()
    elif isinstance(kernel, dict):
        form, values = {'form': 'dict'}, kernel
    if not values or not all(hasattr(a, 'shape') for a in values.values()):
        raise TypeError(f'expected an array, a named tuple or a dict of arrays, got {type(kernel).__name__}. Of a '
                        "network ask for arrays: get='ntk' or get=('nngp', 'ntk').")
    return form, {name: on_host(a) for name, a in values.items()}


def together(form, values):
    """The kernel that `apart` took apart."""
    if form['form'] == 'tuple':
        return namedtuple(form['type'], values)(**values)
    return dict(values) if form['form'] == 'dict' else values['kernel']


def digest(x):
    """SHA-256 of shape, dtype and numbers; a list of those of a list; None stays."""
    if x is None or isinstance(x, (list, tuple)):
        return x and [digest(a) for a in x]
    x = on_host(x)
    return hashlib.sha256(repr((x.shape, x.dtype.str)).encode() + x.tobytes()).hexdigest()


def told(value, within=()):
    """What a value is, as text that another process finds the same: of functions code, defaults and what they enclose.

    >>> told(len), told([1, {'get': 'ntk'}])
    ('<built-in function len>', "[1, {'get': 'ntk'}]")
    """
    if any(value is outer for outer in within):
        return '...'

    def tell(*parts):
        return ', '.join(told(part, (*within, value)) for part in parts)
    if isinstance(value, (list, tuple)):
        return f'[{tell(*value)}]'
    if isinstance(value, dict):
        return f'{{{", ".join(sorted(f"{key!r}: {tell(v)}" for key, v in value.items()))}}}'
    if hasattr(value, 'shape'):
        return str(digest(value))
    if hasattr(value, 'to_spec') and not isinstance(value, type):
        try:
            return json.dumps(value.to_spec())
        except ValueError:                                             # it holds a function
            return f'{type(value).__qualname__}({tell(vars(value))})'
    if hasattr(value, '__func__'):
        return tell(value.__self__, value.__func__)
    if hasattr(value, 'func') and hasattr(value, 'keywords'):          # functools.partial
        return f'partial({tell(value.func, value.args, value.keywords)})'
    if hasattr(value, '__code__'):
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
        return f'{value.__qualname__}({_code(value.__code__)}, ' \
               f'{tell(value.__defaults__, value.__kwdefaults__, enclosed)})'
    state = tell(vars(value)) if type(value).__repr__ is object.__repr__ and hasattr(value, '__dict__') else ''
    return re.sub(' at 0x[0-9a-fA-F]+', '', repr(value)) + state


def _code(code):
    inner = [_code(c) if hasattr(c, 'co_code') else sorted(map(repr, c)) if isinstance(c, frozenset) else c
             for c in code.co_consts]
    return hashlib.sha256(code.co_code + f'{code.co_names}{inner}'.encode()).hexdigest()[:16]


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
    fcntl, root = import_module('fcntl'), Path(path)
    with _writing(root):
        root.mkdir(parents=True, exist_ok=True)
        others = sorted(p.name for p in root.iterdir() if p.name != '.lock' and p.suffix != '.partial')
        if others and not (root / 'zarr.json').exists():
            raise OSError(errno.ENOTEMPTY, f'other files there, such as {others[0]}')
        lock = open(root / '.lock', 'w')
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f'expected a store that nobody writes into, got {path}, which another process has '
                                  'open. Wait for it, or take another path.') from None
        version = sys.modules[__name__.partition('.')[0]].__version__
        yield _Store(root, json.loads(json.dumps(manifest | {'format': FORMAT, 'ntref': version})))


@contextmanager
def _writing(root):
    """Errors of the system say where they come from and what to do."""
    try:
        yield
    except OSError as e:
        raise OSError(e.errno, f'expected to write into the store {root}, got: {e.strerror or e}. After the cause is '
                      'gone (a full disk, permissions) the same call goes on; load_kernel only reads.') from e


class _Store:
    def __init__(self, root, manifest):
        self.root, self.path, self.side = root, root.absolute(), manifest['batch_size']
        described = root / 'zarr.json'
        with _writing(root):
            for rest in root.rglob('*.partial'):           # of a process that was killed
                rest.unlink()
            if described.exists() and not _is_json(described):
                described.unlink()
            if not described.exists():
                zarr().create_group(root, attributes=manifest)
        self.group = zarr().open_group(root, mode='r+')
        self._open()
        found = self.group.attrs.asdict()
        if wrong := {key: found.get(key) for key in manifest if found.get(key) != manifest[key]}:
            parts = (f'{key} ({_excerpt(there, manifest[key])} there, {_excerpt(manifest[key], there)} here)'
                     for key, there in wrong.items())
            raise ValueError(f'expected the store {root} to be of the same call, got one that differs in '
                             f'{", ".join(parts)}. Take another path, or delete it.')

    def _open(self):
        about, self.arrays = self.group.attrs.asdict(), _arrays(self.group)
        self.form, self.symmetric = about.get('form'), about.get('symmetric')
        self.entries = {name: (a.dtype, a.shape[2:]) for name, a in self.arrays.items()} or None     # before `create`

    def has(self, tile):
        """Is the tile (i, j) there, with all its digits?"""
        try:
            return all(_block(a, tile) is not None for a in self.arrays.values())
        except (ValueError, RuntimeError):                 # the checksum, or what cannot be decompressed
            return False

    def create(self, shape, form, kernels, symmetric):
        """Arrays for {name: kernel of a tile}."""
        with _writing(self.root):
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
        _put(self.root, self.arrays, tile, kernels)

    def kernels(self):
        return stored(self.root)[1]


def put(path, tile, kernels):
    """Writes a tile into the store that another process has `opened`."""
    _put(path, _arrays(zarr().open_group(path, mode='r+')), tile, kernels)


def _put(root, arrays, tile, kernels):
    with _writing(root):
        for name, k in kernels.items():
            arrays[name].set_block_selection(tile, k)


def _arrays(group):
    with zarr().config.set({'array.write_empty_chunks': True}):
        return {name: group[name] for name in group.attrs.get('names', ())}


def _is_json(path):
    try:
        return bool(json.loads(path.read_bytes()))
    except ValueError:
        return False


def _excerpt(text, other):
    """Where a text differs from another one."""
    start = max(0, len(commonprefix([str(text), str(other)])) - 12)
    return f'{str(text)[start:start + 40]!r}' if isinstance(text, (str, list)) else repr(text)


# ------------------------------------------------------------------ reading

def _block(array, tile):
    """The chunk (i, j) of an array; None if it is not there."""
    key = array.metadata.encode_chunk_key((*map(int, tile), *[0] * (array.ndim - 2)))
    return array.blocks[tile] if (array.store_path.store.root / array.path / key).exists() else None


class StoredKernel:
    """A kernel in a store, like an array: `k[rows, columns]` and `numpy.asarray(k)` read what they need.

    Indices are whole numbers, slices and, for rows or columns, one list of numbers or truth values.

    Attributes
    ----------
    shape, dtype, ndim : of the kernel.
    chunks : tuple of its tiles.
    """

    def __init__(self, array, symmetric):
        self._array, self._symmetric = array, symmetric
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
        block = _block(self._array, (b, a) if mirrored else (a, b))
        if block is None:
            raise ValueError(f'expected a whole kernel, got {self._array.store_path} without the tile '
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
    group = zarr().open_group(path, mode='r')
    about = group.attrs.asdict()
    if 'names' not in about:
        raise ValueError(f'expected a store of kernels, got {path} without any. Call `batch` again, with this path.')
    arrays = {name: group[name] for name in about['names']}
    return about, {name: StoredKernel(a, about['symmetric']) if a.ndim > 1 else a[...] for name, a in arrays.items()}
