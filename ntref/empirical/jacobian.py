"""The tangent kernel by its definition: products of Jacobians, with one backward pass for each entry of the output."""
from collections.abc import Sequence
from functools import reduce

import numpy

from ..on_either import zeros
from .cost import ENTRY, OperationCount
from .given import Given
from .pairing import Pairing, paired
from .record import Record
from .side import Side

__all__ = ['jacobian', 'jacobian_cost', 'jacobian_ntk', 'unit']


def unit(record: Record, k: int, i: tuple[int, ...]) -> list[numpy.ndarray | None]:
    """Return the cotangents of all outputs that select entry i of output k."""
    g = numpy.zeros_like(record.outputs[k])
    g[i] = 1
    return [g if j == k else None for j in range(len(record.outputs))]


def rows(record, k, numbers):
    """Return the Jacobian of output k with respect to the parameters `numbers`, of shape (*shape, their entries)."""
    out = record.outputs[k]
    roots = [record.roots[i] for i in numbers]
    J = zeros(out, (*out.shape, sum(numpy.size(root.value) for root in roots)))
    for i in numpy.ndindex(out.shape) if record.ends[k] is not None else ():
        start = 0
        for root, g in zip(roots, record.pull(unit(record, k, i), roots)):
            stop = start + numpy.size(root.value)
            if g is not None:
                J[i][start:stop] = numpy.ravel(g)
            start = stop
    return J


def jacobian(side: Side, k: int, numbers: Sequence[int]) -> numpy.ndarray:
    """Return the Jacobian of output k for all examples; each example is taken alone where `vmap_axes` allow it."""
    if side.inputs is None:
        return rows(side.whole, k, numbers)
    out = side.whole.outputs[k]
    axis = side.outputs[k]
    J = zeros(out, (*out.shape, sum(side.values[i].size for i in numbers)))
    for i in range(side.n):
        J[(slice(None),) * axis + (slice(i, i + 1),)] = rows(side.single(i), k, numbers)
    return J


def jacobian_ntk(
        first: Side, second: Side, pairings: Sequence[Pairing],
        numbers: Sequence[int] | None = None) -> list[numpy.ndarray]:
    """Return the tangent kernel of each output, summed over all parameters or over those in `numbers`."""
    numbers = range(len(first.values)) if numbers is None else numbers
    if isinstance(first.whole, Given) and first.whole.f.jacobian is not None:
        return [_of_jacobians(first.whole, second.whole, *pairings)]
    kernels = []
    for k, pairing in enumerate(pairings):
        J1 = jacobian(first, k, numbers)
        J2 = J1 if second is first else jacobian(second, k, numbers)
        kernels.append(paired(J1, J2, pairing.trace, pairing.diagonal))
    return kernels


def _of_jacobians(first, second, pairing):
    """Return the tangent kernel from Jacobians that are given for one parameter after the other."""
    if second is first:
        pairs = ((J, J) for J in first.jacobians())
    else:
        pairs = zip(first.jacobians(), second.jacobians(), strict=True)
    return reduce(numpy.add, (paired(J1, J2, pairing.trace, pairing.diagonal) for J1, J2 in pairs))


def jacobian_cost(
        first: Side, second: Side, pairings: Sequence[Pairing], share: float = 1.) -> OperationCount:
    """Estimate the OperationCount of `jacobian_ntk`.

    It has a backward pass for each output, of the example alone where `vmap_axes` allow it, J itself, and products of
    its rows. `share` is the share of the parameters for which J is computed.
    """
    size = share * sum(a.size for a in first.values)
    kept = size
    if isinstance(first.whole, Given) and first.whole.f.jacobian is not None:
        kept = max(a.size for a in first.values)           # one parameter after the other
    total = 0
    entries = 0
    for side in {id(side): side for side in (first, second)}.values():
        outputs = sum(out.size for out in side.whole.outputs)
        total += (side.n + 2 * outputs) * side.single_operations + ENTRY * outputs * size
        entries += max(out.size for out in side.whole.outputs) * kept
    pairs = sum(pairing.pairs for pairing in pairings)
    return OperationCount(total + 2 * pairs * size, round(first.values[0].itemsize * (entries + 2 * pairs)))
