"""Probabilities of classes from outputs: softmax at the temperature at which left out labels are most likely."""
from importlib import import_module

import numpy

__all__ = ['temperature']

LEAST, MOST = 1e-3, 1e3


def temperature(f: numpy.ndarray, targets: numpy.ndarray) -> float:
    r"""Return T that minimizes the log loss of softmax(f / T), between 1e-3 and 1e3.

    .. math:: T = \arg\min_T - \sum_{ic} q_{ic} \log \operatorname{softmax}(f_i / T)_c, \qquad
        q_{ic} = \frac{n y_{ic} + 1}{n + \text{classes}}

    Parameters
    ----------
    f, targets : arrays (n, classes), outputs for inputs whose labels they do not know, and one-hot labels y.

    Notes
    -----
    The targets q are those of Laplace's rule of succession, as if each label were seen once with each class: where all
    inputs are classified rightly T would be 0 without it. The loss is convex in 1/T.

    Source
    ------
    Guo et al. 2017 (arXiv:1706.04599); Platt 1999 for q.

    Examples
    --------
    >>> round(temperature(numpy.array([[1., 0.], [1., 0.], [1., 0.]]), numpy.eye(2)[[0, 0, 1]]), 2)      # 1 / log 1.5
    2.47
    """
    n, classes = targets.shape
    q = (n * targets + 1) / (n + classes)

    def loss(log_T):
        p = f / numpy.exp(log_T)
        return (numpy.logaddexp.reduce(p, axis=1) - (q * p).sum(1)).sum()
    bounds = numpy.log([LEAST, MOST])
    found = import_module('scipy.optimize').minimize_scalar(loss, bounds=bounds, method='bounded',
                                                            options={'xatol': 1e-6})
    return float(numpy.exp(found.x))
