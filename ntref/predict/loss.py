"""A loss of the training outputs as a function of matrices: its gradient, and its Hessian in blocks.

    gradient(f)        g = dL/df                        by autograd, or given
    hessian(f)         H = d2L/df2, times a matrix      by autograd, or given
    blocks(f)          H in blocks                      one for each example, if the loss does not couple examples
"""
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy

from .layout import Layout, checked

__all__ = ['Loss']

SAME = 1e-8        # relative difference allowed between products with H by blocks and as a whole


class Loss:
    """A loss(f, y) and its derivatives, for outputs f shaped like y; f and g are matrices (kept axes, traced axes)."""

    def __init__(self, loss: Callable[..., Any] | None, grad: Callable[..., Any] | None,
                 hvp: Callable[..., Any] | None, layout: Layout, y: numpy.ndarray):
        for name, f in (('loss', loss), ('grad', grad), ('hvp', hvp)):
            if f is not None and not callable(f):
                raise TypeError(f'expected {name} to be a function, got {f!r} of type '
                                f'{type(f).__name__}.')
        if loss is None and grad is None:
            raise TypeError('expected a loss, got None without grad: give loss(f, y), or grad(f, '
                            'y).')
        self._loss = loss
        self._grad = grad
        self._hvp = hvp
        self._layout = layout
        self._y = layout.arrays(y)
        self.second_order = hvp is not None or grad is None
        self._separates = 0 in layout.kept

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return {name of an argument: function} of those that were given."""
        given = {'loss': self._loss, 'grad': self._grad, 'hvp': self._hvp}
        return {name: f for name, f in given.items() if f is not None}

    def check(self, f: numpy.ndarray) -> None:
        """Raise ValueError unless the loss at the start `f` is a finite number and its gradient is finite."""
        if self._loss is not None:
            value = numpy.asarray(self._loss(self._array(f), self._y))
            if value.shape != () or value.dtype.kind not in 'biuf':
                raise ValueError(f'expected a loss that returns a number, got shape {value.shape} '
                                 f'and dtype {value.dtype} for f of shape {self._y.shape}. Take '
                                 'its mean or its sum.')
            if not numpy.isfinite(value):
                raise ValueError(f'expected a finite loss of the outputs at t = 0, got {value}.')
        with warnings.catch_warnings():
            warnings.filterwarnings('error', 'Output seems independent')
            try:
                g = self.gradient(f)
            except (UserWarning, TypeError, ValueError, AttributeError) as e:
                if self._grad is not None:
                    raise
                raise ValueError(
                    'expected a loss that autograd can differentiate, got one whose output does '
                    f'not depend on f as far as autograd sees ({e}). Write it with autograd.numpy, '
                    'or give grad=grad(f, y).') from e
        checked('the gradient of the loss at t = 0', g)

    def gradient(self, f: numpy.ndarray) -> numpy.ndarray:
        """Return g."""
        f = self._array(f)
        if self._grad is not None:
            return self._matrix('grad(f, y)', self._grad(f, self._y))
        vjp, value = import_module('autograd').make_vjp(self._loss)(f, self._y)
        return self._layout.columns(vjp(numpy.ones_like(value)))

    def hessian(self, f: numpy.ndarray) -> Callable[[numpy.ndarray], numpy.ndarray]:
        """Return the function v -> H v."""
        f = self._array(f)
        hvp = self._hvp
        if hvp is not None:
            return lambda v: self._matrix('hvp(f, y, v)', hvp(f, self._y, self._array(v)))
        autograd = import_module('autograd')
        grad = self._grad or autograd.grad(self._loss)
        with warnings.catch_warnings():      # the gradient of a linear loss is independent of f
            warnings.filterwarnings('ignore', 'Output seems independent')
            vjp, _ = autograd.make_vjp(grad)(f, self._y)
        return lambda v: self._layout.columns(vjp(self._array(v)))

    def blocks(self, f: numpy.ndarray) -> numpy.ndarray:
        """Return H as an array (b, x, o, x, o): b examples of x rows of f, or one block if the loss couples them."""
        hessian = self.hessian(f)
        rows, o = f.shape
        if self._separates:
            b = self._y.shape[0]
            x = rows // b
            h = self._probed(hessian, b, x, o)
            v = numpy.cos(numpy.arange(1., f.size + 1)).reshape(b, x, o)
            by_blocks = numpy.einsum('bxoyp,byp->bxo', h, v).reshape(f.shape)
            whole = hessian(v.reshape(f.shape))
            if numpy.linalg.norm(by_blocks - whole) <= SAME * numpy.linalg.norm(whole):
                return h
            self._separates = False
        return self._probed(hessian, 1, rows, o)

    def _probed(self, hessian, b, x, o):
        """Compute the columns of H, the same one of all b blocks at once."""
        h = numpy.empty((b, x, o, x, o))
        for i in range(x):
            for j in range(o):
                v = numpy.zeros((b, x, o))
                v[:, i, j] = 1.
                h[..., i, j] = hessian(v.reshape(b * x, o)).reshape(b, x, o)
        return checked('the Hessian of the loss', h)

    def per_example(self, m: numpy.ndarray) -> numpy.ndarray:
        """Return a matrix as (examples, the rest)."""
        a = self._array(m)
        return a.reshape(len(a) if a.ndim else 1, -1)

    def _array(self, m):
        return self._layout.arrays(m)

    def _matrix(self, name, a):
        a = numpy.asarray(a)
        if a.shape != self._y.shape:
            raise ValueError(f'expected {name} of the shape {self._y.shape} of y_train, got '
                             f'{a.shape}.')
        return self._layout.columns(a)
