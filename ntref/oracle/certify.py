"""Kernels to any number of digits, with a bound on their error from computing them twice.

    low      digits + g digits of working precision, the doubles in formulas shaken (`ntref.oracle.shaken`), functions
             of the user evaluated by their values around (`ntref.oracle.around`)
    high     digits + 2 g: the values
    bound    |high - low| + 10^-(digits + g) |high|

An error that grows with rounding is 10^g times larger in `low` than in `high`, and the difference of the two bounds it.
If the bound is too large, g is doubled. docs/oracle.md says what a bound means, and what it does not.
"""
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy

from ..arguments import as_flag, as_whole, requested
from ..arrays import is_array
from ..engine.blocks import of_block
from ..engine.batch import mirrored, number_of_inputs
from ..engine.cover import blocks, cuts, put_block
from ..engine.run import shown
from ..recursion.signal import Axes
from ..stax import ElementwiseNumerical, Layer, MaskedArray
from ..trees import leaves, tree_map
from ..tuples import named_tuple
from ..types import Get, Tree
from .around import by_values_around
from .precision import alone, mpmath, working
from .shaken import shaken
from .variants import changed

__all__ = ['Certified', 'certify', 'rows', 'table']

GUARD_DIGITS = 10       # beyond those asked for, at first; twice as many in each further round
MAX_DIGITS = 300        # with more, eps is no double, and loops that compare with it end too early
ZERO_DIGITS = 8         # beyond those asked for: a difference of numbers of order 1 below that is 0
DOUBLE_DIGITS = 18      # while fewer are sure, a round must gain as many as MIN_GAIN to be repeated
MIN_GAIN = 2
SIDE = 4                # inputs on either side of a tile: progress is shown by tiles
NAMES = 'nngp', 'ntk', 'cov1', 'cov2'
SHOWN_ENTRIES = 16      # entries that `repr` shows


@dataclass(frozen=True, eq=False, repr=False)
class Certified:
    """An array of numbers with a bound on their error and the number of digits that are sure.

    Attributes
    ----------
    name : str                      such as 'ntk'.
    values : array of mpmath.mpf    the numbers, of the kernel at the exact binary values of inputs and arguments.
    bound : array of mpmath.mpf     |error| of `values`, from two computations: docs/oracle.md.
    digits : int                    number of digits of each entry that are sure, relative to the entry; at most
                                    `asked`. An entry that cannot be told from 0 has the value 0.
    asked : int                     digits that were asked for.
    decimals : array of str         `values`, written with the digits that are sure.
    float64 : array                 `values` correctly rounded.
    got64, got32 : array            results of ntref in float64 and float32; for float32 the inputs are rounded to it.
    ulps64, ulps32 : array          errors of these in units of the last place of `values`; for an entry that is 0, of
                                    the largest value.
    """
    name: str
    values: Any
    bound: Any
    digits: int
    asked: int
    got64: Any
    got32: Any

    @property
    def decimals(self) -> numpy.ndarray:
        return _mapped(lambda v: mpmath().nstr(v, max(1, self.digits)), self.values)

    @property
    def float64(self) -> numpy.ndarray:
        return self.values.astype('float64')

    @property
    def ulps64(self) -> numpy.ndarray:
        return _ulps(self.got64, self.values)

    @property
    def ulps32(self) -> numpy.ndarray:
        return _ulps(self.got32, self.values)

    def __repr__(self):
        text = [
            f'{self.name} {self.values.shape}: {self.digits} digits are sure of {self.asked}, |error| '
            f'<= {_short(self.bound.max(initial=0))}; {_worst("float64", self.ulps64)}, '
            f'{_worst("float32", self.ulps32)}']
        entries = list(rows(self))
        for index, value, bound, *_ in entries[:SHOWN_ENTRIES]:
            text.append(f'  {" ".join(map(str, index))}  {value}  +- {bound}')
        if len(entries) > SHOWN_ENTRIES:
            text.append(f'  ... {len(entries) - SHOWN_ENTRIES} more')
        return '\n'.join(text)


def certify(
        net: Layer, x1: Tree, x2: Tree = None, get: Get = 'ntk', digits: int = 30, *,
        progress: bool | None = None, **options: Any) -> Any:
    """Return kernels of an infinitely wide network to a given number of digits, with a bound on their error.

    Parameters
    ----------
    net : Layer                     its numbers (W_std=1.1) are taken exactly, as doubles or as `mpmath.mpf`.
    x1 : array (n1, ..., channels)  floats are taken exactly, `mpmath.mpf` in object arrays as they are.
    x2 : the same, optional         None means that x2 is x1.
    get : str or tuple of str       as for `kernel_fn`; None means all covariances.
    digits : int                    digits of each entry, relative to the entry; 1 to 280.
    progress : bool, optional       show tiles done, rate and time left (tqdm). None: on a terminal only. A dense layer
                                    takes about 0.5 ms an entry, more with positions and with series. Ctrl-C stops it.
    options                         `pattern`, `mask_constant`, `diagonal_spatial`, as for `kernel_fn`.

    Returns
    -------
    Certified, or a named tuple of them

    Raises
    ------
    ValueError : digits are out of range; and what `kernel_fn` raises.
    TypeError : a layer cannot compute with mpmath: functions of the user for NumPy alone, adaptive quadrature.
    RuntimeError : a function of the user changes the precision of mpmath and does not restore it.
    UserWarning : fewer digits are sure than were asked for; it names doubles in formulas, which may be the cause.

    Accuracy
    --------
    Values are within the bound, if the formulas are right: docs/oracle.md.

    Source
    ------
    docs/oracle.md

    Examples
    --------
    >>> import numpy
    >>> from ntref import stax
    >>> net = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    >>> certify(net, numpy.array([[1., 0.], [1., 1.]]), digits=20)
    ntk (2, 2): 20 digits are sure of 20, |error| <= ...e-30; float64 within ... ulp, at ...
      0 0  0.5  +- ...
      0 1  0.45457747154594766788  +- ...
      1 0  0.45457747154594766788  +- ...
      1 1  1.0  +- ...
    """
    with alone():
        return _certified(net, x1, x2, get, digits, progress, options)


def _certified(net, x1, x2, get, digits, progress, options):
    asked = as_whole(digits, 'certify: digits', 1)
    names = requested(get, NAMES, 'Arguments are (net, x1, x2, get).')
    progress = progress if progress is None else as_flag(progress, 'certify: progress')
    if asked + 2 * GUARD_DIGITS > MAX_DIGITS:
        raise ValueError(
            f'certify: expected at most {MAX_DIGITS - 2 * GUARD_DIGITS} digits, got {asked}.')
    if not isinstance(net, Layer):
        raise TypeError(
            f'certify: expected a Layer such as serial(Dense(1), Relu()), got {net!r:.200}.')
    exact = *tree_map(_exactly, (x1, x2)), tree_map(lambda a: _exactly(a, 'fO'), options)
    rounded = tree_map(lambda a: _rounded(a, 'float64'), exact)
    doubles = _whole(changed(net, _in_doubles), *rounded, names)
    singles = _in_singles(net, exact, names, doubles)
    before = -1
    guard = GUARD_DIGITS
    while asked + 2 * guard <= MAX_DIGITS:
        compared, met = _twice(net, exact, names, asked, guard, progress)
        found = {name: Certified(name, *of, asked, doubles[name], singles[name])
                 for name, of in compared.items()}
        sure = min(c.digits for c in found.values())
        if sure == asked or sure < min(before + MIN_GAIN, DOUBLE_DIGITS):
            break
        before = sure
        guard = 2 * guard
    if sure < asked:
        warnings.warn(_fewer(sure, asked, met), stacklevel=3)
    if isinstance(get, str):
        return found[get]
    return named_tuple('CertifiedKernel', found)


# ------------------------------------------------------------------ the two computations

def _twice(net, exact, names, asked, guard, progress):
    """Return {name: (values, bounds, sure digits)} from two precisions, and the doubles met at the lower one."""
    with working(asked + guard), shaken() as met:
        varied = changed(changed(net, _at_other_nodes), by_values_around)
        low = _kernels(varied, *exact, names, progress)
    with working(asked + 2 * guard):
        high = _kernels(net, *exact, names, progress)
        _check_exact(net, {**low, **high})
        compared = {name: _compared(high[name], low[name], asked, guard) for name in high}
        return compared, met


def _check_exact(net, kernels):
    """Raise TypeError if digits were lost on the way to other numbers, on which both computations would agree."""
    for name, k in kernels.items():
        ended = [x for x in k.ravel().tolist() if not isinstance(x, mpmath().mpf)]
        if ended:
            raise TypeError(
                f'certify: expected layers that compute with mpmath, got {name} of '
                f'{type(ended[0]).__name__} from {net!r:.200}. Functions of the user must keep '
                'arrays of mpmath.mpf as they are.')


def _kernels(net, x1, x2, options, names, progress):
    """Return {name: array}, computed tile by tile where that is possible, so that progress can be shown."""
    if names and set(names) <= {'nngp', 'ntk'} and _are_first(net, x1, x2):
        if of_blocks := net.kernel_fn.of_blocks(x1, x2, **options):
            return _in_tiles(of_blocks, x1, x2, options, names, progress)
    return _whole(net, x1, x2, options, names)


def _whole(net, x1, x2, options, names):
    k = net.kernel_fn(x1, x2, names or None, **options)
    return {name: a for name in names or NAMES if (a := getattr(k, name)) is not None}


def _in_singles(net, exact, names, doubles):
    """Return the kernels in float32, or NaN if inputs are beyond its range."""
    with numpy.errstate(over='ignore'):
        inputs = tree_map(lambda a: _rounded(a, 'float32'), exact)
    if any(is_array(x) and numpy.isinf(x).any() for x in leaves(inputs[:2])):
        return {name: numpy.full_like(a, numpy.nan, dtype='float32') for name, a in doubles.items()}
    return _whole(changed(net, _in_doubles), *inputs, names)


def _are_first(net, x1, x2):
    """True if x1 and x2 are arrays, or trees of arrays, with inputs on the first axis."""
    return not any((demand.axes or Axes()).batch for demand in leaves(net.asked(None))) and \
        all(map(is_array, leaves((x1, x2))))


def _in_tiles(kernel_fn, x1, x2, options, names, progress):
    """Return {name: array}, computed in tiles of SIDE inputs against SIDE.

    If x2 is x1 and there are no positions, the upper half is computed, and mirrored."""
    other = x1 if x2 is None else x2
    shape = (number_of_inputs(x1, 'x1'), number_of_inputs(other, 'x2'))
    kernels = {}

    def write(rows, columns, symmetric):
        is_own = kernel_fn.is_one and rows == columns
        left = tree_map(lambda x: x[rows], x1)
        right = None if is_own else tree_map(lambda x: x[columns], other)
        kwargs = of_block(options, rows, columns, x2 is None)
        for name, tile in zip(names, kernel_fn(left, right, names, **kwargs)):
            tile = mirrored(tile) if is_own and tile.ndim == 2 else tile
            if name not in kernels:
                kernels[name] = numpy.zeros((*shape, *tile.shape[2:]), object)
            put_block(kernels[name], rows, columns, tile, symmetric)
    write(*(slice(0, min(SIDE, n)) for n in shape), False)
    symmetric = kernel_fn.is_one and kernels[names[0]].ndim == 2
    down, across = (cuts(n, SIDE) for n in shape)
    tiles = blocks(down) if symmetric else blocks(down, across)
    for rows, columns in shown(progress, 'kernel')(tiles[1:]):
        write(rows, columns, symmetric)
    return kernels


def _at_other_nodes(layer):
    """Return a layer with more quadrature nodes, if their number is an argument; else the layer itself."""
    if isinstance(layer, ElementwiseNumerical) and layer.deg is not None:
        return replace(layer, deg=layer.deg + layer.deg // 2 + 1)
    return layer


def _in_doubles(number):
    return float(number) if isinstance(number, mpmath().mpf) else number


def _compared(high, low, asked, guard):
    """Return values, their bounds, and how many digits are sure."""
    mp = mpmath()
    ten = mp.mpf(10)
    size = abs(high)
    bound = abs(high - low) + ten ** -(asked + guard) * size
    largest = size.max(initial=0)
    is_sure = bound <= size / ten ** asked
    is_zero = ~is_sure & (size + bound <= largest / ten ** (asked + ZERO_DIGITS))
    values = numpy.where(is_zero, 0 * high, high)
    bound = numpy.where(is_zero, size + bound, bound)
    unsure = ~(is_sure | is_zero)
    lost = [int(mp.ceil(mp.log10(b / v))) if v else 0 for v, b in zip(size[unsure], bound[unsure])]
    return values, bound, max(0, -max(lost)) if lost else asked


# ------------------------------------------------------------------ arguments

def _exactly(a, types='biufO'):
    """Return an array of numbers of these types as an array of mpf; all else is returned unchanged."""
    if isinstance(a, MaskedArray):
        return replace(a, masked_value=_exactly(a.masked_value))
    if not is_array(a) or a.dtype.kind not in types:
        return a
    try:
        return _mapped(mpmath().convert, numpy.asarray(a))
    except (TypeError, ValueError) as e:
        raise TypeError(
            f'certify: expected arrays of real numbers or of mpmath.mpf, got {e}.') from e


def _rounded(a, dtype):
    if isinstance(a, MaskedArray):
        return replace(a, masked_value=_rounded(a.masked_value, dtype))
    return a.astype(dtype) if is_array(a) and a.dtype.hasobject else a


def _mapped(f, a):
    each = numpy.frompyfunc(f, 1, 1)
    with numpy.errstate(invalid='ignore'):                    # mpf(inf) sets the flag
        return numpy.asarray(each(a.astype(object)), dtype=object)


# ------------------------------------------------------------------ as text

def rows(certified: Certified) -> Iterator[tuple]:
    """Yield the entries: index, value to the digits that are sure, bound, float64, ulps of float64 and float32."""
    decimals = certified.decimals
    doubles = certified.float64
    ulps64 = certified.ulps64
    ulps32 = certified.ulps32
    for index in numpy.ndindex(certified.values.shape):
        bound = _short(certified.bound[index])
        double = repr(float(doubles[index]))
        yield index, decimals[index], bound, double, f'{ulps64[index]:.3g}', f'{ulps32[index]:.3g}'


def table(found: Sequence[Certified]) -> Iterator[list]:
    """Yield a header and the entries of all kernels, as rows of a file of comma-separated values."""
    axes = max(certified.values.ndim for certified in found)
    columns = 'value', 'bound', 'float64', 'ulps of float64', 'ulps of float32'
    yield ['kernel', *(f'axis {i}' for i in range(axes)), *columns]
    for certified in found:
        for index, *entries in rows(certified):
            yield [certified.name, *index, *[''] * (axes - len(index)), *entries]


def _short(bound):
    return mpmath().nstr(bound, 2)


def _worst(dtype, ulps):
    if not ulps.size:
        return f'{dtype} none'
    place = numpy.unravel_index(ulps.argmax(), ulps.shape)
    return f'{dtype} within {ulps.max():.3g} ulp, at {tuple(map(int, place))}'


def _ulps(got, values):
    """Return |got - value| in units of the last place of the value, or of the largest value where it is 0."""
    with numpy.errstate(all='ignore'):
        size = abs(values.astype(got.dtype))
        unit = numpy.spacing(numpy.where(values == 0, size.max(initial=0), size))
        exact = _mapped(mpmath().convert, got)
        error = abs(exact - values) / _mapped(mpmath().convert, unit)
        return numpy.where(numpy.isfinite(got), error.astype('float64'), numpy.inf)


def _fewer(sure, asked, met):
    numbers = ', '.join(map(repr, sorted(met, key=lambda x: abs(mpmath().mpf(x)))[:5]))
    which = f' (out of {numbers}): give them as arguments of a layer, or as mpmath.mpf.' if met else '.'
    return (
        f'expected {asked} digits, {sure} are sure. Either rounding errors grow beyond what working '
        f'with {MAX_DIGITS} digits can mend; or functions of the user leave mpmath on the way, by float, '
        'text, a fraction or a precision of their own; or formulas have doubles in them that stand for '
        f'other numbers{which}')
