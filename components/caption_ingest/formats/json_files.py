"""What the JSON formats share: telling documents from lines, and reading a document without holding it twice."""

import json
import mmap
import pathlib
from collections.abc import Iterator

from components.caption_ingest.formats.base import IMAGE_COLUMNS, Head, Source, UnreadableFileError, check_size

MAX_JSON_BYTES = 512 * 2**20  # per document; parsing takes ten times the memory, and COCO's largest has 91 MB

_FLAGS = ("is_rejected", "is_precanned")  # VizWiz: the sentence is no description, or a set phrase about bad quality


def is_record(line: str) -> bool:
    """Whether a line is an object about one image, and not the beginning of a document."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    # a line of an indented document may be a number or a text
    return isinstance(record, dict) and any(name in record for name in IMAGE_COLUMNS) and "images" not in record


def is_document_with(keys: tuple[bytes, ...], source: Source, head: Head) -> bool:
    """Whether a file is one JSON document that contains some keys.

    The document is searched and not parsed: COCO's other annotations are large.
    """
    if not head.is_json or is_record(head.lines[0]):
        return False
    with source.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return all(text.find(b'"' + key + b'"') >= 0 for key in keys)


def read_document(source: Source) -> dict:
    """Reads a file that is one JSON object.

    Raises:
      UnreadableFileError: the file is not a JSON object, or too large.
    """
    path = source.path
    check_size(path, MAX_JSON_BYTES)
    try:
        with path.open(encoding="utf-8-sig") as file:
            document = json.load(file)
    except json.JSONDecodeError as error:
        raise UnreadableFileError(f"{path}:{error.lineno}: not JSON: {error.msg}, at character {error.colno}") from None
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path}: not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"{path}: the JSON can't be read: {error}") from None
    if not isinstance(document, dict):
        raise UnreadableFileError(f"{path}: not a JSON object")
    return document


def take_members(path: pathlib.Path, document: dict, key: str) -> Iterator[dict]:
    """Removes the objects of a list from a document one by one, to free their memory; other values count as empty.

    Raises:
      UnreadableFileError: the document has no such list.
    """
    members = document.pop(key, None)
    if not isinstance(members, list):
        raise UnreadableFileError(f'{path}: no list "{key}"')
    members.reverse()
    while members:
        member = members.pop()
        yield member if isinstance(member, dict) else {}


def flag_of(record: dict) -> str | None:
    """Returns the flag by which the authors of a dataset mark a caption as none; None if there is no such flag.

    >>> flag_of({"caption": "Quality issues are too severe", "is_precanned": True, "is_rejected": False})
    'is_precanned'
    """
    return next((flag for flag in _FLAGS if str(record.get(flag)).lower() in ("true", "1", "1.0")), None)
