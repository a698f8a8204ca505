"""What commands read: networks as JSON or by a short name; arrays as NumPy writes them, or as CSV."""
import csv
import json
from pathlib import Path

import numpy

from ..arguments import suggestion
from ..stax import Layer, from_spec
from ..stax.named import ACTIVATIONS, activation_of, network_of

__all__ = ['KINDS', 'array', 'names_in', 'network', 'nonlinearity', 'tables']

KINDS = '.npy, .npz or .csv'
NPY = b'\x93NUMPY'
ZIP = b'PK'
ARGUMENTS = {'depth': int, 'W_std': float, 'b_std': float}       # of short names


def network(text: str) -> Layer:
    """Return the network of a JSON file, or of a short name, the arguments of `network_of`, for inputs with features.

    Raises
    ------
    ValueError : the file is no JSON, or no network; a short name of other arguments. OSError : it cannot be read.

    Examples
    --------
    >>> network('erf,depth=1,W_std=1.5')
    serial(Dense(512, 1.5, 0.1), Erf(), Dense(1, 1.5, 0.1))
    """
    name, *given = text.split(',')
    if _is_short(name, text):
        return network_of(activation=name, **dict(_argument(one, text) for one in given))
    return _in_file(text)


def nonlinearity(text: str) -> Layer:
    """Return the nonlinearity of a name or of a JSON file; raise as `network`."""
    return activation_of(text) if _is_short(text, text) else _in_file(text)


def _is_short(name, text):
    """True for the name of an activation, and no file of that name."""
    return name.lower() in ACTIVATIONS and not Path(text).exists()


def _argument(text, whole):
    """Return (name, number) of one argument."""
    name, _, number = text.partition('=')
    try:
        return name, ARGUMENTS[name](number)
    except (KeyError, ValueError):
        raise ValueError(f'expected an activation and numbers such as relu,depth=3,W_std=1.5,b_std=0.1, got {whole}, '
                         f'with {text!r:.100}.{suggestion(name, ARGUMENTS)}') from None


def _in_file(path):
    if not Path(path).exists():
        name = path.partition(',')[0]
        raise FileNotFoundError(f'expected a file of a network as JSON, or an activation such as relu or erf,depth=1, '
                                f'got {path}: there is no such file.{suggestion(name, ACTIVATIONS)}')
    with open(path, 'rb') as f:
        try:
            spec = json.load(f)
        except (ValueError, RecursionError) as e:
            raise ValueError(f'expected a network as JSON in {path}: {e}') from e
    return from_spec(spec)


def array(path: str) -> numpy.ndarray:
    """Return the only array in a file.

    In place of `path`, 'FILE.npz:NAME' is the array of that name in an archive.

    Raises
    ------
    ValueError : the file has no array of numbers, or several. OSError : it cannot be read.
    """
    archive, _, name = path.rpartition(':')
    if archive and not Path(path).exists():
        found = tables(archive)
        if name not in found:
            raise ValueError(f'expected an array {name} in {archive}, got {_listed(found)}.')
        return found[name]
    found = tables(path)
    if len(found) != 1:
        raise ValueError(f'expected one array in {path}, got {_listed(found)}. Name one of them: {path}:NAME.')
    return next(iter(found.values()))


def tables(path: str) -> dict[str, numpy.ndarray]:
    """Return the arrays in a file by name; that of .npy and .csv is named ''.

    A CSV file has a row of numbers for each input, and perhaps a header.

    Raises
    ------
    ValueError : the file has no arrays of numbers. OSError : it cannot be read.
    """
    with open(path, 'rb') as f:
        start = f.read(len(NPY))
        f.seek(0)
        if start == NPY:
            return {'': _loaded(numpy.lib.format.read_array, f, path)}
        if start[:2] == ZIP:
            return _loaded(_archive, f, path)
    if Path(path).suffix.lower() == '.csv':
        return {'': _csv(path)}
    raise ValueError(f'expected an array in {path}, as numpy.save writes it, got something else. Write one array, '
                     'by numpy.save, or rows of numbers with commas into a file that ends in .csv.')


def _listed(found):
    return f'{len(found)} arrays ({", ".join(found)})'


def _loaded(read, f, path):
    try:
        return read(f, allow_pickle=False)
    except Exception as e:                      # of the format, or of zip files: BadZipFile, zlib.error, EOFError
        if isinstance(e, OSError):
            raise
        cause = 'one of Python objects, which are not loaded' if 'pickle' in str(e) else str(e)
        raise ValueError(f'expected an array of numbers in {path}, as numpy.save writes it, got: {cause}') from e


def _archive(f, allow_pickle):
    with numpy.load(f, allow_pickle=allow_pickle) as found:
        return dict(found.items())


def names_in(path: str) -> list[str] | None:
    """Return the names of the columns in a CSV file; None for another file, or one without a header.

    Raises
    ------
    ValueError : the file has no text, or a column has no name. OSError : it cannot be read.
    """
    if Path(path).suffix.lower() != '.csv':
        return None
    return _header(_rows(path), path)


def _rows(path):
    """Return the rows of a CSV file as text."""
    with open(path, newline='', encoding='utf-8-sig') as f:
        try:
            return [row for row in csv.reader(f) if row]
        except (csv.Error, UnicodeDecodeError) as e:
            raise ValueError(f'expected rows of numbers in {path}, got: {e}') from e


def _header(rows, path):
    """Return the first row if it has no number, or None; raise ValueError where it names all columns but the first."""
    if not rows or any(map(_is_number, rows[0])):
        return None
    names = [name.strip() for name in rows[0]]
    if len(names) > 1 and not names[0] and all(names[1:]):
        raise ValueError(f'expected a name for each column of {path}, got none for the first: are these the names of '
                         'rows? Write the table without them: row.names=FALSE in R, index=False in pandas.')
    return names


def _csv(path):
    """Return the rows of numbers of a CSV file; a first row without any number is a header."""
    rows = _rows(path)
    if _header(rows, path):
        rows = rows[1:]
    if not rows:
        raise ValueError(f'expected rows of numbers in {path}, got none.')
    for i, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f'expected {len(rows[0])} numbers in each row of {path}, got {len(row)} in row {i} of '
                             'numbers.')
        for text in row:
            if not _is_number(text):
                raise ValueError(f'expected numbers in {path}, got {text!r:.100} in row {i} of numbers.')
    return numpy.array(rows, 'float64')


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
