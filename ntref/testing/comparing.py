"""Comparisons of kernels to multiples of eps, and inputs in the layout of a network."""
from typing import Any

import numpy

from ..recursion.kernel import Kernel
from ..recursion.signal import Demand
from ..stax import Dense, Layer, LayerError, serial
from ..stax.trees import input_signal
from ..types import Shape, Tree

__all__ = ['EPS_MULTIPLES', 'accepts', 'after_dense', 'applied', 'assert_close', 'axes_of',
           'compare', 'laid_out', 'ntk_scale', 'output', 'scale', 'taken', 'variances']

EPS_MULTIPLES = {
    # the same formulas on another kind of array: sums in another order, another libm
    'kinds: nngp': 64,
    'kinds: ntk': 256,
    'kinds: apply': 512,
    # the same numbers, computed another way by the same code
    'swap': 64,              # k(y, x) and k(x, y).T
    'same': 64,              # k(x, x) and k(x)
    'slice': 64,             # input gaps are formed about another mean
    'positions': 64,         # positions as further samples
    'compose': 8,            # layer by layer and in one go
    # identities
    'diagonal': 64,          # cov1 and the diagonal of nngp, which comes through gap and area
    'gap': 64,               # gap and q + q' - 2 K
    'area': 128,             # area^2 and q q' - K^2
    # a closed form written out in the test
    'value': 64,
}
"""How many eps two computations of one quantity may differ by: the largest seen over all layers of this library (Python
3.11, NumPy 2.4, OpenBLAS), rounded up to a power of two with at least a factor of two to spare."""


# ------------------------------------------------------------------ comparisons

def assert_close(
        actual: Any, expected: Any, quantity: str, scale: Any = 1., dtype: Any = None) -> None:
    """Assert equal shapes and dtypes, and a difference of at most EPS_MULTIPLES[quantity] eps times `scale`.

    `scale` is broadcast; NaN and infinity are refused. With `dtype` the two may have different precision, and eps is
    that of `dtype`.
    """
    actual = numpy.asarray(actual)
    expected = numpy.asarray(expected)
    dtype = dtype or actual.dtype
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    assert actual.dtype == expected.dtype or dtype != actual.dtype, (actual.dtype, expected.dtype)
    assert numpy.isfinite(actual).all() and numpy.isfinite(expected).all(), 'NaN or infinity'
    unit = numpy.where(numpy.asarray(scale) > 0, scale, 1)
    error = abs(actual.astype('float64') - expected) / unit
    worst = float(error.max(initial=0.)) / float(numpy.finfo(dtype).eps)
    allowed = EPS_MULTIPLES[quantity]
    assert worst <= allowed, f'{quantity}: {worst:.3g} eps, allowed {allowed}'


def variances(k: Kernel) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the variances q of x1 and of x2, broadcasting against nngp."""
    def spread(cov, side):
        if k.diagonal_spatial:
            return cov[:, None] if side == 0 else cov[None]
        n = (k.nngp.ndim - 2) // 2
        axes = [0, *(axis for i in range(1, n + 1) for axis in (i, i))]
        q = numpy.einsum(cov, axes, range(n + 1)) if n else cov
        batch = q[:, None] if side == 0 else q[None]
        shape = [*batch.shape[:2]]
        for m in q.shape[1:]:
            shape += [m, 1] if side == 0 else [1, m]
        return batch.reshape(shape)
    return spread(k.cov1, 0), spread(k.cov1 if k.cov2 is None else k.cov2, 1)


def scale(k: Kernel) -> numpy.ndarray:
    """Return sqrt(q q'), the scale of nngp."""
    return numpy.sqrt(numpy.multiply(*variances(k)))


def ntk_scale(k: Kernel) -> numpy.ndarray:
    """Return the scale of ntk: the larger of |ntk| and of `scale` times the ratio of the largest |ntk| to it."""
    size = numpy.abs(k.ntk)
    s = scale(k)
    ratio = numpy.max(size, initial=0.) / max(numpy.max(s, initial=0.), 1e-300)
    return numpy.maximum(s * ratio, size)


def compare(actual: Kernel, expected: Kernel, quantity: str, dtype: Any = None) -> None:
    """Assert that the Kernels agree in nngp, ntk and everything that describes them."""
    assert_close(actual.nngp, expected.nngp, quantity, scale(expected), dtype)
    assert_close(actual.ntk, expected.ntk, quantity, ntk_scale(expected), dtype)
    facts = 'is_gaussian', 'diagonal_spatial', 'batch_axis', 'channel_axis', 'shape1', 'shape2'
    for name in facts:
        assert getattr(actual, name) == getattr(expected, name), name


# ------------------------------------------------------------------ networks and their inputs

def axes_of(net: Layer) -> tuple[int, int]:
    """Return the batch axis and the channel axis of the network's inputs."""
    axes = net.demand(Demand()).axes
    return (0, -1) if axes is None else (axes.batch, axes.channel)


def laid_out(net: Layer, x: numpy.ndarray) -> numpy.ndarray:
    """Return inputs x (n, *positions, channels) in the layout of the network."""
    return numpy.moveaxis(x, (0, -1), axes_of(net))


def taken(net: Layer, x: numpy.ndarray, i: Any) -> numpy.ndarray:
    """Return some of the inputs, those with index i."""
    batch, _ = axes_of(net)
    return numpy.moveaxis(numpy.moveaxis(x, batch, 0)[i], 0, batch)


def output(net: Layer, shape: Shape) -> Any:
    """Return the `Signal` after the network."""
    return net.trace(input_signal(shape, net.demand(Demand())))


def applied(net: Layer, params: Tree, x: numpy.ndarray) -> Any:
    """Return the outputs of the finite network; None if there is none."""
    try:
        return net.apply_fn(params, x, rng=3)
    except NotImplementedError:
        return None


def after_dense(layer: Layer, shape: Shape, width: int = 5) -> Layer:
    """Return the layer behind a layer with weights, whose outputs are Gaussian."""
    batch, channel = axes_of(layer)
    return serial(Dense(width, 1.2, .4, batch_axis=batch, channel_axis=channel), layer)


def accepts(layer: Layer, x: numpy.ndarray) -> bool:
    """True if the layer takes inputs that are not Gaussian."""
    try:
        output(layer, x.shape)
    except (LayerError, NotImplementedError):
        return False
    return True
