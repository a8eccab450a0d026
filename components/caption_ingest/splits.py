"""Which split an image belongs to: always decided per image, never per caption."""

import collections
import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence

from components.caption_ingest.grouping import ImageCaptions
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.names import compose
from components.caption_ingest.rejects import Reason, Reject, reject_image
from components.caption_ingest.settings import CaptionIngestSettings, SplitFractions
from components.caption_ingest.split_directories import find_directory_splits
from components.caption_ingest.split_lists import Listing, SplitLists
from components.shared.records import EVAL, SPLITS, TEST, TRAIN


@dataclasses.dataclass(frozen=True)
class SplitAssignment:
    """The splits of images.

    Attributes:
      splits: the split of each image, None for an image that is skipped, a reject for one whose split is not clear.
      stated: the splits that the dataset defines, in the order of `records.SPLITS`.
      origins: what states the splits -> number of images; images that are skipped or rejected are not counted.
      warnings: mismatches between lists and captions, and the number of skipped images.
    """

    splits: tuple[str | Reject | None, ...]
    stated: tuple[str, ...]
    origins: Mapping[str, int]
    warnings: tuple[str, ...]


def assign_splits(
    images: Sequence[ImageCaptions],
    files: Sequence[ImageFile | Reject],
    lists: SplitLists,
    settings: CaptionIngestSettings,
) -> SplitAssignment:
    """Assigns every image to a split: by lists, rows or caption files, else by its directory, else by a hash of its ID.

    Args:
      images: the images.
      files: the file of each image, or the reject of one that has none.
      lists: the official lists.
      settings: what is done without official splits, and with images that have none.

    Raises:
      ValueError: rows and lists disagree about an image.
    """
    listings, warnings = lists.match(images)
    official: Sequence[str | Reject | None] = [
        _official_split(image, listing) for image, listing in zip(images, listings, strict=True)
    ]
    official_splits = {*lists.splits, *(split for split in official if isinstance(split, str))}
    by_directory = not official_splits and not any(official)
    if by_directory:
        official, directory_warnings = find_directory_splits(images, files)
        warnings += directory_warnings
        official_splits = {split for split in official if isinstance(split, str)}
    splits = [
        split if isinstance(split, Reject) else assign_split(image.match.portable_id, split, official_splits, settings)
        for image, split in zip(images, official, strict=True)
    ]
    if num_skipped := splits.count(None):
        reason = "no official split list names them (data.unlisted_images=skip)"
        warnings.append(f"{num_skipped} images skipped: {reason}")
    counter = collections.Counter(
        "directories of the images"
        if by_directory and official_splits
        else _origin(image, listing, bool(official_splits))
        for image, listing, split in zip(images, listings, splits, strict=True)
        if isinstance(split, str)
    )
    stated = tuple(split for split in SPLITS if split in official_splits)
    return SplitAssignment(tuple(splits), stated, dict(counter), tuple(warnings))


def _origin(image: ImageCaptions, listing: Listing, is_official: bool) -> str:
    """What states an image's split, for people."""
    if image.row_split:
        return "column split"
    if listing.split:
        return "split lists"
    if image.file_split:
        return "names of the caption files"
    return "unlisted (data.unlisted_images)" if is_official else "hash of the name"


def _official_split(image: ImageCaptions, listing: Listing) -> str | Reject | None:
    """Returns the split that the dataset states; rows and lists come before the names of caption files.

    An image that may be one of several listed ones is rejected: it could be a test image, which must not be trained on.

    Raises:
      ValueError: rows and lists disagree.
    """
    if image.row_split and listing.split and image.row_split.split != listing.split:
        place = f"{image.row_split.source}:{image.row_split.line}"
        raise ValueError(
            f"{place}: {image.image_id} is in {image.row_split.split} here, but in the {listing.split} split list"
        )
    if image.row_split:
        return image.row_split.split
    if listing.candidates:
        names = ", ".join(listing.candidates[:2])
        detail = f"the split lists may mean it, or another image, by {names}; they must name it as the captions do"
        return reject_image(image, Reason.AMBIGUOUS_NAME, detail)
    return listing.split or (image.file_split.split if image.file_split else None)


def assign_split(
    image_id: str, official: str | None, official_splits: Collection[str], settings: CaptionIngestSettings
) -> str | None:
    """Assigns one image to a split.

    Official splits decide if there are any. If the dataset has no test split, as when its authors keep it to
    themselves, its dev split becomes the test split, and a part of train, chosen by hash, becomes eval.

    Args:
      image_id: id of the image.
      official: its official split; None if it has none.
      official_splits: the splits that the dataset defines; empty if it defines none.
      settings: `split_fractions` for what is assigned by hash, `unlisted_images` for images without official split.

    Returns:
      the split; None for an image that is skipped.
    """
    if not official_splits:
        return hash_split(image_id, settings.split_fractions)
    if official is None and settings.unlisted_images == "skip":
        return None
    split = official or TRAIN
    if TEST not in official_splits and split == EVAL:
        return TEST
    if split == TRAIN and not {TEST, EVAL} <= set(official_splits):
        return hash_split(image_id, dataclasses.replace(settings.split_fractions, test=0.0))
    return split


def hash_split(image_id: str, fractions: SplitFractions) -> str:
    """Assigns a split by the hash of the image's ID.

    >>> hash_split("a.jpg", SplitFractions(train=1.0, eval=0.0, test=0.0))
    'train'
    """
    sizes = {split: getattr(fractions, split) for split in SPLITS}
    position, reached = unit_hash(image_id, "split") * sum(sizes.values()), 0.0
    for split, size in sizes.items():
        reached += size
        if position < reached:
            return split
    return max(SPLITS, key=lambda split: sizes[split])


def unit_hash(image_id: str, purpose: str) -> float:
    """Hashes an ID to a number in [0, 1), uniformly distributed and the same in every run and on every machine.

    Args:
      image_id: id of the image.
      purpose: what the number decides. Numbers for different purposes are independent: the images that `max_images`
        selects must not all fall into one split.
    """
    return int.from_bytes(hashlib.sha256(f"{purpose}\0{compose(image_id)}".encode()).digest()[:8], "big") / 2**64
