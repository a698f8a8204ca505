"""Finite networks drawn at random: those of `ntref.testing`."""
from ntref.testing import LEVEL, chance, check_mean, draws, empirical_ntk, second_moment

__all__ = ['LEVEL', 'chance', 'check_mean', 'draws', 'empirical_ntk', 'second_moment']
