import time

import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.shared.mlmd.runs import (
    MAX_STEP_SECONDS,
    SECONDS_BETWEEN_STEPS,
    executions_by_node,
    last_run_with,
    node_executions,
    other_pipelines,
    pipeline_named,
    run_and_node,
    run_outputs,
    running_executions,
    running_runs,
    runs_of,
    runs_with,
)
from tests.fake_mlmd import PIPELINE, FakeMlmd

RUNNING, FAILED, CACHED = (getattr(metadata_store_pb2.Execution, name) for name in ("RUNNING", "FAILED", "CACHED"))


@pytest.fixture
def fake_mlmd() -> FakeMlmd:
    """Three runs: the ingest succeeds in all, by the cache in the second; the Trainer in the first alone."""
    fake_mlmd = FakeMlmd()
    examples = fake_mlmd.artifact("Examples")
    for run, state in (("r1", metadata_store_pb2.Execution.COMPLETE), ("r2", CACHED), ("r3", CACHED)):
        fake_mlmd.execute("CaptionIngest", {}, {"examples": examples}, run, state)
        time.sleep(0.002)  # the order of runs is that of their milliseconds
    fake_mlmd.execute("Trainer", {"examples": examples}, {"weights": fake_mlmd.artifact("captions.Weights")}, "r1")
    fake_mlmd.execute("Trainer", {"examples": examples}, {}, "r3", FAILED)
    return fake_mlmd


def test_the_runs_of_a_pipeline_are_in_their_order(fake_mlmd):
    assert [run.name for run in runs_of(fake_mlmd.store, PIPELINE)] == ["r1", "r2", "r3"]
    assert runs_of(fake_mlmd.store, "other") == []
    assert pipeline_named(fake_mlmd.store, "other") is None


def test_the_last_run_with_some_steps_is_the_last_in_which_they_succeeded(fake_mlmd):
    assert last_run_with(fake_mlmd, PIPELINE, ["CaptionIngest"]) == "r3"
    assert last_run_with(fake_mlmd, PIPELINE, ["CaptionIngest", "Trainer"]) == "r1"
    assert last_run_with(fake_mlmd, PIPELINE, ["Pusher"]) is None
    assert list(runs_with(fake_mlmd, PIPELINE, ["CaptionIngest"])) == ["r3", "r2", "r1"]


def test_the_outputs_of_a_run_are_those_of_steps_that_succeeded(fake_mlmd):
    outputs = run_outputs(fake_mlmd, PIPELINE, "r3", ["CaptionIngest", "Trainer", "Pusher"])
    assert {node: list(artifacts) for node, artifacts in outputs.items()} == {"CaptionIngest": ["examples"]}
    assert run_outputs(fake_mlmd, PIPELINE, "no such run", ["CaptionIngest"]) == {}


def test_runs_are_found_without_a_filter_query(fake_mlmd, monkeypatch):
    options = []
    get_executions = MetadataStore.get_executions

    def recording(store, list_options=None, **kwargs):
        options.append(list_options)
        return get_executions(store, list_options, **kwargs)

    monkeypatch.setattr(MetadataStore, "get_executions", recording)
    assert last_run_with(fake_mlmd, PIPELINE, ["CaptionIngest"]) == "r3"
    assert run_outputs(fake_mlmd, PIPELINE, "r3", ["CaptionIngest"])
    assert not any(each and each.filter_query for each in options)


def test_the_executions_of_a_run_and_of_a_node(fake_mlmd):
    run = runs_of(fake_mlmd.store, PIPELINE)[2]
    assert [node for node, _ in executions_by_node(fake_mlmd.store, run)] == ["CaptionIngest", "Trainer"]
    assert len(node_executions(fake_mlmd.store, PIPELINE, "CaptionIngest")) == 3
    assert node_executions(fake_mlmd.store, PIPELINE, "Pusher") == []


def test_a_run_is_in_progress_while_a_step_is_and_between_two(fake_mlmd):
    fake_mlmd.execute("Exporter", {}, {}, "r1", RUNNING)
    now = time.time()
    assert list(running_runs(fake_mlmd.store, PIPELINE, now)) == ["r1", "r2", "r3"]
    assert list(running_runs(fake_mlmd.store, PIPELINE, now + 2 * SECONDS_BETWEEN_STEPS)) == ["r1"]
    assert not list(running_runs(fake_mlmd.store, PIPELINE, now + 2 * MAX_STEP_SECONDS))  # it was killed


def test_other_pipelines_are_named(fake_mlmd):
    fake_mlmd.execute("CaptionIngest", {}, {}, "r4", pipeline="another")
    assert other_pipelines(fake_mlmd.store, PIPELINE) == ["another"]
    assert other_pipelines(fake_mlmd.store, "sample") == ["another", PIPELINE]


def test_the_running_executions_of_all_pipelines_belong_to_a_run_and_a_node(fake_mlmd):
    ids = [
        fake_mlmd.execute("Exporter", {}, {}, "r1", RUNNING),
        fake_mlmd.execute("Trainer", {}, {}, "r9", RUNNING, pipeline="my.other"),
    ]
    assert sorted(execution.id for execution in running_executions(fake_mlmd.store)) == ids
    assert [run_and_node(fake_mlmd.store, each) for each in ids] == [("r1", "Exporter"), ("r9", "Trainer")]
    type_id = fake_mlmd.store.put_execution_type(metadata_store_pb2.ExecutionType(name="captions.Rollback"))
    [alone] = fake_mlmd.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    assert run_and_node(fake_mlmd.store, alone) is None
