"""What the evaluator's step passes to KFP's UI."""

import json

import pytest
from captions_kubeflow import ui
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.types import standard_artifacts

from components.shared.artifact_types import Report
from components.shared.records import BLESSED, CANDIDATE_ID, DECISION, EVALUATION_FILE, UNCHANGED
from tests.fake_mlmd import memory_connection

BLEU = {"bleu_1": 0.8, "bleu_2": 0.6, "bleu_3": 0.5, "bleu_4": 0.4}


@pytest.fixture
def store() -> MetadataStore:
    return MetadataStore(memory_connection())


def evaluation(decision: str, candidate: int, bleu: dict[str, float]) -> standard_artifacts.ModelEvaluation:
    artifact = standard_artifacts.ModelEvaluation()
    artifact.set_string_custom_property(DECISION, decision)
    artifact.set_int_custom_property("candidate_id", candidate)
    for name, value in bleu.items():
        artifact.set_float_custom_property(name, value)
    return artifact


def put(store: MetadataStore, artifact: standard_artifacts.ModelEvaluation) -> None:
    artifact.type_id = store.put_artifact_type(artifact.artifact_type)
    artifact.mlmd_artifact.state = metadata_store_pb2.Artifact.LIVE
    [artifact.id] = store.put_artifacts([artifact.mlmd_artifact])


def blessing(model: int) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.set_int_custom_property("current_model_id", model)
    return artifact


def executor_input(path) -> str:
    """The placeholder, as KFP's launcher fills it in."""
    artifact = {"name": "metrics", "uri": "s3://bucket/metrics", "type": {"schemaTitle": "system.Metrics"}}
    return json.dumps({"outputs": {"artifacts": {"metrics": {"artifacts": [artifact]}}, "outputFile": str(path)}})


def test_the_metrics_are_written_where_kfp_reads_them(store, tmp_path):
    path = tmp_path / "kfp" / "executor_output.json"
    artifact = evaluation(BLESSED, 7, BLEU)
    ui.show(store, {"evaluation": artifact, "blessing": blessing(7)}, executor_input(path))
    [shown] = json.loads(path.read_text())["artifacts"]["metrics"]["artifacts"]
    assert shown["metadata"] == {DECISION: BLESSED, **BLEU}
    assert (shown["uri"], shown["type"]["schemaTitle"]) == ("s3://bucket/metrics", "system.Metrics")


def test_an_unchanged_decision_shows_the_metrics_of_the_model(store):
    put(store, evaluation(BLESSED, 6, {"bleu_4": 0.1}))
    put(store, evaluation(BLESSED, 7, BLEU))
    unchanged = evaluation(UNCHANGED, 7, {})
    put(store, unchanged)
    metrics = ui.metrics_of(store, {"evaluation": unchanged, "blessing": blessing(7)})
    assert metrics == {DECISION: UNCHANGED, **BLEU}


def test_a_model_that_was_never_evaluated_has_no_metrics(store):
    unchanged = evaluation(UNCHANGED, 7, {})
    put(store, unchanged)
    metrics = ui.metrics_of(store, {"evaluation": unchanged, "blessing": blessing(7)})
    assert metrics == {DECISION: UNCHANGED}


def test_metrics_are_shown_under_the_labels_of_the_evaluation_file(store, tmp_path):
    artifact = evaluation(BLESSED, 7, {"bleu_4": 0.4, "cider": 1.5, "mean_length": 7.5})
    artifact.uri = str(tmp_path)
    info = {"cider": {"label": "CIDEr"}, "bleu_4": {"label": "BLEU-4"}, "meteor": {"label": "METEOR"}}
    (tmp_path / EVALUATION_FILE).write_text(json.dumps({"metrics_info": info}))
    metrics = ui.metrics_of(store, {"evaluation": artifact, "blessing": blessing(7)})
    assert list(metrics.items()) == [(DECISION, BLESSED), ("CIDEr", 1.5), ("BLEU-4", 0.4), ("mean_length", 7.5)]


@pytest.mark.parametrize("placeholder", ["", "{{$}}"])
def test_without_a_ui_nothing_is_written(store, tmp_path, monkeypatch, placeholder):
    monkeypatch.chdir(tmp_path)
    ui.show(store, {"evaluation": evaluation(BLESSED, 7, BLEU), "blessing": blessing(7)}, placeholder)
    assert not list(tmp_path.iterdir())


def test_other_steps_have_nothing_to_show(store, tmp_path):
    path = tmp_path / "executor_output.json"
    ui.show(store, {"model": standard_artifacts.Model()}, executor_input(path))
    assert not path.exists()


@pytest.fixture
def launcher(tmp_path, monkeypatch) -> str:
    """KFP's input for the step Report; its launcher uploads files from tmp_path/minio."""
    monkeypatch.setattr(ui, "LOCAL_DIRECTORIES", {"minio://": f"{tmp_path}/minio/"})
    artifact = {"name": "html", "uri": "minio://bucket/run/html", "type": {"schemaTitle": "system.HTML"}}
    return json.dumps({"outputs": {"artifacts": {"html": {"artifacts": [artifact]}}, "outputFile": "/nowhere"}})


def report(directory, text: str) -> Report:
    artifact = Report()
    artifact.uri = str(directory)
    artifact.set_int_custom_property(CANDIDATE_ID, 7)
    directory.mkdir()
    if text:
        (directory / "report.html").write_text(text)
    return artifact


def test_the_report_is_copied_to_where_the_launcher_uploads_it_from(store, tmp_path, launcher):
    ui.show(store, {"report": report(tmp_path / "1", "<p>ä</p>")}, launcher)
    assert (tmp_path / "minio" / "bucket" / "run" / "html").read_text() == "<p>ä</p>"


def test_an_unchanged_decision_shows_the_report_of_the_model(store, tmp_path, launcher):
    put(store, report(tmp_path / "1", "earlier"))
    unchanged = report(tmp_path / "2", "")
    unchanged.set_string_custom_property(DECISION, UNCHANGED)
    put(store, unchanged)
    ui.show(store, {"report": unchanged}, launcher)
    assert (tmp_path / "minio" / "bucket" / "run" / "html").read_text() == "earlier"


def test_a_report_that_can_not_be_copied_fails_no_step(store, tmp_path, launcher, caplog):
    (tmp_path / "minio").write_text("in the way")
    ui.show(store, {"report": report(tmp_path / "1", "text")}, launcher)
    assert "the UI does not show" in caplog.text
