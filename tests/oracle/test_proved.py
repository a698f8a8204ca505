"""Proofs by balls: they contain the truth at any precision, decide nothing by a guess, and their formulas of duals are
the integrals that define them, enclosed by Arb."""
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy
import pytest
from mpmath import mp

from ntref import stax
from ntref.arrays import load
from ntref.balls import Ball, Inexact, Undecided, ball, to_mpmath
from ntref.oracle import ball_duals, ball_integrals, certify
from ntref.oracle.certified import nearest
from ntref.oracle.ball_duals import BALL_DUALS, ball_dual
from ntref.oracle.proved import bits, unproved
from ntref.stax import (
    ABRelu, Abs, Conv, Cos, Dense, Elementwise, Elu, Erf, Exp, ExpNormalized, Gabor, Gaussian, Gelu, HardTanh, Hermite,
    LeakyRelu, Mish, Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, Relu6, Selu, Sigmoid, Sigmoid_like, Sign, Sin,
    Softplus, Swish, Tanh, serial)

flint = pytest.importorskip('flint')
arb, acb = flint.arb, flint.acb


def contains(found, truth):
    mid, rad = to_mpmath(found.arb)
    with mp.workdps(200):
        return abs(mid - truth) <= rad


# ------------------------------------------------------------------ balls

FUNCTIONS = 'sqrt exp expm1 log log1p sin cos sinh tanh erf erfcx abs'.split()
TRUTHS = {'abs': abs, 'erfcx': lambda x: mp.exp(x * x) * mp.erfc(x)}


@pytest.mark.parametrize('n', [12, 53, 200])
@pytest.mark.parametrize('name', FUNCTIONS)
def test_balls_contain_the_truth(name, n, rng):
    for x in rng.uniform(.01, 3, 20):
        with bits(n):
            third = ball(float(x)) / 3
            found = getattr(load('flint'), name)(numpy.array([third]))[0]
        with mp.workdps(200):
            assert contains(found, TRUTHS.get(name, getattr(mp, name, None))(mp.mpf(float(x)) / 3))
            assert to_mpmath(found.arb)[1] < mp.mpf(2) ** (12 - n)


@pytest.mark.parametrize('n', [12, 53])
def test_sums_and_products_contain_the_truth(n, rng):
    x, y = rng.standard_normal((2, 40))
    convert = numpy.frompyfunc(lambda v: ball(float(v)), 1, 1)
    with bits(n):
        found = (convert(x) @ convert(y)) / 3 - ball(float(x[0])) ** 3
    with mp.workdps(200):
        a, b = ([mp.mpf(float(v)) for v in side] for side in (x, y))
        assert contains(found, mp.fdot(a, b) / 3 - a[0] ** 3)


def test_no_guesses():
    with bits(53):
        third = ball(1) / 3
        again = 1 - 2 * third
        for compare in ('__lt__', '__le__', '__gt__', '__ge__', '__eq__', '__ne__'):
            with pytest.raises(Undecided, match='expected balls that can be compared'):
                getattr(third, compare)(again)
        assert third < .5 and third > 0 and third != 1 and not third >= 1 and not third == 0 and bool(third)
        assert ball(2) == 2 and ball(2) <= 2 and not ball(2) != 2 and not ball(2) < 2
        xp = load('flint')
        with pytest.raises(Undecided):
            xp.where(numpy.array([third - again]) > 0, 1, 0)


def test_roots_about_zero_are_finite():
    with bits(100):
        nothing = (ball(1) / 3) * 3 - 1
        root = load('flint').sqrt(numpy.array([nothing]))[0]
        assert contains(root, 0) and to_mpmath(root.arb)[1] < 2. ** -47
        assert not load('flint').sqrt(numpy.array([ball(-1)]))[0].arb.is_finite()


def test_doubles_of_many_bits_are_refused():
    with pytest.raises(Inexact, match=r'got the double 0\.1\. Take ball\(0\.1\)'):
        ball(1) * .1
    with pytest.raises(Inexact):
        load('flint').where(numpy.array([True]), numpy.array([.1]), 0)
    assert ball(1) * .5 == .5 and ball(.1) * 2 == .2


def test_precision_is_restored():
    before = flint.ctx.prec
    with pytest.raises(ZeroDivisionError), bits(77):
        assert flint.ctx.prec == 77
        raise ZeroDivisionError
    assert flint.ctx.prec == before


# ------------------------------------------------------------------ formulas are the integrals that define them
#
#     E[f(u) f(v)] = int n(z) f(sigma z) E[f(v) | u = sigma z] dz,   v given u is normal with mean m z and deviation t
#
# f on u >= 0, f on u <= 0, and E[f(m + t y)] are analytic functions of z; beyond LIMIT nothing is left at 40 digits.

LIMIT = 18
REST = 1e-40


def tail(x):
    """P(y < x)."""
    return (-x / acb(2).sqrt()).erfc() / 2


def density(x):
    return (-x * x / 2).exp() / (2 * acb.pi()).sqrt()


def smooth(f, mean):
    return f, f, mean


def power(n):
    """u^n where u >= 0, with its mean given the mean and the deviation, by integration by parts."""
    def mean(m, t):
        last, now = tail(m / t), m * tail(m / t) + t * density(m / t)
        for i in range(1, n):
            last, now = now, m * now + i * t * t * last
        return last if n == 0 else now
    return (lambda u: u ** n if n else acb(1)), (lambda u: acb(0)), mean


def two_sided(a, b, n):
    """a u^n where u < 0, b u^n where u > 0."""
    up, _, mean = power(n)
    return ((lambda u: b * up(u)), (lambda u: a * up(u)),
            lambda m, t: b * mean(m, t) + a * (-1) ** n * mean(-m, t))


def wave(a, b, c):
    return smooth(lambda u: a * (b * u + c).sin(), lambda m, t: a * (b * m + c).sin() * (-b * b * t * t / 2).exp())


def bell(a, b):
    def mean(m, t):
        d = 1 - 2 * b * t * t
        return a * (b * m * m / d).exp() / d.sqrt()
    return smooth(lambda u: a * (b * u * u).exp(), mean)


def polynomial(coef):
    def value(u):
        return sum((c * u ** k for k, c in enumerate(coef)), acb(0))

    def mean(m, t):
        moments = [acb(1), m]
        for k in range(1, len(coef)):
            moments.append(m * moments[k] + k * t * t * moments[k - 1])
        return sum((c * moment for c, moment in zip(coef, moments)), acb(0))
    return smooth(value, mean)


def derived(coef):
    return [k * c for k, c in enumerate(coef)][1:] or [0]


def gelu():
    def mean(m, t):
        s = (1 + t * t).sqrt()
        return m * tail(m / s) + t * t / s * density(m / s)
    return smooth(lambda u: u * tail(u), mean)


def gelu_slope():
    """Phi(u) + u n(u)."""
    def mean(m, t):
        s = (1 + t * t).sqrt()
        return tail(m / s) + m / s ** 3 * density(m / s)
    return smooth(lambda u: tail(u) + u * density(u), mean)


def erf(a, b, c):
    return smooth(lambda u: a * (b * u).erf() + c, lambda m, t: a * (b * m / (1 + 2 * b * b * t * t).sqrt()).erf() + c)


def gabor(shift):
    """exp(-u^2) sin(u), or with the derivative by m its mean: E exp(-v^2 + i v) in closed form."""
    i = acb(0, 1)

    def mean(m, t):
        d = 1 + 2 * t * t
        plus, minus = (((-m * m + s * i * m - t * t / 2) / d).exp() / d.sqrt() for s in (1, -1))
        if not shift:
            return (plus - minus) / (2 * i)
        return ((-2 * m + i) / d * plus - (-2 * m - i) / d * minus) / (2 * i)
    value = (lambda u: (-u * u).exp() * (u.cos() - 2 * u * u.sin())) if shift else (lambda u: (-u * u).exp() * u.sin())
    return smooth(value, mean)


def exponential(a, b):
    return smooth(lambda u: a * (b * u).exp(), lambda m, t: a * (b * m + b * b * t * t / 2).exp())


def number(x):
    return ball(x).arb


def steep_bell(a, b):
    """2 a b u exp(b u^2)."""
    def mean(m, t):
        d = 1 - 2 * b * t * t
        return 2 * a * b * m / d * (b * m * m / d).exp() / d.sqrt()
    return smooth(lambda u: 2 * a * b * u * (b * u * u).exp(), mean)


def rectifier(layer):
    a, b = map(number, layer.slopes)
    slope = (lambda u: acb(b)), (lambda u: acb(a)), lambda m, t: b * tail(m / t) + a * tail(-m / t)
    return two_sided(a, b, 1), slope


def of_erf(a, b, c):
    two = 2 * a * b / arb.pi().sqrt()
    return erf(a, b, c), bell(two, -b * b)


def of_wave(a, b, c):
    return wave(a, b, c), wave(a * b, b, c + arb.pi() / 2)


def of_power(n):
    up, none, mean = power(n - 1) if n else power(0)
    slope = (lambda u: n * up(u)), none, lambda m, t: n * mean(m, t)
    return power(n), slope if n else smooth(lambda u: acb(0), lambda m, t: acb(0))


def of_coefficients(layer):
    norm = number(layer.norm2).sqrt()
    coef = [number(c) / norm for c in layer.coef]
    return polynomial(coef), polynomial(derived(coef))


SMOOTH_ONES = [Tanh(), Sigmoid(), Softplus(), Swish(), Mish()]
BY_INTEGRAL = [HardTanh(), Relu6(), Elu(.5), Elu(-1.5), Selu(), *SMOOTH_ONES]
NOTHING = smooth(lambda u: acb(0), lambda m, t: acb(0))
SIGN = (lambda u: acb(1)), (lambda u: acb(-1)), lambda m, t: tail(m / t) - tail(-m / t)

INTEGRANDS = {                      # layer: (phi, phi'), each as (where u > 0, where u < 0, its mean)
    ABRelu(.3, -.7): rectifier, Relu(): rectifier, LeakyRelu(.2): rectifier, Abs(): rectifier,
    Sign(): lambda layer: (SIGN, NOTHING),
    RectifiedMonomial(0): lambda layer: of_power(0), RectifiedMonomial(1): lambda layer: of_power(1),
    RectifiedMonomial(3): lambda layer: of_power(3),
    Erf(.7, 1.3, .2): lambda layer: of_erf(*map(number, (layer.a, layer.b, layer.c))),
    Sigmoid_like(): lambda layer: of_erf(*map(number, layer.slopes)),
    Gelu(): lambda layer: (gelu(), gelu_slope()),
    Gaussian(.7, -.6): lambda layer: (bell(number(.7), number(-.6)), steep_bell(number(.7), number(-.6))),
    Gabor(): lambda layer: (gabor(False), gabor(True)),
    Sin(1.1, .9, .3): lambda layer: of_wave(*map(number, (1.1, .9, .3))),
    Cos(1.1, .9, .3): lambda layer: of_wave(number(1.1), number(.9), number(.3) + arb.pi() / 2),
    Rbf(.7): lambda layer: of_wave(arb(2).sqrt(), (2 * number(.7)).sqrt(), arb.pi() / 4),
    Exp(.8, .6): lambda layer: (exponential(number(.8), number(.6)), exponential(number(.8) * number(.6), number(.6))),
    Polynomial((.3, -.5, .2, .1)): of_coefficients, Monomial(3): of_coefficients, Hermite(4): of_coefficients,
}


def enclosed(parts, q, r, k):
    """Return the ball of the integral for variances q, r and the covariance k of balls, |k| < sqrt(q r)."""
    up, down, mean = parts
    sigma = q.sqrt()
    m = k / sigma
    t = acb((r - k * k / q).sqrt())
    total = arb(0, REST)
    for f, left, right in (down, -LIMIT, 0), (up, 0, LIMIT):
        total += acb.integral(lambda z, _, f=f: density(z) * f(sigma * z) * mean(m * z, t), left, right).real
    return total


def pairs(rng, n):
    """(q, q', rho): some at random, then unlike lengths, nearly coincident and nearly opposite pairs, K = 0."""
    for _ in range(n):
        yield *rng.uniform(.05, 3, 2), rng.uniform(-.98, .98)
    yield from [(.01, 2., .5), (1., 1., .99), (.5, 1.5, -.99), (1.5, .25, 0.)]


def check_formula(layer, rng, n):
    for q, r, rho in pairs(rng, n):
        with bits(130):
            q, r = number(float(q)), number(float(r))
            k = number(float(rho)) * (q * r).sqrt()
            found = ball_dual(layer)(*map(Ball, (q, r, k)))
            for formula, parts in zip(found, INTEGRANDS[layer](layer)):
                integral = enclosed(parts, q, r, k)
                assert formula.arb.overlaps(integral), (layer, q, r, rho, formula, integral)
                assert formula.arb.rad() < 1e-30 and integral.rad() < 1e-30


@pytest.mark.parametrize('layer', INTEGRANDS, ids=repr)
def test_formulas_are_the_integrals(layer, rng):
    check_formula(layer, rng, 4)


@pytest.mark.slow
@pytest.mark.parametrize('layer', INTEGRANDS, ids=repr)
def test_formulas_are_the_integrals_at_a_thousand_pairs(layer, rng):
    check_formula(layer, rng, 1000)


def test_every_formula_has_an_integral():
    """ExpNormalized has no function, its formula is its definition; those of BY_INTEGRAL are integrals themselves."""
    assert {layer.name for layer in (*INTEGRANDS, *BY_INTEGRAL)} | {'ExpNormalized'} == set(BALL_DUALS)


def test_without_a_function():
    with bits(130):
        s, k = number(1.5), number(.25)
        value, slope = ball_dual(ExpNormalized(.7, -.4))(*map(Ball, (s, s, k)))
        e = (number(.7) * (k / s + number(-.4))).exp()
        assert value.arb.overlaps(s * e) and slope.arb.overlaps(number(.7) * e) and value.arb.rad() < 1e-36


MUTANTS = {
    'relu without its angle': ('angle', lambda rho: 1 + 0 * rho, Relu()),
    'one moment too few': ('comb', lambda n, i: 1, Hermite(4)),
    'a root forgotten': ('root', lambda x: x, Gelu()),
}


@pytest.mark.parametrize('name', MUTANTS)
def test_wrong_formulas_are_seen(name, rng, monkeypatch):
    target, mutant, layer = MUTANTS[name]
    monkeypatch.setattr(ball_duals, target, mutant)
    with pytest.raises(AssertionError):
        check_formula(layer, rng, 2)


@pytest.mark.parametrize('layer', [*INTEGRANDS, *BY_INTEGRAL], ids=repr)
def test_corners(layer):
    """Coincident, opposite and zero inputs, from wide balls: the same as from narrow ones, and finite."""
    x = numpy.array([[.5, .25], [-.5, -.25], [0., 0.], [.5, .25]])
    net = serial(Dense(8, 1.1), layer, Dense(1))
    more = 9 if layer in SMOOTH_ONES else 60
    few, many = (certify(net, x, x[:3], get=('nngp', 'ntk'), digits=digits, proof=True) for digits in (5, more))
    for a, b in zip(few, many):
        with mp.workdps(100):
            assert a.proved and (abs(a.values - b.values) <= a.bound + b.bound).all()
            assert (b.bound <= mp.mpf(10) ** (5 - more)).all()


# ------------------------------------------------------------------ duals that are integrals

QUICK = [HardTanh(), Tanh()]


@pytest.mark.parametrize('layer', BY_INTEGRAL, ids=repr)
def test_doubles_are_near_integrals(layer):
    """`kernel_fn` has series and formulas of two variables: another way to the same numbers."""
    x = numpy.array([[.5, .25, .125], [.5, .25, .1875], [-.25, .5, 0.]])
    net = serial(Dense(8, 1., .125), layer, Dense(1))
    for c in certify(net, x, x[:1], ('nngp', 'ntk'), 10, proof=True):
        assert c.proved
        for got, eps in (c.got64, 2 ** -52), (c.got32, 2 ** -23):
            assert (abs(got - c.float64) <= 8 * eps * c.float64.max()).all()


@pytest.mark.parametrize('layer', [
    layer if layer in QUICK else pytest.param(layer, marks=pytest.mark.slow) for layer in BY_INTEGRAL], ids=repr)
def test_integrals_and_series(layer):
    """The recursion of mpmath, by series and by formulas of two variables, has the same digits."""
    x = numpy.array([[.5, .25, .125], [.5, .25, .1875], [-.25, .5, 0.]])
    net = serial(Dense(8, .75, .125), layer, Dense(1))
    proved, other = (certify(net, x, x[:2], ('nngp', 'ntk'), 12, proof=proof) for proof in (True, False))
    for a, b in zip(proved, other):
        assert a.proved and not b.proved and a.digits == b.digits == 12
        with mp.workdps(60):
            assert (abs(a.values - b.values) <= a.bound + b.bound).all()


@pytest.mark.parametrize('layer', BY_INTEGRAL, ids=repr)
def test_wide_balls_contain_narrow_ones(layer, rng):
    """Few bits move the ends of sums and integrals, and their bounds of errors."""
    for q, r, rho in [*pairs(rng, 3), (2., 2., 1.), (.5, 2., -1.), (40., .001, .5)]:
        found = []
        for n in 50, 110:
            with bits(n):
                q_ball, r_ball = number(float(q)), number(float(r))
                k = number(float(rho)) * (q_ball * r_ball).sqrt()
                found.append(ball_dual(layer)(*map(Ball, (q_ball, r_ball, k))))
        for wide, narrow in zip(*found):
            assert wide.arb.overlaps(narrow.arb) and narrow.arb.rad() < wide.arb.rad() < 1e-3 * (1 + abs(wide.arb))


@pytest.mark.parametrize('layer', SMOOTH_ONES, ids=repr)
def test_the_error_of_the_rule_counts(layer, monkeypatch):
    """A rule for 30 bits is off by less than its bound, and would be off without it."""
    def found(n, spare):
        monkeypatch.setattr(ball_integrals, 'SPARE', spare)
        with bits(n):
            return ball_dual(layer)(*map(Ball, map(number, (1., 1.25, .5))))
    exact, rough = found(120, 24), found(120, 100)
    monkeypatch.setattr(ball_integrals, '_within', lambda value, error: value)
    bare = found(120, 100)
    for truth, with_bound, without in zip(exact, rough, bare):
        assert with_bound.arb.contains(truth.arb) and not without.arb.overlaps(truth.arb)
        assert with_bound.arb.rad() < 1


def analytic(layer):
    """phi and phi' of `acb` numbers; what is not analytic on a ball is not finite."""
    def logistic(z):
        return 1 / (1 + (-z).exp())
    f = {'Tanh': lambda z: z.tanh(), 'Sigmoid': logistic, 'Swish': lambda z: z * logistic(z)}[layer.name]
    slope = {'Tanh': lambda z: 1 - z.tanh() * z.tanh(), 'Sigmoid': lambda z: logistic(z) * logistic(-z),
             'Swish': lambda z: logistic(z) * (1 + z * logistic(-z))}[layer.name]
    return f, slope


@pytest.mark.slow
@pytest.mark.parametrize('layer', [Tanh(), Sigmoid(), Swish()], ids=repr)
def test_sums_are_nested_integrals(layer):
    with bits(70):
        q, r, k = map(number, (1., 1.25, .5))
        found = ball_dual(layer)(*map(Ball, (q, r, k)))
        n1, lean, s = q.sqrt(), k / q.sqrt(), (r - k * k / q).sqrt()
        for value, f in zip(found, analytic(layer)):
            def given(x):
                return acb.integral(lambda y, _: density(y) * f(lean * x + s * y), -9, 9, rel_tol=1e-16, abs_tol=1e-16)
            whole = acb.integral(lambda x, _: density(x) * f(n1 * x) * given(x), -9, 9, rel_tol=1e-15, abs_tol=1e-15)
            assert (whole.real + arb(0, 1e-13)).overlaps(value.arb) and whole.real.rad() < 1e-12


# ------------------------------------------------------------------ certificates

def test_what_is_proved():
    user = Elementwise(lambda z: z, lambda a, b, c: a)
    attention = stax.GlobalSelfAttention(8, 8, 2, 2, pos_emb_type='SUM', pos_emb_decay_fn=lambda d: d)
    net = serial(Dense(8), Tanh(), Dense(8), user, Dense(8), Relu(), attention)
    assert unproved(net) == ['Elementwise', 'GlobalSelfAttention'] and unproved(serial(Conv(8, (2,)), Relu())) == []
    x = numpy.array([[.25, .125]])
    with pytest.raises(TypeError, match='got layer Elementwise. Take proof=None'):
        certify(serial(Dense(8), user), x, proof=True)
    with pytest.raises(TypeError, match='got ndarray of inputs'):
        certify(serial(Dense(8), Relu()), x[:0], proof=True)
    assert not certify(serial(Dense(8), Relu()), x[:0]).proved
    assert not certify(serial(Dense(8), user), x, digits=10).proved
    assert certify(serial(Dense(8), Relu()), x).proved


SEQUENCE = serial(Conv(8, (3,), padding='SAME', W_std=1.1, b_std=.3), Relu(), Conv(8, (3,), padding='SAME'), Erf())
ENDS = {'pool': (stax.GlobalAvgPool(), Dense(1)), 'flat': (stax.AvgPool((2,)), stax.Flatten(), Dense(1)),
        'attention': (stax.GlobalSelfAttention(3, 3, 2, 3), stax.GlobalAvgPool()), 'resize': (
            stax.ImageResize((-1, 3, -1), 'cubic'), stax.Index((slice(None), slice(1, None))), stax.Flatten()),
        'product': (Conv(8, (1,)), stax.DotGeneral(rhs=-1.5), Relu(), stax.GlobalAvgPool())}
GRAPH = serial(Dense(8), Relu(), stax.Aggregate(1), stax.GlobalAvgPool(), Dense(1))
TWO = serial(stax.parallel(serial(Dense(8), Relu(), Dense(8, .7)), Dense(8)), stax.FanInSum(), Relu(), Dense(1))


def sequences():
    x = numpy.random.default_rng(5).standard_normal((3, 4, 2))
    x[1, 2:] = x[2, 1] = 9.
    edges = numpy.array([[[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 1, 1], [0, 0, 1, 0]]] * 3)
    yield from [(name, serial(SEQUENCE, *end), x, x[:2], {}) for name, end in ENDS.items()]
    yield from [(f'{name}, masked', serial(SEQUENCE, *ENDS[name]), x, None, {'mask_constant': 9.})
                for name in ('pool', 'flat', 'attention')]
    yield 'attention, equal positions', serial(SEQUENCE, *ENDS['attention']), numpy.ones((2, 3, 2)), None, {}
    yield 'masked array', serial(SEQUENCE, *ENDS['pool']), stax.MaskedArray(x, x == 9.), None, {}
    yield 'graph', GRAPH, x, None, {'pattern': edges}
    yield 'two graphs', GRAPH, x, x[:2], {'pattern': (edges, edges[:2])}
    yield 'list', TWO, [x[:, 0], x[:, 1]], None, {}
    yield 'positions', SEQUENCE, x, None, {'diagonal_spatial': True}


@pytest.mark.parametrize('net, x1, x2, options', [pytest.param(*case, id=name) for name, *case in sequences()])
def test_layers_masks_graphs_and_lists(net, x1, x2, options):
    """Proofs and estimates agree, and so do doubles."""
    proved, other = (certify(net, x1, x2, ('nngp', 'ntk'), 15, proof=proof, **options) for proof in (True, False))
    for a, b in zip(proved, other):
        assert a.proved and not b.proved and a.digits == b.digits == 15
        with mp.workdps(60):
            assert (abs(a.values - b.values) <= a.bound + b.bound).all()
        assert numpy.allclose(a.got64, a.float64, rtol=1e-13, atol=1e-14)


def test_a_class_of_the_same_name_is_not_proved():
    class Relu(stax.Relu):
        def dual(self, p):
            cov, slope = super().dual(p)
            return cov._replace(k=2 * cov.k), slope
    assert unproved(serial(Dense(8), Relu())) == ['Relu']


def test_functions_of_the_user_are_never_proved():
    """However they leave mpmath: by text here."""
    def text(k, q, p):
        return numpy.frompyfunc(lambda v: mp.mpf(mp.nstr(v, 15)), 1, 1)(k / 3) * k if k.dtype == object else k * k / 3
    with pytest.warns(UserWarning, match='expected 30 digits, 1[0-6] are sure'):
        c = certify(serial(Dense(8), Elementwise(None, text, text)), numpy.array([[.3, .7]]), get='nngp')
    assert not c.proved


def test_tiles_whose_rows_are_their_columns(monkeypatch):
    """x2 has the rows of x1 beside another: a tile of equal rows and columns is none of inputs with themselves."""
    x = numpy.array([[.25, .5], [1., -.5], [.75, .125]])
    net = serial(Dense(8), Relu(), stax.Dropout(.5), Dense(1))
    monkeypatch.setattr(import_module('ntref.oracle.certify'), 'SIDE', 2)
    c = certify(net, x[:2], x, proof=True)
    whole = certify(net, x[1:], x[::-1], proof=True)
    assert (c.float64[1, ::-1] == whole.float64[0]).all()
    assert c.decimals[0, 0] != certify(net, x, proof=True).decimals[0, 0]


def test_threads(rng):
    """One precision for all threads: whoever changes it meanwhile gets wider balls, no wrong ones."""
    x = rng.standard_normal((3, 3))
    net = serial(Dense(8, 1.1, .3), Relu(), Dense(8), Erf(), Dense(1))
    truth = certify(net, x, digits=60, proof=True)
    before = flint.ctx.prec, mp.prec
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda digits: certify(net, x, digits=digits, proof=True), [10, 40, 20, 30] * 3))
    assert (flint.ctx.prec, mp.prec) == before
    with mp.workdps(100):
        for c in found:
            assert c.proved and c.digits == c.asked and (abs(c.values - truth.values) <= c.bound + truth.bound).all()


def test_interruption(monkeypatch):
    def interrupted(*given):
        raise KeyboardInterrupt
    before = flint.ctx.prec
    monkeypatch.setattr(ball_duals, 'root', interrupted)
    with pytest.raises(KeyboardInterrupt):
        certify(serial(Dense(8), Erf()), numpy.array([[.25, .5]]))
    assert flint.ctx.prec == before and mp.prec == 53


def test_whole_numbers_as_arguments_are_divided_exactly():
    """1 / 3 of W_std=1 and three taps is no double."""
    net = serial(Conv(8, (3,), W_std=1), Relu(), stax.Flatten())
    for proof in True, False:
        c = certify(net, numpy.ones((1, 3, 2)), get='nngp', proof=proof)
        assert c.digits == 30 and c.proved == proof and c.decimals[0, 0] == '0.5'


def test_doubles_are_next_to_the_truth(rng):
    x = rng.standard_normal((4, 3))
    net = serial(Dense(8, 1.1, .3), Relu(), Dense(8), Erf(), Dense(1))
    few, many = (certify(net, x, digits=digits, proof=True) for digits in (1, 60))
    assert (few.float64 == many.float64).all() and few.digits == 1
    assert (few.float32 == many.float32).all() and few.float32.dtype == 'float32'


def test_rounding_to_the_nearest():
    """Also below the normal numbers, where fewer bits are left; of two the even one."""
    mp.dps = 60
    try:
        for v, dtype in (('1e-40', 'float32'), ('0.1', 'float32'), ('4.9e-324', 'float64'), ('1e-310', 'float64')):
            there = numpy.dtype(dtype).type(v)
            assert numpy.dtype(dtype).type(nearest(mp.mpf(v), dtype)) == there
        one = mp.mpf(1)
        assert nearest(one + mp.mpf(2) ** -24, 'float32') == 1 and nearest(one + 3 * mp.mpf(2) ** -24, 'float32') == (
            1 + 2 ** -22)
        assert nearest(one + mp.mpf(2) ** -53 + mp.mpf(2) ** -150, 'float64') == 1 + 2 ** -52
    finally:
        mp.dps = 15


@pytest.mark.parametrize('depth', [1, 3, 12])
def test_deep_kinks_where_inputs_coincide(depth):
    x = numpy.array([[.5, .25, 1.]])
    net = serial(*[Dense(8, 1.1, .1), Relu()] * depth, Dense(1))
    c = certify(net, x, numpy.concatenate([x, -x, 0 * x]), proof=True)
    own = certify(net, x, proof=True)
    assert c.digits == own.digits == 30 and c.decimals[0, 0] == own.decimals[0, 0]
