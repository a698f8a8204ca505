r"""Duals of functions that are cut off or have kinks, by the bivariate normal distribution.

With h = a / sigma, h' = a' / sigma', c = (h - rho h') / sin theta, c' = (h' - rho h) / sin theta, density n and upper
tail Q of a standard normal, and Owen's T(h, c / h) = 1 / (2 pi) int_0^(c/h) exp(-h^2 (1 + x^2) / 2) / (1 + x^2) dx,

    L = P(u > a, v > a') = [Q(h) + Q(h')] / 2 - T(h, c'/h) - T(h', c/h'),                                h, h' >= 0,
    E[(u - a)+ (v - a')+] = s [(rho + h h') L - h' n(h) Q(c') - h n(h') Q(c) + sin theta n(h) n(c')].

Source: Owen 1956 (Ann. Math. Stat. 27) eq. 3.1; Rosenbaum 1961 (J. R. Stat. Soc. B 23).  docs/theory/duals.md#clipped
"""
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import comb, log
from typing import Any, TypeAlias

from ..arrays import namespace
from ..types import Array, Number
from .geometry import Cov, over
from .pair import Dual, Pair
from .price import Price

__all__ = ['DELTA', 'HINGE', 'STEP', 'Products', 'clipped', 'combined', 'legendre', 'parted']

MAX_VARIANCE = 1e5      # hinges of this size leave a kernel of order 1, accurate to 1e-11
MAX_DEVIATIONS = 1e4    # beyond, nothing is left of a normal distribution, even at 50 digits

Function: TypeAlias = tuple[Any, ...]                        # a function of u, see `combined`
Sum: TypeAlias = tuple[tuple[Function, Number], ...]         # a sum of these, with coefficients


def clipped(p: Pair, slope: Number, hinges: Sequence[tuple]) -> Dual:
    """phi(u) = slope u + sum_i w_i (e_i u - a_i)+, for hinges (w, e, a) with e = 1 or -1 and a >= 0.

    K' = slope^2 K + slope sum_i w_i e_i K [Q(a_i / sigma) + Q(a_i / sigma')] + sum_ij w_i w_j E[(e_i u - a_i)+ (...)+].
    """
    p.refuse_beyond(MAX_VARIANCE)
    plain = p.numbers
    cov, rise = _clipped(plain, slope, hinges)
    if plain is p:
        return cov, rise
    hinged = [((HINGE, e, a), w) for w, e, a in hinges]
    phi = combined([((LINE,), slope), *hinged])
    products = Products(plain)
    dphi = products.derived(phi)
    known = {(phi, phi): cov.k, (dphi, dphi): rise}
    price = Price(p, products.total, products.derived, known)
    return cov._replace(k=price(phi, phi)), price(dphi, dphi)


def _clipped(p, slope, hinges):
    rise = slope * slope + 0 * p.k
    k = slope * slope * p.k
    known = {}
    for w, e, a in hinges:
        above1 = _tail(p.xp, _steps(p, a, p.n1))                         # Q(a / sigma)
        above2 = _tail(p.xp, _steps(p, a, p.n2))
        tails = w * e * slope * (above1 + above2)
        rise = rise + tails
        k = k + tails * p.k
        for w2, e2, a2 in hinges:
            corner = a, a2, e * e2
            if corner not in known:
                known[corner] = _hinges(p, *corner)
            chance, value = known[corner]
            rise = rise + w * w2 * e * e2 * chance
            k = k + w * w2 * value
    cov = parted(p, k, lambda own: _clipped(own, slope, hinges)[0].k)
    return cov, rise


def parted(p: Pair, k: Array, dual: Callable[[Pair], Array]) -> Cov:
    """Return K' with its gap: 0 where u and v coincide, else Q + Q' - 2 K', with the absolute error of K'."""
    if p.is_same:
        return Cov(k, 0 * k, 0 * k)
    if p.is_generic:
        return Cov(k)
    xp = namespace(k)
    own1 = dual(Pair.same(p.q1))                                         # Q
    own2 = dual(Pair.same(p.q2))
    gap = xp.maximum(own1 + own2 - 2 * k, 0)
    return Cov(k, xp.where(p.gap > 0, gap, 0))


def _hinges(p, a1, a2, e):
    """Return P(u > a, e v > a') and E[(u - a)+ (e v - a')+]."""
    if a1 == a2 == 0:
        delta, j_theta = (p.delta, p.j_theta) if e > 0 else (p.theta, p.j_delta)       # of (u, e v)
        return delta / (2 * p.xp.pi), j_theta / (2 * p.xp.pi)
    xp = p.xp
    rho, sin, h1, h2, c1, c2, chance = _corner(p, a1, a2, e)
    density1 = _density(xp, h1)
    density2 = _density(xp, h2)
    value = (rho + h1 * h2) * chance
    value = value - h2 * density1 * _tail(xp, c2)
    value = value - h1 * density2 * _tail(xp, c1)
    value = value + sin * density1 * _density(xp, c2)
    return chance, p.s * value


def _corner(p, a1, a2, e):
    """Return rho, sin theta, h, h', c, c' and L of the pair (u, e v); theta is pi/2 where a variance is 0."""
    xp = p.xp
    lack = over(p.minus if e > 0 else p.plus, p.s)
    rho = e * over(p.k, p.s)
    some = p.s > 0
    lack = xp.where(some, lack, 1)
    sin = xp.where(some, over(p.area, p.s), 1)
    h1 = _steps(p, a1, p.n1)
    h2 = _steps(p, a2, p.n2)
    c1 = _ratio(xp, h1 - h2 + h2 * lack, sin)
    c2 = _ratio(xp, h2 - h1 + h1 * lack, sin)
    tails = (_tail(xp, h1) + _tail(xp, h2)) / 2
    chance = tails - _owen(xp, h1, c2) - _owen(xp, h2, c1)               # L
    return rho, sin, h1, h2, c1, c2, chance


def _hinge_and_step(p, a1, a2, e):
    """Return E[(u - a)+; e v > a'] = sigma [n(h) Q(c') + rho n(h') Q(c) - h L]."""
    xp = p.xp
    if a1 == a2 == 0:                                              # (s + K) / (2 sigma' sqrt(2 pi))
        plus = p.plus if e > 0 else p.minus
        reach = xp.where(p.n2 > 0, over(plus, p.n2), p.n1)
        return reach / (8 * xp.pi) ** .5
    rho, _, h1, h2, c1, c2, chance = _corner(p, a1, a2, e)
    beside1 = _density(xp, h1) * _tail(xp, c2)
    beside2 = rho * _density(xp, h2) * _tail(xp, c1)
    return p.n1 * (beside1 + beside2 - h1 * chance)


# ------------------------------------------------------------------ functions that are closed under differentiation

LINE = 'line'
ONE = 'one'
HINGE = 'hinge'
STEP = 'step'
DELTA = 'delta'


def combined(terms: Iterable[tuple[Function, Number]]) -> Sum:
    """Return a sum of terms (function, coefficient), in one order, without terms that cancel.

    Functions of u are  (LINE,) u;  (ONE,) 1;  (HINGE, e, a) (e u - a)+;  (STEP, e, a) 1[e u > a];  (DELTA, j, c) the
    j-th derivative of Dirac's delta at c.
    """
    total: dict[Function, Number] = {}
    for function, coefficient in terms:
        total[function] = total.get(function, 0) + coefficient
    return tuple(sorted((term for term in total.items() if term[1] != 0), key=lambda term: term[0]))


class Products:
    """Expectations E[f(u) g(v)] of sums f and g, see `combined`, for the pairs p.

    An infinite expectation is taken as 0, like the derivative of a cusp: that of two deltas where u and v are the same,
    or of a delta at 0 where the variance is 0.
    """

    def __init__(self, p: Pair):
        self.p = p
        self.known: dict[tuple[Function, Function], Array] = {}
        self.turned = p if p.is_same else Pair(p.q2, p.q1, p.cov, p.is_generic)

    def derived(self, f: Sum) -> Sum:
        """Return the derivative of f."""
        terms = []
        for function, c in f:
            for each, factor in self.derivative(*function):
                terms.append((each, c * factor))
        return combined(terms)

    def derivative(self, name: str, *at: Any) -> list[tuple[Function, Number]]:
        """Return the derivative of one function, [(function, factor)]."""
        if name == HINGE:
            return [((STEP, *at), at[0])]
        if name == STEP:
            return [((DELTA, 0, at[0] * at[1]), at[0])]
        if name == DELTA:
            return [((DELTA, at[0] + 1, at[1]), 1)]
        return [((ONE,), 1)] if name == LINE else []

    def total(self, f: Sum, g: Sum) -> Array:
        """Return E[f(u) g(v)]."""
        total = 0 * self.p.k
        for f1, c1 in f:
            for g1, c2 in g:
                total = total + c1 * c2 * self._of(f1, g1)
        return total

    def _of(self, f, g):
        if (f, g) not in self.known:
            value = self.product(self.p, f, g)
            self.known[f, g] = self.product(self.turned, g, f) if value is None else value
        return self.known[f, g]

    def product(self, p: Pair, f: Function, g: Function) -> Array | None:
        """Return E[f(u) g(v)] of two functions, or None if E[g(v) f(u)] is to be asked for instead."""
        name, *at = f
        other, *there = g
        if name == DELTA:
            j, c = at
            return self._at_a_point(p, j, c, g)
        if name == LINE:
            return p.k * self._own(p, self.derived(combined([(g, 1)])))
        if name == ONE:
            return self._own(p, combined([(g, 1)])) + 0 * p.k
        if name in (HINGE, STEP) and other in (HINGE, STEP):
            e1, a1 = at
            e2, a2 = there
            if name == other:
                return _hinges(p, a1, a2, e1 * e2)[name == HINGE]
            return _hinge_and_step(p, a1, a2, e1 * e2) if name == HINGE else None
        return None

    def _own(self, p, g):
        """Return E[g(v)]."""
        def beyond(e, a):
            return 0 * p.n2 - a
        total = 0 * p.n2
        for each, c in g:
            total = total + c * self.mean(p.xp, each, 0 * p.n2, p.n2, beyond)
        return total

    def _at_a_point(self, p, j, c, g):
        """Return E[delta_j(u - c) g(v)] = (-d/du)^j (density of u) E[g(v) | u] at c, v = K c / q + A y / sigma."""
        def beyond(e, a):
            return _beyond(p, c, e, a)
        xp = p.xp
        some = p.n1 > 0
        h = _steps(p, abs(c), p.n1) * (1 if c >= 0 else -1)
        slant = over(p.k, p.q1)
        density = xp.where(some, over(_density(xp, h), p.n1), 0)
        steep = xp.where(density > 0, over(1 + 0 * density, p.n1), 0)
        spread = xp.where(some, over(p.area, p.n1), p.n2)
        total = 0 * p.k
        f = combined([(g, 1)])
        for i in range(j + 1):
            value = 0 * p.k
            for each, coefficient in f:
                value = value + coefficient * self.mean(xp, each, c * slant, spread, beyond)
            shape = comb(j, i) * steep ** (j - i) * _polynomial(j - i, h)
            total = total + shape * (-slant) ** i * density * value
            f = self.derived(f)
        return total

    def mean(self, xp: Any, function: Function, m: Array, t: Array, beyond: Callable) -> Array:
        """Return E[g(m + t y)] of one function g, y standard normal, for beyond(e, a) = e m - a."""
        name, *at = function
        if name == LINE:
            return m
        if name == ONE:
            return 0 * m + 1
        if name == DELTA:
            z = -_ratio(xp, beyond(1, at[1]), t)
            return over(_polynomial(at[0], z) * _density(xp, z), t ** (at[0] + 1))
        above = beyond(*at)
        z = _ratio(xp, above, t)
        chance = 1 - _tail(xp, z)
        if name == STEP:
            return chance
        return t * _density(xp, z) + above * chance


def _beyond(p, c, e, a):
    """Return e K c / q - a, without cancellation where u and v coincide or are opposite."""
    xp = p.xp
    c = e * c
    short = p.k > 0
    gap = xp.where(short, p.gap, p.antigap)
    rest = c * over(gap + (p.q1 - p.q2), 2 * p.q1)
    close = xp.where(short, (c - a) - rest, (-c - a) + rest)
    apart = c * over(p.k, p.q1) - a
    return xp.where(4 * gap < p.q1, close, apart)


def _polynomial(n, x):
    """Return Hermite's polynomial He_n(x)."""
    last = 0
    now = 0 * x + 1
    for m in range(n):
        last, now = now, x * now - m * last
    return now


def _steps(p, a, sigma):
    """Return a / sigma, at most MAX_DEVIATIONS."""
    if not a:
        return 0 * sigma
    return p.xp.where(sigma * MAX_DEVIATIONS > a, over(a + 0 * sigma, sigma), MAX_DEVIATIONS)


def _ratio(xp, c, sin):
    """Return c / sin, clipped to +-MAX_DEVIATIONS."""
    inside = abs(c) < MAX_DEVIATIONS * sin
    top = xp.where(inside, c, MAX_DEVIATIONS * xp.sign(c))
    return top / xp.where(inside, sin, 1)


def _tail(xp, h):
    return (1 - xp.erf(h / xp.sqrt(0 * h + 2))) / 2


def _density(xp, h):
    return xp.exp(-h * h / 2) / (2 * xp.pi) ** .5


def _owen(xp, h, c):
    """Return T(h, c / h) for h >= 0, by T(h, a) + T(a h, 1 / a) = 1/4 - G(h) G(a h) for a > 0, G = 1/2 - Q."""
    size = abs(c)
    is_steep = size > h
    m = xp.maximum(size, h)
    x = over(xp.minimum(size, h), m)
    t = 0 * m
    mm = -m * m / 2
    xx = x * x
    for y, w in legendre(xp, m, 20):
        yy = 1 + y * y * xx
        t = t + w * xp.exp(mm * yy) / yy
    t = t * x / (2 * xp.pi)                                              # T(m, x)
    g1 = 1 / 2 - _tail(xp, h)
    g2 = 1 / 2 - _tail(xp, size)
    return xp.sign(c) * xp.where(is_steep, 1 / 4 - g1 * g2 - t, t)


def legendre(xp: Any, like: Array, n: int) -> list[tuple[Number, Number]]:
    """Return Gauss-Legendre nodes and weights on [0, 1], n in double precision, more in higher; by Newton's method."""
    eps = xp.eps(like)
    n = max(n, round(-n * log(eps) / 36))
    return _legendre(xp, n, float(eps))


@lru_cache
def _legendre(xp, n, eps):
    """Return n nodes and weights to the precision of xp, which has this eps."""
    start = xp.asarray([i + .75 for i in range(n)]) / (n + .5)
    x = xp.cos(xp.pi * start)
    for _ in range(8):
        last = 0 * x + 1
        now = x
        for m in range(1, n):
            last, now = now, ((2 * m + 1) * x * now - m * last) / (m + 1)
        slope = n * (last - x * now) / (1 - x * x)
        x = x - now / slope
    weights = 1 / ((1 - x * x) * slope * slope)
    nodes = (1 + x) / 2
    return list(zip(nodes.tolist(), weights.tolist()))
