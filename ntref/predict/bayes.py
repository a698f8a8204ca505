"""Model selection for Gaussian processes: evidence of the targets, and predictions of each input from all others.

    A = K + diag_reg        alpha = A^-1 y        B_i the block of A^-1 that belongs to input i

Below, y is a matrix (n c, o) of o independent columns with c rows for each of n inputs; `a` is the factorization of A
(factor.py). Every formula is derived in docs/theory/bayes.md.
"""
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..arguments import suggestion
from ..arrays import namespace, plain
from ..no_arrays import check_entries
from ..types import Array, Number
from .closed_form import Training
from .factor import Factor, cholesky_solve, with_ridges
from .layout import Axes, field, nonnegative

__all__ = [
    'LeaveOneOut', 'RidgeSweep', 'evidence', 'evidence_gradient', 'kernel_of', 'leave_one_out',
    'log_marginal_likelihood', 'ridge_sweep']

PRIORS = {'nngp': 'nngp', 'ntkgp': 'ntk'}      # get: the kernel that is the prior covariance


# ------------------------------------------------------------------ the formulas

def evidence(a: Factor, y: Array) -> Number:
    """log p(y) = -1/2 tr(y^T A^-1 y) - o/2 log |A| - n o/2 log 2 pi."""
    n, o = y.shape
    log_determinant = a.log_determinant()
    w = a.half(y)
    value = -namespace(w).sum(w * w) / 2 - o * log_determinant / 2 - n * o * log_2pi(a.k) / 2
    return in_range('log marginal likelihood', value)


def evidence_gradient(a: Factor, y: Array) -> tuple[Array, Number]:
    """Return d log p / dK and d log p / d diag_reg, from d log p / dA = G = (alpha alpha^T - o A^-1)/2."""
    xp = namespace(a.k, y)
    one = namespace(a.k).eye(a.n)
    a.refuse_singular()
    alpha = a.solve(y)
    G = (alpha @ alpha.T - y.shape[1] * a.solve(one)) / 2
    trace = xp.sum(G * one)
    of_k = G if a.absolute else G + trace * a.diag_reg / a.n * one
    return of_k, trace * a.scale


def left_out(a, y, c):
    """Return mean y_i - B_i^-1 alpha_i, covariance B_i^-1 and log density of each y_i given all others."""
    xp = namespace(a.k, y)
    o = y.shape[1]
    blocks = a.inverse_blocks(c)
    alpha = xp.reshape(a.solve(y), (-1, c, o))
    variance, log_determinant = inverted(blocks)
    step = variance @ alpha
    fit = xp.sum(xp.sum(alpha * step, axis=-1), axis=-1)
    density = -fit / 2 - o * log_determinant / 2 - c * o * log_2pi(a.k) / 2
    return y - xp.reshape(step, y.shape), variance, in_range('log density', density)


def in_range(name, value):
    """Return `value`, one log density or several; raise ValueError if one of them is not finite."""
    xp = namespace(value)
    if not xp.all(xp.isfinite(value)):
        raise ValueError(f'expected a finite {name}, got {plain(xp.sum(value))}: y^T A^-1 y is out '
                         'of range. Scale the targets, or pass a larger diag_reg.')
    return value


def inverted(blocks):
    """Return B^-1 and log |B^-1| of positive definite blocks (n, c, c)."""
    xp = namespace(blocks)
    c = blocks.shape[-1]
    if c == 1:
        return 1 / blocks, -xp.log(blocks[:, 0, 0])
    one = xp.eye(c)
    lower = [xp.cholesky(b) for b in blocks]
    inverse = xp.stack([cholesky_solve(b, one) for b in lower])
    half = xp.stack([xp.sum(xp.log(xp.sum(b * one, axis=0))) for b in lower])      # of log |B|
    return inverse, -2 * half


def log_2pi(like):
    """Return log(2 pi) in the precision of an array."""
    xp = namespace(like)
    return xp.log(2 * xp.pi * xp.eye(1))[0, 0]


# ------------------------------------------------------------------ the public functions

def kernel_of(get: str) -> str:
    """Return the name of the kernel that is the prior covariance for `get`."""
    kernel = PRIORS.get(str(get).lower())
    if kernel is None:
        raise ValueError("expected get to be 'nngp', or 'ntkgp' for the Gaussian process whose "
                         f'covariance is the NTK; got {get!r:.100}.{suggestion(get, PRIORS)} The '
                         "ensemble 'ntk' of gp_inference is the posterior of no prior.")
    return kernel


def log_marginal_likelihood(k_train_train: Any, y_train: Array, diag_reg: Number = 0.,
                            diag_reg_absolute_scale: bool = False, trace_axes: Axes = (-1,),
                            get: str = 'nngp') -> Number:
    r"""Return the log density of the targets under a Gaussian process with noise: the evidence for the network.

    .. math::
        \log p(y) = -\tfrac12 y^T A^{-1} y - \tfrac12 \log |A| - \tfrac n2 \log 2\pi, \qquad A = K + \text{diag\_reg}

    summed over traced axes, whose entries are independent. A = k_train_train + diag_reg * s * identity, s = trace/n of
    k_train_train as an (n, n) matrix, or s = 1 with `diag_reg_absolute_scale`: then diag_reg is the noise variance.

    Parameters
    ----------
    k_train_train, y_train, diag_reg, diag_reg_absolute_scale, trace_axes : as in `gp_inference`.
    get : 'nngp', or 'ntkgp': the prior covariance is the NTK. An array is used for either.

    Returns
    -------
    number (float64; float32 if `k_train_train` and `y_train` are), in nats. autograd can differentiate it; for the
    hyper-parameters of a network `log_marginal_likelihood_gradient` takes less time and memory.

    Raises
    ------
    ValueError : as `gp_inference`; A is numerically singular (log 0), for example because an input occurs twice
        without noise; log p(y) is out of the range of floating-point numbers.
    ValueError : a diag_reg > 0 that is lost in the rounding of the kernel's entries: docs/theory/dynamics.md#rounding.
    NotPSDError : the smallest eigenvalue of A is below -10 max(n, 4) eps times the largest.

    Accuracy
    --------
    The error is at most eps cond(A) times (1/2 y^T A^-1 y + 1) for each traced entry, compared with mpmath at 40 digits
    (n = 6 to 30, cond(A) = 1e2 to 1e9; the measured error is 0.4 of this bound).

    Source
    ------
    Rasmussen and Williams 2006, equation 2.30. Derivation: docs/theory/bayes.md#marginal-likelihood.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(log_marginal_likelihood(np.diag([1., 4.]), np.array([1., 0.]))), 6)    # -1/2 - log 2 - log 2 pi
    -3.031024
    """
    train = _training(k_train_train, y_train, diag_reg, diag_reg_absolute_scale, trace_axes, get)
    return train.layout.cast(evidence(train.a, train.y))


class LeaveOneOut(NamedTuple):
    """Predictions of each input's targets from all other inputs and their targets.

    Attributes
    ----------
    mean : array, the shape of the targets.
    variance : array (n,), variances of an input's target given the others, noise included; the same for every index of
        a traced axis. With axes of sizes c, ... that are not traced, covariances (n, c, c, ...).
    log_density : array (n,), log p(targets of this input | all others), summed over traced axes, in nats.

    Examples
    --------
    >>> LeaveOneOut(mean=0., variance=1., log_density=-.9).variance
    1.0
    """

    mean: Any
    variance: Any
    log_density: Any


def leave_one_out(k_train_train: Any, y_train: Array, diag_reg: Number = 0.,
                  diag_reg_absolute_scale: bool = False, trace_axes: Axes = (-1,),
                  get: str = 'nngp') -> LeaveOneOut:
    r"""Predict the targets of each input from all others, without n separate fits.

    .. math::
        \mu_i = y_i - B_i^{-1} \alpha_i, \qquad \Sigma_i = B_i^{-1}, \qquad
        \log p(y_i | y_{-i}) = -\tfrac12 \alpha_i^T B_i^{-1} \alpha_i + \tfrac12 \log |B_i| - \tfrac c2 \log 2\pi

    with alpha = A^-1 y and B_i the block of A^-1 that belongs to input i. One INPUT at a time is left out: if `y_train`
    has axes of sizes c, ... that are not traced, all targets of the input are left out together, and B_i has c rows.

    Parameters
    ----------
    k_train_train, y_train, diag_reg, diag_reg_absolute_scale, trace_axes, get : as in `log_marginal_likelihood`. The
        inputs are axis 0 of `y_train`. reg = diag_reg * trace/n is always that of all inputs, with none left out.

    Returns
    -------
    LeaveOneOut(mean, variance, log_density)

    Raises
    ------
    ValueError : as `log_marginal_likelihood`; axis 0 is traced. NotPSDError : as there.

    Accuracy
    --------
    Errors are at most eps cond(A): of means relative to the largest of targets and means, of each variance relative to
    itself. Compared with mpmath at 40 digits (n = 6 to 30, cond(A) = 1e2 to 1e9); the measured error is 0.1 of this.

    Source
    ------
    Rasmussen and Williams 2006, equations 5.10-5.12. Derivation: docs/theory/bayes.md#leaving-one-out.

    Examples
    --------
    >>> import numpy as np
    >>> loo = leave_one_out(np.array([[2., 1.], [1., 2.]]), np.array([3., 1.]))
    >>> loo.mean.round(6), loo.variance.round(6)          # of each from the other: 1/2 of it, 2 - 1/2
    (array([0.5, 1.5]), array([1.5, 1.5]))
    """
    train = _training(k_train_train, y_train, diag_reg, diag_reg_absolute_scale, trace_axes, get)
    return _each_left_out(train.layout, train.a, train.y)


class RidgeSweep(NamedTuple):
    """Results for several values of diag_reg, which are the first axis of every field.

    Attributes
    ----------
    diag_reg : list of the numbers that were given.
    mean : array (r,) + the shape of the test outputs; None without k_test_train.
    leave_one_out : LeaveOneOut of arrays (r, ...).
    log_marginal_likelihood : array (r,).

    Examples
    --------
    >>> RidgeSweep._fields
    ('diag_reg', 'mean', 'leave_one_out', 'log_marginal_likelihood')
    """

    diag_reg: Any
    mean: Any
    leave_one_out: LeaveOneOut
    log_marginal_likelihood: Any


def ridge_sweep(k_train_train: Any, y_train: Array, diag_regs: Iterable[Number],
                k_test_train: Any = None, diag_reg_absolute_scale: bool = False,
                trace_axes: Axes = (-1,), get: str = 'nngp') -> RidgeSweep:
    r"""Compute predictions, leave-one-out and evidence for many diag_reg with one eigendecomposition of the kernel.

    .. math::
        K = V \Lambda V^T, \qquad A^{-1} = V (\Lambda + \text{reg})^{-1} V^T

    so that each diag_reg takes time n^2 (o + c) instead of n^3.

    Parameters
    ----------
    k_train_train, y_train, diag_reg_absolute_scale, trace_axes, get : as in `log_marginal_likelihood`.
    diag_regs : numbers >= 0, one or more.
    k_test_train : like `k_train_train`, test x train; None: no test outputs.

    Returns
    -------
    RidgeSweep(diag_reg, mean, leave_one_out, log_marginal_likelihood)

    Raises
    ------
    ValueError, NotPSDError : as `log_marginal_likelihood`, for any of the `diag_regs`. TypeError : diag_regs is one
        number.

    Accuracy
    --------
    As `gp_inference`, `leave_one_out` and `log_marginal_likelihood`.

    Source
    ------
    docs/theory/bayes.md#many-ridges.

    Examples
    --------
    >>> import numpy as np
    >>> sweep = ridge_sweep(np.diag([1., 1., 4.]), np.array([1., -1., 1.]), [.01, .1, 1.], np.array([[1., 0., 0.]]))
    >>> sweep.mean.round(6)                                # 1 / (1 + 2 diag_reg)
    array([[0.980392],
           [0.833333],
           [0.333333]])
    >>> sweep.diag_reg[sweep.log_marginal_likelihood.argmax()]
    0.01
    """
    train = _training(k_train_train, y_train, 0., diag_reg_absolute_scale, trace_axes, get)
    layout = train.layout
    y = train.y
    regs = _ridges(diag_regs)
    factors = with_ridges(train.a, regs)
    found = [_each_left_out(layout, a, y) for a in factors]
    stack = namespace(y, train.a.k).stack
    mean = None
    if k_test_train is not None:
        k_test, rows = layout.test_matrix(field(k_test_train, kernel_of(get), 'k_test_train'))
        mean = layout.outputs(stack([k_test @ a.solve(y) for a in factors]), rows)
    values = layout.cast(stack([evidence(a, y) for a in factors]))
    return RidgeSweep(regs, mean, LeaveOneOut(*map(stack, zip(*found))), values)


# ------------------------------------------------------------------ arrays in, matrices inside, arrays out

def _training(k, y, diag_reg, absolute, trace_axes, get):
    return Training(field(k, kernel_of(get), 'k_train_train'), y, diag_reg, absolute, trace_axes)


def _ridges(diag_regs):
    check_entries(diag_regs, 'diag_regs')
    if not hasattr(diag_regs, '__iter__') or getattr(diag_regs, 'shape', None) == ():
        raise TypeError(f'expected several numbers as diag_regs, got {diag_regs!r}. For one write '
                        f'[{diag_regs!r}].')
    regs = [nonnegative('diag_regs', reg) for reg in diag_regs]
    if not regs:
        raise ValueError('expected at least one number in diag_regs, got none.')
    return regs


def _each_left_out(layout, a, y):
    others = layout.rows[1:]
    mean, variance, density = left_out(a, y, a.n // layout.inputs())
    return LeaveOneOut(layout.outputs(mean, layout.rows), layout.covariance(variance, others),
                       layout.cast(density))
