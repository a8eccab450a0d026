"""WebDataset's shards: tar archives of images and their captions, under one key each."""

import contextlib
import dataclasses
import itertools
import json
import re
from collections.abc import Iterable, Iterator

from components.caption_ingest.formats.base import (
    IMAGE_COLUMNS,
    Caption,
    Format,
    Head,
    Source,
    checked_caption,
)
from components.caption_ingest.formats.container_sources import open_source
from components.caption_ingest.formats.json_files import captions_of, keys_of
from components.caption_ingest.names import IMAGE_SUFFIXES
from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.settings import Columns
from components.shared.images import tar_files
from components.shared.images.container_files import DamagedContainerError, open_file
from components.shared.images.containers import TarContainer
from components.shared.images.tar_files import TarMember

HEAD_MEMBERS = 1000  # members by which a shard is detected
MAX_TEXT_BYTES = 2**20  # of the captions of one image
TEXT_EXTENSIONS = ("txt", "text", "caption", "captions", "caption.txt", "captions.txt", "txt.caption")
CAPTION_EXTENSIONS = (*TEXT_EXTENSIONS, "json")
_LINE_END = re.compile("\r\n|\r|\n")


@dataclasses.dataclass
class Sample:
    """The members of one key.

    Attributes:
      number: its number in the shard, from 1.
      images: those with an image's extension.
      others: extension -> members.
    """

    number: int
    images: list[TarMember] = dataclasses.field(default_factory=list)
    others: dict[str, list[TarMember]] = dataclasses.field(default_factory=dict)

    def text_members(self) -> list[TarMember]:
        """The members that may hold its captions, in the order in which they are tried."""
        return [member for extension in CAPTION_EXTENSIONS for member in self.others.get(extension, ())]


class WebDataset(Format):
    """Tar archives in which `KEY.jpg` is an image, and `KEY.txt` or `KEY.caption` has its captions, one per line.

    Without these, `KEY.json` has them, with the keys of a record, see `captions_of`. As in `webdataset`, the key
    is the path up to the first dot of the file name; members of other extensions count for nothing.
    """

    name = "WebDataset"
    example = "tar archives of `KEY.jpg` and `KEY.txt`, `KEY.caption` or `KEY.json`"
    is_container = True

    def matches(self, source: Source, head: Head) -> bool:
        if not tar_files.is_tar(head.start):
            return False
        # `read` says where the archive is damaged, if these are samples
        with open_file(source.location) as file, contextlib.suppress(DamagedContainerError):
            samples: dict[str, Sample] = {}
            for member in itertools.islice(tar_files.walk(file), HEAD_MEMBERS):
                sample = _add(member, samples)
                if sample and sample.images and sample.text_members():
                    return True
        return False

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        container = open_source(source, TarContainer)
        for key, sample in samples_of(container.entries).items():
            yield from _captions(key, sample, container, source.columns)


def samples_of(members: Iterable[TarMember]) -> dict[str, Sample]:
    """Groups the members of an archive by their keys, in the order of their first members."""
    samples: dict[str, Sample] = {}
    for member in members:
        _add(member, samples)
    return samples


def _add(member: TarMember, samples: dict[str, Sample]) -> Sample | None:
    """Adds a member to its sample, and returns that; None if it is of no sample."""
    directory, _, name = member.name.rpartition("/")
    stem, dot, extension = name.partition(".")
    if not stem or not dot or name.startswith("__"):  # hidden, without extension, or about the shard
        return None
    key, extension = f"{directory}/{stem}" if directory else stem, extension.lower()
    sample = samples.get(key)
    if sample is None:
        sample = samples[key] = Sample(len(samples) + 1)
    if f".{extension.rpartition('.')[2]}" in IMAGE_SUFFIXES:
        sample.images.append(member)
    else:
        sample.others.setdefault(extension, []).append(member)
    return sample


def _captions(key: str, sample: Sample, container: TarContainer, columns: Columns) -> Iterator[Caption | Reject]:
    """Yields the captions of a sample, or a reject with the reason why it has none; nothing if it is no sample."""
    texts = sample.text_members()
    if not sample.images:
        if texts:
            yield Reject(key[:80], sample.number, Reason.MISSING_IMAGE, f"no image beside {texts[0].name}")
        return
    image = sample.images[0]
    if fault := _fault(sample):
        yield Reject(image.name[:80], sample.number, Reason.BAD_LINE, fault)
        return
    for member in texts:
        items = list(_captions_in(member, image.name, sample.number, container, columns))
        yield from items
        if items:
            return
    there = ", ".join(sorted(sample.others)[:5]) or "nothing"
    detail = f"no caption in .txt, .caption or .json; beside the image there is {there}"
    yield Reject(image.name[:80], sample.number, Reason.EMPTY_CAPTION, detail)


def _fault(sample: Sample) -> str:
    """Why it is not clear, or not to be had, which image has which captions; "" if all is well."""
    same = next((members for members in (sample.images, *sample.others.values()) if len(members) > 1), None)
    if same and (same is sample.images or same[0] in sample.text_members()):
        return f"{len(same)} members of one key, which ends at the first dot: {', '.join(m.name for m in same[:3])}"
    members = (*sample.images, *sample.text_members())
    return next((f"{member.name} is {member.fault}" for member in members if member.fault), "")


def _captions_in(
    member: TarMember, image_id: str, number: int, container: TarContainer, columns: Columns
) -> Iterator[Caption | Reject]:
    """Yields the captions in a member; none if it is blank, or JSON that has no captions."""
    if member.size > MAX_TEXT_BYTES:
        detail = f"{member.name} has {member.size} bytes; the maximum is {MAX_TEXT_BYTES}"
        yield Reject(image_id[:80], number, Reason.BAD_LINE, detail)
        return
    try:
        text = container.read(member.name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Reject(image_id[:80], number, Reason.BAD_ENCODING, f"{member.name} is not UTF-8 at byte {error.start}")
        return
    if not member.name.lower().endswith(".json"):
        for line in filter(str.strip, _LINE_END.split(text)):
            yield checked_caption(image_id, line, None, number)
        return
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Reject(image_id[:80], number, Reason.BAD_LINE, f"{member.name} is not JSON: {error}")
        return
    if isinstance(record, dict):
        record = {key: value for key, value in record.items() if value is not None}
        if keys_of(tuple(record), columns)[1]:
            yield from captions_of(record | {columns.image or IMAGE_COLUMNS[0]: image_id}, number, columns)
