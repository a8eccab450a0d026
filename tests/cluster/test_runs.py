"""Runs of the captioning pipeline, made small, started by the client."""

import os
import pathlib
import signal
import subprocess

import psutil

from pipeline.summary import METRICS
from tests.cluster.conftest import kubectl

STEPS = {
    "CaptionIngest",
    "StatisticsGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "Transform",
    "FeatureExtractor",
    "Trainer",
    "LatestBlessedModel",
    "BleuEvaluator",
    "Pusher",
}


def test_the_first_run_pushes_a_blessed_model(cluster, first):
    assert cluster.states(first) == {step: ["complete"] for step in STEPS}
    assert len(cluster.versions()) == 1
    assert "SUCCEEDED" in cluster.client("runs", "--config", str(cluster.config))


def test_the_runs_parameters_arrive_in_the_steps(cluster, first):
    query = f"""SELECT DISTINCT p.name, COALESCE(p.int_value, p.double_value)
        FROM {cluster.database}.ExecutionProperty p WHERE p.name IN ('epochs', 'min_bleu_4') ORDER BY p.name"""
    assert cluster.sql(query).split() == ["epochs", "2", "min_bleu_4", "0"]


def test_a_second_run_is_answered_from_the_cache(cluster, first):
    run_id = cluster.start("trainer.epochs=2", "evaluator.min_bleu_4=0.0")
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    states = cluster.states(run_id)
    again = {"LatestBlessedModel", "BleuEvaluator", "Pusher"}  # the baseline is another one now
    assert {step for step in STEPS if states[step] == ["cached"]} == STEPS - again
    assert len(cluster.versions()) == 1


def test_two_runs_at_once_are_both_right(cluster, first):
    before = len(cluster.versions())
    runs = [cluster.start(f"trainer.epochs={epochs}", "evaluator.min_bleu_4=0.0") for epochs in (1, 3)]
    assert [cluster.wait(run_id) for run_id in runs] == ["SUCCEEDED", "SUCCEEDED"]
    for run_id in runs:
        assert cluster.states(run_id)["Trainer"] == ["complete"]
    assert len(cluster.versions()) == before + 2


def test_a_killed_step_is_retried_and_leaves_nothing_half_written(cluster, first):
    run_id = cluster.start("trainer.epochs=40", "evaluator.min_bleu_4=0.0")

    def trainers() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if run_id in line and "Trainer" in line:
                found.append(process)
        return found

    checkpoints = pathlib.Path(cluster.root, "artifacts", "Trainer", "model_run")
    before = set(checkpoints.glob("*"))
    cluster.until(lambda: set(checkpoints.glob("*")) - before and trainers(), "the Trainer")
    [killed] = trainers()
    os.kill(killed.pid, signal.SIGKILL)
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    assert cluster.states(run_id)["Trainer"] == ["running", "complete"]
    for version in cluster.versions():
        assert (cluster.root / "serving" / version / "saved_model.pb").is_file()
    assert not list((cluster.root / "serving").glob(".*"))


def test_a_database_that_is_away_for_ten_seconds_is_waited_for(cluster, first):
    run_id = cluster.start("trainer.epochs=4", "evaluator.min_bleu_4=0.0", "data.limit=50")
    cluster.until(lambda: "CaptionIngest" in cluster.states(run_id), "the ingest")
    subprocess.run(os.environ["DATABASE_PAUSE"], shell=True, check=True)
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    assert all(states[-1] in ("complete", "cached") for states in cluster.states(run_id).values())


def test_a_wrong_password_is_one_clear_line(cluster, first):
    secret = f"{cluster.name}-wrong"
    cluster.make_secret(secret, "not-the-password")
    cluster.write_config(secret=secret, default={"retries": 0}, steps={})
    try:
        run_id = cluster.start()
        assert cluster.wait(run_id) == "FAILED"
    finally:
        cluster.write_config()
    listed = cluster.client("runs", "--config", str(cluster.config))
    assert "captioningest" in next(line for line in listed.splitlines() if run_id in line)
    last = cluster.logs(run_id, "CaptionIngest").strip().splitlines()[-1]
    assert last.startswith("CaptionIngest failed: ") and "does not let user" in last and "Secret" in last
    assert "not-the-password" not in cluster.logs(run_id)


def test_the_password_is_nowhere(cluster, first, tmp_path):
    cluster.client("compile", "--config", str(cluster.config), "--output", str(tmp_path / "p.yaml"))
    assert cluster.password not in (tmp_path / "p.yaml").read_text()
    assert cluster.password not in kubectl("get", "workflows,pods", "-o", "json")
    assert cluster.password not in cluster.logs(first)
    for table in ("ExecutionProperty", "ArtifactProperty", "ContextProperty"):
        values = cluster.sql(f"SELECT string_value FROM {cluster.database}.{table} WHERE string_value IS NOT NULL")
        assert cluster.password not in values


def test_the_metrics_are_in_ml_metadata_for_the_ui(cluster, first):
    names = cluster.sql(f"SELECT DISTINCT name FROM {cluster.database}.ArtifactProperty").split()
    assert set(METRICS) <= set(names)
