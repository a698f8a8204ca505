"""Solutions of (K + reg I) a = y without K in memory: conjugate gradients on tiles of K.

Every step reads, or computes, the upper half of K once, tile by tile. preconditioner.py has the preconditioners:
K = L L^T + a rest, docs/theory/dynamics.md#without-the-kernel-in-memory.
"""
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from ..arguments import as_flag, as_whole, suggestion
from ..arrays import as_floats
from ..engine.run import counted
from ..no_arrays import check_unfollowed
from ..on_either import array_like, as_array, equal
from ..types import Array, Number
from .factor import NotPSDError
from .layout import checked, nonnegative
from .out_of_core import Tiles
from .preconditioner import APPROXIMATIONS, Preconditioner

__all__ = ['NotConvergedError', 'Solution', 'State', 'System', 'cg']

EPS = 2. ** -52
SAME = 1e-12       # relative difference up to which traces are those of one kernel


class NotConvergedError(RuntimeError):
    """Error for conjugate gradients that ended above the tolerance.

    Attributes
    ----------
    residual : array (o,), the true residuals reached, |y - (K + reg I) a| / |y| for each right-hand side.
    steps : int, all steps so far.
    state : State, from which `cg(..., state=error.state)` goes on.
    """

    def __init__(self, message: str, residual: Any, steps: int, state: Any):
        super().__init__(message)
        self.residual = residual
        self.steps = steps
        self.state = state


def _not_reached(residual, tol, state, rounding):
    """Return the error for residuals above the tolerance, which `rounding` may allow to be no smaller."""
    advice = ('The solution so far is in .state of this error: pass it as state= to go on (more '
              'max_steps). A larger rank or a larger diag_reg takes fewer steps.')
    if rounding:
        advice = 'Rounding allows no less, however many steps: pass a larger tol or diag_reg.'
    return NotConvergedError(
        f'expected residuals |y - (K + reg I) a| / |y| <= {tol:g}, got {float(residual.max()):.3g} in '
        f'{int((residual > tol).sum())} of {len(residual)} right-hand sides after {state.steps} steps with '
        f'rank {len(state.lower)}. {advice}', residual, state.steps, state)


def _indefinite(quotient, shift):
    """Return the error for a direction p in which p^T (K + reg I) p / p^T p is not positive."""
    diag_reg = float(f'{shift + 2 * abs(quotient) or EPS:.2g}')
    return NotPSDError(
        'expected a positive definite K + reg I, got p^T (K + reg I) p / p^T p = '
        f'{quotient:.3g} for a direction p on the way: its smallest eigenvalue is that or less. '
        f'Pass diag_reg={diag_reg:g}, diag_reg_absolute_scale=True (or more), or compute the '
        'kernel more exactly.', float(quotient), diag_reg, True)


class State(NamedTuple):
    """State of conjugate gradients: all that a restart needs, in arrays that numpy.savez can store.

    Attributes
    ----------
    a, r, p : arrays (n, o), the solution, its residual as updated in each step, and the next directions.
    rho : array (o,), r^T P^-1 r for right-hand sides divided by powers of two, so that their largest entry is 1 to 2.
    steps : int, number of steps so far.
    lower, rank, shift : array (rank, n), the rows l of K = sum l l^T + a rest; the requested rank; reg.
    y, trace : the right-hand sides and the trace of K, by which a state of another system is recognized.
    preconditioner : name of what `lower` is, 'cholesky' or 'nystrom'.

    Examples
    --------
    >>> State._fields
    ('a', 'r', 'p', 'rho', 'steps', 'lower', 'rank', 'shift', 'y', 'trace', 'preconditioner')
    """

    a: Any
    r: Any
    p: Any
    rho: Any
    steps: Any
    lower: Any
    rank: Any
    shift: Any
    y: Any
    trace: Any
    preconditioner: Any = 'cholesky'           # states of before there was another have none


class Solution(NamedTuple):
    """Result of `cg`.

    Attributes
    ----------
    a : array, the shape of y.
    residual : array (o,), or float for one right-hand side (n,): |y - (K + reg I) a| / |y|, computed from a.
    steps : int, number of all steps, including those of the given `state`.
    state : State, from which `cg` can go on to a smaller `tol`.

    Examples
    --------
    >>> Solution(a=1., residual=0., steps=1, state=None).steps
    1
    """

    a: Any
    residual: Any
    steps: int
    state: State


# ------------------------------------------------------------------ conjugate gradients

class System:
    """The matrix K + shift I, its preconditioner, the tolerance and the most steps."""

    def __init__(self, k: Tiles, diag_reg: Number, absolute: bool, tol: float, rank: int,
                 max_steps: int, progress: Any, preconditioner: str):
        self.k = k
        self.progress = progress
        self.rank = as_whole(rank, 'rank', 0)
        if not isinstance(preconditioner, str) or preconditioner not in APPROXIMATIONS:
            raise ValueError(f'expected preconditioner to be one of {", ".join(APPROXIMATIONS)}, got '
                             f'{preconditioner!r:.100}.{suggestion(preconditioner, APPROXIMATIONS)}')
        self.name = preconditioner
        self.tol = nonnegative('tol', tol, positive=True)
        self.max_steps = as_whole(max_steps, 'max_steps', 1)
        diag_reg = nonnegative('diag_reg', diag_reg)
        absolute = as_flag(absolute, 'diag_reg_absolute_scale')
        self.diagonal = k.diagonal()
        with numpy.errstate(over='ignore'):
            self.trace = float(self.diagonal.sum())
        if not numpy.isfinite(self.trace):
            raise ValueError('expected a kernel whose trace is in the range of float64, got '
                             f'entries up to {float(self.diagonal.max()):.3g}. Divide kernel and targets '
                             'by a number.')
        self.shift = diag_reg * (1. if absolute else self.trace / k.n)
        smallest = float(self.diagonal.min()) + self.shift
        if smallest < 0:
            raise _indefinite(smallest, self.shift)
        self.lower: numpy.ndarray | None = None
        self.unfinished: State | None = None

    def prepare(self, lower: numpy.ndarray | None = None) -> None:
        """Compute the preconditioner, from `lower` if given."""
        if self.lower is not None and lower is None:
            return
        if lower is None:
            lower = APPROXIMATIONS[self.name](self.k, self.diagonal, self.rank)
        rest = float(numpy.maximum(self.diagonal - (lower ** 2).sum(0), 0.).mean())
        floor = EPS * float(self.diagonal.max())
        self.lower = lower
        self.precondition = Preconditioner(self.name, lower, max(self.shift or rest, floor) or 1.)

    def residual(self, a: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
        """y - (K + shift I) a."""
        return y - self.k.times(a) - self.shift * a

    def start(self, a: numpy.ndarray, r: numpy.ndarray, y: numpy.ndarray, steps: int) -> State:
        """Return the state of conjugate gradients that start at a, whose residual is r."""
        z = self.precondition(r)
        rho = (r * z).sum(0)
        return State(
            a, r, z, rho, steps, self.lower, self.rank, self.shift, y, self.trace, self.name)

    def resume(self, state: Any, y: numpy.ndarray, scale: Any) -> State:
        """Return the state, of y in units of `scale`, if it has this rank and reg; else restart from its solution."""
        fields = len(State._fields)
        if not isinstance(state, (tuple, list)) or len(state) not in (fields - 1, fields):
            raise TypeError('expected state to be the State of a Solution or of a '
                            f'NotConvergedError, got {type(state).__name__}.')
        state = State(*state)
        state = state._replace(
            steps=int(state.steps),
            trace=float(state.trace),
            preconditioner=str(state.preconditioner))
        is_same_kernel = abs(state.trace - self.trace) <= SAME * abs(self.trace)
        state = _there(state, y)
        if not (equal(state.y, y * scale) and is_same_kernel):
            raise ValueError(
                'expected a state of this kernel and these right-hand sides, got one for y of '
                f'shape {state.y.shape} (here {y.shape}) and a kernel of trace {state.trace:.17g} '
                f'(here {self.trace:.17g}). Start without.')
        state = _times(state, 1, scale)
        is_same_lower = state.rank == self.rank and state.preconditioner == self.name
        self.prepare(state.lower if is_same_lower else None)
        if is_same_lower and state.shift == self.shift:
            return state
        return self.start(state.a, self.residual(state.a, y), y, state.steps)

    def step(self, s: State, active: numpy.ndarray) -> State:
        """Return the next state; only the columns `active` change."""
        p = s.p[:, active]
        rho = s.rho[active]
        q = self.k.times(p) + self.shift * p
        curvature = (p * q).sum(0)
        if not (curvature > 0).all():
            raise _indefinite(float((curvature / (p * p).sum(0)).min()), self.shift)
        a = s.a.copy()
        r = s.r.copy()
        next_p = s.p.copy()
        next_rho = s.rho.copy()
        length = rho / curvature
        a[:, active] += length * p
        r[:, active] -= length * q
        z = self.precondition(r[:, active])
        next_rho[active] = (r[:, active] * z).sum(0)
        next_p[:, active] = z + next_rho[active] / rho * p
        return s._replace(a=a, r=r, p=next_p, rho=next_rho, steps=s.steps + 1)

    def solve(self, y: numpy.ndarray,
              state: State | None = None) -> tuple[State, numpy.ndarray, numpy.ndarray]:
        """Return the State reached, y - A a, and |y - A a| / |y|; a solve that was stopped goes on from .unfinished."""
        scale = 2. ** (numpy.frexp(abs(y).max(0))[1] - 1)        # squares of y / scale are in range
        y = y / scale
        left = self.unfinished
        if state is not None:
            s = self.resume(state, y, scale)
        elif left is not None and equal(left.y, y):
            s = self.resume(left, y, 1)
        else:
            self.prepare()
            s = self.start(0. * y, y, y, 0)
        given = callable(self.progress)
        with counted(False if given else self.progress, 'conjugate gradients') as step_done:
            def done(s):
                size = _norm(y)
                residual = _norm(s.r) / numpy.where(size == 0, 1., size)
                step_done(f'residual {float(residual.max()):.1e}')
                if given:
                    self.progress(_times(s, scale, 1))
            s, r, reached = self._to_tolerance(s, y, done, scale)
        s = _times(s, scale, 1)
        if not numpy.isfinite(s.a).all():
            raise ValueError('expected a solution in the range of float64, got one beyond it for '
                             f'right-hand sides up to {float(scale.max()):.3g} and a kernel of trace '
                             f'{self.trace:.3g}. Divide them by a number.')
        return s, r * scale, reached

    def _to_tolerance(self, s, y, done, scale):
        """Make steps until the residuals of y, in units of `scale`, are those asked for; see `solve`."""
        size = _norm(y)
        last = s.steps + self.max_steps
        best = numpy.inf
        while True:
            active = numpy.nonzero(_norm(s.r) > .9 * self.tol * size)[0]
            if not len(active) or s.steps >= last:
                r = self.residual(s.a, y)
                reached = _norm(r) / numpy.where(size == 0, 1., size)
                if (reached <= self.tol).all():
                    self.unfinished = None
                    return s, r, reached
                rounding = not (len(active) or float(reached.max()) <= best / 2)
                if rounding or s.steps >= last:
                    raise _not_reached(reached, self.tol, _times(s, scale, 1), rounding)
                best = float(reached.max())
                s = self.start(s.a, r, y, s.steps)
                continue
            s = self.unfinished = self.step(s, active)
            done(s)


def _times(state, up, down):
    """Return the state for right-hand sides times up / down, powers of two; infinite beyond the range of float64."""
    with numpy.errstate(over='ignore', invalid='ignore'):
        return state._replace(**{
            name: as_array(getattr(state, name)) / down * up for name in 'arpy'})


def _there(state, y):
    """Return the state with its arrays where y is: one that was stored has those of NumPy."""
    return state._replace(**{name: array_like(getattr(state, name), y) for name in (*'arpy', 'rho', 'lower')})


def _norm(a):
    """Return the norm of each column."""
    return numpy.sqrt((a * a).sum(0))


def cg(k: Any, y: Array, diag_reg: Number = 0., diag_reg_absolute_scale: bool = False,
       tol: float = 1e-8, rank: int = 100, max_steps: int = 1000, state: State | None = None,
       progress: bool | Callable[[State], Any] | None = None,
       preconditioner: str = 'cholesky') -> Solution:
    r"""Solve (K + reg I) a = y by conjugate gradients; K need not be in memory.

    .. math::
        a \leftarrow a + \frac{\rho}{p^T A p} p, \quad r \leftarrow r - \frac{\rho}{p^T A p} A p, \quad
        \rho' = r^T P^{-1} r, \quad p \leftarrow P^{-1} r + \frac{\rho'}{\rho} p, \qquad
        A = K + \text{reg}\, I, \quad P = L L^T + \text{reg}\, I

    with L (n, rank) from a pivoted Cholesky decomposition of K, or of a Nystrom approximation U Lambda U^T of K, which
    adds lambda_rank (I - U U^T) to P; P^-1 is applied by Woodbury's identity. Each right-hand side has its own rho and
    drops out when it is done. For reg = 0, P has the mean of the diagonal of K - L L^T in place of reg.

    Parameters
    ----------
    k : array (n, n), symmetric positive semi-definite: of NumPy, CuPy, Zarr or Dask, a StoredKernel, a
        `ComputedKernel`, or any object with shape, dtype and k[rows, columns]. Each step reads its upper half once, in
        tiles.
    y : array (n,) or (n, o), of CuPy to compute on its GPU.
    diag_reg, diag_reg_absolute_scale : as in `gp_inference`: reg = diag_reg * trace(K)/n, or diag_reg itself.
    tol : float > 0, tolerance of |y - A a| / |y|, for each right-hand side.
    rank : int >= 0, rank of the preconditioner, which stores rank * n numbers.
    max_steps : int >= 1, the most steps of this call.
    state : State of a `Solution` or of a NotConvergedError, from which to go on. With another `rank`, diag_reg or
        preconditioner conjugate gradients start anew from its solution.
    progress : callable, called with the State after each step, to show it or to keep it in a file. True: show steps
        and residual (tqdm). None: show them only on a terminal.
    preconditioner : 'cholesky', which reads `rank` rows of K, or 'nystrom', which reads the upper half of K once and
        mostly takes fewer steps. Which to take when: docs/large-kernels.md#conjugate-gradients.

    Returns
    -------
    Solution(a, residual, steps, state) : float32 if k and y are, otherwise float64.

    Raises
    ------
    ValueError : k is not square, or seen to be not symmetric (in tiles on the diagonal and in the corners); y does not
        fit; NaN or infinity; diag_reg < 0; a state of something else; another name of a preconditioner.
    TypeError : k or y is not an array of real numbers.
    NotPSDError : p^T (K + reg I) p <= 0 for some direction p on the way.
    NotConvergedError : `tol` is not reached within `max_steps`, or out of reach in float64; its .state has the solution
        so far.

    Accuracy
    --------
    The residual is recomputed from a, K and y at the end, and |a - A^-1 y| <= tol |y| / (the smallest eigenvalue of A).
    Residuals down to about eps |A| |a| / |y| can be reached. Everything is computed in float64; float32 entries are
    taken as exact.

    Source
    ------
    Hestenes, Stiefel 1952; Harbrecht, Peters, Schneider 2012; as preconditioner: Gardner et al. 2018
    (arXiv:1809.11165); Frangella, Tropp, Udell 2021 (arXiv:2110.02820), algorithm 5.3. Derivation:
    docs/theory/dynamics.md#without-the-kernel-in-memory.

    Examples
    --------
    >>> import numpy as np
    >>> cg(np.array([[2., 1.], [1., 2.]]), np.array([3., 0.])).a.round(6)
    array([ 2., -1.])
    """
    tiles = Tiles('k', k, y)
    check_unfollowed(y, 'y')
    if len(k.shape) != 2 or k.shape[0] != k.shape[1]:
        raise ValueError(f'expected a square kernel (n, n) as k, got shape {tuple(k.shape)}.')
    given, = as_floats(y)
    if len(given.shape) not in (1, 2) or len(given) != tiles.n or not given.size:
        raise ValueError(f'expected y of shape ({tiles.n},) or ({tiles.n}, o) to match k of shape '
                         f'{tuple(k.shape)}, got {given.shape}.')
    columns = checked('y', given).reshape(tiles.n, -1)
    system = System(
        tiles, diag_reg, diag_reg_absolute_scale, tol, rank, max_steps, progress, preconditioner)
    reached, _, residual = system.solve(columns, state)
    dtype = 'float32' if k.dtype == given.dtype == 'float32' else 'float64'
    a = reached.a.reshape(given.shape).astype(dtype)
    return Solution(a, residual if given.ndim == 2 else float(residual[0]), reached.steps, reached)
