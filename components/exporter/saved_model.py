"""A trained model as one SavedModel that needs nothing else: images in, captions out."""

import dataclasses
import os
from collections.abc import Sequence

import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.shared import records, scenes, storage
from components.shared.datasets import without_autotuning
from components.shared.features import Backbone
from components.shared.images.public_bounds import decode_within_bounds
from components.shared.models import decoding
from components.shared.models.decoding_settings import DecodingSettings
from components.shared.models.description import EXPORTED, Description
from components.shared.models.protocol import CaptionModel
from components.shared.rewriting import rewrite
from components.shared.words import Tokenization, join_rules

WARM_UP = os.path.join("assets.extra", "tf_serving_warmup_requests")  # where TensorFlow Serving looks for it
WARM_UP_BATCH_SIZES = (1, 8)


class Captioner(tf.Module):
    """Backbone, captioning model and vocabulary in one module."""

    def __init__(
        self,
        model: CaptionModel,
        backbone: Backbone,
        vocabulary_file: str,
        settings: DecodingSettings,
        tokenization: Tokenization,
    ):
        """Puts the parts together.

        Args:
          model: the trained model.
          backbone: the backbone of the features that the model was trained on.
          vocabulary_file: a file with one word per line, in the order of the IDs; the SavedModel gets a copy.
          settings: the decoding settings.
          tokenization: what counts as a word; a caption is joined accordingly.
        """
        super().__init__()
        self.model, self.backbone, self.settings = model, backbone, settings
        self.tokenization = tokenization
        words = tf.lookup.TextFileInitializer(
            vocabulary_file,
            key_dtype=tf.int64,
            key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
            value_dtype=tf.string,
            value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        )
        self.words = tf.lookup.StaticHashTable(words, records.UNK)

    def from_features(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Captions features, float16 [B, N, C].

        Returns:
          "caption": string [B]; "score": float32 [B], the log-probability of `decoding.decode`. Where a feature is not
          finite, the caption is empty and the score NEG_INF.
        """
        return self._caption(features)[0]

    def attention_from_features(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Captions features, float16 [B, N, C], and returns the attention weights.

        Returns:
          the output of `from_features`, and "words": string [B, L], the caption's words, "" after the last one;
          "attention": float32 [B, L, rows, columns], a map of attention weights per word over the feature map; a word's
          map sums to 1, and the maps after a caption's last word are 0.
        """
        outputs, ids, words = self._caption(features)
        tokens = tf.concat([tf.fill([tf.shape(ids)[0], 1], records.START_ID), ids[:, :-1]], axis=1)  # (B, L)
        encoder_state = self.model.encode(tf.cast(features, tf.float32))
        weights = self.model.attention(tokens[:, None], encoder_state)[:, 0]  # (B, L, N)
        weights = tf.where(_is_word(ids)[..., None], weights, 0.0)
        shape = (*tf.unstack(tf.shape(ids)), *self.model.inputs.grid)
        return outputs | {"words": words, "attention": tf.reshape(weights, shape)}

    def from_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Captions encoded images, string [B].

        Returns:
          the output of `from_features`, and "ok": bool [B], false where the bytes are not an image that is served, or
          its features are not finite; then the caption is empty, the score 0 and all attention weights 0.
        """
        features, ok = self._features(image_bytes)
        return _blank_failures(ok, self.from_features(features))

    def attention_from_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Captions encoded images, string [B]: the output of `attention_from_features`, and "ok" of `from_images`."""
        features, ok = self._features(image_bytes)
        return _blank_failures(ok, self.attention_from_features(features))

    def _caption(self, features: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """The output of `from_features`, and the captions' ids, int32 [B, L], and words, string [B, L]."""
        ids, log_probs = decoding.decode(self.model, tf.cast(features, tf.float32), self.settings)
        words = self.words.lookup(tf.cast(ids, tf.int64))
        words = tf.where(_is_word(ids), words, "")  # <end> and padding, all at the end
        captions = tf.strings.strip(tf.strings.reduce_join(words, axis=1, separator=" "))
        return {"caption": rewrite(captions, join_rules(self.tokenization)), "score": log_probs}, ids, words

    def _features(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Features of images, those of a black one where the bytes are not an image; and where they are one."""
        batch_size, size = tf.shape(image_bytes, tf.int64)[0], self.backbone.size

        def decode(index: tf.Tensor, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return index, decode_within_bounds(encoded, size)

        # an op that can't decode fails its whole graph, but in a dataset only its own element
        images = tf.data.Dataset.from_tensor_slices((tf.range(batch_size), image_bytes))
        decoded = images.map(decode, tf.data.AUTOTUNE).ignore_errors()
        sentinel = tf.data.Dataset.from_tensors((batch_size, tf.zeros((size, size, 3))))  # so that there is a batch
        batch = without_autotuning(decoded.concatenate(sentinel).batch(batch_size + 1))
        indices, pixels = batch.get_single_element()
        indices, pixels = indices[:-1, None], pixels[:-1]
        ok = tf.scatter_nd(indices, tf.ones_like(indices[:, 0], tf.int32), batch_size[None]) > 0
        # never an empty batch, which a backbone's kernels may refuse
        shape = tf.stack([tf.maximum(batch_size, 1), size, size, 3])
        return self.backbone.from_pixels(tf.scatter_nd(indices, pixels, shape))[:batch_size], ok


def save(captioner: Captioner, directory: str, description: Description) -> None:
    """Writes the SavedModel, with a signature for each method of the captioner, and requests to warm it up.

    `saved_model.pb` is written last: a directory without it is incomplete. A failed export leaves nothing.

    Args:
      captioner: the captioner to save.
      directory: the directory to write to.
      description: the description of its model.
    """
    try:
        decoding_settings = dataclasses.asdict(captioner.settings)
        storage.write_text(os.path.join(directory, EXPORTED), description.to_json(decoding=decoding_settings))
        _write_warm_up(
            os.path.join(directory, WARM_UP), [scenes.jpeg(0, number) for number in range(max(WARM_UP_BATCH_SIZES))]
        )
        tf.saved_model.save(captioner, directory, signatures=_signatures(captioner))
    except BaseException:
        storage.remove(directory)
        raise


def _signatures(captioner: Captioner) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    inputs = captioner.model.inputs
    features = [tf.TensorSpec([None, inputs.num_positions, inputs.channels], tf.float16, "features")]
    images = [tf.TensorSpec([None], tf.string, "image_bytes")]
    return {
        "serving_default": tf.function(captioner.from_images, input_signature=images),
        "from_features": tf.function(captioner.from_features, input_signature=features),
        "attention": tf.function(captioner.attention_from_images, input_signature=images),
        "attention_from_features": tf.function(captioner.attention_from_features, input_signature=features),
    }


def _is_word(ids: tf.Tensor) -> tf.Tensor:
    """Whether an ID is a word's, and not one of <end> or padding."""
    return ids >= len(records.RESERVED_TOKENS)


def _blank_failures(ok: tf.Tensor, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Blanks the outputs of images that are not ok, bool [B], or whose captions could not be decoded."""
    ok &= outputs["score"] > decoding.NEG_INF
    blank = {}
    for name, output in outputs.items():
        mask = tf.reshape(ok, (-1, *[1] * (output.shape.rank - 1)))
        blank[name] = tf.where(mask, output, tf.zeros([], output.dtype))  # "" for text
    return blank | {"ok": ok}


def _write_warm_up(path: str, images: Sequence[bytes]) -> None:
    """Writes requests that TensorFlow Serving answers before it serves, so that no user waits for the first ones."""
    with tf.io.TFRecordWriter(path) as writer:
        for batch_size in WARM_UP_BATCH_SIZES:
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(signature_name="serving_default"),
                inputs={"image_bytes": tf.make_tensor_proto(list(images[:batch_size]))},
            )
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
