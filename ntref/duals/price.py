"""Expectations E[f(u) g(v)] of a Gaussian pair, with their derivatives stated by Price's theorem.

The derivatives

    d/dK E[f(u) g(v)] = E[f'(u) g'(v)],   d/dq E[f(u) g(v)] = E[f''(u) g(v)] / 2,   d/dq' likewise

are such expectations again, so that derivatives of any order follow. Nothing is divided by a variance, and there are no
special cases where u and v coincide, are opposite or are zero. f and g may be objects of any kind for which `derived`
gives a derivative of the same kind.
Derivation: docs/theory/duals.md#price
"""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..derivatives import differentiable
from ..types import Array, Number
from .pair import Pair

__all__ = ['Price']


class Price:
    """Function (f, g) -> E[f(u) g(v)] for the pairs p.

    Parameters
    ----------
    expected : callable         (f, g) -> E[f(u) g(v)] of `p.numbers`
    derived : callable          f -> f'
    known : dict                {(f, g): E[f(u) g(v)]} that are known already
    parameters : tuple          parameters that f and g depend on
    varied : tuple              for each parameter, a function f -> df / dparameter
    """

    def __init__(
            self, p: Pair, expected: Callable[[Any, Any], Array], derived: Callable[[Any], Any],
            known: Mapping[tuple[Any, Any], Array], parameters: Sequence[Number] = (),
            varied: Sequence[Callable[[Any], Any]] = ()):
        self.x = p.q1, p.q2, p.k, *parameters
        self.expected = expected
        self.derived = derived
        self.varied = varied
        self.known = dict(known)

    def __call__(self, f: Any, g: Any) -> Array:
        return self._stated(f, g)(*self.x)

    def _stated(self, f, g):
        def value(*x):
            if (f, g) not in self.known:
                self.known[f, g] = self.expected(f, g)
            return self.known[f, g]

        def by_q1(*x):
            return self._stated(self.derived(self.derived(f)), g)(*x) / 2

        def by_q2(*x):
            return self._stated(f, self.derived(self.derived(g)))(*x) / 2

        def by_k(*x):
            return self._stated(self.derived(f), self.derived(g))(*x)

        def by(vary):
            return lambda *x: self._stated(vary(f), g)(*x) + self._stated(f, vary(g))(*x)
        return differentiable(value, by_q1, by_q2, by_k, *map(by, self.varied))
