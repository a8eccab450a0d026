"""The captioning transformer: an encoder over an image's feature map, a decoder over tokens.

Vaswani et al. 2017, "Attention Is All You Need", https://arxiv.org/abs/1706.03762. Layer normalization precedes each
sublayer (Xiong et al. 2020, https://arxiv.org/abs/2002.04745), or follows it, as in the paper.

An image is encoded once for all its captions, and captions travel without padding: all tokens of a batch are the rows
of one matrix, which is laid out as captions for attention only.

In the shape comments: P images, n captions (or beams) per image, B = P·n, T tokens of the longest caption, R tokens in
total without padding, N positions of the feature map, C its channels, D = d_model, H heads, d = D/H, V vocabulary size.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from components.shared.models.layers import Dense, Packing, TiedEmbedding
from components.shared.models.protocol import ModelInputs
from components.shared.models.settings import TransformerSettings

NEG_INF = -1e9  # score of a masked position
EPSILON = 1e-6  # of layer normalization


def residual_init_scale(num_sublayers: int, norm_first: bool) -> float:
    """Scale of the initial weights of sublayers whose outputs are summed, 1/√num_sublayers with pre-norm.

    As in Radford et al. 2019 (GPT-2), section 2.3: the sum is no larger in a deeper model, and training starts from
    what the embeddings alone say. With post-norm the layer normalization after each sum has the same effect.
    """
    return num_sublayers**-0.5 if norm_first else 1.0


def positions_1d(length: int, depth: int) -> np.ndarray:
    """Sinusoidal positions, Vaswani et al. 2017, section 3.5: float32 [length, depth], sines first, then cosines."""
    rates = 10_000.0 ** (-np.arange(depth // 2) / (depth / 2))  # (depth/2,)
    angles = np.arange(length)[:, None] * rates  # (length, depth/2)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def positions_2d(rows: int, columns: int, depth: int) -> np.ndarray:
    """Sinusoidal positions of a grid in row-major order: the first half encodes the row, the second the column.

    `positions_1d` of the row and of the column, concatenated: as in Beyer et al. 2022 (`posemb_sincos_2d`),
    https://arxiv.org/abs/2205.01580, except for their order and frequencies.

    Returns:
      float32 [rows·columns, depth].
    """
    row, column = positions_1d(rows, depth // 2), positions_1d(columns, depth // 2)  # (rows, D/2), (columns, D/2)
    grid = np.concatenate([np.repeat(row, columns, axis=0), np.tile(column, (rows, 1))], axis=1)  # (N, D)
    return grid.astype(np.float32)


def split_heads(x: tf.Tensor, num_parts: int, num_heads: int) -> list[tf.Tensor]:
    """(B, T, parts·D) -> `num_parts` of (B, H, T, d)."""
    shape = tf.shape(x)
    x = tf.reshape(x, (shape[0], shape[1], num_parts, num_heads, x.shape[-1] // num_parts // num_heads))
    return tf.unstack(tf.transpose(x, (2, 0, 3, 1, 4)))  # (parts, B, H, T, d)


def join_heads(x: tf.Tensor) -> tf.Tensor:
    """(B, H, T, d) -> (B, T, D)."""
    shape = tf.shape(x)
    return tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (shape[0], shape[2], x.shape[1] * x.shape[3]))


class ScaledDotProductAttention(layers.Layer):
    """Scaled dot-product attention (Vaswani et al. 2017, formula 1)."""

    def __init__(self, dropout: float):
        super().__init__()
        self.dropout = layers.Dropout(dropout)

    def call(self, query, key, value, mask=None, training=False):
        """Query (B, H, T, d), key and value (B, H, S, d), mask bool, broadcasts to (B, H, T, S) -> (B, T, D)."""
        weights = self.dropout(self.attention_weights(query, key, mask), training=training)  # (B, H, T, S)
        return join_heads(tf.matmul(weights, value))  # (B, T, D)

    def attention_weights(self, query, key, mask=None):
        """Attention weights of each query over the keys: (B, H, T, S); each row sums to 1."""
        scores = tf.matmul(query * query.shape[-1] ** -0.5, key, transpose_b=True)  # (B, H, T, S)
        return tf.nn.softmax(scores if mask is None else tf.where(mask, scores, NEG_INF))


class SelfAttention(layers.Layer):
    """Multi-head self-attention; query, key and value are projected in one matrix multiplication."""

    def __init__(self, settings: TransformerSettings, matmul_dtype: str, init_scale: float):
        super().__init__()
        self.num_heads, depth = settings.num_heads, settings.d_model
        self.qkv_proj = Dense(3 * depth, matmul_dtype)
        self.out_proj = Dense(depth, matmul_dtype, init_scale=init_scale)
        self.attend = ScaledDotProductAttention(settings.dropout)

    def call(self, x, training=False):
        """Attention of all positions to all: (P, N, D) -> (P, N, D)."""
        query, key, value = split_heads(self.qkv_proj(x), 3, self.num_heads)  # three of (P, H, N, d)
        return self.out_proj(self.attend(query, key, value, training=training))  # (P, N, D)

    def causal(self, rows, packing, training=False):
        """Attention of each token to itself and those before it (Vaswani et al., section 3.2.3): (R, D) -> (R, D)."""
        query, key, value = split_heads(packing.unpack(self.qkv_proj(rows)), 3, self.num_heads)  # (B, H, T, d)
        positions = tf.range(packing.length)
        mask = positions[:, None] >= positions[None, :]  # (T, T)
        return self.out_proj(packing.pack(self.attend(query, key, value, mask, training=training)))  # (R, D)

    def decode_step(self, x, cache):
        """One more token: x (B, D), cached keys and values (2, B, H, t, d) -> (B, D), cache (2, B, H, t+1, d)."""
        query, key, value = split_heads(self.qkv_proj(x)[:, None], 3, self.num_heads)  # (B, H, 1, d)
        cache = tf.concat([cache, tf.stack([key, value])], axis=3)  # (2, B, H, t+1, d)
        return self.out_proj(self.attend(query, cache[0], cache[1])[:, 0]), cache  # (B, 1, D) -> (B, D)


class CrossAttention(layers.Layer):
    """Multi-head attention of tokens to an image, whose keys and values are projected in one matrix multiplication."""

    def __init__(self, settings: TransformerSettings, matmul_dtype: str, init_scale: float):
        super().__init__()
        self.num_heads, depth = settings.num_heads, settings.d_model
        self.q_proj, self.kv_proj = Dense(depth, matmul_dtype), Dense(2 * depth, matmul_dtype)
        self.out_proj = Dense(depth, matmul_dtype, init_scale=init_scale)
        self.attend = ScaledDotProductAttention(settings.dropout)

    def keys_and_values(self, encoder_state):
        """Projects the encoder state (P, N, D) once for all tokens: two of (P, H, N, d)."""
        return split_heads(self.kv_proj(encoder_state), 2, self.num_heads)

    def call(self, rows, keys_and_values, packing, training=False):
        """Attention of tokens (R, D) to their images, keys and values two of (P, H, N, d) -> (R, D)."""
        output = self.attend(self.queries(rows, packing), *keys_and_values, training=training)  # (P, n·T, D)
        return self.out_proj(packing.pack(packing.split(output)))  # (P, n·T, D) -> (B, T, D) -> (R, D)

    def queries(self, rows, packing):
        """Tokens (R, D) -> queries (P, H, n·T, d): an image's captions attend to it as one long sequence."""
        query = packing.join(packing.unpack(self.q_proj(rows)))  # (R, D) -> (B, T, D) -> (P, n·T, D)
        return split_heads(query, 1, self.num_heads)[0]  # (P, H, n·T, d)

    def decode_step(self, x, keys_and_values):
        """One token of each caption: x (B, D), keys and values two of (P, H, N, d) -> (B, D)."""
        num_captions, num_images = tf.shape(x)[0], tf.shape(keys_and_values[0])[0]
        shape = (num_images, num_captions // tf.maximum(num_images, 1), x.shape[-1])
        query = tf.reshape(self.q_proj(x), shape)  # (P, n, D)
        output = self.attend(split_heads(query, 1, self.num_heads)[0], *keys_and_values)  # (P, n, D)
        return self.out_proj(tf.reshape(output, (-1, x.shape[-1])))  # (B, D)


class FeedForward(layers.Layer):
    """Two dense layers with a ReLU between them (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, settings: TransformerSettings, matmul_dtype: str, init_scale: float):
        super().__init__()
        self.fc1 = Dense(settings.ffn_dim, matmul_dtype, tf.nn.relu)
        self.fc2 = Dense(settings.d_model, matmul_dtype, init_scale=init_scale)

    def call(self, x):
        return self.fc2(self.fc1(x))  # (..., D) -> (..., ffn_dim) -> (..., D)


class Residual(layers.Layer):
    """The residual connection around a sublayer: dropout, and layer normalization before it or after the sum."""

    def __init__(self, settings: TransformerSettings):
        super().__init__()
        self.norm_first = settings.norm_first
        self.norm, self.dropout = layers.LayerNormalization(epsilon=EPSILON), layers.Dropout(settings.dropout)

    def pre_norm(self, x):
        """The sublayer's input for x (..., D)."""
        return self.norm(x) if self.norm_first else x

    def add_residual(self, x, y, training=False):
        """Adds the sublayer's output to its input: x and y, both (..., D) -> (..., D)."""
        x += self.dropout(y, training=training)
        return x if self.norm_first else self.norm(x)


class EncoderLayer(layers.Layer):
    """Self-attention over the positions of the feature map, and a feed-forward network."""

    def __init__(self, settings: TransformerSettings, matmul_dtype: str):
        super().__init__()
        scale = residual_init_scale(2 * settings.num_encoder_layers, settings.norm_first)
        self.self_attention = SelfAttention(settings, matmul_dtype, scale)
        self.feed_forward = FeedForward(settings, matmul_dtype, scale)
        self.self_attention_residual = Residual(settings)
        self.feed_forward_residual = Residual(settings)

    def call(self, x, training=False):
        """Encodes all positions at once: x (P, N, D) -> (P, N, D)."""
        residual = self.self_attention_residual
        x = residual.add_residual(x, self.self_attention(residual.pre_norm(x), training=training), training)
        residual = self.feed_forward_residual
        return residual.add_residual(x, self.feed_forward(residual.pre_norm(x)), training)


class DecoderLayer(layers.Layer):
    """Causal self-attention over tokens, cross-attention to the whole image, and a feed-forward network."""

    def __init__(self, settings: TransformerSettings, matmul_dtype: str):
        super().__init__()
        scale = residual_init_scale(3 * settings.num_decoder_layers, settings.norm_first)
        self.self_attention = SelfAttention(settings, matmul_dtype, scale)
        self.cross_attention = CrossAttention(settings, matmul_dtype, scale)
        self.feed_forward = FeedForward(settings, matmul_dtype, scale)
        self.self_attention_residual = Residual(settings)
        self.cross_attention_residual = Residual(settings)
        self.feed_forward_residual = Residual(settings)

    def call(self, x, encoder_state, packing, training=False):
        """All tokens at once: x (R, D), encoder state (P, N, D) -> (R, D)."""
        keys_and_values = self.cross_attention.keys_and_values(encoder_state)  # two of (P, H, N, d)
        x = self._attend_to_tokens(x, packing, training)
        residual = self.cross_attention_residual
        y = self.cross_attention(
            residual.pre_norm(x), keys_and_values=keys_and_values, packing=packing, training=training
        )
        x = residual.add_residual(x, y, training)
        residual = self.feed_forward_residual
        return residual.add_residual(x, self.feed_forward(residual.pre_norm(x)), training)

    def decode_step(self, x, cache, keys_and_values):
        """One token: x (B, D), cache (2, B, H, t, d), two of (P, H, N, d) -> (B, D), cache (2, B, H, t+1, d)."""
        residual = self.self_attention_residual
        y, cache = self.self_attention.decode_step(residual.pre_norm(x), cache)  # (B, D), (2, B, H, t+1, d)
        x = residual.add_residual(x, y)
        residual = self.cross_attention_residual
        x = residual.add_residual(x, self.cross_attention.decode_step(residual.pre_norm(x), keys_and_values))
        residual = self.feed_forward_residual
        return residual.add_residual(x, self.feed_forward(residual.pre_norm(x))), cache

    def attention_weights(self, x, encoder_state, packing):
        """Cross-attention weights, the mean over heads: x (R, D), encoder state (P, N, D) -> (R, N)."""
        x = self.cross_attention_residual.pre_norm(self._attend_to_tokens(x, packing))
        key, _ = self.cross_attention.keys_and_values(encoder_state)  # (P, H, N, d)
        weights = self.cross_attention.attend.attention_weights(self.cross_attention.queries(x, packing), key)
        weights = tf.reduce_mean(weights, axis=1)  # (P, H, n·T, N) -> (P, n·T, N)
        return packing.pack(packing.split(weights))  # (B, T, N) -> (R, N)

    def _attend_to_tokens(self, x, packing, training=False):
        """The first sublayer: (R, D) -> (R, D)."""
        residual = self.self_attention_residual
        return residual.add_residual(x, self.self_attention.causal(residual.pre_norm(x), packing, training), training)


def _final_norm(norm_first: bool) -> layers.Layer:
    """The layer after the last one: with pre-norm, the sum of all layers' outputs is not normalized yet."""
    return layers.LayerNormalization(epsilon=EPSILON) if norm_first else layers.Identity()


class CaptionTransformer(keras.Model):
    """{"features": (P, N, C), "tokens": (P, n, T)} -> logits of the token after each token (R, V). A `CaptionModel`."""

    def __init__(self, settings: TransformerSettings, inputs: ModelInputs):
        super().__init__()
        self.settings, self.inputs = settings, inputs
        depth, dtype = settings.d_model, inputs.compute_dtype
        self.image_positions = positions_2d(*inputs.grid, depth)  # (N, D)
        self.token_positions = positions_1d(inputs.max_length, depth)  # (max_length, D)
        self.feature_proj = Dense(depth, dtype)
        if settings.tie_embeddings:
            initializer = keras.initializers.RandomNormal(stddev=depth**-0.5)  # smaller, since it computes logits too
            self.token_embedding = TiedEmbedding(inputs.vocabulary_size, depth, dtype, initializer)
        else:
            self.token_embedding = layers.Embedding(inputs.vocabulary_size, depth, "uniform")
        self.encoder = [EncoderLayer(settings, dtype) for _ in range(settings.num_encoder_layers)]
        self.decoder = [DecoderLayer(settings, dtype) for _ in range(settings.num_decoder_layers)]
        self.encoder_norm, self.decoder_norm = _final_norm(settings.norm_first), _final_norm(settings.norm_first)
        self.dropout = layers.Dropout(settings.dropout)
        self.output_proj = None if settings.tie_embeddings else Dense(inputs.vocabulary_size, dtype)

    def call(self, batch, training=False):
        encoder_state = self.encode(batch["features"], training=training)
        return self.decode(batch["tokens"], encoder_state, training=training)

    def encode(self, features, training=False):
        """Features (P, N, C) -> encoder state (P, N, D)."""
        x = self.feature_proj(self.dropout(tf.cast(features, tf.float32), training=training))  # (P, N, D)
        x = self.dropout(x + self.image_positions, training=training)
        for layer in self.encoder:
            x = layer(x, training=training)
        return self.encoder_norm(x)

    def decode(self, tokens, encoder_state, training=False):
        """Tokens (P, n, T) and encoder state (P, N, D) -> logits (R, V)."""
        packing = Packing(tokens)
        x = self.dropout(self._embed(packing.tokens, packing.positions), training=training)  # (R, D)
        for layer in self.decoder:
            x = layer(x, encoder_state=encoder_state, packing=packing, training=training)
        return self._logits(x)

    def attention(self, tokens, encoder_state):
        """Weights of the last layer's cross-attention: (P, n, T), (P, N, D) -> (P, n, T, N), 0 at padding."""
        packing = Packing(tokens)
        x = self._embed(packing.tokens, packing.positions)  # (R, D)
        for layer in self.decoder[:-1]:
            x = layer(x, encoder_state=encoder_state, packing=packing)
        weights = packing.unpack(self.decoder[-1].attention_weights(x, encoder_state, packing))  # (B, T, N)
        return tf.reshape(weights, tf.concat([tf.shape(tokens), [encoder_state.shape[1]]], axis=0))

    def init_cache(self, encoder_state, captions_per_image):
        """Prepares decoding: the encoder state (P, N, D) -> (cache, context).

        Returns:
          for each decoder layer, empty keys and values of the tokens (2, B, H, 0, d); and those of the image, two of
          (P, H, N, d).
        """
        num_heads, depth = self.settings.num_heads, self.settings.d_model // self.settings.num_heads
        empty = tf.zeros((2, tf.shape(encoder_state)[0] * captions_per_image, num_heads, 0, depth))
        context = [layer.cross_attention.keys_and_values(encoder_state) for layer in self.decoder]
        return [empty for _ in self.decoder], context

    def reorder_cache(self, cache, rows):
        """Cache (2, B, H, t, d) of each layer and rows (B,) -> the cache of these rows."""
        return [tf.gather(layer_cache, rows, axis=1) for layer_cache in cache]

    def decode_step(self, tokens, position, cache, context):
        """Tokens (B,) at a position () -> logits of the next token (B, V), and the cache with these tokens in it."""
        x = self._embed(tokens, position)  # (B, D)
        new_cache = []
        for layer, layer_cache, keys_and_values in zip(self.decoder, cache, context, strict=True):
            x, layer_cache = layer.decode_step(x, layer_cache, keys_and_values)
            new_cache.append(layer_cache)
        return self._logits(x), new_cache

    def _embed(self, tokens, positions):
        """Tokens (R,) at positions (R,) or () -> (R, D); scaled as in Vaswani et al. 2017, section 3.4."""
        return self.token_embedding(tokens) * self.settings.d_model**0.5 + tf.gather(self.token_positions, positions)

    def _logits(self, x):
        """(R, D) -> (R, V)."""
        x = self.decoder_norm(x)
        return self.token_embedding.logits(x) if self.output_proj is None else self.output_proj(x)
