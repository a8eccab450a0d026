"""The standard streams of the command line, on which any text can be printed, and which a reader may close."""

import codecs
import os
import sys

_ASCII = {"…": "...", "–": "-", "·": "*", "≤": "<=", "≥": ">=", "≠": "!=", "×": "x", "→": "->", "√": "sqrt"}
_HANDLER = "caption-pipeline"


def accept_any_text() -> None:
    """Lets the standard streams replace what their encoding lacks, as in the locale C, instead of failing."""
    codecs.register_error(_HANDLER, replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def replace_unencodable(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""A codec's error handler: signs get an ASCII form, names of files their bytes, and other letters are escaped.

    >>> codecs.register_error("example", replace_unencodable)
    >>> "1 … ü \udcff".encode("ascii", "example")
    b'1 ... \\xfc \xff'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter, end = error.object[error.start], error.start + 1
    if "\udc80" <= letter <= "\udcff":  # a byte of a name that is not UTF-8
        return bytes([ord(letter) - 0xDC00]), end
    return _ASCII.get(letter) or letter.encode("ascii", "backslashreplace").decode(), end


def close_quietly() -> None:
    """Ends the output to a reader that has gone, as `head` does; else Python reports it once more when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
