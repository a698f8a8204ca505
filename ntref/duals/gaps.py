r"""Gap and area of the outputs of duals, without cancellation: of kinked functions and polynomials.

docs/theory/duals.md derives them; those of functions without kinks are in `ntref.duals.smooth_gaps`.

`beside` gives a dual its gap' and area' as numbers. Autograd needs only derivatives of the formulas that they obey,
Q + Q' - 2 K' and sqrt(Q Q' - K'^2), and `ntref.duals.Pair` has those. Q and Q' are K' of u with itself and of v with
itself.
"""
from collections.abc import Callable, Sequence
from math import factorial
from typing import Any

from ..arrays import namespace, untraced
from ..derivatives import carried
from ..types import Array, Number
from .geometry import over
from .pair import Pair

__all__ = ['arc_cosine', 'beside', 'exp_normalized', 'hermite_coefficient', 'not_negative',
           'polynomial', 'rectified_monomial', 'root_of_product']


def beside(p: Pair, k: Array, f: Callable, *parameters: Number) -> Any:
    """Return what f does, (gap', area'), as numbers; (None, None) for generic pairs, zeros of a variable with itself.

    `Pair` takes their derivatives from the formulas that they obey.
    """
    if p.is_generic:
        return None, None
    if p.is_same:
        return 0 * p.numbers.k, 0 * p.numbers.k
    return f(p.numbers, untraced(k), *map(untraced, parameters))


def not_negative(gap: Array) -> Array:
    """Return max(gap, 0), since rounding may have made the gap negative, with the derivatives of the gap."""
    return carried(namespace(gap).maximum(untraced(gap), 0), gap)


def root_of_product(a: Array, b: Array) -> Array:
    """Return sqrt(a b) as a number, for a and b that are never negative."""
    a = untraced(a)
    b = untraced(b)
    xp = namespace(a, b)
    return xp.sqrt(a) * xp.sqrt(b)


# ------------------------------------------------------------------ piecewise, and polynomials

def arc_cosine(delta: Array, j_theta: Array, k: Array, det: Array, n: int) -> list[Array]:
    """Return F_0 to F_n of `rectified_monomial` in `ntref.duals`."""
    xp = namespace(k)
    f = [delta / (2 * xp.pi), j_theta / (2 * xp.pi)]
    for m in range(1, n):
        f_next = (2 * m + 1) * k * f[m] + m * m * det * f[m - 1]
        f.append(f_next)
    return f


def rectified_monomial(p: Pair, k: Array, n: int) -> tuple[Array, Array]:
    """Return gap' and area', from lack = {(2 n - 1)!! s^n - E[u^n v^n]} / 2 + (-1)^n F_n(-K)."""
    xp = p.xp
    own = _double_factorial(n)                                           # 2 Q / q^n
    top = own * p.s ** n / 2                                             # sqrt(Q Q')
    opposite = arc_cosine(p.theta, p.j_delta, -p.k, p.det, n)            # F of (u, -v)
    lack = _monomial_lack(p, n, p.k, p.minus) / 2 + (-1) ** n * opposite[n]
    lack = xp.where(p.k >= 0, lack, top - k)
    lack = xp.maximum(lack, 0)
    dn = p.n1 ** n - p.n2 ** n
    gap = own * dn ** 2 / 2 + 2 * lack
    area = xp.sqrt(lack) * xp.sqrt(2 * top - lack)
    return gap, area


def _double_factorial(n):
    """Return (2 n - 1)!! = (2 n)! / (2^n n!)."""
    return factorial(2 * n) // (2 ** n * factorial(n))


def polynomial(p: Pair, k: Array, *coef: Number) -> tuple[Array, Array]:
    """Return gap', summed term by term, and A': A'^2 is a sum of squares of minors, or for a single power a product."""
    xp = p.xp
    orders = range(len(coef))
    left = []                                                            # a_l = R_l(q) sqrt(q)^l
    right = []
    gap = 0 * p.s
    for order in orders:
        r1 = hermite_coefficient(coef, order, p.q1)
        r2 = hermite_coefficient(coef, order, p.q2)
        a = r1 * p.n1 ** order
        b = r2 * p.n2 ** order
        lack = r1 * r2 * _power_lack(p.k, p.s, p.minus, p.det, order)
        gap = gap + ((a - b) ** 2 + 2 * lack) / factorial(order)
        left.append(a)
        right.append(b)
    gap = xp.maximum(gap, 0)
    powers = [order for order in orders if coef[order] != 0]
    if len(powers) == 1:
        return gap, coef[powers[0]] ** 2 * _monomial_area(p, powers[0])
    n1 = _norm(xp, left)                                                 # sqrt Q
    n2 = _norm(xp, right)
    left = [over(a, n1) for a in left]
    right = [over(b, n2) for b in right]
    sin2 = (_minors(p, left, right) + _minors(p, right, left)) / 2
    return gap, n1 * n2 * xp.sqrt(sin2)


def _norm(xp, side):
    """Return sqrt(sum_l a_l^2 / l!)."""
    return xp.sqrt(sum(a * a / factorial(order) for order, a in enumerate(side)))


def _minors(p, left, right):
    """Return sin^2 of the angle between (a_l) and (b_l rho^l, b_l sqrt(1 - rho^(2 l))), over sqrt(l!), rho = K / s:

    sum_(i<j) (a_i b_j rho^j - a_j b_i rho^i)^2 + sum_l b_l^2 (1 - rho^(2 l))  for sum_l a_l^2 = sum_l b_l^2 = 1.
    """
    xp = p.xp
    total = 0 * p.s
    acute = 1 - over(p.minus, p.s)                                       # exactly 1 where u is v
    obtuse = over(p.plus, p.s) - 1                                       # and -1 where u is -v
    rho = xp.where(p.k > 0, acute, obtuse)
    rho = xp.where(p.s > 0, rho, 0)
    sin = xp.where(p.s > 0, over(p.area, p.s), 1)
    rest = total                                                         # 1 - rho^(2 j)
    for j, (a, b) in enumerate(zip(left, right)):
        total = total + b * b * rest / factorial(j)
        rest = rest + sin * sin * rho ** (2 * j)
        for i in range(j):
            minor = left[i] * b * rho ** j - a * right[i] * rho ** i
            total = total + minor * minor / (factorial(i) * factorial(j))
    return total


def _monomial_lack(p, n, k, minus):
    """Return (2 n - 1)!! s^n - E[u^n v^n] for the covariance k and minus = s - k."""
    lack = 0
    for i in range(n // 2 + 1):
        c = factorial(n) // (2 ** i * factorial(i))
        rest = n - 2 * i
        power = _power_lack(k, p.s, minus, p.det, rest)
        lack = lack + c ** 2 * p.s ** (2 * i) / factorial(rest) * power
    return lack


def _monomial_area(p, n):
    """Return A' of u^n, 0 where A is: the root of lack times s' + K', which for odd n is the lack of -K."""
    xp = p.xp
    own = _double_factorial(n) * p.s ** n
    lack = _monomial_lack(p, n, p.k, p.minus)
    rest = _monomial_lack(p, n, -p.k, p.plus) if n % 2 else 2 * own - lack
    return xp.sqrt(xp.maximum(lack, 0)) * xp.sqrt(xp.maximum(rest, 0))


def _power_lack(k, s, minus, det, n):
    """Return s^n - k^n = (s - k) (...) or (s^2 - k^2) (...), for minus = s - k and det = s^2 - k^2."""
    if n == 0:
        return 0 * s
    step, factor = (1, minus) if n % 2 else (2, det)
    total = 0 * s
    for j in range(0, n, step):
        total = total + s ** j * k ** (n - step - j)
    return factor * total


def hermite_coefficient(coef: Sequence[Number], order: int, q: Array) -> Array:
    """Return R_l(q) of `polynomial` in `ntref.duals`, for l = order."""
    r = 0 * q
    for i, n in enumerate(range(order, len(coef), 2)):
        r = r + coef[n] * (factorial(n) // (2 ** i * factorial(i))) * q ** i
    return r


def exp_normalized(p: Pair, k: Array, gamma: Number, shift: Number) -> tuple[Array, Array]:
    """Return gap' and area', from sqrt(Q Q') = s peak,  lack = -s peak expm1(-gamma (s - K) / s)."""
    xp = namespace(p.k, gamma, shift)
    peak = xp.exp(gamma * (1 + shift) + 0 * p.s)
    lack = -p.s * peak * xp.expm1(-gamma * over(p.minus, p.s))
    lack = xp.maximum(lack, 0)
    gap = p.dn2 * peak + 2 * lack
    area = xp.sqrt(lack) * xp.sqrt(p.s * peak + k)
    return gap, area
