"""ntref: infinitely wide neural networks in NumPy and SciPy, with CuPy on a GPU and autograd for derivatives."""
from . import predict, stax
from .engine import batch, load_kernel, save_kernel
from .kernel import Kernel
from .taylor import linearize, taylor_expand

__all__ = ['Kernel', 'batch', 'linearize', 'load_kernel', 'predict', 'save_kernel', 'stax', 'taylor_expand']
__version__ = '0.1.0'
