"""Kernels of inputs of different sizes, each as it is, without padding: the truth of the tests of masks.

    kernel(net, inputs, padded, pattern)   ->  State: k[n, m] and t[n, m], matrices (pixels of n, pixels of m)

Independent of `ntref` on purpose, and of masks: a layer is a sum over the matrices that say which pixel of an input
sees which, written down for the size of that input (see `brute`, from where they come). Channels last. `padded` is the
size that inputs would be padded to: `Flatten` has as many weights, and `ImageResize` names a size in proportion to it.
"""
from functools import reduce
from itertools import product
from math import pi, prod
from typing import Any, NamedTuple

import brute
import numpy


class State(NamedTuple):
    """K and Theta {(n, m): (pixels of n, pixels of m)}, the positions of each input, channels; what goes with them."""
    k: Any
    t: Any
    sizes: list
    channels: int
    padded: tuple
    pattern: Any = None

    def over(self, f, **changes):
        """f(n, m, K), f(n, m, Theta)."""
        return self._replace(k=each(f, self.k), t=each(f, self.t), **changes)

    def moved(self, L, sizes, padded=None):
        """h'_o = sum_i L[n][o, i] h_i."""
        return self.over(lambda n, m, c: L[n] @ c @ L[m].T, sizes=sizes, padded=padded or self.padded)

    def own(self, n):
        """Variances."""
        return self.k[n, n].diagonal()


def each(f, table):
    return {(n, m): f(n, m, c) for (n, m), c in table.items()}


def kernel(net, inputs, padded, pattern=None):
    x = [numpy.asarray(a, dtype='float64').reshape(-1, a.shape[-1]) for a in inputs]
    k = {(n, m): x[n] @ x[m].T / x[n].shape[-1] for n, m in product(range(len(x)), repeat=2)}
    z = State(k, each(lambda n, m, c: 0 * c, k), [a.shape[:-1] for a in inputs], x[0].shape[-1], padded, pattern)
    return layer(net.to_spec(), z)


def layer(spec, z):
    arguments = dict(spec)
    name = arguments.pop('layer')
    return LAYERS[name](z, **arguments)


def weighted(z, total, width, W_std, b_std, same=lambda n, m, c: 1.):
    """K' = w total(K) + b,  Theta' = K' + w total(Theta)."""
    def affine(b):
        return lambda n, m, c: same(n, m, c) * (W_std ** 2 * total(n, m, c) + b)
    new = z._replace(k=each(affine((b_std or 0) ** 2), z.k), t=each(affine(0), z.t), channels=width)
    return new._replace(t=each(lambda n, m, c: c + new.t[n, m], new.k))


def dense(z, out_dim, W_std=1., b_std=None):
    return weighted(z, lambda n, m, c: c, out_dim, W_std, b_std)


def convolution(z, out_chan, filter_shape, strides=None, padding='VALID', W_std=1., b_std=None, one=brute.taps,
                shared=True):
    S, sizes = zip(*(brute.along(size, filter_shape, strides, padding, one) for size in z.sizes))

    def total(n, m, c):
        return sum(L @ c @ R.T for L, R in zip(S[n], S[m], strict=True)) / prod(filter_shape)

    def same(n, m, c):
        """Where the position is the same."""
        places = [list(numpy.ndindex(*sizes[i])) for i in (n, m)]
        return 1. if shared else numpy.array([[float(i == j) for j in places[1]] for i in places[0]])
    padded = brute.along(z.padded, filter_shape, strides, padding, one)[1]
    return weighted(z, total, out_chan, W_std, b_std, same)._replace(sizes=list(sizes), padded=padded)


def pool(z, window_shape, strides=None, padding='VALID', normalize_edges=False, average=True):
    S, sizes = zip(*(brute.along(size, window_shape, strides, padding) for size in z.sizes))
    L = [taps.sum(0) for taps in S]
    if average:
        L = [a / (a.sum(1, keepdims=True) if normalize_edges else prod(window_shape)) for a in L]
    return z.moved(L, list(sizes), brute.along(z.padded, window_shape, strides, padding)[1])


def global_pool(z, average):
    return z.over(lambda n, m, c: c.mean(keepdims=True) if average else c.sum(keepdims=True), sizes=[()] * len(z.sizes),
                  padded=())


def flatten(z):
    """Positions that are not there have weights, too."""
    def trace(n, m, c):
        places = [{p: i for i, p in enumerate(numpy.ndindex(*z.sizes[j]))} for j in (n, m)]
        both = sum(c[places[0][p], places[1][p]] for p in places[0] if p in places[1])
        return numpy.array([[both / prod(z.padded)]])
    return z.over(trace, sizes=[()] * len(z.sizes), padded=())


def index(z, idx):
    """Of the positions, counted from the beginning."""
    _, *items = [... if i['slice'] == '...' else slice(*i['slice']) for i in idx]
    pixels = [numpy.arange(prod(size)).reshape(size)[tuple(items)] for size in z.sizes]
    return z.over(lambda n, m, c: c[pixels[n].ravel()][:, pixels[m].ravel()], sizes=[p.shape for p in pixels],
                  padded=numpy.empty(z.padded)[tuple(items)].shape)


def image_resize(z, shape, method, antialias=True):
    new = [old if n == -1 else n for n, old in zip(shape[1:-1], z.padded)]
    sizes = [tuple(n * to // old for n, to, old in zip(size, new, z.padded)) for size in z.sizes]
    L = [brute.together([brute.resize(n, to, method, antialias)[None] for n, to in zip(size, goal)])[0]
         for size, goal in zip(z.sizes, sizes)]
    return z.moved(L, sizes, tuple(new))


def attention(z, n_chan_out, n_chan_key, n_chan_val, n_heads, linear_scaling=True, W_key_std=1., W_value_std=1.,
              W_query_std=1., W_out_std=1., b_std=None, attention_mechanism='SOFTMAX', pos_emb_type='NONE',
              n_chan_pos_emb=None, W_pos_emb_std=1., val_pos_emb=False):
    def embedding(n, m):
        places = [list(numpy.ndindex(*z.sizes[i])) for i in (n, m)]
        return W_pos_emb_std ** 2 * numpy.array([[float(i == j) for j in places[1]] for i in places[0]])
    n_in, n_pos = z.channels, n_chan_pos_emb or z.channels
    p, r = {'NONE': (1, 0), 'SUM': (1, 1), 'CONCAT': (n_in / (n_in + n_pos), n_pos / (n_in + n_pos))}[pos_emb_type]
    k, t = (each(lambda n, m, c: p * c + r * embedding(n, m), table) for table in (z.k, z.t))
    v, v_t = (k, t) if val_pos_emb else (z.k, z.t)
    s, a, b = (W_out_std * W_value_std) ** 2, W_query_std * W_key_std, (b_std or 0) ** 2
    if linear_scaling:
        f = brute.MECHANISMS[attention_mechanism]
        G = [numpy.array([f([a * c for c in row]) for row in k[n, n]]) for n in range(len(z.sizes))]
        new, inner = (each(lambda n, m, c: s * G[n] @ c @ G[m].T, table) for table in (v, v_t))
        rest = each(lambda n, m, c: 2 * c + inner[n, m] + b, new)
    else:
        def term(x, y, w):
            return each(lambda n, m, c: s * a * a * c * (y[n, m] * w[n, m]).sum(), x)
        new, *others = term(k, k, v), term(t, k, v), term(k, t, v), term(k, k, v_t)
        rest = each(lambda n, m, c: 4 * c + sum(o[n, m] for o in others) + b, new)
    return z._replace(k=each(lambda n, m, c: c + b, new), t=rest, channels=n_chan_out)


def aggregate(z):
    return z.moved([P.T for P in z.pattern], z.sizes)


def layer_norm(z, axis=-1, eps=1e-12):
    """Over the channels; else over all positions, too."""
    v = [z.own(n) + eps for n in range(len(z.sizes))]
    v = v if axis == -1 else [a.mean() + 0 * a for a in v]
    return z.over(lambda n, m, c: c / v[n][:, None] ** .5 / v[m] ** .5)


def dropout(z, rate):
    return z.over(lambda n, m, c: c * (1 + (n == m) * (1 / rate - 1) * numpy.eye(*c.shape)))


def fan_in_sum(zs):
    return zs[0]._replace(k=each(lambda n, m, c: sum(z.k[n, m] for z in zs), zs[0].k),
                          t=each(lambda n, m, c: sum(z.t[n, m] for z in zs), zs[0].t))


def fan_in_prod(zs):
    a, b = zs
    return a._replace(k=each(lambda n, m, c: c * b.k[n, m], a.k),
                      t=each(lambda n, m, c: c * b.k[n, m] + a.k[n, m] * b.t[n, m], a.t))


def fan_in_concat(zs, axis=-1):
    """Of two branches; along the channels, or the first position."""
    a, b = zs
    if axis == -1:
        n_a, n_b = a.channels, b.channels

        def mean(x, y):
            return each(lambda n, m, c: (n_a * c + n_b * y[n, m]) / (n_a + n_b), x)
        return a._replace(k=mean(a.k, b.k), t=mean(a.t, b.t), channels=n_a + n_b)

    def blocks(x, y):
        return each(lambda n, m, c: numpy.block([[c, numpy.zeros((len(c), y[n, m].shape[1]))],
                                                 [numpy.zeros((len(y[n, m]), c.shape[1])), y[n, m]]]), x)
    sizes = [(p[0] + q[0], *p[1:]) for p, q in zip(a.sizes, b.sizes)]
    return a._replace(k=blocks(a.k, b.k), t=blocks(a.t, b.t), sizes=sizes,
                      padded=(a.padded[0] + b.padded[0], *a.padded[1:]))


def erf(z):
    """Williams 1997 eq. 11."""
    def product(n, m):
        return (1 + 2 * z.own(n))[:, None] * (1 + 2 * z.own(m))
    return z._replace(k=each(lambda n, m, c: 2 / pi * numpy.arcsin(2 * c / product(n, m) ** .5), z.k),
                      t=each(lambda n, m, c: 4 / pi / (product(n, m) - 4 * z.k[n, m] ** 2) ** .5 * c, z.t))


def relu(z):
    """Cho & Saul 2009 eq. 6; the angle is 0 between an input and itself at the same pixel."""
    def angle(n, m):
        s = (z.own(n)[:, None] * z.own(m)) ** .5
        same = numpy.eye(*s.shape) if n == m else 0
        return s, numpy.arccos(numpy.clip(z.k[n, m] / s, -1, 1)) * (1 - same)

    def covariance(n, m, c):
        s, a = angle(n, m)
        return (s * numpy.sin(a) + (pi - a) * c) / (2 * pi)
    return z._replace(k=each(covariance, z.k), t=each(lambda n, m, c: (pi - angle(n, m)[1]) / (2 * pi) * c, z.t))


LAYERS = {
    'serial': lambda z, layers: reduce(lambda z, spec: layer(spec, z), layers, z),
    'repeat': lambda z, block, n: reduce(lambda z, spec: layer(spec, z), [block] * n, z),
    'parallel': lambda z, layers: [layer(spec, branch) for spec, branch in zip(layers, z, strict=True)],
    'FanOut': lambda z, num: [z] * num, 'FanInSum': fan_in_sum, 'FanInProd': fan_in_prod, 'FanInConcat': fan_in_concat,
    'Dense': dense, 'Conv': convolution, 'ConvLocal': lambda z, *a, **k: convolution(z, *a, **k, shared=False),
    'ConvTranspose': lambda z, *a, **k: convolution(z, *a, **k, one=brute.transposed),
    'AvgPool': pool, 'SumPool': lambda z, *a, **k: pool(z, *a, **k, average=False),
    'GlobalAvgPool': lambda z: global_pool(z, True), 'GlobalSumPool': lambda z: global_pool(z, False),
    'Flatten': flatten, 'Index': index, 'ImageResize': image_resize, 'Identity': lambda z: z, 'Dropout': dropout,
    'LayerNorm': layer_norm, 'RMSNorm': layer_norm, 'Aggregate': aggregate, 'GlobalSelfAttention': attention,
    'Erf': erf, 'Relu': relu}
