r"""Dual of the exponential linear unit, phi(u) = u for u > 0 and alpha (e^u - 1) for u < 0.

In polar coordinates of two independent standard normals, u = -sigma r cos t, v = -sigma' r cos(t - theta). The
integral over r is

    M(c) = int_0^oo r exp(-r^2 / 2 - c r) dr = 1 - F(c),   F(c) = c sqrt(pi/2) erfcx(c / sqrt 2),

and those over the angle are, with R^2 = q + q' + 2 K, tan psi = A / (q + K) and u + v = -R r cos(t - psi),

    B(sigma, theta) = 1 / (2 pi) int_0^theta F(sigma sin t) dt,   B(sigma, pi) = [1 - erfcx(sigma / sqrt 2)] / 2,
    E[e^u - 1; u < 0 < v] = -B(sigma, theta),   E[e^u - 1; u, v < 0] = -B(sigma, delta),   delta = pi - theta,
    X = E[(e^u - 1) v; u < 0 < v] = K [theta / (2 pi) - B(sigma, theta)] - sigma' B(A / sigma', pi) 2 / sqrt(8 pi),
    W = E[(e^u - 1) (e^v - 1); u, v < 0]
      = B(sigma, delta) + B(sigma', delta) - B(R, pi) + B(R, psi) + B(R, theta - psi),

and K' = E[u+ v+] + alpha (X + X') + alpha^2 W. The slope and derivatives are sums of such products, too. In the code
`_within` is B, and `_edge` is the last term of X.  Derivation: docs/theory/duals.md#elu
"""
from ..arrays import namespace, plain, untraced
from ..types import Number
from .geometry import over
from .pair import Dual, Pair
from .price import Price
from .truncated import DELTA, HINGE, STEP, Products, combined, legendre, parted

__all__ = ['elu']

MAX_VARIANCE = 1e8      # largest variance that is accepted
SERIES_SIGMA = 1.       # sigma + sigma' below which W is a series: its formula cancels there
INTEGRAL_SIGMA = .25    # smaller of sigma and sigma' below which W is an integral, for that reason
BENT = 'bent'           # (e^u - 1) for u < 0
RAMP = combined([((HINGE, 1, 0), 1)])
BEND = combined([((BENT,), 1)])


def elu(p: Pair, alpha: Number) -> Dual:
    """phi(u) = max(u, 0) + alpha (exp(min(u, 0)) - 1)."""
    p.refuse_beyond(MAX_VARIANCE)
    pair = p.numbers
    number = untraced(alpha)
    cov, slope, products = _elu(pair, number)
    if pair is p and number is alpha:
        return cov, slope

    def expected(f, g):
        return products.total(_at(f, number), _at(g, number))

    def derived(f):
        return tuple(map(products.derived, f))

    def by_alpha(f):
        return f[1:]
    phi = RAMP, BEND                                            # a polynomial in alpha of functions
    price = Price(p, expected, derived, {(phi, phi): cov.k}, (alpha,), (by_alpha,))
    dphi = price.derived(phi)
    price.known[dphi, dphi] = slope
    return cov._replace(k=price(phi, phi)), price(dphi, dphi)


def _elu(p, alpha):
    """Return the Cov and slope of `elu`, and the products that they are made of."""
    products = _Products(p)
    phi = _at((RAMP, BEND), alpha)
    dphi = products.derived(phi)
    k = products.total(phi, phi)
    slope = products.total(dphi, dphi)
    cov = parted(p, k, lambda own: _elu(own, alpha)[0].k)
    return cov, slope, products


def _at(f, alpha):
    """Return the sum of functions f_0 + alpha f_1 + ... for f = (f_0, f_1, ...)."""
    terms = []
    for n, each in enumerate(f):
        for function, c in each:
            terms.append((function, c * alpha ** n))
    return combined(terms)


class _Products(Products):
    """Products of functions that may include (BENT,)."""

    def __init__(self, p):
        super().__init__(p)
        self.narrow = {}                  # B(sigma, min(theta, delta)) of u and of v, by whether the pair is turned

    def derivative(self, name, *at):
        if name == BENT:
            return [((BENT,), 1), ((STEP, -1, 0), 1)]
        return super().derivative(name, *at)

    def product(self, p, f, g):
        name = f[0]
        other, *there = g
        if name != BENT or other == DELTA:
            return super().product(p, f, g)
        if other == BENT:
            return _both_bent(p, self._wedge(self.p, -p.k), self._wedge(self.turned, -p.k))
        opposite = there[0] > 0
        missing = self._wedge(p, p.k if opposite else -p.k)     # -E[e^u - 1; u < 0, v of that sign]
        if other == STEP:
            return -missing
        return p.k * (p.theta / (2 * p.xp.pi) - missing) - _edge(p, p.n2)

    def _wedge(self, p, x):
        """Return B(sigma, theta) for x = K, and B(sigma, delta) for x = -K."""
        is_turned = p is not self.p
        if is_turned not in self.narrow:
            self.narrow[is_turned] = _narrow(p, p.n1, p.area, p.k, p.s)
        return _within(p, p.n1, x, self.narrow[is_turned])

    def mean(self, xp, function, m, t, beyond):
        if function != (BENT,):
            return super().mean(xp, function, m, t, beyond)
        return -_half(xp, t) + 0 * m                                     # m is 0: deltas are at 0


def _sum(p, q, other):
    """Return q + K, without cancellation where u and v are opposite."""
    opposite = p.antigap + abs(q - other) < abs(p.k)
    return p.xp.where(opposite, (p.antigap + (q - other)) / 2, q + p.k)


def _half(xp, sigma):
    """B(sigma, pi) = (1 - erfcx(sigma / sqrt 2)) / 2."""
    return _unity_less_erfcx(xp, sigma * _root_half(sigma)) / 2


def _unity_less_erfcx(xp, c):
    """Return 1 - erfcx(c), for c < 1 as exp(c^2) erf(c) - (exp(c^2) - 1)."""
    small = c < 1
    d = xp.where(small, c, 0)
    by_erf = xp.exp(d * d) * xp.erf(d) - xp.expm1(d * d)
    return xp.where(small, by_erf, 1 - xp.erfcx(c))


def _root_half(like):
    """Return 1 / sqrt 2 in the precision of the array `like`."""
    return namespace(like).sqrt(0 * like + .5)


def _within(p, sigma, x, narrow):
    """Return B(sigma, angle) of an angle, acute where x >= 0, from that of it or of pi - angle, the `narrow` one."""
    return p.xp.where(x >= 0, narrow, _half(p.xp, sigma) - narrow)


def _narrow(p, sigma, y, x, length):
    """Return B(sigma, angle) for the angle of the vector (|x|, y), y >= 0, of this length; t = tan(angle / 2)."""
    xp = p.xp
    is_angle = length > 0                                      # else a right angle: a variance is 0
    top = xp.where(is_angle, y, 1) / xp.where(is_angle, length + abs(x), 1)
    total = 0 * (x + sigma)
    for node, weight in legendre(xp, x, _nodes(sigma)):
        t = node * top
        slant = 2 / (1 + t * t)
        total = total + weight * slant * _f(xp, sigma * slant * t)
    return total * top / (2 * xp.pi)


def _f(xp, c):
    """Return F(c) = c sqrt(pi/2) erfcx(c / sqrt 2)."""
    c = c * _root_half(c)
    return xp.pi ** .5 * c * xp.erfcx(c)


def _nodes(sigma):
    """Return the number of quadrature nodes that gives 1e-13."""
    widest = plain(sigma.max()) if sigma.size else 0.
    return 20 + round(min(8 + .45 * widest, 6 * widest ** .5))


def _edge(p, sigma):
    """Return sigma [1 - erfcx(A / (sigma sqrt 2))] / sqrt(8 pi)."""
    c = over(p.area, sigma) * _root_half(p.area)
    return sigma * _unity_less_erfcx(p.xp, c) / (8 * p.xp.pi) ** .5


def _both_bent(p, wedge1, wedge2):
    """Return W = E[(e^u - 1) (e^v - 1); u, v < 0], from B(sigma, delta) and B(sigma', delta)."""
    xp = p.xp
    r = xp.sqrt(p.antigap)                                               # R
    small = p.n1 + p.n2 < SERIES_SIGMA
    least = xp.minimum(p.n1, p.n2) + 0 * p.k
    unlike = (least < INTEGRAL_SIGMA) & ~small
    bent = wedge1 + wedge2
    bent = bent - _half(xp, r)
    for q, other, sigma in (p.q1, p.q2, p.n1), (p.q2, p.q1, p.n2):
        x = _sum(p, q, other)
        bent = bent + _within(p, r, x, _narrow(p, r, p.area, x, sigma * r))   # B(R, psi), B(R, theta - psi)
    for where, method in ((small & (p.k == p.k), _series), (unlike, _integral)):
        if xp.any(where):
            i = xp.nonzero(where)
            bent = xp.patch(bent, i, method(p, i))
    return bent


def _integral(p, i):
    """Return W of pairs i with one small variance, by the integral of F(c) + F(c') - F(c + c') itself."""
    xp = p.xp
    delta, s1, s2 = (xp.broadcast_to(c, p.k.shape)[i] for c in (p.delta, p.n1, p.n2))
    sin = xp.sin(delta)
    cos = xp.cos(delta)
    top = xp.sin(delta / 4) / xp.cos(delta / 4)                 # half of the wedge, from either end
    total = 0 * delta
    for node, weight in legendre(xp, delta, _nodes(xp.maximum(s1, s2))):
        t = node * top
        slant = 2 / (1 + t * t)
        x = slant - 1
        y = slant * t
        rest = xp.maximum(sin * x - cos * y, 0)
        bend1 = _bend_unlike(xp, s1 * y, s2 * rest)
        bend2 = _bend_unlike(xp, s1 * rest, s2 * y)
        total = total + weight * slant * (bend1 + bend2)
    return total * top / (2 * xp.pi)


def _bend_unlike(xp, c1, c2):
    """Return F(c) + F(c') - F(c + c') for a small c or c', from F(c + c') - F(c) = c' int_0^1 F'(c + c' t) dt with

    F'(c) = (1 + c^2) F(c) / c - c.
    """
    large = xp.maximum(c1, c2)
    small = xp.minimum(c1, c2)
    root = (xp.pi / 2) ** .5
    total = _f(xp, small)
    for node, weight in legendre(xp, large, 10):
        c = large + small * node
        slope = (1 + c * c) * root * xp.erfcx(c * _root_half(c)) - c     # F'(c)
        total = total - small * weight * slope
    return total


def _series(p, i):
    """Return W of the pairs i, where c is small, by F(c) = sum_n (-1)^(n + 1) m_n c^n / n!,  m_n = E[r^n]:

    W = 1 / (2 pi) int [F(c) + F(c') - F(c + c')] dt,  c = sigma cos t,  c' = sigma' cos(t - theta), both positive.
    """
    xp = p.xp
    k, area, delta, s1 = (xp.broadcast_to(c, p.k.shape)[i] for c in (p.k, p.area, p.delta, p.n1))
    cos = over(k, s1)                                                    # sigma' cos theta
    sin = over(area, s1)                                                 # sigma' sin theta
    total = 0 * k
    for node, weight in legendre(xp, k, 20):
        b = node * delta                                                 # pi / 2 - t
        c1 = s1 * xp.sin(b)
        c2 = cos * xp.sin(b) + sin * xp.cos(b)
        total = total + weight * _bend(xp, c1, xp.maximum(c2, 0))
    return total * delta / (2 * xp.pi)


def _bend(xp, c1, c2):
    """F(c) + F(c') - F(c + c');  (c + c')^n - c^n - c'^n = d_n,  d_(n+1) = (c + c') d_n + c^n c' + c'^n c."""
    c = c1 + c2
    power1 = c1
    power2 = c2
    d = 0 * c1
    total = 0 * c1
    n = 1
    last = 0 * c1 + 1
    now = xp.sqrt(0 * c1 + xp.pi / 2)                          # m_n / n! = m_(n-2) / (n-2)! / (n-1)
    size = 1.
    enough = xp.eps(c) / 8
    while size > enough:
        d = c * d + power1 * c2 + power2 * c1
        power1 = power1 * c1
        power2 = power2 * c2
        n = n + 1
        last, now = now, last / (n - 1)
        size = size / n ** .5
        total = total + (-1) ** n * now * d
    return total
