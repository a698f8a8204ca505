"""A positive semi-definite matrix A = K + shift I, factored once: Cholesky for infinite time, eigenvectors for finite.

It provides everything that the closed forms need of A, singular or not:

    solve(b)          A^-1 b                          the pseudo-inverse where an eigenvalue is zero
    half(b)           W with W^T W = b^T A^-1 b
    stuck(b)          lim exp(-A tau) b               the part of b in the null space, which never moves
    modes(k)          k V                             rows of a test kernel in the eigenbasis
    decay(tau)        exp(-lambda tau)
    change(tau)       1 - exp(-lambda tau)
    growth(tau)       (1 - exp(-lambda tau)) / lambda   = tau where lambda = 0

If no eigenvalue is zero, it also provides log |A| and the blocks on the diagonal of A^-1. `with_ridges(a, ...)` factors
A for many shifts with one eigendecomposition, that of K.
"""
import warnings
from collections.abc import Sequence
from math import floor, inf, log10
from typing import Any

from ..arrays import namespace, plain
from ..once import cached_property
from ..types import Array, Number

__all__ = [
    'Factor', 'NEGATIVE', 'NegativeVarianceError', 'NotPSDError', 'RoundingError', 'SingularKernelWarning',
    'cholesky_solve', 'largest_eigenvalue', 'norm', 'start', 'symmetric', 'with_ridges']

NEGATIVE = 10     # an eigenvalue below -NEGATIVE * rounding level is more than rounding explains
LATE = 1e-6       # eigenvalues that count as zero matter once tau times their rounding exceeds it
STEPS = 100       # at most, of Lanczos; kernels' largest eigenvalues, well separated, take 10 to 30


class NotPSDError(ValueError):
    """Error for a kernel that is not positive semi-definite.

    Attributes
    ----------
    smallest : float, the smallest eigenvalue of the kernel with the given diag_reg.
    diag_reg : float, the diag_reg to pass instead; on the absolute scale if `absolute`. None if none is known to help.
    """

    def __init__(self, message: str, smallest: float, diag_reg: float | None = None,
                 absolute: bool | None = None):
        super().__init__(message)
        self.smallest = smallest
        self.diag_reg = diag_reg
        self.absolute = absolute


class NegativeVarianceError(NotPSDError):
    """Error for a variance, `smallest`, that is negative by more than rounding; no diag_reg is known to repair it."""


class RoundingError(ValueError):
    """Error for a kernel that is singular to rounding, where it must not be, though more digits may tell it is not."""


class SingularKernelWarning(UserWarning):
    """Warning that eigenvalues of a kernel count as zero, so that predictions use its pseudo-inverse.

    Attributes
    ----------
    zeros, n : int, how many of the n eigenvalues count as zero.
    rounding : float, the level up to which eigenvalues count as zero.
    part : float, norm of the part of the targets along the eigenvectors of these, over the norm of the targets.
    diag_reg, absolute : float, the least diag_reg to pass instead; bool, the `diag_reg_absolute_scale` to go with it.
    """

    def __init__(self, what: str, zeros: int, n: int, rounding: float, part: float,
                 diag_reg: float, absolute: bool, cure: str):
        self.zeros = zeros
        self.n = n
        self.rounding = rounding
        self.part = part
        self.diag_reg = diag_reg
        self.absolute = absolute
        super().__init__(
            f'{zeros} of {n} eigenvalues of {what} are not above its rounding, {rounding:.2g}, and '
            f'count as zero. Predictions are by its pseudo-inverse: {part:.2g} of the targets lies '
            'along these eigenvectors and is not learned, and variances are those without them. '
            f'{cure}')


def _as_arguments(diag_reg, absolute):
    """Return what to write; relative scales are the default everywhere, and all that the estimators have."""
    return f'diag_reg={diag_reg:.2g}' + (', diag_reg_absolute_scale=True' if absolute else '')


class Factor:
    """A = k + diag_reg s I, with s = trace(k)/n, or 1 if `absolute`; `eps` is the precision of the entries of `k`.

    Eigenvalues of A count as zero up to the rounding of the arithmetic, n eps times the largest, or up to the rounding
    of the entries of k: docs/theory/dynamics.md#rounding.
    """

    def __init__(self, k: Array, diag_reg: Number, absolute: bool, eps: float):
        xp = namespace(k)
        self.k = symmetric(k, eps)
        self.n = len(k)
        self.eps = eps
        self.absolute = absolute
        self.scale = 1.
        if not absolute:
            self.scale = xp.sum(xp.reshape(self.k, (-1,))[diagonal(self.n)]) / self.n
        self.level = self.n * xp.eps(k)
        self.of_entries = 4 * eps * plain(norm(self.k)) / self.n ** .5
        self.negative = NEGATIVE * max(self.level, 4 * eps)
        self.shift_by(diag_reg)

    def shift_by(self, diag_reg: Number) -> None:
        self.diag_reg = diag_reg
        self.shift = diag_reg * self.scale

    # -------------------------------------------------------------- two factorizations, each computed when first needed

    @cached_property
    def a(self) -> Array:
        flat = namespace(self.k).reshape(self.k, (-1,))
        at = diagonal(self.n)
        shifted = flat[at] + self.shift
        xp = namespace(flat, shifted)
        return xp.reshape(xp.patch(flat, at, shifted), (self.n, self.n))

    @cached_property
    def lower(self) -> Array | None:
        """The Cholesky factor of A; None if A is numerically singular or indefinite."""
        try:
            lower = namespace(self.a).cholesky(self.a)
            return lower if regular(self.a, lower, self.level, self.of_entries) else None
        except ValueError:                             # includes LinAlgError
            return None

    @cached_property
    def spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues of A, set to exactly 0 where they are rounding, and its eigenvectors."""
        return self.rounded(*namespace(self.a).eigh(self.a))

    def rounded(self, w: Array, vectors: Array) -> tuple[Array, Array]:
        """Return eigenvalues of A, set to exactly 0 where they are rounding, and the eigenvectors."""
        smallest = plain(w[0])
        largest = max(plain(w[-1]), -plain(w[0]))
        if smallest < -self.negative * largest:
            diag_reg, absolute = self.mend(smallest, largest)
            raise NotPSDError(
                'expected a positive semi-definite k_train_train (with its diag_reg); its smallest '
                f'eigenvalue is {smallest:.3g}, its largest {largest:.3g}. Pass '
                f'{_as_arguments(diag_reg, absolute)}, or compute the kernel more exactly.', smallest, diag_reg,
                absolute)
        self.rounding = max(self.level * largest, self.of_entries)
        if plain(self.shift) > 0 and smallest <= self.of_entries:
            raise RoundingError(
                'expected a diag_reg above the rounding of the entries of the kernel, got '
                f'{plain(self.diag_reg):.3g}: with it the smallest eigenvalue is {smallest:.3g}, '
                f'where rounding is {self.of_entries:.3g} and the largest {largest:.3g}. '
                f'{self.cure()}')
        return namespace(w).where(w <= self.rounding, 0., w), vectors

    @property
    def values(self) -> Array:
        return self.spectrum[0]

    @property
    def vectors(self) -> Array:
        return self.spectrum[1]

    @cached_property
    def rates(self) -> tuple[Array, Any]:
        """Eigenvalues with 1 in place of 0 (so that 0 inf and 0 / 0 do not arise), and the mask of these zeros."""
        still = self.values == 0
        return namespace(self.values).where(still, 1., self.values), still

    @property
    def singular(self) -> bool:
        return self.lower is None and bool(namespace(self.values).any(self.rates[1]))

    def inverse(self) -> Array:
        """Return 1 / lambda, and 0 where lambda = 0."""
        rates, still = self.rates
        return namespace(rates).where(still, 0., 1 / rates)

    def mend(self, smallest: float, largest: float) -> tuple[float, bool]:
        """Return a diag_reg that lifts the smallest eigenvalue from -s to s or more, and whether it is absolute."""
        rounding = 2 * self.negative * (largest or 1.)
        return self.as_diag_reg(plain(self.shift) - 2 * smallest + rounding)

    def least(self) -> tuple[float, bool]:
        """Return a diag_reg that is clear of rounding, and whether it is absolute."""
        return self.as_diag_reg(4 * self.rounding or 1.)

    def as_diag_reg(self, shift: float) -> tuple[float, bool]:
        """Return the diag_reg of a shift, rounded up to two digits, and whether it is absolute."""
        scale = plain(self.scale)
        absolute = self.absolute
        if not scale > 0:
            scale = 1.
            absolute = True
        unit = 10. ** (floor(log10(shift / scale)) - 1)
        return float(f'{(floor(shift / scale / unit) + 1) * unit:.2g}'), absolute

    def cure(self) -> str:
        """Return the advice that messages give if rounding is too large."""
        diag_reg, absolute = self.least()
        is_single = self.eps > 2 * namespace(self.k).eps(self.k)
        finer = ', or compute the kernel in float64' if is_single else ''
        return f'Pass {_as_arguments(diag_reg, absolute)} (or more){finer}.'

    def announce(self, r: Array, tau: Any = None,
                 what: str = 'k_train_train (with its diag_reg)') -> None:
        """Warn the caller of the caller if zero eigenvalues affect the evolution of r until tau (None: infinite)."""
        xp = namespace(self.k)
        if tau is not None:
            late = tau > (LATE / self.rounding if self.rounding else inf)
            if not (late.any() if hasattr(late, 'any') else late):
                return
        has_zeros = self.singular if tau is None else xp.any(self.rates[1])
        if not has_zeros:
            return
        null = xp.where(self.rates[1], 1., 0.)
        zeros = int(plain(xp.sum(null)))
        whole = plain(norm(r))
        part = plain(norm(null[:, None] * (self.vectors.T @ r))) / whole if whole else 0.
        warnings.warn(SingularKernelWarning(
            what, zeros, self.n, self.rounding, part, *self.least(), self.cure()), stacklevel=3)

    # -------------------------------------------------------------- infinite time

    def solve(self, b: Array) -> Array:
        """A^-1 b, with the pseudo-inverse where an eigenvalue is zero."""
        if self.lower is not None:
            return cholesky_solve(self.lower, b)
        return self.vectors @ (self.inverse()[:, None] * (self.vectors.T @ b))

    def half(self, b: Array) -> Array:
        """W with W^T W = b^T A^-1 b."""
        if self.lower is not None:
            return namespace(self.lower, b).solve_triangular(self.lower, b, lower=True)
        return namespace(self.values).sqrt(self.inverse())[:, None] * (self.vectors.T @ b)

    def stuck(self, b: Array) -> Array:
        """The part of b in the null space of A, which never moves."""
        if not self.singular:
            return 0. * b
        null = namespace(self.values).where(self.rates[1], 1., 0.)
        return self.vectors @ (null[:, None] * (self.vectors.T @ b))

    # -------------------------------------------------------------- where no eigenvalue is zero

    def refuse_singular(self) -> None:
        """Raise ValueError if an eigenvalue is zero."""
        if self.singular:
            zeros = int(namespace(self.values).sum(self.rates[1]))
            largest = plain(self.values[-1])
            raise RoundingError(
                f'expected a positive definite k_train_train + diag_reg, got {zeros} of {self.n} '
                f'eigenvalues that are zero to rounding, with diag_reg={plain(self.diag_reg):.3g}; '
                f'the largest is {largest:.3g}. log|A| is minus infinity, as where an input is '
                'there twice without noise: diag_reg is the variance of noise in the targets. '
                f'{self.cure()}')

    def log_determinant(self) -> Number:
        """Return log |A|."""
        xp = namespace(self.k, self.shift)
        if self.lower is not None:
            return 2 * xp.sum(xp.log(xp.sum(self.lower * xp.eye(self.n), axis=0)))
        self.refuse_singular()
        return xp.sum(xp.log(self.values))

    def inverse_blocks(self, size: int) -> Array:
        """Return the blocks (n / size, size, size) on the diagonal of A^-1 = W^T W."""
        xp = namespace(self.k, self.shift)
        if self.lower is not None:
            w = xp.solve_triangular(self.lower, xp.eye(self.n), lower=True)
        else:
            self.refuse_singular()
            w = xp.sqrt(self.inverse())[:, None] * self.vectors.T
        w = xp.reshape(w, (self.n, -1, size))
        return xp.sum(w[:, :, :, None] * w[:, :, None, :], axis=0)

    # -------------------------------------------------------------- finite time, in the eigenbasis

    def modes(self, k: Array) -> Array:
        """Return k V.

        At a zero eigenvalue, where a jointly positive kernel has exactly 0, entries within rounding are set to 0.
        """
        c = k @ self.vectors
        return namespace(c).where(self.rates[1] & (abs(c) <= self.rounding), 0., c)

    def decay(self, tau: Array) -> Array:
        """Return exp(-lambda tau), of shape tau.shape + (n,); 1 where lambda = 0."""
        rates, still = self.rates
        xp = namespace(rates, tau)
        return xp.where(still, 1., xp.exp(-rates * tau[..., None]))

    def change(self, tau: Array) -> Array:
        """Return 1 - exp(-lambda tau), of shape tau.shape + (n,); 0 where lambda = 0."""
        rates, still = self.rates
        xp = namespace(rates, tau)
        return xp.where(still, 0., -xp.expm1(-rates * tau[..., None]))

    def growth(self, tau: Array) -> Array:
        """Return (1 - exp(-lambda tau)) / lambda, of shape tau.shape + (n,).

        Where lambda = 0 it is tau, until rounding could have ended the growth, and then 0.
        """
        rates, still = self.rates
        xp = namespace(self.values, tau)
        tau = tau[..., None]
        horizon = 1 / self.rounding if self.rounding else inf
        without_decay = xp.where(tau < horizon, tau, 0.)
        return xp.where(still, without_decay, -xp.expm1(-rates * tau) / rates)


class Shifted(Factor):
    """Factor of the same K with another diag_reg, from the eigenvectors of K."""

    lower = None

    def __init__(self, factor, diag_reg, values, vectors):
        for name in ('k', 'n', 'eps', 'absolute', 'scale', 'level', 'of_entries', 'negative'):
            setattr(self, name, getattr(factor, name))
        self.shift_by(diag_reg)
        self.spectrum = self.rounded(values + self.shift, vectors)


def with_ridges(factor: Factor, diag_regs: Sequence[Number]) -> list[Shifted]:
    """Return a Factor of the same K for each of the `diag_regs`, with one eigendecomposition of K."""
    spectrum = namespace(factor.k).eigh(factor.k)
    return [Shifted(factor, diag_reg, *spectrum) for diag_reg in diag_regs]


def regular(a, lower, level, of_entries):
    """True if `lower` is the Cholesky factor of `a`, and the smallest eigenvalue of `a` is clear of rounding.

    The first is checked because CuPy fails silently. Rounding is `level` times the largest eigenvalue, in arithmetic,
    and `of_entries`.
    """
    xp = namespace(a)
    v = start(xp, len(a))
    for _ in range(4):             # inverse iteration: |A^-1 v| / |v| -> 1 / smallest eigenvalue
        u = v / norm(v)
        v = cholesky_solve(lower, u)
    size = norm(a) * norm(v)
    clear = 1 > 2 * level * size and 1 > 2 * of_entries * norm(v)
    return norm(a @ v - u) <= xp.eps(a) ** .5 * size and clear


def diagonal(n):
    """Return the slice of the diagonal in a matrix (n, n) whose rows are put one after the other."""
    return slice(0, None, n + 1)


def cholesky_solve(lower: Array, b: Array) -> Array:
    """Return A^-1 b for the Cholesky factor of A."""
    xp = namespace(lower, b)
    half = xp.solve_triangular(lower, b, lower=True)
    return xp.solve_triangular(lower, half, trans=1, lower=True)


def norm(a: Array) -> Number:
    """Return the norm |a|, also where its square is out of range."""
    xp = namespace(a)
    size = xp.sum(xp.abs(a))
    if not size > 0:
        return size
    b = xp.reshape(a / size, (-1,))
    return size * xp.sqrt(b @ b)


def start(xp: Any, n: int) -> Array:
    """Return a column in general position, always the same; large along the constant vector, as kernels are."""
    return 2 + xp.cos(xp.asarray([[float(i)] for i in range(n)]))


def symmetric(k: Array, eps: float, what: str = 'kernel of a set with itself') -> Array:
    """Return (k + k.T)/2; raise ValueError if k is not square, or not symmetric to a third of its digits.

    Messages call the matrix `what`.
    """
    if k.shape != k.shape[::-1] or not len(k):
        raise ValueError(f'expected the {what}, got one that is {" x ".join(map(str, k.shape))}.')
    if not namespace(k).any(k != k.T):
        return 1 * k
    if norm(k - k.T) > eps ** (1 / 3) * norm(k):
        raise ValueError(
            f'expected a symmetric {what}, got one of shape {k.shape} with |k - k.T| = '
            f'{plain(norm(k - k.T)):.3g}, |k| = {plain(norm(k)):.3g}. Was that of two sets passed '
            'instead?')
    return (k + k.T) / 2


def largest_eigenvalue(k: Array) -> Number:
    """Return the largest eigenvalue of a symmetric matrix.

    It uses Lanczos in the form of Rayleigh-Ritz, where each residual is a new direction.
    """
    xp = namespace(k)
    q = start(xp, len(k))[:, 0]
    basis: list[Array] = []
    image: list[Array] = []
    for _ in range(min(STEPS, len(k))):
        basis.append(q / norm(q))
        image.append(k @ basis[-1])
        b = xp.stack(basis)
        kb = xp.stack(image)
        ritz, s = xp.eigh(b @ kb.T)
        q = s[:, -1] @ kb - ritz[-1] * (s[:, -1] @ b)
        if norm(q) <= (10 + len(k)) * xp.eps(k) * abs(plain(ritz[-1])):
            return ritz[-1]
        for _ in range(2):
            q = q - (b @ q) @ b
    return xp.eigh(k)[0][-1]
