"""Networks with positions on every kind of array, their derivatives, and no or few inputs."""
import autograd
import brute
import numpy
import pytest
from autograd import numpy as anp
from autograd.core import make_jvp
from kinds import to_kind, to_numpy
from tolerances import assert_close

from ntref.stax import (
    AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Dropout, Erf, FanInConcat, FanInSum, FanOut, Flatten, GlobalAvgPool,
    GlobalSelfAttention, GlobalSumPool, ImageResize, Index, LayerNorm, Relu, Slice, SumPool, parallel, serial)

SMOOTH = {
    'Conv': lambda w, b: serial(Conv(4, (3, 2), padding='SAME', W_std=w, b_std=b), Erf(), Conv(4, (2, 2), W_std=w)),
    'Conv, strided': lambda w, b: serial(Conv(4, (2, 2), (2, 1), 'SAME', w, b), Erf(),
                                         Conv(4, (3, 1), (2, 2), 'CIRCULAR', w, b, parameterization='standard')),
    'Conv, channels first': lambda w, b: serial(
        Conv(4, (2, 3), padding='SAME', W_std=w, dimension_numbers=('NHWC', 'WHIO', 'NCWH')), Erf(),
        Conv(4, (2, 2), W_std=w, b_std=b, dimension_numbers=('NCHW', 'OIHW', 'NHWC'))),
    'ConvTranspose': lambda w, b: serial(ConvTranspose(4, (3, 2), (2, 1), 'SAME', w, b), Erf(),
                                         ConvTranspose(4, (2, 2), padding='CIRCULAR', W_std=w), Flatten()),
    'ConvLocal': lambda w, b: serial(ConvLocal(4, (2, 2), padding='SAME', W_std=w, b_std=b), Erf(), Conv(4, (2, 1))),
    'AvgPool': lambda w, b: serial(Conv(4, (2, 2), padding='SAME', W_std=w, b_std=b), Erf(), AvgPool(
        (2, 3), (1, 2), 'SAME', True), Conv(4, (1, 2), W_std=w), Erf(), Flatten()),
    'SumPool': lambda w, b: serial(AvgPool((1, 2)), Dense(4, w, b), Erf(), SumPool((2, 1), (2, 1), 'CIRCULAR')),
    'GlobalAvgPool': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), Erf(), GlobalAvgPool(), Dense(3, w), Erf()),
    'GlobalSumPool': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), Erf(), GlobalSumPool(), Dense(3, .2 * w)),
    'GlobalSelfAttention': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), Erf(), GlobalSelfAttention(
        4, 3, 3, 2, True, w, w, w, w, b, pos_emb_type='CONCAT', W_pos_emb_std=w, val_pos_emb=True,
        pos_emb_decay_fn=lambda d: 1 / (1 + d)), Erf(), Dense(3, w)),
    'GlobalSelfAttention, square root': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), GlobalSelfAttention(
        4, 3, 3, 2, False, .5 * w, .6 * w, .5 * w, .6 * w, b, 'IDENTITY', 'SUM', W_pos_emb_std=w), Erf(), Dense(3)),
    'Index': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), Index(Slice[:, ::-1, 1:]), Erf(), Dense(4)),
    'ImageResize': lambda w, b: serial(ImageResize((-1, 4, 2, -1), 'cubic'), Conv(4, (2, 1), W_std=w, b_std=b), Erf(),
                                       ImageResize((-1, 2, 3, -1), 'lanczos3'), ImageResize((-1, 3, 2, -1), 'nearest')),
    'FanInConcat': lambda w, b: serial(FanOut(2), parallel(Conv(4, (2, 2), W_std=w), serial(
        Conv(4, (1, 2), W_std=w, b_std=b), Erf(), Dense(4))), FanInConcat(1), Conv(3, (2, 1)), Erf()),
    'FanInSum': lambda w, b: serial(Dense(4, w, b), FanOut(2), parallel(serial(AvgPool((2, 2)), Dense(4)), serial(
        Conv(4, (2, 2), W_std=w))), FanInSum(), Erf()),
    'Dropout': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), Erf(), Dropout(.7), Conv(4, (1, 2), W_std=w)),
    'LayerNorm': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), LayerNorm((1, 3), .3), Erf(), Dense(4, w)),
}
KINKED = {
    'Relu': lambda w, b: serial(Conv(4, (3, 2), padding='SAME', W_std=w, b_std=b), Relu(), Conv(4, (2, 2), W_std=w),
                                Relu(), Flatten(), Dense(3, w)),
    'Relu, transposed': lambda w, b: serial(ConvTranspose(4, (1, 2), (1, 2), W_std=w, b_std=b), Relu(),
                                            Conv(4, (2, 2))),
    'Relu, local': lambda w, b: serial(ConvLocal(4, (2, 2), W_std=w, b_std=b), Relu(), ConvLocal(4, (2, 1)), Relu(),
                                       Flatten()),
    # the gap is recovered by subtraction: where inputs coincide it is known to 1e-16, and the angle to 1e-8
    'Relu, pooled': lambda w, b: serial(Conv(4, (2, 2), W_std=w, b_std=b), Relu(), AvgPool((2, 1)),
                                        Conv(4, (1, 1), W_std=w), Relu(), GlobalAvgPool()),
}
BUILD = SMOOTH | KINKED
every = pytest.mark.parametrize('name', BUILD)
chosen = pytest.mark.parametrize('name', ['Conv', 'Conv, strided', 'ConvTranspose', 'ConvLocal', 'AvgPool',
                                          'ImageResize', 'FanInConcat', 'LayerNorm', 'GlobalSelfAttention',
                                          'GlobalSelfAttention, square root'])


def network(name):
    return BUILD[name](1.3, .4)


def draw(rng, n=2):
    """float32 numbers, so that each kind gets the same."""
    return rng.standard_normal((n, 3, 3, 2)).astype('float32').astype('float64')


# ------------------------------------------------------------------ kinds

@every
def test_kernels_of_all_kinds(name, kind, rng):
    """Also those asked for by name; with one input that coincides."""
    net, x, y = network(name), draw(rng), draw(rng, 1)
    y = y if name == 'Relu, pooled' else numpy.concatenate([y, x[:1]])
    a, b = (to_kind(kind, c) for c in (x, y))
    dtype = 'float32' if kind == 'float32' else 'float64'
    expected = net.kernel_fn(x, y)
    kernels = [net.kernel_fn(a, b, ('nngp', 'ntk', 'cov1'))]
    if kind not in ('autograd', 'mpmath'):
        kernels += [net.kernel_fn(a, b), net.kernel_fn(a, b, ('nngp', 'ntk'))]
    for k in kernels:
        for field in set(getattr(k, '_fields', ('nngp', 'ntk', 'cov1'))):
            found, wanted = getattr(k, field), getattr(expected, field)
            assert type(found) is type(a + 0) and found.dtype == a.dtype
            assert_close(to_numpy(found).astype('float64'), wanted, 'kinds: ntk', abs(wanted).max(), dtype)
    assert (to_numpy(a) == x).all() and (to_numpy(b) == y).all()


@every
def test_finite_networks_of_all_kinds(name, kind, rng):
    net, x = network(name), draw(rng)
    params = net.init_fn(1, x.shape)[1]

    def converted(p):
        return type(p)(map(converted, p)) if isinstance(p, (list, tuple)) else to_kind(kind, p)
    expected, z = net.apply_fn(params, x, rng=3), net.apply_fn(converted(params), to_kind(kind, x), rng=3)
    assert type(z) is type(to_kind(kind, x) + 0) and z.dtype == to_kind(kind, x).dtype
    dtype = 'float32' if kind == 'float32' else 'float64'
    assert_close(to_numpy(z).astype('float64'), expected, 'kinds: apply', max(abs(expected).max(), 1.), dtype)


@chosen
def test_any_number_of_digits(name, rng):
    """40 digits with 40, and 55 with 55: no step computes in double precision."""
    import mpmath
    net, x = network(name), to_kind('mpmath', draw(rng))
    kernels = []
    for digits in (40, 55):
        with mpmath.workdps(digits):
            k = net.kernel_fn(x[:1], x[1:])
            kernels.append((k.nngp, k.ntk))
    with mpmath.workdps(60):
        for few, many in zip(*kernels):
            size = max(abs(many).ravel())
            assert 0 < max(abs(few - many).ravel()) + mpmath.mpf(10) ** -60 < size * mpmath.mpf(10) ** -36


def test_kinds_do_not_mix(cupy, rng):
    x = draw(rng)
    with pytest.raises(TypeError, match='cupy and numpy'):
        network('Conv').kernel_fn(cupy.asarray(x), x)
    net = network('Conv')
    with pytest.raises(TypeError):
        net.apply_fn(net.init_fn(1, x.shape)[1], cupy.asarray(x))


# ------------------------------------------------------------------ derivatives

STEP, TOLERANCE = 2e-4, 1e-9           # of central differences of order four: rounding over the step, measured 1e-11


def central(f, x, v, h=STEP):
    return (8 * (f(x + h * v) - f(x - h * v)) - (f(x + 2 * h * v) - f(x - 2 * h * v))) / (12 * h)


def assert_near(actual, expected, tolerance=TOLERANCE):
    actual, expected = numpy.asarray(actual), numpy.asarray(expected)
    assert actual.shape == expected.shape and numpy.isfinite(actual).all()
    assert abs(actual - expected).max() <= tolerance * max(1., abs(expected).max())


def number(name, get, rng):
    """A number made of all of the kernel, as a function of w, b and inputs."""
    c = rng.standard_normal(numpy.shape(network(name).kernel_fn(numpy.ones((2, 3, 3, 2)), get=get)))

    def f(w, b, *x):
        return anp.sum(c * BUILD[name](w, b).kernel_fn(*x, get=get))
    return f


@every
@pytest.mark.parametrize('get', ['nngp', 'ntk'])
def test_derivatives_in_the_inputs(name, get, rng):
    """Of x1 alone, of x2 alone, and of both together, where each input meets itself."""
    x, y, v = draw(rng), draw(rng), draw(rng)
    f = number(name, get, rng)
    for g, at in ((lambda x: f(1.3, .4, x, y), x), (lambda y: f(1.3, .4, x, y), y), (lambda x: f(1.3, .4, x), x)):
        gradient = autograd.grad(g)(at)
        assert gradient.shape == at.shape and abs(gradient).max() > 1e-3
        assert_near(numpy.sum(gradient * v), central(g, at, v), 1e-5 if name == 'Relu, pooled' else TOLERANCE)


@every
@pytest.mark.parametrize('get', ['nngp', 'ntk'])
def test_derivatives_in_the_parameters(name, get, rng):
    x, y, f = draw(rng), draw(rng), number(name, get, rng)
    at, v = numpy.array([1.3, .4]), numpy.array([.7, -1.1])
    gradient = autograd.grad(lambda values: f(*values, x, y))(at)
    assert abs(gradient).min() > 1e-4
    assert_near(gradient @ v, central(lambda values: f(*values, x, y), at, v))


@every
def test_derivatives_are_finite_where_inputs_coincide(name, rng):
    """Also of images that are zero, and where zeros of the padding are all that a window sees."""
    x = numpy.concatenate([draw(rng), numpy.zeros((1, 3, 3, 2))])
    x[1, 1:] = 0
    for b in (.4, 0.):
        for f in (lambda x1: BUILD[name](1.3, b).kernel_fn(x1, x, get='ntk'),
                  lambda x1: BUILD[name](1.3, b).kernel_fn(x1, get='ntk')):
            assert numpy.isfinite(autograd.grad(lambda x1: anp.sum(f(x1)))(x)).all()
    assert numpy.isfinite(autograd.grad(lambda w: anp.sum(BUILD[name](w, 0.).kernel_fn(x, get='ntk')))(1.3))


@chosen
def test_forward_mode_and_second_derivatives(name, rng):
    x, y, v, u = draw(rng), draw(rng), draw(rng), draw(rng)
    f = number(name, 'ntk', rng)
    assert_near(make_jvp(lambda x: f(1.3, .4, x, y), x)(v)[1], central(lambda x: f(1.3, .4, x, y), x, v))

    def slope(x):
        return anp.sum(u * autograd.grad(lambda x: f(1.3, .4, x, y))(x))
    assert_near(numpy.sum(autograd.grad(slope)(x) * v), central(slope, x, v))


# ------------------------------------------------------------------ no inputs, one, one pixel

@every
def test_no_inputs_and_one(name, rng):
    net, x = network(name), draw(rng)
    full = net.kernel_fn(x)
    for n1, n2 in ((0, None), (0, 2), (2, 0), (1, None), (1, 2), (2, 1), (1, 1)):
        arguments = [x[:n1]] if n2 is None else [x[:n1], x[:n2]]
        for k in (net.kernel_fn(*arguments), net.kernel_fn(*arguments, get=('nngp', 'ntk'))):
            n2 = n1 if n2 is None else n2
            assert k.nngp.shape == k.ntk.shape == (n1, n2, *full.nngp.shape[2:]) and k.nngp.dtype == 'float64'
            if name not in ('Relu, pooled', 'Dropout'):
                for field in ('nngp', 'ntk'):
                    c, expected = getattr(k, field), getattr(full, field)
                    assert_close(c, expected[:n1, :n2], 'same', abs(expected).max())


@pytest.mark.parametrize('layer', [
    Conv(3, (3, 2), (2, 1), 'SAME', 1.3, .4), Conv(3, (3, 2), padding='CIRCULAR'), ConvTranspose(3, (3, 2), (2, 3)),
    ConvTranspose(3, (3, 2), padding='CIRCULAR'), ConvLocal(3, (3, 2), padding='SAME')], ids=repr)
def test_one_pixel(layer, rng):
    x1, x2 = rng.standard_normal((2, 3, 1, 1, 2))
    net = serial(Conv(3, (1, 1), W_std=1.3, b_std=.4), Erf(), layer)
    brute.check(net, x1, x2)
    brute.check(net, x1)
