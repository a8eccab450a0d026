"""Steps whose new outputs equal earlier ones, run by TFX's launcher."""

import pathlib

import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata
from tfx.types import standard_artifacts

from components.shared.mlmd.runs import run_outputs
from components.shared.records import COMPUTED, DECISION, INCOMPLETE
from pipeline import pipeline, reuse, runner
from pipeline.config_files import load
from pipeline.step_states import State
from tests.factories import ROOT
from tests.fake_mlmd import sqlite_connection

NODE = "ImportSchemaGen"  # the quickest step; it runs again where the schema lies elsewhere


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Runs the step with a schema file; returns its state and the ID of the artifact that it put out."""

    def run(run_id: str, schema: pathlib.Path, cache: str = "true") -> tuple[State, int]:
        monkeypatch.setattr(pipeline, "SCHEMA", str(schema))
        config = load(None, [f"root={tmp_path / 'root'}", "name=mine", f"cache={cache}"])
        ir = runner.compile_pipeline(pipeline.create_pipeline(config), run_id)
        [node] = [each.pipeline_node for each in ir.nodes if each.pipeline_node.node_info.id == NODE]
        state = runner.launch(ir, node, lambda: metadata.Metadata(runner.connection_of(ir)))
        with metadata.Metadata(runner.connection_of(ir)) as handle:
            return state, run_outputs(handle, "mine", run_id, [NODE])[NODE]["schema"].id

    (tmp_path / "root").mkdir()
    MetadataStore(sqlite_connection(tmp_path / "root"))
    return run


@pytest.fixture
def schemas(tmp_path) -> list[pathlib.Path]:
    """Two files of the same name and content."""
    paths = [tmp_path / f"{number}" / "captions.pbtxt" for number in range(2)]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes((ROOT / "schemas" / "captions.pbtxt").read_bytes())
    return paths


def test_equal_outputs_are_the_earlier_ones(launch, schemas, tmp_path):
    first = launch("r1", schemas[0])
    assert launch("r2", schemas[1]) == first == (State.DONE, first[1])  # so that the steps after it are cached
    assert launch("r3", schemas[1]) == (State.CACHED, first[1])
    assert len(list((tmp_path / "root" / "artifacts" / NODE / "schema").iterdir())) == 1


def test_other_outputs_are_new_ones(launch, schemas):
    _, first = launch("r1", schemas[0])
    schemas[0].write_text(schemas[0].read_text().replace("max: ", "max: 1", 1))
    state, second = launch("r2", schemas[0])
    assert state == State.DONE and second != first


def test_without_the_cache_all_outputs_are_new(launch, schemas):
    _, first = launch("r1", schemas[0])
    state, second = launch("r2", schemas[1], cache="false")
    assert state == State.DONE and second != first


def example(directory: pathlib.Path, text: str = "text", **properties: str) -> standard_artifacts.Examples:
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.name = str(directory), str(directory)
    artifact.mlmd_artifact.state = mlmd.Artifact.LIVE
    for name, value in properties.items():
        artifact.set_string_custom_property(name, value)
    directory.mkdir()
    (directory / "file").write_text(text)
    return artifact


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({COMPUTED: "0"}, True),  # of the same features
        ({"text": "test"}, False),
        ({"text": "longer"}, False),
        ({"counts": "2"}, False),
        ({"more": "x"}, False),
        ({INCOMPLETE: "[]"}, False),  # although the earlier one is incomplete, too
    ],
)
def test_equal_means_equal_properties_and_files(tmp_path, changes, expected):
    earlier = example(tmp_path / "1", **({"counts": "1"} | {k: v for k, v in changes.items() if k == INCOMPLETE}))
    new = example(tmp_path / "2", **({"counts": "1"} | changes))
    assert reuse.are_equal([new.mlmd_artifact], earlier) is expected
    assert not reuse.are_equal([new.mlmd_artifact] * 2, earlier)
    (tmp_path / "1" / "more").write_text("")
    assert not reuse.are_equal([new.mlmd_artifact], earlier)


def test_each_output_is_compared_for_itself(tmp_path):
    first = {"examples": example(tmp_path / "1"), "rejects": example(tmp_path / "2", "one")}
    second = {"examples": example(tmp_path / "3", "more"), "rejects": example(tmp_path / "4", "two")}
    new = {"examples": example(tmp_path / "5"), "rejects": example(tmp_path / "6", "three")}
    outputs = {key: [artifact.mlmd_artifact] for key, artifact in new.items()}
    assert reuse.equal_outputs(outputs, [second, first]) == {"examples": [first["examples"]]}
    outputs["rejects"] = [example(tmp_path / "7", "two").mlmd_artifact]  # as after another run
    both = {"examples": [first["examples"]], "rejects": [second["rejects"]]}
    assert reuse.equal_outputs(outputs, [second, first]) == both
    for examples_id, rejects_id, keys in ((1, 2, ["examples", "rejects"]), (2, 1, ["rejects", "examples"])):
        first["examples"].id, second["rejects"].id = examples_id, rejects_id
        assert list(reuse.equal_outputs(outputs, [second, first])) == keys  # as TFX's cache reads them


def test_of_several_equal_outputs_the_latest_is_put_out(tmp_path):
    old, latest, new = (example(tmp_path / f"{number}") for number in range(3))
    assert reuse.equal_outputs({"x": [new.mlmd_artifact]}, [{"x": latest}, {"x": old}]) == {"x": [latest]}


def test_a_step_that_decides_puts_out_all_its_outputs_anew(tmp_path):
    earlier = {"blessing": example(tmp_path / "1", **{DECISION: "blessed"}), "predictions": example(tmp_path / "2")}
    new = {"blessing": example(tmp_path / "3", **{DECISION: "blessed"}), "predictions": example(tmp_path / "4")}
    outputs = {key: [artifact.mlmd_artifact] for key, artifact in new.items()}
    assert reuse.equal_outputs(outputs, [earlier]) == {}


def test_what_is_deleted_is_not_put_out_again(tmp_path):
    earlier, new = example(tmp_path / "1"), example(tmp_path / "2")
    earlier.mlmd_artifact.state = mlmd.Artifact.DELETED
    assert not reuse.are_equal([new.mlmd_artifact], earlier)
    earlier.mlmd_artifact.state = mlmd.Artifact.LIVE
    (tmp_path / "1").rename(tmp_path / "moved")
    assert not reuse.are_equal([new.mlmd_artifact], earlier)
