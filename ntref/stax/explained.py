"""Where the kernel of two inputs comes from: what each layer made of it, as data, text, HTML and a picture."""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..arguments import as_wholes
from ..arrays import untraced
from ..drawing import axes
from ..recursion.state import finished_tangent
from ..trees import leaves
from ..types import Tree
from .formulas import as_unicode
from .given import Given, check_places, first_leaf, read
from .plan import Whole, planned
from .tables import as_html, as_lines, shortened
from .trees import each_branch
from .watched import watched

__all__ = ['Explanation', 'Row', 'Values', 'explained']

NUMBERS = 'q1', 'q2', 'k', 'angle', 'gap', 'ntk'
HEADER = '', 'layer', 'q', "q'", 'K', 'angle', 'gap', 'Θ', 'formula'
LEFT = 0, 1, 8             # columns
FEW, MOST = 6, 40          # places that are listed; layers that are named below a picture


@dataclass(frozen=True)
class Values:
    """What the recursion has of two inputs: Python numbers, and where these are in the arrays of a `Kernel`.

    Attributes
    ----------
    q1, q2 : float              variances of x1 and of x2.                              [output^2]
    k : float                   K, their covariance.                                    [output^2]
    angle : float               the angle between them, K = sqrt(q1 q2) cos angle.      [rad]
    gap, area : float           q1 + q2 - 2 K and sqrt(q1 q2 - K^2).                    [output^2]
    ntk : float                 Theta, the tangent kernel.                              [output^2]
    shape : tuple of int        shape of the activations of x1.
    position : tuple of int     the position, the same for both; () if there are none.
    """
    q1: Any
    q2: Any
    k: Any
    angle: Any
    gap: Any
    area: Any
    ntk: Any
    shape: tuple[int, ...]
    position: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """What one layer does to a pair of inputs.

    Attributes
    ----------
    place : str                     indices of the networks around the layer, such as '2.1'; '' for the inputs.
    layer : str                     the layer as Python text, or 'input'.
    formula : str                   what it makes of K and Theta, in LaTeX; '' if the layer does not say.
    sources : tuple of int          the rows that its input comes from; several behind branches.
    before : tuple of Values        the values of these.
    after : Values                  the values after the layer.
    """
    place: str
    layer: str
    formula: str
    sources: tuple[int, ...]
    before: tuple[Values, ...]
    after: Values


@dataclass(frozen=True)
class Explanation:
    """The kernel of a pair of inputs, layer by layer; a terminal shows a table of text, a notebook one of HTML.

    Attributes
    ----------
    net : Layer                 the network.
    pair : (int, int)           which of x1 and which of x2.
    is_one : bool               True if x2 is x1.
    rows : tuple of Row         the inputs, then each layer in the order of computation.
    """
    net: Any
    pair: tuple[int, int]
    is_one: bool
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        rows = [(r.place, shortened(r.layer), *_written(r.after)) for r in self.rows]
        lines = as_lines(HEADER[:-1], rows, LEFT)
        formulas = [f'{_listed(places)}  {name}: {as_unicode(formula)}'
                    for (name, formula), places in self._formulas().items()]
        return '\n'.join([self._title(), '', *lines, '', *formulas])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(r.place, shortened(r.layer), *_written(r.after), f'${r.formula}$' if r.formula else '')
                for r in self.rows]
        return f'<p>{self._title()}</p>' + as_html(HEADER, rows, LEFT)

    def plot(self, ax: Any = None, **style: Any) -> Any:
        """Draw the angle between the inputs after each layer, at the depth of the layer; branches side by side.

        Parameters
        ----------
        ax : matplotlib Axes, optional      where to draw; None: a new figure.
        **style                             keywords of `Axes.plot`, such as color and label.

        Returns
        -------
        Axes
        """
        ax = axes(ax)
        angles, depths = [float(row.after.angle) for row in self.rows], self.depths()
        marks, = ax.plot(depths, angles, **{'marker': 'o', 'markersize': 4, **style, 'linestyle': '', 'label': None})
        joined = {**style, 'color': marks.get_color(), 'marker': ''}
        for i, row in enumerate(self.rows):
            for source in row.sources:
                ax.plot([depths[source], depths[i]], [angles[source], angles[i]], **joined)
                joined['label'] = None                                             # the first line is named
        names = [' | '.join(row.layer.partition('(')[0] for row, depth in zip(self.rows, depths) if depth == n)
                 for n in range(max(depths) + 1)]
        step = 1 + len(names) // MOST
        ax.set_xticks(range(0, len(names), step), names[::step], rotation=90)
        ax.set_ylabel('angle [rad]')
        return ax

    def depths(self) -> list[int]:
        """Return for each row how many layers are between the inputs and it, along the longest of its branches."""
        found: list[int] = []
        for row in self.rows:
            found.append(max((found[source] + 1 for source in row.sources), default=0))
        return found

    def _title(self):
        i, j = self.pair
        at = sorted({row.after.position for row in self.rows} - {()})
        where = f', at position{"s" * (len(at) > 1)} {", ".join(map(str, at))}' if at else ''
        return (f'x1[{i}] with {"x1" if self.is_one else "x2"}[{j}]{where}: '
                "variances q, q', covariance K, angle [rad] and gap after each layer, tangent kernel Θ")

    def _formulas(self):
        """Return {(name of a layer, formula): places}, each formula once, in the order of the rows."""
        found = {}
        for row in self.rows:
            if row.formula:
                found.setdefault((row.layer.partition('(')[0], row.formula), []).append(row.place)
        return found


def _listed(places):
    """Return places as text, the first two and the last if they are many."""
    return ', '.join(places if len(places) <= FEW else [*places[:2], '…', places[-1]])


def _written(values):
    """Return the numbers of a row as text."""
    return [f'{float(getattr(values, name)):.6g}' for name in NUMBERS]


def explained(net: Any, x1: Tree, x2: Tree, pair: Sequence[int] | None, position: Sequence[int] | None,
              options: dict[str, Any]) -> Explanation:
    """Return the `Explanation` of `Shown.explain`, whose arguments these are."""
    check_places(x1, x2)
    net._check_single(x1)
    given = read(net, x1, x2, options['diagonal_spatial'], options['pattern'], options['mask_constant'], False)
    is_one = first_leaf(given.x2) is None
    sizes = [first_leaf(signal).inputs for signal in given.signals]
    i, j = chosen = _pair(pair, sizes, is_one)
    for signal in given.signals:
        net.traced(signal)
    is_apart = all(map(net.tileable, given.signals))
    given = _cut(given, i, j) if is_apart else given
    planned(net, given, (), is_apart)
    rows = _Rows((0, 0) if is_apart else chosen, position)
    copy, _ = watched(net, rows.look)
    plan = Whole(copy, given, (), is_part=is_apart)
    start = plan.start()
    for state in leaves(start):
        rows.add('', 'input', '', [], state)
    copy.propagate(start)
    return Explanation(net, chosen, is_one, tuple(rows.found))


def _pair(pair, sizes, is_one):
    """Return which input of x1 and which of x2 is meant; None is the first of each, or the first two of x1."""
    if pair is None:
        return 0, 1 if is_one and sizes[1] > 1 else 0
    chosen = as_wholes(pair, 'explain: pair', 0)
    if len(chosen) != 2 or any(i >= n for i, n in zip(chosen, sizes)):
        raise ValueError(f'explain: expected pair to be one index below {sizes[0]} and one below {sizes[1]}, the '
                         f'numbers of inputs, got {pair!r:.100}.')
    return chosen


def _cut(given, i, j):
    """Return the part of `given` with the i-th x1 and the j-th x2 alone; x2 is None if both are the same input."""
    def rows(x, signal, i):
        return x[(slice(None),) * signal.axes.batch + (slice(i, i + 1),)]

    def described(signal, i, j):
        own, other = ((None if p is None else p[n:n + 1]) for p, n in zip(signal.patterns, (i, j)))
        return replace(signal.with_inputs(1), patterns=(own, other)).remasked(lambda mask: mask[i:i + 1])
    x2 = given.x1 if first_leaf(given.x2) is None else given.x2
    signals = [each_branch(lambda s: described(s, *chosen), signal)
               for signal, chosen in zip(given.signals, ((i, j), (j, i)))]
    return Given(
        x1=each_branch(lambda x, s: rows(x, s, i), given.x1, given.signals[0]),
        x2=each_branch(lambda x, s: None if i == j and given.are_same else rows(x, s, j), x2, given.signals[1]),
        signals=tuple(signals),
        demand=given.demand)


class _Rows:
    """The rows `found` so far; `made` has the number of the row that made a state, by its id.

    A state that is gone may leave its id to a later one, which then takes its place here.
    """

    def __init__(self, index, position):
        self.index, self.position = index, position
        self.found, self.made = [], {}

    def look(self, seen, before, after):
        """Add a row for each output of a layer; copies, such as those of FanOut, share one."""
        for i, state in enumerate(leaves(after)):
            self.add(seen.place, repr(seen.layer), seen.layer.formula, leaves(before), state, is_next=i > 0)

    def add(self, place, layer, formula, inputs, state, is_next=False):
        values = _values(state, self.index, self.position, f'{place} {layer}')
        if not is_next or values != self.found[-1].after:
            sources = tuple(dict.fromkeys(self.made[id(k)] for k in inputs if id(k) in self.made))
            before = tuple(self.found[n].after for n in sources)
            self.found.append(Row(place, layer, formula, sources, before, values))
        self.made[id(state)] = len(self.found) - 1


def _values(k, index, position, name):
    """Return the values of a state at an index of its batch axes, and at a position or in the middle."""
    k = k.computed().with_own().aligned()
    ntk = None if k.ntk is None else finished_tangent(k)
    sizes = k.nngp.shape[2:]
    at = tuple(n // 2 for n in sizes) if position is None or not sizes else as_wholes(position, 'explain: position', 0)
    if len(at) != len(sizes) or any(i >= n for i, n in zip(at, sizes)):
        raise ValueError(f'explain: expected a position that every layer has, got {position!r:.100}, and {sizes} '
                         f'positions after layer {name}. Leave position out for the middle of each.')
    if any(i >= n for i, n in zip(index, k.nngp.shape)):
        raise ValueError(f'explain: expected a pair of inputs that every layer has, got {index}, and '
                         f'{k.nngp.shape[:2]} of them after layer {name}.')
    pair, where = k.pairs()[0], (*index, *at)
    q1, q2 = (untraced(k.variances(side))[(index[side - 1], *at)] for side in (1, 2))
    numbers = (q1, q2, *(untraced(a)[where] for a in (k.nngp, pair.theta, pair.gap, pair.area, ntk)))
    return Values(*map(_number, numbers), tuple(k.shape1), at)


def _number(a):
    """Return an entry of an array as a Python number; one of mpmath stays."""
    return a.item() if hasattr(a, 'item') else a
