"""Derivatives of order two and more: at distinct, coincident, opposite, parallel and zero inputs, and nearly such ones.

A smooth network has all of them everywhere; what a Gaussian process of derivatives needs is d^2 K / dx dx' at x = x',
where gap and area are 0 and roots of them have no derivative. The truth are differences of the textbook formulas at
120 digits (`reference`): of steps of 1e-14 and orders up to four more than 50 digits are left.
"""
import itertools

import autograd.numpy as anp
import mpmath as mp
import numpy
import pytest
import reference
from autograd import elementwise_grad, grad
from autograd.core import make_jvp

from ntref.stax import (
    Cos, Dense, Erf, Exp, ExpNormalized, Gabor, Gaussian, Gelu, Hermite, LeakyRelu, Monomial, Polynomial, Rbf,
    RectifiedMonomial, Relu, Sigmoid_like, Sin, serial)

SMOOTH = [Erf(), Erf(1.25, .75, .25), Sigmoid_like(), Gelu(), Sin(), Sin(.75, 1.5, .5), Cos(), Rbf(.75),
          Gaussian(1., -.625), Gaussian(.5, .03125), Exp(.75, .5), Gabor(), Hermite(3), Monomial(2), Monomial(3),
          Polynomial((.25, -.5, .125, .0625))]
REPORTED = [(Erf(), Rbf(.75)), (Gelu(), Rbf(.75)), (Erf(), Exp(.75, .5)), (Gelu(), Exp(.75, .5)), (Erf(), Sin()),
            (Gelu(), Sin()), (Sin(), Rbf(.75)), (Sin(), Exp(.75, .5)), (Sin(), Sin()), (Gabor(), Cos()),
            (Hermite(3), Sin(.75, 1.5, .5))]
TOLERANCE = 1e-13           # of the largest second derivative of the network at these inputs; measured 3e-14
STEP = mp.mpf(10) ** -14
WEIGHTS = {0: (0, 1, 0), 1: (mp.mpf(-1) / 2, 0, mp.mpf(1) / 2), 2: (1, -2, 1)}      # of f(-h), f(0), f(h)
ORDERS = (2, 0), (1, 1), (0, 2)
V, W = numpy.array([1., .5, -.25]), numpy.array([.5, -1., .75])                     # directions of x and x'


def network(layers, bias):
    return serial(*(part for layer in layers for part in (Dense(1, .875, bias), layer)), Dense(1, 1.125, bias))


def pairs(n):
    """Inputs of n features: coincident, opposite, parallel, zero, and such to 1e-4, 1e-9, 1e-14; two of no relation."""
    x, d = numpy.array([.3, -.7, .5])[:n], numpy.array([.4, .2, -.6])[:n]
    others = (x, -x, 2 * x, -3 * x, 0 * x, x + 1e-4 * d, x + 1e-9 * d, x + 1e-14 * d, 1e-9 * d - x, 2 * x + 1e-7 * d,
              1e-9 * d, d)
    return numpy.array([x] * len(others) + [0 * x]), numpy.array([*others, 0 * x])


def exact(spec, x, y, orders):
    """Derivatives of K and of Theta at x + s V, y + t W in s and t, of these orders: (orders, 2)."""
    n = len(x)
    with mp.workdps(reference.DIGITS):
        x, y, v, w = ([mp.mpf(float(c)) for c in a] for a in (x, y, V[:n], W[:n]))

        def kernels(i, j):
            a, b = ([c + m * STEP * e for c, e in zip(x, along)] for x, along, m in ((x, v, i), (y, w, j)))
            zero, covs = mp.mpf(0), (mp.fdot(a, a) / n, mp.fdot(b, b) / n, mp.fdot(a, b) / n)
            state = reference.layer(spec, reference.State(*covs, zero, zero, zero, n, False))
            return state.k, state.t
        table = {(i, j): kernels(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        return numpy.array([[float(sum(WEIGHTS[m][i + 1] * WEIGHTS[o][j + 1] * table[i, j][c] for i, j in table)
                                   / STEP ** (m + o)) for c in (0, 1)] for m, o in orders])


def traced(net, x, y, name, orders):
    """The same by autograd, of all pairs of rows at once: (pairs, orders)."""
    i, zero = numpy.arange(len(x)), numpy.zeros(len(x))

    def f(s, t):
        return net.kernel_fn(x + s[:, None] * V[:x.shape[1]], y + t[:, None] * W[:x.shape[1]], name)[i, i]

    def derivative(m, o):
        g = f
        for argnum in [0] * m + [1] * o:
            g = elementwise_grad(g, argnum)
        return g(zero, zero)
    return numpy.array([derivative(*order) for order in orders]).T


def check(net, n, tolerance=TOLERANCE, orders=ORDERS, chosen=slice(None)):
    x, y = (a[chosen] for a in pairs(n))
    right = numpy.array([exact(net.to_spec(), a, b, orders) for a, b in zip(x, y)])
    for c, name in enumerate(('nngp', 'ntk')):
        error = abs(traced(net, x, y, name, orders) - right[..., c]).max(1) / abs(right[..., c]).max()
        assert (error <= tolerance).all(), (name, error)


@pytest.mark.parametrize('layer', SMOOTH, ids=repr)
def test_one_layer(layer):
    check(network([layer], None), 3, chosen=[0, 1, 4, 7, 10])


@pytest.mark.parametrize('layers', REPORTED, ids=repr)
def test_a_layer_behind_another(layers):
    check(network(layers, .25), 1, chosen=[0, 1, 10])


PAIRS = [layers for layers in itertools.product(SMOOTH, SMOOTH)      # but where E phi^2 is infinite
         if layers[1] != Gaussian(.5, .03125) or layers[0] not in (Monomial(2), Monomial(3), Hermite(3))]


@pytest.mark.slow
@pytest.mark.parametrize('layers', [[layer] for layer in SMOOTH] + PAIRS, ids=repr)
def test_every_layer_everywhere_and_behind_every_other(layers):
    for n, bias in itertools.product((1, 3), (None, .25)):
        check(network(layers, bias), n)


def test_exp_normalized_except_at_zero():
    """K' = s exp(...) has a kink where an input is 0."""
    for layers in [ExpNormalized(.75, .125), Sin()], [ExpNormalized(.75, do_clip=True)]:
        check(network(layers, .25), 1, chosen=[0, 1, 4, 12])
        check(network(layers, None), 3, chosen=[0, 1, 2, 5])


# ------------------------------------------------------------------ third and fourth derivatives

HIGHER = (2, 1), (1, 2), (2, 2)


@pytest.mark.parametrize('layers', [[Erf()], [Gelu()], [Sin(.75, 1.5, .5), Rbf(.75)]], ids=repr)
def test_third_and_fourth_derivatives(layers):
    check(network(layers, .25), 1, 1e-12, HIGHER, [0, 11])


def test_a_fourth_derivative_known_to_15_digits():
    """d^4 K / dx^2 dx'^2 of Erf at .3 and .8, by differences at 80 digits."""
    net = serial(Dense(1, 1.3, .4), Erf(), Dense(1))

    def f(x, y):
        return net.kernel_fn(anp.reshape(x, (1, 1)), anp.reshape(y, (1, 1)), 'nngp')[0, 0]
    assert abs(grad(grad(grad(grad(f, 0), 0), 1), 1)(.3, .8) - .748541470737117) < 1e-14


def test_forward_over_forward_and_over_reverse():
    net = network([Erf(), Sin()], .25)

    def f(x):
        return net.kernel_fn(anp.reshape(x, (1, 1)), numpy.array([[.3]]), 'ntk')[0, 0]

    def forward(f):
        return lambda x: make_jvp(f, x)(1.)[1]
    right = exact(net.to_spec(), [.3], [.3], [(2, 0)])[0, 1]
    for second in forward(forward(f)), forward(grad(f)), grad(forward(f)), grad(grad(f)):
        assert abs(second(.3) - right) <= 1e-13 * abs(right)


# ------------------------------------------------------------------ in the parameters

PARAMETERS = {
    'Erf': (Erf, ('a', 'b', 'c'), (1.25, .75, .25)), 'Sin': (Sin, ('a', 'b', 'c'), (.75, 1.5, .5)),
    'Cos': (Cos, ('a', 'b', 'c'), (.75, 1.5, .5)), 'Rbf': (Rbf, ('gamma',), (.75,)),
    'Gaussian': (Gaussian, ('a', 'b'), (1.25, -.625)), 'Exp': (Exp, ('a', 'b'), (.75, .5)),
    'ExpNormalized': (ExpNormalized, ('gamma', 'shift'), (.75, .125)),
    'Dense': (lambda w, b: Dense(1, w, b), ('W_std', 'b_std'), (.875, .25))}


@pytest.mark.parametrize('name', PARAMETERS)
@pytest.mark.parametrize('opposite', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_in_a_parameter_and_an_input(name, opposite):
    """d^2 / da^2 and d^2 / da dx at x' = x and x' = -x, one feature; a Sin behind, which needs the gap."""
    build, names, values = PARAMETERS[name]
    y = -.3 if opposite else .3

    def layers(values):
        layer = build(*values)
        return [layer, Erf()] if name == 'Dense' else [Dense(1, .875, .25), layer]

    def f(values, x):
        net = serial(*layers(values), Dense(1, 1.125), Sin(), Dense(1, .75, .5))
        return net.kernel_fn(anp.reshape(x, (1, 1)), numpy.array([[y]]), 'ntk')[0, 0]

    def theta(values, x):
        spec = serial(*layers(PARAMETERS[name][2]), Dense(1, 1.125), Sin(), Dense(1, .75, .5)).to_spec()
        spec['layers'][0 if name == 'Dense' else 1].update(zip(names, values))
        q1, q2, k = x * x, mp.mpf(y) ** 2, x * mp.mpf(y)
        return reference.layer(spec, reference.State(q1, q2, k, mp.mpf(0), mp.mpf(0), mp.mpf(0), 1, False)).t
    hessian = numpy.array(grad(lambda v: anp.sum(grad(f)(v, .3)))(numpy.array(values)))
    mixed = numpy.array([grad(lambda x: grad(f)(numpy.array(values), x)[i])(.3) for i in range(len(values))])
    with mp.workdps(reference.DIGITS):
        h, values, x, ones = STEP, [mp.mpf(v) for v in values], mp.mpf(.3), range(len(values))

        def at(i, j, m, x):
            return theta([v + h * ((n == i) + m * (n == j)) for n, v in enumerate(values)], x)

        def across(i, x):
            up, down = ([v + s * h * (n == i) for n, v in enumerate(values)] for s in (1, -1))
            return (theta(up, x) - theta(down, x)) / (2 * h)
        right = numpy.array([float((across(i, x + h) - across(i, x - h)) / (2 * h)) for i in ones])
        second = numpy.array([float(sum((at(i, j, 1, x) + theta([v - h * ((n == i) + (n == j)) for n, v in enumerate(
            values)], x) - at(i, j, -1, x) - theta([v - h * ((n == i) - (n == j)) for n, v in enumerate(values)], x))
            / (4 * h * h) for i in ones)) for j in ones])
    scale = max(abs(right).max(), abs(second).max())
    assert abs(mixed - right).max() <= 1e-13 * scale and abs(hessian - second).max() <= 1e-13 * scale


# ------------------------------------------------------------------ kinks

@pytest.mark.parametrize('layers', [[LeakyRelu(.25)], [Relu(), Erf()], [Erf(), Relu()]], ids=repr)
def test_kinked_away_from_the_cusp(layers):
    """Where the angle is neither 0 nor pi: distinct inputs, and parallel ones, which a bias parts."""
    check(network(layers, .25), 3, 1e-13, chosen=[1, 2, 4, 8, 9, 10])


@pytest.mark.parametrize('n', [2, pytest.param(3, marks=pytest.mark.slow)])
def test_rectified_powers_at_the_cusp_as_well(n):
    """They have two derivatives; near the cusp they lose digits as eps / theta."""
    for layers in [RectifiedMonomial(n)], [RectifiedMonomial(n), Erf()]:
        check(network(layers, .25), 3, 1e-13, chosen=[0, 1, 2, 4])
        check(network(layers, None), 3, 1e-6, chosen=[0, 6, 9])


@pytest.mark.parametrize('layer', [Erf(), Gelu(), Sin(.75, 1.5, .5), Rbf(.75), Gabor(), Monomial(3),
                                   RectifiedMonomial(2)], ids=repr)
def test_first_derivatives_near_the_cusp_of_a_kink_behind(layer):
    """To eps / theta, with theta of 1e-4 and 1e-9; relative to the larger of the derivatives of K and Theta."""
    net, (x, y) = network([layer, Relu()], .25), pairs(3)
    for i, bound in (5, 1e-10), (6, 1e-5):
        right = exact(net.to_spec(), x[i], y[i], [(1, 0)])[0]
        got = [traced(net, x[i:i + 1], y[i:i + 1], name, [(1, 0)])[0, 0] for name in ('nngp', 'ntk')]
        assert abs(got - right).max() <= bound * abs(right).max()
