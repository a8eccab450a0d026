"""Tables with a header, such as Kaggle's `captions.txt` and `results.csv`."""

import csv
import re
from collections.abc import Iterator

from components.caption_ingest.formats.base import (
    CAPTION_COLUMNS,
    IMAGE_COLUMNS,
    MAX_LINE_LENGTH,
    Caption,
    Format,
    Head,
    Source,
    UnreadableFileError,
    checked_caption,
    text_lines,
)
from components.caption_ingest.rejects import Reason, Reject

MAX_ROW_LINES = 16  # per CSV row, whose quoted text may contain line ends
MAX_HEADER_LENGTH = 1024  # characters; a longer first line is text
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")  # of a file name
_CELL = re.compile(r' *(?:"(?:[^"]|"")*"|[^,]*),')  # of a CSV row, with the comma after it

Lines = Iterator[tuple[int, str | Reject]]


class Table(Format):
    """Any table whose header names an image and a caption column; a column `split` is optional.

    With commas as delimiters, text may be quoted as in RFC 4180; bars, tabs and semicolons delimit without quotes. If
    the caption is the last column, further delimiters in a row belong to the caption.
    """

    name = "table"
    example = "a header `image,caption` and rows, delimited by commas, bars, tabs or semicolons"

    def matches(self, source: Source, head: Head) -> bool:
        if not head.lines or head.is_json:
            return False
        return len(head.lines[0]) < MAX_HEADER_LENGTH and parse_header(head.lines[0]) is not None

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        lines = text_lines(source)
        header = None
        for number, line in lines:
            if isinstance(line, Reject):
                yield line
            elif header is None:
                header = parse_header(line)
                if header is None:
                    detail = f"no header with an image and a caption column: {line[:80]!r}"
                    raise UnreadableFileError(f"{source.path}:{number}: {detail}")
            else:
                yield _parse_row(number, line, lines, *header)


def parse_header(line: str) -> tuple[list[str], str] | None:
    """Returns the columns and the delimiter of a table; None if the line is not a header.

    >>> parse_header("image_name| comment_number| comment")
    (['image', 'comment_number', 'caption'], '|')
    """
    for delimiter in (",", "|", "\t", ";"):
        columns = [cell.strip().strip('"').lower() for cell in line.split(delimiter)]
        image = next((name for name in IMAGE_COLUMNS if name in columns), None)
        caption = next((name for name in CAPTION_COLUMNS if name in columns), None)
        if image and caption:
            return [{image: "image", caption: "caption"}.get(name, name) for name in columns], delimiter
    return None


def _parse_row(number: int, line: str, lines: Lines, columns: list[str], delimiter: str) -> Caption | Reject:
    """Parses a row, which takes more of the `lines` if a quoted text contains line ends."""
    cells: list[str] | None
    if delimiter == ",":
        cells, line, num_lines = _parse_quoted(line, lines)
        if cells is None:
            return Reject("", number, Reason.BAD_LINE, "the quotation marks do not match", rows=num_lines)
        if other := _find_swallowed_row(cells, line, columns):
            detail = f"a quotation mark is not closed: the row would contain that of {other[:80]}"
            return Reject(cells[0][:80], number, Reason.BAD_LINE, detail, rows=num_lines)
    else:
        cells = line.split(delimiter)
    if len(cells) > len(columns) and columns[-1] == "caption":
        before = len(columns) - 1
        cells[before:] = [_text_after(line, before) if delimiter == "," else delimiter.join(cells[before:])]
    if len(cells) != len(columns):
        return Reject(cells[0][:80], number, Reason.BAD_LINE, f"{len(cells)} columns instead of {len(columns)}")
    row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    return checked_caption(row["image"], row["caption"], row.get("split"), number)


def _find_swallowed_row(cells: list[str], text: str, columns: list[str]) -> str | None:
    """Looks for another row in a row of several lines, whose text would hide it if a quotation mark is not closed.

    Args:
      cells: the row's cells.
      text: the row as it is written.
      columns: the columns of the table.

    Returns:
      the other row's image name; None if the line ends belong to the row's own text.
    """
    column = columns.index("image")
    kind = _kind_of_name(cells[column]) if column < len(cells) else ""
    for line in text.split("\n")[1:]:
        others = [cell.strip(' "') for cell in line.split(",")]
        if kind and len(others) >= len(columns) and _kind_of_name(others[column]) == kind:
            return others[column]
    return None


def _kind_of_name(name: str) -> str:
    """What the names of a dataset's images have in common: an extension, else digits; "" for other texts.

    >>> [_kind_of_name(name) for name in ("images/a 1.JPG", "000123", "two dogs", "e.g. a dog")]
    ['.jpg', '0', '', '']
    """
    name = re.split("[\n,]", name)[0].strip()  # an unclosed quotation mark may be that of the name
    if extension := _EXTENSION.search(name):
        return extension[0].lower()
    return "0" if name.isdecimal() else ""


def _text_after(line: str, num_cells: int) -> str:
    """Returns what follows the first cells of a CSV row, as it is written.

    >>> _text_after('"a, b.jpg",1,000 dogs, or so', 1)
    '1,000 dogs, or so'
    """
    position = 0
    for _ in range(num_cells):
        cell = _CELL.match(line, position)
        assert cell, line  # the row was parsed before
        position = cell.end()
    return line[position:]


def _parse_quoted(line: str, lines: Lines) -> tuple[list[str] | None, str, int]:
    """Parses a CSV row that begins in a line.

    Returns:
      its cells, None if its quotation marks do not match; its text; its number of lines.
    """
    num_lines = 1
    while True:
        try:
            return next(csv.reader([line], strict=True, skipinitialspace=True)), line, num_lines
        except csv.Error as error:
            if "unexpected end" not in str(error) or num_lines == MAX_ROW_LINES or len(line) > MAX_LINE_LENGTH:
                return None, line, num_lines
            _, following = next(lines, (0, None))
            if not isinstance(following, str):
                return None, line, num_lines + (following is not None)
            line, num_lines = f"{line}\n{following}", num_lines + 1
