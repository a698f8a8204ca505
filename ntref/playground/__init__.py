"""A page to play with, in the browser of this machine: `ntref playground`."""
from .server import Server
from .state import State

__all__ = ['Server', 'State']
