"""Which names of other modules a script uses, by their full names, wherever they stand and whatever it calls them."""
import ast
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ['Import', 'Use', 'imports_and_uses']

METHODS = {'astuple', 'block_until_ready', 'is_reversed'}
"""Attributes of objects, which hardly any other library has."""
UPDATES = {'set', 'add', 'multiply', 'divide', 'power', 'min', 'max', 'get', 'apply'}
"""Methods of x.at[i]."""
BIASES = {'b', 'bias'}
PARTIAL = 'functools.partial'
Scope = dict[str, str | None]


class Import(NamedTuple):
    """One name that an import statement brings."""
    node: ast.Import | ast.ImportFrom
    name: str                           # in full: 'jax.numpy'
    local: str | None                   # what the script calls it; None for a star


class Use(NamedTuple):
    """One use of a name that was imported, or of an attribute that only JAX has, such as `.at[i].set`.

    Attributes
    ----------
    name : in full, 'jax.random.split'; '.at.set', '.block_until_ready' for attributes, 'diagonal_batch=' for keywords,
        'b is None' for that question.
    node : the expression, with its call.
    root : the name in full that the script calls by a name of its own: 'jax.random' in random.split.
    given : arguments by position, None if nothing is called; of attributes the object comes first.
    keywords : arguments by name.
    decorates : whether it stands as a decorator.
    """

    name: str
    node: ast.expr | ast.keyword
    root: str = ''
    given: tuple[ast.expr, ...] | None = None
    keywords: dict[str, ast.expr] = {}
    decorates: bool = False


def imports_and_uses(tree: ast.Module) -> Iterator[Import | Use]:
    """Find them all; the order is that of scopes, not of lines."""
    visitor = _Visitor()
    visitor.visit(tree)
    while visitor.later:
        visitor.scopes, body = visitor.later.pop(0)
        for node in body:
            visitor.visit(node)
    yield from visitor.found


class _Visitor(ast.NodeVisitor):
    """Bodies of functions wait until the scope around them is known, as when they are called."""

    def __init__(self):
        self.scopes: list[Scope] = [{}]
        self.found: list[Import | Use] = []
        self.later: list[tuple[list[Scope], list[ast.AST]]] = []

    # ------------------------------------------------------------------ what names mean

    def bind(self, local, name):
        self.scopes[-1][local] = name

    def meaning(self, node):
        """(full name, that of its root) of a chain such as random.split, or (None, None)."""
        rest = []
        while isinstance(node, ast.Attribute):
            rest.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            root = next((scope[node.id] for scope in reversed(self.scopes) if node.id in scope), None)
            if root:
                return '.'.join([root, *rest]), root
        return None, None

    def visit_Import(self, node):
        for alias in node.names:
            self.found.append(Import(node, alias.name, alias.asname or alias.name))
            top = alias.name.partition('.')[0]
            self.bind(alias.asname or top, alias.name if alias.asname else top)

    def visit_ImportFrom(self, node):
        if node.level:
            return
        for alias in node.names:
            if alias.name == '*':
                self.found.append(Import(node, node.module, None))
            else:
                name = f'{node.module}.{alias.name}'
                self.found.append(Import(node, name, alias.asname or alias.name))
                self.bind(alias.asname or alias.name, name)

    def visit_Assign(self, node):
        """A name for a name, as in `split = random.split`, means the same."""
        self.visit(node.value)
        name, _ = self.meaning(node.value)
        for target in node.targets:
            self.visit(target)
            if isinstance(target, ast.Name):
                self.bind(target.id, name)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            self.use(node)
        else:
            self.bind(node.id, None)

    # ------------------------------------------------------------------ scopes

    def visit_FunctionDef(self, node):
        for decorator in node.decorator_list:
            self.decorator(decorator)
        self.bind(node.name, None)
        self.function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self.function(node.args, [node.body])

    def function(self, arguments, body):
        for default in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
            self.visit(default)
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        own: Scope = {argument.arg: None for argument in every if argument}
        self.later.append(([*self.scopes, own], body))

    def visit_ClassDef(self, node):
        for decorator in node.decorator_list:
            self.decorator(decorator)
        self.bind(node.name, None)
        self.later.append(([*self.scopes, {}], [*node.bases, *node.body]))

    def visit_comprehension(self, node):
        self.visit(node.iter)
        for condition in node.ifs:
            self.visit(condition)

    # ------------------------------------------------------------------ uses

    def decorator(self, node):
        before = len(self.found)
        self.visit(node)
        if len(self.found) > before and isinstance(self.found[before], Use):
            self.found[before] = self.found[before]._replace(decorates=True, node=node)

    def use(self, node, call=None, whole=None):
        """Note a name that was imported; of a call also its arguments."""
        name, root = self.meaning(node)
        if not name:
            return False
        given = None if call is None else tuple(call.args)
        self.found.append(Use(name, whole or call or node, root, given, _keywords(call)))
        return True

    def visit_Attribute(self, node):
        if self.use(node):
            return
        if node.attr in METHODS:
            self.found.append(Use(f'.{node.attr}', node, given=(node.value,)))
        self.visit(node.value)

    def visit_Call(self, node):
        name, _ = self.meaning(node.func)
        if name == PARTIAL and node.args:
            rest = ast.Call(node.func, node.args[1:], node.keywords)
            if self.use(node.args[0], rest, node):
                return self.arguments(rest)
        if not self.use(node.func, node):
            self.method(node)
        self.arguments(node)

    def arguments(self, call):
        for value in call.args:
            self.visit(value)
        for keyword in call.keywords:
            if keyword.arg:
                self.found.append(Use(f'{keyword.arg}=', keyword))
            self.visit(keyword.value)

    def method(self, call):
        """x.at[i].set(v), a.block_until_ready(); all others are looked at as expressions."""
        f = call.func
        at = f.value if isinstance(f, ast.Attribute) and f.attr in UPDATES else None
        if isinstance(at, ast.Subscript) and isinstance(at.value, ast.Attribute) and at.value.attr == 'at':
            given = (at.value.value, at.slice, *call.args)
            self.found.append(Use(f'.at.{f.attr}', call, given=given))
            self.visit(at.value.value)
            self.visit(at.slice)
        elif isinstance(f, ast.Attribute) and f.attr in METHODS:
            self.found.append(Use(f'.{f.attr}', call, given=(f.value, *call.args)))
            self.visit(f.value)
        else:
            self.visit(f)

    def visit_Compare(self, node):
        is_none = isinstance(node.ops[0], (ast.Is, ast.IsNot)) and ast.unparse(node.comparators[0]) == 'None'
        if is_none and isinstance(node.left, ast.Name) and node.left.id in BIASES:
            self.found.append(Use('b is None', node, given=(node.left,)))
        self.generic_visit(node)


def _keywords(call):
    return {k.arg: k.value for k in call.keywords if k.arg} if call else {}
