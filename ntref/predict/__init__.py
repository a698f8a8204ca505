"""What training does to an infinitely wide network: kernels in, predictions and their covariances out."""
from .closed_form import gradient_descent_mse
from .discrete import gradient_descent_mse_steps, max_learning_rate
from .factor import NotPSDError
from .gaussian import Gaussian, gp_inference, gradient_descent_mse_ensemble
from .iterative import NotConvergedError, Solution, State, cg
from .iterative_gaussian import gp_inference_iterative
from .kernel_gradient import KernelGradient, kernel_gradient
from .out_of_core import ComputedKernel

__all__ = ['ComputedKernel', 'Gaussian', 'KernelGradient', 'NotConvergedError', 'NotPSDError', 'Solution', 'State',
           'cg', 'gp_inference', 'gp_inference_iterative', 'gradient_descent_mse', 'gradient_descent_mse_ensemble',
           'gradient_descent_mse_steps', 'kernel_gradient', 'max_learning_rate']
