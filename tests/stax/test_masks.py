"""Masks: inputs of different sizes, padded to one, through every layer, against the inputs as they are (`ragged`)."""
import inspect
import warnings
from itertools import product
from pathlib import Path

import numpy
import pytest
import ragged
from autograd import grad
from autograd import numpy as anp
from finite import LEVEL, chance, check_mean, draws, empirical_ntk
from kinds import to_kind, to_numpy
from places import golden
from tolerances import assert_close

from ntref import Kernel, batch, load_kernel, save_kernel, stax
from ntref.predict import ComputedKernel, gp_inference, gp_inference_iterative, gradient_descent_mse_ensemble
from ntref.recursion import tile, tiled
from ntref.recursion.signal import Signal
from ntref.stax import (
    Aggregate, AvgPool, Conv, ConvLocal, ConvTranspose, Dense, DotGeneral, Dropout, Erf, FanInConcat, FanInProd,
    FanInSum, FanOut, Flatten, GlobalAvgPool, GlobalSelfAttention, GlobalSumPool, Identity, ImageResize, Index,
    LayerError, LayerNorm, MaskedArray, Relu, RMSNorm, Slice, SumPool, parallel, repeat, serial, unmask_fn)

TABLES = golden('kernels_masked')
RTOL = 1e-14            # of the tables, relative to the largest entry; they differ by 4e-16

NTK = ('nngp', 'ntk')
CHANNELS = 4
LENGTHS1, LENGTHS2 = (4, 6, 3), (5, 3)


# ------------------------------------------------------------------ tables of Neural Tangents

def wide(taps, width=16):
    return Conv(width, (taps,), (1,), 'SAME', 1.2, .3)


def table_networks():
    attention = GlobalSelfAttention(n_chan_out=8, n_chan_key=8, n_chan_val=8, n_heads=2)
    return {'masked_conv_gap': serial(wide(3), Relu(), wide(2), Relu(), GlobalAvgPool(), Dense(1)),
            'masked_attn': serial(Dense(8, 1.2, .1), Relu(), attention, Relu(), GlobalAvgPool(), Dense(1))}


@pytest.mark.parametrize('get', [NTK, None])
@pytest.mark.parametrize('inputs', ['12', '11'])
@pytest.mark.parametrize('name', ['masked_conv_gap', 'masked_attn'])
def test_table(name, inputs, get):
    x1, x2 = TABLES['inputs/masked/0'], TABLES['inputs/masked/1'] if inputs == '12' else None
    k = table_networks()[name].kernel_fn(x1, x2, get, mask_constant=100.)
    for which in NTK:
        table = TABLES[f'{name}/{inputs}/{which}']
        assert abs(getattr(k, which) - table).max() < RTOL * abs(table).max()


def networks_on_holes():
    dense, conv = (Dense(8, 1.3, .4), Erf()), Conv(8, (3,), None, 'SAME', 1.3, .4)

    def heads(mechanism, embedding, linear_scaling=True, **others):
        return GlobalSelfAttention(8, 8, 8, 2, linear_scaling, attention_mechanism=mechanism, pos_emb_type=embedding,
                                   b_std=.2, **others)
    branches = FanOut(2), parallel(conv, Dense(8, .8, .2))
    return {
        'circular': serial(Conv(8, (3,), None, 'CIRCULAR', 1.3, .4), Relu(), GlobalAvgPool()),
        'pool': serial(conv, Relu(), AvgPool((2,), None, 'SAME'), Flatten(), Dense(1, 1.2, .2)),
        'layer_norm': serial(conv, LayerNorm((1, 2)), Erf(), GlobalSumPool()),
        'layer_norm_batch': serial(conv, LayerNorm((0, 1, 2)), Erf(), GlobalSumPool()),
        'local': serial(ConvLocal(8, (3,), None, 'SAME', 1.3, .4), Erf(), GlobalAvgPool(), Dense(1, 1., .3)),
        'attention_concat': serial(*dense, heads('SOFTMAX', 'CONCAT', n_chan_pos_emb=8, val_pos_emb=True), Erf(),
                                   GlobalAvgPool()),
        'attention_root': serial(*dense, heads('IDENTITY', 'SUM', False, val_pos_emb=True), GlobalAvgPool()),
        'attention_relu': serial(*dense, heads('RELU', 'SUM'), GlobalAvgPool()),
        'sum': serial(*branches, FanInSum(), Relu(), GlobalAvgPool()),
        'product': serial(*branches, FanInProd(), GlobalAvgPool()),
        'strided': serial(Conv(8, (3,), (2,), 'SAME', 1.3, .4), Relu(), Conv(8, (2,), None, 'SAME', 1.3, .4),
                          GlobalAvgPool()),
        'index': serial(conv, Erf(), Index(Slice[:, 1:]), Dense(8, 1.1, .1), GlobalAvgPool()),
    }


@pytest.mark.parametrize('name', networks_on_holes())
def test_table_of_inputs_with_holes(name):
    """Where Neural Tangents moves masks as here. Its LayerNorm has another part of eps = 1e-12, 7e-14 of the kernel."""
    x1, x2 = TABLES['inputs/holes/0'], TABLES['inputs/holes/1']
    k = networks_on_holes()[name].kernel_fn(x1, x2, NTK, mask_constant=7.)
    for which in NTK:
        table = TABLES[f'holes/{name}/{which}']
        assert abs(getattr(k, which) - table).max() < (1e-12 if 'norm' in name else RTOL) * abs(table).max()


# ------------------------------------------------------------------ each input as it is

def same(taps=3, **others):
    return Conv(6, (taps,) if isinstance(taps, int) else taps, None, 'SAME', 1.3, .4, **others)


def valid(taps, strides=None, padding='VALID', layer=Conv):
    return layer(6, (taps,), strides, padding, 1.2, .3)


def attends(**others):
    return GlobalSelfAttention(6, 4, 4, 2, W_key_std=.9, W_value_std=1.2, W_query_std=.8, W_out_std=1.1, **others)


ROOT = dict(linear_scaling=False, attention_mechanism='IDENTITY')
HIDDEN = Dense(6, 1.3, .4), Erf()
TWO = FanOut(2), parallel(serial(same(), Erf(), Dense(6, 1.1)), Dense(4, .8, .2))

ANYWHERE = {            # networks that do not tell where inputs begin
    'Dense': serial(*HIDDEN, Dense(6, 1.2, .3), Relu()),
    'Conv SAME': serial(same(), Relu(), same(2), Erf(), GlobalAvgPool(), Dense(1, 1.1, .2)),
    'Conv SAME, raw': serial(same(), Relu(), same(4), Relu()),
    'Conv VALID': serial(same(), Relu(), valid(3), Erf()),
    'Conv VALID, pooled': serial(valid(2), Relu(), valid(2), Erf(), GlobalAvgPool()),
    'ConvTranspose SAME': serial(valid(3, (2,), 'SAME', ConvTranspose), Relu(), same(2)),
    'ConvTranspose VALID': serial(valid(3, (2,), 'VALID', ConvTranspose), Erf(), GlobalAvgPool()),
    'ConvTranspose, gaps': serial(valid(2, (3,), 'VALID', ConvTranspose), Erf()),
    'AvgPool VALID': serial(same(), Relu(), AvgPool((2,)), same(), Relu()),
    'AvgPool SAME': serial(same(), Erf(), AvgPool((3,), None, 'SAME'), Dense(6, 1.2)),
    'AvgPool, edges': serial(same(), Erf(), AvgPool((3,), None, 'SAME', True), same(2), Erf()),
    'SumPool': serial(same(), Erf(), SumPool((2,), None, 'SAME'), SumPool((2,)), Dense(6, .5, .3)),
    'GlobalSumPool': serial(same(), Relu(), GlobalSumPool(), Dense(6, .5, .3)),
    'LayerNorm': serial(Dense(6, 1.3, .4), LayerNorm(eps=.1), Relu(), same(), GlobalAvgPool()),
    'LayerNorm over positions': serial(same(), LayerNorm((1, 2), eps=.1), Erf(), same(2)),
    'RMSNorm over positions': serial(same(), RMSNorm((1, 2), eps=.1), Erf(), same(2)),
    'attention': serial(*HIDDEN, attends(b_std=.3), Relu(), same(2), GlobalAvgPool()),
    'attention, relu': serial(*HIDDEN, attends(attention_mechanism='RELU', pos_emb_type='SUM'), Erf()),
    'FanInSum': serial(FanOut(2), parallel(same(), Dense(6, .8, .2)), FanInSum(), Relu(), GlobalAvgPool()),
    'FanInProd': serial(*TWO[:1], parallel(serial(same(), Erf()), Dense(6, .8, .2)), FanInProd(), Dense(6), Relu()),
    'FanInConcat': serial(*TWO, FanInConcat(), Dense(6, 1.1, .3), Erf()),
    'FanInConcat along positions': serial(FanOut(2), parallel(same(), Dense(6, .8, .2)), FanInConcat(1), Erf()),
    'Index, the other way': serial(same(2), Erf(), Index(Slice[:, ::-1]), same(2), Erf()),
    'Identity, repeat': serial(same(), repeat(serial(Identity(), Relu(), same(2)), 2), GlobalAvgPool()),
    'Dropout': serial(same(), Dropout(.7), Dense(6, 1.2, .3), Relu(), GlobalAvgPool()),
}
AT_THE_END = {          # of inputs that are padded at the end; positions of different inputs are the same ones
    'attention, concat': serial(*HIDDEN, attends(attention_mechanism='IDENTITY', pos_emb_type='CONCAT', b_std=.2,
                                                 n_chan_pos_emb=3, W_pos_emb_std=.7, val_pos_emb=True)),
    'attention, softmax with positions': serial(*HIDDEN, attends(pos_emb_type='SUM', val_pos_emb=True), Erf()),
    'attention, square root': serial(*HIDDEN, attends(pos_emb_type='SUM', W_pos_emb_std=.7, **ROOT), GlobalAvgPool()),
    'attention, square root, values': serial(*HIDDEN, attends(pos_emb_type='SUM', val_pos_emb=True, **ROOT), Erf()),
    'Conv SAME, strided': serial(same(2), Relu(), valid(2, (2,), 'SAME'), Erf()),
    'Conv VALID, strided': serial(same(), Relu(), valid(2, (2,)), Erf(), GlobalAvgPool()),
    'AvgPool, strided': serial(same(), Relu(), AvgPool((2,), (2,), 'SAME', True), Dense(6, 1.2)),
    'ConvLocal': serial(same(), Relu(), valid(2, None, 'SAME', ConvLocal), Erf(), valid(2, layer=ConvLocal)),
    'Index': serial(same(2), Erf(), Index(Slice[:, 1:]), same(2), Erf()),
    'Flatten': serial(same(), Erf(), Flatten(), Dense(6, 1.2, .3)),
}
EVEN = {                # of inputs whose lengths double, or that end on an even position
    'ImageResize linear': serial(same(2), Erf(), ImageResize((-1, 16, -1), 'linear'), same(2), Erf()),
    'ImageResize nearest': serial(same(2), Erf(), ImageResize((-1, 16, -1), 'nearest'), same(2), Relu()),
    'ImageResize cubic': serial(same(2), Erf(), ImageResize((-1, 16, -1), 'cubic'), GlobalAvgPool()),
}


def drawn(rng, sizes):
    """An input of each size, of float32 numbers so that each kind of array gets the same."""
    positions = [(n,) if isinstance(n, int) else n for n in sizes]
    return [rng.standard_normal((*p, CHANNELS)).astype('float32').astype('float64') for p in positions]


def padded(inputs, size, constant=100., start=0):
    """(n, *size, channels): each input from `start` on, or as far as there is room, and the constant elsewhere."""
    x = numpy.full((len(inputs), *size, CHANNELS), constant)
    for row, a in zip(x, inputs):
        first = [min(start, n - m) for n, m in zip(size, a.shape)]
        row[tuple(slice(i, i + m) for i, m in zip(first, a.shape))] = a
    return x


def matrix(c):
    """(h, h', w, w', ...) as (h w ..., h' w' ...)."""
    m = c.ndim // 2
    c = c.transpose(*range(0, 2 * m, 2), *range(1, 2 * m, 2))
    return c.reshape(int(numpy.prod(c.shape[:m])), -1)


def check(net, inputs1, inputs2, size, constant=100., start=0, pattern=None, **given):
    """What is not masked is the kernel of the inputs as they are, the rest is 0."""
    inputs = [*inputs1, *(inputs2 or ())]
    truth, n1 = ragged.kernel(net, inputs, size, pattern), len(inputs1)
    x1, x2 = padded(inputs1, size, constant, start), None if inputs2 is None else padded(inputs2, size, constant, start)
    k = net.kernel_fn(x1, x2, mask_constant=constant, **given)
    left, right = [(k.mask1, range(n1)), (k.mask1, range(n1)) if x2 is None else (k.mask2, range(n1, len(inputs)))]
    own = dict(cov1=left, gap1=left) | (dict(cov2=right, gap2=right) if x2 is not None else {})
    for name, (rows, columns) in dict(nngp=(left, right), ntk=(left, right), gap=(left, right)).items():
        for (i, n), (j, m) in product(enumerate(rows[1]), enumerate(columns[1])):
            compare(net, getattr(k, name), (i, j), truth, (n, m), rows[0][i], columns[0][j], name)
    for name, (masks, numbers) in own.items():
        for i, n in enumerate(numbers):
            compare(net, getattr(k, name), (i,), truth, (n, n), masks[i], masks[i], name)
    in_tiles = net.kernel_fn(x1, x2, NTK, mask_constant=constant, **given)
    for name in NTK:
        there, expected = getattr(in_tiles, name), getattr(k, name)
        assert_close(there, expected, 'slice', max(abs(k.ntk).max(), abs(k.nngp).max()))
        assert (there[expected == 0] == 0).all()                          # what is masked, to the last bit
    return k


def compare(net, c, at, truth, numbers, mask, other, name):
    if c is None:
        return
    c, (n, m) = c[at], numbers
    ours = matrix(c) if c.ndim or not mask.ndim else c
    if not mask.ndim:
        ours = c.reshape(1, 1)
    mask, other = mask.ravel(), other.ravel()
    q1, q2 = truth.own(n)[:, None], truth.own(m)
    expected = {'ntk': truth.t[n, m], 'gap': q1 + q2 - 2 * truth.k[n, m]}.get(name[:3], truth.k[n, m])
    inside = ours[~mask][:, ~other]
    assert inside.shape == expected.shape
    scale = abs(expected).max() if name == 'ntk' else (q1.max() * q2.max()) ** .5
    if not name.startswith('gap'):
        assert (ours[mask] == 0).all() and (ours[:, other] == 0).all()
    else:                                                                   # the variance of the other
        assert_close(ours[mask][:, ~other], q2 + 0 * ours[mask][:, ~other], 'value', scale)
        assert_close(ours[~mask][:, other], q1 + 0 * ours[~mask][:, other], 'value', scale)
    assert_close(inside, expected, 'value', scale)


@pytest.mark.parametrize('constant', [100., numpy.nan])
@pytest.mark.parametrize('size, start', [(7, 0), (8, 9), (9, 2)])
@pytest.mark.parametrize('name', ANYWHERE)
def test_anywhere(name, size, start, constant, rng):
    """Padded at the end, before the beginning and on both sides, by more and less."""
    inputs1, inputs2 = drawn(rng, LENGTHS1), drawn(rng, LENGTHS2)
    check(ANYWHERE[name], inputs1, inputs2, (size,), constant, start)
    if constant == 100.:
        check(ANYWHERE[name], inputs1, None, (size,), constant, start)


@pytest.mark.parametrize('size', [6, 8])
@pytest.mark.parametrize('name', AT_THE_END)
def test_at_the_end(name, size, rng):
    inputs1, inputs2 = drawn(rng, LENGTHS1), drawn(rng, LENGTHS2)
    check(AT_THE_END[name], inputs1, inputs2, (size,))
    check(AT_THE_END[name], inputs1, None, (size,), -1.5)


@pytest.mark.parametrize('start', [0, 2, 8])
@pytest.mark.parametrize('name', EVEN)
def test_resized(name, start, rng):
    check(EVEN[name], drawn(rng, LENGTHS1), drawn(rng, LENGTHS2), (8,), numpy.inf, start)


@pytest.mark.parametrize('method', ['linear', 'cubic', 'lanczos3', 'nearest'])
def test_resized_to_half(method, rng):
    net = serial(same(2), Erf(), ImageResize((-1, 4, -1), method), same(2), Erf())
    for start in 0, 2, 8:
        check(net, drawn(rng, (4, 6, 2)), drawn(rng, (2, 8)), (8,), 100., start)


IMAGES = {
    'Conv': serial(same((3, 2)), Relu(), Conv(6, (2, 1), b_std=.2), Erf(), GlobalAvgPool()),
    'AvgPool': serial(same((2, 2)), Erf(), AvgPool((2, 3), None, 'SAME', True), same((1, 2)), Relu()),
    'attention': serial(*HIDDEN, attends(b_std=.3), Relu(), same((2, 1)), GlobalAvgPool()),
    'transposed': serial(ConvTranspose(6, (2, 3), (1, 2), 'SAME', 1.3, .4), Relu(), GlobalSumPool()),
    'LayerNorm': serial(same((2, 2)), LayerNorm((1, 2, 3), eps=.1), Relu(), GlobalAvgPool()),
    'resized': serial(same((1, 2)), Erf(), ImageResize((-1, 8, -1, -1), 'linear'), GlobalAvgPool(), Dense(1)),
}


@pytest.mark.parametrize('start', [0, 1])
@pytest.mark.parametrize('name', IMAGES)
def test_images(name, start, rng):
    inputs1, inputs2 = drawn(rng, [(2, 3), (4, 2)]), drawn(rng, [(3, 3), (2, 2)])
    check(IMAGES[name], inputs1, inputs2, (4, 4), 100., start)


def test_graphs(rng):
    """Nodes that are not there have no edges."""
    inputs = drawn(rng, LENGTHS1)
    P = [rng.standard_normal((n, n)) for n in LENGTHS1]
    whole = numpy.zeros((3, 7, 7))
    for row, a in zip(whole, P):
        row[:len(a), :len(a)] = a
    net = serial(*HIDDEN, Aggregate(), Dense(6, 1.2, .3), Relu(), Aggregate(), GlobalAvgPool())
    truth = ragged.kernel(net, inputs, (7,), P)
    k = net.kernel_fn(padded(inputs, (7,)), None, NTK, pattern=whole, mask_constant=100.)
    for n, m in product(range(3), repeat=2):
        assert_close(k.nngp[n, m], truth.k[n, m][0, 0], 'value', abs(k.nngp).max())
        assert_close(k.ntk[n, m], truth.t[n, m][0, 0], 'value', abs(k.ntk).max())


# ------------------------------------------------------------------ finite networks

FINITE = ANYWHERE | {name: net for name, net in (AT_THE_END | EVEN).items() if name not in ('ConvLocal', 'Flatten')}


def resized_in(spec, length):
    """The network with ImageResize to twice its input, for inputs of this length."""
    if isinstance(spec, list):
        return [resized_in(s, length) for s in spec]
    if not isinstance(spec, dict):
        return spec
    spec = {name: resized_in(value, length) for name, value in spec.items()}
    return spec | ({'shape': [-1, 2 * length, -1]} if spec.get('layer') == 'ImageResize' else {})


def cut(params, n, size):
    """Parameters of inputs of length n out of those of this size: embeddings of positions."""
    if isinstance(params, (list, tuple)):
        return type(params)(cut(p, n, size) for p in params)
    return params[:, :n] if params.ndim == 3 and params.shape[:2] == (1, size) else params


@pytest.mark.parametrize('name', FINITE)
def test_finite_networks(name, rng):
    """The outputs of each input as it is, with the same weights."""
    net, inputs = FINITE[name], drawn(rng, LENGTHS1)
    if 'Dropout' in name:                                                   # whose mask is of the padded size
        net = serial(*net.layers[:1], *net.layers[2:])
    x = padded(inputs, (8,))
    shape, params = net.init_fn(0, x.shape)
    z = net.apply_fn(params, x, mask_constant=100.)
    k = net.kernel_fn(x, mask_constant=100.)
    assert isinstance(z, MaskedArray) and z.masked_value.shape == shape == k.shape1
    assert z.mask.shape == (*shape[:-1], 1) and (z.mask[..., 0] == k.mask1).all()
    assert (z.masked_value[z.mask[..., 0]] == 0).all()
    for n, a in enumerate(inputs):
        alone = stax.from_spec(resized_in(net.to_spec(), len(a)))
        expected = alone.apply_fn(cut(params, len(a), 8), a[None])[0]
        inside = z.masked_value[n][~z.mask[n, ..., 0]].reshape(expected.shape)
        assert_close(inside, expected, 'kinds: apply', abs(expected).max())


def unmasked(net):
    """The network with plain outputs."""
    class Unmasked:
        init_fn, apply_fn, trace, demand = net.init_fn, staticmethod(unmask_fn(net.apply_fn)), net.trace, net.demand
    return Unmasked


N, n = 128, 320
HOLES = numpy.array([[0, 1, 0, 0, 1], [0, 0, 0, 1, 1], [1, 0, 0, 0, 0]]) > 0


def on_one_output(n):
    """Networks n wide, on inputs with holes."""
    def conv(*a, **k):
        return Conv(n, *a, **k)
    return {
        'Conv': serial(conv((3,), None, 'SAME', 1.3, .4), Erf(), GlobalAvgPool(), Dense(1, 1.2, .2)),
        'circular': serial(conv((3,), None, 'CIRCULAR', 1.3, .4), Relu(), AvgPool((2,), None, 'CIRCULAR', True),
                           GlobalSumPool(), Dense(1, .6, .2)),
        'Flatten': serial(conv((2,), None, 'SAME', 1.3, .4), Erf(), Flatten(), Dense(1, 1.2, .2)),
        'ConvLocal': serial(ConvLocal(n, (2,), None, 'SAME', 1.3, .4), Relu(), GlobalAvgPool(), Dense(1)),
        'AvgPool': serial(conv((2,), None, 'SAME', 1.3, .4), Erf(), AvgPool((3,), (2,), 'SAME', True), Flatten(),
                          Dense(1)),
        'LayerNorm': serial(Dense(n, 1.3, .4), LayerNorm((1, 2), eps=.2), Erf(), GlobalAvgPool(), Dense(1)),
        'RMSNorm': serial(Dense(n, 1.3, .4), RMSNorm((1, 2), eps=.2), Erf(), GlobalAvgPool(), Dense(1)),
        'LayerNorm over all': serial(Dense(n, 1.3, .4), LayerNorm((0, 1, 2), eps=.2), Erf(), GlobalAvgPool(),
                                     Dense(1)),
        'attention': serial(GlobalSelfAttention(n, n, n, 2, True, 1.4, 1.1, 1.3, b_std=.3), Erf(), GlobalAvgPool(),
                            Dense(1)),
        'DotGeneral': serial(Dense(n, 1.3, .4), Erf(), DotGeneral(
            rhs=((1., 0.), (.5, 0.), (0., 2.), (0., 1.), (0., 1.)), dimension_numbers=(((1,), (0,)), ((), ()))),
            Dense(n, 1.2, .3, channel_axis=1), Erf(), Flatten(), Dense(1)),
    }


@pytest.mark.parametrize('name', on_one_output(1))
def test_mean_of_finite_networks(name, rng):
    """K and Theta are the mean of finite networks, in standard errors; masks with holes."""
    net = on_one_output(N)[name]
    x = rng.standard_normal((3, 5, CHANNELS))
    x[HOLES] = -7
    k = net.kernel_fn(x, get=NTK, mask_constant=-7)
    ntks = draws(empirical_ntk, unmasked(net), x, rng, n // 4, mask_constant=-7)
    check_mean(ntks, k.ntk, .1)
    _, apply_fn, _ = net
    _, params = net.init_fn(0, x.shape)
    outputs = numpy.array([numpy.outer(z, z) for z in (
        unmask_fn(apply_fn)(net.init_fn(g, x.shape)[1], x, mask_constant=-7)[:, 0] for g in rng.spawn(4 * n))])
    assert chance(outputs, k.nngp) > LEVEL and chance(outputs, 1.3 * k.nngp) < LEVEL


# ------------------------------------------------------------------ how masks move

def moved(layer, mask, channels=1):
    """Of masks (n, *positions): finite and infinite networks say the same."""
    mask = numpy.asarray(mask, dtype=bool)
    x = numpy.where(mask, numpy.nan, 1.)[..., None] * numpy.ones(channels)
    net = serial(Dense(3), layer)
    k = net.kernel_fn(x, mask_constant=numpy.nan)
    z = net.apply_fn(net.init_fn(0, x.shape)[1], x, mask_constant=numpy.nan)
    assert (numpy.moveaxis(z.mask, (k.batch_axis, k.channel_axis), (0, -1))[..., 0] == k.mask1).all()
    return k.mask1.astype(int).tolist()


def test_windows():
    """'VALID': where any input is masked; else where the middle one is, which is tap 1 of 3 or 4, and 0 of 2."""
    mask = [[0, 0, 0, 0, 1, 1], [1, 0, 0, 1, 0, 0]]
    for layer in (lambda *a: Conv(2, *a), AvgPool, SumPool, lambda *a: ConvLocal(2, *a)):
        assert moved(layer((3,)), mask) == [[0, 0, 1, 1], [1, 1, 1, 1]]
        assert moved(layer((2,), (2,)), mask) == [[0, 0, 1], [1, 1, 0]]
        assert moved(layer((3,), None, 'SAME'), mask) == moved(layer((4,), None, 'CIRCULAR'), mask) == mask
        assert moved(layer((2,), (2,), 'SAME'), mask) == [[0, 0, 1], [1, 0, 0]]
        assert moved(layer((3,), (2,), 'SAME'), mask) == [[0, 0, 1], [0, 1, 0]]
    image = numpy.zeros((1, 3, 4))
    image[0, 2, 1] = 1
    assert moved(Conv(2, (2, 2)), image) == [[[0, 0, 0], [1, 1, 0]]]
    assert moved(Conv(2, (2, 2), dimension_numbers=('NHWC', 'HWIO', 'NCWH')), image) == [[[0, 1], [0, 1], [0, 0]]]
    assert moved(Conv(2, (2, 1), dimension_numbers=('NHWC', 'WHIO', 'NHWC')), image) == [[[0, 0, 0], [0, 0, 0],
                                                                                         [1, 1, 0]]]


def test_transposed_windows():
    """An input owns `stride` outputs; under 'VALID' every output is there that one input reaches."""
    mask = [[0, 0, 0, 0, 1, 1], [1, 0, 1, 0, 0, 0]]
    doubled = [[m for m in row for _ in range(2)] for row in mask]
    for taps, padding in product((1, 2, 3), ('SAME', 'CIRCULAR')):
        assert moved(ConvTranspose(2, (taps,), (2,), padding), mask) == doubled
    assert moved(ConvTranspose(2, (2,), (2,)), mask) == doubled
    assert moved(ConvTranspose(2, (3,), (2,)), mask) == [[*[0] * 9, *[1] * 4], [1, 1, 0, 0, 0, 1, *[0] * 7]]


def test_other_layers():
    mask = [[0, 0, 0, 0, 1, 1], [1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 0, 0]]
    for layer in GlobalAvgPool(), GlobalSumPool(), Flatten():
        assert moved(layer, mask) == [0, 1, 0]
    assert moved(Flatten(0, 1), mask) == [0, 1, 0]
    assert moved(Index(Slice[1:, ::-2]), mask) == [[1, 1, 1], [0, 0, 0]]
    assert moved(Index(Slice[:, 2]), mask) == [0, 1, 1]
    assert moved(ImageResize((-1, 3, -1), 'linear'), mask) == [[0, 0, 1], [1, 1, 1], [0, 0, 0]]
    axes = (((1,), (0,)), ((), ()))
    weights = numpy.array([[1., 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, -1, 1, 0]])
    assert moved(DotGeneral(rhs=weights, dimension_numbers=axes), mask) == [[0, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    common = DotGeneral(rhs=weights[:, :2], dimension_numbers=(((), ()), ((1,), (0,))))
    assert moved(common, mask) == [[[m, m] for m in row] for row in mask]
    assert moved(DotGeneral(rhs=(1., 2.)), mask) == [[[m, m] for m in row] for row in mask]
    assert moved(DotGeneral(rhs=-2.), mask) == mask


def test_branches():
    """A sum or a product is masked where all branches are; side by side each keeps its mask."""
    a, b = numpy.array([[0, 0, 1, 1]]) > 0, numpy.array([[0, 1, 0, 1]]) > 0
    x = [numpy.where(m, -1., 2.)[..., None] for m in (a, b)]
    for fan_in, expected in (FanInSum(), a & b), (FanInProd(), a & b), (FanInConcat(1), numpy.concatenate([a, b], 1)), (
            FanInConcat(0), numpy.concatenate([a, b])):
        net = serial(parallel(Dense(3, b_std=1.), Dense(3)), fan_in)
        k = net.kernel_fn(x, mask_constant=-1)
        z = net.apply_fn(net.init_fn(0, [(1, 4, 1)] * 2)[1], x, mask_constant=-1)
        assert (k.mask1 == expected).all() and (z.mask[..., 0] == expected).all()
        own = numpy.einsum('nhh->nh', k.cov1)
        assert (own[expected] == 0).all()
        if isinstance(fan_in, FanInSum):                        # 4 + 1, and 4, where a branch is not masked
            assert own.tolist() == [[9., 5., 4., 0.]]


# ------------------------------------------------------------------ kinds of arrays, precision, derivatives

NET = serial(same(), Relu(), attends(b_std=.3), LayerNorm((1, 2), eps=.1), Erf(), GlobalAvgPool(), Dense(1, 1.1, .2))


@pytest.mark.parametrize('constant', [100., numpy.nan])
def test_kinds(kind, constant, rng):
    x1, x2 = padded(drawn(rng, LENGTHS1), (7,), constant, 1), padded(drawn(rng, LENGTHS2), (7,), constant)
    expected, (_, params) = NET.kernel_fn(x1, x2, NTK, mask_constant=constant), NET.init_fn(0, x1.shape)
    k = NET.kernel_fn(to_kind(kind, x1), to_kind(kind, x2), NTK, mask_constant=constant)
    dtype = 'float32' if kind == 'float32' else 'float64'
    for name in NTK:
        ours = getattr(k, name)
        assert ours.dtype == (dtype if kind != 'mpmath' else object)
        assert_close(to_numpy(ours).astype('float64'), getattr(expected, name), f'kinds: {name}',
                     abs(expected.ntk).max(), dtype)

    def converted(p):
        return type(p)(map(converted, p)) if isinstance(p, (tuple, list)) else to_kind(kind, p)
    z = NET.apply_fn(converted(params), to_kind(kind, x1), mask_constant=constant)
    plain = NET.apply_fn(params, x1, mask_constant=constant)
    assert z.masked_value.dtype == (dtype if kind != 'mpmath' else object)
    assert_close(to_numpy(z.masked_value).astype('float64'), plain.masked_value, 'kinds: apply', 1., dtype)
    assert (to_numpy(z.mask) == plain.mask).all()


def test_constants_in_single_precision(rng):
    """0.1 is another number in float32; it is what the inputs hold."""
    inputs = drawn(rng, LENGTHS1)
    x = padded(inputs, (7,), .1).astype('float32')
    k = NET.kernel_fn(x, get='ntk', mask_constant=.1)
    assert k.dtype == 'float32' and (k == NET.kernel_fn(x, get='ntk', mask_constant=numpy.float32(.1))).all()
    exact = NET.kernel_fn(padded(inputs, (7,)), get='ntk', mask_constant=numpy.array(100))
    assert_close(k.astype('float64'), exact, 'kinds: ntk', abs(exact).max(), 'float32')


@pytest.mark.parametrize('constant', [100., numpy.nan])
def test_derivatives(constant, rng):
    """By a number of the network, and by inputs: 0 where they are masked, elsewhere those of inputs without padding."""
    inputs = drawn(rng, (4, 4))
    x, y = padded(inputs, (7,), constant, 2), numpy.stack(inputs)

    def total(x, W_std, **given):
        net = serial(Conv(6, (3,), None, 'SAME', W_std, .4), Relu(), attends(), Erf(), GlobalAvgPool(), Dense(1))
        return anp.sum(net.kernel_fn(x, get='ntk', **given))
    ours, alone = grad(total, 1)(x, 1.3, mask_constant=constant), grad(total, 1)(y, 1.3)
    assert abs(ours - alone) < 1e-12 * abs(alone)
    slopes, expected = grad(total)(x, 1.3, mask_constant=constant), grad(total)(y, 1.3)
    assert (slopes[x != x] == 0).all() and (slopes[:, :2] == 0).all() and (slopes[:, 6:] == 0).all()
    assert_close(slopes[:, 2:6], expected, 'kinds: ntk', abs(expected).max())


# ------------------------------------------------------------------ special inputs

def test_coincidences(rng):
    """The same input in other paddings, its opposite, one position, nothing at all, and no inputs."""
    a, = drawn(rng, (3,))
    x = numpy.concatenate([padded([a], (6,), 100., start) for start in (0, 2, 3)] + [
        padded([-a], (6,)), padded([a[:1]], (6,)), numpy.full((1, 6, CHANNELS), 100.)])
    net = serial(Conv(6, (3,), None, 'SAME', 1.3), Relu(), same(2), Erf(), GlobalAvgPool())
    k = net.kernel_fn(x, mask_constant=100.)
    assert_close(k.nngp[:3, :3], numpy.full((3, 3), k.nngp[0, 0]), 'value', k.nngp[0, 0])
    assert_close(k.ntk[:3, :3], numpy.full((3, 3), k.ntk[0, 0]), 'value', k.ntk[0, 0])
    truth = ragged.kernel(net, [a, -a, a[:1]], (6,))
    assert_close(k.nngp[0, 3:5], numpy.array([truth.k[0, m][0, 0] for m in (1, 2)]), 'value', k.nngp[0, 0])
    assert k.mask1.tolist() == [False] * 5 + [True]
    for name in ('nngp', 'ntk'):
        assert (getattr(k, name)[5] == 0).all() and (getattr(k, name)[:, 5] == 0).all()
    assert NET.kernel_fn(x[:0], x, 'ntk', mask_constant=100.).shape == (0, 6)
    one = NET.kernel_fn(x[:1], get='ntk', mask_constant=100.)
    assert_close(one, NET.kernel_fn(a[None], get='ntk'), 'value', one.max())
    nothing = NET.apply_fn(NET.init_fn(0, x.shape)[1], x, mask_constant=100.)
    assert nothing.masked_value[5] == 0 and nothing.mask.ravel().tolist() == [False] * 5 + [True]


@pytest.mark.parametrize('start', [0, 3])
@pytest.mark.parametrize('step', [0., 1e-9, 1e-4])
def test_nearly_equal_inputs_keep_their_digits(step, start, rng, mp50):
    """Gaps to what is masked are those to what is outside: K and Theta against 50 digits of inputs without padding."""
    net = serial(same(), Relu(), same(2), Relu(), Conv(6, (3,), None, 'SAME'), Relu(), Dense(1))
    a, = drawn(rng, (4,))
    b = a + step * rng.standard_normal(a.shape)
    k = net.kernel_fn(padded([a], (9,), 100., start), padded([b], (9,), 100., start), mask_constant=100.)
    exact = net.kernel_fn(*(to_kind('mpmath', c[None]) for c in (a, b)))
    for name in NTK:
        ours = getattr(k, name)[0, 0][start:start + 4, start:start + 4]
        assert_close(ours, to_numpy(getattr(exact, name))[0, 0], 'value', abs(ours).max())


def test_inputs_without_positions(rng):
    x = rng.standard_normal((4, 3))
    x[2] = 7.
    net = serial(Dense(6, 1.3, .4), Relu(), Dense(1))
    k, there = net.kernel_fn(x, mask_constant=7), [0, 1, 3]
    alone = net.kernel_fn(x[there])
    for name in NTK:
        c = getattr(k, name)
        assert_close(c[there][:, there], getattr(alone, name), 'slice', abs(c).max())
        assert (c[2] == 0).all() and (c[:, 2] == 0).all()


def test_entries_that_are_masked_in_some_channels_are_zero(rng):
    """A missing feature is 0, and its position there."""
    x = rng.standard_normal((3, 5, CHANNELS))
    y = x.copy()
    x[1, 2, 0], y[1, 2, 0] = 100., 0.
    x[0, 4], y[0, 4] = 100., numpy.nan
    k, expected = NET.kernel_fn(x, mask_constant=100.), NET.kernel_fn(y, mask_constant=numpy.nan)
    assert (k.nngp == expected.nngp).all() and (k.ntk == expected.ntk).all() and k.mask1.tolist() == [False] * 3
    params = NET.init_fn(0, x.shape)[1]
    z, w = (NET.apply_fn(params, a, mask_constant=c).masked_value for a, c in ((x, 100.), (y, numpy.nan)))
    assert (z == w).all()


def test_only_one_of_the_inputs_is_padded(rng):
    inputs1, inputs2 = drawn(rng, LENGTHS1), drawn(rng, (6, 6))
    check(NET, inputs1, inputs2, (6,))
    check(NET, inputs2, inputs1, (6,))


def test_dropout_knows_inputs_by_their_masks(rng):
    """A vector of zeros is not a position that is not there."""
    net = serial(Dense(6, 1.3, .4), Dropout(.7), Dense(6), GlobalAvgPool())
    x = padded(drawn(rng, (3, 3)), (5,), numpy.nan)
    y = x.copy()
    y[:, 4] = 0.
    k = net.kernel_fn(x, y, mask_constant=numpy.nan)
    assert not k.x1_is_x2 and net.kernel_fn(x, x.copy(), mask_constant=numpy.nan).x1_is_x2


# ------------------------------------------------------------------ in parts, step by step, in files

@pytest.mark.parametrize('size', [1, 2, 5])
def test_batch(size, rng):
    """Also with tiles in which nothing is padded."""
    x1, x2 = padded(drawn(rng, (6, 6, 4, 6, 2)), (6,)), padded(drawn(rng, (6, 3, 6)), (6,))
    for right in x2, None:
        k, whole = (f(x1, right, NTK, mask_constant=100.) for f in (batch(NET.kernel_fn, size), NET.kernel_fn))
        for name in NTK:
            assert_close(getattr(k, name), getattr(whole, name), 'slice', abs(whole.ntk).max())
    with pytest.warns(UserWarning, match='in none of them'):
        batch(NET.kernel_fn, size)(x1, x2, 'ntk', mask_constant=101.)


@pytest.mark.parametrize('side', [1, 2, 3, 100])
def test_tiles(side, rng, monkeypatch):
    """Many inputs, some of which are not padded: in tiles, with their patterns."""
    monkeypatch.setattr(tiled, 'ENTRIES', side ** 2 * 36)
    monkeypatch.setattr(tile, 'BLOCK', side ** 2 * 36)
    seen = []
    monkeypatch.setattr(tiled, 'input_tile', lambda *a, f=tiled.input_tile, **k: seen.append(a) or f(*a, **k))
    x1, x2 = padded(drawn(rng, (6, 6, 4, 6, 2)), (6,), numpy.nan), padded(drawn(rng, (6, 3, 6)), (6,), numpy.nan)
    P1, P2 = rng.standard_normal((5, 6, 6)), rng.standard_normal((3, 6, 6))
    x1[1, :, 0] = numpy.nan                                                             # a missing feature
    graphs = serial(same(), Aggregate(), Dense(6), Relu(), AvgPool((2,), None, 'SAME', True))
    for net, right, given in ((NET, x2, {}), (NET, None, {}), (graphs, x2, dict(pattern=(P1, P2))),
                              (graphs, None, dict(pattern=P1))):
        k, whole = (net.kernel_fn(x1, right, get, mask_constant=numpy.nan, **given) for get in (NTK, None))
        assert k._fields == NTK
        for name in NTK:
            assert_close(getattr(k, name), getattr(whole, name), 'slice', abs(whole.ntk).max())
        assert len(seen) > (4 if side < 3 else 1)
        seen.clear()


def test_batch_on_disk(rng, tmp_path):
    x = padded(drawn(rng, (6, 6, 4, 6, 2)), (6,), numpy.nan)
    f = batch(NET.kernel_fn, 2, out=tmp_path / 'k')
    k = f(x, None, 'ntk', mask_constant=numpy.nan)
    whole = NET.kernel_fn(x, None, 'ntk', mask_constant=numpy.nan)
    assert_close(k[:], whole, 'slice', abs(whole).max())
    assert_close(f(x, None, 'ntk', mask_constant=float('nan'))[:], whole, 'slice', abs(whole).max())


def test_layer_by_layer(rng):
    """A Kernel has its masks, a MaskedArray too; both can be fed to the next layer, or kept."""
    x1, x2 = padded(drawn(rng, LENGTHS1), (7,)), padded(drawn(rng, LENGTHS2), (7,))
    k, whole = x1, NET.kernel_fn(x1, x2, mask_constant=100.)
    k = NET.layers[0].kernel_fn(x1, x2, mask_constant=100.)
    z = NET.layers[0].apply_fn((params := NET.init_fn(0, x1.shape)[1])[0], x1, mask_constant=100.)
    for layer, p in zip(NET.layers[1:], params[1:]):
        k, z = layer.kernel_fn(k), layer.apply_fn(p, z)
    assert (k.nngp == whole.nngp).all() and (k.ntk == whole.ntk).all() and (k.mask2 == whole.mask2).all()
    assert (z.masked_value == NET.apply_fn(params, x1, mask_constant=100.).masked_value).all()


def test_masked_inputs_without_a_constant(rng):
    x1, x2 = padded(drawn(rng, LENGTHS1), (7,)), padded(drawn(rng, LENGTHS2), (7,))
    given = [MaskedArray(x, (x == 100).all(-1, keepdims=True)) for x in (x1, x2)]
    assert (NET.kernel_fn(*given, 'ntk') == NET.kernel_fn(x1, x2, 'ntk', mask_constant=100)).all()
    whole = numpy.where(x2 == 100, 0, x2)
    assert (NET.kernel_fn(given[0], whole, 'ntk') != NET.kernel_fn(*given, 'ntk')).all()
    k = NET.kernel_fn(given[0], whole, 'ntk')
    assert_close(NET.kernel_fn(whole, given[0], 'ntk').T, k, 'swap', k.max())


def test_equal_positions_alone(rng):
    x1, x2 = padded(drawn(rng, LENGTHS1), (7,)), padded(drawn(rng, LENGTHS2), (7,))
    net = serial(same(), Relu(), same(2), Erf())
    k = net.kernel_fn(x1, x2, diagonal_spatial=True, mask_constant=100.)
    full = net.kernel_fn(x1, x2, mask_constant=100.)
    assert k.diagonal_spatial and (k.mask1 == full.mask1).all()
    for name in NTK:
        expected = numpy.einsum('nmhh->nmh', getattr(full, name))
        assert_close(getattr(k, name), expected, 'positions', abs(expected).max())
        assert (getattr(k, name)[numpy.broadcast_to(k.mask1[:, None], expected.shape)] == 0).all()


def test_kernels_in_files(rng, tmp_path):
    k = serial(same(), Relu()).kernel_fn(padded(drawn(rng, LENGTHS1), (7,)), mask_constant=100.)
    save_kernel(tmp_path / 'k.npz', k)
    again = load_kernel(tmp_path / 'k.npz')
    assert again.mask1.dtype == bool and (again.mask1 == k.mask1).all() and (again.ntk == k.ntk).all()
    assert (k.asdict()['mask1'] == k.mask1).all()


def test_trees(rng):
    """Lists of inputs, each with its masks."""
    inputs = drawn(rng, LENGTHS1), drawn(rng, (2, 5, 5))
    x = [padded(inputs[0], (7,), 100.), padded(inputs[1], (6,), 100., 2)]
    branch = serial(same(), Erf(), GlobalAvgPool(), Dense(6, 1.2))
    net = serial(parallel(branch, serial(same(2), Relu(), GlobalAvgPool(), Dense(6, .8))), FanInSum())
    k = net.kernel_fn(x, get='nngp', mask_constant=100.)
    truth = [ragged.kernel(branch, a, (7,)) for branch, a in zip(net.layers[0].layers, inputs)]
    expected = numpy.array([[sum(t.k[i, j][0, 0] for t in truth) for j in range(3)] for i in range(3)])
    assert_close(k, expected, 'value', expected.max())
    params = net.init_fn(0, [a.shape for a in x])[1]
    z = net.apply_fn(params, x, mask_constant=100.).masked_value
    for i in range(3):
        alone = net.apply_fn(params, [a[i][None] for a in inputs])
        assert_close(z[i:i + 1], alone, 'kinds: apply', abs(alone).max())
    pair = stax.parallel(Relu(), Identity()).apply_fn(((), ()), tuple(x), mask_constant=100.)
    assert type(pair) is tuple and all(isinstance(leaf, MaskedArray) for leaf in pair)
    plain = unmask_fn(stax.parallel(Relu(), Identity()).apply_fn)(((), ()), x, mask_constant=100.)
    assert type(plain) is list and (plain[1] == numpy.where(x[1] == 100, 0, x[1])).all()


def test_unmask_fn_leaves_the_rest_alone():
    x = numpy.eye(2)
    again = unmask_fn(Dense(1).kernel_fn)(x, None, NTK)
    assert again._fields == NTK and (again.nngp == x / 2).all()
    for given, expected in zip(unmask_fn(Dense(1).init_fn)(0, (2, 2))[1], Dense(1).init_fn(0, (2, 2))[1], strict=True):
        assert numpy.array_equal(given, expected)
    value = unmask_fn(lambda: MaskedArray(numpy.ones((2, 2)), numpy.array([[True], [False]])))()
    assert value.tolist() == [[0, 0], [1, 1]]
    assert unmask_fn(Relu().apply_fn).__name__ == 'apply_fn'
    assert list(inspect.signature(MaskedArray).parameters) == ['masked_value', 'mask']


def test_predictions(rng):
    """Kernel regression on sequences; the constant of the training set is that of the test set, too."""
    x, test = padded(drawn(rng, (5, 3, 4, 6)), (6,)), padded(drawn(rng, (4, 2)), (6,))
    y = rng.standard_normal((4, 1))
    net = serial(same(), Relu(), GlobalAvgPool(), Dense(1))
    predict_fn = gradient_descent_mse_ensemble(net.kernel_fn, x, y, diag_reg=1e-3, mask_constant=100.)
    found = predict_fn(x_test=test, get='nngp', compute_cov=True)
    k = [net.kernel_fn(*pair, 'nngp', mask_constant=100.) for pair in ((x, None), (test, x), (test, None))]
    A = k[0] + 1e-3 * k[0].trace() / 4 * numpy.eye(4)
    mean = k[1] @ numpy.linalg.solve(A, y)
    covariance = k[2] - k[1] @ numpy.linalg.solve(A, k[1].T)
    assert abs(found.mean - mean).max() < 1e-9 * abs(mean).max()
    assert abs(found.covariance - covariance).max() < 1e-9 * abs(k[2]).max()
    assert abs(gp_inference(Kernel(k[0]), y, 1e-3)('nngp', k[1]) - mean).max() < 1e-9 * abs(mean).max()
    rows, cross = (ComputedKernel(net.kernel_fn, *pair, 'nngp', mask_constant=100.) for pair in ((x, None), (test, x)))
    assert (rows[3:, 3:] == k[0][3:, 3:]).all()                 # an input that is not padded: a block, not a mistake
    found = gp_inference_iterative(rows, y, diag_reg=1e-3, tol=1e-12)('nngp', cross)
    assert abs(found - mean).max() < 1e-9 * abs(mean).max()


# ------------------------------------------------------------------ what is refused

def test_a_constant_that_is_not_there(rng):
    """Is said, once for both inputs; the kernel is that of the inputs."""
    x = padded(drawn(rng, LENGTHS1), (7,))
    for constant in -100., numpy.nan, 0:
        with pytest.warns(UserWarning, match=f'expected mask_constant={constant} in the inputs, found it in none'):
            k = NET.kernel_fn(x, None, 'ntk', mask_constant=constant)
        assert_close(k, NET.kernel_fn(x, None, 'ntk'), 'same', abs(k).max())
        with pytest.warns(UserWarning, match='found it in none') as record:
            z = NET.apply_fn(params := NET.init_fn(0, x.shape)[1], x, mask_constant=constant)
        assert Path(record[0].filename).name == 'test_masks.py'
        assert_close(z.masked_value, NET.apply_fn(params, x), 'same', abs(z.masked_value).max())
        assert not z.mask.any()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        NET.kernel_fn(x[1:2], x, 'ntk', mask_constant=100.)


@pytest.mark.parametrize('bad', ['100', True, 1j, numpy.ones(2), [100.]])
def test_constants_that_are_no_numbers(bad):
    for f in NET.kernel_fn, lambda x, mask_constant: NET.apply_fn((), x, mask_constant=mask_constant):
        with pytest.raises(TypeError, match='mask_constant is expected to be a number'):
            f(numpy.ones((2, 3, CHANNELS)), mask_constant=bad)


def test_numbers_that_are_not_the_constant():
    x = numpy.ones((2, 3, CHANNELS))
    x[0, 2], x[1, 1, 0] = 100., numpy.nan
    with pytest.raises(ValueError, match='NaN or infinity in 1 of the 2 rows of x1: 1'):
        NET.kernel_fn(x, mask_constant=100.)
    with pytest.raises(TypeError, match='expected an array'):
        NET.kernel_fn('text', mask_constant=100.)


def test_kernels_have_their_masks(rng):
    k = same().kernel_fn(padded(drawn(rng, LENGTHS1), (7,)), mask_constant=100.)
    with pytest.raises(ValueError, match='expected mask_constant=None with a Kernel'):
        Relu().kernel_fn(k, mask_constant=100.)
    for changes in dict(mask1=None), dict(mask1=k.mask1[..., None]), dict(mask2=k.mask2[:2]):
        with pytest.raises(ValueError, match=r'expected mask1 and mask2 of shapes \(3, 7\) and \(3, 7\)'):
            k.replace(**changes)
    with pytest.raises(ValueError, match=r'layer FanInSum|FanInSum\(\): expected masks in all of the inputs'):
        FanInSum().kernel_fn([k, k.replace(mask1=None, mask2=None)])


def test_branches_with_other_masks_side_by_side():
    x = [numpy.ones((1, 4, 2)) for _ in range(2)]
    x[0][:, 3], x[1][:, 2:] = -1, -1
    net = serial(parallel(Dense(3), Dense(3)), FanInConcat(-1))
    message = r'layer 1, FanInConcat\(\): expected branches with the same masks .* Join such branches by FanInSum'
    with pytest.raises(LayerError, match=message):
        net.kernel_fn(x, mask_constant=-1)
    with pytest.raises(LayerError, match=message):
        net.apply_fn(net.init_fn(0, [(1, 4, 2)] * 2)[1], x, mask_constant=-1)
    x[1][:, 2] = 1
    net.kernel_fn(x, mask_constant=-1)


def test_layers_that_forget_masks(rng):
    """A layer of the user that makes a Signal of its own: an error, not a kernel without masks."""
    class Forgetful(Identity):
        def out(self, signal):
            return Signal(signal.shape, signal.axes)
    del stax.Layer.registry['Forgetful']
    x = padded(drawn(rng, LENGTHS1), (7,))
    net = Forgetful()
    for call in lambda: net.kernel_fn(x, mask_constant=100.), lambda: net.apply_fn((), x, mask_constant=100.):
        with pytest.raises(LayerError, match='expected `out` to say where outputs are masked'):
            call()


@pytest.mark.parametrize('value, mask, error, message', [
    ('x', {}, TypeError, 'masked_value to be an array, got str'),
    (numpy.ones((2, 3)), {}, TypeError, 'mask to be an array, got dict'),
    ([[1.]], numpy.array([[True]]), TypeError, 'masked_value to be an array, got list. Convert it with numpy.asarray'),
    (numpy.ones((2, 3)), [[True], [False]], TypeError, 'mask to be an array, got list. Convert it with numpy.asarray'),
    (numpy.ma.ones((2, 3)), numpy.ones((2, 1), bool), TypeError, 'masked_value to be an array, got MaskedArray. Its'),
    (numpy.ones((2, 3)), numpy.zeros((2, 1)), TypeError, 'an array of bool, got float64'),
    (numpy.ones((2, 3)), numpy.zeros((3, 2), bool), ValueError, r'values of shape \(2, 3\), got one of shape \(3, 2\)'),
    (numpy.ones((2, 3)), numpy.zeros((1, 2, 3), bool), ValueError, r'got one of shape \(1, 2, 3\)')])
def test_masked_arrays_of_anything(value, mask, error, message):
    with pytest.raises(error, match=f'expected MaskedArray: .*{message}'):
        stax.MaskedArray(value, mask)


@pytest.mark.parametrize('shape', [(), (1,), (3,), (2, 1), (1, 3), (2, 3)])
def test_masks_that_broadcast(shape):
    assert stax.MaskedArray(numpy.ones((2, 3)), numpy.zeros(shape, bool)).mask.shape == shape
