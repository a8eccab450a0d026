"""Archives in a data directory that nobody has unpacked: which of them has an image that the captions name."""

import bz2
import gzip
import io
import lzma
import os
import posixpath
import shlex
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import IO, Any

from absl import logging

from components.caption_ingest.names import IMAGE_SUFFIXES, loose_stem
from components.shared.images import tar_files
from components.shared.images.container_files import open_file
from components.shared.object_store import StorageError

MAX_ARCHIVES = 8  # that are listed
MAX_MEMBERS = 200_000  # of each
MAX_LISTING = 32 * 2**20  # bytes of a zip's directory, and the bytes of a compressed tar that are unpacked to list it
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 2**16 + 22  # the end of a zip's directory, behind which a comment may stand
# what the libraries raise at a damaged archive
_BROKEN = (
    *(OSError, EOFError, ValueError, NotImplementedError),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_OPEN: dict[str, Callable[[IO[bytes]], Any]] = {
    **dict.fromkeys((".gz", ".tgz"), gzip.open),
    **dict.fromkeys((".bz2", ".tbz2"), bz2.open),
    **dict.fromkeys((".xz", ".txz"), lzma.open),
}
_COMMANDS = {  # suffix -> how it is unpacked
    ".zip": "unzip",
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"), "tar -xf"),
    ".7z": "7z x",
    ".rar": "unrar x",
}
_UNLISTED = ("7z x", "unrar x")  # formats that the standard library does not read


def way_out(path: str) -> str:
    """How to unpack an archive; "" for a file that is none by its name.

    >>> way_out("my images.tar.gz")
    "unpack it, as with tar -xf 'my images.tar.gz'"
    """
    command = _COMMANDS.get(_suffix(path), "")
    return f"unpack it, as with {command} {shlex.quote(path)}" if command else ""


def find_packed(data_dir: str, paths: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Finds the archives that have images which no file is.

    Args:
      data_dir: the data directory, a path or a URI.
      paths: the files below it, without containers that are read.
      names: names of images in captions.

    Returns:
      name -> a sentence about its archive; names that no archive has are missing.
    """
    archives = sorted(path for path in paths if way_out(path))[:MAX_ARCHIVES]
    if not archives or not names:
        return {}
    hints: dict[str, str] = {}
    unlisted = [path for path in archives if _COMMANDS[_suffix(path)] in _UNLISTED]
    archive_of: dict[str, str] = {}
    for path in archives:
        if path not in unlisted:
            for member in _members(data_dir, path):
                archive_of.setdefault(loose_stem(member), path)
    for name in names:
        if archive := archive_of.get(loose_stem(name)):
            hints[name] = f"{archive} has it: {way_out(archive)}"
        elif unlisted:
            hints[name] = f"perhaps {unlisted[0]} has it: {way_out(unlisted[0])}"
    return hints


def _members(data_dir: str, path: str) -> Iterator[str]:
    """Yields the images in an archive, as far as the bounds and its state allow."""
    try:
        for number, name in enumerate(_listing(os.path.join(data_dir, path))):
            if number >= MAX_MEMBERS:
                return
            if posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                yield name
    except StorageError:
        raise
    except _BROKEN as error:
        logging.warning("can't list all of %s: %s", path, error)


def _listing(path: str) -> Iterator[str]:
    suffix = _suffix(path)
    if suffix == ".zip":
        yield from _zip_listing(path)
    elif suffix == ".tar":
        with open_file(path) as file:
            yield from (member.name for member in tar_files.walk(file))
    else:
        with (
            open_file(path) as file,
            _OPEN[f".{suffix.rpartition('.')[2]}"](file) as compressed,
            tarfile.open(fileobj=_Bounded(compressed), mode="r|") as archive,
        ):
            for member in archive:
                yield member.name


def _zip_listing(path: str) -> Iterator[str]:
    """Yields the members of a zip unless its directory, which is held in memory, is larger than a data set's."""
    with open_file(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _ZIP_END_BYTES))
        _, _, end = file.read().rpartition(_ZIP_END)
        if int.from_bytes(end[8:12], "little") > MAX_LISTING:
            logging.warning("can't list all of %s: it has more than %d bytes of names", path, MAX_LISTING)
            return
        with zipfile.ZipFile(file) as archive:
            yield from archive.namelist()


class _Bounded(io.RawIOBase):
    """Reads no more than `MAX_LISTING` bytes of what another file unpacks."""

    def __init__(self, file: IO[bytes]):
        self._file, self._left = file, MAX_LISTING

    def read(self, size: int = -1) -> bytes:
        """Reads up to `size` bytes; none behind the bound."""
        data = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        return data


def _suffix(path: str) -> str:
    """The suffix of an archive in lower case, `.tar.gz` as a whole; "" of other files, as of `names.gz`."""
    stem, suffix = posixpath.splitext(path.lower())
    if suffix in (".gz", ".bz2", ".xz"):
        suffix = f".tar{suffix}" if stem.endswith(".tar") else ""
    return suffix if suffix in _COMMANDS else ""
