r"""The dual of phi(u) = u for u > 0, alpha (e^u - 1) for u < 0.

In polar coordinates of two independent standard normals, u = -sigma r cos t, v = -sigma' r cos(t - theta). Over r

    M(c) = int_0^oo r exp(-r^2 / 2 - c r) dr = 1 - F(c),   F(c) = c sqrt(pi/2) erfcx(c / sqrt 2),

and over the angle, with R^2 = q + q' + 2 K and tan psi = A / (q + K), as u + v = -R r cos(t - psi),

    S(sigma, theta) = E[e^u; u < 0 < v] = 1 / (2 pi) int_0^theta M(sigma sin t) dt,
    S(sigma, pi) = E[e^u; u < 0] = erfcx(sigma / sqrt 2) / 2,
    D = E[e^(u + v); u, v < 0] = S(R, pi) - S(R, psi) - S(R, theta - psi),
    W = E[(e^u - 1) (e^v - 1); u, v < 0] = D - S(sigma, delta) - S(sigma', delta) + delta / (2 pi),  delta = pi - theta,
    X = E[(e^u - 1) v; u < 0 < v] = K S(sigma, theta) - sigma' [1 - erfcx(A / (sigma' sqrt 2))] / sqrt(8 pi),

    slope = delta / (2 pi) + alpha [S(sigma, theta) + S(sigma', theta)] + alpha^2 D,
    K' = E[u+ v+] + alpha (X + X') + alpha^2 W.                              Derivation: docs/theory/duals.md#elu
"""
from .arrays import namespace, plain
from .cov import over
from .truncated import legendre, parted

__all__ = ['elu']

LARGEST = 1e8           # of the variances
SMALL = 1.              # sigma + sigma' of W by its series: else a difference of numbers of order 1


def elu(p, alpha):
    """phi(u) = max(u, 0) + alpha (exp(min(u, 0)) - 1)."""
    p.refuse_beyond(LARGEST)
    xp, both = namespace(p.k, alpha), p.delta / (2 * p.xp.pi)
    wedge1, wedge2 = _wedge(p, p.n1, p.area, p.k, p.s), _wedge(p, p.n2, p.area, p.k, p.s)
    r = xp.sqrt(p.antigap)
    whole = _half(xp, r) - sum(_wedge(p, r, p.area, _sum(p, q, other), n * r)
                               for q, other, n in ((p.q1, p.q2, p.n1), (p.q2, p.q1, p.n2)))
    whole = xp.where(r > 0, whole, both)
    mixed = p.k * (wedge1 + wedge2) - _edge(p, p.n1) - _edge(p, p.n2)
    bent = whole - (_half(xp, p.n1) - wedge1) - (_half(xp, p.n2) - wedge2) + both
    small = p.n1 + p.n2 < SMALL
    if xp.any(small):
        i = xp.nonzero(small & (p.k == p.k))
        bent = xp.patch(bent, i, _series(p, i))
    slope = both + alpha * (wedge1 + wedge2) + alpha * alpha * whole
    k = xp.where(p.s > 0, p.far / (2 * xp.pi) + alpha * mixed + alpha * alpha * bent, 0)
    return parted(p, k, lambda own: elu(own, alpha)[0].k), slope


def _sum(p, q, other):
    """q + K, without cancellation where u and v are opposite."""
    opposite = p.antigap + abs(q - other) < abs(p.k)
    return p.xp.where(opposite, (p.antigap + (q - other)) / 2, q + p.k)


def _half(xp, sigma):
    """S(sigma, pi)."""
    return xp.erfcx(sigma * _root_half(sigma)) / 2


def _root_half(like):
    """1 / sqrt 2 in the precision of an array."""
    return namespace(like).sqrt(0 * like + .5)


def _wedge(p, sigma, y, x, length):
    """S(sigma, angle) for the angle of (x, y), y >= 0, of this length; t = tan(angle / 2)."""
    xp, acute = p.xp, x >= 0
    is_angle = length > 0                                                    # else a right one, as for a variance of 0
    top, total = xp.where(is_angle, y, 1) / xp.where(is_angle, length + abs(x), 1), 0 * (x + sigma)
    for node, weight in legendre(xp, x, _nodes(sigma)):
        t = node * top
        slant = 2 / (1 + t * t)
        c = sigma * _root_half(sigma) * slant * t                            # c of M is sqrt 2 times that
        total = total + weight * slant * (1 - xp.pi ** .5 * c * xp.erfcx(c))
    total = total * top / (2 * xp.pi)
    return xp.where(acute, total, _half(xp, sigma) - total)


def _nodes(sigma):
    """As many as give 1e-13."""
    widest = plain(sigma.max()) if sigma.size else 0.
    return 20 + round(min(8 + .45 * widest, 6 * widest ** .5))


def _edge(p, sigma):
    """sigma [1 - erfcx(A / (sigma sqrt 2))] / sqrt(8 pi)."""
    return sigma * (1 - p.xp.erfcx(over(p.area, sigma) * _root_half(p.area))) / (8 * p.xp.pi) ** .5


def _series(p, i):
    """W of the pairs i, by F(c) = sum_n (-1)^(n + 1) m_n c^n / n!,  m_n = E[r^n], where c is small:

    W = 1 / (2 pi) int [F(c) + F(c') - F(c + c')] dt,  c = sigma cos t,  c' = sigma' cos(t - theta), both positive.
    """
    xp = p.xp
    k, area, delta, s1, s2 = (xp.broadcast_to(c, p.k.shape)[i] for c in (p.k, p.area, p.delta, p.n1, p.n2))
    cos, sin = over(k, s1), over(area, s1)                                   # sigma' times those of theta
    total = 0 * k
    for node, weight in legendre(xp, k, 20):
        b = node * delta                                                     # pi / 2 - t
        c1, c2 = s1 * xp.sin(b), cos * xp.sin(b) + sin * xp.cos(b)
        total = total + weight * _bend(xp, c1, xp.maximum(c2, 0))
    return total * delta / (2 * xp.pi)


def _bend(xp, c1, c2):
    """F(c) + F(c') - F(c + c');  (c + c')^n - c^n - c'^n = d_n,  d_(n+1) = (c + c') d_n + c^n c' + c'^n c."""
    c, power1, power2, d, total, n = c1 + c2, c1, c2, 0 * c1, 0 * c1, 1
    last, now, size = 0 * c1 + 1, xp.sqrt(0 * c1 + xp.pi / 2), 1.            # m_n / n! = m_(n-2) / (n-2)! / (n-1)
    while size > xp.eps(c) / 8:
        d = c * d + power1 * c2 + power2 * c1
        power1, power2, n = power1 * c1, power2 * c2, n + 1
        last, now = now, last / (n - 1)
        size = size / n ** .5
        total = total + (-1) ** n * now * d
    return total
