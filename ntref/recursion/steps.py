"""What a layer may call on the state it is given, whichever kind of state that is.

    z = W h / sqrt(n) + b,   h = phi(z)      a network
    K = E[z z'],  Theta                      its covariance and tangent kernel, pushed through layer by layer

A layer maps one state to the next by applying a function to each pairing of inputs: `k.map(f)`, `k.nonlinear(dual)`.
There are four kinds of states: `State` has K for x1 against x2 and for each against itself, `Tile` has a part of x1
against x2 and the variances of both, and so have two for gradients: `Recorded`, which autograd follows, and `Chained`,
which has the steps `affine` and `nonlinear` alone.

Spatial axes (h, w, ...) follow the batch axes. They come in zipped pairs (n1, n2, h, h', w, w') for covariances between
any two positions (`paired`), or once (n1, n2, h, w) for covariances at equal positions only.
`ntref.recursion.signal.Demand` says which of the two are needed.
"""
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any, Self

from ..arrays import namespace, untraced
from ..in_place import blanked, divided
from ..duals.geometry import Cov
from ..duals.pair import Pair
from ..duals.written import affine
from ..types import Array, Number, Shape
from ..windows import Window
from .positions import diagonal, diagonal_sum
from .signal import Signal, shared_signal

__all__ = ['Steps']


class Steps:
    """Base of the kinds of states, with the steps that are the same for all.

    Attributes
    ----------
    mutual : Cov             K of x1 against x2 with its gap and area.
    ntk : array like K       Theta; None if it is not asked for; 0 before any weights.
    signal1, signal2         the `Signal`s that describe x1 and x2: shapes, axes, masks, patterns.
    paired : bool            True if there are covariances between any two positions.
    batch_axes : int         number of batch axes of K: 2, or 1 for inputs x1[i] with x2[i].
    is_generic : bool        True if no pair nearly coincides or is nearly opposite, see `Pair`.
    is_shared : bool         True if others hold the same arrays; otherwise a step may write into them.
    """
    mutual: Cov
    ntk: Any
    signal1: Signal
    signal2: Signal
    paired: bool
    batch_axes = 2
    is_generic = False
    is_shared = True

    def but(self, **changes: Any) -> Self:
        """Return a copy with `changes` of its fields, which are not checked."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **changes)
        return new

    def described(self, signal1: Signal, signal2: Signal) -> Self:
        """Return the same arrays with other descriptions of x1 and x2, whose patterns stay."""
        if self.mask1 is not None and signal1.mask is None:
            raise ValueError('expected `out` to say where outputs are masked, got a Signal without a mask. Make it of '
                             'the one given, by dataclasses.replace.')
        if signal1.patterns is not self.signal1.patterns:
            signal1 = replace(signal1, patterns=self.signal1.patterns)
        if signal2.patterns is not self.signal2.patterns:
            signal2 = replace(signal2, patterns=self.signal2.patterns)
        signal1, signal2 = shared_signal(signal1, signal2)
        return self.but(signal1=signal1, signal2=signal2)

    # -------------------------------------------------------------- what it has

    @property
    def nngp(self) -> Any:
        """K of x1 against x2."""
        return self.mutual.k

    @property
    def like(self) -> Any:
        """One of its arrays, of the kind and dtype that all have; None if all wait to be computed."""
        return self.nngp

    @property
    def signals(self) -> tuple[Signal, Signal]:
        """The two `Signal`s that describe x1 and x2."""
        return self.signal1, self.signal2

    @property
    def shape1(self) -> Shape:
        """Shape of the activations of x1 in the finite network."""
        return self.signal1.shape

    @property
    def mask1(self) -> Any:
        """Mask of x1, (n1, *positions), True where an input is masked; None without masks."""
        return self.signal1.mask

    @property
    def mask2(self) -> Any:
        """Mask of x2."""
        return self.signal2.mask

    @property
    def patterns(self) -> tuple:
        """Patterns of the graphs x1 and x2, None where there are no graphs."""
        return self.signal1.patterns[0], self.signal2.patterns[0]

    @property
    def diagonal_spatial(self) -> bool:
        """True if covariances are kept at equal positions only."""
        return not self.paired

    def check_paired(self) -> None:
        """Raise ValueError if there are positions, but no covariances between different ones."""
        if self.diagonal_spatial and len(self.shape1) > 2:
            raise ValueError('expected a Kernel with covariances between positions, got one with '
                             'diagonal_spatial=True. Compute it with diagonal_spatial=False.')

    @property
    def spatial(self) -> tuple[tuple[int, ...], ...]:
        """Axes of each position, from the end: ((-4, -3), (-2, -1)) if `paired`, else ((-2,), (-1,))."""
        members = 2 if self.paired else 1
        positions = len(self.signal1.shape) - 2
        return tuple(tuple(range(-members * i, -members * (i - 1))) for i in range(positions, 0, -1))

    # -------------------------------------------------------------- linear steps

    def map(self, f: Callable[..., Cov], *others: 'Steps') -> Self:
        """Map covariances, gaps and areas by f(Pair, *Pairs of the other states) -> Cov; leave `ntk` as it is."""
        return self._stepped([f(*pairs) for pairs in zip(self.pairs(), *(k.pairs() for k in others))])

    @property
    def has_tangent(self) -> bool:
        """True if Theta is asked for, also while it waits to be computed."""
        return self.ntk is not None

    def tangent(self, f: Callable[[Array], Array]) -> Any:
        """Return f(Theta) for linear f."""
        return self.ntk if self.ntk is None or isinstance(self.ntk, int) else f(self.ntk)

    def linear(self, f: Callable[[Array], Array], gap: bool = False, area: bool = False,
               bound: Callable[[Pair], Array] | None = None) -> Self:
        """Apply a linear f to K and Theta, and to gap and area if these flags are True.

        Gap and area are recovered by subtraction later if f is not applied to them.
        `bound` is an upper bound of the gap as a function of the Pair; see `bounded`.
        """
        def cov(p):
            if gap and area and p.cov.lack is not None:
                return Cov(f(p.k), lack=f(p.cov.lack))
            new_gap = None if p.is_generic else f(p.gap) if gap else bound(p.numbers) if bound else None
            return Cov(f(p.k), new_gap, f(p.area) if area and p.has_area else None)
        return self.map(cov).but(ntk=self.tangent(f))

    def affine(self, w: Number, b: Number, own: tuple | None = None, sums: Callable | None = None,
               total: Callable | None = None) -> Self:
        """K' = w S K + b,  Theta' = K' + w S Theta  for a sum S over inputs: `sums` of a Pair, `total` of an array.

        With own = (n, c) it is Theta' = n S K + c + w S Theta.
        """
        first, *others = [sums(pair) if sums else pair for pair in self.pairs()]
        cov, ntk = affine(first, self.tangent(total) if total else self.ntk, w, b, own)
        return self._stepped([cov, *(pair.affine(w, b) for pair in others)]).but(ntk=ntk)

    def divide(self, v1: Array, v2: Array) -> Self:
        """Divide z by sqrt(v), with v1 for x1 and v2 for x2 shaped like `variances`, or with axes of length one."""
        pairs, variances = self.pairs(), self.spreads(v1, v2)
        left, right = variances[0]
        ntk = self.tangent(lambda ntk: divided(divided(ntk, left ** .5, not self.is_shared), right ** .5, True))
        return self._stepped([p.divide(*v) for p, v in zip(pairs, variances)]).but(ntk=ntk)

    def masked(self) -> Self:
        """Set z = 0 where it is masked: covariances with it become 0, and gaps the variance of the other member."""
        return self if self.mask1 is None else self.masked_at(self.mask1, self.mask2)

    def masked_at(self, mask1: Array, mask2: Array) -> Self:
        """Return the state masked by these masks of x1 and x2, arrays of bool (n, *positions)."""
        xp = namespace(self.nngp)
        sides = self.spreads(mask1, mask2)
        places = [left | right for left, right in sides]
        each = iter(zip(sides, places))

        def nothing(p):
            (left, right), here = next(each)
            if p.is_generic:
                return Cov(blanked(p.k, here, p.is_spare))
            area = xp.where(here, 0, p.area) if p.has_area else None
            gap = None
            if p.cov.gap is not None or area is not None:
                alone = xp.where(left, 0, p.q1) + xp.where(right, 0, p.q2)
                gap = xp.where(here, alone, p.gap)
            return Cov(blanked(p.k, here, p.is_spare), gap, area)
        ntk = self.tangent(lambda ntk: blanked(ntk, places[0], not self.is_shared))
        return self.map(nothing).but(ntk=ntk)

    def aligned(self) -> Self:
        """Return the state at equal positions only."""
        if not self.paired:
            return self
        n = self.batch_axes
        mutual, *own = self.covs
        covs = [Cov(*(None if c is None else diagonal(c, n) for c in mutual)), *(Cov(diagonal(c.k, 1)) for c in own)]
        return self.but(paired=False, ntk=self.tangent(lambda ntk: diagonal(ntk, n))).with_covs(covs)

    def uncorrelated(self) -> Self:
        """Return paired covariances made from those at equal positions, with 0 at different positions."""
        xp = namespace(self.nngp)
        here = self.here(self.nngp.shape[self.batch_axes:])

        def between(c):
            for axis in range(c.ndim - here.ndim // 2, c.ndim + here.ndim // 2, 2):
                c = xp.expand_dims(c, axis + 1)
            return xp.where(here, c, 0)
        pairs = self.pairs()
        covs = [Cov(between(p.k), between(p.gap) if p.has_gap else None) for p in pairs]
        new = self.but(paired=True, ntk=self.tangent(between)).with_covs(covs)
        return new.map(lambda p: Cov(p.k, xp.where(here, p.gap, p.q1 + p.q2)))

    # -------------------------------------------------------------- gaps that a step would lose

    def meetings(self) -> Any:
        """Return which inputs coincide at every position, as bools (n1, n2), or None if gaps are not carried."""
        if self.mutual.gap is None and self.mutual.lack is None:
            return None
        gap = untraced(self.pairs()[0].gap)
        if not self.paired:
            return namespace(gap).all(gap == 0, axis=tuple(range(self.batch_axes, gap.ndim)))
        return diagonal_sum(gap, self.batch_axes) == 0

    def meeting(self, met: Any) -> Self:
        """Set the gap to 0 at equal positions of inputs that coincided before (`met`): they still coincide."""
        if met is None or not met.any():
            return self
        xp = namespace(self.nngp)
        here = self.here(self.nngp.shape[self.batch_axes::2] if self.paired else ())
        same = met.reshape(*met.shape, *[1] * (self.nngp.ndim - met.ndim)) & here
        places = [same, here, here]
        pairs = self.pairs()
        gaps = [xp.where(place, 0, pair.numbers.gap) for place, pair in zip(places, pairs)]
        return self.with_covs([Cov(p.k, gap, p.area if p.has_area else None) for p, gap in zip(pairs, gaps)])

    def bounded(self) -> Self:
        """Replace gaps that are upper bounds by q + q' - 2 K where that is less: exact where the bound is 0."""
        def least(cov, p):
            return cov if cov.gap is None else cov._replace(
                gap=p.xp.minimum(p.gap, p.xp.maximum(p.q1 + p.q2 - 2 * p.k, 0)))
        return self.with_covs([least(cov, pair.numbers) for cov, pair in zip(self.covs, self.pairs())])

    # -------------------------------------------------------------- where things are

    def nothing(self) -> list:
        """Return where a member of a pair is masked: bool arrays for the pairings of `map`; False without masks."""
        masks = [] if self.mask1 is None else self.spreads(self.mask1, self.mask2)
        return [left | right for left, right in masks] or [False] * 3

    def slides(self, windows: list[Window]) -> list[list[tuple[int, Window]]]:
        """Return the list of (axis, Window) of each position, for windows along the spatial axes."""
        return [[(axis, window) for axis in axes] for axes, window in zip(self.spatial, windows)]

    def spreads(self, a1: Array, a2: Array) -> list[tuple[Array, Array]]:
        """Return the left and right members of the pairings of `map`, which broadcast against the covariances.

        a1 and a2 are arrays (n, *positions) of x1 and of x2.
        """
        return [(self._spread(left, 0), self._spread(right, 1)) for left, right in self.sides(a1, a2)]

    def here(self, sizes: Shape) -> Array:
        """Return an array of bool (h, h', w, w', ...) that is True at equal positions."""
        xp = namespace(self.nngp)
        here = xp.eye(1)[0] > 0
        for i, size in enumerate(sizes):
            here = here & (xp.eye(size) > 0).reshape(size, size, *[1] * (2 * (len(sizes) - 1 - i)))
        return here

    def _spread(self, q, side):
        """Return q with axes of length one in the places of the positions of the other side of the pairs."""
        positions = (self.nngp.ndim - self.batch_axes) // 2
        if not self.paired or not positions:
            return q
        first = q.ndim - positions
        ones = ((1, n) if side else (n, 1) for n in q.shape[first:])
        return q.reshape(*q.shape[:first], *chain.from_iterable(ones))

    # -------------------------------------------------------------- what each kind of state does in its own way

    @property
    def covs(self) -> list[Cov]:
        """The Cov of each pairing: `mutual` first, then inputs with themselves, if the state has these."""
        raise NotImplementedError

    def pairs(self) -> list[Pair]:
        """Return the pairings as `Pair`s."""
        raise NotImplementedError

    def sides(self, a1: Array, a2: Array) -> list[tuple[Array, Array]]:
        """Return left and right members of the pairings from a1 of x1, a2 of x2; batch axes broadcast."""
        raise NotImplementedError

    def variances(self, i: int) -> Array:
        """Return the variances q of the inputs x1 (i = 1) or x2 (i = 2), an array (n, *positions)."""
        raise NotImplementedError

    def all_variances(self) -> list[Array]:
        """Return the variances of x1 and, if x2 are other inputs, those of x2."""
        raise NotImplementedError

    def within(self, f: Callable) -> tuple[Array, Array]:
        """Return f(K, mask) for the covariances of each x1 with itself, and of each x2: arrays (n, ...)."""
        raise NotImplementedError

    def with_covs(self, covs: list[Cov]) -> Self:
        """Return the state with another Cov of each pairing."""
        raise NotImplementedError

    def _stepped(self, covs):
        """Return the state after a step that gave these covariances, and so other variances."""
        return self.with_covs(covs)

    def nonlinear(self, dual: Callable, fused: Callable | None = None, fused_generic: Callable | None = None) -> Self:
        """K' = E[phi phi'],  Theta' = E[dphi dphi'] Theta,  for dual: Pair -> (Cov, E[dphi dphi']).

        `fused` and `fused_generic` are forms of the dual in few passes (`ntref.duals.fast`), for all pairs and for
        generic ones, which only tiles use.
        """
        raise NotImplementedError

    def in_rows(self, windows: list[Window], f: Callable, is_local: bool = True) -> Self:
        """Return f(state, slides) for windows along the spatial axes; see `slides`.

        With tiles f gets some rows at a time. `is_local` means that the variance at an output position follows from
        the variances of its inputs: equal positions stay equal.
        """
        raise NotImplementedError

    def coincidences(self) -> list[Array | None]:
        """Return where an input meets itself at the same position: bool arrays for the pairings of `map`.

        None: nowhere.
        """
        raise NotImplementedError

    def shared(self) -> Self:
        """Return the state for more than one holder, so that no step writes into its arrays."""
        return self

    def computed(self) -> Self:
        """Return the state with all arrays computed, where steps may have been put off."""
        return self

    def in_range(self) -> Self:
        """Return self; raise ValueError if a variance, and so all later numbers, went out of range of its dtype."""
        raise NotImplementedError

    def finished(self) -> Self:
        """Make Theta an array of zeros if there were no weights; raise ValueError if K or Theta went out of range."""
        raise NotImplementedError
