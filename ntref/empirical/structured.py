"""Structured derivatives: the tangent kernel without Jacobians, from what each operation does to its parameters.

One backward pass for each entry of the output of one example serves all examples, down to the operations that
parameters enter. There a Jacobian is a sum of products,

    J[n, o, (s, a, b)] = sum_p h[n, p, s, a] g[n, o, p, s, b],

for inputs h of the operation and cotangents g of its output (p: positions that share the weights, a: summed by the
operation, b: its channels, s: axes of weights that both have), and the kernel is

    sum_{p, p', s} (sum_a h h') (sum_b g g'),

or J J' where that is cheaper. Derivation: docs/theory/empirical.md.
"""
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, product
from typing import Any, NamedTuple

import numpy

from ..in_place import add_at
from ..on_either import zeros
from .cost import CALL, ENTRY, OperationCount
from .jacobian import jacobian_cost, jacobian_ntk
from .pairing import Pairing, interleaved, kept, sums
from .plan import plans
from .side import Side

__all__ = ['structured_cost', 'structured_ntk']


# ------------------------------------------------------------------ contraction

def groups(parts):
    """Group the parts whose weights have parameters in common: [(parameters, numbers of the parts)]."""
    found = []
    for i, part in enumerate(parts):
        met = [group for group in found if group[0] & part.weight.roots]
        found = [group for group in found if group not in met]
        roots = part.weight.roots.union(*(roots for roots, _ in met))
        numbers = sorted(sum((numbers for _, numbers in met), [i]))
        found.append((roots, numbers))
    return found


def is_plain(parts):
    """True if all parts use the same entries in the same way, each entry once, with one factor."""
    first = parts[0]

    def is_like_first(part):
        weight = part.weight
        is_simple = weight.is_apart and numpy.ndim(weight.factor) == 0
        return is_simple and part.roles == first.roles and weight.is_like(first.weight)
    return all(map(is_like_first, parts))


def joined(parts, gs):
    """Return h and g of several uses of the same weights as one use with more positions."""
    hs = []
    for part, g in zip(parts, gs):
        h = part.h
        if h is None:
            h = zeros(g, (len(g), *g.shape[2:4], part.size('a'))) + 1
        hs.append(part.scale * part.weight.factor * h)
    if len(parts) == 1:
        return hs[0], gs[0]
    return numpy.concatenate(hs, 1), numpy.concatenate(gs, 2)


def jacobian_of(h, g):
    """J (n, entries, S, A, B) = sum_p h g."""
    n, entries, p, s, b = g.shape
    if p == h.shape[-1] == 1:
        return h[:, None, 0, ..., None] * g[:, :, 0, :, None]
    left = h.transpose(0, 2, 3, 1)
    right = g.transpose(0, 3, 2, 1, 4).reshape(n, s, p, entries * b)
    J = left @ right
    return J.reshape(n, s, -1, entries, b).transpose(0, 3, 1, 2, 4)


def scattered(parts, gs, ids):
    """Return the Jacobian (n, entries, ids) with respect to the entries `ids` of parameters, summed over their uses."""
    n, entries = gs[0].shape[:2]
    J = zeros(gs[0], (n * entries, ids.size))
    offsets = numpy.zeros(ids.max() + 1, int)
    offsets[ids] = numpy.arange(ids.size)
    for part, g in zip(parts, gs):
        h, g = joined([replace(part, weight=part.weight._replace(factor=1.))], [g])
        order = [label for role in 'sab' for label in part.labels(role)]
        lengths = [part.sizes[label] for label in order]
        own = jacobian_of(h, g).reshape(n * entries, *lengths)
        own = own.transpose([0] + [1 + order.index(label) for label in part.use.weight])
        for where, own in part.weight.pulled(own):
            where = where.ravel()
            own = own.reshape(n * entries, -1)
            if part.weight.is_apart:
                J[:, offsets[where]] += own
            else:
                is_entry = where >= 0
                add_at(J, (slice(None), offsets[where[is_entry]]), own[:, is_entry])
    return J.reshape(n, entries, ids.size)


def cost(h1, h2, g1, g2, rows):
    """Return the operations of both contractions: (by Jacobians, by products of inputs and of cotangents)."""
    n, entries, p, s, b = g1.shape
    m, others, q = g2.shape[:3]
    a = h1.shape[-1]
    forming = (n * entries * p + m * others * q) * s * a * b
    by_jacobians = forming + rows.pairs * s * a * b
    by_products = p * q * s * (n * m * a + rows.pairs * (b + 1))
    return by_jacobians, by_products


class Rows(NamedTuple):
    """A Pairing of outputs, rewritten for rows (n, *shape of one example's output)."""
    pairing: Any
    trace: tuple
    diagonal: tuple
    shape1: tuple
    shape2: tuple
    axis: Any

    @classmethod
    def of(cls, pairing, axis, ns):
        """Return the Rows for a Pairing; `axis` is that of the examples in the output, None if all are one example."""
        trace = tuple(a + 1 for a in pairing.trace if a != axis)
        diagonal = tuple(a + 1 for a in pairing.diagonal if a != axis)
        shapes = []
        for n, shape in zip(ns, (pairing.shape1, pairing.shape2)):
            alone = [1 if a == axis else m for a, m in enumerate(shape)]
            shapes.append((n, *alone))
        if axis is None:
            return cls(pairing, trace, (0, *diagonal), *shapes, axis)
        if axis in pairing.trace:
            trace += (0,)
        diagonal += (axis + 1,)
        if axis in pairing.diagonal:
            diagonal += (0,)
        return cls(pairing, trace, diagonal, *shapes, axis)

    @property
    def pairs(self):
        return self.pairing.pairs

    def natural(self, k):
        """Return the kernel in the axes of the outputs, from the result of `sums` for rows."""
        k = interleaved(k, len(self.shape1), self.trace, self.diagonal)
        if self.axis is None:
            return k[0]
        moved = _times(0, self)
        place = moved + sum(_times(a, self.pairing) for a in range(self.axis))
        k = k.reshape(k.shape[:place] + k.shape[place + 1:])
        return numpy.moveaxis(k, range(moved), range(place - moved, place))


def _times(axis, pairing):
    """Return how often a kernel has this axis of the outputs: not if it is traced, once, or twice."""
    if axis in pairing.trace:
        return 0
    return 1 if axis in pairing.diagonal else 2


class Total:
    """The sum of J J' over parameters, for a Pairing of the rows (n, *shape of one output), in the layout of `sums`.

    Products of the same cotangents are computed once, and multiplied by the sum of all products of inputs.
    """

    def __init__(self, rows):
        self.rows = rows
        self.total = None
        self.known = {}
        self.trace = tuple(axis for axis in rows.trace if axis)
        self.is_traced = 0 in rows.trace
        s = len(rows.shape1)
        self.diagonal = (*rows.diagonal, *(0,) * self.is_traced, s)
        once, free = kept(s + 1, self.trace, self.diagonal)
        self.once = len(once)
        self.free = len(free)

    def add(self, k):
        """Add k to the running total in place; the caller gives up ownership of k."""
        self.total = k if self.total is None else _into(self.total, numpy.add, k)

    def jacobians(self, J1, J2):
        """Add J J' for J (n, entries, parameters)."""
        left = J1.reshape(*self.rows.shape1, -1)
        right = left if J2 is J1 else J2.reshape(*self.rows.shape2, -1)
        self.add(sums(left, right, self.rows.trace, self.rows.diagonal))

    def factors(self, h1, g1, h2, g2, key):
        """Add the sum over the weights of J J', for J = sum_p h g; `key` identifies the cotangents."""
        by_jacobian, by_products = cost(h1, h2, g1, g2, self.rows)
        if by_jacobian <= by_products:
            J1 = jacobian_of(h1, g1)
            is_same = g2 is g1 and h2 is h1
            self.jacobians(J1, J1 if is_same else jacobian_of(h2, g2))
            return
        for p, q in product(range(h1.shape[1]), range(h2.shape[1])):
            left = g1[:, :, p]
            right = left if g2 is g1 and p == q else g2[:, :, q]
            self.products(h1[:, p], h2[:, q], left, right, (*key, p, q))

    def products(self, h1, h2, g1, g2, key):
        """Add sum_s (sum_a h1 h2) (sum_b g1 g2), for one position of each side."""
        if 0 in self.diagonal:
            inputs = sums(h1, h2, (), (0, 1))                                   # (n, s)
            once = (1,) * (self.once - 2)
            free = (1,) * (2 * self.free)
            inputs = inputs.reshape(len(h1), *once, h1.shape[1], *free)
        else:
            inputs = sums(h1, h2, (), (1,))                                     # (s, n, n')
            once = (1,) * (self.once - 1)
            free = (1,) * (self.free - 1)
            inputs = inputs.reshape(*once, h1.shape[1], len(h1), *free, len(h2), *free)
        if key in self.known:
            k, others = self.known[key]
            self.known[key] = k, others + inputs
        else:
            left = g1.reshape(*self.rows.shape1, *g1.shape[2:])
            right = left if g2 is g1 else g2.reshape(*self.rows.shape2, *g2.shape[2:])
            self.known[key] = sums(left, right, self.trace, self.diagonal), inputs

    def sum(self):
        """Return the sum, or None if nothing was added."""
        for k, inputs in self.known.values():
            k = _into(k, numpy.multiply, inputs)
            s = self.once - 1
            if k.shape[s] == 1:
                k = k.reshape(k.shape[:s] + k.shape[s + 1:])
            else:
                k = k.sum(s)
            self.add(k.sum(0) if self.is_traced else k)
        return self.total


def _into(k, f, other):
    return f(k, other, out=k if k.dtype == other.dtype else None)


def kernel_of(first, second, starts, rows):
    """Return the sum over all parameters that have rules, or None; `first` and `second` are [(part, cotangents)]."""
    total = Total(rows)
    is_same = second is first
    for roots, numbers in groups([part for part, _ in first + second]):
        used1 = [first[i] for i in numbers if i < len(first)]
        used2 = [second[i - len(first)] for i in numbers if i >= len(first)]
        if not used1 or not used2:
            continue
        if is_plain([part for part, _ in used1 + used2]):
            h1, g1 = joined(*zip(*used1))
            h2, g2 = (h1, g1) if is_same else joined(*zip(*used2))
            is_single = len(used1) == len(used2) == 1
            key = (id(g1), id(g2)) if is_single else (numbers[0],)
            total.factors(h1, g1, h2, g2, key)
        else:
            entries = [numpy.arange(starts[i], starts[i + 1]) for i in sorted(roots)]
            there = numpy.concatenate(entries)
            if not there.size:
                continue
            J1 = scattered(*zip(*used1), there)
            J2 = J1 if is_same else scattered(*zip(*used2), there)
            total.jacobians(J1, J2)
    return total.sum()


# ------------------------------------------------------------------ all together

def structured_ntk(first: Side, second: Side, pairings: Sequence[Pairing]) -> list[numpy.ndarray]:
    """Return the tangent kernel of each output."""
    plan1, plan2 = plans(first, second)
    starts = [0, *accumulate(a.size for a in first.values)]
    rest: list[numpy.ndarray | None] = [None] * len(pairings)
    if plan1.others:
        rest = [*jacobian_ntk(first, second, pairings, sorted(plan1.others))]
    kernels = []
    for k, (pairing, kernel) in enumerate(zip(pairings, rest)):
        axis = None if first.inputs is None else first.outputs[k]
        rows = Rows.of(pairing, axis, (first.n, second.n))
        factors1 = plan1.factors(k)
        factors2 = factors1 if plan2 is plan1 else plan2.factors(k)
        total = kernel_of(factors1, factors2, starts, rows)
        if total is not None:
            total = rows.natural(total)
            kernel = total if kernel is None else kernel + total
        if kernel is None:
            kernel = zeros(first.whole.outputs[k], pairing.shape)
        kernels.append(kernel)
    return kernels


def structured_cost(first: Side, second: Side, pairings: Sequence[Pairing]) -> OperationCount:
    """Estimate the OperationCount of `structured_ntk`.

    It has one backward pass for each entry of one example's output, the cheaper contraction for each use, and Jacobians
    of the parameters without rules."""
    plan1, plan2 = plans(first, second)
    both = [(first, plan1)]
    if second is not first:
        both.append((second, plan2))
    operations = sum(plan.operations for _, plan in both)
    entries = 0
    n = sum(side.n for side, _ in both)
    for k, pairing in enumerate(pairings):
        rows = sum(side.whole.outputs[k].size for side, _ in both)
        kept = 2 * pairing.pairs
        most = 0
        for part in plan1.parts:
            p, s, a, b = (part.size(role) for role in 'psab')
            forming = rows * p * s * a * b + pairing.pairs * s * a * b
            products = p * p * s * (first.n * second.n * a + pairing.pairs * (b + 1))
            is_formed = part.weight.steps or forming < products
            operations += CALL + ENTRY * rows * p * s * b + 2 * (forming if is_formed else products)
            kept = kept + p * s * (n * a + rows * b)
            most = max(most, rows * s * a * b if is_formed else 0)
        entries = max(entries, kept + most)
    others = sum(first.values[i].size for i in plan1.others)
    rest = OperationCount(0, 0)
    if others:
        share = others / sum(a.size for a in first.values)
        rest = jacobian_cost(first, second, pairings, share)
    bytes = entries * first.values[0].itemsize
    return OperationCount(operations + rest.operations, bytes + rest.bytes)
