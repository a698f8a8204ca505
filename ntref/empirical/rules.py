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

from ..einsums import einsum_terms
from ..on_either import array_like, as_array, zeros
from ..types import Shape
from .pullbacks import pullback
from .record import raw

__all__ = ['Use', 'use_of']


class Use(NamedTuple):
    """out[outer] = sum h[inner] w[weight], at the entries `where` of the output; h = None means 1."""
    weight: tuple
    inner: tuple
    outer: tuple
    h: Any = None
    where: Any = ...

    def pulled(self, g: numpy.ndarray, shape: Shape) -> numpy.ndarray:
        """Return the cotangents (rows, *shape) of w, from those of out."""
        g = g if self.where is ... else g[(slice(None), *self.where)]
        stretched = [label for label in self.weight if label not in self.inner + self.outer]
        lengths = [n for n, label in zip(shape, self.weight) if label in stretched]
        ones = zeros(g, lengths) + 1
        labels = dict.fromkeys(self.weight + self.inner + self.outer)
        number = {label: 1 + i for i, label in enumerate(labels)}

        def numbers(labels):
            return [number[label] for label in labels]
        h = zeros(g, ()) + 1 if self.h is None else self.h
        return numpy.einsum(
            g, [0, *numbers(self.outer)], h, numbers(self.inner), ones, numbers(stretched),
            [0, *numbers(self.weight)], optimize=True)


@lru_cache(1)
def _own():
    """Return {function: name} for functions that autograd itself defines."""
    wrapper = import_module('autograd.numpy.numpy_wrapper')
    boxes = import_module('autograd.numpy.numpy_boxes')
    signal = import_module('autograd.scipy.signal')
    own = {
        wrapper.concatenate_args: 'concatenate',
        import_module('..autograd_on_device', __package__).joined: 'concatenate',
        boxes.ArrayBox.__getitem__: 'item',
        signal.convolve: 'convolve',
    }
    return {getattr(f, 'fun', f): name for f, name in own.items()}


def use_of(node: Any, i: int) -> Use | None:
    """Return the Use of argument i, or None if there is no rule for how the node depends on it."""
    f = raw(node)
    rule = RULES.get(f) or OWN_RULES.get(_own().get(f))
    if rule is None and isinstance(f, numpy.ufunc):
        rule = _slope
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
        h = None if i == 0 or sign == 1 else zeros(node.value, ()) + sign
        weight = aligned(numpy.shape(node.args[i]), out, 'w')
        return Use(weight, (), tuple(range(len(out))), h)
    return rule


def _elementwise(node, i, other):
    """Return the Use of w in w * other, both broadcast."""
    out = numpy.shape(node.value)
    other = array_like(other, node.value)
    weight = aligned(numpy.shape(node.args[i]), out, 'w')
    inner = aligned(other.shape, out, 'h')
    return Use(weight, inner, tuple(range(len(out))), other)


def _multiply(node, i):
    return _elementwise(node, i, node.args[1 - i])


def _divide(node, i):
    return _slope(node, i) if i else _elementwise(node, i, 1 / as_array(node.args[1]))


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
    h = _gradient(node, i, [
        numpy.broadcast_to(array_like(a, node.value), numpy.shape(node.value)) for a in node.args])
    return None if h is None else _elementwise(node, i, h)


def _reduction(place):
    """Return the rule of a function that reduces the axes given by argument number `place`: h is its derivative."""
    def rule(node, i):
        if i or len(node.args) > place + 1:
            return None
        labels = tuple(range(numpy.ndim(node.args[0])))
        axes = node.args[place] if len(node.args) > place else node.kwargs.get('axis')
        if axes is None or not labels:
            axes = labels
        else:
            axes = {axis % len(labels) for axis in numpy.ravel(axes).tolist()}
        if node.kwargs.get('keepdims'):
            outer = tuple((label, 'kept') if label in axes else label for label in labels)
        else:
            outer = tuple(label for label in labels if label not in axes)
        return Use(labels, labels, outer, _gradient(node, i, node.args))
    return rule


def _stretched(node, i):
    """Return the Use of an argument that is repeated along axes of length 1, or None if along others."""
    w = numpy.shape(node.args[i])
    out = numpy.shape(node.value)
    fits = all(n in (1, m) for n, m in zip(w[::-1], out[::-1]))
    return _sum(1)(node, i) if fits and len(w) <= len(out) else None


def _where(node, i):
    if i not in (1, 2):
        return None
    c = as_array(node.args[0])
    is_taken = c if i == 1 else ~c.astype(bool)
    return _elementwise(node, i, is_taken.astype(node.value.dtype))


def _product(node, i, left, right, out):
    """Return the Use of operand i, w, in a product of two operands with these labels."""
    labels = left, right
    return Use(tuple(labels[i]), tuple(labels[1 - i]), tuple(out), as_array(node.args[1 - i]))


def _dot(node, i):
    a, b = map(numpy.ndim, node.args[:2])
    if not a or not b:
        return _multiply(node, i)
    left = list(range(a))
    right = list(range(a, a + b))
    right[max(b - 2, 0)] = a - 1
    out = left[:-1] + [label for label in right if label != a - 1]
    return _product(node, i, left, right, out)


def _inner(node, i):
    a, b = map(numpy.ndim, node.args[:2])
    if not a or not b:
        return _multiply(node, i)
    left = list(range(a))
    right = list(range(a, a + b - 1)) + [a - 1]
    return _product(node, i, left, right, left[:-1] + right[:-1])


def _outer(node, i):
    if {*map(numpy.ndim, node.args[:2])} != {1}:
        return None
    return _product(node, i, [0], [1], [0, 1])


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
        padding = [(0, 0)] * other.ndim
        padding[there] = a - 1, max(first + n - m, 0)
        windows = sliding_window_view(numpy.pad(other, padding), a, there)[..., ::-1]
        other = numpy.take(windows, range(first, first + n), there)
        inner[there] = ('out', j)
        inner.append(labels[i][at])
    out += [('out', j) for j in range(len(sizes))]
    return Use(tuple(labels[i]), tuple(inner), tuple(out), other)


def _tensordot(node, i):
    a, b = map(numpy.ndim, node.args[:2])
    axes = node.args[2] if len(node.args) > 2 else node.kwargs.get('axes', 2)
    if isinstance(axes, int):
        axes = range(a - axes, a), range(axes)
    first, second = ([axes] if isinstance(axes, int) else list(axes) for axes in axes)
    left = list(range(a))
    right = list(range(a, a + b))
    for p, q in zip(first, second, strict=True):
        right[q] = left[p]
    shared = {left[p] for p in first}
    out = [label for label in left + right if label not in shared]
    return _product(node, i, left, right, out)


def _matmul(node, i):
    """Return the Use of w in matmul: leading batch axes are broadcast, and an operand with one axis is a vector."""
    shapes = [numpy.shape(a) for a in node.args[:2]]
    a, b = map(len, shapes)
    if a == 1 or b == 1:
        return _dot(node, i) if min(a, b) == 1 and (b <= 2 or a > 1) else None
    batch = numpy.shape(node.value)[:-2]
    m = len(batch)
    left = (*aligned(shapes[0][:-2], batch, 'a'), m, m + 1)
    right = (*aligned(shapes[1][:-2], batch, 'b'), m + 1, m + 2)
    return _product(node, i, left, right, (*range(m), m, m + 2))


def _einsum(node, i):
    """Return the Use of w in einsum: h is the product of the others, with the labels they share with w or out."""
    terms, out, operands, i = einsum_terms(node.args, i)
    weight = terms.pop(i)
    rest = [array_like(a, node.value) for j, a in enumerate(operands) if j != i]
    if any(len(set(term)) < len(term) for term in (weight, out)):
        return None
    others = {}                                                    # lengths of the labels in `rest`
    for term, a in zip(terms, rest):
        _lengthen(others, term, numpy.shape(a))
    sizes = dict(others)                                                        # of all labels
    shape = numpy.shape(operands[i])
    _lengthen(sizes, weight, shape)
    shared = [label for label in others if label in weight + out]
    kept = ''.join(sorted(label for label in shared if others[label] == sizes[label]))
    h = numpy.einsum(f'{",".join(terms)}->{kept}', *rest) if terms else None
    labels = (label if n == sizes[label] else ('w', label) for label, n in zip(weight, shape))
    return Use(tuple(labels), tuple(kept), tuple(out), h)


def _lengthen(sizes, term, shape):
    """Make the lengths in `sizes` at least those that the labels of `term` have in an operand of this shape."""
    for label, n in zip(term, shape, strict=True):
        sizes[label] = max(n, sizes.get(label, 0))


def _concatenate(node, i):
    axis = node.args[0]
    before = sum(numpy.shape(a)[node.args[0]] for a in node.args[1:i])
    labels = tuple(range(numpy.ndim(node.value)))
    size = numpy.shape(node.args[i])[axis]
    where = (slice(None),) * (axis % len(labels)) + (slice(before, before + size),)
    return Use(labels, (), labels, None, where)


def _item(node, i):
    """Return the Use of w in a lookup w[index] or w[index, index'], as a product with one-hot vectors."""
    w, index = node.args
    index = index if isinstance(index, tuple) else (index,)
    if not all(map(_are_numbers, index)):
        return None
    index = numpy.broadcast_arrays(*index)
    k = len(index)
    m = numpy.ndim(w)
    n = index[0].ndim
    h = numpy.ones((), node.value.dtype)
    for axis, a in enumerate(index):
        rows = numpy.arange(w.shape[axis]).reshape(-1, *(1,) * (k - 1 - axis))
        h = h * (a.reshape(*a.shape, *(1,) * k) % len(rows) == rows)
    outer = (*range(n), *range(n + k, n + m))
    return Use(tuple(range(n, n + m)), tuple(range(n + k)), outer, array_like(h, node.value))


def _are_numbers(index):
    is_array = isinstance(index, (int, list, numpy.integer, numpy.ndarray))
    return is_array and numpy.asarray(index).dtype.kind in 'iu'


RULES = {
    numpy.add: _sum(1), numpy.subtract: _sum(-1), numpy.broadcast_to: _sum(1),
    numpy.multiply: _multiply, numpy.divide: _divide, numpy.where: _where,
    numpy.dot: _dot, numpy.inner: _inner, numpy.matmul: _matmul,
    numpy.tensordot: _tensordot, numpy.einsum: _einsum, numpy.outer: _outer, numpy.tile: _stretched,
    numpy.repeat: _stretched, numpy.full: _stretched, numpy.clip: _slope, numpy.sinc: _slope,
    **dict.fromkeys((numpy.sum, numpy.mean, numpy.max, numpy.min, numpy.prod), _reduction(1)),
    **dict.fromkeys((numpy.var, numpy.std, logsumexp), _reduction(1)),
    numpy.linalg.norm: _reduction(2),
}
OWN_RULES = {'concatenate': _concatenate, 'item': _item,
             'convolve': lambda node, i: _convolve(node, i, *node.args[2:], **node.kwargs)}
