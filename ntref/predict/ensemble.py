"""Gaussian predictions of trained ensembles: from a kernel function and inputs to means and covariances along time."""
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ..arguments import as_flag, as_part
from ..arrays import is_array, namespace, plain
from ..engine.blocks import is_per_input, of_block
from ..no_arrays import check_entries
from ..trees import leaves, named, tree_map
from ..types import Array, Get, KernelFn, HasKernel, Number
from .closed_form import Training
from .gaussian import NEEDS, WHICH, answer, names_in, predict, unique
from .layout import Axes, checked, field, nonnegative, time, times_alone
from .predictor import Predictor

__all__ = ['check_same', 'gradient_descent_mse_ensemble', 'refuse']

FIRST = 2         # inputs of which a file has the kernel


def gradient_descent_mse_ensemble(kernel_fn: KernelFn | HasKernel, x_train: Any, y_train: Array,
                                  learning_rate: Number = 1., diag_reg: Number = 0.,
                                  diag_reg_absolute_scale: bool = False, trace_axes: Axes = (-1,),
                                  **kernel_fn_train_train_kwargs: Any) -> '_Ensemble':
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
    whole = as_part(kernel_fn, 'kernel_fn', 'kernel_fn')
    refuse(x_train, y_train, diag_reg)
    options = (diag_reg, diag_reg_absolute_scale, trace_axes)
    return _Ensemble(whole, x_train, y_train, learning_rate, options,
                     kernel_fn_train_train_kwargs, {})


@dataclass(frozen=True, eq=False, repr=False)
class _Ensemble(Predictor, of='gradient_descent_mse_ensemble'):
    """The predict_fn of `gradient_descent_mse_ensemble`; `train` has the training-set kernels computed so far."""

    kernel_fn: Callable
    x_train: Any
    y_train: Any
    learning_rate: Any
    options: tuple
    kwargs: dict
    train: dict

    def told(self):
        diag_reg, *_ = self.options
        return (f'{_told(self.kernel_fn)}, targets {self.y_train.shape}, diag_reg={plain(diag_reg):g}, '
                f'learning_rate={plain(self.learning_rate):g}')

    def functions(self):
        return {'kernel_fn': self.kernel_fn}

    def parts(self):
        return {
            'network': _spec(self.kernel_fn), 'x_train': self.x_train, 'y_train': self.y_train,
            'learning_rate': self.learning_rate, 'options': self.options, 'kwargs': self.kwargs,
            'train': {name: train.parts() for name, train in self.train.items()},
            'first': vars(self.first())}

    @classmethod
    def of_parts(cls, parts, network):
        learning_rate = nonnegative('learning_rate', parts['learning_rate'], positive=True)
        given = parts['x_train'], parts['y_train']
        refuse(*given, parts['options'][0])
        train = {name: Training.of_parts(of) for name, of in parts['train'].items()}
        kernel_fn = network(parts['network']).kernel_fn
        predictor = cls(kernel_fn, *given, learning_rate, parts['options'], parts['kwargs'], train)
        for name, k in vars(predictor.first()).items():
            check_same(name, k, parts['first'][name])
        return predictor

    def first(self) -> SimpleNamespace:
        """Return the kernels of the first inputs, by which a network is recognized."""
        n = min(FIRST, *map(len, leaves(self.x_train)))
        few = slice(n)
        return evaluate(self.kernel_fn, tree_map(lambda a: a[few], self.x_train), None, ('nngp', 'ntk'),
                        of_block(self.kwargs, few, few, True))

    def learn(self, kernels: tuple[str, ...]) -> None:
        """Compute those of the kernels of the training set that are missing."""
        missing = tuple(k for k in kernels if k not in self.train)
        found = evaluate(self.kernel_fn, self.x_train, None, missing, self.kwargs)
        for name, k in vars(found).items():
            self.train[name] = Training(k, self.y_train, *self.options)

    def __call__(self, t: Array | Number | None = None, x_test: Any = None, get: Get = None,
                 compute_cov: bool = False, **kernel_fn_test_test_kwargs: Any) -> Any:
        if x_test is None and is_array(self.x_train):
            times_alone(t, {'x_test': (None, *self.x_train.shape[1:])})
        names = names_in(get)
        tau = time(t, self.learning_rate, self.y_train)
        given = kernel_fn_test_test_kwargs
        if 'ntkgp' in names and tau is not None:
            raise NotImplementedError("expected t=None with get='ntkgp', the posterior of a "
                                      'Gaussian process: networks initialized as usual do not have '
                                      "it at any finite t. Use get='ntk'.")
        cross = recombined(given, self.kwargs) if x_test is not None or given else self.kwargs
        compute_cov = as_flag(compute_cov, 'compute_cov')
        kernels = unique(k for name in names for k in NEEDS[name][compute_cov])
        self.learn(kernels)
        k_st = None
        if x_test is not None:
            k_st = evaluate(self.kernel_fn, x_test, self.x_train, kernels, cross)
        k_ss = True if compute_cov else None
        if x_test is not None and compute_cov:
            wanted = unique(NEEDS[name][2] for name in names)
            shared = {name: v for name, v in self.kwargs.items() if not is_of_set(name, v)}
            k_ss = evaluate(self.kernel_fn, x_test, None, wanted, shared | given)
        results = [predict(name, self.train, tau, k_st, k_ss) for name in names]
        found = answer(get, names, results)
        for kernel in unique(NEEDS[name][0][0] for name in names):
            self.train[kernel].a.announce(self.train[kernel].y, tau, WHICH[kernel])
        return found


# ------------------------------------------------------------------ what files have of a kernel function

def _spec(kernel_fn):
    """Return the network of a kernel function as JSON.

    Raises
    ------
    TypeError : it is a function of the user. ValueError : a layer has one.
    """
    if not hasattr(kernel_fn, 'layer'):
        raise TypeError('expected the kernel_fn of a network of ntref.stax, got '
                        f'{_told(kernel_fn)}: a file has networks as JSON, and no functions. Give the network itself, '
                        'or pickle the predictor.')
    return kernel_fn.layer.to_spec()


def _told(kernel_fn):
    """Return a kernel function as text: the network, or the name of the function."""
    return getattr(kernel_fn, '__name__', repr(getattr(kernel_fn, 'layer', kernel_fn)))


def check_same(name: str, k: Array, kept: Array) -> None:
    """Raise ValueError unless two kernels are equal to half of their digits, as those of one network are anywhere."""
    xp = namespace(k, kept)
    if k.shape != kept.shape or xp.any(~(abs(k - kept) <= xp.eps(k) ** .5 * xp.sum(abs(k)))):
        raise ValueError(f'expected the network of the file to have the kernel of the file, but of the first inputs '
                         f'its {name} is another. Was a layer of this name changed since?')


# ------------------------------------------------------------------ the kernel function and its keywords

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
            raise KeyError(f'keyword {name!r} was given for the test set, not for the training '
                           'set; give it for both.')
        if is_of_set(name, value) and is_of_set(name, train[name]):
            both[name] = (_own(value), _own(train[name]))
        elif not same(value, train[name]):
            raise ValueError(f'expected the same {name} for training and test set, got '
                             f'{train[name]!r} and {value!r}. One of its own for each set is given '
                             'as (its own, None), for both of them.')
    of_sets = [name for name, value in train.items() if is_of_set(name, value)]
    if missing := [name for name in of_sets if name not in test]:
        raise ValueError(f'expected {missing[0]} for the test set, too: for the training set it '
                         'was an array, or a pair, which belongs to the inputs. Give '
                         f'{missing[0]}=... with x_test.')
    return both


def _own(value):
    """Return the first of a pair, which is that of the set itself, or the one value."""
    return value[0] if isinstance(value, (tuple, list)) else value


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
    except ValueError:                             # an array and a number: no single truth value
        return False


def refuse(x_train: Any, y_train: Array, diag_reg: Number) -> None:
    """Raise an error for arguments that can be seen to be wrong before any kernel is computed."""
    nonnegative('diag_reg', diag_reg)
    y = checked('y_train', y_train)
    for name, x in named(x_train, 'x_train'):
        if not hasattr(x, 'toarray'):                  # a user's kernel_fn may take sparse inputs
            check_entries(x, name)
    if is_array(x_train) and x_train.shape[:1] != y.shape[:1]:
        raise ValueError(f'expected as many targets as inputs, got y_train of shape {y.shape} and '
                         f'x_train of shape {x_train.shape}.')
