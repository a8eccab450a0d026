"""Bytes of a picture -> pixels: the one place where the project decodes pictures.

The ingest, the extractor and the served model all call `decode`, and so see the same pixels: grey and palettes become
RGB, an alpha channel is dropped, 16 bits become 8, and EXIF's rotation is not looked at, as TensorFlow has it. What
TensorFlow decodes wrongly or not at all goes through `for_tensorflow` first. Which formats and sizes are taken is the
ingest's to say, with `inspect`.
"""

import contextlib
import enum
import io
import threading
from collections.abc import Iterator, Sequence

import tensorflow as tf
from PIL import Image, UnidentifiedImageError

MAX_BYTES = 64 * 2**20  # of one encoded picture
MAX_PIXELS = 64_000_000  # of one decoded picture, against decompression bombs
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_FOR_PILLOW = (b"RIFF", b"BM")  # how WebP and BMP begin
# the BMPs that TensorFlow decodes rightly have no palette but this one, and no channel masks but these
_GREY_PALETTE = b"".join(bytes([value, value, value, 0]) for value in range(256))
_USUAL_MASKS = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF))
_BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError)  # what Pillow raises at bytes that are broken
MIN_SIDE = 8  # pixels; anything smaller is a tracking pixel or an icon, not a picture to describe
MAX_SIDE = 65_535  # pixels; JPEG has no longer ones
# A pixel that is being decoded takes 4 to 7 bytes, by format, and 20 where Pillow and PNG come between (measured with
# 8,000 x 8,000 pixels): with these bounds that is up to 1.3 GB in a process, whatever the number of its threads.
MAX_PIXELS_AT_ONCE = 2 * MAX_PIXELS
PILLOW_WEIGHT = 3  # pixels of WebP and BMP count so many times
GIF_STRIDE = 64  # sub-blocks of a GIF that the served model looks at in one go
BATCH_PIXELS = 16_000_000  # of the pictures in one call of TensorFlow, if there are several


class PictureFault(enum.Enum):
    """Why a file is not a usable picture; the values are what the rejects show."""

    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"


class PictureError(ValueError):
    """A file that is no usable picture. `fault` is the kind, the message the detail."""

    def __init__(self, fault: PictureFault, detail: str):
        super().__init__(detail)
        self.fault = fault


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes one picture in a TensorFlow graph.

    Args:
      encoded: scalar string, the bytes of a JPEG (grey, RGB or CMYK), PNG, GIF (its first frame) or BMP file.

    Returns:
      uint8 [height, width, 3], RGB.

    Raises:
      tf.errors.InvalidArgumentError: the bytes are no such picture, or end before it does.
    """
    pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, [None, None, 3])


def decode_and_resize(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """One picture as a backbone wants it, before the backbone's own scaling of values.

    Args:
      encoded: scalar string, see `decode`.
      size: side of the square that the whole picture is resized to, in pixels.

    Returns:
      float32 [size, size, 3], RGB in 0..255.
    """
    return tf.image.resize(decode(encoded), (size, size), antialias=True)


def decode_within_bounds(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """As `decode_and_resize`, for pictures that nobody has looked at before.

    Raises:
      tf.errors.InvalidArgumentError: as `decode`, or the picture is larger than `MAX_BYTES` or `MAX_PIXELS`, or a BMP
        that only `for_tensorflow` reads rightly.
    """
    tf.debugging.assert_less_equal(tf.strings.length(encoded), MAX_BYTES)
    tf.debugging.assert_less_equal(_claimed_pixels(encoded), tf.constant(MAX_PIXELS, tf.int64))
    is_bmp = tf.strings.substr(encoded, 0, 2) == b"BM"
    tf.debugging.assert_equal(tf.cond(is_bmp, lambda: _is_plain_bmp(encoded), lambda: tf.constant(True)), True)
    return decode_and_resize(encoded, size)


def _is_plain_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """Whether TensorFlow gives a BMP its colours, bool []: it takes a palette for grey, and any masks for the usual."""
    header = _number(encoded, 14, tf.int32)
    bits, compression = _number(encoded, 28, tf.uint16), _number(encoded, 30, tf.int32)
    is_colour = (compression == 0) & ((bits == 24) | (bits == 32))
    has_masks = (compression == 3) & (bits == 32) & (tf.strings.substr(encoded, 54, 12) == _USUAL_MASKS)
    palette = tf.strings.substr(encoded, 14 + tf.cast(header, tf.int32), len(_GREY_PALETTE))
    is_grey = (compression == 0) & (bits == 8) & (palette == _GREY_PALETTE)
    return (header >= 40) & (is_colour | has_masks | is_grey)


def _claimed_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """How many pixels a picture's header tells of, int64 []; 0 where there is no header that TensorFlow reads."""
    sizes = [
        (b"\xff\xd8", lambda: tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64))),
        (b"\x89PNG", lambda: _number(encoded, 16, tf.int32, False) * _number(encoded, 20, tf.int32, False)),
        (
            b"GIF8",
            lambda: tf.maximum(_number(encoded, 6, tf.uint16) * _number(encoded, 8, tf.uint16), _framed(encoded)),
        ),
        (b"BM", lambda: _number(encoded, 18, tf.int32) * _number(encoded, 22, tf.int32)),
    ]
    begins = [tf.strings.substr(encoded, 0, len(begin)) == begin for begin, _ in sizes]
    cases = [(is_so, size) for is_so, (_, size) in zip(begins, sizes, strict=True)]
    return tf.case(cases, default=lambda: tf.constant(0, tf.int64))


def _framed(encoded: tf.Tensor) -> tf.Tensor:
    """What `_check_frames` bounds, in a graph: int64 [], the pixels that TensorFlow makes of all frames of a GIF."""
    data = tf.concat([tf.io.decode_raw(encoded, tf.uint8), tf.zeros(16, tf.uint8)], axis=0)  # a cut block has zeros

    def byte(place):
        return tf.cast(data[place], tf.int64)

    def colour_table(flags):
        return tf.where(flags >= 128, tf.bitwise.left_shift(tf.constant(3, tf.int64), flags % 8 + 1), 0)

    def goes_on(position, within, total, widest, highest):
        del within
        return (position < tf.strings.length(encoded, "BYTE")) & (tf.maximum(total, widest * highest) <= MAX_PIXELS)

    def next_block(position, within, total, widest, highest):
        # within sub-blocks, each after its length; full ones, which most are, are stepped over many at a time
        is_short = data[position : position + 256 * GIF_STRIDE : 256] != 255
        full = tf.argmax(tf.concat([is_short, [True]], axis=0), output_type=tf.int64)
        over = tf.where(full > 0, 256 * full, 1 + byte(position))
        # or at a block: an image's descriptor, an extension, or the end
        is_image, is_extension = byte(position) == ord(","), byte(position) == ord("!")
        sizes = [byte(position + place) + 256 * byte(position + place + 1) for place in (5, 7)]
        width, height = (tf.where(is_image & ~within, size, 0) for size in sizes)
        image = 11 + colour_table(byte(position + 9))
        block = tf.where(is_image, image, tf.where(is_extension, tf.constant(2, tf.int64), MAX_BYTES))
        stays = tf.where(within, (full > 0) | (byte(position) > 0), True)
        position += tf.cast(tf.where(within, over, block), tf.int32)
        return position, stays, total + width * height, tf.maximum(widest, width), tf.maximum(highest, height)

    zero = tf.constant(0, tf.int64)
    start = tf.cast(13 + colour_table(byte(10)), tf.int32)  # after header and logical screen descriptor
    _, _, total, widest, highest = tf.while_loop(goes_on, next_block, (start, tf.constant(False), zero, zero, zero))
    return tf.maximum(total, widest * highest)


def _number(encoded: tf.Tensor, place: int, dtype: tf.DType, little_endian: bool = True) -> tf.Tensor:
    """An integer in a header, without its sign: int64 []."""
    field = tf.io.decode_raw(tf.strings.substr(encoded, place, dtype.size), dtype, little_endian)[0]
    return tf.abs(tf.cast(field, tf.int64))


class PixelBudget:
    """How many pixels the threads of a process may hold decoded at one time."""

    def __init__(self, pixels: int):
        self._limit, self._held = pixels, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def spend(self, pixels: int) -> Iterator[None]:
        """Waits until there is room; what is more than the whole budget is let in alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + pixels <= self._limit)
            self._held += pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify_all()


_budget = PixelBudget(MAX_PIXELS_AT_ONCE)


def for_tensorflow(data: bytes) -> bytes:
    """A picture in a form that `decode` reads.

    TensorFlow takes the indices of a BMP's palette for grey and looks at no channel masks, and not every version of it
    reads WebP: both become PNG, pixel by pixel (of an animation, the first frame). All others stay as they are.

    Args:
      data: the file's bytes.

    Raises:
      PictureError: it is WebP or BMP, but broken or too large.
    """
    if not data.startswith(_FOR_PILLOW):
        return data
    _check_header(data)
    return _through_pillow(data)


def _through_pillow(data: bytes) -> bytes:
    """A WebP or BMP as PNG; its header was checked."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "PNG", compress_level=1)
            return buffer.getvalue()
    except _BROKEN as error:
        raise _fault(data, str(error)) from None


def inspect(data: bytes) -> tuple[int, int]:
    """Decodes a picture to its end and tells its size.

    Args:
      data: the file's bytes.

    Returns:
      (width, height) in pixels.

    Raises:
      PictureError: not a picture, cut off, too large or too small.
    """
    [found] = inspect_all([data])
    if isinstance(found, PictureError):
        raise found
    return found


def inspect_all(pictures: Sequence[bytes]) -> list[tuple[int, int] | PictureError]:
    """As `inspect`, for several pictures in one call of TensorFlow: threads that share the work wait less.

    All threads of a process together decode no more than `MAX_PIXELS_AT_ONCE` at a time.
    """
    found: list[tuple[int, int] | PictureError] = [(0, 0)] * len(pictures)
    batch: list[int] = []
    held = 0
    for place, data in enumerate(pictures):
        try:
            if len(data) > MAX_BYTES:
                raise PictureError(PictureFault.TOO_LARGE, f"{len(data)} bytes, more than {MAX_BYTES}")
            pixels = _check_header(data)
        except PictureError as error:
            found[place] = error
            continue
        pixels *= PILLOW_WEIGHT if data.startswith(_FOR_PILLOW) else 1
        if batch and held + pixels > BATCH_PIXELS:
            _inspect_batch(pictures, batch, held, found)
            batch, held = [], 0
        batch.append(place)
        held += pixels
    if batch:
        _inspect_batch(pictures, batch, held, found)
    return found


def _inspect_batch(
    pictures: Sequence[bytes], places: Sequence[int], pixels: int, found: list[tuple[int, int] | PictureError]
) -> None:
    """Decodes the pictures at some places, of so many weighted pixels, and notes what was found at these places."""
    ready, encoded = [], []
    with _budget.spend(pixels):
        for place in places:
            try:
                data = pictures[place]
                encoded.append(_through_pillow(data) if data.startswith(_FOR_PILLOW) else data)
                ready.append(place)
            except PictureError as error:
                found[place] = error
        try:
            sizes = _sizes(tf.constant(encoded, tf.string, [len(encoded)])).numpy().tolist()
        except tf.errors.InvalidArgumentError:
            sizes = None
            if len(ready) == 1:
                found[ready[0]] = _why_undecodable(pictures[ready[0]])
    if sizes is not None:
        for place, (height, width) in zip(ready, sizes, strict=True):
            found[place] = (width, height)
    elif len(ready) > 1:  # one of them is broken: each for itself
        for place in ready:
            [found[place]] = inspect_all([pictures[place]])


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _sizes(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes pictures one after the other: string [N] -> int32 [N, 2], height and width."""
    size = tf.TensorSpec([2], tf.int32)
    return tf.map_fn(lambda one: tf.shape(decode(one))[:2], encoded, fn_output_signature=size, parallel_iterations=1)


def _check_header(data: bytes) -> int:
    """Bounds the size that the header announces, before anything is decoded.

    Returns:
      how many pixels the decoder will make, those of all frames of a GIF.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            width, height = header.size
            is_gif = header.format == "GIF"
    except Image.DecompressionBombError as error:
        raise PictureError(PictureFault.TOO_LARGE, str(error)) from None
    except _BROKEN:
        raise _fault(data, f"none of {', '.join(FORMATS)}: it begins with {data[:16]!r}") from None
    if width * height > MAX_PIXELS:
        raise PictureError(PictureFault.TOO_LARGE, f"{width}x{height} pixels, more than {MAX_PIXELS}")
    if min(width, height) < MIN_SIDE:
        raise PictureError(PictureFault.TOO_SMALL, f"{width}x{height} pixels, a side under {MIN_SIDE}")
    if max(width, height) > MAX_SIDE:
        raise PictureError(PictureFault.TOO_LARGE, f"{width}x{height} pixels, a side over {MAX_SIDE}")
    return max(width * height, _check_frames(data)) if is_gif else width * height


def _check_frames(data: bytes) -> int:
    """Bounds all frames of a GIF: TensorFlow decodes every one, and returns the first in the size of the largest.

    Pillow has looked at the canvas and the first frame alone. Returns the pixels of all frames.
    """
    total = widest = highest = 0
    for width, height in _gif_frames(data):
        total, widest, highest = total + width * height, max(widest, width), max(highest, height)
        if max(total, widest * highest) > MAX_PIXELS:
            raise PictureError(
                PictureFault.TOO_LARGE,
                f"frames of {total} pixels in all, up to {widest} wide and {highest} high, more than {MAX_PIXELS}",
            )
    return max(total, widest * highest)


def _gif_frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Walks the blocks of a GIF (https://www.w3.org/Graphics/GIF/spec-gif89a.txt) without decoding any.

    Args:
      data: begins with a GIF's header.

    Yields:
      (width, height) of each frame, up to the trailer, the end of the data, or what is no block.
    """
    position = 13 + _colour_table(data[10:11])  # header and logical screen descriptor
    while position < len(data):
        kind = data[position : position + 1]
        if kind == b",":  # image descriptor: left, top, width, height, flags; then the size of the codes
            descriptor = data[position + 1 : position + 10]
            if len(descriptor) < 9:
                return
            yield int.from_bytes(descriptor[4:6], "little"), int.from_bytes(descriptor[6:8], "little")
            position += 11 + _colour_table(descriptor[8:])
        elif kind == b"!":  # an extension and its label
            position += 2
        else:
            return
        # sub-blocks, each after its length; one of length 0 ends them
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1


def _colour_table(flags: bytes) -> int:
    """Bytes of the colour table that a descriptor's flags announce; none where the flags are cut off."""
    return 3 << (flags[0] % 8 + 1) if flags and flags[0] >= 128 else 0


def _why_undecodable(data: bytes) -> PictureError:
    """Names the fault of bytes that have a picture's header but do not decode; Pillow tells more than TensorFlow."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            picture.load()
            return PictureError(PictureFault.UNDECODABLE, f"{picture.format} of a kind that TensorFlow does not decode")
    except _BROKEN as error:
        return _fault(data, str(error))


def _fault(data: bytes, detail: str) -> PictureError:
    """The fault of bytes that Pillow can't decode either."""
    # a WebP file says how long it is, and Pillow does not look
    is_cut = data.startswith(b"RIFF") and 8 + int.from_bytes(data[4:8], "little") > len(data)
    truncated = is_cut or "truncated" in detail.lower()
    return PictureError(PictureFault.TRUNCATED if truncated else PictureFault.UNDECODABLE, detail)
