"""Kernel gradient descent, as Jacot et al. 2018 define it: the cost is a function of functions, known at N points."""
from collections.abc import Callable
from typing import Any, NamedTuple

from ..arguments import as_function, as_number
from ..arrays import as_floats, is_on_device, namespace, plain
from ..derivatives import derivative
from ..no_arrays import check_unfollowed
from ..types import Array, Number
from .factor import NEGATIVE, norm, symmetric
from .layout import Axes, Layout, checked, kernel_matrix, refuse_objects

__all__ = ['KernelGradient', 'kernel_gradient']


class KernelGradient(NamedTuple):
    """Kernel gradient of a cost, with the functional derivative it comes from and the decrease of the cost.

    Attributes
    ----------
    d : the functional derivative of the cost at the training points, shaped like the outputs.
    train : the kernel gradient at the training points; outputs move along minus this.
    test : the kernel gradient at the test points, or None.
    decrease : float, ||d||_K^2 >= 0 up to rounding, the rate at which the cost falls: dC/dt = -decrease.
    """

    d: Any
    train: Any
    test: Any
    decrease: Any


def kernel_gradient(cost: Callable[[Array], Number], fx_train: Array, k_train_train: Array,
                    k_test_train: Array | None = None, trace_axes: Axes = (-1,)) -> KernelGradient:
    r"""Return the functional derivative of a cost, its kernel gradient, and the decrease of the cost along it.

    .. math::
        \partial_f C|_{f_0} = \langle d, \cdot\rangle_{p^{in}}, \qquad
        \nabla_K C|_{f_0}(x) = \frac1N \sum_{j=1}^N K(x, x_j)\, d(x_j), \qquad
        \partial_t C|_{f(t)} = -\|d\|_K^2

    with :math:`\langle f, g\rangle_{p^{in}} = \frac1N \sum_j f(x_j)^T g(x_j)` over the N training points, and
    :math:`\|d\|_K^2 = \frac1{N^2} \sum_{ij} d(x_i)^T K(x_i, x_j)\, d(x_j)`. A function that follows minus the gradient
    moves at all points, also at those the cost does not see. Gradient flow of a network, dtheta/dt = -dC/dtheta, does
    this with its NTK.

    Parameters
    ----------
    cost : function from an array like `fx_train`, the outputs at the training points, to a number. It must be written
        with `autograd.numpy` or operators, because autograd differentiates it.
    fx_train : array of NumPy or CuPy (N, ..., o), or (N,): f_0 at the training points.
    k_train_train : array (N, N), or (N, N, c, c, ...), symmetric positive semi-definite.
    k_test_train : array (m, N), or (m, N, c, c, ...), to get the gradient at other points, too; or None.
    trace_axes : axes of `fx_train` on which the kernel is the identity; the kernel array does not have them.

    Returns
    -------
    KernelGradient(d, train, test, decrease)

    Raises
    ------
    ValueError : cost(fx_train) is not finite or does not depend on the outputs; shapes disagree; NaN or infinity; the
        kernel is not symmetric, or d^T K d < 0 beyond rounding; axis 0 is traced.
    TypeError  : cost(fx_train) is not a number; fx_train is not an array of NumPy or CuPy.

    Accuracy
    --------
    The accuracy of autograd and of one product of matrices: 1e-14.

    Source
    ------
    Jacot, Gabriel and Hongler 2018 (arXiv:1806.07572), section 3. Explained: docs/kernel-gradient-descent.md.

    Examples
    --------
    >>> import numpy as np
    >>> f, y, k = np.array([[3.], [1.]]), np.array([[1.], [1.]]), np.array([[2., 1.], [1., 2.]])
    >>> gradient = kernel_gradient(lambda f: ((f - y) ** 2).sum() / 4, f, k)      # d = f - y
    >>> gradient.d.ravel(), gradient.train.ravel(), gradient.decrease
    (array([2., 0.]), array([2., 1.]), 2.0)
    """
    refuse_objects(k_train_train)
    check_unfollowed(fx_train, 'fx_train')
    check_unfollowed(k_train_train, 'k_train_train')
    check_unfollowed(k_test_train, 'k_test_train')
    cost = as_function(cost, 'cost')
    f, = as_floats(fx_train)
    k, = as_floats(k_train_train)
    layout = Layout(f, trace_axes, k, ('fx_train', 'k_train_train'))
    f = checked('fx_train', f)
    n = layout.inputs()
    eps = namespace(k).eps(k)
    matrix = symmetric(kernel_matrix(checked('k_train_train', k)), eps)
    value = cost(f)
    as_number(plain(value) if is_on_device(value) and not value.shape else value, 'cost(fx_train)')
    d = checked('the derivative of cost', n * derivative(cost)(f))
    c = layout.columns(d)
    train = matrix @ c / n
    test = None
    if k_test_train is not None:
        k_test, rows = layout.test_matrix(k_test_train)
        test = layout.outputs(k_test @ c / n, rows)
    decrease = float(namespace(c).sum(c * train) / n)
    if decrease < -NEGATIVE * len(matrix) * eps * norm(matrix) * (norm(c) / n) ** 2:
        raise ValueError('expected a positive semi-definite k_train_train, got d^T K d / N^2 = '
                         f'{decrease:.3g} for d the functional derivative: the cost would rise. '
                         'Compute the kernel more exactly.')
    return KernelGradient(layout.cast(d), layout.outputs(train, layout.rows), test, decrease)
