"""Functions of the user in tiles: the numbers of the whole `Kernel`, on one thread, and slopes only where asked for."""
from math import pi
from threading import get_ident

import numpy
import pytest
from refusals import refusal
from tiles import conv, set_sizes
from tolerances import assert_close

from ntref.stax import Dense, Elementwise, ElementwiseNumerical, Erf, Flatten, GlobalAvgPool, serial
from ntref.stax.located import LayerError

D = Dense(8, 1.2, .1)


def of_square(k, q1, q2):
    return q1 * q2 + 2 * k ** 2


def of_relu(k, q1, q2):
    s = numpy.sqrt(q1 * q2)
    theta = numpy.arccos(numpy.clip(k / s, -1, 1))
    return s / (2 * pi) * (numpy.sin(theta) + (pi - theta) * numpy.cos(theta))


def slope_of_relu(k, q1, q2):
    return (pi - numpy.arccos(numpy.clip(k / numpy.sqrt(q1 * q2), -1, 1))) / (2 * pi)


LAYERS = {
    'square': Elementwise(nngp_fn=of_square),
    'Relu': Elementwise(nngp_fn=of_relu, d_nngp_fn=slope_of_relu),
    'numerical': ElementwiseNumerical(numpy.cos, df=lambda z: -numpy.sin(z))}

NETWORKS = {
    'dense': (lambda layer: serial(D, layer, D), (3,)),
    'two, and one with a tile of its own': (lambda layer: serial(D, layer, D, Erf(), D, layer, D), (3,)),
    'one feature': (lambda layer: serial(D, layer, D, Erf(), D), (1,)),
    'flat': (lambda layer: serial(conv(), layer, conv(), Flatten(), D), (4, 3, 2)),
    'pooled': (lambda layer: serial(conv(), layer, conv(), GlobalAvgPool(), D), (3, 2, 2))}


@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('name', NETWORKS)
def test_tiles_are_the_whole(layer, name, rng, monkeypatch):
    of, shape = NETWORKS[name]
    net = of(LAYERS[layer])
    x, y = rng.standard_normal((5, *shape)), rng.standard_normal((4, *shape))
    y[1], y[2] = x[2] * 1.00001, -x[0]
    x[4] = x[3]
    set_sizes(monkeypatch, 80, 2)
    for inputs in (x, None), (x, y):
        whole = net.kernel_fn(*inputs)
        parts = net.kernel_fn(*inputs, ('nngp', 'ntk'))
        for found, expected in zip(parts, (whole.nngp, whole.ntk)):
            if layer == 'Relu':                          # arccos knows half of the digits where inputs coincide
                assert abs(found - expected).max() < 1e-6 * abs(expected).max()
            else:
                assert_close(found, expected, 'slice', abs(expected).max())


def test_on_one_thread(rng, monkeypatch):
    """Functions of the user may not be safe in several."""
    seen = []

    def nngp_fn(k, q1, q2):
        seen.append((get_ident(), k.size))
        return of_square(k, q1, q2)
    net = serial(D, Elementwise(nngp_fn=nngp_fn, d_nngp_fn=lambda k, q1, q2: 4 * k), D)
    set_sizes(monkeypatch, 80, 16)
    net.kernel_fn(rng.standard_normal((12, 3)), get='ntk')
    threads, sizes = zip(*seen)
    assert set(threads) == {get_ident()}
    assert len(sizes) > 10 and max(sizes) <= 16                             # in tiles


def test_without_a_slope(rng, monkeypatch):
    """K of functions that autograd cannot differentiate; Theta is refused."""
    net = serial(D, Elementwise(nngp_fn=lambda k, q1, q2: of_relu(numpy.asarray(k), q1, q2)), D)
    x, y = rng.standard_normal((2, 6, 3))
    set_sizes(monkeypatch, 80, 4)
    for inputs in (x, None), (x, y):
        assert_close(net.kernel_fn(*inputs, 'nngp'), net.kernel_fn(*inputs, ('nngp', 'gap')).nngp, 'slice', 10.)
        with numpy.errstate(all='ignore'):
            assert 'ArrayBox' in refusal(TypeError, net.kernel_fn, *inputs, 'ntk')


def test_a_slope_that_is_no_number_where_inputs_coincide(rng, monkeypatch):
    """Not asked for where they do not, in tiles as in one piece."""
    def slope(k, q1, q2):
        return numpy.where(k == q1, numpy.nan, 4 * k)
    nets = [serial(D, Elementwise(nngp_fn=of_square, d_nngp_fn=f), D) for f in (slope, lambda k, q1, q2: 4 * k)]
    x, y = rng.standard_normal((2, 6, 3))
    set_sizes(monkeypatch, 80, 4)
    found, expected = (net.kernel_fn(x, y, 'ntk') for net in nets)
    assert (found == expected).all()
    assert 'to be finite, got nan at K = ' in refusal(LayerError, nets[0].kernel_fn, x, None, 'ntk')


def test_errors_in_tiles_name_the_layer(rng, monkeypatch):
    net = serial(D, Elementwise(nngp_fn=lambda k, q1, q2: 3 * k, d_nngp_fn=lambda k, q1, q2: 3 + 0 * k), D,
                 Elementwise(nngp_fn=lambda k, q1, q2: k + q1, d_nngp_fn=lambda k, q1, q2: 1 + 0 * k), D)
    set_sizes(monkeypatch, 80, 4)
    message = refusal(LayerError, net.kernel_fn, rng.standard_normal((6, 3)), None, 'ntk')
    assert message.startswith('layer 3, Elementwise(')
