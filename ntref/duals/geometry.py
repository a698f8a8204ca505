r"""Gaussian pairs (u, v): their covariance, the distance between them, and the angle between them.

=====================  =========================  ====================================================
on paper               in code                    meaning
=====================  =========================  ====================================================
q, q'                  ``p.q1, p.q2``             variances of u and v
K                      ``p.k``                    covariance E[u v]
|u - v|^2              ``p.gap``                  E[(u - v)^2] = q + q' - 2 K
A                      ``p.area``                 sqrt(q q' - K^2): the parallelogram spanned by u and v
theta                  ``p.theta``                angle between them: K = s cos theta, A = s sin theta, s = sqrt(q q')
=====================  =========================  ====================================================

`gap` and `area` are functions of q, q' and K, but differences of large numbers where u and v nearly coincide (or are
nearly parallel). If they were recomputed there, they would keep half the digits, and so would every kernel with a kink.
They are therefore carried from layer to layer beside K. A dual states them for its outputs without cancellation if it
can; otherwise it leaves them None, and `Pair` recovers them by subtraction. Derivations: docs/theory/duals.md.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple, Self

from ..arrays import namespace, untraced
from ..derivatives import carried, carried_root, is_traced
from ..once import cached_property
from ..types import Array, Number

__all__ = ['Cov', 'Geometry', 'MAX_LENGTH_RATIO', 'Reach', 'over', 'sin_minus_t_cos']

MAX_LENGTH_RATIO = 64   # ratio of lengths beyond which an angle is not taken from the gap
MIN_AREA_RATIO = 1e-3   # A over the difference of lengths below which A gives no derivatives


class Cov(NamedTuple):
    """Covariances k of pairs of variables, with gap and area; None means to be recovered from k by subtraction.

    In place of both there may be lack = sqrt(q q') - K alone.
    """
    k: Any
    gap: Any = None
    area: Any = None
    lack: Any = None


class Reach(NamedTuple):
    """Range of variances: the least of those that are not 0, and the largest; `has_zeros` if others are 0."""
    least: float = inf
    largest: float = 0.
    has_zeros: bool = False

    @classmethod
    def of(cls, *variances: Array) -> Self:
        """Return the range of all numbers in these arrays."""
        return cls.merged(cls._of_one(q) for q in variances if q.size)

    @classmethod
    def merged(cls, ranges: Iterable['Reach']) -> Self:
        """Return the range of numbers that have these ranges."""
        least, largest, has_zeros = zip(*ranges, cls())
        return cls(min(least), max(largest), any(has_zeros))

    @classmethod
    def _of_one(cls, q):
        least = float(q.min())
        if least > 0:
            return cls(least, float(q.max()))
        positive = q[q > 0]
        return cls(float(positive.min()), float(positive.max()), True) if positive.size else cls(has_zeros=True)


@dataclass(frozen=True)
class Geometry:
    """Gaussian pairs (u, v), elementwise: variances q1, q2 that broadcast against the covariances in `cov`.

    `is_generic` means that no pair nearly coincides or is nearly opposite: k is enough, and no gap is carried along.
    `is_spare` means that nothing else holds k or the tangent kernel beside it: they may be written into.
    `has_digits` means that k is accurate enough for smooth functions of pairs that nearly coincide; None: unknown.
    `known` is the `Reach` of variances that q1 and q2 are among, or None.
    """
    q1: Any
    q2: Any
    cov: Cov
    is_generic: bool = False
    is_spare: bool = False
    has_digits: bool | None = None
    known: Reach | None = None

    @classmethod
    def same(cls, q: Array, is_generic: bool = False) -> Self:
        """Return the pairs of variables of variance q with themselves.

        `is_generic` says that gap and area of what is made of them are known, and need not be computed.
        """
        return cls(q, q, Cov(q, 0 * q, 0 * q), is_generic)

    @property
    def k(self) -> Array:
        return self.cov.k

    @property
    def has_gap(self) -> bool:
        """True if the gap is carried along, or follows from what is."""
        return self.cov.gap is not None or self.cov.lack is not None

    @property
    def has_area(self) -> bool:
        """True if the area is carried along, or follows from what is."""
        return self.cov.area is not None or self.cov.lack is not None

    @property
    def is_same(self) -> bool:
        """True if every variable is paired with itself, as by `same`."""
        return self.k is self.q1

    @cached_property
    def xp(self) -> Any:
        return namespace(self.q1, self.q2, self.k)

    @cached_property
    def reach(self) -> Reach:
        """The range of the variances, or one that contains it."""
        return self.known or Reach.of(self.q1, self.q2)

    @cached_property
    def n1(self) -> Array:
        return self.xp.sqrt(self.q1)

    @cached_property
    def n2(self) -> Array:
        return self.n1 if self.q2 is self.q1 else self.xp.sqrt(self.q2)

    @cached_property
    def s(self) -> Array:
        """sqrt(q q')."""
        return self.n1 * self.n2

    @cached_property
    def dn2(self) -> Array:
        """(sqrt q - sqrt q')^2, the part of the gap that is due to the lengths."""
        return (self.n1 - self.n2) ** 2

    def at(self, index: Any) -> Self:
        """Return the pairs at an index, as one-dimensional arrays."""
        q1 = self.xp.broadcast_to(self.q1, self.k.shape)[index]
        q2 = self.xp.broadcast_to(self.q2, self.k.shape)[index]
        cov = Cov(*(None if c is None else c[index] for c in self.cov))
        return type(self)(q1, q2, cov, self.is_generic)

    # -------------------------------------------------------------- numbers that vanish at coincidence or opposition

    @cached_property
    def is_traced(self) -> bool:
        """True if autograd follows any of the arrays."""
        return any(map(is_traced, (self.q1, self.q2, *self.cov)))

    @cached_property
    def numbers(self) -> Self:
        """These pairs as plain numbers, which autograd does not follow."""
        if not self.is_traced:
            return self
        q1 = untraced(self.q1)
        q2 = q1 if self.q2 is self.q1 else untraced(self.q2)
        cov = Cov(*(q1 if c is self.q1 else untraced(c) for c in self.cov))
        return type(self)(q1, q2, cov, self.is_generic)

    @cached_property
    def gap(self) -> Array:
        """|u - v|^2, with its own derivatives if they are carried, else those of q + q' - 2 K."""
        if is_traced(self.cov.gap):
            return self.cov.gap
        if self.is_traced:
            return carried(self.numbers.gap, self.q1 + self.q2 - 2 * self.k)
        if self.cov.gap is not None:
            return self.cov.gap
        if self.cov.lack is not None:
            return self.dn2 + 2 * self.cov.lack
        return self.xp.maximum(self.q1 + self.q2 - 2 * self.k, 0)

    @cached_property
    def area(self) -> Array:
        """A, with its own derivatives if they are carried, else those of sqrt(q q' - K^2), which are 0 where A is 0."""
        if is_traced(self.cov.area):
            return self.cov.area
        if self.is_traced:
            return carried_root(self.numbers.area, self.det)
        return self._area_of_gap() if self.cov.area is None else self.cov.area

    def _area_of_gap(self):
        plus = self.s + self.k
        if self.cov.lack is not None:
            return self.xp.sqrt(self.cov.lack) * self.xp.sqrt(self.xp.maximum(plus, 0))
        unlike = self.dn2 > MAX_LENGTH_RATIO * self.s                    # s - K is small beside dn2
        minus = self.xp.where(unlike, self.s - self.k, (self.gap - self.dn2) / 2)
        return self.xp.sqrt(self.xp.maximum(minus, 0)) * self.xp.sqrt(self.xp.maximum(plus, 0))

    @cached_property
    def det(self) -> Array:
        """A^2, with the derivatives of q q' - K^2, which is smooth where A is not."""
        if not self.is_traced:
            return self.area * self.area
        q = self.q1 + self.q2
        dq = self.q1 - self.q2
        gap = self.gap
        det = (gap * (2 * q - gap) - dq * dq) / 4          # avoids differences of large derivatives
        return carried(self.numbers.det, det)

    @cached_property
    def squared(self) -> Array:
        """A^2, with the derivatives of A times A, or of `det` where A is 0 or far below the difference of lengths.

        Derivatives of `det` lose digits where u and v nearly coincide; those of A lose all of them where u and v are
        nearly parallel.
        """
        if not self.is_traced:
            return self.det
        area = untraced(self.area)
        gap = untraced(self.gap)
        q = untraced(self.q1 + self.q2)
        parallel = area * area <= MIN_AREA_RATIO ** 2 * gap * q
        return self.xp.where(parallel, self.det, self.area * self.area)

    @cached_property
    def minus(self) -> Array:
        """s - K, without cancellation."""
        return self._lack(self.k) if self.cov.lack is None else self.cov.lack

    @cached_property
    def plus(self) -> Array:
        """s + K, without cancellation."""
        return self._lack(-self.k)

    def _lack(self, k):
        """Return s - k = A^2 / (s + k)."""
        positive = k > 0
        if self.is_traced:
            lack = over(self.squared, self.s + k)
        else:
            lack = self.area * over(self.area, self.s + k)
        return lack if self.xp.all(positive) else self.xp.where(positive, lack, self.s - k)

    @cached_property
    def antigap(self) -> Array:
        """E[(u + v)^2], with the derivatives of q + q' + 2 K."""
        if self.is_traced:
            return carried(self.numbers.antigap, self.q1 + self.q2 + 2 * self.k)
        return self.xp.where(self.k < 0, self.dn2 + 2 * self.plus, self.q1 + self.q2 + 2 * self.k)

    def root(self, c: Array, m: Number) -> Array:
        """Return sqrt(c + m^2 A^2), with the derivatives of A^2 = q q' - K^2."""
        xp = namespace(c, m, self.k)
        value = xp.hypot(xp.sqrt(c), m * self.area)
        return carried_root(value, c + m * m * self.det) if is_traced(value) else value

    def det_over(self, c: Array, m: Number) -> Array:
        """Return m^2 A^2 / c, which is 0 where c is, with the derivatives of A^2."""
        value = m * self.area * over(m * self.area, c)
        return carried(value, over(m * m * self.det, c)) if is_traced(value) else value

    # -------------------------------------------------------------- the angle

    @cached_property
    def theta(self) -> Array:
        """Angle between u and v in [0, pi]; pi/2 if one of them is constantly zero."""
        xp = self.xp
        theta = xp.arctan2(self.area, self.k)
        if xp.all(self.q1 > 0) and xp.all(self.q2 > 0):
            return theta
        return xp.where(self.s > 0, theta, xp.pi / 2)

    @cached_property
    def _obtuse(self):
        return self.xp.nonzero(self.theta > 2)

    @cached_property
    def delta(self) -> Array:
        """pi - theta, accurate to its last digits also where u and v are nearly opposite."""
        i = self._obtuse
        delta = self.xp.pi - self.theta
        if not len(i[0]):
            return delta
        return self.xp.patch(delta, i, self.xp.arctan2(self.area[i], -self.k[i]))

    @cached_property
    def j_delta(self) -> Array:
        """s J_1(delta) = s (sin theta - theta cos theta), which vanishes as s theta^3 / 3 where u and v coincide."""
        if not self.xp.any(self.theta):
            return 0 * self.s
        small = self.theta < .5
        if self.xp.all(small):
            return self.s * sin_minus_t_cos(self.theta)
        j = self.area - self.theta * self.k
        i = self.xp.nonzero(small)
        if not len(i[0]):
            return j
        return self.xp.patch(j, i, self.s[i] * sin_minus_t_cos(self.theta[i]))

    @cached_property
    def j_theta(self) -> Array:
        """s J_1(theta) = s (sin delta - delta cos delta), which vanishes as s delta^3 / 3 where they are opposite.

        J_1(theta) = sin theta + (pi - theta) cos theta of Cho & Saul 2009 (NIPS 22) eq. 6.
        """
        i = self._obtuse
        j = self.area + self.delta * self.k
        if not len(i[0]):
            return j
        return self.xp.patch(j, i, self.s[i] * sin_minus_t_cos(self.delta[i]))


def over(a: Array, b: Array) -> Array:
    """Return a / b, and 0 where b is 0."""
    xp = namespace(a, b)
    return xp.where(b == 0, 0, a) / xp.where(b == 0, 1, b)


def sin_minus_t_cos(t: Array) -> Array:
    """Return sin t - t cos t = t^3/3 - t^5/30 + t^7/840 - ..., by this series, for t below 1.

    >>> import numpy
    >>> float(sin_minus_t_cos(numpy.array(1e-4)) / 1e-12)
    0.333333333
    """
    xp = namespace(t)
    tt = t * t
    n = 1
    total: Any = 0
    term = tt * t / 3
    size = 1.
    enough = xp.eps(t) / 8
    while size > enough:
        total = total + term
        size /= n * (2 * n + 3)
        term = term * tt / (-2 * n * (2 * n + 3))
        n += 1
    return total
