r"""Adjoints of the duals that are used most, for generic pairs: closed forms, in few passes over memory.

For K' and slope as functions of q, q', K, and cotangents g of K' and h of the slope,

    Kbar = g dK'/dK + h dslope/dK,    qbar = sum over the other side of  g dK'/dq + h dslope/dq,    qbar' likewise,

where dK'/dK is the slope (Price's theorem). Each function has the values of its dual in `ntref.duals`, which hands
`Watched` pairs on to it. Derivation: docs/theory/adjoint.md
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, wraps
from importlib import import_module
from typing import Any, TypeVar

from ..arrays import namespace, untraced
from ..derivatives import is_traced
from ..types import Number
from .angle import complement_of
from .geometry import Cov, over
from .pair import Dual, Pair

__all__ = ['Watched', 'abrelu', 'erf', 'gelu', 'with_adjoint']

MIN_ANGLE = {4: .2, 8: .01}       # smallest angle, from K alone, whose derivatives are right; by the bytes of a number

Function = TypeVar('Function', bound=Callable)


@dataclass(frozen=True)
class Watched(Pair):
    """Generic pairs that autograd follows, with a list `near` of masks: where pairs were found not to be generic."""
    near: list = field(default_factory=list)

    def watch(self, theta: Any) -> Any:
        """Return where angles are too near 0 or pi for K alone, as bools, or None if nowhere; note it in `near`."""
        least = MIN_ANGLE[theta.dtype.itemsize]
        most = self.xp.pi - least
        is_generic = not theta.size or least < theta.min() and theta.max() < most
        near = None if is_generic else (theta <= least) | (theta >= most)
        self.near.append(near)
        return near

    def watched(self, dual: Callable[[Pair], Dual]) -> Dual:
        """Return dual(self), once the pairs were watched, by the dual itself or here."""
        seen = len(self.near)
        cov, slope = dual(self)
        if len(self.near) == seen:
            self.watch(self.numbers.theta)
        return cov, slope


def with_adjoint(adjoint: Callable[..., Dual]) -> Callable[[Function], Function]:
    """Decorate a dual: `Watched` pairs take its closed-form adjoint, unless autograd follows its parameters."""
    def decorated(dual):
        @wraps(dual)
        def call(p, *parameters):
            is_stated = isinstance(p, Watched) and not any(map(is_traced, parameters))
            return (adjoint if is_stated else dual)(p, *parameters)
        return call
    return decorated


@cache
def _stated():
    """Return the autograd primitive ((value, back), q, q', K) -> value, for back: g -> cotangents of q, q', K."""
    extend = import_module('autograd.extend')
    stated = extend.primitive(lambda rule, *x: rule[0])

    def vjp(argnums, ans, args, kwargs):
        _, back = args[0]

        def pulled(g):
            found = back(g)
            return tuple(found[argnum - 1] for argnum in argnums)
        return pulled
    extend.defvjp_argnums(stated, vjp)
    return stated


def _followed(p, value, back):
    """Return `value` as a function of q, q', K of the pairs whose pullback is `back`."""
    return _stated()((value, back), p.q1, p.q2, p.k)


def _onto(g, q):
    """Return g summed over the axes along which q is broadcast."""
    axes = tuple(axis for axis in range(g.ndim) if q.shape[axis] < g.shape[axis])
    return namespace(g).sum(g, axes, keepdims=True) if axes else g


def abrelu(p: Watched, a: Number, b: Number) -> Dual:
    """K' = slope K + e A,  slope = c - e theta,  c = (a^2 + b^2) / 2,  e = (a - b)^2 / (2 pi).

    dK'/dq = e A / (2 q),  dslope/dK = e / A,  dslope/dq = -e K / (2 q A)
    """
    xp = namespace(untraced(p.k))
    q1, q2, k = map(untraced, (p.q1, p.q2, p.k))
    c = (a * a + b * b) / 2
    e = (a - b) ** 2 / (2 * xp.pi)
    area = q1 * q2
    area -= k * k
    area = xp.sqrt(xp.maximum(area, 0, out=area), out=area)
    theta = xp.pi / 2 - complement_of(k, area, xp.sqrt(q1), xp.sqrt(q2))
    if not xp.all(area):
        theta[area == 0] = 0                                 # also of variables that are constantly 0: not generic
    near = p.watch(theta)
    slope = theta
    slope *= -e
    slope += c
    value = k * slope
    value += e * area
    if near is not None:
        area[near] = 1                                       # nothing is asked of the derivatives there

    def back(g):
        lean = g * area
        return _half(e, lean, q1), _half(e, lean, q2), g * slope

    def back_of_slope(h):
        steep = h / area
        steep *= e
        lean = steep * k
        return _half(-1, lean, q1), _half(-1, lean, q2), steep
    return Cov(_followed(p, value, back)), _followed(p, slope, back_of_slope)


def _half(c, lean, q):
    return c * over(_onto(lean, q), 2 * q)


def erf(p: Watched, a: Number, b: Number, c: Number) -> Dual:
    """K' = m atan2(2 t K, R) + c^2,  slope = 2 m t / R,  R^2 = D = r r' - (2 t K)^2,  r = 1 + 2 t q.

    With t = b^2 and m = 2 a^2 / pi:
    dK'/dq = -t slope K / r,  dslope/dK = 4 t^2 K slope / D,  dslope/dq = -t r' slope / D
    """
    xp = namespace(untraced(p.k))
    q1, q2, k = map(untraced, (p.q1, p.q2, p.k))
    t = b * b
    m = 2 * a * a / xp.pi
    r1 = 1 + 2 * t * q1
    r2 = 1 + 2 * t * q2
    k = 2 * t * k
    d = r1 * r2
    d -= k * k
    root = xp.sqrt(d)
    value = complement_of(k, root, xp.sqrt(r1), xp.sqrt(r2))
    value *= m
    value += c * c
    slope = 2 * m * t / root
    p.near.append(None)                                      # D is at least 1: no pair is singular

    def back(g):
        gbar = g * slope
        lean = gbar * k
        return -_onto(lean, q1) / (2 * r1), -_onto(lean, q2) / (2 * r2), gbar

    def back_of_slope(h):
        lean = h * slope
        lean /= d
        return -t * _onto(lean * r2, q1), -t * _onto(lean * r1, q2), 2 * t * (lean * k)
    return Cov(_followed(p, value, back)), _followed(p, slope, back_of_slope)


def gelu(p: Watched) -> Dual:
    """K' and slope as in `ntref.duals.gelu`, with x = 1 / (1 + q),  D = R^2 = (1 + q) (1 + q') - K^2:

    dK'/dq     = x / (4 pi R) (D - 1 - q + q' - K^2 (2 x + 1 / D))
    dslope/dK  = (1 + w (1 + K^2 / D) + 2 (K / D)^2) / (2 pi R),  w = 1 / D + x + x'
    dslope/dq  = -K / (2 pi R) (x / 2 + x^2 + (1 + q') (w / 2 + 1 / D) / D)
    """
    xp = namespace(untraced(p.k))
    q1, q2, k = map(untraced, (p.q1, p.q2, p.k))
    x1 = 1 / (1 + q1)
    x2 = 1 / (1 + q2)
    kk = k * k
    d = (1 + q1) * (1 + q2)
    d -= kk
    root = xp.sqrt(d)
    ratio = k / root
    angle = complement_of(k, root, xp.sqrt(1 + q1), xp.sqrt(1 + q2))
    w = 1 / d
    w += x1
    w += x2
    slope = ratio * w
    slope += angle
    slope /= 2 * xp.pi
    slope += 1 / 4
    value = x1 * x2 * ratio
    value += angle
    value *= k
    value += q1 * x1 * (q2 * x2) * root
    value /= 2 * xp.pi
    value += k / 4
    p.near.append(None)                                      # D is at least 1: no pair is singular

    def back(g):
        part = g / root
        bent = part * kk
        even = part * (d - 1) - bent / d
        dq = part * (q2 - q1)
        left = x1 * _onto(even + dq, q1) - 2 * x1 * x1 * _onto(bent, q1)
        right = x2 * _onto(even - dq, q2) - 2 * x2 * x2 * _onto(bent, q2)
        return left / (4 * xp.pi), right / (4 * xp.pi), g * slope
    return Cov(_followed(p, value, back)), _followed(p, slope, _gelu_slope(q1, q2, k, d, w))


def _gelu_slope(q1, q2, k, d, w):
    """Return the pullback of the slope of `gelu`."""
    xp = namespace(k)
    x1 = 1 / (1 + q1)
    x2 = 1 / (1 + q2)

    def back(h):
        part = h / xp.sqrt(d)
        part /= 2 * xp.pi
        ratio = k / d
        kbar = part * (1 + w * (1 + k * ratio) + 2 * ratio * ratio)
        part *= k
        rest = part * (w / 2 + 1 / d) / d
        left = _onto(rest * (1 + q2), q1) + (x1 / 2 + x1 * x1) * _onto(part, q1)
        right = _onto(rest * (1 + q1), q2) + (x2 / 2 + x2 * x2) * _onto(part, q2)
        return -left, -right, kbar
    return back
