"""The diag_reg that fits data best: of most evidence, or of the likeliest targets given all others."""
from ..types import Array
from .bayes import evidence, left_out
from .closed_form import Training
from .factor import with_ridges

__all__ = ['GRID', 'WAYS', 'chosen']

GRID = [10 ** (i / 4) for i in range(-24, 9)]
"""What is chosen from: 1e-6 to 100, four in a decade, relative to the mean of the diagonal of the kernel."""
WAYS = 'evidence', 'loo'


def chosen(k: Array, y: Array, way: str) -> float:
    """Return the number of the GRID of largest evidence, or largest density of each target given all others.

    k is a kernel (n, n), y the targets (n, o). One eigendecomposition, and n^2 o (way 'loo': n^3) for each number.
    """
    train = Training(k, y, 0., False, (-1,))

    def value(a):
        if way == 'evidence':
            return float(evidence(a, train.y))
        return float(left_out(a, train.y, 1)[2].sum())
    values = [value(a) for a in with_ridges(train.a, GRID)]
    return GRID[values.index(max(values))]
