"""Nonlinearities with a kink or a jump at 0: the ReLU family, Sign, RectifiedMonomial."""
from dataclasses import dataclass
from typing import Any

from ... import duals
from ...arguments import as_whole
from ...duals import fast, generic
from ...duals.geometry import Cov
from ...duals.pair import Pair
from ...types import Array
from .nonlinearity import Nonlinearity

__all__ = ['ABRelu', 'Abs', 'LeakyRelu', 'RectifiedMonomial', 'Relu', 'Sign']


class _Rectifier(Nonlinearity, abstract=True):
    """phi(z) = a min(z, 0) + b max(z, 0); a subclass gives `slopes`, (a, b)."""
    dual_formula = (
        r'K_+ = \frac{(a - b)^2}{2 \pi} A + \dot\kappa K,\quad \Theta_+ = \dot\kappa \Theta,\quad '
        r'\dot\kappa = \frac{a^2 + b^2}{2} - \frac{(a - b)^2}{2 \pi} \theta')
    slopes: Any

    def phi(self, xp: Any, z: Array) -> Array:
        a, b = self.slopes
        return a * xp.minimum(z, 0) + b * xp.maximum(z, 0)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.abrelu(p, *self.slopes)

    def fused(self, p, ntk):
        return fast.abrelu(p, ntk, *self.slopes)

    fused_generic = fused


@dataclass(frozen=True, repr=False)
class ABRelu(_Rectifier):
    r"""phi(z) = a min(z, 0) + b max(z, 0).

    .. math::
        K' = \frac{(a - b)^2}{2 \pi} \sqrt{q q' - K^2} + \dot\kappa K, \qquad
        \dot\kappa = \frac{a^2 + b^2}{2} - \frac{(a - b)^2}{2 \pi} \theta, \qquad \cos\theta = K / \sqrt{q q'} .

    Parameters
    ----------
    a, b : float            slopes below and above 0.
    do_stabilize : bool     accepted for old scripts, without effect: the recursion does not overflow without it.

    Accuracy
    --------
    K and Theta have relative errors within 1e-14 in float64 (3e-6 in float32) at every separation of the inputs:
    docs/accuracy.md.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; without cancellation: docs/theory/duals.md#relu.

    Examples
    --------
    >>> import numpy
    >>> from ntref.stax import Dense, serial
    >>> x = numpy.array([[1., 0.], [-1., 0.]])
    >>> serial(Dense(8), ABRelu(-0.5, 1.)).kernel_fn(x, get='nngp')
    array([[0.3125, 0.25  ],
           [0.25  , 0.3125]])
    """
    phi_formula = r'a \min(z, 0) + b \max(z, 0)'
    a: float
    b: float
    do_stabilize: bool = False

    @property
    def slopes(self):
        return self.a, self.b


@dataclass(frozen=True, repr=False)
class Relu(_Rectifier):
    """phi(z) = max(z, 0): `ABRelu` with a = 0, b = 1.

    K' = sqrt(q q') (sin theta + (pi - theta) cos theta) / (2 pi),  slope (pi - theta) / (2 pi).

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; docs/theory/duals.md#relu.
    """
    phi_formula = r'\max(z, 0)'
    dual_formula = (
        r"K_+ = \frac{\sqrt{q q'}}{2 \pi} (\sin\theta + (\pi - \theta) \cos\theta),\quad "
        r'\Theta_+ = \frac{\pi - \theta}{2 \pi} \Theta')
    do_stabilize: bool = False
    slopes = 0, 1


@dataclass(frozen=True, repr=False)
class LeakyRelu(_Rectifier):
    """phi(z) = alpha min(z, 0) + max(z, 0): `ABRelu` with a = alpha, b = 1.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; docs/theory/duals.md#relu.
    """
    phi_formula = r'a \min(z, 0) + b \max(z, 0),\quad a = \alpha,\quad b = 1'
    alpha: float
    do_stabilize: bool = False

    @property
    def slopes(self):
        return self.alpha, 1


@dataclass(frozen=True, repr=False)
class Abs(_Rectifier):
    """phi(z) = |z|: `ABRelu` with a = -1, b = 1.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; docs/theory/duals.md#relu.
    """
    phi_formula = '|z|'
    dual_formula = (
        r'K_+ = \frac{2}{\pi} A + (1 - \frac{2}{\pi} \theta) K,\quad \Theta_+ = (1 - \frac{2}{\pi} \theta) \Theta')
    do_stabilize: bool = False
    slopes = -1, 1


@dataclass(frozen=True, repr=False)
class Sign(Nonlinearity):
    """phi(z) = sign z:  K' = 1 - 2 theta / pi,  Theta' = 0.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 5; docs/theory/duals.md#sign.
    """
    is_one_formula = True
    phi_formula = r'\mathrm{sign}\,z'
    dual_formula = r'K_+ = 1 - \frac{2}{\pi} \theta,\quad \Theta_+ = 0'

    def phi(self, xp: Any, z: Array) -> Array:
        return xp.sign(z)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.sign(p)

    def fused_generic(self, p, ntk):
        return generic.sign(p, ntk)


@dataclass(frozen=True, repr=False)
class RectifiedMonomial(Nonlinearity):
    """phi(z) = z^n for z >= 0, else 0:  K' = (q q')^(n/2) J_n(theta) / (2 pi), finite at theta = 0 too.

    Parameters
    ----------
    degree : int            n >= 0; 0 is the step function, 1 the ReLU.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 4; docs/theory/duals.md#rectified-monomial.
    """
    is_one_formula = True
    phi_formula = r'\max(z, 0)^n'
    dual_formula = (
        r"K_+ = \frac{(q q')^{n/2}}{2 \pi} J_n(\theta),\quad "
        r"\Theta_+ = \frac{n^2 (q q')^{(n - 1)/2}}{2 \pi} J_{n-1}(\theta) \Theta")
    degree: int

    def __post_init__(self):
        object.__setattr__(self, 'degree', as_whole(self.degree, 'RectifiedMonomial: degree', 0))

    def phi(self, xp: Any, z: Array) -> Array:
        return xp.where(z >= 0, z, 0) ** self.degree * (z >= 0)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        if self.degree < 2:
            return duals.abrelu(p, 0, 1) if self.degree else duals.step(p)
        return duals.rectified_monomial(p, self.degree)

    def fused_generic(self, p, ntk):
        if self.degree < 2:
            return fast.abrelu(p, ntk, 0, 1) if self.degree else generic.step(p, ntk)
        return generic.rectified_monomial(p, ntk, self.degree)
