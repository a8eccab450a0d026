"""The files of a data directory as the file system shows them, unread, and which of them a caption means."""

import collections
import dataclasses
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from absl import logging


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """A file as the file system shows it, unread.

    Attributes:
      uri: path below the data directory, with forward slashes.
      size: bytes.
      mtime_ns: modification time, nanoseconds.
      outside: it is a link, or below one, that leads out of the data directory.
    """

    uri: str
    size: int
    mtime_ns: int
    outside: bool = False


@dataclasses.dataclass(frozen=True)
class Files:
    """The files below a data directory.

    Attributes:
      by_path: path below the directory -> file; through links inside it a file may have several paths.
      by_name: file name -> paths of the different files of that name, sorted.
    """

    by_path: Mapping[str, PictureFile]
    by_name: Mapping[str, Sequence[str]]

    def named(self, image_id: str) -> Sequence[str]:
        """Paths of the files that a name can mean which is no path itself: that end in it, else that are called so."""
        namesakes = self.by_name.get(os.path.basename(image_id), ())
        return [path for path in namesakes if path.endswith(f"/{image_id}")] or namesakes


def scan(data_dir: str) -> Files:
    """Lists the files of a data directory, at any depth, without reading them.

    Hidden files are left out, and, with a warning, what can't be looked at and names that are not UTF-8 or have
    control characters, which no caption can name.
    """
    real_root = os.path.realpath(data_dir)
    by_path, real_paths = {}, {}
    for file, real in sorted(_walk(data_dir, real_root), key=lambda found: found[0].uri):
        by_path[file.uri] = file
        real_paths[file.uri] = real
    by_name: dict[str, list[str]] = collections.defaultdict(list)
    for path, real in real_paths.items():
        one = real if real in by_path else path  # a link and the file that it leads to are one
        namesakes = by_name[path.rpartition("/")[2]]
        if one not in namesakes:
            namesakes.append(one)
    return Files(by_path, by_name)


def _walk(data_dir: str, real_root: str) -> Iterator[tuple[PictureFile, str]]:
    """Every file with its real path below the directory; "" where that is outside.

    A directory is entered once on its own path and once through a link, so that links in circles come to an end. Of one
    that a link shows outside of the data directory only the files are listed.
    """
    waiting = [("", real_root, False)]  # path, real path, reached through a link
    entered = set()
    while waiting:
        below, real_directory, linked = waiting.pop()
        is_outside = not _is_below(real_directory, real_root)
        for entry in sorted(readable(os.path.join(data_dir, below)), key=lambda entry: entry.name, reverse=True):
            uri = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith("."):
                continue
            is_link = entry.is_symlink()
            real = os.path.realpath(entry.path) if is_link else f"{real_directory}/{entry.name}"
            if entry.is_dir():
                by_link = linked or is_link
                if is_outside:
                    logging.warning("not looked into, as it is outside of the data directory: %s", uri)
                elif not by_link or real not in entered:
                    entered.update([real] if by_link else [])
                    waiting.append((uri, real, by_link))
            elif entry.is_file():
                stat = entry.stat()
                outside = is_outside or not _is_below(real, real_root)
                yield (
                    PictureFile(uri, stat.st_size, stat.st_mtime_ns, outside),
                    "" if outside else real[len(real_root) :].lstrip("/"),
                )


def _is_below(real_path: str, real_root: str) -> bool:
    return real_path == real_root or real_path.startswith(real_root.rstrip("/") + "/")


def readable(directory: str) -> list[os.DirEntry]:
    """The files and directories in a directory.

    Names that are not UTF-8 or have control characters, and a directory that can't be read, as `lost+found`, are left
    out with a warning.
    """
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if _is_text(entry) and _is_there(entry)]
    except OSError as error:
        logging.warning("left out: %s: %s", os.fsencode(directory), error.strerror)
        return []


def _is_there(entry: os.DirEntry) -> bool:
    """Whether it can be looked at: a link to itself can't."""
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:
        return False


def _is_text(entry: os.DirEntry) -> bool:
    """Whether a name that the file system gave is text, with no bytes that Python had to escape."""
    if is_plain(entry.name):
        return True
    logging.warning("left out, as its name is not UTF-8 or has control characters: %s", os.fsencode(entry.path))
    return False


def is_plain(name: str) -> bool:
    r"""Whether a name has no characters that steer a terminal, or are none; blanks of all scripts are fine.

    >>> [is_plain(name) for name in ("a b.jpg", "a\N{NARROW NO-BREAK SPACE}b.jpg", "a\x1b[2J.jpg", "\udce9.jpg")]
    [True, True, False, False]
    """
    # nearly all names are decided at once, and each caption has one
    return name.isprintable() or all(each.isprintable() or unicodedata.category(each) == "Zs" for each in name)
