"""Reruns the studies and rewrites validation/RESULTS.md, section by section, with their figures.

    python validation/run.py [NAME ...] [--quick] [--list]

A section is written as soon as it is known, and sections that are not named stay as they are; the studies take twenty
minutes on two cores. --quick: smaller sizes, printed and not written. `conformance` takes five minutes more, and the
environment variable NT_PYTHON: an interpreter that has Neural Tangents.

Without names all of them, and then the scripts beside this one that write pages and pictures of docs/: accuracy,
pictures, performance. These take an hour and more.
"""
import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
PAGE, FIGURES = HERE / 'RESULTS.md', HERE / 'figures'
PACKAGES = 'numpy', 'scipy', 'autograd', 'scikit-learn'

HEAD = """# Results

Written by `python validation/run.py`, a section by `python validation/run.py NAME`; seeds are fixed. Each study
says what it can and what it cannot show.

| study | expected | measured |
| --- | --- | --- |
"""


def study(name):
    """A part from a module in studies/: (figure, quick) -> Section."""
    def part(figure, quick=False):
        module = import_module(f'studies.{name}')
        return module.run(figure, **module.QUICK if quick else {})
    return part


PARTS = {name: study(name) for name in (
    'ensembles', 'monte_carlo', 'tangent_kernel', 'phases', 'by_architecture', 'small_data', 'inducing_points',
    'estimators', 'mnist')}
PARTS['conformance'] = lambda figure, quick=False: import_module('conformance').part(quick)
PARTS['peers'] = lambda figure, quick=False: import_module('peers').part(quick)
SCRIPTS = 'accuracy', 'pictures', 'performance'


def run_script(name):
    """One that writes pages or pictures of docs/ by itself."""
    nt = os.environ.get('NT_PYTHON')
    subprocess.run([sys.executable, HERE / f'{name}.py', *(['--nt', nt] if nt and name == 'performance' else [])],
                   check=True)


# ------------------------------------------------------------------ the page

def section_text(name, section, has_figure):
    """Markdown between two comments, by which the next run finds it; the row of the first table is in the first."""
    figure = f'\n![{section.title}](figures/{name}.png)\n' if has_figure else ''
    row = f'| [{section.title}](#{anchor(section.title)}) | {section.expected} | {section.measured} |'
    return (f'<!-- {name}\n{row}\n-->\n\n## {section.title}\n{figure}\n{section.text.strip()}\n\n'
            f'`python validation/run.py {name}`; {versions()}.\n')


def anchor(title):
    return re.sub(r'[^\w -]', '', title).strip().lower().replace(' ', '-')


def versions():
    return ', '.join([f'Python {platform.python_version()}', *(f'{name} {version(name)}' for name in PACKAGES)])


def sections_of(text):
    """{name: section} of a page that was written here."""
    starts = list(re.finditer(r'^<!-- (\w+)\n', text, re.M))
    ends = [m.start() for m in starts[1:]] + [len(text)]
    return {m[1]: text[m.start():end].strip() + '\n' for m, end in zip(starts, ends)}


def page_of(sections):
    """The page, parts in the order of the table, others after them."""
    order = [*(name for name in PARTS if name in sections), *(name for name in sections if name not in PARTS)]
    rows = [sections[name].splitlines()[1] for name in order]
    return HEAD + '\n'.join(rows) + '\n\n' + '\n'.join(sections[name] for name in order)


def rewrite(name, section, page=PAGE, has_figure=True):
    """Put this section on the page; others stay as they are."""
    sections = sections_of(page.read_text()) if page.exists() else {}
    page.write_text(page_of(sections | {name: section_text(name, section, has_figure)}))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help=', '.join([*PARTS, *SCRIPTS]))
    parser.add_argument('--quick', action='store_true', help='smaller sizes; print, do not write')
    parser.add_argument('--list', action='store_true', help='print the names')
    args = parser.parse_args(argv)
    known = [*PARTS] if args.quick else [*PARTS, *SCRIPTS]
    if unknown := [name for name in args.names if name not in known]:
        parser.error(f'expected names among {", ".join(known)}, got {", ".join(unknown)}.')
    if args.list:
        print('\n'.join(known))
        return 0
    FIGURES.mkdir(exist_ok=True)
    status = 0
    for name in args.names or known:
        start = time.perf_counter()
        if name in SCRIPTS:
            run_script(name)
            print(f'{name}, {time.perf_counter() - start:.0f} s', flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            figure = Path(folder) / f'{name}.png'
            try:
                section = PARTS[name](figure, args.quick)
            except ImportError as e:
                print(f'{name}: {e}', file=sys.stderr)
                status = 1
                continue
            has_figure = figure.exists()
            if not args.quick:
                if has_figure:
                    (FIGURES / figure.name).write_bytes(figure.read_bytes())
                rewrite(name, section, has_figure=has_figure)
        print(f'{name}, {time.perf_counter() - start:.0f} s: {section.measured}', flush=True)
    return status


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('interrupted: the sections that were done are written')
