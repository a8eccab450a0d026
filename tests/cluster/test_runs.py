"""Runs of the captioning pipeline, made small, started by the client."""

import os
import subprocess

import pytest

from pipeline.summary import BLEU
from tests.cluster.conftest import STEPS, kubectl


def test_the_first_run_pushes_a_blessed_model(cluster, first):
    assert cluster.states(first) == {step: ["complete"] for step in STEPS}
    # none had to be tried again, though the first three find an empty database at once
    assert {step: len(cluster.pods(first, step)) for step in STEPS} == dict.fromkeys(STEPS, 1)
    assert cluster.versions()
    assert "SUCCEEDED" in cluster.client("runs", "--config", str(cluster.config))


def test_the_runs_parameters_arrive_in_the_steps(cluster, first):
    ids = ", ".join(str(number) for found in cluster.executions(first).values() for number, _ in found)
    query = f"""SELECT DISTINCT p.name, COALESCE(p.int_value, p.double_value)
        FROM {cluster.database}.ExecutionProperty p
        WHERE p.name IN ('epochs', 'min_bleu_4') AND p.execution_id IN ({ids}) ORDER BY p.name"""
    assert cluster.sql(query).split() == ["epochs", "2", "min_bleu_4", "0"]


@pytest.fixture(scope="module")
def two(cluster, first) -> tuple[list[str], list[str]]:
    """Two runs at once, and the versions that were served before them. The Trainer of the second one is killed."""
    before = cluster.versions()
    runs = [cluster.start(f"trainer.epochs={epochs}", "evaluator.min_bleu_4=0.0") for epochs in (1, 40)]
    killed = runs[1]

    def trains() -> bool:
        [(number, state)] = cluster.executions(killed).get("Trainer", [(0, "")])
        return state == "running" and (cluster.root / "artifacts" / "Trainer" / "model_run" / str(number)).is_dir()

    cluster.until(trains, "the Trainer", 900)
    [pod] = cluster.pods(killed, "Trainer")
    environment = {**os.environ, "RUN_ID": killed, "POD": pod}
    subprocess.run(os.environ["KILL_TRAINER"], shell=True, check=True, env=environment)
    for run_id in runs:
        assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    return runs, before


def test_two_runs_at_once_are_both_right(cluster, two):
    runs, before = two
    for run_id in runs:
        states = cluster.states(run_id)
        assert states["Trainer"] == states["BleuEvaluator"] == states["Pusher"] == ["complete"]
        assert all(state in ("complete", "cached") for found in states.values() for state in found)
    models = {number for run_id in runs for number, _ in cluster.executions(run_id)["Trainer"]}
    assert len(models) == 2
    assert 1 <= len(set(cluster.versions()) - set(before)) <= 2  # one may have been measured against the other


def test_a_killed_step_is_retried_and_leaves_nothing_half_written(cluster, two):
    [other, killed], _ = two
    assert len(cluster.pods(other, "Trainer")) == 1
    assert len(cluster.pods(killed, "Trainer")) == 2
    assert cluster.states(killed)["Trainer"] == ["complete"]  # TFX takes the execution up again
    for version in cluster.versions():
        assert (cluster.root / "serving" / version / "saved_model.pb").is_file()
    assert not list((cluster.root / "serving").glob(".*"))


def test_a_database_that_is_away_for_ten_seconds_is_waited_for(cluster, first):
    cluster.write_config(default={"retries": 0}, steps={})  # a step that gave up would fail the run
    try:
        run_id = cluster.start("trainer.epochs=2", "evaluator.min_bleu_4=0.001")
    finally:
        cluster.write_config()
    cluster.until(lambda: "CaptionIngest" in cluster.states(run_id), "the ingest")
    subprocess.run(os.environ["DATABASE_PAUSE"], shell=True, check=True)
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    assert cluster.states(run_id)["BleuEvaluator"] == ["complete"]


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
    assert {*BLEU, "cider", "rouge_l"} <= set(names)
