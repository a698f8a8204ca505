"""Training with any loss: gradient descent and heavy ball as differential equations of the outputs.

    df/dtau = -K g(f)                                              g = dL/df, K = R R^T, tau = learning_rate t
    d2f/dtau2 = -c df/dtau - K g(f)                                c = (1 - momentum)/sqrt(learning_rate)

Both move f within the range of K, so that f_t = f_t(0) + R w and f_* = f_*(0) + K_*t V Lambda^(-1/2) w for one w, with
as many rows as K has eigenvalues above zero: docs/theory/dynamics.md#any-loss. The solver integrates this w (ode.py).
"""
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy

from ..arguments import as_flag, as_whole, suggestion
from ..arrays import namespace
from ..engine.run import alone
from ..no_arrays import check_unfollowed
from .closed_form import Training
from .iterative import NotConvergedError
from .layout import nonnegative, refuse_objects, time
from .loss import Loss
from .ode import METHODS, Options, integrate

__all__ = ['NotReachedError', 'ODEState', 'gradient_descent']

FACTORING = 4e-9       # seconds: a run's factorizations, over n^3; an evaluation, and its part over R times outputs
EVALUATION, PRODUCT = 3e-4, 1e-10
FINEST = 1e-13         # least rtol; SciPy's solvers ask for at least 100 eps
SMALL = 2 ** 22        # entries of R times outputs below which threads do not help
NEAR = 10.             # tolerances from the minimum that are near enough: steps limited by stability oscillate there
VANISHED, FAR = 1e-8, 1e-2             # no minimum: gradient below this part of the first one, minimum further away


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

    def __init__(self, why, times, result, state, stats):
        self.times = times
        self.result = result
        self.state = state
        self.stats = stats
        self.t = stats.t
        self.steps = stats.steps
        self.residual = stats.distance
        RuntimeError.__init__(
            self, f'expected to reach all times, got to t = {stats.t:.6g} in {stats.steps} steps of {stats.method}: '
            f'{why}. What was reached is in .result and .times of this error, and .state is where to go on from.')


# ------------------------------------------------------------------ the equations

class Outputs(NamedTuple):
    """Outputs that start at f0 with the velocity q0 and are moved by w: by R w on the training set."""

    basis: Any
    f0: Any
    q0: Any
    damping: float | None

    def f(self, tau, w):
        """f(0) + (1 - exp(-c tau))/c q(0) + basis w."""
        if self.damping is None:
            return self.f0 + self.basis @ w
        tau = numpy.asarray(tau)[..., None, None]
        return self.f0 - numpy.expm1(-self.damping * tau) / self.damping * self.q0 + self.basis @ w

    def q(self, tau, p):
        """df/dtau = exp(-c tau) q(0) + basis dw/dtau, with momentum."""
        tau = numpy.asarray(tau)[..., None, None]
        return numpy.exp(-self.damping * tau) * self.q0 + self.basis @ p


class Modes:
    """K = V Lambda V^T = R R^T, without the eigenvalues that are zero."""

    def __init__(self, a):
        moves = a.values > 0
        self.a, self.moves, self.values, self.vectors = a, moves, a.values[moves], a.vectors[:, moves]
        self.root = self.vectors * numpy.sqrt(self.values)

    @property
    def size(self):
        """The norm |R| of R as an operator, which bounds the entries of R."""
        return float(self.values[-1]) ** .5 if len(self.values) else 1.

    def test(self, k):
        """Return K_*t V Lambda^(-1/2), which is to test points what R is to training points."""
        return self.a.modes(k)[:, self.moves] / numpy.sqrt(self.values)

    def projected(self, g):
        """Return the part of g that moves outputs."""
        return g if self.moves.all() else self.vectors @ (self.vectors.T @ g)

    def between(self, h):
        """Return R^T H R as a matrix, for H in blocks (b, x, o, x, o)."""
        b, x, o = h.shape[:3]
        root = self.root.reshape(b, x, -1)
        r = root.shape[2]
        hr = numpy.moveaxis(h, 3, 4).reshape(b, x * o * o, x) @ root                     # (b, (x, o, o'), r')
        rhr = numpy.tensordot(root, hr.reshape(b, x, o, o, r), ((0, 1), (0, 1)))         # (r, o, o', r')
        return rhr.swapaxes(2, 3).reshape(r * o, r * o)


class Flow:
    """The differential equation ds/dtau for s = w, or with momentum s = (w, p), from the outputs `train` at tau = 0."""

    def __init__(self, modes, loss, train, enough):
        self.modes, self.loss, self.train, self.enough, self.damping = modes, loss, train, enough, train.damping
        self.shape = (1 if self.damping is None else 2, len(modes.values), train.f0.shape[1])
        self.s0, self.outputs = numpy.zeros(self.shape).ravel(), train.f0.size
        self.g0 = numpy.linalg.norm(loss.gradient(train.f0))

    def f(self, tau, s):
        return self.train.f(tau, s.reshape(self.shape)[0])

    def derivative(self, tau, s):
        """dw/dtau = -R^T g(f), or with momentum dw/dtau = p, dp/dtau = -c p - R^T g(f)."""
        force = -(self.modes.root.T @ self.loss.gradient(self.f(tau, s)))
        if self.damping is None:
            return force.ravel()
        p = s.reshape(self.shape)[1]
        return numpy.stack([p, force - self.damping * p]).ravel()

    def jacobian(self, tau, s):
        """-R^T H R, or with momentum ((0, 1), (-R^T H R, -c))."""
        a, size = self.modes.between(self.loss.blocks(self.f(tau, s))), self.s0.size
        if self.damping is None:
            return -a
        j, n = numpy.zeros((size, size)), size // 2
        j[:n, n:], j[n:, :n], j[n:, n:] = numpy.eye(n), -a, -self.damping * numpy.eye(n)
        return j

    # -------------------------------------------------------------- what a solver needs

    def turn(self, tau, s):
        """Return |d2s/dtau2| and |ds/dtau|, or None if H is not available."""
        if not self.loss.second_order:
            return None
        ds, c = self.derivative(tau, s).reshape(self.shape), self.damping
        df = self.modes.root @ ds[0] if c is None else self.train.q(tau, ds[0])
        force = -(self.modes.root.T @ self.loss.hessian(self.f(tau, s))(df))
        d2s = force if c is None else numpy.stack([ds[1], force - c * ds[1]])
        return numpy.linalg.norm(d2s), numpy.linalg.norm(ds)

    @property
    def is_small(self):
        """True if products with R take less time than waking a second thread."""
        return self.modes.root.size * self.shape[2] < SMALL

    @property
    def factoring(self):
        evaluation = EVALUATION + PRODUCT * self.modes.root.size * self.shape[2]
        return FACTORING * self.s0.size ** 3 / evaluation

    def rest(self, tau, s):
        """Return the distance to the minimum by Newton's method, the distance that suffices, and why there is none."""
        f = self.f(tau, s)
        g, enough = self.modes.projected(self.loss.gradient(f)), NEAR * self.enough(numpy.abs(f).max())
        distance = self.cauchy(f, g)
        if distance <= enough:
            distance = self.newton(f, g)
        vanished, why = numpy.linalg.norm(g) / (self.g0 or 1.), ''
        if vanished < VANISHED and distance > FAR * (1 + numpy.abs(f - self.train.f0).max()):
            why = (f'the gradient of the loss has fallen to {vanished:.1e} of what it was, but a minimum is still '
                   f'{distance:.2g} away, as if there were none, as for cross-entropy of classes that can be told '
                   'apart. Give a finite t')
        if self.damping is not None:
            distance += numpy.abs(self.train.q(tau, s.reshape(self.shape)[1])).max() / self.damping
        return float(distance), enough, why

    def cauchy(self, f, g):
        """Return the largest over examples of |g|^3 / g^T H g, which is at most the step |H^-1 g|."""
        parts = self.loss.per_example
        hg, g = parts(self.loss.hessian(f)(g)), parts(g)
        size, bent = (g * g).sum(1), (g * hg).sum(1)
        if not (bent[size > 0] > 0).all():                       # the loss couples examples: take all as one
            size, bent = size.sum(keepdims=True), bent.sum(keepdims=True)
        with numpy.errstate(divide='ignore', invalid='ignore'):
            return float(numpy.where(size == 0, 0., numpy.where(bent > 0, size ** 1.5 / bent, numpy.inf)).max())

    def newton(self, f, g):
        """Return the largest |H^+ g| over examples."""
        h = self.loss.blocks(f)
        b, x, o = h.shape[:3]
        step = numpy.linalg.pinv(h.reshape(b, x * o, x * o), hermitian=True) @ g.reshape(b, x * o, 1)
        return float(numpy.linalg.norm(self.loss.per_example(step.reshape(f.shape)), axis=1).max())


# ------------------------------------------------------------------ arrays in, arrays out

def gradient_descent(loss, k_train_train, y_train, learning_rate=1., momentum=None, trace_axes=(-1,), *, grad=None,
                     hvp=None, rtol=1.4e-8, atol=1.4e-8, method='auto', max_steps=20000, progress=None):
    r"""Predict the outputs during gradient descent on any loss, with or without momentum, with the kernel held fixed.

    .. math::
        \frac{df}{d\tau} = -K \frac{\partial L}{\partial f_t}, \quad \tau = \text{learning_rate}\; t
        \qquad\text{or}\qquad
        \frac{d^2f}{d\tau^2} = -\frac{1 - \text{momentum}}{\sqrt{\text{learning_rate}}} \frac{df}{d\tau}
        - K \frac{\partial L}{\partial f_t}, \quad \tau = \sqrt{\text{learning_rate}}\; t

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
    TypeError : arrays that are not NumPy's; a loss, grad or hvp that is not a function.
    NotPSDError : the smallest eigenvalue of k_train_train is below -10 max(n, 4) eps times the largest.
    NotReachedError : max_steps are used up; steps become too small (NaN on the way); the loss has a kink at which
        outputs would have to stay or oscillate (the message says so); at t = None the loss has no minimum. The error
        has the results so far, and the state.
    SingularKernelWarning : some eigenvalues of the kernel count as zero, which affects the result.

    Notes
    -----
    With t = None integration ends when the minimum is within 10 (atol + rtol max|f|) by Newton's method.
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
    rate, damping = _time(nonnegative('learning_rate', learning_rate, positive=True), momentum)
    rtol = nonnegative('rtol', rtol, positive=True)
    atol = nonnegative('atol', atol, positive=True)
    if rtol < FINEST:
        raise ValueError(f'expected rtol >= {FINEST:g}, got {rtol:g}: steps err by rounding.')
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f'expected method to be one of {", ".join(METHODS)}, got {method!r:.100}.'
                         + suggestion(method, METHODS))
    for name, a in ('k_train_train', k_train_train), ('y_train', y_train):
        check_unfollowed(a, name)
    if namespace(k_train_train, y_train).kind != 'numpy':
        raise TypeError('expected NumPy arrays, which are what the solvers of SciPy compute with.')
    train = Training(k_train_train, y_train, 0., False, trace_axes)
    modes = Modes(train.a)
    memory = 1. if momentum is None else 1. - momentum
    options = Options(method, max(memory * rtol, FINEST), memory * atol / modes.size,
                      as_whole(max_steps, 'max_steps', 1), progress)
    return _Descent(train, modes, Loss(loss, grad, hvp, train.layout, train.y), options, rate, damping, (rtol, atol))


@dataclass(frozen=True, eq=False, repr=False)
class _Descent:
    """The predict_fn of `gradient_descent`; tau = rate t."""

    train: Training
    modes: Modes
    loss: Loss
    options: Options
    rate: float
    damping: float | None
    asked: tuple

    def __call__(self, t=None, fx_train_or_state_0=0., fx_test_0=None, k_test_train=None, *, stats=False):
        train, (rtol, atol) = self.train, self.asked
        stats = as_flag(stats, 'stats')
        if not isinstance(fx_train_or_state_0, ODEState):
            train.refuse_arrays_as_times(t, fx_train_or_state_0, fx_test_0, k_test_train)
        state = _state(fx_train_or_state_0, fx_test_0, k_test_train, self.damping)
        sets = _Sets(train.layout, self.modes, self.damping, train.y, state, k_test_train)
        self.loss.check(sets.train.f0)
        flow = Flow(self.modes, self.loss, sets.train, lambda size: atol + rtol * size)
        tau = time(numpy.inf if t is None else t, self.rate, train.y, 1)
        finite, to_rest = numpy.unique(tau[numpy.isfinite(tau)]), bool(numpy.isinf(tau).any())
        with alone() if flow.is_small else nullcontext():
            path = integrate(flow, flow.s0, finite, to_rest, self.options)
        at = numpy.append(finite[:len(path.states)], path.tau)
        states = numpy.stack([*path.states, path.s]).reshape(len(at), *flow.shape)
        reached = path.stats._replace(t=float(path.tau / self.rate))

        def answer(which, shape):
            found = sets.at(at[which], states[which], shape)
            if isinstance(fx_train_or_state_0, ODEState):
                return found
            asked = tuple(f for f in found[:2] if f is not None)
            return asked if len(asked) == 2 else asked[0]
        if path.why:
            k = len(path.states)
            end = sets.at(at[-1:], states[-1:], ())
            raise NotReachedError(path.why, finite[:k] / self.rate, answer(numpy.arange(k), (k,)), end, reached)
        train.a.announce(train.y, tau / train.y.size)
        result = answer(numpy.searchsorted(finite, tau).ravel(), tau.shape)
        return (result, reached) if stats else result


def _time(learning_rate, momentum):
    """Return tau / t, and the damping c."""
    if momentum is None:
        return learning_rate, None
    if not nonnegative('momentum', momentum) < 1:
        raise ValueError(f'expected 0 <= momentum < 1, or None, got {momentum}.')
    return learning_rate ** .5, (1 - momentum) / learning_rate ** .5


def _state(start, fx_test_0, k_test_train, damping):
    """Return the ODEState to start from."""
    given = isinstance(start, ODEState)
    if given and fx_test_0 is not None:
        raise ValueError('expected no fx_test_0 along with an ODEState, which has an fx_test of its own.')
    state = start if given else ODEState(start, fx_test_0)
    if state.fx_train is None and state.fx_test is None:
        raise ValueError('expected fx_train_0 or fx_test_0, got None for both: give those of the outputs wanted.')
    if state.fx_test is not None and k_test_train is None:
        raise ValueError('expected k_test_train along with fx_test_0, got None: pass kernel_fn(x_test, x_train).')
    for f, q in ('fx_train', 'qx_train'), ('fx_test', 'qx_test'):
        if getattr(state, q) is not None and (damping is None or getattr(state, f) is None):
            without = 'momentum' if damping is None else f
            raise ValueError(f'expected no {q} in an ODEState without {without}.')
    return state


class _Sets:
    """Outputs on the training set and, if they are wanted, on the test set."""

    def __init__(self, layout, modes, damping, y, state, k_test_train):
        self.layout = layout

        def outputs(name, basis, rows):
            f, q = (getattr(state, field + name) for field in ('fx_', 'qx_'))
            f, q = (layout.initial(field + name, 0. if a is None else a, rows, y)
                    for field, a in (('fx_', f), ('qx_', q)))
            return Outputs(basis, f, q, damping), rows
        train = outputs('train', modes.root, layout.rows)
        self.train, self.sets = train[0], [None if state.fx_train is None else train, None]
        if state.fx_test is not None:
            k, rows = layout.test_matrix(k_test_train)
            self.sets[1] = outputs('test', modes.test(k), rows)

    def at(self, tau, s, shape):
        """Return the ODEState at times tau (T,) and states (T, 1 or 2, r, o), its fields with leading axes `shape`."""
        def field(which, name, i):
            if which is None or i == s.shape[1]:
                return None
            outputs, rows = which
            a = self.layout.outputs(getattr(outputs, name)(tau, s[:, i]), rows)
            return a.reshape(shape + a.shape[1:])
        return ODEState(*(field(which, name, i) for i, name in enumerate('fq') for which in self.sets))
