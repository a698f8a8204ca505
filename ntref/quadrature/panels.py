"""Panels that resolve one function, its Hermite coefficients, and Gauss-Hermite nodes."""
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import numpy
from numpy.polynomial.legendre import leggauss, legvander
from scipy.special import erfc

from ..no_arrays import check_entries

__all__ = ['Function', 'Panels', 'QuadratureError', 'call', 'expand', 'gauss_hermite', 'resolve']

Function: TypeAlias = Callable[[numpy.ndarray], Any]      # elementwise, on arrays of any shape

ORDER = 24               # nodes of a panel
SMOOTH = 16              # degree below which functions must be on their panels
REACHES = (12, 16, 21, 28, 37, 50)       # in standard deviations; exp(-50**2/4) is still a float
MAX_PANELS = 20_000
EPS = numpy.finfo(float).eps
ROUNDING = 2e-15         # rounding error of any result, relative to its scale; measured

LEGENDRE_X = leggauss(ORDER)[0]
LEGENDRE_W = 1 / (legvander(LEGENDRE_X, ORDER - 1) ** 2 @ (numpy.arange(ORDER) + .5))
PROBES = numpy.concatenate([[-1 + 2e-13], LEGENDRE_X, [1 - 2e-13]])   # ends: beyond the last node


def _unresolved():
    """Return the matrix from values at PROBES to high Legendre coefficients and misses at the ends.

    Its shape is (ORDER + 2, ORDER - SMOOTH + 2).
    """
    legendre = legvander(PROBES, ORDER - 1)
    coefficient = numpy.linalg.inv(legendre[1:-1])
    at_ends = legendre[[0, -1]] @ coefficient
    matrix = numpy.zeros((ORDER + 2, ORDER - SMOOTH + 2))
    matrix[1:-1] = numpy.concatenate([coefficient[SMOOTH:].T, -at_ends.T], axis=1)
    matrix[0, -2] = matrix[-1, -1] = 1.
    return matrix


UNRESOLVED = _unresolved()


class QuadratureError(ArithmeticError):
    """Error for a tolerance that cannot be reached: the integrand is not finite, grows too fast or is not resolved."""


class Panels(NamedTuple):
    """A function on the panels that resolve it for all of its standard deviations (sorted, distinct)."""

    f: Function
    std: numpy.ndarray          # (n,)
    norm: numpy.ndarray         # (n,)      sqrt(E f(std x)**2)
    reach: int                  # the range is |x| <= reach
    edges: numpy.ndarray        # (p + 1,)  ends of the panels, in units of f's argument
    rough: numpy.ndarray        # (.,)      edges about which f is no polynomial of degree < SMOOTH
    error: float                # error of f as a polynomial on each panel, relative to norm


def gauss_hermite(deg: int) -> tuple[numpy.ndarray, numpy.ndarray]:
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
        raise ValueError(f'expected deg to be a whole number from 1 to 600, got {deg!r:.100}.')
    deg = int(deg)
    roots = numpy.sqrt(numpy.arange(1., deg))
    x = numpy.linalg.eigvalsh(numpy.diag(roots, -1))
    x = (x - x[::-1]) / 2
    for last in (False, True):
        total = 0.
        previous = 0.
        current = root_density(x)
        for n in range(deg):
            total = total + current ** 2
            following = (x * current - numpy.sqrt(n) * previous) / numpy.sqrt(n + 1)
            previous, current = current, following
        if not last:
            x = x - current / (numpy.sqrt(deg) * previous)
    w = root_density(x) ** 2 / total
    return x, w / w.sum()


def root_density(x):
    """Return sqrt(phi(x)), which is also the zeroth Hermite function."""
    return numpy.exp(-x ** 2 / 4) / (2 * numpy.pi) ** .25


# ------------------------------------------------------------------ one function

def real(name: str, a: Any) -> numpy.ndarray:
    """Return numbers as an array of floats; raise TypeError, with the name, for anything else."""
    check_entries(a, name)
    try:
        found = numpy.asarray(a)
        if found.dtype.kind in 'biuf' or found.dtype.hasobject and found.size:
            return found.astype(float, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(
        f'expected {name} to be real numbers, got {a!r:.100} of type {type(a).__name__}.')


def call(f: Function, u: numpy.ndarray) -> numpy.ndarray:
    """Return f(u), after checks of its type, shape and finiteness."""
    with numpy.errstate(all='ignore'):
        y = f(u)
    check_entries(y, 'what a function returns')
    y = numpy.asarray(y)
    if y.shape != u.shape or y.dtype.kind not in 'fiub':
        raise ValueError(
            'expected a function from a float array to real numbers of the same shape, '
            f'{u.shape}, got {y.shape} of dtype {y.dtype}.')
    y = y.astype(float, copy=False)
    if not numpy.all(numpy.isfinite(y)):
        bad = ~numpy.isfinite(y)
        raise QuadratureError(
            f'expected a finite integrand, got {y[bad][0]} at {u[bad][0]}. Mend the function '
            'there, unless it grows too fast for these variances.')
    return y


def reach_of(f, std):
    """Return the number of standard deviations beyond which f**2 phi is negligible, for every standard deviation."""
    for reach in REACHES:
        x = numpy.linspace(-reach, reach, 20 * reach + 1)
        density = numpy.abs(call(f, std[:, None] * x)) * root_density(x)
        peak = density.max(axis=1, keepdims=True)
        if numpy.any((peak > 1e140) | (peak < 1e-140) & (peak > 0)):
            raise QuadratureError(
                f'expected E f**2 in the range of floats, or 0, got {density.max():.3g}**2. Divide '
                'the function by its typical size, unless it grows too fast for these variances.')
        idle = std[peak[:, 0] == 0, None]
        further = call(f, idle * numpy.linspace(-38, 38, 761))      # beyond, phi underflows
        at_ends = density[:, numpy.abs(x) > reach - 1]
        if numpy.all(at_ends <= 1e-14 * peak) and not numpy.any(further):
            return reach
    raise QuadratureError(
        f'expected f(u)**2 times the density of u to be negligible at {REACHES[-1]} standard '
        f'deviations, got more for variances up to {std.max()**2:.3g}: the function grows too '
        'fast.')


def resolve(f: Function, kinks: tuple[float, ...], std: numpy.ndarray, reach: int,
            rtol: float) -> Panels:
    """Return Panels on which f is a polynomial of degree < SMOOTH to the tolerance."""
    typical = numpy.unique(numpy.where(std > 0, std, std.max() or 1.))
    small = typical[0]
    far = reach * typical[-1]
    typical = typical[numpy.unique(numpy.linspace(0, typical.size - 1, 16).astype(int))]
    fixed = numpy.unique(numpy.clip([-far, 0., far, *kinks], -far, far))
    doubling = small * 2. ** numpy.arange(-2, numpy.log2(far / small))
    tol = max(rtol / 300, min(rtol / 30, 3e-14))            # for one panel; errors of many add up
    edges, norm = _bisect(f, numpy.union1d(fixed, [-doubling, doubling]), typical, tol)
    edges = _join(f, edges, fixed, typical, tol * norm)
    missed = _survey(f, edges[:-1], edges[1:], typical)[0]
    of_all = numpy.sqrt(numpy.sum(missed ** 2, axis=0))
    error = numpy.max(of_all / numpy.where(norm > 0, norm, 1.)) + ROUNDING / 2
    if error > rtol:
        raise QuadratureError(
            f'expected a function that can be resolved to rtol={rtol}, got an error of '
            f'{error:.2g}. Name its kinks, raise rtol, or mend noise in its values.')
    rough = numpy.union1d(fixed, _rough(f, edges, typical, tol * norm))
    norms = expand(f, edges, std, reach, 1)[1]
    return Panels(f, std, norms, reach, edges, rough, error)


def _survey(f, a, b, std):
    """Return L2 norms (p, n) of f (std x) on panels (a, b) in u: of the part not resolved, and of all of it."""
    half = (b - a)[:, None] / 2
    mid = (a + b)[:, None] / 2
    u = mid + half * PROBES
    y = call(f, u)
    density = y[:, 1:-1, None] * root_density(u[:, 1:-1, None] / std)
    norm = numpy.sqrt(numpy.einsum('n,pns->ps', LEGENDRE_W, density ** 2) * half / std)
    beyond_a = erfc(numpy.abs(a)[:, None] / std / 2 ** .5)
    beyond_b = erfc(numpy.abs(b)[:, None] / std / 2 ** .5)
    mass = numpy.abs(beyond_a - beyond_b) / 2
    tail = numpy.abs(y @ UNRESOLVED).max(axis=1, keepdims=True)
    of_jump = tiny(a, b)[:, None]                       # a jump is located: its L1 norm counts
    return tail * numpy.where(of_jump, mass, numpy.sqrt(mass)), norm


def tiny(a, b):
    """True if a panel cannot be bisected further, for each panel."""
    return b - a <= numpy.maximum(8 * EPS * numpy.maximum(numpy.abs(a), numpy.abs(b)), 1e-30)


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
            raise QuadratureError(
                f'expected a function that {MAX_PANELS} panels resolve, got one that they do not, '
                f'such as near {a[0]:.6g}. Name its kinks, raise rtol, or mend noise in its '
                'values.')
        missed, part = _survey(f, a, b, std)
        norm = numpy.sqrt(squares + numpy.sum(part ** 2, axis=0))
        done = numpy.all(missed <= tol * norm, axis=1) | tiny(a, b)
        squares = squares + numpy.sum(part[done] ** 2, axis=0)
        found.append(a[done])
        a = a[~done]
        b = b[~done]
        mid = (a + b) / 2
        a = numpy.concatenate([a, mid])
        b = numpy.concatenate([mid, b])
    return numpy.sort(numpy.concatenate(found)), norm


def _join(f, edges, fixed, std, tol):
    """Join neighbouring panels while the joint panel is resolved to tol (n,) and no fixed edge is lost."""
    idle = 0
    while idle < 2:
        inner = numpy.arange(1 + idle, edges.size - 1, 2)
        inner = inner[~numpy.isin(edges[inner], fixed)]
        joint = numpy.all(_survey(f, edges[inner - 1], edges[inner + 1], std)[0] <= tol, axis=1)
        edges = numpy.delete(edges, inner[joint])
        idle = 0 if numpy.any(joint) else idle + 1
    return edges


def _rough(f, edges, std, tol):
    """Return inner edges that are not the middle of a panel, as wide as the wider neighbour, that resolves f to tol."""
    widths = numpy.diff(edges)
    middle = edges[1:-1]
    half = numpy.maximum(widths[1:], widths[:-1]) / 2
    a = numpy.maximum(middle - half, edges[0])
    b = numpy.minimum(middle + half, edges[-1])
    resolved = numpy.all(_survey(f, a, b, std)[0] <= tol, axis=1)
    return middle[(a * b <= 0) | ~resolved]


def expand(f: Function, edges: numpy.ndarray, std: numpy.ndarray, reach: int,
           degree: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the Hermite coefficients (degree, n) of f(std x), relative to the norms (n,), and these norms."""
    width = min(2., 14 / numpy.sqrt(degree))     # Hermite functions have the frequency sqrt(degree)
    grid = numpy.linspace(-reach, reach, int(2 * reach / width) + 2)
    r = numpy.empty((degree, std.size))
    norm = numpy.empty(std.size)
    rows = max(1, 30_000 // (ORDER * (grid.size + edges.size)))      # they stay in the cache
    for start in range(0, std.size, rows):
        block = slice(start, start + rows)
        s = std[block, None]
        panels = merge(grid, edges / numpy.where(s > 0, s, 1.), reach)
        x, weight = nodes(panels)
        density = call(f, s * x) * root_density(x)
        norm[block] = numpy.sqrt(numpy.sum(weight * density ** 2, axis=1))
        weight *= density
        previous = numpy.zeros_like(x)
        current = root_density(x)
        for n in range(degree):
            numpy.einsum('sn,sn->s', weight, current, out=r[n, block])
            previous *= -numpy.sqrt(n)
            previous += x * current
            previous /= numpy.sqrt(n + 1)
            previous, current = current, previous
    return r / numpy.where(norm > 0, norm, 1.), norm


def merge(grid, edges, reach):
    """Return sorted ends (n, p) of panels in (-reach, reach), of a grid (.) common to all rows and edges (n, .)."""
    grid = numpy.broadcast_to(grid, edges.shape[:1] + grid.shape)
    return numpy.sort(numpy.clip(numpy.concatenate([grid, edges], axis=1), -reach, reach), axis=1)


def nodes(ends):
    """Return Gauss-Legendre nodes and weights (n, p * ORDER) on panels with ends (n, p + 1)."""
    half = numpy.diff(ends)[..., None] / 2
    mid = (ends[:, 1:] + ends[:, :-1])[..., None] / 2
    shape = (len(ends), half.shape[1] * ORDER)
    x = (mid + half * LEGENDRE_X).reshape(shape)
    weight = (half * LEGENDRE_W).reshape(shape)
    return x, weight
