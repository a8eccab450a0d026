"""Objects of a bucket, through the file systems of fsspec: the half of `storage` that is not a disk.

What may pass (throttling, resets, timeouts, a server that is restarted) is tried again with growing pauses, and told in
the log; what does not pass (credentials, bucket, region) is an error at once. An object is written whole or not at all.
"""

import contextlib
import datetime
import errno
import functools
import hashlib
import http.client
import importlib.util
import io
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

import fsspec
import tenacity

from components.shared.progress import LOGGER
from components.shared.storage_entry import Entry

RETRY_SECONDS = 120  # since the first failure of a call
MAX_PAUSE_SECONDS = 15
MAX_CONCURRENT = 16  # objects that a call reads at a time
EXTRAS = {"s3": "s3", "s3a": "s3"}  # scheme -> extra of this package
_TRANSIENT_ERRNO = {errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE}
_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
_Result = TypeVar("_Result")
# S3's clients try again by themselves, without a word: here it is done in one place
_OPTIONS: Mapping[str, dict[str, Any]] = {"s3": {"config_kwargs": {"retries": {"total_max_attempts": 1}}}}
_ONE_REQUEST = {"s3": {"max_concurrency": 1}}  # of `cat_file`, which else asks for the size first


class StorageError(OSError):
    """An object store refuses an operation; the message says what to do."""

    def __init__(self, message: str):
        super().__init__(message)
        self.errno = errno.EIO


class StorageUnavailableError(StorageError):
    """The store does not answer, or answers with errors, for longer than it is waited for."""


class StorageAccessError(StorageError):
    """There are no credentials, or they do not suffice."""


def read_bytes(uri: str, num_bytes: int | None = None) -> bytes:
    """Reads an object, or its first bytes."""
    options = _ONE_REQUEST.get(_scheme(uri), {})
    return _call(uri, lambda fs, path: fs.cat_file(path, 0 if num_bytes else None, num_bytes, **options))


def read_many(uris: Sequence[str], num_bytes: int | None = None) -> Iterator[bytes | FileNotFoundError]:
    """Reads objects of one file system, several at a time.

    Args:
      uris: the objects.
      num_bytes: how much of the beginning of each is read; None for all of it.

    Yields:
      the bytes of each object, in their order; its error where there is none.

    Raises:
      StorageError: an object can't be read, though it may be there.
    """
    for start in range(0, len(uris), MAX_CONCURRENT):
        group = uris[start : start + MAX_CONCURRENT]
        for uri, result in zip(group, _read_group(group, num_bytes), strict=True):
            if not isinstance(result, bytes):  # what may pass is tried again, and the others get their message
                try:
                    result = read_bytes(uri, num_bytes)
                except FileNotFoundError as error:
                    result = error
            yield result


def open_for_reading(uri: str, block_bytes: int) -> BinaryIO:
    """Opens an object for reading at any position.

    Args:
      uri: the object.
      block_bytes: how much is read ahead where something is read.
    """
    entry = stat(uri)
    if entry is None or entry.is_directory:
        raise _no_such_object(uri)
    return io.BufferedReader(_ObjectFile(uri, entry.size), block_bytes)


class _ObjectFile(io.RawIOBase):
    """An object that is read at random: each part by a request that is tried again by itself."""

    def __init__(self, uri: str, size: int):
        super().__init__()
        self._uri, self._size, self._position = uri, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        start, end = self._position, min(self._position + len(buffer), self._size)
        if start >= end:
            return 0
        options = _ONE_REQUEST.get(_scheme(self._uri), {})
        data = _call(self._uri, lambda fs, path: fs.cat_file(path, start=start, end=end, **options))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def write_bytes(uri: str, data: bytes) -> None:
    """Writes a small object."""
    _call(uri, lambda fs, path: fs.pipe_file(path, data))


def upload(file: str, uri: str) -> None:
    """Writes an object from a file on the disk."""
    _call(uri, lambda fs, path: fs.put_file(file, path))


def download(uri: str, file: str) -> None:
    """Reads an object into a file on the disk."""
    _call(uri, lambda fs, path: fs.get_file(path, file))


def stat(uri: str) -> Entry | None:
    """The entry of an object, or of a prefix with objects below it; None if there is neither."""
    try:
        return _entry(_call(uri, lambda fs, path: fs.info(path)))
    except FileNotFoundError:
        return None


def _read_group(uris: Sequence[str], num_bytes: int | None) -> Sequence[Any]:
    """Reads objects at the same time; something else than bytes stands for those that could not be read."""
    fs, _ = _filesystem(uris[0])
    if _scheme(uris[0]) in EXTRAS:
        from components.shared import signed_reads

        return signed_reads.read(fs, uris, num_bytes, MAX_CONCURRENT)
    return fs.cat_ranges(list(uris), 0 if num_bytes else None, num_bytes)


def is_version(uri: str, data: bytes | None, version: str) -> bool:
    """Whether an object still has a version of a listing.

    Args:
      uri: the object.
      data: all of its bytes, which mostly save a request; None if they are not known.
      version: see `Entry`.
    """
    # most stores have the MD5 in the ETag of an object that was written in one piece
    if data is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() == version:
        return True
    entry = stat(uri)
    return entry is not None and entry.version == version


def list_directory(uri: str) -> list[Entry]:
    """The entries directly below a prefix, sorted by name; none if there is nothing."""
    try:
        found = _call(uri, lambda fs, path: (fs.ls(path, detail=True), path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    infos, path = found
    return sorted((_entry(info) for info in infos if not _is_marker(info, path)), key=lambda entry: entry.name)


def list_tree(uri: str) -> dict[str, Entry]:
    """All objects below a prefix by paged listings: path below it -> entry; empty if there are none."""
    infos, path = _call(uri, lambda fs, path: (fs.find(path, detail=True), path))
    base = path.rstrip("/") + "/"
    return {
        name.removeprefix(base): _entry(info)
        for name, info in sorted(infos.items())
        if name.startswith(base) and not _is_marker(info, path)
    }


def remove(uri: str) -> None:
    """Deletes an object and everything below it as a prefix; no error if there is nothing."""

    def find(fs: fsspec.AbstractFileSystem, path: str) -> list[str]:
        return [name for name in fs.find(path) if name == path or name.startswith(path.rstrip("/") + "/")]

    def delete(fs: fsspec.AbstractFileSystem, path: str) -> None:
        names = find(fs, path)
        if len(names) > 1:
            fs.rm(names)
            names = sorted(set(names) & set(find(fs, path)))  # S3's says nothing where it may not delete some
        for name in names:
            fs.rm_file(name)

    try:
        _call(uri, delete)
    except FileNotFoundError:  # another process was faster
        return


def _call(uri: str, operation: Callable[[fsspec.AbstractFileSystem, str], _Result]) -> _Result:
    """Carries out an operation of a file system, again and again while its failure may pass.

    Raises:
      FileNotFoundError: there is no such object or bucket.
      StorageUnavailableError: it fails for longer than `RETRY_SECONDS`.
      StorageError: any other failure.
    """
    fs, path = _filesystem(uri)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        stop=_RetrySeconds(RETRY_SECONDS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=MAX_PAUSE_SECONDS),
        before_sleep=functools.partial(_log_retry, uri),
        reraise=True,
    )
    try:
        return retrying(operation, fs, path)
    except FileNotFoundError as error:
        raise _no_such_object(uri) from error
    except Exception as error:
        cause = _first_line(error)
        if _is_transient(error):
            raise StorageUnavailableError(
                f"{uri}: the object store fails since {RETRY_SECONDS} s ({cause}): check that it runs, and its "
                f"endpoint{_variable(uri, 'AWS_ENDPOINT_URL_S3')}, then run again"
            ) from error
        if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
            raise StorageAccessError(
                f"{uri}: access denied ({cause}): check the credentials in the environment, and their rights"
            ) from error
        raise StorageError(
            f"{uri}: {cause}: check the bucket's name, its region{_variable(uri, 'AWS_REGION')} and the "
            f"endpoint{_variable(uri, 'AWS_ENDPOINT_URL_S3')}"
        ) from error


class _RetrySeconds(tenacity.stop.stop_base):
    """Stops some seconds after the first failure: the transfer of a large object takes longer until it fails."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._first_failure: float | None = None

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        now = time.monotonic()
        if self._first_failure is None:
            self._first_failure = now
        return now - self._first_failure >= self._seconds


def _no_such_object(uri: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "No such object or bucket", uri)


def _variable(uri: str, name: str) -> str:
    """Names an environment variable of S3's clients in a message about S3."""
    return f" ({name})" if _scheme(uri) in EXTRAS else ""


def _log_retry(uri: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0
    LOGGER.warning("%s: %s; trying again in %.1f s", uri, _first_line(error), pause)


def _is_transient(error: BaseException) -> bool:
    """Whether a failure may pass if the same is tried again."""
    if isinstance(error, (TimeoutError, ConnectionError, http.client.IncompleteRead)):
        return True
    if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO:
        return True
    if _http_status(error) in _TRANSIENT_STATUS:
        return True
    return isinstance(error, _network_errors()) and "SSL" not in type(error).__name__


def _http_status(error: BaseException) -> int | None:
    """The status of a server's answer, which is all that a proxy before the store says; None if there is none."""
    response = getattr(error.__cause__, "response", None)  # of S3's client; s3fs knows what the store's own codes mean
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None


@functools.cache
def _network_errors() -> tuple[type[BaseException], ...]:
    """What the libraries below fsspec raise where a connection fails; those that are installed."""
    types: list[type[BaseException]] = []
    with contextlib.suppress(ImportError):
        import botocore.exceptions

        types += [botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError]
    with contextlib.suppress(ImportError):
        import aiohttp

        types.append(aiohttp.ClientError)
    return tuple(types)


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URI, and the path in it. Its listings are never cached: other processes write as well."""
    scheme = _scheme(uri)
    if scheme == "gs" and importlib.util.find_spec("gcsfs") is None:
        from components.shared.tensorflow_filesystem import TensorFlowFileSystem

        return TensorFlowFileSystem(), uri
    try:
        fs, path = fsspec.core.url_to_fs(uri, use_listings_cache=False, **_OPTIONS.get(scheme, {}))
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        command = f"pip install 'caption-pipeline[{extra}]'" if extra else _first_line(error)
        raise ValueError(f"{uri}: {scheme}:// needs a package that is not installed: {command}") from error
    except ValueError as error:
        raise ValueError(f"{uri}: {scheme}:// is not a known file system") from error
    if scheme in EXTRAS and fs.session is None:  # it is new
        from components.shared import s3_session

        fs.session = s3_session.new_session(fs.kwargs)
    return fs, path


def _scheme(uri: str) -> str:
    return uri.partition("://")[0]


def _entry(info: Mapping[str, Any]) -> Entry:
    is_directory = info["type"] == "directory"
    mtime = _mtime(info)
    version = info.get("ETag") or info.get("etag") or info.get("md5Hash") or str(mtime)
    size = 0 if is_directory else int(info.get("size") or 0)
    return Entry(posixpath.basename(info["name"].rstrip("/")), size, mtime, is_directory, str(version).strip('"'))


def _mtime(info: Mapping[str, Any]) -> float:
    """Seconds since 1970 of the last modification, as file systems report it under their own names; 0 if not at all."""
    for key in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    return 0.0


def _is_marker(info: Mapping[str, Any], path: str) -> bool:
    """Whether an object only marks a prefix as a directory, as consoles and other tools create them."""
    name = info["name"]
    return name.rstrip("/") == path.rstrip("/") or (name.endswith("/") and info["type"] != "directory")
