"""Tables with a header, such as Kaggle's `captions.txt` and `results.csv`, or what a spreadsheet or pandas writes."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

from components.caption_ingest.formats.base import (
    Caption,
    Format,
    Head,
    Source,
    UnreadableFileError,
    checked_caption,
    is_missing,
    text_lines,
)
from components.caption_ingest.formats.columns import (
    AmbiguousColumns,
    Roles,
    are_names_and_sentences,
    are_splits,
    count_columns,
    find_roles,
    texts_in,
)
from components.caption_ingest.formats.dialects import DELIMITERS, Dialect, Lines, stated_delimiter
from components.caption_ingest.formats.json_files import FLAGS, flag_of, flagged
from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.settings import Columns

MAX_HEADER_LENGTH = 1024  # characters; a longer first line is text
_PUNCTUATION = (",", ";")  # delimiters that sentences have as well
_DELIMITER_NAMES = {",": "commas", "|": "bars", "\t": "tabs", ";": "semicolons"}


@dataclasses.dataclass(frozen=True)
class Header:
    """The header of a table.

    Attributes:
      delimiter: what stands between its cells.
      names: the names of the columns.
      roles: which of them are used.
      num_lines: number of lines before the first row; 0 if the table has no header, but these columns.
    """

    delimiter: str
    names: tuple[str, ...]
    roles: Roles
    num_lines: int

    @functools.cached_property
    def is_flagged(self) -> bool:
        """Whether a column flags captions, see `flag_of`."""
        return not FLAGS.isdisjoint(self.names)


class Table(Format):
    """Any table whose header names an image and a caption column, or several; a column `split` is optional.

    Without a header, the columns are an image's file name and a sentence, and perhaps a split.

    Commas, bars, tabs and semicolons delimit, or what a first line `sep=;` states. Text may be quoted as in RFC 4180.
    If the only caption column is the last, further delimiters in a row belong to it. A cell may be a list of texts.
    """

    name = "table"
    example = "a header `image,caption` and rows, delimited by commas, bars, tabs or semicolons"

    def matches(self, source: Source, head: Head) -> bool:
        if not head.lines or head.is_json or len(head.lines[0]) >= MAX_HEADER_LENGTH:
            return False
        try:
            return find_header(head.lines, source.columns) is not None
        except AmbiguousColumns:  # which `read` refuses
            return True

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        head = Head.of(source)
        if not head.lines:
            return
        try:
            header = find_header(head.lines, source.columns)
        except AmbiguousColumns as error:
            raise UnreadableFileError(f"{source.path}: {error}") from None
        if header is None:
            raise UnreadableFileError(f"{source.path}: {_no_columns(head.lines[0], source.columns)}")
        dialect = Dialect.of(source, header.delimiter)
        lines = text_lines(source)
        for index, (number, line) in enumerate(lines):
            if isinstance(line, Reject):
                yield line
            elif index >= header.num_lines:
                yield from _parse_row(number, line, lines, header, dialect)

    def describe(self, source: Source) -> str:
        header = find_header(Head.of(source).lines, source.columns)
        if header is None:
            return ""
        used = [header.names[index] for index in (header.roles.image, *header.roles.captions)]
        if header.roles.split is not None:
            used.append(header.names[header.roles.split])
        dialect = Dialect.of(source, header.delimiter)
        quotes = ", quoted with backslashes" if dialect.is_escaped else ", quoted" if dialect.is_quoted else ""
        return f"{_DELIMITER_NAMES.get(header.delimiter, repr(header.delimiter))}{quotes}, columns {', '.join(used)}"


def find_header(lines: Sequence[str], columns: Columns) -> Header | None:
    """Finds the header of a table.

    Args:
      lines: the first lines.
      columns: the columns that the settings name.

    Returns:
      the header; None if no delimiter makes the first line one, nor the lines names of image files and sentences.

    Raises:
      AmbiguousColumns: several columns may be meant.
    """
    if "\0" in lines[0]:  # unmarked UTF-16
        return None
    stated = stated_delimiter(lines[0])
    first, *others = (lines[1:] if stated else lines) or [""]
    for delimiter in (stated,) if stated else DELIMITERS:
        dialect = Dialect(delimiter)
        names = dialect.cells(first)
        roles = find_roles(names, map(dialect.cells, others), columns)
        if roles:
            return Header(delimiter, tuple(names), roles, 2 if stated else 1)
    return None if stated or columns != Columns() else _without_header(lines)


def _without_header(lines: Sequence[str]) -> Header | None:
    """Finds the delimiter of a table that has no header, of names of image files, sentences, and perhaps splits.

    Raises:
      AmbiguousColumns: there are further columns.
    """
    for delimiter in DELIMITERS:
        rows = [Dialect(delimiter).cells(line) for line in lines]
        if not are_names_and_sentences(rows):
            continue
        num_columns = count_columns(rows, may_be_text=delimiter in _PUNCTUATION)
        if num_columns == 3 and are_splits([row[-1] for row in rows if len(row) == 3]):
            return Header(delimiter, ("image", "caption", "split"), Roles(0, (1,), 2), 0)
        if num_columns > 2:
            raise AmbiguousColumns(
                f"no header, and {num_columns} columns; add a first line that names them, such as "
                + delimiter.join(("image", "caption", "split")).replace("\t", "<TAB>")
            )
        return Header(delimiter, ("image", "caption"), Roles(0, (1,), None), 0)
    return None


def _no_columns(line: str, columns: Columns) -> str:
    chosen = [f"data.columns.{name}={value}" for name, value in vars(columns).items() if value]
    return (
        f"no header with an image and a caption column{' of ' if chosen else ''}{' and '.join(chosen)}: {line[:80]!r}"
    )


def _parse_row(number: int, line: str, lines: Lines, header: Header, dialect: Dialect) -> Iterator[Caption | Reject]:
    """Parses a row, which takes more of the `lines` if a quoted text contains line ends."""
    roles, num_columns = header.roles, len(header.names)
    cells, line, num_lines = dialect.parse_row(line, lines)
    if dialect.is_quoted and "\0" in line:
        detail = "a NUL byte in the row, as damaged files have them; remove it, or write the file again"
        yield Reject("", number, Reason.BAD_LINE, detail, rows=num_lines)
        return
    if cells is None:
        yield Reject("", number, Reason.BAD_LINE, "the quotation marks do not match", rows=num_lines)
        return
    if not any(map(str.strip, cells)):  # as Excel leaves them below the data
        return
    if header.num_lines and tuple(map(str.strip, cells)) == header.names:  # files that were joined
        yield Reject("", number, Reason.NO_CAPTION, "the header of the table once more")
        return
    is_first = roles.image < min(roles.captions)
    if other := dialect.find_swallowed_row(cells, line, roles.image, num_columns, is_first=is_first):
        detail = f"a quotation mark is not closed: the row would contain that of {other[:80]}"
        yield Reject(cells[0][:80], number, Reason.BAD_LINE, detail, rows=num_lines)
        return
    if len(cells) > num_columns and roles.captions == (num_columns - 1,):
        cells[num_columns - 1 :] = [dialect.text_after(line, num_columns - 1)]
    if len(cells) != num_columns:
        yield Reject(cells[0][:80], number, Reason.BAD_LINE, f"{len(cells)} columns instead of {num_columns}")
        return
    yield from _captions(number, [cell.strip() for cell in cells], header)


def _captions(number: int, cells: Sequence[str], header: Header) -> Iterator[Caption | Reject]:
    """Yields the captions of a row."""
    roles = header.roles
    image_id = cells[roles.image]
    if header.is_flagged and (flag := flag_of(dict(zip(header.names, cells, strict=True)))):
        yield flagged(image_id, number, flag)
        return
    split = cells[roles.split] if roles.split is not None else None
    try:
        texts = [text for index in roles.captions for text in texts_in(cells[index])]
    except ValueError as error:
        yield Reject(image_id[:80], number, Reason.BAD_LINE, str(error))
        return
    if len(texts) > 1:  # images with fewer captions than others leave cells empty
        texts = [text for text in texts if text != "" and not (isinstance(text, str) and is_missing(text))] or [""]
    for text in texts:
        yield checked_caption(image_id, text, split, number)
