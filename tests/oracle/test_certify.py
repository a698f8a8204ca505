"""Certified kernels: against 120 digits by other formulas, and with what they have to refuse or to doubt.

The bound comes from a comparison, so each thing that a comparison may not see has a test: doubles in formulas, numbers
of nodes, wrong formulas of activations.
"""
import warnings
from contextlib import nullcontext
from importlib import import_module
from itertools import product

import mpmath
import numpy
import pytest
import reference
import reference_conv
from activations import KINKED, MP, exact, given_u, plane
from examples import ANYWHERE, FEATURES, NETWORKS, POSITIONS
from mpmath import mp

from ntref import stax
from ntref.arrays import namespace
from ntref.oracle import certify
from ntref.oracle.shaken import shaken
from ntref.stax import (
    AvgPool, Conv, Dense, Elementwise, ElementwiseNumerical, Erf, FanInConcat, FanInSum, FanOut, Flatten, Gelu,
    GlobalAvgPool, Hermite, LayerNorm, LeakyRelu, Polynomial, Relu, Sin, parallel, serial)
from ntref.testing import laid_out

BOTH = 'nngp', 'ntk'
certifying = import_module('ntref.oracle.certify')          # the function has the name of its module
certified = import_module('ntref.oracle.certified')
SERIES = {'Tanh', 'Sigmoid', 'Softplus', 'Swish', 'Mish'}
X = numpy.array([[.5, .25, -1.], [1., .5, .1], [.5, .25, -1.], [-.5, -.25, 1.], [.5, .25, -1 + 2e-12], [0., 0., 0.]])
"""Coinciding, opposite and nearly coinciding inputs, and zero."""


# ------------------------------------------------------------------ the digits are right

DENSE = {
    'relu': serial(*[Dense(8, 1.1, .3), Relu()] * 3, Dense(1, 1.2)),
    'leaky': serial(Dense(8, 1.1), LeakyRelu(.3), Dense(8, .7), LeakyRelu(-.2), Dense(1)),
    'erf': serial(*[Dense(8, 1.7, .3), Erf(.7, 1.3, .2)] * 2, Dense(1)),
    'gelu before a kink': serial(Dense(8, 1.1, .3), Gelu(), Dense(8), Relu(), Dense(1)),
    'norm': serial(Dense(8, 1.1, .3), LayerNorm(eps=.1), Relu(), Dense(1)),
    'polynomials': serial(Dense(8, .9, .1), Polynomial((.3, -.5, .2)), Dense(8), Hermite(3), Dense(1)),
    'waves': serial(Dense(8, 1.9, .1), Sin(1.1, .9, .3), Dense(1)),
    'branches': serial(Dense(8, 1.1, .3), FanOut(3), parallel(
        serial(Relu(), Dense(8, .7)), Dense(3, .3), Dense(9)), FanInConcat(), Dense(8), Relu(), Dense(1)),
}


@pytest.mark.parametrize('proof', [True, False])
@pytest.mark.parametrize('name', DENSE)
def test_against_120_digits(name, proof):
    net = DENSE[name]
    for found in (certify(net, X, get=BOTH, digits=40, proof=proof),
                  certify(net, X[:2], X, BOTH, digits=40, proof=proof)):
        for c in found:
            assert c.digits == c.asked == 40 and c.proved == proof
            for i, j in numpy.ndindex(c.values.shape):
                state = reference.kernel(net.to_spec(), X[i], X[j], same=False)
                with mp.workdps(120):
                    error = abs(c.values[i, j] - (state.k if c.name == 'nngp' else state.t))
                    assert error <= c.bound[i, j] <= 1e-40 * max(abs(c.values[i, j]), 1e-30)


IMAGES = {
    'pool before a kink': serial(Conv(8, (2,), None, 'SAME', 1.1, .3), Relu(), AvgPool((2,), None, 'SAME'),
                                 Conv(8, (2,), b_std=.2), Relu(), Flatten(), Dense(1)),
    'edges': serial(stax.ConvTranspose(8, (3,), (2,), 'SAME', 1.1, .3), Erf(), AvgPool((3,), (2,), 'SAME', True),
                    stax.ConvLocal(8, (2,), None, 'CIRCULAR', 1.2), Gelu(), stax.SumPool((2,)), GlobalAvgPool()),
    'attention': serial(Dense(8, 1.3, .4), Erf(), stax.GlobalSelfAttention(
        8, 8, 8, 2, True, .9, 1.2, .8, 1.1, .3, pos_emb_type='SUM', W_pos_emb_std=.7), Erf(), stax.GlobalSumPool()),
}


@pytest.mark.parametrize('name', IMAGES)
def test_images_against_120_digits(name, proof=None):
    """Behind a pool gaps are recovered by subtraction: half of the working digits are lost where images coincide."""
    net = IMAGES[name]
    a = numpy.array([[[.5], [-1.], [.25]], [[1.], [.75], [-.5]]])
    b = numpy.stack([a[0], a[1] + 1e-9])
    for c in certify(net, a, b, BOTH, proof=proof):
        assert c.digits == 30 and c.proved == (proof is None)
        for i, j in product(range(2), repeat=2):
            truth = reference_conv.kernel(net.to_spec(), a[i], b[j]).at()[BOTH.index(c.name)]
            with mp.workdps(120):
                assert abs(c.values[i, j] - truth) <= c.bound[i, j] <= 1e-30 * abs(truth)


def test_wrong_formulas_are_not_seen_by_the_comparison_but_here():
    """Every activation has a formula of its own here, or an integral: the comparison takes formulas as they are."""
    ours = {name for name in stax.__all__ if isinstance(getattr(stax, name), type)
            and hasattr(getattr(stax, name), 'dual')}
    independent = {*reference.REFERENCE, *(layer.name for layer in (*KINKED, *MP))}
    assert ours - independent == {'Elementwise', 'ElementwiseNumerical'}


@pytest.mark.parametrize('layer', MP, ids=repr)
def test_series_against_sums_over_a_plane(layer):
    x = numpy.array([[.25, .0625], [.125, .25]])
    c = certify(serial(Dense(8), layer), x, get='nngp', digits=22)
    with mp.workdps(30):
        q1, q2, k = (mp.fdot(a, b) / 2 for a, b in ((x[0], x[0]), (x[1], x[1]), (x[0], x[1])))
        phi, area = MP[layer], mp.sqrt(q1 * q2 - k * k)
        value = plane(lambda u, v: phi(u) * phi(v), q1, q2, k, area, mp.mpf('.35'), 34)
        assert c.digits == 22 and abs(c.values[0, 1] - value) <= 1e-22 * abs(value)


@pytest.mark.parametrize('layer', KINKED, ids=repr)
def test_kinked_against_integrals_along_a_line(layer):
    """E[phi(u) E[phi(v) | u]], whose inner part is in closed form."""
    x = numpy.array([[1.5, .5], [-.5, 1.]])
    c = certify(serial(Dense(8), layer), x, get=BOTH, digits=20)
    with mp.workdps(25):
        q1, q2, k = (mp.fdot(a, b) / 2 for a, b in ((x[0], x[0]), (x[1], x[1]), (x[0], x[1])))
        sigma, t, inner = mp.sqrt(q1), mp.sqrt(q2 - k * k / q1), given_u(layer)
        kinks = [a / sigma for a in KINKED[layer][2] if abs(a / sigma) < 11]
        ends = sorted({mp.mpf(-11), mp.mpf(11), *kinks})
        cuts = [a + j * (b - a) / 6 for a, b in zip(ends, ends[1:]) for j in range(6)] + [ends[-1]]
        for i, truth in enumerate([mp.quad(
                lambda z: mp.npdf(z) * exact(layer, i, sigma * z) * inner(k / sigma * z, t)[i], cuts) for i in (0, 1)]):
            value = c[0].values[0, 1] if i == 0 else c[1].values[0, 1] / k
            assert abs(value - truth) <= 1e-19 * abs(truth)
    assert min(a.digits for a in c) == 20


# ------------------------------------------------------------------ every layer

def small(net):
    """A series takes a second at small variances, minutes at large ones."""
    last = net.layers[-1] if net.name == 'serial' else net
    return serial(Dense(6, .25), last) if last.name in SERIES else net


SURE = {'serial(Dense(6, 1.3, 0.4), ElementwiseNumerical(cube, 6, d_cube))': 15}
REFUSED = {'serial(Dense(6, 1.3, 0.4), ElementwiseNumerical(smooth))': 'Give deg'}
"""Less than 30 digits: Gauss-Hermite nodes in double precision; adaptive quadrature."""


@pytest.mark.parametrize('net', [net for _, net in NETWORKS], ids=lambda net: repr(net))
def test_every_layer(net, rng):
    is_flat = net in [flat for _, flat in ANYWHERE]
    shape = (2, FEATURES) if is_flat else (1, *POSITIONS, FEATURES)
    x = laid_out(net, rng.integers(-8, 9, shape) / 8)
    if repr(net) in REFUSED:
        with pytest.raises(TypeError, match=REFUSED[repr(net)]):
            certify(net, x)
        return
    sure = SURE.get(repr(net), 30)
    with pytest.warns(UserWarning, match='digits') if sure < 30 else nullcontext():
        found = certify(small(net), x, get=BOTH)
    for c in found:
        assert sure <= c.digits <= 30 and c.values.shape == c.got64.shape == c.got32.shape
        assert c.ulps64.max() < 2 ** 20 and c.got32.dtype == 'float32'


def test_patterns_and_masks(rng):
    P = rng.standard_normal((2, 3, 3))
    net = serial(Dense(8, 1.1, .3), stax.Aggregate(), Dense(8), Erf())
    assert certify(net, rng.standard_normal((2, 3, 2)), pattern=P).digits == 30
    x = rng.standard_normal((2, 3, 2))
    x[1, 2] = 9.
    net = serial(Conv(8, (2,), None, 'SAME', 1.1, .3), Erf(), GlobalAvgPool(), Dense(1))
    for c in certify(net, x, get=BOTH, mask_constant=9.), certify(
            net, stax.MaskedArray(x, x == 9.), get=BOTH), certify(net, x, x[1:], BOTH, mask_constant=9.):
        assert c.ntk.digits == 30 and c.ntk.ulps64.max() < 64
    again = certify(net, numpy.where(x == 9., .1, x), get=BOTH, mask_constant=.1)
    assert (again.ntk.values == certify(net, x, get='ntk', mask_constant=9.).values).all()
    short = net.kernel_fn(x[1:, :2], get='ntk')[0, 0]
    assert abs(c.ntk.float64[1, 0] - short) < 1e-14


# ------------------------------------------------------------------ what the comparison must see

@stax.layer
def Scaled(c):
    """c h, with the square of c as it is written."""
    def kernel_fn(k, **others):
        return k.replace(**{name: None if a is None else c * c * a for name, a in (
            (name, getattr(k, name)) for name in ('nngp', 'ntk', 'cov1', 'cov2'))})
    return lambda rng, shape: (shape, ()), lambda params, x, **others: c * x, kernel_fn


@stax.layer
def Hidden():
    """A double in a formula."""
    def kernel_fn(k, **others):
        return k.replace(**{name: None if a is None else .1 * a for name, a in (
            (name, getattr(k, name)) for name in ('nngp', 'ntk', 'cov1', 'cov2'))})
    return lambda rng, shape: (shape, ()), lambda params, x, **others: x, kernel_fn


def arcsine(k, q1, q2):
    """E[erf erf], with pi as a double."""
    return 2 / numpy.pi * numpy.frompyfunc(mpmath.asin, 1, 1)(2 * k / ((1 + 2 * q1) * (1 + 2 * q2)) ** .5)


@pytest.mark.parametrize('layer', [Hidden(), Elementwise(nngp_fn=lambda k, q1, q2: .1 * k,
                                                         d_nngp_fn=lambda k, q1, q2: 0 * k + .1)], ids=repr)
def test_doubles_in_formulas(layer, monkeypatch):
    net, x = serial(Dense(8), layer), X[:2]
    with pytest.warns(UserWarning, match=r'expected 30 digits, 1[567] are sure.*doubles.*0\.1'):
        c = certify(net, x, get='nngp')
    assert 15 <= c.digits <= 17
    monkeypatch.setattr(certifying, 'shaken', lambda: nullcontext(set()))
    assert certify(net, x, get='nngp').digits == 30                      # falsely: what it is good for


@pytest.mark.parametrize('name', ['Relu', 'Erf', 'Sign', 'Gelu', 'HardTanh'])
def test_pi_as_a_double(name, monkeypatch):
    """Both precisions share it, and agree to all digits."""
    monkeypatch.setattr(namespace(numpy.array([mp.mpf(1)])), 'pi', numpy.pi)
    with pytest.warns(UserWarning, match=r'expected 20 digits, 1[567] are sure.*(3\.14159|6\.28318|0\.31830)'):
        certify(serial(Dense(8), getattr(stax, name)()), X[:2], get='nngp', digits=20, proof=False)


def test_arguments_are_doubles_exactly():
    c = certify(serial(Scaled(.1)), X[:1], get='nngp')
    with mp.workdps(40):
        assert c.digits == 30 and abs(c.values[0, 0] / (mp.mpf(.1) ** 2 * mp.mpf(1.3125) / 3) - 1) < 1e-30


def test_arguments_and_inputs_of_more_digits():
    with mp.workdps(50):
        tenth, third = mp.mpf(1) / 10, mp.mpf(1) / 3
    c = certify(Dense(8, tenth), numpy.array([[third, 1]], dtype=object), get='nngp')
    with mp.workdps(40):
        assert c.digits == 30 and abs(c.values[0, 0] / ((third * third + 1) / 200) - 1) < 1e-30
    assert c.float64[0, 0] == 10 / 9 / 200


def relu(z):
    return numpy.where(z > 0, z, 0 * z)


def step(z):
    return numpy.where(z > 0, 1 + 0 * z, 0 * z)


def test_too_few_nodes_are_not_certified():
    """Gauss-Hermite is some percent off at a kink, in both precisions."""
    net = serial(Dense(8), ElementwiseNumerical(relu, 12, step))
    with pytest.warns(UserWarning, match='expected 30 digits, [01] are sure'):
        c = certify(net, X[:2], get='nngp')
    truth = certify(serial(Dense(8), Relu()), X[:2], get='nngp').values
    assert 1e-4 < (abs(c.values - truth) / c.bound).max() < 10 and c.digits <= 1


def test_digits_that_end():
    """At doubles both computations could agree."""
    layer = Elementwise(nngp_fn=lambda k, q1, q2: k.astype(float), d_nngp_fn=lambda k, q1, q2: 0 * k)
    with pytest.raises(TypeError, match='certify: expected layers that compute with mpmath, got nngp of float|kind'):
        certify(serial(Dense(8), layer), X[:2] / 3, get='nngp')


@pytest.mark.parametrize('f', [lambda x: mpmath.mpf(float(x)), lambda x: mpmath.exp(float(x)),
                               lambda x: x * mpmath.sqrt(.1), lambda x: x + float(x), float])
def test_digits_that_end_and_go_on(f):
    layer = Elementwise(nngp_fn=lambda k, q1, q2: numpy.frompyfunc(f, 1, 1)(k), d_nngp_fn=lambda k, q1, q2: 0 * k)
    with pytest.warns(UserWarning, match='expected 30 digits, 1[4567] are sure'):
        certify(serial(Dense(8), layer), X[:2] / 3, get='nngp')


def test_shaken_moves_long_doubles_and_nothing_else():
    with mp.workdps(30):
        one = mp.mpf(1)
        with shaken() as met:
            assert one * .5 == mp.mpf('.5') and one * 2.25 / 2.25 == 1 and mp.mpf(3.0) == 3 and not met
            for x in .1, numpy.float64(.1), numpy.pi:
                for moved in one * x, x * one, one + x - 1, mp.mpf(x):
                    assert 2 ** -57 < abs(moved / mpmath.mpmathify(float(x)) - 1) < 2 ** -52
            assert mp.exp(.1) != mp.exp(mpmath.mpmathify(.1)) and mp.exp(.5) == mp.exp(mpmath.mpmathify(.5))
            assert met == {.1, numpy.pi} and (one * .1) / (one * .1) == 1 and one * .1 == .1 * one
            assert one * mpmath.mpmathify(.1) == mpmath.mpmathify(.1) and numpy.isnan(float(one * numpy.nan))
        assert one * .1 == mpmath.mpmathify(.1) and mp.mpf(.1) == .1 and mp.exp(.1) == mp.exp(mp.mpf(.1))


# ------------------------------------------------------------------ the result

def test_zeros_and_noise():
    with mp.workdps(80):
        third = mp.mpf(1) / 3
        x = numpy.array([[1, 1, 1], [third, third, mp.mpf(10) ** -45 - 2 * third], [0, 0, 0]], dtype=object)
    c = certify(serial(Dense(8), Erf(), Dense(1)), x, get='nngp')
    assert c.digits == 30 and c.values[0, 1] == c.values[2, 2] == 0 and not c.bound[2].any()
    assert 1e-46 < c.bound[0, 1] < 1e-38 and c.float64[0, 1] == 0
    assert c.ulps64.max() < 4


def test_rounded_to_doubles(rng):
    c = certify(serial(Dense(8, 1.1, .2), Relu(), Dense(1)), rng.standard_normal((5, 3)), get=BOTH)
    for a in c:
        for value, double in zip(a.values.ravel(), a.float64.ravel()):
            with mp.workdps(60):
                assert abs(value - double) <= min(abs(value - float(numpy.nextafter(double, end))) for end in (-9, 9))
        unit = numpy.spacing(abs(a.float64))
        assert abs(a.ulps64 - abs(a.got64 - a.float64) / unit).max() <= .5 + 1e-9
        assert a.got64.dtype == 'float64' and a.got32.dtype == 'float32'


def test_float32_inputs_are_exact_in_both(rng):
    x = rng.standard_normal((3, 3)).astype('float32')
    c = certify(serial(Dense(8), Relu(), Dense(1)), x)
    same = certify(serial(Dense(8), Relu(), Dense(1)), x.astype('float64'))
    assert (same.values == c.values).all() and (same.ulps32 == c.ulps32).all() and same.got32.dtype == 'float32'


def test_forms():
    net, x = serial(Dense(8), Relu(), Dense(1)), X[:3]
    assert certify(net, x).name == 'ntk' and certify(net, x, get=('ntk',))._fields == ('ntk',)
    assert certify(net, x, get=None)._fields == ('nngp', 'ntk', 'cov1')
    assert certify(net, x, x[:1], None)._fields == ('nngp', 'ntk', 'cov1', 'cov2')
    pair = certify(serial(parallel(net, Dense(1)), FanInSum()), [x, x[:, :2]], get='nngp')
    assert pair.values.shape == (3, 3) and pair.digits == 30
    empty = certify(net, x[:0], x)
    assert empty.values.shape == (0, 3) and empty.digits == 30 and 'none' in repr(empty)
    assert certify(net, (8 * x[:2]).astype(int)).got32.dtype == 'float32'


def test_tiles_are_the_whole(rng, monkeypatch):
    x, y = rng.standard_normal((9, 3)), rng.standard_normal((6, 3))
    net = serial(Dense(8), Relu(), stax.Dropout(.5), Dense(1))
    tiled = certify(net, x, get=BOTH), certify(net, x, y, BOTH)
    monkeypatch.setattr(certifying, 'SIDE', 99)
    for a, b in zip(tiled, (certify(net, x, get=BOTH), certify(net, x, y, BOTH))):
        for one, other in zip(a, b):
            assert (one.float64 == other.float64).all() and one.values.shape == other.values.shape


def test_text(rng):
    c = certify(serial(Dense(8), Relu(), Dense(1)), X[:2], digits=12)
    lines = repr(c).splitlines()
    assert lines[0].startswith('ntk (2, 2): 12 digits are proved of 12, |error| <= ') and 'float64 within' in lines[0]
    assert len(lines) == 5 and lines[1].startswith('  0 0  0.4375  +- ')
    assert 'more' in repr(certify(Dense(8), rng.standard_normal((5, 3)))).splitlines()[-1]
    index, value, bound, double, ulps64, ulps32 = next(certified.rows(c))
    assert index == (0, 0) and value == '0.4375' and double == '0.4375' and float(bound) < 1e-20 and float(ulps64) < 4


@pytest.mark.parametrize('change, error, text', [
    (dict(digits=0), ValueError, 'certify: digits is expected to be a whole number >= 1, got 0'),
    (dict(digits=1.5), ValueError, 'got 1.5'), (dict(digits=281), ValueError, 'at most 280 digits, got 281'),
    (dict(get='shape1'), ValueError, "out of .*got 'shape1'"),
    (dict(get={}), TypeError, 'got {}'), (dict(get=(['ntk'],)), TypeError, 'out of'),
    (dict(progress='no'), TypeError, 'certify: progress is expected'),
    (dict(get=()), ValueError, r'got \(\)'), (dict(get=('ntk', 'ntk')), ValueError, 'different'),
    (dict(x1=[[1., 2.]]), ValueError, 'got a list'), (dict(x1='x.npy'), TypeError, 'expected an array'),
    (dict(x1=numpy.array([[numpy.nan]])), ValueError, 'NaN'), (dict(x1=numpy.ones(3)), ValueError, 'batch axis'),
    (dict(x2=numpy.ones((1, 4))), ValueError, 'equal shapes'), (dict(net=Relu()), ValueError, 'Gaussian'),
    (dict(net=serial), TypeError, 'expected a Layer'), (dict(x1=numpy.array([['a']])), TypeError, 'real numbers')])
def test_bad_input(change, error, text):
    with pytest.raises(error, match=text):
        certify(**dict(net=serial(Dense(8), Relu()), x1=X) | change)


def test_many_digits():
    c = certify(serial(Dense(8, 1.1), Relu(), Dense(1)), X[:2], get='nngp', digits=280)
    state = reference.kernel(serial(Dense(8, 1.1), Relu(), Dense(1)).to_spec(), X[0], X[1])
    assert c.digits == 280 and len(c.decimals[0, 1]) > 275
    with mp.workdps(120):
        assert abs(c.values[0, 1] - state.k) <= 1e-118


def test_precision_is_left_as_it_was(rng):
    with mp.workdps(17):
        certify(Dense(8), rng.standard_normal((2, 3)))
        assert mp.dps == 17
    assert '__mul__' not in vars(mp.mpf) and mp.mpf(.1) == .1
    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError), shaken():
        1 / 0
    assert '__new__' not in vars(mp.mpf) and 'convert' not in vars(mp)


def test_progress_and_interruption(rng, capsys, monkeypatch):
    net, x = serial(Dense(8), Relu(), Dense(1)), rng.standard_normal((9, 3))
    certify(net, x, progress=True)
    assert 'kernel' in capsys.readouterr().err
    certify(net, x)
    assert capsys.readouterr().err == ''
    dual = Relu.dual

    def interrupted(self, p):
        if p.k.dtype.hasobject:
            raise KeyboardInterrupt
        return dual(self, p)
    monkeypatch.setattr(Relu, 'dual', interrupted)
    with pytest.raises(KeyboardInterrupt):
        certify(net, x, proof=False)
    assert mp.prec == 53 and '__mul__' not in vars(mp.mpf)


# ------------------------------------------------------------------ would these tests notice?

def same_precision(net, exact, names, asked, guard, progress):
    """Both computations with as many digits as the first: what is lost by subtraction is lost in both."""
    with mpmath.workdps(asked + guard):
        high = certifying._kernels(net, *exact, names, progress)
        return {name: certifying._compared(k, k, asked, guard) for name, k in high.items()}, set()


def hasty(high, low, asked, guard):
    """Twice as many digits as are sure."""
    values, bound, digits = compared(high, low, asked, guard)
    return values, bound, min(asked, 2 * digits)


compared = certifying._compared
MUTANTS = {
    'both at one precision': ('_twice', same_precision,
                              lambda: test_images_against_120_digits('pool before a kink', False)),
    'a bound of nothing': ('_compared', lambda *a: (compared(*a)[0], 0 * compared(*a)[1], a[2]),
                           lambda: test_against_120_digits('relu', False)),
    'twice as many digits': ('_compared', hasty, lambda: test_hidden_double()),
    'doubles as they are': ('shaken', lambda: nullcontext(set()), lambda: test_hidden_double()),
    'arguments moved': ('changed', lambda net, f: serial(Hidden()), lambda: test_arguments_are_doubles_exactly()),
    'the same nodes': ('_at_other_nodes', lambda layer: layer, lambda: test_too_few_nodes_are_not_certified()),
    'zero too early': ('told', lambda high, bound, asked: told(high, 0 * bound, asked), lambda: test_hidden_double()),
    'inputs by way of float32': ('exactly', lambda a, types='biufO': a if a is None else exactly(
        a.astype('float32'), types), lambda: test_against_120_digits('relu', False)),
    'ulps of the largest': ('_ulps', lambda got, values: ulps(got, numpy.full_like(values, abs(values).max())),
                            lambda: test_rounded_to_doubles(numpy.random.default_rng(1))),
}
exactly, told, ulps = certifying.exactly, certifying.told, certified._ulps


def test_hidden_double():
    with pytest.warns(UserWarning, match='digits'):
        certify(serial(Dense(8), Hidden()), X[:2], get='nngp')


@pytest.mark.parametrize('name', MUTANTS)
def test_mutants_are_noticed(name, monkeypatch):
    target, mutant, check = MUTANTS[name]
    check()
    monkeypatch.setattr(certified if target == '_ulps' else certifying, target, mutant)
    with pytest.raises((AssertionError, UserWarning, pytest.fail.Exception)):
        check()


def test_inputs_beyond_float32():
    c = certify(serial(Dense(8, 1.1), Relu(), Dense(1)), 1e150 * X[:2])
    assert c.digits == 30 and numpy.isnan(c.got32).all() and numpy.isinf(c.ulps32).all() and c.got32.dtype == 'float32'
    assert c.got32.shape == (2, 2) and c.ulps64.max() < 64 and 1e299 < c.float64[0, 0] < 1e301
