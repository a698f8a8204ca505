"""Smooth nonlinearities whose dual activation has a closed form: Erf, Gelu, Sin, Exp, polynomials."""
from dataclasses import dataclass
from math import factorial
from typing import Any

from ... import duals
from ...arguments import as_number, as_whole
from ...arrays import exact, namespace, root_like, untraced
from ...duals import generic
from ...duals.geometry import Cov
from ...duals.pair import Pair
from ...no_arrays import check_entries
from ...types import Array, Seed, Tree
from .nonlinearity import Nonlinearity

__all__ = [
    'Cos', 'Erf', 'Exp', 'ExpNormalized', 'Gabor', 'Gaussian', 'Gelu', 'Hermite', 'Monomial',
    'Polynomial', 'Rbf', 'Sigmoid_like', 'Sin',
]


# ------------------------------------------------------------------ sigmoid and bump shaped

@dataclass(frozen=True, repr=False)
class Erf(Nonlinearity):
    r"""phi(z) = a erf(b z) + c.

    .. math::
        K' = \frac{2 a^2}{\pi} \arcsin \frac{2 b^2 K}{\sqrt{(1 + 2 b^2 q)(1 + 2 b^2 q')}} + c^2

    Source
    ------
    Williams 1997 (Computing with infinite networks) eq. 11; docs/theory/duals.md#erf.
    """
    is_one_formula = True
    phi_formula = r'a\,\mathrm{erf}(b z) + c'
    dual_formula = (
        r"K_+ = \frac{2 a^2}{\pi} \arcsin(\frac{2 b^2 K}{\sqrt{(1 + 2 b^2 q)(1 + 2 b^2 q')}}) + c^2,\quad "
        r"\Theta_+ = \frac{4 a^2 b^2}{\pi \sqrt{D}} \Theta,\quad D = (1 + 2 b^2 q)(1 + 2 b^2 q') - 4 b^4 K^2")
    a: float = 1.
    b: float = 1.
    c: float = 0.

    def phi(self, xp: Any, z: Array) -> Array:
        return self.a * xp.erf(self.b * z) + self.c

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.erf(p, self.a, self.b, self.c)

    def fused_generic(self, p, ntk):
        return generic.erf(p, ntk, self.a, self.b, self.c)


@dataclass(frozen=True, repr=False)
class Sigmoid_like(Nonlinearity):
    """phi(z) = (1 + erf(z / 2.4020563531719796)) / 2, close to 1 / (1 + exp(-z)).

    Source
    ------
    `Erf` with a = 0.5, b = 1 / 2.4020563531719796, c = 0.5.
    """
    is_one_formula = True
    phi_formula = r'a\,\mathrm{erf}(b z) + c,\quad a = c = 1 / 2,\quad b = 1 / 2.402'
    slopes = .5, 1 / 2.4020563531719796, .5

    def phi(self, xp: Any, z: Array) -> Array:
        a, b, c = exact(self.slopes, z)
        return a * xp.erf(b * z) + c

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.erf(p, *exact(self.slopes, p.k))

    def fused_generic(self, p, ntk):
        return generic.erf(p, ntk, *self.slopes)


@dataclass(frozen=True, repr=False)
class Gelu(Nonlinearity):
    """phi(z) = z Phi(z), with Phi the standard normal distribution function.

    Parameters
    ----------
    approximate : bool      True if the finite network uses the tanh form; the kernel is that of the exact function.

    Source
    ------
    Tsuchida et al. 2021 (arXiv:2002.08517); docs/theory/duals.md#gelu.
    """
    is_one_formula = True
    phi_formula = r'z\,\Phi(z)'
    approximate: bool = False

    def phi(self, xp: Any, z: Array) -> Array:
        if self.approximate:
            return z * (1 + xp.tanh(root_like(2 / xp.pi, z) * (z + exact(.044715, z) * z ** 3))) / 2
        return z * (1 + xp.erf(z / root_like(2, z))) / 2

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.gelu(p)

    def fused_generic(self, p, ntk):
        return generic.gelu(p, ntk)


@dataclass(frozen=True, repr=False)
class Gaussian(Nonlinearity):
    """phi(z) = a exp(b z^2):  K' = a^2 / sqrt((1 - 2 b q)(1 - 2 b q') - 4 b^2 K^2).

    Raises
    ------
    ValueError : b > 0 and a variance q >= 1 / (4 b), where E[phi^2] is infinite.

    Source
    ------
    docs/theory/duals.md#gaussian.
    """
    phi_formula = r'a \exp(b z^2)'
    dual_formula = (
        r'K_+ = \frac{a^2}{\sqrt{D}},\quad \Theta_+ = \frac{4 a^2 b^2 K}{D^{3/2}} \Theta,\quad '
        "D = (1 - 2 b q)(1 - 2 b q') - 4 b^2 K^2")
    a: float = 1.
    b: float = -1.

    def phi(self, xp: Any, z: Array) -> Array:
        return self.a * xp.exp(self.b * z * z)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.gaussian(p, self.a, self.b)

    def fused_generic(self, p, ntk):
        return generic.gaussian(p, ntk, self.a, self.b)


@dataclass(frozen=True, repr=False)
class Gabor(Nonlinearity):
    """phi(z) = exp(-z^2) sin z.

    Source
    ------
    docs/theory/duals.md#gabor.
    """
    is_one_formula = True
    phi_formula = r'\exp(-z^2) \sin z'

    def phi(self, xp: Any, z: Array) -> Array:
        return xp.exp(-z * z) * xp.sin(z)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.gabor(p)

    def fused_generic(self, p, ntk):
        return generic.gabor(p, ntk)


# ------------------------------------------------------------------ trigonometric and exponential

@dataclass(frozen=True, repr=False)
class Sin(Nonlinearity):
    """phi(z) = a sin(b z + c):  K' = a^2/2 (exp(-b^2 E(u-v)^2 / 2) - cos 2c exp(-b^2 E(u+v)^2 / 2)).

    Source
    ------
    docs/theory/duals.md#sin; Louart et al. 2018 (arXiv:1702.05419) table 1.
    """
    is_one_formula = True
    phi_formula = r'a \sin(b z + c)'
    dual_formula = (
        r'K_+ = \frac{a^2}{2} (e_1 - e_2 \cos(2 c)),\quad '
        r'\Theta_+ = \frac{a^2 b^2}{2} (e_1 + e_2 \cos(2 c)) \Theta,\quad '
        r"e_1 = \exp(-b^2 g / 2),\quad e_2 = \exp(-b^2 (q + q' + 2 K) / 2)")
    a: float = 1.
    b: float = 1.
    c: float = 0.

    def phi(self, xp: Any, z: Array) -> Array:
        return self.a * xp.sin(self.b * z + self.c)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.sin(p, self.a, self.b, self._cos_2c(p))

    def fused_generic(self, p, ntk):
        return generic.sin(p, ntk, self.a, self.b, self._cos_2c(p))

    def _cos_2c(self, p):
        """Return cos 2c for the phase c, in the precision of the pair."""
        return namespace(p.k, self.c).cos(2 * self.c + 0 * untraced(p.q1))


@dataclass(frozen=True, repr=False)
class Cos(Sin):
    """phi(z) = a cos(b z + c), `Sin` at the phase c + pi/2: the other sign of cos 2c.

    Source
    ------
    docs/theory/duals.md#sin; Louart et al. 2018 (arXiv:1702.05419) table 1.
    """
    phi_formula = r'a \cos(b z + c)'
    dual_formula = (
        r'K_+ = \frac{a^2}{2} (e_1 + e_2 \cos(2 c)),\quad '
        r'\Theta_+ = \frac{a^2 b^2}{2} (e_1 - e_2 \cos(2 c)) \Theta,\quad '
        r"e_1 = \exp(-b^2 g / 2),\quad e_2 = \exp(-b^2 (q + q' + 2 K) / 2)")

    def phi(self, xp: Any, z: Array) -> Array:
        return self.a * xp.cos(self.b * z + self.c)

    def _cos_2c(self, p):
        return -super()._cos_2c(p)


@dataclass(frozen=True, repr=False)
class Rbf(Nonlinearity):
    """phi(z) = sqrt 2 sin(sqrt(2 gamma) z + pi/4):  K' = exp(-gamma (q + q' - 2 K)).

    Source
    ------
    Rahimi & Recht 2007 (Random features for large-scale kernel machines); docs/theory/duals.md#rbf.
    """
    is_one_formula = True
    phi_formula = r'\sqrt{2} \sin(\sqrt{2 \gamma} z + \pi / 4)'
    dual_formula = r'K_+ = \exp(-\gamma g),\quad \Theta_+ = 2 \gamma K_+ \Theta'
    gamma: float = 1.

    def __post_init__(self):
        super().__post_init__()
        if not self.gamma >= 0:
            raise ValueError(f'Rbf: expected gamma >= 0, got {self.gamma}.')

    def phi(self, xp: Any, z: Array) -> Array:
        return root_like(2, z) * xp.sin(root_like(2 * self.gamma, z) * z + xp.pi / 4)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.rbf(p, self.gamma)

    def fused_generic(self, p, ntk):
        return generic.rbf(p, ntk, self.gamma)


@dataclass(frozen=True, repr=False)
class Exp(Nonlinearity):
    """phi(z) = a exp(b z):  K' = a^2 exp(b^2 ((q + q') / 2 + K)).

    Source
    ------
    docs/theory/duals.md#exp.
    """
    is_one_formula = True
    phi_formula = r'a \exp(b z)'
    dual_formula = r"K_+ = a^2 \exp(b^2 (q + q' + 2 K) / 2),\quad \Theta_+ = b^2 K_+ \Theta"
    a: float = 1.
    b: float = 1.

    def phi(self, xp: Any, z: Array) -> Array:
        return self.a * xp.exp(self.b * z)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.exp(p, self.a, self.b)

    def fused_generic(self, p, ntk):
        return generic.exp(p, ntk, self.a, self.b)


@dataclass(frozen=True, repr=False)
class ExpNormalized(Nonlinearity):
    """K' = sqrt(q q') exp(gamma (K / sqrt(q q') + shift)): a kernel without a finite network.

    Parameters
    ----------
    gamma, shift : float
    do_clip : bool          clip K / sqrt(q q') to [-1, 1].

    Accuracy
    --------
    At an input that is zero, the kernel has a kink and no gradient; derivatives there are returned as 0.

    Raises
    ------
    NotImplementedError : `apply_fn`.

    Source
    ------
    Shankar et al. 2020 (arXiv:2003.02237); docs/theory/duals.md#expnormalized.
    """
    is_one_formula = True
    dual_formula = (
        r"K_+ = \sqrt{q q'} e,\quad \Theta_+ = \gamma e \Theta,\quad e = \exp(\gamma (\cos\theta + \mathrm{shift}))")
    gamma: float = 1.
    shift: float = -1.
    do_clip: bool = False

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, **given: Any) -> Array:
        raise NotImplementedError(f'{self!r} is a kernel without a finite network; use kernel_fn.')

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.exp_normalized(p, self.gamma, self.shift, self.do_clip)

    def fused_generic(self, p, ntk):
        return generic.exp_normalized(p, ntk, self.gamma, self.shift)


# ------------------------------------------------------------------ polynomials

class _Power(Nonlinearity, abstract=True):
    """phi(z) = sum_k coef[k] z^k / norm; a subclass gives `coef` and `norm2`, the square of norm."""
    is_one_formula = True
    coef: Any
    norm2: Any = 1

    def phi(self, xp: Any, z: Array) -> Array:
        value = 0 * z
        for c in reversed(self.coef):
            value = value * z + c
        return value / root_like(self.norm2, z)

    def dual(self, p: Pair) -> tuple[Cov, Array]:
        return duals.polynomial(p, self.coef, self.norm2)

    def fused_generic(self, p, ntk):
        return generic.polynomial(p, ntk, self.coef, self.norm2)


@dataclass(frozen=True, repr=False)
class Polynomial(_Power):
    """phi(z) = sum_k coef[k] z^k.

    Source
    ------
    Daniely et al. 2016 (arXiv:1602.05897) section 8; docs/theory/duals.md#polynomial.
    """
    phi_formula = r'\sum_k c_k z^k'
    coef: tuple

    def __post_init__(self):
        check_entries(self.coef, 'Polynomial: coef')
        if not isinstance(self.coef, (tuple, list)) and not getattr(self.coef, 'shape', ()):
            raise TypeError(
                f'Polynomial: coef is expected to be a sequence of numbers, got {self.coef!r}.')
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
    phi_formula = 'z^n'
    degree: int

    def __post_init__(self):
        object.__setattr__(self, 'degree', as_whole(self.degree, f'{self.name}: degree', 0))

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
    phi_formula = r'\mathrm{He}_n(z) / \sqrt{n!}'
    degree: int

    def __post_init__(self):
        object.__setattr__(self, 'degree', as_whole(self.degree, f'{self.name}: degree', 0))

    @property
    def norm2(self):
        return factorial(self.degree)

    @property
    def coef(self):
        """The coefficients of He_n, by the recursion He_(m+1) = z He_m - m He_(m-1)."""
        last = [0]
        he = [1]
        for m in range(self.degree):
            new = [a - m * b for a, b in zip([0, *he], [*last, 0, 0])]
            last = he
            he = new
        return tuple(he)
