"""Where stores are: in directories, of this machine or shared, or in an object store (s3://, gs://, ...)."""
import errno
import json
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from pathlib import Path

__all__ = ['DESCRIBED', 'as_path', 'is_url', 'place']

DESCRIBED = 'zarr.json'


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
        raise ValueError(f'expected {name} to be the path of a file or directory, got {str(path)!r:.100}.')
    return path


def is_url(path):
    return '://' in str(path)


def place(path):
    """A `Directory` or `Bucket`."""
    return Bucket(str(path)) if is_url(path) else Directory(Path(path).absolute())


class Directory:
    """A store in a directory, for one writer at a time.

    Attributes
    ----------
    root : as Zarr takes it, the same for all who see it.
    """

    def __init__(self, root):
        self.root = root

    def has(self, key):
        return (self.root / key).exists()

    @contextmanager
    def held(self):
        """For one writer, and without what one that was killed left unfinished.

        Raises
        ------
        BlockingIOError : another process writes into it.
        OSError         : it cannot be written, or other files are there.
        """
        fcntl, root = import_module('fcntl'), self.root
        with self.writing():
            root.mkdir(parents=True, exist_ok=True)
            others = sorted(p.name for p in root.iterdir() if p.name != '.lock' and p.suffix != '.partial')
            if others and not self.has(DESCRIBED):
                raise OSError(errno.ENOTEMPTY, f'other files there, such as {others[0]}')
            lock = open(root / '.lock', 'w')
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(f'expected a store that nobody writes into, got {root}, which another process '
                                      'has open. Wait for it, or take another path.') from None
            with self.writing():
                for rest in root.rglob('*.partial'):
                    rest.unlink()
                if self.has(DESCRIBED) and not _is_json(root / DESCRIBED):
                    (root / DESCRIBED).unlink()
            yield

    @contextmanager
    def writing(self):
        """Errors of the system say where they come from and what to do."""
        try:
            yield
        except OSError as e:
            raise OSError(e.errno, f'expected to write into the store {self.root}, got: {e.strerror or e}. After the '
                          'cause is gone (a full disk, permissions) the same call goes on; load_kernel only reads.'
                          ) from e


class Bucket(Directory):
    """A store in an object store, which fsspec reaches. Objects are written whole; there is nothing to hold it with."""

    def has(self, key):
        files, root = import_module('fsspec.core').url_to_fs(self.root, use_listings_cache=False)
        return files.exists(f'{root}/{key}')

    @contextmanager
    def held(self):
        """As it is: of two writers both would write the same."""
        yield


def _is_json(path):
    try:
        return bool(json.loads(path.read_bytes()))
    except ValueError:
        return False
