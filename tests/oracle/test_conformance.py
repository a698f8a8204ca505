"""The conformance suite run against adapters, good and bad: verdicts, processes, table, JSON and page."""
import ast
import importlib
import json
import os
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy
from places import ROOT
import pytest

from ntref import oracle
from ntref.cli import main
from ntref.engine import run as run_module
from ntref.oracle import Case, adapter, conform, conformance, report, worker
from ntref.oracle.adapter import Adapter, command
from ntref.oracle.conformance import judged, run

X = numpy.array([[1., 2.], [3., 4.], [-1., .5]])


def linear(name, x2, get=('nngp', 'ntk'), **options):
    """x x' / 2: a layer without bias, by hand."""
    k = X @ (X if x2 is None else x2).T / 2
    spec, ones = {'layer': 'Dense', 'out_dim': 1}, numpy.ones_like(k)
    return Case(name, 'kernel', ('Dense',), spec, {'x1': X, 'x2': x2}, {'get': list(get)} | options,
                dict.fromkeys(get, k), dict.fromkeys(get, ones), {'float64': 1e-13, 'float32': 1e-5})


ALONE, PAIR = linear('dense/linear/alone', None), linear('dense/linear/pair', X[:2])
GOOD = 'x1 @ (x1 if x2 is None else x2).T / 2'


def adapter_file(tmp_path, bad, head='', signature='spec, x1, x2, get'):
    """An adapter that does `bad` where x2 is None, and is right elsewhere."""
    path = tmp_path / 'adapter.py'
    path.write_text(f'import os, sys, time\nimport numpy\n{head}\ndef kernel({signature}):\n    if x2 is None:\n'
                    f'        {bad}\n    k = {GOOD}\n    return dict(nngp=k, ntk=k)\n')
    return str(path)


def program(tmp_path, body):
    """A program, which has each request as `request`, and sends lines by `say`."""
    path = tmp_path / 'program'
    path.write_text(f'#!{sys.executable}\nimport json, os, sys, time\ndef say(text):\n    print(text, flush=True)\n'
                    'for line in sys.stdin:\n    request = json.loads(line)\n'
                    f'    id, call = request["id"], request["call"]\n{body}\n')
    path.chmod(0o755)
    return str(path)


def outcomes(given, cases=(ALONE, PAIR), dtype='float64', limit=20., python=None):
    with Adapter(command(given, python), limit) as answers:
        return [run(case, answers, dtype) for case in cases]


# ------------------------------------------------------------------ adapters of Python

BAD = {                      # what it does -> verdict, and what is said
    'raise RuntimeError("boom")': ('crashed', r'RuntimeError: boom \(adapter.py, line 6\)'),
    'raise NotImplementedError("no x2")': ('unsupported', 'no x2'),
    'time.sleep(100)': ('too slow', 'no answer within 2 s'),
    'os._exit(3)': ('crashed', 'ended with status 3'),
    'sys.exit("licence")': ('crashed', 'ended with status 1: licence'),
    'os.kill(os.getpid(), 9)': ('crashed', 'was killed by SIGKILL'),
    'os.abort()': ('crashed', 'was killed by SIGABRT'),
    'return None': ('crashed', 'TypeError: expected a dict of arrays from kernel, got NoneType'),
    'return "k"': ('crashed', 'TypeError: expected a dict'),
    'return {}': ('fail', 'nngp: no array; ntk: no array'),
    'return {"nngp": x1 @ x1.T / 2}': ('fail', '^ntk: no array'),
    'return {"nngp": None, "ntk": None}': ('unsupported', 'without nngp and ntk'),
    'return {"nngp": "k", "ntk": x1}': ('fail', 'nngp: expected dtype float64, got str'),
    'return {"nngp": x1 + 1j, "ntk": x1}': ('fail', 'nngp: expected dtype float64, got complex128'),
    'return dict.fromkeys(get, numpy.array([[1, 2], [None, 3]]))': ('fail', 'expected dtype float64, got object'),
    'return dict.fromkeys(get, (x1 @ x1.T / 2).astype("float32"))': ('fail', 'expected dtype float64, got float32'),
    'return dict.fromkeys(get, (x1 @ x1.T / 2)[:2])': ('fail', r'expected shape \(3, 3\), got \(2, 3\)'),
    'return dict.fromkeys(get, (x1 @ x1.T / 2)[..., None])': ('fail', r'expected shape \(3, 3\), got \(3, 3, 1\)'),
    'return dict.fromkeys(get, numpy.full((3, 3), numpy.nan))': ('fail', r'nan at \(0, 0\), and at 9 of 9 entries'),
    'return dict.fromkeys(get, x1 @ x1.T / numpy.array([[2, 2, 2], [2, 0, 2], [2, 2, 2.]]))': (
        'fail', r'inf at \(1, 1\), and at 1 of 9'),
    'return dict.fromkeys(get, x1 @ x1.T / 2 * (1 + 1e-9))': ('fail', r'nngp: 9.0 digits agree of 13.0 at \(\d, \d\)'),
    'return dict.fromkeys(get, numpy.zeros((400, 400)))': ('crashed', 'expected an answer of at most 0 MB, got more'),
}


@pytest.mark.parametrize('bad', BAD)
def test_bad_adapters_are_reported_and_the_suite_goes_on(bad, tmp_path, monkeypatch):
    monkeypatch.setattr(adapter, 'MAX_ANSWER', 1 << 18)
    verdict, said = BAD[bad]
    first, second = outcomes(adapter_file(tmp_path, bad.replace('x1 @ x1.T / numpy', 'x1.dot(x1.T) / numpy'),
                                          'numpy.seterr(all="ignore")'), limit=2. if 'sleep' in bad else 20.)
    assert (first.verdict, second.verdict) == (verdict, 'pass') and re.search(said, first.reason), first
    assert first.has_failed == (verdict != 'unsupported') and second.least > 15


@pytest.mark.parametrize('noise', [
    'print("hello")', 'os.write(1, b"hello\\n")', 'os.system("echo hello")', 'sys.stderr.write("x" * 300000)',
    'print("x" * 300000)'])
def test_what_an_adapter_prints_is_no_answer(noise, tmp_path):
    assert [o.verdict for o in outcomes(adapter_file(tmp_path, noise, noise))] == ['pass', 'pass']


@pytest.mark.parametrize('head, verdict, said', [
    ('sys.exit("no licence")', 'crashed', 'did not start: ended with status 1: no licence'),
    ('import no_such_library', 'crashed', "did not start: ended with status 1: ModuleNotFoundError: .*no_such_library"),
    ('def broken(:', 'crashed', 'did not start: .*SyntaxError'),
    ('time.sleep(100)', 'too slow', 'did not start: no answer within 1 s')])
def test_adapters_that_do_not_start_are_tried_twice(head, verdict, said, tmp_path, monkeypatch):
    monkeypatch.setattr(adapter, 'START_SECONDS', 1. if 'sleep' in head else 20.)
    started = tmp_path / 'started'
    path = adapter_file(tmp_path, 'pass', f'open({str(started)!r}, "a").write("x")\n{head}')
    if 'broken' in head:
        started.write_text('xx')
    found = outcomes(path, (ALONE, PAIR, ALONE, PAIR), limit=1.)
    assert [o.verdict for o in found] == [verdict] * 4 and all(re.search(said, o.reason) for o in found), found[0]
    assert started.read_text() == 'xx'


def test_one_failed_start_is_forgotten(tmp_path):
    mark = tmp_path / 'mark'
    first = f'if not os.path.exists({str(mark)!r}):\n    open({str(mark)!r}, "w")\n    sys.exit("busy")\n'
    path = adapter_file(tmp_path, 'os._exit(1)', first)
    assert [o.verdict for o in outcomes(path, (PAIR, PAIR, ALONE, PAIR))] == ['crashed', 'pass', 'crashed', 'pass']


def test_what_an_adapter_started_ends_with_it(tmp_path):
    child = tmp_path / 'child'
    bad = f'os.system("sleep 300 & echo $! > {child}"); time.sleep(100)'
    assert [o.verdict for o in outcomes(adapter_file(tmp_path, bad), limit=2.)] == ['too slow', 'pass']
    for _ in range(50):
        try:
            state = Path(f'/proc/{int(child.read_text())}/stat').read_text().split()[2]
        except OSError:
            state = 'Z'
        if state == 'Z':
            break
        time.sleep(.1)
    assert state == 'Z'


def test_signatures_say_what_is_supported(tmp_path):
    masked = linear('dense/linear/masked', X[:2], mask_constant=7.)
    found, = outcomes(adapter_file(tmp_path, 'pass'), [masked])
    assert found.verdict == 'unsupported' and 'mask_constant' in found.reason
    found, = outcomes(adapter_file(tmp_path, 'pass', signature='spec, x1, x2, get, **options'), [masked])
    assert found.verdict == 'pass'


def test_one_array_for_one_name_and_parts_of_what_is_asked(tmp_path):
    path = adapter_file(tmp_path, f'return {GOOD}')
    assert outcomes(path, [linear('a/b/c', None, ['ntk'])])[0].verdict == 'pass'
    assert outcomes(path)[0].verdict == 'crashed'
    found = outcomes(adapter_file(tmp_path, f'return dict(ntk={GOOD}, nngp=None)'))[0]
    assert (found.verdict, found.reason, list(found.digits)) == ('pass', 'without nngp', ['ntk'])


def test_calls_an_adapter_lacks_and_has(tmp_path):
    like = {name: getattr(ALONE, name) for name in ('layers', 'expected', 'scale', 'tolerance')}
    finite = Case('empirical/a/b', 'empirical', spec={}, inputs={'x1': X, 'x2': None, 'params': [X, X]},
                  options={'get': ['nngp', 'ntk'], 'trace_axes': []}, **like)
    dynamics = Case('dynamics/a/b', 'predict', spec=None, inputs={'k': X}, options={'function': 'f', 't': 2}, **like)
    found = outcomes(adapter_file(tmp_path, 'pass'), [finite, dynamics])
    assert [o.reason for o in found] == ['the adapter has no function empirical', 'the adapter has no function predict']
    head = (f'def empirical(spec, params, x1, x2, get, trace_axes):\n    assert len(params) == 2\n    k = {GOOD}\n'
            '    return dict(nngp=k, ntk=k)\n'
            'def predict(function, inputs, options):\n    assert function == "f" and options == {"t": 2}\n'
            '    k = inputs["k"] @ inputs["k"].T / 2\n    return dict(nngp=k, ntk=k)\n')
    assert [o.verdict for o in outcomes(adapter_file(tmp_path, 'pass', head), [finite, dynamics])] == ['pass', 'pass']


def test_float32(tmp_path):
    assert [o.verdict for o in outcomes(adapter_file(tmp_path, 'assert x1.dtype == "float32"'), dtype='float32')] == [
        'pass', 'pass']
    bad = 'return dict.fromkeys(get, x1.astype("float64") @ x1.T / 2)'
    assert 'expected dtype float32, got float64' in outcomes(adapter_file(tmp_path, bad), dtype='float32')[0].reason


def test_arguments_and_prepare(tmp_path):
    path = adapter_file(tmp_path, 'pass', 'def about(): return {"mine": sys.argv[1], "ready": ready}\n'
                        'def prepare():\n    global ready\n    ready = 1\n')
    with Adapter(command(f'{path}:fast'), 20.) as answers:
        run(PAIR, answers, 'float64')
        assert answers.about == {'mine': 'fast', 'ready': '1', 'Python': answers.about['Python'],
                                 'NumPy': numpy.__version__}


# ------------------------------------------------------------------ programs

SAYS = {
    'say("Loading...")': 'expected an answer as JSON on a line, got Loading...',
    'say("[1, 2]")': r'expected an object \{...\} as answer, got \[1, 2\]',
    'say("[" * 100000)': r'expected an answer as JSON on a line, got \[\[',
    'say("1" * 5000)': 'expected an answer as JSON on a line, got 111',
    'say(json.dumps({"id": id + 1, "result": {}}))': r'expected an answer \{"id": 2, .*\}, got \{"id": 3',
    'say(json.dumps({"id": id}))': 'expected an answer',
    'say(json.dumps({"id": id, "result": [1]}))': 'expected an answer',
    'say(json.dumps({"id": id, "error": "no such layer"}))': '^no such layer$',
    'say(json.dumps({"id": id, "result": {"shape": [1], "dtype": "float64", "data": [1]}}))': 'expected an answer',
    'say(json.dumps({"id": id, "result": {"shape": [1], "dtype": "object", "data": [1]}}))': 'expected an answer',
    'sys.stdout.buffer.write(b"\\xff\\xfe\\n"); sys.stdout.flush()': 'expected an answer as JSON',
    'os.close(1); time.sleep(100)': 'closed its output',
    'sys.exit()': 'ended with status 0',
    'say("x" * 100 + "\\n" + "y")': 'expected an answer as JSON',
    'while True: sys.stdout.write("x" * 1000)': 'expected an answer of at most 0 MB, got more',
    **{f'say(json.dumps({{"id": id, "result": {{"nngp": {array}}}}}))': said for array, said in {
        '{"shape": [2], "dtype": "float64", "data": [1]}': r'expected 2 numbers for shape \[2\], got 1',
        '{"shape": [-1], "dtype": "float64", "data": [1]}': 'expected an array as',
        '{"shape": 1, "dtype": "float64", "data": [1]}': 'expected an array as',
        '{"shape": [1], "dtype": "float64", "data": 1}': 'expected an array as',
        '{"shape": [1], "dtype": "float3", "data": [1]}': 'expected float3 as data',
        '{"shape": [1], "dtype": "float64", "data": ["a"]}': 'expected (float64|int8) as data',
        '{"shape": [1], "dtype": "float64", "data": [[1, 2]]}': 'expected (float64|int8) as data',
        '{"shape": [1], "dtype": "int8", "data": [1000]}': 'expected (float64|int8) as data',
        '{"shape": [10 ** 9], "dtype": "float64", "data": []}': 'expected 1000000000 numbers'}.items()}}
ANSWER = """
    if call == 'about':
        say(json.dumps({{'id': id, 'unsupported': 'nothing to say'}}))
    elif request['inputs']['x2'] is None:
        {bad}
    else:
        n, (a, b) = 2, [request['inputs'][name] for name in ('x1', 'x2')]
        assert request['dtype'] == a['dtype'] == 'float64' and request['options'] == {{'get': ['nngp', 'ntk']}}
        rows = [[a['data'][n * i:n * i + n] for i in range(a['shape'][0])] for a in (a, b)]
        data = [sum(x * y for x, y in zip(left, right)) / n for left in rows[0] for right in rows[1]]
        k = {{'shape': [a['shape'][0], b['shape'][0]], 'dtype': 'float64', 'data': data}}
        say(json.dumps({{'id': id, 'result': {{'nngp': k, 'ntk': k}}}}))"""


@pytest.mark.parametrize('bad', SAYS)
def test_programs_that_talk_nonsense(bad, tmp_path, monkeypatch):
    monkeypatch.setattr(adapter, 'MAX_ANSWER', 1 << 19)
    first, second = outcomes(program(tmp_path, ANSWER.format(bad=bad)), limit=10.)
    assert (first.verdict, second.verdict) == ('crashed', 'pass') and re.search(SAYS[bad], first.reason), first


@pytest.mark.parametrize('place', ['{"nngp": ?}', '?', '{"ntk": {"shape": [1], "dtype": "float64", "data": ?}}'])
def test_answers_that_are_nested_deep_end_nothing(place, tmp_path):
    """Wherever the interpreter's limit is reached: reading JSON, arrays, or telling what came."""
    before, after = place.split('?')
    body = ANSWER.format(bad=f"""deep = 40 * id
        say('{{"id": %d, "result": {before}' % id + '[' * deep + ']' * deep + '{after}}}')""")
    found = outcomes(program(tmp_path, body), [ALONE] * 25 + [PAIR])
    assert {o.verdict for o in found[:-1]} <= {'fail', 'crashed'} and found[-1].verdict == 'pass'
    assert 'as JSON' in found[-2].reason and max(len(o.reason) for o in found) < 2200


def test_an_answer_without_an_end_is_read_in_one_pass(tmp_path, monkeypatch):
    """What came before is not searched again with each piece."""
    class Counted(bytearray):
        def __contains__(self, part):
            searched.append(len(self))
            return super().__contains__(part)
    searched = []
    monkeypatch.setattr(adapter, 'bytearray', Counted, raising=False)
    monkeypatch.setattr(adapter, 'MAX_ANSWER', 1 << 22)
    found, = outcomes(program(tmp_path, ANSWER.format(bad='while True: sys.stdout.write("x" * 1000)')), [ALONE])
    assert found.reason == 'expected an answer of at most 4 MB, got more' and sum(searched) < 1 << 20


ESCAPES = '\x1b[31mred\x1b]0;title\x07\x9b2J\r\x08\u202e'


@pytest.mark.parametrize('answer', [
    {'error': f'no {ESCAPES}'}, {'unsupported': ESCAPES}, {'error': [ESCAPES]}, {'strange': ESCAPES},
    {'result': {'nngp': {'shape': [1], 'dtype': f'float{ESCAPES}', 'data': [1]}}},
    {'result': {'nngp': {'shape': [1], 'dtype': ESCAPES, 'data': [1]}}},
    {'result': {'nngp': {'shape': [1], 'dtype': 'float64', 'data': [ESCAPES]}}}, ESCAPES])
def test_what_a_terminal_would_act_on_is_shown(answer, tmp_path, capsys):
    text = repr(json.dumps(answer, ensure_ascii=False)) if isinstance(answer, dict) else None
    bad = f'say({text}.replace("{{", \'{{"id": %d, \' % id, 1))' if text else f'say({answer!r})'
    bad = bad if text else f'sys.stderr.write({answer!r}); sys.stderr.flush(); os._exit(3)'
    found, = outcomes(program(tmp_path, ANSWER.format(bad=bad)), [ALONE])
    said = report.line(found, 20)
    assert said.isprintable() and '\\u202e' in said, said


def test_versions_are_printable_too(tmp_path):
    path = adapter_file(tmp_path, 'pass', f'def about(): return {{{ESCAPES!r}: {ESCAPES!r}}}')
    with Adapter(command(path), 20.) as answers:
        run(PAIR, answers, 'float64')
        assert all(text.isprintable() for pair in answers.about.items() for text in pair) and len(answers.about) == 3


def test_reasons_are_whole_in_files_and_on_a_terminal(suite, tmp_path, capsys, monkeypatch):
    path = adapter_file(tmp_path, 'raise ValueError("a " * 400 + "the cause")')
    assert main(['conform', path, '--report', str(tmp_path / 'page.html')]) == 1
    whole = f'ValueError: {"a " * 400}the cause (adapter.py, line 6)'
    assert whole in capsys.readouterr().out and whole in (tmp_path / 'page.html').read_text()
    monkeypatch.setattr('sys.stdout.isatty', lambda: True, raising=False)
    assert main(['conform', path]) == 1
    line, *_ = capsys.readouterr().out.splitlines()
    assert line.endswith(f'crashed: {whole}')
    path = adapter_file(tmp_path, 'return dict.fromkeys(get, x1 @ x1.T / 2 * (1 + 1e-9))')
    assert main(['conform', path]) == 1
    line, *_ = capsys.readouterr().out.splitlines()
    assert re.search(r'nngp: 9.0 digits agree of 13.0 at \(\d, \d\): expected ([-\d.]+), got \1[\d.]+; too few in '
                     r'\d of 9 entries; ntk: 9.0 .* got [-\d.]+', line)


@pytest.mark.parametrize('number, verdict, said', [
    ('"nan"', 'fail', 'nan at'), ('float("nan")', 'fail', 'nan at'), ('"inf"', 'fail', 'inf at'),
    ('5', 'fail', '0.0 digits')])
def test_programs_that_give_strange_numbers(number, verdict, said, tmp_path):
    bad = (f'k = {{"shape": [3, 3], "dtype": "float64", "data": [{number}] * 9}}; '
           'say(json.dumps({"id": id, "result": {"nngp": k, "ntk": k}}))')
    first, second = outcomes(program(tmp_path, ANSWER.format(bad=bad)))
    assert (first.verdict, second.verdict) == (verdict, 'pass') and said in first.reason


def test_a_program_that_does_not_read_is_too_slow(tmp_path):
    path = program(tmp_path, '    say(json.dumps({"id": id, "unsupported": ""}))\n    time.sleep(100)')
    inputs = {'x1': numpy.ones((300, 300)) / 3, 'x2': None}
    large = Case('a/b/c', 'kernel', ('Dense',), {}, inputs, {'get': ['ntk']}, {}, {}, {'float64': 1e-13})
    found, = outcomes(path, [large], limit=1.)
    assert found.verdict == 'too slow' and found.seconds < 10


def test_files_that_are_no_adapters(tmp_path):
    with pytest.raises(FileNotFoundError, match='no-such.py, which is not there'):
        command('no-such.py')
    with pytest.raises(FileNotFoundError):
        command(str(tmp_path))
    plain = tmp_path / 'plain'
    plain.write_text('hello')
    with pytest.raises(PermissionError, match='neither. chmod [+]x'):
        command(str(plain))
    plain.chmod(0o755)
    found = outcomes(str(plain))
    assert [o.verdict for o in found] == ['crashed'] * 2 and 'did not start' in found[0].reason
    python = adapter_file(tmp_path, 'pass')
    with pytest.raises(FileNotFoundError, match='expected a Python interpreter, got .*no-python'):
        command(python, str(tmp_path / 'no-python'))
    odd = tmp_path / 'a:b.py'
    odd.write_text('')
    assert command(str(odd))[2:] == [str(odd)]
    assert command(f'{python}:x')[2:] == [python, 'x']


# ------------------------------------------------------------------ the worker

def test_the_worker_needs_old_python_and_numpy_alone():
    tree = ast.parse(Path(worker.__file__).read_text(), feature_version=(3, 9))
    names = {a.name.partition('.')[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    assert names <= {*sys.stdlib_module_names, 'numpy'}


@pytest.mark.parametrize('array', [
    numpy.array([[.1, -0., 1e-310], [numpy.nan, numpy.inf, -numpy.inf]]), numpy.zeros((0, 3)), numpy.array(1 / 3),
    numpy.array([1 / 3, 16777217], 'float32'), numpy.array([True, False]), numpy.arange(6).reshape(2, 3)])
def test_arrays_go_through_json_to_the_last_bit(array):
    there = worker.decoded(json.loads(json.dumps(worker.encoded({'a': [array, None]}), allow_nan=False)))
    assert there['a'][1] is None and there['a'][0].dtype == array.dtype and there['a'][0].shape == array.shape
    assert there['a'][0].tobytes() == array.tobytes()


def test_numbers_that_are_no_arrays():
    assert worker.encoded({'mask_constant': float('nan'), 'n': numpy.float64(2.), 'flag': True}) == {
        'mask_constant': 'nan', 'n': 2., 'flag': True}
    assert numpy.isnan(worker.decoded('nan')) and worker.decoded(['-inf', 'SAME']) == [-numpy.inf, 'SAME']


# ------------------------------------------------------------------ verdicts

def test_digits_decide():
    k = ALONE.expected['ntk']
    for relative, verdict in ((0, 'pass'), (.5e-13, 'pass'), (3e-13, 'fail')):
        found = judged(ALONE, {'nngp': k, 'ntk': k * (1 + relative)}, 'float64')
        assert found[0] == verdict and abs(found[1]['ntk'] - (-numpy.log10(relative) if relative else 17)) < .1
    assert judged(ALONE, {'nngp': k.astype('float32'), 'ntk': k.astype('float32')}, 'float32')[0] == 'pass'


def test_nothing_to_compare_is_a_pass():
    empty = Case('a/b/c', 'kernel', ('Dense',), {}, {}, {'get': ['ntk']}, {'ntk': numpy.zeros((0, 2))},
                 {'ntk': numpy.zeros((0, 2))}, {'float64': 1e-13})
    assert judged(empty, {'ntk': numpy.zeros((0, 2))}, 'float64')[0] == 'pass'
    assert judged(empty, {'ntk': numpy.zeros((2, 0))}, 'float64')[0] == 'fail'


# ------------------------------------------------------------------ the command

@pytest.fixture
def suite(monkeypatch):
    """Two cases in place of all."""
    def cases(select='*', kind=None, dtype=None):
        found = [case for case in (ALONE, PAIR) if select in ('*', case.name)]
        if not found:
            raise ValueError(f'expected names of cases, got {select}')
        return found
    monkeypatch.setattr(conformance, 'conformance_cases', cases)
    monkeypatch.setattr(oracle, 'conformance_cases', cases)


def test_table_and_status(suite, tmp_path, capsys):
    path = adapter_file(tmp_path, 'raise ValueError("no")')
    assert main(['conform', path]) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r'dense/linear/alone {10}crashed: ValueError: no \(adapter.py, line 6\)', first)
    assert re.fullmatch(r'dense/linear/pair {5}1[567]\.\d  pass', second)
    assert re.fullmatch('2 cases in float64: 1 pass, 1 crashed; [0-9]+ s', last)
    assert main(['conform', path, '--select', 'dense/linear/pair']) == 0


@pytest.mark.parametrize('options', [[], ['--json']])
def test_a_bar_on_stderr_leaves_rows_as_they_are(options, suite, tmp_path, capsys, monkeypatch):
    argv = ['conform', adapter_file(tmp_path, 'raise ValueError("no")'), *options]
    assert main(argv) == 1
    plain, silent = capsys.readouterr()
    monkeypatch.setattr(run_module, 'PATIENCE', 0)
    monkeypatch.setattr('sys.stderr.isatty', lambda: True, raising=False)
    assert main(argv) == 1
    out, bar = capsys.readouterr()
    assert silent == '' and '2/2' in bar and 'case' in bar
    assert [re.sub('[0-9.]+', '', line) for line in out.splitlines()] == [
        re.sub('[0-9.]+', '', line) for line in plain.splitlines()]


def test_nothing_compared_is_no_success(suite, tmp_path, capsys):
    path = adapter_file(tmp_path, 'raise NotImplementedError')
    assert main(['conform', path, '--select', 'dense/linear/alone']) == 2
    assert 'nothing was compared' in capsys.readouterr().err
    assert main(['conform', path, '--select', 'nothing']) == 1
    assert 'expected names of cases' in capsys.readouterr().err
    assert main(['conform', str(tmp_path / 'none.py')]) == 1
    assert 'which is not there' in capsys.readouterr().err


@pytest.mark.parametrize('limit', ['0', '-1', 'nan', 'inf'])
def test_time_limits(suite, limit, tmp_path, capsys):
    with pytest.raises(SystemExit, match='1'):
        main(['conform', adapter_file(tmp_path, 'pass'), '--time-limit', limit])
    assert 'expected a time limit > 0' in capsys.readouterr().err


NO_TEXT = None, 3, float('nan'), [], {}, (1,), True, b'x', object(), len


def test_arguments_of_another_type(tmp_path):
    path = adapter_file(tmp_path, 'pass')

    def tries():
        for value in NO_TEXT:
            yield lambda: conform(value), 'paths'
            yield lambda: conform(path, value), 'select to be text'
            yield lambda: conform(path, dtype=value), 'dtype to be text'
            yield lambda: oracle.conformance_cases(value), 'select to be text'
            yield lambda: ALONE.check({}, value), 'dtype to be text'
            if value is not None:
                yield lambda: conform(path, python=value), 'paths'
            if value:
                yield lambda: oracle.conformance_cases(kind=value), 'kind to be text'
                yield lambda: oracle.conformance_cases(dtype=value), 'dtype to be text'
            if not isinstance(value, (bool, type(None))):
                yield lambda: conform(path, progress=value), 'progress is expected to be True or False'
            if value not in (None, len):
                yield lambda: conform(path, each=value), 'each to be a function'
            if value != 3:
                yield lambda: conform(path, time_limit=value), 'time limit > 0'
    for call, text in tries():
        with pytest.raises((TypeError, ValueError), match=f'expected .*{text}|{text}'):
            call()


def test_other_arguments(suite, tmp_path):
    with pytest.raises(ValueError, match="expected dtype to be one of .*, got 'float16'"):
        conform(adapter_file(tmp_path, 'pass'), dtype='float16')


def test_json(suite, tmp_path, capsys):
    assert main(['conform', adapter_file(tmp_path, 'return dict.fromkeys(get, x1 @ x1.T)'), '--json']) == 1
    found = json.loads(capsys.readouterr().out)
    assert found['counts'] == {'pass': 1, 'fail': 1, 'crashed': 0, 'too slow': 0, 'unsupported': 0}
    first, second = found['cases']
    assert [first[key] for key in ('name', 'verdict', 'layers', 'wanted')] == [
        'dense/linear/alone', 'fail', ['Dense'], 13]
    assert first['digits'] == {'nngp': 0, 'ntk': 0} and '0.0 digits agree of 13.0' in first['reason']
    assert second['verdict'] == 'pass' and min(second['digits'].values()) > 15
    assert {'ntref', 'Python', 'NumPy'} <= set(found['versions'])
    assert found['command'].startswith('ntref conform ') and found['adapter'] in found['command']


class Page(HTMLParser):
    """What a page loads, and whether its elements are closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs
                       if name in ('src', 'href', 'data', 'action') or name.startswith('on')]
        if tag != 'meta':
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_self_contained_and_well_formed(suite, tmp_path, capsys):
    page = tmp_path / 'report.html'
    path = adapter_file(tmp_path, 'raise ValueError("<script>&\\"")', 'def about(): return {"<b>": "</td>"}')
    assert main(['conform', path, '--report', str(page)]) == 1
    text = page.read_text()
    found = Page(text)
    assert found.open == [] and found.loads == [] and not {'script', 'link', 'img', 'b'} & set(found.tags)
    assert set(re.findall(r'https?://[^"<]*', text)) == {'http://www.w3.org/2000/svg'} and 'url(' not in text
    assert '&lt;script&gt;' in text and '&lt;b&gt;' in text and 'ntref conform' in text


def some_outcomes():
    """Outcomes of the layers A<B and C."""
    given = [('A<B', 'pass', 15.5), ('A<B', 'fail', 3.), ('C', 'crashed', None), ('C', 'too slow', None),
             ('C', 'unsupported', None), ('D', 'unsupported', None)]
    return tuple(conformance.Outcome(f'{layer}/{i}', (layer,), verdict, {} if digits is None else {'ntk': digits}, 13.,
                                     'why & how' * (verdict != 'pass'))
                 for i, (layer, verdict, digits) in enumerate(given))


@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_the_picture(dtype):
    result = conformance.Conformance('<a>', dtype, some_outcomes(), {}, 'ntref conform', 1.)
    tree = ElementTree.fromstring(report.picture(result))
    svg = '{http://www.w3.org/2000/svg}'
    marks = {group.find(svg + 'title').text: group for group in tree.iter(svg + 'g')}
    cases = {title: group for title, group in marks.items() if '/' in title}
    assert sorted(cases) == ['A<B/0: 15.5 digits, pass', 'A<B/1: 3.0 digits, fail', 'C/2: no digits, crashed',
                             'C/3: no digits, too slow']
    circle, = (group.find(svg + 'circle') for group in cases.values() if group.find(svg + 'circle') is not None)
    ticks = {text.text: float(text.get('x')) for text in tree.iter(svg + 'text')}
    unit = (ticks['8'] - ticks['0']) / 8
    assert abs(float(circle.get('cx')) - ticks['0'] - unit * min(15.5, 17 if dtype == 'float64' else 9)) < .2
    assert {'A<B', 'C', 'D', '1 of 2; 1 fail', '0 of 2; 1 crashed, 1 too slow, 1 unsupported',
            'decimal digits agreed, worst entry of each case'} <= set(ticks)
    about = tree.find(svg + 'desc').text
    assert tree.get('role') == 'img' and tree.get('aria-labelledby') == 'picture-title picture-about'
    assert 'A<B: 1 of 2 pass, from 3.0 to 15.5 digits' in about and 'D: 0 of 1 pass' in about
    assert max(float(text.get('x')) for text in tree.iter(svg + 'text')) < float(tree.get('width'))


def test_the_command_is_repeatable(suite, tmp_path):
    path = adapter_file(tmp_path, 'pass')
    again = conform(path, 'dense/linear/pair', 'float32', sys.executable, 5., progress=False).command
    assert again == (f'ntref conform {path} --select dense/linear/pair --dtype float32 --python {sys.executable} '
                     '--time-limit 5')
    assert os.path.basename(path) == 'adapter.py'


# ------------------------------------------------------------------ the adapters of validation/

ADAPTERS = ROOT / 'validation' / 'adapters'


def layers(spec):
    """All layers of a network, the networks among them included."""
    if isinstance(spec, list):
        return [layer for part in spec for layer in layers(part)]
    return [spec, *layers(list(spec.values()))] if isinstance(spec, dict) and 'layer' in spec else []


def named(*names):
    return lambda case: any(layer['layer'] in names for layer in layers(case.spec))


def having(argument, value=None):
    return lambda case: any((layer.get(argument) == value if value else layer.get(argument))
                            for layer in layers(case.spec))


MISTAKES = {                 # mistake -> cases to run, and is a case touched by it?
    'output-width': ('dense/*', named('Dense')),
    'weight-not-squared': ('dense/*', having('W_std')),
    'bias-forgotten': ('dense/*', having('b_std')),
    'own-weights-forgotten': ('dense/*', lambda case: len(layers(case.spec)) > 1),
    'standard-as-ntk': ('dense/*', having('parameterization', 'standard')),
    'relu-slope': ('nonlinearity/[ER]*', named('Relu')),
    'arccos': ('nonlinearity/[ER]*', named('Relu')),
    'erf-constant': ('nonlinearity/[ER]*', named('Erf')),
    'float32-inside': ('dense/*', lambda case: True),
    'second-ignored': ('dense/*', lambda case: case.inputs['x2'] is not None),
    'transposed': ('dense/*', lambda case: case.inputs['x2'] is not None),
    'same-as-circular': ('conv/*', having('padding', 'SAME')),
    'pool-sum': ('pool/*', named('AvgPool', 'GlobalAvgPool')),
    'layer-norm-eps': ('norm/*', named('LayerNorm')),
    'residual': ('branches/*', named('FanInSum')),
    'time': ('dynamics/*', lambda case: case.options.get('t') is not None),
    'diagonal-absolute': ('dynamics/*', lambda case: 'diag_reg' in case.options),
    'trace-sum': ('empirical/*', lambda case: case.options.get('trace_axes', [-1]) != []),
}


def mistaken(mistake, select):
    return conform(f'{ADAPTERS / "wrong_adapter.py"}:{mistake}', select, progress=False).outcomes


@pytest.mark.parametrize('mistake', MISTAKES)
def test_the_suite_fails_on_each_mistake_where_it_is_made(mistake):
    select, touches = MISTAKES[mistake]
    touched = {case.name: bool(touches(case)) for case in oracle.conformance_cases(select)}
    found = mistaken(mistake, select)
    assert {o.verdict for o in found} == ({'pass', 'fail'} if False in touched.values() else {'fail'})
    assert all(touched[o.name] for o in found if o.verdict == 'fail')
    assert sum(o.verdict == 'fail' for o in found) > .7 * sum(touched.values()) or mistake == 'arccos'


def test_all_mistakes_are_tried():
    text = (ADAPTERS / 'wrong_adapter.py').read_text()
    table = text[text.index('MISTAKES = {'):text.index('asked =')]
    assert set(re.findall(r"'([\w-]+)': [A-Z]", table)) == {'none', *MISTAKES}
    assert all(o.verdict == 'pass' for o in mistaken('none', '[demnp]*/*'))


def test_an_unknown_mistake_does_not_start():
    found = mistaken('typo', 'dense/linear/*')[0]
    assert 'expected wrong_adapter.py:MISTAKE, one of none, output-width' in found.reason


@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_ntref_passes(dtype):
    result = conform(str(ADAPTERS / 'ntref_adapter.py'), dtype=dtype, progress=False)
    assert [o for o in result.outcomes if o.verdict != 'pass'] == []
    assert result.versions['ntref, tested'] == result.versions['ntref']


# ------------------------------------------------------------------ the section of RESULTS.md

@pytest.fixture
def validation(monkeypatch):
    monkeypatch.syspath_prepend(str(ADAPTERS.parent))
    return importlib.import_module('conformance')


def found(*cases):
    """What --json prints, for (name, layer, verdict, digits, reason)."""
    keys = 'name', 'layers', 'verdict', 'digits', 'reason'
    rows = [dict(zip(keys, (name, [layer], verdict, digits, reason))) for name, layer, verdict, digits, reason in cases]
    counts = {verdict: sum(row['verdict'] == verdict for row in rows) for verdict in conformance.VERDICTS}
    return {'counts': counts, 'cases': rows, 'dtype': 'float64', 'versions': {'jax': '0.4.25'},
            'command': 'ntref conform a.py --python /usr/bin/python'}


def test_the_section_says_what_failed_and_why(validation):
    section = validation.section_of(found(
        ('dense/relu-2/pair', 'Dense', 'pass', {'ntk': 15.}, ''),
        ('dense/relu-2/edge', 'Dense', 'fail', {'nngp': 15., 'ntk': 8.2}, 'ntk: 8.2 digits'),
        ('nonlinearity/RectifiedMonomial-1/edge', 'RectifiedMonomial', 'fail', {'ntk': 0.}, 'ntk: nan at (0, 0)'),
        ('conv/new/pair', 'Conv', 'crashed', {}, 'TypeError'),
        ('nonlinearity/Elu/pair', 'Elu', 'unsupported', {}, 'no Elu')))
    assert section.measured == '1 of 4 pass, 1 unsupported' and 'with these options: Elu.' in section.text
    for row in ('| digits lost where .* | 1 | 8.2 | `dense/relu-2/edge` |',
                '| `RectifiedMonomial` is NaN .* | 1 | 0.0 | `nonlinearity/RectifiedMonomial-1/edge` |',
                '| crashed, no cause is known | 1 |  | `conv/new/pair` |', '| Dense | 1 | 2 | 8.2 to 15.0 |',
                '| Conv | 0 | 1 |  |'):
        assert re.search(f'^{row.replace("|", "[|]")}$', section.text, re.M), row
    assert '`ntref conform a.py --python PYTHON`; jax 0.4.25.' in section.text


def test_an_interpreter_without_neural_tangents_is_named(validation):
    with pytest.raises(ImportError, match='expected neural_tangents in .*python.*, got: did not start: .*No module'):
        validation.part(quick=True, python=sys.executable)


def test_without_neural_tangents_the_other_sections_are_written(validation, monkeypatch, capsys):
    run = importlib.import_module('run')
    monkeypatch.setenv('NT_PYTHON', sys.executable)
    assert run.main(['conformance', '--quick']) == 1
    assert 'conformance: expected neural_tangents in' in capsys.readouterr().err
