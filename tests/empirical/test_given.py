"""Functions with derivatives that are given: a small framework of NumPy functions, beside autograd."""
import pickle

import autograd.numpy as anp
import frameworks
import numpy as np
import pytest
from autograd import make_vjp

from ntref import (
    Differentiable, batch, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn,
    monte_carlo_kernel_fn, stax)

rng = np.random.default_rng(0)
X, X2 = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
PARAMS = {'W': rng.standard_normal((3, 6)), 'b': rng.standard_normal(6), 'V': rng.standard_normal((6, 2))}
SINGLE = {name: a.astype('float32') for name, a in PARAMS.items()}
PLACES = {
    'generic': X, 'one input': X[:1], 'repeated': X[[0, 0, 1]], 'opposite': np.stack([X[0], -X[0]]),
    'parallel': np.outer([1., 2., -.5], X[0]), 'zero': np.stack([X[0], 0 * X[0]])}


# ------------------------------------------------------------------ a framework: arrays in boxes, products by hand

def f(params, x):
    return np.tanh(x @ params['W'] + params['b']) @ params['V']


def traced(params, x):
    """The same for autograd."""
    return anp.tanh(anp.dot(x, params['W']) + params['b']) @ params['V']


def vjp(params, x):
    h = np.tanh(x @ params['W'] + params['b'])

    def pull(g):
        a = g @ params['V'].T * (1 - h * h)
        return {'W': x.T @ a, 'b': a.sum(0), 'V': h.T @ g}
    return h @ params['V'], pull


def jvp(params, x, u):
    h = np.tanh(x @ params['W'] + params['b'])
    return (1 - h * h) * (x @ u['W'] + u['b']) @ params['V'] + h @ u['V']


def jacobian(params, x):
    """For one parameter after the other: W, b, V."""
    h = np.tanh(x @ params['W'] + params['b'])
    slopes = np.einsum('ni,io->noi', 1 - h * h, params['V'])
    yield np.einsum('na,noi->noai', x, slopes)
    yield slopes
    yield np.einsum('ni,oq->noiq', h, np.eye(2))


def whole_jacobian(params, x):
    return dict(zip(params, jacobian(params, x)))


class Tensor:
    """An array that is none of NumPy's until it is asked for."""

    def __init__(self, a):
        self.a = a
        self.shape = a.shape
        self.ndim = a.ndim

    def __array__(self, dtype=None, copy=None):
        return self.a


def boxed_vjp(params, x):
    y, pull = vjp(params, x)
    return Tensor(y), lambda g: {name: Tensor(a) for name, a in pull(g).items()}


def sorted_vjp(params, x):
    y, pull = vjp(params, x)
    return y, lambda g: dict(sorted(pull(g).items()))


GIVEN = {
    'vjp': Differentiable(f, vjp), 'vjp and jvp': Differentiable(f, vjp, jvp), 'jacobian': Differentiable(
        f, jacobian=jacobian), 'whole jacobian': Differentiable(f, jacobian=whole_jacobian),
    'all': Differentiable(f, vjp, jvp, jacobian),
    'sorted': Differentiable(f, sorted_vjp), 'sorted jacobian': Differentiable(
        f, jacobian=lambda params, x: dict(sorted(whole_jacobian(params, x).items()))),
    'boxed': Differentiable(lambda params, x: Tensor(f(params, x)), boxed_vjp, lambda *a: Tensor(jvp(*a)))}
AXES = [((-1,), ()), ((), ()), ((), (0,)), ((0,), ()), ((-1,), (0,)), ((), (0, 1))]


def assert_close(a, b, tol=1e-13):
    assert a.shape == b.shape and a.dtype == b.dtype
    assert abs(a - b).max(initial=0.) <= tol * abs(b).max(initial=1.)


# ------------------------------------------------------------------ values

@pytest.mark.parametrize('trace, diagonal', AXES)
@pytest.mark.parametrize('name', GIVEN)
def test_kernels_are_those_of_autograd(name, trace, diagonal):
    right = empirical_kernel_fn(traced, trace, diagonal)
    found = empirical_kernel_fn(GIVEN[name], trace, diagonal)
    for x2 in (None, X, X2) if not diagonal and 0 not in trace else (None, X):
        for a, b in zip(found(X, x2, None, PARAMS), right(X, x2, None, PARAMS), strict=True):
            assert_close(a, b)


@pytest.mark.parametrize('place', PLACES)
def test_special_inputs(place):
    right = empirical_ntk_fn(traced, (), vmap_axes=0, implementation=3)(PLACES[place], None, PARAMS)
    for given in GIVEN.values():
        assert_close(empirical_ntk_fn(given, ())(PLACES[place], None, PARAMS), right)


@pytest.mark.parametrize('implementation', (0, 1, 2))
@pytest.mark.parametrize('axes', (None, 0))
def test_implementations(implementation, axes):
    right = empirical_ntk_fn(traced, ())
    found = empirical_ntk_fn(GIVEN['vjp and jvp'], (), vmap_axes=axes, implementation=implementation, check=True)
    for x2 in (None, X2):
        assert_close(found(X, x2, PARAMS), right(X, x2, PARAMS))
    costs = found.cost(X, None, PARAMS)
    assert sorted(costs) == [1, 2] and all(cost.operations > 0 and cost.bytes > 0 for cost in costs.values())


def test_products_with_vectors():
    v = rng.standard_normal((4, 2))
    for given in (GIVEN['vjp and jvp'], GIVEN['boxed']):
        right = empirical_ntk_vp_fn(traced, X, X2, PARAMS)(v)
        assert_close(empirical_ntk_vp_fn(given, X, X2, PARAMS)(v), right)


def test_single_precision():
    x = X.astype('float32')
    for given in GIVEN.values():
        found = empirical_ntk_fn(given, ())(x, None, SINGLE)
        assert_close(found, empirical_ntk_fn(traced, ())(x, None, SINGLE), 1e-5)
        assert found.dtype == 'float32'


def test_networks_of_trees_and_keywords():
    """Several inputs and outputs, a list of parameters, keywords that are shared."""
    def both(params, x, scale=1.):
        a, (b,) = params
        return {'sum': scale * (x[0] @ a + x[1] @ b), 'square': (x[0] @ a) ** 2}

    def pulled(params, x, scale=1.):
        a, _ = params
        y = both(params, x, scale)

        def pull(g):
            return [x[0].T @ (scale * g['sum'] + 2 * (x[0] @ a) * g['square']), (scale * x[1].T @ g['sum'],)]
        return y, pull
    params, x = [rng.standard_normal((3, 2)), (rng.standard_normal((3, 2)),)], (X, X + 1.)
    for keywords in ({}, {'scale': 3.}):
        right = empirical_ntk_fn(both, ())(x, None, params, **keywords)
        found = empirical_ntk_fn(Differentiable(both, pulled), ())(x, None, params, **keywords)
        for name in right:
            assert_close(found[name], right[name])


def test_a_network_of_stax_by_hand_of_autograd():
    """With convolutions and images, with vmap_axes, and in tiles."""
    init_fn, apply_fn, _ = stax.serial(stax.Conv(3, (3, 3)), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(2))
    x = rng.standard_normal((5, 6, 6, 2))
    _, params = init_fn(0, x.shape)

    def by_autograd(params, x):
        pull, y = make_vjp(lambda p: apply_fn(p, x))(params)
        return y, pull
    given = Differentiable(apply_fn, by_autograd)
    right = empirical_ntk_fn(apply_fn, vmap_axes=0, implementation=3)(x, None, params)
    assert_close(empirical_ntk_fn(given)(x, None, params), right)
    assert_close(empirical_ntk_fn(given, vmap_axes=0)(x, None, params), right)
    assert_close(batch(empirical_ntk_fn(given), 2)(x, None, params), right)


def test_averages_over_networks():
    def init(seed, shape):
        return None, {'W': np.random.default_rng(seed).standard_normal((3, 6)), 'b': np.zeros(6),
                      'V': np.ones((6, 2))}
    right, found = (monte_carlo_kernel_fn(init, of, 0, 5)(X, None, 'ntk') for of in (traced, GIVEN['vjp']))
    assert_close(found, right)


def test_jacobians_are_asked_for_one_by_one():
    """The next is computed when the one before has been contracted."""
    alive, most = [], []

    class Counted(np.ndarray):
        pass

    def counted(params, x):
        for J in jacobian(params, x):
            alive.append(J.nbytes)
            most.append(len(alive))
            yield J
            alive.pop()
    given = Differentiable(f, jacobian=counted)
    assert_close(empirical_ntk_fn(given)(X, None, PARAMS), empirical_ntk_fn(traced)(X, None, PARAMS))
    assert max(most) == 1


def test_an_nngp_needs_no_derivative():
    assert_close(empirical_nngp_fn(Differentiable(f))(X, X2, PARAMS), empirical_nngp_fn(traced)(X, X2, PARAMS))
    assert_close(empirical_nngp_fn(GIVEN['boxed'])(X, X2, PARAMS), empirical_nngp_fn(traced)(X, X2, PARAMS))


def test_the_comparison_of_the_recipes(capsys):
    """validation/frameworks.py, with the framework of this file."""
    frameworks.compared('here', Differentiable(f, vjp, jvp, whole_jacobian), PARAMS, X)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in lines] == [f'here, {way}' for way in (
        'jacobian', 'vjp', 'vjp and jvp', 'products')]
    assert all(float(line.split(': ')[1]) < 1e-13 for line in lines)
    assert frameworks.flat({'a': [1, (2,)], 'b': {'c': 3}}) == [1, 2, 3]


def test_pickles():
    given = Differentiable(f, vjp, jvp, jacobian)
    again = pickle.loads(pickle.dumps(empirical_ntk_fn(given)))
    assert np.array_equal(again(X, None, PARAMS), empirical_ntk_fn(given)(X, None, PARAMS))


# ------------------------------------------------------------------ what is refused

def wrong(name, change):
    """The vjp with a changed gradient of one parameter."""
    def changed(params, x):
        y, pull = vjp(params, x)

        def wrong_pull(g):
            found = pull(g)
            return found | {name: change(found[name])}
        return y, wrong_pull
    return changed


@pytest.mark.parametrize('given, error, text', [
    (lambda: Differentiable(f, wrong('W', lambda g: 1.05 * g)), ValueError,
     r"expected derivatives of f in params\['W'\], got others: .* of the Differentiable is .* by differences of f"),
    (lambda: Differentiable(f, wrong('b', lambda g: 0 * g)), ValueError, r"expected derivatives of f in params\['b'\]"),
    (lambda: Differentiable(f, wrong('V', lambda g: g[::-1])), ValueError, r"derivatives of f in params\['V'\]"),
    (lambda: Differentiable(f, wrong('W', lambda g: g + np.nan)), ValueError, r"derivatives of f in params\['W'\]"),
    (lambda: Differentiable(f, wrong('W', lambda g: g.T)), ValueError,
     r"expected vjp of a Differentiable to return an array of shape \(3, 6\) for params\['W'\], got \(6, 3\)"),
    (lambda: Differentiable(f, lambda p, x: (vjp(p, x)[0], lambda g: {'W': p['W'], 'b': p['b']})), ValueError,
     r"vjp of a Differentiable: expected a tree of the same form as a dict with \['V', 'W', 'b'\], got a dict"),
    (lambda: Differentiable(f, lambda p, x: (2 * vjp(p, x)[0], vjp(p, x)[1])), ValueError,
     'expected vjp to return the outputs of f first, got others'),
    (lambda: Differentiable(f, vjp, lambda p, x, u: 1.001 * jvp(p, x, u)), ValueError,
     'expected jvp and vjp of one function'),
    (lambda: Differentiable(f, vjp, lambda p, x, u: jvp(p, x, u)[:, 0]), ValueError,
     r'expected jvp of a Differentiable to return an array of shape \(2, 2\) for an output, got \(2,\)'),
    (lambda: Differentiable(f, jacobian=lambda p, x: [*jacobian(p, x)][::-1]), ValueError,
     'jacobian of a Differentiable: expected a tree of the same form as a dict with .*, got a list of 3'),
    (lambda: Differentiable(f, jacobian=lambda p, x: iter([*jacobian(p, x)][::-1])), ValueError,
     r"expected jacobian of a Differentiable to return an array of shape \(2, 2, 3, 6\) for params\['W'\]"),
    (lambda: Differentiable(f, jacobian=lambda p, x: iter([*jacobian(p, x)][:2])), ValueError,
     r"expected jacobian of a Differentiable to return an array of shape .* for params\['V'\], got \(\)"),
    (lambda: Differentiable(f, jacobian=lambda p, x: iter([*jacobian(p, x)] * 2)), ValueError,
     'expected 3 Jacobians, one for each of params, got more'),
    (lambda: Differentiable(f, jacobian=lambda p, x: (2 * J for J in jacobian(p, x))), ValueError,
     'expected derivatives of f in'),
    (lambda: Differentiable(f, jvp=jvp), ValueError, 'expected a Differentiable with vjp or jacobian .* got neither'),
    (lambda: Differentiable(f, 3), TypeError, 'expected Differentiable: vjp to be a function, got int'),
    (lambda: Differentiable(None), TypeError, 'expected Differentiable: f to be a function')])
def test_derivatives_that_are_wrong(given, error, text):
    with pytest.raises(error, match=text):
        empirical_ntk_fn(given())(X, None, PARAMS)


@pytest.mark.parametrize('dtype', ('float32', 'float64'))
@pytest.mark.parametrize('seed', range(3))
def test_many_kinks_are_no_wrong_derivatives(dtype, seed):
    """And half of a derivative, in one layer of eight, is seen among them."""
    widths = [3, *[64] * 8, 3]
    draw = np.random.default_rng(seed).standard_normal
    params = [(draw(shape) * (2 / shape[0]) ** .5).astype(dtype) for shape in zip(widths, widths[1:])]

    def of(params, x):
        for w in params[:-1]:
            x = anp.maximum(anp.dot(x, w), 0.)
        return anp.dot(x, params[-1])

    def by_autograd(params, x):
        pull, y = make_vjp(lambda p: of(p, x))(params)
        return y, pull

    def halved(params, x):
        y, pull = by_autograd(params, x)
        return y, lambda g: [a / 2 if i == 4 else a for i, a in enumerate(pull(g))]
    x = X.astype(dtype)
    right = empirical_ntk_fn(of)(x, None, params)
    assert_close(empirical_ntk_fn(Differentiable(of, by_autograd), check=True)(x, None, params), right, 1e-5)
    with pytest.raises(ValueError, match=r'expected derivatives of f in params\[4\]'):
        empirical_ntk_fn(Differentiable(of, halved), check=True)(x, None, params)


def test_derivatives_are_checked_once_until_they_are_right():
    calls = []

    def counted(params, x):
        calls.append(len(x))
        return f(params, x)
    given = Differentiable(counted, vjp)
    ntk_fn = empirical_ntk_fn(given)
    ntk_fn(X, None, PARAMS)
    first = len(calls)
    assert first == 2 * len(PARAMS) + 2 and set(calls) == {2}             # differences, and the outputs, of two inputs
    ntk_fn(X, X2, PARAMS)
    assert len(calls) == first
    bad = empirical_ntk_fn(Differentiable(f, wrong('W', lambda g: 2 * g)))
    for _ in range(2):
        with pytest.raises(ValueError, match='expected derivatives of f in'):
            bad(X, None, PARAMS)


def test_of_many_parameters_some_are_checked_at_first_and_all_on_demand():
    params = [rng.standard_normal((3, 2)) for _ in range(40)]
    calls = []

    def many(params, x):
        calls.append(len(x))
        return sum(x @ w for w in params)

    def pulled(params, x):
        return sum(x @ w for w in params), lambda g: [x.T @ g for w in params]
    given = Differentiable(many, pulled)
    empirical_ntk_fn(given)(X, None, params)
    assert len(calls) == 2 * 8 + 2
    calls.clear()
    empirical_ntk_fn(given, check=True)(X, None, params)
    assert len(calls) == 2 * 40 + 2


@pytest.mark.parametrize('call, text', [
    (lambda given: empirical_ntk_fn(given, implementation=3)(X, None, PARAMS), 'got STRUCTURED_DERIVATIVES, which'),
    (lambda given: empirical_ntk_fn(given, implementation=2)(X, None, PARAMS), 'one without jvp. Give it, or take'),
    (lambda given: empirical_ntk_vp_fn(given, X, None, PARAMS), 'one without jvp. Give it, or take')])
def test_ways_that_it_has_not(call, text):
    with pytest.raises(ValueError, match=text):
        call(GIVEN['vjp'])


def test_functions_that_mix_their_examples_are_seen():
    def mixed(params, x):
        return f(params, x - x.mean(0))

    def pulled(params, x):
        return vjp(params, x - x.mean(0))
    with pytest.raises(ValueError, match='expected a function that treats its examples one by one'):
        empirical_ntk_fn(Differentiable(mixed, pulled), vmap_axes=0, check=True)(X, None, PARAMS)
    right = empirical_ntk_fn(lambda p, x: traced(p, x - x.mean(0)))(X, None, PARAMS)
    assert_close(empirical_ntk_fn(Differentiable(mixed, pulled))(X, None, PARAMS), right)


def test_autograd_does_not_follow_it():
    from autograd import grad
    for fn in (empirical_ntk_fn, empirical_nngp_fn):
        with pytest.raises(TypeError, match='it has no derivatives of a Differentiable'):
            grad(lambda x: fn(GIVEN['vjp'])(x, None, PARAMS).sum())(X)
