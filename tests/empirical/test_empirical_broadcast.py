"""What autograd's rules forget: axes of length 1 that are broadcast, parameters without entries, random masks.

The truth are differences of f. For f (multi)linear in the parameter they are exact at any step but for rounding.
"""
import autograd.numpy as np
import numpy
import pytest
from autograd.scipy.signal import convolve

from ntref import empirical_ntk_fn, empirical_ntk_vp_fn
from ntref.stax import Conv, Dense, Dropout, Flatten, Relu, serial

WAYS = 0, 1, 2, 3


def by_differences(f, w, x):
    """J, with an error of the sixth order in the step: none for polynomials of degree 6."""
    weights = (45, -9, 1)

    def along(e, h):
        steps = [(h * k, weight / (60 * h)) for k, weight in enumerate(weights, 1)]
        return sum(weight * (f(w + step * e, x) - f(w - step * e, x)) for step, weight in steps)
    rows = [along(e.reshape(w.shape), 1 / 64) for e in numpy.eye(w.size)]
    return numpy.stack(rows, -1)


def squared(J):
    m = J.ndim - 1
    return numpy.tensordot(J, J, ([-1], [-1])).transpose([axis + k * m for axis in range(m) for k in (0, 1)])


def softened(w):
    return w @ w.T + 2 * numpy.eye(len(w))


SIZES = dict(zip('nijkIJ', (3, 2, 4, 5, 2, 4)))
EINSUMS = ('ni,ij->nj', 'nij,ij->n', 'nij,jk->nik', 'nij,ij->nij', 'nij,i->nj', 'n...j,...j->n...', 'ni,nj->nij',
           'n...i,...ij->n...j')


def einsum_cases():
    """Each label in turn of length 1 in the inputs, in the parameter, and both ways round."""
    for subscripts in EINSUMS:
        terms, out = subscripts.split('->')
        labels = [term.replace('...', 'IJ') for term in terms.split(',')]
        for short in [(0, label) for label in labels[0][1:]] + [(1, label) for label in labels[1]]:
            shapes = [tuple(1 if (k, label) == short else SIZES[label] for label in term)
                      for k, term in enumerate(labels)]
            turned = ','.join(reversed(terms.split(','))) + '->' + out
            yield pytest.param(lambda w, x, s=subscripts: np.einsum(s, x, w), *shapes, id=f'{subscripts} {short}')
            yield pytest.param(lambda w, x, s=turned: np.einsum(s, w, x), *shapes, id=f'{turned} {short}')


X = 3, 2, 4
OPERATIONS = {
    'lists of labels': (lambda w, x: np.einsum(x, [0, 1, 2], w, [1, 3], [0, 3]), X, (1, 4)),
    'a diagonal': (lambda w, x: np.einsum('nij,kk->nij', x, w), X, (2, 2)),
    'three operands': (lambda w, x: np.einsum('nij,ij,jk->nk', x, w ** 2, numpy.ones((1, 2))), X, (1, 4)),
    'where': (lambda w, x: np.where(x > 1, w, x), X, (1, 4)),
    'where a number': (lambda w, x: np.where(x > 1, x, w), X, ()),
    'where positions': (lambda w, x: np.where(x > 1, w, x), (3, 2, 1), (2, 4)),
    'broadcast': (lambda w, x: np.broadcast_to(w, X) * x, X, (1, 4)),
    'broadcast in front': (lambda w, x: np.broadcast_to(w, (5, 1, 4)) * np.sum(x), X, (1, 4)),
    'full': (lambda w, x: np.full(X, w) * x, X, (2, 1)),
    'tile': (lambda w, x: np.tile(w, 2) * np.sum(x), X, (2, 1)),
    'tile rows': (lambda w, x: np.tile(w * x, (3, 1)), (3, 1, 4), (1, 4)),
    'repeat by numbers': (lambda w, x: np.repeat(w, [1, 2], 0) * np.sum(x), X, (2, 3)),
    'kron': (lambda w, x: np.kron(x, w), (3, 1, 4), (2, 1, 2)),
    'outer': (lambda w, x: np.outer(x, w), X, (1, 3)),
    'clip': (lambda w, x: np.clip(w, -9. * numpy.ones(X), 9.) * x, X, (4,)),
    'diag': (lambda w, x: np.diag(w, 1) * np.sum(x), X, (2, 4)),
    'matmul': (lambda w, x: np.matmul(x, w), (3, 2, 1, 4), (2, 4, 1)),
    'dot': (lambda w, x: np.dot(x, w), (3, 2, 1), (2, 1, 4)),
    'inner': (lambda w, x: np.inner(x, w), (3, 1, 1), (4, 1)),
    'tensordot': (lambda w, x: np.tensordot(x, w, ([1, 2], [0, 1])), (3, 1, 4), (1, 4, 1)),
    'concatenate': (lambda w, x: np.concatenate([w * x, x[:, :1] * w], 1), (3, 2, 1), (1, 4)),
    'convolve': (lambda w, x: convolve(x, w, axes=([1], [0]), mode='valid'), (3, 5), (1,)),
    'sum of a number': (lambda w, x: np.sum(w, axis=-1) * x, X, ()),
    'prod': (lambda w, x: np.prod(w * x, -1), (3, 2, 1), (1, 1)),
}
SMOOTH = {          # no polynomials: differences to 1e-8
    'norm, kept': (lambda w, x: np.linalg.norm(w * x, axis=-1, keepdims=True), X, (1, 4)),
    'norm of the last axes': (lambda w, x: np.linalg.norm(w, 'fro', axis=(-2, -1)) * np.sum(x), X, (3, 2, 2)),
    'eigenvectors': (lambda w, x: np.linalg.eigh(softened(w))[1] ** 2 * np.sum(x), X, (3, 3)),
    'linspace': (lambda w, x: np.linspace(w[0], 1., 3) * x, (3, 2, 1), (2,)),
}


def check(f, x_shape, w_shape, rtol):
    rng = numpy.random.default_rng(0)
    x, w = rng.uniform(.5, 1.5, x_shape), rng.standard_normal(w_shape)
    w, J = numpy.asarray(w), by_differences(f, numpy.asarray(w), x)
    expected = squared(J)
    alone = [f(w, x[i:i + 1]) for i in range(3)]
    separate = all(a.shape[0] == 1 for a in alone) and numpy.array_equal(numpy.concatenate(alone), f(w, x))
    for implementation in WAYS:
        for vmap_axes in (None, 0) if separate else (None,):
            ntk = empirical_ntk_fn(f, (), (), vmap_axes, implementation)(x, None, w)
            assert ntk.shape == expected.shape
            assert abs(ntk - expected).max() <= rtol * abs(expected).max(), (implementation, vmap_axes)
    v, m = rng.standard_normal(J.shape[:-1]), J.ndim - 1
    product = J @ numpy.tensordot(v, J, (range(m), range(m)))
    assert abs(empirical_ntk_vp_fn(f, x, None, w)(v) - product).max() <= rtol * abs(product).max()


@pytest.mark.parametrize('f, x_shape, w_shape', [*einsum_cases()])
def test_einsum(f, x_shape, w_shape):
    check(f, x_shape, w_shape, 1e-11)


@pytest.mark.parametrize('name', OPERATIONS)
def test_operation(name):
    check(*OPERATIONS[name], 1e-11)


@pytest.mark.parametrize('name', SMOOTH)
def test_smooth_operation(name):
    check(*SMOOTH[name], 1e-8)


def test_an_operation_whose_derivative_autograd_has_not():
    """tril makes a matrix of a vector, of which its rule knows nothing; gradient fails along an axis."""
    x = numpy.ones((2, 3))
    for f in lambda w, x: np.tril(w) * np.sum(x), lambda w, x: np.gradient(w * x, axis=0):
        for implementation in 1, 2:
            with pytest.raises(NotImplementedError, match='in autograd'):
                empirical_ntk_fn(f, (), (), None, implementation)(x, None, numpy.ones(3))


# ------------------------------------------------------------------ parameters without entries

EMPTY, W = numpy.zeros((4, 0)), numpy.arange(8.).reshape(4, 2)
WITHOUT_ENTRIES = {                     # f, params, and how much of the kernel of x W there is
    'beside': (lambda p, x: x @ p[1] + np.sum(p[0]), (EMPTY, W), 1),
    'joined': (lambda p, x: x @ np.concatenate(p, 1), (EMPTY, W), 1),
    'alone': (lambda p, x: x[:, :2] * np.sum(p), EMPTY, 0),
    'no units': (lambda p, x: x @ p[0] @ p[1], (EMPTY, numpy.zeros((0, 2))), 0),
    'no units, with a rule': (lambda p, x: np.tanh(x @ p[0]) @ p[1], (EMPTY, numpy.zeros((0, 2))), 0),
}


@pytest.mark.parametrize('vmap_axes', [None, 0])
@pytest.mark.parametrize('name', WITHOUT_ENTRIES)
def test_parameters_without_entries(name, vmap_axes, rng):
    f, params, share = WITHOUT_ENTRIES[name]
    x = rng.standard_normal((3, 4))
    expected = share * numpy.einsum('nm,ij->nmij', x @ x.T, numpy.eye(2))
    for implementation in WAYS:
        ntk = empirical_ntk_fn(f, (), (), vmap_axes, implementation)(x, None, params)
        assert ntk.shape == expected.shape and abs(ntk - expected).max() <= 1e-13 * abs(x @ x.T).max()


# ------------------------------------------------------------------ random layers

@pytest.mark.parametrize('is_image', [False, True])
def test_random_layers_are_drawn_for_all_examples(is_image, rng):
    """With seeds f is one function of all inputs; what it draws for one alone is something else."""
    first, shape = (Conv(3, (2, 2)), (4, 3, 3, 2)) if is_image else (Dense(5), (4, 3))
    init_fn, f, _ = serial(first, Relu(), Dropout(.5), Flatten(), Dense(2))
    x1, x2 = rng.standard_normal(shape), rng.standard_normal(shape)[:2]
    _, params = init_fn(0, shape)
    for other in None, x2:
        expected = empirical_ntk_fn(f)(x1, other, params, rng=3)
        for implementation in WAYS:
            ntk = empirical_ntk_fn(f, vmap_axes=0, implementation=implementation, check=True)(x1, other, params, rng=3)
            assert abs(ntk - expected).max() <= 1e-12 * abs(expected).max()
