"""Kernels by workers: processes on this machine that Dask watches over, one of them killed; and plain executors."""
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from queue import Empty
from types import SimpleNamespace

import numpy
import pytest
import threadpoolctl
from numpy.testing import assert_array_equal

from ntref import batch, load_kernel, stax
from ntref.engine import memory, run

distributed = pytest.importorskip('distributed')

NET = stax.serial(stax.Dense(8, 1.4, .2), stax.Relu(), stax.Dense(8), stax.Erf(), stax.Dense(1))


@pytest.fixture(scope='module')
def client():
    """Two workers, each a process with one thread."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host='127.0.0.1',
                                  dashboard_address='127.0.0.1:0') as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def x(rng):
    return rng.standard_normal((23, 5))


def slow(kernel_fn, killer):
    """`kernel_fn`, slowly; its fifth call kills the process it is in. Workers find all of it in the function itself."""
    def slowly(x1, x2=None):
        import os
        import signal
        import time
        with open(killer, 'a') as log:
            log.write(f'{os.getpid()}\n')
        with open(killer) as log:
            calls = log.read().split()
        time.sleep(.02)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return kernel_fn(x1, x2, 'ntk')
    return slowly


def test_in_memory(client, x, rng):
    y = rng.standard_normal((9, 5))
    found = batch(NET.kernel_fn, 4, executor=client)(x, y, ('nngp', 'ntk'))
    for name, k in batch(NET.kernel_fn, 4)(x, y, ('nngp', 'ntk'))._asdict().items():
        assert_array_equal(getattr(found, name), k)


def test_in_a_store(client, x, tmp_path):
    """The workers write it; a second call finds all of it."""
    path = tmp_path / 'k.zarr'
    k = batch(NET.kernel_fn, 4, out=path, executor=client)(x, None, 'ntk')
    assert_array_equal(k, batch(NET.kernel_fn, 4)(x, None, 'ntk'))
    written = {p: p.stat().st_mtime_ns for p in path.rglob('c/*/*')}
    assert len(written) == 6 * 7 / 2
    batch(NET.kernel_fn, 4, out=path, executor=client)(x, None, 'ntk')
    assert written == {p: p.stat().st_mtime_ns for p in path.rglob('c/*/*')}


@pytest.mark.parametrize('stored', [False, True])
def test_a_worker_is_killed(client, x, stored, tmp_path):
    """Its tiles are computed by others, or by its successor, and the kernel is the same to the last bit."""
    log = tmp_path / 'calls'
    out = tmp_path / 'k.zarr' if stored else None
    f = slow(NET.kernel_fn, str(log))
    k = batch(f, 4, executor=client, out=out)(x)
    assert_array_equal(k, batch(NET.kernel_fn, 4)(x, None, 'ntk'))
    calls = log.read_text().split()
    assert int(calls[4]) != os.getpid() and len(calls) > 6 * 7 / 2                              # one was done again


class Wrapped:
    """A client that does something to each future that it gives."""

    def __init__(self, client, done):
        self.client, self.done, self.submitted = client, done, 0

    def submit(self, *job, **options):
        future = self.client.submit(*job, **options)
        self.submitted += 1
        self.done(self.submitted, future)
        return future

    def scheduler_info(self):
        return self.client.scheduler_info()


def lose(client, future):
    """The worker that has the result dies; returns when the scheduler knows."""
    distributed.wait([future])
    (address,), = client.who_has([future]).values()
    pid = client.run(os.getpid, workers=[address])[address]
    os.kill(pid, signal.SIGKILL)
    while address in client.scheduler_info()['workers']:
        time.sleep(.005)


def test_a_worker_is_killed_after_its_tile_was_computed(client, x):
    """And before it was fetched."""
    def done(n, future):
        if n == 2:
            lose(client, future)
    wrapped = Wrapped(client, done)
    k = batch(NET.kernel_fn, 4, executor=wrapped)(x, None, 'ntk')
    assert_array_equal(k, batch(NET.kernel_fn, 4)(x, None, 'ntk'))


def test_a_tile_is_cancelled(client, x):
    """By somebody else; it is put in again."""
    wrapped = Wrapped(client, lambda n, future: future.cancel() if n in (2, 3, 22) else None)
    k = batch(NET.kernel_fn, 4, executor=wrapped)(x, None, 'ntk')
    assert_array_equal(k, batch(NET.kernel_fn, 4)(x, None, 'ntk'))
    assert wrapped.submitted == 20 + 3


def test_a_tile_that_is_lost_again_and_again(client, x):
    """Is given up, by name, after a few times; the others are cancelled."""
    tiles = []

    def done(n, future):
        tiles.append(future)
        if n == 1 or n > 20:
            future.cancel()
    wrapped = Wrapped(client, done)
    with pytest.raises(RuntimeError, match=r'tile \(0, 1\), got none: its workers were lost'):
        batch(NET.kernel_fn, 4, executor=wrapped)(x, None, 'ntk')
    assert wrapped.submitted == 20 + run.RETRIES


class Lost:
    """A future as that of Dask, with one status after the other each time it is asked."""

    def __init__(self, *statuses, value=None):
        self.statuses, self.value, self.is_cancelled = list(statuses), value, False

    @property
    def status(self):
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def result(self, timeout=None):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def cancel(self):
        self.is_cancelled = True

    def add_done_callback(self, f):
        f(self)


@pytest.mark.parametrize('statuses, expected', [
    (['finished'], (True, 3)), (['lost'], (False, None)), (['cancelled'], (False, None)), (['pending'], (False, None))])
def test_outcomes(statuses, expected):
    assert run._outcome(Lost(*statuses, value=3)) == expected


def test_results_that_do_not_come():
    """Asked again while they are there; put in again if they are lost meanwhile."""
    assert run._outcome(Lost('finished', 'lost', value=distributed.TimeoutError())) == (False, None)
    killed = distributed.scheduler.KilledWorker('key', None, 3)
    assert run._outcome(Lost('error', value=killed)) == (False, killed)
    with pytest.raises(ZeroDivisionError):
        run._outcome(Lost('error', value=ZeroDivisionError()))


def workers(*described):
    """A client that knows of these workers."""
    names = 'status', 'memory_limit', 'nthreads', 'metrics'
    known = {f'tcp://{i}': dict(zip(names, worker)) for i, worker in enumerate(described)}
    return SimpleNamespace(scheduler_info=lambda: {'workers': known})


@pytest.mark.parametrize('client, message', [
    (workers(), 'got none. Waiting for some'),
    (workers(('paused', 1, 1, {}), ('paused', 1, 1, {})), 'got 2 of them, all paused: one that is paused has used up'),
    (workers(('closing', 1, 1, {}), ('paused', 1, 1, {})), 'all closing or paused')])
def test_nobody_works(client, message, monkeypatch):
    """It is said, once."""
    monkeypatch.setattr(run, 'WATCH', 0)
    asked = []

    class Ended:
        def get(self, timeout):
            asked.append(timeout)
            if len(asked) < 4:
                raise Empty
            return 'future'
    with pytest.warns(UserWarning, match=message) as record:
        assert run._next(client, Ended()) == 'future'
    assert len(record) == 1 and asked == [0] * 4


def test_others_work(monkeypatch):
    """Tiles that take long are no reason to warn."""
    monkeypatch.setattr(run, 'WATCH', 0)
    ended = iter([Empty, 'future'])

    def get(timeout):
        found = next(ended)
        if found is Empty:
            raise Empty
        return found
    client = workers(('paused', 1, 1, {}), ('running', 1, 1, {}))
    assert run._next(client, SimpleNamespace(get=get)) == 'future'


MIB = 2 ** 20


@pytest.mark.parametrize('worker, fits', [
    (('running', 100 * MIB, 1, {'memory': 36 * MIB}), True), (('running', 100 * MIB, 1, {'memory': 37 * MIB}), False),
    (('running', 100 * MIB, 2, {'memory': 0}), False), (('running', 128 * MIB, 2, {'memory': 0}), True),
    (('running', 0, 9, {'memory': 99 * MIB}), True), (('running', None, 9, {}), True)])
def test_workers_without_enough_memory(worker, fits):
    """Of 64 MiB for each thread, beside what the worker takes already."""
    client = workers(('running', 2 ** 40, 1, {}), worker)
    if fits:
        memory.check_workers(client, 64 * MIB, 64)
    else:
        with pytest.raises(MemoryError, match=r'0.0625 GiB for a tile on each .* got tcp://1 .* batch_size=\d+'):
            memory.check_workers(client, 64 * MIB, 64)


def test_tiles_too_large_for_the_workers(client, x):
    """Refused by `batch` before any is sent."""
    wrapped = Wrapped(client, None)
    wrapped.scheduler_info = workers(('running', 4 * 8 * 4 ** 2 - 1, 1, {})).scheduler_info
    with pytest.raises(MemoryError, match='take tiles of batch_size=3'):
        batch(NET.kernel_fn, 4, executor=wrapped)(x, None, 'ntk')
    assert wrapped.submitted == 0


def test_errors_of_workers_come_back(client, x):
    def fails(x1, x2=None):
        return numpy.full((len(x1), len(x2 if x2 is not None else x1)), 1 / (len(x1) - 3))
    with pytest.raises(ZeroDivisionError):
        batch(fails, 4, executor=client)(x)
    assert_array_equal(batch(NET.kernel_fn, 8, executor=client)(x, None, 'ntk'),
                       batch(NET.kernel_fn, 8)(x, None, 'ntk'))


def test_plain_executors(x):
    with ProcessPoolExecutor(2, get_context('spawn')) as processes:
        found = batch(NET.kernel_fn, 4, executor=processes)(x, None, 'ntk')
    assert_array_equal(found, batch(NET.kernel_fn, 4)(x, None, 'ntk'))


def test_few_jobs_wait(monkeypatch):
    """Jobs are made when there is room, and what waits is cancelled after an error."""
    monkeypatch.setattr(run, 'AHEAD', 3)
    made, done = [], []

    def jobs():
        for n in range(10):
            made.append(n)
            yield f'tile {n}', work, n

    def work(n):
        time.sleep(.01)
        done.append(n)
        return 1 // (n != 6)
    found = []
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        for at, value in run.by_executor(pool, jobs(), 10):
            found.append(at)
            assert value == 1 and len(made) - len(found) <= 2
    assert found == [f'tile {n}' for n in range(6)] and made == list(range(9))
    assert done[:7] == list(range(7)) and 8 not in done


def test_alone():
    """BLAS and in_threads take one thread inside, as many as before behind it."""
    def blas():
        return [pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas']
    before = blas()
    with run.alone():
        assert set(blas()) == {1}
        names = run.in_threads(lambda job: __import__('threading').current_thread().name, range(3), 2)
        assert set(names) == {'MainThread'}
    assert blas() == before
    assert 'MainThread' not in run.in_threads(lambda job: __import__('threading').current_thread().name, range(3), 2)


# ------------------------------------------------------------------ ntref kernel

def ntref(*arguments, **options):
    return subprocess.run([sys.executable, '-m', 'ntref', *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, **options)


@pytest.fixture
def files(x, rng, tmp_path):
    import json
    (tmp_path / 'net.json').write_text(json.dumps(NET.to_spec()))
    numpy.save(tmp_path / 'x.npy', x)
    numpy.save(tmp_path / 'y.npy', rng.standard_normal((6, 5)))
    return tmp_path


def test_command_by_workers(client, x, files):
    done = ntref('kernel', 'net.json', 'x.npy', '--out', 'k.zarr', '--batch-size', 4, '--scheduler',
                 client.scheduler.address, cwd=files)
    assert done.returncode == 0, done.stderr
    assert '(23, 23) float64' in done.stdout
    assert_array_equal(load_kernel(files / 'k.zarr'), batch(NET.kernel_fn, 4)(x, None, 'ntk'))


def test_command(x, files):
    done = ntref('kernel', 'net.json', 'x.npy', 'y.npy', '--get', 'nngp', 'ntk', '--out', 'k.zarr', cwd=files)
    assert done.returncode == 0, done.stderr
    expected = batch(NET.kernel_fn)(x, numpy.load(files / 'y.npy'), ('nngp', 'ntk'))
    found = load_kernel(files / 'k.zarr')
    assert_array_equal(found.ntk, expected.ntk)
    assert_array_equal(found.nngp, expected.nngp)


@pytest.mark.parametrize('arguments, message', [
    (('missing.json', 'x.npy'), 'missing.json'), (('x.npy', 'x.npy'), 'expected a network as JSON in x.npy'),
    (('net.json', 'missing.npy'), 'missing.npy'),
    (('net.json', 'net.json'), 'expected an array in net.json, as numpy.save writes it'),
    (('net.json', 'objects.npy'), 'expected an array of numbers in objects.npy'),
    (('unknown.json', 'x.npy'), "got 'Unknown'"),
    (('net.json', 'x.npy', '--batch-size', '-3'), 'argument --batch-size: expected a whole number >= 1'),
    (('net.json', 'x.npy', '--scheduler', 'tcp://127.0.0.1:1'),
     'expected a Dask scheduler at tcp://127.0.0.1:1, got none')])
def test_command_refuses(arguments, message, files):
    """In one line, and nothing is written."""
    numpy.save(files / 'objects.npy', numpy.array([{}], dtype=object), allow_pickle=True)
    (files / 'unknown.json').write_text('{"layer": "Unknown"}')
    done = ntref('kernel', *arguments, '--out', 'k.zarr', cwd=files)
    assert done.returncode == 1 and message in done.stderr and done.stderr.startswith('ntref kernel: ')
    assert 'Traceback' not in done.stderr and not (files / 'k.zarr').exists()


INTERRUPTED = """
import itertools, os, signal, sys
from ntref.cli import main
from ntref.engine import store

signal.signal(signal.SIGINT, signal.default_int_handler)          # a shell may start tests with Ctrl-C ignored
write, number = store._Store.write, itertools.count(1)

def interrupting(self, *tile):
    write(self, *tile)
    if next(number) == 20:                          # for one thread alone
        os.kill(os.getpid(), signal.SIGINT)

store._Store.write = interrupting
sys.exit(main(sys.argv[1:]))
"""


def test_command_goes_on_after_an_interrupt(files, rng):
    """Ctrl-C while tiles are computed: exit status 130, and the same call computes the rest."""
    numpy.save(files / 'x.npy', rng.standard_normal((240, 50)))
    call = 'kernel', 'net.json', 'x.npy', '--out', 'k.zarr', '--batch-size', '8'
    stopped = subprocess.run([sys.executable, '-c', INTERRUPTED, *call], cwd=files, capture_output=True)
    first = len(list((files / 'k.zarr').rglob('c/*/*')))
    assert stopped.returncode == 130 and 20 <= first < 30 * 31 / 2, stopped.stderr
    assert ntref('kernel', 'net.json', 'x.npy', '--out', 'k.zarr', '--batch-size', 8, cwd=files).returncode == 0
    x = numpy.load(files / 'x.npy')
    assert_array_equal(load_kernel(files / 'k.zarr'), batch(NET.kernel_fn, 8)(x, None, 'ntk'))
