"""Parquet files of images and captions, as Hugging Face's `datasets` writes them."""

import fnmatch
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.caption_ingest.formats.base import (
    CAPTION_COLUMNS,
    IMAGE_COLUMNS,
    Caption,
    Format,
    Head,
    Source,
    UnreadableFileError,
)
from components.caption_ingest.formats.columns import AmbiguousColumns
from components.caption_ingest.formats.container_sources import open_source
from components.caption_ingest.formats.json_files import (
    FLAGS,
    MAX_CHECKED,
    caption_kinds,
    captions_of,
    check_kinds,
    flag_of,
    flagged,
    keys_of,
)
from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.settings import Columns
from components.shared.images import parquet_files
from components.shared.images.container_files import DamagedContainerError, open_file
from components.shared.images.containers import ParquetContainer

BATCH_ROWS = 4096  # whose captions are read at a time
_NOT_UTF8 = object()  # in place of a value
_IMAGE, _CAPTION = IMAGE_COLUMNS[0], CAPTION_COLUMNS[0]


class _Columns(NamedTuple):
    """Where a file has what.

    Attributes:
      image: the column of the images.
      names: the path in the schema of their file names; "" if there is none.
      captions: the columns of the captions.
      split: the column of the split; "" if there is none.
      flags: the columns that flag captions, see `flag_of`.
    """

    image: str
    names: str
    captions: list[str]
    split: str
    flags: list[str]


class Parquet(Format):
    """A table whose columns hold images and captions; `split` is optional.

    An image is bytes, or a struct of `bytes` and `path`; a row without bytes, or a column of texts, names a file.
    Captions are texts or lists of them, in one column, or in several with numbers.
    """

    name = "Parquet"
    example = "a column `image` of bytes, or of `{bytes, path}`, and a column `caption` of texts or lists"
    is_container = True

    def matches(self, source: Source, head: Head) -> bool:
        if not head.start.startswith(parquet_files.MAGIC):
            return False
        try:
            schema = _schema(source)
        except DamagedContainerError:
            return True  # `read` says what is wrong
        # an index without images, as downloaders write it beside the shards, is none
        return bool(parquet_files.image_columns(schema)) or _find_columns(schema, source) is not None

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        container = open_source(source, ParquetContainer)
        with container.opened() as parquet:
            yield from _read(parquet, source, container)

    def describe(self, source: Source) -> str:
        columns = _find_columns(_schema(source), source)
        if columns is None:
            return ""
        return f"columns {', '.join(filter(None, (columns.image, *columns.captions, columns.split)))}"


def _schema(source: Source) -> pa.Schema:
    """The columns of a file and their types.

    Raises:
      DamagedContainerError: it can't be read as Parquet.
    """
    with open_file(source.location) as file:
        return parquet_files.open_parquet(file).schema_arrow


def _read(parquet: pq.ParquetFile, source: Source, container: ParquetContainer) -> Iterator[Caption | Reject]:
    columns = _find_columns(parquet.schema_arrow, source)
    if columns is None:
        image = _find_image(parquet.schema_arrow, source.columns.image)
        missing = "image" if image is None else "caption"
        listed = ", ".join(f"{field.name} ({field.type})" for field in parquet.schema_arrow)[:300]
        raise UnreadableFileError(
            f"{source.path}: which column has the {missing}s is not clear; "
            f"set data.columns.{missing} to one of {listed}"
        )
    if source.columns.caption is None:
        _check_captions(parquet, source)
    has_images = parquet_files.bytes_path(parquet.schema_arrow.field(columns.image)) is not None
    without_image = container.column(columns.image).rows_without_image() if has_images else None
    paths = [path for path in (*columns.captions, *columns.flags, columns.split, columns.names) if path]
    row = 0
    for batch in parquet.iter_batches(BATCH_ROWS, columns=paths, use_threads=False):
        values = {name: _to_python(batch.column(name)) for name in batch.schema.names}
        for index in range(batch.num_rows):
            name = _name_in(values[columns.image][index]) if columns.names else None
            if without_image is not None and row not in without_image:
                name = container.member(columns.image, row)
            if flag := flag_of({column.lower(): values[column][index] for column in columns.flags}):
                yield flagged(name, row, flag)
                row += 1
                continue
            record = {column: values[column][index] for column in columns.captions}
            split = values[columns.split][index] if columns.split else None
            yield from _captions(row, name, record, split)
            row += 1


def _check_captions(parquet: pq.ParquetFile, source: Source) -> None:
    """Refuses a file of which several columns have different captions in the first rows.

    Raises:
      UnreadableFileError: with the columns.
    """
    by_name = _by_lower_name(parquet.schema_arrow)
    texts = {name: own for name, own in by_name.items() if _holds_texts(parquet.schema_arrow.field(own).type)}
    kinds = [[texts[name] for name in kind] for kind in caption_kinds(tuple(texts))]
    known = {name for kind in kinds for name in kind}
    others = [name for name in texts.values() if "caption" in name.lower() and name not in known]
    if len(kinds) + len(others) < 2:
        return
    paths = [*known, *others]
    batch = next(parquet.iter_batches(MAX_CHECKED, columns=paths, use_threads=False), None)
    values = {} if batch is None else {name: _to_python(batch.column(name)) for name in batch.schema.names}
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    kinds += [[name] for name in others if _are_captions([row[name] for row in rows])]
    try:
        check_kinds(kinds, rows)
    except AmbiguousColumns as error:
        raise UnreadableFileError(f"{source.path}: {error}") from None


def _are_captions(values: Sequence[Any]) -> bool:
    """Whether most values are lists, or sentences of three or more words, unlike sources and languages of captions."""
    return 2 * sum(isinstance(value, list) or str(value).count(" ") > 1 for value in values) > len(values)


def _captions(row: int, name: Any, captions: dict[str, Any], split: Any) -> Iterator[Caption | Reject]:
    """Yields the captions of a row, or the reason why it has none."""
    values = {column: value for column, value in captions.items() if value is not None}
    shown = str(name)[:80]
    if _NOT_UTF8 in (name, split, *values.values()):
        yield Reject("" if name is _NOT_UTF8 else shown, row, Reason.BAD_ENCODING, "a text of the row is not UTF-8")
    elif not name:
        yield Reject("", row, Reason.MISSING_IMAGE, "the row has neither an image's bytes nor a path")
    elif not values:
        yield Reject(shown, row, Reason.EMPTY_CAPTION, "the row has no caption")
    else:
        for value in values.values():
            yield from captions_of({_IMAGE: name, _CAPTION: value, "split": split}, row, Columns())


def _name_in(value: Any) -> Any:
    """The name of an image's file: the value of the column, or its path."""
    return value.get("path") if isinstance(value, dict) else value


def _to_python(column: pa.Array) -> list[Any]:
    """The values of a column; `_NOT_UTF8` for those that are not."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_value(column[index]) for index in range(len(column))]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return _NOT_UTF8


def _find_columns(schema: pa.Schema, source: Source) -> _Columns | None:
    """Finds the columns by the settings, else by their types and names; None if they are not clear."""
    image, captions = _find_image(schema, source.columns.image), _find_captions(schema, source.columns.caption)
    if image is None or not captions:
        return None
    split = _by_lower_name(schema).get("split", "")
    if split and not parquet_files.is_text(schema.field(split).type):
        split = ""
    flags = [name for name in schema.names if name.lower() in FLAGS]
    return _Columns(image, parquet_files.names_path(schema.field(image)) or "", captions, split, flags)


def _by_lower_name(schema: pa.Schema) -> dict[str, str]:
    return {name.lower(): name for name in schema.names}


def _find_image(schema: pa.Schema, chosen: str | None) -> str | None:
    if chosen is not None:
        return chosen if chosen in schema.names else None
    found = parquet_files.image_columns(schema)
    if found:
        return found[0] if len(found) == 1 or found[0] in parquet_files.IMAGE_NAMES else None
    names = _by_lower_name(schema)
    texts = (names[name] for name in IMAGE_COLUMNS if name in names)
    return next((name for name in texts if parquet_files.is_text(schema.field(name).type)), None)


def _find_captions(schema: pa.Schema, chosen: str | None) -> list[str]:
    if chosen is not None:
        return fnmatch.filter(schema.names, chosen)
    names = _by_lower_name(schema)
    texts = tuple(name for name in names if _holds_texts(schema.field(names[name]).type))
    return [names[name] for name in keys_of(texts, Columns())[1]]


def _holds_texts(kind: pa.DataType) -> bool:
    """Whether a column has texts, lists of them, or lists of objects that may have one each."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_texts(kind.value_type) or pa.types.is_struct(kind.value_type)
    return parquet_files.is_text(kind)
