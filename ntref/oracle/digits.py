"""Numbers with digits that are sure: from exact arguments, by balls whose precision doubles until there are enough."""
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from math import ceil, log2
from typing import Any

import numpy

from ..arrays import is_array
from ..balls import Undecided
from ..no_arrays import check_on_host
from ..stax import MaskedArray
from .certified import mapped, nearest
from .precision import mpmath, working
from .proved import bits, midpoints

__all__ = ['MAX_BITS', 'exactly', 'in_doubles', 'proved_digits', 'rounded', 'told']

SPARE_BITS = 64         # of balls, at first
MAX_BITS = 2 ** 13      # of balls; a proof that takes more is given up
TIE_BITS = 2 ** 10      # of balls: what they cannot round is half-way between two numbers of float64 or float32
ZERO_DIGITS = 8         # beyond those asked for: a difference of numbers of order 1 below that is 0
LEAST_BITS = 1100       # with the most bits, what is below 2^-LEAST_BITS is 0: it is so in float64


def proved_digits(
        compute: Callable[[], Mapping[str, Any]], asked: int, failed: str) -> dict[str, tuple[Any, Any, int]]:
    """Return {name: (values, bounds, proved digits)} for {name: array of balls} from compute().

    If `asked` digits of all entries are sure and so are float64 and float32, the proof ends; else the bits double. With
    TIE_BITS these two need not be sure: the number is then half-way between two of theirs, as far as can be told. With
    the most bits numbers below all doubles count as 0, though there may be no larger ones to compare with.

    Raises
    ------
    Undecided : MAX_BITS bits are too few; `failed` is the message.
    """
    n = round(asked * log2(10)) + SPARE_BITS
    while n <= MAX_BITS:
        is_last = 2 * n > MAX_BITS
        try:
            with bits(n):
                balls = compute()
            with working(ceil(n / log2(10))):
                least = mpmath().mpf(2) ** -LEAST_BITS if is_last else 0
                found = {name: _told_shaped(k, asked, least) for name, k in balls.items()}
                if all(digits == asked and (n >= TIE_BITS or _are_rounded(values, bounds))
                       for values, bounds, digits in found.values()):
                    return found
        except Undecided:
            pass
        n = 2 * n
    raise Undecided(failed)


def _told_shaped(k, asked, least):
    """Return what `told` says of an array of balls of any shape, also ()."""
    values, bounds, digits = told(*midpoints(k.ravel()), asked, least)
    return values.reshape(k.shape), bounds.reshape(k.shape), digits


def _are_rounded(values, bounds):
    """True if the ends of every ball round to the same numbers of float64 and of float32."""
    mp = mpmath()
    pairs = [(v, b) for v, b in zip(values.ravel(), bounds.ravel()) if v]
    ends = [(mp.fsub(v, b, exact=True), mp.fadd(v, b, exact=True)) for v, b in pairs]
    return all(nearest(low, dtype) == nearest(high, dtype) for low, high in ends for dtype in ('float64', 'float32'))


def told(high: Any, bound: Any, asked: int, least: Any = 0) -> tuple[Any, Any, int]:
    """Return values and bounds, of 0 for what cannot be told from it, and how many digits are sure.

    Cannot be told from 0: what is below 10^-(asked + ZERO_DIGITS) of the largest, or below `least`.
    """
    mp = mpmath()
    ten = mp.mpf(10)
    size = abs(high)
    largest = size.max(initial=0)
    is_sure = bound <= size / ten ** asked
    is_zero = ~is_sure & (size + bound <= max(least, largest / ten ** (asked + ZERO_DIGITS)))
    values = numpy.where(is_zero, 0 * high, high)
    bound = numpy.where(is_zero, size + bound, bound)
    unsure = ~(is_sure | is_zero)
    lost = [int(mp.ceil(mp.log10(b / v))) if v else 0 for v, b in zip(size[unsure], bound[unsure])]
    return values, bound, max(0, -max(lost)) if lost else asked


# ------------------------------------------------------------------ arguments

def exactly(a: Any, types: str = 'biufO') -> Any:
    """Return an array of numbers of these types as an array of mpf; all else is returned unchanged."""
    if isinstance(a, MaskedArray):
        return replace(a, masked_value=exactly(a.masked_value))
    if not is_array(a) or a.dtype.kind not in types:
        return a
    check_on_host(a, 'certify: an array')
    try:
        return mapped(import_module('mpmath').mpmathify, numpy.asarray(a))          # `shaken` does not change it
    except (TypeError, ValueError) as e:
        raise TypeError(
            f'certify: expected arrays of real numbers or of mpmath.mpf, got {e}.') from e


def rounded(a: Any, dtype: str) -> Any:
    """Return an array of mpf in float32 or float64; all else is returned unchanged."""
    if isinstance(a, MaskedArray):
        return replace(a, masked_value=rounded(a.masked_value, dtype))
    return a.astype(dtype) if is_array(a) and a.dtype.hasobject else a


def in_doubles(number: Any) -> Any:
    """Return an argument of a layer with a float in place of mpf."""
    return float(number) if isinstance(number, mpmath().mpf) else number
