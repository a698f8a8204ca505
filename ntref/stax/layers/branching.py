"""Branching: FanOut, FanInSum, FanInProd, FanInConcat.

Branches are independent: every layer has weights of its own, even where one object is used twice. The covariance of a
sum of branches is the sum of their covariances.
"""
from dataclasses import dataclass, replace
from functools import reduce
from operator import add, and_, mul
from typing import Any

from ...arguments import as_whole
from ...arrays import exact, namespace, untraced
from ...duals.geometry import Cov
from ...duals.pair import Pair
from ...ranges import check_small
from ...recursion.signal import Demand, Signal, axis_of
from ...recursion.steps import Steps
from ...types import Array, Seed, Tree
from ...windows import zeros
from ..layer import Layer

__all__ = ['FanInConcat', 'FanInProd', 'FanInSum', 'FanOut']


@dataclass(frozen=True, repr=False)
class FanOut(Layer):
    """The input, `num` times: x to [x, ..., x].

    Parameters
    ----------
    num : int                 number of copies, >= 1.

    Source
    ------
    docs/theory/dense.md#branches
    """
    formula = r'K_i = K,\quad \Theta_i = \Theta'
    knows_flat = True

    num: int

    def __post_init__(self):
        object.__setattr__(self, 'num', as_whole(self.num, 'FanOut: num', 1))

    def out(self, signal: Signal) -> list[Signal]:
        return [signal] * self.num

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> list[Array]:
        return [x] * self.num

    def kernel(self, k: Steps) -> list[Steps]:
        return [k.shared()] * self.num

    def demand(self, demand: Demand | list[Demand]) -> Demand:
        demands = demand if isinstance(demand, list) else [demand]
        return Demand(
            paired=any(d.paired for d in demands),
            axes=next((d.axes for d in demands if d.axes is not None), None),
            area=any(d.area for d in demands),
            diagonal=any(d.diagonal for d in demands),
            flat=all(d.flat for d in demands),
        )


class _FanIn(Layer, abstract=True):
    """Base of layers that make one of several inputs; shapes may differ only along the axis `_may_differ`."""
    several = True

    def out(self, signals: list[Signal]) -> Signal:
        if not isinstance(signals, (list, tuple)) or not signals:
            raise ValueError(
                f'expected a list of inputs, got {signals!r}. Precede it by FanOut and parallel.')
        first = signals[0]
        free = self._may_differ(first)
        shapes = [tuple(n for axis, n in enumerate(s.shape) if axis != free) for s in signals]
        if len(set(shapes)) > 1 or any(s.axes != first.axes for s in signals):
            but_for = '' if free is None else f' but for axis {free}'
            raise ValueError(
                f'expected inputs of the same shape and axes{but_for}, got '
                f'{[s.shape for s in signals]}.')
        masks = [s.mask for s in signals]
        if all(mask is None for mask in masks):
            return self._joined(signals)
        if any(mask is None for mask in masks):
            raise ValueError(
                'expected masks in all of the inputs or in none of them, got them in '
                f'{[i for i, mask in enumerate(masks) if mask is not None]} of {len(masks)}.')
        return replace(self._joined(signals), mask=self._joined_masks(masks, first))

    def _joined(self, signals):
        """Return the signal of the output, whose mask `_joined_masks` gives."""
        raise NotImplementedError

    def _joined_masks(self, masks, signal):
        """Return the mask of the output, True where all branches are masked."""
        return reduce(and_, masks)

    def _may_differ(self, signal):
        """Return the axis along which the shapes of branches may differ, or None."""
        return None

    def kernel(self, ks: list[Steps]) -> Steps:
        """Join the states of the branches.

        If only some have covariances between different positions, those at equal positions are used in all.
        """
        is_mixed = len({k.diagonal_spatial for k in ks}) > 1
        return self._joint([k.aligned() for k in ks] if is_mixed else ks)

    def _joint(self, ks):
        """Return the state of the output from those of the branches, which have the same positions."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class FanInSum(_FanIn):
    """Sum of independent branches:  K' = sum_i K_i,  Theta' = sum_i Theta_i.

    Branches are assumed to be independent: two Identity branches of one input give 2 K, where the truth is 4 K.

    Raises
    ------
    ValueError : different shapes; more than one branch and one of them not Gaussian (its mean need not be zero, and the
        cross terms then do not vanish): end it with Dense.

    Source
    ------
    docs/theory/dense.md#branches
    """
    formula = r'K_+ = \sum_i K_i,\quad \Theta_+ = \sum_i \Theta_i'

    def _joined(self, signals):
        return signals[0]

    def check(self, signals: list[Signal]) -> None:
        if not _are_gaussian(signals):
            raise ValueError(
                'expected Gaussian branches, got is_gaussian = '
                f'{[s.is_gaussian for s in signals]}. Let each branch end in a layer with weights, '
                'such as Dense.')

    def apply(self, params: Tree, x: list[Array], rng: Seed | None = None, **given: Any) -> Array:
        return reduce(add, x)

    def _joint(self, ks):
        return reduce(_sum, ks)


def _are_gaussian(signals):
    """True unless there are several branches and one of them is not Gaussian."""
    if not isinstance(signals, (list, tuple)) or len(signals) == 1:
        return True
    return all(s.is_gaussian for s in signals)


def _sum(k, m):
    """K' = K + M,  Theta' = Theta_k + Theta_m."""
    both = k.map(Pair.add, m)
    return both.but(ntk=None if k.ntk is None else k.ntk + m.ntk)


@dataclass(frozen=True, repr=False)
class FanInProd(_FanIn):
    """Elementwise product of independent branches:  K' = prod_i K_i,  Theta' = sum_i Theta_i prod_{j != i} K_j.

    Raises
    ------
    ValueError : different shapes.

    Source
    ------
    docs/theory/dense.md#branches
    """
    formula = r'K_+ = \prod_i K_i,\quad \Theta_+ = \sum_i \Theta_i \prod_{j \ne i} K_j'

    def _joined(self, signals):
        return signals[0] if len(signals) == 1 else replace(signals[0], is_gaussian=False)

    def apply(self, params: Tree, x: list[Array], rng: Seed | None = None, **given: Any) -> Array:
        return reduce(mul, x)

    def _joint(self, ks):
        return reduce(_product, ks)


def _product(k, m):
    """K' = K M,  Theta' = Theta_k M + K Theta_m."""
    both = k.map(Pair.multiply, m)
    for q, left, right in zip(*(state.all_variances() for state in (both, k, m))):
        check_small(q, lambda q: (untraced(left) > 0) & (untraced(right) > 0))
    return both.but(ntk=None if k.ntk is None else k.ntk * m.nngp + k.nngp * m.ntk)


@dataclass(frozen=True, repr=False)
class FanInConcat(_FanIn):
    """Concatenation of independent branches.

    Along the channels, with n_i of the n channels in branch i:  K' = sum_i (n_i / n) K_i, Theta' likewise. The n_i are
    those of the finite network. Along positions or inputs:  K' = K_i within branch i, and 0 between different branches.

    Parameters
    ----------
    axis : int                the axis to join along.

    Raises
    ------
    ValueError : shapes that differ on other axes; along positions or inputs, a branch that is not Gaussian (its mean
        need not be zero, nor need the covariance between branches).

    Source
    ------
    docs/theory/dense.md#branches
    """
    formula = (
        r'K_+ = \sum_i \frac{n_i}{n} K_i\text{ along channels},\quad '
        r'K_+ = K_i\text{ within a branch and 0 between them along others},\quad \Theta_+\text{ likewise}')
    axis: int = -1

    def _may_differ(self, signal):
        return axis_of(self.axis, len(signal.shape))

    def check(self, signals: list[Signal]) -> None:
        if not _are_gaussian(signals) and not self._joins_channels(signals[0]):
            raise ValueError(
                f'expected Gaussian branches to join along axis {self.axis}, got is_gaussian = '
                f'{[s.is_gaussian for s in signals]}. Let each end in one with weights, such as '
                'Dense.')

    def _joins_channels(self, signal):
        return axis_of(self.axis, len(signal.shape)) == signal.axes.channel

    def _joined(self, signals):
        first = signals[0]
        axis = self._may_differ(first)
        size = sum(s.shape[axis] for s in signals)
        new = replace(first, shape=(*first.shape[:axis], size, *first.shape[axis + 1:]))
        if len(signals) > 1 and self._joins_channels(first):
            return replace(new, is_gaussian=False)
        return new

    def _joined_masks(self, masks, signal):
        xp = namespace(*masks)
        if not self._joins_channels(signal):
            return xp.concatenate(masks, signal.layout.index(self._may_differ(signal)))
        if not all(bool(xp.all(mask == masks[0])) for mask in masks):
            raise ValueError(
                'expected branches with the same masks to join along the channels, axis '
                f'{self.axis}, got some with others: a position would be there in some channels '
                'only. Join such branches by FanInSum, each after a Dense, or after GlobalAvgPool.')
        return masks[0]

    def tileable(self, signals: list[Signal]) -> bool:
        return self._may_differ(signals[0]) != signals[0].axes.batch

    def apply(self, params: Tree, x: list[Array], rng: Seed | None = None, **given: Any) -> Array:
        return namespace(*x).concatenate(x, axis=self.axis)

    def _joint(self, ks):
        signal, _ = ks[0].signals
        if len(ks) == 1:
            return ks[0]
        if self._joins_channels(signal):
            # exact numbers of channels have exact shares
            channels = [exact(float(k.signals[0].channels), k.nngp) for k in ks]
            n = sum(channels)
            return reduce(_sum, [scaled(k, n_i / n) for k, n_i in zip(ks, channels)])
        return _side_by_side(ks, signal.layout.index(self._may_differ(signal)))


def scaled(k, w):
    """K' = w K,  Theta' = w Theta."""
    return k.linear(lambda c: w * c, gap=True, area=True)


def _side_by_side(ks, place):
    """Join branches along the inputs (place 0) or along a spatial axis (place 1, 2, ...)."""
    def joined(blocks, between):
        """Put blocks[i] on the diagonal and between(i, j, shape) elsewhere; along a single axis, concatenate."""
        xp = namespace(*blocks)
        ndim = blocks[0].ndim
        axes = ks[0].spatial[place - 1] if place else range(ndim - sum(map(len, ks[0].spatial)))
        if len(axes) == 1:
            return xp.concatenate(blocks, axes[0])
        left, right = (axis % ndim for axis in axes)
        places = range(len(blocks))

        def entry(i, j):
            shape = (*blocks[i].shape[:right], blocks[j].shape[right], *blocks[i].shape[right + 1:])
            return blocks[i] if i == j else between(i, j, shape)
        rows = [xp.concatenate([entry(i, j) for j in places], right) for i in places]
        return xp.concatenate(rows, left)

    def nothing(i, j, shape):
        return zeros(ks[0].nngp, shape)

    def cov(*pairs):
        def apart(i, j, shape):
            return nothing(i, j, shape) + pairs[i].q1 + pairs[j].q2
        return Cov(joined([p.k for p in pairs], nothing), joined([p.gap for p in pairs], apart))
    ntk = None if ks[0].ntk is None else joined([k.ntk for k in ks], nothing)
    return ks[0].map(cov, *ks[1:]).but(ntk=ntk)
