"""Derivatives of kernels by Price's theorem: where inputs coincide, are opposite, parallel or zero, and of high order.

The truth is E[f(u) g(v)] of higher derivatives f, g, by sums over a fine grid, in one dimension where u and v are
parallel (the inputs have one feature, no bias), and central differences with mpmath elsewhere.
"""
import autograd
import autograd.numpy as anp
import mpmath as mp
import numpy
import pytest
from autograd.core import make_jvp, primitive_vjps
from numpy import pi

from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.stax import (
    ABRelu, Conv, Dense, ElementwiseNumerical, Elu, Flatten, HardTanh, Mish, Relu6, Selu, Sigmoid, Softplus, Swish,
    Tanh, serial)

SMOOTH = {
    Tanh(): mp.tanh,
    Sigmoid(): lambda z: 1 / (1 + mp.exp(-z)),
    Softplus(): lambda z: mp.log1p(mp.exp(z)),
    Swish(): lambda z: z / (1 + mp.exp(-z)),
    Mish(): lambda z: z * mp.tanh(mp.log1p(mp.exp(z))),
}
smooth = pytest.mark.parametrize('layer', SMOOTH, ids=repr)


# ------------------------------------------------------------------ one feature, no bias: u = W x z, v = W x' z

ORDERS = 7
NODES = numpy.linspace(-9, 9, 91)                      # in standard deviations of at most 1.2
WEIGHTS = (NODES[1] - NODES[0]) * numpy.exp(-NODES ** 2 / 2) / numpy.sqrt(2 * pi)


def derivatives(f, z):
    """Derivatives of f of the orders below ORDERS at the points z."""
    with mp.workdps(40):
        tables = [mp.taylor(f, mp.mpf(float(c)), ORDERS - 1) for c in z]
    return numpy.array([[float(c * mp.factorial(n)) for n, c in enumerate(table)] for table in tables]).T


def expected(layer, x, y, w=.6):
    """{(i, j): E[phi^(i)(u) phi^(j)(v)]}."""
    left, right = (derivatives(SMOOTH[layer], w * c * NODES) for c in (x, y))
    return {(i, j): float(WEIGHTS @ (left[i] * right[j])) for i in range(ORDERS) for j in range(ORDERS)}


def along(e, i, j, x, y, orders, w=.6):
    """Of E[f_i(u) f_j(v)] with u = w x z the derivative of the `orders` in x and in y, by d/dx = w^2 (x d_q2 + y d_k).

    As polynomials in x and y with expectations as coefficients: {(i, j, a, b): c} is c x^a y^b E[f_i f_j].
    """
    total = {(i, j, 0, 0): 1.}
    for side, order in enumerate(orders):
        for _ in range(order):
            new = {}

            def add(key, c):
                new[key] = new.get(key, 0) + c
            for (i, j, a, b), c in total.items():
                power = (a, b)[side]
                if power:
                    add((i, j, a - (side == 0), b - (side == 1)), c * power)
                add((i + 1, j + 1, a + (side == 1), b + (side == 0)), w * w * c)
                add((i + 2 * (side == 0), j + 2 * (side == 1), a + (side == 0), b + (side == 1)), w * w * c)
            total = new
    return sum(c * x ** a * y ** b * e[i, j] for (i, j, a, b), c in total.items())


def differentiated(f, orders):
    """f(x, y) differentiated so often in each."""
    for argnum, order in enumerate(orders):
        for _ in range(order):
            f = autograd.grad(f, argnum)
    return f


def kernel(net, get):
    return lambda x, y: net.kernel_fn(anp.reshape(x, (1, 1)), anp.reshape(y, (1, 1)), get)[0, 0]


POINTS = [(1.1, 1.1), (1.1, -1.1), (0., 0.), (0., 1.7), (1.1, 1.7), (.9, .9 + 1e-9), (1e-9, -1.1)]
SECOND = [(1, 0), (0, 1), (1, 1), (2, 0), (0, 2)]


def check(layer, points, orders):
    w = .6
    net = serial(Dense(1, w), layer, Dense(1))
    for x, y in points:
        e = expected(layer, x, y)
        for order in orders:
            nngp = along(e, 0, 0, x, y, order)
            size = abs(e[1, 1]) + abs(e[2, 2]) + abs(e[3, 1]) + abs(e[1, 3])
            assert abs(differentiated(kernel(net, 'nngp'), order)(x, y) - nngp) <= 1e-11 * max(abs(nngp), size)
            # Theta = K' + slope K,  K = w^2 x y, by the product rule of E[phi' phi'] x y
            ntk = nngp + w * w * product(e, x, y, order)
            assert abs(differentiated(kernel(net, 'ntk'), order)(x, y) - ntk) <= 1e-11 * max(abs(ntk), size)


def product(e, x, y, orders):
    """Of x y E[f_1(u) f_1(v)]."""
    total = 0.
    for i in range(min(orders[0], 1) + 1):                         # i derivatives of x, j of y
        for j in range(min(orders[1], 1) + 1):
            factor = (x, 1.)[i] * (y, 1.)[j] * max(orders[0], 1) ** i * max(orders[1], 1) ** j
            total += factor * along(e, 1, 1, x, y, (orders[0] - i, orders[1] - j))
    return total


def test_first_and_second_derivatives():
    check(Tanh(), POINTS[:4:3], [(1, 0), (1, 1), (2, 0)])
    check(Mish(), POINTS[:1], SECOND[2:3])


@pytest.mark.slow
@smooth
def test_first_and_second_derivatives_everywhere(layer):
    check(layer, POINTS, SECOND)


def test_third_and_fourth_derivatives():
    net = serial(Dense(1, .6), Tanh(), Dense(1))
    for x, y in ((1.1, 1.1), (0., 1.7)):
        e = expected(Tanh(), x, y)
        for order in ((2, 1), (2, 2)):
            value, truth = differentiated(kernel(net, 'nngp'), order)(x, y), along(e, 0, 0, x, y, order)
            assert abs(value - truth) <= 1e-10


def test_forward_mode_is_reverse_mode():
    for layer in (Tanh(), Elu(.3), Relu6()):
        f = kernel(serial(Dense(1, .9, .3), layer, Dense(1)), 'ntk')
        for x, y in ((.7, .7), (0., .7), (.7, -.2)):
            forward = make_jvp(lambda x: make_jvp(lambda y: f(x, y), y)(1.)[1], x)(1.)[1]
            assert abs(forward - differentiated(f, (1, 1))(x, y)) <= 1e-12


# ------------------------------------------------------------------ inputs and patches that are zero

@pytest.mark.parametrize('layer', [Tanh(), Softplus(), Swish(), Elu(), Relu6()], ids=repr)
def test_at_zero(layer):
    """phi'(0) E[phi'(v)] x' / 2, where q' = 250."""
    y = numpy.array([[10., 20.]])

    def f(x):
        return serial(Dense(1), layer).kernel_fn(x, y, 'nngp')[0, 0]
    with mp.workdps(20):
        phi = SMOOTH.get(layer)
        if phi:
            slope = mp.quad(lambda z: mp.npdf(z) * mp.diff(phi, mp.sqrt(250) * z), numpy.linspace(-8, 8, 33).tolist())
            slope *= mp.diff(phi, 0)
        elif layer == Elu():                                        # E e^v of negative v
            slope = .5 + mp.exp(125) * mp.erfc(mp.sqrt(125)) / 2
        else:
            slope = (mp.ncdf(6 / mp.sqrt(250)) - .5) / 2            # phi' at a kink: between those of the two sides
    wanted = float(slope) * y / 2
    assert abs(autograd.grad(f)(numpy.zeros((1, 2))) - wanted).max() <= 1e-11 * abs(wanted).max()
    forward = make_jvp(f, numpy.zeros((1, 2)))(numpy.array([[1., 0.]]))[1]
    assert abs(forward - wanted[0, 0]) <= 1e-11 * abs(wanted).max()


@pytest.mark.parametrize('layer', [*SMOOTH, Elu(), Selu(), HardTanh(), Relu6()], ids=repr)
def test_a_zero_input_against_small_ones(layer):
    """The gradient has no step at 0; that of Theta neither."""
    y = numpy.array([[1.3, -.4], [3., 1.]])
    for get in ('nngp', 'ntk'):
        def f(x):
            return anp.sum(serial(Dense(1), layer, Dense(1)).kernel_fn(x, y, get))
        zero, near, other = (autograd.grad(f)(numpy.array([[c, -c]])) for c in (0., 1e-9, -1e-9))
        assert abs(zero - (near + other) / 2).max() <= 1e-8 * abs(zero).max()


def test_zero_patches():
    """An image of two pixels of which one is zero is two inputs."""
    conv = serial(Conv(1, (1,)), Tanh(), Conv(1, (1,)), Flatten())
    dense = serial(Dense(1), Tanh(), Dense(1))
    x, y = numpy.array([[[1., .5], [0., 0.]]]), numpy.array([[[.3, .7], [2., -1.]]])
    for get in ('nngp', 'ntk'):
        gradient = autograd.grad(lambda x: conv.kernel_fn(x, y, get)[0, 0])(x)[0]
        wanted = autograd.grad(lambda x: anp.sum(anp.diag(dense.kernel_fn(x, y[0], get))))(x[0]) / 2
        assert abs(gradient - wanted).max() <= 1e-13 and abs(gradient[1]).max() > .01


def test_the_slope_of_relu6_at_zero():
    """phi'(0) = 1/2 is between those of both sides:  E[phi'(0) phi'(v)] = P(0 < v < 6) / 2."""
    one, zero = numpy.array([[100.]]), numpy.array([[0.]])
    for pair in (Pair(zero, one, Cov(0 * one)), Pair(one, zero, Cov(0 * one))):
        assert abs(Relu6().dual(pair)[1][0, 0] - float(mp.ncdf(.6) - .5) / 2) <= 1e-15


# ------------------------------------------------------------------ kinks

@pytest.mark.slow
def test_numerical_derivatives_have_the_jumps():
    """Kinks that are named or found, smooth parts between: as of the functions that have a formula."""
    def relu6(z):
        return anp.minimum(anp.maximum(z, 0), 6)

    def unit(z):
        return anp.where(z > 0, z, .3 * anp.expm1(anp.minimum(z, 0)))
    unit.kinks = (0.,)
    for layer, exact in ((ElementwiseNumerical(relu6), Relu6()), (ElementwiseNumerical(unit), Elu(.3))):
        for get in ('nngp', 'ntk'):
            f, truth = (kernel(serial(Dense(1, 1.3, .4), each, Dense(1)), get) for each in (layer, exact))
            for order in ((1, 0), (1, 1)):
                value, wanted = (differentiated(each, order)(.3, -.8) for each in (f, truth))
                assert abs(value - wanted) <= 1e-11


@pytest.mark.parametrize('layer', [ElementwiseNumerical(anp.tanh), pytest.param(
    ElementwiseNumerical(anp.tanh, 20), marks=pytest.mark.slow)], ids=repr)
def test_numerical_tanh(layer):
    for x, y in ((.7, .7), (0., 1.)):
        f, truth = (kernel(serial(Dense(1, .4), each, Dense(1)), 'ntk') for each in (layer, Tanh()))
        for order in ((1, 0), (1, 1)):
            value, wanted = (differentiated(each, order)(x, y) for each in (f, truth))
            assert abs(value - wanted) <= 1e-9


@pytest.mark.parametrize('layer', [HardTanh(), Relu6(), Elu(.3)], ids=repr)
def test_second_derivatives_of_kinked_functions(layer):
    """Against central differences of the first."""
    for get in ('nngp', 'ntk'):
        f = kernel(serial(Dense(1, 1.3, .4), layer, Dense(1)), get)
        for x, y in ((.3, -.3), (.3, 1.7)):
            for first in ((1, 0), (0, 1)):
                gradient, h = differentiated(f, first), 1e-3
                near, far = (gradient(x, y + t) - gradient(x, y - t) for t in (h, 2 * h))
                value = differentiated(f, (first[0], first[1] + 1))(x, y)
                assert abs(value - (8 * near - far) / (12 * h)) <= 1e-8


def test_an_elu_has_a_second_derivative_at_coincident_inputs():
    """alpha = 1: d2/dx dy E[phi(w x z) phi(w y z)] = E[(w z)^2 phi'(w x z) phi'(w y z)]; there is no delta."""
    x, w = .7, 1.3
    f = kernel(serial(Dense(1, w), Elu()), 'nngp')
    for y in (x, -x):
        with mp.workdps(20):
            wanted = mp.quad(lambda z: mp.npdf(z) * (w * z) ** 2 * mp.exp(min(w * x * z, 0) + min(w * y * z, 0)),
                             [-12, -4, 0, 4, 12])
        assert abs(differentiated(f, (1, 1))(x, y) - float(wanted)) <= 1e-12


@pytest.mark.parametrize('variance', [1e-14, 1e-30, 1e-100])
@pytest.mark.parametrize('layer', [Elu(), Elu(.3), Selu()], ids=repr)
def test_units_of_tiny_variances_are_leaky(layer, variance):
    """K of a function with two slopes at 0, and its gradient, to the root of the variance."""
    scale, alpha = layer.scales if isinstance(layer, Selu) else (1., layer.alpha)
    x, y = variance ** .5 * numpy.array([[[1., .3]], [[-.4, 2.]]])
    for a, b in ((x, y), (x, 1e-3 * y), (x, -y)):
        found = []
        for layer_or_leaky in (layer, ABRelu(scale * alpha, scale)):
            net = serial(Dense(1), layer_or_leaky)
            found.append((net.kernel_fn(a, b, 'nngp'), autograd.grad(lambda a: net.kernel_fn(a, b, 'nngp')[0, 0])(a)))
        for value, wanted in zip(*found):
            assert abs(value - wanted).max() <= 3 * (variance ** .5 + 1e-15) * abs(wanted).max()


# ------------------------------------------------------------------ nothing is left behind

def test_gradients_leave_nothing_in_the_tables_of_autograd():
    layers = Tanh(), HardTanh(), Elu(.3), ElementwiseNumerical(anp.tanh, 2)
    gradients = [autograd.grad(kernel(serial(Dense(1), layer, Dense(1)), 'nngp')) for layer in layers]
    for gradient in gradients:
        gradient(.3, .7)
    before = len(primitive_vjps)
    for i in range(50):
        gradients[i % 4](.3 + .01 * i, .7)
    assert len(primitive_vjps) == before
