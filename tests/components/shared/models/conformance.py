"""What every captioning model has to do, as one function per property: `CHECKS` of a model's settings.

A model's own tests hold what is particular to it; these hold `components.shared.models.protocol.CaptionModel`.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from components.shared.models import registry, weights
from components.shared.models.decoding import decode
from components.shared.models.decoding_settings import DecodingSettings
from components.shared.models.protocol import ModelInputs
from components.shared.records import END_ID, PAD_ID, START_ID

# small sizes of the models with large defaults; a model that is missing here is checked with its defaults
SMALL: dict[str, dict[str, Any]] = {
    "transformer": {"num_encoder_layers": 1, "num_decoder_layers": 2, "d_model": 8, "num_heads": 2, "ffn_dim": 16},
    "gru": {"d_model": 6, "units": 4},
}
INPUTS = ModelInputs(vocabulary_size=11, grid=(2, 3), channels=5, max_length=7, compute_dtype="float32")
FEATURES = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
TOKENS = np.array([[[2, 5, 6, 3], [2, 7, 3, 0]], [[2, 8, 9, 10], [0, 0, 0, 0]]], np.int32)
FULL = np.array([[[2, 5, 6, 7], [2, 7, 4, 4]], [[2, 8, 9, 10], [2, 4, 9, 5]]], np.int32)  # without padding


def small_settings(name: str, **changes: Any) -> Any:
    """Small settings of a registered model."""
    return registry.parse_settings({"name": name, **SMALL.get(name, {}), **changes})


@functools.cache
def make_model(settings: Any, scale: float = 0.3) -> Any:
    """A model whose biases and normalization scales are not zeros and ones; built once, so no check may change it."""
    keras.utils.set_random_seed(1)
    model = weights.build(settings, INPUTS)
    rng = np.random.default_rng(2)
    model.set_weights([weight + scale * rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def bfloat16(inputs: ModelInputs) -> ModelInputs:
    """The inputs with matrix multiplications in bfloat16."""
    return dataclasses.replace(inputs, compute_dtype="bfloat16")


def padded_logits(model: Any, features: np.ndarray = FEATURES, tokens: np.ndarray = TOKENS) -> np.ndarray:
    """The model's logits laid out as captions: (P, n, T, V), zero at padding."""
    rows = model({"features": tf.constant(features), "tokens": tf.constant(tokens)}).numpy()
    padded = np.zeros((*tokens.shape, rows.shape[-1]), np.float32)
    padded[tokens != PAD_ID] = rows
    return padded


def check_it_keeps_what_it_was_built_from(settings: Any, directory: pathlib.Path) -> None:
    model = weights.build(settings, INPUTS)
    assert isinstance(model, keras.Model) and (model.settings, model.inputs) == (settings, INPUTS)


def check_shapes_and_dtypes(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    for num_images in (2, 0):
        features, tokens = tf.constant(FEATURES[:num_images]), tf.constant(TOKENS[:num_images])
        logits = model({"features": tf.cast(features, tf.float16), "tokens": tokens})
        encoder_state = model.encode(features)
        attention = model.attention(tokens, encoder_state)
        cache, context = model.init_cache(encoder_state, 3)
        step, _ = model.decode_step(tf.fill([3 * num_images], START_ID), tf.constant(0), cache, context)
        assert logits.shape == (np.count_nonzero(tokens), 11)
        assert encoder_state.shape[:2] == (num_images, 6) and encoder_state.shape.rank == 3
        assert attention.shape == (num_images, 2, 4, 6)
        assert step.shape == (3 * num_images, 11)
        assert {tensor.dtype for tensor in (logits, encoder_state, attention, step)} == {tf.float32}


def check_decoding_step_by_step_equals_the_full_pass(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    expected = padded_logits(model, tokens=FULL).reshape(4, 4, 11)  # (B, T, V)
    cache, context = model.init_cache(model.encode(tf.constant(FEATURES)), 2)
    for position in range(4):
        tokens = tf.constant(FULL[..., position].reshape(4))
        logits, cache = model.decode_step(tokens, tf.constant(position), cache, context)
        np.testing.assert_allclose(logits, expected[:, position], atol=1e-5)


def check_a_reordered_cache_continues_other_captions(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    cache, context = model.init_cache(model.encode(tf.constant(FEATURES)), 2)
    _, cache = model.decode_step(tf.constant([2, 2, 2, 2]), tf.constant(0), cache, context)
    _, cache = model.decode_step(tf.constant([5, 7, 8, 9]), tf.constant(1), cache, context)
    cache = model.reorder_cache(cache, tf.constant([1, 0, 3, 3]))
    logits, _ = model.decode_step(tf.constant([6, 6, 6, 6]), tf.constant(2), cache, context)
    continued = np.array([[[2, 7, 6], [2, 5, 6]], [[2, 9, 6], [2, 9, 6]]], np.int32)
    np.testing.assert_allclose(logits, padded_logits(model, tokens=continued)[:, :, 2].reshape(4, 11), atol=1e-5)


def check_padding_does_not_matter(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    padded = np.pad(TOKENS, ((0, 0), (0, 1), (0, 2)))
    np.testing.assert_allclose(padded_logits(model, tokens=padded)[:, :2, :4], padded_logits(model), atol=1e-5)


def check_no_token_sees_later_tokens(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    changed = TOKENS.copy()
    changed[0, 0, 2] = 9
    before, after = padded_logits(model), padded_logits(model, tokens=changed)
    np.testing.assert_allclose(before[0, 0, :2], after[0, 0, :2], atol=1e-5)
    assert np.abs(before[0, 0, 2:] - after[0, 0, 2:]).max() > 1e-3


def check_no_caption_sees_another_one(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    changed = TOKENS.copy()
    changed[0, 1] = [2, 9, 9, 3]
    before, after = padded_logits(model), padded_logits(model, tokens=changed)
    np.testing.assert_allclose(before[0, 0], after[0, 0], atol=1e-5)
    np.testing.assert_allclose(before[1], after[1], atol=1e-5)


def check_each_caption_sees_its_own_image(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    changed = FEATURES.copy()
    changed[1] += 1.0
    before, after = padded_logits(model), padded_logits(model, features=changed)
    np.testing.assert_allclose(before[0], after[0], atol=1e-5)
    assert np.abs(before[1, 0] - after[1, 0]).max() > 1e-3


def check_attention_sums_to_one(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    attention = model.attention(tf.constant(TOKENS), model.encode(tf.constant(FEATURES))).numpy()
    assert attention.min() >= 0
    np.testing.assert_allclose(attention.sum(-1), TOKENS != PAD_ID, atol=1e-5)


def check_dropout_is_for_training_only(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(dataclasses.replace(settings, dropout=0.5) if hasattr(settings, "dropout") else settings)
    batch = {"features": tf.constant(FEATURES), "tokens": tf.constant(TOKENS)}
    np.testing.assert_array_equal(model(batch), model(batch))
    if hasattr(settings, "dropout"):
        assert np.abs(model(batch, training=True).numpy() - model(batch).numpy()).max() > 1e-2


def check_every_weight_learns_in_a_graph(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)

    @tf.function
    def gradients(tokens):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model({"features": FEATURES, "tokens": tokens}) ** 2)
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    for variable, gradient in zip(model.trainable_variables, gradients(tf.constant(TOKENS)), strict=True):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 1e-4, variable.path


def check_saved_weights_are_loaded_to_the_bit(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    weights.save(model, str(directory), "first", "fingerprint")
    loaded = weights.load(str(directory))
    assert (loaded.settings, loaded.inputs) == (settings, INPUTS)
    assert {variable.dtype for variable in loaded.weights} == {"float32"}
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(padded_logits(loaded), padded_logits(model))


def check_captions_are_decoded_in_a_graph(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings, scale=1.0)
    for beam_size in (1, 3):
        graph = _decoding_graph(model, beam_size)
        for num_images in (2, 1):
            ids, log_probs = graph(tf.constant(FEATURES[:num_images]))
            assert (ids.numpy() == END_ID).sum(axis=1).tolist() == [1] * num_images
            np.testing.assert_allclose(log_probs, _log_probs(model, ids.numpy()), atol=1e-3)


def check_bfloat16_is_close_to_float32(settings: Any, directory: pathlib.Path) -> None:
    model = make_model(settings)
    short = weights.build(settings, bfloat16(INPUTS))
    short.set_weights(model.get_weights())
    assert {variable.dtype for variable in short.weights} == {"float32"}
    assert padded_logits(short).dtype == np.float32
    np.testing.assert_allclose(padded_logits(short), padded_logits(model), atol=0.2)
    ids, log_probs = _decoding_graph(short, beam_size=2)(tf.constant(FEATURES))
    np.testing.assert_allclose(log_probs, _log_probs(short, ids.numpy()), atol=0.2)


def check_settings_survive_json(settings: Any, directory: pathlib.Path) -> None:
    values = json.loads(json.dumps(dataclasses.asdict(settings)))
    assert registry.parse_settings(values) == settings
    assert registry.parse_settings(settings) is settings
    with pytest.raises(pydantic.ValidationError):
        registry.parse_settings(values | {"no_such_setting": 1})
    values = json.loads(json.dumps(dataclasses.asdict(INPUTS)))
    assert pydantic.TypeAdapter(ModelInputs).validate_python(values) == INPUTS


def _decoding_graph(model: Any, beam_size: int) -> Callable:
    spec = tf.TensorSpec([None, INPUTS.num_positions, INPUTS.channels])
    settings = DecodingSettings(beam_size=beam_size)
    return tf.function(lambda features: decode(model, features, settings), input_signature=[spec])


def _log_probs(model: Any, ids: np.ndarray) -> np.ndarray:
    """Log-probabilities of decoded captions, of one full pass: int [P, L] -> float [P]."""
    tokens = np.concatenate([np.full((len(ids), 1), START_ID), np.where(ids == END_ID, PAD_ID, ids)[:, :-1]], axis=1)
    logits = padded_logits(model, FEATURES[: len(ids)], tokens[:, None].astype(np.int32))[:, 0]  # (P, L, V)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_probs, ids[..., None], axis=2)[..., 0]
    return np.where(ids != PAD_ID, picked, 0).sum(1)


CHECKS: list[Callable[[Any, pathlib.Path], None]] = [
    check for name, check in list(globals().items()) if name.startswith("check_")
]
