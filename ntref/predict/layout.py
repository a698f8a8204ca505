"""Conversion of arrays to matrices and back: which axes of the targets the kernel has; and checks of arguments.

Targets `y` have any shape; `trace_axes` are the axes on which the kernel is `Theta (x) I` and which kernel
arrays therefore do not have. With the remaining axes of sizes (n, c, ...), kernels come zipped: (n1, n2, c1, c2, ...).

    kernel  (n1, n2, c1, c2)   <->  matrix (n1 c1, n2 c2)
    outputs (n, ..., o)        <->  matrix (n c, o),       o the product of the traced axes
"""
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

from ..arguments import as_axes, as_number
from ..arrays import as_floats, is_array, is_on_device, namespace, plain
from ..engine.device import there
from ..no_arrays import check_entries
from ..types import Array, Number, Shape

__all__ = [
    'Axes', 'Layout', 'as_momentum', 'axes', 'checked', 'field', 'kernel_matrix', 'nonnegative',
    'refuse_function', 'refuse_objects', 'time', 'times_alone', 'zipped']

Axes: TypeAlias = int | Sequence[int]       # the argument trace_axes
Sizes: TypeAlias = Sequence[int | None]     # a shape that is expected; None: any size


class Layout:
    """Shapes of one training set: of targets `y`, or outputs, and of their kernel; messages call them by `names`."""

    def __init__(self, y: Array, trace_axes: Axes, kernel: Array,
                 names: tuple[str, str] = ('y_train', 'k_train_train')):
        self.name = names[0]
        if not y.shape or not prod(y.shape):
            raise ValueError(f'expected at least one target, got {self.name} of shape {y.shape}.')
        self.shape = y.shape
        self.single = all(a.dtype == 'float32' for a in (y, kernel))
        self.trace_axes = trace_axes
        traced = axes(trace_axes, len(y.shape), self.name)
        is_vector = len(y.shape) == 1 and len(kernel.shape) == 2
        self.traced = () if is_vector else traced
        self.kept = tuple(a for a in range(len(y.shape)) if a not in self.traced)
        self.rows = self.sizes(self.kept)
        self.check(names[1], kernel, zipped(self.rows, self.rows))

    def sizes(self, axes: Sequence[int]) -> Shape:
        return tuple(self.shape[a] for a in axes)

    def check(self, name: str, kernel: Array, shape: Sizes) -> None:
        """Raise ValueError unless the kernel has this shape."""
        is_right = len(kernel.shape) == len(shape) and all(
            expected in (None, size) for expected, size in zip(shape, kernel.shape))
        if not is_right:
            want = tuple('any' if s is None else s for s in shape)
            raise ValueError(
                f'{name} has shape {kernel.shape}, expected ({", ".join(map(str, want))}) to match '
                f'{self.name} of shape {self.shape} with trace_axes={self.trace_axes}. Rows and '
                f'columns of the kernel are the axes of {self.name} that are not traced, in pairs: '
                'give the kernel of these inputs, or other trace_axes.')

    def inputs(self) -> int:
        """Return the number of inputs, on axis 0; raise ValueError if that axis is traced."""
        if 0 not in self.kept:
            raise ValueError(f'expected the inputs on axis 0 of {self.name}, got '
                             f'trace_axes={self.trace_axes}, which make all of them independent. '
                             'Leave axis 0 out of trace_axes.')
        return self.shape[0]

    def columns(self, a: Array) -> Any:
        """Convert outputs (shaped like y) to a matrix (kept axes, traced axes)."""
        xp = namespace(a)
        rows = tuple(a.shape[i] for i in self.kept)
        first = xp.moveaxis(a, self.kept, tuple(range(len(rows))))
        return xp.reshape(first, (prod(rows), prod(self.sizes(self.traced))))

    def test_matrix(self, k_test_train: Any) -> tuple[Any, Shape]:
        """Return the kernel test x train as a matrix, and the sizes of the kept axes of the test outputs."""
        k = checked('k_test_train', k_test_train)
        self.check('k_test_train', k, self.test_sizes())
        return kernel_matrix(k), k.shape[::2]

    def test_sizes(self) -> Sizes:
        """Return the shape of kernels test x train, with None for the sizes of the test set."""
        return zipped((None,) * len(self.rows), self.rows)

    def test_shape(self, rows: Shape) -> Shape:
        """Return the shape of test outputs whose kept axes have sizes `rows`."""
        sizes = dict(zip(self.kept, rows))
        return tuple(sizes.get(a, self.shape[a]) for a in range(len(self.shape)))

    def initial(self, name: str, f0: Array | Number, rows: Shape, like: Array) -> Any:
        """Return the outputs at t = 0, given as an array or a number, as a matrix."""
        shape = self.test_shape(rows)
        check_entries(f0, name)
        f0 = checked(name, f0) if is_array(f0) else as_number(f0, name)
        given = getattr(f0, 'shape', ())
        broadcasts = len(given) <= len(shape) and all(
            size in (1, wanted) for size, wanted in zip(given[::-1], shape[::-1]))
        if not broadcasts:
            raise ValueError(f'expected {name} to be a number or an array of shape {shape}, got '
                             f'shape {given}.')
        return self.columns(f0 + namespace(like).zeros(shape))

    def outputs(self, m: Array, rows: Shape) -> Any:
        """Convert matrices (..., kept axes, traced axes) to (...) + the shape of the outputs, in their precision."""
        return self.cast(self.arrays(m, rows))

    def arrays(self, m: Array, rows: Shape | None = None) -> Any:
        """Convert matrices (..., kept axes, traced axes) to (...) + the shape of the outputs.

        Without `rows` these are outputs for y_train.
        """
        xp = namespace(m)
        lead = len(m.shape) - 2
        rows = self.rows if rows is None else rows
        m = xp.reshape(m, m.shape[:lead] + tuple(rows) + self.sizes(self.traced))
        here = tuple(range(lead + len(rows), lead + len(self.shape)))
        there = tuple(lead + a for a in self.traced)
        return xp.moveaxis(m, here, there)

    def covariance(self, m: Array, rows: Shape) -> Any:
        """Convert matrices (..., kept axes, kept axes) to (...) + the zipped shape, exactly symmetric."""
        xp = namespace(m)
        return self.cast(self.kernel((m + xp.moveaxis(m, -1, -2)) / 2, rows))

    def kernel(self, m: Array, rows: Shape) -> Any:
        """Convert matrices (..., kept axes, kept axes) to (...) + the zipped shape."""
        xp = namespace(m)
        lead = len(m.shape) - 2
        r = len(rows)
        m = xp.reshape(m, m.shape[:lead] + tuple(rows) * 2)
        here = tuple(lead + r + i for i in range(r))
        there = tuple(lead + 2 * i + 1 for i in range(r))
        return xp.moveaxis(m, here, there)

    def cast(self, a: Any) -> Any:
        return a.astype('float32') if self.single else a


def axes(trace_axes: Axes, ndim: int, name: str) -> tuple[int, ...]:
    """Return `trace_axes` sorted, without duplicates, counted from the front."""
    given = as_axes(trace_axes, 'trace_axes')
    if not all(-ndim <= a < ndim for a in given):
        raise ValueError(f'expected trace_axes between {-ndim} and {ndim - 1} for {name} with '
                         f'{ndim} axes, got {trace_axes}.')
    return tuple(sorted({a % ndim for a in given}))


def zipped(rows: Sizes, columns: Sizes) -> tuple[Any, ...]:
    """Return (n1, n2, c1, c2, ...) for rows of sizes (n1, c1, ...) and columns of sizes (n2, c2, ...)."""
    return tuple(size for pair in zip(rows, columns) for size in pair)


def kernel_matrix(k: Array) -> Any:
    """Convert a kernel (n1, n2, c1, c2, ...) to a matrix (n1 c1 ..., n2 c2 ...)."""
    xp = namespace(k)
    rows = k.shape[::2]
    columns = k.shape[1::2]
    if len(rows) != len(columns):
        raise ValueError('expected a kernel with its axes in pairs (n1, n2, c1, c2, ...), got '
                         f'shape {k.shape}.')
    first = xp.moveaxis(k, tuple(range(0, len(k.shape), 2)), tuple(range(len(rows))))
    return xp.reshape(first, (prod(rows), prod(columns)))


# ------------------------------------------------------------------ checks of arguments

def checked(name: str, a: Any) -> Any:
    """Return `a` in working precision (float64, or mpmath); raise ValueError unless every number is finite."""
    a, = as_floats(a)
    xp = namespace(a)
    bad = ~xp.isfinite(a)
    if xp.any(bad):
        raise ValueError(f'expected finite numbers, got {name} of shape {a.shape} with '
                         f'{int(xp.sum(bad))} NaN or infinite: look for overflow or missing values '
                         'in what it was computed from.')
    return a.astype('float64') if a.dtype == 'float32' else a


def field(kernel: Any, name: str, whose: str,
          is_array: Callable[[Any], bool] = is_array) -> Any:
    """Return the array `name` ('nngp' or 'ntk') of a kernel object, or `kernel` itself if `is_array` holds for it."""
    refuse_function(kernel, whose)
    found = kernel if is_array(kernel) else getattr(kernel, name, None)
    if found is None:
        raise ValueError(f'expected {whose} to be an array or to have an attribute {name}, got '
                         f'{type(kernel).__name__} without it. Pass what kernel_fn(x1, x2, '
                         "get=('nngp', 'ntk')) gives, or numpy.asarray of it.")
    return found


def refuse_function(k: Any, name: str = 'k_train_train') -> None:
    """Raise TypeError if a kernel function, a network or a mere array-like is passed as the kernel `name`."""
    if callable(k) or hasattr(k, 'kernel_fn'):
        given = f'the class {k.__name__}' if isinstance(k, type) else type(k).__name__
        raise TypeError(
            f"expected {name} to be a kernel, as kernel_fn(x1, x2, 'ntk') gives it, got {given}, "
            'which computes kernels. Call it; or give it to '
            'gradient_descent_mse_ensemble(kernel_fn, x_train, y_train).')
    check_entries(k, name)


def refuse_objects(k: Any, name: str = 'k_train_train') -> None:
    """Raise TypeError if a kernel function, or an object with kernels as attributes, is passed as the array `name`."""
    refuse_function(k, name)
    if not is_array(k) and hasattr(k, 'ntk'):
        raise TypeError(f'expected {name} to be an array, got {type(k).__name__}, which has '
                        'several. Pass its .ntk, or its .nngp where the last layer alone is '
                        'trained.')


def nonnegative(name: str, value: Number, positive: bool = False) -> Number:
    """Return `value` as a number; raise ValueError unless it is >= 0, or > 0 if `positive`."""
    value = as_number(value, name)
    if not (value > 0 if positive else value >= 0):
        raise ValueError(f'expected {name} {">" if positive else ">="} 0, got {value}.')
    return value


def as_momentum(momentum: Number) -> Number:
    """Return `momentum` as a number; raise ValueError unless it is in [0, 1)."""
    momentum = nonnegative('momentum', momentum)
    if not momentum < 1:
        raise ValueError(f'expected 0 <= momentum < 1, got {momentum}.')
    return momentum


def times_alone(t: Any, shapes: dict[str, Sizes], name: str = 't') -> None:
    """Raise TypeError if t, given without anything else, looks like another argument.

    shapes : {name of an argument: its shape}, with None for any size. Only shapes of two or more axes count, so that a
        row of times passes.
    """
    given = getattr(t, 'shape', ())
    for other, shape in shapes.items():
        if len(given) == len(shape) > 1 and all(size in (None, a) for a, size in zip(given, shape)):
            raise TypeError(
                f'{name} is expected to be times, got an array of shape {given} and nothing else, '
                f'which looks like {other}: pass {other}=.... Times in such a shape are '
                f'{name}=times.ravel(), the result reshaped.')


def time(t: Any, learning_rate: Number, y: Array,
         size: int | None = None) -> Any:
    """Return tau = learning_rate t / size, the time of df/dtau = -K (f - y); the default size is that of `y`."""
    if t is None:
        return None
    check_entries(t, 't')
    xp = namespace(y)
    t = there(t, is_on_device(y))
    xp = namespace(y, t) if is_array(t) else xp
    try:
        t = t if is_array(t) else xp.asarray(t)
        namespace(y, t)
    except (TypeError, ValueError, OverflowError) as e:
        raise TypeError(f'expected t to be a number or an array of them, got {t!r:.100}.') from e
    shape = t.shape if is_array(t) else ()             # mpmath's 0-d arrays decay to numbers
    t, = as_floats(xp.reshape(t, (-1,)))
    bad = t[~(t >= 0)]
    if len(bad):
        raise ValueError('expected times t >= 0 (inf allowed), or None for infinite time; got '
                         f'{plain(bad[0]):g} ({len(bad)} such in t of shape {shape}).')
    t = t.astype('float64') if t.dtype == 'float32' else t
    return xp.reshape(learning_rate * t / (size or prod(y.shape)), shape)
