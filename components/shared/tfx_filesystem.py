"""The file systems of `storage`, for TFX: what it opens, lists and deletes below a pipeline root in a bucket.

TFX's own, which is TensorFlow's, claims `s3://`, and TensorFlow has had none since 2.6.
"""

import contextlib
import errno
import fnmatch
import io
import os
from collections.abc import Callable, Iterator
from typing import IO, Any

import fsspec
from tfx.dsl.io import (
    fileio,  # registers TFX's own first
    filesystem,
)
from tfx.dsl.io.filesystem_registry import DEFAULT_FILESYSTEM_REGISTRY

from components.shared import storage

PRIORITY = 0  # TensorFlow's stands at 10, and the lowest wins
WILDCARDS = "*?["


class StorageFilesystem(filesystem.Filesystem):
    """A plugin of TFX's registry; see `tfx.dsl.io.filesystem.Filesystem`."""

    SUPPORTED_SCHEMES = tuple(f"{protocol}://" for protocol in fsspec.available_protocols() if protocol != "file")

    @staticmethod
    def open(name: Any, mode: str = "r") -> IO[Any]:
        """Opens an object for reading, or for writing: it appears when the file is closed."""
        uri = _text(name)
        if "r" in mode:
            with _not_found():
                data = storage.read_bytes(uri)
            return io.BytesIO(data) if "b" in mode else io.StringIO(data.decode())
        return _Upload(uri) if "b" in mode else io.TextIOWrapper(_Upload(uri), encoding="utf-8", write_through=True)

    @staticmethod
    def copy(src: Any, dst: Any, overwrite: bool = False) -> None:
        """Copies an object."""
        if not overwrite and storage.exists(_text(dst)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), _text(dst))
        with _not_found():
            storage.copy(_text(src), _text(dst))

    @staticmethod
    def exists(path: Any) -> bool:
        """Whether there is an object, or objects below a prefix."""
        return storage.exists(_text(path))

    @staticmethod
    def glob(pattern: Any) -> list[Any]:
        """The objects and prefixes that match a pattern, sorted."""
        base, _, rest = _text(pattern).partition("://")
        parts = rest.split("/")
        fixed = next((i for i, part in enumerate(parts) if set(part) & set(WILDCARDS)), len(parts))
        found = [f"{base}://{'/'.join(parts[:fixed])}"]
        for part in parts[fixed:]:
            found = [f"{place}/{name}" for place in found for name in fnmatch.filter(storage.list_names(place), part)]
        return sorted(found) if fixed < len(parts) else [uri for uri in found if storage.exists(uri)]

    @staticmethod
    def isdir(path: Any) -> bool:
        """Whether there are objects below a prefix."""
        return storage.is_directory(_text(path))

    @staticmethod
    def listdir(path: Any) -> list[Any]:
        """The names directly below a prefix."""
        return storage.list_names(_text(path))

    @staticmethod
    def makedirs(path: Any) -> None:
        """Does nothing: a bucket has no directories."""

    @staticmethod
    def mkdir(path: Any) -> None:
        """Does nothing: a bucket has no directories."""

    @staticmethod
    def remove(path: Any) -> None:
        """Deletes an object; TFX calls it, too, for a directory that it takes as made."""
        storage.remove(_text(path))

    @staticmethod
    def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
        """Copies an object, and then deletes the first."""
        StorageFilesystem.copy(src, dst, overwrite)
        storage.remove(_text(src))

    @staticmethod
    def rmtree(path: Any) -> None:
        """Deletes all objects below a prefix."""
        storage.remove(_text(path))

    @staticmethod
    def stat(path: Any) -> storage.Entry:
        """The entry of an object."""
        entry = storage.stat(_text(path))
        if entry is None:
            raise filesystem.NotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), _text(path))
        return entry

    @staticmethod
    def walk(
        top: Any, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterator[tuple[Any, list[Any], list[Any]]]:
        """Walks the prefixes below one, as `os.walk`."""
        del onerror  # nothing is unreadable by itself
        folders: dict[str, tuple[set[str], list[str]]] = {"": (set(), [])}
        for name in storage.list_files(_text(top)):
            folder, _, file = name.rpartition("/")
            folders.setdefault(folder, (set(), []))[1].append(file)
            while folder:
                above, _, directory = folder.rpartition("/")
                folders.setdefault(above, (set(), []))[0].add(directory)
                folder = above
        for folder in sorted(folders, reverse=not topdown):
            directories, files = folders[folder]
            yield os.path.join(_text(top), folder) if folder else _text(top), sorted(directories), sorted(files)


class _Upload(io.BytesIO):
    """A file in memory that becomes an object when it is closed."""

    def __init__(self, uri: str):
        super().__init__()
        self._uri = uri

    def close(self) -> None:
        if not self.closed:
            storage.write_bytes(self._uri, self.getvalue())
        super().close()

    def __exit__(self, kind: Any, *details: Any) -> None:
        if kind is not None:  # half a file does not appear
            super().close()
        super().__exit__(kind, *details)


@contextlib.contextmanager
def _not_found() -> Iterator[None]:
    """Raises what TFX expects where there is no such object."""
    try:
        yield
    except FileNotFoundError as error:
        raise filesystem.NotFoundError(str(error)) from error


def _text(path: Any) -> str:
    return path.decode() if isinstance(path, bytes) else path


def register() -> None:
    """Makes TFX use it; again has no effect."""
    assert fileio  # imported for what it registers
    DEFAULT_FILESYSTEM_REGISTRY.register(StorageFilesystem, PRIORITY)
