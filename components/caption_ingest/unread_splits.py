"""Why what may state splits is not read: lists with other columns or of numbers, other formats, unknown columns."""

import json
import re
from collections.abc import Collection, Sequence

from components.caption_ingest.formats.base import SPLIT_NAMES, Head, Source
from components.caption_ingest.formats.columns import AmbiguousColumns
from components.caption_ingest.formats.json_lines import JsonLines
from components.caption_ingest.formats.table import Table, find_header
from components.caption_ingest.layout import Layout
from components.caption_ingest.names import comparison_form

NOT_A_LIST = "it holds neither captions nor names of their images"
# formats of other programs in which people keep splits
BINARY_SUFFIXES = {".npy", ".npz", ".pkl", ".pickle", ".mat"}
TEXT_SUFFIXES = {".yaml", ".yml", ".toml", ".xml"}
_WORDS = "|".join(SPLIT_NAMES)
_SPLIT_COLUMN = re.compile(
    rf"(?:is|in)?(?:{_WORDS})|(?:data|image)?(?:split|fold|partition|subset|set)s?(?:name|id|type|idx|index|no)?|phase|usage"
)
_COLUMN_ENDS = re.compile(r"[\s,;|]+")


def why_no_list(lines: Sequence[str], known: Collection[str]) -> str:
    """Says why a file whose name is about splits is no list of images.

    Args:
      lines: its first lines.
      known: the names of the images without directory and suffix, in `comparison_form`.
    """
    if lines and all(line.strip().isdecimal() for line in lines):
        return "its lines are numbers; a list has the names of the images"
    rows = [line for line in lines if _begins_with_name(line, known)]
    if rows and 2 * len(rows) >= len(lines):
        shown = rows[0].strip()[:60]
        return (
            f"beside names of images it has other values, as in {shown!r}; a list has names alone, or train, val, test"
        )
    return NOT_A_LIST


def _begins_with_name(line: str, known: Collection[str]) -> bool:
    name, *others = _COLUMN_ENDS.split(line.strip().strip('"'), maxsplit=1)
    file_name = comparison_form(name.strip('"').replace("\\", "/").rpartition("/")[2])
    return bool(others) and not {file_name, file_name.rpartition(".")[0]}.isdisjoint(known)


def why_no_text(suffix: str) -> str:
    """Says why a file of another format is no list."""
    return f"{suffix} is no format of split lists; write the names of a split to a .txt, one per line"


def unread_columns(layout: Layout) -> list[str]:
    """Warns of columns of tables, and keys of JSON lines, that may state splits under names that are not known."""
    return [
        f"{file.name}: {name!r} may state splits and is not read, as it is not called split, or not train, val or test"
        for file in layout.captions[:1]
        for name in _unread_names(layout, file.source)
        if _SPLIT_COLUMN.fullmatch(re.sub(r"[\W_]+", "", name).lower())
    ]


def _unread_names(layout: Layout, source: Source) -> Sequence[str]:
    lines = Head.of(source).lines
    if isinstance(layout.format, JsonLines):
        try:
            record = json.loads(lines[0])
        except (ValueError, IndexError):
            return ()
        return tuple(key for key in record if key != "split") if isinstance(record, dict) else ()
    if not isinstance(layout.format, Table) or not lines:
        return ()
    try:
        header = find_header(lines, source.columns)
    except AmbiguousColumns:
        return ()
    if header is None or not header.num_lines:
        return ()
    used = {header.roles.image, *header.roles.captions, header.roles.split}
    return tuple(name for index, name in enumerate(header.names) if index not in used)
