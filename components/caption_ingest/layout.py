"""Which files of a data directory hold captions, and which the official splits."""

import dataclasses
import itertools
import pathlib
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from components.caption_ingest.candidate_files import DEPTH, check_inside, is_outside, match_pattern, text_files
from components.caption_ingest.encodings import UTF_8, find_encoding, find_unmarked_utf16
from components.caption_ingest.formats import FORMATS, find_format
from components.caption_ingest.formats.base import SPLIT_NAMES, Format, Head, Source
from components.caption_ingest.formats.coco import has_withheld_captions
from components.caption_ingest.formats.sidecars import Sidecars
from components.caption_ingest.second_copies import find_copies
from components.caption_ingest.settings import Columns
from components.caption_ingest.shards import missing_shards
from components.caption_ingest.sidecar_search import SidecarFiles, find_sidecars
from components.caption_ingest.unread_containers import (
    compressed_shards,
    why_all_unread,
    why_unread,
)
from components.caption_ingest.unread_files import why_none
from components.shared.records import EVAL, TEST, TRAIN

_LIST_NAMES = {
    split: re.compile(rf"(^|[^a-z])({names})[-_.]?(images|image|list|split|set|names|ids)?\.txt$", re.IGNORECASE)
    for split, names in {TRAIN: "train", EVAL: "dev|val|valid|validation|eval", TEST: "test"}.items()
}
_SPLIT_IN_PATH = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_NAMES)})(?![a-z])", re.IGNORECASE)


MAX_NAMED = 8  # files in a message


@dataclasses.dataclass(frozen=True)
class CaptionFile:
    """A file with captions.

    Attributes:
      source: the file, and how it is read.
      name: its path below the data directory, with forward slashes.
      split: the split that its name states, if the captions are in several files.
    """

    source: Source
    name: str
    split: str | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """The files of a dataset.

    Attributes:
      format: format of the caption files.
      captions: the caption files.
      lists: split -> its list of images, if the dataset has such lists.
      unread: path below the data directory of a file that holds captions and is not read -> the reason.
    """

    format: Format
    captions: tuple[CaptionFile, ...]
    lists: dict[str, Source]
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What is told of the files that hold captions and are not read."""
        return [f"{name} is not read: {why}" for name, why in self.unread.items()]

    def files(self) -> list[pathlib.Path]:
        """Lists every file that is read, in a fixed order."""
        return [
            *(file.source.path for file in self.captions),
            *(self.lists[split].path for split in sorted(self.lists)),
        ]

    def containers(self) -> dict[str, str | None]:
        """Path of a caption file below the data directory that holds the images too -> their column, if it is set."""
        return {file.name: file.source.columns.image for file in self.captions if self.format.is_container}


def find_layout(
    data_dir: str,
    caption_files: str | None = None,
    encoding: str | None = None,
    *,
    format: str | None = None,
    columns: Columns | None = None,
    allow_links: bool = False,
    uri: str = "",
) -> Layout:
    """Finds the captions by the content of the files, and the lists by their names, up to one level below a directory.

    Args:
      data_dir: the data directory.
      caption_files: the caption file below the directory, or a glob pattern for several; None to examine all files.
      encoding: the encoding of files without a byte-order mark; None for UTF-8.
      format: the format of the captions, as `find_format` names it, or `sidecars`; None to detect it.
      columns: the columns of tables and the keys of JSON records to take; None to find them by their names.
      allow_links: whether files may be links that point outside the directory.
      uri: the prefix in a bucket that the directory is the outline of; "" on a disk.

    Raises:
      FileNotFoundError: there are no captions; the message lists the known formats.
      ValueError: the files are ambiguous, or one is such a link where they are not allowed.
    """
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        raise FileNotFoundError(f"data.dir: {data_dir} is not a directory")
    return _Search(root, caption_files, encoding, format, columns or Columns(), allow_links, uri).run()


@dataclasses.dataclass(frozen=True)
class _Search:
    """The search of `find_layout`, whose arguments these are."""

    root: pathlib.Path
    caption_files: str | None
    encoding: str | None
    format: str | None
    columns: Columns
    allow_links: bool
    uri: str

    def run(self) -> Layout:
        sidecars = SidecarFiles({}, 0)
        if self.format in (None, Sidecars.name):
            sidecars = find_sidecars(str(self.root), self._sidecar_source(self.root), self.allow_links)
        own = {str(self.root / path) for path in sidecars.paths} if sidecars.are_usual else set()
        texts = sorted(path for path in text_files(self.root, self.allow_links) if str(path) not in own)
        if self.caption_files:
            candidates = match_pattern(self.root, self.caption_files, self.allow_links)
            sidecars = sidecars.only({path.relative_to(self.root).as_posix() for path in candidates})
        else:
            candidates = [
                path for path in texts if self.allow_links or not path.is_symlink() or not is_outside(path, self.root)
            ]
        if sidecars.by_image and self._are_chosen(sidecars, candidates):
            return self._layout_of_sidecars(sidecars, texts)
        if self.format == Sidecars.name:
            raise FileNotFoundError(_no_captions(self.root, self.caption_files, []))
        sources = {path: self._source(path) for path in candidates}
        captions = self._detect(sources)
        if captions:
            return self._layout_of_files(sources, captions, sidecars, texts)
        if sidecars.by_image:
            return self._layout_of_sidecars(sidecars, texts)
        hints = [*why_none(self.root, list(sources.values()), self.allow_links)]
        hints += why_all_unread(self.root, self.allow_links)
        raise FileNotFoundError(_no_captions(self.root, self.caption_files, hints))

    def _are_chosen(self, sidecars: SidecarFiles, candidates: Sequence[pathlib.Path]) -> bool:
        """Whether the settings say that the captions are in sidecars."""
        is_pattern_theirs = bool(self.caption_files) and 2 * len(sidecars.paths) > len(candidates)
        return self.format == Sidecars.name or is_pattern_theirs

    def _detect(self, sources: Mapping[pathlib.Path, Source]) -> dict[pathlib.Path, Format]:
        """The files with captions, and their formats."""
        if self.format and self.caption_files:
            return dict.fromkeys(sources, find_format(self.format))
        known = FORMATS.values() if self.format is None else [find_format(self.format)]
        formats = {path: detect_format(source, known) for path, source in sources.items()}
        _check_unmarked([sources[path] for path, found in formats.items() if found is None and not self.encoding])
        return {path: found for path, found in formats.items() if found}

    def _layout_of_files(
        self,
        sources: Mapping[pathlib.Path, Source],
        captions: dict[pathlib.Path, Format],
        sidecars: SidecarFiles,
        texts: Sequence[pathlib.Path],
    ) -> Layout:
        if sidecars.are_usual:
            all_sidecars = self.root / f"**/*{posixpath.splitext(min(sidecars.paths))[1]}"
            _single_format(self.root, {**captions, all_sidecars: _sidecar_format(self.root, sidecars)})
        others = [path for path in sources if path not in captions]
        withheld = [] if self.caption_files else [path for path in others if has_withheld_captions(sources[path])]
        unknown = [path for path in others if path not in withheld]
        _check_unrecognized(self.root, captions, unknown, bool(self.caption_files))
        names = {path: path.relative_to(self.root).as_posix() for path in captions}
        copies = find_copies(list(names.values()))
        originals = {path: format for path, format in captions.items() if names[path] not in copies}
        format = _single_format(self.root, originals)
        unread = _why_unread(self.root, copies, sidecars, withheld)
        if format.is_container:
            unread |= missing_shards(names[path] for path in originals)
        files = _assign_file_splits(self.root, [sources[path] for path in originals], format.is_container)
        layout = Layout(format, files, self._lists(texts, captions), unread)
        for path in () if self.allow_links else layout.files():
            check_inside(path, self.root)
        return layout

    def _layout_of_sidecars(self, sidecars: SidecarFiles, texts: Sequence[pathlib.Path]) -> Layout:
        sidecars, unread = sidecars.without_tags(str(self.root), self._sidecar_source(self.root))
        splits = sidecars.splits()
        files = (
            CaptionFile(self._sidecar_source(self.root / own[0]), own[0], splits[image])
            for image, own in sidecars.by_image.items()
        )
        own = {self.root / path for path in sidecars.paths if path.count("/") < DEPTH}
        ordered = tuple(sorted(files, key=lambda file: file.name))
        return Layout(_sidecar_format(self.root, sidecars), ordered, self._lists(texts, own), unread)

    def _lists(self, texts: Sequence[pathlib.Path], captions: Collection[pathlib.Path]) -> dict[str, Source]:
        return {split: self._source(path) for split, path in _find_lists(self.root, texts, captions).items()}

    def _source(self, path: pathlib.Path) -> Source:
        encoding = find_encoding(path, self.encoding)
        return Source(path, encoding, self.encoding is not None, self.columns, self._uri_of(path))

    def _sidecar_source(self, path: pathlib.Path) -> Source:
        """How sidecars are read: there are too many to look for the encoding of each."""
        return Source(path, self.encoding or UTF_8, self.encoding is not None, self.columns, self._uri_of(path))

    def _uri_of(self, path: pathlib.Path) -> str:
        """The object of a bucket that a file stands for; "" on a disk."""
        return f"{self.uri}/{path.relative_to(self.root).as_posix()}" if self.uri else ""


def _why_unread(
    root: pathlib.Path, copies: Mapping[str, str], sidecars: SidecarFiles, withheld: Iterable[pathlib.Path]
) -> dict[str, str]:
    """Names the files that look like captions and are not read: path below the root -> the reason.

    Args:
      root: the data directory.
      copies: copy of a caption file -> the original.
      sidecars: those of some images, where all captions are elsewhere.
      withheld: documents of images without captions.
    """
    reasons = {copy: f"by its name, it is a second copy of {original}" for copy, original in copies.items()}
    if names := sorted(sidecars.paths):
        reasons[names[0]] = f"{len(names)} texts beside images, as this one, are no caption files"
    return reasons | {path.relative_to(root).as_posix(): "it names images without captions" for path in withheld}


def _sidecar_format(root: pathlib.Path, sidecars: SidecarFiles) -> Sidecars:
    paths = [(image, [str(root / path) for path in own]) for image, own in sidecars.by_image.items()]
    first = {own[0]: posixpath.basename(image) for image, own in paths}
    others = {own[0]: own[1:] for _, own in paths if len(own) > 1}
    return Sidecars(first, others, {own[0]: sidecars.rivals[image] for image, own in paths if image in sidecars.rivals})


def detect_format(source: Source, known: Iterable[Format] | None = None) -> Format | None:
    """Detects the format of a file by its content.

    Args:
      source: the file.
      known: the formats to try; None for all.

    Returns:
      its format; None if it contains no captions.
    """
    head = Head.of(source)
    return next((format for format in known or FORMATS.values() if format.matches(source, head)), None)


def _check_unmarked(others: Iterable[Source]) -> None:
    """Refuses captions in UTF-16 that nothing marks as such.

    Args:
      others: files in which no captions were found, and whose encoding is not stated.
    """
    for source in others:
        encoding = find_unmarked_utf16(source.path)
        if encoding and detect_format(dataclasses.replace(source, encoding=encoding)):
            raise ValueError(
                f"data.dir: {source.path} has captions in {encoding}, without a byte-order mark; set "
                f"data.encoding={encoding}"
            )


def _no_captions(data_dir: pathlib.Path, caption_files: str | None, unread: Sequence[str]) -> str:
    searched = f"in {caption_files} of {data_dir}" if caption_files else f"in {data_dir} or one level below it"
    examples = "\n".join(f"  {format.name}: {format.example}" for format in FORMATS.values())
    reasons = "".join(f"\n{reason}" for reason in unread)
    return f"data.dir: no captions {searched}. Known formats:\n{examples}{reasons}"


def _check_unrecognized(
    root: pathlib.Path, captions: Mapping[pathlib.Path, Format], others: Sequence[pathlib.Path], is_chosen: bool
) -> None:
    """Refuses to ignore a file that is meant to hold captions: it could be the train captions beside those of test.

    Args:
      root: the data directory.
      captions: files with captions, and their formats.
      others: candidates whose format is not known.
      is_chosen: whether the setting names all of them.

    Raises:
      ValueError: the setting names one of the others, or its name differs from a caption file's only in the split, or
        in the number of a shard.
    """
    are_shards = any(format.is_container for format in captions.values())
    names = {_pattern_of(path.relative_to(root), are_shards): path for path in captions}
    compressed = compressed_shards(sorted({path.parent for path in captions})) if are_shards and not is_chosen else {}
    for path in (*others, *compressed):
        similar = names.get(_pattern_of(compressed.get(path, path).relative_to(root), are_shards))
        if similar or is_chosen:
            why = f"its name is like that of {similar.name}" if similar else "data.caption_files names it"
            why += f" ({reason})" if (reason := why_unread(path)) else ""
            raise ValueError(
                f"data.dir: {path} has no captions in a known format, although {why}; check its first lines, or choose "
                "the files with data.caption_files=PATTERN"
            )


def _pattern_of(path: pathlib.Path, is_shard: bool) -> str:
    """What the names of the caption files of a dataset have in common, whatever their split or their number.

    >>> _pattern_of(pathlib.Path("data/train-00000-of-00002.parquet"), is_shard=True)
    'data/*-#-of-#.parquet'
    """
    pattern = _SPLIT_IN_PATH.sub("*", str(path))
    return re.sub(r"\d+", "#", pattern) if is_shard else pattern


def _single_format(root: pathlib.Path, captions: dict[pathlib.Path, Format]) -> Format:
    formats = set(captions.values())
    if len(formats) > 1:
        listed = "".join(f"\n  {path.relative_to(root)}: {format.name}" for path, format in captions.items())
        raise ValueError(
            f"data.dir: captions in several formats in {root}; choose one with data.caption_files=FILE:{listed}"
        )
    return formats.pop()


def _assign_file_splits(root: pathlib.Path, sources: Sequence[Source], are_containers: bool) -> tuple[CaptionFile, ...]:
    """Assigns each file the split that its name or its directory states, if there are several files.

    Several containers without splits in their names are the shards of one data set.
    """
    names = [source.path.relative_to(root).as_posix() for source in sources]
    if len(names) == 1 or (are_containers and not any(map(_SPLIT_IN_PATH.search, names))):
        return tuple(map(CaptionFile, sources, names))
    files = []
    for source, name in zip(sources, names, strict=True):
        stated = _SPLIT_IN_PATH.findall(name)
        if not stated:
            raise ValueError(
                f"data.dir: several caption files in {root}: {_first_few(names)}. Several are only used if "
                "each name contains train, val or test; keep one, or choose one with data.caption_files=FILE"
            )
        files.append(CaptionFile(source, name, SPLIT_NAMES[stated[-1].lower()]))
    return tuple(files)


def _first_few(names: Iterable[str]) -> str:
    """Lists names; of many shards the first ones."""
    first = list(itertools.islice(names, MAX_NAMED + 1))
    return ", ".join([*first[:MAX_NAMED], *(["…"] if len(first) > MAX_NAMED else [])])


def _find_lists(
    root: pathlib.Path, text_files: Sequence[pathlib.Path], captions: Collection[pathlib.Path]
) -> dict[str, pathlib.Path]:
    lists: dict[str, pathlib.Path] = {}
    for split, pattern in _LIST_NAMES.items():
        paths = [path for path in text_files if path not in captions and pattern.search(path.name)]
        if len(paths) > 1:
            raise ValueError(f"data.dir: several {split} split lists in {root}: {', '.join(map(str, paths))}; keep one")
        if paths:
            lists[split] = paths[0]
    return lists
