"""Autograd on arrays of CuPy: their boxes and vector spaces, and rules in place of those that know NumPy alone.

autograd.numpy wraps the functions of NumPy, and these hand an array of CuPy to the function of CuPy's; so do most of
autograd's rules. A few make arrays of NumPy on the way: `_replace_rules` has others, for arrays on a GPU alone, and
`device_namespace` the names of the alphabet whose functions NumPy does not hand on.

Autograd follows arrays of CuPy once ntref has seen one, or once `follow_on_device` was called.
"""
from functools import cache
from importlib import import_module
from typing import Any

import numpy
from autograd import core
from autograd.extend import defjvp, defjvp_argnum, defvjp, defvjp_argnum, primitive
from autograd.numpy import _original_where as original_where
from autograd.numpy import numpy_vjps
from autograd.numpy import numpy_wrapper as np
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.numpy.numpy_vspaces import ArrayVSpace

from .arrays import ALPHABET, Namespace, is_on_device, load, unbroadcast, untraced
from .einsums import einsum_pullback
from .in_place import add_at

__all__ = ['DeviceBox', 'DeviceVSpace', 'device_namespace', 'follow_on_device', 'joined']


class DeviceBox(ArrayBox):
    """An array of CuPy that autograd follows. Operators of CuPy leave it the last word."""

    __slots__ = []
    __array_ufunc__ = None
    shape = property(lambda self: self._value.shape)
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: self._value.size)
    dtype = property(lambda self: self._value.dtype)


class DeviceVSpace(ArrayVSpace):
    """Arrays of CuPy of one shape and precision."""

    def __init__(self, value: Any):
        self.shape = value.shape
        self.dtype = value.dtype

    def zeros(self) -> Any:
        return load('cupy').zeros(self.shape).astype(self.dtype, copy=False)

    def ones(self) -> Any:
        return self.zeros() + 1

    def standard_basis(self) -> Any:
        for i in numpy.ndindex(*self.shape):
            unit = self.zeros()
            unit[i] = 1
            yield unit

    def randn(self) -> Any:
        return load('cupy').asarray(super().randn())


def follow_on_device() -> None:
    """Have autograd follow arrays of CuPy."""
    array = import_module('cupy').ndarray
    DeviceBox.register(array)
    DeviceVSpace.register(array)
    _replace_rules()


# ------------------------------------------------------------------ rules of autograd that make arrays of NumPy

@cache
def _replace_rules():
    """Put rules beside those of autograd that fail on a GPU; arrays of NumPy keep theirs.

    Its concatenate takes the result for an array of NumPy, and gets another that does not.
    """
    np.concatenate_args = joined
    _instead(np.sum, _of_sum)
    _instead(np._primitive_mean, _of_mean)
    for f in np.max, np.min, np.amax, np.amin:
        _instead(f, _of_extreme)
    for f in np.reshape, np.ravel:
        _instead(f, lambda ans, x, *shape, **order: lambda g: np.reshape(g, x.shape))
    _instead(np.prod, lambda ans, x, axis=None, *rest, **options: lambda g: _stretched(g * ans, x, axis) / x)
    _instead(original_where, lambda ans, c, x, y: lambda g: core.vspace(c).zeros(), *(_of_choice(i) for i in (0, 1)))
    _instead(np.dot, numpy_vjps.matmul_vjp_0, numpy_vjps.matmul_vjp_1)
    _instead(getattr(ArrayBox, '__getitem__'), lambda ans, a, index: lambda g: _scattered(g, index, a.shape))
    _replace(core.primitive_vjps, np.einsum, lambda argnums, *given: _each(
        [einsum_pullback(i, *given) for i in argnums]))
    for f, sign in (np.add, 1), (np.subtract, -1):
        _replace_forward(f, lambda g, ans, x, y: g + np.zeros_like(ans),
                         lambda g, ans, x, y, sign=sign: sign * g + np.zeros_like(ans))
    _replace_forward(original_where, lambda g, ans, c, x, y: core.vspace(ans).zeros(),
                     lambda g, ans, c, x, y: load('autograd').where(c, g, 0.),
                     lambda g, ans, c, x, y: load('autograd').where(c, 0., g))


def _each(pulls):
    return lambda g: [pull(g) for pull in pulls]


def _instead(f, *vjps):
    def of(argnums, ans, args, kwargs):
        return _each([vjps[i](ans, *args, **kwargs) for i in argnums])
    _replace(core.primitive_vjps, f, of)


def _replace_forward(f, *jvps):
    def of(argnums, gs, ans, args, kwargs):
        return core.sum_outgrads(jvps[i](g, ans, *args, **kwargs) for i, g in zip(argnums, gs))
    _replace(core.primitive_jvps, f, of, place=2)


def _replace(table, f, ours, place=1):
    """Have `ours` take the place of the rule for f in a table of autograd's where argument `place`, ans, is on a GPU.
    """
    theirs = table[f]

    def either(*given):
        return (ours if is_on_device(untraced(given[place])) else theirs)(*given)
    table[f] = either


def _stretched(g, x, axis):
    """Return g, whose `axis` was reduced, in the shape of x."""
    axes = range(x.ndim) if axis is None else [a % x.ndim for a in numpy.ravel(axis).tolist()]
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    return load('autograd').broadcast_to(np.reshape(g, kept), x.shape)


def _of_sum(ans, x, axis=None, *rest, **options):
    return lambda g: _stretched(g, x, axis)


def _of_mean(ans, x, axis=None, *rest, **options):
    return lambda g: _stretched(g, x, axis) / (x.size // max(ans.size, 1))


def _of_extreme(ans, x, axis=None, *rest, **options):
    """Return the pullback of a maximum or minimum: equal ones share the cotangent."""
    def back(g):
        is_taken = (x == _stretched(ans, x, axis)).astype(x.dtype)
        return _stretched(g, x, axis) * is_taken / np.sum(is_taken, axis=axis, keepdims=True)
    return back


def _of_choice(i):
    def rule(ans, c, x, y):
        where = load('autograd').where
        return unbroadcast((x, y)[i], lambda g: where(c, g, 0.) if i == 0 else where(c, 0., g))
    return rule


@primitive
def _scattered(g, index, shape):
    """Return zeros of this shape with g added at `index`; an entry may be there more than once."""
    out = load('cupy').zeros(shape).astype(g.dtype, copy=False)
    if any(isinstance(i, list) or hasattr(i, 'dtype') and i.dtype.kind in 'iu' for i in (
            index if isinstance(index, tuple) else (index,))):
        add_at(out, index, g)
    else:
        out[index] = g
    return out


defvjp(_scattered, lambda ans, g, index, shape: lambda h: h[index])
defjvp(_scattered, lambda h, ans, g, index, shape: _scattered(h, index, shape))


# ------------------------------------------------------------------ the alphabet

@primitive
def joined(axis: int, *arrays: Any) -> Any:
    """Return the arrays behind one another."""
    return numpy.concatenate(arrays, axis)


defvjp_argnum(joined, numpy_vjps.grad_concatenate_args)
defjvp_argnum(joined, lambda i, g, ans, args, kwargs: joined(
    args[0], *(g if j == i else np.zeros_like(a) for j, a in enumerate(args) if j)))


def device_namespace() -> Namespace:
    """Return the namespace of arrays of CuPy that autograd follows."""
    there = load('cupy')
    host = load('autograd')
    functions = {name: getattr(host, name) for name in ALPHABET} | {
        name: getattr(there, name) for name in ('zeros', 'eye')}
    rules = host.rules
    functions |= {
        'asarray': rules(there.asarray, lambda ans, a: 1.),
        'erf': rules(there.erf, lambda ans, x: 2 / numpy.pi ** .5 * np.exp(-x * x)),
        'erfcx': rules(there.erfcx, lambda ans, x: 2 * x * ans - 2 / numpy.pi ** .5),
        'concatenate': lambda arrays, axis=0: joined(axis, *arrays),
        'stack': _stack, 'solve_triangular': _solve_triangular, 'cholesky': _cholesky, 'eigh': _eigh}
    xp: Any = Namespace('autograd.cupy', **functions)
    xp.rules = rules
    return xp


def _stack(arrays, axis=0):
    return joined(axis, *(np.expand_dims(a, axis) for a in arrays))


# ------------------------------------------------------------------ linear algebra

def _solve_triangular(a, b, trans=0, lower=False):
    return _solved(a, b, trans, lower)


@primitive
def _solved(a, b, trans, lower):
    return load('cupy').solve_triangular(a, b, trans=trans, lower=lower)


def _of_triangle(ans, a, b, trans, lower):
    """Return the pullback of op(a)^-1 b to the triangle of a."""
    def back(g):
        v, x = (c if b.ndim > 1 else c[:, None] for c in (_solved(a, g, 1 - trans, lower), ans))
        whole = -(x @ v.T if trans else v @ x.T)
        return np.tril(whole) if lower else np.triu(whole)
    return back


defvjp(_solved, _of_triangle, lambda ans, a, b, trans, lower: lambda g: _solved(a, g, 1 - trans, lower))


@primitive
def _cholesky(a):
    return load('cupy').cholesky(a)


def _of_cholesky(L, a):
    """Return the pullback of the Cholesky factor, to both triangles alike."""
    def back(g):
        P = np.tril(L.T @ g)
        P = P - P * load('cupy').eye(len(P)).astype(P.dtype) / 2
        S = _solved(L, _solved(L, P, 1, True).T, 1, True)
        return (S + S.T) / 2
    return back


defvjp(_cholesky, _of_cholesky)


@primitive
def _eigh(a):
    return load('cupy').eigh(a)


def _of_eigh(ans, a):
    """Return the pullback of eigenvalues and eigenvectors, to both triangles alike."""
    w, v = ans

    def back(g):
        of_w, of_v = g
        one = load('cupy').eye(len(v)).astype(v.dtype)
        apart = (1 - one) / (w[None] - w[:, None] + one)
        whole = v @ (one * of_w + apart * (v.T @ of_v)) @ v.T
        return (whole + whole.T) / 2
    return back


defvjp(_eigh, _of_eigh)
