"""Derivatives of kernels of arrays of CuPy, on its stand-in: the numbers of NumPy, block by block and traced."""
import numpy
import pytest
from numpy.testing import assert_allclose

from ntref import stax
from ntref.autograd_on_device import follow_on_device
from ntref.engine import device

autograd = pytest.importorskip('autograd')
make_jvp = autograd.core.make_jvp
MANY = 150                          # inputs: enough for blocks


def dense(W_std, activation):
    return stax.serial(stax.Dense(1, W_std, .2), activation, stax.Dense(1, 1.1), activation, stax.Dense(1))


NETWORKS = {
    'chain': (lambda W_std: dense(W_std, stax.Relu()), (3,)),
    'smooth chain': (lambda W_std: dense(W_std, stax.Erf()), (3,)),
    'branches': (lambda W_std: stax.serial(
        stax.FanOut(2), stax.parallel(dense(W_std, stax.Gelu()), stax.Dense(1)), stax.FanInSum()), (3,)),
    'normalized': (lambda W_std: stax.serial(stax.Dense(1, W_std, .2), stax.LayerNorm(), stax.Tanh(), stax.Dense(1)),
                   (3,)),
    'convolution': (lambda W_std: stax.serial(
        stax.Conv(1, (3,), padding='SAME', W_std=W_std, b_std=.1), stax.Relu(), stax.Conv(1, (2,)), stax.Sin(),
        stax.GlobalAvgPool(), stax.Dense(1)), (4, 2)),
    'attention': (lambda W_std: stax.serial(
        stax.Conv(1, (2,), W_std=W_std), stax.GlobalSelfAttention(1, 1, 1, 1), stax.Flatten(), stax.Dense(1)), (4, 2)),
}


@pytest.fixture
def alone(cupy, monkeypatch):
    """CuPy's stand-in; no array with axes comes to the host."""
    def get(self, **keywords):
        raise AssertionError(f'an array of shape {self.shape} goes to the host')
    monkeypatch.setattr(cupy.ndarray, 'get', get)
    monkeypatch.setattr(device, 'ENTRIES_ON_DEVICE', 2 ** 14)                             # many blocks
    follow_on_device()
    return cupy


def assert_same(found, wanted, cupy):
    assert type(found) is cupy.ndarray
    assert_allclose(found._host, wanted, rtol=1e-9, atol=1e-9 * abs(numpy.asarray(wanted)).max())


@pytest.mark.parametrize('name, n', [*((name, 3) for name in NETWORKS), ('chain', MANY), ('branches', MANY)])
def test_first_derivatives(name, n, alone, rng):
    """In a deviation of weights and in inputs, on either side; backward, and forward in the inputs."""
    net, shape = NETWORKS[name]
    x, y = rng.standard_normal((n, *shape)), rng.standard_normal((2, *shape))
    weights = rng.standard_normal((n, 2))

    def value(W_std, x, y, weights):
        return (weights * net(W_std).kernel_fn(x, y, 'ntk')).sum()

    def own(W_std, x):
        return (net(W_std).kernel_fn(x, None, 'nngp') ** 2).mean()
    there = [alone.asarray(a) for a in (x, y, weights)]
    for i in 0, 1, 2:
        assert_same(autograd.grad(value, i)(1.3, *there), autograd.grad(value, i)(1.3, x, y, weights), alone)
    for i in 0, 1:
        assert_same(autograd.grad(own, i)(1.3, there[0]), autograd.grad(own, i)(1.3, x), alone)
    found, wanted = (make_jvp(lambda x: own(1.3, x), x)(x / 2)[1] for x in (there[0], x))
    assert_same(found, wanted, alone)


@pytest.mark.parametrize('name', ['chain', 'smooth chain', 'convolution'])
def test_second_derivatives(name, alone, rng):
    net, shape = NETWORKS[name]
    x, along = rng.standard_normal((2, 3, *shape))

    def slope(x, along):
        return (autograd.grad(lambda x: net(1.3).kernel_fn(x, None, 'ntk').sum())(x) * along).sum()
    found = autograd.grad(slope)(alone.asarray(x), alone.asarray(along))
    assert_same(found, autograd.grad(slope)(x, along), alone)


def test_boxes_of_arrays_on_two_sides_are_refused(cupy, rng):
    net, _ = NETWORKS['chain']
    x = rng.standard_normal((3, 3))
    follow_on_device()
    with pytest.raises(TypeError, match=r'got autograd and cupy'):
        autograd.grad(lambda x: net(1.3).kernel_fn(x, cupy.asarray(x._value), 'ntk').sum())(x)
    with pytest.raises(TypeError, match=r'got autograd.cupy and numpy'):
        autograd.grad(lambda a: net(1.3).kernel_fn(a, x, 'ntk').sum())(cupy.asarray(x))
