"""`Kernel`: the state of the recursion under the names that it has in Neural Tangents."""
from typing import Any

from ..arguments import as_flag
from ..arrays import is_array
from ..duals.geometry import Cov
from ..no_arrays import no_array
from .signal import Axes, Signal, shared_signal
from .state import State

__all__ = ['Kernel', 'NAMES']

COVARIANCES = {'nngp': ('gap', 'area'), 'cov1': ('gap1', 'area1'), 'cov2': ('gap2', 'area2')}
ARRAYS = 'nngp', 'ntk', 'cov1', 'cov2', 'gap', 'area', 'gap1', 'area1', 'gap2', 'area2', 'mask1', 'mask2'
NAMES = ('nngp', 'ntk', 'cov1', 'cov2', 'x1_is_x2', 'is_gaussian', 'diagonal_spatial', 'shape1', 'shape2', 'batch_axis',
         'channel_axis', 'mask1', 'mask2', 'gap', 'area', 'gap1', 'area1', 'gap2', 'area2', 'pattern1', 'pattern2')


class Kernel(State):
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

    def __init__(self, nngp: Any, ntk: Any = None, cov1: Any = None, cov2: Any = None, x1_is_x2: bool = False,
                 is_gaussian: bool = False, is_reversed: bool = False, is_input: bool = False,
                 diagonal_batch: bool = True, diagonal_spatial: bool = False, shape1: tuple[int, ...] | None = None,
                 shape2: tuple[int, ...] | None = None, batch_axis: int = 0, channel_axis: int = 1, mask1: Any = None,
                 mask2: Any = None, gap: Any = None, area: Any = None, gap1: Any = None, area1: Any = None,
                 gap2: Any = None, area2: Any = None, pattern1: Any = None, pattern2: Any = None) -> None:
        if as_flag(is_reversed, 'Kernel: is_reversed') or not as_flag(diagonal_batch, 'Kernel: diagonal_batch'):
            raise ValueError(f'expected is_reversed=False, diagonal_batch=True, got {is_reversed}, {diagonal_batch}. '
                             'Positions stay in their natural order here; see docs/coming-from-neural-tangents.md.')
        as_flag(is_input, 'Kernel: is_input')
        axes = Axes(batch_axis, channel_axis)                       # raises TypeError unless both are whole numbers
        x1_is_x2 = as_flag(x1_is_x2, 'Kernel: x1_is_x2')
        is_gaussian = as_flag(is_gaussian, 'Kernel: is_gaussian')
        diagonal_spatial = as_flag(diagonal_spatial, 'Kernel: diagonal_spatial')
        signal1 = Signal(shape1, axes, is_gaussian, (pattern1, pattern2), mask1)
        signal2 = Signal(shape2, axes, is_gaussian, (pattern2, pattern1), mask2)
        if isinstance(shape1, tuple) and isinstance(shape2, tuple):           # other things are refused later
            signal1, signal2 = shared_signal(signal1, signal2)
        super().__init__(
            mutual=Cov(nngp, gap, area),
            own1=Cov(cov1, gap1, area1),
            own2=None if cov2 is None else Cov(cov2, gap2, area2),
            ntk=ntk,
            signal1=signal1,
            signal2=signal2,
            paired=not diagonal_spatial,
            are_same=x1_is_x2)
        self._check()

    @classmethod
    def of(cls, **state: Any) -> 'Kernel':
        """Return the Kernel of the fields of a `State`, which are not checked."""
        new = object.__new__(cls)
        State.__init__(new, **state)
        return new

    def _check(self):
        """Raise an error if the arrays are none, or the masks do not fit the shapes."""
        for name in ARRAYS:
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

    def replace(self, **changes: Any) -> 'Kernel':
        """Return a copy with `changes`; a covariance replaced without its gap and area drops these."""
        dropped = {name: None for k, beside in COVARIANCES.items() if k in changes for name in beside}
        return Kernel(**self.asdict() | dropped | changes)

    def asdict(self) -> dict[str, Any]:
        """Return {name: value}; arrays are not copied."""
        return {name: getattr(self, name) for name in NAMES}

    def __repr__(self):
        return f'Kernel({", ".join(f"{name}={value!r}" for name, value in self.asdict().items())})'

    # -------------------------------------------------------------- the names

    @property
    def gap(self) -> Any:
        return self.mutual.gap

    @property
    def area(self) -> Any:
        return self.mutual.area

    @property
    def cov1(self) -> Any:
        return self.own1.k

    @property
    def gap1(self) -> Any:
        return self.own1.gap

    @property
    def area1(self) -> Any:
        return self.own1.area

    @property
    def cov2(self) -> Any:
        return None if self.own2 is None else self.own2.k

    @property
    def gap2(self) -> Any:
        return None if self.own2 is None else self.own2.gap

    @property
    def area2(self) -> Any:
        return None if self.own2 is None else self.own2.area

    @property
    def x1_is_x2(self) -> bool:
        return self.are_same

    @property
    def is_gaussian(self) -> bool:
        return self.signal1.is_gaussian

    @property
    def shape2(self) -> Any:
        return self.signal2.shape

    @property
    def batch_axis(self) -> int:
        return self.signal1.axes.batch

    @property
    def channel_axis(self) -> int:
        return self.signal1.axes.channel

    @property
    def pattern1(self) -> Any:
        return self.patterns[0]

    @property
    def pattern2(self) -> Any:
        return self.patterns[1]
