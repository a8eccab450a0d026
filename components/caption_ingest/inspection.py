"""Hashes and decodes images once, so that no later step meets a bad one.

The identity of this module's code is a part of the inspection cache's directory: it must import nothing that does not
decide what an inspection finds.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import tensorflow as tf

from components.shared.images import public_bounds
from components.shared.images.inspection import inspect_all
from components.shared.images.limits import MAX_BYTES, ImageError, ImageFault
from components.shared.images.signatures import is_converted

_BMP_HEAD = 2048  # bytes, with its headers and its palette


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What was found out about an image.

    Attributes:
      sha256: hash of the file's bytes, hexadecimal; "" of a file that is too large to be read.
      width: width in pixels; 0 where there is a fault.
      height: height in pixels; 0 where there is a fault.
      fault: why the image can't be used, the value of an `ImageFault`; "" where it can.
      detail: what exactly is wrong.
      is_served: whether an exported model decodes the file's bytes, without a conversion beforehand.
    """

    sha256: str
    width: int = 0
    height: int = 0
    fault: str = ""
    detail: str = ""
    is_served: bool = True


def inspect_images(images: Sequence[bytes]) -> list[Inspection]:
    """Hashes and decodes images, given the bytes of their files."""
    return [_inspection(data, result) for data, result in zip(images, inspect_all(images), strict=True)]


def _inspection(data: bytes, result: tuple[int, int] | ImageError) -> Inspection:
    sha256 = hashlib.sha256(data).hexdigest()
    if isinstance(result, ImageError):
        return Inspection(sha256, 0, 0, result.fault.value, str(result))
    return Inspection(sha256, *result, is_served=_is_served(data))


def _is_served(data: bytes) -> bool:
    """Whether `public_bounds` accepts an image: it refuses what Pillow converts, but for most BMPs."""
    if not is_converted(data):
        return True
    try:
        return data.startswith(b"BM") and bool(public_bounds._is_supported_bmp(tf.constant(data[:_BMP_HEAD])))
    except tf.errors.InvalidArgumentError:  # a header that is longer than what there is of it
        return False


def size_fault(num_bytes: int) -> Inspection | None:
    """Returns the inspection of a file that is too large to be read; None for other files."""
    if num_bytes <= MAX_BYTES:
        return None
    return Inspection("", 0, 0, ImageFault.TOO_LARGE.value, f"{num_bytes} bytes; the maximum is {MAX_BYTES}")
