"""The seam to storage: what lies outside a step's scratch directory is read, listed, written and deleted here.

A location is a path, or a URI of any file system that fsspec knows: `s3://bucket/root`, `gs://bucket/root`. Reading
something that does not exist raises FileNotFoundError, other failures another OSError. TensorFlow is not loaded.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from components.shared import locks, object_store
from components.shared.storage_entry import Entry

PARALLEL_COPIES = 8  # of files to or from a bucket
_PARTIAL = ".partial"  # end of the name of a file that is being written
_CHUNK = 2**24  # bytes that are read at a time


@contextlib.contextmanager
def atomic_write(path: str, durable: bool = True) -> Iterator[str]:
    """Yields a temporary file on the disk, which becomes `path` when the block succeeds.

    A reader, and a run that resumes after a crash, therefore never meets half a file under its real name: even after a
    power cut, since a disk has its bytes before it has its name. In a bucket the object appears when its upload is
    complete.

    Args:
      path: the file; its directory is created if need be.
      durable: whether to wait until the file is on the disk. Who writes hundreds of small files waits once, at the end.

    Yields:
      the path to write to.
    """
    if not is_local(path):
        from components.shared import node_cache  # which imports this module

        with node_cache.scratch() as scratch:  # where the next process removes what a killed one leaves
            partial = os.path.join(scratch, os.path.basename(path))
            yield partial
            object_store.upload(partial, path)
        return
    directory, name = os.path.split(path)
    make_directory(directory)
    # the leading dot keeps partial files of a killed process out of every glob
    partial = os.path.join(directory, f".{name}.{uuid.uuid4().hex}{_PARTIAL}")
    with _locked(partial):
        try:
            yield partial
            if durable:
                sync(partial)
            os.replace(partial, path)
            if durable:
                sync(directory)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(partial)


def remove_partials(directory: str) -> None:
    """Deletes the temporary files that killed processes have left of `atomic_write` in a directory and below it.

    What another process is writing at the moment is kept: it holds a lock on it. In a bucket there are none.
    """
    if not is_local(directory):
        return
    for folder, _, names in os.walk(directory):
        for name in names:
            if name.startswith(".") and name.endswith(_PARTIAL):
                path = os.path.join(folder, name)
                with locks.exclusive(path, if_unsupported=False) as is_abandoned:
                    if is_abandoned:
                        remove(path)


def write_text(path: str, text: str) -> None:
    """Writes a small text file (UTF-8) atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: str, data: bytes) -> None:
    """Writes a small file atomically."""
    if not is_local(path):
        object_store.write_bytes(path, data)
        return
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write(data)


def write_json(path: str, value: Any) -> None:
    """Writes a small JSON file atomically, its keys sorted."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True))


def open_for_reading(path: str, block_bytes: int = _CHUNK) -> BinaryIO:
    """Opens a file for reading at any position.

    Args:
      path: the file.
      block_bytes: how much of an object is read ahead where something of it is read.
    """
    return open(path, "rb") if is_local(path) else object_store.open_for_reading(path, block_bytes)


def read_bytes(path: str) -> bytes:
    """Reads a whole file."""
    if not is_local(path):
        return object_store.read_bytes(path)
    with open(path, "rb") as file:
        return file.read()


def read_many(paths: Sequence[str]) -> Iterator[bytes | OSError]:
    """Reads whole files, of a bucket several at a time.

    Args:
      paths: all on a disk, or all in one bucket.

    Yields:
      the bytes of each file, in their order, or the error of one that is missing or, on a disk, can't be read.

    Raises:
      StorageError: the bucket can't be read, though the file may be there.
    """
    if paths and not is_local(paths[0]):
        yield from object_store.read_many(paths)
        return
    for path in paths:
        try:
            data: bytes | OSError = read_bytes(path)
        except OSError as error:
            data = error
        yield data


def read_text(path: str) -> str:
    """Reads a whole text file (UTF-8)."""
    return read_bytes(path).decode()


def read_json(path: str) -> Any:
    """Reads a JSON file.

    Raises:
      ValueError: it is not JSON, as after a crash of the machine; the message names the file.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error


def sha256(path: str) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open_for_reading(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def stat(path: str) -> Entry | None:
    """The entry of a file or directory; None if there is neither."""
    if not is_local(path):
        return object_store.stat(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _entry(os.path.basename(path), status, os.path.isdir(path))


def exists(path: str) -> bool:
    """Whether there is a file or directory."""
    return stat(path) is not None


def is_directory(path: str) -> bool:
    """Whether there is a directory."""
    entry = stat(path)
    return entry is not None and entry.is_directory


def size(path: str) -> int | None:
    """Bytes of a file; None if it does not exist."""
    entry = stat(path)
    return None if entry is None else entry.size


def make_directory(path: str) -> None:
    """Creates a directory with those above it; in a bucket there is nothing to create.

    Raises:
      UnicodeEncodeError: the name is not UTF-8, and neither TensorFlow nor ML Metadata take it.
    """
    if is_local(path):
        path.encode()
        os.makedirs(path or ".", exist_ok=True)


def list_names(directory: str) -> list[str]:
    """The sorted names of a directory's entries; none if it does not exist."""
    if not is_local(directory):
        return [entry.name for entry in object_store.list_directory(directory)]
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_files(directory: str) -> list[str]:
    """The sorted paths of all files below a directory, relative to it; none if it does not exist."""
    if not is_local(directory):
        return sorted(object_store.list_tree(directory))
    return sorted(
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, names in os.walk(directory)
        for name in names
    )


def list_entries(directory: str) -> dict[str, Entry]:
    """All files below a directory: path relative to it -> entry; in a bucket by listings alone."""
    if not is_local(directory):
        return object_store.list_tree(directory)
    entries = {name: stat(os.path.join(directory, name)) for name in list_files(directory)}
    return {name: entry for name, entry in entries.items() if entry is not None}


def total(path: str) -> Entry | None:
    """Measures a file, or a directory with all that is in it.

    Returns:
      an entry with the size of all files, and the time when any of them was last modified; None where something is
      removed meanwhile, or does not exist.
    """
    itself = stat(path)
    if itself is None:
        return None
    parts: list[Entry | None] = [itself]
    if itself.is_directory:
        parts += _tree(path)
    entries = [entry for entry in parts if entry is not None]
    if len(entries) < len(parts):
        return None
    return Entry(
        itself.name, sum(entry.size for entry in entries), max(entry.mtime for entry in entries), itself.is_directory
    )


def remove(path: str) -> None:
    """Deletes a file, or a directory with all that is in it; no error if it does not exist."""
    if not is_local(path):
        object_store.remove(path)
        return
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


def copy(source: str, target: str) -> None:
    """Copies a file, whole or not at all; either may be in a bucket."""
    if is_local(source) and not is_local(target):
        object_store.upload(source, target)
        return
    with atomic_write(target, durable=False) as partial:
        if is_local(source):
            shutil.copyfile(source, partial)
        else:
            object_store.download(source, partial)


def copy_tree(source: str, target: str, last: Sequence[str] = ()) -> None:
    """Copies all files below a directory; either may be in a bucket, where several are copied at a time.

    Args:
      source: the directory.
      target: the directory that they are copied into.
      last: relative paths of files without which the others do not count: they are copied when the others are there,
        in this order.
    """
    names = set(list_files(source))

    def copy_file(name: str) -> None:
        copy(os.path.join(source, name), os.path.join(target, name))

    in_bucket = not (is_local(source) and is_local(target))
    with concurrent.futures.ThreadPoolExecutor(PARALLEL_COPIES if in_bucket else 1) as pool:
        for _ in pool.map(copy_file, sorted(names.difference(last))):
            pass
    for name in last:
        if name in names:
            copy_file(name)


def is_local(path: str) -> bool:
    """Whether a path is on a disk, as opposed to a bucket."""
    return "://" not in path


def absolute(path: str) -> str:
    """The absolute path of a file or directory; a URI is one."""
    return os.path.abspath(path) if is_local(path) else path


def sync(path: str) -> None:
    """Waits until a file, or the names in a directory, are on the disk, where there is a disk."""
    if not is_local(path):
        return
    is_file = os.path.isfile(path)
    if not is_file and not os.path.isdir(path):
        return  # a link that leads nowhere
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # some file systems refuse to do it for a directory, and need not
        with contextlib.nullcontext() if is_file else contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: str) -> None:
    """Waits until all files below a directory, their names, and its own name are on the disk."""
    if not is_local(directory):
        return
    for folder, _, names in os.walk(directory, topdown=False):
        for path in (*(os.path.join(folder, name) for name in names), folder):
            sync(path)
    sync(os.path.dirname(os.path.abspath(directory)))


@contextlib.contextmanager
def _locked(partial: str) -> Iterator[None]:
    """Creates a file and locks it while the block runs, so that `remove_partials` knows that its writer is alive."""
    if not is_local(partial):
        yield
        return
    with open(partial, "wb"):
        pass
    with locks.exclusive(partial, wait=True):
        yield


def _tree(directory: str) -> list[Entry | None]:
    """The entries of all files below a directory; None in the place of one that is removed meanwhile."""
    if not is_local(directory):
        return list(object_store.list_tree(directory).values())
    return [stat(os.path.join(folder, name)) for folder, _, names in os.walk(directory) for name in names]


def _entry(name: str, status: os.stat_result, is_directory: bool) -> Entry:
    size = 0 if is_directory else status.st_size
    return Entry(name, size, status.st_mtime_ns / 1e9, is_directory, str(status.st_mtime_ns))
