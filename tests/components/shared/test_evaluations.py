import json

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.shared.evaluations import (
    decision_of,
    format_metric,
    primary_metric,
    quality_metrics,
    read_evaluation,
    read_images,
)

METRIC = {"value": 0.5, "low": 0.25, "high": 0.75}


def old_evaluation() -> dict:
    metrics = dict.fromkeys(("bleu_4", "cider", "length", "vocabulary", "distinct", "copied"), METRIC)
    return {
        "decision": "refused",
        "reasons": ["missed: gain over the baseline -0.1000, +0.0000 wanted"],
        "rules": [
            {"rule": "min_gain", "value": -0.1, "wanted": 0.0, "met": False, "text": "gain over the baseline"},
            {"rule": "max_loss.cider", "value": 0.0, "wanted": 0.1, "met": True, "text": "loss of cider"},
        ],
        "model_name": "transformer",
        "pictures": 7,
        "metrics": {"bleu_4": 0.5, "length": 9.0},
        "baseline_metrics": None,
        "models": {"candidate": metrics},
        "gains": {"baseline": {"bleu_4": METRIC | {"p": 0.5}, "length": METRIC | {"p": 0.5}}},
        "slices": [{"field": "objects", "value": "1", "pictures": 2, "models": {"candidate": metrics}}],
    }


def test_the_tokenizer_that_decides_chooses_the_quality_metrics():
    info = {
        "bleu_4": {"label": "BLEU-4", "higher_is_better": True},
        "bleu_4_ptb": {"label": "BLEU-4 (PTB)", "higher_is_better": True, "variant_of": "bleu_4"},
        "errors": {"label": "errors", "higher_is_better": False},
        "mean_length": {"label": "mean length", "higher_is_better": None},
    }
    # evaluations before there were two do not name their primary metric
    for evaluation in ({"metrics_info": info}, {"metrics_info": info, "primary_metric": "bleu_4"}):
        assert primary_metric(evaluation) == "bleu_4"
        assert quality_metrics(evaluation) == {"bleu_4": "BLEU-4", "errors": "errors"}
    by_ptb = {"metrics_info": info, "primary_metric": "bleu_4_ptb"}
    assert primary_metric(by_ptb) == "bleu_4_ptb"
    assert quality_metrics(by_ptb) == {"bleu_4_ptb": "BLEU-4 (PTB)", "errors": "errors"}


def write(directory, name: str, content) -> None:
    (directory / name).write_text(json.dumps(content))


def test_an_evaluation_of_version_0_1_is_translated(tmp_path):
    write(tmp_path, "evaluation.json", old_evaluation())
    evaluation = read_evaluation(str(tmp_path))
    assert (evaluation["decision"], evaluation["num_images"], evaluation["model_label"]) == (
        "rejected",
        7,
        "transformer",
    )
    assert [(rule["rule"], rule["threshold"], rule["passed"]) for rule in evaluation["rules"]] == [
        ("min_bleu_4_improvement", 0.0, False),
        ("max_regression.cider", 0.1, True),
    ]
    assert evaluation["metrics"] == {"bleu_4": 0.5, "mean_length": 9.0}
    assert set(evaluation["improvements"]["baseline"]) == {"bleu_4", "mean_length"}
    [part] = evaluation["slices"]
    assert part["num_images"] == 2 and "unique_words" in part["models"]["candidate"]
    assert list(evaluation["metrics_info"]) == [
        "bleu_4", "cider", "mean_length", "train_overlap", "unique_words", "distinct_captions",
    ]  # fmt: skip
    assert quality_metrics(evaluation) == {"bleu_4": "BLEU-4", "cider": "CIDEr"}


def test_an_unchanged_evaluation_of_version_0_1_is_read(tmp_path):
    write(tmp_path, "evaluation.json", {"decision": "unchanged", "reasons": ["…"], "candidate": "/m", "baseline": "/m"})
    evaluation = read_evaluation(str(tmp_path))
    assert evaluation["decision"] == "unchanged" and quality_metrics(evaluation) == {}


def test_an_evaluation_of_this_version_is_read_as_it_is(tmp_path):
    content = {"decision": "blessed", "metrics_info": {"fid": {"label": "FID", "higher_is_better": False}}}
    write(tmp_path, "evaluation.json", content)
    assert read_evaluation(str(tmp_path)) == content
    assert quality_metrics(content) == {"fid": "FID"}


def test_a_missing_evaluation_is_empty(tmp_path):
    assert read_evaluation(str(tmp_path / "gone")) == {}


@pytest.mark.parametrize("name", ["images.json", "pictures.json"])
def test_images_are_read_from_either_versions_file(tmp_path, name):
    write(tmp_path, name, [{"image_id": "a"}])
    assert read_images(str(tmp_path)) == [{"image_id": "a"}]


def test_a_metric_is_formatted_with_its_interval():
    assert format_metric(METRIC) == "0.500 (0.250 to 0.750)"
    assert format_metric({"value": 12.0, "low": 9.5, "high": 14.4}, 0) == "12 (10 to 14)"


@pytest.mark.parametrize("content", ["", '{"decision"', "\0\0\0"])
def test_a_damaged_evaluation_is_told_and_has_no_metrics(tmp_path, caplog, content):
    (tmp_path / "evaluation.json").write_text(content)
    assert read_evaluation(str(tmp_path)) == {}
    assert f"{tmp_path}/evaluation.json is damaged" in caplog.text


@pytest.mark.parametrize(("stored", "decision"), [("refused", "rejected"), ("blessed", "blessed"), (None, "")])
def test_a_decision_is_in_todays_words(stored, decision):
    artifact = metadata_store_pb2.Artifact()
    if stored:
        artifact.custom_properties["decision"].string_value = stored
    before = artifact.SerializeToString()
    assert decision_of(artifact) == decision
    assert artifact.SerializeToString() == before  # reading adds no property
