"""What the ingest does not take: the reasons, and when it is too much."""

import collections
import dataclasses
import enum
import json
from collections.abc import Iterable, Sequence


class Reason(str, enum.Enum):
    """Why a line or a picture is not taken. The picture's own faults are those of `components.images.PictureFault`."""

    BAD_LINE = "bad_line"
    BAD_ENCODING = "bad_encoding"
    EMPTY_CAPTION = "empty_caption"
    LONG_CAPTION = "long_caption"
    TOO_MANY_CAPTIONS = "too_many_captions"
    OUTSIDE_DATA_DIR = "outside_data_dir"
    MISSING_IMAGE = "missing_image"
    AMBIGUOUS_NAME = "ambiguous_name"
    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    DUPLICATE = "duplicate"


@dataclasses.dataclass(frozen=True)
class Reject:
    """One line, or one picture with all its lines, that is not taken.

    Attributes:
      image_id: as far as it is known.
      line: number of the (first) source line, or of the element of a JSON document, from 1.
      reason: the kind of fault.
      detail: what exactly is wrong.
      rows: how many captions are lost by it.
      source: the caption file, below the data directory.
    """

    image_id: str
    line: int
    reason: Reason
    detail: str
    rows: int = 1
    source: str = ""

    def __post_init__(self) -> None:
        # what a hostile file says is printed, and written as UTF-8
        for name in ("image_id", "detail", "source"):
            text = getattr(self, name)
            if not text.isprintable():
                object.__setattr__(self, name, ascii(text)[1:-1])

    def to_json(self) -> str:
        """One line of the `rejects` artifact."""
        fields = dataclasses.asdict(self) | {"reason": self.reason.value}
        return json.dumps(fields, ensure_ascii=False)


class TooManyRejects(ValueError):
    """More of the data is bad than the settings allow."""


def count(rejects: Iterable[Reject]) -> dict[str, int]:
    """Number of rejects by reason, most frequent first."""
    return dict(collections.Counter(reject.reason.value for reject in rejects).most_common())


def check_fraction(rejects: Sequence[Reject], rows: int, allowed: float) -> None:
    """Stops the run when too many of the captions are lost.

    Args:
      rejects: all of them.
      rows: captions in the source, lost ones included.
      allowed: share of the captions that may be lost, 0 to 1.

    Raises:
      TooManyRejects: with the reasons, most frequent first, and three examples of each.
    """
    lost = sum(reject.rows for reject in rejects)
    if lost <= allowed * rows:
        return
    lines = [
        f"{lost} of {rows} captions ({lost / max(rows, 1):.1%}) can't be used; data.max_reject_fraction allows "
        f"{allowed:.1%}. Mend the data, or raise it if this loss is meant."
    ]
    for reason, number in count(rejects).items():
        lines.append(f"  {reason}: {number}")
        examples = [reject for reject in rejects if reject.reason.value == reason][:3]
        lines += [f"    {reject.source}:{reject.line}: {reject.image_id}: {reject.detail}" for reject in examples]
    raise TooManyRejects("\n".join(lines))
