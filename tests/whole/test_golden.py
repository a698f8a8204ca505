"""Fully connected kernels against tables of Neural Tangents 0.6.5, and against 50 digits where those are not enough.

Origin of the tables, and what is known to be wrong in them: golden/README.md.
"""
import json
from functools import cache

import mpmath as mp
import numpy
import pytest
import reference
from autograd import numpy as anp
from places import golden

from ntref import stax
from ntref.stax import (
    ABRelu, Abs, Cos, Dense, Dropout, ElementwiseNumerical, Erf, Exp, ExpNormalized, FanInConcat, FanInProd, FanInSum,
    FanOut, Gabor, Gaussian, Gelu, Hermite, Identity, LayerNorm, LeakyRelu, Monomial, Polynomial, Rbf,
    RectifiedMonomial, Relu, Sigmoid_like, Sign, Sin, parallel, repeat, serial)

TABLES = golden('kernels_fc')

RTOL = 1e-13            # relative to the largest entry of a table; they differ by 3e-15
RTOL_DIAGONAL = 1e-7    # NTK at equal inputs behind a kink, where theirs has lost half its digits
DIGITS = 1e-14          # ours against 50 digits, each entry relative to the largest it could be


# ------------------------------------------------------------------ the networks

def tanh(z):
    return anp.tanh(z)


def two_hidden_layers(activation):
    return serial(Dense(64, 1.3, .2), activation, Dense(64, 1.3, .2), activation, Dense(3, .9, .1))


def deep(activation, w, b):
    return serial(*[Dense(64, w, b), activation] * 12, Dense(3, .9, .1))


def residual():
    branch = serial(Relu(), Dense(32, 1.1, .2))
    block = serial(FanOut(2), parallel(branch, Identity()), FanInSum())
    return serial(Dense(32, 1.5, .1), block, block, Relu(), Dense(1))


def standard(readout_bias, *s):
    s = s or [(1, 1)] * 3
    last = Erf() if readout_bias is None else Relu()
    w_b = (128, 1.4, .3), (256, 1.1, .2), (3, .7, readout_bias)
    first, second, third = (Dense(*a, parameterization='standard', s=pair) for a, pair in zip(w_b, s))
    return serial(first, Relu(), second, last, third)


KINKED = {
    'fc_relu': two_hidden_layers(Relu()),
    'fc_relu_nostab': two_hidden_layers(Relu(do_stabilize=False)),
    'fc_leaky': two_hidden_layers(LeakyRelu(.3)),
    'fc_abs': two_hidden_layers(Abs()),
    'fc_abrelu': two_hidden_layers(ABRelu(-.5, 1.7)),
    'fc_deep_relu': deep(Relu(), 2 ** .5, 0.),
    'fc_standard': standard(None),
    'fc_standard_s': standard(.5, (1, 2), (2, 3), (3, 1)),
    'fc_nobias': serial(Dense(8, 1.4), Relu(), Dense(1)),
    'fc_cn': serial(Dense(8, 1.4, .1, 1, 0), Relu(), Dense(1, 1., .2, 1, 0)),
    'fc_layernorm': serial(Dense(8, 1.4, .2), LayerNorm(), Relu(), Dense(8, 1.2, .1), LayerNorm(), Erf(), Dense(1)),
    'fc_dropout': serial(Dense(8, 1.4, .2), Relu(), Dropout(.7), Dense(8, 1.2, .1), Relu(), Dense(1)),
    'fc_resnet': residual(),
    'fc_repeat': serial(Dense(16, 1.5, .1), repeat(serial(Relu(), Dense(16, 1.2, .1)), 5), Erf(), Dense(1)),
    'fc_fanin_concat': serial(
        Dense(32, 1.5, .1), FanOut(2), parallel(serial(Relu(), Dense(48, 1.1, .2)), serial(Erf(), Dense(16, .8, .1))),
        FanInConcat(-1), Dense(16, 1.2, .2), Relu(), Dense(1)),
    'fc_fanin_prod': serial(
        FanOut(2), parallel(serial(Dense(32, 1.1, .2), Relu()), serial(Dense(32, .8, .1), Sin())),
        FanInProd(), Dense(1)),
}

SMOOTH = {
    'fc_erf': two_hidden_layers(Erf()),
    'fc_erf_abc': two_hidden_layers(Erf(1.2, .7, .3)),
    'fc_sigmoid_like': two_hidden_layers(Sigmoid_like()),
    'fc_gelu': two_hidden_layers(Gelu()),
    'fc_sin': two_hidden_layers(Sin()),
    'fc_sin_abc': two_hidden_layers(Sin(.8, 1.4, .5)),
    'fc_cos': two_hidden_layers(Cos(1.1, .9, -.2)),
    'fc_rbf': two_hidden_layers(Rbf(.7)),
    'fc_gaussian': two_hidden_layers(Gaussian(1., -.6)),
    'fc_exp': two_hidden_layers(Exp(.9, .4)),
    'fc_exp_normalized': two_hidden_layers(ExpNormalized(.8, .1)),
    'fc_gabor': two_hidden_layers(Gabor()),
    'fc_sign': two_hidden_layers(Sign()),
    'fc_hermite3': serial(Dense(64), LayerNorm(), Hermite(3), Dense(3, .9, .1)),
    'fc_monomial2': two_hidden_layers(Monomial(2)),
    'fc_monomial3': two_hidden_layers(Monomial(3)),
    'fc_polynomial': two_hidden_layers(Polynomial((.3, -.5, .2, .1))),
    'fc_identity': two_hidden_layers(Identity()),
    'fc_deep_erf': deep(Erf(), 1.6, .1),
}

FUNCTIONS = {'fc_numerical_tanh': two_hidden_layers(ElementwiseNumerical(tanh, deg=40))}    # hold a Python function

ALL_NAN = {                                                                                 # nothing to compare with
    'fc_rect_monomial0': two_hidden_layers(RectifiedMonomial(0)),
    'fc_rect_monomial2': two_hidden_layers(RectifiedMonomial(2)),
}

NETWORKS = KINKED | SMOOTH | FUNCTIONS | ALL_NAN
COMPARED = KINKED | SMOOTH | FUNCTIONS
WRITTEN = KINKED | SMOOTH | ALL_NAN


@cache
def kernels(name, inputs, net=None):
    """K and Theta, x1 against x2 ('12') or x1 alone ('11')."""
    x1, x2 = samples(name)
    return (net or NETWORKS[name]).kernel_fn(x1, x2 if inputs == '12' else None, ('nngp', 'ntk'))


def samples(name):
    kind = 'cn' if name == 'fc_cn' else 'fc'
    return TABLES[f'inputs/{kind}/0'], TABLES[f'inputs/{kind}/1']


# ------------------------------------------------------------------ Neural Tangents

def test_there_is_a_network_for_each_table_and_a_table_for_each_network():
    keys = {f'{name}/{inputs}/{get}' for name in NETWORKS for inputs in ('12', '11') for get in ('nngp', 'ntk')}
    assert keys == {key for key in TABLES.files if not key.startswith('inputs/')}


@pytest.mark.parametrize('get', ['nngp', 'ntk'])
@pytest.mark.parametrize('inputs', ['12', '11'])
@pytest.mark.parametrize('name', COMPARED)
def test_table(name, inputs, get):
    table, ours = TABLES[f'{name}/{inputs}/{get}'], getattr(kernels(name, inputs), get)
    assert ours.shape == table.shape and ours.dtype == table.dtype
    rtol = numpy.full(table.shape, RTOL)
    if inputs == '11' and get == 'ntk' and name in KINKED:
        rtol[numpy.diag_indices(len(rtol))] = RTOL_DIAGONAL
    assert (abs(ours - table) <= rtol * abs(table).max()).all()


@pytest.mark.parametrize('name', ALL_NAN)
def test_tables_that_are_nan_are_finite_here(name):
    for inputs in ('12', '11'):
        for get, ours in kernels(name, inputs)._asdict().items():
            assert numpy.isnan(TABLES[f'{name}/{inputs}/{get}']).all() and numpy.isfinite(ours).all()


# ------------------------------------------------------------------ 50 digits

@pytest.mark.parametrize('name', WRITTEN)
def test_the_same_networks_at_50_digits(name):
    """One row of x1 against x2, and of x1 against itself: the diagonal entry, where the tables are weak, and others."""
    x1, x2 = (x.T if name == 'fc_cn' else x for x in samples(name))
    for inputs, right in ('12', x2), ('11', x1):
        ours = kernels(name, inputs)
        for j, y in enumerate(right):
            truth = reference.kernel(WRITTEN[name].to_spec(), x1[0], y, same=inputs == '11' and j == 0)
            for value, exact, scale in zip((ours.nngp[0, j], ours.ntk[0, j]), (truth.k, truth.t), truth.scales):
                assert abs(mp.mpf(float(value)) - exact) <= DIGITS * scale


# ------------------------------------------------------------------ as text

@pytest.mark.parametrize('name', WRITTEN)
def test_round_trip_through_json(name):
    net = NETWORKS[name]
    again = stax.from_spec(json.loads(json.dumps(net.to_spec())))
    assert repr(again) == repr(net)
    for inputs in '12', '11':
        for ours, theirs in zip(kernels(name, inputs), kernels(name, inputs, again), strict=True):
            assert numpy.array_equal(ours, theirs)


@pytest.mark.parametrize('name', FUNCTIONS)
def test_python_functions_are_no_json(name):
    with pytest.raises(ValueError, match='ElementwiseNumerical'):
        NETWORKS[name].to_spec()
