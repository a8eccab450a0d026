"""The attention baseline: a GRU that looks at the feature map before each word.

Xu et al. 2015, "Show, Attend and Tell", https://arxiv.org/abs/1502.03044, their soft attention, with the scores of
Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, and the GRU of Cho et al. 2014, https://arxiv.org/abs/1406.1078,
which resets the state after its product, as cuDNN's does.

A picture is encoded once for all its captions. Only what depends on the state is computed word after word: what words
add to the gates, and the scores of the vocabulary, are one product each.

In the shape comments: P pictures, n captions (or beams) a picture, B = P·n, T words of the longest caption, R words in
all, N positions of the feature map, C its channels, D = d_model, U units, V vocabulary.
"""

import dataclasses

import keras
import tensorflow as tf
from keras import layers

from components.trainer.layers import Dense, Packing


@dataclasses.dataclass(frozen=True)
class AttentionSettings:
    """Size and make of the model."""

    vocabulary_size: int  # V, reserved tokens included
    grid: tuple[int, int]  # rows and columns of the feature map
    channels: int  # C
    max_length: int  # most tokens a caption, <start> and <end> included
    d_model: int = 512  # of words, and of each position of the picture
    units: int = 512  # of the GRU's state, and of the attention
    dropout: float = 0.1
    precision: str = "float32"  # of the products of matrices; the rest is float32


class AttentionCaptioner(keras.Model):
    """{"features": (P, N, C), "tokens": (P, n, T)} -> logits of the words after each token, padding left out (R, V)."""

    def __init__(self, settings: AttentionSettings):
        super().__init__()
        self.settings = settings
        units, precision = settings.units, settings.precision
        self.embed_features = Dense(settings.d_model, precision, tf.nn.relu)
        self.embed_words = layers.Embedding(settings.vocabulary_size, settings.d_model)
        self.first_state = Dense(units, precision, tf.nn.tanh)
        self.key = Dense(units, precision)
        self.gates_of_word, self.gates_of_context = Dense(3 * units, precision), Dense(3 * units, precision)
        self.gates_and_query = Dense(4 * units, precision)  # of the state, in one product
        self.score = self.add_weight(shape=(units,), initializer="glorot_uniform", name="score")
        self.dropout = layers.Dropout(settings.dropout)
        self.to_logits = Dense(settings.vocabulary_size, precision)

    def call(self, inputs, training=False):
        packing, memory = Packing(inputs["tokens"]), self.encode(inputs["features"], training=training)
        states, _ = self._read(packing, memory, training)
        return self.to_logits(self.dropout(packing.pack(states), training=training))  # (B, T, U) -> (R, U) -> (R, V)

    def encode(self, features, training=False):
        """Features (P, N, C) -> memory (P, N, D)."""
        return self.embed_features(self.dropout(tf.cast(features, tf.float32), training=training))

    def look(self, tokens, memory):
        """Where the model looks while it reads each token: (P, n, T), (P, N, D) -> (P, n, T, N), of sum 1."""
        packing = Packing(tokens)
        _, weights = self._read(packing, memory)  # (B, T, N)
        weights = packing.unpack(packing.pack(weights))  # zero where padding is
        return tf.reshape(weights, tf.concat([tf.shape(tokens), [memory.shape[1]]], axis=0))

    def start(self, memory, captions):
        """What `step` needs, for memory (P, N, D) and so many captions a picture.

        Returns:
          (past, memories): the state (B, U), and what is looked at: (P, N, D) and (P, N, U).
        """
        state = self.first_state(tf.reduce_mean(memory, axis=1))  # (P, D) -> (P, U); Xu et al., section 3.1.2
        return tf.repeat(state, captions, axis=0), (memory, self.key(memory))

    def reorder(self, past, rows):
        """The past of other captions: rows int (B,), whose past each caption goes on from."""
        return tf.gather(past, rows)

    def step(self, tokens, position, past, memories):
        """Decodes one token more.

        Args:
          tokens: int (B,), the last ones.
          position: int (), their place; the state knows as much.
          past: see `start`.
          memories: see `start`.

        Returns:
          logits of the next word (B, V), and the past with these tokens in it.
        """
        del position
        state, _ = self._next(self.gates_of_word(self.embed_words(tokens)), past, *memories)
        return self.to_logits(state), state

    def _read(self, packing, memory, training=False):
        """All words of all captions -> states (B, T, U), and where each looked (B, T, N)."""
        words = self.dropout(self.embed_words(packing.words), training=training)  # (R, D)
        gates = packing.unpack(self.gates_of_word(words))  # (R, 3U) -> (B, T, 3U)
        state, memories = self.start(memory, packing.captions)
        looked = tf.zeros((tf.shape(gates)[0], memory.shape[1]))  # (B, N)
        states, weights = tf.scan(
            lambda last, word: self._next(word, last[0], *memories), tf.transpose(gates, (1, 0, 2)), (state, looked)
        )  # (T, B, U), (T, B, N)
        return tf.transpose(states, (1, 0, 2)), tf.transpose(weights, (1, 0, 2))

    def _next(self, word, state, memory, key):
        """What a word adds to the gates (B, 3U), state (B, U), (P, N, D), (P, N, U) -> state (B, U), weights (B, N)."""
        of_state, query = tf.split(self.gates_and_query(state), [3 * self.settings.units, self.settings.units], axis=1)
        pictures = tf.shape(memory)[0]
        captions = tf.shape(state)[0] // tf.maximum(pictures, 1)
        query = tf.reshape(query, (pictures, captions, 1, self.settings.units))  # (P, n, 1, U)
        scores = tf.einsum("pknu,u->pkn", tf.tanh(key[:, None] + query), self.score)  # (P, n, N, U) -> (P, n, N)
        weights = tf.nn.softmax(scores)
        context = tf.reshape(tf.matmul(weights, memory), (-1, memory.shape[-1]))  # (P, n, D) -> (B, D)
        state = self._gru(word + self.gates_of_context(context), of_state, state)
        return state, tf.reshape(weights, (-1, memory.shape[1]))

    def _gru(self, of_input, of_state, state):
        """What input and state add to update gate, reset gate and candidate (B, 3U), and the state -> state (B, U)."""
        update, reset, candidate = tf.split(of_input, 3, axis=1)  # (B, U) each
        update_too, reset_too, candidate_too = tf.split(of_state, 3, axis=1)
        update, reset = tf.sigmoid(update + update_too), tf.sigmoid(reset + reset_too)
        return update * state + (1 - update) * tf.tanh(candidate + reset * candidate_too)
