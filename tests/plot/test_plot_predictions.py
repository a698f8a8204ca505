"""Pictures of priors, posteriors and training have the numbers of the formulas, by plain NumPy."""
import numpy
import pytest
from scipy.linalg import expm, sqrtm

from ntref import plot, predict
from ntref.stax import Dense, Erf, serial

pytestmark = pytest.mark.usefixtures('pyplot')
NET = serial(Dense(8, 1.5, .5), Erf(), Dense(1, 1.2))
X = numpy.array([[-1.5], [-.4], [1.1]])
Y = numpy.sin(X)
GRID = numpy.linspace(-2, 2, 7)
PREDICTOR = predict.gradient_descent_mse_ensemble(NET, X, Y)
NNGP = NET.kernel_fn(X, get='nngp')


def bands(ax):
    """(lower, upper) ends of the bands of an axes, along the horizontal axis."""
    for collection in ax.collections:
        points = collection.get_paths()[0].vertices
        across = numpy.unique(points[:, 0])
        yield [[f(points[points[:, 0] == x, 1]) for x in across] for f in (min, max)]


def formula(t, x):
    """Mean and deviation when the last layer trains, by S_*t S^-1 (1 - exp(-S t / n)) y and its covariance."""
    cross = NET.kernel_fn(x, X, 'nngp')
    left = numpy.eye(3) if t is None else numpy.eye(3) - expm(-NNGP * t / Y.size)
    left2 = numpy.eye(3) if t is None else numpy.eye(3) - expm(-2 * NNGP * t / Y.size)
    inverse = numpy.linalg.inv(NNGP)
    covariance = NET.kernel_fn(x, None, 'nngp') - cross @ inverse @ left2 @ cross.T
    return (cross @ inverse @ left @ Y)[:, 0], numpy.sqrt(numpy.diag(covariance))


def test_prior():
    x = GRID[::-1]                                          # drawn from left to right in any case
    ax = plot.prior(NET, x, samples=3, rng=5)
    k = NET.kernel_fn(GRID[:, None], None, 'nngp')
    (low, high), = bands(ax)
    numpy.testing.assert_allclose(high, 2 * numpy.sqrt(numpy.diag(k)), rtol=1e-14)
    numpy.testing.assert_allclose(low, -2 * numpy.sqrt(numpy.diag(k)), rtol=1e-14)
    z = numpy.random.default_rng(5).standard_normal((3, 7, 1))[..., 0]
    drawn = z @ sqrtm(NET.kernel_fn(x[:, None], None, 'nngp'))
    assert len(ax.lines) == 3
    for line, f in zip(ax.lines, drawn):
        numpy.testing.assert_allclose(line.get_xdata(), GRID, rtol=1e-15)
        numpy.testing.assert_allclose(line.get_ydata(), f[::-1], atol=1e-6)


@pytest.mark.parametrize('t', [None, 3.])
def test_posterior(t):
    ax = plot.posterior(PREDICTOR, GRID, t, 'nngp')
    mean, sd = formula(t, GRID[:, None])
    line, points = ax.lines
    numpy.testing.assert_allclose(line.get_ydata(), mean, atol=1e-11)
    (low, high), = bands(ax)
    numpy.testing.assert_allclose(high, mean + 2 * sd, atol=1e-10)
    numpy.testing.assert_allclose(low, mean - 2 * sd, atol=1e-10)
    assert numpy.array_equal(points.get_xydata(), numpy.hstack([X, Y])) and ax.get_xlabel() == 'x'


def test_posteriors_of_gp_inference_and_of_several_outputs():
    two = numpy.hstack([Y, 2 * Y])
    predict_fn = predict.gp_inference(NNGP, two)
    grid = GRID[:, None]
    gaussian = predict_fn('nngp', NET.kernel_fn(grid, X, 'nngp'), NET.kernel_fn(grid, None, 'nngp'))
    ax = plot.posterior(gaussian, GRID)
    mean, sd = formula(None, grid)
    for line, (low, high), factor in zip(ax.lines, bands(ax), (1, 2), strict=True):
        numpy.testing.assert_allclose(line.get_ydata(), factor * mean, atol=1e-10)
        numpy.testing.assert_allclose(numpy.subtract(high, low), 4 * sd, atol=1e-10)
    ensemble = predict.gradient_descent_mse_ensemble(NET, X, two)
    *_, first, second = plot.posterior(ensemble, GRID).lines
    assert numpy.array_equal(first.get_ydata(), Y[:, 0]) and numpy.array_equal(second.get_ydata(), 2 * Y[:, 0])
    assert first.get_color() != second.get_color()


def test_inputs_of_several_channels_are_numbered(rng):
    x = rng.standard_normal((4, 3))
    predictor = predict.gradient_descent_mse_ensemble(NET, rng.standard_normal((3, 3)), Y)
    line, = plot.posterior(predictor, x).lines
    numpy.testing.assert_allclose(line.get_ydata(), predictor(None, x, 'ntk')[:, 0], rtol=1e-14)
    assert [*line.get_xdata()] == [0, 1, 2, 3] and line.axes.get_xlabel() == 'number of the input'


def test_training():
    t = numpy.array([.1, 1., 10.])
    ax = plot.training(PREDICTOR, t, GRID[:2], 'nngp')
    assert ax.get_xscale() == 'log' and [line.get_label() for line in ax.lines] == ['x = -2', 'x = -1.33']
    expected = [formula(one, GRID[:2, None]) for one in t]
    for i, (line, (low, high)) in enumerate(zip(ax.lines, bands(ax), strict=True)):
        numpy.testing.assert_allclose(line.get_ydata(), [mean[i] for mean, _ in expected], atol=1e-11)
        numpy.testing.assert_allclose(high, [mean[i] + 2 * sd[i] for mean, sd in expected], atol=1e-10)
        assert numpy.array_equal(line.get_xdata(), t) and max(low) < max(high)
    own = plot.training(PREDICTOR, numpy.array([0., 1.]))
    assert [line.get_label() for line in own.lines] == ['x = -1.5', 'x = -0.4', 'x = 1.1']
    assert own.get_xscale() == 'linear'
    assert [line.get_ydata()[0] for line in own.lines] == [0, 0, 0]


def test_the_movie(tmp_path):
    t = numpy.array([0., 2., 50.])
    movie = plot.training_movie(PREDICTOR, t, GRID, 'nngp')
    frames = []
    ax, = movie._fig.axes

    def kept(i, n):
        frames.append((ax.get_title(), ax.lines[0].get_ydata(), ax.get_ylim()))
    movie.save(tmp_path / 'movie.gif', writer='pillow', dpi=30, progress_callback=kept)
    assert (tmp_path / 'movie.gif').read_bytes().startswith(b'GIF')
    assert [title for title, *_ in frames] == ['t = 0', 't = 2', 't = 50']
    assert len({limits for *_, limits in frames}) == 1
    for time, (_, values, _) in zip(t, frames):
        numpy.testing.assert_allclose(values, formula(time, GRID[:, None])[0], atol=1e-11)


@pytest.mark.parametrize('draw', [
    lambda p: plot.posterior(p, GRID), lambda p: plot.training(p, GRID),
    lambda p: plot.training_movie(p, GRID, GRID)])
def test_other_predictors_are_refused(draw):
    for other in (predict.gp_inference(NNGP, Y), NET, None):
        said = f'predict_fn of gradient_descent_mse_ensemble.* got {type(other).__name__}'
        with pytest.raises(TypeError, match=said):
            draw(other)


def test_arguments_are_refused():
    with pytest.raises(ValueError, match=r'times of shape \(T,\), got shape \(1, 1\)'):
        plot.training(PREDICTOR, numpy.ones((1, 1)))
    with pytest.raises(ValueError, match='x is expected to have inputs'):
        plot.prior(NET, numpy.zeros(0))
    with pytest.raises(ValueError, match='samples is expected to be a whole number >= 0'):
        plot.prior(NET, GRID, samples=-1)
    with pytest.raises(TypeError, match='expected an array .* got list'):
        plot.posterior(PREDICTOR, [1., 2.])
