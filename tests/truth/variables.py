"""Pairs of Gaussian variables to many digits, and what a dual activation makes of them by other formulas."""
import mpmath as mp
import numpy
import reference

from ntref.duals.geometry import Cov
from ntref.duals.pair import Pair


def exact_dual(layer):
    """The two independent functions of (q, q', K)."""
    arguments = layer.to_spec()
    return reference.REFERENCE[arguments.pop('layer')](**arguments)


class Variables:
    """(u, v) with the covariances of vectors x and y, to `reference.DIGITS` digits."""

    def __init__(self, x, y, scale1=1., scale2=1.):
        with mp.workdps(reference.DIGITS):
            x, y = ([mp.mpf(float(c)) for c in v] for v in (x, y))
            n = len(x)
            r1, r2 = mp.mpf(scale1), mp.mpf(scale2)
            self.q1, self.q2, self.k = (mp.fdot(a, b) / n for a, b in ((x, x), (y, y), (x, y)))
            self.q1, self.q2, self.k = r1 * self.q1, r2 * self.q2, mp.sqrt(r1 * r2) * self.k
            self.gap, self.area = gap_and_area(self.q1, self.q2, self.k)

    def pair(self, number):
        """What a dual gets, each of `number` type: float, or mpf at the working precision."""
        q1, q2, k, gap, area = (array([number(c)]) for c in (self.q1, self.q2, self.k, self.gap, self.area))
        return Pair(q1, q2, Cov(k, gap, area))

    def through(self, layer):
        """Exact K', slope, gap', area' and what their errors are relative to."""
        with mp.workdps(reference.DIGITS):
            f, d = exact_dual(layer)
            covs = (self.q1, self.q1, self.q1), (self.q2, self.q2, self.q2), (self.q1, self.q2, self.k)
            (q1, q2, k), (s1, s2, slope) = ([g(*cov) for cov in covs] for g in (f, d))
            s = mp.sqrt(q1 * q2)
            return (k, slope, *gap_and_area(q1, q2, k)), (s, mp.sqrt(abs(s1 * s2)), q1 + q2, s)


def gap_and_area(q1, q2, k):
    return max(q1 + q2 - 2 * k, mp.mpf(0)), mp.sqrt(max(q1 * q2 - k * k, mp.mpf(0)))


def array(numbers):
    return numpy.array(numbers, dtype=None if isinstance(numbers[0], float) else object)
