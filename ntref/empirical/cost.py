"""What the ways to a kernel take, estimated before they are gone."""
from typing import NamedTuple

__all__ = ['CALL', 'ENTRY', 'Cost']

ENTRY = 20              # operations of a matrix product in the time that an entry of an array takes by itself
CALL = 3e5              # and in that of an operation of the trace, however small its arrays


class Cost(NamedTuple):
    """Operations and memory of a way to a kernel.

    Attributes
    ----------
    operations : float      sums and products of numbers, in terms of those of a matrix product
    bytes : int             that are allocated at the same time, beyond what f itself takes; the kernel included
    """
    operations: float
    bytes: int
