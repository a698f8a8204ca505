"""Kernels of networks with positions to 60 digits and more, as they are on paper: what the tests take for the truth.

    kernel(net.to_spec(), x1, x2)        ->  Field: K and Theta of any two positions of two images

Like `reference`, whose activations it uses: one pair of images, mpmath scalars, K alone (no gap, no area), DIGITS
instead of care. Positions are looped over one by one, and what is not asked for is not computed: K(a, i, b, j), the
covariance of image a at position i with image b at position j, asks the layer before for what it needs. Channels last.
"""
from functools import cache, reduce
from itertools import product
from math import prod
from typing import Any, NamedTuple

import mpmath as mp
from reference import DIGITS, REFERENCE


class Field(NamedTuple):
    """K and Theta as functions (image, position, image, position) -> number, on positions of this shape."""
    shape: tuple
    channels: int
    k: Any
    t: Any

    def at(self, i=(), j=()):
        """K, Theta between position i of the first and j of the second image."""
        with mp.workdps(DIGITS):
            return self.k(0, i, 1, j), self.t(0, i, 1, j)

    def scales(self, i=(), j=()):
        """The largest that these can be."""
        with mp.workdps(DIGITS):
            return [mp.sqrt(f(0, i, 0, i) * f(1, j, 1, j)) for f in (self.k, self.t)]


def field(shape, channels, k, t):
    """`Field` whose functions remember, and are symmetric."""
    def remembered(f):
        def ordered(a, i, b, j):
            return known(a, i, b, j) if (a, i) <= (b, j) else known(b, j, a, i)
        known = cache(f)
        return ordered
    return Field(tuple(shape), channels, remembered(k), remembered(t))


def positions(shape):
    return list(product(*map(range, shape)))


def kernel(spec, x1, x2):
    """Field at the images x1, x2 (*positions, channels), whose floats are taken exactly, after the network `spec`."""
    with mp.workdps(DIGITS):
        return layer(spec, inputs(x1, x2))


def inputs(*images):
    *shape, channels = images[0].shape
    pixels = [{i: [mp.mpf(float(c)) for c in x[i]] for i in positions(shape)} for x in images]
    return field(shape, channels, lambda a, i, b, j: mp.fdot(pixels[a][i], pixels[b][j]) / channels,
                 lambda *_: mp.mpf(0))


def layer(spec, z):
    arguments = dict(spec)
    name = arguments.pop('layer')
    return STRUCTURE[name](z, **arguments) if name in STRUCTURE else activation(z, *REFERENCE[name](**arguments))


def activation(z, k, slope):
    def pair(a, i, b, j):
        return z.k(a, i, a, i), z.k(b, j, b, j), z.k(a, i, b, j)
    return field(z.shape, z.channels, lambda *p: k(*pair(*p)), lambda *p: slope(*pair(*p)) * z.t(*p))


# ------------------------------------------------------------------ windows

def padded(n, size, stride, padding):
    """The inputs along an axis, with padding: a list of positions, None for a zero."""
    if padding == 'VALID':
        return list(range(n))
    total = max((-(-n // stride) - 1) * stride + size - n, 0)
    low, high = total // 2, total - total // 2
    if padding == 'CIRCULAR':
        return [i % n for i in range(-low, n + high)]
    return [None] * low + list(range(n)) + [None] * high


def dilated(n, size, stride, padding):
    """The same for a transposed convolution: stride - 1 zeros between neighbours; then by the rules of JAX."""
    row = [i // stride if i % stride == 0 else None for i in range((n - 1) * stride + 1)]
    total = size + stride - 2 + (max(size - stride, 0) if padding == 'VALID' else 0)
    low = size - 1 if padding == 'VALID' or stride > size - 1 else -(-total // 2)
    return [None] * low + row + [None] * (total - low)


def sliding(shape, size, strides, padding, rows=padded):
    """Shape of the output; function from an output to the inputs under the window, tap by tap (None: a zero)."""
    strides, moves = strides or (1,) * len(size), (1,) * len(size) if rows is dilated else strides or (1,) * len(size)
    lines = [rows(*args, padding.upper()) for args in zip(shape, size, strides)]

    def under(o):
        windows = [line[m * step:m * step + width] for line, m, step, width in zip(lines, o, moves or strides, size)]
        return [None if None in i else i for i in product(*windows)]
    return [(len(line) - width) // step + 1 for line, width, step in zip(lines, size, moves)], under


# ------------------------------------------------------------------ layers that are not activations

def convolution(z, out_chan, filter_shape, strides=None, padding='VALID', W_std=1., b_std=None, dimension_numbers=None,
                parameterization='ntk', s=(1, 1), rows=padded, shared=True):
    assert dimension_numbers is None, 'channels last'
    w, b, taps = mp.mpf(W_std) ** 2, mp.mpf(b_std or 0) ** 2, prod(filter_shape)
    shape, under = sliding(z.shape, filter_shape, strides, padding, rows)
    own = mp.mpf(0) if b_std is None else mp.mpf(1)

    def over_taps(f, a, i, b, j):
        """sum over taps that see an input on both sides"""
        return sum((f(a, m, b, n) for m, n in zip(under(i), under(j)) if m is not None and n is not None), mp.mpf(0))

    def k(a, i, b_, j):
        return w / taps * over_taps(z.k, a, i, b_, j) + b if shared or i == j else mp.mpf(0)

    def t(a, i, b_, j):
        if not shared and i != j:
            return mp.mpf(0)
        before = w / taps * over_taps(z.t, a, i, b_, j)
        if parameterization == 'ntk':
            return k(a, i, b_, j) + before
        return mp.mpf(z.channels) / s[0] * over_taps(z.k, a, i, b_, j) + own + before
    return field(shape, out_chan * s[1], k, t)


def dense(z, out_dim, **arguments):
    arguments = {name: value for name, value in arguments.items() if name not in ('batch_axis', 'channel_axis')}
    return convolution(z, out_dim, (1,) * len(z.shape), **arguments)


def weighted(z, shape, channels, weights):
    """h'(o) = sum of weight * h(i) over (i, weight) in weights(o)."""
    def mixed(f):
        return lambda a, o, b, p: sum((v * w * f(a, i, b, j) for i, v in weights(o) for j, w in weights(p)), mp.mpf(0))
    return field(shape, channels, mixed(z.k), mixed(z.t))


def pool(z, window_shape, strides=None, padding='VALID', normalize_edges=False, average=True, batch_axis=0,
         channel_axis=-1):
    shape, under = sliding(z.shape, window_shape, strides, padding)

    def weights(o):
        seen = [i for i in under(o) if i is not None]
        n = (len(seen) if normalize_edges else prod(window_shape)) if average else 1
        return [(i, mp.mpf(1) / n) for i in seen]
    return weighted(z, shape, z.channels, weights)


def global_pool(z, average, batch_axis=0, channel_axis=-1):
    weight = mp.mpf(1) / prod(z.shape) if average else mp.mpf(1)
    return weighted(z, (), z.channels, lambda o: [(i, weight) for i in positions(z.shape)])


def flatten(z, batch_axis=0, batch_axis_out=0):
    def mean(f):
        return lambda a, i, b, j: sum((f(a, m, b, m) for m in positions(z.shape)), mp.mpf(0)) / prod(z.shape)
    return field((), z.channels * prod(z.shape), mean(z.k), mean(z.t))


def fan_in_sum(z):
    return field(z[0].shape, z[0].channels, *(lambda *p, name=name: sum(getattr(branch, name)(*p) for branch in z)
                                              for name in ('k', 't')))


def attention(z, n_chan_out, n_chan_key, n_chan_val, n_heads, linear_scaling=True, W_key_std=1., W_value_std=1.,
              W_query_std=1., W_out_std=1., b_std=None, attention_mechanism='SOFTMAX', pos_emb_type='NONE',
              n_chan_pos_emb=None, W_pos_emb_std=1., val_pos_emb=False):
    """Softmax or the identity; embeddings of different positions are independent."""
    s, a, b = ((mp.mpf(x) * mp.mpf(y)) ** n for x, y, n in (
        (W_out_std, W_value_std, 2), (W_query_std, W_key_std, 1), (b_std or 0, 1, 2)))
    m = z.channels if n_chan_pos_emb is None else n_chan_pos_emb
    c, r = {'NONE': (1, 0), 'SUM': (1, 1), 'CONCAT': (mp.mpf(z.channels) / (z.channels + m), mp.mpf(m) / (
        z.channels + m))}[pos_emb_type]

    def embedded(f):
        return lambda x, i, y, j: c * f(x, i, y, j) + (r * mp.mpf(W_pos_emb_std) ** 2 if i == j else 0)

    @cache
    def weights(x, i):
        row = [a * embedded(z.k)(x, i, x, j) for j in positions(z.shape)]
        return row if attention_mechanism == 'IDENTITY' else [mp.exp(c) / sum(map(mp.exp, row)) for c in row]

    def average(f, x, i, y, j):
        return s * sum(u * w * f(x, p, y, q) for u, p in zip(weights(x, i), positions(z.shape))
                       for w, q in zip(weights(y, j), positions(z.shape)))

    @cache
    def inner(f, g, x, y):
        return sum(f(x, p, y, q) * g(x, p, y, q) for p in positions(z.shape) for q in positions(z.shape))
    K, T = field(z.shape, 0, embedded(z.k), embedded(z.t))[2:]
    V, V_t = (K, T) if val_pos_emb else (z.k, z.t)
    if linear_scaling:
        return field(z.shape, n_chan_out, lambda *p: average(V, *p) + b,
                     lambda *p: average(V_t, *p) + 2 * average(V, *p) + b)

    def t(x, i, y, j):
        rise = inner(K, V_t, x, y) + inner(T, V, x, y) + 4 * inner(K, V, x, y)
        return s * a * a * (rise * K(x, i, y, j) + inner(K, V, x, y) * T(x, i, y, j)) + b
    return field(z.shape, n_chan_out, lambda x, i, y, j: s * a * a * inner(K, V, x, y) * K(x, i, y, j) + b, t)


STRUCTURE = {
    'serial': lambda z, layers: reduce(lambda z, spec: layer(spec, z), layers, z),
    'repeat': lambda z, block, n: reduce(lambda z, spec: layer(spec, z), [block] * n, z),
    'parallel': lambda z, layers: [layer(spec, branch) for spec, branch in zip(layers, z, strict=True)],
    'FanOut': lambda z, num: [z] * num, 'FanInSum': fan_in_sum, 'Identity': lambda z: z,
    'Conv': convolution, 'Dense': dense,
    'ConvLocal': lambda z, *a, **k: convolution(z, *a, **k, shared=False),
    'ConvTranspose': lambda z, *a, **k: convolution(z, *a, **k, rows=dilated),
    'AvgPool': pool, 'SumPool': lambda z, *a, **k: pool(z, *a, **k, average=False),
    'GlobalAvgPool': lambda z, **k: global_pool(z, True, **k),
    'GlobalSumPool': lambda z, **k: global_pool(z, False, **k),
    'Flatten': flatten, 'GlobalSelfAttention': attention}
