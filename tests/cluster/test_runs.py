"""Small runs of the pipeline, started with the command line."""

import os
import pathlib
import subprocess

import pytest

from tests.cluster.conftest import NODES, kubectl


def test_the_first_run_pushes_a_blessed_model(cluster, first_run):
    assert cluster.states(first_run) == {step: ["complete"] for step in NODES}
    # without retries, though the first three steps create the schema of the empty database at the same time
    assert {step: len(cluster.pods(first_run, step)) for step in NODES} == dict.fromkeys(NODES, 1)
    assert cluster.versions()
    assert "SUCCEEDED" in cluster.client("runs", "--config", str(cluster.config))


def test_the_runs_parameters_reach_the_steps(cluster, first_run):
    ids = ", ".join(str(number) for node in cluster.executions(first_run).values() for number, _ in node)
    query = f"""SELECT DISTINCT p.name, COALESCE(p.int_value, p.double_value)
        FROM {cluster.database}.ExecutionProperty p
        WHERE p.name IN ('epochs', 'min_bleu_4') AND p.execution_id IN ({ids}) ORDER BY p.name"""
    assert cluster.sql(query).split() == ["epochs", "2", "min_bleu_4", "0"]


@pytest.fixture(scope="module")
def two_runs(cluster, first_run) -> tuple[list[str], list[str]]:
    """Two concurrent runs, and the versions served before them. The Trainer of the second run is killed."""
    before = cluster.versions()
    runs = [cluster.start(f"trainer.epochs={epochs}", "evaluator.min_bleu_4=0.0") for epochs in (1, 40)]
    killed = runs[1]

    def is_training() -> bool:
        [(number, state)] = cluster.executions(killed).get("Trainer", [(0, "")])
        outputs = pathlib.Path(cluster.paths.artifacts) / "Trainer"
        return state == "running" and (outputs / "model_run" / str(number)).is_dir()

    cluster.wait_until(is_training, "the Trainer starts", 900)
    [pod] = cluster.pods(killed, "Trainer")
    environment = {**os.environ, "RUN_ID": killed, "POD": pod}
    subprocess.run(os.environ["KILL_TRAINER"], shell=True, check=True, env=environment)
    for run_id in runs:
        assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    return runs, before


def test_two_concurrent_runs_succeed(cluster, two_runs):
    runs, before = two_runs
    for run_id in runs:
        states = cluster.states(run_id)
        assert states["Trainer"] == states["BleuEvaluator"] == states["Pusher"] == ["complete"]
        assert all(state in ("complete", "cached") for node in states.values() for state in node)
    models = {number for run_id in runs for number, _ in cluster.executions(run_id)["Trainer"]}
    assert len(models) == 2
    assert 1 <= len(set(cluster.versions()) - set(before)) <= 2  # one may have been compared with the other


def test_a_killed_step_is_retried_and_leaves_no_partial_files(cluster, two_runs):
    [other, killed], _ = two_runs
    assert len(cluster.pods(other, "Trainer")) == 1
    assert len(cluster.pods(killed, "Trainer")) == 2
    assert cluster.states(killed)["Trainer"] == ["complete"]  # TFX resumes the execution
    for version in cluster.versions():
        assert (pathlib.Path(cluster.paths.serving) / version / "saved_model.pb").is_file()
    assert not list(pathlib.Path(cluster.paths.serving).glob(".*"))


def test_a_database_outage_of_ten_seconds_is_survived(cluster, first_run):
    cluster.write_config(default_resources={"retries": 0}, step_resources={})  # a step that fails would fail the run
    try:
        run_id = cluster.start("trainer.epochs=2", "evaluator.min_bleu_4=0.001")
    finally:
        cluster.write_config()
    cluster.wait_until(lambda: "CaptionIngest" in cluster.states(run_id), "the ingest starts")
    subprocess.run(os.environ["DATABASE_PAUSE"], shell=True, check=True)
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    assert cluster.states(run_id)["BleuEvaluator"] == ["complete"]


def test_a_wrong_password_is_one_clear_line(cluster, first_run):
    secret = f"{cluster.name}-wrong"
    cluster.create_secret(secret, "not-the-password")
    cluster.write_config(secret=secret, default_resources={"retries": 0}, step_resources={})
    try:
        run_id = cluster.start()
        assert cluster.wait(run_id) == "FAILED"
    finally:
        cluster.write_config()
    listed = cluster.client("runs", "--config", str(cluster.config))
    assert "captioningest" in next(line for line in listed.splitlines() if run_id in line)
    last = cluster.logs(run_id, "CaptionIngest").strip().splitlines()[-1]
    assert last.startswith("CaptionIngest failed: ") and "denies access to user" in last and "Secret" in last
    assert "not-the-password" not in cluster.logs(run_id)


def test_the_password_is_nowhere(cluster, first_run, tmp_path):
    cluster.client("compile", "--config", str(cluster.config), "--output", str(tmp_path / "p.yaml"))
    assert cluster.password not in (tmp_path / "p.yaml").read_text()
    assert cluster.password not in kubectl("get", "workflows,pods", "-o", "json")
    assert cluster.password not in cluster.logs(first_run)
    for table in ("ExecutionProperty", "ArtifactProperty", "ContextProperty"):
        values = cluster.sql(f"SELECT string_value FROM {cluster.database}.{table} WHERE string_value IS NOT NULL")
        assert cluster.password not in values


def test_the_metrics_are_in_ml_metadata(cluster, first_run):
    names = cluster.sql(f"SELECT DISTINCT name FROM {cluster.database}.ArtifactProperty").split()
    assert {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l"} <= set(names)
