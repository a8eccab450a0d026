"""Which files of a data directory hold captions, and which the official splits."""

import codecs
import dataclasses
import json
import mmap
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

from components.caption_ingest import readers
from components.caption_ingest.files import is_plain, readable
from components.caption_ingest.readers import FORMATS, SPLIT_NAMES, Format
from components.records import EVAL, TEST, TRAIN

HEAD = 65_536  # bytes that tell a format
# never opened in search of captions
_NOT_TEXT = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".tar", ".gz", ".tgz", ".zip", ".7z"}
_LISTS = {
    split: re.compile(rf"(^|[^a-z])({names})[-_.]?(images|image|list|split|set|names|ids)?\.txt$", re.IGNORECASE)
    for split, names in {TRAIN: "train", EVAL: "dev|val|valid|validation|eval", TEST: "test"}.items()
}
_SPLIT_IN_PATH = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_NAMES)})(?![a-z])", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class CaptionFile:
    """A file with captions; `split` is what its name says where the captions come in several files."""

    path: pathlib.Path
    split: str | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """The files of a data set.

    Attributes:
      format: how the captions are written down.
      captions: the files.
      lists: split -> the list of its pictures, where the data set has such lists.
    """

    format: Format
    captions: tuple[CaptionFile, ...]
    lists: dict[str, pathlib.Path]

    def files(self) -> list[pathlib.Path]:
        """Every file that is read, in a fixed order."""
        return [*(file.path for file in self.captions), *(self.lists[split] for split in sorted(self.lists))]


def find(data_dir: str, wanted: str | None = None) -> Layout:
    """Finds the captions by what is in the files, and the lists by their names, in the directory or one level below it.

    Args:
      data_dir: the directory.
      wanted: the file with the captions, or a pattern of several, below the directory; None to look at all files.

    Raises:
      FileNotFoundError: there are no captions, with what they look like.
      ValueError: it is not clear which are meant, or one is a link that leads out of the directory.
    """
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        raise FileNotFoundError(f"data.dir: {data_dir} is not a directory")
    files = sorted(_candidates(root, depth=2))
    looked_at = _wanted(root, wanted) if wanted else [path for path in files if _is_inside(path, root)]
    kinds = {path: told_apart(path) for path in looked_at}
    found = {path: kind for path, kind in kinds.items() if kind}
    if found:
        _check_others(root, found, [path for path, kind in kinds.items() if not kind], bool(wanted))
    else:
        looks = "\n".join(f"  {each.name}: {each.looks}" for each in FORMATS)
        where = f"in {wanted} of {data_dir}" if wanted else f"in {data_dir}, nor one level below it"
        raise FileNotFoundError(f"data.dir: no captions {where}. Known are\n{looks}")
    if not wanted:
        # Flickr8k ships its captions a second time, lemmatized
        plain = {path: kind for path, kind in found.items() if "lemma" not in path.name}
        found = plain or found
    made = Layout(_one_format(data_dir, found), _parted(data_dir, list(found)), _find_lists(data_dir, files, found))
    for path in made.files():
        _check_inside(path, root)
    return made


def told_apart(path: pathlib.Path) -> Format | None:
    """The format of a file by what is in it; None where it holds no captions."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    text = codecs.getincrementaldecoder("utf-8-sig")("replace").decode(head)
    if "\0" in text and "\ufffd" in text:
        return None  # no text; a control character alone makes none of it
    lines = [line for line in text.splitlines() if line.strip()][:100]
    if not lines:
        return None
    if lines[0].lstrip().startswith("{"):
        if _is_record(lines[0]):
            return readers.JSON_LINES
        # whose first line may be broken
        return _kind_of_document(path) or (readers.JSON_LINES if any(map(_is_record, lines[1:])) else None)
    if any(re.match(r"[^\t]+#\d+ *\t", line) for line in lines):
        return readers.TOKENS
    return readers.TABLE if len(lines[0]) < 1024 and readers.table_header(lines[0]) else None


def _check_others(
    root: pathlib.Path, found: Iterable[pathlib.Path], others: Sequence[pathlib.Path], are_wanted: bool
) -> None:
    """Lets no file go unread that is meant: it may be the train captions of which the test captions are left.

    Args:
      root: the data directory.
      found: files with captions.
      others: files that are told to have none.
      are_wanted: all of them were asked for by name.

    Raises:
      ValueError: one of the others was asked for, or is called as one with captions but for the split.
    """
    names = {_SPLIT_IN_PATH.sub("*", str(path.relative_to(root))): path for path in found}
    for path in others:
        alike = names.get(_SPLIT_IN_PATH.sub("*", str(path.relative_to(root))))
        if alike or are_wanted:
            why = f"it is called as {alike.name} is" if alike else "data.captions names it"
            raise ValueError(
                f"data.dir: {path} has no captions of a known kind, though {why}; see its first lines, or choose the "
                "files with data.captions=PATTERN"
            )


def _candidates(directory: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    """The files that may hold captions or lists: neither hidden ones nor pictures, of which there are many."""
    for entry in readable(str(directory)):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if os.path.splitext(entry.name)[1].lower() not in _NOT_TEXT and entry.is_file():
            yield directory / entry.name
        elif depth > 1 and entry.is_dir() and not entry.is_symlink():
            yield from _candidates(directory / entry.name, depth - 1)


def _wanted(root: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    if pathlib.PurePath(pattern).is_absolute() or ".." in pathlib.PurePath(pattern).parts:
        raise ValueError(f"data.captions: {pattern} leads out of the data directory")
    paths = sorted(path for path in root.glob(pattern) if path.is_file())
    for path in paths:
        if not is_plain(str(path.relative_to(root))):
            raise ValueError(f"data.captions: the name of {path.name!a} is no UTF-8, or has control characters")
        _check_inside(path, root)
    return paths


def _is_inside(path: pathlib.Path, root: pathlib.Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(root.resolve())


def _check_inside(path: pathlib.Path, root: pathlib.Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"data.dir: {path} is a link that leads out of the data directory")


def _is_record(line: str) -> bool:
    """Whether a line is an object of JSON lines, and not the beginning of a document."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return any(name in record for name in readers.IMAGE_COLUMNS) and "images" not in record


def _kind_of_document(path: pathlib.Path) -> Format | None:
    """Tells JSON documents apart by the keys in them, without parsing: COCO's other annotations are large."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if text.find(b'"sentences"') >= 0:
            return readers.KARPATHY
        return readers.COCO if text.find(b'"annotations"') >= 0 and text.find(b'"caption"') >= 0 else None


def _one_format(data_dir: str, found: dict[pathlib.Path, Format]) -> Format:
    kinds = set(found.values())
    if len(kinds) > 1:
        listed = "".join(f"\n  {path.relative_to(data_dir)}: {kind.name}" for path, kind in found.items())
        raise ValueError(f"data.dir: captions of several kinds in {data_dir}; choose with data.captions=FILE:{listed}")
    return kinds.pop()


def _parted(data_dir: str, paths: Sequence[pathlib.Path]) -> tuple[CaptionFile, ...]:
    """The files, each with the split that its name or its directory says, if there are several."""
    if len(paths) == 1:
        return (CaptionFile(paths[0]),)
    parted = []
    for path in paths:
        named = _SPLIT_IN_PATH.findall(str(path.relative_to(data_dir)))
        if not named:
            listed = ", ".join(str(each.relative_to(data_dir)) for each in paths)
            raise ValueError(
                f"data.dir: several caption files in {data_dir}: {listed}. Several are taken where each one's name "
                "says train, val or test; keep one, or choose with data.captions=FILE"
            )
        parted.append(CaptionFile(path, SPLIT_NAMES[named[-1].lower()]))
    return tuple(parted)


def _find_lists(
    data_dir: str, files: Sequence[pathlib.Path], captions: dict[pathlib.Path, Format]
) -> dict[str, pathlib.Path]:
    lists: dict[str, pathlib.Path] = {}
    for split, pattern in _LISTS.items():
        found = [path for path in files if path not in captions and pattern.search(path.name)]
        if len(found) > 1:
            raise ValueError(f"data.dir: several {split} lists in {data_dir}: {', '.join(map(str, found))}; keep one")
        if found:
            lists[split] = found[0]
    return lists
