"""Composition: serial, parallel, repeat."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..arguments import as_whole
from ..arrays import generator
from ..once import cached_property
from . import boxes
from .layer import Layer
from .located import located
from .triple import as_layer

__all__ = ['parallel', 'repeat', 'serial']

LayerLike: TypeAlias = Layer | tuple[Callable[..., Any], ...]          # or its three functions


class _Network(Layer, abstract=True):
    """Base of networks of several layers, which are `self.layers`."""

    def __post_init__(self):
        object.__setattr__(self, 'layers', tuple(map(as_layer, self.layers)))
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(
                    f'{self.name}: expected layers such as Relu(), got {layer!r:.200} as number '
                    f'{i}. A triple (init_fn, apply_fn, kernel_fn) will do, too.{self._hint(layer)}')
        if not self.layers:
            raise ValueError(f'{self.name}: expected at least one layer, got none.')

    def _hint(self, given):
        """Return what to write in place of `given`, which is no layer."""
        if isinstance(given, type):
            return f' Write {given.__name__}().'
        return f' Write {self.name}(*layers).' if isinstance(given, (tuple, list)) else ''

    def __repr__(self):
        return f'{self.name}({", ".join(map(repr, self.layers))})'

    def mapped(self, f, path=()):
        return type(self)(tuple(layer.mapped(f, (*path, i)) for i, layer in enumerate(self.layers)))

    def diagram(self):
        return self._side([layer.diagram() for layer in self.layers])

    def _step(self, params, x, rng=None, **given):
        return self.apply(params, x, rng=rng, **given)

    def each(self, f, *trees):
        """Return [f(layer, leaves)] for all layers, with errors located."""
        results = []
        for i, (layer, *leaves) in enumerate(zip(self.layers, *trees, strict=True)):
            with located(layer, i):
                results.append(f(layer, *leaves))
        return results


@dataclass(frozen=True, repr=False)
class _Serial(_Network):
    """One layer after the other: h_{l+1} = layer_l(h_l)."""
    name = 'serial'
    formula = 'h_{l+1} = f_l(h_l)'
    _side = staticmethod(boxes.row)
    knows_flat = True
    layers: tuple

    @property
    def several(self):
        return self.layers[0].several

    @property
    def elementwise(self):
        return all(layer.elementwise for layer in self.layers)

    def fold(self, f, value, *trees):
        """Return f(layer, value, ...) of the last layer; each layer gets the value of the one before."""
        for i, (layer, *leaves) in enumerate(zip(self.layers, *trees, strict=True)):
            with located(layer, i):
                value = f(layer, value, *leaves)
        return value

    def out(self, signal):
        return self.fold(lambda layer, s: layer.after(s), signal)

    def trace(self, signal):
        return self.fold(lambda layer, s: layer.trace(s), signal)

    def tileable(self, signal):
        answers = []

        def step(layer, signal):
            answers.append(layer.tileable(signal))
            return layer.after(signal)
        self.fold(step, signal)
        return all(answers)

    def propagate(self, k):
        return self.fold(lambda layer, k: layer.propagate(k), k)

    def demand(self, demand):
        for i, layer in reversed(list(enumerate(self.layers))):
            with located(layer, i):
                demand = layer._to_meet(demand)
        return demand

    def init(self, rng, signal):
        params = []

        def step(layer, signal, rng):
            params.append(layer.init(rng, signal))
            return layer.after(signal)
        self.fold(step, signal, rng.spawn(len(self.layers)))
        return params

    def apply(self, params, x, rng=None, **given):
        def step(layer, x, p, r):
            return layer._step(p, x, rng=r, **given)
        n = len(self.layers)
        return self.fold(step, x, self.parts(params, n), spawned(rng, n))


@dataclass(frozen=True, repr=False)
class _Parallel(_Network):
    """Each layer on its own input: a list of inputs goes to the list of outputs."""
    name = 'parallel'
    formula = 'h_i = f_i(x_i)'
    _side = staticmethod(boxes.column)
    layers: tuple
    several = True
    knows_flat = True

    def out(self, signal):
        return self.each(lambda layer, s: layer.after(s), self._branches(signal))

    def trace(self, signal):
        return self.each(lambda layer, s: layer.trace(s), self._branches(signal))

    def tileable(self, signal):
        return all(self.each(lambda layer, s: layer.tileable(s), self._branches(signal)))

    def propagate(self, k):
        return type(k)(self.each(lambda layer, k: layer.propagate(k), k))

    def demand(self, demand):
        demands = demand if isinstance(demand, list) else [demand] * len(self.layers)
        return self.each(lambda layer, d: layer._to_meet(d), demands)

    def init(self, rng, signal):
        return self.each(lambda layer, s, r: layer.init(r, s), signal, rng.spawn(len(self.layers)))

    def apply(self, params, x, rng=None, **given):
        def step(layer, x, p, r):
            return layer._step(p, x, rng=r, **given)
        x = self._branches(x)
        n = len(self.layers)
        return type(x)(self.each(step, x, self.parts(params, n), spawned(rng, n)))

    def _branches(self, tree):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(self.layers):
            got = f'{len(tree)} of them' if isinstance(tree, (list, tuple)) else 'a single one'
            raise ValueError(
                f'expected a list of {len(self.layers)} inputs, one a branch, got {got}. Precede '
                f'it by FanOut({len(self.layers)}), or give a list.')
        return tree


@dataclass(frozen=True, repr=False)
class _Repeat(_Network):
    """A layer n times, each time with weights of its own."""
    name = 'repeat'
    formula = 'h_{l+1} = f(h_l)'
    block: Layer
    n: int

    def __post_init__(self):
        if not isinstance(self.block, Layer):
            raise ValueError(f'repeat: expected a layer such as Relu(), got {self.block!r}.')
        object.__setattr__(self, 'n', as_whole(self.n, 'repeat: n', 0))

    def __repr__(self):
        return f'repeat({self.block!r}, {self.n})'

    @property
    def several(self):
        return self.block.several

    @property
    def elementwise(self):
        return self.block.elementwise

    def tileable(self, signal):
        return self.block.tileable(signal)

    def mapped(self, f, path=()):
        return self._times.mapped(f, path) if self.n else self

    def diagram(self):
        return boxes.group(self.block.diagram(), f'× {self.n}')

    @cached_property
    def _times(self):
        return _Serial((self.block,) * self.n)

    def out(self, signal):
        if self.n:
            new = self.block.after(signal)
            if new.shape != signal.shape:
                raise ValueError(
                    f'expected a layer that keeps the shape, got {signal.shape} to {new.shape}.')
        return self._times.after(signal) if self.n else signal

    def trace(self, signal):
        with located(self):
            self.after(signal)
        return self._times.trace(signal) if self.n else signal

    def propagate(self, k):
        return self._times.propagate(k) if self.n else k

    def demand(self, demand):
        return self._times.demand(demand) if self.n else demand

    def init(self, rng, signal):
        return self._times.init(rng, signal) if self.n else []

    def apply(self, params, x, rng=None, **given):
        return self._times.apply(params, x, rng=rng, **given) if self.n else x


def spawned(rng, n):
    """Return n independent Generators, or n times None if rng is None."""
    return [None] * n if rng is None else generator(rng).spawn(n)


# ------------------------------------------------------------------ composition

def serial(*layers: LayerLike) -> Layer:
    """Apply one layer after the other: h_{l+1} = layer_l(h_l).

    Parameters
    ----------
    layers : Layer, or triple (init_fn, apply_fn, kernel_fn)
        At least one. See `layer` for what the functions of a triple have to be.

    Returns
    -------
    Layer                 its parameters are the list of the layers' parameters; `layers` are the layers, a tuple.

    Raises
    ------
    TypeError : something that is not a layer (`Relu` for `Relu()`). ValueError : no layers.

    Source
    ------
    Lee et al. 2018 (arXiv:1711.00165) eq. 5, Jacot et al. 2018 (arXiv:1806.07572) theorem 1: the recursions compose.

    Examples
    --------
    >>> import numpy
    >>> from ntref import stax
    >>> init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(512), stax.Relu(), stax.Dense(1))
    >>> kernel_fn(numpy.eye(2), get='ntk')
    array([[0.5      , 0.0795...],
           [0.0795..., 0.5      ]])
    """
    return _Serial(layers)


def parallel(*layers: LayerLike) -> Layer:
    """Apply each layer to its own input: a list of inputs gives the list of outputs (a tuple gives a tuple).

    Parameters
    ----------
    layers : Layer
        As many as there are inputs.

    Returns
    -------
    Layer                 `layers` are the layers, a tuple.

    Raises
    ------
    TypeError : something that is not a layer. ValueError : no layers, or another number of inputs.

    Source
    ------
    docs/theory/dense.md#branches
    """
    return _Parallel(layers)


def repeat(layer: LayerLike, n: int) -> Layer:
    """Apply the layer n times, each time with weights of its own: serial(layer, ..., layer).

    Parameters
    ----------
    layer : Layer         a layer that keeps the shape.
    n : int               >= 0; 0 is the identity.

    Returns
    -------
    Layer                 `block` is the layer, `n` the number.

    Raises
    ------
    ValueError : the layer changes the shape, or n is negative.

    Source
    ------
    docs/theory/dense.md#depth
    """
    return _Repeat(as_layer(layer), n)
