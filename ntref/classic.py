"""Functions of the first release, from before Neural Tangents had `predict` and `empirical_ntk_fn`: docs/training.md.

Kernels of n training and m test points, with o outputs each, may have any of three forms, the same for both kernels:

    g_dd (n o, n o)     g_td (m o, n o)       flattened, with the outputs of a point side by side
    g_dd (n, n, o, o)   g_td (m, n, o, o)
    g_dd (n, n)         g_td (m, n)           the same kernel for each output, zero between outputs
"""
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from .arguments import as_number, as_part, as_whole
from .arrays import as_floats, namespace
from .empirical import empirical_ntk_fn
from .engine.batch import batch, number_of_inputs
from .predict import ODEState, gradient_descent, gradient_descent_mse
from .types import Array, Number, Tree

__all__ = ['analytic_mse_predictor', 'gradient_descent_predictor', 'momentum_predictor', 'ntk']


def ntk(f: Callable[..., Array], batch_size: int | None = None) -> Callable[..., Array]:
    r"""Return a function for the NTK of a finite network with all pairs of its outputs, J(x1) J(x2)^T, as a matrix.

    Parameters
    ----------
    f : callable (params, x), arrays -> array (n, o)
        Written with `autograd.numpy`, see `empirical_kernel_fn`.
    batch_size : int > 0, optional
        Number of inputs of x1 and x2 at a time; only their Jacobians are then in memory. f has to treat its inputs (on
        the first axis) one by one. None: all inputs at once, and f may mix them.

    Returns
    -------
    ntk_fn(params, x1, x2=None) -> array (n1 o, n2 o), for outputs (n, o), those of an input side by side
        x2 = None: x1 with itself. Predictors of this module take this matrix as it is.

    Raises
    ------
    ValueError : batch_size < 1; f mixes its inputs although batch_size is given; as `empirical_kernel_fn`.

    Accuracy, Source
    ----------------
    As for `empirical_kernel_fn`. Jacot et al. 2018 (arXiv:1806.07572): docs/theory/empirical.md#kernels.

    Examples
    --------
    >>> import numpy
    >>> ntk_fn = ntk(lambda params, x: x @ params, batch_size=2)
    >>> ntk_fn(numpy.ones((3, 2)), numpy.eye(3)[:2])                  # x x' for each output, zero between them
    array([[1., 0., 0., 0.],
           [0., 1., 0., 0.],
           [0., 0., 1., 0.],
           [0., 0., 0., 1.]])
    """
    apply_fn = as_part(f, 'apply_fn', 'f')
    whole = empirical_ntk_fn(apply_fn, (), implementation=0)
    if batch_size is None:
        return lambda params, x1, x2=None: _flat(whole(x1, x2, params))
    of_pairs = empirical_ntk_fn(apply_fn, (), vmap_axes=0, implementation=3)
    in_batches = batch(of_pairs, as_whole(batch_size, 'ntk: batch_size', 1), device_count=0)

    def ntk_fn(params: Tree, x1: Array, x2: Array | None = None) -> Array:
        for x in x1, x2:
            if x is not None and number_of_inputs(x, 'x1 or x2') > 1:
                of_pairs(x[:2], None, params)      # two inputs show mixing, batches of one do not
        return _flat(in_batches(x1, x2, params))
    return ntk_fn


def _flat(k):
    """Convert a kernel (n1, n2, o, o, ...) to a matrix (n1 o ..., n2 o ...)."""
    xp = namespace(k)
    half = len(k.shape) // 2
    first = xp.moveaxis(k, tuple(range(0, 2 * half, 2)), tuple(range(half)))
    return xp.reshape(first, (prod(k.shape[::2]), prod(k.shape[1::2])))


def analytic_mse_predictor(g_dd: Array, y_train: Array,
                           g_td: Array | None = None) -> '_OfTraining | _OfBoth':
    r"""Predict outputs during gradient flow on L = 1/2 mean (f - y)^2, in closed form: `predict.gradient_descent_mse`.

    .. math:: f_t(t) = y + e^{-\Theta t/N} (f_t(0) - y), \qquad N = n o

    Parameters
    ----------
    g_dd, g_td : arrays, kernels of the training set with itself, and of test with training set: see above.
    y_train : array (n, o), targets; or (n,).

    Returns
    -------
    predict(fx_train, t), or with `g_td` predict(fx_train, fx_test, t)
        fx_train, fx_test : arrays (n, o), (m, o), the outputs at t = 0.
        t : learning_rate times the number of steps; in any shape, None: infinite.

        It returns the training outputs, or the pair of training and test outputs.

    Raises
    ------
    ValueError : shapes disagree; as `gradient_descent_mse`.

    Accuracy, Source
    ----------------
    As for `predict.gradient_descent_mse`. Lee et al. 2019 (arXiv:1902.06720): docs/theory/dynamics.md#closed-form.

    Examples
    --------
    >>> import numpy as np
    >>> predict = analytic_mse_predictor(np.array([[2., 0.], [0., 1.]]), np.ones((2, 1)))
    >>> predict(np.zeros((2, 1)), 2.).round(6)            # 1 - exp(-lambda t/2)
    array([[0.864665],
           [0.632121]])
    """
    k, k_test, trace_axes = _kernels(g_dd, g_td, y_train)
    return _in_its_order(gradient_descent_mse(k, y_train, trace_axes=trace_axes), k_test)


def gradient_descent_predictor(g_dd: Array, y_train: Array, loss: Callable[[Array, Array], Number],
                               g_td: Array | None = None) -> '_OfTraining | _OfBoth':
    """Predict the outputs during gradient flow on any loss: `predict.gradient_descent`.

    Parameters
    ----------
    g_dd, g_td : arrays, kernels of the training set with itself, and of test with training set: see above.
    y_train : array (n, o), targets; or (n,).
    loss : function (fx_train, y_train) -> number, of arrays (n, o), written with `autograd.numpy`. (The first release
        passed arrays (n o,), so that a softmax ran over all examples; here a softmax may take the last axis.)

    Returns
    -------
    predict(fx_train, t), or with `g_td` predict(fx_train, fx_test, t)
        As the predictor of `analytic_mse_predictor`.

    Raises
    ------
    ValueError, NotReachedError : shapes disagree; as `predict.gradient_descent`.

    Accuracy, Source
    ----------------
    As for `predict.gradient_descent`, with its tolerances: docs/theory/dynamics.md#any-loss.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> predict = gradient_descent_predictor(np.eye(2), np.ones((2, 1)), lambda f, y: np.sum((f - y) ** 2) / 2)
    >>> predict(np.zeros((2, 1)), 1.).round(6)            # 1 - exp(-t)
    array([[0.632121],
           [0.632121]])
    """
    k, k_test, trace_axes = _kernels(g_dd, g_td, y_train)
    return _in_its_order(gradient_descent(loss, k, y_train, trace_axes=trace_axes), k_test)


def _in_its_order(predict_fn, k_test):
    """Return a predictor with the first release's arguments; with a test kernel it has test outputs too."""
    return _OfTraining(predict_fn) if k_test is None else _OfBoth(predict_fn, k_test)


@dataclass(frozen=True, eq=False, repr=False)
class _OfTraining:
    """The predictor of training outputs alone."""

    predict_fn: Any

    def __call__(self, fx_train: Array, t: Array | Number | None) -> Array:
        return self.predict_fn(t, fx_train)


@dataclass(frozen=True, eq=False, repr=False)
class _OfBoth:
    """The predictor of training and test outputs."""

    predict_fn: Any
    k_test: Any

    def __call__(self, fx_train: Array, fx_test: Array,
                 t: Array | Number | None) -> tuple[Array, Array]:
        return self.predict_fn(t, fx_train, fx_test, self.k_test)


def momentum_predictor(g_dd: Array, y_train: Array, loss: Callable[[Array, Array], Number],
                       learning_rate: float, g_td: Array | None = None, momentum: float = 0.9
                       ) -> tuple[Callable, Callable, Callable]:
    r"""Predict the outputs during gradient descent with momentum (heavy ball) on any loss: `predict.gradient_descent`.

    .. math:: \frac{d^2f}{dt^2} = -\frac{1 - \text{momentum}}{\sqrt{\text{learning\_rate}}} \frac{df}{dt}
        - \Theta \frac{\partial L}{\partial f_t}

    Parameters
    ----------
    g_dd, g_td : arrays, kernels of the training set with itself, and of test with training set: see above.
    y_train : array (n, o), targets; or (n,).
    loss : as in `gradient_descent_predictor`.
    learning_rate : float > 0.
    momentum : float in [0, 1).

    Returns
    -------
    (init_fn, predict_fn, get_fn)
        init_fn(fx_train), or with `g_td` init_fn(fx_train, fx_test) : the state at rest with these outputs.
        predict_fn(state, t) : the state a time t (a number) later; t is sqrt(learning_rate) times the number of steps.
        get_fn(state) : the training outputs, or the pair of training and test outputs.

        A state is (o, s) with s = (f_t, q_t) in a row, q = df/dt, each flattened to n o numbers; with `g_td` it is
        (2 n o, o, s) with s = (f_t, q_t, f_*, q_*).

    Raises
    ------
    ValueError, NotReachedError : shapes disagree; as `predict.gradient_descent`.

    Accuracy, Source
    ----------------
    As for `predict.gradient_descent`, with its tolerances: docs/theory/dynamics.md#any-loss.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> init_fn, predict_fn, get_fn = momentum_predictor(
    ...     np.eye(2), np.ones((2, 1)), lambda f, y: np.sum((f - y) ** 2) / 2, .01)
    >>> state = predict_fn(init_fn(np.zeros((2, 1))), 2.)
    >>> get_fn(predict_fn(state, 48.)).round(6)
    array([[1.],
           [1.]])
    """
    k, k_test, trace_axes = _kernels(g_dd, g_td, y_train)
    later = gradient_descent(loss, k, y_train, learning_rate, momentum, trace_axes)
    heavy = _Momentum(later, y_train.shape, learning_rate, k_test)
    return heavy.init_fn, heavy.predict_fn, heavy.get_fn


@dataclass(frozen=True, eq=False, repr=False)
class _Momentum:
    """The functions of `momentum_predictor`, for targets of one shape."""

    later: Any
    shape: tuple
    learning_rate: float
    k_test: Any

    def init_fn(self, fx_train: Array, *fx_test: Array) -> tuple:
        parts = []
        for f in self.checked(fx_train, *fx_test):
            parts += [f.reshape(-1), 0. * f.reshape(-1)]
        s = namespace(*parts).concatenate(parts)
        o = prod(self.shape[1:])
        return (o, s) if self.k_test is None else (2 * prod(self.shape), o, s)

    def checked(self, fx_train, *fx_test):
        """Return the outputs; raise ValueError unless they have the shapes of the two sets."""
        as_floats(fx_train, *fx_test)
        shapes = [a.shape for a in (fx_train, *fx_test)]
        wanted = [self.shape]
        if self.k_test is not None:
            wanted.append(self.k_test.shape[:1] + self.shape[1:])
        if shapes != wanted:
            raise ValueError(f'expected outputs of shapes {wanted}, got {shapes}: training set '
                             'first, test set if g_td is given.')
        return fx_train, *fx_test

    def predict_fn(self, state: tuple, t: Number) -> tuple:
        *head, s = state
        steps = as_number(t, 't') / self.learning_rate ** .5
        end = self.later(steps, ODEState(*self.parts(s)), None, self.k_test)
        parts = [end.fx_train, end.qx_train]
        if self.k_test is not None:
            parts += [end.fx_test, end.qx_test]
        return *head, namespace(s).concatenate([a.reshape(-1) for a in parts])

    def parts(self, s):
        """Return f_t, f_*, q_t, q_* of a state, as in an ODEState."""
        size = 2 * prod(self.shape)
        train = s[:size].reshape(2, *self.shape)
        test = (None, None)
        if self.k_test is not None:
            test = s[size:].reshape(2, -1, *self.shape[1:])
        return train[0], test[0], train[1], test[1]

    def get_fn(self, state: tuple) -> Any:
        train, test = self.parts(state[-1])[:2]
        return train if self.k_test is None else (train, test)


def _kernels(g_dd, g_td, y_train):
    """Return the kernels in the form that `predict` takes, and the trace_axes of that form."""
    as_floats(g_dd, y_train, *(() if g_td is None else (g_td,)))
    if len(y_train.shape) not in (1, 2):
        raise ValueError('expected y_train of shape (n, o), or (n,) for one output, got '
                         f'{y_train.shape}.')
    n = len(y_train)
    o = prod(y_train.shape[1:])
    if g_dd.shape == (n, n):
        return g_dd, g_td, (-1,)
    k_train = _zipped('g_dd', g_dd, o)
    return k_train, None if g_td is None else _zipped('g_td', g_td, o), ()


def _zipped(name, g, o):
    """Convert a kernel (m o, n o) to (m, n, o, o)."""
    if len(g.shape) == 4:
        return g
    if len(g.shape) != 2 or g.shape[0] % o or g.shape[1] % o:
        raise ValueError(f'expected {name} of shape (m, n), (m {o}, n {o}) or (m, n, {o}, {o}) for '
                         f'{o} outputs, got {g.shape}.')
    xp = namespace(g)
    apart = xp.reshape(g, (g.shape[0] // o, o, g.shape[1] // o, o))
    return xp.moveaxis(apart, 2, 1)
