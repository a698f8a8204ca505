"""Pictures of Gaussian processes: the prior of a network with samples of it, and what training makes of it."""
from typing import Any

import numpy

from ..arguments import as_whole
from ..arrays import as_floats
from ..drawing import axes, band, ink, styled
from ..no_arrays import check_on_host
from ..predict import Gaussian, sample
from ..types import Array, Number, Seed

__all__ = ['along', 'as_inputs', 'deviations', 'posterior', 'prior', 'targets']


def prior(net: Any, x: Array, get: str = 'nngp', *, samples: int = 5, rng: Seed = 0, ax: Any = None) -> Any:
    """Draw samples of the outputs of an infinitely wide network at initialization, over the band of 2 deviations.

    Parameters
    ----------
    net : Layer or kernel_fn    the network.
    x : array (n,) or (n, 1)    inputs along the horizontal axis; of other shapes their numbers are there.
    get : str                   'nngp'; 'ntk' draws the Gaussian process whose covariance is the tangent kernel.
    samples : int               number of samples.
    rng : seed or Generator
    ax : matplotlib Axes        None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, NotPSDError : as for `kernel_fn` and `predict.sample`.
    """
    x = as_inputs(x, 'prior: x')
    samples = as_whole(samples, 'prior: samples', 0)
    k = getattr(net, 'kernel_fn', net)(x, None, get)
    order, across, label = along(x)
    ax = axes(ax)
    drawn = numpy.asarray(sample(Gaussian(numpy.zeros(len(k)), k), samples, rng))
    sd = numpy.sqrt(numpy.diagonal(k))[order]
    ax.fill_between(across, -2 * sd, 2 * sd, color=styled(0)['color'], alpha=.25, linewidth=0, label='± 2 sd')
    for i, f in enumerate(drawn):
        ax.plot(across, f[order], **styled(i))
    ax.set(xlabel=label, ylabel='output')
    ax.legend()
    return ax


def posterior(predictor: Any, x: Array, t: Number | None = None, get: str = 'ntk', *, ax: Any = None) -> Any:
    """Draw the mean of predictions with the band of 2 standard deviations, and the targets of the training set.

    Parameters
    ----------
    predictor : function or Gaussian    the predict_fn of `predict.gradient_descent_mse_ensemble`; or a Gaussian, such
        as the predict_fn of `predict.gp_inference` returns, whose training set is not known and not drawn.
    x : array (m,) or (m, 1)            test inputs along the horizontal axis; of other shapes their numbers are there.
    t, get                              training time and kernel, as for the predictor; without meaning for a Gaussian.
    ax : matplotlib Axes                None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError : another predictor. ValueError : as for the predictor.

    Examples
    --------
    >>> import numpy
    >>> from ntref import plot, predict, stax
    >>> net = stax.serial(stax.Dense(512, 1.5, .5), stax.Erf(), stax.Dense(1))
    >>> predictor = predict.gradient_descent_mse_ensemble(net, numpy.array([[-1.], [1.]]), numpy.array([[.5], [-.5]]))
    >>> ax = plot.posterior(predictor, numpy.linspace(-2, 2, 101))
    >>> [line.get_label() for line in ax.lines]
    ['mean ± 2 sd', 'targets']
    """
    x = as_inputs(x, 'posterior: x')
    gaussian = predictor if isinstance(predictor, tuple) else _asked(predictor, t, x, get)
    for name, a in zip(('mean', 'covariance'), gaussian):
        check_on_host(a, f'posterior: the {name}')
    mean, sd = numpy.asarray(gaussian[0]).reshape(len(x), -1), deviations(gaussian[1])
    order, across, label = along(x)
    ax = axes(ax)
    for i, f in enumerate(mean.T):
        name = 'mean ± 2 sd' if mean.shape[1] == 1 else f'output {i}, mean ± 2 sd'
        band(ax, across, f[order], sd[order], i, name)
    targets(ax, predictor, x)
    ax.set(xlabel=label, ylabel='output')
    ax.legend()
    return ax


def targets(ax: Any, predictor: Any, x: Array) -> None:
    """Draw the training set of the predictor, if it has one and both have one channel."""
    trained: Any = getattr(predictor, 'x_train', None)
    if getattr(trained, 'shape', (0, 0))[1:] != (1,) or x.shape[1:] != (1,):
        return
    y = numpy.asarray(predictor.y_train).reshape(len(trained), -1)
    for i, column in enumerate(y.T):
        color = ink() if y.shape[1] == 1 else styled(i)['color']
        ax.plot(trained[:, 0], column, 'o', color=color, markersize=4, label='targets' if i == 0 else None)


def as_inputs(x: Array, name: str) -> Array:
    """Return inputs with a channel axis, which numbers (n,) do not have."""
    check_on_host(x, name)
    x, = as_floats(x)
    if not x.ndim or not len(x):
        raise ValueError(f'{name} is expected to have inputs, got shape {x.shape}.')
    return x[:, None] if x.ndim == 1 else x


def along(x: Array) -> tuple[Any, Any, str]:
    """Return the order of the inputs along the horizontal axis, where they are there, and its label."""
    if x.shape[1:] == (1,):
        order = numpy.argsort(x[:, 0], kind='stable')
        return order, x[order, 0], 'x'
    return slice(None), numpy.arange(len(x)), 'number of the input'


def deviations(covariance: Array) -> Array:
    """Return the standard deviations of predictions; variances below 0 are rounding."""
    return numpy.sqrt(numpy.maximum(numpy.diagonal(covariance, axis1=-2, axis2=-1), 0))


def _asked(predictor, t, x, get):
    """Return the Gaussian that the predictor gives."""
    if not hasattr(predictor, 'y_train'):
        raise TypeError('posterior: expected the predict_fn of gradient_descent_mse_ensemble, or a Gaussian, got '
                        f'{type(predictor).__name__}. Of gp_inference give what its predict_fn returns for x.')
    return predictor(t, x, get, True)
