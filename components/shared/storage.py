"""The seam to storage: what lies outside a step's scratch directory is read, listed, written and deleted here.

A path may be on any file system that TensorFlow knows. Reading something that does not exist raises
FileNotFoundError.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from components.shared import locks

_PARTIAL = ".partial"  # end of the name of a file that is being written
_CHUNK = 2**24  # bytes that are read at a time
# TensorFlow's errors where a disk or a server fails; those of a file that is missing or damaged are others
_TRANSIENT = (
    tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError, tf.errors.UnavailableError, tf.errors.UnknownError,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of a directory.

    Attributes:
      name: its name in the directory.
      size: bytes of a file; 0 for a directory.
      mtime: time of the last modification, in seconds since 1970.
      is_directory: whether it is a directory.
    """

    name: str
    size: int
    mtime: float
    is_directory: bool = False


@contextlib.contextmanager
def atomic_write(path: str, durable: bool = True) -> Iterator[str]:
    """Yields a temporary path beside `path`, and renames it to `path` when the block succeeds.

    A reader, and a run that resumes after a crash, therefore never meets half a file under its real name: even after a
    power cut, since a disk has its bytes before it has its name.

    Args:
      path: the file; its directory is created if need be.
      durable: whether to wait until the file is on the disk. Who writes hundreds of small files waits once, at the end.

    Yields:
      the path to write to.
    """
    directory, name = os.path.split(path)
    tf.io.gfile.makedirs(directory)
    # the leading dot keeps partial files of a killed process out of every glob
    partial = os.path.join(directory, f".{name}.{uuid.uuid4().hex}{_PARTIAL}")
    with _locked(partial):
        try:
            yield partial
            if durable:
                sync(partial)
            tf.io.gfile.rename(partial, path, overwrite=True)
            if durable:
                sync(directory)
        finally:
            if tf.io.gfile.exists(partial):
                tf.io.gfile.remove(partial)


def remove_partials(directory: str) -> None:
    """Deletes the temporary files that killed processes have left of `atomic_write` in a directory and below it.

    What another process is writing at the moment is kept: it holds a lock on it. On an object store there are none.
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
    with atomic_write(path) as partial, tf.io.gfile.GFile(partial, "w") as file:
        file.write(text)


def write_bytes(path: str, data: bytes) -> None:
    """Writes a small file atomically."""
    with atomic_write(path) as partial, tf.io.gfile.GFile(partial, "wb") as file:
        file.write(data)


def write_json(path: str, value: Any) -> None:
    """Writes a small JSON file atomically, its keys sorted."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True))


def read_bytes(path: str) -> bytes:
    """Reads a whole file."""
    with _not_found(), tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


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
    with _not_found(), tf.io.gfile.GFile(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_transient(error: BaseException) -> bool:
    """Whether an error while reading may pass: the file is there, as far as is known, and could not be read."""
    if isinstance(error, OSError):
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        return not is_missing and error.errno is not None  # libraries raise it without a number for a damaged file
    return isinstance(error, _TRANSIENT)


def exists(path: str) -> bool:
    """Whether there is a file or directory."""
    return tf.io.gfile.exists(path)


def is_directory(path: str) -> bool:
    """Whether there is a directory."""
    return tf.io.gfile.isdir(path)


def size(path: str) -> int | None:
    """Bytes of a file; None if it does not exist."""
    entry = _stat(path)
    return None if entry is None else entry.size


def list_names(directory: str) -> list[str]:
    """The sorted names of a directory's entries; none if it does not exist."""
    try:
        return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(directory))
    except tf.errors.NotFoundError:
        return []


def list_files(directory: str) -> list[str]:
    """The sorted paths of all files below a directory, relative to it; none if it does not exist."""
    return sorted(
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, names in tf.io.gfile.walk(directory)
        for name in names
    )


def total(path: str) -> Entry | None:
    """Measures a file, or a directory with all that is in it.

    Returns:
      an entry with the size of all files, and the time when any of them was last modified; None where something is
      removed meanwhile, or does not exist.
    """
    paths = [path, *(os.path.join(folder, name) for folder, _, names in tf.io.gfile.walk(path) for name in names)]
    entries = [entry for entry in map(_stat, paths) if entry is not None]
    if len(entries) < len(paths):
        return None
    size, mtime = sum(entry.size for entry in entries), max(entry.mtime for entry in entries)
    return dataclasses.replace(entries[0], size=size, mtime=mtime)


def remove(path: str) -> None:
    """Deletes a file, or a directory with all that is in it; no error if it does not exist."""
    with contextlib.suppress(tf.errors.NotFoundError):  # another process was faster
        if tf.io.gfile.isdir(path):
            tf.io.gfile.rmtree(path)
        else:
            tf.io.gfile.remove(path)


def is_local(path: str) -> bool:
    """Whether a path is on a disk, as opposed to an object store."""
    return "://" not in path


def sync(path: str) -> None:
    """Waits until a file, or the names in a directory, are on the disk; an object store needs none of it."""
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


def _stat(path: str) -> Entry | None:
    try:
        stat = tf.io.gfile.stat(path)
    except tf.errors.NotFoundError:
        return None
    length = 0 if stat.is_directory else stat.length
    return Entry(os.path.basename(path), length, stat.mtime_nsec / 1e9, stat.is_directory)


@contextlib.contextmanager
def _not_found() -> Iterator[None]:
    """Turns TensorFlow's error into Python's."""
    try:
        yield
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(error.message) from error
