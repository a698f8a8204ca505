"""Functions of other frameworks, with derivatives that are given beside them: `Differentiable`, and its `Record`.

The derivatives are compared with differences of the function before they are used.
"""
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy

from ..arguments import as_function
from ..once import cached_property
from ..trees import leaves, rebuilt, tree_map
from ..types import Tree
from .cost import CALL

__all__ = ['PRODUCTS', 'Differentiable', 'Given', 'check_given', 'check_once']

PRODUCTS = 2            # numbers of NtkImplementations
STRUCTURED = 3
FEW = 8                 # parameters for which derivatives are checked at first use,
INPUTS = 2              # and inputs
MAX_OFF = 1e-2          # relative: a wrong derivative is further off, the error of differences less
SLACK = {'float32': .05, 'float64': 2e-3}       # of a ResNet with 15 layers of kinks: .036 and .0012
SHARP = .1              # part of a slope up to which it may be uncertain to be compared with the first step
STEPS = 1., .1          # of differences, in units of eps^(1/3)
DRAWS = 4               # directions, of which the one with the largest slope is taken
ROUNDED = 1e3           # eps of the size of the terms, by which jvp and vjp may differ


@dataclass(frozen=True, eq=False)
class Differentiable:
    r"""Function of another framework (PyTorch, JAX, ...) with its derivatives, to be given to `empirical_ntk_fn`.

    .. math::
        \Theta = J(x_1) J(x_2)^T, \qquad J = \partial f / \partial\,\mathrm{params}

    needs J alone, from whatever computes it. It may also be given to `empirical_kernel_fn`, `empirical_nngp_fn`, which
    needs no derivative, and `empirical_ntk_vp_fn`. Parameters and inputs are NumPy arrays, or trees of them; what the
    functions return is made NumPy arrays.

    Parameters
    ----------
    f : function            f(params, x, **kwargs) -> outputs.
    vjp : function          vjp(params, x, **kwargs) -> (outputs, pull), with pull(g) = J' g, for g like the outputs, a
        tree like params. One entry of the output takes one call of pull.
    jvp : function          jvp(params, x, u, **kwargs) -> J u, like the outputs, for u like params. Products with the
        kernel (`empirical_ntk_vp_fn`, NTK_VECTOR_PRODUCTS) need it and `vjp`.
    jacobian : function     jacobian(params, x, **kwargs) -> the Jacobian for each leaf of params, arrays of shape
        (*output, *leaf): a tree like params, or an iterator over its leaves, in their order. Each is contracted before
        the next is asked for, so that of an iterator no two need be in memory. The output has to be one array.

    Raises
    ------
    TypeError  : an argument is no function.
    ValueError : neither `vjp` nor `jacobian` where derivatives are needed; STRUCTURED_DERIVATIVES, which need the
        operations; a derivative of another shape than its parameter; outputs of vjp other than those of f. At the first
        use along a random direction of up to 8 parameters, of all with `check=True`: derivatives that differ from
        differences of f by more than 1 % and kinks (in float32 5 %), and `jvp` that is not the adjoint of `vjp`.

    Accuracy
    --------
    That of the given derivatives. In float32 products of Jacobians are summed in float32, too: 1e-6.

    Source
    ------
    docs/other-frameworks.md, with recipes; Novak et al. 2022 (arXiv:2206.08720).

    Examples
    --------
    >>> import numpy
    >>> from ntref import Differentiable, empirical_ntk_fn
    >>> def f(params, x):
    ...     return numpy.tanh(x @ params['W'])
    >>> def vjp(params, x):
    ...     y = f(params, x)
    ...     return y, lambda g: {'W': x.T @ (g * (1 - y * y))}
    >>> ntk_fn = empirical_ntk_fn(Differentiable(f, vjp))
    >>> ntk_fn(numpy.array([[1., 2.]]), None, {'W': numpy.zeros((2, 1))})
    array([[5.]])
    """

    f: Callable[..., Tree]
    vjp: Callable[..., Any] | None = None
    jvp: Callable[..., Tree] | None = None
    jacobian: Callable[..., Any] | None = None

    def __post_init__(self):
        for name, given in vars(self).items():
            if given is not None or name == 'f':
                as_function(given, f'Differentiable: {name}')

    def __call__(self, params: Tree, x: Tree, **kwargs: Any) -> Tree:
        """Return f(params, x, **kwargs) in NumPy arrays."""
        return tree_map(numpy.asarray, self.f(params, x, **kwargs))

    def check_way(self, implementation: int) -> None:
        """Raise ValueError if the derivatives for this NtkImplementation are not given."""
        if implementation == STRUCTURED:
            raise ValueError(
                'expected implementation=1 or 2 for a Differentiable, got STRUCTURED_DERIVATIVES, which need the '
                'operations of f. Give the Jacobian as an iterator over parameters, so that it never is in memory.')
        if implementation == PRODUCTS and None in (self.vjp, self.jvp):
            raise ValueError('expected a Differentiable with vjp and jvp for products with the kernel, got one without '
                             f'{"vjp" if self.vjp is None else "jvp"}. Give it, or take implementation=1.')
        if self.vjp is None and self.jacobian is None:
            raise ValueError('expected a Differentiable with vjp or jacobian for the tangent kernel, got neither.')


class Given:
    """What `Record` is for autograd, for derivatives that are given; it has no tape.

    Attributes
    ----------
    roots, ends, outputs, tree : as those of `Record`; every output is taken to depend on every parameter.
    """

    tape = ()

    def __init__(self, f: Differentiable, params: Tree, names: Sequence[str], x: Tree, kwargs: Mapping[str, Any]):
        self.f: Any = f                    # has what `check_way` found
        self.params = params
        self.names = names
        self.arguments = x, kwargs
        self.roots = [SimpleNamespace(value=value) for value in leaves(params)]
        if f.jacobian is not None or f.vjp is None:
            self.tree = f(params, x, **kwargs)
        else:
            self.tree = tree_map(numpy.asarray, self.recorded[0])
        self.outputs = leaves(self.tree)
        self.ends = self.roots[:1] * len(self.outputs)

    @cached_property
    def recorded(self) -> tuple[Tree, Callable[[Tree], Tree]]:
        """Outputs and pull of `vjp`."""
        x, kwargs = self.arguments
        return self.f.vjp(self.params, x, **kwargs)

    def pull(self, cotangents: Sequence, targets: Sequence) -> list:
        """Return the cotangent of each of the `targets`, some of the roots; `cotangents` has None for zero."""
        given = [numpy.zeros_like(out) if g is None else g for g, out in zip(cotangents, self.outputs)]
        _, pull = self.recorded
        pulled = _leaves_like(self.params, pull(rebuilt(self.tree, given)), 'vjp')
        found = self._fitting('vjp', pulled, [numpy.shape(root.value) for root in self.roots], self.names)
        places = {id(root): i for i, root in enumerate(self.roots)}
        return [found[places[id(target)]] for target in targets]

    def push(self, u: Sequence) -> list[numpy.ndarray]:
        """Return J u, one array for each output; u has one array for each parameter."""
        x, kwargs = self.arguments
        pushed = _leaves_like(self.tree, self.f.jvp(self.params, x, rebuilt(self.params, u), **kwargs), 'jvp')
        names = ['an output'] * len(pushed)
        return self._fitting('jvp', pushed, [out.shape for out in self.outputs], names)

    def jacobians(self) -> Iterator[numpy.ndarray]:
        """Yield the Jacobian of the output (*shape, entries) with respect to each parameter."""
        x, kwargs = self.arguments
        out, = self.outputs
        found = self.f.jacobian(self.params, x, **kwargs)
        is_tree = isinstance(found, (dict, list, tuple)) or hasattr(found, 'shape')
        parts = iter(_leaves_like(self.params, found, 'jacobian') if is_tree else found)
        shapes = [(*out.shape, *numpy.shape(root.value)) for root in self.roots]
        for i, shape in enumerate(shapes):
            J, = self._fitting('jacobian', [next(parts, None)], [shape], self.names[i:])
            yield J.astype(out.dtype, copy=False).reshape(*out.shape, -1)
        if next(parts, None) is not None:
            raise ValueError(f'expected {len(shapes)} Jacobians, one for each of params, got more.')

    def reached(self) -> list[bool]:
        return [True] * len(self.roots)

    def swallowed(self) -> list[bool]:
        return [False] * len(self.roots)

    @property
    def operations(self) -> float:
        """Estimated operations of f: two for each parameter and example."""
        examples = max(numpy.shape(out)[0] if numpy.ndim(out) else 1 for out in self.outputs)
        return CALL + 2. * examples * sum(numpy.size(root.value) for root in self.roots)

    @staticmethod
    def _fitting(what, arrays, shapes, names):
        """Return the arrays as NumPy's; raise ValueError unless they have these shapes."""
        for name, a, shape in zip(names, arrays, shapes):
            if numpy.shape(a) != shape:
                raise ValueError(f'expected {what} of a Differentiable to return an array of shape {shape} for '
                                 f'{name}, got {numpy.shape(a)}.')
        return [numpy.asarray(a) for a in arrays]


def _leaves_like(tree, found, what):
    """Return the leaves of a tree in the order of another, by their names: frameworks may sort those of dicts."""
    try:
        return leaves(tree_map(lambda leaf, one: one, tree, found))
    except ValueError as e:
        raise ValueError(f'{what} of a Differentiable: {e}') from e


# ------------------------------------------------------------------ the check

def check_once(side: Any) -> None:
    """Check the derivatives of a `Side` unless those of its Differentiable have been checked."""
    if 'is_checked' not in vars(side.f):
        check_given(side, FEW)
        vars(side.f)['is_checked'] = True


def check_given(side: Any, most: int | None = None) -> None:
    r"""Compare the given derivatives with differences of f for the first inputs, along a random d of each parameter.

    For random g, :math:`g^T (f(w + h d) - f(w - h d)) / 2 h` differs from :math:`(J^T g)^T d` by rounding and, at
    kinks, by the difference between the one-sided differences. At `most` so many parameters are taken, at random.

    Raises
    ------
    ValueError : they differ by more; `jvp` is not the adjoint of `vjp`; outputs of vjp are not those of f.
    """
    x = side.x if side.kwargs else tree_map(lambda a: a[:INPUTS] if numpy.ndim(a) else a, side.x)
    record = Given(side.f, side.params, side.names, x, side.kwargs)
    rng = numpy.random.default_rng(0)
    g = [numpy.asarray(rng.standard_normal(out.shape), out.dtype) for out in record.outputs]

    def at(values):
        outputs = leaves(side.f(rebuilt(side.params, values), x, **side.kwargs))
        return sum(float(numpy.sum(a * b)) for a, b in zip(g, outputs, strict=True))
    if record.f.vjp is not None:
        _check_outputs(leaves(record.recorded[0]), leaves(side.f(side.params, x, **side.kwargs)))
    gradients = _gradients(record, g)
    numbers = rng.permutation(len(side.values))[:most].tolist()
    size = sum(float(abs(a * b).sum()) for a, b in zip(g, record.outputs))
    middle = at(side.values)
    for i in numbers:
        w = side.values[i]
        d = _direction(rng, w, gradients[i])

        def moved(h, i=i, w=w, d=d):
            return at([*side.values[:i], w + h * d, *side.values[i + 1:]])
        _check_slope(moved, middle, w, gradients[i], d, size, side.names[i])
        if record.f.jvp is not None:
            _check_adjoint(record, g, i, d, gradients[i], size)


def _direction(rng, w, gradient):
    """Return a random direction of w that is not by chance perpendicular to the gradient."""
    drawn = [numpy.asarray(rng.standard_normal(w.shape), w.dtype) for _ in range(DRAWS)]
    return max(drawn, key=lambda d: abs(float(numpy.sum(gradient * d))))


def _check_slope(moved, middle, w, gradient, d, size, name):
    """Raise ValueError if the slope of moved(h), whose value at 0 is `middle`, is not that of the gradient along d.

    Differences are right up to rounding, kinks between w - h d and w + h d, and, in deep networks, many kinks whose
    effects cancel in the second difference: SLACK of the norm of the gradient. A shorter step decides where the first
    has too many of them.
    """
    eps = float(numpy.finfo(w.dtype).eps)
    slope = float(numpy.sum(gradient * d))
    for step in STEPS:
        h = w.dtype.type(step * eps ** (1 / 3) * max(1., float(abs(w).max(initial=0.))))
        up, down = moved(h), moved(-h)
        central = (up - down) / (2 * h)
        kink = abs(up - 2 * middle + down) / h
        close = MAX_OFF * abs(central) + kink + 3 * eps * size / h + SLACK[w.dtype.name] * numpy.linalg.norm(gradient)
        is_sharp = step == STEPS[-1] or close <= SHARP * abs(slope)
        if is_sharp and abs(slope - central) <= close:
            return
    raise ValueError(
        f'expected derivatives of f in {name}, got others: along a random direction that of the Differentiable is '
        f'{slope:.6g}, and that by differences of f {central:.6g}. Are both of the same function, in the same mode '
        '(training, evaluation)?')


def _check_adjoint(record, g, i, d, gradient, size):
    """Raise ValueError unless g^T (J u) = (J^T g)^T u for u = d in parameter i and 0 in the others."""
    u = [numpy.zeros_like(root.value) for root in record.roots]
    u[i] = d
    pushed = sum(float(numpy.sum(a * b)) for a, b in zip(g, record.push(u)))
    pulled = float(numpy.sum(gradient * d))
    eps = float(numpy.finfo(numpy.asarray(d).dtype).eps)
    if not abs(pushed - pulled) <= ROUNDED * eps * (float(abs(gradient * d).sum()) + size):
        raise ValueError(f'expected jvp and vjp of one function, but for {record.names[i]} g^T (J u) is {pushed:.6g} '
                         f'and (J^T g)^T u is {pulled:.6g}.')


def _check_outputs(outputs, right):
    for out, f in zip(map(numpy.asarray, outputs), right, strict=True):
        close = out.shape == f.shape and out.dtype == f.dtype and numpy.allclose(
            out, f, rtol=0., atol=float(numpy.finfo(f.dtype).eps) ** .75 * abs(f).max(initial=0.))
        if not close:
            raise ValueError('expected vjp to return the outputs of f first, got others. Are both in the same mode '
                             '(training, evaluation), and is f the same each time it is called?')


def _gradients(record, g):
    """Return J^T g for each parameter."""
    if record.f.vjp is not None:
        return record.pull(g, record.roots)
    flat = numpy.ravel(g[0])
    pairs = zip(record.jacobians(), record.roots)
    return [(flat @ J.reshape(len(flat), -1)).reshape(numpy.shape(root.value)) for J, root in pairs]
