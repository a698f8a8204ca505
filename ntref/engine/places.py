"""Where stores are: in directories, of this machine or shared, or in an object store (s3://, gs://, ...).

Files are written aside, under names of their own, and renamed; what is not ours is neither deleted, emptied nor
followed.
"""
import errno
import os
import re
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from os import PathLike
from pathlib import Path
from threading import RLock
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

__all__ = ['DESCRIBED', 'Directory', 'aside', 'as_path', 'is_url', 'local', 'masked', 'place', 'renamed']

DESCRIBED = 'zarr.json'
LOCK = '.lock'
PARTIAL = re.compile(r'.+\.[0-9a-f]{32}\.partial')         # ours, and Zarr's
SECRETS = [(re.compile(r'(://[^:/?#\s]*:)[^/?#\s]*@'), r'\1***@'),
           (re.compile(r'([?&;#][^=&;#\s]*(?:token|key|secret|sig|pass|pwd|credential|auth)[^=&;#\s]*=)[^&;#\s\'"]*',
                       re.IGNORECASE), r'\1***')]


def as_path(path, name):
    """`path` itself, text or a path.

    Raises
    ------
    TypeError : anything else. ValueError : empty. Both say `name`.
    """
    if not isinstance(path, (str, PathLike)):
        raise TypeError(f'expected {name} to be a path, text or a pathlib.Path, got {path!r:.100} of type '
                        f'{type(path).__name__}.')
    if not str(path).strip() or '\0' in str(path):
        raise ValueError(f'expected {name} to be the path of a file or directory, got {str(path)!r:.100}. The working '
                         "directory itself is '.'.")
    return path


def is_url(path):
    return '://' in str(path)


def masked(text):
    """A text without the passwords and keys of the URLs in it.

    >>> masked('got s3://me:geheim@host/k.zarr?version=2&X-Amz-Signature=0123.')
    'got s3://me:***@host/k.zarr?version=2&X-Amz-Signature=***'
    """
    for secret, shown in SECRETS:
        text = secret.sub(shown, str(text))
    return text


def local(path):
    """The path that a URL file:// names; anything else as it is.

    Raises
    ------
    TypeError  : neither text nor a path.
    ValueError : nothing, or of another machine.
    """
    path = as_path(path, 'path')
    if not str(path).lower().startswith('file://'):
        return path
    url = urlsplit(str(path))
    if url.netloc not in ('', 'localhost') or not url.path:
        raise ValueError(f'expected file:///PATH, with the whole path, got {masked(path)}. A plain path will do.')
    return url2pathname(url.path)


def place(path):
    """A `Directory` or `Bucket`."""
    path = local(path)
    return Bucket(str(path)) if is_url(path) else Directory(Path(path).absolute())


def aside(path):
    """Beside a path, a name that no other writer has."""
    return path.with_name(f'{path.name}.{uuid4().hex}.partial')


@contextmanager
def renamed(path, beside):
    """A file to write, under the name `beside`, where nothing may be; it becomes `path` when it is whole, or vanishes.
    """
    f = open(beside, 'xb')                                 # O_EXCL: follows no link
    try:
        with f:
            yield f
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


class Directory:
    """A store in a directory, for one writer at a time.

    Attributes
    ----------
    root : as Zarr takes it, the same for all who see it.
    shown : the same for messages, without passwords.
    """

    def __init__(self, root):
        self.root, self.shown = root, masked(root)

    def read(self, key):
        """Its bytes; None if it is not there."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def own(self, key):
        """Raises OSError where a folder on the way to a key is a link: what is behind it is not ours."""
        for above in Path(key).parents[:-1]:
            if (self.root / above).is_symlink():
                raise OSError(errno.ELOOP, f'a symbolic link at {self.root / above}, which is not followed')

    def write(self, key, content):
        self.own(key)
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with renamed(path, aside(path)) as f:
            f.write(content)

    def others(self):
        """Names of what is there and cannot be of a store that was just begun."""
        if not self.root.exists():
            return []
        return sorted(p.name for p in self.root.iterdir()
                      if p.is_symlink() or p.name != LOCK and not PARTIAL.fullmatch(p.name))

    @contextmanager
    def held(self):
        """For one writer.

        Raises
        ------
        BlockingIOError : another process writes into it.
        ImportError     : nothing to hold it with, as on Windows.
        OSError         : it cannot be written.
        """
        fcntl = _fcntl()
        with self.writing():
            self.root.mkdir(parents=True, exist_ok=True)
            lock = _kept_open(self.root / LOCK)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(f'expected a store that nobody writes into, got {self.shown}, which another '
                                      'process has open. Wait for it, or take another path.') from None
            yield
        finally:
            _close(lock)

    def tidy(self, names):
        """Deletes what writers of arrays with these names left unfinished when they were killed."""
        with self.writing():
            for name in names:
                self.own(f'{name}/{DESCRIBED}')
            folders = [self.root / name for name in names]
            for rest in chain(self.root.glob('*.partial'), *(folder.rglob('*.partial') for folder in folders)):
                if PARTIAL.fullmatch(rest.name) and rest.is_file() and not rest.is_symlink():
                    rest.unlink(missing_ok=True)

    @contextmanager
    def writing(self):
        """Errors of the system say where they come from and what to do, and no passwords."""
        try:
            with _masking():
                yield
        except OSError as e:
            raise OSError(e.errno, f'expected to write into the store {self.shown}, got: {e.strerror or e}. Once '
                          'the cause is fixed (a full disk, permissions), repeat the call to resume; load_kernel only '
                          'reads.'
                          ) from e


class Bucket(Directory):
    """A store in an object store, which fsspec reaches. Objects are written whole; there is nothing to hold it with."""

    def _files(self):
        return import_module('fsspec.core').url_to_fs(self.root, use_listings_cache=False)

    def read(self, key):
        with _masking():
            files, root = self._files()
            try:
                return files.cat_file(f'{root}/{key}')
            except (FileNotFoundError, NotADirectoryError):
                return None

    def own(self, key):
        """There are neither folders nor links."""

    def write(self, key, content):
        files, root = self._files()
        files.pipe_file(f'{root}/{key}', content)

    def others(self):
        with _masking():
            files, root = self._files()
            try:
                found = files.ls(root, detail=False)
            except FileNotFoundError:
                return []
        return sorted(name.rpartition('/')[2] for name in found if name.strip('/') != root.strip('/'))

    @contextmanager
    def held(self):
        """As it is: of two writers both would write the same."""
        yield

    def tidy(self, names):
        """Nothing is ever half there."""


@contextmanager
def _masking():
    """Errors come without the passwords and keys of URLs."""
    try:
        yield
    except Exception as e:
        if masked(e) == str(e):
            raise
        found = OSError(getattr(e, 'errno', None), masked(getattr(e, 'strerror', None) or e)) \
            if isinstance(e, OSError) else ValueError(masked(e))
    else:
        return
    raise found from None


# ------------------------------------------------------------------ locks

_locks, _guard = set(), RLock()                            # descriptors of this process; for forks meanwhile


def _fcntl():
    try:
        return import_module('fcntl')
    except ImportError:
        raise ImportError('expected the module fcntl, which holds a store in a directory for one writer, got none, as '
                          'on Windows. Compute in memory and save_kernel the result, or write to the URL of an object '
                          'store.') from None


def _kept_open(path):
    """A descriptor of the file, made if there is none, that processes forked from this one do not keep."""
    with _guard:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as e:
            if e.errno != errno.ELOOP:
                raise
            raise OSError(e.errno, f'a symbolic link at {path}, which is not followed') from None
        _locks.add(lock)
    return lock


def _close(lock):
    with _guard:
        if lock in _locks:                                 # not so in a process forked meanwhile
            _locks.remove(lock)
            os.close(lock)


def _after_fork():
    """The lock of a file is held as long as any process has this descriptor: the child lets go, the parent holds it."""
    for lock in _locks:
        os.close(lock)
    _locks.clear()
    _guard.release()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_after_fork)
