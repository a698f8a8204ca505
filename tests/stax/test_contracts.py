"""What every layer owes: shapes, symmetry, slices, kinds, text, documentation, and agreement with finite networks.

All contracts run over all networks of helpers/examples.py, on inputs (n, channels) and on inputs with two spatial axes,
or on the latter alone.
"""
import inspect
import json
from math import prod
from operator import itemgetter

from examples import (
    ANYWHERE, FEATURES, FUNCTIONS, NETWORKS, NOT_LAYERS, NUMPY_ONLY, POSITIONS, WITHOUT_FINITE_NETWORK, draw,
    examples, has_finite_network, spatial_examples)
import mpmath
import numpy
import pytest
from kinds import to_kind, to_numpy
from tolerances import assert_close

from ntref import stax
from ntref.oracle.shaken import shaken
from ntref.stax import Dense, Erf, LayerNorm, Relu, serial
from ntref.testing import (
    CONTRACTS, axes_of, empirical_ntk, laid_out, ntk_scale, scale, second_moment, taken)
from ntref.testing.check import KERNEL


# ------------------------------------------------------------------ the networks

def on_networks(networks, *positions):
    """Parametrize by networks, with each of the spatial shapes; those that know positions with POSITIONS alone."""
    cases = [pytest.param(net, p, id=f'{name}: {net!r} {p if p else ""}'.strip()) for name, net in networks
             for p in (positions if (name, net) in ANYWHERE else [POSITIONS])]
    return pytest.mark.parametrize('net, positions', cases)


everywhere, flat = on_networks(NETWORKS, (), POSITIONS), on_networks(NETWORKS, ())
each_position_alone = on_networks(ANYWHERE, (), POSITIONS)


# ------------------------------------------------------------------ the table is complete, the layers documented

def test_every_layer_has_examples():
    tables = examples(4), spatial_examples(4)
    assert set(tables[0]) | set(tables[1]) == set(stax.__all__) - NOT_LAYERS and not set(tables[0]) & set(tables[1])
    assert all(tables[0].values()) and all(tables[1].values())


def test_examples_use_the_layer_they_stand_for():
    for name, net in NETWORKS:
        assert f'{name}(' in repr(net), (name, net)


@pytest.mark.parametrize('name', stax.__all__)
def test_docstring(name):
    public = getattr(stax, name)
    doc = inspect.getdoc(public)
    assert doc and doc != inspect.getdoc(stax.Layer) or public is stax.Layer
    assert name in NOT_LAYERS or len(doc.partition('Source\n------\n')[2].strip()) > 5, 'no Source section'


# ------------------------------------------------------------------ the contracts of ntref.testing

@pytest.mark.parametrize('name', [f.__name__ for f in KERNEL if f.__name__ not in ('float32', 'tiles')])
@everywhere
def test_contract(net, positions, name, rng):
    """float32 is one of the kinds below, tiles have files of tests of their own."""
    assert CONTRACTS[name](net, draw(rng, net, 5, positions)) is None


@everywhere
def test_axes_stay(net, positions, rng):
    x = draw(rng, net, 4, positions)
    k = net.kernel_fn(x)
    if net in map(itemgetter(1), ANYWHERE):
        assert (k.batch_axis, k.channel_axis) == tuple(a % x.ndim for a in axes_of(net))
        assert k.nngp.shape == (4, 4, *(n for p in positions for n in (p, p))) and not k.diagonal_spatial
    if not has_finite_network(net):
        with pytest.raises(NotImplementedError, match='without a finite network'):
            net.apply_fn(net.init_fn(1, x.shape)[1], x)


# ------------------------------------------------------------------ positions

@each_position_alone
def test_positions_are_like_further_samples(net, positions, rng):
    """Also of the finite network."""
    x, y = rng.standard_normal((3, *positions, FEATURES)), rng.standard_normal((2, *positions, FEATURES))
    rows = [laid_out(net, a.reshape(-1, FEATURES)) for a in (x, y)]
    k, expected = net.kernel_fn(laid_out(net, x), laid_out(net, y)), net.kernel_fn(*rows)
    m, order = len(positions), [0, 1 + len(positions)]
    order += [1 + i + side * (m + 1) for i in range(m) for side in (0, 1)]
    for name, size in (('nngp', scale(expected)), ('ntk', ntk_scale(expected))):
        wanted, size = (a.reshape(3, *positions, 2, *positions).transpose(order)
                        for a in (getattr(expected, name), size))
        assert_close(getattr(k, name), wanted, 'positions', size)
        if positions:
            pooled = net.kernel_fn(laid_out(net, x), laid_out(net, y), get=name, diagonal_spatial=True)
            assert_close(pooled, numpy.einsum('ijhhww->ijhw', wanted), 'positions', numpy.einsum('ijhhww->ijhw', size))
    if positions and has_finite_network(net):
        params = net.init_fn(1, laid_out(net, x).shape)[1]
        params_flat = net.init_fn(1, rows[0].shape)[1]
        actual, wanted = net.apply_fn(params, laid_out(net, x), rng=2), net.apply_fn(params_flat, rows[0], rng=2)
        assert_close(actual, wanted.reshape(actual.shape), 'kinds: apply', abs(wanted).max())


# ------------------------------------------------------------------ kinds of arrays

def entries(net, kind):
    return not (kind in ('cupy', 'autograd', 'mpmath') and any(text in repr(net) for text in NUMPY_ONLY))


@everywhere
def test_kinds_agree(net, positions, kind, rng):
    if not entries(net, kind) or kind == 'mpmath' and positions and net in map(itemgetter(1), ANYWHERE):
        return
    n, others = (2, 0) if kind == 'mpmath' else (3, 2)                              # each pair takes long
    x, y = draw(rng, net, n, positions), draw(rng, net, others, positions)
    y = numpy.concatenate([y, taken(net, x, slice(1))], axes_of(net)[0])            # one input that coincides
    expected = net.kernel_fn(x, y)
    a, b = to_kind(kind, x), to_kind(kind, y)
    for k in (net.kernel_fn(taken(net, a, slice(1))), net.kernel_fn(a, b)):         # the last is compared
        assert all(type(getattr(k, name)) is type(a + 0) for name in ('nngp', 'ntk', 'cov1'))
        assert all(getattr(k, name).dtype == a.dtype for name in ('nngp', 'ntk', 'cov1'))
    dtype = 'float32' if kind == 'float32' else 'float64'
    assert_close(to_numpy(k.nngp).astype('float64'), expected.nngp, 'kinds: nngp', scale(expected), dtype)
    assert_close(to_numpy(k.ntk).astype('float64'), expected.ntk, 'kinds: ntk', ntk_scale(expected), dtype)
    assert_close(to_numpy(k.cov1).astype('float64'), expected.cov1, 'kinds: nngp', abs(expected.cov1).max(), dtype)
    for given, before in ((a, x), (b, y)):
        assert (to_numpy(given) == before).all(), 'the input was changed'


def converted(kind, params):
    """Nested lists and tuples of parameters as arrays of `kind`."""
    if isinstance(params, (list, tuple)):
        return type(params)(converted(kind, p) for p in params)
    return None if params is None else to_kind(kind, params)


@everywhere
def test_finite_networks_on_all_kinds(net, positions, kind, rng):
    if not has_finite_network(net) or not entries(net, kind) and kind != 'autograd':
        return
    if kind == 'mpmath' and positions and net in map(itemgetter(1), ANYWHERE):
        return
    x = draw(rng, net, 3, positions)
    params = net.init_fn(1, x.shape)[1]
    expected = net.apply_fn(params, x, rng=5)
    a = to_kind(kind, x)
    z = net.apply_fn(converted(kind, params), a, rng=5)
    assert type(z) is type(a + 0) or kind == 'autograd' and 'Sign()' in repr(net)      # autograd knows it is constant
    assert z.dtype == a.dtype
    dtype = 'float32' if kind == 'float32' else 'float64'
    assert_close(to_numpy(z).astype('float64'), expected, 'kinds: apply', max(abs(expected).max(initial=0.), 1.), dtype)
    assert (to_numpy(a) == x).all(), 'the input was changed'


@flat
def test_finite_networks_have_any_number_of_digits(net, positions, rng):
    """No double that may stand for another number, such as 5 ** .5, meets numbers of mpmath."""
    if not has_finite_network(net) or not entries(net, 'mpmath') or 'Elementwise' in repr(net):
        return
    x = draw(rng, net, 2, positions)
    with mpmath.workdps(40):
        params, a = (converted('mpmath', net.init_fn(1, x.shape)[1]), to_kind('mpmath', x))
        exact = net.apply_fn(params, a, rng=5)
        with shaken() as met:
            found = net.apply_fn(params, a, rng=5)
        errors = [abs(u - v) / (abs(v) + 1) for u, v in zip(found.ravel(), exact.ravel())]
        assert max(errors, default=0) < 1e-30, met


@flat
def test_whole_numbers_become_float64(net, positions):
    x = laid_out(net, numpy.arange(3 * prod(positions) * FEATURES).reshape(3, *positions, FEATURES) % 7 - 3)
    for dtype in ('int64', 'int8', 'uint8', 'bool', 'float16'):
        given = (x % 5).astype(dtype)
        k, expected = net.kernel_fn(given), net.kernel_fn(given.astype('float64'))
        assert k.nngp.dtype == k.ntk.dtype == k.cov1.dtype == 'float64'
        assert (k.nngp == expected.nngp).all() and (k.ntk == expected.ntk).all()


@flat
def test_single_and_double_precision_together_are_double(net, positions, rng):
    x, y = draw(rng, net, 3, positions), draw(rng, net, 2, positions)
    k, expected = net.kernel_fn(x.astype('float32'), y), net.kernel_fn(x, y)
    assert k.nngp.dtype == k.ntk.dtype == 'float64' and (k.nngp == expected.nngp).all()


# ------------------------------------------------------------------ no inputs, one input, one feature

@everywhere
def test_empty_batches(net, positions, rng):
    x, none = draw(rng, net, 3, positions), draw(rng, net, 0, positions)
    pairs = net.kernel_fn(x).nngp.shape[2:]
    for arguments, n1, n2 in [((none,), 0, 0), ((none, x), 0, 3), ((x, none), 3, 0)]:
        k = net.kernel_fn(*arguments)
        assert k.nngp.shape == k.ntk.shape == (n1, n2, *pairs) and k.cov1.shape == (n1, *pairs)
        assert k.nngp.dtype == k.ntk.dtype == 'float64'
    if has_finite_network(net):
        assert net.apply_fn(net.init_fn(1, none.shape)[1], none, rng=1).size == 0


@everywhere
def test_one_sample_of_one_feature(net, positions, rng):
    x = numpy.take(draw(rng, net, 1, positions), [0], axes_of(net)[1])
    k = net.kernel_fn(x)
    assert k.nngp.shape[:2] == (1, 1) and numpy.isfinite(k.nngp).all() and numpy.isfinite(k.ntk).all()
    assert (k.nngp[0, 0] == k.cov1[0]).all()


# ------------------------------------------------------------------ networks as text

NAMES = {**{name: getattr(stax, name) for name in stax.__all__}, **{f.__name__: f for f in FUNCTIONS}}


@flat
def test_repr_builds_it_again(net, positions):
    again = eval(repr(net), {'__builtins__': {}}, NAMES)
    assert again == net and type(again) is type(net) and repr(again) == repr(net) and hash(again) == hash(net)


@flat
def test_spec_builds_it_again(net, positions):
    if any(f.__name__ in repr(net) for f in FUNCTIONS):
        with pytest.raises(stax.LayerError, match=r'expected [a-z_]*fn to be a number, text or layer'):
            net.to_spec()
        return
    again = stax.from_spec(json.loads(json.dumps(net.to_spec())))
    assert again == net and type(again) is type(net) and repr(again) == repr(net)


def test_different_networks_are_not_equal():
    texts = {}
    for _, net in NETWORKS:
        texts.setdefault(repr(net), net)
    nets = list(texts.values())
    assert len(nets) > 50 and all((a == b) is (a is b) for a in nets for b in nets)


# ------------------------------------------------------------------ infinite against finite networks

SEEDS, SIGMAS = 64, 5
ALLOWANCE = 2.
"""Times the size of the kernel over the width: what the mean over finite networks may be off by. One hidden layer is
off by nothing; a second nonlinearity, and the mean and variance inside LayerNorm, make terms of order 1 / width."""

X = numpy.array([[1., -.3, .5, .8, -.2], [.4, .9, -.6, .1, .7], [-.9, .5, -.1, -.8, .3]])
FINITE = [pytest.param(i, j, id=f'{name} {j}') for i, (name, nets) in enumerate(examples(6).items())
          for j in range(len(nets)) if name not in WITHOUT_FINITE_NETWORK]


def with_readout(net, m):
    batch, channel = axes_of(net)
    return serial(net, Dense(m, 1.1, .3, batch_axis=batch, channel_axis=channel))


def sampled_nngp(net, x, seeds):
    """One estimate of K for each seed."""
    return [second_moment(net, laid_out(net, x), numpy.random.default_rng(seed)) for seed in seeds]


def sampled_ntk(net, x, seeds):
    """One estimate of Theta for each seed, of a network with one output."""
    net = with_readout(net, 1)
    return [empirical_ntk(net, laid_out(net, x), numpy.random.default_rng(seed)) for seed in seeds]


def off_by(samples, expected, width):
    """Deviation of the mean of `samples` in units of what it may be, each entry; and what it may be."""
    samples = numpy.stack(samples)
    error = samples.std(0, ddof=1) / len(samples) ** .5
    size = numpy.sqrt(numpy.outer(numpy.diag(expected), numpy.diag(expected))) + 1e-300
    allowed = SIGMAS * error + (ALLOWANCE / width + 1e-14) * size
    return (samples.mean(0) - expected) / allowed, allowed / size


HEAVY = 'cube', 'Monomial(3)', 'Hermite(3)', 'RectifiedMonomial(2)', 'FanInProd', 'Dropout(0.5)', 'Exp'
"""Networks whose outputs have heavy tails: more of them are needed, and less can be seen."""


def sampling(net):
    """Width of its layers, number of networks, and the relative error that these must be able to show."""
    heavy, deep = any(text in repr(net) for text in HEAVY), repr(net).count('Dense(') > 1
    return 128 if deep else 512, SEEDS * (8 if heavy else 4 if deep else 1), .2 if heavy else .12


@pytest.mark.parametrize('i, j', FINITE)
@pytest.mark.parametrize('name, sampled', [('nngp', sampled_nngp), ('ntk', sampled_ntk)])
def test_finite_networks_have_this_kernel(i, j, name, sampled):
    width, seeds, visible = sampling(list(examples(6).values())[i][j])
    net = list(examples(width).values())[i][j]
    expected = (net if name == 'nngp' else with_readout(net, 1)).kernel_fn(laid_out(net, X), get=name)
    deviation, allowed = off_by(sampled(net, X, range(seeds)), expected, width)
    assert abs(deviation).max() < 1, deviation
    assert numpy.diag(allowed).min() < visible, f'too few networks to see an error of {visible}: {allowed}'


def test_a_factor_of_a_tenth_is_noticed():
    net, width = serial(Dense(512, 1.3, .4), Relu()), 512
    for samples, k in [(sampled_nngp(net, X, range(SEEDS)), net.kernel_fn(X, get='nngp')),
                       (sampled_ntk(net, X, range(SEEDS)), with_readout(net, 1).kernel_fn(X, get='ntk'))]:
        assert abs(off_by(samples, k, width)[0]).max() < 1
        assert abs(off_by(samples, 1.1 * k, width)[0]).max() > 1 < abs(off_by(samples, k / 1.1, width)[0]).max()


def test_the_wider_the_closer():
    """One network is off by something that falls like 1 / sqrt(width): by 4 from 16 to 256."""
    off = {}
    for width in (16, 256):
        net = serial(Dense(width, 1.3, .4), Relu(), Dense(width, 1.2, .1), Erf())
        expected = with_readout(net, 1).kernel_fn(X, get='ntk')
        off[width] = numpy.sqrt(numpy.mean([(t - expected) ** 2 for t in sampled_ntk(net, X, range(SEEDS))]))
    assert 3 < off[16] / off[256] < 5.3, off


@pytest.mark.parametrize('axis', [(1, -1), (0, 1, 2), (0, -1)])
def test_layer_norm_over_more_than_channels(axis):
    """NNGP by finite networks, with the mean over positions or samples of the variance."""
    x = numpy.stack([X, X[::-1] - .4 * X], 1)
    net = serial(Dense(256, 1.3, .4), LayerNorm(axis))
    k = net.kernel_fn(x)
    samples = []
    for seed in range(SEEDS):
        z = net.apply_fn(net.init_fn(seed, x.shape)[1], x)
        samples.append(numpy.einsum('ihc,jgc->ijhg', z, z) / 256)
    samples = numpy.array(samples)
    allowed = SIGMAS * samples.std(0, ddof=1) / SEEDS ** .5 + 2 * ALLOWANCE / 256
    assert (abs(samples.mean(0) - k.nngp) < allowed).all() and allowed.max() < .1
    alone = Dense(256, 1.3, .4).kernel_fn(x)
    v = numpy.einsum('nhh->nh', alone.cov1)
    v = v.mean(tuple(a for a in range(2) if a in axis), keepdims=True) + 0 * v + 1e-12
    assert_close(k.nngp, alone.nngp / numpy.sqrt(numpy.einsum('ih,jg->ijhg', v, v)), 'value', 1.)
    assert_close(k.ntk, alone.ntk / numpy.sqrt(numpy.einsum('ih,jg->ijhg', v, v)), 'value', 1.)
