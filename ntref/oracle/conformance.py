"""The suite run against another implementation, with a verdict and the number of digits that agree for each case.

    digits    -log10 |a - e| / max(|e|, scale), the least over all entries, for certified values e    `cases.digits`
    pass      as many digits agree as the class of the case asks for, in the shape and dtype asked for
    fail      fewer digits agree, shape or dtype differ, or there are NaN
    crashed, too slow, unsupported      there are no numbers
"""
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple

import numpy

from ..arguments import as_flag
from ..engine.run import shown
from .adapter import Adapter, Crashed, TooSlow, Unsupported, command
from .cases import Case, check_text, conformance_cases, digits
from .mistakes import cast, named

__all__ = ['Conformance', 'Entry', 'Outcome', 'VERDICTS', 'conform', 'judged', 'run', 'worst']

VERDICTS = 'pass', 'fail', 'crashed', 'too slow', 'unsupported'
WITHOUT_NUMBERS = {Unsupported: 'unsupported', Crashed: 'crashed', TooSlow: 'too slow'}
DTYPES = 'float64', 'float32'
LIMIT_SECONDS = 60.
SHOWN_ENTRIES = 3       # entries of an array that are shown, where it is wrong


class Entry(NamedTuple):
    """An entry of an array that has fewer digits than asked for."""
    array: str
    place: tuple[int, ...]
    expected: float
    got: float
    digits: float


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case.

    Attributes
    ----------
    name : str              name of the case.
    layers : tuple of str   layers that the case tests, the main one first.
    verdict : str           'pass', 'fail', 'crashed', 'too slow' or 'unsupported'.
    digits : dict           name of a kernel -> digits agreed in its worst entry; 0 if nothing can be compared.
    wanted : float          digits that the class of the case asks for.
    reason : str            reason for any verdict but a plain pass.
    seconds : float         seconds until the answer.
    worst : tuple of Entry  the worst entries of each array that is wrong: what was expected, and what came.
    mistakes : tuple of str     known mistakes that give these numbers, such as 'W_std not squared'.
    """
    name: str
    layers: tuple
    verdict: str
    digits: dict = field(default_factory=dict)
    wanted: float = 0.
    reason: str = ''
    seconds: float = 0.
    worst: tuple = ()
    mistakes: tuple = ()

    @property
    def least(self) -> float | None:
        """Digits agreed in the worst entry of all kernels; None if there are no numbers."""
        return min(self.digits.values(), default=None)

    @property
    def has_failed(self) -> bool:
        return self.verdict not in ('pass', 'unsupported')


@dataclass(frozen=True)
class Conformance:
    """The outcomes of a run, with the adapter, the versions, and the command that repeats the run."""
    adapter: str
    dtype: str
    outcomes: tuple
    versions: dict
    command: str
    seconds: float

    def count(self, verdict: str) -> int:
        """Return the number of cases with this verdict."""
        return sum(outcome.verdict == verdict for outcome in self.outcomes)

    @property
    def has_failed(self) -> bool:
        return any(outcome.has_failed for outcome in self.outcomes)

    @property
    def is_empty(self) -> bool:
        """True if nothing has been compared."""
        return self.count('unsupported') == len(self.outcomes)


def conform(
        adapter: str | os.PathLike, select: str = '*', dtype: str = 'float64',
        python: str | os.PathLike | None = None, time_limit: float = LIMIT_SECONDS, *,
        progress: bool | None = None, each: Callable[[Outcome], Any] | None = None) -> Conformance:
    """Run the suite against an adapter.

    Parameters
    ----------
    adapter : str           a Python file or an executable program, docs/oracle.md#adapters; or 'FILE:ARGUMENT'.
    select : str            names of cases, with * and ?, such as 'dense/*'.
    dtype : str             'float64' or 'float32': dtype of the inputs, and of the results asked for.
    python : str, optional  the interpreter for a Python file; None means this one.
    time_limit : float      seconds for each case; starting may take 60.
    progress : bool, optional       show cases done, rate and time left; None: on a terminal only.
    each : function, optional       called with each Outcome as soon as it is there.

    Returns
    -------
    Conformance

    Raises
    ------
    FileNotFoundError, PermissionError : the adapter does not exist, or is neither Python nor executable.
    ValueError : no case has such a name, the dtype is another one, or the time limit is not > 0.
    TypeError : an argument that ought to be text, a function, or True or False is something else.

    Examples
    --------
    >>> conform('adapter.py')
    Traceback (most recent call last):
        ...
    FileNotFoundError: expected a Python file or a program as adapter, got adapter.py, which is not there.
    """
    start = time.monotonic()
    process = command(adapter, python)
    if check_text(dtype, 'dtype') not in DTYPES:
        raise ValueError(f'expected dtype to be one of {DTYPES}, got {dtype!r}.')
    is_number = isinstance(time_limit, Real) and not isinstance(time_limit, bool)
    if not is_number or not 0 < time_limit < float('inf'):
        raise ValueError(f'expected a time limit > 0 in seconds, got {time_limit!r:.100}.')
    if each is not None and not callable(each):
        raise TypeError(f'expected each to be a function of an Outcome, got {each!r:.100}.')
    progress = progress if progress is None else as_flag(progress, 'conform: progress')
    outcomes = []
    cases = conformance_cases(select, dtype=dtype)
    with Adapter(process, time_limit) as answers:
        for case in shown(progress, 'case')(cases):
            outcomes.append(run(case, answers, dtype))
            if each is not None:
                each(outcomes[-1])
        versions = _versions() | answers.about
    again = ['ntref', 'conform', str(adapter)]
    again += _given('--select', select, '*')
    again += _given('--dtype', dtype, 'float64')
    again += _given('--python', python, None)
    again += _given('--time-limit', time_limit, LIMIT_SECONDS)
    seconds = time.monotonic() - start
    return Conformance(str(adapter), dtype, tuple(outcomes), versions, shlex.join(again), seconds)


def _given(option, value, default):
    if value == default:
        return []
    return [option, f'{value:g}' if isinstance(value, float) else str(value)]


def _versions():
    from .. import __version__
    return {
        'ntref': __version__,
        'system': f'{platform.system()} {platform.machine()}',
        'suite run by Python': '.'.join(map(str, sys.version_info[:3])),
    }


# ------------------------------------------------------------------ one case

def run(case: Case, answers: Adapter, dtype: str) -> Outcome:
    """Return the Outcome of a case, with the answer of the `Adapter` `answers`."""
    start = time.monotonic()

    def ended(verdict, digits=None, reason='', **more):
        return Outcome(case.name, tuple(case.layers), verdict, digits or {}, case.wanted(dtype), reason,
                       seconds, **more)
    try:
        answer = answers.ask(case.kind, spec=case.spec, inputs=cast(case.inputs, dtype), options=case.options,
                             dtype=dtype)
    except (Unsupported, Crashed, TooSlow) as e:
        seconds = time.monotonic() - start
        return ended(WITHOUT_NUMBERS[type(e)], reason=str(e))
    seconds = time.monotonic() - start
    verdict, agreed, reason = judged(case, answer, dtype)
    if verdict != 'fail':
        return ended(verdict, agreed, reason)
    return ended(verdict, agreed, reason, worst=worst(case, answer, dtype), mistakes=named(case, answer, dtype))


def judged(case: Case, answer: Mapping[str, Any], dtype: str) -> tuple[str, dict[str, float], str]:
    """Return (verdict, {name: digits}, reason) for an answer {name: array, or None if it is not supported}."""
    agreed = {}
    faults = []
    absent = []
    for name in case.expected:
        actual = answer.get(name, ())
        if actual is None:
            absent.append(name)
            continue
        agreed[name], fault = _compared(case, name, actual, dtype)
        faults += [f'{name}: {fault}'] * (fault is not None)
    if not agreed:
        return 'unsupported', {}, f'without {" and ".join(absent)}'
    if faults:
        return 'fail', agreed, '; '.join(faults)
    return 'pass', agreed, f'without {" and ".join(absent)}' if absent else ''


def worst(case: Case, answer: Mapping[str, Any], dtype: str) -> tuple[Entry, ...]:
    """Return the worst entries of each array of an answer that has the shape asked for, where it is wrong."""
    found = []
    for name, expected in case.expected.items():
        actual: Any = answer.get(name)
        if getattr(actual, 'shape', None) != expected.shape:
            continue
        agreed = digits(actual, case, name)
        for flat in agreed.ravel().argsort(kind='stable')[:SHOWN_ENTRIES]:
            at = tuple(map(int, numpy.unravel_index(flat, agreed.shape)))
            if agreed[at] < case.wanted(dtype):
                found.append(Entry(name, at, float(expected[at]), float(actual[at]), float(agreed[at])))
    return tuple(found)


def _compared(case, name, actual, dtype):
    """Return the digits agreed in the worst entry, and the fault, or None.

    `actual` is text, the dtype, if the answer had no real numbers."""
    if isinstance(actual, str):
        return 0., f'expected dtype {dtype}, got {actual}'
    if not isinstance(actual, numpy.ndarray):
        return 0., 'no array'
    return case.compared(actual, name, dtype)
