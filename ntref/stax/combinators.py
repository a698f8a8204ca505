"""Composition and branching: serial, parallel, repeat, FanOut, FanInSum, FanInProd, FanInConcat.

Branches are independent: every layer has weights of its own, also where one object is used twice. Covariances of their
sum add.
"""
from dataclasses import dataclass, replace
from functools import reduce
from operator import add, mul

from ..arrays import as_whole, generator, namespace
from ..duals import Cov, Pair
from ..kernel import Demand, axis_of
from .layer import Layer, located

__all__ = ['FanInConcat', 'FanInProd', 'FanInSum', 'FanOut', 'parallel', 'repeat', 'serial']


class _Network(Layer, abstract=True):
    """Several layers, `self.layers`."""

    def __post_init__(self):
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f'{self.name}: expected layers such as Relu(), got {layer!r} as number {i}.')
        if not self.layers:
            raise ValueError(f'{self.name}: expected at least one layer, got none.')

    def __repr__(self):
        return f'{self.name}({", ".join(map(repr, self.layers))})'

    def each(self, f, *trees):
        """[f(layer, leaves)] with errors located."""
        results = []
        for i, (layer, *leaves) in enumerate(zip(self.layers, *trees, strict=True)):
            with located(layer, i):
                results.append(f(layer, *leaves))
        return results


@dataclass(frozen=True, repr=False)
class _Serial(_Network):
    name = 'serial'
    layers: tuple

    @property
    def several(self):
        return self.layers[0].several

    def fold(self, f, value, *trees):
        """f(layer, value, ...) of the last layer, with the value of the one before."""
        for i, (layer, *leaves) in enumerate(zip(self.layers, *trees, strict=True)):
            with located(layer, i):
                value = f(layer, value, *leaves)
        return value

    def out(self, signal):
        return self.fold(lambda layer, s: layer.out(s), signal)

    def trace(self, signal):
        return self.fold(lambda layer, s: layer.trace(s), signal)

    def tileable(self, signal):
        answers = []

        def step(layer, signal):
            answers.append(layer.tileable(signal))
            return layer.out(signal)
        self.fold(step, signal)
        return all(answers)

    def propagate(self, k):
        return self.fold(lambda layer, k: layer.propagate(k), k)

    def demand(self, demand):
        for i, layer in reversed(list(enumerate(self.layers))):
            with located(layer, i):
                demand = layer.demand(demand)
        return demand

    def init(self, rng, signal):
        params = []

        def step(layer, signal, rng):
            params.append(layer.init(rng, signal))
            return layer.out(signal)
        self.fold(step, signal, rng.spawn(len(self.layers)))
        return params

    def apply(self, params, x, rng=None):
        return self.fold(lambda layer, x, p, r: layer.apply(p, x, rng=r), x, params, spawned(rng, len(self.layers)))


@dataclass(frozen=True, repr=False)
class _Parallel(_Network):
    name = 'parallel'
    layers: tuple
    several = True

    def out(self, signal):
        return self.each(lambda layer, s: layer.out(s), self._branches(signal))

    def trace(self, signal):
        return self.each(lambda layer, s: layer.trace(s), self._branches(signal))

    def tileable(self, signal):
        return all(self.each(lambda layer, s: layer.tileable(s), self._branches(signal)))

    def propagate(self, k):
        return type(k)(self.each(lambda layer, k: layer.propagate(k), k))

    def demand(self, demand):
        demands = demand if isinstance(demand, list) else [demand] * len(self.layers)
        return self.each(lambda layer, d: layer.demand(d), demands)

    def init(self, rng, signal):
        return self.each(lambda layer, s, r: layer.init(r, s), signal, rng.spawn(len(self.layers)))

    def apply(self, params, x, rng=None):
        return type(x)(self.each(lambda layer, p, x, r: layer.apply(p, x, rng=r), params, self._branches(x),
                                 spawned(rng, len(self.layers))))

    def _branches(self, tree):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(self.layers):
            got = f'{len(tree)} of them' if isinstance(tree, (list, tuple)) else 'a single one'
            raise ValueError(f'expected a list of {len(self.layers)} inputs, one a branch, got {got}. Precede it by '
                             f'FanOut({len(self.layers)}), or give a list.')
        return tree


@dataclass(frozen=True, repr=False)
class _Repeat(_Network):
    name = 'repeat'
    block: Layer
    n: int

    def __post_init__(self):
        if not isinstance(self.block, Layer):
            raise ValueError(f'repeat: expected a layer such as Relu(), got {self.block!r}.')
        object.__setattr__(self, 'n', as_whole(self.n, 'repeat: n', 0))

    def __repr__(self):
        return f'repeat({self.block!r}, {self.n})'

    @property
    def several(self):
        return self.block.several

    def tileable(self, signal):
        return self.block.tileable(signal)

    @property
    def _times(self):
        return _Serial((self.block,) * self.n)

    def out(self, signal):
        if self.n:
            new = self.block.out(signal)
            if new.shape != signal.shape:
                raise ValueError(f'expected a layer that keeps the shape, got {signal.shape} to {new.shape}.')
        return self._times.out(signal) if self.n else signal

    def trace(self, signal):
        with located(self):
            self.out(signal)
        return self._times.trace(signal) if self.n else signal

    def propagate(self, k):
        return self._times.propagate(k) if self.n else k

    def demand(self, demand):
        return self._times.demand(demand) if self.n else demand

    def init(self, rng, signal):
        return self._times.init(rng, signal) if self.n else []

    def apply(self, params, x, rng=None):
        return self._times.apply(params, x, rng=rng) if self.n else x


def spawned(rng, n):
    """n independent Generators, or n times None."""
    return [None] * n if rng is None else generator(rng).spawn(n)


# ------------------------------------------------------------------ branching

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
    num: int

    def __post_init__(self):
        object.__setattr__(self, 'num', as_whole(self.num, 'FanOut: num', 1))

    def out(self, signal):
        return [signal] * self.num

    def apply(self, params, x, rng=None):
        return [x] * self.num

    def kernel(self, k):
        return [k.shared()] * self.num

    def demand(self, demand):
        demands = demand if isinstance(demand, list) else [demand]
        return Demand(any(d.paired for d in demands), next((d.axes for d in demands if d.axes is not None), None),
                      any(d.area for d in demands), any(d.diagonal for d in demands))


class _FanIn(Layer, abstract=True):
    """Several inputs become one; their shapes agree but on the axes of `_may_differ`."""
    several = True

    def out(self, signals):
        if not isinstance(signals, (list, tuple)) or not signals:
            raise ValueError(f'expected a list of inputs, got {signals!r}. Precede it by FanOut and parallel.')
        first, free = signals[0], self._may_differ(signals[0])
        shapes = [tuple(n for i, n in enumerate(s.shape) if i != free) for s in signals]
        if any(s != shapes[0] for s in shapes) or any(s.axes != first.axes for s in signals):
            free = '' if free is None else f' but for axis {free}'
            raise ValueError(f'expected inputs of the same shape and axes{free}, got {[s.shape for s in signals]}.')
        return self.joined(signals)

    def _may_differ(self, signal):
        return None

    def kernel(self, ks):
        """Branches with and without covariances between positions have those at equal ones in common."""
        return self.joint(ks if len({k.diagonal_spatial for k in ks}) == 1 else [k.aligned() for k in ks])


@dataclass(frozen=True, repr=False)
class FanInSum(_FanIn):
    """Sum of independent branches:  K' = sum_i K_i,  Theta' = sum_i Theta_i.

    That the branches are independent is taken for granted: two Identity branches of one input give 2 K, truly 4 K.

    Raises
    ------
    ValueError : different shapes; more than one branch and one of them not Gaussian (its mean need not be zero, and the
        cross terms then do not vanish): end it with Dense.

    Source
    ------
    docs/theory/dense.md#branches
    """

    def joined(self, signals):
        return signals[0]

    def check(self, signals):
        if isinstance(signals, (list, tuple)) and len(signals) > 1 and not all(s.is_gaussian for s in signals):
            raise ValueError(f'expected Gaussian branches, got is_gaussian = {[s.is_gaussian for s in signals]}. '
                             'Let each branch end in a layer with weights, such as Dense.')

    def apply(self, params, x, rng=None):
        return reduce(add, x)

    def joint(self, ks):
        return reduce(_sum, ks)


def _sum(k, m):
    both = k.map(Pair.add, m)
    return replace(both, ntk=None if k.ntk is None else k.ntk + m.ntk)


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

    def joined(self, signals):
        return signals[0] if len(signals) == 1 else replace(signals[0], is_gaussian=False)

    def apply(self, params, x, rng=None):
        return reduce(mul, x)

    def joint(self, ks):
        return reduce(_product, ks)


def _product(k, m):
    both = k.map(Pair.multiply, m)
    return replace(both, ntk=None if k.ntk is None else k.ntk * m.nngp + k.nngp * m.ntk)


@dataclass(frozen=True, repr=False)
class FanInConcat(_FanIn):
    """Concatenation of independent branches.

    Along the channels, with n_i out of n:  K' = sum_i (n_i / n) K_i, Theta' likewise. The n_i are those of the finite
    network. Along positions, or inputs:  K' = K_i within branch i, and 0 between different ones.

    Parameters
    ----------
    axis : int                the axis.

    Raises
    ------
    ValueError : shapes that differ on other axes; along positions or inputs, a branch that is not Gaussian (its mean
        need not be zero, and the covariance between branches not either).

    Source
    ------
    docs/theory/dense.md#branches
    """
    axis: int = -1

    def _may_differ(self, signal):
        return axis_of(self.axis, len(signal.shape))

    def check(self, signals):
        if isinstance(signals, (list, tuple)) and len(signals) > 1 and not self._joins_channels(signals[0]) and \
                not all(s.is_gaussian for s in signals):
            raise ValueError(f'expected Gaussian branches to join along axis {self.axis}, got is_gaussian = '
                             f'{[s.is_gaussian for s in signals]}. Let each end in one with weights, such as Dense.')

    def _joins_channels(self, signal):
        return axis_of(self.axis, len(signal.shape)) == signal.axes.channel

    def joined(self, signals):
        first, axis = signals[0], self._may_differ(signals[0])
        size = sum(s.shape[axis] for s in signals)
        new = replace(first, shape=(*first.shape[:axis], size, *first.shape[axis + 1:]))
        return replace(new, is_gaussian=False) if len(signals) > 1 and self._joins_channels(first) else new

    def tileable(self, signals):
        return self._may_differ(signals[0]) != signals[0].axes.batch

    def apply(self, params, x, rng=None):
        return namespace(*x).concatenate(x, axis=self.axis)

    def joint(self, ks):
        signal = ks[0].signals[0]
        if len(ks) == 1:
            return ks[0]
        if self._joins_channels(signal):
            n = [k.signals[0].channels for k in ks]
            return reduce(_sum, [scaled(k, m / sum(n)) for k, m in zip(ks, n)])
        return _side_by_side(ks, signal.layout.index(self._may_differ(signal)))


def _side_by_side(ks, place):
    """Branches next to each other along the inputs (place 0) or along a spatial axis (place 1, 2, ...)."""
    def joined(blocks, between):
        """blocks[i] on the diagonal, between(i, j, shape) elsewhere; or just one after the other."""
        xp, n = namespace(*blocks), len(blocks)
        axes = ks[0].spatial[place - 1] if place else range(blocks[0].ndim - sum(map(len, ks[0].spatial)))
        if len(axes) == 1:
            return xp.concatenate(blocks, axes[0])
        left, right = (axis % blocks[0].ndim for axis in axes)

        def entry(i, j):
            shape = (*blocks[i].shape[:right], blocks[j].shape[right], *blocks[i].shape[right + 1:])
            return blocks[i] if i == j else between(i, j, shape)
        return xp.concatenate([xp.concatenate([entry(i, j) for j in range(n)], right) for i in range(n)], left)

    def cov(*pairs):
        return Cov(joined([p.k for p in pairs], zeros),
                   joined([p.gap for p in pairs], lambda i, j, shape: zeros(i, j, shape) + pairs[i].q1 + pairs[j].q2))

    def zeros(i, j, shape):
        return namespace(ks[0].nngp).zeros(shape).astype(ks[0].nngp.dtype, copy=False)
    ntk = None if ks[0].ntk is None else joined([k.ntk for k in ks], zeros)
    return replace(ks[0].map(cov, *ks[1:]), ntk=ntk)


def scaled(k, w):
    """K' = w K,  Theta' = w Theta."""
    return replace(k.map(lambda p: p.affine(w, 0)), ntk=None if k.ntk is None else w * k.ntk)


# ------------------------------------------------------------------ composition

def serial(*layers):
    """One layer after the other: h_{l+1} = layer_l(h_l).

    Parameters
    ----------
    layers : Layer
        At least one.

    Returns
    -------
    Layer                 its parameters are the list of theirs.

    Raises
    ------
    TypeError : not a layer (`Relu` for `Relu()`). ValueError : none.

    Source
    ------
    Lee et al. 2018 (arXiv:1711.00165) eq. 5, Jacot et al. 2018 (arXiv:1806.07572) theorem 1: the recursions compose.

    Examples
    --------
    >>> import numpy
    >>> from ntref import stax
    >>> init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(512), stax.Relu(), stax.Dense(1))
    >>> kernel_fn(numpy.eye(2), get='ntk')
    array([[0.5      , 0.0795...],
           [0.0795..., 0.5      ]])
    """
    return _Serial(layers)


def parallel(*layers):
    """Each layer on its own input: a list of inputs goes to the list of outputs (a tuple to a tuple).

    Parameters
    ----------
    layers : Layer
        As many as there are inputs.

    Raises
    ------
    TypeError : not a layer. ValueError : none, or another number of inputs.

    Source
    ------
    docs/theory/dense.md#branches
    """
    return _Parallel(layers)


def repeat(layer, n):
    """The layer n times, each time with weights of its own: serial(layer, ..., layer).

    Parameters
    ----------
    layer : Layer         one that keeps the shape.
    n : int               >= 0; 0 is the identity.

    Raises
    ------
    ValueError : the layer changes the shape, or n is negative.

    Source
    ------
    docs/theory/dense.md#depth
    """
    return _Repeat(layer, n)
