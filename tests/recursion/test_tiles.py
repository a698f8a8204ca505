"""Kernels tile by tile: the same numbers, whatever the tiles."""
import gc
import weakref

import numpy
import pytest
from numpy.testing import assert_allclose

from ntref import stax
from ntref.arrays import namespace
from ntref.engine import cover
from ntref.recursion import tiled
from ntref.recursion.signal import Axes, Signal
from ntref.stax import Dense, GlobalAvgPool, Relu, serial


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(tiled, 'ENTRIES', 24)


def whole(net, x1, x2, name):
    return getattr(net.kernel_fn(x1, x2), name)             # a Kernel is not computed in tiles


@pytest.mark.parametrize('n1, n2', [(7, 8), (20, 2), (2, 20), (9, None), (8, None)])
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_tiles_do_not_change_the_kernel(n1, n2, dtype, small, rng):
    net = stax.serial(stax.Dense(8, 1.4, .2), stax.LayerNorm(), stax.Relu(), stax.Dense(8), stax.Erf(), stax.Dense(1))
    x1 = rng.standard_normal((n1, 4)).astype(dtype)
    x2 = None if n2 is None else rng.standard_normal((n2, 4)).astype(dtype)
    both = net.kernel_fn(x1, x2, ('ntk', 'nngp'))
    assert both._fields == ('ntk', 'nngp') and both.ntk.dtype == dtype
    for name in ('nngp', 'ntk'):
        expected = whole(net, x1, x2, name)
        assert abs(getattr(both, name) - expected).max() <= 20 * numpy.finfo(dtype).eps * abs(expected).max()
        assert (net.kernel_fn(x1, x2, name) == getattr(both, name)).all()
    if x2 is None:
        assert (both.ntk == both.ntk.T).all()


def test_batches_on_another_axis(small, rng):
    net = stax.serial(stax.Dense(8, batch_axis=1, channel_axis=0), stax.Relu())
    x = rng.standard_normal((4, 11))
    assert_allclose(net.kernel_fn(x, get='ntk'), whole(net, x, None, 'ntk'), rtol=1e-14)


def test_layers_that_mix_the_batch_are_not_tiled(small, rng):
    net = stax.serial(stax.Dense(8, 1.3, .2), stax.LayerNorm((0, 1)), stax.Dense(1))
    x = rng.standard_normal((10, 4))
    assert not net.tileable(Signal((10, 4), Axes(0, 1)))
    assert (net.kernel_fn(x, get='nngp') == whole(net, x, None, 'nngp')).all()


SIZES = 1, 2, 3, 5, 7, 12, 24, 100


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('n1, n2', [(7, 8), (9, 9), (1, 5), (5, 1), (0, 3), (3, 0)])
def test_rectangles_cover_once(n1, n2, size):
    count = numpy.zeros((n1, n2), int)
    for rows, columns in cover.rectangles(n1, n2, size):
        assert 0 < count[rows, columns].size <= size
        count[rows, columns] += 1
    assert (count == 1).all()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('n', [0, 1, 2, 5, 9, 40, 100])
@pytest.mark.parametrize('rows', [1, 3, 10])
def test_strips_cover_once_above_the_squares(n, size, rows):
    count = numpy.zeros((n, n), int)
    for i, j in cover.strips(n, size, rows):
        assert 0 < count[i, j].size <= max(size, rows ** 2)
        assert (i.start == j.start) == (j.start < i.stop) and j.stop >= i.stop
        count[i, j] += 1
    assert (count <= 1).all() and count[numpy.triu_indices(n)].all()


@pytest.mark.parametrize('layer', [stax.Relu(), stax.Erf(), stax.Sign(), stax.Rbf()], ids=repr)
@pytest.mark.parametrize('rows, n', [(1, 40), (5, 40), (40, 40)])
@pytest.mark.parametrize('features', [1, 100])
def test_squares_on_the_diagonal(layer, rows, n, features, rng, monkeypatch):
    """Inputs with themselves ask for no gap, and what is taken for them is nowhere in the kernel."""
    net = serial(Dense(8, 1.3, .2), layer, Dense(8, 1.1, .1), layer, Dense(1))
    x = rng.standard_normal((n, features))
    tried = []
    original = tiled.input_tile
    monkeypatch.setattr(tiled, 'input_tile', lambda *a, **k: tried.append(k.get('is_generic')) or original(*a, **k))
    monkeypatch.setattr(tiled, 'ONE_SQUARE', 1)
    monkeypatch.setattr(tiled, 'HIGH', rows)
    monkeypatch.setattr(tiled, 'SHARE', n // rows)
    monkeypatch.setattr(tiled, 'WORTH_TILES', 1)
    k = net.kernel_fn(x, get=('nngp', 'ntk'))
    _, *tiles = tried
    assert len(tiles) >= n // rows and (features == 1 or all(tiles))
    for name in k._fields:
        found, expected = getattr(k, name), whole(net, x, None, name)
        assert (found == found.T).all()
        assert abs(found - expected).max() <= 20 * numpy.finfo(float).eps * abs(expected).max()
        assert abs(found - expected).diagonal().max() <= 4 * numpy.finfo(float).eps * expected.diagonal().max()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('n', [0, 1, 2, 5, 9, 40, 100])
@pytest.mark.parametrize('rows', [1, 3, 10])
def test_above_covers_once(n, size, rows):
    count = numpy.zeros((n, n), int)
    rows = min(rows, size)
    for job in cover.above(n, size, rows):
        if isinstance(job, list):
            i, j = tiled._pairs_within(namespace(count), job)
            numpy.add.at(count, (i, j), 1)
            assert 0 < len(i) <= max(size, rows * (rows - 1) // 2)
        else:
            assert 0 < count[job].size <= size
            count[job] += 1
    assert (count == numpy.triu(numpy.ones((n, n), int), 1)).all()


def test_errors_come_out_of_the_threads(small, rng):
    net = stax.serial(stax.Dense(8), stax.Gaussian(1., .5), stax.Dense(1))
    with pytest.raises(stax.LayerError, match=r'layer 1, Gaussian\(b=0.5\): expected variances'):
        net.kernel_fn(10 * rng.standard_normal((10, 4)), get='ntk')


@pytest.mark.parametrize('shape', [(700, 3), (5, 4, 4, 2)])
def test_nothing_is_held(shape, rng):
    """A kernel that nobody needs is freed at once, not by the garbage collector some time later."""
    net = serial(*[Dense(8), Relu()] * 2, GlobalAvgPool()) if len(shape) > 2 else serial(Dense(8), Relu(), Dense(1))
    x = rng.standard_normal(shape)
    x[1] = x[0]                                                          # pairs that coincide: tiles are begun again
    gc.disable()
    try:
        k = net.kernel_fn(x, None, ('nngp', 'ntk'))
        held = [weakref.ref(a) for a in k]
        del k
        assert [a() for a in held] == [None, None]
    finally:
        gc.enable()
