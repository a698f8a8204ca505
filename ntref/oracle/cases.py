"""The cases of the conformance suite: networks, inputs, and certified values to compare with.

    error     |a - e| / max(|e|, scale)         scale = sqrt(q q'), of the two inputs of an entry; for Theta likewise
    digits    -log10(error)

The cases are data beside this file, cases.json and cases.npz; `python -m ntref.oracle.generate` makes them from
`ntref.oracle.catalogue`. See docs/oracle.md#the-cases.
"""
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import log10
from pathlib import Path
from typing import Any

import numpy

__all__ = ['CLASSES', 'Case', 'DATA', 'VERSION', 'check_text', 'conformance_cases', 'digits']

DATA = Path(__file__).parent / 'data'
VERSION = 1
MAX_DIGITS = 17.        # largest number of digits to which a float64 is said to agree

CLASSES = {
    'exact': {'float64': 1e-13, 'float32': 1e-5},
    'halved': {'float64': 1e-7, 'float32': 1e-3},
    'integrated': {'float64': 1e-6, 'float32': 1e-4},
    'double': {'float64': 1e-13},
}
"""Tolerance class -> largest error in each precision. 'halved': a kink behind a layer that leaves the gap to
subtraction, which costs half of the digits; the case says which. 'integrated': a differential equation.
'double': beyond float32."""


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """A network, inputs, and certified results. `str` of a case is its name.

    Attributes
    ----------
    name : str                'dense/relu-3/duplicates': family, network, inputs.
    kind : str                'kernel', 'predict' or 'empirical'.
    layers : tuple of str     what the case tests, the main one first: layers of `stax`, or a function of `predict`.
    spec : dict               the network as `to_spec` writes it; None for 'predict'.
    inputs : dict             arrays by name, docs/oracle.md#the-cases; x2 = None means that x2 is x1.
    options : dict            plain JSON: `get`, and keywords.
    expected : dict           float64 arrays by name, correctly rounded.
    scale : dict              the scale of errors, where a value is smaller than it; broadcasts against the value.
    tolerance : dict          largest error, {'float64': 1e-13, 'float32': 1e-5}; other dtypes are not asked for.
    sure : int                digits of `expected` that were certified, before rounding.
    basis : str               'proved', by balls: docs/oracle.md#what-is-proved; or 'estimated: ...' and why.
    note : str                why digits are lost, where they are.

    Examples
    --------
    >>> case, = conformance_cases('dense/linear/pair')
    >>> case, case.layers, sorted(case.inputs), case.options, case.expected['ntk'].shape
    (Case('dense/linear/pair'), ('Dense',), ['x1', 'x2'], {'get': ['nngp', 'ntk']}, (4, 3))
    """
    name: str
    kind: str
    layers: tuple
    spec: Any
    inputs: dict
    options: dict
    expected: dict
    scale: dict
    tolerance: dict
    sure: int = 0
    basis: str = ''
    note: str = field(default='')

    def __str__(self):
        return self.name

    def __repr__(self):
        return f'Case({self.name!r})'

    def wanted(self, dtype: str) -> float:
        """Return the number of digits asked for."""
        return -log10(self.tolerance[dtype])

    def compared(self, actual: numpy.ndarray, name: str, dtype: str) -> tuple[float, str | None]:
        """Return how many digits of the worst entry of an array agree with `expected[name]`, and the fault, or None."""
        expected = self.expected[name]
        wanted = self.wanted(dtype)
        if actual.dtype != dtype:
            return 0., f'expected dtype {dtype}, got {actual.dtype}'
        if actual.shape != expected.shape:
            return 0., f'expected shape {expected.shape}, got {actual.shape}'
        strange = ~numpy.isfinite(actual)
        if strange.any():
            first = tuple(map(int, numpy.argwhere(strange)[0]))
            count = strange.sum()
            return 0., f'{actual[first]} at {first}, and at {count} of {actual.size} entries'
        agreed = digits(actual, self, name)
        least = float(agreed.min(initial=MAX_DIGITS))
        if least >= wanted:
            return least, None
        worst = tuple(map(int, numpy.unravel_index(agreed.argmin(), agreed.shape)))
        return float(agreed[worst]), (
            f'{agreed[worst]:.1f} digits agree of {wanted:.1f} at {worst}: expected '
            f'{float(expected[worst])!r}, got {float(actual[worst])!r}; too few in '
            f'{(agreed < wanted).sum()} of {agreed.size} entries')

    def check(self, result: Any, dtype: str = 'float64') -> None:
        """Raise AssertionError if a result is not as expected; the message says where and by how much.

        Parameters
        ----------
        result : dict of arrays, or an object with them as attributes; an array, if one is expected
        dtype : 'float64' or 'float32'      dtype of the result

        Raises
        ------
        AssertionError : too few digits agree, there are NaN, shape or dtype differ, or an array is missing.
        ValueError : the case has no tolerance for the dtype.
        """
        if check_text(dtype, 'dtype') not in self.tolerance:
            raise ValueError(
                f'{self}: expected dtype to be one of {", ".join(self.tolerance)}, got {dtype!r}. '
                'conformance_cases(dtype=...) gives the cases for a dtype.')
        faults = []
        for name in self.expected:
            if fault := self._fault(result, name, dtype):
                faults.append(f'{name}: {fault}')
        if faults:
            text = [f'{self}, {dtype}, {self.options}:', *faults, self.note]
            raise AssertionError('\n'.join(text).rstrip())

    def _fault(self, result, name, dtype):
        """Return what is wrong with one of the arrays, or None."""
        actual = self._of(result, name)
        if actual is None:
            return f'expected an array, got none in {type(result).__name__}'
        return self.compared(numpy.asarray(actual), name, dtype)[1]

    def _of(self, result, name):
        if isinstance(result, dict):
            return result.get(name)
        if hasattr(result, 'shape') or isinstance(result, (int, float)):
            return result if len(self.expected) == 1 else None
        return getattr(result, name, None)


def digits(actual: numpy.ndarray, case: Case, name: str) -> numpy.ndarray:
    """Return how many digits of each entry of `actual` agree with case.expected[name], from 0 (or not finite) to 17."""
    expected = case.expected[name]
    scale = case.scale[name]
    with numpy.errstate(all='ignore'):
        error = abs(numpy.asarray(actual, 'float64') - expected)
        agreed = -numpy.log10(error / numpy.maximum(abs(expected), scale))
    agreed = numpy.where(error == 0, MAX_DIGITS, agreed)
    agreed = numpy.where(numpy.isnan(agreed), 0, agreed)
    return numpy.clip(agreed, 0, MAX_DIGITS) + 0.         # and never -0.


def conformance_cases(
        select: str = '*', kind: str | None = None, dtype: str | None = None) -> list[Case]:
    """Return the cases of the conformance suite.

    Parameters
    ----------
    select : str              names, with * and ?, such as 'conv/*'.
    kind : str, optional      'kernel', 'predict' or 'empirical'; None means all.
    dtype : str, optional     'float32' or 'float64' for the cases of that dtype; None means all.

    Returns
    -------
    list of Case, in a fixed order

    Raises
    ------
    TypeError : an argument is not text. ValueError : no case is selected.

    Examples
    --------
    >>> len(conformance_cases()) >= 150, conformance_cases('dense/relu-1/*')[0]
    (True, Case('dense/relu-1/pair'))
    """
    for name, value in dict(select=select, kind=kind, dtype=dtype).items():
        if value is not None or name == 'select':
            check_text(value, name)
    table = json.loads((DATA / 'cases.json').read_text('utf-8'))
    if table['version'] != VERSION:
        raise ValueError(
            f'expected version {VERSION} of the cases, got {table["version"]}. Make them anew: '
            'python -m ntref.oracle.generate')

    def is_selected(row):
        has_dtype = dtype is None or dtype in CLASSES[row['tolerance']]
        has_kind = fnmatchcase(row['kind'], kind or '*')
        return has_dtype and has_kind and fnmatchcase(row['name'], select)
    rows = list(filter(is_selected, table['cases']))
    if not rows:
        raise ValueError(
            f'expected names of cases, such as dense/*, got select={select!r}, kind={kind!r}, '
            f'dtype={dtype!r}, which none has.')
    with numpy.load(DATA / 'cases.npz', allow_pickle=False) as arrays:
        return [_case(row, arrays) for row in rows]


def check_text(value: Any, name: str) -> str:
    """Return `value`, if it is text.

    Raises
    ------
    TypeError : it is anything else; the message contains `name`.
    """
    if not isinstance(value, str):
        raise TypeError(f'expected {name} to be text, got {value!r:.100}.')
    return value


def _case(row, arrays):
    name = row['name']
    return Case(
        name=name,
        kind=row['kind'],
        layers=tuple(row['layers']),
        spec=row['spec'],
        inputs={key: _input(place, arrays) for key, place in row['inputs'].items()},
        options=row['options'],
        expected={key: arrays[f'{name}/expected/{key}'] for key in row['expected']},
        scale={key: arrays[f'{name}/scale/{key}'] for key in row['expected']},
        tolerance=dict(CLASSES[row['tolerance']]),
        sure=row['sure'],
        basis=row['basis'],
        note=row['note'])


def _input(place, arrays):
    """Return the input with this name, a list of inputs for a list of names, or None for None."""
    if isinstance(place, list):
        return [arrays[one] for one in place]
    return None if place is None else arrays[place]
