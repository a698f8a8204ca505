r"""Duals of smooth functions by Hermite expansion (Mehler's series), with as many terms as each pair needs.

With sigma = sqrt q, rho = K / s, h_l = He_l / sqrt(l!) and x standard normal,

    b_l = E[phi'(sigma x) h_l(x)],   slope = sum_l b_l b'_l rho^l,
    a_0 = E[phi(sigma x)],           a_(l+1) = sigma b_l / sqrt(l + 1),   K' = sum_l a_l a'_l rho^l,
    lack = sqrt(Q Q') - K' = sqrt(Q Q') sum_l (c_l - c'_l)^2 / 2 + c_l c'_l (1 - rho^l),   c_l = a_l / sqrt Q.

Each coefficient belongs to one input; a pair costs a few operations per term. The truncation error is known: the
b_l^2 add up to E[phi'^2] (Parseval), and the terms from l on are at most |rho|^l times the roots of the missing parts
of both sums. A pair leaves the sum when that is below rounding. phi'(sigma x) is analytic for |Im x| < d / sigma, where
d is the distance of the poles of phi from the real axis, and b_l^2 falls as exp(-2 sqrt(l) d / sigma): for d = pi / 2 a
pair that coincides takes some 130 terms at q = 1 and 160 000 at q = 1000. Derivatives are series of higher derivatives
of phi.
Derivation: docs/theory/duals.md#hermite
"""
from collections.abc import Callable
from itertools import islice
from math import ceil, log, pi
from typing import Any, TypeAlias

from ..arrays import namespace, plain
from ..in_place import increased, scaled
from ..types import Array
from .geometry import Cov, over
from .pair import Dual, Pair
from .price import Price

__all__ = ['MAX_VARIANCE', 'hermite', 'mehler']

MAX_VARIANCE = 1100.    # largest variance that is accepted: beyond, the series is too long
STAGE_DEGREES = 64, 256, 1024, 4096, 16384, 65536, 262144        # the quadrature nodes change
BLOCK_TERMS = 32        # terms between two checks of the remainder
TAIL_TERMS = 8          # last terms of a block: they estimate a remainder that is below rounding
STRIP_PART = .6         # part of the strip used for derivatives: high ones are huge at its edge
REST_EPS = 16           # eps: remainder that may be left out, relative to the largest slope

Function: TypeAlias = Callable[[Any, Array], Array]                      # (xp, z) -> f(z)


def hermite(
        p: Pair, f: Function, df: Function, d: float,
        of_order: Callable[[int], Function]) -> Dual:
    """Return the dual of f with derivatives df and of_order(n > 1), functions of (xp, z), analytic for |Im z| < d."""
    p.refuse_beyond(MAX_VARIANCE)
    plain = p.numbers
    cov, slope = _dual(plain, f, df, d)
    if plain is p:
        return cov, slope
    functions = {0: f, 1: df}

    def function(n):
        return functions[n] if n in functions else of_order(n)

    def expected(m, n):
        return mehler(plain, function(m), function(n), d)
    price = Price(p, expected, lambda n: n + 1, {(0, 0): cov.k, (1, 1): slope})
    return cov._replace(k=price(0, 0)), price(1, 1)


def _dual(p, f, df, d):
    q, (place1, place2) = _distinct(p)
    rows = _Rows(q, p.k, f, df, d)
    if p.is_same:
        return Cov(rows.of('square', place1), 0 * p.k, 0 * p.k), rows.of('rise', place1)
    means = [rows.of('mean', place) for place in (place1, place2)]
    rho = over(p.k, p.s)
    lack1 = None if p.is_generic else over(p.minus, p.s)                 # 1 - rho
    is_obtuse = rho < 0
    plus1 = over(p.plus, p.s) if lack1 is not None and p.xp.any(is_obtuse) else None        # 1 + rho
    slope, k, lack, plus = _sum(rows, (place1, place2), rho, lack1, plus1)
    k = means[0] * means[1] + p.s * k
    if lack is None:
        return Cov(k), slope
    norm1 = rows.of('norm', place1)                                      # sqrt Q
    norm2 = rows.of('norm', place2)
    c1 = over(means[0], norm1)
    c2 = over(means[1], norm2)
    lack = lack + _lack(c1, c2, 0)
    largest = norm1 * norm2                                              # sqrt(Q Q')
    gap = (norm1 - norm2) ** 2 + 2 * largest * lack
    total = p.xp.maximum(largest + k, 0)
    if plus is not None:
        total = p.xp.where(is_obtuse, largest * (plus + _lack(c1, -c2, 0)), total)
    area = p.xp.sqrt(largest * lack) * p.xp.sqrt(total)
    return Cov(k, gap, area), slope


def _distinct(p):
    """Return the distinct variances of the pairs, and the indices among them of those of u and of v."""
    q, places = p.xp.distinct(p.xp.concatenate([p.q1.reshape(-1), p.q2.reshape(-1)]))
    place1 = places[:p.q1.size].reshape(p.q1.shape)
    place2 = places[p.q1.size:].reshape(p.q2.shape)
    return q, (place1, place2)


def mehler(p: Pair, f: Function, g: Function, d: float) -> Array:
    """Return E[f(u) g(v)] = sum_l E[f(sigma x) h_l(x)] E[g(sigma' x) h_l(x)] rho^l, f and g as in `hermite`."""
    xp = p.xp
    q, places = _distinct(p)
    d = STRIP_PART * d
    if p.is_same:
        return _Coefficients(q, p.k, f, d).with_itself(g)[places[0]]
    sides = [_Coefficients(q, p.k, function, d) for function in (f, g)]
    shape = p.k.shape
    rho = over(p.k, p.s).reshape(-1)
    places = [xp.broadcast_to(at, shape).reshape(-1) for at in places]
    total = 0 * rho
    todo = xp.nonzero(rho == rho)[0]
    power = 1 + 0 * rho
    while len(todo):
        for side in sides:
            side.advance()
        for n in range(BLOCK_TERMS):
            b1, b2 = (side.b[n][at] for side, at in zip(sides, places))
            total = increased(total, b1 * b2 * power, todo)
            power = power * rho
        root1, root2 = (side.missing()[at] for side, at in zip(sides, places))
        left = xp.nonzero(abs(power) * root1 * root2 > REST_EPS * xp.eps(rho))[0]
        if 2 * len(left) < len(todo):
            todo = todo[left]
            power = power[left]
            rho = rho[left]
            places = [side.keep([at[left]])[0] for side, at in zip(sides, places)]
    return total.reshape(shape)


def _sum(rows, places, rho, lack1, plus1, power=1., fall=0., rise=0.):
    """Return slope, (K' - a_0 a'_0) / s, lack and plus of pairs of rows, summed from the next degree l on.

    power = rho^l, fall = 1 - rho^l. Pairs stay together until fewer than half of them are unfinished. lack1 = 1 - rho
    is None if no gap is asked for. plus1 = 1 + rho is None if no pair has rho < 0; for these plus is the lack of
    -phi(-v) in place of phi(v), and rise = 1 - |rho|^l.
    """
    xp = namespace(rho)
    power = power + 0 * rho
    slope = 0 * rho
    k = 0 * rho
    lack = None if lack1 is None else 0 * rho
    fall = fall + 0 * rho
    plus = None if plus1 is None else 0 * rho
    rise = rise + 0 * rho
    while True:
        rows.advance()
        for n in range(rows.degree - BLOCK_TERMS + 1, rows.degree + 1):
            b1, b2, c1, c2 = rows.coefficients(n, places)
            term = scaled(b1 * b2, power, True)
            slope = increased(slope, term)
            k = increased(k, scaled(term, rows.inverse[n], True))
            if lack is not None:
                fall = fall + power * lack1
                lack = increased(lack, _lack(c1, c2, fall))
            if plus is not None:
                rise = rise + abs(power) * plus1
                plus = increased(plus, _lack(c1, c2 if n % 2 else -c2, rise))
            power = scaled(power, rho, True)
        root = rows.missing()
        rest = abs(power) * (root[places[0]] * root[places[1]])
        left = rest > REST_EPS * xp.eps(rho)
        i = xp.nonzero(left)
        if 2 * len(i[0]) >= rho.size > 0:
            continue
        lack = _with_rest(lack, left, rows, places, fall)
        plus = _with_rest(plus, left, rows, places, rise)
        if len(i[0]):
            found = rows.keep([namespace(at).broadcast_to(at, rho.shape)[i] for at in places])
            ones = (None if one is None else one[i] for one in (lack1, plus1))
            more = _sum(rows, found, rho[i], *ones, power[i], fall[i], rise[i])
            return tuple(None if c is None else xp.patch(c, i, c[i] + m)
                         for c, m in zip((slope, rho * k, lack, plus), more))
        return slope, rho * k, lack, plus


def _with_rest(total, left, rows, places, fall):
    """Add the remainder of finished pairs, as one more term of its full size; None stays None."""
    if total is None:
        return None
    return total + namespace(total).where(left, 0, _lack(*rows.rest(places), fall))


def _lack(c1, c2, fall):
    """Return the part of 1 - cos due to two coefficients of unit vectors: (c^2 + c'^2) / 2 - c c' rho^l."""
    return (c1 - c2) ** 2 / 2 + c1 * c2 * fall


class _Coefficients:
    """Coefficients b_l = E[f(sigma x) h_l(x)], BLOCK_TERMS degrees at a time, and bounds of the remainder of sum b_l^2.

    There is a row for each variance.

    The integrals are sums over equidistant nodes; they converge as exp(-2 pi c / step), c the half-width of the strip
    where the integrand is analytic.
    """
    kept: tuple[str, ...] = 'sigma', 'rise', 'unseen', 'last'

    def __init__(self, q, like, f, d):
        self.xp = namespace(q)
        self.like = like
        self.f = f
        self.d = d
        self.eps = self.xp.eps(like)
        self.sigma = self.xp.sqrt(q)
        self.digits = 9 - log(self.eps)
        self.widest = plain(self.sigma.max()) if self.sigma.size else 0.
        self.numbers = self.xp.nonzero(self.sigma >= 0)[0]
        self.degree = 0
        self.blocks = self._blocks()
        x, step = self._nodes(0)
        self.weight = step * self.xp.exp(-x * x / 2) / (2 * self.xp.pi) ** .5
        self.z = self.sigma[:, None] * x
        self.values = f(self.xp, self.z)
        self.rise = self.xp.matmul(self.values ** 2, self.weight)
        self.unseen = self.rise

    def with_itself(self, g):
        """Return E[f(u) g(u)]."""
        return self._like(self.xp.matmul(self.values * g(self.xp, self.z), self.weight))

    def _like(self, c):
        """Return c in the precision of the pairs."""
        return c if c.dtype == self.like.dtype else c.astype(self.like.dtype)

    def missing(self):
        """Return the root of a bound of the remainder of sum b_l^2, relative to E[f^2].

        The b_l^2 fall as exp(-c sqrt l), so that the rest is less than the last block times the number of blocks. What
        is left of E[f^2] bounds it, too, but not below its rounding errors, by which it may be 0.
        """
        noise = 16 * REST_EPS
        left = over(self.unseen, self.rise)
        tail = over(self.last, self.rise) * (self.degree // BLOCK_TERMS)
        return self._root(left, self.xp.minimum(tail, noise * self.eps), noise)

    def _root(self, left, tail, noise):
        """Return the root of the remainder of a sum of squares of size 1, or of `tail` if it is below noise eps."""
        rest = self.xp.where(left < noise * self.eps, tail, abs(left))
        return self._like(self.xp.sqrt(rest))

    def _nodes(self, degree):
        """Return the nodes x and their distance, for h_l with l up to the degree."""
        strip = (2 * self.digits) ** .5
        if self.widest:
            strip = min(strip, .9 * self.d / self.widest)
        step = 2 * pi / (degree ** .5 + strip / 2 + self.digits / strip)
        n = ceil(2 * self.digits ** .5 / step)
        return step * self.xp.asarray(list(range(-n, n + 1))), step

    def _blocks(self):
        """Yield arrays (rows, BLOCK_TERMS) of b_l."""
        xp = self.xp
        start = 0
        for stop in STAGE_DEGREES:
            x, step = self._nodes(stop)
            root = xp.exp(-x * x / 4)
            functions = islice(_hermite_functions(xp, x, root), start, None)
            weight = root * step
            sigma = None
            for start in range(start, stop, BLOCK_TERMS):
                if sigma is not self.sigma:                      # at first, and when rows have left
                    sigma = self.sigma
                    values = self.f(xp, self.sigma[:, None] * x) * weight / (2 * xp.pi) ** .5
                block = list(islice(functions, BLOCK_TERMS))
                yield xp.matmul(values, xp.stack(block, 1))
            start = stop

    def advance(self):
        """Go on to the next BLOCK_TERMS degrees, and return their coefficients."""
        b = next(self.blocks)
        self.last = self.xp.sum(b * b, 1)
        self.unseen = self.unseen - self.last
        self.b = self._like(b.T)
        self.degree += BLOCK_TERMS
        return b

    def keep(self, places):
        """Keep only the rows at these places, and return their new places."""
        xp = namespace(self.numbers)
        rows = 0 * self.numbers
        for at in places:
            rows = xp.patch(rows, at, 1)
        rows = xp.nonzero(rows)[0]
        for name in self.kept:
            setattr(self, name, getattr(self, name)[rows])
        numbers = xp.patch(self.numbers, rows, self.numbers[:len(rows)])
        self.numbers = self.numbers[:len(rows)]
        return [numbers[at] for at in places]


class _Rows(_Coefficients):
    """Coefficients b_l = E[phi'(sigma x) h_l(x)] and c_(l+1) = a_(l+1) / sqrt Q of each variance."""
    kept = *_Coefficients.kept, 'stretch', 'left', 'tail'

    def __init__(self, q, like, phi, dphi, d):
        super().__init__(q, like, dphi, d)
        values = phi(self.xp, self.z)
        self.mean = self.xp.matmul(values, self.weight)
        self.square = self.xp.matmul(values ** 2, self.weight)
        self.norm = self.xp.sqrt(self.square)
        self.stretch = over(self.sigma, self.norm)
        self.left = 1 - over(self.mean, self.norm) ** 2

    def of(self, name, place):
        """Return the entries at `place` of the column of this name, in the precision of the pairs."""
        return self._like(getattr(self, name))[place]

    def coefficients(self, n, places):
        """Return b, b', c, c' of degrees n - 1, n - 1, n, n."""
        return [c[n - 1 - self.degree][at] for c in (self.b, self.c) for at in places]

    def rest(self, places):
        """Return the roots of 1 - sum c_l^2 and 1 - sum c'_l^2; below rounding, the rest is a geometric series."""
        root = self._root(self.left, self.tail, REST_EPS)
        return [root[at] for at in places]

    def advance(self):
        """Go on to the next BLOCK_TERMS degrees."""
        xp = self.xp
        first = self.degree + 1
        b = super().advance()
        n = xp.asarray([float(i) for i in range(first, first + BLOCK_TERMS)])
        c = self.stretch[:, None] * b / xp.sqrt(n)
        squares = c * c
        few = xp.sum(squares[:, -TAIL_TERMS:], 1)
        before = xp.sum(squares[:, -2 * TAIL_TERMS:-TAIL_TERMS], 1)
        falls = xp.maximum(before - few, few * TAIL_TERMS / self.degree)
        self.tail = few * over(few, falls)
        self.inverse = dict(zip(range(first, first + BLOCK_TERMS), self._like(1 / n)))
        self.left = self.left - xp.sum(squares, 1)
        self.c = self._like(c.T)


def _hermite_functions(xp, x, root):
    """Yield h_l(x) exp(-x^2 / 4) for l = 0, 1, ...; `root` is that for l = 0."""
    zero = 0 * x[:1]
    last = 0 * x
    now = root
    n = 0
    while True:
        yield now
        following = (x * now - xp.sqrt(zero + n) * last) / xp.sqrt(zero + n + 1)
        last = now
        now = following
        n = n + 1
