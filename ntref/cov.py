r"""Gaussian pairs (u, v): their covariance, how far apart they are, and the angle between them.

=====================  =========================  ====================================================
on paper               in code                    meaning
=====================  =========================  ====================================================
q, q'                  ``p.q1, p.q2``             variances of u and v
K                      ``p.k``                    covariance E[u v]
|u - v|^2              ``p.gap``                  E[(u - v)^2] = q + q' - 2 K
A                      ``p.area``                 sqrt(q q' - K^2): the parallelogram spanned by u and v
theta                  ``p.theta``                angle between them: K = s cos theta, A = s sin theta, s = sqrt(q q')
=====================  =========================  ====================================================

`gap` and `area` are functions of q, q' and K, but differences of large numbers where u and v nearly coincide (or
are nearly parallel): computed afresh there they keep half the digits, and so does every kernel with a kink. They are
therefore carried from layer to layer beside K, and a dual that can states them for its outputs without cancellation;
one that cannot leaves them None, and `Pair` recovers them by subtraction. Derivations: docs/theory/duals.md.
"""
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from .arrays import increased, namespace, plain, scaled, untraced
from .derivatives import carried, is_traced

__all__ = ['Cov', 'Pair', 'UNLIKE', 'over', 'sin_minus_t_cos']


UNLIKE = 64             # ratio of lengths beyond which an angle is not taken from the gap


class Cov(NamedTuple):
    """Covariances k of pairs of variables, with their gap and area (None: to be recovered from k by subtraction)."""
    k: Any
    gap: Any = None
    area: Any = None


@dataclass(frozen=True)
class Pair:
    """Gaussian pairs (u, v), elementwise: variances q1, q2 that broadcast against the covariances in `cov`.

    `is_far`: none of them nearly coincide or are opposite, so that k tells all, and no gap is carried along.
    `is_spare`: nobody else holds k, nor the tangent kernel beside it: they may be written into.
    """
    q1: Any
    q2: Any
    cov: Cov
    is_far: bool = False
    is_spare: bool = False

    @classmethod
    def same(cls, q):
        """A variable with itself."""
        return cls(q, q, Cov(q, 0 * q, 0 * q))

    @property
    def k(self):
        return self.cov.k

    @cached_property
    def xp(self):
        return namespace(self.q1, self.q2, self.k)

    @cached_property
    def n1(self):
        return self.xp.sqrt(self.q1)

    @cached_property
    def n2(self):
        return self.n1 if self.q2 is self.q1 else self.xp.sqrt(self.q2)

    @cached_property
    def s(self):
        """sqrt(q q')."""
        return self.n1 * self.n2

    @cached_property
    def dn2(self):
        """(sqrt q - sqrt q')^2, of the gap the part that is due to the lengths."""
        return (self.n1 - self.n2) ** 2

    @cached_property
    def gap(self):
        """|u - v|^2, with the derivatives of q + q' - 2 K where they are not known otherwise."""
        if self.cov.gap is not None and self._derivatives_known(self.cov.gap):
            return self.cov.gap
        formula = self.q1 + self.q2 - 2 * self.k
        return carried(self.xp.maximum(untraced(formula), 0) if self.cov.gap is None else self.cov.gap, formula)

    @cached_property
    def area(self):
        """A, with the derivatives of sqrt(q q' - K^2), 0 where A is, where they are not known otherwise."""
        area = self._area_of_gap() if self.cov.area is None else self.cov.area
        return area if self._derivatives_known(area) else carried(area, self.xp.sqrt(self.det))

    def _derivatives_known(self, a):
        return is_traced(a) or not any(is_traced(c) for c in (self.q1, self.q2, self.k))

    def _area_of_gap(self):
        """The number."""
        k, gap, s, dn2 = (untraced(c) for c in (self.k, self.gap, self.s, self.dn2))
        xp = namespace(k)
        unlike = dn2 > UNLIKE * s                                        # what is left of the gap is small beside it
        minus = xp.where(unlike, s - k, (gap - dn2) / 2)
        return xp.sqrt(xp.maximum(minus, 0)) * xp.sqrt(xp.maximum(s + k, 0))

    @cached_property
    def minus(self):
        """s - K, without cancellation."""
        return self._lack(self.k)

    @cached_property
    def plus(self):
        """s + K, without cancellation."""
        return self._lack(-self.k)

    @cached_property
    def antigap(self):
        """E[(u + v)^2]."""
        formula = self.q1 + self.q2 + 2 * self.k
        return carried(self.xp.where(self.k < 0, self.dn2 + 2 * self.plus, formula), formula)

    def _lack(self, k):
        """s - k = A^2 / (s + k)."""
        lack, positive = self.area * over(self.area, self.s + k), k > 0
        return lack if self.xp.all(positive) else self.xp.where(positive, lack, self.s - k)

    @cached_property
    def theta(self):
        """Angle between u and v in [0, pi]; pi/2 to a variable that is constantly zero."""
        xp, theta = self.xp, self.xp.arctan2(self.area, self.k)
        return theta if xp.all(self.q1 > 0) and xp.all(self.q2 > 0) else xp.where(self.s > 0, theta, xp.pi / 2)

    @cached_property
    def _obtuse(self):
        return self.xp.nonzero(self.theta > 2)

    @cached_property
    def delta(self):
        """pi - theta, to its last digits also where u and v are nearly opposite."""
        i = self._obtuse
        delta = self.xp.pi - self.theta
        return self.xp.patch(delta, i, self.xp.arctan2(self.area[i], -self.k[i])) if len(i[0]) else delta

    @cached_property
    def near(self):
        """s (sin theta - theta cos theta): vanishes as theta^3 / 3 where u and v coincide."""
        if not self.xp.any(self.theta):
            return 0 * self.s
        small = self.theta < .5
        if self.xp.all(small):
            return self.s * sin_minus_t_cos(self.theta)
        near, i = self.area - self.theta * self.k, self.xp.nonzero(small)
        return self.xp.patch(near, i, self.s[i] * sin_minus_t_cos(self.theta[i])) if len(i[0]) else near

    @cached_property
    def far(self):
        """s (sin delta - delta cos delta): vanishes as delta^3 / 3 where u and v are opposite."""
        i = self._obtuse
        far = self.area + self.delta * self.k
        return self.xp.patch(far, i, self.s[i] * sin_minus_t_cos(self.delta[i])) if len(i[0]) else far

    def refuse_beyond(self, largest):
        """Raises ValueError at variances for which a dual is not accurate."""
        for q in (self.q1, self.q2):
            if not self.xp.all(q <= largest):
                raise ValueError(f'expected variances up to {largest:g}, for which the kernel is accurate, got '
                                 f'{plain(q.max()):.3g}. Scale the inputs or W_std down, or put LayerNorm before.')

    def settled(self):
        """K by the gap where that is small, and never beyond s: its own errors could be amplified by deep networks."""
        k, gap, s = (untraced(c) for c in (self.k, self.cov.gap, self.s))
        xp = namespace(k)
        value = xp.where(k < -s, -s, k)
        if gap is None:
            value = xp.where(value > s, s, value)
        else:
            q = untraced(self.q1 + self.q2)
            value = xp.where(4 * gap < q, (q - gap) / 2, value)
        return self.cov._replace(k=carried(value, self.k))

    def affine(self, w, b):
        """sqrt(w) u + c, sqrt(w) v + c, c of variance b:  K' = w K + b,  gap' = w gap,  A'^2 = w^2 A^2 + w b gap."""
        xp, gap = namespace(self.k, w, b), None if self.is_far else w * self.gap
        area = None if self.cov.area is None else self.area
        k = scaled(self.k, w, self.is_spare)                                 # the gap may have come from it
        if isinstance(b, (int, float)) and b == 0:
            return Cov(k, gap, None if area is None else w * area)
        k = increased(k, b)
        if area is None:
            return Cov(k, gap)
        new = xp.hypot(w * area, xp.sqrt(b * gap))
        if is_traced(new):                                                   # a root of A^2 = 0 lost its curvature
            new = xp.where(untraced(area) == 0, carried(new, xp.sqrt(w * w * self.det + b * gap)), new)
        return Cov(k, gap, new)

    def divide(self, v1, v2):
        """u / sqrt(v1), v / sqrt(v2)."""
        v1, v2 = self.xp.sqrt(v1), self.xp.sqrt(v2)
        gap = (self.n1 / v1 - self.n2 / v2) ** 2 + 2 * self.minus / v1 / v2
        return Cov(self.k / v1 / v2, gap, self.area / v1 / v2)

    def add(self, other):
        """u + x, v + y for (x, y) the `other` pair, independent:  A'^2 = A^2 + B^2 + q p' + q' p - 2 K M."""
        xp, p = self.xp, other
        lengths, lack = self.n1 * p.n2 - self.n2 * p.n1, self._lack_of_product(p)
        area = xp.hypot(xp.hypot(self.area, p.area), xp.hypot(lengths, xp.sqrt(2 * lack)))
        return Cov(self.k + p.k, self.gap + p.gap, area)

    def multiply(self, other):
        """u x, v y for (x, y) the `other` pair, independent:  K' = K M,  A'^2 = A^2 p p' + K^2 B^2."""
        p = other
        lengths = self.n1 * p.n1 - self.n2 * p.n2
        gap = lengths * lengths + 2 * self._lack_of_product(p)
        return Cov(self.k * p.k, gap, self.xp.hypot(self.area * p.s, self.k * p.area))

    def _lack_of_product(self, other):
        """s s' - K K', without cancellation."""
        xp, p = self.xp, other
        same, opposite = self.minus * p.s + self.k * p.minus, self.plus * p.s - self.k * p.plus
        return xp.maximum(xp.where(self.k < 0, opposite, same), 0)

    @cached_property
    def det(self):
        """A^2, with the derivatives of q q' - K^2."""
        area = self._area_of_gap() if self.cov.area is None else untraced(self.cov.area)
        squared = area * area
        if self._derivatives_known(squared):
            return squared
        q, dq, gap = self.q1 + self.q2, self.q1 - self.q2, self.gap          # no difference of large derivatives
        return carried(squared, (gap * (2 * q - gap) - dq * dq) / 4)

    def det_over(self, c, m):
        """m^2 A^2 / c, 0 where c is, with the derivatives of A^2."""
        value = m * self.area * over(m * self.area, c)
        return carried(value, over(m * m * self.det, c)) if is_traced(value) else value

    def root(self, c, m):
        """sqrt(c + m^2 A^2), with the derivatives of A^2 = q q' - K^2, which is smooth where A is not."""
        xp = namespace(c, m, self.k)
        value = xp.hypot(xp.sqrt(c), m * self.area)
        return carried(value, xp.sqrt(c + m * m * self.det)) if is_traced(value) else value


def over(a, b):
    """a / b, and 0 where b is 0."""
    xp = namespace(a, b)
    return xp.where(b == 0, 0, a) / xp.where(b == 0, 1, b)


def sin_minus_t_cos(t):
    """sin t - t cos t = t^3/3 - t^5/30 + t^7/840 - ..., by its series below 1.

    >>> import numpy
    >>> float(sin_minus_t_cos(numpy.array(1e-4)) / 1e-12)
    0.333333333
    """
    xp = namespace(t)
    tt = t * t
    n, total, term, size = 1, 0, tt * t / 3, 1.
    while size > xp.eps(t) / 8:
        total = total + term
        size /= n * (2 * n + 3)
        term = term * tt / (-2 * n * (2 * n + 3))
        n += 1
    return total
