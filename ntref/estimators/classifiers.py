"""Classification with probabilities by infinitely wide networks, as estimators of scikit-learn."""
from typing import Any, ClassVar, Self

import numpy
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from ..arguments import as_number, suggestion
from ..arrays import generator
from ..engine.cover import cuts
from ..engine.run import blas_for
from ..predict import gradient_descent, laplace_inference
from ..predict.laplace import softmax
from ..predict.layout import nonnegative
from ..predict.ridge import GRID
from ..types import Number
from .base import FEW, NetworkEstimator
from .calibration import temperature
from .ridges import given

__all__ = ['NNGPClassifier', 'NTKClassifier']

COARSE = GRID[::8]


class _Classifier(ClassifierMixin, NetworkEstimator):
    """What both have in common: labels, and regression to one-hot targets."""

    methods: ClassVar[tuple[str, ...]]

    def _learn_labels(self, X: Any, y: Any) -> numpy.ndarray:
        """Read inputs and labels, and return one-hot targets (n, classes)."""
        if self.method not in self.methods:
            raise ValueError(f'expected method to be one of {self.methods}, got {self.method!r:.100}.'
                             f'{suggestion(self.method, self.methods)}')
        _, y = self._learn_inputs(X, y)
        check_classification_targets(y)
        self.classes_, index = numpy.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f'expected labels of two classes or more, got one class, {self.classes_[0]!r:.100}.')
        return numpy.eye(len(self.classes_))[index]

    def _fit_regression(self, targets: numpy.ndarray) -> Self:
        """Solve for the targets less the frequencies of classes, and find the temperature by leaving one out."""
        self.frequencies_ = targets.mean(0)
        self._solve(targets - self.frequencies_)
        self.temperature_ = temperature(self.frequencies_ + self.solved_.left_out(), targets)
        return self

    def _regressed(self, x: numpy.ndarray) -> numpy.ndarray:
        """Return the probabilities by regression."""
        return softmax((self.frequencies_ + self._mean(x)) / self.temperature_)

    def predict(self, X: Any) -> numpy.ndarray:
        """Return the most probable class of each of the inputs X (m, features)."""
        p = self.predict_proba(X)
        return self.classes_[p.argmax(1)]


class NNGPClassifier(_Classifier):
    r"""Gaussian process whose covariance is the NNGP: networks whose outputs are the log odds of classes.

    Parameters
    ----------
    net, depth, activation, W_std, b_std, input_shape, normalize_X, n_jobs, memory_limit : as in `NNGPRegressor`.
    method : 'laplace', the posterior under a logistic likelihood (two classes) or softmax, see
        `predict.laplace_inference`; or 'regression' to one-hot targets, of which softmax is taken, at the temperature
        `temperature_` at which the labels are most likely of which each is left out. It takes far less time: one
        Cholesky decomposition, instead of about ten for two classes and sixty for each of more.
    scale : float > 0, with 'laplace' only: the log odds are the outputs of the network times its root. Networks as they
        are, scale=1, give probabilities nearer to each other. The evidence has its maximum near 100 on many sets of
        data, but means over so broad a posterior, as Laplace's approximation has it, are too cautious.
    diag_reg : float >= 0, the variance of noise in log odds (in targets with 'regression'), relative to the mean of the
        diagonal of the kernel; 'evidence': the most likely of 1e-6, 1e-4, .01, 1, 100, each of which is one fit; with
        'regression' as in `NNGPRegressor`.
    random_state : int or Generator, the seed of the points at which softmax is averaged; it is drawn in `fit`.

    Attributes
    ----------
    classes_ : array, the labels in the order of probabilities.
    diag_reg_, X_fit_, x_scale_, kernels_ : as of `NNGPRegressor`. temperature_, frequencies_ : with 'regression', the
        temperature, and the frequencies of classes, which are the mean before training.
    log_marginal_likelihood_value_ : float, log p(labels) by 'laplace', log density of the targets by 'regression'.

    Raises
    ------
    ValueError, TypeError : as `NNGPRegressor`; fewer than two classes; with 'laplace' a `diag_reg` for each input, or
        'loo'. NotConvergedError : as `laplace_inference`.

    Notes
    -----
    Several classes have one softmax and not a process for each class against the rest, as
    `sklearn.gaussian_process.GaussianProcessClassifier` does: then probabilities come from one model of all labels, and
    there is an evidence of all to compare networks by. With two classes the algorithm is that of scikit-learn.

    Accuracy
    --------
    That of `laplace_inference`.

    Source
    ------
    Rasmussen and Williams 2006, algorithms 3.1 to 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-2.], [-1.5], [-1.], [1.], [1.5], [2.]])
    >>> model = NNGPClassifier().fit(X, ['left'] * 3 + ['right'] * 3)
    >>> model.predict([[-3.], [3.]])
    array(['left', 'right'], dtype='<U5')
    >>> model.predict_proba([[-3.], [0.]]).round(1)
    array([[0.9, 0.1],
           [0.5, 0.5]])
    """

    methods = ('laplace', 'regression')

    def __init__(self, net: Any = None, *, depth: int = 3, activation: Any = 'relu', W_std: Number = 2 ** .5,
                 b_std: Number = .1, input_shape: Any = None, method: str = 'laplace', scale: Number = 10.,
                 diag_reg: Any = 1e-3, normalize_X: bool = True, random_state: Any = 0, n_jobs: int | None = None,
                 memory_limit: int | None = None):
        self.net = net
        self.depth = depth
        self.activation = activation
        self.W_std = W_std
        self.b_std = b_std
        self.input_shape = input_shape
        self.method = method
        self.scale = scale
        self.diag_reg = diag_reg
        self.normalize_X = normalize_X
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.memory_limit = memory_limit

    def fit(self, X: Any, y: Any) -> Self:
        """Find the posterior for inputs X (n, features) and labels y (n,)."""
        targets = self._learn_labels(X, y)
        self._seed = int(generator(self.random_state).integers(2 ** 32))
        if self.method == 'regression':
            return self._fit_regression(targets)
        diag_reg = given(self.diag_reg, len(targets))
        if numpy.ndim(diag_reg) or diag_reg == 'loo':
            raise ValueError("expected diag_reg to be a number, or 'evidence', with method='laplace', got "
                             f"{diag_reg!r:.100}. With method='regression' it can be one for each input, or 'loo'.")
        self.scale_ = nonnegative('scale', self.scale, positive=True)
        k = self.scale_ * self.kernels_(self.names, self.X_fit_)['nngp']
        mean = k.trace() / len(k)
        labels = targets[:, 1] if targets.shape[1] == 2 else targets

        def posterior(ridge):
            return laplace_inference(k + ridge * mean * numpy.eye(len(k)), labels)
        ridges = COARSE if diag_reg == 'evidence' else [diag_reg]
        found = [posterior(ridge) for ridge in ridges]
        best = max(range(len(found)), key=lambda i: found[i].log_marginal_likelihood)
        self.posterior_ = found[best]
        self.diag_reg_ = float(ridges[best])
        self.noise_ = self.diag_reg_ * mean
        return self

    def predict_proba(self, X: Any) -> numpy.ndarray:
        """Return the probabilities (m, classes) of the inputs X (m, features)."""
        x = self._inputs(X)
        if self.method == 'regression':
            return self._regressed(x)
        p = numpy.concatenate([self._laplace(x[some]) for some in cuts(len(x), FEW)])
        return numpy.stack([1 - p, p], 1) if p.ndim == 1 else p

    @property
    def log_marginal_likelihood_value_(self) -> float:
        """The log density of the labels, or with 'regression' of the targets, in nats."""
        return (self.posterior_ if self.method == 'laplace' else self.solved_).log_marginal_likelihood

    def _laplace(self, x):
        k_test_train = self.scale_ * self.kernels_(self.names, x, self.X_fit_)['nngp']
        prior = self.scale_ * self.kernels_.own('nngp', x) + self.noise_
        return self.posterior_(k_test_train, prior, self._seed)


class NTKClassifier(_Classifier):
    r"""Infinitely wide network trained by gradient descent: the mean of the ensemble, and its probabilities.

    .. math::
        \frac{df}{dt} = -T \frac{\partial L}{\partial f}, \qquad
        L = -\frac1n \sum_i \log \operatorname{softmax}(f_i)_{y_i}, \qquad p = \operatorname{softmax}(f(t))

    Parameters
    ----------
    net, depth, activation, W_std, b_std, input_shape, normalize_X, n_jobs, memory_limit : as in `NNGPRegressor`.
    method : 'cross_entropy', the flow above from outputs 0, by `predict.gradient_descent`; or 'regression' to one-hot
        targets until the end, as in `NNGPClassifier`.
    t : float >= 0, the time of training with 'cross_entropy', learning rate times steps. It has no end: classes that
        can be told apart get ever larger outputs, and probabilities near 0 and 1. Choose it by cross-validation.
    diag_reg : with 'regression' only, as in `NTKRegressor`.

    Attributes
    ----------
    classes_ : array, the labels in the order of probabilities.
    dual_coef_ : array (n, classes), f = T_*t dual_coef_. X_fit_, x_scale_, kernels_ : as of `NNGPRegressor`.
    diag_reg_, temperature_, frequencies_ : with 'regression', as of `NNGPClassifier`.

    Raises
    ------
    ValueError, TypeError : as `NNGPRegressor`; fewer than two classes; t that is not a finite number >= 0 with
        'cross_entropy'. NotReachedError : as `gradient_descent`.

    Notes
    -----
    The flow takes an eigendecomposition, and products with the n^2 kernel in a number that grows with t.

    Accuracy
    --------
    That of `gradient_descent`: outputs 3e-8 of the largest.

    Source
    ------
    Lee et al. 2019 (arXiv:1902.06720), section 2.2. Derivation: docs/theory/dynamics.md#any-loss.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-2.], [-1.5], [-1.], [1.], [1.5], [2.]])
    >>> y = [0, 0, 0, 1, 1, 1]
    >>> [round(float(NTKClassifier(t=t).fit(X, y).predict_proba([[2.]])[0, 1]), 2) for t in (0., 1., 100.)]
    [0.5, 0.9, 1.0]
    """

    get = 'ntk'
    names = ('ntk',)
    methods = ('cross_entropy', 'regression')

    def __init__(self, net: Any = None, *, depth: int = 3, activation: Any = 'relu', W_std: Number = 2 ** .5,
                 b_std: Number = .1, input_shape: Any = None, method: str = 'cross_entropy', t: Number = 300.,
                 diag_reg: Any = 1e-3, normalize_X: bool = True, n_jobs: int | None = None,
                 memory_limit: int | None = None):
        self.net = net
        self.depth = depth
        self.activation = activation
        self.W_std = W_std
        self.b_std = b_std
        self.input_shape = input_shape
        self.method = method
        self.t = t
        self.diag_reg = diag_reg
        self.normalize_X = normalize_X
        self.n_jobs = n_jobs
        self.memory_limit = memory_limit

    def fit(self, X: Any, y: Any) -> Self:
        """Train on inputs X (n, features) and labels y (n,)."""
        targets = self._learn_labels(X, y)
        if self.method == 'regression':
            return self._fit_regression(targets)
        if self.t is None or not 0 <= as_number(self.t, 't'):
            raise ValueError(f"expected t to be a time >= 0 with method='cross_entropy', got {self.t!r:.100}. That "
                             'loss has no minimum where classes can be told apart.')
        n = len(targets)

        def grad(f, y):
            return (softmax(f) - y) / n

        def hvp(f, y, v):
            p = softmax(f)
            return p * (v - (p * v).sum(1, keepdims=True)) / n
        k = self.kernels_(self.names, self.X_fit_)['ntk']
        with blas_for(n):
            predict_fn = gradient_descent(None, k, targets, grad=grad, hvp=hvp, progress=False)
            self.dual_coef_ = predict_fn(self.t, None, 0., numpy.eye(n))      # test outputs for a kernel of 1
        return self

    def predict_proba(self, X: Any) -> numpy.ndarray:
        """Return the probabilities (m, classes) of the inputs X (m, features)."""
        x = self._inputs(X)
        return self._regressed(x) if self.method == 'regression' else softmax(self._mean(x))
