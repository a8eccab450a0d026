"""Decoding and resizing in a TensorFlow graph: the pixels that a backbone sees.

What these functions return is part of every feature: see `components.feature_extractor.identity.FEATURE_VERSION`.
"""

import tensorflow as tf


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes one image.

    Args:
      encoded: scalar string, the bytes of a JPEG (grayscale, RGB or CMYK), PNG, GIF (its first frame) or BMP file.

    Returns:
      uint8 [height, width, 3], RGB.

    Raises:
      tf.errors.InvalidArgumentError: the bytes are not such an image, or are truncated.
    """
    pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, [None, None, 3])


def decode_and_resize(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image and resizes the whole of it to a square, before the backbone's own scaling of values.

    Args:
      encoded: scalar string, see `decode`.
      size: side of the square in pixels.

    Returns:
      float32 [size, size, 3], RGB in 0..255.
    """
    return tf.image.resize(decode(encoded), (size, size), antialias=True)
