"""Generic pairs: tiles without gaps, which give way to tiles with them where a pair is not generic; `duals.generic`."""
from contextlib import contextmanager
from unittest import mock

import mpmath
import numpy
import pytest
from tolerances import DTYPES

from ntref import duals
from ntref.duals import fast, generic, pair
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.recursion import tile, tiled
from ntref.stax import (
    Abs, AvgPool, Conv, Dense, Elu, Erf, FanInSum, FanOut, Flatten, Gelu, GlobalAvgPool, HardTanh, Identity, LayerNorm,
    LeakyRelu, Relu, Relu6, Selu, Sign, Sin, Tanh, parallel, serial)

EDGES = generic.MIN_ANGLE, generic.MAX_ANGLE
ANGLES = numpy.linspace(*EDGES, 102)[1:-1]


def at_angles(angles, dtype='float64', q=(1., 4.)):
    """Generic pairs at these angles."""
    k = (q[0] * q[1]) ** .5 * numpy.cos(numpy.asarray(angles))
    q1, q2 = (numpy.full(k.shape, v, dtype) for v in q)
    return Pair(q1, q2, Cov(k.astype(dtype)), True)


# ------------------------------------------------------------------ the forms

def relu_truth(q1, q2, k):
    """K' and slope to 30 digits."""
    with mpmath.workdps(30):
        q1, q2, k = map(mpmath.mpf, map(float, (q1, q2, k)))
        theta = mpmath.acos(k / mpmath.sqrt(q1 * q2))
        slope = (mpmath.pi - theta) / (2 * mpmath.pi)
        return float(mpmath.sqrt(q1 * q2 - k * k) / (2 * mpmath.pi) + slope * k), float(slope)


@pytest.mark.parametrize('dtype', DTYPES)
def test_relu_to_the_last_digits(dtype):
    """K' to an eps of s, and Theta' to the eps / theta that K leaves of the angle."""
    p, eps = at_angles(ANGLES, dtype), numpy.finfo(dtype).eps
    (k, *others), slope = fast.abrelu(p, numpy.ones(len(ANGLES), dtype), 0, 1)
    assert others == [None] * 3 and k.dtype == slope.dtype == dtype
    truth = numpy.array([relu_truth(*v) for v in zip(p.q1, p.q2, p.k)])
    assert (abs(k - truth[:, 0]) <= 2 * eps * 2).all()
    assert (abs(slope - truth[:, 1]) <= 2 * eps * (1 + .16 / numpy.minimum(ANGLES, numpy.pi - ANGLES))).all()


def polynomial(p, norm2):
    cov, slope = duals.polynomial(p, (.3, -.5, .2, .1))
    return Cov(cov.k / norm2), slope / norm2


FORMS = {
    'abrelu': (lambda p, ntk: fast.abrelu(p, ntk, -.3, 1.2), lambda p: duals.abrelu(p, -.3, 1.2)),
    'erf': (lambda p, ntk: generic.erf(p, ntk, 1.3, .8, .2), lambda p: duals.erf(p, 1.3, .8, .2)),
    'gelu': (generic.gelu, duals.gelu),
    'sign': (generic.sign, duals.sign),
    'step': (generic.step, duals.step),
    'square': (lambda p, ntk: generic.rectified_monomial(p, ntk, 2), lambda p: duals.rectified_monomial(p, 2)),
    'power': (lambda p, ntk: generic.rectified_monomial(p, ntk, 5), lambda p: duals.rectified_monomial(p, 5)),
    'sin': (lambda p, ntk: generic.sin(p, ntk, 1.3, .1, .3), lambda p: duals.sin(p, 1.3, .1, .3)),
    'cos': (lambda p, ntk: generic.sin(p, ntk, 1.3, .1, -1.), lambda p: duals.sin(p, 1.3, .1, -1.)),
    'rbf': (lambda p, ntk: generic.rbf(p, ntk, .01), lambda p: duals.rbf(p, .01)),
    'exp': (lambda p, ntk: generic.exp(p, ntk, 1.3, .05), lambda p: duals.exp(p, 1.3, .05)),
    'exp normalized': (lambda p, ntk: generic.exp_normalized(p, ntk, .7, -.3),
                       lambda p: duals.exp_normalized(p, .7, -.3, True)),
    'gaussian': (lambda p, ntk: generic.gaussian(p, ntk, 1.3, -.6), lambda p: duals.gaussian(p, 1.3, -.6)),
    'gabor': (generic.gabor, duals.gabor),
    'polynomial': (lambda p, ntk: generic.polynomial(p, ntk, (.3, -.5, .2, .1), 4), lambda p: polynomial(p, 4)),
    'any': (lambda p, ntk: generic.by_dual(p, ntk, duals.gelu), duals.gelu),
}


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('q', [(1., 4.), (1e-4, 1e-3), (1e3, 2e3)])
@pytest.mark.parametrize('name', FORMS)
def test_forms_are_the_duals(name, q, dtype):
    form, dual = FORMS[name]
    angles = ANGLES[ANGLES > (.5 if q[0] > 100 else 0)]      # where Erf and Gelu see large variances as kinks
    p, exact, eps = at_angles(angles, dtype, q), at_angles(angles, 'float64', q), numpy.finfo(dtype).eps
    cov, slope = dual(Pair(exact.q1, exact.q2, Cov(p.k.astype('float64'))))
    ntk = numpy.linspace(1, 2, len(angles)).astype(dtype)
    before = [a.copy() for a in (p.q1, p.q2, p.k, ntk)]
    (k, *others), theta = form(p, ntk)
    assert others == [None] * 3 and all((a == b).all() for a, b in zip((p.q1, p.q2, p.k, ntk), before))
    assert (abs(k - cov.k) <= 64 * eps * max(abs(cov.k).max(), (q[0] * q[1]) ** .5 * eps)).all()
    assert (abs(theta - slope * ntk) <= 64 * eps * abs(slope * ntk).max()).all()
    assert form(p, None)[1] is None and (form(p, None)[0].k == k).all()


@pytest.mark.parametrize('name', [name for name in FORMS if name not in ('erf', 'gelu')])
@pytest.mark.parametrize('angle, is_refused', [
    (generic.MIN_ANGLE * (1 - 1e-9), True), (generic.MIN_ANGLE * (1 + 1e-9), False),
    (generic.MAX_ANGLE * (1 - 1e-9), False), (generic.MAX_ANGLE * (1 + 1e-9), True),
    (0, True), (numpy.pi, True), (1e-9, True)])
def test_other_pairs_are_refused(name, angle, is_refused):
    p = at_angles([1., angle, 2.])
    if is_refused:
        with pytest.raises(generic.NotGeneric):
            FORMS[name][0](p, None)
    else:
        assert numpy.isfinite(FORMS[name][0](p, None)[0].k).all()


@pytest.mark.parametrize('name', ['erf', 'gelu'])
def test_smooth_forms_refuse_what_they_see_as_kinks(name):
    """Small variances at any angle; large ones beyond MIN_ANGLE only."""
    assert numpy.isfinite(FORMS[name][0](at_angles([0., 1.], q=(.01, .01)), None)[0].k).all()
    with pytest.raises(generic.NotGeneric):
        FORMS[name][0](at_angles([.01, 1.], q=(1e4, 1e4)), None)


SMOOTH = [name for name in FORMS if name not in ('abrelu', 'sign', 'step', 'any')]


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', SMOOTH)
def test_smooth_forms_take_near_pairs_if_k_has_digits(name, dtype):
    """Where the dual takes them from the gap; and opposite ones."""
    form, dual = FORMS[name]
    angles = numpy.array([0., 1e-9, 1e-5, .01, .1, 1., 3.1, numpy.pi])
    p = at_angles(angles, dtype, (.5, .125))
    with pytest.raises(generic.NotGeneric):
        form(Pair(p.q1, p.q2, p.cov, True, False, False), None)
    (k, *others), theta = form(Pair(p.q1, p.q2, p.cov, True, False, True), numpy.ones(8, dtype))
    s, eps = .25, numpy.finfo(dtype).eps
    lack = 2 * s * numpy.sin(angles / 2) ** 2
    cov, slope = dual(Pair(*(q.astype('float64') for q in (p.q1, p.q2)), Cov(s - lack, lack=lack)))
    assert (abs(k - cov.k) <= 32 * eps * abs(cov.k).max()).all()
    assert (abs(theta - slope) <= 32 * eps * abs(slope).max()).all()


@pytest.mark.parametrize('name', ['abrelu', 'sign', 'step', 'any'])
def test_kinks_never_take_near_pairs_from_k_alone(name):
    """Nor does a dual that may have some, however accurate K is."""
    p = at_angles([1., 1e-3])
    with pytest.raises(generic.NotGeneric):
        FORMS[name][0](Pair(p.q1, p.q2, p.cov, True, False, True), None)


@pytest.mark.parametrize('layer', [HardTanh(), Relu6(), Selu(), Elu(), Tanh()], ids=repr)
def test_near_rows_of_functions_without_a_closed_form(layer, rng):
    """In tiles as in one piece: the slope of a kink keeps its digits."""
    x = rng.standard_normal((270, 5))
    x[135:] = x[:135] + 1e-9 * rng.standard_normal((135, 5))
    net = serial(Dense(8, 1.2, .1), layer, Dense(8))
    whole = net.kernel_fn(x)
    k = net.kernel_fn(x, None, ('nngp', 'ntk'))
    for found, expected in (k.nngp, whole.nngp), (k.ntk, whole.ntk):
        assert abs(found - expected).max() <= 4e-15 * abs(expected).max()


def test_a_variable_that_is_constantly_zero_has_no_angle():
    for q1, q2 in (0., 0.), (0., 2.), (2., 0.):
        cov, slope = fast.abrelu(Pair(numpy.array([q1]), numpy.array([q2]), Cov(numpy.array([0.])), True),
                                 numpy.array([1.]), 0, 1)
        assert cov.k == 0 and slope == .25


def test_coincidences_are_refused_without_a_warning():
    for q, k in ((1 / 3, 1 / 3), (.1, .1 * (1 + 2e-16))):
        with pytest.raises(generic.NotGeneric):
            fast.abrelu(Pair(numpy.array([q]), numpy.array([q]), Cov(numpy.array([k])), True), None, 0, 1)


# ------------------------------------------------------------------ networks

@contextmanager
def gaps_from_the_start():
    with mock.patch.object(generic, 'MIN_ANGLE', 3.), mock.patch.object(generic, 'MIN_LACK', 4.):
        yield


def conv(**others):
    return Conv(8, (3, 3), padding='SAME', W_std=2 ** .5, b_std=.1, **others)


NETWORKS = {
    'relu': serial(*[conv(), Relu()] * 3, Flatten(), Dense(1)),
    'pooled': serial(conv(), LeakyRelu(.1), AvgPool((2, 2)), conv(), Abs(), GlobalAvgPool()),
    'smooth': serial(conv(), Erf(), conv(), Gelu(), conv(), Sin(), Flatten()),
    'residual': serial(conv(), FanOut(2), parallel(serial(LayerNorm(), Relu(), conv()), Identity()), FanInSum(),
                       Relu()),
    'jump': serial(conv(), Sign(), conv(), Relu()),
}
ROWS = serial(*[Dense(8, 2 ** .5, .1), Relu(), Dense(8), Erf()] * 2, Dense(1))


def inputs(name, rng, n=3, m=4):
    shape = (5, 4, 3) if name != 'rows' else (30,)
    if name == 'rows':
        n, m = 300, 900                    # more than a tile
    return rng.standard_normal((n, *shape)), rng.standard_normal((m, *shape))


@pytest.mark.parametrize('name', [*NETWORKS, 'rows'])
@pytest.mark.parametrize('alone', [False, True])
def test_the_same_with_and_without_gaps(name, alone, rng):
    net = NETWORKS.get(name, ROWS)
    x, y = inputs(name, rng)
    arguments = (y, None) if alone else (x, y)
    with mock.patch.object(tiled, 'input_tile', wraps=tiled.input_tile) as tile:
        without = net.kernel_fn(*arguments, ('nngp', 'ntk'))
        tried = [call.kwargs['is_generic'] for call in tile.call_args_list if 'is_generic' in call.kwargs]
        assert True in tried and False not in tried
        with gaps_from_the_start():
            with_gaps = net.kernel_fn(*arguments, ('nngp', 'ntk'))
        assert False in [call.kwargs['is_generic'] for call in tile.call_args_list if 'is_generic' in call.kwargs]
    for a, b in zip(without, with_gaps):
        assert (abs(a - b) <= 1e-14 * abs(b).max()).all()


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('net', [serial(*[Dense(8, 2 ** .5, .05), Relu()] * 10, Dense(1)),
                                 serial(*[conv(), Relu()] * 10, Flatten())], ids=['dense', 'conv'])
def test_deep_networks_keep_their_digits(net, dtype, rng):
    shape = (600, 20) if net.layers[0].name == 'Dense' else (6, 5, 5, 3)
    x = rng.standard_normal(shape).astype(dtype)
    whole = net.kernel_fn(x.astype('float64'))
    for name, bound in ('nngp', 8), ('ntk', 32):
        found, expected = net.kernel_fn(x, get=name), getattr(whole, name)
        assert abs(found - expected).max() <= bound * numpy.finfo(dtype).eps * abs(expected).max()


@pytest.mark.parametrize('name', [*NETWORKS, 'rows'])
def test_one_close_pair_brings_the_gaps_back(name, rng):
    """To the last bit what it is with gaps from the start."""
    net = NETWORKS.get(name, ROWS)
    x, y = inputs(name, rng)
    y[1] = x[0] + 1e-8 * y[1]
    found = net.kernel_fn(x, y, ('nngp', 'ntk'))
    with gaps_from_the_start():
        expected = net.kernel_fn(x, y, ('nngp', 'ntk'))
    whole = net.kernel_fn(x, y)
    i = numpy.s_[:1] if name == 'rows' else numpy.s_[:]
    for a, b, c in zip(found, expected, (whole.nngp, whole.ntk)):
        assert (a[i] == b[i]).all()
        assert abs(a - c).max() <= (5e-8 if name in ('pooled', 'jump') else 1e-13) * abs(c).max()


@pytest.mark.parametrize('name', ['relu', 'smooth', 'rows'])
def test_gaps_are_not_computed(name, rng):
    x, y = inputs(name, rng)
    net = serial(*[conv(), Erf(), conv(), Relu(), conv(), Gelu()], Flatten()) if name == 'smooth' else \
        NETWORKS.get(name, ROWS)
    seen = []

    def spy(a, b, demand, original=tile.across):
        seen.append(demand)
        return original(a, b, demand)
    with mock.patch.object(tile, 'across', spy), mock.patch.object(
            pair.Pair, 'gap', property(lambda p: pytest.fail('a gap') if p.is_generic else abs(p.q1 + p.q2 - 2 * p.k))):
        net.kernel_fn(x, y, ('nngp', 'ntk'))
    assert seen and not any(demand.gap or demand.area for demand in seen)


def test_many_tiles_follow_the_first(rng, monkeypatch):
    """Of many tiles the first one says whether the others are tried without gaps; of few each is."""
    net, x, tried = NETWORKS['relu'], rng.standard_normal((12, 4, 4, 2)), []
    monkeypatch.setattr(tiled, 'ENTRIES', 16)                        # a pair, or a row of pairs, in each tile
    original = tiled.input_tile
    monkeypatch.setattr(tiled, 'input_tile', lambda *a, **k: tried.append(k.get('is_generic')) or original(*a, **k))
    for copies in (), (11,):
        x[list(copies)] = x[0]
        for many in 10 ** 6, 3:
            monkeypatch.setattr(tiled, 'WORTH_A_TRY', many)
            tried.clear()
            k = net.kernel_fn(x, get='ntk')
            retried = tried.count(False)
            assert abs(k - net.kernel_fn(x).ntk).max() <= 1e-14 * abs(k).max()
            assert retried == len(copies) or copies and many == 3 and retried > 0
