"""Integration by the solvers of scipy.integrate: step by step, counted, shown, and stopped in time.

The `system` is an ordinary differential equation ds/dtau = derivative(tau, s), which also provides:

    jacobian(tau, s)      its derivative in s
    turn(tau, s)          |d2s/dtau2| and |ds/dtau|; None if they are not known
    outputs               the number of outputs, each of which may cross a kink
    factoring             rough cost of the factorizations in a run by an implicit method, in calls of `derivative`
    rest(tau, s)          the distance to the state at rest, the distance that suffices, and why there is no such state
"""
from importlib import import_module
from typing import Any, NamedTuple

import numpy

from ..engine.run import counted

__all__ = ['METHODS', 'Options', 'Path', 'Stats', 'integrate']

METHODS = 'auto', 'DOP853', 'RK45', 'RK23', 'Radau', 'BDF', 'LSODA'
IMPLICIT = 'Radau', 'BDF', 'LSODA'
ONE_STEP = 'DOP853', 'RK45', 'RK23', 'Radau'
FIRST, THEN = 'DOP853', 'Radau'                # the methods of 'auto'
EVALUATIONS = 12                               # evaluations in a step of the first method
CHECK = 25                                     # steps between two checks of stiffness and kinks
RADAU = 2900.                                  # steps h of Radau: (h pace)^4 = RADAU rtol
RUN = 240.                                     # evaluations of a run by Radau, times that h pace
CALM = 100.                                    # tolerances by which the path may bend in a step that counts as at rest
DECAY = 20.                                    # time until the state is at rest, in units of 1/pace
JUMP = 1e-6                                    # relative jump of the derivative between neighbours that is a kink
PATIENCE = 4                                   # checks that see a kink to which both sides lead
CROSSING, FEW = 16, 400                        # steps allowed at kinks for each output, and for all
HALVINGS = 10                                  # halvings of an interval that a jump survives, and rounding does not
LEFT = .1                                      # part of max_steps allowed for the rest, with kinks


class Options(NamedTuple):
    """Options of an integration: the arguments of `gradient_descent` with these names."""

    method: str
    rtol: float
    atol: Any
    max_steps: int
    progress: bool | None


class Stats(NamedTuple):
    """Statistics of the solver.

    Attributes
    ----------
    method : str, the solver of scipy.integrate; 'DOP853, Radau' if it was changed on the way.
    steps, nfev, njev, nlu : int, steps, evaluations of the gradient and of the Hessian, factorizations; LSODA does not
        report the last two.
    t : float, the last time reached.
    distance : float, the remaining distance to the stationary point, in units of outputs; None unless t = None.

    Examples
    --------
    >>> Stats('DOP853', 10, 150, 0, 0, 1., None).steps
    10
    """

    method: str
    steps: int
    nfev: int
    njev: int
    nlu: int
    t: float
    distance: float | None


class Path(NamedTuple):
    """States at the requested times that were reached, the last state of all, and why it ended early ('' if not)."""

    states: list
    tau: float
    s: Any
    stats: Stats
    why: str


class _Kink(NamedTuple):
    """A jump of the derivative: its relative size, and whether both sides lead to it."""

    jump: float
    holds: bool

    def __str__(self):
        return (f'the gradient of the loss jumps by {self.jump:.2g} of its size. It has a kink there, as those of '
                '|f - y|, hinge and pinball have, where outputs would stay, or go to and fro; a differential equation '
                'does not say how. Round it off (Huber, softplus) over a width that does not matter, or end before')


def _kink(before, beyond, change):
    """Return the _Kink between two derivatives; None if `change` is less than a quarter of the jump between them."""
    jump = beyond - before
    if numpy.linalg.norm(jump) > 4 * change:
        return None
    return _Kink(numpy.linalg.norm(jump) / numpy.linalg.norm(before), bool(before @ jump < 0 < beyond @ jump))


class _Solver:
    """The solvers used, one after the other, behind one interface."""

    def __init__(self, system, s, end, options):
        self.system = system
        self.end = end
        self.options = options
        self.used = []
        self.steps = 0
        self.before = numpy.zeros(3, int)
        self.shortened, self.kinks = None, []
        self.use(FIRST if options.method == 'auto' else options.method, 0., s)

    def use(self, method, tau, s):
        jac = {'jac': self.system.jacobian} if method in IMPLICIT else {}
        self.now = getattr(import_module('scipy.integrate'), method)(
            self.system.derivative, tau, s, self.end, rtol=self.options.rtol, atol=self.options.atol, **jac)
        self.used.append(method)

    def step(self):
        """Make one step; return what went wrong, or None."""
        if self.steps % CHECK == CHECK - 1:
            kink = self.kink()
            if self.does_not_get_on(kink):
                return 'steps do not get on'
            if self.options.method == 'auto' and self.used == [FIRST] and self.is_stiff() and not kink:
                self.before = self.counts
                self.use(THEN, self.now.t, self.now.y)
            self.shortened = None
        self.steps += 1
        return self.take()

    def take(self):
        """Make a step of the solver; keep the state before it if the step was shorter than first tried."""
        now = self.now
        tau = now.t
        s = now.y
        tried = min(getattr(now, 'h_abs', now.step_size or 0.), self.end - now.t)
        why = now.step()
        if why or now.step_size < tried:
            self.shortened = tau, s, tried
        return why

    def does_not_get_on(self, kink):
        """True if more kinks were seen than crossing them takes, and the pace since then is too slow for max_steps."""
        if not kink:
            return False
        self.kinks.append((self.now.t, self.steps, kink.holds))
        crossing = CROSSING * self.system.outputs + FEW
        if sum(holds for *_, holds in self.kinks) < PATIENCE and CHECK * len(self.kinks) < crossing:
            return False
        tau, steps, _ = self.kinks[0]
        return (self.end - self.now.t) * (self.steps - steps) > LEFT * self.options.max_steps * (self.now.t - tau)

    def kink(self):
        """Return the _Kink within the last shortened step, or None; halving an interval leaves the change at a kink."""
        if self.shortened is None:
            return None
        f, (tau, s, h) = self.system.derivative, self.shortened
        at_low, around = f(tau, s), []
        low, high = (tau, s), (tau + h, s + h * at_low)
        at_high = f(*high)
        while (change := numpy.linalg.norm(at_high - at_low)) > JUMP * numpy.linalg.norm(at_low):
            around.append((at_low, at_high))
            middle = low[0] / 2 + high[0] / 2, low[1] / 2 + high[1] / 2
            if all((middle[1] == low[1]) | (middle[1] == high[1])):
                return _kink(*around[-HALVINGS:][0], change)
            at_middle = f(*middle)
            if numpy.linalg.norm(at_middle - at_low) >= numpy.linalg.norm(at_high - at_middle):
                high, at_high = middle, at_middle
            else:
                low, at_low = middle, at_middle
        return None

    def is_stiff(self):
        """True if an implicit method could take longer steps and costs less than the steps that are left."""
        now = self.now
        turn = self.system.turn(self.now.t, self.now.y)
        reach = (RADAU * self.options.rtol) ** .25
        if turn is None or turn[0] == 0:
            return False
        h = now.step_size
        left = self.end - now.t
        turn, speed = turn
        if h * h * turn > CALM * numpy.linalg.norm(self.options.atol + self.options.rtol * abs(now.y)):
            if h * turn > reach * speed:
                return False
            left = min(left, DECAY * speed / turn)
        return EVALUATIONS * left / h > RUN / reach + self.system.factoring

    @property
    def counts(self):
        return self.before + (self.now.nfev, self.now.njev, self.now.nlu)

    def stats(self, distance):
        return Stats(', '.join(self.used), self.steps, *map(int, self.counts), float(self.now.t), distance)


def integrate(system, s, times, to_rest, options):
    """Return the Path from s at tau = 0 through finite `times`, in order, and with `to_rest` to the state at rest."""
    if not s.size or not to_rest and not any(times):
        return Path([s] * len(times), 0., s, Stats('none', 0, 0, 0, 0, 0., None), '')
    solver = _Solver(system, s, numpy.inf if to_rest else times[-1], options)
    states = [s for t in times if t == 0.]
    distance = None
    why = ''
    with counted(options.progress, 'gradient descent') as shown:
        while not why:
            if len(states) == len(times):
                if not to_rest:
                    break
                distance, enough, why = system.rest(solver.now.t, solver.now.y)
                if why or distance <= enough:
                    break
            if solver.steps >= options.max_steps:
                why = f'max_steps={options.max_steps} are taken'
            else:
                why = solver.step() or ''
                states += _between(solver.now, times[len(states):])
                shown(f't {solver.now.t:.3g}')
            if why and (kink := solver.kink()):
                why = f'{why}, and {kink}'
    return Path(states, solver.now.t, solver.now.y, solver.stats(distance), why)


def _between(now, times):
    """Return the states at the given times that the last step has passed."""
    passed = [t for t in times if t <= now.t] if now.t_old is not None else []
    if not passed or passed[0] == now.t:
        return [now.y for t in passed]
    inside = now.dense_output()
    if type(now).__name__ in ONE_STEP:
        return [now.y if t == now.t else _shorter(now, t, inside) for t in passed]
    return [now.y if t == now.t else inside(t) for t in passed]


def _shorter(now, t, inside):
    """Return the state at t within the last step, by a step to t: interpolation has fewer digits than steps."""
    jac = {'jac': now.jac} if type(now).__name__ in IMPLICIT else {}
    solver = type(now)(now.fun, now.t_old, now.y_old, t, first_step=t - now.t_old, rtol=now.rtol, atol=now.atol, **jac)
    while solver.status == 'running':
        if solver.step():
            return inside(t)
    return solver.y
