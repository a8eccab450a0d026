import numpy as np
import pytest
import tensorflow as tf

from components.report import attention
from components.shared.features import Manifest
from components.shared.shard_format import write_shard
from tests.components.report.factories import decode_weights

# (3, 1, 2): maps of one row and two columns, for two words and a step after the end
WEIGHTS = np.array([[[0.0, 0.2]], [[0.4, 0.1]], [[9.0, 9.0]]], np.float32)


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    names = {"a.jpg": "sha a", "b.jpg": "sha b", "copy.jpg": "sha a", "train.jpg": "sha t"}
    contents = list(dict.fromkeys(names.values()))
    shard = write_shard(str(tmp_path), contents, [np.full((2, 1), number, np.float16) for number in range(3)])
    return Manifest("print", str(tmp_path), (1, 2), 1, {shard: names})


def save_model(tmp_path, name: str, words: list[list[str]] | None = None) -> str:
    """A model that captions by the number that is the feature; with `words`, the words of each caption."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2, 1], tf.float16, "features")])
    def attend(features):
        captions = tf.gather(tf.constant(["a dog", "two cats", "never"]), tf.cast(features[:, 0, 0], tf.int32))
        outputs = {"caption": captions, "attention": tf.repeat(tf.constant(WEIGHTS)[None], tf.shape(features)[0], 0)}
        if words:
            outputs["words"] = tf.gather(tf.constant(words), tf.cast(features[:, 0, 0], tf.int32))
        return outputs

    module = tf.Module()
    module.attend = attend
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={name: attend})
    return str(tmp_path / "model")


def test_each_word_of_a_caption_has_its_map(manifest, tmp_path):
    found = attention.read(save_model(tmp_path, "attention_from_features"), manifest, ["a.jpg", "b.jpg", "copy.jpg"])
    assert {name: maps.words for name, maps in found.items()} == {
        "a.jpg": ["a", "dog"],
        "copy.jpg": ["a", "dog"],
        "b.jpg": ["two", "cats"],
    }
    np.testing.assert_array_equal(decode_weights(found["b.jpg"].weights), [0, 128, 255, 64])


def test_words_that_are_joined_in_the_caption_are_those_of_the_model(manifest, tmp_path):
    model = save_model(tmp_path, attention.SIGNATURE, [["狗", "跑", ""], ["猫", "", ""], ["", "", ""]])
    found = attention.read(model, manifest, ["a.jpg", "b.jpg"])
    assert (found["a.jpg"].words, found["b.jpg"].words) == (["狗", "跑"], ["猫"])
    np.testing.assert_array_equal(decode_weights(found["b.jpg"].weights), [0, 255])


def test_a_model_without_the_signature_has_no_maps(manifest, tmp_path):
    assert attention.read(save_model(tmp_path, "serving_default"), manifest, ["a.jpg"]) == {}


def test_maps_are_truncated_to_a_size_in_bytes():
    maps = {name: attention.from_weights(["a", "dog"], WEIGHTS) for name in ("a", "b", "c")}
    size = len(maps["a"].weights)
    assert list(attention.truncate_to_bytes(maps, 2 * size)) == ["a", "b"]
    assert attention.truncate_to_bytes(maps, 3 * size) == maps and attention.truncate_to_bytes(maps, size - 1) == {}


def test_a_caption_without_words_has_an_empty_map():
    assert attention.from_weights([], WEIGHTS) == attention.AttentionMaps([], "")
