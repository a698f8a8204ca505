"""Kernels in files: `save_kernel`, `load_kernel`. NumPy's archive of arrays, or Zarr; nothing is pickled."""
import json
import os
from pathlib import Path
from shutil import rmtree
from zipfile import BadZipFile

import numpy

from ..kernel import Kernel
from .forms import apart, on_host, together
from .places import as_path, is_url
from .store import FORMAT, compressors, stored, zarr

__all__ = ['load_kernel', 'save_kernel']

RESERVED = 'file', 'manifest', 'allow_pickle'          # by `numpy.savez`, and by us


def save_kernel(path, kernel, about=None):
    """Writes a kernel to a file, whole or not at all.

    Parameters
    ----------
    path : str or path      ending in .npz, or in .zarr (a directory, compressed; read back piece by piece).
    kernel : array, named tuple of arrays, {name: array} or `Kernel`
    about : optional        anything that JSON can hold, such as `net.to_spec()`; kept beside it.

    Raises
    ------
    ValueError      : another ending; names that are no identifiers.
    TypeError       : not a kernel, or `about` is not JSON.
    FileExistsError : a directory that is there. A file .npz is replaced.
    ImportError     : .zarr without zarr.

    Examples
    --------
    >>> import numpy, os, tempfile
    >>> from ntref import load_kernel, save_kernel
    >>> with tempfile.TemporaryDirectory() as there:
    ...     save_kernel(os.path.join(there, 'k.npz'), numpy.eye(2))
    ...     load_kernel(os.path.join(there, 'k.npz'))
    array([[1., 0.],
           [0., 1.]])
    """
    path = as_path(path, 'path')
    form, arrays = _apart(kernel)
    if wrong := [name for name in arrays if not str(name).isidentifier() or name in RESERVED]:
        raise ValueError(f'expected names that are identifiers, but not {", ".join(RESERVED)}; got {wrong[0]!r}.')
    attributes = {'form': form, 'about': about, 'names': list(arrays), 'symmetric': False, 'format': FORMAT}
    text, asked, path = _as_json(attributes), path, Path(path)
    write = {'.npz': _write_npz, '.zarr': _write_zarr}.get(path.suffix)
    if write is None or is_url(asked):
        raise ValueError(f'expected a path on this machine that ends in .npz or .zarr, got {asked}.')
    if path.is_dir() or path.suffix == '.zarr' and path.exists():
        raise FileExistsError(f'expected a path where nothing is, got {path}. Delete it, or take another.')
    aside = path.with_name(f'.{path.name}.partial')
    try:
        write(aside, arrays, text)
        os.replace(aside, path)
    except BaseException:
        rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)
        raise


def _as_json(attributes):
    try:
        return json.dumps(attributes)
    except (TypeError, ValueError, RecursionError) as e:
        raise TypeError(f'expected `about` to be text, numbers, lists and dicts, as JSON has them; got {e}.') from e


def _write_npz(path, arrays, text):
    with open(path, 'wb') as f:
        numpy.savez(f, manifest=numpy.array(text), **arrays)


def _write_zarr(path, arrays, text):
    group = zarr().open_group(path, mode='w', attributes=json.loads(text))
    for name, a in arrays.items():
        group.create_array(name, data=a, compressors=compressors(), config={'write_empty_chunks': True})


def load_kernel(path):
    """What `save_kernel` wrote, or a store of `batch(..., out=path)`.

    Returns
    -------
    array, named tuple, dict or Kernel, as it was saved; out of .zarr with `StoredKernel`s in the place of arrays, which
    read what is asked of them (a Kernel has arrays).

    Raises
    ------
    ValueError : not a file of `save_kernel`, or a damaged one; arrays of Python objects, which would have to be
        unpickled.
    """
    path = as_path(path, 'path')
    about, arrays = stored(path) if is_url(path) or Path(path).is_dir() else _read_npz(path)
    form = about['form']
    if form['form'] != 'Kernel':
        return together(form, arrays)
    others = {name: tuple(v) if isinstance(v, list) else v for name, v in form['others'].items()}
    return Kernel(**{name: numpy.asarray(a) for name, a in arrays.items()}, **others)


def _read_npz(path):
    """(attributes, {name: array})."""
    try:
        with open(path, 'rb') as f, numpy.load(f, allow_pickle=False) as archive:
            about = json.loads(str(archive['manifest']))
            return about, {name: archive[name] for name in about['names']}
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as e:
        raise ValueError(f'expected a file of save_kernel, with all its digits, got {path}: {e}') from e


def _apart(kernel):
    """What it is, and {name: array}."""
    if not isinstance(kernel, Kernel):
        return apart(kernel)
    values = kernel.asdict()
    arrays = {name: on_host(v) for name, v in values.items() if hasattr(v, 'shape')}
    return {'form': 'Kernel', 'others': {name: v for name, v in values.items() if name not in arrays}}, arrays
