"""The layouts of split lists: names line by line, tables with a column for the split, JSON by split or by name."""

import csv
import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from components.caption_ingest.encodings import UNDECODABLE, suggest_for
from components.caption_ingest.files import is_printable
from components.caption_ingest.formats.base import (
    IMAGE_COLUMNS,
    MAX_NAME_LENGTH,
    SPLIT_NAMES,
    Head,
    Source,
    name_of,
    numbered_lines,
)
from components.caption_ingest.formats.columns import SPLIT_COLUMNS
from components.caption_ingest.formats.json_files import keys_of, read_document
from components.caption_ingest.names import compose
from components.caption_ingest.settings import Columns

_SPLIT = "|".join(SPLIT_NAMES)
# an array of names, or arrays by split; COCO's documents begin with other keys, and may be huge
_ARRAYS = re.compile(rf'\s*(?:\[\s*"|\{{\s*(?:"[^"\\]*"\s*:\s*\{{\s*)?"(?:{_SPLIT})"\s*:\s*\[)', re.IGNORECASE)
_STRING = re.compile(r'"([^"\\]*)"(\s*:)?')
_SPLITS_BY_NAME = re.compile(rf'\s*\{{\s*"[^"\\]*"\s*:\s*"(?:{_SPLIT})"', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One image in a list.

    Attributes:
      name: its name.
      number: number of the line or element.
      split: the split that the list itself states; None if it states none.
    """

    name: str
    number: int
    split: str | None = None


@dataclasses.dataclass(frozen=True)
class _Lines:
    """How the lines of a list are read.

    Attributes:
      delimiter: what is between columns; None if a line is a name.
      name: the column of the name.
      split: the column of the split; None if there is none.
      has_header: whether the first line names the columns.
    """

    delimiter: str | None = None
    name: int = 0
    split: int | None = None
    has_header: bool = False

    @classmethod
    def of(cls, lines: Sequence[str]) -> "_Lines":
        """Finds out by the first lines."""
        for delimiter in (",", "\t", ";", "|", " "):
            header = [cell.lower() for cell in _cells(lines[0], delimiter)] if lines else []
            image = next((name for name in IMAGE_COLUMNS if name in header), None)
            if image and (delimiter != " " or len(header) == 1):
                split = next((header.index(name) for name in SPLIT_COLUMNS if name in header), None)
                return cls(delimiter, header.index(image), split, has_header=True)
            rows = [_cells(line, delimiter) for line in lines]
            if rows and all(len(row) == 2 and row[1].lower() in SPLIT_NAMES for row in rows):
                return cls(delimiter, 0, 1)
        return cls()


def read_head(head: Head) -> list[Entry]:
    """Reads the entries in the head of a list; empty if the file is no list. JSON is only told from other files."""
    if not head.lines:
        return []
    if head.lines[0].lstrip().startswith(("{", "[")):
        text = "\n".join(head.lines)
        is_by_name = bool(_SPLITS_BY_NAME.match(text))
        if not is_by_name and not _ARRAYS.match(text):
            return []
        return [Entry(name, 1) for name, colon in _STRING.findall(text) if name and bool(colon) == is_by_name]
    lines = _Lines.of(head.lines)
    rows = head.lines[1:] if lines.has_header else head.lines
    return [entry for number, line in enumerate(rows) if (entry := _entry(line, number, lines))]


def unknown_split(head: Head) -> str:
    """Returns a value of the column of splits of a list, if none of the first ones is the name of a split; else ""."""
    lines = _Lines.of(head.lines)
    if lines.split is None or not lines.has_header:
        return ""
    rows = [_cells(line, lines.delimiter or ",") for line in head.lines[1:]]
    values = [row[lines.split] for row in rows if len(row) > lines.split and row[lines.split]]
    return "" if not values or any(value.lower() in SPLIT_NAMES for value in values) else values[0]


def read_list(source: Source) -> Iterator[Entry]:
    """Yields the entries of a list.

    Raises:
      ValueError: a line is no image name, in another encoding, or states an unknown split.
      UnreadableFileError: it is JSON that can't be read.
    """
    head = Head.of(source)
    text = "\n".join(head.lines)
    if _ARRAYS.match(text) or _SPLITS_BY_NAME.match(text):
        yield from _entries_of_json(read_document(source))
        return
    lines = _Lines.of(head.lines)
    is_header = lines.has_header
    for number, line in numbered_lines(source):
        if UNDECODABLE in line:
            advice = suggest_for(source.path)
            raise ValueError(f"{source.path}:{number}: not {source.encoding.upper()}; {advice}")
        if not line.strip():
            continue
        if is_header:
            is_header = False
            continue
        if len(line) > MAX_NAME_LENGTH:
            raise ValueError(f"{source.path}:{number}: {len(line)} characters, too long for the name of an image")
        if entry := _entry(line, number, lines):
            if "\t" in entry.name:
                raise ValueError(f"{source.path}:{number}: {line[:80]!r} contains a tab; expected one name per line")
            if not is_printable(entry.name):
                raise ValueError(f"{source.path}:{number}: the name contains control characters")
            yield entry


def _entry(line: str, number: int, lines: _Lines) -> Entry | None:
    if lines.delimiter is None:
        return Entry(name, number) if (name := _clean(line)) else None
    cells = _cells(line, lines.delimiter)
    if len(cells) <= max(lines.name, lines.split or 0) or not (name := _clean(cells[lines.name])):
        return None
    split = None if lines.split is None else SPLIT_NAMES.get(cells[lines.split].lower())
    return Entry(name, number, split)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        [cells] = csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True)
    except (csv.Error, ValueError):
        return [line]
    return [cell.strip() for cell in cells]


def _clean(name: str) -> str:
    return compose(name_of(name.strip().strip('"')).replace("\\", "/").removeprefix("./"))


def _entries_of_json(document: Any) -> Iterator[Entry]:
    if isinstance(document, list):
        yield from _entries_of_names(document, None)
        return
    for number, (key, value) in enumerate(document.items(), start=1):
        if isinstance(value, dict):
            yield from _entries_of_json(value)
        elif isinstance(value, list) and key.lower() in SPLIT_NAMES:
            yield from _entries_of_names(value, SPLIT_NAMES[key.lower()])
        elif isinstance(value, str) and value.lower() in SPLIT_NAMES:
            yield Entry(_clean(key), number, SPLIT_NAMES[value.lower()])


def _entries_of_names(names: Sequence[Any], split: str | None) -> Iterator[Entry]:
    for number, element in enumerate(names, start=1):
        name = element.get(keys_of(tuple(element), Columns())[0]) if isinstance(element, dict) else element
        if isinstance(name, str) and _clean(name):
            yield Entry(_clean(name), number, split)
