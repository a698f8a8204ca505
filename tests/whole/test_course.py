"""The course, docs/learn: the cells of each page run in order, without a warning; what pages are made of."""
import re
import warnings

import pytest
from places import ROOT

FOLDER = ROOT / 'docs' / 'learn'
COURSE = sorted(FOLDER.glob('[0-9]*.md'))
LONG = '34567'                             # pages that take some seconds each
COLUMN = 76                                # characters of the site at 1280 pixels
CELL = re.compile(r'^(`{3,})\{code-cell\}[^\n]*\n(.*?)^\1\s*$', re.M | re.S)
OPTIONS = re.compile(r'\A(---\n.*?^---\n|(?::[^\n]*\n)+)', re.M | re.S)


def cells(text):
    """(number of the line above its first one, options, code) of each cell of a page."""
    for cell in CELL.finditer(text):
        options = OPTIONS.match(cell[2])
        head = options[0] if options else ''
        yield text[:cell.start(2)].count('\n') + head.count('\n'), head, cell[2][len(head):]


def run(path):
    """Run the cells of a page in one namespace, yielding after each; one with the tag raises-exception has to raise."""
    names = {'__name__': '__main__'}
    for line, head, code in cells(path.read_text()):
        compiled = compile('\n' * line + code, str(path), 'exec')
        if 'raises-exception' in head:
            with pytest.raises(Exception):
                exec(compiled, names)
        else:
            exec(compiled, names)
        yield


@pytest.mark.parametrize('path', [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem[0] in LONG)) for path in COURSE])
def test_cells_run(path, pyplot, monkeypatch):
    """A notebook shows and closes the figures of each cell."""
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(pyplot, 'show', lambda: None)
    shown = 0
    with warnings.catch_warnings(), pyplot.rc_context():
        warnings.simplefilter('error')
        for _ in run(path):
            shown += len(pyplot.get_fignums())
            pyplot.close('all')
    assert shown >= 3


@pytest.mark.parametrize('path', COURSE, ids=lambda path: path.stem)
def test_a_page_has_a_question_exercises_with_solutions_and_something_to_read(path):
    text = path.read_text()
    beginning = text.partition('\n## ')[0]
    exercises, _, reading = text.partition('\n## Exercises\n')[2].partition('\n## To read\n')
    tasks = re.split(r'^\*\*\d\.\*\*', exercises, flags=re.M)[1:]
    assert re.search(r'^\*\*.*\?\*\*$', beginning, re.M)
    assert 3 <= len(tasks) <= 5
    assert all(':::{dropdown} Solution\n' in task for task in tasks)
    assert '{cite:t}`' in reading and '](../' in reading


@pytest.mark.parametrize('path', COURSE, ids=lambda path: path.stem)
def test_code_that_is_shown_fits_into_the_column(path):
    shown = [code for _, head, code in cells(path.read_text()) if not re.search('hide|remove', head)]
    assert [line for code in shown for line in code.splitlines() if len(line) > COLUMN] == []


@pytest.mark.parametrize('path', COURSE, ids=lambda path: path.stem)
def test_its_sources_are_listed(path):
    cited = {key for keys in re.findall(r'\{cite:\w+\}`([^`]*)`', path.read_text()) for key in re.split(r',\s*', keys)}
    listed = set(re.findall(r'^@\w+\{([^,]*),', (ROOT / 'docs' / 'references.bib').read_text(), re.M))
    assert cited and cited <= listed


def test_the_reader_of_cells_sees_them():
    text = ('---\nfile_format: mystnb\n---\n# A\n```{code-cell} python\n:tags: [hide-input]\n:other: 1\nx = 1\n```\n'
            '```python\nraise ValueError\n```\n'
            '````{code-cell}\n---\ntags: [raises-exception]\n---\nx = """\n```\n"""\n````\n')
    assert [*cells(text)] == [(7, ':tags: [hide-input]\n:other: 1\n', 'x = 1\n'),
                              (16, '---\ntags: [raises-exception]\n---\n', 'x = """\n```\n"""\n')]


def test_all_pages_are_found():
    assert [path.name[0] for path in COURSE] == [str(i + 1) for i in range(len(COURSE))]
    assert len(COURSE) >= 4
    assert all(sum(1 for _ in cells(path.read_text())) > 10 for path in COURSE)


def test_the_index_links_all_pages():
    linked = re.findall(r'^\| \[\d[^]]*\]\(([^)]*)\)', (FOLDER / 'index.md').read_text(), re.M)
    assert linked == [path.name for path in COURSE]
