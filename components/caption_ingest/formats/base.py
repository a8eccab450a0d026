"""What a caption file format is, and what all formats share: bounds, line reading, and the checks of a caption."""

import abc
import codecs
import dataclasses
import pathlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from components.caption_ingest.encodings import ERRORS, UNDECODABLE, UTF_8, find_line_end, find_other_encoding
from components.caption_ingest.files import is_printable
from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.settings import Columns
from components.shared.images.tar_files import is_tar
from components.shared.records import EVAL, TEST, TRAIN
from components.shared.words import compose, divide

HEAD_BYTES = 65_536  # beginning of a file by which its format is detected
HEAD_LINES = 100
MAX_LINE_LENGTH = 16_384  # characters; a longer line is no caption
MAX_WORDS = 400  # per caption, as in the schema; a longer one is a paragraph
MAX_NAME_LENGTH = 1024  # characters of an image's name
MAX_TEXT_BYTES = 4 * 2**30  # per file of lines, whose captions are held in memory: some ten times as many as COCO's
MAX_CHUNK = 2**20  # characters read at a time, so that a file without line ends does not fill the memory
# names that datasets use for their splits; Karpathy's restval is what COCO's val has beside his own eval and test
SPLIT_NAMES = dict.fromkeys(("train", "training", "restval"), TRAIN)
SPLIT_NAMES |= dict.fromkeys(("val", "valid", "validation", "dev", "development", "eval", "evaluation"), EVAL)
SPLIT_NAMES |= dict.fromkeys(("test", "testing"), TEST)
IMAGE_COLUMNS = (
    *("image", "image_name", "file_name", "filename", "image_filename", "image_file", "image_path", "file_path"),
    *("filepath", "img", "img_name", "img_path", "image_id"),
)
CAPTION_COLUMNS = ("caption", "comment", "text", "sentence", "captions")
# what pandas, R and spreadsheets write for no value
_MISSING = {
    *("na", "n/a", "nan", "none", "null", "<na>"),
    *("#n/a", "#name?", "#ref!", "#value!", "#div/0!", "#null!", "#num!"),
}
_START = 512  # bytes of a head that are kept as they are
_BOM = "\ufeff"
_BASE64 = re.compile(r"(?:data:image/[a-z+]+;base64,)?[A-Za-z0-9+/_\s-]{1024}")
_INVISIBLE = "\ufeff\u200b\u200e\u200f\u2060"  # byte-order mark, zero-width space, direction marks, word joiner
_CAPTION_NUMBER = re.compile(r"(?:(?<=\.[A-Za-z]{3})|(?<=\.[A-Za-z]{4}))#\d+$")  # NAME.jpg#0 is a caption of NAME.jpg
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # with line ends; joiners belong to some scripts


class UnreadableFileError(ValueError):
    """A file of which nothing can be read; the message says where it is broken."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A caption file or a split list, and how it is read.

    Attributes:
      path: the file; of a bucket, what its outline has of it: texts as a whole, of others the beginning.
      encoding: its text encoding, as Python names it; a byte-order mark is no part of the text.
      is_stated: whether the settings state the encoding. If not, a file may turn out to have another one.
      columns: the columns or keys to take, where their names alone do not tell.
      uri: its object in a bucket; "" on a disk.
    """

    path: pathlib.Path
    encoding: str = UTF_8
    is_stated: bool = False
    columns: Columns = dataclasses.field(default_factory=Columns)
    uri: str = ""

    @property
    def location(self) -> str:
        """The path or URI from which all of it can be read."""
        return self.uri or str(self.path)


@dataclasses.dataclass(frozen=True, slots=True)
class Caption:
    """One sentence about one image.

    Attributes:
      image_id: name or path of the image.
      text: the sentence as in the file, with spaces for line ends and other control characters.
      split: the split that the file itself states; None if it states none.
      line: line number; in a file that is one JSON document, the number of the element, from 1.
    """

    image_id: str
    text: str
    split: str | None
    line: int


@dataclasses.dataclass(frozen=True)
class Head:
    """The beginning of a file, by which its format is detected.

    Attributes:
      lines: the first `HEAD_LINES` lines that are not blank; empty if the file is not text.
      start: the first bytes.
    """

    lines: tuple[str, ...]
    start: bytes = b""

    @classmethod
    def of(cls, source: Source) -> "Head":
        """Reads the head of a file."""
        with source.path.open("rb") as file:
            data = file.read(HEAD_BYTES)
        text = codecs.getincrementaldecoder(source.encoding)("replace").decode(data).removeprefix(_BOM)
        # either alone also occurs in text; an archive of text is none
        if ("\0" in text and "\ufffd" in text) or is_tar(data):
            return cls((), data[:_START])
        # lines as `numbered_lines` counts them: Unicode knows more line ends, which may be part of a text
        lines = (line.rstrip("\r") for line in text.split(find_line_end(text)))
        return cls(tuple([line for line in lines if line.strip()][:HEAD_LINES]), data[:_START])

    @property
    def is_json(self) -> bool:
        """Whether the file begins with a JSON object: a document, or one object per line."""
        return bool(self.lines) and self.lines[0].lstrip().startswith("{")


class Format(abc.ABC):
    """A format of caption files.

    Attributes:
      name: name of the format, for messages.
      example: how a file begins, for messages.
      is_container: whether the file holds the images too, see `components.shared.images.containers`. Any number of
        such files are one data set; the name of an image is that of a member, or else of a file.
    """

    name: ClassVar[str]
    example: ClassVar[str]
    is_container: ClassVar[bool] = False

    @abc.abstractmethod
    def matches(self, source: Source, head: Head) -> bool:
        """Whether a file has this format.

        Args:
          source: the file, in case its head is not enough to tell.
          head: the beginning of the file.
        """

    @abc.abstractmethod
    def read(self, source: Source) -> Iterator[Caption | Reject]:
        """Yields the captions of a file in its order, and a reject for every line or element that is no caption.

        Raises:
          UnreadableFileError, OSError: the file as a whole can't be read.
        """

    def describe(self, source: Source) -> str:
        """What people should know of a file beside its format, such as the dialect of a table; "" for nothing."""
        del source
        return ""


def numbered_lines(source: Source) -> Iterator[tuple[int, str]]:
    """Yields the numbered lines of a file, without line ends and byte-order mark; very long lines are cut.

    `UNDECODABLE` stands for what is not of the encoding.

    Raises:
      UnreadableFileError: the file is too large.
    """
    check_size(source.path, MAX_TEXT_BYTES)
    with source.path.open(encoding=source.encoding, errors=ERRORS, newline="") as file:
        end = find_line_end(file.read(HEAD_BYTES))
    with source.path.open(encoding=source.encoding, errors=ERRORS, newline=end) as file:
        number = 0
        while line := file.readline(MAX_CHUNK):
            number += 1
            rest = line
            while rest and not rest.endswith(end):
                rest = file.readline(MAX_CHUNK)
            yield number, line.removeprefix(_BOM).rstrip("\r\n")  # files that were joined have marks within


def text_lines(source: Source) -> Iterator[tuple[int, str | Reject]]:
    """Yields the numbered lines that are not blank, as text, or as a reject if too long or not of the encoding.

    Raises:
      UnreadableFileError: the file is too large, or in another encoding as a whole.
    """
    is_checked = source.is_stated or source.encoding != UTF_8
    for number, line in numbered_lines(source):
        if not line or line.isspace():
            continue
        if len(line) > MAX_LINE_LENGTH:
            detail = f"the line has {len(line)} characters; the maximum is {MAX_LINE_LENGTH}"
            yield number, Reject("", number, Reason.BAD_LINE, detail)
            continue
        if line.isascii() or UNDECODABLE not in line:
            yield number, line
            continue
        if not is_checked and (other := find_other_encoding(source.path)):
            message = f"{source.path}:{number}: the file is not in UTF-8: {other}"
            raise UnreadableFileError(f"{message}; data.encoding=utf-8 rejects these lines alone")
        is_checked = True
        detail = f"the line is not {source.encoding.upper()} at character {line.index(UNDECODABLE) + 1}"
        if not source.is_stated:
            detail += "; if the file has another encoding, set data.encoding"
        yield number, Reject("", number, Reason.BAD_ENCODING, detail)


def name_of(value: Any) -> str:
    r"""Returns the name of an image as a caption file has it, without invisible characters and a caption's number.

    >>> name_of(" a.jpg"), name_of("\ufeffa.jpg#0"), name_of(139), name_of(139.0), name_of(None)
    ('a.jpg', 'a.jpg', '139', '139', '')
    """
    if type(value) is float and value.is_integer():  # as pandas makes them of integers where some are missing
        value = int(value)
    if type(value) not in (str, int):
        return ""
    name = str(value).strip()
    if not name.isprintable():
        name = name.strip(_INVISIBLE).strip()
    return _CAPTION_NUMBER.sub("", name) if "#" in name else name


def checked_caption(image_id: Any, text: Any, split: Any, number: int) -> Caption | Reject:
    """Makes a caption of what a line or an element contains, or a reject if name, text or split are not valid.

    Args:
      image_id: name of the image.
      text: the sentence.
      split: the split's name in the file, one of `SPLIT_NAMES`; None or "" for none.
      number: number of the line or element.
    """
    name = name_of(image_id)
    if not name:
        return Reject("", number, Reason.BAD_LINE, "no image name")
    if not is_printable(name) or len(name) > MAX_NAME_LENGTH:
        detail = "the image name contains control characters or is too long"
        if _BASE64.match(name):
            detail = f"{len(name)} characters of an image in base64 and not its name; expected images as files, or as "
            detail += "bytes in Parquet"
        return Reject(ascii(name[:80]), number, Reason.BAD_LINE, detail)
    if not isinstance(text, str):
        return Reject(name, number, Reason.BAD_LINE, "no caption")
    if len(text) > MAX_LINE_LENGTH:
        detail = f"the caption has {len(text)} characters; the maximum is {MAX_LINE_LENGTH}"
        return Reject(name, number, Reason.BAD_LINE, detail)
    # a shorter text can't have so many words, and counting takes time
    if len(text) > MAX_WORDS and (words := len(divide(text))) > MAX_WORDS:
        detail = f"the caption has {words} words; the maximum is {MAX_WORDS}"
        return Reject(name, number, Reason.LONG_CAPTION, detail)
    if not any(map(str.isalpha, text)):
        return Reject(name, number, Reason.EMPTY_CAPTION, f"no word in {text.strip()[:40]!r}")
    if is_missing(text):
        detail = f"{text.strip()!r} stands for no value, as pandas or a spreadsheet writes it"
        return Reject(name, number, Reason.EMPTY_CAPTION, detail)
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can contain half a character
        return Reject(name, number, Reason.BAD_ENCODING, "the caption contains half a character (a lone surrogate)")
    split_name = SPLIT_NAMES.get(str(split).strip().lower()) if split not in (None, "") else None
    if split not in (None, "") and split_name is None:  # it could be a test split, which must not be trained on
        detail = f"unknown split {str(split)[:40]!r}; known are {', '.join(SPLIT_NAMES)}"
        return Reject(name, number, Reason.BAD_LINE, detail)
    return Caption(name, compose(_CONTROLS.sub(" ", text)).strip(), split_name, number)


def is_missing(text: str) -> bool:
    """Whether a text is what stands for no value.

    >>> [is_missing(text) for text in ("NaN", "#REF! ", "None of the dogs runs")]
    [True, True, False]
    """
    return len(text) < 20 and text.strip().lower() in _MISSING


def check_size(path: pathlib.Path, max_bytes: int) -> None:
    """Refuses a file that is too large to read.

    Raises:
      UnreadableFileError: with both sizes.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise UnreadableFileError(
            f"{path}: {size} bytes; the maximum is {max_bytes}. Divide it into several files, one per split"
        )
