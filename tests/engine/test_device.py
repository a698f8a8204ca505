"""Kernels on a device: tiles of its memory, streams, copies to the host; all on the stand-in for CuPy."""
from concurrent.futures import Executor, Future
import pickle

import numpy
import pytest
from numpy.testing import assert_allclose

from ntref import batch, stax
from ntref.duals import on_device
from ntref.engine import device
from ntref.engine.cover import ENTRIES


def dense(*activations):
    layers = [layer for a in activations for layer in (stax.Dense(1, 1.4, .2), a)]
    return stax.serial(*layers, stax.Dense(1))


def branches():
    there = stax.serial(stax.Relu(), stax.Dense(1))
    return stax.serial(stax.Dense(1), stax.FanOut(2), stax.parallel(there, stax.Identity()), stax.FanInSum(),
                       stax.LayerNorm(), stax.Relu(), stax.Dense(1))


def convolutions(end):
    def conv():
        return stax.Conv(1, (3, 3), padding='SAME', W_std=1.3, b_std=.1)
    return stax.serial(conv(), stax.Relu(), stax.AvgPool((2, 2), (2, 2)), conv(), stax.Erf(), end, stax.Dense(1))


VECTORS = [dense(stax.Relu(), stax.LeakyRelu(.2)), dense(stax.Erf(), stax.Gelu()), dense(stax.Sin(), stax.Rbf()),
           dense(stax.Monomial(2)), dense(stax.Tanh()), dense(stax.Sign(), stax.ExpNormalized()), branches()]
IMAGES = [convolutions(stax.Flatten()), convolutions(stax.GlobalAvgPool()),
          convolutions(stax.GlobalSelfAttention(1, 4, 4, 4))]


def inputs_of_people(rng, shape, dtype):
    """Generic inputs, one twice, two nearly the same, opposite and zero ones: near pairs among others."""
    x = rng.standard_normal((40, *shape))
    x[1] = x[0]
    x[2] = x[0] * (1 + 1e-7)
    x[3] = -x[0]
    x[4] = 0
    return x.astype(dtype)


@pytest.fixture
def small(monkeypatch):
    """Tiles of a few hundred numbers on the device."""
    monkeypatch.setattr(device, 'ENTRIES_ON_DEVICE', 500)


@pytest.mark.parametrize('dtype', ['float64', 'float32'])
@pytest.mark.parametrize('net', VECTORS, ids=str)
def test_tiles_of_vectors(net, dtype, rng, cupy, small):
    x = inputs_of_people(rng, (6,), dtype)
    for z in None, x[3:20]:
        check(net, x, z, cupy)


@pytest.mark.parametrize('net', IMAGES, ids=str)
def test_tiles_of_images(net, rng, cupy, small):
    x = inputs_of_people(rng, (6, 6, 2), 'float64')[:9]
    for z in None, x[2:6]:
        check(net, x, z, cupy)


def test_tiles_of_masked_sequences(rng, cupy, small):
    net = stax.serial(stax.Conv(1, (3,), padding='SAME'), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
    x = rng.standard_normal((9, 7, 2))
    x[2, 4:] = x[5, 2:] = 9.
    check(net, x, None, cupy, mask_constant=9.)


def test_each_form_has_its_kernel(rng, cupy, monkeypatch):
    """Vectors carry the lack, gap and area only up to a ReLU if some are opposite; images the gap: one pass each."""
    asked = []
    kernel = on_device.kernel
    monkeypatch.setattr(on_device, 'kernel', lambda *key: asked.append(key) or kernel(*key))
    x = rng.uniform(size=(60, 6))
    lack = [('lack', True)]
    for net, x, forms in (VECTORS[0], x, lack), (VECTORS[0], x - .5, [('area', True), *lack]), (
            IMAGES[0], rng.standard_normal((5, 6, 6, 2)), [('gap', True)]):
        asked.clear()
        net.kernel_fn(cupy.asarray(x), None, ('nngp', 'ntk'))
        assert set(asked) == set(forms)


def check(net, x, z, cupy, **options):
    """The device has what the host has; near pairs keep their digits, and the result is on the device."""
    want = net.kernel_fn(x, z, ('nngp', 'ntk'), **options)
    x, z = (None if a is None else cupy.asarray(a) for a in (x, z))
    got = net.kernel_fn(x, z, ('nngp', 'ntk'), **options)
    eps = numpy.finfo(want.nngp.dtype).eps
    for name in 'nngp', 'ntk':
        k, there = getattr(want, name), getattr(got, name)
        assert type(there) is cupy.ndarray and there.dtype == k.dtype
        assert_allclose(there.get(), k, rtol=64 * eps, atol=64 * eps * abs(k).max())


def test_the_size_of_tiles_is_of_what_is_free_there(cupy, monkeypatch):
    x = cupy.zeros((4, 2))
    assert device.entries_of_tile(x) == device.ENTRIES_ON_DEVICE > ENTRIES == device.entries_of_tile(numpy.zeros(2))
    monkeypatch.setattr(cupy.cuda, 'free', 8 * device.ALIVE * 1000, raising=False)
    assert device.entries_of_tile(x) == 1000
    monkeypatch.setattr(cupy.cuda, 'free', 5, raising=False)
    assert device.entries_of_tile(x) == 1


def test_each_thread_has_a_stream_and_gives_it_back(cupy, rng, monkeypatch):
    monkeypatch.setattr(cupy.cuda.Stream, 'made', [])
    monkeypatch.setattr(device, '_streams', device.deque())
    net = VECTORS[0]
    x = rng.standard_normal((30, 3))
    k = batch(net.kernel_fn, 5, 8)(cupy.asarray(x), None, 'ntk')
    assert_allclose(k, net.kernel_fn(x, None, 'ntk'), rtol=1e-13)
    made = cupy.cuda.Stream.made
    assert len(made) <= device.TILES == 2 and sum(stream.used for stream in made) == 21
    assert sorted(map(id, device._streams)) == sorted(map(id, made))


def test_a_stream_is_given_back_after_an_error(cupy, monkeypatch):
    monkeypatch.setattr(device, '_streams', device.deque())
    with pytest.raises(KeyError), device.own_stream(cupy.zeros(1)):
        raise KeyError
    assert len(device._streams) == 1
    with device.own_stream(numpy.zeros(1)):
        assert len(device._streams) == 1


def test_a_store_is_written_from_the_device(cupy, rng, tmp_path):
    net = VECTORS[0]
    x = rng.standard_normal((12, 3)).astype('float32')
    k = batch(net.kernel_fn, 5, out=tmp_path / 'k.zarr')(cupy.asarray(x), None, ('nngp', 'ntk'))
    want = net.kernel_fn(x, None, ('nngp', 'ntk'))
    assert_allclose(k.ntk[:], want.ntk, rtol=1e-5)
    assert_allclose(k.nngp[:], want.nngp, rtol=1e-5)
    assert device.to_host(x) is x


class Elsewhere(Executor):
    """A worker in another process, of whose device the stand-in is: jobs and results go there and back as bytes."""

    sent = 0

    def submit(self, f, *given):
        f, *given = pickle.loads(pickle.dumps((f, *given)))
        self.sent += 1
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(f(*given))))
        return future


@pytest.mark.parametrize('out', [None, 'k.zarr'])
def test_tiles_by_workers_with_a_device_each(out, cupy, rng, tmp_path):
    net = VECTORS[0]
    x = rng.standard_normal((12, 3))
    worker = Elsewhere()
    k = batch(net.kernel_fn, 5, out=out and tmp_path / out, executor=worker)(cupy.asarray(x), None, 'ntk')
    assert worker.sent == 5, 'the first of six tiles is computed here'
    assert_allclose(k[:], net.kernel_fn(x, None, 'ntk'), rtol=1e-13)
