"""Index, ImageResize, FanIn, Dropout and LayerNorm on positions, against sums over pixels; layers as text."""
import json
import tracemalloc
from dataclasses import dataclass

import autograd
import brute
import numpy
import pytest
from autograd import numpy as anp
from brute import check
from pixels import WB, before, draw
from tolerances import assert_close
from two_inputs import TwoInputs

from ntref import batch, stax
from ntref.recursion import tiled
from ntref.stax import (
    AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Dropout, Erf, FanInConcat, FanInProd, FanInSum, FanOut, Flatten,
    GlobalAvgPool, GlobalSumPool, Identity, ImageResize, Index, Layer, LayerError, LayerNorm, Relu, RMSNorm, Slice,
    SumPool, from_spec, parallel, repeat, serial)

BEFORE = before(2)
LAYOUTS = [(0, 1), (3, 0), (1, 2)]


def branches(fan_in, *layers):
    return serial(FanOut(len(layers)), parallel(*layers), fan_in)


# ------------------------------------------------------------------ Index

PICKS = [Slice[:, 1], Slice[:, -1, 2], Slice[:, 1:3], Slice[:, ::-1, ::2], Slice[:, :, 3], Slice[:, 2:0:-1, -3:],
         Slice[..., :], Slice[...], Slice[:], Slice[:, 0, ...], Slice[..., 1, :], Slice[:, ..., 2, :],
         Slice[:, 1, :, :], Slice[:, -100:100:3], Slice[:, ::-2, 3::-1], Slice[:, :, 1:2]]


@pytest.mark.parametrize('idx', PICKS, ids=lambda idx: repr(Index(idx)))
def test_index(idx, rng):
    """x[idx] of the finite network; K[idx, idx] of the kernel, of the state before and along with the rest."""
    x1, x2 = draw(rng, 4, 5)
    layer = Index(idx)
    assert (layer.apply_fn((), x1) == x1[idx]).all() and layer.init_fn(1, x1.shape) == (x1[idx].shape, ())
    check(serial(BEFORE, layer), x1, x2)
    check(serial(layer, Dense(3, **WB), Erf(), Dense(3)), x1)
    net = serial(BEFORE, layer)
    params, c, v = net.init_fn(1, x1.shape)[1], rng.standard_normal(x1[idx].shape), rng.standard_normal(x1.shape)
    assert net.apply_fn(params, x1).shape[:-1] == x1[idx].shape[:-1]
    gradient = autograd.grad(lambda x: anp.sum(c * layer.apply_fn((), x)))(x1)
    assert_close(numpy.sum(gradient * v), numpy.sum(c * v[idx]), 'value', c.size)


NO_KERNEL = [Slice[0], Slice[-1, 1:], Slice[..., 0], Slice[..., :2], Slice[..., ::-1], Slice[1, :, 2],
             Slice[:, 1, 2, 0], Slice[2, ..., 1], Slice[0, 1, 2, 3], Slice[..., 2:2], Slice[0, 0], Slice[..., 0, 0]]


@pytest.mark.parametrize('idx', NO_KERNEL, ids=lambda idx: repr(Index(idx)))
def test_index_of_one_example_and_of_channels(idx, rng):
    """A finite network alone, as in Neural Tangents."""
    x, layer = rng.standard_normal((3, 4, 5, 6)), Index(idx)
    assert layer.init_fn(1, x.shape) == (numpy.shape(x[idx]), ()) and (layer.apply_fn((), x) == x[idx]).all()
    net = serial(Dense(6), layer, Relu())
    shape, params = net.init_fn(1, x.shape)
    h = serial(Dense(6), Relu()).apply_fn([params[0], ()], x)
    assert shape == numpy.shape(x[idx]) and (net.apply_fn(params, x) == h[idx]).all()
    for get in None, 'nngp':
        with pytest.raises(NotImplementedError, match=r'Index\(.* has no kernel: expected a slice of the batch'):
            net.kernel_fn(x, get=get)
    if numpy.ndim(x[idx]) < 4 or x[idx].shape[0] == 4:
        with pytest.raises(LayerError, match='slices of the batch and the channels where inputs have masks'):
            net.apply_fn(params, numpy.where(x > 0, 0, x), mask_constant=0)


def test_layers_after_one_example(rng):
    """Batch and channels are the first and the last axis of what is left."""
    x = rng.standard_normal((3, 4, 5))
    net = serial(Index(Slice[1]), Dense(2), Flatten())
    shape, params = net.init_fn(1, x.shape)
    assert shape == (4, 2)
    assert_close(net.apply_fn(params, x), Dense(2).apply_fn(params[1], x[1]), 'value', 10.)
    with pytest.raises(LayerError, match='batch and channels on different axes'):
        serial(Index(Slice[0, 0]), Dense(2)).init_fn(1, x.shape)


NOTHING = [Slice[:, 2:2], Slice[:, 3:1, 1], Slice[:, :, 9:], Slice[:0], Slice[5:, ::2], Slice[:, 1:1, 1:1]]


@pytest.mark.parametrize('diagonal', [None, True])
@pytest.mark.parametrize('idx', NOTHING, ids=lambda idx: repr(Index(idx)))
def test_index_that_picks_nothing(idx, diagonal, rng):
    """A kernel without entries, and what follows it; a sum over nothing is 0."""
    x, layer = rng.standard_normal((3, 4, 5, 2)), Index(idx)
    assert layer.apply_fn((), x).shape == layer.init_fn(1, x.shape)[0] == x[idx].shape
    n, *positions, _ = x[idx].shape
    pairs = [size for size in positions for _ in range(1 if diagonal else 2)]
    for net in serial(Dense(2), layer), serial(layer, Dense(2), Relu(), Identity(), Dense(2), Erf(), Dense(2)):
        for get in None, ('nngp', 'ntk'):
            k = net.kernel_fn(x, x[:2], get, diagonal_spatial=diagonal)
            assert k.nngp.shape == k.ntk.shape == (n, len(x[:2][idx]), *pairs)
    if diagonal is None:
        conv = Conv(3, (2,) * len(positions), padding='SAME')
        net = serial(layer, conv, Relu(), GlobalSumPool(), Dense(2, b_std=.5))
        assert (net.kernel_fn(x, get='nngp') == .25).all() or 0 not in positions


def test_index_by_hand(rng):
    """Left members of the pairs by the one index, right ones by the same."""
    x1, x2 = draw(rng, 4, 5)
    state = BEFORE.kernel_fn(x1, x2)
    k = Index(Slice[:, 1:, 2]).kernel_fn(state)
    for name in ('nngp', 'ntk', 'gap'):
        assert (getattr(k, name) == getattr(state, name)[:, :, 1:, 1:, 2, 2]).all()
    assert (k.cov2 == state.cov2[:, 1:, 1:, 2, 2]).all() and (k.gap1 == state.gap1[:, 1:, 1:, 2, 2]).all()
    k = Index(Slice[:, ::-1, 0]).kernel_fn(state, diagonal_spatial=True)
    assert (k.ntk == numpy.einsum('nmhhww->nmhw', state.ntk)[:, :, ::-1, 0]).all() and k.diagonal_spatial
    dense = Dense(4, **WB).kernel_fn(x1, x2)
    k = Index(Slice[:, 3, 2:]).kernel_fn(dense)
    assert (k.area == dense.area[:, :, 3, 3, 2:, 2:]).all()


@pytest.mark.parametrize('rows', [slice(1, None), slice(None, None, -1), slice(0, 3, 2), slice(-1, None)])
def test_index_of_the_batch(rows, rng):
    """Of x1 and of x2 each; the same as to give it those inputs alone."""
    x1, x2 = draw(rng, 4, 5)
    for arguments in [(x1, x2), (x1,)]:
        net, chosen = serial(BEFORE, Index((rows, slice(1, 3)))), [x[rows] for x in arguments]
        expected = brute.kernel(serial(BEFORE, Index(Slice[:, 1:3])), *chosen)
        k = net.kernel_fn(*arguments)
        brute.assert_state(k, expected)
        assert k.shape1 == (len(chosen[0]), 2, 5, 4) and k.shape2 == (len(chosen[-1]), 2, 5, 4)
        brute.assert_named(net.kernel_fn(*arguments, get=('nngp', 'ntk')), expected)
        brute.assert_named(net.kernel_fn(*arguments, get=('nngp', 'ntk'), diagonal_spatial=True), expected.aligned)
    assert (Index((rows,)).apply_fn((), x1) == x1[rows]).all()
    assert Index((rows,)).init_fn(1, x1.shape)[0] == x1[rows].shape
    flat = Index((rows,)).kernel_fn(x1[:, 0, 0])
    assert (flat.nngp == Identity().kernel_fn(x1[:, 0, 0]).nngp[rows][:, rows]).all()


@pytest.mark.parametrize('axes', LAYOUTS)
def test_index_on_other_axes(axes, rng):
    x1, x2 = (numpy.moveaxis(x, (0, -1), axes) for x in draw(rng, 4, 5))
    spatial = [a for a in range(4) if a not in axes]
    dense = Dense(4, **WB, batch_axis=axes[0], channel_axis=axes[1])
    for picks in ((slice(2, None), slice(None, None, -2)), (1, slice(1, 4)), (slice(None), 3)):
        idx = [slice(None)] * 4
        for a, i in zip(spatial, picks):
            idx[a] = i
        layer = Index(tuple(idx), *axes)
        check(serial(dense, Erf(), layer), x1, x2, *axes)
        picked = x1[tuple(idx)]
        assert (layer.apply_fn((), x1) == picked).all() and layer.init_fn(1, x1.shape)[0] == picked.shape


# ------------------------------------------------------------------ ImageResize

SHAPES = [(-1, 2, 7, -1), (-1, 6, -1, -1), (-1, 4, 5, 4), (-1, 1, 1, -1), (-1, 8, 2, -1)]


@pytest.mark.parametrize('method', ['nearest', 'linear', 'cubic', 'lanczos3', 'lanczos5'])
@pytest.mark.parametrize('antialias', [True, False])
def test_resizing(method, antialias, rng):
    x1, x2 = draw(rng, 4, 5)
    for shape in SHAPES:
        layer = ImageResize(shape, method, antialias)
        check(serial(BEFORE, layer), x1, x2, aligned=method == 'nearest')
        sizes = [n if m == -1 else m for n, m in zip((4, 5), shape[1:3])]
        h = layer.apply_fn((), numpy.concatenate([x1, x1], -1))[..., :2]
        rows, columns = (brute.resize(n, m, method, antialias) for n, m in zip((4, 5), sizes))
        expected = numpy.zeros((3, *sizes, 2))
        for o, p, i, j in numpy.ndindex(*sizes, 4, 5):
            expected[:, o, p] += rows[o, i] * columns[p, j] * x1[:, i, j]
        assert_close(h, expected, 'value', 8.)
    check(serial(ImageResize((-1, 5, 3, -1), method, antialias), Dense(3, **WB)), x1, aligned=method == 'nearest')


@pytest.mark.parametrize('axes', LAYOUTS)
def test_resizing_on_other_axes(axes, rng):
    x1, x2 = (numpy.moveaxis(x, (0, -1), axes) for x in draw(rng, 4, 5))
    shape = [-1] * 4
    for a, n in zip([a for a in range(4) if a not in axes], (6, 3)):
        shape[a] = n
    layer = ImageResize(tuple(shape), 'linear', True, None, *axes)
    check(serial(Dense(4, **WB, batch_axis=axes[0], channel_axis=axes[1]), Erf(), layer), x1, x2, *axes, aligned=False)
    wanted = ImageResize((-1, 6, 3, -1), 'linear').apply_fn((), numpy.moveaxis(x1, axes, (0, -1)))
    assert_close(layer.apply_fn((), x1), numpy.moveaxis(wanted, (0, -1), axes), 'value', 8.)
    assert layer.init_fn(1, x1.shape)[0] == numpy.moveaxis(wanted, (0, -1), axes).shape


@pytest.mark.parametrize('positions, shape', [((), (-1, -1)), ((5,), (-1, 3, -1)), ((3, 2, 2), (-1, 2, 4, 3, -1))])
def test_resizing_on_any_number_of_axes(positions, shape, rng):
    x1, x2 = draw(rng, *positions)
    before = serial(Conv(4, (2,) * len(positions), padding='SAME', **WB), Erf())
    check(serial(before, ImageResize(shape, 'cubic')), x1, x2, aligned=False)


def test_names_of_methods(rng):
    x, _ = draw(rng, 4, 5)

    class Method:
        name = 'LINEAR'
    expected = ImageResize((-1, 6, 3, -1), 'linear').apply_fn((), x)
    for name in ('bilinear', 'trilinear', 'triangle', 'Linear', Method()):
        assert (ImageResize((-1, 6, 3, -1), name).apply_fn((), x) == expected).all()
    cubic = ImageResize((-1, 6, 3, -1), 'cubic').apply_fn((), x)
    assert all((ImageResize((-1, 6, 3, -1), name).apply_fn((), x) == cubic).all() for name in ('bicubic', 'TRICUBIC'))
    assert (ImageResize((-1, 6, 3, -1), 'cubic', precision='highest').apply_fn((), x) == cubic).all()


def test_lengths_that_stay_are_left_alone(rng):
    """An antialiasing filter of radius 5 would not: it is 1 at distance 0 and 0 at others."""
    x, _ = draw(rng, 4, 5)
    for shape in ((-1, -1, -1, -1), (3, 4, 5, 2)):
        assert (ImageResize(shape, 'lanczos5').apply_fn((), x) == x).all()
        k, expected = ImageResize(shape, 'lanczos5').kernel_fn(x), Identity().kernel_fn(x)
        assert (k.nngp == expected.nngp).all()


@pytest.mark.parametrize('method', ['linear', 'cubic', 'lanczos3', 'nearest'])
def test_resizing_nothing_mixes_no_positions(method, rng):
    """-1 for all lengths: equal positions will do, as for Identity; also with the layer on other axes, or none."""
    for shape, axes in ((4, 5, 3), (0, -1)), ((3, 4, 5), (1, 0)), ((4, 3), (0, 1)):
        x = rng.standard_normal(shape)
        dense = Dense(4, **WB, batch_axis=axes[0], channel_axis=axes[1])
        net, plain = (serial(dense, layer, Relu()) for layer in (
            ImageResize((-1,) * len(shape), method, True, None, *axes), Identity()))
        for diagonal in True, None:
            for get in ('nngp', 'ntk'), None:
                k, wanted = (a.kernel_fn(x, None, get, diagonal_spatial=diagonal) for a in (net, plain))
                for name in ('nngp', 'ntk', 'gap') if get is None else get:
                    assert_close(getattr(k, name), getattr(wanted, name), 'value', wanted.nngp.max())
    with pytest.raises(LayerError, match='it mixes positions'):
        ImageResize((-1, 5, -1), 'cubic').kernel_fn(rng.standard_normal((4, 5, 3)), diagonal_spatial=True)


def test_nearest_keeps_gaps(rng):
    x = rng.standard_normal((2, 4, 5, 2))
    y = x + 1e-8 * rng.standard_normal(x.shape)
    k = serial(Dense(4, 1.3), ImageResize((-1, 6, 2, -1), 'nearest')).kernel_fn(x, y)
    gap, rows, columns = Dense(4, 1.3).kernel_fn(x, y).gap, [0, 1, 1, 2, 3, 3], [1, 3]
    assert (k.gap == gap[:, :, rows][:, :, :, rows][..., columns, :][..., columns]).all()


# ------------------------------------------------------------------ branches

ONE, TWO = Conv(4, (3, 1), padding='SAME', **WB), serial(Conv(3, (1, 2), **WB), Erf(), Conv(4, (1, 1), W_std=.9))
OTHER = serial(Conv(3, (1, 1), **WB), Relu(), Conv(4, (2, 1)))


@pytest.mark.parametrize('axis, first, second', [
    (2, ONE, TWO), (-2, TWO, ONE), (1, OTHER, ONE), (-3, ONE, OTHER), (1, ConvLocal(4, (2, 1), **WB), ONE),
    (1, Conv(4, (1, 1), **WB), AvgPool((2, 1))), (2, serial(SumPool((1, 2)), Dense(4)), Dense(4, **WB)),
    (3, ONE, Conv(7, (1, 1), **WB)), (-1, AvgPool((1, 1)), Dense(2))], ids=repr)
def test_concatenation(axis, first, second, rng):
    """Along positions: 0 between the branches. Then what follows mixes them."""
    x1, x2 = draw(rng, 3, 4)
    before, pools = serial(Conv(4, (1, 1), **WB), Erf(), Conv(4, (1, 1))), 'Pool' in repr((first, second))
    if 'AvgPool' in repr(second) or 'AvgPool' in repr(first):
        second = serial(second, Dense(4, .8))
    net = serial(before, branches(FanInConcat(axis), first, second))
    check(net, x1, x2, aligned=not pools)
    check(net, x1, aligned=not pools)
    check(serial(net, Conv(3, (2, 2), **WB), Erf(), AvgPool((2, 1)), Flatten()), x1, x2, aligned=False)
    params, one, two = net.init_fn(1, x1.shape)[1], serial(before, first), serial(before, second)
    z = net.apply_fn(params, x1)
    parts = [layer.apply_fn([params[0], p], x1) for layer, p in zip((one, two), params[1][1])]
    assert (z == numpy.concatenate(parts, axis)).all() and net.init_fn(1, x1.shape)[0] == z.shape


def test_three_branches_along_positions(rng):
    x1, x2 = draw(rng, 3, 4)
    check(branches(FanInConcat(1), ONE, OTHER, Conv(4, (3, 1), **WB)), x1, x2)
    check(serial(branches(FanInConcat(2), ONE, TWO, Dense(4)), GlobalAvgPool(), Dense(2)), x1, aligned=False)


def test_concatenation_of_inputs(rng):
    """Both of x1 and of x2 become twice as many; branches are independent."""
    x1, x2 = draw(rng, 3, 4)
    a, b = Conv(4, (2, 2), **WB), serial(Conv(3, (2, 2)), Erf(), Conv(4, (1, 1), W_std=.7))
    net = branches(FanInConcat(0), a, b)
    for arguments, form in (((x1, x2), {}), ((x1,), {}), ((x1, x2), dict(diagonal_spatial=True))):
        k, ka, kb = (layer.kernel_fn(*arguments, **form) for layer in (net, a, b))
        n1, n2 = ka.nngp.shape[:2]
        for name in ('nngp', 'ntk'):
            c, blocks = getattr(k, name), [getattr(branch, name) for branch in (ka, kb)]
            assert c.shape[:2] == (2 * n1, 2 * n2)
            assert (c[:n1, :n2] == blocks[0]).all() and (c[n1:, n2:] == blocks[1]).all()
            assert (c[:n1, n2:] == 0).all() and (c[n1:, :n2] == 0).all()
            assert (net.kernel_fn(*arguments, get=name, **form) == c).all()
        assert (k.cov1 == numpy.concatenate([ka.cov1, kb.cov1])).all() and k.shape1 == (2 * n1, 2, 3, 4)
        q1, q2 = k.cov1, k.cov1 if k.cov2 is None else k.cov2
        if form:
            q1, q2 = q1[:, None], q2[None]
        else:
            q1, q2 = (numpy.einsum('nhhww->nhw', q) for q in (q1, q2))
            q1, q2 = q1[:, None, :, None, :, None], q2[None, :, None, :, None]
        assert_close(k.gap, q1 + q2 - 2 * k.nngp, 'gap', 4 * k.cov1.max())
    flat = branches(FanInConcat(0), Dense(3, **WB), Dense(3, .7)).kernel_fn(x1[:, 0, 0])
    ka, kb = (layer.kernel_fn(x1[:, 0, 0]) for layer in (Dense(3, **WB), Dense(3, .7)))
    assert (flat.ntk == numpy.block([[ka.ntk, numpy.zeros((3, 3))], [numpy.zeros((3, 3)), kb.ntk]])).all()


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_one_branch_without_weights(axis, rng):
    """Its tangent kernel is 0 like that of an Identity."""
    x1, x2 = draw(rng, 3, 4)
    net, expected = branches(FanInConcat(axis), Identity()), Identity().kernel_fn(x1, x2)
    k = net.kernel_fn(x1, x2)
    assert (k.nngp == expected.nngp).all() and (k.ntk == 0).all() and k.ntk.shape == k.nngp.shape
    assert (net.kernel_fn(x1, x2, get='ntk') == 0).all()


@pytest.mark.parametrize('fan_in', [FanInSum(), FanInProd()], ids=repr)
@pytest.mark.parametrize('layers', [
    (serial(AvgPool((2, 2)), Dense(4, **WB)), Conv(4, (2, 2), W_std=.9)),
    (Conv(4, (2, 2)), ConvLocal(4, (2, 2), **WB)),
    (serial(GlobalAvgPool(), Dense(4, **WB)), serial(Flatten(), Dense(4))),
    (serial(Index(Slice[:, 1, ::2]), Dense(4)), serial(SumPool((3, 1), (3, 2)), Index(Slice[:, 0]), Dense(4, **WB))),
    (serial(ImageResize((-1, 2, 2, -1), 'linear'), Dense(4, .8)), Conv(4, (2, 3), **WB))], ids=repr)
def test_sums_and_products(fan_in, layers, rng):
    x1, x2 = draw(rng, 3, 4)
    net, pools = serial(BEFORE, branches(fan_in, *layers)), 'Pool' in repr(layers) or 'Resize' in repr(layers)
    check(net, x1, x2, aligned=not pools)
    check(serial(net, Dense(4, **WB), Erf()), x1, aligned=not pools)
    params = net.init_fn(1, x1.shape)[1]
    h = BEFORE.apply_fn(params[0], x1)
    parts = [layer.apply_fn(p, h) for layer, p in zip(layers, params[1][1])]
    assert_close(net.apply_fn(params, x1), sum(parts) if fan_in == FanInSum() else parts[0] * parts[1], 'value', 8.)


def test_branches_with_and_without_pairs_of_positions(rng):
    """What they have in common is equal positions."""
    x1, x2 = draw(rng, 3, 4)
    a, b = Conv(4, (2, 2), **WB).kernel_fn(x1, x2), Conv(4, (2, 2), W_std=.7).kernel_fn(x1, x2, diagonal_spatial=True)
    for fan_in, joined in ((FanInSum(), lambda p, q: p + q), (FanInConcat(), lambda p, q: (p + q) / 2)):
        k = fan_in.kernel_fn([a, b])
        assert k.diagonal_spatial
        for name in ('nngp', 'ntk'):
            aligned = numpy.einsum('nmhhww->nmhw', getattr(a, name))
            assert_close(getattr(k, name), joined(aligned, getattr(b, name)), 'value', 8.)


# ------------------------------------------------------------------ Dropout and LayerNorm

def test_dropout_between_convolutions(rng):
    """Only an input with itself at the same position shares its mask; pooling then mixes these with others."""
    x1, x2 = draw(rng, 3, 4)
    for last in (Conv(3, (2, 2), **WB), Dense(3, **WB)):
        net = serial(BEFORE, Dropout(.7), last, Erf(), Dropout(.4))
        check(net, x1, x2)
        check(net, x1)
    for first in (Dropout(.7), serial(Dropout(.7), ConvLocal(3, (2, 2), **WB)), serial(Dropout(.6), Conv(3, (3, 1)))):
        check(first, x1, x2)                # at the input there is no tangent kernel yet, but it has a shape
        check(first, x1)
    check(serial(BEFORE, Dropout(.7), AvgPool((2, 2), (1, 2)), Dropout(.5), GlobalAvgPool()), x1, aligned=False)
    check(serial(BEFORE, Dropout(.7, 'test'), Flatten()), x1, x2)


@pytest.mark.parametrize('norm', [LayerNorm, RMSNorm])
@pytest.mark.parametrize('axis', [-1, 3, (-1,), (1, -1), (-2, 3), (1, 2, 3)])
def test_norms_over_positions(axis, norm, rng):
    x1, x2 = draw(rng, 3, 4)
    conv = Conv(4, (2, 2), padding='SAME', **WB)
    net = serial(conv, Erf(), conv, norm(axis, eps=.2), Erf(), Conv(3, (2, 1), **WB))
    check(net, x1, x2)
    check(net, x1)
    z = norm(axis, eps=.2).apply_fn((), x1)
    over = axis if isinstance(axis, tuple) else (axis,)
    mean, square = x1.mean(over, keepdims=True) * (norm is LayerNorm), (x1 ** 2).mean(over, keepdims=True)
    assert_close(z, (x1 - mean) / (square - mean ** 2 + .2) ** .5, 'value', 8.)


@pytest.mark.parametrize('axes', LAYOUTS)
def test_layer_norm_on_other_axes(axes, rng):
    """Over the second spatial axis."""
    x1, x2 = (numpy.moveaxis(x, (0, -1), axes) for x in draw(rng, 3, 4))
    where = dict(batch_axis=axes[0], channel_axis=axes[1])
    second = [a for a in range(4) if a not in axes][1]
    net = serial(Dense(4, **WB, **where), LayerNorm((second, axes[1]), .3, **where), Erf(), Dense(3, **WB, **where))
    check(net, x1, x2, *axes)


# ------------------------------------------------------------------ Flatten first: no positions at all

FLAT = serial(Flatten(), Dense(4, **WB))
TAIL = Dense(4, **WB), Relu(), Dense(3, 1.2)
FIRST = {
    'Flatten': serial(FLAT, *TAIL),
    'batch behind': serial(Flatten(0, 1), Dense(3, **WB, batch_axis=1, channel_axis=0)),
    'Identity': serial(Identity(), serial(Identity(), Flatten()), *TAIL), 'alone': serial(Identity(), Flatten()),
    'Dropout': serial(Dropout(.7), Identity(), Dropout(.4), Flatten(), *TAIL),
    'Dropout, test': serial(Dropout(.7, 'test'), Flatten(), *TAIL),
    'branches': branches(FanInSum(), FLAT, serial(Dropout(.6), FLAT, Relu(), Dense(4)), serial(Identity(), branches(
        FanInConcat(-1), FLAT, serial(FLAT, Relu())), Dense(4)))}
PADDING = 9.


def padded(rng, n):
    """Inputs with positions that are masked, an input that is so altogether, and one with a channel like the others."""
    x = rng.standard_normal((n, 4, 3, 2))
    x[1, 2:], x[3], x[4, 1, 1, 0] = PADDING, PADDING, PADDING
    return x


def with_positions(net):
    """The same network behind a layer that does nothing, past which inputs with positions go."""
    return serial(Index(Slice[...]), net)


def assert_same(k, wanted):
    """All that both have, to rounding."""
    k, wanted = ((k.asdict() if hasattr(k, 'asdict') else k._asdict()) for k in (k, wanted))
    assert k.keys() == wanted.keys()
    for name, a in wanted.items():
        if not isinstance(a, numpy.ndarray):
            assert a is None or k[name] == a
        elif a.dtype == bool:
            assert (k[name] == a).all()
        else:
            assert k[name].shape == a.shape and abs(k[name] - a).max() <= 1e-14 * max(abs(a).max(), 1)


@pytest.mark.parametrize('name', FIRST)
@pytest.mark.parametrize('mask', [None, PADDING])
def test_inputs_are_flattened(name, mask, rng, monkeypatch):
    """Whole, tile by tile and block by block the numbers of the way over positions."""
    net, x1, x2, names = FIRST[name], padded(rng, 5), padded(rng, 5), ('nngp', 'ntk')
    x2[2] = x1[4]
    for x2 in None, x2, x1:
        for get, diagonal in (None, None), (None, False), (('ntk', 'cov1'), True):
            given = dict(mask_constant=mask, diagonal_spatial=diagonal)
            assert_same(net.kernel_fn(x1, x2, get, **given), with_positions(net).kernel_fn(x1, x2, get, **given))
    for x2 in None, padded(rng, 5)[:4]:
        wanted = with_positions(net).kernel_fn(x1, x2, names, mask_constant=mask)
        assert_same(batch(net.kernel_fn, 3)(x1, x2, names, mask_constant=mask), wanted)
        with monkeypatch.context() as small:
            small.setattr(tiled, 'ENTRIES', 9)
            assert_same(net.kernel_fn(x1, x2, names, mask_constant=mask), wanted)


@pytest.mark.parametrize('name', FIRST)
def test_flattened_inputs_by_hand(name, rng):
    """Sums over pixels, without masks."""
    x1, x2 = draw(rng, 3, 4)
    check(FIRST[name], x1, x2, aligned=False)
    check(FIRST[name], x1, aligned=False)


def test_flattened_inputs_of_branches(rng):
    """Each of a list as its branch has it; where one has positions, a common input has them, too."""
    with_pairs = serial(BEFORE, GlobalAvgPool(), Dense(4))
    x1, x2 = ([padded(rng, n), padded(rng, n)] for n in (6, 5))
    for layers in (FLAT, serial(Dropout(.4), FLAT)), (FLAT, with_pairs):
        net, wanted = (serial(parallel(*each), FanInSum(), *TAIL) for each in (layers, map(with_positions, layers)))
        for mask in None, PADDING:
            for other in None, x2:
                assert_same(*(f.kernel_fn(x1, other, mask_constant=mask) for f in (net, wanted)))
    net = serial(branches(FanInSum(), FLAT, with_pairs), *TAIL)
    assert_same(net.kernel_fn(x1[0], x2[0]), with_positions(net).kernel_fn(x1[0], x2[0]))


@pytest.mark.parametrize('get', ['ntk', None])
@pytest.mark.parametrize('mask', [None, PADDING])
@pytest.mark.parametrize('name', FIRST)
def test_flattened_inputs_have_no_positions(name, mask, get, rng):
    """Less is held at a time than the covariances at equal positions, once, would take."""
    x1, x2 = rng.standard_normal((2, 40, 16, 16, 1))
    x1[:, 14:], x2[:20, 12:] = PADDING, PADDING
    FIRST[name].kernel_fn(x1[:2], x2[:2], get, mask_constant=mask)                        # imports, and what is kept
    tracemalloc.start()
    try:
        FIRST[name].kernel_fn(x1, x2, get, mask_constant=mask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 40 * 40 * 16 * 16


def test_layers_of_others_keep_positions(rng):
    """Whether they hand on a demand as they get it or ask a layer inside for one."""
    @dataclass(frozen=True, repr=False)
    class Product(TwoInputs, abstract=True):
        def kernel(self, k):
            return FanInProd().kernel(k)

    @dataclass(frozen=True, repr=False)
    class Squared(Layer, abstract=True):
        inner: Layer

        def out(self, signal):
            return self.inner.out(signal)

        def demand(self, demand):
            return self.inner.demand(demand)

        def kernel(self, k):
            return self.inner.propagate(FanInProd().kernel([k, k]))
    x, _ = draw(rng, 3, 4)
    wanted = serial(branches(FanInProd(), Identity(), Identity()), Flatten()).kernel_fn(x)
    assert_close(wanted.cov1, numpy.mean(numpy.mean(x ** 2, -1) ** 2, (1, 2)), 'value', wanted.cov1.max())
    for net in serial(branches(Product(), Identity(), Identity()), Flatten()), Squared(Flatten()), serial(
            Identity(), Squared(serial(Identity(), Flatten()))):
        assert_same(net.kernel_fn(x), wanted)
    with pytest.raises(LayerError, match='expected a layer that keeps the shape'):
        repeat(Flatten(), 2).kernel_fn(x)


# ------------------------------------------------------------------ as text

NEW = [
    (Conv(8, (3, 2)), 'Conv(8, (3, 2))'),
    (Conv(8, (3,), (2,), 'same', 1.5, .1), "Conv(8, (3,), (2,), 'SAME', 1.5, 0.1)"),
    (Conv(8, [3, 2], dimension_numbers=('NCHW', 'OIHW', 'NCHW'), parameterization='Standard', s=(1, 2)),
     "Conv(8, (3, 2), dimension_numbers=('NCHW', 'OIHW', 'NCHW'), parameterization='standard', s=(1, 2))"),
    (ConvLocal(4, (), b_std=0.), 'ConvLocal(4, (), b_std=0.0)'),
    (ConvTranspose(4, (2, 2), padding='circular', W_std=2.), "ConvTranspose(4, (2, 2), padding='CIRCULAR', W_std=2.0)"),
    (AvgPool((2, 2)), 'AvgPool((2, 2))'),
    (AvgPool([2], [1], 'SAME', True, channel_axis=1), "AvgPool((2,), (1,), 'SAME', True, channel_axis=1)"),
    (SumPool((2, 2), padding='Circular', batch_axis=1), "SumPool((2, 2), padding='CIRCULAR', batch_axis=1)"),
    (GlobalAvgPool(), 'GlobalAvgPool()'), (GlobalAvgPool(3, 0), 'GlobalAvgPool(3, 0)'),
    (GlobalSumPool(channel_axis=1), 'GlobalSumPool(channel_axis=1)'),
    (Flatten(), 'Flatten()'), (Flatten(1, -1), 'Flatten(1, -1)'),
    (Flatten(batch_axis_out=1), 'Flatten(batch_axis_out=1)'),
    (Index(Slice[:, 1:, -2]), 'Index(Slice[:, 1:, -2])'),
    (Index(Slice[..., ::-1, :3:2, :], 1), 'Index(Slice[..., ::-1, :3:2, :], batch_axis=1)'),
    (Index(Slice[:]), 'Index(Slice[:])'), (Index(...), 'Index(Slice[...])'),
    (Index(slice(1, 4, 2)), 'Index(Slice[1:4:2])'), (Index(Slice[:, numpy.int64(3)]), 'Index(Slice[:, 3])'),
    (ImageResize([-1, 4, 4, -1], 'Bilinear'), "ImageResize((-1, 4, 4, -1), 'bilinear')"),
    (ImageResize((-1, 4, -1), 'linear', False, channel_axis=1),
     "ImageResize((-1, 4, -1), 'linear', False, channel_axis=1)"),
    (FanInConcat(1), 'FanInConcat(1)'), (LayerNorm((1, -1), .1), 'LayerNorm((1, -1), 0.1)')]


@pytest.mark.parametrize('layer, text', NEW, ids=[text for _, text in NEW])
def test_text(layer, text):
    assert repr(layer) == text and eval(text, vars(stax)) == layer
    again = from_spec(json.loads(json.dumps(layer.to_spec())))
    assert again == layer and repr(again) == text
    net = serial(layer, serial(layer, Relu()))
    assert from_spec(json.loads(json.dumps(net.to_spec()))) == net


def test_specs_by_hand():
    for layer, spec in [
            (Conv(8, (3,), padding='SAME'), {'layer': 'Conv', 'out_chan': 8, 'filter_shape': [3], 'padding': 'SAME'}),
            (Index(Slice[:, 1:, ..., -2]), {'layer': 'Index', 'idx': [
                {'slice': [None, None, None]}, {'slice': [1, None, None]}, {'slice': '...'}, -2]}),
            (ImageResize((-1, 4), 'cubic'), {'layer': 'ImageResize', 'shape': [-1, 4], 'method': 'cubic'})]:
        assert layer.to_spec() == spec


@pytest.mark.parametrize('build', [
    lambda: Conv(8, (3, 2), dimension_numbers=['NCHW', 'OIHW', 'NCHW']), lambda: Index(Slice[:, numpy.int64(1):]),
    lambda: Index(())])
def test_text_of_unusual_arguments(build):
    layer = build()
    assert from_spec(json.loads(json.dumps(layer.to_spec()))) == layer
    assert eval(repr(layer), vars(stax)) == layer
