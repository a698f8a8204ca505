r"""Gap and area of the outputs of duals, without cancellation; docs/theory/duals.md derives them.

`beside` gives a dual its gap' and area' as numbers. Autograd needs only derivatives of the formulas that they obey,
Q + Q' - 2 K' and sqrt(Q Q' - K'^2), and `ntref.duals.Pair` has those. Q and Q' are K' of u with itself and of v with
itself.
"""
from math import factorial

from ..arrays import namespace, untraced
from ..derivatives import carried
from .pair import over, sin_minus_t_cos

__all__ = ['arc_cosine', 'beside', 'erf_area', 'exp_normalized', 'gabor', 'gaussian_lack', 'gelu',
           'hermite_coefficient', 'not_negative', 'polynomial', 'rectified_monomial', 'root_of_product', 'sin_area']

SMALL = .1           # sin^2 of an angle below which the sine is not computed from the cosine


def beside(p, k, f, *parameters):
    """Return (gap', area') by f, as numbers; (None, None) for generic pairs.

    `Pair` takes their derivatives from the formulas that they obey.
    """
    if p.is_generic:
        return None, None
    return f(p.numbers, untraced(k), *map(untraced, parameters))


def not_negative(gap):
    """Return max(gap, 0), since rounding may have made the gap negative, with the derivatives of the gap."""
    return carried(namespace(gap).maximum(untraced(gap), 0), gap)


def root_of_product(a, b):
    """Return sqrt(a b) as a number, for a and b that are never negative."""
    a, b = untraced(a), untraced(b)
    xp = namespace(a, b)
    return xp.sqrt(a) * xp.sqrt(b)


# ------------------------------------------------------------------ piecewise, and polynomials

def arc_cosine(delta, j_theta, k, det, n):
    """Return F_0 to F_n of `rectified_monomial` in `ntref.duals`."""
    xp = namespace(k)
    f = [delta / (2 * xp.pi), j_theta / (2 * xp.pi)]
    for m in range(1, n):
        f.append((2 * m + 1) * k * f[m] + m * m * det * f[m - 1])
    return f


def rectified_monomial(p, k, n):
    """Return gap' and area', from lack = {(2 n - 1)!! s^n - E[u^n v^n]} / 2 + (-1)^n F_n(-K)."""
    own = factorial(2 * n) // (2 ** n * factorial(n))                                  # (2 n - 1)!! = 2 Q / q^n
    top = own * p.s ** n / 2
    lack = _monomial_lack(p, n, p.k, p.minus) / 2 + (-1) ** n * arc_cosine(p.theta, p.j_delta, -p.k, p.det, n)[n]
    lack = p.xp.maximum(p.xp.where(p.k >= 0, lack, top - k), 0)
    gap = own * (p.n1 ** n - p.n2 ** n) ** 2 / 2 + 2 * lack
    return gap, p.xp.sqrt(lack) * p.xp.sqrt(2 * top - lack)


def polynomial(p, k, *coef):
    """Return gap', summed term by term, and A': A'^2 is a sum of squares of minors, or for a single power a product."""
    xp, orders = p.xp, range(len(coef))
    left, right = ([hermite_coefficient(coef, order, q) * n ** order for order in orders]
                   for q, n in ((p.q1, p.n1), (p.q2, p.n2)))
    gap = 0 * p.s
    for order, a, b in zip(orders, left, right):
        r = hermite_coefficient(coef, order, p.q1) * hermite_coefficient(coef, order, p.q2)
        gap = gap + ((a - b) ** 2 + 2 * r * _power_lack(p.k, p.s, p.minus, p.det, order)) / factorial(order)
    gap = xp.maximum(gap, 0)
    powers = [order for order in orders if coef[order] != 0]
    if len(powers) == 1:
        return gap, coef[powers[0]] ** 2 * _monomial_area(p, powers[0])
    n1, n2 = (xp.sqrt(sum(c * c / factorial(order) for order, c in enumerate(side))) for side in (left, right))
    left = [over(a, n1) for a in left]
    right = [over(b, n2) for b in right]
    return gap, n1 * n2 * xp.sqrt((_minors(p, left, right) + _minors(p, right, left)) / 2)


def _minors(p, left, right):
    """Return sin^2 of the angle between (a_l) and (b_l rho^l, b_l sqrt(1 - rho^(2 l))), over sqrt(l!), rho = K / s:

    sum_(i<j) (a_i b_j rho^j - a_j b_i rho^i)^2 + sum_l b_l^2 (1 - rho^(2 l))  for sum_l a_l^2 = sum_l b_l^2 = 1.
    """
    total = 0 * p.s
    acute = 1 - over(p.minus, p.s)                                                     # exactly 1 where u is v
    obtuse = over(p.plus, p.s) - 1                                                     # and -1 where u is -v
    rho = p.xp.where(p.s > 0, p.xp.where(p.k > 0, acute, obtuse), 0)
    sin = p.xp.where(p.s > 0, over(p.area, p.s), 1)
    rest = total                                                                       # 1 - rho^(2 j)
    for j, (a, b) in enumerate(zip(left, right)):
        total = total + b * b * rest / factorial(j)
        rest = rest + sin * sin * rho ** (2 * j)
        for i in range(j):
            minor = left[i] * b * rho ** j - a * right[i] * rho ** i
            total = total + minor * minor / (factorial(i) * factorial(j))
    return total


def _monomial_lack(p, n, k, minus):
    """Return (2 n - 1)!! s^n - E[u^n v^n] for the covariance k and minus = s - k."""
    return sum((factorial(n) // (2 ** i * factorial(i))) ** 2 * p.s ** (2 * i) / factorial(n - 2 * i)
               * _power_lack(k, p.s, minus, p.det, n - 2 * i) for i in range(n // 2 + 1))


def _monomial_area(p, n):
    """Return A' of u^n, 0 where A is: the root of lack times s' + K', which for odd n is the lack of -K."""
    own = factorial(2 * n) // (2 ** n * factorial(n)) * p.s ** n
    lack = _monomial_lack(p, n, p.k, p.minus)
    rest = _monomial_lack(p, n, -p.k, p.plus) if n % 2 else 2 * own - lack
    return p.xp.sqrt(p.xp.maximum(lack, 0)) * p.xp.sqrt(p.xp.maximum(rest, 0))


def _power_lack(k, s, minus, det, n):
    """Return s^n - k^n = (s - k) (...) or (s^2 - k^2) (...), for minus = s - k and det = s^2 - k^2."""
    if n == 0:
        return 0 * s
    step, factor = (1, minus) if n % 2 else (2, det)
    return factor * sum((s ** j * k ** (n - step - j) for j in range(0, n, step)), 0 * s)


def hermite_coefficient(coef, order, q):
    return sum((coef[n] * (factorial(n) // (2 ** i * factorial(i))) * q ** i
                for i, n in enumerate(range(order, len(coef), 2))), 0 * q)


def exp_normalized(p, k, gamma, shift):
    """Return gap' and area', from sqrt(Q Q') = s peak,  lack = -s peak expm1(-gamma (s - K) / s)."""
    xp = namespace(p.k, gamma, shift)
    peak = xp.exp(gamma * (1 + shift) + 0 * p.s)
    lack = xp.maximum(-p.s * peak * xp.expm1(-gamma * over(p.minus, p.s)), 0)
    return p.dn2 * peak + 2 * lack, xp.sqrt(lack) * xp.sqrt(p.s * peak + k)


# ------------------------------------------------------------------ trigonometric

def sin_area(p, k, a, b, c):
    """Return A' = sqrt(Q Q') sin(angle), from the cosine or, where that loses digits, by `_small_sin_area`."""
    xp, t = namespace(p.k, a, b, c), b * b
    n1, n2 = (xp.sqrt(a * a / 2 * (1 - c - c * xp.expm1(-2 * t * q))) for q in (p.q1, p.q2))
    s = n1 * n2
    cos = over(k, s)
    sin2 = 1 - cos * cos
    small = xp.nonzero(~(sin2 >= SMALL))
    area = s * xp.sqrt(xp.maximum(sin2, 0))
    if not len(small[0]):
        return area
    part = p.at(small)
    return xp.patch(area, small, _small_sin_area(part, a, b, xp.broadcast_to(c + 0 * k, k.shape)[small]))


def _small_sin_area(p, a, b, c):
    """Return A' from 4 A'^2 / a^4 = (1 - m^2) (1 - c^2 p^2) - c (e - e')^2,  e = exp(-b^2 q), by terms >= 0."""
    xp, t = namespace(p.k, a, b, c), b * b
    rise, fall = xp.sqrt(-xp.expm1(-t * p.gap)), xp.expm1(-t * p.antigap)              # sqrt(1 - m^2), p^2 - 1
    sine = _sine_area(xp, t * (p.q1 + p.q2), 2 * t * abs(p.k), t * abs(p.q1 - p.q2) / 2, t * p.area)
    plus, minus = xp.maximum(c, 0), xp.maximum(-c, 0)
    odd = xp.hypot(xp.sqrt(plus) * sine, rise * xp.sqrt((1 - plus) * (1 + plus + plus * fall)))
    even = xp.hypot(rise * xp.sqrt(1 - c * c - c * c * fall), xp.sqrt(minus) * (xp.exp(-t * p.q1) - xp.exp(-t * p.q2)))
    return a * a / 2 * xp.where(c > 0, odd, even)


def _sine_area(xp, total, d, w, area):
    """Return 2 A' at a = b = c = 1, for total = q + q', d = 2 |K|, w = |q - q'| / 2 and A: the root of

    4 exp(-q - q') [sinh(r + w) sinh(r - w) + sinh x sinh y - sinh^2 r],  x = gap / 2, y = antigap / 2, r^2 = x y.
    """
    r = xp.hypot(w, area)
    total = total + 0 * r
    angle = xp.sqrt(-xp.expm1(-2 * (r + w))) * xp.sqrt(-xp.expm1(-2 * area * over(area, r + w)))
    lower = xp.minimum(d, 2 * r)
    upper = xp.maximum(d, 2 * r)
    lengths = xp.expm1(-total - upper) * xp.expm1(-lower * over(lower, total + upper))
    lengths = lengths - xp.exp(lower - total) * xp.expm1(-lower) ** 2
    i = xp.nonzero(total < 1)
    if len(i[0]):
        lengths = xp.patch(lengths, i, 2 * xp.exp(-total[i]) * _bend(xp, d[i] * d[i], 4 * r[i] * r[i]))
    return xp.hypot(xp.exp(-d * over(d, total + 2 * r) / 2) * angle, xp.sqrt(xp.maximum(lengths, 0)))


def _bend(xp, a, b):
    """Return f(a + b) - f(a) - f(b) + f(0) for f(z) = cosh(sqrt z) = sum_n z^n / (2 n)!, a, b >= 0, a + b < 1."""
    a, b = (xp.minimum(c, 1) for c in (a, b))
    power1 = a
    power2 = b
    mixed = 0 * a
    bend = 0 * a
    n = 1
    size = 1.
    while size > xp.eps(a) / 8:
        mixed = (a + b) * mixed + power1 * b + power2 * a                              # (a + b)^n - a^n - b^n
        power1 = power1 * a
        power2 = power2 * b
        n = n + 1
        bend = bend + mixed / factorial(2 * n)
        size = size / (n * (2 * n - 1))
    return bend


# ------------------------------------------------------------------ functions of q + q', K and the area

def erf_area(p, gap, a, b, c):
    """A'^2 = m^2 [alpha(q) alpha(q') - alpha^2] + c^2 gap';  alpha(q) = q f,  alpha = s F of parallel u and v."""
    xp, m = namespace(p.k, a, b, c), 2 * a * a / p.xp.pi
    x = _Angles(p, 2 * b * b)
    s = x.s * x.r1 * x.r2                                                              # all but A' is divided by s
    f, fall, e1, e2 = (over(angle, s) for angle in (x.alpha_s, x.lack, x.e1, x.e2))
    bent = over(_t_minus_sin(xp, x.alpha_s), s)
    r = x.r1 + x.r2
    d1 = over(_bent(xp, x.e1, x.alpha_s), x.q1 * x.r1 * x.r2) - x.dq * x.x1 * (x.r2 / r) - bent * over(x.dn, x.n1)
    d2 = over(_bent(xp, x.e2, x.alpha_s), x.q2 * x.r1 * x.r2) + x.dq * x.x2 * (x.r1 / r) + bent * over(x.dn, x.n2)
    own = over(xp.arctan2(x.q1, x.own1), x.q1 * x.x1) * over(xp.arctan2(x.q2, x.own2), x.q2 * x.x2)
    near = xp.where(abs(e1) < abs(d1), f * (e1 + e2) + e1 * e2, f * (d1 + d2) + d1 * d2)            # the smaller
    parallel = xp.where(9 * f * f < 8 * own, own - f * f, near)
    return xp.hypot(m * s * xp.sqrt(xp.maximum(parallel + fall * (2 * f - fall), 0)), c * xp.sqrt(gap))


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
        self.q1, self.q2, self.k, self.s, self.dq = (m * c for c in (p.q1, p.q2, abs(p.k), p.s, p.q1 - p.q2))
        self.n1 = xp.sqrt(self.q1)
        self.n2 = xp.sqrt(self.q2)
        self.area = m * p.area
        self.minus = m * xp.where(p.k > 0, p.minus, p.plus)                            # s - |K|
        self.dn = over(self.dq, self.n1 + self.n2)
        self.x1 = 1 / (1 + self.q1)
        self.x2 = 1 / (1 + self.q2)
        self.r1, self.r2 = xp.sqrt(self.x1), xp.sqrt(self.x2)                          # lengths of (q, own), of s
        own1 = xp.sqrt(1 + 2 * self.q1)
        own2 = xp.sqrt(1 + 2 * self.q2)
        both = xp.sqrt(1 + self.q1 + self.q2)
        self.own1, self.own2, self.both = own1, own2, both                             # sqrt D at K = q, q', s
        self.root = xp.hypot(both, self.area)
        self.alpha_s = xp.arctan2(self.s, both)
        self.e1 = self._rise(self.q1, self.n1, self.n2, self.dq, own1, self.x1)
        self.e2 = self._rise(self.q2, self.n2, self.n1, -self.dq, own2, self.x2)
        area, k, s, both, root = (self.r1 * self.r2 * c for c in (self.area, self.k, self.s, both, self.root))
        self.lack = xp.arctan2(area * over(area, s * root + k * both), root * both + s * k)

    def _rise(self, q, n, other, dq, own, x):
        """Return alpha(q) - alpha_s by sin and cos of unit vectors: products of longer ones could overflow."""
        sin = n * self.r1 * self.r2 * over(dq, n * self.both + other * own)
        cos = own * x * (self.both * self.r1 * self.r2) + q * x * (self.s * self.r1 * self.r2)
        return self.xp.arctan2(sin, cos)


def gelu(p, k):
    """Return gap' and area' by phi = u / 2 + psi with psi even, which has Q = q f / (2 pi),  E = s (F - fall) / (2 pi).

    fall is 0 where A is.
    """
    xp = p.xp
    x = _Angles(p, 1)
    circle = 2 * p.xp.pi
    sum_x = x.x1 + x.x2
    sin = over(x.area, x.s)
    cos = over(x.k, x.s)
    f = x.alpha_s + x.s * sum_x / x.both
    d1 = x.e1 + _gelu_rise(x, x.q1, x.n1, x.dq, x.dn, x.x1, x.x2, x.own1)              # f - F
    d2 = x.e2 + _gelu_rise(x, x.q2, x.n2, -x.dq, -x.dn, x.x2, x.x1, x.own2)
    half, less = xp.sin(x.lack / 2), over(x.minus, x.s)                                # less = 1 - |cos|
    fall = (x.alpha_s - x.lack) * less + _t_minus_sin(xp, x.lack) + 2 * x.both * half * over(half, x.s)
    fall = fall + sin * x.area / (x.root + x.both) * (sum_x + 1 / (x.root * x.both))
    e, f1, f2 = f - fall, xp.maximum(f + d1, 0), xp.maximum(f + d2, 0)                 # rounding at unlike lengths
    squares = xp.maximum(f * (d1 + d2) + d1 * d2 + fall * (f + e), 0)                  # f f' - (F - fall)^2
    top = xp.sqrt(f1 * f2)
    lack = over(squares, top + e)
    step = over(d1 - d2, xp.sqrt(f1) + xp.sqrt(f2))
    dn = over(x.dq * f + x.q1 * d1 - x.q2 * d2, x.n1 * xp.sqrt(f1) + x.n2 * xp.sqrt(f2))
    crossed = step * step + 2 * xp.where(p.k > 0, lack + less * e, top + cos * e)
    area = x.s * xp.sqrt(sin * sin / 16 + squares / circle ** 2 + crossed / (4 * circle))
    return p.gap / 4 + (dn * dn + 2 * x.s * lack) / circle, area


def _gelu_rise(x, q, n, dq, dn, x1, x2, own):
    """Return 2 q x / sqrt D(q) - s (x + x') / sqrt D for parallel u and v,  x = 1 / (1 + q)."""
    return (n * dn * x1 * (1 + x2 * (1 - x.s)) - 2 * q * x1 * dq / (own * (own + x.both))) / x.both


class _Determinants:
    """Products and ratios that stay in range, of D = 1 - 2 b (q + q') + 4 b^2 A^2 and D(q) = 1 - 4 b q.

    r = sqrt D(q),  i = 1 / (r r'),  rest = D i,  lack = 1 / (r r') - 1 / D.
    """

    def __init__(self, p, b):
        xp = namespace(p.k, b)
        self.d1, self.d2 = 1 - 4 * b * p.q1, 1 - 4 * b * p.q2
        self.r1, self.r2 = xp.sqrt(self.d1), xp.sqrt(self.d2)
        self.i = 1 / self.r1 / self.r2
        self.dq = (p.q1 - p.q2) * self.i
        self.area = p.area * self.i
        without = (1 - 2 * b * (p.q1 + p.q2)) * self.i                                 # D i where A = 0
        self.rest = without + 4 * b * b * self.area * p.area
        squares = self.i * self.dq * self.dq / self.rest + self.area * self.area * (without / self.rest + 1)
        self.lack = 4 * b * b * squares / (1 + self.rest)


def gaussian_lack(p, b):
    """Return r = sqrt(1 - 4 b q), r' = sqrt(1 - 4 b q') and 1 / (r r') - 1 / D."""
    x = _Determinants(p, b)
    return x.r1, x.r2, x.lack


def gabor(p, k):
    """Return gap' and area', from Q = v / (2 sqrt D(q)),  v = 1 - exp(-2 q / D(q)),  D(q) = 1 + 4 q.

    v (1 - shift) is v with the D of K in place of D(q).
    """
    xp = p.xp
    k = abs(k)
    x = _Determinants(p, -1)
    dq, size1, size2 = x.dq / x.rest, p.q1 / x.d1, p.q2 / x.d2                         # (q - q') / D
    det = x.area * x.area / x.rest                                                     # A^2 / D / (r r')
    e1 = xp.exp(-2 * size1)
    e2 = xp.exp(-2 * size2)
    v1 = -xp.expm1(-2 * size1)
    v2 = -xp.expm1(-2 * size2)
    shift1 = over(e1 * xp.expm1(-4 * (det * ((1 + 2 * p.q1) / x.r1 * x.r2) + size1 * dq)), v1)
    shift2 = over(e2 * xp.expm1(-4 * (det * ((1 + 2 * p.q2) / x.r2 * x.r1) - size2 * dq)), v2)
    total = (p.q1 + p.q2) * x.i / x.rest + 4 * x.area / x.rest * p.area                # (q + q' + 4 A^2) / D
    area = x.area / xp.sqrt(x.rest) * xp.sqrt(x.r1) * xp.sqrt(x.r2)                    # A / sqrt D
    sine = _sine_area(xp, total, 2 * abs(p.k) * x.i / x.rest, abs(dq) / 2, area)
    size = xp.sqrt(v1) * xp.sqrt(v2)
    sin2 = x.lack + (over(sine, size) ** 2 + shift1 + (1 - shift1) * shift2) * (x.i / x.rest)
    area = size / 2 * xp.sqrt(xp.maximum(sin2, 0))
    top = size / (2 * xp.sqrt(x.r1) * xp.sqrt(x.r2))
    v, r = xp.where(dq > 0, v2, v1), xp.where(dq > 0, x.r1, x.r2)                      # v of shorter, r of longer
    step = p.q1 - p.q2
    rise = -2 * v * x.dq / (x.r1 + x.r2) - e2 * xp.expm1(-2 * step / x.d1 / x.d2) / (2 * r)         # Q - Q'
    dn = over(rise, xp.sqrt(v1 / (2 * x.r1)) + xp.sqrt(v2 / (2 * x.r2)))
    return dn * dn + 2 * area * over(area, top + k) + xp.where(p.k < 0, 4 * k, 0), area
