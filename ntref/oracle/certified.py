"""Numbers with a bound on their error: what `certify` and `certify_predict` return, and their entries as text."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from .precision import mpmath

__all__ = ['Certified', 'mapped', 'nearest', 'rows', 'table']

SHOWN_ENTRIES = 16      # entries that `repr` shows


@dataclass(frozen=True, eq=False, repr=False)
class Certified:
    """An array of numbers with a bound on their error and the number of digits that are sure.

    Attributes
    ----------
    name : str                      such as 'ntk'.
    values : array of mpmath.mpf    the numbers, at the exact binary values of inputs and arguments.
    bound : array of mpmath.mpf     |error| of `values`: docs/oracle.md.
    digits : int                    number of digits of each entry that are sure, relative to the entry; at most
                                    `asked`. An entry that cannot be told from 0 has the value 0.
    asked : int                     digits that were asked for.
    decimals : array of str         `values`, written with the digits that are sure.
    float64, float32 : array        `values` correctly rounded.
    got64, got32 : array            results of ntref in float64 and float32; for float32 the inputs are rounded to it.
    ulps64, ulps32 : array          errors of these in units of the last place of `values`; for an entry that is 0, of
                                    the largest value.
    proved : bool                   True if the bound is proved, by ball arithmetic; False if it is an estimate, from
                                    two computations.
    """
    name: str
    values: Any
    bound: Any
    digits: int
    asked: int
    got64: Any
    got32: Any
    proved: bool = False

    @property
    def decimals(self) -> numpy.ndarray:
        return mapped(lambda v: mpmath().nstr(v, max(1, self.digits)), self.values)

    @property
    def float64(self) -> numpy.ndarray:
        return mapped(lambda v: nearest(v, 'float64'), self.values).astype('float64')

    @property
    def float32(self) -> numpy.ndarray:
        with numpy.errstate(over='ignore'):
            return mapped(lambda v: nearest(v, 'float32'), self.values).astype('float32')

    @property
    def ulps64(self) -> numpy.ndarray:
        return _ulps(self.got64, self.values)

    @property
    def ulps32(self) -> numpy.ndarray:
        return _ulps(self.got32, self.values)

    def __repr__(self):
        text = [
            f'{self.name} {self.values.shape}: {self.digits} digits are '
            f'{"proved" if self.proved else "sure"} of {self.asked}, |error| '
            f'<= {_short(self.bound.max(initial=0))}; {_worst("float64", self.ulps64)}, '
            f'{_worst("float32", self.ulps32)}']
        entries = list(rows(self))
        for index, value, bound, *_ in entries[:SHOWN_ENTRIES]:
            text.append(f'  {" ".join(map(str, index))}  {value}  +- {bound}')
        if len(entries) > SHOWN_ENTRIES:
            text.append(f'  ... {len(entries) - SHOWN_ENTRIES} more')
        return '\n'.join(text)


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
        size = numpy.asarray(abs(values.astype(got.dtype)))
        unit = numpy.spacing(numpy.where(values == 0, size.max(initial=0), size))
        exact = mapped(mpmath().convert, got)
        error = numpy.asarray(abs(exact - values) / mapped(mpmath().convert, unit))
        return numpy.where(numpy.isfinite(got), error.astype('float64'), numpy.inf)


def nearest(v: Any, dtype: str) -> float:
    """Return the number of this dtype next to an `mpmath.mpf`, of two the even one."""
    mp = mpmath()
    if not mp.isfinite(v):
        return float(v)
    finfo = numpy.finfo(dtype)
    _, exponent = mp.frexp(v)
    last = max(exponent - finfo.nmant - 1, finfo.minexp - finfo.nmant)            # the last place is 2^last
    return float(mp.ldexp(mp.nint(mp.ldexp(v, -last)), last))


def mapped(f: Callable, a: Any) -> Any:
    """Return f of the entries of an array, as an array of objects."""
    each = numpy.frompyfunc(f, 1, 1)
    with numpy.errstate(invalid='ignore'):                    # mpf(inf) sets the flag
        return numpy.asarray(each(a.astype(object)), dtype=object)
