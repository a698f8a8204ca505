"""Pages as the site needs them: what the sidebar lists, sources that are linked, a first page that leads to the others.

The pages themselves are plain Markdown. What only a site needs is added here while Sphinx reads them.
"""
import re
import runpy
import shutil
from pathlib import Path

CONTENTS = {
    'docs/index': {'': ['Learn: learn/index', 'Check: check', 'Use: use', 'Gallery: examples/index',
                        'Reference: reference/index', 'About: about']},
    'docs/learn/index': {
        'The course': ['learn/[1-8]-*'],
        'To play with': ['play/index', 'playground'],
        'The theory': ['theory/dense', 'theory/duals', 'theory/conv', 'theory/attention', 'theory/graphs',
                       'theory/dynamics', 'theory/bayes', 'theory/empirical', 'theory/adjoint'],
        'Training seen two ways': ['weight-and-function-space', 'kernel-gradient-descent']},
    'docs/check': {
        'What a number is': ['conventions', 'accuracy', 'design'],
        'Compared': ['oracle', 'other-frameworks', '../validation/RESULTS', 'add-a-layer']},
    'docs/use': {
        'Data': ['estimators', 'bayes', 'command', 'masks', 'graphs', 'explain-and-plot'],
        'Networks': ['training', 'finite-networks', 'training-finite-networks'],
        'Large kernels': ['large-kernels', 'gpu', 'performance'],
        'Scripts for Neural Tangents': ['coming-from-neural-tangents']},
    'docs/reference/index': {
        'Networks': ['reference/network', 'reference/combining', 'reference/branches', 'reference/weights',
                     'reference/convolution', 'reference/attention', 'reference/graphs', 'reference/pooling',
                     'reference/positions', 'reference/normalization', 'reference/activations',
                     'reference/masked-inputs'],
        'Training': ['reference/gradient-descent', 'reference/gaussian-processes', 'reference/large',
                     'reference/errors'],
        'Finite networks': ['reference/empirical'],
        'Data, pictures, large kernels': ['reference/estimators', 'reference/plot', 'reference/engine'],
        'Numbers to compare with': ['reference/certified-numbers', 'reference/quadrature', 'reference/duals'],
        'More': ['reference/own-layers', 'reference/testing', 'reference/types', 'reference/classic']},
    'docs/about': {
        '': ['references', '../CHANGELOG', '../CONTRIBUTING', 'releasing', '../tests/README', '../tests/*/README']}}
"""{page: {caption: pages below it, from the folder docs, in order}}; a page that is not there is left out.

A name of its own in the sidebar stands before a page and a colon.
"""

ENDINGS = '.md', '.rst'

CODE = re.compile(r'(^(`{3,}|~{3,}|:{3,}).*?^\2\s*$|`+[^`]*`+|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\))', re.M | re.S)
"""What is not prose in a page: blocks and words of code, formulas, targets of links."""

SCRIPT = re.compile(r'(\]\([./]*)gallery/([\w/]+)\.py\)')
"""A link to a script of the gallery, which has a page of its own in the site."""


def entries(root, patterns):
    """Return the pages that are there, as a table of contents writes them, in the order of the patterns."""
    found = []
    for pattern in patterns:
        title, _, page = pattern.rpartition(': ')
        paths = sorted(path for ending in ENDINGS for path in root.joinpath('docs').glob(page + ending))
        names = ['/' + path.resolve().relative_to(root).with_suffix('').as_posix() for path in paths]
        found += [f'{title} <{name}>' if title else name for name in names]
    return found


def sidebar(root, page):
    """Return the tables of contents of a page, as MyST writes them."""
    text = ''
    for caption, patterns in CONTENTS.get(page, {}).items():
        options = [':hidden:', *[f':caption: {caption}'] * bool(caption)]
        text += '\n'.join(['', '', '```{toctree}', *options, '', *entries(root, patterns), '```', ''])
    return text


def names_of_sources(bibliography):
    """Return {'Surname year': key} of a file of BibTeX, the first where two are alike."""
    found = {}
    for key, surname, year in re.findall(
            r'@\w+\{(\w+),.*?author\s*=\s*\{+([^,}]+?)[,}].*?year\s*=\s*\{?(\d{4})', bibliography, re.S):
        plain = re.sub(r"\{?\\['\"`^~]\{?(\w)\}?\}?|[{}]", r'\1', surname)
        found.setdefault(f'{plain} {year}', key)
    return found


def with_years_linked(text, sources, role):
    """Return text in which the years of sources that it names, as in "Lee et al. 2018", are links to them."""
    surnames = '|'.join(sorted({re.escape(name.rpartition(' ')[0]) for name in sources}, key=len, reverse=True))
    if not surnames:
        return text
    named = re.compile(rf'\b({surnames})((?:,? et al\.|(?:, | and | & |, and )[A-Z][\w-]+)*),? (\(?)(\d{{4}})\b')

    def linked(match):
        key = sources.get(f'{match[1]} {match[4]}')
        return match[0][:-4] + role.format(key) if key else match[0]
    return named.sub(linked, text)


def in_prose(text, change):
    """Return text with `change` made to its prose alone: not to code, formulas and targets of links."""
    parts = CODE.split(text)
    kept = [part for i, part in enumerate(parts) if i % 3 != 2]                     # without the fences alone
    return ''.join(change(part) if i % 2 == 0 else part for i, part in enumerate(kept))


def download(page, text):
    """Return the link to a page as a notebook, if it is one: `finished` puts that beside it."""
    name = page.rpartition('/')[2] + '.ipynb'
    link = f'<p><a href="{name}" download>Download this page as a notebook</a>, with its outputs.</p>'
    return f'\n\n```{{raw}} html\n{link}\n```\n' if text.startswith('---\nfile_format: mystnb') else ''


def read(app, page, content):
    """Add to a page what only the site needs, while Sphinx reads it."""
    root = Path(app.srcdir)
    if root.joinpath(page).with_suffix('.md').exists():
        sources = names_of_sources(root.joinpath('docs', 'references.bib').read_text())
        text = in_prose(content[0], lambda prose: with_years_linked(prose, sources, '{{cite:year}}`{}`'))
        text = SCRIPT.sub(r'\1examples/\2.rst)', text)
        text = re.sub(r'\n+(?=\n```$)', '', text, flags=re.M)                # doctests end in an empty line
        content[0] = text + download(page, text) + sidebar(root, page)


def outdated(app, env, added, changed, removed):
    """Return the pages to be read again: those that list others, where some came or went."""
    return sorted(CONTENTS.keys() & env.found_docs) if added or removed else []


def styled(app, page, template, context, doctree):
    """Make cards of the list on the first page."""
    if page == app.config.root_doc:
        app.add_css_file('front.css')


def finished(app, exception):
    """Write index.html, which leads to the first page, and pages with sliders; put notebooks beside their pages."""
    if not exception and app.builder.format == 'html':
        for path in Path(app.outdir).parent.glob('jupyter_execute/docs/learn/*.ipynb'):
            shutil.copy(path, Path(app.outdir, 'docs', 'learn'))
        runpy.run_path(str(Path(app.srcdir, 'docs', 'play', 'make.py')))['build'](Path(app.outdir, 'docs', 'play'))
        Path(app.outdir, 'index.html').write_text(
            '<!DOCTYPE html>\n<meta charset="utf-8">\n<title>ntref</title>\n'
            '<meta http-equiv="refresh" content="0; url=docs/index.html">\n<a href="docs/index.html">ntref</a>\n')


def setup(app):
    app.connect('env-get-outdated', outdated)
    app.connect('source-read', read)
    app.connect('html-page-context', styled)
    app.connect('build-finished', finished)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
