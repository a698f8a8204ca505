"""Infinitely wide networks as estimators of scikit-learn: regression, classes with probabilities, and a kernel."""
from .classifiers import NNGPClassifier, NTKClassifier
from .kernel import NetworkKernel
from .regressors import NNGPRegressor, NTKRegressor

__all__ = ['NNGPClassifier', 'NNGPRegressor', 'NTKClassifier', 'NTKRegressor', 'NetworkKernel']
