"""Pullbacks of operations: those of autograd, and replacements where autograd forgets that an operand is broadcast.

Each is tested against differences for operands with axes of length 1. A result in another shape than that of the
argument is refused, so that a rule of autograd with this fault that is not yet known raises an error.
"""
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy

from ..arrays import untraced
from ..einsums import einsum_pullback
from ..on_either import zeros

__all__ = ['as_dtype', 'pullback']


def pullback(
        fun: Callable, argnums: tuple[int, ...], ans: Any, args: Sequence,
        kwargs: Mapping[str, Any]) -> Callable[[Any], Iterable]:
    """Return the function from cotangents of ans = fun(*args, **kwargs) to those of the arguments `argnums`.

    Raises
    ------
    NotImplementedError : autograd has no derivative, or one whose shape is not that of the argument.
    """
    raw = getattr(fun, 'fun', fun)
    if raw in RULES:
        pulls = [RULES[raw](i, ans, args, kwargs) for i in argnums]
        return lambda g: [pull(g) for pull in pulls]
    rules = import_module('autograd.core').primitive_vjps
    if fun not in rules:
        raise NotImplementedError(f'{fun.__name__} has no derivative in autograd.')

    def tried(f, *given):
        try:
            return f(*given)
        except (AssertionError, IndexError, TypeError, ValueError) as error:
            raise NotImplementedError(
                f'{refusal(fun, args)} Its derivative fails in autograd ("{error}").') from error
    pull = tried(rules[fun], argnums, ans, args, kwargs)

    def checked(g):
        found = tried(lambda: list(pull(g)))
        for i, a in zip(argnums, found):
            if hasattr(a, 'shape') and hasattr(args[i], 'shape') and a.shape != args[i].shape:
                raise NotImplementedError(
                    f'{refusal(fun, args)} Its derivative in argument {i} has shape {a.shape} in '
                    'autograd.')
        return [as_dtype(a, args[i]) for i, a in zip(argnums, found)]
    return checked


def as_dtype(a: numpy.ndarray, like: Any) -> numpy.ndarray:
    """Return a in the precision of `like`; some rules of autograd (maximum, mean) turn float32 into float64."""
    if not hasattr(a, 'dtype') or not hasattr(like, 'dtype') or a.dtype == like.dtype:
        return a
    return a.astype(like.dtype) if a.dtype.kind == like.dtype.kind == 'f' else a


def refusal(fun, args):
    shapes = [numpy.shape(a) for a in args if hasattr(a, 'shape')]
    return (
        f'expected operations with a derivative in autograd, got {fun.__name__} of arrays of '
        f'shapes {shapes}. Write it with others, such as products, sums, reshape and concatenate.')


def _broadcast(i, ans, args, kwargs):
    return import_module('autograd.numpy.numpy_vjps').unbroadcast_f(args[i], lambda g: g)


def _where(i, ans, args, kwargs):
    np = import_module('autograd.numpy')
    if i == 0:
        return lambda g: zeros(ans, numpy.shape(args[0]))
    there = args[0] if i == 1 else numpy.logical_not(args[0])
    return import_module(
        'autograd.numpy.numpy_vjps').unbroadcast_f(args[i], lambda g: np.where(there, g, 0.))


def _clip(i, ans, args, kwargs):
    """Return the pullback of clip, which is 0 at the bounds themselves, as in autograd."""
    inside = numpy.logical_and(ans != args[1], ans != args[2])
    return import_module('autograd.numpy.numpy_vjps').unbroadcast_f(args[i], lambda g: g * inside)


def _composed(equal):
    """Return the pullback rule of a function, from an equal function that is composed of other operations."""
    def rule(i, ans, args, kwargs):
        return import_module('autograd.core').make_vjp(
            lambda a: equal(*args[:i], a, *args[i + 1:], **kwargs), args[i])[0]
    return rule


def _kron(a, b):
    np = import_module('autograd.numpy')
    n = max(np.ndim(a), np.ndim(b))
    left, right = ((1,) * (n - np.ndim(c)) + np.shape(c) for c in (a, b))
    a = np.reshape(a, [m for size in left for m in (size, 1)])
    b = np.reshape(b, [m for size in right for m in (1, size)])
    return np.reshape(a * b, [p * q for p, q in zip(left, right)])


def _outer(a, b):
    np = import_module('autograd.numpy')
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


def _diag(a, k=0):
    np = import_module('autograd.numpy')
    if np.ndim(a) == 1:
        return np.diag(a, k)
    rows = numpy.arange(max(-k, 0), max(-k, 0) + numpy.diag(numpy.empty(a.shape), k).size)
    return a[rows, rows + k]


def _tile(a, reps):
    return _kron(zeros(untraced(a), numpy.atleast_1d(reps).tolist()) + 1, a)


def _repeat(a, repeats, axis=None):
    np = import_module('autograd.numpy')
    a, axis = (np.reshape(a, (-1,)), 0) if axis is None else (a, axis)
    there = numpy.repeat(numpy.arange(a.shape[axis]), repeats)
    return np.moveaxis(np.moveaxis(a, axis, 0)[there], 0, axis)


def _norm(x, ord=None, axis=None, keepdims=False):
    np = import_module('autograd.numpy')
    axes = None if axis is None else tuple(a % np.ndim(x) for a in numpy.ravel(axis).tolist())
    found = np.linalg.norm(x, ord, axes[0] if axes is not None and len(axes) == 1 else axes)
    shape = [1 if axes is None or a in axes else n for a, n in enumerate(np.shape(x))]
    return np.reshape(found, shape) if keepdims else found


RULES = {
    numpy.where: _where, numpy.broadcast_to: _broadcast, numpy.full: _broadcast, numpy.clip: _clip,
    numpy.einsum: einsum_pullback, **{f: _composed(equal) for f, equal in {
        numpy.kron: _kron, numpy.outer: _outer, numpy.tile: _tile, numpy.repeat: _repeat, numpy.diag: _diag,
        numpy.linalg.norm: _norm}.items()}}
