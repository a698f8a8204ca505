"""Kernels along a direction in the inputs and in the numbers of layers: forward mode, block by block.

    K + t dK,  Theta + t dTheta,  q + t dq       an `Along` carries both terms of each

    K' = w K + b                 dK' = w dK + dw K + db
    Theta' = K' + w Theta        dTheta' = dK' + w dTheta + dw Theta
    K' = kappa(q, q', K)         dK' = dkappa/dq dq + dkappa/dq' dq' + slope dK,   and so the slope
    Theta' = slope Theta         dTheta' = dslope Theta + slope dTheta

Steps are those of a chain of weights and nonlinearities with an adjoint. Pairs that are not generic are followed one by
one, by autograd (`Recorded`). Derivation: docs/theory/adjoint.md
"""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import isqrt
from typing import Any, Self

from ..arrays import is_on_device, namespace, plain
from ..derivatives import is_traced
from ..duals.geometry import Cov
from ..duals.watched import Watched
from ..engine.cover import ENTRIES, blocks, cuts
from ..engine.device import entries_of_tile
from ..engine.run import in_threads
from ..types import Array
from ..windows import zeros
from .chained import Chain, adjoint_of
from .recorded import input_of_pairs
from .signal import Demand, Signal, shared_signal
from .start import across, channels_last, own_variances
from .tape import replaying

__all__ = ['Along', 'kernels_along']

PAIRS = 2 ** 12        # pairs that are not generic which are followed at a time


@dataclass(frozen=True)
class Along(Chain):
    """K and Theta of each of x1 with each of x2, or of inputs with themselves, and their derivatives.

    Attributes
    ----------
    k, dk, theta, dtheta         arrays (n1, n2), or (n,); theta is None if it is not asked for, 0 before any weights.
    signal1, signal2             as in `Steps`.
    members : tuple              the same of x1 and of x2 with themselves; none if these are inputs with themselves.
    near : list                  where pairs were found that are not generic: masks, or None for nowhere.
    steps : tuple                (k, dk) before this step, after each of the earlier ones.
    """
    k: Any
    dk: Any
    theta: Any
    dtheta: Any
    signal1: Signal
    signal2: Signal
    members: tuple['Along', ...] = ()
    near: list = field(default_factory=list)
    steps: tuple = ()

    @property
    def like(self) -> Array:
        return self.k

    @property
    def has_tangent(self) -> bool:
        return self.theta is not None

    def affine(self, w: Any, b: Any, own: tuple | None = None, sums: Callable | None = None,
               total: Callable | None = None) -> Self:
        if sums:
            raise NotImplementedError
        members = tuple(side.affine(w, b, own) for side in self.members)
        w, dw = _number(w)
        b, db = _number(b)
        n, c = own or (1, 0)
        k = w * self.k + b
        dk = w * self.dk + dw * self.k + db
        theta = dtheta = None
        if self.has_tangent:
            theta = (n * self.k + c if own else k) + w * self.theta
            dtheta = (n * self.dk if own else dk) + w * self.dtheta + dw * self.theta
        return self.but(k=k, dk=dk, theta=theta, dtheta=dtheta, members=members, steps=self._steps)

    def nonlinear(self, dual: Callable, fused: Callable | None = None, fused_generic: Callable | None = None) -> Self:
        if self.members:
            (q1, dq1), (q2, dq2) = self._spread()
            pair = Watched(q1, q2, Cov(self.k), True, near=self.near)
            along = [dq1, dq2, self.dk]
        else:
            pair = Watched.same(self.k)
            along = [self.dk] * 3
        k, slope, pull = adjoint_of(dual, pair)
        dk = sum(bar() * d for bar, d in zip(pull(1., 0.), along))
        theta = dtheta = None
        if self.has_tangent:
            dslope = sum(bar() * d for bar, d in zip(pull(0., 1.), along))
            theta = slope * self.theta
            dtheta = dslope * self.theta + slope * self.dtheta
        members = tuple(side.nonlinear(dual) for side in self.members)
        return self.but(k=k, dk=dk, theta=theta, dtheta=dtheta, members=members, steps=self._steps)

    @property
    def _steps(self):
        return () if self.members else (*self.steps, (self.k, self.dk))

    @property
    def tape(self):
        """(q, dq) after every step, of inputs with themselves."""
        return *self.steps, (self.k, self.dk)

    def _spread(self):
        """Return (q, dq) of x1 and of x2 in the shape of K, so that an adjoint does not sum over pairs."""
        xp = namespace(self.k)
        left, right = self.members
        return [[xp.broadcast_to(a, self.k.shape) for a in (q, dq)] for q, dq in (
            (left.k[:, None], left.dk[:, None]), (right.k[None], right.dk[None]))]


def kernels_along(layer_of: Callable, numbers: list, inputs: tuple, along: tuple, signals: tuple[Signal, Signal],
                  demand: Demand, names: tuple[str, ...]) -> Array | None:
    """Return the derivative of the kernels `names`, side by side if there are several; None: not by these steps.

    Parameters
    ----------
    layer_of : callable     numbers -> the network with these numbers in the places of those that are followed.
    numbers : list          (number, its derivative) of each.
    inputs : tuple          x1 and x2; x2 is None if it is x1.
    along : tuple           their derivatives; None: 0.
    signals, demand         as in `in_parts`.
    """
    if inputs[0].ndim > 2:
        return None
    sides = [[None if a is None else channels_last(a, demand.axes.of(2)) for a in pair]
             for pair in zip(inputs, along) if pair[0] is not None]
    layer = layer_of([_followed(a if getattr(a, 'ndim', 0) else plain(a), da) for a, da in numbers])
    theta = 0 if 'ntk' in names else None
    try:
        return _together(layer, sides, signals, demand, names, theta)
    except NotImplementedError:
        return None


def _together(layer, sides, signals, demand, names, theta):
    """Return the derivatives of all blocks."""
    xp = namespace(sides[0][0])
    symmetric = len(sides) == 1
    a, b = sides[0], sides[-1]
    out = zeros(a[0], (len(names), len(a[0]), len(b[0])))
    side = max(1, isqrt(entries_of_tile(a[0], ENTRIES) // 4))
    rows = cuts(len(a[0]), side)
    signals = shared_signal(*signals)

    def part(x, at):
        return [None if c is None else c[at] for c in x]

    def write(job):
        i, j = job
        k = layer.propagate(_input(part(a, i), part(b, j), signals, demand, theta, symmetric and i == j))
        rows, columns = _near_pairs(k)
        for start in range(0, len(rows), PAIRS):
            here = rows[start:start + PAIRS], columns[start:start + PAIRS]
            pairs = _of_pairs(layer, part(part(a, i), here[0]), part(part(b, j), here[1]), k, here, signals, demand)
            k.dk[here], slope = pairs
            if k.has_tangent:
                k.dtheta[here] = slope
        for to, name in zip(out, names):
            d = dict(nngp=k.dk, ntk=k.dtheta)[name]
            to[i, j] = d
            if symmetric:
                to[j, i] = d.T
    threads = 1 if is_on_device(a[0]) else None
    in_threads(write, blocks(rows) if symmetric else blocks(rows, cuts(len(b[0]), side)), threads)
    if symmetric:
        own = layer.propagate(_own(a, signals[0], theta))
        every = xp.asarray(range(len(a[0])))
        for to, name in zip(out, names):
            to[every, every] = dict(nngp=own.dk, ntk=own.dtheta)[name]
    return out if len(names) > 1 else out[0]


def _input(a, b, signals, demand, theta, is_diagonal):
    """Return each of a with each of b, pairs (x, dx); inputs with themselves are set to 0 and found apart."""
    (x1, dx1), (x2, dx2) = a, b
    c = x1.shape[-1]
    k = across(x1, x2, replace(demand, gap=False, area=False)).k
    dk = 0 * k
    if dx1 is not None:
        dk += dx1 @ x2.T / c
    if dx2 is not None:
        dk += x1 @ dx2.T / c
    if is_diagonal:
        every = range(len(k))
        k[every, every] = 0
    members = tuple(_own(x, signal, None) for x, signal in zip((a, b), signals))
    return Along(k, dk, theta, theta, *signals, members)


def _near_pairs(k):
    """Return the rows and the columns of pairs that are not generic."""
    masks = [mask for mask in k.near if mask is not None]
    if not masks:
        return (), ()
    return namespace(k.k).nonzero(sum(masks[1:], masks[0]))


def _of_pairs(layer, a, b, k, places, signals, demand):
    """Return dK and dTheta of pairs of inputs (x, dx), which autograd follows with their gap."""
    left, right = ([_followed(q[at], dq[at]) for q, dq in side.tape] for side, at in zip(k.members, places))
    start = input_of_pairs(
        _followed(*a), _followed(*b), lambda c: c, replaying(left, right), signals, demand, k.has_tangent, False)
    end = layer.propagate(start).finished()
    return _number(end.nngp)[1], _number(end.ntk)[1]


def _own(x, signal, theta):
    """Return inputs x, dx with themselves."""
    x, dx = x
    k = own_variances(x)
    dk = 0 * k if dx is None else 2 * (x * dx).sum(-1) / x.shape[-1]
    return Along(k, dk, theta, theta, signal, signal)


def _followed(number, along):
    """Return a number or an array that autograd follows from here in forward mode, unless along is None."""
    if along is None:
        return number
    import_module('autograd.numpy')                          # which registers what arrays are boxed in
    tracer = import_module('autograd.tracer')
    core = import_module('autograd.core')
    return tracer.new_box(number, 0, core.JVPNode.new_root(along))


def _number(a):
    """Return the value of a number and its derivative."""
    return (a._value, a._node.g) if is_traced(a) else (a, 0)
