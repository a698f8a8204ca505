"""Estimates of the operations and memory that each way to compute a kernel takes, before it is computed."""
from typing import NamedTuple

__all__ = ['CALL', 'ENTRY', 'OperationCount']

ENTRY = 20              # those in the time of one entry of an elementwise operation
CALL = 3e5              # operations of a matrix product in the time of one step of the trace


class OperationCount(NamedTuple):
    """Operations and memory that a way to compute a kernel takes.

    Attributes
    ----------
    operations : float      sums and products of numbers, in units of those of a matrix product
    bytes : int             bytes allocated at the same time, beyond what f itself takes; they include the kernel
    """
    operations: float
    bytes: int
