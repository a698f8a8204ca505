"""The suite run against another implementation: a verdict for each case, and how many digits agree.

    digits    -log10 |a - e| / max(|e|, scale), the least over all entries; of certified values e    `cases.digits`
    pass      as many digits as the class of the case asks for, in the shape and dtype asked for
    fail      fewer, another shape or dtype, NaN
    crashed, too slow, unsupported      no numbers
"""
import platform
import shlex
import sys
import time
from dataclasses import dataclass, field
from numbers import Real

import numpy

from ..arguments import as_flag
from ..engine.run import shown
from ..trees import tree_map
from .adapter import Adapter, Crashed, TooSlow, Unsupported, command
from .cases import check_text, conformance_cases

__all__ = ['Conformance', 'Outcome', 'VERDICTS', 'conform', 'judged', 'run']

VERDICTS = 'pass', 'fail', 'crashed', 'too slow', 'unsupported'
DTYPES = 'float64', 'float32'
LIMIT = 60.             # seconds


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes
    ----------
    name : str              of the case.
    layers : tuple of str   that it is about, the main one first.
    verdict : str           'pass', 'fail', 'crashed', 'too slow' or 'unsupported'.
    digits : dict           name of a kernel -> digits agreed, of its worst entry; 0 where nothing can be compared.
    wanted : float          digits that the class of the case asks for.
    reason : str            of any verdict but a plain pass.
    seconds : float         until the answer.
    """
    name: str
    layers: tuple
    verdict: str
    digits: dict = field(default_factory=dict)
    wanted: float = 0.
    reason: str = ''
    seconds: float = 0.

    @property
    def least(self):
        """Digits agreed of the worst entry of all; None without numbers."""
        return min(self.digits.values(), default=None)

    @property
    def has_failed(self):
        return self.verdict not in ('pass', 'unsupported')


@dataclass(frozen=True)
class Conformance:
    """The outcomes of a run, and of what: the adapter, its versions, the command that repeats it."""
    adapter: str
    dtype: str
    outcomes: tuple
    versions: dict
    command: str
    seconds: float

    def count(self, verdict):
        """How many cases ended so."""
        return sum(outcome.verdict == verdict for outcome in self.outcomes)

    @property
    def has_failed(self):
        return any(outcome.has_failed for outcome in self.outcomes)

    @property
    def is_empty(self):
        """Has nothing been compared?"""
        return self.count('unsupported') == len(self.outcomes)


def conform(adapter, select='*', dtype='float64', python=None, time_limit=LIMIT, *, progress=None, each=None):
    """Runs the suite against an adapter.

    Parameters
    ----------
    adapter : str           a Python file or an executable program, docs/oracle.md#adapters; 'FILE:ARGUMENT'.
    select : str            names of cases, with * and ?, as 'dense/*'.
    dtype : str             'float64' or 'float32': of the inputs, and asked of the results.
    python : str, optional  the interpreter for a Python file; None: this one.
    time_limit : float      seconds for each case; starting may take 60.
    progress : bool, optional       show cases done, rate and time left; None: on a terminal.
    each : function, optional       called with each Outcome as it comes.

    Returns
    -------
    Conformance

    Raises
    ------
    FileNotFoundError, PermissionError : no such adapter, or neither Python nor executable.
    ValueError : no case of such a name, another dtype, a time limit that is not > 0.
    TypeError : what ought to be text, a function, or True or False, and is not.

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
    if isinstance(time_limit, bool) or not isinstance(time_limit, Real) or not 0 < time_limit < float('inf'):
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
    again = ['ntref', 'conform', str(adapter), *_given('--select', select, '*'), *_given('--dtype', dtype, 'float64'),
             *_given('--python', python, None), *_given('--time-limit', time_limit, LIMIT)]
    return Conformance(str(adapter), dtype, tuple(outcomes), versions, shlex.join(again), time.monotonic() - start)


def _given(option, value, default):
    return [] if value == default else [option, f'{value:g}' if isinstance(value, float) else str(value)]


def _versions():
    from .. import __version__
    return {'ntref': __version__, 'system': f'{platform.system()} {platform.machine()}', 'suite run by Python':
            '.'.join(map(str, sys.version_info[:3]))}


# ------------------------------------------------------------------ one case

def run(case, answers, dtype):
    """The Outcome of a case, asked of an `Adapter`."""
    start = time.monotonic()

    def ended(verdict, digits=None, reason=''):
        return Outcome(case.name, tuple(case.layers), verdict, digits or {}, case.wanted(dtype), reason,
                       time.monotonic() - start)
    try:
        answer = answers.ask(case.kind, spec=case.spec, inputs=_cast(case.inputs, dtype), options=case.options,
                             dtype=dtype)
    except Unsupported as e:
        return ended('unsupported', reason=str(e))
    except Crashed as e:
        return ended('crashed', reason=str(e))
    except TooSlow as e:
        return ended('too slow', reason=str(e))
    return ended(*judged(case, answer, dtype))


def judged(case, answer, dtype):
    """(verdict, {name: digits}, reason) of an answer {name: array, or None for what is not supported}."""
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


def _compared(case, name, actual, dtype):
    """Digits agreed of the worst entry, and what is wrong, or None; `actual` is text if it has no real numbers."""
    if isinstance(actual, str):
        return 0., f'expected dtype {dtype}, got {actual}'
    return case.compared(actual, name, dtype) if isinstance(actual, numpy.ndarray) else (0., 'no array')


def _cast(inputs, dtype):
    """Inputs with their floating arrays in this dtype."""
    return tree_map(lambda a: a.astype(dtype) if numpy.issubdtype(getattr(a, 'dtype', object), numpy.floating) else a,
                    inputs)
