import keras
import numpy as np
import pytest
import tensorflow as tf

from components.records import END_ID, PAD_ID, START_ID, UNK_ID
from components.trainer.decoding import greedy
from components.trainer.transformer import CaptionTransformer, TransformerSettings

SETTINGS = TransformerSettings(
    vocabulary_size=9, grid=(2, 2), channels=3, max_length=8, encoder_layers=1, decoder_layers=2, d_model=8, heads=2,
    feed_forward=16,
)  # fmt: skip
FEATURES = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> CaptionTransformer:
    keras.utils.set_random_seed(3)
    model = CaptionTransformer(SETTINGS)
    model({"features": tf.constant(FEATURES), "tokens": tf.zeros((6, 1, 2), tf.int32)})
    # far from uniform, so that captions differ and some of them end
    model.set_weights([6 * weight for weight in model.get_weights()])
    return model


def slowly(model, features: np.ndarray) -> tuple[list[int], float]:
    """One picture, the whole model again for every word."""
    tokens, score = [START_ID], 0.0
    while len(tokens) < SETTINGS.max_length:
        inputs = {"features": tf.constant(features[None]), "tokens": tf.constant([[tokens]], tf.int32)}
        logits = model(inputs).numpy()[0, 0, -1].astype(np.float64)
        logits[[PAD_ID, UNK_ID, START_ID] + ([END_ID] if len(tokens) == 1 else [])] = -1e9
        word = int(logits.argmax())
        score += logits[word] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        tokens.append(word)
        if word == END_ID:
            break
    return tokens[1:], score


def test_greedy_takes_the_likeliest_word_after_word(model):
    ids, scores = greedy(model, tf.constant(FEATURES))
    assert ids.shape == (6, SETTINGS.max_length - 1)
    for features, row, score in zip(FEATURES, ids.numpy(), scores.numpy(), strict=True):
        expected, expected_score = slowly(model, features)
        assert row.tolist() == expected + [PAD_ID] * (len(row) - len(expected))
        assert score == pytest.approx(expected_score, abs=1e-3)
    lengths = {int((row != PAD_ID).sum()) for row in ids.numpy()}
    assert len(lengths) > 1, "the pictures of this test should give captions of different lengths"


def test_a_picture_alone_is_as_in_company(model):
    ids, scores = greedy(model, tf.constant(FEATURES))
    alone, score = greedy(model, tf.constant(FEATURES[2:3]))
    np.testing.assert_array_equal(alone[0], ids[2])
    assert float(score[0]) == pytest.approx(float(scores[2]), abs=1e-4)


@pytest.mark.parametrize("word", [PAD_ID, UNK_ID, START_ID])
def test_what_is_no_word_is_never_said(model, word):
    bias = model.to_logits.bias.numpy()
    model.to_logits.bias.assign(bias + 100 * np.eye(9)[word])
    ids, _ = greedy(model, tf.constant(FEATURES))
    model.to_logits.bias.assign(bias)
    said = ids.numpy()[:, 0]
    assert not np.isin(said, [PAD_ID, UNK_ID, START_ID]).any()


def test_a_caption_is_never_empty(model):
    bias = model.to_logits.bias.numpy()
    model.to_logits.bias.assign(bias + 100 * np.eye(9)[END_ID])
    ids, _ = greedy(model, tf.constant(FEATURES))
    model.to_logits.bias.assign(bias)
    assert (ids.numpy()[:, 0] > END_ID).all()
    assert (ids.numpy()[:, 1] == END_ID).all()
    assert (ids.numpy()[:, 2:] == PAD_ID).all()
