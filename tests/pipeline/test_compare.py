import io
import json
import pathlib
from unittest import mock

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from rich.console import Console

from pipeline import compare
from tests.past import Past


def shown(table, width: int = 200) -> dict[str, list[str]]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in stream.getvalue().splitlines()]
    return {row[0]: row[1:] for row in rows if row}


@pytest.fixture
def past(tmp_path) -> Past:
    """Two runs: the second trains longer, its ingest comes from the cache; a third has found nothing new."""
    made = Past()
    examples = made.artifact("Examples")
    made.execute("CaptionIngest", {}, {"examples": examples}, "20261123-a", fingerprint="0123456789abcdef-and-on")
    cached = mlmd.Execution.CACHED
    made.execute("CaptionIngest", {}, {"examples": examples}, "20261124-b", cached)
    for run, epochs, bleu, model_id in (("20261123-a", 3, 0.25, 1), ("20261124-b", 5, 0.5, 2)):
        model = made.artifact("Model")
        settings = {"custom_config": json.dumps({"model": {"d_model": 128, "epochs": epochs}})}
        made.execute("Trainer", {"examples": examples}, {"model": model}, run, commit=f"commit{epochs}", **settings)
        evaluation = evaluated(tmp_path, made, run, bleu, model_id)
        made.execute("BleuEvaluator", {"model": model}, {"evaluation": evaluation}, run)
    unchanged = made.artifact("ModelEvaluation", decision="unchanged", candidate_id=2)
    made.execute("BleuEvaluator", {}, {"evaluation": unchanged}, "20261125-c")
    made.execute("CaptionIngest", {}, {"examples": examples}, "20261126-d", mlmd.Execution.FAILED, limit="7")
    return made


def evaluated(tmp_path: pathlib.Path, made: Past, run: str, bleu: float, model_id: int) -> int:
    directory = tmp_path / run
    directory.mkdir()
    figure = {"value": bleu, "low": bleu - 0.125, "high": bleu + 0.125}
    models = {"candidate": {"bleu_4": figure}, "baseline": {"bleu_4": figure}}
    if model_id == 2:
        models["attention"] = {"bleu_4": figure}
    content = {"models": models, "test_set": "same"}
    (directory / "evaluation.json").write_text(json.dumps(content))
    return made.artifact("ModelEvaluation", str(directory), decision="blessed", candidate_id=model_id)


def test_metrics_and_settings_that_differ(past):
    rows = shown(compare.table(compare.find(past.store, "mine", ["20261123-a", "20261124-b"])))
    assert rows["bleu_4"] == ["0.250 (0.125 to 0.375)", "0.500 (0.375 to 0.625)"]
    assert rows["decision"] == ["blessed", "blessed"]
    assert rows["Trainer.custom_config.model.epochs"] == ["3", "5"]
    assert rows["commit"] == ["commit3", "commit5"]
    assert not [name for name in rows if "d_model" in name]


def test_models_trained_beside_are_told(past):
    rows = shown(compare.table(compare.find(past.store, "mine", ["20261123-a", "20261124-b"])))
    assert rows["attention: bleu_4"] == ["–", "0.500 (0.375 to 0.625)"]
    assert not [name for name in rows if name.startswith("baseline")]


def test_what_the_cache_answered_has_the_settings_of_the_run_that_made_it(past):
    rows = shown(compare.table(compare.find(past.store, "mine", ["20261123-a", "20261124-b"])))
    assert rows["data"] == ["0123456789abcdef"] * 2


def test_all_settings_on_request(past):
    rows = shown(compare.table(compare.find(past.store, "mine", ["a", "b"]), everything=True))
    assert rows["Trainer.custom_config.model.d_model"] == ["128", "128"]


def test_names_of_settings_are_whole_on_a_narrow_terminal(past):
    rows = shown(compare.table(compare.find(past.store, "mine", ["a", "b"])), width=60)
    assert "Trainer.custom_config.model.epochs" in rows


def test_without_names_the_evaluated_ones_are_compared(past):
    assert [run.name for run in compare.find(past.store, "mine", [])] == ["20261123-a", "20261124-b", "20261125-c"]


def test_an_unchanged_run_has_the_figures_of_the_model(past):
    [run] = compare.find(past.store, "mine", ["20261125"])
    assert run.decision == "unchanged" and run.evaluation["models"]["candidate"]["bleu_4"]["value"] == 0.5


def test_a_run_that_did_not_get_far_has_dashes(past):
    rows = shown(compare.table(compare.find(past.store, "mine", ["-d", "-a"])))
    assert rows["bleu_4"] == ["–", "0.250 (0.125 to 0.375)"]
    assert rows["decision"] == ["CaptionIngest failed", "blessed"]
    # the settings of what failed are there; those of the steps that it did not come to are no difference
    assert rows["CaptionIngest.limit"] == ["7", "–"]
    assert not [name for name in rows if name.startswith("Trainer.")]


def test_a_step_that_one_run_has_and_another_has_not_is_a_difference(past):
    past.execute("AttentionTrainer", {}, {}, "20261124-b", epochs="3")
    rows = shown(compare.table(compare.find(past.store, "mine", ["-a", "-b"])))
    assert rows["AttentionTrainer.epochs"] == ["–", "3"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("2027", "no such run; the last ones are: .*20261126-d"), ("2026", "which of these runs: .*-a, ")],
)
def test_names_that_are_not_clear_are_said(past, name, said):
    with pytest.raises(compare.NoRun, match=said):
        compare.find(past.store, "mine", [name])


def test_no_run_at_all_is_said(past):
    with pytest.raises(compare.NoRun, match=r"no run of mine so far$"):
        compare.find(Past().store, "mine", [])
    with pytest.raises(compare.NoRun, match="no run of sample so far; there are runs of mine: name the settings of"):
        compare.find(past.store, "sample", [])


def test_of_many_runs_only_the_last_are_read(past, monkeypatch):
    monkeypatch.setattr(compare, "DEFAULT", 2)
    read = mock.Mock(wraps=compare._read)
    monkeypatch.setattr(compare, "_read", read)
    assert [run.name for run in compare.find(past.store, "mine", [])] == ["20261124-b", "20261125-c"]
    assert read.call_count == 3  # the last has failed
