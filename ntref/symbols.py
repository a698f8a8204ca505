"""Symbols in place of arrays: a formula that is run on them once is written out as C++, for a kernel on a GPU.

    x = Symbol('x')
    lines({'y': namespace(x).sqrt(x) + 1})       # ['T v0 = sqrt(x);', 'T v1 = v0 + T(1.0);', 'y = v1;']

Formulas decide on values by `where` alone. What they ask of all values at once, in order to save work, is answered so
that every case is computed: some values are positive (`any`), not all are (`all`), and `nonzero` finds some.
"""
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import pi
from typing import Any, Self

from .arrays import ALPHABET, Namespace, register

__all__ = ['Symbol', 'leaves', 'lines']

KIND = f'{__name__}.Symbol'
EPS = 2. ** -52                 # of double: loops over the terms of a series end where both precisions have them


def _operator(text: str, of_type: str = 'T') -> Any:
    """Return the operator of a Symbol {0} and a Symbol or number {1}."""
    def applied(a, b):
        return Symbol(text, a, b, of_type=of_type)
    return applied


class Symbol:
    """A number in the formula: its text in C++, with {} for each of its operands.

    Parameters
    ----------
    text : str
    operands : Symbols or Python numbers
    of_type : str                   'T' for numbers, 'bool' for what a comparison gives.
    """
    __array_ufunc__ = None          # NumPy's numbers leave operators to this class
    __hash__ = object.__hash__
    shape = ()

    def __init__(self, text: str, *operands: Any, of_type: str = 'T'):
        self.text = text
        self.operands = tuple(map(as_symbol, operands))
        self.of_type = of_type

    __add__ = _operator('{0} + {1}')
    __radd__ = _operator('{1} + {0}')
    __sub__ = _operator('{0} - {1}')
    __rsub__ = _operator('{1} - {0}')
    __mul__ = _operator('{0} * {1}')
    __rmul__ = _operator('{1} * {0}')
    __truediv__ = _operator('{0} / {1}')
    __rtruediv__ = _operator('{1} / {0}')
    __lt__ = _operator('{0} < {1}', 'bool')
    __le__ = _operator('{0} <= {1}', 'bool')
    __gt__ = _operator('{0} > {1}', 'bool')
    __ge__ = _operator('{0} >= {1}', 'bool')
    __eq__ = _operator('{0} == {1}', 'bool')
    __ne__ = _operator('{0} != {1}', 'bool')
    __and__ = _operator('{0} && {1}', 'bool')
    __or__ = _operator('{0} || {1}', 'bool')

    def __neg__(self):
        return Symbol('-{}', self)

    def __abs__(self):
        return Symbol('fabs({})', self)

    def __invert__(self):
        return Symbol('!{}', self, of_type='bool')

    def __pow__(self, n: int) -> 'Symbol':
        """Return the n-th power by products, as few as repeated squaring takes."""
        if not isinstance(n, int) or n < 0:
            raise TypeError(f'expected a formula whose powers are whole numbers >= 0, got {n!r}.')
        if n == 0:
            return as_symbol(1.)
        if n == 1:
            return self
        half = self ** (n // 2)
        square = half * half
        return square * self if n % 2 else square

    def __len__(self):
        return 1

    def __getitem__(self, index: Any) -> Self:
        """Return the same: a kernel sees one number of each array."""
        return self

    def reshape(self, *shape: int) -> Self:
        return self

    def __bool__(self):
        raise TypeError(f'expected a formula that decides on values by `where` alone, got one that asks for {self}.')

    def __repr__(self):
        return self.text.format(*(f'({a})' if a.operands else a for a in self.operands))


def as_symbol(a: Any) -> Symbol:
    """Return a Symbol for a Python number; a Symbol is returned unchanged."""
    if isinstance(a, Symbol):
        return a
    if isinstance(a, bool):
        return Symbol(str(a).lower(), of_type='bool')
    return Symbol(f'T({float(a)!r})')


def lines(found: Mapping[str, Symbol]) -> list[str]:
    """Return statements in C++ that set each name in `found` to its value, a line for each operation.

    All values are computed before a name is set: a result may be written over what it is made of.

    Examples
    --------
    >>> x = Symbol('x')
    >>> lines({'x': x * x + 2})
    ['T v0 = x * x;', 'T v1 = v0 + T(2.0);', 'x = v1;']
    """
    names: dict[int, str] = {}
    statements: list[str] = []
    for symbol in _in_order(found.values()):
        text = symbol.text.format(*(names[id(a)] for a in symbol.operands))
        if symbol.operands:
            names[id(symbol)] = f'v{len(statements)}'
            statements.append(f'{symbol.of_type} v{len(statements)} = {text};')
        else:
            names[id(symbol)] = text
    return statements + [f'{name} = {names[id(symbol)]};' for name, symbol in found.items()]


def leaves(found: Iterable[Symbol]) -> set[str]:
    """Return the texts of the symbols and numbers that `found` are made of."""
    return {symbol.text for symbol in _in_order(found) if not symbol.operands}


def _in_order(symbols) -> Iterator[Symbol]:
    """Yield all symbols that these are made of, operands first, each once."""
    seen = set()
    waiting = [(symbol, False) for symbol in reversed([*symbols])]
    while waiting:
        symbol, is_ready = waiting.pop()
        if is_ready:
            yield symbol
        elif id(symbol) not in seen:
            seen.add(id(symbol))
            waiting.append((symbol, True))
            waiting.extend((a, False) for a in reversed(symbol.operands))


# ------------------------------------------------------------------ the functions of the alphabet

def _called(name: str, n: int = 1) -> Callable:
    """Return the function of that name in C++, of n numbers."""
    return lambda *a: Symbol(f'{name}({", ".join(["{}"] * n)})', *a)


def _where(c, x, y):
    return Symbol('{} ? {} : {}', c, x, y)


def _refused(name: str) -> Callable:
    def refuse(*a, **options):
        raise TypeError(f'expected a formula for each pair by itself, got one that calls {name}.')
    return refuse


FUNCTIONS = {
    **{name: _called(name) for name in 'sqrt exp expm1 log log1p sin cos sinh tanh erf'.split()},
    'erfcx': _called('erfcx'), 'arctan2': _called('atan2', 2), 'hypot': _called('hypot', 2), 'abs': abs,
    'pi': pi, 'eps': lambda a: EPS,
    'add': lambda a, b: a + b, 'multiply': lambda a, b: a * b, 'subtract': lambda a, b: a - b,
    'sign': lambda a: _where(a > 0, 1., _where(a < 0, -1., 0. * a)),
    'maximum': lambda a, b: Symbol('{0} > {1} || {0} != {0} ? {0} : {1}', a, b),          # NaN stays, as in NumPy
    'minimum': lambda a, b: Symbol('{0} < {1} || {0} != {0} ? {0} : {1}', a, b),
    'where': _where, 'any': lambda a: True, 'all': lambda a: False,
    'nonzero': lambda mask: (mask,), 'patch': lambda a, index, values: _where(index[0], values, a),
    'broadcast_to': lambda a, shape: as_symbol(a), 'asarray': as_symbol}
register(KIND, Namespace('symbols', **{name: FUNCTIONS.get(name, _refused(name)) for name in ALPHABET}))
