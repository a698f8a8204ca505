"""Gaussian predictions: the ensemble of all initializations, trained or Bayesian, as mean and covariance."""
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..arguments import as_flag, as_part, is_per_input, suggestion
from ..arrays import is_array, namespace
from ..no_arrays import check_entries, no_array
from ..trees import named
from .closed_form import (
    Training, flow_test, flow_train, gp_covariance, gp_train_covariance, ntk_covariance, ntk_train_covariance,
    without_rounding)
from .layout import (
    checked, field, kernel_matrix, nonnegative, refuse_function, time, times_alone, zipped)

__all__ = ['Gaussian', 'gp_inference', 'gradient_descent_mse_ensemble']

NEEDS = {          # get: kernels needed for the mean; for mean and covariance; the kernel test x test
    'nngp': (('nngp',), ('nngp',), 'nngp'),
    'ntk': (('ntk',), ('nngp', 'ntk'), 'nngp'),
    'ntkgp': (('ntk',), ('ntk',), 'ntk'),
}


WHICH = {'nngp': 'the NNGP of the training set (with diag_reg)', 'ntk': 'the NTK of the training set (with diag_reg)'}


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

def gp_inference(k_train_train, y_train, diag_reg=0., diag_reg_absolute_scale=False, trace_axes=(-1,)):
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
    train = {name: training(field(k_train_train, name, 'k_train_train')) for name in ('nngp', 'ntk')
             if getattr(k_train_train, name, None) is not None}
    if not train:
        raise no_array(k_train_train, 'k_train_train to be an array or to have attributes nngp and ntk')
    return _Posterior(train)


@dataclass(frozen=True, eq=False, repr=False)
class _Posterior:
    """The predict_fn of `gp_inference`."""

    train: dict

    def __call__(self, get=None, k_test_train=None, k_test_test=None):
        names = requested(get)
        found = answer(get, names, [predict(name, self.train, None, k_test_train, k_test_test) for name in names])
        for kernel in unique(NEEDS[name][0][0] for name in names):
            self.train[kernel].a.announce(self.train[kernel].y, None, WHICH[kernel])
        return found


def gradient_descent_mse_ensemble(kernel_fn, x_train, y_train, learning_rate=1., diag_reg=0.,
                                  diag_reg_absolute_scale=False, trace_axes=(-1,), **kernel_fn_train_train_kwargs):
    r"""Predict outputs of the ensemble of infinitely wide networks, each trained by gradient flow from random weights.

    ==========  ===============================================================================================
    get         mean and covariance on test points
    ==========  ===============================================================================================
    'ntk'       :math:`B y,\; S_{**} - B S_{t*} - S_{*t} B^T + B S_{tt} B^T`,
                :math:`B = T_{*t} A^{-1} (1 - e^{-A\tau}),\; A = T_{tt} + reg`: all layers trained
    'nngp'      :math:`S_{*t} A^{-1} (1 - e^{-A\tau}) y,\; S_{**} - S_{*t} A^{-1} (1 - e^{-2A\tau}) S_{t*}`,
                :math:`A = S_{tt} + reg`: only the last layer trained
    'ntkgp'     t = None only: the Gaussian process of `gp_inference`
    ==========  ===============================================================================================

    S is the NNGP, T the NTK, tau = learning_rate t / y_train.size. On the training set (`x_test=None`) the mean is
    (1 - exp(-A tau)) y and the covariance exp(-A tau) S_tt exp(-A tau) for 'ntk', A exp(-2 A tau) for 'nngp'.
    Loss: L = 1/2 mean (f - y)^2 over ALL entries of `y_train`. Outputs at t = 0 have mean zero.

    Parameters
    ----------
    kernel_fn : function (x1, x2, get, **kwargs) that returns an array for a string `get`, an object with attributes for
        a tuple; or a network, whose kernel_fn is used.
    x_train : the inputs, in any form that `kernel_fn` takes.
    y_train : array (n, ..., o), the targets; (n,) works with the default `trace_axes`.
    learning_rate, diag_reg, diag_reg_absolute_scale, trace_axes : as in `gradient_descent_mse`.
    **kernel_fn_train_train_kwargs : passed to kernel_fn(x_train, None, get). Arrays, pairs of arrays of equal length,
        and pairs (value, None) are taken to belong to inputs, like the `pattern` of graphs or `rng`; `params` never is.

    Returns
    -------
    predict_fn(t=None, x_test=None, get=None, compute_cov=False, **kernel_fn_test_test_kwargs)
        t : None or inf (the limit), or times >= 0 in any shape.
        x_test : test inputs; None predicts the training set.
        get : 'nngp', 'ntk' (or 'ntkgp' with t=None), a tuple of them, or None for ('nngp', 'ntk').
        compute_cov : whether to return covariances too.
        **kernel_fn_test_test_kwargs : passed to kernel_fn(x_test, None, get); each must also have been given for the
            training set. kernel_fn(x_test, x_train, get) gets values that belong to inputs as pairs (test, train).
            Others, like `mask_constant` or `params`, are those of the training set; if given, they must be equal, also
            as trees.

        It returns results as `gp_inference` does, with t.shape in front of their shapes. The kernels of the training
        set are computed and factored when first needed and kept; no kernel is computed that `get` does not need.

    Raises
    ------
    ValueError : as `gradient_descent_mse`; unknown `get`; keywords that disagree; an array for the training set alone.
    KeyError : a keyword for the test set that was not given for the training set.
    NotImplementedError : 'ntkgp' at finite time.
    ValueError : (on calling predict_fn) a diag_reg > 0 that is lost in the rounding of the kernel's entries.
    NotPSDError : (on calling predict_fn) the smallest eigenvalue of A is below -10 max(n, 4) eps times the largest; a
        variance is below 0 by more than rounding (NegativeVarianceError); less negative ones count as 0.
    SingularKernelWarning : eigenvalues of A that count as zero affect the result: docs/theory/dynamics.md#rounding.

    Accuracy
    --------
    Mean and covariance: largest error over largest value at most 4 eps cond(A), as measured for
    `gradient_descent_mse`. Covariances are exactly symmetric.

    Source
    ------
    Lee et al. 2019 (arXiv:1902.06720), section 2.3; their loss is a sum: eta = learning_rate/y.size.
    Derivation: docs/theory/dynamics.md#ensemble-ntk and docs/theory/dynamics.md#ensemble-nngp.

    Examples
    --------
    >>> import numpy as np
    >>> def kernel_fn(x1, x2, get):                       # linear regression: both kernels are x1 x2^T
    ...     return x1 @ (x1 if x2 is None else x2).T
    >>> predict_fn = gradient_descent_mse_ensemble(kernel_fn, np.array([[1.]]), np.array([[3.]]))
    >>> mean, covariance = predict_fn(t=np.log(2.), x_test=np.array([[2.]]), get='nngp', compute_cov=True)
    >>> mean.round(6), covariance.round(6)                # weight: mean 3 (1 - 1/2), variance (1/2)^2
    (array([[3.]]), array([[1.]]))
    """
    learning_rate = nonnegative('learning_rate', learning_rate, positive=True)
    kernel_fn = as_part(kernel_fn, 'kernel_fn', 'kernel_fn')
    refuse(x_train, y_train, diag_reg)
    options = diag_reg, diag_reg_absolute_scale, trace_axes
    return _Ensemble(kernel_fn, x_train, y_train, learning_rate, options, kernel_fn_train_train_kwargs, {})


@dataclass(frozen=True, eq=False, repr=False)
class _Ensemble:
    """The predict_fn of `gradient_descent_mse_ensemble`; `train` has the training-set kernels computed so far."""

    kernel_fn: Callable
    x_train: Any
    y_train: Any
    learning_rate: Any
    options: tuple
    kwargs: dict
    train: dict

    def learn(self, kernels):
        missing = tuple(k for k in kernels if k not in self.train)
        for name, k in vars(evaluate(self.kernel_fn, self.x_train, None, missing, self.kwargs)).items():
            self.train[name] = Training(k, self.y_train, *self.options)

    def __call__(self, t=None, x_test=None, get=None, compute_cov=False, **kernel_fn_test_test_kwargs):
        if x_test is None and is_array(self.x_train):
            times_alone(t, {'x_test': (None, *self.x_train.shape[1:])})
        names = requested(get)
        tau = time(t, self.learning_rate, self.y_train)
        given = kernel_fn_test_test_kwargs
        if 'ntkgp' in names and tau is not None:
            raise NotImplementedError("expected t=None with get='ntkgp', the posterior of a Gaussian process: networks "
                                      "initialized as usual do not have it at any finite t. Use get='ntk'.")
        cross = recombined(given, self.kwargs) if x_test is not None or given else self.kwargs
        kernels = unique(k for name in names for k in NEEDS[name][as_flag(compute_cov, 'compute_cov')])
        self.learn(kernels)
        k_st = None if x_test is None else evaluate(self.kernel_fn, x_test, self.x_train, kernels, cross)
        k_ss = True if compute_cov else None
        if x_test is not None and compute_cov:
            wanted = unique(NEEDS[name][2] for name in names)
            shared = {name: v for name, v in self.kwargs.items() if not is_of_set(name, v)}
            k_ss = evaluate(self.kernel_fn, x_test, None, wanted, shared | given)
        found = answer(get, names, [predict(name, self.train, tau, k_st, k_ss) for name in names])
        for kernel in unique(NEEDS[name][0][0] for name in names):
            self.train[kernel].a.announce(self.train[kernel].y, tau, WHICH[kernel])
        return found


# ------------------------------------------------------------------ one prediction

def predict(name, train, tau, k_test_train, k_test_test):
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
        raise ValueError("expected k_train_train and k_test_train with attributes nngp and ntk: the covariance for "
                         "get='ntk' needs both; got an array. Pass what kernel_fn(x1, x2, get=('nngp', 'ntk')) gives.")
    p = chosen(train, 'nngp')
    if k is None:
        return ntk_train_covariance(a, tau, p.a.k), p.a.k
    s_st, _ = p.layout.test_matrix(field(k_test_train, 'nngp', 'k_test_train'))
    s_ss = test_kernel('ntk', p, k_test_test, rows)
    return ntk_covariance(a, k, tau, p.a.k, s_st, s_ss), s_ss


def chosen(train, kernel):
    if kernel not in train:
        raise ValueError(f'expected k_train_train with an attribute {kernel}, got {", ".join(train) or "neither"}. '
                         "Pass what kernel_fn(x_train, None, get=('nngp', 'ntk')) gives.")
    return train[kernel]


def test_kernel(name, p, k_test_test, rows):
    """Return the kernel test x test as a matrix.

    A bare array does not say which kernel it is and counts as the NNGP.
    """
    if name == 'ntkgp' and is_array(k_test_test):
        raise ValueError("expected k_test_test with an attribute ntk for get='ntkgp', got an array, which may be the "
                         "NNGP. Pass what kernel_fn(x_test, None, get=('nngp', 'ntk')) gives.")
    k = checked('k_test_test', field(k_test_test, NEEDS[name][2], 'k_test_test'))
    p.layout.check('k_test_test', k, zipped(rows, rows))
    return kernel_matrix(k)


# ------------------------------------------------------------------ the names asked for, and the form of the results

def requested(get):
    """Return the names in `get`, in lower case."""
    if is_array(get):
        raise TypeError(f'expected get to be names of kernels, got an array of shape {get.shape}. Is it '
                        'k_test_train? Pass k_test_train=..., or None in front.')
    names = ('nngp', 'ntk') if get is None else get if isinstance(get, (tuple, list)) else (get,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"expected get to be one of {', '.join(map(repr, NEEDS))}, a tuple of them or None; got "
                        f'{get!r:.100} of type {type(get).__name__}. Kernels come after it.')
    names = tuple(name.lower() for name in names)
    if not names or len(set(names)) < len(names) or not set(names) <= set(NEEDS):
        raise ValueError(f'expected get to be one of {", ".join(map(repr, NEEDS))}, a tuple of them or None; '
                         f'got {get!r:.200}.{"".join(suggestion(name, NEEDS) for name in names if name not in NEEDS)}')
    return names


def answer(get, names, results):
    """Return the one result for a string, otherwise a named tuple of the results."""
    return results[0] if isinstance(get, str) else namedtuple('Gaussians', names)(*results)


def unique(names):
    return tuple(dict.fromkeys(names))


def evaluate(kernel_fn, x1, x2, names, kwargs):
    """Return the arrays of kernel_fn by name, from a single call, or from none if no name is given."""
    if not names:
        return SimpleNamespace()
    if len(names) == 1:
        return SimpleNamespace(**{names[0]: kernel_fn(x1, x2, names[0], **kwargs)})
    k = kernel_fn(x1, x2, names, **kwargs)
    return SimpleNamespace(**{name: field(k, name, 'kernel_fn(x1, x2, get)') for name in names})


def recombined(test, train):
    """Merge the keywords for kernel_fn(x_test, x_train): those of inputs to pairs (test, train); others must agree."""
    both = dict(train)
    for name, value in test.items():
        if name not in train:
            raise KeyError(f'keyword {name!r} was given for the test set, not for the training set; give it for both.')
        if is_of_set(name, value) and is_of_set(name, train[name]):
            both[name] = tuple(v[0] if isinstance(v, (tuple, list)) else v for v in (value, train[name]))
        elif not same(value, train[name]):
            raise ValueError(f'expected the same {name} for training and test set, got {train[name]!r} and {value!r}. '
                             'One of its own for each set is given as (its own, None), for both of them.')
    if missing := [name for name, value in train.items() if is_of_set(name, value) and name not in test]:
        raise ValueError(f'expected {missing[0]} for the test set, too: for the training set it was an array, or a '
                         f'pair, which belongs to the inputs. Give {missing[0]}=... with x_test.')
    return both


def is_of_set(name, value):
    """True if value belongs to inputs: an array, a pair of equal length, or (value, None) for kernel_fn(x, None)."""
    if name == 'params':
        return False
    if isinstance(value, (tuple, list)):
        if len(value) != 2 or value[0] is None:
            return False
        return value[1] is None or is_per_input(value) and value[0].shape[:1] == value[1].shape[:1]
    return is_per_input(value)


def same(a, b):
    """True if a and b are equal, also as trees of arrays; NaN equals NaN."""
    if isinstance(a, dict) and isinstance(b, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if is_array(a) and is_array(b):
        return a.shape == b.shape and not namespace(a, b).any((a != b) & ((a == a) | (b == b)))
    try:
        return a is b or bool(a == b) or bool(a != a and b != b)
    except ValueError:                                 # an array and a number: no single truth value
        return False


def refuse(x_train, y_train, diag_reg):
    """Raise an error for arguments that can be seen to be wrong before any kernel is computed."""
    nonnegative('diag_reg', diag_reg)
    y = checked('y_train', y_train)
    for name, x in named(x_train, 'x_train'):
        if not hasattr(x, 'toarray'):                  # a user's kernel_fn may take sparse inputs
            check_entries(x, name)
    if is_array(x_train) and x_train.shape[:1] != y.shape[:1]:
        raise ValueError(f'expected as many targets as inputs, got y_train of shape {y.shape} and x_train of shape '
                         f'{x_train.shape}.')
