import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.records import PAD_ID
from components.trainer import transformer
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from tests.components.trainer import by_hand

SETTINGS = TransformerSettings(
    vocabulary_size=11, grid=(2, 3), channels=5, max_length=7, encoder_layers=2, decoder_layers=2, d_model=8, heads=2,
    feed_forward=16, dropout=0.5,
)  # fmt: skip
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 6, 5)).astype(np.float32)
TOKENS = np.array([[[2, 5, 6, 3], [2, 7, 3, 0]], [[2, 8, 9, 10], [0, 0, 0, 0]]], np.int32)
MAKES = [{"norm": "pre"}, {"norm": "post"}, {"norm": "pre", "tie_weights": True}]


def make(**changes) -> CaptionTransformer:
    keras.utils.set_random_seed(1)
    model = CaptionTransformer(dataclasses.replace(SETTINGS, **changes))
    model({"features": FEATURES, "tokens": TOKENS})
    rng = np.random.default_rng(2)  # so that biases and scales are not zeros and ones
    model.set_weights([weight + 0.3 * rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model() -> CaptionTransformer:
    return make()


def logits(model, features=FEATURES, tokens=TOKENS) -> np.ndarray:
    """As captions again: (P, n, T, V), zero where padding is."""
    rows = model({"features": tf.constant(features), "tokens": tf.constant(tokens)}).numpy()
    padded = np.zeros((*tokens.shape, rows.shape[-1]), np.float32)
    padded[tokens != PAD_ID] = rows
    return padded


def test_positions_1d_are_the_papers():
    positions = transformer.positions_1d(9, 6)
    for place in range(9):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert positions[place, pair] == pytest.approx(math.sin(angle), abs=1e-6)
            assert positions[place, 3 + pair] == pytest.approx(math.cos(angle), abs=1e-6)


def test_positions_2d_tell_row_and_column():
    positions = transformer.positions_2d(2, 3, 8)
    assert positions.shape == (6, 8)
    for place in range(6):
        row, column = divmod(place, 3)
        for pair in range(2):
            rate = 10_000 ** (-2 * pair / 4)
            parts = [math.sin(row * rate), math.cos(row * rate), math.sin(column * rate), math.cos(column * rate)]
            np.testing.assert_allclose(positions[place, pair::2], parts, atol=1e-6)


@pytest.mark.parametrize("changes", MAKES, ids=str)
def test_it_equals_the_computation_by_hand(changes):
    model = make(**changes)
    ours, looks = logits(model), model.look(tf.constant(TOKENS), model.encode(FEATURES)).numpy()
    for picture, caption in [(0, 0), (0, 1), (1, 0)]:
        tokens = TOKENS[picture, caption]
        tokens = tokens[tokens != PAD_ID]
        expected, looked = by_hand.caption(model, FEATURES[picture].astype(np.float64), tokens)
        np.testing.assert_allclose(ours[picture, caption, : len(tokens)], expected, atol=1e-5)
        np.testing.assert_allclose(looks[picture, caption, : len(tokens)], looked, atol=1e-5)


def test_the_encoder_equals_the_computation_by_hand():
    for norm in ("pre", "post"):
        model = make(norm=norm)
        for ours, features in zip(model.encode(FEATURES).numpy(), FEATURES.astype(np.float64), strict=True):
            np.testing.assert_allclose(ours, by_hand.memory_of(model, features), atol=1e-5)


def test_there_is_a_row_for_every_word_and_none_for_padding(model):
    assert model({"features": FEATURES, "tokens": TOKENS}).shape == (4 + 3 + 4, 11)


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
    np.testing.assert_allclose(logits(model, tokens=padded)[:, :2, :4], logits(model), atol=1e-5)


def test_sharing_the_encoding_equals_one_by_one(model):
    together = logits(model)
    for picture, caption in [(0, 0), (0, 1), (1, 0)]:
        alone = logits(model, FEATURES[picture : picture + 1], TOKENS[picture : picture + 1, caption : caption + 1])
        np.testing.assert_allclose(alone[0, 0], together[picture, caption], atol=1e-5)


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
    assert np.abs(model(inputs, training=True).numpy() - model(inputs).numpy()).max() > 1e-2
    np.testing.assert_array_equal(logits(model), logits(model))


@pytest.mark.parametrize("changes", MAKES, ids=str)
def test_step_by_step_is_the_same_as_all_at_once(changes):
    model = make(**changes)
    captions = np.array([[[2, 5, 6, 7], [2, 7, 4, 4]], [[2, 8, 9, 10], [2, 4, 9, 5]]], np.int32)
    expected = logits(model, tokens=captions).reshape(4, 4, 11)  # (B, T, V)
    past, memories = model.start(model.encode(tf.constant(FEATURES)), 2)
    for place in range(4):
        words = tf.constant(captions[..., place].reshape(4))
        step, past = model.step(words, tf.constant(place), past, memories)
        np.testing.assert_allclose(step, expected[:, place], atol=1e-5)


def test_a_caption_goes_on_from_another_ones_past(model):
    past, memories = model.start(model.encode(tf.constant(FEATURES)), 2)
    _, past = model.step(tf.constant([2, 2, 2, 2]), tf.constant(0), past, memories)
    _, past = model.step(tf.constant([5, 7, 8, 9]), tf.constant(1), past, memories)
    step, _ = model.step(tf.constant([6, 6, 6, 6]), tf.constant(2), model.reorder(past, [1, 0, 3, 3]), memories)
    captions = np.array([[[2, 7, 6], [2, 5, 6]], [[2, 9, 6], [2, 9, 6]]], np.int32)
    np.testing.assert_allclose(step, logits(model, tokens=captions)[:, :, 2].reshape(4, 11), atol=1e-5)


def test_a_word_looks_at_all_of_the_picture_once(model):
    looks = model.look(tf.constant(TOKENS), model.encode(FEATURES)).numpy()
    assert looks.shape == (2, 2, 4, 6)
    np.testing.assert_allclose(looks.sum(-1), TOKENS != PAD_ID, atol=1e-5)


def test_tied_weights_are_one_matrix():
    tied, apart = make(tie_weights=True), make()
    assert apart.count_params() - tied.count_params() == 8 * 11 + 11
    table = tied.embed_words.embeddings
    before = logits(tied)
    table.assign(np.array(table) + 10.0 * np.eye(11, 8)[::-1])  # of words that are not in the captions, too
    assert np.abs(logits(tied) - before)[0, 0].max() > 1e-3


def test_bfloat16_is_close_to_float32(model):
    short = make(precision="bfloat16")
    short.set_weights(model.get_weights())
    assert logits(short).dtype == np.float32
    np.testing.assert_allclose(logits(short), logits(model), atol=0.2)
    assert np.abs(logits(short) - logits(model)).max() > 1e-4


def test_no_picture_has_no_rows(model):
    assert model({"features": FEATURES[:0], "tokens": TOKENS[:0]}).shape == (0, 11)


def test_a_dense_layer_takes_one_caption_a_picture():
    # With keras.layers.Dense this very shape makes oneDNN in TensorFlow 2.16 read beyond its input and crash.
    x = RNG.normal(size=(60, 1, 16, 256)).astype("f")
    dense = transformer.Dense(256, "float32")
    y = tf.function(dense)(tf.constant(x))
    np.testing.assert_allclose(y, by_hand.affine(dense, x), atol=1e-4)


def test_the_reference_size_is_the_papers_base_with_fewer_layers():
    settings = TransformerSettings(vocabulary_size=5004, grid=(8, 8), channels=2048, max_length=20)
    sizes = (settings.encoder_layers, settings.decoder_layers, settings.d_model, settings.heads, settings.feed_forward)
    assert (*sizes, settings.dropout) == (4, 4, 512, 8, 2048, 0.1)


@pytest.mark.parametrize(("norm", "encoder", "decoder"), [("pre", 4**-0.5, 6**-0.5), ("post", 1.0, 1.0)])
def test_what_the_parts_add_starts_smaller_the_more_of_them_are_summed(norm, encoder, decoder):
    keras.utils.set_random_seed(1)
    model = CaptionTransformer(dataclasses.replace(SETTINGS, norm=norm, d_model=32, feed_forward=64))
    model({"features": FEATURES, "tokens": TOKENS})

    def most(dense) -> float:
        """The largest weight, where 1 is the largest of Glorot and Bengio 2010, formula 16."""
        return float(np.abs(dense.kernel).max()) / (6 / sum(dense.kernel.shape)) ** 0.5

    for layer in model.encoder:
        assert most(layer.attention.project) == pytest.approx(1.0, rel=0.02)
        for part in (layer.attention.out, layer.feed_forward.narrow):
            assert most(part) == pytest.approx(encoder, rel=0.02)
    for layer in model.decoder:
        for part in (layer.self_attention.out, layer.cross_attention.out, layer.feed_forward.narrow):
            assert most(part) == pytest.approx(decoder, rel=0.02)
