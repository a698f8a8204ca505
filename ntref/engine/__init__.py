"""How kernels on many inputs are computed: tile by tile."""
from .tiles import in_threads

__all__ = ['in_threads']
