"""Training of infinitely wide networks: predictions and their covariances, computed from kernels."""
from ..arguments import unknown_name
from .bayes import LeaveOneOut, RidgeSweep, leave_one_out, log_marginal_likelihood, ridge_sweep
from .closed_form import gradient_descent_mse
from .discrete import gradient_descent_mse_steps, max_learning_rate
from .ensemble import gradient_descent_mse_ensemble
from .factor import NegativeVarianceError, NotPSDError, SingularKernelWarning
from .flow import NotReachedError, ODEState, gradient_descent
from .gaussian import Gaussian, gp_inference
from .hyperparameters import Fit, FitError, fit_hyperparameters
from .iterative import NotConvergedError, Solution, State, cg
from .iterative_gaussian import gp_inference_iterative
from .kernel_gradient import KernelGradient, kernel_gradient
from .laplace import laplace_inference
from .network_evidence import log_marginal_likelihood_gradient
from .ode import Stats
from .out_of_core import ComputedKernel
from .sampling import sample

__all__ = [
    'ComputedKernel', 'Fit', 'FitError', 'Gaussian', 'KernelGradient', 'LeaveOneOut',
    'NegativeVarianceError', 'NotConvergedError', 'NotPSDError', 'NotReachedError', 'ODEState',
    'RidgeSweep', 'SingularKernelWarning', 'Solution', 'State', 'Stats', 'cg',
    'fit_hyperparameters', 'gp_inference', 'gp_inference_iterative', 'gradient_descent',
    'gradient_descent_mse', 'gradient_descent_mse_ensemble', 'gradient_descent_mse_steps',
    'kernel_gradient', 'laplace_inference', 'leave_one_out', 'log_marginal_likelihood',
    'log_marginal_likelihood_gradient', 'max_learning_rate', 'ridge_sweep', 'sample']

__getattr__ = unknown_name(__name__, {
    'gp_inference_fn': 'Take gp_inference.',
    'gradient_descent_mse_gp': 'Take gradient_descent_mse_ensemble.',
    'gradient_descent_mse_ensemble_fn': 'Take gradient_descent_mse_ensemble.',
})
