"""Pairs that autograd follows, or other gradients, and duals that give them an adjoint in closed form."""
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, wraps
from importlib import import_module
from typing import Any, TypeAlias, TypeVar

from ..arrays import untraced
from ..derivatives import is_traced
from ..types import Array
from .geometry import Cov
from .pair import Dual, Pair

__all__ = ['MIN_ANGLE', 'Adjoint', 'Watched', 'with_adjoint']

MIN_ANGLE = {4: .2, 8: .01}       # smallest angle, from K alone, whose derivatives are right; by the bytes of a number

Function = TypeVar('Function', bound=Callable)
Adjoint: TypeAlias = tuple[Array, Array, Callable]       # K', slope and their pullback


@dataclass(frozen=True)
class Watched(Pair):
    """Pairs that autograd follows: generic ones, or as by `same`.

    The list `near` has masks: where pairs were found not to be generic, or None for nowhere. If there is a list
    `adjoints`, a dual adds what `with_adjoint` found to it, and autograd follows nothing.
    """
    near: list = field(default_factory=list)
    adjoints: list | None = None

    def watch(self, alpha: Any) -> Any:
        """Return where angles are too near 0 or pi for K alone, as bools, or None if nowhere; note it in `near`.

        alpha = pi / 2 - theta.
        """
        most = self.xp.pi / 2 - MIN_ANGLE[alpha.dtype.itemsize]
        is_generic = not alpha.size or -most < alpha.min() and alpha.max() < most
        near = None if is_generic else abs(alpha) >= most
        self.near.append(near)
        return near

    def watched(self, dual: Callable[[Pair], Dual]) -> Dual:
        """Return dual(self), once the pairs were watched, by the dual itself or here."""
        seen = len(self.near)
        cov, slope = dual(self)
        if len(self.near) == seen:
            self.watch(self.xp.pi / 2 - self.numbers.theta)
        return cov, slope


def with_adjoint(adjoint: Callable[..., Adjoint], is_singular: bool = False) -> Callable[[Function], Function]:
    """Decorate a dual: `Watched` pairs take its closed-form adjoint, unless autograd follows its parameters.

    An adjoint that `is_singular` where inputs coincide watches the angles; others need not.
    """
    def decorated(dual):
        @wraps(dual)
        def call(p, *parameters):
            if not isinstance(p, Watched) or any(map(_is_traced, parameters)):
                return dual(p, *parameters)
            if not is_singular:
                p.near.append(None)
            q1 = untraced(p.q1)
            numbers = Watched.same(q1) if p.is_same else Watched(
                q1, untraced(p.q2), Cov(untraced(p.k)), True, near=p.near)
            found = adjoint(numbers, *parameters)
            if p.adjoints is None:
                return _followed(p, *found)
            p.adjoints.append(found)
            return Cov(found[0]), found[1]
        return call
    return decorated


def _is_traced(parameter):
    return any(map(is_traced, parameter)) if isinstance(parameter, tuple) else is_traced(parameter)


def _followed(p, value, slope, back):
    """Return `value` and `slope` as functions of the pairs whose pullback is `back`."""
    rule = _Rule(value, slope, back, p.is_same)
    joint, part = _stated()
    followed = joint(rule, p.q1) if p.is_same else joint(rule, p.q1, p.q2, p.k)
    if not is_traced(followed):
        return Cov(value), slope
    return Cov(part(followed, rule, 0)), part(followed, rule, 1)


class _Rule:
    """Value and slope, with the cotangents of both, which are pulled back together."""

    def __init__(self, value, slope, back, is_same):
        self.parts = value, slope
        self.back = back
        self.is_same = is_same
        self.cotangents = [0, 0]

    def keep(self, g, i):
        """Keep the cotangent of a part; return that of the joint, which stands for both."""
        self.cotangents[i] = g
        return 0.

    def pulled(self, argnums):
        """Return the cotangents of the arguments."""
        bars = self.back(*self.cotangents)
        self.cotangents = [0, 0]
        return (sum(bar() for bar in bars),) if self.is_same else tuple(bars[argnum - 1]() for argnum in argnums)


@cache
def _stated():
    """Return the autograd primitives joint(rule, q, q', K) and part(joint, rule, i) of K' and the slope."""
    extend = import_module('autograd.extend')
    joint = extend.primitive(lambda rule, *x: 0.)
    part = extend.primitive(lambda joint, rule, i: rule.parts[i])
    extend.defvjp_argnums(joint, lambda argnums, ans, args, kwargs: lambda g: args[0].pulled(argnums))
    extend.defvjp(part, lambda ans, joint, rule, i: lambda g: rule.keep(g, i))
    return joint, part
