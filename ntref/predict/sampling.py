"""Samples of Gaussian predictions, prior or posterior."""
from ..arguments import as_whole
from ..arrays import as_floats, generator, namespace, plain
from ..no_arrays import no_array
from ..types import Array, Number, Seed
from .factor import NEGATIVE, NotPSDError, largest_eigenvalue, symmetric
from .layout import Axes, Layout, checked, kernel_matrix

__all__ = ['root', 'sample']


def root(c: Array, level: Number, top: Number = 0.) -> Array:
    """Return R = R^T with R R = C, for C = V Lambda V^T >= 0: R = V sqrt(Lambda) V^T.

    Negative eigenvalues count as 0 down to -level times the largest eigenvalue, or `top` if that is larger.
    """
    xp = namespace(c)
    w, v = xp.eigh(c)
    smallest = plain(w[0])
    largest = max(plain(w[-1]), -plain(w[0]))
    rounding = level * max(largest, top)
    if smallest < -rounding:
        raise NotPSDError(
            f'expected a positive semi-definite covariance, got {smallest:.3g} as its smallest '
            f'eigenvalue, {largest:.3g} as its largest; down to {-rounding:.3g} it would be '
            'rounding. A posterior is a difference: where little is left of the prior pass '
            'prior=k_test_test, whose rounding then counts; or compute it with a larger diag_reg.',
            smallest)
    return (v * xp.sqrt(xp.maximum(w, 0.))) @ v.T


def sample(gaussian: tuple[Array, Array], number: int, rng: Seed, trace_axes: Axes = (-1,),
           prior: Array | None = None) -> Array:
    r"""Draw samples from a Gaussian prediction.

    .. math:: f = \text{mean} + C^{1/2} z, \qquad z \sim N(0, 1)

    with the symmetric root of the covariance C, which is unique: a seed gives the same draws whatever computes the
    eigenvectors, up to rounding. Entries along traced axes are independent of each other. Nothing is added to C.

    Parameters
    ----------
    gaussian : Gaussian(mean, covariance), as `gp_inference` and `gradient_descent_mse_ensemble` give at one time;
        Gaussian(zeros, k_test_test) is the prior. mean (m, ..., o) or (m,); covariance (m, m), or (m, m, c, c, ...).
        The covariance is that of the outputs f; noise in new targets would add diag_reg * s to its diagonal.
    number : int >= 0, the number of draws.
    rng : seed or numpy.random.Generator.
    trace_axes : as in `gp_inference`: axes of the mean that the covariance does not have.
    prior : array like the covariance: the covariance before something was subtracted, such as k_test_test for a
        posterior. Rounding is then relative to the prior: needed if almost nothing is left, as on training points.

    Returns
    -------
    array (number,) + the shape of the mean

    Raises
    ------
    ValueError : shapes disagree; NaN or infinity; a covariance that is not symmetric.
    NotPSDError : the smallest eigenvalue of C is below -10 max(m, 4) eps times its largest, or the largest
        of `prior` if that is more. Above it negative eigenvalues are rounding and count as 0.

    Accuracy
    --------
    R R is C to 10 eps times its largest eigenvalue (measured: 3 eps, up to 200 x 200). Along eigenvectors whose
    eigenvalue is within rounding of zero, e times the largest, draws have noise of sqrt(e), 1e-7 or less, times the
    largest standard deviation.

    Source
    ------
    Rasmussen and Williams 2006, appendix A.2. docs/theory/bayes.md#samples.

    Examples
    --------
    >>> import numpy as np
    >>> from ntref.predict import Gaussian
    >>> draws = sample(Gaussian(np.array([1., 1.]), np.ones((2, 2))), 1000, rng=0)       # two names of one variable
    >>> draws.shape, bool(np.allclose(draws[:, 0], draws[:, 1])), round(float(draws.mean()), 1)
    ((1000, 2), True, 1.0)
    """
    number = as_whole(number, 'number', 0)
    if hasattr(gaussian, 'nngp') or hasattr(gaussian, 'ntk'):
        raise no_array(
            gaussian, 'a Gaussian, (mean, covariance), as (zeros, k_test_test) for the prior')
    if not isinstance(gaussian, (tuple, list)) or len(gaussian) != 2:
        raise TypeError(f'expected a Gaussian, (mean, covariance), got {type(gaussian).__name__}.')
    mean, = as_floats(gaussian[0])
    c, = as_floats(gaussian[1])
    xp = namespace(mean, c)
    layout = Layout(mean, trace_axes, c, names=('mean', 'covariance'))
    eps = namespace(c).eps(c)
    columns = layout.columns(checked('mean', mean))
    matrix = symmetric(kernel_matrix(checked('covariance', c)), eps, 'covariance')
    level = NEGATIVE * max(len(matrix) * xp.eps(matrix), 4 * eps)
    top = 0.
    if prior is not None:
        prior = checked('prior', prior)
        layout.check('prior', prior, c.shape)
        top = plain(largest_eigenvalue(symmetric(kernel_matrix(prior), eps, 'prior covariance')))
    z = xp.asarray(generator(rng).standard_normal((number, *columns.shape)))
    return layout.outputs(columns + root(matrix, level, top) @ z, layout.rows)
