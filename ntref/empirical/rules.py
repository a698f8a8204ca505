"""What operations do to parameters: the table that structured derivatives read.

An operation that is linear in a parameter w is a product over labelled axes, as in `einsum`,

    out[o] = sum h[..] w[..],        its derivative  J[.., w] = sum h[..] g[..]   for the cotangent g of out.

`use_of` says which axes these are and what h is. Operations that only move entries of w about, or multiply them by a
number, make another weight of it (`weight_of`): the same entries at other places.
"""
from functools import lru_cache
from importlib import import_module
from math import prod
from typing import Any, NamedTuple

import numpy

from .record import raw

__all__ = ['Use', 'Weight', 'use_of', 'weight_of']


class Weight(NamedTuple):
    """Entries of parameters, and a number they are multiplied by.

    start, shape : the first entry, counted through all parameters; moved : array of entries (-1: a constant), or None
    roots : frozenset of the parameters; is_apart: no entry twice, no constant
    """
    start: int
    shape: tuple
    roots: frozenset
    factor: Any = 1.
    moved: Any = None
    is_apart: bool = True

    @property
    def ids(self):
        """Which entry is where."""
        if self.moved is not None:
            return self.moved
        return numpy.arange(self.start, self.start + prod(self.shape)).reshape(self.shape)

    def is_like(self, other):
        """The same entries at the same places?"""
        if self.moved is None and other.moved is None:
            return (self.start, self.shape) == (other.start, other.shape)
        return numpy.array_equal(self.ids, other.ids)


class Use(NamedTuple):
    """out[outer] = sum h[inner] w[weight], at the entries `where` of the output; h None: 1."""
    weight: tuple
    inner: tuple
    outer: tuple
    h: Any = None
    where: Any = ...


# ------------------------------------------------------------------ the same entries at other places

PERMUTED = (numpy.reshape, numpy.ravel, numpy.transpose, numpy.moveaxis, numpy.swapaxes, numpy.rollaxis, numpy.squeeze,
            numpy.expand_dims, numpy.roll, numpy.flipud, numpy.fliplr, numpy.rot90, numpy.atleast_1d, numpy.atleast_2d,
            numpy.atleast_3d)
REPEATED = numpy.broadcast_to, numpy.tile, numpy.repeat, numpy.diagonal


@lru_cache(1)
def _own():
    """Functions that autograd itself defines, by name."""
    wrapper, boxes = import_module('autograd.numpy.numpy_wrapper'), import_module('autograd.numpy.numpy_boxes')
    named = {'concatenate': wrapper.concatenate_args, 'array': wrapper.array_from_args,
             'scalar': wrapper._array_from_scalar_or_array, 'item': boxes.ArrayBox.__getitem__}
    return {getattr(f, 'fun', f): name for name, f in named.items()}


FIRST = {'concatenate': 1, 'array': 2, 'scalar': 2, 'item': 0}          # the first argument that is an array


def weight_of(node, weights):
    """The Weight that a node makes of those in `weights` ({index of a node: Weight}), or None."""
    f, name = raw(node), _own().get(raw(node))
    if any(parent.index not in weights for parent in node.parents):
        return None
    given = dict(zip(node.argnums, (weights[parent.index] for parent in node.parents)))
    first = next(iter(given.values()))
    if f in PERMUTED + REPEATED and set(given) == {0} or name in ('item', 'scalar') and len(given) == 1:
        ids, factor = _moved(node, given, lambda w: w.ids), first.factor
        if numpy.ndim(factor):
            factor = _moved(node, given, lambda w: w.factor)
        return Weight(0, ids.shape, first.roots, factor, ids, first.is_apart and (f in PERMUTED or _is_apart(ids)))
    if name in ('concatenate', 'array'):
        ids = _moved(node, given, lambda w: w.ids)
        factor = _moved(node, given, lambda w: numpy.broadcast_to(w.factor, w.shape))
        roots = frozenset().union(*(w.roots for w in given.values()))
        return Weight(0, ids.shape, roots, factor, ids, _is_apart(ids))
    if f is numpy.negative:
        return first._replace(factor=-first.factor)
    if f in (numpy.multiply, numpy.divide) and len(given) == 1 and not (f is numpy.divide and 1 in given):
        i, = given
        c = numpy.asarray(node.args[1 - i])
        if numpy.shape(node.value) == first.shape:
            c = 1 / c if f is numpy.divide else c
            c = c.item() if c.size == 1 else numpy.broadcast_to(c, first.shape).astype(node.value.dtype)
            return first._replace(factor=first.factor * c)
    return None


def _moved(node, given, part):
    """What the node does to entries, done to a part of its weights; constants become -1."""
    start = FIRST.get(_own().get(raw(node)), 0)
    arrays = range(start, start + 1) if _own().get(raw(node)) not in ('concatenate', 'array') else \
        range(start, len(node.args))
    args = [part(given[i]) if i in given else numpy.full(numpy.shape(a), -1) if i in arrays else a
            for i, a in enumerate(node.args)]
    return numpy.asarray(raw(node)(*args, **node.kwargs))


def _is_apart(ids):
    return bool(ids.size and ids.min() >= 0) and numpy.unique(ids).size == ids.size


# ------------------------------------------------------------------ products

def use_of(node, i):
    """The Use of argument i, or None where no rule says how the node depends on it."""
    f = raw(node)
    rule = RULES.get(f) or OWN_RULES.get(_own().get(f))
    if rule is None or numpy.iscomplexobj(node.value):
        return None
    return rule(node, i)


def aligned(shape, out, name):
    """Labels of an operand that is broadcast to `out`: those of out, or one of its own where it is stretched."""
    ahead = len(out) - len(shape)
    return tuple(ahead + i if n == out[ahead + i] else (name, i) for i, n in enumerate(shape))


def _sum(sign):
    def rule(node, i):
        out = numpy.shape(node.value)
        h = None if i == 0 or sign == 1 else numpy.asarray(float(sign), node.value.dtype)
        return Use(aligned(numpy.shape(node.args[i]), out, 'w'), (), tuple(range(len(out))), h)
    return rule


def _elementwise(node, i, other):
    """w times other, both broadcast."""
    out, other = numpy.shape(node.value), numpy.asarray(other)
    labels = aligned(numpy.shape(node.args[i]), out, 'w'), aligned(other.shape, out, 'h')
    return Use(*labels, tuple(range(len(out))), other)


def _multiply(node, i):
    return _elementwise(node, i, node.args[1 - i])


def _divide(node, i):
    return _elementwise(node, i, 1 / numpy.asarray(node.args[1])) if i == 0 else None


def _where(node, i):
    c = numpy.asarray(node.args[0])
    return _elementwise(node, i, (c if i == 1 else ~c.astype(bool)).astype(node.value.dtype)) if i in (1, 2) else None


def _product(node, i, left, right, out):
    """w at place i of two operands with these labels."""
    labels = left, right
    return Use(tuple(labels[i]), tuple(labels[1 - i]), tuple(out), numpy.asarray(node.args[1 - i]))


def _dot(node, i):
    a, b = map(numpy.ndim, node.args[:2])
    if not a or not b:
        return _multiply(node, i)
    left, right = list(range(a)), list(range(a, a + b))
    right[max(b - 2, 0)] = a - 1
    return _product(node, i, left, right, left[:-1] + [label for label in right if label != a - 1])


def _inner(node, i):
    a, b = map(numpy.ndim, node.args[:2])
    if not a or not b:
        return _multiply(node, i)
    left, right = list(range(a)), list(range(a, a + b - 1)) + [a - 1]
    return _product(node, i, left, right, left[:-1] + right[:-1])


def _tensordot(node, i):
    a, b = map(numpy.ndim, node.args[:2])
    axes = node.args[2] if len(node.args) > 2 else node.kwargs.get('axes', 2)
    if isinstance(axes, int):
        axes = range(a - axes, a), range(axes)
    first, second = ([axes] if isinstance(axes, int) else list(axes) for axes in axes)
    left, right = list(range(a)), list(range(a, a + b))
    for p, q in zip(first, second, strict=True):
        right[q] = left[p]
    shared = {left[p] for p in first}
    return _product(node, i, left, right, [label for label in left + right if label not in shared])


def _matmul(node, i):
    """Batch axes in front are broadcast; an operand with one axis is a vector."""
    shapes = [numpy.shape(a) for a in node.args[:2]]
    a, b = map(len, shapes)
    if a == 1 or b == 1:
        return _dot(node, i) if min(a, b) == 1 and (b <= 2 or a > 1) else None
    batch = numpy.shape(node.value)[:-2]
    m = len(batch)
    ends = (m, m + 1), (m + 1, m + 2)
    left, right = ((*aligned(shape[:-2], batch, name), *end) for shape, name, end in zip(shapes, 'ab', ends))
    return _product(node, i, left, right, (*range(m), m, m + 2))


def _einsum(node, i):
    """The other operands as one, with the labels that they share with w or the output."""
    if not isinstance(node.args[0], str):
        return None
    inputs, out, operands = import_module('autograd.numpy.numpy_wrapper').parse_einsum_input(*node.args)
    terms = inputs.split(',')
    weight, rest = terms.pop(i - 1), [numpy.asarray(a) for j, a in enumerate(operands) if j != i - 1]
    if any(len(set(term)) < len(term) for term in (weight, out)):
        return None
    sizes = {}
    for term, shape in [(weight, numpy.shape(operands[i - 1])), *zip(terms, map(numpy.shape, rest))]:
        for label, n in zip(term, shape, strict=True):
            if sizes.setdefault(label, n) != n:
                return None                                                     # broadcast under an ellipsis
    kept = ''.join(sorted({label for term in terms for label in term if label in weight + out}))
    h = numpy.einsum(f'{",".join(terms)}->{kept}', *rest) if terms else None
    return Use(tuple(weight), tuple(kept), tuple(out), h)


def _concatenate(node, i):
    axis, before = node.args[0], sum(numpy.shape(a)[node.args[0]] for a in node.args[1:i])
    labels = tuple(range(numpy.ndim(node.value)))
    size = numpy.shape(node.args[i])[axis]
    return Use(labels, (), labels, None, (slice(None),) * (axis % len(labels)) + (slice(before, before + size),))


def _item(node, i):
    """Rows w[index] looked up: a product with one-hot vectors."""
    w, index = node.args
    index = numpy.asarray(index) if not isinstance(index, (tuple, slice, type(None), type(...))) else None
    if index is None or index.dtype.kind not in 'iu':
        return None
    n, m = index.ndim, numpy.ndim(w)
    h = (index[..., None] % len(w) == numpy.arange(len(w))).astype(node.value.dtype)
    return Use(tuple(range(n, n + m)), tuple(range(n + 1)), (*range(n), *range(n + 1, n + m)), h)


RULES = {
    numpy.add: _sum(1), numpy.subtract: _sum(-1), numpy.broadcast_to: _sum(1), numpy.multiply: _multiply,
    numpy.divide: _divide, numpy.where: _where, numpy.dot: _dot, numpy.inner: _inner, numpy.matmul: _matmul,
    numpy.tensordot: _tensordot, numpy.einsum: _einsum,
}
OWN_RULES = {'concatenate': _concatenate, 'item': _item}
