"""Activations without a formula for their kernels in elementary functions: phi, phi' and kinks by SciPy and by mpmath.

Tanh, Sigmoid, Softplus, Swish, Mish; Elu, Selu, HardTanh, Relu6. Sums and integrals of these by mpmath are truths of
the tests of these layers.
"""
import mpmath as mp
import numpy
from numpy import exp
from scipy.special import expit, log1p

from ntref.stax import Elu, HardTanh, Mish, Relu6, Selu, Sigmoid, Softplus, Swish, Tanh

ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def softplus(z):
    return numpy.maximum(z, 0) + log1p(exp(-abs(z)))


def d_tanh(z):
    return 4 * exp(-2 * abs(z)) / (1 + exp(-2 * abs(z))) ** 2


def d_mish(z):
    return numpy.tanh(softplus(z)) + z * d_tanh(softplus(z)) * expit(z)


def elu(alpha, scale=1.):
    return (lambda z: scale * numpy.where(z > 0, z, alpha * numpy.expm1(numpy.minimum(z, 0))),
            lambda z: scale * numpy.where(z > 0, 1, alpha * exp(numpy.minimum(z, 0))))


# layer: phi, phi', kinks
SMOOTH = {
    Tanh(): (numpy.tanh, d_tanh, ()),
    Sigmoid(): (expit, lambda z: expit(z) * expit(-z), ()),
    Softplus(): (softplus, expit, ()),
    Swish(): (lambda z: z * expit(z), lambda z: expit(z) * (1 + z * expit(-z)), ()),
    Mish(): (lambda z: z * numpy.tanh(softplus(z)), d_mish, ()),
}
KINKED = {
    HardTanh(): (lambda z: numpy.clip(z, -1, 1), lambda z: numpy.where(abs(z) < 1, 1., 0), (-1., 1.)),
    Relu6(): (lambda z: numpy.clip(z, 0, 6), lambda z: numpy.where((z > 0) & (z < 6), 1., 0), (0., 6.)),
    Elu(): (*elu(1.), (0.,)),
    Selu(): (*elu(ALPHA, SCALE), (0.,)),
}

MP = {
    Tanh(): mp.tanh, Sigmoid(): lambda z: 1 / (1 + mp.exp(-z)), Softplus(): lambda z: mp.log1p(mp.exp(z)),
    Swish(): lambda z: z / (1 + mp.exp(-z)), Mish(): lambda z: z * mp.tanh(mp.log1p(mp.exp(z)))}


def plane(f, q1, q2, k, area, step=mp.mpf('.2'), n=60):
    """E f(u, v), u = sigma x, v = (k x + area y) / sigma, by equidistant sums in x and y."""
    nodes = [(i * step, step * mp.npdf(i * step)) for i in range(-n, n + 1)]
    sigma = mp.sqrt(q1)
    return mp.fsum(w * mp.fsum(t * f(sigma * x, (k * x + area * y) / sigma) for y, t in nodes) for x, w in nodes)


def given_u(layer):
    """E[phi(v) | u] and E[phi'(v) | u] for v of mean m and standard deviation t."""
    def above(m, t, a):
        """E (v - a)+ and P(v > a)."""
        z = (m - a) / t
        return (m - a) * mp.ncdf(z) + t * mp.npdf(z), mp.ncdf(z)

    def cut(m, t, *hinges):
        return [sum(w * above(m, t, a)[i] for w, a in hinges) for i in (0, 1)]
    if layer == HardTanh():
        return lambda m, t: [a + b for a, b in zip(cut(m, t, (1, -1), (-1, 1)), (-1, 0))]
    if layer == Relu6():
        return lambda m, t: cut(m, t, (1, 0), (-1, 6))
    scale, alpha = (mp.mpf(SCALE), mp.mpf(ALPHA)) if layer == Selu() else (1, mp.mpf(layer.alpha))

    def unit(m, t):
        below = mp.exp(m + t * t / 2) * mp.ncdf(-m / t - t)
        value, chance = above(m, t, 0)
        return scale * (value + alpha * (below - mp.ncdf(-m / t))), scale * (chance + alpha * below)
    return unit


def exact(layer, i, z):
    """phi or phi' of an mpf."""
    if layer == HardTanh():
        return (max(min(z, 1), -1), int(abs(z) < 1))[i]
    if layer == Relu6():
        return (max(min(z, 6), 0), int(0 < z < 6))[i]
    scale, alpha = (mp.mpf(SCALE), mp.mpf(ALPHA)) if layer == Selu() else (1, mp.mpf(layer.alpha))
    return scale * (z, 1)[i] if z > 0 else scale * alpha * (mp.expm1(z), mp.exp(z))[i]
