"""Nonlinearities with an exponential part (Elu, Selu), and clipped ones (HardTanh, Relu6)."""
from dataclasses import dataclass
from typing import Any

from ...arrays import exact
from ...duals.exponential_unit import elu
from ...duals.geometry import Cov
from ...duals.pair import Pair
from ...duals.truncated import clipped
from ...types import Array
from .nonlinearity import Nonlinearity

__all__ = ['Elu', 'HardTanh', 'Relu6', 'Selu']


@dataclass(frozen=True, repr=False)
class HardTanh(Nonlinearity):
    """phi(z) = min(max(z, -1), 1).

    Accuracy
    --------
    Errors are 1e-15 (1 + q), and at most 2e-13 of the largest values that K and Theta can take, for variances of 0 to
    1000.

    Source
    ------
    Owen 1956 (Ann. Math. Stat. 27); docs/theory/duals.md#clipped.
    """
    phi_formula = r'\min(\max(z, -1), 1)'

    def phi(self, xp: Any, z: Array) -> Array:
        return xp.minimum(xp.maximum(z, -1), 1)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return clipped(p, 1, ((-1, 1, 1), (1, -1, 1)))


@dataclass(frozen=True, repr=False)
class Relu6(Nonlinearity):
    """phi(z) = min(max(z, 0), 6).

    Accuracy
    --------
    Errors are 1e-15 (1 + q), and at most 2e-13 of the largest values that K and Theta can take, for variances of 0 to
    1000.

    Source
    ------
    Owen 1956 (Ann. Math. Stat. 27); docs/theory/duals.md#clipped.
    """
    phi_formula = r'\min(\max(z, 0), 6)'

    def phi(self, xp: Any, z: Array) -> Array:
        return xp.minimum(xp.maximum(z, 0), 6)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return clipped(p, 0, ((1, 1, 0), (-1, 1, 6)))


@dataclass(frozen=True, repr=False)
class Elu(Nonlinearity):
    """phi(z) = z for z > 0, alpha (exp(z) - 1) for z < 0.

    Parameters
    ----------
    alpha : float           a finite number; 0 gives the ReLU.

    Raises
    ------
    TypeError, ValueError : alpha is not a finite number.

    Accuracy
    --------
    Errors are at most 1e-13 of the largest values that K and Theta can take, for variances of 0 to 1000.

    Source
    ------
    Clevert et al. 2015 (arXiv:1511.07289), the function; docs/theory/duals.md#elu, the kernel.

    Examples
    --------
    >>> import numpy
    >>> from ntref.stax import Dense, serial
    >>> k = serial(Dense(8), Elu()).kernel_fn(numpy.array([[1., 0.], [0., 1.]]), get='nngp')
    >>> bool(abs(k[0, 0] - 0.34810) < 1e-5)
    True
    """
    phi_formula = r'\max(z, 0) + \alpha \min(\exp z - 1, 0)'
    alpha: float = 1.

    def phi(self, xp: Any, z: Array) -> Array:
        return xp.maximum(z, 0) + self.alpha * xp.expm1(xp.minimum(z, 0))

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return elu(p, self.alpha)


@dataclass(frozen=True, repr=False)
class Selu(Nonlinearity):
    """phi(z) = lambda z for z > 0, lambda alpha (exp(z) - 1) for z < 0, which keeps mean 0 and variance 1.

    Accuracy
    --------
    As for `Elu`.

    Source
    ------
    Klambauer et al. 2017 (arXiv:1706.02515), the function; docs/theory/duals.md#elu, the kernel.
    """
    phi_formula = (
        r'\lambda (\max(z, 0) + \alpha \min(\exp z - 1, 0)),\quad \lambda = 1.0507,\quad \alpha = 1.6733')
    scales = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

    def phi(self, xp: Any, z: Array) -> Array:
        scale, alpha = exact(self.scales, z)
        return scale * (xp.maximum(z, 0) + alpha * xp.expm1(xp.minimum(z, 0)))

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        scale, alpha = exact(self.scales, p.k)
        cov, slope = elu(p, alpha)
        scaled = (None if c is None else scale * scale * c for c in cov)
        return Cov(*scaled), scale * scale * slope
