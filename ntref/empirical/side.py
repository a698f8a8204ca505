"""f on one of the two sets of inputs of a kernel, on all inputs at once or on one of them alone."""
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy

from ..arguments import check_finite
from ..arrays import is_on_device
from ..no_arrays import check_entries, check_on_host, check_unfollowed, is_followed
from ..on_either import as_array, check_together, equal, largest
from ..once import cached_property
from ..trees import check_each, leaves, named, rebuilt
from ..types import Tree
from .cost import CALL
from .given import Differentiable, Given, check_once
from .record import Record
from .trees import check_leaves, float_leaves, spread

__all__ = ['Mixing', 'Side', 'VmapAxes', 'are_equal', 'check_second', 'sides', 'split_kwargs']

DRAWN_FROM = (                          # drawing changes them
    numpy.random.Generator, numpy.random.SeedSequence, numpy.random.RandomState)


class VmapAxes:
    """The axes of inputs, outputs and keywords along which f treats its examples one by one."""

    def __init__(self, vmap_axes: Any):
        is_triple = isinstance(vmap_axes, tuple) and len(vmap_axes) == 3
        triple: Any = vmap_axes if is_triple else (vmap_axes, vmap_axes, {})
        self.inputs, self.outputs, self.kwargs = triple
        if self.kwargs is not None and not isinstance(self.kwargs, dict):
            raise TypeError(
                'expected vmap_axes as an axis, a tree of them, or (axes of inputs, axes of '
                f'outputs, {{keyword: axis}}), got {vmap_axes!r}.')

    def check_keywords(self, kwargs: Mapping[str, Any]) -> None:
        unknown = [key for key in self.kwargs or () if key not in kwargs]
        if unknown:
            raise ValueError(
                f'expected vmap_axes of keywords that are passed, out of {[*kwargs]}, got '
                f'{unknown}.')


def taken(tree, axes, i):
    """Return the tree with only entry i along the given axis of each leaf, which autograd may follow."""
    def entry(a, axis):
        a = a if is_followed(a) else as_array(a)
        return a[(slice(None),) * (axis % a.ndim) + (slice(i, i + 1),)]
    return rebuilt(tree, map(entry, leaves(tree), axes))


class Outputs(NamedTuple):
    """The outputs of f, without a record of how they were computed."""
    tree: Any
    outputs: list


class Side:
    """f(params, x, **kwargs) for fixed arguments.

    Attributes
    ----------
    names, values : lists of the leaves of params
    n : int                     number of examples, 1 without `vmap_axes`
    whole : Record              f of all examples; `Outputs` if no derivative `is_needed`
    """

    def __init__(
            self, f: Callable, params: Tree, x: Tree, kwargs: Mapping[str, Any],
            vmap_axes: VmapAxes, name: str, is_needed: bool = True):
        self.f = f
        self.params = params
        self.x = x
        self.kwargs = kwargs
        self.vmap = vmap_axes
        self.name = name
        if kwargs.get('mask_constant') is None:
            check_each(check_finite, x, name)
        if is_needed:
            pairs = float_leaves(params, 'params')
            self.names = tuple(name for name, _ in pairs)
            self.values = tuple(value for _, value in pairs)
            self.whole = self._whole()                        # no cached_property: one lock for all
        else:
            check_each(check_finite, params, 'params')
            tree = f(params, x, **kwargs)
            self.whole = Outputs(tree, leaves(tree))
            self._check_outputs()
        self.n = 1 if self.inputs is None else self._examples()
        self._singles: dict[int, Record | Given] = {}
        self.plans: Any = None                                                 # set by `plan.plans`

    @cached_property
    def inputs(self) -> list[int] | None:
        """The axis of the examples in each leaf of x, or None if f may mix examples."""
        axes = spread(self.vmap.inputs, self.x, self.name)
        return None if self.outputs is None else axes

    @cached_property
    def outputs(self) -> list[int] | None:
        """The axis (>= 0) of the examples in each output, or None if f may mix examples."""
        axes = spread(self.vmap.outputs, self.whole.tree, f'the outputs for {self.name}')
        if axes is None or self.vmap.kwargs is None:
            return None
        if spread(self.vmap.inputs, self.x, self.name) is None:
            return None
        for axis, out in zip(axes, self.whole.outputs):
            if not -out.ndim <= axis < out.ndim:
                raise ValueError(
                    f'expected vmap_axes of the outputs to be axes of shape {out.shape}, got '
                    f'{axis}.')
        return [axis % out.ndim for axis, out in zip(axes, self.whole.outputs)]

    def _examples(self):
        inputs = zip(named(self.x, self.name), self.inputs, strict=True)
        arrays = [(*pair, axis) for pair, axis in inputs]
        for key, axes in self.vmap.kwargs.items():
            if self.kwargs.get(key) is not None and axes is not None:
                pairs = named(self.kwargs[key], key)
                places = spread(axes, self.kwargs[key], key)
                arrays += [(*pair, axis) for pair, axis in zip(pairs, places, strict=True)]
        arrays += [(f'an output for {self.name}', out, axis)
                   for out, axis in zip(self.whole.outputs, self.outputs)]
        for where, a, axis in arrays:
            if not -numpy.ndim(a) <= axis < numpy.ndim(a):
                raise ValueError(
                    f'expected vmap_axes to be axes of {where} of shape {numpy.shape(a)}, got '
                    f'{axis}.')
        sizes = {where: a.shape[axis] for where, a, axis in arrays}
        if len(set(sizes.values())) != 1:
            raise ValueError(f'expected as many examples along vmap_axes everywhere, got {sizes}.')
        return next(iter(sizes.values()))

    def _check_outputs(self):
        if not self.whole.outputs:
            raise TypeError(
                'expected f to return an array, or a tree of arrays, got '
                f'{self.whole.tree!r:.100}.')
        for i, out in enumerate(self.whole.outputs):
            check_entries(out, 'an output')
            check_unfollowed(out, 'an output')
            if not isinstance(out, (numpy.ndarray, float, numpy.floating)) and not is_on_device(out):
                raise TypeError(
                    f'expected outputs to be arrays, got {type(out).__name__}. Of a network with '
                    'masks take stax.unmask_fn(apply_fn).')
            self.whole.outputs[i] = as_array(out)
            if numpy.iscomplexobj(out):
                raise TypeError(
                    'expected outputs to be real, got complex numbers. Take their real and '
                    'imaginary part, side by side.')
            if self.whole.outputs[i].dtype.kind not in 'biufO':             # for objects see _whole
                raise TypeError(
                    f'expected outputs to be numbers, got dtype {self.whole.outputs[i].dtype}.')

    def _whole(self):
        self.whole = record = self.recorded(self.x, self.kwargs)
        self._check_outputs()
        lost = [name for name, there in zip(self.names, record.swallowed()) if there]
        if lost or any(out.dtype == object for out in record.outputs):
            raise TypeError(
                'expected a function that autograd can follow, but plain NumPy made an array of '
                f'objects of {", ".join(lost) or "a parameter"} for {self.name}. Write it with '
                'autograd.numpy.')
        missed = [name for name, there in zip(self.names, record.reached()) if not there]
        if missed:
            raise ValueError(
                f'expected the outputs for {self.name} to depend on {", ".join(missed)}, but '
                'autograd saw no operation that leads there. Write the function with '
                'autograd.numpy (plain NumPy has no derivatives), or leave unused parameters out.')
        return record

    def recorded(self, x: Tree, kwargs: Mapping[str, Any]) -> Record | Given:
        if isinstance(self.f, Differentiable):
            return Given(self.f, self.params, self.names, x, kwargs)

        def called(boxes):
            return self.f(rebuilt(self.params, boxes), x, **kwargs)
        try:
            return Record(called, self.values)
        except (AttributeError, TypeError, ValueError) as error:
            if not any(text in str(error) for text in ('ArrayBox', 'DeviceBox', 'setting an array element')):
                raise
            raise TypeError(
                f'expected a function that autograd can follow, got "{error}" for {self.name}. '
                'Write it with autograd.numpy, without assigning to entries of arrays and without '
                'float().') from error

    def plain(self, values: Sequence) -> list[numpy.ndarray]:
        """Return the outputs at the given values of the parameters, without a record."""
        tree = self.f(rebuilt(self.params, values), self.x, **self.kwargs)
        return [as_array(a) for a in leaves(tree)]

    def single(self, i: int) -> Any:
        """Return the Record of example i alone, or of all examples without `vmap_axes`."""
        if self.inputs is None:
            return self.whole
        if i not in self._singles:
            with numpy.errstate(all='ignore'):                 # a batch of one may have no variance
                record = self.recorded(*self.arguments(i, self.x, self.kwargs))
            self._singles = {i: record}                        # only the latest is kept
        return self._singles[i]

    @property
    def draws(self) -> bool:
        """True if f has a seed: what it draws for all examples at once differs from what it draws for one of them."""
        return self.inputs is not None and self.kwargs.get('rng') is not None

    def together(self) -> 'Side':
        """Return the same Side without `vmap_axes`."""
        side = copy(self)
        side.inputs = side.outputs = side.plans = None
        side.n = 1
        return side

    @property
    def single_operations(self) -> float:
        """Estimated operations of f for one example alone, without calling it."""
        if self.inputs is None or not self.n:
            return self.whole.operations
        calls = CALL * len(self.whole.tape)
        return calls + (self.whole.operations - calls) / self.n

    def arguments(self, i: int, x: Tree, kwargs: Mapping[str, Any]) -> tuple[Tree, dict[str, Any]]:
        """Return x and keywords of example i, out of those of this side or of others in their form."""
        of_one = dict(kwargs)
        for key, value in kwargs.items():
            axes = self.vmap.kwargs.get(key)
            if value is not None and axes is not None:
                of_one[key] = taken(value, spread(axes, value, key), i)
        return taken(x, self.inputs, i), of_one

    def check(self, examples: Iterable[int] | None = None) -> None:
        """Raise ValueError if examples (first, last, one between) have other outputs alone than among all."""
        if self.inputs is None or not self.n:
            return
        for i in sorted({0, self.n // 2, self.n - 1}) if examples is None else examples:
            for out, one, axis in zip(self.whole.outputs, self.single(i).outputs, self.outputs):
                if not same(out[(slice(None),) * axis + (slice(i, i + 1),)], one):
                    raise mixing(self.name, i)


def same(a, b):
    """True if the arrays are equal up to rounding, as sums in another order are."""
    a = as_array(a)
    b = as_array(b)
    if a.shape != b.shape:
        return False
    if a.dtype.kind != 'f' or not (numpy.isfinite(a).all() and numpy.isfinite(b).all()):
        return bool(((a == b) | (a != a) & (b != b)).all())
    scale = max(map(largest, (a, b)))
    return bool((abs(a - b) <= 1e3 * float(numpy.finfo(a.dtype).eps) ** .75 * scale).all())


class Mixing(ValueError):
    """Raised if examples have other outputs alone than among all."""


def mixing(name, i):
    return Mixing(
        'expected a function that treats its examples one by one, as vmap_axes claims, but example '
        f'{i} of {name} alone gives other numbers than among all. Batch normalization and random '
        'layers do that: use vmap_axes=None.')


def check_second(x2: Tree) -> None:
    """Raise ValueError if x2 is an empty tree, which does not mean None."""
    if isinstance(x2, (tuple, list, dict)) and not x2:
        raise ValueError(
            f'expected x2 to be an array, a tree of arrays, or None for x1, got {x2!r}.')


def split_kwargs(
        kwargs: Mapping[str, Any], x1: Tree, x2: Tree) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keywords for x1 and for x2: pairs are split, x2 has another seed `rng`, the rest is shared."""
    of1 = {}
    of2 = {}
    for key, value in kwargs.items():
        is_pair = isinstance(value, tuple) and len(value) == 2
        for seed in (value if is_pair else (value,)) if key == 'rng' else ():
            if isinstance(seed, DRAWN_FROM):
                raise TypeError(
                    f'expected rng to be a seed, got a {type(seed).__name__}. The function is '
                    'called more than once, and must draw the same numbers.')
        if is_pair:
            of1[key], of2[key] = value
            if not leaves(x2) and of2[key] is not None and not are_equal(*value):
                raise ValueError(
                    f'expected {key} for x1 alone, as x2 is None, got a pair that differs. Leave '
                    'its second out, or pass x2.')
        else:
            again = key == 'rng' and value is not None and not are_equal(x1, x2)
            of1[key] = value
            of2[key] = [value, 1] if again else value
    return of1, of2


def are_equal(x1: Tree, x2: Tree) -> bool:
    """True if x1 and x2 are equal inputs; x2=None means x1."""
    if x2 is None:
        return True
    a = leaves(x1)
    b = leaves(x2)
    return len(a) == len(b) and all(map(equal, a, b))


def sides(
        f: Callable, x1: Tree, x2: Tree, params: Tree, kwargs: Mapping[str, Any],
        vmap_axes: Any = None, is_needed: bool = True) -> tuple[Side, Side]:
    """Return the Sides of x1 and x2 (the same one if x2 is None), recorded for derivatives if `is_needed`."""
    check_second(x2)
    check_leaves(x1=x1, x2=x2, **kwargs)
    if isinstance(f, Differentiable):
        for name, tree in ('x1', x1), ('x2', x2), ('params', params):
            check_each(check_on_host, tree, f'{name} of a Differentiable')
    check_together(x1=x1, x2=x2, params=params)
    of1, of2 = split_kwargs(kwargs, x1, x2)
    axes = VmapAxes(vmap_axes)
    axes.check_keywords(kwargs)
    first = Side(f, params, x1, of1, axes, 'x1', is_needed)
    if is_needed and isinstance(f, Differentiable):
        check_once(first)
    if not leaves(x2):
        return first, first
    second = Side(f, params, x2, of2, axes, 'x2', is_needed)
    places1 = [place for place, _ in named(first.whole.tree, '')]
    places2 = [place for place, _ in named(second.whole.tree, '')]
    if places1 != places2:
        raise ValueError(
            f'expected outputs in trees alike for x1 and x2, in the same order, got {places1} and '
            f'{places2}.')
    return first, second
