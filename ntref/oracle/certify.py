"""Kernels to any number of digits, with a bound on their error: proved by ball arithmetic (`ntref.oracle.proved`), or
estimated from computing them twice where that is not possible.

    low      digits + g digits of working precision, the doubles in formulas shaken (`ntref.oracle.shaken`), functions
             of the user evaluated by their values around (`ntref.oracle.around`)
    high     digits + 2 g: the values
    bound    |high - low| + 10^-(digits + g) |high|

An error that grows with rounding is 10^g times larger in `low` than in `high`, and the difference of the two bounds it.
If the bound is too large, g is doubled. docs/oracle.md says what a bound means, and what it does not.
"""
import warnings
from dataclasses import replace
from math import log2
from typing import Any

import numpy

from ..arguments import as_flag, as_whole, requested
from ..arrays import is_array
from ..balls import Inexact, Undecided
from ..engine.blocks import of_block
from ..engine.batch import mirrored, number_of_inputs
from ..engine.cover import blocks, cuts, put_block
from ..engine.run import shown
from ..no_arrays import check_on_host
from ..recursion.signal import Axes
from ..stax import ElementwiseNumerical, Layer, MaskedArray
from ..trees import leaves, tree_map
from ..tuples import named_tuple
from ..types import Get, Tree
from .around import by_values_around
from .certified import Certified, mapped
from .precision import alone, mpmath, working
from .proved import bits, can_prove, exact_balls, in_balls, midpoints
from .shaken import shaken
from .variants import changed

__all__ = ['certify']

SPARE_BITS = 64         # of balls, at first
GUARD_DIGITS = 10       # beyond those asked for, at first; twice as many in each further round
MAX_BITS = 2 ** 13       # of balls; a proof that takes more is given up
MAX_DIGITS = 300        # with more, eps is no double, and loops that compare with it end too early
ZERO_DIGITS = 8         # beyond those asked for: a difference of numbers of order 1 below that is 0
DOUBLE_DIGITS = 18      # while fewer are sure, a round must gain as many as MIN_GAIN to be repeated
MIN_GAIN = 2
SIDE = 4                # inputs on either side of a tile: progress is shown by tiles
NAMES = 'nngp', 'ntk', 'cov1', 'cov2'


def certify(
        net: Layer, x1: Tree, x2: Tree = None, get: Get = 'ntk', digits: int = 30, *,
        progress: bool | None = None, proof: bool | None = None, **options: Any) -> Any:
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
    proof : bool, optional          True: prove the bound, by ball arithmetic (python-flint). False: estimate it. None:
                                    prove it if python-flint is installed and docs/oracle.md#what-is-proved has all
                                    layers.
    options                         `pattern`, `mask_constant`, `diagonal_spatial`, as for `kernel_fn`.

    Returns
    -------
    Certified, or a named tuple of them

    Raises
    ------
    ValueError : digits are out of range; and what `kernel_fn` raises.
    TypeError : a layer cannot compute with mpmath: functions of the user for NumPy alone, adaptive quadrature; or it
        cannot be proved, and proof is True.
    ImportError : proof is True, and python-flint is not installed.
    ArithmeticError : proof is True, and more than 8192 bits would be needed.
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
    ntk (2, 2): 20 digits are ... of 20, |error| <= ...; float64 within ... ulp, at ...
      0 0  0.5  +- ...
      0 1  0.45457747154594766788  +- ...
      1 0  0.45457747154594766788  +- ...
      1 1  1.0  +- ...
    """
    with alone():
        return _certified(net, x1, x2, get, digits, progress, proof, options)


def _certified(net, x1, x2, get, digits, progress, proof, options):
    asked = as_whole(digits, 'certify: digits', 1)
    names = requested(get, NAMES, 'Arguments are (net, x1, x2, get).')
    progress = progress if progress is None else as_flag(progress, 'certify: progress')
    proof = proof if proof is None else as_flag(proof, 'certify: proof')
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
    compared = None
    if can_prove(net, (x1, x2), options, proof):
        try:
            compared = _by_balls(net, exact, names, asked, progress)
        except (Inexact, Undecided):
            if proof:
                raise
    is_proved = compared is not None
    compared = compared or _by_two_precisions(net, exact, names, asked, progress)
    found = {name: Certified(name, *of, asked, doubles[name], singles[name], is_proved)
             for name, of in compared.items()}
    if isinstance(get, str):
        return found[get]
    return named_tuple('CertifiedKernel', found)


# ------------------------------------------------------------------ by balls

def _by_balls(net, exact, names, asked, progress):
    """Return {name: (values, bounds, proved digits)}.

    Raises
    ------
    Undecided : MAX_BITS bits are too few.
    Inexact : a formula has doubles that may stand for other numbers.
    """
    inputs = exact_balls(exact[:2])
    n = round(asked * log2(10)) + SPARE_BITS
    while n <= MAX_BITS:
        try:
            with bits(n):
                kernels = _kernels(in_balls(net), *inputs, exact[2], names, progress)
            with working(asked + 2 * GUARD_DIGITS):
                found = {name: _told(*midpoints(k), asked) for name, k in kernels.items()}
                if all(_are_rounded(values, bounds, digits, asked) for values, bounds, digits in found.values()):
                    return found
        except Undecided:
            pass
        n = 2 * n
    raise Undecided(
        f'certify: expected a kernel that balls of {MAX_BITS} bits can prove to {asked} digits, got '
        'wider ones. Take proof=False for an estimate.')


def _are_rounded(values, bounds, digits, asked):
    """True if there are enough digits, and the ends of every ball round to the same double."""
    mp = mpmath()
    pairs = zip(values.ravel(), bounds.ravel())
    return digits == asked and all(
        float(mp.fsub(v, b, exact=True)) == float(mp.fadd(v, b, exact=True)) for v, b in pairs if v)


# ------------------------------------------------------------------ the two computations

def _by_two_precisions(net, exact, names, asked, progress):
    """Return {name: (values, bounds, sure digits)}, with a warning where fewer are sure than asked for."""
    before = -1
    guard = GUARD_DIGITS
    while asked + 2 * guard <= MAX_DIGITS:
        compared, met = _twice(net, exact, names, asked, guard, progress)
        sure = min(digits for _, _, digits in compared.values())
        if sure == asked or sure < min(before + MIN_GAIN, DOUBLE_DIGITS):
            break
        before = sure
        guard = 2 * guard
    if sure < asked:
        warnings.warn(_fewer(sure, asked, met), stacklevel=4)
    return compared


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
    bound = abs(high - low) + mpmath().mpf(10) ** -(asked + guard) * abs(high)
    return _told(high, bound, asked)


def _told(high, bound, asked):
    """Return values and bounds, of 0 for what cannot be told from it, and how many digits are sure."""
    mp = mpmath()
    ten = mp.mpf(10)
    size = abs(high)
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
    check_on_host(a, 'certify: an array')
    try:
        return mapped(mpmath().convert, numpy.asarray(a))
    except (TypeError, ValueError) as e:
        raise TypeError(
            f'certify: expected arrays of real numbers or of mpmath.mpf, got {e}.') from e


def _rounded(a, dtype):
    if isinstance(a, MaskedArray):
        return replace(a, masked_value=_rounded(a.masked_value, dtype))
    return a.astype(dtype) if is_array(a) and a.dtype.hasobject else a


# ------------------------------------------------------------------ what was missed

def _fewer(sure, asked, met):
    numbers = ', '.join(map(repr, sorted(met, key=lambda x: abs(mpmath().mpf(x)))[:5]))
    which = f' (out of {numbers}): give them as arguments of a layer, or as mpmath.mpf.' if met else '.'
    return (
        f'expected {asked} digits, {sure} are sure. Either rounding errors grow beyond what working '
        f'with {MAX_DIGITS} digits can mend; or functions of the user leave mpmath on the way, by float, '
        'text, a fraction or a precision of their own; or formulas have doubles in them that stand for '
        f'other numbers{which}')
