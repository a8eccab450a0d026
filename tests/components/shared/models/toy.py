"""A captioning model in one file, as somebody would add it: the mean of the features, and the last token."""

from typing import Literal

import keras
import tensorflow as tf
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.models.layers import Dense, Packing
from components.shared.models.protocol import ModelInputs
from components.shared.settings import STRICT


@dataclass(frozen=True, config=STRICT)
class ToySettings:
    """Size of the toy model."""

    name: Literal["toy"] = "toy"
    """Name of the model."""
    width: PositiveInt = 8
    """Width of embeddings and features."""


class ToyCaptioner(keras.Model):
    """A bigram model with an image: the shape comments are those of the protocol."""

    def __init__(self, settings: ToySettings, inputs: ModelInputs):
        super().__init__()
        self.settings, self.inputs = settings, inputs
        self.feature_proj = Dense(settings.width, inputs.compute_dtype)
        self.token_embedding = keras.layers.Embedding(inputs.vocabulary_size, settings.width)
        self.output_proj = Dense(inputs.vocabulary_size, inputs.compute_dtype)

    def call(self, batch, training=False):
        packing = Packing(batch["tokens"])
        images = tf.reduce_mean(self.encode(batch["features"]), axis=1)  # (P, D)
        image = tf.gather(images, packing.indices[:, 0] // tf.cast(packing.captions_per_image, tf.int64))  # (R, D)
        return self.output_proj(image + self.token_embedding(packing.tokens))  # (R, V)

    def encode(self, features, training=False):
        return self.feature_proj(tf.cast(features, tf.float32))  # (P, N, D)

    def init_cache(self, encoder_state, captions_per_image):
        context = tf.repeat(tf.reduce_mean(encoder_state, axis=1), captions_per_image, axis=0)  # (B, D)
        return tf.zeros((tf.shape(context)[0], 1)), context  # nothing to remember

    def decode_step(self, tokens, position, cache, context):
        return self.output_proj(context + self.token_embedding(tokens)), cache

    def reorder_cache(self, cache, rows):
        return tf.gather(cache, rows)

    def attention(self, tokens, encoder_state):
        num_positions = encoder_state.shape[1]
        weights = tf.where(tokens != 0, 1 / num_positions, 0.0)[..., None]  # (P, n, T, 1)
        return tf.repeat(weights, num_positions, axis=-1)
