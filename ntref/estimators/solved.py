"""What an estimator keeps of its training set: the kernel factored in memory, or on disk and solved by iterations."""
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

import numpy

from ..predict.bayes import evidence, left_out
from ..predict.closed_form import Training, flow_test
from ..predict.gaussian import Gaussian, WHICH, predict
from ..predict.iterative_gaussian import gp_inference_iterative
from ..predict.layout import time

__all__ = ['InMemory', 'OnDisk']


class InMemory:
    """Targets (n, o) solved with the kernels in memory; `get` is 'nngp' or 'ntk', `t` None for infinite time.

    Attributes
    ----------
    alpha : array (n, o), the mean of predictions is K_*t alpha.
    noise : float, what diag_reg adds to the diagonal of the kernel; None if it differs from input to input.
    """

    def __init__(self, get: str, kernels: dict[str, numpy.ndarray], y: numpy.ndarray, diag_reg: Any, t: Any):
        own = kernels[get]
        by_input = numpy.ndim(diag_reg) > 0
        if by_input:
            own = own + numpy.diag(diag_reg * own.trace() / len(own))
        every = kernels | {get: own}
        self.get = get
        self.train = {name: Training(k, y, 0. if by_input else diag_reg, False, (-1,)) for name, k in every.items()}
        self.of = self.train[get]
        self.tau = time(t, 1., y)
        if self.tau is not None and self.tau.shape:
            raise ValueError(f'expected t to be one time, got {t!r:.100}.')
        self.noise = None if by_input else float(self.of.a.shift)
        a = self.of.a
        self.alpha = a.solve(self.of.y) if self.tau is None else flow_test(a, numpy.eye(a.n), self.of.y, self.tau)
        a.announce(self.of.y, self.tau, WHICH[get])

    def parts(self) -> dict[str, Any]:
        """Return what a file needs, as a tree of numbers, text and arrays."""
        train = {name: train.parts() for name, train in self.train.items()}
        return {'get': self.get, 'train': train, 'tau': self.tau, 'noise': self.noise, 'alpha': self.alpha}

    @classmethod
    def of_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Return what gave these `parts`; raise ValueError if they do not go together."""
        new = object.__new__(cls)
        new.get = parts['get']
        new.train = {name: Training.of_parts(of) for name, of in parts['train'].items()}
        new.of = new.train[new.get]
        new.tau = parts['tau']
        new.noise = parts['noise']
        new.alpha = parts['alpha']
        if new.alpha.shape != new.of.y.shape:
            raise ValueError(f'expected a solution of the shape of the targets, {new.of.y.shape}, got '
                             f'{new.alpha.shape}.')
        return new

    def gaussian(self, k_test_train: dict[str, Any], k_test_test: Any) -> Gaussian:
        """Return mean (m, o) and covariance (m, m); the kernels test x train by name, the NNGP test x test."""
        return predict(self.get, self.train, self.tau, SimpleNamespace(**k_test_train), k_test_test)

    def variance(self, k_test_train: dict[str, Any], k_test_test: Any) -> numpy.ndarray:
        """Return the variances (m,)."""
        return self.gaussian(k_test_train, k_test_test).covariance.diagonal()

    def left_out(self) -> numpy.ndarray:
        """Return the mean (n, o) of each input's targets given those of all others."""
        return left_out(self.of.a, self.of.y, 1)[0]

    @property
    def log_marginal_likelihood(self) -> float:
        """log p(y) of the Gaussian process whose covariance is this kernel."""
        return float(evidence(self.of.a, self.of.y))


@dataclass(frozen=True)
class OnDisk:
    """Targets solved with the kernels in a store, by conjugate gradients."""

    get: str
    noise: float
    alpha: numpy.ndarray
    predict_fn: Any

    @classmethod
    def solved(cls, get: str, kernels: dict[str, Any], y: numpy.ndarray, diag_reg: float) -> 'OnDisk':
        """Return the solution."""
        predict_fn = gp_inference_iterative(SimpleNamespace(**kernels), y, diag_reg)
        train = predict_fn.trained(get)
        return cls(get, float(train.system.shift), train.solution(), predict_fn)

    def gaussian(self, k_test_train: dict[str, Any], k_test_test: Any) -> Gaussian:
        """Return mean (m, o) and covariance (m, m), or variances (m,) if `k_test_test` is a diagonal."""
        return self.predict_fn(self.get, SimpleNamespace(**k_test_train), k_test_test)

    def variance(self, k_test_train: dict[str, Any], k_test_test: Any) -> numpy.ndarray:
        """Return the variances (m,)."""
        return self.gaussian(k_test_train, k_test_test.diagonal()).covariance

    @property
    def log_marginal_likelihood(self) -> float:
        """Raise AttributeError: iterations know no determinant."""
        raise AttributeError('expected out=None for the log marginal likelihood, whose determinant iterations do not '
                             'know.')
