"""Derivatives of empirical kernels in inputs, parameters and keywords, beside differences and formulas."""
import autograd.numpy as anp
import numpy
import pytest
from autograd import grad, make_jvp

from ntref import classic, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn
from ntref.stax import Conv, Dense, Erf, Flatten, GlobalAvgPool, serial

STEP = 1e-5
WAYS = {}, {'vmap_axes': 0}, {'vmap_axes': 0, 'implementation': 3}, {'implementation': 2}


def differences(f, x):
    """Return the gradient of f by central differences."""
    slopes = numpy.zeros_like(x)
    for i in numpy.ndindex(x.shape):
        step = numpy.zeros_like(x)
        step[i] = STEP
        slopes[i] = (f(x + step) - f(x - step)) / (2 * STEP)
    return slopes


def check_slopes(ntk_fn, x, x2, params, rng):
    """Compare the gradient in x of a random sum of the kernel's entries with differences."""
    g = rng.standard_normal(ntk_fn(x, x2, params).shape)

    def loss(x):
        return anp.sum(g * ntk_fn(x, x2, params))
    numpy.testing.assert_allclose(grad(loss)(x), differences(loss, x), rtol=1e-8, atol=1e-9)


@pytest.fixture
def dense(rng):
    net = serial(Dense(4, 1.3, .2), Erf(), Dense(2, 1., .1))
    return net.apply_fn, net.init_fn(1, (3, 3))[1]


@pytest.mark.parametrize('options', WAYS, ids=str)
@pytest.mark.parametrize('same', [True, False])
def test_in_inputs(dense, rng, options, same):
    f, params = dense
    x = rng.standard_normal((3, 3))
    x2 = None if same else rng.standard_normal((2, 3))
    check_slopes(empirical_ntk_fn(f, **options), x, x2, params, rng)


def test_values_are_those_of_plain_calls(dense, rng):
    f, params = dense
    x = rng.standard_normal((3, 3))
    kernel_fn = empirical_kernel_fn(f)
    seen = []

    def loss(a):
        seen.append(kernel_fn(a * x, None, None, params))
        return anp.sum(seen[-1].nngp) + anp.sum(seen[-1].ntk)
    grad(loss)(1.)
    for found, value in zip(seen[0], kernel_fn(x, None, None, params)):
        numpy.testing.assert_allclose(found._value, value, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize('options', WAYS[:2], ids=str)
def test_in_parameters(dense, rng, options):
    f, params = dense
    x = rng.standard_normal((2, 3))
    ntk_fn = empirical_ntk_fn(f, **options)

    def loss(params):
        return anp.sum(ntk_fn(x, None, params))
    slopes = grad(loss)(params)
    for layer, part in (0, 0), (0, 1), (2, 0), (2, 1):
        def of_part(a):
            changed = [list(p) if p else () for p in params]
            changed[layer][part] = a
            return loss(changed)
        numpy.testing.assert_allclose(
            slopes[layer][part], differences(of_part, params[layer][part]), rtol=1e-8, atol=1e-9)


def test_in_a_dict_and_a_keyword(rng):
    """Theta = (c x)^2, K = (w c x)^2 of f = w c x."""
    def f(params, x, c):
        return c * x * params['w']
    x = rng.standard_normal((1, 1))
    params = {'w': numpy.array(.7)}
    kernel_fn = empirical_kernel_fn(f)
    by_keyword = grad(lambda c: kernel_fn(x, None, 'ntk', params, c=c)[0, 0])(1.5)
    by_weight = grad(lambda p: kernel_fn(x, None, 'nngp', p, c=1.5)[0, 0])(params)
    numpy.testing.assert_allclose(by_keyword, 2 * 1.5 * x[0, 0] ** 2, rtol=1e-14)
    numpy.testing.assert_allclose(by_weight['w'], 2 * .7 * (1.5 * x[0, 0]) ** 2, rtol=1e-14)


@pytest.mark.parametrize('axes', [((-1,), ()), ((), ()), ((), (-1,)), ((1, 2), ()), ((2,), (1,))], ids=str)
def test_of_images_and_all_axes(rng, axes):
    """A convolution whose outputs have positions, with traces, diagonals and free axes."""
    net = serial(Conv(2, (2,), padding='SAME'), Erf(), Conv(2, (2,), padding='SAME'))
    _, params = net.init_fn(0, (2, 3, 1))
    x = rng.standard_normal((2, 3, 1))
    trace, diagonal = axes
    check_slopes(empirical_ntk_fn(net.apply_fn, trace, diagonal, vmap_axes=0), x, None, params, rng)


def test_second_and_forward_derivatives(dense, rng):
    f, params = dense
    x = rng.standard_normal((2, 3))
    v = rng.standard_normal((2, 3))
    nngp_fn = empirical_nngp_fn(f)
    ntk_fn = empirical_ntk_fn(f)

    def loss(x):
        return anp.sum(ntk_fn(x, None, params)) + anp.sum(nngp_fn(x, None, params))

    def along(a):
        return anp.sum(v * grad(loss)(x + a * v))
    expected = (along(STEP) - along(-STEP)) / (2 * STEP)
    numpy.testing.assert_allclose(grad(along)(0.), expected, rtol=1e-7)
    _, slope = make_jvp(nngp_fn, 0)(x, None, params)(v)
    expected = (nngp_fn(x + STEP * v, None, params) - nngp_fn(x - STEP * v, None, params)) / (2 * STEP)
    numpy.testing.assert_allclose(slope, expected, rtol=1e-8, atol=1e-9)


def test_pooled_images_beside_the_limit(rng):
    """The gradient of a wide network's kernel is about that of its limit."""
    net = serial(Conv(512, (2, 2)), Erf(), GlobalAvgPool(), Flatten(), Dense(1))
    x = rng.standard_normal((2, 3, 3, 1))
    _, params = net.init_fn(0, x.shape)
    ntk_fn = empirical_ntk_fn(net.apply_fn, vmap_axes=0)
    found = grad(lambda a: anp.sum(ntk_fn(a * x, None, params)))(1.)
    exact = grad(lambda a: anp.sum(net.kernel_fn(a * x, None, 'ntk')))(1.)
    assert abs(found / exact - 1) < .2


def test_of_the_first_release(dense, rng):
    f, params = dense
    x = rng.standard_normal((2, 3))

    def loss(a):
        return anp.sum(classic.ntk(f)(params, a * x))
    numpy.testing.assert_allclose(grad(loss)(1.), differences(loss, numpy.array(1.)), rtol=1e-8)


def test_what_is_refused_stays_refused(dense, rng):
    f, params = dense
    x = rng.standard_normal((2, 3))
    with pytest.raises(ValueError, match='finite'):
        grad(lambda a: anp.sum(empirical_ntk_fn(f)(a * x * numpy.nan, None, params)))(1.)

    def mixing(params, x):
        return f(params, x) - anp.mean(f(params, x), axis=0)
    with pytest.raises(ValueError, match='vmap_axes'):
        grad(lambda a: anp.sum(empirical_ntk_fn(mixing, vmap_axes=0, check=True)(a * x, None, params)))(1.)
