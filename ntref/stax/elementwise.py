"""Nonlinearities: the finite function phi beside its dual activation (`ntref.duals`).

All need a Gaussian input, which a layer with weights gives, and do

    K' = E[phi(u) phi(v)],   Theta' = E[phi'(u) phi'(v)] Theta      for (u, v) Gaussian with the variances q, q' and K.
"""
from dataclasses import dataclass, replace
from math import factorial
from typing import Callable

from .. import duals, quadrature
from ..arrays import as_number, derivative, differentiable, kind, namespace
from ..duals import Cov, Pair, over
from .layer import Layer
from .normalization import _needs_gaussian

__all__ = ['ABRelu', 'Abs', 'Cos', 'Elementwise', 'ElementwiseNumerical', 'Erf', 'Exp', 'ExpNormalized', 'Gabor',
           'Gaussian', 'Gelu', 'Hermite', 'LeakyRelu', 'Monomial', 'Polynomial', 'Rbf', 'RectifiedMonomial', 'Relu',
           'Sigmoid_like', 'Sign', 'Sin']


class _Nonlinearity(Layer):
    """A subclass has `phi(xp, z)`, the function, and `dual(pair)`, its covariances and slope."""

    def check(self, signal):
        _needs_gaussian(signal)

    def out(self, signal):
        return replace(signal, is_gaussian=False)

    def apply(self, params, x, rng=None):
        return self.phi(namespace(x), x)

    def kernel(self, k):
        return k.nonlinear(self.dual)


# ------------------------------------------------------------------ kinked

class _Rectifier(_Nonlinearity):
    """phi(z) = a min(z, 0) + b max(z, 0); a subclass gives `slopes`, (a, b)."""

    def phi(self, xp, z):
        a, b = self.slopes
        return a * xp.minimum(z, 0) + b * xp.maximum(z, 0)

    def dual(self, p):
        return duals.abrelu(p, *self.slopes)


@dataclass(frozen=True, repr=False)
class ABRelu(_Rectifier):
    r"""phi(z) = a min(z, 0) + b max(z, 0).

    .. math::
        K' = \frac{(a - b)^2}{2 \pi} \sqrt{q q' - K^2} + \dot\kappa K, \qquad
        \dot\kappa = \frac{a^2 + b^2}{2} - \frac{(a - b)^2}{2 \pi} \theta, \qquad \cos\theta = K / \sqrt{q q'} .

    Parameters
    ----------
    a, b : float            slopes below and above 0.
    do_stabilize : bool     accepted for old scripts, without effect: the recursion does not overflow where it helped.

    Accuracy
    --------
    K and Theta within 1e-14 relative in float64 (3e-6 in float32) at every separation of the inputs: docs/accuracy.md.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; without cancellation: docs/theory/duals.md#relu.

    Examples
    --------
    >>> import numpy
    >>> from ntref.stax import Dense, serial
    >>> x = numpy.array([[1., 0.], [-1., 0.]])
    >>> serial(Dense(8), ABRelu(-0.5, 1.)).kernel_fn(x, get='nngp')
    array([[0.3125, 0.25  ],
           [0.25  , 0.3125]])
    """
    a: float
    b: float
    do_stabilize: bool = False

    @property
    def slopes(self):
        return self.a, self.b


@dataclass(frozen=True, repr=False)
class Relu(_Rectifier):
    """phi(z) = max(z, 0): `ABRelu` with a = 0, b = 1.

    K' = sqrt(q q') (sin theta + (pi - theta) cos theta) / (2 pi),  slope (pi - theta) / (2 pi).

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; docs/theory/duals.md#relu.
    """
    do_stabilize: bool = False
    slopes = 0, 1


@dataclass(frozen=True, repr=False)
class LeakyRelu(_Rectifier):
    """phi(z) = alpha min(z, 0) + max(z, 0): `ABRelu` with a = alpha, b = 1.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; docs/theory/duals.md#relu.
    """
    alpha: float
    do_stabilize: bool = False

    @property
    def slopes(self):
        return self.alpha, 1


@dataclass(frozen=True, repr=False)
class Abs(_Rectifier):
    """phi(z) = |z|: `ABRelu` with a = -1, b = 1.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 6; docs/theory/duals.md#relu.
    """
    do_stabilize: bool = False
    slopes = -1, 1


@dataclass(frozen=True, repr=False)
class Sign(_Nonlinearity):
    """phi(z) = sign z:  K' = 1 - 2 theta / pi,  Theta' = 0.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 5; docs/theory/duals.md#sign.
    """

    def phi(self, xp, z):
        return xp.sign(z)

    def dual(self, p):
        return duals.sign(p)


@dataclass(frozen=True, repr=False)
class RectifiedMonomial(_Nonlinearity):
    """phi(z) = z^n for z >= 0, else 0:  K' = (q q')^(n/2) J_n(theta) / (2 pi), finite at theta = 0 too.

    Parameters
    ----------
    degree : int            n >= 0; 0 is the step function, 1 the ReLU.

    Source
    ------
    Cho & Saul 2009 (NIPS 22) eq. 4; docs/theory/duals.md#rectified-monomial.
    """
    degree: int

    def __post_init__(self):
        _check_degree(self)

    def phi(self, xp, z):
        return xp.where(z >= 0, z, 0) ** self.degree * (z >= 0)

    def dual(self, p):
        if self.degree < 2:
            return duals.abrelu(p, 0, 1) if self.degree else duals.step(p)
        return duals.rectified_monomial(p, self.degree)


# ------------------------------------------------------------------ sigmoid and bump shaped

@dataclass(frozen=True, repr=False)
class Erf(_Nonlinearity):
    r"""phi(z) = a erf(b z) + c.

    .. math::
        K' = \frac{2 a^2}{\pi} \arcsin \frac{2 b^2 K}{\sqrt{(1 + 2 b^2 q)(1 + 2 b^2 q')}} + c^2

    Source
    ------
    Williams 1997 (Computing with infinite networks) eq. 11; docs/theory/duals.md#erf.
    """
    a: float = 1.
    b: float = 1.
    c: float = 0.

    def phi(self, xp, z):
        return self.a * xp.erf(self.b * z) + self.c

    def dual(self, p):
        return duals.erf(p, self.a, self.b, self.c)


@dataclass(frozen=True, repr=False)
class Sigmoid_like(_Nonlinearity):
    """phi(z) = (1 + erf(z / 2.4020563531719796)) / 2, close to 1 / (1 + exp(-z)).

    Source
    ------
    `Erf` with a = 0.5, b = 1 / 2.4020563531719796, c = 0.5.
    """
    slopes = .5, 1 / 2.4020563531719796, .5

    def phi(self, xp, z):
        a, b, c = self.slopes
        return a * xp.erf(b * z) + c

    def dual(self, p):
        return duals.erf(p, *self.slopes)


@dataclass(frozen=True, repr=False)
class Gelu(_Nonlinearity):
    """phi(z) = z Phi(z), with Phi the standard normal distribution function.

    Parameters
    ----------
    approximate : bool      the finite network uses the tanh form; the kernel is that of the exact function.

    Source
    ------
    Tsuchida et al. 2021 (arXiv:2002.08517); docs/theory/duals.md#gelu.
    """
    approximate: bool = False

    def phi(self, xp, z):
        if self.approximate:
            return z * (1 + xp.tanh((2 / xp.pi) ** .5 * (z + .044715 * z ** 3))) / 2
        return z * (1 + xp.erf(z / 2 ** .5)) / 2

    def dual(self, p):
        return duals.gelu(p)


@dataclass(frozen=True, repr=False)
class Gaussian(_Nonlinearity):
    """phi(z) = a exp(b z^2):  K' = a^2 / sqrt((1 - 2 b q)(1 - 2 b q') - 4 b^2 K^2).

    Raises
    ------
    ValueError : b > 0 and a variance q >= 1 / (4 b), where E[phi^2] is infinite.

    Source
    ------
    docs/theory/duals.md#gaussian.
    """
    a: float = 1.
    b: float = -1.

    def phi(self, xp, z):
        return self.a * xp.exp(self.b * z * z)

    def dual(self, p):
        return duals.gaussian(p, self.a, self.b)


@dataclass(frozen=True, repr=False)
class Gabor(_Nonlinearity):
    """phi(z) = exp(-z^2) sin z.

    Source
    ------
    docs/theory/duals.md#gabor.
    """

    def phi(self, xp, z):
        return xp.exp(-z * z) * xp.sin(z)

    def dual(self, p):
        return duals.gabor(p)


# ------------------------------------------------------------------ trigonometric and exponential

@dataclass(frozen=True, repr=False)
class Sin(_Nonlinearity):
    """phi(z) = a sin(b z + c):  K' = a^2/2 (exp(-b^2 E(u-v)^2 / 2) - cos 2c exp(-b^2 E(u+v)^2 / 2)).

    Source
    ------
    docs/theory/duals.md#sin; Louart et al. 2018 (arXiv:1702.05419) table 1.
    """
    a: float = 1.
    b: float = 1.
    c: float = 0.

    def phi(self, xp, z):
        return self.a * xp.sin(self.b * z + self.c)

    def dual(self, p):
        return duals.sin(p, self.a, self.b, _cos_2c(p, self.c))


@dataclass(frozen=True, repr=False)
class Cos(_Nonlinearity):
    """phi(z) = a cos(b z + c):  K' = a^2/2 (exp(-b^2 E(u-v)^2 / 2) + cos 2c exp(-b^2 E(u+v)^2 / 2)).

    Source
    ------
    docs/theory/duals.md#sin; Louart et al. 2018 (arXiv:1702.05419) table 1.
    """
    a: float = 1.
    b: float = 1.
    c: float = 0.

    def phi(self, xp, z):
        return self.a * xp.cos(self.b * z + self.c)

    def dual(self, p):
        return duals.sin(p, self.a, self.b, -_cos_2c(p, self.c))


def _cos_2c(p, c):
    """cos 2c in the precision of the pair."""
    return namespace(p.k, c).cos(2 * c + 0 * p.q1)


@dataclass(frozen=True, repr=False)
class Rbf(_Nonlinearity):
    """phi(z) = sqrt 2 sin(sqrt(2 gamma) z + pi/4):  K' = exp(-gamma (q + q' - 2 K)).

    Source
    ------
    Rahimi & Recht 2007 (Random features for large-scale kernel machines); docs/theory/duals.md#rbf.
    """
    gamma: float = 1.

    def phi(self, xp, z):
        return 2 ** .5 * xp.sin((2 * self.gamma) ** .5 * z + xp.pi / 4)

    def dual(self, p):
        return duals.rbf(p, self.gamma)


@dataclass(frozen=True, repr=False)
class Exp(_Nonlinearity):
    """phi(z) = a exp(b z):  K' = a^2 exp(b^2 ((q + q') / 2 + K)).

    Source
    ------
    docs/theory/duals.md#exp.
    """
    a: float = 1.
    b: float = 1.

    def phi(self, xp, z):
        return self.a * xp.exp(self.b * z)

    def dual(self, p):
        return duals.exp(p, self.a, self.b)


@dataclass(frozen=True, repr=False)
class ExpNormalized(_Nonlinearity):
    """K' = sqrt(q q') exp(gamma (K / sqrt(q q') + shift)): a kernel without a finite network.

    Parameters
    ----------
    gamma, shift : float
    do_clip : bool          clip K / sqrt(q q') to [-1, 1].

    Raises
    ------
    NotImplementedError : `apply_fn`.

    Source
    ------
    Shankar et al. 2020 (arXiv:2003.02237); docs/theory/duals.md#exp-normalized.
    """
    gamma: float = 1.
    shift: float = -1.
    do_clip: bool = False

    def apply(self, params, x, rng=None):
        raise NotImplementedError(f'{self!r} is a kernel without a finite network; use kernel_fn.')

    def dual(self, p):
        return duals.exp_normalized(p, self.gamma, self.shift, self.do_clip)


# ------------------------------------------------------------------ polynomials

class _Power(_Nonlinearity):
    """phi(z) = sum_k coef[k] z^k / norm; a subclass gives `coef` and `norm2`, the square of norm."""
    norm2 = 1

    def phi(self, xp, z):
        value = 0 * z
        for c in reversed(self.coef):
            value = value * z + c
        return value / self.norm2 ** .5

    def dual(self, p):
        cov, slope = duals.polynomial(p, self.coef)
        return Cov(cov.k / self.norm2, cov.gap / self.norm2), slope / self.norm2


@dataclass(frozen=True, repr=False)
class Polynomial(_Power):
    """phi(z) = sum_k coef[k] z^k.

    Source
    ------
    Daniely et al. 2016 (arXiv:1602.05897) section 8; docs/theory/duals.md#polynomial.
    """
    coef: tuple

    def __post_init__(self):
        object.__setattr__(self, 'coef', tuple(as_number(c, 'Polynomial: coef') for c in self.coef))


@dataclass(frozen=True, repr=False)
class Monomial(_Power):
    """phi(z) = z^n.

    Parameters
    ----------
    degree : int            n >= 0.

    Source
    ------
    Isserlis 1918; docs/theory/duals.md#polynomial.
    """
    degree: int

    def __post_init__(self):
        _check_degree(self)

    @property
    def coef(self):
        return (*[0] * self.degree, 1)


@dataclass(frozen=True, repr=False)
class Hermite(_Power):
    """phi(z) = He_n(z) / sqrt(n!), the probabilists' polynomial:  K' = K^n at unit variances, exact at all others too.

    Parameters
    ----------
    degree : int            n >= 0.

    Source
    ------
    Daniely et al. 2016 (arXiv:1602.05897) section 8; docs/theory/duals.md#polynomial.
    """
    degree: int

    def __post_init__(self):
        _check_degree(self)

    @property
    def norm2(self):
        return factorial(self.degree)

    @property
    def coef(self):
        """He_n:  He_(m+1) = z He_m - m He_(m-1)."""
        last, he = [0], [1]
        for m in range(self.degree):
            last, he = he, [a - m * b for a, b in zip([0, *he], [*last, 0, 0])]
        return tuple(he)


def _check_degree(layer):
    if not isinstance(layer.degree, int) or layer.degree < 0:
        raise ValueError(f'{layer.name}: expected a degree 0, 1, 2, ...; got {layer.degree!r}.')


# ------------------------------------------------------------------ functions of the user

@dataclass(frozen=True, repr=False)
class Elementwise(_Nonlinearity):
    """phi = fn with the dual activation given as a function.

    Parameters
    ----------
    fn : callable, optional             phi, elementwise, for `apply_fn`.
    nngp_fn : callable, optional        (K, q, q') -> E[phi(u) phi(v)], elementwise, arrays of equal shape.
    d_nngp_fn : callable, optional      the same for E[phi'(u) phi'(v)]. None: the derivative of nngp_fn with respect to
                                        K by autograd; nngp_fn must then compute with autograd.numpy.

    Raises
    ------
    ValueError : neither fn nor nngp_fn; a derivative that autograd cannot see.
    NotImplementedError : `apply_fn` without fn, `kernel_fn` without nngp_fn.

    Source
    ------
    Price's theorem: docs/theory/duals.md#price.
    """
    fn: Callable | None = None
    nngp_fn: Callable | None = None
    d_nngp_fn: Callable | None = None

    def __post_init__(self):
        if self.fn is None and self.nngp_fn is None:
            raise ValueError('Elementwise: expected fn or nngp_fn or both, got neither.')

    def phi(self, xp, z):
        if self.fn is None:
            raise NotImplementedError(f'{self!r} has no finite network: give fn.')
        return self.fn(z)

    def dual(self, p):
        if self.nngp_fn is None:
            raise NotImplementedError(f'{self!r} has no kernel: give nngp_fn, or use ElementwiseNumerical.')
        d_nngp_fn = self.d_nngp_fn or derivative(self.nngp_fn)
        args = p.k, p.q1 + 0 * p.k, p.q2 + 0 * p.k
        return Cov(self.nngp_fn(*args)), d_nngp_fn(*args)


@dataclass(frozen=True, repr=False)
class ElementwiseNumerical(_Nonlinearity):
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
    fn: Callable
    deg: int | None = None
    df: Callable | None = None

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
