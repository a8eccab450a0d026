"""Images in Parquet files, read by their rows: of one row group at a time no more than a window is held."""

import bisect
import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.shared.images.container_files import DamagedContainerError, open_file
from components.shared.images.limits import MAX_BYTES

if int(pa.__version__.partition(".")[0]) < 14:
    import pyarrow_hotfix  # noqa: F401  # a file could run code otherwise (CVE-2023-47248); Beam installs it

MAGIC = b"PAR1"
WINDOW_BYTES = 32 * 2**20  # of images that are decoded at a time, about
MAX_WINDOWS = 3  # that are held per file: threads read neighboring rows
MAX_STREAMS = 2  # places in a large row group where reading goes on
BUFFER_BYTES = 2**20  # that are read at a time
IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "png", "picture", "photo", "image_bytes", "bytes")  # the likeliest first


def open_parquet(file: BinaryIO, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """Opens a Parquet file to be read page by page.

    Raises:
      DamagedContainerError: it is cut or damaged.
    """
    with arrow_errors():
        return pq.ParquetFile(file, metadata=metadata, buffer_size=BUFFER_BYTES, pre_buffer=False)


@contextlib.contextmanager
def arrow_errors() -> Iterator[None]:
    """Turns the errors that Arrow raises at damaged bytes into one of ours, of one line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, DamagedContainerError) or getattr(error, "errno", None) is not None:  # of the disk
            raise
        detail = str(error).splitlines()[0][:200]
        raise DamagedContainerError(f"it can't be read as Parquet ({detail})") from None


def image_columns(schema: pa.Schema) -> list[str]:
    """Lists the columns with images as bytes, those with likely names first.

    A column has bytes, or, as Hugging Face writes it, structs of `bytes` and `path`.
    """
    names = [field.name for field in schema if bytes_path(field) is not None]
    return sorted(names, key=lambda name: IMAGE_NAMES.index(name) if name in IMAGE_NAMES else len(IMAGE_NAMES))


def bytes_path(field: pa.Field) -> str | None:
    """The path in the schema of a column's bytes; None if it has none."""
    if _is_binary(field.type):
        return field.name
    if pa.types.is_struct(field.type) and any(
        child.name == "bytes" and _is_binary(child.type) for child in _children(field.type)
    ):
        return f"{field.name}.bytes"
    return None


def names_path(field: pa.Field) -> str | None:
    """The path in the schema of a column's file names, of a struct that has them; None if it has none."""
    if pa.types.is_struct(field.type) and any(
        child.name == "path" and is_text(child.type) for child in _children(field.type)
    ):
        return f"{field.name}.path"
    return field.name if is_text(field.type) else None


def _children(struct: pa.StructType) -> list[pa.Field]:
    return [struct[index] for index in range(struct.num_fields)]


def _is_binary(kind: pa.DataType) -> bool:
    return str(kind) in ("binary", "large_binary", "binary_view")  # a view is Polars'


def is_text(kind: pa.DataType) -> bool:
    """Whether a column has texts; a category of pandas is one."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return str(kind) in ("string", "large_string", "string_view")


@dataclasses.dataclass
class _Stream:
    """A row group that is being read: the process that does so, the rest of it, and the number of its next row."""

    process: int
    group: int
    batches: Iterator[pa.RecordBatch]
    next_row: int


class ImageColumn:
    """The images of a column. Its methods must be called by one thread at a time.

    Attributes:
      num_rows: number of rows.
    """

    def __init__(self, path: str, metadata: pq.FileMetaData, column: str):
        """Initializes the column.

        Args:
          path: the file.
          metadata: its footer.
          column: the column's `bytes_path`.
        """
        self._path, self._metadata, self._bytes = path, metadata, column
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        self._starts = [0, *itertools.accumulate(group.num_rows for group in groups)]
        self.num_rows = self._starts[-1]
        leaf = next(index for index in range(metadata.num_columns) if metadata.schema.column(index).path == column)
        self._chunks = [group.column(leaf) for group in groups]
        self._windows: dict[int, pa.Array] = {}  # number of their first row -> images, in the order of reading
        self._streams: list[_Stream] = []

    def mean_size(self, row: int) -> int:
        """The mean size of the images in the row group of a row: what is known before any is read."""
        group = self._group(row)
        num_rows = self._starts[group + 1] - self._starts[group]
        return min(-(-self._chunks[group].total_uncompressed_size // num_rows), MAX_BYTES)

    def rows_without_image(self) -> set[int]:
        """Finds the rows whose bytes are null; only where the file does not count them are the images read.

        Raises:
          DamagedContainerError: it is damaged.
        """
        rows: set[int] = set()
        for group, chunk in enumerate(self._chunks):
            start, end = self._starts[group], self._starts[group + 1]
            statistics = chunk.statistics
            num_null = statistics.null_count if statistics is not None and statistics.has_null_count else None
            if num_null == end - start:
                rows.update(range(start, end))
            elif num_null != 0:
                for first, images in self._read_group(group):
                    rows.update(first + index for index in range(len(images)) if not images[index].is_valid)
        return rows

    def read(self, row: int) -> bytes:
        """Reads the image of a row.

        Raises:
          DamagedContainerError: the file is damaged, or the row has no image.
        """
        for first, images in self._windows.items():
            if first <= row < first + len(images):
                break
        else:
            first, images = self._advance(row)
        data = images[row - first].as_py()
        if data is None:
            raise DamagedContainerError(f"row {row} has no image")
        return data

    def _advance(self, row: int) -> tuple[int, pa.Array]:
        """Reads on to the window with a row, from the nearest place before it."""
        group = self._group(row)
        usable = [s for s in self._streams if s.process == os.getpid() and s.group == group and s.next_row <= row]
        stream = max(usable, key=lambda stream: stream.next_row, default=None)
        if stream is None:
            stream = _Stream(os.getpid(), group, self._read_group(group), self._starts[group])
        self._streams = [*[other for other in self._streams if other is not stream][1 - MAX_STREAMS :], stream]
        for first, images in stream.batches:
            stream.next_row = first + len(images)
            if row < stream.next_row:
                self._windows = dict([*self._windows.items()][1 - MAX_WINDOWS :]) | {first: images}
                return first, images
        raise DamagedContainerError(f"row {row} has no image")

    def _read_group(self, group: int) -> Iterator[tuple[int, pa.Array]]:
        """Yields the images of a row group in windows, each with the number of its first row."""
        first, num_rows = self._starts[group], self._starts[group + 1] - self._starts[group]
        window = max(1, num_rows * WINDOW_BYTES // max(1, self._chunks[group].total_uncompressed_size))
        with open_file(self._path) as file, arrow_errors():
            parquet = open_parquet(file, self._metadata)
            for batch in parquet.iter_batches(min(window, num_rows), [group], [self._bytes], use_threads=False):
                images = batch.column(0)
                if pa.types.is_struct(images.type):
                    images = pc.struct_field(images, [0])
                yield first, images
                first += len(images)

    def _group(self, row: int) -> int:
        return bisect.bisect_right(self._starts, row) - 1
