"""Caption files -> a stream of captions, each with where it stands.

One function a format: path -> captions and rejects. To add a format is to write one more, and to name it in `FORMATS`.
"""

import csv
import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.caption_ingest.files import is_plain
from components.caption_ingest.rejects import Reason, Reject
from components.records import EVAL, TEST, TRAIN

MAX_LINE_BYTES = 16_384  # a longer line is no caption
MAX_WORDS = 400  # of a caption, as the schema has it; a longer one is a paragraph
MAX_TEXT_BYTES = 4 * 2**30  # of a file of lines, whose captions are held: some ten times COCO's take this much memory
MAX_CHUNK = 2**20  # bytes read at a time, so that a file without line ends fills no memory
MAX_JSON_BYTES = 512 * 2**20  # of a document, which is read as a whole and takes ten times the memory; COCO has 91 MB
MAX_ROW_LINES = 16  # of a CSV row, whose quoted text may hold line ends
# what data sets call their splits; Karpathy's restval is what COCO's val has beside his own eval and test
SPLIT_NAMES = {"train": TRAIN, "restval": TRAIN, "val": EVAL, "valid": EVAL, "validation": EVAL, "dev": EVAL}
SPLIT_NAMES |= {"eval": EVAL, "test": TEST}
IMAGE_COLUMNS = ("image", "image_name", "file_name", "filename", "image_id")
CAPTION_COLUMNS = ("caption", "comment", "text", "sentence", "captions")
_BOM = b"\xef\xbb\xbf"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # line ends among them; joiners are part of some scripts
_CELL = re.compile(r' *(?:"(?:[^"]|"")*"|[^,]*),')  # of a CSV row, with the comma after it


class Unreadable(ValueError):
    """A file of which nothing can be read; the message says where it is broken."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caption:
    """One sentence about one picture.

    Attributes:
      image_id: the picture's name, or its path.
      text: as it is in the file, with blanks for line ends and other control characters.
      split: what the file itself says; None where it says nothing.
      line: number of the line; of the element, from 1, where the file is one JSON document.
    """

    image_id: str
    text: str
    split: str | None
    line: int


Items = Iterator[Caption | Reject]


def read_tokens(path: pathlib.Path) -> Items:
    """Reads Flickr8k's and Flickr30k's own lines, `NAME.jpg#0<TAB>sentence`.

    Flickr8k's file names one picture `2258277193_586949ec62.jpg.1`, which is `2258277193_586949ec62.jpg`.
    """
    for number, line in _text_lines(path):
        if isinstance(line, Reject):
            yield line
            continue
        key, tab, text = line.partition("\t")
        image_id, _, index = key.strip().rpartition("#")
        if not tab:
            yield Reject(key[:80], number, Reason.BAD_LINE, "no tab between the picture's name and the sentence")
        elif not index.isdecimal():
            yield Reject(key[:80], number, Reason.BAD_LINE, "the name is not of the form NAME.jpg#NUMBER")
        else:
            if image_id[-1:].isdecimal():
                image_id = re.sub(r"(\.jpe?g)\.\d+$", r"\1", image_id)
            yield _checked(image_id, text, None, number)


def read_table(path: pathlib.Path) -> Items:
    """Reads Kaggle's `captions.txt` and `results.csv`, and any table whose header names a picture and a caption.

    Between commas, text may be quoted as in RFC 4180; bars, tabs and semicolons part without quotes. Where the caption
    is the last column, what is beyond it belongs to it.
    """
    lines = _text_lines(path)
    header, columns, delimiter = None, None, ","
    for number, line in lines:
        if isinstance(line, Reject):
            yield line
        elif header is None:
            header = table_header(line)
            if header is None:
                raise Unreadable(f"{path}:{number}: no header with a picture and a caption: {line[:80]!r}")
            columns, delimiter = header
        else:
            yield _row(number, line, lines, columns or [], delimiter)


def table_header(line: str) -> tuple[list[str], str] | None:
    """The columns of a table, and what parts them; None if it is no header.

    >>> table_header("image_name| comment_number| comment")
    (['image', 'comment_number', 'caption'], '|')
    """
    for delimiter in (",", "|", "\t", ";"):
        columns = [cell.strip().strip('"').lower() for cell in line.split(delimiter)]
        image = next((name for name in IMAGE_COLUMNS if name in columns), None)
        caption = next((name for name in CAPTION_COLUMNS if name in columns), None)
        if image and caption:
            return [{image: "image", caption: "caption"}.get(name, name) for name in columns], delimiter
    return None


def _row(
    number: int, line: str, more: Iterator[tuple[int, str | Reject]], columns: Sequence[str], delimiter: str
) -> Caption | Reject:
    """One row; `more` gives the lines that belong to it where a quoted text holds line ends."""
    cells: list[str] | None
    if delimiter == ",":
        cells, line, lines = _quoted_cells(line, more)
        if cells is None:
            return Reject("", number, Reason.BAD_LINE, "the quotes do not match", rows=lines)
    else:
        cells = line.split(delimiter)
    if len(cells) > len(columns) and columns[-1] == "caption":
        kept = len(columns) - 1
        cells[kept:] = [_after(line, kept) if delimiter == "," else delimiter.join(cells[kept:])]
    if len(cells) != len(columns):
        return Reject(cells[0][:80], number, Reason.BAD_LINE, f"{len(cells)} columns, where there are {len(columns)}")
    row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    return _checked(row["image"], row["caption"], row.get("split"), number)


def _after(line: str, cells: int) -> str:
    """What follows the first cells of a CSV row, as it is written.

    >>> _after('"a, b.jpg",1,000 dogs, or so', 1)
    '1,000 dogs, or so'
    """
    position = 0
    for _ in range(cells):
        cell = _CELL.match(line, position)
        assert cell, line  # the row was parsed before
        position = cell.end()
    return line[position:]


def _quoted_cells(line: str, more: Iterator[tuple[int, str | Reject]]) -> tuple[list[str] | None, str, int]:
    """A CSV row that begins in a line: its cells, None where its quotes do not match; its text; its number of lines."""
    for lines in range(1, MAX_ROW_LINES + 1):
        try:
            return next(csv.reader([line], strict=True, skipinitialspace=True)), line, lines
        except csv.Error as error:
            if "unexpected end" not in str(error) or lines == MAX_ROW_LINES or len(line) > MAX_LINE_BYTES:
                return None, line, lines
            _, following = next(more, (0, None))
            if not isinstance(following, str):
                return None, line, lines + (following is not None)
            line = f"{line}\n{following}"
    return None, line, MAX_ROW_LINES


def read_json_lines(path: pathlib.Path) -> Items:
    """Reads an object a line: `{"image": NAME, "caption": TEXT}`, or several `captions`; `split` where there is one.

    The names are those of `IMAGE_COLUMNS` and `CAPTION_COLUMNS`, so that Hugging Face's `metadata.jsonl` is read, too.
    """
    for number, line in _text_lines(path):
        if isinstance(line, Reject):
            yield line
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Reject("", number, Reason.BAD_LINE, f"not JSON: {error}")
            continue
        if not isinstance(record, dict):
            yield Reject("", number, Reason.BAD_LINE, "not a JSON object")
            continue
        image_id = _first_of(record, IMAGE_COLUMNS)
        texts = _first_of(record, CAPTION_COLUMNS)
        for text in (texts or [""]) if isinstance(texts, list) else [texts]:
            yield _checked(image_id, text, record.get("split"), number)


def read_karpathy(path: pathlib.Path) -> Items:
    """Reads Karpathy's `dataset_*.json`: pictures with their sentences and splits.

    `{"images": [{"filename": NAME, "filepath": DIRECTORY, "split": "train", "sentences": [{"raw": TEXT}]}]}`
    """
    for number, image in enumerate(_members(path, _document(path), "images"), start=1):
        sentences = image.get("sentences")
        if not isinstance(sentences, list):
            yield Reject(str(image.get("filename"))[:80], number, Reason.BAD_LINE, "no list of sentences")
            continue
        name, directory = image.get("filename"), image.get("filepath")
        image_id = f"{directory}/{name}" if directory and name else name
        for sentence in sentences or [{"raw": ""}]:
            text = sentence.get("raw") if isinstance(sentence, dict) else None
            yield _checked(image_id, text, image.get("split"), number)


def read_coco(path: pathlib.Path) -> Items:
    """Reads COCO's captions, where pictures and sentences are two lists.

    `{"images": [{"id": 9, "file_name": NAME}], "annotations": [{"image_id": 9, "caption": TEXT}]}`
    """
    document = _document(path)
    names: dict[str, Any] = {}
    silent: dict[str, int] = {}  # pictures that nothing is said of, with their places
    for number, image in enumerate(_members(path, document, "images"), start=1):
        image_id, name = str(image.get("id")), image.get("file_name")
        if names.setdefault(image_id, name) != name:
            yield Reject(str(name)[:80], number, Reason.BAD_LINE, f"its id is that of {str(names[image_id])[:80]}")
        silent[image_id] = number
    for number, annotation in enumerate(_members(path, document, "annotations"), start=1):
        image_id = str(annotation.get("image_id"))
        silent.pop(image_id, None)
        if image_id not in names:
            yield Reject(image_id[:80], number, Reason.BAD_LINE, f"annotation of picture {image_id[:80]}, unknown")
        else:
            yield _checked(names[image_id], annotation.get("caption"), None, number)
    for image_id, number in silent.items():
        yield Reject(str(names[image_id])[:80], number, Reason.EMPTY_CAPTION, "no annotation")


@dataclasses.dataclass(frozen=True)
class Format:
    """How captions are written down.

    Attributes:
      name: for people.
      looks: what it looks like, for people.
      read: the reader.
    """

    name: str
    looks: str
    read: Callable[[pathlib.Path], Items]


TOKENS = Format("Flickr tokens", "lines `NAME.jpg#0<TAB>sentence`", read_tokens)
TABLE = Format("table", "a header `image,caption` and rows, between commas or bars", read_table)
JSON_LINES = Format("JSON lines", '`{"image": NAME, "caption": TEXT}` a line', read_json_lines)
KARPATHY = Format("Karpathy's JSON", '`{"images": [{"filename": …, "sentences": …, "split": …}]}`', read_karpathy)
COCO = Format("COCO captions", '`{"images": …, "annotations": [{"image_id": …, "caption": …}]}`', read_coco)
FORMATS = (TOKENS, TABLE, JSON_LINES, KARPATHY, COCO)


def numbered_lines(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """The numbered lines of a file, without their ends and without a byte-order mark; the longest are cut.

    Raises:
      Unreadable: the file is too large.
    """
    _check_size(path, MAX_TEXT_BYTES)
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MAX_CHUNK):
            number += 1
            rest = raw
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_CHUNK)
            yield number, (raw.removeprefix(_BOM) if number == 1 else raw).rstrip(b"\r\n")


def _text_lines(path: pathlib.Path) -> Iterator[tuple[int, str | Reject]]:
    """The lines that are not blank, as text."""
    for number, raw in numbered_lines(path):
        if not raw.strip():
            continue
        if len(raw) > MAX_LINE_BYTES:
            yield number, Reject("", number, Reason.BAD_LINE, f"{len(raw)} bytes, more than {MAX_LINE_BYTES}")
            continue
        try:
            yield number, raw.decode()
        except UnicodeDecodeError as error:
            detail = f"not UTF-8 at byte {error.start} of the line"
            yield number, Reject("", number, Reason.BAD_ENCODING, detail)


def _checked(image_id: Any, text: Any, split: Any, number: int) -> Caption | Reject:
    """A caption, unless its name, its text or its split can be none."""
    name = str(image_id).strip() if type(image_id) in (str, int) else ""
    if not name:
        return Reject("", number, Reason.BAD_LINE, "no name of a picture")
    if not is_plain(name) or len(name) > 1024:
        return Reject(ascii(name[:80]), number, Reason.BAD_LINE, "the picture's name has control characters or no end")
    if not isinstance(text, str):
        return Reject(name, number, Reason.BAD_LINE, "no caption")
    if len(text) > MAX_LINE_BYTES:
        return Reject(name, number, Reason.BAD_LINE, f"{len(text)} characters, more than {MAX_LINE_BYTES}")
    # fewer characters can't be so many words, and counting takes its time
    if len(text) > 2 * MAX_WORDS and (words := len(text.split())) > MAX_WORDS:
        return Reject(name, number, Reason.LONG_CAPTION, f"{words} words, more than {MAX_WORDS}")
    if not any(map(str.isalpha, text)):
        return Reject(name, number, Reason.EMPTY_CAPTION, f"no word in {text.strip()[:40]!r}")
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can write half a character
        return Reject(name, number, Reason.BAD_ENCODING, "half a character (a lone surrogate)")
    known = SPLIT_NAMES.get(str(split).strip().lower()) if split not in (None, "") else None
    if split not in (None, "") and known is None:  # it could be test, which must not be learnt
        return Reject(name, number, Reason.BAD_LINE, f"unknown split {str(split)[:40]!r}")
    return Caption(name, _CONTROLS.sub(" ", text).strip(), known, number)


def _check_size(path: pathlib.Path, most: int) -> None:
    size = path.stat().st_size
    if size > most:
        raise Unreadable(f"{path}: {size} bytes, more than the {most} that are read; part it, a file a split")


def _first_of(record: dict, names: Sequence[str]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _document(path: pathlib.Path) -> dict:
    """One JSON object: all of a file.

    Raises:
      Unreadable: it is none.
    """
    _check_size(path, MAX_JSON_BYTES)
    try:
        with path.open(encoding="utf-8-sig") as file:
            document = json.load(file)
    except json.JSONDecodeError as error:
        raise Unreadable(f"{path}:{error.lineno}: not JSON: {error.msg}, at character {error.colno}") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path}: not JSON that can be read: {error}") from None
    if not isinstance(document, dict):
        raise Unreadable(f"{path}: not a JSON object")
    return document


def _members(path: pathlib.Path, document: dict, key: str) -> Iterator[dict]:
    """Takes the objects of a list out of a document, so that they need no memory any more; others count as empty.

    Raises:
      Unreadable: there is no such list.
    """
    found = document.pop(key, None)
    if not isinstance(found, list):
        raise Unreadable(f'{path}: no list "{key}"')
    found.reverse()
    while found:
        member = found.pop()
        yield member if isinstance(member, dict) else {}
