"""The state of the recursion: covariances and tangent kernel of a layer's outputs, with their description.

    z = W h / sqrt(n) + b,   h = phi(z)      a network
    K = E[z z'],  Theta                      its covariance and tangent kernel, pushed through layer by layer

`Kernel` holds K for x1 against x2 (`nngp`), for x1 and x2 each against itself (`cov1`, `cov2`), Theta (`ntk`), and
beside each K its gap and area (see `ntref.duals`). A layer maps one `Kernel` to the next by applying a function to
each pairing of inputs: `k.map(f)`, `k.nonlinear(dual)`.

Spatial axes (h, w, ...) follow the batch axes. They come in zipped pairs (n1, n2, h, h', w, w') for covariances between
any two positions, or once (n1, n2, h, w) for covariances at equal positions only (`diagonal_spatial`).
`ntref.recursion.signal.Demand` says which of the two are needed.
"""
from dataclasses import InitVar, dataclass, fields, replace
from typing import Any

from ..arguments import as_flag
from ..arrays import is_array, namespace, untraced
from ..derivatives import carried
from ..duals.pair import Cov, Pair, check_kept, check_variances
from ..no_arrays import no_array
from ..ranges import check_range
from .positions import diagonal, diagonal_sum
from .signal import Axes, Signal

__all__ = ['COVARIANCES', 'Kernel']


ARRAYS = 'nngp', 'ntk', 'cov1', 'cov2', 'gap', 'area', 'gap1', 'area1', 'gap2', 'area2', 'mask1', 'mask2'
COVARIANCES = ('nngp', 'gap', 'area'), ('cov1', 'gap1', 'area1'), ('cov2', 'gap2', 'area2')


@dataclass(frozen=True)
class Kernel:
    """Covariances and tangent kernel of the outputs of a layer, for inputs x1 (n1 of them) and x2 (n2).

    Spatial axes are written S: paired (h, h', w, w', ...), or (h, w, ...) if `diagonal_spatial`. The arguments have the
    order they have in Neural Tangents; `is_reversed` and `diagonal_batch` accept only their defaults, and `is_input`
    has no effect.

    Attributes
    ----------
    nngp : array (n1, n2, *S)        K, covariance of the outputs, x1 against x2.                       [output^2]
    ntk : array (n1, n2, *S)         Theta, tangent kernel; None if not asked for; 0 before any weights. [output^2]
    cov1 : array (n1, *S)            covariance of each x1 with itself.                                 [output^2]
    cov2 : array (n2, *S)            covariance of each x2 with itself; None if x2 is x1.     [output^2]
    x1_is_x2 : bool                  True if x1 and x2 are the same inputs.
    is_gaussian : bool               True if the outputs are Gaussian, so that a nonlinearity may follow.
    diagonal_spatial : bool          True if covariances are kept at equal positions only.
    shape1, shape2 : tuple           shapes of the activations of the finite network.
    batch_axis, channel_axis : int   axes of these shapes, non-negative.
    gap, area : array like nngp      E[(z - z')^2] and sqrt(q q' - K^2), or None: recovered by subtraction.
    gap1, area1, gap2, area2         gap and area beside cov1 and cov2, where positions are paired.
    mask1, mask2 : array of bool     (n1, *positions) and (n2, *positions), True where an input is masked, see
                                     docs/masks.md. Covariances with such positions are 0. None: no masks.
    pattern1, pattern2               patterns of the graphs x1 and x2, for `Aggregate`; None: no graphs.
    """
    nngp: Any
    ntk: Any = None
    cov1: Any = None
    cov2: Any = None
    x1_is_x2: bool = False
    is_gaussian: bool = False
    is_reversed: InitVar[bool] = False
    is_input: InitVar[bool] = False
    diagonal_batch: InitVar[bool] = True
    diagonal_spatial: bool = False
    shape1: tuple = None
    shape2: tuple = None
    batch_axis: int = 0
    channel_axis: int = 1
    mask1: Any = None
    mask2: Any = None
    gap: Any = None
    area: Any = None
    gap1: Any = None
    area1: Any = None
    gap2: Any = None
    area2: Any = None
    pattern1: Any = None
    pattern2: Any = None

    batch_axes = 2           # number of batch axes of nngp
    is_generic = False       # see `Pair`
    is_shared = True         # the arrays are never written into

    def __post_init__(self, is_reversed, is_input, diagonal_batch):
        if as_flag(is_reversed, 'Kernel: is_reversed') or not as_flag(diagonal_batch, 'Kernel: diagonal_batch'):
            raise ValueError(f'expected is_reversed=False, diagonal_batch=True, got {is_reversed}, {diagonal_batch}. '
                             'Positions stay in their natural order here; see docs/coming-from-neural-tangents.md.')
        as_flag(is_input, 'Kernel: is_input')
        Axes(self.batch_axis, self.channel_axis)                        # raises TypeError unless both are whole numbers
        for name in 'x1_is_x2', 'is_gaussian', 'diagonal_spatial':
            object.__setattr__(self, name, as_flag(getattr(self, name), f'Kernel: {name}'))
        for name in ARRAYS if type(self) is Kernel else ():             # a tile computes them when they are needed
            a = getattr(self, name)
            is_nothing = a is None and name != 'nngp' or name == 'ntk' and type(a) is int and a == 0
            if not is_array(a) and not is_nothing:
                raise no_array(a, f'Kernel: {name} to be an array')
        if self.mask1 is None is self.mask2:
            return
        masks = [None if mask is None else tuple(mask.shape) for mask in (self.mask1, self.mask2)]
        wanted = [None if s.shape is None else tuple(s.shape[axis] for axis in s.layout) for s in self.signals]
        if masks != wanted:
            raise ValueError(f'expected mask1 and mask2 of shapes {wanted[0]} and {wanted[1]}, inputs and positions, '
                             f'or neither, got {masks[0]} and {masks[1]}.')

    def replace(self, **changes):
        """Return a copy with `changes`; a covariance replaced without its gap and area drops these."""
        for k, gap, area in COVARIANCES:
            if k in changes:
                changes = {gap: None, area: None} | changes
        return replace(self, **changes)

    def but(self, **changes):
        """Return a copy with `changes`, without the checks of `replace`, which take as long as a row of K."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **changes)
        return new

    def asdict(self):
        """Return {field: value}; arrays are not copied."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    # -------------------------------------------------------------- what describes it

    @property
    def spatial(self):
        """Axes of each position, from the end: ((-4, -3), (-2, -1)), or ((-2,), (-1,)) if `diagonal_spatial`."""
        members = 1 if self.diagonal_spatial else 2
        positions = len(self.shape1) - 2
        return tuple(tuple(range(-members * i, -members * (i - 1))) for i in range(positions, 0, -1))

    @property
    def signals(self):
        """The two `Signal`s that describe x1 and x2."""
        axes = Axes(self.batch_axis, self.channel_axis)
        signal1 = Signal(self.shape1, axes, self.is_gaussian, (self.pattern1, self.pattern2), self.mask1)
        if self.shape2 == self.shape1 and self.pattern2 is self.pattern1 and self.mask2 is self.mask1:
            return signal1, signal1
        return signal1, replace(signal1, shape=self.shape2, patterns=(self.pattern2, self.pattern1), mask=self.mask2)

    def described(self, signal1, signal2):
        """Return the same arrays with the description given by the signals of x1 and x2."""
        if self.mask1 is not None and signal1.mask is None:
            raise ValueError('expected `out` to say where outputs are masked, got a Signal without a mask. Make it of '
                             'the one given, by dataclasses.replace.')
        return self.but(shape1=signal1.shape, shape2=signal2.shape, is_gaussian=signal1.is_gaussian,
                        batch_axis=signal1.axes.batch, channel_axis=signal1.axes.channel, mask1=signal1.mask,
                        mask2=signal2.mask)

    # -------------------------------------------------------------- the recursion

    def map(self, f, *others):
        """Map covariances, gaps and areas by f(Pair, *Pairs of the other Kernels) -> Cov; leave `ntk` as it is."""
        return self._with([f(*pairs) for pairs in zip(self._pairs(), *(k._pairs() for k in others))])

    def tangent(self, f):
        """Return f(Theta) for linear f."""
        return self.ntk if self.ntk is None or isinstance(self.ntk, int) else f(self.ntk)

    def linear(self, f, gap=False, area=False, bound=None):
        """Apply a linear f to K and Theta, and to gap and area if these flags are True.

        Gap and area are recovered by subtraction later if f is not applied to them.
        `bound` is an upper bound of the gap as a function of the Pair; see `bounded`.
        """
        def cov(p):
            new_gap = None if p.is_generic else f(p.gap) if gap else bound(p.numbers) if bound else None
            return Cov(f(p.k), new_gap, f(p.cov.area) if area and p.cov.area is not None else None)
        return self.map(cov).but(ntk=self.tangent(f))

    def meetings(self):
        """Return which inputs coincide at every position, as bools (n1, n2), or None if gaps are not carried."""
        if self.gap is None:
            return None
        gap = untraced(self.gap)
        if self.diagonal_spatial:
            return namespace(gap).all(gap == 0, axis=tuple(range(self.batch_axes, gap.ndim)))
        return diagonal_sum(gap, self.batch_axes) == 0

    def meeting(self, met):
        """Set the gap to 0 at equal positions of inputs that coincided before (`met`): they still coincide."""
        if met is None or not met.any():
            return self
        here = self._here(() if self.diagonal_spatial else self.nngp.shape[self.batch_axes::2])
        same = met.reshape(*met.shape, *[1] * (self.nngp.ndim - met.ndim)) & here
        gap, *own = (pair.numbers.gap for pair in self._pairs())
        new = self.but(gap=namespace(gap).where(same, 0, gap))
        if self.diagonal_spatial or self.nngp.ndim == self.batch_axes:
            return new
        own = [namespace(g).where(here, 0, g) for g in own]
        return new.but(**dict(zip(('gap1', 'gap2'), own)))

    def bounded(self):
        """Replace gaps that are upper bounds by q + q' - 2 K where that is less: exact where the bound is 0."""
        new = {}
        for (_, name, _), pair in zip(COVARIANCES, self._pairs()):
            p = pair.numbers
            if getattr(self, name) is not None:
                new[name] = p.xp.minimum(p.gap, p.xp.maximum(p.q1 + p.q2 - 2 * p.k, 0))
        return self.but(**new)

    def nonlinear(self, dual, fused=None, fused_generic=None):
        """K' = E[phi phi'],  Theta' = E[dphi dphi'] Theta,  for dual: Pair -> (Cov, E[dphi dphi']).

        `fused` and `fused_generic` are forms of the dual for large arrays (`ntref.duals.fast`), which only tiles use.
        """
        pairs = self._pairs()
        covs, slopes = zip(*(dual(pair) for pair in pairs))
        new = self._with(covs)
        for q, new_q in zip(self.all_variances(), new.all_variances()):
            check_kept(dual, q, new_q)
        new = new._with([pair.settled(old) for pair, old in zip(new._pairs(), pairs)])
        return new.but(ntk=None if self.ntk is None else slopes[0] * self.ntk).with_own()

    def with_own(self):
        """Set K of each input with itself to `cov1`, to the last bit, and its gap and area to those of `cov1`."""
        if not self.x1_is_x2 or len(self.nngp) != self.nngp.shape[1]:
            return self
        is_paired = not self.diagonal_spatial and self.cov1.ndim > 1
        own = (self.cov1, self.gap1, self.area1) if is_paired else (self.cov1, 0., 0.)
        xp = namespace(untraced(self.nngp))
        here = xp.nonzero(xp.eye(len(self.nngp)) > 0)
        return self.but(**{name: _patched(getattr(self, name), here, values)
                           for name, values in zip(COVARIANCES[0], own)})

    def finished(self):
        """Make Theta an array of zeros if there were no weights; raise ValueError if K or Theta went out of range."""
        new = self.with_own()
        new = new.but(ntk=0 * abs(new.nngp)) if isinstance(new.ntk, int) else new
        for a in (new.nngp, new.ntk):
            if a is not None:
                check_range(a)
        return new

    def in_range(self):
        """Return self; raise ValueError if a variance, and so all later numbers, went out of range of its dtype."""
        for q in self.all_variances():
            check_variances(q)
        return self

    def shared(self):
        """Return self for more than one holder; arrays of a `Kernel` are never written into."""
        return self

    def computed(self):
        """Return self with all arrays computed; those of a `Kernel` always are."""
        return self

    def slides(self, windows):
        """Return the list of (axis, Window) of each position, for windows along the spatial axes."""
        return [[(axis, window) for axis in axes] for axes, window in zip(self.spatial, windows)]

    def in_rows(self, windows, f, is_local=True):
        """Return f(self, slides) for windows along the spatial axes; see `slides`.

        With tiles f gets some rows at a time. `is_local` means that the variance at an output position follows from the
        variances of its inputs.
        """
        return f(self, self.slides(windows))

    def within(self, f):
        """Return f(cov1, mask1) and f(cov2, mask2), arrays (n, ...) from the covariances of each input with itself."""
        own = f(self.cov1, self.mask1)
        return own, own if self.cov2 is None else f(self.cov2, self.mask2)

    def sides(self, a1, a2):
        """Return left and right members of the pairings of `map` from a1 of x1, a2 of x2; batch axes broadcast."""
        return [(a1[:, None], a2[None]), (a1, a1)] + [(a2, a2)] * (self.cov2 is not None)

    def variances(self, i):
        """Return the variances q of the inputs x1 (i = 1) or x2 (i = 2), an array (n, *positions)."""
        q = self.cov1 if i == 1 or self.cov2 is None else self.cov2
        return q if self.diagonal_spatial else diagonal(q, 1)

    def all_variances(self):
        """Return the variances of x1 and, if x2 are other inputs, those of x2."""
        return [self.variances(i) for i in ((1,) if self.cov2 is None else (1, 2))]

    def aligned(self):
        """Return the kernel at equal positions only."""
        if self.diagonal_spatial:
            return self
        n = self.batch_axes
        batch = dict.fromkeys(COVARIANCES[0], n) | dict(cov1=1, cov2=1)
        diagonals = {name: None if (a := getattr(self, name)) is None else diagonal(a, m) for name, m in batch.items()}
        return self.but(**diagonals, ntk=self.tangent(lambda ntk: diagonal(ntk, n)), diagonal_spatial=True,
                        gap1=None, area1=None, gap2=None, area2=None)

    def uncorrelated(self):
        """Return paired covariances made from those at equal positions, with 0 at different positions."""
        xp = namespace(self.nngp)
        here = self._here(self.nngp.shape[self.batch_axes:])

        def paired(c):
            for axis in range(c.ndim - here.ndim // 2, c.ndim + here.ndim // 2, 2):
                c = xp.expand_dims(c, axis + 1)
            return xp.where(here, c, 0)
        given = {name: a for name in ('nngp', 'gap', 'cov1', 'cov2') if (a := getattr(self, name)) is not None}
        new = self.but(**{name: paired(a) for name, a in given.items()}, ntk=self.tangent(paired), area=None,
                       diagonal_spatial=False)
        return new.map(lambda p: Cov(p.k, xp.where(here, p.gap, p.q1 + p.q2)))

    def divide(self, v1, v2):
        """Divide z by sqrt(v), with v1 for x1 and v2 for x2 shaped like `variances`, or with axes of length one."""
        pairs, variances = self._pairs(), self._spreads(v1, v2)
        left, right = variances[0]
        ntk = None if self.ntk is None else self.ntk / left ** .5 / right ** .5
        return self._with([p.divide(*v) for p, v in zip(pairs, variances)]).but(ntk=ntk)

    def masked(self):
        """Set z = 0 where it is masked: covariances with it become 0, and gaps the variance of the other member."""
        if self.mask1 is None:
            return self
        xp = namespace(self.nngp)
        sides = self._spreads(self.mask1, self.mask2)
        left, right = sides[0]
        each = iter(sides)

        def nothing(p):
            (left, right), (k, gap, area) = next(each), p.cov
            here = left | right
            alone = None if gap is None else xp.where(left, 0, p.q1) + xp.where(right, 0, p.q2)
            return Cov(xp.where(here, 0, k), None if gap is None else xp.where(here, alone, p.gap),
                       None if area is None else xp.where(here, 0, area))
        return self.map(nothing).but(ntk=self.tangent(lambda ntk: xp.where(left | right, 0, ntk)))

    def nothing(self):
        """Return where a member of a pair is masked: bool arrays for the pairings of `map`; False without masks."""
        masks = [] if self.mask1 is None else self._spreads(self.mask1, self.mask2)
        return [left | right for left, right in masks] or [False] * len(COVARIANCES)

    def coincidences(self):
        """Return where an input meets itself at the same position: bool arrays for the pairings of `map`."""
        xp, n1, n2 = namespace(self.nngp), *self.nngp.shape[:2]
        here = self._here(() if self.diagonal_spatial else self.nngp.shape[2::2])
        batch = xp.eye(n1) if self.x1_is_x2 and n1 == n2 else xp.zeros((n1, n2))
        batch = (batch > 0).reshape(n1, n2, *[1] * (self.nngp.ndim - 2))
        return [batch & here, here] + [here] * (self.cov2 is not None)

    def _here(self, sizes):
        """Return an array of bool (h, h', w, w', ...) that is True at equal positions."""
        xp = namespace(self.nngp)
        here = xp.eye(1)[0] > 0
        for i, size in enumerate(sizes):
            here = here & (xp.eye(size) > 0).reshape(size, size, *[1] * (2 * (len(sizes) - 1 - i)))
        return here

    def _pairs(self):
        """Return the pairings as `Pair`s: x1 with x2, x1 with itself, x2 with itself unless x2 is x1."""
        covs = (Cov(*(getattr(self, name) for name in names)) for names in COVARIANCES)
        spreads = self._spreads(self.variances(1), self.variances(2))
        return [Pair.same(q1) if q1.shape == q2.shape == cov.k.shape and cov.k is not self.nngp else Pair(q1, q2, cov)
                for cov, (q1, q2) in zip(covs, spreads)]

    def _spreads(self, a1, a2):
        """Return the left and right members of the pairings of `_pairs`; they broadcast against the covariances."""
        return [(self._spread(left, 0), self._spread(right, 1)) for left, right in self.sides(a1, a2)]

    @property
    def patterns(self):
        """Patterns of the graphs x1 and x2, None where there are no graphs."""
        return self.pattern1, self.pattern2

    def _with(self, covs):
        changes = {}
        for names, cov in zip(COVARIANCES, covs):
            is_paired = not self.diagonal_spatial and cov.k.ndim > 1                 # `cov` may have new positions
            changes.update(zip(names, cov if names[0] == 'nngp' or is_paired else (cov.k, None, None)))
        return self.but(**changes)

    def _spread(self, q, side):
        """Return q with axes of length one in the places of the positions of the other side of the pairs."""
        positions = (self.nngp.ndim - self.batch_axes) // 2
        if self.diagonal_spatial or not positions:
            return q
        xp = namespace(q)
        for axis in range(q.ndim - positions, q.ndim + positions, 2):
            q = xp.expand_dims(q, axis + 1 - side)
        return q


def _patched(a, index, values):
    """Return a with the values at the index; keep its derivatives, since coinciding inputs may be moved apart."""
    if a is None or values is None:
        return a
    number = untraced(a)
    return carried(namespace(number).patch(number, index, untraced(values)), a)
