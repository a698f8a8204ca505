"""Gradients of kernels, block by block: what autograd would trace over whole arrays is computed again in each block.

    loss(K, Theta),  g = dloss/dK, dloss/dTheta      given
    xbar = dloss/dx,  and of the numbers of layers   wanted

Three passes, each on threads. Inputs with themselves leave their variances after every step on a tape. Blocks of x1
against x2 (`Recorded`) read them there, and give cotangents of K at the input, of the numbers and of these variances.
Then inputs with themselves go back from the cotangents of all variances. Derivation: docs/theory/adjoint.md
"""
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import isqrt, prod
from threading import Lock
from typing import Any

from ..arrays import namespace
from ..derivatives import is_traced
from ..duals.pair import Cov
from ..engine.cover import ENTRIES, blocks, cuts
from ..engine.run import in_threads
from ..types import Array
from ..windows import zeros
from .positions import swapped
from .recorded import input_of_block, input_of_own, input_of_pairs, own_cov, replaying
from .signal import Demand, Signal
from .start import channels_last, own_variances

__all__ = ['Backward', 'differentiable_kernels']

MOST = 1 / 8         # share of pairs that are not generic above which a block carries gaps: measured
NUMBERS = 2 ** 20    # numbers that inputs taken pair by pair may hold at a time


# ------------------------------------------------------------------ leaves and ends

def boxed(value: Any) -> Any:
    """Return `value` as a leaf, which autograd follows from here.

    Autograd's own count of open traces is one for all threads; leaves made here do not need it.
    """
    tracer = import_module('autograd.tracer')
    core = import_module('autograd.core')
    import_module('autograd.numpy')
    return tracer.new_box(value, 0, core.VJPNode.new_root())


def pulled(ends: Sequence[tuple[Any, Any]], leaves: Sequence[Any]) -> list[Any]:
    """Return the cotangents of the leaves, None for those not reached, from (value, its cotangent) of the ends."""
    core = import_module('autograd.core')
    tracer = import_module('autograd.tracer')
    ends = [(end, g) for end, g in ends if is_traced(end)]
    last = _End([end._node for end, _ in ends])
    cotangents: dict[Any, Any] = {last: ([g for _, g in ends], False)}
    found = {leaf._node: None for leaf in leaves}
    for node in tracer.toposort(last):
        g, _ = cotangents.pop(node)
        if node in found:
            found[node] = g
        for parent, part in zip(node.parents, node.vjp(g)):
            cotangents[parent] = core.add_outgrads(cotangents.get(parent), part)
        node.vjp = None                                      # frees the arrays of this step
    return [found[leaf._node] for leaf in leaves]


class _End:
    """The node behind all ends."""

    def __init__(self, parents):
        self.parents = parents
        self.vjp = iter


# ------------------------------------------------------------------ the function that autograd sees

def differentiable_kernels(call: Any, x1: Any, x2: Any, *numbers: Any) -> Any:
    """Return call.values(x1, x2, *numbers), with derivatives.

    `call` has three functions of x1, x2 and the numbers: `values`, the kernel; `whole`, the same for autograd to trace
    over whole arrays, for derivatives in forward mode and of second order; `backward`, for first ones.
    """
    return _primitive()(call, x1, x2, *numbers)


@cache
def _primitive():
    """Return the one autograd primitive of all kernels; one for each call would stay in autograd's tables for ever."""
    extend = import_module('autograd.extend')
    core = import_module('autograd.core')
    kernels = extend.primitive(lambda call, *x: call.values(*x))

    def varied(args, argnums):
        """Return the kernel as a function of the tuple of the arguments `argnums`, for autograd to trace."""
        call = args[0]

        def f(values):
            x = list(args)
            for i, argnum in enumerate(argnums):
                x[argnum] = values[i]
            return call.whole(*x[1:])
        return f

    def vjp(argnums, ans, args, kwargs):
        call, *x = args

        def pull(g):
            if is_traced(g) or any(map(is_traced, x)):
                with warnings.catch_warnings():
                    warnings.filterwarnings('ignore', 'Output seems independent')
                    back, _ = core.make_vjp(varied(args, argnums), tuple(args[argnum] for argnum in argnums))
                return tuple(back(g))
            found = call.backward(*x).gradients(g, 1 in argnums, 2 in argnums)
            return tuple(found[argnum - 1] for argnum in argnums)
        return pull

    def jvp(argnums, gs, ans, args, kwargs):
        f = varied(args, argnums)
        along = core.make_jvp(lambda t: f([args[argnum] + t * g for argnum, g in zip(argnums, gs)]), 0.)
        return along(1.)[1]
    extend.defvjp_argnums(kernels, vjp)
    extend.defjvp_argnums(kernels, jvp)
    return kernels


# ------------------------------------------------------------------ the passes

@dataclass(frozen=True)
class Backward:
    """What a gradient is taken of: the kernels `names` of x1 and x2 (None: x1 again).

    Attributes
    ----------
    layer_of : callable       numbers -> the network with these numbers in the places of those that are followed.
    numbers : list            these numbers.
    x1, x2 : arrays           inputs; x2 is None if it is x1.
    signals, demand, names    as in `in_parts`.
    """
    layer_of: Callable
    numbers: list
    x1: Any
    x2: Any
    signals: tuple[Signal, Signal]
    demand: Demand
    names: tuple[str, ...]

    def gradients(self, g: Array, in_x1: bool, in_x2: bool) -> list:
        """Return the gradients in x1, in x2 (None where they are not asked for) and in each of the numbers.

        g is the cotangent of the kernel, or of the kernels side by side, (names, n1, n2, *S), if there are several.
        """
        return _Passes(self, [g] if len(self.names) == 1 else list(g), (in_x1, in_x2)).run()


class _Passes:
    """The passes of one gradient, with the sums that blocks add to."""

    def __init__(self, of, cotangents, wanted):
        self.of = of
        self.symmetric = of.x2 is None
        self.sides = [channels_last(x, of.demand.axes.of(x.ndim)) for x in (of.x1, of.x2) if x is not None]
        self.wanted = wanted[:len(self.sides)]
        self.g = [g.astype(of.x1.dtype, copy=False) for g in cotangents]
        self.has_positions = of.x1.ndim > 2
        self.between = self.has_positions and of.demand.paired
        self.xp = namespace(of.x1)
        self.numbers = [0.] * len(of.numbers)
        self.bars = [zeros(x, x.shape) for x in self.sides]
        self.adding = Lock()

    def run(self):
        """Return the gradients in x1, in x2 and in the numbers."""
        a, b = self.sides[0], self.sides[-1]
        members = 2 if self.of.demand.paired else 1
        self.size = max(1, (ENTRIES if self.has_positions else ENTRIES // 2) // prod(a.shape[1:-1]) ** members)
        self.q = [] if self.has_positions else list(map(self._lengths, self.sides))
        both = [self._variances(i) for i in range(len(self.sides))]
        self.steps = [steps for steps, _ in both]
        self.paired = both[0][1]
        self.step_bars = [[zeros(q, q.shape) for q in steps] for steps in self.steps]
        self.across = None if self.has_positions else zeros(a, (len(a), len(b)))
        in_threads(self._block, self._jobs(len(a), len(b)))
        in_threads(self._own, [(i, rows) for i, x in enumerate(self.sides) for rows in cuts(len(x), self.size)])
        if not self.has_positions:
            self._add_products(a, b)
        back = [self._as_given(bar, x) if is_wanted else None
                for bar, x, is_wanted in zip(self.bars, (self.of.x1, self.of.x2), self.wanted)]
        return [*back, *[None] * (2 - len(back)), *self.numbers]

    def _lengths(self, x):
        parts = cuts(len(x), max(1, ENTRIES // x.shape[-1]))
        return self.xp.concatenate(in_threads(lambda rows: own_variances(x[rows]), parts))

    def _add_products(self, a, b):
        """Add  xbar = Kbar x' / c + 2 qbar x / c  for the cotangents of K = <x, x'> / c and q = <x, x> / c."""
        kbar = self.across
        sides = [(kbar + kbar.T, a, a)] if self.symmetric else [(kbar, b, a), (kbar.T, a, b)]
        for i, (bar, (kbar, others, x)) in enumerate(zip(self.bars, sides)):
            qbar = 2 * self.step_bars[i][0][:, None]

            def part(rows):
                both = kbar[rows] @ others
                both += qbar[rows] * x[rows]
                both /= x.shape[-1]
                bar[rows] += both
            if self.wanted[i]:
                in_threads(part, cuts(len(x), max(1, min(ENTRIES // x.shape[-1], -(-len(x) // 4)))))

    def _as_given(self, bar, x):
        axes = self.of.demand.axes.of(x.ndim)
        return self.xp.moveaxis(bar, (0, -1), (axes.batch, axes.channel))

    def _jobs(self, n1, n2):
        """Return the blocks (rows, columns); with x2 = x1 those above the diagonal, and squares on it."""
        if not self.symmetric:
            size = max(1, min(self.size, n1 * n2 // 4))
            height = min(n1, isqrt(size))
            return blocks(cuts(n1, height), cuts(n2, size // height))
        squares = blocks(cuts(n1, max(1, isqrt(self.size))))
        return [job for i, j in squares for job in (_above(i, self.size // 4) if i == j else [(i, j)])]

    # -------------------------------------------------------------- inputs with themselves

    def _variances(self, side):
        """Return the variances of all inputs after each step, and whether positions are paired at the end."""
        signal = self.of.signals[side]
        layer = self.of.layer_of(self.of.numbers)

        def part(rows):
            for is_generic in (True, False) if self.between else (False,):
                steps: list = []
                start = input_of_own(self._own_cov(side, rows, is_generic), steps, signal, self.of.demand, False,
                                     is_generic)
                k = layer.propagate(start)
                if all(near is None for near in k.near):
                    break
            return steps, k.paired and k.nngp.ndim > 1
        parts, paired = zip(*in_threads(part, cuts(len(self.sides[side]), self.size)))
        return [self.xp.concatenate(q) for q in zip(*parts)], paired[0]

    def _own_cov(self, side, rows, is_generic, boxed=lambda a: a):
        """Return the Cov of inputs with themselves, made of leaves `boxed`: the inputs, or their mean squares."""
        if self.has_positions:
            return own_cov(boxed(self.sides[side][rows]), self.of.demand, is_generic)
        return Cov(boxed(self.q[side][rows]))

    def _own(self, job):
        """Go back through inputs with themselves, from the cotangents of all variances and of the diagonal."""
        side, rows = job
        if not self.between or not self._pulled_own(side, rows, is_generic=True):
            self._pulled_own(side, rows, is_generic=False)

    def _pulled_own(self, side, rows, is_generic):
        """Go back through inputs with themselves; return False if pairs of positions are not as generic as said."""
        numbers = list(map(boxed, self.of.numbers))
        start: list = []

        def leaf(a):
            start.append(boxed(a))
            return start[-1]
        steps: list = []
        ntk = self.symmetric and 'ntk' in self.of.names
        cov = self._own_cov(side, rows, is_generic, leaf)
        k = input_of_own(cov, steps, self.of.signals[side], self.of.demand, ntk, is_generic)
        k = self._finished(numbers, k)
        if any(near is not None for near in k.near):
            return False
        ends = list(zip(steps, (q[rows] for q in self.step_bars[side])))
        if self.symmetric:
            i = range(rows.start, rows.stop)
            ends += [(getattr(k, name), g[i, i]) for name, g in zip(self.of.names, self.g)]
        bar, *found = pulled(ends, [*start, *numbers])
        with self.adding:
            if self.has_positions:
                self._add_at(self.bars[side], rows, bar)
            else:
                self.step_bars[side][0][rows] = bar
            self._add_numbers(found)
        return True

    def _finished(self, numbers, start):
        k = self.of.layer_of(numbers).propagate(start).computed().finished()
        return k.aligned() if self.of.demand.diagonal else k

    # -------------------------------------------------------------- pairs of inputs

    def _block(self, job):
        """Go back through a block of pairs; those that are not generic follow one by one, or all of them if many."""
        i, j = job
        g = [self._cotangent(g, i, j) for g in self.g]
        near = self._pulled_block(i, j, g, is_generic=True)
        if near is None:
            return
        if near.sum() > MOST * near.size:
            self._pulled_block(i, j, g, is_generic=False)
            return
        rows, columns = self.xp.nonzero(near)
        step = max(1, NUMBERS // max(prod(self.sides[0].shape[1:]), prod(g[0].shape[2:])))
        for part in cuts(len(rows), step):
            here = rows[part], columns[part]
            self._pulled_pairs(here[0] + i.start, here[1] + j.start, [c[here] for c in g])

    def _cotangent(self, g, i, j):
        """Return the cotangent of a block; with x2 = x1 that of its mirror image is added."""
        if not self.symmetric:
            return g[i, j]
        mirrored = self.xp.moveaxis(g[j, i], 0, 1)
        both = g[i, j] + (swapped(mirrored, 2) if self.paired else mirrored)
        if i != j:
            return both
        rows = self.xp.asarray(range(len(both)))
        is_above = (rows[:, None] < rows).reshape(len(both), len(both), *[1] * (both.ndim - 2))
        return self.xp.where(is_above, both, 0)

    def _pulled_block(self, i, j, g, is_generic):
        """Go back through a block; return which pairs that matter are left out, as bools (n1, n2), or None."""
        a, b = self.sides[0][i], self.sides[-1][j]
        leaves, k = self._recorded(a, b, i, j, 2, is_generic)
        near = _any_of(k.near)
        if near is not None:
            left_out = near.reshape(*near.shape, *[1] * (g[0].ndim - 2))
            near = near & _any_of([c != 0 for c in g])
            if near.sum() > MOST * near.size:
                return near
            g = [self.xp.where(left_out, 0, c) for c in g]
        self._add(i, j, k, g, leaves)
        return near

    def _pulled_pairs(self, i, j, g):
        """Go back through the pairs x1[i], x2[j], one by one."""
        leaves, k = self._recorded(self.sides[0][i], self.sides[-1][j], i, j, 1, False)
        self._add(i, j, k, g, leaves)

    def _recorded(self, a, b, i, j, batch_axes, is_generic):
        """Return the leaves of a block and the block after the network."""
        numbers = list(map(boxed, self.of.numbers))
        q1 = [boxed(q[i]) for q in self.steps[0]]
        q2 = [boxed(q[j]) for q in self.steps[-1]]
        keeps_k = is_generic and not self.has_positions         # its cotangents are multiplied by x in the end
        start: list = []

        def leaf(c):
            start.append(boxed(c))
            return start[-1]
        inputs = []
        if not keeps_k:
            a, b = (boxed(x) if is_wanted else x for x, is_wanted in zip((a, b), (self.wanted[0], self.wanted[-1])))
            inputs = [a, b]
        block = input_of_block if batch_axes == 2 else input_of_pairs
        arguments = [is_generic] if batch_axes == 2 else []
        k = block(a, b, leaf, replaying(q1, q2), self.of.signals, self.of.demand, 'ntk' in self.of.names, *arguments)
        k = self._finished(numbers, k)
        return (inputs, start[:1] if keeps_k else [], q1, q2, numbers), k

    def _add(self, i, j, k, g, leaves):
        """Add what a block gives to the sums."""
        inputs, start, q1, q2, numbers = leaves
        followed = [x for x in inputs if is_traced(x)]
        ends = [(getattr(k, name), c) for name, c in zip(self.of.names, g)]
        found = iter(pulled(ends, [*followed, *start, *q1, *q2, *numbers]))
        with self.adding:
            for x, side, rows in zip(inputs, (0, -1), (i, j)):
                if is_traced(x):
                    self._add_at(self.bars[side], rows, next(found))
            if start:
                self.across[i, j] = next(found)
            for q, side, rows in ((q1, 0, i), (q2, -1, j)):
                for bar in self.step_bars[side][:len(q)]:
                    self._add_at(bar, rows, next(found))
            self._add_numbers(list(found))

    def _add_at(self, bar, rows, g):
        if g is None:
            return
        if isinstance(rows, slice):
            bar[rows] += g
        else:
            _add_repeated(bar, rows, g)

    def _add_numbers(self, found):
        self.numbers = [total if g is None else total + g for total, g in zip(self.numbers, found)]


def _above(rows, least):
    """Return blocks that cover the pairs i < j of a slice of rows; squares on the diagonal have up to `least` pairs."""
    n = rows.stop - rows.start
    if n < 2 or n * n <= least:
        return [(rows, rows)] if n > 1 else []
    middle = rows.start + n // 2
    first = slice(rows.start, middle)
    second = slice(middle, rows.stop)
    return [(first, second), *_above(first, least), *_above(second, least)]


def _add_repeated(bar, rows, g):
    """Add g[m] to bar[rows[m]], for rows that may repeat."""
    for row, part in zip(rows, g):
        bar[row] += part


def _any_of(masks):
    """Return for which pairs of inputs (n1, n2) any of the masks is True at any positions, or None for no pair."""
    found = [mask.reshape(*mask.shape[:2], -1).any(-1) for mask in masks if mask is not None]
    return sum(found[1:], found[0]) if found else None
