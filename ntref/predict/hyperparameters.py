"""The hyper-parameters of a network for which the evidence is largest."""
from collections.abc import Callable
from importlib import import_module
from math import exp, inf, log
from typing import Any, NamedTuple

import numpy

from ..arguments import as_whole
from ..arrays import generator
from ..engine.run import counted
from ..types import Array, HasKernel, KernelFn, Number, Seed
from .layout import Axes, nonnegative
from .network_evidence import Problem

__all__ = ['Fit', 'FitError', 'fit_hyperparameters']

NARROW = 1e-3              # radius of a box, in logarithms, below which the search gives up
FAR = 1e5                  # default bounds: `initial` divided and multiplied by this
NEAR = 10.                 # where no bounds are given, other starts are up to this factor away from `initial`
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
    starts : tuple of what each start gave, in order: a Fit, or the error that ended it, a FitError with its `fit` or a
        ValueError.

    Examples
    --------
    >>> Fit._fields
    ('hyperparameters', 'log_marginal_likelihood', 'gradient', 'at_bounds', 'network', 'trace', 'scipy', 'starts')
    """

    hyperparameters: dict
    log_marginal_likelihood: float
    gradient: dict
    at_bounds: tuple
    network: Any
    trace: list
    scipy: Any
    starts: tuple = ()


class FitError(RuntimeError):
    """Error for a fit that did not reach the maximum.

    Attributes
    ----------
    fit : Fit, the best so far of all starts; pass its hyperparameters as `initial` to `fit_hyperparameters` to go on.
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


def fit_hyperparameters(net_fn: Callable[..., HasKernel | KernelFn], x_train: Any, y_train: Array,
                        initial: dict[str, Number], get: str = 'nngp', diag_reg: Number = 0.,
                        diag_reg_absolute_scale: bool = False, trace_axes: Axes = (-1,),
                        bounds: dict[str, tuple[Number, Number]] | None = None,
                        max_steps: int = 200, tol: float = 1e-5,
                        progress: bool | Callable[[dict[str, float], float], Any] | None = None,
                        starts: int = 1, rng: Seed = 0, **kernel_fn_kwargs: Any) -> Fit:
    r"""Find the hyper-parameters of a network, and the noise, that make the targets most likely.

    .. math:: \hat\vartheta = \arg\max_\vartheta \log p(y | \vartheta)

    by L-BFGS-B in the logarithms of the hyper-parameters, from one start or the best of several: the result is a local
    maximum, never below the start that it was reached from. Depth, nonlinearity and other choices are compared by the
    `log_marginal_likelihood` of their fits.

    Parameters
    ----------
    net_fn, x_train, y_train, get, diag_reg, diag_reg_absolute_scale, trace_axes, **kernel_fn_kwargs : as in
        `log_marginal_likelihood_gradient`.
    initial : dict of numbers > 0: arguments of net_fn, and 'diag_reg' if it is to be fitted.
    bounds : dict {name: (least, largest)} with numbers > 0; names not given have 1e-5 to 1e5 times `initial`.
    max_steps : int >= 1, the most iterations of L-BFGS-B from each start, which usually take one evaluation each.
    tol : float > 0, the largest |d log p / d log hyper-parameter| at the end. The search also ends when an iteration
        gains less than 2e-9 of |log p|.
    progress : callable, called with (hyper-parameters, log p) after each evaluation. True: show them (tqdm). None: show
        them only on a terminal. After Ctrl-C, whatever the callable kept is still there.
    starts : int >= 1, the number of starts, one after the other. The first is `initial`; the logarithms of the others
        are drawn uniformly between the `bounds` that are given, else from 1/10 to 10 times `initial`.
    rng : seed or numpy.random.Generator, for these draws.

    Returns
    -------
    Fit(hyperparameters, log_marginal_likelihood, gradient, at_bounds, network, trace, scipy, starts)
        The best of the starts that reached a maximum; what the others gave, errors too, is in its `starts`.

    Raises
    ------
    FitError : from no start a maximum was reached: `max_steps` were not enough, or the search reached points without a
        log p; its .fit has the best so far.
    ValueError : as `log_marginal_likelihood_gradient`, at every start; bounds that do not contain `initial`; a
        hyper-parameter that the kernel does not depend on.

    Notes
    -----
    Memory: nine arrays of n^2 float64 (measured) and, where autograd records the kernel, its record of one block.
    Time, from each start: a few dozen times the sum of n^3 and three times the time of the kernel.

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
    problem = Problem(net_fn, x_train, y_train, initial, options, kernel_fn_kwargs)
    limits = _limits(problem.initial, {} if bounds is None else bounds)
    begins = _drawn(problem.initial, limits, bounds or {}, as_whole(starts, 'starts', 1), rng)
    max_steps = as_whole(max_steps, 'max_steps', 1)
    tol = nonnegative('tol', tol, positive=True)
    with counted(False if callable(progress) else progress, 'evidence') as step:
        shown = progress if callable(progress) else lambda hyper, value: step(f'{value:.6g}')
        searches = [_Search(problem, start, limits, shown) for start in begins]
        return _best([_ended(search, max_steps, tol) for search in searches])


def _limits(initial, bounds):
    """Return {name: (least, largest)} of all hyper-parameters."""
    if not isinstance(bounds, dict):
        raise TypeError(f'expected bounds as a dict {{name: (least, largest)}}, got '
                        f'{bounds!r:.100}.')
    if unknown := set(bounds) - set(initial):
        raise ValueError(f'expected bounds for {list(initial)}, got some for {sorted(unknown)}.')
    limits = {}
    for name, start in initial.items():
        given = bounds.get(name, (start / FAR, start * FAR))
        if numpy.shape(given) != (2,):
            raise ValueError(f'expected bounds of {name} as (least, largest), got {given!r:.100}.')
        low, high = (nonnegative(f'bounds of {name}', value, positive=True) for value in given)
        if not low <= start <= high:
            raise ValueError(f'expected {name} between its bounds {low:g} and {high:g}, got '
                             f'{start:g} in initial.')
        limits[name] = low, high
    return limits


def _drawn(initial, limits, bounds, number, rng):
    """Return the starts: `initial`, and others, log-uniform within `bounds` or NEAR `initial`."""
    def between(name, share):
        near = initial[name] / NEAR, initial[name] * NEAR
        low, high = limits[name] if name in bounds else near
        value = exp(log(low) + share * (log(high) - log(low)))
        return min(max(value, low), high)
    shares = generator(rng).random((number - 1, len(initial)))
    return [initial, *({name: between(name, share) for name, share in zip(initial, row)} for row in shares)]


def _ended(search, max_steps, tol):
    """Return the Fit of a search, or the error that ended it."""
    try:
        return search.run(max_steps, tol)
    except (ValueError, FitError) as error:
        return error


def _best(found):
    """Return the best Fit; if there is none raise the FitError that got furthest, else the first error."""
    def value(fit):
        return fit.log_marginal_likelihood
    fits = [each for each in found if isinstance(each, Fit)]
    if fits:
        return max(fits, key=value)._replace(starts=tuple(found))
    unfinished = [each for each in found if isinstance(each, FitError)]
    if not unfinished:
        raise found[0]
    error = max(unfinished, key=lambda error: value(error.fit))
    error.fit = error.fit._replace(starts=tuple(found))
    raise error


class _Search:
    """-log p and its gradient for SciPy, in the logarithms of value / start; keeps all values and the best result."""

    def __init__(self, problem, initial, limits, progress):
        self.problem = problem
        self.initial = initial
        self.limits = [(log(low / initial[name]), log(high / initial[name]))
                       for name, (low, high) in limits.items()]
        self.progress = progress
        self.trace = []
        self.best = None

    def __call__(self, u):
        self.last = tuple(map(float, u))
        hyper = {name: start * exp(v) for (name, start), v in zip(self.initial.items(), u)}
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
