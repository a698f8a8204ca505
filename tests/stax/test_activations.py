"""Tanh, Sigmoid, Softplus, Swish, Mish; Elu, Selu, HardTanh, Relu6: kernels without a formula in elementary functions.

The truth is `ntref.quadrature` on functions written here with SciPy, sums over a plane of nodes and one-dimensional
integrals by mpmath, special cases that have a closed form, and finite networks.
"""
import autograd
import autograd.numpy as anp
import mpmath as mp
import numpy
import pytest
from activations import KINKED, MP, SMOOTH, exact, given_u, plane
from finite import check_mean, draws, empirical_ntk, second_moment
from kinds import to_kind, to_numpy
from numpy import exp, pi, sqrt
from scipy.special import erfcx, ndtr

from ntref import stax
from ntref.arrays import namespace
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.quadrature import expectation
from ntref.stax import (
    Conv, Dense, Elu, Erf, Flatten, HardTanh, Relu, Relu6, Selu, Sigmoid, Softplus, Swish, Tanh, serial)

LAYERS = SMOOTH | KINKED
every = pytest.mark.parametrize('layer', LAYERS, ids=repr)
smooth = pytest.mark.parametrize('layer', SMOOTH, ids=repr)


def pairs(angles, q1, q2):
    """Of variances q1, q2 at these angles, with gap and area to the last digits."""
    s, sigma1, sigma2 = sqrt(q1 * q2), sqrt(q1), sqrt(q2)
    gap = (sigma1 - sigma2) ** 2 + 4 * s * numpy.sin(angles / 2) ** 2
    q1, q2 = (q + 0 * angles for q in (q1, q2))
    return Pair(q1, q2, Cov(s * numpy.cos(angles), gap, s * numpy.sin(angles)))


ANGLES = numpy.array([0., 1e-8, 1e-4, .03, .3, 1., pi / 2, 2., 2.9, pi - 1e-3, pi - 1e-7])


# ------------------------------------------------------------------ quadrature

def errors(layer, p):
    """Of K' and slope, relative to the largest that they can be."""
    *functions, kinks = LAYERS[layer]
    cov, slope = layer.dual(p)
    for value, f in zip((cov.k, slope), functions):
        def expected(q1, q2, k, area):
            return expectation(f, f, q1, q2, k, area=area, kinks_f=kinks, kinks_g=kinks).value
        size = [expected(q, q, q, 0 * q) for q in (p.q1, p.q2)]
        yield abs(value - expected(p.q1, p.q2, p.k, p.area)) / sqrt(size[0] * size[1])


VARIANCES = [(1e-8, 1e-8), (1e-8, .2), (1e-8, 30.), (1e-3, 2e-3), (.3, .3), (1., 1.), (.5, 3.), (9., 9.), (40., 30.),
             (.1, 1e3)]


@pytest.mark.parametrize('q1, q2', VARIANCES)
@every
def test_quadrature(layer, q1, q2):
    """The quadrature is asked for 1e-12."""
    for error in errors(layer, pairs(ANGLES, q1, q2)):
        assert error.max() <= 1e-12


@pytest.mark.parametrize('layer', KINKED, ids=repr)
def test_quadrature_at_very_large_variances(layer):
    """1e-10 is promised."""
    for q in (1e5,) if layer in (HardTanh(), Relu6()) else (1e5, 1e8):
        for error in errors(layer, pairs(ANGLES[2:], q, .9 * q)):
            assert error.max() <= 1e-10


@every
def test_quadrature_at_the_largest_variances(layer):
    """Within an angle of .03 a series of Tanh takes seconds: one pair tells."""
    angles = numpy.array([.1]) if layer in SMOOTH else ANGLES
    for error in errors(layer, pairs(angles, 1e3, 900.)):
        assert error.max() <= 1e-12


def test_the_longest_series():
    """40 000 terms (of Tanh four times as many): coinciding inputs at a variance of 1000."""
    for error in errors(Sigmoid(), pairs(numpy.array([0., 1e-3]), 1e3, 1e3)):
        assert error.max() <= 1e-12


# ------------------------------------------------------------------ mpmath

@smooth
def test_gap_of_inputs_that_nearly_coincide(layer):
    """To its own last digits, for K' of order 1; E[(phi(u) - phi(v))^2] as a sum of squares."""
    with mp.workdps(40):
        q1, tiny = mp.mpf('.36'), mp.mpf(10) ** -9
        for stretch in (0, tiny):
            q2, angle = q1 * (1 + stretch) ** 2, 3 * tiny
            s = mp.sqrt(q1 * q2)
            k, area = s * mp.cos(angle), s * mp.sin(angle)
            phi, wide = MP[layer], mp.mpf('.35')
            expected = plane(lambda u, v: (phi(u) - phi(v)) ** 2, q1, q2, k, area, wide, 24)
            gap = q1 + q2 - 2 * k
            given = [numpy.array([float(c)]) for c in (q1, q2, k, gap, area)]
        cov, _ = layer.dual(Pair(given[0], given[1], Cov(*given[2:])))
        assert abs(cov.gap[0] / float(expected) - 1) <= (1e-12 if not stretch else 1e-6)    # of floats q1, q2


@smooth
def test_25_digits(layer):
    """The same code with mpmath, against the plane."""
    with mp.workdps(25):
        q1, q2, k = mp.mpf('.04'), mp.mpf('.09'), mp.mpf('.045')
        phi, area = MP[layer], mp.sqrt(q1 * q2 - k * k)
        value = plane(lambda u, v: phi(u) * phi(v), q1, q2, k, area, mp.mpf('.4'), 28)
        pair = Pair(*(numpy.array([c], dtype=object) for c in (q1, q2)), Cov(numpy.array([k], dtype=object)))
        assert abs(layer.dual(pair)[0].k[0] - value) <= 1e-21


@pytest.mark.parametrize('layer', KINKED, ids=repr)
def test_kinked_at_20_digits(layer):
    """The same code with mpmath, and float64, against an integral over u alone."""
    kinks, n = KINKED[layer][2], 6
    for q1, q2, rho in ((36., 25., -.875), (2. ** -10, .0625, .5)):
        with mp.workdps(20):
            q1, q2, rho = map(mp.mpf, (q1, q2, rho))
            sigma, t = mp.sqrt(q1), mp.sqrt(q2 * (1 - rho * rho))
            inner = given_u(layer)
            ends = sorted({-mp.mpf(10), mp.mpf(10), *(c / sigma for c in kinks if abs(c / sigma) < 10)})
            expected = []
            for i in (0, 1):
                def integrand(x):
                    return mp.npdf(x) * exact(layer, i, sigma * x) * inner(rho * mp.sqrt(q2) * x, t)[i]
                cuts = [a + j * (b - a) / n for a, b in zip(ends, ends[1:]) for j in range(n)] + [ends[-1]]
                expected.append(mp.quad(integrand, cuts, method='gauss-legendre', maxdegree=4))
            k = rho * mp.sqrt(q1 * q2)
            cov, slope = layer.dual(Pair(*(numpy.array([c], dtype=object) for c in (q1, q2)),
                                         Cov(numpy.array([k], dtype=object))))
            assert abs(cov.k[0] - expected[0]) <= 1e-16 * mp.sqrt(q1 * q2)
            assert abs(slope[0] - expected[1]) <= 1e-16
        cov, slope = layer.dual(pairs(numpy.array([float(mp.acos(rho))]), float(q1), float(q2)))
        assert abs(cov.k[0] - float(expected[0])) <= 1e-13 * float(mp.sqrt(q1 * q2))
        assert abs(slope[0] - float(expected[1])) <= 1e-13


# ------------------------------------------------------------------ closed forms

P = pairs(numpy.array([0., .01, .7, 1.5, 2.5, pi]), .9, 1.7)


def same(actual, expected, tolerance=1e-14):
    assert abs(actual - expected).max() <= tolerance


def test_elu_without_an_exponential_is_relu():
    (a, slope), (b, relu) = Elu(0).dual(P), Relu().dual(P)
    same(a.k, b.k)
    same(slope, relu)


def test_relu6_of_small_variances_is_relu():
    p = pairs(ANGLES, .1, .2)
    (a, slope), (b, relu) = Relu6().dual(p), Relu().dual(p)
    same(a.k, b.k)
    same(slope, relu)


def test_hard_tanh_of_an_input_with_itself():
    """E phi^2 = q (P - 2 n(h) h) + 1 - P,  P = P(|u| < 1) at h = 1 / sigma."""
    q = numpy.array([1e-6, .1, 1., 50.])
    h = 1 / sqrt(q)
    inside = 1 - 2 * ndtr(-h)
    cov, slope = HardTanh().dual(Pair.same(q))
    expected = q * (inside - 2 * h * exp(-h * h / 2) / sqrt(2 * pi)) + 1 - inside
    assert (abs(cov.k - expected) <= 1e-15 * (1 + q)).all()               # hinges of size q of which 1 remains
    same(slope, inside)


def test_hard_tanh_saturates_to_sign():
    cov, _ = HardTanh().dual(pairs(numpy.array([1., 2.]), 1e5, 1e5))
    same(cov.k, 1 - 2 * numpy.array([1., 2.]) / pi, 1e-2)


def test_elu_of_independent_inputs():
    """E phi = sigma / sqrt(2 pi) + erfcx(sigma / sqrt 2) / 2 - 1/2."""
    cov, slope = Elu().dual(pairs(numpy.array([pi / 2]), .25, 4.))
    means = [s / sqrt(2 * pi) + erfcx(s / sqrt(2)) / 2 - 1 / 2 for s in (.5, 2.)]
    slopes = [1 / 2 + erfcx(s / sqrt(2)) / 2 for s in (.5, 2.)]
    same(cov.k, means[0] * means[1])
    same(slope, slopes[0] * slopes[1])


def test_tanh_is_a_sigmoid():
    """tanh z = 2 / (1 + exp(-2 z)) - 1, whose mean is 0."""
    (a, slope), (b, other) = Tanh().dual(P), Sigmoid().dual(Pair(4 * P.q1, 4 * P.q2, Cov(*(4 * c for c in P.cov[:3]))))
    same(a.k, 4 * b.k - 1)
    same(slope, 16 * other)
    same(a.gap, 4 * b.gap)


def test_swish_and_softplus_are_half_linear():
    """phi(z) - phi(-z) = z: E[phi phi'] of (u, v) and (-u, v) differ by E[u phi(v)] = K E phi' = K / 2."""
    turned = Pair(P.q1, P.q2, Cov(-P.k))
    for layer in (Swish(), Softplus()):
        same(layer.dual(P)[0].k - layer.dual(turned)[0].k, P.k / 2)


def test_odd_functions():
    for layer in (Tanh(), HardTanh()):
        (a, slope), (b, turned) = layer.dual(P), layer.dual(Pair(P.q1, P.q2, Cov(-P.k, area=P.area)))
        same(a.k, -b.k)
        same(slope, turned)


# ------------------------------------------------------------------ gaps

@every
def test_gap_is_that_of_the_covariances(layer):
    """Where subtraction tells; 0 where u is v; an input with itself is as the others."""
    p = pairs(ANGLES, .8, .8)
    (cov, slope), (own, own_slope) = layer.dual(p), layer.dual(Pair.same(p.q1))
    assert (own.gap == 0).all() and (own.area == 0).all() and cov.gap[0] == 0
    same(cov.gap, 2 * own.k - 2 * cov.k, 1e-14)
    assert abs(own.k[0] - cov.k[0]) <= 1e-15 and abs(own_slope[0] - slope[0]) <= 1e-14
    p = pairs(ANGLES, .8, 1.9)
    own1, own2 = (layer.dual(Pair.same(q))[0].k for q in (p.q1, p.q2))
    cov, _ = layer.dual(p)
    same(cov.gap, own1 + own2 - 2 * cov.k, 1e-14)


def sums(layer, sigma1, sigma2, angle):
    """K', slope, gap' and both variances by equidistant sums, in one dimension where that is all."""
    phi, d_phi, _ = SMOOTH[layer]
    step = min(.25, .07 / max(sigma1, sigma2)) if angle in (0, pi) else min(.25, .2 / max(sigma1, sigma2))
    x = step * numpy.arange(-int(9 / step), int(9 / step) + 1)
    weight = step * exp(-x * x / 2) / sqrt(2 * pi)
    if angle in (0, pi):
        u, v = sigma1 * x, sigma2 * x * (1 if angle == 0 else -1)
    else:
        u, v = sigma1 * x[:, None], sigma2 * (numpy.cos(angle) * x[:, None] + numpy.sin(angle) * x)
        weight = weight[:, None] * weight
    fu, fv = phi(u), phi(v)
    return [numpy.sum(weight * c) for c in (fu * fv, d_phi(u) * d_phi(v), (fu - fv) ** 2, fu * fu + 0 * v, fv * fv)]


LENGTHS = [(1e-4, 1.), (1e-4, 30.), (.03, 1.0001), (.5, 1.), (.5, 3.), (.5, 30.), (1., 5.), (2., 1.5), (1., 30.)]


@smooth
def test_inputs_of_different_length(layer):
    """Parallel, opposite and others: K', also as it settles on its gap; slope, gap and area."""
    for sigma, ratio in LENGTHS:
        for angle in (0., .1, 1., pi) if sigma * ratio <= 3 else (0., pi):
            k, slope, gap, own1, own2 = sums(layer, sigma, sigma * ratio, angle)
            before = pairs(numpy.array([angle]), sigma ** 2, (sigma * ratio) ** 2)
            cov, value = layer.dual(before)
            size = sqrt(own1 * own2)
            settled = Pair(numpy.array([own1]), numpy.array([own2]), cov).settled(before).k
            assert abs(cov.k - k).max() <= 1e-13 * size and abs(settled - k).max() <= 1e-13 * (own1 + own2)
            assert abs(value - slope).max() <= 1e-13 * layer.dphi(numpy, numpy.zeros(1))[0] * 2
            assert abs(cov.gap - gap).max() <= 1e-13 * (own1 + own2)
            assert abs(cov.area ** 2 - (own1 * own2 - k * k)).max() <= 2e-13 * size ** 2


@pytest.mark.parametrize('layer', [Tanh(), Sigmoid()], ids=repr)
def test_series_do_not_end_where_a_remainder_is_0_by_rounding(layer):
    """Parallel inputs of a hundred lengths: of some, all that is left of E[phi'^2] was rounding, and 4e-10 was lost."""
    for sigma in numpy.geomspace(.2, 2, 100):
        other = min(15 * sigma, 30)
        _, slope, *_ = sums(layer, sigma, other, 0.)
        _, found = layer.dual(pairs(numpy.zeros(1), sigma ** 2, other ** 2))
        assert abs(found - slope).max() <= 1e-14 * layer.dphi(numpy, numpy.zeros(1))[0] ** 2


def test_one_feature():
    """As given by quadrature to 30 digits."""
    x, y = numpy.array([[1.]]), numpy.array([[5.]])
    assert abs(serial(Dense(1), Tanh()).kernel_fn(x, y, 'nngp')[0, 0] - .54354162679) <= 1e-11
    x, y = numpy.array([[1., 0.]]), 20 * numpy.array([[numpy.cos(.1), numpy.sin(.1)]])
    assert abs(serial(Dense(1), Sigmoid()).kernel_fn(x, y, 'nngp')[0, 0] - .31464526459) <= 1e-11


@smooth
def test_a_kink_behind_keeps_its_digits(layer):
    """Theta of Relu at a separation of 1e-9: an angle of 1e-9, and no noise of 1e-8."""
    x = numpy.array([[.6, -.5, .9]])
    net = serial(Dense(8), layer, Dense(8), Relu(), Dense(1))
    near, far = (net.kernel_fn(x, x + h * numpy.array([[.3, .8, -.2]]), 'ntk')[0, 0] for h in (1e-9, 0.))
    line = [far - net.kernel_fn(x, x + h * numpy.array([[.3, .8, -.2]]), 'ntk')[0, 0] for h in (1e-6, 2e-6)]
    assert abs(line[1] / line[0] - 2) < 1e-4                                         # proportional to the distance
    assert abs((far - near) / line[0] - 1e-3) < 1e-5


# ------------------------------------------------------------------ networks

X = numpy.random.default_rng(3).standard_normal((5, 4))
ROWS = numpy.concatenate([X, X[:1], -X[1:2], 0 * X[:1], X[2:3] + 1e-9])


def deep(layer):
    return serial(Dense(8, 1.3, .2), layer, Dense(8, 1.2, .1), layer, Dense(1))


@every
def test_kinds(layer, kind):
    net = deep(layer) if kind not in ('autograd', 'mpmath') else serial(Dense(8, .3, .1), layer, Dense(1))
    if kind == 'mpmath' and layer not in (Sigmoid(), HardTanh(), Elu()):
        return                                                      # a minute; `test_25_digits` has the others
    x = ROWS.astype('float32').astype('float64')
    expected = net.kernel_fn(x)
    k = net.kernel_fn(to_kind(kind, x))
    for name in ('nngp', 'ntk', 'cov1'):
        a, b = to_numpy(getattr(k, name)), getattr(expected, name)
        assert a.dtype == ('float32' if kind == 'float32' else 'float64')
        loss = 1e-3 if kind == 'float32' and name == 'ntk' else 3e-6 if kind == 'float32' else 1e-7
        assert abs(a - b).max() <= (loss if kind in ('float32', 'mpmath') else 1e-13) * abs(b).max()


@every
def test_tiles_are_the_whole(layer):
    """More inputs than a tile has; equal ones, opposite ones and one of zeros among them."""
    x = numpy.concatenate([ROWS, numpy.random.default_rng(1).standard_normal((320, 4)), ROWS])
    net = deep(layer)
    k = net.kernel_fn(x, get=('nngp', 'ntk'))
    whole = net.kernel_fn(ROWS)
    for tiled, expected in zip(k, (whole.nngp, whole.ntk)):
        for rows in (slice(0, 9), slice(-9, None)):
            for columns in (slice(0, 9), slice(-9, None)):
                noise = 1e-13 if layer in SMOOTH else 1e-7                          # the gap of ROWS[2] and ROWS[8]
                assert abs(tiled[rows, columns] - expected).max() <= noise * abs(expected).max()
    assert abs(k.ntk - k.ntk.T).max() <= (1e-14 if layer in SMOOTH else 1e-7) * abs(k.ntk).max()


@every
def test_no_inputs_and_one(layer):
    net = deep(layer)
    assert net.kernel_fn(X[:0], X, 'ntk').shape == (0, 5) and net.kernel_fn(X[:0], get='ntk').shape == (0, 0)
    assert abs(net.kernel_fn(X[:1], get='ntk') - net.kernel_fn(X, get='ntk')[0, 0]) <= 1e-13


@every
def test_positions(layer):
    """An image of two pixels is two samples."""
    image = X[:4].reshape(2, 2, 4)
    k = serial(Conv(8, (1,), W_std=1.3, b_std=.2), layer, Conv(8, (1,)))
    pixels = serial(Dense(8, 1.3, .2), layer, Dense(8)).kernel_fn(X[:4], get='ntk').reshape(2, 2, 2, 2)
    assert abs(k.kernel_fn(image, get='ntk') - pixels.transpose(0, 2, 1, 3)).max() <= 1e-13
    mean = serial(k, Flatten()).kernel_fn(image, get='ntk')
    assert abs(mean - numpy.einsum('nhmh->nm', pixels) / 2).max() <= 1e-13


# ------------------------------------------------------------------ derivatives

@every
def test_gradients(layer):
    """In the weights, and in inputs of which two are the same and stay so."""
    x = .7 * numpy.concatenate([X[:2], X[:1]])
    steps = numpy.random.default_rng(5).standard_normal((3, 4))
    steps[2] = steps[0]
    weights = numpy.random.default_rng(6).standard_normal((3, 3))
    for name in ('nngp', 'ntk'):
        def f(w, b, x):
            net = serial(Dense(8, w, b), layer, Dense(1, w, b))
            return anp.sum(weights * net.kernel_fn(x, get=name))
        h, got = 1e-4, [autograd.grad(f, i)(1.2, .4, x) for i in range(3)]
        for i, (gradient, step) in enumerate(zip(got, (1., 1., steps))):
            def at(t, i=i, step=step):
                return f(*(v + t * step if j == i else v for j, v in enumerate((1.2, .4, x))))
            central = (8 * (at(h) - at(-h)) - at(2 * h) + at(-2 * h)) / (12 * h)
            assert abs(numpy.sum(gradient * step) - central) <= 1e-8 * abs(weights).sum()


@every
def test_slope_is_the_derivative(layer):
    """Price's theorem, by autograd."""
    q1, q2 = numpy.array([.3, 2., .9]), numpy.array([.4, .7, .9])
    k = numpy.array([.9, -.8, .05]) * sqrt(q1 * q2)
    slope = layer.dual(Pair(q1, q2, Cov(k)))[1]
    by_k = autograd.elementwise_grad(lambda k: layer.dual(Pair(q1, q2, Cov(k)))[0].k)(k)
    assert abs(by_k - slope).max() <= 1e-12


def test_the_parameter_of_elu_has_a_derivative():
    def f(alpha):
        return anp.sum(serial(Dense(8, 1.2), Elu(alpha), Dense(1)).kernel_fn(X, get='ntk'))
    assert abs(autograd.grad(f)(.7) - (f(.7 + 1e-5) - f(.7 - 1e-5)) / 2e-5) <= 1e-7


# ------------------------------------------------------------------ finite networks

@every
def test_functions(layer):
    """phi at every size, without overflow; its derivative, by autograd, is that of the dual."""
    phi, d_phi, kinks = LAYERS[layer]
    z = numpy.array([[-800., -40., -3., -.5, .25, 2., 5., 7., 40., 800.]])
    assert abs(layer.apply_fn((), z) - phi(z)).max() <= 1e-13 * 800
    if layer != Sigmoid() and layer != Swish() and layer != Relu6():         # the logistic function ends at eps
        assert abs(layer.apply_fn((), z[:, 1:]) / phi(z[:, 1:]) - 1).max() <= 1e-14
    by_z = autograd.elementwise_grad(lambda z: layer.apply_fn((), z))(z)
    assert abs(by_z - d_phi(z)).max() <= 1e-14
    if layer in SMOOTH:
        assert abs(layer.dphi(namespace(z), z) - d_phi(z)).max() <= 1e-14
        assert numpy.isfinite(autograd.elementwise_grad(lambda z: layer.apply_fn((), z))(0 * z)).all()


@every
def test_finite_networks(layer, rng):
    """Exact at every width behind one nonlinearity: covariance, and tangent kernel with a readout."""
    x = 1.5 * rng.standard_normal((3, 4))
    net = serial(Dense(2000, 1.4, .3), layer)
    check_mean(draws(second_moment, net, x, rng, 40), net.kernel_fn(x, get='nngp'), .1)
    net = serial(Dense(200, 1.4, .3), layer, Dense(1, 1.2, .1))
    check_mean(draws(empirical_ntk, net, x, rng, 40), net.kernel_fn(x, get='ntk'), .15)


# ------------------------------------------------------------------ what is refused

@every
def test_variances_that_are_too_large(layer):
    largest = 1100 if layer in SMOOTH else 1e8 if isinstance(layer, (Elu, Selu)) else 1e5
    net, x = serial(Dense(8), layer), largest ** .5 * numpy.array([[1.001], [.5]])
    for get in (None, 'nngp'):
        with pytest.raises(stax.LayerError, match='layer 1, .*: expected variances up to .* Scale the inputs'):
            net.kernel_fn(x, get=get)


@pytest.mark.parametrize('alpha, error', [('1', TypeError), (None, TypeError), (numpy.nan, ValueError),
                                          (numpy.ones(2), TypeError)])
def test_alpha(alpha, error):
    with pytest.raises(error, match='Elu: alpha'):
        Elu(alpha)


@every
def test_only_gaussians(layer):
    with pytest.raises(stax.LayerError, match='Gaussian'):
        serial(Dense(8), Erf(), layer).kernel_fn(X)


@every
def test_as_text(layer):
    assert stax.from_spec(layer.to_spec()) == layer
    assert repr(Elu(.25)) == 'Elu(0.25)' and repr(Elu()) == 'Elu()'
