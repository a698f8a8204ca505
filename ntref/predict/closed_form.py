"""Training with the squared loss is linear in function space: the closed forms, on matrices and on arrays.

    L = 1/2 mean (f - y)^2 over all entries of y          tau = learning_rate t / y.size
    df/dtau = -A (f - y)                                  A = K_train,train + diag_reg = V Lambda V^T

Below, _t is the training set and _* the test set; `a` is the factorization of A (factor.py), which provides
decay = exp(-Lambda tau), growth = (1 - exp(-Lambda tau)) / Lambda and modes(k) = k V; tau = None is infinite time.
Every formula is derived in docs/theory/dynamics.md.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..arguments import as_axes, as_flag
from ..arrays import as_floats, is_array, namespace, plain
from ..types import Array, Number
from .factor import NEGATIVE, Factor, NegativeVarianceError
from .kept import computed, take_over
from .layout import (
    Axes, Layout, checked, kernel_matrix, nonnegative, refuse_objects, time, times_alone)
from .predictor import Predictor

__all__ = [
    'Training', 'flow_test', 'flow_train', 'gradient_descent_mse', 'settled', 'without_rounding']


# ------------------------------------------------------------------ the formulas

def flow_train(a: Factor, f0: Array, y: Array, tau: Array | None) -> Array:
    """f_t(tau) = f0 - (1 - exp(-A tau)) (f0 - y)."""
    if tau is None:
        return y + a.stuck(f0 - y)
    v = a.vectors
    return f0 - v @ (a.change(tau)[..., None] * (v.T @ (f0 - y)))


def flow_test(a: Factor, k: Array, r: Array, tau: Array | None) -> Array:
    """f_*(tau) - f_*(0) = B r, with B = K_*t A^-1 (1 - exp(-A tau)) and r = y - f_t(0)."""
    if tau is None:
        return k @ a.solve(r)
    return response(a, k, tau) @ (a.vectors.T @ r)


def response(a, k, tau):
    """B V = K_*t V growth."""
    return a.modes(k) * a.growth(tau)[..., None, :]


def ntk_covariance(a, k, tau, s_tt, s_st, s_ss):
    """Return the covariance of f_* - B f_t for (f_t, f_*) ~ N(0, Sigma).

    It is Sigma_** - B Sigma_t* - Sigma_*t B^T + B Sigma_tt B^T.
    """
    b = a.solve(k.T).T if tau is None else response(a, k, tau) @ a.vectors.T
    cross = b @ s_st.T
    return s_ss - cross - transpose(cross) + b @ s_tt @ transpose(b)


def ntk_train_covariance(a, tau, s_tt):
    """exp(-A tau) Sigma_tt exp(-A tau)."""
    if tau is None:
        return a.stuck(a.stuck(s_tt).T)
    v = a.vectors
    d = a.decay(tau)
    return v @ (d[..., :, None] * (v.T @ s_tt @ v) * d[..., None, :]) @ v.T


def gp_covariance(a, k, tau, k_ss):
    """K_** - W W^T, with W W^T = K_*t A^-1 (1 - exp(-2 A tau)) K_t*."""
    if tau is None:
        w = a.half(k.T).T
    else:
        growth = a.growth(2 * tau)
        w = a.modes(k) * namespace(growth).sqrt(growth)[..., None, :]
    return k_ss - w @ transpose(w)


def gp_train_covariance(a, tau):
    """A exp(-2 A tau)."""
    if tau is None:
        return 0. * a.k
    d = a.values * a.decay(2 * tau)
    return (a.vectors * d[..., None, :]) @ a.vectors.T


def without_rounding(c: Array, prior: Array, eps: float) -> Array:
    """Return c (..., m, m) with variances negative by rounding set to 0; raise NegativeVarianceError for others.

    The rounding level is NEGATIVE max(m eps of the arithmetic, 4 eps of the entries) times the largest variance of the
    `prior`.
    """
    xp = namespace(c)
    one = xp.eye(c.shape[-1])
    variances = xp.sum(c * one, axis=-1)
    before = xp.sum(prior * one, axis=-1)
    if not xp.any(variances < 0):
        return c
    return c + (settled(variances, before, eps) - variances)[..., None] * one


def settled(variances: Array, prior: Array, eps: float) -> Array:
    """Return variances (..., m) with those that are negative by rounding set to 0; `prior` has the variances before.

    See `without_rounding`, which has the level of rounding and the error.
    """
    xp = namespace(variances)
    before = max(map(plain, xp.reshape(prior, (-1,))))
    rounding = NEGATIVE * max(variances.shape[-1] * xp.eps(variances), 4 * eps) * before
    if xp.any(below := variances < -rounding):
        smallest = min(map(plain, variances[below]))
        finer = ' compute them in float64,' if eps > 2 * xp.eps(variances) else ''
        raise NegativeVarianceError(
            f'expected variances >= 0, got {smallest:.3g} where the largest before training is '
            f'{before:.3g}; down to {-rounding:.2g} it would be rounding, and count as 0. Are the '
            'kernels of one network and these inputs? If so rounding of their entries is blown up '
            f'by small eigenvalues:{finer} or pass a larger diag_reg.', smallest)
    return xp.maximum(variances, 0.)


def transpose(a):
    return namespace(a).moveaxis(a, -1, -2)


# ------------------------------------------------------------------ one set of targets

class Training:
    """A training set seen through one kernel: the targets and the kernel as matrices, the kernel factored once."""

    def __init__(self, k: Array, y: Array, diag_reg: Number, absolute: bool, trace_axes: Axes):
        k, = as_floats(k)
        y, = as_floats(y)
        namespace(k, y)                        # raises TypeError if k and y are of different kinds
        self.layout = Layout(y, trace_axes, k)
        self.y = 1 * self.layout.columns(checked('y_train', y))      # the caller may change theirs
        matrix = kernel_matrix(checked('k_train_train', k))
        diag_reg = nonnegative('diag_reg', diag_reg)
        absolute = as_flag(absolute, 'diag_reg_absolute_scale')
        self.a = Factor(matrix, diag_reg, absolute, namespace(k).eps(k))

    def told(self) -> str:
        """Return what it is, as text."""
        return f'targets {self.layout.shape}, diag_reg={plain(self.a.diag_reg):g}'

    def parts(self) -> dict[str, Any]:
        """Return what a file needs; `eps` and `single` say to how many digits entries and results are known."""
        layout = self.layout
        a = self.a
        return {
            'k_train_train': layout.kernel(a.k, layout.rows), 'y_train': layout.arrays(self.y),
            'diag_reg': a.diag_reg, 'absolute': a.absolute, 'trace_axes': as_axes(layout.trace_axes, 'trace_axes'),
            'eps': a.eps, 'single': layout.single, 'factor': computed(a)}

    @classmethod
    def of_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Return the training set that gave these `parts`; raise ValueError if they do not go together."""
        k = parts['k_train_train']
        train = cls(k, parts['y_train'], parts['diag_reg'], parts['absolute'], parts['trace_axes'])
        train.layout.single = as_flag(parts['single'], 'single')
        train.a = Factor(train.a.k, train.a.diag_reg, train.a.absolute, parts['eps'])
        take_over(train.a, parts['factor'])
        return train

    def refuse_arrays_as_times(self, t: Any, fx_train_0: Any, fx_test_0: Any, k_test_train: Any,
                               name: str = 't') -> None:
        """Raise TypeError if outputs or a kernel are passed as times, seen by shape and numbers out of order."""
        if hasattr(fx_train_0, 'shape') or fx_test_0 is not None or k_test_train is not None:
            return
        if is_array(t):
            row = namespace(t).reshape(t, (-1,))
            if namespace(t).any(row[1:] < row[:-1]):
                shapes = {'k_test_train': self.layout.test_sizes(), 'fx_train_0': self.layout.shape}
                times_alone(t, shapes, name)

    def predict(self, on_train: Callable[..., Array], on_test: Callable[..., Array], when: Any,
                fx_train_0: Any, fx_test_0: Any, k_test_train: Array | None) -> Any:
        """Return on_train(a, f0, y, when), f_*(0) + on_test(a, k, y - f0, when), or both, as arrays."""
        if fx_train_0 is None and fx_test_0 is None:
            raise ValueError('expected fx_train_0 or fx_test_0, got None for both: give those of '
                             'the outputs wanted.')
        if fx_test_0 is not None and k_test_train is None:
            raise ValueError('expected k_test_train along with fx_test_0, got None: pass '
                             'kernel_fn(x_test, x_train).')
        layout = self.layout
        a = self.a
        y = self.y
        f0 = layout.initial('fx_train_0', 0. if fx_train_0 is None else fx_train_0, layout.rows, y)
        train = None
        if fx_train_0 is not None:
            train = layout.outputs(on_train(a, f0, y, when), layout.rows)
        if fx_test_0 is None:
            return train
        k, rows = layout.test_matrix(k_test_train)
        f = layout.initial('fx_test_0', fx_test_0, rows, y) + on_test(a, k, y - f0, when)
        test = layout.outputs(f, rows)
        return test if train is None else (train, test)


def gradient_descent_mse(k_train_train: Array, y_train: Array, learning_rate: Number = 1.,
                         diag_reg: Number = 0., diag_reg_absolute_scale: bool = False,
                         trace_axes: Axes = (-1,)) -> '_Flow':
    r"""Predict the outputs during gradient flow on the squared loss, with the kernel held fixed.

    .. math::
        f_t(t) = f_t(0) - (1 - e^{-A\tau}) (f_t(0) - y), \qquad
        f_*(t) = f_*(0) + K_{*t} A^{-1} (1 - e^{-A\tau}) (y - f_t(0)), \qquad
        \tau = \frac{\text{learning\_rate}\; t}{\text{y\_train.size}}

    Loss: L = 1/2 mean (f - y)^2 over ALL entries of `y_train` (batch times outputs), so that
    df/dt = -learning_rate K (f - y) / y_train.size. A = k_train_train + diag_reg * s * identity, s = trace/n of
    k_train_train as an (n, n) matrix, or s = 1 with `diag_reg_absolute_scale`.

    Parameters
    ----------
    k_train_train : array (n, n), or (n, n, c, c, ...): symmetric positive semi-definite; usually the NTK.
        Rows and columns are the axes of `y_train` that are not traced, in pairs.
    y_train : array (n, ..., o), the targets; (n,) works with the default `trace_axes`.
    learning_rate : float > 0. Only learning_rate * t matters.
    diag_reg : float >= 0.
    diag_reg_absolute_scale : bool.
    trace_axes : axes of `y_train` on which the kernel is the identity; the kernel array does not have them.

    Returns
    -------
    predict_fn(t=None, fx_train_0=0., fx_test_0=None, k_test_train=None)
        t : None or inf (the limit), or times >= 0 in any shape.
        fx_train_0, fx_test_0 : outputs at t = 0, arrays or numbers. Pass None for outputs that are not wanted; without
            `fx_train_0` the test outputs are those for fx_train_0 = 0.
        k_test_train : array (m, n) or (m, n, c, c, ...), the same kernel test x train; needed with `fx_test_0`.

        It returns the training outputs, the test outputs or the pair of both, of shape t.shape + the shape of the
        outputs, float32 if `k_train_train` and `y_train` are, otherwise float64. The kernel is factored at most once
        for t = None (Cholesky) and at most once for other t (eigenvectors), however often predict_fn is called.

    Raises
    ------
    ValueError : shapes disagree; NaN or infinity; diag_reg < 0; learning_rate <= 0; t < 0; no outputs asked for.
    ValueError : (on calling predict_fn) a diag_reg > 0 that is lost in the rounding of the kernel's entries.
    NotPSDError : (on calling predict_fn) the smallest eigenvalue of A is below -10 max(n, 4) eps times the largest.
    SingularKernelWarning : eigenvalues of A that count as zero affect the result: docs/theory/dynamics.md#rounding.

    Notes
    -----
    Eigenvalues within rounding of zero count as zero: at t = inf the parts of the residual along them stay in the
    training outputs (two copies of an input with different targets settle on the average). They do not reach the test
    outputs, because the joint kernel of training and test set is positive semi-definite. If there are no such
    eigenvalues, the training outputs at t = None are `y_train`.

    Accuracy
    --------
    Largest error over largest value, compared with mpmath at 60 digits (n = 6 to 40, cond(A) = 5 to 7e4, tau = 0.1 to
    1e6 and infinity): at most 4 eps cond(A), and 1.5e-14 up to tau = 10. `fx_train_0` at t = 0 and `y_train` at
    t = None are exact. float32 arrays are taken as exact, computed with in float64, and results are rounded at the end:
    a decomposition in float32 would lose to noise every eigenvalue below 1e-7 n times the largest.

    Source
    ------
    Lee et al. 2019 (arXiv:1902.06720), section 2.2; their loss is a sum: eta = learning_rate/y.size.
    Derivation: docs/theory/dynamics.md#closed-form; zero eigenvalues: docs/theory/dynamics.md#infinite-time.

    Examples
    --------
    >>> import numpy as np
    >>> k, y = np.array([[2., 0.], [0., 1.]]), np.array([1., 1.])
    >>> predict_fn = gradient_descent_mse(k, y)
    >>> predict_fn(t=[0., 2.]).round(6)                   # 1 - exp(-lambda t/2)
    array([[0.      , 0.      ],
           [0.864665, 0.632121]])
    >>> predict_fn(None, 0., 0., np.array([[1., .5]]))    # (train, test) in the limit
    (array([1., 1.]), array([1.]))
    """
    refuse_objects(k_train_train)
    learning_rate = nonnegative('learning_rate', learning_rate, positive=True)
    train = Training(k_train_train, y_train, diag_reg, diag_reg_absolute_scale, trace_axes)
    return _Flow(train, learning_rate)


@dataclass(frozen=True, eq=False, repr=False)
class _Flow(Predictor, of='gradient_descent_mse'):
    """The predict_fn of `gradient_descent_mse`."""

    train: Training
    learning_rate: Any

    def told(self):
        return f'{self.train.told()}, learning_rate={plain(self.learning_rate):g}'

    def parts(self):
        return {'train': self.train.parts(), 'learning_rate': self.learning_rate}

    @classmethod
    def of_parts(cls, parts, network):
        learning_rate = nonnegative('learning_rate', parts['learning_rate'], positive=True)
        return cls(Training.of_parts(parts['train']), learning_rate)

    def __call__(self, t: Array | Number | None = None, fx_train_0: Array | Number | None = 0.,
                 fx_test_0: Array | Number | None = None, k_test_train: Array | None = None) -> Any:
        start = (fx_train_0, fx_test_0, k_test_train)
        self.train.refuse_arrays_as_times(t, *start)
        tau = time(t, self.learning_rate, self.train.y)
        result = self.train.predict(flow_train, flow_test, tau, *start)
        self.train.a.announce(self.train.y, tau)
        return result
