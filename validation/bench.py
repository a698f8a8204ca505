"""Times of ntref, with those of Neural Tangents (NT) beside them.

    python validation/bench.py --list
    python validation/bench.py --all [--nt PYTHON] [--repeat 3] [--get ntk] [--float32] [--cpu]
    python validation/bench.py --group NAME ... [--nt PYTHON] ...
    python validation/bench.py --only CASE ... [--nt PYTHON] ...

PYTHON is an interpreter in which NT is installed; it runs the same networks, jitted and warm, on the same machine,
in turn with our own runs. Printed are seconds of a call (the best of the repeats) and how many times faster than NT
that is; then a summary, the slowest beside NT first. What NT does not have stands without it and does not count.
benched.py has the cases, bench_tasks.py what is timed. Without arguments: dense networks and images.
"""
import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from itertools import groupby, product
from typing import NamedTuple

import bench_tasks
from benched import CASES, DTYPES, GETS, GROUPS

LEAST = .1              # seconds of a measurement: quick functions are called as often as that takes
LONG = 20               # seconds of our measurements after which a row has enough of them
WORST = 10              # rows of the summary
DEFAULT = 'dense', 'images'
READY = 'ready'         # answer of the process that runs NT


# ------------------------------------------------------------------ one function

class Timed:
    """A function without arguments, warm; a call measures it once: seconds, of the clock and of the processors."""

    def __init__(self, f):
        self.f = f
        self.times = 1
        f()                                     # compiles, and fills caches
        self.times = max(1, int(LEAST / self()[0]))

    def __call__(self):
        start = time.perf_counter(), time.process_time()
        for _ in range(self.times):
            self.f()
        end = time.perf_counter(), time.process_time()
        return [(b - a) / self.times for a, b in zip(start, end)]


def best(f, repeat):
    """The least seconds of a function without arguments."""
    measure = Timed(f)
    return min(measure()[0] for _ in range(repeat))


# ------------------------------------------------------------------ NT, in a process of its own

def prepared(library, name, dtype, get):
    library.use(dtype)
    return Timed(CASES[name].prepared(library, dtype, get))


def as_nt(requests, answers):
    """Answer lines of JSON: to (case, dtype, get) READY or an error, to null the seconds of one measurement of it."""
    def answer(reply):
        print(json.dumps(reply), file=answers, flush=True)
    library = bench_tasks.neural_tangents()
    measure = None
    answer(READY)
    for line in requests:
        request = json.loads(line)
        if request is None:
            answer(measure())
            continue
        try:
            measure = prepared(library, *request)
        except Exception as e:                  # of any layer of NT: the column stays empty
            answer(f'{type(e).__name__}: {e}')
        else:
            answer(READY)
    return 0


class NeuralTangents:
    """NT in a process of its own: this file once more."""

    def __init__(self, python):
        self.command = [python, '-W', 'ignore', __file__, '--as-nt']
        self.start()

    def start(self):
        env = {name: value for name, value in os.environ.items() if name != 'OPENBLAS_CORETYPE'}
        self.process = subprocess.Popen(
            self.command, text=True, env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not self.process.stdout.readline():
            self.end()
            command = ' '.join(self.command)
            raise RuntimeError(f'could not run Neural Tangents; see what this prints: {command}')

    def end(self):
        with suppress(BrokenPipeError):         # it has ended by itself
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def asked(self, request):
        """The answer; None where the process has ended, such as for want of memory."""
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
        return json.loads(line) if line else None

    def timed(self, *case):
        """A function that measures once, as `Timed`; None where NT fails."""
        if self.process.poll() is not None:
            self.end()
            self.start()
        answer = self.asked(case)
        if answer != READY:
            why = answer or 'its process has ended'
            print(f'NT, {", ".join(map(str, case))}: {why[:200]}', file=sys.stderr)
            return None
        return lambda: self.asked(None)


# ------------------------------------------------------------------ rows

class Row(NamedTuple):
    group: str
    name: str
    inputs: str
    dtype: str
    get: str
    seconds: float
    nt_seconds: float | None

    @property
    def ratio(self):
        """How many times faster than NT; None without NT."""
        return self.nt_seconds and self.nt_seconds / self.seconds


def asked_for(cases, dtypes=DTYPES, gets=(*GETS, None)):
    """(case, dtype, get) of all rows."""
    return [(case, dtype, get) for case in cases for dtype, get in product(case.dtypes, case.gets)
            if dtype in dtypes and get in gets]


def measured(asked, nt=None, repeat=3, is_cpu=False):
    """Rows, as they are measured; one process of NT for each group."""
    library = bench_tasks.ours()
    for _, group in groupby(asked, key=lambda one: one[0].group):
        with NeuralTangents(nt) if nt else nullcontext() as theirs:
            for case, dtype, get in group:
                both = [prepared(library, case.name, dtype, get)]
                if theirs and case.has_nt:
                    both.append(theirs.timed(case.name, dtype, get))
                seconds = in_turn(both, repeat, is_cpu)
                yield Row(case.group, case.name, case.x1.text, dtype, get or 'both', *seconds)


def in_turn(both, repeat, is_cpu=False):
    """The least seconds of both, of the clock or of the processors; None where there is no function."""
    found = [[], []]
    for _ in range(repeat):
        for measure, times in zip(both, found):
            if seconds := measure and measure():
                times.append(seconds[is_cpu])
        if sum(found[0]) > LONG:
            break
    return [min(times, default=None) for times in found]


# ------------------------------------------------------------------ the summary

class Summary(NamedTuple):
    group: str
    count: int
    mean: float                     # geometric, of the ratios
    worst: Row


def worst_first(found):
    """Rows that have a ratio."""
    return sorted((row for row in found if row.ratio), key=lambda row: row.ratio)


def summaries(found):
    """One for each group, that with the least ratio first."""
    groups = {}
    for row in worst_first(found):
        groups.setdefault(row.group, []).append(row)
    for group, members in groups.items():
        logarithms = [math.log(row.ratio) for row in members]
        mean = math.exp(sum(logarithms) / len(members))
        yield Summary(group, len(members), mean, members[0])


def line_of(row):
    text = f'{row.name:<35} {row.inputs:<12} {row.dtype:>8} {row.get:>5} {row.seconds:>10.3g}'
    return text + (f' {row.nt_seconds:>10.3g} {row.ratio:>10.3g}x' if row.ratio else '')


def print_summary(found):
    print(f'\n{"worst first":<20} {"rows":>5} {"mean":>7} {"least":>7}')
    for group, count, mean, worst in summaries(found):
        which = f'{worst.name}, {worst.dtype}, {worst.get}'
        print(f'{group:<20} {count:>5} {mean:>6.3g}x {worst.ratio:>6.3g}x  {which}')
    print()
    for row in worst_first(found)[:WORST]:
        print(line_of(row))


# ------------------------------------------------------------------ the command

def machine():
    import numpy
    import scipy
    return (f'{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, '
            f'NumPy {numpy.__version__}, SciPy {scipy.__version__}, {time.strftime("%Y-%m-%d")}')


def parsed(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--nt', metavar='PYTHON', help='interpreter with Neural Tangents')
    parser.add_argument('--repeat', type=int, default=3)
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--all', action='store_true', help='all groups')
    which.add_argument('--group', nargs='+', metavar='NAME', choices=GROUPS, help='these groups')
    which.add_argument('--only', nargs='+', metavar='CASE', choices=CASES, help='these cases')
    precision = parser.add_mutually_exclusive_group()
    for dtype in DTYPES:
        precision.add_argument(
            f'--{dtype}', action='store_const', const=dtype, dest='dtype', help='this one alone')
    parser.add_argument('--get', choices=GETS, help='not the other kernel')
    parser.add_argument('--cpu', action='store_true', help='seconds of the processors, not of the clock')
    parser.add_argument('--list', action='store_true', help='print the names of groups and cases')
    parser.add_argument('--as-nt', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def chosen(args):
    """Cases in the order of the table."""
    names = args.only or CASES
    groups = args.group or (GROUPS if args.all or args.only else DEFAULT)
    return [case for case in CASES.values() if case.name in names and case.group in groups]


def print_names():
    for group in GROUPS:
        print(f'{group}:')
        for case in CASES.values():
            if case.group == group:
                print(f'  {case.name}')


def main(argv=None):
    args = parsed(argv)
    if args.as_nt:
        return as_nt(sys.stdin, sys.stdout)
    if args.list:
        print_names()
        return 0
    dtypes = [args.dtype] if args.dtype else DTYPES
    gets = [args.get] if args.get else [*GETS, None]
    print(f'{machine()}; {"processor seconds" if args.cpu else "seconds"}\n')
    titles = f'{"case":<35} {"inputs":<12} {"dtype":>8} {"get":>5} {"ntref":>10}'
    print(titles + (f' {"NT":>10} {"NT / ntref":>11}' if args.nt else ''))
    found = []
    for row in measured(asked_for(chosen(args), dtypes, gets), args.nt, args.repeat, args.cpu):
        if not found or found[-1].group != row.group:
            print(f'-- {row.group}')
        print(line_of(row), flush=True)
        found.append(row)
    if args.nt:
        print_summary(found)
    return 0


if __name__ == '__main__':
    sys.exit(main())
