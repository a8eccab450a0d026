"""The data directory that is read: a directory on a disk, or a prefix in a bucket, see `outline`."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping

from components.caption_ingest import outline
from components.shared import storage


@dataclasses.dataclass(frozen=True)
class DataDirectory:
    """Where captions and images are looked for.

    Attributes:
      location: the path or URI that the settings state.
      path: where names, sizes and texts are read: the directory itself, or the outline of a bucket.
      versions: name of an object of a bucket -> its version; empty on a disk, where a file has a time of modification.
      warnings: what is told of objects that are left out.
    """

    location: str
    path: str
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """The URI; "" on a disk."""
        return "" if storage.is_local(self.location) else self.location

    @contextlib.contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Names the bucket, instead of its outline, in the errors of a block."""
        try:
            yield
        except (OSError, ValueError) as error:
            if self.uri:
                error.args = tuple(self._named(arg) for arg in error.args)
                if isinstance(error, OSError) and error.filename is not None:
                    error.filename = self._named(error.filename)
            raise

    def _named(self, value: object) -> object:
        return value.replace(self.path, self.location) if isinstance(value, str) else value


def open_directory(location: str, encoding: str | None = None) -> DataDirectory:
    """Opens a data directory: of a bucket, lists the objects and reads the texts that this machine does not have.

    Args:
      location: path, or URI of a prefix.
      encoding: the encoding of texts without a byte-order mark; None for UTF-8.

    Raises:
      FileNotFoundError: there is no such directory.
      outline.ChangingTextsError: its texts change all the time.
      NodeCacheError: the outline can't be written.
      StorageError: the bucket can't be read.
    """
    location = location if storage.is_local(location) else location.rstrip("/")
    if storage.is_local(location):
        if not os.path.isdir(location):
            raise FileNotFoundError(f"data.dir: {location} is not a directory")
        return DataDirectory(location, location)
    found = outline.find(location, encoding)
    return DataDirectory(location, found.path, found.versions, found.warnings)
