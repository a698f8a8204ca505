"""Nonlinearities of the logistic family, by the Hermite expansion of `ntref.hermite`: Tanh, Sigmoid, Softplus, Swish,
Mish.
"""
from dataclasses import dataclass
from math import pi

from ..hermite import hermite
from .elementwise import Nonlinearity

__all__ = ['Mish', 'Sigmoid', 'Softplus', 'Swish', 'Tanh']


class _Expanded(Nonlinearity, abstract=True):
    """A subclass has phi, its derivative `dphi` and `poles`, their distance from the real axis."""

    def dual(self, p):
        return hermite(p, self.phi, self.dphi, self.poles)


def logistic(xp, z):
    """1 / (1 + exp(-z))."""
    return (1 + xp.tanh(z / 2)) / 2


def softplus(xp, z):
    """log(1 + exp z)."""
    return xp.maximum(z, 0) + xp.log1p(xp.exp(-abs(z)))


@dataclass(frozen=True, repr=False)
class Tanh(_Expanded):
    """phi(z) = tanh z."""
    poles = pi / 2

    def phi(self, xp, z):
        return xp.tanh(z)

    def dphi(self, xp, z):
        t = xp.tanh(z)
        return (1 - t) * (1 + t)


@dataclass(frozen=True, repr=False)
class Sigmoid(_Expanded):
    """phi(z) = 1 / (1 + exp(-z))."""
    poles = pi

    def phi(self, xp, z):
        return logistic(xp, z)

    def dphi(self, xp, z):
        t = xp.tanh(z / 2)
        return (1 - t) * (1 + t) / 4


@dataclass(frozen=True, repr=False)
class Softplus(_Expanded):
    """phi(z) = log(1 + exp z)."""
    poles = pi

    def phi(self, xp, z):
        return softplus(xp, z)

    def dphi(self, xp, z):
        return logistic(xp, z)


@dataclass(frozen=True, repr=False)
class Swish(_Expanded):
    """phi(z) = z / (1 + exp(-z)), also called SiLU."""
    poles = pi

    def phi(self, xp, z):
        return z * logistic(xp, z)

    def dphi(self, xp, z):
        t = xp.tanh(z / 2)
        return (1 + t) * (1 + z * (1 - t) / 2) / 2


@dataclass(frozen=True, repr=False)
class Mish(_Expanded):
    """phi(z) = z tanh(log(1 + exp z)); its poles are where exp z = -1 +- i."""
    poles = 3 * pi / 4

    def phi(self, xp, z):
        return z * xp.tanh(softplus(xp, z))

    def dphi(self, xp, z):
        t = xp.tanh(softplus(xp, z))
        return t + z * (1 - t) * (1 + t) * logistic(xp, z)
