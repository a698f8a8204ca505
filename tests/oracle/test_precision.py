"""Certificates that hold: in threads, and for functions of the user's that leave mpmath on their way."""
import decimal
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from importlib import import_module
from threading import Event, Thread

import mpmath
import numpy
import pytest
from mpmath import mp
from two_inputs import TwoInputs

from ntref import stax
from ntref.duals.geometry import Cov
from ntref.oracle import certify, precision
from ntref.oracle.definitions import settled
from ntref.oracle.precision import replaced, working
from ntref.oracle.shaken import shaken
from ntref.stax import (
    Dense, Elementwise, ElementwiseNumerical, Erf, FanOut, Gelu, GlobalSelfAttention, LayerNorm, Relu, Sin,
    parallel, serial)
from ntref.stax.layers.nonlinearity import Nonlinearity

BOTH = 'nngp', 'ntk'
X = numpy.array([[.5, .25, -1.], [1., .5, .1]])


# ------------------------------------------------------------------ threads

def numbers(task):
    """All that a certificate says."""
    net, x, get, digits = task
    return [[c.digits, c.values.tolist(), c.bound.tolist(), c.decimals.tolist(), c.float64.tolist(),
             c.ulps64.tolist(), c.ulps32.tolist()] for c in certify(net, x, None, get, digits)]


def is_untouched():
    return (mp.prec, mp.dps, mp.mpf(.1), mpmath.mpf('.1') * 3) == (53, 15, .1, .30000000000000004) and not (
        {'__mul__', '__new__'} & set(vars(mp.mpf)) or 'convert' in vars(mp) or {'prec', 'dps'} & set(vars(type(mp))))


def test_eight_threads_give_what_one_gives(rng):
    layers = Relu(), Erf(), Gelu(), Sin(), LayerNorm(), Relu(), Erf(.7), Elementwise(
        nngp_fn=lambda k, q1, q2: .5 * k * k, d_nngp_fn=lambda k, q1, q2: k)
    tasks = [(serial(Dense(8, 1.1, .2), layer, Dense(1)), rng.standard_normal((3, 2)), BOTH, 12 + 4 * i)
             for i, layer in enumerate(layers)]
    one_by_one = [numbers(task) for task in tasks]
    assert [c[0] for certified in one_by_one for c in certified] == [12 + 4 * (i // 2) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(numbers, tasks)) == one_by_one
    assert is_untouched()


def raising(error):
    def f(k, q1, q2):
        if k.dtype.hasobject:
            raise error
        return k
    return serial(Dense(8), Elementwise(nngp_fn=f, d_nngp_fn=f))


@pytest.mark.parametrize('error', [ValueError('no'), KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_nothing_stays_behind_an_error(error):
    for digits in (30, 50):
        with pytest.raises(type(error)):
            certify(raising(error), X, digits=digits)
        assert is_untouched()
    with ThreadPoolExecutor(1) as other:                                         # nor is the turn kept
        assert other.submit(certify, Dense(8), X).result().digits == 30
    assert is_untouched()


def during(act, net=None):
    """Runs act() in another thread while a kernel is certified; what it gave, and the certificate."""
    started, found = Event(), []

    def f(k, q1, q2):
        if k.dtype.hasobject and not started.is_set():
            started.set()
            other.start()
            other.join(.05)                                                       # as far as it comes
        return k / 3 * k
    other = Thread(target=lambda: found.append(act()))
    c = certify(serial(Dense(8), Elementwise(nngp_fn=f, d_nngp_fn=f)), X, get='nngp')
    other.join()
    return found[0], c


def with_a_precision_of_its_own():
    with mp.workdps(25):
        return mp.prec, mp.sqrt(2)


def for_good():
    mp.dps = 20
    return mp.dps


def by_functions():
    return mp.quad(mp.exp, [0, 1]), mp.besselj(1, 2), mp.prec, mp.dps


@pytest.mark.parametrize('act', [with_a_precision_of_its_own, by_functions, partial(numbers, (Dense(8), X, BOTH, 50))])
def test_other_threads_wait_before_they_set_the_precision(act):
    alone = act()
    found, c = during(act)
    assert found == alone and is_untouched() and c.digits == 30
    with mp.workdps(60):
        k = mp.mpf(.5 * 1 + .25 * .5) / 3 - mp.mpf(.1) / 3
        assert abs(c.values[0, 1] / (k * k / 3) - 1) < mp.mpf(10) ** -39


def test_the_precision_that_another_thread_sets_for_good_is_set():
    try:
        found, c = during(for_good)
        assert (found, mp.dps, c.digits) == (20, 20, 30)
    finally:
        mp.dps = 15
    assert is_untouched()


def test_a_context_of_ones_own_does_not_wait():
    def act():
        own = mpmath.MPContext()
        own.dps = 40
        return own.nstr(own.sqrt(2) * .1, 35)
    assert during(act)[0] == act()


def test_other_threads_meet_doubles_as_they_are():
    with mp.workdps(30), shaken() as met, ThreadPoolExecutor(1) as other:
        assert other.submit(lambda: mp.mpf(.1) == .1 and mp.mpf(1) * .1 == .1 and mp.convert(.1) == .1).result()
        assert not met and mp.mpf(1) * .1 != .1


def left(k, q1, q2):
    if k.dtype.hasobject:
        mp.dps = 15
    return k


def test_a_function_that_leaves_another_precision_is_refused():
    with pytest.raises(RuntimeError, match='leave the precision of mpmath as it is, got 136 bits before and 53 bits'):
        certify(serial(Dense(8), Elementwise(nngp_fn=left, d_nngp_fn=left)), X)
    assert is_untouched()


def test_certificates_within_certificates():
    """As those of an ensemble, in `settled`."""
    def nested(k, q1, q2):
        return k * certify(Dense(8), X[:1], get='nngp', digits=60).values[0, 0] if k.dtype.hasobject else k * .4375
    c = certify(serial(Dense(8), Elementwise(nngp_fn=nested, d_nngp_fn=nested)), X, get='nngp')
    assert c.digits == 30 and is_untouched()
    values, sure = settled(lambda: {'k': certify(Dense(8), X, digits=40, progress=False).values}, 30)
    assert sure == 60 and is_untouched() and values['k'][0, 0] == .4375


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no processes are forked here')
def test_a_process_forked_meanwhile_computes_as_ever():
    def act():
        child = os.fork()
        if not child:
            os._exit(0 if is_untouched() and certify(Dense(8), X).digits == 30 and is_untouched() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)             # of forks beside threads
        assert during(act)[0] == 0 and act() == 0
    with working(40), shaken():
        precision._in_a_child()                                        # its own turn goes on
        assert mp.dps == 40 and mp.mpf(1) * .1 != .1


def test_attributes_come_back_in_any_case():
    class Owner:
        kept = 1
    with pytest.raises(ValueError, match='no'), replaced(Owner, {'kept': 2, 'new': 3}):
        with replaced(Owner, {'kept': 4, 'other': 5}):
            assert (Owner.kept, Owner.new, Owner.other) == (4, 3, 5)
        assert (Owner.kept, Owner.new) == (2, 3) and not hasattr(Owner, 'other')
        raise ValueError('no')
    assert Owner.kept == 1 and not hasattr(Owner, 'new')


# ------------------------------------------------------------------ ways to leave mpmath

def at_15_digits(v):
    with mp.workdps(15):
        return +v


def with_a_root_of_15_digits(v):
    with mp.workdps(15):
        root = mp.sqrt(3)
    return v * root / mp.sqrt(3)


def at_the_bits_of_a_quadruple(v):
    with mp.workprec(113):
        return 1 / (1 / v)


def truncated(v):
    spare = max(0, v.bc - 60)
    return mp.ldexp(v.man >> spare, v.exp + spare)


OWN = mpmath.MPContext()
WAYS = {                    # the identity, all but -> digits that it has at most
    'text': (lambda v: mp.mpf(mp.nstr(v, 15)), 15),
    'text of 6 digits': (lambda v: mp.mpf(mp.nstr(v)), 6),
    'text of 25 digits': (lambda v: mp.mpf(mp.nstr(v, 25)), 25),
    'a format': (lambda v: mp.mpf(f'{float(v):.12e}'), 13),
    'a fraction of a double': (lambda v: mp.mpf(Fraction(float(v)).numerator) / Fraction(float(v)).denominator, 16),
    'a fraction with a limit': (lambda v: fraction(Fraction(mp.nstr(v, 60)).limit_denominator(10 ** 9)), 18),
    'a decimal': (lambda v: mp.mpf(str(+decimal.Decimal(mp.nstr(v, 60)))), 28),
    'a fixed precision': (at_15_digits, 16),
    'a fixed precision in bits': (lambda v: at_the_bits_of_a_quadruple(v) * 1, 34),
    'a constant of fixed precision': (with_a_root_of_15_digits, 16),
    'a constant by way of text': (lambda v: v * mp.mpf(mp.nstr(mp.pi, 17)) / mp.pi, 17),
    'a float': (lambda v: mpmath.mpmathify(float(v)), 16),
    'a float in arithmetic': (lambda v: mp.mpf(1) * float(v), 16),
    'single precision': (lambda v: mpmath.mpmathify(float(numpy.float32(v))), 8),
    'a whole number': (lambda v: mp.mpf(int(v * 10 ** 18)) / 10 ** 18, 19),
    'rounding': (lambda v: mp.nint(v * 10 ** 20) / 10 ** 20, 21),
    'bits': (truncated, 19),
    "mpmath's floats": (lambda v: mpmath.mpmathify(mpmath.fp.mpf(v)), 16),
    'another context': (lambda v: mp.make_mpf((+OWN.mpf(v))._mpf_), 16),
    'bytes': (lambda v: mpmath.mpmathify(float.fromhex(pickle.loads(pickle.dumps(float(v).hex())))), 16),
}
HONEST = {
    'nothing': lambda v: v,
    'a root': lambda v: mp.sqrt(v * v),
    'there and back': lambda v: mp.log(mp.exp(v)),
    'all digits as text': lambda v: mp.mpf(mp.nstr(v, mp.dps + 5)),
    'more digits for a while': lambda v: mp.workdps(60)(lambda: mp.exp(mp.log(v)))(),
    'a decision by a double': lambda v: +v if float(v) > 1e-3 else 1 * v,
    'a kink where it is not met': lambda v: abs(v),
    'a fraction': lambda v: v * Fraction(2, 3).numerator / 2 * 3 / Fraction(2, 3).denominator,
}


def fraction(f):
    return mp.mpf(f.numerator) / f.denominator


def each(f, a):
    return numpy.frompyfunc(f, 1, 1)(a) if a.dtype.hasobject else a


def elementwise(f):
    """K' = f(K / 3) K."""
    return Elementwise(nngp_fn=lambda k, q1, q2: each(f, k / 3) * k, d_nngp_fn=lambda k, q1, q2: 0 * k)


def three_functions(f):
    @stax.layer
    def Own():
        def kernel_fn(k, **others):
            return k.replace(**{name: None if a is None else each(f, a / 3) * a for name, a in (
                (name, getattr(k, name)) for name in ('nngp', 'ntk', 'cov1', 'cov2'))})
        return lambda rng, shape: (shape, ()), lambda params, x, **others: x, kernel_fn
    return Own()


def with_dual(f):
    class Own(Nonlinearity, abstract=True):
        def dual(self, p):
            return Cov(each(f, p.k / 3) * p.k), each(f, p.k / 3)
    return dataclass(frozen=True, repr=False)(Own)()


def with_kernel(f):
    """Of two inputs, their sum."""
    class Own(TwoInputs, abstract=True):
        def kernel(self, k):
            return k[0].map(lambda p, q: Cov(each(f, p.k / 3) * (p.k + q.k) / 2), k[1])
    own = dataclass(frozen=True, repr=False)(Own)()
    return serial(FanOut(2), parallel(stax.Identity(), stax.Identity()), own)


MAKERS = elementwise, three_functions, with_dual, with_kernel


def sure(layer, **given):
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'expected 30 digits')
        return certify(serial(Dense(8), layer), X, get='nngp', **given)


@pytest.mark.parametrize('way', WAYS)
def test_leaving_mpmath_costs_digits(way):
    f, most = WAYS[way]
    truth = sure(elementwise(lambda v: v))
    assert truth.digits == 30
    for maker in MAKERS:
        c = sure(maker(f))
        assert min(most, 30) - 4 <= c.digits <= min(most, 30), (maker, c.digits)
        with mp.workdps(60):
            assert (abs(c.values - truth.values) <= abs(truth.values) * mp.mpf(10) ** -c.digits).all()


def test_without_values_around_it_is_not_seen(monkeypatch):
    monkeypatch.setattr(import_module('ntref.oracle.certify'), 'by_values_around', lambda layer: layer)
    assert sure(elementwise(WAYS['rounding'][0])).digits == 30


@pytest.mark.parametrize('f', [lambda d: mp.mpf(mp.nstr(mp.exp(-d), 17)), lambda d: 1 / (1 + float(mp.sqrt(d)) * d)])
def test_embeddings_that_leave_mpmath(f):
    x = X.reshape(2, 3, 1)
    decay = [lambda d, f=f: numpy.frompyfunc(f, 1, 1)(d) for f in (lambda d: mp.exp(-d), f)]
    nets = [GlobalSelfAttention(4, 4, 4, 1, pos_emb_type='SUM', pos_emb_decay_fn=fn) for fn in decay]
    with pytest.warns(UserWarning, match='expected 30 digits, 1[3-7] are sure'):
        certify(nets[1], x, get='nngp')
    assert certify(nets[0], x, get='nngp').digits == 30


@pytest.mark.parametrize('way', ['text of 6 digits', 'text'])
def test_functions_under_quadrature_that_leave_mpmath(way):
    """Of a cubic polynomial six nodes are enough, in both computations."""
    f, most = WAYS[way]

    def numerical(f):
        return ElementwiseNumerical(lambda z: each(f, z ** 3 / 3), 6, lambda z: z * z)
    truth = sure(numerical(lambda v: v))
    c = sure(numerical(f))
    assert truth.digits >= 15 and c.digits <= min(most, 15)
    with mp.workdps(40):
        error = abs(c.values - truth.values)
        assert (error <= abs(truth.values) * mp.mpf(10) ** -c.digits + truth.bound).all()


@pytest.mark.parametrize('way', HONEST)
def test_functions_that_stay_keep_their_digits(way):
    for maker in MAKERS:
        assert sure(maker(HONEST[way])).digits == 30, maker
