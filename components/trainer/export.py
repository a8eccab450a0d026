"""The trained model as one SavedModel that needs nothing else: pictures in, sentences out."""

import json
import os
from collections.abc import Callable

import tensorflow as tf

from components import records
from components.trainer import decoding
from components.trainer.transformer import CaptionTransformer

DESCRIPTION = "captioner.json"  # in assets.extra


class Captioner(tf.Module):
    """Backbone, transformer and vocabulary as one."""

    def __init__(self, model: CaptionTransformer, backbone: Callable, vocabulary_file: str):
        """Puts the parts together.

        Args:
          model: trained.
          backbone: encoded pictures, string [B] -> float16 [B, N, C]; see `components.features.Backbone`.
          vocabulary_file: one word a line, in the order of the ids. It becomes an asset of the SavedModel.
        """
        super().__init__()
        self.model, self.backbone = model, backbone
        words = tf.lookup.TextFileInitializer(
            vocabulary_file,
            key_dtype=tf.int64,
            key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
            value_dtype=tf.string,
            value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        )
        self.words = tf.lookup.StaticHashTable(words, records.UNK)

    def from_features(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """float16 [B, N, C] -> {"caption": string [B], "score": float32 [B]}, the score as of `decoding.greedy`."""
        ids, score = decoding.greedy(self.model, tf.cast(features, tf.float32))
        words = self.words.lookup(tf.cast(ids, tf.int64))
        words = tf.where(ids < len(records.RESERVED_TOKENS), "", words)  # <end> and padding, all at the end
        return {"caption": tf.strings.strip(tf.strings.reduce_join(words, axis=1, separator=" ")), "score": score}

    def from_pictures(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded pictures, string [B] -> the same."""
        return self.from_features(self.backbone(image_bytes))


def save(captioner: Captioner, directory: str, feature_fingerprint: str) -> None:
    """Writes the SavedModel, with the signatures `serving_default` and `from_features`.

    Args:
      captioner: what to save.
      directory: where to.
      feature_fingerprint: of the features that `from_features` takes; it is written to assets.extra/captioner.json.
    """
    settings = captioner.model.settings
    shape = [None, settings.grid[0] * settings.grid[1], settings.channels]
    pictures = tf.function(captioner.from_pictures, input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    features = tf.function(captioner.from_features, input_signature=[tf.TensorSpec(shape, tf.float16, "features")])
    tf.saved_model.save(captioner, directory, signatures={"serving_default": pictures, "from_features": features})
    description = {"feature_fingerprint": feature_fingerprint, "max_length": settings.max_length}
    extra = os.path.join(directory, "assets.extra")
    tf.io.gfile.makedirs(extra)
    with tf.io.gfile.GFile(os.path.join(extra, DESCRIPTION), "w") as file:
        file.write(json.dumps(description))
