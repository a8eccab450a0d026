import numpy as np
import pytest
import tensorflow as tf

from components import records
from components.trainer.input_pipeline import load_ids, make_dataset
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
    for inputs, _ in dataset:
        yield from zip(inputs["tokens"].numpy()[:, 0, 1], inputs["features"].numpy(), strict=True)


def test_features_meet_their_words(manifest):
    manifest, features = manifest
    seen = dict(pictures_in(make_dataset(manifest, IDS, 64)))
    assert sorted(seen) == [10 + n for n in range(8)]
    for word, feature in seen.items():
        np.testing.assert_array_equal(feature, features[f"sha {word - 10}"].astype(np.float32))


def test_targets_are_the_words_that_follow(manifest):
    [(inputs, targets)] = make_dataset(manifest[0], IDS, 64)
    assert inputs["tokens"].shape == targets.shape == (8, 2, 3)
    one = inputs["tokens"].numpy()[:, 0, 1].tolist().index(11)
    assert inputs["tokens"].numpy()[one].tolist() == [[2, 11, 3], [2, 21, 21]]
    assert targets.numpy()[one].tolist() == [[11, 3, 0], [21, 21, 3]]


def test_what_is_not_there_is_padding(manifest):
    [(inputs, _)] = make_dataset(manifest[0], IDS, 64)
    alone = inputs["tokens"].numpy()[:, 0, 1].tolist().index(10)
    assert inputs["tokens"].numpy()[alone, 1].tolist() == [0, 0, 0]


def test_a_batch_is_as_long_as_its_longest_caption(manifest):
    short = {"0.jpg": IDS["0.jpg"]}
    [(inputs, _)] = make_dataset(manifest[0], short, 64)
    assert inputs["tokens"].shape == (1, 1, 2)


def test_a_batch_holds_about_so_many_captions(manifest):
    dataset = make_dataset(manifest[0], IDS, captions=3)
    assert [inputs["tokens"].shape[0] for inputs, _ in dataset] == [2, 2, 2, 2]
    assert int(dataset.cardinality()) == 4


def test_pictures_of_other_splits_are_left_out(manifest):
    assert [word for word, _ in pictures_in(make_dataset(manifest[0], {"3.jpg": IDS["3.jpg"]}, 64))] == [13]


def test_a_picture_under_two_names_has_the_captions_of_both(manifest):
    ids = {"5.jpg": IDS["5.jpg"], "twin.jpg": np.array([[2, 99, 3, 0]], np.int32)}
    [(inputs, _)] = make_dataset(manifest[0], ids, 64)
    assert inputs["tokens"].numpy()[0, :, 1].tolist() == [15, 25, 99]


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
    seen = list(pictures_in(make_dataset(manifest, ids, captions=1)))
    assert sorted(int(word) for word, _ in seen) == [10, 11, 12, 13]
    found = {int(word): feature for word, feature in seen}
    for word in (11, 13):  # drawn last for shard-2
        np.testing.assert_array_equal(found[word], features[f"sha {word - 10}"].astype(np.float32))


def test_a_batch_has_as_many_captions_as_its_most_described_picture(manifest):
    batches = list(make_dataset(manifest[0], {name: IDS[name] for name in ("0.jpg", "2.jpg", "5.jpg")}, captions=1))
    assert [targets.shape[1] for _, targets in batches] == [1, 1, 2]
    assert [inputs["tokens"].shape[1] for inputs, _ in batches] == [1, 1, 2]


def order(dataset):
    return [int(word) for word, _ in pictures_in(dataset)]


def test_shuffling_is_seeded_and_new_each_epoch(manifest):
    plain, shuffled = make_dataset(manifest[0], IDS, 64), make_dataset(manifest[0], IDS, 64, shuffle_seed=1)
    epochs = [order(shuffled), order(shuffled)]
    assert order(plain) == order(plain) == sorted(order(plain))
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1]) == order(plain)
    again = make_dataset(manifest[0], IDS, 64, shuffle_seed=1)
    assert [order(again), order(again)] == epochs
    assert order(make_dataset(manifest[0], IDS, 64, shuffle_seed=2)) != epochs[0]


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
