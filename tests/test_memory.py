"""Memory that is not there is missed before anything is computed; what a call will take is predicted."""
import re
import tracemalloc

import numpy
import pytest
from numpy.testing import assert_allclose

import ntref
from ntref import batch
from ntref.engine import cost, memory
from ntref.stax import Conv, Dense, FanInSum, GlobalAvgPool, Relu, parallel, serial

NET = serial(Dense(8), Relu(), Dense(1))


@pytest.mark.parametrize('limit, used, expected', [
    ('max', '5', 3 * 1024), ('2048', '1000', 1148), ('99999', '5', 3 * 1024), (None, None, 3 * 1024)])
def test_available(limit, used, expected, monkeypatch, tmp_path):
    (tmp_path / 'meminfo').write_text('MemTotal: 4 kB\nMemAvailable: 3 kB\n')
    for name, text in ('max', limit), ('current', used):
        if text is not None:
            (tmp_path / f'memory.{name}').write_text(text + '\n')
    (tmp_path / 'memory.stat').write_text('anon 700\ninactive_file 100\n')
    monkeypatch.setattr(memory, 'Path', lambda path: tmp_path / 'meminfo' if path == '/proc/meminfo' else tmp_path)
    assert memory.available() == expected


def test_other_systems_do_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, 'Path', lambda path: tmp_path / 'nothing')
    assert memory.available() is None
    memory.check_memory(2 ** 80, 'kernels', 2 ** 80, 8)


@pytest.mark.parametrize('free, fits', [(2 * 8 * 600 ** 2, True), (2 * 8 * 600 ** 2 - 1, False)])
def test_kernels_must_fit(free, fits, rng, monkeypatch):
    x = rng.standard_normal((600, 3))
    monkeypatch.setattr(memory, 'available', lambda: free)
    if fits:
        assert numpy.isfinite(NET.kernel_fn(x, None, ('nngp', 'ntk')).ntk).all()
    else:
        with pytest.raises(MemoryError, match=r'600 with 600 inputs, which take 0.00536 GiB. .* to disk'):
            NET.kernel_fn(x, None, ('nngp', 'ntk'))


def called(message, kernel_fn):
    """The function that a MemoryError names."""
    return eval(re.search(r'ntref.batch\(.*?\)', message)[0], {'ntref': ntref, 'kernel_fn': kernel_fn})


def test_the_named_call_fits(rng, monkeypatch, tmp_path):
    """A whole Kernel takes 24 arrays, of positions in pairs; what is named instead fits."""
    net = serial(Conv(4, (2,)), Relu(), GlobalAvgPool())
    x, free = rng.standard_normal((40, 16, 2)), 30 * 2 ** 20
    monkeypatch.setattr(memory, 'available', lambda: free)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MemoryError, match='40 with 40 inputs in one piece, which take 0.0732 GiB') as refused:
        net.kernel_fn(x)
    found = called(str(refused.value), net.kernel_fn)(x, None, 'ntk')
    monkeypatch.setattr(memory, 'available', lambda: None)
    assert_allclose(found, net.kernel_fn(x).ntk, rtol=1e-13)
    monkeypatch.setattr(memory, 'available', lambda: free)
    tracemalloc.start()
    called(str(refused.value), net.kernel_fn)(x, None, 'ntk')
    assert tracemalloc.get_traced_memory()[1] < free
    tracemalloc.stop()


TILE = 8 * 20 ** 2


@pytest.mark.parametrize('limit, fits', [(8 * 60 ** 2 + 4 * TILE, True), (8 * 60 ** 2 + 4 * TILE - 1, False)])
def test_the_limit_of_batch(limit, fits, rng, tmp_path):
    """Results and the tiles in work, four arrays each; on disk tiles alone."""
    x, f = rng.standard_normal((60, 3)), NET.kernel_fn
    in_memory = batch(f, 20, 1, memory_limit=limit)
    if fits:
        in_memory(x, None, 'ntk')
    else:
        with pytest.raises(MemoryError, match='memory that memory_limit allows, got kernels of 60 with 60 inputs'):
            in_memory(x, None, 'ntk')
    batch(f, 20, 1, out=tmp_path / 'k.zarr', memory_limit=4 * TILE)(x, None, 'ntk')
    with pytest.raises(MemoryError, match='batch_size=9'):
        batch(f, 20, 1, out=tmp_path / 'other.zarr', memory_limit=4 * TILE - 1)(x, None, 'ntk')


# ------------------------------------------------------------------ what is predicted

COSTS = {
    'dense': (serial(*[Dense(8), Relu()] * 3, Dense(1)), (3000, 4), None, 'ntk'),
    'both': (serial(Dense(8), Relu(), Dense(1)), (3000, 4), (2500, 4), ('nngp', 'ntk')),
    'whole': (serial(Dense(8), Relu(), Dense(1)), (1500, 4), (700, 4), None),
    'pooled': (serial(Conv(8, (3, 3)), Relu(), GlobalAvgPool()), (24, 10, 10, 2), None, None),
    'two inputs': (serial(parallel(Dense(8), Dense(8)), FanInSum(), Relu()), [(900, 3), (900, 5)], None, None)}


@pytest.mark.parametrize('name', COSTS)
def test_predicted_memory(name, rng):
    """Within a third of what is allocated, from a few of the inputs."""
    net, shape1, shape2, get = COSTS[name]
    predicted, x1, x2 = net.kernel_fn.cost(shape1, shape2, get), drawn(rng, shape1), drawn(rng, shape2)
    tracemalloc.start()
    net.kernel_fn(x1, x2, get)
    assert 2 / 3 < predicted.bytes / tracemalloc.get_traced_memory()[1] < 4 / 3
    tracemalloc.stop()
    assert predicted.seconds > 0


def drawn(rng, shape):
    if isinstance(shape, list):
        return [drawn(rng, s) for s in shape]
    return shape and rng.standard_normal(shape)


@pytest.mark.parametrize('asked, trial, is_whole, expected', [
    ((1000, None), (100, None), False, (80 * 100 + 20, 2 * 500500 / 5050)),
    ((1000, 300), (100, 30), False, (80 * 100 + 20, 2 * 100)), ((1000, 300), (100, 30), True, (100 * 100, 2 * 100)),
    ((100, None), (100, None), True, (100, 2))])
def test_growth(asked, trial, is_whole, expected, monkeypatch):
    """Results with the pairs; time with those that are computed: half of them, and the diagonal, without x2."""
    monkeypatch.setattr(cost, '_traced', lambda call: ({'k': numpy.zeros(10)}, 100))
    monkeypatch.setattr(cost.time, 'perf_counter', iter([5., 7.]).__next__)
    found = cost.predicted(lambda: None, trial, asked, is_whole)
    assert found.bytes == expected[0] and found.seconds == pytest.approx(expected[1], rel=1e-15)


def test_the_number_of_inputs_is_all_that_matters(monkeypatch):
    """No array of that size is made."""
    net = serial(Dense(8), Relu(), Dense(1))
    monkeypatch.setattr(memory, 'available', lambda: 2 ** 28)
    one, two = (net.kernel_fn.cost((n, 3), get='nngp') for n in (10 ** 6, 2 * 10 ** 6))
    assert one.bytes > 8e12 and two.bytes == pytest.approx(4 * one.bytes, rel=1e-3)
