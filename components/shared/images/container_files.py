"""What all readers of containers share: how a container is opened, and what is raised for a damaged one."""

from typing import BinaryIO

from components.shared import storage

READ_AHEAD = 2**16  # bytes, of a container in a bucket


class DamagedContainerError(OSError):
    """A container that is cut, damaged or absurd; the message says how, without its path."""


def open_file(path: str) -> BinaryIO:
    """Opens a container, to be read at random."""
    return storage.open_for_reading(path, READ_AHEAD)
