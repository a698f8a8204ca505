"""The state of the recursion of a chain of weights and nonlinearities, for gradients in few passes over memory.

A `Chained` has generic pairs of inputs without positions, as a `Recorded` has that autograd follows. Here each step
itself says how cotangents go back through it: in two arrays, of K and of Theta, and without what autograd keeps.

    K' = w K + b,  Theta' = K' + w Theta         Kbar = w (Kbar' + Thetabar'),  Thetabar = w Thetabar'
    K' = kappa(q, q', K),  Theta' = slope Theta   docs/theory/adjoint.md#nonlinearities

Steps that it does not have raise NotImplementedError, as those of `Steps` do; then a `Recorded` takes its place.
"""
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

from ..arrays import namespace, untraced
from ..derivatives import is_traced
from ..duals.geometry import Cov
from ..duals.watched import Adjoint, Watched
from ..types import Array
from .signal import Demand, Signal, shared_signal
from .start import across
from .steps import Steps

__all__ = ['Chain', 'Chained', 'adjoint_of', 'input_of_chain']


class Chain(Steps):
    """A state that has the steps `affine` and `nonlinear` alone."""
    paired = False

    @property
    def mutual(self) -> NoReturn:  # type: ignore[override]
        """No other step looks at arrays."""
        raise NotImplementedError

    @property
    def ntk(self) -> NoReturn:
        """No other step looks at arrays."""
        raise NotImplementedError

    def shared(self) -> NoReturn:
        """A chain has no branches."""
        raise NotImplementedError

    def in_range(self) -> Self:
        """Return self: ranges were checked when the values were computed."""
        return self


@dataclass(frozen=True)
class Chained(Chain):
    """Generic pairs of each of x1 with each of x2.

    Attributes
    ----------
    values : callable            () -> K, Theta. Computed only if a nonlinearity follows.
    signal1, signal2             as in `Steps`.
    variances_at : callable      () -> the next variances q, q' of the tape, each with the function that adds to their
                                 cotangents, or None.
    q : tuple                    the last of these.
    near : list                  where pairs were found that are not generic: masks, or None for nowhere.
    back : tuple                 for each step (Kbar', Thetabar') -> (Kbar, Thetabar).
    ends : list                  (number of a layer, its cotangent), for numbers that autograd follows.
    """
    values: Callable
    signal1: Signal
    signal2: Signal
    variances_at: Callable
    q: tuple
    near: list
    ends: list
    back: tuple = ()
    is_generic = True

    @property
    def like(self) -> Array:
        return self.q[0][0]

    # -------------------------------------------------------------- steps

    def affine(self, w: Any, b: Any, own: tuple | None = None, sums: Callable | None = None,
               total: Callable | None = None) -> Self:
        if sums:
            raise NotImplementedError
        weight, bias = untraced(w), untraced(b)
        n, c = own or (1, 0)

        def values():
            k, ntk = self.values()
            new = weight * k
            new += bias
            if ntk is None:
                return new, None
            ntk = weight * ntk
            ntk += n * k + c if own else new
            return new, ntk

        def back(g, h):
            if h is None:
                return weight * g, None
            g = weight * g + n * h if own else weight * (g + h)
            return g, weight * h

        def back_to_numbers(g, h):
            k, ntk = self.values()
            both = g if own or h is None else g + h
            self.ends.append((b, _sum(both)))
            self.ends.append((w, _sum(both * k) + (0 if h is None else _sum(h * ntk))))
            return back(g, h)
        return self._then(values, back_to_numbers if is_traced(w) or is_traced(b) else back)

    def nonlinear(self, dual: Callable, fused: Callable | None = None, fused_generic: Callable | None = None) -> Self:
        k, ntk = self.values()
        (q1, add1), (q2, add2) = self.q
        new, slope, pull = adjoint_of(dual, Watched(q1[:, None], q2[None], Cov(k), True, near=self.near))

        def values():
            return new, None if ntk is None else slope * ntk

        def back(g, h):
            bars = pull(g, 0 if h is None else h * ntk)
            for add, bar in zip((add1, add2), bars):
                if add:
                    add(bar().reshape(-1))
            return bars[2](), None if h is None else h * slope
        return self._then(values, back)

    def _then(self, values, back):
        return self.but(values=values, back=(*self.back, back), q=self.variances_at())

    def pulled(self, g: Any, h: Any) -> Array:
        """Return the cotangent of K at the input, for those of K and Theta here; Theta's is None if there is none."""
        for back in reversed(self.back):
            g, h = back(g, h)
        return g


def input_of_chain(a: Array, b: Array, variances: Any, signals: tuple[Signal, Signal], demand: Demand,
                   ntk: bool) -> Chained:
    """Return each a (n1, channels) with each b; `variances` iterates over what `variances_at` returns."""
    k = across(a, b, replace(demand, gap=False, area=False)).k

    def variances_at():
        return next(variances)
    return Chained(lambda: (k, 0 if ntk else None), *shared_signal(*signals), variances_at, variances_at(), [], [])


def adjoint_of(dual: Callable, pair: Watched) -> Adjoint:
    """Return K', slope and their pullback; raise NotImplementedError if a dual has no adjoint, or is made of others."""
    adjoints: list[Adjoint] = []
    cov, slope = dual(replace(pair, adjoints=adjoints))
    found = [adjoint for adjoint in adjoints if adjoint[0] is cov.k and adjoint[1] is slope]
    if len(found) != 1 or len(adjoints) != 1:
        raise NotImplementedError
    return found[0]


def _sum(a):
    """Return the sum of an array, or the 0 that stands for one."""
    return a if isinstance(a, int) else namespace(a).sum(a)
