"""The usual tutorial's captioning transformer, made of Keras's own layers: what the training is measured against.

The same network as `components.trainer.transformer`, with a picture encoded anew for each of its captions, captions
padded to the longest of the corpus, and everything in float32.
"""

import keras
import tensorflow as tf
from keras import layers

from components.records import PAD_ID
from components.trainer.transformer import TransformerSettings, positions_1d, positions_2d


class TutorialTransformer(keras.Model):
    """(features (B, N, C), tokens (B, T)) -> logits (B, T, V)."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.settings = settings
        depth = settings.d_model
        self.grid = positions_2d(*settings.grid, depth)
        self.line = tf.constant(positions_1d(settings.max_length, depth))  # of which a graph takes as much as it needs
        self.embed_features, self.embed_words = layers.Dense(depth), layers.Embedding(settings.vocabulary_size, depth)
        self.encoder = [TutorialLayer(settings, cross=False) for _ in range(settings.encoder_layers)]
        self.decoder = [TutorialLayer(settings, cross=True) for _ in range(settings.decoder_layers)]
        self.encoder_norm, self.decoder_norm = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))
        self.dropout, self.to_logits = layers.Dropout(settings.dropout), layers.Dense(settings.vocabulary_size)

    def call(self, inputs, training=False):
        features, tokens = inputs
        x = self.dropout(self.embed_features(self.dropout(features, training=training)) + self.grid, training=training)
        for layer in self.encoder:
            x = layer(x, training=training)
        memory = self.encoder_norm(x)
        x = self.embed_words(tokens) * self.settings.d_model**0.5 + self.line[: tf.shape(tokens)[1]]
        x = self.dropout(x, training=training)
        for layer in self.decoder:
            x = layer(x, memory, training=training)
        return self.to_logits(self.decoder_norm(x))


class TutorialLayer(layers.Layer):
    """A layer of the encoder, or, with cross attention, of the decoder."""

    def __init__(self, settings: TransformerSettings, cross: bool):
        super().__init__()
        self.causal = cross
        size = settings.d_model // settings.heads
        self.attentions = [
            layers.MultiHeadAttention(settings.heads, size, dropout=settings.dropout) for _ in range(1 + cross)
        ]
        self.widen, self.narrow = layers.Dense(settings.feed_forward, "relu"), layers.Dense(settings.d_model)
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2 + cross)]
        self.dropout = layers.Dropout(settings.dropout)

    def call(self, x, memory=None, training=False):
        y = self.norms[0](x)
        y = self.attentions[0](y, y, use_causal_mask=self.causal, training=training)
        x = x + self.dropout(y, training=training)
        if memory is not None:
            y = self.attentions[1](self.norms[1](x), memory, training=training)
            x = x + self.dropout(y, training=training)
        y = self.narrow(self.widen(self.norms[-1](x)))
        return x + self.dropout(y, training=training)


def masked_loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy (nats) over the words that are no padding: targets int (B, T), logits (B, T, V)."""
    there = tf.cast(targets != PAD_ID, tf.float32)
    losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    return tf.reduce_sum(losses * there) / tf.reduce_sum(there)
