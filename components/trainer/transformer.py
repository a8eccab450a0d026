"""The captioning transformer: an encoder over a picture's feature map, a decoder over words.

Vaswani et al. 2017, "Attention Is All You Need", https://arxiv.org/abs/1706.03762, with the layer norm before each part
instead of after it (Xiong et al. 2020, https://arxiv.org/abs/2002.04745).

In the shape comments: P pictures, n captions a picture, B = P·n, T words, N positions of the feature map, C its
channels, D = d_model, H heads, V vocabulary.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from components.records import PAD_ID


@dataclasses.dataclass(frozen=True)
class TransformerSettings:
    """Size of the model; the defaults are the reference size."""

    vocabulary_size: int  # V, reserved tokens included
    grid: tuple[int, int]  # rows and columns of the feature map
    channels: int  # C
    max_length: int  # most tokens a caption, <start> and <end> included
    encoder_layers: int = 4
    decoder_layers: int = 4
    d_model: int = 512
    heads: int = 8
    feed_forward: int = 2048
    dropout: float = 0.1


def positions_1d(length: int, depth: int) -> np.ndarray:
    """Sinusoidal positions, Vaswani et al. 2017, section 3.5: float32 [length, depth], sines first, then cosines."""
    rates = 10_000.0 ** (-np.arange(depth // 2) / (depth / 2))  # (depth/2,)
    angles = np.arange(length)[:, None] * rates  # (length, depth/2)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def positions_2d(rows: int, columns: int, depth: int) -> np.ndarray:
    """Positions of a grid, row by row: the first half of the depth tells the row, the second the column.

    As `posemb_sincos_2d` in Beyer et al. 2022, https://arxiv.org/abs/2205.01580.

    Returns:
      float32 [rows·columns, depth].
    """
    row, column = positions_1d(rows, depth // 2), positions_1d(columns, depth // 2)
    grid = np.concatenate([np.repeat(row, columns, axis=0), np.tile(column, (rows, 1))], axis=1)
    return grid.astype(np.float32)


class Dense(layers.Dense):
    """A dense layer as one product of two matrices: (..., C) -> (..., units)."""

    def call(self, x, training=None):
        # Keras makes a batch of small products, and some of rank 4, (60, 1, 16, 256), crash oneDNN in TensorFlow 2.16.
        y = super().call(ops.reshape(x, (-1, x.shape[-1])), training=training)
        return ops.reshape(y, (*ops.shape(x)[:-1], self.units))


class Attention(layers.Layer):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.heads, self.depth = settings.heads, settings.d_model // settings.heads
        self.query, self.key, self.value, self.out = (Dense(settings.d_model) for _ in range(4))
        self.dropout = layers.Dropout(settings.dropout)

    def call(self, x, memory, visible=None, training=False):
        """Attends from x (B, T, D) to memory (B, S, D), where `visible`, which broadcasts to (B, H, T, S), is true."""
        key, value = self.keys_and_values(memory)
        return self.attend(x, key, value, visible, training)

    def keys_and_values(self, memory):
        """Projects memory (B, S, D) once for all that will attend to it: two of (B, H, S, D/H)."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def attend(self, x, key, value, visible=None, training=False):
        """Attends from x (B, T, D) to projected keys and values (B, H, S, D/H) -> (B, T, D)."""
        query = self._split(self.query(x)) * self.depth**-0.5  # (B, H, T, D/H)
        scores = ops.matmul(query, ops.swapaxes(key, 2, 3))  # (B, H, T, S)
        if visible is not None:
            scores = ops.where(visible, scores, -1e9)
        weights = self.dropout(ops.softmax(scores), training=training)
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))  # (B, T, H, D/H)
        return self.out(ops.reshape(mixed, (-1, ops.shape(x)[1], self.heads * self.depth)))  # (B, T, D)

    def _split(self, x):
        """(B, T, D) -> (B, H, T, D/H)."""
        return ops.transpose(ops.reshape(x, (-1, ops.shape(x)[1], self.heads, self.depth)), (0, 2, 1, 3))


class FeedForward(layers.Layer):
    """Two dense layers with a ReLU between them (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.widen = Dense(settings.feed_forward, activation="relu")
        self.narrow = Dense(settings.d_model)

    def call(self, x):
        return self.narrow(self.widen(x))


class EncoderLayer(layers.Layer):
    """Every position of the feature map looks at every other."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.attention, self.feed_forward = Attention(settings), FeedForward(settings)
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.dropout = layers.Dropout(settings.dropout)

    def call(self, x, training=False):
        """X (P, N, D) -> (P, N, D)."""
        y = self.norms[0](x)
        x = x + self.dropout(self.attention(y, y, training=training), training=training)
        return x + self.dropout(self.feed_forward(self.norms[1](x)), training=training)


class DecoderLayer(layers.Layer):
    """Every word looks at the words before it and at the whole picture."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.self_attention, self.cross_attention = Attention(settings), Attention(settings)
        self.feed_forward = FeedForward(settings)
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(3)]
        self.dropout = layers.Dropout(settings.dropout)

    def call(self, x, memory, visible, training=False):
        """All words at once: x (P, n, T, D), memory (P, N, D), visible (B, 1, T, T) -> (P, n, T, D)."""
        pictures, captions, length, depth = ops.shape(x)[0], ops.shape(x)[1], ops.shape(x)[2], x.shape[3]
        y = ops.reshape(self.norms[0](x), (-1, length, depth))  # (B, T, D)
        y = self.self_attention(y, y, visible=visible, training=training)
        x = x + self.dropout(ops.reshape(y, (pictures, captions, length, depth)), training=training)
        # the captions of a picture attend to it as one long sequence, so that it is projected once for all of them
        y = ops.reshape(self.norms[1](x), (pictures, -1, depth))  # (P, n·T, D)
        y = self.cross_attention(y, memory, training=training)
        x = x + self.dropout(ops.reshape(y, (pictures, captions, length, depth)), training=training)
        return x + self.dropout(self.feed_forward(self.norms[2](x)), training=training)

    def step(self, x, position, past, memory):
        """One word: x (B, 1, D), the number of its place, past and memory pairs of keys and values (B, H, S, D/H).

        Returns:
          x (B, 1, D), and the past with this word in it.
        """
        y = self.norms[0](x)
        here = tf.one_hot(position, tf.shape(past[0])[2])[:, None]  # (S, 1)
        present = self.self_attention.keys_and_values(y)
        past = tuple(old + here * new for old, new in zip(past, present, strict=True))
        seen = tf.range(tf.shape(past[0])[2]) <= position  # (S,)
        x = x + self.self_attention.attend(y, past[0], past[1], seen)
        x = x + self.cross_attention.attend(self.norms[1](x), memory[0], memory[1])
        return x + self.feed_forward(self.norms[2](x)), past


class CaptionTransformer(keras.Model):
    """{"features": (P, N, C), "tokens": (P, n, T)} -> logits of the words after each token (P, n, T, V)."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.settings = settings
        depth = settings.d_model
        self.picture_positions = positions_2d(*settings.grid, depth)  # (N, D)
        self.word_positions = positions_1d(settings.max_length, depth)  # (max_length, D)
        self.embed_features = Dense(depth)
        self.embed_words = layers.Embedding(settings.vocabulary_size, depth)
        self.encoder = [EncoderLayer(settings) for _ in range(settings.encoder_layers)]
        self.decoder = [DecoderLayer(settings) for _ in range(settings.decoder_layers)]
        self.encoder_norm, self.decoder_norm = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))
        self.dropout = layers.Dropout(settings.dropout)
        self.to_logits = Dense(settings.vocabulary_size)

    def call(self, inputs, training=False):
        return self.decode(inputs["tokens"], self.encode(inputs["features"], training=training), training=training)

    def encode(self, features, training=False):
        """Features (P, N, C) -> memory (P, N, D)."""
        x = self.embed_features(self.dropout(features, training=training))
        x = self.dropout(x + self.picture_positions, training=training)
        for layer in self.encoder:
            x = layer(x, training=training)
        return self.encoder_norm(x)

    def decode(self, tokens, memory, training=False):
        """Tokens (P, n, T) and memory (P, N, D) -> logits (P, n, T, V)."""
        length = ops.shape(tokens)[2]
        x = self.dropout(self._embed(tokens, tf.constant(self.word_positions)[:length]), training=training)
        flat = ops.reshape(tokens, (-1, length))  # (B, T)
        places = ops.arange(length)
        causal = places[:, None] >= places[None, :]  # (T, T)
        visible = ops.logical_and(causal, (flat != PAD_ID)[:, None, None, :])  # (B, 1, T, T)
        for layer in self.decoder:
            x = layer(x, memory, visible, training=training)
        return self.to_logits(self.decoder_norm(x))

    def start(self, memory, length):
        """What `step` needs, for memory (B, N, D) and captions of at most `length` tokens.

        Returns:
          (past, memories): for each decoder layer a pair of keys and values, (B, H, length, D/H) zeros, (B, H, N, D/H).
        """
        heads, depth = self.settings.heads, self.settings.d_model // self.settings.heads
        empty = tf.zeros((tf.shape(memory)[0], heads, length, depth))
        past = tuple((empty, empty) for _ in self.decoder)
        return past, tuple(layer.cross_attention.keys_and_values(memory) for layer in self.decoder)

    def step(self, tokens, position, past, memories):
        """Decodes one token more.

        Args:
          tokens: int (B,), the last ones.
          position: int (), their place.
          past: see `start`.
          memories: see `start`.

        Returns:
          logits of the next word (B, V), and the past with these tokens in it.
        """
        x = self._embed(tokens[:, None], tf.gather(self.word_positions, position)[None])  # (B, 1, D)
        new_past = []
        for layer, layer_past, memory in zip(self.decoder, past, memories, strict=True):
            x, layer_past = layer.step(x, position, layer_past, memory)
            new_past.append(layer_past)
        return self.to_logits(self.decoder_norm(x))[:, 0], tuple(new_past)

    def _embed(self, tokens, positions):
        """Tokens (..., T) and positions (T, D) -> (..., T, D); scaled as in Vaswani et al. 2017, section 3.4."""
        return self.embed_words(tokens) * self.settings.d_model**0.5 + positions
