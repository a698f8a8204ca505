"""Derivatives of kernels along a direction, block by block: those that autograd traces over whole arrays.

The traced ones are checked against differences in test_gradients.py.
"""
import autograd.numpy as anp
import numpy
import pytest
from autograd.differential_operators import make_jvp

from ntref.recursion import forward
from ntref.stax import (
    ABRelu, Conv, Cos, Dense, Erf, Exp, ExpNormalized, FanInSum, FanOut, Flatten, Gaussian, Gelu, Identity, LayerNorm,
    Hermite, Polynomial, Rbf, Relu, Sigmoid_like, Sin, Tanh, parallel, plan, serial)

TOLERANCE = 1e-12          # of the largest entry; measured 4e-14
NEAR = 1e-9                # where pairs have angles from 0.01 on
CHAINS = [Relu(), ABRelu(-.5, 1.2), Erf(.7, 1.4, -.3), Sigmoid_like(), Gelu(), Sin(.8, 1.3, .4), Cos(), Rbf(.3),
          Gaussian(), Exp(.5, .4), ExpNormalized(.7, .2), Polynomial((.3, -.5, .2, .1)), Hermite(3)]
NAMES = ('nngp',), ('ntk',), ('ntk', 'nngp')


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    """Several blocks."""
    monkeypatch.setattr(forward, 'ENTRIES', 2 ** 12)


def network(layer, w, b, parameterization='ntk'):
    return serial(Dense(8, 1.3, .4), Dense(8, w, b), layer, Dense(8, w, b, parameterization=parameterization), layer,
                  Dense(8, w, b))


def joined(kernels):
    return anp.concatenate([k.reshape(-1) for k in kernels])


def both(f, value, along):
    """The derivative of f: by blocks and traced, and whether the blocks gave one."""
    found = []
    step = plan.Followed.along

    def watched(self, *x):
        found.append(step(self, *x))
        return found[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan.Followed, 'along', watched)
        _, here = make_jvp(f)(value)(along)
        patch.setattr(plan.Followed, 'along', lambda *x: None)
        _, traced = make_jvp(f)(value)(along)
    return here, traced, found[0] is not None


def check(f, value, along, in_blocks=True, tolerance=TOLERANCE):
    here, traced, was_in_blocks = both(f, value, along)
    assert was_in_blocks == in_blocks
    assert here.dtype == traced.dtype and here.shape == traced.shape and abs(traced).max() > 0
    assert abs(here - traced).max() < tolerance * abs(traced).max()


@pytest.mark.parametrize('layer', CHAINS, ids=repr)
@pytest.mark.parametrize('names', NAMES)
@pytest.mark.parametrize('parameterization', ['ntk', 'standard'])
def test_along_numbers_and_inputs(layer, names, parameterization, rng):
    x, y, dx, dy = (rng.standard_normal((n, 12)) for n in (70, 45, 70, 45))

    def kernels(x, y, w=.9, b=.3):
        return joined(network(layer, w, b, parameterization).kernel_fn(x, y, get=names))
    for other in (None, y):
        check(lambda w: kernels(x, other, w), .9, 1.)
        check(lambda b: kernels(x, other, .9, b), .3, 1.)
        check(lambda x: kernels(x, other), x, dx)
    check(lambda y: kernels(x, y), y, dy)
    check(lambda t: kernels(x + t * dx, y + t * dy, .9 + t, .3 - t), 0., 1.)


def test_of_differences(rng):
    """Without any derivative of autograd's."""
    x, dx = rng.standard_normal((2, 70, 12))

    def kernel(t):
        return network(Gelu(), .9 + t, .3 - t).kernel_fn(x + t * dx, None, 'ntk')
    _, along = make_jvp(kernel)(0.)(1.)
    step = 1e-5
    difference = (kernel(step) - kernel(-step)) / (2 * step)
    assert abs(along - difference).max() < 1e-8 * abs(difference).max()


def test_in_single_precision(rng):
    x = rng.standard_normal((70, 12))
    dx = rng.standard_normal((70, 12))
    single = make_jvp(lambda x: network(Erf(), .9, .3).kernel_fn(x, None, 'ntk'))(x.astype('f'))(dx.astype('f'))[1]
    double = make_jvp(lambda x: network(Erf(), .9, .3).kernel_fn(x, None, 'ntk'))(x)(dx)[1]
    assert single.dtype == numpy.float32 and abs(single - double).max() < 1e-5 * abs(double).max()


@pytest.mark.parametrize('net', [
    serial(Dense(8), LayerNorm(), Relu(), Dense(8)), serial(Dense(8), Tanh(), Dense(8)),
    serial(Dense(8), FanOut(2), parallel(Identity(), serial(Relu(), Dense(8))), FanInSum(), Erf(), Dense(8))], ids=repr)
def test_what_is_no_chain_is_traced(net, rng):
    x, dx = rng.standard_normal((2, 40, 12))
    check(lambda x: net.kernel_fn(x, None, 'ntk'), x, dx, in_blocks=False)


def test_images_are_traced(rng):
    x, dx = rng.standard_normal((2, 4, 5, 3))
    check(lambda x: serial(Conv(8, (3,)), Relu(), Flatten(), Dense(1)).kernel_fn(x, None, 'ntk'), x, dx,
          in_blocks=False)


@pytest.mark.parametrize('layer', [Relu(), ABRelu(-.5, 1.2), Erf()], ids=repr)
@pytest.mark.parametrize('names', NAMES)
def test_near_pairs_have_gaps(layer, names, rng, monkeypatch):
    """Those that coincide, nearly coincide or are nearly opposite."""
    monkeypatch.setattr(forward, 'PAIRS', 5)
    x, dx = rng.standard_normal((2, 40, 12))
    x[1:5] = x[0] * (1 + numpy.array([0, 1e-9, 1e-5, 1e-3]))[:, None] + [[0], [0], [0], [1e-3]]
    x[6:8] = -x[5] * (1 + numpy.array([[0], [1e-6]]))
    y, dy = x[:30] + 1e-4 * rng.standard_normal((30, 12)), rng.standard_normal((30, 12))

    def kernels(x, y, w):
        return joined(network(layer, w, .3).kernel_fn(x, y, get=names))
    check(lambda t: kernels(x + t * dx, None, .9 + t), 0., 1., tolerance=NEAR)
    check(lambda t: kernels(x + t * dx, y + t * dy, .9 + t), 0., 1., tolerance=NEAR)
    check(lambda w: kernels(x, y, w), .9, 1., tolerance=NEAR)
