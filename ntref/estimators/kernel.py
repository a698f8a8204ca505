"""The kernel of a network as one of scikit-learn's, with hyper-parameters and gradients."""
from collections.abc import Callable
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import numpy
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from .. import stax
from ..engine.cover import blocks, cuts
from ..stax.named import B_STD, W_STD
from ..types import Number
from .inputs import numbers_of, shape_of
from .networks import kernel_fn_of

__all__ = ['NetworkKernel', 'with_numbers']

SIDE = 256             # inputs on either side of a block through which derivatives go
OWN = 64               # inputs whose kernel with each other is computed for its diagonal
HYPER = 'W_std', 'b_std'


def with_numbers(layer: stax.Layer, numbers: dict[str, Number]) -> stax.Layer:
    """Return the network with these numbers, `W_std` and `b_std`, in all layers that have them; None stays None.

    Examples
    --------
    >>> with_numbers(stax.serial(stax.Dense(8, 1.5, .1), stax.Relu(), stax.Dense(1)), {'W_std': 2., 'b_std': .5})
    serial(Dense(8, 2.0, 0.5), Relu(), Dense(1, 2.0))
    """
    def changed(name, value):
        if isinstance(value, stax.Layer):
            return with_numbers(value, numbers)
        if isinstance(value, tuple):
            return tuple(changed('', each) for each in value)
        return value if value is None else numbers.get(name, value)
    return replace(layer, **{f.name: changed(f.name, getattr(layer, f.name)) for f in fields(layer)})


class NetworkKernel(Kernel):
    r"""Kernel of an infinitely wide network: NNGP or NTK, for Gaussian processes, SVMs and all that takes kernels.

    .. math:: \theta = (\log W_{std}, \log b_{std}), \qquad \partial K / \partial \log W_{std} = W_{std}\,
        \partial K / \partial W_{std}

    Parameters
    ----------
    net : network of `stax`, or its JSON, a dict or text; None: `depth` hidden layers with an `activation`, by its name
        or as a layer.
    get : 'nngp' or 'ntk'.
    W_std, b_std : float > 0, in all layers that have them; None: what they are in `net` (without net: 2 ** .5 and .1),
        and no hyper-parameter. Layers without bias stay so.
    W_std_bounds, b_std_bounds : (least, largest) for optimizers, or 'fixed'.
    input_shape : tuple, the shape of one input, for rows X of that many numbers; None: X has features.

    Raises
    ------
    ValueError, TypeError : arguments that do not fit; W_std or b_std that is not above 0, or that no layer has; a
        gradient with Y.

    Notes
    -----
    The gradient is exact: forward mode through the kernel, block by block, one pass for each hyper-parameter. For
    vectors, weights and nonlinearities with an adjoint (docs/theory/adjoint.md) each takes 2 to 7 times the time of the
    kernel, else 10 to 80 times.

    In an `SVC` or `KernelRidge` it is the argument `kernel`; for a precomputed kernel take `net.kernel_fn(X, Y, get)`.

    Accuracy
    --------
    That of the network's `kernel_fn`, whose entries these are; gradients 1e-10 of the largest, as compared with
    differences, which are no better.

    Source
    ------
    Rasmussen and Williams 2006, section 5.4; docs/theory/bayes.md#gradient.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1., 0.], [0., 1.]])
    >>> kernel = NetworkKernel(depth=1, W_std=1., b_std=.1)
    >>> kernel(X).round(3), kernel.theta.round(3)
    (array([[0.265, 0.094],
           [0.094, 0.265]]), array([ 0.   , -2.303]))
    """

    def __init__(self, net: Any = None, get: str = 'nngp', W_std: Number | None = None, b_std: Number | None = None,
                 W_std_bounds: Any = (1e-2, 1e2), b_std_bounds: Any = (1e-3, 1e2), depth: int = 3,
                 activation: Any = 'relu', input_shape: Any = None):
        self.net = net
        self.get = get
        self.W_std = W_std
        self.b_std = b_std
        self.W_std_bounds = W_std_bounds
        self.b_std_bounds = b_std_bounds
        self.depth = depth
        self.activation = activation
        self.input_shape = input_shape

    @property
    def hyperparameter_W_std(self) -> Hyperparameter:
        """The deviation of all weights."""
        return Hyperparameter('W_std', 'numeric', 'fixed' if self.W_std is None else self.W_std_bounds)

    @property
    def hyperparameter_b_std(self) -> Hyperparameter:
        """The deviation of all biases."""
        return Hyperparameter('b_std', 'numeric', 'fixed' if self.b_std is None else self.b_std_bounds)

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """Return the kernel (n, m) of X with Y, or of X with itself; with `eval_gradient` dK/dtheta (n, n, d) too."""
        x = self._inputs(X)
        if Y is not None and eval_gradient:
            raise ValueError('expected Y=None with eval_gradient=True: gradients are those of a training set.')
        if self.get not in ('nngp', 'ntk'):
            raise ValueError(f"expected get to be 'nngp' or 'ntk', got {self.get!r:.100}.")
        given = self._numbers()
        k = self._kernel_fn(given)(x, None if Y is None else self._inputs(Y), self.get)
        return (k, self._gradient(x, given)) if eval_gradient else k

    def diag(self, X: Any) -> numpy.ndarray:
        """Return the kernel of each input with itself, (n,)."""
        x = self._inputs(X)
        kernel_fn = self._kernel_fn(self._numbers())
        return numpy.concatenate([kernel_fn(x[some], None, self.get).diagonal() for some in cuts(len(x), OWN)])

    def is_stationary(self) -> bool:
        """Return False: the kernel depends on where inputs are."""
        return False

    def __repr__(self):
        numbers = ', '.join(f'{name}={value:.3g}' for name, value in self._numbers().items())
        return f'NetworkKernel({self.get}{", " if numbers else ""}{numbers})'

    def _inputs(self, X):
        X = numpy.atleast_2d(numpy.asarray(numbers_of(X, 'X'), float))
        return X.reshape(len(X), *shape_of(self.input_shape, X.shape[1]))

    def _numbers(self) -> dict[str, Number]:
        """Return {name: value} of the hyper-parameters, fixed ones too."""
        numbers = {name: getattr(self, name) for name in HYPER if getattr(self, name) is not None}
        for name, value in numbers.items():
            if not value > 0:
                raise ValueError(f'expected {name} > 0, whose logarithm is the hyper-parameter, got {value!r:.100}.')
        return numbers

    def _kernel_fn(self, numbers: dict[str, Number]) -> Callable[..., Any]:
        """Return the kernel function of the network with these numbers, which autograd may follow."""
        is_flat = self.input_shape is None or numpy.size(self.input_shape) < 2
        kernel_fn = kernel_fn_of(self.net, self.depth, self.activation, W_STD, B_STD, is_flat)
        if not numbers:
            return kernel_fn
        layer = getattr(kernel_fn, 'layer', None)
        if not isinstance(layer, stax.Layer):
            raise TypeError(f'expected a network of stax as net, to set its {" and ".join(numbers)}, got '
                            f'{self.net!r:.100}.')
        return with_numbers(layer, numbers).kernel_fn

    def _gradient(self, x, given):
        """Return dK/dtheta (n, n, d) for the hyper-parameters that are not fixed."""
        free = [h.name for h in self.hyperparameters if not h.fixed]
        gradient = numpy.empty((len(x), len(x), len(free)))
        make_jvp = import_module('autograd').differential_operators.make_jvp
        whole = self._kernel_fn(given).of_blocks(x, None) is None
        for rows, columns in blocks(cuts(len(x), len(x) if whole else SIDE)):
            x2 = None if rows == columns else x[columns]

            def block(numbers):
                kernel_fn = self._kernel_fn(numbers)
                return (kernel_fn if whole else kernel_fn.of_blocks(x, None))(x[rows], x2, self.get)
            for i, name in enumerate(free):
                _, slope = make_jvp(lambda value: block(given | {name: value}))(given[name])(given[name])
                gradient[rows, columns, i] = slope
                gradient[columns, rows, i] = slope.T
        return gradient
