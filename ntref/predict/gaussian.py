"""Gaussian predictions: the ensemble of all initializations, trained or Bayesian, as mean and covariance."""
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..arguments import requested
from ..arrays import is_array
from ..no_arrays import no_array
from ..tuples import named_tuple
from ..types import Array, Get, Number
from .closed_form import (
    Training, flow_test, flow_train, gp_covariance, gp_train_covariance, ntk_covariance,
    ntk_train_covariance, without_rounding)
from .layout import Axes, checked, field, kernel_matrix, refuse_function, zipped
from .predictor import Predictor

__all__ = [
    'NEEDS', 'WHICH', 'Gaussian', 'answer', 'gp_inference', 'names_in', 'predict', 'unique']

NEEDS = {      # get: kernels needed for the mean; for mean and covariance; the kernel test x test
    'nngp': (('nngp',), ('nngp',), 'nngp'),
    'ntk': (('ntk',), ('nngp', 'ntk'), 'nngp'),
    'ntkgp': (('ntk',), ('ntk',), 'ntk'),
}
WHICH = {
    'nngp': 'the NNGP of the training set (with diag_reg)',
    'ntk': 'the NTK of the training set (with diag_reg)',
}
"""What messages call the kernels."""


class Gaussian(NamedTuple):
    """Mean and covariance of predictions.

    Attributes
    ----------
    mean : array, t.shape + the shape of the outputs.
    covariance : array, t.shape + (m, m), or (m, m, c, c, ...) with the axes of the outputs that are not traced; the
        same for every index of a traced axis.

    Examples
    --------
    >>> Gaussian(mean=0., covariance=1.).covariance
    1.0
    """

    mean: Any
    covariance: Any


# ------------------------------------------------------------------ the public functions

def gp_inference(k_train_train: Any, y_train: Array, diag_reg: Number = 0.,
                 diag_reg_absolute_scale: bool = False, trace_axes: Axes = (-1,)) -> '_Posterior':
    r"""Predict by the posterior of a Gaussian process, which is also the ensemble of networks trained to infinite time.

    ==========  ==========================  =====================================================================
    get         mean                        covariance
    ==========  ==========================  =====================================================================
    'nngp'      :math:`S_{*t} A^{-1} y`     :math:`S_{**} - S_{*t} A^{-1} S_{t*}`, all layers random, last trained
    'ntk'       :math:`B y`                 :math:`S_{**} - B S_{t*} - S_{*t} B^T + B S_{tt} B^T`, all trained
    'ntkgp'     :math:`B y`                 :math:`T_{**} - B T_{t*}`, the GP whose prior covariance is the NTK
    ==========  ==========================  =====================================================================

    S is the NNGP, T the NTK; A = S_tt + diag_reg s_S (s_S = trace(S_tt)/n, or 1 with `diag_reg_absolute_scale`);
    B = T_*t (T_tt + diag_reg s_T)^-1. The S_tt in the covariance of 'ntk' has no diag_reg: that is the covariance
    of the outputs at initialization.

    Parameters
    ----------
    k_train_train : object with attributes `nngp` and/or `ntk` (a Kernel, a named tuple), or an array, used for either.
        Arrays of shape (n, n), or (n, n, c, c, ...): symmetric positive semi-definite.
    y_train : array (n, ..., o), the targets; (n,) works with the default `trace_axes`.
    diag_reg, diag_reg_absolute_scale, trace_axes : as in `gradient_descent_mse`.

    Returns
    -------
    predict_fn(get=None, k_test_train=None, k_test_test=None)
        get : 'nngp', 'ntk' or 'ntkgp', a tuple of them, or None for ('nngp', 'ntk').
        k_test_train : like `k_train_train`, test x train; None predicts the training set, and gives `y_train` whatever
            the `diag_reg` (pass k_train_train here for the regularized fit).
        k_test_test : like `k_train_train`, test x test; None: no covariances. An array counts as the NNGP. For
            covariances on the training set pass anything that is not None, such as True.

        For one name it returns the mean, or `Gaussian(mean, covariance)`; for a tuple a named tuple of those.

    Raises
    ------
    ValueError : shapes disagree; NaN or infinity; diag_reg < 0; unknown `get`; a kernel is missing: 'ntk' with
        covariance needs nngp and ntk, 'ntkgp' with covariance needs an object with ntk as `k_test_test`.
    ValueError : (on calling predict_fn) a diag_reg > 0 that is lost in the rounding of the kernel's entries.
    NotPSDError : (on calling predict_fn) the smallest eigenvalue of A is below -10 max(n, 4) eps times the largest; a
        variance is below 0 by more than rounding (NegativeVarianceError); less negative ones count as 0.
    SingularKernelWarning : eigenvalues of A that count as zero affect the result: docs/theory/dynamics.md#rounding.

    Notes
    -----
    If A has eigenvalues that are zero to rounding, its inverse is the pseudo-inverse, the limit of training; the
    targets' part along them is then not reached on the training set: docs/theory/dynamics.md#infinite-time. A warning
    says so, because eigenvalues that are tiny but not zero are lost too, and variances may be far too small.

    Accuracy
    --------
    Mean and covariance: largest error over largest value at most 4 eps cond(A), as measured for
    `gradient_descent_mse`; the covariance of 'nngp' and 'ntkgp', relative to the prior's, 40 eps up to cond(A) = 1e3
    and 2e-14 at 7e4. Covariances are exactly symmetric.

    Source
    ------
    'nngp': Rasmussen and Williams 2006, equations 2.23-2.24; 'ntk': Lee et al. 2019 (arXiv:1902.06720), section 2.3;
    'ntkgp': He et al. 2020 (arXiv:2007.05864). Derivation: docs/theory/dynamics.md#gaussian-processes.

    Examples
    --------
    >>> import numpy as np
    >>> predict_fn = gp_inference(np.array([[2., 1.], [1., 2.]]), np.array([3., 0.]))
    >>> mean, covariance = predict_fn('nngp', np.array([[1., 1.]]), np.array([[1.]]))
    >>> mean.round(6), covariance.round(6)
    (array([1.]), array([[0.333333]]))
    """
    def training(k):
        return Training(k, y_train, diag_reg, diag_reg_absolute_scale, trace_axes)

    refuse_function(k_train_train)
    if is_array(k_train_train):
        return _Posterior(dict.fromkeys(('nngp', 'ntk'), training(k_train_train)))
    train = {name: training(field(k_train_train, name, 'k_train_train'))
             for name in ('nngp', 'ntk') if getattr(k_train_train, name, None) is not None}
    if not train:
        raise no_array(
            k_train_train, 'k_train_train to be an array or to have attributes nngp and ntk')
    return _Posterior(train)


@dataclass(frozen=True, eq=False, repr=False)
class _Posterior(Predictor, of='gp_inference'):
    """The predict_fn of `gp_inference`; `train` has the same training set twice if a single kernel was given."""

    train: dict

    def told(self):
        sets = unique(self.train.values())
        names = ' and '.join(self.train) if len(sets) == len(self.train) else 'one kernel'
        return f'{names}, {sets[0].told()}'

    def parts(self):
        sets = unique(self.train.values())
        return {'names': list(self.train), 'train': [train.parts() for train in sets]}

    @classmethod
    def of_parts(cls, parts, network):
        names = names_in(parts['names'])
        sets = [Training.of_parts(train) for train in parts['train']]
        return cls(dict(zip(names, sets * len(names) if len(sets) == 1 else sets, strict=True)))

    def __call__(self, get: Get = None, k_test_train: Any = None, k_test_test: Any = None) -> Any:
        names = names_in(get)
        results = [predict(name, self.train, None, k_test_train, k_test_test) for name in names]
        found = answer(get, names, results)
        for kernel in unique(NEEDS[name][0][0] for name in names):
            self.train[kernel].a.announce(self.train[kernel].y, None, WHICH[kernel])
        return found


# ------------------------------------------------------------------ one prediction

def predict(name: str, train: dict[str, Training], tau: Any, k_test_train: Any,
            k_test_test: Any) -> Any:
    """Return the mean, or the Gaussian if `k_test_test` is given, for one name; `tau` None is infinite time."""
    kernel = NEEDS[name][0][0]
    p = chosen(train, kernel)
    if k_test_train is None:
        k = None
        rows = p.layout.rows
        mean = flow_train(p.a, 0. * p.y, p.y, tau)
    else:
        k, rows = p.layout.test_matrix(field(k_test_train, kernel, 'k_test_train'))
        mean = flow_test(p.a, k, p.y, tau)
    mean = p.layout.outputs(mean, rows)
    if k_test_test is None:
        return mean
    if name == 'ntk':
        covariance, prior = both_kernels(train, k, tau, k_test_train, k_test_test, rows)
    elif k is None:
        covariance = gp_train_covariance(p.a, tau)
        prior = p.a.k
    else:
        prior = test_kernel(name, p, k_test_test, rows)
        covariance = gp_covariance(p.a, k, tau, prior)
    covariance = without_rounding(covariance, prior, p.a.eps)
    return Gaussian(mean, p.layout.covariance(covariance, rows))


def both_kernels(train, k, tau, k_test_train, k_test_test, rows):
    """Return the covariance for get='ntk', which needs the NNGP too, and the prior covariance."""
    a = train['ntk'].a
    if k is None and tau is None and not a.singular:
        return 0. * a.k, a.k
    if train['ntk'] is train.get('nngp') or is_array(k_test_train):
        raise ValueError('expected k_train_train and k_test_train with attributes nngp and ntk: '
                         "the covariance for get='ntk' needs both; got an array. Pass what "
                         "kernel_fn(x1, x2, get=('nngp', 'ntk')) gives.")
    p = chosen(train, 'nngp')
    if k is None:
        return ntk_train_covariance(a, tau, p.a.k), p.a.k
    s_st, _ = p.layout.test_matrix(field(k_test_train, 'nngp', 'k_test_train'))
    s_ss = test_kernel('ntk', p, k_test_test, rows)
    return ntk_covariance(a, k, tau, p.a.k, s_st, s_ss), s_ss


def chosen(train, kernel):
    """Return the training set with this kernel; raise ValueError if it was not given."""
    if kernel not in train:
        raise ValueError(f'expected k_train_train with an attribute {kernel}, got '
                         f'{", ".join(train) or "neither"}. Pass what kernel_fn(x_train, None, '
                         "get=('nngp', 'ntk')) gives.")
    return train[kernel]


def test_kernel(name, p, k_test_test, rows):
    """Return the kernel test x test as a matrix.

    A bare array does not say which kernel it is and counts as the NNGP.
    """
    if name == 'ntkgp' and is_array(k_test_test):
        raise ValueError("expected k_test_test with an attribute ntk for get='ntkgp', got an "
                         'array, which may be the NNGP. Pass what kernel_fn(x_test, None, '
                         "get=('nngp', 'ntk')) gives.")
    k = checked('k_test_test', field(k_test_test, NEEDS[name][2], 'k_test_test'))
    p.layout.check('k_test_test', k, zipped(rows, rows))
    return kernel_matrix(k)


# ------------------------------------------------------------------ the names asked for, and the form of the results

def names_in(get: Get) -> tuple[str, ...]:
    """Return the names in `get`, in lower case; 'nngp' and 'ntk' for None."""
    if is_array(get):
        shape = getattr(get, 'shape', ())
        raise TypeError(f'expected get to be names of kernels, got an array of shape {shape}. '
                        'Is it k_test_train? Pass k_test_train=..., or None in front.')
    return requested(get, NEEDS, 'Kernels come after it.') or ('nngp', 'ntk')


def answer(get: Get, names: tuple[str, ...], results: list[Any]) -> Any:
    """Return the one result for a string, otherwise a named tuple of the results."""
    return results[0] if isinstance(get, str) else named_tuple('Gaussians', dict(zip(names, results)))


def unique(names: Iterable[Any]) -> tuple[Any, ...]:
    """Return names, or other objects, without repetitions, in their order."""
    return tuple(dict.fromkeys(names))
