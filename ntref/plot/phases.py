"""Phase diagrams: order and chaos over the plane of W_std and b_std."""
from typing import Any

import numpy

from ..drawing import axes
from ..duals.pair import Pair
from ..types import Array

__all__ = ['fixed_points', 'located', 'moments', 'phase_diagram']

SMALLEST, LARGEST, STEPS = 1e-4, 100., 2000          # variances of fixed points that are looked at
ROUNDING = 1e-9                                      # of W_std^2, which does not depend on q for ReLU without bias
LEVELS = .1, .3, 1., 3.                              # variances along which thin lines are


def fixed_points(activation: Any, W_std: Array, b_std: Array) -> tuple[Array, Array]:
    r"""Return the variance q* to which deep networks go, and chi, by which distances of near inputs grow in a layer.

    .. math::
        q^\ast = \sigma_w^2\, E\phi(\sqrt{q^\ast} z)^2 + \sigma_b^2, \qquad
        \chi = \sigma_w^2\, E\phi'(\sqrt{q^\ast} z)^2

    Parameters
    ----------
    activation : Layer              a nonlinearity, such as stax.Tanh().
    W_std, b_std : array (n,), (m,) the grid.

    Returns
    -------
    q*, chi : arrays (m, n)         NaN where variances grow beyond 100; q* = 1e-4 where they vanish.

    Accuracy
    --------
    Errors of 3e-5: q* is the parameter along rows of 2000 points.

    Source
    ------
    Schoenholz et al. 2017 (arXiv:1611.01232); docs/theory/dense.md#phase-diagrams.
    """
    return located(moments(activation), W_std, b_std)


def moments(activation: Any) -> tuple[Array, Array, Array]:
    """Return variances q, and E phi(u)^2 and E phi'(u)^2 of Gaussian u of these variances."""
    q = numpy.geomspace(SMALLEST, LARGEST, STEPS)
    cov, slope = activation.dual(Pair.same(q))               # E phi^2 and E phi'^2 of sqrt(q) z
    return q, cov.k, slope


def located(found: tuple[Array, Array, Array], W_std: Array, b_std: Array) -> tuple[Array, Array]:
    """Return q* and chi as `fixed_points` does, of the `moments` of the nonlinearity."""
    q, second, slope = found
    rows = []
    for b in numpy.asarray(b_std):
        w2 = (q - b ** 2) / second                           # W_std^2 for which q is fixed
        stable = _rising(w2)
        rows.append(numpy.interp(W_std ** 2, w2[stable], q[stable], right=numpy.nan))
    fixed = numpy.stack(rows)
    chi = W_std ** 2 * numpy.interp(fixed, q, slope)
    return fixed, chi


def _rising(w2):
    """Return the slice up to where w2 first falls: q is stable where it rises, and beyond variances grow."""
    falls = numpy.diff(w2) < -ROUNDING * abs(w2[1:])
    return slice(1 + falls.argmax()) if falls.any() else slice(None)


def phase_diagram(activation: Any, W_std: Array | None = None, b_std: Array | None = None, *, ax: Any = None) -> Any:
    """Draw chi over the plane of W_std and b_std, the line where it is 1, and thin lines of equal variance q*.

    Below 1 (blue) is order: nearly equal inputs become equal in depth. Above 1 (red) is chaos: they become different.
    Grey: variances grow beyond 100.

    Parameters
    ----------
    activation : Layer              a nonlinearity, such as stax.Tanh().
    W_std, b_std : array            the grid, rising. None: 0.5 to 3, and 0.05 to 1.
    ax : matplotlib Axes            None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError : something else than a nonlinearity. ValueError : a grid of other than one axis.

    Accuracy, Source
    ----------------
    As for `fixed_points`; docs/theory/dense.md#phase-diagrams.
    """
    if isinstance(activation, type) or not hasattr(activation, 'dual'):
        raise TypeError(f'phase_diagram: expected a nonlinearity such as stax.Tanh(), got {activation!r:.100}.')
    W_std = numpy.linspace(.5, 3., 300) if W_std is None else numpy.asarray(W_std, float)
    b_std = numpy.linspace(.05, 1., 250) if b_std is None else numpy.asarray(b_std, float)
    if not all(grid.ndim == 1 and len(grid) > 1 for grid in (W_std, b_std)):
        raise ValueError(f'phase_diagram: expected W_std and b_std as arrays of one axis, of two numbers or more, got '
                         f'shapes {W_std.shape} and {b_std.shape}.')
    q, chi = fixed_points(activation, W_std, b_std)
    ax = axes(ax)
    shown = ax.pcolormesh(W_std, b_std, chi, cmap='RdBu_r', vmin=0, vmax=2, shading='nearest', rasterized=True)
    ax.figure.colorbar(shown, ax=ax, label='χ: order < 1 < chaos', extend='max')
    if numpy.nanmin(chi) < 1 < numpy.nanmax(chi):
        ax.contour(W_std, b_std, chi, [1.], colors='black', linewidths=1.5)
    levels = [level for level in LEVELS if numpy.nanmin(q) < level < numpy.nanmax(q)]
    if levels:
        lines = ax.contour(W_std, b_std, q, levels, colors='black', linewidths=.5)
        ax.clabel(lines, fontsize=7)
    ax.set(title=repr(activation), xlabel='W_std', ylabel='b_std', facecolor='lightgrey')
    return ax
