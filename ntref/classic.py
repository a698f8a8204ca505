"""The first release's names, from before Neural Tangents had `predict` and `empirical_ntk_fn`.

Kernels of n training and m test points, o outputs each, come in any of three forms, the same for both:

    g_dd (n o, n o)     g_td (m o, n o)       flattened: the outputs of a point side by side
    g_dd (n, n, o, o)   g_td (m, n, o, o)
    g_dd (n, n)         g_td (m, n)           the same for each output, zero between outputs
"""
from .arguments import as_number, as_part, as_whole
from .arrays import as_floats, namespace
from .empirical import empirical_ntk_fn
from .engine.batch import batch, number_of_inputs
from .predict import ODEState, gradient_descent, gradient_descent_mse

__all__ = ['analytic_mse_predictor', 'gradient_descent_predictor', 'momentum_predictor', 'ntk']


def ntk(f, batch_size=None):
    r"""The NTK of a finite network with all pairs of its outputs, J(x1) J(x2)^T: `empirical_ntk_fn` with no traces.

    Parameters
    ----------
    f : callable (params, x), arrays -> array (n, o)
        Written with `autograd.numpy`, see `empirical_kernel_fn`.
    batch_size : int > 0, optional
        So many inputs of x1 and x2 at a time, which takes the memory of their Jacobians alone. f has to treat its
        inputs (on the first axis) one by one. None: all at once, and f may mix them.

    Returns
    -------
    ntk_fn(x1, x2, params) -> array (n1, n2, o, o), for outputs (n, o)
        x2 = None: x1 with itself. Predictors of this module take it as it is.

    Raises
    ------
    ValueError : batch_size < 1; f mixes its inputs although batch_size is given; those of `empirical_kernel_fn`.

    Accuracy, Source
    ----------------
    Of `empirical_kernel_fn`. Jacot et al. 2018 (arXiv:1806.07572): docs/theory/empirical.md#kernels.

    Examples
    --------
    >>> import numpy
    >>> ntk_fn = ntk(lambda params, x: x @ params, batch_size=2)
    >>> k = ntk_fn(numpy.eye(3), None, numpy.ones((3, 2)))            # x x' for each output, zero between them
    >>> k.shape, k[0, 0].tolist(), k[0, 1].tolist()
    ((3, 3, 2, 2), [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]])
    """
    f = as_part(f, 'apply_fn', 'f')
    if batch_size is None:
        return empirical_ntk_fn(f, (), implementation=0)
    of_pairs = empirical_ntk_fn(f, (), vmap_axes=0, implementation=3)
    in_batches = batch(of_pairs, as_whole(batch_size, 'ntk: batch_size', 1), device_count=0)

    def ntk_fn(x1, x2, params):
        for x in x1, x2:
            if x is not None and number_of_inputs(x, 'x1 or x2') > 1:
                of_pairs(x[:2], None, params)                   # two see of each other what batches of one do not
        return in_batches(x1, x2, params)
    return ntk_fn


def analytic_mse_predictor(g_dd, y_train, g_td=None):
    r"""Outputs during gradient flow on L = 1/2 mean (f - y)^2, in closed form: `predict.gradient_descent_mse`.

    .. math:: f_t(t) = y + e^{-\Theta t/N} (f_t(0) - y), \qquad N = n o

    Parameters
    ----------
    g_dd, g_td : arrays, kernels of the training set with itself, and of test with training set: see above.
    y_train : array (n, o), targets.

    Returns
    -------
    predict(fx_train, t), or with `g_td` predict(fx_train, fx_test, t)
        fx_train, fx_test : arrays (n, o), (m, o), the outputs at t = 0.
        t : learning_rate times the number of steps; in any shape, None: infinite.

        It returns the training outputs, or the pair of training and test outputs.

    Raises
    ------
    ValueError : shapes disagree; those of `gradient_descent_mse`.

    Accuracy, Source
    ----------------
    Of `predict.gradient_descent_mse`. Lee et al. 2019 (arXiv:1902.06720): docs/theory/dynamics.md#closed-form.

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


def gradient_descent_predictor(g_dd, y_train, loss, g_td=None):
    """Outputs during gradient flow on any loss: `predict.gradient_descent`.

    Parameters
    ----------
    g_dd, g_td : arrays, kernels of the training set with itself, and of test with training set: see above.
    y_train : array (n, o), targets.
    loss : function (fx_train, y_train) -> number, of arrays (n, o), written with `autograd.numpy`. (The first release
        gave it arrays (n o,), so that a softmax ran over all examples: here it may take the last axis.)

    Returns
    -------
    predict(fx_train, t), or with `g_td` predict(fx_train, fx_test, t)
        As that of `analytic_mse_predictor`.

    Raises
    ------
    ValueError, NotReachedError : shapes disagree; those of `predict.gradient_descent`.

    Accuracy, Source
    ----------------
    Of `predict.gradient_descent`, with its tolerances: docs/theory/dynamics.md#any-loss.

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
    """The first release's arguments, with test outputs where there is a kernel for them."""
    if k_test is None:
        return lambda fx_train, t: predict_fn(t, fx_train)
    return lambda fx_train, fx_test, t: predict_fn(t, fx_train, fx_test, k_test)


def momentum_predictor(g_dd, y_train, loss, learning_rate, g_td=None, momentum=0.9):
    r"""Outputs during gradient descent with momentum (heavy ball) on any loss: `predict.gradient_descent`.

    .. math:: \frac{d^2f}{dt^2} = -\frac{1 - \text{momentum}}{\sqrt{\text{learning_rate}}} \frac{df}{dt}
        - \Theta \frac{\partial L}{\partial f_t}

    Parameters
    ----------
    g_dd, g_td : arrays, kernels of the training set with itself, and of test with training set: see above.
    y_train : array (n, o), targets.
    loss : as in `gradient_descent_predictor`.
    learning_rate : float > 0.
    momentum : float in [0, 1).

    Returns
    -------
    (init_fn, predict_fn, get_fn)
        init_fn(fx_train), or with `g_td` init_fn(fx_train, fx_test) : the state at rest with these outputs.
        predict_fn(state, t) : the state a time t later, a number; t is sqrt(learning_rate) times the number of steps.
        get_fn(state) : the training outputs, or the pair of training and test outputs.

        A state is (o, s) with s = (f_t, q_t) in a row, q = df/dt, each flattened to n o numbers; with `g_td` it is
        (2 n o, o, s) with s = (f_t, q_t, f_*, q_*).

    Raises
    ------
    ValueError, NotReachedError : shapes disagree; those of `predict.gradient_descent`.

    Accuracy, Source
    ----------------
    Of `predict.gradient_descent`, with its tolerances: docs/theory/dynamics.md#any-loss.

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
    n, o = y_train.shape

    def init_fn(fx_train, *fx_test):
        sets = [a.reshape(-1) for a in _checked(fx_train, *fx_test)]
        s = namespace(*sets).concatenate([part for f in sets for part in (f, 0. * f)])
        return (o, s) if g_td is None else (2 * n * o, o, s)

    def _checked(fx_train, *fx_test):
        shapes = [a.shape for f in (fx_train, *fx_test) for a in as_floats(f)]
        wanted = [y_train.shape] + ([] if g_td is None else [(k_test.shape[0], o)])
        if shapes != wanted:
            raise ValueError(f'expected outputs of shapes {wanted}, got {shapes}: training set first, test set if '
                             'g_td is given.')
        return fx_train, *fx_test

    def predict_fn(state, t):
        *head, s = state
        end = later(as_number(t, 't') / learning_rate ** .5, ODEState(*_parts(s)), None, k_test)
        parts = end.fx_train, end.qx_train, *(() if g_td is None else (end.fx_test, end.qx_test))
        return *head, namespace(s).concatenate([a.reshape(-1) for a in parts])

    def _parts(s):
        """f_t, f_*, q_t, q_* of a state, as in an ODEState."""
        train = s[:2 * n * o].reshape(2, n, o)
        test = (None, None) if g_td is None else s[2 * n * o:].reshape(2, -1, o)
        return train[0], test[0], train[1], test[1]

    def get_fn(state):
        train, test = _parts(state[-1])[:2]
        return train if g_td is None else (train, test)

    return init_fn, predict_fn, get_fn


def _kernels(g_dd, g_td, y_train):
    """Kernels as `predict` takes them, and the trace_axes that this means."""
    as_floats(g_dd, y_train, *(() if g_td is None else (g_td,)))
    if len(y_train.shape) != 2:
        raise ValueError(f'expected y_train of shape (n, o), got {y_train.shape}.')
    n, o = y_train.shape
    if g_dd.shape == (n, n):
        return g_dd, g_td, (-1,)
    return _zipped('g_dd', g_dd, o), None if g_td is None else _zipped('g_td', g_td, o), ()


def _zipped(name, g, o):
    """(m o, n o) -> (m, n, o, o)."""
    if len(g.shape) == 4:
        return g
    if len(g.shape) != 2 or g.shape[0] % o or g.shape[1] % o:
        raise ValueError(f'expected {name} of shape (m, n), (m {o}, n {o}) or (m, n, {o}, {o}) for {o} outputs, got '
                         f'{g.shape}.')
    xp = namespace(g)
    return xp.moveaxis(xp.reshape(g, (g.shape[0] // o, o, g.shape[1] // o, o)), 2, 1)
