"""Computation of kernels on many inputs: tile by tile, on threads, in memory or on disk."""
from .batch import batch
from .run import in_threads
from .store import StoredKernel

__all__ = ['StoredKernel', 'batch', 'in_threads']
