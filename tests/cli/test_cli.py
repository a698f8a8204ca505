"""The command `ntref` and README.md."""
import csv
import json
import math
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import mpmath
import numpy
from places import ROOT
import pytest

import ntref
from ntref import cli, stax
from ntref.arrays import namespace
from ntref.cli import flags, main, messages
from ntref.demos import conv, dense
from ntref.engine.cost import CallCost
from ntref.stax.network import KernelFunction


@pytest.mark.slow
def test_the_demo_meets_its_numbers_and_draws(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dense, 'NETWORKS', 6)
    monkeypatch.setattr(dense, 'WIDTH', 128)
    monkeypatch.setattr(dense, 'STEPS', 30)
    figure = tmp_path / 'figure.png'
    assert main(['demo', '--figure', str(figure)]) == 0
    said = capsys.readouterr().out
    nngp, ntk = map(float, re.search(r'NNGP (0\.\d+)   NTK (0\.\d+)', said).groups())
    assert nngp >= .985 and ntk >= .985
    along = [float(a) for a in re.search(r'time t .*\n   test accuracy (.*)', said)[1].split()]
    assert along[0] < along[-1] and abs(along[-1] - ntk) <= .005
    within = [int(p) for p in re.search(r'within it (.*)', said)[1].replace('%', '').split()]
    assert within == sorted(within) and 90 <= within[-1] <= 100
    difference, chance = map(float, re.search(r'RMS (0\.\d+)   \(by chance (0\.\d+)\)', said).groups())
    assert difference < 3 * chance
    assert figure.read_bytes().startswith(b'\x89PNG') and str(figure) in said


@pytest.mark.parametrize('module', ['sklearn.datasets', 'matplotlib.figure'])
def test_the_demo_says_what_to_install(module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)          # its import raises ImportError
    assert main(['demo']) == 1
    said = capsys.readouterr().err
    assert module.partition('.')[0] in said and "In a checkout of ntref: pip install '.[demo]'" in said


def test_bad_arguments(capsys):
    assert main(['demo', '--train', '5']) == 1
    assert 'expected between 20 and 1777 images to train on, got --train 5' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(['dance'])


@pytest.fixture
def certified(tmp_path, capsys):
    """`ntref certify` of a network as JSON: status, output, errors, rows of the table."""
    def run(net, x, *options):
        (tmp_path / 'net.json').write_text(json.dumps({'ntref': 1, 'network': net}))
        numpy.save(tmp_path / 'x.npy', x)
        paths = [str(tmp_path / name) for name in ('net.json', 'x.npy', 'out.csv')]
        status = main(['certify', *paths[:2], *options, '--csv', paths[2]])
        out, err = capsys.readouterr()
        lines = (tmp_path / 'out.csv').read_text().splitlines() if (tmp_path / 'out.csv').exists() else []
        return status, out, err, list(csv.reader(lines))
    return run


RELU = [{'layer': 'Dense', 'out_dim': 1}, {'layer': 'Relu'}, {'layer': 'Dense', 'out_dim': 1}]


def test_certified_kernels(certified):
    """3/8 + 1/(4 pi)."""
    net, x = {'layer': 'serial', 'layers': RELU}, numpy.array([[1., 0.], [1., 1.]])
    status, out, err, table = certified(net, x, '--digits', '40', '--get', 'ntk', 'cov1')
    assert status == 0 and err == '' and 'ntk (2, 2): 40 digits are proved of 40' in out and '6 entries' in out
    head, *rows = table
    assert head == ['kernel', 'axis 0', 'axis 1', 'value', 'bound', 'float64', 'ulps of float64', 'ulps of float32']
    assert [row[:3] for row in rows] == [['ntk', i, j] for i in '01' for j in '01'] + [['cov1', i, ''] for i in '01']
    with mpmath.workdps(45):
        truth = mpmath.mpf(3) / 8 + 1 / (4 * mpmath.pi)
        assert abs(mpmath.mpf(rows[1][3]) - truth) < 1e-40 and 0 < mpmath.mpf(rows[1][4]) < 1e-49
    assert float(rows[1][5]) == float(truth) and float(rows[1][6]) < 4 and float(rows[1][7]) < 4


def test_certified_kernels_that_are_refused(certified):
    x = numpy.eye(2)
    for net, options, text in [
            ({'layer': 'serial', 'layers': [*RELU, {'layer': 'Relux'}]}, (), r'network.layers\[3\]: expected a layer'),
            ({'layer': 'Relu'}, (), 'Gaussian'), (RELU[0], ('--digits', '281'), 'certify: .* at most 280 digits')]:
        status, out, err, table = certified(net, x, *options)
        assert (status, out, table) == (1, '', []) and re.match(f'ntref certify: .*{text}', err)
    assert certified(RELU[0], numpy.array(['a']))[:2] == (1, '')


def test_fewer_digits_than_asked_for(certified, monkeypatch):
    monkeypatch.setattr(import_module('ntref.oracle.certify'), 'can_prove', lambda *given: False)
    monkeypatch.setattr(namespace(numpy.array([mpmath.mpf(1)])), 'pi', math.pi)
    status, out, err, table = certified({'layer': 'serial', 'layers': RELU}, numpy.array([[1., 0.], [1., 1.]]))
    assert status == 1 and re.search(r'1[567] digits are sure of 30', out) and len(table) == 5
    assert err.startswith('ntref certify: expected 30 digits, 1')


# ------------------------------------------------------------------ what is wrong is said in one line

NET, ARRAY, ADAPTER = 'net.json', 'x.npy', 'adapter.py'
FLAGS = {
    'demo': [('--net', 'deep', "invalid choice: 'deep'"), ('--train', '0', 'expected a whole number >= 1'),
             ('--train', '3.5', "got '3.5'"), ('--train', '5', 'expected between 20 and'),
             ('--train', '9' * 5000, 'expected a whole number'), ('--seed', '-1', 'expected a whole number >= 0'),
             ('--seed', 'x', "got 'x'"), ('--figure', 'no/a.png', 'there is no no'),
             ('--figure', '', "expected a file to write, got ''"), ('--figure', '.', 'expected a file to write'),
             ('--figure', 'a.xyz', 'expected --figure to end in one of .'),
             ('--width', '3', 'unrecognized arguments'), ('--figure', None, 'expected one argument')],
    f'kernel {NET} {ARRAY} --out k.zarr': [
        ('--get', 'cov1', 'invalid choice'), ('--batch-size', '0', 'expected a whole number >= 1'),
        ('--batch-size', 'x', 'expected a whole number'), ('--scheduler', 'garbage', 'Dask scheduler at garbage'),
        ('--scheduler', 'tcp://me:geheim@host:1', 'a password before @host:1: schedulers know none')],
    f'certify {NET} {ARRAY}': [
        ('--get', 'shape1', 'invalid choice'), ('--digits', '0', 'expected a whole number >= 1'),
        ('--digits', '1e3', 'expected a whole number'), ('--digits', '281', 'at most 280 digits'),
        ('--csv', 'no/such/k.csv', 'expected a file in a folder that is there, got no/such/k.csv'),
        ('--csv', 'locked/k.csv', 'expected a file that can be written'), ('', 'y.npy', 'y.npy'),
        ('', 'wide.npy', 'equal shapes')],
    f'conform {ADAPTER}': [
        ('--select', 'no/such', 'expected names of cases'), ('--dtype', 'float16', 'invalid choice'),
        ('--python', 'no-python', 'expected a Python interpreter, got no-python'),
        ('--python', 'net.json', 'expected a Python interpreter'),
        ('--time-limit', '0', 'expected a time limit > 0'), ('--time-limit', 'soon', "in seconds, got 'soon'"),
        ('--time-limit', 'nan', 'expected a time limit'), ('--report', 'no/page.html', 'there is no no'),
        ('--report', '.', 'expected a file to write'), ('--junit', 'no/tests.xml', 'there is no no'),
        ('--json', 'yes', 'unrecognized arguments')],
    'gpu-check': [
        ('--select', None, 'expected one argument'), ('--report', 'no/gpu', 'there is no no'),
        ('--no-times', 'x', 'unrecognized arguments')],
    f'predict {NET} {ARRAY} {ARRAY}': [
        ('--y', 'none.npy', 'none.npy'), ('--targets', '0', 'expected a whole number >= 1'),
        ('--get', 'ntkgp', 'invalid choice'), ('--t', '0', 'expected a time > 0'), ('--t', 'inf', "got 'inf'"),
        ('--diag-reg', '-1', 'expected a number >= 0'), ('--diag-reg', 'nan', "expected a number >= 0, 'evidence' or"),
        ('--out', 'a.txt', 'ends in .csv, .npy or .npz'), ('--out', 'no/a.csv', 'there is no no'),
        ('', None, 'expected arrays x and y in x.npy')],
    f'explain {NET} {ARRAY}': [
        ('--pair', '0', 'expected 2 arguments'), ('--pair', '0 5', 'got'),
        ('--pair', '0 -1', 'expected a whole number'),
        ('', 'none.npy', 'none.npy')],
    f'plot angle {NET}': [
        ('--get', 'cov1', 'invalid choice'), ('--figure', 'no/a.png', 'there is no no'),
        ('--figure', 'a.xyz', 'expected --figure to end in one of .')],
    'playground': [
        ('--port', '-1', 'expected a whole number >= 0'), ('--port', '65536', 'expected a port below 65536, got 65536'),
        ('--port', 'x', "got 'x'"), ('--no-browser', 'x', 'unrecognized arguments')],
    'plot': [('', None, 'required: PICTURE'), ('', 'dance', 'invalid choice')],
    f'plot posterior {NET} {ARRAY} --y {ARRAY}': [
        ('--test', 'none.npy', 'none.npy'), ('--test', 'wide.npy', 'wide.npy')],
    f'plot movie {NET} {ARRAY} --y {ARRAY}': [
        ('--figure', 'a.png', 'expected a file that ends in .gif'), ('--figure', 'no/a.gif', 'there is no no')],
    f'plot heatmap {NET}': [('', None, 'required: X'), ('', 'none.npy', 'none.npy')],
    'cases': [('', None, 'required: list|show|export'), ('', 'dance', 'invalid choice')],
    'cases list': [('', 'no/such', 'expected names of cases')],
    'cases show': [('', None, 'required: GLOB'), ('', 'no/such', 'expected names of cases')],
    'cases export': [('', None, 'required: --out'), ('--out', 'a.npy', 'ends in .json or .npz'),
                     ('--out', 'no/a.npz', 'there is no no')],
    '': [('', None, 'required: COMMAND'), ('', 'dance', 'invalid choice')],
    'certify': [('', None, 'required: NET, X1'), ('', NET, 'required: X1')],
    'kernel': [('--out', 'k.zarr', 'required: NET, X1')],
    'conform': [('', None, 'required: ADAPTER'), ('', 'none.py', 'which is not there'), ('', '.', 'not there')],
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a network, inputs and an adapter in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / NET).write_text(json.dumps(RELU[0]))
    (tmp_path / ADAPTER).write_text('def kernel(spec, x1, x2, get):\n    raise NotImplementedError\n')
    numpy.save(ARRAY, numpy.eye(2))
    numpy.save('wide.npy', numpy.eye(3))
    (tmp_path / 'locked').mkdir()
    monkeypatch.setattr(os, 'access', lambda path, how, access=os.access: 'locked' not in str(path) and access(
        path, how))
    return tmp_path


def said(argv, capsys):
    """The one line that is said on stderr; nothing is printed, and the status is 1."""
    try:
        status = main(argv)
    except SystemExit as e:
        status = e.code
    out, err = capsys.readouterr()
    assert (status, out) == (1, '') and err.count('\n') == 1 and err.startswith('ntref'), (argv, status, out, err)
    return err


@pytest.mark.parametrize('command', FLAGS)
def test_a_wrong_flag_is_one_line(command, files, capsys):
    for flag, value, text in FLAGS[command]:
        values = [value] if flag != '--pair' else value.split()
        argv = [*command.split(), *filter(None, [flag]), *([] if value is None else values)]
        assert text in said(argv, capsys), argv
    assert sorted(path.name for path in files.iterdir()) == ['adapter.py', 'locked', 'net.json', 'wide.npy', 'x.npy']


def test_every_flag_is_tried():
    """But those that are a word alone, and the folder of a store."""
    source = '\n'.join(path.read_text() for path in Path(flags.__file__).parent.glob('*.py'))
    tried = {flag for tries in FLAGS.values() for flag, *_ in tries}
    assert set(re.findall(r"add_argument\('(--[a-z-]+)'", source)) == (tried | {'--version'}) - {'--width', ''}


def written(path, what):
    if isinstance(what, bytes):
        path.write_bytes(what)
    elif isinstance(what, dict):
        with open(path, 'wb') as f:
            numpy.savez(f, **what)
    else:
        numpy.save(path, what, allow_pickle=True)


@pytest.mark.parametrize('what, text', [
    (b'1 2\n3 4\n', 'as numpy.save writes it, got something else'), (b'', 'got something else'),
    ({'x': numpy.eye(2), 'y': numpy.eye(2)}, r'expected one array in bad.npy, got 2 arrays (x, y). Name one of them'),
    ({}, 'got 0 arrays'), ({'x': numpy.array([{}, None])}, 'one of Python objects'), (b'PK\x03\x04', 'got: '),
    (b'\x80\x04N.', 'got something else'),
    (numpy.array([{}, None]), 'one of Python objects, which are not loaded'),
    (b'\x93NUMPY\x01\x00', 'as numpy.save writes it, got: '), (b'\x93NUMPY\x09\x00\x10\x00', 'got: '),
    (b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }" + b' ' * 11 + b'\n',
     'got: '),
    (numpy.array([[1., numpy.nan]]), 'NaN'), (numpy.array([[1., numpy.inf]]), 'infinity'),
    (numpy.array([['a', 'b']]), 'real numbers'), (numpy.array([[1 + 1j, 2]]), 'real numbers'),
    (numpy.array([['2020-01-01']], 'datetime64[D]'), 'real numbers'), (numpy.array(3.), 'expected'),
    (numpy.zeros((2, 0)), 'expected'), (numpy.array([[(1, 2.)]], [('a', int), ('b', float)]), 'real numbers')])
def test_a_file_that_is_no_array_of_numbers(what, text, files, capsys):
    written(files / 'bad.npy', what)
    for argv in (['certify', NET, 'bad.npy'], ['certify', NET, ARRAY, 'bad.npy'],
                 ['kernel', NET, 'bad.npy', '--out', 'k.zarr']):
        err = said(argv, capsys)
        assert text in err and not re.search('pickle|unsafe|allow_', err), err


@pytest.mark.parametrize('text', [
    '', 'net', '{"layer": "Relu"', '[' * 100_000, '{"a":' * 100_000, '\x00', '1e400', '[1]', '"Relu"',
    '{"layer": "Dense", "out_dim": 1, "W_std": NaN}', '{"layer": "Dense", "out_dim": 1, "W_std": 1e999}',
    '{"layer": "Dense", "out_dim": 1' + '0' * 5000 + '}', '{"layer": "FanOut", "num": 1000000}'])
def test_a_file_that_is_no_network(text, files, capsys):
    (files / 'bad.json').write_text(text)
    assert 'expected' in said(['certify', 'bad.json', ARRAY], capsys)
    (files / 'bad.json').write_bytes(b'\xff\xfe\x00')
    assert 'expected a network' in said(['certify', 'bad.json', ARRAY], capsys)


def test_the_command_is_installed():
    said = subprocess.run([sys.executable, '-m', 'ntref', 'demo', '--help'], capture_output=True, text=True, cwd=ROOT)
    assert said.returncode == 0 and 'handwritten digits' in said.stdout


def test_the_version(capsys):
    with pytest.raises(SystemExit, match='0'):
        main(['--version'])
    assert capsys.readouterr().out == f'ntref {ntref.__version__}\n'


@pytest.mark.parametrize('command', [name.__name__.rpartition('.')[2].replace('_', '-') for name in cli.COMMANDS])
def test_help_has_examples_that_are_read_and_a_page_that_exists(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='0'):
        main([command, '--help'])
    said = capsys.readouterr().out
    page, anchor = re.search(r'documentation: (docs/[\w/-]+\.md)(?:#([\w-]+))?, in the repository', said).groups()
    text = (ROOT / page).read_text()
    titles = {title.lower().replace(' ', '-') for title in re.findall('^#+ (.*)', text, re.M)}
    assert f'ntref {command}' in text and anchor in {None, *titles}
    examples = [shlex.split(line) for line in re.findall('^  ntref (.*)', said, re.M)]
    assert len(examples) >= 2 and all(example[0] == command for example in examples)
    for example in examples:
        assert cli.parser().parse_args(example).command == command


WITHOUT = """
import os, sys
for name in 'fcntl resource pwd grp termios'.split():
    sys.modules[name] = None
for name in 'fork killpg register_at_fork sched_getaffinity getuid geteuid setuid O_NOFOLLOW'.split():
    delattr(os, name)
from ntref.cli import main
for argv in sys.argv[1:]:
    print(main(argv.split()), flush=True)
"""


def test_without_what_windows_lacks(files):
    numpy.savez('set.npz', x=numpy.eye(2), y=numpy.ones(2))
    commands = [f'kernel {NET} {ARRAY} --out k.zarr', f'predict {NET} set.npz {ARRAY} --out p.csv',
                f'certify {NET} {ARRAY}', 'cases list dense/linear/pair', f'conform {ADAPTER}']
    run = subprocess.run([sys.executable, '-c', WITHOUT, *commands], capture_output=True, text=True, cwd=files,
                         env=os.environ | {'PYTHONPATH': str(ROOT)})
    statuses = [line for line in run.stdout.splitlines() if len(line) == 1]
    assert statuses == ['0', '0', '0', '0', '1'], run.stderr
    assert numpy.array_equal(ntref.load_kernel(files / 'k.zarr'), numpy.eye(2) / 2)
    assert 'ntref conform: expected a system with groups of processes' in run.stderr


def test_a_reader_that_has_gone_is_no_error():
    """The text of all cases is longer than what a pipe holds."""
    run = subprocess.run(f'{sys.executable} -m ntref cases show "dense/*" | head -1', shell=True, capture_output=True,
                         text=True, cwd=ROOT)
    assert run.stdout.startswith('dense/relu-1/pair: kernel') and run.stderr == ''


def test_demos_do_not_overwrite_each_other(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    drawn = []
    for demo in (dense, conv):
        monkeypatch.setattr(demo, 'run', lambda n_train, seed, figure: drawn.append((n_train, seed, figure)))
    assert main(['demo']) == main(['demo', '--net', 'conv', '--seed', '3']) == 0
    assert drawn == [(1000, 0, 'ntref-demo.png'), (200, 3, 'ntref-demo-conv.png')]


@pytest.mark.parametrize('net', ['dense', 'conv'])
def test_where_the_picture_goes_is_looked_at_first(net, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for demo in (dense, conv):
        (tmp_path / demo.FIGURE).mkdir()
    assert 'expected a file to write' in said(['demo', '--net', net], capsys)


def test_a_kernel_of_inputs_in_csv_and_npz(files, capsys):
    net = stax.serial(stax.Dense(4), stax.Relu(), stax.Dense(1))
    (files / NET).write_text(json.dumps(net.to_spec()))
    numpy.savetxt('x.csv', X_MANY[:4], delimiter=',', fmt='%.17g')
    numpy.savez('x.npz', a=X_MANY[4:7], b=X_MANY[7:])
    assert main(['kernel', NET, 'x.csv', 'x.npz:a', '--out', 'k.zarr', '--get', 'nngp', 'ntk']) == 0
    assert capsys.readouterr().out == 'k.zarr: nngp (4, 3) float64\nk.zarr: ntk (4, 3) float64\n'
    k = net.kernel_fn(X_MANY[:4], X_MANY[4:7], ('nngp', 'ntk'))
    assert all(numpy.array_equal(a, b) for a, b in zip(ntref.load_kernel('k.zarr'), k))


# ------------------------------------------------------------------ what long computations say

X_MANY = numpy.random.default_rng(0).standard_normal((1100, 3))


@pytest.mark.parametrize('seconds, words', [(4.9, None), (42.3, '42 s'), (600., '10 min'), (9000., '2.5 h')])
def test_a_long_computation_says_what_it_will_take(seconds, words, capsys, monkeypatch):
    net = stax.serial(stax.Dense(4), stax.Relu(), stax.Dense(1))
    asked = []

    def cost(self, *given):
        asked.append(given)
        return CallCost(3 * 2 ** 30, seconds)
    monkeypatch.setattr(KernelFunction, 'cost', cost)
    messages.say_cost('kernel', net, X_MANY, X_MANY[:1000].astype('float32'), ('ntk',))
    assert asked == [((1100, 3), (1000, 3), ('ntk',), 'float64')]
    expected = f'ntref kernel: kernels of 1100 with 1000 inputs, about {words} and 3 GiB in memory or on disk\n'
    assert capsys.readouterr().err == (expected if words else '')


def test_a_short_one_is_not_tried_out(capsys, monkeypatch):
    monkeypatch.setattr(KernelFunction, 'cost', None)
    messages.say_cost('kernel', stax.Dense(4), X_MANY[:100], None, 'ntk')
    assert capsys.readouterr().err == ''


def test_what_is_said_is_what_cost_knows(files, capsys, monkeypatch):
    """A real trial, with a limit of 0 seconds."""
    monkeypatch.setattr(messages, 'LONG', 0)
    numpy.save('many.npy', X_MANY)
    assert main(['kernel', NET, 'many.npy', '--out', 'k.zarr']) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r'ntref kernel: kernels of 1100 with 1100 inputs, about \d+ s and 0.\d+ GiB in memory or on '
                        r'disk\n', err) and out == 'k.zarr: ntk (1100, 1100) float64\n'


# ------------------------------------------------------------------ README

def test_readme_is_short_and_its_commands_are_single_lines():
    lines = (ROOT / 'README.md').read_text().splitlines()
    assert len(lines) <= 150
    blocks = re.findall(r'```sh\n(.*?)```', '\n'.join(lines), re.S)
    assert [block.count('\n') for block in blocks] == [1, 1, 1]
    for block, ends in zip(blocks, ('/ntref demo', '/pytest -n auto', 'docs html PYTHON=../.venv/bin/python')):
        assert block.startswith('python -m venv') and block.strip().endswith(ends)


def test_what_readme_points_to_exists():
    text = (ROOT / 'README.md').read_text()
    paths = re.findall(r'\]\(([^)#]+)', text) + re.findall(r'`((?:ntref|tests|docs|validation)/[^`]*)`', text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_nothing_says_to_install_ntref_from_an_index():
    """There is none such: it is installed from a checkout."""
    files = [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'ntref').rglob('*.py'),
             *(ROOT / 'validation').rglob('*.*')]
    found = {str(path): said for path in files if path.suffix in ('.md', '.py')
             if (said := re.findall(r'pip install [^\n&]*\bntref\b', path.read_text()))}
    assert len(files) > 100 and not found
