"""One JSON object per line, such as Hugging Face's `metadata.jsonl`."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from components.caption_ingest.formats.base import (
    CAPTION_COLUMNS,
    IMAGE_COLUMNS,
    Caption,
    Format,
    Head,
    Source,
    checked_caption,
    text_lines,
)
from components.caption_ingest.formats.json_files import is_record
from components.caption_ingest.rejects import Reason, Reject


class JsonLines(Format):
    """Lines `{"image": NAME, "caption": TEXT}`, or with a list of `captions`; `split` is optional.

    The keys are those of `IMAGE_COLUMNS` and `CAPTION_COLUMNS`.
    """

    name = "JSON lines"
    example = 'lines `{"image": NAME, "caption": TEXT}`'

    def matches(self, source: Source, head: Head) -> bool:
        return head.is_json and any(map(is_record, head.lines))  # the first line may be broken

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        for number, line in text_lines(source):
            if isinstance(line, Reject):
                yield line
            else:
                yield from _captions(number, line)


def _captions(number: int, line: str) -> Iterator[Caption | Reject]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield Reject("", number, Reason.BAD_LINE, f"not JSON: {error}")
        return
    if not isinstance(record, dict):
        yield Reject("", number, Reason.BAD_LINE, "not a JSON object")
        return
    image_id = _first_of(record, IMAGE_COLUMNS)
    texts = _first_of(record, CAPTION_COLUMNS)
    if not isinstance(texts, list):
        texts = [texts]
    for text in texts or [""]:
        yield checked_caption(image_id, text, record.get("split"), number)


def _first_of(record: dict, names: Sequence[str]) -> Any:
    return next((record[name] for name in names if name in record), None)
