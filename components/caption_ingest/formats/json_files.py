"""What the JSON formats share: telling documents from lines, and reading a document without holding it twice."""

import fnmatch
import functools
import json
import mmap
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from components.caption_ingest.encodings import suggest
from components.caption_ingest.formats.base import (
    CAPTION_COLUMNS,
    IMAGE_COLUMNS,
    Caption,
    Head,
    Source,
    UnreadableFileError,
    check_size,
    checked_caption,
    name_of,
)
from components.caption_ingest.formats.columns import AmbiguousColumns, check_no_tokens, refuse_several, texts_in
from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.settings import Columns

MAX_JSON_BYTES = 512 * 2**20  # per document; parsing takes ten times the memory, and COCO's largest has 91 MB
MAX_CHECKED = 100  # records of a file whose keys are compared

# the names of captions in JSON: those of tables, and those of Karpathy's documents
CAPTION_KEYS = (*CAPTION_COLUMNS, "raw", "sentences")
# VizWiz: the sentence is no description, or a set phrase about bad quality
FLAGS = frozenset({"is_rejected", "is_precanned"})


def is_record_line(line: str, columns: Columns) -> bool:
    """Whether a line is an object about one image, and not the beginning of a document."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    # a line of an indented document may be a number or a text
    return isinstance(record, dict) and keys_of(tuple(record), columns)[0] is not None and "images" not in record


def is_record(value: Any, columns: Columns) -> bool:
    """Whether an element of a document is an object with an image and captions."""
    return isinstance(value, dict) and all(keys_of(tuple(value), columns))


def captions_of(record: Any, number: int, columns: Columns, split: str | None = None) -> Iterator[Caption | Reject]:
    """Yields the captions of a record, which are texts, lists of texts, or lists of objects with a text.

    Args:
      record: the record, an object with an image and captions.
      number: number of its line or element.
      columns: the keys to take, where their names alone do not tell.
      split: its split, if it states none itself.
    """
    if not isinstance(record, dict):
        yield Reject("", number, Reason.BAD_LINE, "not a JSON object")
        return
    image_key, caption_keys = keys_of(tuple(record), columns)
    image_id = record.get(image_key)
    if flag := flag_of(record):
        yield flagged(image_id, number, flag)
        return
    if detail := _no_name(record, image_key) or ("" if caption_keys else f"no caption; {_keys(record, 'caption')}"):
        yield Reject(name_of(image_id)[:80], number, Reason.BAD_LINE, detail)
        return
    split = record.get("split") or split
    for key, value in [(key, record[key]) for key in caption_keys]:
        try:
            texts = texts_in(value) if isinstance(value, str) else value if isinstance(value, list) else [value]
            check_no_tokens(texts)
        except ValueError as error:
            yield Reject(str(image_id)[:80], number, Reason.BAD_LINE, str(error))
            continue
        for text in texts or [""]:
            if isinstance(sentence := _text_of(text), str) or not name_of(image_id):
                yield checked_caption(image_id, sentence, split, number)
            else:
                yield Reject(name_of(image_id)[:80], number, Reason.BAD_LINE, _no_text(key, text))


def _no_name(record: dict, key: str | None) -> str:
    """Says why a record has no name of an image; "" if it has one, or if its name is empty."""
    if key is None:
        return f"no image name; {_keys(record, 'image')}"
    value = record[key]
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "an object"
        way_out = "as pandas writes with orient='records'"
        return f"{key!r} holds {kind} of {len(value)} and not a name; expected one record per image, {way_out}"
    return ""


def _no_text(key: str, value: Any) -> str:
    """Says what stands in place of a text."""
    if isinstance(value, dict):
        expected = f"expected a text, or one in {CAPTION_KEYS[0]!r}"
        return f"no caption: an object in {key!r}, whose {_keys(value, '')}; {expected}"
    if isinstance(value, list):
        return f"no caption: a list in the list {key!r}; expected a list of texts"
    return f"no caption: {json.dumps(value, default=str)[:40]} in {key!r}; expected a text"


def _keys(record: dict, role: str) -> str:
    """Lists the keys of a record, and the setting that chooses one of them for a role."""
    names = f"keys are {', '.join(map(repr, record))[:300]}"
    return f"its {names}, of which data.columns.{role}=KEY may choose one" if role else names


def flagged(image_id: Any, number: int, flag: str) -> Reject:
    """Makes a reject of a caption that its authors have flagged."""
    return Reject(str(image_id)[:80], number, Reason.FLAGGED, f"its authors have flagged it: {flag}")


@functools.lru_cache(maxsize=256)  # the records of a file have the same keys
def keys_of(names: tuple[str, ...], columns: Columns) -> tuple[str | None, tuple[str, ...]]:
    """Returns which keys of a record hold the image and the captions: the first that is known, and those numbered so.

    >>> keys_of(("filename", "raw", "raw_1", "raw_2", "split"), Columns())
    ('filename', ('raw', 'raw_1', 'raw_2'))
    """
    image = next(
        (name for name in (IMAGE_COLUMNS if columns.image is None else (columns.image,)) if name in names), None
    )
    if columns.caption is not None:
        return image, tuple(fnmatch.filter(names, columns.caption))
    return image, next(iter(caption_kinds(names)), ())


@functools.lru_cache(maxsize=256)
def caption_kinds(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Returns the keys that may hold captions, those numbered alike together, in the order in which they are tried.

    >>> caption_kinds(("image", "text", "caption_1", "caption_2"))
    (('caption_1', 'caption_2'), ('text',))
    """
    kinds = (tuple(name for name in names if re.fullmatch(rf"{known}(?:[ _-]?\d+)?", name)) for known in CAPTION_KEYS)
    return tuple(kind for kind in kinds if kind)


def check_record(record: Any, number: int, source: Source) -> None:
    """Refuses a file of which one of the first records has different captions under two keys; see `check_kinds`.

    Raises:
      UnreadableFileError: with the file and the keys.
    """
    if number > MAX_CHECKED or not isinstance(record, dict) or source.columns.caption is not None:
        return
    try:
        check_kinds(caption_kinds(tuple(record)), [record])
    except AmbiguousColumns as error:
        raise UnreadableFileError(f"{source.path}: {error}") from None


def check_kinds(kinds: Sequence[Sequence[str]], records: Sequence[Mapping[str, Any]]) -> None:
    """Checks that of several keys with captions, all have the same captions.

    Args:
      kinds: keys, those that count together in one.
      records: what is under them; a record may lack some.

    Raises:
      AmbiguousColumns: they differ.
    """
    if len(kinds) < 2:
        return
    for record in records:
        texts = {kind[0]: _texts_under(kind, record) for kind in kinds}
        present = {key: of_key for key, of_key in texts.items() if of_key}
        if len({*map(tuple, present.values())}) > 1:
            refuse_several(tuple(present), "caption")


def _texts_under(keys: Iterable[str], record: Mapping[str, Any]) -> list[str]:
    values = [record.get(key) for key in keys]
    texts = [_text_of(text) for value in values for text in (value if isinstance(value, list) else [value])]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]


def _text_of(value: Any) -> Any:
    """Returns the text of a sentence, which may be an object, as in Karpathy's documents."""
    return next((value[key] for key in CAPTION_KEYS if key in value), None) if isinstance(value, dict) else value


def is_document_with(keys: tuple[str, ...], source: Source, head: Head) -> bool:
    """Whether a file is one JSON object, over many lines or not, that contains some keys.

    The document is searched and not parsed: COCO's other annotations are large.
    """
    if not head.is_json or is_record_line(head.lines[0], source.columns):
        return False
    with source.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return all(text.find(f'"{key}"'.encode(source.encoding)) >= 0 for key in keys)


def read_object(source: Source) -> dict:
    """Reads a file that is one JSON object.

    Raises:
      UnreadableFileError: the file is not a JSON object, or too large.
    """
    document = read_document(source)
    if not isinstance(document, dict):
        raise UnreadableFileError(f"{source.path}: not a JSON object")
    return document


def read_document(source: Source) -> Any:
    """Reads a file that is one JSON document.

    Raises:
      UnreadableFileError: the file is not JSON, or too large.
    """
    path = source.path
    check_size(path, MAX_JSON_BYTES)
    try:
        with path.open(encoding=source.encoding) as file:
            return json.loads(file.read().removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise UnreadableFileError(f"{path}:{error.lineno}: not JSON: {error.msg}, at character {error.colno}") from None
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            f"{path}: not {source.encoding.upper()} at byte {error.start}; {suggest(error.object[error.start :])}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"{path}: the JSON can't be read: {error}") from None


def take_members(path: pathlib.Path, document: dict, key: str) -> Iterator[dict]:
    """Removes the objects of a list from a document one by one, to free their memory; other values count as empty.

    Raises:
      UnreadableFileError: the document has no such list.
    """
    members = document.pop(key, None)
    if not isinstance(members, list):
        raise UnreadableFileError(f'{path}: no list "{key}"')
    for member in take_all(members):
        yield member if isinstance(member, dict) else {}


def take_all(members: list) -> Iterator[Any]:
    """Removes the members of a list one by one, to free their memory."""
    members.reverse()
    while members:
        yield members.pop()


def flag_of(record: dict) -> str | None:
    """Returns the flag by which the authors of a dataset mark a caption as none; None if there is no such flag.

    >>> flag_of({"caption": "Quality issues are too severe", "is_precanned": True, "is_rejected": False})
    'is_precanned'
    """
    return next((flag for flag in sorted(FLAGS) if str(record.get(flag)).lower() in ("true", "1", "1.0")), None)
