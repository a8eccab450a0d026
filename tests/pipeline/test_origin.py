import dataclasses
import io
import json

import pytest
from rich.console import Console

from pipeline import origin
from tests.past import Past


@pytest.fixture
def past(tmp_path) -> Past:
    """A model, pushed as version 17 below serving/, with all that made it."""
    made = Past()
    counts = json.dumps({"images": {"train": 4, "test": 1}, "captions": 25})
    examples, features = made.artifact("Examples", counts=counts), made.artifact("captions.Features")
    made.execute("CaptionIngest", {}, {"examples": examples}, data_dir="/data", fingerprint="print of the data")
    made.execute("FeatureExtractor", {"examples": examples}, {"features": features}, backbone="MobileNet")
    model = made.artifact("Model", str(tmp_path / "artifacts" / "model"))
    made.execute("Trainer", {"features": features}, {"model": model}, commit="0123456789abcdef")
    evaluation = {"models": {"candidate": {"bleu_4": {"value": 0.5, "low": 0.25, "high": 0.75}}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    made.artifact("ModelEvaluation", str(tmp_path), candidate_id=model, decision="blessed")
    version = tmp_path / "serving" / "17"
    pushed = made.artifact("PushedModel", pushed_destination=str(version), pushed_version="17", pushed=1)
    made.execute("Pusher", {"model": model}, {"pushed_model": pushed})
    for directory in (version, tmp_path / "artifacts" / "model" / "Format-Serving"):
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").touch()
    (tmp_path / "metadata.sqlite").touch()
    made.model, made.examples = model, examples
    return made


@pytest.mark.parametrize("place", ["serving", "serving/17", "artifacts/model", "artifacts/model/Format-Serving"])
def test_a_model_is_found_by_its_directory(past, tmp_path, place):
    found = origin.find(past.store, str(tmp_path / place))
    assert found.model_id == past.model
    assert [step["node"] for step in found.steps] == ["CaptionIngest", "FeatureExtractor", "Trainer"]


def test_the_origin_is_told_in_full(past, tmp_path):
    stream = io.StringIO()
    Console(file=stream, width=200).print(origin.tables(origin.find(past.store, str(tmp_path / "serving"))))
    out = stream.getvalue()
    for said in (
        "data_dir /data, fingerprint print of the data",
        "train 4, test 1; 25 captions",
        "backbone MobileNet",
        "blessed; bleu_4 0.500 (0.250 to 0.750)",
        "0123456789ab",
        f"model {past.model}",
    ):
        assert said in out
    json.dumps(dataclasses.asdict(origin.find(past.store, str(tmp_path / "serving"))))


def test_what_is_told_is_the_models_own_and_not_of_the_one_that_it_began_with(past, tmp_path):
    # the data is that of the first run again, answered by the cache; in between another model was trained
    counts = json.dumps({"images": {"train": 8}, "captions": 40})
    between, began = past.artifact("Examples", counts=counts), past.artifact("Model")
    past.execute("CaptionIngest", {}, {"examples": between}, data_dir="/other", fingerprint="other print")
    past.execute("Trainer", {"examples": between}, {"model": began}, custom_config="of the other")
    model = past.artifact("Model", str(tmp_path / "warm"))
    (tmp_path / "warm").mkdir()
    past.execute("Trainer", {"examples": past.examples, "base_model": began}, {"model": model}, custom_config="own")
    found = origin.find(past.store, str(tmp_path / "warm"))
    assert found.counts["captions"] == 25 and len(found.steps) == 4
    facts = [value for _, value in origin._facts(found)]
    assert "data_dir /data, fingerprint print of the data" in facts and "custom_config own" in facts


def test_the_database_is_found_above_the_model(past, tmp_path):
    assert origin.database_above(str(tmp_path / "serving" / "17")) == str(tmp_path / "metadata.sqlite")
    assert origin.database_above("/nowhere/at/all") is None


def test_a_directory_without_a_known_model_is_said(past, tmp_path):
    for place in (tmp_path / "nothing", tmp_path):
        with pytest.raises(
            origin.UnknownModel, match=r"that ML Metadata knows; give one that was pushed, as .*/serving/17$"
        ):
            origin.find(past.store, str(place))
    with pytest.raises(origin.UnknownModel, match="no model that ML Metadata knows; none has been pushed so far"):
        origin.find(Past().store, str(tmp_path))
