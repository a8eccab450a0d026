"""A file of the data directory, as the file system lists it, or a member of a container."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """A file that has been listed and not read.

    Attributes:
      uri: path below the data directory, with forward slashes.
      size: size in bytes.
      version: changes with its content: the modification time in nanoseconds on a disk, the ETag of an object.
      outside_root: whether it is a link, or lies below a link, that points outside the data directory, where
        that is not allowed.
      container: the container that it is a member of; "" for a file of its own.
    """

    uri: str
    size: int
    version: int | str
    outside_root: bool = False
    container: str = ""
