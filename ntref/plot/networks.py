"""Pictures of networks: how fast finite ones come near the infinite one, and what depth does to angles."""
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy

from ..arguments import as_whole, as_wholes
from ..drawing import axes, ink, legend_above, styled
from ..empirical import empirical_kernel_fn
from ..no_arrays import check_on_host
from ..stax import Layer
from ..types import Array, Seed

__all__ = ['depth', 'width_convergence']

WIDTHS = 'out_dim', 'out_chan', 'n_chan_out', 'n_chan_key', 'n_chan_val'


def depth(net: Any, angles: Sequence[float] = (15, 45, 90, 135), *, ax: Any = None) -> Any:
    """Draw the angle between two inputs after each layer, for pairs of vectors of mean square 1 at several angles.

    Parameters
    ----------
    net : Layer                     a network of vectors.
    angles : sequence of float      angles of the inputs, between 0 and 180.                       [degrees]
    ax : matplotlib Axes            None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError : an angle that is none; and as for `kernel_fn`.
    """
    angles = [float(angle) for angle in angles]
    if not angles or not all(0 <= angle <= 180 for angle in angles):
        raise ValueError(f'depth: expected angles between 0 and 180 degrees, got {angles}.')
    ax = axes(ax)
    for i, angle in enumerate(angles):
        theta = numpy.radians(angle)
        x = 2 ** .5 * numpy.array([[1., 0.], [numpy.cos(theta), numpy.sin(theta)]])
        explanation = net.explain(x)
        explanation.plot(ax, label=f'{angle:g}°', **styled(i))
    legend_above(ax, 'angle of the inputs')
    return ax


def width_convergence(net: Any, x: Array, widths: Sequence[int] = (16, 32, 64, 128, 256, 512), get: str = 'nngp', *,
                      samples: int = 10, rng: Seed = 0, ax: Any = None) -> Any:
    """Draw how far the kernels of finite networks at initialization are from that of the infinite one, against width.

    A point is a network: the distance |K_n - K| / |K| of the matrices, in the norm of Frobenius. The line is the root
    of the mean square; distances fall like 1 / sqrt(width), the dotted line.

    Parameters
    ----------
    net : Layer or function         a network, whose layers but for the last with weights get each width in place of
        their own; or a function that takes a width and returns a network.
    x : array (n, ...)              inputs.
    widths : sequence of int        at least one.
    get : str                       'nngp' or 'ntk'.
    samples : int                   networks of each width.
    rng : int                       seed.
    ax : matplotlib Axes            None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError : `net` is neither. ValueError : a width or number of samples below 1; and as for `kernel_fn`.
    """
    widths = as_wholes(widths, 'width_convergence: widths', 1)
    samples = as_whole(samples, 'width_convergence: samples', 1)
    if not widths:
        raise ValueError('width_convergence: expected at least one width, got none.')
    check_on_host(x, 'width_convergence: x')
    distances = numpy.array([_distances(_of_width(net, width), x, get, samples, rng) for width in widths])
    ax = axes(ax)
    means = numpy.sqrt(numpy.mean(distances ** 2, 1))
    ax.plot(widths, means, **styled(0), label='root of the mean square')
    ax.plot(numpy.repeat(widths, samples), distances.ravel(), 'o', color=styled(0)['color'], markersize=3, alpha=.5,
            label=f'each of {samples} networks')
    ax.plot(widths, means[0] * numpy.sqrt(widths[0] / numpy.array(widths)), ':', color=ink(), label='1 / √width')
    ax.set(xscale='log', yscale='log', xlabel='width n', ylabel=f'|Kₙ - K| / |K|, {get}')
    ax.set_xticks(widths, [str(n) for n in widths])
    ax.minorticks_off()
    ax.legend()
    return ax


def _of_width(net, width):
    """Return the network of this width."""
    if isinstance(net, Layer):
        return _widened(net, width)
    if not isinstance(net, Callable) or isinstance(net, type):
        raise TypeError(f'width_convergence: expected a network, or a function of the width, got {type(net).__name__}.')
    return net(width)


def _widened(net, width):
    """Return the network whose layers have this width, but for the last that has one."""
    places = []

    def found(layer, path):
        places.extend([path] * any(hasattr(layer, name) for name in WIDTHS))
        return layer
    net.mapped(found)

    def widened(layer, path):
        if path not in places[:-1]:
            return layer
        return replace(layer, **{name: width for name in WIDTHS if hasattr(layer, name)})
    return net.mapped(widened)


def _distances(net, x, get, samples, rng):
    """Return |K_n - K| / |K| of each of so many networks."""
    infinite = net.kernel_fn(x, None, get)
    kernel_fn = empirical_kernel_fn(net.apply_fn)
    seeds = numpy.random.SeedSequence(rng).spawn(samples)

    def distance(seed):
        params = net.init_fn(numpy.random.default_rng(seed), x.shape)[1]
        return numpy.linalg.norm(kernel_fn(x, None, get, params) - infinite) / numpy.linalg.norm(infinite)
    return [distance(seed) for seed in seeds]
