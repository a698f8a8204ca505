"""Where Neural Tangents 0.6.5 errs, what is right: by hand, and by finite networks drawn at random.

Each entry of CASES: network (of a given width), input, right value worked out here, the value of Neural Tangents
(jax 0.4.25, float64). All are kernels of one input with itself. What else is wrong there: golden/README.md.
"""
from math import pi, sqrt
from typing import Any, Callable, NamedTuple

import numpy
import pytest
from finite import LEVEL, chance, draws, empirical_ntk, second_moment

from ntref.stax import (
    Conv, ConvLocal, ConvTranspose, Dense, GlobalAvgPool, GlobalSumPool, ImageResize, Index, Relu, Sign, Slice, serial)

WIDTH = 300
DRAWS = 100


class Case(NamedTuple):
    net: Callable           # width -> layer
    x: Any                  # one input
    right: float
    theirs: float
    get: str = 'nngp'


PIXELS = numpy.array([[1., 2., 4.], [3., 0., 1.]])
IMAGE = PIXELS[:, :, None]
BLOCK = numpy.arange(1., 25.).reshape(2, 3, 4, 1)           # depth, height, width


# ------------------------------------------------------------------ ImageResize

def resized(n, method):
    """After an odd number of convolutions theirs resizes to the lengths 2 and 4 instead of 4 and 2."""
    return serial(Conv(n, (1, 1)), ImageResize((-1, 4, 2, -1), method), GlobalSumPool())


PICKED = 2 * (1 + 4 + 3 + 1)                                # both rows twice; of the columns the first and the last
AVERAGED = 2 * (5 * (1 + 3) + 6 * (2 + 0) + 5 * (4 + 1)) / 8  # columns (5 a + 3 b) / 8, (3 b + 5 c) / 8; rows as above


# ------------------------------------------------------------------ Sign

def signs(n):
    """Before a pool theirs takes the covariances of signs at different positions for 1 where it needs variances."""
    return serial(Conv(n, (1,)), Sign(), GlobalAvgPool(), Dense(n), Relu())


ANGLE = numpy.array([[1., 0.], [-1., 1.]])                  # two positions, 135 degrees apart: E sign sign' = -1/2
SIGNS = (1 - 1 / 2 - 1 / 2 + 1) / 4 / 2                     # Relu halves


# ------------------------------------------------------------------ ConvLocal

def standard(n):
    """Theirs does not widen the output by s[1] = 2, and has half the width in the tangent kernel of what follows."""
    return serial(ConvLocal(n, (1,), parameterization='standard', s=(1, 2)), GlobalAvgPool(),
                  Dense(1, parameterization='standard', s=(2, 1)))


LOCAL = (2. ** 2 + 4. ** 2) / 4                             # mean over pairs of positions, different ones uncorrelated
STANDARD = WIDTH * LOCAL + LOCAL                            # readout, and what is before it


def local(n):
    """After an odd number of convolutions theirs mixes up the axes of the uncorrelated positions."""
    return serial(Conv(n, (1, 1)), ConvLocal(n, (1, 2)), Relu(), GlobalAvgPool())


def rectified(z2):
    """mean_ij E[relu(z_i) relu(z_j)] = q_i / 2 or, for independent z, sqrt(q_i q_j) / (2 pi)."""
    q = list(enumerate(z2.ravel()))
    return sum(a / 2 if i == j else sqrt(a * b) / (2 * pi) for i, a in q for j, b in q) / len(q) ** 2


# ------------------------------------------------------------------ three spatial axes in another order

def reordered(n, out, *before):
    """Theirs has spatial axes in an order that contradicts its own `shape1`."""
    at_edge = [slice(None)] * 5
    at_edge[out.index('W')] = 0
    return serial(*before, Conv(n, (1, 1, 1), dimension_numbers=('NDHWC', 'DHWIO', out)), Index(tuple(at_edge)),
                  GlobalSumPool())


def reordered_local(n):
    return serial(ConvLocal(n, (1, 1, 1), dimension_numbers=('NDHWC', 'DHWIO', 'NWDHC')), Index(Slice[:, 0]),
                  GlobalSumPool())


EDGE = BLOCK[:, :, 0].sum() ** 2

CASES = {
    'ImageResize after a convolution, nearest': Case(                                       # theirs: 48 % less
        lambda n: resized(n, 'nearest'), IMAGE, PICKED ** 2, 169.),
    'ImageResize after a convolution, linear': Case(                                        # 9 % more
        lambda n: resized(n, 'linear'), IMAGE, AVERAGED ** 2, 221.265625),
    'Sign before a pool': Case(signs, ANGLE, SIGNS, .22665493892227073),                    # 81 % more
    'ConvLocal, standard, s': Case(                                                         # half
        standard, numpy.array([[2.], [4.]]), STANDARD, WIDTH / 2 * LOCAL + LOCAL, 'ntk'),
    'ConvLocal after a convolution': Case(                                                  # 43 % more
        local, IMAGE, rectified((PIXELS[:, 1:] ** 2 + PIXELS[:, :-1] ** 2) / 2), 1.3493484555681106),
    'three axes, two of them exchanged': Case(                                              # 40 % more
        lambda n: reordered(n, 'NDWHC'), BLOCK, EDGE, 6084.),
    'three axes, turned': Case(                                                             # 40 % more
        lambda n: reordered(n, 'NHWDC', Conv(n, (1, 1, 1))), BLOCK, EDGE, 6084.),
    'three axes, ConvLocal': Case(                                                          # 13 % less
        reordered_local, BLOCK, (BLOCK[:, :, 0] ** 2).sum(), 876.),
}


@pytest.mark.parametrize('name', CASES)
def test_by_hand(name):
    net, x, right, theirs, get = CASES[name]
    ours = net(WIDTH).kernel_fn(x[None], get=get)
    assert ours.shape == (1, 1) and abs(ours[0, 0] - right) < 1e-14 * right < abs(ours[0, 0] - theirs)


@pytest.mark.parametrize('name', CASES)
def test_by_finite_networks(name, rng):
    """Their mean is the right value, and not that of Neural Tangents."""
    net, x, right, theirs, get = CASES[name]
    samples = draws({'nngp': second_moment, 'ntk': empirical_ntk}[get], net(WIDTH), x[None], rng, DRAWS)
    assert chance(samples, [[right]]) > LEVEL > chance(samples, [[theirs]])


def test_parameters_of_conv_local():
    """ConvLocal(6, s=(1, 2)) has 12 channels; theirs has 6."""
    shape, (W, b) = ConvLocal(6, (2,), b_std=.1, parameterization='standard', s=(1, 2)).init_fn(0, (1, 4, 5))
    assert shape == (1, 3, 12) and W.shape == (3, 10, 12) and b.shape == (1, 3, 12)


# ------------------------------------------------------------------ where both agree, though padding is involved

@pytest.mark.parametrize('size, stride, theirs', [
    (3, 2, [10001, 1, 101, 100, 10100, 10000]),
    (2, 1, [10001, 101, 10100]),
    (4, 2, [10001, 101, 101, 10100, 10100, 10001])])
def test_circular_transposed_convolutions(size, stride, theirs):
    """Input i goes to the outputs i stride - a + low, modulo their number: sum of squares at each, times the taps."""
    x = numpy.array([1., 10., 100.])
    seen, low = numpy.zeros(3 * stride), size - 1 - max(size - stride, 0) // 2
    for i, pixel in enumerate(x):
        for a in range(size):
            seen[(i * stride - a + low) % (3 * stride)] += pixel ** 2
    ours = ConvTranspose(1, (size,), (stride,), 'CIRCULAR').kernel_fn(x[None, :, None], get='nngp')
    assert numpy.array_equal(seen, theirs)
    assert (abs(size * ours[0, 0].diagonal() - seen) < 1e-11).all()
