"""Pictures of networks: distances of finite kernels, angles by depth, order and chaos."""
import numpy
import pytest
from numpy import pi

from ntref import empirical_ntk_fn, plot
from ntref.plot.networks import _of_width
from ntref.plot.phases import fixed_points
from ntref.stax import (
    Conv, Dense, Erf, FanInSum, FanOut, Flatten, Polynomial, RectifiedMonomial, Relu, Sin, Tanh, parallel, repeat,
    serial)

pytestmark = pytest.mark.usefixtures('pyplot')
NET = serial(Dense(512, 1.4, .1), Relu(), Dense(1))


# ------------------------------------------------------------------ width

@pytest.mark.parametrize('get', ['nngp', 'ntk'])
def test_distances_of_finite_networks(get, rng):
    x = rng.standard_normal((3, 4))
    ax = plot.width_convergence(NET, x, (8, 32), get, samples=3, rng=7)
    line, points, guide = ax.lines
    infinite, distances = NET.kernel_fn(x, None, get), []
    for width in (8, 32):
        net = serial(Dense(width, 1.4, .1), Relu(), Dense(1))
        for seed in numpy.random.SeedSequence(7).spawn(3):
            params = net.init_fn(numpy.random.default_rng(seed), x.shape)[1]
            f = net.apply_fn(params, x)
            k = f @ f.T if get == 'nngp' else empirical_ntk_fn(net.apply_fn)(x, None, params)
            distances.append(numpy.sqrt(((k - infinite) ** 2).sum() / (infinite ** 2).sum()))
    numpy.testing.assert_allclose(points.get_ydata(), distances, rtol=1e-12)
    means = numpy.sqrt(numpy.mean(numpy.square(distances).reshape(2, 3), 1))
    numpy.testing.assert_allclose(line.get_ydata(), means, rtol=1e-14)
    assert guide.get_ydata()[1] == guide.get_ydata()[0] / 2 and [*points.get_xdata()] == [8] * 3 + [32] * 3


def test_tangent_kernels_come_near_as_width_grows(rng):
    """From 8 to 512: by the root of 64, up to chance."""
    ax = plot.width_convergence(NET, rng.standard_normal((4, 3)), (8, 512), 'ntk', samples=40)
    first, last = ax.lines[0].get_ydata()
    assert 5 < first / last < 13


def test_networks_of_a_width():
    residual = serial(
        Conv(9, (2, 2)), repeat(serial(Relu(), Dense(9)), 2), FanOut(2), parallel(Dense(9), Dense(9)), FanInSum(),
        Flatten(), Dense(10))
    block = serial(Relu(), Dense(5))
    assert repr(_of_width(residual, 5)) == repr(serial(
        Conv(5, (2, 2)), serial(block, block), FanOut(2), parallel(Dense(5), Dense(5)), FanInSum(),
        Flatten(), Dense(10)))
    assert _of_width(lambda n: serial(Dense(n), Erf()), 4) == serial(Dense(4), Erf())


@pytest.mark.parametrize('given, error, message', [
    (dict(net=3), TypeError, 'a network, or a function of the width, got int'),
    (dict(net=Dense), TypeError, 'a network, or a function of the width, got type'),
    (dict(widths=()), ValueError, 'at least one width'), (dict(widths=(0,)), ValueError, 'widths is expected to be'),
    (dict(samples=0), ValueError, 'samples is expected to be')])
def test_width_convergence_refuses(given, error, message):
    with pytest.raises(error, match=message):
        plot.width_convergence(**{'net': NET, 'x': numpy.eye(2), **given})


# ------------------------------------------------------------------ depth

def test_angles_by_depth():
    """cos theta' = (sin theta + (pi - theta) cos theta) / pi behind each ReLU."""
    ax = plot.depth(serial(Dense(1), Relu(), Dense(1), Relu()), (30, 120))
    named = {line.get_label(): line for line in ax.lines if line.get_label()[0] != '_'}
    assert list(named) == ['30°', '120°'] and ax.get_ylabel() == 'angle [rad]'
    marks = [line for line in ax.lines if line.get_marker() == 'o']
    for angle, line in zip((30, 120), marks, strict=True):
        theta, expected = numpy.radians(angle), []
        for _ in range(3):
            expected += [theta, theta]
            theta = numpy.arccos((numpy.sin(theta) + (pi - theta) * numpy.cos(theta)) / pi)
        numpy.testing.assert_allclose(line.get_ydata(), expected[:5], rtol=1e-14)
    with pytest.raises(ValueError, match='angles between 0 and 180 degrees, got .200'):
        plot.depth(NET, (200,))


# ------------------------------------------------------------------ order and chaos

def test_phases_of_relu():
    """chi = W_std^2 / 2, and q* = b_std^2 / (1 - chi)."""
    W_std, b_std = numpy.linspace(.5, 2., 16), numpy.linspace(.1, .9, 9)
    ax = plot.phase_diagram(Relu(), W_std, b_std)
    chi = numpy.ma.filled(ax.collections[0].get_array(), numpy.nan)
    q = b_std[:, None] ** 2 / (1 - W_std ** 2 / 2)
    known = (q > 0) & (q < 100)
    assert numpy.array_equal(numpy.isfinite(chi), known)
    numpy.testing.assert_allclose(chi[known], numpy.broadcast_to(W_std ** 2 / 2, chi.shape)[known], rtol=1e-12)
    numpy.testing.assert_allclose(fixed_points(Relu(), W_std, b_std)[0][known], q[known], rtol=1e-4)


@pytest.mark.parametrize('layer, phi', [
    (RectifiedMonomial(2), lambda u: numpy.maximum(u, 0) ** 2), (Polynomial((0., 0., 1.)), numpy.square),
    (Sin(), numpy.sin), (Tanh(), numpy.tanh)], ids=['squared ReLU', 'square', 'sine', 'tanh'])
def test_fixed_points_are_where_iterations_end(layer, phi):
    """From a small variance on, also where a second fixed point is unstable, as of phi(u) = u^2."""
    W_std, b_std = numpy.array([.3, .55, 1., 2.5]), numpy.array([.1, .5])
    fixed, _ = fixed_points(layer, W_std, b_std)
    z, weights = numpy.polynomial.hermite_e.hermegauss(150)
    weights /= weights.sum()
    for i, b in enumerate(b_std):
        for j, w in enumerate(W_std):
            q = b * b
            for _ in range(200):
                q = min(w * w * weights @ phi(q ** .5 * z) ** 2 + b * b, 1e9)
            assert numpy.isnan(fixed[i, j]) if q > 100 else fixed[i, j] == pytest.approx(q, rel=1e-3), (w, b, q)


def test_the_critical_line_of_erf():
    """w = pi sqrt(1 + 4 q) / 4 and b = q - w (2 / pi) arcsin(2 q / (1 + 2 q))."""
    ax = plot.phase_diagram(Erf(), numpy.linspace(.5, 3, 200), numpy.linspace(.05, 1, 100))
    line = next(c for c in ax.collections if getattr(c, 'levels', [0])[0] == 1 and len(c.levels) == 1)
    points = line.get_paths()[0].vertices
    q = numpy.linspace(.001, 3, 5000)
    w = pi / 4 * numpy.sqrt(1 + 4 * q)
    b = q - w * 2 / pi * numpy.arcsin(2 * q / (1 + 2 * q))
    on_line = numpy.interp(points[:, 1], numpy.sqrt(b), numpy.sqrt(w))
    assert len(points) > 50 and abs(points[:, 0] - on_line).max() < 2e-3
    assert ax.get_title() == 'Erf()' and (ax.get_xlabel(), ax.get_ylabel()) == ('W_std', 'b_std')


def test_grids_are_lists_or_arrays_of_one_axis():
    ax = plot.phase_diagram(Relu(), [.5, 1., 1.2], [.1, .2])
    assert ax.collections[0].get_array().shape == (2, 3)
    with pytest.raises(ValueError, match=r'two numbers or more, got shapes \(3, 1\) and \(250,\)'):
        plot.phase_diagram(Relu(), numpy.ones((3, 1)))


@pytest.mark.parametrize('other', [Tanh, Dense(1), None, NET], ids=repr)
def test_phase_diagrams_are_of_nonlinearities(other):
    with pytest.raises(TypeError, match=r'expected a nonlinearity such as stax.Tanh\(\)'):
        plot.phase_diagram(other)
