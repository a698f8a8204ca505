"""The reference: entries of public names, each with its formula at the head, made of their docstrings.

    ```{names} ntref.stax
    Dense
    Conv
    ```

in a page makes an entry for each name. With `:members:` entries of classes list their methods, or those that are
named behind it.
"""
import ast
import importlib
import inspect
from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from api_docstrings import Docstring, aligned
from api_formulas import MODULES, head
from numpydoc.docscrape import NumpyDocString
from site_pages import names_of_sources, with_years_linked
from sphinx.util.docutils import SphinxDirective

CITED = ':cite:year:`{}`'


class Names(SphinxDirective):
    """Entries of names of a module."""

    required_arguments = 1
    has_content = True
    option_spec = {'members': directives.unchanged}

    def run(self):
        module = self.arguments[0]
        lines = []
        for name in self.content:
            thing = getattr(importlib.import_module(module), name)
            lines += entry(module, name, thing, self.options.get('members'))
        block = ['```{eval-rst}', *lines, '```']
        found = nodes.container()
        self.state.nested_parse(StringList(block, self.get_source_info()[0]), self.content_offset, found)
        return found.children


def entry(module, name, thing, members):
    """Return the directive that describes a thing: autodoc's, or for data and types what is said of them below.

    `members` are the methods of a class that are described too: None for none, '' for all.
    """
    if not (getattr(thing, '__module__', None) or '').startswith('ntref') or not callable(thing):
        described = Docstring(comment(module, name).split('\n'), {}, str, '').lines
        return [f'.. py:data:: {module}.{name}', '', *['   ' + line for line in described], '']
    if not inspect.isclass(thing):
        return [f'.. autofunction:: {module}.{name}', '']
    kind = 'autoexception' if issubclass(thing, BaseException) else 'autoclass'
    options = [] if members is None or kind != 'autoclass' else [f'   :members: {members}', '   :inherited-members:']
    return [f'.. {kind}:: {module}.{name}', *options, '']


@cache
def public_names():
    """Return {module: {name: name with its module}} of what modules offer."""
    found = {}
    for module in MODULES:
        offered = importlib.import_module(module)
        found[module] = {name: f'{module}.{name}' for name in offered.__all__
                         if not inspect.ismodule(getattr(offered, name))}
    return found


def comment(module, name):
    """Return what stands below or behind the assignment to a name, in the module or in one of its folder."""
    home = Path(importlib.import_module(module).__file__)
    for path in sorted(home.parent.glob('*.py')) if home.name == '__init__.py' else [home]:
        text = path.read_text()
        body = ast.parse(text).body
        for node, below in zip(body, [*body[1:], None]):
            targets = getattr(node, 'targets', [getattr(node, 'target', None)])
            if name in [getattr(target, 'id', None) for target in targets]:
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                    return inspect.cleandoc(below.value.value)
                return text.splitlines()[node.lineno - 1].partition('  # ')[2] or f'`{ast.unparse(node.value)}`'
    return inspect.getdoc(getattr(importlib.import_module(module), name))


class Reader:
    """What autodoc calls for each docstring; numpydoc lays out the lists, between `before` and `after`."""

    def __init__(self):
        self.ends = {}

    def before(self, app, what, name, thing, options, lines):
        module, _, short = name.rpartition('.')
        module = module if module in MODULES else module.rpartition('.')[0]
        sources = names_of_sources(Path(app.confdir, 'references.bib').read_text())
        up = '../' * (app.env.docname.count('/') - 1)
        others = {key: value for key, value in public_names().get(module, {}).items() if key != short}
        docstring = Docstring(list(lines), others, lambda text: with_years_linked(text, sources, CITED), up)
        lines[:] = docstring.lines
        self.ends[name] = docstring.end

    def after(self, app, what, name, thing, options, lines):
        module, _, short = name.rpartition('.')
        formula = head(module, short, thing) if module in MODULES else ''
        if formula:
            lines[:0] = ['.. math::', '', f'   {aligned(formula)}', '']
        lines += self.ends.pop(name, [])


def skipped(app, what, name, thing, skip, options):
    """Leave out what is no method or property of ntref with a docstring of its own."""
    function = getattr(thing, 'fget', thing)
    is_ours = not name.startswith('_') and (getattr(function, '__module__', None) or '').startswith('ntref')
    return not (is_ours and callable(function) and inspect.getdoc(thing))


def setup(app):
    app.setup_extension('sphinx.ext.autodoc')
    NumpyDocString.sections |= dict.fromkeys(['Accuracy', 'Source', 'Accuracy, Source'], '')     # Docstring has them
    app.add_directive('names', Names)
    reader = Reader()
    app.connect('autodoc-process-docstring', reader.before, priority=100)
    app.connect('autodoc-process-docstring', reader.after, priority=900)
    app.connect('autodoc-skip-member', skipped)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
