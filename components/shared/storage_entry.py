"""What a listing says about a file, on a disk or in a bucket."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of a directory.

    Attributes:
      name: its name in the directory.
      size: bytes of a file; 0 for a directory.
      mtime: time of the last modification, in seconds since 1970.
      is_directory: whether it is a directory.
      version: changes with the content: the modification time on a disk, the ETag of an object.
    """

    name: str
    size: int
    mtime: float
    is_directory: bool = False
    version: str = ""
