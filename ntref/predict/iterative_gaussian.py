"""Gaussian predictions with kernels that need not be in memory: `gp_inference` by conjugate gradients."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from ..arrays import as_floats
from ..engine.cover import cuts
from ..no_arrays import check_unfollowed
from ..on_either import array_like
from ..types import Array, Get, Number
from .closed_form import settled, without_rounding
from .gaussian import NEEDS, Gaussian, answer, names_in
from .iterative import State, System
from .layout import Axes, Layout, checked, field, kernel_matrix, refuse_function, zipped
from .out_of_core import Tiles
from .predictor import Predictor

__all__ = ['gp_inference_iterative']

COLUMNS = 128          # right-hand sides solved for at a time, for variances


def gp_inference_iterative(k_train_train: Any, y_train: Array, diag_reg: Number = 0.,
                           diag_reg_absolute_scale: bool = False, trace_axes: Axes = (-1,),
                           tol: float = 1e-8, rank: int = 100, max_steps: int = 1000,
                           progress: bool | Callable[[State], Any] | None = None,
                           preconditioner: str = 'cholesky') -> '_Posterior':
    r"""Predict as `gp_inference` does, by conjugate gradients, for kernels that need not be in memory.

    Means and covariances are those of `gp_inference`, which has the table of formulas.

    Parameters
    ----------
    k_train_train : object with attributes `nngp` and/or `ntk`, or an array, used for either. Arrays are as in `cg`: in
        memory, on disk, or a `ComputedKernel`; of shape (n, n), or (n, n, c, c, ...).
    y_train, diag_reg, diag_reg_absolute_scale, trace_axes : as in `gp_inference`.
    tol, rank, max_steps, progress, preconditioner : as in `cg`.

    Returns
    -------
    predict_fn(get=None, k_test_train=None, k_test_test=None)
        get : 'nngp', 'ntk' or 'ntkgp', a tuple of them, or None for ('nngp', 'ntk').
        k_test_train : like `k_train_train`, test x train.
        k_test_test : like `k_train_train`, test x test, which gives covariances, and takes six arrays n x m of memory;
            or its diagonal (m,), or (m, c, ...), which gives variances of that shape, 128 test points at a time.
            None: neither. An array counts as the NNGP.

        It returns results as `gp_inference` does. The solution for the targets is computed when first needed, and kept.
        After a NotConvergedError or Ctrl-C the same call goes on from where it stopped.

    Raises
    ------
    ValueError : as `gp_inference`; no `k_test_train` (on the training set the mean is y_train).
    TypeError, NotPSDError, NotConvergedError : as `cg`, on calling predict_fn.

    Accuracy
    --------
    Let s be the smallest eigenvalue of A. Means: |error| <= |k_test| tol |y| / s, usually far less. Variances of 'nngp'
    and 'ntkgp': 0 <= error <= tol^2 |k_test|^2 / s, because v^T (k + r) with r = k - A v has the error r^T A^-1 r.
    Variances of 'ntk': the error is of the order tol.

    Source
    ------
    As `gp_inference` and `cg`; the correction: docs/theory/dynamics.md#without-the-kernel-in-memory.

    Examples
    --------
    >>> import numpy as np
    >>> predict_fn = gp_inference_iterative(np.array([[2., 1.], [1., 2.]]), np.array([3., 0.]))
    >>> mean, variance = predict_fn('nngp', np.array([[1., 1.]]), np.array([1.]))
    >>> mean.round(6), variance.round(6)
    (array([1.]), array([0.333333]))
    """
    refuse_function(k_train_train)
    options = (diag_reg, diag_reg_absolute_scale, tol, rank, max_steps, progress,
               preconditioner)
    return _Posterior(k_train_train, as_floats(y_train)[0], trace_axes, options, {})


@dataclass(frozen=True, eq=False, repr=False)
class _Posterior(Predictor, of='gp_inference_iterative'):
    """The predict_fn of `gp_inference_iterative`; `train` has the training sets made so far."""

    unkept = ('its kernel need not be in memory. Save the State of `cg`, whose arrays numpy.savez can store, or pickle '
              'the predictor.')

    kernel: Any
    y: Any
    trace_axes: Any
    options: tuple
    train: dict

    def told(self):
        diag_reg, _, tol, *_ = self.options
        return f'targets {self.y.shape}, diag_reg={diag_reg!s:.20}, tol={tol!s:.20}'

    def trained(self, name: str) -> '_Training':
        """Return the training set with the kernel `name`."""
        key = 'either' if _is_arraylike(self.kernel) else name
        if key not in self.train:
            k = field(self.kernel, name, 'k_train_train', _is_arraylike)
            self.train[key] = _Training(k, self.y, self.trace_axes, self.options)
        return self.train[key]

    def __call__(self, get: Get = None, k_test_train: Any = None, k_test_test: Any = None) -> Any:
        names = names_in(get)
        bare = _is_arraylike(self.kernel)
        if k_test_train is None:
            raise ValueError('expected k_test_train, got None: on the training set the mean is '
                             'y_train. Pass kernel_fn(x_test, x_train), or the kernel of the '
                             'training set for the regularized fit.')
        if 'ntk' in names and k_test_test is not None and (bare or _is_arraylike(k_test_train)):
            raise ValueError('expected k_train_train and k_test_train with attributes nngp and '
                             "ntk: the covariance for get='ntk' needs both; got an array.")
        found = [_predict(name, self.trained, k_test_train, k_test_test) for name in names]
        return answer(get, names, found)


class _Training:
    """A training set seen through one kernel that need not be in memory."""

    def __init__(self, k, y, trace_axes, options):
        tiles = Tiles('k_train_train', k, y)
        check_unfollowed(y, 'y_train')
        self.layout = Layout(y, trace_axes, k)
        self.y = self.layout.columns(checked('y_train', y))
        self.system = System(tiles, *options)
        self.a = None

    def solution(self):
        """Return A^-1 y, solved when first needed."""
        if self.a is None:
            self.a = self.system.solve(self.y)[0].a
        return self.a

    def test(self, k):
        """Return the kernel test x train, after a check of its shape."""
        self.layout.check('k_test_train', k, self.layout.test_sizes())
        return Tiles('k_test_train', k, self.y)


def _predict(name, trained, k_test_train, k_test_test):
    """Return the mean, or the Gaussian if `k_test_test` is given, for one name."""
    kernel = NEEDS[name][0][0]
    wanted = NEEDS[name][2]
    p = trained(kernel)
    k = p.test(field(k_test_train, kernel, 'k_test_train', _is_arraylike))
    rows = tuple(k.k.shape[::2])
    mean = p.layout.outputs(k @ p.solution(), rows)
    if k_test_test is None:
        return mean
    if name == 'ntkgp' and _is_arraylike(k_test_test):
        raise ValueError("expected k_test_test with an attribute ntk for get='ntkgp', got an "
                         'array, which may be the NNGP. Pass what kernel_fn(x_test, None, '
                         "get=('nngp', 'ntk')) gives.")
    given = field(k_test_test, wanted, 'k_test_test', _is_arraylike)
    prior = checked('k_test_test', array_like(given, p.y))
    variances = prior.shape == rows
    if not variances:
        p.layout.check('k_test_test', prior, zipped(rows, rows))
    s = None
    if name == 'ntk':
        nngp = trained('nngp')
        s = (nngp, nngp.test(field(k_test_train, 'nngp', 'k_test_train', _is_arraylike)))
    side = max(1, COLUMNS // k.each) if variances else rows[0]
    parts = [_explained(p, k, s, some, variances) for some in cuts(rows[0], side)]
    eps = max(p.system.k.eps, k.eps)
    if variances:
        prior = prior.ravel()
        variance = settled(prior - numpy.concatenate(parts), prior, eps)
        return Gaussian(mean, p.layout.cast(variance.reshape(rows)))
    prior = kernel_matrix(prior)
    covariance = without_rounding(prior - parts[0], prior, eps)
    return Gaussian(mean, p.layout.covariance(covariance, rows))


def _explained(p, k, s, rows, variances):
    """Return what is subtracted from the prior covariance of some test points; only its diagonal for `variances`."""
    def inner(a, b):
        return (a * b).sum(0) if variances else a.T @ b
    t = k.band(rows)
    state, r, _ = p.system.solve(t)
    if s is None:
        return inner(state.a, t + r)
    nngp, test = s
    v = state.a
    cross = test.band(rows)
    return inner(v, cross) + inner(cross, v) - inner(v, nngp.system.k.times(v))


def _is_arraylike(k):
    """True for an array, in memory or not; a Kernel has a shape too."""
    has_kernels = hasattr(k, 'nngp') or hasattr(k, 'ntk')
    return hasattr(k, 'shape') and hasattr(k, 'dtype') and not has_kernels
