import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.records import PAD_ID
from components.trainer.attention import AttentionCaptioner, AttentionSettings
from tests.components.trainer.by_hand import affine

SETTINGS = AttentionSettings(
    vocabulary_size=11, grid=(2, 3), channels=5, max_length=7, d_model=6, units=4, dropout=0.5
)  # fmt: skip
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 6, 5)).astype(np.float32)
TOKENS = np.array([[[2, 5, 6, 3], [2, 7, 3, 0]], [[2, 8, 9, 10], [0, 0, 0, 0]]], np.int32)


@pytest.fixture(scope="module")
def model() -> AttentionCaptioner:
    keras.utils.set_random_seed(1)
    model = AttentionCaptioner(SETTINGS)
    model({"features": FEATURES, "tokens": TOKENS})
    rng = np.random.default_rng(2)  # so that biases are not zeros
    model.set_weights([weight + 0.5 * rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(model, features: np.ndarray, tokens: np.ndarray) -> tuple:
    """One picture and one caption, word after word, in double precision: logits (T, V), and where it looks (T, N)."""
    memory = np.maximum(affine(model.embed_features, features), 0)  # (N, D)
    state = np.tanh(affine(model.first_state, memory.mean(0)))  # (U,)
    logits, looks = [], []
    for token in tokens:
        *of_state, query = np.split(affine(model.gates_and_query, state), 4)
        scores = np.einsum("nu,u->n", np.tanh(affine(model.key, memory) + query), np.array(model.score))
        weights = np.exp(scores) / np.exp(scores).sum()  # (N,)
        word = np.array(model.embed_words.embeddings, np.float64)[token]
        of_word = np.split(affine(model.gates_of_word, word), 3)
        of_context = np.split(affine(model.gates_of_context, np.einsum("n,nd->d", weights, memory)), 3)
        update, reset = (sigmoid(of_word[gate] + of_context[gate] + of_state[gate]) for gate in range(2))
        candidate = np.tanh(of_word[2] + of_context[2] + reset * of_state[2])
        state = update * state + (1 - update) * candidate
        logits.append(affine(model.to_logits, state))
        looks.append(weights)
    return np.stack(logits), np.stack(looks)


def test_it_equals_the_computation_by_hand(model):
    rows = model({"features": FEATURES, "tokens": TOKENS}).numpy()
    looks = model.look(tf.constant(TOKENS), model.encode(FEATURES)).numpy()
    expected, looked = [], np.zeros_like(looks)
    for picture, caption in [(0, 0), (0, 1), (1, 0)]:
        tokens = TOKENS[picture, caption]
        logits, weights = by_hand(model, FEATURES[picture].astype(np.float64), tokens[tokens != PAD_ID])
        expected.append(logits)
        looked[picture, caption, : len(weights)] = weights
    np.testing.assert_allclose(rows, np.concatenate(expected), atol=1e-5)
    np.testing.assert_allclose(looks, looked, atol=1e-5)


def test_step_by_step_is_the_same_as_all_at_once(model):
    captions = np.array([[[2, 5, 6, 7], [2, 7, 4, 4]], [[2, 8, 9, 10], [2, 4, 9, 5]]], np.int32)
    expected = model({"features": FEATURES, "tokens": captions}).numpy().reshape(4, 4, 11)  # (B, T, V)
    past, memories = model.start(model.encode(FEATURES), 2)
    for place in range(4):
        words = tf.constant(captions[..., place].reshape(4))
        step, past = model.step(words, tf.constant(place), past, memories)
        np.testing.assert_allclose(step, expected[:, place], atol=1e-5)


def test_a_caption_goes_on_from_another_ones_past(model):
    past, memories = model.start(model.encode(FEATURES), 2)
    _, past = model.step(tf.constant([5, 7, 8, 9]), 0, past, memories)
    step, _ = model.step(tf.constant([6, 6, 6, 6]), 1, model.reorder(past, [1, 0, 3, 3]), memories)
    captions = np.array([[[7, 6], [5, 6]], [[9, 6], [9, 6]]], np.int32)
    expected = model({"features": FEATURES, "tokens": captions}).numpy().reshape(4, 2, 11)[:, 1]
    np.testing.assert_allclose(step, expected, atol=1e-5)


def test_dropout_is_for_training_alone(model):
    inputs = {"features": FEATURES, "tokens": TOKENS}
    assert np.abs(model(inputs, training=True).numpy() - model(inputs).numpy()).max() > 1e-2
    np.testing.assert_array_equal(model(inputs), model(inputs))


def test_every_weight_learns_in_a_graph(model):
    @tf.function
    def gradients(tokens):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model({"features": FEATURES, "tokens": tokens}) ** 2)
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    found = gradients(tf.constant(TOKENS))
    for variable, gradient in zip(model.trainable_variables, found, strict=True):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 1e-4, variable.path


def test_bfloat16_is_close_to_float32(model):
    short = AttentionCaptioner(dataclasses.replace(SETTINGS, precision="bfloat16"))
    inputs = {"features": FEATURES, "tokens": TOKENS}
    short(inputs)
    short.set_weights(model.get_weights())
    np.testing.assert_allclose(short(inputs), model(inputs), atol=0.2)


def test_no_picture_has_no_rows(model):
    assert model({"features": FEATURES[:0], "tokens": TOKENS[:0]}).shape == (0, 11)
