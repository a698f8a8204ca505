"""Functions of the user, in autograd.numpy, on arrays of CuPy's stand-in: derivatives are those of the host."""
import numpy
import pytest
from numpy.testing import assert_allclose

from ntref import arrays
from ntref.autograd_on_device import DeviceVSpace, follow_on_device

autograd = pytest.importorskip('autograd')
np = pytest.importorskip('autograd.numpy')
make_jvp = autograd.core.make_jvp

FUNCTIONS = {
    'sum': lambda x, W: np.sum(x, axis=1), 'sum of all': lambda x, W: x.sum(), 'mean': lambda x, W: np.mean(x, axis=0),
    'mean, kept': lambda x, W: x.mean(1, keepdims=True), 'max': lambda x, W: np.max(x, axis=1) * x[:, 0],
    'max, kept': lambda x, W: x * x.max(axis=0, keepdims=True), 'min': lambda x, W: x.min() * x,
    'prod': lambda x, W: np.prod(x, axis=1), 'where': lambda x, W: np.where(x > 0, x, 0.),
    'dot': lambda x, W: np.dot(x, W),
    'dot of vectors': lambda x, W: np.dot(x[0], W[:, 0]), 'matmul': lambda x, W: np.matmul(x, W),
    'tensordot': lambda x, W: np.tensordot(x, W, ([1], [0])), 'einsum': lambda x, W: np.einsum('ij,jk->ik', x, W),
    'einsum, a sum': lambda x, W: np.einsum('ij,ij->j', x, x),
    'einsum, implicit': lambda x, W: np.einsum('ij,jk', x, W),
    'reshape': lambda x, W: np.reshape(x, (2, 6)), 'method reshape': lambda x, W: x.reshape(2, -1),
    'ravel': lambda x, W: x.ravel(), 'flatten': lambda x, W: x.flatten(), 'T': lambda x, W: x.T @ x,
    'transpose': lambda x, W: np.transpose(x, (1, 0)), 'expand_dims': lambda x, W: np.expand_dims(x, 1) * x,
    'squeeze': lambda x, W: np.squeeze(x[:1], 0), 'swapaxes': lambda x, W: np.swapaxes(x, 0, 1),
    'concatenate': lambda x, W: np.concatenate([x, W.T, x], 0), 'repeat': lambda x, W: np.repeat(x, 2, axis=0),
    'slice': lambda x, W: x[1:, ::2], 'an entry twice': lambda x, W: x[[0, 0, 2]], 'axis': lambda x, W: x[:, None, 1],
    'a mask': lambda x, W: x[x > 0], 'two lists': lambda x, W: x[[0, 1, 0], [2, 3, 2]],
    'tanh': lambda x, W: np.tanh(x), 'logistic': lambda x, W: 1 / (1 + np.exp(-x)),
    'power': lambda x, W: x ** 3 + x ** 2, 'a root': lambda x, W: np.abs(x) ** 1.5,
    'of a number': lambda x, W: 2. ** x, 'maximum': lambda x, W: np.maximum(x, 0),
    'sqrt': lambda x, W: np.sqrt(x * x + 1), 'log': lambda x, W: np.log(1 + x * x), 'sinh': lambda x, W: np.sinh(x),
    'operators': lambda x, W: -x - 1 + abs(x) - (x - x[0]) / (2 + x * x), 'softmax': lambda x, W: np.exp(
        x - x.max(1, keepdims=True)) / np.sum(np.exp(x - x.max(1, keepdims=True)), 1, keepdims=True),
}


@pytest.fixture
def alone(cupy, monkeypatch):
    """CuPy's stand-in; no array comes to the host."""
    def get(self, **keywords):
        raise AssertionError(f'an array of shape {self.shape} goes to the host')
    monkeypatch.setattr(cupy.ndarray, 'get', get)
    follow_on_device()
    return cupy


@pytest.mark.parametrize('name', FUNCTIONS)
def test_derivatives(name, alone, rng):
    """Backward, forward, and backward through the gradient, in either argument."""
    def f(x, W):
        return np.sin(FUNCTIONS[name](x, W)).sum()

    def slope(x, W):
        return (autograd.grad(f)(x, W) ** 2).sum()
    x, W = rng.standard_normal((3, 4)), rng.standard_normal((4, 4))
    a, b = map(alone.asarray, (x, W))
    pairs = [(autograd.grad(f)(a, b), autograd.grad(f)(x, W)), (autograd.grad(slope)(a, b), autograd.grad(slope)(x, W)),
             (make_jvp(lambda x: f(x, b), a)(a)[1], make_jvp(lambda a: f(a, W), x)(x)[1])]
    if name in ('dot', 'matmul', 'tensordot', 'einsum', 'concatenate'):
        pairs.append((autograd.grad(f, 1)(a, b), autograd.grad(f, 1)(x, W)))
    for found, wanted in pairs:
        assert type(found) is alone.ndarray and found.dtype == 'float64'
        assert_allclose(found._host, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize('name', ['sum', 'mean', 'max', 'matmul', 'where', 'concatenate', 'slice', 'tanh', 'softmax'])
def test_single_precision_stays(name, alone, rng):
    x, W = (alone.asarray(rng.standard_normal((4, 4)).astype('float32')) for _ in range(2))
    assert autograd.grad(lambda x: FUNCTIONS[name](x, W).sum())(x).dtype == 'float32'


def test_operators_of_cupy_leave_boxes_the_last_word(alone):
    host = numpy.array([[1., 2.], [3., 4.]])
    x = alone.asarray(host)
    for f in (lambda x, a: x + a, lambda x, a: x - a, lambda x, a: x * a, lambda x, a: x / a, lambda x, a: x @ a,
              lambda x, a: x ** a):
        found, wanted = (autograd.grad(lambda a: f(z, a).sum())(z) for z in (x, host))
        assert type(found) is alone.ndarray
        assert_allclose(found._host, wanted, rtol=1e-13)


def test_vectors(alone):
    x = alone.asarray(numpy.array([1., 2.]))
    space = DeviceVSpace(x)
    assert [e._host.tolist() for e in space.standard_basis()] == [[1., 0.], [0., 1.]]
    assert type(space.randn()) is alone.ndarray and space.randn().shape == (2,)
    assert float(space.inner_prod(x, x)) == 5. and space.ones()._host.tolist() == [1., 1.]


def test_kinds_of_boxes(alone):
    seen = []
    autograd.grad(lambda x: (seen.append(arrays.namespace(x).kind), x.sum())[1])(alone.asarray(numpy.ones(2)))
    autograd.grad(lambda x: (seen.append(arrays.namespace(x).kind), x.sum())[1])(numpy.ones(2))
    assert seen == ['autograd.cupy', 'autograd']


def test_what_autograd_makes_on_the_host_is_refused(alone):
    x = alone.asarray(numpy.ones((2, 2)))
    for f in (lambda x: np.stack([x, x]), lambda x: np.array([x[0], x[1]]), lambda x: x + np.ones(2)):
        with pytest.raises(TypeError, match='Implicit conversion|Unsupported type'):
            autograd.grad(lambda x: f(x).sum())(x)
