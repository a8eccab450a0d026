"""The bytes of an image, from a file of its own or out of a container: whoever reads images reads them here."""

import os

from components.shared import storage
from components.shared.images import containers


def read_bytes(path: str) -> bytes:
    """Reads an image.

    Args:
      path: its file, or the path of a container and in it.

    Raises:
      FileNotFoundError: there is no such file or member.
      OSError: it can't be read.
    """
    data = containers.read_member(path)
    return storage.read_bytes(path) if data is None else data


def size_and_mtime(path: str) -> tuple[int, int]:
    """The size of an image in bytes, and the time in nanoseconds when its file or container was last modified.

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
    return size, os.stat(place[0]).st_mtime_ns
