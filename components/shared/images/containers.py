"""Containers, files that hold many images: WebDataset's tar archives, and Parquet. Members are read without the rest.

A member has a path like a file below a directory: `shards/train-000.tar/000123.jpg`, or `train.parquet/17` for the
image of row 17, counted from 0. Every process keeps an index of the containers that it has read from.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import pyarrow.parquet as pq

from components.shared import node_cache, storage
from components.shared.images import parquet_files, tar_files
from components.shared.images.container_files import DamagedContainerError, open_file
from components.shared.storage_entry import Entry

MAX_HELD = 500_000  # members of all containers whose index a process keeps
ENTRY_SECONDS = 10  # a container in a bucket is not asked for again for each of its members
MAX_COPIED = 10 * 2**30  # bytes of archives that a process copies from a bucket to its disk; others it reads at random
_HEAD = 512  # bytes by which a container is detected

Version = tuple[int, str]  # size, and version as `storage.stat` has it


class Container(Protocol):
    """A file that holds images; its methods may be called by several threads.

    Attributes:
      num_entries: number of entries of its index.
    """

    num_entries: int

    def members(self, column: str | None = None) -> Iterator[tuple[str, int]]:
        """Yields the name of each member and its size in bytes, which is an estimate in Parquet.

        Args:
          column: the column of the images in Parquet; None for the likeliest one.
        """

    def size(self, member: str) -> int | None:
        """The size of a member, as `members` has it; None if there is no such member."""

    def read(self, member: str) -> bytes:
        """Reads a member.

        Raises:
          FileNotFoundError: there is no such member.
          OSError: it can't be read.
        """


def no_such_image(container: str, member: str) -> FileNotFoundError:
    """The error of a member that a container does not have, or no longer."""
    return FileNotFoundError(f"{container} has no image {member}")


class TarContainer:
    """A tar archive, as WebDataset's shards are.

    Attributes:
      entries: its files and links, in their order.
      num_entries: number of them.
    """

    def __init__(self, path: str, local_path: str):
        """Reads the index.

        Args:
          path: the archive, for messages.
          local_path: the archive, or a copy of it on the disk: its headers lie between the images.
        """
        self._path, self._local_path = path, local_path
        with open_file(local_path) as file:
            self.entries = list(tar_files.walk(file))
        self.num_entries = len(self.entries)
        self._by_name = {entry.name: entry for entry in self.entries if not entry.fault}

    def members(self, column: str | None = None) -> Iterator[tuple[str, int]]:
        """See `Container`."""
        yield from ((entry.name, entry.size) for entry in self._by_name.values())

    def size(self, member: str) -> int | None:
        """See `Container`."""
        entry = self._by_name.get(member)
        return None if entry is None else entry.size

    def read(self, member: str) -> bytes:
        """See `Container`."""
        entry = self._by_name.get(member)
        if entry is None:
            raise no_such_image(self._path, member)
        with open_file(self._local_path) as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if len(data) < entry.size:
            raise DamagedContainerError(f"the archive is cut at byte {entry.offset + len(data)}, in {member}")
        return data


class ParquetContainer:
    """A Parquet file with a column of images. A member is a row: `17`, or `COLUMN/17` where there are other columns."""

    def __init__(self, path: str):
        self._path = path
        with open_file(path) as file:
            parquet = parquet_files.open_parquet(file)
            self._metadata, self._schema = parquet.metadata, parquet.schema_arrow
        self.num_entries = self._metadata.num_row_groups
        self._default = next(iter(parquet_files.image_columns(self._schema)), "")
        self._columns: dict[str, parquet_files.ImageColumn] = {}
        self._lock = threading.RLock()

    def members(self, column: str | None = None) -> Iterator[tuple[str, int]]:
        """See `Container`; none of a column that has names of files."""
        name = column or self._default
        if self._bytes_path(name):
            images = self.column(name)
            yield from ((self.member(name, row), images.mean_size(row)) for row in range(images.num_rows))

    @contextlib.contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """Opens the file to read other columns.

        Raises:
          DamagedContainerError: of the block: it is cut or damaged.
        """
        with _naming(self._path), open_file(self._path) as file, parquet_files.arrow_errors():
            yield parquet_files.open_parquet(file, self._metadata)

    def member(self, column: str, row: int) -> str:
        """The member that a row of a column is."""
        return str(row) if column == self._default else f"{column}/{row}"

    def column(self, name: str) -> parquet_files.ImageColumn:
        """The images of a column.

        Raises:
          FileNotFoundError: there is no such column of images.
        """
        with self._lock:
            if name not in self._columns:
                bytes_path = self._bytes_path(name)
                if bytes_path is None:
                    raise no_such_image(self._path, name)
                self._columns[name] = parquet_files.ImageColumn(self._path, self._metadata, bytes_path)
            return self._columns[name]

    def size(self, member: str) -> int | None:
        """See `Container`."""
        try:
            column, row = self._parse(member)
        except FileNotFoundError:
            return None
        return column.mean_size(row)

    def read(self, member: str) -> bytes:
        """See `Container`."""
        column, row = self._parse(member)
        with self._lock:
            return column.read(row)

    def _bytes_path(self, column: str) -> str | None:
        return parquet_files.bytes_path(self._schema.field(column)) if column in self._schema.names else None

    def _parse(self, member: str) -> tuple[parquet_files.ImageColumn, int]:
        name, _, row = member.rpartition("/")
        if row.isascii() and row.isdecimal():
            column = self.column(name or self._default)
            if int(row) < column.num_rows:
                return column, int(row)
        raise no_such_image(self._path, member)


_open: dict[str, tuple[Version, Container]] = {}  # path -> its version and its index; the last one used at the end
_lock = threading.RLock()
_directories: set[str] = set()  # what is known to be one
_copied: dict[str, int] = {}  # archive in a bucket -> size of its copy
_entries: dict[str, tuple[float, Entry]] = {}  # path in a bucket -> when it was asked for, and the answer


def open_container(path: str) -> Container | None:
    """Returns a container as it is now; None if the file is none.

    Raises:
      OSError: it is missing, damaged, or can't be read.
    """
    entry = entry_of(path)
    key = entry.size, entry.version
    with _lock:
        known = _open.pop(path, None)
        if known is None or known[0] != key:
            container = _read_index(path, entry)
            if container is None:
                return None
            known = key, container
            held = container.num_entries + sum(other.num_entries for _, other in _open.values())
            while _open and held > MAX_HELD:
                held -= _open.pop(next(iter(_open)))[1].num_entries
        _open[path] = known
        return known[1]


def entry_of(path: str) -> Entry:
    """The entry of a container; of one in a bucket, as it was up to `ENTRY_SECONDS` ago.

    Raises:
      FileNotFoundError: there is no such file.
    """
    now = time.monotonic()
    known = _entries.get(path)
    if known is not None and now - known[0] < ENTRY_SECONDS:
        return known[1]
    entry = storage.stat(path)
    if entry is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if not storage.is_local(path):
        _entries[path] = now, entry
    return entry


def _read_index(path: str, entry: Entry) -> Container | None:
    with open_file(path) as file:
        head = file.read(_HEAD)
    with _naming(path):
        if head.startswith(parquet_files.MAGIC):
            return ParquetContainer(path)
        return TarContainer(path, _near(path, entry)) if tar_files.is_tar(head) else None


def _near(path: str, entry: Entry) -> str:
    """The path of an archive, or of its copy on the disk: its headers lie between the images, a request for each."""
    if storage.is_local(path) or sum(_copied.values()) + entry.size > MAX_COPIED:
        return path
    _copied[path] = entry.size
    return node_cache.file(path, entry)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Adds the container's path to the errors of a block."""
    try:
        yield
    except DamagedContainerError as error:
        raise DamagedContainerError(f"{path}: {error}. Download it again, or write it again") from None


def locate(path: str) -> tuple[str, str] | None:
    """Divides a member's path into those of the container and in it; None if the path leads into no file."""
    above = os.path.dirname(path)
    while above and above not in _directories:
        if above in _open:
            return above, path[len(above) + 1 :]
        entry = storage.stat(above)
        if entry is None:
            above = os.path.dirname(above)
        elif entry.is_directory:
            _directories.add(above)
        else:
            return above, path[len(above) + 1 :]
    return None


def read_member(path: str) -> bytes | None:
    """Reads a member; None if the path leads into no file.

    Raises:
      FileNotFoundError: it leads into a file that is no container, or has no such member.
      OSError: it can't be read.
    """
    if (place := locate(path)) is None:
        return None
    container = open_container(place[0])
    if container is None:
        raise no_such_image(*place)
    return container.read(place[1])


def reading_order(path: str) -> tuple[str, int]:
    """A key by which images are sorted so that a container is read from its beginning to its end.

    >>> sorted(["b.jpg", "a.parquet/10", "a.parquet/9"], key=reading_order)
    ['a.parquet/9', 'a.parquet/10', 'b.jpg']
    """
    container, _, row = path.rpartition("/")
    return (container, int(row)) if row.isascii() and row.isdecimal() else (path, 0)
