"""What the page shows, as one value, and the same as the query of a link."""
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from urllib.parse import parse_qsl, urlencode

from ..arguments import suggestion

__all__ = ['ACTIVATIONS', 'EDGE', 'RANGES', 'State', 'read', 'written']

ACTIVATIONS = 'Relu', 'Erf', 'Tanh', 'Gelu', 'Sin', 'LeakyRelu', 'Sigmoid', 'Gaussian'
EDGE = 3.               # points and curves lie within -EDGE and EDGE
RANGES = {              # of numbers: least, most
    'depth': (1, 10), 'W_std': (.5, 3.), 'b_std': (0., 1.), 't': (0., inf), 'diag_reg': (1e-6, 1.),
    'width': (1, 512), 'networks': (0, 10), 'seed': (0, 10 ** 6)}
CHOICES = {'activation': ACTIVATIONS, 'get': ('ntk', 'nngp')}
MOST = 200              # points
WHAT = {int: 'a whole number', float: 'a number'}


@dataclass(frozen=True)
class State:
    """What the page shows.

    Attributes
    ----------
    activation : str, depth : int       the nonlinearity of the hidden layers and their number.
    W_std, b_std : float                of every Dense layer.
    get : str                           which layers train: 'ntk' all, 'nngp' the last.
    t : float                           training time; inf is the limit.
    diag_reg : float                    added to the diagonal, relative to the mean variance.
    width, networks : int               of the finite networks, and how many are trained.
    seed : int                          of the draws and the finite networks.
    points : tuple of (float, float)    inputs and targets of the training set.
    """
    activation: str = 'Erf'
    depth: int = 2
    W_std: float = 1.5
    b_std: float = .5
    get: str = 'ntk'
    t: float = inf
    diag_reg: float = 1e-4
    width: int = 128
    networks: int = 0
    seed: int = 0
    points: tuple[tuple[float, float], ...] = ((-2., -.6), (-1., .9), (.2, .3), (1., -.8), (1.9, .7))


def read(query: str) -> State:
    """Return the state in the query of a link; what it does not name is as at the beginning.

    Raises
    ------
    ValueError : a name or a value that is none; the message says what there is.

    Examples
    --------
    >>> read('depth=3&points=-1,0.5;1,-0.5').points
    ((-1.0, 0.5), (1.0, -0.5))
    """
    given = dict(parse_qsl(query, keep_blank_values=True))
    known = [field.name for field in fields(State)]
    for name in given:
        if name not in known:
            raise ValueError(f'expected names among {", ".join(known)} in the link, got {name!r:.50}.'
                             f'{suggestion(name, known)}')
    return State(**{name: _value(name, text) for name, text in given.items()})


def written(state: State) -> str:
    """Return the query from which `read` restores the state; it has what differs from the beginning.

    Examples
    --------
    >>> written(State(depth=3, t=100.))
    'depth=3&t=100.0'
    """
    start = asdict(State())
    changed = {name: value for name, value in asdict(state).items() if value != start[name]}
    if 'points' in changed:
        changed['points'] = ';'.join(f'{x!r},{y!r}' for x, y in state.points)
    return urlencode(changed, safe=',;')


def _value(name, text):
    if name == 'points':
        return _points(text)
    if name in CHOICES:
        if text not in CHOICES[name]:
            raise ValueError(f'expected {name} to be one of {", ".join(CHOICES[name])}, got {text!r:.50}.')
        return text
    least, most = RANGES[name]
    number = _number(text, type(least), name)
    if not least <= number <= most:
        raise ValueError(f'expected {name} between {least:g} and {most:g}, got {number:g}.')
    return number


def _points(text):
    pairs = [pair.split(',') for pair in text.split(';')]
    if not 1 <= len(pairs) <= MOST:
        raise ValueError(f'expected at most {MOST} points, got {len(pairs)}.')
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f'expected points as x,y;x,y;..., got {text!r:.50}.')
    points = tuple((_number(x, float, 'x'), _number(y, float, 'y')) for x, y in pairs)
    if not all(isfinite(a) and abs(a) <= EDGE for point in points for a in point):
        raise ValueError(f'expected points between {-EDGE:g} and {EDGE:g}, got {text!r:.50}.')
    return points


def _number(text, read_as, name):
    try:
        return read_as(text)
    except ValueError:
        raise ValueError(f'expected {name} to be {WHAT[read_as]}, got {text!r:.50}.') from None
