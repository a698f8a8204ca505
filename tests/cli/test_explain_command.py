"""`ntref explain` and `ntref plot`: the text and the pictures of the functions of Python."""
import json

import numpy
import pytest
from matplotlib import pyplot

from ntref import plot, predict, stax
from ntref.cli import main
from ntref.cli.plot import OF_INPUTS, OF_NETWORKS, OF_TRAINING

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
    """But the movie."""
    names = {name for name, _ in (OF_NETWORKS | OF_INPUTS | OF_TRAINING).values()}
    assert names == set(plot.__all__) - {'training_movie'}


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
    function = getattr(plot, picture)
    monkeypatch.setattr(plot, picture, lambda *given, ax, **more: lines.append((given, more)) or
                        function(*given, ax=ax, **more))
    assert main(['plot', picture, 'net.json', 'train.csv', '--diag-reg', '1e-3', *options]) == 0
    assert capsys.readouterr().out == f'Figure: ntref-{picture}.png\n'
    (predictor, *given), more = lines[0]
    get = 'nngp' if '--get' in options else 'ntk'
    assert more == {'get': get}
    expected = predict.gradient_descent_mse_ensemble(NET, X, y, diag_reg=1e-3)
    assert numpy.array_equal(predictor(3., x_test, get), expected(3., x_test, get))
    if picture == 'posterior':
        x, time = given
        assert time == t
        grid = numpy.linspace(1.5 * X.min() - .5 * X.max(), 1.5 * X.max() - .5 * X.min(), 201)
        assert abs(x - (x_test if test else grid[:, None])).max() < 1e-14
    else:
        times, x = given
        assert times[-1] == pytest.approx(t or 1e4) and times[0] == pytest.approx(1e-4 * times[-1])
        assert numpy.array_equal(x, x_test) if test else x is None


def test_predictions_of_several_features_need_inputs(folder, capsys):
    numpy.savetxt('train.csv', numpy.column_stack([X, X ** 2, X]), delimiter=',')
    assert main(['plot', 'posterior', 'net.json', 'train.csv']) == 1
    assert 'expected --test X with training inputs of other than one feature' in capsys.readouterr().err


def test_another_kind_of_file(folder, capsys):
    assert main(['plot', 'angle', 'net.json', '--figure', 'angle.svg']) == 0
    assert '<svg' in (folder / 'angle.svg').read_text() and capsys.readouterr().out == 'Figure: angle.svg\n'
