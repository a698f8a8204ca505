"""Training in small, for truth/mutants.py: what `gradient_descent` and `classic` owe, and ways to get it wrong."""
from functools import partial
from unittest import mock

import autograd.numpy as np
import numpy
from scipy.linalg import expm

from ntref import classic
from ntref.predict import NotReachedError, ODEState, equations, flow, gradient_descent, loss, ode

T, RATE, MOMENTUM = 3., .3, .6
rng = numpy.random.default_rng(5)
MIX = numpy.array([[1., .4], [.4, 2.]])                              # of two outputs
BASE = rng.standard_normal((5, 4))
JOINT = numpy.kron(BASE @ BASE.T, MIX)                               # of 3 training and 2 test points, two outputs each
K, K_TEST = JOINT[:6, :6], JOINT[6:, :6]
Y, F0, Q0, F0_TEST, Q0_TEST = (rng.standard_normal((n, 2)) for n in (3, 3, 3, 2, 2))


def near(actual, expected, tol=1e-8):
    assert actual.shape == expected.shape and abs(actual - expected).max() <= tol, abs(actual - expected).max()


def squares(f, y):
    return np.mean((f - y) ** 2) / 2


def meeting(f, y):
    """Examples meet in it."""
    return np.sum(np.cosh(f - y)) + np.sum(f - y) ** 2 / 7


def zipped(k):
    return k.reshape(len(k) // 2, 2, -1, 2).swapaxes(1, 2)


def descent(loss=squares, momentum=None, rate=RATE, **options):
    return gradient_descent(loss, zipped(K), Y, rate, momentum, (), **dict(rtol=1e-10, atol=1e-10) | options)


def check_flow():
    generator = numpy.zeros((10, 10))
    generator[:, :6] = -JOINT[:, :6] / Y.size
    for t in ([T], [T, .5, 1.1, 0.]):
        train, test = descent()(numpy.array(t), F0, F0_TEST, zipped(K_TEST))
        start = numpy.concatenate([(F0 - Y).ravel(), F0_TEST.ravel()])
        ends = numpy.stack([expm(generator * RATE * one) @ start for one in t])
        near(train, ends[:, :6].reshape(-1, 3, 2) + Y)
        near(test, ends[:, 6:].reshape(-1, 2, 2))


def check_heavy_ball():
    generator, c, tau = numpy.zeros((20, 20)), (1 - MOMENTUM) / RATE ** .5, RATE ** .5 * T
    generator[:10, 10:], generator[10:, 10:] = numpy.eye(10), -c * numpy.eye(10)
    generator[10:, :6] = -JOINT[:, :6] / Y.size
    start = numpy.concatenate([a.ravel() for a in (F0 - Y, F0_TEST, Q0, Q0_TEST)])
    end = (expm(generator * tau) @ start).reshape(2, 5, 2)
    state = descent(momentum=MOMENTUM)(T, ODEState(F0, F0_TEST, Q0, Q0_TEST), None, zipped(K_TEST))
    for name, expected in zip(ODEState._fields, (end[0, :3] + Y, end[0, 3:], end[1, :3], end[1, 3:])):
        near(getattr(state, name), expected)


def systems():
    """The equations as the solver gets them, and a state in general position: all kinds there are."""
    for k, trace_axes in (zipped(K), ()), (K[::2, ::2], (-1,)):
        for momentum in (None, MOMENTUM):
            seen = []
            with mock.patch.object(flow, 'integrate', lambda flow, *a: seen.append(flow) or ode.integrate(flow, *a)):
                gradient_descent(meeting, k, Y, RATE, momentum, trace_axes)(
                    0., ODEState(F0, qx_train=None if momentum is None else Q0))
            yield seen[0], numpy.sin(numpy.arange(1., seen[0].s0.size + 1)) / 3


def check_jacobian():
    for system, s in systems():
        rows, h = numpy.eye(len(s)), 1e-5
        slopes = numpy.stack([(system.derivative(.7, s + h * e) - system.derivative(.7, s - h * e)) / (2 * h)
                              for e in rows], 1)
        jacobian = system.jacobian(.7, s)
        near(jacobian / abs(jacobian).max(), slopes / abs(jacobian).max())


def check_turn():
    """|d2s/dtau2| and |ds/dtau| along the course, by differences."""
    for system, s in systems():
        ds, h = system.derivative(.7, s), 1e-5
        d2s = (system.derivative(.7 + h, s + h * ds) - system.derivative(.7 - h, s - h * ds)) / (2 * h)
        turn, speed = system.turn(.7, s)
        near(numpy.array([turn / numpy.linalg.norm(d2s), speed / numpy.linalg.norm(ds)]), numpy.ones(2), 1e-7)


def check_rest():
    for momentum in (None, MOMENTUM):
        train, stats = descent(meeting, momentum)(None, F0, stats=True)
        near(train, Y, 1e-7)
        assert stats.distance < 1e-7


def check_stiff():
    q, _ = numpy.linalg.qr(numpy.random.default_rng(1).standard_normal((5, 5)))
    k, y = (q * numpy.logspace(3, -3, 5)) @ q.T, numpy.arange(5.)
    try:
        f = gradient_descent(squares, k, y, max_steps=500)(1e4, 0.)
    except NotReachedError as e:
        raise AssertionError('too many steps') from e
    near(f, y - expm(-k * 1e4 / 5) @ y, 1e-6)


def check_first_release():
    for k, k_test in ((K, K_TEST), (zipped(K), zipped(K_TEST))):
        expected = descent()(T / RATE, F0, F0_TEST, zipped(K_TEST))
        for a, b in zip(classic.analytic_mse_predictor(k, Y, k_test)(F0, F0_TEST, T), expected):
            near(a, b, 1e-7)
        init_fn, predict_fn, get_fn = classic.momentum_predictor(k, Y, squares, RATE, k_test, MOMENTUM)
        state = predict_fn(predict_fn(init_fn(F0, F0_TEST), T), T)
        expected = descent(momentum=MOMENTUM)(2 * T / RATE ** .5, F0, F0_TEST, zipped(K_TEST))
        for a, b in zip(get_fn(state), expected):
            near(a, b, 2e-7)


CHECKS = {'gradient flow': check_flow, 'heavy ball': check_heavy_ball, 'jacobian': check_jacobian, 'turn': check_turn,
          'rest': check_rest, 'stiff': check_stiff, 'first release': check_first_release}


# ------------------------------------------------------------------ the mutants

def changed(owner, name, change):
    """change(original, *arguments) in place of owner.name."""
    original = getattr(owner, name)

    def mutant(*a, **k):
        return change(original, *a, **k)
    return mock.patch.object(owner, name, mutant)


def of_time(change):
    """A mutant of (tau / t, c), for a momentum."""
    return partial(changed, flow, '_time', lambda f, rate, m: f(rate, m) if m is None else change(rate, m))


def unpaired(f, self, h):
    """(r, o, o', r') taken for (r, o, r', o')."""
    r, o = self.root.shape[1], h.shape[2]
    return f(self, h).reshape(r, o, r, o).swapaxes(2, 3).reshape(r * o, r * o)


MUTANTS = {
    'flow: test outputs by K V Lambda^(1/2)': (partial(
        changed, flow.Modes, 'test', lambda f, self, k: f(self, k) * self.values), 'gradient flow'),
    'flow: half the force': (partial(
        changed, loss.Loss, 'gradient', lambda f, self, a: f(self, a) / 2), 'gradient flow'),
    'flow: times in the order asked for': (partial(
        mock.patch.object, flow.numpy, 'searchsorted', lambda a, v: numpy.arange(v.size)), 'gradient flow'),
    'flow: the end of the step for times within': (partial(changed, ode, '_between', lambda f, now, times: [
        now.y for t in f(now, times)]), 'gradient flow'),
    'momentum: rate for its root in the damping': (of_time(lambda rate, m: (rate ** .5, (1 - m) / rate)), 'heavy ball'),
    'momentum: time of gradient descent': (of_time(lambda rate, m: (rate, (1 - m) / rate ** .5)), 'heavy ball'),
    'momentum: m for 1 - m': (of_time(lambda rate, m: (rate ** .5, m / rate ** .5)), 'heavy ball'),
    'momentum: velocities at the start are lost': (partial(
        changed, flow.Outputs, 'f', lambda f, self, tau, w: f(self._replace(q0=0 * self.q0), tau, w)), 'heavy ball'),
    'momentum: velocities do not fade': (partial(changed, flow.Outputs, 'q', lambda f, self, tau, p: (
        self.q0 + self.basis @ p)), 'heavy ball'),
    'jacobian: not damped': (partial(changed, flow.Flow, 'jacobian', lambda f, self, tau, s: f(self, tau, s) + (
        0 if self.damping is None else self.damping * numpy.diag(numpy.arange(len(s)) >= len(s) // 2))), 'jacobian'),
    'jacobian: outputs exchanged': (partial(changed, flow.Modes, 'between', unpaired), 'jacobian'),
    'hessian: examples taken not to meet': (partial(mock.patch.object, loss, 'SAME', numpy.inf), 'jacobian'),
    'turn: the force of the outputs at rest': (partial(
        changed, flow.Flow, 'turn', lambda f, self, tau, s: f(self, 1e9, s)), 'turn'),
    'rest: near is far': (partial(mock.patch.object, equations, 'NEAR', 1e6), 'rest'),
    'rest: velocities do not count': (partial(changed, flow.Flow, 'rest', lambda f, self, tau, s: (
        (0. if self.damping else f(self, tau, s)[0]), *f(self, tau, s)[1:])), 'rest'),
    'stiff: never': (partial(mock.patch.object, ode, 'RUN', 1e9), 'stiff'),
    'classic: one output for all points first': (partial(changed, classic, '_zipped', lambda f, name, g, o: (
        g.reshape(o, len(g) // o, o, -1).transpose(1, 3, 0, 2) if g.ndim == 2 else g)), 'first release'),
    'classic: each state anew': (partial(changed, classic, 'ODEState', lambda f, a, b, *q: f(a, b)), 'first release'),
}
OWNERS = flow, equations, flow.Flow, flow.Modes, flow.Outputs, loss, loss.Loss, ode, classic
