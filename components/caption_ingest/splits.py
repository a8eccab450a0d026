"""Which split a picture belongs to: always by picture, never by caption."""

import hashlib
from collections.abc import Collection, Mapping

from components.records import EVAL, SPLITS, TEST, TRAIN


def unit_hash(image_id: str, purpose: str) -> float:
    """A number in [0, 1), evenly spread: the same for an id in every run and on every machine.

    Args:
      image_id: the picture.
      purpose: what is drawn. Draws for different purposes are independent: the pictures that a limit takes must not all
        fall into one split.
    """
    return int.from_bytes(hashlib.sha256(f"{purpose}\0{image_id}".encode()).digest()[:8], "big") / 2**64


def by_hash(image_id: str, shares: Mapping[str, float]) -> str:
    """Draws a split by the hash of the id.

    >>> by_hash("a.jpg", {"train": 1.0, "eval": 0.0, "test": 0.0})
    'train'
    """
    draw, reached = unit_hash(image_id, "split") * sum(shares.values()), 0.0
    for split in SPLITS:
        reached += shares[split]
        if draw < reached:
            return split
    return max(shares, key=lambda split: shares[split])


def assign(
    image_id: str, listed: str | None, lists: Collection[str], shares: Mapping[str, float], unlisted: str
) -> str | None:
    """The split of a picture.

    Official lists decide where there are any. Where the data set keeps its test list to itself, its dev list is the
    test split, and checkpoints are chosen on a part of train that is held out by hash.

    Args:
      image_id: the picture.
      listed: the list that names it, or None.
      lists: the splits for which the data set has lists; empty if it has none.
      shares: split -> share of the pictures, for what is drawn by hash.
      unlisted: "train" or "skip", for a picture that no list names though there are lists.

    Returns:
      the split, or None for a picture that is left out.
    """
    if not lists:
        return by_hash(image_id, shares)
    if listed is None and unlisted == "skip":
        return None
    split = listed or TRAIN
    if TEST not in lists and EVAL in lists:
        split = {EVAL: TEST}.get(split, split)
        return by_hash(image_id, {**shares, TEST: 0.0}) if split == TRAIN else split
    if EVAL not in lists and split == TRAIN:
        return by_hash(image_id, {**shares, TEST: 0.0})
    return split
