"""ntref: infinitely wide neural networks in NumPy and SciPy, with CuPy on a GPU and autograd for derivatives."""
from . import predict, stax
from .kernel import Kernel

__all__ = ['Kernel', 'predict', 'stax']
__version__ = '0.1.0'
