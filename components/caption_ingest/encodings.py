"""The encoding of a text file: stated by a byte-order mark or the settings, else UTF-8; and what it is if not that."""

import codecs
import pathlib
import re

import charset_normalizer

UTF_8 = "utf-8"
UNDECODABLE = "\udfff"  # stands for bytes that are not of the encoding; no encoding that is read here has it
ERRORS = "caption_ingest.mark"  # the error handler that puts it there

# a mark of UTF-32 begins like one of UTF-16
_MARKS = {
    codecs.BOM_UTF8: UTF_8,
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# what is left of names that also state a mark, which is found before
_WITHOUT_MARK = {"utf-8-sig": UTF_8, "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
# what captions are written in; of those that fit equally well, the most frequent first
_CANDIDATES = (
    *("cp1252", "mac_roman", "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1251", "koi8_r"),
    *("cp1250", "iso8859_2", "cp1253", "cp1254", "cp1256"),
)
_MAX_SAMPLE = 2**16  # bytes by which an encoding is guessed
_MAX_CHUNK = 2**20
_LINE_END = re.compile(r"\r*\n|\r(?!\Z)")  # a last CR may be half of an end
_MAX_EXAMPLE = 60  # characters


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Puts the mark in the place of bytes that are not of the encoding: a handler of `codecs.register_error`."""
    assert isinstance(error, UnicodeDecodeError)  # nothing is encoded with it
    return UNDECODABLE, error.end


codecs.register_error(ERRORS, _mark)


def find_encoding(path: pathlib.Path, stated: str | None = None) -> str:
    """Finds the encoding of a text file.

    Args:
      path: the file.
      stated: the encoding of files without a byte-order mark; None for UTF-8.

    Returns:
      the name of a codec that leaves a byte-order mark in the text.
    """
    with path.open("rb") as file:
        start = file.read(4)
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    name = codecs.lookup(stated or UTF_8).name
    return _WITHOUT_MARK.get(name, name)


def find_line_end(text: str) -> str:
    r"""Finds what ends the lines of a text: a line feed, with or without a carriage return before it, or that alone.

    The first end decides, unless the text has more of the others: in a text with line feeds, a carriage return may
    stand anywhere, and texts in quotation marks have line ends of their own.

    >>> [find_line_end(text) for text in ("a\r\nb\r\n", "a\r\r\nb", "a\rb\r", "a\rb\nc\n", "a")]
    ['\n', '\n', '\r', '\n', '\n']
    """
    first = _LINE_END.search(text)
    if first is None or first[0] != "\r":
        return "\n"
    ends = _LINE_END.findall(text)
    return "\r" if 2 * ends.count("\r") >= len(ends) else "\n"


def guess_encoding(sample: bytes) -> str | None:
    """Guesses the encoding of lines that are not UTF-8; None if no likely one fits."""
    matches = charset_normalizer.from_bytes(sample[:_MAX_SAMPLE], cp_isolation=list(_CANDIDATES), threshold=0.5)
    likely = {
        (round(match.chaos, 2), -round(match.coherence, 2), _CANDIDATES.index(name)): name
        for match in matches
        for name in match.could_be_from_charset  # all of which decode it to the same text
        if name in _CANDIDATES
    }
    return likely[min(likely)] if likely else None


def find_unmarked_utf16(path: pathlib.Path) -> str | None:
    """Finds the kind of UTF-16 of a text without a byte-order mark, in which half of each ASCII character is zero."""
    with path.open("rb") as file:
        sample = file.read(_MAX_SAMPLE)
    odd, even = sample[1::2].count(0), sample[::2].count(0)
    if max(odd, even) < len(sample) // 20 or not max(odd, even) > 4 * min(odd, even):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def suggest(sample: bytes) -> str:
    """Says which encoding lines may have that are not UTF-8, and shows a piece of the text in it."""
    guess = guess_encoding(sample)
    if guess is None:
        return "set data.encoding to the encoding of the file"
    line = next((line for line in sample.decode(guess, "replace").splitlines() if not line.isascii()), "")
    start = next((index for index, char in enumerate(line) if not char.isascii()), 0)
    begin = max(0, start - _MAX_EXAMPLE // 2)
    return f"it may be {guess}, as in {line[begin : begin + _MAX_EXAMPLE].strip()!r}: set data.encoding={guess}"


def find_other_encoding(path: pathlib.Path) -> str | None:
    """Tells a file in another encoding from one in UTF-8 with damaged lines.

    It is in another encoding if several lines are not UTF-8 and they outnumber the lines with other characters than
    ASCII's that are: in one with damage, what is beyond ASCII is UTF-8 nearly everywhere.

    Returns:
      what to do about another encoding; None if the file is UTF-8.
    """
    num_broken, num_sound, sample = _examine(path)
    if num_broken < 2 or num_broken <= num_sound:
        return None
    return f"{num_broken} lines are not UTF-8, but {num_sound} with characters beyond ASCII are; {suggest(sample)}"


def suggest_for(path: pathlib.Path) -> str:
    """Does what `suggest` does for a file."""
    return suggest(_examine(path)[2])


def _examine(path: pathlib.Path) -> tuple[int, int, bytes]:
    """Counts the lines of a file that are not UTF-8, and those that are beyond ASCII; returns some of the former."""
    num_broken = num_sound = 0
    sample = b""
    with path.open("rb") as file:
        while chunk := file.readline(_MAX_CHUNK):
            for line in () if chunk.isascii() else chunk.split(b"\r"):
                try:
                    num_sound += not line.decode().isascii()
                except UnicodeDecodeError:
                    num_broken += 1
                    sample += line + b"\n" if len(sample) < _MAX_SAMPLE else b""
    return num_broken, num_sound, sample
