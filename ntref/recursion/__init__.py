"""The recursion over layers: its state, the descriptions of the state, its start, and how it runs whole or in tiles."""
from .kernel import Kernel
from .signal import Axes, Demand, Signal

__all__ = ['Axes', 'Demand', 'Kernel', 'Signal']
