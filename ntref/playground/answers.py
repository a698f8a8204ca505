"""What the server answers: a state as numbers that JSON has."""
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from math import inf, isfinite
from threading import Lock
from typing import Any

from ..predict import NotPSDError
from .finite import trained
from .infinite import ANGLES, GRID, against_angle, network, phases, posterior, prior, training_set, where
from .script import script
from .state import ACTIVATIONS, EDGE, RANGES, State, read, written

__all__ = ['ANSWERS', 'answer']

DIGITS = 6
ONE_AT_A_TIME = Lock()          # what catches warnings does so for all threads


def answer(path: str, query: str) -> tuple[int, dict[str, Any]]:
    """Return the status of HTTP and what is sent, for a path of ANSWERS."""
    try:
        return 200, ANSWERS[path](read(query))
    except (ValueError, NotPSDError) as e:
        return 400, {'error': str(e)}


def _seen(state):
    """Return all that changes with a slider, but for finite networks."""
    with ONE_AT_A_TIME, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        sd, draws = prior(state)
        mean, trained_sd = posterior(state)
        angle = against_angle(state)
        chi = where(state)
    return {
        'state': _plain(asdict(state)), 'query': written(state), 'code': script(state),
        'activations': list(ACTIVATIONS), 'edge': EDGE, 'ranges': _plain(RANGES),
        'grid': _short(GRID), 'prior': {'sd': _short(sd), 'draws': _short(draws)},
        'posterior': {'mean': _short(mean), 'sd': _short(trained_sd)},
        'angles': _short(ANGLES), 'angle': {name: _short(k) for name, k in angle.items()},
        'chi': _short(chi), 'notes': [str(warning.message) for warning in caught]}


def _phases(state):
    return {name: _short(a) for name, a in phases(state.activation)._asdict().items()}


def _trained(state):
    """Return a finite network, the last of `networks`, and the mean of infinite ones at the time that it reaches."""
    x, y = training_set(state)
    rng = [state.seed, state.networks - 1]
    t, f = trained(network(state), x, y, GRID[:, None], state.t, state.get, state.diag_reg, rng)
    if not abs(f).max() < inf:
        raise ValueError(f'expected networks whose training converges, got one of width {state.width} that diverged: '
                         'wider ones, fewer layers or a smaller W_std keep nearer to the infinite one.')
    mean, _ = posterior(replace(state, t=t))
    return {'t': _short(t), 'f': _short(f[:, 0]), 'mean': _short(mean)}


ANSWERS: dict[str, Callable[[State], dict[str, Any]]] = {
    '/seen': _seen, '/phases': _phases, '/trained': _trained}


def _short(a):
    """Return an array as lists of numbers with DIGITS digits; JSON has no NaN and no infinity."""
    a = a.tolist() if hasattr(a, 'tolist') else a
    if isinstance(a, list):
        return [_short(part) for part in a]
    return float(f'{a:.{DIGITS}g}') if isfinite(a) else None


def _plain(a):
    """Return a tree in which infinity is None, which JSON has."""
    if isinstance(a, dict):
        return {name: _plain(part) for name, part in a.items()}
    if isinstance(a, (list, tuple)):
        return [_plain(part) for part in a]
    return None if a == float('inf') else a
