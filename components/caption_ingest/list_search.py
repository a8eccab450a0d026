"""Split lists that the names of files do not give away: found by the image names in them, used or refused by name."""

import os
import pathlib
import posixpath
import re
from collections.abc import Iterator, Sequence

from components.caption_ingest.encodings import find_encoding
from components.caption_ingest.files import Files
from components.caption_ingest.formats.base import SPLIT_NAMES, Head, Source
from components.caption_ingest.grouping import ImageCaptions
from components.caption_ingest.layout import Layout, detect_format
from components.caption_ingest.list_files import Entry, read_head, read_list, unknown_split
from components.caption_ingest.names import IMAGE_SUFFIXES, comparison_form
from components.caption_ingest.second_copies import find_copies
from components.caption_ingest.unread_splits import (
    BINARY_SUFFIXES,
    NOT_A_LIST,
    TEXT_SUFFIXES,
    why_no_list,
    why_no_text,
)

_SUFFIXES = {"", ".txt", ".lst", ".list", ".csv", ".tsv", ".json", ".ids", ".names", ".split"}
_SPLIT_WORDS = "|".join(sorted(SPLIT_NAMES, key=len, reverse=True))
# a split's word at the end of a word, as in flickr8ktrain, or before what lists are called, but not in valley
_WORD = re.compile(
    rf"({_SPLIT_WORDS})(?=[^a-z]|$|{_SPLIT_WORDS}|(?:image|img|photo|list|set|file|name|id|key|split|filename|data)s?(?![a-z]))"
)
_PLAIN_WORD = re.compile(rf"(?:(?<![a-z])|(?<=\dk))({_SPLIT_WORDS})(?![a-z])")
_ABOUT_SPLITS = re.compile(r"(?<![a-z])(?:splits?|partitions?|folds?|subsets?)(?![a-z])")
_MAX_UNSTATED = 5  # lists without a split; more of them are the images of classes
_MAX_FILES = 1000  # that are looked into


class ListSearch:
    """The search for split lists among the files that hold no captions.

    Attributes:
      lists: split -> its list: those that the layout has, and those that were found.
      warnings: the files that look like a list and are not read.
    """

    def __init__(self, layout: Layout, files: Files, images: Sequence[ImageCaptions], data_dir: str, uri: str = ""):
        """Begins with the lists that are known by their names.

        Args:
          layout: the files that are read so far.
          files: the files of the data directory.
          images: all images of the captions.
          data_dir: the data directory.
          uri: the prefix in a bucket that the directory is the outline of; "" on a disk.
        """
        self.lists = dict(layout.lists)
        self.warnings: list[str] = []
        self._root, self._uri, self._files, self._images = pathlib.Path(data_dir), uri, files, images
        self._is_read = {
            *(file.name for file in layout.captions),
            *(os.path.relpath(source.path, data_dir) for source in layout.lists.values()),
            *layout.unread,
        }
        self._known: set[str] = set()  # the names of the images, in `_form`
        self._unstated: list[tuple[str, list[Entry]]] = []

    def run(self, encoding: str | None) -> "ListSearch":
        """Looks into all files that may be a list.

        Args:
          encoding: the encoding of files without a byte-order mark; None for UTF-8.

        Raises:
          ValueError: a file is a list and can't be used: a split has two, or it states no split.
        """
        for name in self._candidates():
            path = self._root / name
            uri = f"{self._uri}/{name}" if self._uri else ""
            source = Source(path, find_encoding(path, encoding), is_stated=encoding is not None, uri=uri)
            is_list = self._is_list(name, read_head(Head.of(source)))
            if is_list and detect_format(source):  # data.caption_files has chosen others
                continue
            entries = list(read_list(source)) if is_list else []
            if not entries:
                if _is_about_splits(name) and not name.endswith(".json"):
                    why = why_no_list(Head.of(source).lines, self._known_names())
                    if why != NOT_A_LIST or _PLAIN_WORD.search(posixpath.basename(name).lower()):
                        self._warn(name, why)
                continue
            if value := unknown_split(Head.of(source)):
                self._warn(name, f"its column of splits has {value[:40]!r}, which is neither train, val nor test")
                continue
            stated = {entry.split for entry in entries if entry.split} or _splits_in(name)
            if len(stated) == 1 or any(entry.split for entry in entries):
                for split in sorted(stated):
                    self._add(split, source, name, [entry for entry in entries if entry.split in (split, None)])
            else:
                self._unstated.append((name, entries))
        self._tell_other_formats()
        if len(self._unstated) > _MAX_UNSTATED:
            name = self._unstated[0][0]
            self._warn(name, f"as {len(self._unstated) - 1} more lists do, it names images, but states no split")
        else:
            for name, entries in self._unstated:
                self._check_unstated(name, entries)
        return self

    def _candidates(self) -> Iterator[str]:
        """Yields the files that may be a list: texts up to one level below the directory; deeper ones by their name."""
        number = 0
        parts = [posixpath.splitext(name) for name in self._files.by_path]
        images = {stem for stem, suffix in parts if suffix.lower() in IMAGE_SUFFIXES}
        for (stem, suffix), (name, file) in zip(parts, self._files.by_path.items(), strict=True):
            if suffix.lower() not in _SUFFIXES or name in self._is_read or file.outside_root or file.container:
                continue
            if name.count("/") > 1 and not _splits_in(name):
                continue
            if stem in images or (suffix and stem in self._files.by_path):
                continue  # a text about this image
            number += 1
            if number > _MAX_FILES:
                return
            yield name

    def _known_names(self) -> set[str]:
        self._known = self._known or {_form(image.image_id) for image in self._images}
        return self._known

    def _tell_other_formats(self) -> None:
        """Warns of files of other formats that may state splits, where nothing else does."""
        if self._is_official():
            return
        for name, file in self._files.by_path.items():
            suffix = posixpath.splitext(name)[1].lower()
            if file.outside_root or file.container or name in self._is_read or not _is_about_splits(name):
                continue
            if suffix in BINARY_SUFFIXES or (suffix in TEXT_SUFFIXES and self._names_images(name)):
                self._warn(name, why_no_text(suffix))

    def _names_images(self, name: str) -> bool:
        words = {
            _form(word) for word in re.split(r"[\s,\[\]'\"<>:]+", "\n".join(Head.of(Source(self._root / name)).lines))
        }
        return not words.isdisjoint(self._known_names())

    def _is_official(self) -> bool:
        return bool(self.lists) or any(image.row_split or image.file_split for image in self._images)

    def _is_list(self, name: str, entries: Sequence[Entry]) -> bool:
        """Whether the first lines of a file are names of images, as far as they are known."""
        if not entries:
            return False
        known = self._known_names()
        num_known = sum(_form(entry.name) in known for entry in entries)
        # a list of the whole data set may come with captions of a part of it
        is_stated = bool(_splits_in(name)) and all(entry.name.count(" ") < 2 for entry in entries)
        return num_known >= (1 if is_stated else len(entries) / 2)

    def _add(self, split: str, source: Source, name: str, entries: Sequence[Entry]) -> None:
        """Uses a list for a split, unless that has one which contains it."""
        other = self.lists.setdefault(split, source)
        if other is source:
            return
        other_name = other.path.relative_to(self._root).as_posix()
        if find_copies([name, other_name]).get(name) == other_name:
            self._warn(name, f"by its name, it is a second copy of {other_name}")
            return
        listed = {_form(entry.name) for entry in read_list(other) if entry.split in (split, None)}
        if not listed.issuperset(_form(entry.name) for entry in entries):
            both = f"{other.path}, {source.path}"
            raise ValueError(f"data.dir: several {split} split lists in {self._root}: {both}; keep one")
        self._warn(name, f"{other_name} has all its names")

    def _check_unstated(self, name: str, entries: Sequence[Entry]) -> None:
        """Refuses a list of which nothing states the split, unless the splits of all its images are known or equal."""
        num_known = len(self._known & {_form(entry.name) for entry in entries})
        if num_known < len(self._known) and not self._is_official():
            raise ValueError(
                f"data.dir: {self._root / name} names {num_known} of {len(self._known)} images of the captions, as a "
                "split list does, but states no split; give it a name with train, val or test, or move it elsewhere"
            )
        self._warn(name, f"it names {num_known} of {len(self._known)} images, but states no split")

    def _warn(self, name: str, why: str) -> None:
        self.warnings.append(f"{name} is not read: {why}")


def _splits_in(name: str) -> set[str]:
    """The splits that the name of a file states, else its directories'.

    >>> _splits_in("flickr8ktrain.txt"), _splits_in("splits/val/names.txt"), sorted(_splits_in("trainval.txt"))
    ({'train'}, {'eval'}, ['eval', 'train'])
    """
    directory, file_name = posixpath.split(name.lower())
    words = _WORD.findall(file_name) or _PLAIN_WORD.findall(directory)[-1:]
    return {SPLIT_NAMES[word] for word in words}


def _is_about_splits(name: str) -> bool:
    file_name = posixpath.basename(name).lower()
    return bool(_PLAIN_WORD.search(file_name) or _ABOUT_SPLITS.search(file_name))


def _form(name: str) -> str:
    """The form in which names of images in captions and lists are compared: without directory, suffix and case."""
    stem, suffix = posixpath.splitext(comparison_form(posixpath.basename(name)))
    return stem if suffix in IMAGE_SUFFIXES else stem + suffix
