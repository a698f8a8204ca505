"""Random vectors that embed positions, for attention: how they join the inputs, and their covariances."""
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import product

from ...arrays import namespace, plain
from ...types import Array

__all__ = ['PositionalEmbedding', 'correlation', 'root']


class PositionalEmbedding(Enum):
    """How the random vectors that embed positions join the inputs: not at all, added, or as more channels."""
    NONE = 'NONE'
    SUM = 'SUM'
    CONCAT = 'CONCAT'


def correlation(decay_fn: Callable | None, p_norm: float, sizes: Sequence[int], like: Array) -> Array:
    """Return R(i, j) = decay_fn(sum over axes of |i - j|^p), in the kind and precision of the array `like`.

    Positions have `sizes` along their axes. Without decay_fn, R is the identity.
    """
    xp = namespace(like)
    positions = list(product(*map(range, sizes)))
    if decay_fn is None:
        return xp.eye(len(positions)).astype(like.dtype, copy=False)
    distance = xp.zeros((len(positions), len(positions)))
    for axis in range(len(sizes)):
        i = xp.asarray([float(position[axis]) for position in positions])
        distance = distance + abs(i[:, None] - i) ** p_norm
    R = decay_fn(distance)
    fits = getattr(R, 'shape', None) == distance.shape
    if not fits or not bool(namespace(R).all(namespace(R).isfinite(R))):
        raise ValueError(
            'expected pos_emb_decay_fn to give a finite number for each of an array of '
            f'distances of shape {distance.shape}, got {R!r:.200}.')
    return R.astype(like.dtype, copy=False)


def root(R: Array) -> Array:
    """Return the symmetric matrix whose square is R; raise ValueError if R has none and is thus no covariance."""
    xp = namespace(R)
    w, v = xp.eigh(R)
    least = plain(w.min())
    most = plain(w.max())
    if least < -8 * len(R) * xp.eps(R) * abs(most):
        raise ValueError(
            'expected pos_emb_decay_fn to be a covariance of positions, which has no negative '
            f'eigenvalues; got {least:.3g}, with {most:.3g} for the largest. Use one such as '
            'lambda d: 1 / (1 + d).')
    return xp.matmul(v * xp.sqrt(xp.maximum(w, 0)), v.T)
