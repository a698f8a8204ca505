r"""Dual activations: from a Gaussian pair (u, v) to the covariance of (phi(u), phi(v)), one function each.

=====================  =========================  ====================================================
on paper               in code                    meaning
=====================  =========================  ====================================================
q, q', K, A, theta     see `ntref.duals.pair`     numbers of the pair (u, v)
E[phi(u) phi(v)]       ``Cov.k``                  the dual activation, a function of q, q', K
E[phi'(u) phi'(v)]     ``slope``                  its derivative with respect to K (Price's theorem)
=====================  =========================  ====================================================

Each dual takes a `Pair` and parameters and returns `(Cov, slope)`. Constants are Python numbers, so that float32 stays
float32 and mpmath keeps its digits. docs/accuracy.md tabulates the accuracy of each dual.
"""
from collections.abc import Sequence
from math import factorial

from ..arrays import namespace, plain, untraced
from ..derivatives import carried
from ..types import Number
from . import gaps, partials, smooth_gaps
from .geometry import Cov, over
from .pair import Dual, Pair
from .watched import with_adjoint

__all__ = ['abrelu', 'erf', 'exp', 'exp_normalized', 'gabor', 'gaussian', 'gelu', 'polynomial',
           'rbf', 'rectified_monomial', 'sign', 'sin', 'step']


# ------------------------------------------------------------------ positively homogeneous and piecewise constant

@with_adjoint(partials.abrelu, is_singular=True)
def abrelu(p: Pair, a: Number, b: Number) -> Dual:
    """phi(u) = a min(u, 0) + b max(u, 0).

    With c = (a^2 + b^2) / 2 and e = (a - b)^2 / (2 pi), where K >= 0:
    K' = c K + e j_delta,  slope = c - e theta,  gap' = c gap - 2 e j_delta,  lack' = c (s - K) - e j_delta.
    Where K < 0, the equal formulas without cancellation are
    K' = (c j_theta - a b j_delta) / pi,  slope = (c delta + a b theta) / pi.
    Cho & Saul 2009 (NIPS 22) eq. 6; docs/theory/duals.md#relu
    """
    xp = namespace(p.k, a, b)
    c = (a * a + b * b) / 2
    e = (a - b) ** 2 / (2 * p.xp.pi)
    k = c * p.k + e * p.j_delta
    slope = c - e * p.theta
    acute = p.k >= 0
    some_are_obtuse = not xp.all(acute)
    if some_are_obtuse:
        obtuse = (c * p.j_theta - a * b * p.j_delta) / xp.pi
        k = xp.where(acute, k, obtuse)
        obtuse = (c * p.delta + a * b * p.theta) / xp.pi
        slope = xp.where(acute, slope, obtuse)
    if p.is_generic:
        return Cov(k), slope
    gap = c * p.gap - 2 * e * p.j_delta
    lack = c * p.minus - e * p.j_delta
    if some_are_obtuse:
        obtuse = (a + b) ** 2 / 2 * p.s - a * b * p.plus - e * p.j_theta
        lack = xp.where(acute, lack, obtuse)
        obtuse = c * p.dn2 + 2 * lack
        gap = xp.where(acute, gap, obtuse)
    gap = xp.maximum(gap, 0)
    lack = xp.maximum(lack, 0)
    area = xp.sqrt(lack) * xp.sqrt(2 * c * p.s - lack)
    return Cov(k, gap, area), slope


def sign(p: Pair) -> Dual:
    """phi = sign:  K' = 1 - 2 theta / pi, or 0 if a variable is constantly 0; phi' = 0 almost everywhere."""
    xp = p.xp
    is_angle = p.s > 0
    k = xp.where(is_angle, (p.delta - p.theta) / xp.pi, 0)
    gap = xp.where(is_angle, 4 * p.theta / xp.pi, (p.q1 > 0) + (p.q2 > 0))
    area = xp.where(is_angle, 2 * xp.sqrt(p.theta * p.delta) / xp.pi, 0)
    return Cov(k, gap, area), 0 * p.k


def step(p: Pair) -> Dual:
    """phi(u) = 1[u >= 0]:  K' = (pi - theta) / (2 pi),  slope = 0;  phi = 1 where u is constantly 0."""
    xp = p.xp
    is_angle = p.s > 0
    on1 = xp.where(p.q1 > 0, .5, 1 + 0 * p.q1)                           # E phi(u)
    on2 = xp.where(p.q2 > 0, .5, 1 + 0 * p.q2)
    unlike = abs(on1 - on2)
    k = xp.where(is_angle, p.delta / (2 * xp.pi), on1 * on2)
    gap = xp.where(is_angle, p.theta / xp.pi, unlike)
    area = xp.sqrt(p.theta * (xp.pi + p.delta)) / (2 * xp.pi)
    area = xp.where(is_angle, area, unlike)
    return Cov(k, gap, area), 0 * p.k


def rectified_monomial(p: Pair, n: int) -> Dual:
    """phi(u) = 1[u >= 0] u^n:  K' = F_n,  slope = n^2 F_(n-1),  F_(m+1) = (2 m + 1) K F_m + m^2 A^2 F_(m-1), n >= 1.

    The recursion starts from F_0 = delta / (2 pi) and F_1 = j_theta / (2 pi). F_n is s^n J_n(theta) / (2 pi) in
    Cho & Saul 2009 (NIPS 22) eq. 4. It is accurate to rounding, relative to s^n.
    Derivation: docs/theory/duals.md#rectified-monomial.
    """
    f = gaps.arc_cosine(p.delta, p.j_theta, p.k, p.det, n)
    k = f[n]
    slope = n * n * f[n - 1]
    gap, area = gaps.beside(p, k, gaps.rectified_monomial, n)
    return Cov(k, gap, area), slope


@with_adjoint(partials.exp_normalized)
def exp_normalized(p: Pair, gamma: Number, shift: Number, do_clip: bool) -> Dual:
    """K' = s exp(gamma (rho + shift)), rho = K / s; there is no phi.  docs/theory/duals.md#expnormalized"""
    xp = namespace(p.k, gamma, shift)
    rho = over(p.k, p.s)
    if do_clip:
        clipped = xp.minimum(xp.maximum(untraced(rho), -1), 1)
        rho = carried(clipped, rho)
    e = xp.exp(gamma * (rho + shift))
    k = p.s * e
    slope = gamma * e
    gap, area = gaps.beside(p, k, gaps.exp_normalized, gamma, shift)
    return Cov(k, gap, area), slope


# ------------------------------------------------------------------ trigonometric and exponential: functions of the gap

@with_adjoint(partials.sin)
def sin(p: Pair, a: Number, b: Number, c: Number) -> Dual:
    """phi(u) = a sin(b u + phase), c = cos(2 phase):  K' = a^2/2 (m - c p),  slope = a^2 b^2/2 (m + c p).

    m = exp(-b^2 gap / 2) and p = exp(-b^2 antigap / 2), from E exp(i w) = exp(-E[w^2] / 2) at w = b (u -+ v).
    m - p is computed without cancellation, so that small K' keep their digits; docs/theory/duals.md#sin
    """
    xp = namespace(p.k, a, b, c)
    t = b * b
    minus = xp.exp(-t * p.gap / 2)                                       # m
    plus = xp.exp(-t * p.antigap / 2)                                    # p
    acute = p.k > 0
    size = xp.where(acute, p.k, -p.k)
    less = xp.where(acute, -minus, plus) * xp.expm1(-2 * t * size)       # m - p
    k = a * a / 2 * (less + (1 - c) * plus)
    slope = a * a * t / 2 * (less + (1 + c) * plus)
    if p.is_generic:
        return Cov(k), slope
    if p.is_same:
        return Cov(k, 0 * p.k, 0 * p.k), slope
    one = (1 + c) * plus - xp.expm1(-t * p.antigap / 2)                  # 1 + c p
    dn = xp.exp(-t * p.q1) - xp.exp(-t * p.q2)
    gap = -a * a * xp.expm1(-t * p.gap / 2) * one - a * a / 2 * c * dn * dn
    gap = gaps.not_negative(gap)
    area = gaps.beside(p, k, smooth_gaps.sin_area, a, b, c)
    return Cov(k, gap, area), slope


@with_adjoint(partials.rbf)
def rbf(p: Pair, gamma: Number) -> Dual:
    """phi(u) = sqrt 2 sin(sqrt(2 gamma) u + pi/4):  K' = exp(-gamma gap),  slope = 2 gamma K'.  Rahimi & Recht 2007."""
    xp = namespace(p.k, gamma)
    k = xp.exp(-gamma * p.gap)
    slope = 2 * gamma * k
    if p.is_generic:
        return Cov(k), slope
    gap = -2 * xp.expm1(-gamma * p.gap)
    area = gaps.root_of_product(gap / 2, 1 + k)
    return Cov(k, gap, area), slope


@with_adjoint(partials.exp)
def exp(p: Pair, a: Number, b: Number) -> Dual:
    """phi(u) = a exp(b u):  K' = a^2 exp(b^2 (q + q' - gap/2)),  slope = b^2 K',  from E e^w = exp(E[w^2]/2)."""
    xp = namespace(p.k, a, b)
    t = b * b
    k = a * a * xp.exp(t * (p.q1 + p.q2 - p.gap / 2))
    slope = t * k
    if p.is_generic:
        return Cov(k), slope
    top = a * a * xp.exp(t * (p.q1 + p.q2))                              # sqrt(Q Q')
    dn = a * (xp.exp(t * p.q1) - xp.exp(t * p.q2))                       # sqrt Q - sqrt Q'
    lack = -top * xp.expm1(-t * p.gap / 2)
    gap = dn * dn + 2 * lack
    area = gaps.root_of_product(lack, top + k)
    return Cov(k, gap, area), slope


# ------------------------------------------------------------------ functions of q + q', K and the area

@with_adjoint(partials.erf)
def erf(p: Pair, a: Number, b: Number, c: Number) -> Dual:
    """phi(u) = a erf(b u) + c:  K' = a^2 2/pi atan2(2 K, sqrt D) + c^2,  slope = a^2 b^2 4/pi / sqrt D,
    D = 1 + 2 (q + q') + 4 A^2  (with b u for u).    Williams 1997 eq. 11; gap and area: docs/theory/duals.md#erf
    """
    xp = namespace(p.k, a, b, c)
    t = b * b
    q1 = t * p.q1
    q2 = t * p.q2
    k = t * p.k
    root = p.root(1 + 2 * (q1 + q2), 2 * b * b)                          # sqrt D
    m = 2 * a * a / xp.pi
    alpha = xp.arctan2(2 * k, root)
    value = m * alpha + c * c
    slope = 2 * m * b * b / root
    if p.is_generic:
        return Cov(value), slope
    if p.is_same:
        return Cov(value, 0 * k, 0 * k), slope
    negative = k < 0
    size = xp.where(negative, -k, k)  # autograd's second derivative of abs is 1 / |k| - k^2 / |k|^3
    lack1 = _erf_lack(p, b, q1, q1 - q2, size, root)
    lack2 = _erf_lack(p, b, q2, q2 - q1, size, root)
    gap = m * (lack1 + lack2 - 4 * xp.where(negative, alpha, 0))
    gap = gaps.not_negative(gap)
    area = gaps.beside(p, gap, smooth_gaps.erf_area, a, b, c)
    return Cov(value, gap, area), slope


def _erf_lack(p, b, q, dq, k, root):
    """Return alpha(q) - alpha(k) at k = |K|, by sine and cosine.

    alpha(k) = atan2(2 k, sqrt D),  alpha(q) = atan2(2 q, sqrt(1 + 4 q)).
    """
    xp = namespace(k)
    x = q / (1 + 2 * q)
    r = p.xp.sqrt(1 + 4 * q) / (1 + 2 * q)
    c = x * root + k * r
    lack = x * root - k * r
    product = x * over(dq, c) + p.det_over(c, b * b)                  # the same, where that cancels
    lack = xp.where(2 * abs(lack) < c, product, lack)
    return xp.arctan2(2 * lack, r * root + 4 * x * k)


@with_adjoint(partials.gelu)
def gelu(p: Pair) -> Dual:
    """phi(u) = u Phi(u):  K' = K/4 + [(K^2 + q q' D) / ((1 + q)(1 + q') sqrt D) + K atan2(K, sqrt D)] / (2 pi).

    D = (1 + q)(1 + q') - K^2 = 1 + q + q' + A^2;  slope = dK'/dK.
    Source: Tsuchida et al. 2021 (arXiv:2002.08517); docs/theory/duals.md#gelu
    """
    xp = p.xp
    x1 = 1 / (1 + p.q1)
    x2 = 1 / (1 + p.q2)
    y1 = p.q1 * x1
    y2 = p.q2 * x2
    root = p.root(1 + p.q1 + p.q2, 1.)
    angle = xp.arctan2(p.k, root)
    even = x1 * p.k * (x2 * p.k) / root + y1 * y2 * root + p.k * angle
    even_slope = angle + p.k / root * ((1 / root) ** 2 + x1 + x2)
    k = p.k / 4 + even / (2 * xp.pi)
    slope = 1 / 4 + even_slope / (2 * xp.pi)
    gap, area = gaps.beside(p, k, smooth_gaps.gelu)
    return Cov(k, gap, area), slope


@with_adjoint(partials.gaussian)
def gaussian(p: Pair, a: Number, b: Number) -> Dual:
    """phi(u) = a exp(b u^2):  K' = a^2 / sqrt D,  slope = 4 a^2 b^2 K / D^(3/2),  D = 1 - 2 b (q + q') + 4 b^2 A^2.

    Gap and area: docs/theory/duals.md#gaussian
    """
    xp = namespace(p.k, b)
    if not (xp.all(4 * b * p.q1 < 1) and xp.all(4 * b * p.q2 < 1)):
        q = max(plain(p.q1.max()), plain(p.q2.max()))
        raise ValueError(
            'expected variances q with 4 b q < 1, where E[phi^2] = a^2 / sqrt(1 - 4 b q) is '
            f'finite; got q = {q:.3g} at b = {plain(b):.3g}. Scale the weights down, or take b < '
            '0.')
    root = p.root(1 - 2 * b * (p.q1 + p.q2), 2 * b)
    k = a * a / root
    slope = 4 * a * a * b * b * (p.k / root) / root / root
    if p.is_generic:
        return Cov(k), slope
    r1, r2, difference = smooth_gaps.gaussian_lack(p, b)                 # at a = 1: Q Q' - K'^2
    total = 1 / xp.sqrt(r1 * r2) + 1 / root                              # sqrt(Q Q') + K'
    lack = difference / total                                            # sqrt(Q Q') - K'
    dn = 4 * b * (p.q1 - p.q2) / (r1 + r2) / (xp.sqrt(r1) + xp.sqrt(r2))
    gap = a * a * (dn * dn / (r1 * r2) + 2 * lack)
    return Cov(k, gap, untraced(a * a) * gaps.root_of_product(lack, total)), slope


def gabor(p: Pair) -> Dual:
    """phi(u) = exp(-u^2) sin u:  K' = exp(-(1 + (2 K - 1 - q - q') / D) / 2) (exp(2 K / D) - 1) / (2 sqrt D).

    D = 1 + 2 (q + q') + 4 A^2;  slope = dK'/dK.  Derivation, gap and area: docs/theory/duals.md#gabor
    """
    xp = p.xp
    q = p.q1 + p.q2
    root = p.root(1 + 2 * q, 2.)                                         # sqrt D
    d = root * root
    damp = xp.exp(-(1 + (2 * p.k - 1 - q) / d) / 2)
    tilt = xp.expm1(2 * p.k / d)
    e = (1 + 8 * p.k * (p.k / d)) / d
    o = 4 * (p.k / d) * (1 + (1 + q) / d)
    k = damp * tilt / (2 * root)
    slope = damp * (2 * e + tilt * (e + o)) / (2 * root)
    gap, area = gaps.beside(p, k, smooth_gaps.gabor)
    return Cov(k, gap, area), slope


# ------------------------------------------------------------------ polynomials

@with_adjoint(partials.polynomial)
def polynomial(p: Pair, coef: Sequence[Number], norm2: Number = 1) -> Dual:
    """phi(u) = sum_k coef[k] u^k / sqrt(norm2):  K' = sum_l R_l(q) R_l(q') K^l / (l! norm2),  slope = dK'/dK.

    R_l(q) = E[d^l phi / du^l] = sum_i coef[2i + l] (2i + l)! / (2^i i!) q^i: the expansion in Hermite polynomials;
    docs/theory/duals.md#polynomial
    """
    k = 0 * p.s
    slope = 0 * p.s
    for order in range(len(coef)):
        r1 = gaps.hermite_coefficient(coef, order, p.q1)
        r2 = gaps.hermite_coefficient(coef, order, p.q2)
        r = r1 * r2 / factorial(order)
        k = k + r * p.k ** order
        slope = slope + order * r * p.k ** max(order - 1, 0)
    gap, area = gaps.beside(p, k, gaps.polynomial, *coef)
    normed = (None if c is None else c / norm2 for c in (k, gap, area))
    return Cov(*normed), slope / norm2
