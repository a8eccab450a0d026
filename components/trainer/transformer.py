"""The captioning transformer: an encoder over a picture's feature map, a decoder over words.

Vaswani et al. 2017, "Attention Is All You Need", https://arxiv.org/abs/1706.03762; the layer norm stands before each
part (Xiong et al. 2020, https://arxiv.org/abs/2002.04745) unless settings want it after, as in the paper.

A picture is encoded once for all its captions, and the captions travel without their padding: all words of a batch are
the rows of one matrix, which is laid out as captions for attention alone.

In the shape comments: P pictures, n captions (or beams) a picture, B = P·n, T words of the longest caption, R words in
all, N positions of the feature map, C its channels, D = d_model, H heads, d = D/H, V vocabulary.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from components.trainer.layers import Dense, Packing, product


@dataclasses.dataclass(frozen=True)
class TransformerSettings:
    """Size and make of the model; the defaults are the reference model."""

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
    norm: str = "pre"  # "pre" or "post": where the layer norm stands
    tie_weights: bool = False  # one matrix embeds words and scores them (Press and Wolf 2017, arXiv 1608.05859)
    precision: str = "float32"  # of the products of matrices; "bfloat16" halves what they read. The rest is float32

    def gain(self, parts: int) -> float:
        """What the first weights of each of so many parts' outputs, which are summed, are multiplied by.

        As in Radford et al. 2019 (GPT-2), section 2.3: so the sum is no larger in a deeper model, and training starts
        from what the words alone say. A layer norm after each sum has the same effect.
        """
        return parts**-0.5 if self.norm == "pre" else 1.0


def positions_1d(length: int, depth: int) -> np.ndarray:
    """Sinusoidal positions, Vaswani et al. 2017, section 3.5: float32 [length, depth], sines first, then cosines."""
    rates = 10_000.0 ** (-np.arange(depth // 2) / (depth / 2))  # (depth/2,)
    angles = np.arange(length)[:, None] * rates  # (length, depth/2)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def positions_2d(rows: int, columns: int, depth: int) -> np.ndarray:
    """Positions of a grid, row by row: the first half of the depth tells the row, the second the column.

    `positions_1d` for the row and for the column, concatenated: as in Beyer et al. 2022 (`posemb_sincos_2d`),
    https://arxiv.org/abs/2205.01580, up to their order and frequencies.

    Returns:
      float32 [rows·columns, depth].
    """
    row, column = positions_1d(rows, depth // 2), positions_1d(columns, depth // 2)  # (rows, D/2), (columns, D/2)
    grid = np.concatenate([np.repeat(row, columns, axis=0), np.tile(column, (rows, 1))], axis=1)  # (N, D)
    return grid.astype(np.float32)


def split_heads(x: tf.Tensor, parts: int, heads: int) -> list[tf.Tensor]:
    """(B, T, parts·D) -> `parts` of (B, H, T, d)."""
    shape = tf.shape(x)
    x = tf.reshape(x, (shape[0], shape[1], parts, heads, x.shape[-1] // parts // heads))
    return tf.unstack(tf.transpose(x, (2, 0, 3, 1, 4)))  # (parts, B, H, T, d)


def join_heads(x: tf.Tensor) -> tf.Tensor:
    """(B, H, T, d) -> (B, T, D)."""
    shape = tf.shape(x)
    return tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (shape[0], shape[2], x.shape[1] * x.shape[3]))


class Attend(layers.Layer):
    """Scaled dot-product attention (Vaswani et al. 2017, formula 1)."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.dropout = layers.Dropout(settings.dropout)

    def call(self, query, key, value, visible=None, training=False):
        """Query (B, H, T, d), key and value (B, H, S, d), visible bool, broadcasts to (B, H, T, S) -> (B, T, D)."""
        weights = self.dropout(self.weights_of(query, key, visible), training=training)  # (B, H, T, S)
        return join_heads(tf.matmul(weights, value))  # (B, T, D)

    def weights_of(self, query, key, visible=None):
        """How much each query looks at each key: (B, H, T, S), each row of sum 1."""
        scores = tf.matmul(query * query.shape[-1] ** -0.5, key, transpose_b=True)  # (B, H, T, S)
        return tf.nn.softmax(scores if visible is None else tf.where(visible, scores, -1e9))


class SelfAttention(layers.Layer):
    """Multi-head attention of a sequence to itself; query, key and value are projected in one product."""

    def __init__(self, settings: TransformerSettings, gain: float):
        super().__init__()
        self.heads, depth = settings.heads, settings.d_model
        self.project = Dense(3 * depth, settings.precision)
        self.out = Dense(depth, settings.precision, gain=gain)
        self.attend = Attend(settings)

    def call(self, x, training=False):
        """All look at all: (P, N, D) -> (P, N, D)."""
        query_key_value = split_heads(self.project(x), 3, self.heads)  # three of (P, H, N, d)
        return self.out(self.attend(*query_key_value, training=training))  # (P, N, D)

    def causal(self, rows, packing, training=False):
        """Each word looks at itself and those before it (Vaswani et al. 2017, section 3.2.3): (R, D) -> (R, D)."""
        query, key, value = split_heads(packing.unpack(self.project(rows)), 3, self.heads)  # (B, H, T, d)
        place = tf.range(packing.length)
        visible = place[:, None] >= place[None, :]  # (T, T)
        return self.out(packing.pack(self.attend(query, key, value, visible, training=training)))  # (R, D)

    def step(self, x, past):
        """One word more: x (B, D), past keys and values (2, B, H, t, d) -> (B, D) and past (2, B, H, t+1, d)."""
        query, key, value = split_heads(self.project(x)[:, None], 3, self.heads)  # (B, H, 1, d)
        past = tf.concat([past, tf.stack([key, value])], axis=3)  # (2, B, H, t+1, d)
        return self.out(self.attend(query, past[0], past[1])[:, 0]), past  # (B, 1, D) -> (B, D)


class CrossAttention(layers.Layer):
    """Multi-head attention of words to a picture, whose keys and values are projected in one product."""

    def __init__(self, settings: TransformerSettings, gain: float):
        super().__init__()
        self.heads, depth = settings.heads, settings.d_model
        self.query, self.memory = Dense(depth, settings.precision), Dense(2 * depth, settings.precision)
        self.out = Dense(depth, settings.precision, gain=gain)
        self.attend = Attend(settings)

    def keys_and_values(self, memory):
        """Projects memory (P, N, D) once for all that will look at it: two of (P, H, N, d)."""
        return split_heads(self.memory(memory), 2, self.heads)

    def call(self, rows, memory, packing, training=False):
        """Words (R, D) look at their pictures, memory two of (P, H, N, d) -> (R, D)."""
        mixed = self.attend(self.queries(rows, packing), *memory, training=training)  # (P, n·T, D)
        return self.out(packing.pack(packing.split(mixed)))  # (P, n·T, D) -> (B, T, D) -> (R, D)

    def queries(self, rows, packing):
        """Words (R, D) -> queries (P, H, n·T, d): a picture's captions look at it as one long sequence."""
        query = packing.join(packing.unpack(self.query(rows)))  # (R, D) -> (B, T, D) -> (P, n·T, D)
        return split_heads(query, 1, self.heads)[0]  # (P, H, n·T, d)

    def step(self, x, memory):
        """One word of each caption: x (B, D), memory two of (P, H, N, d) -> (B, D)."""
        captions, pictures = tf.shape(x)[0], tf.shape(memory[0])[0]
        query = tf.reshape(self.query(x), (pictures, captions // tf.maximum(pictures, 1), x.shape[-1]))  # (P, n, D)
        mixed = self.attend(split_heads(query, 1, self.heads)[0], *memory)  # (P, n, D)
        return self.out(tf.reshape(mixed, (-1, x.shape[-1])))  # (B, D)


class FeedForward(layers.Layer):
    """Two dense layers with a ReLU between them (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, settings: TransformerSettings, gain: float):
        super().__init__()
        self.widen = Dense(settings.feed_forward, settings.precision, tf.nn.relu)
        self.narrow = Dense(settings.d_model, settings.precision, gain=gain)

    def call(self, x):
        return self.narrow(self.widen(x))  # (..., D) -> (..., feed_forward) -> (..., D)


class Residual(layers.Layer):
    """The sum of a part's input and output, with dropout, and the layer norm before the part or after the sum."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.pre = settings.norm == "pre"
        self.norm, self.dropout = layers.LayerNormalization(epsilon=1e-6), layers.Dropout(settings.dropout)

    def enter(self, x):
        """What the part gets of x (..., D)."""
        return self.norm(x) if self.pre else x

    def leave(self, x, y, training=False):
        """X and what the part made of it, both (..., D) -> (..., D)."""
        x += self.dropout(y, training=training)
        return x if self.pre else self.norm(x)


class EncoderLayer(layers.Layer):
    """Every position of the feature map looks at every other."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        gain = settings.gain(2 * settings.encoder_layers)
        self.attention, self.feed_forward = SelfAttention(settings, gain), FeedForward(settings, gain)
        self.residuals = [Residual(settings) for _ in range(2)]

    def call(self, x, training=False):
        """X (P, N, D) -> (P, N, D)."""
        one, two = self.residuals
        x = one.leave(x, self.attention(one.enter(x), training=training), training)
        return two.leave(x, self.feed_forward(two.enter(x)), training)


class DecoderLayer(layers.Layer):
    """Every word looks at the words before it and at the whole picture."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        gain = settings.gain(3 * settings.decoder_layers)
        self.self_attention, self.cross_attention = SelfAttention(settings, gain), CrossAttention(settings, gain)
        self.feed_forward = FeedForward(settings, gain)
        self.residuals = [Residual(settings) for _ in range(3)]

    def call(self, x, memory, packing, training=False):
        """All words at once: x (R, D), memory (P, N, D) -> (R, D)."""
        one, two, three = self.residuals
        memory = self.cross_attention.keys_and_values(memory)  # two of (P, H, N, d)
        x = one.leave(x, self.self_attention.causal(one.enter(x), packing, training), training)
        seen = self.cross_attention(two.enter(x), memory=memory, packing=packing, training=training)
        x = two.leave(x, seen, training)
        return three.leave(x, self.feed_forward(three.enter(x)), training)

    def step(self, x, past, memory):
        """One word: x (B, D), past (2, B, H, t, d), memory two of (P, H, N, d) -> (B, D) and past with this word."""
        one, two, three = self.residuals
        y, past = self.self_attention.step(one.enter(x), past)  # (B, D), (2, B, H, t+1, d)
        x = one.leave(x, y)
        x = two.leave(x, self.cross_attention.step(two.enter(x), memory))
        return three.leave(x, self.feed_forward(three.enter(x))), past

    def looked(self, x, memory, packing):
        """Where each word looks, the mean over heads: x (R, D), memory (P, N, D) -> (R, N)."""
        one, two, _ = self.residuals
        x = one.leave(x, self.self_attention.causal(one.enter(x), packing))
        key, _ = self.cross_attention.keys_and_values(memory)  # (P, H, N, d)
        weights = self.cross_attention.attend.weights_of(self.cross_attention.queries(two.enter(x), packing), key)
        weights = tf.reduce_mean(weights, axis=1)  # (P, H, n·T, N) -> (P, n·T, N)
        return packing.pack(packing.split(weights))  # (B, T, N) -> (R, N)


class CaptionTransformer(keras.Model):
    """{"features": (P, N, C), "tokens": (P, n, T)} -> logits of the words after each token, padding left out (R, V)."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.settings = settings
        depth, before = settings.d_model, settings.norm == "pre"
        self.picture_positions = positions_2d(*settings.grid, depth)  # (N, D)
        self.word_positions = positions_1d(settings.max_length, depth)  # (max_length, D)
        self.embed_features = Dense(depth, settings.precision)
        spread = keras.initializers.RandomNormal(stddev=depth**-0.5) if settings.tie_weights else "uniform"
        self.embed_words = layers.Embedding(settings.vocabulary_size, depth, spread)
        self.encoder = [EncoderLayer(settings) for _ in range(settings.encoder_layers)]
        self.decoder = [DecoderLayer(settings) for _ in range(settings.decoder_layers)]
        # without these the sum of all layers' outputs would go on unscaled
        norms = [layers.LayerNormalization(epsilon=1e-6) if before else layers.Identity() for _ in range(2)]
        self.encoder_norm, self.decoder_norm = norms
        self.dropout = layers.Dropout(settings.dropout)
        self.to_logits = None if settings.tie_weights else Dense(settings.vocabulary_size, settings.precision)

    def call(self, inputs, training=False):
        memory = self.encode(inputs["features"], training=training)
        return self.decode(inputs["tokens"], memory, training=training)

    def encode(self, features, training=False):
        """Features (P, N, C) -> memory (P, N, D)."""
        x = self.embed_features(self.dropout(tf.cast(features, tf.float32), training=training))  # (P, N, D)
        x = self.dropout(x + self.picture_positions, training=training)
        for layer in self.encoder:
            x = layer(x, training=training)
        return self.encoder_norm(x)

    def decode(self, tokens, memory, training=False):
        """Tokens (P, n, T) and memory (P, N, D) -> logits (R, V)."""
        packing = Packing(tokens)
        x = self.dropout(self._embed(packing.words, packing.places[:, 1]), training=training)  # (R, D)
        for layer in self.decoder:
            x = layer(x, memory=memory, packing=packing, training=training)
        return self._logits(x)

    def look(self, tokens, memory):
        """Where the last layer looks while it reads each token: (P, n, T), (P, N, D) -> (P, n, T, N), of sum 1."""
        packing = Packing(tokens)
        x = self._embed(packing.words, packing.places[:, 1])  # (R, D)
        for layer in self.decoder[:-1]:
            x = layer(x, memory=memory, packing=packing)
        weights = packing.unpack(self.decoder[-1].looked(x, memory, packing))  # (B, T, N)
        return tf.reshape(weights, tf.concat([tf.shape(tokens), [memory.shape[1]]], axis=0))

    def start(self, memory, captions):
        """What `step` needs, for memory (P, N, D) and so many captions a picture.

        Returns:
          (past, memories): for each decoder layer keys and values: (2, B, H, 0, d), and two of (P, H, N, d).
        """
        heads, depth = self.settings.heads, self.settings.d_model // self.settings.heads
        empty = tf.zeros((2, tf.shape(memory)[0] * captions, heads, 0, depth))
        return [empty for _ in self.decoder], [layer.cross_attention.keys_and_values(memory) for layer in self.decoder]

    def reorder(self, past, rows):
        """The past of other captions: rows int (B,), whose past each caption goes on from."""
        return [tf.gather(layer, rows, axis=1) for layer in past]

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
        x = self._embed(tokens, position)  # (B, D)
        new_past = []
        for layer, layer_past, memory in zip(self.decoder, past, memories, strict=True):
            x, layer_past = layer.step(x, layer_past, memory)
            new_past.append(layer_past)
        return self._logits(x), new_past

    def _embed(self, words, places):
        """Words (R,) at places (R,) or () -> (R, D); scaled as in Vaswani et al. 2017, section 3.4."""
        return self.embed_words(words) * self.settings.d_model**0.5 + tf.gather(self.word_positions, places)

    def _logits(self, x):
        """(R, D) -> (R, V)."""
        x = self.decoder_norm(x)
        if self.to_logits is not None:
            return self.to_logits(x)  # (R, D) -> (R, V)
        return product(x, self.embed_words.embeddings, self.settings.precision, transposed=True)  # (R, V)
