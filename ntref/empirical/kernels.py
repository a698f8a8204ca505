"""Kernels of finite networks, for one draw of the parameters: products of outputs and of their derivatives."""
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from operator import index
from typing import Any

from ..arguments import as_axes, as_flag, as_part, is_whole, requested
from ..on_either import free_beside, zeros
from ..trees import leaves, rebuilt
from ..tuples import named_tuple
from .blocks import in_blocks
from .check import check_side
from .cost import OperationCount
from .followed import FollowedSide, followed_ntk, is_any_followed, opened, plain
from .given import Differentiable
from .jacobian import jacobian_cost, jacobian_ntk
from .pairing import Pairing
from .plan import plans
from .products import products_cost, products_ntk
from .side import Mixing, sides, split_kwargs
from .structured import structured_cost, structured_ntk

__all__ = ['NtkImplementation', 'empirical_kernel_fn', 'empirical_nngp_fn', 'empirical_ntk_fn']

NAMES = 'nngp', 'ntk'
log = logging.getLogger('ntref.empirical')
GIB = 2 ** 30


class NtkImplementation(IntEnum):
    """Ways to compute the empirical NTK. Their results agree to rounding.

    AUTO: the way with the fewest operations among those that fit into half of the free memory, by the estimate of
        `ntk_fn.cost`. The choice is logged (`logging`, 'ntref.empirical', INFO).
    JACOBIAN_CONTRACTION: J J', the definition. It needs memory for outputs x parameters.
    NTK_VECTOR_PRODUCTS: J J' v for unit vectors v, without Jacobians.
    STRUCTURED_DERIVATIVES: J is computed only up to the operations that parameters enter; the rest follows from the
        known structure of these operations.
    """
    AUTO = 0
    JACOBIAN_CONTRACTION = 1
    NTK_VECTOR_PRODUCTS = 2
    STRUCTURED_DERIVATIVES = 3


WAYS = {
    NtkImplementation.JACOBIAN_CONTRACTION: (jacobian_ntk, jacobian_cost),
    NtkImplementation.NTK_VECTOR_PRODUCTS: (products_ntk, products_cost),
    NtkImplementation.STRUCTURED_DERIVATIVES: (structured_ntk, structured_cost),
}


class Kernels:
    """The kernels of f, with the arguments of `empirical_kernel_fn`."""

    def __init__(self, f, trace_axes, diagonal_axes, vmap_axes=None, implementation=1, check=False):
        self.f = as_part(f, 'apply_fn', 'f')
        self.vmap_axes = vmap_axes
        self.check = as_flag(check, 'check')
        self.trace = as_axes(trace_axes, 'trace_axes')
        self.diagonal = as_axes(diagonal_axes, 'diagonal_axes')
        if not is_whole(implementation) or index(implementation) not in [*NtkImplementation]:
            raise ValueError(
                f'expected implementation to be one of {[*map(int, NtkImplementation)]}, got '
                f'{implementation!r:.100}.')
        self.implementation = NtkImplementation(index(implementation))
        if isinstance(self.f, Differentiable):
            self.implementation = self.implementation or NtkImplementation.JACOBIAN_CONTRACTION

    def sides(self, x1, x2, params, kwargs, is_needed=True):
        """Return the Sides of x1 and x2, recorded for derivatives if `is_needed`, and the Pairing of each output."""
        if is_needed and isinstance(self.f, Differentiable):
            self.f.check_way(self.implementation)
        first, second = sides(self.f, x1, x2, params, kwargs, self.vmap_axes, is_needed)
        if not is_needed:
            return self.paired(first, second)
        if self.check:
            for side in dict.fromkeys((first, second)):
                check_side(side.together() if side.draws else side)
        may_be_structured = self.implementation in (
            NtkImplementation.AUTO, NtkImplementation.STRUCTURED_DERIVATIVES)
        if may_be_structured and (first.draws or second.draws):
            first, second = apart_if_alike(first, second)
        return self.paired(first, second)

    def paired(self, first, second):
        return first, second, [Pairing.of(a.shape, b.shape, self.trace, self.diagonal)
                               for a, b in zip(first.whole.outputs, second.whole.outputs)]

    def computed(self, names, first, second, pairings):
        """Return {name: kernels in the tree of outputs} for 'nngp' and 'ntk'; compute nothing unless all of it fits."""
        def nngp():
            outputs = zip(pairings, first.whole.outputs, second.whole.outputs)
            return [p.nngp(f1, f2) for p, f1, f2 in outputs]
        way = ''
        taken = 0
        tangents = None
        if 'ntk' in names:
            way, taken, tangents = self.tangents(first, second, pairings)
        check_fits(names, way, taken, first, second, pairings)
        compute = {'ntk': tangents, 'nngp': nngp}
        return {name: rebuilt(first.whole.tree, compute[name]()) for name in names}

    def of(self, names, x1, x2, params, kwargs):
        """Return {name: kernels in the tree of outputs}, computed from numbers or, where autograd follows some, traced.
        """
        given = [opened(tree) for tree in (x1, x2, params, kwargs)]
        if not is_any_followed(*given):
            return self.computed(names, *self.sides(x1, x2, params, kwargs, 'ntk' in names))
        if isinstance(self.f, Differentiable):
            raise TypeError('expected numbers, got arrays that autograd follows: it has no derivatives of a '
                            'Differentiable.')
        x1, x2, params, kwargs = given
        numbers = [plain(tree) for tree in given]
        first, second, pairings = self.sides(*numbers, 'ntk' in names)   # with all the checks
        of1, of2 = split_kwargs(kwargs, *numbers[:2])
        left = FollowedSide(self.f, params, x1, of1, first)
        right = left if second is first else FollowedSide(self.f, params, x2, of2, second)
        compute = {
            'nngp': lambda: [p.nngp(f1, f2) for p, f1, f2 in zip(pairings, left.outputs, right.outputs)],
            'ntk': lambda: followed_ntk(left, right, pairings)}
        return {name: rebuilt(first.whole.tree, compute[name]()) for name in names}

    def tangents(self, first, second, pairings):
        """Return the name of the way to the tangent kernel, its bytes, and a function that computes the kernels."""
        if is_zero(first, pairings):
            def nothing():
                pairs = zip(pairings, first.whole.outputs)
                return [zeros(out, p.shape) for p, out in pairs]
            return '', size_of(first, pairings), nothing
        way = self.implementation or self.cheapest(first, second, pairings)
        if way != NtkImplementation.STRUCTURED_DERIVATIVES and (first.draws or second.draws):
            first, second = together(first, second)
        compute, cost = WAYS[way]

        def means():
            sums = compute(first, second, pairings)
            return [k / p.traced for k, p in zip(sums, pairings)]
        return way.name, cost(first, second, pairings).bytes, means

    def cheapest(self, first, second, pairings):
        costs = costs_of(first, second, pairings)
        free = free_beside(first.whole.outputs[0])
        fitting = [way for way, cost in costs.items() if free is None or 2 * cost.bytes <= free]
        if fitting:
            best = min(fitting, key=lambda way: costs[way].operations)
        else:
            best = min(costs, key=lambda way: costs[way].bytes)
        said = '; '.join(f'{way.name} {cost.operations:.2g} operations, {cost.bytes:.2g} bytes'
                         for way, cost in costs.items())
        log.info('empirical NTK by %s; %s.', best.name, said)
        return best

    def cost(self, x1, x2, params, **apply_fn_kwargs):
        """Estimate what each implementation takes: {NtkImplementation: OperationCount(operations, bytes)}."""
        return costs_of(*self.sides(x1, x2, params, apply_fn_kwargs))


def together(first, second):
    """Return both Sides without `vmap_axes`."""
    whole = first.together()
    return whole, whole if second is first else second.together()


def apart_if_alike(first, second):
    """Return both Sides, without `vmap_axes` if f draws other random numbers for examples alone."""
    try:
        plans(first, second)
    except Mixing:
        log.info(
            'structured derivatives: all examples as one, since f draws for all of them at once.')
        return together(first, second)
    return first, second


def size_of(first, pairings):
    """Return the bytes that one kernel for each output takes."""
    return sum(prod(p.shape) * out.itemsize for p, out in zip(pairings, first.whole.outputs))


def check_fits(names, way, taken, first, second, pairings):
    """Raise MemoryError, which says what would fit, if the kernels take more memory than is free.

    `taken` are the bytes for the tangent kernel computed this way. The NNGP is in memory twice, before and after it is
    divided by the number of entries of the mean.
    """
    each = size_of(first, pairings)
    free = free_beside(first.whole.outputs[0])
    needed = taken + 2 * each * ('nngp' in names)
    kept = each * len(names)
    if free is None or needed <= free:
        return
    rows = [_rows(side) for side in (first, second)]
    side = max(1, int(min(rows) * min(max(free / 2 - kept, free / 4) / needed, 1)))
    what = ' and the '.join({'nngp': 'NNGP', 'ntk': 'tangent kernel'}[name] for name in names)
    structured = '' if way in ('', NtkImplementation.STRUCTURED_DERIVATIVES.name) else (
        'Where f treats its inputs one by one, vmap_axes=0, implementation=3 takes no Jacobian. ')
    out = '' if kept <= free / 2 else ", out='kernel.zarr'"
    fn = 'kernel_fn' if len(names) > 1 else f'{names[0]}_fn'
    raise MemoryError(
        f'expected at most the {free / GIB:.3g} GiB of memory that are free, got the {what} of '
        f'{rows[0]} with {rows[1]} inputs{way and f" by {way}"}: {needed / GIB:.3g} GiB, '
        f'{kept / GIB:.3g} of them for the result. {structured}Tiles fit: ntref.batch({fn}, '
        f'batch_size={side}, device_count=0{out}).')


def _rows(side):
    """Return the length of the first axis of the outputs, at most."""
    return max((out.shape[0] for out in side.whole.outputs if out.ndim), default=1)


def is_zero(side, pairings):
    """True if there is nothing to compute: no parameters, or no outputs."""
    return not side.values or any(pairing.is_empty for pairing in pairings)


def costs_of(first, second, pairings):
    if is_zero(first, pairings):
        return dict.fromkeys(WAYS, OperationCount(0., 0))
    ways = {way: cost for way, (_, cost) in WAYS.items() if first.whole.tape or way != 3}
    return {way: cost(first, second, pairings) for way, cost in ways.items()}


def empirical_nngp_fn(
        f: Callable, trace_axes: int | tuple[int, ...] = (-1,),
        diagonal_axes: int | tuple[int, ...] = ()) -> Callable[..., Any]:
    r"""Return the function that computes the NNGP kernel of a finite network, f(x1) f(x2)^T.

    Parameters
    ----------
    f : function                    f(params, x, **kwargs).
    trace_axes, diagonal_axes       axes of the output; see `empirical_kernel_fn`.

    Returns
    -------
    function : nngp_fn(x1, x2, params, **apply_fn_kwargs); see `empirical_kernel_fn`.

    Source
    ------
    Novak et al. 2022 (arXiv:2206.08720); docs/theory/empirical.md#kernels.

    Examples
    --------
    >>> import numpy
    >>> from ntref import empirical_nngp_fn
    >>> def f(params, x):
    ...     return x * params
    >>> empirical_nngp_fn(f)(numpy.array([[1., 2.]]), None, numpy.array(3.))
    array([[22.5]])
    """
    return _NngpFunction(Kernels(f, trace_axes, diagonal_axes))


def empirical_ntk_fn(
        f: Callable, trace_axes: int | tuple[int, ...] = (-1,),
        diagonal_axes: int | tuple[int, ...] = (), vmap_axes: Any = None,
        implementation: int = NtkImplementation.JACOBIAN_CONTRACTION,
        check: bool = False) -> Callable[..., Any]:
    r"""Return the function that computes the tangent kernel of a finite network, J(x1) J(x2)^T.

    The kernel is summed over all parameters.

    Parameters
    ----------
    The same as those of `empirical_kernel_fn`.

    Returns
    -------
    function : ntk_fn(x1, x2, params, **apply_fn_kwargs), with `ntk_fn.cost`; see `empirical_kernel_fn`.

    Source
    ------
    Jacot et al. 2018 (arXiv:1806.07572); Novak et al. 2022 (arXiv:2206.08720); docs/theory/empirical.md#kernels.

    Examples
    --------
    >>> import numpy
    >>> from ntref import empirical_ntk_fn, stax
    >>> init_fn, f, kernel_fn = stax.serial(stax.Dense(4096), stax.Relu(), stax.Dense(1))
    >>> x = numpy.array([[1., 0.], [1., 1.]])
    >>> _, params = init_fn(0, x.shape)
    >>> ntk = empirical_ntk_fn(f, vmap_axes=0, implementation=3)(x, None, params)
    >>> bool(abs(ntk - kernel_fn(x, get='ntk')).max() < .05)         # its limit of infinite width
    True
    """
    return _NtkFunction(Kernels(f, trace_axes, diagonal_axes, vmap_axes, implementation, check))


def empirical_kernel_fn(
        f: Callable, trace_axes: int | tuple[int, ...] = (-1,),
        diagonal_axes: int | tuple[int, ...] = (), vmap_axes: Any = None,
        implementation: int = NtkImplementation.JACOBIAN_CONTRACTION,
        check: bool = False) -> Callable[..., Any]:
    r"""Return the function that computes NNGP and tangent kernel of a finite network, for one draw of its parameters.

    .. math::
        K = f(x_1) f(x_2)^T, \qquad \Theta = J(x_1) J(x_2)^T, \qquad
        J(x) = \partial f(\mathrm{params}, x) / \partial\,\mathrm{params}

    Parameters
    ----------
    f : function
        f(params, x, **kwargs), written with `autograd.numpy`, such as the `apply_fn` of a network of `stax`. Outputs
        may be trees; each leaf has a kernel of its own. A function of another framework: `Differentiable`.
    trace_axes, diagonal_axes : int or tuple of int
        Axes of the output on which both members of a pair have the same index. The kernel is the mean over trace axes,
        and has each diagonal axis once. It has all other axes twice, for x1 and for x2, next to each other.
    vmap_axes : None, int, tree, or (of inputs, of outputs, {keyword: axis})
        Along these axes f treats its examples one by one: entry i of its output depends on entry i of its inputs
        alone. None (also anywhere in a tree) means that nothing is known, and derivatives are taken one entry of the
        output of one example at a time. With `vmap_axes=0` one pass serves all examples in STRUCTURED_DERIVATIVES.
    implementation : NtkImplementation or int
        How the NTK is computed. Where STRUCTURED_DERIVATIVES has no rule for an operation that a parameter enters, it
        takes the Jacobian for this parameter alone, and logs that ('ntref.empirical', INFO).
    check : bool
        Compare the outputs for up to three examples alone with those among all examples, and raise if `vmap_axes` is
        wrong. Compare the derivative along a random direction of each parameter with differences of f, and raise if
        plain NumPy lost a part of it. This takes a few calls of f for each parameter.

    Returns
    -------
    function : kernel_fn(x1, x2, get, params, **apply_fn_kwargs)
        x1, x2: arrays or trees of them; x2=None means that x2 is x1. get: 'nngp', 'ntk', a tuple of both, or None for
        both; a name gives an array, a tuple or None gives a named tuple `EmpiricalKernel`. params: a tree (tuples,
        lists, dicts) of float arrays. Kernels are where all these are, of CuPy on their GPU. Keywords go to f: of a
        pair the first is for x1 and the second for x2; a seed `rng` becomes another seed for x2, unless x2 is x1; all
        other keywords are shared.
        kernel_fn.cost(x1, x2, params, **apply_fn_kwargs) estimates what the NTK takes by each implementation, without
        computing it: {NtkImplementation: OperationCount(operations, bytes)}. Operations are those of matrix products;
        other work is counted as the number of them that takes as long. Implementations whose times differ by a factor
        of 3 are ranked correctly.
        autograd differentiates the kernels in inputs, parameters and keywords, in any order. They are then computed by
        their definition, with one recorded backward pass for each entry of the output, whatever the implementation.

    Raises
    ------
    TypeError  : parameters are not floats, outputs are complex, autograd cannot follow f, axes are not whole numbers,
        or rng is a Generator.
    ValueError : an axis does not exist; outputs for x1 and x2 differ in shape on trace or diagonal axes; parameters
        contain NaN; no output depends on a parameter, as far as autograd sees. Where it is noticed (`check`): a part of
        a derivative is lost, or examples are mixed although `vmap_axes` claims that they are not.
    MemoryError : the kernels would not fit. It is raised before any is computed, and says which tiles would fit.

    Accuracy
    --------
    Exact to rounding of f and its derivatives. All implementations agree to 1e-12.

    Source
    ------
    Jacot et al. 2018 (arXiv:1806.07572); Novak et al. 2022 (arXiv:2206.08720); docs/theory/empirical.md#kernels.

    Examples
    --------
    >>> import numpy
    >>> from ntref import empirical_kernel_fn
    >>> def f(params, x):
    ...     return (x @ params['W']) ** 2
    >>> x, params = numpy.array([[1., 2.]]), {'W': numpy.array([[1.], [1.]])}
    >>> empirical_kernel_fn(f)(x, None, None, params)              # 9 * 9, and 4 * 9 * |x|^2
    EmpiricalKernel(nngp=array([[81.]]), ntk=array([[180.]]))
    >>> empirical_kernel_fn(f, vmap_axes=0, implementation=3)(x, None, 'ntk', params)
    array([[180.]])
    >>> cost = empirical_kernel_fn(f, vmap_axes=0).cost(numpy.ones((100, 2)), None, params)
    >>> cost[3].operations < cost[1].operations < cost[2].operations, cost[1].bytes        # J: 100 x 2
    (True, 161600)
    """
    return _KernelFunction(Kernels(f, trace_axes, diagonal_axes, vmap_axes, implementation, check))


@dataclass(frozen=True, eq=False, repr=False)
class _Function:
    """A function that computes kernels, also in blocks; `place` is the position of params among its arguments."""

    kernels: Kernels
    place = 2

    def of_blocks(self, x1, x2=None, **kwargs):
        return in_blocks(self, self.kernels.f, self.place, x1, kwargs)


class _NngpFunction(_Function):
    """The function that `empirical_nngp_fn` returns."""

    def __call__(self, x1, x2, params, **apply_fn_kwargs):
        return self.kernels.of(('nngp',), x1, x2, params, apply_fn_kwargs)['nngp']


class _NtkFunction(_Function):
    """The function that `empirical_ntk_fn` returns."""

    def __call__(self, x1, x2, params, **apply_fn_kwargs):
        return self.kernels.of(('ntk',), x1, x2, params, apply_fn_kwargs)['ntk']

    @property
    def cost(self):
        return self.kernels.cost


class _KernelFunction(_NtkFunction):
    """The function that `empirical_kernel_fn` returns."""

    place = 3

    def __call__(self, x1, x2, get, params, **apply_fn_kwargs):
        names = requested(get, NAMES, 'Arguments are (x1, x2, get, params).') or NAMES
        found = self.kernels.of(names, x1, x2, params, apply_fn_kwargs)
        return found[names[0]] if isinstance(get, str) else _together(found)


def _together(found):
    """Return one EmpiricalKernel for each output, in the tree of outputs."""
    tree = found[next(iter(found))]
    rows = zip(*map(leaves, found.values()))
    return rebuilt(tree, [named_tuple('EmpiricalKernel', dict(zip(found, row))) for row in rows])
