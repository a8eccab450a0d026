import logging
import pathlib

import pytest
from ml_metadata import MetadataStore
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen as TfxImportSchemaGen
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration import pipeline_pb2

from components.import_schema_gen.component import ImportSchemaGen
from components.shared.contents import FILES, describe
from pipeline import operators, runner
from pipeline.config_files import load
from pipeline.pipeline import create_pipeline
from pipeline.runner import PartialRunError, compile_pipeline
from pipeline.step_states import State
from tests.fake_mlmd import FakeMlmd, sqlite_connection

EXECUTED = ["LatestBlessedModel", "Exporter", "BleuEvaluator", "Pusher", "Report"]


@pytest.fixture
def root(tmp_path):
    return tmp_path


@pytest.fixture
def history(root) -> FakeMlmd:
    """The ML Metadata below a root, in its file."""
    return FakeMlmd(MetadataStore(sqlite_connection(root)))


def pipeline_of(root):
    return create_pipeline(load(None, [f"root={root}", "name=mine"]))


def complete(history: FakeMlmd, ir: pipeline_pb2.Pipeline, run: str, without: tuple[str, ...] = ()) -> None:
    """Adds a run in which every step put out all its outputs, but for some."""
    for node in (any_node.pipeline_node for any_node in ir.nodes):
        outputs = {key: history.artifact(key) for key in node.outputs.outputs if key not in without}
        history.execute(node.node_info.id, {}, outputs, run)


def test_a_partial_run_starts_from_the_last_run_that_has_all_outputs(root, history):
    whole = compile_pipeline(pipeline_of(root), "new")
    complete(history, whole, "complete")
    complete(history, whole, "of version 0.1", without=("weights",))
    ir = compile_pipeline(pipeline_of(root), "new", from_node="Exporter")
    base = ir.runtime_spec.snapshot_settings.base_pipeline_run_strategy
    assert base.base_run_id == "complete"
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in ir.nodes}
    assert [name for name, node in nodes.items() if not node.execution_options.HasField("skip")] == EXECUTED


def test_runs_without_a_needed_output_are_no_start(root, history):
    complete(history, compile_pipeline(pipeline_of(root), "new"), "of version 0.1", without=("weights",))
    with pytest.raises(PartialRunError, match=r"--from Exporter: no earlier run has completed .*Trainer"):
        compile_pipeline(pipeline_of(root), "new", from_node="Exporter")
    assert compile_pipeline(pipeline_of(root), "new", from_node="Trainer")


def test_a_run_with_damaged_outputs_is_no_start(root, history):
    whole = compile_pipeline(pipeline_of(root), "new")
    complete(history, whole, "intact")
    complete(history, whole, "damaged")
    (root / "weights").mkdir()
    (root / "weights" / "weights.npz").write_text("intact")
    artifact = history.store.get_artifacts_by_type("weights")[-1]
    artifact.uri = str(root / "weights")
    artifact.custom_properties[FILES].string_value = describe(artifact.uri)
    history.store.put_artifacts([artifact])
    (root / "weights" / "weights.npz").write_text("")
    ir = compile_pipeline(pipeline_of(root), "new", from_node="Exporter")
    assert ir.runtime_spec.snapshot_settings.base_pipeline_run_strategy.base_run_id == "intact"


class SchemaPipeline:
    """A pipeline of one quick step."""

    def __init__(self, root: pathlib.Path, step_class: type):
        self.root, self.step_class, self.num_runs = root, step_class, 0
        self.file = root / "schema.pbtxt"
        self.file.write_text('feature { name: "captions" }\n')

    def run(self) -> State:
        """Runs it, and returns the state in which the step ended."""
        self.num_runs += 1
        [step] = runner.run(compile_pipeline(self.pipeline(), f"run {self.num_runs}"), lambda step: None)
        return step.state

    def pipeline(self) -> Pipeline:
        return Pipeline(
            pipeline_name="mine",
            pipeline_root=str(self.root / "artifacts"),
            components=[self.step_class(schema_file=str(self.file))],
            enable_cache=True,
            metadata_connection_config=sqlite_connection(self.root),
        )

    def outputs(self) -> list[pathlib.Path]:
        return sorted(self.root.glob("artifacts/ImportSchemaGen/schema/*/schema.pbtxt"))


# the second has no driver of its own, as several of TFX's steps
@pytest.mark.parametrize("step_class", [ImportSchemaGen, TfxImportSchemaGen])
def test_damaged_outputs_are_not_reused(root, step_class, caplog):
    caplog.set_level(logging.WARNING)
    schema = SchemaPipeline(root, step_class)
    assert [schema.run(), schema.run()] == [State.DONE, State.CACHED]
    [output] = schema.outputs()
    intact = output.read_bytes()
    for number, damaged in enumerate((b"", intact[:-1], bytes(len(intact))), start=2):
        schema.outputs()[-1].write_bytes(damaged)
        caplog.clear()
        assert schema.run() == State.DONE
        assert f"{schema.outputs()[number - 2]} is damaged or gone" in caplog.text
        assert len(schema.outputs()) == number and schema.outputs()[-1].read_bytes() == intact
        assert schema.run() == State.CACHED


def test_outputs_are_on_the_disk_before_they_are_recorded(root, monkeypatch):
    synced, schema = [], SchemaPipeline(root, ImportSchemaGen)

    def sync_tree(directory):
        synced.append(directory)
        with runner.metadata.Metadata(runner.connection_of(ir)) as handle:
            assert handle.store.get_artifacts_by_type("Schema") == []

    monkeypatch.setattr(operators.storage, "sync_tree", sync_tree)
    ir = compile_pipeline(schema.pipeline(), "run")
    list(runner.run(ir, lambda step: None))
    assert synced == [str(output.parent) for output in schema.outputs()]
