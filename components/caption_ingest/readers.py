"""Caption files -> a stream of captions, each with where it stands. Adding a format means adding one reader.

So far: Flickr8k's own layout, `NAME.jpg#K<TAB>sentence` and lists of the train, dev and test images.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

from components.caption_ingest.rejects import Reason, Reject
from components.records import EVAL, TEST, TRAIN

MAX_LINE_BYTES = 16_384  # a longer line is no caption
_BOM = b"\xef\xbb\xbf"
_LISTS = {
    TRAIN: re.compile(r"trainimages\.txt$", re.IGNORECASE),
    EVAL: re.compile(r"(dev|val)images\.txt$", re.IGNORECASE),
    TEST: re.compile(r"testimages\.txt$", re.IGNORECASE),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Caption:
    """One sentence about one picture; `split` is None where no official list names the picture."""

    image_id: str
    text: str
    split: str | None
    line: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """The files of a data set in Flickr8k's layout."""

    captions: pathlib.Path
    lists: dict[str, pathlib.Path]  # split -> its list

    def files(self) -> list[pathlib.Path]:
        """Every file that is read, in a fixed order."""
        return [self.captions, *(self.lists[split] for split in sorted(self.lists))]


def find_layout(data_dir: str) -> Layout:
    """Finds the captions and the lists, in the directory or one level below it.

    Raises:
      FileNotFoundError: there is no captions file, with what one looks like.
      ValueError: there are several, so that it is not clear which is meant.
    """
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        raise FileNotFoundError(f"data.dir: {data_dir} is not a directory")
    files = [path for path in sorted([*root.glob("*"), *root.glob("*/*")]) if not _is_hidden(path, root)]
    # Flickr8k ships its captions a second time, lemmatized
    tokens = [path for path in files if re.search(r"token(\.txt)?$", path.name) and path.is_file()]
    captions = [path for path in tokens if "lemma" not in path.name]
    if not captions:
        raise FileNotFoundError(
            f"data.dir: no captions in {data_dir}. Looked for *token.txt with lines `NAME.jpg#0<TAB>sentence`, "
            "as in Flickr8k, there and one level below."
        )
    if len(captions) > 1:
        raise ValueError(f"data.dir: several caption files in {data_dir}: {', '.join(map(str, captions))}; keep one")
    lists: dict[str, pathlib.Path] = {}
    for split, pattern in _LISTS.items():
        found = [path for path in files if pattern.search(path.name) and path.is_file()]
        if len(found) > 1:
            raise ValueError(f"data.dir: several {split} lists in {data_dir}: {', '.join(map(str, found))}; keep one")
        if found:
            lists[split] = found[0]
    return Layout(captions[0], lists)


def read_lists(layout: Layout) -> dict[str, str]:
    """The official splits: image id -> split.

    Raises:
      ValueError: a picture is in two lists, or a list is not UTF-8.
    """
    split_of: dict[str, str] = {}
    for split, path in layout.lists.items():
        for number, raw in _lines(path):
            try:
                image_id = raw.decode().strip()
            except UnicodeDecodeError:
                raise ValueError(f"{path}:{number}: not UTF-8") from None
            if image_id and split_of.setdefault(image_id, split) != split:
                raise ValueError(f"{path}:{number}: {image_id} is in the {split_of[image_id]} list already")
    return split_of


def read_flickr8k(layout: Layout, split_of: dict[str, str]) -> Iterator[Caption | Reject]:
    """Reads `NAME.jpg#K<TAB>sentence` lines; a byte-order mark and Windows line ends are taken.

    Args:
      layout: where the captions are.
      split_of: the official splits, see `read_lists`.

    Yields:
      a `Caption` or a `Reject` for every line that is not blank.
    """
    for number, raw in _lines(layout.captions):
        if not raw.strip():
            continue
        if len(raw) > MAX_LINE_BYTES:
            yield Reject("", number, Reason.BAD_LINE, f"{len(raw)} bytes, more than {MAX_LINE_BYTES}")
            continue
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            yield Reject("", number, Reason.BAD_ENCODING, f"not UTF-8 at byte {error.start} of the line")
            continue
        yield _parse(line, number, split_of)


def _parse(line: str, number: int, split_of: dict[str, str]) -> Caption | Reject:
    key, tab, text = line.partition("\t")
    image_id, _, index = key.strip().rpartition("#")
    text = text.strip()
    if not tab:
        return Reject(key[:80], number, Reason.BAD_LINE, "no tab between the picture's name and the sentence")
    if not image_id or not index.isdecimal() or not image_id.isprintable():
        return Reject(key[:80], number, Reason.BAD_LINE, "the name is not of the form NAME.jpg#NUMBER")
    if not any(map(str.isalpha, text)):
        return Reject(image_id, number, Reason.EMPTY_CAPTION, f"no word in {text[:40]!r}")
    return Caption(image_id, text, split_of.get(image_id), number)


def _lines(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """The numbered lines of a file, without their ends and without a byte-order mark."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            yield number, (raw.removeprefix(_BOM) if number == 1 else raw).rstrip(b"\r\n")


def _is_hidden(path: pathlib.Path, root: pathlib.Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)
