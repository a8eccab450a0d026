"""A data directory -> pictures with their captions and splits, and what was rejected on the way."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from components.caption_ingest import layout, splits
from components.caption_ingest.files import PictureFile, scan
from components.caption_ingest.gathering import Gathered, gather
from components.caption_ingest.pictures import Inspected
from components.caption_ingest.rejects import Reason, Reject, check_fraction
from components.caption_ingest.split_lists import SplitLists
from components.records import SPLITS

CHUNK = 2**20  # bytes that are hashed at a time


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
    """One picture with all its captions.

    Attributes:
      image_id: as in `Gathered`.
      split: which it is in.
      file: where it is.
      captions: all of them.
      source: the file with the first of them, below the data directory.
      line: of the first of them.
      copies: other files of its name and size, which have to be the same picture, see `part_namesakes`.
    """

    image_id: str
    split: str
    file: PictureFile
    captions: tuple[str, ...]
    source: str
    line: int
    copies: tuple[PictureFile, ...] = ()


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What a data directory holds, before any picture is opened.

    Attributes:
      entries: the pictures, by id.
      rejects: lines and pictures that are not taken.
      rows: captions in the source, rejected ones included.
      official: the data set says itself which picture is in which split.
      warnings: what is odd about the lists, and how many pictures are left out because none names them.
    """

    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]
    rows: int
    official: bool
    warnings: tuple[str, ...] = ()


def read(settings: Settings) -> DataSet:
    """Reads the captions, assigns the splits and finds the files.

    Raises:
      FileNotFoundError, ValueError: no data set there, or one that contradicts itself, see `layout.find`, `SplitLists`,
        `gather` and the readers.
    """
    found = layout.find(settings.data_dir, settings.captions)
    files = scan(settings.data_dir)
    lists = SplitLists(found.lists)
    gathered, rejects, rows = gather(found, settings.data_dir, files)
    listed, split_of = [], []
    for each in gathered:
        uri, alone = each.file.uri if each.file else None, len(files.named(each.image_id)) == 1
        is_one = alone or bool(each.file and each.namesakes)
        listed.append(lists.split_of(each.image_id, uri, is_one))
        split_of.append(each.split(listed[-1]))
    official = {*found.lists, *filter(None, split_of)}
    users = _users(gathered)
    entries = []
    skipped = 0
    for each, split in zip(gathered, split_of, strict=True):
        assigned = splits.assign(each.image_id, split, official, settings.shares, settings.unlisted)
        if assigned is None:
            skipped += 1
            continue
        rejects += each.surplus_reject()
        file = _find(each, users)
        if isinstance(file, Reject):
            rejects.append(file)
        else:
            copies = tuple(files.by_path[path] for path in each.namesakes if path != file.uri)
            entries.append(Entry(each.image_id, assigned, file, tuple(each.captions), each.source, each.line, copies))
    warnings = lists.doubts(listed, gathered[0].image_id) if gathered else []
    if skipped:
        warnings.append(f"{skipped} pictures are in no official list and left out (data.unlisted=skip)")
    return DataSet(_first(entries, settings.limit), tuple(rejects), rows, bool(official), tuple(warnings))


def fingerprint(settings: Settings) -> str:
    """Fingerprint of all that `read` and the pictures' decoding depend on, without opening a picture.

    Returns:
      SHA-256 (hexadecimal) over the caption files, the lists, split, uri, size and modification time of the pictures
      taken, and what is said of those that are not.
    """
    digest = hashlib.sha256()
    for path in layout.find(settings.data_dir, settings.captions).files():
        digest.update(_sha256(path))
    data = read(settings)
    for entry in data.entries:
        # the split says which list is which: a list that is only renamed has the same bytes
        digest.update(f"{entry.image_id}\0{entry.split}\n".encode())
        for file in (entry.file, *entry.copies):
            digest.update(f"{file.uri}\0{file.size}\0{file.mtime_ns}\n".encode())
    # why a picture is not taken depends on files that are no picture's
    for reject in data.rejects:
        digest.update(f"{reject.to_json()}\n".encode())
    return digest.hexdigest()


def _sha256(path: pathlib.Path) -> bytes:
    """Of a file that is too large to be held at once."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.digest()


def part_namesakes(
    entries: Iterable[Entry], look: Callable[[PictureFile], Inspected | None]
) -> tuple[list[Entry], list[Reject]]:
    """Parts the pictures that one file is, or several equal ones, from those that may be any of several.

    Args:
      entries: pictures.
      look: file -> what was found, None for a file that could not be read.

    Returns:
      the entries that stay, and the rejects.
    """
    stay, rejects = [], []
    for entry in entries:
        found = [look(file) for file in (entry.file, *entry.copies)]
        if len({each and each.sha256 for each in found}) == 1:
            stay.append(entry)
        else:
            paths = [file.uri for file in (entry.file, *entry.copies)]
            rejects.append(_reject(entry, Reason.AMBIGUOUS_NAME, _several(paths)))
    return stay, rejects


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
        if entry.split == other.split:
            stay.append(entry)
        elif not official:
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


def _users(gathered: Sequence[Gathered]) -> dict[str, list[str]]:
    """Path of a file -> the pictures that it is to be, first the one that is named by this path."""
    users: dict[str, list[str]] = {}
    inside = [each for each in gathered if not _leads_out(each.image_id)]  # others get no file
    for each in inside:
        if each.file and not each.namesakes:
            users.setdefault(each.file.uri, []).append(each.image_id)
    taken = set(users)
    for each in inside:
        if each.file and each.namesakes and taken.isdisjoint(each.namesakes):
            users.setdefault(each.file.uri, []).append(each.image_id)
    return {path: sorted(ids, key=lambda image_id: image_id != path) for path, ids in users.items()}


def _find(each: Gathered, users: Mapping[str, Sequence[str]]) -> PictureFile | Reject:
    """The file of a picture that captions name: where they say, or elsewhere if it can be no other picture's."""
    name, file = each.image_id, each.file
    if _leads_out(name):
        return each.reject(Reason.OUTSIDE_DATA_DIR, "the name leads out of the data directory")
    if each.namesakes and file is None:
        if "/" in name and not each.namesakes[0].endswith(f"/{name}"):
            detail = f"no such file; others of this name: {_first_three(each.namesakes)}"
            return each.reject(Reason.MISSING_IMAGE, detail)
        return each.reject(Reason.AMBIGUOUS_NAME, _several(each.namesakes))
    if file is None:
        return each.reject(Reason.MISSING_IMAGE, "no such file in the data directory")
    if each.namesakes and users.get(file.uri) != [name]:
        return each.reject(Reason.AMBIGUOUS_NAME, _several(each.namesakes))
    first, *others = users[file.uri]
    if file.uri == first != name:
        return each.reject(Reason.MISSING_IMAGE, f"no such file; {file.uri} is another picture of the captions")
    if file.uri != first and others:
        both = " and ".join(sorted((first, *others))[:2])
        return each.reject(Reason.AMBIGUOUS_NAME, f"{both} are not there, and both may be {file.uri}")
    if file.outside:
        return each.reject(Reason.OUTSIDE_DATA_DIR, f"{file.uri} is a link that leads out of the data directory")
    return file


def _leads_out(name: str) -> bool:
    """Whether a name is an absolute path, on Windows or elsewhere, or goes up."""
    is_from_windows = ("\\" in name or ":" in name) and pathlib.PureWindowsPath(name).is_absolute()
    return is_from_windows or os.path.isabs(name) or ".." in name.replace("\\", "/").split("/")


def _several(paths: Sequence[str]) -> str:
    return f"{len(paths)} files may be meant: {_first_three(paths)}; the captions have to say the directory"


def _first_three(paths: Sequence[str]) -> str:
    return f"{', '.join(paths[:3])}{', …' if len(paths) > 3 else ''}"


def _first(entries: Sequence[Entry], limit: int | None) -> tuple[Entry, ...]:
    """The first `limit` pictures by hash, in the order of their ids."""
    if limit is not None:
        entries = sorted(entries, key=lambda entry: splits.unit_hash(entry.image_id, "limit"))[:limit]
    return tuple(sorted(entries, key=lambda entry: entry.image_id))
