"""The captions of all files, gathered by picture."""

import dataclasses
import pathlib
import posixpath
from collections.abc import Sequence

from components.caption_ingest.files import Files, PictureFile
from components.caption_ingest.layout import Layout
from components.caption_ingest.readers import Caption
from components.caption_ingest.rejects import Reason, Reject

MAX_CAPTIONS = 100  # of a picture, as the schema has it


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """A split, and where it is said: the file below the data directory, and the line."""

    split: str
    source: str
    line: int


@dataclasses.dataclass(slots=True)
class Gathered:
    """What the caption files say of one picture.

    Attributes:
      image_id: its path below the data directory where the captions name that, else the name that they use.
      file: its file, if the name says which; the first of the namesakes, if they may be copies of one picture.
      namesakes: paths of the files that it may be, if the name does not say which.
      source: the file with its first caption, below the data directory.
      line: of the first caption.
      by_row: the split that rows state.
      by_file: the split that the caption files' names state.
      captions: all of them.
      surplus: how many more there are than a picture may have.
      surplus_at: the file and the line of the first of these.
    """

    image_id: str
    file: PictureFile | None
    namesakes: Sequence[str]
    source: str
    line: int
    by_row: Said | None = None
    by_file: Said | None = None
    captions: list[str] = dataclasses.field(default_factory=list)
    surplus: int = 0
    surplus_at: tuple[str, int] = ("", 0)

    def add(self, item: Caption, split: str | None, source: str) -> None:
        """Adds a caption from a file whose name states a split, or none.

        Raises:
          ValueError: it is said to be in another split than before.
        """
        if item.split:
            self.by_row = self._agreed(self.by_row, Said(item.split, source, item.line))
        if split:
            self.by_file = self._agreed(self.by_file, Said(split, source, item.line))
        if len(self.captions) < MAX_CAPTIONS:
            self.captions.append(item.text)
            return
        self.surplus += 1
        if self.surplus == 1:
            self.surplus_at = source, item.line

    def _agreed(self, before: Said | None, now: Said) -> Said:
        if before is None or before.split == now.split:
            return before or now
        raise ValueError(
            f"{now.source}:{now.line}: {self.image_id} is in {now.split} here, but in {before.split} at "
            f"{before.source}:{before.line}"
        )

    def split(self, listed: str | None) -> str | None:
        """The official split; what rows and lists state comes before the names of the caption files.

        Args:
          listed: the list that names it, or None.

        Raises:
          ValueError: rows and lists disagree.
        """
        if self.by_row and listed and self.by_row.split != listed:
            at = f"{self.by_row.source}:{self.by_row.line}"
            raise ValueError(f"{at}: {self.image_id} is in {self.by_row.split} here, but in the {listed} list")
        return self.by_row.split if self.by_row else listed or (self.by_file.split if self.by_file else None)

    def reject(self, reason: Reason, detail: str) -> Reject:
        """The picture with all its captions, as not taken."""
        return Reject(self.image_id, self.line, reason, detail, len(self.captions), self.source)

    def surplus_reject(self) -> list[Reject]:
        """The captions that are too many, as one reject; none where there are none."""
        detail = f"{MAX_CAPTIONS + self.surplus} captions, of which the first {MAX_CAPTIONS} are taken"
        source, line = self.surplus_at
        reject = Reject(self.image_id, line, Reason.TOO_MANY_CAPTIONS, detail, self.surplus, source)
        return [reject] if self.surplus else []


def gather(found: Layout, data_dir: str, files: Files) -> tuple[list[Gathered], list[Reject], int]:
    """Reads the caption files.

    Returns:
      the pictures in the order of their first captions; the lines that are no captions; how many captions there are,
      with those lines.

    Raises:
      ValueError: two rows or files put one picture into different splits.
      Unreadable: see the readers.
    """
    gathered: dict[tuple[str, str], Gathered] = {}
    rejects: list[Reject] = []
    rows = 0
    for source in found.captions:
        name = source.path.relative_to(data_dir).as_posix()
        named: dict[str, Gathered] = {}  # the pictures by the names that this file uses
        for item in found.format.read(source.path):
            rows += item.rows if isinstance(item, Reject) else 1
            if isinstance(item, Reject):
                rejects.append(dataclasses.replace(item, source=name))
                continue
            each = named.get(item.image_id)
            if each is None:
                each = _picture(item, name, files)
                # two files that use one ambiguous name need not mean the same picture
                key = each.image_id, name if each.namesakes else ""
                each = named[item.image_id] = gathered.setdefault(key, each)
            each.add(item, source.split, name)
    return list(gathered.values()), rejects, rows


def _picture(item: Caption, source: str, files: Files) -> Gathered:
    """The picture that a caption names: by a path from where the captions stand, or from the top, or by its name."""
    name = item.image_id.removeprefix("./")
    if name not in files.by_path:  # it may come from Windows
        name = name.replace("\\", "/").removeprefix("./")
    if "//" in name or "/./" in name:
        name = pathlib.PurePosixPath(name).as_posix()
    for path in (posixpath.join(posixpath.dirname(source), name), name):
        if path in files.by_path:
            return Gathered(path, files.by_path[path], (), source, item.line)
    namesakes = files.named(name)
    file = files.by_path[namesakes[0]] if len(namesakes) == 1 or _may_be_copies(name, namesakes, files) else None
    return Gathered(name, file, namesakes if len(namesakes) > 1 else (), source, item.line)


def _may_be_copies(name: str, namesakes: Sequence[str], files: Files) -> bool:
    """Whether the files that a name may mean can be copies: there are archives that have a directory twice."""
    if "/" in name and not all(path.endswith(f"/{name}") for path in namesakes):
        return False  # they are others, of the same file name
    found = [files.by_path[path] for path in namesakes]
    return len({file.size for file in found}) == 1 and not any(file.outside for file in found)
