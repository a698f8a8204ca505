"""Generic pairs (`test_generic`) against 40 digits and more: each form, angles at the edges, deep networks."""
import mpmath as mp
import numpy
import pytest
import reference
import reference_conv
from tolerances import DTYPES, assert_close

from ntref import duals
from ntref.duals import fast, generic
from ntref.duals.generic import MAX_ANGLE, MIN_ANGLE, NotGeneric
from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair
from ntref.recursion import tiled
from ntref.stax import Abs, Conv, Erf, Flatten, Gelu, LeakyRelu, Relu, serial

EPS = {dtype: float(numpy.finfo(dtype).eps) for dtype in DTYPES}

# ------------------------------------------------------------------ the forms

UNITS = .1, 1., 3.
SLOPES = {'Relu': (0, 1), 'LeakyRelu': (.2, 1), 'Abs': (-1, 1), 'ABRelu': (-.5, 1.7), 'linear': (1.3, 1.3)}
SMOOTH = {'erf': (generic.erf, (.7, 1.4, -.3), reference.erf, 2 * 1.4 ** 2),
          'gelu': (generic.gelu, (), reference.gelu, 1)}
"""Form, parameters, 40 digits, and f: they are functions of the angle whose sine is f K / sqrt((1 + f q)(1 + f q'))."""
INSIDE = numpy.linspace(MIN_ANGLE * 1.001, MAX_ANGLE / 1.001, 24)


def at_angles(dtype, angles, units=UNITS):
    """All angles for all pairs of lengths: q1 (n, 1, 1), q2 (n, angles), k (n, n, angles)."""
    n, t = numpy.array(units, 'longdouble'), numpy.asarray(angles, 'longdouble')
    q1, q2, k = (n ** 2)[:, None, None], (n ** 2)[:, None] + 0 * t, n[:, None, None] * n[:, None] * numpy.cos(t)
    return Pair(q1.astype(dtype), q2.astype(dtype), Cov(k.astype(dtype)), is_generic=True)


def digits(functions, p):
    """K' and slope of a dual of `reference`, of the numbers in p as they are."""
    with mp.workdps(40):
        numbers = [map(mp.mpf, map(float, a.flat)) for a in numpy.broadcast_arrays(p.q1, p.q2, p.k)]
        triples = list(zip(*numbers))
        return [numpy.array([f(*c) for c in triples]).reshape(p.k.shape) for f in functions]


def assert_within(actual, expected, bound):
    """In eps of `actual`."""
    error = abs((expected - actual.astype('float64')).astype('float64')) / EPS[actual.dtype.name]
    worst = numpy.unravel_index((error / bound).argmax(), error.shape)
    assert (error <= bound).all(), (worst, error[worst], numpy.broadcast_to(bound, error.shape)[worst])


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', SLOPES)
def test_relus(name, dtype):
    """K is right to eps s, so theta to eps / sin theta; on theta K' does not depend to first order."""
    (a, b), p = SLOPES[name], at_angles(dtype, INSIDE)
    c, e, ntk = (a * a + b * b) / 2, (a - b) ** 2 / (2 * numpy.pi), numpy.linspace(.5, 2, 24).astype(dtype)
    k, slope = digits(reference.abrelu(a, b), p)
    (found, *others), theta = fast.abrelu(p, ntk, a, b)
    assert others == [None] * 3 and found.dtype == theta.dtype == dtype
    assert_within(found, k, 4 * c * p.n1 * p.n2)
    assert_within(theta, slope * ntk.astype('float64'), 4 * ntk * (c + e / numpy.sin(INSIDE)))


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', SMOOTH)
def test_erf_and_gelu(name, dtype):
    """The slope has 1 / sqrt(1 - sin^2): an error of eps / cos^2."""
    form, parameters, truth, f = SMOOTH[name]
    p, ntk = at_angles(dtype, INSIDE, (.1, 1., 3., 30.)), numpy.linspace(.5, 2, 24).astype(dtype)
    k, slope = digits(truth(*parameters), p)
    sizes = [digits(truth(*parameters), Pair(q, q, Cov(q)))[0].astype('float64') ** .5 for q in (p.q1, p.q2)]
    cos2 = 1 - (f * p.k.astype('float64')) ** 2 / ((1 + f * p.q1) * (1 + f * p.q2))
    (found, *others), theta = form(p, ntk, *parameters)
    assert others == [None] * 3 and found.dtype == theta.dtype == dtype
    assert_within(found, k, 4 * sizes[0] * sizes[1])
    assert_within(theta, slope * ntk.astype('float64'), 4 * abs(slope.astype('float64')) * ntk / cos2)


@pytest.mark.parametrize('name, parameters', [
    ('sin', (.8, 1.3, .4)), ('rbf', (.7,)), ('sign', ()), ('abrelu', (-1, 1))])
def test_any_dual(name, parameters):
    p, dual = at_angles('float64', INSIDE, (.5, 1.)), getattr(duals, name)
    cov, slope = dual(Pair(p.q1, p.q2, p.cov), *parameters)
    (k, *others), theta = generic.by_dual(p, 2., lambda p: dual(p, *parameters))
    assert (k == cov.k).all() and (theta == 2 * slope).all() and others == [None] * 3


@pytest.mark.parametrize('order', [(2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize('is_generic', [True, False])
def test_order_in_memory_does_not_matter(order, is_generic):
    """Generic pairs; and others, with zeros, small and large angles, which are mended one by one."""
    t = INSIDE if is_generic else numpy.array([1e-9, .01, .04, 1., 2., 2.9, 3.1415926])
    p = at_angles('float64', t, (1., 3.) if is_generic else (0., 1., 3.))
    gap = None if is_generic else (p.n1 - p.n2) ** 2 + 4 * p.n1 * p.n2 * numpy.sin(t / 2) ** 2

    def stored(a):
        return a if a is None else numpy.ascontiguousarray(a.transpose(order)).transpose(numpy.argsort(order))
    one, other = (fast.abrelu(Pair(p.q1, p.q2, Cov(f(p.k), f(gap)), is_generic), f(1 + p.k ** 2), 0, 1)
                  for f in (lambda a: a, stored))
    assert stored(p.k).strides != p.k.strides
    assert (one[0].gap is None) == (other[0].gap is None) == is_generic
    for a, b in zip((*other[0], other[1]), (*one[0], one[1])):
        if b is not None:
            assert_close(a, b, 'compose', abs(b).max())


# ------------------------------------------------------------------ the edges of what is generic

EDGES = {'abrelu': (MIN_ANGLE, MAX_ANGLE), 'any': (MIN_ANGLE, MAX_ANGLE),
         **dict.fromkeys(SMOOTH, (MIN_ANGLE - numpy.pi / 2, numpy.pi / 2 - MIN_ANGLE))}
CALLS = {'abrelu': lambda p: fast.abrelu(p, None, 0, 1)[0].k,
         'any': lambda p: generic.by_dual(p, None, duals.sign)[0].k,
         'erf': lambda p: generic.erf(p, None, *SMOOTH['erf'][1])[0].k, 'gelu': lambda p: generic.gelu(p, None)[0].k}


def at(name, *angles):
    """Pairs (1, n) at angles that are those of this form."""
    q1, q2, t = numpy.array([[400.]]), numpy.array([[900.]]), numpy.array([angles])
    f = SMOOTH[name][3] if name in SMOOTH else None
    return Pair(q1, q2, Cov(600 * numpy.cos(t) if f is None else numpy.sin(t) * ((1 / f + q1) * (1 / f + q2)) ** .5),
                is_generic=True)


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('step', [1e-3, 1e-12])
def test_refusal_begins_at_the_edges(name, step):
    """One of many is enough."""
    call, (low, high) = CALLS[name], EDGES[name]
    assert call(at(name, low + step, (low + high) / 2, high - step)).shape == (1, 3)
    for angle in low - step, high + step:
        for place in range(3):
            angles = [low + step, (low + high) / 2]
            angles.insert(place, angle)
            with pytest.raises(NotGeneric):
                call(at(name, *angles))


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('k', [1., 1 + 4e-7, -1., -1 - 4e-7, 1 - 1e-6, numpy.nan])
def test_coincidences_are_refused(k, dtype):
    """K may be beyond sqrt(q q') by rounding. No warning: they are errors here."""
    one = numpy.ones((1, 1), dtype)
    for name in 'abrelu', 'any':
        with pytest.raises(NotGeneric):
            CALLS[name](Pair(one, one, Cov(numpy.array([[.3, k]], dtype)), True))


@pytest.mark.parametrize('q1, q2', [(0., 0.), (0., 1.), (1., 0.)])
@pytest.mark.parametrize('zero', [0., -0.])
def test_variables_that_are_zero(q1, q2, zero):
    p = Pair(numpy.array([[q1]]), numpy.array([[q2]]), Cov(numpy.array([[zero]])), True)
    assert CALLS['abrelu'](p) == CALLS['gelu'](p) == 0
    assert_close(CALLS['erf'](p), numpy.array([[.09]]), 'compose')


def test_no_pairs():
    p = Pair(numpy.zeros((0, 1)), numpy.ones((1, 3)), Cov(numpy.zeros((0, 3))), True)
    assert all(call(p).shape == (0, 3) for call in CALLS.values())


# ------------------------------------------------------------------ networks

@pytest.fixture
def tried(monkeypatch):
    """is_generic of each tile of x1 against x2 that is begun, in turn."""
    seen, original = [], tiled.input_tile

    def tile(a, b, *args, **part):
        seen.extend([part.get('is_generic', False)] if b is not None else [])
        return original(a, b, *args, **part)
    monkeypatch.setattr(tiled, 'input_tile', tile)
    return seen


def pixel(*layers):
    """For one pixel. None is a convolution: all its taps see the pixel, and angles stay."""
    taps = Conv(8, (3, 3), padding='CIRCULAR', W_std=2 ** .5, b_std=None)
    return serial(*[taps if layer is None else layer for layer in layers])


def pixels(*angles):
    return numpy.array([[[[numpy.cos(t), numpy.sin(t)]]] for t in angles])


def assert_right(net, x, y, bound):
    """K and Theta of one position, relative to the largest that images of these lengths can have."""
    k = net.kernel_fn(x, y, get=('nngp', 'ntk'))
    assert k.nngp.size == len(x) * len(y) > 1
    for a, b in numpy.ndindex(k.nngp.shape[:2]):
        field = reference_conv.kernel(net.to_spec(), x[a], y[b])
        place = (0,) * len(field.shape)
        for value, true, scale in zip((k.nngp, k.ntk), field.at(place, place), field.scales(place, place)):
            error = float(abs(value[a, b].item() - true) / scale)
            assert error <= bound, (a, b, error)


@pytest.mark.parametrize('edge', [MIN_ANGLE, MAX_ANGLE])
@pytest.mark.parametrize('side', [-1, 1])
@pytest.mark.parametrize('layer', [Relu(), Abs(), LeakyRelu(.2), Erf(), Gelu()], ids=repr)
def test_angles_at_the_edges(edge, side, layer, tried):
    """The first layer sees this angle, if it has a kink; Erf and Gelu see one between MIN_ANGLE and MAX_ANGLE."""
    x, y = pixels(.3), pixels(.3 + edge * (1 + side * 1e-9), .3 - edge * (1 + side * 1e-9))
    assert_right(pixel(None, layer, None), x, y, 8 * EPS['float64'])
    is_redone = layer.fused is not None and edge == MAX_ANGLE and side == 1      # near pairs have their lack from K
    assert tried == [True, False][:1 + is_redone]


@pytest.mark.parametrize('start, depth', [(.3, 25), (.5, 35), (1., 40), (2., 60), (2.69, 60)])
def test_close_in_a_deep_layer(start, depth, tried, monkeypatch):
    """ReLUs bring angles together, to 3 pi / depth in the end: what begins generic goes on with gaps; 3 eps a layer.

    With AVX-512 functions of NumPy are right to 4 units of the last place, and it is more than 2.
    """
    calls, original = [], fast.abrelu
    monkeypatch.setattr(fast, 'abrelu', lambda p, *a: calls.append(p.is_generic) or original(p, *a))
    assert_right(pixel(*[None, Relu()] * depth), pixels(0), pixels(start, -start), 3 * depth * EPS['float64'])
    assert tried == [True] and 2 < calls.count(True) < depth < len(calls)


TEN = {'relu': (Relu(), 2 ** .5, None), 'abs': (Abs(), 1., None), 'leaky relu': (LeakyRelu(.3), 1.3, None),
       'leaning relu': (LeakyRelu(-.5), 1.26, None), 'erf': (Erf(), 1.6, .1), 'gelu': (Gelu(), 1.5, .1)}
IMAGES = numpy.array([[[[1., 0., 0.], [0., 1.1, 0.]]], [[[.1, -.2, 1.], [0., -.3, -.9]]],
                      [[[-.8, .2, -.7], [1., 0., .5]]]])


@pytest.mark.parametrize('name', TEN)
def test_ten_layers_of_far_images(name, tried):
    """1e-14 of K and of Theta."""
    layer, w, b = TEN[name]
    net = serial(*[Conv(8, (1, 2), None, 'CIRCULAR', w, b), layer] * 10, Flatten())
    assert_right(net, IMAGES[:1], IMAGES[1:], 1e-14)
    assert tried == [True]
