"""Rules for what operations do to parameters: the table that structured derivatives use.

An operation that is linear in a parameter w is a product over labelled axes, as in `einsum`,

    out[o] = sum h[..] w[..],        its derivative  J[.., w] = sum h[..] g[..]   for the cotangent g of out.

The derivative of an elementwise function, or of one that reduces axes, has the same form, with the slope as h. `use_of`
returns the labels of the axes and h.
"""
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import logsumexp

from .pullbacks import einsum_terms, pullback
from .record import raw

__all__ = ['Use', 'use_of']


class Use(NamedTuple):
    """out[outer] = sum h[inner] w[weight], at the entries `where` of the output; h = None means 1."""
    weight: tuple
    inner: tuple
    outer: tuple
    h: Any = None
    where: Any = ...

    def pulled(self, g, shape):
        """Return the cotangents (rows, *shape) of w, from those of out."""
        g = g if self.where is ... else g[(slice(None), *self.where)]
        stretched = [label for label in self.weight if label not in self.inner + self.outer]
        ones = numpy.ones([n for n, label in zip(shape, self.weight) if label in stretched], g.dtype)
        number = {label: 1 + i for i, label in enumerate(dict.fromkeys(self.weight + self.inner + self.outer))}
        out, inner, stretched, weight = ([number[label] for label in labels]
                                         for labels in (self.outer, self.inner, stretched, self.weight))
        h = numpy.ones((), g.dtype) if self.h is None else self.h
        return numpy.einsum(g, [0, *out], h, inner, ones, stretched, [0, *weight], optimize=True)


@lru_cache(1)
def _own():
    """Return {function: name} for functions that autograd itself defines."""
    wrapper, boxes, signal = map(import_module, (
        'autograd.numpy.numpy_wrapper', 'autograd.numpy.numpy_boxes', 'autograd.scipy.signal'))
    own = {wrapper.concatenate_args: 'concatenate', boxes.ArrayBox.__getitem__: 'item', signal.convolve: 'convolve'}
    return {getattr(f, 'fun', f): name for f, name in own.items()}


def use_of(node, i):
    """Return the Use of argument i, or None if there is no rule for how the node depends on it."""
    f = raw(node)
    rule = RULES.get(f) or OWN_RULES.get(_own().get(f)) or (_slope if isinstance(f, numpy.ufunc) else None)
    if rule is None or numpy.iscomplexobj(node.value) or numpy.iscomplexobj(node.args[i]):
        return None
    return rule(node, i)


def aligned(shape, out, name):
    """Return labels of an operand that is broadcast to `out`: those of out, or its own on axes that are stretched."""
    ahead = len(out) - len(shape)
    return tuple(ahead + i if n == out[ahead + i] else (name, i) for i, n in enumerate(shape))


def _sum(sign):
    def rule(node, i):
        out = numpy.shape(node.value)
        h = None if i == 0 or sign == 1 else numpy.asarray(float(sign), node.value.dtype)
        return Use(aligned(numpy.shape(node.args[i]), out, 'w'), (), tuple(range(len(out))), h)
    return rule


def _elementwise(node, i, other):
    """Return the Use of w in w * other, both broadcast."""
    out = numpy.shape(node.value)
    other = numpy.asarray(other)
    labels = aligned(numpy.shape(node.args[i]), out, 'w'), aligned(other.shape, out, 'h')
    return Use(*labels, tuple(range(len(out))), other)


def _multiply(node, i):
    return _elementwise(node, i, node.args[1 - i])


def _divide(node, i):
    return _slope(node, i) if i else _elementwise(node, i, 1 / numpy.asarray(node.args[1]))


def _gradient(node, i, args):
    """Return the pullback of ones to argument i, for the arguments `args`, or None if there is none."""
    try:
        pull = pullback(node.fun, (i,), node.value, args, node.kwargs)
    except NotImplementedError:
        return None
    return next(iter(pull(numpy.ones_like(node.value))))


def _slope(node, i):
    """Return the Use of an argument of an elementwise function: h is its derivative."""
    if getattr(raw(node), 'signature', None) is not None:
        return None
    h = _gradient(node, i, [numpy.broadcast_to(a, numpy.shape(node.value)) for a in node.args])
    return None if h is None else _elementwise(node, i, h)


def _reduction(place):
    """Return the rule of a function that reduces the axes given by argument number `place`: h is its derivative."""
    def rule(node, i):
        if i or len(node.args) > place + 1:
            return None
        labels = tuple(range(numpy.ndim(node.args[0])))
        axes = node.args[place] if len(node.args) > place else node.kwargs.get('axis')
        axes = labels if axes is None or not labels else {axis % len(labels) for axis in numpy.ravel(axes).tolist()}
        kept = ((label, 'kept') if label in axes else label for label in labels)
        outer = tuple(kept if node.kwargs.get('keepdims') else (label for label in labels if label not in axes))
        return Use(labels, labels, outer, _gradient(node, i, node.args))
    return rule


def _stretched(node, i):
    """Return the Use of an argument that is repeated along axes of length 1, or None if along others."""
    w = numpy.shape(node.args[i])
    out = numpy.shape(node.value)
    fits = all(n in (1, m) for n, m in zip(w[::-1], out[::-1]))
    return _sum(1)(node, i) if fits and len(w) <= len(out) else None


def _where(node, i):
    c = numpy.asarray(node.args[0])
    return _elementwise(node, i, (c if i == 1 else ~c.astype(bool)).astype(node.value.dtype)) if i in (1, 2) else None


def _product(node, i, left, right, out):
    """Return the Use of operand i, w, in a product of two operands with these labels."""
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
    left = list(range(a))
    right = list(range(a, a + b - 1)) + [a - 1]
    return _product(node, i, left, right, left[:-1] + right[:-1])


def _outer(node, i):
    return _product(node, i, [0], [1], [0, 1]) if {*map(numpy.ndim, node.args[:2])} == {1} else None


def _convolve(node, i, axes=None, dot_axes=((), ()), mode='full'):
    """Return the Use of w in a convolution: h has the windows of the other operand, reversed, that multiply w."""
    w = node.args[i]
    other = numpy.asarray(node.args[1 - i])
    axes = [list(range(numpy.ndim(w)))] * 2 if axes is None else axes
    if any(node.args[0].shape[p] != node.args[1].shape[q] for p, q in zip(*dot_axes)):
        return None
    labels = [[(k, axis) for axis in range(numpy.ndim(a))] for k, a in enumerate(node.args[:2])]
    for left, right in zip(*dot_axes):
        labels[1][right] = labels[0][left]
    used = [{*axes[k], *dot_axes[k]} for k in (0, 1)]
    out = [label for k in (0, 1) for axis, label in enumerate(labels[k]) if axis not in used[k]]
    sizes = numpy.shape(node.value)[len(out):]
    inner = labels[1 - i][:]
    for j, (at, there, n) in enumerate(zip(axes[i], axes[1 - i], sizes)):
        a = w.shape[at]
        b = node.args[1].shape[axes[1][j]]
        m = other.shape[there]
        first = {'full': 0, 'valid': min(a, m) - 1, 'same': (b - 1) // 2}[mode]
        padding = [(a - 1, max(first + n - m, 0)) if axis == there else (0, 0) for axis in range(other.ndim)]
        windows = sliding_window_view(numpy.pad(other, padding), a, there)[..., ::-1]
        other = numpy.take(windows, range(first, first + n), there)
        inner[there] = ('out', j)
        inner.append(labels[i][at])
    return Use(tuple(labels[i]), tuple(inner), (*out, *(('out', j) for j in range(len(sizes)))), other)


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
    """Return the Use of w in matmul: leading batch axes are broadcast, and an operand with one axis is a vector."""
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
    """Return the Use of w in einsum: h is the product of the others, with the labels they share with w or out."""
    terms, out, operands, i = einsum_terms(node.args, i)
    weight = terms.pop(i)
    rest = [numpy.asarray(a) for j, a in enumerate(operands) if j != i]
    if any(len(set(term)) < len(term) for term in (weight, out)):
        return None
    sizes, others = {}, {}                                                      # lengths of all labels; in `rest`
    for term, a in [*zip(terms, rest), (weight, operands[i])]:
        for label, n in zip(term, numpy.shape(a), strict=True):
            sizes[label] = max(n, sizes.get(label, 0))
            if a is not operands[i]:
                others[label] = sizes[label]
    kept = ''.join(sorted(label for label in others if label in weight + out and others[label] == sizes[label]))
    h = numpy.einsum(f'{",".join(terms)}->{kept}', *rest) if terms else None
    labels = (label if n == sizes[label] else ('w', label) for label, n in zip(weight, numpy.shape(operands[i])))
    return Use(tuple(labels), tuple(kept), tuple(out), h)


def _concatenate(node, i):
    axis = node.args[0]
    before = sum(numpy.shape(a)[node.args[0]] for a in node.args[1:i])
    labels = tuple(range(numpy.ndim(node.value)))
    size = numpy.shape(node.args[i])[axis]
    return Use(labels, (), labels, None, (slice(None),) * (axis % len(labels)) + (slice(before, before + size),))


def _item(node, i):
    """Return the Use of w in a lookup w[index] or w[index, index'], as a product with one-hot vectors."""
    w, index = node.args
    index = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(a, (int, list, numpy.integer, numpy.ndarray)) and numpy.asarray(a).dtype.kind in 'iu'
               for a in index):
        return None
    index, k, m = numpy.broadcast_arrays(*index), len(index), numpy.ndim(w)
    n, h = index[0].ndim, numpy.ones((), node.value.dtype)
    for axis, a in enumerate(index):
        rows = numpy.arange(w.shape[axis]).reshape(-1, *(1,) * (k - 1 - axis))
        h = h * (a.reshape(*a.shape, *(1,) * k) % len(rows) == rows)
    return Use(tuple(range(n, n + m)), tuple(range(n + k)), (*range(n), *range(n + k, n + m)), h)


RULES = {
    numpy.add: _sum(1), numpy.subtract: _sum(-1), numpy.broadcast_to: _sum(1), numpy.multiply: _multiply,
    numpy.divide: _divide, numpy.where: _where, numpy.dot: _dot, numpy.inner: _inner, numpy.matmul: _matmul,
    numpy.tensordot: _tensordot, numpy.einsum: _einsum, numpy.outer: _outer, numpy.tile: _stretched,
    numpy.repeat: _stretched, numpy.full: _stretched, numpy.clip: _slope, numpy.sinc: _slope,
    **dict.fromkeys((numpy.sum, numpy.mean, numpy.max, numpy.min, numpy.prod, numpy.var, numpy.std, logsumexp),
                    _reduction(1)), numpy.linalg.norm: _reduction(2),
}
OWN_RULES = {'concatenate': _concatenate, 'item': _item,
             'convolve': lambda node, i: _convolve(node, i, *node.args[2:], **node.kwargs)}
