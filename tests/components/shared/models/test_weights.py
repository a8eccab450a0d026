import json

import keras
import pytest

from components.shared.models import description, weights
from components.shared.models.description import Description, ModelFileError
from tests.components.shared.models.conformance import INPUTS, make_model, padded_logits, small_settings

SETTINGS = small_settings("gru")


@pytest.fixture
def saved(tmp_path):
    weights.save(make_model(SETTINGS), str(tmp_path), "gru_2", "fingerprint")
    return tmp_path


def refusal(directory) -> str:
    with pytest.raises(ModelFileError) as caught:
        weights.load(str(directory))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_description_is_what_was_saved(saved):
    assert weights.describe(str(saved)) == Description("gru_2", SETTINGS, INPUTS, "fingerprint")


def test_names_of_layers_do_not_matter(saved):
    keras.utils.clear_session()
    weights.build(SETTINGS, INPUTS)  # Keras now names other layers dense, dense_1, …
    loaded = weights.load(str(saved))
    assert (padded_logits(loaded) == padded_logits(make_model(SETTINGS))).all()


@pytest.mark.parametrize("name", [weights.WEIGHTS_FILE, weights.DESCRIPTION_FILE])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    assert refusal(saved) == f"{saved / name} is missing: the model is incomplete"


@pytest.mark.parametrize("position", [0, 1000, -1])
def test_damaged_weights_are_refused(saved, position):
    path = saved / weights.WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert refusal(saved) == f"{path} is damaged: its content differs from what was saved"


def test_truncated_weights_are_refused(saved):
    path = saved / weights.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(saved).startswith(f"{path} is damaged")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"settings": {"name": "rnn"}}, "no model 'rnn'; the models are transformer, gru"),
        ({"settings": {"name": "gru", "unit": 4}}, "unit: Unexpected keyword argument"),
        ({"inputs": {"grid": [2, 3]}}, "vocabulary_size: Field required"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, changes, fault):
    path = saved / weights.DESCRIPTION_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert refusal(saved) == f"{path} does not describe a model of this version: {fault}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"label": "gru"}', "null", "\x00"])
def test_a_damaged_description_is_refused(saved, text):
    path = saved / weights.DESCRIPTION_FILE
    path.write_text(text)
    assert refusal(saved).startswith(f"{path} does not describe a model of this version: ")


@pytest.mark.parametrize("units", [6, 3])
def test_weights_of_another_size_are_refused(saved, units):
    path = saved / weights.DESCRIPTION_FILE
    values = json.loads(path.read_text())
    values["settings"]["units"] = units
    path.write_text(json.dumps(values))
    assert refusal(saved).startswith(f"{saved / weights.WEIGHTS_FILE} does not fit the model gru: ")


def test_a_description_with_another_digest_of_the_values_is_refused(saved):
    path = saved / weights.DESCRIPTION_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"values_sha256": "0"}))
    assert refusal(saved).endswith("it lacks some of its weights")


def test_the_description_of_a_model_that_is_not_exported_is_missing(tmp_path):
    with pytest.raises(ModelFileError, match=r"captioner\.json is missing"):
        description.read_exported(str(tmp_path))
