"""ntref: infinitely wide neural networks in NumPy and SciPy, with CuPy on a GPU and autograd for derivatives."""
from . import classic, predict, stax
from .empirical import (
    NtkImplementation, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn)
from .engine import batch, load_kernel, save_kernel
from .kernel import Kernel
from .monte_carlo import monte_carlo_kernel_fn
from .taylor import linearize, taylor_expand

__all__ = ['Kernel', 'NtkImplementation', 'batch', 'classic', 'empirical_kernel_fn', 'empirical_nngp_fn',
           'empirical_ntk_fn', 'empirical_ntk_vp_fn', 'linearize', 'load_kernel', 'monte_carlo_kernel_fn', 'predict',
           'save_kernel', 'stax', 'taylor_expand']
__version__ = '0.1.0'
