"""Very small and very large numbers: kernels of homogeneous networks scale with the inputs, or say what holds them.

The inputs are multiplied by powers of two: the exact kernel is the one of the inputs as they were, times a power of
two, to the last bit but for the order in which sums are taken.
"""
import numpy
import pytest

from ntref.stax import (
    Abs, AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Dropout, FanInConcat, FanInProd, FanInSum, FanOut, Flatten,
    GlobalAvgPool, GlobalSumPool, Identity, ImageResize, LeakyRelu, RectifiedMonomial, Relu, Sign, SumPool, parallel,
    serial)

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
