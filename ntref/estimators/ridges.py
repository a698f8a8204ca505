"""The diag_reg of an estimator: a number, one for each input, or a way to choose one."""
from typing import Any

import numpy

from ..arguments import as_number, suggestion
from ..arrays import as_floats
from ..predict.ridge import WAYS

__all__ = ['given']


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
        diag_reg = as_floats(numpy.asarray(diag_reg))[0].astype(float)
        if diag_reg.shape != (n,):
            raise ValueError(f'expected diag_reg to be a number or one for each of the {n} inputs, got shape '
                             f'{diag_reg.shape}. In a split of the data take a number.')
    if not numpy.all(diag_reg >= 0):
        raise ValueError(f'expected diag_reg >= 0, got {numpy.min(diag_reg):g}.')
    return diag_reg
