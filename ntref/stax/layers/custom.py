"""Nonlinearities given by the user: `Elementwise` with its dual activation, `ElementwiseNumerical` by quadrature."""
from dataclasses import dataclass
from numbers import Real
from typing import Any, Callable

from ... import quadrature
from ...arguments import as_whole
from ...arrays import is_array, kind, plain, untraced
from ...derivatives import derivative
from ...duals.geometry import Cov, over
from ...duals.pair import Pair
from ...duals.price import Price
from ...duals.truncated import DELTA, Products, combined
from ...recursion.part import Part
from ...recursion.signal import Signal
from ...recursion.steps import Steps
from ...types import Array
from ..written import as_text
from .nonlinearity import Nonlinearity

__all__ = ['Elementwise', 'ElementwiseNumerical']

SIDE = 64           # pairs on either side, at most, at which it is seen whether nngp_fn is symmetric


@dataclass(frozen=True, repr=False)
class Elementwise(Nonlinearity):
    """Nonlinearity phi = fn whose dual activation is given as a function.

    Parameters
    ----------
    fn : callable, optional             phi, elementwise, for `apply_fn`.
    nngp_fn : callable, optional        (K, q, q') -> E[phi(u) phi(v)], elementwise, arrays of equal shape.
    d_nngp_fn : callable, optional      the same for E[phi'(u) phi'(v)]. None: the derivative of nngp_fn with respect to
                                        K by autograd; nngp_fn must then compute with autograd.numpy.

    Raises
    ------
    ValueError : neither fn nor nngp_fn is given; nngp_fn gives no covariance: NaN, or |K'| > sqrt(Q Q') with Q =
        nngp_fn(q, q, q), or values that change by more than rounding (half of the digits) when q and q' change places
        (seen at up to 64 x 64 pairs of a block);
        a derivative is NaN or infinite, such as that of arccos(K / sqrt(q q')) where inputs coincide, or autograd
        cannot see it.
    NotImplementedError : `apply_fn` without fn, `kernel_fn` without nngp_fn.

    Source
    ------
    Price's theorem: docs/theory/duals.md#price.
    """
    dual_formula = r"K_+ = f(K, q, q'),\quad \Theta_+ = \dot f(K, q, q') \Theta"
    on_threads = False               # functions of the user may not be thread-safe

    fn: Callable | None = None
    nngp_fn: Callable | None = None
    d_nngp_fn: Callable | None = None

    def __post_init__(self):
        if self.fn is None and self.nngp_fn is None:
            raise ValueError('Elementwise: expected fn or nngp_fn or both, got neither.')
        _check_functions(self, fn=self.fn, nngp_fn=self.nngp_fn, d_nngp_fn=self.d_nngp_fn)

    def phi(self, xp: Any, z: Array) -> Array:
        if self.fn is None:
            raise NotImplementedError(f'{self!r} has no finite network: give fn.')
        return self.fn(z)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return self._covariance(p), self._slope(p)

    def tileable(self, signal: Signal) -> bool:
        return signal.mask is None       # masked variables are none that the functions have to know

    def kernel(self, k: Steps) -> Steps:
        if isinstance(k, Part):
            return k.nonlinear(self.dual if k.has_tangent else self._covariance_alone)
        pairs = []
        nothing = k.nothing()

        def covariance(p):
            pairs.append(p)
            return self._covariance(p, nothing[len(pairs) - 1]), 0 * p.k
        new = k.nonlinear(covariance)
        return new if not k.has_tangent else new.but(ntk=self._slope(pairs[0], nothing[0]) * k.ntk)

    def _covariance_alone(self, p):
        return self._covariance(p), 0 * p.k

    def _covariance(self, p, nothing=False):
        """Return K', checked except where `nothing`, an array of bool, is True."""
        if self.nngp_fn is None:
            raise NotImplementedError(
                f'{self!r} has no kernel: give nngp_fn, or use ElementwiseNumerical.')
        k = _whole(p, self.nngp_fn(*_spread(p)))
        number = untraced(k)
        limits = [self._size(p, q) for q in (p.q1, p.q2)]
        self._check_size(p, number, limits, nothing)
        self._check_symmetry(p, number, limits, nothing)
        return Cov(k)

    def _size(self, p, q):
        """Return sqrt(Q) of E[phi(u)^2] = Q, NaN if that is infinite."""
        Q = p.xp.asarray(untraced(self.nngp_fn(q, q, q))).astype(p.k.dtype)
        return p.xp.sqrt(p.xp.maximum(Q, 0)) + 0 * Q

    def _check_size(self, p, k, limits, nothing):
        """Raise ValueError where |K'| is larger than sqrt(Q Q'), or NaN."""
        left, right = limits
        at = _first(p, abs(k) <= (1 + p.xp.eps(p.k) ** .5) * left * right, nothing)
        if at is None:
            return
        found = ("K'", k), ('Q', left * left), ("Q'", right * right)
        got = ', '.join(f'{name} = {plain(_whole(p, value)[at]):.6g}' for name, value in found)
        raise ValueError(
            "expected nngp_fn to give covariances, |K'| <= sqrt(Q Q') for Q = nngp_fn(q, q, "
            f"q), Q' = nngp_fn(q', q', q'); got {got} at {_where(p, at)}.")

    def _check_symmetry(self, p, k, limits, nothing):
        """Raise ValueError where nngp_fn is another if q and q' change places, at up to SIDE x SIDE pairs."""
        some = tuple(slice(None, None, n // SIDE + 1) for n in p.k.shape[:2])
        k = k[some]
        few = p.numbers.at(some)
        swapped = _whole(few, self.nngp_fn(few.k, few.q2, few.q1))
        nothing = nothing if nothing is False else nothing[some]
        limit = p.xp.broadcast_to(p.xp.eps(p.k) ** .5 * limits[0] * limits[1], p.k.shape)[some]
        at = _first(few, abs(k - swapped) <= limit, nothing)
        if at is not None:
            raise ValueError(
                "expected nngp_fn to be the same where q and q' change places, as E[phi(u) phi(v)] "
                f"is; got {plain(k[at]):.6g} and {plain(swapped[at]):.6g} at "
                f"{_where(few, at)}.")

    def _slope(self, p, nothing=False):
        """Return E[phi'(u) phi'(v)], checked except where `nothing`, an array of bool, is True."""
        slope = _whole(p, (self.d_nngp_fn or derivative(self.nngp_fn))(*_spread(p)))
        at = _first(p, p.xp.isfinite(slope), nothing)
        if at is not None:
            name = 'd_nngp_fn' if self.d_nngp_fn else 'the derivative of nngp_fn by autograd'
            todo = 'the limit' if self.d_nngp_fn else 'd_nngp_fn, with the limit'
            got = plain(slope[at])
            raise ValueError(
                f"expected {name} to be finite, got {got} at {_where(p, at)}. Give {todo} there: "
                "E[phi'(u) phi'(v)], for u = v where K = q = q'.")
        return slope


@dataclass(frozen=True, repr=False)
class ElementwiseNumerical(Nonlinearity):
    """Nonlinearity phi = fn whose dual activation is computed by quadrature.

    Parameters
    ----------
    fn : callable               phi, elementwise; `fn.kinks` may name the points where it is not smooth.
    deg : int, optional         None: accurate to 1e-12 (`ntref.quadrature`). A number: Gauss-Hermite on deg x deg
                                nodes, as in Neural Tangents; the error is several percent for functions with kinks.
    df : callable, optional     phi'. None: by autograd; fn must then compute with autograd.numpy.

    Raises
    ------
    ValueError : autograd cannot see a derivative. QuadratureError : the tolerance cannot be reached.
    TypeError : arrays are not of NumPy, with deg=None.

    Source
    ------
    docs/theory/duals.md#quadrature.
    """
    on_threads = False               # functions of the user may not be thread-safe

    fn: Callable
    deg: int | None = None
    df: Callable | None = None

    def __post_init__(self):
        if self.fn is None:
            raise TypeError('ElementwiseNumerical: fn is expected to be a function, got None.')
        _check_functions(self, fn=self.fn, df=self.df)
        if self.deg is not None:
            object.__setattr__(self, 'deg', as_whole(self.deg, 'ElementwiseNumerical: deg', 1))

    @property
    def in_tiles(self):
        return self.deg is None          # the error of few nodes is not the same where u and v change places

    def phi(self, xp: Any, z: Array) -> Array:
        return self.fn(z)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        plain = p.numbers
        products = _Numerical(plain, self.fn, self.df, self.deg)
        phi, dphi = (combined([((SMOOTH, n), 1)]) for n in (0, 1))
        k = products.total(phi, phi)
        slope = products.total(dphi, dphi)
        if plain is p:
            return Cov(k), slope
        price = Price(p, products.total, products.derived, {(phi, phi): k, (dphi, dphi): slope})
        return Cov(price(phi, phi)), price(dphi, dphi)


SMOOTH = 'smooth'


class _Numerical(Products):
    """Expectations of (SMOOTH, n), the n-th derivative of fn between its kinks, and of deltas where fn jumps."""

    def __init__(self, p, fn, df, deg):
        super().__init__(p)
        self.functions = [fn, df or derivative(fn)]
        self.deg = deg
        self.kinks = quadrature.kinks_of(fn, None)
        if deg is None and kind(p.k) != 'numpy':
            raise TypeError('ElementwiseNumerical with deg=None computes with NumPy arrays, got '
                            f'{kind(p.k)}. Give deg.')

    def function(self, n):
        while len(self.functions) <= n:
            f = self.functions[-1]
            is_flat = quadrature.is_constant_in_parts(f)
            self.functions.append((lambda z: 0 * z) if is_flat else derivative(f))
        return self.functions[n]

    def derivative(self, name, *at):
        if name != SMOOTH:
            return super().derivative(name, *at)
        n = at[0]
        found = quadrature.jumps(self.function(n), self._variances(), kinks=self.kinks)
        deltas = [((DELTA, 0, c), jump) for c, jump in found] if n else []
        return [((SMOOTH, n + 1), 1), *deltas]

    def _variances(self):
        """Return the list of all variances of the pair."""
        return [*self.p.q1.reshape(-1), *self.p.q2.reshape(-1)]

    def product(self, p, f, g):
        if f[0] != SMOOTH or g[0] != SMOOTH:
            return super().product(p, f, g)
        f = self.function(f[1])
        g = self.function(g[1])
        if self.deg is not None:
            return self._gauss_hermite(p, f, g)
        kinks = dict(kinks_f=self.kinks, kinks_g=self.kinks)
        found = quadrature.expectation(f, g, p.q1, p.q2, p.k, area=p.area, **kinks)
        return found.value.astype(p.k.dtype)

    def _gauss_hermite(self, p, f, g):
        """sum_ij w_i w_j f(sqrt(q) z_i) g(K / sqrt(q) z_i + A / sqrt(q) z_j)."""
        mean = over(p.k, p.n1)
        std = p.xp.where(p.n1 > 0, over(p.area, p.n1), p.n2)
        return sum(w * _values(f, p.n1 * z) * self._about(g, mean * z, std) for z, w in self._nodes())

    def _about(self, f, centre, spread):
        return sum(w * _values(f, centre + spread * z) for z, w in self._nodes())

    def _nodes(self):
        return [(float(z), float(w)) for z, w in zip(*quadrature.gauss_hermite(self.deg))]

    def mean(self, xp, function, m, t, beyond):
        if function[0] != SMOOTH:
            return super().mean(xp, function, m, t, beyond)
        f = self.function(function[1])
        if self.deg is not None:
            return self._about(f, m, t)
        found = quadrature.around(f, m + 0 * t, t + 0 * m, self._variances(), kinks=self.kinks)
        return found.astype(m.dtype)


def _values(f, z):
    """Return f(z); raise TypeError if the function of the user gives no numbers."""
    y = f(z)
    if not is_array(y) and not isinstance(y, Real):
        raise TypeError(f'expected {as_text(f)} to give an array of numbers for an array, got {type(y).__name__}.')
    return y


def _spread(p):
    """Return K, q and q' of a pair as arrays of one shape."""
    return p.k, *(p.xp.broadcast_to(q, p.k.shape) for q in (p.q1, p.q2))


def _whole(p, value):
    """Return what a function of the user gave as an array of the shape of K."""
    return value if getattr(value, 'shape', None) == p.k.shape else value + 0 * p.k


def _first(p, holds, nothing):
    """Return the index of the first entry where `holds` is False and `nothing` is not True, or None."""
    holds = holds if nothing is False else holds | nothing
    if bool(p.xp.all(holds)):
        return None
    return tuple(int(i[0]) for i in p.xp.nonzero(~holds))


def _where(p, at):
    named = zip(('K', 'q', "q'"), _spread(p))
    return ', '.join(f'{name} = {plain(value[at]):.6g}' for name, value in named)


def _check_functions(layer, **functions):
    for name, f in functions.items():
        if f is not None and (not callable(f) or hasattr(f, 'kernel_fn')):
            raise TypeError(f'{layer.name}: {name} is expected to be a function, got {f!r:.200}.')
