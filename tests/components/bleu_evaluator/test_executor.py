"""The evaluator on small SavedModels that answer with what they are given."""

import json
import pathlib
import re
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import data_types
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.artifact import Artifact

from components import records
from components.bleu_evaluator.component import Driver, files_of
from components.bleu_evaluator.executor import TO_COMPARE, Executor
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


def write_split(directory: pathlib.Path, split: str, captions: dict[str, list[str]]) -> None:
    (directory / f"Split-{split}").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(directory / f"Split-{split}" / "data.gz"), "GZIP") as writer:
        for name, sentences in captions.items():
            fields = {records.IMAGE_ID: [name], records.IMAGE_URI: [name], records.CAPTIONS: sentences}
            features = {
                field: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
                for field, values in fields.items()
            }
            features["objects"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[len(sentences)]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


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
    write_split(tmp_path / "examples", "test", TEST_PICTURES)
    write_split(tmp_path / "examples", "train", {"t.jpg": ["A dog runs in the snow!"]})
    features = artifact(records.Features, tmp_path / "features")
    shards = {"shard-1.tfrecord": {name: f"sha {name}" for name in WORDS}}
    Manifest(PRINT, str(store), (1, 1), 1, shards).save(features.uri)
    return {"examples": [examples], "features": [features]}


@pytest.fixture
def evaluate(given, tmp_path):
    """Runs the executor: (candidate, baseline, rules) -> (evaluation.json, blessing, output directory)."""

    def run(
        candidate: Artifact,
        baseline: Artifact | None = None,
        min_bleu_4: float = 0.5,
        baseline_rule: str = "last_blessed",
        test_set_before: str = "",
        rolled_back: str = "",
        others: list[Artifact] = (),
        to_compare: str = "",
        **settings,
    ):
        out = tmp_path / "out"
        outputs = {
            "predictions": [artifact(records.Predictions, out / "predictions")],
            "evaluation": [artifact(standard_artifacts.ModelEvaluation, out / "evaluation")],
            "blessing": [artifact(standard_artifacts.ModelBlessing, out / "blessing")],
        }
        inputs = {**given, "model": [candidate], "baseline_model": [baseline] if baseline else []}
        inputs["other_models"] = list(others)
        properties = {"min_bleu_4": min_bleu_4, "min_gain": 0.0, "baseline": baseline_rule}
        properties |= {records.ROLLED_BACK: rolled_back, TO_COMPARE: to_compare}
        properties["settings"] = json.dumps({"resamples": 100, "meteor": False, **settings})
        Executor().Do(inputs, outputs, {**properties, "baseline_test_set": test_set_before})
        run.evaluation = artifact_utils.get_single_instance(outputs["evaluation"])
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
    assert result["baseline_metrics"]["bleu_1"] < 1e-6
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


def test_a_baseline_that_does_not_load_is_a_refusal_that_says_what_to_do(evaluate, model, tmp_path):
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    result, blessing, _ = evaluate(model(6), gone)
    assert (result["decision"], blessing.get_int_custom_property("blessed")) == ("refused", 0)
    assert re.search(
        r"missed: the last blessed model .*gone.* can't be measured \(.+\): put it back and run again, or set "
        r"evaluator.baseline to none",
        result["reasons"][1],
    )
    # the candidate's own figures are there
    assert result["metrics"]["bleu_4"] == pytest.approx(1.0) and result["baseline_metrics"] is None
    assert set(result["models"]) == {"candidate"}


def test_a_baseline_of_another_make_is_a_refusal_that_names_what_it_lacks(evaluate, model):
    other = model(5)
    (pathlib.Path(other.uri) / "Format-Serving" / "assets.extra" / "captioner.json").write_text("{}")
    result, _, _ = evaluate(model(6), other)
    assert result["decision"] == "refused"
    assert "can't be measured (KeyError: 'feature_fingerprint')" in result["reasons"][1]


def test_a_link_to_nowhere_in_the_baseline_does_not_stop_the_run(tmp_path):
    before = files_of(str(tmp_path))
    (tmp_path / "saved_model.pb").symlink_to(tmp_path / "nowhere")
    assert files_of(str(tmp_path)) != before


def test_decision_rules_and_figures_are_properties_of_the_evaluation(evaluate, model):
    result, _, _ = evaluate(model(6, WORSE), model(5), max_loss={"cider": 0.1}, max_p=0.05)
    found = evaluate.evaluation
    assert found.get_string_custom_property(records.DECISION) == "refused"
    rules = json.loads(found.get_string_custom_property(records.RULES))
    assert rules == result["rules"] and [rule["met"] for rule in rules] == [True, False, False, False]
    assert all(isinstance(rule["value"], float) for rule in rules)
    assert found.get_float_custom_property("bleu_4") == pytest.approx(result["metrics"]["bleu_4"])
    assert found.get_string_custom_property(records.TEST_SET) == result["test_set"]


def test_a_baseline_that_is_put_back_is_measured_again(model, tmp_path, monkeypatch):
    # else the cache would answer with the refusal
    gone = artifact(standard_artifacts.Model, tmp_path / "model 5", 5)
    before = files_of(gone.uri)
    model(5)
    assert files_of(gone.uri) != before

    history = mock.MagicMock()  # ML Metadata without an evaluation
    monkeypatch.setattr("components.bleu_evaluator.component.evaluation_of", lambda store, model_id: None)
    inputs = {"model": [artifact(standard_artifacts.Model, tmp_path / "model 6", 6)], "baseline_model": [gone]}
    output = Driver(history).run(data_types.ExecutionInfo(input_dict=inputs, exec_properties={}))
    assert output.exec_properties["fingerprint"].string_value == files_of(gone.uri)


def test_a_comparison_can_be_done_without(evaluate, model, tmp_path):
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    result, _, _ = evaluate(model(6), gone, baseline_rule="none")
    assert (result["decision"], result["baseline_metrics"]) == ("blessed", None)


def test_every_figure_and_rule_is_written_down(evaluate, model):
    result, _, _ = evaluate(model(6, WORSE), model(5), max_loss={"cider": 0.1}, max_p=0.05, slices=["objects"])
    assert [rule["rule"] for rule in result["rules"]] == ["min_bleu_4", "min_gain", "max_loss.cider", "max_p"]
    assert [rule["met"] for rule in result["rules"]] == [True, False, False, False]
    assert set(result["models"]) == {"candidate", "baseline"}
    for figures in result["models"].values():
        assert set(figures) >= {"bleu_1", "bleu_4", "cider", "rouge_l", "length", "copied", "vocabulary", "distinct"}
        assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in figures.values())
    assert result["metrics"]["copied"] == 0.5  # one caption stands in train, but for case and signs
    gain = result["gains"]["baseline"]["bleu_4"]
    assert gain["value"] < 0 and gain["p"] > 0.5
    parts = [(part["field"], part["value"], part["pictures"]) for part in result["slices"]]
    assert parts == [("objects", "1", 1), ("objects", "2", 1)]
    assert result["slices"][0]["models"]["candidate"]["bleu_4"]["value"] == pytest.approx(1.0)


def test_every_picture_is_written_with_its_captions_and_scores(evaluate, model):
    _, _, out = evaluate(model(6, WORSE), model(5))
    first, second = json.loads((out / "evaluation" / "pictures.json").read_text())
    assert (first["image_id"], first["image_uri"], first["references"]) == ("a.jpg", "a.jpg", TEST_PICTURES["a.jpg"])
    assert first["models"]["candidate"]["caption"] == WORDS["a.jpg"] and first["models"]["candidate"]["bleu_4"] == 1.0
    assert second["models"]["candidate"]["bleu_4"] < second["models"]["baseline"]["bleu_4"] == 1.0


def test_a_changed_test_set_is_said(evaluate, model):
    candidate, baseline = model(6), model(5)
    result, _, _ = evaluate(candidate, baseline)
    now = result["test_set"]
    assert result["notes"] == []
    assert evaluate(candidate, baseline, test_set_before=now)[0]["notes"] == []
    [note] = evaluate(candidate, baseline, test_set_before="others")[0]["notes"]
    assert note.startswith(f"the test set has changed since the last blessed model was measured (others, now {now})")


def test_a_slice_that_can_not_be_is_refused_before_anything_is_captioned(evaluate, tmp_path):
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    with pytest.raises(ValueError, match="no picture has a field weather; there are caption_length, captions"):
        evaluate(gone, slices=["weather"])


def test_a_rule_about_meteor_wants_java(evaluate, model, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match=r"evaluator\.max_loss\.meteor: METEOR is left out: there is no Java here"):
        evaluate(model(5), max_loss={"meteor": 0.1})
    assert evaluate(model(6), meteor=True)[0]["notes"] == ["METEOR is left out: there is no Java here"]


def test_a_model_that_was_rolled_back_is_refused_though_it_is_good(evaluate, model):
    result, blessing, _ = evaluate(model(6), rolled_back="2026-11-23T20:00:00+00:00")
    assert (result["decision"], blessing.get_int_custom_property("blessed")) == ("refused", 0)
    assert result["reasons"][-1].startswith("missed: this very model was rolled back at 2026-11-23T20:00:00")


def test_the_driver_tells_whether_the_candidate_was_rolled_back(tmp_path):
    candidate = artifact(standard_artifacts.Model, tmp_path / "model", 5)
    for when in ("", "2026-11-23"):
        candidate.set_string_custom_property(records.ROLLED_BACK, when)
        info = data_types.ExecutionInfo(input_dict={"model": [candidate]}, exec_properties={})
        assert Driver(None).run(info).exec_properties[records.ROLLED_BACK].string_value == when


def test_a_model_trained_beside_is_compared_with_but_decides_nothing(evaluate, model):
    candidate = model(6, WORSE)
    candidate.set_string_custom_property(records.MODEL_NAME, "transformer")
    result, _, out = evaluate(candidate, model(5, WORSE), others=[attention(model(4))])
    assert result["model_name"] == "transformer"
    assert result["decision"] == "blessed"  # as good as the baseline, worse than the other
    assert set(result["models"]) == {"candidate", "attention", "baseline"}
    assert result["gains"]["attention"]["bleu_4"]["value"] < 0 == result["gains"]["baseline"]["bleu_4"]["value"]
    assert len(json.loads((out / "predictions" / "attention_predictions.json").read_text())) == 2
    assert set(result["slices"][0]["models"]) == {"candidate", "attention", "baseline"}
    first, _ = json.loads((out / "evaluation" / "pictures.json").read_text())
    assert first["models"]["attention"]["caption"] == WORDS["a.jpg"]


def attention(made: Artifact) -> Artifact:
    made.set_string_custom_property(records.MODEL_NAME, "attention")
    return made


def test_models_of_the_same_name_are_told_apart(evaluate, model):
    others = [attention(model(3)), attention(model(4)), model(5)]
    assert set(evaluate(model(6), others=others)[0]["models"]) == {"candidate", "attention", "attention-3", "model-4"}


def test_a_model_trained_beside_that_does_not_load_is_a_note(evaluate, model, tmp_path):
    result, _, _ = evaluate(model(6), others=[attention(artifact(standard_artifacts.Model, tmp_path / "gone", 5))])
    assert result["decision"] == "blessed" and set(result["models"]) == {"candidate"}
    assert re.match(r"attention can't be measured \(.*gone", result["notes"][0])


def test_the_blessed_model_itself_is_compared_with_what_it_was_not_compared_with(evaluate, model):
    # the transformer comes from the cache, and attention is trained beside it for the first time
    same = model(6)
    result, blessing, _ = evaluate(same, same, others=[attention(model(7, WORSE))], to_compare="7")
    assert (result["decision"], result["rules"]) == ("unchanged", [])
    assert result["gains"]["attention"]["bleu_4"]["value"] > 0 and set(result["models"]) == {"candidate", "attention"}
    assert blessing.get_string_custom_property(records.DECISION) == "unchanged"


@pytest.mark.parametrize(
    ("candidate", "measured", "to_compare"), [(5, None, "7, 8"), (5, "[7]", "8"), (5, "[7, 8]", ""), (6, None, "")]
)
def test_the_driver_tells_what_the_blessed_model_is_to_be_compared_with(
    tmp_path, monkeypatch, candidate, measured, to_compare
):
    known = metadata_store_pb2.Artifact()
    if measured:
        known.custom_properties[records.OTHER_MODELS].string_value = measured
    monkeypatch.setattr("components.bleu_evaluator.component.evaluation_of", lambda store, model_id: known)
    ids = {"model": [candidate], "baseline_model": [5], "other_models": [7, 8]}
    inputs = {
        key: [artifact(standard_artifacts.Model, tmp_path / f"model {number}", number) for number in numbers]
        for key, numbers in ids.items()
    }
    info = data_types.ExecutionInfo(input_dict=inputs, exec_properties={})
    assert Driver(mock.MagicMock()).run(info).exec_properties[TO_COMPARE].string_value == to_compare
