"""The outline of a bucket's data: a directory on this machine's disk with the names and sizes of all objects.

Texts, in which captions and lists are looked for, have their contents in it. All other files are empty blocks of the
size of their object: images and containers are read from the bucket. An unchanged bucket costs one paged listing, and
a changed one its new texts.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import posixpath
from collections.abc import Mapping, Sequence

from components.caption_ingest.candidate_files import BINARY_SUFFIXES
from components.caption_ingest.encodings import find_encoding
from components.caption_ingest.files import is_printable
from components.caption_ingest.formats.base import HEAD_BYTES, MAX_TEXT_BYTES, Head, Source
from components.shared import node_cache, object_store
from components.shared.disk_cache import DiskCache, entry_name
from components.shared.progress import Progress
from components.shared.storage_entry import Entry

MAX_BYTES = 2**30  # of all outlines on a disk
FILE_BYTES = 4096  # that a file without contents counts for
# of files that are texts, as far as their names tell
TEXT_SUFFIXES = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".token", ".caption"}
MAX_NAME_BYTES = 255  # of a file's name
_ATTEMPTS = 3
_OBJECTS, _FILES = "objects.json", "files"  # in an outline: what it was made of, and the directory itself


class ChangingTextsError(OSError):
    """The texts of a bucket change whenever they are read."""


@dataclasses.dataclass(frozen=True)
class Outline:
    """An outline.

    Attributes:
      path: the directory.
      versions: path of a file below it -> the version of its object.
      warnings: what is told of objects that are left out.
    """

    path: str
    versions: Mapping[str, str]
    warnings: tuple[str, ...]


class _ChangedError(Exception):
    """A text is not the one that was listed."""


def find(uri: str, stated_encoding: str | None = None) -> Outline:
    """Finds the outline of a bucket on the disk, or writes it.

    Args:
      uri: the prefix.
      stated_encoding: the encoding of texts without a byte-order mark; None for UTF-8.

    Raises:
      FileNotFoundError: there are no objects.
      ChangingTextsError: texts change whenever they are read.
      NodeCacheError: it can't be written.
      StorageError: the bucket can't be read.
    """
    cache = DiskCache(os.path.join(node_cache.directory(), "outlines"))
    for _ in range(_ATTEMPTS):
        listed = object_store.list_tree(uri)
        if not listed:
            raise FileNotFoundError(f"data.dir: {uri} is not a directory")
        objects, unusable = _usable(listed)
        with contextlib.suppress(_ChangedError):
            path = _Writer(cache, uri, objects, stated_encoding).run()
            versions = {name: entry.version for name, entry in objects.items()}
            return Outline(path, versions, _warnings(uri, unusable))
    raise ChangingTextsError(f"data.dir: {uri} changes while its texts are read; run again when nobody writes to it")


def _usable(objects: Mapping[str, Entry]) -> tuple[dict[str, Entry], list[str]]:
    """The objects that can be files below a directory, and the names of the others."""
    directories: set[str] = set()
    for name in objects:
        while (name := posixpath.dirname(name)) and name not in directories and name != "/":
            directories.add(name)
    usable = {name: entry for name, entry in objects.items() if name not in directories and _is_path(name)}
    return usable, [name for name in objects if name not in usable]


def _is_path(name: str) -> bool:
    r"""Whether a name is a path that leads nowhere but below a directory.

    >>> [_is_path(name) for name in ("a/b.jpg", "a/../../b", "/b", "a//b", "a/./b", "a\n.txt", "é" * 128)]
    [True, False, False, False, False, False, False]
    """
    return is_printable(name) and all(
        part not in ("", ".", "..") and len(part.encode()) <= MAX_NAME_BYTES for part in name.split("/")
    )


def _warnings(uri: str, unusable: Sequence[str]) -> tuple[str, ...]:
    if not unusable:
        return ()
    return (
        f"{len(unusable)} objects of {uri} are skipped, such as {unusable[0]!a}: a file can't have the name of a "
        f"directory, more than {MAX_NAME_BYTES} bytes in a part, control characters, or parts that are empty, . or ..",
    )


def _may_be_text(name: str) -> bool:
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return not is_hidden and posixpath.splitext(name)[1].lower() not in BINARY_SUFFIXES


class _Writer:
    """Writes the outline of some objects, unless it is there."""

    def __init__(self, cache: DiskCache, uri: str, objects: Mapping[str, Entry], stated_encoding: str | None):
        self._cache, self._uri, self._objects, self._encoding = cache, uri, objects, stated_encoding
        self._rows = {name: [entry.size, entry.version] for name, entry in objects.items()}
        # the outlines of one bucket begin with the same digits
        self._family = hashlib.sha256(json.dumps([uri, stated_encoding]).encode()).hexdigest()[:16]
        digest = hashlib.sha256(json.dumps(sorted(self._rows.items())).encode()).hexdigest()[:32]
        self._num_bytes = FILE_BYTES * len(objects) + sum(
            entry.size if posixpath.splitext(name)[1].lower() in TEXT_SUFFIXES else min(entry.size, HEAD_BYTES)
            for name, entry in objects.items()
            if _may_be_text(name)
        )
        self._name = entry_name(f"{self._family}{digest}", self._num_bytes)

    def run(self) -> str:
        """Returns the outline's directory.

        Raises:
          _ChangedError: a text changes while it is read.
        """
        directory = self._cache.path(self._name)

        def is_complete() -> bool:
            return os.path.exists(os.path.join(directory, _OBJECTS))

        with node_cache.explaining_disk_errors(self._cache.directory, self._uri, self._num_bytes):
            if self._cache.ask_for({self._name: is_complete}):
                self._cache.make_room(self._num_bytes, MAX_BYTES)
                with self._cache.writing(self._name, is_complete) as folder:
                    if folder:
                        self._write(folder)
        return os.path.join(directory, _FILES)

    def _write(self, folder: str) -> None:
        files = os.path.join(folder, _FILES)
        for directory in {posixpath.dirname(name) for name in self._objects}:
            os.makedirs(os.path.join(files, directory), exist_ok=True)
        new = self._link_unchanged(files)
        for name in new:
            descriptor = os.open(os.path.join(files, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.ftruncate(descriptor, self._objects[name].size)
            os.close(descriptor)
        self._read_texts(files, [name for name in new if _may_be_text(name) and self._objects[name].size])
        with open(os.path.join(folder, _OBJECTS), "w") as file:
            json.dump(self._rows, file)

    def _link_unchanged(self, files: str) -> list[str]:
        """Links what the last outline of the bucket has, too; returns the names of all other objects."""
        previous, rows = self._previous()
        new = []
        for name, row in self._rows.items():
            try:
                if rows.get(name) != row:
                    raise FileNotFoundError
                os.link(os.path.join(previous, _FILES, name), os.path.join(files, name))
            except OSError:  # it is deleted meanwhile, or the disk has no links
                new.append(name)
        return new

    def _previous(self) -> tuple[str, dict[str, list]]:
        """The last outline of the bucket and what it was made of."""
        entries = os.path.dirname(self._cache.path(self._name))
        with contextlib.suppress(OSError, ValueError):
            others = [entry for entry in os.scandir(entries) if entry.name.startswith(self._family)]
            last = max(others, key=lambda entry: entry.stat().st_mtime_ns, default=None)
            if last is not None:
                with open(os.path.join(last.path, _OBJECTS)) as file:
                    return last.path, json.load(file)
        return "", {}

    def _read_texts(self, files: str, names: Sequence[str]) -> None:
        """Reads the beginnings of files, and all of those that turn out to be texts."""
        names = sorted(names, key=lambda name: self._objects[name].size > HEAD_BYTES)  # whole ones first
        num_small = sum(self._objects[name].size <= HEAD_BYTES for name in names)
        uris = [posixpath.join(self._uri, name) for name in names]
        progress = Progress("texts", len(names))
        starts = itertools.chain(
            object_store.read_many(uris[:num_small]), object_store.read_many(uris[num_small:], HEAD_BYTES)
        )
        for name, uri, data in zip(names, uris, starts, strict=True):
            size, path = self._objects[name].size, os.path.join(files, name)
            if not isinstance(data, bytes) or len(data) != min(size, HEAD_BYTES):
                raise _ChangedError
            with open(path, "r+b") as file:
                file.write(data)
            if len(data) < size <= MAX_TEXT_BYTES and self._is_text(path):
                object_store.download(uri, path)
            is_whole = len(data) == size
            if not object_store.is_version(uri, data if is_whole else None, self._objects[name].version):
                raise _ChangedError
            progress.update()

    def _is_text(self, path: str) -> bool:
        text = pathlib.Path(path)
        return bool(Head.of(Source(text, find_encoding(text, self._encoding))).lines)
