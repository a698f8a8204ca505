"""What the rules say of a script: line by line what to change, and what runs as it is."""
import ast
import importlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from .names import Import, Use, imports_and_uses
from .of_jax import RULES as OF_JAX
from .of_tangents import RULES as OF_TANGENTS
from .rules import CHANGE, LOOK, Rule
from .scripts import Script

__all__ = ['Finding', 'Reading', 'read']

TABLE: dict[str, list[Rule]] = {}
for _rule in (*OF_TANGENTS, *OF_JAX):
    TABLE.setdefault(_rule.name, []).append(_rule)

EARLIER = {'jax.api': 'jax', 'jax.experimental.optimizers': 'jax.example_libraries.optimizers',
           'jax.experimental.stax': 'jax.example_libraries.stax', 'jax.config.config': 'jax.config'}
"""Names that JAX has moved itself."""
MOVED = {'neural_tangents': 'ntref', 'jax.grad': 'autograd.grad', 'jax.value_and_grad': 'autograd.value_and_grad',
         'jax.hessian': 'autograd.hessian', 'jax.scipy.special': 'autograd.scipy.special',
         'jax.scipy.stats': 'autograd.scipy.stats', 'jax.scipy': 'scipy'}
"""Where the same names are now; jax.numpy is numpy, or autograd.numpy."""
FOREIGN = {name.partition('.')[0] for name in TABLE} - {'', 'examples'} | {'jax', 'neural_tangents'}
DIFFERENTIATED = re.compile(
    r'jax\.(grad|value_and_grad|jacobian|jacfwd|jacrev|hessian|jvp|vjp|linearize|scipy\.special|scipy\.stats)$|'
    r'neural_tangents\.(linearize|taylor_expand|empirical_\w+|predict\.gradient_descent|stax\.(Elementwise\w*|layer))$')
"""Names with which functions of the script are differentiated, which need autograd.numpy."""
START = 'docs/coming-from-neural-tangents.md#what-to-change'
SPARE = 'docs/coming-from-neural-tangents.md#jax-piece-by-piece'


class Finding(NamedTuple):
    """One thing in a script: where it is, what stands there, what to write ('' to delete it), and why."""
    line: int                   # of the source, from 1
    stands: str
    write: str
    why: str
    page: str
    needs: str = ''             # an import
    verdict: str = CHANGE


class Reading(NamedTuple):
    """All findings in the order of lines, and the names of Neural Tangents and JAX that run as they are."""
    findings: list[Finding]
    kept: list[str]


def read(script: Script) -> Reading:
    """Find what to change.

    Examples
    --------
    >>> import ast
    >>> lines = ['import jax.numpy as np', 'x = np.ones(3).block_until_ready()']
    >>> for finding in read(Script('a.py', lines, ast.parse('\\n'.join(lines)), ['line 1', 'line 2'])).findings:
    ...     print(finding.line, finding.stands, '->', finding.write)
    1 import jax.numpy as np -> import numpy as np
    2 np.ones(3).block_until_ready() -> np.ones(3)
    """
    found = [each._replace(name=_now(each.name)) for each in imports_and_uses(script.tree)]
    uses = [each for each in found if isinstance(each, Use)]
    imports = [each for each in found if isinstance(each, Import)]
    if not any(_is_foreign(each.name) for each in imports):
        return Reading([], [])
    homes = MOVED | {'jax.numpy': 'autograd.numpy' if any(DIFFERENTIATED.match(use.name) for use in uses) else 'numpy'}
    findings, kept = list(_of_imports(imports, homes)), []
    for use in uses:
        own = list(_of_use(use, homes))
        findings += own
        if not own and _home(use.name, homes):
            kept.append(_home(use.name, homes))
    unique = {(f.line, f.stands, f.write, f.why): f for f in findings}
    return Reading(sorted(unique.values(), key=lambda f: f.line), sorted(set(kept)))


def _now(name):
    """Return the name that JAX has for it now."""
    for earlier, now in EARLIER.items():
        if name == earlier or name.startswith(f'{earlier}.'):
            return now + name[len(earlier):]
    return name


def _is_foreign(name):
    top = name.partition('.')[0]
    return top in FOREIGN and not top.startswith('.')


def _home(name, homes):
    """Return the name in full of the same thing here, or None."""
    for old in sorted(homes, key=len, reverse=True):
        if name == old or name.startswith(f'{old}.'):
            return homes[old] + name[len(old):]
    return None


def _exists(name):
    """Whether a module of NumPy, SciPy, autograd or ntref has it."""
    parts, thing = name.split('.'), None
    for i in range(1, len(parts) + 1):
        try:
            thing = importlib.import_module('.'.join(parts[:i]))
        except ImportError:
            for part in parts[i - 1:]:
                thing = getattr(thing, part, None)
            return thing is not None
    return True


def _rules(use):
    """Rows about this name, and about arguments that the call has; those of `name.*` where there are no others."""
    rows = TABLE.get(use.name, [])
    if not rows:
        above = use.name
        while '.' in above and not rows:
            above = above.rpartition('.')[0]
            rows = TABLE.get(f'{above}.*', [])
    of_keywords = [row for row in rows if row.keyword in use.keywords]
    return of_keywords or [row for row in rows if not row.keyword]


# ------------------------------------------------------------------ imports

def _of_imports(imports, homes) -> Iterator[Finding]:
    for node in {each.node: None for each in imports}:
        own = [each for each in imports if each.node is node]
        if any(_is_foreign(each.name) or TABLE.get(f'{each.name.partition(".")[0]}.*') for each in own):
            lines: list[str] = []
            rows: list[Rule] = []
            for each in own:
                rows += _rules(Use(each.name, ast.Name(''))) or TABLE.get(f'{each.name}.*', [])
                lines.append(_import(each, homes))
            stop = next((row for row in rows if row.verdict not in (CHANGE, LOOK)), None)
            why = stop.why if stop else 'What takes the place of these names, where the script uses them, is below.'
            write = '; '.join(dict.fromkeys(filter(None, lines)))
            yield Finding(node.lineno, ast.unparse(node), write, why, stop.page if stop else START,
                          verdict=stop.verdict if stop else CHANGE)


def _import(each, homes):
    """Return the import that takes the place of one name, '' for none."""
    rows = _rules(Use(each.name, ast.Name('')))
    if rows:
        return rows[0].needs
    home = _home(each.name, homes)
    if not home:
        return ast.unparse(each.node) if not _is_foreign(each.name) else ''
    if each.local is None:
        return f'from {home} import *'
    if isinstance(each.node, ast.Import):
        return f'import {home} as {each.local}' if each.local != each.name else f'import {home}'
    parent, _, last = home.rpartition('.')
    if each.local == last and parent:
        return f'from {parent} import {last}'
    return f'import {home} as {each.local}' if home.endswith('numpy') or not parent else (
        f'from {parent} import {last} as {each.local}')


# ------------------------------------------------------------------ uses

def _of_use(use, homes) -> Iterator[Finding]:
    stands = f'@{ast.unparse(use.node)}' if use.decorates else ast.unparse(use.node)
    rows = _rules(use)
    for row in rows:
        write = '' if use.decorates and row.write == '{f}' else _filled(row, use)
        if write != stands or row.verdict != CHANGE:
            yield Finding(use.node.lineno, stands, write, row.why, row.page, row.needs, row.verdict)
    if rows or not _is_foreign(use.name) or use.name == use.root == use.name.partition('.')[0]:
        return
    home, root = _home(use.name, homes), _now(use.root)
    if not home or not _exists(home):
        yield Finding(use.node.lineno, stands, f'what {use.name.rpartition(".")[2]} does, with numpy',
                      f'There is no {home or use.name}.', SPARE)
    elif (_home(root, homes) or '') + use.name[len(root):] != home:        # another import alone does not do it
        parent = home.rpartition('.')[0]
        yield Finding(use.node.lineno, stands, stands.replace(_written(use.node), home, 1), 'The same.', START,
                      f'import {parent}')


def _written(node):
    """Return the name that is called, as it is written."""
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def _text(node):
    """Return an expression as text, also an index such as 0, 1: as it stands between brackets."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    if any(isinstance(part, ast.Slice) for part in parts):
        return ', '.join(map(ast.unparse, parts))
    return ast.unparse(node)


def _filled(row, use):
    """Return what to write, with the arguments of this call."""
    values, names = {}, [argument.partition('=')[::2] for argument in row.arguments.split()]
    given = [*map(_text, use.given or ())]
    for i, (name, default) in enumerate(names):
        named = use.keywords.get(name)
        values[name] = given[i] if i < len(given) else ast.unparse(named) if named else default or name
    keywords = {name: f'{name}={ast.unparse(value)}' for name, value in use.keywords.items()}
    others = [*given[len(names):], *(text for name, text in keywords.items() if name not in values)]
    if isinstance(use.node, ast.keyword):
        values |= {'keyword': use.node.arg, 'value': ast.unparse(use.node.value)}
    else:
        values |= {'keyword': row.keyword, 'name': _written(use.node)}
    return row.write.format(**values, all=', '.join([*given, *keywords.values()]), last=use.name.rpartition('.')[2],
                            others=''.join(f', {text}' for text in others))
