"""The gallery: each script has a title and a text, names only what exists, runs, and shows what it says."""
import ast
import importlib
import re
import runpy

import pytest
from gallery_order import ORDER, Wanted
from places import ROOT

GALLERY = ROOT / 'docs' / 'gallery'
SCRIPTS = sorted(GALLERY.rglob('plot_*.py'))
LINES = 60
PUBLIC = 'classic', 'empirical', 'estimators', 'oracle', 'plot', 'predict', 'stax'

LONG = {f'{folder}/{name}' for folder, names in {
    'architectures': 'masked_text myrtle patches sequences',
    'bayes': 'calibration variance',
    'estimators': 'grid_search',
    'finite': 'kernel_moves monte_carlo',
    'kernels': 'depth elementwise_numerical phase_diagram trainability',
    'large': 'out_of_core',
    'training': 'cookbook function_space inducing_points learning_curves learning_rate losses movie optimizer '
                'sample_then_optimize weight_space',
}.items() for name in names.split()}
"""Scripts that take more than a second."""


def named(path):
    return f'{path.parent.name}/{path.stem.removeprefix("plot_")}'


def of_each(test):
    return pytest.mark.parametrize('path', SCRIPTS, ids=named)(test)


# ------------------------------------------------------------------ what is there

def test_there_are_many_in_sections_with_headers():
    assert len(SCRIPTS) >= 25
    for folder in {GALLERY, *(path.parent for path in SCRIPTS)}:
        title, line, *text = (folder / 'GALLERY_HEADER.rst').read_text().splitlines()
        assert set(line) in ({'='}, {'-'}) and len(line) >= len(title) and any(text), folder
    assert len({path.stem for path in SCRIPTS}) == len(SCRIPTS), 'pages are known by the name of the script'


def test_each_has_its_place_in_the_order():
    assert sorted(ORDER) == sorted(path.stem.removeprefix('plot_') for path in SCRIPTS)
    assert sorted(['plot_width.py', 'plot_depth.py', 'plot_heatmap.py'], key=Wanted('')) == [
        'plot_heatmap.py', 'plot_depth.py', 'plot_width.py']


def test_long_ones_exist():
    assert LONG <= {named(path) for path in SCRIPTS}


def code(path):
    """Lines of code: none that are blank, comments, or inside a text of several lines."""
    text = path.read_text()
    inside = {line for node in ast.walk(ast.parse(text)) if isinstance(getattr(node, 'value', None), str)
              for line in range(node.lineno + 1, node.end_lineno + 1)}
    lines = enumerate(text.splitlines(), 1)
    return [line for n, line in lines if line.strip() and not line.startswith('#') and n not in inside]


@of_each
def test_it_is_short_and_says_what_it_is(path):
    title, line, *text = ast.get_docstring(ast.parse(path.read_text())).splitlines()
    assert line == '=' * len(title)
    assert len(re.findall(r'[.?:](?:\s|$)', '\n'.join(text))) >= 2, 'two sentences at least'
    assert 10 < len(code(path)) <= LINES


def test_code_lines(tmp_path):
    path = tmp_path / 'plot_x.py'
    path.write_text('"""A\ntitle.\n"""\n# %%\n# text\nx = """a\nb\nc"""\n\ny = 1\n')
    assert code(path) == ['"""A', 'x = """a', 'y = 1']


@of_each
def test_figures_are_shown_in_the_block_that_begins_them(path):
    """The site takes its pictures at the end of each block."""
    begun = [block for block in path.read_text().split('# %%') if 'plt.subplots(' in block]
    assert all('plt.show()' in block or '.save(' in block for block in begun)


def uses(tree):
    """(module of ntref, name) for what is imported from it, and for attributes of its modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition('.')[0] == 'ntref':
            yield from ((node.module, a.name) for a in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in PUBLIC:
            yield f'ntref.{node.value.id}', node.attr


def test_the_reader_of_names_sees_them():
    text = 'from ntref.trees import tree_map\nfrom ntref import stax\nf(stax.Dense(1))\nx.stax\nimport numpy'
    assert list(uses(ast.parse(text))) == [('ntref.trees', 'tree_map'), ('ntref', 'stax'), ('ntref.stax', 'Dense')]


@of_each
def test_names_are_public(path):
    found = set(uses(ast.parse(path.read_text())))
    assert found
    for module, name in found:
        assert name in [*importlib.import_module(module).__all__, *PUBLIC], f'{module}.{name}'


# ------------------------------------------------------------------ what it does

@pytest.mark.parametrize('path', [
    pytest.param(path, id=named(path), marks=[pytest.mark.slow] * (named(path) in LONG)) for path in SCRIPTS])
def test_it_runs_and_shows_what_it_says(path, monkeypatch, capsys, pyplot):
    shown = []
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(pyplot, 'show', lambda: shown.extend(pyplot.get_fignums()))
    before = sorted(path.parent.iterdir())
    runpy.run_path(path.name, run_name='__main__')
    assert set(shown) == set(pyplot.get_fignums()) != set(), 'a picture is drawn and never shown'
    assert re.search(r'\d', capsys.readouterr().out), 'says a number'
    assert [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)], 'and holds it'
    assert sorted(path.parent.iterdir()) == before, 'leaves files behind'
    for figure in map(pyplot.figure, shown):
        check_legible(figure)


def check_legible(figure):
    """An axis with numbers says what they are; so may another axes that shares it."""
    figure.canvas.draw()
    for ax in figure.axes:
        for axis, siblings in ((ax.xaxis, ax.get_shared_x_axes()), (ax.yaxis, ax.get_shared_y_axes())):
            ticks = [label.get_text() for label in axis.get_ticklabels()]
            labels = [getattr(other, f'{axis.axis_name}axis').get_label_text() for other in siblings.get_siblings(ax)]
            assert any(labels) or not any(re.match(r'[-−$]?\d', tick) for tick in ticks), f'{ticks} of what?'


@pytest.mark.parametrize('says', [True, False])
def test_the_reader_of_pictures_sees_labels(says, pyplot):
    figure, (left, right) = pyplot.subplots(1, 2, sharey=True)
    left.set(xlabel='x', ylabel='y')
    right.set(xlabel='x' * says)
    if says:
        check_legible(figure)
    else:
        with pytest.raises(AssertionError, match='of what'):
            check_legible(figure)


# ------------------------------------------------------------------ what the site shows

def test_a_movie_is_shown_once(pyplot, tmp_path, monkeypatch):
    """The figure of a later block has the number that the movie's had."""
    pytest.importorskip('sphinx_gallery', reason='the site needs the extra docs')
    import movies
    from matplotlib.animation import FuncAnimation
    monkeypatch.setattr(movies, 'matplotlib_scraper', lambda *given, **named: ' '.join(map(str, pyplot.get_fignums())))
    figure, ax = pyplot.subplots()
    line, = ax.plot([0, 1])
    names = {'movie': FuncAnimation(figure, lambda i: line.set_ydata([0, i]), 2)}
    paths = (str(tmp_path / f'{i}.png') for i in range(9))

    def shown():
        given = {'example_globals': names, 'image_path_iterator': paths}
        return movies.scraped(None, given, {'src_dir': str(tmp_path)})
    assert '0.gif' in shown() and (tmp_path / '0.gif').read_bytes()[:3] == b'GIF'
    pyplot.subplots()
    assert shown() == '1' and len(list(tmp_path.iterdir())) == 1
