"""The state of the recursion: covariances and tangent kernel of a layer's outputs, with their description."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from ..arrays import namespace, untraced
from ..derivatives import carried
from ..duals.geometry import Cov
from ..duals.pair import Pair, check_kept, check_variances
from ..ranges import check_range
from ..types import Array
from ..windows import Window
from .positions import diagonal
from .signal import Signal
from .steps import Steps

__all__ = ['State']


@dataclass(frozen=True)
class State(Steps):
    """K of x1 against x2 and of each against itself, Theta, and what describes the two sides.

    Spatial axes are written S: (h, h', w, w', ...) if `paired`, else (h, w, ...).

    Attributes
    ----------
    mutual : Cov of arrays (n1, n2, *S)      x1 with x2.                                                   [output^2]
    own1 : Cov of arrays (n1, *S)            each x1 with itself; gap and area where positions are paired. [output^2]
    own2 : Cov of arrays (n2, *S), or None   each x2 with itself; None: x2 is x1.                          [output^2]
    ntk : array (n1, n2, *S)                 Theta; None if not asked for; 0 before any weights.           [output^2]
    signal1, signal2 : Signal                shapes, axes, masks and patterns of x1 and x2.
    paired : bool                            True: covariances between any two positions; False: at equal ones only.
    are_same : bool                          True if x1 and x2 are the same inputs.
    """
    mutual: Cov
    own1: Cov
    own2: Cov | None
    ntk: Any
    signal1: Signal
    signal2: Signal
    paired: bool
    are_same: bool

    # -------------------------------------------------------------- pairings

    @property
    def covs(self) -> list[Cov]:
        """Cov of each pairing: x1 with x2, x1 with itself, x2 with itself unless x2 is x1."""
        return [self.mutual, self.own1] if self.own2 is None else [self.mutual, self.own1, self.own2]

    def pairs(self) -> list[Pair]:
        spreads = self.spreads(self.variances(1), self.variances(2))
        pairs = [Pair(*spreads[0], self.mutual)]
        for cov, (q1, q2) in zip(self.covs[1:], spreads[1:]):
            is_same = q1.shape == q2.shape == cov.k.shape
            pairs.append(Pair.same(q1, is_generic=True) if is_same else Pair(q1, q2, cov))
        return pairs

    def sides(self, a1: Array, a2: Array) -> list[tuple[Array, Array]]:
        return [(a1[:, None], a2[None]), (a1, a1)] + [(a2, a2)] * (self.own2 is not None)

    def variances(self, i: int) -> Array:
        q = self.own1.k if i == 1 or self.own2 is None else self.own2.k
        return diagonal(q, 1) if self.paired else q

    def all_variances(self) -> list[Array]:
        return [self.variances(i) for i in ((1,) if self.own2 is None else (1, 2))]

    def within(self, f: Callable) -> tuple[Array, Array]:
        own = f(self.own1.k, self.mask1)
        return own, own if self.own2 is None else f(self.own2.k, self.mask2)

    def with_covs(self, covs: list[Cov]) -> Self:
        """Return the state with the Cov of each pairing; own gaps and areas stay only where positions are paired."""
        mutual, *own = covs
        own1, *own2 = (cov if self.paired and cov.k.ndim > 1 else Cov(cov.k) for cov in own)
        return self.but(mutual=mutual, own1=own1, own2=own2[0] if own2 else None)

    # -------------------------------------------------------------- steps

    def nonlinear(self, dual: Callable, fused: Callable | None = None, fused_generic: Callable | None = None) -> Self:
        pairs = self.pairs()
        covs, slopes = zip(*(dual(pair) for pair in pairs))
        new = self.with_covs(list(covs))
        for q, new_q in zip(self.all_variances(), new.all_variances()):
            check_kept(dual, q, new_q)
        new = new.with_covs([pair.cov if pair.is_same else pair.settled(old) for pair, old in zip(new.pairs(), pairs)])
        return new.but(ntk=None if self.ntk is None else slopes[0] * self.ntk).with_own()

    def in_rows(self, windows: list[Window], f: Callable, is_local: bool = True) -> Self:
        return f(self, self.slides(windows))

    def coincidences(self) -> list[Array | None]:
        xp = namespace(self.nngp)
        n1, n2 = self.nngp.shape[:2]
        here = self.here(self.nngp.shape[2::2] if self.paired else ())
        batch = xp.eye(n1) if self.are_same and n1 == n2 else xp.zeros((n1, n2))
        batch = (batch > 0).reshape(n1, n2, *[1] * (self.nngp.ndim - 2))
        return [batch & here, here] + [here] * (self.own2 is not None)

    # -------------------------------------------------------------- what a layer leaves, put right

    def with_own(self) -> Self:
        """Set K of each input with itself to its variance, to the last bit, and its gap and area likewise."""
        if not self.are_same or len(self.nngp) != self.nngp.shape[1]:
            return self
        own = self.own1 if self.paired and self.own1.k.ndim > 1 else Cov(self.own1.k, 0., 0.)
        xp = namespace(untraced(self.nngp))
        here = xp.nonzero(xp.eye(len(self.nngp)) > 0)
        return self.but(mutual=Cov(*(_patched(a, here, values) for a, values in zip(self.mutual, own))))

    def in_range(self) -> Self:
        for q in self.all_variances():
            check_variances(q)
        return self

    def finished(self) -> Self:
        new = self.with_own()
        return new.but(ntk=finished_tangent(new))


def finished_tangent(k):
    """Return Theta of a state, 0 if there were no weights; raise ValueError if K or Theta went out of range."""
    ntk = 0 * abs(k.nngp) if isinstance(k.ntk, int) else k.ntk
    for a in (k.nngp, ntk):
        if a is not None:
            check_range(a)
    return ntk


def _patched(a, index, values):
    """Return a with the values at the index; keep its derivatives, since coinciding inputs may be moved apart."""
    if a is None or values is None:
        return a
    number = untraced(a)
    return carried(namespace(number).patch(number, index, untraced(values)), a)
