"""What the ingest would read from a data directory, found in seconds: no image is decoded, TensorFlow is not loaded."""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from components.caption_ingest import dataset, rejects
from components.caption_ingest.dataset import (
    CaptionedImage,
    DataSet,
    EmptySplitError,
    check_no_empty_split,
    check_reject_fraction,
)
from components.caption_ingest.encodings import UTF_8
from components.caption_ingest.formats.base import Format
from components.caption_ingest.layout import CaptionFile
from components.caption_ingest.rejects import Reason, Reject, TooManyRejects, reject_image
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared.images import containers, headers, limits, reading
from components.shared.images.limits import ImageError
from components.shared.object_store import StorageError
from components.shared.records import EVAL, SPLITS, TEST
from pipeline.errors import UserError

MAX_OPENED = 500  # images whose headers are read
MAX_EXAMPLES = 3  # of rejects for each reason
MAX_SENTENCES = 5  # of images that are shown with their first caption
MAX_FILES = 20  # that are listed


class DataError(UserError):
    """The ingest would refuse the directory as a whole."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file that is read.

    Attributes:
      name: its path below the data directory.
      content: "captions", or the split that it lists.
      format: the format of its captions, with the dialect; empty for a list.
    """

    name: str
    content: str
    format: str


@dataclasses.dataclass(frozen=True)
class Preview:
    """What the ingest would read.

    Attributes:
      data_dir: the directory, or the URI of a prefix in a bucket.
      files: the files with captions and lists.
      num_images: split -> number of images.
      stated_splits: the splits that the dataset itself defines; none where they are hashed.
      split_origins: what states the splits -> number of images.
      names: how the names in the captions differ from those of the files -> number of images.
      num_captions: number of captions of these images.
      num_opened: number of images whose headers were read.
      rejects: rejected lines and images, those with a bad header included.
      warnings: what is odd about the data.
      refusal: why a run would stop; empty if it would not.
      sentences: (image ID, split, first caption) of some images.
    """

    data_dir: str
    files: Sequence[File]
    num_images: Mapping[str, int]
    stated_splits: Sequence[str]
    split_origins: Mapping[str, int]
    names: Mapping[str, int]
    num_captions: int
    num_opened: int
    rejects: Sequence[Reject]
    warnings: Sequence[str]
    refusal: str
    sentences: Sequence[tuple[str, str, str]]

    def to_json(self) -> dict[str, Any]:
        """The preview for programs; of the rejects, their numbers and some examples."""
        fields = dataclasses.asdict(dataclasses.replace(self, rejects=()))
        captions = rejects.count_captions(self.rejects)
        numbers = {"rejects": rejects.count(self.rejects), "rejected_captions": captions}
        return fields | numbers | {"examples": _examples(self.rejects)}


def preview(settings: CaptionIngestSettings) -> Preview:
    """Reads the captions and split lists of a directory, and the headers of some images.

    Args:
      settings: the ingest's settings, with the directory.

    Raises:
      DataError: the directory can't be read as a whole; the message says why and what to do.
    """
    data = read(settings)
    opened = sorted(spread(data.images, MAX_OPENED), key=lambda image: containers.reading_order(image.file.uri))
    bad_headers = _check_headers(data, opened)
    return Preview(
        data_dir=data.data_dir,
        files=_files(data),
        num_images={split: sum(image.split == split for image in data.images) for split in SPLITS},
        stated_splits=data.stated_splits,
        split_origins=data.split_origins,
        names={spelling.value: number for spelling, number in data.spellings.items()},
        num_captions=sum(len(image.captions) for image in data.images),
        num_opened=len(opened),
        rejects=(*data.rejects, *bad_headers),
        warnings=data.warnings,
        refusal=refusal(data, bad_headers, settings.max_reject_fraction) or _empty_split(data, bad_headers),
        sentences=[(image.image_id, image.split, image.captions[0]) for image in spread(data.images, MAX_SENTENCES)],
    )


def read(settings: CaptionIngestSettings) -> DataSet:
    """Reads a directory as the ingest does.

    Raises:
      DataError: it can't be read as a whole.
    """
    data_dir = settings.dir or ""
    if os.path.isdir(data_dir) and not os.listdir(data_dir):
        raise DataError(f"{data_dir} is empty; give a directory with images and their captions")
    try:
        return dataset.read(settings)
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from None


def refusal(data: DataSet, faulty: Sequence[Reject], max_fraction: float) -> str:
    """Why the ingest would fail a run on this data, judged by the images that were opened; empty if it would not."""
    try:
        check_reject_fraction(data, faulty, max_fraction)
    except TooManyRejects as error:
        return str(error)
    return ""


def _empty_split(data: DataSet, faulty: Sequence[Reject]) -> str:
    rejected = {reject.image_id for reject in faulty}
    try:
        check_no_empty_split([image for image in data.images if image.image_id not in rejected], data.stated_splits)
    except EmptySplitError as error:
        return str(error)
    return ""


def spread(images: Sequence[CaptionedImage], number: int) -> Sequence[CaptionedImage]:
    """Some of the images, at equal distances."""
    return images[:: max(1, -(-len(images) // number))]


def _check_headers(data: DataSet, images: Sequence[CaptionedImage]) -> list[Reject]:
    """The rejects of images whose files can't be read, or are no images of an accepted kind and size.

    Raises:
      DataError: the bucket can't be read.
    """
    too_large = f"bytes; the maximum is {limits.MAX_BYTES}"
    rejected = [
        reject_image(image, Reason.TOO_LARGE, f"{image.file.size} {too_large}")
        for image in images
        if image.file.size > limits.MAX_BYTES
    ]
    small = [image for image in images if image.file.size <= limits.MAX_BYTES]
    contents = reading.read_many([os.path.join(data.data_dir, image.file.uri) for image in small])
    try:
        checked = [_check_header(image, content) for image, content in zip(small, contents, strict=True)]
    except StorageError as error:
        raise DataError(str(error)) from None
    return rejected + [reject for reject in checked if reject is not None]


def _check_header(image: CaptionedImage, content: bytes | OSError) -> Reject | None:
    try:
        if isinstance(content, OSError):
            raise content
        headers.check_header(content)
    except OSError as error:
        return reject_image(image, Reason.UNREADABLE_IMAGE, f"{image.file.uri}: {error.strerror or error}")
    except ImageError as error:
        return reject_image(image, Reason(error.fault.value), str(error))
    return None


def _files(data: DataSet) -> list[File]:
    captions = [
        File(file.name, f"captions of {file.split}" if file.split else "captions", _format_of(file, data.layout.format))
        for file in data.layout.captions
    ]
    lists = [
        File(os.path.relpath(source.location, data.data_dir), f"images of {split}", "list of names")
        for split, source in data.layout.lists.items()
    ]
    return captions + lists


def _format_of(file: CaptionFile, format: Format) -> str:
    """The format of a file with its dialect, and its encoding where that is not UTF-8."""
    encoding = "" if file.source.encoding == UTF_8 else file.source.encoding
    return ", ".join(filter(None, (format.name, format.describe(file.source), encoding)))


def _examples(all_rejects: Sequence[Reject]) -> dict[str, list[str]]:
    """Reason -> the first rejects, with file and line."""
    examples: dict[str, list[str]] = collections.defaultdict(list)
    for reject in all_rejects:
        shown = examples[reject.reason.value]
        if len(shown) < MAX_EXAMPLES:
            shown.append(f"{reject.source}:{reject.line}: {reject.image_id}: {reject.detail}")
    return dict(examples)


def tables(found: Preview) -> Group:
    """The preview for people."""
    files = Table("file", "holds", "format", box=None, pad_edge=False)
    for file in found.files[:MAX_FILES]:
        files.add_row(Text(file.name), Text(file.content), Text(file.format))
    if len(found.files) > MAX_FILES:
        files.add_row(f"… {len(found.files) - MAX_FILES} more")
    parts: list[RenderableType] = [Text(found.data_dir, "bold"), files, "", _facts(found)]
    if found.rejects:
        parts += ["", _reject_table(found)]
    if found.sentences:
        sentences = Table("image", "split", "first caption", box=None, pad_edge=False)
        for sentence in found.sentences:
            sentences.add_row(*map(Text, sentence))
        parts += ["", sentences]
    parts += [Text(f"warning: {warning}", "yellow") for warning in found.warnings]
    if found.refusal:
        parts.append(Text(f"A run would stop: {found.refusal.splitlines()[0]}", "bold red"))
    return Group(*parts)


def _facts(found: Preview) -> Table:
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    sizes = ", ".join(f"{split} {number:,}" for split, number in found.num_images.items())
    facts.add_row("images", f"{sum(found.num_images.values()):,}: {sizes}")
    origins = ", ".join(f"{origin} ({number:,} images)" for origin, number in found.split_origins.items())
    facts.add_row("splits", f"by {origins or 'nothing'}{_derived_splits(found.stated_splits)}")
    facts.add_row("names", ", ".join(f"{number:,} {spelling}" for spelling, number in found.names.items()) or "none")
    facts.add_row("captions", f"{found.num_captions:,}")
    facts.add_row("opened", f"headers of {found.num_opened:,} images; a run decodes all of them to the end")
    return facts


def _derived_splits(stated: Sequence[str]) -> str:
    """Which splits are made of others, as `splits.assign_split` does."""
    if not stated:
        return ""
    from_eval = "; no test split is stated: the eval split is the test split" if TEST not in stated else ""
    from_train = "; a part of train is held out for eval" if not {TEST, EVAL} <= set(stated) else ""
    return from_eval + from_train


def _reject_table(found: Preview) -> Table:
    table = Table("rejected", "for example", box=None, pad_edge=False)
    examples = _examples(found.rejects)
    for reason, amount in zip(rejects.count(found.rejects), rejects.amounts(found.rejects), strict=True):
        for row, example in enumerate(examples[reason]):
            table.add_row("" if row else amount, Text(example))
    return table
