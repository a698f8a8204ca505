r"""Gradient descent on the squared loss in steps, with momentum: closed forms as powers of one step.

    L = 1/2 mean (f - y)^2 over all N entries of y        x = learning_rate lambda / N, lambda an eigenvalue of A

In the eigenbasis the residual of each mode obeys r_{k+1} = T r_k - D r_{k-1}, so that r_k is a combination of powers of
the roots z of z^2 - T z + D. With w = z - 1, c = 1 (plain, heavy ball) or 1 + m (Nesterov), s = 1 - m + c x:

    w^2 = -s w - x                                        z^k = 1 - x gamma_k + beta_k w
    r_k = (1 - x g_k) r_0                                 g_k = gamma_k + c beta_k

beta and gamma are polynomials in x: squaring gives z^k in log2(k) products, at double, complex and zero roots alike,
and for small x nothing cancels. Derived in docs/theory/dynamics.md#discrete-steps.
"""
from dataclasses import dataclass
from math import inf, isfinite, log, prod, sqrt
from typing import Any

from ..arguments import as_flag, as_nested, as_whole
from ..arrays import as_floats, exact, namespace, plain
from ..derivatives import is_traced
from ..types import Array, Number
from .closed_form import Training, flow_test, flow_train
from .factor import largest_eigenvalue, symmetric
from .layout import Axes, as_momentum, checked, kernel_matrix, nonnegative, refuse_objects
from .predictor import Predictor

__all__ = ['gradient_descent_mse_steps', 'max_learning_rate']

# {is float32: log of the largest growth of residuals}, with room for targets
RANGE = {True: 60., False: 600.}


# ------------------------------------------------------------------ the formulas

def product(p, q, x, s):
    """Return (beta, gamma) of (1 - x gamma + beta w)(1 - x gamma' + beta' w); p is (beta, gamma), q (beta', gamma')."""
    b, g = p
    d, h = q
    beta = b + d - x * (b * h + g * d) - s * b * d
    gamma = g + h - x * g * h + b * d
    return beta, gamma


def power(k, x, s):
    """Return (beta_k, gamma_k), each of shape (len(k), len(x)), for the list k of whole numbers."""
    xp = namespace(x)
    result = (0 * x, 0 * x)
    square = (1 + 0 * x, 0 * x)
    for i in range(max(k).bit_length()):
        square = product(square, square, x, s) if i else square
        bit = xp.asarray([[float(j >> i & 1)] for j in k])
        result = product(result, [bit * a for a in square], x, s)
    return [a + xp.zeros((len(k), 1)) for a in result]


def gain(a, k, learning_rate, size, m, nesterov):
    """Return learning_rate g_k / N, of shape (len(k), n).

    For lambda = 0 it is set to 0 once rounding could have ended its growth.
    """
    rate = exact(learning_rate, a.values) / size
    m = exact(m, a.values)
    x = a.values * rate
    c = lookahead(m, nesterov)
    beta, gamma = power(k, x, 1 - m + c * x)
    g = (gamma + c * beta) * rate
    ended = a.rates[1] & (g * a.rounding >= 1)
    return namespace(g).where(ended, 0., g)


def steps_train(a, f0, y, g):
    """f_k = f_0 - V Lambda g V^T (f_0 - y)."""
    v = a.vectors
    return f0 - v @ ((a.values * g)[..., None] * (v.T @ (f0 - y)))


def steps_test(a, k, r, g):
    """f_* - f_*(0) = K_*t V g V^T r."""
    return (a.modes(k) * g[..., None, :]) @ (a.vectors.T @ r)


def lookahead(m, nesterov):
    """Return c, the factor of learning_rate in the first step: r_1 = (1 - c x) r_0."""
    return 1 + m if nesterov else 1


def edge(m, nesterov):
    """Return the largest x for which the roots are in the unit disk; there one root is z = -1."""
    return 2 * (1 + m) / (2 * lookahead(m, nesterov) - 1)


def radius(x, m, nesterov):
    """Return |z| of the largest root, for x beyond the edge."""
    c = lookahead(m, nesterov)
    trace = 1 + m - c * x
    determinant = m - (c - 1) * x
    return abs(trace) * (1 + sqrt(1 - 4 * determinant / trace / trace)) / 2


# ------------------------------------------------------------------ the public functions

def counted(steps):
    """Return the whole numbers `steps` as a flat list, and their shape."""
    row = [as_nested(steps, 'steps')]
    shape = ()
    while isinstance(row[0], tuple):
        shape += (len(row[0]),)
        row = [k for part in row for k in part]
    return [as_whole(k, 'steps', 0, inf) for k in row], shape


def check_range(k, x, m, nesterov, single):
    """Raise ValueError if after k steps (None: infinitely many) there is no limit or residuals overflow.

    x : learning_rate lambda / N for the largest eigenvalue lambda.
    """
    if not isfinite(x):
        raise ValueError('expected a learning_rate whose product with the largest eigenvalue is in '
                         'the range of floating-point numbers, got one beyond it. Take a smaller '
                         'learning_rate.')
    beyond = x / edge(m, nesterov)
    if beyond < 1 or beyond == 1 and k is not None:
        return
    rate = radius(x, m, nesterov)
    if k is None or k * log(rate) > RANGE[single]:
        most = 'a number of steps' if k is None else f'steps <= {int(RANGE[single] / log(rate))}'
        raise ValueError(
            f'expected {most} with a learning_rate {beyond:.6g} times max_learning_rate, got '
            f'steps={k}: along the eigenvector of the largest eigenvalue the residual is '
            f'multiplied by -{rate:.6g} a step and has no limit. Take fewer steps or a smaller '
            'learning_rate.')


def gradient_descent_mse_steps(k_train_train: Array, y_train: Array, learning_rate: Number,
                               momentum: Number = 0., nesterov: bool = False,
                               diag_reg: Number = 0., diag_reg_absolute_scale: bool = False,
                               trace_axes: Axes = (-1,)) -> '_Steps':
    r"""Predict the outputs after steps of full-batch gradient descent on the squared loss, with the kernel held fixed.

    .. math::
        f_{k+1} = f_k + v_{k+1}, \qquad v_{k+1} = m v_k - \frac{\eta}{N} A (f_k - y), \qquad v_0 = 0

    The same holds for test outputs with K_{*t} in place of A. Loss: L = 1/2 mean (f - y)^2 over ALL N entries of
    `y_train` (batch times outputs); A = k_train_train + diag_reg * s * identity, s = trace/n of k_train_train as an
    (n, n) matrix, or s = 1 with `diag_reg_absolute_scale`. Beyond `max_learning_rate` the predicted outputs diverge, as
    those of gradient descent do.

    With `nesterov` the outputs are those of the parameters at which the gradient is taken, as PyTorch, Keras and Optax
    keep them: v_{k+1} = m v_k - g(f_k), f_{k+1} = f_k + m v_{k+1} - g(f_k), g the term eta/N A (f - y). In the form of
    Sutskever et al. these are the looked-ahead parameters theta_k + m v_k.

    Full batches: the noise of mini-batches is not modelled.

    Parameters
    ----------
    k_train_train : array (n, n), or (n, n, c, c, ...): symmetric positive semi-definite; usually the NTK.
        Rows and columns are the axes of `y_train` that are not traced, in pairs.
    y_train : array (n, ..., o), the targets; (n,) works with the default `trace_axes`.
    learning_rate : float > 0, eta: theta moves by -eta dL/dtheta in the first plain step.
    momentum : float in [0, 1), m.
    nesterov : bool.
    diag_reg : float >= 0.
    diag_reg_absolute_scale : bool.
    trace_axes : axes of `y_train` on which the kernel is the identity; the kernel array does not have them.

    Returns
    -------
    predict_fn(steps, fx_train_0=0., fx_test_0=None, k_test_train=None)
        steps : whole numbers >= 0 in any shape, of any size; or None, the limit of infinitely many.
        fx_train_0, fx_test_0, k_test_train : as for `gradient_descent_mse`, at step 0.

        It returns the training outputs, the test outputs or the pair of both, of shape steps.shape + the shape of the
        outputs, float32 if `k_train_train` and `y_train` are, otherwise float64. The eigendecomposition is computed
        once; after that, any number of steps takes log2(steps) products of vectors.

    Raises
    ------
    ValueError : as `gradient_descent_mse`; steps that are negative or not whole; momentum outside [0, 1); steps=None at
        or beyond max_learning_rate, where there is no limit; residuals beyond 1e260 (1e26 in float32) times the first;
        learning_rate times the largest eigenvalue beyond 1e308.
    TypeError  : lists in place of arrays, other objects in place of numbers, `nesterov` neither True nor False.
    ValueError : (on calling predict_fn) a diag_reg > 0 that is lost in the rounding of the kernel's entries.
    NotPSDError : (on calling predict_fn) the smallest eigenvalue of A is below -10 max(n, 4) eps times the largest.
    SingularKernelWarning : eigenvalues of A that count as zero affect the result: docs/theory/dynamics.md#rounding.

    Notes
    -----
    Zero eigenvalues are treated as in `gradient_descent_mse`: the part of the training outputs along them stays.

    Accuracy
    --------
    Largest error over largest value, compared with mpmath at 40 digits (n = 8, cond(A) = 5e1 to 6e4, up to 1e7 steps,
    momentum 0 and .9, learning_rate up to .95 max_learning_rate): at most 4 eps cond(A). For one mode, up to 1e9 steps,
    the error is the change that rounding x = learning_rate lambda / N and m causes, plus 3 eps. This is 1e-15 for
    positive real roots; it grows as k eps |r_k| for roots near -1, and to eps/(1 - m) for complex roots. `fx_train_0`
    is exact at 0 steps.

    Source
    ------
    Polyak 1964; Sutskever, Martens, Dahl and Hinton 2013, equations 1-4. Derivation:
    docs/theory/dynamics.md#discrete-steps.

    Examples
    --------
    >>> import numpy as np
    >>> k, y = np.array([[2., 0.], [0., 1.]]), np.array([1., 1.])
    >>> predict_fn = gradient_descent_mse_steps(k, y, learning_rate=.5)
    >>> predict_fn([0, 1, 2])                             # 1 - (1 - lambda/4)^k
    array([[0.    , 0.    ],
           [0.5   , 0.25  ],
           [0.75  , 0.4375]])
    >>> gradient_descent_mse_steps(k, y, learning_rate=3.)([1, 2, 3])               # max_learning_rate is 2
    array([[ 3.   ,  1.5  ],
           [-3.   ,  0.75 ],
           [ 9.   ,  1.125]])
    """
    refuse_objects(k_train_train)
    learning_rate = nonnegative('learning_rate', learning_rate, positive=True)
    m = as_momentum(momentum)
    nesterov = as_flag(nesterov, 'nesterov')
    train = Training(k_train_train, y_train, diag_reg, diag_reg_absolute_scale, trace_axes)
    return _Steps(train, learning_rate, m, nesterov)


@dataclass(frozen=True, eq=False, repr=False)
class _Steps(Predictor, of='gradient_descent_mse_steps'):
    """The predict_fn of `gradient_descent_mse_steps`."""

    train: Training
    learning_rate: Any
    momentum: Any
    nesterov: bool

    def told(self):
        return (f'{self.train.told()}, learning_rate={plain(self.learning_rate):g}, '
                f'momentum={plain(self.momentum):g}{", nesterov" if self.nesterov else ""}')

    def parts(self):
        return {'train': self.train.parts(), 'learning_rate': self.learning_rate,
                'momentum': self.momentum, 'nesterov': self.nesterov}

    @classmethod
    def of_parts(cls, parts, network):
        learning_rate = nonnegative('learning_rate', parts['learning_rate'], positive=True)
        nesterov = as_flag(parts['nesterov'], 'nesterov')
        return cls(Training.of_parts(parts['train']), learning_rate, as_momentum(parts['momentum']), nesterov)

    def __call__(self, steps: Any, fx_train_0: Array | Number | None = 0.,
                 fx_test_0: Array | Number | None = None, k_test_train: Array | None = None) -> Any:
        train = self.train
        rate = self.learning_rate
        m = self.momentum
        nesterov = self.nesterov
        start = (fx_train_0, fx_test_0, k_test_train)
        a = train.a
        size = prod(train.layout.shape)
        train.refuse_arrays_as_times(steps, *start, name='steps')
        k, shape = (None, ()) if steps is None else counted(steps)
        top = a.values[-1] if k else largest_eigenvalue(a.a) * (1 + a.level)       # an upper bound
        x = plain(top) * plain(rate) / size
        check_range(k and max(k), x, plain(m), nesterov, train.layout.single)
        if k is None:
            result = train.predict(flow_train, flow_test, None, *start)
            a.announce(train.y)
            return result
        g = gain(a, k, rate, size, m, nesterov)
        g = namespace(g).reshape(g, shape + (len(a.k),))
        result = train.predict(steps_train, steps_test, g, *start)
        last = min(max(k, default=0), 10 ** 300)
        a.announce(train.y, plain(rate) / size * last / (1 - plain(m)))
        return result


def max_learning_rate(ntk_train_train: Array, y_train_size: int | None = None,
                      momentum: Number = 0., eps: Number = 1e-12, nesterov: bool = False) -> Number:
    r"""Return the learning rate above which full-batch gradient descent on the squared loss diverges.

    .. math:: \frac{2 (1 + \text{momentum})\, \text{y\_train\_size}}{\lambda_{\max}(\Theta) + \text{eps}}

    divided by 1 + 2 momentum with `nesterov`.

    Loss: L = 1/2 mean (f - y)^2 over all entries of the targets; one step is theta -= learning_rate dL/dtheta.

    Parameters
    ----------
    ntk_train_train : array (n, n), or (n, n, c, c, ...), symmetric.
    y_train_size : number of entries of the targets (batch times outputs); default: number of rows of the kernel matrix.
    momentum : float in [0, 1), of the heavy ball v <- momentum v + dL/dtheta, theta -= learning_rate v.
    eps : float >= 0, added to the largest eigenvalue.
    nesterov : bool; if True, a step is theta -= learning_rate (momentum v + dL/dtheta), after the same update of v.

    Returns
    -------
    float, which autograd can differentiate with respect to the kernel if the largest eigenvalue is simple.

    Raises
    ------
    ValueError : momentum or y_train_size out of range; the kernel is not symmetric, has NaN or infinity, or no positive
        eigenvalue.

    Accuracy
    --------
    1e-14 relative to the largest |eigenvalue|, compared with LAPACK for random, multiple and clustered eigenvalues,
    n <= 300.

    Source
    ------
    The condition that all |eigenvalues of one step| <= 1: docs/theory/dynamics.md#max-learning-rate.

    Examples
    --------
    >>> import numpy as np
    >>> round(max_learning_rate(np.diag([4., 1.]), y_train_size=2), 6)
    1.0
    """
    refuse_objects(ntk_train_train, 'ntk_train_train')
    eps = nonnegative('eps', eps)
    momentum = as_momentum(momentum)
    nesterov = as_flag(nesterov, 'nesterov')
    k, = as_floats(ntk_train_train)
    precision = namespace(k).eps(k)
    k = kernel_matrix(checked('ntk_train_train', k))
    size = len(k)
    if y_train_size is not None:
        size = nonnegative('y_train_size', y_train_size, positive=True)
    largest = largest_eigenvalue(symmetric(k, precision))
    if not plain(largest) > 0:
        raise ValueError(f'expected a kernel with a positive eigenvalue, got {plain(largest):.3g} '
                         'as the largest.')
    if not is_traced(largest):
        largest = plain(largest)
    return edge(momentum, nesterov) * size / (largest + eps)
