"""Derivatives that are stated rather than traced: of elementwise functions, linear functions and carried values.

autograd differentiates code that is written with the names of `ntref.arrays`. Three kinds of derivatives are stated
instead: those of functions with derivatives of their own (`differentiable`), of linear functions that are each other's
adjoint (`adjoint_pair`), and of numbers known to more digits than the formula they obey (`carried`). A stated
derivative is a formula again, so that derivatives of any order, forward, reverse and mixed, follow.
"""
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from .arrays import TRACED, kind, load, unbroadcast, untraced

__all__ = ['adjoint_pair', 'carried', 'carried_root', 'derivative', 'differentiable', 'is_traced']


def derivative(f: Callable, argnum: int = 0) -> Callable:
    """Return the derivative of the elementwise function `f` in its argument `argnum`, by autograd.

    `f` must compute with `autograd.numpy` or operators. With plain NumPy the derivative would silently be zero
    everywhere; this raises instead.

    Raises
    ------
    ValueError : `f` does not depend on the argument in a way that autograd can see.
    """
    def df(*x):
        with warnings.catch_warnings():
            warnings.filterwarnings('error', 'Output seems independent')
            try:
                return import_module('autograd').elementwise_grad(f, argnum)(*x)
            except UserWarning:
                raise ValueError(
                    f'expected {getattr(f, "__name__", f)} to be differentiable by autograd in '
                    f'argument {argnum}, but its output does not depend on it. Write it with '
                    'autograd.numpy, or give the derivative.') from None
    return df


def is_traced(a: Any) -> bool:
    """True if autograd follows `a`."""
    return kind(a) in TRACED


def differentiable(f: Callable, *partials: Callable | None) -> Callable:
    """Return the elementwise function `f` with stated partial derivatives, each a function of the same arguments.

    On plain arrays the result is `f`; on autograd boxes the stated derivatives are used instead of tracing `f`.
    """
    def call(*x):
        if not any(is_traced(a) for a in x):
            return f(*x)
        return _stated()((f, partials), *x)
    return call


@cache
def _stated():
    """Return the one autograd primitive of all `differentiable` functions: ((f, partials), *x) -> f(*x).

    A primitive for each function would stay in autograd's tables for ever.
    """
    extend = import_module('autograd.extend')
    broadcast_to = load('autograd').broadcast_to
    stated = extend.primitive(lambda rule, *x: rule[0](*x))

    def vjp(argnums, ans, args, kwargs):
        (_, partials), *x = args

        def back(n):
            return unbroadcast(x[n], lambda g: g * partials[n](*x))
        backs = [back(argnum - 1) for argnum in argnums]
        return lambda g: tuple(back(g) for back in backs)

    def jvp(argnums, gs, ans, args, kwargs):
        (_, partials), *x = args
        terms = [g * partials[argnum - 1](*x) for argnum, g in zip(argnums, gs)]
        return sum(broadcast_to(term, ans.shape) for term in terms)
    extend.defvjp_argnums(stated, vjp)
    extend.defjvp_argnums(stated, jvp)
    return stated


def carried(value: Any, formula: Any) -> Any:
    """Return `value` with the derivatives of `formula`, which gives the same number with fewer digits."""
    if not is_traced(formula):
        return value
    return _OF_FORMULA(untraced(value), formula)


def carried_root(value: Any, squared: Any) -> Any:
    """Return `value` with the derivatives of the root of `squared`, which are 0 where it is 0."""
    if not is_traced(squared):
        return value
    number = untraced(value)
    return carried(number, load('autograd').sqrt(carried(number * number, squared)))


_OF_FORMULA = differentiable(lambda value, formula: value, None, lambda value, formula: 1.)


def adjoint_pair(f: Callable, g: Callable) -> tuple[Callable, Callable]:
    """Return f and g, linear in an array (other arguments are fixed) and adjoint to each other, with derivatives."""
    traced: list[Callable] = []

    def call(i):
        def linear(x, *fixed):
            if not is_traced(x):
                return (f, g)[i](x, *fixed)
            if not traced:
                traced.extend(map(import_module('autograd.extend').primitive, (f, g)))
                for j in (0, 1):
                    _define_linear(traced[j], pair[j], pair[1 - j])
            return traced[i](x, *fixed)
        return linear
    pair = call(0), call(1)
    return pair


def _define_linear(primitive, f, adjoint):
    extend = import_module('autograd.extend')
    extend.defvjp(primitive, lambda ans, x, *fixed: lambda y: adjoint(y, *fixed), argnums=(0,))
    extend.defjvp(primitive, lambda y, ans, x, *fixed: f(y, *fixed), argnums=(0,))
