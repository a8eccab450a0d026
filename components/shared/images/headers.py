"""What an image's header declares, checked against the limits before anything is decoded."""

import io
from collections.abc import Iterator

from PIL import Image

from components.shared.images import limits, signatures
from components.shared.images.conversion import PILLOW_ERRORS, check_kind, unreadable_tiff
from components.shared.images.limits import ImageError, ImageFault

_CUT = "the file ends before what its header declares: download or copy it again"


def check_header(data: bytes) -> int:
    """Checks the size that a header declares against the limits.

    Args:
      data: the file's bytes.

    Returns:
      number of pixels that the decoder will produce, those of all frames of a GIF.

    Raises:
      ImageError: the size is out of the limits, or there is no header of `limits.FORMATS`.
    """
    if signatures.is_tiff(data) and signatures.is_cut(data):  # Pillow would only warn
        raise ImageError(ImageFault.TRUNCATED, _CUT)
    try:
        with Image.open(io.BytesIO(data), formats=limits.FORMATS) as header:
            width, height = header.size
            is_gif = header.format == "GIF"
            check_kind(header)
    except Image.DecompressionBombError as error:
        raise ImageError(ImageFault.TOO_LARGE, str(error)) from None
    except ImageError:
        raise
    except PILLOW_ERRORS:
        raise fault_of(data, _unknown_format(data)) from None
    if width * height > limits.MAX_PIXELS:
        raise ImageError(ImageFault.TOO_LARGE, f"{width}x{height} pixels, more than {limits.MAX_PIXELS}")
    if min(width, height) < limits.MIN_SIDE:
        raise ImageError(ImageFault.TOO_SMALL, f"{width}x{height} pixels, a side under {limits.MIN_SIDE}")
    if max(width, height) > limits.MAX_SIDE:
        raise ImageError(ImageFault.TOO_LARGE, f"{width}x{height} pixels, a side over {limits.MAX_SIDE}")
    return max(width * height, gif_decoded_pixels(data)) if is_gif else width * height


def gif_decoded_pixels(data: bytes) -> int:
    """Counts the pixels that TensorFlow decodes for a GIF: every frame, and the first in the size of the largest.

    Pillow has checked the canvas and the first frame only.

    Raises:
      ImageError: there are more than `limits.MAX_PIXELS`.
    """
    total = max_width = max_height = 0
    for width, height in gif_frames(data):
        total, max_width, max_height = total + width * height, max(max_width, width), max(max_height, height)
        if max(total, max_width * max_height) > limits.MAX_PIXELS:
            detail = f"frames of {total} pixels in total, up to {max_width} wide and {max_height} high"
            raise ImageError(ImageFault.TOO_LARGE, f"{detail}, more than {limits.MAX_PIXELS}")
    return max(total, max_width * max_height)


def gif_frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Walks the blocks of a GIF (https://www.w3.org/Graphics/GIF/spec-gif89a.txt) without decoding any.

    Args:
      data: bytes that begin with a GIF header.

    Yields:
      (width, height) of each frame, up to the trailer, the end of the data, or an unknown block.
    """
    position = 13 + _color_table(data[10:11])  # header and logical screen descriptor
    while position < len(data):
        kind = data[position : position + 1]
        if kind == b",":  # image descriptor: left, top, width, height, flags; then the code size
            descriptor = data[position + 1 : position + 10]
            if len(descriptor) < 9:
                return
            yield int.from_bytes(descriptor[4:6], "little"), int.from_bytes(descriptor[6:8], "little")
            position += 11 + _color_table(descriptor[8:])
        elif kind == b"!":  # an extension and its label
            position += 2
        else:
            return
        # sub-blocks, each after its length; one of length 0 ends them
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1


def _color_table(flags: bytes) -> int:
    """Bytes of the color table that a descriptor's flags declare; 0 where the flags are cut off."""
    return 3 << (flags[0] % 8 + 1) if flags and flags[0] >= 128 else 0


def _unknown_format(data: bytes) -> str:
    """The detail of a file that Pillow does not open."""
    if lookalike := signatures.lookalike(data):
        return lookalike
    if signatures.is_cut(data):
        return _CUT
    if signatures.is_tiff(data) and (detail := unreadable_tiff(data)):
        return detail
    return f"not one of {', '.join(limits.FORMATS)}: it begins with {data[:16]!r}"


def fault_of(data: bytes, detail: str) -> ImageError:
    """The fault of bytes that Pillow can't decode either.

    Args:
      data: the file's bytes.
      detail: the decoder's message.
    """
    truncated = signatures.is_cut(data) or "truncated" in detail.lower()
    return ImageError(ImageFault.TRUNCATED if truncated else ImageFault.UNDECODABLE, detail)
