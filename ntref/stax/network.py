"""What networks and layers can be asked: `init_fn`, `apply_fn`, `kernel_fn`, and how these call the layer."""
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import isqrt
from typing import Any, get_args

from ..arguments import as_flag, check_finite, requested
from ..arrays import EXACT, as_floats, exact, generator, kind
from ..engine.cost import CallCost, predicted
from ..engine.cover import ENTRIES
from ..once import cached_property, remembered
from ..ranges import beyond_range
from ..recursion.kernel import NAMES, Kernel
from ..recursion.signal import Axes, Demand, Signal, shared_signal
from ..trees import leaves
from ..tuples import named_tuple
from ..types import Array, Get, Seed, Shape, Tree
from .given import check_places, first_leaf, kernel_given, read
from .located import LayerError, located
from .masking import check_found, is_masked, masked_inputs, published, state, zeroed
from .numbers import followed
from .plan import Whole, entries, gradient_in_tiles, planned
from .shown import Shown
from .trees import each_branch, input_signal, tree_signal

__all__ = ['KernelFunction', 'Network']

ORDER = 'kernel_fn takes x1, x2 and get, in this order.'
SHAPES = 16            # shapes of inputs for which a network keeps what becomes of them


class Network(Shown, abstract=True):
    """The triple of functions `init_fn, apply_fn, kernel_fn`, made of what a `Layer` defines."""

    out: Callable[..., Any]
    init: Callable[..., Any]
    apply: Callable[..., Any]
    kernel: Callable[..., Any]
    check: Callable[..., Any]
    demand: Callable[..., Any]
    several: bool
    row_by_row: bool
    elementwise: bool
    knows_flat: bool

    def init_fn(self, rng: Seed, input_shape: Tree) -> tuple[Tree, Tree]:
        """Return the shape of the output and random parameters.

        Parameters
        ----------
        rng : int or numpy.random.Generator     the seed
        input_shape : tuple, or a list of them  shape of the inputs; the batch axis may be -1

        Returns
        -------
        output_shape, params
        """
        with located(self):
            signal = tree_signal(input_shape, self.demand(Demand()))
            self._check_single(signal)
            return each_branch(lambda s: s.shape, self.after(signal)), self.init(generator(rng), signal)

    def apply_fn(self, params: Tree, inputs: Tree, rng: Seed | None = None, *, pattern: Array | None = None,
                 mask_constant: float | None = None) -> Tree:
        """Return the outputs of the finite network; a `MaskedArray`, or a list of them, if there are masks.

        Parameters
        ----------
        params : the parameters that `init_fn` returned
        inputs : array (n, ...), or a list of them; of any shape where the layer acts on each entry alone
        rng : int or numpy.random.Generator     the seed; random layers (Dropout) need it
        pattern : array (n, ...)                edges of the graphs, see `Aggregate`; None: no graphs
        mask_constant : float                   the constant that pads inputs, see docs/masks.md; None: no masks

        Raises
        ------
        ValueError : NaN or infinity in params, or in inputs without masks; shapes that do not fit; layers that lack
            something they need.
        """
        with located(self):
            for leaf in leaves(params):
                check_finite(leaf, 'each of params')
            self._check_single(inputs)
            inputs, masks = masked_inputs(inputs, mask_constant)
            shape = each_branch(_shape, inputs)
            if masks is None:
                each_branch(lambda x: check_finite(x, 'the inputs'), inputs)
                if self.elementwise:
                    return self._step(params, inputs, rng, pattern=pattern)
            signal = tree_signal(shape, self.demand(Demand()), (pattern, pattern))
            if masks is None:
                self.after(signal)
                return self._step(params, inputs, rng, pattern=pattern)
            check_found(mask_constant, masks)
            masked = each_branch(state, inputs, masks, signal)
            return each_branch(published, self._step(params, masked, rng, pattern=pattern))

    def _step(self, params, x, rng=None, **given):
        """Apply the layer to an array, or to a `Masked`, for which it returns a `Masked`.

        Outputs are 0 where they are masked, and `out` says where that is.
        """
        if not is_masked(x):
            return self._exactly(leaves(x)[0]).apply(params, x, rng=rng, **given)
        signal = each_branch(lambda h: h.signal, x)
        new = self.apply(params, each_branch(lambda h: h.value, x), rng=rng, mask=each_branch(lambda s: s.mask, signal),
                         **given)
        return each_branch(zeroed, new, self.after(signal))

    def __call__(self, x1: Tree, x2: Tree = None, get: Get = None, **options: Any) -> Any:
        """Return the kernels of the infinitely wide network, so that a network can be given as its own `kernel_fn`."""
        return self.kernel_fn(x1, x2, get, **options)

    @property
    def kernel_fn(self) -> 'KernelFunction':
        """The function that computes the kernels of the infinitely wide network, see `KernelFunction`."""
        return KernelFunction(self)

    def _check_single(self, x):
        if isinstance(x, (list, tuple)) and not self.several:
            raise LayerError(f'expected one input, got a list of {len(x)}. Numbers in lists are made an array by '
                             'numpy.asarray; lists of inputs are for `parallel`.', self)

    def laid_out(self, k: Kernel, diagonal_spatial: bool | None) -> Kernel:
        """Return the state `k` with the positions that are asked for.

        `diagonal_spatial` is True, False, or None for the positions that `k` has.
        """
        paired = not (k.diagonal_spatial if diagonal_spatial is None else diagonal_spatial)
        if paired and k.diagonal_spatial:
            raise LayerError('expected a Kernel with covariances between positions for diagonal_spatial=False, got one '
                             'with diagonal_spatial=True. Compute it with diagonal_spatial=False.', self)
        return k if paired else k.aligned()

    @cached_property
    def followed_numbers(self) -> list[Any]:
        """The numbers of its layers that autograd follows."""
        return followed(self)

    @remembered(3)
    def asked(self, diagonal_spatial: bool | None) -> Tree:
        """Return the demand of the network on its inputs; for `diagonal_spatial` see `KernelFunction`."""
        with located(self):
            demand = self._to_meet(Demand(paired=not diagonal_spatial, diagonal=bool(diagonal_spatial)))
        return each_branch(lambda d: replace(d, paired=True), demand) if diagonal_spatial is False else demand

    @remembered(SHAPES)
    def signals(self, shape1: Shape, shape2: Shape, demand: Demand) -> tuple[Signal, Signal]:
        """Return the signals of inputs of these shapes without masks and patterns, which know what becomes of them."""
        return shared_signal(input_signal(shape1, demand), input_signal(shape2, demand))

    def traced(self, signal: Tree) -> Tree:
        """Return `trace(signal)`, which is found once: the signal keeps it."""
        return self._once('trace', self.trace, signal)

    def trace(self, signal: Tree) -> Tree:
        """Return the `Signal` after the layer in the infinite network.

        Raises `LayerError` before anything is computed.
        """
        with located(self):
            self._check_single(signal)
            self.check(signal)
            return self.after(signal)

    def after(self, signal: Tree) -> Tree:
        """Return `out(signal)`, which is found once: the signal, or the first of its leaves, keeps it."""
        return self._once('out', self.out, signal)

    def _once(self, what, f, signal):
        key = what, id(self)                                   # its own while an entry holds the layer
        first, *others = [signal] if isinstance(signal, Signal) else leaves(signal) or [Signal((), Axes())]
        _, beside, new = first.behind.get(key, (None, None, None))
        if beside is None or len(beside) != len(others) or others and any(a is not b for a, b in zip(beside, others)):
            new = f(signal)
            first.behind[key] = self, others, new
        return new

    def propagate(self, k: Tree) -> Tree:
        """Return the next state, described by the signals after the layer."""
        with located(self):
            k = k if self.row_by_row else each_branch(lambda k: k.computed(), k)
            with beyond_range():
                new = self._exactly((k[0] if isinstance(k, (list, tuple)) else k).like).kernel(k)
            signal1, signal2 = k.signals if hasattr(k, 'signals') else (
                each_branch(lambda k: k.signals[i], k) for i in (0, 1))
            out1 = self.after(signal1)
            out2 = out1 if signal2 is signal1 else self.after(signal2)
            return each_branch(lambda k, s1, s2: k.described(s1, s2).masked().in_range(), new, out1, out2)

    def _exactly(self, like):
        """Return the layer with its numbers converted to those that arrays such as `like` compute with."""
        if kind(like) not in EXACT:
            return self
        types = self.types()
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        # Python divides whole numbers in double precision
        given |= {name: float(value) for name, value in given.items()
                  if type(value) is int and float in (types[name], *get_args(types[name]))}
        changed = {name: exact(value, like) for name, value in given.items()}
        changed = {name: new for name, new in changed.items() if new is not getattr(self, name)}
        return replace(self, **changed) if changed else self

    def __iter__(self):
        return iter((self.init_fn, self.apply_fn, self.kernel_fn))

    def __getitem__(self, i):
        return tuple(self)[i]

    def __len__(self):
        return 3

    def _to_meet(self, demand):
        """Return what the layer needs to meet `demand`, with `flat` only if the layer knows it.

        The kernel of such a layer commutes with the mean over positions.
        """
        needed = self.demand(demand)
        return needed if self.knows_flat else each_branch(lambda d: replace(d, flat=False) if d.flat else d, needed)


@dataclass(frozen=True, repr=False)
class KernelFunction:
    """Covariance and tangent kernel of the infinitely wide network.

    Parameters
    ----------
    x1 : array (n1, ..., channels), or Kernel, or a list of them
        Inputs; axes other than batch and channels are spatial. float32 gives float32, integers are made float64.
    x2 : array (n2, ..., channels), optional
        The second inputs; None: x2 is x1.
    get : str or tuple of str, optional
        'nngp', 'ntk', or another field of `Kernel`. A string gives an array, a tuple a named tuple, None the
        `Kernel`, which can be fed to another `kernel_fn`. 'ntk' is computed only if it is asked for. For more
        than a few hundred inputs ask for 'nngp' and 'ntk' by name: they are then computed tile by tile, in the
        memory of the result.
    diagonal_spatial : bool, optional
        None: covariances between any two positions are computed where a layer such as pooling needs them or the output
        has positions. True: only those at equal positions, from input to output. False: those between any two
        positions, throughout.
    pattern : (array (n1, ...), array (n2, ...)), optional
        Edges of the graphs x1 and of the graphs x2, see `Aggregate`. With x2=None the pattern of x1 is enough. All
        inputs of a list have the same patterns. None: no graphs, or the patterns of the `Kernel`.

    mask_constant : float, optional
        The constant with which inputs of different lengths are padded (a number, NaN or infinity). A position is masked
        where all of its channels are equal to it, and the kernel is that of the inputs without masked positions;
        docs/masks.md. None: no masks.

    Returns
    -------
    array (n1, n2), named tuple or Kernel

    Raises
    ------
    TypeError  : inputs that are not real arrays of one kind.
    ValueError : NaN or infinite inputs, shapes that do not fit, unknown `get`; a layer that does not get what it
        needs, such as a pool with diagonal_spatial=True (the message names it and its place).
    UserWarning : a mask_constant that is in none of the inputs.

    Accuracy
    --------
    See docs/accuracy.md, for each activation, depth, separation of the inputs and precision.
    """

    layer: Any

    is_part = False          # True for parts of a larger kernel, whose inputs need not have what all together have

    def __repr__(self):
        return f'{self.layer!r}.kernel_fn'

    def __call__(self, x1: Tree, x2: Tree = None, get: Get = None, *, diagonal_spatial: bool | None = None,
                 pattern: Any = None, mask_constant: float | None = None) -> Any:
        layer = self.layer
        names = requested(get, NAMES, ORDER)
        diagonal_spatial = None if diagonal_spatial is None else as_flag(diagonal_spatial, 'diagonal_spatial')
        check_places(x1, x2)
        layer._check_single(x1)

        def selected(k):
            return _select(k, get, names, diagonal_spatial)
        if isinstance(first_leaf(x1), Kernel):
            k = kernel_given(x1, x2, pattern, mask_constant)
            k = each_branch(lambda k: layer.laid_out(k, diagonal_spatial), k)
            for i in (0, 1):
                layer.trace(each_branch(lambda k: k.signals[i], k))
            return each_branch(selected, layer.propagate(k))
        given = read(layer, x1, x2, diagonal_spatial, pattern, mask_constant, self.is_part)
        plan = planned(layer, given, names, self.is_part)
        return each_branch(selected, plan.run()) if isinstance(plan, Whole) else _given(plan.run(), get)

    def cost(self, shape1: Tree, shape2: Tree = None, get: Get = None, dtype: Any = 'float64') -> CallCost:
        """Predict memory and time of a call by a trial with a few inputs, which takes as long as a few tiles.

        Parameters
        ----------
        shape1 : tuple, or a list of them    shape of x1, with the number of inputs
        shape2 : the same, optional          shape of x2; None: x2 is x1
        get : as in the call
        dtype : the dtype of the inputs

        Returns
        -------
        CallCost (bytes, seconds)
            Bytes at the peak, beyond the inputs, and seconds on this machine, on its threads. Both are accurate within
            a few ten per cent, if the machine is as busy as now.

        Raises
        ------
        ValueError : a shape without inputs or channels, and as for the call. TypeError : not a shape; another dtype.

        Examples
        --------
        >>> from ntref import stax
        >>> net = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
        >>> cost = net.kernel_fn.cost((50000, 10), get='ntk')
        >>> 18.6 <= cost.bytes / 2 ** 30 < 19
        True
        """
        names = requested(get, NAMES, ORDER)
        demand = self.layer.asked(None)
        rng = generator(0)
        if str(dtype) not in ('float32', 'float64') and dtype is not float:
            raise TypeError(f"kernel_fn.cost: expected dtype to be 'float32' or 'float64', got {dtype!r:.100}.")
        shapes = [shape1] if shape2 is None else [shape1, shape2]
        signals = [each_branch(_filled, tree_signal(shape, demand)) for shape in shapes]
        first = first_leaf(demand)
        of_a_pair = 1 if first.flat else entries(first_leaf(signals[0]), first.paired)
        few = max(2, (4 if names else 1) * isqrt(ENTRIES // of_a_pair))

        def drawn(signal):
            n = min(few, signal.shape[signal.axes.batch])
            return rng.standard_normal(signal.with_inputs(n).shape).astype(dtype)
        inputs = [each_branch(drawn, signal) for signal in signals]
        asked = [first_leaf(signal).inputs for signal in signals]
        trial = [min(n, few) for n in asked]
        x2, n2, m2 = (inputs[1], asked[1], trial[1]) if shape2 is not None else (None, None, None)
        return predicted(lambda: self(inputs[0], x2, get), (trial[0], m2), (asked[0], n2), not names)

    def of_blocks(self, x1: Tree, x2: Tree = None, get: Get = None, *, diagonal_spatial: bool | None = None,
                  pattern: Any = None, mask_constant: float | None = None) -> 'KernelOfBlock | None':
        """Return the `KernelOfBlock` for blocks of these inputs, or None if layers mix the batch.

        The arguments are those of the call.
        """
        given = read(self.layer, x1, x2, diagonal_spatial, pattern, mask_constant, self.is_part)
        is_one = given.are_same
        return KernelOfBlock(self.layer, is_one) if all(map(self.layer.tileable, given.signals)) else None

    def gradient_in_tiles(self, x1: Tree, x2: Tree = None, get: Get = None, *, diagonal_spatial: bool | None = None,
                          pattern: Any = None, mask_constant: float | None = None) -> bool:
        """True if gradients of such a call are computed in tiles: autograd then records its inputs and numbers alone.

        The arguments are those of the call.
        """
        given = read(self.layer, x1, x2, diagonal_spatial, pattern, mask_constant, self.is_part)
        return gradient_in_tiles(self.layer, given, requested(get, NAMES, ORDER))


@dataclass(frozen=True, repr=False)
class KernelOfBlock(KernelFunction):
    """The kernel function of blocks of a larger kernel; x2=None stands for blocks on the diagonal, where x2 is x1.

    A block cannot tell whether its inputs are the same, since different inputs may have the same values. Nor does each
    block need to contain masks.
    """
    is_one: bool = False         # True if x2 was the same as x1 in the whole

    is_part = True


def _filled(signal):
    """Return the signal itself; raise ValueError if an axis has no entries."""
    if min(signal.shape) < 1:
        raise ValueError(f'kernel_fn.cost: expected at least one input and one entry on each axis, got shape '
                         f'{signal.shape}.')
    return signal


def _select(k, get, names, diagonal_spatial):
    k = k.finished()
    if diagonal_spatial and len(k.shape1) > 2:                # positions made after a layer that removes them
        k = k.aligned()
    return k if get is None else _given({name: getattr(k, name) for name in names}, get)


def _given(arrays, get):
    """Return a single array if `get` is a name, and a named tuple otherwise."""
    if isinstance(get, str):
        return next(iter(arrays.values()))
    return named_tuple('AnalyticKernel', arrays)


def _shape(x):
    return tuple(as_floats(x)[0].shape)
