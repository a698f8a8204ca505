r"""E[f(u) g(v)] for centred Gaussian (u, v): the reference values behind every dual activation.

Notation: :math:`u = \sqrt{q_1}\,x`, :math:`v = \sqrt{q_2}\,(\rho x + \sigma y)` with independent standard normal x, y,
:math:`\rho = k/\sqrt{q_1 q_2}`, :math:`\sigma = \sqrt{1 - \rho^2}`, and :math:`\varphi` the standard normal density.

1.  Each function is cut into *panels* on which it is a polynomial of degree below 16 to the tolerance. Kinks and
    jumps are ends of panels: named ones from the start, others once bisection has closed in on them.
2.  Mehler's series: :math:`E[fg] = \sum_n r_n s_n \rho^n`, where :math:`r_n, s_n` are the coefficients of
    :math:`f(\sqrt{q_1} x), g(\sqrt{q_2} x)` in orthonormal Hermite polynomials :math:`He_n/\sqrt{n!}`. It takes one
    expansion for each *distinct* variance and a few flops for each entry, and bounds rigorously what is left out.
3.  Entries whose series is too long (kinks and steep functions at :math:`|\rho| \to 1`) take adaptive Gauss-Legendre
    quadrature of :math:`\int \varphi(x) f(\sqrt{q_1} x) E_y[g] dx` on both functions' panels.
"""
from .expectation import KINKS, Expectation, expectation, kinks_of, mean
from .kinks import around, is_constant_in_parts, jumps
from .panels import QuadratureError, gauss_hermite

__all__ = [
    'KINKS', 'Expectation', 'QuadratureError', 'around', 'expectation', 'gauss_hermite',
    'is_constant_in_parts', 'jumps', 'kinks_of', 'mean']
