"""`ntref gpu-check`, on the stand-in for CuPy and without a device."""
import json
from dataclasses import replace

import numpy
import pytest
from kinds import to_numpy

from ntref.cli import main
from ntref.oracle import beside_kernels, conformance_cases, device_report, on_device
from ntref.oracle.device_report import Report
from ntref.oracle.on_device import Check, Time


FUNCTIONS = {**beside_kernels.FUNCTIONS}
FEW = [pair for pair in FUNCTIONS.items() if pair[0][1] in ('products', 'gradient of the evidence')]


@pytest.fixture
def device(cupy, monkeypatch, tmp_path):
    """A device by the stand-in, few and small checks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_device, 'device_name', lambda: 'a stand-in')
    monkeypatch.setattr(on_device, 'LIMIT', 2 ** 20)
    monkeypatch.setattr(on_device, 'CALLS', 21)
    monkeypatch.setattr(on_device, 'INPUTS', 80)
    monkeypatch.setattr(on_device, 'NETWORKS', {name: on_device.NETWORKS[name] for name in (
        'ReLU, 3 layers', 'Tanh', 'convolutions, pool')})
    monkeypatch.setattr(beside_kernels, 'FUNCTIONS', dict(FEW))
    monkeypatch.setattr(on_device, 'ROWS', {'small': (lambda library: library.Dense(1), (5, 3))})


def test_without_a_device(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_device, 'device_name', lambda: None)
    assert main(['gpu-check']) == 2
    assert '0 checks ran, since CuPy finds no device' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_name_without_cupy_or_a_device(monkeypatch):
    def missing(name):
        raise ImportError(name)
    monkeypatch.setattr(on_device, 'import_module', missing)
    assert on_device.device_name() is None


def test_all_that_is_checked(device, capsys, tmp_path):
    assert main(['gpu-check', '--select', 'dense/relu-2/*']) == 0
    out = capsys.readouterr().out
    cases = len(conformance_cases('dense/relu-2/*')) + len(conformance_cases('dense/relu-2/*', dtype='float32'))
    ran = cases + 2 * len(on_device.NETWORKS) + 2 * len(FEW) + 2
    assert f'{ran} checks ran: {ran} pass' in out and 'a stand-in' in out
    found = json.loads((tmp_path / 'ntref-gpu-check.json').read_text())
    assert found['device'] == 'a stand-in' and len(found['checks']) == ran
    assert {c['group'] for c in found['checks']} == {
        'memory', *(f'{group} {dtype}' for dtype in ('float64', 'float32')
                    for group in ('suite', 'tiles', 'finite networks', 'predictions'))}
    assert [t['name'] for t in found['times']] == ['small', 'small'] and found['times'][0]['theirs'] is None
    page = (tmp_path / 'ntref-gpu-check.html').read_text()
    assert 'Nothing.' in page and '<th>Neural Tangents</th>' in page


def test_what_fails_is_said(device, capsys, monkeypatch):
    """Wrong numbers, an error on the way, and memory that grows."""
    monkeypatch.setattr(on_device, 'to_host', lambda a: 1.01 * a.get())
    assert main(['gpu-check', '--select', 'dense/relu-2/pair', '--no-times', '--report', 'wrong']) == 1
    out = capsys.readouterr().out
    assert 'fail: suite float64, dense/relu-2/pair' in out and 'digits agree of' in out
    assert 'fail: tiles float32, Tanh: expected at most 1e-05, got' in out


def test_an_error_is_a_verdict(device, monkeypatch):
    def broken(*given, **options):
        raise ZeroDivisionError('so it is')
    case, = conformance_cases('dense/relu-2/pair')
    monkeypatch.setattr(on_device.answers, 'kernel', broken)
    check = on_device.of_case(case, 'float64')
    assert check.verdict == 'error' and check.reason == 'ZeroDivisionError: so it is' and check.has_failed
    monkeypatch.setattr(on_device, 'batch', broken)
    assert [c.verdict for c in on_device.checks('empirical/*') if c.group == 'memory'] == ['error', 'pass']


def test_what_came_back_to_the_host_is_said(device, monkeypatch):
    case, = conformance_cases('dense/relu-2/pair')
    kernel = on_device.answers.kernel
    monkeypatch.setattr(on_device.answers, 'kernel',
                        lambda *given, **options: {name: k.get() for name, k in kernel(*given, **options).items()})
    assert 'nngp is on the host' in on_device.of_case(case, 'float64').reason


@pytest.mark.parametrize('case', conformance_cases('empirical/*'), ids=str)
def test_empirical_kernels(case, device):
    check = on_device.of_case(case, 'float64')
    assert check.verdict == 'pass', check.reason


@pytest.mark.parametrize('name', FUNCTIONS, ids=', '.join)
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_what_is_checked_beside_kernels(name, dtype, cupy, monkeypatch):
    """It passes, and would not if the device gave other numbers."""
    measured, bound = beside_kernels.error(FUNCTIONS[name], dtype)
    assert measured <= bound
    monkeypatch.setattr(beside_kernels, 'to_host', lambda a: 1.001 * to_numpy(a))
    measured, bound = beside_kernels.error(FUNCTIONS[name], dtype)
    assert measured > bound


def test_nan_does_not_pass(device, monkeypatch):
    monkeypatch.setattr(on_device, 'to_host', lambda a: numpy.nan * a.get())
    verdicts = {c.group: c.verdict for c in on_device.checks('empirical/relu-erf/pair')}
    assert verdicts['tiles float64'] == verdicts['tiles float32'] == 'fail'


def test_the_report():
    checks = (Check('a', 'one', 'pass', 1e-16, 1e-13), Check('a', '<two>', 'fail', 2e-13, 1e-13, 'expected <less>'),
              Check('memory', 'three', 'error', reason='lost'))
    report = Report('a GPU', checks, (Time('row', 'float32', .5, numpy.nan, 2.),))
    assert report.summary == '3 checks ran: 1 pass, 1 fail, 1 error'
    assert report.groups()[0] == ('a', 2, 1, 2.) and numpy.isnan(report.groups()[1][3])
    text = device_report.as_text(report)
    assert text.endswith(report.summary) and '0.5         -         2' in text
    assert '&lt;two&gt;' in device_report.as_html(report) and 'expected &lt;less&gt;' in device_report.as_html(report)
    assert replace(report, checks=()).summary == '0 checks ran'
