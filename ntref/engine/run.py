"""Execution of many jobs: threads, workers, progress, interruption."""
import os
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from functools import cache, lru_cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Event, Thread, local
from typing import Any

import numpy

from ..arguments import as_flag

__all__ = [
    'alone', 'blas_for', 'by_executor', 'counted', 'in_threads', 'is_client', 'number_of_threads',
    'one_thread_of_blas', 'shown']

BUFFER = 1024      # numbers in NumPy's buffers: longer rows are not copied there when they meet a column, as with 8192
SMALL = 400        # rows of matrices for which threads of BLAS gain little; on busy cores they wait for each other
AHEAD = 64         # jobs that are submitted to an executor ahead of time, with their inputs
PATIENCE = 1       # seconds before progress is shown if it was not asked for
RETRIES = 3        # retries of a job whose worker was lost, or which failed there
WATCH = 10         # seconds without a result, after which the state of the workers is checked
TRANSFER = 60      # seconds for a result to come from its worker, after which its state is checked

_here = local()    # .busy: True in a thread of in_threads


def number_of_threads(asked: int | None = None) -> int:
    """Return `asked`, else NTREF_NUM_THREADS, else the number of cores that this process may use.

    Raises
    ------
    ValueError : the number is not a whole number >= 1.
    """
    given = os.environ.get('NTREF_NUM_THREADS') if asked is None else asked
    if given is None:
        if hasattr(os, 'sched_getaffinity'):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if not str(given).isdecimal() or int(given) < 1:
        name = 'NTREF_NUM_THREADS' if asked is None else 'the number of threads'
        raise ValueError(f'expected {name} to be a whole number >= 1, got {given!r}.')
    return int(given)


def in_threads(work: Callable[[Any], Any], jobs: Iterable[Any], threads: int | None = None,
               progress: Callable[[Any], Iterable[Any]] = iter) -> list[Any]:
    """Return [work(job) for job in jobs], computed on threads, with BLAS limited to one thread in each.

    NumPy releases the interpreter's lock while it computes. Within another `in_threads`, and where no threads can be
    started, as in a browser, jobs run one after the other. After an error, or Ctrl-C, no further job is begun.
    """
    _keep_freed()
    jobs = list(jobs)
    threads = number_of_threads(threads)
    stopped: list[Any] = []
    if getattr(_here, 'busy', False):
        return [work(job) for job in progress(jobs)]
    threads = min(threads, len(jobs))
    if threads < 2 or not _can_start(threads):
        with alone():
            return [work(job) for job in progress(jobs)]

    def begin():
        _here.busy = True
        numpy.setbufsize(BUFFER)

    def unless_stopped(job):
        try:
            return None if stopped else work(job)
        except BaseException:
            stopped.append(job)
            raise
    with one_thread_of_blas(), ThreadPoolExecutor(threads, initializer=begin) as pool:
        futures = [pool.submit(unless_stopped, job) for job in jobs]
        try:
            return [future.result() for future in progress(futures)]
        except BaseException:
            stopped.append(None)
            pool.shutdown(cancel_futures=True)
            raise


def one_thread_of_blas() -> Any:
    """Return a context in which BLAS computes on one thread."""
    return _libraries(len(sys.modules)).limit(limits=1)


def blas_for(n: int) -> Any:
    """Return a context for matrices (n, n): with small ones BLAS computes on one thread."""
    return one_thread_of_blas() if n <= SMALL else nullcontext()


@lru_cache(maxsize=1)
def _libraries(number_of_modules):
    """Return the thread pools of the loaded libraries; they are looked for again only after further imports."""
    return import_module('threadpoolctl').ThreadpoolController()


def _can_start(threads):
    """True if this number of threads can be started; a browser allows none, a limit on processes only a few."""
    end = Event()
    started = []
    try:
        while len(started) < threads:
            thread = Thread(target=end.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:                                   # "can't start new thread"
        return False
    finally:
        end.set()
        for thread in started:
            thread.join()
    return True


# ------------------------------------------------------------------ workers

def by_executor(executor: Any, jobs: Iterable[tuple], number: int,
                progress: Callable[[Any], Iterable[Any]] = iter) -> Iterator[tuple[Any, Any]]:
    """Yield (tile, f(*arguments)) for each of the `number` jobs (tile, f, *arguments).

    A `concurrent.futures.Executor` yields them in their order, a `dask.distributed.Client` as they are done. After an
    error, or Ctrl-C, jobs that wait are cancelled.

    Raises
    ------
    RuntimeError : a tile was lost with its worker again and again.
    UserWarning  : no worker computes.
    """
    done = _by_client if is_client(executor) else _in_order
    with closing(done(executor, iter(jobs))) as found:
        for _ in progress(range(number)):
            yield next(found)


def is_client(executor: Any) -> bool:
    """True if the executor is a client of Dask."""
    return hasattr(executor, 'scheduler_info')


def _in_order(executor, jobs):
    waiting = deque()
    try:
        while True:
            for tile, *job in islice(jobs, AHEAD - len(waiting)):
                waiting.append((tile, executor.submit(*job)))
            tile, future = waiting[0]
            found = future.result()
            waiting.popleft()
            yield tile, found
    finally:
        for _, future in waiting:
            future.cancel()


def _by_client(client, jobs):
    """Yield (tile, result) as they are done; submit again what was cancelled or lost with its worker."""
    waiting = {}
    lost = Counter()
    ended = SimpleQueue()

    def put_in(tile, job):
        future = client.submit(*job, pure=False, retries=RETRIES)
        waiting[future] = tile, job
        future.add_done_callback(ended.put)
    try:
        while True:
            for tile, *job in islice(jobs, AHEAD - len(waiting)):
                put_in(tile, job)
            future = _next(client, ended)
            is_there, found = _outcome(future)
            tile, job = waiting.pop(future)
            if is_there:
                yield tile, found
                continue
            future.cancel()
            lost[tile] += 1
            if lost[tile] > RETRIES or found is not None:
                raise RuntimeError(
                    f'expected the kernel of tile {tile}, got none: its workers were lost, again '
                    'and again, while they computed it or before it was fetched. Their logs say '
                    'why. If it is memory, a smaller batch_size takes less.') from found
            put_in(tile, job)
    finally:
        for future in waiting:
            future.cancel()


def _next(client, ended):
    """Return the next future that ended in any way; warn if none comes because no worker is running."""
    is_told = False
    while True:
        try:
            return ended.get(timeout=WATCH)
        except Empty:
            workers = [worker['status'] for worker in client.scheduler_info()['workers'].values()]
            if not is_told and 'running' not in workers:
                found = 'none. Waiting for some to come.'
                if workers:
                    found = (f'{len(workers)} of them, all {" or ".join(sorted(set(workers)))}: '
                             'one that is paused has used up its memory. A smaller batch_size '
                             'takes less.')
                warnings.warn(f'expected Dask workers that compute tiles, got {found}',
                              stacklevel=4)
                is_told = True


def _outcome(future):
    """Return (True, result), (False, None) if the result is lost, or (False, error) if it is lost for good.

    An error that the job itself raised is raised here."""
    distributed = import_module('distributed')
    while future.status == 'finished':
        try:
            return True, future.result(timeout=TRANSFER)
        except (distributed.TimeoutError, distributed.CancelledError):
            continue                                       # the status now says which
    if future.status != 'error':
        return False, None
    try:
        return True, future.result()                       # raises
    except distributed.scheduler.KilledWorker as why:
        return False, why


@contextmanager
def alone() -> Iterator[None]:
    """Keep this thread from starting others: BLAS and `in_threads` compute on this one alone, with short buffers."""
    busy = getattr(_here, 'busy', False)
    _here.busy = True
    buffer = numpy.setbufsize(BUFFER)
    try:
        with one_thread_of_blas():
            yield
    finally:
        _here.busy = busy
        numpy.setbufsize(buffer)


# ------------------------------------------------------------------ progress

def shown(asked: bool | None, what: str, unit: str = 'tile') -> Callable[[Any], Iterable[Any]]:
    """Return a function that iterates over jobs and shows how many are done, the rate and the time left.

    With asked=None it shows them on a terminal or in a notebook only, and not at once.
    """
    bar = _bar(asked, what, unit)
    return iter if bar is None else bar


@contextmanager
def counted(asked: bool | None, what: str) -> Iterator[Callable[[str], None]]:
    """Yield a function to call with a text after each step; it shows their number, rate and the text, like `shown`."""
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
    """Return tqdm for these units, or None if no progress is to be shown."""
    is_read = sys.stderr.isatty() or _in_notebook()
    patience = PATIENCE if asked is None else 0
    if not (is_read if asked is None else as_flag(asked, 'progress')):
        return None
    tqdm = import_module('tqdm.auto' if find_spec('ipywidgets') else 'tqdm').tqdm      # auto warns without widgets
    if not _can_start(1):
        tqdm.monitor_interval = 0                          # its watch is a thread
    return partial(tqdm, desc=what, unit=unit, delay=patience)


def _in_notebook():
    """True in a notebook, where progress is seen although there is no terminal."""
    shell = getattr(sys.modules.get('IPython'), 'get_ipython', lambda: None)()
    return shell is not None and type(shell).__name__ != 'TerminalInteractiveShell'


@cache
def _keep_freed():
    """Make glibc keep the memory of freed arrays, by allocating and freeing a long one once.

    glibc keeps arrays up to the longest that was freed so far, at most 32 MiB. If the arrays of a tile came anew from
    the system each time, they would cost a page fault for every 512 numbers: a third of the time.
    """
    bytes(2 ** 25 - 2 ** 13)
