"""Captions, splits and limits of a data directory, before any image is opened."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.caption_ingest import grouping
from components.caption_ingest.formats import base
from components.caption_ingest.rejects import Reason
from components.caption_ingest.splits import unit_hash
from components.shared.images import limits
from tests.factories import ROOT, write_data_set


def test_images_get_their_captions_splits_and_files(data_dir, read):
    data = read(data_dir)
    assert [(image.image_id, image.split, image.file.uri) for image in data.images] == [
        ("a.jpg", "train", "images/a.jpg"),
        ("b.jpg", "eval", "images/b.jpg"),
        ("c.jpg", "test", "images/c.jpg"),
        ("new.jpg", "train", "images/new.jpg"),
    ]
    assert data.images[1].captions == ("b says 0", "b says 1")
    assert data.images[1].line == 3
    assert data.num_captions == 10


def test_rejects_name_the_file_and_the_line(data_dir, read):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("nonsense\n")
    rejects = read(data_dir).rejects
    assert {(reject.source, reject.line) for reject in rejects} == {
        ("captions.token.txt", 9),
        ("captions.token.txt", 11),
    }


def test_captions_beyond_the_maximum_are_one_reject(data_dir, read):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.writelines(f"a.jpg#{number}\tnumber {number}\n" for number in range(2, 103))
    data = read(data_dir)
    assert len(data.images[0].captions) == 100
    [reject] = [reject for reject in data.rejects if reject.reason == Reason.TOO_MANY_CAPTIONS]
    assert (reject.image_id, reject.line, reject.rows, reject.source) == ("a.jpg", 109, 3, "captions.token.txt")
    assert reject.detail == "103 captions; only the first 100 are used"
    assert data.num_captions == 111


def test_a_file_that_was_appended_to_itself_counts_once(data_dir, read):
    before = read(data_dir)
    captions = data_dir / "captions.token.txt"
    captions.write_text(captions.read_text() * 2)
    data = read(data_dir)
    assert [(image.image_id, image.captions) for image in data.images] == [
        (image.image_id, image.captions) for image in before.images
    ]
    assert data.num_captions == before.num_captions == 10
    assert {*data.warnings} - {*before.warnings} == {
        "10 captions repeat a sentence of their image and are not used, beside 10 that are; the first is "
        "captions.token.txt:11: a.jpg: 'a says 0'"
    }


def test_a_sentence_counts_once_per_image_and_not_once_in_all(data_dir, read):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("a.jpg#2\ta says 0\nb.jpg#2\ta says 0\n")
    data = read(data_dir)
    assert [image.captions for image in data.images[:2]] == [
        ("a says 0", "a says 1"),
        ("b says 0", "b says 1", "a says 0"),
    ]
    [warning] = data.warnings
    assert warning.startswith("1 captions repeat") and "captions.token.txt:11: a.jpg: 'a says 0'" in warning


def test_a_repeated_sentence_does_not_hide_that_it_states_another_split(tmp_path, read):
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("image,caption,split\nb.jpg,A dog,train\nb.jpg,A dog,test\n")
    with pytest.raises(ValueError, match=r"captions.csv:3: b.jpg is in test here, but in train"):
        read(tmp_path)


def test_the_ingest_accepts_what_the_schema_allows():
    schema = text_format.Parse((ROOT / "schemas" / "captions.pbtxt").read_text(), schema_pb2.Schema())
    features = {feature.name: feature for feature in schema.feature}
    assert features["captions"].value_count.max == features["caption_words"].value_count.max == grouping.MAX_CAPTIONS
    assert features["caption_words"].int_domain.max == base.MAX_WORDS
    for side in ("width", "height"):
        assert (features[side].int_domain.min, features[side].int_domain.max) == (limits.MIN_SIDE, limits.MAX_SIDE)


def test_max_images_selects_the_same_images_each_time_and_a_larger_value_adds_some(data_dir, read):
    chosen = [{image.image_id for image in read(data_dir, max_images=n).images} for n in (1, 2, 3)]
    assert [len(ids) for ids in chosen] == [1, 2, 3]
    assert chosen[0] < chosen[1] < chosen[2]
    first, *_ = sorted(("a.jpg", "b.jpg", "c.jpg", "new.jpg"), key=lambda name: unit_hash(name, "limit"))
    assert chosen[0] == {first} != {"a.jpg"}  # by hash, and not by name


def test_unlisted_images_can_be_skipped(data_dir, read):
    data = read(data_dir, unlisted_images="skip")
    assert [image.image_id for image in data.images] == ["a.jpg", "b.jpg", "c.jpg"]
    assert data.warnings == ("1 images skipped: no official split list names them (data.unlisted_images=skip)",)


def test_a_skipped_image_is_not_rejected_if_it_is_missing(data_dir, read):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.write("neither.jpg#0\tin no list and missing\n")
    rejects = read(data_dir, unlisted_images="skip").rejects
    assert [reject.image_id for reject in rejects] == ["gone.jpg"]


def test_rows_that_disagree_about_a_split_are_refused_with_both_lines(tmp_path, read):
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("split,image,caption\ntrain,b.jpg,one\n,b.jpg,two\ntest,b.jpg,three\n")
    with pytest.raises(ValueError, match=r"captions.csv:4: b.jpg is in test here, but in train at captions.csv:2"):
        read(tmp_path)


def test_files_that_disagree_about_a_split_are_refused_with_both_lines(tmp_path, read):
    (tmp_path / "b.jpg").write_bytes(b"")
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text("image,caption\nb.jpg,one\n")
    with pytest.raises(ValueError, match=r"val.csv:2: b.jpg is in eval here, but in train at train.csv:2"):
        read(tmp_path)
    # a list takes precedence over the name of a caption file
    (tmp_path / "testImages.txt").write_text("b.jpg\n")
    with pytest.raises(ValueError, match=r"val.csv:2"):
        read(tmp_path)
    (tmp_path / "val.csv").unlink()
    (tmp_path / "val.csv").write_text("image,caption\nc.jpg,one\n")
    assert [image.split for image in read(tmp_path).images] == ["test"]


def test_rows_and_lists_that_disagree_are_refused(tmp_path, read):
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("split,image,caption\ntrain,b.jpg,one\n")
    (tmp_path / "testImages.txt").write_text("images/b.jpg\n")
    with pytest.raises(ValueError, match=r"captions.csv:2: b.jpg is in train here, but in the test split list"):
        read(tmp_path)


def test_a_later_row_may_state_the_split(tmp_path, read):
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("split,image,caption\n,b.jpg,one\ntest,b.jpg,two\n")
    [image] = read(tmp_path).images
    assert image.split == "test"


def test_a_list_of_other_images_gives_a_warning(data_dir, read):
    assert read(data_dir).warnings == ()
    (data_dir / "testImages.txt").write_text("x.jpg\ny.jpg\nc.jpg\n")
    [warning] = read(data_dir).warnings
    assert warning.startswith("testImages.txt names 3 images, and the captions contain 1 of them")


def test_a_list_may_have_paths_where_captions_have_names(data_dir, read):
    (data_dir / "testImages.txt").write_text("/home/me/images/c.jpg\n")
    splits = {image.image_id: image.split for image in read(data_dir).images}
    assert splits == {"a.jpg": "train", "b.jpg": "eval", "c.jpg": "test", "new.jpg": "train"}


def test_lists_may_omit_directory_and_file_extension(tmp_path, read):
    write_data_set(tmp_path, "images/a.jpg#0\tA dog\nb.jpg#0\tA cat\n", {"train": ["a"], "test": ["b"]})
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(b"")
    splits = {image.image_id: image.split for image in read(tmp_path).images}
    assert splits == {"images/a.jpg": "train", "b.jpg": "test"}
