"""Kernels of networks with positions by sums over pixels, as they are defined: the truth of the tests of layers.

    kernel(net, x1, x2)        ->  Kernels: nngp, ntk, gap, cov1, ... in the layout of ntref, paired and aligned
    check(net, x1, x2)         asserts that all that ntref computes of a network is this
    taps(n, size, stride, padding), transposed(...)          S[a, o, i]: how often tap a of output o sees input i
    resize(n, out, method, antialias)                        R[o, i]
    neighbours(pattern, shape, nodes, is_sparse)             L[n, p, o]: weight of pixel p in pixel o of input n

Independent of `ntref` on purpose. x1 and x2 are one batch here; K[n, m, p, q] is the covariance of input n at pixel p
with input m at pixel q, pixels being numbered row by row; there is no gap, no area, no window that slides: a layer is
a sum over the matrices that say which pixel sees which. Networks are read off their `to_spec`.
"""
from functools import reduce
from itertools import product
from math import ceil, exp, floor, pi, prod, sin
from typing import Any, NamedTuple

import numpy
from tolerances import assert_close


PADDINGS = 'VALID', 'SAME', 'CIRCULAR'


class State(NamedTuple):
    """K and Theta (n, n, pixels, pixels); shape of the activations, and which of its axes are batch and channels."""
    k: Any
    t: Any
    shape: tuple
    batch: int
    channel: int
    pattern: Any = None

    @property
    def spatial(self):
        return [a for a in range(len(self.shape)) if a not in (self.batch, self.channel)]

    @property
    def positions(self):
        return tuple(self.shape[a] for a in self.spatial)

    @property
    def channels(self):
        return self.shape[self.channel]

    @property
    def own(self):
        """Variances (n, pixels)."""
        return numpy.einsum('nnpp->np', self.k)

    def over(self, f, **changes):
        """f(K), f(Theta)."""
        return self._replace(k=f(self.k), t=f(self.t), **changes)

    def sized(self, positions, channels=None):
        """The shape with other numbers of positions, and of channels."""
        shape = list(self.shape)
        for a, n in zip(self.spatial, positions, strict=True):
            shape[a] = n
        shape[self.channel] = channels or shape[self.channel]
        return tuple(shape)


class Kernels(NamedTuple):
    """What is compared: arrays in the layout of ntref, and the same at equal positions only."""
    nngp: Any
    ntk: Any
    gap: Any
    cov1: Any
    gap1: Any
    cov2: Any
    gap2: Any
    shape: tuple
    axes: tuple
    aligned: Any = None


def kernel(net, x1, x2=None, batch=0, channel=-1, pattern=None):
    """`Kernels` of a network, for inputs with these axes; `pattern` is that of x1, or with x2 of x1 and of x2."""
    n1, both = x1.shape[batch], x1 if x2 is None else numpy.concatenate([x1, x2], batch)
    x = numpy.moveaxis(both.astype('float64'), (batch, channel), (0, -1))
    x = x.reshape(len(x), -1, x.shape[-1])
    k = numpy.einsum('npc,mqc->nmpq', x, x) / x.shape[-1]
    pattern = numpy.concatenate(pattern) if isinstance(pattern, tuple) else pattern
    z = layer(net.to_spec(), State(k, 0 * k, x1.shape, batch % x1.ndim, channel % x1.ndim, pattern))
    rows, columns = numpy.arange(n1), numpy.arange(n1) if x2 is None else numpy.arange(n1, len(k))
    gap = z.own[:, None, :, None] + z.own[None, :, None, :] - 2 * z.k

    def laid_out(form):
        across = (form(c[rows][:, columns], z.positions) for c in (z.k, z.t, gap))
        own = (form(c[n, n], z.positions) for n in (rows, columns) for c in (z.k, gap))
        return Kernels(*across, *own, z.shape, (z.batch, z.channel))
    return laid_out(zipped)._replace(aligned=laid_out(aligned))


def aligned(a, shape):
    """(*batch, pixels, pixels) to (*batch, h, w, ...)."""
    return numpy.einsum('...pp->...p', a).reshape(*a.shape[:-2], *shape)


def zipped(a, shape):
    """(*batch, pixels, pixels) to (*batch, h, h', w, w', ...)."""
    batch, m = a.shape[:-2], len(shape)
    b = len(batch)
    order = [*range(b), *(b + i + side * m for i in range(m) for side in (0, 1))]
    return a.reshape(*batch, *shape, *shape).transpose(order)


# ------------------------------------------------------------------ comparison

def check(net, x1, x2=None, batch=0, channel=-1, aligned=True, quantity='value', **given):
    """The whole Kernel, kernels asked for by name, and those at equal positions only (unless not `aligned`)."""
    expected = kernel(net, x1, x2, batch, channel, **given)
    state = net.kernel_fn(x1, x2, **given)
    assert_state(state, expected, quantity)
    assert state.shape1 == tuple(len_ if a != expected.axes[0] else x1.shape[batch]
                                 for a, len_ in enumerate(expected.shape))
    assert (state.batch_axis, state.channel_axis) == expected.axes and not state.diagonal_spatial
    assert (state.cov2 is None) == (x2 is None) == state.x1_is_x2
    assert_named(net.kernel_fn(x1, x2, ('nngp', 'ntk'), **given), expected, quantity)
    if aligned:
        assert_state(net.kernel_fn(x1, x2, diagonal_spatial=True), expected.aligned, quantity)
        assert_named(net.kernel_fn(x1, x2, ('nngp', 'ntk'), diagonal_spatial=True), expected.aligned, quantity)


def assert_named(k, expected, quantity='value'):
    for name in ('nngp', 'ntk'):
        wanted = getattr(expected, name)
        assert_close(getattr(k, name), wanted, quantity, abs(wanted).max())


def assert_state(k, expected, quantity='value'):
    """Of a Kernel all that it has."""
    assert_named(k, expected, quantity)
    size = max(abs(expected.cov1).max(), abs(expected.cov2).max())
    for name in ('gap', 'cov1', 'gap1', 'cov2', 'gap2'):
        if getattr(k, name) is not None:
            assert_close(getattr(k, name), getattr(expected, name), quantity, size)


# ------------------------------------------------------------------ which output sees which input

def line(n, size, stride, padding):
    """The inputs along an axis with its padding."""
    total = 0 if padding == 'VALID' else max((ceil(n / stride) - 1) * stride + size - n, 0)
    row = list(range(-(total // 2), n + total - total // 2))
    return [i % n for i in row] if padding == 'CIRCULAR' else [i if 0 <= i < n else None for i in row]


def taps(n, size, stride, padding):
    """A convolution: the window lies on inputs o * stride, ... of the padded line."""
    row = line(n, size, stride, padding)
    return seen([row[lo:lo + size] for lo in range(0, len(row) - size + 1, stride)], size, n)


def transposed(n, size, stride, padding):
    """Its transpose: stride - 1 zeros between neighbours, then a convolution of stride 1, padded as in JAX."""
    if padding == 'CIRCULAR':
        whole = transposed(n, size, stride, 'VALID')
        out, more = n * stride, whole.shape[1] - n * stride
        S = numpy.zeros((size, out, n))
        for o in range(whole.shape[1]):
            S[:, (o - more // 2) % out] += whole[:, o]
        return S
    total = size + stride - 2 + (max(size - stride, 0) if padding == 'VALID' else 0)
    low = size - 1 if padding == 'VALID' or stride > size - 1 else ceil(total / 2)
    row = [None] * low
    for i in range(n):
        row += [i] + [None] * (stride - 1 if i < n - 1 else total - low)
    return seen([row[lo:lo + size] for lo in range(len(row) - size + 1)], size, n)


def seen(windows, size, n):
    S = numpy.zeros((size, len(windows), n))
    for o, window in enumerate(windows):
        for a, i in enumerate(window):
            if i is not None:
                S[a, o, i] += 1
    return S


def together(matrices):
    """S of all axes: taps, outputs and inputs numbered row by row."""
    def both(S, R):
        return numpy.einsum('aoi,bpj->abopij', S, R).reshape([m * n for m, n in zip(S.shape, R.shape)])
    return reduce(both, matrices, numpy.ones((1, 1, 1)))


def along(shape, sizes, strides, padding, one=taps):
    """S for a window along all axes, and the shape of the outputs."""
    strides = strides or (1,) * len(sizes)
    matrices = [one(*args, padding.upper()) for args in zip(shape, sizes, strides, strict=True)]
    return together(matrices), tuple(S.shape[1] for S in matrices)


def nearest(n, out):
    R = numpy.zeros((out, n))
    for o in range(out):
        R[o, floor((o + .5) * n / out)] = 1
    return R


def keys(d, a=-.5):
    if d < 1:
        return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
    return a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a if d < 2 else 0


def sinc(t):
    return sin(pi * t) / (pi * t) if t else 1


FILTERS = {
    'linear': lambda d: max(1 - d, 0), 'cubic': keys,
    **{f'lanczos{r}': lambda d, r=r: sinc(d) * sinc(d / r) if d < r else 0 for r in (3, 5)}}
ALIASES = {'bilinear': 'linear', 'trilinear': 'linear', 'triangle': 'linear', 'bicubic': 'cubic', 'tricubic': 'cubic'}


def resize(n, out, method, antialias):
    """Weights of pixel i in the new pixel o: the filter at the distance of their centres, divided by the sum."""
    if n == out or method == 'nearest':
        return nearest(n, out)
    f, wide = FILTERS[ALIASES.get(method, method)], max(n / out, 1) if antialias else 1
    R = numpy.zeros((out, n))
    for o in range(out):
        for i in range(n):
            R[o, i] = f(abs((o + .5) * n / out - (i + .5)) / wide)
        R[o] /= R[o].sum()
    return R


# ------------------------------------------------------------------ layers

def layer(spec, z):
    arguments = dict(spec)
    return LAYERS[arguments.pop('layer')](z, **arguments)


def convolution(z, out_chan, filter_shape, strides=None, padding='VALID', W_std=1., b_std=None, dimension_numbers=None,
                parameterization='ntk', s=(1, 1), one=taps, shared=True):
    """K'(i, j) = w / k sum_a K(i + a, j + a) + b; without shared weights at i = j alone."""
    m = len(filter_shape)
    lhs, rhs, out = dimension_numbers or ('N' + 'ABDE'[:m] + 'C', 'ABDE'[:m] + 'IO', 'N' + 'ABDE'[:m] + 'C')
    inputs, filters, outputs = ([c for c in letters if c not in 'NCIO'] for letters in (lhs, rhs, out))
    size, stride = dict(zip(filters, filter_shape)), dict(zip(filters, strides or (1,) * m))
    assert (z.batch, z.channel, len(z.shape)) == (lhs.index('N'), lhs.index('C'), len(lhs))
    S, shape = along(z.positions, [size[c] for c in inputs], [stride[c] for c in inputs], padding, one)
    mask = numpy.ones((prod(shape),) * 2) if shared else numpy.eye(prod(shape))

    def total(c):
        return mask * sum(L @ c @ L.T for L in S)
    new = weighted(z, total, len(S), W_std, b_std, parameterization, s, mask)
    order = [inputs.index(c) for c in outputs]
    channels = widened(out_chan, parameterization, s)
    lengths = dict(zip(inputs, shape)) | {'N': z.shape[z.batch], 'C': channels}
    return new.over(lambda c: reordered(c, shape, order), shape=tuple(lengths[c] for c in out), batch=out.index('N'),
                    channel=out.index('C'))


def widened(n, parameterization, s):
    return int(n * s[1]) if parameterization == 'standard' else n


def weighted(z, total, taps, W_std, b_std, parameterization, s, mask):
    k = W_std ** 2 / taps * total(z.k) + mask * (b_std or 0) ** 2
    before = W_std ** 2 / taps * total(z.t)
    if parameterization == 'ntk':
        return z._replace(k=k, t=k + before)
    fan_in = taps * z.channels
    return z._replace(k=k, t=fan_in / s[0] * total(z.k) / taps + mask * (b_std is not None) + before)


def reordered(c, shape, order):
    """Pixels numbered along the axes in another order."""
    places = numpy.arange(prod(shape)).reshape(shape).transpose(order).ravel()
    return c[:, :, places][:, :, :, places]


def dense(z, out_dim, W_std=1., b_std=None, parameterization='ntk', s=(1, 1), **axes):
    new = weighted(z, lambda c: c, 1, W_std, b_std, parameterization, s, 1)
    return new._replace(shape=z.sized(z.positions, widened(out_dim, parameterization, s)))


def moved(z, L, positions):
    """h'_o = sum_i L[o, i] h_i:  K' = sum_pq L[i, p] L[j, q] K(p, q)."""
    return z.over(lambda c: L @ c @ L.T, shape=z.sized(positions))


def pool(z, window_shape, strides=None, padding='VALID', normalize_edges=False, average=True, **axes):
    S, shape = along(z.positions, window_shape, strides, padding)
    L = S.sum(0)
    counts = L.sum(1, keepdims=True) if normalize_edges else prod(window_shape)
    return moved(z, L / counts if average else L, shape)


def global_pool(z, average, **axes):
    def pooled(c):
        return c.mean((2, 3), keepdims=True) if average else c.sum((2, 3), keepdims=True)
    n, first = z.shape[z.batch], z.batch < z.channel
    return z.over(pooled, shape=(n, z.channels) if first else (z.channels, n), batch=int(not first), channel=int(first))


def flatten(z, batch_axis=0, batch_axis_out=0):
    n, size, first = z.shape[z.batch], prod(z.positions) * z.channels, batch_axis_out == 0
    return z.over(lambda c: numpy.einsum('nmpp->nm', c)[:, :, None, None] / c.shape[-1],
                  shape=(n, size) if first else (size, n), batch=int(not first), channel=int(first))


def index(z, idx, **axes):
    """Positions; of the batch all."""
    items = [i if isinstance(i, int) else ... if i['slice'] == '...' else slice(*i['slice']) for i in idx]
    at = items.index(...) if ... in items else len(items)
    missing = len(z.shape) - sum(i is not ... for i in items)
    items = items[:at] + [slice(None)] * missing + items[at + 1:]
    assert items[z.batch] == items[z.channel] == slice(None)
    pixels = numpy.arange(prod(z.positions)).reshape(z.positions)[tuple(items[a] for a in z.spatial)].ravel()
    kept = [a for a, i in enumerate(items) if isinstance(i, slice)]
    return z.over(lambda c: c[:, :, pixels][:, :, :, pixels], shape=numpy.empty(z.shape)[tuple(items)].shape,
                  batch=kept.index(z.batch), channel=kept.index(z.channel))


def image_resize(z, shape, method, antialias=True, **axes):
    new = [n if size == -1 else size for n, size in ((z.shape[a], shape[a]) for a in z.spatial)]
    L = together([resize(n, out, method, antialias)[None] for n, out in zip(z.positions, new)])[0]
    return moved(z, L, new)


MECHANISMS = {
    'SOFTMAX': lambda row: [exp(c) / sum(map(exp, row)) for c in row], 'IDENTITY': lambda row: row,
    'ABS': lambda row: [abs(c) for c in row], 'RELU': lambda row: [max(c, 0) for c in row]}


def attention(z, n_chan_out, n_chan_key, n_chan_val, n_heads, linear_scaling=True, W_key_std=1., W_value_std=1.,
              W_query_std=1., W_out_std=1., b_std=None, attention_mechanism='SOFTMAX', pos_emb_type='NONE',
              pos_emb_p_norm=2, pos_emb_decay_fn=None, n_chan_pos_emb=None, W_pos_emb_std=1., val_pos_emb=False,
              **axes):
    """K'(i, j) = sum over k, l of E[G_ik G'_jl] V(k, l); Theta': one such term for each factor differentiated."""
    places, decay = list(product(*map(range, z.positions))), pos_emb_decay_fn or (lambda d: float(d == 0))
    R = numpy.array([[decay(sum(abs(a - b) ** pos_emb_p_norm for a, b in zip(i, j))) for j in places] for i in places])
    n, m = z.channels, n_chan_pos_emb or z.channels
    n, m = {'NONE': (1, 0), 'SUM': (1, 1), 'CONCAT': (n / (n + m), m / (n + m))}[pos_emb_type]
    k, t = (n * c + m * W_pos_emb_std ** 2 * R for c in (z.k, z.t))
    v, v_t = (k, t) if val_pos_emb else (z.k, z.t)
    s, a, b = (W_out_std * W_value_std) ** 2, W_query_std * W_key_std, (b_std or 0) ** 2
    if linear_scaling:
        f = MECHANISMS[attention_mechanism]
        G = numpy.array([[f([a * c for c in row]) for row in k[i, i]] for i in range(len(k))]).reshape(k.shape[1:])
        new, inner = (s * numpy.einsum('nik,mjl,nmkl->nmij', G, G, c) for c in (v, v_t))
        own = 2 * new                                                       # values and outputs
    else:
        new, *inner = (s * a * a * numpy.einsum('nmij,nmkl,nmkl->nmij', *c) for c in (
            (k, k, v), (t, k, v), (k, t, v), (k, k, v_t)))
        own, inner = 4 * new, sum(inner)                                    # queries and keys, too
    return z._replace(k=new + b, t=own + inner + b, shape=z.sized(z.positions, n_chan_out))


def neighbours(pattern, shape, nodes, is_sparse):
    """For `shape` positions, of which the axes `nodes` are nodes."""
    places = list(numpy.ndindex(*shape))
    L = numpy.zeros((len(pattern), len(places), len(places)))
    for n, p, o in numpy.ndindex(*L.shape):
        here, there = ([places[i][a] for a in nodes] for i in (p, o))
        if all(places[p][a] == places[o][a] for a in range(len(shape)) if a not in nodes):
            if is_sparse:
                edges = pattern[n].reshape(-1, len(nodes), 2)
                L[n, p, o] = sum(list(e[:, 0]) == here and list(e[:, 1]) == there for e in edges)
            else:
                L[n, p, o] = pattern[n][(*here, *there)]
    return L


def aggregate(z, aggregate_axis=None, implementation='DENSE', **axes):
    given = [aggregate_axis] if isinstance(aggregate_axis, int) else aggregate_axis or z.spatial
    nodes = sorted(z.spatial.index(a % len(z.shape)) for a in given)
    if z.pattern is None:
        return z
    L = neighbours(z.pattern, z.positions, nodes, implementation == 'SPARSE')
    return z.over(lambda c: numpy.einsum('npi,nmpq,mqj->nmij', L, c, L))


def dot_general(z, lhs=None, rhs=None, dimension_numbers=(((), ()), ((), ())), **axes):
    """Pixel o of input n is sum_p L[n, p, o] pixel p: each product is looked up, coordinate by coordinate."""
    constant = numpy.asarray(1. if lhs is rhs is None else rhs if lhs is None else lhs)
    (summed, in_sum), (common, in_common) = (pair if lhs is None else pair[::-1] for pair in dimension_numbers)
    ours = [('x', a) for a in range(len(z.shape)) if a not in (*summed, *common)]
    theirs = [('c', a) for a in range(constant.ndim) if a not in (*in_sum, *in_common)]
    names = [('x', a) for a in common] + (ours + theirs if lhs is None else theirs + ours)
    sizes = {('x', a): n for a, n in enumerate(z.shape)} | {('c', a): n for a, n in enumerate(constant.shape)}
    batch, channel = names.index(('x', z.batch)), names.index(('x', z.channel))
    positions = [name for i, name in enumerate(names) if i not in (batch, channel)]
    pixels, new = list(numpy.ndindex(*z.positions)), list(numpy.ndindex(*(sizes[name] for name in positions)))
    L = numpy.zeros((len(z.k), len(pixels), len(new)))
    for n, p, o in numpy.ndindex(*L.shape):
        x, out = dict(zip(z.spatial, pixels[p])) | {z.batch: n}, dict(zip(positions, new[o])) | {('x', z.batch): n}
        if all(out[name] == x[name[1]] for name in positions if name[0] == 'x'):
            entry = dict(zip((*in_sum, *in_common), (x[a] for a in (*summed, *common)))) | {
                a: out['c', a] for _, a in theirs}
            L[n, p, o] = constant[tuple(entry[a] for a in range(constant.ndim))]
    return z.over(lambda c: numpy.einsum('npi,nmpq,mqj->nmij', L, c, L), shape=tuple(sizes[name] for name in names),
                  batch=batch, channel=channel)


def fan_in_sum(zs):
    return zs[0]._replace(k=sum(z.k for z in zs), t=sum(z.t for z in zs))


def fan_in_prod(zs):
    def product(a, b):
        return a._replace(k=a.k * b.k, t=a.t * b.k + a.k * b.t)
    return reduce(product, zs)


def fan_in_concat(zs, axis=-1):
    """Along channels the mean, weighted by their numbers; along positions 0 between branches."""
    z, axis = zs[0], axis % len(zs[0].shape)
    if axis == z.channel:
        n = [z.channels for z in zs]
        k, t = (sum(m * c for m, c in zip(n, cs)) / sum(n) for cs in ([z.k for z in zs], [z.t for z in zs]))
        return z._replace(k=k, t=t, shape=z.sized(z.positions, sum(n)))
    place = z.spatial.index(axis)
    source = [(branch, p) for branch, z in enumerate(zs) for p in range(prod(z.positions))]
    numbers, start = [], 0
    for z in zs:
        numbers.append(start + numpy.arange(prod(z.positions)).reshape(z.positions))
        start += prod(z.positions)
    joined = numpy.concatenate(numbers, place)
    pixels = [source[number] for number in joined.ravel()]

    def entries(arrays):
        c = numpy.zeros((*arrays[0].shape[:2], len(pixels), len(pixels)))
        for i, (b, p) in enumerate(pixels):
            for j, (b2, p2) in enumerate(pixels):
                if b == b2:
                    c[:, :, i, j] = arrays[b][:, :, p, p2]
        return c
    return z._replace(k=entries([z.k for z in zs]), t=entries([z.t for z in zs]), shape=z.sized(joined.shape))


def dropout(z, rate, mode='train'):
    n, p = z.k.shape[1:3]
    same = numpy.einsum('nm,pq->nmpq', numpy.eye(n), numpy.eye(p)) * (mode == 'train')
    return z.over(lambda c: c * (1 + same * (1 / rate - 1)))


def layer_norm(z, axis=-1, eps=1e-12, **axes):
    """Divided by the mean variance over the axes."""
    over = [a % len(z.shape) for a in ([axis] if isinstance(axis, int) else axis)]
    over = tuple(1 + z.spatial.index(a) for a in over if a != z.channel)
    v = (z.own + eps).reshape(-1, *z.positions)
    v = numpy.broadcast_to(v.mean(over, keepdims=True) if over else v, v.shape).reshape(z.own.shape) ** .5
    return z.over(lambda c: c / v[:, None, :, None] / v[None, :, None, :])


def erf(z, **defaults):
    """Williams 1997 eq. 11."""
    d = 1 + 2 * z.own
    s = d[:, None, :, None] * d[None, :, None, :]
    return z._replace(k=2 / pi * numpy.arcsin(2 * z.k / s ** .5), t=4 / pi / (s - 4 * z.k ** 2) ** .5 * z.t)


def relu(z, **defaults):
    """Cho & Saul 2009 eq. 6; the angle is 0 between an input and itself at the same pixel."""
    q = z.own
    s = (q[:, None, :, None] * q[None, :, None, :]) ** .5
    n, p = z.k.shape[1:3]
    cosine = numpy.clip(z.k / numpy.where(s > 0, s, 1), -1, 1)
    angle = numpy.arccos(cosine) * (1 - numpy.einsum('nm,pq->nmpq', numpy.eye(n), numpy.eye(p)))
    return z._replace(k=(s * numpy.sin(angle) + (pi - angle) * z.k) / (2 * pi), t=(pi - angle) / (2 * pi) * z.t)


LAYERS = {
    'serial': lambda z, layers: reduce(lambda z, spec: layer(spec, z), layers, z),
    'repeat': lambda z, block, n: reduce(lambda z, spec: layer(spec, z), [block] * n, z),
    'parallel': lambda z, layers: [layer(spec, branch) for spec, branch in zip(layers, z, strict=True)],
    'FanOut': lambda z, num: [z] * num, 'FanInSum': fan_in_sum, 'FanInProd': fan_in_prod, 'FanInConcat': fan_in_concat,
    'Dense': dense, 'Conv': convolution, 'ConvLocal': lambda z, *a, **k: convolution(z, *a, **k, shared=False),
    'ConvTranspose': lambda z, *a, **k: convolution(z, *a, **k, one=transposed),
    'AvgPool': pool, 'SumPool': lambda z, *a, **k: pool(z, *a, **k, average=False),
    'GlobalAvgPool': lambda z, **k: global_pool(z, True), 'GlobalSumPool': lambda z, **k: global_pool(z, False),
    'Flatten': flatten, 'Index': index, 'ImageResize': image_resize, 'Identity': lambda z: z, 'Dropout': dropout,
    'LayerNorm': layer_norm, 'RMSNorm': layer_norm, 'Aggregate': aggregate, 'DotGeneral': dot_general,
    'GlobalSelfAttention': attention, 'Erf': erf, 'Relu': relu}
