"""Working precision of mpmath for one thread at a time.

The working precision of `mpmath.mp` is shared by the whole process, and so is what `ntref.oracle.shaken` changes in it.
A thread in `working` has them for itself: another thread that comes here, or sets the precision, waits until it is
done; if it reads the precision, it gets that from before. See docs/oracle.md#threads.
"""
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import RLock, get_ident
from typing import Any

__all__ = ['alone', 'mpmath', 'replaced', 'working']

_turn = RLock()
_owner: int | None = None                     # the thread whose turn it is
_undone: list[Callable[[], None]] = []   # functions that undo current replacements, the latest last


@cache
def mpmath() -> Any:
    """Return the context `mpmath.mp`, which functions of the user work with as well."""
    try:
        return import_module('mpmath').mp
    except ImportError:
        raise ImportError(
            'expected mpmath for so many digits, got none. Install it: pip install '
            'mpmath') from None


@contextmanager
def replaced(owner: Any, changes: Mapping[str, Any]) -> Iterator[None]:
    """Set the attributes `changes` of a class or an object, and restore the former ones at the end."""
    before = {name: vars(owner)[name] for name in changes if name in vars(owner)}

    def undo():
        for name in changes:
            if name in before:
                setattr(owner, name, before[name])
            elif name in vars(owner):
                delattr(owner, name)
    _undone.append(undo)
    try:
        for name, new in changes.items():
            setattr(owner, name, new)
        yield
    finally:
        _undone.remove(undo)
        undo()


@contextmanager
def alone() -> Iterator[None]:
    """Reserve mpmath for this thread, and restore its precision at the end."""
    global _owner
    with _turn:
        if _owner == get_ident():
            yield
            return
        mp = mpmath()
        _owner = get_ident()
        before = mp.prec
        try:
            with replaced(type(mp), {name: _waiting(mp, name) for name in ('prec', 'dps')}):
                yield
        finally:
            mp.prec = before
            _owner = None


def _waiting(mp, name):
    """Return the property `name` of mp; other threads read its former value, and wait to set it."""
    owner = get_ident()
    plain = getattr(type(mp), name)
    before = getattr(mp, name)

    def get(context):
        return before if context is mp and get_ident() != owner else plain.fget(context)

    def put(context, n):
        if context is not mp or get_ident() == owner:
            return plain.fset(context, n)
        with _turn:
            plain.fset(context, n)
    return property(get, put)


@contextmanager
def working(digits: int) -> Iterator[None]:
    """Set the working precision to `digits` digits, for this thread alone.

    Raises
    ------
    RuntimeError : the precision was changed and is not restored at the end.
    """
    with alone(), mpmath().workdps(digits):
        bits = mpmath().prec
        yield
        if mpmath().prec != bits:
            raise RuntimeError(
                'certify: expected functions that leave the precision of mpmath as it is, got '
                f'{bits} bits before and {mpmath().prec} bits after. Change it in `with '
                'mpmath.workdps(...):`.')


def _in_a_child():
    """Release mpmath in a process that was forked while another thread had reserved it."""
    global _turn, _owner
    if _owner in (None, get_ident()):
        return
    before = mpmath().prec                               # the former one, as other threads read it
    while _undone:
        _undone.pop()()
    mpmath().prec = before
    _turn = RLock()
    _owner = None


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_in_a_child)
