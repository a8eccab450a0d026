"""A data directory -> pictures with their captions and splits, and what was rejected on the way."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from components.caption_ingest import layout, splits
from components.caption_ingest.pictures import Inspected, PictureFile, scan
from components.caption_ingest.rejects import Reason, Reject, check_fraction
from components.records import SPLITS


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to read.

    Attributes:
      data_dir: the directory.
      captions: the file with the captions in it, or a pattern of several; None to find them.
      limit: take this many pictures, the first by hash; None for all.
      unlisted: "train" or "skip", for pictures that no official list names.
      shares: split -> share, for what is split by hash.
    """

    data_dir: str
    captions: str | None = None
    limit: int | None = None
    unlisted: str = "train"
    shares: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"train": 0.8, "eval": 0.1, "test": 0.1})

    @classmethod
    def of(cls, exec_properties: Mapping[str, Any]) -> "Settings":
        """The settings in a step's execution properties, where 0 and "" stand for none and the shares are JSON."""
        return cls(
            data_dir=exec_properties["data_dir"],
            captions=exec_properties["captions"] or None,
            limit=exec_properties["limit"] or None,
            unlisted=exec_properties["unlisted"],
            shares=json.loads(exec_properties["split_shares"]),
        )


@dataclasses.dataclass(frozen=True)
class Entry:
    """One picture with all its captions; `source` and `line` are where the first of them stands."""

    image_id: str
    split: str
    file: PictureFile
    captions: tuple[str, ...]
    source: str
    line: int


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What a data directory holds, before any picture is opened.

    Attributes:
      entries: the pictures, by id.
      rejects: lines and pictures that are not taken.
      rows: captions in the source, rejected ones included.
      official: the data set says itself which picture is in which split.
      skipped: how many pictures are left out because no official list names them.
    """

    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]
    rows: int
    official: bool
    skipped: int = 0


def read(settings: Settings) -> DataSet:
    """Reads the captions, assigns the splits and finds the files.

    Raises:
      FileNotFoundError, ValueError: no data set there, see `layout.find`, `layout.read_lists` and the readers.
    """
    found = layout.find(settings.data_dir, settings.captions)
    files = scan(settings.data_dir)
    split_of = layout.read_lists(found)
    gathered: dict[str, _Gathered] = {}
    rejects: list[Reject] = []
    rows = 0
    for source in found.captions:
        name = source.path.relative_to(settings.data_dir).as_posix()
        directory = name.rpartition("/")[0]
        for item in found.format.read(source.path):
            rows += item.rows if isinstance(item, Reject) else 1
            if isinstance(item, Reject):
                rejects.append(dataclasses.replace(item, source=name))
                continue
            image_id = item.image_id.removeprefix("./")
            if directory and f"{directory}/{image_id}" in files:  # it is relative to the file that it stands in
                image_id = f"{directory}/{image_id}"
            each = gathered.get(image_id)
            if each is None:
                split = item.split or _listed(image_id, split_of) or source.split
                each = gathered[image_id] = _Gathered(split, name, item.line)
            each.split = each.split or item.split
            each.captions.append(item.text)
    official = {*found.lists, *(each.split for each in gathered.values() if each.split)}
    named = {files[image_id].uri for image_id in gathered if image_id in files}
    entries = []
    skipped = 0
    for image_id, each in gathered.items():
        assigned = splits.assign(image_id, each.split, official, settings.shares, settings.unlisted)
        file = _find(image_id, each, files, named)
        if assigned is None:
            skipped += 1
        elif isinstance(file, Reject):
            rejects.append(file)
        else:
            entries.append(Entry(image_id, assigned, file, tuple(each.captions), each.source, each.line))
    return DataSet(_first(entries, settings.limit), tuple(rejects), rows, bool(official), skipped)


@dataclasses.dataclass(slots=True)
class _Gathered:
    """What the caption files say of one picture: split, file and line of its first caption, all captions."""

    split: str | None
    source: str
    line: int
    captions: list[str] = dataclasses.field(default_factory=list)


def _listed(image_id: str, split_of: Mapping[str, str]) -> str | None:
    """The split of a picture by the official lists, which may name it without directory and suffix."""
    name = os.path.basename(image_id)
    return split_of.get(image_id) or split_of.get(name) or split_of.get(os.path.splitext(name)[0])


def fingerprint(settings: Settings) -> str:
    """Fingerprint of all that `read` and the pictures' decoding depend on, without opening a picture.

    Returns:
      SHA-256 (hexadecimal) over the caption files, the lists, and split, uri, size and modification time of the
      pictures taken.
    """
    digest = hashlib.sha256()
    for path in layout.find(settings.data_dir, settings.captions).files():
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for entry in read(settings).entries:
        file = entry.file
        # the split says which list is which: a list that is only renamed has the same bytes
        digest.update(f"{entry.image_id}\0{entry.split}\0{file.uri}\0{file.size}\0{file.mtime_ns}\n".encode())
    return digest.hexdigest()


def sift(entries: Iterable[Entry], inspected: Mapping[str, Inspected | None]) -> tuple[list[Entry], list[Reject]]:
    """Parts the usable pictures from those with a fault.

    Args:
      entries: pictures.
      inspected: image id -> what was found, None for a file that could not be read.
    """
    usable, rejects = [], []
    for entry in entries:
        found = inspected[entry.image_id]
        if found is None:
            rejects.append(_reject(entry, Reason.MISSING_IMAGE, f"{entry.file.uri} can't be read"))
        elif found.fault:
            rejects.append(_reject(entry, Reason(found.fault), found.detail))
        else:
            usable.append(entry)
    return usable, rejects


def part_twins(
    entries: Sequence[Entry], inspected: Mapping[str, Inspected | None], official: bool
) -> tuple[list[Entry], list[Reject]]:
    """Sees to it that the same picture under two names is in one split only: what is tested must not be learnt.

    Test comes before eval, eval before train: what has a twin in a split that comes before moves there, or is left out
    where the splits are official.

    Args:
      entries: usable pictures.
      inspected: image id -> what was found.
      official: the splits are the data set's own.

    Returns:
      the entries that stay, and those that have to go.
    """

    def rank(entry: Entry) -> tuple[int, str]:
        return -SPLITS.index(entry.split), entry.image_id

    def content(entry: Entry) -> str:
        found = inspected[entry.image_id]
        return found.sha256 if found else entry.image_id

    first: dict[str, Entry] = {}
    for entry in sorted(entries, key=rank):
        first.setdefault(content(entry), entry)
    stay, twins = [], []
    for entry in entries:
        other = first[content(entry)]
        if entry.split == other.split or not official:
            stay.append(dataclasses.replace(entry, split=other.split))
        else:
            twins.append(_reject(entry, Reason.DUPLICATE, f"the same picture as {other.image_id} in {other.split}"))
    return stay, twins


def check_losses(data: DataSet, faulty: Sequence[Reject], allowed: float) -> None:
    """Stops the run when too many of the captions are lost.

    Args:
      data: what was read, with its own rejects.
      faulty: the pictures of `data.entries` that have a fault, see `sift`.
      allowed: share of the captions that may be lost, 0 to 1.

    Raises:
      TooManyRejects: of all captions in the source; or, as a limit opens only some of the pictures, of theirs.
    """
    check_fraction([*data.rejects, *faulty], data.rows, allowed)
    check_fraction(faulty, sum(len(entry.captions) for entry in data.entries), allowed)


def _reject(entry: Entry, reason: Reason, detail: str) -> Reject:
    return Reject(entry.image_id, entry.line, reason, detail, len(entry.captions), entry.source)


def _find(
    image_id: str, each: _Gathered, files: Mapping[str, PictureFile], named: Collection[str]
) -> PictureFile | Reject:
    """The file of a picture that captions name: where they say, or elsewhere if no other picture is there by name."""

    def reject(reason: Reason, detail: str) -> Reject:
        return Reject(image_id, each.line, reason, detail, len(each.captions), each.source)

    if os.path.isabs(image_id) or ".." in image_id.replace("\\", "/").split("/"):
        return reject(Reason.OUTSIDE_DATA_DIR, "the name leads out of the data directory")
    file = files.get(image_id)
    if file is None:
        elsewhere = files.get(os.path.basename(image_id))
        file = elsewhere if elsewhere and elsewhere.uri not in named else None
    if file is None:
        return reject(Reason.MISSING_IMAGE, "no such file in the data directory")
    if file.outside:
        return reject(Reason.OUTSIDE_DATA_DIR, f"{file.uri} is a link that leads out of the data directory")
    return file


def _first(entries: Sequence[Entry], limit: int | None) -> tuple[Entry, ...]:
    """The first `limit` pictures by hash, in the order of their ids."""
    if limit is not None:
        entries = sorted(entries, key=lambda entry: splits.unit_hash(entry.image_id, "limit"))[:limit]
    return tuple(sorted(entries, key=lambda entry: entry.image_id))
