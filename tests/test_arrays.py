"""Every name of the alphabet on every kind: values, precision, derivatives; and how kinds are read and refused."""
import itertools
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import scipy.linalg
import scipy.special
from kinds import ALL_KINDS, to_kind, to_numpy

from ntref import arguments, arrays, derivatives, predict, stax
from ntref.empirical.taylor import complete_forward_rules

autograd = pytest.importorskip('autograd')
mpmath = pytest.importorskip('mpmath')
anp = pytest.importorskip('autograd.numpy')
make_vjp, make_jvp = autograd.core.make_vjp, autograd.core.make_jvp


@pytest.fixture(params=ALL_KINDS)
def kind(request, cupy):
    return request.param


X = numpy.array([[.3, -1.2, .8], [2.5, .7, -.4]])
Y = numpy.array([[1.1, .5, -.9], [-.2, 1.7, .6]])
P = numpy.array([[.3, 1.2, .8], [2.5, .7, 3.4]])
V = numpy.array([.7, -1.1, .4])
L = numpy.array([[2., 0., 0.], [.3, 1.5, 0.], [-.7, .4, 1.2]])
S = numpy.array([[3., .4, -.2], [.4, 2., .5], [-.2, .5, 1.]])
MASK = numpy.array([[True, False, True], [False, False, True]])

PLAIN = SimpleNamespace(**{name: found for name in arrays.ALPHABET for module in (
    scipy.linalg, scipy.special, numpy.linalg, numpy) if (found := getattr(module, name, None)) is not None})
PLAIN.eps = lambda a: 2.**-52


def plain_patch(a, index, values):
    out = numpy.array(a)
    out[index] = values
    return out


PLAIN.patch = plain_patch
PLAIN.distinct = lambda a: numpy.unique(a, return_inverse=True)

# (name, function of a namespace and arrays, arrays); each name of the alphabet at least once
CASES = [
    ('pi', lambda xp, a: xp.pi * a, X),
    ('eps', lambda xp, a: a * 0 + xp.eps(a), X),
    ('sqrt', lambda xp, a: xp.sqrt(a), P),
    ('exp', lambda xp, a: xp.exp(a), X),
    ('expm1', lambda xp, a: xp.expm1(a), X),
    ('expm1', lambda xp, a: xp.expm1(a), 1e-7 * X),
    ('log', lambda xp, a: xp.log(a), P),
    ('log1p', lambda xp, a: xp.log1p(a), P),
    ('log1p', lambda xp, a: xp.log1p(a), 1e-7 * X),
    ('sin', lambda xp, a: xp.sin(a), X),
    ('cos', lambda xp, a: xp.cos(a), X),
    ('sinh', lambda xp, a: xp.sinh(a), X),
    ('tanh', lambda xp, a: xp.tanh(a), X),
    ('arctan2', lambda xp, a, b: xp.arctan2(a, b), X, Y),
    ('arctan2', lambda xp, a, b: xp.arctan2(a, b), X, V),
    ('hypot', lambda xp, a, b: xp.hypot(a, b), X, Y),
    ('hypot', lambda xp, a, b: xp.hypot(a, b), X, V),
    ('erf', lambda xp, a: xp.erf(a), X),
    ('erfcx', lambda xp, a: xp.erfcx(a), X),
    ('erfcx', lambda xp, a: xp.erfcx(a), 30 * P),
    ('abs', lambda xp, a: xp.abs(a), X),
    ('sign', lambda xp, a: xp.sign(a), X),
    ('maximum', lambda xp, a, b: xp.maximum(a, b), X, Y),
    ('maximum', lambda xp, a: xp.maximum(a, 0), X),
    ('minimum', lambda xp, a, b: xp.minimum(a, b), X, Y),
    ('minimum', lambda xp, a: xp.minimum(a, .5), X),
    ('where', lambda xp, c, a, b: xp.where(c, a, b), MASK, X, Y),
    ('where', lambda xp, c, a, b: xp.where(c, a, b), MASK, V, X[:, :1]),
    ('where', lambda xp, a: xp.where(a > 0, a, 0.), X),
    ('isfinite', lambda xp, a: xp.isfinite(a), numpy.array([1., numpy.inf, -numpy.inf, numpy.nan])),
    ('asarray', lambda xp, a: xp.asarray(a), X),
    ('asarray', lambda xp: xp.asarray([[1., 2.], [3., 4.]])),
    ('asarray', lambda xp: xp.asarray(.5)),
    ('zeros', lambda xp: xp.zeros((2, 3))),
    ('eye', lambda xp: xp.eye(3)),
    ('matmul', lambda xp, a, b: xp.matmul(a, b), X, S),
    ('matmul', lambda xp, a, b: xp.matmul(a, b), X, V),
    ('tensordot', lambda xp, a, b: xp.tensordot(a, b, 1), X, S),
    ('tensordot', lambda xp, a, b: xp.tensordot(a, b, ([0, 1], [0, 1])), X, Y),
    ('einsum', lambda xp, a, b: xp.einsum('ij,kj->ikj', a, b), X, Y),
    ('einsum', lambda xp, a: xp.einsum('ij->j', a), X),
    ('sum', lambda xp, a: xp.sum(a, axis=1), X),
    ('sum', lambda xp, a: xp.sum(a, axis=(0, 1), keepdims=True), X),
    ('mean', lambda xp, a: xp.mean(a, axis=0), X),
    ('all', lambda xp, a: xp.all(a > -1, axis=1), X),
    ('any', lambda xp, a: xp.any(a > 1, axis=1), X),
    ('add', lambda xp, a, b: xp.add(a, b), X, Y),
    ('multiply', lambda xp, a, b: xp.multiply(a, b), X, Y),
    ('subtract', lambda xp, a, b: xp.subtract(a, b), X, Y),
    ('empty_like', lambda xp, a: xp.empty_like(a)[:0], X),
    ('reshape', lambda xp, a: xp.reshape(a, (3, 2)), X),
    ('moveaxis', lambda xp, a: xp.moveaxis(a, 0, 1), X),
    ('expand_dims', lambda xp, a: xp.expand_dims(a, 1), X),
    ('broadcast_to', lambda xp, a: xp.broadcast_to(a, (2, 2, 3)), X),
    ('concatenate', lambda xp, a, b: xp.concatenate([a, b], axis=1), X, Y),
    ('stack', lambda xp, a, b: xp.stack([a, b], axis=1), X, Y),
    ('nonzero', lambda xp, a: xp.nonzero(a > 0)[1], X),
    ('distinct', lambda xp, a: (lambda values, places: values[places])(*xp.distinct(a)), V),
    ('patch', lambda xp, a, v: xp.patch(a, ([0, 1], [2, 0]), v), X, V[:2]),
    ('patch', lambda xp, a, v: xp.patch(a, (slice(None), 1), v), X, V[:1]),
    ('patch', lambda xp, a: xp.patch(a, (0, slice(None)), 1.), X),
    ('cholesky', lambda xp, a: xp.cholesky(a), S),
    ('solve_triangular', lambda xp, a, b: xp.solve_triangular(a, b, lower=True), L, S),
    ('solve_triangular', lambda xp, a, b: xp.solve_triangular(a, b, trans=1, lower=True), L, V),
    ('solve_triangular', lambda xp, a, b: xp.solve_triangular(a, b), L.T, V),
    ('eigh', lambda xp, a: xp.eigh(a)[0], S),
    ('eigh', lambda xp, a: (lambda w, v: (v * w) @ v.T)(*xp.eigh(a)), S),
]
IDS = [f'{name}-{i}' for i, (name, *_) in enumerate(CASES)]

DOUBLE_ANYWAY = {'asarray', 'zeros', 'eye'}     # from Python numbers: float64 on every kind
FLAT = {'pi', 'eps', 'empty_like',
        'sign', 'isfinite', 'zeros', 'eye', 'all', 'any', 'nonzero'}       # no derivative to speak of
WIDENED = {'einsum', 'cholesky', 'eigh'}    # autograd's float64 gradients of float32
SYMMETRIC = {'cholesky', 'eigh'}                    # read one triangle: differentiate along symmetric directions


class Only:
    """A namespace with a single name, so that the case of `sqrt` cannot pass by calling something else."""

    def __init__(self, xp, name):
        self.xp, self.name, self.asked = xp, name, False

    def __getattr__(self, name):
        assert name == self.name, f'the case of {self.name} uses {name}'
        self.asked = True
        return getattr(self.xp, name)


def namespace_of(kind):
    return arrays.namespace(to_kind(kind, numpy.ones(1)))


def test_each_name_has_a_case():
    assert {name for name, *_ in CASES} == set(arrays.ALPHABET)
    assert FLAT | SYMMETRIC <= set(arrays.ALPHABET)


@pytest.mark.parametrize('name, f, given', [(name, f, given) for name, f, *given in CASES], ids=IDS)
def test_values(kind, name, f, given):
    xp = Only(namespace_of(kind), name)
    found, expected = f(xp, *(to_kind(kind, a) for a in given)), f(Only(PLAIN, name), *given)
    assert xp.asked
    if isinstance(expected, numpy.ndarray) and expected.ndim:
        assert arrays.is_array(found) or expected.dtype.kind in 'bi', 'a result with axes is an array of its kind'
    host, single = to_numpy(found), kind == 'float32' and given
    if kind == 'mpmath' and expected.dtype.kind == 'f':
        assert all(isinstance(a, (mpmath.mpf, type(mpmath.mp.eps))) for a in numpy.ravel(found))
    if name == 'eps':
        expected = numpy.full_like(expected, 2.**-23 if kind == 'float32' else 2.**-52)
    assert host.shape == expected.shape
    assert host.dtype == ('float32' if single and expected.dtype == 'float64' else expected.dtype)
    eps = 2.**-23 if single else 2.**-52
    numpy.testing.assert_allclose(host, expected, rtol=16 * eps, atol=16 * eps * (name in SYMMETRIC | {
        'matmul', 'tensordot', 'einsum', 'sum', 'mean', 'solve_triangular', 'sin', 'cos'}))


@pytest.mark.parametrize('name, f, given', [(name, f, given) for name, f, *given in CASES if given],
                         ids=[i for i, (_, _, *given) in zip(IDS, CASES) if given])
def test_arguments_are_left_alone(name, f, given):
    copies = [a.copy() for a in given]
    f(namespace_of('numpy'), *copies)
    assert all(numpy.array_equal(a, b, equal_nan=a.dtype.kind == 'f') for a, b in zip(copies, given))


@pytest.mark.parametrize('name', sorted(DOUBLE_ANYWAY))
def test_python_numbers_become_double(kind, name):
    made = getattr(namespace_of(kind), name)(dict(asarray=[1., 2.], zeros=(2,), eye=2)[name])
    assert made.dtype == (object if kind in arrays.EXACT else 'float64')


# ------------------------------------------------------------------ derivatives

RAW = {'autograd': 'numpy', 'autograd.cupy': 'cupy'}
everywhere = pytest.mark.parametrize('traced', RAW)


def scalar(f, traced, given, weights):
    """sum(weights * f(given)) and the same of NumPy, functions of the float arrays among `given`."""
    floats = [i for i, a in enumerate(given) if a.dtype.kind == 'f']

    def of(namespace, kind):
        def call(*x):
            it = iter(x)
            values = f(namespace, *(next(it) if i in floats else to_kind(kind, a) for i, a in enumerate(given)))
            return (to_kind(kind, weights) * values).sum()
        return call
    return of(namespace_of(traced), RAW[traced]), of(PLAIN, 'numpy'), [given[i] for i in floats]


def central_difference(f, x, directions, h=1e-3):
    """Derivative of f at x along the directions, six points: error h^6, 1e-12 or less for the cases here."""
    at = [float(f(*(a + k * h * d for a, d in zip(x, directions)))) for k in (-3, -2, -1, 1, 2, 3)]
    return numpy.dot([-1, 9, -45, 45, -9, 1], at) / (60 * h)


DERIVATIVES = [pytest.param(name, f, given, id=i) for i, (name, f, *given) in zip(IDS, CASES)
               if given and name not in FLAT]


def jvp(f, i, x, direction):
    """Forward mode in argument i: the derivative of f at x along the direction."""
    return make_jvp(lambda a: f(*x[:i], a, *x[i + 1:]), x[i])(direction)[1]


def directions(name, x, rng):
    made = [rng.standard_normal(a.shape) for a in x]
    return [d + d.T for d in made] if name in SYMMETRIC else made


@everywhere
@pytest.mark.parametrize('name, f, given', DERIVATIVES)
def test_derivative_reverse(rng, cupy, traced, name, f, given):
    weights = rng.standard_normal(f(PLAIN, *given).shape)
    of, plain, x = scalar(f, traced, given, weights)
    there = [to_kind(RAW[traced], a) for a in x]
    gradients = [autograd.grad(of, i)(*there) for i in range(len(x))]
    assert [g.shape for g in gradients] == [a.shape for a in x] and {*map(type, gradients)} <= {*map(type, there)}
    along = directions(name, x, rng)
    found = sum((to_numpy(g) * d).sum() for g, d in zip(gradients, along))
    numpy.testing.assert_allclose(found, central_difference(plain, x, along), rtol=1e-9, atol=1e-9)


@everywhere
@pytest.mark.parametrize('name, f, given', DERIVATIVES)
def test_derivative_forward(rng, cupy, traced, name, f, given):
    weights = rng.standard_normal(f(PLAIN, *given).shape)
    of, plain, x = scalar(f, traced, given, weights)
    there = [to_kind(RAW[traced], a) for a in x]
    along = directions(name, x, rng)
    complete_forward_rules()                         # autograd has none for cholesky, solve_triangular and eigh
    found = sum(to_numpy(jvp(of, i, there, to_kind(RAW[traced], d))) for i, d in enumerate(along))
    numpy.testing.assert_allclose(found, central_difference(plain, x, along), rtol=1e-9, atol=1e-9)


def test_derivatives_keep_single_precision():
    xp, widened = namespace_of('autograd'), set()
    complete_forward_rules()
    for name, f, *given in CASES:
        given = [to_kind('float32', a) for a in given]
        for i in (i for i, a in enumerate(given) if a.dtype == 'float32' and name not in FLAT):
            def g(*x):
                return f(xp, *x)
            vjp, value = make_vjp(lambda a: g(*given[:i], a, *given[i + 1:]), given[i])
            forward = jvp(g, i, given, numpy.ones_like(given[i]))
            assert value.dtype == 'float32', name
            if {vjp(numpy.ones_like(value)).dtype, forward.dtype} != {value.dtype}:
                widened.add(name)
    assert widened == WIDENED


@pytest.mark.parametrize('name', sorted(FLAT - {'pi', 'eps', 'zeros', 'eye'}))
def test_flat_names_stop_the_derivative(name):
    xp = namespace_of('autograd')
    vjp, _ = make_vjp(lambda a: getattr(xp, name)(a)[0] * 1. + a if name == 'nonzero' else getattr(xp, name)(a) + a, V)
    numpy.testing.assert_array_equal(vjp(numpy.ones(3)), numpy.ones(3))


SECOND = [pytest.param(f, given, id=i) for i, (name, f, *given) in zip(IDS, CASES)
          if name in ('sqrt', 'arctan2', 'hypot', 'patch', 'where', 'concatenate', 'sum', 'einsum')]


@everywhere
@pytest.mark.parametrize('f, given', SECOND)
def test_second_derivative(rng, cupy, traced, f, given):
    def cubed(xp, *a):
        return f(xp, *(x if x.dtype.kind == 'b' else x * x * x for x in a))

    weights = rng.standard_normal(f(PLAIN, *given).shape)
    of, _, x = scalar(cubed, traced, given, weights)
    there = [to_kind(RAW[traced], a) for a in x]
    along = [to_kind(RAW[traced], d) for d in directions('', x, rng)]

    def slope(*x):
        return sum((autograd.grad(of, i)(*x) * along[i]).sum() for i in range(len(x)))
    expected = central_difference(slope, there, along)
    reverse = sum(to_numpy((autograd.grad(slope, i)(*there) * d).sum()) for i, d in enumerate(along))
    forward = sum(to_numpy(jvp(slope, i, there, d)) for i, d in enumerate(along))
    numpy.testing.assert_allclose([reverse, forward], [expected] * 2, rtol=1e-8)


def test_sqrt_has_slope_zero_at_zero():
    xp = namespace_of('autograd')
    vjp, value = make_vjp(xp.sqrt, numpy.array([0., 4.]))
    assert value.tolist() == [0., 2.] and vjp(numpy.ones(2)).tolist() == [0., .25]
    assert jvp(xp.sqrt, 0, [numpy.array([0., 4.])], numpy.ones(2)).tolist() == [0., .25]
    assert autograd.grad(autograd.grad(xp.sqrt))(0.) == 0.


@pytest.mark.parametrize('argnum, slopes', [(0, [0., 0., .5]), (1, [0., -1., 0.])])
def test_arctan2_has_slope_zero_at_the_origin(argnum, slopes):
    xp, x = namespace_of('autograd'), [numpy.array([0., 1., 0.]), numpy.array([0., 0., 2.])]
    vjp, value = make_vjp(lambda a: xp.arctan2(*x[:argnum], a, *x[argnum + 1:]), x[argnum])
    assert value.tolist() == [0., numpy.pi / 2, 0.] and vjp(numpy.ones(3)).tolist() == slopes
    assert jvp(xp.arctan2, argnum, x, numpy.ones(3)).tolist() == slopes


def test_derivatives_at_the_cusp_do_not_warn():
    xp = namespace_of('autograd')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert autograd.grad(lambda x: xp.sqrt(x * x) + xp.arctan2(xp.sqrt(x), x))(0.) == 0.


# ------------------------------------------------------------------ fifty digits

def residual(a, b):
    return max(abs(a - b).ravel())


FIFTY = [
    ('pi', lambda xp, a: xp.sin(xp.pi), lambda mp: 0),
    ('sqrt', lambda xp, a: xp.sqrt(a[0])**2, lambda mp: mp.mpf('.3')),
    ('exp', lambda xp, a: xp.exp(a[0]), lambda mp: mp.exp(mp.mpf('.3'))),
    ('expm1', lambda xp, a: xp.expm1(a[0]) + 1, lambda mp: mp.exp(mp.mpf('.3'))),
    ('log', lambda xp, a: xp.exp(xp.log(a[0])), lambda mp: mp.mpf('.3')),
    ('log1p', lambda xp, a: xp.exp(xp.log1p(a[0])) - 1, lambda mp: mp.mpf('.3')),
    ('sin', lambda xp, a: xp.sin(a[0])**2 + xp.cos(a[0])**2, lambda mp: 1),
    ('cos', lambda xp, a: xp.cos(xp.pi / 3), lambda mp: mp.mpf(1) / 2),
    ('sinh', lambda xp, a: xp.sinh(a[0]), lambda mp: (mp.exp(mp.mpf('.3')) - mp.exp(-mp.mpf('.3'))) / 2),
    ('tanh', lambda xp, a: xp.tanh(a[0]), lambda mp: 1 - 2 / (mp.exp(mp.mpf('.6')) + 1)),
    ('arctan2', lambda xp, a: xp.arctan2(a[0], a[0]), lambda mp: mp.pi / 4),
    ('hypot', lambda xp, a: xp.hypot(3 * a[0], 4 * a[0]), lambda mp: mp.mpf('1.5')),
    ('erf', lambda xp, a: xp.erf(a[0]),
     lambda mp: mp.quad(lambda t: 2 * mp.exp(-t * t), [0, mp.mpf('.3')]) / mp.sqrt(mp.pi)),
    ('erfcx', lambda xp, a: xp.erfcx(a[0]),
     lambda mp: 1 - mp.quad(lambda t: 2 / mp.sqrt(mp.pi) - 2 * t * mp.exp(t * t) * mp.erfc(t), [0, mp.mpf('.3')])),
    ('mean', lambda xp, a: xp.mean(a), lambda mp: mp.mpf(1) / 3),
    ('sum', lambda xp, a: xp.sum(a) / 7, lambda mp: mp.mpf(1) / 7),
    ('where', lambda xp, a: xp.where(a > 2, a, 1.)[0] / xp.where(a > 2, a, 3.)[0], lambda mp: mp.mpf(1) / 3),
    ('maximum', lambda xp, a: xp.maximum(a, 1.)[0] / xp.maximum(a, 3)[0], lambda mp: mp.mpf(1) / 3),
    ('minimum', lambda xp, a: xp.minimum(a + 9, 1.)[0] / xp.minimum(a + 9, 3)[0], lambda mp: mp.mpf(1) / 3),
    ('patch', lambda xp, a: xp.patch(a, 0, 1.)[0] / xp.patch(a, 0, 3.)[0], lambda mp: mp.mpf(1) / 3),
    ('zeros', lambda xp, a: (xp.zeros(1)[0] + 1) / 3, lambda mp: mp.mpf(1) / 3),
    ('eye', lambda xp, a: xp.eye(1)[0, 0] / 3, lambda mp: mp.mpf(1) / 3),
    ('asarray', lambda xp, a: xp.asarray([1])[0] / 3, lambda mp: mp.mpf(1) / 3),
    ('asarray', lambda xp, a: xp.asarray(1) / 3, lambda mp: mp.mpf(1) / 3),
]


@pytest.mark.parametrize('name, f, expected', FIFTY, ids=[f'{name}-{i}' for i, (name, *_) in enumerate(FIFTY)])
def test_fifty_digits(mp50, name, f, expected):
    a = numpy.array([mp50.mpf('.3'), mp50.mpf('.4'), mp50.mpf('.3')], dtype=object)
    assert abs(f(arrays.namespace(a), a) - expected(mp50)) < mp50.mpf(10)**-49


def test_fifty_digits_of_linear_algebra(mp50):
    third = mp50.mpf(1) / 3
    s = numpy.array([[3, third, -third], [third, 2, third], [-third, third, 1]], dtype=object)
    xp = arrays.namespace(s)
    factor, (w, v) = xp.cholesky(s), xp.eigh(s)
    b = xp.asarray(X.T) * third
    x, y = xp.solve_triangular(factor, b, lower=True), xp.solve_triangular(factor, b[:, 0], trans=1, lower=True)
    for left, right in (factor @ factor.T, s), ((v * w) @ v.T, s), (v @ v.T, xp.eye(3)), (factor @ x, b), (
            factor.T @ y, b[:, 0]), (xp.einsum('ij,kj->ik', factor, factor), s), (xp.tensordot(factor, x, 1), b):
        assert residual(left, right) < mp50.mpf(10)**-48
    assert factor[0, 1] == 0 and list(w) == sorted(w)


def test_working_precision_is_read_at_the_call(mp50):
    a = numpy.array([mp50.mpf(2)], dtype=object)
    xp = arrays.namespace(a)
    assert mp50.nstr(xp.eps(a), 3) == '2.67e-51'
    assert str(xp.pi * 1).startswith('3.14159265358979323846264338327950288419716939937')
    with mpmath.workdps(80):
        assert abs(xp.sqrt(a)[0]**2 - 2) < mpmath.mpf(10)**-79
        assert abs(xp.pi - mpmath.pi) == 0 and xp.eps(a) < mpmath.mpf(10)**-79


# ------------------------------------------------------------------ reading the kind

class Foreign:
    shape, dtype = (2,), numpy.dtype('float64')


class ForeignObjects(Foreign):
    dtype = numpy.dtype(object)


GENUS = dict(numpy='numpy', float32='numpy', readonly='numpy', cupy='cupy', autograd='autograd', mpmath='mpmath',
             flint='flint', **{'autograd.cupy': 'autograd.cupy'})


@pytest.mark.parametrize('first, second', list(itertools.combinations_with_replacement(ALL_KINDS, 2)))
def test_pairs_of_kinds(cupy, first, second):
    a, b = to_kind(first, X), to_kind(second, X)
    kinds = {GENUS[first], GENUS[second]}
    allowed = len(kinds) == 1 or kinds in ({'numpy', 'autograd'}, {'cupy', 'autograd.cupy'})
    for f in arrays.namespace, arrays.as_floats:
        for pair in (a, b), (b, a):
            if allowed:
                f(*pair)
            else:
                with pytest.raises(TypeError, match=' and '.join(sorted(kinds))):
                    f(*pair)
    if allowed:
        assert arrays.namespace(a, None, b, 1.5).kind == max(kinds, key=arrays.TRACED.__contains__)


@pytest.mark.parametrize('foreign, name', [
    ('text', 'builtins.str'), ([1., 2.], 'builtins.list'), ((X, X), 'builtins.tuple'), ({}, 'builtins.dict'),
    (1j, 'builtins.complex'), (Foreign(), 'test_arrays.Foreign'), (ForeignObjects(), 'test_arrays.ForeignObjects')])
def test_foreign_types_are_named(kind, foreign, name):
    assert arrays.kind(foreign) == name and not arrays.is_array(foreign)
    for given in (foreign,), (to_kind(kind, X), foreign):
        for f, expected in (arrays.namespace, 'arrays of one kind out of'), (arrays.as_floats, r'an array \(of'):
            with pytest.raises(TypeError, match=rf'expected {expected} numpy, cupy, autograd, mpmath, flint\)?, got '
                                                rf'{type(foreign).__name__}\. Convert it with numpy.asarray'):
                f(*given)


def stand_in(module, name, *methods):
    """An object of a class with this name in a library that is not here."""
    return type(name, (), {'__module__': module, 'shape': (2, 3), **dict.fromkeys(methods, lambda self: X)})()


@pytest.mark.parametrize('given, advice', [
    (stand_in('pandas', 'DataFrame', 'to_numpy'), 'DataFrame. It is a table or a column: take its to_numpy()'),
    (stand_in('pandas', 'Series', 'to_numpy'), 'Series. It is a table or a column: take its to_numpy()'),
    (stand_in('polars.series.series', 'Series', 'to_numpy'), 'Series. It is a table or a column: take its to_numpy()'),
    (stand_in('torch', 'Tensor', 'detach', 'numpy'), 'Tensor. It is a tensor: take its detach().cpu().numpy()'),
    (stand_in('jaxlib._jax', 'ArrayImpl', '__array__'), 'ArrayImpl. It is of JAX: take numpy.asarray of it'),
    (stand_in('jax._src.interpreters.ad', 'LinearizeTracer'), 'LinearizeTracer. JAX traces it, but grad, jit and vmap'),
    (stand_in('jax._src.interpreters.partial_eval', 'DynamicJaxprTracer'), 'Tracer. JAX traces it, but grad')])
def test_arrays_of_other_libraries_have_their_cure(given, advice):
    net = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    k = numpy.eye(2)
    for call in (arrays.as_floats, net.kernel_fn, lambda a: net.kernel_fn(X, a), lambda a: predict.gp_inference(k, a),
                 lambda a: predict.gradient_descent_mse_ensemble(net, X, a), lambda a: predict.cg(k, a),
                 lambda a: predict.gradient_descent_mse(a, k), lambda a: predict.gradient_descent_mse(k, a)):
        with pytest.raises(TypeError) as raised:
            call(given)
        assert advice in str(raised.value)


@pytest.mark.parametrize('numbers', [[0, 3, -1], [True, False, True], numpy.uint8([200, 3, 255])])
def test_targets_that_are_whole_numbers_or_flags(numbers):
    """Everywhere in predict they are what they are as float64."""
    k = numpy.array([[2., 1., .5], [1., 2., .3], [.5, .3, 2.]])
    y = numpy.asarray(numbers)
    net = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    x = numpy.eye(3)

    def gradient(y):
        of = predict.log_marginal_likelihood_gradient
        return of(lambda W_std: stax.serial(stax.Dense(1, W_std), net), x, y, {'W_std': 1.}, diag_reg=.1)[0]
    for call in (
            lambda y: predict.gp_inference(k, y)('ntk', k), lambda y: predict.gradient_descent_mse(k, y)(1.),
            lambda y: predict.gradient_descent_mse_steps(k, y, .1)(3), lambda y: predict.cg(k, y).a,
            lambda y: predict.gradient_descent_mse_ensemble(net, x, y, diag_reg=.1)(1., x, 'ntk'),
            lambda y: predict.gradient_descent(lambda f, y: ((f - y) ** 2).mean(), k, y)(1.),
            lambda y: predict.gp_inference_iterative(k, y)('ntk', k), lambda y: predict.log_marginal_likelihood(k, y),
            lambda y: predict.leave_one_out(k, y).mean, lambda y: predict.ridge_sweep(k, y, [.1]).mean, gradient):
        found, right = call(y), call(y.astype(float))
        assert numpy.array_equal(found, right) and getattr(found, 'dtype', float) == getattr(right, 'dtype', float)


def test_objects_that_are_numbers_are_told_how_to_become_them():
    with pytest.raises(TypeError, match=r'got mpmath and numpy. .* of numbers take its astype\(float\)'):
        predict.gp_inference(numpy.eye(2), numpy.array([1, 2], object))
    with pytest.raises(TypeError, match='got autograd and mpmath|got mpmath and numpy'):
        arrays.namespace(X, to_kind('mpmath', X))


@pytest.mark.parametrize('given', [(), (None,), (1.5,), (True, 2, None)])
def test_no_array_at_all(given):
    with pytest.raises(TypeError, match='got no array'):
        arrays.namespace(*given)


def test_kind(kind):
    a = to_kind(kind, X)
    assert arrays.kind(a) == GENUS[kind] and arrays.is_array(a)
    assert arrays.namespace(a) is arrays.namespace(a, None, 2)
    assert arrays.namespace(a).kind == GENUS[kind] and GENUS[kind] in repr(arrays.namespace(a))


@pytest.mark.parametrize('number', [None, True, 2, 1.5])
def test_python_numbers_have_no_kind(number):
    assert arrays.kind(number) is None and not arrays.is_array(number)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_numpy_scalars_are_arrays(dtype):
    number = numpy.ones((), dtype)[()]
    assert arrays.kind(number) == 'numpy' and arrays.is_array(number) and arrays.namespace(number).kind == 'numpy'
    assert arrays.as_floats(number)[0].dtype == dtype


def test_the_alphabet_is_closed(kind):
    xp = namespace_of(kind)
    assert set(vars(xp)) == {*arrays.ALPHABET, 'kind'} | ({'rules'} if kind in arrays.TRACED else set())
    assert len(set(arrays.ALPHABET)) == len(arrays.ALPHABET)
    with pytest.raises(AttributeError):
        xp.arccos


def test_exports():
    assert set(arrays.__all__) <= set(vars(arrays)) and set(arrays.KINDS) == set(GENUS.values())


# ------------------------------------------------------------------ as_floats

@pytest.mark.parametrize('dtypes, expected', [
    (('float64',), 'float64'), (('float32',), 'float32'), (('float16',), 'float64'), (('int32',), 'float64'),
    (('uint8',), 'float64'), (('bool',), 'float64'), (('float32', 'float32'), 'float32'), (('>f8',), 'float64'),
    (('float32', 'float64'), 'float64'), (('float32', 'int64'), 'float64'), (('bool', 'bool'), 'float64')])
@pytest.mark.parametrize('device', [False, True])
def test_as_floats(cupy, dtypes, expected, device):
    given = [numpy.array([0, 1, 1]).astype(d) for d in dtypes]
    found = arrays.as_floats(*(map(cupy.asarray, given) if device else given))
    assert [a.dtype for a in found] == [expected] * len(dtypes)
    assert {arrays.kind(a) for a in found} == {'cupy' if device else 'numpy'}
    assert [to_numpy(a).tolist() for a in found] == [[0., 1., 1.]] * len(dtypes)
    if not device and dtypes == (expected,):
        assert found[0] is given[0]


def test_as_floats_of_mpmath(mp50):
    ints, mpfs = numpy.array([1, 2], dtype=object), numpy.array([mp50.mpf(1) / 3, .5], dtype=object)
    found = arrays.as_floats(ints, mpfs, numpy.array(3, dtype=object))
    assert all(isinstance(a, mpmath.mpf) for array in found for a in array.ravel())
    assert found[1][0] * 3 == 1 and [a.shape for a in found] == [(2,), (2,), ()]


def test_as_floats_of_boxes():
    box = to_kind('autograd', X)
    assert arrays.as_floats(box)[0] is box
    found, plain = arrays.as_floats(to_kind('autograd', to_kind('float32', X)), Y)
    assert found.dtype == plain.dtype == 'float64'
    x = to_kind('float32', X)
    assert (autograd.grad(lambda a: (arrays.as_floats(a)[0]**2).sum())(x) == 2 * x).all()


@pytest.mark.parametrize('given, message', [
    (numpy.array([1j]), r'expected real numbers, got an array of dtype complex128 and shape \(1,\)'),
    (numpy.array(['a']), r'expected real numbers, got an array of dtype <U1'),
    (numpy.array(['2020-01-01'], 'M8[D]'), 'expected real numbers, got an array of dtype datetime64'),
    (numpy.array([None], dtype=object), None),
    ([1., 2.], 'got list. Convert it with numpy.asarray; lists and tuples of arrays are for `parallel`'),
    (None, 'expected an array .* got NoneType'), ('text', 'got str'), (1.5, 'got float')])
def test_as_floats_refuses(given, message):
    for together in (given,), (X, given):
        with pytest.raises(TypeError, match=message):
            arrays.as_floats(*together)


def test_as_floats_without_arguments():
    with pytest.raises(TypeError, match='no array'):
        arrays.as_floats()


# ------------------------------------------------------------------ as_number, generator

@pytest.mark.parametrize('number, expected', [
    (2, 2), (1.5, 1.5), (numpy.float32(.5), .5), (numpy.float64(.5), .5), (numpy.int64(3), 3), (numpy.array(.25), .25)])
def test_as_number(number, expected):
    found = arguments.as_number(number, 'w_std')
    assert found == expected and type(found) is type(expected)
    assert type(found) is int or (numpy.ones(1, 'float32') * found).dtype == 'float32'


def test_as_number_keeps_traced_and_exact_numbers(mp50):
    third = mp50.mpf(1) / 3
    assert arguments.as_number(third, 'b') is third
    assert autograd.grad(lambda x: arguments.as_number(x, 'b')**2)(3.) == 6.


@pytest.mark.parametrize('value, error', [
    (None, TypeError), (True, TypeError), (numpy.bool_(True), TypeError), ('1', TypeError), (1j, TypeError),
    ([1.], TypeError), (numpy.ones(1), TypeError), (numpy.nan, ValueError), (-numpy.inf, ValueError),
    (numpy.float32('inf'), ValueError), (numpy.array(numpy.nan), ValueError)])
def test_as_number_refuses(value, error):
    with pytest.raises(error, match='b_std is expected to be'):
        arguments.as_number(value, 'b_std')


def test_as_number_refuses_device_arrays(cupy):
    with pytest.raises(TypeError, match='b_std is expected to be'):
        arguments.as_number(cupy.asarray(1.), 'b_std')


def test_generator():
    given = numpy.random.default_rng(3)
    assert arrays.generator(given) is given
    assert arrays.generator(3).random() == numpy.random.default_rng(3).random() != arrays.generator(4).random()


# ------------------------------------------------------------------ derivative, differentiable

def test_derivative():
    df = derivatives.derivative(lambda x, y: anp.sin(x) * y**2)
    numpy.testing.assert_allclose(df(X, Y), numpy.cos(X) * Y**2, rtol=1e-14)
    df = derivatives.derivative(lambda x, y: anp.sin(x) * y**2, 1)
    numpy.testing.assert_allclose(df(X, Y), 2 * numpy.sin(X) * Y, rtol=1e-14)
    ddf = derivatives.derivative(derivatives.derivative(anp.tanh))
    numpy.testing.assert_allclose(ddf(X), -2 * numpy.tanh(X) / numpy.cosh(X)**2, rtol=1e-13)
    assert derivatives.derivative(anp.tanh)(to_kind('float32', X)).dtype == 'float32'


def test_derivative_refuses_what_autograd_cannot_see():
    def relu(x):
        return numpy.where(numpy.array([True, True, False]), numpy.ones(3), 0.)

    for f, name in (relu, 'relu'), (numpy.sign, 'sign'):
        with pytest.raises(ValueError, match=f'expected {name} to be differentiable by autograd in argument 0'):
            derivatives.derivative(f)(V)
    with pytest.raises(ValueError, match='in argument 1'):
        derivatives.derivative(lambda x, y: x * 2, 1)(V, V)


def test_differentiable(kind, rng):
    def f(x, y):
        return x * y**2

    # deliberately not the derivatives of f: they must be the ones that are used
    g = derivatives.differentiable(f, lambda x, y: 3 * y, lambda x, y: 5 * x)
    if kind not in arrays.TRACED:
        a, b = to_kind(kind, X), to_kind(kind, V)
        numpy.testing.assert_array_equal(to_numpy(g(a, b)), to_numpy(f(a, b)))
        return
    for _ in range(2):
        numpy.testing.assert_array_equal(make_vjp(lambda a: g(a, V), X)[1], f(X, V))
        w = rng.standard_normal(X.shape)
        numpy.testing.assert_allclose(make_vjp(lambda a: g(a, V), X)[0](w), 3 * w * V, rtol=1e-14)
        numpy.testing.assert_allclose(make_vjp(lambda b: g(X, b), V)[0](w), (5 * w * X).sum(0), rtol=1e-14)
        assert make_vjp(lambda b: g(X, b), 2.)[0](w) == pytest.approx((w * 5 * X).sum(), rel=1e-14)
        numpy.testing.assert_allclose(make_jvp(lambda b: g(X, b), V)(V)[1], 5 * X * V, rtol=1e-14)
        numpy.testing.assert_allclose(make_jvp(lambda a: g(a, V), X)(w)[1], 3 * w * V, rtol=1e-14)


def test_differentiable_of_plain_numpy_where_autograd_would_see_nothing():
    relu = derivatives.differentiable(lambda x: numpy.where(x > 0, x, 0.), lambda x: (x > 0) * 1.)
    numpy.testing.assert_array_equal(autograd.grad(lambda x: relu(x).sum())(X), X > 0)


# ------------------------------------------------------------------ imports

FOLDER = str(Path(arrays.__file__).parent)


def modules_after(statement):
    run = subprocess.run([sys.executable, '-c', f'{statement}\nimport sys; print(*sys.modules)'], text=True,
                         capture_output=True, check=True, cwd=Path(arrays.__file__).parents[1])
    return set(run.stdout.split())


def test_importing_the_shim_loads_numpy_only():
    package = f'import sys, types; p = sys.modules["ntref"] = types.ModuleType("ntref"); p.__path__ = [{FOLDER!r}]'
    load = f'{package}\nimport ntref.arrays'                # without what the package's own __init__ loads
    loaded = modules_after(load)
    assert 'numpy' in loaded and not loaded & {'scipy', 'scipy.special', 'autograd', 'cupy', 'mpmath'}
    assert {name for name in loaded if name.startswith('ntref')} == {
        'ntref', 'ntref.arrays', 'ntref.no_arrays', 'ntref.types'}
    assert 'scipy.special' in modules_after(f'{load}\nntref.arrays.namespace(__import__("numpy").ones(1))')


def test_importing_the_package_loads_no_optional_kind():
    assert not modules_after('import ntref.arrays') & {'autograd', 'cupy', 'mpmath'}
