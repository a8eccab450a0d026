"""Images as they were ingested: who reads one again checks that it is still the same."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

from components.shared.images import reading


@dataclasses.dataclass(frozen=True)
class IngestedImage:
    """An image of the run: its path, and the hash of its bytes when it was ingested."""

    path: str
    sha256: str


class ImageChangedError(RuntimeError):
    """The file is not the one that was ingested."""


class UnreadableImageError(RuntimeError):
    """The file is there but cannot be read, perhaps only for a moment."""


def read_verified(images: Sequence[IngestedImage]) -> Iterator[bytes]:
    """Reads images, of a bucket several at a time.

    Yields:
      the bytes of each image, in their order.

    Raises:
      ImageChangedError: a file has changed or is gone since it was ingested.
      UnreadableImageError: it cannot be read.
      StorageError: the bucket cannot be read.
    """
    for image, data in zip(images, reading.read_many([image.path for image in images]), strict=True):
        if isinstance(data, OSError) and not isinstance(data, FileNotFoundError):
            raise UnreadableImageError(f"{image.path} cannot be read ({data}); run again") from data
        if isinstance(data, OSError) or hashlib.sha256(data).hexdigest() != image.sha256:
            raise ImageChangedError(f"{image.path} has changed since it was ingested; run again")
        yield data
