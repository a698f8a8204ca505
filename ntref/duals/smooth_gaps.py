r"""Gap and area of the outputs of duals, without cancellation: of smooth functions; docs/theory/duals.md derives them.

Each function is for `ntref.duals.gaps.beside`: it takes and gives numbers that autograd does not follow.
"""
from math import factorial

from ..arrays import namespace
from ..types import Array, Number
from .geometry import over, sin_minus_t_cos
from .pair import Pair

__all__ = ['erf_area', 'gabor', 'gaussian_lack', 'gelu', 'sin_area']

MIN_SIN2 = .1           # sin^2 of an angle below which the sine is not computed from the cosine


# ------------------------------------------------------------------ trigonometric

def sin_area(p: Pair, k: Array, a: Number, b: Number, c: Number) -> Array:
    """Return A' = sqrt(Q Q') sin(angle), from the cosine or, where that loses digits, by `_small_sin_area`."""
    xp = namespace(p.k, a, b, c)
    t = b * b
    q1 = a * a / 2 * (1 - c - c * xp.expm1(-2 * t * p.q1))               # Q
    q2 = a * a / 2 * (1 - c - c * xp.expm1(-2 * t * p.q2))
    s = xp.sqrt(q1) * xp.sqrt(q2)
    cos = over(k, s)
    sin2 = 1 - cos * cos
    small = xp.nonzero(~(sin2 >= MIN_SIN2))
    area = s * xp.sqrt(xp.maximum(sin2, 0))
    if not len(small[0]):
        return area
    c = xp.broadcast_to(c + 0 * k, k.shape)
    return xp.patch(area, small, _small_sin_area(p.at(small), a, b, c[small]))


def _small_sin_area(p, a, b, c):
    """Return A' from 4 A'^2 / a^4 = (1 - m^2) (1 - c^2 p^2) - c (e - e')^2,  e = exp(-b^2 q), by terms >= 0."""
    xp = namespace(p.k, a, b, c)
    t = b * b
    rise = xp.sqrt(-xp.expm1(-t * p.gap))                                # sqrt(1 - m^2)
    fall = xp.expm1(-t * p.antigap)                                      # p^2 - 1
    de = xp.exp(-t * p.q1) - xp.exp(-t * p.q2)                           # e - e'
    w = t * abs(p.q1 - p.q2) / 2
    sine = _sine_area(xp, t * (p.q1 + p.q2), 2 * t * abs(p.k), w, t * p.area)
    plus = xp.maximum(c, 0)
    minus = xp.maximum(-c, 0)
    odd_rest = rise * xp.sqrt((1 - plus) * (1 + plus + plus * fall))
    even_rest = rise * xp.sqrt(1 - c * c - c * c * fall)
    odd = xp.hypot(xp.sqrt(plus) * sine, odd_rest)
    even = xp.hypot(even_rest, xp.sqrt(minus) * de)
    return a * a / 2 * xp.where(c > 0, odd, even)


def _sine_area(xp, total, d, w, area):
    """Return 2 A' at a = b = c = 1, for total = q + q', d = 2 |K|, w = |q - q'| / 2 and A: the root of

    4 exp(-q - q') [sinh(r + w) sinh(r - w) + sinh x sinh y - sinh^2 r],  x = gap / 2, y = antigap / 2, r^2 = x y.
    """
    r = xp.hypot(w, area)
    total = total + 0 * r
    plus = xp.expm1(-2 * (r + w))
    minus = xp.expm1(-2 * area * over(area, r + w))                      # area^2 / (r + w) = r - w
    angle = xp.sqrt(-plus) * xp.sqrt(-minus)
    angle = xp.exp(-d * over(d, total + 2 * r) / 2) * angle
    lower = xp.minimum(d, 2 * r)
    upper = xp.maximum(d, 2 * r)
    lengths = xp.expm1(-total - upper) * xp.expm1(-lower * over(lower, total + upper))
    lengths = lengths - xp.exp(lower - total) * xp.expm1(-lower) ** 2
    i = xp.nonzero(total < 1)
    if len(i[0]):
        bend = _bend(xp, d[i] * d[i], 4 * r[i] * r[i])
        lengths = xp.patch(lengths, i, 2 * xp.exp(-total[i]) * bend)
    return xp.hypot(angle, xp.sqrt(xp.maximum(lengths, 0)))


def _bend(xp, a, b):
    """Return f(a + b) - f(a) - f(b) + f(0) for f(z) = cosh(sqrt z) = sum_n z^n / (2 n)!, a, b >= 0, a + b < 1."""
    a = xp.minimum(a, 1)
    b = xp.minimum(b, 1)
    power1 = a
    power2 = b
    mixed = 0 * a
    bend = 0 * a
    n = 1
    size = 1.
    enough = xp.eps(a) / 8
    while size > enough:
        mixed = (a + b) * mixed + power1 * b + power2 * a                # (a + b)^n - a^n - b^n
        power1 = power1 * a
        power2 = power2 * b
        n = n + 1
        bend = bend + mixed / factorial(2 * n)
        size = size / (n * (2 * n - 1))
    return bend


# ------------------------------------------------------------------ functions of q + q', K and the area

def erf_area(p: Pair, gap: Array, a: Number, b: Number, c: Number) -> Array:
    """A'^2 = m^2 [alpha(q) alpha(q') - alpha^2] + c^2 gap';  alpha(q) = q f,  alpha = s F of parallel u and v."""
    xp = namespace(p.k, a, b, c)
    m = 2 * a * a / p.xp.pi
    x = _Angles(p, 2 * b * b)
    s = x.s * x.r1 * x.r2                                               # all but A' is divided by s
    f = over(x.alpha_s, s)                                               # F
    fall = over(x.lack, s)
    e1 = over(x.e1, s)
    e2 = over(x.e2, s)
    r = x.r1 + x.r2
    bent = over(_t_minus_sin(xp, x.alpha_s), s)
    bent1 = over(_bent(xp, x.e1, x.alpha_s), x.q1 * x.r1 * x.r2)
    bent2 = over(_bent(xp, x.e2, x.alpha_s), x.q2 * x.r1 * x.r2)
    d1 = bent1 - x.dq * x.x1 * (x.r2 / r) - bent * over(x.dn, x.n1)      # f - F
    d2 = bent2 + x.dq * x.x2 * (x.r1 / r) + bent * over(x.dn, x.n2)
    f1 = over(xp.arctan2(x.q1, x.own1), x.q1 * x.x1)
    f2 = over(xp.arctan2(x.q2, x.own2), x.q2 * x.x2)
    own = f1 * f2
    by_e = f * (e1 + e2) + e1 * e2                                       # f f' - F^2 by angles
    by_d = f * (d1 + d2) + d1 * d2                                       # or by their ratios to q
    alike = xp.where(abs(e1) < abs(d1), by_e, by_d)                   # from the smaller differences
    parallel = xp.where(9 * f * f < 8 * own, own - f * f, alike)
    squares = parallel + fall * (2 * f - fall)
    return xp.hypot(m * s * xp.sqrt(xp.maximum(squares, 0)), c * xp.sqrt(gap))


def _bent(xp, e, alpha):
    """Return the increase of t - sin t from t = alpha to alpha + e."""
    half = xp.sin(e / 2)
    return 2 * _t_minus_sin(xp, e / 2) + 4 * half * xp.sin(alpha / 2 + e / 4) ** 2


def _t_minus_sin(xp, t):
    """Return t - sin t = t (1 - cos t) - (sin t - t cos t)."""
    small = abs(t) < 1
    series = 2 * t * xp.sin(t / 2) ** 2 - sin_minus_t_cos(xp.where(small, t, 0))
    return xp.where(small, series, t - xp.sin(t))


class _Angles:
    """Angles alpha = atan2(|K|, sqrt D), D = (1 + q) (1 + q') - K^2, of a pair times m; docs/theory/duals.md#gelu

    alpha_s is alpha of parallel u and v (K = s), lack = alpha_s - alpha, e_1 = alpha(q) - alpha_s, e_2 likewise.
    """

    def __init__(self, p, m):
        xp = self.xp = namespace(p.k, m)
        self.q1 = m * p.q1
        self.q2 = m * p.q2
        self.k = m * abs(p.k)
        self.s = m * p.s
        self.dq = m * (p.q1 - p.q2)
        self.n1 = xp.sqrt(self.q1)
        self.n2 = xp.sqrt(self.q2)
        self.area = m * p.area
        self.minus = m * xp.where(p.k > 0, p.minus, p.plus)              # s - |K|
        self.dn = over(self.dq, self.n1 + self.n2)
        self.x1 = 1 / (1 + self.q1)
        self.x2 = 1 / (1 + self.q2)
        self.r1 = xp.sqrt(self.x1)
        self.r2 = xp.sqrt(self.x2)
        self.own1 = xp.sqrt(1 + 2 * self.q1)                             # sqrt D at K = q
        self.own2 = xp.sqrt(1 + 2 * self.q2)                             # sqrt D at K = q'
        self.both = xp.sqrt(1 + self.q1 + self.q2)                       # sqrt D at K = s
        self.root = xp.hypot(self.both, self.area)                       # sqrt D
        self.alpha_s = xp.arctan2(self.s, self.both)
        self.e1 = self._rise(self.q1, self.n1, self.n2, self.dq, self.own1, self.x1)
        self.e2 = self._rise(self.q2, self.n2, self.n1, -self.dq, self.own2, self.x2)
        self.lack = self._lack()

    def _lack(self):
        """Return alpha_s - alpha by sin and cos of unit vectors."""
        unit = self.r1 * self.r2
        area = unit * self.area
        k = unit * self.k
        s = unit * self.s
        both = unit * self.both
        root = unit * self.root
        sin = area * over(area, s * root + k * both)
        cos = root * both + s * k
        return self.xp.arctan2(sin, cos)

    def _rise(self, q, n, other, dq, own, x):
        """Return alpha(q) - alpha_s by sin and cos of unit vectors: products of longer ones could overflow."""
        sin = n * self.r1 * self.r2 * over(dq, n * self.both + other * own)
        both = self.both * self.r1 * self.r2
        s = self.s * self.r1 * self.r2
        cos = own * x * both + q * x * s
        return self.xp.arctan2(sin, cos)


def gelu(p: Pair, k: Array) -> tuple[Array, Array]:
    """Return gap' and area' by phi = u / 2 + psi with psi even, which has Q = q f / (2 pi),  E = s (F - fall) / (2 pi).

    fall is 0 where A is.
    """
    xp = p.xp
    x = _Angles(p, 1)
    circle = 2 * p.xp.pi
    sin = over(x.area, x.s)
    cos = over(x.k, x.s)                                                 # |cos theta|
    less = over(x.minus, x.s)                                            # 1 - |cos theta|
    f = x.alpha_s + x.s * (x.x1 + x.x2) / x.both                         # F
    d1 = x.e1 + _gelu_rise(x, x.q1, x.n1, x.dq, x.dn, x.x1, x.x2, x.own1)          # f - F
    d2 = x.e2 + _gelu_rise(x, x.q2, x.n2, -x.dq, -x.dn, x.x2, x.x1, x.own2)
    fall = _gelu_fall(x, sin, less)
    e = f - fall
    f1 = xp.maximum(f + d1, 0)                                          # rounding at unlike lengths
    f2 = xp.maximum(f + d2, 0)
    squares = f * (d1 + d2) + d1 * d2 + fall * (f + e)                   # f f' - (F - fall)^2
    squares = xp.maximum(squares, 0)
    top = xp.sqrt(f1 * f2)
    lack = over(squares, top + e)
    step = over(d1 - d2, xp.sqrt(f1) + xp.sqrt(f2))
    dn = over(x.dq * f + x.q1 * d1 - x.q2 * d2, x.n1 * xp.sqrt(f1) + x.n2 * xp.sqrt(f2))
    crossed = step * step + 2 * xp.where(p.k > 0, lack + less * e, top + cos * e)
    gap = p.gap / 4 + (dn * dn + 2 * x.s * lack) / circle
    area = x.s * xp.sqrt(sin * sin / 16 + squares / circle ** 2 + crossed / (4 * circle))
    return gap, area


def _gelu_rise(x, q, n, dq, dn, x1, x2, own):
    """Return 2 q x / sqrt D(q) - s (x + x') / sqrt D for parallel u and v,  x = 1 / (1 + q)."""
    lengths = n * dn * x1 * (1 + x2 * (1 - x.s))
    roots = 2 * q * x1 * dq / (own * (own + x.both))
    return (lengths - roots) / x.both


def _gelu_fall(x, sin, less):
    """Return F - 2 pi E / s, for less = 1 - |cos theta|."""
    half = x.xp.sin(x.lack / 2)
    sine = 2 * x.both * half * over(half, x.s)
    roots = sin * x.area / (x.root + x.both) * (x.x1 + x.x2 + 1 / (x.root * x.both))
    return (x.alpha_s - x.lack) * less + _t_minus_sin(x.xp, x.lack) + sine + roots


class _Determinants:
    """Products and ratios that stay in range, of D = 1 - 2 b (q + q') + 4 b^2 A^2 and D(q) = 1 - 4 b q.

    r = sqrt D(q),  i = 1 / (r r'),  rest = D i,  lack = 1 / (r r') - 1 / D.
    """

    def __init__(self, p, b):
        xp = namespace(p.k, b)
        self.d1 = 1 - 4 * b * p.q1                                       # D(q)
        self.d2 = 1 - 4 * b * p.q2
        self.r1 = xp.sqrt(self.d1)
        self.r2 = xp.sqrt(self.d2)
        self.i = 1 / self.r1 / self.r2
        self.dq = (p.q1 - p.q2) * self.i
        self.area = p.area * self.i
        parallel = (1 - 2 * b * (p.q1 + p.q2)) * self.i                  # D i where A = 0
        det = p.det_over(self.r1 * self.r2, 1)                           # A^2 i
        self.rest = parallel + 4 * b * b * det
        lengths = self.i * self.dq * self.dq / self.rest
        areas = det * self.i * (parallel / self.rest + 1)
        self.lack = 4 * b * b * (lengths + areas) / (1 + self.rest)


def gaussian_lack(p: Pair, b: Number) -> tuple[Array, Array, Array]:
    """Return r = sqrt(1 - 4 b q), r' = sqrt(1 - 4 b q') and 1 / (r r') - 1 / D."""
    x = _Determinants(p, b)
    return x.r1, x.r2, x.lack


def gabor(p: Pair, k: Array) -> tuple[Array, Array]:
    """Return gap' and area', from Q = v / (2 sqrt D(q)),  v = 1 - exp(-2 q / D(q)),  D(q) = 1 + 4 q.

    v (1 - shift) is v with the D of K in place of D(q).
    """
    xp = p.xp
    k = abs(k)
    x = _Determinants(p, -1)
    dq = x.dq / x.rest                                                   # (q - q') / D
    det = x.area * x.area / x.rest                                       # A^2 / D / (r r')
    size1 = p.q1 / x.d1
    size2 = p.q2 / x.d2
    e1 = xp.exp(-2 * size1)
    e2 = xp.exp(-2 * size2)
    v1 = -xp.expm1(-2 * size1)
    v2 = -xp.expm1(-2 * size2)
    move1 = det * ((1 + 2 * p.q1) / x.r1 * x.r2) + size1 * dq
    move2 = det * ((1 + 2 * p.q2) / x.r2 * x.r1) - size2 * dq
    shift1 = over(e1 * xp.expm1(-4 * move1), v1)
    shift2 = over(e2 * xp.expm1(-4 * move2), v2)
    total = (p.q1 + p.q2) * x.i / x.rest + 4 * x.area / x.rest * p.area       # (q + q' + 4 A^2) / D
    area = x.area / xp.sqrt(x.rest) * xp.sqrt(x.r1) * xp.sqrt(x.r2)                # A / sqrt D
    sine = _sine_area(xp, total, 2 * abs(p.k) * x.i / x.rest, abs(dq) / 2, area)
    size = xp.sqrt(v1) * xp.sqrt(v2)
    shifted = over(sine, size) ** 2 + shift1 + (1 - shift1) * shift2
    sin2 = x.lack + shifted * (x.i / x.rest)
    area = size / 2 * xp.sqrt(xp.maximum(sin2, 0))
    top = size / (2 * xp.sqrt(x.r1) * xp.sqrt(x.r2))                     # sqrt(Q Q')
    n1 = xp.sqrt(v1 / (2 * x.r1))                                        # sqrt Q
    n2 = xp.sqrt(v2 / (2 * x.r2))
    v = xp.where(dq > 0, v2, v1)                                         # of the shorter
    r = xp.where(dq > 0, x.r1, x.r2)                                     # of the longer
    by_e = e2 * xp.expm1(-2 * (p.q1 - p.q2) / x.d1 / x.d2) / (2 * r)
    rise = -2 * v * x.dq / (x.r1 + x.r2) - by_e                          # Q - Q'
    dn = over(rise, n1 + n2)
    gap = dn * dn + 2 * area * over(area, top + k)
    gap = gap + xp.where(p.k < 0, 4 * k, 0)
    return gap, area
