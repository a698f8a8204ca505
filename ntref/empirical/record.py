"""A record of what a function does to its parameters: the trace of autograd, kept for any number of backward passes.

`Record(f, values)` calls f once on boxes; `pull` is one backward pass, from outputs to any operations on the way.
"""
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from threading import Lock, local
from typing import Any

import numpy

from ..arrays import is_array, is_on_device, namespace
from ..once import cached_property
from ..trees import leaves, rebuilt
from .cost import CALL, ENTRY
from .pullbacks import pullback

__all__ = ['Record', 'raw']


_replacing = Lock()


def _tracer():
    """Return the tracer of autograd, made to count nested traces separately for each thread.

    Autograd tells a derivative within a function from those around it by the number of open traces. If it counted those
    of other threads too, two traces might be taken for one, and the derivative would be wrong.
    """
    tracer = import_module('autograd.tracer')
    with _replacing:
        shared = tracer.trace_stack
        if not isinstance(shared, local):
            class TraceStack(local, tracer.TraceStack):
                def __init__(self):
                    self.top = shared.top
            tracer.trace_stack = TraceStack()
    return tracer


@lru_cache(1)
def _node_class():
    tracer = _tracer()
    core = import_module('autograd.core')
    import_module('autograd.numpy')

    class Node(tracer.Node):
        """An operation of the trace: its function, arguments and value, and which of the arguments were recorded."""
        __slots__ = ('fun', 'args', 'kwargs', 'value', 'argnums', 'parents', 'tape', 'index', 'vjps')

        def __init__(self, value, fun, args, kwargs, argnums, parents):
            self._place(parents[0].tape, value, parents)
            self.fun = fun
            self.args = args
            self.kwargs = kwargs
            self.argnums = argnums

        def initialize_root(self, tape, value):
            self._place(tape, value, ())
            self.fun = None
            self.args = ()
            self.kwargs = {}
            self.argnums = ()

        def _place(self, tape, value, parents):
            self.tape = tape
            self.index = len(tape)
            self.value = value
            self.parents = parents
            self.vjps = {}
            tape.append(self)

        def vjp(self, argnums):
            """Return the pullback to the arguments `argnums`."""
            if argnums not in self.vjps:
                vjp = pullback(self.fun, argnums, self.value, self.args, self.kwargs)
                self.vjps[argnums] = _times(next(iter(vjp(numpy.ones_like(self.value))))) \
                    if is_scaling(self, argnums) else vjp
            return self.vjps[argnums]

    tracer.notrace_primitives[Node] = tracer.notrace_primitives[core.VJPNode]
    return Node


def _times(slope):
    return lambda g: (g * slope,)


def is_scaling(node, argnums):
    """True if the pullback is a product with slopes that are worth keeping, as for elementwise functions."""
    f = raw(node)
    return isinstance(f, numpy.ufunc) and f.signature is None and f not in LINEAR and len(argnums) == 1 \
        and numpy.shape(node.args[argnums[0]]) == numpy.shape(node.value) != ()


LINEAR = numpy.add, numpy.subtract, numpy.multiply, numpy.divide, numpy.negative


MOVES = numpy.moveaxis, numpy.transpose, numpy.reshape, numpy.swapaxes


def _is_same_view(a, b):
    if not is_array(a) or not is_array(b) or a.shape != b.shape or a.strides != b.strides:
        return False
    return _address(a) == _address(b)


def _address(a):
    return a.data.ptr if is_on_device(a) else a.__array_interface__['data']


def scale(node, i):
    """Return the number by which the node multiplies argument i, or None if it does something else."""
    f = raw(node)
    if f in MOVES:
        return 1. if i == 0 and _is_same_view(node.args[0], node.value) else None
    if f in (numpy.add, numpy.subtract, numpy.negative):
        return -1. if f is numpy.negative or f is numpy.subtract and i else 1.
    if f not in (numpy.multiply, numpy.divide) or f is numpy.divide and i:
        return None
    if len(node.argnums) != 1 or numpy.size(node.args[1 - i]) != 1 or is_on_device(node.args[1 - i]):
        return None
    number = numpy.asarray(node.args[1 - i]).item()
    return number if f is numpy.multiply else 1 / number


def raw(node: Any) -> Any:
    """Return the NumPy function that autograd wraps in this node, or the function itself if it is not wrapped."""
    return getattr(node.fun, 'fun', node.fun)


class Record:
    """The trace of f(values).

    Attributes
    ----------
    tape : list of nodes        in the order of the computation
    roots : list of nodes       the values
    ends, outputs : lists       the node (None if it depends on no value) and the array of each leaf of the output
    tree                        the output of f
    """

    def __init__(self, f: Callable, values: Sequence[numpy.ndarray]):
        Node = _node_class()
        if values:
            namespace(*values)                                 # which registers arrays of CuPy with autograd
        tracer = import_module('autograd.tracer')
        self.tape: list[Any] = []
        self.roots = [Node.new_root(self.tape, v) for v in values]
        with tracer.trace_stack.new_trace() as trace:
            self.tree = f([tracer.new_box(v, trace, root) for v, root in zip(values, self.roots)])
            found = leaves(self.tree)
            ours = [tracer.isbox(leaf) and leaf._trace == trace for leaf in found]
        self.ends = [leaf._node if mine else None for leaf, mine in zip(found, ours)]
        self.outputs = [leaf._value if mine else leaf for leaf, mine in zip(found, ours)]
        self.tree = rebuilt(self.tree, self.outputs)
        self._leading: dict[frozenset, list] = {}
        for node in self.tape:
            node.tape = None       # no reference cycle: arrays are freed with the record, not by gc

    @cached_property
    def scaled(self) -> dict[int, tuple[int, float]]:
        """{index of a node: (index of another, c)}: its cotangent is c times that of the other."""
        uses = Counter(parent.index for node in self.tape for parent in node.parents)
        uses.update(end.index for end in self.ends if end is not None)
        found: dict[int, tuple[int, float]] = {}
        for node in reversed(self.tape):
            there, factor = found.get(node.index, (node.index, 1.))
            for i, parent in zip(node.argnums, node.parents):
                number = scale(node, i) if uses[parent.index] == 1 else None
                if number is not None and numpy.shape(parent.value) == numpy.shape(node.value):
                    found[parent.index] = there, factor * number
        return found

    def leading(self, targets: Sequence) -> list:
        """Return, by the index of a node, the (argnums, parents) on the way to the nodes `targets`."""
        key = frozenset(target.index for target in targets)
        if key not in self._leading:
            reaches: list[bool] = []
            steps = []
            for node in self.tape:
                ahead = [(i, p) for i, p in zip(node.argnums, node.parents) if reaches[p.index]]
                steps.append(tuple(zip(*ahead)))
                reaches.append(bool(ahead) or node.index in key)
            self._leading[key] = steps
        return self._leading[key]

    def pull(self, cotangents: Sequence, targets: Sequence) -> list:
        """Return the cotangent of each target, or None if outputs do not depend on it, in one backward pass.

        `cotangents` has one array, or None, for each output."""
        core = import_module('autograd.core')
        steps = self.leading(targets)
        grads: dict[int, Any] = {}
        found = {}
        wanted = {target.index for target in targets}
        for end, g in zip(self.ends, cotangents):
            if end is not None and g is not None:
                grads[end.index] = core.add_outgrads(grads.get(end.index), g)
        for node in reversed(self.tape):
            if node.index not in grads:
                continue
            g = grads.pop(node.index)[0]
            if node.index in wanted:
                found[node.index] = g
            if steps[node.index]:
                argnums, parents = steps[node.index]
                for parent, ingrad in zip(parents, node.vjp(argnums)(g)):
                    grads[parent.index] = core.add_outgrads(grads.get(parent.index), ingrad)
        return [found.get(target.index) for target in targets]

    def reached(self, ends: Sequence | None = None) -> list[bool]:
        """Return for each root whether an output, or one of the nodes `ends`, depends on it."""
        ahead = {end.index for end in (self.ends if ends is None else ends) if end is not None}
        for node in reversed(self.tape):
            if node.index in ahead:
                ahead.update(parent.index for parent in node.parents)
        return [root.index in ahead for root in self.roots]

    def swallowed(self) -> list[bool]:
        """Return for each root whether plain NumPy made an array of objects of it, after which nothing is recorded."""
        arrays = [*self.outputs]
        for node in self.tape:
            arrays += node.value, *node.args
        boxes = []
        for a in arrays:
            if getattr(a, 'dtype', None) == object:
                boxes += [*numpy.ravel(a)]
        nodes = [getattr(box, '_node', None) for box in boxes]
        return self.reached([node for node in nodes if node in self.tape])

    @cached_property
    def operations(self) -> float:
        """Estimated operations of f; a backward pass takes twice as many."""
        return sum(map(_operations, self.tape))


PRODUCTS = 'dot', 'matmul', 'tensordot', 'einsum', 'convolve'


def _operations(node):
    """Estimate the operations of a node: CALL plus 2 i j k for a product of (i, k) and (k, j), else ENTRY per entry."""
    size = sum(map(numpy.size, leaves(node.value)))
    factors = [numpy.size(a) for a in node.args if is_array(a) and getattr(a, 'ndim', 0) > 1]
    is_product = getattr(node.fun, '__name__', '') in PRODUCTS
    if is_product and len(factors) == 2:
        return CALL + 2 * (size * factors[0] * factors[1]) ** .5
    return CALL + ENTRY * size
