"""Layers given as three functions, as scripts for Neural Tangents write them: `layer`, `requires`, `supports_masking`.

The other way to a layer of one's own, a subclass of `Layer`, is that of this library: docs/add-a-layer.md has both.
"""
from dataclasses import MISSING, dataclass, replace
from enum import IntEnum
from functools import partial, wraps
from inspect import BoundArguments, Parameter, signature
from typing import Any, NamedTuple

from ..arrays import generator
from ..inputs import input_kernel
from ..kernel import Axes, Demand, Kernel
from .kernel_function import KernelFunction
from .layer import Layer, as_text
from .masking import in_layout

__all__ = ['Bool', 'Diagonal', 'layer', 'requires', 'supports_masking']

REQUIREMENTS = 'batch_axis', 'channel_axis', 'diagonal_spatial', 'diagonal_batch', 'use_dropout'


# ------------------------------------------------------------------ what a layer needs

class Bool(IntEnum):
    """NO < MAYBE < YES; `a & b` is the lesser.

    Examples
    --------
    >>> Bool.YES & Bool.MAYBE
    <Bool.MAYBE: 1>
    """
    NO = 0
    MAYBE = 1
    YES = 2

    def __and__(self, other):
        return Bool(min(self, other))

    __rand__ = __and__


@dataclass(frozen=True)
class Diagonal:
    """Are covariances at equal positions enough?  `a >> b` is b after a, `a & b` a beside b, `b << a` is `a >> b`.

    Parameters
    ----------
    input : Bool     YES: the layer can do with them. MAYBE: if all others are 0, as between the outputs of ConvLocal;
                     they are asked for here. NO: it needs the others, as a pool does.
    output : Bool    YES: no others are needed after it, whatever follows, as after Flatten. MAYBE: the others are 0 if
                     those of its input are not needed. NO: what follows says.

    `bool` of it: are they enough for a network that is `a >> b >> ...`?

    Examples
    --------
    >>> conv, flatten, pool = Diagonal(), Diagonal(output=Bool.YES), Diagonal(Bool.MAYBE, Bool.YES)
    >>> bool(conv >> flatten), bool(conv >> pool), bool(conv >> flatten & pool)
    (True, False, False)
    """
    input: Bool = Bool.YES
    output: Bool = Bool.NO

    def __post_init__(self):
        for name in ('input', 'output'):
            object.__setattr__(self, name, Bool(getattr(self, name)))

    def __rshift__(self, other):
        if self.output == Bool.YES:
            return self
        if self.output > Bool.NO and other.input > Bool.NO:
            needed = self.input
        elif self.output == Bool.NO and other.input < Bool.YES:
            needed = Bool.NO
        else:
            needed = self.input & other.input
        return Diagonal(needed, other.output)

    def __lshift__(self, other):
        return other >> self

    def __and__(self, other):
        return Diagonal(self.input & other.input, self.output & other.output)

    def __bool__(self):
        return self.input == Bool.YES and self.output > Bool.NO


def requires(**static_reqs):
    """Decorator of a `kernel_fn`: what it needs of the kernels that it is given.

    Parameters
    ----------
    batch_axis, channel_axis : int       axes of the inputs of the layer; channel_axis=None: any. Not said: any.
    diagonal_spatial : Diagonal          which covariances between positions. Not said: those that what follows needs.
    diagonal_batch : bool or Diagonal    True alone: each input has covariances with itself, and no others, in cov1.
    use_dropout : bool                   is the layer random? Without effect here.

    Raises
    ------
    TypeError  : another keyword, or a value of another kind.
    ValueError : diagonal_batch=False.

    Examples
    --------
    See `layer`.
    """
    unknown = set(static_reqs) - set(REQUIREMENTS)
    if unknown:
        raise TypeError(f'requires: expected keywords out of {", ".join(REQUIREMENTS)}, got {", ".join(unknown)}.')
    diagonal, batch = static_reqs.get('diagonal_spatial'), static_reqs.get('diagonal_batch', True)
    if diagonal is not None and not isinstance(diagonal, Diagonal):
        raise TypeError(f'requires: expected diagonal_spatial=Diagonal(input=..., output=...), got {diagonal!r}.')
    if not (batch.input == Bool.YES if isinstance(batch, Diagonal) else batch):
        raise ValueError(f'requires: expected diagonal_batch=True, got {batch!r}. There are no covariances of all x1 '
                         'with all x1 beside those with x2: a layer that mixes inputs is no layer of `serial` here.')

    def decorate(kernel_fn):
        @wraps(kernel_fn)
        def required(*args, **kwargs):
            return kernel_fn(*args, **kwargs)
        required.input_req = static_reqs
        return required
    return decorate


# ------------------------------------------------------------------ three functions

class Functions(NamedTuple):
    """What a function under `layer` gives; `mask_fn` and `remask_kernel` by `supports_masking`."""
    init_fn: Any
    apply_fn: Any
    kernel_fn: Any
    mask_fn: Any = None
    remask_kernel: bool | None = None


def supports_masking(remask_kernel):
    """Decorator between `layer` and its function: the layer has something to say on masks.

    The function may give a fourth one, mask_fn(mask, input_shape), the mask of the output; without it masks stay as
    they are. Masks are bools, True where masked, shaped like the inputs, with one channel. `apply_fn` gets that of its
    inputs as `mask`; the Kernel has `mask1` and `mask2` of shape (n, *positions). What is masked is set to 0 after
    the layer.

    Parameters
    ----------
    remask_kernel : bool      accepted for old scripts: covariances of masked positions are always set to 0.

    Raises
    ------
    TypeError : remask_kernel is neither True nor False, such as in `@supports_masking` without arguments.
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


def layer(layer_fn):
    """Decorator that makes layers of what `layer_fn` gives: `init_fn, apply_fn, kernel_fn`.

    They are `Layer`s of one input: they go into `serial` and `parallel`, take `get`, are printed and, if arguments
    are plain, written as JSON. What the functions are expected to be:

    ===========================================  =======================================================================
    init_fn(rng, input_shape)                    to (output_shape, params); rng is a `numpy.random.Generator`
    apply_fn(params, inputs, **kwargs)           to outputs; kwargs has `rng`, `pattern`, as far as they are given
    kernel_fn(k, **kwargs)                       from `Kernel` to `Kernel`, by k.replace(nngp=..., ntk=..., cov1=...,
                                                 cov2=..., is_gaussian=...); kwargs has `pattern` if it is given
    ===========================================  =======================================================================

    ntk is None where it is not asked for, cov2 where x2 is x1. Positions are in their natural order. `replace` drops
    gap and area of covariances that it replaces, and half the digits of nearly equal inputs with them: see
    docs/add-a-layer.md#gap-and-area. What needs no other way than this is quickest: kernels are not computed in tiles.

    Parameters
    ----------
    layer_fn : callable       its name and arguments are those of the layer.

    Raises
    ------
    TypeError  : no three functions; a `kernel_fn` that gives no Kernel.
    ValueError : covariances of other shapes than the outputs have; of the layer's name, as `LayerError`.

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
    cls = type(layer_fn.__name__, (_Triple,), {
        'layer_fn': staticmethod(layer_fn), '__doc__': layer_fn.__doc__, '__module__': layer_fn.__module__,
        'signature': signature(layer_fn)})

    @wraps(layer_fn)
    def constructor(*args, **kwargs):
        bound = cls.signature.bind(*args, **kwargs)
        return cls.of(bound.arguments)
    cls.constructor = staticmethod(constructor)
    return constructor


@dataclass(frozen=True, repr=False)
class _Triple(Layer, abstract=True):
    """A layer of three functions; `given` are the arguments of the function that made them, as (name, value)."""
    in_tiles = False                 # functions of the user: not known to be safe in threads, and they read cov1
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
        """With these arguments; the layer itself, where that is what the function gave."""
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
        bound = BoundArguments(self.signature, dict(self.given))      # the class has no name to be found by
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
        """The new signal, masked where mask_fn says."""
        if self.functions.mask_fn is None:
            raise ValueError('expected inputs without masks, or a function under `supports_masking`, which says what '
                             'becomes of them.')
        mask = self.functions.mask_fn(in_layout(signal.mask, signal.axes), signal.shape)
        wanted, got = new.with_channels(1).shape, tuple(getattr(mask, 'shape', ()))
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
        """Of the outputs, as `init_fn` says."""
        if shape not in self.known:
            self.known[shape] = tuple(self.functions.init_fn(generator(0), shape)[0])
        return self.known[shape]

    # -------------------------------------------------------------- what it needs

    @property
    def axes(self):
        """Those required: both, where one is said."""
        batch, channel = self.needs.get('batch_axis'), self.needs.get('channel_axis')
        if batch is channel is None or self.needs.get('channel_axis', -1) is None:
            return None
        return Axes(0 if batch is None else batch, -1 if channel is None else channel)

    @property
    def diagonal(self):
        return self.needs.get('diagonal_spatial')

    def demand(self, demand):
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
        if k.diagonal_spatial and len(k.shape1) > 2 and self.diagonal is not None and self.diagonal.input < Bool.YES:
            raise ValueError('expected a Kernel with covariances between positions, got one with '
                             'diagonal_spatial=True. Compute it with diagonal_spatial=False.')
        patterns = {} if k.pattern1 is k.pattern2 is None else dict(pattern=(k.pattern1, k.pattern2))
        try:
            new = self.functions.kernel_fn(k.finished(), **patterns)
        except (AttributeError, TypeError) as e:
            raise TypeError(f'{self!r}: kernel_fn raised {type(e).__name__}: {e}. A Kernel has `replace` and `asdict` '
                            'here, no arithmetic, indexing or `slice`; see docs/coming-from-neural-tangents.md.') from e
        return self._checked(new, k)

    def _checked(self, new, k):
        """The new state, if its arrays have the shapes of the outputs."""
        if not isinstance(new, Kernel):
            raise TypeError(f'{self!r}: expected kernel_fn to give a Kernel, got {type(new).__name__}.')
        shape, outer = self._shape(k.shape1), {new.batch_axis, new.channel_axis}
        sizes = [n for axis, n in enumerate(shape) if axis not in outer]
        if not sizes:
            new = new.but(diagonal_spatial=False)
        S = [n for n in sizes for _ in range(1 if new.diagonal_spatial else 2)]
        (n1, n2), one = k.nngp.shape[:2], k.cov2 is None
        expected = dict(nngp=(n1, n2, *S), ntk=None if k.ntk is None else (n1, n2, *S), cov1=(n1, *S),
                        cov2=None if one else (n2, *S), gap=(n1, n2, *S), area=(n1, n2, *S))
        for name, wanted in expected.items():
            got = getattr(getattr(new, name), 'shape', None)
            if got != wanted and not (name in ('gap', 'area') and got is None):
                raise ValueError(f'expected kernel_fn to give {name} of shape {wanted} for outputs of shape {shape} '
                                 f'and diagonal_spatial={new.diagonal_spatial}, got {got}.')
        return new

    def _outcome(self, signal):
        """Axes of the outputs, and are they Gaussian? From `kernel_fn`, of one random input."""
        one = signal.with_inputs(1)
        key = one.shape, one.axes, one.is_gaussian
        if key not in self.known:
            new = self._trial(one)
            self.known[key] = Axes(new.batch_axis, new.channel_axis), new.is_gaussian
        return self.known[key]

    def _trial(self, signal):
        """What becomes of a random input: at equal positions, where they may do, for an image has many pairs."""
        x = generator(0).standard_normal(signal.shape)
        patterns = (None if p is None else p[:1] for p in signal.patterns)
        described = dict(zip(('pattern1', 'pattern2'), patterns), is_gaussian=signal.is_gaussian)

        def trial(paired):
            return self.kernel(input_kernel(x, None, Demand(paired, signal.axes), True).but(**described))
        if len(signal.shape) > 2 and self.diagonal is None:
            try:
                return trial(paired=False)
            except Exception:                                    # not said, and needed: then with the others
                return trial(paired=True)
        return trial(paired=len(signal.shape) == 2 or self.diagonal.input < Bool.YES)


def _is_same(a, b):
    return a is b or type(a) is type(b) and not hasattr(a, 'shape') and a == b
