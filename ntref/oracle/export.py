"""Cases of the suite as files for other languages, with the kernels after every layer of their networks."""
import json
from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy

from ..stax import from_spec
from .cases import Case
from .inside import LayerValues, layer_values
from .worker import encoded

__all__ = ['FORMAT', 'as_json', 'save_npz', 'values_inside']

FORMAT = 1


def values_inside(case: Case) -> list[LayerValues]:
    """Return the kernels after every layer of an infinite network, by ntref in float64; none for other cases."""
    if case.spec is None or 'params' in case.inputs:
        return []
    inputs = dict(case.inputs)
    options = {name: value for name, value in case.options.items() if name != 'get'}
    if 'pattern1' in inputs:
        options['pattern'] = inputs['pattern1'], inputs['pattern2']
    return layer_values(from_spec(case.spec), inputs['x1'], inputs['x2'], **options)


def as_json(cases: Iterable[Case]) -> str:
    """Return cases as JSON, with arrays as in the protocol: docs/oracle.md#cases-as-files."""
    return json.dumps({'format': FORMAT, 'cases': [encoded(_described(case)) for case in cases]})


def save_npz(path: str | PathLike, cases: Iterable[Case]) -> None:
    """Write cases into an archive of arrays; its array `json` has the rest: docs/oracle.md#cases-as-files."""
    arrays: dict[str, Any] = {}
    described = [_taken_out(_described(case), case.name, arrays) for case in cases]
    text = json.dumps({'format': FORMAT, 'cases': described})
    with open(path, 'wb') as f:
        numpy.savez_compressed(f, json=numpy.frombuffer(text.encode(), 'uint8'), **arrays)


def _described(case):
    return {
        'name': case.name,
        'kind': case.kind,
        'layers': list(case.layers),
        'spec': case.spec,
        'options': case.options,
        'inputs': case.inputs,
        'expected': case.expected,
        'scale': case.scale,
        'tolerance': case.tolerance,
        'sure': case.sure,
        'basis': case.basis,
        'note': case.note,
        'inside': [values._asdict() for values in values_inside(case)],
    }


def _taken_out(value, place, arrays):
    """Return `value` with the names of arrays in place of them, which are put into `arrays`."""
    if isinstance(value, dict):
        return {key: _taken_out(part, f'{place}/{key}', arrays) for key, part in value.items()}
    if isinstance(value, list):
        return [_taken_out(part, f'{place}/{i}', arrays) for i, part in enumerate(value)]
    if isinstance(value, numpy.ndarray):
        arrays[place] = value
        return place
    return value
