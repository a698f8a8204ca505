"""Pictures of kernels: against the angle, as a matrix, by their eigenvalues."""
from collections.abc import Sequence
from typing import Any

import numpy

from ..arguments import as_whole, as_wholes
from ..arrays import as_floats
from ..drawing import axes, ink, legend_above, styled
from ..no_arrays import check_on_host, no_array
from ..stax import serial
from ..types import Array

__all__ = ['heatmap', 'kernel_against_angle', 'spectrum']

NEAR = 1000          # eigenvalues are shown with their rounding if they are less than so many times it


def kernel_against_angle(net: Any, depths: Sequence[int] | None = None, get: str = 'ntk', *, points: int = 181,
                         ax: Any = None) -> Any:
    """Draw the kernel of two inputs of mean square 1 against the angle between them, relative to its value at 0.

    Parameters
    ----------
    net : Layer                     a network of vectors or, with `depths`, a block of one, such as
        serial(Dense(512, 1.5), Relu()).
    depths : sequence of int        how often the block is repeated, a line for each. None: `net` as it is.
    get : str                       'nngp' or 'ntk'.
    points : int                    number of angles between 0 and 180 degrees.
    ax : matplotlib Axes            None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError : a depth below 1, fewer than two points, a kernel that is 0 at angle 0; and as for `kernel_fn`.

    Examples
    --------
    >>> from ntref import plot, stax
    >>> ax = plot.kernel_against_angle(stax.serial(stax.Dense(1, 2 ** .5), stax.Relu()), [1, 3], 'nngp')
    >>> [line.get_label() for line in ax.lines], float(ax.lines[0].get_ydata()[0])
    (['depth 1', 'depth 3'], 1.0)
    """
    points = as_whole(points, 'kernel_against_angle: points', 2)
    nets = {'': net}
    if depths is not None:
        depths = as_wholes(depths, 'kernel_against_angle: depths', 1)
        nets = {f'depth {n}': serial(*[net] * n) for n in depths}
    angles = numpy.linspace(0, numpy.pi, points)
    x = 2 ** .5 * numpy.stack([numpy.cos(angles), numpy.sin(angles)], -1)
    ax = axes(ax)
    for i, (label, each) in enumerate(nets.items()):
        k = each.kernel_fn(x[:1], x, get)[0]
        if not k[0] > 0:
            raise ValueError(f'kernel_against_angle: expected a kernel above 0 at angle 0, got {k[0]} of '
                             f'{each!r:.200}.')
        ax.plot(numpy.degrees(angles), k / k[0], **styled(i), label=label)
    ax.set(xlabel='angle between the inputs [degrees]', ylabel=f'{get} / {get} at angle 0', xlim=(0, 180))
    ax.set_xticks(range(0, 181, 30))
    if depths is not None:
        legend_above(ax)
    return ax


def heatmap(k: Array, *, label: str = '', ax: Any = None) -> Any:
    """Draw a kernel as a matrix of colours (viridis), with a scale.

    Parameters
    ----------
    k : array (n1, n2)          a kernel.                                                          [output^2]
    label : str                 what the scale says.
    ax : matplotlib Axes        None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError : k is no array, such as a `Kernel`. ValueError : k has other than two axes, NaN or infinity.
    """
    k = _matrix(k, 'heatmap')
    ax = axes(ax)
    image = ax.imshow(k, cmap='viridis', interpolation='nearest')
    ax.figure.colorbar(image, ax=ax, label=label)
    ax.set(xlabel='input of x2', ylabel='input of x1')
    return ax


def spectrum(k: Array, *, label: str | None = None, ax: Any = None) -> Any:
    """Draw the eigenvalues of a kernel in falling order; a dotted line at n eps times the largest is their rounding.

    The line is drawn if eigenvalues come near it. Those that are not above 0 are left out: they are rounding, too.

    Parameters
    ----------
    k : array (n, n)            a symmetric kernel.                                                [output^2]
    label : str, optional       the name of the line in the legend.
    ax : matplotlib Axes        None: a new figure; several kernels may be drawn on the same axes.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError : k is no array. ValueError : k is not square, or not symmetric beyond rounding (half of the digits).
    """
    k = _matrix(k, 'spectrum')
    eps = numpy.finfo(k.dtype).eps
    if k.shape[0] != k.shape[1] or abs(k - k.T).max() > eps ** .5 * abs(k).max():
        raise ValueError(f'spectrum: expected a symmetric matrix, kernel_fn(x, None, get), got one of shape {k.shape}'
                         f'{" that is not symmetric" if k.shape[0] == k.shape[1] else ""}.')
    values = numpy.linalg.eigvalsh(k)[::-1]
    positive = values[values > 0]
    ax = axes(ax)
    style = styled(sum(line.get_gid() == 'spectrum' for line in ax.lines))
    line, = ax.plot(range(1, len(positive) + 1), positive, **style, marker='o', markersize=3, label=label)
    line.set_gid('spectrum')
    rounding = len(k) * eps * values[0]
    if values[-1] < NEAR * rounding:
        ax.axhline(rounding, color=ink(), linewidth=.8, linestyle=':')
    ax.set(xscale='log', yscale='log', xlabel='number of the eigenvalue', ylabel='eigenvalue')
    if label is not None:
        ax.legend()
    return ax


def _matrix(k, name):
    """Return an array of two axes with entries; raise an error that says `name` otherwise."""
    if hasattr(k, 'nngp') or hasattr(k, 'ntk'):
        raise no_array(k, f'{name}: k to be an array, such as its nngp or ntk')
    check_on_host(k, f'{name}: k')
    k, = as_floats(k)
    if k.ndim != 2 or not k.size or not numpy.isfinite(k).all():
        raise ValueError(f'{name}: expected a matrix of finite numbers, got shape {k.shape}'
                         f'{" with NaN or infinity" if k.ndim == 2 and k.size else ""}.')
    return k
