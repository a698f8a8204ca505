"""Infinitely wide networks as estimators of scikit-learn: regression, classes with probabilities, and a kernel."""
import warnings
from importlib import import_module

try:
    import_module('sklearn')
except ImportError as e:
    raise ImportError("expected scikit-learn for ntref.estimators, got none. In a checkout of ntref: pip install "
                      "'.[sklearn]'") from e
from .classifiers import NNGPClassifier, NTKClassifier
from .kept import load_estimator, save_estimator
from .kernel import NetworkKernel
from .regressors import NNGPRegressor, NTKRegressor

__all__ = ['NNGPClassifier', 'NNGPRegressor', 'NTKClassifier', 'NTKRegressor', 'NetworkKernel',
           'load_estimator', 'save_estimator']

# scikit-learn reads the docstrings of estimators that a notebook shows, and says what sections it does not know
warnings.filterwarnings('ignore', 'Unknown section (Accuracy|Source)', UserWarning, r'sklearn\.externals')
