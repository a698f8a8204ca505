"""Structured derivatives: the tangent kernel without Jacobians, from what each operation does to its parameters.

One pass back for each entry of the output of one example serves all examples, down to the operations that parameters
enter. There a Jacobian is a sum of products,

    J[n, o, (s, a, b)] = sum_p h[n, p, s, a] g[n, o, p, s, b],

for inputs h of the operation and cotangents g of its output (p: positions that share the weights, a: summed by the
operation, b: its channels, s: axes of weights that both have), and the kernel is

    sum_{p, p', s} (sum_a h h') (sum_b g g'),

or J J' where that is cheaper. Derivation: docs/theory/empirical.md.
"""
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, product
from math import prod
from typing import Any, NamedTuple

import numpy

from .jacobian import jacobian_cost, jacobian_ntk
from .pairing import interleaved, kept, sums
from .rules import Weight, use_of, weight_of
from .side import mixing, same

__all__ = ['Plan', 'structured_cost', 'structured_ntk']

log = logging.getLogger('ntref.empirical')


class Differing(Exception):
    """Examples alone and together do not take the same steps, or it cannot be told which axis is theirs."""


@dataclass(frozen=True)
class Part:
    """One use of a weight: roles of its axes ('s', 'a' or 'b'), where its cotangents are, and h (n, P, S, A)."""
    weight: Weight
    node: Any               # of the whole record
    layout: Any             # of the examples in its value
    use: Any
    roles: str
    sizes: dict             # of the labels
    h: Any
    scale: float = 1.       # of the cotangent of the node's own

    def size(self, role):
        return prod(self.sizes[label] for label in self.labels(role))

    def labels(self, role):
        """Of the axes with this role, in the order of the weight ('p': in that of h)."""
        if role == 'p':
            return [label for label in self.use.inner if label in self.use.outer and label not in self.use.weight]
        return [label for label, r in zip(self.use.weight, self.roles) if r == role]

    @cached_property
    def arrangement(self):
        """Of its cotangents: axes that are summed, the order of the others, and the shape (P, S, B)."""
        order = [label for role in 'psb' for label in self.labels(role)]
        summed = tuple(1 + axis for axis, label in enumerate(self.use.outer) if label not in order)
        outer = [label for label in self.use.outer if label in order]
        return (summed, (0, *(1 + outer.index(label) for label in order)), tuple(self.size(role) for role in 'psb'),
                str(self.use.where))

    def cotangents(self, g, n):
        """g of the node as (n, P, S, B)."""
        g, (summed, order, shape, _) = split(g, self.layout, n), self.arrangement
        if self.use.where is not ...:
            g = g[(slice(None), *self.use.where)]
        return (numpy.sum(g, summed) if summed else g).transpose(order).reshape(n, *shape)


# ------------------------------------------------------------------ which axis is that of the examples

def layouts(shape, single, n):
    """(axis, is the example the slower index?) of arrays that have n times the entries of a single example."""
    if n == 1:
        return [None] if shape == single else []
    if len(shape) != len(single):
        return []
    longer = [axis for axis, (m, one) in enumerate(zip(shape, single)) if m != one]
    if len(longer) != 1 or shape[longer[0]] != n * single[longer[0]]:
        return []
    axis, = longer
    return [(axis, True)] + [(axis, False)] * (single[axis] > 1)


def split(v, layout, n):
    """(n, *shape of a single example)."""
    if layout is None:
        return v[None]
    axis, is_slow = layout
    m = v.shape[axis] // n
    v = v.reshape(*v.shape[:axis], *((n, m) if is_slow else (m, n)), *v.shape[axis + 1:])
    return numpy.moveaxis(v, axis if is_slow else axis + 1, 0)


def fitting(v, one, n, name, must_be_sure=True):
    """The layout of v in which the last example is `one`, as it is alone."""
    found = layouts(numpy.shape(v), numpy.shape(one), n)
    if not found:
        raise Differing
    found = [layout for layout in found if same(split(v, layout, n)[-1], one)]
    if not found:
        raise mixing(name, n - 1)
    if len(found) > 1 and (must_be_sure or not numpy.array_equal(*(split(v, layout, n) for layout in found))):
        raise Differing
    return found[0]


# ------------------------------------------------------------------ what is to be done

class Plan:
    """The uses of all parameters in one record (`whole`), n examples that are like that of `single`.

    Attributes
    ----------
    parts : list of Part
    others : set of the parameters (by number) for which there is no rule
    """

    def __init__(self, whole, single, n, side):
        self.whole, self.single, self.n, self.names, self.side = whole, single, n, side.names, side.name
        if [node.fun for node in whole.tape] != [node.fun for node in single.tape]:
            raise Differing
        self.parts, self.others, self.weights = [], set(), self._roots()
        for node, one in zip(whole.tape[len(whole.roots):], single.tape[len(single.roots):]):
            self._add(node, one)
        for end in single.ends:
            if end is not None and end.index in self.weights:
                self._refuse(self.weights[end.index], 'it is an output')

    @classmethod
    def of(cls, side):
        """For all examples at once, or without `vmap_axes` for all as one; for each alone where that cannot be."""
        if side.inputs is None:
            return cls(side.whole, side.whole, 1, side)
        side.check([side.n - 1])
        try:
            return cls(side.whole, side.single(side.n - 1), side.n, side)
        except Differing:
            log.info('structured derivatives: examples of %s one by one, their axis is not to be told.', side.name)
            return Alone(side)

    def _roots(self):
        starts = [0, *accumulate(numpy.size(root.value) for root in self.single.roots)]
        return {root.index: Weight(starts[i], numpy.shape(root.value), frozenset([i]))
                for i, root in enumerate(self.single.roots)}

    def _add(self, node, one):
        """A weight, a use of weights, or neither."""
        entering = [(i, self.weights[p.index]) for i, p in zip(one.argnums, one.parents) if p.index in self.weights]
        if not entering:
            return
        has_examples = self.n == 1 or numpy.shape(node.value) != numpy.shape(one.value)
        if self.n == 1 or not has_examples:
            weight = weight_of(one, self.weights)
            if weight is not None:
                self.weights[one.index] = weight
                return
        for i, weight in entering:
            use = use_of(one, i) if has_examples else None
            if use is None:
                self._refuse(weight, f'there is no rule for argument {i} of {one.fun.__name__}')
            else:
                self.parts.append(self._part(weight, node, one, i, use))

    def _part(self, weight, node, one, i, use):
        n, layout = self.n, fitting(node.value, one.value, self.n, self.side)
        sizes = dict(zip(use.weight, numpy.shape(one.args[i])))
        h = None
        if use.h is not None:
            h, alone = use_of(node, i).h, use.h
            sizes |= dict(zip(use.inner, alone.shape))
            if n > 1 and h.shape == alone.shape:
                if not same(h, alone):
                    raise mixing(self.side, n - 1)
                h = h[None]
            else:
                h = split(h, fitting(h, alone, n, self.side, must_be_sure=False), n)
        roles = ''.join('a' if label not in use.outer else 's' if label in use.inner else 'b' for label in use.weight)
        there, factor = self.whole.scaled.get(node.index, (node.index, 1.))
        part = Part(weight, self.whole.tape[there], layout, use, roles, sizes, None, factor)
        return replace(part, h=_inputs(part, h, n))

    def _refuse(self, weight, why):
        new = weight.roots - self.others
        self.others |= weight.roots
        if new:
            log.info('structured derivatives: Jacobian of %s, %s.', ', '.join(self.names[i] for i in sorted(new)), why)

    def close(self, others):
        """Leave out these parameters, and all that are joined with them to one weight."""
        self.others |= others
        while mixed := [p.weight for p in self.parts if p.weight.roots & self.others and p.weight.roots - self.others]:
            self._refuse(mixed[0], 'it is joined with another')
        self.parts = [part for part in self.parts if not part.weight.roots & self.others]
        return self.others

    def factors(self, k):
        """[(part, cotangents (n, entries of one example's output, P, S, B))] for output k."""
        arranged = {(part.node.index, part.arrangement): part for part in self.parts}
        targets, found = [part.node for part in arranged.values()], {key: [] for key in arranged}
        if self.single.ends[k] is None or not targets:
            return []
        shape, out = numpy.shape(self.single.outputs[k]), self.whole.outputs[k]
        layout = (layouts(out.shape, shape, self.n) or [None])[0]
        for i in numpy.ndindex(shape):
            g = numpy.zeros_like(out)
            split(g, layout, self.n)[(slice(None), *i)] = 1
            pulled = self.whole.pull([g if j == k else None for j in range(len(self.whole.ends))], targets)
            for part, cotangent, kept in zip(arranged.values(), pulled, found.values()):
                cotangent = numpy.zeros_like(part.node.value) if cotangent is None else cotangent
                kept.append(part.cotangents(cotangent, self.n))
        stacked = {key: numpy.stack(kept, 1) for key, kept in found.items()}
        return [(part, stacked[part.node.index, part.arrangement]) for part in self.parts]


class Alone:
    """The plans of examples that were recorded one by one, as one."""

    def __init__(self, side):
        self.plans = [Plan(side.single(i), side.single(i), 1, side) for i in range(side.n)]
        self.n, self.others = side.n, set().union(*(plan.others for plan in self.plans))
        if not all(alike(plan.parts, self.plans[0].parts) for plan in self.plans):
            log.info('structured derivatives: Jacobians, examples of %s do not take the same steps.', side.name)
            self.others = set(range(len(side.values)))

    @property
    def parts(self):
        return self.plans[0].parts

    def close(self, others):
        while any(plan.close(self.others | others) - self.others for plan in self.plans):
            self.others = self.others.union(*(plan.others for plan in self.plans))
        return self.others

    def factors(self, k):
        def stacked(pairs):
            parts, gs = zip(*pairs)
            h = None if parts[0].h is None else numpy.concatenate([part.h for part in parts])
            return replace(parts[0], h=h), numpy.concatenate(gs)
        return [stacked(pairs) for pairs in zip(*(plan.factors(k) for plan in self.plans))]


def alike(parts, others):
    """Can their factors be stacked?"""
    return len(parts) == len(others) and all(
        a.roles == b.roles and a.sizes == b.sizes and a.use.outer == b.use.outer
        and a.scale == b.scale and a.weight.is_like(b.weight) and numpy.array_equal(a.weight.factor, b.weight.factor)
        for a, b in zip(parts, others))


def _inputs(part, h, n):
    """h (n or 1, *inner) as (n, P, S, A); None stays."""
    if h is None:
        return None
    use, order = part.use, [label for role in 'psa' for label in part.labels(role)]
    summed = tuple(1 + axis for axis, label in enumerate(use.inner) if label not in order)
    inner = [label for label in use.inner if label in order]
    h = numpy.sum(h, summed) if summed else h
    h = h.transpose([0] + [1 + inner.index(label) for label in order if label in inner])
    h = h.reshape(len(h), *(part.sizes[label] if label in inner else 1 for label in order))
    h = numpy.broadcast_to(h, (n, *(part.sizes[label] for label in order)))
    return h.reshape(n, *(part.size(role) for role in 'psa'))


# ------------------------------------------------------------------ contraction

def groups(parts):
    """Numbers of the parts whose weights have parameters in common: [(parameters, numbers)]."""
    found = []
    for i, part in enumerate(parts):
        met = [group for group in found if group[0] & part.weight.roots]
        found = [group for group in found if group not in met]
        found.append((part.weight.roots.union(*(r for r, _ in met)), sorted(sum((numbers for _, numbers in met), [i]))))
    return found


def is_plain(parts):
    """Do all use the same entries in the same way, each once, with one factor?"""
    first = parts[0]
    return first.weight.is_apart and all(
        part.roles == first.roles and numpy.ndim(part.weight.factor) == 0
        and part.weight.is_like(first.weight)
        for part in parts)


def joined(parts, gs):
    """h and g of uses of the same weights: as many more positions."""
    hs = [part.scale * part.weight.factor * (numpy.ones((len(g), g.shape[2], g.shape[3], part.size('a')), g.dtype)
                                if part.h is None else part.h) for part, g in zip(parts, gs)]
    return (hs[0], gs[0]) if len(parts) == 1 else (numpy.concatenate(hs, 1), numpy.concatenate(gs, 2))


def jacobian_of(h, g):
    """J (n, entries, S, A, B) = sum_p h g."""
    n, entries, p, s, b = g.shape
    if p == h.shape[-1] == 1:
        return (h[:, None, 0, ..., None] * g[:, :, 0, :, None])
    J = h.transpose(0, 2, 3, 1) @ g.transpose(0, 3, 2, 1, 4).reshape(n, s, p, entries * b)
    return J.reshape(n, s, -1, entries, b).transpose(0, 3, 1, 2, 4)


def scattered(parts, gs, ids):
    """The Jacobian (n, entries, ids) with respect to these entries of parameters, all uses of them added."""
    n, entries = gs[0].shape[:2]
    J, offsets = numpy.zeros((n * entries, ids.size), gs[0].dtype), numpy.zeros(ids.max() + 1, int)
    offsets[ids] = numpy.arange(ids.size)
    for part, g in zip(parts, gs):
        h, g = joined([replace(part, weight=part.weight._replace(factor=1.))], [g])
        order = [label for role in 'sab' for label in part.labels(role)]
        own = jacobian_of(h, g).reshape(n * entries, *(part.sizes[label] for label in order))
        own = own.transpose([0] + [1 + order.index(label) for label in part.use.weight])
        own = (part.weight.factor * own).reshape(n * entries, -1)
        where = part.weight.ids.ravel()
        there = where >= 0
        if part.weight.is_apart:
            J[:, offsets[where]] += own
        else:
            numpy.add.at(J, (slice(None), offsets[where[there]]), own[:, there])
    return J.reshape(n, entries, ids.size)


def cost(h1, h2, g1, g2, rows):
    """Operations: (by Jacobians, by products of inputs and of cotangents)."""
    (n, entries, p, s, b), (m, others, q), a = g1.shape, g2.shape[:3], h1.shape[-1]
    forming = (n * entries * p + m * others * q) * s * a * b
    return forming + rows.pairs * s * a * b, p * q * s * (n * m * a + rows.pairs * (b + 1))


def contracted(h1, g1, h2, g2, rows, known):
    """sum over the weights of J J', for a Pairing of the rows (n, *shape of one output), as `sums` has it.

    `known`: sums of products of these cotangents that were had before, by position.
    """
    by_jacobian, by_products = cost(h1, h2, g1, g2, rows)
    is_same = g2 is g1 and h2 is h1
    if by_jacobian <= by_products:
        J1 = jacobian_of(h1, g1).reshape(*rows.shape1, -1)
        return sums(J1, J1 if is_same else jacobian_of(h2, g2).reshape(*rows.shape2, -1), rows.trace, rows.diagonal)
    g1, g2 = (g.reshape(*shape, *g.shape[2:]) for g, shape in ((g1, rows.shape1), (g2, rows.shape2)))
    total = None
    for p, q in product(range(h1.shape[1]), range(h2.shape[1])):
        left = g1[..., p, :, :]
        right = left if is_same and p == q else g2[..., q, :, :]
        new = products(h1[:, p], h2[:, q], left, right, rows, known, (p, q))
        total = new if total is None else total + new
    return total


def products(h1, h2, g1, g2, rows, known, key):
    """sum_s (sum_a h1 h2) (sum_b g1 g2), for one position each."""
    ndim, is_traced = len(rows.shape1), 0 in rows.trace
    trace = tuple(axis for axis in rows.trace if axis)
    diagonal = (*rows.diagonal, *(0,) * is_traced, ndim)                        # axis ndim is s
    once, free = map(len, kept(ndim + 1, trace, diagonal))
    if 0 in diagonal:
        inputs = sums(h1, h2, (), (0, 1))                                       # (n, s)
        shape = (len(h1), *(1,) * (once - 2), h1.shape[1], *(1,) * (2 * free))
    else:
        inputs = sums(h1, h2, (), (1,))                                         # (s, n, n')
        shape = (*(1,) * (once - 1), h1.shape[1], len(h1), *(1,) * (free - 1), len(h2), *(1,) * (free - 1))
    if key not in known:
        known[key] = sums(g1, g2, trace, diagonal)
    k = known[key] * inputs.reshape(shape)
    s = once - 1
    k = k.reshape(k.shape[:s] + k.shape[s + 1:]) if k.shape[s] == 1 else k.sum(s)
    return k.sum(0) if is_traced else k


class Rows(NamedTuple):
    """A Pairing of rows (n, *shape of one example's output) in place of that of outputs."""
    pairing: Any
    trace: tuple
    diagonal: tuple
    shape1: tuple
    shape2: tuple
    axis: Any

    @classmethod
    def of(cls, pairing, axis, ns):
        """`axis` is that of the examples in the output; None: there is one example, which is all."""
        trace, diagonal = (tuple(a + 1 for a in axes if a != axis) for axes in (pairing.trace, pairing.diagonal))
        shapes = [(n, *(1 if a == axis else m for a, m in enumerate(shape)))
                  for n, shape in zip(ns, (pairing.shape1, pairing.shape2))]
        if axis is None:
            return cls(pairing, trace, (0, *diagonal), *shapes, axis)
        trace += (0,) * (axis in pairing.trace)
        return cls(pairing, trace, (*diagonal, axis + 1, *(0,) * (axis in pairing.diagonal)), *shapes, axis)

    @property
    def pairs(self):
        return self.pairing.pairs

    def natural(self, k):
        """The kernel of outputs out of what `sums` gives for rows."""
        k = interleaved(k, len(self.shape1), self.trace, self.diagonal)
        if self.axis is None:
            return k[0]
        moved = 0 if 0 in self.trace else 1 if 0 in self.diagonal else 2
        place = moved + sum(0 if a in self.pairing.trace else 1 if a in self.pairing.diagonal else 2
                            for a in range(self.axis))
        k = k.reshape(k.shape[:place] + k.shape[place + 1:])
        return numpy.moveaxis(k, range(moved), range(place - moved, place))


def kernel_of(first, second, starts, rows):
    """The sum over all parameters that have rules, or None; `first` and `second`: [(part, cotangents)]."""
    total, known = None, {}
    for roots, numbers in groups([part for part, _ in first + second]):
        used1 = [first[i] for i in numbers if i < len(first)]
        used2 = [second[i - len(first)] for i in numbers if i >= len(first)]
        if not used1 or not used2:
            continue
        is_same = second is first
        if is_plain([part for part, _ in used1 + used2]):
            h1, g1 = joined(*zip(*used1))
            h2, g2 = (h1, g1) if is_same else joined(*zip(*used2))
            shared = (id(used1[0][1]), id(used2[0][1])) if len(used1) == len(used2) == 1 else numbers[0]
            new = contracted(h1, g1, h2, g2, rows, known.setdefault(shared, {}))
        else:
            there = numpy.concatenate([numpy.arange(starts[i], starts[i + 1]) for i in sorted(roots)])
            J1 = scattered(*zip(*used1), there).reshape(*rows.shape1, -1)
            J2 = J1 if is_same else scattered(*zip(*used2), there).reshape(*rows.shape2, -1)
            new = sums(J1, J2, rows.trace, rows.diagonal)
        total = new if total is None else total + new
    return total


# ------------------------------------------------------------------ all together

def plans(first, second):
    """Those of both sides, with the same parameters."""
    plan1 = Plan.of(first)
    plan2 = plan1 if second is first else Plan.of(second)
    others = plan1.others | plan2.others
    while others != (others := others | plan1.close(others) | plan2.close(others)):
        pass
    return plan1, plan2


def structured_ntk(first, second, pairings):
    """The kernel of each output."""
    plan1, plan2 = plans(first, second)
    starts = [0, *accumulate(a.size for a in first.values)]
    rest = jacobian_ntk(first, second, pairings, sorted(plan1.others)) if plan1.others else [0] * len(pairings)
    kernels = []
    for k, (pairing, kernel) in enumerate(zip(pairings, rest)):
        rows = Rows.of(pairing, None if first.inputs is None else first.outputs[k], (first.n, second.n))
        factors = plan1.factors(k)
        total = kernel_of(factors, factors if plan2 is plan1 else plan2.factors(k), starts, rows)
        kernels.append(kernel if total is None else kernel + rows.natural(total))
    return kernels


def structured_cost(first, second, pairings):
    """Operations: one pass back for each entry of one example's output, and the cheaper contraction for each use."""
    plan1, plan2 = plans(first, second)
    total = 0
    for side in {id(side): side for side in (first, second)}.values():
        entries = sum(out.size for out in side.whole.outputs) / max(side.n, 1)
        total += 2 * entries * side.whole.flops
    for pairing in pairings:
        for part in plan1.parts:
            p, s, a, b = (part.size(role) for role in 'psab')
            entries1, entries2 = (prod(shape) for shape in (pairing.shape1, pairing.shape2))
            forming = (entries1 + entries2) * p * s * a * b + pairing.pairs * s * a * b
            total += 2 * min(forming, p * p * s * (first.n * second.n * a + pairing.pairs * (b + 1)))
    others = sum(first.values[i].size for i in plan1.others)
    share = others / sum(a.size for a in first.values)
    return total + (jacobian_cost(first, second, pairings) * share if others else 0)
