"""What all readers of containers share: how a container is opened, and what is raised for a damaged one."""

from typing import BinaryIO


class DamagedContainerError(OSError):
    """A container that is cut, damaged or absurd; the message says how, without its path."""


def open_file(path: str) -> BinaryIO:
    """Opens a container, to be read at random; it need be no more than a seekable file object."""
    return open(path, "rb")
