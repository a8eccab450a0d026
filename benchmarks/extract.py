"""What freezing the backbone gains."""

import tempfile
from collections.abc import Iterator

import tensorflow as tf

from benchmarks.measuring import Result, in_turns
from components import images, scenes
from components.feature_extractor import backbones

PICTURES, BATCH = 64, 32


def frozen_backbone() -> Iterator[Result]:
    """The exported backbone against the Keras model in a graph function, decoding included in both."""
    settings = backbones.BackboneSettings("InceptionV3", backbones.RANDOM)
    model = backbones.build(settings)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def with_keras(encoded: tf.Tensor) -> tf.Tensor:
        signature = tf.TensorSpec((settings.size, settings.size, 3), tf.float32)
        pixels = tf.map_fn(
            lambda picture: images.decode_and_resize(picture, settings.size), encoded, fn_output_signature=signature
        )
        return model(pixels / 127.5 - 1.0, training=False)

    with tempfile.TemporaryDirectory() as directory:
        backbones.export(settings, directory)
        frozen = tf.saved_model.load(directory).features
        batches = [
            tf.constant([scenes.jpeg(1, index) for index in range(start, start + BATCH)])
            for start in range(0, PICTURES, BATCH)
        ]
        ours, theirs = in_turns(lambda: list(map(frozen, batches)), lambda: list(map(with_keras, batches)), rounds=5)
    detail = f"InceptionV3, frozen {PICTURES / ours:.1f} pictures/s, Keras model {PICTURES / theirs:.1f} pictures/s"
    yield Result("extract.frozen_over_keras", theirs / ours, "ratio", detail)
