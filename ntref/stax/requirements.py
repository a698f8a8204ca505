"""What layers made of three functions need of the kernels given to them: `requires`, `Diagonal`, `Bool`."""
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import wraps
from typing import Any

from ..arguments import as_flag
from ..types import KernelFn

__all__ = ['Bool', 'Diagonal', 'requires']

REQUIREMENTS = 'batch_axis', 'channel_axis', 'diagonal_spatial', 'diagonal_batch', 'use_dropout'


class Bool(IntEnum):
    """Answers in the order NO < MAYBE < YES; `a & b` is the lesser of the two.

    Examples
    --------
    >>> Bool.YES & Bool.MAYBE
    <Bool.MAYBE: 1>
    """
    NO = 0
    MAYBE = 1
    YES = 2

    def __and__(self, other: int) -> 'Bool':
        return Bool(min(self, other))

    __rand__ = __and__


@dataclass(frozen=True)
class Diagonal:
    """Whether covariances at equal positions are enough for a layer.

    `a >> b` is b after a, `a & b` is a beside b, `b << a` is `a >> b`.

    Parameters
    ----------
    input : Bool     YES: they are enough for the layer. MAYBE: they are enough if all others are 0, as between the
                     outputs of ConvLocal; the others are then asked for here. NO: the layer needs the others, as a pool
                     does.
    output : Bool    YES: no others are needed after the layer, whatever follows, as after Flatten. MAYBE: the others
                     are 0 if those of its input are not needed. NO: it depends on what follows.

    `bool(a >> b >> ...)` is True if they are enough for the network of these layers.

    Examples
    --------
    >>> conv, flatten, pool = Diagonal(), Diagonal(output=Bool.YES), Diagonal(Bool.MAYBE, Bool.YES)
    >>> bool(conv >> flatten), bool(conv >> pool), bool(conv >> flatten & pool)
    (True, False, False)
    """
    input: Bool = Bool.YES
    output: Bool = Bool.NO

    def __post_init__(self):
        for name in ('input', 'output'):
            object.__setattr__(self, name, Bool(getattr(self, name)))

    def __rshift__(self, other: 'Diagonal') -> 'Diagonal':
        if self.output == Bool.YES:
            return self
        if self.output > Bool.NO and other.input > Bool.NO:
            needed = self.input
        elif self.output == Bool.NO and other.input < Bool.YES:
            needed = Bool.NO
        else:
            needed = self.input & other.input
        return Diagonal(needed, other.output)

    def __lshift__(self, other: 'Diagonal') -> 'Diagonal':
        return other >> self

    def __and__(self, other: 'Diagonal') -> 'Diagonal':
        return Diagonal(self.input & other.input, self.output & other.output)

    def __bool__(self) -> bool:
        return self.input == Bool.YES and self.output > Bool.NO


def requires(**static_reqs: Any) -> Callable[[KernelFn], KernelFn]:
    """Decorate a `kernel_fn` with what it needs of the kernels that it is given.

    Parameters
    ----------
    batch_axis, channel_axis : int       axes of the inputs of the layer; any, if left out or channel_axis=None.
    diagonal_spatial : Diagonal          which covariances between positions. Left out: those that the next layers need.
    diagonal_batch : bool or Diagonal    only True: cov1 has the covariances of each input with itself, and no others.
    use_dropout : bool                   True if the layer is random; without effect here.

    Raises
    ------
    TypeError  : another keyword, or a value of another kind.
    ValueError : diagonal_batch=False.

    Examples
    --------
    See `layer`.
    """
    unknown = set(static_reqs) - set(REQUIREMENTS)
    if unknown:
        raise TypeError(
            f'requires: expected keywords out of {", ".join(REQUIREMENTS)}, got '
            f'{", ".join(unknown)}.')
    diagonal = static_reqs.get('diagonal_spatial')
    batch = static_reqs.get('diagonal_batch', True)
    if diagonal is not None and not isinstance(diagonal, Diagonal):
        raise TypeError(
            'requires: expected diagonal_spatial=Diagonal(input=..., output=...), got '
            f'{diagonal!r}.')
    as_flag(static_reqs.get('use_dropout', False), 'requires: use_dropout')
    if isinstance(batch, Diagonal):
        is_diagonal = batch.input == Bool.YES
    else:
        is_diagonal = as_flag(batch, 'requires: diagonal_batch')
    if not is_diagonal:
        raise ValueError(
            f'requires: expected diagonal_batch=True, got {batch!r}. There are no covariances of '
            'all x1 with all x1 beside those with x2: a layer that mixes inputs is no layer of '
            '`serial` here.')

    def decorate(kernel_fn):
        @wraps(kernel_fn)
        def required(*args, **kwargs):
            return kernel_fn(*args, **kwargs)
        required.input_req = static_reqs
        return required
    return decorate
