"""Tanh and Sigmoid whose duals are sums of closed forms, fast enough for a slider: for pictures alone."""
from dataclasses import dataclass
from math import pi
from typing import Any

from ..duals.geometry import Cov
from ..duals.pair import Pair
from ..stax.layers.nonlinearity import Nonlinearity
from ..types import Array

__all__ = ['ERFS', 'Logistic']

ERFS = (            # (w, s): tanh(z) = sum w erf(s z) to 4.5e-9 for all z, the least that eight terms allow
    (.001482325893, .337333588514), (.028362652016, .437611068851), (.132331173148, .561598497072),
    (.275097989983, .720116133655), (.314929057003, .922069405385), (.193693966832, 1.176872745012),
    (.050909214815, 1.500383408895), (.003193620310, 1.932791761740))


@dataclass(frozen=True, repr=False)
class Logistic(Nonlinearity, abstract=True):
    r"""phi(z) = a tanh(b z) + c, with the dual of a sum of error functions in place of tanh.

    .. math::
        \tanh z \approx \sum_i w_i\, \mathrm{erf}(s_i z), \qquad
        E\,\mathrm{erf}(s_i u)\, \mathrm{erf}(s_j v) = \frac{2}{\pi} \arctan \frac{t}{\sqrt{D}}, \quad
        t = 2 s_i s_j K, \quad D = (1 + 2 s_i^2 q)(1 + 2 s_j^2 q') - t^2

    Accuracy
    --------
    In each layer covariances to 1e-8 a^2, slopes to 2e-7 (a b)^2; `stax.Tanh` and `stax.Sigmoid` have all digits.

    Source
    ------
    Monahan, Stefanski 1992 (a logistic variable as a mixture of normal ones); docs/theory/duals.md#erf.
    """
    a: float = 1.
    b: float = 1.
    c: float = 0.

    def phi(self, xp: Any, z: Array) -> Array:
        return self.a * xp.tanh(self.b * z) + self.c

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        k = 0 * p.k
        slope = 0 * p.k
        for w1, s1 in ERFS:
            for w2, s2 in ERFS:
                s1_b, s2_b = s1 * self.b, s2 * self.b
                t = 2 * s1_b * s2_b * p.k
                root = p.xp.sqrt((1 + 2 * s1_b ** 2 * p.q1) * (1 + 2 * s2_b ** 2 * p.q2) - t * t)
                k = k + w1 * w2 * p.xp.arctan2(t, root)
                slope = slope + w1 * w2 * s1_b * s2_b / root
        return Cov(2 / pi * self.a ** 2 * k + self.c ** 2), 4 / pi * self.a ** 2 * slope
