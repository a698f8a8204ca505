"""Contracts for layers of this library and of its users: `check_layer`, and the functions that it is made of.

`import ntref` does not load this package.
"""
from .check import CONTRACTS, check_layer
from .comparing import (
    EPS_MULTIPLES, assert_close, axes_of, compare, laid_out, ntk_scale, scale, taken, variances)
from .finite import LEVEL, chance, check_mean, draws, empirical_ntk, second_moment

__all__ = ['check_layer', 'CONTRACTS', 'EPS_MULTIPLES', 'LEVEL', 'assert_close', 'axes_of',
           'chance', 'check_mean', 'compare', 'draws', 'empirical_ntk', 'laid_out', 'ntk_scale',
           'scale', 'second_moment', 'taken', 'variances']
