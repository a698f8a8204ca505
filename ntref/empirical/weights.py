"""Weights: arrays that operations compute from parameters alone, before they meet inputs.

Entries of parameters that are moved, or multiplied by numbers, are still entries of parameters (`weight_of`). All other
weights are computed from weights step by step, and cotangents go back along the steps (`Weight.pulled`).
"""
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from math import prod
from typing import Any, NamedTuple

import numpy

from ..arrays import is_on_device
from ..in_place import add_at
from ..on_either import array_like, as_array, equal, zeros
from ..types import Shape
from .record import raw

__all__ = ['Weight', 'weight_of']


class Weight(NamedTuple):
    """Entries of parameters and their factors; or, with `steps`, an array that is computed from other weights.

    start, shape : the first entry, counted through all parameters; moved : array of entries (-1: a constant), or None
    roots : frozenset of the parameters; factor: number or array; is_apart: True if no entry is twice or constant
    steps : ((weight, Use or Moved), ...), along which its cotangents go back to other weights
    """
    start: int
    shape: tuple
    roots: frozenset
    factor: Any = 1.
    moved: Any = None
    is_apart: bool = True
    steps: tuple = ()

    @classmethod
    def made(cls, shape: Shape, steps: Sequence) -> 'Weight':
        roots = _union(weight for weight, _ in steps)
        return cls(0, shape, roots, is_apart=False, steps=tuple(steps))

    @property
    def ids(self) -> numpy.ndarray:
        """Number of the entry at each place; a weight that is made by steps has numbers of its own."""
        if self.moved is not None:
            return self.moved
        return numpy.arange(self.start, self.start + prod(self.shape)).reshape(self.shape)

    def is_like(self, other: 'Weight') -> bool:
        """True if both weights have the same entries at the same places."""
        if self.moved is None and other.moved is None:
            return (self.start, self.shape) == (other.start, other.shape)
        return numpy.array_equal(self.ids, other.ids)

    def pulled(self, g: numpy.ndarray) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
        """Return [(entries of parameters, their cotangents)] from the cotangents (rows, *shape) of this weight."""
        g = self.factor * g
        if not self.steps:
            return [(self.ids, g)]
        found = []
        for weight, step in self.steps:
            found += weight.pulled(step.pulled(g, weight.shape))
        return found


def _union(weights):
    """Return the parameters of all weights."""
    return frozenset().union(*(weight.roots for weight in weights))


class Moved(NamedTuple):
    """A step that moves entries to other places; -1 is a constant."""
    ids: Any

    def pulled(self, g, shape):
        """Return the cotangents of the weight that was moved, which has this shape."""
        J = zeros(g, (len(g), prod(shape)))
        ids = self.ids.ravel()
        is_entry = ids >= 0
        add_at(J, (slice(None), ids[is_entry]), g.reshape(len(g), -1)[:, is_entry])
        return J.reshape(len(g), *shape)


PERMUTED = (
    numpy.reshape, numpy.ravel, numpy.transpose, numpy.moveaxis, numpy.swapaxes, numpy.rollaxis,
    numpy.squeeze, numpy.expand_dims, numpy.roll, numpy.flipud, numpy.fliplr, numpy.rot90,
    numpy.atleast_1d, numpy.atleast_2d, numpy.atleast_3d)
REPEATED = numpy.broadcast_to, numpy.tile, numpy.repeat, numpy.diagonal, numpy.full
WITH_ZEROS = numpy.pad, numpy.diag, numpy.tril, numpy.triu


@lru_cache(1)
def _own():
    """Return {function: name} for functions that autograd itself defines."""
    wrapper = import_module('autograd.numpy.numpy_wrapper')
    boxes = import_module('autograd.numpy.numpy_boxes')
    named = {
        'concatenate': wrapper.concatenate_args,
        'array': wrapper.array_from_args,
        'astype': wrapper._astype,
        'scalar': wrapper._array_from_scalar_or_array,
        'item': boxes.ArrayBox.__getitem__,
    }
    joined = import_module('..autograd_on_device', __package__).joined
    return {getattr(f, 'fun', f): name for name, f in named.items()} | {joined.fun: 'concatenate'}


FIRST_ARRAY = {'concatenate': 1, 'array': 2, 'scalar': 2, numpy.full: 1}     # argument, if not 0


def weight_of(node: Any, weights: Mapping[int, Weight]) -> Weight | None:
    """Return the Weight that a node computes from those in `weights` ({index of a node: Weight}), or None."""
    f = raw(node)
    name = _own().get(f)
    if any(parent.index not in weights for parent in node.parents):
        return None
    given = dict(zip(node.argnums, (weights[parent.index] for parent in node.parents)))
    first = next(iter(given.values()))
    if name == 'astype':
        return first
    if f is numpy.negative:
        return first._replace(factor=-first.factor)
    if name in ('concatenate', 'array'):
        return _moved(node, given)
    moves = f in PERMUTED + REPEATED or f in WITH_ZEROS and not node.kwargs
    if moves or name in ('item', 'scalar'):
        return _moved(node, given) if set(given) == {FIRST_ARRAY.get(name or f, 0)} else None
    if f in (numpy.multiply, numpy.divide) and len(given) == 1:
        return _multiplied(node, f, *given.items())
    return None


def _multiplied(node, f, item):
    """Return the Weight for a node that multiplies its argument i by a constant, or None if it is stretched."""
    i, weight = item
    if f is numpy.divide and i == 1 or numpy.shape(node.value) != weight.shape:
        return None
    c = as_array(node.args[1 - i])
    c = 1 / c if f is numpy.divide else c
    if c.size == 1 and not is_on_device(c):
        return weight._replace(factor=weight.factor * c.item())
    c = numpy.broadcast_to(c, weight.shape).astype(node.value.dtype)
    return weight._replace(factor=weight.factor * c)


def _moved(node, given):
    """Return the Weight for a node that moves entries to other places."""
    if any(weight.steps for weight in given.values()):
        steps = []
        for i, weight in given.items():
            places = numpy.arange(prod(weight.shape)).reshape(weight.shape)
            steps.append((weight, Moved(_placed(node, {i: places + 1}) - 1)))
        return Weight.made(numpy.shape(node.value), steps)
    weights = list(given.values())
    ids = _placed(node, {i: weight.ids + 1 for i, weight in given.items()}) - 1
    factor = weights[0].factor
    if any(numpy.ndim(weight.factor) or not equal(weight.factor, factor) for weight in weights):
        factors = {i: numpy.broadcast_to(array_like(weight.factor, node.value), weight.shape)
                   for i, weight in given.items()}
        factor = _placed(node, factors)
    is_apart = weights[0].is_apart and raw(node) in PERMUTED or _is_apart(ids)
    return Weight(0, ids.shape, _union(weights), factor, ids, is_apart)


def _placed(node, given):
    """Apply the operation of the node, which moves entries, to the arrays `given`; constants become 0."""
    name = _own().get(raw(node))
    start = FIRST_ARRAY.get(name or raw(node), 0)
    stop = len(node.args) if name in ('concatenate', 'array') else start + 1
    args = [*node.args]
    like = next(iter(given.values()))
    for i in range(start, stop):
        args[i] = given[i] if i in given else zeros(like, numpy.shape(args[i]))
    if name in ('array', 'scalar'):
        args[:2] = (), _without_dtype(args[1])
    return as_array(raw(node)(*args, **_without_dtype(node.kwargs)))


def _without_dtype(kwargs):
    return {key: value for key, value in kwargs.items() if key != 'dtype'}


def _is_apart(ids):
    return bool(ids.size and ids.min() >= 0) and numpy.unique(ids).size == ids.size
