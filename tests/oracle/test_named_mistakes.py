"""Known mistakes by name: adapters that make one of them, which the suite runs in processes of their own."""
import re
from xml.etree import ElementTree

import numpy
from places import ROOT
import pytest
import scipy.linalg

from ntref.oracle import conform, conformance_cases, report
from ntref.oracle.mistakes import MISTAKES, ROUNDING, cast, named

WRONG = ROOT / 'validation' / 'adapters' / 'wrong_adapter.py'
SAID = {name: mistake.numbers for name, mistake in MISTAKES.items()} | dict(
    zip(('float32-inside', 'arccos'), ROUNDING, strict=True))

CASES = {                       # mistakes of the adapter, by patched formulas -> cases where it is made
    'output-width': 'dense/relu-1/*',
    'weight-not-squared': 'dense/relu-1/*',
    'bias-forgotten': 'dense/relu-1/*',
    'own-weights-forgotten': 'dense/relu-1/*',
    'standard-as-ntk': 'dense/*standard*/*',
    'relu-slope': 'nonlinearity/Relu/*',
    'arccos': 'nonlinearity/Relu/*',
    'erf-constant': 'nonlinearity/Erf/*',
    'float32-inside': 'dense/relu-1/*',
    'second-ignored': 'dense/relu-1/*',
    'transposed': 'dense/relu-1/pair',
    'same-as-circular': 'conv/*same*/*',
    'pool-sum': 'pool/Avg*/*',
    'layer-norm-eps': 'norm/LayerNorm*/*',
    'residual': 'branches/*um*/*',
    'time': 'dynamics/*mse/*',
    'diagonal-absolute': 'dynamics/*',
    'trace-sum': 'empirical/relu-erf/*',
}
ALSO = {'transposed': 'reversed'}           # the adapter reverses the rows where a transposed kernel has another shape


@pytest.mark.parametrize('mistake', CASES)
def test_the_mistake_is_named(mistake):
    found = conform(f'{WRONG}:{mistake}', CASES[mistake], progress=False).outcomes
    failed = [outcome for outcome in found if outcome.verdict == 'fail']
    assert failed and all(SAID[ALSO.get(mistake, mistake)] in outcome.mistakes for outcome in failed)
    assert all(outcome.mistakes == () for outcome in found if outcome.verdict != 'fail')


def test_every_mistake_of_the_adapter_is_tried():
    text = WRONG.read_text()
    names = re.findall(r"'([\w-]+)': [A-Z]", text[text.index('MISTAKES = {'):text.index('asked =')])
    assert {'none', *CASES} == set(names) and len(CASES) == 18


# ------------------------------------------------------------------ mistakes of a few lines, by formulas of their own

def deep_linear(spec, x1, x2, weight=lambda w: w ** 2, bias=lambda b: b ** 2, divided=True, factor=1., swapped=False):
    """NNGP and NTK of dense layers, by hand."""
    k = x1 @ (x1 if x2 is None else x2).T / (x1.shape[1] if divided else 1)
    ntk = 0 * k
    for layer in spec.get('layers', [spec]):
        w, b = weight(layer.get('W_std', 1.)), bias(layer.get('b_std', 0.))
        k = w * k + b
        ntk = k + w * ntk
    return {'nngp': ntk, 'ntk': k} if swapped else {'nngp': factor * k, 'ntk': factor * ntk}


LINEAR = [case for case in conformance_cases('dense/*') if case.name in ('dense/linear/pair', 'dense/linear/same')]
BY_HAND = {
    'weight-not-squared': {'weight': abs},
    'bias-not-squared': {'bias': abs},
    'no-weights': {'weight': lambda w: 1.},
    'no-biases': {'bias': lambda b: 0.},
    'not-divided': {'divided': False},
    'doubled': {'factor': 2.},
    'halved': {'factor': .5},
}


@pytest.mark.parametrize('dtype', ['float64', 'float32'])
@pytest.mark.parametrize('mistake', BY_HAND)
def test_mistakes_of_a_linear_network(mistake, dtype):
    for case in LINEAR:
        inputs = cast(case.inputs, dtype)
        right = deep_linear(case.spec, inputs['x1'], inputs['x2'])
        case.check({name: a.astype(dtype) for name, a in right.items()}, dtype)
        wrong = deep_linear(case.spec, inputs['x1'], inputs['x2'], **BY_HAND[mistake])
        assert named(case, {name: a.astype(dtype) for name, a in wrong.items()}, dtype) == (SAID[mistake],)


def test_the_standard_parameterization_where_the_other_is_meant():
    """Theta' = n K + 1 of a layer with biases and n inputs."""
    case, = conformance_cases('dense/linear/pair')
    x1, x2 = case.inputs['x1'], case.inputs['x2']
    answer = {'nngp': case.expected['nngp'], 'ntk': x1 @ x2.T + 1}
    assert named(case, answer, 'float64') == (SAID['ntk-as-standard'],)


def test_a_loss_without_the_half():
    """Gradient flow twice as fast: 1 - exp(-2 Theta t / n) in place of 1 - exp(-Theta t / n)."""
    case, = conformance_cases('dynamics/gradient_descent_mse/training-outputs-alone')
    k, y = case.inputs['k_train_train'], case.inputs['y_train']
    for factor, numbers in ((1, ()), (2, (SAID['twice-the-time'],)), (y.size, (SAID['time'],)), (3, ())):
        along = [y - scipy.linalg.expm(-factor * t * k / y.size) @ y for t in case.options['t']]
        assert named(case, {'fx_train': numpy.array(along)}, 'float64') == numbers


def test_every_mistake_is_made_by_something_here():
    alone = 'ntk-as-standard', 'twice-the-time', 'swapped', 'ntk-doubled', 'ntk-halved', 'reversed', 'transposed'
    assert {*CASES, *BY_HAND, *alone} == set(SAID)


RELU, = conformance_cases('dense/relu-1/pair')
RIGHT = RELU.expected


@pytest.mark.parametrize('mistake, answer', [
    ('swapped', {'nngp': RIGHT['ntk'], 'ntk': RIGHT['nngp']}),
    ('transposed', {name: a.T for name, a in RIGHT.items()}),
    ('ntk-doubled', {'nngp': RIGHT['nngp'], 'ntk': 2 * RIGHT['ntk']}),
    ('ntk-halved', {'nngp': RIGHT['nngp'], 'ntk': RIGHT['ntk'] / 2}),
    ('doubled', {name: 2 * a for name, a in RIGHT.items()}),
    ('reversed', {name: a[::-1] for name, a in RIGHT.items()}),
    ('float32-inside', {name: a.astype('float32').astype('float64') for name, a in RIGHT.items()})])
def test_mistakes_with_results(mistake, answer):
    assert named(RELU, answer, 'float64') == (SAID[mistake],)


def test_one_kernel_alone_will_do():
    assert named(RELU, {'nngp': None, 'ntk': RIGHT['ntk'] / 2}, 'float64') == (SAID['halved'], SAID['ntk-halved'])


def test_all_mistakes_with_the_same_numbers_are_named():
    """Two outputs, the trace of which was not divided by 2."""
    finite, = conformance_cases('empirical/relu-erf/pair')
    doubled = {name: 2 * a for name, a in finite.expected.items()}
    assert named(finite, doubled, 'float64') == (SAID['trace-sum'], SAID['doubled'])


@pytest.mark.parametrize('answer', [
    RIGHT, {name: a * (1 + 1e-11) for name, a in RIGHT.items()}, {name: a + .1 for name, a in RIGHT.items()},
    {'nngp': RIGHT['nngp'], 'ntk': 3 * RIGHT['ntk']}, {}, dict.fromkeys(RIGHT), dict.fromkeys(RIGHT, 'complex128'),
    {name: a * numpy.nan for name, a in RIGHT.items()}, {name: a[:0] for name, a in RIGHT.items()},
    {name: a[..., None] for name, a in RIGHT.items()}, {name: numpy.float64(1) for name in RIGHT}])
def test_other_numbers_have_no_name(answer):
    assert named(RELU, answer, 'float64') == ()


@pytest.mark.parametrize('case', conformance_cases()[::5], ids=str)
def test_right_numbers_have_no_name(case):
    assert named(case, case.expected, 'float64') == ()


def test_mistakes_that_change_nothing_in_a_case_are_not_named():
    """No layer has a bias of other than 0 or 1 here: squared or not, it is the same."""
    case, = conformance_cases('dense/linear/pair')
    plain = {'layer': 'Dense', 'out_dim': 1}
    k = case.inputs['x1'] @ case.inputs['x2'].T / case.inputs['x1'].shape[1]
    other = type(case)(**{**vars(case), 'spec': plain, 'expected': dict.fromkeys(('nngp', 'ntk'), k)})
    wrong = {name: 2 * k for name in ('nngp', 'ntk')}
    assert named(other, wrong, 'float64') == (SAID['doubled'],)


# ------------------------------------------------------------------ in the reports

@pytest.fixture(scope='module')
def result():
    return conform(f'{WRONG}:weight-not-squared', 'dense/[lr]*-1/*', progress=False)


def test_worst_entries_are_got_beside_expected(result):
    outcome = next(one for one in result.outcomes if one.verdict == 'fail')
    case, = conformance_cases(outcome.name)
    assert {entry.array for entry in outcome.worst} == {'nngp', 'ntk'} and len(outcome.worst) == 6
    for name in ('nngp', 'ntk'):
        entries = [entry for entry in outcome.worst if entry.array == name]
        assert [entry.digits for entry in entries] == sorted(entry.digits for entry in entries)
        assert entries[0].digits == outcome.digits[name]
        for entry in entries:
            e, g = case.expected[name][entry.place], entry.got
            scale = numpy.broadcast_to(case.scale[name], case.expected[name].shape)[entry.place]
            error = abs(g - e) / max(abs(e), scale)
            assert entry.expected == e and g != e
            assert abs(max(0, -numpy.log10(error)) - entry.digits) < 1e-9


def test_they_are_printed_below_the_row(result):
    outcome = next(one for one in result.outcomes if one.verdict == 'fail')
    head, *rows, last = report.details(outcome)
    assert head.split() == ['entry', 'expected', 'got', 'digits']
    assert last == 'these are the numbers of W_std not squared'
    for row, entry in zip(rows, outcome.worst, strict=True):
        assert row.split()[-3:] == [repr(entry.expected), repr(entry.got), f'{entry.digits:.1f}']
    assert all(report.details(one) == [] for one in result.outcomes if one.verdict == 'pass')


def test_they_are_in_the_page(result):
    assert 'the numbers of W_std not squared' in report.as_html(result)


def test_junit(result):
    suite = ElementTree.fromstring(report.as_junit(result))
    cases = suite.findall('testcase')
    failures = [case.find('failure') for case in cases]
    assert suite.tag == 'testsuite' and len(cases) == int(suite.get('tests')) == len(result.outcomes)
    assert sum(one is not None for one in failures) == int(suite.get('failures')) == result.count('fail') > 0
    assert (suite.get('errors'), suite.get('skipped')) == ('0', '0')
    for case, failure, outcome in zip(cases, failures, result.outcomes):
        assert f'{case.get("classname")}/{case.get("name")}' == outcome.name
        assert (failure is None) == (outcome.verdict == 'pass')
        if failure is not None:
            assert failure.get('message') == outcome.reason and failure.text.splitlines() == report.details(outcome)
    versions = {one.get('name'): one.get('value') for one in suite.iter('property')}
    assert versions == result.versions | {'dtype': 'float64', 'command': result.command}
