"""Very small and very large numbers: kernels of homogeneous networks scale with the inputs, or say what holds them.

The inputs are multiplied by powers of two: the exact kernel is the one of the inputs as they were, times a power of
two, to the last bit but for the order in which sums are taken.
"""
import mpmath as mp
import numpy
import pytest
import reference

from ntref.stax import (
    ABRelu, Abs, AvgPool, Conv, ConvLocal, ConvTranspose, Cos, Dense, Dropout, Erf, ExpNormalized, FanInConcat,
    FanInProd, FanInSum, FanOut, Flatten, Gabor, Gaussian, Gelu, GlobalAvgPool, GlobalSumPool, Hermite, Identity,
    ImageResize, LeakyRelu, Monomial, Polynomial, Rbf, RectifiedMonomial, Relu, Sigmoid_like, Sign, Sin, SumPool,
    parallel, serial)

D, C = Dense(1), Conv(1, (2, 2))
BRANCH = serial(D, Relu(), D)
FLAT = {
    'dense': serial(D, Relu(), D, Abs(), D, LeakyRelu(.1), D),
    'sum': serial(D, FanOut(2), parallel(serial(Relu(), D), Identity()), FanInSum(), Relu(), D),
    'concatenation': serial(FanOut(2), parallel(D, BRANCH), FanInConcat(1), D, Relu(), D),
    'dropout': serial(D, Relu(), Dropout(.7), D, Relu(), D),
    'product with a sign': serial(FanOut(2), parallel(D, serial(D, Sign(), D)), FanInProd(), D, Relu(), D),
    'steps': serial(D, RectifiedMonomial(0), D, Relu(), D)}
IMAGES = {
    'conv, average': serial(C, Relu(), AvgPool((2, 2)), C, Relu(), GlobalAvgPool(), D, Relu(), D),
    'conv, sum': serial(C, Relu(), SumPool((2, 2)), C, Relu(), GlobalSumPool(), D, Relu(), D),
    'transposed': serial(ConvTranspose(1, (2, 2), (2, 2)), Relu(), Flatten(), D, Relu(), D),
    'local': serial(ConvLocal(1, (2, 2)), Relu(), Flatten(), D, Relu(), D),
    'resized': serial(C, Relu(), ImageResize((-1, 3, 3, -1), 'bilinear'), C, Relu(), Flatten(), D)}
POWERS = {'float32': (-60, -40, -20, 20, 40, 58), 'float64': (-498, -266, -133, 133, 266, 498)}     # 1e-18 to 1e150


@pytest.mark.parametrize('dtype', POWERS)
@pytest.mark.parametrize('name', [*FLAT, *IMAGES])
def test_kernels_scale_with_the_inputs(name, dtype, rng):
    net = (FLAT | IMAGES)[name]
    x = rng.standard_normal((4, 5) if name in FLAT else (3, 5, 5, 2)).astype(dtype)
    x[-1] = x[0]
    degree = 0 if name == 'steps' else 2
    for get in ('nngp', 'ntk'):
        expected = net.kernel_fn(x.astype('float64'), get=get)
        for power in POWERS[dtype]:
            scaled = numpy.ldexp(x, power)
            for kernel in (net.kernel_fn(scaled, get=get), getattr(net.kernel_fn(scaled), get)):
                assert kernel.dtype == dtype
                back = numpy.ldexp(kernel.astype('float64'), -degree * power)
                assert abs(back - expected).max() < 100 * numpy.finfo(dtype).eps * abs(expected).max()


@pytest.mark.parametrize('shape', [(5, 3), (600, 3)])
def test_kernels_beyond_the_range_say_what_would_hold_them(shape, rng):
    """Without a warning of NumPy's, and with the layer where it happens."""
    net = serial(*[Dense(1, 30.), Relu()] * 30, Dense(1))
    x = rng.standard_normal(shape)
    for get in (None, 'nngp', ('nngp', 'ntk')):
        if get is None and len(x) > 10:
            continue
        with pytest.raises(ValueError, match='layer .*Dense.*float32 holds, up to 3.4e.38.*float64, which reaches'):
            net.kernel_fn(x.astype('float32'), get=get)
    assert numpy.isfinite(net.kernel_fn(x, get='ntk')).all()
    with pytest.raises(ValueError, match='float64 holds.*mpmath'):
        serial(net, *[Dense(1, 1e40), Relu()] * 6).kernel_fn(x, get='nngp')


def test_a_tangent_kernel_alone_may_be_beyond_the_range(rng):
    """Theta adds K of all layers up."""
    net = serial(Dense(1, 1e19), Identity(), Dense(1, .9), Dense(1, 1.), Dense(1, 1.), Dense(1, 1.))
    x = numpy.ones((2, 1), 'float32')
    with pytest.raises(ValueError, match='float32 holds'):
        net.kernel_fn(x, get='ntk')
    assert numpy.isfinite(net.kernel_fn(x, get='nngp')).all()


# ------------------------------------------------------------------ a kink behind a layer, which sees gap and area

INPUTS = numpy.array([[1., .2], [.3, -.5], [3., .600001], [1., .2]])
EXTREMES = {'float32': (-18, -8, 5, 8, 18), 'float64': (-150, -75, 45, 75, 150)}            # decimal powers
CURVED = [Erf(), Erf(1.25, .75, .25), Sigmoid_like(), Gelu(), Gaussian(1., -.625), Gabor(), Sin(), Cos(), Rbf(.75),
          ExpNormalized(.75, .125), ABRelu(-.5, 1.75), Monomial(1), Hermite(1), Polynomial((.5, 1.))]
STEEP = [Monomial(2), Monomial(3), RectifiedMonomial(2), RectifiedMonomial(3), Hermite(3), Polynomial((0, 0, 1.))]


def errors(layer, kink, dtype, powers):
    """Of nngp and ntk, in eps of the largest they can be; or the error that was raised."""
    net, eps = serial(Dense(1, 1.25), layer, Dense(1, 1.125), kink, Dense(1)), numpy.finfo(dtype).eps
    for power in powers:
        x = (INPUTS * 10. ** power).astype(dtype)
        try:
            kernels = net.kernel_fn(x, get=('nngp', 'ntk'))
        except ValueError as error:
            yield str(error)
            continue
        for i, j in (0, 1), (0, 2), (1, 2):
            right = reference.kernel(net.to_spec(), *x[[i, j]].astype('float64'))
            for a, value, scale in zip(kernels, (right.k, right.t), right.scales):
                yield float(abs(mp.mpf(float(a[i, j])) - value) / scale / float(eps))


@pytest.mark.parametrize('dtype', EXTREMES)
@pytest.mark.parametrize('layer', CURVED, ids=repr)
def test_a_kink_behind_a_layer(layer, dtype, monkeypatch):
    most = 20 if isinstance(layer, (Sin, Cos, Rbf)) else 150                 # exp(-q) is 0 long before
    powers = [min(power, most) for power in EXTREMES[dtype]]
    monkeypatch.setattr(reference, 'DIGITS', 60 + 8 * max(map(abs, powers)))
    assert max(errors(layer, Sign(), dtype, powers)) <= 64
    assert max(errors(layer, Relu(), dtype, powers)) <= 64


@pytest.mark.parametrize('dtype', EXTREMES)
@pytest.mark.parametrize('layer', STEEP, ids=repr)
def test_a_kink_behind_a_power_is_right_or_refused(layer, dtype, monkeypatch):
    """What powers of variances are beyond the range is said, be they too large or too small."""
    monkeypatch.setattr(reference, 'DIGITS', 60 + 8 * max(EXTREMES[dtype]))
    found = list(errors(layer, Sign(), dtype, EXTREMES[dtype]))
    wider = {'float32': 'float64, which reaches', 'float64': 'mpmath.mpf, which have no limit'}[dtype]
    assert all(wider in e if isinstance(e, str) else e <= 64 for e in found)
    assert {str, float} == set(map(type, found))


def test_variances_that_vanish_are_refused(rng):
    x = rng.standard_normal((3, 3))
    product = serial(FanOut(2), parallel(Dense(1), Dense(1)), FanInProd(), Dense(1))
    for net, dtype, size in [
            (serial(Dense(1), RectifiedMonomial(2), Dense(1), Sign(), Dense(1)), 'float32', 2. ** -38),
            (serial(Dense(1), Monomial(3), Dense(1)), 'float64', 1e-60), (product, 'float64', 1e-85),
            (serial(Dense(1), Relu(), Dense(1)), 'float64', 1e-170), (serial(Dense(1), Sign()), 'float32', 1e-21),
            (serial(*[Dense(1, 1e-4), Relu()] * 6), 'float32', 1.)]:
        small = (x * size).astype(dtype)
        small[0] = 0
        for f in (net.kernel_fn, lambda x, get=None, net=net: net.kernel_fn(x[:2], x[2:], get)):
            for get in (None, 'nngp'):
                with pytest.raises(ValueError, match=f'{dtype} holds, down to .*would be taken for 0'):
                    f(small, get=get)
    large = numpy.concatenate([0 * x] * 200 + [1e-170 * x])
    with pytest.raises(ValueError, match='float64 holds, down to'):
        serial(Dense(1), Relu(), Dense(1)).kernel_fn(large, get='ntk')


def test_functions_that_are_0_are_not_refused(rng):
    x = rng.standard_normal((3, 2))
    for layer in Polynomial(()), ABRelu(0., 0.), Sin(1., 0.):
        assert (serial(Dense(1), layer, Dense(1, 1., .5)).kernel_fn(x, get='nngp') == .25).all()
