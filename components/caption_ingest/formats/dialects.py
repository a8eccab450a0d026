"""How the rows of a table are delimited and quoted.

The delimiter is the one by which the first line is a header: that is certain, which `csv.Sniffer` is not, as it finds
delimiters in captions. Rows are parsed by `csv`.
"""

import collections
import csv
import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

from components.caption_ingest.formats.base import MAX_LINE_LENGTH, Source, text_lines
from components.caption_ingest.rejects import Reject

DELIMITERS = (",", "|", "\t", ";")
MAX_ROW_LINES = 16  # per row, whose quoted text may contain line ends
MAX_ESCAPED_ROWS = 10_000  # with backslashes before quotation marks, by which these are taken for escapes
_ESCAPED_MARK = re.compile(r'(\\+)"')
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"? *', re.IGNORECASE)  # Excel's
_OPEN = re.compile(r' *"(?:[^"]|"")*')  # a cell whose quotation mark is not closed
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")  # of a file name

Lines = Iterator[tuple[int, str | Reject]]


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How the rows of a table are written.

    Attributes:
      delimiter: what stands between cells.
      is_quoted: whether a cell may be in quotation marks, as in RFC 4180.
      is_escaped: whether a quotation mark in such a cell has a backslash before it, and is not doubled.
    """

    delimiter: str
    is_quoted: bool = True
    is_escaped: bool = False

    @classmethod
    def of(cls, source: Source, delimiter: str) -> "Dialect":
        """Finds out how the rows of a file are written."""
        is_escaped = uses_escapes(source, delimiter)
        return cls(delimiter, is_escaped or uses_quotes(source, delimiter), is_escaped)

    def cells(self, line: str) -> list[str]:
        """Divides a line into cells, leniently: a header, or a row that is only looked at."""
        try:
            cells = next(csv.reader([line], delimiter=self.delimiter, skipinitialspace=True), [])
        except csv.Error:
            cells = line.split(self.delimiter)
        return [cell.strip() for cell in cells]

    def parse_row(self, line: str, lines: Lines) -> tuple[list[str] | None, str, int]:
        """Parses the row that begins in a line, and takes more of the `lines` if a quoted text contains line ends.

        Returns:
          its cells, None if its quotation marks do not match; its text; its number of lines.
        """
        if not self.is_quoted:
            return line.split(self.delimiter), line, 1
        line, num_lines = self._as_doubled(line), 1
        while True:
            try:
                row = next(csv.reader([line], delimiter=self.delimiter, strict=True, skipinitialspace=True))
                return row, line, num_lines
            except csv.Error as error:
                if "unexpected end" not in str(error) or num_lines == MAX_ROW_LINES or len(line) > MAX_LINE_LENGTH:
                    return None, line, num_lines
                _, following = next(lines, (0, None))
                if not isinstance(following, str):
                    return None, line, num_lines + (following is not None)
                line, num_lines = f"{line}\n{self._as_doubled(following)}", num_lines + 1

    def _as_doubled(self, line: str) -> str:
        """Writes escaped quotation marks as RFC 4180 does."""
        return double_escaped(line) if self.is_escaped and "\\" in line else line

    def text_after(self, line: str, num_cells: int) -> str:
        """Returns what follows the first cells of a row, as it is written.

        >>> Dialect(",").text_after('"a, b.jpg",1,000 dogs, or so', 1)
        '1,000 dogs, or so'
        """
        if not self.is_quoted:
            return line.split(self.delimiter, num_cells)[num_cells]
        position = 0
        for _ in range(num_cells):
            cell = _cell_pattern(self.delimiter).match(line, position)
            assert cell, line  # the row was parsed before
            position = cell.end()
        return line[position:]

    def find_swallowed_row(
        self, cells: list[str], text: str, image: int, num_columns: int, *, is_first: bool
    ) -> str | None:
        """Looks for another row in a row of several lines, whose text would hide it if a quotation mark is not closed.

        Args:
          cells: the row's cells.
          text: the row as it is written.
          image: the column of the images' names.
          num_columns: number of columns of the table.
          is_first: whether this column is before those that may have line ends, so that the row's own image is in its
            first line; otherwise it is in the last.

        Returns:
          the other row's image name; None if the line ends belong to the row's own text.
        """
        kind = self._kind_of_name(cells[image]) if image < len(cells) else ""
        lines = text.split("\n")
        for line in (lines[1:] if is_first else lines[:-1]) if kind else ():
            others = [cell.strip(' "') for cell in line.split(self.delimiter)]
            if len(others) >= num_columns and self._kind_of_name(others[image]) == kind:
                return others[image]
        return None

    def _kind_of_name(self, name: str) -> str:
        """What the names of a dataset's images have in common: an extension, else digits; "" for other texts.

        >>> [Dialect(",")._kind_of_name(name) for name in ("images/a 1.JPG", "000123", "two dogs", "e.g. a dog")]
        ['.jpg', '0', '', '']
        """
        # an unclosed quotation mark may be that of the name
        name = name.partition("\n")[0].partition(self.delimiter)[0].strip()
        if extension := _EXTENSION.search(name):
            return extension[0].lower()
        return "0" if name.isdecimal() else ""


@functools.cache
def _cell_pattern(delimiter: str) -> re.Pattern:
    """A cell with the delimiter after it."""
    escaped = re.escape(delimiter)
    return re.compile(rf' *(?:"(?:[^"]|"")*"|[^{escaped}]*){escaped}')


def stated_delimiter(line: str) -> str | None:
    """Returns the delimiter that Excel's first line `sep=;` states; None if it is no such line."""
    match = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
    return match[1] if match else None


def uses_quotes(source: Source, delimiter: str) -> bool:
    """Whether the quotation marks at the beginning of cells enclose them, in most of those that have one.

    A table with commas is one of RFC 4180. With other delimiters, a mark may also be the first character of a text, as
    in Kaggle's `results.csv`; then all marks are text.
    """
    if delimiter == ",":
        return True
    num_enclosed = num_open = 0
    lines = _Lookahead(line if isinstance(line, str) else "" for _, line in text_lines(source))
    while (line := lines.take()) is not None:
        if '"' in line:
            enclosed, is_open = _count_quoted(line, lines, delimiter)
            num_enclosed += enclosed
            num_open += is_open
    return num_enclosed > 0 and num_enclosed >= num_open


def uses_escapes(source: Source, delimiter: str) -> bool:
    """Whether quotation marks have a backslash before them, as Spark writes them, and are not doubled as in RFC 4180.

    Of the rows that match in one of the two ways alone, most decide.
    """
    num_escaped = num_others = 0
    for _, line in text_lines(source):
        if isinstance(line, str) and '\\"' in line and num_escaped + num_others < MAX_ESCAPED_ROWS:
            as_is, as_escaped = _is_row(line, delimiter), _is_row(double_escaped(line), delimiter)
            num_escaped += as_escaped and not as_is
            num_others += as_is and not as_escaped
    return num_escaped > num_others


def double_escaped(line: str) -> str:
    r"""Doubles the quotation marks that have a backslash before them, and removes it.

    >>> double_escaped(r'"a.jpg","A \"stop\" sign\\"')
    '"a.jpg","A ""stop"" sign\\"'
    """
    return _ESCAPED_MARK.sub(lambda match: "\\" * (len(match[1]) // 2) + '"' * (1 + len(match[1]) % 2), line)


def _is_row(line: str, delimiter: str) -> bool:
    """Whether the quotation marks of a row of one line match."""
    try:
        next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True), [])
    except csv.Error:
        return False
    return True


class _Lookahead:
    """Lines that may be put back."""

    def __init__(self, lines: Iterator[str]):
        self._lines, self._waiting = lines, collections.deque[str]()

    def take(self) -> str | None:
        """Takes the next line; None at the end."""
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def put_back(self, lines: Sequence[str]) -> None:
        """Puts back the lines that were taken last."""
        self._waiting.extendleft(reversed(lines))


def _count_quoted(line: str, lines: _Lookahead, delimiter: str) -> tuple[int, bool]:
    """Counts the cells of a line that quotation marks enclose; whether another one begins with a mark that does not."""
    quoted, position, num_enclosed = _quoted_cell(delimiter), 0, 0
    while position < len(line):
        if match := quoted.match(line, position):
            num_enclosed += 1
            position = match.end()
        elif line[position:].lstrip(" ").startswith('"'):
            is_closed = _is_closed_below(line[position:], lines, quoted)
            return num_enclosed + is_closed, not is_closed
        else:
            position = line.find(delimiter, position) + 1 or len(line)
    return num_enclosed, False


def _is_closed_below(text: str, lines: _Lookahead, quoted: re.Pattern) -> bool:
    """Whether a cell that begins with a quotation mark ends with one in a line below, up to which lines are taken."""
    taken: list[str] = []
    while _OPEN.fullmatch(text) and len(taken) < MAX_ROW_LINES and (line := lines.take()) is not None:
        taken.append(line)
        text += f"\n{line}"
    if quoted.match(text):
        return True
    lines.put_back(taken)
    return False


@functools.cache
def _quoted_cell(delimiter: str) -> re.Pattern:
    return re.compile(rf' *"(?:[^"]|"")*" *(?:{re.escape(delimiter)}|\Z)')
