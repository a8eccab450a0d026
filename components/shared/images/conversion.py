"""From what Pillow decodes to 8 bits of red, green and blue: images that TensorFlow does not decode itself.

What these functions return is part of a feature: see `components.feature_extractor.identity.FEATURE_VERSION`.
"""

import io
import struct

import numpy as np
from PIL import Image, TiffImagePlugin

from components.shared.images import limits
from components.shared.images.limits import ImageError, ImageFault

# tags of TIFF, and some of their values
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 258, 259, 262, 277
_TILE_WIDTH, _TILE_LENGTH, _SAMPLE_FORMAT = 322, 323, 339
_UNCOMPRESSED, _WHITE_IS_ZERO, _YCBCR, _FLOAT = 1, 0, 6, 3
# what Pillow and its plug-ins raise at broken bytes
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error)
_MIN_LEVELS = 16  # Pillow drops the low byte of colors of 16 bits: with less, 12 bits or fewer were used


def check_kind(image: Image.Image) -> None:
    """Checks what an opened image declares, before it is decoded.

    Raises:
      ImageError: its samples have no brightness or color that Pillow knows, or its tiles are larger than any image.
    """
    if image.mode in ("I", "F"):
        kind = "32-bit float" if image.mode == "F" else "signed or 32-bit"
        detail = f"{image.format} with {kind} samples, which may mean any brightness: convert it to 8 bits"
        raise ImageError(ImageFault.UNDECODABLE, detail)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if (image.tag_v2.get(_PHOTOMETRIC), image.tag_v2.get(_COMPRESSION)) == (_YCBCR, _UNCOMPRESSED):
            detail = "TIFF of YCbCr without compression, which Pillow takes for RGB: convert it to RGB"
            raise ImageError(ImageFault.UNDECODABLE, detail)
        width, length = (image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH))
        if width * length > limits.MAX_PIXELS:
            detail = f"tiles of {width}x{length} pixels, more than {limits.MAX_PIXELS}"
            raise ImageError(ImageFault.TOO_LARGE, detail)


def to_rgb(image: Image.Image) -> Image.Image:
    """Decodes an opened image to RGB; an alpha channel and bands beyond red, green and blue are dropped.

    16 bits per sample of TIFF and JPEG 2000 become 8 so that the darkest sample of the image is 0 and the brightest
    255: sensors often fill 10 or 12 bits of them, which would be black.

    Raises:
      ImageError: too few of the bits are used.
      OSError, SyntaxError, ValueError: Pillow can't decode it.
    """
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if image.mode.startswith("I;16"):
        samples = np.asarray(image)
        levels = _stretched(int(samples.min()), int(samples.max()), 2**16)
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            levels = 255 - levels
        return Image.fromarray(levels[samples]).convert("RGB")
    rgb = image.convert("RGB")
    if max(tags.get(_BITS, (8,))) <= 8:
        return rgb
    samples = np.asarray(rgb)
    low, high = int(samples.min()), int(samples.max())
    if high < _MIN_LEVELS:
        detail = "16 bits per sample, of which only the lowest 12 or fewer are used: convert it to 8 bits"
        raise ImageError(ImageFault.UNDECODABLE, detail)
    return rgb.point([int(level) for level in _stretched(low, high, 256)] * 3)


def _stretched(low: int, high: int, num_levels: int) -> np.ndarray:
    """Maps levels, of which an image uses those from low to high, to 0..255: uint8 [num_levels]."""
    levels = np.arange(num_levels, dtype=np.float64)
    return np.clip((levels - low) * (255 / max(high - low, 1)), 0, 255).round().astype(np.uint8)


def unreadable_tiff(data: bytes) -> str:
    """Says which samples a TIFF has that Pillow does not open; "" if even that can't be read."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(
            data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8]
        )  # BigTIFF's is longer
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        bits, sample_format = tags[_BITS], tags.get(_SAMPLE_FORMAT, (1,))
        depth = f"{int(bits[0])} {'bits of a float' if sample_format[0] == _FLOAT else 'bits'}"
        detail = f"TIFF of {int(tags.get(_SAMPLES, len(bits)))} bands of {depth}, photometric {tags[_PHOTOMETRIC]}"
    except PILLOW_ERRORS:
        return ""
    return f"{detail}, which Pillow does not decode: convert it to red, green and blue of 8 bits"
