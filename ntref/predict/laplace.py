"""Probabilities of classes by Laplace's approximation: a Gaussian at the largest posterior density of latent functions.

    p(f | y) ~ p(y | f) N(f; 0, K), at its maximum f = K a       W = -d2 log p(y | f) / df2        B = 1 + W^1/2 K W^1/2

Two classes have one latent function f and p(1 | f) = 1/(1 + exp(-f)); any number have one f_c each, independent and of
the same K before the data, and p(c | f) = exp(f_c) / sum exp(f). K is never inverted; the eigenvalues of B are >= 1.
"""
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy

from ..arguments import as_whole
from ..arrays import as_floats, generator, namespace
from ..engine.run import blas_for
from ..no_arrays import check_on_host, check_unfollowed
from ..types import Array, Seed
from .closed_form import settled
from .factor import NotPSDError, cholesky_solve, symmetric
from .gaussian import Gaussian
from .iterative import NotConvergedError
from .layout import checked, refuse_objects
from .predictor import Predictor

__all__ = ['laplace_inference', 'mean_logistic', 'mean_softmax', 'softmax']

EPS = 2. ** -52
HALVINGS = 40                                # of a step of Newton's method that does not go up
NORMAL = numpy.arange(-36, 37) / 4           # nodes of means over a normal and a logistic variable: trapezoids err by
LOGISTIC = numpy.arange(-80, 81) / 2         # exp(-2 pi d / h) with poles at a distance d, less than 1e-17


# ------------------------------------------------------------------ the public function

def laplace_inference(k_train_train: Array, y_train: Array, max_steps: int = 100) -> '_Laplace':
    r"""Predict probabilities of classes by a Gaussian process whose posterior is approximated at its maximum.

    .. math::
        \hat f = \arg\max_f \; \log p(y | f) - \tfrac12 f^T K^{-1} f, \qquad
        p(f | y) \approx N\big(\hat f, (K^{-1} + W)^{-1}\big), \qquad
        p(c | x_*, y) = \int p(c | f_*)\, p(f_* | y)\, df_*

    The likelihood is the logistic function for labels (n,), and softmax with an f for each class for targets (n, c).
    One softmax over all classes has probabilities that add up to 1 and one evidence; classes against the rest have
    neither.

    Parameters
    ----------
    k_train_train : array (n, n), symmetric positive semi-definite: the prior covariance of f, usually the NNGP, for
        the network whose outputs are log odds. It has no unit; what is added to its diagonal is noise in f.
    y_train : array (n,) of labels 0 and 1, or (n, c) with a row for each input that has one 1 and zeros else.
    max_steps : int >= 1, the most steps of Newton's method, of which 5 to 10 are usual.

    Returns
    -------
    predict_fn(k_test_train, k_test_test, rng=0, points=4096)
        k_test_train : array (m, n), the same kernel, test x train.
        k_test_test : array (m,), the prior variances of f at the test inputs.
        rng, points : seed and number of the points at which softmax is averaged, a shifted Sobol' sequence; they are
            the same for each test input, whose probabilities do not depend on the others. Not used for labels (n,).

        It returns probabilities: (m,) of label 1, or (m, c).
        predict_fn.latent(k_test_train, k_test_test) returns Gaussian(mean, covariance) of f: (m,) and variances (m,),
        or (m, c) and (m, c, c). predict_fn.log_marginal_likelihood is the approximate log p(y), in nats.

    Raises
    ------
    ValueError : shapes disagree; NaN or infinity; y_train of another form.
    TypeError : arrays that are not NumPy's.
    NotPSDError : a k_train_train with a negative eigenvalue that is no rounding; NegativeVarianceError as in
        `gp_inference`.
    NotConvergedError : max_steps are used up.

    Notes
    -----
    A step takes n^3/3 for labels (n,), and about 2 c n^3 for c classes, whose memory is c n^2 numbers.

    Accuracy
    --------
    The mode, latent means and covariances: 1e-9 of the largest, compared with mpmath and with dense linear algebra.
    Probabilities of label 1: 1e-14 for a given latent mean and variance. Averages of softmax: 4e-4 for three
    classes, 3e-3 for ten with variances above 1, at 4096 points; the error falls as 1/points.
    The approximation itself is good where probabilities are not extreme; its errors are those of no rounding.

    Source
    ------
    Williams and Barber 1998; Rasmussen and Williams 2006, algorithms 3.1 to 3.4. Their evidence of several classes
    lacks log |M|, for M M^T = sum_c E_c. Derivation: docs/theory/bayes.md#laplaces-approximation.

    Examples
    --------
    >>> import numpy as np
    >>> predict_fn = laplace_inference(np.array([[4., 1.], [1., 4.]]), np.array([1, 0]))
    >>> predict_fn(np.array([[4., 1.], [0., 0.]]), np.array([4., 4.])).round(3)
    array([0.653, 0.5  ])
    >>> three = laplace_inference(np.eye(3), np.eye(3))
    >>> three(np.array([[1., 0., 0.]]), np.array([1.])).round(2)
    array([[0.47, 0.26, 0.26]])
    """
    k, y = (_array(name, a) for name, a in (('k_train_train', k_train_train), ('y_train', y_train)))
    if y.ndim not in (1, 2) or k.shape != (len(y), len(y)) or not len(y):
        raise ValueError('expected a kernel (n, n) and labels (n,) or targets (n, c), got '
                         f'shapes {k.shape} and {y.shape}.')
    if not numpy.isin(y, (0., 1.)).all() or y.ndim == 2 and (y.sum(1) != 1).any():
        raise ValueError('expected labels 0 and 1, or one 1 and zeros in each row of the targets: '
                         'give numpy.eye(classes)[labels].')
    k = symmetric(k, EPS)
    of = _logistic if y.ndim == 1 else _softmax
    max_steps = as_whole(max_steps, 'max_steps', 1)
    with blas_for(len(k)):
        posterior, value = _mode(of, k, y, max_steps)
    return _Laplace(numpy.asarray(k), y, posterior, float(value - posterior.half_log_determinant))


@dataclass(frozen=True, eq=False, repr=False)
class _Laplace(Predictor, of='laplace_inference'):
    """The predict_fn of `laplace_inference`; a file has kernel and targets, from which the mode is found again."""

    k: numpy.ndarray
    y: numpy.ndarray
    posterior: Any
    log_marginal_likelihood: float

    def told(self):
        return f'targets {self.y.shape}'

    def parts(self):
        return {'k_train_train': self.k, 'y_train': self.y}

    @classmethod
    def of_parts(cls, parts, network):
        return laplace_inference(parts['k_train_train'], parts['y_train'])

    def latent(self, k_test_train: Array, k_test_test: Array) -> Gaussian:
        """Return mean and covariance of f at the test inputs; the arguments are those of the call."""
        k = _array('k_test_train', k_test_train)
        prior = _array('k_test_test', k_test_test)
        if k.shape != (len(prior), len(self.k)) or prior.ndim != 1:
            raise ValueError(f'expected k_test_train (m, {len(self.k)}) and variances (m,) as '
                             f'k_test_test, got shapes {k.shape} and {prior.shape}.')
        mean = k @ (self.y - self.posterior.p)
        return Gaussian(mean, self.posterior.covariance(k, prior))

    def __call__(self, k_test_train: Array, k_test_test: Array, rng: Seed = 0,
                 points: int = 4096) -> numpy.ndarray:
        mean, covariance = self.latent(k_test_train, k_test_test)
        if mean.ndim == 1:
            return mean_logistic(mean, covariance)
        return mean_softmax(mean, covariance, rng, as_whole(points, 'points', 1))


def _array(name: str, a: Any) -> Any:
    refuse_objects(a, name)
    check_unfollowed(a, name)
    check_on_host(a, name)
    a, = as_floats(a)
    if namespace(a).kind != 'numpy':
        raise TypeError(f'expected {name} to be an array of NumPy, got {type(a).__name__}.')
    return checked(name, a)


# ------------------------------------------------------------------ the mode

def _mode(of, k, y, max_steps):
    """Return the posterior where Psi(f) = log p(y | f) - a^T f / 2 is largest, f = K a, and Psi there.

    Psi is concave, and Newton's method ends where it no longer grows by more than its rounding.
    """
    f = a = numpy.zeros_like(y)
    here = of(k, y, f)
    value = of.log_likelihood(y, f)
    for _ in range(max_steps):
        a_new = here.newton(f)
        f_new = k @ a_new
        share = 1.
        for _ in range(HALVINGS):
            f_next, a_next = f + share * (f_new - f), a + share * (a_new - a)
            new = of.log_likelihood(y, f_next) - (a_next * f_next).sum() / 2
            if new >= value - 4 * EPS * (1 + abs(value)):
                break
            share /= 2
        gain = new - value
        f, a, value = f_next, a_next, new
        here = of(k, y, f)
        if gain <= 4 * EPS * (1 + abs(value)):
            return here, value
    raise NotConvergedError(
        f'expected the mode of the posterior after {max_steps} steps of Newton\'s method, where '
        f'log p still grew by {gain:.2g}. Pass more max_steps.', float(gain), max_steps, None)


class _logistic:
    """The posterior at f for labels: W = p (1 - p), L L^T = B = 1 + W^1/2 K W^1/2."""

    def __init__(self, k, y, f):
        self.k = k
        self.y = y
        self.p = numpy.exp(-numpy.logaddexp(0., -f))
        self.w = self.p * (1 - self.p)
        self.root = numpy.sqrt(self.w)
        self.lower = _lower(self.root[:, None] * k * self.root)

    @staticmethod
    def log_likelihood(y, f):
        """log p(y | f) = -sum log(1 + exp(-f)), with -f in place of f for label 0."""
        return -numpy.logaddexp(0., (1 - 2 * y) * f).sum()

    def newton(self, f):
        """a = b - W^1/2 B^-1 W^1/2 K b, with b = W f + y - p."""
        b = self.w * f + self.y - self.p
        return b - self.root * cholesky_solve(self.lower, self.root * (self.k @ b))

    @property
    def half_log_determinant(self):
        """log |B| / 2."""
        return numpy.log(self.lower.diagonal()).sum()

    def covariance(self, k, prior):
        """k_** - v^T v, with v = L^-1 W^1/2 k_t*."""
        v = namespace(k).solve_triangular(self.lower, self.root[:, None] * k.T, lower=True)
        return settled(prior - (v * v).sum(0), prior, EPS)


class _softmax:
    """The posterior at f for classes: W = diag(p) - p p^T, E_c = (K + 1/p_c)^-1, M M^T = sum_c E_c."""

    def __init__(self, k, y, f):
        self.k = k
        self.y = y
        self.p = softmax(f)
        self.e = numpy.empty((y.shape[1], *k.shape))
        self.half_log_determinant = 0.
        for c, root_p in enumerate(numpy.sqrt(self.p.T)):
            lower = _lower(root_p[:, None] * k * root_p)
            half = namespace(k).solve_triangular(lower, numpy.diag(root_p), lower=True)
            self.e[c] = half.T @ half
            self.half_log_determinant += numpy.log(lower.diagonal()).sum()
        self.m = numpy.linalg.cholesky(self.e.sum(0))
        self.half_log_determinant += numpy.log(self.m.diagonal()).sum()

    @staticmethod
    def log_likelihood(y, f):
        """log p(y | f) = sum (y^T f - log sum exp f)."""
        return (y * f).sum() - numpy.logaddexp.reduce(f, axis=1).sum()

    def newton(self, f):
        """a = b - E K b + E R (M M^T)^-1 R^T E K b, with b = W f + y - p; R adds up the classes."""
        b = self.p * (f - (self.p * f).sum(1, keepdims=True)) + self.y - self.p
        ekb = self.times_e(self.k @ b)
        common = cholesky_solve(self.m, ekb.sum(1))
        return b - ekb + self.times_e(numpy.repeat(common[:, None], b.shape[1], 1))

    def times_e(self, b):
        """E_c b_c for all classes."""
        return numpy.stack([e @ column for e, column in zip(self.e, b.T)], 1)

    def covariance(self, k, prior):
        """delta_cd (k_** - k_*t E_c k_t*) + k_*t E_c (M M^T)^-1 E_d k_t*."""
        ek = self.e @ k.T
        u = namespace(k).solve_triangular(self.m, numpy.concatenate(ek, axis=1), lower=True)
        u = u.reshape(len(self.k), len(self.e), len(k))
        covariance = numpy.einsum('icm,idm->mcd', u, u, optimize=True)
        own = prior - numpy.einsum('mi,cim->cm', k, ek, optimize=True)
        classes = numpy.arange(len(self.e))
        covariance[:, classes, classes] += own.T
        return (covariance + covariance.swapaxes(1, 2)) / 2


def _lower(wkw):
    """Return the Cholesky factor of B = 1 + W^1/2 K W^1/2."""
    wkw[numpy.diag_indices_from(wkw)] += 1.
    try:
        return numpy.linalg.cholesky(wkw)
    except numpy.linalg.LinAlgError:
        smallest = float(numpy.linalg.eigvalsh(wkw)[0]) - 1
        raise NotPSDError('expected a positive semi-definite k_train_train, got one for which '
                          f'W^1/2 K W^1/2 has the eigenvalue {smallest:.3g}. Compute the kernel '
                          'more exactly, or add to its diagonal.', smallest) from None


# ------------------------------------------------------------------ averages over Gaussian variables

def softmax(f: numpy.ndarray) -> numpy.ndarray:
    """Return exp(f_c) / sum exp(f) along the last axis."""
    p = numpy.exp(f - f.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def mean_logistic(mean: numpy.ndarray, variance: numpy.ndarray) -> numpy.ndarray:
    """Return E 1/(1 + exp(-f)) for f ~ N(mean, variance), both (m,).

    It is P(L < f) for a logistic variable L: a mean over f where its deviation is below 1, else one over L.
    """
    s = numpy.sqrt(variance)[:, None]
    mean = mean[:, None]
    normal = numpy.exp(-NORMAL ** 2 / 2)
    over_f = numpy.exp(-numpy.logaddexp(0., -(mean + s * NORMAL))) @ (normal / normal.sum())
    logistic = 1 / numpy.cosh(LOGISTIC / 2) ** 2
    ndtr = import_module('scipy.special').ndtr
    over_l = ndtr((mean - LOGISTIC) / numpy.maximum(s, 1.)) @ (logistic / logistic.sum())
    return numpy.where(s[:, 0] < 1., over_f, over_l)


def mean_softmax(mean: numpy.ndarray, covariance: numpy.ndarray, rng: Seed,
                 points: int) -> numpy.ndarray:
    """Return E softmax(f) for f ~ N(mean, covariance), (m, c) and (m, c, c), at the same points for each of m."""
    c = mean.shape[1]
    w, v = numpy.linalg.eigh(covariance)
    half = v * numpy.sqrt(numpy.maximum(w, 0.))[:, None] @ v.swapaxes(1, 2)
    z = _normal_points(points, c, rng).T
    p = numpy.empty(mean.shape)
    for i in range(len(mean)):
        e = mean[i, :, None] + half[i] @ z                  # (c, points): sums over classes are long passes
        e = numpy.exp(e - e.max(0))
        p[i] = (e / e.sum(0)).mean(1)
    return p


def _normal_points(points, c, rng):
    """Return points (points, c) that are spread evenly under the normal density, and their mirror images."""
    qmc = import_module('scipy.stats').qmc
    half = (points + 1) // 2
    even = qmc.Sobol(c, scramble=False).random_base2(max(0, (half - 1).bit_length()))[:half]
    u = (even + generator(rng).random(c)) % 1.
    z = import_module('scipy.special').ndtri(numpy.clip(u, EPS, 1 - EPS))
    return numpy.concatenate([z, -z])
