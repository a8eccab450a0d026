import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.shared.models import transformer, weights
from components.shared.models.settings import TransformerSettings
from components.shared.records import PAD_ID
from tests.components.shared.models import conformance, reference_numpy
from tests.components.shared.models.conformance import (
    FEATURES,
    FULL,
    INPUTS,
    TOKENS,
    make_model,
    padded_logits,
    small_settings,
)

VARIANTS = [{"norm_first": True}, {"norm_first": False}, {"norm_first": True, "tie_embeddings": True}]


def test_positions_1d_are_the_papers():
    positions = transformer.positions_1d(9, 6)
    for position in range(9):
        for pair in range(3):
            angle = position / 10_000 ** (2 * pair / 6)
            assert positions[position, pair] == pytest.approx(math.sin(angle), abs=1e-6)
            assert positions[position, 3 + pair] == pytest.approx(math.cos(angle), abs=1e-6)


def test_positions_2d_encode_row_and_column():
    positions = transformer.positions_2d(2, 3, 8)
    assert positions.shape == (6, 8)
    for position in range(6):
        row, column = divmod(position, 3)
        for pair in range(2):
            rate = 10_000 ** (-2 * pair / 4)
            parts = [math.sin(row * rate), math.cos(row * rate), math.sin(column * rate), math.cos(column * rate)]
            np.testing.assert_allclose(positions[position, pair::2], parts, atol=1e-6)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_it_equals_the_reference(changes):
    model = make_model(small_settings("transformer", num_encoder_layers=2, **changes))
    encoder_state = model.encode(FEATURES)
    logits, attention = padded_logits(model), model.attention(tf.constant(TOKENS), encoder_state).numpy()
    for image, caption in [(0, 0), (0, 1), (1, 0)]:
        tokens = TOKENS[image, caption]
        tokens = tokens[tokens != PAD_ID]
        features = FEATURES[image].astype(np.float64)
        expected, weights = reference_numpy.transformer(model, features, tokens)
        np.testing.assert_allclose(encoder_state[image], reference_numpy.transformer_encode(model, features), atol=1e-5)
        np.testing.assert_allclose(logits[image, caption, : len(tokens)], expected, atol=1e-5)
        np.testing.assert_allclose(attention[image, caption, : len(tokens)], weights, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("changes", VARIANTS[1:], ids=str)
@pytest.mark.parametrize(
    "check",
    [
        conformance.check_decoding_step_by_step_equals_the_full_pass,
        conformance.check_saved_weights_are_loaded_to_the_bit,
        conformance.check_bfloat16_is_close_to_float32,
    ],
    ids=lambda check: check.__name__,
)
def test_variants_conform(changes, check, tmp_path):
    check(small_settings("transformer", **changes), tmp_path)


def test_sharing_the_encoding_equals_one_by_one():
    model = make_model(small_settings("transformer"))
    batch = padded_logits(model)
    for image, caption in [(0, 0), (0, 1), (1, 0)]:
        single = padded_logits(model, FEATURES[image : image + 1], TOKENS[image : image + 1, caption : caption + 1])
        np.testing.assert_allclose(single[0, 0], batch[image, caption], atol=1e-5)


def test_positions_in_the_image_matter():
    model = make_model(small_settings("transformer"))
    assert np.abs(padded_logits(model) - padded_logits(model, features=FEATURES[:, ::-1])).max() > 1e-3


def test_tied_embeddings_are_one_matrix():
    tied = weights.build(small_settings("transformer", tie_embeddings=True), INPUTS)
    untied = weights.build(small_settings("transformer"), INPUTS)
    assert untied.count_params() - tied.count_params() == 8 * 11 + 11
    before, embeddings = padded_logits(tied, tokens=FULL), tied.token_embedding.embeddings
    embeddings.assign(np.array(embeddings) + 10.0 * np.eye(11, 8)[::-1])  # also of words that are not in the captions
    assert np.abs(padded_logits(tied, tokens=FULL) - before)[0, 0].max() > 1e-3


def test_bfloat16_changes_the_logits():
    settings = small_settings("transformer")
    short = weights.build(settings, conformance.bfloat16(INPUTS))
    short.set_weights(make_model(settings).get_weights())
    assert np.abs(padded_logits(short) - padded_logits(make_model(settings))).max() > 1e-4


def test_the_default_size_is_the_papers_base_with_fewer_layers():
    settings = TransformerSettings()
    assert (settings.num_encoder_layers, settings.num_decoder_layers) == (4, 4)
    sizes = (settings.d_model, settings.num_heads, settings.ffn_dim, settings.dropout)
    assert sizes == (512, 8, 2048, 0.1)


@pytest.mark.parametrize(("norm_first", "encoder", "decoder"), [(True, 4**-0.5, 6**-0.5), (False, 1.0, 1.0)])
def test_sublayers_start_smaller_the_more_of_them_are_summed(norm_first, encoder, decoder):
    keras.utils.set_random_seed(1)
    sizes = {"num_encoder_layers": 2, "d_model": 32, "ffn_dim": 64}
    model = weights.build(small_settings("transformer", norm_first=norm_first, **sizes), INPUTS)

    def largest(dense) -> float:
        """The largest weight, in units of the largest of Glorot and Bengio 2010, formula 16."""
        return float(np.abs(dense.kernel).max()) / (6 / sum(dense.kernel.shape)) ** 0.5

    for layer in model.encoder:
        assert largest(layer.self_attention.qkv_proj) == pytest.approx(1.0, rel=0.02)
        for dense in (layer.self_attention.out_proj, layer.feed_forward.fc2):
            assert largest(dense) == pytest.approx(encoder, rel=0.02)
    for layer in model.decoder:
        for dense in (layer.self_attention.out_proj, layer.cross_attention.out_proj, layer.feed_forward.fc2):
            assert largest(dense) == pytest.approx(decoder, rel=0.02)
