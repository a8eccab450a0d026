"""Why images seem to be missing: links that lead nowhere, as to a disk that is not mounted, and hidden files."""

import os
import posixpath
from collections.abc import Collection, Iterator

from components.caption_ingest.names import IMAGE_SUFFIXES, comparison_form

_NOT_DATA = {".git", "__MACOSX"}


def find_broken(data_dir: str, names: Collection[str]) -> dict[str, str]:
    """Finds the links that missing images are, or may be behind.

    Args:
      data_dir: the data directory; what lies behind links is not searched.
      names: names of missing images in captions.

    Returns:
      name -> a sentence about a link; names without one are missing.
    """
    links = {comparison_form(posixpath.basename(path)): path for path in _broken_links(data_dir)} if names else {}
    directories = [path for path in links.values() if posixpath.splitext(path)[1].lower() not in IMAGE_SUFFIXES]
    sentences = {}
    for name in names:
        if own := links.get(comparison_form(posixpath.basename(name))):
            sentences[name] = f"{own} is a link to {_target(data_dir, own)}, which is not there"
        elif directories:
            target = _target(data_dir, directories[0])
            sentences[name] = f"perhaps it is behind {directories[0]}, a link to {target}, which is not there"
    return sentences


def find_hidden(data_dir: str, names: Collection[str]) -> dict[str, str]:
    """Finds the hidden files that missing images are: those are not searched.

    Args:
      data_dir: the data directory; what lies behind links is not searched.
      names: names of missing images in captions.

    Returns:
      name -> a sentence about the file; names without one are missing.
    """
    wanted: dict[str, list[str]] = {}
    for name in names:
        wanted.setdefault(comparison_form(posixpath.basename(name)), []).append(name)
    sentences: dict[str, str] = {}
    for path in _hidden_files(data_dir) if names else ():
        hidden = next(part for part in path.split("/") if part.startswith("."))
        for name in wanted.get(comparison_form(posixpath.basename(path)), ()):
            sentences.setdefault(name, f"{path} is hidden, and hidden files are not read: rename {hidden}")
    return sentences


def _hidden_files(data_dir: str) -> Iterator[str]:
    """Yields the path below the directory of each file that is hidden, or in a hidden directory, in their order."""
    for directory, subdirectories, file_names in os.walk(data_dir):
        subdirectories[:] = sorted(name for name in subdirectories if name not in _NOT_DATA)
        for name in sorted(file_names):
            path = os.path.relpath(os.path.join(directory, name), data_dir)
            if any(part.startswith(".") for part in path.split("/")):
                yield path


def _target(data_dir: str, path: str) -> str:
    return os.readlink(os.path.join(data_dir, path))


def _broken_links(data_dir: str) -> Iterator[str]:
    """Yields the path below the directory of each link that leads nowhere, in their order."""
    for directory, subdirectories, file_names in os.walk(data_dir):
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
        for name in sorted(name for name in file_names if not name.startswith(".")):
            path = os.path.join(directory, name)
            if os.path.islink(path) and not os.path.exists(path):
                yield os.path.relpath(path, data_dir)
