import errno
import json
import pathlib
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from tfx.orchestration.portable import data_types
from tfx.types import standard_artifacts

from components.report import driver, executor, page
from components.shared import artifact_types, records, storage
from components.shared.features import Manifest
from tests.components.report.factories import evaluation, image, jpeg, report_data
from tests.fake_mlmd import FakeMlmd


def artifact(artifact_type, uri: pathlib.Path, artifact_id: int = 0):
    new = artifact_type()
    new.uri, new.id = str(uri), artifact_id
    uri.mkdir(parents=True, exist_ok=True)
    return new


@pytest.fixture
def inputs(tmp_path) -> dict:
    """The outputs of the steps before, for three images."""
    artifacts = {
        "examples": artifact(standard_artifacts.Examples, tmp_path / "examples"),
        "rejects": artifact(artifact_types.Rejects, tmp_path / "rejects"),
        "features": artifact(artifact_types.Features, tmp_path / "features"),
        "model": artifact(standard_artifacts.Model, tmp_path / "model", 7),
        "model_run": artifact(standard_artifacts.ModelRun, tmp_path / "model_run"),
        "evaluation": artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation"),
    }
    artifacts["examples"].set_string_custom_property(records.DATA_ROOT, str(tmp_path / "data"))
    artifacts["examples"].set_string_custom_property(records.COUNTS, json.dumps(report_data(3).counts))
    (tmp_path / "data" / "images").mkdir(parents=True)
    for number in range(2):  # the third is missing
        (tmp_path / "data" / image(number)["image_uri"]).write_bytes(jpeg(number))
    (tmp_path / "rejects" / "rejects.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in report_data(3).rejects))
    (tmp_path / "store").mkdir()
    Manifest("print", str(tmp_path / "store"), (4, 4), 1, {}).save(artifacts["features"].uri)
    module = tf.Module()
    signature = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([], tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path / "model" / "Format-Serving"), signatures={"other": signature})
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation(3)))
    (tmp_path / "evaluation" / "images.json").write_text(json.dumps([image(number) for number in range(3)]))
    return {key: [value] for key, value in artifacts.items()}


def write(inputs: dict, tmp_path: pathlib.Path, uri: str) -> artifact_types.Report:
    report = artifact(artifact_types.Report, tmp_path / "report")
    lineage = json.dumps(report_data(3).lineage)
    executor.Executor().Do(inputs, {"report": [report]}, {executor.EVALUATION_URI: uri, executor.LINEAGE: lineage})
    return report


def test_the_report_is_gathered_and_written(inputs, tmp_path):
    report = write(inputs, tmp_path, inputs["evaluation"][0].uri)
    html = (tmp_path / "report" / "report.html").read_text()
    assert html.count('"jpeg"') == 2 and html.count('"caption":') == 9  # of three models
    assert "train 400" in html and "bad_line" in html and "commit 0123abc" in html
    assert report.get_int_custom_property(records.CANDIDATE_ID) == 7
    assert report.get_string_custom_property(records.DECISION) == ""


def test_comparison_models_have_their_curves_in_the_same_chart(inputs, tmp_path):
    inputs["model_run"][0].id = 1
    inputs["comparison_model_runs"] = [artifact(standard_artifacts.ModelRun, tmp_path / "comparison_run", 2)]
    for key, name in (("model_run", "transformer"), ("comparison_model_runs", "gru")):
        [run] = inputs[key]
        run.set_string_custom_property(records.MODEL_LABEL, name)
        with tf.summary.create_file_writer(f"{run.uri}/logs/train").as_default():
            for epoch in range(3):
                tf.summary.scalar("epoch_loss", 3.0 - epoch, step=epoch)
    write(inputs, tmp_path, inputs["evaluation"][0].uri)
    html = (tmp_path / "report" / "report.html").read_text()
    assert "transformer train 1</span>" in html and "gru train 1</span>" in html


def test_a_model_with_a_report_gets_no_second_one(inputs, tmp_path):
    report = write(inputs, tmp_path, "")
    assert report.get_string_custom_property(records.DECISION) == records.UNCHANGED
    assert not list((tmp_path / "report").iterdir())


def test_a_report_without_an_image_that_could_not_be_read_is_not_used_again(inputs, tmp_path, monkeypatch):
    uri, path = inputs["evaluation"][0].uri, str(tmp_path / "data" / image(1)["image_uri"])
    assert not write(inputs, tmp_path, uri).has_custom_property(records.INCOMPLETE)  # although the third is gone
    read_bytes = storage.read_bytes

    def fail(name):
        if name == path:
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(name)

    monkeypatch.setattr(storage, "read_bytes", fail)  # no disk fails on demand
    report = write(inputs, tmp_path, uri)
    assert report.get_string_custom_property(records.INCOMPLETE) == json.dumps([image(1)["image_id"]])
    html = (tmp_path / "report" / "report.html").read_text()
    assert html.count('"jpeg"') == 1 and "1 of them could not be read" in html


@pytest.mark.parametrize("decision", ["rejected", "unchanged"])  # unchanged: evaluated in an earlier run
def test_an_incomplete_report_is_made_again(decision):
    fake_mlmd = FakeMlmd()
    model = fake_mlmd.artifact("Model")
    evaluations = [fake_mlmd.artifact("ModelEvaluation", decision="rejected", candidate_id=model)]
    fake_mlmd.execute("BleuEvaluator", {"model": model}, {"evaluation": evaluations[0]})
    if decision == "unchanged":
        evaluations.append(fake_mlmd.artifact("ModelEvaluation", decision=decision, candidate_id=model))
    uris = []

    def observe() -> int:
        info = observed(fake_mlmd, evaluations[-1])
        uris.append(info.exec_properties[executor.EVALUATION_URI])
        return info.exec_properties[records.INCOMPLETE]

    assert observe() == 0
    first = fake_mlmd.artifact("captions.Report", candidate_id=model, decision="", incomplete='["a.jpg"]')
    assert observe() == observe() == first  # another cache key
    assert uris == ["/ModelEvaluation"] * 3
    fake_mlmd.artifact("captions.Report", candidate_id=model, decision="")
    assert observe() == first  # the complete one is kept
    assert uris[-1] == ("" if decision == "unchanged" else "/ModelEvaluation")


def observed(fake_mlmd: FakeMlmd, evaluation: int) -> data_types.ExecutionInfo:
    """What the driver observes of an evaluation."""
    artifact = standard_artifacts.ModelEvaluation()
    artifact.set_mlmd_artifact(fake_mlmd.store.get_artifacts_by_id([evaluation])[0])
    handle = mock.MagicMock()
    handle.__enter__.return_value.store = fake_mlmd.store
    info = data_types.ExecutionInfo(input_dict={"evaluation": [artifact]}, exec_properties={})
    driver.Driver(handle).run(info)
    return info


def test_the_driver_truncates_a_long_lineage(monkeypatch):
    monkeypatch.setattr(page, "MAX_STEPS", 5)
    fake_mlmd = FakeMlmd()
    models = [fake_mlmd.artifact("Model")]
    for _ in range(10):  # each starts from the weights of the one before
        models.append(fake_mlmd.artifact("Model"))
        fake_mlmd.execute("Trainer", {"base_model": models[-2]}, {"model": models[-1]})
    evaluation = fake_mlmd.artifact("ModelEvaluation", decision="rejected", candidate_id=models[-1])
    fake_mlmd.execute("BleuEvaluator", {"model": models[-1]}, {"evaluation": evaluation})
    info = observed(fake_mlmd, evaluation)
    nodes = [step["node"] for step in json.loads(info.exec_properties[executor.LINEAGE])]
    assert nodes == ["Trainer"] * 4 + ["BleuEvaluator"]


def test_without_the_driver_only_the_lineage_is_missing(inputs, tmp_path):
    report = artifact(artifact_types.Report, tmp_path / "report")
    executor.Executor().Do(inputs, {"report": [report]}, {})
    html = (tmp_path / "report" / "report.html").read_text()
    assert html.count('"jpeg"') == 2 and "Execution" not in html


def test_an_evaluation_of_version_0_1_has_a_report(inputs, tmp_path):
    directory = tmp_path / "evaluation"
    metric = {"value": 0.5, "low": 0.25, "high": 0.75}
    metrics = {"bleu_4": metric, "cider": metric, "length": metric, "vocabulary": metric}
    rules = [{"rule": "min_gain", "value": -0.1, "wanted": 0.0, "met": False, "text": "gain over the baseline"}]
    old = {
        "decision": "refused", "reasons": ["missed: gain over the baseline"], "rules": rules, "notes": [],
        "baseline": "/b", "candidate": "/c", "model_name": "transformer", "pictures": 3, "test_set": "0123",
        "metrics": {"bleu_4": 0.5, "length": 0.5}, "baseline_metrics": None,
        "models": {"candidate": metrics, "baseline": metrics},
        "gains": {"baseline": {name: metric | {"p": 0.5} for name in metrics}},
        "slices": [{"field": "objects", "value": "1", "pictures": 2, "models": {"candidate": metrics}}],
    }  # fmt: skip
    (directory / "evaluation.json").write_text(json.dumps(old))
    (directory / "images.json").rename(directory / "pictures.json")
    write(inputs, tmp_path, str(directory))
    html = (tmp_path / "report" / "report.html").read_text()
    assert 'id="decision">rejected<' in html and "<td>min_bleu_4_improvement</td>" in html
    assert "<td>mean caption length</td>" in html and html.count('"caption":') == 9


def test_too_many_images_are_sampled_by_hash(monkeypatch):
    monkeypatch.setattr(executor, "MAX_IMAGES", 10)
    images = [image(number) for number in range(50)]
    shown = executor.sample_images(images)
    assert len(shown) == 10 and shown != images[:10]
    rng = np.random.default_rng(0)
    assert executor.sample_images([images[row] for row in rng.permutation(50)]) == shown
    assert executor.sample_images(images[:10]) == images[:10]


def test_images_with_too_much_text_are_left_out(monkeypatch):
    images = [image(number) for number in range(50)]
    size = len(json.dumps(images[10]).encode())
    monkeypatch.setattr(executor, "TEXT_BYTES", 5 * size)
    assert 4 <= len(executor.sample_images(images)) <= 6
