import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.shared.models import registry, weights
from components.shared.models.description import EXPORTED, Description
from components.shared.models.protocol import ModelInputs
from components.trainer.warm_start import WarmStartError, load_base_weights
from tests.components.trainer.factories import COUNTING, GRU, TRANSFORMER

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "runs"]
INPUTS = ModelInputs(vocabulary_size=len(WORDS), grid=(2, 2), channels=3, max_length=5, compute_dtype="float32")
FINGERPRINT = "features"


def build(seed, settings=TRANSFORMER, **inputs):
    keras.utils.set_random_seed(seed)
    return weights.build(settings, dataclasses.replace(INPUTS, **inputs))


def export(directory, model, feature_fingerprint=FINGERPRINT):
    """Writes what a warm start reads of an exported model."""
    module = tf.Module()
    module.model = model
    tf.saved_model.save(module, str(directory))
    (directory / "assets" / "vocabulary").write_text("\n".join(WORDS) + "\n")
    (directory / "assets.extra").mkdir()
    text = Description("transformer", model.settings, model.inputs, feature_fingerprint).to_json(
        decoding={"beam_size": 3}
    )
    (directory / EXPORTED).write_text(text)
    return str(directory)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An exported model: (model, its directory)."""
    model = build(0)
    return model, export(tmp_path_factory.mktemp("model"), model)


@pytest.fixture
def copy(exported, tmp_path):
    """A copy of the exported model's directory."""
    return shutil.copytree(exported[1], tmp_path / "copy")


def assert_unusable(directory, message, settings=TRANSFORMER, fingerprint=FINGERPRINT, **inputs):
    """Checks that a base model is refused with a message, and that no weight of the new model changes."""
    new, unchanged = build(1, settings, **inputs), build(1, settings, **inputs)
    with pytest.raises(WarmStartError, match=message):
        load_base_weights(new, str(directory), WORDS, fingerprint)
    for variable, reference in zip(new.variables, unchanged.variables, strict=True):
        np.testing.assert_array_equal(variable, reference)


@pytest.mark.parametrize("settings", [TRANSFORMER, GRU, dataclasses.replace(TRANSFORMER, tie_embeddings=True)])
def test_equal_vocabularies_give_equal_weights(settings, tmp_path):
    base = build(0, settings)
    new = build(1, dataclasses.replace(settings, dropout=0.5), max_length=9, compute_dtype="bfloat16")
    assert load_base_weights(new, export(tmp_path, base), WORDS, FINGERPRINT) == len(WORDS)
    for variable, reference in zip(new.trainable_variables, base.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable, reference)


def test_weights_that_are_not_trained_are_taken_too(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.MODELS, "transformer", COUNTING)
    base, new = build(0), build(1)
    base.num_steps.assign(7)
    load_base_weights(new, export(tmp_path, base), WORDS, FINGERPRINT)
    assert float(new.num_steps) == 7
    assert_unusable(exported[1], f"Base model of another version: {exported[1]}: weights are missing")


def test_words_are_matched_by_spelling(exported):
    base, directory = exported
    words = ["<pad>", "<unk>", "<start>", "<end>", "runs", "bird", "dog", "hen"]
    new, random = build(1, vocabulary_size=8), build(1, vocabulary_size=8)
    assert load_base_weights(new, directory, words, FINGERPRINT) == 6
    rows, before, base_rows = (np.array(model.token_embedding.embeddings) for model in (new, random, base))
    np.testing.assert_array_equal(rows[[4, 6]], base_rows[[6, 4]])
    np.testing.assert_array_equal(rows[[5, 7]], before[[5, 7]])
    columns, before, base_columns = (np.array(model.output_proj.kernel) for model in (new, random, base))
    np.testing.assert_array_equal(columns[:, [4, 6]], base_columns[:, [6, 4]])
    np.testing.assert_array_equal(columns[:, [5, 7]], before[:, [5, 7]])
    np.testing.assert_array_equal(new.feature_proj.kernel, base.feature_proj.kernel)


def test_vocabularies_of_equal_size_are_not_mixed_up(exported):
    base, directory = exported
    new = build(1)
    assert load_base_weights(new, directory, [*WORDS[:4], "cat", "dog", "sits"], FINGERPRINT) == 6
    np.testing.assert_array_equal(
        new.token_embedding.embeddings[4:6], np.array(base.token_embedding.embeddings)[[5, 4]]
    )


@pytest.mark.parametrize(
    ("settings", "inputs", "difference"),
    [
        (dataclasses.replace(TRANSFORMER, d_model=32), {}, "d_model 16, not 32"),
        (dataclasses.replace(TRANSFORMER, norm_first=False), {}, "norm_first True, not False"),
        (GRU, {}, "name transformer, not gru"),
        (TRANSFORMER, {"channels": 4}, "channels 3, not 4"),
    ],
)
def test_another_architecture_is_refused(exported, settings, inputs, difference):
    assert_unusable(exported[1], f"Base model has {difference}: {exported[1]}", settings, **inputs)


def test_other_features_are_refused(exported):
    assert_unusable(exported[1], f"Base model trained on other features: {exported[1]}", fingerprint="other")


def test_a_model_of_version_0_1_is_refused(copy):
    settings = {"vocabulary_size": 7, "grid": [2, 2], "channels": 3, "max_length": 5, "encoder_layers": 1, "heads": 2}
    old = {"feature_fingerprint": FINGERPRINT, "model": "CaptionTransformer", "settings": settings}
    (copy / EXPORTED).write_text(json.dumps(old))
    assert_unusable(copy, f"Base model of another version: {copy / EXPORTED} does not describe a model")


@pytest.mark.parametrize("missing", ["", EXPORTED, "assets", "variables"])
def test_a_missing_file_is_named(copy, missing):
    path = copy / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert_unusable(copy, f"Base model not found: .*{path}")


def test_a_damaged_file_is_refused(copy):
    [data] = copy.glob("variables/variables.data*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content)
    assert_unusable(copy, f"Base model damaged: {copy}: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ffn_dim": 8}, "a weight has the shape"),
        ({"num_decoder_layers": 2}, "weights are missing"),
        ({"num_encoder_layers": 2, "num_decoder_layers": 1}, "weights are missing"),
    ],
)
def test_weights_that_do_not_match_their_description_are_refused(copy, changes, message):
    # as after a change of the model's code between the two trainings
    other = dataclasses.replace(TRANSFORMER, **changes)
    values = json.loads((copy / EXPORTED).read_text())
    (copy / EXPORTED).write_text(json.dumps(values | {"settings": dataclasses.asdict(other)}))
    assert_unusable(copy, f"Base model of another version: {copy}: {message}", other)
