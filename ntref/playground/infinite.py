"""What the page shows of the infinitely wide network: from a state to arrays."""
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy

from .. import stax
from ..engine.run import blas_for
from ..plot.phases import located, moments
from ..predict import Gaussian, gradient_descent_mse_ensemble, sample
from ..stax import Layer
from ..types import Array
from .logistic import Logistic
from .state import EDGE, RANGES, State

__all__ = ['ANGLES', 'GRID', 'DRAWS', 'Phases', 'activation', 'against_angle', 'network', 'phases', 'posterior',
           'prior', 'training_set', 'where']

GRID = numpy.linspace(-EDGE, EDGE, 101)         # where curves are computed
ANGLES = numpy.linspace(0, 180, 61)             # degrees
DRAWS = 5                                       # of the prior
STEPS = 61, 41                                  # of the phase diagram: W_std, b_std
NAMED = {'LeakyRelu': stax.LeakyRelu(.1), 'Tanh': Logistic(), 'Sigmoid': Logistic(.5, .5, .5)}


def activation(name: str) -> Layer:
    """Return the nonlinearity of that name."""
    return NAMED[name] if name in NAMED else getattr(stax, name)()


def network(state: State) -> Layer:
    """Return the network."""
    hidden = [stax.Dense(state.width, state.W_std, state.b_std), activation(state.activation)]
    return stax.serial(*hidden * state.depth, stax.Dense(1, state.W_std, state.b_std))


def training_set(state: State) -> tuple[Array, Array]:
    """Return inputs and targets, arrays (n, 1)."""
    x, y = numpy.array(state.points).T
    return x[:, None], y[:, None]


def prior(state: State) -> tuple[Array, Array]:
    """Return the standard deviation of outputs on GRID before training, and draws (DRAWS, len(GRID)) of them."""
    k = _kernels(*_of_kernels(state)).nngp[len(state.points):, len(state.points):]
    with blas_for(len(k)):
        draws = sample(Gaussian(numpy.zeros(len(k)), k), DRAWS, state.seed)
    return numpy.sqrt(numpy.diagonal(k)), draws


def posterior(state: State) -> tuple[Array, Array]:
    """Return mean and standard deviation of outputs on GRID at training time t."""
    kernels = _kernels(*_of_kernels(state))
    n = len(state.points)

    def kernel_fn(i, j, get):
        """The kernel of inputs that are given by their numbers."""
        block = numpy.ix_(i, i if j is None else j)
        if isinstance(get, str):
            return getattr(kernels, get)[block]
        return SimpleNamespace(**{name: getattr(kernels, name)[block] for name in get})
    number = numpy.arange(n + len(GRID))
    _, y = training_set(state)
    predict_fn = gradient_descent_mse_ensemble(kernel_fn, number[:n], y, diag_reg=state.diag_reg)
    mean, covariance = predict_fn(state.t, number[n:], state.get, True)
    return mean[:, 0], numpy.sqrt(numpy.maximum(numpy.diagonal(covariance), 0))


def against_angle(state: State) -> dict[str, Array]:
    """Return 'nngp' and 'ntk' of two inputs of mean square 1 at ANGLES, relative to their values at angle 0."""
    return _against_angle(state.activation, state.depth, state.W_std, state.b_std)


class Phases(NamedTuple):
    """chi (b_std, W_std), by which distances of near inputs grow in a layer, over the plane of W_std and b_std."""

    W_std: Array
    b_std: Array
    chi: Array


@lru_cache
def phases(name: str) -> Phases:
    """Return the phase diagram of the nonlinearity of that name."""
    W_std, b_std = (numpy.linspace(*RANGES[axis], steps) for axis, steps in zip(('W_std', 'b_std'), STEPS))
    return Phases(W_std, b_std, located(_moments(name), W_std, b_std)[1])


def where(state: State) -> float:
    """Return chi at the state's own W_std and b_std."""
    _, chi = located(_moments(state.activation), numpy.array([state.W_std]), numpy.array([state.b_std]))
    return float(chi[0, 0])


@lru_cache
def _moments(name):
    """Return what the phase diagram is made of, which W_std and b_std leave as it is."""
    return moments(activation(name))


def _of_kernels(state):
    """Return what the kernels depend on."""
    inputs = tuple(x for x, _ in state.points)
    return state.activation, state.depth, state.W_std, state.b_std, inputs


@lru_cache(maxsize=16)
def _kernels(name: str, depth: int, W_std: float, b_std: float, inputs: tuple[float, ...]) -> Any:
    """Return 'nngp' and 'ntk' of the inputs followed by GRID; time, targets and noise leave them as they are."""
    net = network(State(name, depth, W_std, b_std))
    x = numpy.concatenate([inputs, GRID])[:, None]
    return net.kernel_fn(x, None, ('nngp', 'ntk'))


@lru_cache(maxsize=16)
def _against_angle(name, depth, W_std, b_std):
    """Return the same; points, time and noise leave it as it is."""
    angles = numpy.radians(ANGLES)
    x = 2 ** .5 * numpy.stack([numpy.cos(angles), numpy.sin(angles)], -1)
    k = network(State(name, depth, W_std, b_std)).kernel_fn(x[:1], x, ('nngp', 'ntk'))
    return {'nngp': k.nngp[0] / k.nngp[0, 0], 'ntk': k.ntk[0] / k.ntk[0, 0]}
