"""Kernels and predictors in files: `save_kernel`, `load_kernel`, `save_predictor`, `load_predictor`.

Files are NumPy archives or, for kernels, Zarr stores; nothing is pickled.
"""
import json
import os
from itertools import product
from math import isqrt, prod
from os import PathLike
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy

from .engine.archive import read_archive, read_npz, refused, write_archive, write_npz
from .engine.chunks import arrays_of, zarr
from .engine.forms import apart, on_host, together
from .engine.places import Directory, aside, is_url, local, masked
from .engine.store import FORMAT, check_format, created, stored
from .predict.predictor import Predictor
from .recursion.kernel import Kernel
from .stax import from_spec

__all__ = ['load_kernel', 'load_predictor', 'save_kernel', 'save_predictor']

RESERVED = 'file', 'manifest', 'allow_pickle'          # by `numpy.savez`, and by this module
SIDE = 1024                                            # inputs on either side of a chunk, at most
CHUNK = 2 ** 24                                        # bytes of a chunk, about
KIND = 'predictor'                                     # in the manifest of its file


def save_kernel(path: str | PathLike, kernel: Any, about: Any = None) -> None:
    """Write a kernel to a file, whole or not at all, even if others write the same file at the same time.

    A process that is killed leaves what it wrote in `.NAME.*.partial` beside the file.

    Parameters
    ----------
    path : str or path      ending in .npz, or in .zarr (a compressed directory that is read back piece by piece); or
        the file:// URL of such a path.
    kernel : array, named tuple of arrays, {name: array} or `Kernel`
    about : optional        anything that JSON can hold, such as `net.to_spec()`; it is stored with the kernel.

    Raises
    ------
    ValueError      : the path has another ending; names are not identifiers.
    TypeError       : `kernel` is not a kernel, or `about` cannot be written as JSON.
    FileExistsError : the directory exists already. An existing .npz file is replaced.
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
    plain = local(path)
    form, arrays = _apart(kernel)
    if wrong := [name for name in arrays if not str(name).isidentifier() or name in RESERVED]:
        raise ValueError(f'expected names that are identifiers, but not {", ".join(RESERVED)}; got '
                         f'{wrong[0]!r}.')
    text = _as_json({
        'form': form, 'about': about, 'names': list(arrays), 'symmetric': False, 'format': FORMAT})
    path = Path(plain)
    write = {'.npz': write_npz, '.zarr': _write_zarr}.get(path.suffix)
    if write is None or is_url(plain):
        raise ValueError('expected a path on this machine that ends in .npz or .zarr, got '
                         f'{masked(plain)}.')
    if path.is_dir() or path.suffix == '.zarr' and os.path.lexists(path):
        raise _is_there(path)
    write(path, aside(path.with_name(f'.{path.name}')), arrays, text)


def _as_json(attributes):
    try:
        return json.dumps(attributes)
    except (TypeError, ValueError, RecursionError) as e:
        raise TypeError('expected `about` to be text, numbers, lists and dicts, as JSON has them; '
                        f'got {e}.') from e


def _is_there(path):
    return FileExistsError(f'expected a path where nothing is, got {path}. Delete it, or take '
                           'another.')


def _write_zarr(path, beside, arrays, text):
    zarr()
    beside.mkdir()                                     # raises if it exists
    try:
        _fill(Directory(beside.absolute()), json.loads(text), arrays)
        try:
            os.rename(beside, path)
        except OSError:
            if os.path.lexists(path):                  # by another writer
                raise _is_there(path) from None
            raise
    except BaseException:
        rmtree(beside)
        raise


def _fill(where, about, arrays):
    """Write arrays into a new group."""
    described = {name: (a.shape, _chunks(a), a.dtype) for name, a in arrays.items()}
    about = created(where, about, described)
    for name, there in arrays_of(where, about).items():
        sides = there.chunks[:2]
        for tile in product(*(range(-(-n // side)) for n, side in zip(there.shape, sides))):
            part = tuple(slice(i * side, (i + 1) * side) for i, side in zip(tile, sides))
            there.write(tile, arrays[name][part])


def _chunks(a):
    """Return the shape of the chunks of an array, which is cut along its first two axes."""
    if a.ndim < 2:
        return a.shape
    side = min(SIDE, isqrt(CHUNK // max(1, a.itemsize * prod(a.shape[2:]))))
    sides = (min(n, max(1, side)) for n in a.shape[:2])
    return *sides, *a.shape[2:]


def load_kernel(path: str | PathLike) -> Any:
    """Read what `save_kernel` wrote, or a store of `batch(..., out=path)`.

    Returns
    -------
    array, named tuple, dict or Kernel, as it was saved; from .zarr with `StoredKernel`s in place of arrays, which read
    what they are indexed with (a Kernel has arrays).

    Raises
    ------
    ValueError : the file is not one of `save_kernel`, or is damaged; it has arrays of Python objects, which would have
        to be unpickled.
    FileNotFoundError : there is no such file.
    """
    path = local(path)
    is_store = is_url(path) or Path(path).is_dir()
    about, arrays = stored(path) if is_store else read_npz(path, _names, 'a file of save_kernel')
    form = about['form']
    if form['form'] != 'Kernel':
        return together(form, arrays)
    values: dict[str, Any] = {name: numpy.asarray(a) for name, a in arrays.items()}
    for name, v in form['others'].items():
        values[name] = tuple(v) if isinstance(v, list) else v
    return Kernel(**values)


def _names(about):
    """Return the names of the arrays of a file."""
    check_format(about)
    return about['names']


def _apart(kernel):
    """Return the form of a kernel, and {name: array}."""
    if not isinstance(kernel, Kernel):
        return apart(kernel)
    values = kernel.asdict()
    arrays = {name: on_host(v) for name, v in values.items() if hasattr(v, 'shape')}
    others = {name: v for name, v in values.items() if name not in arrays}
    return {'form': 'Kernel', 'others': others}, arrays


# ------------------------------------------------------------------ predictors

def save_predictor(path: str | PathLike, predictor: Predictor) -> None:
    """Write a predictor to a file, whole or not at all: its training data, its network as JSON, its factorizations.

    Parameters
    ----------
    path : str or path      ending in .npz; an existing file is replaced.
    predictor : what `gp_inference`, `gradient_descent_mse`, `gradient_descent_mse_steps`, `laplace_inference` or
        `gradient_descent_mse_ensemble` of `ntref.predict` returned; the last for a network of `ntref.stax`.

    Raises
    ------
    TypeError  : not a predictor; one with a function of the user, such as a loss or a kernel function, or with a kernel
        that need not be in memory. Files have no functions; pickle has those that it finds by name.
    ValueError : the path has another ending; a layer of the network has a function of the user (`Elementwise`).

    Notes
    -----
    Factorizations and kernels of the training set that calls have computed are in the file, the others are computed
    when the predictor that is read back needs them. A matrix of n training points and its Cholesky factor take 16 n^2
    bytes, its eigenvectors 8 n^2 more. Arrays of CuPy come back as those of NumPy.

    Examples
    --------
    >>> import numpy, os, tempfile
    >>> from ntref import load_predictor, predict, save_predictor, stax
    >>> net = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    >>> predict_fn = predict.gradient_descent_mse_ensemble(net, numpy.eye(3), numpy.ones((3, 1)))
    >>> mean = predict_fn(x_test=numpy.ones((1, 3)), get='ntk')
    >>> with tempfile.TemporaryDirectory() as there:
    ...     save_predictor(os.path.join(there, 'trained.npz'), predict_fn)
    ...     again = load_predictor(os.path.join(there, 'trained.npz'))
    >>> bool((again(x_test=numpy.ones((1, 3)), get='ntk') == mean).all())
    True
    """
    if not isinstance(predictor, Predictor):
        raise TypeError('expected a predictor, as the functions of ntref.predict return it, got '
                        f'{predictor!r:.100} of type {type(predictor).__name__}.')
    write_archive(path, KIND, {'of': predictor.of, 'parts': predictor.parts()})


def load_predictor(path: str | PathLike) -> Predictor:
    """Read what `save_predictor` wrote; what is read predicts the same bits. Nothing in the file is executed.

    The file is checked: format and checksum, shapes and types of all arrays, the arguments as if they were given anew,
    that factorizations are those of the kernel, and that the network has the kernel that it had for the first inputs.

    Raises
    ------
    ValueError : the file is not one of `save_predictor`, is damaged or was changed, or is of a later version; its
        network has another kernel than it had.
    FileNotFoundError : there is no such file.
    """
    tree = read_archive(path, KIND)
    with refused(path, 'save_predictor'):
        return Predictor.registry[tree['of']].of_parts(tree['parts'], from_spec)
