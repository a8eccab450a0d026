"""Images as they were ingested: who reads one again checks that it is still the same."""

import dataclasses
import hashlib

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


def read_verified(image: IngestedImage) -> bytes:
    """Reads an image's bytes.

    Raises:
      ImageChangedError: the file has changed or is gone since it was ingested.
      UnreadableImageError: it cannot be read.
    """
    try:
        data = reading.read_bytes(image.path)
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise UnreadableImageError(f"{image.path} cannot be read ({error}); run again") from error
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise ImageChangedError(f"{image.path} has changed since it was ingested; run again")
    return data
