"""Panels that resolve one function, its Hermite coefficients, and Gauss-Hermite nodes."""
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy.special import erfc

from ..no_arrays import check_entries

__all__ = ["Panels", "QuadratureError", "call", "expand", "gauss_hermite", "resolve"]

ORDER, SMOOTH = 24, 16                      # nodes of a panel; degree below which functions must be on their panels
REACHES = (12, 16, 21, 28, 37, 50)          # ranges tried, in standard deviations; exp(-50**2/4) is still a float
MAX_PANELS = 20_000
EPS = np.finfo(float).eps
ROUNDING = 2e-15                            # rounding error of any result, relative to its scale; measured

LEGENDRE_X = np.polynomial.legendre.leggauss(ORDER)[0]
LEGENDRE_W = 1 / (np.polynomial.legendre.legvander(LEGENDRE_X, ORDER - 1)**2 @ (np.arange(ORDER) + .5))
PROBES = np.concatenate([[-1 + 2e-13], LEGENDRE_X, [1 - 2e-13]])    # the ends show features beyond the last node


def _unresolved():
    """Return the matrix from values at PROBES to high Legendre coefficients and misses at the ends.

    Its shape is (ORDER + 2, ORDER - SMOOTH + 2).
    """
    legendre = np.polynomial.legendre.legvander(PROBES, ORDER - 1)
    coefficient = np.linalg.inv(legendre[1:-1])
    matrix = np.zeros((ORDER + 2, ORDER - SMOOTH + 2))
    matrix[1:-1] = np.concatenate([coefficient[SMOOTH:].T, -(legendre[[0, -1]] @ coefficient).T], axis=1)
    matrix[0, -2] = matrix[-1, -1] = 1.
    return matrix


UNRESOLVED = _unresolved()


class QuadratureError(ArithmeticError):
    """Error for a tolerance that cannot be reached: the integrand is not finite, grows too fast or is not resolved."""


class Panels(NamedTuple):
    """A function on the panels that resolve it for all of its standard deviations (sorted, distinct)."""

    f: object
    std: np.ndarray         # (n,)
    norm: np.ndarray        # (n,)      sqrt(E f(std x)**2)
    reach: float            # the range is |x| <= reach
    edges: np.ndarray       # (p + 1,)  ends of the panels, in units of f's argument
    rough: np.ndarray       # (.,)      edges about which f is not a polynomial of degree < SMOOTH
    error: float            # error of f as a polynomial on each panel, relative to norm


def gauss_hermite(deg):
    r"""Return nodes and weights with :math:`\sum_i w_i p(x_i) = E[p(x)]`, x standard normal, p of degree < 2 deg.

    Parameters
    ----------
    deg : int >= 1              number of nodes

    Returns
    -------
    x, w : array (deg,)         ascending nodes; weights of sum 1 (from deg = 370 on the outermost underflow to 0)

    Raises
    ------
    ValueError                  deg is not an integer from 1 to 600

    Accuracy
    --------
    Moments E x**p, p < 80, and E exp(x / 2): 2e-15 relative for deg up to 600.

    Source
    ------
    Nodes: eigenvalues of the Jacobi matrix, Golub, Welsch 1969 (Math. Comp. 23), improved by one Newton step. Weights:
    :math:`w = \varphi(x) / \sum_{n < deg} \psi_n(x)^2`, with Hermite functions, which do not overflow.

    Examples
    --------
    >>> x, w = gauss_hermite(20)
    >>> bool(abs(w @ x**4 - 3) < 1e-13)
    True
    """
    if not isinstance(deg, Real) or not 1 <= deg <= 600 or deg != int(deg):
        raise ValueError(f"deg must be an integer from 1 to 600, got {deg!r:.100}")
    deg = int(deg)
    roots = np.sqrt(np.arange(1., deg))
    x = np.linalg.eigvalsh(np.diag(roots, -1))
    x = (x - x[::-1]) / 2
    for last in (False, True):
        total = 0.
        previous = 0.
        current = root_density(x)
        for n in range(deg):
            total = total + current**2
            previous, current = current, (x * current - np.sqrt(n) * previous) / np.sqrt(n + 1)
        if not last:
            x = x - current / (np.sqrt(deg) * previous)
    w = root_density(x)**2 / total
    return x, w / w.sum()


def root_density(x):
    """Return sqrt(phi(x)), which is also the zeroth Hermite function."""
    return np.exp(-x**2 / 4) / (2 * np.pi)**.25


# ---- range, panels and Hermite coefficients of a function ----

def real(name, a):
    """Return numbers as an array of floats; raise TypeError, with the name, for anything else."""
    check_entries(a, name)
    try:
        found = np.asarray(a)
        if found.dtype.kind in "biuf" or found.dtype.hasobject and found.size:
            return found.astype(float, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{name} must be real numbers, got {a!r:.100} of type {type(a).__name__}")


def call(f, u):
    """Return f(u), after checks of its type, shape and finiteness."""
    with np.errstate(all="ignore"):
        y = f(u)
    check_entries(y, "what a function returns")
    y = np.asarray(y)
    if y.shape != u.shape or y.dtype.kind not in "fiub":
        raise ValueError(f"a function must map a float array to real numbers of the same shape: "
                         f"expected {u.shape}, got {y.shape} of dtype {y.dtype}")
    y = y.astype(float, copy=False)
    if not np.all(np.isfinite(y)):
        bad = ~np.isfinite(y)
        raise QuadratureError(f"the integrand must be finite, got {y[bad][0]} at {u[bad][0]}: mend the function there, "
                              "or it grows too fast for these variances")
    return y


def reach_of(f, std):
    """Return the number of standard deviations beyond which f**2 phi is negligible, for every standard deviation."""
    for reach in REACHES:
        x = np.linspace(-reach, reach, 20 * reach + 1)
        density = np.abs(call(f, std[:, None] * x)) * root_density(x)
        peak = density.max(axis=1, keepdims=True)
        if np.any((peak > 1e140) | (peak < 1e-140) & (peak > 0)):
            raise QuadratureError(f"E f**2 must be a float (or 0), got {density.max():.3g}**2: divide the function by "
                                  "its typical size, unless it grows too fast for these variances")
        further = call(f, std[peak[:, 0] == 0, None] * np.linspace(-38, 38, 761))      # beyond, phi underflows
        if np.all(density[:, np.abs(x) > reach - 1] <= 1e-14 * peak) and not np.any(further):
            return reach
    raise QuadratureError(f"f(u)**2 times the density of u must be negligible at {reach} standard deviations, is not "
                          f"for variances up to {std.max()**2:.3g}: the function grows too fast")


def resolve(f, kinks, std, reach, rtol):
    """Return Panels on which f is a polynomial of degree < SMOOTH to the tolerance."""
    typical = np.unique(np.where(std > 0, std, std.max() or 1.))
    small, far = typical[0], reach * typical[-1]
    typical = typical[np.unique(np.linspace(0, typical.size - 1, 16).astype(int))]
    fixed = np.unique(np.clip([-far, 0., far, *kinks], -far, far))
    doubling = small * 2.**np.arange(-2, np.log2(far / small))
    tol = max(rtol / 300, min(rtol / 30, 3e-14))            # for one panel; errors of many add up
    edges, norm = _bisect(f, np.union1d(fixed, [-doubling, doubling]), typical, tol)
    edges = _join(f, edges, fixed, typical, tol * norm)
    missed = _survey(f, edges[:-1], edges[1:], typical)[0]
    error = np.max(np.sqrt(np.sum(missed**2, axis=0)) / np.where(norm > 0, norm, 1.)) + ROUNDING / 2
    if error > rtol:
        raise QuadratureError(f"rtol = {rtol} is not reached: a function is resolved to {error:.2g} only; name its "
                              "kinks, raise rtol, or mend noise in its values")
    rough = np.union1d(fixed, _rough(f, edges, typical, tol * norm))
    return Panels(f, std, expand(f, edges, std, reach, 1)[1], reach, edges, rough, error)


def _survey(f, a, b, std):
    """Return L2 norms (p, n) of f (std x) on panels (a, b) in u: of the part not resolved, and of all of it."""
    half, mid = (b - a)[:, None] / 2, (a + b)[:, None] / 2
    u = mid + half * PROBES
    y = call(f, u)
    density = y[:, 1:-1, None] * root_density(u[:, 1:-1, None] / std)
    norm = np.sqrt(np.einsum("n,pns->ps", LEGENDRE_W, density**2) * half / std)
    mass = np.abs(erfc(np.abs(a)[:, None] / std / 2**.5) - erfc(np.abs(b)[:, None] / std / 2**.5)) / 2
    tail = np.abs(y @ UNRESOLVED).max(axis=1, keepdims=True)
    return tail * np.where(tiny(a, b)[:, None], mass, np.sqrt(mass)), norm     # a jump is located: its L1 norm counts


def tiny(a, b):
    """True if a panel cannot be bisected further, for each panel."""
    return b - a <= np.maximum(8 * EPS * np.maximum(np.abs(a), np.abs(b)), 1e-30)


def _bisect(f, edges, std, tol):
    """Return the edges (p + 1,) of panels that resolve f to tol, relative to its norms (n,), and these norms."""
    a = edges[:-1]
    b = edges[1:]
    found = [edges[-1:]]
    count = 0
    squares = 0.
    while a.size:
        count += a.size
        if count > MAX_PANELS:
            raise QuadratureError(f"a function is not resolved by {MAX_PANELS} panels, e.g. near {a[0]:.6g}: name its "
                                  "kinks, raise rtol, or mend noise in its values")
        missed, part = _survey(f, a, b, std)
        norm = np.sqrt(squares + np.sum(part**2, axis=0))
        done = np.all(missed <= tol * norm, axis=1) | tiny(a, b)
        squares = squares + np.sum(part[done]**2, axis=0)
        found.append(a[done])
        a, b = a[~done], b[~done]
        a, b = np.concatenate([a, (a + b) / 2]), np.concatenate([(a + b) / 2, b])
    return np.sort(np.concatenate(found)), norm


def _join(f, edges, fixed, std, tol):
    """Join neighbouring panels while the joint panel is resolved to tol (n,) and no fixed edge is lost."""
    idle = 0
    while idle < 2:
        inner = np.arange(1 + idle, edges.size - 1, 2)
        inner = inner[~np.isin(edges[inner], fixed)]
        joint = np.all(_survey(f, edges[inner - 1], edges[inner + 1], std)[0] <= tol, axis=1)
        edges = np.delete(edges, inner[joint])
        idle = 0 if np.any(joint) else idle + 1
    return edges


def _rough(f, edges, std, tol):
    """Return inner edges that are not the middle of a panel, as wide as the wider neighbour, that resolves f to tol."""
    widths, middle = np.diff(edges), edges[1:-1]
    half = np.maximum(widths[1:], widths[:-1]) / 2
    a = np.maximum(middle - half, edges[0])
    b = np.minimum(middle + half, edges[-1])
    return middle[(a * b <= 0) | ~np.all(_survey(f, a, b, std)[0] <= tol, axis=1)]


def expand(f, edges, std, reach, degree):
    """Return the Hermite coefficients (degree, n) of f(std x), relative to the norms (n,), and these norms."""
    width = min(2., 14 / np.sqrt(degree))                   # a Hermite function oscillates with frequency sqrt(degree)
    grid = np.linspace(-reach, reach, int(2 * reach / width) + 2)
    r = np.empty((degree, std.size))
    norm = np.empty(std.size)
    rows = max(1, 30_000 // (ORDER * (grid.size + edges.size)))     # keep the recurrence in the cache
    for start in range(0, std.size, rows):
        block = slice(start, start + rows)
        s = std[block, None]
        x, weight = nodes(merge(grid, edges / np.where(s > 0, s, 1.), reach))
        density = call(f, s * x) * root_density(x)
        norm[block] = np.sqrt(np.sum(weight * density**2, axis=1))
        weight *= density
        previous, current = np.zeros_like(x), root_density(x)
        for n in range(degree):
            np.einsum("sn,sn->s", weight, current, out=r[n, block])
            previous *= -np.sqrt(n)
            previous += x * current
            previous /= np.sqrt(n + 1)
            previous, current = current, previous
    return r / np.where(norm > 0, norm, 1.), norm


def merge(grid, edges, reach):
    """Return sorted ends (n, p) of panels in (-reach, reach), of a grid (.) common to all rows and edges (n, .)."""
    grid = np.broadcast_to(grid, edges.shape[:1] + grid.shape)
    return np.sort(np.clip(np.concatenate([grid, edges], axis=1), -reach, reach), axis=1)


def nodes(ends):
    """Return Gauss-Legendre nodes and weights (n, p * ORDER) on panels with ends (n, p + 1)."""
    half = np.diff(ends)[..., None] / 2
    mid = (ends[:, 1:] + ends[:, :-1])[..., None] / 2
    shape = len(ends), half.shape[1] * ORDER
    return (mid + half * LEGENDRE_X).reshape(shape), (half * LEGENDRE_W).reshape(shape)
