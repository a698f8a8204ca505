r"""Adjoints of the duals that are used most, for generic pairs: closed forms, in few passes over memory.

For K' and slope as functions of q, q', K, and cotangents g of K' and h of the slope,

    Kbar = g dK'/dK + h dslope/dK,    qbar = sum over the other side of  g dK'/dq + h dslope/dq,    qbar' likewise,

where dK'/dK is the slope (Price's theorem). Each function has the values of its dual in `ntref.duals`, which hands
`Watched` pairs on to it. It returns K', the slope and their pullback: (g, h) -> functions that give qbar, qbar', Kbar.
The same formulas serve variables paired with themselves, where K = q = q'. Derivation: docs/theory/adjoint.md
"""
from collections.abc import Sequence
from typing import Any

from ..arrays import namespace
from ..types import Number
from .angle import complement_of
from .gaps import hermite_coefficient
from .geometry import over
from .watched import Adjoint, Watched

__all__ = ['abrelu', 'erf', 'exp', 'exp_normalized', 'gaussian', 'gelu', 'polynomial', 'rbf', 'sin']


def _onto(g, q):
    """Return g summed over the axes along which q is broadcast."""
    axes = tuple(axis for axis in range(g.ndim) if q.shape[axis] < g.shape[axis])
    return namespace(g).sum(g, axes, keepdims=True) if axes else g


def _product_onto(a, b, q):
    """Return a b summed over the axes along which q is broadcast; a or b may be a number."""
    shape = a.shape if hasattr(a, 'shape') else b.shape
    summed = [axis for axis in range(len(shape)) if q.shape[axis] < shape[axis]]
    if not summed or not (hasattr(a, 'shape') and hasattr(b, 'shape')):
        return _onto(a * b, q)
    letters = 'abcdefghijklm'[:len(shape)]
    kept = ''.join(letter for axis, letter in enumerate(letters) if axis not in summed)
    return namespace(a, b).einsum(f'{letters},{letters}->{kept}', a, b).reshape(q.shape)


def _half(c, lean, q):
    """Return c / (2 q) times the sum of `lean`, and 0 where q is 0."""
    return over(c * _onto(lean, q), 2 * q)


def _less_square(p, r1, r2, k):
    """Return D = r r' - K^2, where K^2 = (r - 1)^2 for variables with themselves."""
    if p.is_same:
        return 2 * r1 - 1
    d = r1 * r2
    d -= k * k
    return d


def abrelu(p: Watched, a: Number, b: Number) -> Adjoint:
    """K' = slope K + e A,  slope = c - e (pi / 2 - alpha),  c = (a^2 + b^2) / 2,  e = (a - b)^2 / (2 pi).

    dK'/dq = e A / (2 q),  dslope/dK = e / A,  dslope/dq = -e K / (2 q A)
    """
    xp = p.xp
    k = p.k
    c = (a * a + b * b) / 2
    e = (a - b) ** 2 / (2 * xp.pi)
    if p.is_same:                                            # A = 0
        slope = xp.where(k > 0, c, c - e * xp.pi / 2)        # theta = pi / 2 of a variable that is constantly 0
        slope = slope.astype(k.dtype, copy=False)
        return c * k, slope, lambda g, h: [lambda: g * slope]
    area = p.q1 * p.q2
    area -= k * k
    area = xp.sqrt(xp.maximum(area, 0, out=area), out=area)
    alpha: Any = complement_of(k, area, p.n1, p.n2)
    if not (xp.all(p.q1) and xp.all(p.q2)):
        alpha[area == 0] = xp.pi / 2                         # also of variables that are constantly 0: not generic
    near = p.watch(alpha)
    slope = alpha
    slope *= e
    slope += c - e * xp.pi / 2
    value = e * area
    value += k * slope
    if near is not None:
        area[near] = 1                                       # nothing is asked of the derivatives there

    def back(g, h):
        steep = h / area

        def qbar(q):
            return over(e * (_product_onto(g, area, q) - _product_onto(steep, k, q)), 2 * q)

        def kbar():
            kbar = g * slope
            kbar += e * steep
            return kbar
        return lambda: qbar(p.q1), lambda: qbar(p.q2), kbar
    return value, slope, back


def erf(p: Watched, a: Number, b: Number, c: Number) -> Adjoint:
    """K' = m atan2(2 t K, R) + c^2,  slope = 2 m t / R,  R^2 = D = r r' - (2 t K)^2,  r = 1 + 2 t q.

    With t = b^2 and m = 2 a^2 / pi:
    dK'/dq = -t slope K / r,  dslope/dK = 4 t^2 K slope / D,  dslope/dq = -t r' slope / D
    """
    xp = p.xp
    t = b * b
    m = 2 * a * a / xp.pi
    r1 = 1 + 2 * t * p.q1
    r2 = 1 + 2 * t * p.q2
    k = 2 * t * p.k
    d = _less_square(p, r1, r2, k)
    root = xp.sqrt(d)
    value = complement_of(k, root, xp.sqrt(r1), xp.sqrt(r2))
    value *= m
    value += c * c
    slope = 2 * m * t / root

    def back(g, h):
        lean = g * slope
        steep = h * slope
        steep /= d

        def qbar(r, other):
            return -_product_onto(lean, k, r) / (2 * r) - t * _product_onto(steep, other, r)
        return lambda: qbar(r1, r2), lambda: qbar(r2, r1), lambda: lean + 2 * t * (steep * k)
    return value, slope, back


def gelu(p: Watched) -> Adjoint:
    """K' and slope as in `ntref.duals.gelu`, with x = 1 / (1 + q),  D = R^2 = (1 + q) (1 + q') - K^2:

    dK'/dq     = x / (4 pi R) (D - 1 - q + q' - K^2 (2 x + 1 / D))
    dslope/dK  = (1 + w (1 + K^2 / D) + 2 (K / D)^2) / (2 pi R),  w = 1 / D + x + x'
    dslope/dq  = -K / (2 pi R) (x / 2 + x^2 + (1 + q') (w / 2 + 1 / D) / D)
    """
    xp = p.xp
    q1, q2, k = p.q1, p.q2, p.k
    x1 = 1 / (1 + q1)
    x2 = 1 / (1 + q2)
    d = _less_square(p, 1 + q1, 1 + q2, k)
    root = xp.sqrt(d)
    ratio = k / root
    angle = complement_of(k, root, xp.sqrt(1 + q1), xp.sqrt(1 + q2))
    w = 1 / d
    w += x1
    w += x2
    slope = ratio * w
    slope += angle
    slope /= 2 * xp.pi
    slope += 1 / 4
    value = x1 * x2 * ratio
    value += angle
    value *= k
    value += q1 * x1 * (q2 * x2) * root
    value /= 2 * xp.pi
    value += k / 4

    return value, slope, _gelu_back(p, d, w, slope)


def _gelu_back(p, d, w, slope):
    """Return the pullback of `gelu`."""
    q1, q2, k = p.q1, p.q2, p.k
    share = 1 / (2 * p.xp.pi * p.xp.sqrt(d))
    ratio = k / d

    def back(g, h):
        part = share * g
        bent = part * k * k
        even = part * (d - 1) - bent / d
        part *= q2 - q1
        steep = share * h
        kbar = g * slope + steep * (1 + w * (1 + k * ratio) + 2 * ratio * ratio)
        steep *= k
        rest = steep * (w / 2 + 1 / d) / d

        def qbar(q, other, lean):
            x = 1 / (1 + q)
            of_slope = _onto(rest * (1 + other), q) + (x / 2 + x * x) * _onto(steep, q)
            return x * (_onto(lean, q) / 2 - x * _onto(bent, q)) - of_slope
        return lambda: qbar(q1, q2, even + part), lambda: qbar(q2, q1, even - part), lambda: kbar
    return back


# ------------------------------------------------------------------ trigonometric and exponential

def sin(p: Watched, a: Number, b: Number, c: Number) -> Adjoint:
    """K' = a^2/2 (m - c p),  slope = a^2 t/2 (m + c p),  m, p = exp(-t (q + q' -+ 2 K) / 2),  t = b^2.

    dK'/dq = -t K' / 2,  dslope/dK = t^2 K',  dslope/dq = -t slope / 2
    """
    xp = p.xp
    t = b * b
    size = abs(p.k)
    more = size - (p.q1 + p.q2) / 2                          # -(q + q' - 2 |K|) / 2
    more *= t
    more = xp.exp(more, out=more)                            # the larger of m and p
    size *= -2 * t
    less = xp.expm1(size, out=size)                          # the smaller is more + more less
    less *= more
    plus = xp.where(p.k > 0, more + less, more)
    less *= -xp.sign(p.k)                                    # m - p
    value = a * a / 2 * (less + (1 - c) * plus)
    slope = a * a * t / 2 * (less + (1 + c) * plus)

    def back(g, h):
        lean = g * value
        lean += h * slope
        kbar = g * slope
        kbar += t * t * h * value
        return lambda: -t / 2 * _onto(lean, p.q1), lambda: -t / 2 * _onto(lean, p.q2), lambda: kbar
    return value, slope, back


def rbf(p: Watched, gamma: Number) -> Adjoint:
    """K' = exp(-gamma (q + q' - 2 K)),  slope = 2 gamma K'.

    dK'/dq = -gamma K',  dslope/dK = 2 gamma slope,  dslope/dq = -gamma slope
    """
    value = (p.q1 + p.q2) - 2 * p.k
    value = p.xp.maximum(value, 0, out=value)
    value *= -gamma
    value = p.xp.exp(value, out=value)
    return _exponential(p, value, 2 * gamma, -gamma)


def exp(p: Watched, a: Number, b: Number) -> Adjoint:
    """K' = a^2 exp(t (q + q' + 2 K) / 2),  slope = t K',  t = b^2.

    dK'/dq = t K' / 2,  dslope/dK = t slope,  dslope/dq = t slope / 2
    """
    t = b * b
    value = (p.q1 + p.q2) / 2 + p.k
    value *= t
    value = p.xp.exp(value, out=value)
    value *= a * a
    return _exponential(p, value, t, t / 2)


def _exponential(p, value, by_k, by_q):
    """Return the adjoint of K' with dK'/dK = slope = by_k K' and dK'/dq = by_q K'."""
    slope = by_k * value

    def back(g, h):
        total = g * value
        total += h * slope
        return lambda: by_q * _onto(total, p.q1), lambda: by_q * _onto(total, p.q2), lambda: by_k * total
    return value, slope, back


def exp_normalized(p: Watched, gamma: Number, shift: Number, do_clip: bool) -> Adjoint:
    """K' = s exp(gamma (rho + shift)),  slope = gamma K' / s,  rho = K / s,  s = sqrt(q q').

    dK'/dq = (1 - gamma rho) K' / (2 q),  dslope/dK = gamma slope / s,  dslope/dq = -gamma rho slope / (2 q)
    """
    xp = p.xp
    inverse1 = over(p.n1, p.q1)
    inverse2 = over(p.n2, p.q2)
    rho = p.k * inverse1 * inverse2
    if do_clip:
        rho = xp.minimum(xp.maximum(rho, -1), 1)
    rho *= gamma
    slope = gamma * xp.exp(rho + gamma * shift)
    value = p.s * slope / gamma
    if p.is_same:                                            # K' / q and the slope are constant
        return value, slope, lambda g, h: [lambda: g * over(value, p.k) + 0 * p.k]

    def back(g, h):
        lean = g * value
        steep = h * slope
        kbar = gamma * ((lean + steep) * inverse1 * inverse2)
        lean = lean * (1 - rho) - steep * rho
        return lambda: _half(1, lean, p.q1), lambda: _half(1, lean, p.q2), lambda: kbar
    return value, slope, back


def gaussian(p: Watched, a: Number, b: Number) -> Adjoint:
    """K' = a^2 / R,  slope = 4 b^2 K K' / D,  R^2 = D = r r' - (2 b K)^2,  r = 1 - 2 b q.

    dK'/dq = b r' K' / D,  dslope/dK = 4 b^2 (1 + 3 (2 b K)^2 / D) K' / D,  dslope/dq = 3 b r' slope / D
    """
    r1 = 1 - 2 * b * p.q1
    r2 = 1 - 2 * b * p.q2
    k = 2 * b * p.k
    d = _less_square(p, r1, r2, k)
    value = a * a / p.xp.sqrt(d)
    steep = 4 * b * b * value / d
    slope = p.k * steep

    def back(g, h):
        lean = (g * value + 3 * h * slope) / d
        kbar = g * slope + h * steep * (1 + 3 * k * k / d)
        return lambda: b * _onto(lean * r2, p.q1), lambda: b * _onto(lean * r1, p.q2), lambda: kbar
    return value, slope, back


# ------------------------------------------------------------------ polynomials

def polynomial(p: Watched, coef: Sequence[Number], norm2: Number = 1) -> Adjoint:
    """K' = sum_l c_l R_l(q) R_l(q') K^l,  slope = sum_l l c_l R_l(q) R_l(q') K^(l-1),  c_l = 1 / (l! norm2).

    R_l(q) = E[d^l phi / du^l] as in `ntref.duals.polynomial`, and dR_l/dq = R_(l+2) / 2 by the heat equation.
    """
    orders = range(len(coef))
    left = [hermite_coefficient(coef, order, p.q1) / norm2 for order in orders]
    right = [hermite_coefficient(coef, order, p.q2) for order in orders]
    powers = [0 * p.k + 1]                                                             # K^l / l!
    for order in orders[1:]:
        powers.append(powers[-1] * p.k / order)
    below = [0 * p.k, *powers]                                                         # their derivatives in K

    def sums(more):
        """Return the sum over l of R_(l+n) R'_(l+n) K^l / l! for each n in `more`."""
        return [sum((left[n] * right[n] * power for n, power in zip(orders[m:], powers)), 0 * p.k) for m in more]
    value, slope, bent = sums((0, 1, 2))

    def back(g, h):
        def qbar(q, own, others):
            lean = ((g * power + h * less) * other for power, less, other in zip(powers, below, others))
            return sum((r / 2 * _onto(part, q) for r, part in zip(own[2:], lean)), 0 * q)
        return (lambda: qbar(p.q1, left, right), lambda: qbar(p.q2, right, left),
                lambda: g * slope + h * bent)
    return value, slope, back
