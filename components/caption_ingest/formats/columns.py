"""Which columns of a table hold images, captions and splits, by their names and by what is in them; lists in a cell."""

import ast
import collections
import dataclasses
import fnmatch
import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from components.caption_ingest.formats.base import CAPTION_COLUMNS, IMAGE_COLUMNS, SPLIT_NAMES
from components.caption_ingest.settings import Columns

# names that alone say too little
_VAGUE_IMAGE_COLUMNS = ("name", "file", "path", "photo", "picture", "img_id", "id")
_VAGUE_CAPTION_COLUMNS = ("raw", "description", "title")  # and those that contain "caption"
SPLIT_COLUMNS = ("split", "subset", "partition", "set")
_IMAGE_NAME = re.compile(r"\.(jpe?g|png|gif|bmp|webp|tiff?|jp2|j2k|avif|hei[cf])$", re.IGNORECASE)
_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""  # as Python writes it
_TEXTS = re.compile(rf"\[\s*(?:(?:{_TEXT})(?:\s*,\s*|\s+|(?=\])))*\]", re.DOTALL)  # numpy leaves out the commas
_TUPLE = re.compile(rf"[({{]\s*(?:{_TEXT})(?:\s*,\s*(?:{_TEXT}))+\s*,?\s*[)}}]", re.DOTALL)  # or a set
_LIST_START = re.compile(r"""\[\s*['"{\[]|\[\s*\]$""")

_MIN_TOKENS = 3  # fewer may be captions of one word
_MAX_TOKEN_LENGTH = 4  # characters, on average, in scripts without blanks
_FIRST_WITHOUT_BLANKS = "\u0e00"  # Thai, and after it Khmer, Japanese and Chinese
_MIN_ROWS = 5  # that tell columns from sentences with a comma each


class AmbiguousColumns(ValueError):
    """Several columns may be meant; the message lists them, with the setting that decides."""


@dataclasses.dataclass(frozen=True)
class Roles:
    """Positions of the columns that are used.

    Attributes:
      image: the names of the images.
      captions: the captions, of which a row may have several.
      split: the splits; None if there is no such column.
    """

    image: int
    captions: tuple[int, ...]
    split: int | None


def find_roles(header: Sequence[str], rows: Iterable[Sequence[str]], columns: Columns) -> Roles | None:
    """Finds the columns that are used.

    Args:
      header: the names of the columns.
      rows: the first rows, which are only looked at if the names are those of captions.
      columns: the columns that the settings name.

    Returns:
      the positions of the columns; None if there is none of images or none of captions.

    Raises:
      AmbiguousColumns: several columns may hold the images, or the captions.
    """
    images = _named(header, columns.image, IMAGE_COLUMNS)
    vague_images = [] if columns.image else _named(header, None, _VAGUE_IMAGE_COLUMNS)
    captions = _numbered(header, columns.caption, CAPTION_COLUMNS)
    if not (images or vague_images) or not (captions or any(map(_is_vague_caption, header))):
        return None
    is_certain = bool(columns.image or (images and captions) or "caption" in captions)
    is_certain |= any(_fold(header[index]).startswith(("image", "img")) for index in images)
    complete = [row for row in rows if len(row) == len(header)]
    values = {index: [row[index].strip() for row in complete] for index in range(len(header))}
    by_value = [index for index in images if _are_image_names(values[index])]
    by_value = by_value or [index for index in vague_images if _are_image_names(values[index])]
    if not is_certain and not by_value:
        return None
    image = _only(header, by_value, values, "image") if by_value else (images or vague_images)[0]
    kinds = captions or ({} if columns.caption else _vague_captions(header, values))
    groups = [others for of_kind in kinds.values() if (others := [index for index in of_kind if index != image])]
    if not groups:
        return None
    first = _only(header, [group[0] for group in groups], values, "caption")
    return Roles(image, tuple(next(group for group in groups if group[0] == first)), _find_split(header, values))


def _fold(name: str) -> str:
    """What is compared of a column's name.

    >>> [_fold(name) for name in ("file_name", "File Name", "fileName", "Caption-1")]
    ['filename', 'filename', 'filename', 'caption1']
    """
    return re.sub(r"[\W_]+", "", name).lower()


def _named(header: Sequence[str], chosen: str | None, names: Sequence[str]) -> list[int]:
    """Lists the columns with some names, in the order of the names."""
    if chosen is not None:
        exact = [index for index, name in enumerate(header) if name == chosen]
        return exact or [index for index, name in enumerate(header) if _fold(name) == _fold(chosen)]
    folded = [_fold(name) for name in header]
    return [index for name in dict.fromkeys(map(_fold, names)) for index, other in enumerate(folded) if other == name]


def _numbered(header: Sequence[str], chosen: str | None, names: Sequence[str]) -> dict[str, list[int]]:
    """Returns the columns with some names, in the plural or numbered: name -> columns."""
    if chosen is not None:
        matching = [index for index, name in enumerate(header) if fnmatch.fnmatchcase(name, chosen)]
        return {chosen: matching} if matching else {}
    folded = [_fold(name) for name in header]
    kinds = {}
    for name in dict.fromkeys(_fold(name).removesuffix("s") for name in names):
        if of_kind := [index for index, other in enumerate(folded) if re.fullmatch(rf"{name}s?\d*", other)]:
            kinds[name] = of_kind
    return kinds


def _is_vague_caption(name: str) -> bool:
    return "caption" in _fold(name) or bool(_numbered([name], None, _VAGUE_CAPTION_COLUMNS))


def _vague_captions(header: Sequence[str], values: Mapping[int, Sequence[str]]) -> dict[str, list[int]]:
    """Returns the columns that may hold captions: those with vague names, and with sentences under other such names."""
    containing = {
        name: [index] for index, name in enumerate(header) if "caption" in _fold(name) and _are_sentences(values[index])
    }
    return _numbered(header, None, _VAGUE_CAPTION_COLUMNS) | containing


def _only(header: Sequence[str], candidates: Sequence[int], values: Mapping[int, Sequence[str]], what: str) -> int:
    """Returns the first of several columns if all hold the same.

    Raises:
      AmbiguousColumns: they differ.
    """
    contents = {tuple(map(posixpath.basename, values[index])) for index in candidates}
    if len(contents) == 1:
        return candidates[0]
    refuse_several([header[index] for index in candidates], what)


def refuse_several(names: Sequence[str], what: str) -> NoReturn:
    """Refuses several columns or keys, any of which may be meant.

    Args:
      names: their names.
      what: `image` or `caption`.

    Raises:
      AmbiguousColumns: always.
    """
    listed = " and ".join(map(repr, names))
    raise AmbiguousColumns(f"the columns {listed} may both hold the {what}; choose one with data.columns.{what}=NAME")


def is_image_name(value: str) -> bool:
    """Whether a value ends like the name of an image file."""
    return bool(_IMAGE_NAME.search(value))


def _are_image_names(values: Sequence[str]) -> bool:
    """Whether most of some values end like names of image files."""
    return 2 * sum(bool(_IMAGE_NAME.search(value)) for value in values) > len(values)


def _are_sentences(values: Sequence[str]) -> bool:
    """Whether most of some values have several words, unlike numbers and languages of captions."""
    return 2 * sum(" " in value for value in values) > len(values)


def are_names_and_sentences(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows are the name of an image file and a sentence each, which is no label of one or two words."""
    if not rows[0] or not _IMAGE_NAME.search(rows[0][0]):
        return False
    matching = [row for row in rows if len(row) > 1 and _IMAGE_NAME.search(row[0])]
    return 10 * len(matching) >= 9 * len(rows) and 2 * sum(row[1].count(" ") > 1 for row in matching) > len(rows)


def count_columns(rows: Sequence[Sequence[str]], *, may_be_text: bool) -> int:
    """Counts the columns of most rows without header; of a delimiter that may be text, only if all rows agree.

    >>> count_columns([["a.jpg", "A dog", "train"]], may_be_text=False)
    3
    >>> count_columns([["a.jpg", "A dog", "a cat"], ["b.jpg", "A dog"]], may_be_text=True)
    2
    """
    (number, num_rows), *_ = collections.Counter(map(len, rows)).most_common()
    if may_be_text:
        return number if num_rows == len(rows) and num_rows >= _MIN_ROWS else 2
    return number if 2 * num_rows > len(rows) else max(2, *map(len, rows))


def are_splits(values: Sequence[str]) -> bool:
    """Whether nearly all values are names of splits."""
    return 10 * sum(value.lower() in SPLIT_NAMES for value in values) >= 9 * len(values) > 0


def _find_split(header: Sequence[str], values: Mapping[int, Sequence[str]]) -> int | None:
    """Finds the column of splits; one with another name than `split` must hold nothing else."""
    for index in _named(header, None, SPLIT_COLUMNS):
        stated = [value.lower() for value in values[index] if value]
        if _fold(header[index]) == "split" or (stated and all(value in SPLIT_NAMES for value in stated)):
            return index
    return None


def texts_in(cell: str) -> list[Any]:
    r"""Returns the texts in a cell: those of a list as JSON, Python, pandas or numpy write it, else the cell itself.

    >>> [texts_in(cell) for cell in ('["a dog", "a cat"]', "['a dog' \"a cat's\"]", "[a dog] runs")]
    [['a dog', 'a cat'], ['a dog', "a cat's"], ['[a dog] runs']]

    Raises:
      ValueError: it begins like a list and can't be read as one, or has single words.
    """
    if cell.startswith(("(", "{")) and _TUPLE.fullmatch(cell):
        cell = f"[{cell[1:-1]}]"
    if not cell.startswith("[") or not _LIST_START.match(cell):
        return [cell]
    try:
        values = json.loads(cell, strict=False)
    except (ValueError, RecursionError):
        if not _TEXTS.fullmatch(cell):
            raise ValueError(f"a list that can't be read: {cell[:40]!r}") from None
        try:
            values = [ast.literal_eval(re.sub(r"[\r\n]", " ", text)) for text in re.findall(_TEXT, cell)]
        except (ValueError, SyntaxError):
            raise ValueError(f"a list that can't be read: {cell[:40]!r}") from None
    values = (values if isinstance(values, list) else [values]) or [""]
    check_no_tokens(values)
    return values


def check_no_tokens(texts: Sequence[Any]) -> None:
    """Refuses the words of one caption, or labels, in the place of several captions.

    Words of scripts without blanks are told from sentences by their length.

    Raises:
      ValueError: all of three or more texts are single words.
    """
    words = [text.strip() for text in texts if isinstance(text, str)]
    if len(words) < _MIN_TOKENS or len(words) < len(texts) or any(" " in word for word in words):
        return
    has_blanks = max(map(max, filter(None, words)), default="") < _FIRST_WITHOUT_BLANKS
    if has_blanks or sum(map(len, words)) < _MAX_TOKEN_LENGTH * len(words):
        shown = ", ".join(words)[:40]
        raise ValueError(f"a list of {len(words)} single words is no list of captions: {shown}; join them to a text")
