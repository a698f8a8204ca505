"""Random finite networks, and tests that a kernel is their mean, as they are or as they grow."""
from collections.abc import Callable
from typing import Any

import numpy
from autograd import make_vjp
from scipy.stats import t as student

from ..arrays import namespace
from ..recursion.positions import diagonal
from ..stax import Dense, Erf, Layer, serial
from ..trees import leaves, rebuilt
from ..types import Seed
from .comparing import accepts, after_dense, applied, output, taken

__all__ = ['LEVEL', 'ROUND', 'chance', 'check_mean', 'draws', 'empirical_ntk', 'finite_nngp',
           'finite_ntk', 'second_moment']

LEVEL = 1e-4            # probability that a test refuses a kernel that is right
WIDTHS = 64, 128
ROUND = 64              # networks that are drawn at a time


def second_moment(net: Layer, x: numpy.ndarray, rng: Seed, **given: Any) -> numpy.ndarray:
    """Return the mean of h h' over the channels of one network, of shape (n, n, h, h', w, w', ...).

    The inputs x have shape (n, ..., channels).
    """
    axes = output(net, x.shape).axes
    _, params = net.init_fn(rng, x.shape)
    h = net.apply_fn(params, x, rng=rng, **given)
    h = numpy.moveaxis(h, (axes.batch, axes.channel), (0, -1))
    rows = h.reshape(-1, h.shape[-1])
    return _paired(rows @ rows.T / h.shape[-1], h.shape[:-1])


def empirical_ntk(net: Layer, x: numpy.ndarray, rng: Seed, **given: Any) -> numpy.ndarray:
    """Return J J', summed over all parameters, of one network with a single output channel."""
    _, params = net.init_fn(rng, x.shape)
    axes = output(net, x.shape).axes

    def outputs(arrays):
        h = net.apply_fn(rebuilt(params, arrays), x, rng=rng, **given)
        return namespace(h).moveaxis(h, (axes.batch, axes.channel), (0, -1))[..., 0]
    pull_back, h = make_vjp(outputs)(leaves(params))
    basis = numpy.eye(h.size).reshape(h.size, *h.shape)
    rows = numpy.stack([numpy.concatenate([g.ravel() for g in pull_back(e)]) for e in basis])
    return _paired(rows @ rows.T, h.shape)


def _paired(products, shape):
    """Return products (n h w, n h w) as (n, n, h, h', w, w'), for shape = (n, h, w)."""
    m = len(shape)
    order = [axis for i in range(m) for axis in (i, m + i)]
    return products.reshape(*shape, *shape).transpose(order)


def draws(
        statistic: Callable, net: Layer, x: numpy.ndarray, rng: numpy.random.Generator, n: int,
        **given: Any) -> numpy.ndarray:
    """Return the statistic of n independent networks."""
    return numpy.array([statistic(net, x, generator, **given) for generator in rng.spawn(n)])


def chance(samples: numpy.ndarray, kernel: Any) -> float:
    """Return a bound on the probability of as large a |mean - kernel| in any entry, if the kernel is right.

    Each |mean - kernel| in standard errors, which come from the scatter of the n samples, is Student's t with n - 1
    degrees of freedom; the bound is for the largest of all entries.
    """
    kernel = numpy.asarray(kernel)
    assert samples.shape[1:] == kernel.shape, (samples.shape[1:], kernel.shape)
    error = samples.std(0, ddof=1) / len(samples) ** .5
    floor = 1e-9 * abs(kernel).max() + 1e-300         # for entries that are the same in each sample
    worst = (abs(samples.mean(0) - kernel) / (error + floor)).max()
    return 2 * error.size * student.sf(worst, len(samples) - 1)


def check_mean(samples: numpy.ndarray, kernel: Any, notices: float) -> None:
    """Assert that the samples have this mean and are enough to refuse a kernel larger by a factor of 1 + notices."""
    p = chance(samples, kernel)
    mean = samples.mean(0)
    error = samples.std(0, ddof=1) / len(samples) ** .5
    i = abs(mean - kernel).argmax()
    assert p > LEVEL, (
        f'the kernel is {numpy.asarray(kernel).flat[i]:.4g} and {len(samples)} finite networks have '
        f'{mean.flat[i]:.4g} +- {error.flat[i]:.2g} where they differ most: of chance {p:.2g}')
    assert chance(samples, (1 + notices) * kernel) < LEVEL or not numpy.any(kernel), (
        f'{len(samples)} finite networks scatter too much to notice an error of {notices:.0%}')


# ------------------------------------------------------------------ contracts

def finite_nngp(
        layer: Layer | Callable[[int], Layer], x: numpy.ndarray, most: int = 4096,
        notices: float = .15) -> str | None:
    """NNGP is the mean over finite networks as they grow, and the outputs are Gaussian if the layer says so."""
    def behind(n):
        return after_dense(make(n), x.shape, n)

    def gaussian(n):
        return serial(behind(n), Erf(1., 1.5))
    make = _maker(layer)
    x = taken(make(2), x, slice(3))
    nets = [behind]
    if accepts(make(2), x):
        nets.append(make)
    if output(behind(2), x.shape).is_gaussian:
        nets.append(gaussian)
    return [_check_limit(second_moment, net, x, 'nngp', most, notices) for net in nets][0]


def finite_ntk(
        layer: Layer | Callable[[int], Layer], x: numpy.ndarray, most: int = 2048,
        notices: float = .15) -> str | None:
    """NTK is the mean of J J' over finite networks as they grow, J the Jacobian in all parameters."""
    def behind(n):
        return serial(after_dense(make(n), x.shape, n), readout)
    make = _maker(layer)
    x = taken(make(2), x, slice(2))
    axes = output(after_dense(make(2), x.shape), x.shape).axes
    readout = Dense(1, 1.1, .3, axes.batch, axes.channel)
    return _check_limit(empirical_ntk, behind, x, 'ntk', most, notices)


def _maker(layer):
    """Return a function from the width to the layer."""
    return (lambda width: layer) if isinstance(layer, Layer) else layer


def _check_limit(statistic, net, x, name, most, notices):
    """Check the infinite width against widths n and 2 n, of which 2 C(2 n) - C(n) has no correction of order 1 / n."""
    if applied(net(2), net(2).init_fn(0, x.shape)[1], x) is None:
        return 'no finite network'
    narrow, wide = map(net, WIDTHS)
    samples = None
    rng = numpy.random.default_rng(0)
    k = wide.kernel_fn(x)
    kernel = 2 * getattr(k, name) - narrow.kernel_fn(x, get=name)   # Theta of 'standard' has the width
    larger = (1 + notices) * kernel
    while samples is None or len(samples) < most and chance(samples, larger) > LEVEL:
        new = 2 * draws(statistic, wide, x, rng, ROUND) - draws(statistic, narrow, x, rng, ROUND)
        if k.diagonal_spatial:
            new = numpy.array([diagonal(s, 2) for s in new])
        samples = new if samples is None else numpy.concatenate([samples, new])
    check_mean(samples, kernel, notices)
    return None
