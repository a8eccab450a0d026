"""The trained model as one SavedModel that needs nothing else: pictures in, sentences out."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components import records, scenes
from components.datasets import without_autotuning
from components.features import Backbone
from components.images import decode_within_bounds
from components.trainer import decoding

DESCRIPTION = "captioner.json"  # in assets.extra
WARM_UP = "tf_serving_warmup_requests"  # likewise, where TensorFlow Serving looks for it
WARM_UP_BATCHES = (1, 8)


class Captioner(tf.Module):
    """Backbone, captioning model and vocabulary as one."""

    def __init__(
        self, model: keras.Model, backbone: Backbone, vocabulary_file: str, settings: decoding.DecodingSettings
    ):
        """Puts the parts together.

        Args:
          model: trained; any that can be decoded.
          backbone: of the features that it was trained on.
          vocabulary_file: one word a line, in the order of the ids. It becomes an asset of the SavedModel.
          settings: how words are put together.
        """
        super().__init__()
        self.model, self.backbone, self._settings = model, backbone, settings
        words = tf.lookup.TextFileInitializer(
            vocabulary_file,
            key_dtype=tf.int64,
            key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
            value_dtype=tf.string,
            value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        )
        self.words = tf.lookup.StaticHashTable(words, records.UNK)

    def from_features(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """float16 [B, N, C] -> {"caption": string [B], "score": float32 [B]}, the score as of `decoding.decode`."""
        return self._caption(features)[0]

    def attention_from_features(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same, and "attention": float32 [B, L, rows, columns], where the model looked for each word, of sum 1."""
        answer, ids = self._caption(features)
        read = tf.concat([tf.fill([tf.shape(ids)[0], 1], records.START_ID), ids[:, :-1]], axis=1)  # (B, L)
        memory = self.model.encode(tf.cast(features, tf.float32))
        looked = self.model.look(read[:, None], memory)  # (B, 1, L, N)
        shape = (*tf.unstack(tf.shape(ids)), *self.model.settings.grid)
        return answer | {"attention": tf.reshape(looked, shape)}

    def from_pictures(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded pictures, string [B] -> `from_features`, and "ok": bool [B], false where the bytes are no picture."""
        features, ok = self._features(image_bytes)
        return _where_ok(ok, self.from_features(features))

    def attention_from_pictures(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded pictures, string [B] -> `attention_from_features`, and "ok"."""
        features, ok = self._features(image_bytes)
        return _where_ok(ok, self.attention_from_features(features))

    def _caption(self, features: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The answer, and the ids of its words: int32 [B, L]."""
        ids, score = decoding.decode(self.model, tf.cast(features, tf.float32), self._settings)
        words = self.words.lookup(tf.cast(ids, tf.int64))
        words = tf.where(ids < len(records.RESERVED_TOKENS), "", words)  # <end> and padding, all at the end
        captions = tf.strings.strip(tf.strings.reduce_join(words, axis=1, separator=" "))
        return {"caption": captions, "score": score}, ids

    def _features(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Features of pictures, those of a black one where the bytes are no picture; and where they are one."""
        number, size = tf.shape(image_bytes, tf.int64)[0], self.backbone.size

        def decode(place: tf.Tensor, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return place, decode_within_bounds(encoded, size)

        # an op that can't decode fails its whole graph, but in a dataset its own element alone
        pictures = tf.data.Dataset.from_tensor_slices((tf.range(number), image_bytes))
        decoded = pictures.map(decode, tf.data.AUTOTUNE).ignore_errors()
        none = tf.data.Dataset.from_tensors((number, tf.zeros((size, size, 3))))  # so that there is a batch
        batch = without_autotuning(decoded.concatenate(none).batch(number + 1))
        places, pixels = batch.get_single_element()
        places, pixels = places[:-1, None], pixels[:-1]
        ok = tf.scatter_nd(places, tf.ones_like(places[:, 0], tf.int32), number[None]) > 0
        shape = tf.stack([number, size, size, 3])
        return self.backbone.from_pixels(tf.scatter_nd(places, pixels, shape)), ok


def save(captioner: Captioner, directory: str, feature_fingerprint: str) -> None:
    """Writes the SavedModel, with a signature for each of the captioner's methods, and requests to warm it up.

    Args:
      captioner: what to save.
      directory: where to.
      feature_fingerprint: of the features that `from_features` takes; it is written to assets.extra/captioner.json.
    """
    settings: Any = captioner.model.settings
    positions = settings.grid[0] * settings.grid[1]
    features = [tf.TensorSpec([None, positions, settings.channels], tf.float16, "features")]
    pictures = [tf.TensorSpec([None], tf.string, "image_bytes")]
    signatures = {
        "serving_default": tf.function(captioner.from_pictures, input_signature=pictures),
        "from_features": tf.function(captioner.from_features, input_signature=features),
        "attention": tf.function(captioner.attention_from_pictures, input_signature=pictures),
        "attention_from_features": tf.function(captioner.attention_from_features, input_signature=features),
    }
    tf.saved_model.save(captioner, directory, signatures=signatures)
    description = {
        "feature_fingerprint": feature_fingerprint,
        "model": type(captioner.model).__name__,
        "settings": dataclasses.asdict(settings),
    }
    extra = os.path.join(directory, "assets.extra")
    tf.io.gfile.makedirs(extra)
    with tf.io.gfile.GFile(os.path.join(extra, DESCRIPTION), "w") as file:
        file.write(json.dumps(description))
    _write_warm_up(os.path.join(extra, WARM_UP), [scenes.jpeg(0, number) for number in range(max(WARM_UP_BATCHES))])


def _where_ok(ok: tf.Tensor, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Empty captions of score 0 where a picture is not ok."""
    captions = tf.where(ok, answer["caption"], "")
    return answer | {"caption": captions, "score": tf.where(ok, answer["score"], 0.0), "ok": ok}


def _write_warm_up(path: str, pictures: Sequence[bytes]) -> None:
    """Requests that TensorFlow Serving answers before it serves, so that no user waits for the first ones."""
    with tf.io.TFRecordWriter(path) as writer:
        for number in WARM_UP_BATCHES:
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(signature_name="serving_default"),
                inputs={"image_bytes": tf.make_tensor_proto(list(pictures[:number]))},
            )
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
