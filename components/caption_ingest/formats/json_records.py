"""One JSON document of records, such as BLIP's and LAVIS' annotations, NWPU-Captions, or sentences by image name."""

import json
import re
from collections.abc import Iterator
from typing import Any

from components.caption_ingest.formats.base import SPLIT_NAMES, Caption, Format, Head, Source, UnreadableFileError
from components.caption_ingest.formats.json_files import (
    captions_of,
    check_record,
    is_record,
    is_record_line,
    read_document,
    take_all,
)
from components.caption_ingest.rejects import Reject
from components.caption_ingest.settings import Columns

_FIRST_OF_ARRAY = re.compile(r"\s*\[\s*(?=\{)")
_FIRST_OF_LIST = re.compile(r'"[^"\\]*"\s*:\s*\[\s*(?=\{)')
_BY_NAME = re.compile(r'\s*\{\s*(?:"(?P<split>\w+)"\s*:\s*\{\s*)?"(?P<name>[^"\\]+)"\s*:\s*(?=["\[{])')
_IMAGE_NAME = re.compile(r"\.[A-Za-z][A-Za-z0-9]{2,3}$")
_MAX_LISTS = 20  # whose first element is looked at to detect the format


class JsonRecords(Format):
    """One document: a list of records, lists of records by any keys, or captions by the name of their image.

    `[{"image": NAME, "caption": TEXT}]`; `{"data": [{"file_name": NAME, "captions": [TEXT]}]}`; `{NAME: [TEXT]}`. A key
    that is the name of a split, as in `{"train": …, "val": …}`, states that of what is below it.
    """

    name = "JSON records"
    example = '`[{"image": NAME, "caption": TEXT}]`'

    def matches(self, source: Source, head: Head) -> bool:
        text = "\n".join(head.lines)
        if not text.lstrip().startswith(("[", "{")) or is_record_line(head.lines[0], source.columns):
            return False
        if first := _FIRST_OF_ARRAY.match(text):
            return _is_record_at(text, first.end(), source.columns)
        if (by_name := _BY_NAME.match(text)) and _is_captions_at(text, by_name):
            return True
        lists = [found.end() for found, _ in zip(_FIRST_OF_LIST.finditer(text), range(_MAX_LISTS), strict=False)]
        return any(_is_record_at(text, position, source.columns) for position in lists)

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        document = read_document(source)
        if not isinstance(document, dict | list):
            raise UnreadableFileError(f"{source.path}: not a JSON object")
        for number, (record, split) in enumerate(_records(document, None, source.columns), start=1):
            check_record(record, number, source)
            yield from captions_of(record, number, source.columns, split)


def _records(document: dict | list, split: str | None, columns: Columns) -> Iterator[tuple[Any, str | None]]:
    """Yields the records of a document with the split that a key above them states; empties the document."""
    if isinstance(document, list):
        for record in take_all(document):
            yield record, split
        return
    keys = [key for key, value in document.items() if _is_part(key, value, columns)]
    for key in keys:
        yield from _records(document.pop(key), key if key.strip().lower() in SPLIT_NAMES else split, columns)
    if keys:  # the other keys describe the dataset
        return
    for key in list(document):
        value = document.pop(key)
        yield {**value, "image": key} if isinstance(value, dict) else {"image": key, "caption": value}, split


def _is_part(key: str, value: Any, columns: Columns) -> bool:
    """Whether a value holds records of its own, and is not the captions of an image."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return is_record(value[0], columns)
    return key.strip().lower() in SPLIT_NAMES and isinstance(value, dict)


def _is_record_at(text: str, position: int, columns: Columns) -> bool:
    try:
        record, _ = json.JSONDecoder().raw_decode(text, position)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and is_record(record, columns)


def _is_captions_at(text: str, by_name: re.Match) -> bool:
    """Whether a document is one of captions by the name of their image, by the first of them."""
    split, name = by_name["split"], by_name["name"]
    if split and split.lower() not in SPLIT_NAMES:
        return False
    try:
        value, _ = json.JSONDecoder().raw_decode(text, by_name.end())
    except (ValueError, RecursionError):
        return False
    if isinstance(value, dict):
        return bool(_IMAGE_NAME.search(name)) and is_record({**value, "image": name}, Columns())
    texts = value if isinstance(value, list) else [value]
    # of a name without extension, which may be any key, the captions must look like some
    is_sentence = all(isinstance(text, str) and (_IMAGE_NAME.search(name) or text.count(" ") > 1) for text in texts)
    is_list = any(
        text.lower() in SPLIT_NAMES or (_IMAGE_NAME.search(text) and not _IMAGE_NAME.search(name))
        for text in texts
        if isinstance(text, str)
    )
    return bool(texts) and is_sentence and not is_list
