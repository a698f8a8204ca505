"""What training does to an infinitely wide network: kernels in, predictions and their covariances out."""
from .closed_form import gradient_descent_mse, max_learning_rate
from .factor import NotPSDError
from .flow import NotReachedError, ODEState, gradient_descent
from .gaussian import Gaussian, gp_inference, gradient_descent_mse_ensemble
from .iterative import NotConvergedError, Solution, State, cg
from .iterative_gaussian import gp_inference_iterative
from .ode import Stats
from .out_of_core import ComputedKernel

__all__ = ['ComputedKernel', 'Gaussian', 'NotConvergedError', 'NotPSDError', 'NotReachedError', 'ODEState', 'Solution',
           'State', 'Stats', 'cg', 'gp_inference', 'gp_inference_iterative', 'gradient_descent', 'gradient_descent_mse',
           'gradient_descent_mse_ensemble', 'max_learning_rate']
