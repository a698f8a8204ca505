"""Kernels of inputs with positions in tiles and blocks of rows: the same numbers, whatever the tiles; `duals.fast`.

`kernel_fn(x1, x2)` returns a `Kernel`, which is computed whole; asked for 'nngp' and 'ntk' it goes tile by tile.
"""
import os
import tracemalloc
from unittest import mock

import numpy
import pytest
from tiles import CARRIED, DEFAULT, LOST, NETWORKS, average, conv, dense, drawn, image_shape, residual, set_sizes
from tolerances import DTYPES, assert_close

from ntref import duals, stax
from ntref.arrays import namespace
from ntref.duals import angle, fast
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.stax import (
    ABRelu, Abs, ConvTranspose, Dense, Dropout, Erf, FanInConcat, FanInProd, FanInSum, FanOut, Flatten, Gaussian, Gelu,
    GlobalAvgPool, Identity, LayerNorm, LeakyRelu, Relu, Sign, parallel, repeat, serial)

OTHER_DIMENSIONS = {
    'row': (serial(conv((3,)), Relu(), conv((2,), 'CIRCULAR'), Relu(), conv((2,), strides=(2,))), (7,)),
    'row, flat': (serial(conv((4,)), Relu(), conv((4,), 'VALID'), Erf(), Flatten()), (7,)),
    'row, residual': (serial(conv((3,)), residual(serial(Relu(), conv((3,)))), Relu(), GlobalAvgPool()), (6,)),
    'cube': (serial(conv((2, 1, 3)), Relu(), conv((1, 2, 2), 'VALID'), Relu()), (3, 2, 3)),
    'cube, one high': (serial(conv((2, 3, 2)), Relu(), conv((1, 2, 2)), Relu(), GlobalAvgPool()), (1, 3, 2)),
    'cube, flat': (serial(conv((2, 2, 2)), Relu(), ConvTranspose(8, (1, 2, 2), (1, 1, 2)), Relu(), Flatten()),
                   (2, 3, 2)),
    'image, one high': (serial(conv(), Relu(), conv(), Relu(), conv()), (1, 5)),
    'image, one wide': (serial(conv(), Relu(), conv((2, 1), strides=(2, 1)), Relu()), (5, 1)),
    'one pixel': (serial(conv(), Relu(), conv(), Relu(), Flatten()), (1, 1)),
}


def assert_same(parts, whole, dtype, ntk_digits=1.):
    """nngp to rounding; ntk to rounding, or with this part of the digits, relative to the largest entry."""
    assert parts._fields == ('nngp', 'ntk')
    assert_close(parts.nngp, whole.nngp, 'slice', abs(whole.nngp).max())
    if ntk_digits == 1:
        assert_close(parts.ntk, whole.ntk, 'slice', abs(whole.ntk).max())
    else:
        assert parts.ntk.shape == whole.ntk.shape and parts.ntk.dtype == dtype
        error = abs(parts.ntk - whole.ntk).max() / abs(whole.ntk).max()
        assert error <= 4 * numpy.finfo(dtype).eps ** ntk_digits, error


# ------------------------------------------------------------------ the same numbers

SIZES = DEFAULT, (160, 1), (80, 800), (7, 10 ** 4)
"""Entries of blocks and tiles: all at once; two rows of one pair; rows of two pairs; less than a row."""


def check_sizes(net, x, y, sizes, ntk_digits, monkeypatch):
    """k(x, y), and k(x), whose Theta has `ntk_digits`."""
    whole, alone, before = net.kernel_fn(x, y), net.kernel_fn(x), x.copy()
    for block, entries in sizes:
        set_sizes(monkeypatch, block, entries)
        assert_same(net.kernel_fn(x, y, ('nngp', 'ntk')), whole, 'float64')
        assert_same(net.kernel_fn(x, get=('nngp', 'ntk')), alone, 'float64', ntk_digits)
    assert (x == before).all()


@pytest.mark.parametrize('name', CARRIED)
def test_tiles_do_not_change_the_kernel(name, rng, monkeypatch):
    """Two of the images are the same."""
    x = drawn(rng, 2, *image_shape(name))
    y = numpy.concatenate([drawn(rng, 1, *image_shape(name)), x])
    check_sizes(NETWORKS[name], x, y, SIZES, 1., monkeypatch)


@pytest.mark.parametrize('name', LOST)
def test_tiles_do_not_change_the_kernel_behind_a_pool(name, rng, monkeypatch):
    check_sizes(NETWORKS[name], *(drawn(rng, n, *image_shape(name)) for n in (2, 3)), SIZES, .5, monkeypatch)


@pytest.mark.parametrize('net', [
    serial(dense, Gelu(), dense, Sign(), dense, Erf(), Flatten()),
    serial(dense, Gaussian(), dense, Sign(), dense, Relu(), GlobalAvgPool()),
    serial(conv(), Erf(), average, conv(), Sign(), conv(), Erf(), GlobalAvgPool())], ids=repr)
def test_variances_behind_a_jump(net, rng):
    """A jump makes 1e-8 of 1e-16 between an input and itself, where Gelu or a pool lose the gap; not between others."""
    x, y = drawn(rng, 4, 5, 4, 2), drawn(rng, 5, 5, 4, 2)
    assert_same(net.kernel_fn(x, y, ('nngp', 'ntk')), net.kernel_fn(x, y), 'float64')


@pytest.mark.parametrize('name', OTHER_DIMENSIONS)
def test_rows_and_cubes(name, rng, monkeypatch):
    net, shape = OTHER_DIMENSIONS[name]
    sizes = DEFAULT, (36, 100), (9, 1), (4, 1)
    check_sizes(net, drawn(rng, 2, *shape, 2), drawn(rng, 3, *shape, 2), sizes, 1., monkeypatch)


@pytest.mark.parametrize('n1, n2', [(1, 2), (2, 1), (5, 3), (3, 5), (2, None), (5, None)])
@pytest.mark.parametrize('entries', [1, 3 * 36, 2 ** 18])
@pytest.mark.parametrize('dtype', DTYPES)
def test_any_number_of_images(n1, n2, entries, dtype, rng, monkeypatch):
    net = serial(conv(), Relu(), conv((2, 2)), Relu(), GlobalAvgPool())
    x1 = rng.standard_normal((n1, 3, 2, 2)).astype(dtype)
    x2 = None if n2 is None else rng.standard_normal((n2, 3, 2, 2)).astype(dtype)
    whole = net.kernel_fn(x1, x2)
    set_sizes(monkeypatch, 2 ** 17, entries)
    assert_same(net.kernel_fn(x1, x2, ('nngp', 'ntk')), whole, dtype)
    for get in 'nngp', 'ntk':
        assert_close(net.kernel_fn(x1, x2, get), getattr(whole, get), 'slice', abs(getattr(whole, get)).max())


DIAGONAL = ('conv', 'strided', 'turned', 'transposed', 'local', 'index', 'one branch', 'channels beside each other',
            'layer norm')


@pytest.mark.parametrize('name', DIAGONAL)
@pytest.mark.parametrize('block, entries', [DEFAULT, (8, 40)])
def test_layouts(name, block, entries, rng, monkeypatch):
    """Equal positions only, from beginning to end or at the end; or any two although nobody asks."""
    net, x = NETWORKS[name], rng.standard_normal((3, *image_shape(name)))
    y = rng.standard_normal((2, *x.shape[1:]))
    set_sizes(monkeypatch, block, entries)
    for arguments in (x, y), (x, None):
        diagonal, paired = (net.kernel_fn(*arguments, diagonal_spatial=d) for d in (True, False))
        assert diagonal.diagonal_spatial and not paired.diagonal_spatial
        for whole, d in (diagonal, True), (paired, False):
            assert_same(net.kernel_fn(*arguments, ('nngp', 'ntk'), diagonal_spatial=d), whole, 'float64')
        assert_same(net.kernel_fn(*arguments, ('nngp', 'ntk'), diagonal_spatial=True), paired.aligned(), 'float64')


@pytest.mark.parametrize('block, entries', [DEFAULT, (80, 800)])
@pytest.mark.parametrize('name', ['conv', 'local', 'residual', 'flat', 'global average', 'pool at the end', 'index'])
def test_x_alone_is_symmetric_to_the_last_bit(name, block, entries, rng, monkeypatch):
    set_sizes(monkeypatch, block, entries)
    k = NETWORKS[name].kernel_fn(rng.standard_normal((4, *image_shape(name))), get=('nngp', 'ntk'))
    for a in k:
        mirrored = a.transpose([1, 0, *(i ^ 1 for i in range(2, a.ndim))])
        assert_close(a, mirrored, 'swap', abs(a).max())           # an image with itself is computed as any other
        assert (a == mirrored)[~numpy.eye(4, dtype=bool)].all()


def test_one_pair_is_split_into_rows(monkeypatch, rng):
    """As small as asked for, in more than one way."""
    net, x, seen = serial(conv(), Relu(), conv(), Relu(), GlobalAvgPool()), rng.standard_normal((3, 5, 4, 2)), []
    original = fast.abrelu
    monkeypatch.setattr(fast, 'abrelu', lambda p, *a: seen.append(p.k.shape[-4]) or original(p, *a))
    row = 4 * 5 * 4
    for block, heights in (2 ** 17, {5}), (4 * row, {4, 1}), (2 * row, {2, 1}), (row, {1}), (row - 1, {1}):
        seen.clear()
        set_sizes(monkeypatch, block, 1)
        net.kernel_fn(x[:1], -x, 'nngp')
        assert set(seen) == heights, (block, seen)


# ------------------------------------------------------------------ threads

@pytest.mark.parametrize('name', ['conv', 'residual', 'local', 'pool', 'global average'])
def test_threads_do_not_change_the_numbers(name, rng, monkeypatch):
    net, x = NETWORKS[name], rng.standard_normal((5, *image_shape(name)))
    set_sizes(monkeypatch, 80, 2 * 400)
    results = []
    for threads in 1, 2, 5:
        monkeypatch.setattr(os, 'cpu_count', lambda: threads)
        results += [(*net.kernel_fn(x, get=('nngp', 'ntk')), *net.kernel_fn(x, x[:2] + 1, ('nngp', 'ntk')))]
    assert all((a == b).all() for other in results[1:] for a, b in zip(results[0], other))


@pytest.mark.parametrize('net, place', [
    (serial(conv(), Gaussian(1., .5), conv()), 'layer 1, '),
    (serial(conv(), residual(serial(Relu(), conv(W_std=3.), Gaussian(1., .5), conv()))), r'layer 1.1.0.2, '),
    (serial(conv(), repeat(serial(conv(W_std=.3), Gaussian(1., .5)), 2), GlobalAvgPool()), r'layer 1.0.1, ')], ids=repr)
@pytest.mark.parametrize('entries', [1, 2 ** 18])
def test_errors_say_where(net, place, entries, rng, monkeypatch):
    set_sizes(monkeypatch, 80, entries)
    x = rng.standard_normal((4, 5, 4, 2))
    x[:3] /= 100
    x[3:] *= 10
    net.kernel_fn(x[:3], get=('nngp', 'ntk'))
    for arguments in (x, None), (x[:3], x), (x, x[:3]):
        with pytest.raises(stax.LayerError, match=rf'^{place}Gaussian\(b=0.5\): expected variances q with 4 b q < 1'):
            net.kernel_fn(*arguments, ('nngp', 'ntk'))


# ------------------------------------------------------------------ memory

def test_memory_of_a_tile(rng, monkeypatch):
    """K, gap and Theta of one pair of images are written over again and again: about 3 arrays, and some of one row."""
    side = 20
    set_sizes(monkeypatch, 1, 1)
    monkeypatch.setenv('NTREF_NUM_THREADS', '1')
    net = serial(*[conv(), Relu()] * 3, GlobalAvgPool())
    x, y = rng.standard_normal((1, side, side, 3)), rng.standard_normal((2, side, side, 3))
    net.kernel_fn(x[:, :4, :4], y[:, :4, :4], 'ntk')                        # what is loaded and remembered
    tracemalloc.start()
    try:
        net.kernel_fn(x, y, 'ntk')
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    tile, row = 8 * side ** 4, 8 * side ** 3
    assert 2.5 * tile < peak < 4 * tile + 10 * row, f'{peak / tile:.2f} arrays'


# ------------------------------------------------------------------ fused.abrelu

SLOPES = {'Relu': (0, 1), 'LeakyRelu': (.2, 1), 'Abs': (-1, 1), 'ABRelu': (-.5, 1.7), 'linear': (1.3, 1.3),
          'none': (0, 0)}
EDGES = fast.SERIES_ANGLE, fast.OBTUSE_ANGLE
TINY = 10. ** numpy.arange(-15, 0)
ANGLES = numpy.concatenate([numpy.linspace(0, numpy.pi, 401), TINY, numpy.pi - TINY,
                            [e * (1 + s * 1e-12) for e in EDGES for s in (-1, 1)]])


def pairs(dtype, with_gap=True, unit=1.):
    """All angles, for all pairs of lengths: q1 (n, 1, 1), q2 (n, angles), k (n, n, angles)."""
    n, t = unit * numpy.array([1., 1., .1, 3.], 'longdouble'), ANGLES.astype('longdouble')
    q1, q2 = (n ** 2)[:, None, None], (n ** 2)[:, None] + 0 * t
    s, dn = n[:, None, None] * n[:, None], n[:, None, None] - n[:, None]
    gap = dn ** 2 + 4 * s * numpy.sin(t / 2) ** 2
    q1, q2, k, gap = (a.astype(dtype) for a in (q1, q2, s * numpy.cos(t), gap))
    return Pair(q1, q2, Cov(k, gap if with_gap else None))


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('unit', [1., 1e-6, 1e4])
@pytest.mark.parametrize('name', SLOPES)
def test_fused_is_the_plain_form(name, unit, dtype):
    """gap', and K' where it cannot change sign, relative to themselves; slopes and other K' to the largest possible."""
    p, (a, b) = pairs(dtype, unit=unit), SLOPES[name]
    cov, slope = duals.abrelu(p, a, b)
    ntk = numpy.linspace(.5, 2, p.k.size).reshape(p.k.shape).astype(dtype)
    (k, gap, area, lack), theta = fast.abrelu(p, ntk, a, b)
    assert area is lack is None and all(r.dtype == dtype and r.shape == p.k.shape for r in (k, gap, theta))
    c, eps = (a * a + b * b) / 2, numpy.finfo(dtype).eps
    for fused_value, plain, bound in (
            (k, cov.k, 256 * abs(cov.k) if name in ('Relu', 'Abs') else 16 * c * p.s), (gap, cov.gap, 64 * cov.gap),
            (theta, slope * ntk, 8 * c * ntk)):
        error = abs(fused_value - plain)
        worst = numpy.unravel_index(numpy.argmax(error - eps * bound), error.shape)
        assert (error <= eps * bound).all(), (p.k[worst], ANGLES[worst[-1]], fused_value[worst], plain[worst])


@pytest.mark.parametrize('is_fast', [False, True])
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('unit', [1., 1e-6, 1e4])
@pytest.mark.parametrize('name', SLOPES)
def test_fused_with_the_lack(name, unit, dtype, is_fast):
    """lack' relative to itself, given as lack or by gap and area; all else as from the gap."""
    p, (a, b) = pairs(dtype, unit=unit), SLOPES[name]
    s, t = p.s.astype('longdouble'), ANGLES.astype('longdouble')
    lack, area = ((s * f).astype(dtype) for f in (2 * numpy.sin(t / 2) ** 2, numpy.sin(t)))
    cov, slope = duals.abrelu(Pair(p.q1, p.q2, Cov(p.k, p.cov.gap, area)), a, b)
    c, eps = (a * a + b * b) / 2, numpy.finfo(dtype).eps
    wanted = Pair(c * p.q1, c * p.q2, cov).minus
    obtuse = ANGLES > 2.3                                                  # there s + K has fewer digits
    with mock.patch.object(angle, 'has_fast_arctan2', lambda: is_fast):
        for given, kept in (Cov(p.k, lack=lack), ~obtuse), (Cov(p.k, p.cov.gap, area), slice(None)):
            new, theta = fast.abrelu(Pair(p.q1, p.q2, given), 1 + 0 * p.k, a, b)
            assert (new.gap is new.area is None) == (new.lack is not None) == (a * b <= 0)
            found = Pair(c * p.q1, c * p.q2, new).minus
            assert new.k.dtype == found.dtype == theta.dtype == dtype
            assert (abs(new.k - cov.k) <= eps * 16 * c * p.s).all()
            assert (abs(found - wanted) <= 64 * eps * wanted)[..., ~obtuse].all()
            assert (abs(found - wanted) <= 64 * eps * c * p.s).all()
            assert (abs(theta - slope) <= 16 * eps * c)[..., kept].all()


@pytest.mark.parametrize('net', [
    serial(Dense(8, 1.3, b), phi, Dense(8, 1.1, b), phi, Dense(8)) for b in (None, .3)
    for phi in (Relu(), LeakyRelu(.2), Abs(), ABRelu(.4, -1.2))], ids=repr)
def test_opposite_rows_in_tiles(net, rng):
    """As in one piece, nearly and exactly opposite, whatever else is in the tile."""
    x = rng.standard_normal((300, 5))
    x[150:] = -x[:150] * (1 + 1e-9 * (numpy.arange(150) % 3))[:, None]
    whole = net.kernel_fn(x)
    for name in 'nngp', 'ntk':
        expected = getattr(whole, name)
        assert abs(net.kernel_fn(x, None, name) - expected).max() <= 4e-15 * abs(expected).max()


def block():
    return Dense(8, 1.4, .2)


MIXED = {
    'dropout': serial(block(), Relu(), Dropout(.7), block(), Relu(), Dropout(.9), block()),
    'residual': serial(block(), *[FanOut(2), parallel(serial(Relu(), block()), Identity()), FanInSum()] * 3, Relu()),
    'two branches': serial(block(), FanOut(2), parallel(serial(Erf(), block()), serial(Relu(), block())), FanInSum(),
                           Relu(), block()),
    'product': serial(FanOut(2), parallel(serial(block(), Relu(), block()), serial(block(), Erf(), block())),
                      FanInProd(), block(), Relu()),
    'concatenation': serial(FanOut(2), parallel(serial(block(), Relu(), block()), serial(block(), Abs(), block())),
                            FanInConcat(), block(), Relu()),
    'norm': serial(*[block(), LayerNorm(), Relu()] * 4, block()),
}


def rows_of(kind, rng):
    """300 rows: far from each other, near, equal, parallel and opposite ones, or of one feature."""
    if kind == 'one feature':
        return numpy.linspace(-3, 3, 300)[:, None]
    x = rng.random((300, 20)) if kind == 'near' else rng.standard_normal((300, 5 if kind == 'twice' else 40))
    if kind == 'twice':
        x[100:150] = x[:50] + 1e-9 * x[50:100]
        x[150:200] = x[:50]
        x[200:250] = 2 * x[:50]
        x[250:] = -x[:50]
    return x


@pytest.mark.parametrize('name', MIXED)
@pytest.mark.parametrize('kind', ['far', 'near', 'twice', 'one feature'])
def test_rows_in_tiles_are_the_whole(name, kind, rng):
    net, x = MIXED[name], rows_of(kind, rng)
    for arguments in (x, None), (x, x.copy()), (x[:270], x[40:]):
        whole = net.kernel_fn(*arguments)
        k = net.kernel_fn(*arguments, ('nngp', 'ntk'))
        for found, expected in (k.nngp, whole.nngp), (k.ntk, whole.ntk):
            assert abs(found - expected).max() <= 8e-15 * abs(expected).max()


@pytest.mark.parametrize('dtype', DTYPES)
def test_fused_without_a_gap(dtype):
    """By subtraction, as the plain form does it: the same where that loses nothing, and never nonsense."""
    p, eps = pairs(dtype, with_gap=False), numpy.finfo(dtype).eps
    cov, slope = duals.abrelu(p, 0, 1)
    (k, gap, *_), theta = fast.abrelu(p, 1 + 0 * p.k, 0, 1)
    far = (ANGLES > .06) & (ANGLES < 2.3)
    for fused_value, plain in (k, cov.k), (gap, cov.gap), (theta, slope):
        assert (abs(fused_value - plain) <= 64 * eps * abs(plain))[..., far].all()
    assert (abs(k - cov.k) <= 64 * eps * p.s).all() and (gap >= 0).all()
    assert ((theta >= -eps) & (theta <= .5 + eps)).all()


@pytest.mark.parametrize('name', SLOPES)
def test_fused_with_zeros(name):
    """A variable that is constantly zero has no angle: pi/2, and K' = 0."""
    q1, q2 = numpy.array([[0.], [0.], [2.]]), numpy.array([0., 3., 2.])
    k = numpy.array([[0., 0., 0.], [0., 0., 0.], [0., 0., 2.]])
    p = Pair(q1, q2, Cov(k, q1 + q2 - 2 * k))
    cov, slope = duals.abrelu(p, *SLOPES[name])
    found, theta = fast.abrelu(p, 2 + 0 * k, *SLOPES[name])
    assert (found.k == cov.k).all()
    a, b = SLOPES[name]
    for value, plain in (found.gap, cov.gap), (theta, 2 * slope):
        assert (abs(value - plain) <= 4e-16 * numpy.maximum(abs(plain), a * a + b * b)).all()
    zero = q1 * q2 == 0
    assert (found.k[zero] == 0).all() and abs(theta[zero] - (a + b) ** 2 / 2).max() < 1e-15 * max(1, (a + b) ** 2)


def test_fused_leaves_its_arguments_alone():
    p = pairs('float64')
    ntk, arrays = 1 + p.k ** 2, (p.q1, p.q2, p.k, p.cov.gap)
    before = [a.copy() for a in (*arrays, ntk)]
    for a in (*arrays, ntk):
        a.flags.writeable = False
    (k, gap, *_), theta = fast.abrelu(p, ntk, 0, 1)
    assert all((a == b).all() for a, b in zip((*arrays, ntk), before))
    without = fast.abrelu(p, None, 0, 1)
    assert without[1] is None and (without[0].k == k).all() and (without[0].gap == gap).all()
    assert (fast.abrelu(p, 0, 0, 1)[1] == 0).all()                          # before any weights


def test_fused_is_what_tiles_use(rng):
    """Not the plain form on all pairs: that is for the few that need care."""
    x, net = rng.standard_normal((3, 5, 4, 2)), serial(conv(), Relu(), GlobalAvgPool())
    with mock.patch.object(fast, 'abrelu', side_effect=fast.abrelu) as used:
        net.kernel_fn(x, get='nngp')
        assert used.called
        used.reset_mock()
        net.kernel_fn(x)
        assert not used.called
    assert namespace(x).kind == 'numpy'
