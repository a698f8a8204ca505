"""Gap and area of every dual against 120 digits, and what a kinked layer behind it makes of them.

As in tests/duals/test_duals.py: sqrt gap' within C eps of sqrt(Q + Q'), area' within C eps of sqrt(Q Q'); for that the
gap may lose eps / theta of itself and no more, where subtraction loses eps / theta^2.
"""
import mpmath as mp
import numpy
import pytest
import reference
from variables import Variables, exact_dual, gap_and_area

from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.stax import (
    ABRelu, Cos, Dense, Erf, Exp, ExpNormalized, Gabor, Gaussian, Gelu, Hermite, Monomial, Polynomial, Rbf,
    RectifiedMonomial, Relu, Sigmoid_like, Sin, serial)

C = 32                      # four times the worst seen, rounded up to a power of two
LAYERS = {                  # and the largest variance each is asked at
    Relu(): 1e3, ABRelu(-.5, 1.75): 1e3, RectifiedMonomial(2): 1e3, RectifiedMonomial(3): 1e3,
    RectifiedMonomial(4): 1e3, Erf(): 1e3, Erf(1.25, .75, .25): 1e3, Sigmoid_like(): 1e3, Gelu(): 1e3, Sin(): 1e3,
    Sin(.75, 1.5, .5): 1e3, Cos(): 1e3, Cos(1.25, .75, -.25): 1e3, Rbf(.75): 1e3, Gaussian(1., -.625): 1e3,
    Gaussian(.5, .125): 1., Exp(.75, .5): 10., ExpNormalized(.75, .125): 1e3, Gabor(): 1e3, Hermite(1): 1e3,
    Hermite(3): 1e3, Hermite(4): 1e3, Monomial(0): 1e3, Monomial(1): 1e3, Monomial(2): 1e3, Monomial(3): 1e3,
    Polynomial((.25, -.5, .125, .0625)): 1e3}
SCALES = (1e-6, 1e-6), (1e-6, 1e3), (1e-2, 1e-2), (.1, .1), (.5, 2.), (1., 1.), (30., .1), (30., 30.), (1e3, 1e3)
SEPARATIONS = 1., .3, .1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 0.
MULTIPLES = 1, -1, 3, -.25, 1 + 1e-6, 1 + 1e-12, 1000., -1 - 1e-4
FEW = dict(scales=((1e-6, 1e3), (.5, 2.), (1e3, 1e3)), separations=(.3, 1e-2, 1e-6, 1e-10, 0.), multiples=MULTIPLES[:5])

each = pytest.mark.parametrize('layer', LAYERS, ids=repr)


def vectors(separations=SEPARATIONS, multiples=MULTIPLES):
    x, d = numpy.random.default_rng(5).standard_normal((2, 6))
    x, d = x / (x @ x / 6) ** .5, d / (d @ d / 6) ** .5
    near = [(x, c * x + h * d) for c in multiples for h in separations]
    return [*near, (0 * x, d), (x, 0 * d), (0 * x, 0 * d), (x, d - x * (x @ d) / 6)]


def worst(layer, dtype, scales=SCALES, **given):
    """The largest errors of gap' and area', in eps of what they are relative to."""
    dual, top, found = exact_dual(layer)[0], LAYERS[layer], {'gap': 0., 'area': 0.}
    for scale1, scale2 in scales:
        for x, y in vectors(**given):
            v = Variables(x, y, min(scale1, top), min(scale2, top))
            if max(v.q1, v.q2) > 2 * top:
                continue
            q1, q2, k, gap, area = (numpy.array([float(c)], dtype) for c in (v.q1, v.q2, v.k, v.gap, v.area))
            cov = layer.dual(Pair(q1, q2, Cov(k, gap, area)))[0]
            assert cov.gap.dtype == cov.area.dtype == dtype
            assert numpy.isfinite(cov.gap).all() and (cov.gap >= 0).all() and (cov.area >= 0).all()
            with mp.workdps(reference.DIGITS):
                q1, q2 = dual(v.q1, v.q1, v.q1), dual(v.q2, v.q2, v.q2)
                gap, area = gap_and_area(q1, q2, dual(v.q1, v.q2, v.k))
                errors = {'gap': (mp.sqrt(mp.mpf(float(cov.gap[0]))) - mp.sqrt(gap)) / mp.sqrt(q1 + q2 or 1),
                          'area': (mp.mpf(float(cov.area[0])) - area) / (mp.sqrt(q1 * q2) or 1)}
            for name, error in errors.items():
                found[name] = max(found[name], float(abs(error)) / float(numpy.finfo(dtype).eps))
    return found


@each
def test_gap_and_area(layer):
    assert max(worst(layer, numpy.float64, **FEW).values()) <= C


@pytest.mark.slow
@each
@pytest.mark.parametrize('dtype', [numpy.float64, numpy.float32])
def test_gap_and_area_everywhere(layer, dtype):
    assert max(worst(layer, dtype).values()) <= C


@pytest.mark.parametrize('layer', [Monomial(2), Monomial(3), RectifiedMonomial(2), RectifiedMonomial(3)], ids=repr)
def test_powers_of_parallel_variables_are_parallel(layer):
    q1, q2 = numpy.array([.7, .3]), numpy.array([.2, 11.])
    for sign in (1, -1) if isinstance(layer, Monomial) else (1,):
        cov = Cov(sign * numpy.sqrt(q1 * q2), (q1 ** .5 - sign * q2 ** .5) ** 2, 0 * q1)
        assert (layer.dual(Pair(q1, q2, cov))[0].area == 0).all()


# ------------------------------------------------------------------ a kink behind

SIZES = {Gaussian(.5, .125): .5, Exp(.75, .5): .5, Monomial(2): .7, Monomial(3): .7}


def behind(layer, kink, dtype, separations, multiples):
    """The largest error of Theta, relative to the largest that it can be."""
    net, worst = serial(Dense(1, SIZES.get(layer, 1.25)), layer, Dense(1, 1.125, .25), kink, Dense(1)), 0.
    for x, y in vectors(separations, multiples if LAYERS[layer] == 1e3 else multiples[:2]):
        x, y = numpy.array(x, dtype), numpy.array(y, dtype)
        right = reference.kernel(net.to_spec(), x, y)
        got = net.kernel_fn(x[None], y[None], 'ntk')[0, 0]
        with mp.workdps(reference.DIGITS):
            worst = max(worst, float(abs(mp.mpf(float(got)) - right.t) / (right.scales[1] or 1)))
    return worst


@each
def test_relu_behind(layer):
    """Theta of the ReLU family 1e-14, of the others 1e-12: both are held to 1e-14."""
    assert behind(layer, Relu(), numpy.float64, (.3, 1e-2, 1e-6, 1e-10, 0.), MULTIPLES[:6]) <= 1e-14


@pytest.mark.slow
@each
@pytest.mark.parametrize('dtype, bound', [(numpy.float64, 1e-14), (numpy.float32, 5e-6)])
def test_relu_behind_everywhere(layer, dtype, bound):
    assert behind(layer, Relu(), dtype, SEPARATIONS, MULTIPLES) <= bound


def test_monomial_before_relu_on_one_feature():
    """By hand, t = x x' > 0: K = t, 15 t^3, 7.5 t^3; the slope of the cube is 27 t^2, that of the Relu 1/2, and so

    Theta = t, then 27 t^3, with the next weights 15 t^3 more, half of it 21 t^3, with the last weights 28.5 t^3.
    """
    net = serial(Dense(1), Monomial(3), Dense(1), Relu(), Dense(1))
    theta = net.kernel_fn(numpy.array([[1.1]]), numpy.array([[.37]]), 'ntk')[0, 0]
    assert abs(theta - 28.5 * (1.1 * .37) ** 3) <= 1e-15 * theta


@pytest.mark.parametrize('layer, square', [(Erf(), 4 / numpy.pi), (Gelu(), .25), (Sin(), 1.), (Gabor(), 1.),
                                           (Polynomial((0, 2, 1)), 4.)], ids=repr)
@pytest.mark.parametrize('dtype, size', [('float32', 1e-24), ('float64', 1e-170)])
def test_of_variances_whose_square_is_0(layer, square, dtype, size):
    """Small variables see a line, phi(u) = phi'(0) u: all is multiplied by phi'(0)^2."""
    q1, q2, k, gap, area = (numpy.array([c * size], dtype) for c in (1.25, .75, .5, 1., (1.25 * .75 - .25) ** .5))
    cov = layer.dual(Pair(q1, q2, Cov(k, gap, area)))[0]
    for new, old in zip(cov, (k, gap, area)):
        assert abs(float(new[0]) / float(old[0]) / square - 1) <= 16 * numpy.finfo(dtype).eps
