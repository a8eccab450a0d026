"""What the evaluator's step hands to KFP's UI."""

import json

import pytest
from captions_kubeflow import ui
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.types import standard_artifacts

from components.records import BLESSED, CANDIDATE_ID, DECISION, UNCHANGED, Report

BLEU = {"bleu_1": 0.8, "bleu_2": 0.6, "bleu_3": 0.5, "bleu_4": 0.4}


@pytest.fixture
def store() -> MetadataStore:
    return MetadataStore(metadata_store_pb2.ConnectionConfig(fake_database=metadata_store_pb2.FakeDatabaseConfig()))


def evaluation(decision: str, candidate: int, bleu: dict[str, float]) -> standard_artifacts.ModelEvaluation:
    made = standard_artifacts.ModelEvaluation()
    made.set_string_custom_property(DECISION, decision)
    made.set_int_custom_property("candidate_id", candidate)
    for name, value in bleu.items():
        made.set_float_custom_property(name, value)
    return made


def stored(store: MetadataStore, made: standard_artifacts.ModelEvaluation) -> None:
    made.type_id = store.put_artifact_type(made.artifact_type)
    made.mlmd_artifact.state = metadata_store_pb2.Artifact.LIVE
    [made.id] = store.put_artifacts([made.mlmd_artifact])


def blessing(model: int) -> standard_artifacts.ModelBlessing:
    made = standard_artifacts.ModelBlessing()
    made.set_int_custom_property("current_model_id", model)
    return made


def executor_input(path) -> str:
    """As KFP's launcher fills it in."""
    artifact = {"name": "metrics", "uri": "s3://bucket/metrics", "type": {"schemaTitle": "system.Metrics"}}
    return json.dumps({"outputs": {"artifacts": {"metrics": {"artifacts": [artifact]}}, "outputFile": str(path)}})


def test_the_metrics_are_written_where_kfp_reads_them(store, tmp_path):
    path = tmp_path / "kfp" / "executor_output.json"
    made = evaluation(BLESSED, 7, BLEU)
    ui.show(store, {"evaluation": made, "blessing": blessing(7)}, executor_input(path))
    [shown] = json.loads(path.read_text())["artifacts"]["metrics"]["artifacts"]
    assert shown["metadata"] == {DECISION: BLESSED, **BLEU}
    assert (shown["uri"], shown["type"]["schemaTitle"]) == ("s3://bucket/metrics", "system.Metrics")


def test_where_nothing_has_changed_the_metrics_are_those_of_the_model(store):
    stored(store, evaluation(BLESSED, 6, {"bleu_4": 0.1}))
    stored(store, evaluation(BLESSED, 7, BLEU))
    unchanged = evaluation(UNCHANGED, 7, {})
    stored(store, unchanged)
    found = ui.metrics_of(store, {"evaluation": unchanged, "blessing": blessing(7)})
    assert found == {DECISION: UNCHANGED, **BLEU}


def test_a_model_that_was_never_measured_has_no_metrics(store):
    unchanged = evaluation(UNCHANGED, 7, {})
    stored(store, unchanged)
    found = ui.metrics_of(store, {"evaluation": unchanged, "blessing": blessing(7)})
    assert found == {DECISION: UNCHANGED}


@pytest.mark.parametrize("placeholder", ["", "{{$}}"])
def test_where_there_is_no_ui_nothing_is_written(store, tmp_path, monkeypatch, placeholder):
    monkeypatch.chdir(tmp_path)
    ui.show(store, {"evaluation": evaluation(BLESSED, 7, BLEU), "blessing": blessing(7)}, placeholder)
    assert not list(tmp_path.iterdir())


def test_other_steps_have_nothing_to_show(store, tmp_path):
    path = tmp_path / "executor_output.json"
    ui.show(store, {"model": standard_artifacts.Model()}, executor_input(path))
    assert not path.exists()


@pytest.fixture
def launcher(tmp_path, monkeypatch) -> str:
    """KFP's input for the report's step; its launcher takes files from below tmp_path/minio."""
    monkeypatch.setattr(ui, "LOCAL", {"minio://": f"{tmp_path}/minio/"})
    artifact = {"name": "html", "uri": "minio://bucket/run/html", "type": {"schemaTitle": "system.HTML"}}
    return json.dumps({"outputs": {"artifacts": {"html": {"artifacts": [artifact]}}, "outputFile": "/nowhere"}})


def report(directory, text: str) -> Report:
    made = Report()
    made.uri = str(directory)
    made.set_int_custom_property(CANDIDATE_ID, 7)
    directory.mkdir()
    if text:
        (directory / "report.html").write_text(text)
    return made


def test_the_report_is_put_where_the_launcher_takes_it_from(store, tmp_path, launcher):
    ui.show(store, {"report": report(tmp_path / "1", "<p>ä</p>")}, launcher)
    assert (tmp_path / "minio" / "bucket" / "run" / "html").read_text() == "<p>ä</p>"


def test_where_nothing_has_changed_it_is_the_report_of_the_model(store, tmp_path, launcher):
    stored(store, report(tmp_path / "1", "earlier"))
    unchanged = report(tmp_path / "2", "")
    unchanged.set_string_custom_property(DECISION, UNCHANGED)
    stored(store, unchanged)
    ui.show(store, {"report": unchanged}, launcher)
    assert (tmp_path / "minio" / "bucket" / "run" / "html").read_text() == "earlier"


def test_a_report_that_can_not_be_shown_is_no_failed_step(store, tmp_path, launcher, caplog):
    (tmp_path / "minio").write_text("in the way")
    ui.show(store, {"report": report(tmp_path / "1", "text")}, launcher)
    assert "is not shown in the UI" in caplog.text
