"""Why a file that is named as a container is none that can be read, for messages that would not say it."""

import collections
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator

from components.caption_ingest.archives import way_out
from components.caption_ingest.files import scan_readable
from components.caption_ingest.formats.webdataset import HEAD_MEMBERS
from components.shared.images import parquet_files, tar_files
from components.shared.images.container_files import DamagedContainerError, open_file
from components.shared.images.signatures import LFS_POINTER

MAX_NAMED = 3
CONTAINER_SUFFIXES = (".tar", ".parquet")
_COMPRESSED = re.compile(r"(?<=\.tar)\.(gz|bz2|xz|zst|lz4)$|\.t(gz|bz2|xz)$", re.IGNORECASE)
_HEAD = 512
LFS_WAY_OUT = "it is a Git LFS pointer; download the file itself with git lfs pull"


def why_unread(path: pathlib.Path) -> str:
    """Says why a file with the name of a container has no captions that can be read; "" for other names."""
    name = path.name.lower()
    if _COMPRESSED.search(name):
        return "a compressed archive can't be read at random; decompress it, as with gunzip"
    is_tar, is_parquet = name.endswith(".tar"), name.endswith(".parquet")
    if not is_tar and not is_parquet:
        return f"an archive, which is not read; {way_out(path.name)}" if way_out(path.name) else ""
    with open_file(str(path)) as file:
        head = file.read(_HEAD)
    if head.startswith(LFS_POINTER):
        return LFS_WAY_OUT
    if not (tar_files.is_tar(head) if is_tar else head.startswith(parquet_files.MAGIC)):
        return f"it is no {'tar archive' if is_tar else 'Parquet file'}: it begins with {head[:16]!r}"
    if is_tar:
        try:
            with open_file(str(path)) as file:
                collections.deque(itertools.islice(tar_files.walk(file), HEAD_MEMBERS), maxlen=0)
        except DamagedContainerError as error:
            return str(error)
        return "none of its first members are an image KEY.jpg and a caption KEY.txt, KEY.caption or KEY.json"
    return "it has no column of images"


def compressed_shards(directories: Iterable[pathlib.Path]) -> dict[pathlib.Path, pathlib.Path]:
    """Finds the compressed archives in directories, each with the name that it has when it is decompressed.

    Those that have been decompressed beside themselves are left out.
    """
    archives = {}
    for directory in directories:
        names = [entry.name for entry in scan_readable(str(directory)) if entry.is_file()]
        for name in names:
            plain = f"{_COMPRESSED.sub('', name).removesuffix('.tar')}.tar"
            if _COMPRESSED.search(name) and plain not in names:
                archives[directory / name] = directory / plain
    return archives


def why_all_unread(root: pathlib.Path, allow_links: bool = False) -> list[str]:
    """Says it of the first files with the names of containers, in a directory or one level below it."""
    reasons = []
    for path in _files(root):
        is_outside = not path.resolve().is_relative_to(root.resolve())
        if is_outside and not allow_links and path.suffix.lower() in CONTAINER_SUFFIXES:
            reason = "it is a link out of the directory, followed with data.allow_links=true"
        else:
            reason = why_unread(path)
        if reason:
            reasons.append(f"{path.relative_to(root)}: {reason}")
            if len(reasons) == MAX_NAMED:
                break
    return reasons


def _files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    below = [root / entry.name for entry in scan_readable(str(root)) if entry.is_dir()]
    for directory in (root, *sorted(below)):
        yield from sorted(directory / entry.name for entry in scan_readable(str(directory)) if entry.is_file())
