"""A data directory -> pictures with their captions and splits, and what was rejected on the way."""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.caption_ingest import readers, splits
from components.caption_ingest.pictures import Inspected, PictureFile, scan
from components.caption_ingest.rejects import Reason, Reject, check_fraction


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to read.

    Attributes:
      data_dir: the directory.
      limit: take this many pictures, the first by hash; None for all.
      unlisted: "train" or "skip", for pictures that no official list names.
      shares: split -> share, for what is split by hash.
    """

    data_dir: str
    limit: int | None = None
    unlisted: str = "train"
    shares: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"train": 0.8, "eval": 0.1, "test": 0.1})

    @classmethod
    def of(cls, exec_properties: Mapping[str, Any]) -> "Settings":
        """The settings in a step's execution properties, where limit 0 stands for none and the shares are JSON."""
        return cls(
            data_dir=exec_properties["data_dir"],
            limit=exec_properties["limit"] or None,
            unlisted=exec_properties["unlisted"],
            shares=json.loads(exec_properties["split_shares"]),
        )


@dataclasses.dataclass(frozen=True)
class Entry:
    """One picture with all its captions; `line` is the first of them."""

    image_id: str
    split: str
    file: PictureFile
    captions: tuple[str, ...]
    line: int


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What a data directory holds, before any picture is opened.

    Attributes:
      entries: the pictures, by id.
      rejects: lines and pictures that are not taken.
      rows: captions in the source, rejected ones included.
    """

    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]
    rows: int


def read(settings: Settings) -> DataSet:
    """Reads the captions, assigns the splits and finds the files.

    Raises:
      FileNotFoundError, ValueError: no data set there, see `readers.find_layout` and `readers.read_lists`.
    """
    layout = readers.find_layout(settings.data_dir)
    split_of = readers.read_lists(layout)
    captions: dict[str, list[readers.Caption]] = collections.defaultdict(list)
    rejects: list[Reject] = []
    rows = 0
    for item in readers.read_flickr8k(layout, split_of):
        rows += 1
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            captions[item.image_id].append(item)
    files = scan(settings.data_dir)
    entries = []
    for image_id, lines in captions.items():
        split = splits.assign(image_id, lines[0].split, layout.lists.keys(), settings.shares, settings.unlisted)
        found = _find(image_id, lines, files)
        if isinstance(found, Reject):
            rejects.append(found)
        elif split is not None:
            entries.append(Entry(image_id, split, found, tuple(line.text for line in lines), lines[0].line))
    return DataSet(_first(entries, settings.limit), tuple(rejects), rows)


def fingerprint(settings: Settings) -> str:
    """Fingerprint of all that `read` and the pictures' decoding depend on, without opening a picture.

    Returns:
      SHA-256 (hexadecimal) over the caption file, the lists, and split, uri, size and modification time of the pictures
      taken.
    """
    digest = hashlib.sha256()
    for path in readers.find_layout(settings.data_dir).files():
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
    return Reject(entry.image_id, entry.line, reason, detail, rows=len(entry.captions))


def _find(image_id: str, lines: Sequence[readers.Caption], files: Mapping[str, PictureFile]) -> PictureFile | Reject:
    """The file of a picture that captions name."""

    def reject(reason: Reason, detail: str) -> Reject:
        return Reject(image_id, lines[0].line, reason, detail, rows=len(lines))

    if os.path.isabs(image_id) or ".." in image_id.replace("\\", "/").split("/"):
        return reject(Reason.OUTSIDE_DATA_DIR, "the name leads out of the data directory")
    file = files.get(image_id)
    if file is None:
        return reject(Reason.MISSING_IMAGE, "no such file in the data directory")
    if file.outside:
        return reject(Reason.OUTSIDE_DATA_DIR, f"{file.uri} is a link that leads out of the data directory")
    return file


def _first(entries: Sequence[Entry], limit: int | None) -> tuple[Entry, ...]:
    """The first `limit` pictures by hash, in the order of their ids."""
    by_hash = sorted(entries, key=lambda entry: splits.unit_hash(entry.image_id, "limit"))
    return tuple(sorted(by_hash[:limit], key=lambda entry: entry.image_id))
