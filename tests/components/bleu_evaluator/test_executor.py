"""The evaluator's executor, as TFX calls it, and its driver."""

import dataclasses
import io
import json
import pathlib
import re
import shutil

import pytest
from rich.console import Console
from tfx.orchestration.portable import data_types
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.bleu_evaluator.decision import WAY_OUT
from components.bleu_evaluator.driver import Driver, hash_of_files
from components.bleu_evaluator.executor import BASELINE_FILES, BASELINE_TEST_SET, UNCOMPARED_MODELS
from components.bleu_evaluator.metrics import METRICS, Metric
from components.report import page
from components.shared import evaluations, records
from pipeline import compare
from tests.components.bleu_evaluator.factories import CAPTIONS, TEST_IMAGES, artifact
from tests.components.report.factories import report_data

WORSE = {**CAPTIONS, "b.jpg": "a dog sleeps on the mat"}


def test_a_good_model_is_blessed(evaluate, model):
    result, blessing, out = evaluate(model(5))
    assert result["decision"] == "blessed"
    assert result["metrics"]["bleu_4"] == pytest.approx(1.0)
    assert (result["baseline"], result["baseline_metrics"], result["num_images"]) == (None, None, 2)
    assert (blessing.get_int_custom_property("blessed"), blessing.get_int_custom_property("current_model_id")) == (1, 5)
    assert (out / "blessing" / "BLESSED").is_file()


def test_digits_are_scored_as_they_are_trained(evaluate, model):
    # "2" in place of "the" in a caption: no word where digits are dropped
    captions = CAPTIONS | {"a.jpg": "a 2 dog runs in the snow"}
    kept, _, _ = evaluate(model(5, captions))
    dropped, _, _ = evaluate(model(6, captions), observed={records.TOKENIZATION: json.dumps({"keep_digits": False})})
    assert kept["metrics"]["bleu_1"] < 0.99 < dropped["metrics"]["bleu_1"]


def test_predictions_are_those_of_the_test_split_in_cocos_format(evaluate, model):
    _, _, out = evaluate(model(5))
    assert json.loads((out / "predictions" / "predictions.json").read_text()) == [
        {"image_id": "a.jpg", "caption": "a dog runs in the snow"},
        {"image_id": "b.jpg", "caption": "a cat sleeps on the mat"},
    ]


def test_a_model_below_the_minimum_is_rejected(evaluate, model):
    result, blessing, out = evaluate(model(5, WORSE), min_bleu_4=0.99)
    assert result["decision"] == "rejected"
    assert blessing.get_int_custom_property("blessed") == 0
    assert (out / "blessing" / "NOT_BLESSED").is_file()
    assert result["reasons"][0].startswith("failed: BLEU-4 0.")


def test_a_model_that_is_worse_than_the_baseline_is_rejected(evaluate, model):
    result, blessing, out = evaluate(model(6, WORSE), model(5))
    assert result["decision"] == "rejected"
    assert result["baseline_metrics"]["bleu_4"] == pytest.approx(1.0)
    assert blessing.get_int_custom_property("baseline_model_id") == 5
    assert len(json.loads((out / "predictions" / "baseline_predictions.json").read_text())) == 2


def test_a_model_that_is_better_than_the_baseline_is_blessed(evaluate, model):
    result, _, _ = evaluate(model(6), model(5, WORSE))
    assert result["decision"] == "blessed"


def test_a_baseline_with_other_features_captions_the_files(evaluate, model):
    # by the features its captions would be correct, by the files they are wrong
    result, _, _ = evaluate(model(6), model(5, dict.fromkeys(CAPTIONS, "nothing at all to see"), "another fingerprint"))
    assert result["baseline_metrics"]["bleu_1"] < 1e-6
    result, _, _ = evaluate(model(8), model(7, CAPTIONS, "another fingerprint"))
    assert result["baseline_metrics"]["bleu_4"] == pytest.approx(1.0)


def test_the_blessed_model_itself_is_unchanged_and_not_evaluated(evaluate, model):
    same = artifact(standard_artifacts.Model, pathlib.Path(model(5).uri) / "nowhere", 5)
    result, blessing, out = evaluate(same, same)
    assert result["decision"] == "unchanged"
    assert not list((out / "predictions").iterdir())
    # blessed again, so that an interrupted push is repeated
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property(records.DECISION) == "unchanged"


def test_a_baseline_that_does_not_load_is_a_rejection_that_says_what_to_do(evaluate, model, tmp_path):
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    result, blessing, _ = evaluate(model(6), gone)
    assert (result["decision"], blessing.get_int_custom_property("blessed")) == ("rejected", 0)
    assert re.search(
        r"failed: the last blessed model .*gone.* cannot be evaluated \(.+\): restore it and run again, or set "
        r"evaluator.baseline to none",
        result["reasons"][1],
    )
    # the candidate's own metrics are there
    assert result["metrics"]["bleu_4"] == pytest.approx(1.0) and result["baseline_metrics"] is None
    assert set(result["models"]) == {"candidate"}


def test_a_baseline_without_a_description_is_a_rejection_that_says_what_it_lacks(evaluate, model):
    other = model(5)
    (pathlib.Path(other.uri) / "Format-Serving" / "assets.extra" / "captioner.json").write_text("{}")
    result, _, _ = evaluate(model(6), other)
    assert result["decision"] == "rejected"
    assert "cannot be evaluated (KeyError: 'feature_fingerprint')" in result["reasons"][1]


def test_a_dangling_link_in_the_baseline_does_not_stop_the_run(tmp_path):
    before = hash_of_files(str(tmp_path))
    (tmp_path / "saved_model.pb").symlink_to(tmp_path / "nowhere")
    assert hash_of_files(str(tmp_path)) != before


def test_decision_rules_and_metrics_are_properties_of_the_evaluation(evaluate, model):
    result, _, _ = evaluate(model(6, WORSE), model(5), max_regression={"cider": 0.1}, max_p_value=0.05)
    evaluation = evaluate.evaluation
    assert evaluation.get_string_custom_property(records.DECISION) == "rejected"
    rules = json.loads(evaluation.get_string_custom_property(records.RULES))
    assert rules == result["rules"] and [rule["passed"] for rule in rules] == [True, False, False, False]
    assert all(isinstance(rule["value"], float) for rule in rules)
    assert evaluation.get_float_custom_property("bleu_4") == pytest.approx(result["metrics"]["bleu_4"])
    assert evaluation.get_string_custom_property(records.TEST_SET) == result["test_set"]


def test_a_restored_baseline_is_evaluated_again(model, tmp_path, mlmd_handle):
    # else the cache would answer with the rejection
    gone = artifact(standard_artifacts.Model, tmp_path / "model 5", 5)
    before = hash_of_files(gone.uri)
    model(5)
    assert hash_of_files(gone.uri) != before

    inputs = {"model": [artifact(standard_artifacts.Model, tmp_path / "model 6", 6)], "baseline_model": [gone]}
    output = Driver(mlmd_handle).run(data_types.ExecutionInfo(input_dict=inputs, exec_properties={}))
    assert output.exec_properties[BASELINE_FILES].string_value == hash_of_files(gone.uri)


def test_the_comparison_with_a_baseline_can_be_disabled(evaluate, model, tmp_path):
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    result, _, _ = evaluate(model(6), gone, baseline="none")
    assert (result["decision"], result["baseline_metrics"]) == ("blessed", None)


def test_every_metric_and_rule_is_written(evaluate, model):
    result, _, _ = evaluate(
        model(6, WORSE), model(5), max_regression={"cider": 0.1}, max_p_value=0.05, slices=("objects",)
    )
    assert [rule["rule"] for rule in result["rules"]] == [
        "min_bleu_4", "min_bleu_4_improvement", "max_regression.cider", "max_p_value",
    ]  # fmt: skip
    assert [rule["passed"] for rule in result["rules"]] == [True, False, False, False]
    assert result["notes"] == [WAY_OUT]
    assert set(result["models"]) == {"candidate", "baseline"}
    for metrics in result["models"].values():
        assert list(metrics) == [name for name, metric in METRICS.items() if metric.is_enabled is None]
        assert all(metric["low"] <= metric["value"] <= metric["high"] for metric in metrics.values())
    assert result["metrics"]["train_overlap"] == 0.5  # one caption is in train, but for case and punctuation
    assert result["metrics_info"]["cider"] == {"label": "CIDEr", "higher_is_better": True, "decimals": 3}
    improvement = result["improvements"]["baseline"]["bleu_4"]
    assert improvement["value"] < 0 and improvement["p"] > 0.5
    parts = [(part["field"], part["value"], part["num_images"]) for part in result["slices"]]
    assert parts == [("objects", "1", 1), ("objects", "2", 1)]
    assert result["slices"][0]["models"]["candidate"]["bleu_4"]["value"] == pytest.approx(1.0)


def test_every_image_is_written_with_its_captions_and_scores(evaluate, model):
    _, _, out = evaluate(model(6, WORSE), model(5))
    first, second = json.loads((out / "evaluation" / "images.json").read_text())
    assert (first["image_id"], first["image_uri"], first["references"]) == ("a.jpg", "a.jpg", TEST_IMAGES["a.jpg"])
    assert (
        first["models"]["candidate"]["caption"] == CAPTIONS["a.jpg"] and first["models"]["candidate"]["bleu_4"] == 1.0
    )
    assert second["models"]["candidate"]["bleu_4"] < second["models"]["baseline"]["bleu_4"] == 1.0


def test_a_changed_test_set_is_noted(evaluate, model):
    candidate, baseline = model(6), model(5)
    result, _, _ = evaluate(candidate, baseline)
    now = result["test_set"]
    assert result["notes"] == []
    assert evaluate(candidate, baseline, observed={BASELINE_TEST_SET: now})[0]["notes"] == []
    [note] = evaluate(candidate, baseline, observed={BASELINE_TEST_SET: "other"})[0]["notes"]
    assert note.startswith(
        f"the test set has changed since the last blessed model was evaluated (it was other and is {now})"
    )


def test_a_slice_by_an_unknown_field_fails_before_anything_is_captioned(evaluate, tmp_path):
    gone = artifact(standard_artifacts.Model, tmp_path / "gone", 5)
    with pytest.raises(ValueError, match="no image has a field weather; known fields: caption_length, captions"):
        evaluate(gone, slices=("weather",))


def test_a_rule_about_meteor_needs_java(evaluate, model, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match=r"max_regression\.meteor: METEOR is not computed: Java is not installed"):
        evaluate(model(5), max_regression={"meteor": 0.1})
    assert evaluate(model(6), meteor=True)[0]["notes"] == ["METEOR is not computed: Java is not installed"]


def test_the_rules_use_the_words_of_cocos_server_where_they_are_set_to(evaluate, model, monkeypatch):
    if shutil.which("java") is None:
        with pytest.raises(ValueError, match=r"evaluator\.tokenizer: .*Java is not installed"):
            evaluate(model(5), tokenizer="ptb")
        return
    # "gonna" is one word of the model and two of the tokenizer
    result, _, out = evaluate(model(6, CAPTIONS | {"b.jpg": "gonna sleep"}), model(5), tokenizer="ptb")
    assert result["primary_metric"] == "bleu_4_ptb" and result["rules"][0]["text"].startswith("BLEU-4 (PTB) ")
    assert [rule["value"] for rule in result["rules"]] == [
        result["metrics"]["bleu_4_ptb"], result["improvements"]["baseline"]["bleu_4_ptb"]["value"],
    ]  # fmt: skip
    assert result["metrics"]["bleu_4"] != result["metrics"]["bleu_4_ptb"]
    assert result["metrics_info"]["rouge_l_ptb"]["variant_of"] == "rouge_l"
    assert evaluate.evaluation.get_float_custom_property("cider_ptb") == result["metrics"]["cider_ptb"]
    _, second = json.loads((out / "evaluation" / "images.json").read_text())
    assert second["models"]["candidate"].keys() >= {"bleu_4", "bleu_4_ptb", "cider_ptb", "rouge_l_ptb"}

    evaluation = evaluations.read_evaluation(str(out / "evaluation"))
    console = Console(file=io.StringIO(), width=200)
    console.print(compare.table([compare.Run("r1", 0.0, {}, "", "", evaluation, "blessed")]))
    rows = [line.strip() for line in console.file.getvalue().splitlines()]
    place = next(row for row, line in enumerate(rows) if line.startswith("BLEU-4 "))
    assert rows[place + 1].startswith("BLEU-4 (PTB) ")


def test_a_model_that_was_rolled_back_is_rejected_though_it_is_good(evaluate, model):
    result, blessing, _ = evaluate(model(6), observed={records.ROLLED_BACK: "2026-11-23T20:00:00+00:00"})
    assert (result["decision"], blessing.get_int_custom_property("blessed")) == ("rejected", 0)
    assert result["reasons"][-1].startswith("failed: this model was rolled back at 2026-11-23T20:00:00")


@pytest.mark.parametrize("when", ["", "2026-11-23"])
def test_the_driver_observes_whether_the_candidate_was_rolled_back(tmp_path, mlmd_handle, when):
    candidate = artifact(standard_artifacts.Model, tmp_path / "model", 5)
    candidate.set_string_custom_property(records.ROLLED_BACK, when)
    info = data_types.ExecutionInfo(input_dict={"model": [candidate]}, exec_properties={})
    assert Driver(mlmd_handle).run(info).exec_properties[records.ROLLED_BACK].string_value == when


def labeled(model: Artifact, label: str = "gru") -> Artifact:
    model.set_string_custom_property(records.MODEL_LABEL, label)
    return model


def test_a_comparison_model_is_compared_with_but_decides_nothing(evaluate, model):
    candidate = labeled(model(6, WORSE), "transformer")
    result, _, out = evaluate(candidate, model(5, WORSE), comparison_models=[labeled(model(4))])
    assert result["model_label"] == "transformer"
    assert result["decision"] == "blessed"  # as good as the baseline, worse than the comparison model
    assert set(result["models"]) == {"candidate", "gru", "baseline"}
    improvements = result["improvements"]
    assert improvements["gru"]["bleu_4"]["value"] < 0 == improvements["baseline"]["bleu_4"]["value"]
    assert len(json.loads((out / "predictions" / "gru_predictions.json").read_text())) == 2
    assert set(result["slices"][0]["models"]) == {"candidate", "gru", "baseline"}
    first, _ = json.loads((out / "evaluation" / "images.json").read_text())
    assert first["models"]["gru"]["caption"] == CAPTIONS["a.jpg"]


def test_comparison_models_without_a_label_of_their_own_are_numbered(evaluate, model):
    others = [labeled(model(3)), labeled(model(4)), model(5)]
    result, _, _ = evaluate(model(6), comparison_models=others)
    assert set(result["models"]) == {"candidate", "gru", "gru_3", "model_4"}


def test_a_comparison_model_that_does_not_load_is_noted(evaluate, model, tmp_path):
    gone = labeled(artifact(standard_artifacts.Model, tmp_path / "gone", 5))
    result, _, _ = evaluate(model(6), comparison_models=[gone])
    assert result["decision"] == "blessed" and set(result["models"]) == {"candidate"}
    assert re.match(r"gru cannot be evaluated \(.*gone", result["notes"][0])


def test_the_blessed_model_is_compared_with_a_new_comparison_model(evaluate, model):
    # the transformer is cached, and a GRU is trained beside it for the first time
    same = model(6)
    gru = labeled(model(7, WORSE))
    result, blessing, _ = evaluate(same, same, comparison_models=[gru], observed={UNCOMPARED_MODELS: "7"})
    assert (result["decision"], result["rules"]) == ("unchanged", [])
    assert result["improvements"]["gru"]["bleu_4"]["value"] > 0 and set(result["models"]) == {"candidate", "gru"}
    assert blessing.get_string_custom_property(records.DECISION) == "unchanged"


@pytest.mark.parametrize("compared", [None, [1], [1, 2]])
def test_the_driver_observes_the_models_that_a_blessed_model_was_not_compared_with(
    tmp_path, fake_mlmd, mlmd_handle, compared
):
    blessed, *others = [fake_mlmd.artifact("Model") for _ in range(3)]
    if compared is not None:
        known = {records.COMPARISON_MODELS: json.dumps([others[number - 1] for number in compared])}
        (tmp_path / records.EVALUATION_FILE).write_text("{}")
        fake_mlmd.artifact("ModelEvaluation", str(tmp_path), candidate_id=blessed, **known)
    ids = {"model": [blessed], "baseline_model": [blessed], "comparison_models": others}
    inputs = {
        key: [artifact(standard_artifacts.Model, tmp_path / f"model {number}", number) for number in numbers]
        for key, numbers in ids.items()
    }
    info = data_types.ExecutionInfo(input_dict=inputs, exec_properties={})
    expected = [str(other) for number, other in enumerate(others, 1) if number not in (compared or [])]
    observed = Driver(mlmd_handle).run(info).exec_properties
    assert observed[UNCOMPARED_MODELS].string_value == ", ".join(expected)


def test_the_driver_observes_no_comparison_models_of_a_new_candidate(tmp_path, fake_mlmd, mlmd_handle):
    numbers = {
        "model": fake_mlmd.artifact("Model"),
        "baseline_model": fake_mlmd.artifact("Model"),
        "comparison_models": 3,
    }
    inputs = {
        key: [artifact(standard_artifacts.Model, tmp_path / f"model {number}", number)]
        for key, number in numbers.items()
    }
    info = data_types.ExecutionInfo(input_dict=inputs, exec_properties={})
    assert Driver(mlmd_handle).run(info).exec_properties[UNCOMPARED_MODELS].string_value == ""


def test_a_new_metric_is_one_entry(evaluate, model, monkeypatch):
    characters = Metric(
        "characters",
        "mean caption length in characters",
        False,
        lambda corpus: [len(caption) for caption in corpus.captions],
    )
    monkeypatch.setitem(METRICS, "characters", characters)
    longer = {**CAPTIONS, "b.jpg": "a cat sleeps on the mat of the house"}
    result, _, out = evaluate(model(6, longer), model(5), max_regression={"characters": 1.0})
    assert result["metrics"]["characters"] == 29.0
    assert result["metrics_info"]["characters"]["label"] == "mean caption length in characters"
    assert result["rules"][-1]["rule"] == "max_regression.characters" and not result["rules"][-1]["passed"]
    assert result["reasons"][-1].startswith(
        "failed: mean caption length in characters regression against baseline +6.5"
    )

    evaluation = evaluations.read_evaluation(str(out / "evaluation"))
    html = page.render(dataclasses.replace(report_data(2), evaluation=evaluation))
    assert "mean caption length in characters <small>(lower is better)</small>" in html
    run = compare.Run("r1", 0.0, {}, "", "", evaluation, "blessed")
    console = Console(file=io.StringIO(), width=200)
    console.print(compare.table([run]))
    assert re.search(r"mean caption length in characters +29\.000 \(", console.file.getvalue())
