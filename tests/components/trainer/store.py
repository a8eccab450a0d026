"""A small feature store with random features."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.shared.backbone_description import BackboneDescription
from components.shared.features import Manifest
from components.shared.shard_format import write_shard

GRID, CHANNELS, SIZE = (2, 2), 3, 32


def write_store(directory: pathlib.Path, shards: Sequence[Mapping[str, str]]) -> tuple[Manifest, dict[str, np.ndarray]]:
    """Writes shards of random features, given by image ID -> sha256.

    Returns:
      (manifest, sha256 -> float16 [positions, channels]).
    """
    rng, features, manifest_shards = np.random.default_rng(0), {}, {}
    for images in shards:
        contents = list(dict.fromkeys(images.values()))
        features |= {sha: rng.normal(size=(4, CHANNELS)).astype(np.float16) for sha in contents}
        shard = write_shard(str(directory), contents, [features[sha] for sha in contents])
        manifest_shards[shard] = dict(images)
    return Manifest("print", str(directory), GRID, CHANNELS, manifest_shards), features


def write_backbone(directory: pathlib.Path) -> None:
    """Writes a backbone whose features are the mean colors of an image's four quarters.

    It refuses an empty batch, as some backbones do, and computes NaN where a quarter is white.
    """
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3])])
    def from_pixels(pixels):
        with tf.control_dependencies([tf.debugging.assert_positive(tf.shape(pixels)[0])]):
            means = tf.nn.avg_pool2d(pixels / 64, SIZE // 2, SIZE // 2, "VALID")
        is_white = tf.reduce_all(means >= 255 / 64, axis=-1, keepdims=True)
        means = tf.where(is_white, float("nan"), means)
        return tf.cast(tf.reshape(means, (-1, 4, CHANNELS)), tf.float16)

    module.from_pixels = from_pixels
    tf.saved_model.save(module, str(directory / "backbone-1"))
    BackboneDescription("quarters", "none", SIZE, "backbone-1", GRID, CHANNELS).write(str(directory))
