"""What a kernel function is given: inputs, or a `Kernel`, with masks and patterns, checked and described."""
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from ..arguments import as_wholes
from ..arrays import as_floats, is_array, namespace
from ..recursion.kernel import Kernel
from ..recursion.signal import Axes, Signal, shared_signal
from ..recursion.start import checked
from ..trees import leaves
from ..types import Tree
from .masking import check_found, masked_inputs
from .trees import each_branch, input_signal

__all__ = ['Given', 'check_places', 'first_leaf', 'kernel_given', 'read']


@dataclass(frozen=True)
class Given:
    """Inputs of a kernel function; each field is a tree with a leaf for each branch.

    Attributes
    ----------
    x1, x2           arrays, 0 where they are masked, flat where that is enough; x2 is None if it is x1.
    signals : pair   the `Signal`s of x1 and of x2, with masks and patterns.
    demand           what the network needs of its inputs.
    """
    x1: Any
    x2: Any
    signals: tuple
    demand: Any

    @property
    def are_same(self) -> bool:
        """True if each of x2 is the same input as the x1 in its place: x2=None, or equal values, masks and patterns.

        This is decided only here, for all inputs of a call, and handed on: for blocks only their places tell, see
        `KernelOfBlock`.
        """
        return _are_same(self.x1, self.x2, self.signals)


def read(layer: Any, x1: Tree, x2: Tree, diagonal_spatial: bool | None, pattern: Any, mask_constant: Any,
         is_part: bool) -> Given:
    """Return the `Given` of a call of a kernel function, whose arguments these are.

    `is_part` says that the inputs are a block of others, which need not contain masks.
    """
    (x1, masks1), (x2, masks2) = (masked_inputs(x, mask_constant) for x in (x1, x2))
    if not is_part:
        check_found(mask_constant, masks1, masks2, stacklevel=4)
    x1, x2, demand = _checked(x1, x2, layer.asked(diagonal_spatial))
    x1, x2, masks1, masks2 = (_without_positions(tree, demand) for tree in (x1, x2, masks1, masks2))
    pattern1, pattern2 = _patterns(pattern, first_leaf(x2) is None)
    if pattern1 is pattern2 is masks1 is masks2 is None and not isinstance(x1, (list, tuple)):
        return Given(x1, x2, layer.signals(x1.shape, _second(x1, x2).shape, demand), demand)
    signals1 = each_branch(lambda x, d: input_signal(x.shape, d, (pattern1, pattern2)), x1, demand)
    signals2 = each_branch(lambda x, d: input_signal(x.shape, d, (pattern2, pattern1)), each_branch(_second, x1, x2),
                           demand)
    signals = signals1, each_branch(lambda first, second: shared_signal(first, second)[1], signals1, signals2)
    if masks1 is not None or masks2 is not None:
        signals = _masked(signals, x1, masks1, x2, masks2)
    return Given(x1, x2, tuple(signals), demand)


def kernel_given(k: Tree, x2: Any, pattern: Any, mask_constant: Any) -> Tree:
    """Return the tree of `Kernel`s given in place of inputs, checked, with other patterns if these are given."""
    if x2 is not None:
        raise ValueError(f'expected x2=None with a Kernel as x1, which holds both inputs; got {type(x2)}.')
    if mask_constant is not None:
        raise ValueError('expected mask_constant=None with a Kernel as x1, which has the masks of its inputs; got '
                         f'{mask_constant}.')
    if not all(isinstance(leaf, Kernel) for leaf in leaves(k)):
        raise TypeError('expected a Kernel for each input, or an array for each, got both in one list.')
    return each_branch(lambda k: _with_patterns(_fitting(k), pattern), k)


def first_leaf(tree: Tree) -> Any:
    """Return the first leaf of the tree; an empty list is its own leaf."""
    while isinstance(tree, (list, tuple)) and tree:
        tree = tree[0]
    return tree


def check_places(x1: Any, x2: Any) -> None:
    """Raise TypeError if something else is in the place of inputs."""
    if x1 is None:
        raise TypeError('expected x1 to be an array of inputs, got no array but None.')
    if isinstance(x2, str):
        raise TypeError(f'expected x2 to be an array of inputs or None, got {x2!r:.100}. Names of kernels come third: '
                        f'kernel_fn(x1, None, {x2!r:.100}), or get={x2!r:.100}.')
    if isinstance(first_leaf(x2), Kernel):
        raise TypeError('expected x2 to be an array of inputs or None, got a Kernel, which holds both inputs: give it '
                        'as x1.')


def _fitting(k):
    """Return the state if its arrays and their description fit together; raise ValueError or TypeError otherwise."""
    for name in ('shape1', 'shape2'):
        shape = getattr(k, name)
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f'expected a Kernel with {name} as a tuple of whole numbers, got {shape!r:.100}.')
        as_wholes(shape, f'Kernel: {name}', 0)
    axes = Axes(k.batch_axis, k.channel_axis)
    members = 1 if k.diagonal_spatial else 2
    first, second = (Signal(shape, axes.of(len(shape))) for shape in (k.shape1, k.shape2))
    positions = tuple(first.shape[axis] for axis in first.layout[1:] for _ in range(members))
    both = (first.inputs, second.inputs, *positions)
    own = (first.inputs, *positions)
    wanted = dict(nngp=both, ntk=both, gap=both, area=both, cov1=own, cov2=(second.inputs, *positions))
    given = {name: a for name in wanted if is_array(a := getattr(k, name))}
    found = {name: tuple(a.shape) for name, a in given.items()}
    if k.cov1 is None or found != {name: wanted[name] for name in found} or k.cov2 is None and both[0] != both[1]:
        raise ValueError(f'expected a Kernel with nngp and cov1, of shapes {wanted} for shape1={k.shape1} and shape2='
                         f'{k.shape2}, got {found}.')
    for name, a in zip(given, as_floats(*given.values())):
        xp = namespace(a)
        if not bool(xp.all(xp.isfinite(a))):
            raise ValueError(f'expected a Kernel of finite numbers, got NaN or infinity in {name}.')
    return k


def _checked(x1, x2, demand):
    """Apply `checked` to trees of inputs, and return them with the tree of demands on them."""
    if not isinstance(x1, (list, tuple)):
        demand = demand[0] if isinstance(demand, list) else demand
        demand = replace(demand, axes=demand.axes or Axes())
        return *checked(x1, x2, demand.axes), demand
    x2 = [None] * len(x1) if x2 is None else x2
    demand = demand if isinstance(demand, list) else [demand] * len(x1)
    if not isinstance(x2, (list, tuple)) or not len(x1) == len(x2) == len(demand):
        raise ValueError(f'expected as many inputs as there are branches, {len(demand)}, got {len(x1)} in x1 and '
                         f'{len(x2) if isinstance(x2, (list, tuple)) else type(x2).__name__} in x2.')
    return tuple(type(x1)(t) for t in zip(*map(_checked, x1, x2, demand)))


def _without_positions(tree, demand):
    """Flatten inputs, or masks of their entries, where flat ones are enough; None stays None."""
    def flattened(a, demand):
        is_left = a is None or not demand.flat or 0 in a.shape[1:]              # empty: refused later
        return a if is_left else a.reshape(a.shape[0], prod(a.shape[1:]))
    return None if tree is None else each_branch(flattened, tree, demand)


def _second(x1, x2):
    return x1 if x2 is None else x2


# ------------------------------------------------------------------ what comes beside the inputs

def _masked(signals, x1, masks1, x2, masks2):
    """Return the signals of x1 and x2 with these masks.

    None means that no entry is masked or, where x2 is x1, that the masks are those of x1.
    """
    def entries(x, masks):
        return each_branch(lambda x: x if x is None else x != x, x) if masks is None else masks
    masks1 = entries(x1, masks1)
    masks2 = entries(x2, masks2)
    masks = masks1, each_branch(_second, masks1, masks2)
    return [each_branch(lambda signal, mask: signal.masked_where(mask), *both) for both in zip(signals, masks)]


def _with_patterns(k, pattern):
    """Return a given state with other patterns.

    Equal inputs with different patterns are different inputs.
    """
    if pattern is None:
        return k
    p1, p2 = _patterns(pattern, k.own2 is None)
    return k.but(signal1=replace(k.signal1, patterns=(p1, p2)), signal2=replace(k.signal2, patterns=(p2, p1)),
                 are_same=k.are_same and _equal(p1, p2))


def _are_same(x1, x2, signals):
    """True if each of x2 is the same input as the x1 in its place: x2=None, or equal values, masks and patterns.

    This is decided only here, for all inputs of a call, and handed on: for blocks only their places tell, see
    `KernelOfBlock`.
    """
    if isinstance(x1, (list, tuple)):
        return all(_are_same(*parts) for parts in zip(x1, x2, zip(*signals)))
    first, second = signals
    return x2 is None or _equal(x1, x2) and _equal(first.mask, second.mask) and _equal(*first.patterns)


def _patterns(pattern, is_one):
    """Return the patterns of x1 and of x2; `is_one` says that x2 is x1."""
    if not isinstance(pattern, (tuple, list)):
        if pattern is not None and not is_one:
            raise ValueError('expected pattern=(that of x1, that of x2), got a single one. If it is that of both, give '
                             'it twice.')
        return pattern, pattern
    if len(pattern) != 2 or is_one and pattern[1] is not None and not _equal(*pattern):
        raise ValueError('expected one pattern, or that of x1 and that of x2, the same with x2=None; got '
                         f'{len(pattern)} {"that differ" if len(pattern) == 2 else "of them"}. For the same inputs on '
                         'different graphs give x1 again as x2.')
    return (pattern[0], pattern[0]) if is_one else tuple(pattern)


def _equal(p1, p2):
    if p1 is p2:
        return True
    shape1, shape2 = (getattr(p, 'shape', None) for p in (p1, p2))
    return None not in (shape1, shape2) and shape1 == shape2 and bool((p1 == p2).all())
