"""Kernel functions block by block: the function of a block, and the keywords that belong to its inputs."""
from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import is_array
from ..no_arrays import check_entries
from ..types import Array, KernelFn, Shape

__all__ = ['check_per_input', 'function_of_blocks', 'is_per_input', 'of_block']


def function_of_blocks(
        kernel_fn: KernelFn, x1: Array, x2: Array | None, kwargs: Mapping[str, Any]) -> Callable:
    """Return the function that computes blocks of kernel_fn(x1, x2, **kwargs).

    Raises
    ------
    TypeError  : an argument that belongs to the inputs is a single array, but there are two sets of inputs.
    ValueError : a layer mixes the batch, or kernel_fn refuses the arguments.
    """
    of_block(kwargs, slice(0), slice(0), x2 is None)
    if not hasattr(kernel_fn, 'of_blocks'):
        return kernel_fn
    of_blocks = kernel_fn.of_blocks(x1, x2, **kwargs)
    if of_blocks is None:
        raise ValueError(
            'expected a network in which each input is for itself, got one with a layer that mixes '
            'the batch (LayerNorm over the batch axis, FanInConcat or Index along it). Compute its '
            'kernel in one piece: kernel_fn(x1, x2).')
    return of_blocks


def is_per_input(value: Any) -> bool:
    """True if `value` belongs to the inputs: an array with one entry for each, or a pair of arrays for x1 and x2."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return is_array(value) and value.ndim > 0 or pair and any(map(is_array, value)) and all(
        v is None or is_array(v) for v in value)


def check_per_input(kwargs: Mapping[str, Any], shape: Shape) -> None:
    """Raise ValueError if a keyword that belongs to the inputs has not shape[0] entries for x1 and shape[1] for x2."""
    for name, value in kwargs.items():
        for a in value if isinstance(value, (tuple, list)) else (value,):
            check_entries(a, name)
        if not is_per_input(value):
            continue
        for a, n in zip((value,) if is_array(value) else value, shape):
            if a is not None and a.shape[:1] != (n,):
                raise ValueError(
                    f'expected arrays in {name} with {n} entries, one for each input, got shape '
                    f'{a.shape}. Others cannot be cut into tiles.')


def of_block(kwargs: Mapping[str, Any], rows: Any, columns: Any, is_one: bool) -> dict[str, Any]:
    """Return the keywords for x1[rows] against x2[columns], with those that belong to the inputs as pairs.

    `is_one` means that x2 is x1.

    Raises
    ------
    TypeError : a keyword is a single array, but there are two sets of inputs.
    """
    def taken(name, value):
        if not is_per_input(value):
            return value
        if is_array(value) and not is_one:
            raise TypeError(
                f'expected {name} as a pair of arrays, for x1 and for x2, got one of shape '
                f'{value.shape}.')
        left, right = (value, None) if is_array(value) else value
        right = left if right is None and is_one else right
        left = None if left is None else left[rows]
        right = None if right is None else right[columns]
        return left, right
    return {name: taken(name, value) for name, value in kwargs.items()}
