"""Nonlinearities of the logistic family, by the series of `ntref.duals.series`: Tanh, Sigmoid, Softplus, Swish, Mish.

Accuracy
--------
K' and slope have errors within 1e-13 of the largest values that they can take, for variances of 0 to 1000 at every
separation of the inputs, the gap included (tests/stax/test_activations.py); in float32 errors are a few eps. With
mpmath they reach the working precision, slowly. The time is that of the series: it has some 130 terms at variances of
1, and above 100 tens of thousands for inputs that nearly coincide or are nearly opposite, which takes seconds to a
minute. Variances above 1100 are refused.
"""
from dataclasses import dataclass
from math import pi
from typing import Any

from ...duals.geometry import Cov
from ...duals.pair import Pair
from ...duals.series import hermite
from ...types import Array
from .nonlinearity import Nonlinearity

__all__ = ['Mish', 'Sigmoid', 'Softplus', 'Swish', 'Tanh']


class _Expanded(Nonlinearity, abstract=True):
    """Base of nonlinearities with a Hermite series; a subclass has phi, its derivative `dphi` and `_poles`.

    `_poles` is the distance of the poles of phi from the real axis. For higher derivatives the subclass has dphi as the
    `_polynomial` in `_variables(xp, z)`, and the derivatives of the variables as the polynomials `_rules`. A polynomial
    is {powers of the variables: coefficient}.
    """
    _poles: float
    _polynomial: dict
    _rules: tuple

    def dphi(self, xp: Any, z: Array) -> Array:
        """Return the derivative of phi."""
        raise NotImplementedError

    def _variables(self, xp: Any, z: Array) -> tuple:
        """Return the variables of `_polynomial` at z."""
        raise NotImplementedError

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return hermite(p, self.phi, self.dphi, self._poles, self._of_order)

    def _of_order(self, n):
        """Return the n-th derivative of phi, n > 0, as a function of (xp, z)."""
        polynomial = self._polynomial
        for _ in range(n - 1):
            polynomial = _derived(polynomial, self._rules)

        def derivative(xp, z):
            values = self._variables(xp, z)
            total = 0 * z
            for powers, coefficient in polynomial.items():
                term = coefficient
                for value, power in zip(values, powers):
                    term = term * value ** power if power else term
                total = total + term
            return total
        return derivative


def _derived(polynomial, rules):
    """Return the derivative of a polynomial in variables whose derivatives are the polynomials `rules`."""
    total = {}
    for powers, coefficient in polynomial.items():
        for i, (power, rule) in enumerate(zip(powers, rules)):
            if not power:
                continue
            for others, factor in rule.items():
                term = tuple(a + b - (i == j) for j, (a, b) in enumerate(zip(powers, others)))
                total[term] = total.get(term, 0) + coefficient * power * factor
    return total


def logistic(xp, z):
    """1 / (1 + exp(-z))."""
    return (1 + xp.tanh(z / 2)) / 2


def softplus(xp, z):
    """log(1 + exp z)."""
    return xp.maximum(z, 0) + xp.log1p(xp.exp(-abs(z)))


class _Logistic(_Expanded, abstract=True):
    """Base of functions whose derivatives are polynomials in z, t = tanh(z / 2) and 1 - t^2."""
    _rules = {(0, 0, 0): 1}, {(0, 0, 1): 1 / 2}, {(0, 1, 1): -1}

    def _variables(self, xp, z):
        t = xp.tanh(z / 2)
        return z, t, (1 - t) * (1 + t)


@dataclass(frozen=True, repr=False)
class Tanh(_Expanded):
    """phi(z) = tanh z.

    Raises
    ------
    ValueError : `kernel_fn` at variances above 1100, where the series is too long.

    Accuracy
    --------
    Errors are at most 1e-13 of the largest values that K and Theta can take, for variances of 0 to 1000.

    Source
    ------
    Mehler's series, Daniely et al. 2016 (arXiv:1602.05897) section 4; docs/theory/duals.md#hermite.

    Examples
    --------
    >>> import numpy
    >>> from ntref.stax import Dense, serial
    >>> k = serial(Dense(8), Tanh()).kernel_fn(numpy.array([[1., 0.], [0., 1.]]), get='nngp')
    >>> bool(abs(k[0, 0] - 0.27368) < 1e-5), bool(abs(k[0, 1]) < 1e-15)
    (True, True)
    """
    phi_formula = r'\tanh z'
    _poles = pi / 2
    _polynomial = {(0, 1): 1}
    _rules = ({(0, 1): 1}, {(1, 1): -2})

    def _variables(self, xp, z):
        t = xp.tanh(z)
        return t, (1 - t) * (1 + t)

    def phi(self, xp: Any, z: Array) -> Array:
        return xp.tanh(z)

    def dphi(self, xp: Any, z: Array) -> Array:
        t = xp.tanh(z)
        return (1 - t) * (1 + t)


@dataclass(frozen=True, repr=False)
class Sigmoid(_Logistic):
    """phi(z) = 1 / (1 + exp(-z)).

    Accuracy, and the variances that `kernel_fn` refuses, are as for `Tanh`.

    Source
    ------
    As for `Tanh`; docs/theory/duals.md#hermite.
    """
    phi_formula = r'1 / (1 + \exp(-z))'
    _poles = pi
    _polynomial = {(0, 0, 1): 1 / 4}

    def phi(self, xp: Any, z: Array) -> Array:
        return logistic(xp, z)

    def dphi(self, xp: Any, z: Array) -> Array:
        t = xp.tanh(z / 2)
        return (1 - t) * (1 + t) / 4


@dataclass(frozen=True, repr=False)
class Softplus(_Logistic):
    """phi(z) = log(1 + exp z).

    Accuracy, and the variances that `kernel_fn` refuses, are as for `Tanh`.

    Source
    ------
    As for `Tanh`; docs/theory/duals.md#hermite.
    """
    phi_formula = r'\log(1 + \exp z)'
    _poles = pi
    _polynomial = {(0, 0, 0): 1 / 2, (0, 1, 0): 1 / 2}

    def phi(self, xp: Any, z: Array) -> Array:
        return softplus(xp, z)

    def dphi(self, xp: Any, z: Array) -> Array:
        return logistic(xp, z)


@dataclass(frozen=True, repr=False)
class Swish(_Logistic):
    """phi(z) = z / (1 + exp(-z)), also called SiLU.

    Accuracy, and the variances that `kernel_fn` refuses, are as for `Tanh`.

    Source
    ------
    As for `Tanh`; docs/theory/duals.md#hermite.
    """
    phi_formula = r'z / (1 + \exp(-z))'
    _poles = pi
    _polynomial = {(0, 0, 0): 1 / 2, (0, 1, 0): 1 / 2, (1, 0, 1): 1 / 4}

    def phi(self, xp: Any, z: Array) -> Array:
        return z * logistic(xp, z)

    def dphi(self, xp: Any, z: Array) -> Array:
        t = xp.tanh(z / 2)
        return (1 + t) * (1 + z * (1 - t) / 2) / 2


@dataclass(frozen=True, repr=False)
class Mish(_Expanded):
    """phi(z) = z tanh(log(1 + exp z)); its poles are where exp z = -1 +- i.

    Accuracy, and the variances that `kernel_fn` refuses, are as for `Tanh`.

    Source
    ------
    As for `Tanh`; docs/theory/duals.md#hermite.
    """
    phi_formula = r'z \tanh(\log(1 + \exp z))'
    _poles = 3 * pi / 4
    _polynomial = {(0, 1, 0, 0, 0): 1, (1, 0, 1, 1, 0): 1}
    _rules = (
        {(0, 0, 0, 0, 0): 1},
        {(0, 0, 1, 1, 0): 1},
        {(0, 1, 1, 1, 0): -2},
        {(0, 0, 0, 1, 1): 1},
        {(0, 0, 0, 1, 1): -1},
    )

    def _variables(self, xp, z):
        """Return z, t = tanh(log(1 + exp z)), 1 - t^2, the logistic function and 1 minus the logistic function."""
        t = xp.tanh(softplus(xp, z))
        return z, t, (1 - t) * (1 + t), logistic(xp, z), logistic(xp, -z)

    def phi(self, xp: Any, z: Array) -> Array:
        return z * xp.tanh(softplus(xp, z))

    def dphi(self, xp: Any, z: Array) -> Array:
        t = xp.tanh(softplus(xp, z))
        return t + z * (1 - t) * (1 + t) * logistic(xp, z)
