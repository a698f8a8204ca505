"""Nonlinearities given by the user: `Elementwise` with its dual activation, `ElementwiseNumerical` by quadrature."""
from dataclasses import dataclass
from typing import Callable

from .. import quadrature
from ..arguments import as_whole
from ..arrays import kind, plain
from ..cov import Cov, Pair, over
from ..derivatives import derivative, differentiable
from .elementwise import Nonlinearity

__all__ = ['Elementwise', 'ElementwiseNumerical']


@dataclass(frozen=True, repr=False)
class Elementwise(Nonlinearity):
    """phi = fn with the dual activation given as a function.

    Parameters
    ----------
    fn : callable, optional             phi, elementwise, for `apply_fn`.
    nngp_fn : callable, optional        (K, q, q') -> E[phi(u) phi(v)], elementwise, arrays of equal shape.
    d_nngp_fn : callable, optional      the same for E[phi'(u) phi'(v)]. None: the derivative of nngp_fn with respect to
                                        K by autograd; nngp_fn must then compute with autograd.numpy.

    Raises
    ------
    ValueError : neither fn nor nngp_fn; an nngp_fn that is no covariance: |K'| > sqrt(Q Q'), Q = nngp_fn(q, q, q), by
        more than rounding (half of the digits), or NaN; a derivative that is NaN or infinite, such as that of
        arccos(K / sqrt(q q')) where inputs coincide, or that autograd cannot see.
    NotImplementedError : `apply_fn` without fn, `kernel_fn` without nngp_fn.

    Source
    ------
    Price's theorem: docs/theory/duals.md#price.
    """
    in_tiles = False                 # functions of the user: not known to be safe in threads

    fn: Callable | None = None
    nngp_fn: Callable | None = None
    d_nngp_fn: Callable | None = None

    def __post_init__(self):
        if self.fn is None and self.nngp_fn is None:
            raise ValueError('Elementwise: expected fn or nngp_fn or both, got neither.')
        _check_functions(self, fn=self.fn, nngp_fn=self.nngp_fn, d_nngp_fn=self.d_nngp_fn)

    def phi(self, xp, z):
        if self.fn is None:
            raise NotImplementedError(f'{self!r} has no finite network: give fn.')
        return self.fn(z)

    def dual(self, p):
        return self.covariance(p), self.slope(p)

    def kernel(self, k):
        pairs, nothing = [], k.nothing()

        def covariance(p):
            pairs.append(p)
            return self.covariance(p, nothing[len(pairs) - 1]), 0 * p.k
        new = k.nonlinear(covariance)
        return new if k.ntk is None else new.but(ntk=self.slope(pairs[0], nothing[0]) * k.ntk)

    def covariance(self, p, nothing=False):
        """K', checked but where there is `nothing`, an array of bool."""
        if self.nngp_fn is None:
            raise NotImplementedError(f'{self!r} has no kernel: give nngp_fn, or use ElementwiseNumerical.')
        k = self.nngp_fn(*_spread(p))
        own1, own2 = (self.nngp_fn(q, q, q) for q in (p.q1, p.q2))
        s = p.xp.sqrt(p.xp.maximum(own1, 0)) * p.xp.sqrt(p.xp.maximum(own2, 0))
        fits = abs(k) <= (1 + p.xp.eps(p.k) ** .5) * s + 0 * k
        if (at := _first(p, nothing | fits)) is not None:
            found = ("K'", k), ('Q', own1), ("Q'", own2)
            got = ', '.join(f'{name} = {plain((value + 0 * p.k)[at]):.6g}' for name, value in found)
            raise ValueError("expected nngp_fn to give covariances, |K'| <= sqrt(Q Q') for Q = nngp_fn(q, q, q), Q' = "
                             f"nngp_fn(q', q', q'); got {got} at {_where(p, at)}.")
        return Cov(k)

    def slope(self, p, nothing=False):
        slope = (self.d_nngp_fn or derivative(self.nngp_fn))(*_spread(p))
        if (at := _first(p, nothing | p.xp.isfinite(slope + 0 * p.k))) is not None:
            name, todo = ('d_nngp_fn', 'the limit') if self.d_nngp_fn else (
                'the derivative of nngp_fn by autograd', 'd_nngp_fn, with the limit')
            got = plain((slope + 0 * p.k)[at])
            raise ValueError(f'expected {name} to be finite, got {got} at {_where(p, at)}. Give {todo} there: '
                             "E[phi'(u) phi'(v)], for u = v where K = q = q'.")
        return slope


@dataclass(frozen=True, repr=False)
class ElementwiseNumerical(Nonlinearity):
    """phi = fn with its dual activation by quadrature.

    Parameters
    ----------
    fn : callable               phi, elementwise; `fn.kinks` may name the points where it is not smooth.
    deg : int, optional         None: to 1e-12 (`ntref.quadrature`). A number: Gauss-Hermite on deg x deg nodes, as
                                Neural Tangents has it; its error is several percent for kinked functions.
    df : callable, optional     phi'. None: by autograd; fn must then compute with autograd.numpy.

    Raises
    ------
    ValueError : a derivative that autograd cannot see. QuadratureError : the tolerance cannot be reached.
    TypeError : arrays other than NumPy's with deg=None.

    Source
    ------
    docs/theory/duals.md#quadrature.
    """
    in_tiles = False                 # functions of the user: not known to be safe in threads

    fn: Callable
    deg: int | None = None
    df: Callable | None = None

    def __post_init__(self):
        if self.fn is None:
            raise TypeError('ElementwiseNumerical: fn is expected to be a function, got None.')
        _check_functions(self, fn=self.fn, df=self.df)
        if self.deg is not None:
            object.__setattr__(self, 'deg', as_whole(self.deg, 'ElementwiseNumerical: deg', 1))

    def phi(self, xp, z):
        return self.fn(z)

    def dual(self, p):
        f, df = self.fn, self.df or derivative(self.fn)
        expected = _expectation if self.deg is None else self._gauss_hermite
        return Cov(expected(f, f, p)), expected(df, df, p)

    def _gauss_hermite(self, f, g, p):
        """sum_ij w_i w_j f(sqrt(q) z_i) g(K / sqrt(q) z_i + A / sqrt(q) z_j)."""
        nodes, weights = quadrature.gauss_hermite(self.deg)
        mean, std = over(p.k, p.n1), p.xp.where(p.n1 > 0, over(p.area, p.n1), p.n2)
        return sum(float(wi) * f(p.n1 * float(zi)) * sum(float(wj) * g(mean * float(zi) + std * float(zj))
                                                         for zj, wj in zip(nodes, weights))
                   for zi, wi in zip(nodes, weights))


def _expectation(f, g, p):
    """E[f(u) g(v)] by adaptive quadrature; differentiable where f and g are."""
    def value(q1, q2, k, area):
        if kind(k) != 'numpy':
            raise TypeError(f'ElementwiseNumerical with deg=None computes with NumPy arrays, got {kind(k)}. Give deg.')
        return quadrature.expectation(f, g, q1, q2, k, area=area).value.astype(k.dtype)

    def by_k(q1, q2, k, area):
        return _expectation(derivative(f), derivative(g), Pair(q1, q2, Cov(k, area=area)))

    def by_q1(q1, q2, k, area):
        """E[u f'(u) g(v)] = 2 q dE/dq + K dE/dK."""
        uf = _expectation(_times_argument(derivative(f)), g, Pair(q1, q2, Cov(k, area=area)))
        return over(uf - k * by_k(q1, q2, k, area), 2 * q1 + 0 * k)

    def by_q2(q1, q2, k, area):
        vg = _expectation(f, _times_argument(derivative(g)), Pair(q1, q2, Cov(k, area=area)))
        return over(vg - k * by_k(q1, q2, k, area), 2 * q2 + 0 * k)

    def by_area(q1, q2, k, area):
        return 0 * k
    return differentiable(value, by_q1, by_q2, by_k, by_area)(p.q1, p.q2, p.k, p.area)


def _times_argument(f):
    def uf(u):
        return u * f(u)
    return uf


def _spread(p):
    """K, q and q' of a pair, of one shape."""
    return p.k, p.q1 + 0 * p.k, p.q2 + 0 * p.k


def _first(p, holds):
    """The index of the first entry where it does not hold; None: it does everywhere."""
    if bool(p.xp.all(holds)):
        return None
    return tuple(int(i[0]) for i in p.xp.nonzero(~holds))


def _where(p, at):
    return ', '.join(f'{name} = {plain(value[at]):.6g}' for name, value in zip(('K', 'q', "q'"), _spread(p)))


def _check_functions(layer, **functions):
    for name, f in functions.items():
        if f is not None and (not callable(f) or hasattr(f, 'kernel_fn')):
            raise TypeError(f'{layer.name}: {name} is expected to be a function, got {f!r:.200}.')
