"""The bytes of an image, from a file of its own or out of a container: whoever reads images reads them here."""

import os
from collections.abc import Iterator, Sequence

from components.shared import object_store, storage
from components.shared.images import containers
from components.shared.object_store import StorageError


def read_bytes(path: str) -> bytes:
    """Reads an image.

    Args:
      path: its file or object, or the path of a container and in it.

    Raises:
      FileNotFoundError: there is no such file or member.
      OSError: it can't be read.
    """
    data = containers.read_member(path)
    return storage.read_bytes(path) if data is None else data


def read_many(paths: Sequence[str]) -> Iterator[bytes | OSError]:
    """Reads images, of a bucket several at a time.

    Args:
      paths: see `read_bytes`; all on a disk, or all in one bucket. Callers bound what is held in memory.

    Yields:
      the bytes of each image, in their order, or the error of one that is missing or can't be read.

    Raises:
      StorageError: the bucket can't be read, though the image may be there.
    """
    in_files = [path for path in paths if not storage.is_local(path) and containers.locate(path) is None]
    objects = iter(object_store.read_many(in_files))
    next_object = iter(in_files)
    expected = next(next_object, None)
    for path in paths:
        if path == expected:
            yield next(objects)
            expected = next(next_object, None)
        else:
            yield _read_or_error(path)


def _read_or_error(path: str) -> bytes | OSError:
    try:
        return read_bytes(path)
    except StorageError:
        raise
    except OSError as error:
        return error


def is_unchanged(path: str, data: bytes, size: int, version: int | str) -> bool:
    """Whether an image that was read is still the one that was listed.

    Args:
      path: see `read_bytes`.
      data: its bytes.
      size: its size in the listing.
      version: its version in the listing: the time of modification in nanoseconds on a disk, the ETag in a bucket.

    Raises:
      OSError: it can't be read.
    """
    if not storage.is_local(path) and containers.locate(path) is None:
        return len(data) == size and object_store.is_version(path, data, str(version))
    return size_and_version(path) == (size, version)


def size_and_version(path: str) -> tuple[int, int | str]:
    """The size of an image in bytes, and the version of its file or container, see `is_unchanged`.

    Raises:
      OSError: there is no such file or member.
    """
    if (place := containers.locate(path)) is None:
        stat = os.stat(path)
        return stat.st_size, stat.st_mtime_ns
    container = containers.open_container(place[0])
    size = container.size(place[1]) if container else None
    if size is None:
        raise containers.no_such_image(*place)
    is_local = storage.is_local(place[0])
    return size, os.stat(place[0]).st_mtime_ns if is_local else containers.entry_of(place[0]).version
