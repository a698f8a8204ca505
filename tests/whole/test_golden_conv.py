"""Convolutional kernels against tables of Neural Tangents 0.6.5, by each way through the code.

Origin of the tables, and what is known to be wrong in them: golden/README.md.
"""
import json
from functools import cache

import architectures
import mpmath as mp
import numpy
import pytest
from kinds import to_kind
from places import golden

from ntref import stax
from ntref.stax import (
    AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Erf, Flatten, GlobalAvgPool, GlobalSumPool, ImageResize, Index,
    LayerNorm, Relu, Slice, SumPool, serial)

TABLES = golden('kernels_conv')

RTOL = 1e-13            # relative to the largest entry of a table; they differ by 2e-15
RTOL_DIAGONAL = 1e-7    # NTK at equal positions of equal inputs behind a kink, where theirs has lost half its digits
DIGITS = 1e-13          # ours against 50 digits; they differ by 3e-16
FEW = 1e-12             # theirs is further off than this, else it would not be an exception


# ------------------------------------------------------------------ the networks

def conv(shape, strides=(1, 1), padding='SAME', W_std=1.2, b_std=.3, layer=Conv, out_chan=16, **keywords):
    return layer(out_chan, shape, strides, padding, W_std, b_std, **keywords)


def flat(*layers, **keywords):
    return serial(*layers, Flatten(), Dense(1, **keywords))


def pooled(*layers):
    return serial(*layers, GlobalAvgPool(), Dense(1))


def two_convolutions(padding, strides):
    return conv((3, 2), padding=padding), Relu(), conv((2, 2), strides, padding, .9, .1)


def square(W_std=1., b_std=None):
    return conv((3, 3), W_std=W_std, b_std=b_std), Relu()


def averages(**keywords):
    return flat(*square(), AvgPool((3, 3), (2, 2), 'SAME', **keywords))


LINE = dict(dimension_numbers=('NWC', 'WIO', 'NWC'))
VOLUME = dict(dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'))
FIRST = dict(dimension_numbers=('NCHW', 'OIHW', 'NCHW'))
STANDARD = dict(parameterization='standard')
PADDINGS = 'SAME', 'VALID', 'CIRCULAR'
START = conv((3, 2)), Relu()

FLAT = {                # only equal positions matter
    **{f'conv_flat_{p.lower()}': flat(*two_convolutions(p, (2, 1)), Erf()) for p in PADDINGS},
    'conv_standard': flat(conv((3, 2), **STANDARD), Relu(), conv((2, 2), out_chan=24, **STANDARD), Relu(), **STANDARD),
    'conv_transpose': flat(conv((2, 2), (2, 1)), Relu(), conv((3, 2), (2, 2), 'SAME', .9, .1, ConvTranspose), Relu()),
    'conv_dense_no_flatten': flat(*START, Dense(8, 1.1, .2), Relu()),
    'conv_index': flat(*START, Index(Slice[:, 1:4, ::2]), Conv(4, (2, 2)), Relu()),
}

PAIRED = {
    **{f'conv_gap_{p.lower()}': pooled(*two_convolutions(p, (1, 2)), Relu()) for p in PADDINGS},
    'conv_avgpool': pooled(*[*square(1.4, .1), AvgPool((2, 2), (2, 2))] * 2),
    'conv_sumpool_same': serial(*square(1.4, .1), SumPool((3, 2), (2, 1), 'SAME'), Conv(16, (2, 2)), Relu(),
                                GlobalSumPool(), Dense(10)),
    'conv_avgpool_same_norm': averages(normalize_edges=True),
    'conv_avgpool_same_nonorm': averages(),
    'conv_nchw': flat(conv((3, 2), **FIRST), Relu(), AvgPool((2, 2), channel_axis=1)),
    'conv_local': pooled(conv((3, 2), padding='VALID', layer=ConvLocal), Relu(),
                         conv((2, 2), (2, 1), 'SAME', .9, .1, ConvLocal), Relu()),
    'conv_seq1d': pooled(conv((3,), (1,), **LINE), Relu(), conv((2,), (2,), 'VALID', **LINE), Erf()),
    'conv_vol3d': pooled(conv((2, 2, 3), (1, 1, 1), **VOLUME), Relu()),
    'conv_layernorm_spatial': pooled(conv((3, 2)), LayerNorm((1, 2, 3)), Relu(), conv((3, 2)), LayerNorm((3,)), Relu()),
    'conv_raw_output': serial(conv((3, 2), (2, 1)), Relu(), Conv(4, (2, 2), b_std=.1)),
    'conv_resize_bilinear': flat(*START, conv((2, 2), W_std=1.1, b_std=.2), Relu(),
                                 ImageResize((-1, 4, 7, -1), 'bilinear')),
    'wide_resnet': architectures.wide_resnet(1),
    'myrtle5': architectures.myrtle((1, 1, 1)),
}

NETWORKS = FLAT | PAIRED
WEAK = {name for name in FLAT if name != 'conv_flat_valid'}         # whose diagonal theirs has to half its digits

KINDS = {
    'sq': ('conv_avgpool', 'conv_sumpool_same', 'conv_avgpool_same_norm', 'conv_avgpool_same_nonorm', 'wide_resnet',
           'myrtle5'),
    'img_nchw': ('conv_nchw',), 'seq': ('conv_seq1d',), 'vol': ('conv_vol3d',)}

WAYS = {
    'tiles': dict(get=('nngp', 'ntk')),
    'all pairs of positions, in tiles': dict(get=('nngp', 'ntk'), diagonal_spatial=False),
    'the whole kernel': {},
    'the whole kernel, all pairs of positions': dict(diagonal_spatial=False),
}


def samples(name, inputs):
    """x1, x2 (None for '11')."""
    kind = next((kind for kind, names in KINDS.items() if name in names), 'img')
    return TABLES[f'inputs/{kind}/0'], TABLES[f'inputs/{kind}/1'] if inputs == '12' else None


@cache
def kernels(name, inputs, way):
    """K and Theta, x1 against x2 ('12') or x1 alone ('11')."""
    return NETWORKS[name].kernel_fn(*samples(name, inputs), **WAYS[way])


def on_diagonal(shape):
    return numpy.eye(*shape[:2]).astype(bool)


# ------------------------------------------------------------------ Neural Tangents

def test_there_is_a_network_for_each_table_and_a_table_for_each_network():
    keys = {f'{name}/{inputs}/{get}' for name in NETWORKS for inputs in ('12', '11') for get in ('nngp', 'ntk')}
    assert keys == {key for key in TABLES.files if not key.startswith('inputs/')}


@pytest.mark.parametrize('get', ['nngp', 'ntk'])
@pytest.mark.parametrize('inputs', ['12', '11'])
@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('name', NETWORKS)
def test_table(name, way, inputs, get):
    table, ours = TABLES[f'{name}/{inputs}/{get}'], getattr(kernels(name, inputs, way), get)
    assert ours.shape == table.shape and ours.dtype == table.dtype
    error = abs(ours - table) / abs(table).max()
    if inputs == '11' and get == 'ntk' and name in WEAK:
        diagonal = on_diagonal(table.shape)
        assert FEW < error[diagonal].max() < RTOL_DIAGONAL
        error = error[~diagonal]
    assert error.max() < RTOL


# ------------------------------------------------------------------ 50 digits

@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('name', FLAT)
def test_inputs_with_themselves_at_50_digits(name, way):
    """What the tables do not have: the same network on numbers of mpmath."""
    x, _ = samples(name, '11')
    with mp.workdps(50):
        for i, ours in enumerate(kernels(name, '11', way).ntk.diagonal()):
            exact, = NETWORKS[name].kernel_fn(to_kind('mpmath', x[i:i + 1]), get='ntk').ravel()
            assert abs(mp.mpf(float(ours)) - exact) < DIGITS * exact


# ------------------------------------------------------------------ other ways to the same numbers

@pytest.mark.parametrize('name', FLAT)
def test_equal_positions_are_enough(name):
    """They are what is computed, if nothing else is asked for."""
    for inputs in '12', '11':
        asked = NETWORKS[name].kernel_fn(*samples(name, inputs), get=('nngp', 'ntk'), diagonal_spatial=True)
        assert all(map(numpy.array_equal, kernels(name, inputs, 'tiles'), asked))


def test_equal_positions_of_outputs_with_positions():
    k, net = kernels('conv_raw_output', '12', 'tiles'), NETWORKS['conv_raw_output']
    own = net.kernel_fn(*samples('conv_raw_output', '12'), get=('nngp', 'ntk'), diagonal_spatial=True)
    for pairs, equal in zip(k, own, strict=True):
        assert abs(numpy.einsum('nmiijj->nmij', pairs) - equal).max() < RTOL * equal.max()


@pytest.mark.parametrize('name', NETWORKS)
def test_round_trip_through_json(name):
    net = NETWORKS[name]
    again = stax.from_spec(json.loads(json.dumps(net.to_spec())))
    assert repr(again) == repr(net)
    for inputs in '12', '11':
        theirs = again.kernel_fn(*samples(name, inputs), **WAYS['tiles'])
        assert all(map(numpy.array_equal, kernels(name, inputs, 'tiles'), theirs))
