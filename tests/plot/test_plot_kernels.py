"""Pictures of kernels have the numbers of textbook formulas; what pictures have in common; what is refused."""
import subprocess
import sys

import numpy
import pytest
from matplotlib.colors import to_rgb
from numpy import pi

from ntref import drawing, plot
from ntref.stax import Dense, Erf, Monomial, Relu, serial

pytestmark = pytest.mark.usefixtures('pyplot')
BLOCK = serial(Dense(8, 2 ** .5), Relu())


def arc_cosine(cosine):
    """Kernel and slope of ReLU at unit variances, as functions of the cosine of the angle (Cho & Saul 2009)."""
    theta = numpy.arccos(cosine)
    return (numpy.sin(theta) + (pi - theta) * cosine) / pi, (pi - theta) / pi


# ------------------------------------------------------------------ against the angle

def test_kernels_against_the_angle():
    ax = plot.kernel_against_angle(BLOCK, (1, 3), 'nngp', points=37)
    angles = numpy.linspace(0, 180, 37)
    k = numpy.cos(numpy.radians(angles))
    values = []
    for _ in range(3):
        k = arc_cosine(numpy.clip(k, -1, 1))[0]
        values.append(k)
    assert [line.get_label() for line in ax.lines] == ['depth 1', 'depth 3']
    for line, value in zip(ax.lines, (values[0], values[2])):
        numpy.testing.assert_allclose(line.get_xdata(), angles, rtol=1e-15)
        numpy.testing.assert_allclose(line.get_ydata(), value, atol=2e-8)               # arccos near 1
    assert ax.get_xlabel() == 'angle between the inputs [degrees]' and ax.get_legend() is not None


def test_tangent_kernels_of_a_network_as_it_is():
    ax = plot.kernel_against_angle(serial(BLOCK, Dense(1)))
    line, = ax.lines
    cosine = numpy.cos(numpy.radians(line.get_xdata()))
    k, slope = arc_cosine(cosine)
    numpy.testing.assert_allclose(line.get_ydata(), (k + slope * 2 * cosine / 2) / 2, atol=1e-12)
    assert len(line.get_xdata()) == 181 and ax.get_legend() is None


@pytest.mark.parametrize('net, given, message', [
    (BLOCK, dict(depths=(0,)), 'depths is expected to be a whole number >= 1'), (BLOCK, dict(points=1), 'points'),
    (BLOCK, dict(get='k'), 'expected get to be'),
    (serial(Dense(1, 0.), Monomial(1)), {}, 'above 0 at angle 0, got 0.0'),
    (BLOCK, dict(depths=3), 'depths is expected to be a tuple')], ids=str)
def test_against_the_angle_refuses(net, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        plot.kernel_against_angle(net, **given)


# ------------------------------------------------------------------ matrices

def test_heatmap(rng):
    k = rng.standard_normal((3, 5))
    ax = plot.heatmap(k, label='K')
    image, = ax.images
    assert numpy.array_equal(image.get_array(), k) and image.get_cmap().name == 'viridis'
    assert image.colorbar.ax.get_ylabel() == 'K'


def test_spectrum(rng):
    values = numpy.array([5., 2., .3, 1e-3])
    q = numpy.linalg.qr(rng.standard_normal((4, 4)))[0]
    ax = plot.spectrum(q * values @ q.T)
    line, = ax.lines
    numpy.testing.assert_allclose(line.get_ydata(), values, rtol=1e-11)
    assert [*line.get_xdata()] == [1, 2, 3, 4] and ax.get_xscale() == ax.get_yscale() == 'log'
    assert plot.spectrum(numpy.eye(2), label='one', ax=ax) is ax
    assert ax.lines[1].get_color() != line.get_color() and ax.lines[1].get_label() == 'one'


def test_spectrum_with_rounding():
    """Of a singular kernel: what is not above 0 is left out, and the line says what is rounding."""
    k = numpy.ones((3, 3)) + numpy.diag([0, 0, 1.])
    line, rounding = plot.spectrum(k).lines
    numpy.testing.assert_allclose(line.get_ydata()[:2], 2 + 2 ** .5 * numpy.array([1, -1]), rtol=1e-14)
    assert rounding.get_ydata()[0] == pytest.approx(3 * 2 ** -52 * (2 + 2 ** .5), rel=1e-12)


@pytest.mark.parametrize('draw, k, error, message', [
    (plot.heatmap, [[1.]], TypeError, 'expected an array .* got list'),
    (plot.heatmap, numpy.ones(3), ValueError, r'shape \(3,\)'),
    (plot.heatmap, numpy.array([[numpy.nan]]), ValueError, 'with NaN or infinity'),
    (plot.heatmap, Dense(1).kernel_fn(numpy.eye(2)), TypeError, 'nngp or ntk'),
    (plot.spectrum, numpy.ones((2, 3)), ValueError, 'symmetric matrix'),
    (plot.spectrum, numpy.array([[1., 0.], [1., 1.]]), ValueError, 'that is not symmetric')])
def test_matrices_are_refused(draw, k, error, message):
    with pytest.raises(error, match=message):
        draw(k)


# ------------------------------------------------------------------ what pictures have in common

def test_axes_are_given_or_made(pyplot):
    _, ax = pyplot.subplots()
    assert plot.heatmap(numpy.eye(2), ax=ax) is ax and plot.heatmap(numpy.eye(2)) is not ax
    with pytest.raises(TypeError, match='one matplotlib Axes, .* got ndarray'):
        plot.heatmap(numpy.eye(2), ax=pyplot.subplots(1, 2)[1])


def luminance(color):
    """Of sRGB, as contrast is defined in WCAG 2.1."""
    rgb = numpy.array(to_rgb(color))
    return numpy.where(rgb <= .04045, rgb / 12.92, ((rgb + .055) / 1.055) ** 2.4) @ [.2126, .7152, .0722]


@pytest.mark.parametrize('style, background', [('default', 1), ('dark_background', 0)])
def test_lines_differ_and_stand_out(style, background, pyplot):
    with pyplot.style.context(style):
        styles = [drawing.styled(i) for i in range(12)]
        assert luminance(drawing.ink()) == 1 - background
    assert len({tuple(one.values()) for one in styles}) == 12
    assert all(a['linestyle'] != b['linestyle'] for a, b in zip(styles, styles[1:]))
    for one in styles:
        low, high = sorted((luminance(one['color']), background))
        assert (high + .05) / (low + .05) > 2, one


def test_matplotlib_comes_with_the_first_picture(monkeypatch):
    probe = 'import sys, ntref.plot; print("matplotlib" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', probe], capture_output=True, text=True).stdout.split() == ['False']
    monkeypatch.setitem(sys.modules, 'matplotlib.pyplot', None)
    with pytest.raises(ImportError, match='pip install matplotlib'):
        serial(Dense(1), Erf()).explain(numpy.eye(2)).plot()
