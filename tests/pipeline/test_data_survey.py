import dataclasses
import pathlib

import pytest

from components.caption_ingest.settings import SplitFractions
from components.shared import scenes, storage
from pipeline import data_survey
from pipeline.data_survey import DataError, survey
from tests.factories import write_data_set


def write_images(directory: pathlib.Path, number: int) -> pathlib.Path:
    """Scenes with two captions each, and no split lists."""
    lines = [f"s{n}.jpg#{row}\tA large dog {'runs ' * row}.\n" for n in range(number) for row in range(2)]
    write_data_set(directory, "".join(lines))
    for n in range(number):
        (directory / f"s{n}.jpg").write_bytes(scenes.jpeg(0, n))
    return directory


def test_a_directory_is_described(tmp_path):
    found = survey(str(write_images(tmp_path, 10)))
    assert (found.format, found.caption_files) == ("Flickr tokens", ("captions.token.txt",))
    assert found.total_images == found.num_checked == len(found.example_files) == 10
    assert all(found.num_images.values()) and found.num_images["train"] > 5
    assert found.num_captions == 20 and not found.is_official
    assert (set(found.caption_lengths), found.word_counts.most_common(1)[0][0]) == ({3, 4}, "a")
    assert found.num_unique_captions == len(found.caption_lengths)
    assert not found.rejects and not found.warnings and not found.refusal


def test_a_bucket_is_described_as_a_disk(tmp_path, bucket):
    for path in write_images(tmp_path, 10).iterdir():
        storage.write_bytes(f"{bucket}/{path.name}", path.read_bytes())
    on_disk, in_bucket = survey(str(tmp_path)), survey(bucket)
    assert in_bucket.example_files == tuple(file.replace(str(tmp_path), bucket) for file in on_disk.example_files)
    assert dataclasses.replace(in_bucket, data_dir=str(tmp_path), example_files=on_disk.example_files) == on_disk


def test_official_splits_are_kept(tmp_path):
    write_images(tmp_path, 4)
    for split, names in {"train": "s0.jpg\ns1.jpg\n", "dev": "s2.jpg\n", "test": "s3.jpg\n"}.items():
        (tmp_path / f"{split}Images.txt").write_text(names)
    found = survey(str(tmp_path))
    assert found.is_official and found.num_images == {"train": 2, "eval": 1, "test": 1}


def test_an_image_that_cannot_be_decoded_is_a_reject_and_the_run_would_stop(tmp_path):
    write_images(tmp_path, 12)
    image = tmp_path / "s3.jpg"
    image.write_bytes(image.read_bytes()[:100])
    found = survey(str(tmp_path))
    [reject] = found.rejects
    assert (reject.image_id, reject.source) == ("s3.jpg", "captions.token.txt")
    assert found.total_images == 11
    assert found.warnings == ()
    assert found.refusal.startswith("2 of 24 captions (8.3%) can't be used; data.max_reject_fraction allows 1.0%")


def test_copies_of_an_image_share_its_split(tmp_path):
    write_images(tmp_path, 20)
    for number in range(4, 20):
        (tmp_path / f"s{number}.jpg").write_bytes(scenes.jpeg(0, 0))
    found = survey(str(tmp_path))
    assert found.total_images == 20 and all(found.num_images.values())
    assert max(found.num_images.values()) >= 17
    [warning] = found.warnings
    assert warning.startswith("16 images have the same content as others")


def test_a_copy_of_a_test_image_is_a_reject_where_splits_are_official(tmp_path):
    write_images(tmp_path, 4)
    (tmp_path / "s1.jpg").write_bytes(scenes.jpeg(0, 3))
    for split, names in {"train": "s0.jpg\ns1.jpg\n", "dev": "s2.jpg\n", "test": "s3.jpg\n"}.items():
        (tmp_path / f"{split}Images.txt").write_text(names)
    found = survey(str(tmp_path))
    assert found.num_images == {"train": 1, "eval": 1, "test": 1}
    assert [reject.reason.value for reject in found.rejects] == ["duplicate"]


def test_of_many_images_some_are_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(data_survey, "MAX_CHECKED", 5)
    found = survey(str(write_images(tmp_path, 12)))
    assert found.num_checked == 4 and found.total_images == 12


@pytest.mark.parametrize("number", [3, 5, 10, 30, 60, 100])
def test_no_hashed_split_is_too_small(number):
    names = [f"{n}.jpg" for n in range(number)]
    fractions = data_survey.fractions_for(names, SplitFractions())
    splits = [data_survey.hash_split(name, fractions) for name in names]
    assert min(splits.count(split) for split in ("train", "eval", "test")) >= max(1, min(number // 12, 5))
    assert splits.count("train") >= number / 3


def test_preferred_splits_are_kept_where_they_are_large_enough():
    names = [f"{n}.jpg" for n in range(200)]
    assert data_survey.fractions_for(names, SplitFractions()) == SplitFractions()
    assert data_survey.fractions_for(["a.jpg", "b.jpg"], SplitFractions()) == SplitFractions()  # no choice helps


def test_few_images_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no usable image for \w+ and \w+ \(1 images can be used\); give at least"):
        survey(str(write_images(tmp_path, 1)))


def test_captions_without_images_are_refused_with_examples(tmp_path):
    write_data_set(tmp_path, "a.jpg#0\tA dog .\n")
    with pytest.raises(DataError, match=r"no usable image for .*\n  captions.token.txt:1: a.jpg: missing_image: "):
        survey(str(tmp_path))


def test_an_empty_directory_and_one_without_captions_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"is empty; give a directory with images and their captions$"):
        survey(str(tmp_path))
    (tmp_path / "a.jpg").write_bytes(scenes.jpeg(0, 0))
    with pytest.raises(DataError, match=r"no captions in .*Known formats:(.|\n)*table"):
        survey(str(tmp_path))
    with pytest.raises(DataError, match="nowhere is not a directory"):
        survey(str(tmp_path / "nowhere"))
