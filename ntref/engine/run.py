"""Work on many jobs: threads, progress, interruption."""
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from threading import local

__all__ = ['alone', 'by_executor', 'counted', 'in_threads', 'number_of_threads', 'shown']

AHEAD = 64                     # jobs that wait at an executor: their inputs are there already
PATIENCE = 1                   # seconds before progress is shown that nobody asked for
RETRIES = 3                    # of a job whose worker was lost, or which failed there

_here = local()                # .busy: is this a thread of in_threads?


def number_of_threads(asked=None):
    """`asked`, else NTREF_NUM_THREADS, else as many as there are cores.

    Raises
    ------
    ValueError : not a whole number >= 1.
    """
    given = os.environ.get('NTREF_NUM_THREADS') if asked is None else asked
    if given is None:
        return os.cpu_count() or 1
    if not str(given).isdecimal() or int(given) < 1:
        name = 'NTREF_NUM_THREADS' if asked is None else 'the number of threads'
        raise ValueError(f'expected {name} to be a whole number >= 1, got {given!r}.')
    return int(given)


def in_threads(work, jobs, threads=None, progress=iter):
    """[work(job) for each of the jobs], on threads, each with BLAS held to one of its own.

    NumPy lets go of the interpreter's lock while it computes. Without threadpoolctl, which holds BLAS, and within
    another `in_threads`, jobs run one after the other. After an error, or Ctrl-C, no further job is begun.
    """
    _keep_freed()
    threads, stopped = number_of_threads(threads), []
    if getattr(_here, 'busy', False) or find_spec('threadpoolctl') is None:
        return [work(job) for job in progress(jobs)]

    def begin():
        _here.busy = True

    def unless_stopped(job):
        try:
            return None if stopped else work(job)
        except BaseException:
            stopped.append(job)
            raise
    with import_module('threadpoolctl').threadpool_limits(1), ThreadPoolExecutor(threads, initializer=begin) as pool:
        futures = [pool.submit(unless_stopped, job) for job in jobs]
        try:
            return [future.result() for future in progress(futures)]
        except BaseException:
            stopped.append(None)
            pool.shutdown(cancel_futures=True)
            raise


def by_executor(executor, jobs, number, progress=iter):
    """Yields f(*arguments) for each of the jobs (f, *arguments), of which there are so many, in their order.

    Done by a `concurrent.futures.Executor` or a `dask.distributed.Client`. After an error, or Ctrl-C, what waits is
    cancelled.
    """
    executor = executor.get_executor(pure=False, retries=RETRIES) if hasattr(executor, 'get_executor') else executor
    jobs, waiting = iter(jobs), deque()
    try:
        for _ in progress(range(number)):
            waiting.extend(executor.submit(*job) for job in islice(jobs, AHEAD - len(waiting)))
            yield waiting[0].result()
            waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def alone():
    """This thread computes by itself: neither BLAS nor `in_threads` take others."""
    busy, _here.busy = getattr(_here, 'busy', False), True
    try:
        with import_module('threadpoolctl').threadpool_limits(1) if find_spec('threadpoolctl') else nullcontext():
            yield
    finally:
        _here.busy = busy


def shown(asked, what, unit='tile'):
    """An iterator over jobs that shows how many are done, the rate and the time left; `asked` None: on a terminal only,
    and then not at once. By tqdm; absent without it.
    """
    bar = _bar(asked, what, unit)
    return iter if bar is None else bar


@contextmanager
def counted(asked, what):
    """A function to call after each step, with a text: shows their number, their rate and the text, where `shown` does.
    """
    bar = _bar(asked, what, 'step')
    if bar is None:
        yield lambda text: None
        return
    with bar() as steps:
        def step(text):
            steps.set_postfix_str(text, refresh=False)
            steps.update()
        yield step


def _bar(asked, what, unit):
    """tqdm for what has these units, if it is wanted and there."""
    if asked is not None and not isinstance(asked, bool):
        raise TypeError(f'expected progress to be True, False or None, got {asked!r:.100}.')
    wanted, patience = (sys.stderr.isatty(), PATIENCE) if asked is None else (asked, 0)
    if not wanted or find_spec('tqdm') is None:
        return None
    return partial(import_module('tqdm').tqdm, desc=what, unit=unit, delay=patience)


@cache
def _keep_freed():
    """glibc keeps arrays that are freed up to the longest one so far, at most 32 MiB, which it allocated and freed.

    Got anew from the system, those of a tile would cost a page fault for every 512 numbers: a third of the time.
    """
    bytes(2 ** 25 - 2 ** 13)
