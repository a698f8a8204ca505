"""Training with any loss: gradient descent and heavy ball as differential equations of the outputs.

    df/dtau = -K g(f)                                              g = dL/df, K = R R^T, tau = learning_rate t
    d2f/dtau2 = -c df/dtau - K g(f)                                c = (1 - momentum)/sqrt(learning_rate)

Both move f within the range of K, so that f_t = f_t(0) + R w and f_* = f_*(0) + K_*t V Lambda^(-1/2) w for one w, with
as many rows as K has eigenvalues above zero: docs/theory/dynamics.md#any-loss. The solver integrates this w (ode.py).
"""
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy

from ..arguments import as_flag, as_whole, suggestion
from ..arrays import is_on_device, namespace
from ..engine.device import there, to_host
from ..engine.run import alone
from ..no_arrays import check_unfollowed
from ..trees import tree_map
from ..types import Array, Number
from .closed_form import Training
from .equations import Flow, Modes, Outputs
from .iterative import NotConvergedError
from .layout import Axes, as_momentum, nonnegative, refuse_objects, time
from .loss import Loss
from .ode import METHODS, Options, Stats, integrate
from .predictor import Predictor

__all__ = ['NotReachedError', 'ODEState', 'gradient_descent']

FINEST = 1e-13         # least rtol; SciPy's solvers ask for at least 100 eps


class ODEState(NamedTuple):
    """State of gradient descent, from which training can go on.

    Attributes
    ----------
    fx_train, fx_test : arrays, the outputs; None if they are not computed.
    qx_train, qx_test : arrays, their velocities df/dtau, tau = sqrt(learning_rate) t; None: zero or no momentum.

    Examples
    --------
    >>> ODEState(fx_train=0.)
    ODEState(fx_train=0.0, fx_test=None, qx_train=None, qx_test=None)
    """

    fx_train: Any = None
    fx_test: Any = None
    qx_train: Any = None
    qx_test: Any = None


class NotReachedError(NotConvergedError):
    """Error for gradient descent that ended before the requested times.

    Attributes
    ----------
    times : array (k,), the requested times that were reached, in increasing order.
    result : the result for these times, with leading axis k.
    t, state : float, the last time reached, and the ODEState there; pass it instead of fx_train_0 to go on.
    stats, steps : Stats of the solver, and its number of steps.
    residual : float, the remaining distance to the stationary point (t = None), in units of the outputs.
    """

    def __init__(self, why: str, times: numpy.ndarray, result: Any, state: ODEState, stats: Stats):
        super().__init__(
            f'expected to reach all times, got to t = {stats.t:.6g} in {stats.steps} steps of '
            f'{stats.method}: {why}. What was reached is in .result and .times of this error, and '
            '.state is where to go on from.', stats.distance, stats.steps, state)
        self.times = times
        self.result = result
        self.stats = stats
        self.t = stats.t


# ------------------------------------------------------------------ arrays in, arrays out

def gradient_descent(loss: Callable[[Array, Array], Number] | None, k_train_train: Array,
                     y_train: Array, learning_rate: float = 1., momentum: float | None = None,
                     trace_axes: Axes = (-1,), *,
                     grad: Callable[[Array, Array], Array] | None = None,
                     hvp: Callable[[Array, Array, Array], Array] | None = None,
                     rtol: float = 1.4e-8, atol: float = 1.4e-8, method: str = 'auto',
                     max_steps: int = 20000, progress: bool | None = None) -> '_Descent':
    r"""Predict the outputs during gradient descent on any loss, with or without momentum, with the kernel held fixed.

    .. math::
        \frac{df}{d\tau} = -K \frac{\partial L}{\partial f_t}, \quad \tau = \text{learning\_rate}\; t
        \qquad\text{or}\qquad
        \frac{d^2f}{d\tau^2} = -\frac{1 - \text{momentum}}{\sqrt{\text{learning\_rate}}} \frac{df}{d\tau}
        - K \frac{\partial L}{\partial f_t}, \quad \tau = \sqrt{\text{learning\_rate}}\; t

    for training and test outputs f and their kernel K with the training set. The second is the limit of the heavy ball
    v <- momentum v + dL/dtheta, theta <- theta - learning_rate v, where learning_rate and t matter separately.

    Parameters
    ----------
    loss : function (fx_train, y_train) -> number, of arrays of the shape of y_train, written with `autograd.numpy`. It
        may be None if `grad` is given, because its value is then not needed.
    k_train_train : array (n, n), or (n, n, c, c, ...): symmetric positive semi-definite; usually the NTK.
    y_train : array (n, ..., o), the targets that `loss` takes; the outputs have the same shape.
    learning_rate : float > 0.
    momentum : float in [0, 1), or None for gradient descent without momentum.
    trace_axes : axes of `y_train` on which the kernel is the identity; the kernel array does not have them.
    grad : function (fx_train, y_train) -> dL/df, of the shape of y_train; default: by autograd.
    hvp : function (fx_train, y_train, v) -> d2L/df2 v, of the same shape; default: by autograd, from `grad` if given.
    rtol, atol : float > 0, tolerances of each solver step, for outputs; rtol >= 1e-13. With momentum both are
        multiplied by 1 - momentum (rtol >= 1e-13 remains), because errors of oscillations add up accordingly.
    method : 'auto': DOP853, then Radau as soon as it costs less, unless `grad` is given without `hvp`; or a solver of
        scipy.integrate by name: 'DOP853', 'RK45', 'RK23'; implicit 'Radau', 'BDF', 'LSODA', with the Jacobian -K H.
    max_steps : int >= 1, the most steps of one call.
    progress : True: show steps and time (tqdm). None: show them only on a terminal.

    Returns
    -------
    predict_fn(t=None, fx_train_or_state_0=0., fx_test_0=None, k_test_train=None, *, stats=False)
        t : times >= 0 in any shape and order; None or inf: until the outputs are at rest.
        fx_train_or_state_0 : training outputs at t = 0, an array, a number or None; or an ODEState to go on from.
        fx_test_0 : test outputs at t = 0, an array, a number or None; None along with an ODEState, which has them.
        k_test_train : array (m, n) or (m, n, c, c, ...), the same kernel test x train; needed with test outputs.
        stats : if True, return the pair of the result and the solver's `Stats`.

        It returns the training outputs, the test outputs or both, of shape t.shape + the shape of the outputs; started
        from an ODEState, an ODEState of these. float32 if `k_train_train` and `y_train` are, otherwise float64.

    Raises
    ------
    ValueError : shapes disagree; NaN or infinity; parameters out of range; t < 0; no outputs asked for; a loss that
        returns no finite number, or does not depend on f as far as autograd sees; velocities without momentum.
    TypeError : arrays that are not of NumPy or CuPy; a loss, grad or hvp that is not a function.
    NotPSDError : the smallest eigenvalue of k_train_train is below -10 max(n, 4) eps times the largest.
    NotReachedError : max_steps are used up; steps become too small (NaN on the way); the loss has a kink at which
        outputs would have to stay or oscillate (the message says so); at t = None the loss has no minimum. The error
        has the results so far, and the state.
    SingularKernelWarning : some eigenvalues of the kernel count as zero, which affects the result.

    Notes
    -----
    With t = None integration ends when the minimum is within 10 (atol + rtol max|f|) by Newton's method.
    Arrays of CuPy are copied to the host once, and results to the device: the solvers compute there. `loss` gets
    arrays of NumPy.
    Test outputs cost nothing during integration, and eigenvalues that are zero do not move anything.

    Accuracy
    --------
    Errors up to 40 rtol, relative to the largest output (or 1), compared with closed forms and mpmath, with momentum 0
    to .999, also at times within steps: docs/training.md#accuracy.

    Source
    ------
    Lee et al. 2019 (arXiv:1902.06720), section 2.2; momentum: Polyak 1964. Derivation, and why w is integrated:
    docs/theory/dynamics.md#any-loss.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> def cross_entropy(f, y):
    ...     return -np.mean(np.sum(y * (f - np.log(np.sum(np.exp(f), 1, keepdims=True))), 1))
    >>> k, y = np.array([[2., 0.], [0., 1.]]), np.eye(2)
    >>> predict_fn = gradient_descent(cross_entropy, k, y)
    >>> predict_fn(1.).round(6)
    array([[ 0.39603 , -0.39603 ],
           [-0.221427,  0.221427]])
    >>> state, stats = predict_fn(1., ODEState(0.), stats=True)
    >>> bool(abs(predict_fn(2., state).fx_train - predict_fn(3.)).max() < 1e-7), stats.method
    (True, 'DOP853')
    """
    refuse_objects(k_train_train)
    learning_rate = nonnegative('learning_rate', learning_rate, positive=True)
    rate, damping = _time(learning_rate, momentum)
    rtol = nonnegative('rtol', rtol, positive=True)
    atol = nonnegative('atol', atol, positive=True)
    if rtol < FINEST:
        raise ValueError(f'expected rtol >= {FINEST:g}, got {rtol:g}: steps err by rounding.')
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f'expected method to be one of {", ".join(METHODS)}, got {method!r:.100}.'
                         + suggestion(method, METHODS))
    check_unfollowed(k_train_train, 'k_train_train')
    check_unfollowed(y_train, 'y_train')
    is_there = is_on_device(y_train)
    if namespace(k_train_train, y_train).kind != 'numpy' and not is_there:
        raise TypeError('expected arrays of NumPy or CuPy: the solvers of SciPy compute in float64 on the host.')
    k_train_train, y_train = to_host(k_train_train), to_host(y_train)
    train = Training(k_train_train, y_train, 0., False, trace_axes)
    modes = Modes(train.a)
    fading = 1. if momentum is None else 1. - momentum
    of_w = (max(fading * rtol, FINEST), fading * atol / modes.size)
    options = Options(method, *of_w, as_whole(max_steps, 'max_steps', 1), progress)
    of_outputs = Loss(loss, grad, hvp, train.layout, train.y)
    return _Descent(train, modes, of_outputs, options, rate, damping, rtol, atol, is_there)


@dataclass(frozen=True, eq=False, repr=False)
class _Descent(Predictor, of='gradient_descent'):
    """The predict_fn of `gradient_descent`; tau = rate t."""

    unkept = ('its loss is a function, and files have no functions. Save the kernel (save_kernel) and the ODEState '
              'that was reached, or pickle the predictor.')

    train: Training
    modes: Modes
    loss: Loss
    options: Options
    rate: float
    damping: float | None
    rtol: float
    atol: float
    is_there: bool                     # True if results go to a device

    def told(self):
        names = [getattr(f, '__name__', type(f).__name__) for f in self.functions().values()]
        damping = '' if self.damping is None else f', damping={self.damping:g}'
        return f'{", ".join(names)}, targets {self.train.layout.shape}, tau = {self.rate:g} t{damping}'

    def functions(self):
        return self.loss.functions()

    def __call__(self, t: Array | Number | None = None,
                 fx_train_or_state_0: ODEState | Array | Number | None = 0.,
                 fx_test_0: Array | Number | None = None, k_test_train: Array | None = None, *,
                 stats: bool = False) -> Any:
        stats = as_flag(stats, 'stats')
        given: Any = t, fx_train_or_state_0, fx_test_0, k_test_train
        t, fx_train_or_state_0, fx_test_0, k_test_train = tree_map(to_host, given)
        train = self.train
        is_state = isinstance(fx_train_or_state_0, ODEState)
        if not is_state:
            train.refuse_arrays_as_times(t, fx_train_or_state_0, fx_test_0, k_test_train)
        state = _state(fx_train_or_state_0, fx_test_0, k_test_train, self.damping)
        sets = _Sets(train.layout, self.modes, self.damping, train.y, state, k_test_train)
        self.loss.check(sets.train.f0)
        flow = Flow(self.modes, self.loss, sets.train, lambda size: self.atol + self.rtol * size)
        tau = time(numpy.inf if t is None else t, self.rate, train.y, 1)
        finite = numpy.unique(tau[numpy.isfinite(tau)])
        to_rest = bool(numpy.isinf(tau).any())
        with alone() if flow.is_small else nullcontext():
            path = integrate(flow, flow.s0, finite, to_rest, self.options)
        at = numpy.append(finite[:len(path.states)], path.tau)
        states = numpy.stack([*path.states, path.s]).reshape(len(at), *flow.shape)
        reached = path.stats._replace(t=float(path.tau / self.rate))

        def answer(which, shape):
            found = tree_map(lambda a: there(a, self.is_there), sets.at(at[which], states[which], shape))
            if is_state:
                return found
            asked = tuple(f for f in found[:2] if f is not None)
            return asked if len(asked) == 2 else asked[0]
        if path.why:
            k = len(path.states)
            end = sets.at(at[-1:], states[-1:], ())
            result = answer(numpy.arange(k), (k,))
            raise NotReachedError(path.why, finite[:k] / self.rate, result, end, reached)
        train.a.announce(train.y, tau / train.y.size)
        result = answer(numpy.searchsorted(finite, tau).ravel(), tau.shape)
        return (result, reached) if stats else result


def _time(learning_rate, momentum):
    """Return tau / t, and the damping c."""
    if momentum is None:
        return learning_rate, None
    rate = learning_rate ** .5
    return rate, (1 - as_momentum(momentum)) / rate


def _state(start, fx_test_0, k_test_train, damping):
    """Return the ODEState to start from."""
    given = isinstance(start, ODEState)
    if given and fx_test_0 is not None:
        raise ValueError('expected no fx_test_0 along with an ODEState, which has an fx_test of '
                         'its own.')
    state = start if given else ODEState(start, fx_test_0)
    if state.fx_train is None and state.fx_test is None:
        raise ValueError('expected fx_train_0 or fx_test_0, got None for both: give those of the '
                         'outputs wanted.')
    if state.fx_test is not None and k_test_train is None:
        raise ValueError('expected k_test_train along with fx_test_0, got None: pass '
                         'kernel_fn(x_test, x_train).')
    for name in 'train', 'test':
        if getattr(state, f'qx_{name}') is None:
            continue
        if damping is None:
            raise ValueError(f'expected no qx_{name} in an ODEState without momentum.')
        if getattr(state, f'fx_{name}') is None:
            raise ValueError(f'expected no qx_{name} in an ODEState without fx_{name}.')
    return state


class _Sets:
    """Outputs on the training set and, if they are wanted, on the test set."""

    def __init__(self, layout, modes, damping, y, state, k_test_train):
        self.layout = layout

        def outputs(name, basis, rows):
            """Return the Outputs on the set `name` that start from the state."""
            f0, q0 = (getattr(state, field + name) for field in ('fx_', 'qx_'))
            f0 = layout.initial('fx_' + name, 0. if f0 is None else f0, rows, y)
            q0 = layout.initial('qx_' + name, 0. if q0 is None else q0, rows, y)
            return Outputs(basis, f0, q0, damping)
        self.train = outputs('train', modes.root, layout.rows)
        self.sets = [None, None]                   # (outputs, rows) of those that are wanted
        if state.fx_train is not None:
            self.sets[0] = (self.train, layout.rows)
        if state.fx_test is not None:
            k, rows = layout.test_matrix(k_test_train)
            self.sets[1] = (outputs('test', modes.test(k), rows), rows)

    def at(self, tau, s, shape):
        """Return the ODEState at times tau (T,) and states (T, 1 or 2, r, o), its fields with leading axes `shape`."""
        state = []
        for name, part in zip('fq', s.swapaxes(0, 1)):     # without momentum there is no q
            for wanted in self.sets:
                if wanted is None:
                    state.append(None)
                    continue
                outputs, rows = wanted
                a = self.layout.outputs(getattr(outputs, name)(tau, part), rows)
                state.append(a.reshape(shape + a.shape[1:]))
        return ODEState(*state)
