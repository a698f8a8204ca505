"""Scripts and notebooks as source: one text, its syntax tree, and where each line of it stands."""
import ast
import io
import json
import re
import tokenize
import warnings
from pathlib import Path
from typing import NamedTuple

__all__ = ['Script', 'load']

MAGIC = re.compile(r'^(\s*)[%!?]|\?\s*$')           # a line for IPython, not for Python
TIMED = re.compile(r'^\s*%(?:time|timeit)\s+(?=\S)')


class Script(NamedTuple):
    """A script that was read.

    Attributes
    ----------
    name : of the file.
    lines : of its source; those of a notebook are the lines of all its code cells.
    tree : the syntax tree of these lines.
    places : for each line where it stands: 'line 3', or 'cell 2, line 3'.
    """

    name: str
    lines: list[str]
    tree: ast.Module
    places: list[str]


def load(path: str) -> Script:
    """Read a Python script, or the code cells of a notebook (.ipynb); nothing is executed.

    Raises
    ------
    OSError : the file cannot be read.
    ValueError : it is no text, no notebook for Python, or no Python 3.
    """
    with open(path, 'rb') as file:
        content = file.read()
    cells = _cells(content, path) if path.endswith('.ipynb') else [_decoded(content, path)]
    lines: list[str] = []
    places: list[str] = []
    for number, cell in enumerate(cells, 1):
        where = f'cell {number}, line' if path.endswith('.ipynb') else 'line'
        own = [_without_magic(line) for line in cell.splitlines()] if len(where) > 4 else cell.splitlines()
        lines += own
        places += [f'{where} {i}' for i in range(1, len(own) + 1)]
    return Script(Path(path).name, lines, _parsed(lines, places, path), places)


def _decoded(content, path):
    """Return the text of a script, by the encoding that its first lines name, or UTF-8."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as e:
        raise ValueError(f'expected a Python script, got a file that is no text in its encoding: {path} ({e})') from e


def _cells(content, path):
    """Return the sources of the code cells; those for another language than Python (%%bash) are empty."""
    try:
        notebook = json.loads(content)
        language = notebook.get('metadata', {}).get('kernelspec', {}).get('language', 'python')
        sources = [cell['source'] for cell in notebook['cells'] if cell['cell_type'] == 'code']
        texts = [source if isinstance(source, str) else ''.join(source) for source in sources]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ValueError(f'expected a notebook of version 4, with cells, got something else in {path}') from e
    if language != 'python':
        raise ValueError(f'expected a notebook for Python, got one for {language}: {path}')
    return ['' if text.lstrip().startswith('%%') else text for text in texts]


def _without_magic(line):
    """
    >>> _without_magic('  !pip install neural-tangents'), _without_magic('%time f(x)'), _without_magic('x = 3 % 2')
    ('  pass', 'f(x)', 'x = 3 % 2')
    """
    line = TIMED.sub('', line)
    found = MAGIC.search(line)
    return f'{found[1] or ""}pass' if found else line


def _parsed(lines, places, path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')             # of escapes in strings, which are the script's affair
            return ast.parse('\n'.join(lines) + '\n')
    except SyntaxError as e:
        place = places[min(e.lineno or 1, len(places)) - 1] if places else 'line 1'
        raise ValueError(f'expected a script for Python 3, got {place} of {path}, which is none: {e.msg}. Print with '
                         f'parentheses, and whatever else Python 2 had, come first') from e
    except (ValueError, RecursionError, MemoryError) as e:
        raise ValueError(f'expected a script for Python 3, got something else in {path}: {e}') from e
