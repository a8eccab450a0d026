"""The captions of all files, grouped by image."""

import dataclasses

from components.caption_ingest.annotation_sets import SharedImages, check_containers
from components.caption_ingest.files import Files, NameMatch
from components.caption_ingest.formats.base import Caption
from components.caption_ingest.layout import Layout
from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.second_copies import Likeness

MAX_CAPTIONS = 100  # per image, as in the schema


@dataclasses.dataclass(frozen=True, slots=True)
class SplitSource:
    """A split, and the line that states it: caption file below the data directory, and line number."""

    split: str
    source: str
    line: int


@dataclasses.dataclass(slots=True)
class ImageCaptions:
    """What the caption files contain about one image.

    Attributes:
      match: what the name in the captions may mean.
      source: path of the file with the first caption, below the data directory.
      line: line of the first caption.
      row_split: the split that rows state.
      file_split: the split that the names of caption files state.
      captions: the captions, each sentence once.
      num_excess: number of further captions, beyond the maximum per image.
      first_excess: file and line of the first of these.
    """

    match: NameMatch
    source: str
    line: int
    row_split: SplitSource | None = None
    file_split: SplitSource | None = None
    captions: list[str] = dataclasses.field(default_factory=list)
    num_excess: int = 0
    first_excess: tuple[str, int] = ("", 0)

    @property
    def image_id(self) -> str:
        """See `NameMatch`."""
        return self.match.image_id

    def add(self, caption: Caption, split: str | None, source: str) -> bool:
        """Adds a caption, unless the image has this sentence.

        Args:
          caption: the caption.
          split: the split that the name of its file states; None if it states none.
          source: path of its file below the data directory.

        Returns:
          whether it counts; False if the image has this sentence.

        Raises:
          ValueError: an earlier caption states another split.
        """
        if caption.split:
            self.row_split = self._agree(self.row_split, SplitSource(caption.split, source, caption.line))
        if split:
            self.file_split = self._agree(self.file_split, SplitSource(split, source, caption.line))
        if caption.text in self.captions:
            return False
        if len(self.captions) < MAX_CAPTIONS:
            self.captions.append(caption.text)
            return True
        self.num_excess += 1
        if self.num_excess == 1:
            self.first_excess = source, caption.line
        return True

    def _agree(self, before: SplitSource | None, current: SplitSource) -> SplitSource:
        if before is None or before.split == current.split:
            return before or current
        raise ValueError(
            f"{current.source}:{current.line}: {self.image_id} is in {current.split} here, but in {before.split} at "
            f"{before.source}:{before.line}"
        )

    def excess_rejects(self) -> list[Reject]:
        """Makes one reject of all captions beyond the maximum; an empty list if there are none."""
        if not self.num_excess:
            return []
        detail = f"{MAX_CAPTIONS + self.num_excess} captions; only the first {MAX_CAPTIONS} are used"
        source, line = self.first_excess
        return [Reject(self.image_id, line, Reason.TOO_MANY_CAPTIONS, detail, self.num_excess, source)]


@dataclasses.dataclass(slots=True)
class Repeats:
    """Sentences that an image has already: of a file that was appended to itself, or of an annotator.

    Attributes:
      number: how many there are.
      first: the first of them: file, line, image and sentence.
    """

    number: int = 0
    first: str = ""

    def add(self, caption: Caption, source: str) -> None:
        """Counts a caption of a file."""
        self.number += 1
        self.first = self.first or f"{source}:{caption.line}: {caption.image_id[:80]}: {caption.text[:80]!r}"

    def warnings(self, num_captions: int) -> list[str]:
        """Warns of the repeated sentences, if there are any.

        Args:
          num_captions: number of the captions that count.
        """
        if not self.number:
            return []
        return [
            f"{self.number} captions repeat a sentence of their image and are not used, beside {num_captions} that "
            f"are; the first is {self.first}"
        ]


@dataclasses.dataclass(frozen=True)
class Grouping:
    """The content of all caption files.

    Attributes:
      images: the images in the order of their first captions.
      rejects: the lines that are rejected.
      num_captions: number of captions, rejected lines included, and repeated sentences not.
      warnings: what is odd about the captions.
    """

    images: list[ImageCaptions]
    rejects: list[Reject]
    num_captions: int
    warnings: list[str]


def group_by_image(layout: Layout, files: Files, *, are_chosen: bool = False) -> Grouping:
    """Reads the caption files.

    Args:
      layout: the caption files and their format.
      files: the files of the data directory.
      are_chosen: whether the settings name the caption files, so that several of the same images are meant.

    Raises:
      ValueError: rows or file names put one image into two splits, or a file is a tokenized copy of another, or has
        other captions of its images and is not chosen.
      UnreadableFileError: a file can't be read at all.
    """
    images: dict[tuple[str, str], ImageCaptions] = {}
    rejects: list[Reject] = []
    repeats, shared = Repeats(), SharedImages()
    num_captions = 0
    for file in layout.captions:
        by_name: dict[str, ImageCaptions] = {}  # under the names that this file uses
        likeness = Likeness(file.name) if images else None
        for item in layout.format.read(file.source):
            if isinstance(item, Reject):
                num_captions += item.rows
                rejects.append(dataclasses.replace(item, source=file.name))
                continue
            image = by_name.get(item.image_id)
            if image is None:
                match = files.match(item.image_id, file.name)
                # two files that use one ambiguous name need not mean the same image
                key = match.image_id, file.name if match.candidates else ""
                if key not in images:
                    images[key] = ImageCaptions(match, file.name, item.line)
                image = by_name[item.image_id] = images[key]
            if likeness:
                likeness.see(item.text, image.captions, image.source)
            if image.add(item, file.split, file.name):
                num_captions += 1
                shared.see(image.image_id, file.name, image.source)
            else:
                repeats.add(item, file.name)
        if likeness:
            likeness.check()
        if not are_chosen:
            shared.check(file.name, len(by_name))
    if layout.format.is_container and not are_chosen:
        check_containers(layout)
    return Grouping(list(images.values()), rejects, num_captions, repeats.warnings(num_captions))
