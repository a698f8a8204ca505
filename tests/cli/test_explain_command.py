"""`ntref explain` and `ntref plot`: the text and the pictures of the functions of Python."""
import json
import re

import numpy
import pytest
from matplotlib import pyplot
from PIL import Image

from ntref import plot, predict, stax
from ntref.cli import main
from ntref.cli.plot import OF_INPUTS, OF_NETWORKS, OF_TRAINING
from ntref.estimators import NNGPRegressor

NET = stax.serial(stax.Dense(32, 1.5, .3), stax.Erf(), stax.Dense(1, 1.2, .1))
X = numpy.random.default_rng(0).standard_normal((5, 1))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a network, a nonlinearity, and inputs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'net.json').write_text(json.dumps(NET.to_spec()))
    (tmp_path / 'tanh.json').write_text(json.dumps(stax.Tanh().to_spec()))
    numpy.save('x.npy', X)
    numpy.savetxt('x.csv', X, delimiter=',', fmt='%.17g')
    yield tmp_path
    pyplot.close('all')


@pytest.mark.parametrize('argv, given', [
    (['x.npy'], (X,)), (['x.csv'], (X,)), (['x.npy', 'x.csv', '--pair', '1', '3'], (X, X, (1, 3)))])
def test_an_explanation_is_that_of_python(argv, given, folder, capsys):
    assert main(['explain', 'net.json', *argv]) == 0
    assert capsys.readouterr().out == f'{NET.explain(*given)}\n'


def test_every_function_that_draws_is_there():
    assert {name for name, _ in (OF_NETWORKS | OF_INPUTS | OF_TRAINING).values()} == set(plot.__all__)


@pytest.mark.parametrize('picture', OF_NETWORKS | OF_INPUTS)
@pytest.mark.parametrize('get', ['ntk', 'nngp'])
def test_a_picture_is_that_of_python(picture, get, folder, capsys, monkeypatch):
    """The function is called with what is asked for, and its axes are saved."""
    name, _ = (OF_NETWORKS | OF_INPUTS)[picture]
    calls = []

    def drawn(*given, ax, **options):
        calls.append((given, options))
        return function(*given, ax=ax, **options)
    function = getattr(plot, name)
    monkeypatch.setattr(plot, name, drawn)
    asked = [] if picture in ('depth', 'phases') else ['--get', get]
    spec = 'tanh.json' if picture == 'phases' else 'net.json'
    assert main(['plot', picture, spec, *(['x.csv'] if picture in OF_INPUTS else []), *asked]) == 0
    assert capsys.readouterr().out == f'Figure: ntref-{picture}.png\n'
    assert (folder / f'ntref-{picture}.png').read_bytes().startswith(b'\x89PNG')
    (first, *others), options = calls[0]
    if picture in ('heatmap', 'spectrum'):
        assert numpy.array_equal(first, NET.kernel_fn(X, None, get)) and (others, options) == ([], {})
    else:
        assert first == (stax.Tanh() if picture == 'phases' else NET) and options == ({'get': get} if asked else {})
        assert all(numpy.array_equal(one, X) for one in others) and len(others) == (picture in OF_INPUTS)


@pytest.mark.parametrize('picture', OF_TRAINING)
@pytest.mark.parametrize('options, t, test', [([], None, False), (['--t', '100', '--get', 'nngp'], 100., False),
                                              (['--test', 'test.csv'], None, True)])
def test_a_picture_of_training_is_that_of_python(picture, options, t, test, folder, capsys, monkeypatch):
    y, x_test = numpy.sin(2 * X), numpy.array([[.5], [2.]])
    numpy.savetxt('train.csv', numpy.column_stack([X, y]), delimiter=',', fmt='%.17g')
    numpy.savetxt('test.csv', x_test, delimiter=',', fmt='%.17g')
    lines = []
    monkeypatch.setattr('ntref.cli.plot.FRAMES', 5)
    name, _ = OF_TRAINING[picture]
    function = getattr(plot, name)
    monkeypatch.setattr(plot, name, lambda *given, ax, **more: lines.append((given, more)) or
                        function(*given, ax=ax, **more))
    assert main(['plot', picture, 'net.json', 'train.csv', '--diag-reg', '1e-3', *options]) == 0
    ending, start = ('gif', b'GIF') if picture == 'movie' else ('png', b'\x89PNG')
    assert capsys.readouterr().out == f'Figure: ntref-{picture}.{ending}\n'
    assert (folder / f'ntref-{picture}.{ending}').read_bytes().startswith(start)
    (predictor, *given), more = lines[0]
    get = 'nngp' if '--get' in options else 'ntk'
    assert more == {'get': get}
    expected = predict.gradient_descent_mse_ensemble(NET, X, y, diag_reg=1e-3)
    assert numpy.array_equal(predictor(3., x_test, get), expected(3., x_test, get))
    grid = numpy.linspace(1.5 * X.min() - .5 * X.max(), 1.5 * X.max() - .5 * X.min(), 201)[:, None]
    times, x = given if picture != 'posterior' else given[::-1]
    if picture == 'posterior':
        assert times == t
    else:
        assert times[-1] == pytest.approx(t or 1e4) and times[0] == pytest.approx(1e-4 * times[-1])
        assert len(times) == (5 if picture == 'movie' else 201)
    if picture == 'training' and not test:
        assert x is None
    else:
        assert abs(x - (x_test if test else grid)).max() < 1e-14


def test_a_movie_has_its_frames(folder, monkeypatch):
    """Each is another picture, of the time that was asked for last."""
    monkeypatch.setattr('ntref.cli.plot.FRAMES', 4)
    numpy.savetxt('train.csv', numpy.column_stack([X, numpy.sin(2 * X)]), delimiter=',')
    assert main(['plot', 'movie', 'erf,depth=1,W_std=1.5', 'train.csv', '--t', '1000', '--figure', 'a.gif']) == 0
    with Image.open('a.gif') as movie:
        frames = []
        for i in range(movie.n_frames):
            movie.seek(i)
            frames.append(movie.convert('L').tobytes())
    assert len(frames) == len(set(frames)) == 4


def test_predictions_of_several_features_need_inputs(folder, capsys):
    numpy.savetxt('train.csv', numpy.column_stack([X, X ** 2, X]), delimiter=',')
    assert main(['plot', 'posterior', 'net.json', 'train.csv']) == 1
    assert 'expected --test X with training inputs of other than one feature' in capsys.readouterr().err


@pytest.mark.parametrize('name, net', [
    ('relu', stax.serial(*[stax.Dense(512, 2 ** .5, .1), stax.Relu()] * 3, stax.Dense(1, 2 ** .5, .1))),
    ('Erf,depth=1,W_std=1.5,b_std=0.3', stax.serial(
        stax.Dense(512, 1.5, .3), stax.Erf(), stax.Dense(1, 1.5, .3)))])
def test_short_names_of_networks_are_those_of_estimators(name, net, folder, capsys):
    assert main(['explain', name, 'x.npy']) == 0
    assert capsys.readouterr().out == f'{net.explain(X)}\n'
    activation, *given = name.split(',')
    model = NNGPRegressor(activation=activation, **{
        key: int(value) if key == 'depth' else float(value) for key, value in (each.split('=') for each in given)})
    assert model.network_kernels().kernel_fn.layer == net


def test_a_file_comes_before_a_short_name(folder, capsys):
    (folder / 'relu').write_text((folder / 'net.json').read_text())
    assert main(['explain', 'relu', 'x.npy']) == 0
    assert capsys.readouterr().out == f'{NET.explain(X)}\n'


@pytest.mark.parametrize('name, said', [
    ('rellu', "expected a file of a network as JSON, or an activation such as relu .* there is no such file. Did you "
              "mean 'relu'"),
    ('net2.json', 'got net2.json: there is no such file'),
    ('relu,dept=1', "with 'dept=1'. Did you mean 'depth'"), ('relu,depth=x', "with 'depth=x'"),
    ('relu,depth', "with 'depth'"), ('relu,', "with ''"), ('relu,depth=-1', 'depth .*>= 0'),
    ('relu,W_std=nan', 'W_std')])
def test_other_names_of_networks_are_refused(name, said, folder, capsys):
    assert main(['plot', 'angle', name]) == 1
    out, err = capsys.readouterr()
    assert out == '' and re.search(said, err) and err.count('\n') == 1


def test_phases_take_the_name_of_a_nonlinearity(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr(plot, 'phase_diagram', lambda layer, ax: drawn.append(layer))
    assert main(['plot', 'phases', 'tanh']) == main(['plot', 'phases', 'tanh.json']) == 0
    assert drawn == [stax.Tanh(), stax.Tanh()]


def test_another_kind_of_file(folder, capsys):
    assert main(['plot', 'angle', 'net.json', '--figure', 'angle.svg']) == 0
    assert '<svg' in (folder / 'angle.svg').read_text() and capsys.readouterr().out == 'Figure: angle.svg\n'
