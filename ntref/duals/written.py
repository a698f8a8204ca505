"""Steps of a network on a GPU, one pass over memory each: formulas of pairs, written out by `ntref.symbols`.

The formula is the one that every other kind of array goes through. A kernel reads what is carried beside K and writes
what will be; CuPy compiles it when it is first called. The numbers of a nonlinearity are constants of its kernel.
"""
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from ..arrays import is_on_device
from ..symbols import Symbol, is_used, lines
from ..types import Array
from .geometry import Cov
from .pair import Pair

__all__ = ['by_formula', 'source']

VARIANCES = 'q1', 'q2', 'new1', 'new2'


def by_formula(dual: Callable, p: Pair, ntk: Any, new1: Array, new2: Array) -> tuple[Cov, Any]:
    """Return the Cov of the outputs, of variances new1 and new2, with what p carries; and Theta' = slope Theta.

    On a GPU it is one pass, if `dual` is the method of a nonlinearity that says so (`is_one_formula`).
    """
    if is_on_device(p.k) and getattr(getattr(dual, '__self__', None), 'is_one_formula', False):
        return _in_one_pass(dual, p, ntk, new1, new2)
    cov, slope = dual(p)
    cov = Pair(new1, new2, cov).settled(p)
    return cov if p.has_area else cov._replace(area=None), None if ntk is None else slope * ntk


def _in_one_pass(dual, p, ntk, new1, new2):
    has_tangent = ntk is not None and not isinstance(ntk, int)
    given = {name: c for name, c in p.cov._asdict().items() if c is not None} | ({'ntk': ntk} if has_tangent else {})
    run, used, names = _kernel(dual.__self__, tuple(given))
    outs = [given[name] if p.is_spare and name in given else p.xp.empty_like(p.k) for name in names]
    of_variances = zip(VARIANCES, (p.q1, p.q2, new1, new2))
    operands = dict(of_variances) | given
    run(*(operands[name] for name in used), *outs)
    found = dict(zip(names, outs))
    return Cov(found['k'], found.get('gap'), found.get('area')), found.get('ntk', ntk)


def source(layer: Any, given: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Return the names of what the kernel of a nonlinearity reads and writes, and its statements.

    `given` are the names of what is carried: 'k', and some of 'gap', 'area', 'lack', 'ntk'.
    """
    symbols: dict[str, Any] = {name: Symbol(name) for name in (*VARIANCES, *given)}
    q1, q2, new1, new2 = (symbols[name] for name in VARIANCES)
    before = Pair(q1, q2, Cov(*map(symbols.get, Cov._fields)))
    cov, ntk = by_formula(layer.dual, before, symbols.get('ntk'), new1, new2)
    found = {name: value for name, value in (cov._asdict() | {'ntk': ntk}).items() if value is not None}
    used = [name for name, symbol in symbols.items() if is_used(symbol, found.values())]
    return used, [*found], lines({f'{name}_out': value for name, value in found.items()})


@lru_cache(maxsize=None)
def _kernel(layer, given):
    """Return the kernel of CuPy, and the names of what it reads and writes."""
    used, names, statements = source(layer, given)
    inputs = ', '.join(f'T {name}' for name in used)
    outputs = ', '.join(f'T {name}_out' for name in names)
    title = '_'.join(['ntref', type(layer).__name__, *given])
    return import_module('cupy').ElementwiseKernel(inputs, outputs, '\n'.join(statements), title), used, names
