"""E[f g] of two functions: by Mehler's series where it is short, by adaptive integration elsewhere."""
from numbers import Real
from typing import NamedTuple

import numpy as np

from .panels import (
    LEGENDRE_W, MAX_PANELS, ORDER, PROBES, ROUNDING, SMOOTH, UNRESOLVED, QuadratureError, call, expand, gauss_hermite,
    merge, nodes, reach_of, real, resolve, root_density, tiny)

__all__ = ["KINKS", "Expectation", "conditional", "expectation", "kinks_of", "mean"]

KINKS = {np.absolute: (0.,), np.fabs: (0.,), np.sign: (0.,)}    # for functions that cannot have an attribute `kinks`
DEGREES = (32, 128, 512, 2048)              # lengths tried for Mehler's series
INNER = .75                                 # part of the reach for conditional means: the weight is phi, not sqrt(phi)


class Expectation(NamedTuple):
    """Expected value, and an upper estimate of its error relative to sqrt(E f**2 E g**2), of equal shapes."""

    value: np.ndarray
    error: np.ndarray


def expectation(f, g, q1, q2, k, *, area=None, kinks_f=None, kinks_g=None, rtol=1e-12):
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
    >>> value, error = expectation(np.sin, np.sin, 1., 1., .5)
    >>> bool(abs(value - np.exp(-1) * np.sinh(.5)) < 1e-15), bool(error < 1e-12)
    (True, True)
    """
    _check(rtol, f, g)
    q1, q2, k, rho, sigma = _correlation(q1, q2, k, area)
    if k.size == 0:
        return Expectation(k, k)
    std1, i = np.unique(np.sqrt(q1), return_inverse=True)
    std2, j = np.unique(np.sqrt(q2), return_inverse=True)
    i, j = i.ravel(), j.ravel()
    kinks_f = kinks_of(f, kinks_f)
    kinks_g = kinks_of(g, kinks_g)
    if g is f and kinks_g == kinks_f:
        std = np.union1d(std1, std2)
        side1 = side2 = resolve(f, kinks_f, std, reach_of(f, std), rtol)
        i = np.searchsorted(std, std1)[i]
        j = np.searchsorted(std, std2)[j]
    else:
        reach = max(reach_of(f, std1), reach_of(g, std2))
        side1 = resolve(f, kinks_f, std1, reach, rtol)
        side2 = resolve(g, kinks_g, std2, reach, rtol)
    value, error = _expect(side1, side2, i, j, rho.ravel(), sigma.ravel(), rtol)
    return Expectation(value.reshape(k.shape)[()], error.reshape(k.shape)[()])


def mean(f, q, *, kinks=None, rtol=1e-12):
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
    >>> float(mean(np.abs, np.pi / 2).value)
    1.0
    """
    _check(rtol, f)
    q = _variance("q", q)
    if q.size == 0:
        return Expectation(q, q)
    std, i = np.unique(np.sqrt(q), return_inverse=True)
    side = resolve(f, kinks_of(f, kinks), std, reach_of(f, std), rtol)
    value = (expand(f, side.edges, std, side.reach, 1)[0][0] * side.norm)[i.reshape(q.shape)]
    return Expectation(value[()], np.full(q.shape, side.error)[()])


# ---- checks of arguments ----

def _check(rtol, *functions):
    for f in functions:
        if not callable(f):
            raise TypeError(f"expected a function of an array, got {f!r:.100} of type {type(f).__name__}")

    if not isinstance(rtol, Real) or not 1e-13 <= rtol <= 1e-2:
        raise ValueError(f"rtol must lie between 1e-13 and 1e-2, got {rtol!r:.100}")


def kinks_of(f, kinks):
    """Return the kinks that are given, or those that f is known to have."""
    if kinks is None:
        listed = KINKS.get(f, ()) if isinstance(f, np.ufunc) else ()
        kinks = getattr(f, "kinks", listed)
    kinks = tuple(map(float, np.ravel(real("kinks", kinks))))
    if not np.all(np.isfinite(kinks)):
        raise ValueError(f"kinks must be finite real numbers, got {kinks}")
    return kinks


def _variance(name, q):
    q = real(name, q)
    bad = ~((q == 0) | (q >= 1e-100) & (q <= 1e100))        # products of two, and their rounding errors, are floats
    if np.any(bad):
        raise ValueError(f"{name} must be a variance, 0 or between 1e-100 and 1e100, got {q[bad][0]}")
    return q


def _product(a, b):
    """Return a * b as the unevaluated sum of two floats (Dekker 1971)."""
    a_high, b_high = (c * 134217729. - (c * 134217729. - c) for c in (a, b))
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _correlation(q1, q2, k, area):
    """Return broadcast q1, q2, k, with rho and sigma = sqrt(1 - rho**2) of these floats, without cancellation."""
    slack = _rounding(q1, q2, k)
    area = None if area is None else real("area", area)
    q1 = _variance("q1", q1)
    q2 = _variance("q2", q2)
    k = real("k", k)
    try:
        shape = np.broadcast_shapes(q1.shape, q2.shape, k.shape, np.shape(0. if area is None else area))
    except ValueError:
        shapes = f"{q1.shape}, {q2.shape}, {k.shape}" + ("" if area is None else f", area {np.shape(area)}")
        raise ValueError("q1, q2, k must have shapes that broadcast, such as (n, 1), (1, m), (n, m); "
                         f"got {shapes}") from None
    q1, q2, k = (np.broadcast_to(a, shape) for a in (q1, q2, k))
    with np.errstate(over="ignore", invalid="ignore"):
        high, low = _product(q1, q2)
        k_high, k_low = _product(k, k)
        square = (high - k_high) + (low - k_low)
    bad = ~(square >= -slack * high)
    if np.any(bad):
        raise ValueError(f"|k| must be at most sqrt(q1 q2), got k = {k[bad][0]} with q1 = {q1[bad][0]}, "
                         f"q2 = {q2[bad][0]}: pass the covariance of u and v, not their correlation")
    area = np.sqrt(np.maximum(square, 0)) if area is None else _checked_area(area, square, slack * high)
    scale = np.sqrt(q1) * np.sqrt(q2)
    scale_or_1 = np.where(scale > 0, scale, 1.)
    sigma = np.where(scale > 0, np.minimum(area / scale_or_1, 1.), 1.)
    near_1 = np.copysign(np.sqrt((1 - sigma) * (1 + sigma)), k)
    return q1, q2, k, np.where(sigma < .7, near_1, k / scale_or_1), sigma


def _rounding(*arrays):
    """Return how far k**2 may exceed q1 q2, relatively: the rounding of deep networks in the arrays' precision."""
    return 1e-3 if any(np.asarray(a).dtype == np.float32 for a in arrays) else 2e-12


def _checked_area(area, square, slack):
    area = np.broadcast_to(area, square.shape)
    bad = ~((area >= 0) & (np.abs(area**2 - square) <= 50 * slack))
    if np.any(bad):
        raise ValueError(f"area must be sqrt(q1 q2 - k**2) = {np.sqrt(max(square[bad][0], 0.))}, got {area[bad][0]}")
    return area


# ---- two functions ----

HERMITE_X, HERMITE_W = gauss_hermite(SMOOTH)


def _expect(side1, side2, i, j, rho, sigma, rtol):
    """Return values and errors of all entries: function 1 at standard deviation i, function 2 at j."""
    scale = side1.norm[i] * side2.norm[j]
    value = np.zeros(rho.size)
    error = np.where(scale > 0, np.inf, 0.)
    missing = np.ones(rho.size)
    for degree in DEGREES:
        todo = (error > rtol / 4) & (sigma > 0)
        if degree == DEGREES[-1]:
            todo &= (np.abs(rho)**degree * missing <= rtol / 4) | (missing <= 1e-8)
        if np.any(todo):
            value[todo], missing[todo] = _series(side1, side2, i[todo], j[todo], rho[todo], degree)
            error[todo] = np.abs(rho[todo])**degree * missing[todo]
    todo = np.flatnonzero(error > rtol / 4)
    rows = max(1, 10_000 // (side1.edges.size + 3 * side2.edges.size))
    for part in np.split(todo, range(rows, todo.size, rows)):
        if part.size:
            value[part], error[part] = _direct(side1, side2, i[part], j[part], rho[part], sigma[part], rtol)
    error += side1.error + side2.error
    if not np.all(error <= rtol):
        worst = np.argmax(error)
        std1, std2 = side1.std[i[worst]], side2.std[j[worst]]
        raise QuadratureError(f"rtol = {rtol} is not reached: {error[worst]:.2g} at correlation {rho[worst]}, "
                              f"variances {std1**2:.6g} and {std2**2:.6g}; name the kinks or raise rtol")
    with np.errstate(over="ignore"):
        value *= scale
    if not np.all(np.isfinite(value)):
        raise QuadratureError("E[f g] overflows: divide f or g by its typical size")
    return value, error


def _series(side1, side2, i, j, rho, degree):
    r"""Return Mehler's series :math:`\sum_{n < degree} r_n s_n \rho^n`, and c such that |rest| <= c |rho|**degree."""
    if side1 is side2:
        used, ij = np.unique(np.concatenate([i, j]), return_inverse=True)
        i, j = ij.reshape(2, -1)
        r = s = expand(side1.f, side1.edges, side1.std[used], side1.reach, degree)[0]
    else:
        (used1, i), (used2, j) = (np.unique(index, return_inverse=True) for index in (i, j))
        r = expand(side1.f, side1.edges, side1.std[used1], side1.reach, degree)[0]
        s = expand(side2.f, side2.edges, side2.std[used2], side2.reach, degree)[0]
    value = np.zeros(rho.size)
    for n in reversed(range(degree)):
        value *= rho
        value += r[n][i] * s[n][j]
    tail1, tail2 = (np.maximum(1 - np.sum(c**2, axis=0), ROUNDING) for c in (r, s))
    return value, np.sqrt(tail1[i] * tail2[j])


def _direct(side1, side2, i, j, rho, sigma, rtol):
    """Integrate phi(x) f(std1 x) E_y[g(std2 (rho x + sigma y))] by adaptive bisection.

    Return values and errors, both divided by the scale.
    """
    std1 = side1.std[i]
    std2 = side2.std[j]
    reach = side1.reach
    images = [side1.edges / std1[:, None], *_images(side2, std2, rho, sigma)]
    ends = merge(np.linspace(-reach, reach, int(reach) + 1), np.concatenate(images, axis=1), reach)
    owner = np.repeat(np.arange(i.size), ends.shape[1] - 1)
    a = ends[:, :-1].ravel()
    b = ends[:, 1:].ravel()
    count = 0
    a, b, owner = (c[a < b] for c in (a, b, owner))
    value, error = np.zeros(i.size), np.zeros(i.size)
    while a.size:
        count += a.size
        if count > MAX_PANELS * i.size:
            return value, np.full(i.size, np.inf)
        half, mid = (b - a) / 2, (a + b) / 2
        x = mid[:, None] + half[:, None] * PROBES
        o = np.repeat(owner, PROBES.size)
        inner = conditional(side2, std2[o] * rho[o] * x.ravel(), std2[o] * sigma[o]).reshape(x.shape)
        y = (call(side1.f, std1[owner, None] * x) * root_density(x) / side1.norm[i[owner], None]
             * inner * root_density(x) / side2.norm[j[owner], None])
        missed = np.abs(y @ UNRESOLVED).max(axis=1) * half
        done = (missed <= rtol / 300) | tiny(a, b)
        value += np.bincount(owner[done], (y[:, 1:-1] @ LEGENDRE_W * half)[done], i.size)
        error += np.bincount(owner[done], missed[done], i.size)
        a, mid, b, owner = (c[~done] for c in (a, mid, b, owner))
        a = np.concatenate([a, mid])
        b = np.concatenate([mid, b])
        owner = np.concatenate([owner, owner])
    return value, error


def _images(side, std, rho, sigma):
    """Return ends in x of the panels of g(std rho x), and of layers about rough ends where E_y[g] feels both sides."""
    scale = (std * rho)[:, None]
    layer = INNER * side.reach * (std * sigma)[:, None]
    return side.edges / scale, (side.rough - layer) / scale, (side.rough + layer) / scale


def conditional(side, centre, spread):
    """Return E[g(centre + spread y)], y standard normal: (m,), (m,) -> (m,)."""
    reach = INNER * side.reach
    first, last = (np.searchsorted(side.edges, centre + c * reach * spread) for c in (-1, 1))
    alone = first == last                                   # one panel holds it all: a polynomial of degree < SMOOTH
    value = np.empty(centre.size)
    value[alone] = call(side.f, centre[alone, None] + spread[alone, None] * HERMITE_X) @ HERMITE_W
    rest = np.flatnonzero(~alone)
    rows = max(1, 50_000 // (side.edges.size + ORDER * int(reach)))
    for part in np.split(rest, range(rows, rest.size, rows)):
        value[part] = _panelled(side, centre[part], spread[part], reach)
    return value


def _panelled(side, centre, spread, reach):
    """Return the same as `conditional`, by Gauss-Legendre quadrature on the panels that lie within reach."""
    grid = np.linspace(-reach, reach, int(reach / 2) + 2)
    ends = merge(grid, (side.edges - centre[:, None]) / spread[:, None], reach)
    inside = np.abs(centre[:, None] + spread[:, None] * (ends[:, 1:] + ends[:, :-1]) / 2) <= side.edges[-1]
    owner, panel = np.nonzero((ends[:, 1:] > ends[:, :-1]) & inside)
    y, weight = nodes(np.stack([ends[owner, panel], ends[owner, panel + 1]], axis=1))
    g = call(side.f, centre[owner, None] + spread[owner, None] * y)
    return np.bincount(owner, np.einsum("pn,pn->p", weight, g * root_density(y)**2), centre.size)
