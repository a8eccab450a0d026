"""A read-through cache of immutable objects on the node's disk, for what reads local paths alone: TensorFlow, Keras.

It is bounded and safe for several processes, see `disk_cache`. TensorFlow is not loaded.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import os
import posixpath
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from components.shared import object_store, storage
from components.shared.disk_cache import DiskCache, DiskFullError, entry_name
from components.shared.progress import Progress, polled
from components.shared.storage_entry import Entry

DIRECTORY, LIMIT = "CAPTION_PIPELINE_CACHE", "CAPTION_PIPELINE_CACHE_GIB"  # environment variables
DEFAULT_GIB = 20
CONCURRENT_DOWNLOADS = 16
LARGE_BYTES = 2**26  # a download that is reported while it goes on
_ITSELF = "."  # relative path of an object that is no part of a tree
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class NodeCacheError(OSError):
    """The node's disk does not take what is to be read; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class _Copy:
    """What the disk is to have: an object, or all objects below a prefix.

    Attributes:
      uri: the object or prefix.
      files: relative path -> entry.
    """

    uri: str
    files: Mapping[str, Entry]

    @functools.cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    @functools.cached_property
    def name(self) -> str:
        """The name of its entry, another one for every other content."""
        content = [self.uri, *sorted((path, entry.size, entry.version) for path, entry in self.files.items())]
        return entry_name(hashlib.sha256(json.dumps(content).encode()).hexdigest(), self.size)

    def below(self, folder: str, file: str = _ITSELF) -> str:
        """The path of a file in a folder of the copy's own: the last part of its name means something to readers."""
        return os.path.normpath(os.path.join(folder, posixpath.basename(self.uri.rstrip("/")), file))

    def is_complete(self, folder: str) -> bool:
        """Whether all files have their full size: a power cut can leave less."""
        try:
            return all(os.path.getsize(self.below(folder, file)) == entry.size for file, entry in self.files.items())
        except OSError:
            return False


def file(path: str, entry: Entry | None = None) -> str:
    """Returns the local path of a copy of an object; a path on a disk is returned as it is.

    Args:
      path: the path or URI.
      entry: of `storage.stat` or a listing, which saves a request.

    Raises:
      FileNotFoundError: there is no such object.
      NodeCacheError: the node's disk is too small, or can't be written.
      StorageError: the object can't be read.
    """
    return files([path], {path: entry} if entry else {})[0]


def files(paths: Sequence[str], entries: Mapping[str, Entry] | None = None) -> list[str]:
    """Returns the local paths of copies of objects, of which several are downloaded at a time; see `file`.

    Args:
      paths: the paths or URIs.
      entries: path -> entry of `storage.stat` or a listing; each saves a request.
    """
    known = entries or {}
    uris = list(dict.fromkeys(path for path in paths if not storage.is_local(path)))

    def copy_of(uri: str) -> _Copy:
        entry = known.get(uri) or storage.stat(uri)
        if entry is None or entry.is_directory:
            raise FileNotFoundError(errno.ENOENT, "No such object or bucket", uri)
        return _Copy(uri, {_ITSELF: entry})

    local = dict(zip(uris, _obtain(_in_parallel(copy_of, uris)), strict=True))
    return [local.get(path, path) for path in paths]


def tree(path: str) -> str:
    """Returns a local directory with a copy of all objects below a prefix; one on a disk is returned as it is.

    It costs one paged listing where nothing has changed. The exceptions are those of `file`.
    """
    if storage.is_local(path):
        return path
    objects = object_store.list_tree(path)
    if not objects:
        raise FileNotFoundError(errno.ENOENT, "No such object or bucket", path)
    for name in objects:
        if posixpath.normpath(f"/{name}") != f"/{name}":
            raise NodeCacheError(f"{path}: no file can have the name of the object {name!r}: rename or delete it")
    return _obtain([_Copy(path, objects)])[0]


def adopt(uri: str, directory: str) -> None:
    """Takes the files that were uploaded below a prefix for the copy of it, so that nobody on this node downloads them.

    Args:
      uri: the prefix.
      directory: the files' directory, in a folder of `scratch`; it is moved.
    """
    objects = object_store.list_tree(uri)
    if not objects or objects.keys() != set(storage.list_files(directory)):
        return  # another process has written there, or nothing was
    copy, cache = _Copy(uri, objects), _cache()
    is_complete = functools.partial(copy.is_complete, cache.path(copy.name))
    if cache.ask_for({copy.name: is_complete}):
        cache.make_room(0, _max_bytes())
        with cache.writing(copy.name, is_complete) as folder:
            if folder:
                os.rename(directory, copy.below(folder))


def scratch() -> contextlib.AbstractContextManager[str]:
    """Yields an empty folder on the node's disk, which is deleted at the end, and by the next process after a kill."""
    return _cache().scratch()


def read_copy(get: Callable[[str], str], path: str, read: Callable[[str], _Result]) -> _Result:
    """Reads a copy; where that fails, once more from a new copy, since the first may be damaged.

    Args:
      get: `file` or `tree`.
      path: the path or URI; what lies on a disk is read once.
      read: reads a local path.
    """
    copy = get(path)
    if storage.is_local(path):
        return read(copy)
    try:
        return read(copy)
    except Exception:
        if not discard([copy]):
            raise
    return read(get(path))


def discard(copies: Collection[str]) -> int:
    """Deletes local copies that turned out to be damaged; they are downloaded again when they are asked for.

    Args:
      copies: paths that `file`, `files` or `tree` have returned; what is no copy is left alone.

    Returns:
      the number of copies that were deleted.
    """
    cache = _cache()
    names = {name for copy in copies if (name := cache.name_of(copy))}
    return cache.discard(names) if names else 0


def directory() -> str:
    """Returns the directory of the cache, which exists and can be written.

    Raises:
      NodeCacheError: there is none that can be written.
    """
    if chosen := os.environ.get(DIRECTORY):
        path = os.path.abspath(os.path.expanduser(chosen))
        if not _is_writable(path):
            raise NodeCacheError(_not_writable(path))
        return path
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    shared = os.path.join(tempfile.gettempdir(), f"caption-pipeline-{os.getuid()}")
    for path in (os.path.join(home, "caption-pipeline"), shared):
        # what is in it is trusted: in a directory for all, another user may have made it
        if _is_writable(path) and os.stat(path).st_uid == os.geteuid():
            return path
    raise NodeCacheError(_not_writable(shared))


def _not_writable(path: str) -> str:
    return f"{path}: can't be written: set {DIRECTORY} to a directory on this machine's disk"


def _is_writable(path: str) -> bool:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK | os.X_OK)


def _max_bytes() -> float:
    text = os.environ.get(LIMIT) or str(DEFAULT_GIB)
    try:
        gib = float(text)
    except ValueError:
        gib = -1.0
    if not gib >= 0:
        raise NodeCacheError(f"{LIMIT}: {text!r} is not a number of GiB: set it to one, such as {DEFAULT_GIB}")
    return gib * 2**30


def _cache() -> DiskCache:
    return _cache_in(directory())


@functools.cache
def _cache_in(path: str) -> DiskCache:
    return DiskCache(path)  # it keeps a lock as long as this process lives


def _obtain(copies: Sequence[_Copy]) -> list[str]:
    """Downloads what the disk lacks; returns the local paths."""
    if not copies:
        return []
    cache = _cache()
    folders = {copy.name: cache.path(copy.name) for copy in copies}
    what = copies[0].uri + (f" and {len(copies) - 1} more" if len(copies) > 1 else "")
    with explaining_disk_errors(cache.directory, what, sum(copy.size for copy in copies)):
        checks = {copy.name: functools.partial(copy.is_complete, folders[copy.name]) for copy in copies}
        missing = set(cache.ask_for(checks))
        if missing:
            _download(cache, [copy for copy in copies if copy.name in missing])
    return [copy.below(folders[copy.name]) for copy in copies]


@contextlib.contextmanager
def explaining_disk_errors(path: str, what: str, num_bytes: int) -> Iterator[None]:
    """Says what to do where the disk is full or not to be written.

    Args:
      path: the directory that is written to.
      what: what is written to it.
      num_bytes: its size.

    Raises:
      NodeCacheError: in the place of such an error.
    """
    try:
        yield
    except OSError as error:
        cause = error.__cause__ if isinstance(error, object_store.StorageError) else error
        if isinstance(cause, DiskFullError) or getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            size = f"{num_bytes / 2**30:.1f} GiB"
            raise NodeCacheError(
                f"{path}: no room for {what} ({size}): make some, or set {DIRECTORY} to a directory on a larger disk"
            ) from error
        if getattr(cause, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise NodeCacheError(_not_writable(path)) from error
        raise


def _download(cache: DiskCache, copies: Sequence[_Copy]) -> None:
    """Downloads copies, several files at a time."""
    cache.make_room(sum(copy.size for copy in copies), _max_bytes())
    with _reporting(copies) as done:
        _in_parallel(lambda copy: _fetch(cache, copy, done), copies)


def _fetch(cache: DiskCache, copy: _Copy, done: dict[str, int]) -> None:
    """Downloads one copy, unless another process has done so meanwhile.

    Args:
      cache: where it is to lie.
      copy: what to download.
      done: path of a file -> its bytes once it is complete, 0 before; it is added to.
    """

    def fetch_file(item: tuple[str, Entry]) -> None:
        name, entry = item
        uri, local = copy.uri if name == _ITSELF else posixpath.join(copy.uri, name), copy.below(folder, name)
        os.makedirs(os.path.dirname(local), exist_ok=True)
        done[local] = 0
        try:
            object_store.download(uri, local)
        except FileNotFoundError as error:
            if not os.path.isdir(folder):  # it is not the object that is missing
                raise NodeCacheError(
                    f"{cache.directory} was deleted in use: run again, and delete it only when no run is in progress"
                ) from error
            raise
        if os.path.getsize(local) != entry.size:
            raise NodeCacheError(f"{uri} has changed while it was downloaded; run again")
        done[local] = entry.size

    with cache.writing(copy.name, lambda: copy.is_complete(cache.path(copy.name))) as folder:
        if folder:
            _in_parallel(fetch_file, list(copy.files.items()))
        else:
            done[copy.name] = copy.size


@contextlib.contextmanager
def _reporting(copies: Sequence[_Copy]) -> Iterator[dict[str, int]]:
    """Reports a long download; yields the `done` of `_fetch`."""
    done: dict[str, int] = {}
    total = sum(copy.size for copy in copies)

    def mebibytes() -> int:
        return sum(size or _size(path) for path, size in done.copy().items()) // 2**20

    progress = Progress(f"MiB from {posixpath.dirname(copies[0].uri)}", total // 2**20)
    with polled(progress, mebibytes) if total >= LARGE_BYTES else contextlib.nullcontext():
        yield done


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # not begun
        return 0


def _in_parallel(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Calls a function for several items at a time; after an error, for no further one."""
    if len(items) <= 1:
        return [function(item) for item in items]
    pool = concurrent.futures.ThreadPoolExecutor(CONCURRENT_DOWNLOADS)
    try:
        return [future.result() for future in [pool.submit(function, item) for item in items]]
    finally:
        pool.shutdown(cancel_futures=True)
