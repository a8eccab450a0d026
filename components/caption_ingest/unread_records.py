"""Tables and JSON in which no captions are found: their columns and keys, and the settings that would take them."""

import dataclasses
import itertools
import json
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from components.caption_ingest.formats import FORMATS
from components.caption_ingest.formats.base import Caption, Head, Source
from components.caption_ingest.formats.columns import is_image_name
from components.caption_ingest.formats.dialects import DELIMITERS, Dialect, stated_delimiter
from components.caption_ingest.formats.table import Table
from components.caption_ingest.rejects import Reject
from components.caption_ingest.settings import Columns

MAX_SHOWN = 12  # columns or keys
MAX_NAME = 40  # characters of one
MAX_READ = 32 * 2**20  # bytes of a file that is read to try an advice
MAX_TRIED = 20  # captions that are read for that
MAX_LINES_BEFORE = 10  # a table
MAX_CANDIDATES = 3  # columns that are tried as images, and as captions
_LIST_OF_OBJECTS = re.compile(r'(?:\A|"[^"\\]*"\s*:)\s*\[\s*(?=\{)')
_MAX_LISTS = 20
_IMAGE_LIKE = ("image", "img", "file", "photo")
_CAPTION_LIKE = ("caption", "sentence", "descri", "utterance", "text")


def why_no_records(source: Source, head: Head, stems: Collection[str]) -> str:
    """Says what the columns of a table or the keys of a JSON file are, and which settings take them; "" for others.

    Args:
      source: the file, in which no captions are found.
      head: its beginning.
      stems: names of the image files of the data directory, see `stem`.
    """
    if not head.lines:
        return ""
    if head.lines[0].lstrip().startswith(("{", "[")):
        return _why_no_json(source, head, stems)
    return _why_no_table(source, head, stems)


def stem(name: str) -> str:
    """What is compared of the name of an image file.

    >>> [stem(name) for name in ("train/A 1.JPG", "000123.png", "123", "st. john")]
    ['a 1', '123', '123', 'st. john']
    """
    name = posixpath.basename(name.strip())
    return (posixpath.splitext(name)[0] if is_image_name(name) else name).lower().lstrip("0") or "0"


def _why_no_json(source: Source, head: Head, stems: Collection[str]) -> str:
    text = "\n".join(head.lines)
    lists = _lists_of_records(text)
    records = next((records for records in lists if any(map(_is_sentence, records[0].values()))), None)
    records = records or next(iter(lists), None)
    if records:
        values = {key: [record[key] for record in records if key in record] for key in records[0]}
        return f"records with the keys {_listed(list(values))}; {_advice(source, values, stems, 'key')}"
    document, _ = _object_at(text, 0)
    keys = list(document) if document else re.findall(r'"([^"\\]+)"\s*:', text)[:MAX_SHOWN]
    return f"JSON with the keys {_listed(keys)}, and no list of records" if keys else ""


def _lists_of_records(text: str) -> list[list[dict]]:
    """The first records of the lists in a document that are in no other, or of lines that are objects."""
    if re.match(r"\s*\{.*\}\s*\n\s*\{", text):
        return [records] if (records := _records_at(text, 0)[0]) else []
    lists, end = [], 0
    for match, _ in zip(_LIST_OF_OBJECTS.finditer(text), range(_MAX_LISTS), strict=False):
        if match.end() >= end:
            records, end = _records_at(text, match.end())
            lists += [records] if records else []
    return lists


def _records_at(text: str, position: int) -> tuple[list[dict], int]:
    """Reads objects one after the other, and returns the position after them."""
    records: list[dict] = []
    while len(records) < MAX_TRIED:
        record, end = _object_at(text, position)
        if record is None:
            break
        records.append(record)
        position = end
    return records, position


def _object_at(text: str, position: int) -> tuple[dict | None, int]:
    start = re.compile(r"[\s,]*").match(text, position)
    try:
        value, end = json.JSONDecoder().raw_decode(text, start.end() if start else position)
    except (ValueError, RecursionError):
        return None, position
    return (value, end) if isinstance(value, dict) and value else (None, position)


def _why_no_table(source: Source, head: Head, stems: Collection[str]) -> str:
    stated = stated_delimiter(head.lines[0])
    lines = head.lines[1:] if stated else head.lines
    delimiters = (stated,) if stated else sorted(DELIMITERS, key="\t|;,".index)  # commas also occur in captions
    tables = [([Dialect(delimiter).cells(line) for line in lines], delimiter) for delimiter in delimiters]
    rows, delimiter = max(tables, key=lambda table: _num_alike(table[0]))
    if _num_alike(rows) < 2:
        return _why_no_first_row(source, head)
    first, *others = rows
    image = next((index for index, cell in enumerate(first) if is_image_name(cell)), None)
    if image is None:
        image = next((index for index, cell in enumerate(first) if stem(cell) in stems), None)
    if image is not None:
        return _why_no_header(lines, rows, image, delimiter)
    values = {name: [row[index] for row in others if len(row) == len(first)] for index, name in enumerate(first)}
    return f"a table with the columns {_listed(first)}; {_advice(source, values, stems, 'column')}"


def _num_alike(rows: Sequence[Sequence[str]]) -> int:
    """How many rows have as many cells as the first, or more; 0 unless it has several and most of them do."""
    if not rows or len(rows[0]) < 2:
        return 0
    alike = sum(len(row) >= len(rows[0]) for row in rows)
    return alike if 10 * alike >= 8 * len(rows) else 0


def _why_no_first_row(source: Source, head: Head) -> str:
    """Says how many lines stand before the header of a table, as titles and comments do."""
    for number in range(1, min(MAX_LINES_BEFORE, len(head.lines))):
        if FORMATS[Table.name].matches(source, Head(head.lines[number:], head.start)):
            return f"a table whose first line is {head.lines[number][:60]!r}; remove the lines before it"
    return ""


def _why_no_header(lines: Sequence[str], rows: Sequence[Sequence[str]], image: int, delimiter: str) -> str:
    """Says which line to add before the first row of a table that has no header."""
    first = rows[0]
    names = [f"column_{index}" for index in range(1, len(first) + 1)]
    sentence = max(
        (
            index
            for index in range(len(first))
            if index != image and any(_is_sentence(row[index]) for row in rows if len(row) == len(first))
        ),
        key=lambda index: sum(row[index].count(" ") for row in rows if len(row) == len(first)),
        default=None,
    )
    are_alike = all(len(row) == len(first) for row in rows)
    if image == 0 and (not are_alike or sentence is None):  # the last column takes further delimiters
        rest = [line.partition(delimiter)[2] for line in lines]
        names, sentence = names[:2], 1 if 2 * sum(map(_is_sentence, rest)) > len(rest) else None
    shown = f"a table without a header, whose first line is {lines[0][:60]!r}"
    if sentence is None:
        return f"{shown}; it has no column of sentences"
    names[image], names[sentence] = "image", "caption"
    return f"{shown}; add a line before it that names the columns, such as {delimiter.join(names)!r}"


def _advice(source: Source, values: Mapping[str, Sequence[Any]], stems: Collection[str], what: str) -> str:
    """Says which columns or keys to choose, after having tried it; or what is missing."""
    images = [name for name in values if _are_images(values[name], stems)]
    images.sort(key=lambda name: not any(part in name.lower() for part in _IMAGE_LIKE))
    captions = [
        name for name in values if values[name] and 2 * sum(map(_is_sentence, values[name])) > len(values[name])
    ]
    captions.sort(key=lambda name: not any(part in name.lower() for part in _CAPTION_LIKE))
    for image, caption in itertools.product(images[:MAX_CANDIDATES], captions[:MAX_CANDIDATES]):
        if image != caption and _is_read(dataclasses.replace(source, columns=Columns(image, caption))):
            return f"set data.columns.image={_quoted(image)} and data.columns.caption={_quoted(caption)}"
    missing = [
        *(["names of image files that are there (data.columns.image)"] if not images else []),
        *(["sentences (data.columns.caption)"] if not captions else []),
    ]
    return f"no {what} holds {', and none '.join(missing)}" if missing else "they are not one image and its captions"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else f"'{_printable(name)}'"


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)[1:-1]


def _are_images(values: Sequence[Any], stems: Collection[str]) -> bool:
    """Whether most values are names of image files, of those that are there."""
    names = [str(value) for value in values if type(value) in (str, int)]
    return 2 * sum(stem(name) in stems for name in names) > len(values)


def _is_sentence(value: Any) -> bool:
    """Whether a value is a text of three words or more, or a list of such texts."""
    if isinstance(value, list):
        return bool(value) and _is_sentence(value[0]) and not isinstance(value[0], list)
    return isinstance(value, str) and value.strip().count(" ") > 1


def _is_read(source: Source) -> bool:
    """Whether the first captions of a file can be read."""
    head = Head.of(source)
    if source.path.stat().st_size > MAX_READ:
        return any(format.matches(source, head) for format in FORMATS.values())
    for format in FORMATS.values():
        if format.matches(source, head):
            try:
                items: list[Caption | Reject] = list(itertools.islice(format.read(source), MAX_TRIED))
            except (OSError, ValueError):
                return False
            return 2 * sum(isinstance(item, Caption) for item in items) > len(items)
    return False


def _listed(names: Sequence[str]) -> str:
    shown = [
        _printable(name) if len(name) <= MAX_NAME else f"{_printable(name[:MAX_NAME])}…" for name in names[:MAX_SHOWN]
    ]
    return ", ".join([*shown, *(["…"] if len(names) > MAX_SHOWN else [])])
