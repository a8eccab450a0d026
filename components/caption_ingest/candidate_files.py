"""Which files of a data directory are looked into for captions and split lists; links that lead out of it."""

import pathlib
from collections.abc import Iterator

from components.caption_ingest.files import is_printable, scan_readable
from components.caption_ingest.names import IMAGE_SUFFIXES
from components.caption_ingest.unread_containers import CONTAINER_SUFFIXES

DEPTH = 2  # levels below the data directory; of the last, containers alone
# never opened in search of captions
BINARY_SUFFIXES = {*IMAGE_SUFFIXES, ".gz", ".tgz", ".zip", ".7z"}


def text_files(
    root: pathlib.Path, allow_links: bool, directory: pathlib.Path | None = None, depth: int = DEPTH
) -> Iterator[pathlib.Path]:
    """Yields the files that may hold captions or lists: neither hidden files nor images, of which there are many.

    Args:
      root: the data directory.
      allow_links: whether directories that are links out of it are entered.
      directory: where to look; None for the data directory.
      depth: how many levels below.
    """
    directory = directory or root
    for entry in scan_readable(str(directory)):
        path = directory / entry.name
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if path.suffix.lower() not in BINARY_SUFFIXES and entry.is_file():
            yield path
        # files behind links inside are listed under their own path
        elif depth and entry.is_dir() and (not entry.is_symlink() or (allow_links and is_outside(path, root))):
            below = text_files(root, allow_links, path, depth - 1)
            # the deepest of all, `default/train/0000.parquet`, are Hugging Face's
            yield from below if depth > 1 else (path for path in below if path.suffix.lower() in CONTAINER_SUFFIXES)


def match_pattern(root: pathlib.Path, pattern: str, allow_links: bool) -> list[pathlib.Path]:
    """Lists the files that match `data.caption_files`.

    Raises:
      ValueError: the pattern, or a link, leads out of the directory; a name can't be printed.
    """
    if pathlib.PurePath(pattern).is_absolute() or ".." in pathlib.PurePath(pattern).parts:
        raise ValueError(f"data.caption_files: {pattern} points outside the data directory")
    paths = sorted(path for path in root.glob(pattern) if path.is_file())
    for path in paths:
        if not is_printable(str(path.relative_to(root))):
            raise ValueError(f"data.caption_files: the name {path.name!a} is not UTF-8 or contains control characters")
        if not allow_links:
            check_inside(path, root)
    return paths


def check_inside(path: pathlib.Path, root: pathlib.Path) -> None:
    """Refuses a file that is a link out of the data directory, or lies behind one.

    Raises:
      ValueError: with the setting that allows it.
    """
    if is_outside(path, root):
        raise ValueError(
            f"data.dir: {path} is a link that points outside the data directory; data.allow_links=true takes it"
        )


def is_outside(path: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether a path is a link, or lies below one, that leads out of the data directory."""
    return not path.resolve().is_relative_to(root.resolve())
