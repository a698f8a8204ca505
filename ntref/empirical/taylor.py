"""Taylor expansions of functions in their parameters: `linearize`, `taylor_expand`.

With d = params' - params and g(t) = f(params + t d) the polynomial of degree m is sum_k g^(k)(0) / k! for k = 0 ... m.
The derivatives are computed in forward mode, nested in each other.
"""
from collections.abc import Callable
from importlib import import_module
from math import factorial

from ..arguments import as_part, as_whole, check_finite
from ..arrays import is_on_device, namespace
from ..on_either import check_together
from ..trees import check_each, leaves, rebuilt, tree_map
from ..types import Tree

__all__ = ['linearize', 'taylor_expand']

MAX_DEGREE = 40               # largest degree; the derivatives of a higher one would take too long


def linearize(f: Callable, params: Tree) -> Callable:
    """Return the linear model of f about `params`:  f_lin(params') = f(params) + J (params' - params).

    Parameters
    ----------
    f : callable (params, *args, **kwargs) -> array, or a tree of arrays, written with `autograd.numpy`.
    params : array, or a tree (nested tuples, lists, dicts; None is an empty tree) of arrays.

    Returns
    -------
    callable (params', *args, **kwargs) -> what f returns. params' is a tree like params. The result can be
        differentiated in turn, with respect to params' and to the arguments of f.

    Raises
    ------
    TypeError : f is not a function; arrays are masked, matrices or sparse.
    ValueError : params' is a tree of another form, or of arrays of other shapes; parameters or inputs contain NaN or
        infinity (unless a `mask_constant` is given).

    Accuracy
    --------
    Exact, to rounding.

    Source
    ------
    Lee et al. 2019 (arXiv:1902.06720) equation 5.

    Examples
    --------
    >>> f = linearize(lambda w, x: w ** 2 * x, 3.0)
    >>> float(f(3.5, 2.0))                                   # (9 + 6 / 2) * 2
    24.0
    """
    return taylor_expand(f, params, 1)


def taylor_expand(f: Callable, params: Tree, degree: int) -> Callable:
    """Return the Taylor polynomial of f about `params`.

    It is  sum_k d^k/dt^k f(params + t (params' - params)) / k!  at t = 0, for k = 0 ... degree.

    Parameters
    ----------
    f, params : as in `linearize`.
    degree : int >= 0. The time grows as 2^degree.

    Returns
    -------
    callable (params', *args, **kwargs) -> what f returns.

    Raises
    ------
    The errors of `linearize`; ValueError if degree < 0 or degree > 40.

    Accuracy
    --------
    The polynomial is exact to rounding.

    Source
    ------
    Bai, Lee 2019 (arXiv:1910.01619) section 2.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> [round(float(taylor_expand(np.exp, 0.0, degree)(1.0)), 5) for degree in range(5)]
    [1.0, 2.0, 2.5, 2.66667, 2.70833]
    """
    f = as_part(f, 'apply_fn', 'f')
    degree = as_whole(degree, 'taylor_expand: degree', 0)
    if degree > MAX_DEGREE:
        raise ValueError(
            f'expected degree <= {MAX_DEGREE}, got {degree!s:.20}: the time grows as 2^degree.')
    check_each(check_finite, params, 'params')

    def expanded(new_params, *args, **kwargs):
        check_each(check_finite, new_params, 'the parameters')
        for i, a in enumerate(args if kwargs.get('mask_constant') is None else ()):
            check_each(check_finite, a, f'argument {i + 1}')
        check_together(**{'the parameters': new_params, 'params': params, 'inputs': args})
        given = [a for a in leaves(params) if is_on_device(a)]
        if given:
            namespace(*given)                                      # which registers arrays of CuPy with autograd
        direction = tree_map(_difference, params, new_params)
        out = f(params, *args, **kwargs)

        def along(t):
            return _vector(f(tree_map(lambda p, d: p + t * d, params, direction), *args, **kwargs))
        total = _vector(out)
        g = along
        zero = total.dtype.type(0)
        one = total.dtype.type(1)
        for k in range(1, degree + 1):
            g = _derivative(g, one)
            total = total + (g(zero) / factorial(k)).astype(total.dtype)
        return _like(out, total)
    return expanded


def _difference(p, new):
    shape = getattr(p, 'shape', ())
    given = getattr(new, 'shape', ())
    if given != shape:
        raise ValueError(
            f'expected parameters of the shapes that they were expanded about, {shape}, got '
            f'{given}.')
    return new - p


def _is_numeric(a):
    return a.dtype.kind in 'biufc' if hasattr(a, 'dtype') else isinstance(a, (int, float, complex))


def _vector(tree):
    """Return the arrays of a tree as one vector."""
    np = import_module('autograd.numpy')
    if not leaves(tree) or not all(map(_is_numeric, leaves(tree))):
        raise TypeError(
            f'expected f to return an array of numbers, or a tree of such, got {tree!r:.100}.')
    return np.concatenate([np.reshape(a, (-1,)) for a in leaves(tree)])


def _like(tree, vector):
    """Return a vector as a tree like `tree`; the inverse of `_vector`."""
    parts = []
    at = 0
    for a in leaves(tree):
        shape = getattr(a, 'shape', ())
        size = getattr(a, 'size', 1)
        parts.append(vector[at:at + size].reshape(shape))
        at += size
    return rebuilt(tree, parts)


# ------------------------------------------------------------------ forward mode

def _derivative(g, one):
    """Return g' for a function g of one number; 0 t is added, since autograd warns about constant functions."""
    complete_forward_rules()
    return lambda t: import_module('autograd.core').make_jvp(lambda t: g(t) + 0 * t, t)(one)[1]


def complete_forward_rules():
    """Add forward rules for the functions of autograd that have only a reverse rule, such as erf, expit and cholesky.

    u -> J^T u, the reverse rule, is linear; its own reverse rule is v -> J v.
    """
    core = import_module('autograd.core')
    for f in [f for f in core.primitive_vjps if f not in core.primitive_jvps]:
        core.defjvp_argnums(f, _transposed(core, f))


def _transposed(core, f):
    value_of = import_module('autograd.tracer').getval

    def pushed(argnum, v, ans, args, kwargs):
        pull = core.primitive_vjps[f]((argnum,), ans, args, kwargs)
        anywhere = core.vspace(value_of(ans)).ones()       # not 0: there some rules leave out terms
        return core.make_vjp(lambda u: tuple(pull(u))[0], anywhere)[0](v)
    return lambda argnums, vs, ans, args, kwargs: core.sum_outgrads(
        pushed(argnum, v, ans, args, kwargs) for argnum, v in zip(argnums, vs))
