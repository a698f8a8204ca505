"""Kernels to 50 digits, by formulas out of textbooks: what the tests take for the truth.

    kernel(net.to_spec(), x1, x2)        ->  State: K, Theta of one pair of inputs and of each with itself

Independent of `ntref` on purpose: one pair at a time, K, q, q' only (no gap, no area), rho = K / sqrt(q q') and acos
of it, and DIGITS instead of care: acos near 1 halves them, a separation of 1e-10 takes 20, and well over 50 remain.
A network is the plain dictionary `to_spec` gives; arguments it leaves out have the defaults of Neural Tangents 0.6.5.

    REFERENCE['Gelu']() (q, q', K)       ->  E[phi(u) phi(v)], E[phi'(u) phi'(v)] of one activation
"""
from functools import reduce
from math import comb, factorial
from typing import Any, NamedTuple

import mpmath as mp

DIGITS = 120


class State(NamedTuple):
    """Covariance and tangent kernel: of u with itself, of v with itself, of u with v; channels; is v the same as u?"""
    q1: Any
    q2: Any
    k: Any
    t1: Any
    t2: Any
    t: Any
    channels: int
    same: bool

    @property
    def scales(self):
        """The largest that K and Theta can be for inputs of these lengths."""
        with mp.workdps(DIGITS):
            return mp.sqrt(self.q1 * self.q2), mp.sqrt(self.t1 * self.t2)


def kernel(spec, x1, x2, same=False):
    """State at the vectors x1, x2 (floats, taken exactly) after the network `spec`; `same`: one input, with itself."""
    with mp.workdps(DIGITS):
        return layer(spec, inputs(x1, x2, same))


def inputs(x1, x2, same=False):
    x1, x2 = ([mp.mpf(float(c)) for c in x] for x in (x1, x2))
    n, zero = len(x1), mp.mpf(0)
    return State(*(mp.fdot(x, y) / n for x, y in ((x1, x1), (x2, x2), (x1, x2))), zero, zero, zero, n, same)


def layer(spec, z):
    """One layer or network of layers: State (or a list of them) in and out."""
    arguments = dict(spec)
    name = arguments.pop('layer')
    if name not in REFERENCE:
        return STRUCTURE[name](z, **arguments)
    pairs = (z.q1, z.q1, z.q1), (z.q2, z.q2, z.q2), (z.q1, z.q2, z.k)
    k, slope = REFERENCE[name](**arguments)
    return State(*(k(*p) for p in pairs), *(slope(*p) * t for p, t in zip(pairs, z[3:6])), z.channels, z.same)


# ------------------------------------------------------------------ layers that are not activations

def serial(z, layers):
    return reduce(lambda z, spec: layer(spec, z), layers, z)


def repeat(z, block, n):
    return serial(z, [block] * n)


def parallel(z, layers):
    return [layer(spec, branch) for spec, branch in zip(layers, z, strict=True)]


def fan_in_sum(z):
    return State(*(sum(column) for column in zip(*(branch[:6] for branch in z))), z[0].channels, z[0].same)


def fan_in_concat(z, axis=-1):
    n = sum(branch.channels for branch in z)
    weighted = [[mp.mpf(branch.channels) / n * c for c in branch[:6]] for branch in z]
    return State(*map(sum, zip(*weighted)), n, z[0].same)


def fan_in_prod(z):
    def product(a, b):
        return a._replace(q1=a.q1 * b.q1, q2=a.q2 * b.q2, k=a.k * b.k, t1=a.t1 * b.q1 + a.q1 * b.t1,
                          t2=a.t2 * b.q2 + a.q2 * b.t2, t=a.t * b.k + a.k * b.t)
    return reduce(product, z)


def dropout(z, rate, mode='train'):
    if mode == 'test':
        return z
    r = mp.mpf(rate)
    both = r if z.same else 1
    return State(z.q1 / r, z.q2 / r, z.k / both, z.t1 / r, z.t2 / r, z.t / both, z.channels, z.same)


def dense(z, out_dim, W_std=1., b_std=None, parameterization='ntk', s=(1, 1), batch_axis=0, channel_axis=-1):
    w, b = mp.mpf(W_std) ** 2, mp.mpf(b_std or 0) ** 2
    covs, ts = [w * c + b for c in z[:3]], z[3:6]
    if parameterization == 'ntk':
        return State(*covs, *(c + w * t for c, t in zip(covs, ts)), out_dim, z.same)
    n = mp.mpf(z.channels) / s[0]
    return State(*covs, *(n * c + w * t + (b_std is not None) for c, t in zip(z[:3], ts)), out_dim * s[1], z.same)


def layer_norm(z, axis=-1, eps=1e-12):
    v1, v2 = z.q1 + mp.mpf(eps), z.q2 + mp.mpf(eps)
    return State(*(c / v for c, v in zip(z[:6], (v1, v2, mp.sqrt(v1 * v2)) * 2)), z.channels, z.same)


STRUCTURE = {
    'serial': serial, 'repeat': repeat, 'parallel': parallel, 'FanOut': lambda z, num: [z] * num,
    'FanInSum': fan_in_sum, 'FanInConcat': fan_in_concat, 'FanInProd': fan_in_prod, 'Identity': lambda z: z,
    'Dense': dense, 'LayerNorm': layer_norm, 'RMSNorm': layer_norm, 'Dropout': dropout}


# ------------------------------------------------------------------ activations: two functions of (q, q', K) each

def angle(q1, q2, k):
    """Between u and v; pi/2 where one of them is zero."""
    s = mp.sqrt(q1 * q2)
    return mp.acos(max(-1, min(1, k / s))) if s else mp.pi / 2


def abrelu(a, b, do_stabilize=False):
    """Cho & Saul 2009: E[u+ v+] = s (sin t + (pi - t) cos t) / (2 pi), and u- = (-u)+; so for each sign of u and v."""
    a, b = mp.mpf(a), mp.mpf(b)

    def k(q1, q2, k):
        s, t = mp.sqrt(q1 * q2), angle(q1, q2, k)
        same, opposite = (s * (mp.sin(r) + (mp.pi - r) * mp.cos(r)) / (2 * mp.pi) for r in (t, mp.pi - t))
        return (a * a + b * b) * same - 2 * a * b * opposite

    def slope(q1, q2, k):
        t = angle(q1, q2, k)
        return ((a * a + b * b) * (mp.pi - t) + 2 * a * b * t) / (2 * mp.pi)
    return k, slope


def sign():
    return lambda q1, q2, k: 1 - 2 * angle(q1, q2, k) / mp.pi, lambda q1, q2, k: mp.mpf(0)


def rectified_monomial(degree):
    """E[u+^n v+^n] in polar coordinates, where u = r cos a, v = r cos(a - t), E r^2n = 2^n n! and both are positive

    for t - pi/2 < a < pi/2:  cos a cos(a - t) = (cos t + cos p) / 2 with p = 2 a - t between -(pi - t) and pi - t.
    """
    def moment(n):
        def k(q1, q2, k):
            s, t = mp.sqrt(q1 * q2), angle(q1, q2, k)
            if n == 0:
                return (mp.pi - t) / (2 * mp.pi) if s else mp.mpf(2) ** -sum(q > 0 for q in (q1, q2))
            power = [2 * (mp.pi - t), 2 * mp.sin(t)]                # integrals of cos^j p
            for j in range(2, n + 1):
                power.append((2 * mp.sin(t) * (-mp.cos(t)) ** (j - 1) + (j - 1) * power[j - 2]) / j)
            around = sum(comb(n, j) * mp.cos(t) ** (n - j) * power[j] for j in range(n + 1))
            return s ** n * factorial(n) * around / (4 * mp.pi)
        return k
    if degree == 1:
        return abrelu(0, 1)
    slope = moment(degree - 1) if degree else None
    return moment(degree), lambda q1, q2, k: degree ** 2 * slope(q1, q2, k) if degree else mp.mpf(0)


def erf(a=1., b=1., c=0.):
    """Williams 1997 eq. 11."""
    a, b, c = map(mp.mpf, (a, b, c))

    def k(q1, q2, k):
        return 2 * a * a / mp.pi * mp.asin(2 * b * b * k / mp.sqrt((1 + 2 * b * b * q1) * (1 + 2 * b * b * q2))) + c * c

    def slope(q1, q2, k):
        return 4 * a * a * b * b / mp.pi / mp.sqrt((1 + 2 * b * b * q1) * (1 + 2 * b * b * q2) - (2 * b * b * k) ** 2)
    return k, slope


def gelu(approximate=False):
    """Stein's lemma, E[u f] = q E[df/du] + K E[df/dv], again and again, until only these two remain:

    P = E[Phi(u) Phi(v)] = 1/4 + asin(K / sqrt((1 + q)(1 + q'))) / (2 pi),   G = E[density(u) density(v)].
    """
    def parts(q1, q2, k):
        det = (1 + q1) * (1 + q2) - k * k
        P = mp.mpf(1) / 4 + mp.asin(k / mp.sqrt((1 + q1) * (1 + q2))) / (2 * mp.pi)
        return det, P, 1 / (2 * mp.pi * mp.sqrt(det))

    def k(q1, q2, k):
        det, P, G = parts(q1, q2, k)
        return k * P + q1 * (q2 - k * k / (1 + q1)) * G + k * k / (1 + q2) * G

    def slope(q1, q2, k):
        det, P, G = parts(q1, q2, k)
        return P + k * G * (1 / (1 + q1) + 1 / (1 + q2) + 1 / det)
    return k, slope


def sin(a=1., b=1., c=0.):
    """2 sin x sin y = cos(x - y) - cos(x + y), and E cos(w + c) = exp(-Var(w) / 2) cos c."""
    a, b, c = map(mp.mpf, (a, b, c))

    def terms(q1, q2, k):
        return [a * a / 2 * mp.exp(-b * b * var / 2) * x
                for var, x in ((q1 + q2 - 2 * k, 1), (q1 + q2 + 2 * k, mp.cos(2 * c)))]
    return (lambda q1, q2, k: terms(q1, q2, k)[0] - terms(q1, q2, k)[1],
            lambda q1, q2, k: b * b * sum(terms(q1, q2, k)))


def cos(a=1., b=1., c=0.):
    return sin(a, b, mp.mpf(c) + mp.pi / 2)


def rbf(gamma=1.):
    return sin(mp.sqrt(2), mp.sqrt(2 * mp.mpf(gamma)), mp.pi / 4)


def exp(a=1., b=1.):
    a, b = mp.mpf(a), mp.mpf(b)

    def k(q1, q2, k):
        return a * a * mp.exp(b * b * (q1 + q2 + 2 * k) / 2)
    return k, lambda *cov: b * b * k(*cov)


def exp_normalized(gamma=1., shift=-1., do_clip=False):
    gamma, shift = mp.mpf(gamma), mp.mpf(shift)

    def rho(q1, q2, k):
        return k / mp.sqrt(q1 * q2) if q1 * q2 else mp.mpf(0)
    return (lambda q1, q2, k: mp.sqrt(q1 * q2) * mp.exp(gamma * (rho(q1, q2, k) + shift)),
            lambda q1, q2, k: gamma * mp.exp(gamma * (rho(q1, q2, k) + shift)))


def tilted(q1, q2, k, b, t1, t2):
    """E[exp(b (u^2 + v^2) + i (t1 u + t2 v))], real part: det(1 - 2 b S)^(-1/2) exp(-t S (1 - 2 b S)^(-1) t / 2)."""
    m = mp.matrix([[1 - 2 * b * q1, -2 * b * k], [-2 * b * k, 1 - 2 * b * q2]])
    det = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    inverse = mp.matrix([[m[1, 1], -m[0, 1]], [-m[1, 0], m[0, 0]]]) / det
    c = mp.matrix([[q1, k], [k, q2]]) * inverse
    return mp.exp(-(t1 * t1 * c[0, 0] + t1 * t2 * (c[0, 1] + c[1, 0]) + t2 * t2 * c[1, 1]) / 2) / mp.sqrt(det)


def gaussian(a=1., b=-1.):
    a, b = mp.mpf(a), mp.mpf(b)

    def slope(q1, q2, k):
        return 4 * a * a * b * b * k / ((1 - 2 * b * q1) * (1 - 2 * b * q2) - (2 * b * k) ** 2) ** mp.mpf('1.5')
    return lambda q1, q2, k: a * a * tilted(q1, q2, k, b, 0, 0), slope


def gabor():
    def k(q1, q2, k):
        return (tilted(q1, q2, k, -1, 1, -1) - tilted(q1, q2, k, -1, 1, 1)) / 2
    return k, lambda q1, q2, k_: mp.diff(lambda c: k(q1, q2, c), k_)


def polynomial(coef):
    """E[u^i v^j] by Isserlis: l pairs across, the rest of each among themselves."""
    def moment(i, j, q1, q2, k):
        def pairings(n):
            return factorial(n) // (2 ** (n // 2) * factorial(n // 2))
        return sum(comb(i, m) * comb(j, m) * factorial(m) * pairings(i - m) * pairings(j - m)
                   * q1 ** ((i - m) // 2) * q2 ** ((j - m) // 2) * k ** m
                   for m in range(i % 2, min(i, j) + 1, 2)) if (i - j) % 2 == 0 else 0

    def expected(coef):
        return lambda q1, q2, k: sum((mp.mpf(c) * mp.mpf(d) * moment(i, j, q1, q2, k) for i, c in enumerate(coef)
                                      for j, d in enumerate(coef) if c and d), mp.mpf(0))
    return expected(coef), expected([i * mp.mpf(c) for i, c in enumerate(coef)][1:])


def hermite(degree):
    """He_n = n! sum_m (-1)^m x^(n - 2 m) / (m! (n - 2 m)! 2^m), over sqrt(n!)."""
    coef = [mp.mpf(0)] * (degree + 1)
    for m in range(degree // 2 + 1):
        coef[degree - 2 * m] = (-1) ** m * mp.sqrt(factorial(degree)) / (
            factorial(m) * factorial(degree - 2 * m) * mp.mpf(2) ** m)
    return polynomial(coef)


REFERENCE = {
    'ABRelu': abrelu, 'Relu': lambda do_stabilize=False: abrelu(0, 1), 'Abs': lambda do_stabilize=False: abrelu(-1, 1),
    'LeakyRelu': lambda alpha, do_stabilize=False: abrelu(alpha, 1), 'Sign': sign,
    'RectifiedMonomial': rectified_monomial, 'Erf': erf, 'Gelu': gelu, 'Sin': sin, 'Cos': cos, 'Rbf': rbf, 'Exp': exp,
    'Sigmoid_like': lambda: erf(.5, 1 / 2.4020563531719796, .5), 'ExpNormalized': exp_normalized, 'Gaussian': gaussian,
    'Gabor': gabor, 'Polynomial': polynomial, 'Hermite': hermite,
    'Monomial': lambda degree: polynomial([0] * degree + [1])}
"""Activation -> (its arguments -> the two functions), by the names and defaults of the layers."""
