"""Flickr8k's and Flickr30k's own caption files."""

import re
from collections.abc import Iterator

from components.caption_ingest.formats.base import Caption, Format, Head, Source, checked_caption, text_lines
from components.caption_ingest.rejects import Reason, Reject

_LINE = re.compile(r"[^\t]+#\d+ *\t")
_DOUBLE_SUFFIX = re.compile(r"(\.jpe?g)\.\d+$")


class FlickrTokens(Format):
    """Lines `NAME.jpg#0<TAB>sentence`.

    Flickr8k's file calls one image `2258277193_586949ec62.jpg.1`; its file is `2258277193_586949ec62.jpg`.
    """

    name = "Flickr tokens"
    example = "lines `NAME.jpg#0<TAB>sentence`"

    def matches(self, source: Source, head: Head) -> bool:
        return not head.is_json and any(map(_LINE.match, head.lines))

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        for number, line in text_lines(source):
            yield line if isinstance(line, Reject) else _caption(number, line)


def _caption(number: int, line: str) -> Caption | Reject:
    key, tab, text = line.partition("\t")
    image_id, _, index = key.strip().rpartition("#")
    if not tab:
        return Reject(key[:80], number, Reason.BAD_LINE, "no tab between the image name and the sentence")
    if not index.isdecimal():
        return Reject(key[:80], number, Reason.BAD_LINE, "the name does not have the form NAME.jpg#NUMBER")
    if image_id[-1:].isdecimal():
        image_id = _DOUBLE_SUFFIX.sub(r"\1", image_id)
    return checked_caption(image_id, text, None, number)
