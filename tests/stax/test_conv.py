"""Convolutions: kernels against sums over pixels (`brute`), finite networks against loops over pixels."""
from itertools import product
from math import sqrt

import autograd
import brute
import numpy
import pytest
from autograd import numpy as anp
from brute import check
from pixels import WB, before, draw
from tiles import set_sizes
from tolerances import assert_close

from ntref.stax import (
    AvgPool, Conv, ConvLocal, ConvTranspose, Dense, Erf, FanInSum, FanOut, Flatten, GlobalAvgPool,
    GlobalSumPool, ImageResize, Index, Relu, Slice, SumPool, parallel, serial)

LAYERS = Conv, ConvLocal, ConvTranspose
PADDINGS = 'VALID', 'SAME', 'CIRCULAR'
STANDARD = dict(parameterization='standard')

layers = pytest.mark.parametrize('layer', LAYERS, ids=lambda layer: layer.__name__)
paddings = pytest.mark.parametrize('padding', PADDINGS)


# ------------------------------------------------------------------ kernels

@layers
@paddings
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_one_axis(layer, padding, stride, rng):
    for n, size in [(5, 1), (5, 2), (5, 3), (4, 3), (1, 1), (2, 5)]:
        if padding == 'VALID' and layer is not ConvTranspose and size > n:
            continue
        x1, x2 = draw(rng, n)
        check(serial(before(1), layer(4, (size,), (stride,), padding, **WB)), x1, None if n == 4 else x2)


@layers
@paddings
@pytest.mark.parametrize('size, strides', [((2, 3), None), ((3, 1), (1, 2)), ((1, 1), (2, 1)), ((3, 2), (2, 3))])
def test_two_axes(layer, padding, size, strides, rng):
    x1, x2 = draw(rng, 3, 4)
    check(serial(before(2), layer(4, size, strides, padding, **WB)), x1, x2)
    check(layer(4, size, strides, padding, 1.3), x1)


@layers
@paddings
def test_three_axes(layer, padding, rng):
    x1, x2 = draw(rng, 3, 2, 2, n=(2, 2))
    check(serial(before(3), layer(4, (2, 1, 2), (1, 2, 1), padding, **WB)), x1, x2)


@layers
@pytest.mark.parametrize('W_std, b_std, s', [
    (1., None, (1, 1)), (1.3, .4, (1, 1)), (-.7, 0., (1, 1)), (1.3, .4, (2, 3)), (.8, None, (3, 1))])
def test_standard_parameterization(layer, W_std, b_std, s, rng):
    """Theta' = fan-in / s[0] mean K + w mean Theta (+ 1 with a bias, also of size 0)."""
    x1, x2 = draw(rng, 4)
    inner = Conv(3, (2,), padding='SAME', **WB, **STANDARD, s=(1, s[0]))
    net = serial(inner, Erf(), layer(4, (3,), (2,), 'SAME', W_std, b_std, s=s, **STANDARD))
    check(net, x1, x2)
    assert net.kernel_fn(x1).shape1[-1] == 4 * s[1]


def test_standard_parameterization_by_hand():
    x = numpy.array([[[1.], [2.], [3.]]])
    k = Conv(1, (2,), W_std=2., b_std=3., **STANDARD).kernel_fn(x)
    assert (k.nngp == 2 * numpy.array([[5., 8.], [8., 13.]]) + 9).all()
    assert (k.ntk == numpy.array([[5., 8.], [8., 13.]]) + 1).all()


def test_by_hand():
    """K(0, 0) = 1 and K(0, 1) = 2 are seen by tap 0 of outputs 0 and 1; a zero outside counts among the taps."""
    x = numpy.array([[[1.], [2.], [3.]]])
    expected = {
        Conv(1, (2,), padding='SAME', W_std=2.): [[10, 16, 6], [16, 26, 12], [6, 12, 18]],
        Conv(1, (2,), padding='CIRCULAR', W_std=2.): [[10, 16, 10], [16, 26, 18], [10, 18, 20]],
        Conv(1, (2,), (2,), W_std=2.): [[10]],
        ConvTranspose(1, (2,), padding='SAME', W_std=2.): [[2, 4, 6], [4, 10, 16], [6, 16, 26]],
        ConvTranspose(1, (2,), (2,), 'SAME', W_std=2.): numpy.kron(
            2 * numpy.outer([1, 2, 3], [1, 2, 3]), numpy.eye(2)),
        ConvLocal(1, (2,), padding='SAME', W_std=2.): [[10, 0, 0], [0, 26, 0], [0, 0, 18]]}
    for layer, wanted in expected.items():
        k = layer.kernel_fn(x, get=('nngp', 'ntk'))
        assert (k.nngp == wanted).all() and (k.ntk == wanted).all(), layer


@layers
def test_without_positions_it_is_dense(layer, rng):
    x1, x2 = draw(rng, channels=5)
    for arguments in [(x1, x2), (x1,)]:
        k, expected = (net.kernel_fn(*arguments) for net in (
            serial(Dense(4, 1.3, .4), Erf(), layer(4, (), **WB)), serial(Dense(4, 1.3, .4), Erf(), Dense(4, 1.3, .4))))
        for name in ('nngp', 'ntk', 'cov1', 'gap'):
            assert_close(getattr(k, name), getattr(expected, name), 'value')
    out, (W, b) = layer(4, (), **WB).init_fn(1, (3, 5))
    assert out == (3, 4) and W.shape == (5, 4) and b.shape == (1, 4)
    assert_close(layer(4, (), **WB).apply_fn((W, b), x1), Dense(4, 1.3, .4).apply_fn((W, b), x1), 'value', 8.)
    pixel = rng.standard_normal((3, 4, 2))
    net = serial(before(1), Index(Slice[:, 1]), layer(4, (), **WB))        # the position is gone on the way
    check(net, pixel)


@layers
def test_a_window_of_one_is_dense_on_each_position(layer, rng):
    x1, x2 = draw(rng, 3, 2)
    k, expected = (serial(before(2), net).kernel_fn(x1, x2, diagonal_spatial=True)
                   for net in (layer(4, (1, 1), **WB), Dense(4, 1.3, .4)))
    for name in ('nngp', 'ntk', 'cov1', 'gap', 'area'):
        assert_close(getattr(k, name), getattr(expected, name), 'value', 4.)


@layers
def test_deep(layer, rng):
    x1, x2 = draw(rng, 5, 4)
    net = serial(Conv(3, (2, 2), padding='SAME', **WB), Relu(), layer(4, (2, 3), (1, 2), 'SAME', **WB), Relu(),
                 Conv(4, (2, 2), padding='CIRCULAR', W_std=.9), Erf(), layer(4, (2, 2), **WB))
    check(net, x1, x2)
    check(net, x1)
    check(serial(net, Relu(), Flatten(), Dense(3, 1.2)), x1, x2)


@layers
def test_states_compose(layer, rng):
    """From a Kernel, with and without its gap, as from the inputs."""
    x1, x2 = draw(rng, 4)
    net = layer(4, (3,), (2,), 'SAME', **WB)
    for arguments in [(x1, x2), (x1,)]:
        state, expected = before(1).kernel_fn(*arguments), brute.kernel(serial(before(1), net), *arguments)
        brute.assert_state(net.kernel_fn(state), expected)
        brute.assert_state(net.kernel_fn(state, diagonal_spatial=True), expected.aligned)
        bare = state.replace(nngp=state.nngp, cov1=state.cov1)
        assert bare.gap is None is bare.gap1
        brute.assert_state(net.kernel_fn(bare), expected)
        brute.assert_state(net.kernel_fn(bare, diagonal_spatial=True), expected.aligned)
        assert net.kernel_fn(state.replace(ntk=None)).ntk is None


@layers
@paddings
def test_gap_of_nearly_equal_inputs(layer, padding, rng):
    """w / N sum |h - h'|^2 over the window, to its last digits though K and q agree in half of theirs."""
    x = rng.standard_normal((2, 5, 3))
    y = x + 1e-8 * rng.standard_normal(x.shape)
    net = layer(4, (3,), (2,), padding, **WB)
    S = (brute.transposed if layer is ConvTranspose else brute.taps)(5, 3, 2, padding)
    left, right = (numpy.einsum('aoi,nic->noac', S, h) for h in (x, y))
    expected = 1.3 ** 2 / 9 * ((left[:, None, :, None] - right[None, :, None, :]) ** 2).sum((-2, -1))
    k = net.kernel_fn(x, y)
    here = numpy.eye(S.shape[1]) > 0
    if layer is ConvLocal:
        expected = numpy.where(here, expected, k.gap)
    assert expected[0, 0][here].max() < 1e-14
    assert_close(k.gap, expected, 'value', expected)
    assert_close(net.kernel_fn(x, y, diagonal_spatial=True).gap, numpy.einsum('nmpp->nmp', expected), 'value',
                 numpy.einsum('nmpp->nmp', expected))
    for same in (net.kernel_fn(x), net.kernel_fn(x, x.copy())):
        assert (numpy.einsum('nnpp->np', same.gap) == 0).all() and (numpy.einsum('npp->np', same.gap1) == 0).all()


@pytest.mark.parametrize('faint', [1e-1, 1e-2, 1e-4])
def test_faint_and_orthogonal_pixels(faint):
    """Erf is odd: orthogonal pixels stay so, K = 0, Theta = 0 and gap = q + q'."""
    x = numpy.array([[[1.3, 0.], [0., faint]]])
    net = serial(*[layer for _ in range(4) for layer in (Conv(4, (1,), W_std=1.5), Erf())])
    for k in (net.kernel_fn(x), net.kernel_fn(x, x.copy()), net.kernel_fn(x, diagonal_spatial=False)):
        q = numpy.diag(k.cov1[0])
        assert_close(k.nngp[0, 0, 0, 1], 0., 'value', (q[0] * q[1]) ** .5)
        assert_close(k.ntk[0, 0, 0, 1], 0., 'value', (q[0] * q[1]) ** .5)
        assert_close(k.gap[0, 0, 0, 1], q[0] + q[1], 'value', q[0] + q[1])


NETWORKS = [
    serial(Conv(4, (3, 2), padding='SAME', **WB), Erf(), Conv(4, (2, 2), padding='SAME', **WB), Erf(), Dense(2)),
    serial(Conv(4, (3, 2), (2, 1), 'SAME', **WB), Relu(), Conv(4, (3, 3), padding='CIRCULAR', **WB), Relu(), Flatten()),
    serial(ConvTranspose(4, (3, 2), (2, 1), **WB), Erf(), ConvTranspose(4, (2, 2), padding='CIRCULAR', **WB)),
    serial(Conv(4, (2, 2), padding='SAME'), ConvLocal(4, (2, 3), **WB), Erf(), Conv(4, (2, 1)), GlobalAvgPool()),
    serial(Conv(4, (1, 2), **WB), Erf(), AvgPool((2, 2), (2, 1), 'SAME'), Conv(4, (2, 1)), Erf(), Conv(4, (1, 2))),
    serial(SumPool((2, 1)), ImageResize((-1, 6, -1, -1), 'cubic'), Conv(4, (3, 1), **WB), Relu(), Index(Slice[:, 1:])),
    serial(FanOut(2), parallel(Conv(4, (3, 2), padding='SAME', **WB), serial(Conv(3, (1, 1)), Erf(), Conv(4, (1, 1)))),
           FanInSum(), Erf(), Conv(4, (2, 2)), GlobalSumPool())]


@pytest.mark.parametrize('net', NETWORKS, ids=repr)
@pytest.mark.parametrize('block, entries', [(5, 20), (40, 400)])
def test_any_tiles_and_blocks_of_rows(net, block, entries, rng, monkeypatch):
    """As few entries in a block, or a tile, as there are in a row of positions, or fewer."""
    set_sizes(monkeypatch, block, entries)
    x1, x2 = draw(rng, 4, 3, n=(2, 1))
    for arguments in [(x1, x2), (x1,)]:
        expected = brute.kernel(net, *arguments)
        brute.assert_named(net.kernel_fn(*arguments, get=('nngp', 'ntk')), expected)
        if 'Pool' not in repr(net) and 'Resize' not in repr(net):
            brute.assert_named(net.kernel_fn(*arguments, get=('nngp', 'ntk'), diagonal_spatial=True), expected.aligned)


# ------------------------------------------------------------------ letters of the axes

NUMBERS = [('NCHW', 'OIHW', 'NCHW'), ('NHWC', 'HWIO', 'NWHC'), ('NHWC', 'WHIO', 'NHWC'), ('NWHC', 'OHIW', 'CHWN'),
           ('HWCN', 'IWHO', 'NHWC'), ('CNWH', 'WOHI', 'WCHN')]
letters = pytest.mark.parametrize('numbers', NUMBERS, ids='-'.join)


def arranged(x, source, target):
    """An array with axes named by letters, in another order."""
    return x.transpose([source.index(c) for c in target])


@layers
@letters
def test_letters_of_the_axes(layer, numbers, rng):
    lhs, _, out = numbers
    x1, x2 = (arranged(x, 'NHWC', lhs) for x in draw(rng, 4, 3))
    net = layer(5, (3, 2), (1, 2), 'SAME', **WB, dimension_numbers=numbers)
    axes = dict(batch=lhs.index('N'), channel=lhs.index('C'))
    check(net, x1, x2, **axes)
    back = Conv(3, (1, 2), **WB, dimension_numbers=(out, 'HWIO', 'NHWC'))
    check(serial(net, Erf(), back), x1, **axes)


@layers
@pytest.mark.parametrize('numbers', [('NHWDC', 'DHWIO', 'NWDHC'), ('CDHWN', 'HWDOI', 'WCHDN')], ids='-'.join)
def test_letters_of_three_spatial_axes(layer, numbers, rng):
    """A cyclic order is not its own inverse."""
    lhs, _, out = numbers
    x1, x2 = (arranged(x, 'NHWDC', lhs) for x in draw(rng, 3, 2, 2, n=(2, 1)))
    size, strides = (2, 1, 2), (1, 2, 1)
    net = layer(3, size, strides, 'SAME', **WB, dimension_numbers=numbers)
    check(net, x1, x2, batch=lhs.index('N'), channel=lhs.index('C'))
    shape, (W, b) = net.init_fn(1, x1.shape)
    z = net.apply_fn((W, b), x1)
    expected = product_by_hand(layer, (size, strides, 'SAME'), x1, W, numbers)
    assert z.shape == shape
    assert_close(z, 1.3 / sqrt(2 * 4) * expected + .4 * b, 'value', 8.)


@letters
def test_letters_are_names_alone(numbers, rng):
    """The same kernel as with channels last, if inputs, window and strides are arranged alike."""
    lhs, rhs, out = numbers
    x, = draw(rng, 4, 3, n=(3,))
    size, strides = ([dict(H=a, W=b)[c] for c in rhs if c in 'HW'] for a, b in ((3, 2), (1, 2)))
    k = Conv(5, size, strides, 'SAME', **WB, dimension_numbers=numbers).kernel_fn(arranged(x, 'NHWC', lhs))
    expected = Conv(5, (3, 2), (1, 2), 'SAME', **WB).kernel_fn(x)
    swapped = [0, 1, 4, 5, 2, 3] if out.index('W') < out.index('H') else range(6)
    for name in ('nngp', 'ntk', 'gap'):
        assert_close(getattr(k, name), getattr(expected, name).transpose(swapped), 'value', 8.)
    assert dict(zip(out, k.shape1)) == dict(zip('NHWC', expected.shape1))


# ------------------------------------------------------------------ finite networks

def product_by_hand(layer, args, x, W, numbers):
    """sum over taps and channels of W h, pixel by pixel."""
    size, strides, padding = args
    lhs, rhs, out = numbers
    spatial, filters = ([c for c in axes if c not in 'NCIO'] for axes in (lhs, rhs))
    one = brute.transposed if layer is ConvTranspose else brute.taps
    x, W = arranged(x, lhs, ['N', *spatial, 'C']), arranged(W, rhs, [*spatial, 'I', 'O'])
    S = [one(x.shape[1 + i], size[filters.index(c)], strides[filters.index(c)], padding) for i, c in enumerate(spatial)]
    z = numpy.zeros((len(x), *(s.shape[1] for s in S), W.shape[-1]))
    for t, a in enumerate(product(*(range(len(s)) for s in S))):
        for o in product(*(range(s.shape[1]) for s in S)):
            for i in product(*(s[b, p].nonzero()[0] for s, b, p in zip(S, a, o))):
                n = x.shape[-1]
                w = W[o][t * n:(t + 1) * n] if layer is ConvLocal else W[a]
                z[(slice(None), *o)] += x[(slice(None), *i)] @ w
    return arranged(z, ['N', *spatial, 'C'], out)


@layers
@paddings
@pytest.mark.parametrize('numbers', [None, *NUMBERS], ids=lambda n: n and '-'.join(n))
def test_finite_networks(layer, padding, numbers, rng):
    size, strides, known = (3, 2), (1, 2), numbers or ('NHWC', 'HWIO', 'NHWC')
    x = arranged(draw(rng, 4, 3)[0], 'NHWC', known[0])
    net = layer(5, size, strides, padding, **WB, dimension_numbers=numbers)
    out, (W, b) = net.init_fn(1, x.shape)
    z, expected = net.apply_fn((W, b), x), product_by_hand(layer, (size, strides, padding), x, W, known)
    assert z.shape == out
    assert_close(z, 1.3 / sqrt(2 * 6) * expected + .4 * b, 'value', 8.)
    lengths = dict(zip(known[1], W.shape))
    assert (lengths['I'], lengths['O']) == ((12, 5) if layer is ConvLocal else (2, 5))
    places = {c: dict(zip(known[2], out))[c] for c in 'HW'} if layer is ConvLocal else dict(
        zip([c for c in known[1] if c in 'HW'], size))
    assert {c: lengths[c] for c in 'HW'} == places
    assert b.shape == tuple(n if c == 'C' or c in 'HW' and layer is ConvLocal else 1 for c, n in zip(known[2], out))


@layers
def test_finite_networks_without_bias_and_of_standard_parameterization(layer, rng):
    x, known, args = draw(rng, 4)[0], ('NHC', 'HIO', 'NHC'), ((3,), (2,), 'SAME')
    net = layer(5, *args, W_std=-1.3)
    (W, b) = net.init_fn(1, x.shape)[1]
    assert not isinstance(b, numpy.ndarray)
    expected = product_by_hand(layer, args, x, W, known)
    assert_close(net.apply_fn((W, b), x), -1.3 / sqrt(6) * expected, 'value', 8.)
    net = layer(5, *args, **WB, **STANDARD, s=(2, 3))
    out, (W, b) = net.init_fn(1, x.shape)
    assert out[-1] == W.shape[-1] == b.shape[-1] == 15
    assert_close(net.apply_fn((W, b), x), product_by_hand(layer, args, x, W, known) / sqrt(2) + b, 'value', 20.)


@layers
def test_initialization(layer):
    """Standard deviations to 5 standard errors: one in 'ntk'; W_std / sqrt(fan-in / s[0]) and b_std in 'standard'."""
    for more, w, b in (({}, 1., 1.), (dict(**STANDARD, s=(4, 1)), 1.3 / sqrt(5 * 6 / 4), .4)):
        net = layer(400, (3, 2), padding='SAME', **WB, **more)
        W, bias = net.init_fn(3, (-1, 4, 4, 5))[1]
        assert abs(W.std() / w - 1) < 5 / sqrt(2 * W.size) and abs(W.mean()) < 5 * w / sqrt(W.size)
        assert abs(bias.std() / b - 1) < 5 / sqrt(2 * bias.size)
    assert layer(4, (3, 2), (1, 2), 'SAME').init_fn(1, (-1, 4, 6, 5))[0][0] == -1


@layers
def test_seeds(layer):
    net = layer(4, (3,), b_std=.1)
    first, again, other = (net.init_fn(rng, (1, 5, 2))[1] for rng in (3, numpy.random.default_rng(3), 4))
    assert all((a == b).all() and (a != c).all() for a, b, c in zip(first, again, other))


@layers
def test_derivatives_of_finite_networks(layer, rng):
    """The loss is a polynomial of degree two in each argument: central differences have no error but rounding."""
    x = draw(rng, 4, 3)[0]
    net = layer(3, (2, 3), (1, 2), 'CIRCULAR', **WB)
    out, (W, b) = net.init_fn(1, x.shape)
    c = rng.standard_normal(out)

    def loss(W, b, x):
        return anp.sum(c * net.apply_fn((W, b), x) ** 2)
    for i, a in enumerate((W, b, x)):
        gradient, v = autograd.grad(loss, i)(W, b, x), rng.standard_normal(a.shape)
        up, down = (loss(*(p + h * v if i == j else p for j, p in enumerate((W, b, x)))) for h in (1., -1.))
        assert_close(numpy.sum(gradient * v), (up - down) / 2, 'value', abs(up) + abs(down))


# ------------------------------------------------------------------ finite and infinite, exactly

AFTER = [
    (), (AvgPool((2, 2), (1, 2), 'SAME', True),), (SumPool((3, 2)), AvgPool((1, 2), padding='CIRCULAR')),
    (GlobalAvgPool(),), (GlobalSumPool(),), (Flatten(),), (Index(Slice[:, ::-2, 1]),),
    (ImageResize((-1, 3, 5, -1), 'cubic'), Index(Slice[:, 1:])), (ImageResize((-1, 7, 2, -1), 'nearest'), Flatten())]


@layers
@pytest.mark.parametrize('after', AFTER, ids=repr)
@pytest.mark.parametrize('more', [WB, dict(**WB, **STANDARD), dict(W_std=.8, **STANDARD, s=(3, 1))], ids=repr)
def test_one_layer_of_weights(layer, after, more, rng):
    """Outputs are linear in the weights: Theta is the sum over them of products of derivatives, K the same with their
    variances. No limit is taken."""
    x1, x2 = draw(rng, 4, 4)
    net = serial(layer(1, (3, 2), (1, 2), 'SAME', **more), *after)
    params, variances = net.init_fn(1, x1.shape)[1], (1., 1.)
    if 'parameterization' in more:
        variances = more['W_std'] ** 2 * more.get('s', (1,))[0] / 12, more.get('b_std', 0) ** 2
    left, right = jacobian(net, params, x1), jacobian(net, params, x2)
    ntk = sum(numpy.einsum('npk,mqk->nmpq', a, b) for a, b in zip(left, right))
    nngp = sum(v * numpy.einsum('npk,mqk->nmpq', a, b) for v, a, b in zip(variances, left, right))
    k, shape = net.kernel_fn(x1, x2, ('nngp', 'ntk')), net.init_fn(1, x1.shape)[0]
    for found, c in ((k.nngp, nngp), (k.ntk, ntk)):
        wanted = numpy.einsum('nmpp->nm', c) / shape[1] if Flatten() in after else brute.zipped(c, shape[1:-1])
        assert_close(found, wanted, 'value', abs(wanted).max())


def jacobian(net, params, x):
    """Derivatives of the outputs (n, pixels, weights) by W and by b."""
    (W, b), *rest = params
    outputs = autograd.jacobian(lambda W: net.apply_fn([(W, b), *rest], x))(W).reshape(len(x), -1, W.size)
    if not isinstance(b, numpy.ndarray):
        return [outputs]
    return [outputs, autograd.jacobian(lambda b: net.apply_fn([(W, b), *rest], x))(b).reshape(len(x), -1, b.size)]
