"""Small pictures, of a size in bytes that is bounded."""

import io

import tensorflow as tf
from PIL import Image

from components import images

SIDE = 256  # pixels of the longer side
QUALITIES = (72, 55, 40, 25)  # of the JPEG, the first that keeps to the bound
LEAST = 96  # pixels of the longer side, where no quality does


def thumbnail(path: str, most: int) -> bytes | None:
    """Makes a small JPEG of a picture, as the model sees it.

    Args:
      path: the picture's file.
      most: bytes that it may have; a picture that does not get so small is made smaller still, without a bound.

    Returns:
      a JPEG file's bytes; None where the picture is not there any more, or no picture.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            pixels = images.decode(tf.constant(images.for_tensorflow(file.read()))).numpy()
    except (tf.errors.OpError, images.PictureError):
        return None
    picture = Image.fromarray(pixels)
    for side, quality in [*((SIDE, quality) for quality in QUALITIES), (LEAST, QUALITIES[-1])]:
        small = picture.copy()
        small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= most:
            break
    return buffer.getvalue()
