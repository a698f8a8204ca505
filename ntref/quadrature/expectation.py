"""E[f g] of two functions: by Mehler's series where it is short, by adaptive integration elsewhere."""
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import numpy
from numpy.typing import ArrayLike

from .panels import (
    LEGENDRE_W, MAX_PANELS, ORDER, PROBES, ROUNDING, SMOOTH, UNRESOLVED, Function, Panels,
    QuadratureError, call, expand, gauss_hermite, merge, nodes, reach_of, real, resolve,
    root_density, tiny)

__all__ = ['KINKS', 'Expectation', 'conditional', 'expectation', 'kinks_of', 'mean']

KINKS: dict[numpy.ufunc, tuple[float, ...]] = {     # functions that can have no attribute `kinks`
    numpy.absolute: (0.,), numpy.fabs: (0.,), numpy.sign: (0.,)}
DEGREES = (32, 128, 512, 2048)  # lengths tried for Mehler's series
INNER = .75         # part of the reach for conditional means, whose weight is phi, not sqrt(phi)


class Expectation(NamedTuple):
    """Expected value, and an upper estimate of its error relative to sqrt(E f**2 E g**2), of equal shapes."""

    value: numpy.ndarray
    error: numpy.ndarray


def expectation(f: Function, g: Function, q1: ArrayLike, q2: ArrayLike, k: ArrayLike, *,
                area: ArrayLike | None = None, kinks_f: Sequence[float] | None = None,
                kinks_g: Sequence[float] | None = None, rtol: float = 1e-12) -> Expectation:
    r"""Return E[f(u) g(v)] for centred Gaussians with variances q1, q2 and covariance k, to a requested tolerance.

    .. math:: E[f(u) g(v)], \quad (u, v) \sim N\left(0, \begin{pmatrix} q_1 & k \\ k & q_2 \end{pmatrix}\right)

    Parameters
    ----------
    f, g : callable             float64 array of any shape -> array of that shape, elementwise; `g is f` is cheaper
    q1, q2 : array >= 0         variances, 1e-100 to 1e100, or 0: the constant 0
    k : array                   covariance, |k| <= sqrt(q1 q2) up to 1e-12. The shapes broadcast, (n, 1), (1, m), (n, m)
                                for a kernel matrix, which then costs n + m one-dimensional expansions, not n * m.
    area : array >= 0, optional sqrt(q1 q2 - k**2), if the caller knows it more exactly than the rounded q1, q2, k do.
    kinks_f, kinks_g : sequence of float, optional
        Where f, g or their derivatives jump. By default the attribute `kinks` of the function, or its entry in `KINKS`.
        Kinks that are not named are found by bisection (slower); 0 never needs a name.
    rtol : float                tolerance relative to sqrt(E f**2 E g**2), 1e-13 to 1e-2.

    Returns
    -------
    Expectation                 value and reached error, of the broadcast shape; the error is relative to
                                sqrt(E[f(u)**2] E[g(v)**2]), the largest value any correlation can give.

    Raises
    ------
    ValueError                  shapes do not broadcast, q < 0, |k| > sqrt(q1 q2), area contradicts k, not finite, rtol;
                                f or g does not return one real number for each argument
    QuadratureError             f or g is not finite, grows so fast that E f**2 is out of reach, or cannot be resolved;
                                the tolerance is not reached

    Accuracy
    --------
    True error relative to that scale, at the default rtol, for variances 1e-6 to 1e3 (unequal ones, too), correlations
    0 to 1 - 1e-16 and +-1: at most 2e-15 for relu, leaky relu, abs and sign, x**5, sin; 2e-14 for exp(0.4 x); 9e-14 for
    erf, whose series stops where its bound permits. The reported error was at least twice the true one.
    Thousands of oscillations in the range, as sin(30 x) at variance 1e3 has, take seconds and a looser rtol near +-1.
    Features narrower than about 1/50 of each standard deviation, neither near 0 nor named in `kinks`, are not seen.

    Source
    ------
    Mehler's formula: O'Donnell, Analysis of Boolean Functions (2014), section 11.2, prop. 11.31 with def. 11.27.
    Duals in Hermite coefficients: Daniely, Frostig, Singer 2016 (arXiv:1602.05897), section 4.

    Examples
    --------
    >>> value, error = expectation(numpy.sin, numpy.sin, 1., 1., .5)
    >>> bool(abs(value - numpy.exp(-1) * numpy.sinh(.5)) < 1e-15), bool(error < 1e-12)
    (True, True)
    """
    _check(rtol, f, g)
    q1, q2, k, rho, sigma = _correlation(q1, q2, k, area)
    if k.size == 0:
        return Expectation(k, k)
    std1, i = numpy.unique(numpy.sqrt(q1), return_inverse=True)
    std2, j = numpy.unique(numpy.sqrt(q2), return_inverse=True)
    i = i.ravel()
    j = j.ravel()
    kinks_f = kinks_of(f, kinks_f)
    kinks_g = kinks_of(g, kinks_g)
    if g is f and kinks_g == kinks_f:
        std = numpy.union1d(std1, std2)
        side1 = side2 = resolve(f, kinks_f, std, reach_of(f, std), rtol)
        i = numpy.searchsorted(std, std1)[i]
        j = numpy.searchsorted(std, std2)[j]
    else:
        reach = max(reach_of(f, std1), reach_of(g, std2))
        side1 = resolve(f, kinks_f, std1, reach, rtol)
        side2 = resolve(g, kinks_g, std2, reach, rtol)
    value, error = _expect(side1, side2, i, j, rho.ravel(), sigma.ravel(), rtol)
    return Expectation(value.reshape(k.shape)[()], error.reshape(k.shape)[()])


def mean(f: Function, q: ArrayLike, *, kinks: Sequence[float] | None = None,
         rtol: float = 1e-12) -> Expectation:
    r"""Return E[f(u)] for a centred Gaussian u of variance q, by Gauss-Legendre quadrature on panels.

    Parameters
    ----------
    f, kinks, rtol              as in `expectation`
    q : array >= 0              variance; 0 gives f(0)

    Returns
    -------
    Expectation                 value and reached error, of the shape of q; the error is relative to sqrt(E f**2).

    Raises
    ------
    ValueError, QuadratureError as in `expectation`

    Accuracy
    --------
    As `expectation`.

    Source
    ------
    The definition.

    Examples
    --------
    >>> float(mean(numpy.abs, numpy.pi / 2).value)
    1.0
    """
    _check(rtol, f)
    q = _variance('q', q)
    if q.size == 0:
        return Expectation(q, q)
    std, i = numpy.unique(numpy.sqrt(q), return_inverse=True)
    side = resolve(f, kinks_of(f, kinks), std, reach_of(f, std), rtol)
    first = expand(f, side.edges, std, side.reach, 1)[0][0]          # E f / sqrt(E f**2)
    value = (first * side.norm)[i.reshape(q.shape)]
    error = numpy.full(q.shape, side.error)
    return Expectation(value[()], error[()])


# ------------------------------------------------------------------ checks of arguments

def _check(rtol, *functions):
    for f in functions:
        if not callable(f):
            raise TypeError(
                f'expected a function of an array, got {f!r:.100} of type {type(f).__name__}.')
    if not isinstance(rtol, Real) or not 1e-13 <= rtol <= 1e-2:
        raise ValueError(f'expected rtol between 1e-13 and 1e-2, got {rtol!r:.100}.')


def kinks_of(f: Function, kinks: Sequence[float] | None) -> tuple[float, ...]:
    """Return the kinks that are given, or those that f is known to have."""
    if kinks is None:
        listed = KINKS.get(f, ()) if isinstance(f, numpy.ufunc) else ()
        kinks = getattr(f, 'kinks', listed)
    known = tuple(map(float, numpy.ravel(real('kinks', kinks))))
    if not numpy.all(numpy.isfinite(known)):
        raise ValueError(f'expected kinks to be finite real numbers, got {known}.')
    return known


def _variance(name: str, q: ArrayLike) -> numpy.ndarray:
    q = real(name, q)
    # products of two variances, and their rounding errors, are floats
    bad = ~((q == 0) | (q >= 1e-100) & (q <= 1e100))
    if numpy.any(bad):
        raise ValueError(
            f'expected {name} to be a variance, 0 or between 1e-100 and 1e100, got {q[bad][0]}.')
    return q


def _product(a, b):
    """Return a * b as the unevaluated sum of two floats (Dekker 1971)."""
    a_high = _high(a)
    b_high = _high(b)
    a_low = a - a_high
    b_low = b - b_high
    product = a * b
    rest = ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
    return product, a_low * b_low - rest


def _high(a):
    """Return the upper 26 bits of floats."""
    shifted = a * 134217729.                                # 2**27 + 1
    return shifted - (shifted - a)


def _correlation(q1, q2, k, area) -> tuple[numpy.ndarray, ...]:
    """Return broadcast q1, q2, k, with rho and sigma = sqrt(1 - rho**2) of these floats, without cancellation."""
    slack = _rounding(q1, q2, k)
    area = None if area is None else real('area', area)
    q1 = _variance('q1', q1)
    q2 = _variance('q2', q2)
    k = real('k', k)
    shape = _common_shape(q1, q2, k, area)
    q1, q2, k = (numpy.broadcast_to(a, shape) for a in (q1, q2, k))
    with numpy.errstate(over='ignore', invalid='ignore'):
        high, low = _product(q1, q2)
        k_high, k_low = _product(k, k)
        square = (high - k_high) + (low - k_low)
    bad = ~(square >= -slack * high)
    if numpy.any(bad):
        raise ValueError(
            f'expected |k| <= sqrt(q1 q2), got k = {k[bad][0]} with q1 = {q1[bad][0]}, '
            f'q2 = {q2[bad][0]}. Pass the covariance of u and v, not their correlation.')
    if area is None:
        area = numpy.sqrt(numpy.maximum(square, 0))
    else:
        area = _checked_area(area, square, slack * high)
    scale = numpy.sqrt(q1) * numpy.sqrt(q2)
    scale_or_1 = numpy.where(scale > 0, scale, 1.)
    sigma = numpy.where(scale > 0, numpy.minimum(area / scale_or_1, 1.), 1.)
    near_1 = numpy.copysign(numpy.sqrt((1 - sigma) * (1 + sigma)), k)
    rho = numpy.where(sigma < .7, near_1, k / scale_or_1)
    return q1, q2, k, rho, sigma


def _common_shape(q1, q2, k, area):
    """Return the shape to which the arguments broadcast; area may be None."""
    try:
        return numpy.broadcast_shapes(*(a.shape for a in (q1, q2, k, area) if a is not None))
    except ValueError:
        of_area = '' if area is None else f', area {area.shape}'
        raise ValueError(
            'expected q1, q2, k of shapes that broadcast, such as (n, 1), (1, m), (n, m), '
            f'got {q1.shape}, {q2.shape}, {k.shape}{of_area}.') from None


def _rounding(*arrays):
    """Return how far k**2 may exceed q1 q2, relatively: the rounding of deep networks in the arrays' precision."""
    single = any(numpy.asarray(a).dtype == numpy.float32 for a in arrays)
    return 1e-3 if single else 2e-12


def _checked_area(area, square, slack):
    area = numpy.broadcast_to(area, square.shape)
    bad = ~((area >= 0) & (numpy.abs(area ** 2 - square) <= 50 * slack))
    if numpy.any(bad):
        exact = numpy.sqrt(max(square[bad][0], 0.))
        raise ValueError(f'expected area to be sqrt(q1 q2 - k**2) = {exact}, got {area[bad][0]}.')
    return area


# ------------------------------------------------------------------ two functions

HERMITE_X, HERMITE_W = gauss_hermite(SMOOTH)


def _expect(side1, side2, i, j, rho, sigma, rtol):
    """Return values and errors of all entries: function 1 at standard deviation i, function 2 at j."""
    scale = side1.norm[i] * side2.norm[j]
    value = numpy.zeros(rho.size)
    error = numpy.where(scale > 0, numpy.inf, 0.)
    missing = numpy.ones(rho.size)
    for degree in DEGREES:
        todo = (error > rtol / 4) & (sigma > 0)
        if degree == DEGREES[-1]:
            todo &= (numpy.abs(rho) ** degree * missing <= rtol / 4) | (missing <= 1e-8)
        if numpy.any(todo):
            value[todo], missing[todo] = _series(side1, side2, i[todo], j[todo], rho[todo], degree)
            error[todo] = numpy.abs(rho[todo]) ** degree * missing[todo]
    todo = numpy.flatnonzero(error > rtol / 4)
    rows = max(1, 10_000 // (side1.edges.size + 3 * side2.edges.size))
    for part in numpy.split(todo, range(rows, todo.size, rows)):
        if part.size:
            value[part], error[part] = _direct(
                side1, side2, i[part], j[part], rho[part], sigma[part], rtol)
    error += side1.error + side2.error
    if not numpy.all(error <= rtol):
        worst = numpy.argmax(error)
        q1 = side1.std[i[worst]] ** 2
        q2 = side2.std[j[worst]] ** 2
        raise QuadratureError(
            f'expected an error of at most rtol={rtol}, got {error[worst]:.2g} at correlation '
            f'{rho[worst]}, variances {q1:.6g} and {q2:.6g}. Name the kinks or raise rtol.')
    with numpy.errstate(over='ignore'):
        value *= scale
    if not numpy.all(numpy.isfinite(value)):
        raise QuadratureError(
            'expected E[f g] in the range of floats, got more. Divide f or g by its typical size.')
    return value, error


def _series(side1, side2, i, j, rho, degree):
    r"""Return Mehler's series :math:`\sum_{n < degree} r_n s_n \rho^n`, and c such that |rest| <= c |rho|**degree."""
    if side1 is side2:
        used, ij = numpy.unique(numpy.concatenate([i, j]), return_inverse=True)
        i, j = ij.reshape(2, -1)
        r = s = expand(side1.f, side1.edges, side1.std[used], side1.reach, degree)[0]
    else:
        (used1, i), (used2, j) = (numpy.unique(index, return_inverse=True) for index in (i, j))
        r = expand(side1.f, side1.edges, side1.std[used1], side1.reach, degree)[0]
        s = expand(side2.f, side2.edges, side2.std[used2], side2.reach, degree)[0]
    value = numpy.zeros(rho.size)
    for n in reversed(range(degree)):
        value *= rho
        value += r[n][i] * s[n][j]
    tail1 = numpy.maximum(1 - numpy.sum(r ** 2, axis=0), ROUNDING)
    tail2 = numpy.maximum(1 - numpy.sum(s ** 2, axis=0), ROUNDING)
    return value, numpy.sqrt(tail1[i] * tail2[j])


def _direct(side1, side2, i, j, rho, sigma, rtol):
    """Integrate phi(x) f(std1 x) E_y[g(std2 (rho x + sigma y))] by adaptive bisection.

    Return values and errors, both divided by the scale.
    """
    std1 = side1.std[i]
    std2 = side2.std[j]
    reach = side1.reach
    images = [side1.edges / std1[:, None], *_images(side2, std2, rho, sigma)]
    grid = numpy.linspace(-reach, reach, int(reach) + 1)
    ends = merge(grid, numpy.concatenate(images, axis=1), reach)
    owner = numpy.repeat(numpy.arange(i.size), ends.shape[1] - 1)
    a = ends[:, :-1].ravel()
    b = ends[:, 1:].ravel()
    count = 0
    a, b, owner = (c[a < b] for c in (a, b, owner))
    value = numpy.zeros(i.size)
    error = numpy.zeros(i.size)
    while a.size:
        count += a.size
        if count > MAX_PANELS * i.size:
            return value, numpy.full(i.size, numpy.inf)
        half = (b - a) / 2
        mid = (a + b) / 2
        x = mid[:, None] + half[:, None] * PROBES
        of_node = numpy.repeat(owner, PROBES.size)
        centre = std2[of_node] * rho[of_node] * x.ravel()
        spread = std2[of_node] * sigma[of_node]
        inner = conditional(side2, centre, spread).reshape(x.shape)
        y = (call(side1.f, std1[owner, None] * x) * root_density(x) / side1.norm[i[owner], None]
             * inner * root_density(x) / side2.norm[j[owner], None])
        missed = numpy.abs(y @ UNRESOLVED).max(axis=1) * half
        done = (missed <= rtol / 300) | tiny(a, b)
        value += numpy.bincount(owner[done], (y[:, 1:-1] @ LEGENDRE_W * half)[done], i.size)
        error += numpy.bincount(owner[done], missed[done], i.size)
        a, mid, b, owner = (c[~done] for c in (a, mid, b, owner))
        a = numpy.concatenate([a, mid])
        b = numpy.concatenate([mid, b])
        owner = numpy.concatenate([owner, owner])
    return value, error


def _images(side, std, rho, sigma):
    """Return ends in x of the panels of g(std rho x), and of layers about rough ends where E_y[g] feels both sides."""
    scale = (std * rho)[:, None]
    layer = INNER * side.reach * (std * sigma)[:, None]
    return side.edges / scale, (side.rough - layer) / scale, (side.rough + layer) / scale


def conditional(side: Panels, centre: numpy.ndarray, spread: numpy.ndarray) -> numpy.ndarray:
    """Return E[g(centre + spread y)], y standard normal: (m,), (m,) -> (m,)."""
    reach = INNER * side.reach
    first = numpy.searchsorted(side.edges, centre - reach * spread)
    last = numpy.searchsorted(side.edges, centre + reach * spread)
    alone = first == last               # one panel holds it all: a polynomial of degree < SMOOTH
    value = numpy.empty(centre.size)
    value[alone] = call(side.f, centre[alone, None] + spread[alone, None] * HERMITE_X) @ HERMITE_W
    rest = numpy.flatnonzero(~alone)
    rows = max(1, 50_000 // (side.edges.size + ORDER * int(reach)))
    for part in numpy.split(rest, range(rows, rest.size, rows)):
        value[part] = _panelled(side, centre[part], spread[part], reach)
    return value


def _panelled(side, centre, spread, reach):
    """Return the same as `conditional`, by Gauss-Legendre quadrature on the panels that lie within reach."""
    grid = numpy.linspace(-reach, reach, int(reach / 2) + 2)
    ends = merge(grid, (side.edges - centre[:, None]) / spread[:, None], reach)
    a = ends[:, :-1]
    b = ends[:, 1:]
    inside = numpy.abs(centre[:, None] + spread[:, None] * (b + a) / 2) <= side.edges[-1]
    owner, panel = numpy.nonzero((b > a) & inside)
    y, weight = nodes(numpy.stack([ends[owner, panel], ends[owner, panel + 1]], axis=1))
    g = call(side.f, centre[owner, None] + spread[owner, None] * y)
    integral = numpy.einsum('pn,pn->p', weight, g * root_density(y) ** 2)
    return numpy.bincount(owner, integral, centre.size)
