"""The cases of the conformance suite: what they cover, that ntref passes them, that they can be made again."""
import json
import warnings
from datetime import date
from fnmatch import fnmatchcase

import numpy
import pytest

from ntref import stax
from ntref.oracle import cases, conformance_cases, generate
from ntref.oracle.catalogue import catalogue

CASES = conformance_cases()
WITHOUT = {'AggregateImplementation', 'AttentionMechanism', 'Bool', 'Diagonal', 'Layer', 'LayerError', 'MaskedArray',
           'Padding', 'PositionalEmbedding', 'from_spec', 'layer', 'requires', 'supports_masking', 'unmask_fn'}
"""No kernel of their own."""
FUNCTIONS = {'Elementwise', 'ElementwiseNumerical'}
"""Made of functions, which are no JSON."""


def result(case, dtype):
    """What ntref gives."""
    given = {name: a.astype(dtype) if getattr(getattr(a, 'dtype', 0), 'kind', '') == 'f' else a
             for name, a in case.inputs.items()}
    options = dict(case.options)
    if 'pattern1' in given:
        options['pattern'] = given['pattern1'], given['pattern2']
    net = stax.from_spec(case.spec)
    return net.kernel_fn(given['x1'], given['x2'], tuple(options.pop('get')), **options)


@pytest.mark.parametrize('dtype', ['float64', 'float32'])
@pytest.mark.parametrize('family', sorted({case.name.partition('/')[0] for case in CASES}))
def test_ntref_passes(family, dtype):
    for case in conformance_cases(f'{family}/*', dtype=dtype):
        case.check(result(case, dtype), dtype)
