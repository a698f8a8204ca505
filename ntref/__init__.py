"""ntref: infinitely wide neural networks in NumPy and SciPy, with CuPy on a GPU and autograd for derivatives."""
from . import classic, predict, stax
from .arguments import unknown_name
from .empirical import NtkImplementation, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn
from .empirical.monte_carlo import monte_carlo_kernel_fn
from .empirical.taylor import linearize, taylor_expand
from .engine import batch
from .keep import load_kernel, save_kernel
from .recursion.kernel import Kernel

__all__ = ['Kernel', 'NtkImplementation', 'batch', 'classic', 'empirical_kernel_fn', 'empirical_nngp_fn',
           'empirical_ntk_fn', 'empirical_ntk_vp_fn', 'linearize', 'load_kernel', 'monte_carlo_kernel_fn', 'predict',
           'save_kernel', 'stax', 'taylor_expand']
__version__ = '0.1.0'
__getattr__ = unknown_name(__name__, {
    **dict.fromkeys(stax.__all__, 'It is in ntref.stax.'), **dict.fromkeys(predict.__all__, 'It is in ntref.predict.'),
    **{name: f'Write import ntref.{name}.' for name in ('oracle', 'plot', 'testing', 'quadrature', 'estimators')},
    'utils': 'Its functions are public: batch, empirical_ntk_fn, monte_carlo_kernel_fn.',
    'get_ker_fun_mc': 'Take monte_carlo_kernel_fn.',
    'ntk': 'Take kernel_fn(x1, x2, "ntk") of a network of stax, or empirical_ntk_fn of a finite one.',
})
