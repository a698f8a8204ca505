r"""Duals of smooth functions in balls: the trapezoidal rule for E phi(u) phi(v), with a proved bound of its error.

    u = sqrt(q) x,   v = sqrt(q') (rho x + sigma y),   sigma = sqrt(1 - rho^2),   x and y independent, of density n

    E phi(u) phi(v) = h k sum_ij n(x_i) n(y_j) phi(u_ij) phi(v_ij) + errors,   x_i = i h,  y_j = j k

If w is analytic where |Im z| < a, and the integral of |w(x + i b)| over x is at most W for all |b| < a, the rule misses
the integral of w by at most 2 W / (exp(2 pi a / h) - 1).

Let phi be analytic with |phi(z)| <= A + B |z| where |Im z| <= c. It is taken along y first, with a strip of half-width
b <= c / (sqrt(q') sigma), then along x, with a <= c / sqrt(max(q, q')). |n(x + i a)| = exp(a^2 / 2) n(x), E|x| <= 1
and E x^2 = 1 give

    errors of the rule      2 exp(a^2 / 2) P(a) / (exp(2 pi a / h) - 1) + 2 S exp(b^2 / 2) P(b) / (exp(2 pi b / k) - 1)
    P(a)                    (A + B sqrt(q) (1 + a)) (A + B sqrt(q') (2 + a))
    S                       the largest of h sum_i n(x_i) |x_i|^m, m = 0, 1, 2, over all i
    terms that are left out (A + B sqrt(q)) (A + 2 B sqrt(q')) (t_x S_y + S_x t_y),  t = 2 (R + 1) n(R),  R = N h >= 2

Source: Trefethen & Weideman 2014 (SIAM Review 56) theorem 5.1.
"""
from collections.abc import Callable
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any, TypeAlias

from ..balls import Undecided, flint, root

__all__ = ['SMOOTH', 'Smooth', 'smooth']

SPARE = 24          # bits of the working precision that the errors of the rule may be above its last one
NARROW = .999       # of the widest strip: that it is narrow enough is then decided by balls
Dual: TypeAlias = tuple[Any, Any]
Bound: TypeAlias = tuple[Any, Any]


@dataclass(frozen=True)
class Smooth:
    """A function phi, with what is known of it and of phi' where |Im z| <= c.

    Attributes
    ----------
    values : z -> (phi(z), phi'(z)) for an `arb` z.
    strip : () -> c, the bounds (A, B) of phi, and those of phi'.
    """
    values: Callable[[Any], Dual]
    strip: Callable[[], tuple[Any, Bound, Bound]]


# ------------------------------------------------------------------ the functions

def _tanh(z):
    t = z.tanh()
    return t, 1 - t * t


def _strip_of_tanh():
    """|tanh z| <= tan c for c >= pi / 4, and tanh' = 1 - tanh^2."""
    c = 9 * flint().arb.pi() / 20
    t = c.tan()
    return c, (t, 0), (1 + t * t, 0)


def _logistic(z):
    return 1 / (1 + (-z).exp())


def _of_logistic():
    """c, and l with |L(z)| <= l: |1 + r exp(i t)| >= sin c for r > 0, |t| <= c and c >= pi / 2; 1 - L(z) = L(-z)."""
    c = 9 * flint().arb.pi() / 10
    return c, 1 / c.sin()


def _sigmoid(z):
    value = _logistic(z)
    return value, value * (1 - value)


def _strip_of_sigmoid():
    c, most = _of_logistic()
    return c, (most, 0), (most * most, 0)


def _softplus(z):
    return z.exp().log1p(), _logistic(z)


def _strip_of_softplus():
    """|phi(z)| <= log 2 + l |z|, since phi' = L."""
    c, most = _of_logistic()
    return c, (1, most), (most, 0)


def _swish(z):
    value = _logistic(z)
    return z * value, value + z * value * (1 - value)


def _strip_of_swish():
    c, most = _of_logistic()
    return c, (0, most), (most, most * most)


def _mish(z):
    """z T(z),  T = w (w + 2) / D,  T' = 4 w (w + 1) / D^2,  D = (w + 1)^2 + 1,  w = exp z."""
    w = z.exp()
    d = (w + 1) * (w + 1) + 1
    t = w * (w + 2) / d
    return z * t, t + 4 * z * w * (w + 1) / (d * d)


def _strip_of_mish():
    """|D| >= 2 for Re w >= 0, so |T| = |1 - 2 / D| <= 2, and |w (w + 1)| <= |w + 1|^2 <= |D| + 1, so |T'| <= 3."""
    return flint().arb.pi() / 2, (0, 2), (2, 3)


SMOOTH = {
    'Tanh': Smooth(_tanh, _strip_of_tanh),
    'Sigmoid': Smooth(_sigmoid, _strip_of_sigmoid),
    'Softplus': Smooth(_softplus, _strip_of_softplus),
    'Swish': Smooth(_swish, _strip_of_swish),
    'Mish': Smooth(_mish, _strip_of_mish)}


# ------------------------------------------------------------------ the rule

def smooth(q: Any, r: Any, k: Any, is_same: bool, name: str) -> Dual:
    """Return the dual of a function of SMOOTH for `arb` q, q' and K.

    Raises
    ------
    Undecided : at the working precision it is not sure that the strips are narrow enough.
    """
    phi = SMOOTH[name]
    c, *bounds = phi.strip()
    n1 = root(q)
    if is_same:
        along_x = _Nodes(c, n1)
        return _square(phi, along_x, n1, bounds)
    n2 = root(r)
    s = n1 * n2
    rho = k / s if s > 0 else flint().arb(0)
    step = root((r - k * k / q).nonnegative_part()) if q > 0 else n2                # sqrt(q') sigma
    along_x = _Nodes(c, n1, n2)
    along_y = _Nodes(c, step)
    moves = [step * y for y in along_y.places]
    value = slope = flint().arb(0)
    for x, weight in along_x:
        here = n2 * rho * x
        inner = [phi.values(here + move) for move in moves]
        left, dleft = phi.values(n1 * x)
        value += weight * left * along_y.total(phi_v for phi_v, _ in inner)
        slope += weight * dleft * along_y.total(dphi_v for _, dphi_v in inner)
    return (_within(value, _error(bounds[0], n1, n2, along_x, along_y)),
            _within(slope, _error(bounds[1], n1, n2, along_x, along_y)))


def _square(phi, along_x, n1, bounds):
    """Return E phi(u)^2 and E phi'(u)^2, by the rule along x alone."""
    values = [phi.values(n1 * x) for x in along_x.places]
    found = []
    for i, (most, rise) in enumerate(bounds):
        total = along_x.total(pair[i] * pair[i] for pair in values)
        of_rule = along_x.missed((most + rise * n1 * (1 + along_x.width)) ** 2)
        found.append(_within(total, of_rule + (most + rise * n1) ** 2 * along_x.beyond))
    return tuple(found)


def _error(bound, n1, n2, along_x, along_y):
    most, rise = bound

    def p(a):
        return (most + rise * n1 * (1 + a)) * (most + rise * n2 * (2 + a))
    of_rule = along_x.missed(p(along_x.width)) + along_x.moment * along_y.missed(p(along_y.width))
    left_out = along_x.beyond * along_y.moment + along_x.moment * along_y.beyond
    return of_rule + (most + rise * n1) * (most + 2 * rise * n2) * left_out


def _within(value, error):
    return value + error * flint().arb(0, 1)


class _Nodes:
    """Places and weights of the rule for functions of `lengths` times the variable, analytic where |Im| <= c.

    `width` is the half-width of the strip, `moment` is S, and `beyond` is t.
    """

    def __init__(self, c, *lengths):
        arb = flint().arb
        nats = (flint().ctx.prec - SPARE) * log(2)
        longest = max(float(length.upper()) for length in lengths)
        self.width = 2 * pi / (pi * sqrt(2 / nats))                              # the best, if nothing limits it
        if longest * self.width > float(c) * NARROW:
            self.width = float(c) * NARROW / longest
        if not all(length * self.width < c for length in lengths):
            raise Undecided(f'expected variances that can be told from others, got the roots {lengths}.')
        self.step = 2 * pi * self.width / (nats + self.width ** 2 / 2)
        n = int((sqrt(2 * nats) + 1) / self.step) + 1
        density = (2 * arb.pi()).rsqrt()
        h = arb(self.step)
        self.places = [i * h for i in range(-n, n + 1)]
        self.weights = [density * h * (-x * x / 2).exp() for x in self.places]
        end = n * h
        if not end >= 2:
            raise Undecided(f'expected at least 2 bits more than {SPARE}, got {flint().ctx.prec}.')
        self.beyond = 2 * (end + 1) * density * (-end * end / 2).exp()
        moments = [self.total(abs(x) ** m if m else arb(1) for x in self.places) for m in range(3)]
        self.moment = moments[0].max(moments[1]).max(moments[2]) + self.beyond

    def __iter__(self):
        return zip(self.places, self.weights)

    def total(self, values):
        return sum((weight * value for weight, value in zip(self.weights, values)), flint().arb(0))

    def missed(self, size):
        """Return the bound of the error of the rule, for an integral of at most exp(a^2 / 2) times `size`."""
        arb = flint().arb
        a = arb(self.width)
        return 2 * (a * a / 2).exp() * size / ((2 * arb.pi() * a / arb(self.step)).exp() - 1)
