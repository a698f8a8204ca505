"""The base class of layers: a finite network and a step of the kernel recursion, side by side.

A layer defines `out` (shapes), `init` and `apply` (the finite network) and `kernel` (the infinite one). From these the
base class makes the triple `init_fn, apply_fn, kernel_fn`. A layer unpacks into this triple, prints as the expression
that builds it, and is written as plain JSON and read back.
"""
import sys
import typing
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from types import SimpleNamespace

from ..arguments import as_typed, check_finite
from ..arrays import as_floats, exact, generator, kind, untraced
from ..ranges import beyond_range
from ..recursion.signal import Demand
from ..trees import leaves
from .kernel_function import KernelFunction
from .masking import check_found, is_masked, masked_inputs, published, state, zeroed
from .trees import each_branch, tree_signal

__all__ = ['Layer', 'LayerError', 'as_text', 'located']


class LayerError(ValueError):
    """The error in a layer or its input, with the layer and its place in the network (indices of `serial`s)."""

    def __init__(self, message, layer):
        super().__init__(message)
        self.layer, self.path = layer, ()

    def __str__(self):
        place = f'layer {".".join(map(str, self.path))}, ' if self.path else ''
        return f'{place}{self.layer!r:.500}: {self.args[0]}'


@contextmanager
def located(layer, index=None):
    """Make errors inside say that they concern `layer`, at `index` of the network around it."""
    try:
        yield
    except LayerError as e:
        e.path = e.path if index is None else (index, *e.path)
        raise
    except ValueError as e:
        error = LayerError(str(e), layer)
        error.path = error.path if index is None else (index,)
        raise error from e


class Layer:
    """Base of all layers; subclasses are frozen dataclasses whose fields are the arguments of the layer."""

    axes = None              # the Axes that the layer requires of its input; None: any
    several = False          # True if the layer takes a list of inputs
    in_tiles = True          # True if large kernels may be computed by `in_parts`, in threads
    row_by_row = False       # True if `kernel` accepts tiles with pending steps
    elementwise = False      # True if each output entry depends on its input entry alone; then any shape will do
    knows_flat = False       # True if `flat` in its demands is meant; other layers may just hand it on
    name = None              # the name in `repr` and `to_spec`
    registry = {}

    def __init_subclass__(cls, abstract=False):
        cls.name = cls.__dict__.get('name') or cls.__name__
        taken = Layer.registry.get(cls.name)
        if not abstract and not (taken and taken.is_ours() and not cls.is_ours()):
            Layer.registry[cls.name] = cls

    def __post_init__(self):
        for argument, hint in self.types().items():
            value = as_typed(getattr(self, argument), hint, f'{self.name}: {argument}')
            object.__setattr__(self, argument, value)

    # -------------------------------------------------------------- what a layer defines

    def out(self, signal):
        """Return the `Signal` after the layer; raise ValueError if the shapes do not fit."""
        return signal

    def init(self, rng, signal):
        """Return random parameters for inputs like `signal`."""
        return ()

    def apply(self, params, x, rng=None, **given):
        """Return the outputs of the finite network; `given` is what was given to `apply_fn` beside the inputs."""
        raise NotImplementedError(f'{self!r} has no finite network.')

    def kernel(self, k):
        """Return the next `Kernel` of the infinite network.

        What describes it (shapes, is_gaussian) is taken from `out`.
        """
        raise NotImplementedError(f'{self!r} has no kernel.')

    def check(self, signal):
        """Raise ValueError if the infinite limit does not exist."""

    def tileable(self, signal):
        """True if a block of the kernel after the layer depends only on the same block of the inputs."""
        return True

    def demand(self, demand):
        """Return what the layer needs of its input to meet `demand` on its output."""
        if isinstance(demand, list):
            raise ValueError(f'expected to be followed by a layer with one input, got one with {len(demand)}. If its '
                             f'output goes to all of them, put FanOut({len(demand)}) between them; if it has as many '
                             'outputs, it has to meet their demands, a list, in `demand`, as FanOut does.')
        return demand if self.axes is None else replace(demand, axes=self.axes)

    # -------------------------------------------------------------- what every layer has

    def to_meet(self, demand):
        """Return what the layer needs to meet `demand`, with `flat` only if the layer knows it.

        The kernel of such a layer commutes with the mean over positions.
        """
        needed = self.demand(demand)
        return needed if self.knows_flat else each_branch(lambda d: replace(d, flat=False) if d.flat else d, needed)

    def init_fn(self, rng, input_shape):
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
            self.check_single(signal)
            return each_branch(lambda s: s.shape, self.out(signal)), self.init(generator(rng), signal)

    def apply_fn(self, params, inputs, rng=None, *, pattern=None, mask_constant=None):
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
            self.check_single(inputs)
            inputs, masks = masked_inputs(inputs, mask_constant)
            shape = each_branch(_shape, inputs)
            if masks is None:
                each_branch(lambda x: check_finite(x, 'the inputs'), inputs)
                if self.elementwise:
                    return self.apply(params, inputs, rng=rng, pattern=pattern)
            signal = tree_signal(shape, self.demand(Demand()), (pattern, pattern))
            if masks is None:
                self.out(signal)
                return self.apply(params, inputs, rng=rng, pattern=pattern)
            check_found(mask_constant, masks)
            masked = each_branch(state, inputs, masks, signal)
            return each_branch(published, self.step(params, masked, rng, pattern=pattern))

    def step(self, params, x, rng=None, **given):
        """Apply the layer to an array, or to a `Masked`, for which it returns a `Masked`.

        Outputs are 0 where they are masked, and `out` says where that is.
        """
        if not is_masked(x):
            return self.apply(params, x, rng=rng, **given)
        signal = each_branch(lambda h: h.signal, x)
        new = self.apply(params, each_branch(lambda h: h.value, x), rng=rng, mask=each_branch(lambda s: s.mask, signal),
                         **given)
        return each_branch(zeroed, new, self.out(signal))

    def __call__(self, x1, x2=None, get=None, **options):
        """Return the kernels of the infinitely wide network, so that a network can be given as its own `kernel_fn`."""
        return self.kernel_fn(x1, x2, get, **options)

    @property
    def kernel_fn(self):
        """The function that computes the kernels of the infinitely wide network, see `KernelFunction`."""
        return KernelFunction(self)

    def check_single(self, x):
        if isinstance(x, (list, tuple)) and not self.several:
            raise LayerError(f'expected one input, got a list of {len(x)}. Numbers in lists are made an array by '
                             'numpy.asarray; lists of inputs are for `parallel`.', self)

    def laid_out(self, k, diagonal_spatial):
        """Return the state `k` with the positions that are asked for.

        `diagonal_spatial` is True, False, or None for the positions that `k` has.
        """
        paired = not (k.diagonal_spatial if diagonal_spatial is None else diagonal_spatial)
        if paired and k.diagonal_spatial:
            raise LayerError('expected a Kernel with covariances between positions for diagonal_spatial=False, got one '
                             'with diagonal_spatial=True. Compute it with diagonal_spatial=False.', self)
        return k if paired else k.aligned()

    def asked(self, diagonal_spatial):
        """Return the demand of the network on its inputs; for `diagonal_spatial` see `KernelFunction`."""
        with located(self):
            demand = self.to_meet(Demand(paired=not diagonal_spatial, diagonal=bool(diagonal_spatial)))
        return each_branch(lambda d: replace(d, paired=True), demand) if diagonal_spatial is False else demand

    def trace(self, signal):
        """Return the `Signal` after the layer in the infinite network.

        Raises `LayerError` before anything is computed.
        """
        with located(self):
            self.check_single(signal)
            self.check(signal)
            return self.out(signal)

    def check_axes(self, signal, axes):
        """Raise ValueError if `axes` are not those of the signal."""
        if axes != signal.axes:
            raise ValueError(f'expected batch and channels on axes {axes.batch} and {axes.channel}, got them on '
                             f'{signal.axes.batch} and {signal.axes.channel} of shape {signal.shape}: the infinite '
                             'limit is one of many channels.')

    def parts(self, params, n):
        """Return `params` if they have n parts; raise ValueError otherwise."""
        tree = untraced(params)                                         # autograd wraps tuples and lists
        if not isinstance(tree, (tuple, list)) or len(tree) != n:
            got = f'{len(tree)} of them' if isinstance(tree, (tuple, list)) else type(tree).__name__
            raise ValueError(f'expected params as init_fn gives them for this layer, {n} in a tuple or list, got '
                             f'{got}.')
        return params

    def check_weights(self, W, shape, signal):
        """Raise ValueError if W does not have the `shape` that inputs like `signal` ask for."""
        if not hasattr(W, 'shape'):
            raise ValueError(f'expected weights of shape {tuple(shape)}, got {W!r:.100}.')
        if tuple(W.shape) != tuple(shape):
            raise ValueError(f'expected weights of shape {tuple(shape)} for inputs of shape {signal.shape}, got '
                             f'{tuple(W.shape)}. Take those of init_fn for inputs of this shape.')

    def propagate(self, k):
        """Return the next state, described by the signals after the layer."""
        with located(self):
            k = k if self.row_by_row else each_branch(lambda k: k.computed(), k)
            with beyond_range():
                new = self.exactly(k).kernel(k)
            signal1, signal2 = k.signals if hasattr(k, 'signals') else (
                each_branch(lambda k: k.signals[i], k) for i in (0, 1))
            out1 = self.out(signal1)
            out2 = out1 if signal2 is signal1 else self.out(signal2)
            return each_branch(lambda k, s1, s2: k.described(s1, s2).masked().in_range(), new, out1, out2)

    def exactly(self, k):
        """Return the layer with its numbers converted to those that the arrays of the state compute with."""
        like = k[0].nngp if isinstance(k, (list, tuple)) else k.nngp
        if kind(like) != 'mpmath':
            return self
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {name: new for name, value in given.items() if (new := exact(value, like)) is not value}
        return replace(self, **changed) if changed else self

    def __iter__(self):
        return iter((self.init_fn, self.apply_fn, self.kernel_fn))

    def __getitem__(self, i):
        return tuple(self)[i]

    def __len__(self):
        return 3

    # -------------------------------------------------------------- as text

    @classmethod
    def is_ours(cls):
        """True if the layer belongs to this library, whose names are not given to other layers."""
        return cls.__module__.startswith('ntref.')

    @classmethod
    def parameters(cls):
        """Return {argument: default, or MISSING}."""
        return {f.name: f.default for f in fields(cls)}

    @classmethod
    def types(cls):
        """Return {argument: type}, also if annotations are text, as under `from __future__ import annotations`."""
        if '_types' not in vars(cls):
            cls._types = {f.name: _resolved(cls, f) for f in fields(cls)}
        return cls._types

    @classmethod
    def of(cls, given):
        """Return the layer with the arguments in the dict `given`."""
        return cls(**given)

    def arguments(self):
        """Return {argument: value} for values that differ from the default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f.name: values[f.name] for f in fields(self)
                if f.default is MISSING or hasattr(values[f.name], 'shape') or values[f.name] != f.default}

    def __repr__(self):
        given = self.arguments()
        parts = []
        positional = True
        for f in fields(self):
            positional = positional and f.name in given and not f.kw_only
            if f.name in given:
                text = as_text(given[f.name])
                parts.append(text if positional else f'{f.name}={text}')
        return f'{self.name}({", ".join(parts)})'

    def to_spec(self):
        """Return the layer as plain JSON: {'layer': name, argument: value, ...}, without defaults.

        Raises
        ------
        ValueError : an argument that JSON cannot hold (a Python function, a traced number); a user-defined layer that
            has the name of another one.

        Examples
        --------
        >>> from ntref import stax
        >>> stax.Dense(512, 1.5, 0.1).to_spec()
        {'layer': 'Dense', 'out_dim': 512, 'W_std': 1.5, 'b_std': 0.1}
        """
        with located(self):
            if Layer.registry.get(self.name) is not type(self):
                raise ValueError(f'expected a name of its own to write it as JSON, got {self.name}, which is that of '
                                 'another layer too. Rename it.')
            return {'layer': self.name} | {name: _to_json(name, value) for name, value in self.arguments().items()}


def _resolved(cls, field):
    """Return the type of a field, evaluated if its annotation is text; return the text if a name in it is unknown."""
    origin = next(base for base in cls.__mro__ if field.name in vars(base).get('__annotations__', ()))
    known = vars(typing) | vars(sys.modules.get(origin.__module__, typing))
    annotated = SimpleNamespace(__annotations__={field.name: field.type})
    try:
        return typing.get_type_hints(annotated, known)[field.name]
    except (AttributeError, NameError, SyntaxError, TypeError):
        return field.type


def as_text(value):
    """Return an argument as `repr` of a layer writes it: functions by their names."""
    return value.__name__ if callable(value) and hasattr(value, '__name__') else repr(value)


def _to_json(name, value):
    if isinstance(value, Layer):
        return value.to_spec()
    if isinstance(value, (tuple, list)):
        return [_to_json(name, v) for v in value]
    if isinstance(value, slice):
        return {'slice': [value.start, value.stop, value.step]}
    if value is Ellipsis:
        return {'slice': '...'}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f'expected {name} to be a number, text or layer to write it as JSON, got {value!r:.100}.')


def _shape(x):
    return tuple(as_floats(x)[0].shape)
