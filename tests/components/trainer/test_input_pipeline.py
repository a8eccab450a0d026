import numpy as np
import pytest
import tensorflow as tf

from components.shared import records
from components.shared.features import CorruptShardError
from components.trainer.input_pipeline import CaptionedFeatures, load_ids
from tests.components.trainer.store import write_store

SHARDS = [
    {f"{n}.jpg": f"sha {n}" for n in range(5)},
    {f"{n}.jpg": f"sha {n}" for n in range(5, 9)} | {"duplicate.jpg": "sha 5"},
]
IDS = {f"{n}.jpg": np.array([[2, 10 + n, 3, 0], [2, 20 + n, 20 + n, 3]], np.int32)[: 1 + n % 2] for n in range(8)}


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "store", SHARDS)


@pytest.fixture
def manifest(store):
    return store[0]


def captioned(manifest, ids, batch_size=64, loss_weighting="per_caption", captions_per_image=0):
    return CaptionedFeatures(manifest, ids, batch_size, loss_weighting, captions_per_image)


def images_in(dataset):
    """(first word, features) of every image, in order."""
    for batch in dataset:
        yield from zip(batch["tokens"].numpy()[:, 0, 1], batch["features"].numpy(), strict=True)


def first_words(dataset):
    return [int(word) for word, _ in images_in(dataset)]


def test_features_come_with_their_captions(store):
    manifest, features = store
    images = dict(images_in(captioned(manifest, IDS).in_order()))
    assert sorted(images) == [10 + n for n in range(8)]
    for word, feature in images.items():
        np.testing.assert_array_equal(feature, features[f"sha {word - 10}"])


def test_padding_has_no_weight(manifest):
    [batch] = captioned(manifest, IDS).in_order()
    row = batch["tokens"].numpy()[:, 0, 1].tolist().index(10)
    assert batch["tokens"].numpy()[row].tolist() == [[2, 10, 3, 0], [0, 0, 0, 0]]
    assert batch["weights"].numpy()[row].tolist() == [1, 0]


def test_equal_captions_are_merged_into_one_of_their_weight(manifest):
    equal = np.array([[2, 9, 3, 0], [2, 8, 3, 0], [2, 9, 3, 0]], np.int32)
    [batch] = captioned(manifest, {"0.jpg": equal}).in_order()
    assert batch["tokens"].numpy().tolist() == [[[2, 9, 3], [2, 8, 3]]]
    assert batch["weights"].numpy().tolist() == [[2, 1]]


def test_per_image_weighting_gives_images_equal_weight(manifest):
    ids = {name: IDS[name] for name in ("0.jpg", "1.jpg")}
    [batch] = captioned(manifest, ids, loss_weighting="per_image").in_order()
    assert batch["weights"].numpy().tolist() == [[1.5, 0], [0.75, 0.75]]


def test_a_batch_is_as_long_as_its_longest_caption(manifest):
    [batch] = captioned(manifest, {"0.jpg": IDS["0.jpg"]}).in_order()
    assert batch["tokens"].shape == (1, 1, 3)


def test_batch_size_is_the_approximate_number_of_captions(manifest):
    data = captioned(manifest, IDS, batch_size=3)
    assert [batch["tokens"].shape[0] for batch in data.in_order()] == [2, 2, 2, 2]
    assert (data.num_batches, data.num_images) == (4, 8)


def test_images_of_other_splits_are_left_out(manifest):
    assert first_words(captioned(manifest, {"3.jpg": IDS["3.jpg"]}).in_order()) == [13]


def test_duplicate_images_have_the_captions_of_both_names(manifest):
    ids = {"5.jpg": IDS["5.jpg"], "duplicate.jpg": np.array([[2, 99, 3]], np.int32)}
    [batch] = captioned(manifest, ids).in_order()
    assert batch["tokens"].numpy()[0, :, 1].tolist() == [15, 25, 99]


def test_an_image_in_several_shards_is_read_from_the_one_in_the_manifest(tmp_path):
    manifest, features = write_store(
        tmp_path / "store",
        [
            {"0.jpg": "sha 0", "1.jpg": "sha 1"},
            # computed by another run at the same time
            {"0.jpg": "sha 0", "1.jpg": "sha 1", "2.jpg": "sha 2", "3.jpg": "sha 3"},
        ],
    )
    one, other = manifest.shards.values()
    del other["0.jpg"], one["1.jpg"]
    ids = {name: IDS[name] for name in ("0.jpg", "1.jpg", "2.jpg", "3.jpg")}
    images = list(images_in(captioned(manifest, ids, batch_size=1).in_order()))
    assert sorted(int(word) for word, _ in images) == [10, 11, 12, 13]
    by_word = {int(word): feature for word, feature in images}
    for word in (11, 13):  # their last values are those of the second shard
        np.testing.assert_array_equal(by_word[word], features[f"sha {word - 10}"])


def test_a_batch_has_the_maximum_number_of_captions_of_its_images(manifest):
    data = captioned(manifest, {name: IDS[name] for name in ("0.jpg", "2.jpg", "5.jpg")}, batch_size=1)
    assert [batch["tokens"].shape[1] for batch in data.in_order()] == [1, 1, 2]


def test_the_seed_determines_the_order(manifest):
    data = captioned(manifest, IDS)
    in_order, shuffled = first_words(data.in_order()), first_words(data.shuffled(1))
    assert in_order == first_words(data.in_order()) == sorted(in_order)
    assert shuffled != in_order and sorted(shuffled) == in_order
    assert first_words(data.shuffled(1)) == shuffled != first_words(data.shuffled(2))


def test_the_first_batches_can_be_skipped(manifest):
    data = captioned(manifest, IDS, batch_size=3)
    assert first_words(data.shuffled(1, skip=3)) == first_words(data.shuffled(1))[6:]


def test_captions_are_sampled_for_each_seed(manifest):
    data = captioned(manifest, IDS, captions_per_image=1)
    sampled = {seed: set(first_words(data.shuffled(seed))) for seed in range(8)}
    assert all(len(words) == 8 for words in sampled.values())
    assert set().union(*sampled.values()) == {10 + n for n in range(8)} | {20 + n for n in range(1, 8, 2)}
    assert sampled[0] == set(first_words(data.shuffled(0)))


def test_batch_size_counts_the_sampled_captions(manifest):
    data = captioned(manifest, IDS, batch_size=4, captions_per_image=1)
    assert [batch["weights"].numpy().sum() for batch in data.shuffled(0)] == [4, 4]
    assert data.num_batches == 2


CLASSES, IMAGES_PER_CLASS, BATCHES = 8, 40, 20


@pytest.fixture(scope="module")
def sorted_by_class(tmp_path_factory):
    """Images in the order of their classes, which are the first words of their captions."""
    names = [f"{number:04}" for number in range(CLASSES * IMAGES_PER_CLASS)]
    shards = [{name: name for name in names[start : start + 10]} for start in range(0, len(names), 10)]
    manifest, _ = write_store(tmp_path_factory.mktemp("sorted") / "store", shards)
    ids = {name: np.array([[2, 10 + n // IMAGES_PER_CLASS, 3]], np.int32) for n, name in enumerate(names)}
    return captioned(manifest, ids, batch_size=len(names) // BATCHES)


def test_each_batch_is_a_random_sample_whatever_the_order_of_the_source(sorted_by_class):
    per_batch = []
    for seed in range(3):
        for batch in sorted_by_class.shuffled(seed):
            classes = batch["tokens"].numpy()[:, 0, 1] - 10
            per_batch.append(np.bincount(classes, minlength=CLASSES))
    expected = IMAGES_PER_CLASS / BATCHES
    chi_squared = np.square(np.array(per_batch) - expected).sum() / expected
    degrees_of_freedom = 3 * (BATCHES - 1) * (CLASSES - 1)
    assert chi_squared / degrees_of_freedom == pytest.approx(1.0, abs=0.2)


def test_the_order_does_not_depend_on_the_shards(tmp_path):
    orders = []
    for number, shards in enumerate((SHARDS, [{**SHARDS[1], **SHARDS[0]}])):
        manifest, _ = write_store(tmp_path / str(number), shards)
        orders.append(first_words(captioned(manifest, IDS).shuffled(3)))
    assert orders[0] == orders[1]


def test_an_image_with_far_more_captions_becomes_several_rows(manifest):
    many = np.array([[2, 100 + n, 3] for n in range(50)], np.int32)
    data = captioned(manifest, IDS | {"2.jpg": many}, batch_size=16)
    for dataset in (data.shuffled(0), data.in_order()):
        batches = list(dataset)
        assert len(batches) == data.num_batches
        assert max(batch["tokens"].shape[1] for batch in batches) <= 15  # twice the mean
        words = [word for batch in batches for word in batch["tokens"].numpy()[:, :, 1].ravel()]
        assert sorted(word for word in words if word >= 100) == list(range(100, 150))
    assert [len(captions) for captions in data.captions][2] == 50  # references of one image


def test_rows_of_one_image_have_its_feature(store):
    manifest, features = store
    many = np.array([[2, 100 + n, 3] for n in range(50)], np.int32)
    for word, feature in images_in(captioned(manifest, IDS | {"2.jpg": many}).shuffled(1)):
        np.testing.assert_array_equal(feature, features[f"sha {2 if word >= 100 else word % 10}"])


def test_features_are_read_once_per_image_in_the_order_of_the_captions(store):
    manifest, features = store
    data = captioned(manifest, IDS)
    read = np.concatenate([batch.numpy() for batch in data.features(3)])
    for feature, captions in zip(read, data.captions, strict=True):
        np.testing.assert_array_equal(feature, features[f"sha {captions[0, 1] - 10}"])


def test_a_damaged_index_deletes_the_shard(store, tmp_path):
    manifest, _ = write_store(tmp_path / "store", SHARDS)
    shard = next(iter(manifest.shards))
    (tmp_path / "store" / shard.replace(".tfrecord", ".json")).write_text("")
    with pytest.raises(CorruptShardError, match=r"1 corrupt shards deleted .* run again"):
        captioned(manifest, IDS).in_order()
    assert not (tmp_path / "store" / shard).exists()


def test_ids_are_read_from_the_transformed_examples(tmp_path):
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


def test_no_epoch_waits_for_the_autotuner(manifest):
    data = captioned(manifest, IDS)
    for dataset in (data.in_order(), data.shuffled(0)):
        assert dataset.options().autotune.enabled is False
