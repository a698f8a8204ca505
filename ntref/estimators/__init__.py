"""Infinitely wide networks as estimators of scikit-learn: regression, classes with probabilities, and a kernel."""
from .regressors import NNGPRegressor, NTKRegressor

__all__ = ['NNGPRegressor', 'NTKRegressor']
