"""What a layer is: a finite network and a step of the kernel recursion, side by side.

A layer defines `out` (shapes), `init` and `apply` (the finite network) and `kernel` (the infinite one); from these it
has the triple `init_fn, apply_fn, kernel_fn`, unpacks into it, prints as the expression that builds it and goes into
plain JSON and back.
"""
from collections import namedtuple
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from operator import index

from ..arguments import as_number
from ..arrays import as_floats, exact, generator, kind
from ..inputs import checked, input_kernel
from ..kernel import Axes, Demand, Kernel, Signal
from .large import in_parts, is_large

__all__ = ['Layer', 'LayerError', 'from_spec', 'located', 'tree_map']


class LayerError(ValueError):
    """What is wrong with a layer or its input, which layer, and its place in the network (indices of `serial`s)."""

    def __init__(self, message, layer):
        super().__init__(message)
        self.layer, self.path = layer, ()

    def __str__(self):
        place = f'layer {".".join(map(str, self.path))}, ' if self.path else ''
        return f'{place}{self.layer!r}: {self.args[0]}'


@contextmanager
def located(layer, index=None):
    """Errors inside say that they concern `layer`, at `index` of the network around it."""
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

    axes = None              # the Axes a layer asks of its input; None: any
    several = False          # does it take a list of inputs?
    row_by_row = False       # does `kernel` take what is pending of a tile?
    name = None              # under which `repr` and `to_spec` know it
    registry = {}

    def __init_subclass__(cls, abstract=False):
        cls.name = cls.__dict__.get('name') or cls.__name__
        if not abstract:
            Layer.registry[cls.name] = cls

    def __post_init__(self):
        for f in fields(self):
            if f.type in (float, float | None):
                value = getattr(self, f.name)
                if value is not None or f.type is float:
                    object.__setattr__(self, f.name, as_number(value, f'{self.name}: {f.name}'))

    # -------------------------------------------------------------- what a layer defines

    def out(self, signal):
        """The `Signal` after the layer; raises ValueError where the shapes do not fit."""
        return signal

    def init(self, rng, signal):
        """Random parameters for inputs like `signal`."""
        return ()

    def apply(self, params, x, rng=None):
        """The finite network."""
        raise NotImplementedError(f'{self!r} has no finite network.')

    def kernel(self, k):
        """The infinite network: the next `Kernel`. What describes it (shapes, is_gaussian) is taken from `out`."""
        raise NotImplementedError(f'{self!r} has no kernel.')

    def check(self, signal):
        """Raises ValueError where the infinite limit does not exist."""

    def tileable(self, signal):
        """Is a block of its kernel that of a block of the inputs, and may it be computed in threads?"""
        return True

    def demand(self, demand):
        """What the layer needs of its input to meet `demand` on its output."""
        if isinstance(demand, list):
            raise ValueError(f'expected to be followed by a layer with one input, got one with {len(demand)}. '
                             f'Put FanOut({len(demand)}) between them.')
        return demand if self.axes is None else replace(demand, axes=self.axes)

    # -------------------------------------------------------------- what every layer has

    def init_fn(self, rng, input_shape):
        """Shape of the output and random parameters.

        Parameters
        ----------
        rng : int or numpy.random.Generator     the seed
        input_shape : tuple, or a list of them  shape of the inputs; the batch axis may be -1

        Returns
        -------
        output_shape, params
        """
        with located(self):
            signal = _shape_signal(input_shape, self.demand(Demand()))
            self._single(signal)
            return tree_map(lambda s: s.shape, self.out(signal)), self.init(generator(rng), signal)

    def apply_fn(self, params, inputs, rng=None):
        """Outputs of the finite network. `rng` (a seed or Generator) is needed by random layers (Dropout) alone."""
        with located(self):
            self._single(inputs)
            self.out(_shape_signal(tree_map(_shape, inputs), self.demand(Demand())))
            return self.apply(params, inputs, rng=rng)

    def kernel_fn(self, x1, x2=None, get=None, *, diagonal_spatial=None):
        """Covariance and tangent kernel of the infinitely wide network.

        Parameters
        ----------
        x1 : array (n1, ..., channels), or Kernel, or a list of them
            Inputs; axes other than batch and channels are spatial. float32 gives float32, integers are made float64.
        x2 : array (n2, ..., channels), optional
            The same for the second argument; None: x2 is x1.
        get : str or tuple of str, optional
            'nngp', 'ntk', or another field of `Kernel`. A string gives an array, a tuple a named tuple, None the
            `Kernel`, which can be fed to another `kernel_fn`. 'ntk' is computed only if it is among them. For more
            than a few hundred inputs ask for 'nngp' and 'ntk' by name: they are then computed tile by tile, in the
            memory of the result.
        diagonal_spatial : bool, optional
            None: covariances between any two positions where a layer needs them, such as pooling, or the output has
            positions. True: at equal positions only, from input to output. False: between any two throughout.

        Returns
        -------
        array (n1, n2), named tuple or Kernel

        Raises
        ------
        TypeError  : inputs that are not real arrays of one kind.
        ValueError : NaN or infinite inputs, shapes that do not fit, unknown `get`; a layer that does not get what it
            needs, such as a pool with diagonal_spatial=True (the message names it and its place).

        Accuracy
        --------
        docs/accuracy.md, per activation, depth, separation of the inputs and precision.
        """
        names = _requested(get)
        self._single(x1)
        if _holds_kernels(x1):
            if x2 is not None:
                raise ValueError(f'expected x2=None with a Kernel as x1, which holds both inputs; got {type(x2)}.')
            x1 = tree_map(lambda k: self._laid_out(k, diagonal_spatial), x1)
            signals = [tree_map(lambda k: k.signals[i], x1) for i in (0, 1)]
        else:
            with located(self):
                demand = self.demand(Demand(paired=not diagonal_spatial, diagonal=bool(diagonal_spatial)))
            if diagonal_spatial is False:
                demand = tree_map(lambda d: replace(d, paired=True), demand)
            x1, x2, demand = _checked(x1, x2, demand)
            signals = [tree_map(_input_signal, x, demand) for x in (x1, tree_map(_second, x1, x2))]
        for signal in signals:
            self.trace(signal)
        if not _holds_kernels(x1):
            if is_large(self, x1, x2, signals, names):
                return _given(in_parts(self, x1, x2, signals, demand, names), get)
            ntk = not names or 'ntk' in names
            x1 = tree_map(lambda a, b, demand: input_kernel(a, b, demand, ntk), x1, x2, demand)
        return tree_map(lambda k: _select(k, get, names), self.propagate(x1))

    def _single(self, x):
        if isinstance(x, (list, tuple)) and not self.several:
            raise LayerError(f'expected one input, got a list of {len(x)}. Numbers in lists are made an array by '
                             'numpy.asarray; lists of inputs are for `parallel`.', self)

    def _laid_out(self, k, diagonal_spatial):
        """The state `k` with as many positions as asked for: True, False, or None for what it has."""
        paired = not (k.diagonal_spatial if diagonal_spatial is None else diagonal_spatial)
        if paired and k.diagonal_spatial:
            raise LayerError('expected a Kernel with covariances between positions for diagonal_spatial=False, got one '
                             'with diagonal_spatial=True. Compute it with diagonal_spatial=False.', self)
        return k if paired else k.aligned()

    def trace(self, signal):
        """The `Signal` after the layer in the infinite network; raises `LayerError` before anything is computed."""
        with located(self):
            self._single(signal)
            self.check(signal)
            return self.out(signal)

    def check_axes(self, signal, axes):
        """Raises ValueError where `axes` are not those of the signal."""
        if axes != signal.axes:
            raise ValueError(f'expected batch and channels on axes {axes.batch} and {axes.channel}, got them on '
                             f'{signal.axes.batch} and {signal.axes.channel} of shape {signal.shape}: the infinite '
                             'limit is one of many channels.')

    def check_weights(self, W, shape, signal):
        """Raises ValueError where W has not the `shape` that inputs like `signal` ask for."""
        if tuple(W.shape) != tuple(shape):
            raise ValueError(f'expected weights of shape {tuple(shape)} for inputs of shape {signal.shape}, got '
                             f'{tuple(W.shape)}. Take those of init_fn for inputs of this shape.')

    def propagate(self, k):
        """The next state, described."""
        with located(self):
            k = k if self.row_by_row else tree_map(lambda k: k.computed(), k)
            new = self.exactly(k).kernel(k)
            signal1, signal2 = (tree_map(lambda k: k.signals[i], k) for i in (0, 1))
            out1 = self.out(signal1)
            out2 = out1 if signal2 == signal1 else self.out(signal2)
            return tree_map(lambda k, s1, s2: k.described(s1, s2), new, out1, out2)

    def exactly(self, k):
        """The layer with its numbers as the arrays of the state compute with them."""
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

    def arguments(self):
        """{argument: value} where it differs from the default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f.name: values[f.name] for f in fields(self)
                if f.default is MISSING or kind(values[f.name]) == 'autograd' or values[f.name] != f.default}

    def __repr__(self):
        given, parts, positional = self.arguments(), [], True
        for f in fields(self):
            positional = positional and f.name in given
            if f.name in given:
                value = given[f.name]
                text = value.__name__ if callable(value) and not isinstance(value, Layer) else repr(value)
                parts.append(text if positional else f'{f.name}={text}')
        return f'{self.name}({", ".join(parts)})'

    def to_spec(self):
        """The layer as plain JSON: {'layer': name, argument: value, ...}, defaults left out.

        Raises
        ------
        ValueError : an argument that JSON cannot hold (a Python function, a traced number).

        Examples
        --------
        >>> from ntref import stax
        >>> stax.Dense(512, 1.5, 0.1).to_spec()
        {'layer': 'Dense', 'out_dim': 512, 'W_std': 1.5, 'b_std': 0.1}
        """
        with located(self):
            return {'layer': self.name} | {name: _to_json(name, value) for name, value in self.arguments().items()}


def from_spec(spec):
    """The layer or network that `to_spec` wrote. Nothing is evaluated: names are looked up, numbers are numbers.

    Raises
    ------
    ValueError : not of that form, an unknown layer or argument.

    Examples
    --------
    >>> from ntref import stax
    >>> stax.from_spec({'layer': 'serial', 'layers': [{'layer': 'Dense', 'out_dim': 8}, {'layer': 'Relu'}]})
    serial(Dense(8), Relu())
    """
    if not isinstance(spec, dict) or 'layer' not in spec:
        raise ValueError(f"expected a layer {{'layer': name, ...}}, got {spec!r:.200}.")
    name, given = spec['layer'], {k: _from_json(v) for k, v in spec.items() if k != 'layer'}
    if not isinstance(name, str) or name not in Layer.registry:
        raise ValueError(f'expected a layer out of {", ".join(sorted(Layer.registry))}; got {name!r}.')
    cls = Layer.registry[name]
    known = [f.name for f in fields(cls)]
    missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in given]
    if not set(given) <= set(known) or missing:
        raise ValueError(f'{name}: expected arguments out of {known}, got {sorted(given)}'
                         + (f'; missing {missing}.' if missing else '.'))
    return cls(**given)


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


def _from_json(value):
    if isinstance(value, dict) and set(value) == {'slice'}:
        return Ellipsis if value['slice'] == '...' else slice(*value['slice'])
    if isinstance(value, dict):
        return from_spec(value)
    return tuple(map(_from_json, value)) if isinstance(value, list) else value


# ------------------------------------------------------------------ arguments

def _requested(get):
    """The names in `get`, lower case; empty for None."""
    if get is None:
        return ()
    names = get if isinstance(get, (tuple, list)) else (get,)
    names = tuple(name.lower() if isinstance(name, str) else name for name in names)
    known = [f.name for f in fields(Kernel)]
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        raise ValueError(f'expected `get` to be None, or one or more different names out of {known}; got {get!r}.')
    return names


def _select(k, get, names):
    k = k.finished()
    return k if get is None else _given({name: getattr(k, name) for name in names}, get)


def _given(arrays, get):
    """A single array where `get` is a name, else a named tuple."""
    if isinstance(get, str):
        return next(iter(arrays.values()))
    return namedtuple('AnalyticKernel', arrays)(**arrays)


# ------------------------------------------------------------------ trees: inputs and states of `parallel` are lists

def tree_map(f, tree, *others):
    """f on the leaves of lists and tuples of equal form; the type of the first is kept."""
    if isinstance(tree, (list, tuple)):
        return type(tree)(tree_map(f, *leaves) for leaves in zip(tree, *others, strict=True))
    return f(tree, *others)


def _holds_kernels(tree):
    while isinstance(tree, (list, tuple)) and tree:
        tree = tree[0]
    return isinstance(tree, Kernel)


def _checked(x1, x2, demand):
    """`checked` on trees of inputs, with the tree of demands on them."""
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


def _second(x1, x2):
    return x1 if x2 is None else x2


def _shape(x):
    return tuple(as_floats(x)[0].shape)


def _input_signal(x, demand):
    return _signal(x.shape, demand)


def _signal(shape, demand):
    signal = Signal(tuple(map(index, shape)), (demand.axes or Axes()).of(len(shape)))
    if 0 in [signal.shape[axis] for axis in signal.layout[1:]]:
        raise ValueError(f'expected at least one position on each spatial axis, got shape {signal.shape}. Crop less; '
                         'inputs without positions have a batch and a channel axis alone.')
    return signal


def _shape_signal(shape, demand):
    """The input signal for a shape, or for a list of shapes."""
    if all(hasattr(n, '__index__') for n in shape):
        return _signal(shape, demand[0] if isinstance(demand, list) else demand)
    if not all(isinstance(s, (list, tuple)) for s in shape):
        raise ValueError(f'expected a shape (whole numbers) or a list of shapes, got {shape!r}.')
    if not isinstance(demand, list) or len(demand) != len(shape):
        demand = [demand] * len(shape)                                  # another number of them `parallel` refuses
    return [_shape_signal(s, d) for s, d in zip(shape, demand)]
