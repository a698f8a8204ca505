"""GlobalSelfAttention: tables of Neural Tangents, literal sums over positions, finite networks, and what it refuses.

Kinds of arrays, derivatives, shapes and symmetry: test_positions.py, test_gradients.py, test_contracts.py. Origin of
the tables: golden/README.md.
"""
import json
from functools import cache
from itertools import product
from math import e

import brute
import mpmath as mp
import numpy
import pytest
from finite import LEVEL, chance, check_mean, draws, empirical_ntk, second_moment
from kinds import to_kind
from pixels import before, draw
from places import golden
from refusals import no_input_kernel, refusal
from tolerances import assert_close

from ntref import stax
from ntref.stax import (
    AttentionMechanism, Conv, Dense, Erf, Flatten, GlobalAvgPool, GlobalSelfAttention, LayerError, PositionalEmbedding,
    Relu, serial)

TABLES = golden('kernels_attention')
MECHANISMS, EMBEDDINGS = ('SOFTMAX', 'IDENTITY', 'ABS', 'RELU'), ('NONE', 'SUM', 'CONCAT')
STDS = dict(W_key_std=1.1, W_value_std=.9, W_query_std=1.3, W_out_std=1.2)


def attention(*arguments, out=4, **keywords):
    return GlobalSelfAttention(out, 5, 3, 2, *arguments, **keywords)


# ------------------------------------------------------------------ Neural Tangents

RTOL = 1e-13            # relative to the largest entry of a table; they differ by 2e-15
RTOL_DIAGONAL = 1e-11   # NTK of equal inputs behind a kink, where theirs has lost some digits: off by 5e-12
DIGITS = 1e-14          # ours against 50 digits


def between(tail, **keywords):
    layer = GlobalSelfAttention(n_chan_out=8, n_chan_key=8, n_chan_val=8, n_heads=2, **keywords)
    return serial(Conv(16, (3, 2), (1, 1), 'SAME', 1.2, .3), Relu(), layer, Relu(), tail, Dense(1))


NETWORKS = {
    'attn_linear': between(GlobalAvgPool(), W_key_std=1.1, W_value_std=.9, W_query_std=1.2, W_out_std=1.3, b_std=.2),
    'attn_sqrt': between(GlobalAvgPool(), linear_scaling=False, attention_mechanism='IDENTITY', W_key_std=1.1,
                         W_value_std=.9, W_query_std=1.1, W_out_std=1.3, b_std=.2),
    'attn_linear_flat': between(Flatten()),
    'attn_identity': between(GlobalAvgPool(), attention_mechanism=AttentionMechanism.IDENTITY),
    'attn_relu': between(GlobalAvgPool(), attention_mechanism='relu'),
    'attn_pos_concat': between(GlobalAvgPool(), pos_emb_type='CONCAT', pos_emb_decay_fn=lambda x: 1 / (1 + x ** 2),
                               W_pos_emb_std=.8),
    'attn_pos_sum': between(GlobalAvgPool(), pos_emb_type=PositionalEmbedding.SUM, W_pos_emb_std=.8),
}
WAYS = {'by name': dict(get=('nngp', 'ntk')), 'the whole kernel': {}}


def test_there_is_a_network_for_each_table_and_a_table_for_each_network():
    keys = {f'{name}/{inputs}/{get}' for name in NETWORKS for inputs in ('12', '11') for get in ('nngp', 'ntk')}
    assert keys == {key for key in TABLES.files if key.startswith('attn')}


@cache
def kernels(name, inputs, way):
    x1, x2 = (TABLES[f'inputs/img/{i}'] for i in (0, 1))
    return NETWORKS[name].kernel_fn(x1, x2 if inputs == '12' else None, **WAYS[way])


@pytest.mark.parametrize('get', ['nngp', 'ntk'])
@pytest.mark.parametrize('inputs', ['12', '11'])
@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('name', NETWORKS)
def test_table(name, way, inputs, get):
    table, ours = TABLES[f'{name}/{inputs}/{get}'], getattr(kernels(name, inputs, way), get)
    assert ours.shape == table.shape and ours.dtype == table.dtype
    error = abs(ours - table) / abs(table).max()
    if inputs == '11' and get == 'ntk':
        assert error.diagonal().max() < RTOL_DIAGONAL
        error = error[~numpy.eye(*table.shape, dtype=bool)]
    assert error.max() < RTOL


@pytest.mark.parametrize('name', ['attn_linear', 'attn_identity', 'attn_sqrt'])
def test_inputs_with_themselves_at_50_digits(name):
    """Where the tables are not exact."""
    with mp.workdps(50):
        exact, = NETWORKS[name].kernel_fn(to_kind('mpmath', TABLES['inputs/img/0'][:1]), get='ntk').ravel()
        for way in WAYS:
            assert abs(mp.mpf(float(kernels(name, '11', way).ntk[0, 0])) - exact) < DIGITS * exact


FINITE = {
    'softmax': attention(out=3, b_std=.4, **STDS),
    'abs, sum': attention(out=3, attention_mechanism='ABS', pos_emb_type='SUM', W_pos_emb_std=.7, **STDS),
    'relu, concat': attention(out=3, attention_mechanism='RELU', pos_emb_type='CONCAT', n_chan_pos_emb=3,
                              W_pos_emb_std=.7, **STDS),
    'softmax, square root, values see positions': attention(
        False, out=3, pos_emb_type='CONCAT', n_chan_pos_emb=3, val_pos_emb=True, b_std=.4, **STDS),
    'identity, square root': attention(False, out=3, attention_mechanism='IDENTITY', pos_emb_type='SUM',
                                       val_pos_emb=True, **STDS),
}


@pytest.mark.parametrize('name', FINITE)
def test_finite_networks_with_their_parameters(name):
    """What a Monte Carlo test cannot see: the order of heads, of inputs and embeddings, and of the parameters."""
    x, z = TABLES['finite/x'], TABLES[f'finite/{name}/z']
    params = tuple(TABLES[key] if (key := f'finite/{name}/{i}') in TABLES else () for i in range(6))
    shape, ours = FINITE[name].init_fn(1, x.shape)
    assert shape == z.shape and [numpy.shape(p) for p in ours] == [numpy.shape(p) for p in params]
    assert_close(FINITE[name].apply_fn(params, x), z, 'kinds: apply', abs(z).max())


# ------------------------------------------------------------------ sums over positions

DECAYS = {'none': {}, 'exp': dict(pos_emb_decay_fn=lambda d: e ** -d, val_pos_emb=True, b_std=.4),
          'inverse': dict(pos_emb_decay_fn=lambda d: 1 / (1 + d), pos_emb_p_norm=1),
          'between': dict(pos_emb_decay_fn=lambda d: 1 / (1 + d), pos_emb_p_norm=1.5, val_pos_emb=True)}
OPTIONS = [dict(linear_scaling=linear, attention_mechanism=mechanism, pos_emb_type=embedding, W_pos_emb_std=.7,
                **(dict(n_chan_pos_emb=3) if embedding == 'CONCAT' and decay == 'inverse' else {}), **DECAYS[decay])
           for linear, mechanism in [*product([True], MECHANISMS), (False, 'IDENTITY')]
           for embedding in EMBEDDINGS for decay in (DECAYS if embedding != 'NONE' else ['none'])]


class Described:
    """A network by its spec, which may have functions in it."""

    def __init__(self, spec):
        self.to_spec = lambda: spec


def check_sums(x1, x2, *layers):
    """Against tests/truth/brute.py: whole, by name, of one set of inputs and of two."""
    specs = [layer if isinstance(layer, dict) else layer.to_spec() for layer in layers]
    net = serial(*(GlobalSelfAttention(**{k: v for k, v in layer.items() if k != 'layer'}) if isinstance(
        layer, dict) else layer for layer in layers))
    for x in (x2, None):
        expected = brute.kernel(Described({'layer': 'serial', 'layers': specs}), x1, x)
        brute.assert_state(net.kernel_fn(x1, x), expected)
        brute.assert_named(net.kernel_fn(x1, x, ('nngp', 'ntk')), expected)


def described(**keywords):
    return dict(layer='GlobalSelfAttention', n_chan_out=4, n_chan_key=5, n_chan_val=3, n_heads=2, **STDS, **keywords)


@pytest.mark.parametrize('options', OPTIONS, ids=lambda o: ' '.join(
    f'{v:.3}' if isinstance(v, float) else '' if callable(v) else str(v) for v in o.values()))
def test_sums_over_positions(options, rng):
    """On the input, where Theta = 0, and behind a hidden layer, whose channels are counted by CONCAT."""
    x1, x2 = draw(rng, 3, 2)
    check_sums(x1, x2, described(**options))
    check_sums(x1, x2, before(2), described(**options), Erf(), Dense(3, 1.1, .2))


@pytest.mark.parametrize('sizes', [(5,), (1,), (1, 1), (2, 1, 2)], ids=str)
@pytest.mark.parametrize('options', [dict(pos_emb_type='SUM', **DECAYS['exp']), dict(
    linear_scaling=False, attention_mechanism='IDENTITY', pos_emb_type='CONCAT')], ids=['linear', 'square root'])
def test_any_number_of_axes(sizes, options, rng):
    check_sums(*draw(rng, *sizes), before(len(sizes)), described(**options))


def test_an_input_without_positions_has_one(rng):
    """Softmax over it is 1: two Dense layers. Also after a pool."""
    x1, x2 = rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
    for x in (x2, None):
        k = attention(b_std=.3, **STDS).kernel_fn(x1, x)
        dense = serial(Dense(4, .9), Dense(4, 1.2, .3)).kernel_fn(x1, x)
        for name in ('nngp', 'ntk', 'cov1'):
            assert_close(getattr(k, name), getattr(dense, name), 'value', 10.)
        assert k.shape1 == (3, 4) and k.is_gaussian
    for options in dict(), dict(pos_emb_type='SUM'), dict(linear_scaling=False, attention_mechanism='IDENTITY'):
        check_sums(x1, x2, described(**options))
    check_sums(*draw(rng, 3, 2), before(2), GlobalAvgPool(), described(attention_mechanism='ABS'))
    shape, params = attention().init_fn(1, (3, 4))
    assert shape == (3, 4) and attention().apply_fn(params, x1).shape == (3, 4)


@pytest.mark.parametrize('batch, channel', [(0, 1), (3, 0), (1, 2)])
def test_axes(batch, channel, rng):
    x1, x2 = (numpy.moveaxis(x, (0, -1), (batch, channel)) for x in draw(rng, 3, 2))
    axes = dict(batch_axis=batch, channel_axis=channel)
    net = attention(pos_emb_type='SUM', b_std=.3, **STDS, **axes)
    brute.assert_state(net.kernel_fn(x1, x2), brute.kernel(net, x1, x2, batch, channel))
    shape, params = net.init_fn(1, x1.shape)
    last = attention(pos_emb_type='SUM', b_std=.3, **STDS)
    moved = tuple(numpy.moveaxis(p, (batch, channel), (0, -1)) if numpy.ndim(p) == 4 else p for p in params)
    z = last.apply_fn(moved, numpy.moveaxis(x1, (batch, channel), (0, -1)))
    assert_close(numpy.moveaxis(net.apply_fn(params, x1), (batch, channel), (0, -1)), z, 'value', abs(z).max())


def test_by_hand():
    """x = (1, 2), one channel. K = x x^T; ABS: zeta = K, and zeta x = 5 x; square root: D = 25."""
    x = numpy.array([[[1.], [2.]]])
    K = numpy.array([[1., 2.], [2., 4.]])
    k = attention(attention_mechanism='ABS', W_out_std=2.).kernel_fn(x, get=('nngp', 'ntk'))
    assert_close(k.nngp[0, 0], 100 * K, 'value', 100.)
    assert_close(k.ntk[0, 0], 200 * K, 'value', 100.)
    k = attention(False, attention_mechanism='IDENTITY', b_std=3.).kernel_fn(x, get=('nngp', 'ntk'))
    assert_close(k.nngp[0, 0], 25 * K + 9, 'value', 100.)
    assert_close(k.ntk[0, 0], 100 * K + 9, 'value', 100.)
    k = attention().kernel_fn(x, get='nngp')
    means = [(1 + 2 * e) / (1 + e), (1 + 2 * e ** 2) / (1 + e ** 2)]           # weights e^(i j)
    assert_close(k[0, 0], numpy.outer(means, means), 'value', 4.)
    k = attention(attention_mechanism='IDENTITY', pos_emb_type='SUM', W_pos_emb_std=2.).kernel_fn(x, get='ntk')
    out = (K + 4 * numpy.eye(2)) @ [1., 2.]
    assert_close(k[0, 0], 2 * numpy.outer(out, out), 'value', 200.)


def test_softmax_of_large_numbers():
    """The largest alone counts; exp(1e4) would overflow."""
    x = 100 * numpy.array([[[1., 0.], [0., 1.5]]])
    assert_close(attention().kernel_fn(x, get='nngp')[0, 0], numpy.diag([1., 2.25]) * 5000, 'value', 1e4)


def test_zero_and_equal_inputs(rng):
    """Of zeros nothing but the bias; of equal inputs, and of inputs with equal positions, equal entries, gap 0."""
    x = rng.standard_normal((3, 2, 2, 2))
    x[1], x[2] = 0, x[0]
    x = numpy.concatenate([x, x[:1]])
    x[3, 1, 1] = x[3, 0, 1]
    for options in dict(), dict(attention_mechanism='RELU'), dict(linear_scaling=False, attention_mechanism='IDENTITY'):
        net = serial(attention(b_std=.3, **options), Relu(), Dense(3))
        k = attention(b_std=.3, **options).kernel_fn(x)
        assert (k.nngp[1] == .3 ** 2).all() and (k.nngp[0] == k.nngp[2]).all()
        for get in (None, ('nngp', 'ntk')):
            k = net.kernel_fn(x, get=get)
            assert numpy.isfinite(k.nngp).all() and numpy.isfinite(k.ntk).all()
            own = numpy.einsum('nnhhww->nhw', k.ntk)
            assert_close(numpy.einsum('nnhhww->nhw', k.nngp) * 0 + own, own, 'value', own.max())
            across = numpy.einsum('nhhww->nhw', k.ntk[range(4), [2, 1, 0, 3]])      # an input and its copy
            assert_close(across, own, 'same', own.max())
            assert_close(k.ntk[3, 3, 1, 0, 1, 1], own[3, 1, 1], 'same', own.max())  # two positions that are alike


# ------------------------------------------------------------------ as text

def test_names_in_any_case_and_enums():
    assert [m.name for m in AttentionMechanism] == [m.value for m in AttentionMechanism] == list(MECHANISMS)
    assert [m.name for m in PositionalEmbedding] == [m.value for m in PositionalEmbedding] == list(EMBEDDINGS)
    nets = [attention(attention_mechanism=a, pos_emb_type=b) for a, b in (
        ('abs', 'sum'), ('ABS', 'SUM'), (AttentionMechanism.ABS, PositionalEmbedding.SUM))]
    assert nets[0] == nets[1] == nets[2]
    assert repr(nets[0]) == "GlobalSelfAttention(4, 5, 3, 2, attention_mechanism='ABS', pos_emb_type='SUM')"
    c = numpy.array([[-1., 0., 2.]])
    for name, expected in zip(MECHANISMS, (numpy.exp(c) / numpy.exp(c).sum(), c, abs(c), [[0., 0., 2.]])):
        assert_close(AttentionMechanism[name].fn()(c), numpy.array(expected), 'value')


def test_as_json():
    for net in NETWORKS.values():
        if 'pos_emb_decay_fn' not in repr(net):
            assert stax.from_spec(json.loads(json.dumps(net.to_spec()))) == net
    message = refusal(LayerError, NETWORKS['attn_pos_concat'].to_spec)
    assert message.startswith('GlobalSelfAttention(8, ') and 'expected pos_emb_decay_fn to be a number' in message


# ------------------------------------------------------------------ finite networks

IMAGE = 2, 3, 2, 2
WIDE = Conv(256, (2, 1), None, 'SAME', 1.3, .4)         # embeddings are nearly orthogonal to many channels alone

LINEAR = [GlobalSelfAttention(200, 400, 50, 4, True, .9, 1.1, 1.2, 1.3, .4, mechanism) for mechanism in MECHANISMS] + [
    serial(WIDE, GlobalSelfAttention(200, 256, 50, 4, True, .9, 1.1, 1.2, 1.3, .4, 'SOFTMAX', *embedding))
    for embedding in [('SUM', 2, lambda d: 1 / (1 + d), None, .8), ('SUM', 2, None, None, .8, True),
                      ('CONCAT', 1, lambda d: 1 / (1 + d), 200, 1.2), ('CONCAT', 1, None, 200, .8, True)]]
SQUARE_ROOT = [GlobalSelfAttention(200, 32, 16, 64, False, .9, 1.1, 1.2, 1.3, .4, 'IDENTITY')] + [
    serial(WIDE, GlobalSelfAttention(200, 16, 16, 64, False, .9, 1.1, 1.2, 1.3, .4, 'IDENTITY', *embedding))
    for embedding in [('SUM', 2, lambda d: 1 / (1 + d), None, .8), ('CONCAT', 2, None, 200, 1.2, True)]]


@pytest.mark.parametrize('net', LINEAR, ids=repr)
def test_finite_networks(net, rng):
    x = rng.standard_normal(IMAGE)
    check_mean(draws(second_moment, net, x, rng, 120), net.kernel_fn(x, get='nngp'), .12)


@pytest.mark.parametrize('net', SQUARE_ROOT, ids=repr)
def test_finite_networks_of_many_heads(net, rng):
    x = rng.standard_normal(IMAGE)
    check_mean(draws(second_moment, net, x, rng, 120), net.kernel_fn(x, get='nngp'), .2)


def test_other_kernels_do_not_pass(rng):
    """Of softmax over the first position, without the embeddings, and of embeddings that values see."""
    x, net = rng.standard_normal(IMAGE), LINEAR[4]
    samples = draws(second_moment, net, x, rng, 120)
    layer = dict(linear_scaling=True, W_key_std=.9, W_value_std=1.1, W_query_std=1.2, W_out_std=1.3, b_std=.4)
    for embedding in dict(), dict(pos_emb_type='SUM', W_pos_emb_std=.8), dict(
            pos_emb_type='SUM', pos_emb_decay_fn=lambda d: 1 / (1 + d), W_pos_emb_std=.8, val_pos_emb=True):
        other = serial(WIDE, GlobalSelfAttention(200, 256, 50, 4, **layer, **embedding))
        assert chance(samples, other.kernel_fn(x, get='nngp')) < LEVEL


NARROW = Conv(96, (2, 1), None, 'SAME', 1.3, .4)
TANGENT = [serial(NARROW, *between, GlobalSelfAttention(1, *arguments)) for between, arguments in [
    ((Relu(),), (96, 64, 2, True, .9, 1.1, .8, 1.3, .4)),
    ((Erf(),), (96, 64, 2, True, .9, 1.1, .8, 1.3, .4, 'SOFTMAX', 'SUM', 2, lambda d: 1 / (1 + d), None, .8, True)),
    ((Erf(),), (96, 64, 2, True, .9, 1.1, .8, 1.3, None, 'RELU', 'CONCAT', 1, None, 64)),
    ((Erf(),), (8, 8, 32, False, .9, 1.1, .8, 1.3, .4, 'IDENTITY')),
    ((Erf(),), (8, 8, 32, False, .9, 1.1, .8, 1.3, .4, 'IDENTITY', 'CONCAT', 1, None, 48, 1.2))]]


@pytest.mark.parametrize('net', TANGENT, ids=repr)
def test_tangent_kernel(net, rng):
    x = rng.standard_normal((2, 2, 2, 2))
    check_mean(draws(empirical_ntk, net, x, rng, 60), net.kernel_fn(x, get='ntk'), .25)


# ------------------------------------------------------------------ what it refuses

X = numpy.ones((3, 5, 4, 2))


@pytest.mark.parametrize('build, error, parts', [
    (lambda: GlobalSelfAttention(0, 5, 3, 2), ValueError, ['n_chan_out', '>= 1', 'got 0']),
    (lambda: GlobalSelfAttention(4, 2.5, 3, 2), ValueError, ['n_chan_key', 'whole number', 'got 2.5']),
    (lambda: GlobalSelfAttention(4, 5, -3, 2), ValueError, ['n_chan_val', 'got -3']),
    (lambda: GlobalSelfAttention(4, 5, 3, 0), ValueError, ['n_heads', 'got 0']),
    (lambda: attention(pos_emb_type='SUM', n_chan_pos_emb=0), ValueError, ['n_chan_pos_emb', 'got 0']),
    (lambda: attention(attention_mechanism='max'), ValueError, ['SOFTMAX, IDENTITY, ABS, RELU', "'max'"]),
    (lambda: attention(attention_mechanism=None), ValueError, ['attention_mechanism', 'None']),
    (lambda: attention(attention_mechanism=PositionalEmbedding.SUM), ValueError, ['attention_mechanism']),
    (lambda: attention(pos_emb_type='ADD'), ValueError, ['NONE, SUM, CONCAT', "'ADD'"]),
    (lambda: attention(pos_emb_type=None), ValueError, ['pos_emb_type', 'NONE, SUM, CONCAT', 'None']),
    (lambda: attention(pos_emb_p_norm=0), ValueError, ['pos_emb_p_norm > 0', 'got 0']),
    (lambda: attention(pos_emb_decay_fn=.5), TypeError, ['pos_emb_decay_fn', 'function', '0.5']),
    (lambda: attention(1.1), TypeError, ['linear_scaling', 'True or False', '1.1']),
    (lambda: attention(val_pos_emb='CONCAT'), TypeError, ['val_pos_emb', 'True or False', "'CONCAT'"]),
    (lambda: attention(W_key_std=float('nan')), ValueError, ['W_key_std', 'finite'])])
def test_arguments(build, error, parts):
    message = refusal(error, build)
    assert message.startswith('GlobalSelfAttention') and all(part in message for part in parts), message


def test_heads_need_not_divide_channels(rng):
    """Numbers of channels are those of one head."""
    x = rng.standard_normal((2, 3, 2))
    shape, params = GlobalSelfAttention(5, 7, 4, 3).init_fn(1, x.shape)
    assert [numpy.shape(p) for p in params] == [(0,), (3, 2, 7), (3, 2, 4), (12, 5), (0,), (0,)] and shape == (2, 3, 5)
    kernels = [GlobalSelfAttention(*n).kernel_fn(x, get='ntk') for n in ((5, 7, 4, 3), (1, 1, 1, 1))]
    assert (kernels[0] == kernels[1]).all()


@pytest.mark.parametrize('mechanism', ['SOFTMAX', 'ABS', 'RELU'])
def test_no_closed_form(mechanism, monkeypatch):
    """Before anything is computed; the finite network works."""
    monkeypatch.setattr(stax.plan, 'input_kernel', no_input_kernel)
    monkeypatch.setattr(stax.plan, 'in_parts', no_input_kernel)
    net = serial(Conv(3, (2, 2)), attention(False, attention_mechanism=mechanism), Relu())
    for get in (None, 'nngp', 'ntk'):
        message = refusal(NotImplementedError, net.kernel_fn, X, get=get)
        assert message.startswith('GlobalSelfAttention(4, 5, 3, 2, False') and 'linear_scaling=True' in message
        assert mechanism in message and "attention_mechanism='IDENTITY'" in message and 'apply_fn' in message
    shape, params = net.init_fn(1, X.shape)
    assert net.apply_fn(params, X).shape == shape == (3, 4, 3, 4)


REFUSED = [
    (serial(Dense(3), attention(pos_emb_type='SUM', n_chan_pos_emb=4)),
     ['layer 1, GlobalSelfAttention(', 'n_chan_pos_emb to be 3', '(3, 5, 4, 3)', 'got 4', "'CONCAT'"]),
    (serial(Dense(3), attention(channel_axis=1)), ['layer 1, ', 'axes 0 and 1', 'on 0 and 3', '(3, 5, 4, 3)']),
]


@pytest.mark.parametrize('net, parts', REFUSED, ids=[repr(net) for net, _ in REFUSED])
def test_networks(net, parts, monkeypatch):
    monkeypatch.setattr(stax.plan, 'input_kernel', no_input_kernel)
    monkeypatch.setattr(stax.plan, 'in_parts', no_input_kernel)
    for get in (None, 'nngp'):
        message = refusal(LayerError, net.kernel_fn, X, get=get)
        assert message.startswith(parts[0]) and all(part in message for part in parts), message


def test_equal_positions_are_not_enough(monkeypatch):
    layer, x = attention(), X
    aligned = Conv(3, (2, 2)).kernel_fn(x, diagonal_spatial=True)
    message = refusal(LayerError, serial(Relu(), layer).kernel_fn, aligned)
    assert message.startswith(f'layer 1, {layer!r}: expected a Kernel with covariances between positions')
    message = refusal(LayerError, serial(Dense(3), layer).kernel_fn, x, diagonal_spatial=True)
    assert message.startswith(f'layer 1, {layer!r}: expected diagonal_spatial=None or False')


def test_parameters_of_other_inputs():
    net = serial(Relu(), attention(pos_emb_type='CONCAT', b_std=1.))
    params = net.init_fn(1, X.shape)[1]
    assert net.apply_fn(params, X).shape == (3, 5, 4, 4)
    for shape, part in ((3, 5, 4, 3), '(2, 6, 5)'), ((3, 5, 3, 2), '(1, 5, 3, 2)'):
        message = refusal(LayerError, net.apply_fn, params, numpy.ones(shape))
        assert message.startswith('layer 1, GlobalSelfAttention(') and f'weights of shape {part}' in message, message


def test_decays_that_are_no_covariance():
    """The finite network has no such embeddings; K' is a covariance all the same where only weights depend on them."""
    x = numpy.random.default_rng(0).standard_normal((2, 6, 5, 2))
    options = dict(pos_emb_type='SUM', pos_emb_decay_fn=lambda d: 1 / (1 + d * d))
    parts = 'pos_emb_decay_fn to be a covariance', 'got -0.143, with 3.8', 'lambda d: 1 / (1 + d)'
    net = serial(Dense(2), attention(**options))
    messages = [refusal(LayerError, net.apply_fn, net.init_fn(1, x.shape)[1], x)]
    for more in dict(val_pos_emb=True), dict(linear_scaling=False, attention_mechanism='IDENTITY'):
        wrong = serial(Dense(2), attention(**options, **more))
        messages += [refusal(LayerError, wrong.kernel_fn, x, get=get) for get in (None, 'nngp')]
    for message in messages:
        assert message.startswith('layer 1, GlobalSelfAttention(') and all(p in message for p in parts), message
    k = net.kernel_fn(x, get='nngp')
    eigenvalues = numpy.linalg.eigvalsh(k.transpose(0, 2, 4, 1, 3, 5).reshape(60, 60))
    assert eigenvalues.min() > -1e-12 * eigenvalues.max()


@pytest.mark.parametrize('decay, parts', [
    (lambda d: 1., ['finite number for each', '(20, 20)', 'got 1.0']),
    (lambda d: d[0], ['finite number for each', '(20, 20)']),
    (lambda d: d * numpy.inf ** (d > 10), ['finite number for each', '(20, 20)', 'inf'])])
def test_decays_that_are_no_functions_of_the_distance(decay, parts):
    for get in (None, 'ntk'):
        message = refusal(LayerError, attention(pos_emb_type='CONCAT', pos_emb_decay_fn=decay).kernel_fn, X, get=get)
        assert message.startswith('GlobalSelfAttention(') and all(part in message for part in parts), message
