"""Derivatives of chains of layers, for truth/mutants.py: what both modes owe, and ways to get them wrong."""
from functools import partial
from unittest import mock

import autograd
import numpy
from autograd.differential_operators import make_jvp

from ntref.recursion import chained, forward
from ntref.stax import Dense, Erf, Relu, serial

rng = numpy.random.default_rng(7)
X, OTHERS, DX = (rng.standard_normal((n, 5)) for n in (9, 7, 9))
WEIGHTS = {None: rng.standard_normal((9, 9)), 'others': rng.standard_normal((9, 7))}
STEP = 1e-5


def kernel(x, w, others=None):
    net = serial(Dense(1, 1.2, .3), Relu(), Dense(1, w, .2), Erf(), Dense(1, .9, w))
    return net.kernel_fn(x, OTHERS if others else None, 'ntk')


def slope(f):
    return (f(STEP) - f(-STEP)) / (2 * STEP)


def near(actual, expected):
    assert numpy.max(abs(actual - expected)) < 1e-7 * numpy.max(abs(expected))


def check_reverse():
    for others, c in WEIGHTS.items():
        in_x, in_w = autograd.grad(lambda x, w: autograd.numpy.sum(c * kernel(x, w, others)), (0, 1))(X, 1.3)
        near((in_x * DX).sum(), slope(lambda t: (c * kernel(X + t * DX, 1.3, others)).sum()))
        near(in_w, slope(lambda t: (c * kernel(X, 1.3 + t, others)).sum()))


def check_forward():
    for others in WEIGHTS:
        near(make_jvp(lambda t: kernel(X + t * DX, 1.3, others))(0.)(1.)[1],
             slope(lambda t: kernel(X + t * DX, 1.3, others)))
        near(make_jvp(lambda w: kernel(X, w, others))(1.3)(1.)[1], slope(lambda t: kernel(X, 1.3 + t, others)))


CHECKS = {'chain, reverse': check_reverse, 'chain, forward': check_forward}


# ------------------------------------------------------------------ the mutants

def changed(owner, name, change):
    """change(original, *arguments) in place of owner.name."""
    original = getattr(owner, name)
    return mock.patch.object(owner, name, lambda *a: change(original, *a))


def pullback(owner, change):
    """change(bars) in place of the cotangents that a nonlinearity gives, functions of no arguments."""
    def adjoint(original, *a):
        k, rise, pull = original(*a)
        return k, rise, lambda g, h: change(pull(g, h))
    return changed(owner, 'adjoint_of', adjoint)


def scaled(bars, i):
    return [(lambda bar=bar: bar() * (1 + 1e-4)) if i % len(bars) == at else bar for at, bar in enumerate(bars)]


MUTANTS = {
    f'{mode}: a nonlinearity, derivative in {what} (1 + 1e-4)': (
        partial(pullback, owner, partial(scaled, i=i)), f'chain, {mode}')
    for owner, mode in ((chained, 'reverse'), (forward, 'forward')) for i, what in enumerate(('q', "q'", 'K'))} | {
    'reverse: Theta forgotten': (partial(
        changed, chained.Chained, 'pulled', lambda f, k, g, h: f(k, g, 0 * h)), 'chain, reverse'),
    'reverse: numbers by means': (partial(
        changed, chained, '_sum', lambda f, a: f(a) / numpy.size(a)), 'chain, reverse'),
    'forward: half of the variances': (partial(
        changed, forward, '_own', lambda f, *a: f(*a).but(dk=f(*a).dk / 2)), 'chain, forward'),
    'forward: numbers are constant': (partial(
        changed, forward, '_number', lambda f, a: (f(a)[0], 0)), 'chain, forward'),
}
OWNERS = chained, chained.Chained, forward
