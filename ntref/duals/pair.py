"""Pairs of Gaussian variables, and what linear maps, sums and products make of their covariance, gap and area."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..arrays import namespace, plain, untraced
from ..derivatives import carried, carried_root, is_traced
from ..in_place import divided, increased, scaled
from ..ranges import are_in_range, check_range, check_small
from ..types import Array, Number
from .geometry import Cov, Geometry, over

__all__ = ['Dual', 'Pair', 'check_kept', 'check_variances']

Dual: TypeAlias = tuple[Cov, Any]      # what a nonlinearity makes of a pair: its Cov and slope


@dataclass(frozen=True)
class Pair(Geometry):
    """Gaussian pairs (u, v) with all that `Geometry` tells of them, and the maps that take them to other pairs."""

    def refuse_beyond(self, largest: float) -> None:
        """Raise ValueError if variances are above `largest`, where a dual is not accurate."""
        for q in (self.q1, self.q2):
            if not self.xp.all(q <= largest):
                raise ValueError(
                    f'expected variances up to {largest:g}, for which the kernel is accurate, got '
                    f'{plain(q.max()):.3g}. Scale the inputs or W_std down, or put LayerNorm '
                    'before.')

    def settled(self, before: 'Pair') -> Cov:
        """Recompute K from the gap or E(u + v)^2 where one of these is small, and clip it to |K| <= s.

        Deep networks could amplify errors of K. `before` is the pair that u and v are functions of: where its members
        coincide, u and v do, even if a dual does not state its gap.
        """
        k = untraced(self.k)
        gap = untraced(self.cov.gap)
        s = untraced(self.s)
        q = untraced(self.q1 + self.q2)
        xp = namespace(k)
        value = xp.where(k < -s, -s, k)
        if gap is None and not self.is_generic:
            gap = xp.where(untraced(before.gap) > 0, xp.maximum(q - 2 * k, 0), 0)
        if gap is None:
            value = xp.where(value > s, s, value)
        else:
            value = xp.where(4 * gap < q, (q - gap) / 2, value)
        if self.has_area and xp.any(k < 0):
            antigap = self.numbers.antigap
            value = xp.where(4 * antigap < q, (antigap - q) / 2, value)
        own_gap = gap if self.cov.gap is None else self.cov.gap
        return Cov(carried(value, self.k), own_gap, self.cov.area)

    def affine(self, w: Number, b: Number) -> Cov:
        """Map to sqrt(w) u + c, sqrt(w) v + c, Var c = b:  K' = w K + b,  gap' = w gap,  A'^2 = w^2 A^2 + w b gap."""
        xp = namespace(self.k, w, b)
        if self.cov.lack is not None:
            lack = self._affine_lack(w, b)
            return Cov(increased(scaled(self.k, w, self.is_spare), b), lack=lack)
        gap = None if self.is_generic else w * self.gap
        area = None if self.is_generic or self.cov.area is None else w * self.area
        if isinstance(b, (int, float)) and b == 0:
            return Cov(scaled(self.k, w, self.is_spare), gap, area)   # the gap may have come from k
        if area is not None:
            area = xp.hypot(area, xp.sqrt(b * gap))
            if is_traced(area):
                area = carried_root(area, w * w * self.squared + w * (b * self.gap))
        k = increased(scaled(self.k, w, self.is_spare), b)
        return Cov(k, gap, area)

    def _affine_lack(self, w, b):
        """Return lack' = w lack + (b / 2) (m - m')^2 / (m m'),  m = sqrt(w q) + sqrt(w q + b).

        docs/theory/dense.md#dense
        """
        lack = scaled(self.cov.lack, w, self.is_spare)
        if isinstance(b, (int, float)) and b == 0:
            return lack
        xp = self.xp
        m1, m2 = (xp.sqrt(w * q) + xp.sqrt(w * q + b) for q in (self.q1, self.q2))
        if xp.all(m1 == m1.reshape(-1)[:1]) and xp.all(m2 == m1.reshape(-1)[:1]):
            return lack
        apart = m1 - m2
        apart = scaled(apart, apart, True)
        apart = scaled(apart, b / 2 / m1, True)
        return increased(lack, scaled(apart, 1 / m2, True))

    def divide(self, v1: Array, v2: Array) -> Cov:
        """Return the Cov of u / sqrt(v1) and v / sqrt(v2)."""
        n1 = self.xp.sqrt(v1)
        n2 = self.xp.sqrt(v2)
        if self.is_generic:
            return Cov(divided(divided(self.k, n1, self.is_spare), n2, True))
        if self.cov.lack is not None:
            return Cov(self.k / n1 / n2, lack=self.cov.lack / n1 / n2)
        gap = (self.n1 / n1 - self.n2 / n2) ** 2 + 2 * self.minus / n1 / n2
        return Cov(self.k / n1 / n2, untraced(gap), self.area / n1 / n2)

    def add(self, other: 'Pair') -> Cov:
        """Add an independent pair (x, y), u + x and v + y:  A'^2 = A^2 + B^2 + q p' + q' p - 2 K M."""
        p = other
        if self.is_generic:
            return Cov(self.k + p.k)
        if self.cov.lack is not None:
            return Cov(self.k + p.k, lack=self._lack_of_sum(p))
        area = self.numbers._area_of_sum(p.numbers)
        if self.is_traced or p.is_traced:
            area = carried_root(area, self.squared + p.squared + self._mixed(p, -1))
        return Cov(self.k + p.k, self.gap + p.gap, area)

    def multiply(self, other: 'Pair') -> Cov:
        """Multiply by an independent pair (x, y), u x and v y:  K' = K M,  A'^2 = A^2 p p' + K^2 B^2."""
        p = other
        if self.is_generic:
            return Cov(self.k * p.k)
        if self.cov.lack is not None:
            return Cov(self.k * p.k, lack=self.cov.lack * p.s + self.k * p.minus)
        gap, area = self.numbers._gap_and_area_of_product(p.numbers)
        if self.is_traced or p.is_traced:
            gap = carried(gap, self._mixed(p, 1))
            area = carried_root(area, self.squared * p.q1 * p.q2 + self.k * self.k * p.squared)
        return Cov(self.k * p.k, gap, area)

    def _mixed(self, p, sign):
        """Return q p + q' p' - 2 K M or, if sign is -1, q p' + q' p - 2 K M, from terms that vanish as the gaps do."""
        gaps = self.gap * (p.q1 + p.q2) + p.gap * (self.q1 + self.q2) - self.gap * p.gap
        return (gaps + sign * (self.q1 - self.q2) * (p.q1 - p.q2)) / 2

    def _lack_of_sum(self, p):
        """Return lack + lack_p + s_sum - s - s_p,  s_sum^2 - (s + s_p)^2 = (sqrt(q p') - sqrt(q' p))^2."""
        xp = self.xp
        lengths = self.n1 * p.n2 - self.n2 * p.n1
        total = xp.sqrt(self.q1 + p.q1) * xp.sqrt(self.q2 + p.q2) + self.s + p.s
        return self.cov.lack + p.minus + over(lengths * lengths, total)

    def _area_of_sum(self, p):
        """Return the area of a sum by lengths, since products of variances may exceed the range of the numbers."""
        xp = self.xp
        lengths = self.n1 * p.n2 - self.n2 * p.n1
        lack = self._root_lack_of_product(p)
        return xp.hypot(xp.hypot(self.area, p.area), xp.hypot(lengths, lack))

    def _gap_and_area_of_product(self, p):
        lengths = self.n1 * p.n1 - self.n2 * p.n2
        lack = self._root_lack_of_product(p)
        gap = lengths * lengths + lack * lack
        area = self.xp.hypot(self.area * p.s, self.k * p.area)
        return gap, area

    def _root_lack_of_product(self, p):
        """Return sqrt(2 (s s' - K M)),  s s' - K M = (s - K) s' + K (s' - M), from s + K and s' + M where K < 0."""
        def root(c):
            return xp.sqrt(xp.maximum(c, 0))
        xp = self.xp
        opposite = self.k < 0
        mine = xp.where(opposite, self.plus, self.minus)
        other = xp.where(opposite, p.plus, p.minus)
        return xp.hypot(root(2 * mine) * root(p.s), root(abs(self.k)) * root(2 * other))


def check_variances(q: Array) -> None:
    """Raise ValueError if variances are too large, or too small but not 0, for the range of their dtype."""
    if not are_in_range(q):
        check_range(q)
        check_small(q, lambda q: q > 0)


def check_kept(dual: Callable[[Pair], Dual], q: Array, new: Array) -> None:
    """Raise ValueError if a dual that is not 0 made variances q > 0 vanish, since they are too small."""
    def is_lost(new):
        xp = namespace(new)
        old = untraced(q)
        one = 0 * new.reshape(-1)[:1] + 1
        if xp.any((new == 0) & (old > 0)) and plain(dual(Pair.same(one))[0].k[0]):
            return old > 0
        return new > 0
    check_small(new, is_lost)
