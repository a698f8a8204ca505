"""Pictures of training: outputs along time, and a movie of what is predicted."""
from importlib import import_module
from typing import Any

import numpy

from ..arrays import as_floats
from ..drawing import axes, band
from ..no_arrays import check_on_host
from ..types import Array
from .gaussians import along, as_inputs, deviations, targets

__all__ = ['training', 'training_movie']

MANY = 12          # lines that a legend names


def training(predictor: Any, t: Array, x: Array | None = None, get: str = 'ntk', *, ax: Any = None) -> Any:
    """Draw outputs during training: the mean of the ensemble for each input, with the band of 2 standard deviations.

    Parameters
    ----------
    predictor : function            the predict_fn of `predict.gradient_descent_mse_ensemble`.
    t : array (T,)                  times; the axis is logarithmic if all are above 0.
    x : array (m,) or (m, ...)      test inputs, one line for each and for each output. None: the training set.
    get : str                       'ntk' (all layers train) or 'nngp' (the last one).
    ax : matplotlib Axes            None: a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError : another predictor. ValueError : times of another shape; and as for the predictor.
    """
    t, mean, sd, x = _predicted(predictor, t, x, get, 'training')
    ax = axes(ax)
    several = mean.shape[-1] > 1
    for i in range(mean.shape[1]):
        for c in range(mean.shape[2]):
            at = f'x = {x[i, 0]:.3g}' if x is not None and x.shape[1:] == (1,) else f'input {i}'
            band(ax, t, mean[:, i, c], sd[:, i], i * mean.shape[2] + c, f'{at}, output {c}' if several else at)
    ax.set(xlabel='time t', ylabel='output, mean ± 2 sd', xscale='log' if numpy.min(t) > 0 else 'linear')
    if len(ax.lines) <= MANY:
        ax.legend()
    return ax


def training_movie(predictor: Any, t: Array, x: Array, get: str = 'ntk', *, interval: float = 100.,
                   ax: Any = None) -> Any:
    """Return a movie of the predictions during training, a frame for each time: mean, band and targets.

    Parameters
    ----------
    predictor, get              as for `training`.
    t : array (T,)              times, one a frame.
    x : array (m,) or (m, 1)    test inputs along the horizontal axis; of other shapes their numbers are there.
    interval : float            time between frames. [ms]
    ax : matplotlib Axes        None: a new figure.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        `movie.save('training.gif')` writes it, IPython.display.HTML(movie.to_jshtml()) shows it in a notebook. Keep it
        in a variable as long as it is shown.

    Raises
    ------
    TypeError, ValueError : as for `training`.
    """
    x = as_inputs(x, 'training_movie: x')
    t, mean, sd, _ = _predicted(predictor, t, x, get, 'training_movie')
    order, across, label = along(x)
    ax = axes(ax)
    low, high = (mean - 2 * sd[..., None]).min(), (mean + 2 * sd[..., None]).max()
    margin = .05 * (high - low)

    def frame(n):
        ax.clear()
        for c in range(mean.shape[2]):
            name = 'mean ± 2 sd' if mean.shape[2] == 1 else f'output {c}, mean ± 2 sd'
            band(ax, across, mean[n, order, c], sd[n, order], c, name)
        targets(ax, predictor, x)
        ax.set(xlabel=label, ylabel='output', ylim=(low - margin, high + margin), title=f't = {t[n]:.3g}')
        ax.legend(loc='upper right')
    return import_module('matplotlib.animation').FuncAnimation(ax.figure, frame, len(t), interval=interval)


def _predicted(predictor, t, x, get, name):
    """Return times, means (T, m, outputs), deviations (T, m) and inputs."""
    if not hasattr(predictor, 'y_train'):
        raise TypeError(f'{name}: expected the predict_fn of gradient_descent_mse_ensemble, got '
                        f'{type(predictor).__name__}: it knows the training set and time.')
    check_on_host(t, f'{name}: t')
    t, = as_floats(t)
    if t.ndim != 1 or not len(t):
        raise ValueError(f'{name}: expected times of shape (T,), got shape {t.shape}.')
    x = None if x is None else as_inputs(x, f'{name}: x')
    mean, covariance = predictor(t, x, get, True)
    mean = numpy.asarray(mean)
    shown = predictor.x_train if x is None else x
    return t, mean.reshape(*mean.shape[:2], -1), deviations(covariance), shown
