"""Expansions of functions of parameters: `linearize`, `taylor_expand`.

With d = params' - params and g(t) = f(params + t d) the polynomial of degree m is sum_k g^(k)(0) / k! for k = 0 ... m.
The derivatives come by forward mode, one inside the other.
"""
from importlib import import_module
from math import factorial

from ..arguments import as_part, as_whole, check_finite
from ..trees import check_each, leaves, rebuilt, tree_map

__all__ = ['linearize', 'taylor_expand']

MOST = 40               # the degree of a polynomial, whose derivatives no one waits for


def linearize(f, params):
    """The linear model of f about `params`:  f_lin(params') = f(params) + J (params' - params).

    Parameters
    ----------
    f : callable (params, *args, **kwargs) -> array, or a tree of arrays, written with `autograd.numpy`.
    params : array, or a tree (tuples, lists, dicts, nested; None holds nothing) of arrays.

    Returns
    -------
    callable (params', *args, **kwargs) -> what f returns. params' is a tree like params; of it, and of what f is
        called with, derivatives can be taken in turn.

    Raises
    ------
    TypeError : f is no function; masked arrays, matrices or sparse ones.
    ValueError : params' is a tree of another form, or of arrays of other shapes; NaN or infinity in parameters or
        inputs (unless a `mask_constant` is given).

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


def taylor_expand(f, params, degree):
    """The Taylor polynomial of f about `params`:  sum_k d^k/dt^k f(params + t (params' - params)) / k!  at t = 0.

    Parameters
    ----------
    f, params : as in `linearize`.
    degree : int >= 0. The time grows as 2^degree.

    Returns
    -------
    callable (params', *args, **kwargs) -> what f returns.

    Raises
    ------
    As `linearize`; degree < 0.

    Accuracy
    --------
    Exact to the order, to rounding.

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
    if degree > MOST:
        raise ValueError(f'expected degree <= {MOST}, got {degree!s:.20}: the time grows as 2^degree.')
    check_each(check_finite, params, 'params')

    def expanded(new_params, *args, **kwargs):
        check_each(check_finite, new_params, 'the parameters')
        for i, a in enumerate(args if kwargs.get('mask_constant') is None else ()):
            check_each(check_finite, a, f'argument {i + 1}')
        direction = tree_map(_difference, params, new_params)
        out = f(params, *args, **kwargs)

        def along(t):
            return _vector(f(tree_map(lambda p, d: p + t * d, params, direction), *args, **kwargs))
        total, g = _vector(out), along
        zero, one = map(total.dtype.type, (0, 1))
        for k in range(1, degree + 1):
            g = _derivative(g, one)
            total = total + (g(zero) / factorial(k)).astype(total.dtype)
        return _like(out, total)
    return expanded


def _difference(p, new):
    shape, given = (getattr(a, 'shape', ()) for a in (p, new))
    if given != shape:
        raise ValueError(f'expected parameters of the shapes that they were expanded about, {shape}, got {given}.')
    return new - p


def _is_numeric(a):
    return a.dtype.kind in 'biufc' if hasattr(a, 'dtype') else isinstance(a, (int, float, complex))


def _vector(tree):
    """The arrays of a tree as one vector."""
    np = import_module('autograd.numpy')
    if not leaves(tree) or not all(map(_is_numeric, leaves(tree))):
        raise TypeError(f'expected f to return an array of numbers, or a tree of such, got {tree!r:.100}.')
    return np.concatenate([np.reshape(a, (-1,)) for a in leaves(tree)])


def _like(tree, vector):
    """The tree that `_vector` made a vector of."""
    parts, at = [], 0
    for a in leaves(tree):
        shape = getattr(a, 'shape', ())
        size = getattr(a, 'size', 1)
        parts.append(vector[at:at + size].reshape(shape))
        at += size
    return rebuilt(tree, parts)


# ------------------------------------------------------------------ forward mode

def _derivative(g, one):
    """g' for a function of one number; with 0 t, without which autograd warns where it is constant."""
    complete_forward_rules()
    return lambda t: import_module('autograd.core').make_jvp(lambda t: g(t) + 0 * t, t)(one)[1]


def complete_forward_rules():
    """Forward rules for those of autograd's functions that have a reverse rule alone, such as erf, expit and cholesky.

    J v is linear in v, and so is u -> J^T u, whose reverse rule it is.
    """
    core = import_module('autograd.core')
    for f in [f for f in core.primitive_vjps if f not in core.primitive_jvps]:
        core.defjvp_argnums(f, _transposed(core, f))


def _transposed(core, f):
    value_of = import_module('autograd.tracer').getval

    def pushed(argnum, v, ans, args, kwargs):
        pull = core.primitive_vjps[f]((argnum,), ans, args, kwargs)
        anywhere = core.vspace(value_of(ans)).ones()          # not 0, where some rules leave out what they would add
        return core.make_vjp(lambda u: tuple(pull(u))[0], anywhere)[0](v)
    return lambda argnums, vs, ans, args, kwargs: core.sum_outgrads(
        pushed(argnum, v, ans, args, kwargs) for argnum, v in zip(argnums, vs))
