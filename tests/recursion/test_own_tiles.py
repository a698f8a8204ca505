"""What tiles do by halves, in lists, in place and in memory of their own; and inputs that are blank, or laid out oddly.

Tiles against the whole `Kernel`, as in `test_pairs`, and images with themselves against 60 digits and more.
"""
import numpy
import pytest
import reference_conv
from tiles import NETWORKS, conv, dense, drawn, image_shape, set_sizes
from tolerances import DTYPES, assert_close

from ntref.arrays import namespace
from ntref.duals import fast
from ntref.engine import cover
from ntref.recursion import start
from ntref.recursion.signal import Demand
from ntref.stax import (
    Abs, AvgPool, Conv, ConvTranspose, Dense, Erf, Flatten, Gelu, GlobalAvgPool, ImageResize, Index, LayerNorm,
    LeakyRelu, Relu, Sign, Sin, Slice, serial)


def assert_same(parts, whole):
    assert parts._fields == ('nngp', 'ntk')
    for found, expected in zip(parts, (whole.nngp, whole.ntk)):
        assert_close(found, expected, 'slice', abs(expected).max())


# ------------------------------------------------------------------ memory

@pytest.mark.parametrize('name', NETWORKS)
def test_what_was_in_memory_does_not_matter(name, rng, monkeypatch):
    """Arrays that are not set to anything, and are written in parts, are so all over."""
    net, shape, xp = NETWORKS[name], image_shape(name), namespace(rng.standard_normal(1))
    x, y = drawn(rng, 3, *shape), drawn(rng, 2, *shape)
    set_sizes(monkeypatch, 80, 1)
    before = *net.kernel_fn(x, get=('nngp', 'ntk')), *net.kernel_fn(x, y, ('nngp', 'ntk'))
    asked = []
    monkeypatch.setattr(xp, 'empty_like', lambda a, **more: asked.append(a) or numpy.full_like(a, numpy.nan, **more))
    after = *net.kernel_fn(x, get=('nngp', 'ntk')), *net.kernel_fn(x, y, ('nngp', 'ntk'))
    assert asked and all((a == b).all() for a, b in zip(before, after, strict=True))


LAYOUTS = {
    'strided': lambda x: numpy.repeat(x, 2, 1)[:, ::2], 'reversed': lambda x: x[:, ::-1].copy()[:, ::-1],
    'Fortran': numpy.asfortranarray,
    'channels first': lambda x: numpy.moveaxis(numpy.moveaxis(x, -1, 1).copy(), 1, -1)}


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('name', ['conv', 'flat', 'pools'])
@pytest.mark.parametrize('dtype', DTYPES)
def test_layout_of_the_inputs(layout, name, dtype, rng):
    """The same to the last bit."""
    x, y = (drawn(rng, n, *image_shape(name)).astype(dtype) for n in (3, 2))
    odd = [LAYOUTS[layout](a) for a in (x, y)]
    for a in odd:
        a.flags.writeable = False
    assert all(a.strides != b.strides for a, b in zip(odd, (x, y)))
    for arguments, others in ((x, y), odd), ((x,), odd[:1]):
        for a, b in zip(*(NETWORKS[name].kernel_fn(*arrays, get=('nngp', 'ntk')) for arrays in (arguments, others))):
            assert a.dtype == dtype and (a == b).all()


# ------------------------------------------------------------------ inputs with themselves

OWN = 'conv', 'valid', 'circular', 'strided', 'turned', 'transposed', 'local', 'branches in branches', 'pools'


def own(net, x, **options):
    """K and Theta of each image with itself."""
    return [a[range(len(x)), range(len(x))] for a in net.kernel_fn(x, get=('nngp', 'ntk'), **options)]


@pytest.mark.parametrize('rows', [1, 2, 3])
@pytest.mark.parametrize('name', OWN)
def test_halves_are_mirrored(name, rows, rng, monkeypatch):
    """As if nothing were; one row of positions at a time, K(i, j) and K(j, i) agree to the last bit."""
    net, x = NETWORKS[name], drawn(rng, 2, *image_shape(name))
    whole = net.kernel_fn(x)
    set_sizes(monkeypatch, rows * 80, 1)
    for found, expected in zip(own(net, x), (whole.nngp, whole.ntk)):
        expected = expected[range(2), range(2)]
        assert_close(found, expected, 'slice', abs(expected).max())
        for i, j in zip(*numpy.triu_indices(found.shape[1], 1)):
            assert rows > 1 or (found[:, i, j] == found[:, j, i].swapaxes(1, -1)).all()


def test_half_is_computed(rng, monkeypatch):
    """Of 5 rows against 5 those on and behind the first one; against other images all. One thread: in this order."""
    monkeypatch.setenv('NTREF_NUM_THREADS', '1')
    net, x, shapes = serial(conv(), Relu(), conv(), Relu()), rng.standard_normal((2, 5, 4, 2)), []
    monkeypatch.setattr(fast, 'abrelu', lambda p, *a, f=fast.abrelu: shapes.append(p.k.shape) or f(p, *a))
    for rows in 1, 2:
        set_sizes(monkeypatch, rows * 80, 1)
        shapes.clear()
        net.kernel_fn(x, get='nngp')
        halves = [(min(rows, 5 - lo), 5 - lo) for lo in range(0, 5, rows)]
        seen = [shape[1:3] for shape in shapes if len(shape) == 5]
        assert seen == halves * 2 * len(x), seen
        assert {shape[-3] for shape in shapes if len(shape) == 6} == {5}


ITSELF = {
    'gelu': (conv((2, 2)), Gelu(), conv((2, 2)), Relu()), 'jump': (conv((2, 2)), Gelu(), conv((2, 2)), Sign(), dense),
    'relu': (conv((2, 2), b_std=None), Relu(), conv((2, 1), 'CIRCULAR'), Abs()),
    'pool': (conv((2, 2)), Erf(), AvgPool((1, 2)), conv((2, 2)), Relu()),
    'flat': (conv((2, 2)), Gelu(), conv((2, 2)), Relu(), Flatten()),
    'mean': (conv((2, 2)), Gelu(), conv((2, 2)), Relu(), GlobalAvgPool())}


@pytest.mark.parametrize('name', ITSELF)
@pytest.mark.parametrize('block', [2 ** 18, 18])
def test_an_image_with_itself_to_60_digits(name, block, rng, monkeypatch):
    """Also where the gap of a variable with itself, 0, would be lost, and K with it behind a jump."""
    net, x = serial(*ITSELF[name]), rng.standard_normal((2, 2, 3, 2))
    set_sizes(monkeypatch, block, 2 ** 18)
    for i, found in enumerate(zip(*own(net, x))):
        field = reference_conv.kernel(net.to_spec(), x[i], x[i])
        places = reference_conv.positions(field.shape)
        truth = numpy.array([list(map(float, field.at(p, q))) for p in places for q in places])
        order = [m for axis in range(len(field.shape)) for m in (axis, axis + len(field.shape))]
        for a, true in zip(found, truth.T):
            assert_close(a, true.reshape(field.shape * 2).transpose(order), 'value', abs(true).max() / 8)


# ------------------------------------------------------------------ lists of pairs

@pytest.mark.parametrize('n, size', [(32, 64), (35, 80), (35, 10 ** 4), (50, 150)])
@pytest.mark.parametrize('flat', [True, False])
def test_many_images_in_lists(n, size, flat, rng, monkeypatch):
    """Pairs that are generic and others, in blocks of rows and in the lists that are left."""
    net = serial(conv((2, 2)), Relu(), conv((2, 1)), Relu(), *[Flatten()] * flat)
    x = rng.standard_normal((n, 2, 1, 2))
    x[n // 2] = x[1] + 1e-7
    set_sizes(monkeypatch, 2 ** 18, size * (2 if flat else 4))
    jobs = cover.above(n, size, max(1, size // n))
    assert any(isinstance(job, list) for job in jobs)
    k, whole = net.kernel_fn(x, get=('nngp', 'ntk')), net.kernel_fn(x, x.copy())
    assert_same(k, whole)
    for a in k:
        mirrored = a.transpose(1, 0, *(i ^ 1 for i in range(2, a.ndim)))
        assert (a == mirrored)[~numpy.eye(n, dtype=bool)].all()


@pytest.mark.parametrize('channels', [1, 3, 12])
@pytest.mark.parametrize('positions', [(), (4,), (2, 3)])
@pytest.mark.parametrize('paired', [True, False])
@pytest.mark.parametrize('gap, area', [(True, True), (True, False), (False, False)])
def test_one_by_one(channels, positions, paired, gap, area, rng):
    """What `across` has on its diagonal, gaps and areas to their own last digits."""
    a = rng.standard_normal((5, *positions, channels))
    b = rng.standard_normal(a.shape)
    b[1], b[2], b[3] = a[1], a[2] + 1e-8 * b[2], -a[3]
    demand = Demand(paired=paired, gap=gap, area=area)
    whole, listed = start.across(a, b, demand), start.one_by_one(a, b, demand)
    at = numpy.array([0, 1, 2, 3, 4, 2]), numpy.array([4, 1, 2, 3, 0, 4])
    cases = [(listed, (numpy.arange(5),) * 2)]
    if not (paired and positions):
        cases.append((start.at_pairs(a, b, *at, demand), at))
    for found, (i, j) in cases:
        for c, expected, wanted in zip(found, whole, (True, gap, area)):
            assert (c is not None) == (expected is not None) == wanted
            if wanted:
                expected = expected[i, j]
                scale = abs(expected) + (abs(a).max() ** 2 if c is found.k else 1e-20)
                assert_close(c, expected, 'slice', scale)


# ------------------------------------------------------------------ blank, equal and opposite images

def blank(x, d):
    x[0, :2] = x[1, :, 1:] = x[2] = 0


KINDS = {
    'blank': (blank, blank), 'all blank': (lambda x, d: numpy.multiply(x, 0, out=x),) * 2,
    'the same': (None, lambda x, y: numpy.copyto(y, x)), 'opposite': (None, lambda x, y: numpy.copyto(y, -x)),
    'near': (None, lambda x, y: numpy.copyto(y, x + [[[[1e-4]]], [[[1e-8]]], [[[1e-12]]]] * y)),
    'longer': (None, lambda x, y: numpy.copyto(y, x * [[[[2.]]], [[[1 + 1e-8]]], [[[1e-3]]]])),
    'a corner shared': (None, lambda x, y: numpy.copyto(y[:, 2:, 2:], x[:, 2:, 2:]))}
PLAIN = {
    'bias': (conv(), Relu(), conv(), Relu(), conv()), 'means': (conv(), Erf(), conv(), Abs(), GlobalAvgPool()),
    'flat': (conv((2, 2)), LeakyRelu(.2), conv((3, 2)), Relu(), Flatten()), 'pixels': (dense, Relu(), dense, Erf()),
    'transposed': (ConvTranspose(8, (2, 2), (2, 1), 'SAME', 1.3, .2), Relu(), conv((2, 2), strides=(2, 2)), Relu())}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', PLAIN)
@pytest.mark.parametrize('block, entries', [(2 ** 18, 2 ** 18), (40, 1)])
def test_kinds_of_images(kind, name, block, entries, rng, monkeypatch):
    """No warning, and the whole kernel's numbers: here gaps are carried all the way."""
    net, (change_x, change_y) = serial(*PLAIN[name]), KINDS[kind]
    x, y = rng.standard_normal((2, 3, 5, 4, 2))
    if change_x:
        change_x(x, y)
    change_y(*((y, x) if change_x else (x, y)))
    set_sizes(monkeypatch, block, entries)
    for arguments in (x, y), (x, None):
        assert_same(net.kernel_fn(*arguments, ('nngp', 'ntk')), net.kernel_fn(*arguments))


@pytest.mark.parametrize('channels', [1, 2, 3])         # of many no area is known: docs/accuracy.md
@pytest.mark.parametrize('pool', [Flatten(), GlobalAvgPool()], ids=repr)
@pytest.mark.parametrize('factor', [-1., -4., 1., 2.])
def test_parallel_images(channels, pool, factor, rng):
    """Without a bias a rounding of K that is not that of q would move angles by a root of eps."""
    net = serial(conv((2, 2), b_std=None), Relu(), pool)
    x = rng.standard_normal((6, 3, 4, channels))
    assert_same(net.kernel_fn(x, factor * x, ('nngp', 'ntk')), net.kernel_fn(x, factor * x))


@pytest.mark.parametrize('letters', ['NHWC', 'NWHC', 'CHWN', 'HNCW', 'WHCN'])
@pytest.mark.parametrize('layer', [LeakyRelu(.3), Erf()], ids=repr)
@pytest.mark.parametrize('block', [2 ** 18, 1])
def test_blank_images_in_any_order(letters, layer, block, rng, monkeypatch):
    """Zeros without a bias, opposite pixels of one channel, and axes that change places on the way."""
    net = serial(Conv(8, (1, 3), padding='SAME', W_std=1.3, dimension_numbers=('NHWC', 'HWIO', letters)), layer)
    x, y = rng.standard_normal((2, 2, 3, 4, 1))
    x[0, 1], y[1, :, 2:] = 0, 0
    set_sizes(monkeypatch, block, 2 ** 18)
    for arguments in (x, y), (x, None):
        parts, whole = net.kernel_fn(*arguments, ('nngp', 'ntk')), net.kernel_fn(*arguments)
        assert_close(parts.nngp, whole.nngp, 'slice', abs(whole.nngp).max())
        assert abs(parts.ntk - whole.ntk).max() <= 1e-7 * abs(whole.ntk).max()     # no bias: areas are lost, see docs


# ------------------------------------------------------------------ what once was wrong

@pytest.mark.parametrize('layer', [Sin(), Relu()], ids=repr)
@pytest.mark.parametrize('view', [Index(Slice[:, ::-1]), ImageResize((-1, -1, -1), 'nearest')], ids=repr)
def test_views_of_variances(layer, view, rng, monkeypatch):
    """Of inputs with themselves at equal positions K is q of the tape, a view of it too: and is written over."""
    net = serial(Conv(8, (1,)), layer, view, Conv(8, (3,), padding='SAME'), Flatten())
    x = rng.standard_normal((2, 6, 3))
    set_sizes(monkeypatch, 2, 2 ** 18)
    assert_same(net.kernel_fn(x, x + 1e-3, ('nngp', 'ntk')), net.kernel_fn(x, x + 1e-3))


@pytest.mark.parametrize('dtype, scale', [('float32', 1e-11), ('float32', 1e10), ('float64', 1e-90), ('float64', 1e80)])
def test_squares_of_variances_are_out_of_range(dtype, scale, rng):
    """q q' underflows, K is off by half; or overflows, with a warning. In float32 after 75 layers of W_std=1, too."""
    net, x = serial(conv(b_std=None), Relu(), conv(b_std=None), Relu()), scale * rng.standard_normal((2, 4, 4, 2))
    x = x.astype(dtype)
    assert_same(net.kernel_fn(x, get=('nngp', 'ntk')), net.kernel_fn(x))


def test_area_to_a_zero_vector(rng):
    """In float32 1e-7 of |x|, which LayerNorm divides by 1e-6."""
    x, zero = rng.standard_normal((200, 3)).astype('float32'), numpy.zeros((1, 3), 'float32')
    net = serial(*[Dense(8), LayerNorm(), Relu()] * 2)
    assert start.gram(zero, x).area.max() == 0
    assert start.gram(x, zero).area.max() == 0 and net.kernel_fn(x, zero).nngp.max() == 0
