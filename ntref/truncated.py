r"""Duals of functions that are cut off or bent, by the bivariate normal distribution.

With h = a / sigma, h' = a' / sigma', c = (h - rho h') / sin theta, c' = (h' - rho h) / sin theta, density n and upper
tail Q of a standard normal, and Owen's T(h, c / h) = 1 / (2 pi) int_0^(c/h) exp(-h^2 (1 + x^2) / 2) / (1 + x^2) dx,

    L = P(u > a, v > a') = [Q(h) + Q(h')] / 2 - T(h, c'/h) - T(h', c/h'),                                h, h' >= 0,
    E[(u - a)+ (v - a')+] = s [(rho + h h') L - h' n(h) Q(c') - h n(h') Q(c) + sin theta n(h) n(c')].

Source: Owen 1956 (Ann. Math. Stat. 27) eq. 3.1; Rosenbaum 1961 (J. R. Stat. Soc. B 23).  docs/theory/duals.md#clipped
"""
from functools import lru_cache
from math import log

from .arrays import namespace
from .cov import Cov, Pair, over

__all__ = ['clipped', 'legendre', 'parted']

LARGEST = 1e5           # of the variances: hinges of this size leave a kernel of order 1, to 1e-11
FAR_OUT = 1e4           # standard deviations: nothing is left of a normal distribution, at 50 digits either


def clipped(p, slope, hinges):
    """phi(u) = slope u + sum_i w_i (e_i u - a_i)+, for hinges (w, e, a) with e = 1 or -1 and a >= 0.

    K' = slope^2 K + slope sum_i w_i e_i K [Q(a_i / sigma) + Q(a_i / sigma')] + sum_ij w_i w_j E[(e_i u - a_i)+ (...)+].
    """
    p.refuse_beyond(LARGEST)
    rise, k, known = slope * slope + 0 * p.k, slope * slope * p.k, {}
    for w, e, a in hinges:
        tails = w * e * slope * (_tail(p.xp, _steps(p, a, p.n1)) + _tail(p.xp, _steps(p, a, p.n2)))
        rise, k = rise + tails, k + tails * p.k
        for w2, e2, a2 in hinges:
            if (a, a2, e * e2) not in known:
                known[a, a2, e * e2] = _hinges(p, a, a2, e * e2)
            chance, value = known[a, a2, e * e2]
            rise, k = rise + w * w2 * e * e2 * chance, k + w * w2 * value
    return parted(p, k, lambda own: clipped(own, slope, hinges)[0].k), rise


def parted(p, k, dual):
    """K' with its gap: 0 where u and v are the same, else Q + Q' - 2 K', whose absolute error is that of K'."""
    if p.k is p.q1:
        return Cov(k, 0 * k, 0 * k)
    if p.is_far:
        return Cov(k)
    xp, own1, own2 = namespace(k), *(dual(Pair.same(q)) for q in (p.q1, p.q2))
    return Cov(k, xp.where(p.gap > 0, xp.maximum(own1 + own2 - 2 * k, 0), 0))


def _hinges(p, a1, a2, e):
    """P(u > a, e v > a') and E[(u - a)+ (e v - a')+]."""
    xp, lack, rho = p.xp, over(p.minus if e > 0 else p.plus, p.s), e * over(p.k, p.s)
    if a1 == a2 == 0:
        theta, far = (p.delta, p.far) if e > 0 else (p.theta, p.near)
        return theta / (2 * xp.pi), far / (2 * xp.pi)
    sin, h1, h2 = over(p.area, p.s), _steps(p, a1, p.n1), _steps(p, a2, p.n2)
    c1, c2 = _ratio(xp, h1 - h2 + h2 * lack, sin), _ratio(xp, h2 - h1 + h1 * lack, sin)
    chance = (_tail(xp, h1) + _tail(xp, h2)) / 2 - _owen(xp, h1, c2) - _owen(xp, h2, c1)
    value = (rho + h1 * h2) * chance - h2 * _density(xp, h1) * _tail(xp, c2) - h1 * _density(xp, h2) * _tail(xp, c1)
    return chance, p.s * (value + sin * _density(xp, h1) * _density(xp, c2))


def _steps(p, a, sigma):
    """a in standard deviations."""
    return p.xp.where(sigma * FAR_OUT > a, over(a + 0 * sigma, sigma), FAR_OUT)


def _ratio(xp, c, sin):
    """c / sin, no further out than matters."""
    inside = abs(c) < FAR_OUT * sin
    return xp.where(inside, c, FAR_OUT * xp.sign(c)) / xp.where(inside, sin, 1)


def _tail(xp, h):
    return (1 - xp.erf(h / xp.sqrt(0 * h + 2))) / 2


def _density(xp, h):
    return xp.exp(-h * h / 2) / (2 * xp.pi) ** .5


def _owen(xp, h, c):
    """T(h, c / h) for h >= 0; T(h, a) + T(a h, 1 / a) = 1/4 - G(h) G(a h) for a > 0, G = 1/2 - Q."""
    size = abs(c)
    is_steep = size > h
    m, x = xp.maximum(size, h), over(xp.minimum(size, h), xp.maximum(size, h))
    t, mm, xx = 0 * m, -m * m / 2, x * x
    for y, w in legendre(xp, m, 20):
        yy = 1 + y * y * xx
        t = t + w * xp.exp(mm * yy) / yy
    t = t * x / (2 * xp.pi)
    return xp.sign(c) * xp.where(is_steep, 1 / 4 - (1 / 2 - _tail(xp, h)) * (1 / 2 - _tail(xp, size)) - t, t)


def legendre(xp, like, n):
    """Gauss-Legendre nodes and weights on [0, 1], as many as double precision needs n of; by Newton's iteration."""
    return _legendre(xp, max(n, round(-n * log(xp.eps(like)) / 36)), float(xp.eps(like)))


@lru_cache
def _legendre(xp, n, eps):
    """To the precision of xp, of which eps tells."""
    x = xp.cos(xp.pi * (xp.asarray([i + .75 for i in range(n)]) / (n + .5)))
    for _ in range(8):
        last, now = 0 * x + 1, x
        for m in range(1, n):
            last, now = now, ((2 * m + 1) * x * now - m * last) / (m + 1)
        slope = n * (last - x * now) / (1 - x * x)
        x = x - now / slope
    weights = 1 / ((1 - x * x) * slope * slope)
    return list(zip(((1 + x) / 2).tolist(), weights.tolist()))
