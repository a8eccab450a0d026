"""Lists the files of a data directory without reading them, and resolves names in captions to files."""

import collections
import dataclasses
import functools
import itertools
import os
import pathlib
import posixpath
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from absl import logging

from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.names import (
    IMAGE_SUFFIXES,
    Spelling,
    comparison_form,
    compose,
    is_absolute,
    loose_forms,
    loose_forms_of_file,
    name_parts,
    num_common_parts,
    spelling_of,
    unescape,
)
from components.shared.images.containers import open_container

# how alike two names are spelled, the most alike first: equal, equal but for composition, and but for case
_FORMS: tuple[Callable[[str], str], ...] = (str, compose, comparison_form)


@dataclasses.dataclass(frozen=True)
class NameMatch:
    """What a name in a caption file may mean.

    Attributes:
      image_id: path below the data directory if the name is such a path, else the name itself.
      file: the file that it means; the first candidate if all may be copies of one image; None if that is not known.
      candidates: the files that it may mean, if there are several.
      is_unambiguous: whether the file name alone is enough to identify the image.
      spelling: how the name differs from that of the file, if there is one.
    """

    image_id: str
    file: ImageFile | None
    candidates: tuple[ImageFile, ...]
    is_unambiguous: bool
    spelling: Spelling = Spelling.EXACT

    @property
    def portable_id(self) -> str:
        """The ID, or the path below the data directory of what an absolute path means."""
        return self.file.uri if self.file and self.spelling is Spelling.ABSOLUTE else self.image_id


@dataclasses.dataclass(frozen=True)
class Files:
    """The files below a data directory.

    Attributes:
      by_path: path below the directory -> file; through links inside it, a file may have several paths.
      by_name: file name -> paths of the different files with that name, sorted.
      spellings: `comparison_form` of a path or of a file name -> the paths and file names of that form.
      containers: the paths of the containers whose members are among the files.
    """

    by_path: Mapping[str, ImageFile]
    by_name: Mapping[str, Sequence[str]]
    spellings: Mapping[str, Sequence[str]]
    containers: Collection[str] = ()

    @classmethod
    def of(cls, files: Mapping[str, tuple[ImageFile, str]], containers: Collection[str] = ()) -> "Files":
        """Indexes files.

        Args:
          files: path of a file -> the file and its real path, both below the directory; "" for one outside it.
          containers: see `Files`.
        """
        by_path = {path: files[path][0] for path in sorted(files)}
        by_name: dict[str, list[str]] = collections.defaultdict(list)
        for path in by_path:
            real = files[path][1]
            target = real if real in by_path else path  # a link and the file that it leads to count once
            same_name = by_name[path.rpartition("/")[2]]
            if target not in same_name:
                same_name.append(target)
        spellings: dict[str, list[str]] = collections.defaultdict(list)
        for name in by_path.keys() | by_name.keys():
            spellings[comparison_form(name)].append(name)
        return cls(by_path, by_name, spellings, containers)

    def with_versions(self, versions: Mapping[str, str]) -> "Files":
        """Returns the same files with the versions of their objects; a member of a container has that of its container.

        Args:
          versions: path of a file -> version.
        """
        by_path = {
            path: dataclasses.replace(file, version=versions[file.container or file.uri])
            for path, file in self.by_path.items()
        }
        return dataclasses.replace(self, by_path=by_path)

    def named(self, name: str) -> Sequence[str]:
        """Lists the paths that end in a name; without any, the paths with the same file name.

        Either way only those count that are spelled most like it.
        """
        file_name = posixpath.basename(name)
        same_name = self._same_name(file_name, comparison_form)
        if not same_name:
            return ()
        if paths := _ending_in(name, same_name):
            return paths
        return next(filter(None, (self._same_name(file_name, form) for form in _FORMS)), ())

    def match(self, name: str, source: str) -> NameMatch:
        """Looks up a name from a caption file.

        It is a member of the caption file, if that is a container, or a path relative to the caption file, else a path
        below the data directory, else the end of a path or a file name, and last a file name that is spelled otherwise
        (`names.loose_forms`).

        Args:
          name: the name as the caption file has it.
          source: path of the caption file below the data directory.
        """
        if source in self.containers and (member := f"{source}/{name}") in self.by_path:
            return self._match_path(member, [member])
        name = name.removeprefix("./")
        if name not in self.by_path:  # it may have been written on Windows
            name = name.replace("\\", "/").removeprefix("./")
        if "//" in name or "/./" in name:
            name = pathlib.PurePosixPath(name).as_posix()
        if is_absolute(name):
            return self._match_absolute(name)
        paths = dict.fromkeys((posixpath.join(posixpath.dirname(source), name), name))
        for path in paths:
            if path in self.by_path:
                return self._match_path(path, [path])
        for path in paths:
            if spellings := self._spellings_of_path(path):
                return self._match_path(path, spellings)
        files = tuple(self.by_path[path] for path in self.named(name))
        if not files:
            return self._match_loosely(name)
        if len(files) == 1 or _may_be_copies(name, files):
            candidates = files if len(files) > 1 else ()
            return NameMatch(_as_spelled(name, files[0]), files[0], candidates, True, spelling_of(name, files[0].uri))
        return NameMatch(compose(name), None, files, False)

    def _match_absolute(self, name: str) -> NameMatch:
        """Matches an absolute path, as of another machine, with the files that have its longest end."""
        none = NameMatch(compose(name), None, (), False, Spelling.ABSOLUTE)
        parts = name_parts(name)
        if not parts or ".." in parts:
            return none
        if not (same_name := self._same_name(parts[-1], comparison_form)):
            match = self._match_loosely("/".join(parts[-2:]))
            return dataclasses.replace(match, image_id=none.image_id, spelling=Spelling.ABSOLUTE)
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        whole = next((start for start, end in enumerate(ends) if end in self.by_path), None)
        if whole is not None:  # mostly; a path below another directory may have a longer end
            longer = f"/{ends[whole - 1]}" if whole else "//"
            same_name = [ends[whole], *(path for path in same_name if path.endswith(longer))]
        num_common = {path: num_common_parts(name, path) for path in same_name}
        longest = max(num_common.values())
        paths = [path for path, number in num_common.items() if number == longest]
        ending = "/".join(parts[-longest:])
        if ending in paths:
            paths = [ending]
        files = tuple(self.by_path[path] for path in _ending_in(ending, paths) or paths)
        if len(files) > 1 and not _may_be_copies(ending, files):
            return dataclasses.replace(none, candidates=files)
        return NameMatch(none.image_id, files[0], files if len(files) > 1 else (), True, Spelling.ABSOLUTE)

    def _match_loosely(self, name: str) -> NameMatch:
        """Matches a name with the files whose names are spelled most like it; those in its directory come first."""
        directory, file_name = posixpath.split(unescape(name))
        for spelling, form in loose_forms(file_name):
            file_names = self._by_loose_form.get((spelling, form), ())
            paths = sorted({path for other in file_names for path in self.by_name[other]})
            inside = [path for path in paths if _is_in(path, directory)]
            files = tuple(self.by_path[path] for path in inside or paths)
            if len(files) == 1 or (inside and len(file_names) == 1 and _may_be_copies(file_names[0], files)):
                return NameMatch(compose(name), files[0], files if len(files) > 1 else (), True, spelling)
            if files:
                return NameMatch(compose(name), None, files, False)
        return NameMatch(compose(name), None, (), False)

    @functools.cached_property
    def _by_loose_form(self) -> Mapping[tuple[Spelling, str], Sequence[str]]:
        """Form of a file name -> the file names of that form; indexed once there is a name that no file has."""
        forms: dict[tuple[Spelling, str], list[str]] = collections.defaultdict(list)
        for file_name in self.by_name:
            for form in loose_forms_of_file(file_name):
                forms[form].append(file_name)
        return forms

    def _match_path(self, path: str, spellings: Sequence[str]) -> NameMatch:
        """Matches a path with the paths of files that are spelled most like it."""
        files = tuple(self.by_path[spelling] for spelling in spellings)
        if len(files) > 1:
            return NameMatch(compose(path), None, files, False)
        is_unambiguous = len(self._same_name(posixpath.basename(path), comparison_form)) == 1
        return NameMatch(_as_spelled(path, files[0]), files[0], (), is_unambiguous, spelling_of(path, files[0].uri))

    def _spellings_of_path(self, path: str) -> list[str]:
        """Lists the paths of files that differ from a path in spelling, and of those the ones most like it."""
        paths = sorted(filter(self.by_path.__contains__, self.spellings.get(comparison_form(path), ())))
        return [other for other in paths if compose(other) == compose(path)] or paths

    def _same_name(self, file_name: str, form: Callable[[str], str]) -> Sequence[str]:
        """Lists the paths whose file names have an equal form."""
        names = self.spellings.get(comparison_form(file_name), ())
        if form is not comparison_form:
            names = [name for name in names if form(name) == form(file_name)]
        if len(names) == 1:  # nearly always
            return self.by_name.get(names[0], ())
        return sorted({path for name in names for path in self.by_name.get(name, ())})


def _as_spelled(name: str, file: ImageFile) -> str:
    """Composes a name as its file does, so that captions which differ in that alone are about one image.

    Names that differ in case stay two: the file of one of them may be missing.
    """
    ending = "/".join(file.uri.split("/")[-len(name.split("/")) :])
    return ending if compose(ending) == compose(name) else compose(name)


def _ending_in(name: str, paths: Sequence[str]) -> list[str]:
    """Lists the paths below a directory that end in a name, and of these the ones that are spelled most like it."""
    for form in _FORMS:
        if found := [path for path in paths if form(path).endswith(f"/{form(name)}")]:
            return found
    return []


def _is_in(path: str, directory: str) -> bool:
    """Whether a path is in a directory, or in one whose path ends in it; "" stands for any."""
    return not directory or f"/{comparison_form(posixpath.dirname(path))}".endswith(f"/{comparison_form(directory)}")


def _may_be_copies(name: str, files: Sequence[ImageFile]) -> bool:
    """Whether files with one name can be copies of one image: some archives contain a directory twice."""
    ending = f"/{comparison_form(name)}"
    if "/" in name and not all(comparison_form(file.uri).endswith(ending) for file in files):
        return False  # different images that share a file name
    return len({file.size for file in files}) == 1 and not any(file.outside_root for file in files)


def scan(
    data_dir: str, containers: Mapping[str, str | None] | None = None, allow_links: bool = False, uri: str = ""
) -> Files:
    """Lists the files of a data directory, at any depth, and the members of containers, without reading them.

    Hidden files are skipped, and, with a warning, what can't be accessed and names that are not UTF-8 or contain
    control characters, which no caption can name.

    Args:
      data_dir: the directory.
      containers: path of a container below the directory -> the column of its images, see `Container.members`.
      allow_links: whether links may point outside the directory.
      uri: the prefix in a bucket that the directory is the outline of, whose containers are read; "" on a disk.

    Raises:
      OSError: a container is damaged, or can't be read.
    """
    real_root = os.path.realpath(data_dir)
    found = itertools.chain(_walk(data_dir, real_root, allow_links), _members(data_dir, uri, containers or {}))
    return Files.of({file.uri: (file, real) for file, real in found}, frozenset(containers or ()))


def _members(data_dir: str, uri: str, containers: Mapping[str, str | None]) -> Iterator[tuple[ImageFile, str]]:
    """Yields the images in containers as `_walk` does files; they are as old as their container."""
    for name, column in containers.items():
        mtime_ns = os.stat(os.path.join(data_dir, name)).st_mtime_ns
        container = open_container(os.path.join(uri or data_dir, name))
        for member, size in container.members(column) if container else ():
            suffix = posixpath.splitext(member)[1].lower()
            if suffix and suffix not in IMAGE_SUFFIXES:  # of captions and the like; the rows of a table have none
                continue
            path = f"{name}/{member}"
            yield ImageFile(path, size, mtime_ns, container=name), path


def _walk(data_dir: str, real_root: str, allow_links: bool) -> Iterator[tuple[ImageFile, str]]:
    """Yields every file with its real path below the directory, which is "" for a file outside it.

    A directory is entered once by its own path and once through a link, so that circular links end. Of a directory
    outside the data directory, reached through a link that is not allowed, only the files are listed.
    """
    waiting = [("", real_root, False)]  # path, real path, reached through a link
    entered = set()
    while waiting:
        below, real_directory, linked = waiting.pop()
        is_outside = not _is_below(real_directory, real_root)
        for entry in sorted(scan_readable(os.path.join(data_dir, below)), key=lambda entry: entry.name, reverse=True):
            uri = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith("."):
                continue
            is_link = entry.is_symlink()
            real = os.path.realpath(entry.path) if is_link else f"{real_directory}/{entry.name}"
            if entry.is_dir():
                by_link = linked or is_link
                if is_outside and not allow_links:
                    logging.warning(
                        "skipping %s: it is outside the data directory; data.allow_links=true takes it", uri
                    )
                elif not by_link or real not in entered:
                    entered.update([real] if by_link else [])
                    waiting.append((uri, real, by_link))
            elif entry.is_file():
                stat = entry.stat()
                outside_root = is_outside or not _is_below(real, real_root)
                yield (
                    ImageFile(uri, stat.st_size, stat.st_mtime_ns, outside_root and not allow_links),
                    "" if outside_root else real[len(real_root) :].lstrip("/"),
                )


def _is_below(real_path: str, real_root: str) -> bool:
    return real_path == real_root or real_path.startswith(real_root.rstrip("/") + "/")


def scan_readable(directory: str) -> list[os.DirEntry]:
    """Lists the files and directories in a directory.

    Names that are not UTF-8 or contain control characters, and a directory that can't be read, such as `lost+found`,
    are skipped with a warning.
    """
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if _has_printable_name(entry) and _is_accessible(entry)]
    except OSError as error:
        logging.warning("skipping %s: %s", os.fsencode(directory), error.strerror)
        return []


def _is_accessible(entry: os.DirEntry) -> bool:
    """Whether an entry is a file or a directory; a link to itself raises an error."""
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:
        return False


def _has_printable_name(entry: os.DirEntry) -> bool:
    """Whether a name is text, without bytes that Python had to escape."""
    if is_printable(entry.name):
        return True
    logging.warning("skipping %s: its name is not UTF-8 or contains control characters", os.fsencode(entry.path))
    return False


def is_printable(name: str) -> bool:
    r"""Whether a name has no control characters and no lone surrogates; spaces of all scripts are allowed.

    >>> [is_printable(name) for name in ("a b.jpg", "a\N{NARROW NO-BREAK SPACE}b.jpg", "a\x1b[2J.jpg", "\udce9.jpg")]
    [True, True, False, False]
    """
    # the first test settles nearly all names, and there is one per caption
    return name.isprintable() or all(char.isprintable() or unicodedata.category(char) == "Zs" for char in name)
