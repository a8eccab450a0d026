import dataclasses
import io
import json

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from rich.console import Console

from components.shared.mlmd.executions import record_execution
from components.shared.mlmd.runs import pipeline_named
from pipeline import lineage, rollback
from tests.fake_mlmd import PIPELINE, FakeMlmd


@pytest.fixture
def fake_mlmd(tmp_path) -> FakeMlmd:
    """A model, pushed as version 17 below serving/, with everything that made it."""
    fake_mlmd = FakeMlmd()
    counts = json.dumps({"images": {"train": 4, "test": 1}, "captions": 25})
    examples, features = fake_mlmd.artifact("Examples", counts=counts), fake_mlmd.artifact("captions.Features")
    fake_mlmd.execute("CaptionIngest", {}, {"examples": examples}, dir="/data", fingerprint="print of the data")
    fake_mlmd.execute("FeatureExtractor", {"examples": examples}, {"features": features}, backbone="MobileNet")
    weights = fake_mlmd.artifact("captions.Weights")
    settings = json.dumps({"optimizer": {"warmup_steps": 20}})
    training = {"commit": "0123456789abcdef", "code": "c0de", "settings": settings, "epochs": 3}
    fake_mlmd.execute("Trainer", {"features": features}, {"weights": weights}, **training)
    model = fake_mlmd.artifact("Model", str(tmp_path / "artifacts" / "model"))
    fake_mlmd.execute("Exporter", {"weights": weights}, {"model": model}, settings='{"beam_size": 5}')
    evaluation = {"models": {"candidate": {"bleu_4": {"value": 0.5, "low": 0.25, "high": 0.75}}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    fake_mlmd.artifact("ModelEvaluation", str(tmp_path), candidate_id=model, decision="blessed")
    version = tmp_path / "serving" / "17"
    pushed = fake_mlmd.artifact("PushedModel", pushed_destination=str(version), pushed_version="17", pushed=1)
    fake_mlmd.execute("Pusher", {"model": model}, {"pushed_model": pushed})
    for directory in (version, tmp_path / "artifacts" / "model" / "Format-Serving"):
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").touch()
    fake_mlmd.model, fake_mlmd.examples = model, examples
    return fake_mlmd


def printed(found: lineage.Lineage) -> str:
    stream = io.StringIO()
    Console(file=stream, width=240).print(lineage.tables(found))
    return stream.getvalue()


@pytest.mark.parametrize("place", ["serving", "serving/17", "artifacts/model", "artifacts/model/Format-Serving"])
def test_a_model_is_found_by_its_directory(fake_mlmd, tmp_path, place):
    found = lineage.find(fake_mlmd.store, str(tmp_path / place))
    assert found.model_id == fake_mlmd.model
    assert [step["node"] for step in found.steps] == ["CaptionIngest", "FeatureExtractor", "Trainer", "Exporter"]


def test_a_version_whose_push_was_killed_is_found_by_its_files(fake_mlmd, tmp_path):
    model = tmp_path / "artifacts" / "model" / "Format-Serving" / "saved_model.pb"
    model.write_bytes(b"graph")
    (tmp_path / "serving" / "18").mkdir()
    with pytest.raises(lineage.ModelNotFound):
        lineage.find(fake_mlmd.store, str(tmp_path / "serving" / "18"))
    (tmp_path / "serving" / "18" / "saved_model.pb").write_bytes(b"graph")
    assert lineage.find(fake_mlmd.store, str(tmp_path / "serving")).model_id == fake_mlmd.model


def test_the_rules_that_rejected_a_model_are_named(fake_mlmd, tmp_path):
    rules = [{"text": "BLEU-4 0.500", "passed": True}, {"text": "this model was rolled back at 6:18", "passed": False}]
    evaluation = json.loads((tmp_path / "evaluation.json").read_text()) | {"rules": rules, "metrics_info": {}}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    fake_mlmd.artifact("ModelEvaluation", str(tmp_path), candidate_id=fake_mlmd.model, decision="rejected")
    out = printed(lineage.find(fake_mlmd.store, str(tmp_path / "serving")))
    assert "rejected, since this model was rolled back at 6:18;" in out


def test_the_full_lineage_is_shown(fake_mlmd, tmp_path):
    found = lineage.find(fake_mlmd.store, str(tmp_path / "serving"))
    out = printed(found)
    for text in (
        "dir /data, fingerprint print of the data",
        "train 4, test 1; 25 captions",
        "backbone MobileNet",
        "epochs 3, optimizer.warmup_steps 20\n",
        "beam_size 5",
        "blessed; BLEU-4 0.500 (0.250 to 0.750)",
        "0123456789ab",
        "c0de",
        f"model {fake_mlmd.model}",
    ):
        assert text in "".join(f"{line.rstrip()}\n" for line in out.splitlines()), text
    assert json.loads(json.dumps(dataclasses.asdict(found)))["model_id"] == fake_mlmd.model
    assert "rollback" not in out


def test_a_rollback_is_shown(fake_mlmd, tmp_path):
    previous = fake_mlmd.artifact("Model")
    rolled_back = {"previous_version": "18", "target_version": "17", "pushed_as_version": "17"}
    [model] = fake_mlmd.store.get_artifacts_by_id([fake_mlmd.model])
    execution = mlmd.Execution(last_known_state=mlmd.Execution.COMPLETE)
    execution.type_id = fake_mlmd.store.put_execution_type(mlmd.ExecutionType(name=rollback.EXECUTION_TYPE))
    for name, value in rolled_back.items():
        execution.custom_properties[name].string_value = value
    [previous_model] = fake_mlmd.store.get_artifacts_by_id([previous])
    inputs = {"model": model, "previous_model": previous_model}
    record_execution(fake_mlmd.store, pipeline_named(fake_mlmd.store, PIPELINE), execution, inputs, {})
    out = printed(lineage.find(fake_mlmd.store, str(tmp_path / "serving")))
    assert "version 17, the model of 17, was served since the rollback" in out
    assert "; 18 is excluded from blessing" in out


def test_the_lineage_is_the_models_own_and_not_that_of_its_base_model(fake_mlmd, tmp_path):
    # the data is that of the first run again, from the cache; in between another model was trained
    counts = json.dumps({"images": {"train": 8}, "captions": 40})
    other, base = fake_mlmd.artifact("Examples", counts=counts), fake_mlmd.artifact("Model")
    base_weights, weights = fake_mlmd.artifact("captions.Weights"), fake_mlmd.artifact("captions.Weights")
    fake_mlmd.execute("CaptionIngest", {}, {"examples": other}, dir="/other", fingerprint="other print")
    fake_mlmd.execute("Trainer", {"examples": other}, {"weights": base_weights}, settings='{"seed": 1}')
    fake_mlmd.execute("Exporter", {"weights": base_weights}, {"model": base})
    model = fake_mlmd.artifact("Model", str(tmp_path / "warm"))
    (tmp_path / "warm").mkdir()
    inputs = {"examples": fake_mlmd.examples, "base_model": base}
    fake_mlmd.execute("Trainer", inputs, {"weights": weights}, settings='{"seed": 2}')
    fake_mlmd.execute("Exporter", {"weights": weights}, {"model": model})
    found = lineage.find(fake_mlmd.store, str(tmp_path / "warm"))
    assert found.counts["captions"] == 25 and len(found.steps) == 6
    facts = dict(lineage.facts_of(found))
    assert facts["data"] == "dir /data, fingerprint print of the data" and facts["training"] == "seed 2"


def test_a_comparison_models_steps_are_its_own(fake_mlmd, tmp_path):
    weights, model = fake_mlmd.artifact("captions.Weights"), fake_mlmd.artifact("Model", str(tmp_path / "gru"))
    fake_mlmd.execute("Trainer_gru", {"examples": fake_mlmd.examples}, {"weights": weights}, epochs=9)
    fake_mlmd.execute("Exporter_gru", {"weights": weights}, {"model": model}, settings='{"beam_size": 2}')
    facts = dict(lineage.facts_of(lineage.find(fake_mlmd.store, str(tmp_path / "gru"))))
    assert (facts["training"], facts["decoding"]) == ("epochs 9", "beam_size 2")


def test_a_model_of_version_0_1_was_made_by_the_trainer(fake_mlmd, tmp_path):
    model = fake_mlmd.artifact("Model", str(tmp_path / "old"))
    old = {"custom_config": '{"settings": {"heads": 4}}', "epochs": 3, "source": "50u2ce", "train_args": "{}"}
    fake_mlmd.execute("Trainer", {"examples": fake_mlmd.examples}, {"model": model}, **old)
    found = lineage.find(fake_mlmd.store, str(tmp_path / "old"))
    facts = dict(lineage.facts_of(found))
    assert facts["training"] == "heads 4, epochs 3" and "decoding" not in facts
    assert "50u2ce" in printed(found)


def test_a_directory_without_a_known_model_is_refused(fake_mlmd, tmp_path):
    for place in (tmp_path / "nothing", tmp_path):
        with pytest.raises(lineage.ModelNotFound, match=r"ML Metadata knows; give a pushed version, .*/serving/17$"):
            lineage.find(fake_mlmd.store, str(place))
    with pytest.raises(lineage.ModelNotFound, match="not a model that ML Metadata knows; none has been pushed yet"):
        lineage.find(FakeMlmd().store, str(tmp_path))
