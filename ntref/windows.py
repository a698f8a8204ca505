"""Windows that slide along axes, for finite networks and for kernels, with derivatives of their own.

A `Window` says which inputs each output sees: tap a of output o is input i with

    i = o * stride + a - low      convolution              o = i * stride - a + low      its transpose

and zero where there is no such i; with 'CIRCULAR' padding positions count modulo their number. On arrays:

    window_sum(c, slides)     sum over the taps; the (axis, Window) of `slides` move together   adjoint: window_spread
    windows(x, axis, window)  the taps side by side: axis n becomes axes out, size              adjoint: unwindows
    bordered(c, q, ...)       c plus q at taps that are inside on the left and outside on the right
"""
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from .arrays import is_on_device, namespace
from .derivatives import adjoint_pair
from .in_place import increased
from .once import cached_property
from .types import Array
from .windows_on_device import gathered

__all__ = ['PADDINGS', 'RESIZERS', 'Window', 'bordered', 'nearest', 'packed', 'resize_matrix',
           'taken', 'unwindows', 'window_spread', 'window_sum', 'windows', 'zeros', 'zeros_like']

PADDINGS = 'VALID', 'SAME', 'CIRCULAR'
MAX_LOOKUPS = 2 ** 14     # windows and parts that are cached: enough for all blocks of a deep network


@dataclass(frozen=True, eq=False)
class Window:
    """Movement of a window along one axis.

    Attributes
    ----------
    n, out : int       lengths of the axis before and after.
    taps : tuple       for each tap, runs (outputs, inputs) of slices of equal length: output o sees input i.
    """
    n: int
    out: int
    taps: tuple

    @classmethod
    @lru_cache(MAX_LOOKUPS)
    def of(cls, n: int, size: int, stride: int, padding: str) -> 'Window':
        """Return a convolution's window.

        'VALID': out = (n - size) // stride + 1. 'SAME', 'CIRCULAR': out = ceil(n / stride), centred.
        """
        if padding == 'VALID':
            if size > n:
                raise ValueError(
                    f"expected a window no longer than the input under padding 'VALID', got {size} "
                    f"over {n}. Use 'SAME', or a smaller window.")
            low = 0
            out = (n - size) // stride + 1
        else:
            out = -(-n // stride)
            low = max((out - 1) * stride + size - n, 0) // 2
        hits = [[(o, o * stride + a - low) for o in range(out)] for a in range(size)]
        if padding == 'CIRCULAR':
            hits = [[(o, i % n) for o, i in tap] for tap in hits]
        hits = [[(o, i) for o, i in tap if 0 <= i < n] for tap in hits]
        return cls(n, out, tuple(_runs(tap, 1, stride) for tap in hits))

    @classmethod
    @lru_cache(MAX_LOOKUPS)
    def transposed(cls, n: int, size: int, stride: int, padding: str) -> 'Window':
        """Return a transposed convolution's window: out = n stride, plus max(size - stride, 0) under 'VALID'."""
        more = max(size - stride, 0)
        out = n * stride + (more if padding == 'VALID' else 0)
        low = size - 1 - (0 if padding == 'VALID' else more // 2)
        hits = [[(i * stride - a + low, i) for i in range(n)] for a in range(size)]
        if padding == 'CIRCULAR':
            hits = [[(o % out, i) for o, i in tap] for tap in hits]
        hits = [[(o, i) for o, i in tap if 0 <= o < out] for tap in hits]
        return cls(n, out, tuple(_runs(tap, stride, 1) for tap in hits))

    @cached_property
    def reached(self) -> list[list[bool]]:
        """Nested lists: reached[a][o] is True if there is an input under tap a of output o."""
        seen = [{o for outputs, _ in tap for o in range(self.out)[outputs]} for tap in self.taps]
        return [[o in tap for o in range(self.out)] for tap in seen]

    @cached_property
    def partial(self) -> list[int]:
        """Outputs that have taps without an input."""
        return [o for o, inside in enumerate(zip(*self.reached)) if not all(inside)]

    @lru_cache(MAX_LOOKUPS)                  # windows live as long as the process, see `of`
    def only(self, taps: Iterable[int]) -> 'Window':
        """Return the window that has these taps only."""
        return Window(self.n, self.out, tuple(self.taps[a] for a in taps))

    @cached_property
    def overlaps(self) -> bool:
        """True if outputs share inputs."""
        seen = [i for tap in self.taps for _, inputs in tap for i in range(self.n)[inputs]]
        return len(seen) > len(set(seen))

    @lru_cache(MAX_LOOKUPS)
    def part(self, start: int, stop: int) -> tuple[slice, 'Window']:
        """Return the slice of inputs that the outputs from start to stop need, and the Window between them."""
        outputs = range(start, stop)
        hits = [[(o, i) for o, i in self._hits(tap) if o in outputs] for tap in self.taps]
        seen = [i for tap in hits for _, i in tap] or [0]
        lo = min(seen)
        hi = max(seen) + 1
        do, di = next(((o.step, i.step) for tap in self.taps for o, i in tap), (1, 1))
        taps = tuple(_runs([(o - outputs.start, i - lo) for o, i in tap], do, di) for tap in hits)
        return slice(lo, hi), Window(hi - lo, len(outputs), taps)

    def _hits(self, tap):
        """Yield the pairs (o, i) of a tap."""
        for outputs, inputs in tap:
            yield from zip(range(self.out)[outputs], range(self.n)[inputs])

    @cached_property
    def back(self) -> 'Window':
        """The adjoint window, with inputs and outputs exchanged."""
        taps = tuple(tuple((i, o) for o, i in tap) for tap in self.taps)
        return Window(self.out, self.n, taps)


def _runs(hits, do, di):
    """Return the pairs (o, i) as runs of slices with steps do and di."""
    runs = []
    expected = None
    for o, i in hits:
        if (o, i) == expected:
            runs[-1].append((o, i))
        else:
            runs.append([(o, i)])
        expected = o + do, i + di
    return tuple((_stretch(run, 0, do), _stretch(run, 1, di)) for run in runs)


def _stretch(run, side, step):
    return slice(run[0][side], run[-1][side] + 1, step)


def _at(ndim, axes, indices):
    """Return an index with indices[j] on axes[j] and full slices elsewhere."""
    where = dict(zip((axis % ndim for axis in axes), indices, strict=True))
    return tuple(where.get(axis, slice(None)) for axis in range(ndim))


def zeros(like: Array, shape: Iterable[int]) -> Any:
    """Return zeros of the kind and precision of `like`."""
    return namespace(like).zeros(tuple(shape)).astype(like.dtype, copy=False)


def zeros_like(a: Any, shape: Sequence[int]) -> Any:
    """Return zeros of the given shape, with the memory order of a."""
    order = sorted(range(a.ndim), key=lambda axis: -a.strides[axis])
    return namespace(a).moveaxis(zeros(a, (shape[axis] for axis in order)), range(a.ndim), order)


def packed(a: Any, batch_axes: int) -> Any:
    """Return a with its first axes innermost in memory, so that windows along the other axes move long runs."""
    if a.ndim == batch_axes:
        return a if a.flags.c_contiguous else a.copy()
    rest = a.ndim - batch_axes
    moved = a.transpose(*range(batch_axes, a.ndim), *range(batch_axes))
    if not moved.flags.c_contiguous:
        moved = moved.copy()
    return moved.transpose(*range(rest, a.ndim), *range(rest))


def taken(a: Any, rows: Any) -> Any:
    """Return a[rows], which keeps the memory order of arrays that are `packed` for one batch axis."""
    if isinstance(rows, slice) or a.flags.c_contiguous:
        return a[rows]
    last = a.ndim - 1
    return a.transpose(*range(1, a.ndim), 0).take(rows, last).transpose(last, *range(last))


def _window_sum(c, slides):
    shape = list(c.shape)
    for axis, window in slides:
        shape[axis] = window.out
    if is_on_device(c) and c.dtype.kind == 'f':
        return gathered(c, namespace(c).empty_like(c, shape=shape), slides)
    whole, slabs, shifts = _shifts(c.ndim, tuple(slides))
    if whole is None:
        out = zeros_like(c, shape)
    else:                                                        # the first two taps in one pass
        (here, there), *shifts = shifts or [(None, None)]
        c_whole = c[whole]
        out = namespace(c).empty_like(c, shape=shape)
        for slab in slabs:
            out[slab] = c_whole[slab]
        if here is not None:
            namespace(c).add(c_whole[here], c[there], out=out[here])
    for here, there in shifts:
        out[here] += c[there]
    return out


@lru_cache(MAX_LOOKUPS)
def _shifts(ndim, slides):
    """Return the indices of a sum over the taps.

    These are the inputs of one tap that all outputs see, or None; slabs of outputs that the first of the other taps
    does not reach; and (outputs, inputs) of all runs of all other taps.
    """
    axes, slid = zip(*slides)
    shifts = []
    whole = None
    for taps in zip(*(window.taps for window in slid), strict=True):
        for runs in product(*taps):
            here = _at(ndim, axes, [outputs for outputs, _ in runs])
            there = _at(ndim, axes, [inputs for _, inputs in runs])
            if whole is None and all(o == slice(0, w.out, 1) for (o, _), w in zip(runs, slid)):
                whole = there
            else:
                shifts.append((here, there))
    slabs = _beyond(ndim, slides, shifts[0][0]) if shifts else [_at(ndim, (), ())]
    return whole, slabs, shifts


def _beyond(ndim, slides, here):
    """Return slabs that cover the outputs beyond `here`."""
    slabs = []
    for axis, window in slides:
        o = here[axis]
        ends = [slice(0, window.out)]
        if o.step == 1:
            ends = [slice(0, o.start), slice(o.stop, window.out)]
        slabs += [_at(ndim, (axis,), (end,)) for end in ends if end.start < end.stop]
    return slabs


def _window_spread(c, slides):
    return _window_sum(c, [(axis, window.back) for axis, window in slides])


def _windows(x, axis, window):
    axis = axis % x.ndim
    out = zeros(x, (*x.shape[:axis], window.out, len(window.taps), *x.shape[axis + 1:]))
    for a, tap in enumerate(window.taps):
        for outputs, inputs in tap:
            here = _at(out.ndim, (axis, axis + 1), (outputs, a))
            there = _at(x.ndim, (axis,), (inputs,))
            out[here] = x[there]
    return out


def _unwindows(y, axis, window):
    out = zeros(y, (*y.shape[:axis], window.n, *y.shape[axis + 2:]))
    for a, tap in enumerate(window.taps):
        for outputs, inputs in tap:
            here = _at(out.ndim, (axis,), (inputs,))
            there = _at(y.ndim, (axis, axis + 1), (outputs, a))
            out[here] += y[there]
    return out


window_sum, window_spread = adjoint_pair(_window_sum, _window_spread)
windows, unwindows = adjoint_pair(_windows, _unwindows)


def bordered(c: Any, q: Any, left: tuple[int, Window], right: tuple[int, Window]) -> Any:
    """Add sum_a q(tap a of i) to c in place, over taps that are inside at i and outside at j; see `increased`.

    `left` and `right` are (axis, Window); these axes of q, of length n and 1, become i and j.
    """
    i, over = left
    j, other = right
    for o in other.partial:
        outside = tuple(a for a, tap in enumerate(other.reached) if not tap[o])
        border = window_sum(q, [(i, over.only(outside))])
        c = increased(c, border, _at(c.ndim, (j,), (slice(o, o + 1),)))
    return c


# ------------------------------------------------------------------ resampling

def nearest(n: int, out: int) -> list[int]:
    """Return for each of `out` pixels the index of the nearest of n pixels, by their centres."""
    return [(2 * o + 1) * n // (2 * out) for o in range(out)]


def resize_matrix(
        xp: Any, n: int, out: int, filter: Callable[[Any, Any], Any], antialias: bool) -> Any:
    """Return weights (out, n) of resampling: filter(distance of the centres), with rows that sum to one."""
    here = _centres(xp, out)
    there = _centres(xp, n)
    shrink = max(n, out) if antialias else out
    weights = filter(xp, abs(here[:, None] * n - there[None] * out) / shrink)
    return weights / xp.sum(weights, 1, keepdims=True)


def _centres(xp, n):
    """Return the centres of n pixels."""
    return xp.asarray([float(2 * i + 1) for i in range(n)]) / 2


def linear(xp, d):
    return xp.maximum(1 - d, 0)


def cubic(xp, d):
    """Return the cubic filter of Keys 1981 eq. 15, with a = -1/2."""
    inner = (3 * d - 5) * d * d / 2 + 1
    outer = ((5 - d) * d - 8) * d / 2 + 2
    return xp.where(d < 1, inner, xp.where(d < 2, outer, 0))


def lanczos(radius):
    def filter(xp, d):
        t = xp.pi * xp.where(d == 0, 1, d)
        value = radius * xp.sin(t) * xp.sin(t / radius) / (t * t)
        return xp.where(d == 0, 1, xp.where(d < radius, value, 0))
    return filter


RESIZERS = {
    'nearest': nearest,
    **dict.fromkeys(('linear', 'bilinear', 'trilinear', 'triangle'), linear),
    **dict.fromkeys(('cubic', 'bicubic', 'tricubic'), cubic),
    'lanczos3': lanczos(3),
    'lanczos5': lanczos(5),
}
