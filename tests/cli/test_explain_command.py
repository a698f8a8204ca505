"""`ntref explain` and `ntref plot`: the text and the pictures of the functions of Python."""
import json

import numpy
import pytest
from matplotlib import pyplot

from ntref import plot, stax
from ntref.cli import main
from ntref.cli.plot import OF_INPUTS, OF_NETWORKS

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
    """But those that want a predictor."""
    names = {name for name, _ in (OF_NETWORKS | OF_INPUTS).values()}
    assert names == set(plot.__all__) - {'posterior', 'training', 'training_movie'}


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


def test_another_kind_of_file(folder, capsys):
    assert main(['plot', 'angle', 'net.json', '--figure', 'angle.svg']) == 0
    assert '<svg' in (folder / 'angle.svg').read_text() and capsys.readouterr().out == 'Figure: angle.svg\n'
