import json
import pathlib
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from tfx.orchestration.portable import data_types
from tfx.types import standard_artifacts

from components import records
from components.features import Manifest
from components.report import component, executor, page
from tests.components.report.material import jpeg, material, picture
from tests.past import Past


def artifact(kind, uri: pathlib.Path, artifact_id: int = 0):
    made = kind()
    made.uri, made.id = str(uri), artifact_id
    uri.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def inputs(tmp_path) -> dict:
    """What the steps before have written, about three pictures."""
    made = {
        "examples": artifact(standard_artifacts.Examples, tmp_path / "examples"),
        "rejects": artifact(records.Rejects, tmp_path / "rejects"),
        "features": artifact(records.Features, tmp_path / "features"),
        "model": artifact(standard_artifacts.Model, tmp_path / "model", 7),
        "model_run": artifact(standard_artifacts.ModelRun, tmp_path / "model_run"),
        "evaluation": artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation"),
    }
    made["examples"].set_string_custom_property(records.DATA_ROOT, str(tmp_path / "data"))
    made["examples"].set_string_custom_property(records.COUNTS, json.dumps(material(3).counts))
    (tmp_path / "data" / "pictures").mkdir(parents=True)
    for number in range(2):  # the third is gone
        (tmp_path / "data" / picture(number)["image_uri"]).write_bytes(jpeg(number))
    (tmp_path / "rejects" / "rejects.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in material(3).rejects))
    (tmp_path / "store").mkdir()
    Manifest("print", str(tmp_path / "store"), (4, 4), 1, {}).save(made["features"].uri)
    module = tf.Module()
    signature = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([], tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path / "model" / "Format-Serving"), signatures={"other": signature})
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(material(3).evaluation))
    (tmp_path / "evaluation" / "pictures.json").write_text(json.dumps([picture(number) for number in range(3)]))
    return {key: [value] for key, value in made.items()}


def write(inputs: dict, tmp_path: pathlib.Path, uri: str) -> records.Report:
    report = artifact(records.Report, tmp_path / "report")
    lineage = json.dumps(material(3).lineage)
    executor.Executor().Do(inputs, {"report": [report]}, {executor.EVALUATION_URI: uri, executor.LINEAGE: lineage})
    return report


def test_the_report_is_gathered_and_written(inputs, tmp_path):
    report = write(inputs, tmp_path, inputs["evaluation"][0].uri)
    html = (tmp_path / "report" / "report.html").read_text()
    assert html.count('"jpeg"') == 2 and html.count('"caption":') == 9  # of three models
    assert "train 400" in html and "bad_line" in html and "commit 0123abc" in html
    assert report.get_int_custom_property(records.CANDIDATE_ID) == 7
    assert report.get_string_custom_property(records.DECISION) == ""


def test_models_trained_side_by_side_have_their_curves_in_one_chart(inputs, tmp_path):
    inputs["model_run"][0].id = 1
    inputs["other_model_runs"] = [artifact(standard_artifacts.ModelRun, tmp_path / "other_run", 2)]
    for key, name in (("model_run", "transformer"), ("other_model_runs", "attention")):
        [run] = inputs[key]
        run.set_string_custom_property(records.MODEL_NAME, name)
        with tf.summary.create_file_writer(f"{run.uri}/logs/train").as_default():
            for epoch in range(3):
                tf.summary.scalar("epoch_loss", 3.0 - epoch, step=epoch)
    write(inputs, tmp_path, inputs["evaluation"][0].uri)
    html = (tmp_path / "report" / "report.html").read_text()
    assert "transformer train 1</span>" in html and "attention train 1</span>" in html


def test_where_there_is_a_report_about_the_model_it_is_left_as_it_is(inputs, tmp_path):
    report = write(inputs, tmp_path, "")
    assert report.get_string_custom_property(records.DECISION) == records.UNCHANGED
    assert not list((tmp_path / "report").iterdir())


def test_the_driver_hands_over_the_lineage_but_no_more_of_it_than_fits(monkeypatch):
    monkeypatch.setattr(page, "MOST_STEPS", 5)
    past = Past()
    models = [past.artifact("Model")]
    for _ in range(10):  # each begins with the weights of the one before
        models.append(past.artifact("Model"))
        past.execute("Trainer", {"base_model": models[-2]}, {"model": models[-1]})
    evaluation = past.artifact("ModelEvaluation", decision="refused", candidate_id=models[-1])
    past.execute("BleuEvaluator", {"model": models[-1]}, {"evaluation": evaluation})
    given = standard_artifacts.ModelEvaluation()
    given.set_mlmd_artifact(past.store.get_artifacts_by_id([evaluation])[0])
    handle = mock.MagicMock()
    handle.__enter__.return_value.store = past.store
    info = data_types.ExecutionInfo(input_dict={"evaluation": [given]}, exec_properties={})
    component.Driver(handle).run(info)
    nodes = [step["node"] for step in json.loads(info.exec_properties[executor.LINEAGE])]
    assert nodes == ["Trainer"] * 4 + ["BleuEvaluator"]


def test_without_the_driver_the_lineage_is_missing_alone(inputs, tmp_path):
    report = artifact(records.Report, tmp_path / "report")
    executor.Executor().Do(inputs, {"report": [report]}, {})
    html = (tmp_path / "report" / "report.html").read_text()
    assert html.count('"jpeg"') == 2 and "Execution" not in html


def test_too_many_pictures_are_chosen_by_hash(monkeypatch):
    monkeypatch.setattr(executor, "MOST_PICTURES", 10)
    pictures = [picture(number) for number in range(50)]
    shown = executor.chosen(pictures)
    assert len(shown) == 10 and shown != pictures[:10]
    rng = np.random.default_rng(0)
    assert executor.chosen([pictures[row] for row in rng.permutation(50)]) == shown
    assert executor.chosen(pictures[:10]) == pictures[:10]


def test_pictures_with_too_much_text_are_left_out(monkeypatch):
    pictures = [picture(number) for number in range(50)]
    size = len(json.dumps(pictures[10]).encode())
    monkeypatch.setattr(executor, "TEXT_BYTES", 5 * size)
    assert 4 <= len(executor.chosen(pictures)) <= 6
