"""Evidence for a network as a function of its hyper-parameters: its value and its gradient."""
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from math import isfinite, isqrt, prod
from typing import Any, TypeAlias

import numpy

from ..arguments import as_function
from ..arrays import is_array, is_on_device, plain
from ..engine.blocks import of_block
from ..engine.cover import ENTRIES, blocks, cuts
from ..engine.run import blas_for
from ..no_arrays import check_unfollowed
from ..types import Array, HasKernel, KernelFn, Number
from .bayes import evidence, evidence_gradient, kernel_of
from .closed_form import Training
from .ensemble import refuse
from .layout import Axes, nonnegative

__all__ = ['Problem', 'RIDGE', 'log_marginal_likelihood_gradient']

Hyper: TypeAlias = dict[str, Number]
Parts: TypeAlias = list[tuple[slice, slice]]

RIDGE = 'diag_reg'         # the hyper-parameter that is not an argument of net_fn
ALL = slice(None)
FEW = 2                    # inputs whose kernel is computed twice, to see that net_fn gives the same each time


def log_marginal_likelihood_gradient(net_fn: Callable[..., HasKernel | KernelFn], x_train: Any,
                                     y_train: Array, hyperparameters: dict[str, Number],
                                     get: str = 'nngp', diag_reg: Number = 0.,
                                     diag_reg_absolute_scale: bool = False,
                                     trace_axes: Axes = (-1,), **kernel_fn_kwargs: Any
                                     ) -> tuple[float, dict[str, float]]:
    r"""Return log p(y) of a network and its derivatives in all hyper-parameters, in one reverse pass.

    .. math::
        \frac{\partial \log p}{\partial \vartheta} = \sum_{ij} G_{ij} \frac{\partial K_{ij}}{\partial \vartheta}, \qquad
        G = \tfrac12 (\alpha \alpha^T - o A^{-1}), \qquad \alpha = A^{-1} y

    where each input has o traced entries of the targets. The kernel is computed once, and the pass back through it
    goes tile by tile where gradients of `kernel_fn` do. Where autograd records the kernel of the network, it is
    computed once more and recorded block by block, if each entry depends on its own pair of inputs alone
    (`kernel_fn.of_blocks` tells): memory then holds autograd's record of one block only. Kernel functions of other
    kinds are recorded whole.

    Parameters
    ----------
    net_fn : (**hyperparameters) -> network with a `kernel_fn`, or a kernel function (x1, x2, get), that autograd can
        differentiate: the hyper-parameters may pass through `autograd.numpy` and operators, but not through float() or
        numpy.
    x_train, y_train : arrays of NumPy or CuPy, inputs and targets. x_train may have any form that the kernel function
        takes.
    hyperparameters : dict of numbers > 0: arguments of net_fn, except for 'diag_reg', which is the ridge.
    get, diag_reg, diag_reg_absolute_scale, trace_axes : as in `log_marginal_likelihood`; diag_reg is used if it is not
        among the `hyperparameters`.
    **kernel_fn_kwargs : passed to the kernel function, such as `pattern` or `mask_constant`.

    Returns
    -------
    (float, dict) : log p(y) in nats, and its derivative in each of the `hyperparameters`.

    Raises
    ------
    ValueError, NotPSDError : as `log_marginal_likelihood`; no hyper-parameters, or one that is not > 0, or that
        changes the kernel in a way that autograd cannot see.
    TypeError : arrays of other kinds; net_fn is not a function, or returns neither network nor kernel function.

    Accuracy
    --------
    Error of each derivative in a logarithm, relative to the largest: 2 eps cond(A), compared with mpmath at 40 digits
    (linear network, cond(A) = 30 to 1e7; the measured error is 0.6 eps cond(A)). For layers of all kinds it is 2e-9
    compared with central differences, which are not more accurate than that.

    Source
    ------
    Rasmussen and Williams 2006, equation 5.9. Derivation: docs/theory/bayes.md#gradient.

    Examples
    --------
    >>> import numpy as np
    >>> def net_fn(W_std):                                 # a linear network with kernel W_std^2 x x'
    ...     return lambda x1, x2, get: W_std ** 2 * x1 @ (x1 if x2 is None else x2).T
    >>> value, gradient = log_marginal_likelihood_gradient(net_fn, np.eye(1), np.array([2.]), {'W_std': 1.})
    >>> round(value, 6), gradient                          # -4/2 - log(2 pi)/2; 4 - 1
    (-2.918939, {'W_std': 3.0})
    """
    options = (get, diag_reg, diag_reg_absolute_scale, trace_axes)
    problem = Problem(net_fn, x_train, y_train, hyperparameters, options, kernel_fn_kwargs)
    value, gradient = problem.value_and_gradient(problem.initial)
    if 0. in gradient.values():
        problem.refuse_unseen()
    return value, gradient


class Problem:
    """Targets, and a network as a function of its hyper-parameters."""

    def __init__(self, net_fn: Callable[..., Any], x: Any, y: Array, initial: Hyper, options: tuple,
                 kwargs: dict[str, Any]):
        get, diag_reg, self.absolute, self.trace_axes = options
        refuse(x, y, diag_reg)
        if not isinstance(initial, dict) or not initial:
            raise ValueError('expected the hyper-parameters as a dict {name: number > 0}, such as '
                             f"{{'W_std': 1.5, 'diag_reg': 0.1}}, got {initial!r}.")
        for name, value in (('x_train', x), ('y_train', y), *initial.items()):
            check_unfollowed(value, name)
        self.initial = {name: float(nonnegative(name, value, positive=True))
                        for name, value in initial.items()}
        self.net_fn = as_function(net_fn, 'net_fn')
        self.x = x
        self.y = y
        self.kwargs = kwargs
        self.kernel = kernel_of(get)
        self.diag_reg = diag_reg
        self.dtype = None        # of the kernel, once two kernels of the same inputs were compared

    def network(self, hyper: Hyper) -> Any:
        """Return the network with these hyper-parameters."""
        return self.net_fn(**{name: value for name, value in hyper.items() if name != RIDGE})

    def kernel_fn(self, hyper: Hyper) -> Any:
        """Return its kernel function."""
        network = self.network(hyper)
        if not callable(getattr(network, 'kernel_fn', network)):
            raise TypeError('expected net_fn to return a network, or its kernel_fn, got '
                            f'{type(network).__name__}: {network!r:.100}.')
        return getattr(network, 'kernel_fn', network)

    def whole(self, hyper: Hyper) -> Array:
        """Return the kernel of all inputs with themselves."""
        return self.kernel_fn(hyper)(self.x, None, self.kernel, **self.kwargs)

    @numpy.errstate(over='ignore', invalid='ignore')       # results that are not finite are refused
    def value_and_gradient(self, hyper: Hyper) -> tuple[float, dict[str, float]]:
        """Return log p and {name: its derivative}."""
        k, pullback = self.followed(hyper)
        with blas_for(len(k)):
            ridge = hyper.get(RIDGE, self.diag_reg)
            train = Training(k, self.y, ridge, self.absolute, self.trace_axes)
            value = float(evidence(train.a, train.y))
            G, of_ridge = evidence_gradient(train.a, train.y)
        gradient = pullback(train.layout.covariance(G, train.layout.rows))
        if RIDGE in hyper:
            gradient[RIDGE] += float(of_ridge)
        if not all(map(isfinite, gradient.values())):
            raise ValueError('expected finite derivatives of the log marginal likelihood, got '
                             f'{gradient} at {hyper}.')
        return value, gradient

    def followed(self, hyper: Hyper) -> tuple[Array, Callable[[Array], dict[str, float]]]:
        """Return the kernel k, and the function G -> {name: sum G dk/d hyper}.

        In several blocks the kernel is computed once more for the sums, else the first time only.
        """
        parts = self.blocks(hyper)
        if len(parts) > 1:
            k = _floats(self.whole(hyper))
            return k, partial(self.pullback, hyper, k, parts)
        few = slice(0, FEW) if self.is_alone(hyper) else ALL
        again = None if self.dtype else _floats(self.block(few, few, hyper))
        vjp, k = _traced(partial(self.block, *parts[0]), hyper)
        if again is not None:
            _refuse_change(_floats(k), again, few, few)
            self.dtype = again.dtype
        return k.astype(self.dtype, copy=False), vjp

    def pullback(self, hyper: Hyper, k: Array, parts: Parts, G: Array) -> dict[str, float]:
        """Return sum G dk/d hyper by name; blocks below the diagonal are equal to those above it."""
        total = dict.fromkeys(hyper, 0.)
        for rows, columns in parts:
            vjp, part = _traced(partial(self.block, rows, columns), hyper)
            _refuse_change(k, part, rows, columns)
            times = 1 if rows == columns else 2
            for name, slope in vjp(times * G[rows, columns]).items():
                total[name] += slope
        return total

    def idle(self, hyper: Hyper) -> list[str]:
        """Return the hyper-parameters on which no entry of the kernel depends, as far as autograd sees."""
        k, pullback = self.followed(hyper)
        slopes = pullback(numpy.ones_like(k))
        return [name for name, slope in slopes.items() if slope == 0 and name != RIDGE]

    def refuse_unseen(self) -> None:
        """Raise ValueError if the kernel changes with a hyper-parameter on which, to autograd, it does not depend."""
        k = self.whole(self.initial)
        for name in self.idle(self.initial):
            beside = self.initial | {name: 1.01 * self.initial[name]}
            if numpy.any(self.whole(beside) != k):
                raise ValueError(f'expected a kernel that autograd can follow from {name}, got one '
                                 'that changes with it and has a derivative that is exactly 0. '
                                 'Write net_fn with operators and autograd.numpy.')

    def block(self, rows: slice, columns: slice, hyper: Hyper) -> Array:
        """Return the kernel of some inputs with others, for slices from `blocks`."""
        if rows == ALL:
            return self.whole(hyper)
        x2 = None if rows == columns else self.x[columns]
        kwargs = of_block(self.kwargs, rows, columns, True)
        of_blocks = self.kernel_fn(hyper).of_blocks(self.x, None, **self.kwargs)
        return of_blocks(self.x[rows], x2, self.kernel, **kwargs)

    def is_alone(self, hyper: Hyper) -> bool:
        """True if each entry of the kernel depends on its own pair of inputs alone, as far as can be told."""
        of_blocks = getattr(self.kernel_fn(hyper), 'of_blocks', lambda *a, **k: None)
        return is_array(self.x) and of_blocks(self.x, None, **self.kwargs) is not None

    def blocks(self, hyper: Hyper) -> Parts:
        """Return slices (rows, columns) of blocks on and above the diagonal, of ENTRIES / 4 pairs of positions.

        There is one block of all inputs if entries of the kernel depend on other inputs too, and where autograd does
        not record the kernel's intermediate results.
        """
        in_tiles = getattr(self.kernel_fn(hyper), 'gradient_in_tiles', lambda *a, **k: False)
        if set(hyper) == {RIDGE} or not self.is_alone(hyper):
            return [(ALL, ALL)]
        if in_tiles(self.x, None, self.kernel, **self.kwargs):
            return [(ALL, ALL)]
        side = max(1, isqrt(ENTRIES // 4) // prod(self.x.shape[1:-1]))
        return blocks(cuts(len(self.x), side))


def _traced(f, hyper):
    """Return the function G -> {name: sum G df/d hyper}, and f(hyper)."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Output seems independent')
        vjp, k = import_module('autograd').make_vjp(
            lambda hyper: f({name: _number()(hyper[name]) for name in hyper}))(hyper)
    return lambda G: {name: float(slope) for name, slope in vjp(G).items()}, k


@cache
def _number():
    """Return the identity of numbers, of which derivatives are numbers of Python, also where the kernel is on a GPU."""
    extend = import_module('autograd.extend')
    number = extend.primitive(lambda x: x)
    extend.defvjp(number, lambda ans, x: plain)
    return number


def _floats(k):
    """Return a kernel; raise TypeError unless it is an array of floats."""
    if not isinstance(k, numpy.ndarray) and not is_on_device(k) or k.dtype.kind != 'f':
        raise TypeError('expected a kernel function that returns an array of floats, of NumPy or CuPy, got '
                        f'{getattr(k, "dtype", type(k).__name__)}: autograd differentiates these only.')
    return k


def _refuse_change(k, part, rows, columns):
    """Raise ValueError unless `part` is the kernel k of these inputs."""
    eps = max(numpy.finfo(a.dtype).eps for a in (k, part))
    if abs(k[rows, columns] - part).max() > eps ** .5 * abs(k).max():
        raise ValueError('expected net_fn to give the same kernel each time, and inputs on axis '
                         f'0; got another kernel of inputs {rows} and {columns} for numbers that '
                         'autograd follows.')
