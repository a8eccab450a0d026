"""Thumbnails of bounded size."""

import io

import tensorflow as tf
from PIL import Image

from components.shared.images import decoding, inspection, limits
from components.shared.read_errors import is_transient

MAX_SIDE = 256  # pixels of the longer side
MIN_SIDE = 96  # where no quality is small enough
QUALITIES = (72, 55, 40, 25)  # JPEG qualities; the first one within the bound is taken


def thumbnail(image_file: bytes | OSError, max_bytes: int) -> bytes | None:
    """Makes a small JPEG of an image as the model sees it.

    Args:
      image_file: the bytes of the image's file, or why they can't be read, see `reading.read_many`.
      max_bytes: the maximum size; an image that does not get so small is scaled down once more, whatever its size.

    Returns:
      the bytes of a JPEG file; None where the file is missing or not an image.

    Raises:
      OSError, tf.errors.OpError: it is there and cannot be read, perhaps only for a moment, see `is_transient`.
    """
    try:
        if isinstance(image_file, OSError):
            raise image_file
        pixels = decoding.decode(tf.constant(inspection.to_tf_decodable(image_file))).numpy()
    except (OSError, tf.errors.OpError, limits.ImageError) as error:
        if is_transient(error):
            raise
        return None
    image = Image.fromarray(pixels)
    for side, quality in [*((MAX_SIDE, quality) for quality in QUALITIES), (MIN_SIDE, QUALITIES[-1])]:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= max_bytes:
            break
    return buffer.getvalue()
