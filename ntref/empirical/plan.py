"""The plan of structured derivatives for a function: where its parameters enter, and which axes are of the examples.

An array does not say which of its axes is that of the examples. This is found by applying the function to one example
alone: the same operations give arrays that are shorter along one axis, and the numbers show whether the example is the
slower or the faster index on it.
"""
import logging
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import Any

import numpy

from ..on_either import as_array, equal, zeros
from ..once import cached_property
from .record import Record
from .rules import use_of
from .side import Side, mixing, same
from .weights import Weight, weight_of

__all__ = ['Part', 'Plan', 'plans']

log = logging.getLogger('ntref.empirical')


class Differing(Exception):
    """Raised if f takes other steps for one example than for all, or the axis of the examples cannot be determined."""


@dataclass(frozen=True)
class Part:
    """One use of a weight: the roles of its axes ('s', 'a' or 'b'), the node of its cotangents, and h (n, P, S, A)."""
    weight: Weight
    node: Any               # a node of the record of all examples
    layout: Any             # where its value has the examples
    use: Any
    roles: str
    sizes: dict             # length of each label
    h: Any
    scale: float = 1.       # factor on the cotangent of `node`

    def size(self, role: str) -> int:
        return prod(self.sizes[label] for label in self.labels(role))

    def labels(self, role: str) -> list:
        """Return the labels of the axes with this role, in the order of the weight (for 'p' in the order of h)."""
        if role == 'p':
            shared = [label for label in self.use.inner if label in self.use.outer]
            return [label for label in shared if label not in self.use.weight]
        return [label for label, r in zip(self.use.weight, self.roles) if r == role]

    @cached_property
    def arrangement(self) -> tuple:
        """Arrangement of the cotangents: axes to sum, the order of the others, the shape (P, S, B), and the entries."""
        order = [label for role in 'psb' for label in self.labels(role)]
        rest = [label for label in self.use.outer if label not in order]
        order = [label for label in rest if self.sizes[label] == 1] + order
        summed = tuple(1 + axis for axis, label in enumerate(self.use.outer) if label not in order)
        outer = [label for label in self.use.outer if label in order]
        places = (0, *(1 + outer.index(label) for label in order))
        shape = tuple(self.size(role) for role in 'psb')
        return summed, places, shape, str(self.use.where)

    def cotangents(self, g: numpy.ndarray, n: int) -> numpy.ndarray:
        """Return the cotangent g of the node as an array (n, P, S, B)."""
        g = split(g, self.layout, n)
        summed, order, shape, _ = self.arrangement
        if self.use.where is not ...:
            g = g[(slice(None), *self.use.where)]
        if summed:
            g = numpy.sum(g, summed)
        return g.transpose(order).reshape(n, *shape)


# ------------------------------------------------------------------ which axis is that of the examples

def layouts(shape, single, n):
    """Return the possible layouts (axis, True if the example is the slower index) of an array of n examples."""
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
    """Return v with the examples on an axis of their own in front: (n, *shape of a single example)."""
    if layout is None:
        return v[None]
    axis, is_slow = layout
    m = v.shape[axis] // n
    lengths = (n, m) if is_slow else (m, n)
    v = v.reshape(*v.shape[:axis], *lengths, *v.shape[axis + 1:])
    return numpy.moveaxis(v, axis if is_slow else axis + 1, 0)


def fitting(v, one, n, name, must_be_sure=True):
    """Return the layout of v in which the last example equals `one`, its value when computed alone."""
    found = layouts(numpy.shape(v), numpy.shape(one), n)
    if not found:
        raise Differing
    found = [layout for layout in found if same(split(v, layout, n)[-1], one)]
    if not found:
        raise mixing(name, n - 1)
    if len(found) == 1:
        return found[0]
    if must_be_sure or not equal(*(split(v, layout, n) for layout in found)):
        raise Differing
    return found[0]


# ------------------------------------------------------------------ what is to be done

class Plan:
    """The uses of all parameters in the record `whole` of n examples, each of which is like that of `single`.

    Attributes
    ----------
    parts : list of Part
    others : set of the numbers of the parameters for which there is no rule
    """

    def __init__(self, whole: Record, single: Record, n: int, side: Side):
        self.whole = whole
        self.single = single
        self.n = n
        self.names = side.names
        self.side = side.name
        if [node.fun for node in whole.tape] != [node.fun for node in single.tape]:
            raise Differing
        self.parts: list[Part] = []
        self.others: set[int] = set()
        self.weights = self._roots()
        for node, one in zip(whole.tape[len(whole.roots):], single.tape[len(single.roots):]):
            self._add(node, one)
        for end in single.ends:
            if end is not None and end.index in self.weights:
                self._refuse(self.weights[end.index], 'it is an output')

    @classmethod
    def of(cls, side: Side) -> 'Plan | Alone':
        """Return a plan for all examples at once (without `vmap_axes` as one example), or else for each alone."""
        if side.inputs is None:
            return cls(side.whole, side.whole, 1, side)
        side.check([side.n - 1])
        try:
            return cls(side.whole, side.single(side.n - 1), side.n, side)
        except Differing:
            log.info(
                'structured derivatives: the axis of the examples of %s cannot be found; they are '
                'processed one by one.', side.name)
            return Alone(side)

    def _roots(self):
        starts = [0, *accumulate(numpy.size(root.value) for root in self.single.roots)]
        return {root.index: Weight(starts[i], numpy.shape(root.value), frozenset([i]))
                for i, root in enumerate(self.single.roots)}

    def _add(self, node, one):
        """Register what the node is: a weight, uses of weights, or neither."""
        entering = [(i, self.weights[parent.index]) for i, parent in zip(one.argnums, one.parents)
                    if parent.index in self.weights]
        if not entering:
            return
        if isinstance(one.value, (tuple, list)):
            for _, weight in entering:
                self._refuse(weight, f'{one.fun.__name__} gives several arrays')
            return
        has_examples = self.n == 1 or numpy.shape(node.value) != numpy.shape(one.value)
        if self.n == 1 or not has_examples:
            weight = weight_of(one, self.weights)
            if weight is not None:
                self.weights[one.index] = weight
                return
        uses = [(i, weight, use_of(one, i)) for i, weight in entering]
        for i, weight, use in uses:
            if use is None:
                self._refuse(weight, f'there is no rule for argument {i} of {one.fun.__name__}')
            elif has_examples and numpy.size(one.args[i]):
                self.parts.append(self._part(weight, node, one, i, use))
        steps = [(weight, use) for _, weight, use in uses if use is not None]
        if steps and not has_examples:
            self.weights[one.index] = Weight.made(numpy.shape(one.value), steps)

    def _part(self, weight, node, one, i, use):
        n = self.n
        layout = fitting(node.value, one.value, self.n, self.side)
        sizes = dict(zip(use.weight, numpy.shape(one.args[i])))
        h = None
        if use.h is not None:
            h = use_of(node, i).h
            alone = use.h
            sizes |= dict(zip(use.inner, alone.shape))
            if n > 1 and h.shape == alone.shape:
                if not same(h, alone):
                    raise mixing(self.side, n - 1)
                h = h[None]
            else:
                h = split(h, fitting(h, alone, n, self.side, must_be_sure=False), n)
        sizes = dict(zip(use.outer, numpy.shape(one.value))) | sizes
        roles = ''.join(_role(use, label) for label in use.weight)
        there, factor = self.whole.scaled.get(node.index, (node.index, 1.))
        part = Part(weight, self.whole.tape[there], layout, use, roles, sizes, None, factor)
        return replace(part, h=_inputs(part, h, n))

    def _refuse(self, weight, why):
        new = weight.roots - self.others
        self.others |= weight.roots
        if new:
            names = ', '.join(self.names[i] for i in sorted(new))
            log.info('structured derivatives: Jacobian of %s, %s.', names, why)

    def close(self, others: set[int]) -> set[int]:
        """Leave out the parameters `others` and all joined with them to one weight; return all that are left out."""
        self.others |= others
        while (mixed := self._mixed()) is not None:
            self._refuse(mixed, 'it is joined with another')
        self.parts = [part for part in self.parts if not part.weight.roots & self.others]
        return self.others

    def _mixed(self):
        """Return a weight of parameters of which some are left out and others are not, or None."""
        weights = [part.weight for part in self.parts]
        return next((w for w in weights if w.roots & self.others and w.roots - self.others), None)

    @property
    def operations(self) -> float:
        """Estimated operations of the backward passes for all outputs."""
        return 2 * sum(numpy.size(out) for out in self.single.outputs) * self.whole.operations

    def factors(self, k: int) -> list[tuple[Part, numpy.ndarray]]:
        """Return [(part, cotangents (n, entries of one example's output, P, S, B))] for output k."""
        arranged = {(part.node.index, part.arrangement): part for part in self.parts}
        targets = [part.node for part in arranged.values()]
        shape = numpy.shape(self.single.outputs[k])
        if self.single.ends[k] is None or not targets:
            return []
        out = self.whole.outputs[k]
        layout = (layouts(out.shape, shape, self.n) or [None])[0]
        found = {}
        for key, part in arranged.items():
            found[key] = zeros(as_array(part.node.value), (self.n, prod(shape), *part.arrangement[2]))
        for row, i in enumerate(numpy.ndindex(shape)):
            g = numpy.zeros_like(out)
            split(g, layout, self.n)[(slice(None), *i)] = 1
            cotangents = [g if j == k else None for j in range(len(self.whole.ends))]
            pulled = self.whole.pull(cotangents, targets)
            for part, cotangent, kept in zip(arranged.values(), pulled, found.values()):
                if cotangent is not None:
                    kept[:, row] = part.cotangents(cotangent, self.n)
        return [(part, found[part.node.index, part.arrangement]) for part in self.parts]


def _role(use, label):
    """Return 'a' for an axis of the weight that is summed, 's' for one that h has too, 'b' for a channel."""
    if label not in use.outer:
        return 'a'
    return 's' if label in use.inner else 'b'


class Alone:
    """One plan made of the plans of examples that were recorded one by one."""

    def __init__(self, side):
        self.plans = [Plan(side.single(i), side.single(i), 1, side) for i in range(side.n)]
        self.n = side.n
        self.others = set().union(*(plan.others for plan in self.plans))
        if not all(alike(plan, self.plans[0]) for plan in self.plans):
            log.info(
                'structured derivatives: Jacobians, examples of %s do not take the same '
                'steps.', side.name)
            self.others = set(range(len(side.values)))

    @property
    def parts(self):
        return self.plans[0].parts

    @property
    def operations(self):
        return sum(plan.operations for plan in self.plans)

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


def alike(plan, other):
    """True if the factors of both plans can be stacked."""
    constant = [[end is None for end in p.single.ends] for p in (plan, other)]
    if len(plan.parts) != len(other.parts) or constant[0] != constant[1]:
        return False
    return all(map(_are_stacked, plan.parts, other.parts))


def _are_stacked(a, b):
    """True if two parts differ in h and in their cotangents alone."""
    alike = a.roles == b.roles and a.sizes == b.sizes and a.use.outer == b.use.outer
    if not alike or a.scale != b.scale:
        return False
    return a.weight.is_like(b.weight) and equal(a.weight.factor, b.weight.factor)


def _inputs(part, h, n):
    """Return h (n or 1, *inner) as an array (n, P, S, A), or None if h is None."""
    if h is None:
        return None
    use = part.use
    order = [label for role in 'psa' for label in part.labels(role)]
    summed = tuple(1 + axis for axis, label in enumerate(use.inner) if label not in order)
    inner = [label for label in use.inner if label in order]
    h = numpy.sum(h, summed) if summed else h
    h = h.transpose([0] + [1 + inner.index(label) for label in order if label in inner])
    h = h.reshape(len(h), *(part.sizes[label] if label in inner else 1 for label in order))
    h = numpy.broadcast_to(h, (n, *(part.sizes[label] for label in order)))
    return h.reshape(n, *(part.size(role) for role in 'psa'))


def plans(first: Side, second: Side) -> tuple['Plan | Alone', 'Plan | Alone']:
    """Return the plans of both sides, with rules for the same parameters; they are made once."""
    if first.plans is None or first.plans[0] is not second:
        plan1 = Plan.of(first)
        plan2 = plan1 if second is first else Plan.of(second)
        others = plan1.others | plan2.others
        while others != (others := others | plan1.close(others) | plan2.close(others)):
            pass
        first.plans = second, plan1, plan2
    return first.plans[1:]
