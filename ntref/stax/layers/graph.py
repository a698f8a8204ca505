"""Aggregate: sums over neighbours in graphs, whose edges come with the inputs as `pattern`.

A pattern P[n, i, j] is the weight of the edge from node i to node j of graph n:

    z_j = sum_i P[i, j] h_i,    K'(j, j') = sum_i sum_i' P[i, j] K(i, i') P'[i', j'],    Theta' likewise.

Both nodes of a pair move independently, each along the edges of its graph. docs/theory/graphs.md#aggregate
"""
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

from ...arguments import as_wholes
from ...arrays import as_like, is_array, namespace
from ...duals.geometry import Cov
from ...no_arrays import check_entries
from ...recursion.signal import Signal, axis_of
from ...recursion.steps import Steps
from ...types import Array, Seed, Tree
from ...windows import zeros
from .mixing import Mixing

__all__ = ['Aggregate', 'AggregateImplementation']


LARGEST = 64             # number of axes that a NumPy array may have
CHUNK = 2 ** 22          # numbers that are held at a time while edges are made a matrix


class AggregateImplementation(Enum):
    """How patterns are written: as the weights of all pairs of nodes, or as a list of the edges that exist."""
    DENSE = 'DENSE'
    SPARSE = 'SPARSE'


@dataclass(frozen=True, repr=False)
class Aggregate(Mixing):
    """Sums over neighbours in graphs:  z_j = sum_i P[i, j] h_i, with the `pattern` P of each input.

    K'(j, j') = sum_ii' P[i, j] K(i, i') P'[i', j'],  Theta' likewise. Patterns are given in the call, and serve all
    Aggregates of the network: `kernel_fn(x1, x2, get, pattern=(P1, P2))`, `kernel_fn(x1, None, get, pattern=P1)`,
    `apply_fn(params, x, pattern=P)`. Without a pattern the layer is the identity.

    Parameters
    ----------
    aggregate_axis : int or tuple of int, optional
        Axes of the inputs that are nodes. None: all but batch and channels. Along other spatial axes the graphs are
        the same. (): each graph is one node, and its pattern, an array (N,), is the weight that multiplies it.
    batch_axis, channel_axis : int
    to_dense : callable, optional
        With 'DENSE' the pattern used is to_dense(pattern). None: the pattern given is dense already.
    implementation : str or AggregateImplementation
        How the N patterns are written, for nodes (X, ...) along the axes:
        'DENSE': numbers (N, X, ..., X, ...), P[n, i, j] the weight of the edge from i to j. [1]
        'SPARSE': whole numbers (N, E, axes, 2), or (N, E, 2) for one axis: the nodes i and j of each of E edges, which
        have weight 1. Edges that are listed twice count twice; edges with a negative number are left out (padding).

    Raises
    ------
    ValueError : an axis that is batch or channels or does not exist; a pattern of another shape, with NaN, or with
        edges out of range; a pattern for only one of x1 and x2; diagonal_spatial=True.
    TypeError  : a pattern of another kind than the inputs (of NumPy, with inputs of NumPy, autograd or mpmath).

    Accuracy
    --------
    K and Theta are accurate to rounding; weights are converted to the precision of the inputs. The gap is recovered by
    subtraction, as after a pool: docs/theory/graphs.md#gap.

    Source
    ------
    Du et al. 2019 (arXiv:1905.13192) section 3; docs/theory/graphs.md#aggregate.

    Examples
    --------
    Two nodes, and an edge from the first to the second:

    >>> import numpy
    >>> Aggregate().apply_fn((), numpy.array([[[5.], [7.]]]), pattern=numpy.array([[[0, 1], [0, 0]]])).ravel()
    array([0., 5.])
    """
    formula = r"K_+ = P^T K P',\quad \Theta_+ = P^T \Theta P'"
    aggregate_axis: int | tuple | None = None
    batch_axis: int = 0
    channel_axis: int = -1
    to_dense: object = None
    implementation: str = 'DENSE'

    def __post_init__(self):
        super().__post_init__()
        if self.aggregate_axis is not None:
            is_several = isinstance(self.aggregate_axis, (tuple, list))
            given = self.aggregate_axis if is_several else (self.aggregate_axis,)
            axes = as_wholes(given, 'Aggregate: aggregate_axis', -LARGEST)
            object.__setattr__(self, 'aggregate_axis', axes[0] if len(axes) == 1 else axes)
        name = str(getattr(self.implementation, 'value', self.implementation)).upper()
        if name not in AggregateImplementation.__members__:
            raise ValueError(
                "Aggregate: expected implementation to be 'DENSE' or 'SPARSE', got "
                f"{self.implementation!r}.")
        object.__setattr__(self, 'implementation', name)
        if not (self.to_dense is None or callable(self.to_dense)):
            raise ValueError(
                f'Aggregate: expected to_dense to be a function or None, got {self.to_dense!r}.')

    @property
    def picks(self):
        return self.aggregate_axis == ()                          # there is nothing to sum over

    @property
    def in_tiles(self):
        return self.to_dense is None                    # a function of the user may not be safe in threads

    # -------------------------------------------------------------- nodes

    def _places(self, signal):
        """Return which of the spatial axes, counted from 0, are axes of nodes."""
        spatial = signal.layout[1:]
        given = self.aggregate_axis
        if isinstance(given, int):
            given = (given,)
        axes = spatial if given is None else [axis_of(axis, len(signal.shape)) for axis in given]
        if len(set(axes)) < len(axes) or not set(axes) <= set(spatial):
            raise ValueError(
                f'expected axes of nodes out of {spatial}, those of shape {signal.shape} that are '
                f'neither batch nor channels, got aggregate_axis={self.aggregate_axis}.')
        return sorted(map(spatial.index, axes))

    def _sizes(self, signal):
        """Return the numbers of nodes along their axes."""
        return [signal.positions[i] for i in self._places(signal)]

    # -------------------------------------------------------------- patterns

    def out(self, signal: Signal) -> Signal:
        own, other = signal.patterns
        sizes = self._sizes(signal)
        if (own is None) != (other is None):
            raise ValueError(
                'expected the patterns of both x1 and x2, or neither, got one of them. Give '
                'pattern=(that of x1, that of x2).')
        if own is not None:
            self._check_pattern(own, signal.inputs, sizes)
        return signal

    def check(self, signal: Signal) -> None:
        super().check(signal)
        self.out(signal)
        own, _ = signal.patterns
        if own is not None:
            self._check_entries(own, self._sizes(signal))

    def _written(self, pattern):
        """Return the pattern in the form of `implementation`; a sparse one has shape (N, E, axes, 2)."""
        if self.implementation == 'SPARSE':
            return pattern[:, :, None] if is_array(pattern) and pattern.ndim == 3 else pattern
        return pattern if self.to_dense is None else self.to_dense(pattern)

    def _check_pattern(self, pattern, n, sizes):
        """Raise ValueError if `pattern` does not describe n graphs with nodes of these sizes."""
        check_entries(pattern, 'the pattern')
        P = self._written(pattern)
        m = len(sizes)
        if self.implementation == 'SPARSE':
            short = f' or ({n}, edges, 2)' if m == 1 else ''
            wanted = f'whole numbers of shape ({n}, edges, {m}, 2){short}'
            dtypes = 'iu'
            fits = is_array(P) and P.ndim == 4 and (P.shape[0], *P.shape[2:]) == (n, m, 2)
        else:
            wanted = f'numbers of shape {(n, *sizes, *sizes)}'
            dtypes = 'biufO'
            fits = is_array(P) and tuple(P.shape) == (n, *sizes, *sizes)
        if not fits or P.dtype.kind not in dtypes:
            got = f'{P.dtype} of shape {tuple(P.shape)}' if is_array(P) else type(P).__name__
            nodes = f'{" x ".join(map(str, sizes))} nodes' if sizes else 'one node'
            raise ValueError(
                f'expected a pattern ({self.implementation}) of {wanted} for {n} graphs with '
                f'{nodes}, got {got}. Pad graphs to equal sizes: weights with zeros, edges with -1.')

    def _check_entries(self, pattern, sizes):
        """Raise ValueError for weights that are NaN or infinite, and for nodes that do not exist."""
        P = self._written(pattern)
        xp = namespace(P)
        if self.implementation == 'DENSE':
            if not bool(xp.all(xp.isfinite(P))):
                raise ValueError('expected a pattern of finite weights, got NaN or infinity in it.')
            return
        for i, size in enumerate(sizes):
            if not bool(xp.all(P[:, :, i] < size)):
                raise ValueError(
                    f'expected edges between nodes 0 to {size - 1}, got node '
                    f'{int(P[:, :, i].max())}. Pad with negative numbers, such as -1.')

    def _weights(self, pattern, sizes, like):
        """Return the pattern as matrices (N, V, V) in the precision of `like`.

        The V nodes are numbered along their axes.
        """
        P = self._written(pattern)
        V = prod(sizes)
        if self.implementation == 'DENSE':
            return as_like(P, like).reshape(len(P), V, V)
        node = _numbered(P.astype('int64'), sizes)
        if not prod(node.shape):
            return zeros(like, (len(P), V, V))
        xp = namespace(like)
        here = namespace(P).asarray(range(V))[:, None]
        step = max(1, CHUNK // max(V * P.shape[1], 1))

        def counted(edges):
            tails, heads = (as_like(edges[:, None, :, side] == here, like) for side in (0, 1))
            return xp.matmul(tails, xp.moveaxis(heads, 1, 2))               # of (n, V, E) and (n, E, V)
        parts = [counted(node[start:start + step]) for start in range(0, len(P), step)]
        return xp.concatenate(parts)

    # -------------------------------------------------------------- sums over neighbours

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, pattern: Array | None = None,
              **given: Any) -> Array:
        if pattern is None:
            return x
        xp = namespace(x)
        signal = Signal(tuple(x.shape), self.axes.of(x.ndim))
        sizes = self._sizes(signal)
        nodes = [signal.layout[1 + i] for i in self._places(signal)]
        self._check_entries(pattern, sizes)
        source = (signal.axes.batch, *nodes)
        target = (0, *range(-len(nodes), 0))
        h = xp.moveaxis(x, source, target)
        others = prod(h.shape[1:h.ndim - len(nodes)])
        z = h.reshape(len(h), others, prod(sizes)) @ self._weights(pattern, sizes, x)
        return xp.moveaxis(z.reshape(h.shape), target, source)

    def kernel(self, k: Steps) -> Steps:
        self._check_layout(k)
        if k.patterns[0] is None:
            return k
        signal, _ = k.signals
        sizes = self._sizes(signal)
        nodes = [k.spatial[i] for i in self._places(signal)]
        sides = k.sides(*(self._weights(P, sizes, k.nngp) for P in k.patterns))
        each = iter(sides)
        new = k.map(lambda p: Cov(aggregated(p.k, nodes, *next(each))))
        return new.but(ntk=k.tangent(lambda c: aggregated(c, nodes, *sides[0])))


def _numbered(P, sizes):
    """Return the nodes (N, E, 2) of the edges P (N, E, axes, 2), numbered along their axes; -1 where P is negative."""
    xp = namespace(P)
    node = xp.sum(0 * P, 2)
    for i, size in enumerate(sizes):
        node = size * node + P[:, :, i]
    return xp.where(xp.all(P >= 0, axis=(2, 3))[:, :, None], node, -1)


def aggregated(c, nodes, P, Q):
    """Return sum_ii' P[i, j] c[i, i'] Q[i', j'] over the pairs of axes `nodes` of c, for P and Q (*batch, V, V)."""
    xp = namespace(c, P)
    m = 2 * len(nodes)
    source = [*(left for left, _ in nodes), *(right for _, right in nodes)]
    target = range(-m, 0)
    K = xp.moveaxis(c, source, target)
    batch = K.shape[:P.ndim - 2]
    others = K.shape[P.ndim - 2:K.ndim - m]
    V = P.shape[-1]
    P = P[..., None, :, :]
    Q = Q[..., None, :, :]
    new = xp.matmul(xp.matmul(xp.moveaxis(P, -1, -2), K.reshape(*batch, prod(others), V, V)), Q)
    return xp.moveaxis(new.reshape(K.shape), target, source)
