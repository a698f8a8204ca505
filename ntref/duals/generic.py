"""Duals of generic pairs, which K alone describes, in few passes over memory, for NumPy arrays that fit in the cache.

Each function takes a `Pair`, Theta (or None) and parameters, and returns the Cov of K' alone and Theta' = slope Theta.
K' and slope are those of its namesake in `ntref.duals`; here what depends on one input only is a factor for a row or
a column. A pair that is not generic raises NotGeneric.
"""
from collections.abc import Callable, Sequence
from math import cos, factorial, pi
from typing import Any, TypeAlias

import numpy

from ..in_place import scaled
from ..ranges import beyond_range
from ..types import Array, Number
from .angle import complement_of
from .gaps import hermite_coefficient
from .geometry import Cov
from .pair import Dual, Pair

__all__ = ['MAX_ANGLE', 'MIN_ANGLE', 'NotGeneric', 'are_opposite', 'by_dual', 'check_complement', 'erf', 'exp',
           'exp_normalized', 'gabor', 'gaussian', 'gelu', 'has_squares', 'have_zeros', 'polynomial', 'rbf',
           'rectified_monomial', 'right_angle_less', 'sign', 'sin', 'step', 'with_lack']

VARIANCE_RANGE = {4: (1e-12, 1e12), 8: (1e-138, 1e138)}        # by the bytes of a number
MAX_EXPONENT = {4: 30., 8: 300.}                               # likewise: exp of twice that, and of its negative, exist
MIN_EXPONENT = 1 / 8   # of the smallest variance, below which sinh is no difference of exponentials
MAX_SMOOTH_VARIANCE = 32      # largest variance of Erf and Gelu of near pairs: K' loses as many eps there
MIN_ANGLE = .2         # smallest angle of generic pairs: K alone gives larger ones to about 1e-14
MAX_ANGLE = 2.7        # largest angle of generic pairs: beyond, K' of a ReLU has fewer digits
MIN_LACK = .005        # smallest lack of pairs whose gap may still be taken from K, over s: an angle of .1

Fused: TypeAlias = tuple[Cov, Any]     # the Cov of the outputs, and Theta'


class NotGeneric(Exception):
    """Raised if some pairs nearly coincide or are nearly opposite, though they were said to be generic."""


# ------------------------------------------------------------------ which pairs are generic

def check_complement(alpha: Any, most: float = MAX_ANGLE) -> None:
    """Raise NotGeneric unless all alpha are numbers, and pi / 2 - alpha between MIN_ANGLE and `most`."""
    if alpha.size and not pi / 2 - most < alpha.min() <= alpha.max() < pi / 2 - MIN_ANGLE:
        raise NotGeneric


def check_smooth(p: Pair) -> None:
    """Raise NotGeneric unless K has digits enough for a function without kinks, or its angles are generic."""
    if not p.has_digits:
        check_angles(p)


def check_angles(p: Pair) -> None:
    """Raise NotGeneric unless all K are between s cos MAX_ANGLE and s cos MIN_ANGLE."""
    least = _lengths(p, cos(MAX_ANGLE))
    most = _lengths(p, cos(MIN_ANGLE))
    if not (numpy.all(p.k >= least) and numpy.all(p.k <= most)):             # or NaN
        raise NotGeneric


def are_opposite(p: Pair) -> bool:
    """True if some pairs are nearly opposite: there the lack alone does not know the angle."""
    return bool(numpy.any(p.k < _lengths(p, cos(MAX_ANGLE))))


def has_squares(p: Pair) -> bool:
    """True if products of variances and of their differences stay within the range of the numbers."""
    tiny, huge = VARIANCE_RANGE[p.k.dtype.itemsize]
    return tiny < p.reach.least and p.reach.largest < huge


def with_lack(p: Pair) -> Pair:
    """Return pairs that were generic up to here with lack = s - K; raise NotGeneric if that has too few digits.

    The gap of pairs that come near each other little by little may be taken from K where they begin to.
    """
    lack = _lengths(p, 1.)
    least = lack * MIN_LACK
    lack -= p.k
    if not numpy.all(lack >= least) or are_opposite(p):
        raise NotGeneric
    return Pair(p.q1, p.q2, Cov(p.k, lack=lack), False, p.is_spare)


def _lengths(p, factor):
    """Return sqrt(q q') times a factor, in the memory order of K."""
    return _outer(factor * p.n1, p.n2, p.k)


def _outer(left, right, like):
    """Return the product of numbers of the left and of the right members, in the memory order of `like`."""
    return numpy.multiply(left, right, out=numpy.empty_like(like))


def have_zeros(p: Pair) -> bool:
    """True if some variables are constantly 0."""
    return p.reach.has_zeros and not (numpy.all(p.q1 > 0) and numpy.all(p.q2 > 0))


def right_angle_less(
        p: Pair, r1: Array, r2: Array, k: Array, also_near: bool | None = False,
        most: float = MAX_ANGLE) -> tuple[Any, Any]:
    """Return alpha = atan2(k, root), root = sqrt(r1 r2 - k^2), for k of generic pairs, in the memory order of k.

    `also_near` allows pairs that nearly coincide: their root has half the digits only. For `most` see
    `check_complement`.
    """
    if not has_squares(p):
        raise NotGeneric
    root = _outer(r1, r2, k)
    root -= k * k
    if also_near:
        numpy.maximum(root, 0, out=root)
    with beyond_range():                                                     # NaN where it is negative
        numpy.sqrt(root, out=root)
    alpha = complement_of(k, root, numpy.sqrt(r1), numpy.sqrt(r2))
    if not also_near:
        check_complement(alpha, most)
    return alpha, root


def _tangent(p, ntk, slope):
    """Return slope Theta."""
    return None if ntk is None else scaled(ntk, slope, p.is_spare)


def by_dual(p: Pair, ntk: Array | None, dual: Callable[[Pair], Dual]) -> Fused:
    """Return K' and Theta' of generic pairs by any dual."""
    check_angles(p)
    cov, slope = dual(p)
    return Cov(cov.k), None if ntk is None else slope * ntk


# ------------------------------------------------------------------ functions of the angle

def sign(p: Pair, ntk: Array | None) -> Fused:
    """K' = 2 alpha / pi,  slope = 0,  alpha = pi / 2 - theta."""
    alpha, _ = right_angle_less(p, p.q1, p.q2, p.k)
    alpha *= 2 / pi
    return Cov(alpha), _tangent(p, ntk, 0.)


def step(p: Pair, ntk: Array | None) -> Fused:
    """K' = (pi / 2 + alpha) / (2 pi),  slope = 0."""
    if have_zeros(p):
        raise NotGeneric                                                     # a variable that is constantly 0
    alpha, _ = right_angle_less(p, p.q1, p.q2, p.k)
    alpha += pi / 2
    alpha /= 2 * pi
    return Cov(alpha), _tangent(p, ntk, 0.)


def rectified_monomial(p: Pair, ntk: Array | None, n: int) -> Fused:
    """K' = F_n,  slope = n^2 F_(n-1),  F_(m+1) = (2 m + 1) K F_m + m^2 A^2 F_(m-1),  2 pi F_0 = delta,  n > 1.

    F_1 = A + delta K has the derivative delta: errors of A cancel.
    """
    delta, area = right_angle_less(p, p.q1, p.q2, p.k, p.has_digits)
    delta += pi / 2
    delta /= 2 * pi
    last = delta                                                             # F_0
    f = last * p.k
    det = area * area
    area /= 2 * pi
    f += area                                                                # F_1
    for m in range(1, n):
        after = f * p.k
        after *= 2 * m + 1
        last *= det
        last *= m * m
        after += last
        last = f
        f = after
    last *= n * n
    return Cov(f), _tangent(p, ntk, last)


def erf(p: Pair, ntk: Array | None, a: Number, b: Number, c: Number) -> Fused:
    """K' = m alpha + c^2,  slope = 2 m b^2 / sqrt D,  m = 2 a^2 / pi,  alpha = atan2(2 b^2 K, sqrt D),

    D = (1 + 2 b^2 q) (1 + 2 b^2 q') - 4 b^4 K^2.
    """
    m = 2 * a * a / pi
    bb = b * b
    if p.has_digits is False:
        check_angles(p)
    also_near = p.has_digits and bb * p.reach.largest < MAX_SMOOTH_VARIANCE
    alpha, root = right_angle_less(p, 1 + 2 * bb * p.q1, 1 + 2 * bb * p.q2, 2 * bb * p.k, also_near, pi - MIN_ANGLE)
    alpha *= m
    alpha += c * c
    slope = numpy.divide(2 * m * bb, root, out=root)
    return Cov(alpha), _tangent(p, ntk, slope)


def gelu(p: Pair, ntk: Array | None) -> Fused:
    """K' = K/4 + [(K^2 x x' + y y' D) / sqrt D + K alpha] / (2 pi),  alpha = atan2(K, sqrt D),

    slope = 1/4 + [alpha + K / sqrt D (1 / D + x + x')] / (2 pi),
    x = 1 / (1 + q),  y = q / (1 + q),  D = (1 + q) (1 + q') - K^2.
    """
    if p.has_digits is False:
        check_angles(p)
    x1 = 1 / (1 + p.q1)
    x2 = 1 / (1 + p.q2)
    also_near = p.has_digits and p.reach.largest < MAX_SMOOTH_VARIANCE
    alpha, root = right_angle_less(p, 1 + p.q1, 1 + p.q2, p.k, also_near, pi - MIN_ANGLE)
    ratio = p.k / root
    k = ratio * x1
    k *= x2
    k += alpha
    k += pi / 2
    k *= p.k
    volume = root * (p.q1 * x1)
    volume *= p.q2 * x2
    k += volume
    k /= 2 * pi
    if ntk is None:
        return Cov(k), None
    root *= root
    slope = numpy.divide(1, root, out=root)
    slope += x1
    slope += x2
    slope *= ratio
    slope += alpha
    slope /= 2 * pi
    slope += 1 / 4
    return Cov(k), _tangent(p, ntk, slope)


# ------------------------------------------------------------------ exponentials of K

def sin(p: Pair, ntk: Array | None, a: Number, b: Number, cos_2c: Number) -> Fused:
    """K' = a^2/2 e e' (E - cos_2c / E),  slope = a^2 b^2/2 e e' (E + cos_2c / E),  e = exp(-b^2 q / 2),

    E = exp(b^2 K). By sinh and cosh of b^2 K, so that small K' keep their digits.
    """
    t = b * b
    _check_exponents(p, t)
    check_smooth(p)
    left = a * a / 2 * numpy.exp(-t * p.q1 / 2)
    right = numpy.exp(-t * p.q2 / 2)
    odd, even = _sinh_cosh(p, t)
    k = odd * ((1 + cos_2c) * left)
    k += even * ((1 - cos_2c) * left)
    k *= right
    if ntk is None:
        return Cov(k), None
    even *= t * (1 + cos_2c) * left
    odd *= t * (1 - cos_2c) * left
    even += odd
    even *= right
    return Cov(k), _tangent(p, ntk, even)


def _sinh_cosh(p, t):
    """Return sinh(t K) and cosh(t K), from exp(t K) unless the variances are small."""
    if p.reach.has_zeros or t * p.reach.least < MIN_EXPONENT:
        odd = numpy.sinh(t * p.k)
        even = odd * odd
        even += 1
        return odd, numpy.sqrt(even, out=even)
    even = numpy.exp(t * p.k)
    even /= 2
    odd = .25 / even
    even += odd
    odd *= -2
    odd += even
    return odd, even


def rbf(p: Pair, ntk: Array | None, gamma: Number) -> Fused:
    """K' = exp(gamma (2 K - q - q')),  slope = 2 gamma K'."""
    check_smooth(p)
    k = 2 * gamma * p.k
    k -= gamma * p.q1
    k -= gamma * p.q2
    numpy.exp(k, out=k)
    return Cov(k), None if ntk is None else 2 * gamma * k * ntk


def exp(p: Pair, ntk: Array | None, a: Number, b: Number) -> Fused:
    """K' = a^2 exp(b^2 (q / 2 + q' / 2 + K)),  slope = b^2 K'."""
    bb = b * b
    check_smooth(p)
    k = bb * p.k
    k += bb / 2 * p.q1
    k += bb / 2 * p.q2
    numpy.exp(k, out=k)
    k *= a * a
    return Cov(k), None if ntk is None else bb * k * ntk


def exp_normalized(p: Pair, ntk: Array | None, gamma: Number, shift: Number) -> Fused:
    """K' = s e,  slope = gamma e,  e = exp(gamma (K / s + shift)); K / s is 0 where s is."""
    check_smooth(p)
    e = p.k * (gamma / numpy.where(p.q1 > 0, p.n1, 1))
    e /= numpy.where(p.q2 > 0, p.n2, 1)
    e += gamma * shift
    numpy.exp(e, out=e)
    k = e * p.n1
    k *= p.n2
    e *= gamma
    return Cov(k), _tangent(p, ntk, e)


def _check_exponents(p, t):
    """Raise NotGeneric if exp(t q) is out of range."""
    if not t * p.reach.largest < MAX_EXPONENT[p.k.dtype.itemsize]:
        raise NotGeneric


# ------------------------------------------------------------------ Gaussians, and polynomials

def gaussian(p: Pair, ntk: Array | None, a: Number, b: Number) -> Fused:
    """K' = a^2 / sqrt D,  slope = 4 a^2 b^2 K / D^(3/2),  D = (1 - 2 b q) (1 - 2 b q') - 4 b^2 K^2."""
    check_smooth(p)
    d, k = _determinant(p, b)
    value = a * a / numpy.sqrt(d)
    if ntk is None:
        return Cov(value), None
    k *= value
    k *= 2 * b
    k /= d
    return Cov(value), _tangent(p, ntk, k)


def gabor(p: Pair, ntk: Array | None) -> Fused:
    """K' = damp tilt / (2 sqrt D),  slope = damp (2 e + tilt (e + o)) / (2 sqrt D),  tilt = expm1(2 K / D),

    damp = exp(-(1 + (2 K - 1 - q - q') / D) / 2),  e = (1 + 8 K^2 / D) / D,  o = 4 K / D (1 + (1 + q + q') / D),
    D = (1 + 2 q) (1 + 2 q') - 4 K^2.
    """
    check_smooth(p)
    d, k = _determinant(p, -1)                                               # k = -2 K
    numpy.negative(k, out=k)
    ratio = k / d                                                            # 2 K / D
    rest = numpy.add(1 + p.q1, p.q2, out=numpy.empty_like(k))
    rest /= d
    tilt = numpy.expm1(ratio)
    damp = rest - ratio
    damp -= 1
    damp /= 2
    numpy.exp(damp, out=damp)
    damp /= numpy.sqrt(d)
    damp /= 2
    value = damp * tilt
    if ntk is None:
        return Cov(value), None
    even = k * ratio                                                         # 4 K^2 / D
    even *= 2
    even += 1
    even /= d
    odd = rest
    odd += 1
    odd *= ratio
    odd *= 2
    odd += even
    odd *= tilt
    even *= 2
    even += odd
    even *= damp
    return Cov(value), _tangent(p, ntk, even)


def _determinant(p, b):
    """Return D = (1 - 2 b q) (1 - 2 b q') - (2 b K)^2, and 2 b K."""
    k = 2 * b * p.k
    d = _outer(1 - 2 * b * p.q1, 1 - 2 * b * p.q2, k)
    d -= k * k
    return d, k


def polynomial(p: Pair, ntk: Array | None, coef: Sequence[Number], norm2: Number) -> Fused:
    """K' = sum_l R_l(q) R_l(q') K^l / l!,  slope = dK'/dK, of the polynomial over sqrt(norm2), by Horner's scheme."""
    check_smooth(p)
    first, *others = [*reversed(range(len(coef)))] or [0]
    k = _hermite_product(p, coef, norm2, first)
    slope = None
    for order in others:
        if ntk is not None and slope is None:
            slope = k.copy(order='K')
        elif ntk is not None:
            slope *= p.k
            slope += k
        k *= p.k
        if any(coef[order::2]):
            k += _hermite_product(p, coef, norm2, order)
    return Cov(k), _tangent(p, ntk, 0. if slope is None else slope)


def _hermite_product(p, coef, norm2, order):
    """Return R_l(q) R_l(q') / l! of the polynomial over sqrt(norm2), for the order l."""
    left = hermite_coefficient(coef, order, p.q1) / (factorial(order) * norm2)
    return _outer(left, hermite_coefficient(coef, order, p.q2), p.k)
