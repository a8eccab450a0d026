"""The official splits as lists of names, one file a split."""

import collections
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from components.caption_ingest import readers
from components.caption_ingest.files import is_plain

FEW = 0.5  # share of a list's names below which it does not seem to belong to the captions
MAX_NAME = 1024  # characters of a name
_MAX_ENDS = 16  # directories that lists and captions may differ by


class SplitLists:
    """Which split the lists put a picture into.

    Lists and captions may name a picture differently: with or without directory, with or without suffix.
    """

    def __init__(self, lists: Mapping[str, pathlib.Path]):
        """Reads the lists.

        Args:
          lists: split -> its file.

        Raises:
          ValueError: a picture is in two lists, or a list is not UTF-8, or has a line that is no name.
        """
        self._lists = lists
        self._first: dict[str, str] = {}  # split -> the first name in its list, for messages
        self._whole: dict[str, str] = {}  # name as the list has it -> split
        for split, path in lists.items():
            for number, name in _names(path):
                self._first.setdefault(split, name)
                if self._whole.setdefault(name, split) != split:
                    raise ValueError(f"{path}:{number}: {name} is in the {self._whole[name]} list already")
        # end of such a name, after a slash -> split; None where the lists disagree
        self._ends: dict[str, str | None] = {}
        for name, split in self._whole.items():
            for end in _ends(name)[1:]:
                self._ends[end] = split if self._ends.get(end, split) == split else None

    def split_of(self, image_id: str, uri: str | None, alone: bool) -> str | None:
        """The split of a picture; None where no list names it.

        Args:
          image_id: as the captions name it.
          uri: its path below the data directory; None where there is no such file.
          alone: no other file has its name, so that the name is enough to know it by.
        """
        if not self._whole:
            return None
        names = [image_id] if uri in (None, image_id) else [image_id, uri]
        ends = [end for name in names for end in _ends(name)]
        for whole in [*ends, *map(_stem, ends)]:
            if whole in self._whole:
                return self._whole[whole]
        for name in [*names, *([os.path.basename(image_id)] if alone else [])]:
            if split := self._ends.get(name) or self._ends.get(_stem(name)):
                return split
        return None

    def doubts(self, found: Iterable[str | None], example: str) -> list[str]:
        """Says which lists do not seem to belong to the captions.

        Args:
          found: what `split_of` said of each picture.
          example: the name of one of the pictures, for the message.
        """
        matched, sizes = collections.Counter(found), collections.Counter(self._whole.values())
        return [
            f"{self._lists[split].name} names {size} pictures, and the captions know {matched[split]} of them: it has "
            f"names as {self._first[split][:80]!r}, the captions as {example[:80]!r}"
            for split, size in sizes.items()
            if matched[split] < FEW * size
        ]


def _names(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """The numbered names in a list."""
    for number, raw in readers.numbered_lines(path):
        try:
            name = raw.decode().strip().replace("\\", "/").removeprefix("./")
        except UnicodeDecodeError:
            raise ValueError(f"{path}:{number}: not UTF-8") from None
        if len(name) > MAX_NAME:
            raise ValueError(f"{path}:{number}: {len(name)} characters, which is no name of a picture")
        if not is_plain(name):
            raise ValueError(f"{path}:{number}: control characters, which no name of a picture has")
        if name:
            yield number, name


def _ends(name: str) -> list[str]:
    """The ends of a path, longest first.

    >>> _ends("train/images/a.jpg")
    ['train/images/a.jpg', 'images/a.jpg', 'a.jpg']
    """
    parts = name.split("/")
    return [name, *("/".join(parts[start:]) for start in range(max(1, len(parts) - _MAX_ENDS), len(parts)))]


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
