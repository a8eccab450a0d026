"""A small feature store for the trainer's tests."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from components.features import BACKBONE, Manifest, serialize

GRID, CHANNELS = (2, 2), 3


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
    """A backbone that makes features of the length of the bytes: enough to tell pictures apart."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def features(encoded):
        lengths = tf.cast(tf.strings.length(encoded), tf.float16)[:, None, None]
        return lengths / 100 * tf.ones((1, 4, CHANNELS), tf.float16)

    module.features = features
    tf.saved_model.save(module, str(directory / "backbone-1"))
    (directory / BACKBONE).write_text(json.dumps({"saved_model": "backbone-1", "size": 32}))
