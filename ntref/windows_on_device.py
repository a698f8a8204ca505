"""Sums over windows on a GPU, one pass over memory by a kernel of CuPy: each output gathers its taps.

    out[x0, o1, x1, o2, x2] = sum_a c[x0, places1[a, o1], x1, places2[a, o2], x2]

Here for two axes that move together; axes between them are taken as one. A place is -1 where there is no input.
"""
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from math import prod
from typing import Any

import numpy

__all__ = ['gathered', 'kernel', 'operation']

LARGEST = 2 ** 31 - 1       # of the indices of 32 bits, which a GPU divides faster


def gathered(c: Any, out: Any, slides: Sequence[tuple[int, Any]]) -> Any:
    """Write the sum of c over the taps of the (axis, Window) of `slides` into `out`, and return it.

    Both have the same memory order.
    """
    order = sorted(range(c.ndim), key=lambda axis: -c.strides[axis])
    there = sorted((order.index(axis % c.ndim), window) for axis, window in slides)
    shape = [c.shape[axis] for axis in order]
    ends = [-1, *(axis for axis, _ in there), c.ndim]
    between = [prod(shape[start + 1:stop]) for start, stop in zip(ends, ends[1:])]
    lengths = [length for (_, window), rest in zip(there, between[1:]) for length in (window.n, window.out, rest)]
    windows = tuple(window for _, window in there)
    run = kernel(len(windows), 'int32' if max(c.size, out.size) <= LARGEST else 'int64')
    taps = len(windows[0].taps)
    run(c.transpose(order), _places(windows, c.device.id), taps, *lengths, out.transpose(order))
    return out


@lru_cache(maxsize=None)
def kernel(axes: int, integer: str) -> Any:
    """Return the kernel of CuPy for so many axes that move together, with indices of that type."""
    names = [f'{name}{axis}' for axis in range(1, axes + 1) for name in ('in', 'out', 'rest')]
    lengths = ', '.join(f'{integer} {name}' for name in ['taps', *names])
    return import_module('cupy').ElementwiseKernel(
        f'raw T c, raw int32 places, {lengths}', 'T total', operation(axes, integer), f'ntref_window_sum_{axes}')


def operation(axes: int, integer: str) -> str:
    """Return the statements of the kernel: the indices of output i, last axis first; then the sum."""
    of_type = {'int32': 'int', 'int64': 'long long'}[integer]
    lines = [f'{of_type} left = i;']
    for axis in range(axes, 0, -1):
        lines += [
            f'{of_type} x{axis} = left % rest{axis};',
            f'left /= rest{axis};',
            f'{of_type} o{axis} = left % out{axis};',
            f'left /= out{axis};']
    lines += [
        'T sum = 0;',
        f'for ({of_type} a = 0; a < taps; ++a) {{',
        f'    {of_type} at = left;',
        '    bool is_inside = true;']
    before = '0'
    for axis in range(1, axes + 1):
        lines += [
            f'    {of_type} place{axis} = places[{before} + a * out{axis} + o{axis}];',
            f'    is_inside = is_inside && place{axis} >= 0;',
            f'    at = (at * in{axis} + place{axis}) * rest{axis} + x{axis};']
        before += f' + taps * out{axis}'
    lines += [
        '    if (is_inside) sum += c[at];',
        '}',
        'total = sum;']
    return '\n'.join(lines)


@lru_cache(maxsize=1024)
def _places(windows, device):
    """Return the places of all taps and outputs of these windows, one after the other, as an array on the device."""
    tables = []
    for window in windows:
        table = numpy.full((len(window.taps), window.out), -1, 'int32')
        for a, tap in enumerate(window.taps):
            for outputs, inputs in tap:
                table[a, outputs] = range(window.n)[inputs]
        tables.append(table.ravel())
    return import_module('cupy').asarray(numpy.concatenate(tables))
