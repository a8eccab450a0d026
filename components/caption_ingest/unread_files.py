"""What the files are in which no captions are found, for the message that there are none."""

import itertools
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from components.caption_ingest.candidate_files import is_outside
from components.caption_ingest.encodings import find_encoding
from components.caption_ingest.files import scan_readable
from components.caption_ingest.formats import FORMATS
from components.caption_ingest.formats.base import Head, Source
from components.caption_ingest.names import IMAGE_SUFFIXES
from components.caption_ingest.unread_containers import CONTAINER_SUFFIXES, LFS_WAY_OUT
from components.caption_ingest.unread_records import stem, why_no_records
from components.shared.images.signatures import LFS_POINTER

MAX_NAMED = 4  # files
MAX_LISTED = 200_000  # files of the directory
MAX_DEEP = 50  # files below the searched levels that are looked into
_SPREADSHEETS = {".xlsx", ".xls", ".ods", ".numbers"}
_TEXTS = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".token", ".parquet", ".tar"}
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
_ARROW = "an Arrow file, which is not read; write Parquet, as with load_from_disk(DIR)[SPLIT].to_parquet(FILE)"
_KINDS = {
    b"ARROW1": _ARROW,
    b"\xff\xff\xff\xff": _ARROW,
    b"\x80": "a pickle, which is not read, since that may run code; write it as CSV or JSON",
    b"\x93NUMPY": "a NumPy array, which is not read; write it as CSV or JSON",
    b"\x89HDF": "HDF5, which is not read; write it as CSV or JSON",
    b"MATLAB": "a MATLAB file, which is not read; write it as CSV or JSON",
    b"SQLite format": "a database, which is not read; export it as CSV",
    b"<": "XML or HTML, which is not read; write it as CSV or JSON",
}


class _Names(NamedTuple):
    """The names of the images of a directory: their stems, see `stem`, and their paths without suffix."""

    stems: Collection[str]
    paths: Collection[pathlib.Path]


def why_none(root: pathlib.Path, sources: Sequence[Source], allow_links: bool) -> list[str]:
    """Says what the files are in which no captions were found, and which setting or change would read them.

    Args:
      root: the data directory.
      sources: the files that were looked into.
      allow_links: whether those behind links that lead out of the directory were, too.

    Returns:
      a line for each of some files, those that say most first; none for containers, see `unread_containers`.
    """
    paths = list(itertools.islice(_walk(root), MAX_LISTED))
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    names = _Names({stem(path.name) for path in images}, {path.with_suffix("") for path in images})
    known = {source.path for source in sources}
    if deep := _deep(root, paths, known):
        return [deep]
    others = [path for path in paths if path not in known and (_is_compressed(path) or path.suffix.lower() in _TEXTS)]
    looked_into = [*sources, *(Source(path) for path in others[:MAX_DEEP])]
    lines: dict[str, list[str]] = {}
    for source in sorted(looked_into, key=lambda source: len(source.path.parts)):
        if reason := _why(source, names):
            lines.setdefault(reason, []).append(source.path.relative_to(root).as_posix())
    links = [] if allow_links else [path for path in root.iterdir() if path.exists() and is_outside(path, root)]
    if links and not lines:
        return [f"{min(links).name}: a link out of the directory, followed with data.allow_links=true"]
    if not lines and not any(path.suffix.lower() in CONTAINER_SUFFIXES for path in paths):
        return [f"{len(images)} images are there, and no file that may hold captions"]
    # those with a way out come first
    ordered = sorted(lines, key=lambda reason: ("; set" not in reason, ";" not in reason))
    shown = [f"{_counted(lines[reason])}: {reason}" for reason in ordered[:MAX_NAMED]]
    if len(ordered) > MAX_NAMED:
        shown.append(f"{sum(len(lines[reason]) for reason in ordered[MAX_NAMED:])} more files have no captions either")
    return shown


def _counted(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _why(source: Source, names: _Names) -> str:
    """Says what a file is."""
    try:
        return _why_readable(source, names)
    except OSError as error:
        return f"it can't be read: {error.strerror}"


def _why_readable(source: Source, names: _Names) -> str:
    path = source.path
    if path.suffix.lower() in CONTAINER_SUFFIXES:
        return ""
    if path.suffix.lower() in _SPREADSHEETS:
        return "a spreadsheet; save it as CSV in UTF-8"
    head = Head.of(source)
    if head.start.startswith(LFS_POINTER):
        return LFS_WAY_OUT
    if command := _command(head.start):
        return f"compressed; decompress it, as with {command}"
    if kind := next((kind for magic, kind in _KINDS.items() if head.start.startswith(magic)), ""):
        return kind
    if path.suffix.lower() in (".yaml", ".yml"):
        return "YAML, which is not read; write it as JSON"
    if not head.start.strip():
        return "empty"
    if not head.lines:
        return "no text"
    if reason := why_no_records(source, head, names.stems):
        return reason
    is_sidecar = (
        path.suffix.lower() == ".txt" and stem(path.stem) in names.stems and path.with_suffix("") not in names.paths
    )
    if is_sidecar and " " in head.lines[0] and not head.lines[0].startswith("["):
        return "a text with the name of an image, in another directory; move it beside the image"
    return f"text in no known format; it begins with {head.lines[0][:60]!r}"


def _command(start: bytes) -> str:
    return next((command for magic, command in _COMPRESSED.items() if start.startswith(magic)), "")


def _is_compressed(path: pathlib.Path) -> bool:
    """Whether a file is compressed, by its name, and no archive."""
    return path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst") and path.with_suffix("").suffix.lower() in _TEXTS - {
        ".tar"
    }


def _deep(root: pathlib.Path, paths: Sequence[pathlib.Path], known: Collection[pathlib.Path]) -> str:
    """Names the first file with captions below the levels that are searched."""
    deep = (path for path in paths if path not in known and path.suffix.lower() in _TEXTS)
    for path in itertools.islice(deep, MAX_DEEP):
        name = path.relative_to(root).as_posix()
        if name.count("/") > 1 and _has_captions(path):
            return f"{name}: it has captions, {name.count('/')} levels down; set data.caption_files={name}"
    return ""


def _has_captions(path: pathlib.Path) -> bool:
    try:
        source = Source(path, find_encoding(path, None))
        head = Head.of(source)
        return any(format.matches(source, head) for format in FORMATS.values())
    except OSError:
        return False


def _walk(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the files of a directory at any depth, without hidden ones and those behind links."""
    waiting = [str(root)]
    while waiting:
        directory = waiting.pop()
        for entry in sorted(scan_readable(directory), key=lambda entry: entry.name):
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir():
                waiting += [] if entry.is_symlink() else [entry.path]
            elif not entry.is_symlink():
                yield pathlib.Path(os.path.join(directory, entry.name))
