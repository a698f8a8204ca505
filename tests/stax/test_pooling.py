"""Pooling and Flatten: kernels against sums over pixels (`brute`), finite networks against loops over pixels."""
from itertools import product
from math import prod

import autograd
import brute
import numpy
import pytest
from autograd import numpy as anp
from brute import check
from pixels import WB, before, draw
from tolerances import assert_close

from ntref.recursion.signal import Demand
from ntref.stax import (
    AvgPool, Conv, ConvTranspose, Dense, Erf, FanInSum, FanOut, Flatten, GlobalAvgPool, GlobalSumPool, Relu, SumPool,
    parallel, serial)

POOLS = {'average': AvgPool, 'sum': SumPool, 'average, edges': lambda *a, **k: AvgPool(*a, **k, normalize_edges=True)}
GLOBAL = GlobalAvgPool, GlobalSumPool

pools, paddings = pytest.mark.parametrize('name', POOLS), pytest.mark.parametrize('padding', brute.PADDINGS)
global_pools = pytest.mark.parametrize('pool', GLOBAL, ids=lambda pool: pool.__name__)


# ------------------------------------------------------------------ windows

@pools
@paddings
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_one_axis(name, padding, stride, rng):
    for n, size in [(5, 1), (5, 2), (5, 3), (4, 3), (1, 1), (2, 5)]:
        if padding != 'VALID' or size <= n:
            x1, x2 = draw(rng, n)
            net = serial(before(1), POOLS[name]((size,), (stride,), padding))
            check(net, x1, None if n == 4 else x2, aligned=False)


@pools
@paddings
@pytest.mark.parametrize('size, strides', [((2, 3), None), ((3, 1), (1, 2)), ((3, 2), (2, 3))])
def test_two_axes(name, padding, size, strides, rng):
    x1, x2 = draw(rng, 3, 4)
    pool = POOLS[name](size, strides, padding)
    check(serial(before(2), pool), x1, x2, aligned=False)
    check(serial(pool, before(2), Dense(3, **WB)), x1, aligned=False)


@pools
@paddings
def test_three_axes(name, padding, rng):
    x1, x2 = draw(rng, 3, 2, 2, n=(2, 2))
    check(serial(before(3), POOLS[name]((2, 1, 2), (1, 2, 1), padding)), x1, x2, aligned=False)


@pools
def test_without_positions_nothing_happens(name, rng):
    x1, x2 = draw(rng, channels=5)
    k, expected = serial(Dense(4, **WB), POOLS[name](())).kernel_fn(x1, x2), Dense(4, **WB).kernel_fn(x1, x2)
    assert (k.nngp == expected.nngp).all() and (k.ntk == expected.ntk).all() and k.shape1 == (3, 4)
    assert (POOLS[name](()).apply_fn((), x1) == x1).all()


def test_by_hand():
    x = numpy.array([[[1.], [2.], [4.]]])
    expected = {AvgPool((2,)): [1.5, 3.], SumPool((2,), (2,)): [3.], AvgPool((2,), padding='SAME'): [1.5, 3., 2.],
                AvgPool((2,), padding='SAME', normalize_edges=True): [1.5, 3., 4.],
                AvgPool((2,), padding='CIRCULAR', normalize_edges=True): [1.5, 3., 2.5],
                SumPool((3,), (2,), 'same'): [3., 6.], GlobalAvgPool(): 7 / 3, GlobalSumPool(): 7.}
    for pool, h in expected.items():
        h = numpy.atleast_1d(h)
        assert_close(pool.apply_fn((), x).ravel(), h, 'value')
        assert_close(pool.kernel_fn(x, get='nngp').ravel(), numpy.outer(h, h).ravel(), 'value', 49.)


def pooled_by_hand(name, x, size, strides, padding):
    """(n, *positions, channels), pixel by pixel."""
    lines = [brute.line(n, *args, padding) for n, *args in zip(x.shape[1:-1], size, strides)]
    outs = [range((len(line) - n) // step + 1) for line, n, step in zip(lines, size, strides)]
    z = numpy.zeros((len(x), *map(len, outs), x.shape[-1]))
    for o in product(*outs):
        windows = [line[p * step:p * step + n] for line, p, step, n in zip(lines, o, strides, size)]
        seen = [x[(slice(None), *i)] for i in product(*windows) if None not in i]
        z[(slice(None), *o)] = sum(seen) / {'sum': 1, 'average': prod(size), 'average, edges': len(seen)}[name]
    return z


LAYOUTS = [(0, 3), (0, 1), (3, 0), (1, 2), (2, 0)]


@pools
@paddings
def test_finite_networks(name, padding, rng):
    x, _ = draw(rng, 4, 5)
    for size, strides in [((2, 3), (1, 2)), ((3, 1), (2, 1))]:
        expected = pooled_by_hand(name, x, size, strides, padding)
        for axes in LAYOUTS:
            pool = POOLS[name](size, strides, padding, batch_axis=axes[0], channel_axis=axes[1])
            a, wanted = (numpy.moveaxis(c, (0, -1), axes) for c in (x, expected))
            shape, params = pool.init_fn(1, a.shape)
            assert params == () and shape == wanted.shape
            assert_close(pool.apply_fn((), a), wanted, 'value', 8.)
            c, v = rng.standard_normal(shape), rng.standard_normal(a.shape)
            gradient = autograd.grad(lambda a: anp.sum(c * pool.apply_fn((), a)))(a)
            assert_close(numpy.sum(gradient * v), numpy.sum(c * pool.apply_fn((), v)), 'value', c.size)


@pools
@pytest.mark.parametrize('axes', LAYOUTS)
def test_kernels_on_other_axes(name, axes, rng):
    batch, channel = axes
    x1, x2 = (numpy.moveaxis(x, (0, -1), axes) for x in draw(rng, 3, 4))
    pool = POOLS[name]((2, 3), (1, 2), 'SAME', batch_axis=batch, channel_axis=channel)
    dense = Dense(3, **WB, batch_axis=batch, channel_axis=channel)
    check(serial(dense, Erf(), pool), x1, x2, *axes, aligned=False)
    for last in (GlobalAvgPool(*axes), GlobalSumPool(*axes)):
        check(serial(dense, Erf(), pool, last), x1, x2, *axes, aligned=False)


# ------------------------------------------------------------------ all positions

@global_pools
@pytest.mark.parametrize('positions', [(), (1,), (5,), (3, 4), (2, 3, 2)])
def test_global_pools(pool, positions, rng):
    x1, x2 = draw(rng, *positions)
    m = len(positions)
    check(serial(before(m), pool()), x1, x2, aligned=False)
    check(serial(before(m), pool(), Dense(3, **WB), Relu(), Dense(3, **WB)), x1, aligned=False)
    check(serial(pool(), Dense(3, **WB)), x1, x2, aligned=False)


@global_pools
def test_global_pools_of_finite_networks(pool, rng):
    x, _ = draw(rng, 4, 5)
    expected = sum(x[:, i, j] for i, j in numpy.ndindex(4, 5)) / (20 if pool is GlobalAvgPool else 1)
    for axes in LAYOUTS:
        layer, a = pool(*axes), numpy.moveaxis(x, (0, -1), axes)
        wanted = expected if axes[0] < axes[1] else expected.T
        assert layer.init_fn(1, a.shape) == (wanted.shape, ())
        assert_close(layer.apply_fn((), a), wanted, 'value', 8.)
        k = layer.kernel_fn(a)
        assert k.shape1 == wanted.shape and (k.batch_axis, k.channel_axis) == ((0, 1) if axes[0] < axes[1] else (1, 0))


def test_a_window_over_everything_is_global(rng):
    x1, x2 = draw(rng, 3, 4)
    for pool, window in ((GlobalAvgPool(), AvgPool((3, 4))), (GlobalSumPool(), SumPool((3, 4)))):
        k, one = (serial(before(2), layer).kernel_fn(x1, x2) for layer in (pool, window))
        for name in ('nngp', 'ntk', 'cov1', 'cov2'):
            a, b = getattr(k, name), getattr(one, name)
            assert_close(a, b.reshape(a.shape), 'value', abs(a).max())


# ------------------------------------------------------------------ Flatten

@pytest.mark.parametrize('positions', [(), (1,), (5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize('out', [0, 1, -1])
def test_flatten(positions, out, rng):
    x1, x2 = draw(rng, *positions)
    m, flatten = len(positions), Flatten(batch_axis_out=out)
    after = Dense(3, **WB) if out == 0 else Dense(3, **WB, batch_axis=1, channel_axis=0)
    check(serial(before(m), flatten), x1, x2)
    check(serial(before(m), flatten, after, Erf(), after), x1)
    check(serial(flatten, after), x1, x2)


@pytest.mark.parametrize('batch, channel', [(0, -1), (0, 1), (3, 2), (-1, 0), (1, -1)])
def test_flatten_on_other_axes(batch, channel, rng):
    x1, x2 = (numpy.moveaxis(x, (0, -1), (batch, channel)) for x in draw(rng, 4, 3))
    dense = Dense(3, **WB, batch_axis=batch, channel_axis=channel)
    check(serial(dense, Erf(), Flatten(batch)), x1, x2, batch, channel)
    rows = [x1[tuple(i if a == batch % 4 else slice(None) for a in range(4))].ravel() for i in range(3)]
    assert (Flatten(batch).apply_fn((), x1) == rows).all()
    assert (Flatten(batch, 1).apply_fn((), x1) == numpy.array(rows).T).all()
    assert serial(dense, Flatten(batch)).init_fn(1, x1.shape)[0] == (3, 36)
    assert serial(dense, Flatten(batch, 1)).init_fn(1, x1.shape)[0] == (36, 3)


@pytest.mark.parametrize('batch, shape', [(0, (3, 4, 2)), (1, (4, 3, 2)), (-1, (4, 2, 3)), (2, (4, 2, 3)),
                                          (1, (8, 3))])
def test_flatten_alone(batch, shape, rng):
    """Which axis has the channels does not matter to it."""
    x = rng.standard_normal(shape)
    rows = numpy.moveaxis(x, batch, 0).reshape(3, -1)
    assert Flatten(batch).init_fn(1, shape)[0] == (3, 8)
    for k in (Flatten(batch).kernel_fn(x, get='nngp'), Flatten(batch).kernel_fn(x).nngp):
        assert_close(k, rows @ rows.T / 8, 'value', 8.)


def test_flatten_keeps_gaps(rng):
    """To the last digits, also between nearly equal inputs; and nothing but equal positions is asked for."""
    x = rng.standard_normal((2, 4, 2))
    y = x + 1e-8 * rng.standard_normal(x.shape)
    k = serial(Conv(4, (1,), W_std=1.3), Flatten()).kernel_fn(x, y)
    expected = 1.69 / 8 * ((x[:, None] - y[None]) ** 2).sum((2, 3))
    assert expected[0, 0] < 1e-14
    assert_close(k.gap, expected, 'value', expected)
    for net, paired in [(serial(before(1), Flatten()), False), (serial(before(1), AvgPool((2,)), Flatten()), True)]:
        assert net.demand(Demand()).paired is paired
    assert Flatten().demand(Demand()).axes is None and Flatten(1).demand(Demand()).axes.batch == 1


# ------------------------------------------------------------------ several of them

@pytest.mark.parametrize('net', [
    serial(before(2), AvgPool((2, 2)), Conv(4, (2, 1), **WB), Relu(), SumPool((1, 2)), Flatten(), Dense(2, **WB)),
    serial(AvgPool((2, 2), padding='SAME'), ConvTranspose(4, (2, 2), (2, 1), **WB), Erf(), GlobalAvgPool(), Dense(2)),
    serial(before(2), FanOut(2), parallel(serial(GlobalAvgPool(), Dense(4, **WB)), serial(Flatten(), Dense(4, .7))),
           FanInSum(), Erf(), Dense(3)),
    serial(before(2), FanOut(2), parallel(serial(AvgPool((2, 2), None, 'SAME', True), Dense(4, **WB)),
                                          Conv(4, (3, 1), padding='SAME')), FanInSum(), Relu(), Dense(3, **WB))],
                         ids=repr)
def test_networks(net, rng):
    x1, x2 = draw(rng, 4, 4)
    check(net, x1, x2, aligned=False)
    check(net, x1, aligned=False)


@pytest.mark.parametrize('layer', [
    AvgPool((2,), padding='SAME'), SumPool((3,)), GlobalAvgPool(), GlobalSumPool(), Flatten()], ids=repr)
def test_states_compose(layer, rng):
    x1, x2 = draw(rng, 4)
    for arguments in [(x1, x2), (x1,)]:
        state, expected = before(1).kernel_fn(*arguments), brute.kernel(serial(before(1), layer), *arguments)
        for given in (state, state.replace(nngp=state.nngp, cov1=state.cov1)):
            brute.assert_state(layer.kernel_fn(given), expected)
        assert layer.kernel_fn(state.replace(ntk=None)).ntk is None


# ------------------------------------------------------------------ the gap of an average

BOUNDED = [AvgPool((2, 2)), AvgPool((2, 2), (2, 2), 'SAME'), SumPool((2, 1)), SumPool((3, 2), (1, 2), 'SAME'),
           AvgPool((2, 2), padding='CIRCULAR'), GlobalAvgPool(), GlobalSumPool()]


@pytest.mark.parametrize('pool', BOUNDED, ids=repr)
def test_the_bound_is_no_less_than_the_gap(pool, rng):
    """What pools state is E(z - z')^2, of one image with itself and of two."""
    net = serial(Conv(1, (2, 2), padding='SAME'), Relu(), pool)
    k = net.kernel_fn(rng.standard_normal((2, 5, 5, 2)), rng.standard_normal((3, 5, 5, 2)))
    for pair in k.pairs():
        difference = pair.q1 + pair.q2 - 2 * pair.k
        assert abs(difference - pair.gap).max() <= 1e-14 * pair.q1.max()


@pytest.mark.parametrize('pool', BOUNDED[:1] + BOUNDED[2:3] + BOUNDED[4:5], ids=repr)
def test_equal_patches_stay_equal(pool, rng):
    """In one image and in two: the gap is 0 to the last bit, and so it is behind a kink."""
    x = rng.standard_normal((2, 5, 5, 1))
    x[0, :, 1:] = .7
    x[1, :, :4] = .7
    k = serial(Conv(1, (2, 2), padding='VALID', W_std=1.3), Relu(), pool, Dense(1), Relu()).kernel_fn(x)
    assert k.gap1[0, 0, 0, 1, 2] == k.gap1[0, 0, 1, 2, 1] == k.gap[0, 1, 0, 0, 1, 0] == 0 < k.nngp[0, 1, 0, 0, 1, 0]
    assert k.gap1[0, 0, 0, 0, 1] > 0 and k.gap[0, 1, 0, 0, 0, 0] > 0
