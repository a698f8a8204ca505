"""`ntref cases`: lists, text and files of the suite, and the kernels inside networks."""
import json
import re

import numpy
import pytest

from ntref import stax
from ntref.cli import main
from ntref.oracle import conformance_cases, layer_values, worker
from ntref.oracle.export import values_inside


def test_the_list_has_every_case_once(capsys):
    assert main(['cases', 'list']) == 0
    rows = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    cases = conformance_cases()
    assert [row[0] for row in rows] == [case.name for case in cases]
    assert [(row[1], int(row[2]), row[3]) for row in rows] == [
        (case.kind, round(case.wanted('float64')), ', '.join(case.layers)) for case in cases]


def test_a_case_as_text_has_all_its_numbers(capsys):
    assert main(['cases', 'show', 'dense/relu-1/pair']) == 0
    said = capsys.readouterr().out
    case, = conformance_cases('dense/relu-1/pair')
    numbers = set(map(float, re.findall(r'-?\d+\.\d*(?:e[-+]\d+)?', said)))
    for a in (case.inputs['x1'], case.expected['ntk'], values_inside(case)[1].kernels['nngp']):
        assert set(map(float, a.ravel())) <= numbers
    assert repr(stax.from_spec(case.spec)) in said and json.dumps(case.spec) in said
    assert 'ntk after 1, Relu (4, 3):' in said


@pytest.mark.parametrize('name', ['empirical/relu-erf/all-outputs', 'dynamics/*mse_steps*'])
def test_cases_without_kernels_inside_as_text(name, capsys):
    case = conformance_cases(name)[0]
    assert main(['cases', 'show', case.name]) == 0
    said = capsys.readouterr().out
    assert 'after' not in said and all(f'{name} expected' in said for name in case.expected)


# ------------------------------------------------------------------ files

def in_json(path):
    """Cases in a file as JSON, with arrays in place of what stands for them."""
    table = json.loads(path.read_text())
    assert table['format'] == 1
    return [worker.decoded(row) for row in table['cases']]


def in_npz(path):
    with numpy.load(path) as arrays:
        table = json.loads(arrays['json'].tobytes().decode())
        assert table['format'] == 1

        def put_in(value):
            if isinstance(value, dict):
                return {key: put_in(part) for key, part in value.items()}
            if isinstance(value, list):
                return list(map(put_in, value))
            return arrays[value] if isinstance(value, str) and value in arrays else value
        return list(map(put_in, table['cases']))


@pytest.mark.parametrize('ending, read', [('json', in_json), ('npz', in_npz)])
@pytest.mark.parametrize('select', ['dense/relu-*', 'dynamics/*mse*', 'empirical/*', 'graph*/*', 'pool/*'])
def test_files_have_the_cases_to_the_last_bit(select, ending, read, tmp_path, capsys):
    path = tmp_path / f'cases.{ending}'
    cases = conformance_cases(select)
    assert main(['cases', 'export', select, '--out', str(path)]) == 0
    assert capsys.readouterr().out == f'{path}: {len(cases)} cases\n'
    for case, row in zip(cases, read(path), strict=True):
        assert (row['name'], row['kind'], row['layers'], row['spec']) == (
            case.name, case.kind, list(case.layers), case.spec)
        assert (row['tolerance'], row['sure'], row['basis'], row['note']) == (
            case.tolerance, case.sure, case.basis, case.note)
        numpy.testing.assert_equal(row['options'], case.options)
        for what in ('inputs', 'expected', 'scale'):
            numpy.testing.assert_equal(row[what], getattr(case, what), strict=True)
        inside = values_inside(case)
        assert [one['place'] for one in row['inside']] == [values.place for values in inside]
        for one, values in zip(row['inside'], inside):
            numpy.testing.assert_equal(one, values._asdict())


# ------------------------------------------------------------------ kernels inside

def test_the_last_kernels_are_those_of_the_case():
    """Certified values; masks, patterns, positions, branches included."""
    cases = conformance_cases(kind='kernel')[::4]
    assert len(cases) > 80
    for case in cases:
        last = values_inside(case)[-1].kernels
        assert [fault for name in case.expected if (fault := case.compared(last[name], name, 'float64')[1])] == [], case


RNG = numpy.random.default_rng(0)
VECTORS, IMAGES = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 5, 4, 2))
CONV = stax.Conv(8, (3, 3), padding='SAME', b_std=.2)
NETWORKS = {
    'dense': ((stax.Dense(8, 1.3, .2), stax.Relu(), stax.Dense(8, 1.1), stax.Erf(), stax.Dense(1)), VECTORS),
    'no weights first': ((stax.Identity(), stax.Dense(8), stax.Gelu(), stax.Dense(1)), VECTORS),
    'images': ((CONV, stax.Relu(), stax.AvgPool((2, 2)), CONV, stax.Erf(), stax.Flatten(), stax.Dense(1)), IMAGES),
    'averaged': ((CONV, stax.Relu(), CONV, stax.GlobalAvgPool(), stax.Dense(1)), IMAGES),
    'normalized': ((CONV, stax.Relu(), CONV, stax.LayerNorm(), stax.Flatten()), IMAGES),
}


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('has_x2', [False, True])
def test_kernels_inside_are_those_of_the_network_up_to_there(name, has_x2):
    layers, x = NETWORKS[name]
    x2 = x[::-1] * .7 if has_x2 else None
    found = layer_values(stax.serial(*layers), x, x2)
    assert [values.layer for values in found] == [layer.name for layer in layers]
    assert [values.place for values in found] == [str(i) for i in range(len(layers))]
    for n, values in enumerate(found, 1):
        k = stax.serial(*layers[:n]).kernel_fn(x, x2, diagonal_spatial=values.diagonal_spatial)
        assert set(values.kernels) == {'nngp', 'ntk', 'cov1'} | ({'cov2'} if has_x2 else set())
        for kernel, a in values.kernels.items():
            numpy.testing.assert_allclose(a, getattr(k, kernel), rtol=1e-14, atol=1e-15)


def test_places_of_layers_within_others():
    block = stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(4), stax.serial(stax.Relu(), stax.Dense(4))),
                        stax.FanInSum())
    found = layer_values(stax.serial(stax.Dense(4), stax.repeat(block, 2)), VECTORS)
    inner = [f'1.{time}.{place}' for time in (0, 1) for place in ('1.0', '1.1.0', '1.1.1', '2')]
    assert [values.place for values in found] == ['0', *inner]
    assert [values.layer for values in found] == ['Dense', *['Dense', 'Relu', 'Dense', 'FanInSum'] * 2]
    k = stax.serial(stax.Dense(4), block).kernel_fn(VECTORS, None, ('nngp', 'ntk'))
    numpy.testing.assert_allclose(found[4].kernels['ntk'], k.ntk, rtol=1e-15)


def test_a_layer_alone_has_no_place():
    (place, layer, kernels, _), = layer_values(stax.Dense(1, 2.), VECTORS)
    assert (place, layer) == ('', 'Dense')
    numpy.testing.assert_allclose(kernels['nngp'], 4 * VECTORS @ VECTORS.T / 3, rtol=1e-14, atol=1e-15)
