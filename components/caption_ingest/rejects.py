"""What the ingest rejects: all reasons, the records of rejected lines and images, and the limit that fails a run."""

import collections
import dataclasses
import enum
import json
from collections.abc import Iterable, Sequence
from typing import Protocol


class Reason(str, enum.Enum):
    """Why a line or an image is rejected; the values are what the rejects artifact shows."""

    # lines of caption files, in `formats`
    BAD_LINE = "bad_line"
    BAD_ENCODING = "bad_encoding"
    EMPTY_CAPTION = "empty_caption"
    LONG_CAPTION = "long_caption"
    FLAGGED = "flagged"
    NO_CAPTION = "no_caption"
    # captions of an image, in `grouping`
    TOO_MANY_CAPTIONS = "too_many_captions"
    # names in captions, in `name_resolution` and `splits`; for copies of an image in `image_checks`
    OUTSIDE_DATA_DIR = "outside_data_dir"
    MISSING_IMAGE = "missing_image"
    AMBIGUOUS_NAME = "ambiguous_name"
    # files that can't be read, and faults of image files, found by `inspection` and rejected in `image_checks`
    UNREADABLE_IMAGE = "unreadable_image"
    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    # images that are in two splits, in `image_checks`
    DUPLICATE = "duplicate"


@dataclasses.dataclass(frozen=True)
class Reject:
    """One rejected line, or one rejected image with all its captions.

    Attributes:
      image_id: name of the image, as far as it is known.
      line: number of the (first) line in the caption file, or of the element of a JSON document, from 1.
      reason: the kind of fault.
      detail: what exactly is wrong.
      rows: number of captions that are lost with it.
      source: path of the caption file below the data directory.
    """

    image_id: str
    line: int
    reason: Reason
    detail: str
    rows: int = 1
    source: str = ""

    def __post_init__(self) -> None:
        # text from a hostile file is printed, and written as UTF-8
        for name in ("image_id", "detail", "source"):
            text = getattr(self, name)
            if not text.isprintable():
                object.__setattr__(self, name, ascii(text)[1:-1])

    def to_json(self) -> str:
        """Serializes the reject as one line of the `rejects` artifact."""
        fields = dataclasses.asdict(self) | {"reason": self.reason.value}
        return json.dumps(fields, ensure_ascii=False)


class CaptionedName(Protocol):
    """What images with captions have in common, before and after their files are found."""

    @property
    def image_id(self) -> str:
        """See `records.IMAGE_ID`."""

    @property
    def source(self) -> str:
        """The caption file."""

    @property
    def line(self) -> int:
        """The line of its first caption."""

    @property
    def captions(self) -> Sequence[str]:
        """Its captions."""


def reject_image(image: CaptionedName, reason: Reason, detail: str) -> Reject:
    """Makes a reject of an image with all its captions."""
    return Reject(image.image_id, image.line, reason, detail, len(image.captions), image.source)


# what the authors of a dataset have marked as no caption, or what is none, is no fault of the data
NO_FAULTS = frozenset({Reason.FLAGGED, Reason.NO_CAPTION})


class TooManyRejects(ValueError):
    """More of the data is rejected than the settings allow."""


def count(rejects: Iterable[Reject]) -> dict[str, int]:
    """Counts rejects per reason, most frequent first."""
    return dict(collections.Counter(reject.reason.value for reject in rejects).most_common())


def count_captions(rejects: Iterable[Reject]) -> dict[str, int]:
    """Counts the captions that are lost per reason."""
    num_captions: collections.Counter[str] = collections.Counter()
    for reject in rejects:
        num_captions[reject.reason.value] += reject.rows
    return dict(num_captions)


# of lines; all others are of images, with all their captions
_OF_LINES = NO_FAULTS | {Reason.BAD_LINE, Reason.BAD_ENCODING, Reason.EMPTY_CAPTION, Reason.LONG_CAPTION}


def format_amount(reason: str, num_rejects: int, num_captions: int) -> str:
    """Formats what is lost for one reason, in images and captions.

    >>> format_amount("truncated", 1, 5), format_amount("bad_line", 2, 2)
    ('truncated: 1 image, 5 captions', 'bad_line: 2 lines')
    """

    def counted(number: int, noun: str) -> str:
        return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

    if reason in {each.value for each in _OF_LINES}:
        return f"{reason}: {counted(num_captions, 'line')}"
    return f"{reason}: {counted(num_rejects, 'image')}, {counted(num_captions, 'caption')}"


def amounts(rejects: Sequence[Reject]) -> list[str]:
    """What is lost, one text per reason, most frequent first."""
    num_captions = count_captions(rejects)
    return [format_amount(reason, number, num_captions[reason]) for reason, number in count(rejects).items()]


def check_fraction(rejects: Sequence[Reject], num_captions: int, max_fraction: float) -> None:
    """Fails the run if too many captions are rejected; those of `NO_FAULTS` count neither way.

    Args:
      rejects: all rejects.
      num_captions: number of captions in the data, rejected ones included.
      max_fraction: fraction of the captions that may be rejected, 0 to 1.

    Raises:
      TooManyRejects: with the reasons, most frequent first, and three examples of each.
    """
    num_captions -= sum(reject.rows for reject in rejects if reject.reason in NO_FAULTS)
    rejects = [reject for reject in rejects if reject.reason not in NO_FAULTS]
    num_rejected = sum(reject.rows for reject in rejects)
    if num_rejected <= max_fraction * num_captions:
        return
    lines = []
    for reason, amount in zip(count(rejects), amounts(rejects), strict=True):
        lines.append(f"  {amount}")
        examples = [reject for reject in rejects if reject.reason.value == reason][:3]
        lines += [f"    {reject.source}:{reject.line}: {reject.image_id}: {reject.detail}" for reject in examples]
    raise TooManyRejects(
        f"{num_rejected} of {num_captions} captions ({num_rejected / max(num_captions, 1):.1%}) can't be used; "
        f"data.max_reject_fraction allows {max_fraction:.1%}. Fix the data, or raise the limit if this is intended."
        + "".join(f"\n{line}" for line in lines)
    )
