r"""Duals of functions in pieces a + b z + e exp(z) in balls, by one rigorous integral for E phi(u) phi(v).

    u = sqrt(q) x,   v given x is normal, of mean m = sqrt(q') rho x and deviation s = sqrt(q' - K^2 / q)

    E phi(u) phi(v) = sum over the pieces of  integral n(x) phi(sqrt(q) x) g(x) dx,  g(x) = E[phi(v) | x]

g is a sum of error functions and exponentials, so each integrand is analytic, and Arb encloses its integral. What lies
beyond |x| = R is at most 2 (R + 1) n(R) (B sqrt(q)) (2 B sqrt(q')), for |phi(z)| <= B |z|.

Where s may be 0 at the working precision, it is compared with v = +-sqrt(q') x, for |phi'| <= B, |phi''| <= C between
kinks, and jumps of phi' of J in all; theta is the angle from there, theta <= pi sqrt((1 -+ rho) / 2):

    |E phi(u) phi(v) - there| <= sqrt(q q') B^2 (1 -+ rho)          since its slope in K is E phi'(u) phi'(v)
    |E phi'(u) phi'(v) - there| <= B theta (C sqrt(q') + J / pi)    since v and +-sqrt(q') x lie on two sides of a kink
                                                                    with probability theta / pi at most

Source: Johansson 2018 (arXiv:1802.07942) for the integrals; Plackett 1954 (Biometrika 41) for the probability.
"""
from math import log, sqrt
from typing import Any, NamedTuple, TypeAlias

from ..balls import Undecided, flint, root

__all__ = ['Piece', 'elu', 'hard_tanh', 'kinked', 'relu6', 'selu']

Dual: TypeAlias = tuple[Any, Any]


class Piece(NamedTuple):
    """phi(z) = a + b z + e exp(z) for low <= z <= high; None is infinity."""
    low: Any
    high: Any
    a: Any
    b: Any
    e: Any

    def value(self, z: Any) -> Any:
        return self.a + self.b * z + self.e * z.exp() if self.e is not None else self.a + self.b * z

    def slope(self, z: Any) -> Any:
        return self.b + self.e * z.exp() if self.e is not None else self.b + 0 * z


class Phi(NamedTuple):
    """Pieces of phi, and the numbers B, C and J: phi(0) = 0."""
    pieces: tuple[Piece, ...]
    steepest: Any
    bend: Any
    jumps: Any


def hard_tanh() -> Phi:
    """max(-1, min(z, 1))"""
    return Phi((Piece(None, -1, -1, 0, None), Piece(-1, 1, 0, 1, None), Piece(1, None, 1, 0, None)), 1, 0, 2)


def relu6() -> Phi:
    """max(0, min(z, 6))"""
    return Phi((Piece(None, 0, 0, 0, None), Piece(0, 6, 0, 1, None), Piece(6, None, 6, 0, None)), 1, 0, 2)


def elu(alpha: Any) -> Phi:
    """alpha (exp(z) - 1) below 0, z above."""
    return selu(flint().arb(1), alpha)


def selu(scale: Any, alpha: Any) -> Phi:
    """scale alpha (exp(z) - 1) below 0, scale z above."""
    low = scale * alpha
    steepest = abs(scale).max(abs(low))
    return Phi((Piece(None, 0, -low, 0, low), Piece(0, None, 0, scale, None)), steepest, abs(low), abs(scale - low))


# ------------------------------------------------------------------ the dual

def kinked(q: Any, r: Any, k: Any, is_same: bool, phi: Phi) -> Dual:
    """Return the dual of a function in pieces for `arb` q, q' and K.

    Where a variable is constantly 0, so is its product with others; phi'(0) is any number up to the steepest slope.

    Raises
    ------
    Undecided : a variance may be 0 at the working precision.
    """
    if q == 0 or r == 0:
        return flint().arb(0), flint().arb(0, 1) * phi.steepest * phi.steepest
    if not (q > 0 and r > 0):
        raise Undecided(f'expected positive variances, got {q} and {r}.')
    n1 = root(q)
    n2 = root(r)
    if is_same:
        return _parallel(phi, n1, n1)
    s = root((r - k * k / q).nonnegative_part())
    if s > 0:
        return _apart(phi, n1, n2, k / n1, s)
    sign = 1 if k > 0 else -1
    value, slope = _parallel(phi, n1, sign * n2)
    lack = (1 - sign * k / (n1 * n2)).nonnegative_part()
    steepest = phi.steepest
    theta = flint().arb.pi() * root(lack / 2)
    unit = flint().arb(0, 1)
    return (value + unit * n1 * n2 * steepest * steepest * lack,
            slope + unit * steepest * theta * (phi.bend * n2 + phi.jumps / flint().arb.pi()))


def _apart(phi, n1, n2, lean, s):
    """Return the dual for a mean `lean` x and a deviation s of v."""
    def value(piece, z):
        return piece.value(n1 * z) * _expected(phi, lean * z, s)

    def slope(piece, z):
        return piece.slope(n1 * z) * _expected_slope(phi, lean * z, s)
    return _integrals(phi, _regions(phi, n1), value, slope, n1 * n2)


def _parallel(phi, n1, n2):
    """Return E phi(n1 x) phi(n2 x) and E phi'(n1 x) phi'(n2 x), where n2 may be negative."""
    def value(pieces, z):
        return pieces[0].value(n1 * z) * pieces[1].value(n2 * z)

    def slope(pieces, z):
        return pieces[0].slope(n1 * z) * pieces[1].slope(n2 * z)
    both = [(low.max(other_low), high.min(other_high), (piece, other))
            for low, high, piece in _regions(phi, n1) for other_low, other_high, other in _regions(phi, n2)]
    return _integrals(phi, both, value, slope, n1 * abs(n2))


def _end():
    """Return R, where n(R) is below the working precision."""
    f = flint()
    return f.arb(int(sqrt(2 * f.ctx.prec * log(2))) + 2)


def _regions(phi, n):
    """Return (low, high, piece) for each piece: n x is in the piece for x between low and high, within [-R, R]."""
    end = _end()
    found = []
    for piece in phi.pieces:
        low = -end if piece.low is None else flint().arb(piece.low) / abs(n)
        high = end if piece.high is None else flint().arb(piece.high) / abs(n)
        low, high = (low, high) if n > 0 else (-high, -low)
        found.append((low.max(-end), high.min(end), piece))
    return found


def _integrals(phi, regions, value, slope, size):
    """Return the integrals of n(x) value(piece, x) and n(x) slope(piece, x) over the regions (low, high, piece).

    A region whose ends are not told apart may be empty: its integral is taken up to the larger of both.
    """
    f = flint()
    end = _end()
    density = (2 * f.arb.pi()).rsqrt()
    beyond = f.arb(0, 1) * 2 * (end + 1) * density * (-end * end / 2).exp() * phi.steepest * phi.steepest
    found = []
    for g, of_size in (value, 2 * size), (slope, 1):
        total = f.acb(0)
        for low, high, piece in regions:
            if not high <= low:
                total += f.acb.integral(lambda z, _: density * (-z * z / 2).exp() * g(piece, z), low, high.max(low))
        if not total.is_finite():
            raise Undecided(f'expected a finite integral, got {total}.')
        found.append(total.real + beyond * of_size)
    return tuple(found)


# ------------------------------------------------------------------ expectations of v, of mean m and deviation s

def _expected(phi, m, s):
    """Return E phi(v), piece by piece: a P + b (m P - s [n]) + e exp(m + s^2 / 2) P_s."""
    total = 0 * m
    for piece in phi.pieces:
        share, rise = _share(piece, m, s)
        total += piece.a * share + piece.b * (m * share - s * rise)
        if piece.e is not None:
            total += piece.e * (m + s * s / 2).exp() * _share(piece, m + s * s, s)[0]
    return total


def _expected_slope(phi, m, s):
    total = 0 * m
    for piece in phi.pieces:
        total += piece.b * _share(piece, m, s)[0]
        if piece.e is not None:
            total += piece.e * (m + s * s / 2).exp() * _share(piece, m + s * s, s)[0]
    return total


def _share(piece, m, s):
    """Return the probability of a piece, and the difference of the density n at its ends."""
    arb = flint().arb
    two = arb(2).sqrt()
    density = (2 * arb.pi()).rsqrt()

    def ends(edge, at_infinity):
        if edge is None:
            return at_infinity, 0
        t = (edge - m) / s
        return (-t / two).erfc() / 2, density * (-t * t / 2).exp()
    low, n_low = ends(piece.low, 0)
    high, n_high = ends(piece.high, 1)
    return high - low, n_high - n_low
