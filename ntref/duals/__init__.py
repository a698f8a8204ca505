"""Dual activations: the covariance of a nonlinearity's outputs for a pair of Gaussians, with its slope, gap and area.

`Pair` and `Cov` are the pair and its covariance; the functions are the closed forms, for arrays of any shape.
"""
from .closed_form import (
    abrelu, erf, exp, exp_normalized, gabor, gaussian, gelu, polynomial, rbf, rectified_monomial,
    sign, sin, step)
from .geometry import Cov
from .pair import Pair

__all__ = ['Cov', 'Pair', 'abrelu', 'erf', 'exp', 'exp_normalized', 'gabor', 'gaussian', 'gelu',
           'polynomial', 'rbf', 'rectified_monomial', 'sign', 'sin', 'step']
