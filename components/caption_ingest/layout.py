"""Which files of a data directory hold captions, and which the official splits."""

import dataclasses
import itertools
import os
import pathlib
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from components.caption_ingest.encodings import UTF_8, find_encoding, find_unmarked_utf16
from components.caption_ingest.files import is_printable, scan_readable
from components.caption_ingest.formats import FORMATS, find_format
from components.caption_ingest.formats.base import SPLIT_NAMES, Format, Head, Source
from components.caption_ingest.formats.coco import has_withheld_captions
from components.caption_ingest.formats.sidecars import Sidecars
from components.caption_ingest.names import IMAGE_SUFFIXES
from components.caption_ingest.second_copies import find_copies
from components.caption_ingest.settings import Columns
from components.caption_ingest.shards import missing_shards
from components.caption_ingest.sidecar_search import SidecarFiles, find_sidecars
from components.caption_ingest.unread_containers import (
    CONTAINER_SUFFIXES,
    compressed_shards,
    why_all_unread,
    why_unread,
)
from components.caption_ingest.unread_files import why_none
from components.shared.records import EVAL, TEST, TRAIN

# never opened in search of captions
_BINARY_SUFFIXES = {*IMAGE_SUFFIXES, ".gz", ".tgz", ".zip", ".7z"}
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
) -> Layout:
    """Finds the captions by the content of the files, and the lists by their names, up to one level below a directory.

    Args:
      data_dir: the data directory.
      caption_files: the caption file below the directory, or a glob pattern for several; None to examine all files.
      encoding: the encoding of files without a byte-order mark; None for UTF-8.
      format: the format of the captions, as `find_format` names it, or `sidecars`; None to detect it.
      columns: the columns of tables and the keys of JSON records to take; None to find them by their names.
      allow_links: whether files may be links that point outside the directory.

    Raises:
      FileNotFoundError: there are no captions; the message lists the known formats.
      ValueError: the files are ambiguous, or one is such a link where they are not allowed.
    """
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        raise FileNotFoundError(f"data.dir: {data_dir} is not a directory")
    columns = columns or Columns()
    sidecars = SidecarFiles({}, 0)
    if format in (None, Sidecars.name):
        sidecars = find_sidecars(data_dir, Source(root, encoding or UTF_8, encoding is not None, columns), allow_links)
    own = {str(root / path) for path in sidecars.paths} if sidecars.are_usual else set()
    text_files = sorted(path for path in _text_files(root, root, allow_links, depth=2) if str(path) not in own)
    if caption_files:
        candidates = _match_pattern(root, caption_files, allow_links)
        sidecars = sidecars.only({path.relative_to(root).as_posix() for path in candidates})
    else:
        candidates = [path for path in text_files if allow_links or _is_inside(path, root)]
    is_chosen = format == Sidecars.name or (caption_files and 2 * len(sidecars.paths) > len(candidates))
    if is_chosen and sidecars.by_image:
        return _sidecar_layout(root, sidecars, text_files, encoding, columns)
    if format == Sidecars.name:
        raise FileNotFoundError(_no_captions(data_dir, caption_files, []))
    sources = {path: _source(path, encoding, columns) for path in candidates}
    known = FORMATS.values() if format is None else [find_format(format)]
    if format and caption_files:
        captions = dict.fromkeys(candidates, find_format(format))
    else:
        formats = {path: detect_format(source, known) for path, source in sources.items()}
        captions = {path: detected for path, detected in formats.items() if detected}
    _check_unmarked([source for path, source in sources.items() if path not in captions and not source.is_stated])
    if sidecars.by_image and not captions:
        return _sidecar_layout(root, sidecars, text_files, encoding, columns)
    if not captions:
        hints = [*why_none(root, list(sources.values()), allow_links), *why_all_unread(root, allow_links)]
        raise FileNotFoundError(_no_captions(data_dir, caption_files, hints))
    if sidecars.are_usual:
        all_sidecars = root / f"**/*{posixpath.splitext(min(sidecars.paths))[1]}"
        _single_format(root, {**captions, all_sidecars: _sidecar_format(root, sidecars)})
    others = [path for path in candidates if path not in captions]
    withheld = [] if caption_files else [path for path in others if has_withheld_captions(sources[path])]
    _check_unrecognized(root, captions, [path for path in others if path not in withheld], bool(caption_files))
    copies = find_copies([path.relative_to(root).as_posix() for path in captions])
    originals = {path: format for path, format in captions.items() if path.relative_to(root).as_posix() not in copies}
    single = _single_format(root, originals)
    layout = Layout(
        single,
        _assign_file_splits(root, [sources[path] for path in originals], single.is_container),
        {split: _source(path, encoding, columns) for split, path in _find_lists(root, text_files, captions).items()},
        _why_unread(root, copies, sidecars, withheld)
        | (missing_shards(path.relative_to(root).as_posix() for path in originals) if single.is_container else {}),
    )
    for path in () if allow_links else layout.files():
        _check_inside(path, root)
    return layout


def _sidecar_layout(
    root: pathlib.Path,
    sidecars: SidecarFiles,
    text_files: Sequence[pathlib.Path],
    encoding: str | None,
    columns: Columns,
) -> Layout:
    sidecars, unread = sidecars.without_tags(str(root), Source(root, encoding or UTF_8, encoding is not None, columns))
    splits = sidecars.splits()
    files = (
        CaptionFile(Source(root / own[0], encoding or UTF_8, encoding is not None, columns), own[0], splits[image])
        for image, own in sidecars.by_image.items()
    )
    own = {root / path for path in sidecars.paths if path.count("/") < 2}
    lists = {split: _source(path, encoding, columns) for split, path in _find_lists(root, text_files, own).items()}
    return Layout(_sidecar_format(root, sidecars), tuple(sorted(files, key=lambda file: file.name)), lists, unread)


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


def _source(path: pathlib.Path, encoding: str | None, columns: Columns) -> Source:
    return Source(path, find_encoding(path, encoding), encoding is not None, columns)


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


def _no_captions(data_dir: str, caption_files: str | None, unread: Sequence[str]) -> str:
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


def _text_files(directory: pathlib.Path, root: pathlib.Path, allow_links: bool, depth: int) -> Iterator[pathlib.Path]:
    """Yields the files that may hold captions or lists: neither hidden files nor images, of which there are many."""
    for entry in scan_readable(str(directory)):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if os.path.splitext(entry.name)[1].lower() not in _BINARY_SUFFIXES and entry.is_file():
            yield directory / entry.name
        elif depth and entry.is_dir() and (not entry.is_symlink() or (allow_links and _leads_out(entry, root))):
            below = _text_files(directory / entry.name, root, allow_links, depth - 1)
            # the deepest of all, `default/train/0000.parquet`, are Hugging Face's
            yield from below if depth > 1 else (path for path in below if path.suffix.lower() in CONTAINER_SUFFIXES)


def _leads_out(entry: os.DirEntry, root: pathlib.Path) -> bool:
    """Whether a link leads out of the data directory; files behind others are listed under their own path."""
    return not pathlib.Path(entry.path).resolve().is_relative_to(root.resolve())


def _match_pattern(root: pathlib.Path, pattern: str, allow_links: bool) -> list[pathlib.Path]:
    """Lists the files that match `data.caption_files`."""
    if pathlib.PurePath(pattern).is_absolute() or ".." in pathlib.PurePath(pattern).parts:
        raise ValueError(f"data.caption_files: {pattern} points outside the data directory")
    paths = sorted(path for path in root.glob(pattern) if path.is_file())
    for path in paths:
        if not is_printable(str(path.relative_to(root))):
            raise ValueError(f"data.caption_files: the name {path.name!a} is not UTF-8 or contains control characters")
        if not allow_links:
            _check_inside(path, root)
    return paths


def _is_inside(path: pathlib.Path, root: pathlib.Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(root.resolve())


def _check_inside(path: pathlib.Path, root: pathlib.Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"data.dir: {path} is a link that points outside the data directory; data.allow_links=true takes it"
        )


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
