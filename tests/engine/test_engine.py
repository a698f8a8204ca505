"""Kernels in batches, in memory: the same numbers as the kernel function itself; threads and their errors."""
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from numpy.testing import assert_allclose

import ntref
from ntref import batch, empirical_kernel_fn, load_kernel, save_kernel, stax
from ntref.engine import in_threads, run
from ntref.once import remembered
from ntref.stax import (
    Aggregate, Dense, FanInConcat, FanOut, GlobalAvgPool, Index, LayerNorm, Relu, Slice, parallel, serial)
from ntref.trees import tree_map

NET = stax.serial(stax.Dense(8, 1.4, .2), stax.Relu(), stax.Dense(8), stax.Erf(), stax.Dense(1))
IMAGES = stax.serial(stax.Conv(4, (2, 2)), stax.Relu(), stax.Conv(4, (1, 1)))
Both = namedtuple('Both', 'product distance')


def product(x1, x2=None):
    """A user's kernel, exact for small whole numbers."""
    return x1 @ (x1 if x2 is None else x2).T


def both(x1, x2=None):
    k = product(x1, x2)
    return Both(k, (k ** 2).astype('float32'))


def positions(x1, x2=None):
    return numpy.einsum('iah,jbh->ijab', x1, x1 if x2 is None else x2)


def whole_numbers(rng, *shape):
    return rng.integers(-9, 10, shape).astype(float)


def counted(f):
    calls = []

    def counting(x1, x2=None, *args, **kwargs):
        calls.append((len(x1), None if x2 is None else len(x2)))
        return f(x1, x2, *args, **kwargs)
    return counting, calls


# ------------------------------------------------------------------ the same numbers

@pytest.mark.parametrize('size', [0, 1, 2, 3, 5, 7, 11, 50])
@pytest.mark.parametrize('n1, n2', [(1, None), (7, None), (10, None), (1, 1), (7, 5), (5, 11), (10, 1)])
def test_tiles_that_divide_nothing(n1, n2, size, rng):
    x1, x2 = whole_numbers(rng, n1, 3), None if n2 is None else whole_numbers(rng, n2, 3)
    assert (batch(product, size)(x1, x2) == product(x1, x2)).all()
    x1, x2 = (None if x is None else x + .1 * rng.standard_normal(x.shape) for x in (x1, x2))
    found, expected = (f(x1, x2, ('ntk', 'nngp')) for f in (batch(NET.kernel_fn, size), NET.kernel_fn))
    assert found._fields == ('ntk', 'nngp') and type(found).__name__ == 'AnalyticKernel'
    for a, b in zip(found, expected):
        assert_allclose(a, b, rtol=2e-14)
    assert found.ntk.flags.writeable


def test_a_lower_half_is_the_mirror(rng):
    f, calls = counted(lambda x1, x2: product(x1, x2) + (0 if x2 is None else 1000))
    k = batch(f, 2)(whole_numbers(rng, 5, 2))
    assert (k == k.T).all() and len(calls) == 6 and calls.count((1, None)) == 1


@pytest.mark.parametrize('n1, n2', [(0, None), (0, 3), (3, 0), (0, 0)])
def test_no_inputs(n1, n2, rng):
    x1, x2 = whole_numbers(rng, n1, 2), None if n2 is None else whole_numbers(rng, n2, 2)
    k = batch(both, 2)(x1, x2)
    assert k.product.shape == (n1, n1 if n2 is None else n2) and k.distance.dtype == 'float32'
    assert batch(NET.kernel_fn, 2)(x1, x2, 'ntk').shape == k.product.shape


@pytest.mark.parametrize('n2', [None, 4])
def test_kernels_with_positions(n2, rng):
    x1, x2 = whole_numbers(rng, 5, 2, 3), None if n2 is None else whole_numbers(rng, n2, 2, 3)
    f, calls = counted(positions)
    k = batch(f, 2)(x1, x2)
    assert (k == positions(x1, x2)).all() and len(calls) == (9 if n2 is None else 6)
    assert (k != k.swapaxes(2, 3)).any()
    x1 = rng.standard_normal((3, 3, 2, 2))
    assert_allclose(batch(IMAGES.kernel_fn, 2)(x1, None, 'ntk', diagonal_spatial=False),
                    IMAGES.kernel_fn(x1, None, 'ntk', diagonal_spatial=False), rtol=1e-13)


def test_dicts_tuples_and_arguments(rng):
    x = whole_numbers(rng, 5, 3)
    k = batch(both, 2)(x)
    assert type(k).__name__ == 'Both' and k._fields == Both._fields and (k.distance == both(x).distance).all()
    k = batch(lambda x1, x2, p, q=1: {'a': product(x1, x2) ** p, 'b': q * product(x1, x2)}, 3)(x, x, 2, q=5)
    assert list(k) == ['a', 'b'] and (k['a'] == product(x) ** 2).all() and (k['b'] == 5 * product(x)).all()


def test_other_numbers(rng):
    x = rng.integers(-9, 10, (5, 3))
    for f, dtype in ((product, x.dtype), (lambda a, b: product(a, b) > 0, bool),
                     (lambda a, b: 1j * product(a, b), complex)):
        k = batch(f, 2)(x)
        assert k.dtype == dtype and (k == f(x, None)).all()
    x = rng.standard_normal((5, 3)).astype('float32')
    assert batch(NET.kernel_fn, 2)(x, None, 'nngp').dtype == 'float32'


def test_lists_of_inputs(rng):
    branches = stax.Dense(4), stax.serial(stax.Dense(4), stax.Relu(), stax.Dense(4))
    net = stax.serial(stax.parallel(*branches), stax.FanInSum())
    xs, ys = ([rng.standard_normal((n, d)) for d in (2, 3)] for n in (5, 4))
    for y in None, ys:
        assert_allclose(batch(net.kernel_fn, 2)(xs, y, 'ntk'), net.kernel_fn(xs, y, 'ntk'), rtol=1e-13)
    with pytest.raises(ValueError, match=r'arrays in x1 to have as many inputs each, got \[4, 5\]'):
        batch(net.kernel_fn, 2)([xs[0], ys[1]])


def test_arrays_of_a_gpu(cupy, rng):
    x = rng.standard_normal((5, 3))
    k = batch(NET.kernel_fn, 2)(cupy.asarray(x), None, 'ntk')
    assert type(k) is numpy.ndarray
    assert_allclose(k, NET.kernel_fn(x, None, 'ntk'), rtol=1e-13)


def test_threads_do_not_change_a_bit(rng, monkeypatch):
    x, f = rng.standard_normal((23, 4)), NET.kernel_fn
    one, two, none, three = (batch(f, 5, n)(x, None, 'ntk') for n in (1, 2, 0, 3))
    monkeypatch.setenv('NTREF_NUM_THREADS', '2')
    assert all((one == k).all() for k in (two, none, three, batch(f, 5)(x, None, 'ntk')))


# ------------------------------------------------------------------ several outputs

def outputs(x1, x2=None):
    """A tree of outputs."""
    k = product(x1, x2)
    return [k, Both(k + 1, (k ** 2).astype('float32')), {'a': (k + 3, k + 4)}]


SEVERAL = serial(Dense(4), FanOut(2), parallel(serial(Relu(), Dense(1)), serial(Relu(), Dense(4), FanOut(2))))


def flat(tree):
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [a for part in tree for a in flat(part)] if isinstance(tree, (list, tuple)) else [tree]


def assert_same_tree(found, expected):
    assert type(found).__name__ == type(expected).__name__ and getattr(found, '_fields', 0) == getattr(
        expected, '_fields', 0)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = found.values(), expected.values()
    if hasattr(expected, 'shape'):
        assert found.dtype == expected.dtype
        return assert_allclose(found, expected, rtol=1e-13)
    for a, b in zip(found, expected, strict=True):
        assert_same_tree(a, b)


@pytest.mark.parametrize('n2', [None, 4])
@pytest.mark.parametrize('where', ['memory', 'a store', 'threads'])
def test_several_outputs(n2, where, rng, tmp_path):
    """Lists of them, lists in lists, named tuples and dicts: of networks, their finite kernels, and any function."""
    x1, x2 = whole_numbers(rng, 7, 3), None if n2 is None else whole_numbers(rng, n2, 3)
    params = SEVERAL.init_fn(0, (7, 3))[1]
    empirical = empirical_kernel_fn(SEVERAL.apply_fn)
    calls = [(outputs, ()), *((SEVERAL.kernel_fn, (get,)) for get in ('ntk', ('ntk', 'nngp'))),
             *((empirical, (get, params)) for get in ('nngp', ('nngp', 'ntk')))]
    with ThreadPoolExecutor(2) as executor:
        for i, (f, more) in enumerate(calls):
            options = {'memory': {}, 'a store': {'out': tmp_path / str(i)}, 'threads': {'executor': executor}}[where]
            found, expected = batch(f, 3, **options)(x1, x2, *more), f(x1, x2, *more)
            if where == 'a store':
                assert len(flat(load_kernel(tmp_path / str(i)))) == len(flat(expected))
                found = tree_map(numpy.asarray, found)
            assert_same_tree(found, expected)


def test_several_outputs_in_files(rng, tmp_path):
    k = outputs(whole_numbers(rng, 3, 2))
    for name in 'k.npz', 'k.zarr':
        save_kernel(tmp_path / name, k)
        assert_same_tree(tree_map(numpy.asarray, load_kernel(tmp_path / name)), k)


# ------------------------------------------------------------------ refused

def test_kernels_are_refused(rng):
    x = rng.standard_normal((3, 2))
    with pytest.raises(TypeError, match='expected an array, a named tuple.* got Kernel. .* get=.ntk.'):
        batch(NET.kernel_fn)(x)
    with pytest.raises(TypeError, match='expected x1 to be an array of inputs, .* got Kernel'):
        batch(NET.kernel_fn)(NET.kernel_fn(x))
    with pytest.raises(TypeError, match='expected x2 to be an array .* got float'):
        batch(NET.kernel_fn)(x, [1., 2.])
    with pytest.raises(TypeError, match='got AnalyticKernel'):
        batch(NET.kernel_fn)(x, None, ('ntk', 'x1_is_x2'))
    with pytest.raises(TypeError, match='of numbers, got ndarray of Python objects'):
        batch(lambda a, b: product(a, b).astype(object))(x)


def test_kernels_that_are_no_tiles(rng):
    x = rng.standard_normal((3, 4))
    with pytest.raises(ValueError, match=r'expected kernels \(2, 2, .*got cov1 of shape \(2,\)'):
        batch(NET.kernel_fn, 2)(x, None, ('ntk', 'cov1'))
    with pytest.raises(ValueError, match='Inputs are on axis 0'):
        batch(stax.Dense(8, batch_axis=1, channel_axis=0).kernel_fn, 2)(x, None, 'ntk')
    with pytest.raises(ValueError, match='expected all tiles alike'):
        batch(lambda a, b: product(a, b).astype('float64' if len(a) > 1 else 'float32'), 2)(x)


@pytest.mark.parametrize('arguments, message', [
    ({'batch_size': -1}, 'batch_size is expected to be a whole number >= 0, got -1'), ({'batch_size': 2.}, 'got 2.0'),
    ({'batch_size': True}, 'batch_size .* got True'), ({'batch_size': None}, 'batch_size .* got None'),
    ({'device_count': -2}, 'device_count is .* >= -1, got -2'), ({'device_count': '2'}, "device_count .* got '2'"),
    ({'device_count': 1.5}, 'got 1.5'), ({'memory_limit': 0}, 'memory_limit is .* >= 1, got 0'),
    ({'memory_limit': '4GiB'}, "memory_limit .* got '4GiB'")])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        batch(product, **arguments)


MIXED = {'LayerNorm': serial(Dense(4), LayerNorm((0, 1))), 'Index': serial(Dense(4), Index(Slice[::2])),
         'FanInConcat': serial(FanOut(2), parallel(Dense(4), Dense(4)), FanInConcat(0))}


@pytest.mark.parametrize('name', MIXED)
def test_layers_that_mix_the_batch_are_refused(name, rng):
    x = rng.standard_normal((6, 3))
    for arguments in (x,), (x, x):
        with pytest.raises(ValueError, match='each input is for itself, got one with a layer that mixes the batch'):
            batch(MIXED[name].kernel_fn, 2)(*arguments, get='nngp')


def test_pairs_of_arrays_are_cut(rng):
    """An argument of each input, for x1 and for x2."""
    x, y, u, v = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)), rng.random(7), rng.random(5)

    def weighted(x1, x2=None, weights=None, power=1, both=(2, 3)):
        assert both == (2, 3)
        return (weights[0][:, None] * product(x1, x2) * weights[1]) ** power
    assert_allclose(batch(weighted, 2)(x, y, weights=(u, v), power=3), weighted(x, y, (u, v), 3), rtol=1e-14)
    for both in (u, u), (u, None), u:
        assert_allclose(batch(weighted, 3)(x, weights=both), weighted(x, None, (u, u)), rtol=1e-14)
    with pytest.raises(TypeError, match=r'expected weights as a pair of arrays, .* got one of shape \(7,\)'):
        batch(weighted, 3)(x, y, weights=u)


def test_graphs(rng):
    net, x = serial(Dense(4), Relu(), Aggregate(), GlobalAvgPool(), Dense(1)), rng.standard_normal((5, 3, 2))
    pattern = rng.random((5, 3, 3))
    expected = net.kernel_fn(x, None, 'ntk', pattern=pattern)
    assert_allclose(batch(net.kernel_fn, 2)(x, None, 'ntk', pattern=pattern), expected, rtol=1e-13)
    pair = pattern, pattern[:3]
    assert_allclose(batch(net.kernel_fn, 2)(x, x[:3], 'ntk', pattern=pair), expected[:, :3], rtol=1e-12)


def test_number_of_threads(monkeypatch, rng):
    monkeypatch.delenv('NTREF_NUM_THREADS', raising=False)
    assert run.number_of_threads() >= 1 and run.number_of_threads(3) == 3
    monkeypatch.setattr(run.os, 'sched_getaffinity', lambda process: {4, 7, 9}, raising=False)
    assert run.number_of_threads() == 3                                  # those that this process may use
    monkeypatch.delattr(run.os, 'sched_getaffinity')
    monkeypatch.setattr(run.os, 'cpu_count', lambda: 5)
    assert run.number_of_threads() == 5
    monkeypatch.setenv('NTREF_NUM_THREADS', '5')
    assert run.number_of_threads() == 5 and run.number_of_threads(2) == 2
    for bad in '0', '-1', '', 'two', '1.5':
        monkeypatch.setenv('NTREF_NUM_THREADS', bad)
        with pytest.raises(ValueError, match=f'expected NTREF_NUM_THREADS to be a whole number >= 1, got .{bad}'):
            batch(product, 2)(rng.standard_normal((3, 2)))
        assert batch(product, 2, 2)(numpy.eye(3)).shape == (3, 3)
    for bad in 0, -1, 1.5, True:
        with pytest.raises(ValueError, match=f'expected the number of threads to be .* got {bad}'):
            run.number_of_threads(bad)


# ------------------------------------------------------------------ threads

def test_results_are_in_order():
    assert in_threads(lambda i: time.sleep(.01 * (i == 0)) or i, range(20), 4) == list(range(20))
    assert in_threads(str, []) == []


def test_so_many_threads_and_none_within():
    seen = set()

    def work(i):
        seen.add(threading.get_ident())
        time.sleep(.005)
        return in_threads(lambda j: threading.get_ident(), range(3), 4)
    inner = in_threads(work, range(8), 2)
    assert len(seen) == 2 and {i for found in inner for i in found} == seen and threading.get_ident() not in seen
    assert all(len(set(found)) == 1 for found in inner)


@pytest.mark.parametrize('error', [ZeroDivisionError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize('at', [0, 1, 30])
def test_an_error_stops_the_others(error, at):
    begun, before = [], threading.active_count()

    def work(i):
        begun.append(i)
        if i == at:
            raise error('here')
        time.sleep(.2 if i == 0 else .002)
    with pytest.raises(error, match='here'):
        in_threads(work, range(500), 2)
    assert len(begun) <= at + 3 and threading.active_count() == before


def test_ctrl_c_while_waiting():
    begun = []

    def progress(futures):
        for i, future in enumerate(futures):
            if i == 3:
                raise KeyboardInterrupt
            yield future
    with pytest.raises(KeyboardInterrupt):
        in_threads(lambda i: begun.append(i) or time.sleep(.003), range(300), 2, progress)
    assert len(begun) < 12


class Refused(threading.Thread):
    """A thread that cannot be started, as in a browser; or not more than so many."""
    most = 0

    def start(self):
        if threading.active_count() > self.most:
            raise RuntimeError("can't start new thread")
        super().start()


@pytest.mark.parametrize('more', [0, 1, 3])
@pytest.mark.parametrize('threads', ['1', '4', None])
def test_where_threads_cannot_be_started(threads, more, rng, monkeypatch):
    """None at all, or fewer than wanted: jobs run one after the other, with the same numbers."""
    x, jobs = rng.standard_normal((300, 4)), [0, 1, 2, 3, 4]
    expected, tiles = NET.kernel_fn(x, None, 'ntk'), batch(NET.kernel_fn, 100, 4)(x, None, 'ntk')
    monkeypatch.setenv('NTREF_NUM_THREADS', threads) if threads else monkeypatch.delenv('NTREF_NUM_THREADS', False)
    monkeypatch.setattr(Refused, 'most', threading.active_count() + more - 1)
    for module in run, threading:
        monkeypatch.setattr(module, 'Thread', Refused)
    assert (NET.kernel_fn(x, None, 'ntk') == expected).all()
    assert (batch(NET.kernel_fn, 100)(x, None, 'ntk') == tiles).all()
    names = in_threads(lambda job: threading.current_thread().name, jobs, 5)
    assert set(names) == {'MainThread'}
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda job: 1 // job, jobs)


def test_one_thread_is_this_one():
    """And BLAS is held to one, as on others."""
    import threadpoolctl

    def work(job):
        blas = [pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas']
        return threading.current_thread().name, *blas
    for jobs, threads in (range(3), 1), (range(1), 4):
        for name, *blas in in_threads(work, jobs, threads):
            assert name == 'MainThread' and set(blas) <= {1}


FORKED = """
import os, signal, threading, numpy
from types import SimpleNamespace
from ntref import stax
from ntref.duals import Pair

asked, go_on = threading.Event(), threading.Event()


def slow(q):
    asked.set()
    go_on.wait(120)
    return q


net, x = stax.serial(stax.Dense(2), stax.Relu(), stax.Dense(1)), numpy.eye(3)
pair = Pair.same(numpy.ones(3))
pair.__dict__['xp'] = SimpleNamespace(sqrt=slow)
thread = threading.Thread(target=lambda: pair.n1)
thread.start()
asked.wait(120)
child = os.fork()
if not child:
    signal.alarm(60)
    assert net.kernel_fn(x, None, 'ntk').shape == (3, 3)
    os._exit(7)
status = os.waitpid(child, 0)[1]
go_on.set()
thread.join()
print(os.waitstatus_to_exitcode(status))
"""


def test_no_property_has_a_lock():
    """Before Python 3.12 that of functools has one."""
    package = Path(ntref.__file__).parent
    users = [path.name for path in package.rglob('*.py') if 'cached_property' in path.read_text()]
    assert 'geometry.py' in users
    assert not [path for path in package.rglob('*.py') if re.search(
        r'from functools import.*cached_property|functools\.cached_property', path.read_text())]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_a_fork_while_another_thread_computes():
    """The child computes; it does not wait for a lock that the thread held, which nobody would let go there."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', FORKED], capture_output=True, text=True, timeout=300)
    assert done.stdout == '7\n', done.stderr


def test_errors_of_a_kernel(rng):
    def fails(x1, x2=None):
        if x2 is not None:
            raise ZeroDivisionError(f'{len(x1)} {len(x2)}')
        return product(x1, x2)
    with pytest.raises(ZeroDivisionError, match='2 1'):
        batch(fails, 2, 1)(rng.standard_normal((3, 2)))
    net = stax.serial(stax.Dense(8), stax.Gaussian(1., .5), stax.Dense(1))
    with pytest.raises(stax.LayerError, match='layer 1, Gaussian'):
        batch(net.kernel_fn, 2)(10 * rng.standard_normal((5, 4)), None, 'ntk')


def test_progress(capsys, monkeypatch):
    x = numpy.eye(5)
    batch(product, 2)(x)
    assert capsys.readouterr().err == ''
    batch(product, 2, progress=True)(x)
    assert 'kernel: 100%' in (shown := capsys.readouterr().err) and '5/5' in shown
    monkeypatch.setattr(run.sys.stderr, 'isatty', lambda: True)
    batch(product, 2)(x)
    assert capsys.readouterr().err == ''                           # it took no time
    monkeypatch.setattr(run, 'PATIENCE', 0)
    batch(product, 2)(x)
    batch(product, 2, progress=False)(x)
    assert capsys.readouterr().err.count('100%') == 1


@pytest.mark.parametrize('shell, is_shown', [
    ('ZMQInteractiveShell', True), ('Interpreter', True), ('TerminalInteractiveShell', False), (None, False)])
def test_progress_in_notebooks(shell, is_shown, capsys, monkeypatch):
    """There is no terminal, but somebody reads along. IPython in a terminal is asked for that."""
    running = shell and type(shell, (), {})()
    monkeypatch.setitem(sys.modules, 'IPython', SimpleNamespace(get_ipython=lambda: running))
    monkeypatch.setattr(run, 'PATIENCE', 0)
    batch(product, 2)(numpy.eye(5))
    assert ('5/5' in capsys.readouterr().err) == is_shown


def test_notebooks_without_widgets_show_no_warning(capsys, monkeypatch):
    shell = type('ZMQInteractiveShell', (), {})()
    for name, module in {'IPython': SimpleNamespace(get_ipython=lambda: shell), 'ipykernel.zmqshell': SimpleNamespace(),
                         'ipywidgets': None}.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in 'tqdm.auto', 'tqdm.autonotebook', 'tqdm.notebook':
        monkeypatch.delitem(sys.modules, name, raising=False)
    with warnings.catch_warnings(record=True, action='always') as caught:
        batch(product, 2, progress=True)(numpy.eye(5))
    assert [warning.message for warning in caught] == []
    assert '5/5' in capsys.readouterr().err


@pytest.mark.parametrize('size', [1, 3])
def test_remembered_keeps_the_latest_and_changes_nothing_that_others_read(size):
    class Squares:
        @remembered(size)
        def of(self, n):
            computed.append(n)
            return n * n
    computed = []
    squares = Squares()
    seen = []
    for n in range(5):
        assert squares.of(n) == squares.of(n) == n * n
        seen.append((squares.__dict__['_of'], dict(squares.__dict__['_of'])))
    assert computed == [0, 1, 2, 3, 4]
    assert all(kept == copy for kept, copy in seen)
    assert [*seen[-1][0]] == [(n,) for n in range(5 - size, 5)]
