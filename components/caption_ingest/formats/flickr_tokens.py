"""Flickr8k's and Flickr30k's own caption files, and their Chinese ones."""

import re
from collections.abc import Iterator

from components.caption_ingest.formats.base import Caption, Format, Head, Source, checked_caption, text_lines
from components.caption_ingest.rejects import Reason, Reject

_LINE = re.compile(r"[^\t]+#\d+#? *\t|\S+(?:\.[A-Za-z]{3,4}|#[a-z]{2,4})#\d+#? +\S")
_BLANK = re.compile(r"(\S+#\d+#?) +(.*)")  # a line without tabs
_LANGUAGE = re.compile(r"(?:(?<=\.[A-Za-z]{3})|(?<=\.[A-Za-z]{4}))#[a-z]{2,4}$|#(?:en|zh)[a-z]{0,2}$")
_DOUBLE_SUFFIX = re.compile(r"(\.jpe?g)\.\d+$")


class FlickrTokens(Format):
    """Lines `NAME.jpg#0<TAB>sentence`, or with a blank for the tab.

    Flickr8k-CN and Flickr30k-CN state the language and its source before the number, as in `NAME.jpg#zhc#0`. Flickr8k's
    file calls one image `2258277193_586949ec62.jpg.1`; its file is `2258277193_586949ec62.jpg`.
    """

    name = "Flickr tokens"
    example = "lines `NAME.jpg#0<TAB>sentence`"

    def matches(self, source: Source, head: Head) -> bool:
        return not head.is_json and any(map(_LINE.match, head.lines))

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        for number, line in text_lines(source):
            yield line if isinstance(line, Reject) else _caption(number, line)


def _caption(number: int, line: str) -> Caption | Reject:
    key, delimiter, text = line.partition("\t")
    if not delimiter and (match := _BLANK.match(line)):
        key, text = match.groups()
    elif not delimiter:
        return Reject(key[:80], number, Reason.BAD_LINE, "neither a tab nor NAME.jpg#NUMBER and a blank")
    image_id, _, index = key.strip().removesuffix("#").rpartition("#")
    if not index.isdecimal():
        return Reject(key[:80], number, Reason.BAD_LINE, "the name does not have the form NAME.jpg#NUMBER")
    if "#" in image_id:
        image_id = _LANGUAGE.sub("", image_id)
    if image_id[-1:].isdecimal():
        image_id = _DOUBLE_SUFFIX.sub(r"\1", image_id)
    return checked_caption(image_id, text, None, number)
