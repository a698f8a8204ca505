"""The state of the recursion that autograd follows block by block: K, Theta and variances of some pairs of inputs.

A `Recorded` is to gradients what a `Tile` is to values. Layers act on it through `Steps` as on any state. What is
linear autograd follows by the rules of its functions; a nonlinearity states its adjoint (`ntref.duals.partials`).

The variances are leaves: the recursion of inputs with themselves (`is_own`) writes them to a tape (`recording`), and
blocks of pairs read them from it, so that their cotangents are added up over all blocks, step by step.
"""
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Self

from ..arrays import namespace
from ..derivatives import adjoint_pair, is_traced
from ..duals.geometry import Cov
from ..duals.pair import Pair
from ..duals.watched import Watched
from ..types import Array
from ..windows import Window, packed
from .part import Part
from .positions import diagonal, matrices, swapped
from .signal import Demand, Signal, shared_signal
from .start import across, one_by_one, own_variances
from .state import finished_tangent
from .tape import recording

__all__ = ['Recorded', 'input_of_block', 'input_of_own', 'input_of_pairs', 'onto_inputs', 'onto_own', 'own_cov']


_packed, _ = adjoint_pair(packed, lambda g, batch_axes: g)                  # on the way forward
_packed_back, _ = adjoint_pair(lambda a, batch_axes: a, packed)


@dataclass(frozen=True)
class Recorded(Part):
    """A part of the kernel whose arrays autograd follows.

    Attributes
    ----------
    mutual, ntk, signal1, signal2, paired, q1, q2, tape    as in `Part`; `is_generic` pairs have no gap and area.
    batch_axes : int                         2, or 1 for inputs x1[i] with x2[i].
    is_own : bool                            True for inputs with themselves.
    near : list                              where pairs were found that are not generic: masks, or None for nowhere.
    """
    near: list
    batch_axes: int = 2
    is_own: bool = False
    is_generic: bool = False

    # -------------------------------------------------------------- pairings

    def pairs(self) -> list[Pair]:
        """Return the pairing of the left with the right members, as a list of one `Pair`."""
        if self._is_same:
            return [Pair(self.q1, self.q1, Cov(self.q1), is_generic=True)]       # linear steps need no gap
        (q1, q2), = self.spreads(self.q1, self.q2)
        if self.is_generic:
            return [Watched(q1, q2, self.mutual, is_generic=True, near=self.near)]
        return [Pair(q1, q2, self.mutual)]

    @property
    def _is_same(self):
        """True if every variable is paired with itself."""
        return self.is_own and self.mutual.k.ndim == self.q1.ndim

    @property
    def _has_k_alone(self):
        return self.is_generic or self._is_same

    def within(self, f: Callable) -> tuple[Array, Array]:
        return self.tape(lambda: f(self.nngp, None))

    def with_covs(self, covs: list[Cov]) -> Self:
        """Return the block with another Cov, of the same variances."""
        cov, = covs
        return self.but(mutual=Cov(cov.k) if self._has_k_alone else cov)

    def _stepped(self, covs):
        """Return the block after a step, with the variances that the tape has for it."""
        new = self.with_covs(covs)
        q1, q2 = self.tape(lambda: diagonal(new.nngp, 1) if self.paired else new.nngp)
        return new.but(q1=q1, q2=q2)

    # -------------------------------------------------------------- steps

    def nonlinear(
            self, dual: Callable, fused: Callable | None = None,
            fused_generic: Callable | None = None) -> Self:
        old, = self.pairs()
        if self._is_same:
            cov, slope = dual(Watched.same(self.q1))
        elif isinstance(old, Watched):
            cov, slope = self._of_positions(dual, old) if self.is_own else old.watched(dual)
        else:
            cov, slope = dual(old)
        new = self._stepped([cov._replace(k=_packed_back(cov.k, self.batch_axes))])
        if not self._has_k_alone:
            pair, = new.pairs()
            new = new.with_covs([pair.settled(old)])
        ntk = self.tangent(lambda ntk: _packed_back(slope * ntk, self.batch_axes))
        return new.but(ntk=ntk)

    def _of_positions(self, dual, pair):
        """Return K' and slope of generic pairs of positions, with those of each position with itself among them."""
        xp = pair.xp
        here = self.here(self.nngp.shape[1::2])
        apart = replace(pair, cov=Cov(xp.where(here, 0, pair.k)))
        cov, slope = apart.watched(dual)
        own, own_slope = dual(Watched.same(self.q1))
        k = xp.where(here, self._spread(own.k, 0), cov.k)
        return Cov(k), xp.where(here, self._spread(own_slope, 0), slope)

    def in_rows(self, windows: list[Window], f: Callable, is_local: bool = True) -> Self:
        return f(self, self.slides(windows))

    def in_range(self) -> Self:
        """Return self: ranges were checked when the values were computed."""
        return self

    def finished(self) -> Self:
        return self.but(ntk=finished_tangent(self))


# ------------------------------------------------------------------ at the input

def own_cov(x: Array, demand: Demand, is_generic: bool) -> Cov:
    """Return the Cov of each x (n, *positions, channels) with itself, as `demand` needs it."""
    if not demand.paired or x.ndim == 2:
        return Cov(own_variances(x))
    return one_by_one(x, x, _needed(demand, is_generic))


def input_of_own(
        cov: Cov, steps: list, signal: Signal, demand: Demand, ntk: bool, is_generic: bool) -> Recorded:
    """Return inputs with themselves, of the `own_cov` given, whose variances go to `steps`.

    `is_generic` says that different positions within an input are generic pairs.
    """
    cov = Cov(*(c if c is None else _packed(c, 1) for c in cov))
    tape = recording(steps, lambda q: q)                                    # autograd follows them
    q, _ = tape(lambda: diagonal(cov.k, 1) if demand.paired else cov.k)
    return Recorded(
        cov, 0 if ntk else None, signal, signal, demand.paired, q, q, tape, [], batch_axes=1,
        is_own=True, is_generic=is_generic)


def input_of_block(
        a: Array, b: Array, leaf: Callable, tape: Callable, signals: tuple[Signal, Signal],
        demand: Demand, ntk: bool, is_generic: bool) -> Recorded:
    """Return each a (n1, *positions, channels) with each b; `leaf` makes leaves of what autograd does not follow."""
    cov = across(a, b, _needed(demand, is_generic))
    return _input(cov, leaf, tape, signals, demand, ntk, is_generic, batch_axes=2)


def input_of_pairs(
        a: Array, b: Array, leaf: Callable, tape: Callable, signals: tuple[Signal, Signal],
        demand: Demand, ntk: bool, is_generic: bool) -> Recorded:
    """Return each a[i] (n, *positions, channels) with b[i]; `leaf` as in `input_of_block`."""
    cov = one_by_one(a, b, _needed(demand, is_generic))
    return _input(cov, leaf, tape, signals, demand, ntk, is_generic, batch_axes=1)


def _needed(demand, is_generic):
    return replace(demand, gap=False, area=False) if is_generic else demand


def _input(cov, leaf, tape, signals, demand, ntk, is_generic, batch_axes):
    q1, q2 = tape(None)
    arrays = (c if c is None or is_traced(c) else leaf(c) for c in cov)
    cov = Cov(*(c if c is None else _packed(c, batch_axes) for c in arrays))
    return Recorded(
        cov, 0 if ntk else None, *shared_signal(*signals), demand.paired, q1, q2, tape, [],
        batch_axes, is_generic=is_generic)


# ------------------------------------------------------------------ back to the input

def onto_inputs(kbar: Array, x: Array, paired: bool) -> Array:
    """Return the sum over j, and over the positions of x[j] if they are `paired`, of Kbar_ij x_j / c.

    It has shape (n1, *positions, c), for Kbar (n1, n2, *S) and x (n2, *positions, c).
    """
    xp = namespace(kbar)
    n, *positions, c = x.shape
    if paired:
        rows = kbar.shape[2::2]
        both = xp.moveaxis(matrices(kbar, len(positions)), 1, 2).reshape(len(kbar) * prod(rows), -1)
        return (both @ x.reshape(-1, c)).reshape(len(kbar), *rows, c) / c
    at_positions = xp.moveaxis(kbar, (0, 1), (-2, -1)) @ xp.moveaxis(x, 0, -2)
    return xp.moveaxis(at_positions, -2, 0) / c


def onto_own(kbar: Array, x: Array, paired: bool) -> Array:
    """Return the gradient in x (n, *positions, c) from Kbar (n, *S) of K = <x, x> / c of each input with itself."""
    c = x.shape[-1]
    if not paired:
        return 2 * kbar[..., None] * x / c
    positions = x.reshape(len(x), -1, c)
    return (matrices(kbar + swapped(kbar, 1), x.ndim - 2) @ positions).reshape(x.shape) / c
