"""Integration by the solvers of scipy.integrate: step by step, counted, shown, and stopped in time."""
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import numpy

from ..engine.run import counted

__all__ = ['METHODS', 'Options', 'Path', 'Stats', 'System', 'integrate']

METHODS = ('auto', 'DOP853', 'RK45', 'RK23', 'Radau', 'BDF', 'LSODA')
IMPLICIT = ('Radau', 'BDF', 'LSODA')
ONE_STEP = ('DOP853', 'RK45', 'RK23', 'Radau')
FIRST = 'DOP853'     # the method of 'auto'
THEN = 'Radau'       # and that for stiff equations
EVALUATIONS = 12     # evaluations in a step of the first method
CHECK = 25           # steps between two checks of stiffness and kinks
RADAU = 2900.        # steps h of Radau: (h pace)^4 = RADAU rtol
RUN = 240.           # evaluations of a run by Radau, times that h pace
CALM = 100.          # tolerances by which the path may bend in a step that counts as at rest
DECAY = 20.          # time until the state is at rest, in units of 1/pace
JUMP = 1e-6          # relative jump of the derivative between neighbours that is a kink
PATIENCE = 4         # checks that see a kink to which both sides lead
CROSSING = 16        # steps allowed at kinks for each output
FEW = 400            # and for all
HALVINGS = 10        # halvings of an interval that a jump survives, and rounding does not
LEFT = .1            # part of max_steps allowed for the rest, with kinks


class System(Protocol):
    """A differential equation ds/dtau = derivative(tau, s)."""

    @property
    def outputs(self) -> int:
        """The number of outputs, each of which may cross a kink."""

    @property
    def factoring(self) -> float:
        """The cost of the factorizations in a run by an implicit method, about, in calls of `derivative`."""

    def derivative(self, tau: float, s: numpy.ndarray) -> numpy.ndarray:
        """Return ds/dtau."""

    def jacobian(self, tau: float, s: numpy.ndarray) -> numpy.ndarray:
        """Return the derivative of ds/dtau in s."""

    def turn(self, tau: float, s: numpy.ndarray) -> tuple[float, float] | None:
        """Return |d2s/dtau2| and |ds/dtau|; None if they are not known."""

    def rest(self, tau: float, s: numpy.ndarray) -> tuple[float, float, str]:
        """Return the distance to the state at rest, the distance that suffices, and why there is no such state."""


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
        return (f'the gradient of the loss jumps by {self.jump:.2g} of its size. It has a kink '
                'there, as those of |f - y|, hinge and pinball have, where outputs would stay, or '
                'go to and fro; a differential equation does not say how. Round it off (Huber, '
                'softplus) over a width that does not matter, or end before')


def _kink(before, beyond, change):
    """Return the _Kink between two derivatives; None if `change` is less than a quarter of the jump between them."""
    jump = beyond - before
    if numpy.linalg.norm(jump) > 4 * change:
        return None
    size = numpy.linalg.norm(jump) / numpy.linalg.norm(before)
    holds = bool(before @ jump < 0 < beyond @ jump)
    return _Kink(size, holds)


class _Solver:
    """The solvers used, one after the other, behind one interface."""

    def __init__(self, system, s, end, options):
        self.system = system
        self.end = end
        self.options = options
        self.used = []
        self.steps = 0
        self.before = numpy.zeros(3, int)
        self.shortened = None
        self.kinks = []
        self.use(FIRST if options.method == 'auto' else options.method, 0., s)

    def use(self, method, tau, s):
        """Go on from s at tau by this method."""
        jac = {'jac': self.system.jacobian} if method in IMPLICIT else {}
        solver = getattr(import_module('scipy.integrate'), method)
        self.now = solver(self.system.derivative, tau, s, self.end,
                          rtol=self.options.rtol, atol=self.options.atol, **jac)
        self.used.append(method)

    def step(self):
        """Make one step; return what went wrong, or None."""
        if self.steps % CHECK == CHECK - 1:
            kink = self.kink()
            if self.does_not_get_on(kink):
                return 'steps do not get on'
            may_change = self.options.method == 'auto' and self.used == [FIRST]
            if may_change and self.is_stiff() and not kink:
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
            self.shortened = (tau, s, tried)
        return why

    def does_not_get_on(self, kink):
        """True if more kinks were seen than crossing them takes, and the pace since then is too slow for max_steps."""
        if not kink:
            return False
        self.kinks.append((self.now.t, self.steps, kink.holds))
        crossing = CROSSING * self.system.outputs + FEW
        if sum(holds for *_, holds in self.kinks) < PATIENCE and CHECK * len(self.kinks) < crossing:
            return False
        tau, first, _ = self.kinks[0]
        steps = self.steps - first
        allowed = LEFT * self.options.max_steps
        return (self.end - self.now.t) * steps > allowed * (self.now.t - tau)

    def kink(self):
        """Return the _Kink within the last shortened step, or None; halving an interval leaves the change at a kink."""
        if self.shortened is None:
            return None
        f = self.system.derivative
        tau0, s0, h = self.shortened
        before = f(tau0, s0)                               # at s0, the lower end
        tau1 = tau0 + h
        s1 = s0 + h * before
        beyond = f(tau1, s1)                               # at s1, the upper one
        around = []
        while (change := numpy.linalg.norm(beyond - before)) > JUMP * numpy.linalg.norm(before):
            around.append((before, beyond))
            tau = tau0 / 2 + tau1 / 2
            s = s0 / 2 + s1 / 2
            if all((s == s0) | (s == s1)):
                return _kink(*around[-HALVINGS:][0], change)
            at = f(tau, s)
            if numpy.linalg.norm(at - before) >= numpy.linalg.norm(beyond - at):
                tau1, s1, beyond = tau, s, at
            else:
                tau0, s0, before = tau, s, at
        return None

    def is_stiff(self):
        """True if an implicit method could take longer steps and costs less than the steps that are left."""
        now = self.now
        of_path = self.system.turn(now.t, now.y)
        if of_path is None or of_path[0] == 0:
            return False
        turn, speed = of_path
        reach = (RADAU * self.options.rtol) ** .25
        h = now.step_size
        left = self.end - now.t
        tolerance = self.options.atol + self.options.rtol * abs(now.y)
        if h * h * turn > CALM * numpy.linalg.norm(tolerance):
            if h * turn > reach * speed:
                return False
            left = min(left, DECAY * speed / turn)
        return EVALUATIONS * left / h > RUN / reach + self.system.factoring

    @property
    def counts(self):
        return self.before + (self.now.nfev, self.now.njev, self.now.nlu)

    def stats(self, distance):
        nfev, njev, nlu = map(int, self.counts)
        method = ', '.join(self.used)
        return Stats(method, self.steps, nfev, njev, nlu, float(self.now.t), distance)


def integrate(system: System, s: numpy.ndarray, times: numpy.ndarray, to_rest: bool,
              options: Options) -> Path:
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
    passed = [] if now.t_old is None else [t for t in times if t <= now.t]
    if not passed or passed[0] == now.t:
        return [now.y for t in passed]
    inside = now.dense_output()
    if type(now).__name__ in ONE_STEP:
        return [now.y if t == now.t else _shorter(now, t, inside) for t in passed]
    return [now.y if t == now.t else inside(t) for t in passed]


def _shorter(now, t, inside):
    """Return the state at t within the last step, by a step to t: interpolation has fewer digits than steps."""
    jac = {'jac': now.jac} if type(now).__name__ in IMPLICIT else {}
    solver = type(now)(now.fun, now.t_old, now.y_old, t,
                       first_step=t - now.t_old, rtol=now.rtol, atol=now.atol, **jac)
    while solver.status == 'running':
        if solver.step():
            return inside(t)
    return solver.y
