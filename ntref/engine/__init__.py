"""How kernels on many inputs are computed: tile by tile."""
from .tiles import in_tiles

__all__ = ['in_tiles']
