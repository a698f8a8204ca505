"""check_layer keeps quiet on layers that are right, and names the contract that a wrong one breaks.

Each wrong layer here is a right one, `Scaled`, with one mistake that authors of layers make.
"""
import re
from dataclasses import dataclass, replace

import numpy
import pytest

from ntref import stax
from ntref.arrays import namespace
from ntref.duals.geometry import Cov
from ntref.stax import Dense, Erf, Relu, serial
from ntref.testing import CONTRACTS, LEVEL, assert_close, chance, check_layer, check_mean

FLAT, SEQUENCE = (6, 5), (6, 3, 4)


@dataclass(frozen=True, repr=False)
class Scaled(stax.Layer):
    """c h:  K' = c^2 K,  Theta' = c^2 Theta."""
    c: float = 1.5

    def apply(self, params, x, rng=None, **given):
        return self.c * x

    def kernel(self, k):
        return k.map(self.cov).but(ntk=k.tangent(lambda ntk: self.c ** 2 * ntk))

    def cov(self, p):
        w = self.c ** 2
        return Cov(w * p.k, w * p.gap, w * p.area)


# ------------------------------------------------------------------ layers that are right

@pytest.mark.parametrize('layer, shape', [
    (Scaled(), FLAT), (Scaled(), SEQUENCE), (lambda n: Dense(n, 1.3, .2), FLAT), (stax.Dropout(.7), FLAT),
    (Relu(), (-1, 2, 3)), (lambda n: stax.Conv(n, (2,), dimension_numbers=('NCH', 'OIH', 'NCH')), (6, 3, 3)),
    (stax.AvgPool((2,)), SEQUENCE), (stax.Flatten(), SEQUENCE), (lambda n: serial(Dense(n), Relu(), Dense(n)), FLAT)],
    ids=lambda v: 'of a width' if type(v) is type(lambda: 0) else repr(v))
def test_right_layers_pass(layer, shape):
    assert check_layer(layer, shape) == dict.fromkeys(CONTRACTS, 'kept')


@pytest.mark.parametrize('layer, shape, reasons', [
    (stax.LayerNorm((0, 1)), FLAT, {'blocks': 'mixes the batch'}),
    (stax.ExpNormalized(), FLAT, {'finite_nngp': 'no finite network', 'finite_ntk': 'no finite network'}),
    (stax.Elementwise(lambda z: z, lambda k, q1, q2: k), FLAT, {'text': 'arguments that are not plain'})])
def test_what_is_not_asked_is_said(layer, shape, reasons):
    without = ('finite_ntk', 'finite_nngp') if len(reasons) == 1 else ()
    checked = dict.fromkeys([name for name in CONTRACTS if name not in without], 'kept')
    assert check_layer(layer, shape, without=without) == checked | reasons


@dataclass(frozen=True, repr=False)
class Biased(Dense):
    """Parameters with names."""

    def init(self, rng, signal):
        W, b = super().init(rng, signal)
        return {'W': W, 'b': [b, None]}

    def apply(self, params, x, rng=None, **given):
        return super().apply((params['W'], params['b'][0]), x)


def test_parameters_in_a_dict():
    assert check_layer(lambda n: Biased(n, 1.2, .3), FLAT, without=('tiles',))['finite_ntk'] == 'kept'


def test_widths_in_the_tangent_kernel():
    """That of 'standard' goes with the width: it is extrapolated as the networks are."""
    assert check_layer(lambda n: Dense(n, 1.2, .3, parameterization='standard'), FLAT)['finite_ntk'] == 'kept'


# ------------------------------------------------------------------ layers that are wrong

class WrongShape(Scaled):
    def out(self, signal):
        return signal.with_channels(2 * signal.channels)


class OutputsOfAnotherShape(Scaled):
    def apply(self, params, x, rng=None, **given):
        return self.c * x[..., :1]


class Unsymmetric(Scaled):
    def cov(self, p):
        return Cov(self.c ** 2 * p.k * (1 + .1 * (p.q1 - p.q2)))


class ForgetsItselfTwice(Scaled):
    """Knows x2=None from x2=x1 by what it is given."""
    def kernel(self, k):
        new = super().kernel(k)
        return new.replace(nngp=new.nngp * (1. if k.cov2 is None else 1.1))


class ForgetsVariances(Scaled):
    def kernel(self, k):
        return super().kernel(k).but(own1=k.own1, own2=k.own2)


class MixesTheBatch(Scaled):
    """Its kernel knows how many inputs there are, and `tileable` does not say so."""
    def kernel(self, k):
        new, n = super().kernel(k), 1 + .01 * sum(k.nngp.shape)
        return new.replace(nngp=n * new.nngp, cov1=n * new.cov1, cov2=None if k.cov2 is None else n * new.cov2)


class StaleGap(Scaled):
    """Carries the gap of its input."""
    def cov(self, p):
        return Cov(self.c ** 2 * p.k, p.gap, self.c ** 2 * p.area)


class StaleArea(Scaled):
    def cov(self, p):
        return Cov(self.c ** 2 * p.k, self.c ** 2 * p.gap, p.area)


class NeedsTheTangent(Scaled):
    def kernel(self, k):
        return super().kernel(k) if k.ntk is not None else k


class NeedsTheTangentOrTwo(Scaled):
    def kernel(self, k):
        return super().kernel(k) if k.ntk is not None or k.cov2 is not None else k


class WritesInto(Scaled):
    def kernel(self, k):
        arrays = k.nngp, k.gap, k.area, k.cov1, *[a for a in (k.cov2, k.ntk) if hasattr(a, 'shape')]
        for a in arrays:
            a *= self.c ** 2
        return k


class DividesByVariances(Scaled):
    def apply(self, params, x, rng=None, **given):
        return x / (x * x).mean(-1, keepdims=True) ** .5

    def cov(self, p):
        with numpy.errstate(all='ignore'):
            return Cov(p.k / p.n1 / p.n2)

    def kernel(self, k):
        new = k.map(self.cov)
        with numpy.errstate(all='ignore'):
            n1, n2 = k.cov1 ** .5, (k.cov1 if k.cov2 is None else k.cov2) ** .5
            return new.but(ntk=k.tangent(lambda ntk: ntk / n1[:, None] / n2))


class MakesDoubles(Scaled):
    def cov(self, p):
        w = numpy.array([self.c ** 2])
        return Cov(w * p.k, w * p.gap, w * p.area)


class LosesHalfTheDigits(Scaled):
    """The angle by arccos, as formulas are printed: that of an input with itself is 0 or sqrt(eps)."""
    def cov(self, p):
        xp = namespace(p.k)
        theta = numpy.arccos(xp.minimum(xp.maximum(p.k / (p.s + 1e-30), -1), 1))
        return Cov(p.s * (1 - theta / xp.pi) ** 2)


class ReadsVariancesInTiles(Scaled):
    """cov1 is None in a tile; such a layer has in_tiles=False."""
    def kernel(self, k):
        w = self.c ** 2
        return k.replace(nngp=w * k.nngp, ntk=k.tangent(lambda a: w * a), cov1=w * k.cov1,
                         cov2=None if k.cov2 is None else w * k.cov2)


class ForgetsArgument(Scaled):
    @classmethod
    def of(cls, given):
        return cls()


class HidesArgument(Scaled):
    """A number out of autograd's sight."""
    def cov(self, p):
        w = float(getattr(self.c, '_value', self.c)) ** 2
        return Cov(w * p.k, w * p.gap, w * p.area)


class WrongKernel(Scaled):
    """c for c^2."""
    def cov(self, p):
        return Cov(self.c * p.k)


class WrongTangent(Scaled):
    def kernel(self, k):
        return super().kernel(k).but(ntk=k.tangent(lambda ntk: self.c * ntk))


class TakesAnyInput(Scaled):
    """A nonlinearity that does not ask for Gaussian inputs."""
    def apply(self, params, x, rng=None, **given):
        return Relu().apply(params, x)

    def out(self, signal):
        return replace(signal, is_gaussian=False)

    def kernel(self, k):
        return Relu().kernel(k)


class SaysGaussian(TakesAnyInput):
    def check(self, signal):
        Relu().check(signal)

    def out(self, signal):
        return signal


WRONG = [
    (WrongShape(), FLAT, 'shapes'), (OutputsOfAnotherShape(), FLAT, 'shapes'), (Unsymmetric(), FLAT, 'swap'),
    (ForgetsItselfTwice(), FLAT, 'same'), (ForgetsVariances(), FLAT, 'diagonal'), (MixesTheBatch(), FLAT, 'blocks'),
    (StaleGap(), FLAT, 'gaps'), (StaleArea(), FLAT, 'gaps'), (StaleGap(), SEQUENCE, 'gaps'),
    (NeedsTheTangent(), FLAT, 'get'), (NeedsTheTangentOrTwo(), FLAT, 'compose'), (WritesInto(), FLAT, 'read_only'),
    (DividesByVariances(), FLAT, 'coincidences'), (MakesDoubles(), FLAT, 'float32'),
    (LosesHalfTheDigits(), FLAT, 'float32'), (ReadsVariancesInTiles(), FLAT, 'tiles'),
    (ForgetsArgument(2.), FLAT, 'text'),
    (HidesArgument(), FLAT, 'derivatives'), (WrongKernel(), FLAT, 'finite_nngp'), (WrongTangent(), FLAT, 'finite_ntk'),
    (TakesAnyInput(), FLAT, 'finite_nngp'), (SaysGaussian(), FLAT, 'finite_nngp')]


@pytest.mark.parametrize('layer, shape, contract', WRONG, ids=lambda v: v if isinstance(v, str) else repr(v))
def test_wrong_layers_are_named(layer, shape, contract):
    with pytest.raises(AssertionError, match=rf'^{re.escape(repr(layer))} breaks the contract {contract}, ') as caught:
        check_layer(layer, shape)
    assert CONTRACTS[contract].__doc__.split('\n')[0] in str(caught.value)


def test_each_contract_has_a_wrong_layer():
    assert {contract for *_, contract in WRONG} == set(CONTRACTS)


# ------------------------------------------------------------------ what check_layer asks and refuses

def test_contracts_can_be_left_out():
    assert 'float32' not in check_layer(MakesDoubles(), FLAT, without=('float32', 'derivatives', 'finite_ntk'))


@pytest.mark.parametrize('layer, error, text', [
    (Relu, TypeError, 'a layer such as Relu'), ('Relu', TypeError, "got 'Relu'"), (lambda n: n, TypeError, 'function'),
    (serial(stax.FanInSum()), ValueError, 'one input')])
def test_what_is_no_layer(layer, error, text):
    with pytest.raises(error, match=text):
        check_layer(layer, FLAT)


def test_unknown_contracts():
    with pytest.raises(ValueError, match="out of shapes, swap, .*got 'shape'"):
        check_layer(Relu(), FLAT, without=('shape',))


def test_an_error_inside_is_a_broken_contract():
    class Fails(Scaled):
        def kernel(self, k):
            raise KeyError('nothing')
    with pytest.raises(AssertionError, match="breaks the contract shapes, .* Got KeyError: 'nothing'"):
        check_layer(Fails(), FLAT)


def test_too_few_networks_are_said_to_be_too_few():
    with pytest.raises(AssertionError, match='64 finite networks scatter too much to notice an error of 1%'):
        check_layer(Erf(), FLAT, most=64, notices=.01)


# ------------------------------------------------------------------ what it is made of

def test_chance_is_a_probability(rng):
    """Of 400 means of normal samples, few are refused; at a level of one half about half of single entries."""
    p = numpy.array([chance(s, numpy.zeros(1)) for s in rng.standard_normal((400, 10, 1))])
    assert p.min() > LEVEL and 150 < (p < .5).sum() < 250


def test_check_mean_says_where_and_by_how_much(rng):
    samples = 1 + .1 * rng.standard_normal((100, 2))
    check_mean(samples, numpy.array([1., 1.]), .1)
    with pytest.raises(AssertionError, match=r'the kernel is 2 and 100 finite networks have (1|0\.9).* \+- 0\.0'):
        check_mean(samples, numpy.array([1., 2.]), .1)
    with pytest.raises(AssertionError, match='scatter too much to notice an error of 1%'):
        check_mean(samples, numpy.array([1., 1.]), .01)


def test_close_is_in_eps():
    one = numpy.ones(2)
    assert_close(one * (1 + 60 * 2 ** -52), one, 'value')
    for actual, text in [(one * (1 + 70 * 2 ** -52), 'value: 70 eps, allowed 64'), (one * numpy.nan, 'NaN')]:
        with pytest.raises(AssertionError, match=text):
            assert_close(actual, one, 'value')
    for actual in (numpy.ones(3), one.astype('float32')):
        with pytest.raises(AssertionError):
            assert_close(actual, one, 'value')
