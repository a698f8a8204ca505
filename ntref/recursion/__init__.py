"""The recursion: its state, what describes it, where it starts, and how it runs, whole or a tile at a time."""
from .kernel import Kernel
from .signal import Axes, Demand, Signal

__all__ = ['Axes', 'Demand', 'Kernel', 'Signal']
