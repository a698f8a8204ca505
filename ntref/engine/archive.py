"""Archives: arrays in NumPy's .npz with a manifest of JSON, written whole or not at all. Nothing is ever unpickled.

What is written is a tree: dicts, lists and tuples of numbers, text, None and arrays.
"""
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy

from .chunks import About
from .forms import on_host
from .places import aside, is_url, local, masked, renamed
from .store import sealed

__all__ = ['read_archive', 'read_npz', 'refused', 'write_archive', 'write_npz']

FORMAT = 1
MANIFEST = 'manifest'


# ------------------------------------------------------------------ trees

def write_archive(path: str | PathLike, content: str, tree: Any) -> None:
    """Write a tree to an .npz file, whole or not at all; `content` says what it is.

    Raises
    ------
    ValueError : the path has another ending. IsADirectoryError : a directory is there.
    TypeError  : the tree has something that JSON and arrays cannot hold. The message says where.

    Examples
    --------
    >>> import numpy, os, tempfile
    >>> with tempfile.TemporaryDirectory() as there:
    ...     write_archive(os.path.join(there, 'a.npz'), 'example', {'t': (1, None), 'x': numpy.eye(2)})
    ...     read_archive(os.path.join(there, 'a.npz'), 'example')
    {'t': (1, None), 'x': array([[1., 0.],
           [0., 1.]])}
    """
    plain = local(path)
    path = Path(plain)
    if path.suffix != '.npz' or is_url(plain):
        raise ValueError(f'expected a path on this machine that ends in .npz, got {masked(plain)}.')
    if path.is_dir():
        raise IsADirectoryError(f'expected a path where no directory is, got {path}.')
    arrays: dict[str, numpy.ndarray] = {}
    packed = _packed(tree, content, arrays)
    described = {name: [list(a.shape), a.dtype.str] for name, a in arrays.items()}
    about = sealed({'format': FORMAT, 'content': content, 'tree': packed, 'arrays': described})
    write_npz(path, aside(path.with_name(f'.{path.name}')), arrays, json.dumps(about))


def read_archive(path: str | PathLike, content: str) -> Any:
    """Return the tree that `write_archive` wrote.

    Raises
    ------
    ValueError : the file is not an archive with this content, is damaged or was changed, or is of a later format.
    FileNotFoundError : there is no such file.
    """
    def checked(about):
        found = about.get('content'), about.get('format')
        if found != (content, FORMAT):
            raise ValueError(f'the content is {found[0]!r} in format {found[1]!r}; expected {content!r} in format '
                             f'{FORMAT}, which this version of ntref reads')
        if about.get('checksum') != sealed(about)['checksum']:
            raise ValueError('its manifest is damaged or was changed: the checksum differs')
        return about['arrays']
    about, arrays = read_npz(path, checked, f'a file with a {content}')
    for name, (shape, dtype) in about['arrays'].items():
        a = arrays[name]
        if [list(a.shape), a.dtype.str] != [shape, dtype]:
            raise ValueError(f'expected {name} in {path} of shape {shape} and dtype {dtype}, got {a.shape} and '
                             f'{a.dtype.str}: the file was changed.')
    return _unpacked(about['tree'], arrays)


@contextmanager
def refused(path: str | PathLike, function: str) -> Iterator[None]:
    """Turn errors of putting together what was read into one that names the file, and the function that writes such."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise ValueError(f'expected a file of {function}, got {path}: {e}') from e


def _packed(value, where, arrays):
    """Return the tree as JSON; its arrays go to `arrays` under the name of their place."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if hasattr(value, 'shape'):
        name = where
        while name in arrays:
            name += '_'
        arrays[name] = on_host(value)
        return {'array': name}
    if isinstance(value, dict):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f'expected names in {where}, got {strange[0]!r:.100}.')
        return {'dict': {key: _packed(v, f'{where}.{key}', arrays) for key, v in value.items()}}
    if type(value) in (list, tuple):
        parts = [_packed(v, f'{where}.{i}', arrays) for i, v in enumerate(value)]
        return parts if type(value) is list else {'tuple': parts}
    raise TypeError(f'expected {where} to be made of numbers, text, arrays, lists, tuples and dicts, got '
                    f'{value!r:.100} of type {type(value).__name__}.')


def _unpacked(value, arrays):
    if isinstance(value, list):
        return [_unpacked(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    (form, inside), = value.items()
    if form == 'array':
        return arrays[inside][()]
    if form == 'tuple':
        return tuple(_unpacked(v, arrays) for v in inside)
    return {key: _unpacked(v, arrays) for key, v in inside.items()}


# ------------------------------------------------------------------ files

def write_npz(path: Path, beside: Path, arrays: Mapping[str, numpy.ndarray], manifest: str) -> None:
    """Write arrays and a manifest to a new file `beside`, and rename it to `path`."""
    whole: dict[str, Any] = {MANIFEST: numpy.array(manifest), **arrays}
    with renamed(path, beside) as f:
        numpy.savez(f, **whole)


def read_npz(path: str | PathLike, checked: Any, expected: str) -> tuple[About, dict[str, numpy.ndarray]]:
    """Return (manifest, {name: array}) of an .npz file, of the names that checked(manifest) returns.

    Raises
    ------
    ValueError : the file is something else than `expected`, or has Python objects, which would have to be unpickled.
    FileNotFoundError : there is no such file.
    """
    path = local(path)
    with open(path, 'rb') as f:
        if not is_zipfile(f):
            raise ValueError(f'expected {expected}, with all its digits, got {path}, which is no archive.')
    try:
        with numpy.load(path, allow_pickle=False) as archive:
            about = json.loads(str(archive[MANIFEST]))
            return about, {name: archive[name] for name in checked(about)}
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile, RecursionError) as e:
        cause = 'it holds Python objects, which are not loaded' if 'pickle' in str(e) else e
        raise ValueError(f'expected {expected}, with all its digits, got {path}: {cause}') from e
