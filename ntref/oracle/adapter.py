"""An adapter as a process that answers requests; it is started when needed, killed after a fault, and started again."""
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .worker import decoded, encoded

__all__ = ['Adapter', 'Crashed', 'TooSlow', 'Unsupported', 'command']

START_SECONDS = 60      # seconds that starting may take, if the time limit is shorter
MAX_STARTS = 2          # failed starts after which no other is tried
MAX_ANSWER = 1 << 26    # bytes of an answer, at most
KEPT_BYTES = 2000       # bytes of stderr that are kept
MAX_TEXT = 2000         # characters of a text in a message, at most
WORKER = Path(__file__).with_name('worker.py')


class Unsupported(Exception):
    """Raised if the adapter answers that it does not support a request."""


class Crashed(Exception):
    """Raised if the adapter raised an error, ended, or gave an answer that cannot be read."""


class TooSlow(Exception):
    """Raised if the adapter took longer than the time limit."""


def command(adapter: str | os.PathLike, python: str | os.PathLike | None = None) -> list[str]:
    """Return the command that runs an adapter.

    Parameters
    ----------
    adapter : str
        A Python file, or an executable program; 'FILE:ARGUMENT' gives it an argument.
    python : str, optional
        The interpreter for a Python file; None means this one.

    Raises
    ------
    TypeError : the arguments are not paths. FileNotFoundError : there is no such file, or no such interpreter.
    PermissionError : the file is neither Python nor executable.
    """
    paths = [adapter] if python is None else [adapter, python]
    if not all(isinstance(path, (str, os.PathLike)) for path in paths):
        raise TypeError(
            f'expected paths as adapter and python, got {adapter!r:.100} and {python!r:.100}.')
    file, _, argument = str(adapter).rpartition(':')
    path = Path(adapter)
    arguments = []
    if file and not path.exists():
        path = Path(file)
        arguments = [argument]
    if not path.is_file():
        raise FileNotFoundError(
            f'expected a Python file or a program as adapter, got {adapter}, which is not there.')
    if python is not None and shutil.which(python) is None:
        raise FileNotFoundError(
            f'expected a Python interpreter, got {python}, which is none that can be run.')
    if path.suffix == '.py':
        return [str(python or sys.executable), str(WORKER), str(path.resolve()), *arguments]
    if not os.access(path, os.X_OK):
        raise PermissionError(
            f'expected a Python file or an executable program as adapter, got {path}, which is '
            f'neither. chmod +x {path}')
    return [str(path.resolve()), *arguments]


class Adapter:
    """A process run by `command` that answers each request within `time_limit` seconds.

    Use it in a `with` statement, which ends the process. `about` has what the process says of itself, once it runs:
    {name: version}.
    """

    def __init__(self, command: list[str], time_limit: float):
        if not hasattr(os, 'killpg'):
            raise NotImplementedError(
                'expected a system with groups of processes, by which adapters are ended with all that they started, '
                'got one without, as Windows. Run the suite on Linux, which may be that within Windows (WSL).')
        self.command = command
        self.time_limit = time_limit
        self.about: dict[str, str] = {}
        self._process: Any = None
        self._id = 0
        self._rest = b''
        self._said = b''
        self._failures: list[Exception] = []                 # failed starts in a row

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._end()

    def ask(self, call: str, **request: Any) -> dict[str, Any]:
        """Return the result of a call: {name: array, or None}.

        Raises
        ------
        Unsupported, Crashed, TooSlow
        """
        if self._process is None:
            self._start()
        return self._result({'call': call} | request, self.time_limit)

    # -------------------------------------------------------------- one request

    def _result(self, request, seconds):
        self._id += 1
        line = json.dumps({'id': self._id} | encoded(request), allow_nan=False) + '\n'
        try:
            answer = self._answer(line.encode(), seconds)
        except BaseException:
            self._end()
            raise
        if answer.get('id') == self._id and isinstance(answer.get('result'), dict):
            try:
                if isinstance(result := decoded(answer['result']), dict):
                    return result
            except (ValueError, RecursionError) as e:
                raise Crashed(_printable(f'answered with an array that cannot be read: {e}')) from e
        for key, error in (('unsupported', Unsupported), ('error', Crashed)):
            if answer.get('id') == self._id and key in answer:
                raise error(_printable(_as_text(answer[key])))
        self._end()
        raise Crashed(
            f'expected an answer {{"id": {self._id}, "result" or "unsupported" or "error": ...}}, '
            f'got {_printable(_as_text(answer))}')

    def _answer(self, line, seconds):
        """Send a line, and return the line that comes back, as a dict."""
        deadline = time.monotonic() + seconds
        process = self._process
        out = bytearray(self._rest)
        is_whole = b'\n' in out
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdin, selectors.EVENT_WRITE)
            ready.register(process.stdout, selectors.EVENT_READ)
            ready.register(process.stderr, selectors.EVENT_READ)
            while not is_whole:
                left = deadline - time.monotonic()
                files = [key.fileobj for key, _ in ready.select(max(left, 0))]
                if left <= 0:
                    raise TooSlow(f'no answer within {seconds:g} s; ended')
                if process.stdin in files:
                    line = self._written(line)
                    if not line:
                        ready.unregister(process.stdin)
                if process.stderr in files and not self._listened():
                    ready.unregister(process.stderr)
                if process.stdout in files:
                    out += (more := os.read(process.stdout.fileno(), 1 << 20))
                    is_whole = b'\n' in more
                    if not more:
                        raise Crashed(self._last_words())
                    if len(out) > MAX_ANSWER:
                        raise Crashed(
                            f'expected an answer of at most {MAX_ANSWER >> 20} MB, got more')
        text, _, self._rest = bytes(out).partition(b'\n')
        return _parsed(text)

    def _written(self, line):
        """Write a part of `line`, and return the rest; it is empty if the process no longer reads."""
        try:
            return line[os.write(self._process.stdin.fileno(), line):]
        except BlockingIOError:
            return line
        except BrokenPipeError:
            return b''

    def _listened(self):
        """Read from stderr and keep the end of it; return False if nothing more comes."""
        try:
            more = os.read(self._process.stderr.fileno(), 1 << 16)
        except BlockingIOError:
            return False
        self._said = (self._said + more)[-KEPT_BYTES:]
        return bool(more)

    # -------------------------------------------------------------- start and end

    def _start(self):
        if len(self._failures) >= MAX_STARTS:
            raise self._failures[-1]
        self._rest = self._said = b''
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True)
        except OSError as e:
            self._failures.append(Crashed(f'did not start: {e}'))
            raise self._failures[-1] from e
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stderr.fileno(), False)
        try:
            about = self._result({'call': 'about'}, max(START_SECONDS, self.time_limit))
            self.about = {_printable(name): _printable(_as_text(version))
                          for name, version in about.items()}
        except (Unsupported, Crashed, TooSlow) as e:
            if self._process is None:
                self._failures.append(type(e)(f'did not start: {e}'))
                raise self._failures[-1] from e
        self._failures = []

    def _end(self):
        """End the process and the processes that it started."""
        if self._process is None:
            return
        process = self._process
        self._process = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()
        for file in (process.stdin, process.stdout, process.stderr):
            file.close()

    def _last_words(self):
        """Return a text on how the process ended, and its last line on stderr."""
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            how = 'closed its output'
        else:
            how = f'ended with status {status}'
            if status < 0:
                how = f'was killed by {signal.Signals(-status).name}'
        while self._listened():
            pass
        said = self._said.decode(errors='replace').strip().splitlines()
        return how + (f': {_printable(said[-1])}' if said else '')


def _parsed(text):
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise Crashed(
            f'expected an answer as JSON on a line, got {_printable(_start(text))}') from None
    if not isinstance(answer, dict):
        raise Crashed(f'expected an object {{...}} as answer, got {_printable(_start(text))}')
    return answer


def _start(text):
    return text[:2 * MAX_TEXT].decode(errors='replace')


def _as_text(value):
    """Return a text as it is, and any other value as JSON."""
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        return f'a {type(value).__name__} that is nested too deep'


def _printable(text):
    """Return a text on one line, without control characters; a long text is cut to its beginning and end."""
    if len(text) > 2 * MAX_TEXT:
        text = f'{text[:MAX_TEXT]} {text[-MAX_TEXT:]}'
    text = ''.join(c if c.isprintable() else c.encode('unicode_escape').decode()
                   for c in ' '.join(text.split()))
    if len(text) <= MAX_TEXT:
        return text
    return f'{text[:MAX_TEXT // 2]} ... {text[-MAX_TEXT // 2:]}'
