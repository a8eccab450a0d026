"""The captioning transformer of the usual tutorial, built of Keras's own layers: the baseline of the benchmarks.

The same network as `components.shared.models.transformer`, but each image is encoded once per caption, captions are
padded to the longest of the corpus, and everything is float32.
"""

import keras
import tensorflow as tf
from keras import layers

from components.shared.models.protocol import ModelInputs
from components.shared.models.settings import TransformerSettings
from components.shared.models.transformer import positions_1d, positions_2d
from components.shared.records import PAD_ID


class TutorialTransformer(keras.Model):
    """(features (B, N, C), tokens (B, T)) -> logits (B, T, V)."""

    def __init__(self, settings: TransformerSettings, inputs: ModelInputs):
        super().__init__()
        self.settings = settings
        depth = settings.d_model
        self.image_positions = positions_2d(*inputs.grid, depth)
        self.token_positions = tf.constant(positions_1d(inputs.max_length, depth))  # sliced to the captions' length
        self.embed_features, self.embed_words = layers.Dense(depth), layers.Embedding(inputs.vocabulary_size, depth)
        self.encoder = [TutorialLayer(settings, is_decoder=False) for _ in range(settings.num_encoder_layers)]
        self.decoder = [TutorialLayer(settings, is_decoder=True) for _ in range(settings.num_decoder_layers)]
        self.encoder_norm, self.decoder_norm = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))
        self.dropout, self.output_proj = layers.Dropout(settings.dropout), layers.Dense(inputs.vocabulary_size)

    def call(self, inputs, training=False):
        features, tokens = inputs
        x = self.embed_features(self.dropout(features, training=training)) + self.image_positions
        x = self.dropout(x, training=training)
        for layer in self.encoder:
            x = layer(x, training=training)
        encoder_state = self.encoder_norm(x)
        x = self.embed_words(tokens) * self.settings.d_model**0.5 + self.token_positions[: tf.shape(tokens)[1]]
        x = self.dropout(x, training=training)
        for layer in self.decoder:
            x = layer(x, encoder_state, training=training)
        return self.output_proj(self.decoder_norm(x))


class TutorialLayer(layers.Layer):
    """A layer of the encoder, or one of the decoder, with cross-attention."""

    def __init__(self, settings: TransformerSettings, is_decoder: bool):
        super().__init__()
        self.is_decoder = is_decoder
        key_dim = settings.d_model // settings.num_heads
        self.attentions = [
            layers.MultiHeadAttention(settings.num_heads, key_dim, dropout=settings.dropout)
            for _ in range(1 + is_decoder)
        ]
        self.fc1, self.fc2 = layers.Dense(settings.ffn_dim, "relu"), layers.Dense(settings.d_model)
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2 + is_decoder)]
        self.dropout = layers.Dropout(settings.dropout)

    def call(self, x, encoder_state=None, training=False):
        y = self.norms[0](x)
        y = self.attentions[0](y, y, use_causal_mask=self.is_decoder, training=training)
        x = x + self.dropout(y, training=training)
        if encoder_state is not None:
            y = self.attentions[1](self.norms[1](x), encoder_state, training=training)
            x = x + self.dropout(y, training=training)
        y = self.fc2(self.fc1(self.norms[-1](x)))
        return x + self.dropout(y, training=training)


def masked_loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy (nats) of the words without padding: targets int (B, T), logits (B, T, V)."""
    mask = tf.cast(targets != PAD_ID, tf.float32)
    losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    return tf.reduce_sum(losses * mask) / tf.reduce_sum(mask)
