"""Kernels are differentiable by autograd: in inputs, deviations and parameters, at coincident inputs too.

Away from cusps the truth is a central difference of order four (of the kernel on NumPy arrays). Where an input meets
itself, Theta(x, y) has a cusp, |x - y|: there the derivative is the symmetric one, and on the diagonal, where both move
together, the true one; both follow from 120 digits of Theta(x, x) (`reference`).
"""
import autograd
import mpmath
import numpy
import pytest
import reference
from autograd import numpy as anp
from autograd.core import make_jvp
from autograd.misc import flatten
from examples import ANYWHERE, cube, d_cube, draw, has_finite_network, smooth

from ntref import linearize, stax, taylor_expand
from ntref.stax import (
    ABRelu, Abs, Conv, ConvLocal, ConvTranspose, Cos, Dense, Dropout, ElementwiseNumerical, Elu, Erf, Exp,
    ExpNormalized, FanInProd, FanOut, Flatten, Gabor, Gaussian, Gelu, GlobalSelfAttention, HardTanh, Hermite, LayerNorm,
    LeakyRelu, Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, RMSNorm, Sigmoid_like, Sign, Sin, Tanh,
    parallel, serial)
from ntref.testing import laid_out
from ntref.trees import leaves, rebuilt

TOLERANCE = 1e-9            # of central differences: rounding over the step, measured 3e-11
STEP = 1e-3

networks = pytest.mark.parametrize('net', [n for _, n in ANYWHERE], ids=[f'{name}: {net!r}' for name, net in ANYWHERE])


def central(f, x, v, h=STEP):
    """Derivative of f at x along v, to order h^4."""
    return (8 * (f(x + h * v) - f(x - h * v)) - (f(x + 2 * h * v) - f(x - 2 * h * v))) / (12 * h)


def assert_near(actual, expected, tolerance=TOLERANCE, scale=1.):
    actual, expected = numpy.asarray(actual, 'float64'), numpy.asarray(expected, 'float64')
    assert actual.shape == expected.shape and numpy.isfinite(actual).all()
    worst = abs(actual - expected).max(initial=0.) / max(scale, abs(expected).max(initial=0.))
    assert worst < tolerance, f'{worst:.3g}: {actual} for {expected}'


def weighted(net, rng, n1, n2, name):
    """A number made of the kernel, as a function of x1 and x2."""
    c = rng.standard_normal((n1, n2))

    def f(x1, x2=None):
        return anp.sum(c * net.kernel_fn(x1, x2, get=name))
    return f


# ------------------------------------------------------------------ in the inputs

@networks
@pytest.mark.parametrize('name', ['nngp', 'ntk'])
def test_in_either_input(net, name, rng):
    x, y = draw(rng, net, 3), draw(rng, net, 2)
    f = weighted(net, rng, 3, 2, name)
    for argnum, a in ((0, x), (1, y)):
        gradient = autograd.grad(f, argnum)(x, y)
        assert gradient.shape == a.shape
        for _ in range(2):
            v = rng.standard_normal(a.shape)
            wanted = central(lambda a: f(a, y) if argnum == 0 else f(x, a), a, v)
            assert_near(numpy.sum(gradient * v), wanted)


@networks
def test_in_both_inputs_together(net, rng):
    x = draw(rng, net, 3)
    for name in ('nngp', 'ntk'):
        f = weighted(net, rng, 3, 3, name)
        gradient, v = autograd.grad(f)(x), rng.standard_normal(x.shape)
        assert_near(numpy.sum(gradient * v), central(f, x, v))


@networks
def test_finite_at_equal_opposite_parallel_and_zero_inputs(net, rng):
    row = rng.standard_normal(5)
    x = numpy.stack([row, row, -row, 2 * row, 0 * row, 0 * row, row + 1e-9])
    x = laid_out(net, x)
    for name in ('nngp', 'ntk', 'cov1'):
        def total(x):
            return anp.sum(net.kernel_fn(x, get=name))

        def total_with(x1):
            return anp.sum(net.kernel_fn(x1, x, get=name))
        for f in (total, total_with):
            assert numpy.isfinite(autograd.grad(f)(x)).all()


# ------------------------------------------------------------------ where an input meets itself

D1, D2 = Dense(8, 1.3, .4), Dense(8, .9, .2)
MEETING = [
    serial(D1), serial(D1, LayerNorm(eps=.2), Relu(), D2), serial(Dense(8, 1.5), Relu(), Dense(8, 1.5), Abs())] + [
    serial(D1, layer, D2) for layer in (
        Relu(), LeakyRelu(.2), ABRelu(-.5, 1.2), Abs(), Sign(), RectifiedMonomial(0), RectifiedMonomial(2), Erf(),
        Erf(.7, 1.4, -.3), Sigmoid_like(), Gelu(), Sin(), Sin(.8, 1.3, .4), Cos(.8, 1.3, .4), Rbf(.3), Gaussian(),
        Exp(.5, .4), ExpNormalized(.7, .2), Gabor(), Hermite(3), Monomial(2), Polynomial((.3, -.5, .2, .1)))] + [
    serial(D1, Relu(), D2, Relu(), D2), serial(D1, Erf(), D2, Relu(), D2), serial(D1, Sin(), D2, Gelu(), D2, Erf(), D1)]
ROW = numpy.array([.3, -1.2, .8])


def diagonal_derivative(net, x):
    """Gradient of K(x, x) and of Theta(x, x) to 30 digits."""
    spec, n, h = net.to_spec(), len(x), mpmath.mpf(10) ** -20

    def own(x):
        q = mpmath.fdot(x, x) / n
        state = reference.layer(spec, reference.inputs(ROW, ROW)._replace(q1=q, q2=q, k=q))
        return state.k, state.t
    with mpmath.workdps(reference.DIGITS):
        x = [mpmath.mpf(float(c)) for c in x]
        columns = []
        for i in range(n):
            up, down = (own([c + s * h * (i == j) for j, c in enumerate(x)]) for s in (1, -1))
            columns.append([float((a - b) / (2 * h)) for a, b in zip(up, down)])
    return numpy.array(columns).T


@pytest.mark.parametrize('net', MEETING, ids=repr)
def test_where_an_input_meets_itself(net):
    for name, expected in zip(('nngp', 'ntk'), diagonal_derivative(net, ROW)):
        def own(x):
            return net.kernel_fn(x[None], get=name)[0, 0]

        def own_of_two(x):
            return net.kernel_fn(anp.stack([x, 2 * ROW]), get=name)[0, 0]

        def mutual(x, y):
            return net.kernel_fn(x[None], y[None], get=name)[0, 0]

        def in_a_batch(x):
            return net.kernel_fn(x[None], numpy.stack([ROW + 1, ROW]), get=name)[0, 1]
        scale = abs(net.kernel_fn(ROW[None], get=name)).max()
        for f in (own, own_of_two):
            assert_near(autograd.grad(f)(ROW), expected, 1e-12, scale)
        assert_near(autograd.grad(lambda x: net.kernel_fn(x[None], get='cov1')[0])(ROW),
                    diagonal_derivative(net, ROW)[0], 1e-12, scale)
        for f in (lambda x: mutual(x, ROW), lambda x: mutual(ROW, x), in_a_batch):
            assert_near(autograd.grad(f)(ROW), expected / 2, 1e-12, scale)


def test_it_is_the_symmetric_derivative():
    """Theta(x + h v, x) rises by the same on both sides; the mean of the two slopes is what autograd gives."""
    net, v = serial(D1, Relu(), D2), numpy.array([.2, .5, -.3])

    def f(x):
        return net.kernel_fn(x[None], ROW[None], get='ntk')[0, 0]
    right, left = ((f(ROW + h * v) - f(ROW)) / h for h in (1e-6, -1e-6))
    assert left - right > .05, 'a cusp'
    assert_near(autograd.grad(f)(ROW) @ v, (left + right) / 2, 1e-5)


# ------------------------------------------------------------------ in the parameters

def pixels(conv):
    """A network on rows of one-channel pixels."""
    return serial(conv, Relu(), Flatten(), D2)


def attention(k, v, q, o, b, e, p):
    return serial(Conv(8, (2,)), GlobalSelfAttention(
        8, 8, 8, 2, True, k, v, q, o, b, 'SOFTMAX', 'SUM', p, lambda d: anp.exp(-d), None, e, True))


PARAMETERS = {
    'Dense': (lambda w, b: serial(Dense(8, w, b), Relu(), Dense(8, .9, .3)), (1.3, .4)),
    'Dense, deep': (lambda w, b, v: serial(Dense(8, w), Erf(), Dense(8, v, b), Gelu(), Dense(8, w, b)), (1.3, .4, 1.1)),
    'Dense, standard': (lambda w, b, v: serial(Dense(8, w, b, parameterization='standard'), Relu(), Dense(
        8, v, b, parameterization='standard')), (1.3, .4, 1.1)),
    'Conv': (lambda w, b: pixels(Conv(8, (2,), None, 'SAME', w, b)), (1.3, .4)),
    'ConvTranspose': (lambda w, b: pixels(ConvTranspose(8, (3,), (2,), 'SAME', w, b)), (1.3, .4)),
    'ConvLocal': (lambda w, b: pixels(ConvLocal(8, (2,), None, 'SAME', w, b)), (1.3, .4)),
    'GlobalSelfAttention': (lambda *a: pixels(attention(*a)), (1.1, .9, .8, 1.2, .4, .7, 1.5)),
    'ABRelu': (ABRelu, (-.5, 1.2)), 'LeakyRelu': (LeakyRelu, (.2,)), 'Erf': (Erf, (.7, 1.4, -.3)),
    'Sin': (Sin, (.8, 1.3, .4)), 'Cos': (Cos, (.8, 1.3, .4)), 'Rbf': (Rbf, (.3,)), 'Gaussian': (Gaussian, (.8, -.4)),
    'Elu': (Elu, (.3,)), 'Exp': (Exp, (.5, .4)), 'ExpNormalized': (ExpNormalized, (.7, .2)),
    'ExpNormalized, clipped': (lambda *a: ExpNormalized(*a, do_clip=True), (.7, .2)),
    'Polynomial': (lambda *coef: Polynomial(coef), (.3, -.5, .2, .1)),
    'LayerNorm': (lambda eps: LayerNorm(eps=eps), (.3,)), 'RMSNorm': (lambda eps: RMSNorm(eps=eps), (.3,)),
    'Dropout': (lambda rate: Dropout(rate), (.7,)),
}


def test_every_parameter_is_differentiated():
    """A float argument of any layer stands in the table."""
    numbers = {name: sum(f.type in (float, float | None) for f in vars(layer).get('__dataclass_fields__', {}).values())
               for name, layer in vars(stax).items() if isinstance(layer, type) and issubclass(layer, stax.Layer)}
    missing = {name: n for name, n in numbers.items() if n and n > len(PARAMETERS.get(name, ((), ()))[1])}
    assert not missing


@pytest.mark.parametrize('name', PARAMETERS)
@pytest.mark.parametrize('get', ['nngp', 'ntk'])
def test_in_the_parameters(name, get, rng):
    build, values = PARAMETERS[name]
    x = rng.standard_normal((3, 3))
    x = numpy.concatenate([x, x[:1]])                   # coincident inputs, where the parameters have no cusp
    c = rng.standard_normal((4, 4))

    x = x[:, :, None] if name.startswith(('Conv', 'Global')) else x

    def f(values, x=x):
        net = build(*values)
        net = net if name.startswith(('Dense', 'Conv', 'Global')) else serial(D1, net, D2)
        return anp.sum(c * net.kernel_fn(x, get=get))
    values = numpy.array(values)
    gradient = autograd.grad(f)(values)
    assert_near(gradient, [central(f, values, e) for e in numpy.eye(len(values))])
    assert abs(gradient).max() > 1e-3
    mixed = autograd.grad(f, 1)(values, x + numpy.arange(4).reshape(4, *[1] * (x.ndim - 1)))
    assert numpy.isfinite(mixed).all()


def test_a_bias_of_zero_has_a_derivative():
    """d/db of b^2 at b = 0 is 0, whether the inputs are parallel or not."""
    x = numpy.array([[1., 2.], [2., 4.], [.5, -1.], [0., 0.]])

    def f(b):
        return anp.sum(serial(Dense(8, 1.3, b), Erf(), Dense(8, 1.1, b)).kernel_fn(x, get='ntk'))
    assert autograd.grad(f)(0.) == 0.


# ------------------------------------------------------------------ Jacobians, forward mode, second derivatives

SMOOTH = [serial(D1, layer, D2) for layer in (
    Relu(), ABRelu(-.5, 1.2), Erf(.7, 1.4, -.3), Gelu(), Sin(.8, 1.3, .4), Rbf(.3), Gaussian(), Exp(.5, .4), Gabor(),
    Hermite(3), Polynomial((.3, -.5, .2, .1)), RectifiedMonomial(2), ExpNormalized(.7, .2), LayerNorm(eps=.2), Sign(),
    Tanh(), HardTanh(), Elu(.7), ElementwiseNumerical(cube, 6, d_cube), ElementwiseNumerical(smooth))] + [
    serial(D1, Erf(), D2, Relu(), D2), serial(FanOut(2), parallel(D1, serial(D2, Relu())), FanInProd())]


@pytest.mark.parametrize('net', SMOOTH, ids=repr)
def test_jacobian(net, rng):
    x, y = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    for name in ('nngp', 'ntk'):
        def f(x):
            return net.kernel_fn(x, y, get=name)
        jacobian = autograd.jacobian(f)(x)
        assert jacobian.shape == (2, 2, 2, 3)
        for i, j in numpy.ndindex(2, 3):
            v = numpy.zeros((2, 3))
            v[i, j] = 1.
            assert_near(jacobian[:, :, i, j], central(f, x, v))
        assert_near(jacobian[[0, 1], :, [1, 0]], numpy.zeros((2, 2, 3)))       # rows do not depend on other rows


@pytest.mark.parametrize('net', SMOOTH, ids=repr)
def test_forward_mode(net, rng):
    x, y, v = rng.standard_normal((3, 2, 3))
    for name in ('nngp', 'ntk'):
        def f(x):
            return net.kernel_fn(x, y, get=name)
        assert_near(make_jvp(f, x)(v)[1], central(f, x, v))


@pytest.mark.parametrize('net', SMOOTH, ids=repr)
@pytest.mark.parametrize('name', ['nngp', 'ntk'])
def test_second_derivatives(net, name, rng):
    x, y, v = rng.standard_normal((3, 3))

    def f(x):
        return net.kernel_fn(x[None], y[None], get=name)[0, 0]
    hessian = autograd.hessian(f)(x)
    assert_near(hessian, hessian.T, 1e-10)
    assert_near(hessian @ v, central(autograd.grad(f), x, v))


# ------------------------------------------------------------------ finite networks

@networks
def test_finite_networks_in_their_parameters(net, rng):
    if not has_finite_network(net) or repr(net).endswith('Sign())'):
        return
    x = draw(rng, net, 3)
    params = net.init_fn(1, x.shape)[1]
    values = leaves(params)

    def f(values):
        return anp.sum(anp.sin(net.apply_fn(rebuilt(params, values), x, rng=1)))
    directions = [rng.standard_normal(numpy.shape(p)) for p in values]
    gradient = autograd.grad(f)(values)
    along = sum(numpy.sum(g * v) for g, v in zip(gradient, directions))

    def on_line(t):
        return f([p + t * v for p, v in zip(values, directions)])
    if not any(kinked in repr(net) for kinked in ('Relu', 'Abs', 'Rectified', 'Sign')):
        assert_near(along, central(on_line, 0., 1., 1e-4), 1e-7)
    assert all(numpy.isfinite(g).all() for g in gradient)


def test_parameters_without_bias_can_be_differentiated(rng):
    """The parameters of a layer without bias go through autograd as they are."""
    net = serial(Dense(4), Erf(), Dense(2))
    x = rng.standard_normal((3, 5))
    params = net.init_fn(1, x.shape)[1]
    gradient = autograd.grad(lambda params: anp.sum(net.apply_fn(params, x) ** 2))(params)
    assert gradient[0][0].shape == (5, 4) and abs(gradient[2][0]).max() > 0


@pytest.mark.parametrize('of', [lambda net, params: net.apply_fn, lambda net, params: linearize(net.apply_fn, params),
                                lambda net, params: taylor_expand(net.apply_fn, params, 2)],
                         ids=['apply_fn', 'linearize', 'taylor_expand'])
def test_hessian_in_all_parameters_at_once(of, rng):
    """autograd's `flatten` gives a vector; what it rebuilds from it is a box of a box of a list."""
    net = parallel(serial(Dense(3, b_std=.1), Erf(), Dense(2)), Dense(2))
    x = [rng.standard_normal((3, 2)), rng.standard_normal((3, 4))]
    params = net.init_fn(1, [a.shape for a in x])[1]
    vector, unflatten = flatten(params)
    f, point, v = of(net, params), vector + .1, rng.standard_normal(vector.shape)

    def loss(vector):
        return sum(anp.sum(anp.sin(z)) for z in f(unflatten(vector), x))
    hessian = autograd.hessian(loss)(point)
    assert_near(hessian @ v, central(autograd.grad(loss), point, v), 1e-9)
    assert_near(hessian, hessian.T, 1e-13)


@pytest.mark.parametrize('layer', [Sin(), Rbf(), Exp(.5, .5), Erf(), Gelu(), Gaussian(1., -.5), Gabor(),
                                   Polynomial((.3, .2, .1)), RectifiedMonomial(3)], ids=repr)
def test_second_derivatives_where_inputs_coincide(layer, mp50):
    """d^2 K(x, y) / dx^2 at x = y, y held fixed, against differences at 50 digits of the same recursion."""
    net, y = serial(Dense(8, 1.2, .3), layer, Dense(1)), numpy.array([.7, -1.2, .4])
    hessian = autograd.hessian(lambda x: net.kernel_fn(x[None], y[None], get='nngp')[0, 0])(y)

    def k(*step):
        exact = numpy.array([[mp50.mpf(float(v)) for v in y]], dtype=object)
        return net.kernel_fn(exact + numpy.array([step], dtype=object), exact, get='nngp')[0, 0]
    h, zero = mp50.mpf(10) ** -12, mp50.mpf(0)
    for i, e in enumerate(numpy.eye(3)):
        step = [h if c else zero for c in e]
        second = (k(*step) + k(*(-s for s in step)) - 2 * k(zero, zero, zero)) / h ** 2
        assert abs(hessian[i, i] - second) <= 1e-11 * abs(hessian).max()
