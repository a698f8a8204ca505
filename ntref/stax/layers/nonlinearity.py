"""The base class of nonlinearities: the function phi of the finite network beside its dual activation.

All need a Gaussian input, which a layer with weights gives, and compute

    K' = E[phi(u) phi(v)],   Theta' = E[phi'(u) phi'(v)] Theta      for (u, v) Gaussian with the variances q, q' and K.
"""
from dataclasses import replace
from typing import Any

from ...arrays import namespace
from ...duals.geometry import Cov
from ...duals.pair import Pair
from ...recursion.signal import Demand, Signal
from ...recursion.steps import Steps
from ...types import Array, Seed, Tree
from ..layer import Layer
from .gaussian import check_gaussian

__all__ = ['Nonlinearity']


class Nonlinearity(Layer, abstract=True):
    """Base of nonlinearities, each a function with its dual activation.

    A subclass has `phi` and `dual`.
    """
    phi_formula = ''                   # phi(z) in LaTeX
    dual_formula = r"K_+ = E[\phi(u)\,\phi(v)],\quad \Theta_+ = E[\phi'(u)\,\phi'(v)]\,\Theta"
    # the dual in few passes, see `duals.fast`: (pair, Theta) -> (K', gap', area', Theta')
    fused: Any = None
    fused_generic: Any = None          # the same of generic pairs, see `Pair`
    is_one_formula = False             # `dual` decides on values by `where` alone: on a GPU it is one kernel
    row_by_row = True
    elementwise = True

    @property
    def formula(self):
        """The function and what its dual makes of K and Theta, in LaTeX."""
        phi = rf'\phi(z) = {self.phi_formula},\quad ' if self.phi_formula else ''
        return phi + self.dual_formula

    def phi(self, xp: Any, z: Array) -> Array:
        """Return the function of z, entry by entry, with functions of the namespace `xp` of z."""
        raise NotImplementedError(f'{self!r} has no finite network.')

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        """Return the Cov of phi(u) and phi(v), and the slope E[phi'(u) phi'(v)], for the pair (u, v)."""
        raise NotImplementedError(f'{self!r} has no kernel.')

    def check(self, signal: Signal) -> None:
        check_gaussian(signal)

    def out(self, signal: Signal) -> Signal:
        return replace(signal, is_gaussian=False)

    def demand(self, demand: Demand) -> Demand:
        return replace(super().demand(demand), area=True)

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        return self.phi(namespace(x), x)

    def kernel(self, k: Steps) -> Steps:
        return k.nonlinear(self.dual, self.fused, self.fused_generic)
