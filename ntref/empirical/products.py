"""Products of the tangent kernel with vectors, J (J' v), without the kernel."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..arguments import as_part, check_finite
from ..on_either import as_array, check_together, drawn, zeros
from ..trees import check_each, leaves, rebuilt
from ..types import Tree
from .cost import OperationCount
from .given import PRODUCTS, Differentiable, Given
from .jacobian import unit
from .pairing import Pairing
from .pullbacks import as_dtype
from .record import Record
from .side import Side, sides
from .trees import check_leaves

__all__ = ['empirical_ntk_vp_fn', 'products_cost', 'products_ntk']


class Push:
    """The map u -> J u. The backward pass g -> J' g is linear; it is recorded once, and the pullback of it is J u.

    It is recorded at random g, since some rules leave out what is 0 (that of eigh does).
    """

    def __init__(self, record):
        targets = record.roots
        self.missing: list[bool] = []

        def pull(gs):
            found = iter(gs)
            cotangents = [None if end is None else next(found) for end in record.ends]
            pulled = record.pull(cotangents, targets)
            self.missing = [g is None for g in pulled]
            return [g for g in pulled if g is not None]
        self.record = record
        rng = numpy.random.default_rng(0)
        outputs = [out for end, out in zip(record.ends, record.outputs) if end is not None]
        cotangents = [drawn(rng, out) for out in outputs]
        self.linear = Record(pull, cotangents)

    def __call__(self, u):
        """Return J u, one array for each output; u has one array for each parameter, or None for zero."""
        given = [v for v, missing in zip(u, self.missing) if not missing]
        pushed = iter(self.linear.pull(given, self.linear.roots))
        found = [None if end is None else next(pushed) for end in self.record.ends]
        return [numpy.zeros_like(out) if g is None else as_dtype(g, out)
                for g, out in zip(found, self.record.outputs)]


def pushing(record: Record | Given) -> Callable[[Sequence], list[numpy.ndarray]]:
    """Return the map u -> J u."""
    return record.push if isinstance(record, Given) else Push(record)


def empirical_ntk_vp_fn(
        f: Callable, x1: Tree, x2: Tree, params: Tree,
        **apply_fn_kwargs: Any) -> Callable[[Tree], Tree]:
    r"""Return the function that multiplies vectors by the NTK of a finite network; the kernel is never formed.

    .. math::
        v \mapsto J(x_1) J(x_2)^T v, \qquad J(x) = \partial f(\mathrm{params}, x) / \partial\,\mathrm{params}

    A product takes two passes; f is traced once, in this call.

    Parameters
    ----------
    f : function                f(params, x, **kwargs), written with `autograd.numpy`; or a `Differentiable`.
    x1, x2 : array or tree      inputs; x2=None means that x2 is x1.
    params : tree of float arrays
    apply_fn_kwargs             passed to f; a pair is split between x1 and x2, see `empirical_ntk_fn`.

    Returns
    -------
    function : maps v, an array or tree like f(params, x2), to one like f(params, x1). No mean is taken over outputs.

    Raises
    ------
    TypeError  : parameters are not floats. ValueError : f does not depend on a parameter in a way that autograd sees;
        v has another shape, or contains NaN or infinity.

    Accuracy
    --------
    Exact to rounding.

    Source
    ------
    Novak et al. 2022 (arXiv:2206.08720) section 3.2; docs/theory/empirical.md#products.

    Examples
    --------
    The largest eigenvalues, and the solution of a linear system, of an NTK that need not fit into memory:

    >>> import numpy
    >>> from scipy.sparse.linalg import LinearOperator, cg, eigsh
    >>> from ntref import empirical_ntk_fn, empirical_ntk_vp_fn, stax
    >>> init_fn, f, _ = stax.serial(stax.Dense(64), stax.Relu(), stax.Dense(2))
    >>> x = numpy.random.default_rng(0).standard_normal((20, 5))
    >>> _, params = init_fn(0, x.shape)
    >>> vp = empirical_ntk_vp_fn(f, x, None, params)
    >>> def matvec(v):
    ...     return vp(v.reshape(20, 2)).ravel() + 1e-2 * v
    >>> ntk = LinearOperator((40, 40), matvec=matvec, dtype=float)
    >>> largest = eigsh(ntk, k=2, return_eigenvectors=False)
    >>> dense = empirical_ntk_fn(f, trace_axes=(), implementation=3)(x, None, params)
    >>> dense = dense.transpose(0, 2, 1, 3).reshape(40, 40) + 1e-2 * numpy.eye(40)
    >>> bool(abs(largest - numpy.linalg.eigvalsh(dense)[-2:]).max() < 1e-12 * largest.max())
    True
    >>> y = numpy.sin(x[:, :2]).ravel()
    >>> solution, info = cg(ntk, y, rtol=1e-10, maxiter=400)
    >>> info, bool(abs(dense @ solution - y).max() < 1e-8)
    (0, True)
    """
    whole = as_part(f, 'apply_fn', 'f')
    if isinstance(whole, Differentiable):
        whole.check_way(PRODUCTS)
    first, second = sides(whole, x1, x2, params, apply_fn_kwargs)
    push = pushing(first.whole)
    pull = second.whole

    def ntk_vp(cotangents):
        check_leaves(cotangents=cotangents)
        check_each(check_finite, cotangents, 'cotangents')
        check_together(cotangents=cotangents, params=params)
        given = [as_array(v) for v in leaves(cotangents)]
        if [v.shape for v in given] != [out.shape for out in pull.outputs]:
            raise ValueError(
                'expected cotangents like the outputs for x2, of shapes '
                f'{[out.shape for out in pull.outputs]}, got {[v.shape for v in given]}.')
        given = [v.astype(out.dtype) for v, out in zip(given, pull.outputs)]
        return rebuilt(first.whole.tree, push(pull.pull(given, pull.roots)))
    return ntk_vp


def products_ntk(first: Side, second: Side, pairings: Sequence[Pairing]) -> list[numpy.ndarray]:
    """Return the kernel of each output, computed column by column as products with unit vectors."""
    push = pushing(first.whole)
    kernels = [zeros(out, p.shape) for p, out in zip(pairings, first.whole.outputs)]
    for k, (pairing, kernel) in enumerate(zip(pairings, kernels)):
        out = second.whole.outputs[k]
        axis = None if second.inputs is None else second.outputs[k]
        for i in sorted(numpy.ndindex(out.shape), key=lambda i: () if axis is None else i[axis]):
            record = second.whole
            there = i
            if axis is not None:
                record = second.single(i[axis])
                there = (*i[:axis], 0, *i[axis + 1:])
            column = push(record.pull(unit(record, k, there), record.roots))[k]
            entries: list[Any] = []                                             # of the column
            where: list[Any] = []                                               # of the kernel
            for a in range(out.ndim):
                is_free = a not in pairing.trace + pairing.diagonal
                entries.append(slice(None) if is_free else i[a])
                if a not in pairing.trace:
                    where += (slice(None), i[a]) if is_free else (i[a],)
            kernel[tuple(where)] += column[tuple(entries)]
    return kernels


def products_cost(first: Side, second: Side, pairings: Sequence[Pairing]) -> OperationCount:
    """Estimate the OperationCount of `products_ntk`: two passes for each column, and the arrays that they keep."""
    columns = sum(out.size for out in second.whole.outputs)
    pairs = sum(pairing.pairs for pairing in pairings)
    recording = (second.n + 2 * columns) * second.single_operations
    operations = recording + 4 * columns * first.whole.operations
    kept = sum(2 * as_array(a).nbytes for node in first.whole.tape for a in leaves(node.value))
    return OperationCount(operations, kept + 2 * pairs * first.values[0].itemsize)
