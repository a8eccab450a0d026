"""The evaluator on small SavedModels that answer with what they are given."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.artifact import Artifact

from components import records
from components.bleu_evaluator.executor import BaselineError, Executor
from components.features import Manifest, serialize

TEST_PICTURES = {"a.jpg": ["a dog runs in the snow"], "b.jpg": ["a cat sleeps on the mat", "the cat is asleep"]}
WORDS = {"a.jpg": "a dog runs in the snow", "b.jpg": "a cat sleeps on the mat", "other.jpg": "not in test"}
PRINT = "print of the features"


def artifact(kind: type[Artifact], uri: pathlib.Path, artifact_id: int = 0) -> Artifact:
    made = kind()
    made.uri, made.id = str(uri), artifact_id
    uri.mkdir(parents=True, exist_ok=True)
    return made


def save_model(directory: pathlib.Path, captions: dict[str, str], fingerprint: str = PRINT) -> None:
    """A model that knows the captions by heart: features hold the picture's number, files hold its name."""
    module = tf.Module()
    by_number = tf.constant([captions[name] for name in WORDS])
    keys, values = tf.constant(list(captions)), tf.constant(list(captions.values()))
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), "")
    module.table = table

    @tf.function(input_signature=[tf.TensorSpec([None, 1, 1], tf.float16, "features")])
    def from_features(features):
        return {"caption": tf.gather(by_number, tf.cast(features[:, 0, 0], tf.int32))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serve(image_bytes):
        return {"caption": table.lookup(image_bytes)}

    path = str(directory / "Format-Serving")
    tf.saved_model.save(module, path, signatures={"from_features": from_features, "serving_default": serve})
    (directory / "Format-Serving" / "assets.extra").mkdir()
    (directory / "Format-Serving" / "assets.extra" / "captioner.json").write_text(
        json.dumps({"feature_fingerprint": fingerprint})
    )


@pytest.fixture
def given(tmp_path):
    """The evaluator's inputs but for the models; features, files and references of the pictures above."""
    store = tmp_path / "store"
    store.mkdir()
    with tf.io.TFRecordWriter(str(store / "shard-1.tfrecord")) as writer:
        for number, name in enumerate(WORDS):
            writer.write(serialize(f"sha {name}", np.full((1, 1), number, np.float16)))
    (tmp_path / "data").mkdir()
    for name in WORDS:
        (tmp_path / "data" / name).write_text(name)
    examples = artifact(standard_artifacts.Examples, tmp_path / "examples")
    examples.set_string_custom_property(records.DATA_ROOT, str(tmp_path / "data"))
    transformed = artifact(standard_artifacts.Examples, tmp_path / "transformed")
    for directory in ("examples", "transformed"):
        (tmp_path / directory / "Split-test").mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / directory / "Split-test" / "data.gz"), "GZIP") as writer:
            for name, references in TEST_PICTURES.items():
                fields = {records.IMAGE_ID: [name], records.IMAGE_URI: [name], records.REFERENCES: [*references, ""]}
                writer.write(
                    tf.train.Example(
                        features=tf.train.Features(
                            feature={
                                field: tf.train.Feature(
                                    bytes_list=tf.train.BytesList(value=[value.encode() for value in values])
                                )
                                for field, values in fields.items()
                            }
                        )
                    ).SerializeToString()
                )
    features = artifact(records.Features, tmp_path / "features")
    shards = {"shard-1.tfrecord": {name: f"sha {name}" for name in WORDS}}
    Manifest(PRINT, str(store), (1, 1), 1, shards).save(features.uri)
    return {"examples": [examples], "transformed_examples": [transformed], "features": [features]}


@pytest.fixture
def evaluate(given, tmp_path):
    """Runs the executor: (candidate, baseline, rules) -> (evaluation.json, blessing, output directory)."""

    def run(
        candidate: Artifact,
        baseline: Artifact | None = None,
        min_bleu_4: float = 0.5,
        baseline_rule: str = "last_blessed",
    ):
        out = tmp_path / "out"
        outputs = {
            "predictions": [artifact(records.Predictions, out / "predictions")],
            "evaluation": [artifact(standard_artifacts.ModelEvaluation, out / "evaluation")],
            "blessing": [artifact(standard_artifacts.ModelBlessing, out / "blessing")],
        }
        inputs = {**given, "model": [candidate], "baseline_model": [baseline] if baseline else []}
        Executor().Do(inputs, outputs, {"min_bleu_4": min_bleu_4, "min_gain": 0.0, "baseline": baseline_rule})
        result = json.loads((out / "evaluation" / "evaluation.json").read_text())
        return result, artifact_utils.get_single_instance(outputs["blessing"]), out

    return run


@pytest.fixture
def model(tmp_path):
    def make(artifact_id: int, captions: dict[str, str] = WORDS, fingerprint: str = PRINT) -> Artifact:
        made = artifact(standard_artifacts.Model, tmp_path / f"model {artifact_id}", artifact_id)
        save_model(pathlib.Path(made.uri), captions, fingerprint)
        return made

    return make


WORSE = {**WORDS, "b.jpg": "a dog sleeps on the mat"}


def test_a_good_model_is_blessed(evaluate, model):
    result, blessing, out = evaluate(model(5))
    assert result["decision"] == "blessed"
    assert result["metrics"]["bleu_4"] == pytest.approx(1.0)
    assert (result["baseline"], result["baseline_metrics"], result["pictures"]) == (None, None, 2)
    assert (blessing.get_int_custom_property("blessed"), blessing.get_int_custom_property("current_model_id")) == (1, 5)
    assert (out / "blessing" / "BLESSED").is_file()


def test_predictions_are_in_cocos_format_and_of_test_alone(evaluate, model):
    _, _, out = evaluate(model(5))
    assert json.loads((out / "predictions" / "predictions.json").read_text()) == [
        {"image_id": "a.jpg", "caption": "a dog runs in the snow"},
        {"image_id": "b.jpg", "caption": "a cat sleeps on the mat"},
    ]


def test_a_model_under_the_threshold_is_refused(evaluate, model):
    result, blessing, out = evaluate(model(5, WORSE), min_bleu_4=0.99)
    assert result["decision"] == "refused"
    assert blessing.get_int_custom_property("blessed") == 0
    assert (out / "blessing" / "NOT_BLESSED").is_file()
    assert result["reasons"][0].startswith("missed: bleu_4 0.")


def test_a_model_that_lost_against_the_baseline_is_refused(evaluate, model):
    result, blessing, out = evaluate(model(6, WORSE), model(5))
    assert result["decision"] == "refused"
    assert result["baseline_metrics"]["bleu_4"] == pytest.approx(1.0)
    assert blessing.get_int_custom_property("baseline_model_id") == 5
    assert len(json.loads((out / "predictions" / "baseline_predictions.json").read_text())) == 2


def test_a_model_that_won_is_blessed(evaluate, model):
    result, _, _ = evaluate(model(6), model(5, WORSE))
    assert result["decision"] == "blessed"


def test_a_baseline_on_other_features_captions_the_files(evaluate, model):
    # by their features it would be right, by their files it is wrong
    result, _, _ = evaluate(model(6), model(5, dict.fromkeys(WORDS, "nothing at all to see"), "another print"))
    assert result["baseline_metrics"]["bleu_1"] == 0.0
    result, _, _ = evaluate(model(8), model(7, WORDS, "another print"))
    assert result["baseline_metrics"]["bleu_4"] == pytest.approx(1.0)


def test_the_blessed_model_itself_is_unchanged_and_not_measured(evaluate, model):
    same = artifact(standard_artifacts.Model, pathlib.Path(model(5).uri) / "nowhere", 5)
    result, blessing, out = evaluate(same, same)
    assert result["decision"] == "unchanged"
    assert not list((out / "predictions").iterdir())
    # blessed again, so that a push which was cut off is made up for
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property(records.DECISION) == "unchanged"


def test_a_baseline_that_does_not_load_fails_the_step_and_says_what_to_do(evaluate, model, tmp_path):
    # an answer would stay in the cache when the model is back
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    with pytest.raises(BaselineError, match=r"gone.* can't be measured \(.+\): put it back, or set evaluator.baseline"):
        evaluate(model(6), gone)


def test_a_comparison_can_be_done_without(evaluate, model, tmp_path):
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    result, _, _ = evaluate(model(6), gone, baseline_rule="none")
    assert (result["decision"], result["baseline_metrics"]) == ("blessed", None)
