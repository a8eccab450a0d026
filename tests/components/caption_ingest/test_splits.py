import collections

import pytest

from components.caption_ingest.splits import assign, by_hash, unit_hash

SHARES = {"train": 0.8, "eval": 0.1, "test": 0.1}
IDS = [f"{number}.jpg" for number in range(5000)]


def shares_of(splits):
    return {split: count / len(IDS) for split, count in collections.Counter(splits).items()}


def test_shares_are_kept_by_hash():
    assert shares_of(by_hash(image_id, SHARES) for image_id in IDS) == pytest.approx(SHARES, abs=0.02)


def test_the_hash_is_the_same_for_ever():
    assert unit_hash("a.jpg", "split") == pytest.approx(0.5521022, abs=1e-7)


def test_draws_for_different_purposes_are_independent():
    first = sorted(IDS, key=lambda image_id: unit_hash(image_id, "limit"))[:1000]
    splits = collections.Counter(by_hash(image_id, SHARES) for image_id in first)
    assert splits["eval"] == pytest.approx(100, abs=30)


@pytest.mark.parametrize("split", ["train", "eval", "test"])
def test_official_lists_decide(split):
    lists = {"train", "eval", "test"}
    assert all(assign(image_id, split, lists, SHARES, "train") == split for image_id in IDS[:100])


def test_without_lists_the_hash_decides():
    assert all(assign(image_id, None, (), SHARES, "skip") == by_hash(image_id, SHARES) for image_id in IDS[:100])


def test_what_no_list_names_is_trained_on_or_left_out():
    lists = {"train", "eval", "test"}
    assert assign("a.jpg", None, lists, SHARES, "train") == "train"
    assert assign("a.jpg", None, lists, SHARES, "skip") is None


def test_without_a_test_list_dev_is_test_and_eval_is_held_out_of_train():
    lists = {"train", "eval"}
    assert {assign(image_id, "eval", lists, SHARES, "train") for image_id in IDS} == {"test"}
    held_out = shares_of(assign(image_id, "train", lists, SHARES, "train") for image_id in IDS)
    assert held_out == pytest.approx({"train": 8 / 9, "eval": 1 / 9}, abs=0.02)


def test_without_a_dev_list_eval_is_held_out_of_train():
    lists = {"train", "test"}
    assert {assign(image_id, "test", lists, SHARES, "train") for image_id in IDS} == {"test"}
    assert {assign(image_id, "train", lists, SHARES, "train") for image_id in IDS} == {"train", "eval"}
