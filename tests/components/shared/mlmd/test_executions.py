import pytest
from ml_metadata.proto import metadata_store_pb2

from components.shared.mlmd.executions import (
    first_producers,
    inputs_and_outputs,
    is_unchanged,
    last_producers,
    outputs_of,
    properties_of,
)
from tests.fake_mlmd import FakeMlmd


@pytest.fixture
def fake_mlmd() -> FakeMlmd:
    return FakeMlmd()


def test_inputs_and_outputs_by_key(fake_mlmd):
    examples, model = fake_mlmd.artifact("Examples"), fake_mlmd.artifact("Model")
    execution = fake_mlmd.execute("Trainer", {"examples": examples}, {"model": model})
    inputs, outputs = inputs_and_outputs(fake_mlmd.store, execution)
    assert [artifact.id for artifact in inputs["examples"]] == [examples] and inputs.keys() == {"examples"}
    assert [artifact.id for artifact in outputs["model"]] == [model] and outputs.keys() == {"model"}
    [output] = outputs_of(fake_mlmd.store, execution).values()
    assert (output.id, output.type_name, output.uri) == (model, "Model", "/Model")


def test_an_execution_without_artifacts_has_no_inputs_and_outputs(fake_mlmd):
    execution = fake_mlmd.execute("Trainer", {}, {}, state=metadata_store_pb2.Execution.FAILED)
    assert inputs_and_outputs(fake_mlmd.store, execution) == ({}, {})
    assert outputs_of(fake_mlmd.store, execution) == {}


def test_an_artifact_under_two_keys_is_found_under_both(fake_mlmd):
    # as the evaluator's candidate that is the baseline itself: TFX writes one event with two paths
    model = fake_mlmd.artifact("Model")
    execution = fake_mlmd.execute("BleuEvaluator", {"model": model}, {})
    event = metadata_store_pb2.Event(
        artifact_id=model, execution_id=execution, type=metadata_store_pb2.Event.DECLARED_INPUT
    )
    for key in ("baseline_model", "other"):
        event.path.steps.add().key = key
        event.path.steps.add().index = 0
    fake_mlmd.store.put_events([event])
    inputs, _ = inputs_and_outputs(fake_mlmd.store, execution)
    assert inputs.keys() == {"model", "baseline_model", "other"}


def test_properties_are_plain_values_without_those_of_tfx(fake_mlmd):
    number = fake_mlmd.execute("Trainer", {}, {}, epochs=3, rate=0.5, name="x", __stop__="TFX's")
    [execution] = fake_mlmd.store.get_executions_by_id([number])
    assert properties_of(execution) == {"epochs": 3, "name": "x", "rate": 0.5}


def test_the_first_producer_made_an_artifact_and_the_last_one_put_it_out(fake_mlmd):
    examples = fake_mlmd.artifact("Examples")
    made, cached = (fake_mlmd.execute("Ingest", {}, {"examples": examples}, run=run) for run in ("r1", "r2"))
    assert first_producers(fake_mlmd.store, [examples]) == {examples: made}
    assert last_producers(fake_mlmd.store, [examples]) == {examples: cached}
    assert first_producers(fake_mlmd.store, []) == {}


@pytest.mark.parametrize(("decision", "expected"), [("unchanged", True), ("blessed", False)])
def test_a_step_that_found_nothing_new_is_unchanged(fake_mlmd, decision, expected):
    blessing = fake_mlmd.artifact("ModelBlessing", decision=decision)
    execution = fake_mlmd.execute("BleuEvaluator", {}, {"blessing": blessing})
    assert is_unchanged(fake_mlmd.store, execution) is expected
