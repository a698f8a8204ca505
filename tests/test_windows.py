"""Windows, their sums and resampling against loops over pixels; their derivatives against their adjoints."""
from itertools import product

import autograd
import brute
import numpy
import pytest
from autograd import numpy as anp
from autograd.core import make_jvp
from kinds import to_kind, to_numpy
from tolerances import assert_close

import ntref.windows
from ntref import windows_on_device
from ntref.arrays import namespace
from ntref.windows import (
    PADDINGS, RESIZERS, Window, _shifts, bordered, nearest, packed, resize_matrix, taken, unwindows, window_spread,
    window_sum, windows)

LENGTHS, SIZES, STRIDES = (1, 4, 5, 7), (1, 2, 3, 5), (1, 2, 3)
MAKERS = {'of': (Window.of, brute.taps), 'transposed': (Window.transposed, brute.transposed)}
every = pytest.mark.parametrize('name, stride, padding', list(product(MAKERS, STRIDES, PADDINGS)))
some = pytest.mark.parametrize('name, n, size, stride, padding', [
    (name, *case, padding) for case in [(4, 2, 1), (4, 3, 2), (5, 3, 2), (1, 3, 1)]
    for name, padding in product(MAKERS, PADDINGS) if name == 'transposed' or padding != 'VALID' or case[1] <= case[0]])


def made(name, *args):
    """The window, and S[a, o, i] by brute force."""
    maker, truth = MAKERS[name]
    return maker(*args), truth(*args)


def all_lengths(name, stride, padding):
    """The same for all lengths of inputs and windows that go together."""
    for n, size in product(LENGTHS, SIZES):
        if name == 'transposed' or padding != 'VALID' or size <= n:
            yield made(name, n, size, stride, padding)


def seen(window):
    """S[a, o, i]: how often tap a of output o sees input i."""
    S = numpy.zeros((len(window.taps), window.out, window.n))
    for a, tap in enumerate(window.taps):
        for outputs, inputs in tap:
            for o, i in zip(range(window.out)[outputs], range(window.n)[inputs], strict=True):
                S[a, o, i] += 1
    return S


# ------------------------------------------------------------------ which output sees which input

@pytest.mark.parametrize('args, rows', [
    ((5, 2, 1, 'VALID'), [[0, 1], [1, 2], [2, 3], [3, 4]]),
    ((5, 2, 1, 'SAME'), [[0, 1], [1, 2], [2, 3], [3, 4], [4, None]]),            # the odd zero is at the end
    ((5, 2, 1, 'CIRCULAR'), [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]]),
    ((5, 3, 2, 'SAME'), [[None, 0, 1], [1, 2, 3], [3, 4, None]]),
    ((4, 3, 2, 'SAME'), [[0, 1, 2], [2, 3, None]]),
    ((4, 3, 2, 'CIRCULAR'), [[0, 1, 2], [2, 3, 0]]),
    ((5, 1, 3, 'SAME'), [[0], [3]]),
    ((2, 5, 1, 'CIRCULAR'), [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]])])
def test_convolution_windows_by_hand(args, rows):
    S = numpy.array([[[float(i == seen) for i in range(args[0])] for seen in row] for row in rows])
    assert (brute.taps(*args) == S.transpose(1, 0, 2)).all() and (seen(Window.of(*args)) == S.transpose(1, 0, 2)).all()


@pytest.mark.parametrize('args, rows', [
    ((2, 2, 1, 'VALID'), [[None, 0], [0, 1], [1, None]]),
    ((2, 3, 2, 'VALID'), [[None, None, 0], [None, 0, None], [0, None, 1], [None, 1, None], [1, None, None]]),
    ((2, 3, 2, 'SAME'), [[None, None, 0], [None, 0, None], [0, None, 1], [None, 1, None]]),
    ((2, 2, 1, 'SAME'), [[None, 0], [0, 1]]),
    ((2, 2, 3, 'SAME'), [[None, 0], [0, None], [None, None], [None, 1], [1, None], [None, None]]),
    ((3, 2, 1, 'CIRCULAR'), [[2, 0], [0, 1], [1, 2]]),
    ((2, 3, 1, 'CIRCULAR'), [[1, 0, 1], [0, 1, 0]])])
def test_transposed_windows_by_hand(args, rows):
    """The kernel is not flipped: an input reaches its first output through the last tap."""
    S = numpy.array([[[float(i == seen) for i in range(args[0])] for seen in row] for row in rows])
    assert (brute.transposed(*args) == S.transpose(1, 0, 2)).all()
    assert (seen(Window.transposed(*args)) == S.transpose(1, 0, 2)).all()


@every
def test_windows_see_what_they_should(name, stride, padding):
    for window, S in all_lengths(name, stride, padding):
        assert (len(window.taps), window.out, window.n) == S.shape and (seen(window) == S).all()
        assert (numpy.array(window.reached) == S.any(2)).all() and \
            window.partial == numpy.nonzero(~S.any(2).all(0))[0].tolist()
        assert (window.back.out, window.back.n) == S.shape[:0:-1] and (seen(window.back) == S.transpose(0, 2, 1)).all()
        assert window.overlaps or not (S.any(0).sum(0) > 1).any()
        assert not window.overlaps or (S.sum((0, 1)) > 1).any()


def test_lengths_of_outputs():
    for n, size, stride in product(LENGTHS, SIZES, STRIDES):
        for padding in ('SAME', 'CIRCULAR'):
            assert Window.of(n, size, stride, padding).out == -(-n // stride)
            assert Window.transposed(n, size, stride, padding).out == n * stride
        assert Window.transposed(n, size, stride, 'VALID').out == n * stride + max(size - stride, 0)
        if size <= n:
            assert Window.of(n, size, stride, 'VALID').out == (n - size) // stride + 1


@pytest.mark.parametrize('n, size', [(1, 2), (4, 5), (2, 100)])
def test_windows_longer_than_the_input(n, size):
    with pytest.raises(ValueError, match=f"no longer than the input under padding 'VALID', got {size} over {n}"):
        Window.of(n, size, 1, 'VALID')


@every
def test_part_of_a_window(name, stride, padding):
    """The rows of some outputs, and only inputs that they see."""
    for window, S in all_lengths(name, stride, padding):
        for start in range(window.out):
            for stop in range(start + 1, window.out + 1):
                inputs, part = window.part(start, stop)
                assert part.out == stop - start and part.n == inputs.stop - inputs.start <= window.n
                assert (seen(part) == S[:, start:stop, inputs]).all()
                used = S[:, start:stop].any((0, 1)).nonzero()[0]
                if len(used):
                    assert (inputs.start, inputs.stop) == (used.min(), used.max() + 1)


@every
def test_some_taps_of_a_window(name, stride, padding):
    for window, S in all_lengths(name, stride, padding):
        for taps in (0,), (len(S) - 1,), tuple(range(0, len(S), 2)), tuple(range(len(S)))[::-1], ():
            only = window.only(taps)
            assert (only.n, only.out, len(only.taps)) == (window.n, window.out, len(taps))
            assert (seen(only) == S[list(taps)]).all()


# ------------------------------------------------------------------ sums over windows

def summed(c, S, axis):
    """out[o] = sum_a,i S[a, o, i] c[i] along the axis."""
    axis %= c.ndim
    out = numpy.zeros((*c.shape[:axis], S.shape[1], *c.shape[axis + 1:]))
    before = (slice(None),) * axis
    for a, o, i in zip(*S.nonzero()):
        out[(*before, o)] += S[a, o, i] * c[(*before, i)]
    return out


def summed_together(c, S, T, axes):
    """out[o, p] = sum_a,i,j S[a, o, i] T[a, p, j] c[i, j]: one tap for both."""
    c = numpy.moveaxis(c, axes, (0, 1))
    out = numpy.zeros((S.shape[1], T.shape[1], *c.shape[2:]))
    for a in range(len(S)):
        for o, i in zip(*S[a].nonzero()):
            for p, j in zip(*T[a].nonzero()):
                out[o, p] += S[a, o, i] * T[a, p, j] * c[i, j]
    return numpy.moveaxis(out, (0, 1), axes)


def beside(q, S, T):
    """border[i, j]: sum of q(tap a of i, by S) over the taps that see nothing at j, by T."""
    out = numpy.zeros((S.shape[1], T.shape[1]))
    for a, i, p in zip(*S.nonzero()):
        out[i] += S[a, i, p] * q[p] * ~T[a].any(1)
    return out


@every
def test_window_sum_along_one_axis(name, stride, padding, rng):
    for window, S in all_lengths(name, stride, padding):
        for axis in (0, 1, -1):
            shape = [2, 3, 2]
            shape[axis] = window.n
            c = rng.standard_normal(shape)
            before = c.copy()
            assert_close(window_sum(c, [(axis, window)]), summed(c, S, axis), 'value', 4.)
            assert (c == before).all()
            back = [2, 3, 2]
            back[axis] = window.out
            d = rng.standard_normal(back)
            assert_close(window_spread(d, [(axis, window)]), summed(d, S.transpose(0, 2, 1), axis), 'value', 4.)


@every
def test_window_sum_along_two_axes(name, stride, padding, rng):
    for window, S in all_lengths(name, stride, padding):
        for axes in ((0, 1), (-1, 1), (2, -3)):
            shape = [2, 2, 2]
            shape[axes[0]] = shape[axes[1]] = window.n
            c = rng.standard_normal(shape)
            found = window_sum(c, [(axes[0], window), (axes[1], window)])
            assert_close(found, summed_together(c, S, S, axes), 'value', 4.)


@some
def test_two_windows_move_together(name, n, size, stride, padding, rng):
    """Some rows of the left member against all of the right one."""
    window, S = made(name, n, size, stride, padding)
    c = rng.standard_normal((n, 3, n))
    for start in range(window.out):
        inputs, part = window.part(start, window.out)
        found = window_sum(c[inputs], [(0, part), (2, window)])
        assert_close(found, summed_together(c, S[:, start:], S, (0, 2)), 'value', 4.)


@some
def test_taps_side_by_side(name, n, size, stride, padding, rng):
    window, S = made(name, n, size, stride, padding)
    for axis in (0, 1, -1):
        shape = [2, 3, 2]
        shape[axis] = n
        x = rng.standard_normal(shape)
        axis %= 3
        expected = numpy.stack([summed(x, S[a:a + 1], axis) for a in range(size)], axis + 1)
        found = windows(x, axis, window)
        assert (found == expected).all()
        y = rng.standard_normal(found.shape)
        again = sum(summed(numpy.take(y, a, axis + 1), S[a:a + 1].transpose(0, 2, 1), axis) for a in range(size))
        assert_close(unwindows(y, axis, window), again, 'value', 4.)
        assert (windows(x, axis - 3, window) == found).all()


@every
def test_sums_are_written_all_over(name, stride, padding, rng, monkeypatch):
    """Whatever was in memory; and lie in it in the order of their summands."""
    monkeypatch.setattr(namespace(numpy.ones(1)), 'empty_like', lambda a, **to: numpy.full_like(a, numpy.nan, **to))
    for window, S in all_lengths(name, stride, padding):
        c = rng.standard_normal((2, window.n, window.n)).transpose(1, 2, 0)
        for start in {0, window.out // 2}:
            inputs, part = window.part(start, window.out)
            total = window_sum(c[inputs], [(0, part), (1, window)])
            assert_close(total, summed_together(c, S[:, start:], S, (0, 1)), 'value', 4.)
            assert window.n == 1 or total.transpose(2, 0, 1).flags.c_contiguous
            assert_close(window_sum(c[inputs], [(0, part)]), summed(c, S[:, start:], 0), 'value', 4.)


def test_sums_of_all_kinds(kind, rng):
    c, q = rng.standard_normal((5, 5)), rng.standard_normal((5, 1))
    for window, S in made('of', 5, 3, 2, 'SAME'), made('transposed', 5, 3, 2, 'CIRCULAR'):
        total = window_sum(to_kind(kind, c), [(0, window), (1, window)])
        expected = summed_together(c, S, S, (0, 1))
        dtype = 'float32' if kind == 'float32' else 'float64'
        assert_close(to_numpy(total).astype('float64'), expected, 'value', 4., dtype)
        both = bordered(total, to_kind(kind, q), (0, window), (1, window))
        assert_close(to_numpy(both).astype('float64'), expected + beside(q[:, 0], S, S), 'value', 8., dtype)


@every
@pytest.mark.parametrize('largest', [windows_on_device.LARGEST, 0])
def test_sums_in_one_pass_on_a_gpu(largest, name, stride, padding, rng, cupy, monkeypatch):
    """Along one axis and two, of some rows and of all, packed or not; with indices of both types."""
    monkeypatch.setattr(windows_on_device, 'LARGEST', largest)
    monkeypatch.setattr(ntref.windows, '_shifts', None)                   # that way is not taken
    for window, S in all_lengths(name, stride, padding):
        c = rng.standard_normal((2, window.n, 3, window.n))
        inputs, part = window.part(window.out // 2, window.out)
        found = window_sum(cupy.asarray(c[:, inputs]), [(1, part), (-1, window)])
        assert_close(found.get(), summed_together(c, S[:, window.out // 2:], S, (1, 3)), 'value', 4.)
        there = cupy.asarray(c.transpose(1, 2, 3, 0).copy()).transpose(3, 0, 1, 2)
        found = window_sum(there, [(1, window)])
        assert_close(found.get(), summed(c, S, 1), 'value', 4.)
        assert window.n == 1 or found.transpose(1, 2, 3, 0).flags.c_contiguous
        back = rng.standard_normal((window.out, 2))
        found = window_spread(cupy.asarray(back.astype('float32')), [(0, window)])
        assert_close(found.get().astype('float64'), summed(back, S.transpose(0, 2, 1), 0), 'value', 4., 'float32')


LINEAR = {'window_sum, one axis': (lambda x, w: window_sum(x, [(1, w)]), lambda y, w: window_spread(y, [(1, w)])),
          'window_sum, two axes': (lambda x, w: window_sum(x, [(0, w), (1, w)]),
                                   lambda y, w: window_spread(y, [(0, w), (1, w)])),
          'windows': (lambda x, w: windows(x, 1, w), lambda y, w: unwindows(y, 1, w))}


@some
@pytest.mark.parametrize('what', LINEAR)
def test_adjoints(what, name, n, size, stride, padding, rng):
    """<A x, y> = <x, A' y>"""
    (f, adjoint), window = LINEAR[what], made(name, n, size, stride, padding)[0]
    x = rng.standard_normal((n, n, 2))
    ax = f(x, window)
    y = rng.standard_normal(ax.shape)
    assert_close(numpy.sum(ax * y), numpy.sum(x * adjoint(y, window)), 'value', n * n * size)


@pytest.mark.parametrize('what', LINEAR)
@pytest.mark.parametrize('name, n, size, stride, padding', [
    ('of', 5, 3, 2, 'SAME'), ('of', 4, 5, 1, 'CIRCULAR'), ('transposed', 4, 3, 2, 'CIRCULAR')])
def test_derivatives(what, name, n, size, stride, padding, rng):
    """A v forwards, A' y backwards, and for sum c (A x)^3 the second derivative along v, A' (6 c (A x) (A v))."""
    (f, adjoint), window = LINEAR[what], made(name, n, size, stride, padding)[0]
    for f, adjoint in ((f, adjoint), (adjoint, f)):
        x = rng.standard_normal((n, n, 2)) if f is LINEAR[what][0] else adjoint(rng.standard_normal((n, n, 2)), window)
        v, ax = rng.standard_normal(x.shape), f(x, window)
        y = rng.standard_normal(ax.shape)
        assert_close(make_jvp(lambda x: f(x, window), x)(v)[1], f(v, window), 'value')
        assert_close(autograd.grad(lambda x: anp.sum(y * f(x, window)))(x), adjoint(y, window), 'value')

        def slope(x):
            return autograd.grad(lambda x: anp.sum(y * f(x, window) ** 3))(x)
        expected = adjoint(6 * y * ax * f(v, window), window)
        size_ = abs(expected).max()
        assert_close(make_jvp(slope, x)(v)[1], expected, 'value', size_)
        assert_close(autograd.grad(lambda x: anp.sum(v * slope(x)))(x), expected, 'value', size_)


def kept():
    """How many windows, parts and indices are kept for the life of the process."""
    return [f.cache_info().currsize for f in (_shifts, Window.of, Window.transposed, Window.only, Window.part)]


@pytest.mark.parametrize('padding', PADDINGS)
def test_nothing_more_is_kept_after_each_gradient(padding, rng):
    _, window = Window.of(6, 3, 1, padding).part(0, 4)
    x, slides = rng.standard_normal((window.n, window.n)), [(0, window), (1, window)]

    def f(x):
        return anp.sum(window_spread(window_sum(x, slides), slides) ** 3)
    gradient = autograd.grad(f)

    def slope(x):
        return anp.sum(gradient(x) ** 2)
    autograd.grad(slope)(x)
    before = kept()
    autograd.grad(slope)(x)
    assert kept() == before


def test_float32_stays(rng):
    window = Window.of(5, 3, 2, 'SAME')
    c = rng.standard_normal((5, 5)).astype('float32')
    results = (window_sum(c, [(0, window), (1, window)]), window_spread(c[:3], [(0, window)]), windows(c, 0, window),
               unwindows(windows(c, 0, window), 0, window),
               bordered(c[:3, :3].copy(), c[:, :1], (0, window), (1, window)))
    assert {a.dtype.name for a in results} == {'float32'}


# ------------------------------------------------------------------ taps inside on the left and outside on the right

@every
def test_border(name, stride, padding, rng):
    """out[i, j] = sum of q(tap a of i) over the taps a that see nothing at j."""
    for window, S in all_lengths(name, stride, padding):
        q = rng.standard_normal((window.n, 2, 1))
        expected = numpy.zeros((window.out, 2, window.out))
        for a, i, p in zip(*S.nonzero()):
            for j in range(window.out):
                if not S[a, j].any():
                    expected[i, :, j] += S[a, i, p] * q[p, :, 0]
        before = rng.standard_normal(expected.shape)
        after = bordered(before.copy(), q, (0, window), (2, window))
        assert_close(after, before + expected, 'value', 4.)
        swapped = bordered(before.transpose(2, 1, 0).copy(), q.transpose(2, 1, 0), (-1, window), (0, window))
        assert_close(swapped, after.transpose(2, 1, 0), 'value', 4.)
        if expected.any():
            slope = autograd.grad(lambda q: anp.sum(before * bordered(before, q, (0, window), (2, window))))(q)
            assert_close(anp.sum(slope * q), anp.sum(before * expected), 'value', abs(before * expected).sum())


@every
def test_border_of_some_rows(name, stride, padding, rng):
    """Of some rows of the left member against those from there on of the right one, as in tiles; written into c."""
    for window, S in all_lengths(name, stride, padding):
        for start in range(window.out):
            rows, stop = [], min(start + 2, window.out)
            for end in stop, window.out:
                inputs, part = window.part(start, end)
                rows.append((part, S[:, start:end, inputs], rng.standard_normal(part.n)))
            (left, S1, q1), (right, S2, q2) = rows
            before = rng.standard_normal((left.out, 2, right.out))
            after = before.copy()
            assert bordered(after, q1[:, None, None], (0, left), (2, right)) is after
            assert_close(after, before + beside(q1, S1, S2)[:, None], 'value', 4.)
            assert bordered(after, q2[None, None], (2, right), (0, left)) is after
            expected = before + (beside(q1, S1, S2) + beside(q2, S2, S1).T)[:, None]
            assert_close(after, expected, 'value', 4.)


@some
def test_derivatives_of_the_border(name, n, size, stride, padding, rng):
    """By c and by q, at once; traced arguments stay as they are."""
    window, S = made(name, n, size, stride, padding)
    c, y, v = rng.standard_normal((3, window.out, window.out))
    q, u = rng.standard_normal((2, n, 1))
    before = c.copy()

    def f(c, q):
        return bordered(c, q, (0, window), (1, window))
    matrix = numpy.array([beside(row, S, S) for row in numpy.eye(n)])                     # of what is linear in q
    by_q = numpy.einsum('pij,ij->p', matrix, y)[:, None]
    by_c, found = autograd.grad(lambda c, q: anp.sum(y * f(c, q)))(c, q), autograd.grad(
        lambda q: anp.sum(y * f(c, q)))(q) if window.partial else 0 * q
    assert (by_c == y).all() and (c == before).all()
    assert_close(found, by_q, 'value', 4.)
    assert_close(make_jvp(lambda c: f(c, q), c)(v)[1], v, 'value')
    if window.partial:
        assert_close(make_jvp(lambda q: f(c, q), q)(u)[1], numpy.einsum('pij,p->ij', matrix, u[:, 0]), 'value', 4.)
        squares = autograd.grad(lambda q: anp.sum(y * f(c, q) ** 2))(q)
        assert_close(squares, numpy.einsum('pij,ij->p', matrix, 2 * y * f(c.copy(), q))[:, None], 'value', 32.)


# ------------------------------------------------------------------ resampling

METHODS = [name for name in RESIZERS if name != 'nearest']


def test_methods():
    assert set(METHODS) == set(brute.FILTERS) | set(brute.ALIASES)


@pytest.mark.parametrize('n, out', list(product((1, 2, 3, 4, 5, 7, 10), repeat=2)))
def test_nearest(n, out):
    R = numpy.zeros((out, n))
    R[range(out), nearest(n, out)] = 1
    assert (R == brute.nearest(n, out)).all()


@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize('method', METHODS)
def test_resampling(method, antialias):
    for n, out in product((1, 2, 3, 4, 5, 7, 10), repeat=2):
        R = resize_matrix(numpy, n, out, RESIZERS[method], antialias)
        assert_close(R.sum(1), numpy.ones(out), 'value')
        if n != out:                                    # else a layer leaves the axis alone
            assert_close(R, brute.resize(n, out, method, antialias), 'value')


def test_resampling_by_hand():
    """Keys' weights at a quarter are (-9, 111, 29, -3) / 128; under antialiasing a triangle is two pixels wide."""
    up = resize_matrix(numpy, 4, 8, RESIZERS['cubic'], True)
    assert_close(up[3], numpy.array([-9, 111, 29, -3]) / 128, 'value')
    up = resize_matrix(numpy, 2, 4, RESIZERS['linear'], False)
    assert_close(up, numpy.array([[4, 0], [3, 1], [1, 3], [0, 4]]) / 4, 'value')
    down = [resize_matrix(numpy, 4, 2, RESIZERS['linear'], antialias) for antialias in (False, True)]
    assert_close(down[0], numpy.array([[1, 1, 0, 0], [0, 0, 1, 1]]) / 2, 'value')
    assert_close(down[1], numpy.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7, 'value')
    assert nearest(5, 3) == [0, 2, 4] and nearest(2, 3) == [0, 1, 1]


@pytest.mark.parametrize('rows', [slice(1, 4), numpy.array([4, 0, 0, 2])], ids=['slice', 'array'])
@pytest.mark.parametrize('positions', [(), (3,), (3, 2)])
def test_rows_taken_stay_packed(positions, rows, rng):
    """Inputs that are innermost in memory stay there: otherwise each pass over them jumps."""
    a = rng.standard_normal((5, *positions))
    part = taken(packed(a, 1), rows)
    assert (part == a[rows]).all()
    assert part.strides[0] == part.itemsize


@pytest.mark.parametrize('method', ['linear', 'cubic', 'lanczos3'])
def test_weights_of_all_kinds(method, kind):
    """mpmath to its digits: the weights are not those of double precision."""
    xp = namespace(to_kind(kind, numpy.ones(1)))
    R = resize_matrix(xp, 7, 3, RESIZERS[method], True)
    assert_close(to_numpy(R).astype('float64'), brute.resize(7, 3, method, True), 'value')
    if kind == 'mpmath':
        import mpmath
        with mpmath.workdps(50):
            R = resize_matrix(xp, 7, 3, RESIZERS[method], True)
            assert all(abs(mpmath.fsum(row) - 1) < mpmath.mpf(10) ** -48 for row in R)
