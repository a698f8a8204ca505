"""Checks of f: it treats examples one by one, as `vmap_axes` claim, and autograd sees all of its derivative."""
import numpy

from ..on_either import drawn, largest
from .given import Given, check_given
from .products import Push
from .side import Side

__all__ = ['check_derivatives', 'check_side']

MAX_LOST = 1e-2         # relative: a lost part is larger, the error of the differences smaller


def check_side(side: Side) -> None:
    """Raise ValueError if f mixes examples, or if the derivative that autograd finds is not that of f."""
    side.check()
    check_derivatives(side)


def check_derivatives(side: Side) -> None:
    r"""Compare J d with differences of f, along a random direction d of each parameter.

    (f(w + h d) - f(w - h d)) / 2 h differs from J d by rounding, 10 eps |f| / h, and at kinks by at most the
    difference between the one-sided differences on both sides of w.
    """
    if isinstance(side.whole, Given):
        check_given(side)
        return
    push = Push(side.whole)
    rng = numpy.random.default_rng(0)
    for i, (name, w) in enumerate(zip(side.names, side.values)):
        d = drawn(rng, w)
        eps = float(numpy.finfo(w.dtype).eps)
        h = eps ** (1 / 3) * max(1., largest(w))
        up = side.plain([*side.values[:i], w + h * d, *side.values[i + 1:]])
        down = side.plain([*side.values[:i], w - h * d, *side.values[i + 1:]])
        direction = [numpy.zeros_like(value) for value in side.values]
        direction[i] = d
        slopes = push(direction)
        for f, plus, minus, slope in zip(side.whole.outputs, up, down, slopes, strict=True):
            there = numpy.isfinite(plus) & numpy.isfinite(minus) & numpy.isfinite(slope)
            f, plus, minus, slope = (a[there] for a in (f, plus, minus, slope))
            central = (plus - minus) / (2 * h)
            kinks = abs(plus - 2 * f + minus) / h
            scale = largest(f)
            rounding = 10 * eps * scale / h
            close = MAX_LOST * largest(central) + largest(kinks) + rounding
            if (abs(slope - central) > close).any():
                raise ValueError(
                    f'expected autograd to see all that {name} does to the outputs for '
                    f'{side.name}, but along a random direction its derivative is {_shown(slope)}, '
                    f'and that by differences {_shown(central)}. Write the function with '
                    'autograd.numpy: plain NumPy has no derivatives.')


def _shown(a):
    """Return the entry of largest absolute value, as text."""
    return f'{float(a.ravel()[abs(a).argmax()]):.3g}'
