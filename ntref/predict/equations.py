"""The differential equations of training with any loss, for w in f_t = f_t(0) + R w: see flow.py.

Their right-hand sides, Jacobians, and what a solver needs to know of them.
"""
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from .factor import Factor
from .loss import Loss

__all__ = ['Flow', 'Modes', 'Outputs']

FACTORING = 4e-9       # seconds: a run's factorizations, over n^3
EVALUATION = 3e-4      # and an evaluation
PRODUCT = 1e-10        # and its part over R times outputs
SMALL = 2 ** 22        # entries of R times outputs below which threads do not help
NEAR = 10.             # tolerances from the minimum that suffice: stiff steps oscillate there
VANISHED = 1e-8        # no minimum: the gradient is below this part of the first one,
FAR = 1e-2             # and the minimum further away than this


class Outputs(NamedTuple):
    """Outputs that start at f0 with the velocity q0 and are moved by w: by R w on the training set."""

    basis: numpy.ndarray
    f0: numpy.ndarray
    q0: numpy.ndarray
    damping: Any                # a number, or None

    def f(self, tau: float | numpy.ndarray, w: numpy.ndarray) -> numpy.ndarray:
        """f(0) + (1 - exp(-c tau))/c q(0) + basis w."""
        if self.damping is None:
            return self.f0 + self.basis @ w
        tau = numpy.asarray(tau)[..., None, None]
        coasted = -numpy.expm1(-self.damping * tau) / self.damping
        return self.f0 + coasted * self.q0 + self.basis @ w

    def q(self, tau: float | numpy.ndarray, p: numpy.ndarray) -> numpy.ndarray:
        """df/dtau = exp(-c tau) q(0) + basis dw/dtau, with momentum."""
        tau = numpy.asarray(tau)[..., None, None]
        return numpy.exp(-self.damping * tau) * self.q0 + self.basis @ p


class Modes:
    """K = V Lambda V^T = R R^T, without the eigenvalues that are zero."""

    def __init__(self, a: Factor):
        self.a = a
        self.moves = a.values > 0
        self.values = a.values[self.moves]
        self.vectors = a.vectors[:, self.moves]
        self.root = self.vectors * numpy.sqrt(self.values)

    @property
    def size(self) -> float:
        """The norm |R| of R as an operator, which bounds the entries of R."""
        return float(self.values[-1]) ** .5 if len(self.values) else 1.

    def test(self, k: numpy.ndarray) -> numpy.ndarray:
        """Return K_*t V Lambda^(-1/2), which is to test points what R is to training points."""
        return self.a.modes(k)[:, self.moves] / numpy.sqrt(self.values)

    def projected(self, g: numpy.ndarray) -> numpy.ndarray:
        """Return the part of g that moves outputs."""
        return g if self.moves.all() else self.vectors @ (self.vectors.T @ g)

    def between(self, h: numpy.ndarray) -> numpy.ndarray:
        """Return R^T H R as a matrix, for H in blocks (b, x, o, x, o)."""
        b, x, o = h.shape[:3]
        root = self.root.reshape(b, x, -1)
        r = root.shape[2]
        hr = numpy.moveaxis(h, 3, 4).reshape(b, x * o * o, x) @ root         # (b, (x, o, o'), r')
        rhr = numpy.tensordot(root, hr.reshape(b, x, o, o, r), ((0, 1), (0, 1)))  # (r, o, o', r')
        return rhr.swapaxes(2, 3).reshape(r * o, r * o)


class Flow:
    """The differential equation ds/dtau for s = w, or with momentum s = (w, p), from the outputs `train` at tau = 0."""

    def __init__(self, modes: Modes, loss: Loss, train: Outputs, enough: Callable[[float], float]):
        self.modes = modes
        self.loss = loss
        self.train = train
        self.enough = enough                               # the tolerance for outputs of some size
        self.damping = train.damping
        self.shape = (1 if self.damping is None else 2, len(modes.values), train.f0.shape[1])
        self.s0 = numpy.zeros(self.shape).ravel()
        self.outputs = train.f0.size
        self.g0 = numpy.linalg.norm(loss.gradient(train.f0))

    def f(self, tau: float, s: numpy.ndarray) -> numpy.ndarray:
        """Return the training outputs."""
        return self.train.f(tau, s.reshape(self.shape)[0])

    def derivative(self, tau: float, s: numpy.ndarray) -> numpy.ndarray:
        """dw/dtau = -R^T g(f), or with momentum dw/dtau = p, dp/dtau = -c p - R^T g(f)."""
        force = -(self.modes.root.T @ self.loss.gradient(self.f(tau, s)))
        if self.damping is None:
            return force.ravel()
        p = s.reshape(self.shape)[1]
        return numpy.stack([p, force - self.damping * p]).ravel()

    def jacobian(self, tau: float, s: numpy.ndarray) -> numpy.ndarray:
        """-R^T H R, or with momentum ((0, 1), (-R^T H R, -c))."""
        rhr = self.modes.between(self.loss.blocks(self.f(tau, s)))
        if self.damping is None:
            return -rhr
        n = len(rhr)
        j = numpy.zeros((2 * n, 2 * n))
        j[:n, n:] = numpy.eye(n)
        j[n:, :n] = -rhr
        j[n:, n:] = -self.damping * numpy.eye(n)
        return j

    # -------------------------------------------------------------- what a solver needs

    def turn(self, tau: float, s: numpy.ndarray) -> tuple[float, float] | None:
        """Return |d2s/dtau2| and |ds/dtau|, or None if H is not available."""
        if not self.loss.second_order:
            return None
        ds = self.derivative(tau, s).reshape(self.shape)
        c = self.damping
        df = self.modes.root @ ds[0] if c is None else self.train.q(tau, ds[0])
        hessian = self.loss.hessian(self.f(tau, s))
        force = -(self.modes.root.T @ hessian(df))
        d2s = force if c is None else numpy.stack([ds[1], force - c * ds[1]])
        return float(numpy.linalg.norm(d2s)), float(numpy.linalg.norm(ds))

    @property
    def is_small(self) -> bool:
        """True if products with R take less time than waking a second thread."""
        return self.modes.root.size * self.shape[2] < SMALL

    @property
    def factoring(self) -> float:
        """The cost of the factorizations in a run by an implicit method, about, in calls of `derivative`."""
        evaluation = EVALUATION + PRODUCT * self.modes.root.size * self.shape[2]
        return FACTORING * self.s0.size ** 3 / evaluation

    def rest(self, tau: float, s: numpy.ndarray) -> tuple[float, float, str]:
        """Return the distance to the minimum by Newton's method, the distance that suffices, and why there is none."""
        f = self.f(tau, s)
        g = self.modes.projected(self.loss.gradient(f))
        enough = NEAR * self.enough(numpy.abs(f).max())
        distance = self.cauchy(f, g)
        if distance <= enough:
            distance = self.newton(f, g)
        vanished = numpy.linalg.norm(g) / (self.g0 or 1.)
        moved = numpy.abs(f - self.train.f0).max()
        why = ''
        if vanished < VANISHED and distance > FAR * (1 + moved):
            why = (f'the gradient of the loss has fallen to {vanished:.1e} of what it was, but a '
                   f'minimum is still {distance:.2g} away, as if there were none, as for '
                   'cross-entropy of classes that can be told apart. Give a finite t')
        if self.damping is not None:
            velocity = self.train.q(tau, s.reshape(self.shape)[1])
            distance += numpy.abs(velocity).max() / self.damping
        return float(distance), enough, why

    def cauchy(self, f: numpy.ndarray, g: numpy.ndarray) -> float:
        """Return the largest over examples of |g|^3 / g^T H g, which is at most the step |H^-1 g|."""
        hg = self.loss.per_example(self.loss.hessian(f)(g))
        g = self.loss.per_example(g)
        gg = (g * g).sum(1)
        ghg = (g * hg).sum(1)
        if not (ghg[gg > 0] > 0).all():             # the loss couples examples: take all as one
            gg = gg.sum(keepdims=True)
            ghg = ghg.sum(keepdims=True)
        with numpy.errstate(divide='ignore', invalid='ignore'):
            step = numpy.where(ghg > 0, gg ** 1.5 / ghg, numpy.inf)
        return float(numpy.where(gg == 0, 0., step).max())

    def newton(self, f: numpy.ndarray, g: numpy.ndarray) -> float:
        """Return the largest |H^+ g| over examples."""
        h = self.loss.blocks(f)
        b, x, o = h.shape[:3]
        inverse = numpy.linalg.pinv(h.reshape(b, x * o, x * o), hermitian=True)
        step = inverse @ g.reshape(b, x * o, 1)
        return float(numpy.linalg.norm(self.loss.per_example(step.reshape(f.shape)), axis=1).max())
