r"""Textbook formulas of duals in ball arithmetic, from q, q' and K alone: K' = E phi(u) phi(v) and E phi'(u) phi'(v).

They share nothing with `ntref.duals`, which computes without cancellation; here precision makes up for that. What is
known of the exact numbers is used where balls are too wide: |K| <= s = sqrt(q q'), so that rho = K / s is in [-1, 1].

Of kinked functions f(rho) = E phi(u) phi(v) / s has the slope E phi' phi', which is bounded. Its ball comes from the
mean value theorem, f(m + r) in f(m) + f'(ball) r, and stays as narrow as that of rho where inputs coincide, though
theta there has half the digits.
"""
from collections.abc import Callable
from math import comb, factorial
from typing import Any, TypeAlias

from ..balls import Undecided, ball, flint, root
from ..stax import Layer
from .ball_integrals import SMOOTH, smooth
from .ball_kinks import elu, hard_tanh, kinked, relu6, selu

__all__ = ['BALL_DUALS', 'ball_dual']

Dual: TypeAlias = tuple[Any, Any]


class _Angle:
    """rho = K / s and theta of a pair; theta is pi / 2 where a variable is constantly 0. `is_same`: u is v."""

    def __init__(self, q, r, k, is_same):
        arb = flint().arb
        self.s = q if is_same else root(q) * root(r)
        self.k = k
        self.pi = arb.pi()
        self.some = True if self.s > 0 else False if self.s == 0 else None
        if is_same:
            self.rho = arb(1)
        elif self.some:
            self.rho = _clipped(k / self.s)
        else:
            self.rho = arb(0) if self.some is False else arb(0, 1)
        self.theta = angle(self.rho)
        self.delta = self.pi - self.theta if self.rho > -.5 else angle(-self.rho)
        self.area2 = arb(0) if is_same else (q * r - k * k).nonnegative_part()

    def chosen(self, value, at_zero):
        """Return the value where no variable is constantly 0, `at_zero` where one is, their union if it is unknown."""
        if self.some is None:
            return value.union(at_zero)
        return value if self.some else flint().arb(at_zero)


def _clipped(rho):
    """Return the part of a ball within [-1, 1], for a number that is there."""
    arb = flint().arb
    low = rho.lower().max(arb(-1))
    high = rho.upper().min(arb(1))
    return low.union(high) if rho.is_finite() else arb(0, 1)


def angle(rho: Any) -> Any:
    """Return arccos rho of an `arb` for a number in [-1, 1]."""
    arb = flint().arb
    if rho < 0:
        return arb.pi() - angle(-rho)
    sin = root((1 - rho) * (1 + rho))
    if sin == 0:
        return arb(0)
    if sin > 0 or rho > 0:
        return arb.atan2(sin, rho).nonnegative_part()
    return arb.pi() / 2 + arb(0, 2)                          # all of [0, pi]


def abrelu(q: Any, r: Any, k: Any, is_same: bool, a: Any, b: Any) -> Dual:
    """K' = s f(rho),  f = c rho + e (sin theta - theta cos theta),  slope = f' = c - e theta.

    c = (a^2 + b^2) / 2,  e = (a - b)^2 / (2 pi).  Source: Cho & Saul 2009 (NIPS 22) eq. 6
    """
    p = _Angle(q, r, k, is_same)
    c = (a * a + b * b) / 2
    e = (a - b) * (a - b) / (2 * p.pi)
    slope = c - e * p.theta
    if p.some is False:
        return flint().arb(0), slope
    m = p.rho.mid()
    f = c * m + e * (root((1 - m) * (1 + m)) - angle(m) * m)
    return p.s * (f + slope * (p.rho - m)), slope


def sign(q: Any, r: Any, k: Any, is_same: bool) -> Dual:
    """K' = 1 - 2 theta / pi, and 0 where a variable is constantly 0.  Source: Cho & Saul 2009 (NIPS 22) eq. 5"""
    p = _Angle(q, r, k, is_same)
    return p.chosen((p.delta - p.theta) / p.pi, 0), flint().arb(0)


def rectified_monomial(q: Any, r: Any, k: Any, is_same: bool, n: int) -> Dual:
    """K' = F_n,  F_(m+1) = (2 m + 1) K F_m + m^2 (q q' - K^2) F_(m-1),  slope = n^2 F_(n-1); a step function for n = 0.

    Source: Cho & Saul 2009 (NIPS 22) eq. 4, as the recursion of docs/theory/duals.md#rectified-monomial
    """
    arb = flint().arb
    p = _Angle(q, r, k, is_same)
    f0 = p.delta / (2 * p.pi)
    if n == 0:
        on = [arb(1) if v == 0 else arb(1) / 2 if v > 0 else (arb(1) / 2).union(1) for v in (q, r)]
        return p.chosen(f0, on[0] * on[1]), arb(0)
    f1, slope = abrelu(q, r, k, is_same, arb(0), arb(1))
    f = [f0, f1]
    for m in range(1, n):
        f_next = (2 * m + 1) * k * f[m] + m * m * p.area2 * f[m - 1]
        f.append(f_next)
    return f[n], slope if n == 1 else n * n * f[n - 1]


def erf(q: Any, r: Any, k: Any, is_same: bool, a: Any, b: Any, c: Any) -> Dual:
    """K' = 2 a^2 / pi atan2(2 b^2 K, sqrt D) + c^2,  slope = 4 a^2 b^2 / (pi sqrt D).

    D = (1 + 2 b^2 q) (1 + 2 b^2 q') - 4 b^4 K^2.  Source: Williams 1997 eq. 11
    """
    arb = flint().arb
    t = b * b
    m = 2 * a * a / arb.pi()
    sqrt_d = root((1 + 2 * t * q) * (1 + 2 * t * r) - 4 * t * t * k * k)
    return m * arb.atan2(2 * t * k, sqrt_d) + c * c, 2 * m * t / sqrt_d


def gelu(q: Any, r: Any, k: Any, is_same: bool) -> Dual:
    """K' = K / 4 + [(K^2 + q q' D) / ((1 + q) (1 + q') sqrt D) + K atan2(K, sqrt D)] / (2 pi),  slope = dK' / dK.

    D = (1 + q) (1 + q') - K^2.  Source: Tsuchida et al. 2021 (arXiv:2002.08517)
    """
    arb = flint().arb
    x = 1 + q
    y = 1 + r
    d = x * y - k * k
    sqrt_d = root(d)
    circle = 2 * arb.pi()
    alpha = arb.atan2(k, sqrt_d)
    value = k / 4 + ((k * k + q * r * d) / (x * y * sqrt_d) + k * alpha) / circle
    slope = arb(1) / 4 + (alpha + k / sqrt_d * (1 / d + 1 / x + 1 / y)) / circle
    return value, slope


def gaussian(q: Any, r: Any, k: Any, is_same: bool, a: Any, b: Any) -> Dual:
    """K' = a^2 / sqrt D,  slope = 4 a^2 b^2 K / D^(3/2),  D = (1 - 2 b q) (1 - 2 b q') - 4 b^2 K^2."""
    d = (1 - 2 * b * q) * (1 - 2 * b * r) - 4 * b * b * k * k
    sqrt_d = root(d)
    return a * a / sqrt_d, 4 * a * a * b * b * k / (d * sqrt_d)


def gabor(q: Any, r: Any, k: Any, is_same: bool) -> Dual:
    """K' = [exp(-g / 2) - exp(-h / 2)] / (2 sqrt D),  g, h = (q + q' + 4 A^2 -+ 2 K) / D,  slope = dK' / dK.

    D = (1 + 2 q) (1 + 2 q') - 4 K^2;  4 A^2 = D - 1 - 2 (q + q').  It is the expectation of cos(u - v) - cos(u + v)
    over 2 under the Gaussian exp(-u^2 - v^2) times the density, of covariance (4 A^2 + (q, q')) / D and K / D.
    """
    d = (1 + 2 * q) * (1 + 2 * r) - 4 * k * k
    sqrt_d = root(d)
    area = 4 * (q * r - k * k)
    near = (-(q + r + area - 2 * k) / d / 2).exp()
    far = (-(q + r + area + 2 * k) / d / 2).exp()
    value = (near - far) / (2 * sqrt_d)
    # dD/dK = -8 K,  d area/dK = -8 K
    rise = (8 * k + 2) / d / 2 - 4 * k * (q + r + area - 2 * k) / (d * d)
    fall = (8 * k - 2) / d / 2 - 4 * k * (q + r + area + 2 * k) / (d * d)
    return value, (near * rise - far * fall) / (2 * sqrt_d) + 4 * k / d * value


def sin(q: Any, r: Any, k: Any, is_same: bool, a: Any, b: Any, c: Any) -> Dual:
    """K' = a^2 / 2 (m - c p),  slope = a^2 b^2 / 2 (m + c p),  m, p = exp(-b^2 (q + q' -+ 2 K) / 2).

    c = cos(2 phase).
    """
    t = b * b
    m = (-t * (q + r - 2 * k) / 2).exp()
    p = (-t * (q + r + 2 * k) / 2).exp()
    return a * a / 2 * (m - c * p), a * a * t / 2 * (m + c * p)


def rbf(q: Any, r: Any, k: Any, is_same: bool, gamma: Any) -> Dual:
    """K' = exp(-gamma (q + q' - 2 K)),  slope = 2 gamma K'.  Source: Rahimi & Recht 2007"""
    value = (-gamma * (q + r - 2 * k)).exp()
    return value, 2 * gamma * value


def exp(q: Any, r: Any, k: Any, is_same: bool, a: Any, b: Any) -> Dual:
    """K' = a^2 exp(b^2 (q + q' + 2 K) / 2),  slope = b^2 K'."""
    t = b * b
    value = a * a * (t * (q + r + 2 * k) / 2).exp()
    return value, t * value


def exp_normalized(q: Any, r: Any, k: Any, is_same: bool, gamma: Any, shift: Any) -> Dual:
    """K' = s exp(gamma (rho + shift)),  slope = gamma exp(gamma (rho + shift)), with rho = 0 where s is 0."""
    p = _Angle(q, r, k, is_same)
    e = (gamma * (p.rho + shift)).exp()
    return p.s * e, gamma * e


def polynomial(q: Any, r: Any, k: Any, is_same: bool, coef: tuple, norm2: Any) -> Dual:
    """K' = sum_l R_l(q) R_l(q') K^l / l! / norm2,  slope = dK' / dK,  R_l(q) = E[d^l phi / du^l].

    E[u^(2 i)] = (2 i)! q^i / (2^i i!).  Source: Daniely et al. 2016 (arXiv:1602.05897) section 8
    """
    arb = flint().arb

    def mean_derivative(order, v):
        total = arb(0)
        for n in range(order, len(coef), 2):
            i = (n - order) // 2
            falling = factorial(n) // factorial(n - order)
            moment = comb(2 * i, i) * factorial(i) * _power(v, i) / 2 ** i
            total += coef[n] * falling * moment
        return total
    value = arb(0)
    slope = arb(0)
    for order in range(len(coef)):
        c = mean_derivative(order, q) * mean_derivative(order, r) / factorial(order)
        value += c * _power(k, order)
        slope += order * c * _power(k, max(order - 1, 0))
    return value / norm2, slope / norm2


def _power(x, n):
    """Return x^n by products: Arb's own power of a ball about 0 is NaN."""
    power = flint().arb(1)
    for _ in range(n):
        power *= x
    return power


# ------------------------------------------------------------------ which layer has which

def _number(x):
    """Return an argument of a layer as an exact `arb`."""
    return ball(x).arb


def _of_phase(layer, turned):
    c = (2 * _number(layer.c)).cos()
    return sin, (_number(layer.a), _number(layer.b), -c if turned else c)


def _of(f, *names):
    return lambda layer: (f, tuple(_number(getattr(layer, name)) for name in names))


def _of_slopes(f):
    return lambda layer: (f, tuple(map(_number, layer.slopes)))


def _of_coefficients(layer):
    return polynomial, (tuple(map(_number, layer.coef)), _number(layer.norm2))


BALL_DUALS: dict[str, Callable] = {
    'ABRelu': _of_slopes(abrelu),
    'Relu': _of_slopes(abrelu),
    'LeakyRelu': _of_slopes(abrelu),
    'Abs': _of_slopes(abrelu),
    'Sign': _of(sign),
    'RectifiedMonomial': lambda layer: (rectified_monomial, (layer.degree,)),
    'Erf': _of(erf, 'a', 'b', 'c'),
    'Sigmoid_like': _of_slopes(erf),
    'Gelu': _of(gelu),
    'Gaussian': _of(gaussian, 'a', 'b'),
    'Gabor': _of(gabor),
    'Sin': lambda layer: _of_phase(layer, False),
    'Cos': lambda layer: _of_phase(layer, True),
    'Rbf': _of(rbf, 'gamma'),
    'Exp': _of(exp, 'a', 'b'),
    'ExpNormalized': _of(exp_normalized, 'gamma', 'shift'),
    'Polynomial': _of_coefficients,
    'Monomial': _of_coefficients,
    'Hermite': _of_coefficients,
    'HardTanh': lambda layer: (kinked, (hard_tanh(),)),
    'Relu6': lambda layer: (kinked, (relu6(),)),
    'Elu': lambda layer: (kinked, (elu(_number(layer.alpha)),)),
    'Selu': lambda layer: (kinked, (selu(*map(_number, layer.scales)),)),
    **dict.fromkeys(SMOOTH, lambda layer: (smooth, (layer.name,))),
}
"""Name of a layer: a function of the layer that gives its formula and the parameters of that."""


def ball_dual(layer: Layer) -> Callable:
    """Return the function (q, q', K) -> (K', slope) of balls for a nonlinearity.

    Raises
    ------
    Undecided : at the working precision K' or the slope may be infinite.
    """
    f, parameters = BALL_DUALS[layer.name](layer)

    def dual(q, r, k):
        value, slope = f(q.arb, r.arb, k.arb, q is r is k, *parameters)
        if not (value.is_finite() and slope.is_finite()):
            raise Undecided(f'expected a finite dual of {layer!r}, got {value} and {slope}.')
        return type(k)(value), type(k)(slope)
    return dual
