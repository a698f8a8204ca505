"""The definition: Jacobians, one pass back for each entry of the output, and their products."""
import numpy

from .cost import ENTRY, Cost
from .pairing import paired

__all__ = ['jacobian', 'jacobian_cost', 'jacobian_ntk', 'unit']


def unit(record, k, i):
    """The cotangents that pick entry i of output k."""
    g = numpy.zeros_like(record.outputs[k])
    g[i] = 1
    return [g if j == k else None for j in range(len(record.outputs))]


def rows(record, k, numbers):
    """The Jacobian of output k with respect to these parameters, one after the other: (*shape, entries of them)."""
    out = record.outputs[k]
    roots = [record.roots[i] for i in numbers]
    J = numpy.zeros((*out.shape, sum(numpy.size(root.value) for root in roots)), out.dtype)
    for i in numpy.ndindex(out.shape) if record.ends[k] is not None else ():
        start = 0
        for root, g in zip(roots, record.pull(unit(record, k, i), roots)):
            stop = start + numpy.size(root.value)
            if g is not None:
                J[i][start:stop] = numpy.ravel(g)
            start = stop
    return J


def jacobian(side, k, numbers):
    """The same for all examples; each is taken alone where `vmap_axes` allow it."""
    if side.inputs is None:
        return rows(side.whole, k, numbers)
    out, axis = side.whole.outputs[k], side.outputs[k]
    J = numpy.zeros((*out.shape, sum(side.values[i].size for i in numbers)), out.dtype)
    for i in range(side.n):
        J[(slice(None),) * axis + (slice(i, i + 1),)] = rows(side.single(i), k, numbers)
    return J


def jacobian_ntk(first, second, pairings, numbers=None):
    """The kernel of each output, of all parameters or those with these numbers."""
    numbers = range(len(first.values)) if numbers is None else numbers
    kernels = []
    for k, pairing in enumerate(pairings):
        J1 = jacobian(first, k, numbers)
        J2 = J1 if second is first else jacobian(second, k, numbers)
        kernels.append(paired(J1, J2, pairing.trace, pairing.diagonal))
    return kernels


def jacobian_cost(first, second, pairings, share=1.):
    """A pass back for each output, of the example alone where `vmap_axes` allow it; J itself; products of its rows.

    `share`: of the parameters that it is taken of.
    """
    size = share * sum(a.size for a in first.values)
    total = 0
    entries = 0
    for side in {id(side): side for side in (first, second)}.values():
        outputs = sum(out.size for out in side.whole.outputs)
        total += (side.n + 2 * outputs) * side.single_operations + ENTRY * outputs * size
        entries += max(out.size for out in side.whole.outputs) * size
    pairs = sum(pairing.pairs for pairing in pairings)
    return Cost(total + 2 * pairs * size, round(first.values[0].itemsize * (entries + 2 * pairs)))
