"""The diag_reg of an estimator: a number, one for each input, or the best of a grid by evidence or leaving one out."""
from typing import Any

import numpy

from ..arguments import as_number, suggestion
from ..predict.bayes import evidence, left_out
from ..predict.closed_form import Training
from ..predict.factor import with_ridges

__all__ = ['GRID', 'chosen', 'given']

GRID = 10. ** (numpy.arange(-24, 9) / 4)
"""What 'evidence' and 'loo' choose from: 1e-6 to 100, four in a decade."""
WAYS = 'evidence', 'loo'


def given(diag_reg: Any, n: int) -> Any:
    """Return `diag_reg` as a number, an array (n,) or one of the WAYS.

    Raises
    ------
    TypeError, ValueError : something else, or negative numbers.
    """
    if isinstance(diag_reg, str):
        if diag_reg not in WAYS:
            raise ValueError(f"expected diag_reg to be a number, one for each input, 'evidence' or 'loo', got "
                             f'{diag_reg!r:.100}.{suggestion(diag_reg, WAYS)}')
        return diag_reg
    if numpy.ndim(diag_reg) == 0:
        diag_reg = as_number(diag_reg, 'diag_reg')
    else:
        diag_reg = numpy.asarray(diag_reg, float)
        if diag_reg.shape != (n,):
            raise ValueError(f'expected diag_reg to be a number or one for each of the {n} inputs, got shape '
                             f'{diag_reg.shape}. In a split of the data take a number.')
    if not numpy.all(diag_reg >= 0):
        raise ValueError(f'expected diag_reg >= 0, got {numpy.min(diag_reg):g}.')
    return diag_reg


def chosen(k: numpy.ndarray, y: numpy.ndarray, way: str) -> float:
    """Return the number of the GRID of largest evidence, or largest density of each target given all others.

    k is a kernel (n, n), y the targets (n, o). One eigendecomposition, and n^2 o (way 'loo': n^3) for each number.
    """
    train = Training(k, y, 0., False, (-1,))

    def value(a):
        if way == 'evidence':
            return evidence(a, train.y)
        return left_out(a, train.y, 1)[2].sum()
    return float(GRID[numpy.argmax([value(a) for a in with_ridges(train.a, list(GRID))])])
