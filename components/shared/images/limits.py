"""Which images the project accepts, and what is wrong with the others."""

import enum

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000", "AVIF")
MAX_BYTES = 64 * 2**20  # of one encoded image
MAX_PIXELS = 64_000_000  # of one decoded image, against decompression bombs
MIN_SIDE = 8  # pixels; anything smaller is a tracking pixel or an icon, not an image to describe
MAX_SIDE = 65_535  # pixels, the most that a JPEG can have


class ImageFault(enum.Enum):
    """Why a file is not a usable image; the values are shown with the rejects."""

    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"


class ImageError(ValueError):
    """A file that is not a usable image: `fault` is the kind, the message the detail."""

    def __init__(self, fault: ImageFault, detail: str):
        super().__init__(detail)
        self.fault = fault
