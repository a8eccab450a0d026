import io
import json
import pathlib
from unittest import mock

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from rich.console import Console

from pipeline import compare
from tests.fake_mlmd import PIPELINE, FakeMlmd

FIRST, SECOND, UNCHANGED, FAILED = "20261123-a", "20261124-b", "20261125-c", "20261126-d"


def rows_of(table, width: int = 200) -> dict[str, list[str]]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in stream.getvalue().splitlines()]
    return {row[0]: row[1:] for row in rows if row}


@pytest.fixture
def fake_mlmd(tmp_path) -> FakeMlmd:
    """Two runs: the second trains longer, its ingest is cached; a third is unchanged, and a fourth has failed."""
    fake_mlmd = FakeMlmd()
    examples = fake_mlmd.artifact("Examples")
    ingest = {"fingerprint": "0123456789abcdef-and-more", "settings": '{"unlisted_images": "train"}', "max_images": 0}
    fake_mlmd.execute("CaptionIngest", {}, {"examples": examples}, FIRST, **ingest)
    fake_mlmd.execute("CaptionIngest", {}, {"examples": examples}, SECOND, mlmd.Execution.CACHED)
    for run, epochs, bleu, model_id in ((FIRST, 3, 0.25, 1), (SECOND, 5, 0.5, 2)):
        weights, model = (
            fake_mlmd.artifact("captions.Weights", num_parameters=1_250_000 * epochs),
            fake_mlmd.artifact("Model"),
        )
        settings = json.dumps({"model": {"d_model": 128}, "optimizer": {"warmup_steps": 10 * epochs}, "seed": None})
        properties = {"settings": settings, "epochs": epochs, "code": "c0de", "checkpoint_dir": run, "label": "x"}
        fake_mlmd.execute(
            "Trainer", {"examples": examples}, {"weights": weights}, run, commit=f"commit{epochs}", **properties
        )
        fake_mlmd.execute("Exporter", {"weights": weights}, {"model": model}, run, settings='{"beam_size": 3}')
        evaluation = add_evaluation(tmp_path, fake_mlmd, run, bleu, model_id)
        fake_mlmd.execute("BleuEvaluator", {"model": model}, {"evaluation": evaluation}, run)
    unchanged = fake_mlmd.artifact("ModelEvaluation", decision="unchanged", candidate_id=2)
    fake_mlmd.execute("BleuEvaluator", {}, {"evaluation": unchanged}, UNCHANGED)
    fake_mlmd.execute("CaptionIngest", {}, {"examples": examples}, FAILED, mlmd.Execution.FAILED, max_images=7)
    return fake_mlmd


def add_evaluation(tmp_path: pathlib.Path, fake_mlmd: FakeMlmd, run: str, bleu: float, model_id: int) -> int:
    directory = tmp_path / run
    directory.mkdir()
    metric = {"value": bleu, "low": bleu - 0.125, "high": bleu + 0.125}
    models = {"candidate": {"bleu_4": metric}, "baseline": {"bleu_4": metric}}
    if model_id == 2:
        models["gru"] = {"bleu_4": metric}
    (directory / "evaluation.json").write_text(json.dumps({"models": models, "test_set": "same"}))
    return fake_mlmd.artifact("ModelEvaluation", str(directory), decision="blessed", candidate_id=model_id)


def test_metrics_and_settings_that_differ(fake_mlmd):
    rows = rows_of(compare.table(compare.find(fake_mlmd.store, PIPELINE, [FIRST, SECOND], "runs/mine")))
    assert rows["BLEU-4"] == ["0.250 (0.125 to 0.375)", "0.500 (0.375 to 0.625)"]
    assert rows["parameters"] == ["3.8 M", "6.2 M"]
    assert rows["decision"] == ["blessed", "blessed"]
    assert rows["commit"] == ["commit3", "commit5"]
    # under their keys in a config file, and nothing that is equal or no setting
    settings = {name: values for name, values in rows.items() if "." in name}
    assert settings == {"trainer.epochs": ["3", "5"], "trainer.optimizer.warmup_steps": ["30", "50"]}


def test_comparison_models_have_rows_of_their_own(fake_mlmd):
    rows = rows_of(compare.table(compare.find(fake_mlmd.store, PIPELINE, [FIRST, SECOND], "runs/mine")))
    assert rows["gru: BLEU-4"] == ["–", "0.500 (0.375 to 0.625)"]
    assert not [name for name in rows if name.startswith("baseline")]


def test_a_cached_step_has_the_settings_of_the_run_that_computed_it(fake_mlmd):
    rows = rows_of(
        compare.table(compare.find(fake_mlmd.store, PIPELINE, [FIRST, SECOND], "runs/mine"), all_settings=True)
    )
    assert rows["data"] == ["0123456789abcdef"] * 2
    assert rows["data.unlisted_images"] == ["train"] * 2


def test_all_settings_are_shown_on_request(fake_mlmd):
    rows = rows_of(compare.table(compare.find(fake_mlmd.store, PIPELINE, ["a", "b"], "runs/mine"), all_settings=True))
    assert rows["trainer.model.d_model"] == ["128", "128"]
    assert rows["decoding.beam_size"] == ["3", "3"]
    assert rows["trainer.seed"] == ["null", "null"]
    assert rows["trainer.code"] == ["c0de", "c0de"]
    assert not {"trainer.checkpoint_dir", "trainer.label", "trainer.commit"} & rows.keys()


def test_names_of_settings_are_complete_on_a_narrow_terminal(fake_mlmd):
    rows = rows_of(compare.table(compare.find(fake_mlmd.store, PIPELINE, ["a", "b"], "runs/mine")), width=60)
    assert "trainer.optimizer.warmup_steps" in rows


def test_without_names_the_runs_that_were_evaluated_are_compared(fake_mlmd):
    runs = compare.find(fake_mlmd.store, PIPELINE, [], "runs/mine")
    assert [run.name for run in runs] == [FIRST, SECOND, UNCHANGED]


def test_an_unchanged_run_has_the_metrics_of_the_model(fake_mlmd):
    [run] = compare.find(fake_mlmd.store, PIPELINE, ["20261125"], "runs/mine")
    assert run.decision == "unchanged" and run.evaluation["models"]["candidate"]["bleu_4"]["value"] == 0.5


def test_a_run_that_failed_early_has_dashes(fake_mlmd):
    rows = rows_of(compare.table(compare.find(fake_mlmd.store, PIPELINE, ["-d", "-a"], "runs/mine")))
    assert rows["BLEU-4"] == ["–", "0.250 (0.125 to 0.375)"]
    assert rows["decision"] == ["CaptionIngest failed", "blessed"]
    # the settings of the failed step are shown; those of the steps that it did not reach are no difference
    assert rows["data.max_images"] == ["7", "0"]
    assert not [name for name in rows if name.startswith("trainer.")]


def test_a_step_that_only_one_run_has_is_a_difference(fake_mlmd):
    fake_mlmd.execute("Trainer_gru", {}, {}, SECOND, settings='{"model": {"units": 8}}')
    rows = rows_of(compare.table(compare.find(fake_mlmd.store, PIPELINE, ["-a", "-b"], "runs/mine")))
    assert rows["trainer_gru.model.units"] == ["–", "8"]


def test_a_run_of_version_0_1_is_compared_under_its_own_names(fake_mlmd):
    old = {"custom_config": '{"settings": {"seed": 7, "heads": 4}}', "epochs": 3, "source": "50u2ce", "run_fn": "x"}
    fake_mlmd.execute("Trainer", {}, {"model": fake_mlmd.artifact("Model")}, "20251101-old", **old)
    fake_mlmd.execute("AttentionTrainer", {}, {}, "20251101-old", epochs=3)
    evaluation = fake_mlmd.artifact("ModelEvaluation", "/gone", decision="refused", candidate_id=9)
    fake_mlmd.execute("BleuEvaluator", {}, {"evaluation": evaluation}, "20251101-old", settings='{"resamples": 9}')
    rows = rows_of(compare.table(compare.find(fake_mlmd.store, PIPELINE, ["-old", "-a"], "runs/mine")))
    assert rows["decision"] == ["rejected", "blessed"]
    assert rows["trainer.seed"] == ["7", "null"] and rows["trainer.heads"] == ["4", "–"]
    assert rows["evaluator.resamples"] == ["9", "–"]
    assert rows["AttentionTrainer.epochs"] == ["3", "–"]
    assert rows["BLEU-4"] == ["–", "0.250 (0.125 to 0.375)"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("2027", "no such run; the last ones are: .*20261126-d"), ("2026", "ambiguous, it matches: .*-a, ")],
)
def test_a_name_that_matches_no_run_or_several_is_refused(fake_mlmd, name, message):
    with pytest.raises(compare.RunNotFound, match=message):
        compare.find(fake_mlmd.store, PIPELINE, [name], "runs/mine")


def test_without_any_run_the_error_names_the_pipelines_that_have_run(fake_mlmd):
    with pytest.raises(compare.RunNotFound, match=r"no run of mine in runs/mine yet$"):
        compare.find(FakeMlmd().store, PIPELINE, [], "runs/mine")
    with pytest.raises(
        compare.RunNotFound, match="no run of sample in runs/mine yet; runs exist for mine: choose one with"
    ):
        compare.find(fake_mlmd.store, "sample", [], "runs/mine")


def test_of_many_runs_only_the_last_are_read(fake_mlmd, monkeypatch):
    monkeypatch.setattr(compare, "DEFAULT_RUNS", 2)
    store = mock.Mock(wraps=fake_mlmd.store)
    assert [run.name for run in compare.find(store, PIPELINE, [], "runs/mine")] == [SECOND, UNCHANGED]
    assert store.get_executions_by_context.call_count == 3  # the last has failed


def test_no_more_evaluated_runs_are_counted_than_needed(fake_mlmd):
    assert compare.count_evaluated(fake_mlmd.store, PIPELINE) == 2
    assert compare.count_evaluated(fake_mlmd.store, PIPELINE, most=1) == 1
    assert compare.count_evaluated(FakeMlmd().store, PIPELINE) == 0
