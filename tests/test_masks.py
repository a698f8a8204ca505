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
from tolerances import assert_close, tolerance

from ntref import Kernel, batch, load_kernel, save_kernel, stax
from ntref.predict import gp_inference, gradient_descent_mse_ensemble
from ntref.stax import (
    Aggregate, AvgPool, Conv, ConvLocal, ConvTranspose, Dense, DotGeneral, Dropout, Erf, FanInConcat, FanInProd,
    FanInSum, FanOut, Flatten, GlobalAvgPool, GlobalSelfAttention, GlobalSumPool, Identity, ImageResize, Index,
    LayerError, LayerNorm, MaskedArray, Relu, Slice, SumPool, parallel, repeat, serial, unmask_fn)

TABLES = numpy.load(Path(__file__).parent / 'golden' / 'kernels_masked.npz')
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
    whole = net.kernel_fn(x1, x2, NTK, mask_constant=constant, **given)
    assert all(numpy.array_equal(getattr(whole, name), getattr(k, name)) for name in NTK)
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
        init_fn, apply_fn, trace = net.init_fn, staticmethod(unmask_fn(net.apply_fn)), net.trace
    return Unmasked


N, n = 192, 400
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
