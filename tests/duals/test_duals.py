"""Each dual activation against quadrature, against independent formulas at 50 digits, and against its own derivative.

The variables (u, v) have the covariances of two vectors x, y: y = +-x + separation * direction, y = 3 x + separation *
direction, and with zeros. What a dual is given is exact but for rounding; what it must return:

    K', slope       within C eps of the largest they can be at these variances
    gap', area'     sqrt gap' within C eps of sqrt(q + q'), area' within C eps of s = sqrt(q q'): as the angle between
                    the outputs has sin theta = area' / s and its error is that of area' / s, theta is exact to C eps,
                    and so is every slope (pi - theta) / (2 pi) of a kink behind it
"""
import os
import subprocess
import sys

import mpmath as mp
import numpy
import pytest
import reference
from autograd import elementwise_grad
from scipy.special import erf
from variables import Variables, array, gap_and_area

from ntref import stax
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.quadrature import expectation

EPS = 2. ** -52
SEPARATIONS = 1., 1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 0.
SMOOTH, KINKED = 1e-12, 1e-10           # quadrature, relative to sqrt(E phi(u)^2 E phi(v)^2)


# ------------------------------------------------------------------ the activations

def normal_cdf(u):
    return (1 + erf(u / 2 ** .5)) / 2


def density(u):
    return numpy.exp(-u * u / 2) / (2 * numpy.pi) ** .5


def rectifier(a, b):
    return lambda u: numpy.where(u < 0, a, b) * u, lambda u: numpy.where(u < 0, a, b) + 0. * u


def rectified_power(n):
    return lambda u: numpy.maximum(u, 0) ** n, lambda u: n * numpy.maximum(u, 0) ** (n - 1)


def bump(a, b):
    return lambda u: a * numpy.exp(b * u * u), lambda u: 2 * a * b * u * numpy.exp(b * u * u)


def wave(a, b, c):
    return lambda u: a * numpy.sin(b * u + c), lambda u: a * b * numpy.cos(b * u + c)


def sigmoid(a, b, c):
    return lambda u: a * erf(b * u) + c, lambda u: 2 * a * b / numpy.pi ** .5 * numpy.exp(-(b * u) ** 2)


def power(*coef):
    p = numpy.polynomial.Polynomial(coef)
    return p, p.deriv()


# layer: (phi, phi'), is it kinked?, C, the largest variance it is asked at. The numbers have short squares, to be
# exact at 50 digits too. C is four times the worst seen over all pairs of this file, rounded up to a power of two.
ACTIVATIONS = {
    stax.Relu(): (rectifier(0, 1), True, 8, 1e3),
    stax.LeakyRelu(.25): (rectifier(.25, 1), True, 8, 1e3),
    stax.ABRelu(-.5, 1.75): (rectifier(-.5, 1.75), True, 8, 1e3),
    stax.Abs(): ((numpy.abs, numpy.sign), True, 8, 1e3),
    stax.Sign(): ((numpy.sign, None), True, 8, 1e3),
    stax.RectifiedMonomial(0): ((lambda u: (u >= 0) + 0. * u, None), True, 8, 1e3),
    stax.RectifiedMonomial(1): (rectifier(0, 1), True, 8, 1e3),
    stax.RectifiedMonomial(2): (rectified_power(2), True, 16, 1e3),
    stax.RectifiedMonomial(3): (rectified_power(3), True, 16, 1e3),
    stax.RectifiedMonomial(6): (rectified_power(6), True, 32, 30.),
    stax.Erf(): (sigmoid(1, 1, 0), False, 8, 1e3),
    stax.Erf(1.25, .75, .25): (sigmoid(1.25, .75, .25), False, 8, 1e3),
    stax.Gelu(): ((lambda u: u * normal_cdf(u), lambda u: normal_cdf(u) + u * density(u)), False, 32, 1e3),
    stax.Sin(): (wave(1, 1, 0), False, 8, 1e3),
    stax.Sin(.75, 1.5, .5): (wave(.75, 1.5, .5), False, 8, 1e3),
    stax.Cos(1.25, .75, -.25): (wave(1.25, .75, -.25 + numpy.pi / 2), False, 16, 1e3),
    stax.Rbf(.75): (wave(2 ** .5, 1.5 ** .5, numpy.pi / 4), False, 8, 1e3),
    stax.Gaussian(1., -.625): (bump(1, -.625), False, 16, 1e3),
    stax.Gaussian(.5, .125): (bump(.5, .125), False, 16, 1.),
    stax.Exp(.75, .5): ((lambda u: .75 * numpy.exp(u / 2), lambda u: .375 * numpy.exp(u / 2)), False, 16, 10.),
    stax.ExpNormalized(.75, .125): (None, False, 8, 1e3),
    stax.ExpNormalized(): (None, False, 8, 1e3),
    stax.Gabor(): ((lambda u: numpy.exp(-u * u) * numpy.sin(u),
                    lambda u: numpy.exp(-u * u) * (numpy.cos(u) - 2 * u * numpy.sin(u))), False, 16, 1e3),
    stax.Hermite(0): (power(1), False, 8, 1e3),
    stax.Hermite(3): (power(0, -3 / 6 ** .5, 0, 1 / 6 ** .5), False, 8, 1e3),
    stax.Monomial(1): (power(0, 1), False, 8, 1e3),
    stax.Monomial(2): (power(0, 0, 1), False, 8, 1e3),
    stax.Monomial(3): (power(0, 0, 0, 1), False, 8, 1e3),
    stax.Polynomial((.25, -.5, .125, .0625)): (power(.25, -.5, .125, .0625), False, 8, 1e3),
}
JUMPS = stax.Sign(), stax.RectifiedMonomial(0)      # their gap is an angle: half of the digits go into its square root
KNOWN = [layer for layer, (phi, *_) in ACTIVATIONS.items() if phi]
DIFFERENTIABLE = [layer for layer, (phi, *_) in ACTIVATIONS.items() if phi is None or phi[1]]

each = pytest.mark.parametrize('layer', ACTIVATIONS, ids=repr)


# ------------------------------------------------------------------ the variables

def vectors(separations=SEPARATIONS, n=6, seed=5):
    """Pairs of vectors: nearly equal, nearly opposite, nearly parallel, nearly antiparallel; zero."""
    x, d = numpy.random.default_rng(seed).standard_normal((2, n))
    x, d = x / (x @ x / n) ** .5, d / (d @ d / n) ** .5
    pairs = [(x, c * x + h * d) for c in (1, -1, 3, -.25) for h in separations]
    return pairs + [(0 * x, d), (x, 0 * d), (0 * x, 0 * d)]


def variables(layer, scales=((1e-6, 1e-6), (1e-6, 1e3), (.5, 2.), (1., 1.), (30., .1), (1e3, 1e3)), **keywords):
    top = ACTIVATIONS[layer][3]
    for scale1, scale2 in scales:
        for x, y in vectors(**keywords):
            v = Variables(x, y, min(scale1, top), min(scale2, top))
            if max(v.q1, v.q2) <= 2 * top:
                yield v


def errors(layer, v, number):
    """Errors of K', slope, sqrt gap', area' over what they are relative to, as mpf; gap and area only if stated."""
    cov, slope = layer.dual(v.pair(number))
    exact, scales = v.through(layer)
    got = [None if c is None else mp.mpf(c[0] if c.dtype == object else float(c[0]))
           for c in (cov.k, slope, cov.gap, cov.area)]
    out = []
    with mp.workdps(reference.DIGITS):
        for name, c, e, scale in zip(('k', 'slope', 'gap', 'area'), got, exact, scales):
            if c is not None:
                error = abs(mp.sqrt(c) - mp.sqrt(e)) if name == 'gap' else abs(c - e)
                scale = mp.sqrt(scale) if name == 'gap' else scale
                assert mp.isfinite(c) and c >= 0 or name in ('k', 'slope')
                out.append((name, error / scale if scale else error))
    return out


# ------------------------------------------------------------------ 50 digits

@each
def test_float64_against_50_digits(layer):
    """K', slope, gap' and area' at every separation, antipode, length and zero."""
    for v in variables(layer):
        for name, error in errors(layer, v, float):
            assert error <= ACTIVATIONS[layer][2] * EPS, (name, float(error / EPS), *map(float, (v.q1, v.q2, v.k)))


@each
def test_the_same_code_on_50_digits(layer):
    """No constant of the dual is a double. Some 25 digits of K go at a separation of 1e-10 unless gap and area hold."""
    with mp.workdps(50):
        for v in variables(layer, scales=[(.5, 2.), (1e-6, 1.)]):
            for name, error in errors(layer, v, lambda c: +c):
                bound = 1e-20 if layer in JUMPS else 1e-40
                assert error <= bound, (name, float(error), *map(float, (v.q1, v.q2, v.k)))


@each
def test_without_gap_and_area_half_the_digits_remain(layer):
    """What a layer gets behind one that does not state them."""
    for v in variables(layer, scales=[(.5, 2.)]):
        p = v.pair(float)
        cov, slope = layer.dual(Pair(p.q1, p.q2, Cov(p.k)))
        (k, d, *_), (s, t, *_) = v.through(layer)
        loss = 1e-7
        assert abs(mp.mpf(float(cov.k[0])) - k) <= loss * s and abs(mp.mpf(float(slope[0])) - d) <= loss * t


@pytest.mark.parametrize('layer', [stax.Relu(), stax.Abs(), stax.ABRelu(-.5, 1.75)], ids=repr)
def test_nonnegative_kernels_of_opposite_inputs_are_exact_to_themselves(layer):
    """K' ~ delta^3 and slope ~ delta of a ReLU where u ~ -v: relative to themselves, not to s."""
    for v in variables(layer, scales=[(1., 1.), (1e-6, 1e3)]):
        (k, slope, *_), _ = v.through(layer)
        cov, d = layer.dual(v.pair(float))
        assert abs(mp.mpf(float(cov.k[0])) - k) <= 32 * EPS * abs(k) + 1e-100
        assert abs(mp.mpf(float(d[0])) - slope) <= 32 * EPS * abs(slope) + 1e-100 or layer == stax.Abs()


def test_parameters_may_have_50_digits():
    with mp.workdps(50):
        x, y = vectors()[1]
        layer = stax.serial(stax.Dense(4, mp.mpf('1.3'), mp.mpf('.1')), stax.LeakyRelu(mp.mpf('.3')), stax.Dense(1))
        k = layer.kernel_fn(*(array([[mp.mpf(float(c)) for c in v]]).reshape(1, -1) for v in (x, y)), 'nngp')[0, 0]
    with mp.workdps(reference.DIGITS):
        z = reference.inputs(x, y)
        z = z._replace(**{c: mp.mpf('1.69') * getattr(z, c) + mp.mpf('.01') for c in ('q1', 'q2', 'k')})
        assert abs(k - reference.abrelu(mp.mpf('.3'), 1)[0](z.q1, z.q2, z.k)) <= 1e-40


# ------------------------------------------------------------------ quadrature

@pytest.mark.parametrize('layer', KNOWN, ids=repr)
def test_quadrature(layer):
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] of the function itself."""
    phi, kinked, _, top = ACTIVATIONS[layer]
    tolerance = KINKED if kinked else SMOOTH
    chosen = [v for v in variables(layer, scales=[(.5, 2.), (1e-3, 9.)], separations=(1., 1e-2, 1e-4, 0.))
              if v.q1 and v.q2]
    q1, q2, k, area = (numpy.array([float(getattr(v, c)) for v in chosen]) for c in ('q1', 'q2', 'k', 'area'))
    assert len(chosen) >= 16
    pair = Pair(q1, q2, Cov(k, numpy.array([float(v.gap) for v in chosen]), area))
    cov, slope = layer.dual(pair)
    for f, value in zip(phi, (cov.k, slope)):
        if f:
            squares = [expectation(f, f, q, q, q, area=0 * q).value for q in (q1, q2)]
            scale = numpy.sqrt(squares[0] * squares[1])
            right = expectation(f, f, q1, q2, k, area=area).value
            assert (abs(value - right) <= tolerance * scale).all()


@each
def test_a_variable_with_itself(layer):
    """`Pair.same` is the pair of two variables that are the same: K' and slope; gap and area are 0 if they are stated.

    Derivatives in q too: they are those of the pair of equal variances and covariance.
    """
    q = numpy.array([0., 1e-9, .3, 1., min(700., ACTIVATIONS[layer][3])])
    (own, own_slope), (cov, slope) = layer.dual(Pair.same(q)), layer.dual(Pair(q, q + 0, Cov(q + 0, 0 * q, 0 * q)))
    for a, b in ((own.k, cov.k), (own_slope, slope)):
        assert (abs(a - b) <= 4 * EPS * abs(b)).all()
    assert all(c is None or (c == 0).all() for c in own[1:])
    if layer not in (stax.Hermite(0), *JUMPS):
        rises = [elementwise_grad(lambda q, pair=pair: layer.dual(pair(q))[0].k)(q[1:]) for pair in (
            Pair.same, lambda q: Pair(q, q + 0, Cov(q + 0, 0 * q, 0 * q)))]
        assert (abs(rises[0] - rises[1]) <= 1e-12 * abs(rises[1])).all()


# ------------------------------------------------------------------ Price's theorem: dK'/dK = slope

@pytest.mark.parametrize('layer', DIFFERENTIABLE, ids=repr)
def test_slope_is_the_derivative(layer):
    q1, q2 = numpy.array([.3, .5, .9, .2]), numpy.array([.4, .2, .9, .7])
    k = numpy.array([.9, -.8, .05, 0.]) * numpy.sqrt(q1 * q2)

    def value(k):
        return layer.dual(Pair(q1, q2, Cov(k)))[0].k
    slope = layer.dual(Pair(q1, q2, Cov(k)))[1]
    h = 1e-5
    assert abs((value(k + h) - value(k - h)) / (2 * h) - slope).max() <= 1e-8 * (1 + abs(slope).max())
    if layer != stax.Hermite(0):            # constant: autograd has nothing to trace
        assert abs(elementwise_grad(value)(k) - slope).max() <= 1e-13 * (1 + abs(slope).max())


# ------------------------------------------------------------------ the linear maps of a Pair

def affine(p, one):
    return p.affine(2.25, .25)


def affine_without_bias(p, one):
    return p.affine(2.25, 0)


def divided(p, one):
    return p.divide(p.q1 + one / 1024, p.q2 + one / 1024)


def added(p, one):
    return p.add(Pair(p.q2, p.q1, p.cov))


def doubled(p, one):
    return p.add(p)


def multiplied(p, one):
    return p.multiply(Pair(p.q2, p.q1, p.cov))


EXACT = {       # the covariances (q, q', K) in question, of (q, q', K)
    affine: lambda q1, q2, k: [c * 9 / 4 + mp.mpf(1) / 4 for c in (q1, q2, k)],
    affine_without_bias: lambda q1, q2, k: [c * 9 / 4 for c in (q1, q2, k)],
    divided: lambda q1, q2, k: [q1 / (q1 + mp.mpf(2) ** -10), q2 / (q2 + mp.mpf(2) ** -10),
                                k / mp.sqrt((q1 + mp.mpf(2) ** -10) * (q2 + mp.mpf(2) ** -10))],
    added: lambda q1, q2, k: [q1 + q2, q1 + q2, 2 * k],
    doubled: lambda q1, q2, k: [2 * q1, 2 * q2, 2 * k],
    multiplied: lambda q1, q2, k: [q1 * q2, q1 * q2, k * k],
}


@pytest.mark.parametrize('operation', EXACT)
@pytest.mark.parametrize('number, bound', [(float, 8 * EPS), (mp.mpf, 1e-40)], ids=['float64', '50 digits'])
def test_gap_and_area_through_linear_maps(operation, number, bound):
    """The same criterion as for duals."""
    with mp.workdps(50):
        for scale1, scale2 in (1e-6, 1e3), (.5, 2.), (1., 1.):
            for x, y in vectors():
                v = Variables(x, y, scale1, scale2)
                cov = operation(v.pair(number), array([number(1)]))
                with mp.workdps(reference.DIGITS):
                    q1, q2, k = EXACT[operation](v.q1, v.q2, v.k)
                    gap, area = gap_and_area(q1, q2, k)
                    s = mp.sqrt(q1 * q2)
                    got = [mp.mpf(c[0]) for c in cov[:3]]
                    assert abs(got[0] - k) <= bound * s
                    assert abs(mp.sqrt(got[1]) - mp.sqrt(gap)) <= bound * mp.sqrt(q1 + q2)
                    assert abs(got[2] - area) <= bound * s


@pytest.mark.parametrize('b', [0, .25, 1e-6, 1e6])
@pytest.mark.parametrize('number, bound', [(float, 8 * EPS), (mp.mpf, 1e-40)], ids=['float64', '50 digits'])
def test_lack_with_a_bias(b, number, bound):
    """s - K alone; gap and area follow from it."""
    with mp.workdps(50):
        for scale1, scale2 in (1e-6, 1e3), (.5, 2.), (1., 1.):
            for x, y in vectors():
                v = Variables(x, y, scale1, scale2)
                with mp.workdps(reference.DIGITS):
                    q1, q2, k = [c * 9 / 4 + mp.mpf(b) for c in (v.q1, v.q2, v.k)]
                    covs = (v.q1, v.q2, v.k), (q1, q2, k)
                    lack, wanted = (max(mp.sqrt(r1 * r2) - r, mp.mpf(0)) for r1, r2, r in covs)
                    gap, area = gap_and_area(q1, q2, k)
                p = v.pair(number)
                p = Pair(p.q1, p.q2, Cov(p.k, lack=array([number(lack)])))
                cov = p.affine(2.25, b)
                assert cov.gap is cov.area is None and cov.k[0] == 2.25 * p.k[0] + b
                s = mp.sqrt(q1 * q2)
                assert abs(mp.sqrt(cov.lack[0]) - mp.sqrt(wanted)) <= bound * mp.sqrt(s)
                new = Pair(array([number(q1)]), array([number(q2)]), cov)
                assert abs(mp.sqrt(new.gap[0]) - mp.sqrt(gap)) <= bound * mp.sqrt(q1 + q2)
                assert abs(new.area[0] - area) <= bound * s or k < -.9 * s        # s + K cancels
                assert new.minus is cov.lack and new.has_area and new.has_gap


def test_every_process_gives_the_same_bits():
    """The order of text in sets differs between processes; sums of terms must not follow it."""
    program = ('import numpy\nfrom ntref import stax\nx = numpy.array([[.3, -.7], [.5, .2], [-1.1, .4]])\n'
               'for phi in stax.Elu(), stax.Selu(), stax.HardTanh(), stax.Relu6():\n'
               '    net = stax.serial(stax.Dense(1, 1.5, .3), phi, stax.Dense(1))\n'
               '    print([float(k).hex() for k in net.kernel_fn(x, get="ntk").ravel()])')
    found = {subprocess.run([sys.executable, '-c', program], env=os.environ | {'PYTHONHASHSEED': seed}, check=True,
                            capture_output=True, text=True).stdout for seed in ('1', '2', '3')}
    assert len(found) == 1 and found.pop().count('0x') == 4 * 9


@pytest.mark.parametrize('length', [1.37e-3, .43237417429325614, 3.7])
def test_opposite_inputs_of_an_odd_series(length):
    """tanh(-u) = -tanh(u): behind it opposite inputs are opposite, and Sign and Relu see no angle but pi."""
    x = numpy.array([[length], [-length]])
    for phi, wanted in (stax.Sign(), -1.), (stax.Relu(), 0.):
        net = stax.serial(stax.Dense(8), stax.Tanh(), stax.Dense(8), phi, stax.Dense(8))
        for k in net.kernel_fn(x).nngp[0, 1], net.kernel_fn(x[:1], x[1:]).nngp[0, 0]:
            assert abs(k - wanted) < 1e-15
