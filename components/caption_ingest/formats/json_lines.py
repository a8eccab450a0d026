"""One JSON object per line, such as Hugging Face's `metadata.jsonl`."""

import json
from collections.abc import Iterator

from components.caption_ingest.formats.base import Caption, Format, Head, Source, text_lines
from components.caption_ingest.formats.json_files import captions_of, check_record, is_record_line
from components.caption_ingest.rejects import Reason, Reject


class JsonLines(Format):
    """Lines `{"image": NAME, "caption": TEXT}`, or with a list of `captions`; `split` is optional.

    The keys are those of `IMAGE_COLUMNS` and `CAPTION_COLUMNS`.
    """

    name = "JSON lines"
    example = 'lines `{"image": NAME, "caption": TEXT}`'

    def matches(self, source: Source, head: Head) -> bool:
        # the first line may be broken
        return head.is_json and any(is_record_line(line, source.columns) for line in head.lines)

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        for number, line in text_lines(source):
            if isinstance(line, Reject):
                yield line
            else:
                yield from _captions(number, line, source)


def _captions(number: int, line: str, source: Source) -> Iterator[Caption | Reject]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield Reject("", number, Reason.BAD_LINE, f"not JSON: {error}")
        return
    check_record(record, number, source)
    yield from captions_of(record, number, source.columns)
