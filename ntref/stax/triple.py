"""Layers given as three functions, as scripts for Neural Tangents write them: `layer`, `supports_masking`.

The other way to define a layer, a subclass of `Layer`, is native to this library; docs/add-a-layer.md shows both.
"""
from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, dataclass, replace
from functools import partial, wraps
from inspect import BoundArguments, Parameter, signature
from itertools import product
from typing import Any, NamedTuple

from ..arrays import generator
from ..recursion.kernel import Kernel
from ..recursion.signal import Axes, Demand
from ..recursion.start import input_kernel
from .layer import Layer
from .masking import in_layout
from .network import KernelFunction
from .requirements import Bool
from .written import as_text

__all__ = ['as_layer', 'layer', 'supports_masking']


# ------------------------------------------------------------------ three functions

class Functions(NamedTuple):
    """The functions that a function under `layer` returns; `supports_masking` adds `mask_fn` and `remask_kernel`."""
    init_fn: Any
    apply_fn: Any
    kernel_fn: Any
    mask_fn: Any = None
    remask_kernel: bool | None = None


def supports_masking(remask_kernel: bool) -> Callable:
    """Declare that a layer handles masks, by a decorator between `layer` and its function.

    The function may return a fourth one, mask_fn(mask, input_shape), which gives the mask of the output; without it
    masks stay as they are. Masks are bools, True where masked, shaped like the inputs, with one channel. `apply_fn`
    gets the mask of its inputs as `mask`; the Kernel has `mask1` and `mask2` of shape (n, *positions). Masked entries
    are set to 0 after the layer.

    Parameters
    ----------
    remask_kernel : bool      accepted for old scripts: covariances of masked positions are always set to 0.

    Raises
    ------
    TypeError : remask_kernel is neither True nor False, as in `@supports_masking` without arguments.
    """
    if not isinstance(remask_kernel, bool):
        raise TypeError(f'supports_masking: expected remask_kernel=True or False, got {remask_kernel!r}. Write '
                        '@supports_masking(remask_kernel=True).')

    def decorate(layer_fn):
        @wraps(layer_fn)
        def with_masks(*args, **kwargs):
            made = Functions(*layer_fn(*args, **kwargs))
            return made._replace(mask_fn=made.mask_fn or (lambda mask, input_shape: mask), remask_kernel=remask_kernel)
        return with_masks
    return decorate


def layer(layer_fn: Callable) -> Callable:
    """Decorate a function that returns `init_fn, apply_fn, kernel_fn`, so that it returns a layer.

    The layers are `Layer`s of one input: they go into `serial` and `parallel`, take `get`, are printed and, if their
    arguments are plain, written as JSON. The three functions are expected to be:

    ===========================================  =======================================================================
    init_fn(rng, input_shape)                    returns (output_shape, params); rng is a `numpy.random.Generator`
    apply_fn(params, inputs, **kwargs)           returns outputs; kwargs has `rng` and `pattern` if they are given
    kernel_fn(k, **kwargs)                       takes and returns a `Kernel`: k.replace(nngp=..., ntk=..., cov1=...,
                                                 cov2=..., is_gaussian=...); kwargs has `pattern` if it is given
    ===========================================  =======================================================================

    ntk is None where it is not asked for, and cov2 where x2 is x1. Positions are in their natural order. `replace`
    drops gap and area of the covariances that it replaces, and half the digits of nearly equal inputs with them: see
    docs/add-a-layer.md#gap-and-area. Kernels of such layers are not computed in tiles.

    Parameters
    ----------
    layer_fn : callable       its name and arguments become those of the layer.

    Raises
    ------
    TypeError  : `layer_fn` does not return three functions; `kernel_fn` does not return a Kernel.
    ValueError : covariances have other shapes than the outputs; it is a `LayerError`, which names the layer.

    Examples
    --------
    >>> import numpy
    >>> from ntref import stax
    >>> @stax.layer
    ... def Times(c):
    ...     def init_fn(rng, input_shape):
    ...         return input_shape, ()
    ...     def apply_fn(params, inputs, **kwargs):
    ...         return c * inputs
    ...     @stax.requires(diagonal_spatial=stax.Diagonal())
    ...     def kernel_fn(k, **kwargs):
    ...         def scaled(a):
    ...             return None if a is None else c ** 2 * a
    ...         return k.replace(nngp=scaled(k.nngp), ntk=scaled(k.ntk), cov1=scaled(k.cov1), cov2=scaled(k.cov2))
    ...     return init_fn, apply_fn, kernel_fn
    >>> net = stax.serial(stax.Dense(8), Times(3), stax.Relu())
    >>> net, net.kernel_fn(numpy.eye(2), get='nngp')[0, 0]
    (serial(Dense(8), Times(3), Relu()), np.float64(2.25))
    """
    if not callable(layer_fn) or not hasattr(layer_fn, '__name__'):
        raise TypeError(f'layer: expected a function that gives init_fn, apply_fn, kernel_fn, got {layer_fn!r}.')
    cls: Any = type(layer_fn.__name__, (_Triple,), {
        'layer_fn': staticmethod(layer_fn), '__doc__': layer_fn.__doc__, '__module__': layer_fn.__module__,
        'signature': signature(layer_fn)})

    @wraps(layer_fn)
    def constructor(*args, **kwargs):
        bound = cls.signature.bind(*args, **kwargs)
        return cls.of(bound.arguments)
    cls.constructor = staticmethod(constructor)
    return constructor


def as_layer(given: Any) -> Any:
    """Return the layer of a triple (init_fn, apply_fn, kernel_fn); return anything else as it is.

    Functions without `layer` return such triples.
    """
    if isinstance(given, Layer) or not isinstance(given, tuple) or not 3 <= len(given) <= len(Functions._fields) or \
            not all(map(callable, given[:3])):
        return given
    names = getattr(given[1], '__qualname__', 'apply_fn').split('.')
    cls: Any = type(names[0], (_Unnamed,), {
        'layer_fn': staticmethod(lambda: given), '__module__': __name__, 'signature': signature(lambda: None),
        'constructor': staticmethod(lambda: as_layer(given))}, abstract=True)
    return cls.of({})


@dataclass(frozen=True, repr=False)
class _Triple(Layer, abstract=True):
    """A layer of three functions; `given` has the arguments of the function that made them, as (name, value)."""
    in_tiles = False                 # functions of the user may not be thread-safe, and they read cov1
    given: tuple = ()

    def __post_init__(self):
        bound = BoundArguments(self.signature, dict(self.given))
        made = self.layer_fn(*bound.args, **bound.kwargs)
        if not isinstance(made, (tuple, Layer)) or not 3 <= len(made) <= len(Functions._fields) or \
                not all(map(callable, made[:3])):
            raise TypeError(f'{self.name}: expected init_fn, apply_fn, kernel_fn, got {made!r:.200}.')
        object.__setattr__(self, 'functions', Functions(*made))
        object.__setattr__(self, 'known', {})
        object.__setattr__(self, 'needs', getattr(self.functions.kernel_fn, 'input_req', {}))

    # -------------------------------------------------------------- its arguments

    @classmethod
    def of(cls, given):
        """Return the layer with these arguments, or the `Layer` itself if the function returned one."""
        bound = BoundArguments(cls.signature, dict(given))
        bound.apply_defaults()
        new = cls(tuple(bound.arguments.items()))
        kernel_fn = new.functions.kernel_fn
        is_whole = isinstance(kernel_fn, KernelFunction) and new.functions == Functions(*kernel_fn.layer)
        return kernel_fn.layer if is_whole else new

    @classmethod
    def parameters(cls):
        variadic = {Parameter.VAR_POSITIONAL: (), Parameter.VAR_KEYWORD: {}}
        return {name: variadic.get(p.kind, MISSING if p.default is Parameter.empty else p.default)
                for name, p in cls.signature.parameters.items()}

    def arguments(self):
        defaults = self.parameters()
        return {name: value for name, value in self.given if not _is_same(value, defaults[name])}

    def __repr__(self):
        bound = BoundArguments(self.signature, self.arguments())
        parts = [*map(as_text, bound.args), *(f'{name}={as_text(value)}' for name, value in bound.kwargs.items())]
        return f'{self.name}({", ".join(parts)})'

    def __reduce__(self):
        bound = BoundArguments(self.signature, dict(self.given))      # pickle cannot find the class by name
        return partial(self.constructor, **bound.kwargs), bound.args

    # -------------------------------------------------------------- the finite network

    def out(self, signal):
        try:
            axes, is_gaussian = self._outcome(signal)
        except Exception:                    # no kernel: the finite network needs none, and `check` raises otherwise
            axes, is_gaussian = signal.axes, False
        new = replace(signal, shape=self._shape(signal.shape), axes=axes, is_gaussian=is_gaussian, mask=None)
        return new if signal.mask is None else self._masked(signal, new)

    def _masked(self, signal, new):
        """Return the new signal, masked where mask_fn says."""
        if self.functions.mask_fn is None:
            raise ValueError('expected inputs without masks, or a function under `supports_masking`, which says what '
                             'becomes of them.')
        mask = self.functions.mask_fn(in_layout(signal.mask, signal.axes), signal.shape)
        wanted = new.with_channels(1).shape
        got = tuple(getattr(mask, 'shape', ()))
        if got not in (wanted, new.shape):
            raise ValueError(f'expected mask_fn to give a mask of shape {wanted} or {new.shape}, got {got}.')
        return new.masked_where(mask)

    def init(self, rng, signal):
        return self.functions.init_fn(rng, signal.shape)[1]

    def apply(self, params, x, rng=None, **given):
        given = {name: value for name, value in dict(given, rng=rng).items() if value is not None}
        if 'mask' in given:
            given['mask'] = in_layout(given['mask'], (self.axes or Axes()).of(x.ndim))
        return self.functions.apply_fn(params, x, **given)

    def _shape(self, shape):
        """Return the shape of the outputs, as `init_fn` says."""
        if shape not in self.known:
            self.known[shape] = tuple(self.functions.init_fn(generator(0), shape)[0])
        return self.known[shape]

    # -------------------------------------------------------------- what it needs

    @property
    def axes(self):
        """The axes that are required; if only one is, the other has its default."""
        batch = self.needs.get('batch_axis')
        channel = self.needs.get('channel_axis')
        if batch is channel is None or self.needs.get('channel_axis', -1) is None:
            return None
        return Axes(0 if batch is None else batch, -1 if channel is None else channel)

    @property
    def diagonal(self):
        return self.needs.get('diagonal_spatial')

    def demand(self, demand):
        if isinstance(demand, list):
            raise ValueError(f'expected to be followed by a layer with one input, got one with {len(demand)}: three '
                             f'functions have one output. If it goes to all of them, put FanOut({len(demand)}) between '
                             'them; a layer with several outputs is a subclass of Layer, with lists in `out`, `apply`, '
                             '`kernel` and `demand`, as FanOut has them.')
        demand = super().demand(demand)
        if self.diagonal is None:
            return demand
        if self.diagonal.input < Bool.YES:
            if demand.diagonal:
                raise ValueError('expected diagonal_spatial=None or False: it requires covariances between different '
                                 f'positions, {self.diagonal}; got diagonal_spatial=True.')
            return replace(demand, paired=True)
        return replace(demand, paired=False) if self.diagonal.output == Bool.YES else demand

    def check(self, signal):
        if self.axes is not None:
            self.check_axes(signal, self.axes.of(len(signal.shape)))
        self._outcome(signal)

    # -------------------------------------------------------------- the infinite network

    def kernel(self, k):
        if self.diagonal is not None and self.diagonal.input < Bool.YES:
            k.check_paired()
        patterns = {} if k.pattern1 is k.pattern2 is None else dict(pattern=(k.pattern1, k.pattern2))
        try:
            new = self.functions.kernel_fn(k.finished(), **patterns)
        except (AttributeError, TypeError) as e:
            raise TypeError(f'{self!r}: kernel_fn raised {type(e).__name__}: {e}. A Kernel has `replace` and `asdict` '
                            'here, no arithmetic, indexing or `slice`; see docs/coming-from-neural-tangents.md.') from e
        return self._checked(new, k)

    def _checked(self, new, k):
        """Return the new state if its arrays have the shapes of the outputs; raise an error otherwise."""
        if not isinstance(new, Kernel):
            raise TypeError(f'{self!r}: expected kernel_fn to give a Kernel, got {type(new).__name__}.')
        shape = self._shape(k.shape1)
        try:
            axes = Axes(new.batch_axis, new.channel_axis).of(len(shape))
        except ValueError as e:
            raise ValueError(
                'expected kernel_fn to say which axes of its outputs are batch and channels, for inputs of shape '
                f'{k.shape1} become outputs of shape {shape}; got batch_axis={new.batch_axis} and channel_axis='
                f'{new.channel_axis}. Say so: k.replace(..., batch_axis=0, channel_axis={len(shape) - 1}).') from e
        new = new.described(*(replace(signal, axes=axes) for signal in new.signals))
        outer = {axes.batch, axes.channel}
        sizes = [n for axis, n in enumerate(shape) if axis not in outer]
        if not sizes:
            new = new.but(paired=True)
        S = [n for n in sizes for _ in range(1 if new.diagonal_spatial else 2)]
        (n1, n2), one = k.nngp.shape[:2], k.own2 is None
        expected = dict(nngp=(n1, n2, *S), ntk=None if k.ntk is None else (n1, n2, *S), cov1=(n1, *S),
                        cov2=None if one else (n2, *S), gap=(n1, n2, *S), area=(n1, n2, *S))
        for name, wanted in expected.items():
            got = getattr(getattr(new, name), 'shape', None)
            if got != wanted and not (name in ('gap', 'area') and got is None):
                raise ValueError(f'expected kernel_fn to give {name} of shape {wanted} for outputs of shape {shape} '
                                 f'and diagonal_spatial={new.diagonal_spatial}, got {got}.')
        return new

    def _outcome(self, signal):
        """Return the axes of the outputs and whether they are Gaussian, from `kernel_fn` of one random input."""
        one = signal.with_inputs(1)
        key = one.shape, one.axes, one.is_gaussian
        if key not in self.known:
            new = self._trial(one)
            self.known[key] = Axes(new.batch_axis, new.channel_axis), new.is_gaussian
        return self.known[key]

    def _trial(self, signal):
        """Return the state of a random input after the layer.

        Trials without a tangent kernel and at equal positions come first, since an image has many pairs of
        positions. A layer may refuse a tangent kernel while another one expects it.
        """
        x = generator(0).standard_normal(signal.shape)
        described = replace(signal, patterns=tuple(None if p is None else p[:1] for p in signal.patterns), mask=None)

        def trial(paired, ntk):
            return self.kernel(input_kernel(x, None, (described, described), Demand(paired, signal.axes), ntk))
        unsaid = len(signal.shape) > 2 and self.diagonal is None
        paired = len(signal.shape) == 2 or not unsaid and self.diagonal.input < Bool.YES
        *others, last = product((False, True) if unsaid else (paired,), (False, True))
        for one in others:
            with suppress(Exception):                            # what this one lacks the next may have
                return trial(*one)
        return trial(*last)


@dataclass(frozen=True, repr=False)
class _Unnamed(_Triple, abstract=True):
    """A layer of three functions that were not returned by a function under `layer`."""

    def __repr__(self):
        return f'{self.name}(...)'

    def __reduce__(self):
        return as_layer, (tuple(self.functions),)

    def to_spec(self):
        raise ValueError(f'expected layers with a name and arguments to write them as JSON, got the three functions '
                         f'{self!r}. Put @stax.layer above the function that gives them.')


def _is_same(a, b):
    return a is b or type(a) is type(b) and not hasattr(a, 'shape') and a == b
