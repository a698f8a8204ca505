"""Regression by infinitely wide networks, as estimators of scikit-learn."""
from typing import Any, Self

import numpy
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from ..arguments import as_flag, as_whole
from ..predict import Gaussian, sample
from ..types import Number
from .base import NetworkEstimator
from .inputs import Scale

__all__ = ['NNGPRegressor', 'NTKRegressor']


class _Regressor(RegressorMixin, NetworkEstimator):
    """What both have in common."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Compute the kernel of the inputs X (n, features) and solve for the targets y, (n,) or (n, outputs)."""
        _, y = self._learn_inputs(X, y, multi_output=True, y_numeric=True)
        self._is_vector = y.ndim == 1
        y = y.reshape(len(y), -1).astype(float)
        self.y_scale_ = Scale.of(y, self.normalize_y, 'normalize_y')
        return self._solve(self.y_scale_.apply(y), getattr(self, 't', None), self.out)

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False, noise: bool = False) -> Any:
        """Return the mean at the inputs X, with standard deviations or covariances if these are asked for.

        Parameters
        ----------
        X : (m, features), as in `fit`.
        return_std, return_cov : bool, one of them at most.
        noise : bool, False: of the function; True: of new targets, with the noise that `diag_reg` stands for.

        Returns
        -------
        mean (m,) or (m, outputs); std of the same shape; covariance (m, m) or (m, m, outputs); in units of y.

        Raises
        ------
        ValueError : both are asked for; noise=True with a `diag_reg` for each input.
        """
        return_std = as_flag(return_std, 'return_std')
        return_cov = as_flag(return_cov, 'return_cov')
        if return_std and return_cov:
            raise ValueError('expected return_std or return_cov, got both. Standard deviations are the roots of the '
                             'diagonal of the covariance.')
        x = self._inputs(X)
        added = self._noise(noise)
        if return_cov:
            mean, covariance = self.solved_.gaussian(*self._with_training_set(x))
            covariance = (covariance + added * numpy.eye(len(x)))[..., None] * self.y_scale_.std ** 2
            return self._shaped(self.y_scale_.undo(mean)), self._shaped(covariance)
        mean = self._shaped(self.y_scale_.undo(self._mean(x)))
        if not return_std:
            return mean
        std = numpy.sqrt(self._variance(x) + added)
        return mean, self._shaped(std[:, None] * self.y_scale_.std)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = None, noise: bool = False) -> numpy.ndarray:
        """Return draws of the function at the inputs X: (m, n_samples) or (m, outputs, n_samples).

        `random_state` None is that of the estimator; `noise` and errors are those of `predict`.
        """
        x = self._inputs(X)
        kernels, prior = self._with_training_set(x)
        mean, covariance = self.solved_.gaussian(kernels, prior)
        covariance = covariance + self._noise(noise) * numpy.eye(len(x))
        rng = self.random_state if random_state is None else random_state
        draws = sample(Gaussian(mean, covariance), as_whole(n_samples, 'n_samples', 1), rng, prior=prior)
        return numpy.moveaxis(self._shaped(self.y_scale_.undo(draws), 2), 0, -1)

    @property
    def log_marginal_likelihood_value_(self) -> float:
        """The log density of the normalized targets under the Gaussian process with the kernel of training, in nats."""
        return self.solved_.log_marginal_likelihood

    def _noise(self, noise):
        """Return what is added to variances of normalized targets."""
        if not as_flag(noise, 'noise'):
            return 0.
        if self.solved_.noise is None:
            raise ValueError('expected noise=False with a diag_reg for each input, which says nothing of the noise at '
                             'new ones. Add their variances to std ** 2.')
        return self.solved_.noise

    def _shaped(self, a, axis=-1):
        """Return `a` without its axis of outputs if y had none."""
        return a.squeeze(axis) if self._is_vector else a


class NNGPRegressor(_Regressor):
    r"""Gaussian process whose covariance is the NNGP: infinitely wide networks of which the last layer is trained.

    .. math::
        \text{mean} = K_{*t} A^{-1} y, \qquad \text{covariance} = K_{**} - K_{*t} A^{-1} K_{t*}, \qquad
        A = K_{tt} + \text{diag\_reg}\; \tfrac1n \operatorname{trace} K_{tt}

    Parameters
    ----------
    net : network of `stax`, or a kernel function; its JSON, a dict or text; or None for `depth` layers.
    depth : int, hidden layers of 'relu' or another `activation`, by its name or as a layer. Without `net` only, as are:
    W_std, b_std : float, deviations of weights and biases. The default is He's, with small biases.
    input_shape : tuple, the shape of one input, positions and then channels, for rows X of that many numbers; None:
        X has features. Positions that are NaN in all channels are masked, a number that is NaN is missing.
    diag_reg : float >= 0, the noise in normalized targets, relative to the mean of the diagonal of the kernel; an array
        with one for each input; 'evidence' or 'loo' for the one of 33 from 1e-6 to 100 with the largest evidence, or
        density of each target given all others. `diag_reg_` is what was taken.
    normalize_X : bool, give each feature (with `input_shape` each channel) mean 0 and deviation 1 in the training set.
    normalize_y : bool, the same for targets; predictions are in units of y all the same.
    random_state : int, Generator or None, the seed of `sample_y`.
    n_jobs : int, threads, -1 for all cores. None: NTREF_NUM_THREADS, or all cores. With n_jobs or memory_limit the
        kernel is computed by `ntref.batch`.
    memory_limit : int, bytes that a kernel may take, or a MemoryError says so before. None: what is free.
    out : str or path, a directory for the kernel, which is then kept there and solved by conjugate gradients, for more
        inputs than memory has room for. Needs Zarr.

    Attributes
    ----------
    diag_reg_, dual_coef_, X_fit_, x_scale_, y_scale_, kernels_ : the ridge, A^-1 y, scaled inputs, the scales, kernels.
    log_marginal_likelihood_value_ : float, log density of the normalized targets.

    Raises
    ------
    ValueError, TypeError : (in `fit`) arguments that do not fit, as validation by scikit-learn and `gp_inference` say.
    NotPSDError, SingularKernelWarning : as `gp_inference`.

    Notes
    -----
    `fit` takes the time of the kernel and of one Cholesky decomposition; 'evidence' and 'loo' take an
    eigendecomposition, ten times that. Weights of samples are not supported: give their noise as `diag_reg`.

    Accuracy
    --------
    That of `gp_inference`.

    Source
    ------
    Rasmussen and Williams 2006, equations 2.23-2.24; Lee et al. 2018 (arXiv:1711.00165).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-2, 2, 20)[:, None]
    >>> model = NNGPRegressor(activation='erf', W_std=2.).fit(X, np.sin(2 * X[:, 0]))
    >>> mean, std = model.predict([[.5]], return_std=True)
    >>> mean.round(2), bool(std[0] < .1)
    (array([0.83]), True)
    """

    def __init__(self, net: Any = None, *, depth: int = 3, activation: Any = 'relu', W_std: Number = 2 ** .5,
                 b_std: Number = .1, input_shape: Any = None, diag_reg: Any = 1e-3, normalize_X: bool = True,
                 normalize_y: bool = True, random_state: Any = None, n_jobs: int | None = None,
                 memory_limit: int | None = None, out: Any = None):
        self.net = net
        self.depth = depth
        self.activation = activation
        self.W_std = W_std
        self.b_std = b_std
        self.input_shape = input_shape
        self.diag_reg = diag_reg
        self.normalize_X = normalize_X
        self.normalize_y = normalize_y
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.memory_limit = memory_limit
        self.out = out


class NTKRegressor(_Regressor):
    r"""Ensemble of infinitely wide networks, each trained from random weights by gradient descent for a time `t`.

    .. math::
        \text{mean} = B y, \qquad \text{covariance} = S_{**} - B S_{t*} - S_{*t} B^T + B S_{tt} B^T, \qquad
        B = T_{*t} A^{-1} (1 - e^{-A t / y.\text{size}}), \quad A = T_{tt} + \text{diag\_reg}\; \tfrac1n
        \operatorname{trace} T_{tt}

    with the NTK T and the NNGP S; the loss is half the mean square of the error of normalized targets.

    Parameters
    ----------
    t : float >= 0, the time of training, learning rate times steps; None: to the end.
    diag_reg : as in `NNGPRegressor`; a penalty of the weights' distance from where they started. As noise it is that of
        the Gaussian process whose covariance is T, of which 'evidence', 'loo' and `log_marginal_likelihood_value_` are.
    net, depth, activation, W_std, b_std, input_shape, normalize_X, normalize_y, random_state, n_jobs, memory_limit,
    out : as in `NNGPRegressor`; with `out` t has to be None.

    Attributes
    ----------
    As of `NNGPRegressor`.

    Raises
    ------
    As `NNGPRegressor`; ValueError : t < 0, or several times.

    Accuracy
    --------
    That of `gradient_descent_mse_ensemble`.

    Source
    ------
    Lee et al. 2019 (arXiv:1902.06720), section 2.3. Derivation: docs/theory/dynamics.md#ensemble-ntk.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-2, 2, 20)[:, None]
    >>> y = np.sin(2 * X[:, 0])
    >>> scores = [NTKRegressor(t=t).fit(X, y).score(X, y) for t in (1., 100., None)]
    >>> bool(scores[0] < scores[1] < scores[2])
    True
    """

    get = 'ntk'
    names = ('nngp', 'ntk')

    def __init__(self, net: Any = None, *, depth: int = 3, activation: Any = 'relu', W_std: Number = 2 ** .5,
                 b_std: Number = .1, input_shape: Any = None, diag_reg: Any = 1e-3, t: Number | None = None,
                 normalize_X: bool = True, normalize_y: bool = True, random_state: Any = None,
                 n_jobs: int | None = None, memory_limit: int | None = None, out: Any = None):
        self.net = net
        self.depth = depth
        self.activation = activation
        self.W_std = W_std
        self.b_std = b_std
        self.input_shape = input_shape
        self.diag_reg = diag_reg
        self.t = t
        self.normalize_X = normalize_X
        self.normalize_y = normalize_y
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.memory_limit = memory_limit
        self.out = out
