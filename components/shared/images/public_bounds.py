"""The bounds that the served model's public signature puts on bytes that nobody has inspected."""

import tensorflow as tf

from components.shared.images import decoding, limits

GIF_STRIDE = 64  # sub-blocks of a GIF that one iteration steps over
# the BMPs that TensorFlow decodes correctly have no palette but this one, and no channel masks but these
_GRAY_PALETTE = b"".join(bytes([value, value, value, 0]) for value in range(256))
_USUAL_MASKS = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF))


def decode_within_bounds(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes an untrusted image as `decoding.decode_and_resize` does, or refuses it undecoded.

    Raises:
      tf.errors.InvalidArgumentError: as `decoding.decode`, or the bytes do not begin as a JPEG, PNG, GIF or BMP does,
        or the image is larger than `limits.MAX_BYTES` or `limits.MAX_PIXELS`, or a BMP that TensorFlow decodes to
        wrong colors.
    """
    tf.debugging.assert_less_equal(tf.strings.length(encoded), limits.MAX_BYTES)
    tf.debugging.assert_less_equal(_declared_pixels(encoded), tf.constant(limits.MAX_PIXELS, tf.int64))
    is_bmp = tf.strings.substr(encoded, 0, 2) == b"BM"
    tf.debugging.assert_equal(tf.cond(is_bmp, lambda: _is_supported_bmp(encoded), lambda: tf.constant(True)), True)
    return decoding.decode_and_resize(encoded, size)


def _is_supported_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """Whether TensorFlow decodes a BMP to its colors, bool []: it assumes a gray palette and the usual masks."""
    header = _read_integer(encoded, 14, tf.int32)
    bits, compression = _read_integer(encoded, 28, tf.uint16), _read_integer(encoded, 30, tf.int32)
    is_color = (compression == 0) & ((bits == 24) | (bits == 32))
    has_masks = (compression == 3) & (bits == 32) & (tf.strings.substr(encoded, 54, 12) == _USUAL_MASKS)
    palette = tf.strings.substr(encoded, 14 + tf.cast(header, tf.int32), len(_GRAY_PALETTE))
    is_gray = (compression == 0) & (bits == 8) & (palette == _GRAY_PALETTE)
    return (header >= 40) & (is_color | has_masks | is_gray)


def _declared_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Number of pixels that an image's header declares, int64 []; the largest int64 in all formats but these four.

    Some versions of TensorFlow decode WebP too, and not every one can tell its size beforehand.
    """

    def gif_pixels():
        canvas = _read_integer(encoded, 6, tf.uint16) * _read_integer(encoded, 8, tf.uint16)
        return tf.maximum(canvas, _gif_decoded_pixels(encoded))

    def png_pixels():
        return _read_integer(encoded, 16, tf.int32, False) * _read_integer(encoded, 20, tf.int32, False)

    num_pixels = {
        b"\xff\xd8": lambda: tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64)),
        b"\x89PNG": png_pixels,
        b"GIF8": gif_pixels,
        b"BM": lambda: _read_integer(encoded, 18, tf.int32) * _read_integer(encoded, 22, tf.int32),
    }
    cases = [(tf.strings.substr(encoded, 0, len(magic)) == magic, count) for magic, count in num_pixels.items()]
    return tf.case(cases, default=lambda: tf.constant(tf.int64.max, tf.int64))


def _gif_decoded_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Number of pixels that TensorFlow decodes for all frames of a GIF, int64 []: `headers.gif_decoded_pixels`."""
    data = tf.concat([tf.io.decode_raw(encoded, tf.uint8), tf.zeros(16, tf.uint8)], axis=0)  # a cut block reads zeros

    def byte(position):
        return tf.cast(data[position], tf.int64)

    def color_table(flags):
        return tf.where(flags >= 128, tf.bitwise.left_shift(tf.constant(3, tf.int64), flags % 8 + 1), 0)

    def cond(position, within, total, max_width, max_height):
        del within
        is_within_bounds = tf.maximum(total, max_width * max_height) <= limits.MAX_PIXELS
        return (position < tf.strings.length(encoded, "BYTE")) & is_within_bounds

    def body(position, within, total, max_width, max_height):
        # within sub-blocks, each after its length; full ones, as most are, are stepped over many at a time
        is_short = data[position : position + 256 * GIF_STRIDE : 256] != 255
        num_full = tf.argmax(tf.concat([is_short, [True]], axis=0), output_type=tf.int64)
        sub_block_bytes = tf.where(num_full > 0, 256 * num_full, 1 + byte(position))
        # or at a block: an image descriptor, an extension, or the end
        is_image, is_extension = byte(position) == ord(","), byte(position) == ord("!")
        sizes = [byte(position + offset) + 256 * byte(position + offset + 1) for offset in (5, 7)]
        width, height = (tf.where(is_image & ~within, size, 0) for size in sizes)
        image_bytes = 11 + color_table(byte(position + 9))
        other_bytes = tf.where(is_extension, tf.constant(2, tf.int64), limits.MAX_BYTES)
        block_bytes = tf.where(is_image, image_bytes, other_bytes)
        next_within = tf.where(within, (num_full > 0) | (byte(position) > 0), True)
        position += tf.cast(tf.where(within, sub_block_bytes, block_bytes), tf.int32)
        max_width, max_height = tf.maximum(max_width, width), tf.maximum(max_height, height)
        return position, next_within, total + width * height, max_width, max_height

    zero = tf.constant(0, tf.int64)
    start = tf.cast(13 + color_table(byte(10)), tf.int32)  # after header and logical screen descriptor
    state = (start, tf.constant(False), zero, zero, zero)
    _, _, total, max_width, max_height = tf.while_loop(cond, body, state)
    return tf.maximum(total, max_width * max_height)


def _read_integer(encoded: tf.Tensor, position: int, dtype: tf.DType, little_endian: bool = True) -> tf.Tensor:
    """Absolute value of an integer in a header: int64 []."""
    field = tf.io.decode_raw(tf.strings.substr(encoded, position, dtype.size), dtype, little_endian)[0]
    return tf.abs(tf.cast(field, tf.int64))
