"""A small feature store for the trainer's tests."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from components.features import BACKBONE, Manifest, serialize

GRID, CHANNELS, SIZE = (2, 2), 3, 32


def write_store(directory: pathlib.Path, shards: dict[str, dict[str, str]]) -> tuple[Manifest, dict[str, np.ndarray]]:
    """Writes shards of drawn features: (manifest, sha256 -> float16 [positions, channels])."""
    directory.mkdir(parents=True)
    rng, features = np.random.default_rng(0), {}
    for shard, pictures in shards.items():
        with tf.io.TFRecordWriter(str(directory / shard)) as writer:
            for sha in dict.fromkeys(pictures.values()):
                features[sha] = rng.normal(size=(4, CHANNELS)).astype(np.float16)
                writer.write(serialize(sha, features[sha]))
    return Manifest("print", str(directory), GRID, CHANNELS, shards), features


def write_backbone(directory: pathlib.Path) -> None:
    """A backbone whose features are the mean colours of the four quarters of a picture."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3])])
    def from_pixels(pixels):
        means = tf.nn.avg_pool2d(pixels / 64, SIZE // 2, SIZE // 2, "VALID")
        return tf.cast(tf.reshape(means, (-1, 4, CHANNELS)), tf.float16)

    module.from_pixels = from_pixels
    tf.saved_model.save(module, str(directory / "backbone-1"))
    (directory / BACKBONE).write_text(json.dumps({"saved_model": "backbone-1", "size": SIZE}))
