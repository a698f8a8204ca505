"""Evidence for a network as a function of its hyper-parameters: its gradient and its maximum."""
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from math import exp, inf, isfinite, isqrt, log, prod
from typing import Any, NamedTuple

import numpy

from ..arguments import as_function, as_whole
from ..arrays import is_array
from ..engine.blocks import of_block
from ..engine.cover import ENTRIES, blocks, cuts
from ..engine.run import counted
from ..no_arrays import check_unfollowed
from ..types import Array, KernelFn, HasKernel, Number
from .bayes import evidence, evidence_gradient, kernel_of
from .closed_form import Training
from .ensemble import refuse
from .layout import Axes, nonnegative

__all__ = ['Fit', 'FitError', 'fit_hyperparameters', 'log_marginal_likelihood_gradient']

RIDGE = 'diag_reg'         # the hyper-parameter that is not an argument of net_fn
ALL = slice(None)
FEW = 2                    # inputs whose kernel is computed twice, to see that net_fn gives the same each time
NARROW = 1e-3              # radius of a box, in logarithms, below which the search gives up
FAR = 1e5                  # default bounds: the start divided and multiplied by this
UPHILL = ('no step along the gradient found more, which is rounding as a rule. A larger diag_reg, '
          'or bounds, may help.')


class Fit(NamedTuple):
    """Result of `fit_hyperparameters`.

    Attributes
    ----------
    hyperparameters : dict, those with the largest log marginal likelihood of all that were tried.
    log_marginal_likelihood : float, its value for these hyper-parameters.
    gradient : dict, d log p / d log hyper-parameter for these hyper-parameters.
    at_bounds : tuple of the names that ended on one of their bounds: the maximum may lie beyond it.
    network : net_fn(**hyperparameters), without diag_reg.
    trace : list of (hyperparameters, log marginal likelihood) of all that were tried, the start first.
    scipy : scipy.optimize.OptimizeResult of -log p in the logarithms; None if the optimizer did not finish.

    Examples
    --------
    >>> Fit._fields
    ('hyperparameters', 'log_marginal_likelihood', 'gradient', 'at_bounds', 'network', 'trace', 'scipy')
    """

    hyperparameters: dict
    log_marginal_likelihood: float
    gradient: dict
    at_bounds: tuple
    network: Any
    trace: list
    scipy: Any


class FitError(RuntimeError):
    """Error for a fit that did not reach the maximum.

    Attributes
    ----------
    fit : Fit, the best so far; pass its hyperparameters as `initial` to `fit_hyperparameters` to go on.
    """

    def __init__(self, why: str, fit: Fit):
        self.fit = fit
        shown = ', '.join(f'{name}={value:.6g}' for name, value in fit.hyperparameters.items())
        slope = max(map(abs, fit.gradient.values()))
        super().__init__(
            f'expected the largest log marginal likelihood, got {fit.log_marginal_likelihood:.6g} '
            f'at {shown} after {len(fit.trace)} evaluations, where its largest slope is '
            f'{slope:.2g} in a logarithm: {why} The best so far is in .fit of this error: pass '
            'fit.hyperparameters as initial to go on.')


# ------------------------------------------------------------------ the gradient

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

    where each input has o traced entries of the targets. The pass is made block by block, above the diagonal only, if
    each entry of the kernel depends on its own pair of inputs alone (`kernel_fn.of_blocks` tells): memory then holds
    autograd's record of one block only.

    Parameters
    ----------
    net_fn : (**hyperparameters) -> network with a `kernel_fn`, or a kernel function (x1, x2, get), that autograd can
        differentiate: the hyper-parameters may pass through `autograd.numpy` and operators, but not through float() or
        numpy.
    x_train, y_train : NumPy arrays, inputs and targets. x_train may have any form that the kernel function takes.
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
    TypeError : arrays that are not NumPy's; net_fn is not a function, or returns neither network nor kernel function.

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
    problem = _Problem(net_fn, x_train, y_train, hyperparameters, options, kernel_fn_kwargs)
    value, gradient = problem.value_and_gradient(problem.initial)
    if 0. in gradient.values():
        problem.refuse_unseen()
    return value, gradient


class _Problem:
    """Targets, and a network as a function of its hyper-parameters."""

    def __init__(self, net_fn, x, y, initial, options, kwargs):
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

    def network(self, hyper):
        """Return the network with these hyper-parameters."""
        return self.net_fn(**{name: value for name, value in hyper.items() if name != RIDGE})

    def kernel_fn(self, hyper):
        """Return its kernel function."""
        network = self.network(hyper)
        if not callable(getattr(network, 'kernel_fn', network)):
            raise TypeError('expected net_fn to return a network, or its kernel_fn, got '
                            f'{type(network).__name__}: {network!r:.100}.')
        return getattr(network, 'kernel_fn', network)

    def whole(self, hyper):
        """Return the kernel of all inputs with themselves."""
        return self.kernel_fn(hyper)(self.x, None, self.kernel, **self.kwargs)

    @numpy.errstate(over='ignore', invalid='ignore')       # results that are not finite are refused
    def value_and_gradient(self, hyper):
        """Return log p and {name: its derivative}."""
        k, pullback = self.followed(hyper)
        train = Training(k, self.y, hyper.get(RIDGE, self.diag_reg), self.absolute, self.trace_axes)
        value = float(evidence(train.a, train.y))
        G, of_ridge = evidence_gradient(train.a, train.y)
        gradient = pullback(train.layout.covariance(G, train.layout.rows))
        if RIDGE in hyper:
            gradient[RIDGE] += float(of_ridge)
        if not all(map(isfinite, gradient.values())):
            raise ValueError('expected finite derivatives of the log marginal likelihood, got '
                             f'{gradient} at {hyper}.')
        return value, gradient

    def followed(self, hyper):
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

    def pullback(self, hyper, k, parts, G):
        """Return sum G dk/d hyper by name; blocks below the diagonal are equal to those above it."""
        total = dict.fromkeys(hyper, 0.)
        for rows, columns in parts:
            vjp, part = _traced(partial(self.block, rows, columns), hyper)
            _refuse_change(k, part, rows, columns)
            times = 1 if rows == columns else 2
            for name, slope in vjp(times * G[rows, columns]).items():
                total[name] += slope
        return total

    def idle(self, hyper):
        """Return the hyper-parameters on which no entry of the kernel depends, as far as autograd sees."""
        k, pullback = self.followed(hyper)
        slopes = pullback(numpy.ones_like(k))
        return [name for name, slope in slopes.items() if slope == 0 and name != RIDGE]

    def refuse_unseen(self):
        """Raise ValueError if the kernel changes with a hyper-parameter on which, to autograd, it does not depend."""
        k = self.whole(self.initial)
        for name in self.idle(self.initial):
            beside = self.initial | {name: 1.01 * self.initial[name]}
            if (self.whole(beside) != k).any():
                raise ValueError(f'expected a kernel that autograd can follow from {name}, got one '
                                 'that changes with it and has a derivative that is exactly 0. '
                                 'Write net_fn with operators and autograd.numpy.')

    def block(self, rows, columns, hyper):
        """Return the kernel of some inputs with others, for slices from `blocks`."""
        if rows == ALL:
            return self.whole(hyper)
        x2 = None if rows == columns else self.x[columns]
        kwargs = of_block(self.kwargs, rows, columns, True)
        of_blocks = self.kernel_fn(hyper).of_blocks(self.x, None, **self.kwargs)
        return of_blocks(self.x[rows], x2, self.kernel, **kwargs)

    def is_alone(self, hyper):
        """True if each entry of the kernel depends on its own pair of inputs alone, as far as can be told."""
        of_blocks = getattr(self.kernel_fn(hyper), 'of_blocks', lambda *a, **k: None)
        return is_array(self.x) and of_blocks(self.x, None, **self.kwargs) is not None

    def blocks(self, hyper):
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
        vjp, k = import_module('autograd').make_vjp(f)(hyper)
    return lambda G: {name: float(slope) for name, slope in vjp(G).items()}, k


def _floats(k):
    """Return a kernel; raise TypeError unless it is an array of floats."""
    if not isinstance(k, numpy.ndarray) or k.dtype.kind != 'f':
        raise TypeError('expected a kernel function that returns a NumPy array of floats, got '
                        f'{getattr(k, "dtype", type(k).__name__)}: autograd differentiates NumPy '
                        'only.')
    return k


def _refuse_change(k, part, rows, columns):
    """Raise ValueError unless `part` is the kernel k of these inputs."""
    eps = max(numpy.finfo(a.dtype).eps for a in (k, part))
    if abs(k[rows, columns] - part).max() > eps ** .5 * abs(k).max():
        raise ValueError('expected net_fn to give the same kernel each time, and inputs on axis '
                         f'0; got another kernel of inputs {rows} and {columns} for numbers that '
                         'autograd follows.')


# ------------------------------------------------------------------ the maximum

def fit_hyperparameters(net_fn: Callable[..., HasKernel | KernelFn], x_train: Any, y_train: Array,
                        initial: dict[str, Number], get: str = 'nngp', diag_reg: Number = 0.,
                        diag_reg_absolute_scale: bool = False, trace_axes: Axes = (-1,),
                        bounds: dict[str, tuple[Number, Number]] | None = None,
                        max_steps: int = 200, tol: float = 1e-5,
                        progress: bool | Callable[[dict[str, float], float], Any] | None = None,
                        **kernel_fn_kwargs: Any) -> Fit:
    r"""Find the hyper-parameters of a network, and the noise, that make the targets most likely.

    .. math:: \hat\vartheta = \arg\max_\vartheta \log p(y | \vartheta)

    by L-BFGS-B in the logarithms of the hyper-parameters, from one start: the result is a local maximum, never below
    the start. Depth, nonlinearity and other choices are compared by the `log_marginal_likelihood` of their fits.

    Parameters
    ----------
    net_fn, x_train, y_train, get, diag_reg, diag_reg_absolute_scale, trace_axes, **kernel_fn_kwargs : as in
        `log_marginal_likelihood_gradient`.
    initial : dict of numbers > 0: arguments of net_fn, and 'diag_reg' if it is to be fitted.
    bounds : dict {name: (least, largest)} with numbers > 0; names not given have 1e-5 to 1e5 times the start.
    max_steps : int >= 1, the most iterations of L-BFGS-B, which usually take one evaluation each.
    tol : float > 0, the largest |d log p / d log hyper-parameter| at the end. The search also ends when an iteration
        gains less than 2e-9 of |log p|.
    progress : callable, called with (hyper-parameters, log p) after each evaluation. True: show them (tqdm). None: show
        them only on a terminal. After Ctrl-C, whatever the callable kept is still there.

    Returns
    -------
    Fit(hyperparameters, log_marginal_likelihood, gradient, at_bounds, network, trace, scipy)

    Raises
    ------
    FitError : `max_steps` were not enough, or the search reached points without a log p; its .fit has the best so far.
    ValueError : as `log_marginal_likelihood_gradient`, at the start; bounds that do not contain the start; a
        hyper-parameter that the kernel does not depend on.

    Notes
    -----
    Memory: nine arrays of n^2 float64 (measured), and autograd's record of one block. Time: a few dozen times the sum
    of n^3 and the time of the kernel.

    Source
    ------
    Rasmussen and Williams 2006, section 5.4.1; Byrd, Lu, Nocedal, Zhu 1995 for L-BFGS-B (SciPy's).
    docs/theory/bayes.md#gradient; examples: docs/bayes.md.

    Examples
    --------
    >>> import numpy as np
    >>> def net_fn(W_std):                                 # K = W_std^2, y^2 = 4: log p is largest at W_std = 2
    ...     return lambda x1, x2, get: W_std ** 2 * x1 @ (x1 if x2 is None else x2).T
    >>> fit = fit_hyperparameters(net_fn, np.eye(1), np.array([2.]), {'W_std': 1.})
    >>> round(fit.hyperparameters['W_std'], 4), fit.at_bounds
    (2.0, ())
    """
    options = (get, diag_reg, diag_reg_absolute_scale, trace_axes)
    problem = _Problem(net_fn, x_train, y_train, initial, options, kernel_fn_kwargs)
    limits = _limits(problem.initial, {} if bounds is None else bounds)
    max_steps = as_whole(max_steps, 'max_steps', 1)
    tol = nonnegative('tol', tol, positive=True)
    with counted(False if callable(progress) else progress, 'evidence') as step:
        shown = progress if callable(progress) else lambda hyper, value: step(f'{value:.6g}')
        search = _Search(problem, limits, shown)
        return search.run(max_steps, tol)


def _limits(initial, bounds):
    """Return the bounds of log(value / start) for each hyper-parameter."""
    if not isinstance(bounds, dict):
        raise TypeError(f'expected bounds as a dict {{name: (least, largest)}}, got '
                        f'{bounds!r:.100}.')
    if unknown := set(bounds) - set(initial):
        raise ValueError(f'expected bounds for {list(initial)}, got some for {sorted(unknown)}.')
    limits = []
    for name, start in initial.items():
        given = bounds.get(name, (start / FAR, start * FAR))
        if numpy.shape(given) != (2,):
            raise ValueError(f'expected bounds of {name} as (least, largest), got {given!r:.100}.')
        low, high = (nonnegative(f'bounds of {name}', value, positive=True) for value in given)
        if not low <= start <= high:
            raise ValueError(f'expected {name} between its bounds {low:g} and {high:g}, got '
                             f'{start:g} in initial.')
        limits.append((log(low / start), log(high / start)))
    return limits


class _Search:
    """-log p and its gradient for SciPy, in the logarithms of value / start; keeps all values and the best result."""

    def __init__(self, problem, limits, progress):
        self.problem = problem
        self.limits = limits
        self.progress = progress
        self.trace = []
        self.best = None

    def __call__(self, u):
        self.last = tuple(map(float, u))
        hyper = {name: start * exp(v) for (name, start), v in zip(self.problem.initial.items(), u)}
        value, gradient = self.problem.value_and_gradient(hyper)
        gradient = {name: slope * hyper[name] for name, slope in gradient.items()}
        if not self.trace and 0. in gradient.values() and (idle := self.problem.idle(hyper)):
            raise ValueError(f'expected the kernel to depend on {idle[0]}, got a derivative that '
                             'is exactly 0. Is it an argument that net_fn uses, and stays what '
                             'autograd can follow (no float, no numpy)?')
        self.trace.append((hyper, value))
        if self.best is None or value > self.best[1]:
            self.best = (hyper, value, gradient, self.last)
        self.progress(hyper, value)
        return -value, numpy.array([-slope for slope in gradient.values()])

    def run(self, max_steps, tol):
        """Run L-BFGS-B, and restart it if it stepped to a point without a log p.

        It restarts from the best point so far, in a box around it, half as wide each time.
        """
        start = [0.] * len(self.limits)
        radius = inf
        steps = max_steps
        for _ in range(max_steps):
            box = [(max(low, v - radius), min(high, v + radius))
                   for v, (low, high) in zip(start, self.limits)]
            try:
                found = import_module('scipy.optimize').minimize(
                    self, start, jac=True, method='L-BFGS-B', bounds=box,
                    options=dict(maxiter=steps, gtol=tol))
            except ValueError as error:
                if not self.trace:
                    raise
                radius = max(abs(v - w) for v, w in zip(self.last, self.best[3])) / 2
                if radius < NARROW:
                    why = f'{error} Fit diag_reg, too, or give bounds.'
                    raise FitError(why, self.fit(None)) from error
            else:
                steps -= found.get('nit', 0)               # missing if all bounds leave no room
                if not found.success:
                    why = UPHILL if found.status == 2 else f'{found.message}.'
                    raise FitError(why, self.fit(found))
                at_box = [v in edges and v not in limits
                          for v, edges, limits in zip(found.x, box, self.limits)]
                if not any(at_box):
                    return self.fit(found)
                if steps < 1:
                    break
            start = self.best[3]
        raise FitError(f'{max_steps} steps were not enough.', self.fit(None))

    def fit(self, found):
        """Return the best so far as a Fit."""
        hyper, value, gradient, u = self.best
        at_bounds = tuple(name for name, v, limits in zip(hyper, u, self.limits) if v in limits)
        network = self.problem.network(hyper)
        return Fit(hyper, value, gradient, at_bounds, network, self.trace, found)
