"""quadrature.py against closed forms (mpmath, 50 digits), one-dimensional mpmath integrals and the trapezoidal rule."""
import functools

import mpmath as mp
import numpy as np
import pytest
from scipy.special import erf

from ntref.quadrature import KINKS, Expectation, QuadratureError, expectation, gauss_hermite, mean

SMOOTH, KINKED = 1e-12, 1e-10
RHOS = [0., .3, -.7, .99, 1 - 1e-6, 1 - 1e-12, 1., -1., -1 + 1e-10]
VARIANCES = [(1., 1.), (1e-6, 1e3), (1e3, 1e3), (.5, 2.)]
GRID = [(q1, q2, rho) for q1, q2 in VARIANCES for rho in RHOS]


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(50):
        yield


# ---- the functions ----

def relu(x):
    return np.maximum(x, 0)


def leaky_relu(x):
    return np.where(x > 0, x, .2 * x)


def softplus(x):
    return np.logaddexp(x, 0)


def hard_tanh(x):
    return np.clip(x, -1, 1)


def exponential(x):
    return np.exp(.4 * x)


def fifth(x):
    return x**5


def wave(x):
    return np.sin(30 * x)


hard_tanh.kinks = (-1, 1)


# ---- closed forms: functions of mpf q1, q2, k and area = sqrt(q1 q2 - k**2) ----

def abs_abs(q1, q2, k, area):
    return 2 / mp.pi * (area + k * mp.atan2(k, area))


def relu_relu(q1, q2, k, area):
    return (area + k * (mp.pi - mp.atan2(area, k))) / (2 * mp.pi)


def leaky_leaky(q1, q2, k, area):
    slope = mp.mpf(.2)
    return ((1 + slope) / 2)**2 * k + ((1 - slope) / 2)**2 * abs_abs(q1, q2, k, area)


def sign_sign(q1, q2, k, area):
    return 2 / mp.pi * mp.atan2(k, area)


def relu_sign(q1, q2, k, area):
    return k / mp.sqrt(2 * mp.pi * q2)


def erf_erf(q1, q2, k, area):
    return 2 / mp.pi * mp.asin(2 * k / mp.sqrt((1 + 2 * q1) * (1 + 2 * q2)))


def exp_exp(q1, q2, k, area):
    return mp.exp(mp.mpf(.4)**2 * (q1 + q2 + 2 * k) / 2)


def sin_sin(q1, q2, k, area, c=1):
    return mp.exp(-c**2 * (q1 + q2) / 2) * mp.sinh(c**2 * k)


def wave_wave(q1, q2, k, area):
    return sin_sin(q1, q2, k, area, 30)


def fifth_fifth(q1, q2, k, area):
    return 225 * (q1 * q2)**2 * k + 600 * q1 * q2 * k**3 + 120 * k**5


def sin_fifth(q1, q2, k, area):
    return mp.exp(-q1 / 2) * (15 * q2**2 * k - 10 * q2 * k**3 + k**5)


def exp_relu(q1, q2, k, area):
    shift, s = mp.mpf(.4) * k, mp.sqrt(q2)
    return mp.exp(mp.mpf(.4)**2 * q1 / 2) * (shift * mp.ncdf(shift / s) + s * mp.npdf(shift / s))


def sin_abs(q1, q2, k, area):
    return mp.mpf(0)


CLOSED = [(np.abs, np.abs, abs_abs, KINKED), (relu, relu, relu_relu, KINKED), (np.sign, np.sign, sign_sign, KINKED),
          (leaky_relu, leaky_relu, leaky_leaky, KINKED), (relu, np.sign, relu_sign, KINKED),
          (exponential, relu, exp_relu, KINKED), (np.sin, np.abs, sin_abs, KINKED),
          (erf, erf, erf_erf, SMOOTH), (exponential, exponential, exp_exp, SMOOTH), (np.sin, np.sin, sin_sin, SMOOTH),
          (fifth, fifth, fifth_fifth, SMOOTH), (np.sin, fifth, sin_fifth, SMOOTH)]


def exact_inputs(q1, q2, rho):
    """Floats q1, q2, k, area and the mpf that the floats q1, q2, k stand for, with their exact area."""
    k = min(max(rho * np.sqrt(q1 * q2), -np.sqrt(q1) * np.sqrt(q2)), np.sqrt(q1) * np.sqrt(q2))
    m1, m2, mk = mp.mpf(q1), mp.mpf(q2), mp.mpf(float(k))
    area = mp.sqrt(max(m1 * m2 - mk**2, 0))
    return (q1, q2, float(k), float(area)), (m1, m2, mk, area)


def norm(f, closed, q):
    """sqrt(E f**2), from the closed form where f is paired with itself."""
    return mp.sqrt(closed(mp.mpf(q), mp.mpf(q), mp.mpf(q), mp.mpf(0)))


SQUARES = {f: closed for f, g, closed, _ in CLOSED if f is g}


def error_of(result, exact, scale):
    return float(abs(mp.mpf(float(result.value)) - exact) / scale)


@pytest.mark.parametrize("f, g, closed, tol", CLOSED, ids=[c.__name__ for _, _, c, _ in CLOSED])
def test_closed_forms(f, g, closed, tol):
    for q1, q2, rho in GRID:
        (_, _, k, area), exact = exact_inputs(q1, q2, rho)
        scale = norm(f, SQUARES[f], q1) * norm(g, SQUARES[g], q2)
        for given in ({"area": area}, {})[:1 + (q2 <= 2 and abs(rho) > .99)]:
            result = expectation(f, g, q1, q2, k, rtol=tol, **given)
            true = error_of(result, closed(*exact), scale)
            assert true <= result.error <= tol, (q1, q2, rho, given, true, result)


@pytest.mark.parametrize("digits_of_gap", range(2, 17, 2))
def test_approach_to_correlation_one(digits_of_gap):
    """The default tolerance is met for kinks, too, at every distance from +-1; the functions differ, q1 != q2."""
    for f, g, closed, _ in CLOSED[1:6]:
        for sign in (1, -1):
            (q1, q2, k, area), exact = exact_inputs(1., 3., sign * (1 - 10.**-digits_of_gap))
            scale = norm(f, SQUARES[f], q1) * norm(g, SQUARES[g], q2)
            for given in ({"area": area}, {}):
                result = expectation(f, g, q1, q2, k, **given)
                true = error_of(result, closed(*exact), scale)
                assert true <= result.error <= SMOOTH, (closed.__name__, sign, given, true, result)


def test_area_better_than_the_floats():
    """sign at q1 = q2 = k = 1 and area 1e-9: E = 2/pi atan2(k, area) differs from 1 by 6e-10."""
    result = expectation(np.sign, np.sign, 1., 1., 1., area=1e-9)
    assert error_of(result, sign_sign(1, 1, mp.mpf(1), mp.mpf(1e-9)), 1) <= 1e-15
    assert abs(expectation(np.sign, np.sign, 1., 1., 1.).value - 1) <= 1e-15


def test_fast_oscillation():
    for q1, q2, rho in GRID[:9] + GRID[27::4]:
        (_, _, k, area), exact = exact_inputs(q1, q2, rho)
        result = expectation(wave, wave, q1, q2, k, area=area)
        true = error_of(result, wave_wave(*exact), norm(wave, wave_wave, q1) * norm(wave, wave_wave, q2))
        assert true <= result.error <= SMOOTH, (q1, q2, rho, true, result)


# ---- no closed form: trapezoidal rule (exponentially exact for analytic functions), mpmath for a kinked one ----

def trapezoid(f, q1, q2, rho, area):
    """E[f(u) f(v)] on a grid of (x, y); step a quarter of the distance of the nearest pole, range 9 deviations."""
    sigma = area / np.sqrt(q1) / np.sqrt(q2)
    s1, s2 = np.sqrt(q1), np.sqrt(q2)
    hx, hy = .25 / max(1, s1, s2 * abs(rho)), .25 / max(1, s2 * sigma)
    x, y = (h * np.arange(-int(9 / h), int(9 / h) + 1) for h in (hx, hy))
    weight_x, weight_y = (h * np.exp(-z**2 / 2) / np.sqrt(2 * np.pi) for h, z in ((hx, x), (hy, y)))
    inner = [f(s2 * (rho * part[:, None] + sigma * y)) @ weight_y for part in np.array_split(x, 20)]
    return float((weight_x * f(s1 * x)) @ np.concatenate(inner)), float(np.sqrt(weight_x @ f(s1 * x)**2))


@pytest.mark.slow
def test_the_trapezoidal_rule():
    """The reference is checked, too: against a closed form and a two-dimensional integral by mpmath."""
    for q1, q2, rho in GRID[:9] + GRID[27:]:
        (_, _, k, area), exact = exact_inputs(q1, q2, rho)
        value, _ = trapezoid(erf, q1, q2, float(exact[2] / mp.sqrt(exact[0] * exact[1])), area)
        assert abs(value - float(erf_erf(*exact))) <= 2e-15
    with mp.workdps(20):
        def integrand(x, y):
            return mp.npdf(x) * mp.npdf(y) * mp.tanh(x) * mp.tanh(mp.mpf(.6) * x + mp.mpf(.8) * y)
        exact = mp.quad(integrand, [-9, -3, 0, 3, 9], [-9, -3, 0, 3, 9], method="gauss-legendre", maxdegree=4)
    assert abs(trapezoid(np.tanh, 1., 1., .6, .8)[0] - float(exact)) <= 1e-14


@pytest.mark.parametrize("f", [np.tanh, softplus])
def test_smooth_without_closed_form(f):
    for q1, q2, rho in GRID:
        (_, _, k, area), (m1, m2, mk, _) = exact_inputs(q1, q2, rho)
        exact_rho = float(mk / mp.sqrt(m1 * m2))
        value, norm1 = trapezoid(f, q1, q2, exact_rho, area)
        norm2 = trapezoid(f, q2, q2, 1., 0.)[1]
        result = expectation(f, f, q1, q2, k, area=area)
        assert abs(result.value - value) <= SMOOTH * norm1 * norm2, (q1, q2, rho, result, value)
        assert result.error <= SMOOTH


def folded(mean, deviation):
    """E|mean + deviation y| for standard normal y."""
    if deviation == 0:
        return abs(mean)
    z = mean / deviation
    return 2 * deviation * mp.npdf(z) + mean * mp.erf(z / mp.sqrt(2))


@functools.cache
def hard_hard(q1, q2, k, area):
    """E[clip(u) clip(v)], the inner integral in closed form: clip(v) = (|v + 1| - |v - 1|) / 2."""
    s1, s2 = mp.sqrt(q1), mp.sqrt(q2)
    rho, sigma = k / s1 / s2, area / s1 / s2

    def integrand(x):
        inner = folded(s2 * rho * x + 1, s2 * sigma) - folded(s2 * rho * x - 1, s2 * sigma)
        return mp.npdf(x) * min(max(s1 * x, -1), 1) * inner / 2
    kinks = [-1 / s1, 1 / s1]
    if rho != 0:
        kinks += [(c / s2 + t * sigma) / rho for c in (-1, 1) for t in (-9, -3, 0, 3, 9)]
    splits = [mp.mpf(c) for c in (-9, -4, -1, 0, 1, 4, 9)] + [c for c in kinks if abs(c) < 9]
    return mp.quad(integrand, sorted(splits), method="gauss-legendre", maxdegree=4)


@pytest.mark.parametrize("f", [hard_tanh, lambda x: np.clip(x, -1, 1)], ids=["named", "unnamed"])
def test_hard_tanh(f):
    for q1, q2, rho in GRID[::2]:
        (_, _, k, area), exact = exact_inputs(q1, q2, rho)
        with mp.workdps(22):
            value = hard_hard(*exact)
            scale = mp.sqrt(hard_hard(exact[0], exact[0], exact[0], 0) * hard_hard(exact[1], exact[1], exact[1], 0))
        result = expectation(f, f, q1, q2, k, area=area)
        assert error_of(result, value, scale) <= SMOOTH and result.error <= SMOOTH, (q1, q2, rho, result)


# ---- kinks nobody named ----

@pytest.mark.parametrize("rho", [.3, .99, 1 - 1e-6, 1 - 1e-12, 1., -1 + 1e-10])
def test_unnamed_jump_away_from_zero(rho):
    """P(u > .3, v > .3) by mpmath: a conditional normal tail under one integral."""
    (q1, q2, k, area), (m1, m2, mk, marea) = exact_inputs(1., 2., rho)
    result = expectation(lambda x: (x > .3) * 1., lambda x: (x > .3) * 1., q1, q2, k, area=area)
    named = expectation(lambda x: (x > .3) * 1., lambda x: (x > .3) * 1., q1, q2, k, area=area,
                        kinks_f=[.3], kinks_g=[.3])
    level = mp.mpf(.3)

    def integrand(x):
        return mp.npdf(x) * (mp.ncdf((mk * x - level) / marea) if marea else float(mk * x > level))
    with mp.workdps(25):
        centre, width = level / mk, marea / abs(mk)
        layer = {centre + t * width for t in (-12, -4, 0, 4, 12)}
        exact = mp.quad(integrand, [level, *sorted(c for c in layer if level < c < 12), 12])
    scale = mp.sqrt(mp.ncdf(-level) * mp.ncdf(-level / mp.sqrt(2)))
    for answer in (result, named):
        assert error_of(answer, exact, scale) <= answer.error <= KINKED


@pytest.mark.parametrize("q, gap", [(.07548, 1.4343e-8), (.13323, 5.3753e-10), (1., 1e-4)])
def test_overlap_in_a_thin_layer_only(q, gap):
    """E[1(u > .3) hat(v)], hat = 0 below -.3, at rho near -1: nothing but u, -v = .3 +- sigma contributes."""
    def jump(x):
        return (x > .3) * 1.

    def hat(x):
        return np.maximum(0, 1 - np.abs(x - .7))
    hat.kinks = (-.3, .7, 1.7)
    (q1, q2, k, area), (m1, m2, mk, marea) = exact_inputs(q, q, -(1 - gap))
    level, s = mp.mpf(.3), mp.sqrt(m1)
    width = marea / s

    def integrand(u):
        centre = mk / m1 * u + 1 - mp.mpf(.7)
        return mp.npdf(u / s) / s * (centre * mp.ncdf(centre / width) + width * mp.npdf(centre / width))
    exact = mp.quad(integrand, [level + t * width for t in (0, 1, 3, 6, 12)])
    scale = np.sqrt(mean(jump, q).value * mean(lambda x: hat(x)**2, q).value)
    for answer in (expectation(jump, hat, q1, q2, k, area=area), expectation(hat, jump, q1, q2, k, area=area)):
        assert exact > 1e-12 and error_of(answer, exact, scale) <= answer.error <= SMOOTH


def test_kinks_from_attribute_and_table():
    assert KINKS[np.sign] == (0.,)
    evaluations = []

    def clip(x):
        evaluations.append(x.size)
        return np.clip(x, -.7, .7)
    counts = []
    for kinks in (None, (-.7, .7)):
        evaluations.clear()
        expectation(clip, clip, 1., 1., .5, kinks_f=kinks, kinks_g=kinks)
        counts.append(sum(evaluations))
    clip.kinks = (-.7, .7)
    evaluations.clear()
    expectation(clip, clip, 1., 1., .5)
    assert sum(evaluations) == counts[1] < counts[0]


# ---- matrices, one dimension, limits ----

def test_matrix_costs_one_expansion_per_variance_and_equals_its_entries():
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(40, 5)), rng.normal(size=(30, 5))
    q1, q2, k = (x1**2).sum(1)[:, None], (x2**2).sum(1)[None], x1 @ x2.T
    evaluations = []

    def f(x):
        evaluations.append(x.size)
        return np.tanh(x)
    value, error = expectation(f, relu, q1, q2, k)
    assert value.shape == error.shape == (40, 30) and sum(evaluations) < 40 * 10_000
    for a, b in [(0, 0), (39, 29), (7, 20)]:
        one = expectation(np.tanh, relu, q1[a, 0], q2[0, b], k[a, b])
        assert abs(one.value - value[a, b]) <= 2e-13 * np.sqrt(q2[0, b])
    swapped = expectation(relu, f, q2.T, q1.T, k.T).value.T
    np.testing.assert_allclose(swapped, value, rtol=0, atol=2e-12)


def test_symmetric_matrix_with_diagonal():
    x = np.random.default_rng(1).normal(size=(25, 4))
    k = x @ x.T
    q = np.diag(k)
    value = expectation(relu, relu, q[:, None], q[None], k).value
    exact = [[float(relu_relu(mp.mpf(q[a]), mp.mpf(q[b]), mp.mpf(k[a, b]),
                              mp.sqrt(max(mp.mpf(q[a]) * mp.mpf(q[b]) - mp.mpf(k[a, b])**2, 0))))
              for b in range(25)] for a in range(25)]
    np.testing.assert_allclose(value, exact, rtol=0, atol=1e-12 * q.min() / 2)


@pytest.mark.parametrize("f, exact", [
    (np.abs, lambda q: mp.sqrt(2 * q / mp.pi)),
    (relu, lambda q: mp.sqrt(q / 2 / mp.pi)),
    (np.cos, lambda q: mp.exp(-q / 2)),
    (np.exp, lambda q: mp.exp(q / 2)),
    (lambda x: x**8, lambda q: 105 * q**4),
], ids=["abs", "relu", "cos", "exp", "power"])
def test_mean(f, exact):
    q = np.array([[1e-6, 1.], [3., 200.]])
    result = mean(f, q)
    scale = np.sqrt(mean(lambda x: f(x)**2, q[:, :1]).value)
    assert result.value.shape == result.error.shape == (2, 2)
    for index in np.ndindex(2, 1):
        true = error_of(Expectation(result.value[index], 0), exact(mp.mpf(q[index])), scale[index])
        assert true <= result.error[index] <= SMOOTH


def test_zero_variance_is_a_constant():
    for q1, q2 in [(0., 2.), (2., 0.), (0., 0.)]:
        value = expectation(np.cos, softplus, q1, q2, 0.).value
        expected = np.exp(-q1 / 2) * mean(softplus, q2).value
        assert abs(value - expected) <= 1e-14
    assert abs(mean(softplus, 0.).value - np.log(2)) <= 1e-15
    mixed = expectation(np.cos, np.cos, [0., 1.], [1., 1.], [0., 1.]).value
    np.testing.assert_allclose(mixed, [np.exp(-.5), (1 + np.exp(-2)) / 2], rtol=1e-14)


def test_empty_and_zero_function():
    assert expectation(np.tanh, np.tanh, np.ones((3, 1)), np.ones((1, 0)), np.ones((3, 0))).value.shape == (3, 0)
    assert mean(np.tanh, np.ones(0)).value.shape == (0,)
    for rho in (.5, 1 - 1e-9, 1.):
        assert expectation(np.zeros_like, np.abs, 1., 1., rho).value == 0
        assert expectation(np.abs, lambda x: np.maximum(x - 100, 0), 1., 1., rho).value == 0    # < exp(-4999)


def test_far_threshold():
    """relu(u - 20) at variance 1 vanishes within 20 deviations, its mean does not: phi(20) - 20 Phi(-20)."""
    exact = mp.npdf(20) - 20 * mp.ncdf(-20)
    second = 401 * mp.ncdf(-20) - 20 * mp.npdf(20)
    result = mean(lambda x: np.maximum(x - 20, 0), 1., kinks=[20])
    assert error_of(result, exact, mp.sqrt(second)) <= result.error <= SMOOTH


@pytest.mark.parametrize("deg", [1, 2, 7, 32, 150, 151, 400, 600])
def test_gauss_hermite(deg):
    x, w = gauss_hermite(deg)
    assert x.shape == w.shape == (deg,) and np.all(w >= 0) and np.all(np.diff(x) > 0)
    for p in range(min(deg, 30)):
        assert abs(w @ x**(2 * p) / float(mp.fac2(2 * p - 1)) - 1) <= 1e-14
        assert abs(w @ x**(2 * p + 1)) <= 1e-14 * float(mp.fac2(2 * p + 1))


# ---- refusals ----

@pytest.mark.parametrize("kwargs, message", [
    (dict(q1=-1.), r"expected q1 to be a variance, 0 or between 1e-100 and 1e100, got -1.0"),
    (dict(q2=np.nan), r"expected q2 to be a variance, .* got nan"),
    (dict(q1=1e-170, q2=1e-170, k=0.), r"expected q1 to be a variance, .* got 1e-170"),
    (dict(k=1e300), r"expected \|k\| <= sqrt"),
    (dict(k=1.1), r"expected \|k\| <= sqrt\(q1 q2\), got k = 1.1 with q1 = 1.0, q2 = 1.0. Pass the covariance"),
    (dict(k=1 + 2e-12), r"expected \|k\| <= sqrt"),
    (dict(k=np.nan), r"expected \|k\| <= sqrt"),
    (dict(q1=np.ones(3), k=np.ones(2)), r"broadcast.*got \(3,\), \(\), \(2,\)"),
    (dict(area=.5), r"expected area to be sqrt\(q1 q2 - k\*\*2\) = 0.866.*, got 0.5"),
    (dict(area=-1.), r"expected area to be sqrt"),
    (dict(rtol=1e-15), r"expected rtol between 1e-13 and 1e-2, got 1e-15"),
    (dict(kinks_f=[np.inf]), r"expected kinks to be finite real numbers, got \(inf,\)"),
    (dict(f=np.sum), r"expected a function .* same shape, \(1, 241\), got \(\)"),
    (dict(f=lambda x: x + 1j), r"real numbers of the same shape, .*complex128"),
])
def test_refused_arguments(kwargs, message):
    f = kwargs.pop("f", np.tanh)
    arguments = {"q1": 1., "q2": 1., "k": .5, **kwargs}
    with pytest.raises(ValueError, match=message):
        expectation(f, np.tanh, **arguments)


@pytest.mark.parametrize("f, message", [
    (np.exp2, None),
    (lambda x: np.exp(x**2), r"expected E f\*\*2 in the range of floats.*unless it grows too fast"),
    (lambda x: np.exp(5 * x**2), r"expected a finite integrand, got inf at .*grows too fast"),
    (lambda x: np.exp(.24 * x**2), r"negligible at 50 standard deviations, .*grows too fast"),
    (lambda x: 1 / x, r"expected a finite integrand, got inf at 0.0. Mend the function"),
    (np.sqrt, r"expected a finite integrand, got nan at -12.0"),
    (lambda x: np.tanh(x.astype(np.float32)),
     r"expected a function that 20000 panels resolve, .*Name its kinks, raise rtol, or mend"),
    (lambda x: np.floor(1000 * x), r"expected a function that 20000 panels resolve"),
    (lambda x: 1e200 * x, r"Divide the function by its typical size"),
    (lambda x: 1e-200 * x, r"Divide the function by its typical size"),
    (lambda x: np.sin(1000 * x),
     r"expected a function that can be resolved to rtol=1e-13, .*Name its kinks, raise rtol, or mend"),
])
def test_refused_functions(f, message):
    def call():
        return expectation(f, f, 1., 1., .5, rtol=1e-13)
    if message is None:
        assert call().error <= 1e-13
        return
    with pytest.raises(QuadratureError, match=message):
        call()
    with pytest.raises(ArithmeticError):
        mean(f, 1., rtol=1e-13)


@pytest.mark.parametrize("deg", [0, -3, 2.5, 601])
def test_gauss_hermite_refuses(deg):
    with pytest.raises(ValueError, match=f"expected deg to be a whole number from 1 to 600, got {deg}"):
        gauss_hermite(deg)


@pytest.mark.parametrize("rtol", [1e-13, 1e-10, 1e-6, 1e-3])
def test_reported_error_bounds_the_true_one(rtol):
    for f, g, closed, _ in CLOSED:
        for q1, q2, rho in [(1., 1., .9), (.5, 2., .995), (3., 1., -.97), (1., 50., .3)]:
            (_, _, k, area), exact = exact_inputs(q1, q2, rho)
            result = expectation(f, g, q1, q2, k, area=area, rtol=rtol)
            true = error_of(result, closed(*exact), norm(f, SQUARES[f], q1) * norm(g, SQUARES[g], q2))
            assert true <= result.error <= rtol, (closed.__name__, q1, q2, rho, true, result)
