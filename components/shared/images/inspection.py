"""Inspecting images on the host: whether they can be used, their sizes, and a form that TensorFlow decodes."""

import contextlib
import io
import threading
from collections.abc import Iterator, Sequence

import tensorflow as tf
from PIL import Image

from components.shared.images import decoding, limits
from components.shared.images.conversion import PILLOW_ERRORS, to_rgb
from components.shared.images.headers import check_header, fault_of
from components.shared.images.limits import ImageError, ImageFault
from components.shared.images.signatures import is_converted

# A pixel being decoded takes 4 to 7 bytes, by format, 10 to 20 where it goes through Pillow and PNG, 25 of JPEG 2000
# with alpha (measured with 4,000 x 4,000 pixels and more): with these bounds that is up to 1.6 GB per process, whatever
# the number of its threads. An AVIF whose frame is larger than its header says is bounded by libavif alone.
MAX_DECODED_PIXELS = 2 * limits.MAX_PIXELS
PILLOW_WEIGHT = 3  # a pixel that goes through Pillow counts as so many
BATCH_PIXELS = 16_000_000  # of the images in one call of TensorFlow, if there are several


def inspect(data: bytes) -> tuple[int, int]:
    """Decodes an image to its end and measures it.

    Args:
      data: the file's bytes.

    Returns:
      (width, height) in pixels.

    Raises:
      ImageError: not an image, truncated, too large or too small.
    """
    [result] = inspect_all([data])
    if isinstance(result, ImageError):
        raise result
    return result


def inspect_all(images: Sequence[bytes]) -> list[tuple[int, int] | ImageError]:
    """Inspects several images in few calls of TensorFlow, so that threads sharing the work wait less for each other.

    All threads of a process together decode no more than `MAX_DECODED_PIXELS` at a time.

    Args:
      images: the bytes of each file.

    Returns:
      (width, height) in pixels of each image, or its error.
    """
    results: list[tuple[int, int] | ImageError] = [(0, 0)] * len(images)
    batch: list[int] = []
    batch_pixels = 0
    for index, data in enumerate(images):
        try:
            if len(data) > limits.MAX_BYTES:
                raise ImageError(ImageFault.TOO_LARGE, f"{len(data)} bytes, more than {limits.MAX_BYTES}")
            num_pixels = check_header(data)
        except ImageError as error:
            results[index] = error
            continue
        num_pixels *= PILLOW_WEIGHT if is_converted(data) else 1
        if batch and batch_pixels + num_pixels > BATCH_PIXELS:
            _inspect_batch(images, batch, batch_pixels, results)
            batch, batch_pixels = [], 0
        batch.append(index)
        batch_pixels += num_pixels
    if batch:
        _inspect_batch(images, batch, batch_pixels, results)
    return results


def to_tf_decodable(data: bytes) -> bytes:
    """Converts an image to a form that `decoding.decode` reads.

    TensorFlow takes the indices of a BMP's palette for gray values and ignores channel masks, not every version of it
    reads WebP, and none TIFF, JPEG 2000 and AVIF: these become PNG, pixel by pixel (of an animation or several pages,
    the first). All others are unchanged.

    Args:
      data: the file's bytes.

    Raises:
      ImageError: it is of one of these formats, but broken or too large, or too large as PNG.
    """
    if not is_converted(data):
        return data
    check_header(data)
    return _to_png(data)


class PixelBudget:
    """Limits how many pixels the threads of a process hold decoded at a time."""

    def __init__(self, num_pixels: int):
        self._limit, self._held = num_pixels, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def spend(self, num_pixels: int) -> Iterator[None]:
        """Waits until there is room; more than the whole budget is let in alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + num_pixels <= self._limit)
            self._held += num_pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= num_pixels
                self._changed.notify_all()


budget = PixelBudget(MAX_DECODED_PIXELS)


def _inspect_batch(
    images: Sequence[bytes], batch: Sequence[int], num_pixels: int, results: list[tuple[int, int] | ImageError]
) -> None:
    """Decodes the images of a batch, given by their indices, and writes their results; `num_pixels` is weighted."""
    readable, encoded = [], []
    with budget.spend(num_pixels):
        for index in batch:
            try:
                data = images[index]
                encoded.append(_to_png(data) if is_converted(data) else data)
                readable.append(index)
            except ImageError as error:
                results[index] = error
        try:
            sizes = _sizes(tf.constant(encoded, tf.string, [len(encoded)])).numpy().tolist()
        except tf.errors.InvalidArgumentError:
            sizes = None
            if len(readable) == 1:
                results[readable[0]] = _why_undecodable(images[readable[0]])
    if sizes is not None:
        for index, (height, width) in zip(readable, sizes, strict=True):
            results[index] = (width, height)
    elif len(readable) > 1:  # one of them is broken: retry them one by one
        for index in readable:
            [results[index]] = inspect_all([images[index]])


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _sizes(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes images one after the other: string [N] -> int32 [N, 2], height and width."""
    size = tf.TensorSpec([2], tf.int32)
    return tf.map_fn(
        lambda image: tf.shape(decoding.decode(image))[:2], encoded, fn_output_signature=size, parallel_iterations=1
    )


def _to_png(data: bytes) -> bytes:
    """Converts an image whose header was checked; raises ImageError as `to_tf_decodable`."""
    try:
        with Image.open(io.BytesIO(data), formats=limits.FORMATS) as image:
            buffer = io.BytesIO()
            to_rgb(image).save(buffer, "PNG", compress_level=1)
    except ImageError:
        raise
    except PILLOW_ERRORS as error:
        raise fault_of(data, str(error)) from None
    png = buffer.getvalue()
    if len(png) > limits.MAX_BYTES:  # a model that is served takes no more: what it can't caption is not trained on
        detail = f"{len(png)} bytes as PNG, which TensorFlow decodes in its place, more than {limits.MAX_BYTES}"
        raise ImageError(ImageFault.TOO_LARGE, detail)
    return png


def _why_undecodable(data: bytes) -> ImageError:
    """Names the fault of bytes that have an image's header but do not decode; Pillow says more than TensorFlow."""
    try:
        with Image.open(io.BytesIO(data), formats=limits.FORMATS) as image:
            image.load()
            return ImageError(ImageFault.UNDECODABLE, f"{image.format} of a kind that TensorFlow does not decode")
    except PILLOW_ERRORS as error:
        return fault_of(data, str(error))
