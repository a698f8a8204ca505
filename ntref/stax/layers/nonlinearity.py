"""The base class of nonlinearities: the function phi of the finite network beside its dual activation.

All need a Gaussian input, which a layer with weights gives, and compute

    K' = E[phi(u) phi(v)],   Theta' = E[phi'(u) phi'(v)] Theta      for (u, v) Gaussian with the variances q, q' and K.
"""
from dataclasses import replace

from ...arrays import namespace
from ..layer import Layer
from .gaussian import check_gaussian

__all__ = ['Nonlinearity']


class Nonlinearity(Layer, abstract=True):
    """Base of nonlinearities, each a function with its dual activation.

    A subclass has `phi(xp, z)`, the function, and `dual(pair)`, its covariances and slope.
    """
    fused = None             # the dual in few passes, see `duals.fast`: (pair, Theta) -> (K', gap', area', Theta')
    fused_generic = None     # the same of generic pairs, see `Pair`
    row_by_row = elementwise = True

    def check(self, signal):
        check_gaussian(signal)

    def out(self, signal):
        return replace(signal, is_gaussian=False)

    def demand(self, demand):
        return replace(super().demand(demand), area=True)

    def apply(self, params, x, rng=None, **given):
        return self.phi(namespace(x), x)

    def kernel(self, k):
        return k.nonlinear(self.dual, self.fused, self.fused_generic)
