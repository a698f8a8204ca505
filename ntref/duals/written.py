"""Steps of a network on a GPU, one pass over memory each: formulas of pairs, written out by `ntref.symbols`.

The formula is the one that every other kind of array goes through. A kernel reads what is carried beside K and writes
what will be; CuPy compiles it when it is first called. The numbers of a nonlinearity are constants of its kernel, those
of a layer with weights are not.
"""
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from ..arrays import is_on_device
from ..in_place import increased, scaled
from ..symbols import Symbol, leaves, lines
from ..types import Array, Number
from .geometry import Cov
from .on_device import outputs, with_tangent
from .pair import Pair

__all__ = ['affine', 'by_formula', 'in_one_pass', 'source']


def by_formula(dual: Callable, p: Pair, ntk: Any, new1: Array, new2: Array) -> tuple[Cov, Any]:
    """Return the Cov of the outputs, of variances new1 and new2, with what p carries; and Theta' = slope Theta.

    On a GPU it is one pass, if `dual` is the method of a nonlinearity that says so (`is_one_formula`).
    """
    layer = getattr(dual, '__self__', None)
    if is_on_device(p.k) and getattr(layer, 'is_one_formula', False):
        return in_one_pass(_settled, layer, p, ntk, {'new1': new1, 'new2': new2})
    return _dual(dual, p, ntk, new1, new2)


def _settled(layer, p, ntk, new1, new2):
    return _dual(layer.dual, p, ntk, new1, new2)


def _dual(dual, p, ntk, new1, new2):
    cov, slope = dual(p)
    cov = Pair(new1, new2, cov).settled(p)
    cov = cov if p.has_area else cov._replace(area=None)
    return cov, None if ntk is None else slope * ntk


def affine(p: Pair, ntk: Any, w: Number, b: Number, own: tuple | None = None) -> tuple[Cov, Any]:
    """Return the Cov of `Pair.affine`, and Theta' = K' + w Theta or, with own = (n, c), n K + c + w Theta.

    On a GPU it is one pass.
    """
    if not is_on_device(p.k):
        return _affine(own is not None, p, ntk, w, b, *(own or ()))
    numbers = {'w': float(w)}
    if b:
        numbers['b'] = float(b)
    if own and ntk is not None:
        n, c = own
        numbers |= {'n': float(n), 'c': float(c)}
    return in_one_pass(_affine, 'n' in numbers, p, ntk, numbers)


def _affine(has_own, p, ntk, w, b=0, n=None, c=None):
    weights = n * p.k + c if has_own and ntk is not None else None              # before K is overwritten
    cov = p.affine(w, b)
    if ntk is None:
        return cov, None
    return cov, increased(scaled(ntk, w, p.is_spare), weights if has_own else cov.k)


# ------------------------------------------------------------------ a formula as a kernel

def in_one_pass(formula: Callable, of: Any, p: Pair, ntk: Any, numbers: dict[str, Any]) -> tuple[Cov, Any]:
    """Return what formula(of, p, ntk, **numbers) does, from a kernel that is made for all p that carry the same.

    `of` is a constant of the kernel, `numbers` are Python numbers or arrays.
    """
    carried = {name: c for name, c in p.cov._asdict().items() if c is not None}
    given = with_tangent(carried, ntk)
    run, used, names = _kernel(formula, of, tuple(given), ntk is not None, tuple(numbers), p.is_generic)
    outs = outputs(p, given, names)
    operands = {'q1': p.q1, 'q2': p.q2} | given | numbers
    run(*map(operands.get, used), *outs.values())
    tangent = outs.pop('ntk', None)
    return Cov(**outs), tangent


def source(formula: Callable, of: Any, given: tuple[str, ...], has_tangent: bool,
           numbers: tuple[str, ...], is_generic: bool) -> tuple[list[str], list[str], list[str]]:
    """Return the names of what the kernel of formula(of, Pair, Theta, **numbers) reads and writes, and its statements.

    `given` are the names of what is carried: 'k', and some of 'gap', 'area', 'lack', 'ntk'. With `has_tangent` and no
    'ntk' among them Theta is 0.
    """
    symbols: dict[str, Any] = {name: Symbol(name) for name in ('q1', 'q2', *given, *numbers)}
    before = Pair(symbols['q1'], symbols['q2'], Cov(*map(symbols.get, Cov._fields)), is_generic)
    theta = symbols.get('ntk', 0 if has_tangent else None)
    cov, tangent = formula(of, before, theta, **{name: symbols[name] for name in numbers})
    after = cov._asdict() | {'ntk': tangent}
    found = {name: value for name, value in after.items() if value is not None}
    made_of = leaves(found.values())
    used = [name for name in symbols if name in made_of]
    statements = lines({f'{name}_out': value for name, value in found.items()})
    return used, [*found], statements


@lru_cache(maxsize=None)
def _kernel(formula, of, given, has_tangent, numbers, is_generic):
    """Return the kernel of CuPy, and the names of what it reads and writes."""
    used, names, statements = source(formula, of, given, has_tangent, numbers, is_generic)
    inputs = ', '.join(f'T {name}' for name in used)
    outs = ', '.join(f'T {name}_out' for name in names)
    title = '_'.join(['ntref', type(of).__name__, *given])
    run = import_module('cupy').ElementwiseKernel(inputs, outs, '\n'.join(statements), title)
    return run, used, names
