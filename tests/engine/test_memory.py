"""Memory that is not there is missed before anything is computed; what a call will take is predicted."""
import re
import sys
import tracemalloc
from types import SimpleNamespace

import numpy
import psutil
import pytest
from numpy.testing import assert_allclose

import ntref
from ntref import batch
from ntref.engine import cost, device, memory
from ntref.stax import Conv, Dense, FanInSum, Flatten, GlobalAvgPool, Identity, Relu, parallel, serial

NET = serial(Dense(8), Relu(), Dense(1))


GROUPS = {                                             # limit, use, and what is given up, by version
    1: ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
    2: ('memory.max', 'memory.current', 'inactive_file')}
FREE = 3 * 1024


@pytest.fixture(name='machine')
def machine_fixture(monkeypatch):
    """A function that makes a machine with FREE bytes."""
    monkeypatch.setattr(psutil, 'virtual_memory', lambda: SimpleNamespace(available=FREE))
    return machine


def machine(root, *groups, ours='0::/\n'):
    """Files of control groups (version, path, limit, use)."""
    (root / 'proc/self').mkdir(parents=True)
    if ours is not None:
        (root / 'proc/self/cgroup').write_text(ours)
    for version, path, limit, used in groups:
        folder, names = root / 'sys/fs/cgroup' / ('memory' if version == 1 else '') / path, GROUPS[version]
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(names, (limit, used)):
            (folder / name).write_text(f'{text}\n')
        (folder / 'memory.stat').write_text(f'anon 700\n{names[2]} 100\n')


OURS = {1: '5:cpu,cpuacct:/other\n4:memory:/jobs/mine\n0::/\n', 2: '1:name=systemd:/other\n0::/jobs/mine\n'}
NONE = {1: 9223372036854771712, 2: 'max'}


@pytest.mark.parametrize('version', [1, 2])
@pytest.mark.parametrize('groups, expected', [
    ([('', None, 5)], FREE), ([('', 2048, 1000)], 1148), ([('', 99999, 5)], FREE), ([], FREE),
    ([('jobs/mine', 2048, 1000)], 1148), ([('jobs', 2048, 1000), ('jobs/mine', None, 1000)], 1148),
    ([('jobs', 2048, 1000), ('jobs/mine', 1500, 900)], 700), ([('jobs/other', 2048, 2000), ('', None, 5)], FREE),
    ([('', 2048, 2100)], 48)])
def test_available(version, groups, expected, tmp_path, machine):
    """The least of what is free in the machine, our control group, and those above it; others do not count."""
    machine(tmp_path, *((version, path, limit or NONE[version], used) for path, limit, used in groups),
            ours=OURS[version])
    assert memory.available(tmp_path) == expected


@pytest.mark.parametrize('version', [1, 2])
@pytest.mark.parametrize('ours', ['4:memory:/docker/1\n', '0::/docker/1\n', '4:memory:/docker/1\n0::/\n', None])
def test_a_container(version, ours, tmp_path, machine):
    """Its control group is the root of what it sees, and elsewhere for the host."""
    machine(tmp_path, (version, '', 2048, 1000), ours=ours)
    assert memory.available(tmp_path) == 1148


def test_this_machine():
    assert 0 < memory.available() <= psutil.virtual_memory().total


def test_other_systems_have_no_control_groups(tmp_path, machine):
    assert memory.available(tmp_path) == FREE


def test_a_browser_does_not_say(monkeypatch):
    monkeypatch.setitem(sys.modules, 'psutil', None)       # its import raises ImportError
    assert memory.available() is None
    monkeypatch.setattr(memory, 'available', lambda: None)
    memory.check_memory(2 ** 80, 'kernels', 2 ** 80, 8)


@pytest.mark.parametrize('dtype, size', [('float64', 8), ('float32', 4), ('int32', 8)])
@pytest.mark.parametrize('short', [0, 1])
def test_kernels_must_fit(short, dtype, size, rng, monkeypatch):
    """In the bytes of the numbers that they are made of."""
    x = rng.integers(-9, 9, (600, 3)).astype(dtype)
    monkeypatch.setattr(memory, 'available', lambda: 2 * size * 600 ** 2 - short)
    if not short:
        assert numpy.isfinite(NET.kernel_fn(x, None, ('nngp', 'ntk')).ntk).all()
    else:
        taken = f'{2 * size * 600 ** 2 / 2 ** 30:.3g}'
        with pytest.raises(MemoryError, match=rf'600 with 600 inputs, which take {taken} GiB. .* to disk'):
            NET.kernel_fn(x, None, ('nngp', 'ntk'))


@pytest.mark.parametrize('dtype, size', [('float64', 8), ('float32', 4)])
@pytest.mark.parametrize('short', [0, 1])
def test_kernels_on_a_device(short, dtype, size, rng, monkeypatch, cupy):
    """What is free there counts, not the memory of the host; that is where results of `batch` are.

    Beside the kernel there must be memory for a small tile at least.
    """
    x = cupy.asarray(rng.standard_normal((300, 3)).astype(dtype))
    needed = (1 + device.ALIVE) * size * 300 ** 2
    monkeypatch.setattr(memory, 'available', lambda: 2 ** 22)
    for name, value in ('free', needed - 1000 - short), ('pooled', 1000):
        monkeypatch.setattr(cupy.cuda, name, value, raising=False)
    if not short:
        assert NET.kernel_fn(x, None, 'ntk').shape == (300, 300)
        return
    with pytest.raises(MemoryError, match='GiB of memory that are free on the device, got') as refused:
        NET.kernel_fn(x, None, 'ntk')
    assert called(str(refused.value), NET.kernel_fn)(x, None, 'ntk').shape == (300, 300)
    assert "out='kernel.zarr'" not in str(refused.value)
    monkeypatch.setattr(memory, 'available', lambda: size * 300 ** 2)
    with pytest.raises(MemoryError, match="out='kernel.zarr'"):
        NET.kernel_fn(x, None, 'ntk')


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
    'flat': (serial(Identity(), Flatten(), Dense(8), Relu(), Dense(1)), (600, 6, 6, 2), None, None),
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


@pytest.mark.parametrize('shapes', [((0, 3),), ((-1, 3),), ((3, 0),), ((3, 3), (0, 3)), ((3, -3),)])
def test_no_cost_without_inputs(shapes):
    with pytest.raises(ValueError, match=r'kernel_fn.cost: expected at least one input and one entry on each axis'):
        serial(Dense(8), Relu(), Dense(1)).kernel_fn.cost(*shapes)


def test_the_number_of_inputs_is_all_that_matters(monkeypatch):
    """No array of that size is made."""
    net = serial(Dense(8), Relu(), Dense(1))
    monkeypatch.setattr(memory, 'available', lambda: 2 ** 28)
    one, two = (net.kernel_fn.cost((n, 3), get='nngp') for n in (10 ** 6, 2 * 10 ** 6))
    assert one.bytes > 8e12 and two.bytes == pytest.approx(4 * one.bytes, rel=1e-3)
