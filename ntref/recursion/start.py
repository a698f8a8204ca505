"""From inputs to the first state of the recursion: checks, and K = <x, x'> / channels with its gap and area.

Gap and area come from the matrix product where that keeps their digits, and from explicit differences for the few pairs
of inputs that nearly coincide or are nearly parallel (docs/theory/duals.md#gap-and-area).
"""
from math import log, prod
from typing import Any

from ..arrays import as_floats, namespace, untraced
from ..derivatives import carried, is_traced
from ..duals.geometry import Cov, over
from ..in_place import divided, increased
from ..ranges import check_small
from ..types import Array
from ..windows import taken
from .kernel import Kernel
from .positions import zipped
from .signal import Axes, Demand, Signal, shared_signal

__all__ = ['across', 'at_pairs', 'channels_last', 'checked', 'gram', 'input_kernel', 'one_by_one', 'orthogonal',
           'own_variances']

NEAR = .1            # differences below this fraction of their terms are formed explicitly
PARALLEL = .03       # sine of the angle below which that loses digits, too: differences come from exact products
CHUNK = 2 ** 20      # numbers that explicit differences may hold at a time
FEW = 8              # up to this number of channels all differences are formed explicitly
STEP = 4096          # pairs of inputs that one product of `at_pairs` is for


def checked(x1: Any, x2: Any, axes: Axes) -> tuple[Array, Array | None]:
    """Return x1 and x2 (or None) as floating-point arrays of one kind and precision.

    Raises
    ------
    TypeError  : not arrays, or not of real numbers.
    ValueError : fewer than two axes, no channels, different feature shapes, NaN or infinity (the rows are named).
    """
    if x1 is None:
        raise TypeError('expected x1 to be an array of inputs, got no array but None.')
    arrays = as_floats(*(x for x in (x1, x2) if x is not None))
    for name, x in zip(('x1', 'x2'), arrays):
        if x.ndim < 2:
            raise ValueError(f'expected {name} with a batch axis and a channel axis, got shape {tuple(x.shape)}. '
                             'A vector of scalar inputs is x[:, None].')
        batch = axes.of(x.ndim).batch
        channel = axes.of(x.ndim).channel
        if x.shape[channel] == 0:
            raise ValueError(f'expected at least one channel on axis {channel} of {name}, got shape {x.shape}.')
        _finite(name, x, batch)
        if x.shape[:batch] + x.shape[batch + 1:] != arrays[0].shape[:batch] + arrays[0].shape[batch + 1:]:
            raise ValueError(f'expected x1 and x2 with equal shapes but for the batch axis {batch}, got '
                             f'{tuple(arrays[0].shape)} and {tuple(x.shape)}.')
    return arrays[0], None if x2 is None else arrays[1]


def _finite(name, x, batch):
    xp = namespace(x)
    finite = xp.isfinite(x)
    if not bool(xp.all(finite)):
        rows = xp.nonzero(~xp.all(finite, axis=tuple(a for a in range(x.ndim) if a != batch)))[0]
        listed = ', '.join(str(int(r)) for r in rows[:10]) + (', ...' if len(rows) > 10 else '')
        raise ValueError(f'expected finite inputs, got NaN or infinity in {len(rows)} of the {x.shape[batch]} rows '
                         f'of {name}: {listed}. Remove or impute them.')


def input_kernel(x1: Array, x2: Array | None, signals: tuple[Signal, Signal], demand: Demand, ntk: bool,
                 are_same: bool = False) -> Kernel:
    """Return the state at the input: K = <x, x'> / channels at each pair of positions that `demand` needs, Theta = 0.

    x2=None means that x2 is x1. If both are given, the caller says whether they are the same inputs (`are_same`).
    `signals` describe x1 and x2.
    """
    axes = demand.axes.of(x1.ndim)
    a = channels_last(x1, axes)
    b = a if x2 is None else channels_last(x2, axes)

    signal1, signal2 = shared_signal(*signals)

    def own(x):
        q = own_variances(x)                                            # also checks that they are in range
        return one_by_one(x, x, demand) if demand.paired and x.ndim > 2 else Cov(q)
    state = Kernel.of(
        mutual=across(a, b, demand),
        own1=own(a),
        own2=None if x2 is None else own(b),
        ntk=0 if ntk else None,
        signal1=signal1,
        signal2=signal2,
        paired=demand.paired,
        are_same=are_same or x2 is None)
    return state.with_own().masked()


def own_variances(x: Array) -> Array:
    """Return mean x^2 of inputs (n, *positions, channels); ValueError if it underflows for inputs that are not 0."""
    xp = namespace(x)
    q = xp.mean(x * x, -1)
    check_small(q, lambda q: xp.any(untraced(x) != 0, axis=-1))
    return q


def channels_last(x: Array, axes: Axes) -> Array:
    """Return x with its axes in the order (n, *positions, channels)."""
    return namespace(x).moveaxis(x, (axes.batch, axes.channel), (0, -1))


def across(a: Array, b: Array, demand: Demand) -> Cov:
    """Return the Cov of every a (n1, *positions, channels) with every b: arrays (n1, n2, h, h', w, w', ...).

    If `demand` asks for equal positions only, the arrays are (n1, n2, h, w, ...).
    """
    xp, (*spatial, channels) = namespace(a), a.shape[1:]
    if not spatial:
        return gram(a, b, demand.area, demand.gap)
    if demand.paired:
        cov = gram(a.reshape(-1, channels), b.reshape(-1, channels), demand.area, demand.gap)
        return _zipped(cov, a.shape[:-1], b.shape[:-1])
    if demand.gap and not demand.area:
        return _rowwise_gram(a[:, None], b[None])
    left, right = (xp.moveaxis(x.reshape(len(x), prod(spatial), channels), 1, 0) for x in (a, b))
    cov = gram(left, right, demand.area, demand.gap)
    return Cov(*(None if c is None else xp.moveaxis(c, 0, -1).reshape(len(a), len(b), *spatial) for c in cov))


def one_by_one(a: Array, b: Array, demand: Demand) -> Cov:
    """Return the Cov of each a[i] (n, *positions, channels) with b[i]: arrays (n, h, h', w, w', ...).

    If `demand` asks for equal positions only, the arrays are (n, h, w, ...). Otherwise a and b may have different
    numbers of positions.
    """
    if demand.paired:
        left, right = (x.reshape(len(x), prod(x.shape[1:-1]), x.shape[-1]) for x in (a, b))
        return _zipped(gram(left, right, demand.area, demand.gap), a.shape[1:-1], b.shape[1:-1])
    if not demand.area:
        return _rowwise_gram(a, b) if demand.gap else Cov(_mean_product(a, b))
    cov = gram(a[..., None, :], b[..., None, :], demand.area, demand.gap)
    return Cov(*(None if c is None else c[..., 0, 0] for c in cov))


def at_pairs(a: Array, b: Array, i: Array, j: Array, demand: Demand) -> Cov:
    """Return the Cov of each a[i] (n, *positions, channels) with b[j], at equal positions, by products of slices.

    The pairs i < j are those within slices, one slice after the other.
    """
    xp = namespace(a, b)
    begun = 1 + xp.nonzero(i[1:] > j[:-1])[0]
    ends = sorted({*begun.tolist(), *range(STEP, len(i), STEP), len(i)})

    def part(i, j):
        left, right = (slice(int(rows.min()), int(rows.max()) + 1) for rows in (i, j))
        places = (i - left.start) * (right.stop - right.start) + j - right.start
        cov = across(a[left], b[right], demand)
        return [None if c is None else taken(c.reshape(-1, *c.shape[2:]), places) for c in cov]
    parts = [part(i[lo:hi], j[lo:hi]) for lo, hi in zip([0, *ends], ends)]
    return Cov(*(None if p[0] is None else xp.concatenate(p) for p in zip(*parts)))


def orthogonal(cov: Cov, q: Array) -> Cov:
    """Return the Cov with K = 0, |u - v|^2 = 2 q, A = q on its diagonal."""
    at = namespace(q).asarray(range(len(q)))
    for c, value in zip(cov, (0, 2 * q, q)):
        if c is not None:
            c[at, at] = value
    return cov


def _rowwise_gram(a, b):
    """Return covariance and gap of vectors along the last axis; K is rounded as `own_variances` are."""
    return Cov(_mean_product(a, b), _mean_square_difference(a, b))


def _mean_product(x, y):
    return _mean(lambda x, y: x * y, x, y)


def _mean_square_difference(x, y):
    return _mean(lambda x, y: (x - y) ** 2, x, y)


def _mean(f, x, y):
    """Return the mean over channels of f(x, y); up to FEW channels are added one by one."""
    n = x.shape[-1]
    if n > FEW:
        return namespace(x, y).mean(f(x, y), -1)
    total = f(x[..., 0], y[..., 0])
    for c in range(1, n):
        total = increased(total, f(x[..., c], y[..., c]))
    return total / n


def _zipped(cov, left, right):
    return Cov(*(None if c is None else zipped(c, left, right) for c in cov))


# ------------------------------------------------------------------ rows against rows

def gram(x: Array, y: Array, area: bool = True, gap: bool = True) -> Cov:
    """Return covariance, gap and area (or None) of rows of x (..., n1, c) with rows of y (..., n2, c): (..., n1, n2).

    K = <x, y> / c,  gap = |x - y|^2 / c,  area = sqrt(|x|^2 |y|^2 - <x, y>^2) / c

    Accuracy
    --------
    gap and area are accurate to a few eps of themselves, also at nearly equal and nearly parallel rows. They are
    exactly 0 at equal rows; for a row with itself, where y is x, they are left to `State.with_own`.
    """
    xp = namespace(x, y)
    if not (area or gap):
        return Cov(_product_of_matrices(x, y))
    k = _inner(x, y)
    distances = _squared_distances(x, y) if gap else None
    if not area:
        return Cov(k, distances)
    if x.shape[-1] == 1:
        return Cov(k, distances, 0 * abs(k))
    s = xp.sqrt(xp.mean(x * x, -1))[..., :, None] * xp.sqrt(xp.mean(y * y, -1))[..., None, :]
    sines = xp.sqrt(xp.maximum(s - k, 0)) * xp.sqrt(xp.maximum(s + k, 0))
    i = _nonzero(s - abs(k) < NEAR * s, x, y)
    return Cov(k, distances, xp.patch(sines, i, _rejection(x, y, k, i)) if len(i[0]) else sines)


def _inner(x, y):
    """Return <x, y> / c; with few channels it is rounded as `own_variances` are."""
    if x.shape[-1] <= FEW:
        return _mean_product(x[..., :, None, :], y[..., None, :, :])
    return _product_of_matrices(x, y)


def _product_of_matrices(x, y):
    """Return <x, y> / c in the fewest passes: of pairs that need no gap, and so no last bit of K."""
    xp = namespace(x, y)
    if x.shape[-1] == 1:
        return x * xp.moveaxis(y, -1, -2)
    return divided(xp.matmul(x, xp.moveaxis(y, -1, -2)), x.shape[-1], True)


def _squared_distances(x, y):
    """Return |x - y|^2 / c, by the matrix product about the mean where that keeps the digits, else directly."""
    xp = namespace(x, y)
    if x.shape[-1] <= FEW:
        return _mean_square_difference(x[..., :, None, :], y[..., None, :, :])
    mean = xp.sum(x, -2) / max(x.shape[-2], 1)
    a = x - mean[..., None, :]
    b = y - mean[..., None, :]
    far = xp.mean(a * a, -1)[..., :, None] + xp.mean(b * b, -1)[..., None, :]
    gap = xp.maximum(far - 2 * _inner(a, b), 0)
    i = _nonzero(gap <= NEAR * far, x, y)
    return xp.patch(gap, i, _rowwise(_mean_square_difference, x, y, i)) if len(i[0]) else gap


def _nonzero(near, x, y):
    """Return where pairs are near, without those of a row with itself where y is x, unless autograd follows x."""
    xp = namespace(x)
    if y is x and x.ndim == 2 and not is_traced(x):
        near = near & (xp.eye(len(x)) == 0)
    return xp.nonzero(near)


def _rejection(x, y, k, i):
    """Return the area at the pairs i, from the part perpendicular to x of y -+ x or, where that is shorter, of y."""
    sign = namespace(k).where(k[i] < 0, -1., 1.).astype(k.dtype)

    def area(x, y, sign):
        xp = namespace(x, y)
        q = xp.mean(x * x, -1)
        e = y - sign[:, None] * x
        e = xp.where((xp.mean(e * e, -1) < xp.mean(y * y, -1))[:, None], e, y)
        n1 = xp.sqrt(q)
        n2 = xp.sqrt(xp.mean(y * y, -1))
        r = _perpendicular(e, x)
        area = n1 * xp.minimum(xp.sqrt(xp.mean(r * r, -1)), n2)
        i = xp.nonzero(area < PARALLEL * n1 * n2)
        return xp.patch(area, i, _small_area(x[i], y[i])) if len(i[0]) else area
    return _rowwise(area, x, y, i, sign)


def _perpendicular(e, x):
    """Return the part of e that is perpendicular to x."""
    xp = namespace(e, x)
    return e - over(xp.mean(e * x, -1), xp.mean(x * x, -1))[:, None] * x


def _small_area(x, y):
    """Return the area of rows that are nearly parallel, accurate to the last digits; 0 if they are parallel.

    With m where x is largest, d = y - (y_m / x_m) x has the same part perpendicular to x as y, and is as small as that
    part.
    """
    xp = namespace(x, y)
    at = abs(untraced(x)).argmax(-1)
    rows = xp.nonzero(at >= 0)[0]
    x_m = x[rows, at][:, None]
    y_m = y[rows, at][:, None]
    minors = _minors(*map(untraced, (x, y, x_m, y_m)))
    d = carried(minors, y - y_m / x_m * x)
    r = _perpendicular(d, x)
    return xp.sqrt(xp.mean(x * x, -1)) * xp.sqrt(xp.mean(r * r, -1))


def _minors(x, y, x_m, y_m):
    """Return y - (y_m / x_m) x = (x_m y - y_m x) / x_m, with the two products subtracted without rounding."""
    dtype = x.dtype
    x, y, x_m, y_m = (c.astype('float64') if dtype == 'float32' else c for c in (x, y, x_m, y_m))
    scale_x, scale_y = _power_of_two(x), _power_of_two(y)
    p, p_lost = _product(x_m * scale_x, y * scale_y)
    r, r_lost = _product(y_m * scale_y, x * scale_x)
    d = ((p - r) + (p_lost - r_lost)) / (x_m * scale_x) / scale_y
    return d.astype(dtype)


def _power_of_two(x):
    """Return a power of two that scales each row of x to order 1, so that products neither overflow nor lose digits."""
    xp = namespace(x)
    largest = abs(x).max(-1, keepdims=True)
    exponent = xp.log(xp.where(largest > 0, largest, 1)) / log(2)
    return 2. ** -exponent.astype('int64')


def _product(a, b):
    """Return a b, rounded, and its rounding error (Dekker 1971): a = a1 + a2 of half as many bits each, b likewise."""
    def halves(a):
        c = (2 ** 27 + 1) * a
        high = c - (c - a)
        return high, a - high
    p = a * b
    a1, a2 = halves(a)
    b1, b2 = halves(b)
    return p, a2 * b2 - (((p - a1 * b1) - a2 * b1) - a1 * b2)


def _rowwise(f, x, y, i, *more):
    """Return f(rows of x, rows of y, *more) at the pairs i = (*batch, row of x, row of y), computed in chunks."""
    def part(s):
        *batch, left, right = (j[s] for j in i)
        return f(x[(*batch, left)], y[(*batch, right)], *(m[s] for m in more))
    step = max(1, CHUNK // x.shape[-1])
    return namespace(x, y).concatenate([part(slice(lo, lo + step)) for lo in range(0, len(i[0]), step)])
