import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer import transformer
from components.trainer.transformer import Attention, CaptionTransformer, TransformerSettings

SETTINGS = TransformerSettings(
    vocabulary_size=11,
    grid=(2, 3),
    channels=5,
    max_length=7,
    encoder_layers=2,
    decoder_layers=2,
    d_model=8,
    heads=2,
    feed_forward=16,
    dropout=0.5,
)
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 6, 5)).astype(np.float32)
TOKENS = np.array([[[2, 5, 6, 3], [2, 7, 3, 0]], [[2, 8, 9, 10], [0, 0, 0, 0]]], np.int32)


@pytest.fixture(scope="module")
def model() -> CaptionTransformer:
    keras.utils.set_random_seed(1)
    return CaptionTransformer(SETTINGS)


def logits(model, features=FEATURES, tokens=TOKENS) -> np.ndarray:
    return model({"features": tf.constant(features), "tokens": tf.constant(tokens)}).numpy()


def test_positions_1d_are_the_papers():
    positions = transformer.positions_1d(9, 6)
    for place in range(9):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert positions[place, pair] == pytest.approx(math.sin(angle), abs=1e-6)
            assert positions[place, 3 + pair] == pytest.approx(math.cos(angle), abs=1e-6)


def test_positions_2d_tell_row_and_column():
    positions = transformer.positions_2d(2, 3, 8).reshape(2, 3, 8)
    for row in range(2):
        for column in range(3):
            np.testing.assert_allclose(positions[row, column, :4], transformer.positions_1d(2, 4)[row])
            np.testing.assert_allclose(positions[row, column, 4:], transformer.positions_1d(3, 4)[column])


def test_attention_is_the_papers_formula():
    keras.utils.set_random_seed(2)
    attention = Attention(SETTINGS)
    x, memory = RNG.normal(size=(2, 3, 8)).astype("f"), RNG.normal(size=(2, 4, 8)).astype("f")
    visible = np.array([[True, False, True, True]] * 3)
    ours = attention(tf.constant(x), tf.constant(memory), visible=tf.constant(visible)).numpy()

    def project(dense, y):
        kernel, bias = (weight.numpy() for weight in dense.weights)
        return np.einsum("btd,de->bte", y, kernel) + bias

    q, k, v = project(attention.query, x), project(attention.key, memory), project(attention.value, memory)
    mixed = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        scores = np.einsum("btd,bsd->bts", q[..., part], k[..., part]) / math.sqrt(4)
        weights = np.where(visible, np.exp(scores), 0.0)
        weights /= weights.sum(-1, keepdims=True)
        mixed.append(np.einsum("bts,bsd->btd", weights, v[..., part]))
    np.testing.assert_allclose(ours, project(attention.out, np.concatenate(mixed, -1)), atol=1e-5)


def test_a_dense_layer_takes_one_caption_a_picture():
    # With keras.layers.Dense this very shape makes oneDNN in TensorFlow 2.16 read beyond its input and crash.
    x = RNG.normal(size=(60, 1, 16, 256)).astype("f")
    dense = transformer.Dense(256)
    y = tf.function(dense)(tf.constant(x))
    kernel, _ = (weight.numpy() for weight in dense.weights)
    np.testing.assert_allclose(y, x @ kernel, atol=1e-4)


def test_logits_have_a_place_for_every_token(model):
    assert logits(model).shape == (2, 2, 4, 11)


def test_no_word_sees_the_words_after_it(model):
    changed = TOKENS.copy()
    changed[0, 0, 2] = 9
    before, after = logits(model), logits(model, tokens=changed)
    np.testing.assert_allclose(before[0, 0, :2], after[0, 0, :2], atol=1e-5)
    assert np.abs(before[0, 0, 2:] - after[0, 0, 2:]).max() > 1e-3


def test_no_caption_sees_another(model):
    changed = TOKENS.copy()
    changed[0, 1] = [2, 9, 9, 3]
    before, after = logits(model), logits(model, tokens=changed)
    np.testing.assert_allclose(before[0, 0], after[0, 0], atol=1e-5)
    np.testing.assert_allclose(before[1], after[1], atol=1e-5)


def test_padding_changes_nothing(model):
    padded = np.pad(TOKENS, ((0, 0), (0, 1), (0, 2)))
    there = TOKENS != 0
    np.testing.assert_allclose(logits(model, tokens=padded)[:, :2, :4][there], logits(model)[there], atol=1e-5)


def test_a_caption_alone_is_as_in_company(model):
    alone = logits(model, FEATURES[:1], TOKENS[:1, 1:])
    np.testing.assert_allclose(alone[0, 0], logits(model)[0, 1], atol=1e-5)


def test_every_caption_sees_its_own_picture(model):
    changed = FEATURES.copy()
    changed[1] += 1.0
    before, after = logits(model), logits(model, features=changed)
    np.testing.assert_allclose(before[0], after[0], atol=1e-5)
    assert np.abs(before[1, 0] - after[1, 0]).max() > 1e-3


def test_where_something_is_in_the_picture_matters(model):
    swapped = FEATURES[:, ::-1]
    assert np.abs(logits(model) - logits(model, features=swapped)).max() > 1e-3


def test_dropout_is_for_training_alone(model):
    inputs = {"features": tf.constant(FEATURES), "tokens": tf.constant(TOKENS)}
    assert np.abs(model(inputs, training=True).numpy() - logits(model)).max() > 1e-2
    np.testing.assert_array_equal(logits(model), logits(model))


def test_step_by_step_is_the_same_as_all_at_once(model):
    captions = TOKENS[:, :1]
    expected = logits(model, tokens=captions)[:, 0]  # (2, 4, 11)
    past, memories = model.start(model.encode(tf.constant(FEATURES)), length=6)
    for place in range(4):
        step, past = model.step(tf.constant(captions[:, 0, place]), tf.constant(place), past, memories)
        np.testing.assert_allclose(step, expected[:, place], atol=1e-5)


def test_the_reference_size_is_the_papers_base_with_fewer_layers():
    settings = TransformerSettings(vocabulary_size=5004, grid=(8, 8), channels=2048, max_length=20)
    sizes = (settings.encoder_layers, settings.decoder_layers, settings.d_model, settings.heads, settings.feed_forward)
    assert (*sizes, settings.dropout) == (4, 4, 512, 8, 2048, 0.1)
