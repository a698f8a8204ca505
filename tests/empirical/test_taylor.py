"""Linear models and Taylor polynomials: tables of Neural Tangents, powers, the order of the error; forward rules."""
from collections import namedtuple
from math import comb

import autograd.numpy as np
import mpmath
import numpy
import pytest
from autograd import grad, jacobian
from autograd.core import make_jvp
from autograd.numpy import linalg
from autograd.scipy import linalg as scipy_linalg
from autograd.scipy import special
from numpy.testing import assert_allclose
from places import golden

from ntref import linearize, stax, taylor_expand, trees
from ntref.empirical import taylor

GOLDEN = golden('taylor')
MATRIX = numpy.random.default_rng(1).standard_normal((3, 3))
SPD, STEP = MATRIX @ MATRIX.T + 3 * numpy.eye(3), numpy.random.default_rng(2).standard_normal((3, 3))
STEP = STEP + STEP.T


def mlp(params, x):
    (W1, b1), (W2, b2) = params
    return np.dot(np.tanh(np.dot(x, W1) + b1), W2) + b2


def golden_params(prefix):
    return tuple(tuple(GOLDEN[f'data/{prefix}{name}{i}'] for name in 'Wb') for i in (1, 2))


PARAMS = golden_params('')
MOVED = tuple(tuple(a + d for a, d in zip(*pair)) for pair in zip(PARAMS, golden_params('d')))


# ------------------------------------------------------------------ values

def test_tables():
    x = GOLDEN['data/x']
    assert_allclose(linearize(mlp, PARAMS)(MOVED, x), GOLDEN['linearize'], rtol=1e-13, atol=1e-14)
    for degree in 1, 2, 3, 4:
        assert_allclose(taylor_expand(mlp, PARAMS, degree)(MOVED, x), GOLDEN[f'taylor/{degree}'], rtol=1e-13,
                        atol=1e-14)
    assert (taylor_expand(mlp, PARAMS, 0)(MOVED, x) == mlp(PARAMS, x)).all()


@pytest.mark.parametrize('degree', range(6))
def test_powers(degree):
    """(p + d)^5 up to d^degree, by the binomial theorem; exact from degree 5 on."""
    p, d = numpy.array([1., -2., .5]), numpy.array([.3, 1., -2.])
    expected = sum(comb(5, k) * p ** (5 - k) * d ** k for k in range(degree + 1))
    assert_allclose(taylor_expand(lambda w: w ** 5, p, degree)(p + d), expected, rtol=1e-13)


@pytest.mark.parametrize('degree', [1, 2, 3])
def test_order_of_the_error(degree):
    """f - its polynomial vanishes as the (degree + 1)-th power of the step."""
    x = GOLDEN['data/x']
    model = taylor_expand(mlp, PARAMS, degree)
    errors = []
    for step in .04, .02:
        moved = trees.tree_map(lambda a, b: a + step * (b - a), PARAMS, MOVED)
        errors.append(abs(model(moved, x) - mlp(moved, x)).max())
    assert degree + .9 < numpy.log2(errors[0] / errors[1]) < degree + 1.1


@pytest.mark.parametrize('net', [
    stax.serial(stax.Dense(5), stax.Erf(), stax.Dense(2)),
    stax.serial(stax.Conv(3, (2, 2)), stax.Gelu(), stax.GlobalAvgPool(), stax.Dense(2)),
    stax.serial(stax.Dense(4), stax.FanOut(2), stax.parallel(stax.Sin(), stax.Dense(4)), stax.FanInProd(),
                stax.LayerNorm(), stax.Dense(2))], ids=repr)
def test_networks_of_stax(net, rng):
    """f(p) + J (p' - p) with the Jacobian of each parameter, written out."""
    x = rng.standard_normal((3, 4, 4, 2) if 'Conv' in repr(net) else (3, 4))
    params, moved = (net.init_fn(seed, x.shape)[1] for seed in (0, 1))
    expected = net.apply_fn(params, x)
    for i, (p, q) in enumerate(zip(trees.leaves(params), trees.leaves(moved))):
        def of_one(leaf, i=i):
            parts = trees.leaves(params)
            return net.apply_fn(trees.rebuilt(params, parts[:i] + [leaf] + parts[i + 1:]), x)
        expected = expected + np.tensordot(jacobian(of_one)(p), q - p, p.ndim)
    assert_allclose(linearize(net.apply_fn, params)(moved, x), expected, rtol=1e-12, atol=1e-13)


# ------------------------------------------------------------------ trees, kinds of numbers, derivatives

Pair = namedtuple('Pair', 'w b')


def test_trees():
    """Of parameters and of outputs; what is called with them arrives; None holds nothing."""
    params = {'a': Pair(numpy.ones(2), None), 'b': [numpy.full(2, 3.), (numpy.array(2.),)]}
    moved = {'b': [numpy.full(2, 5.), (numpy.array(4.),)], 'a': Pair(numpy.full(2, 2.), None)}

    def f(p, x, scale=1):
        return {'square': scale * x * p['a'].w ** 2, 'rest': (p['b'][0] * p['b'][1][0], [np.sum(p['a'].w)])}
    found = linearize(f, params)(moved, 10., scale=2)
    assert list(found) == ['square', 'rest'] and isinstance(found['rest'], tuple)
    assert_allclose(found['square'], 20 * (1 + 2))
    assert_allclose(found['rest'][0], 6 + 2 * 2 + 3 * 2)
    assert found['rest'][1][0] == 4 and numpy.shape(found['rest'][1][0]) == ()


def test_precision(rng):
    x = rng.standard_normal((3, 4)).astype('float32')
    p, q = (rng.standard_normal((4, 2)).astype('float32') for _ in range(2))
    assert taylor_expand(lambda w, x: np.tanh(np.dot(x, w)), p, 2)(q, x).dtype == 'float32'


def test_derivatives_of_the_model():
    """A linear model is trained by its gradient; its second derivative vanishes."""
    x, model = GOLDEN['data/x'], linearize(mlp, PARAMS)
    slope = grad(lambda q: np.sum(model(q, x)))(MOVED)
    assert_allclose(slope[0][0], grad(lambda q: np.sum(mlp(q, x)))(PARAMS)[0][0], rtol=1e-12)
    scalar = taylor_expand(lambda w: np.exp(w), 0., 3)
    assert_allclose([grad(scalar)(2.), grad(grad(scalar))(2.)], [1 + 2 + 2, 1 + 2], rtol=1e-14)


@pytest.mark.parametrize('call, error, message', [
    (lambda: taylor_expand(np.exp, 0., -1), ValueError, 'degree is expected to be a whole number >= 0, got -1'),
    (lambda: taylor_expand(np.exp, 0., 1.5), ValueError, 'degree .* got 1.5'),
    (lambda: linearize(mlp, PARAMS)(MOVED[:1], 0), ValueError, 'same form as a tuple of 2, got a tuple of 1'),
    (lambda: linearize(mlp, PARAMS)({'a': 1}, 0), ValueError, "a tuple of 2, got a dict with .'a'."),
    (lambda: linearize(np.sum, numpy.ones(3))(numpy.ones((3, 1))), ValueError, r'about, \(3,\), got')])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------ forward rules

RULES = {
    'erf': (special.erf, MATRIX), 'expit': (special.expit, MATRIX), 'logit': (lambda x: special.logit(
        .5 + .1 * np.tanh(x)), MATRIX), 'gammaln': (special.gammaln, MATRIX ** 2 + 1),
    'logsumexp': (lambda x: special.logsumexp(x, 1), MATRIX), 'hypot': (lambda x: np.hypot(x, 2.), MATRIX),
    'solve, matrix': (lambda x: linalg.solve(x, MATRIX), SPD),
    'solve, right': (lambda x: linalg.solve(SPD, x ** 2), MATRIX),
    'solve_triangular': (lambda x: scipy_linalg.solve_triangular(x, MATRIX, lower=True), numpy.tril(SPD)),
    'cholesky': (linalg.cholesky, SPD), 'inv': (linalg.inv, SPD), 'det': (linalg.det, SPD),
    'slogdet': (lambda x: linalg.slogdet(x)[1], SPD), 'eigh, values': (lambda x: linalg.eigh(x)[0], SPD),
    'eigh, vectors': (lambda x: linalg.eigh(x)[1] ** 2, SPD)}


@pytest.mark.parametrize('name', RULES)
def test_forward_rules(name):
    """First and second derivatives along a line, against differences of 4th order."""
    taylor.complete_forward_rules()
    f, x = RULES[name]
    step = numpy.tril(STEP) if 'triangular' in name else STEP

    def first(y):
        return make_jvp(f, y)(step)[1]

    def difference(g, h=1e-3):
        return (8 * (g(x + h * step) - g(x - h * step)) - (g(x + 2 * h * step) - g(x - 2 * h * step))) / (12 * h)
    for found, expected in (first(x), difference(f)), (make_jvp(first, x)(step)[1], difference(first)):
        assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * abs(expected).max())


def entrywise(f):
    return lambda m: m.apply(f)


def of_eigh(part):
    def f(m):
        values, vectors = mpmath.eigsy(m)
        order = sorted(range(len(values)), key=lambda i: values[i])
        return mpmath.matrix([[values[i] if part == 'values' else vectors[j, i] ** 2 for i in order]
                              for j in range(1 if part == 'values' else len(values))])
    return f


IN_MPMATH = {               # the functions of RULES, of matrices of mpmath
    'erf': entrywise(mpmath.erf), 'expit': entrywise(lambda x: 1 / (1 + mpmath.exp(-x))),
    'logit': entrywise(lambda x: 2 * mpmath.atanh(2 * mpmath.mpf(.1) * mpmath.tanh(x))),
    'gammaln': entrywise(lambda x: mpmath.loggamma(x ** 2 + 1)), 'hypot': entrywise(lambda x: mpmath.sqrt(x ** 2 + 4)),
    'logsumexp': lambda m: mpmath.matrix([mpmath.log(sum(map(mpmath.exp, m[i, :]))) for i in range(m.rows)]).T,
    'solve, matrix': lambda m: m ** -1 * mpmath.matrix(MATRIX.tolist()),
    'solve, right': lambda m: mpmath.matrix(SPD.tolist()) ** -1 * m.apply(lambda x: x ** 2),
    'solve_triangular': lambda m: m ** -1 * mpmath.matrix(MATRIX.tolist()), 'cholesky': mpmath.cholesky,
    'inv': lambda m: m ** -1, 'det': lambda m: mpmath.matrix([[mpmath.det(m)]]),
    'slogdet': lambda m: mpmath.matrix([[mpmath.log(mpmath.det(m))]]),
    'eigh, values': of_eigh('values'), 'eigh, vectors': of_eigh('vectors')}


@pytest.mark.parametrize('name', RULES)
def test_third_degree(name):
    """Each coefficient of the polynomial, against differences at 80 digits: good to 1e-30."""
    f, x = RULES[name]
    step = numpy.tril(STEP) / 4 if 'triangular' in name else STEP / 4
    start = MATRIX if name == 'gammaln' else x
    if name == 'gammaln':
        def f(y):
            return special.gammaln(y ** 2 + 1)
    with mpmath.workdps(80):
        h, (a, d) = mpmath.mpf(10) ** -16, (mpmath.matrix(m.tolist()) for m in (start, step))
        low2, low, here, up, up2 = (IN_MPMATH[name](a + t * h * d) for t in (-2, -1, 0, 1, 2))
        coefficients = [here, (up - low) / (2 * h), (up - 2 * here + low) / (2 * h ** 2),
                        (up2 - 2 * up + 2 * low - low2) / (12 * h ** 3)]
        terms = [numpy.array(c.tolist(), dtype=float) for c in coefficients]
    for degree in range(4):
        found = numpy.atleast_2d(taylor_expand(f, start, degree)(start + step))
        expected = sum(terms[:degree + 1])
        assert_allclose(found, expected, rtol=1e-11, atol=1e-11 * abs(expected).max())
