"""Places of stores: directories, local or shared, and object stores (s3://, gs://, ...).

Files are written beside their place, under unique names, and renamed; files and links of others are neither deleted,
emptied nor followed.
"""
import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

__all__ = [
    'DESCRIBED', 'Directory', 'as_path', 'aside', 'is_url', 'local', 'masked', 'place', 'renamed']

DESCRIBED = 'zarr.json'
LOCK = '.lock'
PARTIAL = re.compile(r'.+\.[0-9a-f]{32}\.partial')         # of this module and of Zarr
PASSWORD = re.compile(r'(://[^:/?#\s]*:)[^/?#\s]*@')
PARAMETER = re.compile(
    r'([?&;#][^=&;#\s]*(?:token|key|secret|sig|pass|pwd|credential|auth)[^=&;#\s]*=)'
    r'[^&;#\s\'"]*', re.IGNORECASE)
SECRETS = [(PASSWORD, r'\1***@'), (PARAMETER, r'\1***')]


def as_path(path: str | PathLike, name: str) -> str | PathLike:
    """Return `path`, if it is text or a path.

    Raises
    ------
    TypeError : it is anything else. ValueError : it is empty. Both messages contain `name`.
    """
    if not isinstance(path, (str, PathLike)):
        raise TypeError(f'expected {name} to be a path, text or a pathlib.Path, got {path!r:.100} '
                        f'of type {type(path).__name__}.')
    if not str(path).strip() or '\0' in str(path):
        raise ValueError(f'expected {name} to be the path of a file or directory, got '
                         f"{str(path)!r:.100}. The working directory itself is '.'.")
    return path


def is_url(path: object) -> bool:
    return '://' in str(path)


def masked(text: object) -> str:
    """Return a text without the passwords and keys of the URLs in it.

    >>> masked('got s3://me:geheim@host/k.zarr?version=2&X-Amz-Signature=0123.')
    'got s3://me:***@host/k.zarr?version=2&X-Amz-Signature=***'
    """
    shown = str(text)
    for secret, mask in SECRETS:
        shown = secret.sub(mask, shown)
    return shown


def local(path: str | PathLike) -> str | PathLike:
    """Return the path that a file:// URL names; any other path is returned as it is.

    Raises
    ------
    TypeError  : `path` is neither text nor a path.
    ValueError : the URL has no path, or one of another machine.
    """
    path = as_path(path, 'path')
    if not str(path).lower().startswith('file://'):
        return path
    url = urlsplit(str(path))
    if url.netloc not in ('', 'localhost') or not url.path:
        raise ValueError(f'expected file:///PATH, with the whole path, got {masked(path)}. A plain '
                         'path will do.')
    return url2pathname(url.path)


def place(path: str | PathLike) -> 'Directory':
    """Return the `Directory` or `Bucket` at a path or URL."""
    path = local(path)
    return Bucket(str(path)) if is_url(path) else Directory(Path(path).absolute())


def aside(path: Path) -> Path:
    """Return a path beside `path` with a name that no other writer has."""
    return path.with_name(f'{path.name}.{uuid4().hex}.partial')


@contextmanager
def renamed(path: Path, beside: Path) -> Iterator[IO[bytes]]:
    """Open a new file `beside` for writing; rename it to `path` when it is whole, or delete it after an error."""
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
    root : the Path, or the URL as text, as Zarr takes it, the same for all processes that use the store.
    shown : the same text for messages, without passwords.
    """

    def __init__(self, root: Any):
        self.root = root
        self.shown = masked(root)

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a file, or None if it does not exist."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def own(self, key: str) -> None:
        """Raise OSError if a folder on the way to a key is a link, whose target is not part of the store."""
        for above in Path(key).parents[:-1]:
            folder = self.root / above
            if folder.is_symlink():
                raise OSError(errno.ELOOP, f'a symbolic link at {folder}, which is not followed')

    def write(self, key: str, content: bytes) -> None:
        self.own(key)
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with renamed(path, aside(path)) as f:
            f.write(content)

    def others(self) -> list[str]:
        """Return the names of files that cannot belong to a store that was just begun."""
        if not self.root.exists():
            return []
        return sorted(p.name for p in self.root.iterdir()
                      if p.is_symlink() or p.name != LOCK and not PARTIAL.fullmatch(p.name))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the directory for one writer.

        Raises
        ------
        BlockingIOError : another process, or another call in this one, writes into the directory.
        OSError         : the directory cannot be written.
        """
        lock = import_module('filelock').FileLock(self.root / LOCK, timeout=0, thread_local=False)
        with self.writing():
            self.root.mkdir(parents=True, exist_ok=True)
            is_free = _acquired(lock)
        if not is_free:
            raise BlockingIOError(f'expected a store that nobody writes into, got {self.shown}, '
                                  'which another process has open. Wait for it, or take another '
                                  'path.')
        try:
            yield
        finally:
            lock.release()

    def tidy(self, names: Iterable[str]) -> None:
        """Delete the partial files that killed writers of arrays with these names left."""
        with self.writing():
            for name in names:
                self.own(f'{name}/{DESCRIBED}')
            inside = [(self.root / name).rglob('*.partial') for name in names]
            for rest in chain(self.root.glob('*.partial'), *inside):
                if PARTIAL.fullmatch(rest.name) and rest.is_file() and not rest.is_symlink():
                    rest.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make errors of the system say where they come from and what to do, without passwords."""
        try:
            with _masking():
                yield
        except OSError as e:
            raise OSError(
                e.errno, f'expected to write into the store {self.shown}, got: {e.strerror or e}. '
                'Once the cause is fixed (a full disk, permissions), repeat the call to resume; '
                'load_kernel only reads.') from e


class Bucket(Directory):
    """A store in an object store, accessed by fsspec. Objects are written whole; there are no locks."""

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
        """Do nothing: an object store has neither folders nor links."""

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
        inside = [name for name in found if name.strip('/') != root.strip('/')]
        return sorted(name.rpartition('/')[2] for name in inside)

    @contextmanager
    def held(self):
        """Lock nothing: two writers would both write the same."""
        yield

    def tidy(self, names):
        """Do nothing: no object is ever partly written."""


@contextmanager
def _masking():
    """Remove the passwords and keys of URLs from errors."""
    try:
        yield
    except Exception as e:
        if masked(e) == str(e):
            raise
        if isinstance(e, OSError):
            found = OSError(e.errno, masked(e.strerror or e))
        else:
            found = ValueError(masked(e))
    else:
        return
    raise found from None


def _acquired(lock):
    """Acquire a lock, and return True; return False if another has it."""
    try:
        lock.acquire()
    except import_module('filelock').Timeout:
        return False
    except OSError as e:
        if e.errno != errno.ELOOP:
            raise
        raise OSError(e.errno, f'a symbolic link at {lock.lock_file}, which is not followed') from None
    return True
