"""The comparison model: a GRU with Bahdanau attention over the feature map.

Xu et al. 2015, "Show, Attend and Tell", https://arxiv.org/abs/1502.03044, their soft attention, with the additive
scores of Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, and the GRU of Cho et al. 2014,
https://arxiv.org/abs/1406.1078, with the reset gate applied after the matrix multiplication, as in cuDNN.

An image is encoded once for all its captions. Only what depends on the state is computed token by token: the tokens'
part of the gates and the logits are one matrix multiplication each.

In the shape comments: P images, n captions (or beams) per image, B = P·n, T tokens of the longest caption, R tokens in
total without padding, N positions of the feature map, C its channels, D = d_model, U units, V vocabulary size.
"""

import keras
import tensorflow as tf
from keras import layers

from components.shared.models.layers import Dense, Packing
from components.shared.models.protocol import ModelInputs
from components.shared.models.settings import GRUSettings


class GRUCaptioner(keras.Model):
    """{"features": (P, N, C), "tokens": (P, n, T)} -> logits of the token after each token (R, V). A `CaptionModel`."""

    def __init__(self, settings: GRUSettings, inputs: ModelInputs):
        super().__init__()
        self.settings, self.inputs = settings, inputs
        units, dtype = settings.units, inputs.compute_dtype
        self.feature_proj = Dense(settings.d_model, dtype, tf.nn.relu)
        self.token_embedding = layers.Embedding(inputs.vocabulary_size, settings.d_model)
        self.init_state = Dense(units, dtype, tf.nn.tanh)
        self.key_proj = Dense(units, dtype)
        self.input_gates, self.context_gates = Dense(3 * units, dtype), Dense(3 * units, dtype)
        self.state_gates_and_query = Dense(4 * units, dtype)  # the state's part of the gates and the query, in one
        self.score_vector = self.add_weight(shape=(units,), initializer="glorot_uniform", name="score_vector")
        self.dropout = layers.Dropout(settings.dropout)
        self.output_proj = Dense(inputs.vocabulary_size, dtype)

    def call(self, batch, training=False):
        packing, encoder_state = Packing(batch["tokens"]), self.encode(batch["features"], training=training)
        states, _ = self._unroll(packing, encoder_state, training)
        return self.output_proj(self.dropout(packing.pack(states), training=training))  # (B, T, U) -> (R, U) -> (R, V)

    def encode(self, features, training=False):
        """Features (P, N, C) -> encoder state (P, N, D)."""
        return self.feature_proj(self.dropout(tf.cast(features, tf.float32), training=training))

    def attention(self, tokens, encoder_state):
        """Tokens (P, n, T), encoder state (P, N, D) -> attention weights (P, n, T, N), 0 at padding."""
        packing = Packing(tokens)
        _, weights = self._unroll(packing, encoder_state)  # (B, T, N)
        weights = packing.unpack(packing.pack(weights))  # zero at padding
        return tf.reshape(weights, tf.concat([tf.shape(tokens), [encoder_state.shape[1]]], axis=0))

    def init_cache(self, encoder_state, captions_per_image):
        """Encoder state (P, N, D) -> cache: the GRU's state (B, U); context: values (P, N, D) and keys (P, N, U)."""
        state = self.init_state(tf.reduce_mean(encoder_state, axis=1))  # (P, D) -> (P, U); Xu et al., section 3.1.2
        return tf.repeat(state, captions_per_image, axis=0), (encoder_state, self.key_proj(encoder_state))

    def reorder_cache(self, cache, rows):
        """Cache (B, U) and rows (B,) -> cache (B, U)."""
        return tf.gather(cache, rows)

    def decode_step(self, tokens, position, cache, context):
        """Tokens (B,) and cache (B, U) -> logits (B, V) and cache (B, U); the position is not used."""
        del position
        state, _ = self._cell(self.input_gates(self.token_embedding(tokens)), cache, *context)
        return self.output_proj(state), state

    def _unroll(self, packing, encoder_state, training=False):
        """Runs the cell over all tokens of all captions -> states (B, T, U) and attention weights (B, T, N)."""
        tokens = self.dropout(self.token_embedding(packing.tokens), training=training)  # (R, D)
        gates = packing.unpack(self.input_gates(tokens))  # (R, 3U) -> (B, T, 3U)
        state, context = self.init_cache(encoder_state, packing.captions_per_image)
        weights = tf.zeros((tf.shape(gates)[0], encoder_state.shape[1]))  # (B, N)
        states, weights = tf.scan(
            lambda last, gates: self._cell(gates, last[0], *context), tf.transpose(gates, (1, 0, 2)), (state, weights)
        )  # (T, B, U), (T, B, N)
        return tf.transpose(states, (1, 0, 2)), tf.transpose(weights, (1, 0, 2))

    def _cell(self, input_gates, state, value, key):
        """One token: (B, 3U), state (B, U), value (P, N, D), key (P, N, U) -> state (B, U), weights (B, N)."""
        units = self.settings.units
        state_gates, query = tf.split(self.state_gates_and_query(state), [3 * units, units], axis=1)
        num_images = tf.shape(value)[0]
        captions_per_image = tf.shape(state)[0] // tf.maximum(num_images, 1)
        query = tf.reshape(query, (num_images, captions_per_image, 1, units))  # (P, n, 1, U)
        hidden = tf.tanh(key[:, None] + query)  # (P, n, N, U)
        weights = tf.nn.softmax(tf.einsum("pknu,u->pkn", hidden, self.score_vector))  # (P, n, N)
        attended = tf.reshape(tf.matmul(weights, value), (-1, value.shape[-1]))  # (P, n, D) -> (B, D)
        state = self._gru(input_gates + self.context_gates(attended), state_gates, state)
        return state, tf.reshape(weights, (-1, value.shape[1]))

    def _gru(self, input_gates, state_gates, state):
        """Update gate, reset gate and candidate of the input and of the state, (B, 3U); state (B, U) -> (B, U)."""
        update_x, reset_x, candidate_x = tf.split(input_gates, 3, axis=1)  # (B, U) each
        update_h, reset_h, candidate_h = tf.split(state_gates, 3, axis=1)
        update, reset = tf.sigmoid(update_x + update_h), tf.sigmoid(reset_x + reset_h)
        return update * state + (1 - update) * tf.tanh(candidate_x + reset * candidate_h)
