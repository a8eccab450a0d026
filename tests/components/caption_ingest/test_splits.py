import collections

import pytest

from components.caption_ingest.settings import CaptionIngestSettings, SplitFractions
from components.caption_ingest.splits import assign_split, hash_split, unit_hash

FRACTIONS = {"train": 0.8, "eval": 0.1, "test": 0.1}
SETTINGS = CaptionIngestSettings(split_fractions=SplitFractions(**FRACTIONS))
SKIP = CaptionIngestSettings(split_fractions=SplitFractions(**FRACTIONS), unlisted_images="skip")
IDS = [f"{number}.jpg" for number in range(5000)]


def fractions_of(splits) -> dict[str, float]:
    return {split: count / len(IDS) for split, count in collections.Counter(splits).items()}


def test_hashed_splits_have_the_sizes_of_the_settings():
    splits = [hash_split(image_id, SETTINGS.split_fractions) for image_id in IDS]
    assert fractions_of(splits) == pytest.approx(FRACTIONS, abs=0.02)


def test_the_hash_never_changes():
    assert unit_hash("a.jpg", "split") == pytest.approx(0.5521022, abs=1e-7)


def test_hashes_for_different_purposes_are_independent():
    first = sorted(IDS, key=lambda image_id: unit_hash(image_id, "limit"))[:1000]
    splits = collections.Counter(hash_split(image_id, SETTINGS.split_fractions) for image_id in first)
    assert splits["eval"] == pytest.approx(100, abs=30)


@pytest.mark.parametrize("split", ["train", "eval", "test"])
def test_official_splits_decide(split):
    known = {"train", "eval", "test"}
    assert {assign_split(image_id, split, known, SETTINGS) for image_id in IDS[:100]} == {split}


def test_without_official_splits_the_hash_decides():
    for image_id in IDS[:100]:
        assert assign_split(image_id, None, (), SKIP) == hash_split(image_id, SETTINGS.split_fractions)


def test_unlisted_images_are_trained_on_or_skipped():
    known = {"train", "eval", "test"}
    assert assign_split("a.jpg", None, known, SETTINGS) == "train"
    assert assign_split("a.jpg", None, known, SKIP) is None


def test_without_a_test_split_dev_becomes_test_and_eval_is_a_part_of_train():
    known = {"train", "eval"}
    assert {assign_split(image_id, "eval", known, SETTINGS) for image_id in IDS} == {"test"}
    splits = [assign_split(image_id, "train", known, SETTINGS) for image_id in IDS]
    assert fractions_of(splits) == pytest.approx({"train": 8 / 9, "eval": 1 / 9}, abs=0.02)


def test_without_a_dev_split_eval_is_a_part_of_train():
    known = {"train", "test"}
    assert {assign_split(image_id, "test", known, SETTINGS) for image_id in IDS} == {"test"}
    assert {assign_split(image_id, "train", known, SETTINGS) for image_id in IDS} == {"train", "eval"}
