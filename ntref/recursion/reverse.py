"""Gradients of kernels, block by block: what autograd would trace over whole arrays is computed again in each block.

    loss(K, Theta),  g = dloss/dK, dloss/dTheta      given
    xbar = dloss/dx,  and of the numbers of layers   wanted

Three passes, each on threads. Inputs with themselves leave their variances after every step on a tape. Blocks of x1
against x2 (`Recorded`) read them there, and give cotangents of K at the input, of the numbers and of these variances.
Then inputs with themselves go back from the cotangents of all variances. Derivation: docs/theory/adjoint.md
"""
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from math import inf, isqrt, prod
from threading import Lock
from typing import Any

from ..arrays import is_on_device, namespace, plain, untraced
from ..duals.geometry import Cov
from ..engine.cover import ENTRIES, blocks, cuts
from ..engine.device import entries_of_tile
from ..engine.run import alone, in_threads, number_of_threads
from ..types import Array
from ..windows import zeros
from .chained import input_of_chain
from .leaves import Leaves
from .positions import swapped
from .recorded import input_of_block, input_of_own, input_of_pairs, onto_inputs, onto_own, own_cov
from .signal import Demand, Signal
from .start import channels_last, own_variances
from .tape import replaying

__all__ = ['Backward']

MOST = 1 / 8         # share of pairs that are not generic above which a block carries gaps
ALONE = 2 ** 16      # entries up to which threads would wait for each other: measured
NUMBERS = 2 ** 20    # numbers that inputs taken pair by pair may hold at a time


@dataclass(frozen=True)
class Backward:
    """What a gradient is taken of: the kernels `names` of x1 and x2 (None: x1 again).

    Attributes
    ----------
    layer_of : callable       numbers -> the network with these numbers in the places of those that are followed.
    numbers : list            these numbers.
    x1, x2 : arrays           inputs; x2 is None if it is x1.
    signals, demand, names    as in `in_parts`.
    """
    layer_of: Callable
    numbers: list
    x1: Any
    x2: Any
    signals: tuple[Signal, Signal]
    demand: Demand
    names: tuple[str, ...]

    def gradients(self, g: Array, in_x1: bool, in_x2: bool) -> list:
        """Return the gradients in x1, in x2 (None where they are not asked for) and in each of the numbers.

        g is the cotangent of the kernel, or of the kernels side by side, (names, n1, n2, *S), if there are several.
        """
        each = [g[i] for i in range(len(self.names))] if len(self.names) > 1 else [g]
        passes = _Passes(self, each, (in_x1, in_x2))
        with alone() if passes.are_short else nullcontext():
            passes.run()
        return passes.found()


class _Passes:
    """The passes of one gradient, with the sums that blocks add to.

    Attributes
    ----------
    sides : list             x1 and, unless it is x1, x2, as (n, *positions, channels).
    wanted : list of bool    for which of them gradients are wanted.
    followed : list of bool  for which of them cotangents of variances are wanted.
    bars : list              their gradients, None if they are not wanted.
    steps, step_bars         for each of them, variances after every step, and the cotangents of these.
    across : array (n1, n2)  cotangents of K at the input. None if there are positions.
    are_short : bool         True if threads do not pay.
    is_chain : bool          False if blocks are known to need a `Recorded`.
    """

    def __init__(self, of, cotangents, wanted):
        self.of = of
        self.xp = namespace(of.x1)
        self.symmetric = of.x2 is None
        self.sides = [channels_last(x, of.demand.axes.of(x.ndim)) for x in (of.x1, of.x2) if x is not None]
        self.wanted = wanted[:len(self.sides)]
        self.followed = [is_wanted or bool(of.numbers) for is_wanted in self.wanted]
        self.g = [g.astype(of.x1.dtype, copy=False) for g in cotangents]
        self.has_positions = of.x1.ndim > 2
        self.between = self.has_positions and of.demand.paired
        self.entries = prod(self.sides[0].shape[1:-1]) ** (2 if of.demand.paired else 1)
        size = 2 * entries_of_tile(of.x1, 4 * ENTRIES) // of.x1.dtype.itemsize           # a trace has many arrays
        self.size = max(1, (size if self.has_positions else size // 2) // self.entries)
        self.numbers = [0.] * len(of.numbers)
        self.bars = [
            zeros(x, x.shape) if is_wanted else None for x, is_wanted in zip(self.sides, self.wanted)]
        self.are_short = self._threads(len(self.sides[0]) * len(self.sides[-1])) == 1
        self.adding = Lock()
        self.shared, self.layer = self._numbers()
        self.is_chain = not self.has_positions

    def run(self):
        """Compute the sums."""
        a, b = self.sides[0], self.sides[-1]
        self.across = None if self.has_positions else zeros(a, (len(a), len(b)))
        self.squares = None if self.has_positions else self._squares()
        jobs = self._own_jobs()
        threads = self._threads(sum(map(len, self.sides)))
        is_kept = sum(map(len, self.sides)) <= self.size
        own = in_threads(lambda job: self._own_pass(job, is_kept and self.followed[job[0]]), jobs, threads)
        self.paired = own[0].state.paired and own[0].state.nngp.ndim > 1
        steps = [list(map(untraced, q)) for q in zip(*(part.steps for part in own))]
        self.steps = [[self._joined(jobs, q, side) for q in steps] for side in range(len(self.sides))]
        self.step_bars = [[zeros(q, q.shape) for q in steps] for steps in self.steps]
        in_threads(self._block, self._jobs(len(a), len(b)), self._threads(inf))
        back = [(job, part if is_kept else None) for job, part in zip(jobs, own) if self.followed[job[0]]]
        in_threads(self._own, back, threads)
        if not self.has_positions:
            self._add_products(a, b)

    def found(self):
        """Return the gradients, with the axes of the inputs."""
        found = [None, None]
        for side, (bar, x) in enumerate(zip(self.bars, (self.of.x1, self.of.x2))):
            axes = self.of.demand.axes.of(x.ndim)
            if self.wanted[side]:
                found[side] = self.xp.moveaxis(bar, (0, -1), (axes.batch, axes.channel))
        return [*found, *self.numbers]

    def _jobs(self, n1, n2):
        """Return the blocks (rows, columns); with x2 = x1 those above the diagonal, and small squares on it."""
        if not self.symmetric:
            size = max(1, min(self.size, -(-n1 * n2 // self._threads(n1 * n2))))
            height = min(n1, isqrt(size))
            return blocks(cuts(n1, height), cuts(n2, size // height))
        squares = blocks(cuts(n1, max(1, isqrt(self.size))))
        return [job for i, j in squares for job in (_above(i, self.size // 4) if i == j else [(i, j)])]

    def _threads(self, n):
        """Return the number of threads that n pairs of inputs pay for."""
        is_short = n * self.entries <= ALONE
        return 1 if is_short or is_on_device(self.of.x1) else number_of_threads()

    def _own_jobs(self):
        """Return the blocks (side, rows) of inputs with themselves."""
        return [(side, rows) for side, x in enumerate(self.sides) for rows in cuts(len(x), self.size)]

    def _squares(self):
        """Return <x, x> / c of all inputs of each side."""
        height = max(1, ENTRIES // self.sides[0].shape[-1])
        parts = [(side, rows) for side, x in enumerate(self.sides) for rows in cuts(len(x), height)]
        found = in_threads(lambda part: own_variances(self.sides[part[0]][part[1]]), parts, self._threads(inf))
        return [self._joined(parts, found, side) for side in range(len(self.sides))]

    def _joined(self, jobs, found, side):
        """Return what was found for the blocks (side, rows) of one side, put together."""
        return self.xp.concatenate([q for (of, _), q in zip(jobs, found) if of == side])

    def _add_products(self, a, b):
        """Add  xbar = (Kbar x' + 2 qbar x) / c  for the cotangents of K = <x, x'> / c and q = <x, x> / c."""
        kbar = self.across
        sides = [(kbar + kbar.T, a, a)] if self.symmetric else [(kbar, b, a), (kbar.T, a, b)]
        for side, (kbar, others, x) in enumerate(sides):
            bar = self.bars[side]
            qbar = self.step_bars[side][0][:, None]

            def part(rows):
                both = kbar[rows] @ others
                both += 2 * qbar[rows] * x[rows]
                both /= x.shape[-1]
                bar[rows] += both
            if self.wanted[side]:
                threads = self._threads(inf)
                height = min(ENTRIES // x.shape[-1], -(-len(x) // threads))
                in_threads(part, cuts(len(x), max(1, height)), threads)

    # -------------------------------------------------------------- leaves, and sums of their cotangents

    def _numbers(self):
        """Return the numbers of the layers as leaves, which all blocks share, as (their `Leaves`, the network)."""
        def adding(n):
            def add(g):
                with self.adding:
                    self.numbers[n] = self.numbers[n] + g
            return add
        leaves = Leaves()
        arrays = map(untraced, self.of.numbers)
        numbers = (a if getattr(a, 'ndim', 0) else plain(a) for a in arrays)    # the constant of DotGeneral is an array
        boxes = [leaves.leaf(number, adding(n)) for n, number in enumerate(numbers)]
        return leaves, self.of.layer_of(boxes)

    def _inputs(self, leaves, side, rows):
        """Return inputs, as leaves if gradients in them are wanted."""
        x = self.sides[side][rows]
        return leaves.leaf(x, self._adding_to(self.bars[side], rows)) if self.wanted[side] else x

    def _variances_at(self, leaves, side, rows):
        """Return the variances of inputs after every step, as leaves if their cotangents are wanted."""
        return [leaves.leaf(q, add) if add else q for q, add in self._followed_variances(side, rows)]

    def _followed_variances(self, side, rows):
        """Return the variances of inputs after every step, with the functions that add to their cotangents or None."""
        both = zip(self.steps[side], self.step_bars[side])
        return [(q[rows], self._adding_to(bar, rows) if self.followed[side] else None) for q, bar in both]

    def _adding_to(self, bar, rows):
        """Return the function that adds to bar[rows], where rows may repeat."""
        def add(g):
            with self.adding:
                if isinstance(rows, (slice, tuple)):
                    bar[rows] += g
                    return
                for row, part in zip(rows, g):
                    bar[row] += part
        return add

    def _adding_products(self, i, j):
        """Return the function of the cotangent of K = <x, x'> / c of a block that adds  Kbar x' / c  to xbar."""
        if not any(self.wanted):
            return _unused
        if not self.has_positions:
            return self._adding_to(self.across, (i, j))

        def add(kbar):
            mirrored = self.xp.moveaxis(kbar, 0, 1)
            mirrored = swapped(mirrored, 2) if self.between else mirrored
            for side, rows, bar, other in (0, i, kbar, self.sides[-1][j]), (-1, j, mirrored, self.sides[0][i]):
                if self.wanted[side]:
                    self._adding_to(self.bars[side], rows)(onto_inputs(bar, other, self.between))
        return add

    def _adding_squares(self, side, rows):
        """Return the function of the cotangent of K = <x, x> / c of inputs with themselves that adds to xbar."""
        if not self.has_positions:
            # all of the cotangent of the first step: that of the blocks is an end that it is computed from
            return lambda qbar: self.step_bars[side][0].__setitem__(rows, qbar)
        if not self.wanted[side]:
            return _unused
        x = self.sides[side][rows]
        add = self._adding_to(self.bars[side], rows)
        return lambda kbar: add(onto_own(kbar, x, self.between))

    def _finished(self, k):
        """Return the state after the network as it is handed out."""
        k = k.finished()
        return k.aligned() if self.of.demand.diagonal else k

    def _ends(self, k, g):
        return [(getattr(k, name), c) for name, c in zip(self.of.names, g)]

    # -------------------------------------------------------------- inputs with themselves

    def _own_pass(self, job, is_followed):
        """Return inputs with themselves after the network; unless `is_followed`, autograd follows nothing."""
        side, rows = job
        layer = self.layer if is_followed else self.of.layer_of(self.of.numbers)
        ntk = is_followed and self.symmetric and 'ntk' in self.of.names
        for is_generic in (True, False) if self.between else (False,):
            own = _Own(Leaves(self.shared), [])
            start = self._own_start(own.leaves if is_followed else None, side, rows, is_generic)
            own.state = layer.propagate(input_of_own(
                start, own.steps, self.of.signals[side], self.of.demand, ntk, is_generic))
            if _any_of(own.state.near) is None:
                break
        return own

    def _own_start(self, leaves, side, rows, is_generic):
        """Return the Cov of inputs with themselves; its leaves are K or, with gaps between positions, the inputs."""
        if not self.has_positions:
            cov = Cov(self.squares[side][rows])
        elif leaves and self.between and not is_generic:
            return own_cov(self._inputs(leaves, side, rows), self.of.demand, is_generic)
        else:
            cov = own_cov(self.sides[side][rows], self.of.demand, is_generic)
        return Cov(leaves.leaf(cov.k, self._adding_squares(side, rows))) if leaves else cov

    def _own(self, part):
        """Go back through inputs with themselves, from the cotangents of all variances and of the diagonal."""
        (side, rows), own = part
        own = own or self._own_pass((side, rows), True)
        ends = list(zip(own.steps, (bar[rows] for bar in self.step_bars[side])))
        if self.symmetric:
            i = range(rows.start, rows.stop)
            ends += self._ends(self._finished(own.state), [g[i, i] for g in self.g])
        own.leaves.pull(ends)

    # -------------------------------------------------------------- pairs of inputs

    def _block(self, job):
        """Go back through a block of pairs; those that are not generic follow one by one, or all of them if many."""
        i, j = job
        g = [self._cotangent(g, i, j) for g in self.g]
        try:
            near = self._pulled_block(i, j, g, is_generic=True)
        except ValueError:                                   # pairs that are not generic gave no numbers
            near = g[0] == g[0]
        if near is None:
            return
        if near.sum() > MOST * near.size:
            self._pulled_block(i, j, g, is_generic=False)
            return
        rows, columns = self.xp.nonzero(near)
        step = max(1, min(self.size, NUMBERS // prod(self.sides[0].shape[1:])))
        for part in cuts(len(rows), step):
            here = rows[part], columns[part]
            self._pulled_pairs(here[0] + i.start, here[1] + j.start, [c[here] for c in g])

    def _cotangent(self, g, i, j):
        """Return the cotangent of a block; with x2 = x1 that of its mirror image is added."""
        if not self.symmetric:
            return g[i, j]
        mirrored = self.xp.moveaxis(g[j, i], 0, 1)
        both = g[i, j] + (swapped(mirrored, 2) if self.paired else mirrored)
        if i != j:
            return both
        rows = self.xp.asarray(range(len(both)))
        is_above = (rows[:, None] < rows).reshape(len(both), len(both), *[1] * (both.ndim - 2))
        return self.xp.where(is_above, both, 0)

    def _pulled_block(self, i, j, g, is_generic):
        """Go back through a block; return which pairs that matter are left out, as bools (n1, n2), or None.

        If these are more than `MOST` of them, nothing is done.
        """
        near, pull = self._chained(i, j) if is_generic and self.is_chain else (None, None)
        if not pull:
            leaves, k = self._recorded(input_of_block, i, j, is_generic)
            near, pull = k.near, lambda g: leaves.pull(self._ends(k, g))
        near = _any_of(near)
        if near is not None:
            left_out = near.reshape(*near.shape, *[1] * (g[0].ndim - 2))
            near = near & _any_of([c != 0 for c in g])
            if near.sum() > MOST * near.size:
                return near
            g = [self.xp.where(left_out, 0, c) for c in g]
        pull(g)
        return near

    def _chained(self, i, j):
        """Return where pairs are not generic, and the function that takes cotangents back; no function: no chain."""
        leaves = Leaves(self.shared)
        sides = [self._followed_variances(side, rows) for side, rows in ((0, i), (-1, j))]
        names = self.of.names
        try:
            k = self.layer.propagate(input_of_chain(
                self.sides[0][i], self.sides[-1][j], zip(*sides), self.of.signals, self.of.demand, 'ntk' in names))
        except NotImplementedError:                          # a step that it does not have
            self.is_chain = False
            return None, None

        def pull(g):
            bars = dict(zip(names, g))
            kbar = k.pulled(bars.get('nngp', 0), bars.get('ntk'))
            self._adding_products(i, j)(kbar)
            leaves.pull(k.ends)
        return k.near, pull

    def _pulled_pairs(self, i, j, g):
        """Go back through the pairs x1[i], x2[j], one by one."""
        leaves, k = self._recorded(input_of_pairs, i, j, False)
        leaves.pull(self._ends(k, g))

    def _recorded(self, start, i, j, is_generic):
        """Return the leaves and the state after the network of x1[i] with x2[j], as `start` pairs them.

        The leaves are the inputs or, of generic pairs, K. Without positions all of its cotangents are multiplied by the
        inputs together, in the end.
        """
        leaves = Leaves(self.shared)
        a, b = (self.sides[side][rows] if is_generic else self._inputs(leaves, side, rows)
                for side, rows in ((0, i), (-1, j)))

        def leaf(c):
            return leaves.leaf(c, self._adding_products(i, j) if is_generic else _unused)
        tape = replaying(self._variances_at(leaves, 0, i), self._variances_at(leaves, -1, j))
        ntk = 'ntk' in self.of.names
        k = start(a, b, leaf, tape, self.of.signals, self.of.demand, ntk, is_generic)
        return leaves, self._finished(self.layer.propagate(k))


@dataclass
class _Own:
    """Inputs with themselves: leaves, their variances after every step, and the state after the network."""
    leaves: Leaves
    steps: list
    state: Any = None


def _unused(g):
    """Do nothing with the cotangent of what no gradient is taken of."""


def _above(rows, least):
    """Return blocks that cover the pairs i < j of a slice of rows; squares on the diagonal have up to `least` pairs."""
    n = rows.stop - rows.start
    if n < 2 or n * n <= least:
        return [(rows, rows)] if n > 1 else []
    middle = rows.start + n // 2
    first = slice(rows.start, middle)
    second = slice(middle, rows.stop)
    return [(first, second), *_above(first, least), *_above(second, least)]


def _any_of(masks):
    """Return for which pairs of inputs any of the masks is True at any positions, or None without masks."""
    found = [mask.reshape(*mask.shape[:2], -1).any(-1) for mask in masks if mask is not None]
    return sum(found[1:], found[0]) if found else None
