import numpy as np
import pytest
import tensorflow as tf

from components.features import Manifest, serialize
from components.report import attention
from tests.components.report.material import decoded

# (3, 1, 2): maps of one row and two columns, of two words and of what is not said
WEIGHTS = np.array([[[0.0, 0.2]], [[0.4, 0.1]], [[9.0, 9.0]]], np.float32)


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    names = {"a.jpg": "sha a", "b.jpg": "sha b", "copy.jpg": "sha a", "train.jpg": "sha t"}
    with tf.io.TFRecordWriter(str(tmp_path / "shard-1.tfrecord")) as writer:
        for number, sha in enumerate(dict.fromkeys(names.values())):
            writer.write(serialize(sha, np.full((2, 1), number, np.float16)))
    return Manifest("print", str(tmp_path), (1, 2), 1, {"shard-1.tfrecord": names})


def saved(tmp_path, name: str) -> str:
    @tf.function(input_signature=[tf.TensorSpec([None, 2, 1], tf.float16, "features")])
    def looks(features):
        captions = tf.gather(tf.constant(["a dog", "two cats", "never"]), tf.cast(features[:, 0, 0], tf.int32))
        return {"caption": captions, "attention": tf.repeat(tf.constant(WEIGHTS)[None], tf.shape(features)[0], 0)}

    module = tf.Module()
    module.looks = looks
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={name: looks})
    return str(tmp_path / "model")


def test_the_maps_of_each_word_are_kept(manifest, tmp_path):
    found = attention.read(saved(tmp_path, "attention_from_features"), manifest, ["a.jpg", "b.jpg", "copy.jpg"])
    assert {name: maps.words for name, maps in found.items()} == {
        "a.jpg": ["a", "dog"],
        "copy.jpg": ["a", "dog"],
        "b.jpg": ["two", "cats"],
    }
    np.testing.assert_array_equal(decoded(found["b.jpg"].weights), [0, 128, 255, 64])


def test_a_model_that_can_not_tell_has_no_maps(manifest, tmp_path):
    assert attention.read(saved(tmp_path, "serving_default"), manifest, ["a.jpg"]) == {}


def test_no_more_maps_are_kept_than_fit():
    maps = {name: attention.of_caption("a dog", WEIGHTS) for name in ("a", "b", "c")}
    size = len(maps["a"].weights)
    assert list(attention.within(maps, 2 * size)) == ["a", "b"]
    assert attention.within(maps, 3 * size) == maps and attention.within(maps, size - 1) == {}


def test_a_caption_without_words_has_an_empty_map():
    assert attention.of_caption("", WEIGHTS) == attention.Maps([], "")
