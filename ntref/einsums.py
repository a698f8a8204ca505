"""The pullback of einsum, also where an operand is broadcast or has a label that the others lack.

autograd's own forgets that operands may be broadcast, and reads the subscripts off arrays of NumPy alone.
"""
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy

from .arrays import namespace

__all__ = ['einsum_pullback', 'einsum_terms']

LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'


def einsum_terms(args: Sequence, i: int) -> tuple[list, Any, list, int]:
    """Return the labels of the operands of an einsum and of its output, the operands, and which one argument i is."""
    is_text = isinstance(args[0], str)
    operands = list(args[1:] if is_text else args[:len(args) // 2 * 2:2])
    shapes = [numpy.broadcast_to(0., numpy.shape(a)) for a in operands]
    given = (args[0], *shapes) if is_text else (
        *(part for pair in zip(shapes, args[1::2]) for part in pair), *args[2 * len(operands):])
    inputs, out, _ = import_module('autograd.numpy.numpy_wrapper').parse_einsum_input(*given)
    return inputs.split(','), out, operands, i - 1 if is_text else i // 2


def einsum_pullback(i: int, ans: Any, args: Sequence, kwargs: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return the pullback of einsum: g times the other operands, summed over labels that argument i, w, lacks.

    Ones and identities stand for the labels that only w has."""
    np = import_module('autograd.numpy')
    xp = namespace(ans)
    terms, out, operands, place = einsum_terms(args, i)
    term = terms.pop(place)
    w = operands.pop(place)
    sizes = dict(zip(term, numpy.shape(w), strict=True))
    given = set()
    for labels, a in zip([out, *terms], [ans, *operands]):
        given |= {label for label, n in zip(labels, numpy.shape(a)) if n >= sizes.get(label, 0)}
    spare = iter(sorted(set(LETTERS) - set(''.join([term, out, *terms]))))
    wanted = ''
    factors = []
    labels = []
    for label in term:
        if label in wanted:                                                     # a diagonal
            wanted += next(spare)
            factors.append(xp.eye(sizes[label]).astype(ans.dtype))
            labels.append(label + wanted[-1])
        else:
            wanted += label
            if label not in given:
                factors.append((xp.zeros((sizes[label],)) + 1).astype(ans.dtype))
                labels.append(label)
    subscripts = ','.join([out, *terms, *labels]) + '->' + wanted
    return import_module('autograd.numpy.numpy_vjps').unbroadcast_f(
        w, lambda g: np.einsum(subscripts, g, *operands, *factors))
