"""Steps of a network on a GPU, one pass over memory each: formulas of pairs, written out by `ntref.symbols`.

The formula is the one that every other kind of array goes through. A kernel reads what is carried beside K and writes
what will be; CuPy compiles it when it is first called. The numbers of a nonlinearity are constants of its kernel.
"""
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from ..arrays import is_on_device
from ..symbols import Symbol, leaves, lines
from ..types import Array
from .geometry import Cov
from .on_device import outputs, with_tangent
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
    cov = cov if p.has_area else cov._replace(area=None)
    return cov, None if ntk is None else slope * ntk


def _in_one_pass(dual, p, ntk, new1, new2):
    carried = {name: c for name, c in p.cov._asdict().items() if c is not None}
    given = with_tangent(carried, ntk)
    run, used, names = _kernel(dual.__self__, tuple(given))
    outs = outputs(p, given, names)
    operands = dict(zip(VARIANCES, (p.q1, p.q2, new1, new2))) | given
    run(*map(operands.get, used), *outs.values())
    new_ntk = outs.pop('ntk', ntk)
    return Cov(**outs), new_ntk


def source(layer: Any, given: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Return the names of what the kernel of a nonlinearity reads and writes, and its statements.

    `given` are the names of what is carried: 'k', and some of 'gap', 'area', 'lack', 'ntk'.
    """
    symbols: dict[str, Any] = {name: Symbol(name) for name in (*VARIANCES, *given)}
    q1, q2, new1, new2 = (symbols[name] for name in VARIANCES)
    before = Pair(q1, q2, Cov(*map(symbols.get, Cov._fields)))
    cov, ntk = by_formula(layer.dual, before, symbols.get('ntk'), new1, new2)
    after = cov._asdict() | {'ntk': ntk}
    found = {name: value for name, value in after.items() if value is not None}
    made_of = leaves(found.values())
    used = [name for name in symbols if name in made_of]
    statements = lines({f'{name}_out': value for name, value in found.items()})
    return used, [*found], statements


@lru_cache(maxsize=None)
def _kernel(layer, given):
    """Return the kernel of CuPy, and the names of what it reads and writes."""
    used, names, statements = source(layer, given)
    inputs = ', '.join(f'T {name}' for name in used)
    outs = ', '.join(f'T {name}_out' for name in names)
    operation = '\n'.join(statements)
    title = '_'.join(['ntref', type(layer).__name__, *given])
    run = import_module('cupy').ElementwiseKernel(inputs, outs, operation, title)
    return run, used, names
