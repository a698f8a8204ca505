"""What training does to an infinitely wide network: kernels in, predictions and their covariances out."""
from .closed_form import gradient_descent_mse, max_learning_rate
from .factor import NotPSDError
from .gaussian import Gaussian, gp_inference, gradient_descent_mse_ensemble

__all__ = ['Gaussian', 'NotPSDError', 'gp_inference', 'gradient_descent_mse', 'gradient_descent_mse_ensemble',
           'max_learning_rate']
