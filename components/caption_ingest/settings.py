"""Settings of CaptionIngest."""

from typing import Annotated, Literal

import pydantic
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT, Fraction, UserPath


def _check_encoding(name: str) -> str:
    """Refuses a name that Python has no text encoding of."""
    try:
        name.encode(name)
    except (LookupError, ValueError):
        raise ValueError(f"{name!r} is no text encoding; for example utf-8, cp1252, gb18030, utf-16-le") from None
    return name


Encoding = Annotated[str, pydantic.AfterValidator(_check_encoding)]


@dataclass(frozen=True, config=STRICT)
class SplitFractions:
    """Fractions of the images per split, for datasets without official split lists."""

    train: Fraction = 0.8
    """Fraction of the images to train on."""
    eval: Fraction = 0.1
    """Fraction of the images to choose the checkpoint on."""
    test: Fraction = 0.1
    """Fraction of the images to evaluate on."""


@dataclass(frozen=True, config=STRICT)
class Columns:
    """Which columns of a table, or keys of JSON records, hold images and captions."""

    image: str | None = None
    """Column with the names of the images, as the header spells it; null finds it by its name."""
    caption: str | None = None
    """Column with the captions, or a pattern such as `caption_*` for several; null finds them by their names."""


@dataclass(frozen=True, config=STRICT)
class CaptionIngestSettings:
    """Input images and captions."""

    dir: UserPath | None = None
    """Directory with captions, split lists and images, or its URI in a bucket, such as `s3://bucket/data`; null
    generates the built-in sample. `{SPAN}` matches a number; the directory with the highest one is used."""
    caption_files: str | None = None
    """Caption file below the directory, or a glob pattern for several; null detects them by content."""
    format: str | None = None
    """Format of the captions, such as `table` or `flickr_tokens`; null detects it by content."""
    columns: Columns = Columns()
    """Columns of tables, or keys of JSON records, whose names alone do not tell."""
    encoding: Encoding | None = None
    """Encoding of caption files and split lists without a byte-order mark, such as `cp1252` or `gb18030`; null takes
    UTF-8, and refuses a file that is not in it."""
    allow_links: bool = False
    """Whether links may point outside the directory: to images, captions, or directories of them."""
    max_images: PositiveInt | None = None
    """Maximum number of images: a fixed pseudo-random subset, ordered by the hash of the file name; null takes all."""
    max_reject_fraction: Fraction = 0.01
    """Fraction of the captions that may be rejected before the run fails."""
    unlisted_images: Literal["train", "skip"] = "train"
    """What happens to images that no official split list names."""
    split_fractions: SplitFractions = SplitFractions()
    """Split sizes for datasets without official split lists."""
