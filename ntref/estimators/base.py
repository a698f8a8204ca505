"""What estimators share: the network, inputs read and scaled, kernels block by block, and the training set solved."""
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from ..arguments import as_whole
from ..engine.batch import batch
from ..engine.cover import cuts
from ..engine.run import blas_for
from ..predict.ridge import chosen
from ..types import KernelFn
from .inputs import Scale, numbers_of, shape_of
from .networks import kernel_fn_of
from .ridges import given
from .solved import InMemory, OnDisk

__all__ = ['Kernels', 'NetworkEstimator']

MANY = 2048            # test inputs whose kernel with the training set is in memory at a time
FEW = 256              # the same where their kernel with themselves is needed, too
OWN = 64               # and where only its diagonal is


@dataclass(frozen=True)
class Kernels:
    """The kernels of a network by name, on `n_jobs` threads, within `memory_limit`; NaN marks what is masked."""

    kernel_fn: KernelFn
    n_jobs: int | None
    memory_limit: int | None

    def __call__(self, names: tuple[str, ...], x1: numpy.ndarray, x2: numpy.ndarray | None = None,
                 out: Any = None) -> dict[str, Any]:
        """Return {name: kernel of x1 with x2}, as matrices; in a store at `out`."""
        f = self.kernel_fn
        if any(option is not None for option in (self.n_jobs, self.memory_limit, out)):
            threads = -1 if self.n_jobs is None else self.n_jobs
            f = batch(f, device_count=threads, out=out, memory_limit=self.memory_limit)
        masks = any(numpy.isnan(x).any() for x in (x1, x2) if x is not None)
        found = f(x1, x2, names, **({'mask_constant': numpy.nan} if masks else {}))
        kernels = {name: getattr(found, name) for name in names}
        for name, k in kernels.items():
            if len(k.shape) != 2:
                raise ValueError(f'expected a network with one kernel entry for each pair of inputs, got {name} of '
                                 f'shape {k.shape}. End it in Flatten() or GlobalAvgPool(), and Dense(1).')
        return kernels

    def own(self, name: str, x: numpy.ndarray) -> numpy.ndarray:
        """Return the kernel of each input with itself, (n,)."""
        return numpy.concatenate([self((name,), x[some])[name].diagonal() for some in cuts(len(x), OWN)])


class NetworkEstimator(BaseEstimator):
    """Base of the estimators, which have the arguments as attributes. A subclass says which kernels it trains with."""

    get: ClassVar[str] = 'nngp'                           # the kernel of training
    names: ClassVar[tuple[str, ...]] = ('nngp',)          # and those of predictions
    solved_: Any                                          # an InMemory, or an OnDisk

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.has_positions
        return tags

    @property
    def has_positions(self) -> bool:
        """True for inputs with more than one axis, of which positions may be masked."""
        return self.input_shape is not None and numpy.size(self.input_shape) > 1

    def _learn_inputs(self, X: Any, y: Any, **options: Any) -> tuple[numpy.ndarray, Any]:
        """Return the inputs as the network takes them, and y; keep how they were scaled, and the network's kernels."""
        X, y = numbers_of(X, 'X'), numbers_of(y, 'y')
        X, y = validate_data(self, X, y, dtype=numpy.float64, ensure_all_finite=self._finite, **options)
        self.input_shape_ = shape_of(self.input_shape, X.shape[1])
        x = X.reshape(len(X), *self.input_shape_)
        self.x_scale_ = Scale.of(x, self.normalize_X, 'normalize_X')
        self.kernels_ = self.network_kernels()
        self.X_fit_ = self.x_scale_.apply(x)
        return self.X_fit_, y

    def network_kernels(self) -> Kernels:
        """Return the kernels of the network that the arguments say."""
        kernel_fn = kernel_fn_of(self.net, self.depth, self.activation, self.W_std, self.b_std, not self.has_positions)
        if self.n_jobs is not None and as_whole(self.n_jobs, 'n_jobs', -1) == 0:
            raise ValueError('expected n_jobs to be -1 for all cores, a number of threads >= 1, or None; got 0.')
        return Kernels(kernel_fn, self.n_jobs, self.memory_limit)

    @property
    def _finite(self):
        return 'allow-nan' if self.has_positions else True

    def _inputs(self, X: Any) -> numpy.ndarray:
        """Return new inputs as the network takes them."""
        check_is_fitted(self)
        X = numbers_of(X, 'X')
        X = validate_data(self, X, reset=False, dtype=numpy.float64, ensure_all_finite=self._finite)
        return self.x_scale_.apply(X.reshape(len(X), *self.input_shape_))

    def _solve(self, y: numpy.ndarray, t: Any = None, out: Any = None) -> Self:
        """Compute the kernels of the training set, in a store at `out`, and solve for targets (n, o)."""
        diag_reg = given(self.diag_reg, len(y))
        if out is not None and (numpy.ndim(diag_reg) or isinstance(diag_reg, str) or t is not None):
            raise ValueError('expected a number as diag_reg, and t=None, with out: iterations solve for one ridge, '
                             'and for training to the end.')
        kernels = self.kernels_(self.names, self.X_fit_, None, out)
        if isinstance(diag_reg, str):
            with blas_for(len(y)):
                diag_reg = chosen(kernels[self.get], y, diag_reg)
        self.diag_reg_ = diag_reg
        if out is None:
            with blas_for(len(y)):
                self.solved_ = InMemory(self.get, kernels, y, diag_reg, t)
        else:
            self.solved_ = OnDisk.solved(self.get, kernels, y, diag_reg)
        self.dual_coef_ = self.solved_.alpha
        return self

    def _mean(self, x: numpy.ndarray) -> numpy.ndarray:
        """Return K_*t alpha, (m, o)."""
        parts = [self.kernels_((self.get,), x[some], self.X_fit_)[self.get] @ self.dual_coef_
                 for some in cuts(len(x), MANY)]
        return numpy.concatenate(parts)

    def _with_training_set(self, x: numpy.ndarray) -> tuple[dict[str, numpy.ndarray], numpy.ndarray]:
        """Return the kernels of x with the training set by name, and the NNGP of x with itself."""
        return self.kernels_(self.names, x, self.X_fit_), self.kernels_(('nngp',), x)['nngp']

    def _variance(self, x: numpy.ndarray) -> numpy.ndarray:
        """Return the variances of the function, (m,)."""
        return numpy.concatenate([self.solved_.variance(*self._with_training_set(x[some])) for some in
                                  cuts(len(x), FEW)])
