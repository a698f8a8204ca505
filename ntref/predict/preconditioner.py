"""Preconditioners of conjugate gradients: K = L L^T + a rest, from a few rows of K or from K times a few columns.

Derivation: docs/theory/dynamics.md#without-the-kernel-in-memory.
"""
from collections.abc import Callable

import numpy

from ..on_either import array_like, zeros
from .out_of_core import Tiles

__all__ = ['APPROXIMATIONS', 'Preconditioner', 'nystrom', 'pivoted_cholesky']

EPS = 2. ** -52
SEED = 0           # of the columns of `nystrom`: the same kernel has the same preconditioner


def pivoted_cholesky(diagonal: numpy.ndarray, row: Callable[[int], numpy.ndarray],
                     rank: int) -> tuple[numpy.ndarray, numpy.ndarray, list[int]]:
    """Return the first `rank` steps of the Cholesky decomposition of K, with the largest diagonal left as pivot.

    .. math:: l_m = (K_{i\\cdot} - \\sum_{j<m} l_j[i] l_j) / \\sqrt{d_i}, \\quad d \\leftarrow d - l_m^2,
        \\quad i = \\arg\\max d

    Parameters
    ----------
    diagonal : array (n,), the diagonal of K, from which d starts.
    row : function i -> array (n,), a row of K.
    rank : int; fewer steps are made if d becomes zero to rounding.

    Returns
    -------
    (lower, rest, pivots) : arrays (rank, n) with rows l, the (n,) diagonal of K - L L^T, and the list of i.

    Source
    ------
    Harbrecht, Peters, Schneider 2012, On the low-rank approximation by the pivoted Cholesky decomposition, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> k = np.array([[1., 1.], [1., 4.]])
    >>> lower, rest, pivots = pivoted_cholesky(k.diagonal(), k.__getitem__, 1)
    >>> lower, rest, pivots
    (array([[0.5, 2. ]]), array([0.75, 0.  ]), [1])
    """
    rest = diagonal.copy()
    lower = zeros(diagonal, (min(rank, len(diagonal)), len(diagonal)))
    pivots = []
    level = 10 * EPS * float(diagonal.max())
    for m in range(len(lower)):
        i = int(numpy.argmax(rest))
        if not rest[i] > level:
            break
        k = row(i).copy()
        k[i] = diagonal[i]
        lower[m] = (k - lower[:m, i] @ lower[:m]) / rest[i] ** .5
        rest = numpy.maximum(rest - lower[m] ** 2, 0.)
        rest[i] = 0.
        pivots.append(i)
    return lower[:len(pivots)], rest, pivots


def nystrom(diagonal: numpy.ndarray, times: Callable[[numpy.ndarray], numpy.ndarray],
            rank: int) -> numpy.ndarray:
    r"""Return the rows sqrt(lambda) u^T of the Nystrom approximation U Lambda U^T of K, the largest lambda first.

    .. math::
        U \Lambda U^T = Y (\Omega^T Y)^{-1} Y^T - \nu, \quad Y = K \Omega + \nu \Omega, \qquad
        \nu = \varepsilon\,\mathrm{tr} K + 2 \max(0, -\lambda_{min}(\Omega^T K \Omega))

    with `rank` orthonormal columns Omega, those of normal random numbers, always the same. The shift nu keeps the
    inverse from amplifying rounding; it is taken off the eigenvalues at the end, and those below it are 0.

    Parameters
    ----------
    diagonal : array (n,), the diagonal of K.
    times : function, array (n, rank) -> K times it; it is called once.
    rank : int; at most n columns are made.

    Returns
    -------
    lower : array (rank, n), L^T of K = L L^T + a rest, which is positive to rounding if K is. Of a kernel without
        positive eigenvalues it has no rows.

    Accuracy
    --------
    A kernel of rank r <= `rank` with eigenvectors V is L L^T to about eps (1 + 1 / sigma)^2 tr K, sigma the least
    singular value of V^T Omega, which is about (sqrt(rank) - sqrt(r)) / sqrt(n). The trace of the rest of any other is,
    on average over Omega, at most (1 + r / (rank - r - 1)) sum_{j > r} lambda_j for each r < rank - 1: little more than
    for the best approximation of rank r.

    Source
    ------
    Frangella, Tropp, Udell 2021, arXiv:2110.02820, algorithm 2.1, with eigenvalues of Omega^T Y in place of a Cholesky
    decomposition, which fails on kernels that are indefinite by rounding. The trace: Halko, Martinsson, Tropp 2011,
    arXiv:0909.4061, theorem 10.5, for K^(1/2).

    Examples
    --------
    >>> import numpy as np
    >>> k = np.array([[1., 2.], [2., 4.]])                 # of rank 1
    >>> lower = nystrom(k.diagonal(), k.__matmul__, 1)
    >>> (lower.T @ lower).round(12)
    array([[1., 2.],
           [2., 4.]])
    """
    n = len(diagonal)
    omega = numpy.random.default_rng(SEED).standard_normal((n, min(rank, n)))
    omega = array_like(numpy.linalg.qr(omega)[0], diagonal)
    y = times(omega)
    w, v = numpy.linalg.eigh(omega.T @ y)
    nu = EPS * float(diagonal.sum()) + 2 * max(0., -float(w[0]) if len(w) else 0.)
    y += nu * omega
    positive = numpy.nonzero(w + nu > 0)[0]
    b = y @ (v[:, positive] / numpy.sqrt(w[positive] + nu))
    u, s, _ = numpy.linalg.svd(b, full_matrices=False)
    eigenvalues = numpy.maximum(s ** 2 - nu, 0.)
    return numpy.sqrt(eigenvalues)[:, None] * u.T


def _of_rows(k: Tiles, diagonal: numpy.ndarray, rank: int) -> numpy.ndarray:
    """Return L^T of a pivoted Cholesky decomposition."""
    return pivoted_cholesky(diagonal, k.row, rank)[0]


def _of_columns(k: Tiles, diagonal: numpy.ndarray, rank: int) -> numpy.ndarray:
    """Return L^T of a Nystrom approximation; the upper half of K is read once, for rank 0 not at all."""
    return nystrom(diagonal, k.times, rank) if rank else zeros(diagonal, (0, k.n))


APPROXIMATIONS = {'cholesky': _of_rows, 'nystrom': _of_columns}
"""Kernel, its diagonal and rank -> L^T, for each name of a preconditioner."""


class Preconditioner:
    """The map r -> (U (S^2 + shift) U^T + (rest + shift) (I - U U^T))^-1 r, L = U S V^T: Woodbury without cancellation.

    The rest is 0 with L of a Cholesky decomposition, and the smallest S^2 with L of a Nystrom approximation.
    """

    def __init__(self, name: str, lower: numpy.ndarray, shift: float):
        self.u, s, _ = numpy.linalg.svd(lower.T, full_matrices=False)
        rest = float(s[-1]) ** 2 if name == 'nystrom' and len(s) else 0.
        self.inside = 1 / (s ** 2 + shift)
        self.outside = rest + shift

    def __call__(self, r: numpy.ndarray) -> numpy.ndarray:
        c = self.u.T @ r
        outside = r - self.u @ c
        outside -= self.u @ (self.u.T @ outside)
        return self.u @ (self.inside[:, None] * c) + outside / self.outside
