"""What a network is: its layers with shapes, numbers of parameters, and which covariances it needs."""
from dataclasses import dataclass
from math import prod
from typing import Any

from ..arrays import generator
from ..recursion.signal import Demand
from ..trees import leaves
from ..types import Shape, Tree
from .tables import as_html, as_lines, shortened
from .trees import each_branch, tree_signal
from .watched import watched

__all__ = ['Summary', 'SummaryRow', 'summarized']

HEADER = '', 'layer', 'shape', 'parameters', 'needed', 'entries'
LEFT = 0, 1                # columns


@dataclass(frozen=True)
class SummaryRow:
    """One layer of a network.

    Attributes
    ----------
    place : str                 indices of the networks around the layer, such as '2.1'; '' for the inputs.
    layer : str                 the layer as Python text, or 'input'.
    shape : tuple of int        shape of its outputs, or a list of them.
    parameters : int            how many numbers its parameters have in the finite network.
    needed : str                which covariances of its outputs the layers behind need, beside K and Theta.
    entries : int               numbers that K has for a pair of inputs.
    """
    place: str
    layer: str
    shape: Shape | list
    parameters: int
    needed: str
    entries: int


@dataclass(frozen=True)
class Summary:
    """The layers of a network, and what its kernel costs; a terminal shows text, a notebook a table of HTML.

    Attributes
    ----------
    net : Layer                     the network.
    rows : tuple of SummaryRow      the inputs, then each layer.
    inputs : int                    number of inputs that the cost is for.
    get : str or tuple              the kernels that it is for.
    cost : CallCost or None         ESTIMATES of bytes and seconds of kernel_fn(x, None, get), from a trial.
    """
    net: Any
    rows: tuple[SummaryRow, ...]
    inputs: int
    get: Any
    cost: Any

    @property
    def parameters(self) -> int:
        """How many numbers the parameters of the finite network have."""
        return sum(row.parameters for row in self.rows)

    def __str__(self) -> str:
        return '\n'.join([*as_lines(HEADER, self._cells(), LEFT), '', *self._notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = as_html(HEADER, self._cells(), LEFT)
        return table + ''.join(f'<p>{note}</p>' for note in self._notes())

    def _cells(self):
        return [(row.place, shortened(row.layer), str(row.shape), f'{row.parameters:,}', row.needed, f'{row.entries:,}')
                for row in self.rows]

    def _notes(self):
        """Return the lines below the table: parameters in all, and the estimates."""
        notes = [f'{self.parameters:,} parameters']
        if self.cost is not None:
            pairs = self.inputs ** 2
            notes.append(
                f'estimated for kernel_fn(x, None, {self.get!r}) of {self.inputs:,} inputs, by a trial: '
                f'{self.cost.bytes / 2 ** 20:.3g} MiB and {self.cost.seconds:.3g} s, that is '
                f'{self.cost.bytes / pairs:,.1f} bytes and {self.cost.seconds / pairs * 1e6:.3g} µs a pair of inputs')
        return notes


def summarized(net: Any, shape: Tree, get: Any) -> Summary:
    """Return the `Summary` of `Shown.summary`, whose arguments these are."""
    demand = net.asked(None)
    signal = tree_signal(shape, demand)
    net.traced(signal)
    copy, layers = watched(net)
    copy._to_meet(Demand())
    copy.trace(signal)
    rows = [_row('', 'input', signal, 0, demand, True)]
    for seen in layers:
        before, after = seen.signals
        count = sum(prod(leaf.shape) for leaf in leaves(seen.layer.init(generator(0), before)))
        rows.append(_row(seen.place, repr(seen.layer), after, count, seen.demand, seen.layer.knows_flat))
    inputs = leaves(signal)[0].inputs
    cost = net.kernel_fn.cost(shape, None, get) if inputs > 0 else None
    return Summary(net, tuple(rows), inputs, get, cost)


def _row(place, layer, signal, parameters, demand, knows_flat):
    signals = leaves(signal)
    demands = leaves(demand) if isinstance(demand, list) else [demand] * len(signals)
    needs = dict.fromkeys(_needed(d, s, knows_flat) for d, s in zip(demands, signals))
    entries = sum(prod(s.positions) ** (2 if d.paired else 1) for d, s in zip(demands, signals))
    return SummaryRow(place, layer, each_branch(lambda s: s.shape, signal), parameters, ' | '.join(needs), entries)


def _needed(demand, signal, knows_flat):
    """Return in words what a demand asks for: gap and area, and at which positions."""
    beside = ', '.join(name for name in ('gap', 'area') if getattr(demand, name))
    where = 'pairs of positions' if demand.paired else 'equal positions'
    if demand.flat and knows_flat:
        where = 'mean over positions'
    return f'{beside or "K alone"}; {where}' if signal.positions else beside or 'K alone'
