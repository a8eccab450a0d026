import numpy as np
import pytest
import tensorflow as tf

from components import records
from components.trainer.input_pipeline import CaptionedFeatures, load_ids
from tests.components.trainer.store import write_store

SHARDS = {
    "shard-1.tfrecord": {f"{n}.jpg": f"sha {n}" for n in range(5)},
    "shard-2.tfrecord": {f"{n}.jpg": f"sha {n}" for n in range(5, 9)} | {"twin.jpg": "sha 5"},
}
IDS = {f"{n}.jpg": np.array([[2, 10 + n, 3, 0], [2, 20 + n, 20 + n, 3]], np.int32)[: 1 + n % 2] for n in range(8)}


@pytest.fixture
def manifest(tmp_path):
    return write_store(tmp_path / "store", SHARDS)


def pictures_in(dataset):
    """(first word, features) of every picture, in order."""
    for batch in dataset:
        yield from zip(batch["tokens"].numpy()[:, 0, 1], batch["features"].numpy(), strict=True)


def order(dataset):
    return [int(word) for word, _ in pictures_in(dataset)]


def test_features_meet_their_words(manifest):
    manifest, features = manifest
    seen = dict(pictures_in(CaptionedFeatures(manifest, IDS, 64).in_order()))
    assert sorted(seen) == [10 + n for n in range(8)]
    for word, feature in seen.items():
        np.testing.assert_array_equal(feature, features[f"sha {word - 10}"])


def test_what_is_not_there_is_padding_of_no_weight(manifest):
    [batch] = CaptionedFeatures(manifest[0], IDS, 64).in_order()
    alone = batch["tokens"].numpy()[:, 0, 1].tolist().index(10)
    assert batch["tokens"].numpy()[alone].tolist() == [[2, 10, 3, 0], [0, 0, 0, 0]]
    assert batch["weights"].numpy()[alone].tolist() == [1, 0]


def test_equal_captions_are_one_of_more_weight(manifest):
    same = np.array([[2, 9, 3, 0], [2, 8, 3, 0], [2, 9, 3, 0]], np.int32)
    [batch] = CaptionedFeatures(manifest[0], {"0.jpg": same}, 64).in_order()
    assert batch["tokens"].numpy().tolist() == [[[2, 8, 3], [2, 9, 3]]]
    assert batch["weights"].numpy().tolist() == [[1, 2]]


def test_pictures_weigh_alike_where_that_is_wanted(manifest):
    [batch] = CaptionedFeatures(
        manifest[0], {name: IDS[name] for name in ("0.jpg", "1.jpg")}, 64, "pictures"
    ).in_order()
    assert batch["weights"].numpy().tolist() == [[1.5, 0], [0.75, 0.75]]


def test_a_batch_is_as_long_as_its_longest_caption(manifest):
    [batch] = CaptionedFeatures(manifest[0], {"0.jpg": IDS["0.jpg"]}, 64).in_order()
    assert batch["tokens"].shape == (1, 1, 3)


def test_a_batch_holds_about_so_many_captions(manifest):
    data = CaptionedFeatures(manifest[0], IDS, captions=3)
    assert [batch["tokens"].shape[0] for batch in data.in_order()] == [2, 2, 2, 2]
    assert (data.steps, data.pictures) == (4, 8)


def test_pictures_of_other_splits_are_left_out(manifest):
    assert order(CaptionedFeatures(manifest[0], {"3.jpg": IDS["3.jpg"]}, 64).in_order()) == [13]


def test_a_picture_under_two_names_has_the_captions_of_both(manifest):
    ids = {"5.jpg": IDS["5.jpg"], "twin.jpg": np.array([[2, 99, 3]], np.int32)}
    [batch] = CaptionedFeatures(manifest[0], ids, 64).in_order()
    assert batch["tokens"].numpy()[0, :, 1].tolist() == [15, 25, 99]


def test_a_picture_in_several_shards_is_taken_from_the_one_that_the_manifest_names(tmp_path):
    manifest, features = write_store(
        tmp_path / "store",
        {
            "shard-1.tfrecord": {"0.jpg": "sha 0", "1.jpg": "sha 1"},
            # what a run beside this one has computed too
            "shard-2.tfrecord": {"0.jpg": "sha 0", "1.jpg": "sha 1", "2.jpg": "sha 2", "3.jpg": "sha 3"},
        },
    )
    del manifest.shards["shard-2.tfrecord"]["0.jpg"], manifest.shards["shard-1.tfrecord"]["1.jpg"]
    ids = {name: IDS[name] for name in ("0.jpg", "1.jpg", "2.jpg", "3.jpg")}
    seen = list(pictures_in(CaptionedFeatures(manifest, ids, captions=1).in_order()))
    assert sorted(int(word) for word, _ in seen) == [10, 11, 12, 13]
    found = {int(word): feature for word, feature in seen}
    for word in (11, 13):  # drawn last for shard-2
        np.testing.assert_array_equal(found[word], features[f"sha {word - 10}"])


def test_a_batch_has_as_many_captions_as_its_most_described_picture(manifest):
    data = CaptionedFeatures(manifest[0], {name: IDS[name] for name in ("0.jpg", "2.jpg", "5.jpg")}, captions=1)
    assert [batch["tokens"].shape[1] for batch in data.in_order()] == [1, 1, 2]


def test_the_seed_determines_the_order(manifest):
    data = CaptionedFeatures(manifest[0], IDS, 64)
    plain, shuffled = order(data.in_order()), order(data.shuffled(1))
    assert plain == order(data.in_order()) == sorted(plain)
    assert shuffled != plain and sorted(shuffled) == plain
    assert order(data.shuffled(1)) == shuffled != order(data.shuffled(2))


def test_batches_at_the_beginning_can_be_left_out(manifest):
    data = CaptionedFeatures(manifest[0], IDS, captions=3)
    assert order(data.shuffled(1, skip=3)) == order(data.shuffled(1))[6:]


def test_captions_are_drawn_anew_for_each_seed(manifest):
    data = CaptionedFeatures(manifest[0], IDS, 64)
    drawn = {seed: set(order(data.shuffled(seed, captions_a_picture=1))) for seed in range(8)}
    assert all(len(each) == 8 for each in drawn.values())
    assert set().union(*drawn.values()) == {10 + n for n in range(8)} | {20 + n for n in range(1, 8, 2)}
    assert drawn[0] == set(order(data.shuffled(0, captions_a_picture=1)))


def test_ids_come_from_the_transformed_examples(tmp_path):
    path = str(tmp_path / "data.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        ids = tf.train.Feature(int64_list=tf.train.Int64List(value=[2, 7, 3, 2, 3, 0]))
        lengths = tf.train.Feature(int64_list=tf.train.Int64List(value=[3, 3]))
        name = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a.jpg"]))
        fields = {records.IMAGE_ID: name, "ids$ragged_values": ids, "ids$row_lengths_1": lengths}
        writer.write(tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString())
    rows = tf.io.RaggedFeature.RowLengths("ids$row_lengths_1")
    spec = {
        records.IMAGE_ID: tf.io.FixedLenFeature([], tf.string),
        records.IDS: tf.io.RaggedFeature(
            tf.int64, value_key="ids$ragged_values", partitions=[rows], row_splits_dtype=tf.int64
        ),
    }
    loaded = load_ids([path], spec)
    assert list(loaded) == ["a.jpg"]
    assert loaded["a.jpg"].dtype == np.int32
    assert loaded["a.jpg"].tolist() == [[2, 7, 3], [2, 3, 0]]


def test_no_epoch_waits_for_the_autotuner_at_its_end(manifest):
    data = CaptionedFeatures(manifest[0], IDS, 64)
    for dataset in (data.in_order(), data.shuffled(0)):
        assert dataset.options().autotune.enabled is False
